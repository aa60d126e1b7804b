// SPDX-License-Identifier: Apache-2.0
/* Records from the wire, the two printers over them, and the arithmetic of stats. */
#include <cjson/cJSON.h>
#include <errno.h>
#include <math.h>
#include <netlink/msg.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "ctl/print.h"
#include "ctl/verb.h"

/* A record under construction. */
struct build {
	struct nl_msg *msg;
	struct nlattr *nest;
};

static struct build begin(void)
{
	struct build b = { .msg = nlmsg_alloc_size(OOO_CTL_MSG_BYTES) };

	assert_non_null(b.msg);
	assert_non_null(nlmsg_put(b.msg, 0, 0, OOO_CTL_TENANT_LIST, 0, 0));
	b.nest = nla_nest_start(b.msg, 1);
	assert_non_null(b.nest);
	return b;
}

static int end(struct build *b, struct records *rs, int group)
{
	int err;

	assert_int_equal(nla_nest_end(b->msg, b->nest), 0);
	err = records_add(rs, group_find(group), b->nest);
	nlmsg_free(b->msg);
	return err;
}

static void add_tenant(struct records *rs, uint32_t id, const char *name, uint64_t arena)
{
	struct build b = begin();

	nla_put_u32(b.msg, OOO_CTL_TENANT_ID, id);
	nla_put_string(b.msg, OOO_CTL_TENANT_NAME, name);
	nla_put_u32(b.msg, OOO_CTL_TENANT_USER, 0);
	nla_put_u64(b.msg, OOO_CTL_TENANT_AGE, 1500000000);
	nla_put_u64(b.msg, OOO_CTL_TENANT_COMPLETED, UINT64_MAX);
	nla_put_u64(b.msg, OOO_CTL_TENANT_ARENA, arena);
	assert_int_equal(end(&b, rs, OOO_CTL_A_TENANT), 0);
}

static void add_usage(struct records *rs, uint32_t id, uint64_t completed, uint64_t latency_sum)
{
	struct build b = begin();

	nla_put_u32(b.msg, OOO_CTL_USAGE_TENANT, id);
	nla_put_string(b.msg, OOO_CTL_USAGE_NAME, "t");
	nla_put_u64(b.msg, OOO_CTL_USAGE_COMPLETED, completed);
	nla_put_u64(b.msg, OOO_CTL_USAGE_LATENCY_SUM, latency_sum);
	assert_int_equal(end(&b, rs, OOO_CTL_A_USAGE), 0);
}

static void add_dispatcher(struct records *rs, uint64_t since_ns, uint64_t requests,
			   uint64_t busy_ns)
{
	struct build b = begin();

	nla_put_u64(b.msg, OOO_CTL_DISPATCHER_SINCE, since_ns);
	nla_put_u64(b.msg, OOO_CTL_DISPATCHER_REQUESTS, requests);
	nla_put_u64(b.msg, OOO_CTL_DISPATCHER_BUNDLES, requests);
	nla_put_u64(b.msg, OOO_CTL_DISPATCHER_ITEMS, 3 * requests);
	nla_put_u64(b.msg, OOO_CTL_DISPATCHER_BUSY, busy_ns);
	nla_put_u32(b.msg, OOO_CTL_DISPATCHER_LANES, 2);
	assert_int_equal(end(&b, rs, OOO_CTL_A_DISPATCHER), 0);
}

static char out[65536];

static FILE *capture(void)
{
	FILE *f;

	memset(out, 0, sizeof(out));
	f = fmemopen(out, sizeof(out) - 1, "w");
	assert_non_null(f);
	return f;
}

/* ---- records --------------------------------------------------------------------------------- */

static void test_wrong_lengths(void **state)
{
	struct records rs = { 0 };
	struct build b = begin();

	nla_put_u64(b.msg, OOO_CTL_TENANT_ID, 1);
	assert_int_equal(end(&b, &rs, OOO_CTL_A_TENANT), -EPROTO);
	b = begin();
	nla_put_u32(b.msg, OOO_CTL_TENANT_ARENA, 1);
	assert_int_equal(end(&b, &rs, OOO_CTL_A_TENANT), -EPROTO);
	b = begin();
	nla_put_string(b.msg, OOO_CTL_TENANT_NAME, "a");
	nla_put_string(b.msg, OOO_CTL_TENANT_NAME, "b");
	assert_int_equal(end(&b, &rs, OOO_CTL_A_TENANT), -EPROTO);
	assert_int_equal(rs.nr, 0);
	records_free(&rs);
}

