// SPDX-License-Identifier: Apache-2.0
/* The control thread itself, over real sockets: the published file, floods, readers that do not
 * read, senders that lie. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/unit/control/fixture.h"

struct live {
	struct fixture *f; /* its registry; its control plane is not used */
	struct control *c;
	char dir[64];
};

static int setup(void **state)
{
	struct live *l = calloc(1, sizeof(*l));
	struct control_config config = { 0 };

	assert_non_null(l);
	l->f = fixture_new();
	snprintf(l->dir, sizeof(l->dir), "/tmp/ooo-control.XXXXXX");
	assert_non_null(mkdtemp(l->dir));
	l->f->registry.agent.start_ns = turn_clock_ns();
	config.runtime_dir = l->dir;
	config.registry = &l->f->registry;
	assert_int_equal(control_start(&config, &l->c), 0);
	*state = l;
	return 0;
}

static int teardown(void **state)
{
	struct live *l = *state;

	control_stop(l->c);
	assert_int_equal(rmdir(l->dir), 0); /* nothing is left in it */
	fixture_free(l->f);
	free(l);
	return 0;
}

/* Each with a port of its own: an answer to one that was closed finds nobody. */
static int client(void)
{
	static uint32_t nr;
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_USERSOCK);
	struct sockaddr_nl addr = { .nl_family = AF_NETLINK };
	int err;

	assert_true(fd >= 0);
	do {
		addr.nl_pid = (uint32_t)getpid() % (1 << 22) + (++nr % 1000 << 22);
		err = bind(fd, (struct sockaddr *)&addr, sizeof(addr)) ? errno : 0;
	} while (err == EADDRINUSE); /* libnl numbers its sockets likewise */
	assert_int_equal(err, 0);
	return fd;
}

static ssize_t ask(struct live *l, int fd, const struct raw *r, int flags)
{
	struct sockaddr_nl to = { .nl_family = AF_NETLINK, .nl_pid = l->c->port };

	return sendto(fd, r->data, r->bytes, flags, (struct sockaddr *)&to, sizeof(to));
}

/* The next answer's type, 0 if none comes in a while. */
static uint16_t answer(int fd, struct raw *r, int timeout_ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	ssize_t n;

	if (poll(&p, 1, timeout_ms) != 1)
		return 0;
	n = recv(fd, r->data, sizeof(r->data), 0);
	assert_true(n >= NLMSG_HDRLEN);
	return r->nlh.nlmsg_type;
}

#define LONG_MS 10000 /* only a broken agent takes this long */

/* Over its rate a user is told so; then ask again. */
static void still_answers(struct live *l)
{
	uint16_t type;
	struct raw r;
	int fd = client();

	do {
		raw_request(&r, OOO_CTL_STATUS_SHOW);
		assert_int_equal(ask(l, fd, &r, 0), r.bytes);
		type = answer(fd, &r, LONG_MS);
		if (type == NLMSG_ERROR) {
			assert_int_equal(*(int *)(r.data + NLMSG_HDRLEN), -EBUSY);
			usleep(10000);
		}
	} while (type == NLMSG_ERROR);
	assert_int_equal(type, OOO_CTL_STATUS_SHOW);
	close(fd);
}

static void test_published(void **state)
{
	struct live *l = *state;
	char path[128], text[512] = "", want[512];
	struct stat st, netns;
	int fd;

	snprintf(path, sizeof(path), "%s/control", l->dir);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_true(read(fd, text, sizeof(text) - 1) > 0);
	assert_int_equal(fstat(fd, &st), 0);
	close(fd);
	assert_int_equal(st.st_mode & 07777, 0644);
	assert_int_equal(st.st_uid, getuid());
	assert_int_equal(stat("/proc/self/ns/net", &netns), 0);
	snprintf(want, sizeof(want),
		 "ooo-control 1\nport %u\npid %d\nuid %u\nagent_id 0123456789abcdef\nnetns %ju\n",
		 l->c->port, (int)getpid(), (unsigned)getuid(), (uintmax_t)netns.st_ino);
	assert_string_equal(text, want);
}

/* An agent that ends takes away what it published, not what another put in its place. */
static void test_another_agent_in_the_same_place(void **state)
{
	struct live *l = *state;
	struct control_config config = { .runtime_dir = l->dir, .registry = &l->f->registry };
	struct control *second;
	char path[128];
	struct stat st;

	snprintf(path, sizeof(path), "%s/control", l->dir);
	assert_int_equal(control_start(&config, &second), 0);
	assert_int_not_equal(second->port, l->c->port);
	control_stop(l->c);
	l->c = NULL;
	assert_int_equal(stat(path, &st), 0);
	control_stop(second);
	assert_int_equal(stat(path, &st), -1);
	assert_int_equal(errno, ENOENT);
}

static void test_left_behind_by_a_killed_agent(void **state)
{
	struct live *l = *state;
	struct control_config config = { .runtime_dir = l->dir, .registry = &l->f->registry };
	char path[128];
	int fd;

	control_stop(l->c);
	l->c = NULL;
	snprintf(path, sizeof(path), "%s/control.new", l->dir);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(control_start(&config, &l->c), 0);
	still_answers(l);
}

