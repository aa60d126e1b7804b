/* SPDX-License-Identifier: Apache-2.0 */
/* Messages: what is let in, what is refused, and with which words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/tenant/messages.h"
#include "shared/abi/ring.h"

static char why[OOO_TEXT_BYTES];

static struct received request(uint16_t type, size_t bytes)
{
	struct received r = { .bytes = bytes, .has_fds = type == OOO_MSG_LOAD };

	r.req.msg.magic = OOO_MSG_MAGIC;
	r.req.msg.version = OOO_ABI_VERSION;
	r.req.msg.type = type;
	r.req.msg.bytes = (uint32_t)bytes;
	return r;
}

static void expect(const struct received *r, bool greeted, enum ooo_status status, const char *word)
{
	why[0] = '\0';
	assert_int_equal(message_check(r, greeted, why, sizeof(why)), status);
	if (word && !strstr(why, word))
		fail_msg("\"%s\" does not say \"%s\"", why, word);
}

static const struct {
	uint16_t type;
	size_t bytes;
} requests[] = {
	{ OOO_MSG_HELLO, sizeof(struct ooo_msg_hello) },
	{ OOO_MSG_LOAD, sizeof(struct ooo_msg_load) },
	{ OOO_MSG_BIND, sizeof(struct ooo_msg_bind) },
	{ OOO_MSG_UNBIND, sizeof(struct ooo_msg_unbind) },
	{ OOO_MSG_UNLOAD, sizeof(struct ooo_msg_unbind) },
	{ OOO_MSG_STATS, sizeof(struct ooo_msg_stats) },
	{ OOO_MSG_ADMIT, sizeof(struct ooo_msg_admit) },
};

/* The rules that hold for every type, each broken alone. */
static void test_common_rules(void **state)
{
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		const struct received good = request(requests[i].type, requests[i].bytes);
		bool greeted = requests[i].type != OOO_MSG_HELLO;
		struct received r = good;

		expect(&r, greeted, OOO_OK, NULL);
		expect(&r, !greeted, OOO_BAD_MESSAGE, "first message");
		r.req.msg.magic++;
		expect(&r, greeted, OOO_BAD_MESSAGE, "do not start as a message");
		r = good;
		r.req.msg.version++;
		expect(&r, greeted, OOO_VERSION, "version 1");
		r = good;
		r.req.msg.bytes++;
		expect(&r, greeted, OOO_BAD_MESSAGE, "stated");
		r = good;
		r.bytes--;
		expect(&r, greeted, OOO_BAD_MESSAGE, "bytes came");
		r = good;
		r.truncated = true;
		expect(&r, greeted, OOO_BAD_MESSAGE, "and more");
		r = good;
		r.req.msg.status = 1;
		expect(&r, greeted, OOO_BAD_MESSAGE, "status");
		r = good;
		r.has_fds = !r.has_fds;
		expect(&r, greeted, OOO_BAD_MESSAGE, "descriptor");
		r = good;
		r.bytes = 15;
		expect(&r, greeted, OOO_BAD_MESSAGE, "15 bytes");
	}
}

static void test_types(void **state)
{
	for (uint32_t type = 0; type < 65536; type++) {
		struct received r = request((uint16_t)type, 16);

		r.has_fds = false;
		if (type == 0 || type > OOO_MSG_ADMIT)
			expect(&r, true, OOO_BAD_MESSAGE, "no request of type");
		else
			expect(&r, true, type == OOO_MSG_STATS ? OOO_OK : OOO_BAD_MESSAGE, NULL);
	}
}

/* Every byte that must be zero, set to something else. */
static void reserved(uint16_t type, size_t bytes, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++) {
		struct received r = request(type, bytes);

		((char *)&r.req)[i] = 1;
		expect(&r, type != OOO_MSG_HELLO, OOO_BAD_MESSAGE, "must be zero");
	}
}

