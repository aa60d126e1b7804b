#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The tenants' times by stage in a pinned map: readable with bpftool, the same counts as `ooo-ctl trace latency` has,
# kept over a restart, gone with the agent, and no obstacle when the agent was killed.

set -u
build=${OOO_BUILD:-build}
dir=$(mktemp -d)
fs=$dir/bpf
log=$dir/agent.log
agent=
tool=

# shellcheck disable=SC2317 # by the trap
finish()
{
	local pid

	for pid in $tool $agent; do
		kill -9 "$pid" 2>/dev/null
		wait "$pid" 2>/dev/null
	done
	mountpoint -q "$fs" && umount "$fs"
	rm -rf "$dir"
}
trap finish EXIT

fail()
{
	echo "stages.sh: $*" >&2
	[ ! -s "$log" ] || tail -n 30 "$log" >&2
	exit 1
}

export OOO_RUNTIME_DIR=$dir/run
mkdir -m 700 "$OOO_RUNTIME_DIR" "$fs"
PATH=$PATH:/usr/sbin

start()
{
	"$build/bin/ooo-agent" --device sim --sim-paced --sim-step-ns 20000 "$@" 2>"$log" &
	agent=$!
	for ((i = 0; i < 400; i++)); do
		grep -q 'ready:' "$log" && return
		sleep 0.05
	done
	fail "the agent is not ready"
}

load()
{
	"$build/bin/ooo-run" --zoo mlp --quiet "$@" >"$dir/load" 2>&1 || fail "the load: $(cat "$dir/load")"
}

# ---- without a map: counted all the same, and said ---------------------------------------------------

metric()
{
	"$build/bin/ooo-ctl" metrics --json |
		jq -r "[.[] | select(.metric == \"ooo_tenant_stage_seconds_total\" and .labels.stage == \"$1\") | .value] | add"
}

start --bpf-fs memory
"$build/bin/ooo-run" --zoo mlp --quiet --tenants 2 --duration 2s --rate 200 >"$dir/load" 2>&1 &
tool=$!
for ((i = 0; i < 100; i++)); do
	[[ $(metric run) == 0.0[1-9]* ]] && break
	sleep 0.05
done
[ "$i" -lt 100 ] || fail "no time of the stage run: $(metric run)"
wait "$tool" || fail "the load: $(cat "$dir/load")"
tool=
kill "$agent"
wait "$agent" || fail "the agent ended with status $?"
agent=
start --bpf-fs /proc
grep -Eq 'times by stage are counted in (plain memory|a map that is not pinned): .*/proc is no BPF|times by stage are counted in plain memory: ' "$log" ||
	fail "nothing says that there is no pinned map"
kill "$agent"
wait "$agent"
agent=

if ! mount -t bpf bpf "$fs" 2>"$dir/err" || ! command -v bpftool >/dev/null; then
	echo "stages.sh: pinned maps are NOT TESTED here: no bpftool, or $(cat "$dir/err")"
	exit 77
fi
start --bpf-fs "$fs"
if grep -q 'times by stage are counted in plain memory' "$log"; then
	echo "stages.sh: pinned maps are NOT TESTED here: $(cat "$log")"
	exit 77
fi

# ---- what bpftool shows --------------------------------------------------------------------------------

pin()
{
	find "$fs/ooo" -name 'stages*' 2>/dev/null
}

# JQ-EXPRESSION over the places that somebody had
dump()
{
	bpftool map dump pinned "$(pin)" >"$dir/dump" || fail "bpftool: $(cat "$dir/dump")"
	jq -r "[.[].value | select(.tenant != 0)] | $1" "$dir/dump"
}

[ "$(pin)" = "$fs/ooo/stages-$agent" ] || fail "pinned as \"$(pin)\""
load --tenants 2 --requests 300
[ "$(dump '[.[] | select(.name == "mlp-0" or .name == "mlp-1") | .requests] | tostring')" = '[300,300]' ] ||
	fail "not 300 requests each: $(dump 'map({name, requests}) | tostring')"
[ "$(dump '[.[] | .run.bucket | add] | add')" = 600 ] || fail "not 600 in the buckets: $(dump tostring)"
[ "$(dump '[.[] | .run.sum_ns] | add > 600 * 20000')" = true ] || fail "less time than the device took: $(dump tostring)"

# ---- and the tracer -------------------------------------------------------------------------------------

"$build/bin/ooo-ctl" trace latency --json >"$dir/out" 2>"$dir/err" &
tool=$!
for ((i = 0; i < 200; i++)); do
	grep -q tracing "$dir/err" && break
	kill -0 "$tool" 2>/dev/null || break
	sleep 0.05
done
if grep -q tracing "$dir/err"; then
	load --tenants 2 --requests 400
	kill -INT "$tool"
	wait "$tool" || fail "trace: $(cat "$dir/err")"
	for stage in ring run retire; do
		traced=$(jq "[.stages[] | select(.stage == \"$stage\") | .count] | add" "$dir/out")
		counted=$(dump "[.[] | select(.requests == 400) | .$stage.bucket | add] | add")
		[ "$traced" = "$counted" ] || fail "$stage: $traced traced, $counted counted"
	done
else
	wait "$tool"
	echo "stages.sh: no tracer to compare with: $(cat "$dir/err")"
fi
tool=

# ---- restart, killing, the end ----------------------------------------------------------------------------

"$build/bin/ooo-run" --zoo mlp --quiet --requests 600 --rate 300 >"$dir/load" 2>&1 &
tool=$!
sleep 0.5
kill -USR2 "$agent"
wait "$tool" || fail "the load over a restart: $(cat "$dir/load")"
tool=
grep -q 'resumed: ' "$log" || fail "it did not restart"
[ "$(pin)" = "$fs/ooo/stages-$agent" ] || fail "pinned as \"$(pin)\" after a restart"
[ "$(dump '[.[] | select(.requests == 600)] | length')" = 1 ] ||
	fail "not 600 requests over a restart: $(dump 'map({name, requests}) | tostring')"
[ "$(dump '[.[] | select(.requests == 300)] | length')" = 2 ] ||
	fail "what was counted before the restart is gone: $(dump 'map({name, requests}) | tostring')"
{ kill -9 "$agent" && wait "$agent"; } 2>/dev/null
agent=
[ -n "$(pin)" ] || fail "who took the map of an agent that was killed away?"
start --bpf-fs "$fs"
[ "$(pin)" = "$fs/ooo/stages-$agent" ] || fail "after a killed agent: \"$(pin)\""
load --requests 50
[ "$(dump '[.[] | .requests] | add')" = 50 ] || fail "not anew: $(dump tostring)"
kill "$agent"
wait "$agent" || fail "the agent ended with status $?"
agent=
[ -z "$(pin)" ] || fail "left behind: $(pin)"
exit 0
