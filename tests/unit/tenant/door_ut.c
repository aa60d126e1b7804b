/* SPDX-License-Identifier: Apache-2.0 */
/* The door from the tenant's side: what it answers, and what it survives. */
#include <sys/wait.h>

#include "tests/unit/tenant/rig.h"

static const struct door_limits defaults = DOOR_LIMITS_DEFAULT;

static void test_welcome(void **state)
{
	struct rig *rig = rig_start(defaults);
	struct visitor v = visitor_connect(rig);
	const struct ooo_msg_welcome *w = &v.reply.welcome;
	struct ooo_msg_stats stats;
	struct tenant_view view;

	assert_int_equal(visitor_hello(&v, "web"), OOO_OK);
	assert_int_equal(w->msg.type, OOO_MSG_WELCOME);
	assert_int_equal(w->tenant, 1);
	assert_int_equal(w->sq_entries, 8);
	assert_int_equal(w->cq_entries, 16);
	assert_int_equal(w->arena_bytes, 65536);
	assert_int_equal(w->agent_id, 77);
	assert_string_equal(w->device, "sim");
	for (int i = 0; i < TENANT_NR_FDS; i++)
		assert_true(v.fds[i] >= 0);
	assert_int_equal(v.ring->sq_off, w->sq_off);
	registry_lock(&rig->registry);
	assert_true(registry_tenant_from(&rig->registry, 0, &view));
	registry_unlock(&rig->registry);
	assert_string_equal(view.name, "web");
	assert_int_equal(view.pid, getpid());
	assert_int_equal(view.uid, getuid());
	assert_int_equal(visitor_ask(&v, &stats, OOO_MSG_STATS, sizeof(stats), -1), OOO_OK);
	assert_int_equal(v.reply.msg.type, OOO_MSG_STATS_REPLY);
	visitor_close(&v);
	rig_wait_tenants(rig, 0);
	rig_stop(rig);
}

static void test_life(void **state)
{
	struct rig *rig = rig_start(defaults);
	struct visitor v = visitor_new(rig, "life");
	struct program_view view;
	struct ooo_msg_stats stats;

	assert_int_equal(visitor_load(&v), OOO_OK);
	assert_int_equal(v.reply.loaded.program, 0);
	assert_int_equal(v.reply.loaded.nr_steps, 1);
	assert_int_equal(v.reply.loaded.nr_ops, 3);
	assert_in_range(v.reply.loaded.slots, 1, PROGRAM_MAX_SLOTS);
	assert_int_equal(visitor_load(&v), OOO_OK);
	assert_int_equal(v.reply.loaded.program, 1);
	assert_int_equal(visitor_bind(&v, 1), OOO_OK);
	assert_int_equal(v.reply.bound.binding, 0);
	assert_int_equal(visitor_bind(&v, 1), OOO_OK);
	assert_int_equal(v.reply.bound.binding, 1);
	for (int i = 0; i < 100; i++)
		assert_int_equal(visitor_run(&v, 1, 1), OOO_OK);
	assert_int_equal(visitor_run(&v, 2, 0), OOO_NO_PROGRAM);
	assert_int_equal(visitor_run(&v, 0, 0), OOO_NO_BINDING);
	registry_lock(&rig->registry);
	assert_true(registry_program_from(&rig->registry, 1, 1, &view));
	assert_int_equal(view.nr_bindings, 2);
	assert_int_equal(view.requests, 100);
	assert_string_equal(view.name, "fake");
	assert_false(registry_program_from(&rig->registry, 1, 2, &view));
	registry_unlock(&rig->registry);
	assert_int_equal(visitor_ask(&v, &stats, OOO_MSG_STATS, sizeof(stats), -1), OOO_OK);
	assert_int_equal(v.reply.stats.submitted, 102);
	assert_int_equal(v.reply.stats.failed, 2);
	assert_int_equal(visitor_undo(&v, OOO_MSG_UNBIND, 1, 1), OOO_OK);
	assert_int_equal(visitor_undo(&v, OOO_MSG_UNBIND, 1, 1), OOO_NO_BINDING);
	assert_int_equal(visitor_run(&v, 1, 1), OOO_NO_BINDING);
	assert_int_equal(visitor_run(&v, 1, 0), OOO_OK);
	assert_int_equal(visitor_bind(&v, 1), OOO_OK);
	assert_int_equal(v.reply.bound.binding, 1); /* the lowest free id */
	assert_int_equal(visitor_undo(&v, OOO_MSG_UNLOAD, 1, 0), OOO_OK);
	assert_int_equal(visitor_undo(&v, OOO_MSG_UNLOAD, 1, 0), OOO_NO_PROGRAM);
	assert_int_equal(visitor_run(&v, 1, 0), OOO_NO_PROGRAM);
	assert_int_equal(visitor_bind(&v, 1), OOO_NO_PROGRAM);
	assert_int_equal(visitor_load(&v), OOO_OK);
	assert_int_equal(v.reply.loaded.program, 1);
	assert_int_equal(visitor_undo(&v, OOO_MSG_UNBIND, 1, 0), OOO_NO_BINDING);
	visitor_close(&v); /* with programs loaded */
	rig_wait_tenants(rig, 0);
	rig_stop(rig);
}

