#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Every source names its licence in its first line (scripts: the second, below #!).

. "$(dirname "$0")/files.sh"

tag='SPDX-License-Identifier: Apache-2.0'

while read -r file; do
	case $(head -n 1 "$file") in
	*"$tag"*) ;;
	'#!'*) sed -n 2p "$file" | grep -qF "$tag" || complain "$file: the second line is not '$tag'" ;;
	*) complain "$file: the first line is not '$tag'" ;;
	esac
done < <(tree_files Makefile '*.mk' '*.c' '*.h' '*.cu' '*.cuh' '*.def' '*.map' '*.sh' '*.py' \
	'*.pc.in' '*.bt' .ci/run .gitignore .clang-format .clang-tidy)
exit $status
