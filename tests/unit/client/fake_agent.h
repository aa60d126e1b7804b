/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An agent for the client library's tests: one thread, one tenant at a time. It answers the
 * handshake, loads and binds (after checking what it was sent), and completes each submission by
 * writing input 0 plus one, byte by byte, to output 0. Tests make it hold back completions, refuse,
 * talk nonsense, drop the tenant or die.
 */
#ifndef FAKE_AGENT_H
#define FAKE_AGENT_H

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "shared/abi/handshake.h"
#include "shared/abi/program.h"
#include "shared/abi/ring.h"
#include "shared/abi/ring_sync.h"
#include "shared/abi/status.h"
#include "shared/client/ooo.h"

#define FAKE_MAX_HELD 8192
#define FAKE_MAX_IDS  256

enum fake_fault { /* one shot: what the next reply suffers */
	FAULT_NONE,
	FAULT_SILENT, /* no reply at all */
	FAULT_LATE,   /* the reply comes 150 ms late */
	FAULT_VERSION,
	FAULT_MAGIC,
	FAULT_TYPE,
	FAULT_SHORT,
	FAULT_HANG_UP,
	FAULT_NO_FDS,
	FAULT_BIG_RING,   /* the ring's memory is smaller than it says */
	FAULT_PLAIN_DONE, /* refuses by DONE, whatever was asked */
	FAULT_STRAY_FDS,  /* descriptors where none belong */
};

struct fake_program {
	bool loaded;
	uint64_t in_bytes, out_bytes; /* of input 0 and output 0 */
	uint32_t nr_io;
};

struct fake_binding {
	bool bound;
	uint64_t offset[OOO_MAX_IO];
};

struct fake_agent {
	char dir[64], path[108];
	pthread_t thread;
	int listener, conn, kick; /* kick: an eventfd that ends its sleep */
	/* the tenant */
	struct ooo_ring *ring;
	size_t ring_bytes;
	struct ooo_sqe *sqes;
	struct ooo_cqe *cqes;
	uint32_t sq_entries, cq_entries, sq_head, cq_tail;
	char *arena;
	uint64_t arena_bytes;
	int sq_eventfd, cq_eventfd;
	struct fake_program programs[FAKE_MAX_IDS];
	struct fake_binding bindings[FAKE_MAX_IDS];
	struct ooo_sqe held[FAKE_MAX_HELD];
	uint32_t nr_held;
	uint64_t device_work_ns;
	/* set by the test; words that both touch are atomic */
	uint32_t stop, hold, stall, drop_reason, spin;
	uint32_t fault;             /* enum fake_fault of the next reply */
	uint32_t refuse;            /* enum ooo_status of the next reply */
	uint32_t stray_completions; /* post this many that nobody asked for */
	/* read by the test */
	uint32_t nr_hello, nr_load, nr_bind, nr_unbind, nr_unload, nr_taken, nr_sleeps, nr_wakeups;
	uint32_t last_precision;
	char last_name[OOO_NAME_BYTES];
};

union fake_request {
	struct ooo_msg msg;
	struct ooo_msg_hello hello;
	struct ooo_msg_load load;
	struct ooo_msg_bind bind;
	struct ooo_msg_unbind unbind;
	char bytes[1024];
};

union fake_reply {
	struct ooo_msg msg;
	struct ooo_msg_welcome welcome;
	struct ooo_msg_loaded loaded;
	struct ooo_msg_bound bound;
	struct ooo_msg_done done;
	struct ooo_msg_stats_reply stats;
};

static inline uint32_t fake_get(const uint32_t *word)
{
	return __atomic_load_n(word, __ATOMIC_SEQ_CST);
}

static inline void fake_put(uint32_t *word, uint32_t value)
{
	__atomic_store_n(word, value, __ATOMIC_SEQ_CST);
}

static inline void fake_set(struct fake_agent *a, uint32_t *word, uint32_t value)
{
	uint64_t one = 1;

	fake_put(word, value);
	if (write(a->kick, &one, sizeof(one)) != sizeof(one))
		abort();
}

