/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the six stages share: the dispatcher's state. One thread touches it.
 *
 *   fetch -> fetched -> bind -> bound -> window -> policy -> bundle -> built -> dispatch -> device
 *   tenant's completion queue <- retire <--------------------------------------------------/
 */
#ifndef OOO_AGENT_FLOW_H
#define OOO_AGENT_FLOW_H

#include "agent/flow/lane.h"
#include "agent/turn.h"
#include "agent/watch/record.h"
#include "agent/watch/stages.h"
#include "agent/watch/stall.h"

#define FETCH_BATCH  64 /* submissions of one tenant per turn */
#define RETIRE_BATCH 16 /* bundles per turn */
#define BUNDLE_BATCH 8  /* bundles of one lane per turn: then look at the rings again */

struct request_queue {
	struct request *head, *tail;
};

/* An in-order queue of the device. A request keeps its lane from activation to its end: order is
 * what carries its dependencies. */
struct lane {
	struct bundle *built_head, *built_tail; /* on their way to the device, in order */
	uint32_t nr_bundles;                    /* built and flying, at most lane_depth + 1 */
	uint64_t held_ns; /* since when its queue is held for company; 0: it is not */
};

/* Tenants that are about to submit, in the order in which their last request completed. */
struct company {
	struct tenant *head, *tail;
	uint32_t nr;
};

/* How much longer work takes than if `width` items always ran side by side: agent/flow/admit.c. */
struct spread {
	uint64_t start_ns; /* of this sample */
	uint64_t work_ns;  /* done in it, as predicted */
	uint32_t factor;   /* 1024ths, at least SPREAD_ONE */
};

#define SPREAD_ONE 1024u

struct dispatcher {
	struct turn_config config;
	const struct device_ops *ops;
	struct device *dev;
	const struct device_caps *caps;
	struct mailbox *mb;
	uint64_t now_ns; /* read once a turn */

	struct tenant *tenants;
	struct tenant *awake, *awake_tail; /* of those, the ones that fetch looks at */
	uint32_t nr_dozing;                /* that an eventfd wakes */
	uint64_t wake_poll_ns;             /* look for their wake-ups then */
	uint32_t nr_leaving;
	struct tenant *unpublished; /* whose completions the next publish shows */
	struct request_queue fetched, bound;
	struct policy policy;
	struct promises promises;
	struct company company;
	struct tenant *wanting, *wanting_tail; /* refused lately, the longest ago first */
	uint64_t backlog_ns;                   /* predicted work that is bound and not issued */
	struct spread spread;
	uint32_t nr_urgent;   /* active requests of latency tenants, or with a deadline */
	uint32_t nr_requests; /* in flight, of all tenants */

	struct bundle *bundles; /* the pool; those in use have items */
	uint32_t nr_bundles;
	struct bundle *free_bundles;
	struct lane lanes[DEVICE_MAX_LANES];
	struct lane_load loads[DEVICE_MAX_LANES];
	unsigned nr_lanes;
	unsigned nr_base_lanes; /* the first ones, which belong to no partition */
	unsigned width;         /* items that run side by side */
	uint32_t nr_flying;     /* bundles that the device holds */
	uint64_t bundle_seq;
	uint64_t build_seq;
	uint64_t request_seq;
	bool resetting; /* an error took what the device held: build nothing until it is empty */
	bool gone;      /* the device is lost for good: bind refuses what comes */
	bool lost;      /* the device is, and the door may mend it */
	bool halted;    /* fetch nothing: paused, or lost */
	uint64_t pause_by_ns; /* what is in flight then fails; 0: waits */
	struct mail *pause_mail;

	bool draining;         /* new work is refused */
	bool drained_for_good; /* the agent ends */
	struct mail *drain_mail;
	bool stop;

	int epoll_fd;
	pthread_t thread;
	struct record *record; /* the flight recorder; NULL: off */
	struct stall stall;    /* of the dispatcher's thread, if it records */
	struct stages_pace stages_pace;
	struct turn_stats stats;
	struct pressure pressure; /* of all its tenants */
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

/* awake.c: which rings fetch looks at. Every tenant is awake or dozes, but dropped and leaving ones. */
void awake_add(struct dispatcher *d, struct tenant *t);
void awake_remove(struct dispatcher *d, struct tenant *t);
void awake_touch(struct dispatcher *d, struct tenant *t);  /* it submitted, or may do so soon */
void awake_expire(struct dispatcher *d, struct tenant *t); /* its ring is empty: may it doze? */
bool awake_pending(const struct dispatcher *d);            /* some ring is not empty */
void awake_need_wakeup(struct dispatcher *d, uint32_t flags);
unsigned awake_wait(struct dispatcher *d, int timeout_ms); /* for wake-ups and mail */
void awake_poll(struct dispatcher *d);                     /* when it is time */

/* admit.c: caps, deadlines, backlog. */
enum ooo_status admit_request(struct dispatcher *d, struct request *r);
void admit_bound(struct dispatcher *d, struct request *r);
void admit_pace(struct dispatcher *d);                                   /* after bundles retired */
void admit_issued(struct dispatcher *d, struct request *r, uint64_t ns); /* one step of it */
void admit_forget(struct dispatcher *d, struct tenant *t);               /* it goes */
void admit_expire(struct dispatcher *d);
void admit_ended(struct dispatcher *d, struct request *r);

/* hold.c */
void hold_completed(struct dispatcher *d, struct tenant *t);
void hold_submitted(struct dispatcher *d, struct tenant *t);
void hold_forget(struct dispatcher *d, struct tenant *t); /* it goes */
bool hold_lane(struct dispatcher *d, unsigned lane);      /* build nothing now: company comes */
uint64_t hold_time_ns(const struct dispatcher *d, const struct request *r);

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

/* fault.c */
void fault_handle(struct dispatcher *d, enum error_scope scope);
/* Paused: fail what is in flight once its time is over. True: it did so now. */
bool fault_halted(struct dispatcher *d);
void fault_settle(struct dispatcher *d); /* the device is empty and had its poll() */
/* Retire a bundle that the device never took. */
void fault_drop(struct dispatcher *d, struct bundle *b, enum error_scope scope);

/* partition.c: an errand's mail; 0 or -errno with a sentence in the errand */
int partition_mail(struct dispatcher *d, struct mail *mail);

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
