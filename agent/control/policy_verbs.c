// SPDX-License-Identifier: Apache-2.0
/*
 * The policy file over the control socket. Its text does not fit in a message: the asker, who waits
 * for the answer, holds it in a sealed memfd, and the agent opens that through /proc. Only
 * administrators get this far.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/control/handler.h"
#include "agent/control/partition.h"
#include "agent/control/policy_store.h"
#include "agent/log.h"

#define SEALS       (F_SEAL_SHRINK | F_SEAL_WRITE)
#define CHUNK_BYTES 2048
#define EMPTY_TEXT  "{\n  \"defaults\": {},\n  \"rules\": []\n}\n"

/* ---- reading --------------------------------------------------------------------------------- */

static int parse_fd(int fd, struct policy_file **out, char *why, size_t why_bytes)
{
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;
	void *text;
	int err;

	snprintf(why, why_bytes, "POLICY_FD is no sealed memfd of a policy file");
	if (seals < 0 || (seals & SEALS) != SEALS || fstat(fd, &st) || st.st_size <= 0 ||
	    st.st_size > POLICY_FILE_MAX)
		return -EBADMSG;
	text = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (text == MAP_FAILED)
		return -errno;
	err = policy_file_parse(text, (size_t)st.st_size, out, why, why_bytes);
	munmap(text, (size_t)st.st_size);
	return err == -EINVAL ? -EBADMSG : err;
}

/* The asker's file; his process cannot be another by now, as he waits for the answer. */
static int take_file(const struct call *call, struct policy_file **out, char *why, size_t why_bytes)
{
	char path[64];
	int fd, err;

	if (!call_has(call, OOO_CTL_A_POLICY_FD)) {
		snprintf(why, why_bytes, "attribute POLICY_FD is missing");
		return -EINVAL;
	}
	snprintf(path, sizeof(path), "/proc/%d/fd/%llu", (int)call->from->pid,
		 (unsigned long long)call->value[OOO_CTL_A_POLICY_FD]);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0) {
		err = -errno;
		snprintf(why, why_bytes,
			 "the agent cannot read the file through %s: %s; ask as root or as the "
			 "agent's user",
			 path, strerror(-err));
		return err;
	}
	err = parse_fd(fd, out, why, why_bytes);
	close(fd);
	return err;
}

static int refused(const struct call *call, int err, const char *why)
{
	answer_error(call->c, call->from, call->request, err, "%s", why);
	return 0;
}

/* ---- show, save ------------------------------------------------------------------------------ */

static int fill_text(struct nl_msg *msg, const void *data)
{
	return nla_put_string(msg, OOO_CTL_POLICY_TEXT, data);
}

/* The cursor is a position in the text. Under the lock all the while: answers are sent without
 * waiting, and nobody but this thread changes the file. */
int policy_show(const struct call *call)
{
	const struct policy_file *f = call->c->registry->policy;
	const char *text = EMPTY_TEXT;
	size_t bytes = strlen(EMPTY_TEXT);
	uint64_t at = call->cursor;
	char chunk[CHUNK_BYTES + 1];
	struct answer r;
	int err = 0;

	if (f)
		text = policy_file_text(f, &bytes);
	answer_init(&r, call->c, call->from, call->request, true);
	while (at < bytes) {
		size_t n = bytes - at < CHUNK_BYTES ? bytes - at : CHUNK_BYTES;

		memcpy(chunk, text + at, n);
		chunk[n] = '\0';
		err = answer_put(&r, OOO_CTL_A_POLICY, fill_text, chunk);
		if (err)
			break;
		at += n;
	}
	if (!err || err == -ENOSPC)
		err = answer_end(&r, err ? &at : NULL);
	answer_abort(&r);
	return err == -EAGAIN ? 0 : err;
}

/* ---- diff ------------------------------------------------------------------------------------ */

