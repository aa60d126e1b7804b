// SPDX-License-Identifier: Apache-2.0
/* Who is an administrator. The user database is the test's own. */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static int fake_getgrnam_r(const char *name, struct group *entry, char *buf, size_t bytes,
			   struct group **found);
static int fake_getpwuid_r(uid_t uid, struct passwd *entry, char *buf, size_t bytes,
			   struct passwd **found);
static int fake_getgrouplist(const char *user, gid_t gid, gid_t *groups, int *nr);

#define getgrnam_r   fake_getgrnam_r
#define getpwuid_r   fake_getpwuid_r
#define getgrouplist fake_getgrouplist
#include "agent/control/permit.c"

#define AGENT_UID 4000u
#define GROUP_ID  27u
#define SECOND    1000000000ull

static struct {
	bool member; /* uid 5000 */
	unsigned nr_asked;
	int nr_groups; /* of uid 5002 */
} database;

static int fake_getgrnam_r(const char *name, struct group *entry, char *buf, size_t bytes,
			   struct group **found)
{
	*found = NULL;
	if (!strcmp(name, "broken"))
		return EIO;
	if (strcmp(name, "operators") != 0)
		return 0;
	memset(entry, 0, sizeof(*entry));
	entry->gr_gid = GROUP_ID;
	*found = entry;
	return 0;
}

static int fake_getpwuid_r(uid_t uid, struct passwd *entry, char *buf, size_t bytes,
			   struct passwd **found)
{
	static char names[][8] = { "member", "other", "many" };

	database.nr_asked++;
	*found = NULL;
	if (uid < 5000 || uid > 5002)
		return 0;
	memset(entry, 0, sizeof(*entry));
	entry->pw_name = names[uid - 5000];
	entry->pw_gid = uid;
	*found = entry;
	return 0;
}

static int fake_getgrouplist(const char *user, gid_t gid, gid_t *groups, int *nr)
{
	int room = *nr, have = 0;

	groups[have++] = gid;
	if (!strcmp(user, "member") && database.member)
		groups[have++] = GROUP_ID;
	if (!strcmp(user, "many")) {
		for (have = 0; have < database.nr_groups && have < room; have++)
			groups[have] = 10000u + (gid_t)have;
		have = database.nr_groups;
	}
	*nr = have;
	return have > room ? -1 : have;
}

static bool admin(struct permit *p, uid_t uid, gid_t gid, uint64_t now_ns)
{
	const struct sender from = { .port = 1, .pid = 1, .uid = uid, .gid = gid };

	return permit_admin(p, &from, now_ns);
}

static int setup(void **state)
{
	memset(&database, 0, sizeof(database));
	database.member = true;
	return 0;
}

static void test_without_group(void **state)
{
	struct permit p;

	assert_int_equal(permit_init(&p, NULL, AGENT_UID), 0);
	assert_true(admin(&p, 0, 0, SECOND));
	assert_true(admin(&p, AGENT_UID, 1, SECOND));
	assert_false(admin(&p, 5000, GROUP_ID, SECOND));
	assert_false(admin(&p, 5000, 0, SECOND)); /* root's group is not root */
	assert_int_equal(database.nr_asked, 0);
}

static void test_group(void **state)
{
	struct permit p;

	assert_int_equal(permit_init(&p, "operators", AGENT_UID), 0);
	assert_true(admin(&p, 0, 0, SECOND));
	assert_true(admin(&p, AGENT_UID, 1, SECOND));
	assert_true(admin(&p, 5001, GROUP_ID, SECOND)); /* by primary group */
	assert_int_equal(database.nr_asked, 0);
	assert_true(admin(&p, 5000, 5000, SECOND)); /* by the user database */
	assert_false(admin(&p, 5001, 5001, SECOND));
	assert_false(admin(&p, 6000, 6000, SECOND)); /* whom it does not know */
}

