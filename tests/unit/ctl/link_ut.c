// SPDX-License-Identifier: Apache-2.0
/* Whom ooo-ctl believes: the published file, and answers of agents, dead ones, other processes and
 * broken ones. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "ctl/link.c"

#define AGENT_ID 0xfeedull

static char why[LINK_WHY_BYTES];

static void says(const char *text)
{
	if (!strstr(why, text))
		fail_msg("'%s' does not say '%s'", why, text);
}

/* ---- a process that answers ------------------------------------------------------------------ */

enum script {
	ANSWER_WELL,
	ANSWER_NOTHING,
	ANSWER_OTHER_ID, /* of another run */
	ANSWER_REFUSAL,
	ANSWER_SHORT_ERROR, /* an error message without its struct */
	ANSWER_ERROR_NO_ID, /* that anybody could have sent */
	ANSWER_BARE_ACK,    /* an acknowledgement where a record is due */
	ANSWER_ENDLESS,     /* the same cursor again and again */
	ANSWER_LATE_FIRST,  /* of an earlier call, then the right one */
	ANSWER_JUNK,        /* bytes that make no message, then the right one */
};

struct agent {
	struct agent_file file;
	pid_t pid;
};

static int bound_socket(uint32_t *port)
{
	struct sockaddr_nl addr = { .nl_family = AF_NETLINK };
	socklen_t len = sizeof(addr);
	int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_USERSOCK);

	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) ||
	    getsockname(fd, (struct sockaddr *)&addr, &len))
		_exit(1);
	*port = addr.nl_pid;
	return fd;
}

static void send_to(int fd, uint32_t port, const void *data, size_t bytes)
{
	struct sockaddr_nl to = { .nl_family = AF_NETLINK, .nl_pid = port };

	sendto(fd, data, bytes, 0, (struct sockaddr *)&to, sizeof(to));
}

static void send_msg(int fd, uint32_t port, struct nl_msg *msg)
{
	send_to(fd, port, nlmsg_hdr(msg), nlmsg_hdr(msg)->nlmsg_len);
	nlmsg_free(msg);
}

static void send_record(int fd, uint32_t port, uint32_t seq, uint16_t type, int flags, uint64_t id)
{
	struct nl_msg *msg = nlmsg_alloc();
	struct nlattr *nest;

	nlmsg_put(msg, 0, seq, type, 0, flags);
	nla_put_u64(msg, OOO_CTL_A_AGENT_ID, id);
	nest = nla_nest_start(msg, OOO_CTL_A_TENANT);
	nla_put_u32(msg, OOO_CTL_TENANT_ID, 5);
	nla_nest_end(msg, nest);
	send_msg(fd, port, msg);
}

static void send_done(int fd, uint32_t port, uint32_t seq, bool more)
{
	struct nl_msg *msg = nlmsg_alloc();
	int zero = 0;

	nlmsg_put(msg, 0, seq, NLMSG_DONE, 0, NLM_F_MULTI);
	nlmsg_append(msg, &zero, sizeof(zero), NLMSG_ALIGNTO);
	nla_put_u64(msg, OOO_CTL_A_AGENT_ID, AGENT_ID);
	if (more)
		nla_put_u64(msg, OOO_CTL_A_CURSOR, 6);
	send_msg(fd, port, msg);
}

static void send_error(int fd, uint32_t port, const struct nlmsghdr *nlh, enum script script)
{
	struct nlmsgerr e = { .error = script == ANSWER_BARE_ACK ? 0 : -EPERM, .msg = *nlh };
	struct nl_msg *msg = nlmsg_alloc();

	nlmsg_put(msg, 0, nlh->nlmsg_seq, NLMSG_ERROR, 0, 0);
	if (script == ANSWER_SHORT_ERROR) {
		nlmsg_append(msg, &e, 4, NLMSG_ALIGNTO);
	} else {
		nlmsg_append(msg, &e, sizeof(e), NLMSG_ALIGNTO);
		nla_put_string(msg, NLMSGERR_ATTR_MSG, "not \033[1myou");
		if (script != ANSWER_ERROR_NO_ID)
			nla_put_u64(msg, OOO_CTL_ERR_AGENT_ID, AGENT_ID);
	}
	send_msg(fd, port, msg);
}

