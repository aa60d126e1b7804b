// SPDX-License-Identifier: Apache-2.0
/*
 * Fetch: take submissions from the tenants' rings. The ring is written by a hostile peer, so: bound
 * its index first, take no more than there are completion slots for, copy each slot exactly once,
 * and look only at the copy. A tenant that breaks the protocol is dropped alone.
 */
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/control/event.h"
#include "agent/flow/flow.h"
#include "agent/log.h"
#include "agent/watch/record.h"
#include "agent/watch/stage.h"
#include "shared/abi/ring_sync.h"
#include "shared/lib/probe.h"

#define WAIT_EVENT_NS 100000 /* shorter waits are no events */

void fetch_drop_tenant(struct dispatcher *d, struct tenant *t, enum ooo_status reason)
{
	struct request *r, *next;

	if (t->dropped)
		return;
	t->dropped = true;
	awake_remove(d, t);
	stat_add(&d->stats.drops, 1);
	event_post(EVENT_DROP, t, t->device, reason,
		   reason == OOO_BAD_SLOT ? "submission index" : "completion index");
	if (d->record)
		record_event(d->record, &(struct ooo_record_event){
						.start_ns = d->now_ns,
						.kind = OOO_RECORD_EVENT_DROPPED,
						.tenant = t->id,
						.value = reason,
					});
	for (r = t->all_requests; r; r = next) {
		next = r->all_next;
		window_kill(d, r, OOO_DROPPED);
	}
	ring_store_relaxed(&t->ring.ring->drop_reason, reason);
	ring_store_release(&t->ring.ring->agent_state, OOO_AGENT_DROPPED);
	/* The door sees the hang-up and takes the tenant apart; nothing else of it is touched here. */
	if (t->sock >= 0)
		shutdown(t->sock, SHUT_RDWR);
	log_tenant(LOG_LEVEL_WARN,
		   "tenant %u \"%s\" (pid %d): dropped: broke the ring protocol (%s)", t->id,
		   t->name, (int)t->pid,
		   reason == OOO_BAD_SLOT ? "submission index" : "completion index");
}

/* Completion slots neither promised to a request in flight nor unread; < 0: the peer's index lies. */
static int64_t completion_room(struct tenant *t)
{
	struct ring_map *m = &t->ring;
	uint32_t used = m->cq_tail - m->cq_head_cached;

	if (used + t->inflight >= m->cq_entries) {
		/* Pairs with the tenant's release of cq_head after it read the slots. */
		uint32_t head = ring_load_acquire(&m->ring->cq_head);

		if (m->cq_tail - head > m->cq_entries)
			return -1;
		m->cq_head_cached = head;
		used = m->cq_tail - head;
	}
	return (int64_t)m->cq_entries - used - t->inflight;
}

/* The one copy. Volatile: the compiler must not read the slot a second time. */
static void copy_slot(struct ooo_sqe *dst, const struct ooo_sqe *slot)
{
	const volatile uint64_t *from = (const volatile uint64_t *)slot;
	uint64_t words[sizeof(*dst) / sizeof(uint64_t)];
	unsigned i;

	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		words[i] = from[i];
	memcpy(dst, words, sizeof(words));
}

static bool slot_valid(const struct ooo_sqe *sqe)
{
	if (sqe->resv0[0] | sqe->resv0[1] | sqe->resv0[2] | sqe->resv1)
		return false;
	if (sqe->resv2[0] | sqe->resv2[1] | sqe->resv2[2])
		return false;
	return sqe->op == OOO_SQE_SUBMIT || sqe->op == OOO_SQE_CANCEL;
}

static void take_cancel(struct dispatcher *d, struct tenant *t, uint64_t cookie)
{
	struct ooo_cqe cqe = { .cookie = cookie, .flags = OOO_CQE_CANCEL, .status = OOO_INVALID };
	struct request *r, *next;

	/* The reply's slot is promised first: killing may post completions of the requests. */
	for (r = t->all_requests; r; r = next) {
		next = r->all_next;
		if (r->cookie != cookie || r->dead)
			continue;
		cqe.status = OOO_OK;
		window_kill(d, r, OOO_CANCELLED);
	}
	retire_post(d, t, &cqe);
}

static void take_submit(struct dispatcher *d, struct tenant *t, const struct ooo_sqe *sqe)
{
	struct request *r = t->free_requests;

	t->free_requests = r->next;
	*r = (struct request){
		.tenant = t,
		.program_id = sqe->program,
		.binding_id = sqe->binding,
		.cookie = sqe->cookie,
		.deadline_ns = sqe->deadline_ns,
		.fetch_ns = d->now_ns,
		.number = d->request_seq++,
		.record_flags = t->waited,
		.status = OOO_OK,
	};
	stage_fetched(r, sqe->submit_ns, d->now_ns);
	probe_fetched(t->id, r->number, r->program_id, r->stage_ns[OOO_STAGE_RING]);
	if (d->stall.woke)
		stall_woke(&d->stall, d->record, r->submit_ns, d->now_ns);
	r->all_next = t->all_requests;
	if (r->all_next)
		r->all_next->all_prev = r;
	t->all_requests = r;
	hold_submitted(d, t);
	t->inflight++;
	d->nr_requests++;
	stat_add(&t->stats.submitted, 1);
	queue_push(&d->fetched, r);
}

