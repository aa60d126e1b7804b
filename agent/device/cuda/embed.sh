#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# embed.sh FATBIN... - write the C source that holds these files: see image.h.
# Each kernel of kernels.def must be where that says, among the parts beside the fatbins.

set -u

[ $# -gt 0 ] || echo 'embed: no CUDA kernels: the agent will find no cuda device' >&2
printf '/* Written by embed.sh. */\n#include <stddef.h>\n\n#include "agent/device/cuda/image.h"\n\n'
for file in "$@"; do
	name=$(basename "$file" .fatbin)
	cat <<END
__asm__(".section .rodata\\n.balign 64\\n.globl cuda_image_$name\\n"
	"cuda_image_$name:\\n.incbin \\"$file\\"\\n.previous\\n");
extern const char cuda_image_${name}[];
END
done
sed -n 's/^KERNEL([^,]*, "\([^"]*\)", "\([^"]*\)".*/\1 \2/p' "$(dirname "$0")/kernels.def" |
	while [ $# -gt 0 ] && read -r image symbol; do
		grep -qaw "$symbol" "$(dirname "$1")/$image".*.{cubin,ptx} 2>/dev/null && continue
		echo "embed: kernels.def: $symbol is not in kernels/$image.cu" >&2
		exit 1
	done || exit 1
printf '\nconst struct cuda_image cuda_images[] = {\n'
for file in "$@"; do
	name=$(basename "$file" .fatbin)
	bytes=$(stat -c %s "$file") || exit 1
	printf '\t{ "%s", cuda_image_%s, %s },\n' "$name" "$name" "$bytes"
done
printf '\t{ NULL, NULL, 0 },\n};\nconst unsigned nr_cuda_images = %d;\n' $#
