// SPDX-License-Identifier: Apache-2.0
/* The verb that hands the metrics over, a piece of text a record. */
#include <errno.h>

#include "agent/control/handler.h"
#include "agent/watch/metrics.h"

static int fill_text(struct nl_msg *msg, const void *data)
{
	return nla_put_string(msg, OOO_CTL_METRICS_TEXT, data);
}

static int put_text(void *arg, const char *text, size_t bytes)
{
	return answer_put(arg, OOO_CTL_A_METRICS, fill_text, text);
}

int show_metrics(const struct call *call)
{
	struct metrics *m = metrics_take(call->c->registry, call->admin ? NULL : &call->from->uid,
					 call->now_ns);
	uint64_t at = call->cursor;
	struct answer r;
	int err;

	if (!m)
		return -ENOMEM;
	answer_init(&r, call->c, call->from, call->request, true);
	err = metrics_write(m, &at, put_text, &r);
	if (!err || err == -ENOSPC)
		err = answer_end(&r, err ? &at : NULL);
	answer_abort(&r);
	metrics_free(m);
	return err == -EAGAIN ? 0 : err;
}
