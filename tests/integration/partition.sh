#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Partitions come and go under load: tenants move in and out, no request is lost, a restart keeps
# them; one with tenants in it stays, and a device that cannot be split says so.

set -eu
bin=$OOO_BUILD/bin
OOO_RUNTIME_DIR=$(mktemp -d)
export OOO_RUNTIME_DIR
dir=$OOO_RUNTIME_DIR
agent=
trap '[ -z "$agent" ] || kill "$agent"; wait; rm -rf "$dir"' EXIT

fail()
{
	echo "partition.sh: $*" >&2
	exit 1
}

start()
{
	"$bin/ooo-agent" --device "$1" >>"$dir/log" 2>&1 &
	agent=$!
	for _ in $(seq 100); do
		[ -e "$dir/control" ] && return
		sleep 0.1
	done
	fail "no agent: $(cat "$dir/log")"
}

ctl()
{
	"$bin/ooo-ctl" "$@"
}

# refused SENTENCE COMMAND...
refused()
{
	local sentence=$1 code=0

	shift
	ctl "$@" 2>"$dir/err" || code=$?
	[ $code = 1 ] || fail "$*: exit status $code"
	grep -q -- "$sentence" "$dir/err" || fail "$*: $(cat "$dir/err")"
}

partitions()
{
	ctl --json partition list | jq -c '[.[] | [.partition, .sms, .tenants]]'
}

start sim
# Longer than the commands below take, which a sanitizer slows down.
"$bin/ooo-run" --zoo mlp --tenants 2 --duration "$([ -n "${OOO_SANITIZE-}" ] && echo 9s || echo 3s)" \
	>"$dir/run" 2>&1 &
run=$!
for _ in $(seq 100); do
	[ "$(ctl --json tenant list | jq '[.[] | select(.name | startswith("mlp-"))] | length')" = 2 ] && break
	sleep 0.1
done

ctl partition add other sms 8
ctl partition add rt sms 30
[ "$(partitions)" = '[["other",8,0],["rt",32,0]]' ] || fail "added: $(partitions)"
refused 'exists already' partition add rt sms 8
refused 'are the most that there are now' partition add large sms 4000
refused 'sms N' partition add small
refused 'no device 3' partition add small sms 8 device 3
refused 'cannot be called' partition add none sms 8
refused 'no partition .nowhere' partition del nowhere
ctl tenant set mlp-0 partition rt
[ "$(ctl --json tenant show mlp-0 | jq -r '.[0].partition')" = rt ] || fail "mlp-0 is not in rt"
[ "$(ctl --json tenant list partition rt | jq -r '.[].name')" = mlp-0 ] || fail "tenant list partition rt"
refused 'has 1 tenants' partition del rt
ctl partition del other

# Over a restart it stays, though it stands elsewhere now, and so does a drain.
ctl drain
ctl restart
sleep 0.3
[ "$(partitions)" = '[["rt",32,1]]' ] || fail "after a restart: $(partitions)"
[ "$(ctl --json status | jq .draining)" = true ] || fail "the drain ended with a restart"
ctl resume
[ "$(ctl --json status | jq .draining)" = false ] || sleep 0.2
[ "$(ctl --json status | jq .draining)" = false ] || fail "resume"
[ "$(ctl --json tenant show mlp-0 | jq -r '.[0].partition')" = rt ] || fail "mlp-0 left rt"
before=$(ctl --json stats | jq '[.tenants[] | select(.name == "mlp-0") | .completed] | add')
sleep 0.2
after=$(ctl --json stats | jq '[.tenants[] | select(.name == "mlp-0") | .completed] | add')
[ "$after" -gt "$before" ] || fail "nothing of mlp-0 completes in rt"
ctl tenant set mlp-0 partition none
ctl partition del rt || fail "rt is empty and does not go"
[ "$(partitions)" = '[]' ] || fail "deleted: $(partitions)"

# A policy makes its partitions and takes them away again, with everything else or not at all.
cat >"$dir/a.json" <<'END'
{ "partitions": { "fast": { "sms": 24 } },
  "rules": [ { "match": { "name": "mlp-1" }, "set": { "partition": "fast" } } ] }
END
echo '{ "partitions": { "one": { "sms": 8 }, "two": { "sms": 4000 } } }' >"$dir/b.json"
echo '{ "partitions": { "fast": { "sms": 64 } } }' >"$dir/c.json"
echo '{ "partitions": { "fast": { "smss": 64 } } }' >"$dir/d.json"
ctl policy diff "$dir/a.json" | grep -q 'partition none -> fast' || fail "diff of a partition to come"
[ "$(partitions)" = '[]' ] || fail "a diff made a partition"
ctl policy load "$dir/a.json" >"$dir/out"
[ "$(partitions)" = '[["fast",24,1]]' ] || fail "of a policy: $(partitions)"
refused 'are the most that there are now' policy load "$dir/b.json"
refused 'has 24 SMs and the policy gives it 64' policy load "$dir/c.json"
refused 'did you mean "sms"' policy load "$dir/d.json"
[ "$(partitions)" = '[["fast",24,1]]' ] || fail "a refused policy left: $(partitions)"
ctl restart
sleep 0.3
[ "$(partitions)" = '[["fast",24,1]]' ] || fail "of a policy, after a restart: $(partitions)"
wait "$run" || fail "a request was lost: $(cat "$dir/run")"
kill "$agent"
wait "$agent" || true
start sim
[ "$(partitions)" = '[["fast",24,0]]' ] || fail "of a policy, at the start: $(partitions)"
echo '{}' >"$dir/none.json"
ctl policy load "$dir/none.json" >"$dir/out"
[ "$(partitions)" = '[]' ] || fail "the policy without partitions left: $(partitions)"
kill "$agent"
wait "$agent" || true

start cpu
refused "no device here can be partitioned" policy load "$dir/a.json"
refused 'cannot be partitioned' partition add rt sms 8
echo "partition.sh: ok"
