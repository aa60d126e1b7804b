// SPDX-License-Identifier: Apache-2.0
/*
 * Who may change things, and how often anybody may ask.
 *
 * A datagram's credentials hold the sender's uid and primary gid; supplementary groups do not travel.
 * Membership therefore is what the user database says of the uid, as sudo does it, remembered for a
 * while because the database may be a slow network service.
 */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

#include "agent/control/handler.h"
#include "agent/log.h"

#define NSS_BYTES  65536 /* for one entry of the user database */
#define MAX_GROUPS 1024  /* of one user */

int permit_init(struct permit *p, const char *group, uid_t agent_uid)
{
	struct group entry, *found = NULL;
	char *buf;
	int err;

	memset(p, 0, sizeof(*p));
	p->agent_uid = agent_uid;
	if (!group)
		return 0;
	buf = malloc(NSS_BYTES);
	if (!buf)
		return -ENOMEM;
	err = getgrnam_r(group, &entry, buf, NSS_BYTES, &found);
	if (found) {
		p->has_group = true;
		p->group = found->gr_gid;
	}
	free(buf);
	if (found)
		return 0;
	log_error("control: there is no group '%s'%s%s: create it, or name another with --group",
		  group, err ? ": " : "", err ? strerror(err) : "");
	return err ? -err : -ENOENT;
}

static bool database_member(uid_t uid, gid_t group)
{
	struct passwd entry, *found = NULL;
	gid_t groups[MAX_GROUPS];
	int nr = MAX_GROUPS;
	bool member = false;
	char *buf = malloc(NSS_BYTES);

	if (!buf)
		return false;
	if (getpwuid_r(uid, &entry, buf, NSS_BYTES, &found) || !found)
		goto out;
	if (getgrouplist(found->pw_name, found->pw_gid, groups, &nr) < 0)
		nr = MAX_GROUPS; /* he is in more; these were filled in */
	for (int i = 0; i < nr && !member; i++)
		member = groups[i] == group;
out:
	free(buf);
	return member;
}

static bool group_member(struct permit *p, uid_t uid, uint64_t now_ns)
{
	struct permit_answer *a = NULL;

	for (unsigned i = 0; i < PERMIT_CACHE; i++)
		if (p->cache[i].known && p->cache[i].uid == uid)
			a = &p->cache[i];
	if (a && now_ns - a->asked_ns < PERMIT_CACHE_NS)
		return a->member;
	if (!a)
		a = &p->cache[p->next_cache++ % PERMIT_CACHE];
	a->uid = uid;
	a->known = true;
	a->asked_ns = now_ns;
	a->member = database_member(uid, p->group);
	return a->member;
}

bool permit_admin(struct permit *p, const struct sender *from, uint64_t now_ns)
{
	if (from->uid == 0 || from->uid == p->agent_uid)
		return true;
	if (!p->has_group)
		return false;
	return from->gid == p->group || group_member(p, from->uid, now_ns);
}

/* Without a look into the user database, which takes longer than what the rate holds off. */
uint32_t permit_rate_of(const struct permit *p, const struct sender *from)
{
	if (from->uid == 0 || from->uid == p->agent_uid || (p->has_group && from->gid == p->group))
		return OOO_CTL_ADMIN_RATE;
	return OOO_CTL_RATE;
}

bool permit_rate(struct permit *p, const struct sender *from, uint64_t now_ns)
{
	const uint64_t rate = permit_rate_of(p, from), full = 2000 * rate;
	struct permit_bucket *b = &p->buckets[from->uid % PERMIT_BUCKETS];
	uint64_t elapsed_us = (now_ns - b->filled_ns) / 1000;

	/* Two seconds fill it; the bound also keeps the product small. */
	if (!b->filled_ns || elapsed_us >= 2000000)
		b->millitokens = full;
	else
		b->millitokens += elapsed_us * rate / 1000;
	if (b->millitokens > full)
		b->millitokens = full;
	/* What the division left over stays for the next time. */
	if (!b->filled_ns || elapsed_us)
		b->filled_ns = now_ns;
	if (b->millitokens < 1000)
		return false;
	b->millitokens -= 1000;
	return true;
}
