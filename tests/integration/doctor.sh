#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# `ooo-ctl doctor`: text and JSON agree, what is wrong is found, and its command mends it.

set -u
ctl=${OOO_BUILD:-build}/bin/ooo-ctl
dir=$(mktemp -d)
agent=

# shellcheck disable=SC2317 # by the trap
finish()
{
	[ -z "$agent" ] || { kill -9 "$agent"; wait "$agent"; } 2>/dev/null
	rm -rf "$dir"
}
trap finish EXIT

fail()
{
	echo "doctor.sh: $*" >&2
	cat "$dir/out" >&2
	exit 1
}

# doctor STATUS ARGUMENT...: what it prints is in $dir/out.
doctor()
{
	local want=$1 got
	shift
	"$ctl" --runtime-dir "$dir/run" doctor "$@" >"$dir/out" 2>"$dir/err"
	got=$?
	[ $got -eq "$want" ] || fail "doctor $* ended with $got, not $want"
}

# field CHECK KEY: from the JSON in $dir/out.
field()
{
	jq -r --arg check "$1" --arg key "$2" '.checks[] | select(.check == $check) | .[$key]' "$dir/out"
}

mkdir -m 0777 "$dir/run"
chmod 0777 "$dir/run"
doctor 1 --json
jq -e '(.checks | length) == .ok + .warn + .fail and .fail > 0' "$dir/out" >/dev/null || fail "counts do not add up"
jq -e 'all(.checks[]; (.why | length) > 0 and (.found | length) > 0 and (.status | IN("ok", "warn", "fail")))' \
	"$dir/out" >/dev/null || fail "a check says nothing"
[ "$(field runtime_dir status)" = fail ] || fail "a folder that all may write passes"
grep -q '1 of .* checks failed' "$dir/err" || fail "it does not say how many failed: $(cat "$dir/err")"
jq -r '.checks[].check' "$dir/out" >"$dir/keys"
eval "$(field runtime_dir do)" || fail "the command fails"
doctor 0 --json
[ "$(field runtime_dir status)" = ok ] || fail "its own command does not mend it"
[ "$(field agent status)" = warn ] || fail "an agent that is not there is not told"

doctor 0
awk '/^(ok|warn|fail) / { print $2 }' "$dir/out" | cmp -s - "$dir/keys" || fail "text and JSON show other checks"

OOO_RUNTIME_DIR=$dir/run "${OOO_BUILD:-build}/bin/ooo-agent" --device sim 2>"$dir/log" &
agent=$!
for ((i = 0; i < 200; i++)); do
	grep -q ready: "$dir/log" && break
	sleep 0.05
done
doctor 0 --json
[ "$(field agent status)" = ok ] || fail "an agent that runs is not found"
kill -STOP "$agent"
doctor 1 --json
[ "$(field agent status)" = fail ] || fail "an agent that does not answer passes"
kill -CONT "$agent"
echo "doctor.sh: ok"
