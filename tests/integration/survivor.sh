#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# A tenant outlives its agent: killed twice, told to drain once. Each request is reported exactly
# once, the results after a reconnect are right, and the buffers stayed where they were.

set -u
build=${OOO_BUILD:-build}
export OOO_RUNTIME_DIR=${OOO_RUNTIME_DIR:-$(mktemp -d)}
log=$OOO_RUNTIME_DIR/agent.log
agent='' tenant='' generation=0

fail()
{
	echo "survivor.sh: $*" >&2
	tail -n 20 "$log" >&2
	[ -z "$agent" ] || kill -9 "$agent" 2>/dev/null
	[ -z "$tenant" ] || kill -9 "$tenant" 2>/dev/null
	exit 1
}

start_agent()
{
	"$build/bin/ooo-agent" --device cpu --threads 1 2>"$log" &
	agent=$!
	for ((i = 0; i < 600; i++)); do
		grep -qs 'ready:' "$log" && return
		kill -0 "$agent" 2>/dev/null || fail "the agent did not start"
		sleep 0.05
	done
	fail "the agent is not ready after 30 s"
}

# Until the tenant has said "up" $1 times.
wait_up()
{
	for ((i = 0; i < 1200; i++)); do
		[ "$(grep -c '^up' "$OOO_RUNTIME_DIR/out")" -ge "$1" ] && return
		kill -0 "$tenant" 2>/dev/null || fail "the tenant ended: $(cat "$OOO_RUNTIME_DIR/err")"
		sleep 0.05
	done
	fail "the tenant is not up again ($1) after 60 s"
}

: >"$OOO_RUNTIME_DIR/out"
start_agent
"$build/tests/integration/survivor" 3 >"$OOO_RUNTIME_DIR/out" 2>"$OOO_RUNTIME_DIR/err" &
tenant=$!
for signal in KILL TERM KILL KILL; do
	wait_up $((++generation))
	kill -$signal "$agent"
	wait "$agent" 2>/dev/null
	status=$?
	[ $signal = KILL ] || [ $status -eq 0 ] || fail "after SIGTERM the agent ended with status $status"
	[ "$generation" -eq 4 ] || start_agent
done
agent=''
wait "$tenant" || fail "the tenant: $(cat "$OOO_RUNTIME_DIR/err")"
tail -n 1 "$OOO_RUNTIME_DIR/out"