static int fill_change(struct nl_msg *msg, const void *data)
{
	const struct policy_change *change = data;
	char rule[24] = "defaults";

	if (change->rule >= 0)
		snprintf(rule, sizeof(rule), "%d", change->rule);
	NLA_PUT_U32(msg, OOO_CTL_CHANGE_TENANT, change->tenant);
	NLA_PUT_STRING(msg, OOO_CTL_CHANGE_NAME, change->name);
	NLA_PUT_U32(msg, OOO_CTL_CHANGE_USER, change->uid);
	NLA_PUT_STRING(msg, OOO_CTL_CHANGE_RULE, rule);
	NLA_PUT_STRING(msg, OOO_CTL_CHANGE_CHANGE, change->text);
	return 0;

nla_put_failure:
	return -EMSGSIZE;
}

static bool change_from(struct registry *r, const struct policy_file *f, uint64_t id,
			struct policy_change *change)
{
	bool found;

	if (id > UINT32_MAX)
		return false;
	registry_lock(r);
	found = registry_policy_from(r, f, (uint32_t)id, change);
	registry_unlock(r);
	return found;
}

static int check_partitions(struct registry *r, const struct policy_file *f, char *why,
			    size_t why_bytes)
{
	int err;

	registry_lock(r);
	err = registry_policy_check(r, f, why, why_bytes);
	registry_unlock(r);
	return err;
}

int policy_diff(const struct call *call)
{
	struct registry *registry = call->c->registry;
	char why[POLICY_WHY_BYTES];
	struct policy_change change;
	uint64_t id = call->cursor;
	struct policy_file *f = NULL;
	struct answer r;
	int err = take_file(call, &f, why, sizeof(why));

	if (!err)
		err = check_partitions(registry, f, why, sizeof(why));
	if (err) {
		policy_file_free(f);
		return refused(call, err, why);
	}
	answer_init(&r, call->c, call->from, call->request, true);
	for (; change_from(registry, f, id, &change); id = (uint64_t)change.tenant + 1) {
		id = change.tenant;
		err = answer_put(&r, OOO_CTL_A_CHANGE, fill_change, &change);
		if (err)
			break;
	}
	if (!err || err == -ENOSPC)
		err = answer_end(&r, err ? &id : NULL);
	answer_abort(&r);
	policy_file_free(f);
	return err == -EAGAIN ? 0 : err;
}

/* ---- load ------------------------------------------------------------------------------------ */

/* In force from here on. What it changed in why. */
static void put_in_force(struct registry *registry, struct policy_file *f, char *why,
			 size_t why_bytes)
{
	struct policy_partition old[POLICY_MAX_PARTITIONS];
	uint32_t nr_old, rules = policy_file_rules(f);
	const struct policy_partition *p;
	unsigned changed, kept;

	registry_lock(registry);
	p = policy_file_partitions(registry->policy, &nr_old);
	if (nr_old)
		memcpy(old, p, nr_old * sizeof(*p));
	/* Anew: somebody may have connected. He can lack a partition, which he then does not get, as
	 * if he came later. */
	registry_policy_check(registry, f, why, why_bytes);
	changed = registry_policy_load(registry, f);
	registry_unlock(registry);
	kept = partitions_drop(registry, old, nr_old, f);
	snprintf(why, why_bytes, "%u rules", rules);
	event_post(EVENT_POLICY_LOADED, NULL, 0, changed, why);
	log_info("control: a policy of %u rules is in force, %u tenants changed", rules, changed);
	snprintf(why, why_bytes, "%u rules, %u tenants changed%s", rules, changed,
		 kept ? "; partitions of the policy before stay, as tenants are in them" : "");
}

int policy_load(const struct call *call)
{
	struct registry *registry = call->c->registry;
	const char *path = call->c->config.policy_path;
	struct partitions_made made;
	char why[POLICY_WHY_BYTES];
	struct policy_file *f = NULL;
	int err = take_file(call, &f, why, sizeof(why));

	if (!err)
		err = check_partitions(registry, f, why, sizeof(why));
	if (!err)
		err = partitions_of_policy(registry, f, &made, why, sizeof(why));
	if (err)
		goto out;
	/* What cannot be kept does not come into force. */
	if (path)
		err = policy_store_write(path, f, why, sizeof(why));
	if (err) {
		partitions_undo(registry, &made);
		goto out;
	}
	put_in_force(registry, f, why, sizeof(why));
	f = NULL; /* the registry's */
out:
	policy_file_free(f);
	return refused(call, err, why);
}
