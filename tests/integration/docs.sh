#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The manual pages format without warnings and name every word and option that the programs take;
# bash's completion offers them, and what a live agent has.

set -u
build=$(realpath "${OOO_BUILD:-build}")
dir=$(mktemp -d)
export OOO_RUNTIME_DIR=$dir/run PATH=$build/bin:$PATH
pids=()
mkdir "$dir/run"

# shellcheck disable=SC2317 # by the trap
finish()
{
	for pid in "${pids[@]}"; do
		kill -9 "$pid"
		wait "$pid"
	done 2>/dev/null
	rm -rf "$dir"
}
trap finish EXIT

fail()
{
	echo "docs.sh: $*" >&2
	exit 1
}

# page NAME.SECTION: as text without any layout.
page()
{
	cat "$build"/doc/man"${1##*.}"/"$1" | sed -e 's/\\-/-/g' -e 's/\\f[BIRP]//g' -e 's/\\&//g'
}

has()
{
	grep -qF -- "$2" <<<"$(page "$1")" || fail "$1 does not tell of '$2'"
}

# ---- pages ----------------------------------------------------------------------------------------

for file in "$build"/doc/man*/*; do
	if command -v man >/dev/null; then
		warnings=$(LC_ALL=C.UTF-8 MANWIDTH=100 man --warnings -E UTF-8 -l "$file" 2>&1 >/dev/null)
	elif command -v groff >/dev/null; then
		warnings=$(groff -ww -man -Tutf8 "$file" 2>&1 >/dev/null)
	else
		warnings=
	fi
	[ -z "$warnings" ] || fail "$file: $warnings"
	grep -q '^@' "$file" && fail "$file: a line of the prose was not replaced"
done
command -v man >/dev/null || command -v groff >/dev/null || echo "docs.sh: no man, no groff: layout is not checked"

# Every verb with its arguments is a line "  object [verb] ..." of the usage.
objects=$(ooo-ctl --help | sed -n '/^Options/q; s/^  \([a-z][a-z]*\) .*/\1/p' | sort -u)
[ "$(wc -w <<<"$objects")" -ge 10 ] || fail "usage names few objects: $objects"
for object in $objects; do
	has ooo-ctl.8 "ooo-ctl-$object"
	# Lines of its usage: "  object [verb] ...". The planner's tools have none.
	for verb in $(ooo-ctl "$object" --help | sed -n "3,/^\$/s/^  $object \[*\([a-z]*\).*/\1/p"); do
		case $object in
		simulate | calibrate) ;;
		*) has "ooo-ctl-$object.8" ".SS $object $verb" ;;
		esac
	done
	for option in $(ooo-ctl "$object" --help | grep -oE -- '^ {2,6}--[a-z-]*'); do
		has "ooo-ctl-$object.8" "$option"
	done
done
for option in $(ooo-ctl --help | grep -o -- '--[a-z-]*' | sort -u); do
	grep -rqF -- "$option" <(for p in "$build"/doc/man8/ooo-ctl*; do page "${p##*/}"; done) ||
		fail "no page of ooo-ctl tells of $option"
done
for option in $(ooo-agent --help | grep -o -- '^  --[a-z-]*'); do
	has ooo-agent.8 ".B $option"
done
for option in $(ooo-run --help | grep -o -- '^  --[a-z-]*'); do
	has ooo-run.1 ".B $option"
done
for function in $(grep -o '\booo_[a-z_]*(' "${0%/*}/../../shared/client/ooo.h" | sort -u); do
	has libooo.3 "$function"
done

# ---- completion -----------------------------------------------------------------------------------

ooo-agent --device sim 2>"$dir/log" &
pids+=($!)
for ((i = 0; i < 200; i++)); do
	grep -q ready: "$dir/log" && break
	sleep 0.05
done
ooo-run --zoo mlp --name webshop --duration 300s --quiet >/dev/null 2>&1 &
pids+=($!)
for ((i = 0; i < 200; i++)); do
	ooo-ctl tenant list | grep -q webshop && break
	sleep 0.05
done

# offers WORD...: what bash offers for the last word, which may be empty.
offers()
{
	# shellcheck disable=SC1091,SC2154
	bash --norc -c '. "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _ooo_ctl
		printf "%s\n" "${COMPREPLY[@]}"' bash "$build/doc/completion/ooo-ctl" "$@"
}

offered()
{
	local want=$1
	shift
	grep -qx -- "$want" <<<"$(offers "$@")" || fail "completion of '$*' lacks $want: $(offers "$@" | tr '\n' ' ')"
}

for object in $objects; do
	offered "$object" ooo-ctl ""
done
[ "$(offers ooo-ctl ten)" = tenant ] || fail "'ten' is not completed"
offered list ooo-ctl tenant ""
offered set ooo-ctl --json tenant ""
offered weight ooo-ctl tenant set ""
offered --interval ooo-ctl stats show --i
offered p99 ooo-ctl top --sort p
offered webshop-0 ooo-ctl tenant set w
offered batch ooo-ctl tenant set webshop-0 class ""
offered webshop-0 ooo-ctl top tenant ""
offered "$dir/run" ooo-ctl --runtime-dir "$dir/r"
[ -z "$(offers ooo-ctl tenant nonsense)" ] || fail "nonsense is completed"
{ kill -9 "${pids[0]}"; wait "${pids[0]}"; } 2>/dev/null
offers ooo-ctl top tenant "" >"$dir/out" 2>&1
[ -z "$(cat "$dir/out")" ] || fail "without an agent completion says $(od -c "$dir/out" | head -3)"
if command -v zsh >/dev/null; then
	zsh -n "$build/doc/completion/_ooo-ctl" || fail "zsh does not read its completion"
fi
echo "docs.sh: ok"