/* A newer agent's fields are skipped. */
static void test_unknown_fields(void **state)
{
	struct records rs = { 0 };
	struct build b = begin();

	nla_put_u32(b.msg, OOO_CTL_MAX_FIELDS - 1, 1);
	nla_put_u32(b.msg, 1000, 1);
	nla_put_u32(b.msg, OOO_CTL_TENANT_ID, 4);
	assert_int_equal(end(&b, &rs, OOO_CTL_A_TENANT), 0);
	assert_int_equal(rs.nr, 1);
	assert_int_equal(rs.list[0].values[OOO_CTL_TENANT_ID].num, 4);
	assert_null(group_find(OOO_CTL_A_LIMIT - 1));
	assert_null(group_find(0));
	assert_null(group_find(-1));
	assert_null(group_find(100000));
	records_free(&rs);
}

static void test_strings_are_printable(void **state)
{
	struct records rs = { 0 };
	struct build b = begin();

	nla_put(b.msg, OOO_CTL_TENANT_NAME, 6, "\033[1m\xff\n"); /* and no NUL */
	assert_int_equal(end(&b, &rs, OOO_CTL_A_TENANT), 0);
	assert_string_equal(rs.list[0].values[OOO_CTL_TENANT_NAME].str, "?[1m??");
	records_free(&rs);
}

/* Codes count from 1 without gaps, keys are unique in a group and end in their unit. */
static void test_tables(void **state)
{
	static const char *const suffixes[] = {
		[FIELD_S] = "_s", [FIELD_MS] = "_ms", [FIELD_MIB] = "_mib"
	};

	for (int attr = OOO_CTL_A_STATUS; attr <= OOO_CTL_A_USAGE; attr++) {
		const struct group *g = group_find(attr);
		int end_at = 1;

		assert_non_null(g);
		for (int code = 1; code < OOO_CTL_MAX_FIELDS; code++) {
			const struct field *f = &g->fields[code];

			if (f->type == FIELD_NONE)
				continue;
			assert_int_equal(code, end_at++);
			for (int i = 1; i < code; i++)
				assert_string_not_equal(g->fields[i].key, f->key);
			if (f->type >= FIELD_S && f->type <= FIELD_MIB) {
				const char *at = strrchr(f->key, '_');

				assert_non_null(at);
				assert_string_equal(at, suffixes[f->type]);
			}
		}
		assert_true(end_at > 2);
	}
}

/* ---- printers -------------------------------------------------------------------------------- */

