// SPDX-License-Identifier: Apache-2.0
/* Requests of every kind against the handler: what is refused and with which words, who sees what,
 * how dumps are cut. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "ctl/record.h"
#include "tests/unit/control/fixture.h"

#define OTHER_UID 5000u

static int setup(void **state)
{
	*state = fixture_new();
	return 0;
}

static int teardown(void **state)
{
	fixture_free(*state);
	return 0;
}

/* All records of the answers that were caught; counts messages that break the protocol's promises. */
static struct records take(struct fixture *f)
{
	struct records rs = { 0 };
	struct nlattr *nla;
	int rem;

	for (unsigned i = 0; i < f->nr_sent; i++) {
		struct nlmsghdr *nlh = &f->sent[i].nlh;

		assert_int_equal(nlh->nlmsg_len, f->sent[i].bytes);
		assert_int_equal(nlh->nlmsg_seq, 7);
		assert_int_equal(nlh->nlmsg_pid, 1234);
		assert_int_equal(f->sent[i].port, 999);
		if (nlh->nlmsg_type == NLMSG_DONE)
			continue;
		assert_non_null(nlmsg_find_attr(nlh, 0, OOO_CTL_A_AGENT_ID));
		nlmsg_for_each_attr(nla, nlh, 0, rem)
		{
			if (nla_is_nested(nla))
				assert_int_equal(records_add(&rs, group_find(nla_type(nla)), nla),
						 0);
		}
	}
	return rs;
}

static struct nlmsghdr *last(struct fixture *f)
{
	assert_true(f->nr_sent > 0);
	return &f->sent[f->nr_sent - 1].nlh;
}

/* ---- refusals -------------------------------------------------------------------------------- */

static void refused(struct fixture *f, const struct raw *r, uid_t uid, int err, const char *text)
{
	uint64_t errors = f->c.stats.errors;

	assert_true(fixture_handle(f, uid, r));
	assert_int_equal(fixture_error(f), err);
	if (!strstr(fixture_error_text(f), text))
		fail_msg("'%s' does not say '%s'", fixture_error_text(f), text);
	assert_int_equal(f->c.stats.errors, errors + 1);
	/* The header comes back, and the agent's id. */
	assert_memory_equal(f->sent[0].data + NLMSG_HDRLEN + sizeof(int), r->data, NLMSG_HDRLEN);
	assert_int_equal(nla_get_u64(nlmsg_find_attr(&f->sent[0].nlh, sizeof(struct nlmsgerr),
						     OOO_CTL_ERR_AGENT_ID)),
			 FIXTURE_AGENT_ID);
}

static void test_protocol_and_version(void **state)
{
	struct raw r;

	raw_header(&r, OOO_CTL_STATUS_SHOW);
	refused(*state, &r, 0, -EPROTO, "not a request of the OoO control protocol");
	raw_u32(&r, OOO_CTL_A_MAGIC, OOO_CTL_MAGIC + 1);
	refused(*state, &r, 0, -EPROTO, "not a request");
	raw_header(&r, OOO_CTL_STATUS_SHOW);
	raw_u64(&r, OOO_CTL_A_MAGIC, OOO_CTL_MAGIC);
	refused(*state, &r, 0, -EPROTO, "not a request");
	raw_header(&r, OOO_CTL_STATUS_SHOW);
	raw_u32(&r, OOO_CTL_A_MAGIC, OOO_CTL_MAGIC);
	refused(*state, &r, 0, -EPROTO, "version");
	/* A later version's unknown attributes do not hide what is wrong. */
	raw_u32(&r, 77, 1);
	raw_u32(&r, OOO_CTL_A_VERSION, OOO_CTL_VERSION + 1);
	refused(*state, &r, 0, -EPROTONOSUPPORT, "control protocol 1, the request is of version 2");
}

static void test_unknown_verbs(void **state)
{
	const uint16_t types[] = { NLMSG_MIN_TYPE, OOO_CTL_TYPE_BASE, OOO_CTL_TYPE_BASE - 1,
				   OOO_CTL_TYPE_BASE + 39, 0xffff };
	struct raw r;

	for (unsigned i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		raw_request(&r, types[i]);
		refused(*state, &r, 0, -EOPNOTSUPP, "no verb");
	}
}