static void play(int fd, uint32_t port, const struct nlmsghdr *nlh, enum script script)
{
	uint32_t seq = nlh->nlmsg_seq;
	uint16_t type = nlh->nlmsg_type;

	switch (script) {
	case ANSWER_NOTHING:
		return;
	case ANSWER_REFUSAL:
	case ANSWER_SHORT_ERROR:
	case ANSWER_ERROR_NO_ID:
	case ANSWER_BARE_ACK:
		send_error(fd, port, nlh, script);
		return;
	case ANSWER_LATE_FIRST:
		send_record(fd, port, seq - 1, type, NLM_F_MULTI, AGENT_ID);
		send_done(fd, port, seq - 1, false);
		break;
	case ANSWER_JUNK:
		send_to(fd, port, "junk", 4);
		send_to(fd, port, "\xff\xff\xff\xff and sixteen bytes or more", 30);
		break;
	default:
		break;
	}
	send_record(fd, port, seq, type, NLM_F_MULTI,
		    script == ANSWER_OTHER_ID ? AGENT_ID + 1 : AGENT_ID);
	send_done(fd, port, seq, script == ANSWER_ENDLESS);
}

static struct agent agent_start(enum script script)
{
	struct agent a = { .file = { .uid = getuid(), .agent_id = AGENT_ID } };
	_Alignas(struct nlmsghdr) char buf[1024];
	int pipe_fd[2], fd;

	assert_int_equal(pipe(pipe_fd), 0);
	a.pid = fork();
	assert_true(a.pid >= 0);
	if (a.pid) {
		assert_int_equal(read(pipe_fd[0], &a.file.port, sizeof(a.file.port)),
				 sizeof(a.file.port));
		close(pipe_fd[0]);
		close(pipe_fd[1]);
		a.file.pid = a.pid;
		return a;
	}
	alarm(120);
	fd = bound_socket(&a.file.port);
	if (write(pipe_fd[1], &a.file.port, sizeof(a.file.port)) != sizeof(a.file.port))
		_exit(1);
	for (;;) {
		struct sockaddr_nl from;
		socklen_t len = sizeof(from);

		if (recvfrom(fd, buf, sizeof(buf), 0, (struct sockaddr *)&from, &len) >=
		    NLMSG_HDRLEN)
			play(fd, from.nl_pid, (struct nlmsghdr *)buf, script);
	}
}

static void agent_stop(const struct agent *a)
{
	kill(a->pid, SIGKILL);
	waitpid(a->pid, NULL, 0);
}

/* ---- calls ----------------------------------------------------------------------------------- */

static int count_record(int attr, struct nlattr *nest, void *arg)
{
	if (attr == OOO_CTL_A_TENANT)
		++*(int *)arg;
	return 0;
}

static enum ctl_exit call(struct link *l, int *records)
{
	const struct link_request request = { .type = OOO_CTL_TENANT_LIST, .reply = OOO_CTL_DUMP };

	*records = 0;
	why[0] = '\0';
	return ctl_link_call(l, &request, count_record, records, why, sizeof(why));
}

/* One call to an agent that follows the script. */
static enum ctl_exit call_agent(enum script script, int *records)
{
	struct agent a = agent_start(script);
	struct link *l = NULL;
	enum ctl_exit code;

	assert_int_equal(ctl_link_open(&a.file, &l, why, sizeof(why)), CTL_OK);
	code = call(l, records);
	ctl_link_close(l);
	agent_stop(&a);
	return code;
}

static void test_answers(void **state)
{
	int records;

	assert_int_equal(call_agent(ANSWER_WELL, &records), CTL_OK);
	assert_int_equal(records, 1);
	assert_int_equal(call_agent(ANSWER_LATE_FIRST, &records), CTL_OK);
	assert_int_equal(records, 1);
	assert_int_equal(call_agent(ANSWER_JUNK, &records), CTL_OK);
	assert_int_equal(records, 1);
}

static void test_broken_answers(void **state)
{
	int records;

	assert_int_equal(call_agent(ANSWER_REFUSAL, &records), CTL_REFUSED);
	assert_string_equal(why, "refused: not ?[1myou");
	assert_int_equal(call_agent(ANSWER_SHORT_ERROR, &records), CTL_REFUSED);
	says("cut short");
	assert_int_equal(call_agent(ANSWER_ERROR_NO_ID, &records), CTL_NO_AGENT);
	says("another run of the agent");
	assert_int_equal(call_agent(ANSWER_OTHER_ID, &records), CTL_NO_AGENT);
	says("another run of the agent");
	assert_int_equal(call_agent(ANSWER_BARE_ACK, &records), CTL_REFUSED);
	says("acknowledged without an answer");
	assert_int_equal(call_agent(ANSWER_ENDLESS, &records), CTL_REFUSED);
	says("does not come to an end");
}

static void test_silence(void **state)
{
	int records;

	assert_int_equal(call_agent(ANSWER_NOTHING, &records), CTL_NO_AGENT);
	says("no answer in 3 s");
	says("network namespace");
}

static void test_nobody_listens(void **state)
{
	struct agent a = agent_start(ANSWER_WELL);
	struct link *l = NULL;
	int records;

	agent_stop(&a);
	assert_int_equal(ctl_link_open(&a.file, &l, why, sizeof(why)), CTL_OK);
	assert_int_equal(call(l, &records), CTL_NO_AGENT);
	says("nobody listens at netlink port");
	ctl_link_close(l);
}