/* What ends the connection, each on one of its own, while another tenant goes on. */
static void test_rejects(void **state)
{
	struct rig *rig = rig_start(defaults);
	struct visitor good = visitor_new(rig, "good"), v;
	struct ooo_msg_hello h = hello_msg("x");
	struct ooo_msg_load load = { .msg = msg_head(OOO_MSG_LOAD, sizeof(load)),
				     .program_bytes = 4096 };
	char junk[2000];
	int fds[3] = { good.sock, good.sock, good.sock };

	assert_int_equal(visitor_load(&good), OOO_OK);
	assert_int_equal(visitor_bind(&good, 0), OOO_OK);
	memset(junk, 0xa5, sizeof(junk));

	for (size_t n = 1; n <= sizeof(junk); n = n * 2 + 1) {
		v = visitor_connect(rig);
		assert_int_equal(visitor_send(&v, junk, n, NULL, 0), n);
		visitor_expect_end(&v, OOO_BAD_MESSAGE);
		visitor_close(&v);
	}
	v = visitor_connect(rig);
	h.msg = msg_head(OOO_MSG_HELLO, sizeof(h));
	h.msg.version = 2;
	assert_int_equal(visitor_send(&v, &h, sizeof(h), NULL, 0), sizeof(h));
	visitor_expect_end(&v, OOO_VERSION);
	visitor_close(&v);

	h.msg.version = OOO_ABI_VERSION;
	for (unsigned n = 1; n <= 3; n++) {
		v = visitor_connect(rig);
		assert_int_equal(visitor_send(&v, &h, sizeof(h), fds, n), sizeof(h));
		visitor_expect_end(&v, OOO_BAD_MESSAGE);
		visitor_close(&v);
	}
	v = visitor_new(rig, "two hellos");
	assert_int_equal(visitor_send(&v, &h, sizeof(h), NULL, 0), sizeof(h));
	visitor_expect_end(&v, OOO_BAD_MESSAGE);
	visitor_close(&v);

	for (unsigned n = 0; n <= 3; n++) { /* LOAD with none, and with too many */
		if (n == 1)
			continue;
		v = visitor_new(rig, "descriptors");
		assert_int_equal(visitor_send(&v, &load, sizeof(load), fds, n), sizeof(load));
		visitor_expect_end(&v, OOO_BAD_MESSAGE);
		visitor_close(&v);
	}
	assert_int_equal(visitor_run(&good, 0, 0), OOO_OK);
	visitor_close(&good);
	rig_stop(rig);
}