static void test_attributes(void **state)
{
	struct raw r;

	raw_request(&r, OOO_CTL_STATUS_SHOW);
	raw_u32(&r, 0, 1);
	refused(*state, &r, 0, -EINVAL, "attribute 0 is not known");
	raw_request(&r, OOO_CTL_STATUS_SHOW);
	raw_u32(&r, OOO_CTL_A_TENANT_ID + 1, 1);
	refused(*state, &r, 0, -EINVAL, "attribute 6 is not known");
	raw_request(&r, OOO_CTL_STATUS_SHOW);
	raw_u64(&r, OOO_CTL_A_AGENT_ID, 1);
	refused(*state, &r, 0, -EINVAL, "attribute 3 is not known");
	raw_request(&r, OOO_CTL_STATUS_SHOW);
	raw_u32(&r, 0x7fff, 1);
	refused(*state, &r, 0, -EINVAL, "is not known");
	raw_request(&r, OOO_CTL_STATUS_SHOW);
	raw_u32(&r, OOO_CTL_A_MAGIC, OOO_CTL_MAGIC);
	refused(*state, &r, 0, -EINVAL, "MAGIC is given twice");
	raw_request(&r, OOO_CTL_TENANT_LIST);
	raw_u32(&r, OOO_CTL_A_CURSOR, 1);
	refused(*state, &r, 0, -EINVAL, "CURSOR has 4 bytes, not 8");
	raw_request(&r, OOO_CTL_PROGRAM_LIST);
	raw_u64(&r, OOO_CTL_A_TENANT_ID, 1);
	refused(*state, &r, 0, -EINVAL, "TENANT has 8 bytes, not 4");
	/* The flag bits of a type are not part of any type here. */
	raw_request(&r, OOO_CTL_PROGRAM_LIST);
	raw_u32(&r, OOO_CTL_A_TENANT_ID | NLA_F_NESTED, 1);
	refused(*state, &r, 0, -EINVAL, "is not known");
}

static void test_attributes_of_other_verbs(void **state)
{
	struct raw r;

	raw_request(&r, OOO_CTL_STATUS_SHOW);
	raw_u64(&r, OOO_CTL_A_CURSOR, 1);
	refused(*state, &r, 0, -EINVAL, "CURSOR is not for STATUS_SHOW");
	raw_request(&r, OOO_CTL_TENANT_LIST);
	raw_u32(&r, OOO_CTL_A_TENANT_ID, 1);
	refused(*state, &r, 0, -EINVAL, "TENANT is not for TENANT_LIST");
	raw_request(&r, OOO_CTL_PROGRAM_LIST);
	raw_u32(&r, OOO_CTL_A_WEIGHT, 1);
	refused(*state, &r, 0, -EINVAL, "WEIGHT is not for PROGRAM_LIST");
	raw_request(&r, OOO_CTL_PROGRAM_LIST);
	raw_u32(&r, OOO_CTL_A_STATUS, 1);
	refused(*state, &r, 0, -EINVAL, "attribute 8 is not known");
}

static void test_lengths(void **state)
{
	struct raw r;

	raw_request(&r, OOO_CTL_STATUS_SHOW);
	memset(r.data + r.bytes, 0, 8);
	r.bytes += 8;
	refused(*state, &r, 0, -EINVAL, "header says 32 bytes of a datagram of 40");
	r.nlh.nlmsg_len = 40;
	refused(*state, &r, 0, -EINVAL, "after the last attribute");
	raw_request(&r, OOO_CTL_STATUS_SHOW);
	r.nlh.nlmsg_len = 4;
	refused(*state, &r, 0, -EINVAL, "header says 4 bytes");
	r.nlh.nlmsg_len = 0xffffffff;
	refused(*state, &r, 0, -EINVAL, "header says 4294967295 bytes");
	raw_request(&r, OOO_CTL_STATUS_SHOW);
	r.data[NLMSG_HDRLEN] = 200; /* MAGIC reaches beyond the message */
	refused(*state, &r, 0, -EPROTO, "not a request");
	raw_request(&r, OOO_CTL_STATUS_SHOW);
	r.bytes = r.nlh.nlmsg_len = OOO_CTL_MAX_REQUEST + 4;
	refused(*state, &r, 0, -EINVAL, "516 bytes, more than 512");
}

