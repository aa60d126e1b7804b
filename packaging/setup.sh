#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# setup.sh [build|test|dev]... - install what this machine still lacks.
#
#   build  what `make` needs
#   test   what `make check` needs beyond that
#   dev    what `make lint` and `make fuzz` need beyond that
#
# A thing counts as present when it works (a header is found, a command
# runs), not when a package manager knows it, so an ordinary user, or a
# distribution without apt, is fine once the things are there.  What is
# missing is installed by root; anyone else is told the exact command.

set -u
export LC_ALL=C

CC=${CC:-cc}
missing=()

have_cmd()
{
	command -v "$1" >/dev/null 2>&1
}

have_header()
{
	printf '#include <stddef.h>\n#include <stdarg.h>\n#include <stdint.h>\n#include <setjmp.h>\n#include <%s>\n' "$1" |
		"$CC" -E -x c - >/dev/null 2>&1
}

have_pc()
{
	pkg-config --exists "$1" 2>/dev/null
}

have_onnx_proto()
{
	[ -n "${ONNX_PROTO:-}" ] && [ -e "$ONNX_PROTO" ] && return 0
	[ -e /usr/include/onnx/onnx.proto ] || [ -e /usr/include/onnx/onnx-ml.proto ]
}

have_dnnl()
{
	have_header oneapi/dnnl/dnnl.h || have_header dnnl.h
}

have_fuzzer()
{
	printf 'int LLVMFuzzerTestOneInput(const char *d, unsigned long n) { return 0; }\n' |
		clang -fsanitize=fuzzer,address,undefined -x c - -o /dev/null >/dev/null 2>&1
}

# The C++ compiler is wanted for one test only: headers that compile as C++.
have_cxx()
{
	have_cmd "${CXX:-c++}"
}

have_bpftool()
{
	have_cmd bpftool || [ -x /usr/sbin/bpftool ]
}

# need PACKAGE PROBE [ARG]... - remember PACKAGE when the probe says no.
need()
{
	local package=$1
	shift
	"$@" || missing+=("$package")
}

# optional PACKAGE PROBE [ARG]... - a part that is left out without it: tried once, by root.
optional()
{
	local package=$1
	shift
	"$@" && return 0
	[ "$(id -u)" -eq 0 ] && have_cmd apt-get || return 0
	export DEBIAN_FRONTEND=noninteractive
	apt-get install -y -q --no-install-recommends "$package" >/dev/null 2>&1 </dev/null && return 0
	apt-get update -q >/dev/null 2>&1
	apt-get install -y -q --no-install-recommends "$package" >/dev/null 2>&1 </dev/null ||
		echo "setup: $package could not be installed: what needs it is left out" >&2
	return 0
}

# The compiler's run-time library carries the version of the default clang.
clang_rt_package()
{
	local version

	version=$(apt-cache depends clang 2>/dev/null |
		sed -n 's/^ *Depends: clang-\([0-9][0-9]*\)$/\1/p' | head -n 1)
	echo "libclang-rt-${version:+$version-}dev"
}

need_build()
{
	need gcc have_cmd "$CC"
	need libc6-dev have_header stdio.h
	need make have_cmd make
	need binutils have_cmd ar
	need pkg-config have_cmd pkg-config
	need libdnnl-dev have_dnnl
	need libnl-3-dev have_pc libnl-3.0
	need libnl-genl-3-dev have_pc libnl-genl-3.0
	need libcjson-dev have_header cjson/cJSON.h
	need libprotobuf-c-dev have_header protobuf-c/protobuf-c.h
	need protobuf-c-compiler have_cmd protoc-c
	need zlib1g-dev have_header zlib.h
	need libonnx-dev have_onnx_proto
	optional libmicrohttpd-dev have_header microhttpd.h
	optional systemtap-sdt-dev have_header sys/sdt.h
	optional libbpf-dev have_pc libbpf
	optional clang have_cmd clang
	optional bpftool have_bpftool
}

need_test()
{
	need g++ have_cxx
	need git have_cmd git
	need jq have_cmd jq
	need python3 have_cmd python3
	need python3-venv python3 -c 'import venv, ensurepip' 2>/dev/null
	need libcmocka-dev have_header cmocka.h
	need libonnx-testdata test -d /usr/share/libonnx-testdata/data
}

need_dev()
{
	need clang have_cmd clang
	need clang-tidy have_cmd clang-tidy
	need cppcheck have_cmd cppcheck
	have_fuzzer || missing+=("$(clang_rt_package)")
}

# Apt's chatter is shown only when it fails.  Clang's run-time package can be
# named only once the package lists are there, hence the second look.
install_missing()
{
	local again=$1 log

	export DEBIAN_FRONTEND=noninteractive
	echo "setup: installing ${missing[*]}"
	apt-get update -q >/dev/null 2>&1 || echo "setup: apt-get update failed, trying with the lists at hand" >&2
	missing=()
	for set in $again; do
		"need_$set"
	done
	[ ${#missing[@]} -eq 0 ] && return 0
	log=$(apt-get install -y -q --no-install-recommends "${missing[@]}" 2>&1 </dev/null) && return 0
	printf '%s\n' "$log" | tail -n 20 >&2
	return 1
}

[ $# -gt 0 ] || set -- build test dev
for set in "$@"; do
	case $set in
	build | test | dev) "need_$set" ;;
	*)
		echo "usage: setup.sh [build|test|dev]..." >&2
		exit 2
		;;
	esac
done
[ ${#missing[@]} -eq 0 ] && exit 0

if ! have_cmd apt-get; then
	echo "setup: this machine lacks what Debian calls: ${missing[*]}" >&2
	exit 1
fi
if [ "$(id -u)" -ne 0 ]; then
	echo "setup: some packages are missing; please run:" >&2
	echo "  sudo apt-get install -y --no-install-recommends ${missing[*]}" >&2
	exit 1
fi

install_missing "$*" || {
	echo "setup: apt-get could not install: ${missing[*]}" >&2
	exit 1
}

missing=()
hash -r
for set in "$@"; do
	"need_$set"
done
if [ ${#missing[@]} -gt 0 ]; then
	echo "setup: installed, yet still not usable: ${missing[*]}" >&2
	exit 1
fi