static void test_no_such_group(void **state)
{
	struct permit p;

	assert_int_equal(permit_init(&p, "operatos", AGENT_UID), -ENOENT);
	assert_int_equal(permit_init(&p, "broken", AGENT_UID), -EIO);
}

static void test_answers_are_remembered_for_a_while(void **state)
{
	struct permit p;

	assert_int_equal(permit_init(&p, "operators", AGENT_UID), 0);
	for (int i = 0; i < 100; i++)
		assert_true(admin(&p, 5000, 5000, SECOND + (uint64_t)i * 1000000));
	assert_int_equal(database.nr_asked, 1);
	/* Whoever is taken out of the group loses his rights with it. */
	database.member = false;
	assert_false(admin(&p, 5000, 5000, SECOND + PERMIT_CACHE_NS));
	assert_int_equal(database.nr_asked, 2);
}

static void test_more_users_than_remembered(void **state)
{
	struct permit p;

	assert_int_equal(permit_init(&p, "operators", AGENT_UID), 0);
	for (uid_t uid = 7000; uid < 7000 + 5 * PERMIT_CACHE; uid++)
		assert_false(admin(&p, uid, uid, SECOND));
	assert_true(admin(&p, 5000, 5000, SECOND));
	assert_false(admin(&p, 7000, 7000, SECOND));
}

static void test_user_of_more_groups_than_fit(void **state)
{
	struct permit p;

	assert_int_equal(permit_init(&p, "operators", AGENT_UID), 0);
	database.nr_groups = MAX_GROUPS + 1;
	assert_false(admin(&p, 5002, 5002, SECOND));
}

static unsigned tokens(struct permit *p, uid_t uid, uint64_t now_ns)
{
	const struct sender from = { .uid = uid };
	unsigned nr = 0;

	while (permit_rate(p, &from, now_ns))
		nr++;
	return nr;
}

static void test_rate(void **state)
{
	struct permit p;

	assert_int_equal(permit_init(&p, NULL, AGENT_UID), 0);
	assert_int_equal(tokens(&p, 5000, SECOND), 2 * OOO_CTL_RATE);
	assert_int_equal(tokens(&p, 5001, SECOND), 2 * OOO_CTL_RATE);
	assert_int_equal(tokens(&p, 5000, SECOND + 1), 0);
	assert_int_equal(tokens(&p, 5000, SECOND + 2000000), OOO_CTL_RATE / 500);
	assert_int_equal(tokens(&p, 5000, 3 * SECOND), 2 * OOO_CTL_RATE - 1);
	assert_int_equal(tokens(&p, 5000, UINT64_MAX), 2 * OOO_CTL_RATE);
}

/* Who administers may change thousands of tenants in a loop; the user database is not asked. */
static void test_rate_of_administrators(void **state)
{
	const struct sender member = { .uid = 5001, .gid = GROUP_ID };
	struct permit p;

	assert_int_equal(permit_init(&p, "operators", AGENT_UID), 0);
	assert_int_equal(tokens(&p, 0, SECOND), 2 * OOO_CTL_ADMIN_RATE);
	assert_int_equal(tokens(&p, AGENT_UID, SECOND), 2 * OOO_CTL_ADMIN_RATE);
	assert_int_equal(permit_rate_of(&p, &member), OOO_CTL_ADMIN_RATE);
	assert_int_equal(tokens(&p, 5000, SECOND), 2 * OOO_CTL_RATE);
	assert_int_equal(database.nr_asked, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_without_group, setup),
		cmocka_unit_test_setup(test_group, setup),
		cmocka_unit_test_setup(test_no_such_group, setup),
		cmocka_unit_test_setup(test_answers_are_remembered_for_a_while, setup),
		cmocka_unit_test_setup(test_more_users_than_remembered, setup),
		cmocka_unit_test_setup(test_user_of_more_groups_than_fit, setup),
		cmocka_unit_test_setup(test_rate, setup),
		cmocka_unit_test_setup(test_rate_of_administrators, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
