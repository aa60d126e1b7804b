// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "agent/policy/file.h"

static struct policy_file *parse(const char *text)
{
	char why[POLICY_WHY_BYTES];
	struct policy_file *f = NULL;

	assert_int_equal(policy_file_parse(text, strlen(text), &f, why, sizeof(why)), 0);
	return f;
}

static void test_first_match_over_defaults(void **state)
{
	struct policy_file *f = parse(
		"{\"defaults\":{\"weight\":50,\"slo\":\"5ms\"},\"rules\":["
		"{\"match\":{\"uid\":7,\"name\":\"web-*\"},\"set\":{\"weight\":300}},"
		"{\"match\":{\"unit\":\"db.service\"},\"set\":{\"class\":\"batch\",\"partition\":\"rt\"}},"
		"{\"match\":{\"cgroup\":\"/user.slice/*\"},\"set\":{\"memory\":\"2GiB\",\"sm-max\":\"50%\"}},"
		"{\"match\":{\"uid\":7},\"set\":{\"rate\":\"9/s\"}}]}");
	struct policy_peer peer = { 7, 7, "", "web-1" };
	struct policy_result r;

	policy_file_match(f, &peer, &r);
	assert_int_equal(r.rule, 0);
	assert_int_equal(r.params.weight, 300);
	assert_int_equal(r.params.slo_ns, 5000000);
	peer.name = "x";
	policy_file_match(f, &peer, &r);
	assert_int_equal(r.rule, 3);
	assert_int_equal(r.params.weight, 50);
	assert_int_equal(r.params.rate, 9);
	peer.cgroup = "/system.slice/db.service";
	policy_file_match(f, &peer, &r);
	assert_int_equal(r.rule, 1);
	assert_int_equal(r.params.klass, TENANT_BATCH);
	assert_string_equal(r.partition, "rt");
	peer.cgroup = "/user.slice/a";
	policy_file_match(f, &peer, &r);
	assert_int_equal(r.rule, 2);
	assert_true(r.params.memory_bytes == 2ull << 30);
	assert_int_equal(r.params.sm_max, 500);
	peer = (struct policy_peer){ 8, 8, "", "web-1" };
	policy_file_match(f, &peer, &r);
	assert_int_equal(r.rule, -1);
	assert_int_equal(r.params.weight, 50);
	policy_file_free(f);
	policy_file_match(NULL, &peer, &r);
	assert_int_equal(r.params.weight, TENANT_WEIGHT_DEFAULT);
}

/* Each is refused as a whole, and the sentence says where. */
static void test_wrong_files(void **state)
{
	static const struct {
		const char *text, *says;
	} cases[] = {
		{ "", "line 1" },
		{ "{\n \"rules\": [,]}", "line 2, column 12" },
		{ "{} x", "no JSON" },
		{ "[]", "expected an object" },
		{ "{\"rulse\":[]}", "did you mean \"rules\"" },
		{ "{\"rules\":[{\"set\":{\"slo\":5}}]}", "rules[0].set.slo: a bare number" },
		{ "{\"rules\":[{\"set\":{\"class\":\"latancy\"}}]}", "did you mean \"latency\"" },
		{ "{\"rules\":[{},{\"set\":{\"weight\":0}}]}", "rules[1].set.weight" },
		{ "{\"rules\":[{\"set\":{\"weight\":1,\"weight\":2}}]}", "given twice" },
		{ "{\"rules\":[{\"match\":{\"uid\":-1}}]}", "rules[0].match.uid" },
		{ "{\"rules\":[{\"match\":{\"name\":\"\"}}]}", "not empty" },
		{ "{\"defaults\":{\"sm-min\":\"60%\",\"sm-max\":\"50%\"}}", "sm-min" },
		{ "{\"defaults\":{\"rate\":\"999999999/s\"}}", "is more than" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct policy_file *f = NULL;
		char why[POLICY_WHY_BYTES];

		assert_int_not_equal(policy_file_parse(cases[i].text, strlen(cases[i].text), &f,
						       why, sizeof(why)),
				     0);
		assert_null(f);
		assert_non_null(strstr(why, cases[i].says));
	}
}

static void test_change(void **state)
{
	struct tenant_params a = TENANT_PARAMS_DEFAULT, b = a;
	char text[POLICY_CHANGE_BYTES], small[8];

	params_change(&a, &b, "none", "none", text, sizeof(text));
	assert_string_equal(text, "");
	b.weight = 200;
	b.klass = TENANT_LATENCY;
	params_change(&a, &b, "none", "none", text, sizeof(text));
	assert_string_equal(text, "weight 100 -> 200, class normal -> latency");
	params_change(&a, &b, "none", "rt", small, sizeof(small));
	assert_string_equal(small, "weight ");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first_match_over_defaults),
		cmocka_unit_test(test_wrong_files),
		cmocka_unit_test(test_change),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
