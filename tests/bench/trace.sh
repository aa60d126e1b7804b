#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# What tracing costs: the ring benchmark on agents that count no times by stage, that count them (which is the
# default), and that `ooo-ctl trace latency` listens to as well. ROUNDS of them in turns; one JSON object a round,
# then the ratios of the medians. Started by run.sh, as all benchmarks.

set -eu

rounds=${ROUNDS:-3}
dir=$(mktemp -d "${TMPDIR:-/tmp}/ooo-bench.XXXXXX")
export OOO_RUNTIME_DIR=$dir
agent=
tool=

stop()
{
	[ -z "$tool" ] || { kill -INT "$tool" && wait "$tool"; } || true
	[ -z "$agent" ] || { kill -TERM "$agent" && wait "$agent"; } || true
	agent=
	tool=
}
trap 'stop; rm -rf "$dir"' EXIT

until_said()
{
	for _ in $(seq 200); do
		grep -q "$1" "$2" && return
		sleep 0.05
	done
	cat "$2" >&2
	exit 1
}

# measure KIND AGENT-OPTION...
measure()
{
	local kind=$1
	shift

	ooo-agent --device sim "$@" >"$dir/agent.log" 2>&1 &
	agent=$!
	until_said ready "$dir/agent.log"
	if [ "$kind" = traced ]; then
		ooo-ctl trace latency >/dev/null 2>"$dir/tool.log" &
		tool=$!
		until_said tracing "$dir/tool.log"
	fi
	"$OOO_BUILD/tests/bench/ring" | jq -c ". + {kind: \"$kind\"}" | tee -a "$dir/all"
	stop
}

for ((i = 0; i < rounds; i++)); do
	measure off --bpf-fs off
	measure counted
	[ "$(id -u)" -ne 0 ] || measure traced
done
jq -sc 'def median(f): map(f) | sort | .[length / 2 | floor];
	def of(k; f): map(select(.kind == k)) | if length == 0 then null else median(f) end;
	def ratio(k): (of("off"; .submissions_per_s)) as $off | of(k; .submissions_per_s) | if . then . / $off else null end;
	{bench: "trace", counted_throughput_ratio: ratio("counted"), traced_throughput_ratio: ratio("traced"),
	 counted_rtt_ratio: (of("counted"; .rtt_p50_us) / of("off"; .rtt_p50_us)),
	 traced_us_per_request: (if of("traced"; 1) then 1e6 / of("traced"; .submissions_per_s) - 1e6 / of("off"; .submissions_per_s) else null end)}' "$dir/all"
