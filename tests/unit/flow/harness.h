/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A dispatcher without a thread over the sim device, and tenants whose rings are plain memory: the
 * tests play the tenants' half by hand, well-behaved or not.
 */
#ifndef TESTS_FLOW_HARNESS_H
#define TESTS_FLOW_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/flow/flow.h"
#include "agent/turn.h"

extern const struct device_ops sim_device_ops;

struct rig {
	struct device *dev;
	struct mailbox mb;
	struct dispatcher *d;
};

/* The tenant's half: private copies of what it owns. */
struct fake_tenant {
	struct tenant t;
	uint32_t sq_tail, cq_head;
	void *memory;
};

static inline void rig_open(struct rig *rig, struct device_config cfg, struct turn_config turn)
{
	char why[128];

	cfg.name = "sim";
	assert_int_equal(sim_device_ops.open(&cfg, &rig->dev, why, sizeof(why)), 0);
	assert_int_equal(mailbox_init(&rig->mb), 0);
	rig->d = dispatcher_new(&turn, &sim_device_ops, rig->dev, &rig->mb);
	assert_non_null(rig->d);
}

/* What the device says of itself, for a test to change. */
static inline struct device_caps *rig_caps(struct rig *rig)
{
	return (struct device_caps *)sim_device_ops.caps(rig->dev);
}

static inline void rig_close(struct rig *rig)
{
	dispatcher_free(rig->d);
	mailbox_fini(&rig->mb);
	sim_device_ops.close(rig->dev);
}

/* Turn until two turns in a row do nothing; bounded, so that a livelock is a failure. */
static inline void rig_run(struct rig *rig)
{
	for (int i = 0, idle = 0; idle < 2; i++) {
		assert_true(i < 1000000);
		idle = dispatcher_turn(rig->d) ? 0 : idle + 1;
	}
}

static inline struct mail rig_mail(struct rig *rig, struct mail mail)
{
	struct mail *back;

	assert_int_equal(mailbox_send(&rig->mb, &mail), 0);
	rig_run(rig);
	back = mailbox_returned(&rig->mb);
	assert_ptr_equal(back, &mail);
	return mail;
}

static inline struct fake_tenant *tenant_make(struct rig *rig, uint32_t id, uint32_t sq_entries)
{
	struct fake_tenant *f = calloc(1, sizeof(*f));
	struct tenant *t = &f->t;
	uint32_t cq_entries = sq_entries * 2;
	char *mem;

	t->id = id;
	t->params = (struct tenant_params)TENANT_PARAMS_DEFAULT;
	t->sock = -1;
	t->sq_eventfd = eventfd(0, EFD_NONBLOCK);
	t->cq_eventfd = eventfd(0, EFD_NONBLOCK);
	mem = aligned_alloc(64, sizeof(struct ooo_ring) + sq_entries * sizeof(struct ooo_sqe) +
					cq_entries * sizeof(struct ooo_cqe));
	memset(mem, 0, sizeof(struct ooo_ring));
	f->memory = mem;
	t->ring = (struct ring_map){
		.ring = (struct ooo_ring *)mem,
		.sqes = (struct ooo_sqe *)(mem + sizeof(struct ooo_ring)),
		.cqes = (struct ooo_cqe *)(mem + sizeof(struct ooo_ring) +
					   sq_entries * sizeof(struct ooo_sqe)),
		.sq_entries = sq_entries,
		.cq_entries = cq_entries,
		.sq_mask = sq_entries - 1,
		.cq_mask = cq_entries - 1,
	};
	t->requests = calloc(cq_entries, sizeof(*t->requests));
	for (uint32_t i = 0; i < cq_entries; i++) {
		t->requests[i].next = t->free_requests;
		t->free_requests = &t->requests[i];
	}
	assert_int_equal(
		rig_mail(rig, (struct mail){ .type = MAIL_TENANT_ADD, .tenant = t }).result, 0);
	return f;
}

static inline void tenant_free_memory(struct fake_tenant *f)
{
	close(f->t.sq_eventfd);
	close(f->t.cq_eventfd);
	free(f->t.requests);
	free(f->memory);
	free(f);
}

static inline void tenant_remove(struct rig *rig, struct fake_tenant *f)
{
	struct mail mail = { .type = MAIL_TENANT_DEL, .tenant = &f->t };

	rig_mail(rig, mail);
	assert_int_equal(f->t.inflight, 0);
	tenant_free_memory(f);
}

