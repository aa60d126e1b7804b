#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Admission control with a live agent: the rate that a tenant, or ooo-ctl for it, asks about; refusals
# and promises, and where they are counted.

set -eu
bin=$OOO_BUILD/bin
OOO_RUNTIME_DIR=$(mktemp -d)
export OOO_RUNTIME_DIR
dir=$OOO_RUNTIME_DIR
agent=
tenant=
trap 'kill $agent $tenant 2>/dev/null || :; wait; rm -rf "$dir"' EXIT

fail()
{
	echo "admit.sh: $*" >&2
	exit 1
}

ask()
{
	"$bin/ooo-ctl" --json admit tenant asks program "$@"
}

"$bin/ooo-agent" --device cpu >>"$dir/log" 2>&1 &
agent=$!
for _ in $(seq 100); do
	[ -e "$dir/control" ] && break
	sleep 0.1
done
[ -e "$dir/control" ] || fail "no agent: $(cat "$dir/log")"

coproc TENANT { "$OOO_BUILD/tests/integration/admit_tenant" asks 2>"$dir/tenant"; }
tenant=$TENANT_PID
read -r -t 60 word <&"${TENANT[0]}" || fail "the tenant ended: $(cat "$dir/tenant")"
[ "$word" = ok ] || fail "the tenant says $word"

ask square rate 1/s slo 10s | jq -e '.admitted == "yes" and .bound_ms > 0 and .bound_ms < 10000
	and .measured > 0 and .share_percent > 0 and .most_per_s >= 1' >"$dir/out" ||
	fail "1/s: $(cat "$dir/out")"
ask 0 rate 100000000/s | jq -e '.admitted == "no" and .bound_ms == null and .most_per_s > 0' \
	>"$dir/out" || fail "too many: $(cat "$dir/out")"
# Each answer names a rate that the next question is told yes for, and one above it no.
most=$(ask square rate 1/s slo 50ms | jq '.most_per_s | floor')
[ "$most" -lt 2 ] || ask square rate "$((most / 2))/s" slo 50ms | jq -e '.admitted == "yes"' \
	>"$dir/out" || fail "half of the most: $(cat "$dir/out")"
ask square rate "$((most * 4 + 4))/s" slo 50ms | jq -e '.admitted == "no"' >"$dir/out" ||
	fail "four times the most: $(cat "$dir/out")"

! ask round rate 1/s 2>"$dir/out" || fail "a program that is not there"
grep -q "has no program 'round'" "$dir/out" || fail "$(cat "$dir/out")"
! "$bin/ooo-ctl" admit tenant nobody program 0 rate 1/s 2>"$dir/out" || fail "nobody"
grep -q "no tenant 'nobody'" "$dir/out" || fail "$(cat "$dir/out")"

"$bin/ooo-ctl" --json tenant show asks | jq -e '.[0] | .promises_kept >= 1
	and .promises_broken == 0' >"$dir/out" || fail "the ledger: $(cat "$dir/out")"
"$bin/ooo-ctl" --json stats | jq -e '.tenants[0] | .promised >= 1 and .broken == 0
	and .refused >= 1' >"$dir/out" || fail "the counters: $(cat "$dir/out")"
"$bin/ooo-ctl" metrics | grep -q '^ooo_tenant_promises_total{.*} [1-9]' || fail "no metric"
exec {TENANT[1]}>&-
wait "$tenant"
tenant=
