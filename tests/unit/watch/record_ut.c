// SPDX-License-Identifier: Apache-2.0
/*
 * The recorder behind a dispatcher on the sim device, read back as ooo-ctl reads it: everything is
 * there while it fits, what was overwritten is counted and never shown in part, a flood is sampled by
 * weights that add up; and the meters add up to the device's busy time.
 */
#include "tests/unit/flow/harness.h"

#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "agent/watch/record.h"
#include "ctl/flight.h"

static char dir[] = "/tmp/record-ut-XXXXXX";
static struct record *rec;
static struct rig rig;

static void start(uint64_t bytes, struct device_config cfg)
{
	struct turn_config turn = TURN_CONFIG_DEFAULT;
	struct record_config config = {
		.dir = dir,
		.bytes = bytes,
		.agent_id = 7,
		.now_ns = 1000,
		.caps = &(
			struct device_caps){ .name = "sim", .nr_lanes = 1, .virtual_clock = true },
	};

	assert_int_equal(record_open(&config, &rec), 0);
	turn.record = rec;
	rig_open(&rig, cfg, turn);
}

static void stop(void)
{
	char path[64];

	rig_close(&rig);
	record_close(rec);
	snprintf(path, sizeof(path), "%s/record.0", dir);
	assert_int_equal(access(path, F_OK), -1);
}

static void read_back(struct flight *f)
{
	char why[256];

	assert_int_equal(flight_open(dir, f, why, sizeof(why)), CTL_OK);
	assert_int_equal(flight_read(f), 0);
	assert_int_equal(f->nr, 1);
}

/* Submit n in waves and take their completions. */
static void run(struct fake_tenant *f, uint32_t n, uint32_t wave)
{
	while (n > 0) {
		uint32_t some = n < wave ? n : wave;

		for (uint32_t i = 0; i < some; i++)
			push(f, 0, i, 0);
		while (reapable(f) < some)
			dispatcher_turn(rig.d);
		for (uint32_t i = 0; i < some; i++)
			assert_int_equal(reap(f).status, OOO_OK);
		n -= some;
	}
}

static void test_all_is_there(void **state)
{
	struct fake_tenant *a, *b;
	struct fake_program *p, *q;
	uint64_t used, service = 0;
	struct flight f;

	start(1 << 20, (struct device_config){ .sim_step_ns = 100000, .sim_item_ns = 333 });
	a = tenant_make(&rig, 1, 64);
	b = tenant_make(&rig, 2, 64);
	p = program_make(&rig, a, 0, 5, 8, chain);
	q = program_make(&rig, b, 0, 3, 8, chain);
	run(a, 200, 7);
	run(b, 100, 32);
	read_back(&f);
	assert_int_equal(f.devices[0].requests.nr, 300);
	assert_int_equal(f.devices[0].names.nr, 4);
	assert_int_equal(flight_name(&f.devices[0], 2, OOO_RECORD_NONE)->tenant, 2);
	for (size_t i = 0; i < 300; i++) {
		const struct ooo_record_request *r = flight_request(&f.devices[0], i);
		uint64_t sum = 0;

		for (unsigned k = 0; k < OOO_RECORD_STAGES; k++)
			sum += r->stage_ns[k];
		assert_int_equal(sum, r->finish_ns - r->submit_ns);
		assert_int_equal(r->steps, r->tenant == 1 ? 5 : 3);
		assert_int_equal(r->weight, 1);
	}
	for (size_t i = 0; i < f.devices[0].bundles.nr; i++) {
		const struct ooo_record_bundle *bundle = flight_bundle(&f.devices[0], i);

		assert_true(bundle->nr_members > 0 && bundle->end_ns >= bundle->start_ns);
		for (uint32_t k = 0; k < bundle->nr_members; k++)
			service +=
				flight_member(&f.devices[0], bundle->first_member + k)->service_ns;
	}
	used = a->t.meter.device_ns + b->t.meter.device_ns;
	assert_int_equal(used, dispatcher_stats(rig.d)->busy_ns);
	assert_int_equal(a->t.meter.requests, 200);
	assert_true(service <= used);
	flight_close(&f);
	tenant_remove(&rig, a);
	tenant_remove(&rig, b);
	program_free_memory(&rig, p);
	program_free_memory(&rig, q);
	stop();
}

/* Far more than fits, at a rate that has to be sampled: what is shown is whole, weights add up. */
static void test_flood(void **state)
{
	struct fake_tenant *a;
	struct fake_program *p;
	uint64_t weights = 0, last = 0;
	struct flight f;

	start(1 << 20, (struct device_config){ .sim_step_ns = 2000 });
	a = tenant_make(&rig, 1, 64);
	p = program_make(&rig, a, 0, 1, 64, chain);
	read_back(&f);
	for (int i = 0; i < 100; i++) {
		run(a, 2000, 64);
		assert_int_equal(flight_read(&f), 0);
	}
	for (size_t i = 0; i < f.devices[0].requests.nr; i++) {
		const struct ooo_record_request *r = flight_request(&f.devices[0], i);

		assert_true(r->finish_ns >= last && r->tenant == 1 && r->steps == 1);
		last = r->finish_ns;
		weights += r->weight;
	}
	assert_true(f.devices[0].requests.nr < 100000);
	assert_in_range(weights, 150000, 250000);
	assert_true(f.devices[0].lost[OOO_RECORD_BUNDLES] > 0 || f.devices[0].bundles.nr > 0);
	flight_close(&f);
	tenant_remove(&rig, a);
	program_free_memory(&rig, p);
	stop();
}

/* Another process reads while this one writes: each copy that it believes is of one piece. */
static void test_torn(void **state)
{
	pid_t child;
	int status;

	start(1 << 20, (struct device_config){ 0 });
	child = fork();
	if (!child) {
		struct flight f;
		uint64_t seen = 0;
		char why[256];

		if (flight_open(dir, &f, why, sizeof(why)) != CTL_OK)
			_exit(2);
		while (seen < 50000) {
			size_t nr;

			if (flight_read(&f))
				_exit(3);
			nr = f.devices[0].events.nr;
			for (size_t i = 0; i < nr; i++) {
				const struct ooo_record_event *e = flight_event(&f.devices[0], i);

				if (e->duration_ns != e->start_ns * 3 ||
				    e->value != e->start_ns + 1 || e->other != ~e->start_ns)
					_exit(4);
			}
			seen += nr;
			f.devices[0].events.nr = 0;
		}
		_exit(0);
	}
	for (uint64_t i = 1; !waitpid(child, &status, WNOHANG); i++)
		record_event(rec, &(struct ooo_record_event){ .start_ns = i,
							      .duration_ns = i * 3,
							      .kind = OOO_RECORD_EVENT_HOLD,
							      .value = i + 1,
							      .other = ~i });
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	stop();
}

static int make_dir(void **state)
{
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
	return rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_is_there),
		cmocka_unit_test(test_flood),
		cmocka_unit_test(test_torn),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
