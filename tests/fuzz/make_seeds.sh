#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Writes tests/fuzz/seeds/program anew, for when the encoding changes.
set -e
cd "$(dirname "$0")/../.."
out=tests/fuzz/seeds/program
tool=$(mktemp)
trap 'rm -f "$tool"' EXIT
mkdir -p $out
${CC:-cc} -std=gnu11 -D_GNU_SOURCE -I. -o "$tool" tests/fuzz/program_seeds.c shared/lib/*.c -lm
"$tool" $out