static void test_reserved(void **state)
{
	struct received r;

	reserved(OOO_MSG_HELLO, sizeof(struct ooo_msg_hello), offsetof(struct ooo_msg_hello, resv0),
		 offsetof(struct ooo_msg_hello, arena_bytes));
	reserved(OOO_MSG_HELLO, sizeof(struct ooo_msg_hello), offsetof(struct ooo_msg_hello, resv),
		 sizeof(struct ooo_msg_hello));
	reserved(OOO_MSG_LOAD, sizeof(struct ooo_msg_load), offsetof(struct ooo_msg_load, flags),
		 sizeof(struct ooo_msg_load));
	reserved(OOO_MSG_BIND, sizeof(struct ooo_msg_bind), offsetof(struct ooo_msg_bind, offset),
		 sizeof(struct ooo_msg_bind));
	reserved(OOO_MSG_UNLOAD, sizeof(struct ooo_msg_unbind),
		 offsetof(struct ooo_msg_unbind, binding), sizeof(struct ooo_msg_unbind));
	/* Offsets within nr are no business of this check; nr itself is bind_check()'s. */
	r = request(OOO_MSG_BIND, sizeof(struct ooo_msg_bind));
	r.req.bind.nr = 2;
	r.req.bind.offset[1] = 64;
	expect(&r, true, OOO_OK, NULL);
	r.req.bind.nr = UINT32_MAX;
	expect(&r, true, OOO_OK, NULL);
}

static void test_name(void **state)
{
	struct received r = request(OOO_MSG_HELLO, sizeof(struct ooo_msg_hello));
	char *name = r.req.hello.name;

	memset(name, 'a', OOO_NAME_BYTES - 1);
	expect(&r, false, OOO_OK, NULL);
	name[OOO_NAME_BYTES - 1] = 'a'; /* no NUL */
	expect(&r, false, OOO_BAD_MESSAGE, "name");
	memset(name, 0, OOO_NAME_BYTES);
	name[0] = 'a';
	name[2] = 'b'; /* hidden behind the NUL */
	expect(&r, false, OOO_BAD_MESSAGE, "name");
	for (int c = 1; c < 256; c++) {
		memset(name, 0, OOO_NAME_BYTES);
		name[0] = (char)c;
		expect(&r, false, c >= 0x20 && c < 0x7f ? OOO_OK : OOO_BAD_MESSAGE, NULL);
	}
}

static enum ooo_status hello(uint32_t sq, uint32_t cq, uint64_t arena)
{
	struct ooo_msg_hello h = { .sq_entries = sq, .cq_entries = cq, .arena_bytes = arena };

	return hello_check(&h, 1 << 20, why, sizeof(why));
}

static void test_hello_sizes(void **state)
{
	assert_int_equal(hello(8, 8, 0), OOO_OK);
	assert_int_equal(hello(4096, 8192, 1 << 20), OOO_OK);
	assert_int_equal(hello(0, 8, 0), OOO_INVALID);
	assert_int_equal(hello(4, 8, 0), OOO_INVALID);
	assert_int_equal(hello(8192, 8192, 0), OOO_INVALID);
	assert_int_equal(hello(12, 16, 0), OOO_INVALID);
	assert_int_equal(hello(1u << 31, 1u << 31, 0), OOO_INVALID);
	assert_int_equal(hello(16, 8, 0), OOO_INVALID);
	assert_int_equal(hello(16, 0, 0), OOO_INVALID);
	assert_int_equal(hello(16, 48, 0), OOO_INVALID);
	assert_int_equal(hello(16, 16384, 0), OOO_INVALID);
	assert_int_equal(hello(8, 8, 1), OOO_INVALID);
	assert_int_equal(hello(8, 8, 4095), OOO_INVALID);
	assert_int_equal(hello(8, 8, (1 << 20) + 4096), OOO_QUOTA);
	assert_non_null(strstr(why, "4096 more"));
	assert_int_equal(hello(8, 8, UINT64_MAX - 4095), OOO_QUOTA);
}

