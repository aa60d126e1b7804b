// SPDX-License-Identifier: Apache-2.0
#include "ctl/sim/world.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/tenant/object.h"
#include "shared/abi/ring_sync.h"

#define HELD_STEP_NS 5000 /* of the clock, while nothing flies and a cap holds work back */
#define HOLD_STEP_NS 500  /* while a lane is held for company */

int world_program_init(struct world_program *p, const struct device_file *f,
		       const struct measured_program *m, uint32_t nr_steps)
{
	*p = (struct world_program){ .cost = device_file_cost(f, m, nr_steps) };
	snprintf(p->program.name, sizeof(p->program.name), "%s", m->name);
	p->program.nr_steps = p->program.nr_ops = nr_steps;
	p->program.steps = calloc(nr_steps, sizeof(*p->program.steps));
	if (!p->program.steps)
		return -ENOMEM;
	for (uint32_t i = 0; i < nr_steps; i++) {
		struct step *s = &p->program.steps[i];

		s->klass = m->klass;
		s->cost_ns = p->cost.latency_ns;
		s->flops = p->cost.latency_ns; /* steps that cost the same look the same */
		s->nr_deps = i > 0;
		if (i + 1 < nr_steps) {
			s->succ = malloc(sizeof(*s->succ));
			if (!s->succ)
				return -ENOMEM;
			s->succ[s->nr_succ++] = i + 1;
		}
	}
	return 0;
}

void world_program_fini(struct world_program *p)
{
	for (uint32_t i = 0; p->program.steps && i < p->program.nr_steps; i++)
		free(p->program.steps[i].succ);
	free(p->program.steps);
}

/* The dispatcher published completions of t: instead of a write to its eventfd. */
static void published(void *arg, struct tenant *t)
{
	struct world *w = arg;
	struct client *c = (struct client *)((char *)t - offsetof(struct client, t));

	if (!c->done) {
		c->done = true;
		c->next_done = w->done;
		w->done = c;
	}
}

int world_open(struct world *w, const struct sim_model *model, const struct turn_config *turn,
	       char *why, size_t why_bytes)
{
	struct device_config config = { .name = "sim", .sim_model = model };
	struct turn_config with_hook = *turn;
	int err;

	w->model = model;
	err = sim_device_ops.open(&config, &w->dev, why, why_bytes);
	if (err)
		return err;
	err = mailbox_init(&w->mb);
	if (err) {
		snprintf(why, why_bytes, "cannot make eventfds: %s", strerror(-err));
		sim_device_ops.close(w->dev);
		return err;
	}
	with_hook.published = published;
	with_hook.published_arg = w;
	w->d = dispatcher_new(&with_hook, &sim_device_ops, w->dev, &w->mb);
	if (!w->d) {
		snprintf(why, why_bytes, "no memory");
		mailbox_fini(&w->mb);
		sim_device_ops.close(w->dev);
		return -ENOMEM;
	}
	return 0;
}

void world_close(struct world *w)
{
	dispatcher_free(w->d);
	mailbox_fini(&w->mb);
	sim_device_ops.close(w->dev);
}

uint64_t world_now(const struct world *w)
{
	return sim_device_ops.clock_ns(w->dev);
}

static uint32_t power_of_two(uint32_t n)
{
	return n < 2 ? 2 : 1u << (32 - __builtin_clz(n - 1));
}

static int make_rings(struct client *c)
{
	struct tenant *t = &c->t;
	uint32_t entries = power_of_two(c->max_inflight), cqes = entries * 2;
	size_t sq_at = sizeof(struct ooo_ring), cq_at = sq_at + entries * sizeof(struct ooo_sqe);
	char *mem = aligned_alloc(64, cq_at + cqes * sizeof(struct ooo_cqe));

	t->requests = calloc(cqes, sizeof(*t->requests));
	if (!mem || !t->requests) {
		free(mem);
		free(t->requests);
		return -ENOMEM;
	}
	memset(mem, 0, cq_at);
	t->ring = (struct ring_map){
		.ring = (struct ooo_ring *)mem,
		.sqes = (struct ooo_sqe *)(mem + sq_at),
		.cqes = (struct ooo_cqe *)(mem + cq_at),
		.sq_entries = entries,
		.cq_entries = cqes,
		.sq_mask = entries - 1,
		.cq_mask = cqes - 1,
	};
	for (uint32_t i = cqes; i-- > 0;) {
		t->requests[i].next = t->free_requests;
		t->free_requests = &t->requests[i];
	}
	return 0;
}

static int load_program(struct world *w, struct client *c, const struct world_program *p, char *why,
			size_t why_bytes)
{
	struct device_program *dp;
	int err = sim_device_ops.load(w->dev, &p->program, c->max_inflight, &dp, why, why_bytes);

	if (err)
		return err;
	for (uint32_t i = 0; i < p->program.nr_steps; i++)
		sim_set_cost(dp, i, p->cost);
	err = program_inst_new(&c->t, 0, &p->program, dp, sim_device_ops.slots(dp), &c->inst, why,
			       why_bytes);
	if (err)
		sim_device_ops.unload(w->dev, dp);
	return err;
}

