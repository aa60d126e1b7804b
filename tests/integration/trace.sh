#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# ooo-ctl trace: every BPF program loads here; what they count is what the agent counts; a tool that
# is killed leaves no listener.

set -u
build=${OOO_BUILD:-build}
dir=$(mktemp -d)
log=$dir/agent.log
agent=
tool=

# shellcheck disable=SC2317 # by the trap
finish()
{
	local pid

	for pid in $tool $agent; do
		kill -CONT "$pid" 2>/dev/null
		kill -9 "$pid" 2>/dev/null
		wait "$pid" 2>/dev/null
	done
	rm -rf "$dir"
}
trap finish EXIT

fail()
{
	echo "trace.sh: $*" >&2
	[ ! -s "$log" ] || tail -n 30 "$log" >&2
	exit 1
}

export OOO_RUNTIME_DIR=$dir/run
mkdir "$OOO_RUNTIME_DIR"

ctl()
{
	"$build/bin/ooo-ctl" --runtime-dir "$OOO_RUNTIME_DIR" "$@"
}

load()
{
	"$build/bin/ooo-run" --zoo mlp --quiet "$@" >"$dir/load" 2>&1 || fail "the load: $(cat "$dir/load")"
}

ctl trace latency 2>"$dir/err"
[ $? -eq 3 ] || fail "without an agent: $(cat "$dir/err")"
"$build/bin/ooo-agent" --device cpu --threads 1 2>"$log" &
agent=$!
for ((i = 0; i < 400; i++)); do
	grep -q 'ready:' "$log" && break
	sleep 0.05
done
grep -q 'ready:' "$log" || fail "the agent is not ready"

# Whoever may not, or cannot, is told so in one sentence.
if ! ctl trace latency --interval 0.1 >/dev/null 2>"$dir/err"; then
	[ "$(wc -l <"$dir/err")" -eq 1 ] || fail "not one sentence: $(cat "$dir/err")"
	grep -Eq 'built without BPF|trace: cannot .* not permitted' "$dir/err" ||
		fail "trace: $(cat "$dir/err")"
	echo "trace.sh: BPF programs are NOT TESTED here: $(cat "$dir/err")"
	exit 77
fi

# How many listeners the agent's probes have.
listeners()
{
	"${OOO_PYTHON:-python3}" - "$agent" "$build/bin/ooo-agent" <<'PY'
import os, subprocess, sys

pid, path = sys.argv[1], os.path.realpath(sys.argv[2])
with open(f"/proc/{pid}/maps") as maps:
    base = min(int(line.split("-")[0], 16) for line in maps if line.rstrip().endswith(path))
count = 0
with open(f"/proc/{pid}/mem", "rb") as memory:
    for line in subprocess.check_output(["nm", path], text=True).splitlines():
        if line.endswith("_semaphore") and " ooo_" in line:
            memory.seek(base + int(line.split()[0], 16))
            count += int.from_bytes(memory.read(2), "little")
print(count)
PY
}

# start KIND WORD...: until it listens.
start()
{
	: >"$dir/err" # here, not by the child: what the tool before it said is not this one's
	"$build/bin/ooo-ctl" --runtime-dir "$OOO_RUNTIME_DIR" trace "$@" --json >"$dir/out" 2>"$dir/err" &
	tool=$!
	for ((i = 0; i < 200; i++)); do
		grep -q 'tracing' "$dir/err" && return
		kill -0 "$tool" 2>/dev/null || fail "trace $*: $(cat "$dir/err")"
		sleep 0.05
	done
	fail "trace $* does not begin: $(cat "$dir/err")"
}

stop()
{
	kill -INT "$tool"
	wait "$tool" || fail "trace ended with status $?: $(cat "$dir/err")"
	tool=
	[ "$(wc -l <"$dir/out")" -eq 1 ] || fail "not one line of JSON: $(cat "$dir/out")"
}

value()
{
	jq -r "$1" "$dir/out"
}

# ---- latency: as many as there were, in each stage as long as it took ------------------------------

start latency
[ "$(listeners)" -eq 1 ] || fail "trace latency listens to $(listeners) probes"
load --tenants 2 --requests 500
stop
[ "$(value .lost)" = 0 ] || fail "lost: $(cat "$dir/out")"
[ "$(value '[.stages[] | select(.stage == "all") | .count] | add')" = 1000 ] ||
	fail "not 1000 requests: $(cat "$dir/out")"
