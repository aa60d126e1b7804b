#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# An agent with several devices: where tenants are placed, what ooo-ctl says of each device, and
# what is left when one of them fails, for a moment or for good.

set -u
build=${OOO_BUILD:-build}
python=${OOO_PYTHON:-python3}
dir=$(mktemp -d)
export OOO_RUNTIME_DIR=$dir
log=$dir/agent.log
agent=
helpers=()

# shellcheck disable=SC2317 # by the trap
finish()
{
	local pid

	for pid in $agent "${helpers[@]}"; do
		kill -9 "$pid" 2>/dev/null
		wait "$pid" 2>/dev/null
	done
	rm -rf "$dir"
}
trap finish EXIT

fail()
{
	echo "devices.sh: $*" >&2
	echo "--- the agent's log, its end:" >&2
	tail -n 20 "$log" >&2
	exit 1
}

start_agent()
{
	: >"$log"
	"$build/bin/ooo-agent" "$@" 2>"$log" &
	agent=$!
	for ((i = 0; i < 400; i++)); do
		grep -q 'ready:' "$log" && return
		kill -0 "$agent" 2>/dev/null || fail "the agent did not start"
		sleep 0.05
	done
	fail "the agent is not ready"
}

stop_agent()
{
	kill -TERM "$agent"
	wait "$agent" || fail "the agent ended with status $?"
	agent=
}

# ctl WORD...: what ooo-ctl says, as JSON, is left in $out.
ctl()
{
	out=$("$build/bin/ooo-ctl" --json "$@" 2>&1) || fail "ooo-ctl $*: $out"
}

# so EXPRESSION: whether it is true of `d`, that JSON, by Python.
so()
{
	"$python" -c 'import json, sys
d = json.loads(sys.argv[1])
sys.exit(not eval(sys.argv[2]))' "$out" "$1"
}

json()
{
	so "$1" || fail "not so: $1 of $out"
}

# ---- two devices ---------------------------------------------------------------------------------

start_agent --device sim,sim --sim-step-ns 1000 --max-weights 100000000 --max-workspace 200000000
grep -q 'device 1: sim' "$log" || fail "the second device is not announced"
"$build/bin/ooo-run" --zoo mlp --tenants 4 --duration 60s --rate 100/s --quiet >"$dir/load" 2>&1 &
helpers+=($!)
for ((i = 0; i < 200; i++)); do
	ctl device list
	so "sum(x['tenants'] for x in d) == 4 and all(x['bundles'] > 0 for x in d)" && break
	sleep 0.1
done
json "[x['index'] for x in d] == [0, 1] and all(x['device'] == 'sim' for x in d)"
json "[x['tenants'] for x in d] == [2, 2]"
json "all(x['state'] == 'running' and x['bundles'] > 0 and x['resets'] == 0 for x in d)"
json "all(x['weights_mib'] > 0 and 0 <= x['busy_percent'] for x in d)"
ctl tenant list
json "sorted(t['device'] for t in d) == [0, 0, 1, 1]"
json "all(0 < t['weights_mib'] <= t['weights_max_mib'] for t in d)"
json "all(abs(t['weights_max_mib'] - 100000000 / 1048576) < 0.01 for t in d)"
json "all(abs(t['workspace_max_mib'] - 200000000 / 1048576) < 0.01 for t in d)"
tenant=$("$python" -c 'import json, sys; print(json.loads(sys.argv[1])[0]["tenant"])' "$out")
ctl tenant set "$tenant" weight 250
"$build/bin/ooo-ctl" tenant set "$tenant" partition rt >"$dir/out" 2>&1 && fail "sim has no partitions"
grep -q "has no partition 'rt'" "$dir/out" || fail "the refusal does not say why: $(cat "$dir/out")"
ctl tenant list
json "[t['weight'] for t in d if t['tenant'] == $tenant] == [250] and d[0]['partition'] == ''"
ctl status
json "d['devices'] == 2 and d['devices_lost'] == 0 and d['tenants'] == 4"
ctl stats
json "d['dispatcher']['bundles'] > 0 and len(d['tenants']) == 4"
kill "${helpers[0]}"
wait "${helpers[0]}" 2>/dev/null
helpers=()
stop_agent

