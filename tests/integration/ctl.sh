#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# ooo-ctl with a live agent: every command as text and as JSON, wrong words, no agent, who may do
# what, and processes that pretend to be the agent.
# test-timeout: 240

set -u
build=${OOO_BUILD:-build}
python=${OOO_PYTHON:-python3}
dir=$(mktemp -d)
export OOO_RUNTIME_DIR=$dir/run
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
	echo "ctl.sh: $*" >&2
	echo "--- the agent's log, its end:" >&2
	tail -n 20 "$log" >&2
	exit 1
}

start_agent()
{
	: >"$log"
	"$build/bin/ooo-agent" --device sim "$@" 2>"$log" &
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

# expect STATUS COMMAND...: its output is left in $out, its complaints in $err.
expect()
{
	local want=$1 got
	shift

	out=$("$@" 2>"$dir/err")
	got=$?
	err=$(cat "$dir/err")
	[ $got -eq "$want" ] || fail "'$*' ended with $got, not $want: $out $err"
	[ "$want" -eq 0 ] || [ -n "$err" ] || fail "'$*' failed without a word"
}

says()
{
	[[ $err == *"$1"* ]] || fail "'$err' does not say '$1'"
}

# json EXPRESSION: true of `d`, the output's JSON, by Python.
json()
{
	"$python" -c 'import json, sys
d = json.loads(sys.argv[1])
sys.exit(not eval(sys.argv[2]))' "$out" "$1" || fail "not so: $1 of $out"
}

wait_for()
{
	for ((i = 0; i < 400; i++)); do
		[ -e "$1" ] && return
		sleep 0.05
	done
	fail "there is no $1"
}

ctl=$build/bin/ooo-ctl
mkdir "$OOO_RUNTIME_DIR"

# ---- no agent, wrong words: told apart before anything is asked ----------------------------------

expect 3 "$ctl" status
says "no agent: $OOO_RUNTIME_DIR/control is not there"
expect 3 "$ctl" --runtime-dir "$dir/nowhere" status
expect 2 "$ctl"
expect 2 "$ctl" tenat
says "did you mean 'tenant'?"
expect 2 "$ctl" st
says "may be status or stats"
expect 2 "$ctl" stats --interval never
expect 2 "$ctl" status --runtime-dir
expect 0 "$ctl" --help
[[ $out == *"stats reset"* ]] || fail "--help does not name stats reset"
expect 0 "$ctl" tenant --help
[[ $out == *workspace_mib* ]] || fail "tenant --help does not name the columns"
expect 0 "$ctl" --version

# ---- every command -------------------------------------------------------------------------------

start_agent
[ "$(stat -c %a "$OOO_RUNTIME_DIR/control")" = 644 ] || fail "the control file's mode"
[ "$(sed -n 's/^pid //p' "$OOO_RUNTIME_DIR/control")" = "$agent" ] || fail "the control file's pid"

"$build/bin/ooo-run" --zoo mlp --tenants 3 --duration 60s --rate 100/s --name load --quiet >"$dir/load" 2>&1 &
helpers+=($!)
for ((i = 0; i < 200; i++)); do
	expect 0 "$ctl" --json program list
	[ "$(grep -c '"program"' <<<"$out")" -ge 3 ] && break
	sleep 0.1
done

expect 0 "$ctl" status
[[ $out == *"device          sim"* ]] || fail "status: $out"
expect 0 "$ctl" status --json
json "d['pid'] == $agent and d['tenants'] == 3 and d['programs'] == 3 and not d['draining']"
json "d['uptime_s'] > 0 and d['weights_mib'] > 0 and d['resident_mib'] > 0"
expect 0 "$ctl" --json device list
json "len(d) == 1 and d[0]['device'] == 'sim' and d[0]['executes'] is False"
expect 0 "$ctl" --json tenant list
json "sorted(t['name'] for t in d) == ['load-0', 'load-1', 'load-2']"
json "all(t['user'] == '$(id -un)' and t['programs'] == 1 for t in d)"
first=$(sed -n 's/.*"tenant":[^0-9]*\([0-9]*\),.*/\1/p' <<<"$out" | head -n 1)
expect 0 "$ctl" --json program list tenant "$first"
json "len(d) == 1 and d[0]['tenant'] == $first and d[0]['steps'] > 0"
expect 1 "$ctl" program list tenant 4000000000
says "there is no tenant 4000000000"
expect 0 "$ctl" --json program list tenant load-1
json "len(d) == 1 and d[0]['steps'] > 0"
steps=$("$python" -c 'import json, sys; print(json.load(sys.stdin)[0]["steps"])' <<<"$out")
expect 0 "$ctl" --json program show mlp tenant load-1
json "[s['step'] for s in d] == list(range($steps)) and all(s['cost_us'] > 0 for s in d)"
expect 0 "$ctl" --json program show 0
json "len(d) == 3 * $steps and len({s['tenant'] for s in d}) == 3"
expect 1 "$ctl" program show nothing
says "there is no program 'nothing'"
expect 1 "$ctl" request list tenant nobody
says "there is no tenant 'nobody'"
expect 0 "$ctl" --json stats
json "d['dispatcher']['requests'] > 0 and len(d['tenants']) == 3"
json "all(t['completed'] > 0 and t['steps'] >= t['completed'] for t in d['tenants'])"
json "d['dispatcher']['items'] >= d['dispatcher']['bundles'] > 0"

# Columns and keys are the same words.
for command in "device list" "tenant list" "program list" "program show"; do
	# shellcheck disable=SC2086
	expect 0 "$ctl" $command
	heading=$(head -n 1 <<<"$out" | tr -s ' ')
	# shellcheck disable=SC2086
	expect 0 "$ctl" --json $command
	json "' '.join(d[0]) == '$heading'.strip()"
done
expect 0 "$ctl" status
keys=$(awk '{ print $1 }' <<<"$out" | tr '\n' ' ')
expect 0 "$ctl" --json status
json "' '.join(d) == '$keys'.strip()"

# Intervals: a line of JSON each, counted from the one before.
expect 0 "$ctl" --json stats --interval 0.2 --count 3
[ "$(wc -l <<<"$out")" -eq 3 ] || fail "three intervals: $out"
while read -r line; do
	out=$line
	json "0.1 < d['dispatcher']['since_s'] < 30 and d['dispatcher']['control_calls'] == 1"
done <<<"$out"
expect 0 "$ctl" stats --count 1
[[ $out == *requests_per_s* ]] || fail "stats --count 1: $out"

# A reset counts from zero and takes nothing from the tenants.
expect 0 "$ctl" --json stats
before=$out
expect 0 "$ctl" stats reset
[ -z "$out" ] || fail "stats reset says '$out'"
expect 0 "$ctl" --json stats
json "d['dispatcher']['since_s'] < json.loads('''$before''')['dispatcher']['since_s']"
json "d['dispatcher']['control_calls'] == 1"
expect 0 "$ctl" --json stats reset
json "d == {'done': True}"
grep -q "control: STATS_RESET by uid $(id -u)" "$log" || fail "the reset is not in the log"

# Output that cannot be written is no success.
if [ -w /dev/full ]; then
	"$ctl" status >/dev/full 2>/dev/null && fail "wrote to a full device"
fi

# ---- many at once --------------------------------------------------------------------------------

pids=()
for ((i = 0; i < 30; i++)); do
	"$ctl" --json tenant list >"$dir/many.$i" 2>&1 &
	pids+=($!)
done
for pid in "${pids[@]}"; do
	wait "$pid" || fail "one of many ended with $?: $(cat "$dir"/many.*)"
done

# A flood of malformed messages from another socket does not keep others out.
"$python" - "$OOO_RUNTIME_DIR/control" "$dir/flooding" <<'PY' &
import random, socket, sys, time
port = int([l.split()[1] for l in open(sys.argv[1]) if l.startswith("port ")][0])
s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 2)
s.setblocking(False)
random.seed(1)
end = time.monotonic() + 60
open(sys.argv[2], "w").write("ready")
while time.monotonic() < end:
    try:
        s.sendto(random.randbytes(random.choice([0, 3, 16, 40, 600])), (port, 0))
    except OSError:
        time.sleep(0.0001)
