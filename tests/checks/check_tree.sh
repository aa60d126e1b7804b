#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Outputs live in build/ only: nothing that a compiler, a linker, Python or a
# test leaves behind stands elsewhere, ignored or not.

. "$(dirname "$0")/files.sh"

git rev-parse --is-inside-work-tree >/dev/null 2>&1 || exit 0

while read -r file; do
	case $file in
	build/*) ;;
	*) complain "$file: ignored by git and not in build/" ;;
	esac
done < <(git ls-files --others --ignored --exclude-standard --directory)

while read -r file; do
	complain "$file: an output in the source tree"
done < <(git ls-files --cached --others --exclude-standard -- \
	'*.o' '*.a' '*.so' '*.so.*' '*.d' '*.pyc' '*.gcda' '*.gcno' '*.profraw' '*.tmp' '*.orig' '*.rej' \
	'core' 'core.*' 'crash-*' 'leak-*' 'oom-*')
exit $status