/* As the door does it, but many at a time: each turn looks at all tenants that have just come. */
static int mail(struct world *w, struct mail *mail, struct mail what)
{
	*mail = what;
	if (w->mb.outstanding == MAILBOX_ENTRIES && world_settle(w))
		return -ENOMEM;
	return mailbox_send(&w->mb, mail);
}

int world_settle(struct world *w)
{
	int err = 0;

	while (w->mb.outstanding) {
		struct mail *back = mailbox_returned(&w->mb);

		if (!back)
			dispatcher_turn(w->d);
		else if (back->result)
			err = back->result;
	}
	return err;
}

int world_add(struct world *w, struct client *c, const struct world_program *p, char *why,
	      size_t why_bytes)
{
	int err;

	c->t.id = w->nr_clients + 1;
	c->t.sock = c->t.sq_eventfd = c->t.cq_eventfd = -1;
	err = make_rings(c);
	if (!err)
		err = load_program(w, c, p, why, why_bytes);
	if (!err)
		err = mail(w, &c->mails[0],
			   (struct mail){ .type = MAIL_TENANT_ADD, .tenant = &c->t });
	if (!err)
		err = mail(w, &c->mails[1],
			   (struct mail){ .type = MAIL_PROGRAM_ADD, .inst = c->inst });
	/* The device never looks at a binding. */
	if (!err)
		err = mail(w, &c->mails[2],
			   (struct mail){ .type = MAIL_BIND_ADD,
					  .inst = c->inst,
					  .binding = (struct device_binding *)c->inst });
	if (!err)
		w->nr_clients++;
	return err;
}

void world_client_fini(struct world *w, struct client *c)
{
	if (c->inst) {
		sim_device_ops.unload(w->dev, c->inst->dp);
		program_inst_free(c->inst);
	}
	free(c->t.ring.ring);
	free(c->t.requests);
	free(c->waiting);
}

static void submit(struct world *w, struct client *c, uint64_t arrival_ns)
{
	struct ring_map *m = &c->t.ring;

	m->sqes[c->sq_tail++ & m->sq_mask] = (struct ooo_sqe){
		.op = OOO_SQE_SUBMIT,
		.cookie = arrival_ns,
		.deadline_ns = c->deadline ? arrival_ns + c->slo_ns : 0,
		.submit_ns = arrival_ns,
	};
	ring_store_release(&m->ring->sq_tail, c->sq_tail);
	c->inflight++;
	awake_touch(w->d, &c->t);
}

static int wait_for_room(struct client *c, uint64_t arrival_ns)
{
	if (c->nr_waiting == c->waiting_room) {
		uint32_t room = c->waiting_room ? c->waiting_room * 2 : 64;
		uint64_t *more = malloc(room * sizeof(*more));

		if (!more)
			return -ENOMEM;
		for (uint32_t i = 0; i < c->nr_waiting; i++)
			more[i] = c->waiting[(c->waiting_at + i) & (c->waiting_room - 1)];
		free(c->waiting);
		c->waiting = more;
		c->waiting_room = room;
		c->waiting_at = 0;
	}
	c->waiting[(c->waiting_at + c->nr_waiting++) & (c->waiting_room - 1)] = arrival_ns;
	return 0;
}

int world_arrive(struct world *w, struct client *c, uint64_t arrival_ns)
{
	if (c->inflight >= c->max_inflight)
		return wait_for_room(c, arrival_ns);
	submit(w, c, arrival_ns);
	return 0;
}

static void reap(struct world *w, struct client *c)
{
	struct ring_map *m = &c->t.ring;

	while (c->cq_head != m->ring->cq_tail) {
		struct ooo_cqe cqe = m->cqes[c->cq_head++ & m->cq_mask];

		ring_store_release(&m->ring->cq_head, c->cq_head);
		c->inflight--;
		if (c->nr_waiting) {
			submit(w, c, c->waiting[c->waiting_at]);
			c->waiting_at = (c->waiting_at + 1) & (c->waiting_room - 1);
			c->nr_waiting--;
		}
		w->completed(w->arg, c, &cqe, cqe.cookie);
	}
}

static void reap_all(struct world *w)
{
	struct client *c;

	while ((c = w->done)) {
		w->done = c->next_done;
		c->done = false;
		reap(w, c);
	}
}

static bool holding(const struct world *w)
{
	for (unsigned i = 0; i < w->d->nr_lanes; i++) {
		if (w->d->lanes[i].held_ns)
			return true;
	}
	return false;
}

bool world_turn(struct world *w, uint64_t next_ns)
{
	uint64_t now;
	bool did;

	now = world_now(w);
	/* A hold ends by the clock: do not jump past that. */
	sim_set_limit(w->dev,
		      holding(w) && now + HOLD_STEP_NS < next_ns ? now + HOLD_STEP_NS : next_ns);
	did = dispatcher_turn(w->d);
	if (w->done) {
		reap_all(w);
		return true;
	}
	if (did || w->d->nr_flying)
		return true;
	/* Nothing flies: only the clock can bring something about. */
	now = world_now(w);
	if (w->d->nr_requests && now + HELD_STEP_NS < next_ns) {
		sim_advance(w->dev, now + HELD_STEP_NS);
		return true;
	}
	if (next_ns != UINT64_MAX)
		sim_advance(w->dev, next_ns);
	return w->d->nr_requests > 0;
}
