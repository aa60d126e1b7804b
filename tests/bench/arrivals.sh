#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Goodput and tail latency under a bursty arrival trace at 60, 90 and 150 % of what the device can do.
#
#   arrivals.sh TRACE.csv     first column: arrival times, as for ooo-run --arrivals
#
# DEVICE (cpu), ZOO (mobilenet_v2), TENANTS (4), SECONDS_EACH (10), DEADLINE (the time of ten
# requests alone), POLICIES: "default" and any that ooo-agent --policy takes, where it has that
# option. One JSON object a line; goodput counts requests that met their deadline.

set -eu

trace=${1:?usage: arrivals.sh TRACE.csv}
device=${DEVICE:-cpu}
zoo=${ZOO:-mobilenet_v2}
tenants=${TENANTS:-4}
seconds=${SECONDS_EACH:-10}
precision=$([ "$device" = cpu ] || echo '--precision fp16')
dir=$(mktemp -d "${TMPDIR:-/tmp}/ooo-arrivals.XXXXXX")
export OOO_RUNTIME_DIR=$dir PATH=$OOO_BUILD/bin:$PATH
agent=

policies=default
! ooo-agent --help | grep -q -- '--policy .*fifo' || policies='default fifo'
policies=${POLICIES:-$policies}

stop_agent()
{
	[ -z "$agent" ] || { kill -TERM "$agent" 2>/dev/null && wait "$agent" || true; }
	agent=
}

start_agent()
{
	: >"$dir/agent.log"
	ooo-agent --device "$device" "$@" >"$dir/agent.log" 2>&1 &
	agent=$!
	for _ in $(seq 300); do
		! grep -q ready "$dir/agent.log" || return 0
		sleep 0.1
	done
	cat "$dir/agent.log" >&2
	exit 1
}
trap 'stop_agent; rm -rf "$dir"' EXIT

run()
{
	# shellcheck disable=SC2086
	ooo-run --zoo "$zoo" $precision --duration "${seconds}s" --json --quiet "$@" || [ $? -eq 1 ]
}

start_agent
alone=$(run | jq .p50_ms)
capacity=$(run --tenants "$tenants" --inflight 4 | jq .requests_per_s)
stop_agent
deadline=${DEADLINE:-$(jq -n "$alone * 10")ms}

for policy in $policies; do
	for percent in 60 90 150; do
		if [ "$policy" = default ]; then
			start_agent
		else
			start_agent --policy "$policy"
		fi
		run --tenants "$tenants" --arrivals "$trace" --deadline "$deadline" \
			--rate "$(jq -n "$capacity * $percent / 100 / $tenants")/s" >"$dir/out.json"
		stop_agent
		jq -c --arg policy "$policy" --argjson percent "$percent" --argjson capacity "$capacity" \
			--arg deadline "$deadline" --argjson seconds "$seconds" '
			{ bench: "arrivals", device, model, policy: $policy, load_percent: $percent,
			  capacity_per_s: ($capacity * 10 | round / 10), deadline: $deadline,
			  goodput_per_s: (.ok / $seconds * 10 | round / 10), late, refused, failed,
			  p50_ms, p99_ms }' "$dir/out.json"
	done
done
