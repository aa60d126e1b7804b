#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# run.sh [-t SECONDS] [-f SUBSTRING] [--allow-none] TEST... - run tests: unit tests on all
#                                                     processors, others one after another.
# run.sh --exec SCRIPT [ARG]...                     - run one script in the same environment.
#
# A test passes with exit status 0, is skipped with 77 (its last line says
# why), and fails with any other, or when it outlives its timeout.  A script
# may ask for another timeout: "# test-timeout: 300" among its first lines.
# A cmocka program (*_ut) must have run at least one case.  Whatever a test
# leaves running is killed.  A *_fuzz program runs for FUZZ_SECONDS.
#
# With CI=true a skip is a failure, unless tests/skips-allowed names the test
# and gives a reason.
#
# A test finds in its environment:
#   OOO_ROOT, OOO_BUILD   the source tree; the build in use, whose bin/ leads PATH
#   OOO_PYTHON            a Python, with tests/requirements.txt where PyPI could be reached
#   OOO_SANITIZE          asan, tsan or nothing
#   OOO_EMU_DRIVER        a libcuda.so.1 that runs the kernels without a GPU (tests/emu)
#   TEST_TMPDIR           an empty folder of its own, removed when it passes
#   OOO_RUNTIME_DIR       a folder below it for the agent's socket and port file

set -u
export LC_ALL=C.UTF-8

OOO_ROOT=$(cd "$(dirname "$0")/.." && pwd)
OOO_BUILD=${OOO_BUILD:-$OOO_ROOT/build}
OOO_VENV=${OOO_VENV:-$OOO_ROOT/build/venv}
OOO_SANITIZE=${OOO_SANITIZE:-}
OOO_EMU_DRIVER=${OOO_EMU_DRIVER:-$OOO_BUILD/emu/libcuda.so.1}
OOO_PYTHON=$OOO_VENV/bin/python
[ -x "$OOO_PYTHON" ] || OOO_PYTHON=python3
PATH=$OOO_BUILD/bin:$PATH
export OOO_ROOT OOO_BUILD OOO_SANITIZE OOO_PYTHON OOO_EMU_DRIVER PATH
export PYTHONDONTWRITEBYTECODE=1
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_stack_use_after_return=1:strict_string_checks=1}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}
export TSAN_OPTIONS=${TSAN_OPTIONS:-halt_on_error=0:exitcode=66:second_deadlock_stack=1}
cd "$OOO_ROOT" || exit 1

if [ "${1:-}" = --exec ]; then
	shift
	if [ ! -e "$1" ]; then
		echo "run.sh: there is no $1" >&2
		exit 1
	fi
	exec bash "$@"
fi

limit=120
filter=
allow_none=
while [ $# -gt 0 ]; do
	case $1 in
	-t) limit=$2 && shift 2 ;;
	-f) filter=$2 && shift 2 ;;
	--allow-none) allow_none=1 && shift ;;
	*) break ;;
	esac
done

# Sanitizers map their shadow at fixed places, which large address-space
# randomisation can hit; without it they also report the same addresses twice.
fixed_addresses=()
if [ -n "$OOO_SANITIZE" ] && setarch "$(uname -m)" -R true 2>/dev/null; then
	fixed_addresses=(setarch "$(uname -m)" -R)
fi

logs=$OOO_BUILD/test-logs
scratch=$(mktemp -d "${TMPDIR:-/tmp}/ooo-test.XXXXXX") || exit 1
nr_passed=0
nr_failed=0
nr_skipped=0
nr_started=0
declare -A running=() began=() tmpdirs=() # by process group: the test, when in ms, its folder

stop()
{
	local group

	for group in "${!running[@]}"; do
		kill -KILL -- "-$group" 2>/dev/null
	done
	rm -rf "$scratch"
	exit 130
}
trap stop INT TERM

# The reason that tests/skips-allowed gives for a test, if any.
skip_allowed()
{
	awk -v name="$1" '$1 == name && NF > 1 { found = 1 } END { exit !found }' \
		tests/skips-allowed 2>/dev/null
}

# The command line of a test.
command_of()
{
	local test=$1 name=$2 seeds

	case $test in
	*.py) command=("$OOO_PYTHON" "$test") ;;
	*.sh) command=(bash "$test") ;;
	*_fuzz)
		mkdir -p "$OOO_BUILD/corpus/$name" "$OOO_BUILD/crashes"
		seeds=tests/fuzz/seeds/$(basename "$test" _fuzz)
		[ -d "$seeds" ] || seeds=
		command=("$test" -max_total_time="${FUZZ_SECONDS:-60}" -timeout=10 -print_final_stats=1
			-artifact_prefix="$OOO_BUILD/crashes/$(basename "$test")-"
			"$OOO_BUILD/corpus/$name" ${seeds:+"$seeds"})
		;;
	*) command=("$test") ;;
	esac
	command=("${fixed_addresses[@]}" "${command[@]}")
}

limit_of()
{
	local own=

	case $1 in
	*.sh | *.py) own=$(sed -n '1,20s/^# test-timeout: *\([0-9][0-9]*\).*/\1/p' "$1") ;;
	esac
	echo "${own:-$limit}"
}