PY
flood=$!
helpers+=("$flood")
wait_for "$dir/flooding"
sleep 0.3
answered=0
for ((i = 0; i < 20; i++)); do
	"$ctl" status >/dev/null 2>>"$dir/flooded" && answered=$((answered + 1))
done
# The same user's flood uses up the user's own share of requests: refusals are fine, silence is not.
grep -q 'no agent' "$dir/flooded" && fail "not answered beside a flood: $(cat "$dir/flooded")"
kill "$flood"
wait "$flood" 2>/dev/null
expect_calm()
{
	for ((i = 0; i < 100; i++)); do
		"$ctl" status >/dev/null 2>&1 && return
		sleep 0.1
	done
	fail "no answer after the flood: $("$ctl" status 2>&1)"
}
echo "beside a flood of the same user $answered of 20 were served"
expect_calm

# ---- other users ---------------------------------------------------------------------------------

# shellcheck disable=SC2317 # through expect
as_nobody()
{
	setpriv --reuid 65534 --regid "${nobody_gid:-65534}" --clear-groups env -u LD_PRELOAD "$@"
}

if [ "$(id -u)" -eq 0 ] && setpriv --reuid 65534 --regid 65534 --clear-groups true 2>/dev/null; then
	chmod 755 "$dir" "$OOO_RUNTIME_DIR"
	cp "$build/bin/ooo-ctl" "$dir/ooo-ctl"
	expect 0 as_nobody "$dir/ooo-ctl" --runtime-dir "$OOO_RUNTIME_DIR" --json status
	json "d['tenants'] == 3"
	expect 0 as_nobody "$dir/ooo-ctl" --runtime-dir "$OOO_RUNTIME_DIR" --json device list
	json "len(d) == 1"
	expect 0 as_nobody "$dir/ooo-ctl" --runtime-dir "$OOO_RUNTIME_DIR" --json tenant list
	json "d == []"
	expect 0 as_nobody "$dir/ooo-ctl" --runtime-dir "$OOO_RUNTIME_DIR" --json program list
	json "d == []"
	expect 0 as_nobody "$dir/ooo-ctl" --runtime-dir "$OOO_RUNTIME_DIR" --json stats
	json "d['tenants'] == [] and d['dispatcher']['turns'] > 0"
	expect 1 as_nobody "$dir/ooo-ctl" --runtime-dir "$OOO_RUNTIME_DIR" program list tenant "$first"
	says "there is no tenant $first"
	expect 1 as_nobody "$dir/ooo-ctl" --runtime-dir "$OOO_RUNTIME_DIR" stats reset
	says "refused: only root"
	grep -q 'control: refused STATS_RESET to uid 65534' "$log" || fail "the refusal is not in the log"
	others=1
