#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# One agent, one good tenant and every bad one (hostile.c). The agent must be there at the end, have
# dropped nobody but the bad ones, hold on to nothing of theirs, and drain when told to.
# test-timeout: 300

set -u
build=${OOO_BUILD:-build}
export OOO_RUNTIME_DIR=${OOO_RUNTIME_DIR:-$(mktemp -d)}
log=$OOO_RUNTIME_DIR/agent.log

fail()
{
	echo "hostile.sh: $*" >&2
	echo "--- the agent's log, its end:" >&2
	tail -n 30 "$log" >&2
	kill -9 "$agent" 2>/dev/null
	exit 1
}

open_files()
{
	find "/proc/$agent/fd" -mindepth 1 -maxdepth 1 | wc -l
}

"$build/bin/ooo-agent" --device cpu --threads 2 2>"$log" &
agent=$!
for ((i = 0; i < 200; i++)); do
	grep -q 'ready:' "$log" && break
	kill -0 "$agent" 2>/dev/null || fail "the agent did not start"
	sleep 0.05
done
before=$(open_files)

timeout 250 "$build/tests/integration/hostile" "${1:-1}" || fail "exit status $?"
kill -0 "$agent" 2>/dev/null || fail "the agent is gone"

# What the bad tenants had is released: no descriptor is left, and nobody is connected.
for ((i = 0; i < 100; i++)); do
	[ "$(open_files)" -le "$before" ] && break
	sleep 0.1
done
[ "$(open_files)" -le "$before" ] || fail "$(open_files) descriptors are open, $before were"

kill -TERM "$agent"
wait "$agent"
status=$?
# Two requests of one binding write the same output: a race, but the bad tenant's own.
if [ $status -eq 66 ] && [ "${OOO_SANITIZE:-}" = tsan ]; then
	races=$(grep -c 'WARNING: ThreadSanitizer' "$log")
	[ "$races" -eq "$(grep -c 'Location is .*memfd:ooo-arena' "$log")" ] && status=0
fi
[ $status -eq 0 ] || fail "drain ended with status $status"
grep -q '"good".*dropped' "$log" && fail "the good tenant was dropped"
exit 0
