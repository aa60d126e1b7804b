/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A whole agent in one process: door, loader and dispatcher threads over the sim device, and a
 * listening socket in a folder of its own. The tests are its tenants and talk to it through the
 * socket alone. The compiler is a stand-in that makes a program of one step with one input and one
 * output of RIG_IO_BYTES, whatever the memfd holds, and that can be made to take its time.
 */
#ifndef TESTS_TENANT_RIG_H
#define TESTS_TENANT_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/log.h"
#include "agent/runtime.h"
#include "agent/tenant/door.h"
#include "agent/tenant/messages.h"
#include "agent/tenant/object.h"
#include "shared/abi/ring_sync.h"

#define RIG_IO_BYTES 256

extern const struct device_ops sim_device_ops;

/* ---- the stand-in compiler ------------------------------------------------------------------- */

static struct {
	pthread_mutex_t lock;
	pthread_cond_t change;
	bool hold;         /* compiles wait */
	int waiting;       /* that many do */
	int alive;         /* programs made and not freed */
	int result;        /* of compiles */
	uint8_t precision; /* permitted to the last */
	uint64_t weight_bytes;
} compiler = { .lock = PTHREAD_MUTEX_INITIALIZER, .change = PTHREAD_COND_INITIALIZER };

struct fake_program {
	struct program p;
	struct tensor tensors[2];
	struct step step;
	uint32_t io[2];
};

int program_compile(int fd, uint64_t bytes, const struct compile_opts *opts, struct program **out,
		    char *why, size_t why_bytes)
{
	struct fake_program *f;

	pthread_mutex_lock(&compiler.lock);
	compiler.waiting++;
	pthread_cond_broadcast(&compiler.change);
	while (compiler.hold)
		pthread_cond_wait(&compiler.change, &compiler.lock);
	compiler.waiting--;
	pthread_mutex_unlock(&compiler.lock);
	compiler.precision = opts->precision;
	if (compiler.result) {
		snprintf(why, why_bytes, "program \"fake\": refused as asked");
		return compiler.result;
	}
	f = calloc(1, sizeof(*f));
	for (uint32_t i = 0; i < 2; i++) {
		f->tensors[i].shape = (struct shape){ .dtype = OOO_UINT8, .rank = 1 };
		f->tensors[i].shape.dims[0] = RIG_IO_BYTES;
		f->tensors[i].alias_of = OOO_NONE;
		f->io[i] = i;
	}
	f->step.op = OOO_OP_RELU;
	f->step.in = &f->io[0];
	f->step.out = &f->io[1];
	f->step.nr_in = f->step.nr_out = 1;
	f->p = (struct program){
		.name = "fake",
		.tensors = f->tensors,
		.nr_tensors = 2,
		.steps = &f->step,
		.nr_steps = 1,
		.nr_ops = 3,
		.nr_inputs = 1,
		.nr_outputs = 1,
		.inputs = &f->io[0],
		.outputs = &f->io[1],
		.weight_bytes = compiler.weight_bytes,
	};
	__atomic_add_fetch(&compiler.alive, 1, __ATOMIC_SEQ_CST);
	*out = &f->p;
	return 0;
}

void program_free(struct program *program)
{
	if (!program)
		return;
	__atomic_sub_fetch(&compiler.alive, 1, __ATOMIC_SEQ_CST);
	free(program); /* the first member of its struct fake_program */
}

static inline void compiler_hold(bool hold)
{
	pthread_mutex_lock(&compiler.lock);
	compiler.hold = hold;
	pthread_cond_broadcast(&compiler.change);
	pthread_mutex_unlock(&compiler.lock);
}

static inline void compiler_wait_until_waiting(void)
{
	pthread_mutex_lock(&compiler.lock);
	while (!compiler.waiting)
		pthread_cond_wait(&compiler.change, &compiler.lock);
	pthread_mutex_unlock(&compiler.lock);
}

/* ---- a device that maps arenas --------------------------------------------------------------- */

/* The loader's thread calls it, tests look at it through arenas_seen(). */
struct arenas {
	int maps, unmaps;
	int result;              /* of maps */
	void *mapped, *unmapped; /* the last ones */
};

static struct arenas arenas;
static pthread_mutex_t arenas_lock = PTHREAD_MUTEX_INITIALIZER;