static void test_header(void **state)
{
	struct raw r;

	raw_request(&r, OOO_CTL_STATUS_SHOW);
	r.nlh.nlmsg_flags = 0;
	refused(*state, &r, 0, -EINVAL, "STATUS_SHOW takes the flags 0x1, not 0x0");
	r.nlh.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	refused(*state, &r, 0, -EINVAL, "takes the flags");
	r.nlh.nlmsg_flags = NLM_F_REQUEST | NLM_F_ECHO;
	refused(*state, &r, 0, -EINVAL, "takes the flags");
	raw_request(&r, OOO_CTL_TENANT_LIST);
	r.nlh.nlmsg_flags = NLM_F_REQUEST;
	refused(*state, &r, 0, -EINVAL, "takes the flags 0x301");
	raw_request(&r, OOO_CTL_STATUS_SHOW);
	r.nlh.nlmsg_pid = 998;
	refused(*state, &r, 0, -EINVAL, "the header says port 998, the kernel says 999");
	r.nlh.nlmsg_pid = 999;
	assert_true(fixture_handle(*state, 0, &r));
	assert_int_equal(last(*state)->nlmsg_type, OOO_CTL_STATUS_SHOW);
}

static void test_unanswered(void **state)
{
	struct fixture *f = *state;
	struct raw r;

	raw_request(&r, OOO_CTL_STATUS_SHOW);
	for (r.bytes = 0; r.bytes < NLMSG_HDRLEN; r.bytes++)
		assert_true(fixture_handle(f, 0, &r) && !f->nr_sent);
	assert_int_equal(f->c.stats.drops, NLMSG_HDRLEN);
	for (uint16_t type = 0; type < NLMSG_MIN_TYPE; type++) {
		raw_request(&r, type);
		assert_true(fixture_handle(f, 0, &r) && !f->nr_sent);
	}
	assert_int_equal(f->c.stats.drops, NLMSG_HDRLEN + NLMSG_MIN_TYPE);
}

static void set_request(struct raw *r, uint32_t tenant)
{
	raw_request(r, OOO_CTL_TENANT_SET);
	raw_u32(r, OOO_CTL_A_TENANT_ID, tenant);
}

static void test_set_tenant(void **state)
{
	struct fixture *f = *state;
	const struct tenant_params *p = &fixture_tenant(f, 5, 0, 0)->entry.params;
	struct raw r;

	f->registry.agent.devices[0].partition[1] =
		(struct device_partition){ .name = "fast", .nr_lanes = 1 };
	set_request(&r, 5);
	refused(f, &r, 0, -EINVAL, "nothing to set");
	raw_request(&r, OOO_CTL_TENANT_SET);
	raw_u32(&r, OOO_CTL_A_WEIGHT, 7);
	refused(f, &r, 0, -EINVAL, "which tenant");
	set_request(&r, 6);
	raw_u32(&r, OOO_CTL_A_WEIGHT, 7);
	refused(f, &r, 0, -ENOENT, "no tenant 6");
	set_request(&r, 5);
	raw_u32(&r, OOO_CTL_A_WEIGHT, 0);
	refused(f, &r, 0, -ERANGE, "weight 0 is not from 1 to 10000");
	set_request(&r, 5);
	raw_u32(&r, OOO_CTL_A_WEIGHT, 7);
	raw_text(&r, OOO_CTL_A_PARTITION, "slow");
	refused(f, &r, 0, -ENODEV, "has no partition 'slow'");
	assert_int_not_equal(p->weight, 7);
	set_request(&r, 5);
	raw_u32(&r, OOO_CTL_A_WEIGHT, 7);
	raw_u64(&r, OOO_CTL_A_CLASS, 1ull << 32);
	refused(f, &r, 0, -ERANGE, "class 255 is not from 0 to 2");
	assert_int_not_equal(p->weight, 7);
	set_request(&r, 5);
	raw_u32(&r, OOO_CTL_A_WEIGHT, 7);
	raw_text(&r, OOO_CTL_A_PARTITION, "fast");
	raw_u64(&r, OOO_CTL_A_SLO, 5000000);
	raw_u64(&r, OOO_CTL_A_CLASS, TENANT_LATENCY);
	raw_u64(&r, OOO_CTL_A_RATE, 2000);
	assert_true(fixture_handle(f, 0, &r));
	assert_int_equal(fixture_error(f), 0);
	assert_int_equal(p->weight, 7);
	assert_int_equal(p->partition, 2);
	assert_int_equal(p->slo_ns, 5000000);
	assert_int_equal(p->klass, TENANT_LATENCY);
	assert_int_equal(p->rate, 2000);
	set_request(&r, 5);
	raw_text(&r, OOO_CTL_A_PARTITION, "");
	refused(f, &r, OTHER_UID, -EPERM, "only root");
	assert_true(fixture_handle(f, 0, &r));
	assert_int_equal(p->partition, 0);
}

