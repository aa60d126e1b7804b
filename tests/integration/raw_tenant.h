/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tenant without the library: the messages of shared/abi/handshake.h and the rings, spoken by hand,
 * so that a test can say what the library never would. What should not fail and does ends the test.
 */
#ifndef TESTS_RAW_TENANT_H
#define TESTS_RAW_TENANT_H

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "shared/abi/handshake.h"
#include "shared/abi/program.h"
#include "shared/abi/ring.h"
#include "shared/abi/ring_sync.h"
#include "shared/lib/infer.h"

#define N             256 /* elements of the programs' input and output */
#define STALL_SECONDS 30  /* the good tenant must advance in this time */
#define ARENA         65536u

static inline void nap_ms(long ms)
{
	struct timespec ts = { ms / 1000, ms % 1000 * 1000000 };

	nanosleep(&ts, NULL);
}

static inline void die(const char *what)
{
	fprintf(stderr, "hostile: %s: %s\n", what, strerror(errno));
	exit(1);
}

struct raw {
	int sock;
	int fds[4];
	struct ooo_msg_welcome welcome;
	char *ring, *arena;
};

static inline int raw_connect(void)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct timeval limit = { .tv_sec = STALL_SECONDS };
	const char *dir = getenv("OOO_RUNTIME_DIR");
	int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/agent.sock", dir ? dir : "/run/ooo");
	setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	if (sock < 0 || connect(sock, (struct sockaddr *)&addr, sizeof(addr)))
		die("connect");
	return sock;
}

static inline struct ooo_msg head(uint16_t type, size_t bytes)
{
	return (struct ooo_msg){
		.magic = OOO_MSG_MAGIC,
		.version = OOO_ABI_VERSION,
		.type = type,
		.bytes = (uint32_t)bytes,
	};
}

static inline void raw_send(int sock, const void *data, size_t bytes, const int *fds, unsigned nr)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(8 * sizeof(int))];
	} control = { 0 };
	struct iovec iov = { .iov_base = (void *)data, .iov_len = bytes };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (nr) {
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(nr * sizeof(int));
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		control.align.cmsg_len = CMSG_LEN(nr * sizeof(int));
		memcpy(CMSG_DATA(&control.align), fds, nr * sizeof(int));
	}
	/* The agent may have hung up already: that is its right. */
	if (sendmsg(sock, &msg, MSG_NOSIGNAL) < 0 && errno != EPIPE && errno != ECONNRESET)
		die("send");
}

/* Status of the next reply; -1: hung up. */
static inline int raw_receive(int sock, int *fds, void *reply, size_t bytes)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(4 * sizeof(int))];
	} control = { 0 };
	struct iovec iov = { .iov_base = reply, .iov_len = bytes };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	ssize_t n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);

	if (n < 0 && errno == EAGAIN)
		die("no reply in time");
	if (n < (ssize_t)sizeof(struct ooo_msg))
		return -1;
	if (fds && CMSG_FIRSTHDR(&msg))
		memcpy(fds, CMSG_DATA(CMSG_FIRSTHDR(&msg)), 4 * sizeof(int));
	return (int)((struct ooo_msg *)reply)->status;
}

static inline int raw_ask(int sock, const void *data, size_t bytes, const int *fds, unsigned nr)
{
	char reply[1024];

	raw_send(sock, data, bytes, fds, nr);
	return raw_receive(sock, NULL, reply, sizeof(reply));
}

static inline void expect(const char *what, int status, int wanted)
{
	if (status == wanted)
		return;
	fprintf(stderr, "hostile: %s: status %d, expected %d\n", what, status, wanted);
	exit(1);
}

static inline void raw_hello(struct raw *r, const char *name)
{
	struct ooo_msg_hello h = { .msg = head(OOO_MSG_HELLO, sizeof(h)),
				   .sq_entries = 64,
				   .cq_entries = 64,
				   .arena_bytes = ARENA };

	memset(r, 0, sizeof(*r));
	snprintf(h.name, sizeof(h.name), "%s", name);
	r->sock = raw_connect();
	raw_send(r->sock, &h, sizeof(h), NULL, 0);
	expect("HELLO", raw_receive(r->sock, r->fds, &r->welcome, sizeof(r->welcome)), OOO_OK);
	r->ring =
		mmap(NULL, r->welcome.ring_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, r->fds[0], 0);
	r->arena = mmap(NULL, ARENA, PROT_READ | PROT_WRITE, MAP_SHARED, r->fds[1], 0);
	if (r->ring == MAP_FAILED || r->arena == MAP_FAILED)
		die("mmap");
}

