// SPDX-License-Identifier: Apache-2.0
/*
 * Mail from the door: tenants, programs and bindings come and go. The dispatcher owns what was
 * added until the mail that removes it goes back.
 */
#include <errno.h>
#include <sys/epoll.h>

#include "agent/flow/flow.h"
#include "agent/log.h"
#include "agent/tenant/errand.h"
#include "shared/abi/ring_sync.h"

static int tenant_add(struct dispatcher *d, struct tenant *t)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLET, .data.ptr = t };

	if (policy_tenant_add(&d->policy))
		return -ENOMEM;
	if (t->sq_eventfd >= 0 && epoll_ctl(d->epoll_fd, EPOLL_CTL_ADD, t->sq_eventfd, &ev)) {
		policy_tenant_del(&d->policy);
		return -errno;
	}
	if (d->draining)
		ring_store_release(&t->ring.ring->agent_state, OOO_AGENT_DRAINING);
	t->next = d->tenants;
	d->tenants = t;
	awake_add(d, t);
	if (d->record)
		record_name(d->record, d->now_ns, t, NULL);
	return 0;
}

static void tenant_gone(struct dispatcher *d, struct tenant *t)
{
	struct tenant **link = &d->tenants;

	while (*link != t)
		link = &(*link)->next;
	*link = t->next;
	policy_tenant_del(&d->policy);
	if (t->sq_eventfd >= 0)
		epoll_ctl(d->epoll_fd, EPOLL_CTL_DEL, t->sq_eventfd, NULL);
}

static void tenant_leave(struct dispatcher *d, struct tenant *t, struct mail *mail)
{
	struct request *r, *next;

	t->leaving = mail;
	d->nr_leaving++;
	hold_forget(d, t);
	admit_forget(d, t);
	awake_remove(d, t);
	for (r = t->all_requests; r; r = next) {
		next = r->all_next;
		window_kill(d, r, OOO_CANCELLED);
	}
}

static int program_del(struct program_inst *inst)
{
	if (inst->inflight)
		return -EBUSY;
	inst->tenant->programs[inst->id] = NULL;
	return 0;
}

static int bind_del(struct mail *mail)
{
	struct program_inst *inst = mail->inst;

	if (mail->index >= PROGRAM_MAX_BINDINGS || !inst->bindings[mail->index])
		return -ENOENT;
	if (inst->binding_inflight[mail->index])
		return -EBUSY;
	mail->binding = inst->bindings[mail->index];
	inst->bindings[mail->index] = NULL;
	return 0;
}

static void set_draining(struct dispatcher *d, bool draining)
{
	uint32_t state = draining ? OOO_AGENT_DRAINING : OOO_AGENT_RUNNING;

	d->draining = draining;
	for (struct tenant *t = d->tenants; t; t = t->next) {
		if (!t->dropped)
			ring_store_release(&t->ring.ring->agent_state, state);
	}
}

static void pause_flow(struct dispatcher *d, struct mail *mail)
{
	d->halted = true;
	d->pause_by_ns = d->now_ns + mail->index * 1000000ull;
	d->pause_mail = mail;
}

static void resume_flow(struct dispatcher *d)
{
	if (d->pause_mail)
		mailbox_return(d->mb, d->pause_mail);
	d->pause_mail = NULL;
	d->pause_by_ns = 0;
	d->halted = false;
	if (!d->lost)
		return;
	d->lost = false;
	d->gone = true;
	stat_add(&d->stats.gone, 1);
}

/* True: the mail can go back at once. */
static bool handle(struct dispatcher *d, struct mail *mail)
{
	mail->result = 0;
	switch (mail->type) {
	case MAIL_TENANT_ADD:
		mail->result = tenant_add(d, mail->tenant);
		break;
	case MAIL_TENANT_DEL:
		tenant_leave(d, mail->tenant, mail);
		return false;
	case MAIL_PROGRAM_ADD:
		mail->inst->tenant->programs[mail->inst->id] = mail->inst;
		stat_add(&mail->inst->tenant->meter.weight_bytes, mail->inst->weight_bytes);
		if (d->record)
			record_name(d->record, d->now_ns, mail->inst->tenant, mail->inst);
		break;
	case MAIL_PROGRAM_DEL:
		mail->result = program_del(mail->inst);
		break;
	case MAIL_BIND_ADD:
		mail->inst->bindings[mail->index] = mail->binding;
		break;
	case MAIL_BIND_DEL:
		mail->result = bind_del(mail);
		break;
	case MAIL_TENANT_PARAMS:
		policy_set_params(&d->policy, mail->tenant, mail->params);
		break;
	case MAIL_PARTITION_ADD:
	case MAIL_PARTITION_DEL:
		mail->result = partition_mail(d, mail);
		break;
	case MAIL_LOOK_REQUESTS:
		look_requests(d, mail->tenant, &mail->errand->look);
		break;
	case MAIL_LOOK_BUNDLES:
		look_bundles(d, &mail->errand->look);
		break;
	case MAIL_REFUSE:
		/* Who drains for good does not come back. */
		set_draining(d, mail->index || d->drained_for_good);
		break;
	case MAIL_DRAIN:
		d->drained_for_good = true;
		set_draining(d, true);
		d->drain_mail = mail;
		return false;
	case MAIL_PAUSE:
		pause_flow(d, mail);
		return false;
	case MAIL_RESUME:
		resume_flow(d);
		break;
	case MAIL_STOP:
		d->stop = true;
		break;
	default:
		mail->result = -EINVAL;
	}
	return true;
}

bool mail_run(struct dispatcher *d)
{
	struct mail *mail;
	bool did = false;

	while ((mail = mailbox_take(d->mb))) {
		did = true;
		if (handle(d, mail))
			mailbox_return(d->mb, mail);
	}
	return did;
}

void mail_settle(struct dispatcher *d)
{
	struct tenant *t = d->nr_leaving ? d->tenants : NULL;

	while (t) {
		struct tenant *next = t->next;
		struct mail *mail = t->leaving;

		if (mail && !t->inflight) {
			tenant_gone(d, t);
			t->leaving = NULL;
			d->nr_leaving--;
			mailbox_return(d->mb, mail);
		}
		t = next;
	}
	if (d->pause_mail && !d->nr_requests && !d->unpublished) {
		struct mail *mail = d->pause_mail;

		d->pause_mail = NULL;
		mailbox_return(d->mb, mail);
	}
	if (d->drain_mail && !d->nr_requests) {
		struct mail *mail = d->drain_mail;

		d->drain_mail = NULL;
		mailbox_return(d->mb, mail);
	}
}