static inline struct arenas arenas_seen(void)
{
	struct arenas seen;

	pthread_mutex_lock(&arenas_lock);
	seen = arenas;
	pthread_mutex_unlock(&arenas_lock);
	return seen;
}

/* Count from zero; maps end with this from now on. */
static inline void arenas_start(int result)
{
	pthread_mutex_lock(&arenas_lock);
	arenas = (struct arenas){ .result = result };
	pthread_mutex_unlock(&arenas_lock);
}

static inline int rig_map_arena(struct device *dev, void *base, size_t bytes)
{
	int result;

	pthread_mutex_lock(&arenas_lock);
	result = arenas.result;
	if (!result) {
		((char *)base)[bytes - 1] = 1; /* it is all there */
		arenas.maps++;
		arenas.mapped = base;
	}
	pthread_mutex_unlock(&arenas_lock);
	return result;
}

static inline void rig_unmap_arena(struct device *dev, void *base)
{
	pthread_mutex_lock(&arenas_lock);
	((char *)base)[0] = 1; /* and still is */
	arenas.unmaps++;
	arenas.unmapped = base;
	pthread_mutex_unlock(&arenas_lock);
}

/* ---- the agent ------------------------------------------------------------------------------- */

struct rig {
	char dir[64];
	struct runtime rt;
	struct device *dev;
	struct mailbox mb;
	struct dispatcher *dispatcher;
	struct loader *loader;
	struct registry registry;
	struct turn_config turn;
	struct door *door;
	struct device_ops ops; /* the sim device's, with arenas */
	pthread_t thread;
	int result; /* of door_run() */
};

static inline void *rig_main(void *arg)
{
	struct rig *rig = arg;

	rig->result = door_run(rig->door);
	return NULL;
}

static inline struct rig *rig_start(struct door_limits limits)
{
	struct rig *rig = aligned_alloc(64, (sizeof(*rig) + 63) / 64 * 64);
	struct device_config device = { .name = "sim" };
	struct door_config config = { .limits = limits, .signal_fd = -1 };
	char why[256];

	log_set_level(LOG_LEVEL_ERROR);
	memset(rig, 0, sizeof(*rig));
	rig->turn = (struct turn_config)TURN_CONFIG_DEFAULT;
	rig->turn.spin_us = 0;
	snprintf(rig->dir, sizeof(rig->dir), "/tmp/ooo-door-XXXXXX");
	assert_non_null(mkdtemp(rig->dir));
	assert_int_equal(runtime_open(&rig->rt, rig->dir, why, sizeof(why)), 0);
	assert_int_equal(sim_device_ops.open(&device, &rig->dev, why, sizeof(why)), 0);
	assert_int_equal(mailbox_init(&rig->mb), 0);
	rig->ops = sim_device_ops;
	rig->ops.map_arena = rig_map_arena;
	rig->ops.unmap_arena = rig_unmap_arena;
	assert_int_equal(
		dispatcher_start(&rig->turn, &rig->ops, rig->dev, &rig->mb, &rig->dispatcher), 0);
	assert_int_equal(loader_start(&rig->ops, rig->dev, &rig->loader), 0);
	assert_int_equal(registry_init(&rig->registry), 0);
	rig->registry.agent.devices[0].caps = sim_device_ops.caps(rig->dev);
	rig->registry.agent.devices[0].stats = dispatcher_stats(rig->dispatcher);
	rig->registry.agent.nr_devices = 1;
	rig->registry.agent.agent_id = 77;
	config.listen_fd = rig->rt.listen_fd;
	config.nr_devices = 1;
	config.devices[0].mailbox = &rig->mb;
	config.devices[0].loader = rig->loader;
	config.registry = &rig->registry;
	assert_int_equal(door_new(&config, &rig->door), 0);
	assert_int_equal(pthread_create(&rig->thread, NULL, rig_main, rig), 0);
	return rig;
}

static inline void rig_close_runtime(struct rig *rig)
{
	char lock[128];

	runtime_close(&rig->rt);
	snprintf(lock, sizeof(lock), "%s/agent.lock", rig->dir);
	unlink(lock);
	assert_int_equal(rmdir(rig->dir), 0);
}

