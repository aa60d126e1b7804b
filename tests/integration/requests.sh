#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# request list and bundle list beside a load: what tenants keep in flight is there, each request once,
# with the names of those whom the asker may see.

set -u
build=${OOO_BUILD:-build}
ctl=$build/bin/ooo-ctl
OOO_RUNTIME_DIR=$(mktemp -d)
export OOO_RUNTIME_DIR
dir=$OOO_RUNTIME_DIR
log=$dir/agent.log
agent=
load=

# shellcheck disable=SC2317 # by the trap
finish()
{
	local pid

	for pid in $load $agent; do
		kill -9 "$pid" 2>/dev/null
		wait "$pid" 2>/dev/null
	done
	rm -rf "$dir"
}
trap finish EXIT

fail()
{
	echo "requests.sh: $*" >&2
	tail -n 20 "$log" >&2
	exit 1
}

# until EXPRESSION COMMAND...: its JSON meets the expression, within a while.
until_json()
{
	local want=$1

	shift
	for ((i = 0; i < 300; i++)); do
		"$ctl" --json "$@" >"$dir/out" 2>"$dir/err" || fail "$*: $(cat "$dir/err")"
		[ "$(jq "$want" "$dir/out")" = true ] && return
		sleep 0.05
	done
	fail "$*: not $want: $(cat "$dir/out")"
}

"$build/bin/ooo-agent" --device cpu --threads 1 2>"$log" &
agent=$!
for ((i = 0; i < 400; i++)); do
	grep -q 'ready:' "$log" && break
	sleep 0.05
done
until_json '. == []' request list
until_json '. == []' bundle list

"$build/bin/ooo-run" --zoo resnet18 --tenants 2 --inflight 6 --duration 600s --deadline 30s --name net --quiet \
	>"$dir/load" 2>&1 &
load=$!
until_json 'length == 12' request list
until_json 'map("\(.tenant) \(.number)") | length == (unique | length)' request list
until_json 'length > 0 and all(.[]; .steps > 20 and .steps_done < .steps and .due_ms > 29000 and .due_ms < 31000 and
	.age_ms >= 0 and .program == "resnet18" and (.state == "waiting" or .lane == 0))' request list
until_json 'any(.[]; .state == "running") and any(.[]; .state == "ready" or .state == "waiting")' request list
until_json 'length == 6 and all(.[]; .name == "net-1")' request list tenant net-1
until_json 'length > 0 and all(.[]; .items > 0 and (.members | test("^[0-9]+:[0-9]+( [0-9]+:[0-9]+)*$")) and .class != "")' \
	bundle list
until_json 'any(.[]; .state == "running" and .predicted_ms > 0)' bundle list

# Columns and keys are the same words.
for object in request bundle; do
	until_json 'length > 0' "$object" list
	keys=$(jq -r '.[0] | keys_unsorted | join(" ")' "$dir/out")
	heading=$("$ctl" "$object" list | head -n 1 | tr -s ' ' | sed 's/ *$//')
	[ "$object" = bundle ] || [ "${heading/ lane / }" = "${keys/ lane / }" ] || fail "columns: $heading; keys: $keys"
	[ "$object" = request ] || [ "$heading" = "$keys" ] || fail "columns: $heading; keys: $keys"
done

# Whoever is nobody's owner and no administrator sees that work is there, and not whose.
if [ "$(id -u)" -eq 0 ] && command -v setpriv >/dev/null; then
	chmod 755 "$dir"
	cp "$ctl" "$dir/ooo-ctl"
	as_nobody()
	{
		(cd / && setpriv --reuid 65534 --regid 65534 --clear-groups "$dir/ooo-ctl" --runtime-dir "$dir" --json "$@")
	}
	[ "$(as_nobody request list)" = "[]" ] || fail "nobody sees requests"
	for ((i = 0; i < 100; i++)); do
		seen=$(as_nobody bundle list | jq -c '[.[].members]')
		[ "$seen" != "[]" ] && break
		sleep 0.05
	done
	[ "$(jq 'length > 0 and all(.[]; test("^[+][0-9]+$"))' <<<"$seen")" = true ] || fail "nobody sees bundles as $seen"
fi

kill "$load"
wait "$load" 2>/dev/null
load=
until_json '. == []' request list
until_json '. == []' bundle list
exit 0