/* What must hold of a client's messages, or the test dies. */
#define FAKE_CHECK(what)                                                                           \
	do {                                                                                       \
		if (!(what)) {                                                                     \
			fprintf(stderr, "fake agent, line %d: %s\n", __LINE__, #what);             \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

static inline void fake_send(struct fake_agent *a, union fake_reply *reply, size_t bytes,
			     uint16_t type, const int *fds, int nr_fds)
{
	uint32_t fault = fake_get(&a->fault);
	char control[CMSG_SPACE(8 * sizeof(int))] = { 0 };
	struct iovec iov = { .iov_base = reply, .iov_len = bytes };
	struct msghdr head = { .msg_iov = &iov, .msg_iovlen = 1 };
	int strays[2] = { a->kick, a->kick };

	fake_put(&a->fault, FAULT_NONE);
	fake_put(&a->refuse, OOO_OK);
	if (reply->msg.status && fault == FAULT_PLAIN_DONE) {
		type = OOO_MSG_DONE;
		bytes = iov.iov_len = sizeof(reply->done);
		snprintf(reply->done.text, sizeof(reply->done.text), "plainly refused");
	}
	reply->msg.magic = fault == FAULT_MAGIC ? 1 : OOO_MSG_MAGIC;
	reply->msg.version = fault == FAULT_VERSION ? OOO_ABI_VERSION + 1 : OOO_ABI_VERSION;
	reply->msg.type = fault == FAULT_TYPE ? OOO_MSG_HELLO : type;
	reply->msg.bytes = (uint32_t)bytes;
	if (fault == FAULT_SHORT)
		iov.iov_len = 20;
	if (fault == FAULT_NO_FDS || reply->msg.status)
		nr_fds = 0;
	if (fault == FAULT_STRAY_FDS) {
		fds = strays;
		nr_fds = 2;
	}
	if (nr_fds) {
		struct cmsghdr *c;

		head.msg_control = control;
		head.msg_controllen = CMSG_SPACE((size_t)nr_fds * sizeof(int));
		c = CMSG_FIRSTHDR(&head);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN((size_t)nr_fds * sizeof(int));
		memcpy(CMSG_DATA(c), fds, (size_t)nr_fds * sizeof(int));
	}
	if (fault == FAULT_LATE)
		usleep(150000);
	if (fault == FAULT_HANG_UP)
		shutdown(a->conn, SHUT_RDWR);
	else if (fault != FAULT_SILENT)
		sendmsg(a->conn, &head, MSG_NOSIGNAL);
}

static inline int fake_memfd(uint64_t bytes)
{
	int fd = memfd_create("fake", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	FAKE_CHECK(fd >= 0 && !ftruncate(fd, (off_t)bytes));
	FAKE_CHECK(!fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL));
	return fd;
}

static inline void fake_unmap(struct fake_agent *a)
{
	if (a->ring) {
		munmap(a->ring, a->ring_bytes);
		munmap(a->arena, a->arena_bytes);
		close(a->sq_eventfd);
		close(a->cq_eventfd);
	}
	a->ring = NULL;
	memset(a->programs, 0, sizeof(a->programs));
	memset(a->bindings, 0, sizeof(a->bindings));
	a->nr_held = a->sq_head = a->cq_tail = 0;
}

static inline void fake_hello(struct fake_agent *a, const struct ooo_msg_hello *h)
{
	union fake_reply reply = { .welcome = { .tenant = 7 + a->nr_hello, .device = "fake" } };
	struct ooo_msg_welcome *w = &reply.welcome;
	int ring_fd, arena_fd;

	FAKE_CHECK(h->msg.bytes == sizeof(*h) && strnlen(h->name, sizeof(h->name)) < 32);
	memcpy(a->last_name, h->name, sizeof(h->name));
	w->msg.status = fake_get(&a->refuse);
	if (w->msg.status)
		snprintf(w->text, sizeof(w->text), "the door is closed");
	fake_unmap(a);
	a->sq_entries = h->sq_entries;
	a->cq_entries = h->cq_entries;
	w->features = h->features;
	w->sq_entries = h->sq_entries;
	w->cq_entries = h->cq_entries;
	w->sq_off = sizeof(struct ooo_ring);
	w->cq_off = w->sq_off + h->sq_entries * (uint32_t)sizeof(struct ooo_sqe);
	w->ring_bytes = w->cq_off + h->cq_entries * sizeof(struct ooo_cqe);
	w->arena_bytes = h->arena_bytes;
	a->ring_bytes = w->ring_bytes;
	a->arena_bytes = h->arena_bytes;
	ring_fd = fake_memfd(fake_get(&a->fault) == FAULT_BIG_RING ? 4096 : w->ring_bytes);
	arena_fd = fake_memfd(h->arena_bytes);
	a->sq_eventfd = eventfd(0, EFD_CLOEXEC);
	a->cq_eventfd = eventfd(0, EFD_CLOEXEC);
	a->ring = mmap(NULL, a->ring_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, ring_fd, 0);
	a->arena = mmap(NULL, a->arena_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, arena_fd, 0);
	FAKE_CHECK(a->ring != MAP_FAILED && a->arena != MAP_FAILED);
	a->sqes = (struct ooo_sqe *)((char *)a->ring + w->sq_off);
	a->cqes = (struct ooo_cqe *)((char *)a->ring + w->cq_off);
	a->ring->magic = OOO_RING_MAGIC;
	a->ring->version = OOO_ABI_VERSION;
	a->ring->agent_state = OOO_AGENT_RUNNING;
	fake_put(&a->nr_hello, a->nr_hello + 1);
	fake_send(a, &reply, sizeof(*w), OOO_MSG_WELCOME,
		  (int[]){ ring_fd, arena_fd, a->sq_eventfd, a->cq_eventfd }, 4);
	close(ring_fd);
	close(arena_fd);
}

static inline uint64_t fake_tensor_bytes(const struct ooo_prog_tensor *t)
{
	uint64_t n = ooo_dtype_bytes((enum ooo_dtype)t->dtype);

	for (uint32_t i = 0; i < t->rank; i++)
		n *= (uint64_t)t->dims[i];
	return n;
}

static inline void fake_load(struct fake_agent *a, const struct ooo_msg_load *l, int fd)
{
	union fake_reply reply = { 0 };
	const struct ooo_prog_header *h;
	struct fake_program *p;
	uint32_t id = 0;

	FAKE_CHECK(fd >= 0);
	FAKE_CHECK((fcntl(fd, F_GET_SEALS) & (F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW)) ==
		   (F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW));
	h = mmap(NULL, l->program_bytes, PROT_READ, MAP_SHARED, fd, 0);
	FAKE_CHECK(h != MAP_FAILED && h->magic == OOO_PROG_MAGIC && h->bytes == l->program_bytes);
	while (a->programs[id].loaded)
		id++;
	p = &a->programs[id];
	reply.msg.status = fake_get(&a->refuse);
	if (reply.msg.status)
		snprintf(reply.loaded.text, sizeof(reply.loaded.text), "step 3 is beyond me");
	p->loaded = !reply.msg.status;
	p->nr_io = h->nr_inputs + h->nr_outputs;
	for (uint32_t i = 0; i < h->nr_tensors; i++) {
		const struct ooo_prog_tensor *t =
			(const void *)((const char *)h + h->tensors_off + i * sizeof(*t));

		if (t->role == OOO_ROLE_INPUT && !t->io)
			p->in_bytes = fake_tensor_bytes(t);
		if (t->role == OOO_ROLE_OUTPUT && !t->io)
			p->out_bytes = fake_tensor_bytes(t);
	}
	reply.loaded.program = 10 + id;
	reply.loaded.nr_steps = h->nr_ops;
	reply.loaded.nr_ops = h->nr_ops;
	reply.loaded.slots = 4;
	reply.loaded.weight_bytes = h->data_bytes;
	munmap((void *)h, l->program_bytes);
	fake_put(&a->last_precision, l->precision);
	fake_put(&a->nr_load, a->nr_load + 1);
	fake_send(a, &reply, sizeof(reply.loaded), OOO_MSG_LOADED, NULL, 0);
}

static inline void fake_bind(struct fake_agent *a, const struct ooo_msg_bind *b)
{
	union fake_reply reply = { 0 };
	uint32_t id = 0;

	FAKE_CHECK(b->program >= 10 && a->programs[b->program - 10].loaded);
	FAKE_CHECK(b->nr == a->programs[b->program - 10].nr_io);
	for (uint32_t i = 0; i < OOO_MAX_IO; i++) {
		FAKE_CHECK(i < b->nr || !b->offset[i]);
		FAKE_CHECK(b->offset[i] % OOO_BUFFER_ALIGN == 0 && b->offset[i] <= a->arena_bytes);
	}
	while (a->bindings[id].bound)
		id++;
	reply.msg.status = fake_get(&a->refuse);
	a->bindings[id].bound = !reply.msg.status;
	memcpy(a->bindings[id].offset, b->offset, sizeof(b->offset));
	reply.bound.binding = 100 + id;
	fake_put(&a->nr_bind, a->nr_bind + 1);
	fake_send(a, &reply, sizeof(reply.bound), OOO_MSG_BOUND, NULL, 0);
}

static inline void fake_drop_object(struct fake_agent *a, const struct ooo_msg_unbind *u)
{
	union fake_reply reply = { 0 };

	reply.msg.status = fake_get(&a->refuse);
	if (!reply.msg.status && u->msg.type == OOO_MSG_UNBIND) {
		FAKE_CHECK(u->binding >= 100 && a->bindings[u->binding - 100].bound);
		a->bindings[u->binding - 100].bound = false;
		fake_put(&a->nr_unbind, a->nr_unbind + 1);
	} else if (!reply.msg.status) {
		FAKE_CHECK(u->program >= 10 && a->programs[u->program - 10].loaded && !u->binding);
		a->programs[u->program - 10].loaded = false;
		fake_put(&a->nr_unload, a->nr_unload + 1);
	}
	fake_send(a, &reply, sizeof(reply.done), OOO_MSG_DONE, NULL, 0);
}

static inline void fake_stats(struct fake_agent *a)
{
	union fake_reply reply = { .stats = { .submitted = a->nr_taken, .bundles = 3 } };

	reply.msg.status = fake_get(&a->refuse);
	fake_send(a, &reply, sizeof(reply.stats), OOO_MSG_STATS_REPLY, NULL, 0);
}

static inline void fake_message(struct fake_agent *a)
{
	char control[CMSG_SPACE(sizeof(int))];
	union fake_request req;
	struct iovec iov = { .iov_base = &req, .iov_len = sizeof(req) };
	struct msghdr head = { .msg_iov = &iov,
			       .msg_iovlen = 1,
			       .msg_control = control,
			       .msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(a->conn, &head, MSG_CMSG_CLOEXEC);
	struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&head) : NULL;
	int fd = -1;

	if (n <= 0) {
		close(a->conn);
		a->conn = -1;
		fake_unmap(a);
		return;
	}
	FAKE_CHECK(req.msg.magic == OOO_MSG_MAGIC && req.msg.version == OOO_ABI_VERSION);
	FAKE_CHECK(req.msg.bytes == (size_t)n && !req.msg.status);
	if (c)
		memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	FAKE_CHECK((fd >= 0) == (req.msg.type == OOO_MSG_LOAD));
	if (req.msg.type == OOO_MSG_HELLO)
		fake_hello(a, &req.hello);
	else if (req.msg.type == OOO_MSG_LOAD)
		fake_load(a, &req.load, fd);
	else if (req.msg.type == OOO_MSG_BIND)
		fake_bind(a, &req.bind);
	else if (req.msg.type == OOO_MSG_STATS)
		fake_stats(a);
	else
		fake_drop_object(a, &req.unbind);
	if (fd >= 0)
		close(fd);
}

/* Post one completion; *posted_tail is published by the caller. */
static inline void fake_post(struct fake_agent *a, uint64_t cookie, uint32_t status, uint16_t flags)
{
	uint32_t head = ring_load_acquire(&a->ring->cq_head);

	FAKE_CHECK(a->cq_tail - head < a->cq_entries); /* the client promised that there is room */
	a->cqes[a->cq_tail++ & (a->cq_entries - 1)] = (struct ooo_cqe){
		.cookie = cookie,
		.status = status,
		.flags = flags,
		.width = 24,
		.fetch_ns = 1,
		.start_ns = 2,
		.finish_ns = 3,
		.service_ns = a->device_work_ns,
	};
}

static inline void fake_run(struct fake_agent *a, const struct ooo_sqe *sqe)
{
	const struct fake_program *p;
	const struct fake_binding *b;
	const char *in;
	char *out;

	FAKE_CHECK(sqe->program >= 10 && a->programs[sqe->program - 10].loaded);
	FAKE_CHECK(sqe->binding >= 100 && a->bindings[sqe->binding - 100].bound);
	p = &a->programs[sqe->program - 10];
	b = &a->bindings[sqe->binding - 100];
	in = a->arena + b->offset[0];
	out = a->arena + b->offset[p->nr_io - 1];
	for (uint64_t i = 0; i < p->out_bytes && i < p->in_bytes; i++)
		out[i] = (char)(in[i] + 1);
	fake_post(a, sqe->cookie, OOO_OK, 0);
}

static inline void fake_cancel(struct fake_agent *a, uint64_t cookie)
{
	uint32_t status = OOO_INVALID;

	for (uint32_t i = 0; i < a->nr_held; i++) {
		if (a->held[i].cookie != cookie)
			continue;
		a->held[i] = a->held[--a->nr_held];
		fake_post(a, cookie, OOO_CANCELLED, 0);
		status = OOO_OK;
		break;
	}
	fake_post(a, cookie, status, OOO_CQE_CANCEL);
}

static inline bool fake_turn(struct fake_agent *a)
{
	static const uint64_t one = 1;
	uint32_t tail_before = a->cq_tail, tail, strays = fake_get(&a->stray_completions);

	if (!a->ring)
		return false;
	for (; strays; strays--)
		fake_post(a, strays % 2 ? UINT64_MAX - strays : strays - 1, OOO_OK, 0);
	fake_put(&a->stray_completions, 0);
	tail = fake_get(&a->stall) ? a->sq_head : ring_load_acquire(&a->ring->sq_tail);
	FAKE_CHECK(tail - a->sq_head <= a->sq_entries);
	while (a->sq_head != tail) {
		struct ooo_sqe sqe = a->sqes[a->sq_head++ & (a->sq_entries - 1)];

		ring_store_release(&a->ring->sq_head, a->sq_head);
		fake_put(&a->nr_taken, a->nr_taken + 1);
		if (sqe.op == OOO_SQE_CANCEL)
			fake_cancel(a, sqe.cookie);
		else if (fake_get(&a->hold))
			a->held[a->nr_held++] = sqe;
		else
			fake_run(a, &sqe);
	}
	if (!fake_get(&a->hold)) {
		for (uint32_t i = 0; i < a->nr_held; i++)
			fake_run(a, &a->held[i]);
		a->nr_held = 0;
	}
	if (tail_before == a->cq_tail)
		return false;
	ring_store_release(&a->ring->cq_tail, a->cq_tail);
	ring_full_fence();
	if (ring_load_relaxed(&a->ring->tenant_flags) & OOO_RING_NEED_WAKEUP) {
		fake_put(&a->nr_wakeups, a->nr_wakeups + 1);
		FAKE_CHECK(write(a->cq_eventfd, &one, sizeof(one)) == sizeof(one));
	}
	return true;
}

static inline void fake_sockets(struct fake_agent *a, int timeout_ms)
{
	struct pollfd pfds[] = { { .fd = a->kick, .events = POLLIN },
				 { .fd = a->conn >= 0 ? a->conn : a->listener, .events = POLLIN },
				 { .fd = a->ring ? a->sq_eventfd : -1, .events = POLLIN } };
	uint64_t count;

	if (poll(pfds, 3, timeout_ms) <= 0)
		return;
	if (pfds[0].revents && read(a->kick, &count, sizeof(count)) < 0)
		abort();
	if (pfds[2].revents && read(a->sq_eventfd, &count, sizeof(count)) < 0)
		abort();
	if (!pfds[1].revents)
		return;
	if (a->conn >= 0)
		fake_message(a);
	else
		a->conn = accept4(a->listener, NULL, NULL, SOCK_CLOEXEC);
}

static inline void fake_sleep(struct fake_agent *a)
{
	if (!a->ring) {
		fake_sockets(a, -1);
		return;
	}
	ring_store_relaxed(&a->ring->agent_flags, OOO_RING_NEED_WAKEUP);
	ring_full_fence();
	if (fake_get(&a->stall) || ring_load_acquire(&a->ring->sq_tail) == a->sq_head) {
		fake_put(&a->nr_sleeps, a->nr_sleeps + 1);
		fake_sockets(a, -1);
	}
	if (a->ring)
		ring_store_relaxed(&a->ring->agent_flags, 0);
}

static inline void fake_drop_tenant(struct fake_agent *a)
{
	ring_store_relaxed(&a->ring->drop_reason, fake_get(&a->drop_reason));
	ring_store_release(&a->ring->agent_state, OOO_AGENT_DROPPED);
	shutdown(a->conn, SHUT_RDWR);
	fake_put(&a->drop_reason, 0);
}

static inline void *fake_thread(void *arg)
{
	struct fake_agent *a = arg;
	uint32_t idle = 0;

	while (!fake_get(&a->stop)) {
		if (fake_get(&a->drop_reason))
			fake_drop_tenant(a);
		if (fake_turn(a)) {
			idle = 0;
		} else if (idle++ < fake_get(&a->spin)) {
			ring_cpu_relax();
			if (idle % 1024 == 0)
				fake_sockets(a, 0);
		} else {
			fake_sleep(a);
			idle = 0;
		}
	}
	return NULL;
}

static inline void fake_start(struct fake_agent *a)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", a->path);
	unlink(a->path);
	a->conn = -1;
	a->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	FAKE_CHECK(!bind(a->listener, (struct sockaddr *)&addr, sizeof(addr)));
	FAKE_CHECK(!listen(a->listener, 4));
	fake_put(&a->stop, 0);
	FAKE_CHECK(!pthread_create(&a->thread, NULL, fake_thread, a));
}

/* As if killed: everything is closed, the socket's file stays. */
static inline void fake_kill(struct fake_agent *a)
{
	fake_set(a, &a->stop, 1);
	pthread_join(a->thread, NULL);
	if (a->conn >= 0)
		close(a->conn);
	close(a->listener);
	fake_unmap(a);
}

static inline struct fake_agent *fake_new(void)
{
	struct fake_agent *a = calloc(1, sizeof(*a));

	snprintf(a->dir, sizeof(a->dir), "/tmp/ooo-ut-XXXXXX");
	FAKE_CHECK(mkdtemp(a->dir));
	snprintf(a->path, sizeof(a->path), "%s/agent.sock", a->dir);
	a->kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	fake_start(a);
	return a;
}

static inline void fake_free(struct fake_agent *a)
{
	fake_kill(a);
	unlink(a->path);
	rmdir(a->dir);
	close(a->kick);
	free(a);
}

/* ---- what every test needs ------------------------------------------------------------------- */

static inline struct ooo_client *fake_connect(struct fake_agent *a, uint32_t entries,
					      uint64_t arena_bytes)
{
	struct ooo_options opts = OOO_OPTIONS_INIT;
	struct ooo_client *client = NULL;
	char why[512];

	opts.socket = a->path;
	opts.name = "test";
	opts.sq_entries = entries;
	opts.arena_bytes = arena_bytes;
	if (ooo_connect(&opts, &client, why, sizeof(why)))
		fprintf(stderr, "connect: %s\n", why);
	FAKE_CHECK(client);
	return client;
}

/* y = relu(x), uint8-sized buffers of n floats */
static inline struct ooo_program *fake_relu(struct ooo_client *client, int64_t n)
{
	struct ooo_builder *b = ooo_builder_new("relu");
	struct ooo_program *program = NULL;
	int x = ooo_input(b, OOO_FP32, 1, &n);
	int y = ooo_op1(b, OOO_OP_RELU, NULL, (uint32_t)x);

	FAKE_CHECK(x >= 0 && y >= 0 && !ooo_output(b, (uint32_t)y));
	ooo_load(client, b, NULL, &program);
	ooo_builder_free(b);
	return program;
}

static inline int fake_count_fds(void)
{
	int n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* No more descriptors than before, once the agent's thread has closed its own. */
static inline bool fake_fds_settle(int before)
{
	for (int i = 0; i < 5000 && fake_count_fds() > before; i++)
		usleep(1000);
	return fake_count_fds() <= before;
}

#endif