/* Drain, and see that nothing is left. */
static inline void rig_stop(struct rig *rig)
{
	registry_lock(&rig->registry);
	registry_ask_drain(&rig->registry);
	registry_unlock(&rig->registry);
	pthread_join(rig->thread, NULL);
	assert_int_equal(rig->result, 0);
	assert_int_equal(rig->registry.agent.nr_tenants, 0);
	door_free(rig->door);
	dispatcher_join(rig->dispatcher);
	loader_stop(rig->loader);
	registry_fini(&rig->registry);
	mailbox_fini(&rig->mb);
	sim_device_ops.close(rig->dev);
	rig_close_runtime(rig);
	free(rig);
	assert_int_equal(compiler.alive, 0);
}

static inline uint32_t rig_tenants(struct rig *rig)
{
	uint32_t n;

	registry_lock(&rig->registry);
	n = registry_agent(&rig->registry)->nr_tenants;
	registry_unlock(&rig->registry);
	return n;
}

/* Bounded: a test that waits for ever fails. */
static inline void rig_wait_tenants(struct rig *rig, uint32_t n)
{
	for (int i = 0; i < 10000; i++) {
		if (rig_tenants(rig) == n)
			return;
		usleep(1000);
	}
	fail_msg("%u tenants, not %u", rig_tenants(rig), n);
}

/* ---- a tenant -------------------------------------------------------------------------------- */

struct visitor {
	int sock;
	int fds[TENANT_NR_FDS];
	union reply_msg reply; /* the last one */
	struct ooo_ring *ring;
	size_t ring_bytes;
};

static inline struct visitor visitor_connect(struct rig *rig)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct timeval limit = { .tv_sec = 20 };
	struct visitor v = { .fds = { -1, -1, -1, -1 } };

	memcpy(addr.sun_path, rig->rt.socket_path, sizeof(addr.sun_path));
	v.sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert_true(v.sock >= 0);
	setsockopt(v.sock, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	assert_int_equal(connect(v.sock, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return v;
}

static inline ssize_t visitor_send(struct visitor *v, const void *data, size_t bytes,
				   const int *fds, unsigned nr_fds)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(8 * sizeof(int))];
	} control = { 0 };
	struct iovec iov = { .iov_base = (void *)data, .iov_len = bytes };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (nr_fds) {
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(nr_fds * sizeof(int));
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		control.align.cmsg_len = CMSG_LEN(nr_fds * sizeof(int));
		memcpy(CMSG_DATA(&control.align), fds, nr_fds * sizeof(int));
	}
	return sendmsg(v->sock, &msg, MSG_NOSIGNAL);
}

/* Bytes of the reply, 0: the agent hung up. */
static inline ssize_t visitor_receive(struct visitor *v)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(TENANT_NR_FDS * sizeof(int))];
	} control;
	struct iovec iov = { .iov_base = &v->reply, .iov_len = sizeof(v->reply) };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *c;
	ssize_t n;

	memset(&v->reply, 0, sizeof(v->reply));
	n = recvmsg(v->sock, &msg, MSG_CMSG_CLOEXEC);
	if (n < 0 && errno == ECONNRESET) /* it left messages of ours unread */
		return visitor_receive(v);
	assert_true(n >= 0); /* -EAGAIN: no answer in time */
	c = CMSG_FIRSTHDR(&msg);
	if (c) {
		assert_int_equal(c->cmsg_len, CMSG_LEN(TENANT_NR_FDS * sizeof(int)));
		memcpy(v->fds, CMSG_DATA(c), sizeof(v->fds));
	}
	return n;
}

static inline struct ooo_msg msg_head(uint16_t type, size_t bytes)
{
	return (struct ooo_msg){
		.magic = OOO_MSG_MAGIC,
		.version = OOO_ABI_VERSION,
		.type = type,
		.bytes = (uint32_t)bytes,
	};
}

/* Send a request and take its reply; returns the status. */
static inline uint32_t visitor_ask(struct visitor *v, void *request, uint16_t type, size_t bytes,
				   int fd)
{
	*(struct ooo_msg *)request = msg_head(type, bytes);
	assert_int_equal(visitor_send(v, request, bytes, &fd, fd >= 0), bytes);
	assert_true(visitor_receive(v) > 0);
	assert_int_equal(v->reply.msg.magic, OOO_MSG_MAGIC);
	assert_int_equal(v->reply.msg.version, OOO_ABI_VERSION);
	return v->reply.msg.status;
}

