#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The public headers stand alone in C and in C++, old and new; the library exports what they declare
# and nothing else; the example of the README builds against the installed layout and runs.

set -u
build=${OOO_BUILD:-build}
root=${OOO_ROOT:-.}
work=${TEST_TMPDIR:-$(mktemp -d)}
export OOO_RUNTIME_DIR=${OOO_RUNTIME_DIR:-$work}
agent=''

fail()
{
	echo "public_headers.sh: $*" >&2
	[ -z "$agent" ] || kill -9 "$agent" 2>/dev/null
	exit 1
}

strict=(-Wall -Wextra -Werror -pedantic)
for header in "$build"/include/ooo/*.h; do
	name=ooo/$(basename "$header")
	echo "#include <$name>" >"$work/alone.c"
	for std in c99 c11 gnu17; do
		${CC:-cc} -std=$std "${strict[@]}" -I"$build/include" -c "$work/alone.c" -o "$work/alone.o" ||
			fail "$name does not compile as $std"
	done
	for std in c++11 c++17 c++20; do
		${CXX:-c++} -x c++ -std=$std "${strict[@]}" -I"$build/include" -c "$work/alone.c" -o "$work/alone.o" ||
			fail "$name does not compile as $std"
	done
done

declared=$(grep -oE '\booo_[a-z0-9_]+\(' "$build/include/ooo/ooo.h" |
	tr -d '(' | sort -u)
exported=$(nm -D --defined-only "$build/lib/libooo.so" | awk '$2 == "T" { sub(/@.*/, "", $3); print $3 }' |
	sort -u)
for symbol in $exported; do
	grep -qE "\b$symbol\(" "$build/include/ooo/ooo.h" || fail "$symbol is exported but not declared"
done
for symbol in $declared; do
	grep -qx "$symbol" <<<"$exported" || fail "$symbol is declared but not exported"
done

link=("-L$build/lib" -looo "-Wl,-rpath,$build/lib")
case ${OOO_SANITIZE:-} in
asan) link+=("-fsanitize=address,undefined") ;;
tsan) link+=(-fsanitize=thread) ;;
esac
example=$root/tests/examples/tenant.c
${CC:-cc} -std=gnu11 "${strict[@]}" -I"$build/include" "$example" "${link[@]}" -o "$work/tenant" ||
	fail "the example does not build as C"
${CXX:-c++} -x c++ -std=c++11 "${strict[@]}" -I"$build/include" "$example" -x none "${link[@]}" -o "$work/tenant++" ||
	fail "the example does not build as C++"
"$work/tenant" 2>"$work/err" && fail "the example ran without an agent"
grep -q 'no agent at' "$work/err" || fail "without an agent it says: $(cat "$work/err")"

"$build/bin/ooo-agent" --device cpu --threads 1 2>"$work/agent.log" &
agent=$!
for ((i = 0; i < 200; i++)); do
	grep -qs 'ready:' "$work/agent.log" && break
	kill -0 "$agent" 2>/dev/null || fail "the agent did not start: $(cat "$work/agent.log")"
	sleep 0.05
done
for program in tenant tenant++; do
	out=$(timeout 60 "$work/$program") || fail "$program: status $?"
	# 3 1 times W plus the bias is -0.5 10 3; late is no failure on a slow machine
	grep -qE '^(ok|late): relu\(x \* W \+ b\) = 0 10 3 after' <<<"$out" || fail "$program: $out"
done
kill "$agent"
wait "$agent" || fail "the agent ended with status $?"
echo "public headers: $(wc -w <<<"$exported") functions exported, as declared"
