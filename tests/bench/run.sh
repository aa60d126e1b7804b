#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# All benchmarks, one JSON object a line.  Figures are medians; they hold for this machine and beside
# one another only.

set -eu

dir=$(mktemp -d "${TMPDIR:-/tmp}/ooo-bench.XXXXXX")
export OOO_RUNTIME_DIR=$dir
agent=

stop_agent()
{
	[ -n "$agent" ] && kill -TERM "$agent" 2>/dev/null && wait "$agent" || true
	agent=
}

start_agent()
{
	ooo-agent "$@" >"$dir/agent.log" 2>&1 &
	agent=$!
	for _ in $(seq 300); do
		grep -q ready "$dir/agent.log" && return
		sleep 0.1
	done
	cat "$dir/agent.log" >&2
	exit 1
}
trap 'stop_agent; rm -rf "$dir"' EXIT

"$OOO_BUILD/tests/bench/sched"
"$OOO_BUILD/tests/bench/stages"

start_agent --device sim
"$OOO_BUILD/tests/bench/ring"
stop_agent

start_agent --device sim --sim-paced --policy-file "$dir/policy.json"
"$OOO_BUILD/tests/bench/control"
stop_agent

start_agent --device cpu --threads 1
"$OOO_BUILD/tests/bench/overhead"
stop_agent

if "$OOO_PYTHON" -c 'import onnxruntime' 2>/dev/null; then
	start_agent --device cpu --threads 2
	"$OOO_PYTHON" tests/bench/resnet50.py "$dir"
	stop_agent
else
	echo 'resnet50: left out: onnxruntime is not there (see tests/requirements.txt)' >&2
fi

ROUNDS=1 tests/bench/trace.sh
