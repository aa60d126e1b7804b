/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the six stages share: the dispatcher's state. One thread touches it.
 *
 *   fetch -> fetched -> bind -> bound -> window -> policy -> bundle -> built -> dispatch -> device
 *   tenant's completion queue <- retire <--------------------------------------------------/
 */
#ifndef OOO_AGENT_FLOW_H
#define OOO_AGENT_FLOW_H

#include "agent/turn.h"

#define FETCH_BATCH  64 /* submissions of one tenant per turn */
#define RETIRE_BATCH 16 /* bundles per turn */

struct request_queue {
	struct request *head, *tail;
};

struct dispatcher {
	struct turn_config config;
	const struct device_ops *ops;
	struct device *dev;
	const struct device_caps *caps;
	struct mailbox *mb;
	uint64_t now_ns; /* read once a turn */

	struct tenant *tenants;
	struct tenant *unpublished; /* whose completions the next publish shows */
	struct request_queue fetched, bound;
	struct policy policy;
	uint32_t nr_requests; /* in flight, of all tenants */

	struct bundle *bundles; /* the pool */
	struct bundle *free_bundles;
	struct bundle *built_head, *built_tail; /* on their way to the device, in order */
	uint32_t nr_flying;                     /* bundles that the device holds */
	uint64_t queued_ns;                     /* predicted time of built and flying bundles */
	uint64_t bundle_seq;

	bool draining;
	struct mail *drain_mail;
	bool stop;

	int epoll_fd;
	pthread_t thread;
	struct turn_stats stats;
};

/* Each stage returns whether it did anything. */
bool fetch_run(struct dispatcher *d);
bool bind_run(struct dispatcher *d);
bool window_run(struct dispatcher *d);
bool bundle_run(struct dispatcher *d);
bool dispatch_run(struct dispatcher *d);
bool retire_run(struct dispatcher *d);

/* fetch.c */
void fetch_drop_tenant(struct dispatcher *d, struct tenant *t, enum ooo_status reason);

/* window.c: a step of r was issued: its successors become ready. */
void window_release(struct request *r, uint32_t step);
uint32_t window_take(struct request *r); /* r's next ready step; nr_ready must not be 0 */
uint32_t window_peek(const struct request *r);
/* Stop r: it issues no more steps and completes with this status, now or when none is flying. */
void window_kill(struct dispatcher *d, struct request *r, enum ooo_status status);
/* r's slot is free again: the next waiting request of the program takes it. */
void window_leave(struct dispatcher *d, struct request *r);

/* retire.c: post r's completion and free its record; post without a request (cancel replies). */
void retire_request(struct dispatcher *d, struct request *r);
void retire_post(struct dispatcher *d, struct tenant *t, const struct ooo_cqe *cqe);
void retire_publish(struct dispatcher *d);
void retire_bundle(struct dispatcher *d, struct bundle *b);

/* mail.c */
bool mail_run(struct dispatcher *d);
void mail_settle(struct dispatcher *d); /* return held mails whose condition has come */

static inline void queue_push(struct request_queue *q, struct request *r)
{
	r->next = NULL;
	if (q->tail)
		q->tail->next = r;
	else
		q->head = r;
	q->tail = r;
}

static inline struct request *queue_pop(struct request_queue *q)
{
	struct request *r = q->head;

	if (r) {
		q->head = r->next;
		if (!q->head)
			q->tail = NULL;
		r->next = NULL;
	}
	return r;
}

#endif
