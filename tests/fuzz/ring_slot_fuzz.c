// SPDX-License-Identifier: Apache-2.0
/*
 * Ring slots and indices: one tenant does whatever the input says with its half of the rings, while
 * another, behind the same dispatcher, submits properly and must get each of its completions.
 *
 * The input is a list of actions: a byte that says which, then its operands.
 */
#include "tests/unit/flow/harness.h"

#define SQ_ENTRIES 8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

struct input {
	const uint8_t *data;
	size_t left;
};

static uint64_t take(struct input *in, size_t n)
{
	uint64_t value = 0;

	if (n > in->left)
		n = in->left;
	memcpy(&value, in->data, n);
	in->data += n;
	in->left -= n;
	return value;
}

static void require(bool ok)
{
	if (!ok)
		abort();
}

/* A slot: small fields that often name real things, or raw bytes. */
static void write_slot(struct input *in, struct fake_tenant *f)
{
	struct ooo_sqe *slot = &f->t.ring.sqes[take(in, 1) & f->t.ring.sq_mask];
	uint8_t raw = (uint8_t)take(in, 1);

	if (raw & 1) {
		for (size_t i = 0; i < sizeof(*slot); i++)
			((uint8_t *)slot)[i] = (uint8_t)take(in, 1);
		return;
	}
	*slot = (struct ooo_sqe){ .op = raw >> 1 & 3,
				  .program = (uint32_t)take(in, 1) & 3,
				  .binding = (uint32_t)take(in, 1) & 3,
				  .cookie = take(in, 1) & 7,
				  .deadline_ns = raw & 8 ? take(in, 8) : 0 };
}

static void act(struct input *in, struct rig *rig, struct fake_tenant *bad,
		struct fake_tenant *good, uint32_t *sent)
{
	struct ooo_ring *ring = bad->t.ring.ring;

	switch (take(in, 1) % 8) {
	case 0:
	case 1:
		write_slot(in, bad);
		break;
	case 2:
		ring->sq_tail += (uint32_t)take(in, 1) % (SQ_ENTRIES + 1);
		break;
	case 3:
		ring->sq_tail = (uint32_t)take(in, 4);
		break;
	case 4:
		ring->cq_head = take(in, 1) & 1 ? ring->cq_tail : (uint32_t)take(in, 4);
		break;
	case 5:
		ring->tenant_flags = (uint32_t)take(in, 1);
		ring->sq_head = (uint32_t)take(in, 4); /* the agent's words, scribbled over */
		ring->cq_tail = (uint32_t)take(in, 4);
		break;
	case 6:
		if (good->sq_tail - good->t.ring.sq_head < SQ_ENTRIES)
			push(good, 0, (*sent)++, 0);
		break;
	default:
		for (int n = (int)take(in, 1) % 4; n >= 0; n--)
			dispatcher_turn(rig->d);
	}
}

static void reap_good(struct fake_tenant *good, uint32_t *got)
{
	while (reapable(good)) {
		struct ooo_cqe cqe = reap(good);

		require(cqe.status == OOO_OK && !cqe.flags);
		(*got)++;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct turn_config turn = TURN_CONFIG_DEFAULT;
	struct device_config cfg = { .sim_step_ns = 1000 };
	struct input in = { data, bytes };
	struct fake_tenant *bad, *good;
	struct fake_program *p[2];
	uint32_t sent = 0, got = 0;
	struct rig rig;

	rig_open(&rig, cfg, turn);
	bad = tenant_make(&rig, 1, SQ_ENTRIES);
	good = tenant_make(&rig, 2, SQ_ENTRIES);
	p[0] = program_make(&rig, bad, 0, 3, 2, chain);
	p[1] = program_make(&rig, good, 0, 3, 2, chain);
	while (in.left) {
		act(&in, &rig, bad, good, &sent);
		reap_good(good, &got);
	}
	for (int i = 0; i < 10000 && got < sent; i++) {
		dispatcher_turn(rig.d);
		reap_good(good, &got);
	}
	require(got == sent);
	require(bad->t.inflight <= bad->t.ring.cq_entries);
	tenant_remove(&rig, bad);
	require(p[0]->inst.inflight == 0 && p[0]->inst.nr_free_slots == p[0]->inst.nr_slots);
	tenant_remove(&rig, good);
	program_free_memory(&rig, p[0]);
	program_free_memory(&rig, p[1]);
	rig_close(&rig);
	return 0;
}
