#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Includes point one way.  One rule a line:
#
#   files (a regular expression) | what else of the tree they may include
#
# The first line that matches a file decides.  Foreign headers follow below.

. "$(dirname "$0")/files.sh"

rules='
^agent/flow/     | ^agent/([^/]+|flow/.*|tenant/.*|program/.*|policy/.*|watch/.*|control/event\.h|device/device\.h)$|^shared/(abi|lib)/
^agent/device/cuda/kernels/prim\.cuh$ | ^tests/emu/prim_emu\.h$
^agent/device/   | ^agent/([^/]+|device/.*|program/.*|policy/.*|util/.*|control/event\.h)$|^shared/(abi|lib)/
^agent/          | ^agent/|^shared/(abi|lib)/
^ctl/(sim|gen)/  | ^ctl/|^agent/|^shared/
^ctl/run/        | ^ctl/run/|^shared/
^ctl/verb_policy\.c$ | ^ctl/|^agent/policy/file\.h$|^shared/(abi|lib)/
^ctl/trace/      | ^ctl/|^bpf/|^shared/(abi|lib)/
^ctl/            | ^ctl/|^shared/(abi|lib)/
^shared/abi/     | ^shared/abi/
^shared/lib/     | ^shared/(abi|lib)/
^shared/client/  | ^shared/(abi|lib|client)/
^shared/onnx/    | ^shared/(abi|lib|onnx)/|^shared/client/ooo\.h$|^onnx/onnx\.pb-c\.h$
^bpf/            | ^bpf/|^shared/abi/
'

# foreign headers | the only files that may include them
foreign='
^(oneapi/dnnl/|dnnl)                 | ^agent/device/cpu(/|\.|_)
^(cuda|nvrtc|nvml|cupti)[a-z_]*\.h$  | ^(agent/device/cuda|tests/unit/device/cuda_types_ut)
^netlink/                            | ^(agent/control/|ctl/|shared/lib/|tests/)
^(protobuf-c/|onnx/onnx\.pb-c\.h$)   | ^(shared/onnx/|tests/)
'

# A quoted include is a path from the root, or names a sibling.
resolve()
{
	local file=$1 name=$2 sibling

	sibling=$(realpath -m --relative-to=. "$(dirname "$file")/$name")
	if [ ! -e "$name" ] && [ -e "$sibling" ]; then
		echo "$sibling"
	else
		echo "$name"
	fi
}

may_include()
{
	local file=$1 name=$2 files allowed

	while read -r files allowed; do
		[ -n "$files" ] && [[ $file =~ $files ]] || continue
		[[ $name =~ ${allowed#| } ]] || complain "$file includes $name"
		return
	done <<<"$rules"
}

may_include_foreign()
{
	local file=$1 name=$2 names files

	while read -r names files; do
		[ -n "$names" ] && [[ $name =~ $names ]] || continue
		[[ $file =~ ${files#| } ]] || complain "$file includes <$name>"
	done <<<"$foreign"
}

while IFS=: read -r file line; do
	name=$(sed -E 's/^[[:space:]]*#[[:space:]]*include[[:space:]]*[<"]([^">]*).*/\1/' <<<"$line")
	case $line in
	*\"*) may_include "$file" "$(resolve "$file" "$name")" ;;
	esac
	may_include_foreign "$file" "$name"
done < <(tree_files '*.c' '*.h' '*.def' '*.cu' '*.cuh' |
	xargs -r grep -HE '^[[:space:]]*#[[:space:]]*include[[:space:]]*["<]')
exit $status