/* The agent closes what it was sent, whether it takes the message or not. */
static void test_descriptors_are_closed(void **state)
{
	struct rig *rig = rig_start(defaults);
	struct ooo_msg_load load = { .program_bytes = 4096 };
	struct ooo_msg_hello h = hello_msg("x");

	h.msg = msg_head(OOO_MSG_HELLO, sizeof(h));
	for (int way = 0; way < 4; way++) {
		struct visitor v = visitor_connect(rig);
		int pipes[2], i;

		assert_int_equal(pipe(pipes), 0);
		if (way == 0) { /* where none belongs */
			visitor_send(&v, &h, sizeof(h), pipes, 1);
			visitor_expect_end(&v, OOO_BAD_MESSAGE);
		} else {
			assert_int_equal(visitor_hello(&v, "x"), OOO_OK);
		}
		if (way == 1) { /* refused, and the connection goes on */
			assert_int_equal(visitor_ask(&v, &load, OOO_MSG_LOAD, sizeof(load),
						     pipes[0]),
					 OOO_BAD_PROGRAM);
			assert_int_equal(visitor_load(&v), OOO_OK);
		}
		if (way == 2) { /* too many */
			visitor_send(&v, &load, sizeof(load), pipes, 2);
			visitor_expect_end(&v, OOO_BAD_MESSAGE);
		}
		if (way == 3) { /* never read */
			load.msg = msg_head(OOO_MSG_LOAD, sizeof(load));
			for (i = 0; i < 5; i++)
				visitor_send(&v, &load, sizeof(load), pipes, 1);
			visitor_close(&v);
		}
		close(pipes[0]);
		for (i = 0; i < 10000 && write(pipes[1], "", 1) == 1; i++)
			usleep(1000);
		assert_int_equal(write(pipes[1], "", 1), -1); /* nobody has the other end */
		assert_int_equal(errno, EPIPE);
		close(pipes[1]);
		if (way != 3)
			visitor_close(&v);
	}
	rig_stop(rig);
}

