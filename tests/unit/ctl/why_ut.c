// SPDX-License-Identifier: Apache-2.0
/* Where a request's time went: made-up records, one cause each, and random ones whose parts add up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "ctl/why.h"

#define US     1000ull
#define T0     (1000000 * US)
#define MAX    64
#define ME     1
#define OTHER  2
#define NUMBER 77

static struct ooo_record_request requests[MAX];
static struct ooo_record_bundle bundles[MAX];
static struct ooo_record_member members[4 * MAX];
static struct ooo_record_event events[MAX];
static struct flight_device d;
static struct why why;

static void fresh(void)
{
	memset(&d, 0, sizeof(d));
	d.header.nr_lanes = 2;
	d.requests.items = requests;
	d.bundles.items = bundles;
	d.members.items = members;
	d.events.items = events;
}

/* Times in us after T0. */
static struct ooo_record_bundle *bundle(unsigned lane, uint64_t start, uint64_t end)
{
	struct ooo_record_bundle *b = &bundles[d.bundles.nr++];

	*b = (struct ooo_record_bundle){
		.lane = (uint16_t)lane,
		.submit_ns = T0 + start * US,
		.start_ns = T0 + start * US,
		.end_ns = T0 + end * US,
		.retire_ns = T0 + end * US,
		.first_member = d.members.nr,
	};
	return b;
}

static struct ooo_record_member *member(struct ooo_record_bundle *b, uint32_t tenant,
					uint32_t request, uint64_t us)
{
	struct ooo_record_member *m = &members[d.members.nr++];

	*m = (struct ooo_record_member){
		.request = request,
		.tenant = tenant,
		.service_ns = (uint32_t)(us * US),
		.predicted_ns = (uint32_t)(us * US),
	};
	b->nr_members++;
	return m;
}

static struct ooo_record_request *request(uint64_t submit, uint64_t fetch, uint64_t issue,
					  uint64_t finish)
{
	struct ooo_record_request *r = &requests[d.requests.nr++];

	*r = (struct ooo_record_request){
		.number = NUMBER,
		.tenant = ME,
		.submit_ns = T0 + submit * US,
		.fetch_ns = T0 + fetch * US,
		.active_ns = T0 + fetch * US,
		.issue_ns = T0 + issue * US,
		.finish_ns = T0 + finish * US,
		.weight = 1,
		.steps = 1,
	};
	return r;
}

static void stall(uint64_t start, uint64_t us, uint64_t runq)
{
	events[d.events.nr++] = (struct ooo_record_event){
		.start_ns = T0 + start * US,
		.duration_ns = us * US,
		.kind = OOO_RECORD_EVENT_STALL,
		.tenant = OOO_RECORD_NONE,
		.value = runq * US,
	};
}

static void explain(const struct ooo_record_request *r)
{
	struct why_index index;
	uint64_t sum = 0;

	assert_int_equal(why_prepare(&d, &index), 0);
	why_explain(&d, &index, r, &why);
	why_release(&index);
	for (unsigned i = 0; i < WHY_PARTS; i++)
		sum += why.part_ns[i];
	assert_int_equal(sum, flight_latency_ns(r));
}

static void test_own_work(void **state)
{
	fresh();
	member(bundle(0, 12, 90), ME, NUMBER, 78);
	explain(request(0, 5, 10, 100));
	assert_int_equal(why_largest(&why), WHY_OWN);
	assert_int_equal(why.part_ns[WHY_OWN], 78 * US);
	assert_int_equal(why.part_ns[WHY_RING], 5 * US);
	assert_int_equal(why.part_ns[WHY_WINDOW], 5 * US);
	assert_int_equal(why.part_ns[WHY_LAUNCH], 2 * US);
	assert_int_equal(why.part_ns[WHY_RETIRE], 10 * US);
}

static void test_neighbour_before(void **state)
{
	fresh();
	member(bundle(0, 0, 80), OTHER, 1, 80);
	member(bundle(0, 80, 90), ME, NUMBER, 10);
	explain(request(0, 5, 78, 91));
	assert_int_equal(why_largest(&why), WHY_NEIGHBOUR);
	assert_int_equal(why_heaviest(&why)->tenant, OTHER);
	assert_int_equal(why.part_ns[WHY_NEIGHBOUR], 80 * US);
	assert_int_equal(why.part_ns[WHY_OWN], 10 * US);
}

/* One's own step is short, and the bundle takes as long as its longest. */
static void test_neighbour_in_bundle(void **state)
{
	struct ooo_record_bundle *b;

	fresh();
	b = bundle(0, 0, 100);
	member(b, ME, NUMBER, 10);
	member(b, OTHER, 5, 100);
	explain(request(0, 0, 0, 100));
	assert_int_equal(why_largest(&why), WHY_NEIGHBOUR);
	assert_in_range(why.part_ns[WHY_OWN], 9 * US, 11 * US);
}

static void test_other_lane(void **state)
{
	fresh();
	member(bundle(1, 10, 50), OTHER, 1, 40);
	member(bundle(0, 60, 70), ME, NUMBER, 10);
	explain(request(0, 0, 55, 70));
	assert_int_equal(why.part_ns[WHY_NEIGHBOUR], 40 * US);
}