static inline struct ooo_msg_hello hello_msg(const char *name)
{
	struct ooo_msg_hello h = { .sq_entries = 8, .cq_entries = 16, .arena_bytes = 65536 };

	snprintf(h.name, sizeof(h.name), "%s", name);
	return h;
}

static inline uint32_t visitor_hello(struct visitor *v, const char *name)
{
	struct ooo_msg_hello h = hello_msg(name);
	uint32_t status = visitor_ask(v, &h, OOO_MSG_HELLO, sizeof(h), -1);

	if (status == OOO_OK) {
		v->ring_bytes = v->reply.welcome.ring_bytes;
		v->ring = mmap(NULL, v->ring_bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
			       v->fds[TENANT_FD_RING], 0);
		assert_ptr_not_equal(v->ring, MAP_FAILED);
	}
	return status;
}

static inline struct visitor visitor_new(struct rig *rig, const char *name)
{
	struct visitor v = visitor_connect(rig);

	assert_int_equal(visitor_hello(&v, name), OOO_OK);
	return v;
}

static inline void visitor_close(struct visitor *v)
{
	if (v->ring)
		munmap(v->ring, v->ring_bytes);
	tenant_close_fds(v->fds);
	close(v->sock);
}

static inline int sealed_program(void)
{
	int fd = memfd_create("program", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_int_equal(ftruncate(fd, 4096), 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW), 0);
	return fd;
}

static inline uint32_t visitor_load(struct visitor *v)
{
	struct ooo_msg_load load = { .program_bytes = 4096 };
	int fd = sealed_program();
	uint32_t status = visitor_ask(v, &load, OOO_MSG_LOAD, sizeof(load), fd);

	close(fd);
	return status;
}

static inline uint32_t visitor_bind(struct visitor *v, uint32_t program)
{
	struct ooo_msg_bind b = { .program = program, .nr = 2, .offset = { 0, RIG_IO_BYTES } };

	return visitor_ask(v, &b, OOO_MSG_BIND, sizeof(b), -1);
}

static inline uint32_t visitor_undo(struct visitor *v, uint16_t type, uint32_t program,
				    uint32_t binding)
{
	struct ooo_msg_unbind u = { .program = program, .binding = binding };

	return visitor_ask(v, &u, type, sizeof(u), -1);
}

/* The agent hung up, after a last reply with this status (OOO_STATUS_LIMIT: without one). */
static inline void visitor_expect_end(struct visitor *v, uint32_t status)
{
	if (status != OOO_STATUS_LIMIT) {
		assert_true(visitor_receive(v) > 0);
		assert_int_equal(v->reply.msg.status, status);
	}
	assert_int_equal(visitor_receive(v), 0);
}

/* Submit one request and wait for its completion. */
static inline uint32_t visitor_run(struct visitor *v, uint32_t program, uint32_t binding)
{
	struct ooo_sqe *sqes = (struct ooo_sqe *)((char *)v->ring + v->ring->sq_off);
	struct ooo_cqe *cqes = (struct ooo_cqe *)((char *)v->ring + v->ring->cq_off);
	uint32_t tail = v->ring->sq_tail, head = v->ring->cq_head;
	struct pollfd p = { .fd = v->fds[TENANT_FD_CQ], .events = POLLIN };
	char wakeups[256];
	uint64_t one = 1;

	sqes[tail & 7] = (struct ooo_sqe){
		.op = OOO_SQE_SUBMIT,
		.program = program,
		.binding = binding,
		.cookie = tail,
	};
	ring_store_relaxed(&v->ring->tenant_flags, OOO_RING_NEED_WAKEUP);
	ring_store_release(&v->ring->sq_tail, tail + 1);
	ring_full_fence();
	if (ring_load_relaxed(&v->ring->agent_flags) & OOO_RING_NEED_WAKEUP)
		assert_int_equal(write(v->fds[TENANT_FD_SQ], &one, sizeof(one)), sizeof(one));
	while (ring_load_acquire(&v->ring->cq_tail) == head) {
		assert_int_equal(poll(&p, 1, 20000), 1);
		assert_true(read(p.fd, wakeups, sizeof(wakeups)) > 0);
	}
	assert_int_equal(cqes[head & 15].cookie, tail);
	ring_store_release(&v->ring->cq_head, head + 1);
	return cqes[head & 15].status;
}

#endif
