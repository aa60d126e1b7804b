# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# Sourced by the checks: the tree's own files, and how to complain.

set -u
export LC_ALL=C
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
status=0

# tree_files PATTERN... - files of the project that match, tracked or new.
tree_files()
{
	if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
		git ls-files --cached --others --exclude-standard -- "$@"
	else
		local pattern args=()

		for pattern in "$@"; do
			args+=(-o -path "./$pattern")
		done
		find . -path ./build -prune -o -type f \( "${args[@]:1}" \) -printf '%P\n'
	fi | sort -u | while read -r file; do
		[ -f "$file" ] && echo "$file"
	done
}

complain()
{
	echo "$(basename "$0" .sh): $*" >&2
	status=1
}
