#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# ooo-ctl simulate: what it prints is right where it can be reckoned, the same for the same seed, and
# wrong files are refused with a sentence that names the place.

set -eu

ctl=$OOO_BUILD/bin/ooo-ctl
dir=$(mktemp -d "${TMPDIR:-/tmp}/ooo-simulate.XXXXXX")
trap 'rm -rf "$dir"' EXIT
cd "$dir"

fail()
{
	echo "simulate: $*" >&2
	exit 1
}

# near VALUE EXPECTED PERCENT WHAT
near()
{
	awk -v v="$1" -v e="$2" -v p="$3" 'BEGIN { exit !(v >= e * (1 - p / 100) && v <= e * (1 + p / 100)) }' ||
		fail "$4: $1, expected $2 within $3 %"
}

simulate()
{
	"$ctl" simulate --device device.json --json "$@"
}

cat >device.json <<'EOF'
{ "format": "ooo-device/1", "name": "a device of the test", "lanes": 1, "lane_depth": 4,
  "max_items": 64, "width": 8, "launch": "0us", "gap": "0us", "report": "0us",
  "programs": {
    "short": { "steps": 2, "alone": "1ms", "together": "8000/s" },
    "long":  { "steps": 5, "alone": "4ms", "together": "1000/s" } } }
EOF

cat >weights.json <<'EOF'
{ "groups": [ { "name": "a", "program": "short", "closed": 64 },
              { "name": "b", "program": "long", "closed": 64 } ] }
EOF

# One tenant alone: its program's latency, nothing else.
echo '{ "groups": [ { "name": "one", "program": "short", "closed": 1 } ] }' >one.json
simulate --tenants one.json --duration 10s >out
near "$(jq '.runs[0].total.p50_ms' out)" 1 1 'p50 of one tenant alone'
near "$(jq '.runs[0].total.done_per_s' out)" 1000 1 'throughput of one tenant alone'
[ "$(jq '.runs[0].groups[0].steps' out)" = 2 ] || fail 'not all steps are simulated'

# Thirty-two saturate it: the rate together, shared alike.
echo '{ "groups": [ { "name": "many", "count": 32, "program": "short", "closed": 1 } ] }' >many.json
simulate --tenants many.json --duration 10s >out
near "$(jq '.runs[0].total.done_per_s' out)" 8000 2 'throughput of 32 tenants'
near "$(jq '.runs[0].jain_service' out)" 1 0.1 'Jain index of 32 equal tenants'

# Below capacity all that arrives completes: an hour of 10,000 tenants.
echo '{ "groups": [ { "name": "p", "count": 10000, "program": "long", "slo": "1s" } ] }' >poisson.json
simulate --tenants poisson.json --poisson 50/s --duration 1h >out
near "$(jq '.runs[0].total.offered' out)" 180000 2 'arrivals'
near "$(jq '.runs[0].total.goodput_per_s' out)" 50 2 'goodput below capacity'

# The same seed prints the same bytes; another seed does not.
simulate --tenants poisson.json --poisson 300/s --duration 20s --seed 7 >a
simulate --tenants poisson.json --poisson 300/s --duration 20s --seed 7 >b
cmp -s a b || fail 'the same seed printed something else'
simulate --tenants poisson.json --poisson 300/s --duration 20s --seed 8 >b
! cmp -s a b || fail 'another seed printed the same'
simulate --tenants weights.json --duration 1s --per-tenant >a
[ "$(jq '[.runs[0].tenants[].offered] | add == '"$(jq '.runs[0].total.offered' a)" a)" = true ] ||
	fail 'the tenants do not add up to the total'

# A trace, rescaled and repeated.
{ echo time; seq 0 0.5 100; } >trace.csv
simulate --tenants poisson.json --trace trace.csv --duration 100s >out
near "$(jq '.runs[0].total.offered' out)" 201 1 'arrivals of a trace'
simulate --tenants poisson.json --trace trace.csv --rate 100/s --duration 100s >out
near "$(jq '.runs[0].total.offered' out)" 10000 1 'arrivals of a rescaled trace'

# Weights share an overloaded device, and a policy changes that.
echo '{ "tenants": { "[b]": { "weight": 300 } } }' >policy.json
simulate --tenants weights.json --duration 20s --compare policy.json >out
[ "$(jq '.runs | length' out)" = 2 ] || fail '--compare did not run twice'
near "$(jq '.runs[0].groups[0].share_percent' out)" 50 2 'share of equal weights'
near "$(jq '.runs[1].groups[1].share_percent' out)" 75 2 'share of three times the weight'
"$ctl" simulate --device device.json --tenants weights.json --duration 1s --compare policy.json >out
grep -q 'default -> policy.json' out || fail 'no difference is shown'

# What the flight recorder saved: six requests of two tenants, one program that nobody knows.
cat >saved.jsonl <<'EOF'
{"record":"ooo","version":1,"device":"cpu","real_ns":1,"start_ns":1}
{"tenant":1,"name":"web","uid":0}
{"tenant":1,"program":0,"name":"short","steps":2}
{"tenant":2,"name":"other","uid":0}
{"tenant":2,"program":3,"name":"unknown","steps":1}
{"submit_ns":1000000,"tenant":1,"program":0,"deadline_ns":0,"finish_ns":2000000,"status":"ok","service_ns":1000000}
{"submit_ns":9000000,"tenant":1,"program":0,"deadline_ns":0,"finish_ns":9900000,"status":"ok","service_ns":1000000,"weight":3}
{"submit_ns":5000000,"tenant":2,"program":3,"deadline_ns":0,"finish_ns":7000000,"status":"ok","service_ns":2000000}
{"bundle":1,"lane":0,"start_ns":1,"end_ns":2,"members":1}
EOF
simulate --record saved.jsonl >out
[ "$(jq -c '[.runs[0].groups[] | [.group, .done]]' out)" = '[["web",4],["other",1]]' ] ||
	fail "replay: $(jq -c '.runs[0].groups' out)"