/* What is refused and leaves the connection as it was. */
static void test_refusals(void **state)
{
	struct rig *rig = rig_start(defaults);
	struct visitor v = visitor_new(rig, "refused");
	struct ooo_msg_load load = { .program_bytes = 4096 };
	struct ooo_msg_bind b = { .nr = 2 };
	int fd = memfd_create("open", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_int_equal(ftruncate(fd, 4096), 0);
	assert_int_equal(visitor_ask(&v, &load, OOO_MSG_LOAD, sizeof(load), fd), OOO_BAD_PROGRAM);
	assert_non_null(strstr(v.reply.loaded.text, "seals"));
	close(fd);
	fd = sealed_program();
	load.program_bytes = 4097;
	assert_int_equal(visitor_ask(&v, &load, OOO_MSG_LOAD, sizeof(load), fd), OOO_BAD_PROGRAM);
	load.program_bytes = 4096;
	load.precision = OOO_INT8;
	assert_int_equal(visitor_ask(&v, &load, OOO_MSG_LOAD, sizeof(load), fd), OOO_UNSUPPORTED);
	load.precision = 0x100 + OOO_FP16;
	assert_int_equal(visitor_ask(&v, &load, OOO_MSG_LOAD, sizeof(load), fd), OOO_UNSUPPORTED);
	assert_non_null(strstr(v.reply.loaded.text, "258 is no precision"));
	load.precision = 0;
	compiler.result = -EINVAL;
	load.precision = OOO_TF32;
	assert_int_equal(visitor_ask(&v, &load, OOO_MSG_LOAD, sizeof(load), fd), OOO_BAD_PROGRAM);
	assert_non_null(strstr(v.reply.loaded.text, "as asked"));
	assert_int_equal(compiler.precision, OOO_TF32);
	load.precision = 0;
	compiler.result = -ENOMEM;
	assert_int_equal(visitor_ask(&v, &load, OOO_MSG_LOAD, sizeof(load), fd), OOO_NO_MEMORY);
	compiler.result = 0;
	close(fd);
	assert_int_equal(visitor_bind(&v, 0), OOO_NO_PROGRAM);
	assert_int_equal(visitor_bind(&v, UINT32_MAX), OOO_NO_PROGRAM);
	assert_int_equal(visitor_undo(&v, OOO_MSG_UNBIND, UINT32_MAX, 0), OOO_NO_PROGRAM);
	assert_int_equal(visitor_undo(&v, OOO_MSG_UNLOAD, 64, 0), OOO_NO_PROGRAM);
	assert_int_equal(visitor_load(&v), OOO_OK);
	assert_int_equal(visitor_undo(&v, OOO_MSG_UNBIND, 0, UINT32_MAX), OOO_NO_BINDING);
	b.offset[1] = 65536;
	assert_int_equal(visitor_ask(&v, &b, OOO_MSG_BIND, sizeof(b), -1), OOO_BAD_BUFFER);
	assert_non_null(strstr(v.reply.bound.text, "output 0"));
	b.nr = 1;
	b.offset[1] = 0;
	assert_int_equal(visitor_ask(&v, &b, OOO_MSG_BIND, sizeof(b), -1), OOO_INVALID);
	assert_int_equal(visitor_bind(&v, 0), OOO_OK);
	assert_int_equal(visitor_run(&v, 0, 0), OOO_OK);
	visitor_close(&v);
	rig_stop(rig);
}

/* A tenant counts until all of it is released, which is a little after it left the registry. */
static struct visitor visitor_new_patient(struct rig *rig, const char *name)
{
	struct visitor v;

	for (int i = 0; i < 10000; i++) {
		v = visitor_connect(rig);
		if (visitor_hello(&v, name) == OOO_OK)
			return v;
		assert_int_equal(v.reply.msg.status, OOO_QUOTA);
		visitor_close(&v);
		usleep(1000);
	}
	fail_msg("no room for \"%s\"", name);
	return v;
}

static void test_quotas(void **state)
{
	struct door_limits limits = defaults;
	struct rig *rig;
	struct visitor v, w;
	struct ooo_msg_hello h;

	limits.max_tenants = 2;
	limits.max_weight_bytes = 250;
	limits.max_arena_bytes = 65536;
	rig = rig_start(limits);
	v = visitor_connect(rig);
	h = hello_msg("big");
	h.arena_bytes = 65536 + 4096;
	assert_int_equal(visitor_ask(&v, &h, OOO_MSG_HELLO, sizeof(h), -1), OOO_QUOTA);
	visitor_expect_end(&v, OOO_STATUS_LIMIT);
	visitor_close(&v);

	compiler.weight_bytes = 100;
	v = visitor_new(rig, "a");
	assert_int_equal(visitor_load(&v), OOO_OK);
	assert_int_equal(visitor_load(&v), OOO_OK);
	assert_int_equal(visitor_load(&v), OOO_QUOTA);
	assert_non_null(strstr(v.reply.loaded.text, "50 too few"));
	assert_int_equal(visitor_undo(&v, OOO_MSG_UNLOAD, 0, 0), OOO_OK);
	assert_int_equal(visitor_load(&v), OOO_OK);
	compiler.weight_bytes = 0;
	for (int i = 2; i < TENANT_MAX_PROGRAMS; i++)
		assert_int_equal(visitor_load(&v), OOO_OK);
	assert_int_equal(visitor_load(&v), OOO_QUOTA);
	for (int i = 0; i < PROGRAM_MAX_BINDINGS; i++)
		assert_int_equal(visitor_bind(&v, 5), OOO_OK);
	assert_int_equal(visitor_bind(&v, 5), OOO_QUOTA);
	assert_int_equal(visitor_run(&v, 5, PROGRAM_MAX_BINDINGS - 1), OOO_OK);

	w = visitor_new(rig, "b");
	visitor_close(&v); /* its 64 programs are released one by one */
	v = visitor_new_patient(rig, "c");
	visitor_close(&v);
	v = visitor_new_patient(rig, "d");
	{
		struct visitor third = visitor_connect(rig);

		assert_int_equal(visitor_hello(&third, "third"), OOO_QUOTA);
		assert_non_null(strstr(third.reply.welcome.text, "2 tenants"));
		visitor_expect_end(&third, OOO_STATUS_LIMIT);
		visitor_close(&third);
	}
	visitor_close(&v);
	visitor_close(&w);
	rig_stop(rig);
}

static void test_per_user(void **state)
{
	struct door_limits limits = defaults;
	struct rig *rig;
	struct visitor v, w;

	limits.max_tenants_per_uid = 1;
	rig = rig_start(limits);
	v = visitor_new(rig, "first");
	w = visitor_connect(rig);
	assert_int_equal(visitor_hello(&w, "second"), OOO_QUOTA);
	assert_non_null(strstr(w.reply.welcome.text, "per-user"));
	visitor_close(&w);
	visitor_close(&v);
	rig_stop(rig);
}

/* The tenant goes while its program is being compiled. */
static void test_hang_up_in_load(void **state)
{
	struct rig *rig = rig_start(defaults);
	struct visitor other = visitor_new(rig, "other");
	struct ooo_msg_load load = { .msg = msg_head(OOO_MSG_LOAD, sizeof(load)),
				     .program_bytes = 4096 };

	assert_int_equal(visitor_load(&other), OOO_OK);
	for (int round = 0; round < 2; round++) {
		struct visitor v = visitor_new(rig, "leaver");
		int fd = sealed_program();

		compiler_hold(true);
		compiler.result = round ? -EINVAL : 0; /* of a good program, and of a bad one */
		assert_int_equal(visitor_send(&v, &load, sizeof(load), &fd, 1), sizeof(load));
		close(fd);
		compiler_wait_until_waiting();
		visitor_close(&v);
		/* Others are not delayed, not even their bindings. */
		assert_int_equal(visitor_bind(&other, 0), OOO_OK);
		assert_int_equal(visitor_run(&other, 0, 0), OOO_OK);
		assert_int_equal(rig_tenants(rig), 2);
		compiler_hold(false);
		rig_wait_tenants(rig, 1);
	}
	compiler.result = 0;
	visitor_close(&other);
	rig_stop(rig);
}

/* At any moment of any exchange. */
static void test_hang_ups(void **state)
{
	struct rig *rig = rig_start(defaults);
	struct ooo_msg_bind b = { .msg = msg_head(OOO_MSG_BIND, sizeof(b)), .nr = 2 };
	struct ooo_msg_unbind u = { .msg = msg_head(OOO_MSG_UNLOAD, sizeof(u)) };
	struct ooo_msg_load load = { .msg = msg_head(OOO_MSG_LOAD, sizeof(load)),
				     .program_bytes = 4096 };
	struct ooo_msg_hello h = hello_msg("h");
	int fd = sealed_program();

	h.msg = msg_head(OOO_MSG_HELLO, sizeof(h));
	for (int i = 0; i < 400; i++) {
		struct visitor v = visitor_connect(rig);

		switch (i % 5) {
		case 1:
			visitor_send(&v, &h, sizeof(h), NULL, 0);
			break;
		case 2:
			visitor_hello(&v, "load");
			visitor_send(&v, &load, sizeof(load), &fd, 1);
			break;
		case 3:
			visitor_hello(&v, "bind");
			visitor_load(&v);
			visitor_send(&v, &b, sizeof(b), NULL, 0);
			break;
		case 4:
			visitor_hello(&v, "unload");
			visitor_load(&v);
			visitor_bind(&v, 0);
			visitor_send(&v, &u, sizeof(u), NULL, 0);
			break;
		}
		if (i % 2)
			usleep((useconds_t)(i % 7) * 20);
		visitor_close(&v);
	}
	close(fd);
	rig_wait_tenants(rig, 0);
	rig_stop(rig);
}

static void test_pipelined(void **state)
{
	struct rig *rig = rig_start(defaults);
	struct visitor v = visitor_new(rig, "pipelined");
	struct ooo_msg_stats s = { .msg = msg_head(OOO_MSG_STATS, sizeof(s)) };
	struct ooo_msg_unbind u = { .msg = msg_head(OOO_MSG_UNLOAD, sizeof(u)), .program = 3 };

	for (int i = 0; i < 20; i++) {
		assert_int_equal(visitor_send(&v, &s, sizeof(s), NULL, 0), sizeof(s));
		assert_int_equal(visitor_send(&v, &u, sizeof(u), NULL, 0), sizeof(u));
	}
	for (int i = 0; i < 20; i++) { /* one reply each, in order */
		assert_true(visitor_receive(&v) > 0);
		assert_int_equal(v.reply.msg.type, OOO_MSG_STATS_REPLY);
		assert_true(visitor_receive(&v) > 0);
		assert_int_equal(v.reply.msg.type, OOO_MSG_DONE);
		assert_int_equal(v.reply.msg.status, OOO_NO_PROGRAM);
	}
	visitor_close(&v);
	rig_stop(rig);
}

static void test_does_not_read(void **state)
{
	struct rig *rig = rig_start(defaults);
	struct visitor v = visitor_new(rig, "deaf");
	struct ooo_msg_stats s = { .msg = msg_head(OOO_MSG_STATS, sizeof(s)) };
	int i = 0;

	while (i < 1000000 && visitor_send(&v, &s, sizeof(s), NULL, 0) > 0)
		i++;
	assert_true(i < 1000000);
	rig_wait_tenants(rig, 0);
	visitor_close(&v);
	rig_stop(rig);
}

static void test_says_nothing(void **state)
{
	struct door_limits limits = defaults;
	struct rig *rig;
	struct visitor silent, v;

	limits.hello_ms = 30;
	rig = rig_start(limits);
	silent = visitor_connect(rig);
	v = visitor_new(rig, "talker");
	visitor_expect_end(&silent, OOO_STATUS_LIMIT);
	assert_int_equal(rig_tenants(rig), 1);
	assert_int_equal(visitor_load(&v), OOO_OK); /* the limit is for HELLO only */
	visitor_close(&silent);
	visitor_close(&v);
	rig_stop(rig);
}

/* More silent connections than the door keeps: the oldest make room for those who speak. */
static void test_crowd(void **state)
{
	struct rig *rig = rig_start(defaults);
	struct visitor crowd[600];

	for (int i = 0; i < 600; i++)
		crowd[i] = visitor_connect(rig);
	for (int i = 0; i < 50; i++) {
		struct visitor v = visitor_new(rig, "through");

		assert_int_equal(visitor_load(&v), OOO_OK);
		visitor_close(&v);
	}
	visitor_expect_end(&crowd[0], OOO_STATUS_LIMIT);
	for (int i = 0; i < 600; i++)
		visitor_close(&crowd[i]);
	rig_wait_tenants(rig, 0);
	rig_stop(rig);
}

static void test_evict(void **state)
{
	struct rig *rig = rig_start(defaults);
	struct visitor v = visitor_new(rig, "out"), w = visitor_new(rig, "in");

	registry_lock(&rig->registry);
	assert_int_equal(registry_ask_evict(&rig->registry, 99), -ENOENT);
	assert_int_equal(registry_ask_evict(&rig->registry, 1), 0);
	registry_unlock(&rig->registry);
	visitor_expect_end(&v, OOO_STATUS_LIMIT);
	rig_wait_tenants(rig, 1);
	assert_int_equal(visitor_load(&w), OOO_OK);
	visitor_close(&v);
	visitor_close(&w);
	rig_stop(rig);
}

/* Draining waits for a load in progress; newcomers and new loads are told why. */
static void test_drain(void **state)
{
	struct rig *rig = rig_start(defaults);
	struct visitor v = visitor_new(rig, "stays");
	struct ooo_msg_load load = { .msg = msg_head(OOO_MSG_LOAD, sizeof(load)),
				     .program_bytes = 4096 };
	int fd = sealed_program();

	compiler_hold(true);
	assert_int_equal(visitor_send(&v, &load, sizeof(load), &fd, 1), sizeof(load));
	compiler_wait_until_waiting();
	registry_lock(&rig->registry);
	registry_ask_drain(&rig->registry);
	registry_unlock(&rig->registry);
	visitor_expect_end(&v, OOO_STATUS_LIMIT); /* nothing in flight, so it is drained at once */
	assert_int_equal(v.ring->agent_state, OOO_AGENT_DRAINING);
	compiler_hold(false);
	close(fd);
	visitor_close(&v);
	rig_stop(rig);
}

/* ---- hang-ups while the agent hands over ----------------------------------------------------- */

#define LEAVING 64

/* A process of its own: what is handed over stays allocated until the exec. */
static void hand_over(int delay)
{
	struct door_limits limits = defaults;
	struct visitor v[LEAVING];
	struct rig *rig;

	alarm(20);
	limits.drain_ms = 3000;
	rig = rig_start(limits);
	for (int i = 0; i < LEAVING; i++)
		v[i] = visitor_new(rig, "leaving");
	registry_lock(&rig->registry);
	registry_ask_restart(&rig->registry);
	registry_unlock(&rig->registry);
	for (int i = 0; i < LEAVING; i++) {
		for (int spin = 0; spin < delay; spin++)
			ring_cpu_relax();
		shutdown(v[i].sock, SHUT_RDWR);
	}
	pthread_join(rig->thread, NULL);
	dispatcher_join(rig->dispatcher);
	rig_close_runtime(rig);
	_exit(rig->result == DOOR_HANDOVER ? 0 : 1);
}

/* At any moment of a handover: it goes through, and is neither called off nor stuck. */
static void test_hang_up_in_handover(void **state)
{
	for (int i = 0; i < 100; i++) {
		pid_t pid = fork();
		int status;

		assert_true(pid >= 0);
		if (!pid)
			hand_over(i * 10);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
	}
}

/* Before the first binding, and after the last unload; a refusal of the device's says how much. */
static void arenas_are_mapped_once(void **state)
{
	struct rig *rig = rig_start((struct door_limits)DOOR_LIMITS_DEFAULT);
	struct visitor v;

	arenas_start(0);
	v = visitor_new(rig, "idle");
	assert_int_equal(visitor_load(&v), OOO_OK);
	visitor_close(&v);
	rig_wait_tenants(rig, 0);

	v = visitor_new(rig, "refused");
	assert_int_equal(visitor_load(&v), OOO_OK);
	arenas_start(-ENOMEM);
	assert_int_equal(visitor_bind(&v, 0), OOO_NO_MEMORY);
	assert_non_null(strstr(v.reply.bound.text, "arena of 65536 bytes"));
	arenas_start(0);
	assert_int_equal(visitor_bind(&v, 0), OOO_OK);
	assert_int_equal(visitor_bind(&v, 0), OOO_OK);
	assert_int_equal(arenas_seen().maps, 1);
	assert_int_equal(arenas_seen().unmaps, 0);
	visitor_close(&v);
	rig_stop(rig);
	assert_int_equal(arenas_seen().maps, 1);
	assert_int_equal(arenas_seen().unmaps, 1);
	assert_ptr_equal(arenas_seen().unmapped, arenas_seen().mapped);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_welcome),
		cmocka_unit_test(test_life),
		cmocka_unit_test(test_rejects),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_descriptors_are_closed),
		cmocka_unit_test(test_quotas),
		cmocka_unit_test(test_per_user),
		cmocka_unit_test(test_hang_up_in_load),
		cmocka_unit_test(test_hang_ups),
		cmocka_unit_test(test_pipelined),
		cmocka_unit_test(test_does_not_read),
		cmocka_unit_test(test_says_nothing),
		cmocka_unit_test(test_crowd),
		cmocka_unit_test(test_evict),
		cmocka_unit_test(test_drain),
		cmocka_unit_test(test_hang_up_in_handover),
		cmocka_unit_test(arenas_are_mapped_once),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