/* The agent has gone, and another process has its port and answers as well as it did. */
static void test_port_taken_over(void **state)
{
	struct agent a = agent_start(ANSWER_WELL);
	struct link *l = NULL;
	int records;

	a.file.pid++;
	assert_int_equal(ctl_link_open(&a.file, &l, why, sizeof(why)), CTL_OK);
	assert_int_equal(call(l, &records), CTL_NO_AGENT);
	says("another process has taken its port");
	assert_int_equal(records, 0);
	ctl_link_close(l);
	a.file.pid--;
	a.file.uid++;
	assert_int_equal(ctl_link_open(&a.file, &l, why, sizeof(why)), CTL_OK);
	assert_int_equal(call(l, &records), CTL_NO_AGENT);
	says("not believed");
	ctl_link_close(l);
	agent_stop(&a);
}

/* A third process sends answers to our port; returns what its sends said. */
static int spoof(uint32_t port, uint32_t seq)
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid) {
		uint32_t own;
		int fd = bound_socket(&own);
		struct sockaddr_nl to = { .nl_family = AF_NETLINK, .nl_pid = port };

		for (uint32_t i = 0; i < 10; i++) {
			send_record(fd, port, seq + i, OOO_CTL_TENANT_LIST, NLM_F_MULTI, AGENT_ID);
			send_done(fd, port, seq + i, false);
		}
		_exit(sendto(fd, "x", 1, 0, (struct sockaddr *)&to, sizeof(to)) < 0 ? errno : 0);
	}
	waitpid(pid, &status, 0);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void test_spoofer(void **state)
{
	const struct sockaddr nobody = { .sa_family = AF_UNSPEC };
	struct agent a = agent_start(ANSWER_WELL);
	struct link *l = NULL;
	int records;

	assert_int_equal(ctl_link_open(&a.file, &l, why, sizeof(why)), CTL_OK);
	/* The kernel itself keeps him away, as the socket is connected. */
	assert_int_equal(spoof(nl_socket_get_local_port(l->sock), l->seq + 1), ECONNREFUSED);
	assert_int_equal(call(l, &records), CTL_OK);
	assert_int_equal(records, 1);
	assert_false(l->warned);
	/* What got in before the connection is seen for what it is. */
	assert_int_equal(connect(nl_socket_get_fd(l->sock), &nobody, sizeof(nobody)), 0);
	assert_int_equal(spoof(nl_socket_get_local_port(l->sock), l->seq + 1), 0);
	assert_int_equal(call(l, &records), CTL_OK);
	assert_int_equal(records, 1);
	assert_true(l->warned);
	ctl_link_close(l);
	agent_stop(&a);
}

static void test_sender(void **state)
{
	const struct agent_file agent = { .port = 10, .pid = 20, .uid = 30 };
	struct ucred cred = { .pid = 20, .uid = 30, .gid = 1 };

	assert_true(link_sender_ok(&agent, 10, &cred));
	assert_false(link_sender_ok(&agent, 11, &cred));
	assert_false(link_sender_ok(&agent, 10, NULL));
	cred.pid = 21;
	assert_false(link_sender_ok(&agent, 10, &cred));
	cred.pid = 20;
	cred.uid = 0;
	assert_false(link_sender_ok(&agent, 10, &cred));
}

/* ---- the published file ---------------------------------------------------------------------- */

static char dir[64], path[80];

static int make_dir(void **state)
{
	snprintf(dir, sizeof(dir), "/tmp/ooo-link.XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/control", dir);
	return 0;
}

static int remove_dir(void **state)
{
	unlink(path);
	return rmdir(dir);
}

static void put_file(const char *text)
{
	FILE *f;

	unlink(path);
	f = fopen(path, "we");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	assert_int_equal(chmod(path, 0644), 0);
}

static enum ctl_exit read_file(struct agent_file *f)
{
	why[0] = '\0';
	return agent_file_read(dir, f, why, sizeof(why));
}

static void test_file(void **state)
{
	struct agent_file f;
	char text[256];

	assert_int_equal(read_file(&f), CTL_NO_AGENT);
	says("is not there: start ooo-agent");
	snprintf(
		text, sizeof(text),
		"ooo-control 1\nport 4294967295\npid 12\nuid %u\nagent_id 00000000000000ff\nnetns 0\n",
		(unsigned)getuid());
	put_file(text);
	assert_int_equal(read_file(&f), CTL_OK);
	assert_int_equal(f.port, UINT32_MAX);
	assert_int_equal(f.pid, 12);
	assert_int_equal(f.uid, getuid());
	assert_int_equal(f.agent_id, 0xff);
}