near "$(jq '.runs[0].groups[1].p50_ms' out)" 2 1 'latency of a program known from the record alone'

# refused EXIT PATTERN ARGUMENT...
refused()
{
	local want=$1 pattern=$2 code=0

	shift 2
	"$ctl" simulate "$@" >out 2>err || code=$?
	[ "$code" = "$want" ] || fail "$*: exit status $code, expected $want: $(cat err)"
	grep -qe "$pattern" err || fail "$*: no \"$pattern\" in: $(cat err)"
	[ ! -s out ] || fail "$*: printed something"
}

# edit FILE SED: a broken copy in broken.json
edit()
{
	sed "$2" "$1" >broken.json
}

refused 2 'no option' --device device.json --tenant one.jsn --nonsense
refused 2 'device is missing' --tenants one.json
refused 2 'exclude' --device device.json --tenants one.json --poisson 5/s --trace trace.csv
refused 2 'poisson 5: expected a rate' --device device.json --tenants one.json --poisson 5
refused 2 'duration 5: expected a time' --device device.json --tenants one.json --duration 5
refused 2 'No such file' --device device.json --tenants none.json
refused 2 'neither a file nor' --device h1000 --tenants one.json
refused 2 'no group takes' --device device.json --tenants one.json --poisson 5/s
refused 2 'neither "rate" nor "closed"' --device device.json --tenants poisson.json
edit one.json 's/closed/clsoed/'
refused 2 'unknown key "clsoed", did you mean "closed"' --device device.json --tenants broken.json
edit one.json 's/"short"/"shrot"/'
refused 2 'has no "shrot", it has short long' --device device.json --tenants broken.json
edit one.json 's/"closed": 1/"closed": 0/'
refused 2 'groups\[0\].closed: expected a whole number from 1' --device device.json --tenants broken.json
edit one.json 's/"closed": 1/"class": "latncy"/'
refused 2 'did you mean "latency"' --device device.json --tenants broken.json
edit one.json 's/ \]/ /'
refused 2 'line 1: not JSON' --device device.json --tenants broken.json
edit device.json 's/"0us"/"0"/'
refused 2 'launch: expected a time with its unit' --device broken.json --tenants one.json
edit device.json 's/"lanes": 1/"lanes": 99/'
refused 2 'lanes: expected a whole number from 1 to 16' --device broken.json --tenants one.json
edit device.json 's/"gap": "0us", //'
refused 2 '"gap" is missing' --device broken.json --tenants one.json
edit device.json 's/"gap": "0us"/"gap": "10ms"/'
refused 2 'short.alone: 1000 us is less' --device broken.json --tenants one.json
echo '{"weight":1}' >broken.jsonl
refused 2 'line 1: not what' --device device.json --record broken.jsonl
echo '{ "tenants": { "nobody": { "weight": 3 } } }' >broken.json
refused 2 'no group has such a name' --device device.json --tenants one.json --policy broken.json

# Of half as much again as the device can do, it still does nine tenths in time: the rest is refused, not late.
goodput()
{
	cat >over.json <<-END
		{ "groups": [ { "name": "r", "count": 16, "program": "resnet50", "rate": "$1/s",
		  "slo": "8ms", "deadlines": true, "admission": "reject" } ] }
	END
	"$ctl" simulate --device h100 --tenants over.json --duration 3s --json >out
	jq '.runs[0].total.goodput_per_s' out
}
most=$(goodput 330)
over=$(goodput 500)
[ "$(jq -n "$over >= 0.9 * $most")" = true ] || fail "goodput falls from $most to $over a second"

# A device file of this machine's processor, and it can be simulated.
"$ctl" calibrate --device cpu --threads 1 --programs mlp --tenants 2 --duration 1s -o cpu.json 2>/dev/null
echo '{ "groups": [ { "name": "one", "program": "mlp", "closed": 1 } ] }' >mlp.json
"$ctl" simulate --device cpu.json --tenants mlp.json --duration 20s --json >out
alone=$(jq -r '.programs.mlp.alone | rtrimstr("us") | tonumber / 1000' cpu.json)
# Both come from what was measured just now, on a machine that others may use: how close they are is
# for tests/bench/sim_validate.sh to say.
near "$(jq '.runs[0].total.p50_ms' out)" "$alone" 30 'a calibrated program alone'
code=0
"$ctl" calibrate --device nonsense -o none.json >out 2>err || code=$?
[ "$code" = 1 ] && grep -q nonsense err && [ ! -e none.json ] || fail "calibrate nonsense: $(cat err)"

"$ctl" simulate --help >out
grep -q -- '--per-tenant' out || fail 'no help'
for shipped in "$OOO_BUILD"/../packaging/devices/*.json packaging/devices/*.json; do
	[ -e "$shipped" ] || continue
	echo '{ "groups": [ { "name": "one", "program": "resnet50", "closed": 1 } ] }' >shipped.json
	"$ctl" simulate --device "$shipped" --tenants shipped.json --duration 100ms >/dev/null
done
echo 'simulate: ok'
