/* SPDX-License-Identifier: Apache-2.0 */
/* Ring and arena: what is in them, and that the tenant's descriptor cannot change their size. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/tenant/object.h"
#include "agent/tenant/ring_map.h"

static void assert_sealed(int fd, off_t bytes)
{
	struct stat st;

	assert_int_equal(fcntl(fd, F_GET_SEALS), F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
	assert_int_equal(ftruncate(fd, bytes + 4096), -1);
	assert_int_equal(errno, EPERM);
	assert_int_equal(ftruncate(fd, 0), bytes ? -1 : 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, bytes);
}

static void check_ring(uint32_t sq, uint32_t cq)
{
	struct ring_map m;
	struct ooo_ring *theirs;
	int fd;

	assert_int_equal(ring_map_create(&m, sq, cq, &fd), 0);
	assert_int_equal(m.sq_mask, sq - 1);
	assert_int_equal(m.cq_mask, cq - 1);
	assert_int_equal((uintptr_t)m.sqes % 64, 0);
	assert_int_equal((uintptr_t)m.cqes % 64, 0);
	assert_true((char *)m.sqes >= (char *)(m.ring + 1));
	assert_true((char *)m.cqes >= (char *)(m.sqes + sq));
	assert_true((char *)(m.cqes + cq) <= (char *)m.ring + m.bytes);
	assert_sealed(fd, (off_t)m.bytes);
	theirs = mmap(NULL, m.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(theirs, MAP_FAILED);
	assert_int_equal(theirs->magic, OOO_RING_MAGIC);
	assert_int_equal(theirs->version, OOO_ABI_VERSION);
	assert_int_equal(theirs->sq_entries, sq);
	assert_int_equal(theirs->cq_entries, cq);
	assert_int_equal(theirs->sq_off, (char *)m.sqes - (char *)m.ring);
	assert_int_equal(theirs->cq_off, (char *)m.cqes - (char *)m.ring);
	assert_int_equal(theirs->agent_state, OOO_AGENT_RUNNING);
	assert_int_equal(theirs->sq_tail | theirs->cq_tail | theirs->sq_head | theirs->cq_head, 0);
	/* It is one memory, not two. */
	m.cqes[cq - 1].cookie = 42;
	assert_int_equal(((struct ooo_cqe *)((char *)theirs + theirs->cq_off))[cq - 1].cookie, 42);
	munmap(theirs, m.bytes);
	close(fd);
	ring_map_destroy(&m);
	assert_null(m.ring);
	ring_map_destroy(&m); /* once more does nothing */
}

static void test_ring(void **state)
{
	check_ring(OOO_RING_MIN_ENTRIES, OOO_RING_MIN_ENTRIES);
	check_ring(256, 512);
	check_ring(OOO_RING_MAX_ENTRIES, 2 * OOO_RING_MAX_ENTRIES);
}

static void test_arena(void **state)
{
	void *arena;
	int fd;

	assert_int_equal(arena_create(1ull << 30, &arena, &fd), 0);
	assert_non_null(arena);
	assert_sealed(fd, 1ll << 30);
	((char *)arena)[(1ull << 30) - 1] = 7;
	/* The tenant may take pages away: then they read as zeros, and nothing faults. */
	assert_int_equal(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 1ll << 30),
			 0);
	assert_int_equal(((char *)arena)[(1ull << 30) - 1], 0);
	close(fd);
	arena_destroy(arena, 1ull << 30);

	assert_int_equal(arena_create(0, &arena, &fd), 0);
	assert_null(arena);
	assert_sealed(fd, 0);
	close(fd);
	arena_destroy(arena, 0);
}

static void test_arena_untouched(void **state)
{
	struct stat st;
	void *arena;
	int fd;

	assert_int_equal(arena_create(1ull << 30, &arena, &fd), 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_blocks, 0); /* pages count once touched */
	close(fd);
	arena_destroy(arena, 1ull << 30);
}

static void test_tenant(void **state)
{
	struct ooo_msg_hello hello = { .sq_entries = 8, .cq_entries = 16, .arena_bytes = 8192 };
	struct peer peer = { .pid = 12, .uid = 34, .gid = 56 };
	int fds[TENANT_NR_FDS];
	struct tenant *t;
	uint32_t n = 0;
	uint64_t one = 1;
	char wakeups[256];

	assert_int_equal(tenant_new(&hello, &peer, 3, -1, &t, fds), 0);
	assert_string_equal(t->name, "pid-12");
	assert_int_equal(t->id, 3);
	assert_int_equal(t->uid, 34);
	assert_int_equal(t->arena_bytes, 8192);
	for (struct request *r = t->free_requests; r; r = r->next)
		n++;
	assert_int_equal(n, 16);
	/* The tenant has nothing to send there: what it sent would wait in the agent's end. */
	assert_int_equal(send(fds[TENANT_FD_CQ], "", 1, MSG_NOSIGNAL), -1);
	assert_int_equal(errno, EPIPE);
	/* The agent's ends do not block, whatever the tenant does to its own. */
	assert_int_equal(fcntl(fds[TENANT_FD_CQ], F_SETFL, 0), 0);
	assert_true(fcntl(t->cq_eventfd, F_GETFL) & O_NONBLOCK);
	while ((n = (uint32_t)write(t->cq_eventfd, &one, sizeof(one))) == sizeof(one))
		;
	assert_int_equal(errno, EAGAIN);
	n = (uint32_t)read(fds[TENANT_FD_CQ], wakeups, sizeof(wakeups));
	assert_in_range(n, sizeof(one), sizeof(wakeups) - 1); /* one read takes them all */
	assert_int_equal(write(t->cq_eventfd, &one, sizeof(one)), sizeof(one));
	tenant_close_fds(fds);
	assert_int_equal(fds[0], -1);
	tenant_free(t);
}

static void test_instance(void **state)
{
	struct step steps[2] = { { .nr_deps = 0, .cost_ns = 10 }, { .nr_deps = 1, .cost_ns = 20 } };
	struct program p = { .name = "p", .steps = steps, .nr_steps = 2 };
	struct tenant t = { .id = 1 };
	struct program_inst *inst;
	char why[128];

	assert_int_equal(program_inst_new(&t, 5, &p, NULL, 1000, &inst, why, sizeof(why)), 0);
	assert_int_equal(inst->id, 5);
	assert_int_equal(inst->nr_slots, PROGRAM_MAX_SLOTS);
	assert_int_equal(inst->nr_free_slots, PROGRAM_MAX_SLOTS);
	assert_int_equal(inst->free_slots[PROGRAM_MAX_SLOTS - 1], 0); /* taken first */
	assert_int_equal(inst->deps_init[1], 1);
	assert_int_equal(inst->cost_ns[1], 20);
	program_inst_free(inst);

	steps[1].nr_deps = UINT16_MAX + 1;
	snprintf(steps[1].name, sizeof(steps[1].name), "Concat 9");
	assert_int_equal(program_inst_new(&t, 5, &p, NULL, 4, &inst, why, sizeof(why)), -E2BIG);
	assert_non_null(strstr(why, "Concat 9"));
	program_inst_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ring),
		cmocka_unit_test(test_arena),
		cmocka_unit_test(test_arena_untouched),
		cmocka_unit_test(test_tenant),
		cmocka_unit_test(test_instance),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