static void test_copies(void **state)
{
	fresh();
	member(bundle(0, 0, 60), OTHER, 1, 60)->copy = 1;
	member(bundle(0, 60, 100), ME, NUMBER, 40)->copy = 1;
	explain(request(0, 0, 60, 100));
	assert_int_equal(why_largest(&why), WHY_COPY);
	assert_int_equal(why_heaviest(&why)->copy_ns, 60 * US);
}

static void test_own_queue(void **state)
{
	struct ooo_record_request *r;

	fresh();
	member(bundle(0, 0, 80), ME, 5, 80);
	member(bundle(0, 80, 90), ME, NUMBER, 10);
	r = request(0, 0, 80, 90);
	explain(r);
	assert_int_equal(why_largest(&why), WHY_QUEUE);
	r->flags = OOO_RECORD_WAITED_ROOM;
	explain(r);
	assert_int_equal(why_largest(&why), WHY_ROOM);
}

static void test_stalls(void **state)
{
	struct ooo_record_request *r;

	fresh();
	member(bundle(0, 90, 95), ME, NUMBER, 5);
	r = request(0, 85, 88, 100);
	stall(5, 75, 2);
	explain(r);
	assert_int_equal(why_largest(&why), WHY_STOPPED);
	assert_int_equal(why.part_ns[WHY_STOPPED], 75 * US);
	events[0].value = 74 * US;
	explain(r);
	assert_int_equal(why_largest(&why), WHY_HOG);
	/* A GPU runs on while the dispatcher does not; a processor does not. */
	fresh();
	member(bundle(0, 0, 100), ME, NUMBER, 100);
	stall(10, 80, 0);
	explain(request(0, 0, 0, 100));
	assert_int_equal(why_largest(&why), WHY_OWN);
	d.header.on_host = 1;
	explain(&requests[0]);
	assert_int_equal(why_largest(&why), WHY_STOPPED);
}

static void test_reader(void **state)
{
	struct ooo_record_request *r;

	fresh();
	member(bundle(0, 80, 90), ME, NUMBER, 10);
	r = request(0, 80, 80, 90);
	r->flags = OOO_RECORD_WAITED_READER;
	explain(r);
	assert_int_equal(why_largest(&why), WHY_READER);
	r->flags = 0;
	r->stage_ns[OOO_STAGE_WAKE] = 1000 * US;
	explain(r);
	assert_int_equal(why_largest(&why), WHY_READER);
	assert_int_equal(why.part_ns[WHY_READER], 1000 * US);
}

static void test_hold(void **state)
{
	struct ooo_record_request *r;

	fresh();
	member(bundle(0, 0, 10), OTHER, 1, 10);
	member(bundle(0, 60, 70), ME, NUMBER, 10);
	r = request(0, 0, 60, 70);
	r->stage_ns[OOO_STAGE_HOLD] = 55 * US;
	d.header.launch_ns = 40 * US;
	explain(r);
	assert_int_equal(why_largest(&why), WHY_HOLD);
	assert_int_equal(why.part_ns[WHY_HOLD], 55 * US);
	/* Longer than the agent holds on purpose: it stood behind what ran. */
	d.header.launch_ns = 5 * US;
	explain(r);
	assert_int_equal(why.part_ns[WHY_HOLD], 10 * US);
}

static uint64_t random_state = 88172645463325252ull;

static uint64_t below(uint64_t n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state % n;
}

static void test_parts_add_up(void **state)
{
	for (int round = 0; round < 2000; round++) {
		uint64_t at[2] = { below(50), below(50) }, submit = below(100), fetch, issue;

		fresh();
		d.header.on_host = (uint32_t)below(2);
		d.header.launch_ns = (uint32_t)(below(20) * US);
		for (int i = 0; i < 20; i++) {
			unsigned lane = (unsigned)below(2);
			uint64_t start = at[lane] + below(10), end = start + below(30);
			struct ooo_record_bundle *b = bundle(lane, start, end);

			for (uint64_t n = below(4); n > 0; n--)
				member(b, (uint32_t)below(4), (uint32_t)(below(2) ? NUMBER : 3),
				       below(30))
					->copy = (uint8_t)below(2);
			b->retire_ns += below(5) * US;
			if (d.bundles.nr > 1 && b->retire_ns < b[-1].retire_ns)
				b->retire_ns = b[-1].retire_ns;
			at[lane] = end;
		}
		for (uint64_t n = below(5), from = 0; n > 0; n--) {
			uint64_t us = below(30);

			stall(from, us, below(30));
			from += us + below(40);
		}
		fetch = submit + below(50);
		issue = fetch + below(50);
		explain(request(submit, fetch, issue, issue + below(200)));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_own_work),
		cmocka_unit_test(test_neighbour_before),
		cmocka_unit_test(test_neighbour_in_bundle),
		cmocka_unit_test(test_other_lane),
		cmocka_unit_test(test_copies),
		cmocka_unit_test(test_own_queue),
		cmocka_unit_test(test_stalls),
		cmocka_unit_test(test_reader),
		cmocka_unit_test(test_hold),
		cmocka_unit_test(test_parts_add_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