static void test_bind(void **state)
{
	/* Two inputs of 4 and 16 floats, an output of none and one of 64 bytes. */
	struct tensor tensors[] = {
		{ .shape = { .dtype = OOO_FP32, .rank = 1, .dims = { 4 } } },
		{ .shape = { .dtype = OOO_FP32, .rank = 2, .dims = { 4, 4 } } },
		{ .shape = { .dtype = OOO_FP32, .rank = 1, .dims = { 0 } } },
		{ .shape = { .dtype = OOO_UINT8, .rank = 1, .dims = { 64 } } },
	};
	uint32_t inputs[] = { 0, 1 }, outputs[] = { 2, 3 };
	struct program p = {
		.name = "p",
		.tensors = tensors,
		.nr_tensors = 4,
		.nr_inputs = 2,
		.nr_outputs = 2,
		.inputs = inputs,
		.outputs = outputs,
	};
	struct ooo_msg_bind b = { .nr = 4, .offset = { 0, 64, 128, 192 } };
	static char arena[256];
	void *io[OOO_MAX_IO];

#define BIND() bind_check(&b, &p, arena, sizeof(arena), io, why, sizeof(why))
	assert_int_equal(BIND(), OOO_OK);
	for (int i = 0; i < 4; i++)
		assert_ptr_equal(io[i], arena + b.offset[i]);
	b.offset[2] = 256; /* of no bytes: may start at the end */
	assert_int_equal(BIND(), OOO_OK);
	b.nr = 3;
	assert_int_equal(BIND(), OOO_INVALID);
	b.nr = UINT32_MAX;
	assert_int_equal(BIND(), OOO_INVALID);
	b.nr = 4;
	b.offset[3] = 32;
	assert_int_equal(BIND(), OOO_BAD_BUFFER);
	assert_non_null(strstr(why, "output 1"));
	for (int shift = 6; shift < 64; shift++) { /* all beyond, or wrapping around */
		b.offset[3] = 256 - 64 + (1ull << shift);
		assert_int_equal(BIND(), OOO_BAD_BUFFER);
	}
	b.offset[3] = UINT64_MAX - 63;
	assert_int_equal(BIND(), OOO_BAD_BUFFER);
	b.offset[3] = 192;
	b.offset[0] = 256;
	assert_int_equal(BIND(), OOO_BAD_BUFFER);
	assert_non_null(strstr(why, "input 0"));
#undef BIND
}

static int memfd(size_t bytes, int seals, unsigned flags)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING | flags);

	if (fd < 0)
		return fd;
	assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

static void expect_fd(int fd, uint64_t bytes, enum ooo_status status, const char *word)
{
	assert_true(fd >= 0);
	why[0] = '\0';
	assert_int_equal(program_fd_check(fd, bytes, why, sizeof(why)), status);
	if (word && !strstr(why, word))
		fail_msg("\"%s\" does not say \"%s\"", why, word);
	close(fd);
}

static void test_program_fd(void **state)
{
	const int all = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW;
	int huge, pair[2];

	expect_fd(memfd(4096, all, 0), 4096, OOO_OK, NULL);
	expect_fd(memfd(4096, all | F_SEAL_SEAL, 0), 4096, OOO_OK, NULL);
	expect_fd(memfd(4096, 0, 0), 4096, OOO_BAD_PROGRAM, "seals");
	expect_fd(memfd(4096, all & ~F_SEAL_WRITE, 0), 4096, OOO_BAD_PROGRAM, "seals");
	expect_fd(memfd(4096, all & ~F_SEAL_SHRINK, 0), 4096, OOO_BAD_PROGRAM, "seals");
	expect_fd(memfd(4096, all & ~F_SEAL_GROW, 0), 4096, OOO_BAD_PROGRAM, "seals");
	expect_fd(memfd(4096, all, 0), 8192, OOO_BAD_PROGRAM, "stated");
	expect_fd(memfd(4096, all, 0), UINT64_MAX, OOO_BAD_PROGRAM, "stated");
	expect_fd(memfd(8, all, 0), 8, OOO_BAD_PROGRAM, "cannot be");
	expect_fd(open("/tmp", O_RDONLY | O_DIRECTORY), 4096, OOO_BAD_PROGRAM, "not a memfd");
	expect_fd(open("/dev/zero", O_RDONLY), 4096, OOO_BAD_PROGRAM, "not a memfd");
	assert_int_equal(pipe(pair), 0);
	close(pair[1]);
	expect_fd(pair[0], 4096, OOO_BAD_PROGRAM, "not a memfd");
	huge = memfd(0, all, MFD_HUGETLB);
	if (huge >= 0) /* -1: a kernel without them */
		expect_fd(huge, 0, OOO_BAD_PROGRAM, "huge");
}