static inline void raw_close(struct raw *r)
{
	munmap(r->ring, r->welcome.ring_bytes);
	munmap(r->arena, ARENA);
	for (int i = 0; i < 4; i++)
		close(r->fds[i]);
	close(r->sock);
}

/* y = relu(x), as the agent expects it. */
struct encoded {
	struct ooo_prog_header h;
	struct ooo_prog_tensor tensors[2];
	struct ooo_prog_op op;
	uint32_t operands[2];
};

static inline struct encoded encode(void)
{
	struct encoded e = {
		.h = {
			.magic = OOO_PROG_MAGIC,
			.version = OOO_PROG_VERSION,
			.nr_tensors = 2,
			.nr_ops = 1,
			.nr_operands = 2,
			.nr_inputs = 1,
			.nr_outputs = 1,
			.tensors_off = offsetof(struct encoded, tensors),
			.ops_off = offsetof(struct encoded, op),
			.operands_off = offsetof(struct encoded, operands),
			.name = "raw",
		},
		.tensors = {
			{.dtype = OOO_FP32, .role = OOO_ROLE_INPUT, .rank = 1, .dims = {N}},
			{.dtype = OOO_FP32, .role = OOO_ROLE_OUTPUT, .rank = 1, .dims = {N}},
		},
		.op = {.op = OOO_OP_RELU, .nr_in = 1, .nr_out = 1},
		.operands = {0, 1},
	};

	attr_init(&e.op.attr, OOO_OP_RELU);
	e.h.data_off = (sizeof(e) + 63) / 64 * 64;
	e.h.bytes = e.h.data_off;
	return e;
}

static inline int program_memfd(const void *data, size_t bytes, size_t size, int seals)
{
	int fd = memfd_create("program", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, (off_t)size) ||
	    pwrite(fd, data, bytes < size ? bytes : size, 0) < 0 || fcntl(fd, F_ADD_SEALS, seals))
		die("memfd");
	return fd;
}

#define ALL_SEALS (F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW)

static inline int raw_load_bytes(struct raw *r, const struct encoded *e, size_t size, int seals)
{
	struct ooo_msg_load load = { .msg = head(OOO_MSG_LOAD, sizeof(load)),
				     .program_bytes = size };
	int fd = program_memfd(e, sizeof(*e), size, seals);
	int status = raw_ask(r->sock, &load, sizeof(load), &fd, 1);

	close(fd);
	return status;
}

static inline int raw_bind(struct raw *r, uint64_t in, uint64_t out)
{
	struct ooo_msg_bind b = { .msg = head(OOO_MSG_BIND, sizeof(b)),
				  .nr = 2,
				  .offset = { in, out } };

	return raw_ask(r->sock, &b, sizeof(b), NULL, 0);
}

/* Connected, with a program 0 and a binding 0. */
static inline void raw_ready(struct raw *r, const char *name)
{
	struct encoded e = encode();

	raw_hello(r, name);
	expect("LOAD", raw_load_bytes(r, &e, e.h.bytes, ALL_SEALS), OOO_OK);
	expect("BIND", raw_bind(r, 0, N * 4), OOO_OK);
}

static inline void raw_wake(struct raw *r)
{
	uint64_t one = 1;

	if (write(r->fds[2], &one, sizeof(one)) < 0 && errno != EAGAIN)
		die("wake");
}

static inline void raw_submit(struct raw *r, uint32_t n)
{
	struct ooo_ring *ring = (struct ooo_ring *)r->ring;
	struct ooo_sqe *sqes = (struct ooo_sqe *)(r->ring + r->welcome.sq_off);
	uint32_t tail = ring_load_relaxed(&ring->sq_tail);

	for (uint32_t i = 0; i < n; i++)
		sqes[(tail + i) & 63] = (struct ooo_sqe){ .op = OOO_SQE_SUBMIT, .cookie = i };
	ring_store_release(&ring->sq_tail, tail + n);
	raw_wake(r);
}

#endif
