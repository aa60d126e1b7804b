#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The README shows tests/examples/tenant.c as it is, and every file that it links to exists.

set -u
cd "$(dirname "$0")/../.." || exit 1
status=0

shown=$(sed -n '/^```c$/,/^```$/p' README.md | sed '1d;$d')
real=$(sed '1,/^ \*\/$/d' tests/examples/tenant.c)
if [ "$shown" != "$real" ]; then
	echo 'README.md: its tenant differs from tests/examples/tenant.c: copy it again'
	diff <(echo "$shown") <(echo "$real") | head -n 10
	status=1
fi
while read -r path; do
	[ -e "$path" ] && continue
	echo "README.md: links to $path, which is not there"
	status=1
done < <(grep -o '](\([^)]*\))' README.md | sed 's/^](//; s/)$//' | grep -v '^http')
exit $status