/* A program of n steps; edge(i, j) says whether step j needs step i. */
struct fake_program {
	struct program p;
	struct program_inst inst;
};

static inline struct fake_program *program_make(struct rig *rig, struct fake_tenant *f, uint32_t id,
						uint32_t n, uint32_t slots,
						bool (*edge)(uint32_t, uint32_t))
{
	struct fake_program *fp = calloc(1, sizeof(*fp));
	struct program_inst *inst = &fp->inst;
	char why[128];

	fp->p.nr_steps = n;
	fp->p.steps = calloc(n ? n : 1, sizeof(*fp->p.steps));
	inst->deps_init = calloc(n ? n : 1, sizeof(*inst->deps_init));
	inst->klass = calloc(n ? n : 1, sizeof(*inst->klass));
	inst->cost_ns = calloc(n ? n : 1, sizeof(*inst->cost_ns));
	for (uint32_t i = 0; i < n; i++) {
		fp->p.steps[i].succ = calloc(n, sizeof(uint32_t));
		inst->cost_ns[i] = 1000;
		inst->work_ns += 1000;
		for (uint32_t j = 0; j < n; j++) {
			if (j > i && edge(i, j)) {
				fp->p.steps[i].succ[fp->p.steps[i].nr_succ++] = j;
				fp->p.steps[j].nr_deps++;
				inst->deps_init[j]++;
			}
		}
	}
	inst->id = id;
	inst->tenant = &f->t;
	inst->program = &fp->p;
	assert_int_equal(sim_device_ops.load(rig->dev, &fp->p, slots, &inst->dp, why, sizeof(why)),
			 0);
	inst->nr_slots = slots;
	for (uint32_t s = 0; s < slots; s++) {
		inst->free_slots[inst->nr_free_slots++] = s;
		inst->slots[s].deps_left = calloc(n ? n : 1, sizeof(uint16_t));
		inst->slots[s].ready = calloc(n ? n : 1, sizeof(uint32_t));
	}
	rig_mail(rig, (struct mail){ .type = MAIL_PROGRAM_ADD, .inst = inst });
	rig_mail(rig, (struct mail){ .type = MAIL_BIND_ADD,
				     .inst = inst,
				     .binding = (struct device_binding *)fp,
				     .index = 0 });
	return fp;
}

static inline void program_free_memory(struct rig *rig, struct fake_program *fp)
{
	for (uint32_t i = 0; i < fp->p.nr_steps; i++)
		free(fp->p.steps[i].succ);
	for (uint32_t s = 0; s < fp->inst.nr_slots; s++) {
		free(fp->inst.slots[s].deps_left);
		free(fp->inst.slots[s].ready);
	}
	sim_device_ops.unload(rig->dev, fp->inst.dp);
	free(fp->p.steps);
	free(fp->inst.deps_init);
	free(fp->inst.klass);
	free(fp->inst.cost_ns);
	free(fp);
}

static inline bool chain(uint32_t i, uint32_t j)
{
	return j == i + 1;
}

static inline void push_sqe(struct fake_tenant *f, struct ooo_sqe sqe)
{
	f->t.ring.sqes[f->sq_tail++ & f->t.ring.sq_mask] = sqe;
	f->t.ring.ring->sq_tail = f->sq_tail;
	if (f->t.ring.ring->agent_flags & OOO_RING_NEED_WAKEUP)
		assert_int_equal(eventfd_write(f->t.sq_eventfd, 1), 0);
}

static inline void push(struct fake_tenant *f, uint32_t program, uint64_t cookie, uint64_t deadline)
{
	push_sqe(f, (struct ooo_sqe){ .op = OOO_SQE_SUBMIT,
				      .program = program,
				      .cookie = cookie,
				      .deadline_ns = deadline });
}

/* The next completion; fails the test if there is none. */
static inline struct ooo_cqe reap(struct fake_tenant *f)
{
	struct ooo_cqe cqe;

	assert_int_not_equal(f->t.ring.ring->cq_tail, f->cq_head);
	cqe = f->t.ring.cqes[f->cq_head++ & f->t.ring.cq_mask];
	f->t.ring.ring->cq_head = f->cq_head;
	return cqe;
}

static inline uint32_t reapable(struct fake_tenant *f)
{
	return f->t.ring.ring->cq_tail - f->cq_head;
}

#endif
