#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# gpu_check over the emulated driver: small cases of every group. On a machine with a GPU,
# `make gpu-check` runs all of them there.
# test-timeout: 400

set -u
build=${OOO_BUILD:-build}
driver=${OOO_EMU_DRIVER:-$build/emu/libcuda.so.1}

if [ ! -e "$driver" ]; then
	echo "there is no emulated driver: $driver"
	exit 77
fi
run()
{
	"$build/libexec/gpu_check" --driver "$driver" --bin "$build/bin" --tiny --quick "$@"
}

# The thread sanitizer slows the kernels down a hundredfold, and units run them under it already:
# here it is for the groups in which the host's threads meet.
if [ "${OOO_SANITIZE:-}" = tsan ] && [ $# -eq 0 ]; then
	status=0
	for group in stress faults memory agent; do
		run --only "$group" || status=1
	done
	exit $status
fi
run "$@"
