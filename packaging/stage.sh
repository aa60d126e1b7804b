#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# stage.sh BUILD - fill BUILD/stage with binaries that run on another machine.
#
# The binaries look for libraries in ../lib (DT_RPATH, so their libraries'
# own needs are looked up there too).  Everything they load is copied there,
# except what belongs to the C library: that must come from the machine.

set -eu
export LC_ALL=C

build=$1
stage=$build/stage

# The parts of glibc, and what the kernel maps by itself.
is_system()
{
	case $1 in
	linux-vdso.so.* | ld-linux*.so.* | */ld-linux*.so.*) return 0 ;;
	libc.so.* | libm.so.* | libmvec.so.* | libdl.so.* | libpthread.so.*) return 0 ;;
	librt.so.* | libresolv.so.* | libutil.so.* | libanl.so.* | libnss_*.so.*) return 0 ;;
	esac
	return 1
}

rm -rf "$stage"
mkdir -p "$stage/bin" "$stage/lib" "$stage/libexec"
cp -a "$build"/bin/. "$stage/bin/"
[ ! -d "$build/libexec" ] || cp -a "$build"/libexec/. "$stage/libexec/"
cp -a "$build"/lib/*.so* "$stage/lib/"
mkdir -p "$stage/share/ooo"
cp -r packaging/devices "$stage/share/ooo/devices"

# One line a library: NAME PATH; ldd has followed the whole tree already.
needs()
{
	find "$stage/bin" "$stage/libexec" "$stage/lib" -type f | xargs ldd |
		sed -n 's/^\t\([^ ]*\) => \([^(]*\)\( (.*\)\{0,1\}$/\1 \2/p' | sort -u
}

needs | while read -r name path; do
	is_system "$name" && continue
	[ -e "$stage/lib/$name" ] && continue
	case $path in
	/*) cp -L "$path" "$stage/lib/$name" ;;
	*)
		echo "stage: $name is needed and not found" >&2
		exit 1
		;;
	esac
done

# The proof: from its new place, nothing but the C library comes from outside.
root=$(cd "$stage" && pwd)
status=0
for bin in "$stage"/bin/* "$stage"/libexec/*; do
	[ -e "$bin" ] || continue
	ldd "$bin" | sed -n 's/^\t\([^ ]*\) => \([^(]*\)\( (.*\)\{0,1\}$/\1 \2/p' >"$build/stage.ldd"
	while read -r name path; do
		is_system "$name" && continue
		case $(readlink -f "$path") in
		"$root"/lib/*) ;;
		*)
			echo "stage: $bin takes $name from $path" >&2
			status=1
			;;
		esac
	done <"$build/stage.ldd"
done
rm -f "$build/stage.ldd"
[ "$status" -eq 0 ] && echo "stage: $stage"
exit "$status"