static void test_table(void **state)
{
	struct records rs = { 0 };
	const char *device;
	size_t end = 0;
	char *line, *save = NULL;
	int lines = 0;
	FILE *f;

	add_tenant(&rs, 1, "a", 64 << 20);
	add_tenant(&rs, 1000000, "a-longer-name", 1 << 19);
	f = capture();
	print_table(f, &rs, group_find(OOO_CTL_A_TENANT));
	fclose(f);
	assert_null(strchr(out, '\033')); /* no terminal, no colour */
	assert_non_null(strstr(out, "64.0"));
	assert_non_null(strstr(out, "0.5"));
	assert_non_null(strstr(out, "18446744073709551615"));
	device = strstr(out, "  device");
	assert_non_null(device);
	end = (size_t)(device - out) + strlen("  device");
	for (line = strtok_r(out, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		size_t len = strlen(line);

		/* A column of numbers ends in the same place on all lines. */
		assert_true(len >= end && line[end - 1] != ' ');
		assert_true(!line[end] || line[end] == ' ');
		assert_true(line[len - 1] != ' ');
		lines++;
	}
	assert_int_equal(lines, 3);
	records_free(&rs);
}

static void test_empty_table(void **state)
{
	struct records rs = { 0 };
	FILE *f = capture();

	print_table(f, &rs, group_find(OOO_CTL_A_TENANT));
	fclose(f);
	assert_non_null(strstr(out, "tenant"));
	assert_ptr_equal(strchr(out, '\n'), out + strlen(out) - 1);
}

static cJSON *printed_json(cJSON *root, bool one_line)
{
	cJSON *parsed;
	FILE *f = capture();

	assert_int_equal(print_json(f, root, one_line), 0);
	fclose(f);
	if (one_line)
		assert_ptr_equal(strchr(out, '\n'), out + strlen(out) - 1);
	parsed = cJSON_Parse(out);
	assert_non_null(parsed);
	return parsed;
}

/* What JSON calls a thing is what the table's heading calls it, in the same order. */
static void test_json_keys_are_the_columns(void **state)
{
	char heading[4096], *word, *save = NULL;
	struct records rs = { 0 };
	cJSON *root, *item;
	FILE *f;

	add_tenant(&rs, 1, "a", 64 << 20);
	f = capture();
	print_table(f, &rs, group_find(OOO_CTL_A_TENANT));
	fclose(f);
	*strchr(out, '\n') = '\0';
	snprintf(heading, sizeof(heading), "%.4000s", out);
	root = printed_json(json_records(&rs, group_find(OOO_CTL_A_TENANT)), false);
	assert_int_equal(cJSON_GetArraySize(root), 1);
	item = cJSON_GetArrayItem(root, 0)->child;
	for (word = strtok_r(heading, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
		assert_non_null(item);
		assert_string_equal(item->string, word);
		item = item->next;
	}
	assert_null(item);
	cJSON_Delete(root);
	records_free(&rs);
}

static void test_json_values(void **state)
{
	struct records rs = { 0 };
	cJSON *root, *t;

	add_tenant(&rs, 7, "say \"hi\" \\ there", 3 << 19);
	root = printed_json(json_records(&rs, group_find(OOO_CTL_A_TENANT)), true);
	t = cJSON_GetArrayItem(root, 0);
	assert_int_equal(cJSON_GetObjectItem(t, "tenant")->valueint, 7);
	assert_string_equal(cJSON_GetObjectItem(t, "name")->valuestring, "say \"hi\" \\ there");
	assert_string_equal(cJSON_GetObjectItem(t, "user")->valuestring, "root");
	assert_true(fabs(cJSON_GetObjectItem(t, "arena_mib")->valuedouble - 1.5) < 1e-9);
	assert_true(fabs(cJSON_GetObjectItem(t, "age_s")->valuedouble - 1.5) < 1e-9);
	assert_true(cJSON_IsNull(cJSON_GetObjectItem(t, "pid"))); /* was not sent */
	assert_non_null(strstr(out, ":18446744073709551615"));    /* not rounded */
	cJSON_Delete(root);
	records_free(&rs);
	root = printed_json(json_records(&rs, group_find(OOO_CTL_A_TENANT)), false);
	assert_true(cJSON_IsArray(root) && cJSON_GetArraySize(root) == 0);
	cJSON_Delete(root);
}

static void test_screen(void **state)
{
	struct records rs = { 0 };
	struct build b = begin();
	FILE *f;

	nla_put_string(b.msg, OOO_CTL_STATUS_VERSION, "9.9");
	nla_put_u64(b.msg, OOO_CTL_STATUS_AGENT_ID, 0xabc);
	nla_put_u8(b.msg, OOO_CTL_STATUS_DRAINING, 1);
	nla_put_u64(b.msg, OOO_CTL_STATUS_REQUESTS_RATE, 1234567);
	assert_int_equal(end(&b, &rs, OOO_CTL_A_STATUS), 0);
	f = capture();
	print_screen(f, &rs, group_find(OOO_CTL_A_STATUS));
	fclose(f);
	assert_non_null(strstr(out, "version         9.9\n"));
	assert_non_null(strstr(out, "agent_id        0000000000000abc\n"));
	assert_non_null(strstr(out, "draining        yes\n"));
	assert_non_null(strstr(out, "requests_per_s  1234.6\n"));
	assert_non_null(strstr(out, "uptime_s        -\n"));
	records_free(&rs);
}

/* ---- stats ----------------------------------------------------------------------------------- */

static uint64_t value(const struct records *rs, size_t i, int code)
{
	assert_true(i < rs->nr && rs->list[i].values[code].present);
	return rs->list[i].values[code].num;
}

static void test_derive(void **state)
{
	struct records rs = { 0 };

	add_dispatcher(&rs, 2000000000, 500, 1000000000);
	add_usage(&rs, 1, 4, 6000);
	add_usage(&rs, 2, 0, 0);
	stats_derive(&rs);
	assert_int_equal(value(&rs, 0, OOO_CTL_DISPATCHER_RATE), 250000);
	assert_int_equal(value(&rs, 0, OOO_CTL_DISPATCHER_MEAN_WIDTH), 3000);
	assert_int_equal(value(&rs, 0, OOO_CTL_DISPATCHER_BUSY_SHARE), 25000);
	assert_int_equal(value(&rs, 1, OOO_CTL_USAGE_LATENCY), 1500);
	assert_int_equal(value(&rs, 2, OOO_CTL_USAGE_LATENCY), 0);
	records_free(&rs);
}

static void test_subtract(void **state)
{
	struct records before = { 0 }, now = { 0 };

	add_dispatcher(&before, 1000, 10, 0);
	add_usage(&before, 1, 100, 5000);
	add_usage(&before, 2, 200, 0); /* leaves */
	add_dispatcher(&now, 3000, 15, 0);
	add_usage(&now, 1, 103, 5600);
	add_usage(&now, 3, 7, 0); /* comes */
	stats_subtract(&now, &before);
	assert_int_equal(value(&now, 0, OOO_CTL_DISPATCHER_SINCE), 2000);
	assert_int_equal(value(&now, 0, OOO_CTL_DISPATCHER_REQUESTS), 5);
	assert_int_equal(value(&now, 0, OOO_CTL_DISPATCHER_LANES), 2); /* no counter */
	assert_int_equal(value(&now, 1, OOO_CTL_USAGE_COMPLETED), 3);
	assert_int_equal(value(&now, 1, OOO_CTL_USAGE_LATENCY_SUM), 600);
	assert_int_equal(value(&now, 1, OOO_CTL_USAGE_TENANT), 1);
	assert_int_equal(value(&now, 2, OOO_CTL_USAGE_COMPLETED), 7);
	records_free(&before);
	records_free(&now);
}

static void test_subtract_over_a_reset(void **state)
{
	struct records before = { 0 }, now = { 0 };

	add_dispatcher(&before, 9000, 10, 0);
	add_usage(&before, 1, 100, 5000);
	add_dispatcher(&now, 500, 12, 0);
	add_usage(&now, 1, 120, 6000);
	stats_subtract(&now, &before);
	assert_int_equal(value(&now, 0, OOO_CTL_DISPATCHER_REQUESTS), 12);
	assert_int_equal(value(&now, 1, OOO_CTL_USAGE_COMPLETED), 120);
	records_free(&before);
	records_free(&now);
}

static void test_copy(void **state)
{
	struct records rs = { 0 }, copy;

	add_usage(&rs, 1, 100, 5000);
	assert_int_equal(records_copy(&copy, &rs), 0);
	assert_int_equal(copy.nr, 1);
	assert_string_equal(copy.list[0].values[OOO_CTL_USAGE_NAME].str, "t");
	assert_ptr_not_equal(copy.list[0].values[OOO_CTL_USAGE_NAME].str,
			     rs.list[0].values[OOO_CTL_USAGE_NAME].str);
	records_free(&rs);
	records_free(&copy);
	assert_int_equal(records_copy(&copy, &rs), 0);
	records_free(&copy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_wrong_lengths),
		cmocka_unit_test(test_unknown_fields),
		cmocka_unit_test(test_strings_are_printable),
		cmocka_unit_test(test_tables),
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_empty_table),
		cmocka_unit_test(test_json_keys_are_the_columns),
		cmocka_unit_test(test_json_values),
		cmocka_unit_test(test_screen),
		cmocka_unit_test(test_derive),
		cmocka_unit_test(test_subtract),
		cmocka_unit_test(test_subtract_over_a_reset),
		cmocka_unit_test(test_copy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