static void test_malformed_files(void **state)
{
	static const char *const texts[] = {
		"",
		"ooo-control 1\n",
		"ooo-control 2\nport 1\npid 1\nuid 0\nagent_id 1\nnetns 0\n",
		"ooo-control 1\nport 0\npid 1\nuid 0\nagent_id 1\nnetns 0\n",
		"ooo-control 1\nport 1\npid -1\nuid 0\nagent_id 1\nnetns 0\n",
		"ooo-control 1\nport -1\npid 1\nuid 0\nagent_id 1\nnetns 0\n",
		"ooo-control 1\nport 4294967296\npid 1\nuid 0\nagent_id 1\nnetns 0\n",
		"ooo-control 1\nport  1\npid 1\nuid 0\nagent_id 1\nnetns 0\n",
		"ooo-control 1\nport\npid 1\nuid 0\nagent_id 1\nnetns 0\n",
		"ooo-control 1\nport 1\npid 1\nuid 0\nagent_id 1\nnetns 0",
		"ooo-control 1\nport 1\npid 1\nuid 0\nagent_id 1\nnetns 99999999999999999999\n",
		"ooo-control 1\nport 1\npid 1\nuid 0\nagent_id xyz\nnetns 0\n",
		"ooo-control 1\nport 1\npid 1\nuid 0\nagent_id 1\nnetns 0\nmore\n",
		"ooo-control 1\nport 1\npid 1\nuid 0\nagent_id 11112222333344445\nnetns 0\n",
	};
	static char big[8192];
	struct agent_file f;

	for (unsigned i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		put_file(texts[i]);
		if (read_file(&f) != CTL_NO_AGENT)
			fail_msg("taken: %s", texts[i]);
		says("is not of this release");
	}
	memset(big, '1', sizeof(big) - 1);
	put_file(big);
	assert_int_equal(read_file(&f), CTL_NO_AGENT);
}

static void test_files_of_others(void **state)
{
	struct agent_file f;
	char text[256];

	snprintf(text, sizeof(text), "ooo-control 1\nport 1\npid 1\nuid %u\nagent_id 1\nnetns 0\n",
		 (unsigned)getuid());
	put_file(text);
	assert_int_equal(chmod(path, 0664), 0);
	assert_int_equal(read_file(&f), CTL_NO_AGENT);
	says("may be written by others");
	assert_int_equal(chmod(path, 0646), 0);
	assert_int_equal(read_file(&f), CTL_NO_AGENT);
	says("may be written by others");
	/* Only root may name another user as the agent's. */
	snprintf(text, sizeof(text), "ooo-control 1\nport 1\npid 1\nuid %u\nagent_id 1\nnetns 0\n",
		 (unsigned)getuid() + 1);
	put_file(text);
	if (!getuid()) {
		assert_int_equal(read_file(&f), CTL_OK);
		assert_int_equal(chown(path, 12345, 12345), 0);
	}
	assert_int_equal(read_file(&f), CTL_NO_AGENT);
	says("but says that the agent's is");
}

static void test_what_is_no_file(void **state)
{
	struct agent_file f;

	unlink(path);
	assert_int_equal(mkfifo(path, 0644), 0);
	assert_int_equal(read_file(&f), CTL_NO_AGENT);
	says("is no regular file");
	unlink(path);
	assert_int_equal(symlink("/etc/passwd", path), 0);
	assert_int_equal(read_file(&f), CTL_NO_AGENT);
	says("symbolic link");
}

static void test_other_network_namespace(void **state)
{
	struct agent_file f;
	char text[256];
	struct stat st;

	assert_int_equal(stat("/proc/self/ns/net", &st), 0);
	snprintf(text, sizeof(text),
		 "ooo-control 1\nport 1\npid 33\nuid %u\nagent_id 1\nnetns %ju\n",
		 (unsigned)getuid(), (uintmax_t)st.st_ino + 1);
	put_file(text);
	assert_int_equal(read_file(&f), CTL_NO_AGENT);
	says("another network namespace");
	says("nsenter -t 33 -n");
}

int main(void)
{
#define FILE_CASE(name) cmocka_unit_test_setup_teardown(name, make_dir, remove_dir)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),         cmocka_unit_test(test_broken_answers),
		cmocka_unit_test(test_silence),         cmocka_unit_test(test_nobody_listens),
		cmocka_unit_test(test_port_taken_over), cmocka_unit_test(test_spoofer),
		cmocka_unit_test(test_sender),          FILE_CASE(test_file),
		FILE_CASE(test_malformed_files),        FILE_CASE(test_files_of_others),
		FILE_CASE(test_what_is_no_file),        FILE_CASE(test_other_network_namespace),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