/* Several tenants of one name are one change: all of it, or nothing. */
static void test_set_by_name(void **state)
{
	struct fixture *f = *state;
	struct fixture_tenant *a = fixture_tenant(f, 5, 0, 0), *b = fixture_tenant(f, 9, 0, 0);
	struct raw r;

	snprintf(a->tenant.name, sizeof(a->tenant.name), "web");
	snprintf(b->tenant.name, sizeof(b->tenant.name), "web");
	raw_request(&r, OOO_CTL_TENANT_SET);
	raw_text(&r, OOO_CTL_A_NAME, "web");
	raw_u64(&r, OOO_CTL_A_SM_MAX, 300);
	b->entry.params.sm_min = 400;
	refused(f, &r, 0, -ERANGE, "tenant 9: sm-min 400 is not from 0 to 300");
	assert_int_equal(a->entry.params.sm_max, PERMILLE);
	b->entry.params.sm_min = 0;
	assert_true(fixture_handle(f, 0, &r));
	assert_int_equal(fixture_error(f), 0);
	assert_int_equal(a->entry.params.sm_max, 300);
	assert_int_equal(b->entry.params.sm_max, 300);
	raw_request(&r, OOO_CTL_TENANT_SET);
	raw_text(&r, OOO_CTL_A_NAME, "we");
	raw_u32(&r, OOO_CTL_A_WEIGHT, 7);
	refused(f, &r, 0, -ENOENT, "no tenant 'we'");
	/* No end, or two. */
	raw_request(&r, OOO_CTL_TENANT_SET);
	raw_attr(&r, OOO_CTL_A_NAME, "web", 3);
	refused(f, &r, 0, -EINVAL, "NAME is no text with its end");
	raw_request(&r, OOO_CTL_TENANT_SET);
	raw_attr(&r, OOO_CTL_A_NAME, "w\0b", 4);
	refused(f, &r, 0, -EINVAL, "NAME is no text with its end");
}

static void test_kick_and_drain(void **state)
{
	struct fixture *f = *state;
	struct fixture_tenant *t = fixture_tenant(f, 5, 0, 0);
	struct raw r;

	raw_request(&r, OOO_CTL_TENANT_KICK);
	refused(f, &r, 0, -EINVAL, "which tenant");
	raw_u32(&r, OOO_CTL_A_TENANT_ID, 5);
	refused(f, &r, OTHER_UID, -EPERM, "only root");
	assert_false(t->entry.evict);
	assert_true(fixture_handle(f, 0, &r));
	assert_int_equal(fixture_error(f), 0);
	assert_true(t->entry.evict);
	raw_request(&r, OOO_CTL_DRAIN_START);
	refused(f, &r, OTHER_UID, -EPERM, "only root");
	assert_true(fixture_handle(f, 0, &r));
	assert_true(f->registry.refuse);
	raw_request(&r, OOO_CTL_RESUME_START);
	assert_true(fixture_handle(f, 0, &r));
	assert_false(f->registry.refuse);
	raw_request(&r, OOO_CTL_RESTART_START);
	refused(f, &r, OTHER_UID, -EPERM, "only root");
	assert_false(f->registry.restart);
	assert_true(fixture_handle(f, 0, &r));
	assert_true(f->registry.restart);
}

/* ---- permission ------------------------------------------------------------------------------ */

