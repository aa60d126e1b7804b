/* SPDX-License-Identifier: Apache-2.0 */
/* The runtime folder: found, made, locked against a second agent, and cleaned of a dead one's socket. */
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
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/runtime.h"

static char base[64];
static char why[512];

static int set_up(void **state)
{
	snprintf(base, sizeof(base), "/tmp/ooo-runtime-XXXXXX");
	return mkdtemp(base) ? 0 : -1;
}

static int tear_down(void **state)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -r '%s'", base);
	return system(command);
}

static const char *below(const char *name)
{
	static char path[96];

	snprintf(path, sizeof(path), "%s/%s", base, name);
	return path;
}

static int try_connect(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int sock = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	int err;

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	err = connect(sock, (struct sockaddr *)&addr, sizeof(addr)) ? -errno : 0;
	close(sock);
	return err;
}

static void test_open(void **state)
{
	struct runtime rt, second;
	struct stat st;

	assert_int_equal(runtime_open(&rt, below("a"), why, sizeof(why)), 0);
	assert_int_equal(stat(rt.dir, &st), 0);
	assert_int_equal(st.st_mode & 0777, geteuid() ? 0700 : 0755);
	assert_int_equal(stat(rt.socket_path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0666);
	assert_int_equal(try_connect(rt.socket_path), 0);

	assert_int_equal(runtime_open(&second, below("a"), why, sizeof(why)), -EBUSY);
	assert_non_null(strstr(why, "another agent"));
	snprintf(why, sizeof(why), "%s", rt.socket_path);
	assert_int_equal(try_connect(why), 0); /* the first one is still there */

	runtime_close(&rt);
	assert_int_equal(access(why, F_OK), -1);
	assert_int_equal(runtime_open(&rt, below("a"), why, sizeof(why)), 0);
	runtime_close(&rt);
}

/* An agent that was killed leaves its socket and lock file behind. */
static void test_stale(void **state)
{
	struct runtime rt;
	char path[RUNTIME_PATH_BYTES];

	assert_int_equal(runtime_open(&rt, below("b"), why, sizeof(why)), 0);
	memcpy(path, rt.socket_path, sizeof(path));
	close(rt.listen_fd);
	close(rt.lock_fd);
	assert_int_equal(try_connect(path), -ECONNREFUSED);
	assert_int_equal(runtime_open(&rt, below("b"), why, sizeof(why)), 0);
	assert_int_equal(try_connect(path), 0);
	runtime_close(&rt);
}

static void refused(const char *dir, int err, const char *word)
{
	struct runtime rt;

	assert_int_equal(runtime_open(&rt, dir, why, sizeof(why)), err);
	if (!strstr(why, word))
		fail_msg("\"%s\" does not say \"%s\"", why, word);
}

static void test_refused(void **state)
{
	char longer[200];
	int fd = open(below("file"), O_CREAT | O_WRONLY, 0600);

	close(fd);
	memset(longer, 'x', sizeof(longer));
	longer[0] = '/';
	longer[sizeof(longer) - 1] = '\0';
	refused(longer, -ENAMETOOLONG, "too long");
	refused(below("file"), -ENOTDIR, "not a folder");
	refused(below("no/such"), -ENOENT, "cannot make");
	/* Another file in the socket's place is not removed. */
	assert_int_equal(mkdir(below("c"), 0700), 0);
	assert_int_equal(mkdir(below("c/agent.sock"), 0700), 0);
	refused(below("c"), -EISDIR, "cannot remove");
	/* A lock file that is a link may point anywhere. */
	assert_int_equal(mkdir(below("d"), 0700), 0);
	assert_int_equal(symlink("/etc/passwd", below("d/agent.lock")), 0);
	refused(below("d"), -ELOOP, "agent.lock");
}

static void test_environment(void **state)
{
	struct runtime rt;

	setenv("OOO_RUNTIME_DIR", below("env"), 1);
	assert_int_equal(runtime_open(&rt, NULL, why, sizeof(why)), 0);
	assert_string_equal(rt.dir, below("env"));
	runtime_close(&rt);
	assert_int_equal(runtime_open(&rt, below("option"), why, sizeof(why)), 0);
	assert_string_equal(rt.dir, below("option")); /* an option beats the environment */
	runtime_close(&rt);
	unsetenv("OOO_RUNTIME_DIR");
	if (geteuid() == 0)
		return; /* root's is /run/ooo, which is not the tests' */
	setenv("XDG_RUNTIME_DIR", base, 1);
	assert_int_equal(runtime_open(&rt, NULL, why, sizeof(why)), 0);
	assert_string_equal(rt.dir, below("ooo"));
	runtime_close(&rt);
	unsetenv("XDG_RUNTIME_DIR");
	refused(NULL, -ENOENT, "OOO_RUNTIME_DIR");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_open),
		cmocka_unit_test(test_stale),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_environment),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
