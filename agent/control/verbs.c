// SPDX-License-Identifier: Apache-2.0
/*
 * One datagram: copied once, checked whole, then its verb's handler. The order of the checks is part
 * of the protocol: what is not ours is told so before what is malformed, that before what is not
 * allowed.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "agent/control/handler.h"
#include "agent/log.h"

struct verb {
	const char *name;
	uint8_t access; /* enum ooo_ctl_access */
	uint8_t reply;  /* enum ooo_ctl_reply */
	int (*run)(const struct call *call);
};

#define RUN_STATUS_SHOW    show_status
#define RUN_DEVICE_LIST    show_devices
#define RUN_TENANT_LIST    show_tenants
#define RUN_PROGRAM_LIST   show_programs
#define RUN_PROGRAM_SHOW   show_steps
#define RUN_REQUEST_LIST   show_requests
#define RUN_BUNDLE_LIST    show_bundles
#define RUN_STATS_SHOW     show_stats
#define RUN_STATS_RESET    change_stats
#define RUN_TENANT_SET     change_tenant
#define RUN_TENANT_SHOW    show_params
#define RUN_TENANT_KICK    change_kick
#define RUN_PARTITION_LIST show_partitions
#define RUN_PARTITION_ADD  partition_add
#define RUN_PARTITION_DEL  partition_del
#define RUN_DRAIN_START    change_drain
#define RUN_RESUME_START   change_resume
#define RUN_RESTART_START  change_process
#define RUN_METRICS_SHOW   show_metrics
#define RUN_POLICY_SHOW    policy_show
#define RUN_POLICY_DIFF    policy_diff
#define RUN_POLICY_LOAD    policy_load
#define RUN_POLICY_SAVE    policy_show
#define RUN_MONITOR_SHOW   show_events
#define RUN_ADMIT_ASK      admit_ask