static void test_permission_matrix(void **state)
{
	const struct {
		uint16_t type;
		unsigned rows_admin, rows_other; /* of tenants or programs */
		bool change;
	} verbs[] = {
		{ OOO_CTL_STATUS_SHOW, 1, 1, false }, { OOO_CTL_DEVICE_LIST, 1, 1, false },
		{ OOO_CTL_TENANT_LIST, 3, 1, false }, { OOO_CTL_PROGRAM_LIST, 6, 2, false },
		{ OOO_CTL_STATS_SHOW, 4, 2, false },  { OOO_CTL_STATS_RESET, 0, 0, true },
		{ OOO_CTL_TENANT_SHOW, 3, 1, false }, { OOO_CTL_RESUME_START, 0, 0, true },
	};
	const struct {
		uid_t uid;
		bool admin;
		unsigned owns; /* of the three tenants */
	} who[] = { { 0, true, 1 },
		    { FIXTURE_AGENT_UID, true, 1 },
		    { OTHER_UID, false, 1 },
		    { OTHER_UID + 1, false, 0 } };
	struct fixture *f = *state;
	struct raw r;

	fixture_tenant(f, 1, 0, 2);
	fixture_tenant(f, 2, FIXTURE_AGENT_UID, 2);
	fixture_tenant(f, 3, OTHER_UID, 2);
	for (unsigned i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		for (unsigned j = 0; j < sizeof(who) / sizeof(who[0]); j++) {
			unsigned want = who[j].admin ? verbs[i].rows_admin : verbs[i].rows_other;
			struct records rs;

			raw_request(&r, verbs[i].type);
			if (verbs[i].change && !who[j].admin) {
				refused(f, &r, who[j].uid, -EPERM, "only root");
				continue;
			}
			assert_true(fixture_handle(f, who[j].uid, &r));
			if (verbs[i].change) {
				assert_int_equal(fixture_error(f), 0);
				continue;
			}
			/* A user without tenants sees what is not theirs alone. */
			if (!who[j].admin && !who[j].owns &&
			    verbs[i].rows_other != verbs[i].rows_admin)
				want = verbs[i].type == OOO_CTL_STATS_SHOW ? 1 : 0;
			rs = take(f);
			assert_int_equal(rs.nr, want);
			records_free(&rs);
		}
	}
}

static void test_refused_reset_changes_nothing(void **state)
{
	struct fixture *f = *state;
	uint64_t since;
	struct turn_stats out;
	struct raw r;

	f->stats.requests = 9;
	raw_request(&r, OOO_CTL_STATS_RESET);
	refused(f, &r, OTHER_UID, -EPERM, "only root, the agent's own user may do this");
	history_since_reset(&f->c.history, FIXTURE_NOW, &out, &since);
	assert_int_equal(out.requests, 9);
	f->c.config.group = "operators";
	refused(f, &r, OTHER_UID, -EPERM, "and members of group operators");
}

static void test_reset(void **state)
{
	struct fixture *f = *state;
	struct records rs;
	struct raw r;

	fixture_tenant(f, 1, OTHER_UID, 0);
	f->stats.requests = 9;
	f->c.stats = (struct control_stats){ 10, 20, 30 };
	raw_request(&r, OOO_CTL_STATS_RESET);
	assert_true(fixture_handle(f, FIXTURE_AGENT_UID, &r));
	assert_int_equal(fixture_error(f), 0);
	f->stats.requests = 11;
	raw_request(&r, OOO_CTL_STATS_SHOW);
	assert_true(fixture_handle(f, 0, &r));
	rs = take(f);
	assert_int_equal(rs.nr, 2);
	assert_int_equal(rs.list[0].values[OOO_CTL_DISPATCHER_REQUESTS].num, 2);
	assert_int_equal(rs.list[0].values[OOO_CTL_DISPATCHER_CTL_CALLS].num, 1);
	assert_int_equal(rs.list[0].values[OOO_CTL_DISPATCHER_CTL_ERRORS].num, 0);
	assert_int_equal(rs.list[0].values[OOO_CTL_DISPATCHER_CTL_DROPS].num, 0);
	assert_int_equal(rs.list[1].values[OOO_CTL_USAGE_COMPLETED].num, 0);
	records_free(&rs);
}

/* ---- answers --------------------------------------------------------------------------------- */

static void all_fields_present(const struct record *r)
{
	for (int code = 1; code < OOO_CTL_MAX_FIELDS; code++) {
		const struct field *fl = &r->group->fields[code];

		if (fl->type != FIELD_NONE && fl->view != FIELD_LOCAL && !r->values[code].present)
			fail_msg("%s: %s is missing", r->group->key, fl->key);
	}
}

