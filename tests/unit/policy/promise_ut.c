// SPDX-License-Identifier: Apache-2.0
/* The tree against a plain list, and admitted sets against the schedule that they promise. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "agent/policy/promise.h"

#define N 40

static uint64_t next_random(uint64_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return *s;
}

static int by_deadline(const void *a, const void *b)
{
	const struct promise *x = *(const struct promise *const *)a;
	const struct promise *y = *(const struct promise *const *)b;

	if (x->due_ns != y->due_ns)
		return x->due_ns < y->due_ns ? -1 : 1;
	return x->number < y->number ? -1 : x->number > y->number;
}

/* When would each be done? Returns whether all are in time; *finish is that of `of`. */
static bool schedule(struct promise **set, unsigned n, unsigned width, uint64_t from,
		     const struct promise *of, uint64_t *finish)
{
	struct promise *sorted[N + 1];
	uint64_t ahead = 0;
	bool good = true;

	for (unsigned i = 0; i < n; i++)
		sorted[i] = set[i];
	qsort(sorted, n, sizeof(sorted[0]), by_deadline);
	for (unsigned i = 0; i < n; i++) {
		const struct promise *p = sorted[i];
		uint64_t at = from + (ahead + width - 1) / width + p->path_ns;

		good &= at <= p->due_ns;
		if (p == of)
			*finish = at;
		ahead += p->work_ns;
	}
	return good;
}

static void fits_like_a_schedule(void **state)
{
	static struct promise nodes[N + 1];
	uint64_t s = 7, admitted = 0, refused = 0;

	(void)state;
	for (int round = 0; round < 6000; round++) {
		struct promises t = { .width = 1 + (unsigned)(next_random(&s) % 4) };
		struct promise *set[N + 1];
		unsigned n = 0;
		uint64_t from = 1000000;

		for (unsigned i = 0; i < N; i++) {
			struct promise *p = &nodes[i];
			struct promise_fit fit;
			uint64_t finish = 0;
			bool good;

			*p = (struct promise){ .number = i };
			p->work_ns = 1 + next_random(&s) % 1000;
			p->path_ns = p->work_ns / (1 + next_random(&s) % 3);
			p->due_ns = from + next_random(&s) % 12000;
			fit = promises_fit(&t, p, from);
			set[n] = p;
			good = schedule(set, n + 1, t.width, from, p, &finish);
			assert_int_equal(fit.finish_ns, finish);
			/* Rounding by width may refuse what is right to the nanosecond, and never lets
			 * in what is not. */
			if (fit.meets)
				assert_true(good);
			else if (t.width == 1)
				assert_false(good);
			admitted += fit.meets;
			refused += !fit.meets;
			if (!fit.meets)
				continue;
			promises_add(&t, p);
			n++;
			/* As much as the spare time says can be waited, and no more. */
			assert_true(schedule(set, n, t.width,
					     from + promises_spare_ns(&t, NULL, from), NULL, NULL));
			if (next_random(&s) % 3 == 0) {
				unsigned k = (unsigned)(next_random(&s) % n);

				promises_remove(&t, set[k]);
				set[k] = set[--n];
			}
			from += next_random(&s) % 50;
			if (!schedule(set, n, t.width, from, NULL, NULL))
				break; /* time ran out for one */
		}
	}
	assert_true(admitted > 10000 && refused > 5000);
}

static void nothing_promised_leaves_all(void **state)
{
	struct promises t = { .width = 3 };
	struct promise p = { .due_ns = 500, .work_ns = 300, .path_ns = 300 };

	(void)state;
	assert_true(promises_spare_ns(&t, NULL, 5) == UINT64_MAX);
	assert_true(promises_fit(&t, &p, 200).meets);
	assert_false(promises_fit(&t, &p, 201).meets);
	promises_add(&t, &p);
	assert_int_equal(promises_spare_ns(&t, NULL, 150), 50);
	assert_int_equal(promises_spare_ns(&t, NULL, 250), 0);
	assert_true(promises_spare_ns(&t, &p, 150) == UINT64_MAX);
	assert_int_equal(promises_spare_ns(&t, &(struct promise){ .due_ns = 501 }, 150), 50);
	promises_remove(&t, &p);
	assert_null(t.root);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fits_like_a_schedule),
		cmocka_unit_test(nothing_promised_leaves_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
