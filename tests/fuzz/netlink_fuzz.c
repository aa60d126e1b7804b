/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Control messages as any process may send them, a few to one input, against a registry of six
 * tenants. Whatever comes: the answer is whole and ends once, it holds nothing of another user's
 * tenants, and nothing changes for somebody who may not change it.
 *
 * Input: for each message one byte (who sends: an index), two bytes (length), then so many bytes.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/log.h"
#include "ctl/record.h"
#include "tests/unit/control/fixture.h"

#define MAX_MESSAGES 16

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uid_t users[] = { 0, FIXTURE_AGENT_UID, 5000, 5001 };

static void check(bool ok)
{
	if (!ok)
		abort();
}

/* Tenants 1, 5, ... are of users[0] and so on. */
static bool may_see(uid_t uid, uint64_t tenant)
{
	return uid == 0 || uid == FIXTURE_AGENT_UID || users[(tenant / 4) % 4] == uid;
}

static void check_record(int attr, struct nlattr *nest, uid_t uid)
{
	const struct group *group = group_find(attr);
	struct records rs = { 0 };

	check(group && !records_add(&rs, group, nest));
	for (int code = 1; code < OOO_CTL_MAX_FIELDS; code++)
		check(group->fields[code].type == FIELD_NONE ||
		      group->fields[code].view == FIELD_LOCAL || rs.list[0].values[code].present);
	/* The tenant's id is the first field of all three. */
	if (attr == OOO_CTL_A_TENANT || attr == OOO_CTL_A_PROGRAM || attr == OOO_CTL_A_USAGE)
		check(may_see(uid, rs.list[0].values[1].num));
	records_free(&rs);
}

static void check_answer(struct fixture *f, uid_t uid, const struct nlmsghdr *request)
{
	unsigned ends = 0; /* messages that end the answer: the last one alone */

	check(f->nr_sent >= 1 && f->nr_sent <= OOO_CTL_DUMP_PARTS + 1);
	for (unsigned i = 0; i < f->nr_sent; i++) {
		struct nlmsghdr *nlh = &f->sent[i].nlh;
		struct nlattr *nla;
		int rem;

		check(nlh->nlmsg_len == f->sent[i].bytes && nlh->nlmsg_seq == request->nlmsg_seq);
		check(!ends);
		ends += nlh->nlmsg_type == NLMSG_DONE || !(nlh->nlmsg_flags & NLM_F_MULTI);
		if (nlh->nlmsg_type != request->nlmsg_type)
			continue;
		nlmsg_for_each_attr(nla, nlh, 0, rem)
		{
			if (nla_is_nested(nla))
				check_record(nla_type(nla), nla, uid);
		}
		check(rem == 0);
	}
	check(ends == 1);
}

static void send_one(struct fixture *f, uid_t uid, const uint8_t *data, size_t bytes)
{
	uint64_t reset_before = f->c.history.base.at_ns;
	struct sender from = fixture_sender(uid);
	struct nlmsghdr nlh = { 0 };

	f->nr_sent = 0;
	f->stats.turns++;
	control_handle(&f->c, &from, data, bytes, FIXTURE_NOW + f->stats.turns);
	memcpy(&nlh, data, bytes < sizeof(nlh) ? bytes : sizeof(nlh));
	if (bytes < sizeof(nlh) || nlh.nlmsg_type < NLMSG_MIN_TYPE)
		check(!f->nr_sent);
	else
		check_answer(f, uid, &nlh);
	if (uid != 0 && uid != FIXTURE_AGENT_UID)
		check(f->c.history.base.at_ns == reset_before);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fixture *f = fixture_new();

	log_set_level(LOG_LEVEL_ERROR);
	for (uint32_t i = 0; i < 6; i++)
		fixture_tenant(f, 1 + 4 * i, users[i % 4], i % 5);
	for (int i = 0; i < MAX_MESSAGES && size >= 3; i++) {
		uid_t uid = users[data[0] % 4];
		size_t bytes = (size_t)(data[1] | data[2] << 8);
		uint8_t *exact;

		data += 3;
		size -= 3;
		if (bytes > size)
			bytes = size;
		/* Of its own size, so that a read beyond it is seen. */
		exact = malloc(bytes ? bytes : 1);
		check(exact != NULL);
		memcpy(exact, data, bytes);
		send_one(f, uid, exact, bytes);
		free(exact);
		data += bytes;
		size -= bytes;
	}
	fixture_free(f);
	return 0;
}