/* What the agent puts is what the table says: every field, of its type. */
static void test_every_field(void **state)
{
	const uint16_t types[] = { OOO_CTL_STATUS_SHOW, OOO_CTL_DEVICE_LIST, OOO_CTL_TENANT_LIST,
				   OOO_CTL_PROGRAM_LIST, OOO_CTL_STATS_SHOW };
	struct fixture *f = *state;
	struct records rs;
	struct raw r;
	size_t nr = 0;

	fixture_tenant(f, 1, 0, 1);
	for (unsigned i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		raw_request(&r, types[i]);
		assert_true(fixture_handle(f, 0, &r));
		rs = take(f);
		for (size_t j = 0; j < rs.nr; j++)
			all_fields_present(&rs.list[j]);
		nr += rs.nr;
		records_free(&rs);
	}
	assert_int_equal(nr, 6);
}

static void test_status_values(void **state)
{
	struct fixture *f = *state;
	struct records rs;
	struct value *v;
	struct raw r;

	fixture_tenant(f, 1, 0, 2);
	fixture_tenant(f, 2, OTHER_UID, 1);
	f->stats.requests = 500; /* in the second since the snapshot */
	f->stats.bundles = 100;
	f->stats.items = 250;
	f->stats.busy_ns = 500000000;
	raw_request(&r, OOO_CTL_STATUS_SHOW);
	assert_true(fixture_handle(f, OTHER_UID, &r));
	assert_int_equal(f->nr_sent, 1);
	assert_int_equal(last(f)->nlmsg_flags, 0);
	rs = take(f);
	assert_int_equal(rs.nr, 1);
	v = rs.list[0].values;
	assert_string_equal(v[OOO_CTL_STATUS_VERSION].str, OOO_RELEASE);
	assert_string_equal(v[OOO_CTL_STATUS_DEVICE].str, "sim");
	assert_int_equal(v[OOO_CTL_STATUS_UPTIME].num, 4000000000ull);
	assert_int_equal(v[OOO_CTL_STATUS_TENANTS].num, 2);
	assert_int_equal(v[OOO_CTL_STATUS_PROGRAMS].num, 3);
	assert_int_equal(v[OOO_CTL_STATUS_WINDOW].num, 1000000000);
	assert_int_equal(v[OOO_CTL_STATUS_REQUESTS_RATE].num, 500000);
	assert_int_equal(v[OOO_CTL_STATUS_MEAN_WIDTH].num, 2500);
	assert_int_equal(v[OOO_CTL_STATUS_BUSY].num, 25000); /* half of the time of two lanes */
	assert_int_equal(v[OOO_CTL_STATUS_WEIGHTS].num, 9 << 20);
	assert_int_equal(v[OOO_CTL_STATUS_ARENAS].num, 2 << 20);
	assert_true(v[OOO_CTL_STATUS_RSS].num > 1 << 16);
	records_free(&rs);
}

/* One call, following cursors; returns how many requests it took. */
static unsigned dump(struct fixture *f, uint16_t type, uid_t uid, const uint32_t *tenant,
		     struct records *all, void (*between)(struct fixture *f))
{
	uint64_t cursor = 0;
	bool more = false;
	unsigned calls = 0;

	do {
		struct nlattr *next;
		struct records rs;
		struct raw r;

		raw_request(&r, type);
		if (more)
			raw_u64(&r, OOO_CTL_A_CURSOR, cursor);
		if (tenant)
			raw_u32(&r, OOO_CTL_A_TENANT_ID, *tenant);
		assert_true(fixture_handle(f, uid, &r));
		calls++;
		assert_int_equal(last(f)->nlmsg_type, NLMSG_DONE);
		assert_true(f->nr_sent <= OOO_CTL_DUMP_PARTS + 1);
		for (unsigned i = 0; i < f->nr_sent; i++)
			assert_true(f->sent[i].nlh.nlmsg_flags & NLM_F_MULTI);
		rs = take(f);
		all->list = realloc(all->list, (all->nr + rs.nr + 1) * sizeof(*all->list));
		assert_non_null(all->list);
		if (rs.nr)
			memcpy(all->list + all->nr, rs.list, rs.nr * sizeof(*rs.list));
		all->nr += rs.nr;
		free(rs.list);
		next = nlmsg_find_attr(last(f), sizeof(int), OOO_CTL_A_CURSOR);
		more = next != NULL;
		if (more && calls > 1)
			assert_true(nla_get_u64(next) > cursor);
		cursor = more ? nla_get_u64(next) : 0;
		if (more && between)
			between(f);
	} while (more);
	return calls;
}