seconds()
{
	local ms=$1
	printf '%d.%01d s' $((ms / 1000)) $((ms % 1000 / 100))
}

# Prints the verdict line and counts it; a failure is followed by its log's end.
report()
{
	local verdict=$1 name=$2 note=$3

	printf '%-4s %s (%s)\n' "$verdict" "$name" "$note"
	case $verdict in
	ok) nr_passed=$((nr_passed + 1)) ;;
	SKIP) nr_skipped=$((nr_skipped + 1)) ;;
	FAIL)
		nr_failed=$((nr_failed + 1))
		tail -n 60 "$log" | sed 's/^/     | /'
		echo "     whole log: $log"
		;;
	esac
}

# A skip, of a test or of some of its cases, that must be allowed by name.
unwelcome_skip()
{
	[ "${CI:-}" = true ] && ! skip_allowed "$1"
}

judge()
{
	local name=$1 rc=$2 took=$3 max=$4 cases="" skipped="" reason

	case $rc in
	0) ;;
	77)
		reason=$(grep -v '^[[:space:]]*$' "$log" | tail -n 1)
		if unwelcome_skip "$name"; then
			report FAIL "$name" "skipped, which tests/skips-allowed does not allow: ${reason:-no reason given}"
		else
			report SKIP "$name" "${reason:-no reason given}"
		fi
		return
		;;
	124 | 137)
		report FAIL "$name" "timed out or killed, $took of $max s"
		return
		;;
	*)
		report FAIL "$name" "status $rc, $took"
		return
		;;
	esac
	case $name in
	*_ut)
		cases=$(sed -n 's/^\[  PASSED  \] \([0-9]*\) test.*/\1/p' "$log" | awk '{ n += $1 } END { print n + 0 }')
		skipped=$(grep -c '^\[  SKIPPED \] [A-Za-z_]' "$log")
		if [ "$cases" -eq 0 ]; then
			report FAIL "$name" "ran no case"
			return
		fi
		if [ "$skipped" -gt 0 ] && unwelcome_skip "$name"; then
			report FAIL "$name" "$skipped cases skipped, which tests/skips-allowed does not allow"
			return
		fi
		;;
	*_fuzz)
		cases=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
		;;
	esac
	report ok "$name" "$took${cases:+, $cases cases}${skipped:+$([ "$skipped" -gt 0 ] && echo ", $skipped SKIPPED")}"
}

name_of()
{
	local name

	name=$(realpath -ms "$1")
	name=${name#"$OOO_BUILD"/tests/}
	echo "${name#"$OOO_ROOT"/tests/}"
}

# Job control puts each test into a process group, which dies as a whole.
set -m
launch()
{
	local test=$1 name

	name=$(name_of "$test")
	log=$logs/$name.log
	mkdir -p "${log%/*}"
	export TEST_TMPDIR=$scratch/$((nr_started++))
	export OOO_RUNTIME_DIR=$TEST_TMPDIR/run
	mkdir -p "$TEST_TMPDIR" "$OOO_RUNTIME_DIR"
	command_of "$test" "$name"
	timeout -k 10 "$(limit_of "$test")" "${command[@]}" >"$log" 2>&1 </dev/null &
	running[$!]=$test
	began[$!]=$(date +%s%3N)
	tmpdirs[$!]=$TEST_TMPDIR
}

# The next one that ends.
reap()
{
	local group rc test name dir took

	wait -n -p group "${!running[@]}" 2>/dev/null
	rc=$?
	test=${running[$group]}
	dir=${tmpdirs[$group]}
	took=$(seconds $(($(date +%s%3N) - began[$group])))
	name=$(name_of "$test")
	log=$logs/$name.log
	if kill -KILL -- "-$group" 2>/dev/null; then
		echo "run.sh: the test left processes behind; they were killed" >>"$log"
	fi
	unset "running[$group]" "began[$group]" "tmpdirs[$group]"
	judge "$name" "$rc" "$took" "$(limit_of "$test")"
	if [ "$rc" -eq 0 ] || [ "$rc" -eq 77 ]; then
		rm -rf "$dir"
	else
		rm -rf "$logs/$name.tmp"
		mv "$dir" "$logs/$name.tmp" 2>/dev/null
	fi
}

# Until no more than so many run.
reap_to()
{
	while [ ${#running[@]} -gt "$1" ]; do
		reap
	done
}

jobs=$(nproc)
for test in "$@"; do
	[[ -z $filter || $(name_of "$test") == *"$filter"* ]] || continue
	case $test in
	*_ut)
		reap_to $((jobs - 1))
		launch "$test"
		;;
	*)
		reap_to 0
		launch "$test"
		reap
		;;
	esac
done
reap_to 0
rm -rf "$scratch"

echo "$nr_passed passed, $nr_failed failed, $nr_skipped skipped"
[ "$nr_failed" -eq 0 ] || exit 1
if [ $((nr_passed + nr_skipped)) -eq 0 ] && [ -z "$allow_none" ]; then
	echo "run.sh: there was nothing to run" >&2
	exit 1
fi
exit 0
