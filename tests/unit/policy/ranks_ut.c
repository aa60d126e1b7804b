// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "agent/policy/ranks.h"
#include "agent/tenant/tenant.h"

#define N     500
#define STEPS 200000

static uint64_t next_random(uint64_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return *s;
}

/* What the heap holds, by the plainest means. */
static struct model {
	struct tenant_queue queues[N];
	uint64_t key[N], seq[N];
	bool in[N];
	uint64_t seqs;
} model;

static int first_of(const struct model *m)
{
	int first = -1;

	for (int i = 0; i < N; i++) {
		if (m->in[i] && (first < 0 || m->key[i] < m->key[first] ||
				 (m->key[i] == m->key[first] && m->seq[i] < m->seq[first])))
			first = i;
	}
	return first;
}

static void expect_the_first(const struct ranks *h, const struct model *m)
{
	int first = first_of(m);
	const struct rank *r = ranks_first(h);

	if (first < 0) {
		assert_null(r);
		return;
	}
	assert_ptr_equal(r->queue, &m->queues[first]);
	assert_int_equal(r->key, m->key[first]);
}

/* Random inserts, moves and removals: the first is right at any time, ties go by insertion, and each
 * queue knows where it stands. */
static void behaves_like_a_sorted_list(void **state)
{
	struct model *m = &model;
	struct ranks h = { 0 };
	uint64_t s = 42;

	(void)state;
	assert_int_equal(ranks_reserve(&h, N / 2), 0);
	assert_int_equal(ranks_reserve(&h, N), 0);
	for (int step = 0; step < STEPS; step++) {
		int i = (int)(next_random(&s) % N);
		uint64_t key = next_random(&s) % 50;

		if (!m->in[i])
			ranks_insert(&h, &m->queues[i], key);
		else if (next_random(&s) % 2)
			ranks_move(&h, &m->queues[i], key);
		else
			ranks_remove(&h, &m->queues[i]);
		m->in[i] = !m->in[i] || h.seq > m->seqs;
		m->key[i] = key;
		m->seq[i] = h.seq;
		m->seqs = h.seq;
		if (step % 16 == 0)
			expect_the_first(&h, m);
	}
	for (uint32_t i = 0; i < h.nr; i++)
		assert_int_equal(h.at[i].queue->index, i);
	for (int i; (i = first_of(m)) >= 0; m->in[i] = false) {
		expect_the_first(&h, m);
		ranks_remove(&h, &m->queues[i]);
	}
	expect_the_first(&h, m);
	ranks_free(&h);
}

/* It grows with what it holds. */
static void keeps_all_when_it_grows(void **state)
{
	static struct tenant_queue queues[N];
	struct ranks h = { 0 };

	(void)state;
	for (int i = 0; i < N; i++) {
		assert_int_equal(ranks_reserve(&h, (uint32_t)i + 1), 0);
		ranks_insert(&h, &queues[i], (uint64_t)(N - i));
	}
	for (int i = N; i-- > 0;) {
		assert_ptr_equal(ranks_first(&h)->queue, &queues[i]);
		ranks_remove(&h, &queues[i]);
	}
	assert_null(ranks_first(&h));
	ranks_free(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(behaves_like_a_sorted_list),
		cmocka_unit_test(keeps_all_when_it_grows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