static void test_long_dump(void **state)
{
	struct fixture *f = *state;
	struct records all = { 0 };

	for (uint32_t id = 0; id < 2000; id++)
		fixture_tenant(f, 3 * id, 0, 0);
	assert_true(dump(f, OOO_CTL_TENANT_LIST, 0, NULL, &all, NULL) > 2);
	assert_int_equal(all.nr, 2000);
	for (uint32_t id = 0; id < 2000; id++)
		assert_int_equal(all.list[id].values[OOO_CTL_TENANT_ID].num, 3 * id);
	records_free(&all);
	assert_true(dump(f, OOO_CTL_STATS_SHOW, 0, NULL, &all, NULL) > 2);
	assert_int_equal(all.nr, 2001);
	for (uint32_t id = 0; id < 2000; id++)
		assert_int_equal(all.list[id + 1].values[OOO_CTL_USAGE_TENANT].num, 3 * id);
	records_free(&all);
}

static void leave(struct fixture *f)
{
	static unsigned n;

	for (unsigned i = n; i < n + 50; i++)
		registry_remove(&f->registry, &f->tenants[2 * i]->entry);
	n += 50;
}

/* Tenants that leave between two parts cost nobody else his place. */
static void test_dump_while_tenants_leave(void **state)
{
	struct fixture *f = *state;
	struct records all = { 0 };
	uint64_t before = 0;
	unsigned odd = 0;

	for (uint32_t id = 0; id < 2000; id++)
		fixture_tenant(f, id + 1, 0, 0);
	assert_true(dump(f, OOO_CTL_TENANT_LIST, 0, NULL, &all, leave) > 2);
	for (size_t i = 0; i < all.nr; i++) {
		uint64_t id = all.list[i].values[OOO_CTL_TENANT_ID].num;

		assert_true(id > before);
		before = id;
		odd += id % 2 == 0; /* the tenants at odd places stay */
	}
	assert_int_equal(odd, 1000);
	records_free(&all);
}

static void test_programs(void **state)
{
	struct fixture *f = *state;
	struct records all = { 0 };
	uint32_t tenant = 300;

	for (uint32_t id = 1; id <= 600; id++)
		fixture_tenant(f, id, id % 2 ? 0 : OTHER_UID, id % 5);
	assert_true(dump(f, OOO_CTL_PROGRAM_LIST, 0, NULL, &all, NULL) > 1);
	assert_int_equal(all.nr, 600 * 2);
	for (size_t i = 0, k = 0; i < 600; i++)
		for (size_t j = 0; j < (i + 1) % 5; j++, k++) {
			assert_int_equal(all.list[k].values[OOO_CTL_PROGRAM_TENANT].num, i + 1);
			assert_int_equal(all.list[k].values[OOO_CTL_PROGRAM_ID].num, j);
		}
	records_free(&all);
	dump(f, OOO_CTL_PROGRAM_LIST, OTHER_UID, NULL, &all, NULL);
	assert_int_equal(all.nr, 300 * 2);
	records_free(&all);
	tenant = 304;
	assert_int_equal(dump(f, OOO_CTL_PROGRAM_LIST, 0, &tenant, &all, NULL), 1);
	assert_int_equal(all.nr, 4);
	records_free(&all);
	tenant = 305;
	assert_int_equal(dump(f, OOO_CTL_PROGRAM_LIST, 0, &tenant, &all, NULL), 1);
	assert_int_equal(all.nr, 0);
	records_free(&all);
}

/* To somebody else it looks the same whether a tenant is not there or not his. */
static void test_programs_of_no_tenant(void **state)
{
	struct fixture *f = *state;
	char text[OOO_CTL_TEXT_BYTES];
	struct raw r;

	fixture_tenant(f, 1, 0, 1);
	raw_request(&r, OOO_CTL_PROGRAM_LIST);
	raw_u32(&r, OOO_CTL_A_TENANT_ID, 1);
	refused(f, &r, OTHER_UID, -ENOENT, "no tenant 1");
	snprintf(text, sizeof(text), "%s", fixture_error_text(f));
	registry_remove(&f->registry, &f->tenants[0]->entry);
	refused(f, &r, OTHER_UID, -ENOENT, "no tenant 1");
	assert_string_equal(text, fixture_error_text(f));
	raw_request(&r, OOO_CTL_PROGRAM_LIST);
	raw_u32(&r, OOO_CTL_A_TENANT_ID, UINT32_MAX);
	refused(f, &r, 0, -ENOENT, "no tenant 4294967295");
}