# ---- a quota that is too small says so -----------------------------------------------------------

start_agent --device sim --max-weights 1000
"$build/bin/ooo-run" --zoo mlp --requests 1 >"$dir/out" 2>&1 && fail "weights beyond the quota"
grep -q 'quota of weights' "$dir/out" || fail "the refusal does not say why: $(cat "$dir/out")"
stop_agent

# ---- an administrator's quota holds for what is loaded from then on ------------------------------

start_agent --device sim
echo '{"rules":[{"match":{"name":"mlp-*"},"set":{"memory":"1MiB"}}]}' >"$dir/quota.json"
"$build/bin/ooo-ctl" policy load "$dir/quota.json" >"$dir/out"
"$build/bin/ooo-run" --zoo mlp --requests 1 >"$dir/out" 2>&1 && fail "memory beyond the tenant's quota"
grep -q 'quota of 1048576 bytes of device memory' "$dir/out" ||
	fail "the refusal does not say why: $(cat "$dir/out")"
echo '{}' >"$dir/quota.json"
"$build/bin/ooo-ctl" policy load "$dir/quota.json" >"$dir/out"
"$build/bin/ooo-run" --zoo mlp --duration 60s --rate 100/s --quiet >"$dir/load" 2>&1 &
helpers+=($!)
for ((i = 0; i < 200; i++)); do
	ctl tenant show
	so "len(d) == 1 and d[0]['memory_used_mib'] > 0" && break
	sleep 0.1
done
json "d[0]['memory_used_mib'] >= 32 and d[0]['memory_max_mib'] == 0"
"$build/bin/ooo-ctl" tenant set mlp-0 memory 64GiB >"$dir/out" 2>&1 || fail "memory 64GiB: $(cat "$dir/out")"
[ -s "$dir/out" ] && fail "a quota that is large enough is remarked on: $(cat "$dir/out")"
"$build/bin/ooo-ctl" tenant set mlp-0 memory 1MiB >"$dir/out" 2>&1 || fail "memory 1MiB: $(cat "$dir/out")"
grep -q 'note: .*more than its new quota' "$dir/out" || fail "nothing is said of the use: $(cat "$dir/out")"
ctl tenant show
json "d[0]['memory_max_mib'] == 1 and d[0]['memory_used_mib'] >= 32"
kill "${helpers[0]}"
wait "${helpers[0]}" 2>/dev/null
helpers=()
stop_agent

# ---- errors that pass ----------------------------------------------------------------------------

start_agent --device sim --sim-lanes 3 --sim-step-ns 1000 --sim-fail-every 50 --sim-fail-scope 2
"$build/bin/ooo-run" --zoo mlp --tenants 2 --requests 200 --json >"$dir/json" 2>"$dir/out"
out=$(cat "$dir/json")
json "d['ok'] > 0 and d['failed'] > 0 and d['ok'] + d['failed'] == 400"
grep -q 'was reset while the request ran' "$dir/out" || fail "no request was lost: $(cat "$dir/out")"
ctl device list
json "len(d) == 1 and d[0]['resets'] > 0 and d[0]['state'] == 'running' and d[0]['lanes'] == 3"
grep -q 'device sim: goes on' "$log" || fail "the device did not go on"
stop_agent

# ---- and one that does not -----------------------------------------------------------------------

start_agent --device sim --sim-step-ns 1000 --sim-fail-every 20 --sim-fail-scope 3
"$build/bin/ooo-run" --zoo mlp --requests 100 >"$dir/out" 2>&1
ctl status
json "d['devices'] == 1 and d['devices_lost'] == 1"
ctl device list
json "d[0]['state'] == 'lost'"
"$build/bin/ooo-run" --zoo mlp --requests 1 >"$dir/out" 2>&1 && fail "a lost device took a tenant"
grep -q 'failed for good' "$dir/out" || fail "the refusal does not say why: $(cat "$dir/out")"
stop_agent
