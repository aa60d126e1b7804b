#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# How well `ooo-ctl simulate` predicts this machine: calibrates the cpu device, runs three open-loop
# workloads, saves what the flight recorder saw of each, replays that in the simulator, and prints
# both and their ratios, one JSON object a workload. The machine should be otherwise idle, and have
# cores for the tenants beside the agent's THREADS (1). SECONDS_EACH (8) of each workload.

set -eu

dir=$(mktemp -d "${TMPDIR:-/tmp}/ooo-validate.XXXXXX")
export OOO_RUNTIME_DIR=$dir
threads=${THREADS:-1}
seconds=${SECONDS_EACH:-8}
export PATH=$OOO_BUILD/bin:$PATH
agent=

stop_agent()
{
	[ -z "$agent" ] || { kill -TERM "$agent" 2>/dev/null && wait "$agent" || true; }
	agent=
}

start_agent()
{
	ooo-agent --device cpu --threads "$threads" >"$dir/agent.log" 2>&1 &
	agent=$!
	for _ in $(seq 300); do
		! grep -q ready "$dir/agent.log" || return 0
		sleep 0.1
	done
	cat "$dir/agent.log" >&2
	exit 1
}
trap 'stop_agent; rm -rf "$dir"' EXIT

start_agent
ooo-ctl calibrate --programs mlp,mobilenet_v2 --tenants 4 --duration "${seconds}s" -o "$dir/device.json" 2>/dev/null
stop_agent

# Requests a second of a program together, times a share of it.
rate()
{
	jq -r --arg p "$1" --argjson share "$2" --argjson tenants "$3" \
		'.programs[$p].together | rtrimstr("/s") | tonumber * $share / $tenants' "$dir/device.json"
}

# load PROGRAM TENANTS SHARE: in the background
load()
{
	ooo-run --zoo "$1" --tenants "$2" --rate "$(rate "$1" "$3" "$2")/s" --duration "${seconds}s" \
		--json --quiet >"$dir/run.$1.json" &
	loads="$loads $!"
}

# validate NAME: waits for the loads, replays what was recorded
validate()
{
	for pid in $loads; do
		wait "$pid"
	done
	ooo-ctl record save "$dir/saved.jsonl" >/dev/null
	stop_agent
	jq -s '[.[] | select(.submit_ns and .status == "ok")] | (map(.finish_ns - .submit_ns) | sort) as $l
		| (map(.submit_ns) | max - min) as $span | ($l | length) as $n
		| { p50_ms: ($l[($n * 0.5 | floor)] / 1e6), p99_ms: ($l[($n * 0.99 | floor)] / 1e6),
		    per_s: ($n * 1e9 / $span), requests: $n, span_s: ($span / 1e9) }' \
		"$dir/saved.jsonl" >"$dir/measured.json"
	ooo-ctl simulate --device "$dir/device.json" --record "$dir/saved.jsonl" --json >"$dir/simulated.json"
	jq -nc --arg name "$1" --slurpfile m "$dir/measured.json" --slurpfile s "$dir/simulated.json" '
		$m[0] as $m | $s[0].runs[0].total as $t | ($t.done / $m.span_s) as $rate
		| def r: . * 1000 | round / 1000;
		{ bench: "sim_validate", workload: $name, requests: $m.requests,
		  measured: { p50_ms: ($m.p50_ms | r), p99_ms: ($m.p99_ms | r), per_s: ($m.per_s | r) },
		  simulated: { p50_ms: ($t.p50_ms | r), p99_ms: ($t.p99_ms | r), per_s: ($rate | r) },
		  ratio: { p50: ($t.p50_ms / $m.p50_ms | r), p99: ($t.p99_ms / $m.p99_ms | r),
			   per_s: ($rate / $m.per_s | r) } }'
}

start_agent
loads=
load mlp 4 0.4
validate mlp_40_percent

start_agent
loads=
load mobilenet_v2 2 0.5
validate mobilenet_50_percent

start_agent
loads=
load mlp 2 0.25
load mobilenet_v2 2 0.25
validate mixed_50_percent