static void test_cursors_at_the_end(void **state)
{
	const uint64_t cursors[] = { 2, UINT32_MAX, 1ull << 32, UINT64_MAX };
	struct fixture *f = *state;
	struct records rs;
	struct raw r;

	fixture_tenant(f, 1, 0, 1);
	for (unsigned i = 0; i < 4; i++) {
		raw_request(&r, OOO_CTL_TENANT_LIST);
		raw_u64(&r, OOO_CTL_A_CURSOR, cursors[i]);
		assert_true(fixture_handle(f, 0, &r));
		rs = take(f);
		assert_int_equal(rs.nr, 0);
		assert_int_equal(last(f)->nlmsg_type, NLMSG_DONE);
		raw_request(&r, OOO_CTL_PROGRAM_LIST);
		raw_u64(&r, OOO_CTL_A_CURSOR, cursors[i]);
		assert_true(fixture_handle(f, 0, &r));
		rs = take(f);
		assert_int_equal(rs.nr, i < 2 ? 1 : i == 2 ? 1 : 0);
		records_free(&rs);
		assert_int_equal(last(f)->nlmsg_type, NLMSG_DONE);
	}
}

/* ---- readers and floods ---------------------------------------------------------------------- */

static void test_reader_that_does_not_read(void **state)
{
	struct fixture *f = *state;
	struct raw r;

	for (uint32_t id = 1; id < 500; id++)
		fixture_tenant(f, id, 0, 0);
	f->send_error = -EAGAIN;
	raw_request(&r, OOO_CTL_TENANT_LIST);
	assert_true(fixture_handle(f, 0, &r));
	/* Given up at the first message, no error sent after it. */
	assert_int_equal(f->nr_refused_sends, 1);
	assert_int_equal(f->c.stats.drops, 1);
	assert_int_equal(f->c.stats.errors, 0);
}

static void test_rate(void **state)
{
	struct sender from = fixture_sender(OTHER_UID), root = fixture_sender(0);
	struct fixture *f = *state;
	uint64_t now = FIXTURE_NOW;
	struct raw r;
	unsigned taken = 0;

	raw_request(&r, OOO_CTL_STATUS_SHOW);
	for (int i = 0; i < 5000; i++) {
		f->nr_sent = 0;
		taken += control_handle(&f->c, &from, r.data, r.bytes, now);
	}
	assert_int_equal(taken, 2 * OOO_CTL_RATE);
	assert_int_equal(fixture_error(f), -EBUSY);
	assert_non_null(strstr(fixture_error_text(f), "uid 5000 asks more than 500 times"));
	/* Another user is not held back, */
	f->nr_sent = 0;
	assert_true(control_handle(&f->c, &root, r.data, r.bytes, now));
	/* and in a tenth of a second a tenth of the rate is there again, however often he asks. */
	for (int i = 0; i < 1000; i++) {
		f->nr_sent = 0;
		now += 100000;
		taken += control_handle(&f->c, &from, r.data, r.bytes, now);
	}
	assert_int_equal(taken, 2 * OOO_CTL_RATE + OOO_CTL_RATE / 10);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(test_protocol_and_version),
		CASE(test_unknown_verbs),
		CASE(test_attributes),
		CASE(test_attributes_of_other_verbs),
		CASE(test_lengths),
		CASE(test_header),
		CASE(test_unanswered),
		CASE(test_set_tenant),
		CASE(test_set_by_name),
		CASE(test_kick_and_drain),
		CASE(test_permission_matrix),
		CASE(test_refused_reset_changes_nothing),
		CASE(test_reset),
		CASE(test_every_field),
		CASE(test_status_values),
		CASE(test_long_dump),
		CASE(test_dump_while_tenants_leave),
		CASE(test_programs),
		CASE(test_programs_of_no_tenant),
		CASE(test_cursors_at_the_end),
		CASE(test_reader_that_does_not_read),
		CASE(test_rate),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
