#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# probe.sh - write to stdout the make variables that describe this machine.
#
# A required part that cannot be found ends the probe with status 1; an
# optional one is named on stderr in one line and left out.

set -u
export LC_ALL=C

CC=${CC:-cc}
PKG_CONFIG=${PKG_CONFIG:-pkg-config}
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT

die()
{
	echo "probe: $*" >&2
	exit 1
}

# links HEADER SYMBOL FLAG... - does a program that names SYMBOL link?
links()
{
	local header=$1 symbol=$2
	shift 2
	printf '#include <stddef.h>\n#include <%s>\nint main(void)\n{\n\treturn (void *)%s == NULL;\n}\n' \
		"$header" "$symbol" >"$work/probe.c"
	"$CC" "$work/probe.c" -o "$work/probe" "$@" >/dev/null 2>&1
}

# Foreign headers are system headers: their warnings are not ours.
cflags_of()
{
	"$PKG_CONFIG" --cflags "$1" 2>/dev/null | sed 's/-I *\([^ ]\)/-isystem \1/g; s/ *$//'
}

libs_of()
{
	"$PKG_CONFIG" --libs "$1" 2>/dev/null | sed 's/ *$//'
}

# library NAME MODULE HEADER SYMBOL FALLBACK - pkg-config first, then a bare link.
library()
{
	local name=$1 module=$2 header=$3 symbol=$4 fallback=$5
	local cflags libs

	cflags=$(cflags_of "$module")
	libs=$(libs_of "$module")
	# shellcheck disable=SC2086
	if [ -z "$libs" ] || ! links "$header" "$symbol" $cflags $libs; then
		cflags=
		libs=$fallback
		links "$header" "$symbol" $libs || return 1
	fi
	printf '%s_CFLAGS := %s\n%s_LIBS := %s\n' "$name" "$cflags" "$name" "$libs"
}

onnx_proto()
{
	local path

	for path in "${ONNX_PROTO:-}" /usr/include/onnx/onnx.proto /usr/include/onnx/onnx-ml.proto; do
		if [ -n "$path" ] && [ -e "$path" ]; then
			echo "$path"
			return 0
		fi
	done
	return 1
}

bpf_lacks()
{
	command -v clang >/dev/null || echo clang
	command -v bpftool >/dev/null || [ -x /usr/sbin/bpftool ] || echo bpftool
	"$PKG_CONFIG" --exists libbpf 2>/dev/null || echo libbpf
}

echo "# Written by packaging/probe.sh; remove it to probe again."

library DNNL dnnl oneapi/dnnl/dnnl.h dnnl_engine_create -ldnnl ||
	library DNNL dnnl dnnl.h dnnl_engine_create -ldnnl ||
	die "oneDNN is missing (libdnnl-dev)"
library NL libnl-3.0 netlink/netlink.h nl_socket_alloc -lnl-3 ||
	die "libnl is missing (libnl-3-dev)"
library CJSON libcjson cjson/cJSON.h cJSON_Parse -lcjson ||
	die "cJSON is missing (libcjson-dev)"
library PROTOBUF_C libprotobuf-c protobuf-c/protobuf-c.h protobuf_c_message_unpack -lprotobuf-c ||
	die "protobuf-c is missing (libprotobuf-c-dev)"

command -v protoc-c >/dev/null || die "protoc-c is missing (protobuf-c-compiler)"
proto=$(onnx_proto) || die "onnx.proto is missing (libonnx-dev)"
echo "ONNX_PROTO := $proto"

if mhd=$(library MHD libmicrohttpd microhttpd.h MHD_start_daemon -lmicrohttpd); then
	printf '%s\nHAVE_MHD := 1\n' "$mhd"
else
	echo "HAVE_MHD :="
	echo "probe: ooo-agent --metrics is left out (no libmicrohttpd-dev)" >&2
fi

lacks=$(bpf_lacks | tr '\n' ' ')
if [ -z "$lacks" ]; then
	echo "HAVE_BPF := 1"
	PATH=$PATH:/usr/sbin
	printf 'BPFTOOL := %s\n' "$(command -v bpftool)"
	printf 'BPF_CFLAGS := %s\nBPF_LIBS := %s\n' "$(cflags_of libbpf)" "$(libs_of libbpf)"
else
	echo "HAVE_BPF :="
	echo "probe: BPF (ooo-ctl trace, pinned maps) is left out (no ${lacks% })" >&2
fi

echo '#include <sys/sdt.h>' | "$CC" -E -x c - >/dev/null 2>&1 ||
	echo "probe: USDT probes are left out (no sys/sdt.h: systemtap-sdt-dev)" >&2

nvcc=$(command -v nvcc || { [ -x /usr/local/cuda/bin/nvcc ] && echo /usr/local/cuda/bin/nvcc; })
echo "NVCC := $nvcc"
[ -z "$nvcc" ] || echo "NVCC_CODES := $("$nvcc" --list-gpu-code 2>/dev/null | tr '\n' ' ')"
[ -n "$nvcc" ] || echo "probe: ahead-of-time CUDA kernels are left out (no nvcc)" >&2
