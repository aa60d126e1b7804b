#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Calls that cannot be used safely, or that cannot report an error.

. "$(dirname "$0")/files.sh"

banned='strcpy|strcat|sprintf|vsprintf|gets|strtok|atoi|atol|atoll|atof'

while read -r file; do
	hits=$(grep -nE "(^|[^A-Za-z0-9_.>])($banned)[[:space:]]*\(" "$file") || continue
	while read -r hit; do
		complain "$file:$hit"
	done <<<"$hits"
done < <(tree_files '*.c' '*.h' '*.cu' '*.cuh')
exit $status
