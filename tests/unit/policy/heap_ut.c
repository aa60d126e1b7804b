// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "agent/policy/heap.h"

#define N 500

static uint64_t next_random(uint64_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return *s;
}

/* Against a plain array: random inserts, removals and pops come out in order, ties by insertion. */
static void behaves_like_a_sorted_list(void **state)
{
	static struct heap_node nodes[N];
	bool in[N] = { 0 };
	struct heap h = { 0 };
	uint64_t s = 42;

	(void)state;
	for (int step = 0; step < 200000; step++) {
		int i = (int)(next_random(&s) % N);

		if (!in[i]) {
			heap_insert(&h, &nodes[i], next_random(&s) % 50);
			in[i] = true;
		} else if (next_random(&s) % 2) {
			heap_remove(&h, &nodes[i]);
			in[i] = false;
		} else {
			struct heap_node *min = heap_min(&h);
			struct heap_node *got = heap_pop(&h);

			assert_ptr_equal(min, got);
			for (int j = 0; j < N; j++) {
				if (in[j])
					assert_true(nodes[j].key > got->key ||
						    (nodes[j].key == got->key &&
						     nodes[j].seq >= got->seq));
			}
			in[got - nodes] = false;
		}
	}
	while (heap_pop(&h))
		;
	assert_true(heap_empty(&h));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(behaves_like_a_sorted_list),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