[ "$(value '[.stages[] | select(.stage == "run") | .count] | add')" = 1000 ] ||
	fail "not 1000 runs: $(cat "$dir/out")"
[ "$(value '[.stages[] | select(.stage == "all") | .buckets[][1]] | add')" = 1000 ] ||
	fail "buckets: $(cat "$dir/out")"
# Every moment of a request is one stage's.
value '[.stages[] | {all: (.stage == "all"), us: (.count * .mean_us)}] |
	(map(select(.all) | .us) | add) as $all | (map(select(.all | not) | .us) | add) as $parts |
	if ($all - $parts | fabs) < 2 * 1000 then "same" else "\($all) \($parts)" end' | grep -qx same ||
	fail "stages do not add up: $(cat "$dir/out")"
value '.stages[].name' | grep -q '^mlp-0$' || fail "no name: $(cat "$dir/out")"

# One tenant alone, by name; intervals follow each other without a gap.
start latency tenant mlp-1 --interval 0.1 --count 100000
load --tenants 2 --requests 20
for ((i = 0; i < 400 && $(wc -l <"$dir/out") < 2; i++)); do
	sleep 0.05
done
kill -INT "$tool"
wait "$tool" || fail "trace with intervals: $(cat "$dir/err")"
tool=
[ "$(wc -l <"$dir/out")" -ge 2 ] || fail "not two intervals: $(cat "$dir/out")"
[ "$(jq -s '[.[].stages[] | select(.stage == "all") | .count] | add' "$dir/out")" = 20 ] ||
	fail "not the 20 of one tenant: $(cat "$dir/out")"

# ---- slow: the slowest, in order -------------------------------------------------------------------

start slow --slowest 5
load --tenants 2 --requests 200
stop
[ "$(value .requests)" = 400 ] || fail "slow saw: $(cat "$dir/out")"
[ "$(value '.requests_slowest | length')" = 5 ] || fail "slow: $(cat "$dir/out")"
[ "$(value '[.requests_slowest[].latency_us] | . == (sort | reverse)')" = true ] ||
	fail "not the slowest first: $(cat "$dir/out")"

# ---- rings -----------------------------------------------------------------------------------------

start rings
load --tenants 1 --requests 300
stop
[ "$(value '.tenants[0] | .published > 0 and .published == .awake + .woken')" = true ] ||
	fail "rings: $(cat "$dir/out")"

# ---- offcpu: a stopped agent is the host's stall, not the device's -----------------------------------

start offcpu
load --tenants 1 --requests 50
kill -STOP "$agent"
sleep 0.7
kill -CONT "$agent"
load --tenants 1 --requests 50
stop
[ "$(value '[.threads[] | select(.thread == "ooo-dispatcher") | .stopped_us] | add > 500000')" = true ] ||
	fail "offcpu does not see that the dispatcher was stopped: $(cat "$dir/out")"
[ "$(value '.host_stall_us > 500000 and .bundles > 0')" = true ] || fail "offcpu: $(cat "$dir/out")"
[ "$(value '[.threads[] | select(.role == "tenant")] | length > 0')" = true ] ||
	fail "offcpu knows no tenant's thread: $(cat "$dir/out")"

# ---- nothing stays -----------------------------------------------------------------------------------

[ "$(listeners)" -eq 0 ] || fail "a tool that ended left listeners"
for kind in latency slow rings offcpu; do
	start "$kind"
	[ "$(listeners)" -gt 0 ] || fail "trace $kind does not listen"
	{ kill -9 "$tool" && wait "$tool"; } 2>/dev/null
	tool=
	for ((i = 0; i < 100; i++)); do
		[ "$(listeners)" -eq 0 ] && break
		sleep 0.05
	done
	[ "$(listeners)" -eq 0 ] || fail "trace $kind left listeners when it was killed"
done

# An agent that is killed ends the trace.
start latency
{ kill -9 "$agent" && wait "$agent"; } 2>/dev/null
agent=
wait "$tool" || fail "trace of an agent that is gone: $(cat "$dir/err")"
tool=
exit 0