/* By type less OOO_CTL_TYPE_BASE. */
static const struct verb verbs[] = {
#define VERB(NAME, OBJECT, word, code, ACCESS, REPLY, help)                                        \
	[code] = { #NAME, OOO_CTL_##ACCESS, OOO_CTL_##REPLY, RUN_##NAME },
#include "shared/abi/verbs.def"
};

#define NR_REQUEST_ATTRS (OOO_CTL_A_PROGRAM_NAME + 1)
#define NUMBER(kind, n)                                                                            \
	{                                                                                          \
		.type = kind, .minlen = n, .maxlen = n                                             \
	}
#define TEXT                                                                                       \
	{                                                                                          \
		.type = NLA_STRING, .minlen = 0, .maxlen = OOO_NAME_BYTES                          \
	}

/* Exact lengths. A request has no AGENT_ID. */
static const struct nla_policy policy[NR_REQUEST_ATTRS] = {
	[OOO_CTL_A_MAGIC] = NUMBER(NLA_U32, 4),        [OOO_CTL_A_VERSION] = NUMBER(NLA_U32, 4),
	[OOO_CTL_A_CURSOR] = NUMBER(NLA_U64, 8),       [OOO_CTL_A_TENANT_ID] = NUMBER(NLA_U32, 4),
	[OOO_CTL_A_WEIGHT] = NUMBER(NLA_U32, 4),       [OOO_CTL_A_NAME] = TEXT,
	[OOO_CTL_A_CLASS] = NUMBER(NLA_U64, 8),        [OOO_CTL_A_SLO] = NUMBER(NLA_U64, 8),
	[OOO_CTL_A_ADMISSION] = NUMBER(NLA_U64, 8),    [OOO_CTL_A_ISOLATE] = NUMBER(NLA_U64, 8),
	[OOO_CTL_A_INFLIGHT] = NUMBER(NLA_U64, 8),     [OOO_CTL_A_RATE] = NUMBER(NLA_U64, 8),
	[OOO_CTL_A_SM_MIN] = NUMBER(NLA_U64, 8),       [OOO_CTL_A_SM_MAX] = NUMBER(NLA_U64, 8),
	[OOO_CTL_A_MEMORY] = NUMBER(NLA_U64, 8),       [OOO_CTL_A_PARTITION] = TEXT,
	[OOO_CTL_A_POLICY_FD] = NUMBER(NLA_U64, 8),    [OOO_CTL_A_SMS] = NUMBER(NLA_U64, 8),
	[OOO_CTL_A_DEVICE_INDEX] = NUMBER(NLA_U64, 8), [OOO_CTL_A_PROGRAM_NAME] = TEXT,
};

static const char *const attr_names[NR_REQUEST_ATTRS] = {
	[OOO_CTL_A_MAGIC] = "MAGIC",         [OOO_CTL_A_VERSION] = "VERSION",
	[OOO_CTL_A_CURSOR] = "CURSOR",       [OOO_CTL_A_TENANT_ID] = "TENANT",
	[OOO_CTL_A_WEIGHT] = "WEIGHT",       [OOO_CTL_A_NAME] = "NAME",
	[OOO_CTL_A_CLASS] = "CLASS",         [OOO_CTL_A_SLO] = "SLO",
	[OOO_CTL_A_ADMISSION] = "ADMISSION", [OOO_CTL_A_ISOLATE] = "ISOLATE",
	[OOO_CTL_A_INFLIGHT] = "INFLIGHT",   [OOO_CTL_A_RATE] = "RATE",
	[OOO_CTL_A_SM_MIN] = "SM_MIN",       [OOO_CTL_A_SM_MAX] = "SM_MAX",
	[OOO_CTL_A_MEMORY] = "MEMORY",       [OOO_CTL_A_PARTITION] = "PARTITION",
	[OOO_CTL_A_POLICY_FD] = "POLICY_FD", [OOO_CTL_A_SMS] = "SMS",
	[OOO_CTL_A_DEVICE_INDEX] = "DEVICE", [OOO_CTL_A_PROGRAM_NAME] = "PROGRAM_NAME",
};

int refuse(struct refusal *why, int err, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(why->text, sizeof(why->text), fmt, args);
	va_end(args);
	why->err = err;
	return err;
}

static int check_attr(struct nlattr *nla, struct nlattr **tb, struct refusal *why)
{
	int type = nla->nla_type; /* with its flag bits: a request has no nests */

	if (type >= NR_REQUEST_ATTRS || !attr_names[type])
		return refuse(why, -EINVAL, "attribute %d is not known in requests", type);
	if (tb[type])
		return refuse(why, -EINVAL, "attribute %s is given twice", attr_names[type]);
	if (!nla_validate(nla, nla->nla_len, NR_REQUEST_ATTRS - 1, policy)) {
		tb[type] = nla;
		return 0;
	}
	if (policy[type].type == NLA_STRING)
		return refuse(why, -EINVAL,
			      "attribute %s is no text with its end of %u bytes at most",
			      attr_names[type], policy[type].maxlen);
	return refuse(why, -EINVAL, "attribute %s has %d bytes, not %u", attr_names[type],
		      nla_len(nla), policy[type].maxlen);
}

/*
 * Another protocol or version is told so even if nothing else of it makes sense here, so MAGIC and
 * VERSION are looked at first.
 */
static int check_protocol(struct nlmsghdr *nlh, struct refusal *why)
{
	struct nlattr *magic = nlmsg_find_attr(nlh, 0, OOO_CTL_A_MAGIC);
	struct nlattr *version = nlmsg_find_attr(nlh, 0, OOO_CTL_A_VERSION);

	if (!magic || nla_len(magic) != 4 || nla_get_u32(magic) != OOO_CTL_MAGIC)
		return refuse(why, -EPROTO, "this is not a request of the OoO control protocol");
	if (!version || nla_len(version) != 4)
		return refuse(why, -EPROTO, "the request does not say its version");
	if (nla_get_u32(version) != OOO_CTL_VERSION)
		return refuse(why, -EPROTONOSUPPORT,
			      "the agent speaks control protocol %u, the request is of version %u: "
			      "use the ooo-ctl of the agent's release (%s)",
			      OOO_CTL_VERSION, nla_get_u32(version), OOO_RELEASE);
	return 0;
}

static int check_attrs(struct nlmsghdr *nlh, struct nlattr **tb, struct refusal *why)
{
	int rem = nlmsg_attrlen(nlh, 0), err;
	struct nlattr *nla = nlmsg_attrdata(nlh, 0);

	for (; nla_ok(nla, rem); nla = nla_next(nla, &rem)) {
		err = check_attr(nla, tb, why);
		if (err)
			return err;
	}
	if (rem > 0)
		return refuse(why, -EINVAL, "%d bytes after the last attribute make no attribute",
			      rem);
	return 0;
}

static bool takes(unsigned type, int attr)
{
#define ARG(VERB_, NAME, attr_, word, VALUE, TYPE, min, max, help)                                 \
	if (attr == (attr_) && type == OOO_CTL_##VERB_)                                            \
		return true;
#include "shared/abi/verbs.def"
	/* Who may be named may be numbered. */
	return attr == OOO_CTL_A_TENANT_ID && takes(type, OOO_CTL_A_NAME);
}

static int check_verb(const struct nlmsghdr *nlh, const struct verb *v, struct nlattr *const *tb,
		      struct refusal *why)
{
	unsigned want = NLM_F_REQUEST | (v->reply == OOO_CTL_DUMP ? NLM_F_DUMP : 0);

	if ((nlh->nlmsg_flags & ~NLM_F_ACK) != want)
		return refuse(why, -EINVAL, "%s takes the flags 0x%x, not 0x%x", v->name, want,
			      nlh->nlmsg_flags);
	if (tb[OOO_CTL_A_CURSOR] && v->reply != OOO_CTL_DUMP)
		return refuse(why, -EINVAL, "attribute CURSOR is not for %s", v->name);
	for (int attr = OOO_CTL_A_TENANT_ID; attr < NR_REQUEST_ATTRS; attr++) {
		if (tb[attr] && !takes(nlh->nlmsg_type, attr))
			return refuse(why, -EINVAL, "attribute %s is not for %s", attr_names[attr],
				      v->name);
	}
	return 0;
}

static const struct verb *find_verb(unsigned type)
{
	unsigned code = type - OOO_CTL_TYPE_BASE;

	return code < sizeof(verbs) / sizeof(verbs[0]) && verbs[code].run ? &verbs[code] : NULL;
}

/* What a verb's error means to the asker, unless it has said so itself. */
static int explain(const struct call *call, const struct verb *v, int err, struct refusal *why)
{
	if (!err || why->err)
		return err;
	if (err == -ENOENT && call_has(call, OOO_CTL_A_NAME))
		return refuse(why, err, "there is no tenant '%s': see `ooo-ctl tenant list`",
			      call->name);
	if (err == -ENOENT)
		return refuse(why, err, "there is no tenant %llu: see `ooo-ctl tenant list`",
			      (unsigned long long)call->value[OOO_CTL_A_TENANT_ID]);
	return refuse(why, err, "%s: %s", v->name, strerror(-err));
}

static int run(struct call *call, const struct verb *v, struct refusal *why)
{
	const struct sender *from = call->from;

	call->admin =
		v->access != OOO_CTL_READ && permit_admin(&call->c->permit, from, call->now_ns);
	if (v->access == OOO_CTL_CHANGE) {
		if (!call->admin) {
			log_tenant(LOG_LEVEL_WARN, "control: refused %s to uid %u (pid %d)",
				   v->name, (unsigned)from->uid, (int)from->pid);
			return refuse(why, -EPERM,
				      "only root, the agent's own user%s%s may do this",
				      call->c->config.group ? " and members of group " : "",
				      call->c->config.group ? call->c->config.group : "");
		}
		log_info("control: %s by uid %u (pid %d)", v->name, (unsigned)from->uid,
			 (int)from->pid);
	}
	return explain(call, v, v->run(call), why);
}

/* As ooo-ctl and tenants write names: printable, and ended. */
static int take_text(char out[OOO_NAME_BYTES], int attr, const struct nlattr *nla,
		     struct refusal *why)
{
	const char *text = nla_data(nla);
	int bytes = nla_len(nla);

	if (bytes < 1 || text[bytes - 1] || strlen(text) != (size_t)bytes - 1)
		return refuse(why, -EINVAL, "attribute %s is no text with its end",
			      attr_names[attr]);
	memcpy(out, text, (size_t)bytes);
	return 0;
}

static int take_args(struct call *call, struct nlattr *const *tb, struct refusal *why)
{
	int err = 0;

	for (int attr = OOO_CTL_A_TENANT_ID; attr < NR_REQUEST_ATTRS && !err; attr++) {
		if (!tb[attr])
			continue;
		call->has |= 1ull << attr;
		if (attr == OOO_CTL_A_NAME)
			err = take_text(call->name, attr, tb[attr], why);
		else if (attr == OOO_CTL_A_PARTITION)
			err = take_text(call->partition, attr, tb[attr], why);
		else if (attr == OOO_CTL_A_PROGRAM_NAME)
			err = take_text(call->program, attr, tb[attr], why);
		else if (nla_len(tb[attr]) == 4)
			call->value[attr] = nla_get_u32(tb[attr]);
		else
			call->value[attr] = nla_get_u64(tb[attr]);
	}
	return err;
}

static int handle(struct call *call, struct nlmsghdr *nlh, size_t bytes, struct refusal *why)
{
	struct nlattr *tb[NR_REQUEST_ATTRS] = { NULL };
	const struct verb *v;
	int err;

	if (bytes > OOO_CTL_MAX_REQUEST)
		return refuse(why, -EINVAL, "the request has %zu bytes, more than %u", bytes,
			      OOO_CTL_MAX_REQUEST);
	if (nlh->nlmsg_len != bytes)
		return refuse(why, -EINVAL, "the header says %u bytes of a datagram of %zu",
			      nlh->nlmsg_len, bytes);
	if (nlh->nlmsg_pid && nlh->nlmsg_pid != call->from->port)
		return refuse(why, -EINVAL, "the header says port %u, the kernel says %u",
			      nlh->nlmsg_pid, call->from->port);
	err = check_protocol(nlh, why);
	if (err)
		return err;
	err = check_attrs(nlh, tb, why);
	if (err)
		return err;
	v = find_verb(nlh->nlmsg_type);
	if (!v)
		return refuse(why, -EOPNOTSUPP, "there is no verb with message type 0x%x",
			      nlh->nlmsg_type);
	err = check_verb(nlh, v, tb, why);
	if (err)
		return err;
	if (tb[OOO_CTL_A_CURSOR]) {
		call->has_cursor = true;
		call->cursor = nla_get_u64(tb[OOO_CTL_A_CURSOR]);
	}
	err = take_args(call, tb, why);
	if (err)
		return err;
	return run(call, v, why);
}

bool control_handle(struct control *c, const struct sender *from, const void *data, size_t bytes,
		    uint64_t now_ns)
{
	union {
		struct nlmsghdr nlh;
		uint8_t bytes[OOO_CTL_MAX_REQUEST];
	} copy;
	struct refusal why = { 0 };
	struct call call = {
		.c = c, .from = from, .request = &copy.nlh, .now_ns = now_ns, .why = &why
	};

	c->stats.calls++;
	if (bytes < sizeof(copy.nlh)) {
		c->stats.drops++;
		return true;
	}
	memset(&copy, 0, sizeof(copy));
	memcpy(&copy, data, bytes < sizeof(copy) ? bytes : sizeof(copy));
	/* Answering an answer would never end. */
	if (copy.nlh.nlmsg_type < NLMSG_MIN_TYPE) {
		c->stats.drops++;
		return true;
	}
	if (!permit_rate(&c->permit, from, now_ns)) {
		answer_error(c, from, &copy.nlh, -EBUSY,
			     "uid %u asks more than %u times a second: wait, then ask again",
			     (unsigned)from->uid, (unsigned)permit_rate_of(&c->permit, from));
		return false;
	}
	if (handle(&call, &copy.nlh, bytes, &why))
		answer_error(c, from, &copy.nlh, why.err, "%s", why.text);
	return true;
}