static void test_no_directory(void **state)
{
	struct live *l = *state;
	struct control_config config = { .runtime_dir = "/nonexistent/ooo",
					 .registry = &l->f->registry };
	struct control *c = NULL;

	assert_int_equal(control_start(&config, &c), -ENOENT);
	config.runtime_dir = l->dir;
	config.group = "no-such-group-here";
	assert_int_equal(control_start(&config, &c), -ENOENT);
	assert_null(c);
	control_stop(NULL);
}

/* The sender's port in the header must be the one that the kernel saw. */
static void test_lying_header(void **state)
{
	struct raw r;
	int fd = client();

	raw_request(&r, OOO_CTL_STATUS_SHOW);
	r.nlh.nlmsg_pid = 1;
	assert_int_equal(ask(*state, fd, &r, 0), r.bytes);
	assert_int_equal(answer(fd, &r, LONG_MS), NLMSG_ERROR);
	close(fd);
}

static void test_oversized(void **state)
{
	struct raw r;
	int fd = client();

	raw_request(&r, OOO_CTL_STATUS_SHOW);
	r.bytes = r.nlh.nlmsg_len = 4000;
	assert_int_equal(ask(*state, fd, &r, 0), 4000);
	assert_int_equal(answer(fd, &r, LONG_MS), NLMSG_ERROR);
	close(fd);
	still_answers(*state);
}

/* As the agent itself tells. */
static uint64_t control_drops(struct live *l)
{
	struct nlattr *nla;
	int fd = client();
	struct raw r;

	raw_request(&r, OOO_CTL_STATS_SHOW);
	assert_int_equal(ask(l, fd, &r, 0), r.bytes);
	assert_int_equal(answer(fd, &r, LONG_MS), OOO_CTL_STATS_SHOW);
	close(fd);
	nla = nlmsg_find_attr(&r.nlh, 0, OOO_CTL_A_DISPATCHER);
	assert_non_null(nla);
	nla = nla_find(nla_data(nla), nla_len(nla), OOO_CTL_DISPATCHER_CTL_DROPS);
	assert_non_null(nla);
	return nla_get_u64(nla);
}

/* Answers to a full buffer are dropped; the thread goes on, and others are served. */
static void test_reader_that_does_not_read(void **state)
{
	struct live *l = *state;
	struct raw r;
	int fd = client();

	for (uint32_t id = 0; id < 300; id++)
		fixture_tenant(l->f, id, getuid(), 0);
	for (int i = 0; i < 50; i++) {
		raw_request(&r, OOO_CTL_TENANT_LIST);
		assert_int_equal(ask(l, fd, &r, 0), r.bytes);
	}
	/* Taken in order, so all fifty are answered or dropped before this. */
	assert_true(control_drops(l) > 0);
	close(fd);
}

/* A flood from one socket makes only itself wait: its own sends fail, another asker is answered. */
static void test_flood(void **state)
{
	struct raw r, junk;
	int fd = client();
	unsigned full = 0;

	raw_request(&r, OOO_CTL_STATUS_SHOW);
	raw_header(&junk, OOO_CTL_TENANT_LIST);
	for (int i = 0; i < 200000; i++)
		full += ask(*state, fd, i % 2 ? &r : &junk, MSG_DONTWAIT) < 0;
	assert_true(full > 0);
	still_answers(*state);
	close(fd);
}

static void flood_as(struct live *l, uid_t uid)
{
	struct raw r;
	int fd = client();

	alarm(60);
	if (uid != getuid() && setuid(uid))
		_exit(1);
	raw_request(&r, OOO_CTL_TENANT_LIST);
	for (;;)
		ask(l, fd, &r, MSG_DONTWAIT);
}

/* Another user's flood costs the others waiting, never an answer. Without root's rights the other
 * user is the same one; then only that the thread goes on is seen. */
static void test_flood_of_another_user(void **state)
{
	struct live *l = *state;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid)
		flood_as(l, getuid() ? getuid() : 65534);
	usleep(300000);
	for (int i = 0; i < 20; i++) {
		struct raw r;
		int fd = client();

		if (getuid()) {
			still_answers(l);
		} else {
			raw_request(&r, OOO_CTL_STATUS_SHOW);
			assert_int_equal(ask(l, fd, &r, 0), r.bytes);
			assert_int_equal(answer(fd, &r, LONG_MS), OOO_CTL_STATUS_SHOW);
		}
		close(fd);
	}
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* Ports that are gone when the answer comes. */
static void test_asker_that_leaves(void **state)
{
	struct raw r;

	for (int i = 0; i < 200; i++) {
		int fd = client();

		raw_request(&r, OOO_CTL_STATS_SHOW);
		assert_int_equal(ask(*state, fd, &r, 0), r.bytes);
		close(fd);
	}
	still_answers(*state);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(test_published),
		CASE(test_another_agent_in_the_same_place),
		CASE(test_left_behind_by_a_killed_agent),
		CASE(test_no_directory),
		CASE(test_lying_header),
		CASE(test_oversized),
		CASE(test_reader_that_does_not_read),
		CASE(test_flood),
		CASE(test_flood_of_another_user),
		CASE(test_asker_that_leaves),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
