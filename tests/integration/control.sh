#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The policy file and the monitor with a live agent under load: a load is whole or nothing, loses no
# request, and survives a restart.

set -eu
bin=$OOO_BUILD/bin
OOO_RUNTIME_DIR=$(mktemp -d)
export OOO_RUNTIME_DIR
dir=$OOO_RUNTIME_DIR
agent=
trap '[ -z "$agent" ] || kill "$agent"; wait; rm -rf "$dir"' EXIT

fail()
{
	echo "control.sh: $*" >&2
	exit 1
}

start()
{
	"$bin/ooo-agent" --device sim >>"$dir/log" 2>&1 &
	agent=$!
	for _ in $(seq 100); do
		[ -e "$dir/control" ] && return
		sleep 0.1
	done
	fail "no agent: $(cat "$dir/log")"
}

stop()
{
	kill "$agent"
	wait "$agent" || true
	agent=
}

ctl()
{
	"$bin/ooo-ctl" "$@"
}

start
"$bin/ooo-run" --zoo mlp --tenants 2 --duration 4s >"$dir/run" 2>&1 &
run=$!
for _ in $(seq 100); do
	[ "$(ctl --json tenant list | jq length)" = 2 ] && break
	sleep 0.1
done
cat >"$dir/good.json" <<'END'
{ "defaults": { "weight": 50 },
  "rules": [ { "match": { "name": "mlp-1" }, "set": { "weight": 300, "class": "latency" } } ] }
END
echo '{"rules":[{"set":{"class":"latancy"}}]}' >"$dir/bad.json"
echo '{"rules":[{"set":{"partition":"nowhere"}}]}' >"$dir/nowhere.json"

weights()
{
	ctl --json tenant list | jq -c '[.[] | {(.name): .weight}] | add | [."mlp-0", ."mlp-1"]'
}

ctl policy check "$dir/good.json" >"$dir/out" || fail "a good file is refused"
[ "$(ctl --json policy diff "$dir/good.json" | jq length)" = 2 ] || fail "diff"
[ "$(weights)" = '[100,100]' ] || fail "a check or a diff changed something: $(weights)"
for file in bad nowhere; do
	code=0
	ctl policy load "$dir/$file.json" 2>"$dir/err" || code=$?
	[ $code = 1 ] || fail "$file.json: exit status $code"
	[ "$(weights)" = '[100,100]' ] || fail "$file.json changed something"
done
grep -q 'nowhere' "$dir/err" || fail "which partition is not said: $(cat "$dir/err")"
ctl policy load "$dir/good.json" >"$dir/out" || fail "load"
[ "$(weights)" = '[50,300]' ] || fail "after the load: $(weights)"
ctl policy save "$dir/saved.json"
cmp "$dir/good.json" "$dir/saved.json" || fail "save"
[ "$(ctl --json tenant list class latency name 'mlp-*' | jq -r '.[].name')" = mlp-1 ] ||
	fail "tenant list class latency"
[ "$(ctl --json tenant list name 'mlp-[23]' | jq length)" = 0 ] || fail "tenant list name"
[ "$(ctl --json tenant list user "$(id -u)" | jq length)" = 2 ] || fail "tenant list user"
ctl --json monitor --last 3 --count 3 >"$dir/events"
[ "$(jq -r .event "$dir/events" | sort | uniq -c | xargs)" = '1 policy_loaded 2 tenant_set' ] ||
	fail "events: $(cat "$dir/events")"
wait "$run" || fail "a request was lost: $(cat "$dir/run")"

stop
start
ctl policy show | cmp - "$dir/good.json" || fail "the policy is gone after a restart"
stop
echo '{' >"$dir/policy.json"
start
ctl policy show | cmp - "$dir/good.json" || fail "a broken file took the last good one away"
grep -q 'error: policy: ' "$dir/log" || fail "the broken file is not told"

# Ten thousand rules.
jq -n '{rules: [range(10000) | {match: {name: "t-\(.)"}, set: {weight: (1 + . % 1000)}}]}' >"$dir/many.json"
ctl policy load "$dir/many.json" | grep -q '10000 rules' || fail "10000 rules"
echo "control.sh: ok"