static void send_fds(int sock, size_t bytes, int nr_fds)
{
	char data[1024] = { 1 };
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(8 * sizeof(int))];
	} control = { 0 };
	struct iovec iov = { .iov_base = data, .iov_len = bytes };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	int fds[8] = { sock, sock, sock, sock, sock, sock, sock, sock };

	if (nr_fds) {
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE((size_t)nr_fds * sizeof(int));
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		control.align.cmsg_len = CMSG_LEN((size_t)nr_fds * sizeof(int));
		memcpy(CMSG_DATA(&control.align), fds, (size_t)nr_fds * sizeof(int));
	}
	assert_int_equal(sendmsg(sock, &msg, 0), bytes);
}

static int lowest_free_fd(void)
{
	int fd = dup(0);

	close(fd);
	return fd;
}

static void test_receive(void **state)
{
	int pair[2], before, fds[MESSAGE_MAX_FDS];
	struct received r;

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair), 0);
	before = lowest_free_fd();
	assert_int_equal(message_peek(pair[0], &r), -EAGAIN);
	for (unsigned n = 0; n <= 8; n++) {
		send_fds(pair[1], 16, (int)n);
		for (int look = 0; look < 2; look++) { /* looking changes nothing */
			assert_int_equal(message_peek(pair[0], &r), 0);
			assert_int_equal(r.bytes, 16);
			assert_false(r.truncated);
			assert_int_equal(r.has_fds, n > 0);
			assert_int_equal(lowest_free_fd(), before);
		}
		assert_int_equal(message_take(pair[0], fds), n);
		for (unsigned i = 0; i < n; i++) {
			assert_true(fcntl(fds[i], F_GETFD) & FD_CLOEXEC);
			close(fds[i]);
		}
		assert_int_equal(lowest_free_fd(), before);
		assert_int_equal(message_peek(pair[0], &r), -EAGAIN);
	}
	send_fds(pair[1], sizeof(union request_msg), 0);
	assert_int_equal(message_peek(pair[0], &r), 0);
	assert_false(r.truncated);
	message_take(pair[0], fds);
	send_fds(pair[1], sizeof(union request_msg) + 1, 0);
	assert_int_equal(message_peek(pair[0], &r), 0);
	assert_true(r.truncated);
	message_take(pair[0], fds); /* all of it */
	assert_int_equal(message_peek(pair[0], &r), -EAGAIN);
	close(pair[1]);
	assert_int_equal(message_peek(pair[0], &r), -EPIPE);
	close(pair[0]);
}

static void test_drain(void **state)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair), 0);
	for (int i = 0; i < 5; i++)
		send_fds(pair[1], 16, 0);
	shutdown(pair[0], SHUT_RDWR);
	assert_true(message_drain(pair[0]));
	assert_int_equal(send(pair[1], "", 1, MSG_NOSIGNAL), -1); /* and nothing comes after it */
	close(pair[0]);
	close(pair[1]);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair), 0);
	send_fds(pair[1], 16, 0);
	send_fds(pair[1], 16, 1);
	shutdown(pair[0], SHUT_RDWR);
	assert_false(message_drain(pair[0]));
	close(pair[0]);
	close(pair[1]);
}

static void test_reply(void **state)
{
	char longer[2 * OOO_TEXT_BYTES];
	union reply_msg reply;

	memset(longer, 'x', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	door_reply_init(&reply, OOO_MSG_HELLO, OOO_QUOTA, longer);
	assert_int_equal(reply.msg.type, OOO_MSG_WELCOME);
	assert_int_equal(reply.msg.bytes, sizeof(struct ooo_msg_welcome));
	assert_int_equal(reply.msg.status, OOO_QUOTA);
	assert_int_equal(strlen(reply.welcome.text), OOO_TEXT_BYTES - 1);
	door_reply_init(&reply, 999, OOO_BAD_MESSAGE, "what");
	assert_int_equal(reply.msg.type, OOO_MSG_DONE);
	assert_string_equal(reply.done.text, "what");
	door_reply_init(&reply, OOO_MSG_STATS, OOO_BAD_MESSAGE, "has no room for text");
	assert_int_equal(reply.msg.type, OOO_MSG_STATS_REPLY);
	assert_int_equal(reply.stats.submitted, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_common_rules), cmocka_unit_test(test_types),
		cmocka_unit_test(test_reserved),     cmocka_unit_test(test_name),
		cmocka_unit_test(test_hello_sizes),  cmocka_unit_test(test_bind),
		cmocka_unit_test(test_program_fd),   cmocka_unit_test(test_receive),
		cmocka_unit_test(test_drain),        cmocka_unit_test(test_reply),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
