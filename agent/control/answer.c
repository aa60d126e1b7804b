// SPDX-License-Identifier: Apache-2.0
/* Records into messages, messages to the asker. Nothing here waits. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "agent/control/handler.h"

void answer_init(struct answer *r, struct control *c, const struct sender *to,
		 const struct nlmsghdr *request, bool multi)
{
	*r = (struct answer){ .c = c, .to = to, .request = request, .multi = multi };
}

void answer_abort(struct answer *r)
{
	if (r->msg)
		nlmsg_free(r->msg);
	r->msg = NULL;
}

static struct nl_msg *message(const struct control *c, const struct nlmsghdr *request, int type,
			      int payload, int flags)
{
	struct nl_msg *msg = nlmsg_alloc_size(OOO_CTL_MSG_BYTES);

	if (!msg)
		return NULL;
	if (nlmsg_put(msg, c->port, request->nlmsg_seq, type, payload, flags))
		return msg;
	nlmsg_free(msg);
	return NULL;
}

static int transmit(struct control *c, const struct sender *to, struct nl_msg *msg)
{
	const struct nlmsghdr *nlh = nlmsg_hdr(msg);
	int err = c->send(c, to->port, nlh, nlh->nlmsg_len);

	nlmsg_free(msg);
	if (!err)
		return 0;
	c->stats.drops++;
	return -EAGAIN;
}

static int begin_part(struct answer *r)
{
	r->msg = message(r->c, r->request, r->request->nlmsg_type, 0, r->multi ? NLM_F_MULTI : 0);
	if (!r->msg)
		return -ENOMEM;
	r->nr_records = 0;
	r->nr_parts++;
	if (nla_put_u64(r->msg, OOO_CTL_A_AGENT_ID, r->c->agent_id)) {
		answer_abort(r);
		return -ENOMEM;
	}
	return 0;
}

static int send_part(struct answer *r)
{
	struct nl_msg *msg = r->msg;

	r->msg = NULL;
	return transmit(r->c, r->to, msg);
}

static bool try_put(struct answer *r, enum ooo_ctl_attr group, fill_fn fill, const void *data)
{
	struct nlattr *nest = nla_nest_start(r->msg, (int)group);

	if (!nest)
		return false;
	if (fill(r->msg, data) < 0 || nla_nest_end(r->msg, nest)) {
		nla_nest_cancel(r->msg, nest);
		return false;
	}
	r->nr_records++;
	return true;
}

int answer_put(struct answer *r, enum ooo_ctl_attr group, fill_fn fill, const void *data)
{
	int err;

	if (r->msg) {
		if (try_put(r, group, fill, data))
			return 0;
		if (!r->nr_records || !r->multi)
			return -EMSGSIZE;
		if (r->nr_parts == OOO_CTL_DUMP_PARTS)
			return -ENOSPC;
		err = send_part(r);
		if (err)
			return err;
	}
	err = begin_part(r);
	if (err)
		return err;
	return try_put(r, group, fill, data) ? 0 : -EMSGSIZE;
}

int answer_end(struct answer *r, const uint64_t *more)
{
	struct nl_msg *done;
	int err = 0, zero = 0;

	if (r->msg && r->nr_records)
		err = send_part(r);
	answer_abort(r);
	if (err || !r->multi)
		return err;
	done = message(r->c, r->request, NLMSG_DONE, 0, NLM_F_MULTI);
	if (!done)
		return -ENOMEM;
	if (nlmsg_append(done, &zero, sizeof(zero), NLMSG_ALIGNTO) ||
	    nla_put_u64(done, OOO_CTL_A_AGENT_ID, r->c->agent_id) ||
	    (more && nla_put_u64(done, OOO_CTL_A_CURSOR, *more))) {
		nlmsg_free(done);
		return -ENOMEM;
	}
	return transmit(r->c, r->to, done);
}

void answer_error(struct control *c, const struct sender *to, const struct nlmsghdr *request,
		  int err, const char *fmt, ...)
{
	struct nlmsgerr body = { .error = err, .msg = *request };
	char text[OOO_CTL_TEXT_BYTES];
	struct nl_msg *msg;
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (err)
		c->stats.errors++;
	msg = message(c, request, NLMSG_ERROR, 0, NLM_F_CAPPED | NLM_F_ACK_TLVS);
	if (!msg) {
		c->stats.drops++;
		return;
	}
	if (nlmsg_append(msg, &body, sizeof(body), NLMSG_ALIGNTO) ||
	    nla_put_string(msg, NLMSGERR_ATTR_MSG, text) ||
	    nla_put_u64(msg, OOO_CTL_ERR_AGENT_ID, c->agent_id)) {
		c->stats.drops++;
		nlmsg_free(msg);
		return;
	}
	transmit(c, to, msg);
}

int answer_one(const struct call *call, enum ooo_ctl_attr group, fill_fn fill, const void *data)
{
	struct answer r;
	int err;

	answer_init(&r, call->c, call->from, call->request, false);
	err = answer_put(&r, group, fill, data);
	if (!err)
		err = answer_end(&r, NULL);
	answer_abort(&r);
	return err == -EAGAIN ? 0 : err;
}

uint64_t milli(uint64_t part, uint64_t whole)
{
	return whole ? (uint64_t)((double)part * 1000 / (double)whole + 0.5) : 0;
}