static void take_slot(struct dispatcher *d, struct tenant *t, const struct ooo_sqe *sqe)
{
	if (!slot_valid(sqe)) {
		struct ooo_cqe cqe = { .cookie = sqe->cookie, .status = OOO_BAD_SLOT };

		stat_add(&t->stats.submitted, 1);
		stat_add(&t->stats.completed, 1);
		stat_add(&t->stats.failed, 1);
		retire_post(d, t, &cqe);
	} else if (sqe->op == OOO_SQE_CANCEL) {
		take_cancel(d, t, sqe->cookie);
	} else {
		take_submit(d, t, sqe);
	}
}

/* Say why submissions stay in the ring: for the requests among them, and for the recorder. */
static void note_wait(struct dispatcher *d, struct tenant *t)
{
	uint32_t unread = t->ring.cq_tail - t->ring.cq_head_cached;

	if (!t->waited)
		t->waited_ns = d->now_ns;
	if (unread >= t->ring.cq_entries / 2)
		t->waited = OOO_RECORD_WAITED_READER;
	else if (!t->waited)
		t->waited = OOO_RECORD_WAITED_ROOM;
}

static void wait_event(struct dispatcher *d, struct tenant *t, bool reader, uint64_t start_ns,
		       uint64_t end_ns, uint32_t unread)
{
	probe_full(t->id, reader, end_ns - start_ns, unread);
	if (d->record && end_ns >= start_ns + WAIT_EVENT_NS)
		record_event(d->record, &(struct ooo_record_event){
						.start_ns = start_ns,
						.duration_ns = end_ns - start_ns,
						.kind = reader ? OOO_RECORD_EVENT_READER
							       : OOO_RECORD_EVENT_ROOM,
						.tenant = t->id,
						.value = unread,
						.other = t->inflight,
					});
}

static void end_wait(struct dispatcher *d, struct tenant *t)
{
	wait_event(d, t, t->waited == OOO_RECORD_WAITED_READER, t->waited_ns, d->now_ns,
		   t->ring.cq_tail - t->ring.cq_head_cached);
	t->waited = 0;
}

/*
 * All that the tenant may have in flight stood unread since unread_ns, and now it submits again: it
 * says itself when it read them. The word is the tenant's: what cannot be counts as now.
 */
static void end_unread(struct dispatcher *d, struct tenant *t)
{
	uint32_t read_us = ring_load_relaxed(&t->ring.ring->read_us);
	uint64_t ago_ns = (uint32_t)(d->now_ns / 1000 - read_us) * 1000ull;
	uint64_t end_ns = d->now_ns;

	if (ago_ns < d->now_ns - t->unread_ns)
		end_ns -= ago_ns;
	wait_event(d, t, true, t->unread_ns, end_ns, t->ring.sq_entries);
	t->unread_ns = 0;
}

static bool fetch_tenant(struct dispatcher *d, struct tenant *t)
{
	struct ring_map *m = &t->ring;
	/* Pairs with the tenant's release of sq_tail after it filled the slots. */
	uint32_t tail = ring_load_acquire(&m->ring->sq_tail);
	uint32_t n = tail - m->sq_head;
	int64_t room;

	if (!n)
		return false;
	if (n > m->sq_entries) {
		fetch_drop_tenant(d, t, OOO_BAD_SLOT);
		return true;
	}
	room = completion_room(t);
	if (room < 0) {
		fetch_drop_tenant(d, t, OOO_BAD_MESSAGE);
		return true;
	}
	if (n > room) {
		note_wait(d, t);
		n = (uint32_t)room;
	}
	if (n > FETCH_BATCH)
		n = FETCH_BATCH;
	if (t->unread_ns && n)
		end_unread(d, t);
	/* No entry of its queue is left to submit with. */
	if (t->inflight + n >= m->sq_entries && !t->waited && n) {
		t->waited = OOO_RECORD_WAITED_ROOM;
		t->waited_ns = d->now_ns;
	}
	for (uint32_t i = 0; i < n; i++) {
		struct ooo_sqe sqe;

		copy_slot(&sqe, &m->sqes[(m->sq_head + i) & m->sq_mask]);
		take_slot(d, t, &sqe);
	}
	if (t->inflight >= m->sq_entries)
		t->full_ns = d->now_ns;
	if (t->waited && n < room)
		end_wait(d, t);
	m->sq_head += n;
	/* Pairs with the tenant's acquire of sq_head before it refills the slots. */
	ring_store_release(&m->ring->sq_head, m->sq_head);
	return n > 0;
}

bool fetch_run(struct dispatcher *d)
{
	bool did = false;

	if (d->halted)
		return fault_halted(d);
	awake_poll(d);
	for (struct tenant *t = d->awake, *next; t; t = next) {
		next = t->awake_next; /* t may be dropped, or doze */
		if (fetch_tenant(d, t)) {
			t->active_ns = d->now_ns;
			did = true;
		} else {
			awake_expire(d, t);
		}
	}
	return did;
}
