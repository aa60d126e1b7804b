#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Every source names its licence in its first line (scripts: the second, below #!). What the kernel
# loads has one that its helpers ask for.

. "$(dirname "$0")/files.sh"

while read -r file; do
	tag='SPDX-License-Identifier: Apache-2.0'
	case $file in
	bpf/*.c | bpf/*.h) tag='SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause' ;;
	esac
	case $(head -n 1 "$file") in
	*"$tag"*) ;;
	'#!'*) sed -n 2p "$file" | grep -qF "$tag" || complain "$file: the second line is not '$tag'" ;;
	*) complain "$file: the first line is not '$tag'" ;;
	esac
done < <(tree_files Makefile '*.mk' '*.c' '*.h' '*.cu' '*.cuh' '*.def' '*.map' '*.sh' '*.py' \
	'*.pc.in' '*.bt' .ci/run .gitignore .clang-format .clang-tidy)
exit $status
