#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# ptxas_check.sh LOG - judge what ptxas -v -warn-spills said of one compilation.
#
# A kernel that spills registers, has a stack frame or keeps anything in local
# memory may make the driver resize local memory, which synchronises the whole
# device; warnings C75xx say that ptxas gave up what the kernel is built on
# (wgmma serialised, setmaxnreg ignored). All of these end the build.

set -u
export LC_ALL=C

awk '
	/Compiling entry function/ {
		split($0, quoted, "\047")
		kernel = quoted[2]
		target = quoted[4]
	}
	/Function properties for/ { subject = $NF }
	/[1-9][0-9]* bytes stack frame/ || /[1-9][0-9]* bytes spill/ || /[1-9][0-9]* bytes lmem/ {
		sub(/^[ \t]*(ptxas info *: )?/, "")
		print (kernel ? kernel : subject) " (" target "): " $0
		bad = 1
	}
	/\(C75[0-9][0-9]\)/ { print; bad = 1 }
	/Registers are spilled|spilled to local memory/ { print; bad = 1 }
	END { exit bad }
' "$1" >&2 && exit 0
echo "ptxas_check: $1: registers or local memory; give the kernel fewer live values or more registers" >&2
exit 1