else
	echo "ctl.sh: not root, or no setpriv: other users' rights are NOT TESTED here"
	others=
fi
stop_agent
[ ! -e "$OOO_RUNTIME_DIR/control" ] || fail "the agent left its control file behind"
expect 3 "$ctl" status

if [ -n "$others" ]; then
	# Any group will do whose number is not nobody's own.
	group=$(getent group | awk -F: '$3 > 0 && $3 != 65534 { print $1 ":" $3; exit }')
	start_agent --group "${group%%:*}"
	expect 1 as_nobody "$dir/ooo-ctl" --runtime-dir "$OOO_RUNTIME_DIR" stats reset
	says "members of group ${group%%:*}"
	nobody_gid=${group##*:}
	expect 0 as_nobody "$dir/ooo-ctl" --runtime-dir "$OOO_RUNTIME_DIR" stats reset
	nobody_gid=
	stop_agent
fi
"$build/bin/ooo-agent" --device sim --group no-such-group-here 2>"$log"
status=$?
[ $status -eq 1 ] || fail "an unknown group: status $status"
grep -q "there is no group 'no-such-group-here'" "$log" || fail "an unknown group is not named"

# ---- who is not the agent ------------------------------------------------------------------------

# An agent that was killed leaves its file behind; nobody is at its port.
start_agent
expect 0 "$ctl" status
cp "$OOO_RUNTIME_DIR/control" "$dir/control"
{ kill -9 "$agent" && wait "$agent"; } 2>/dev/null
agent=
expect 3 "$ctl" status
says "nobody listens"

# Another process takes that port and answers: it is not believed, whatever it says.
"$python" - "$dir/control" "$dir/impostor" <<'PY' &
import socket, struct, sys
fields = dict(l.split() for l in open(sys.argv[1]))
s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 2)
s.bind((int(fields["port"]), 0))
open(sys.argv[2], "w").write("ready")
while True:
    request, sender = s.recvfrom(65536)
    seq = struct.unpack("IHHII", request[:16])[3]
    body = struct.pack("HHQ", 12, 3, int(fields["agent_id"], 16))
    body += struct.pack("HHHH4s", 12, 0x8008, 8, 1, b"0.1\0")
    s.sendto(struct.pack("IHHII", 16 + len(body), 0x4f01, 0, seq, 0) + body, sender)
PY
helpers+=($!)
wait_for "$dir/impostor"
expect 3 "$ctl" status
says "another process has taken its port"
[ -z "$out" ] || fail "an impostor's answer was printed: $out"
expect 3 "$ctl" stats reset

# A file that others may write says nothing about the agent.
chmod 666 "$OOO_RUNTIME_DIR/control"
expect 3 "$ctl" status
says "may be written by others"

# A new agent takes the place of the killed one.
start_agent
expect 0 "$ctl" status
if [ "$(id -u)" -eq 0 ] && unshare -n true 2>/dev/null; then
	expect 3 unshare -n "$ctl" status
	says "another network namespace"
else
	echo "ctl.sh: no right to make a network namespace: that message is NOT TESTED here"
fi
stop_agent
exit 0
