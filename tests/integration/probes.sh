#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The USDT probes: each of the table is in the agent or in libooo, with four arguments and a
# semaphore; what fires is what happened; a tracer that is killed leaves nobody listening.

set -u
build=${OOO_BUILD:-build}
table=${OOO_ROOT:-.}/shared/abi/probes.def
script=${OOO_ROOT:-.}/bpf/scripts/stages.bt
dir=$(mktemp -d)
log=$dir/agent.log
agent=
tracer=

# shellcheck disable=SC2317 # by the trap
finish()
{
	local pid

	for pid in $tracer $agent; do
		kill -9 "$pid" 2>/dev/null
		wait "$pid" 2>/dev/null
	done
	rm -rf "$dir"
}
trap finish EXIT

fail()
{
	echo "probes.sh: $*" >&2
	[ ! -s "$log" ] || tail -n 30 "$log" >&2
	exit 1
}

# notes FILE: "name semaphore number-of-arguments" of each of its probes.
notes()
{
	readelf -n "$1" 2>/dev/null | awk '
		/Provider:/ { ours = $2 == "ooo" }
		/Name:/ { name = $2 }
		/Semaphore:/ { semaphore = $NF }
		/Arguments:/ && ours { print name, semaphore, NF - 1 }'
}

# ---- what is built in ----------------------------------------------------------------------------

if ! echo '#include <sys/sdt.h>' | ${CC:-cc} -E -x c - >/dev/null 2>&1; then
	echo "probes.sh: built without sys/sdt.h (systemtap-sdt-dev): probes are NOT TESTED here"
	exit 0
fi
names=$(sed -n 's/^PROBE(\([a-z]*\),.*/\1/p' "$table")
[ "$(wc -w <<<"$names")" -ge 8 ] || fail "$table names only: $names"
{
	notes "$build/bin/ooo-agent"
	notes "$build/lib/libooo.so"
} >"$dir/notes"
for name in $names; do
	grep -q "^$name " "$dir/notes" || fail "no code fires $name"
done
while read -r name semaphore arguments; do
	grep -qx "$name" <<<"$names" || fail "$table does not name $name"
	[[ $semaphore =~ ^0x0*$ ]] && fail "$name has no semaphore"
	[ "$arguments" -eq 4 ] || fail "$name has $arguments arguments"
done <"$dir/notes"

# ---- what fires ----------------------------------------------------------------------------------

if [ "$(id -u)" -ne 0 ] || ! command -v bpftrace >/dev/null; then
	echo "probes.sh: not root, or no bpftrace: live probes are NOT TESTED here"
	exit 0
fi

start_agent()
{
	"$build/bin/ooo-agent" --device cpu --threads 1 2>"$log" &
	agent=$!
	for ((i = 0; i < 200; i++)); do
		grep -q 'ready:' "$log" && return
		sleep 0.05
	done
	fail "the agent is not ready: $(cat "$log")"
}

# trace ARGUMENT...: false where this kernel has no BPF for us.
trace()
{
	: >"$dir/trace"
	bpftrace -p "$agent" "$@" >"$dir/trace" 2>&1 &
	tracer=$!
	for ((i = 0; i < 200; i++)); do
		[ "$(listeners)" -gt 0 ] && return
		kill -0 "$tracer" 2>/dev/null || return 1
		sleep 0.05
	done
	return 1
}

# bpftrace may miss a signal that comes while it reads its maps: ask again.
end_trace()
{
	for ((i = 0; i < 100; i++)); do
		kill -INT "$tracer" 2>/dev/null || break
		sleep 0.1
	done
	wait "$tracer"
	tracer=
}

# How many of the agent's probes have a listener: what the kernel wrote into its semaphores.
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
            count += int.from_bytes(memory.read(2), "little") > 0
print(count)
PY
}

export OOO_RUNTIME_DIR=$dir/run
mkdir "$OOO_RUNTIME_DIR"
start_agent
[ "$(listeners)" -eq 0 ] || fail "somebody listens before anybody attached"
if ! trace -e 'usdt:*:ooo:fetched { @fetched = count(); } usdt:*:ooo:done { @done = count();
		@ns = sum(*(uint64 *)uptr(arg3 + 56) - *(uint64 *)uptr(arg3 + 24)); }
	usdt:*:ooo:stage { @staged = sum(arg3); }'; then
	echo "probes.sh: bpftrace cannot attach: live probes are NOT TESTED here: $(tail -n 1 "$dir/trace")"
	exit 0
fi
"$build/bin/ooo-run" --zoo mlp --tenants 2 --requests 500 --quiet >"$dir/load" 2>&1 ||
	fail "the load: $(cat "$dir/load")"
end_trace
value()
{
	sed -n "s/^@$1: //p" "$dir/trace"
}
[ "$(value ns)" -gt 0 ] || fail "no time passed: $(cat "$dir/trace")"
[ "$(value done)" -eq 1000 ] || fail "done: $(cat "$dir/trace")"
[ "$(value fetched)" = "$(value done)" ] || fail "fetched is not done: $(cat "$dir/trace")"
[ "$(value staged)" = "$(value ns)" ] || fail "stages do not add up: $(cat "$dir/trace")"
[ "$(listeners)" -eq 0 ] || fail "a tracer that ended left a semaphore raised"

trace "$script" || fail "$script: $(cat "$dir/trace")"
{ kill -9 "$tracer" && wait "$tracer"; } 2>/dev/null
tracer=
for ((i = 0; i < 100; i++)); do
	[ "$(listeners)" -eq 0 ] && break
	sleep 0.05
done
[ "$(listeners)" -eq 0 ] || fail "a killed tracer left a semaphore raised"
kill -TERM "$agent"
wait "$agent" || fail "the agent ended with status $?"
agent=
exit 0
