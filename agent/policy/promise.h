/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The deadlines that admission control accepted, and what they leave room for.
 *
 * Promised requests run earliest deadline first, so each one's finish is now, plus what the device
 * holds, plus the work of all with an earlier deadline, plus its own path. A tree ordered by deadline
 * keeps, for every subtree, the sum of the work and the least slack, so that both questions - does a
 * new one meet its deadline, and do all the later ones still meet theirs - take O(log n).
 *
 * Work is in ns of one of the `width` items that a device runs side by side; slacks are in the same
 * unit, since PROMISE's start of time, so that they do not change as time passes.
 */
#ifndef OOO_AGENT_PROMISE_H
#define OOO_AGENT_PROMISE_H

#include <stdbool.h>
#include <stdint.h>

struct promise { /* a node; a treap, by due_ns and then number */
	struct promise *left, *right;
	uint64_t due_ns, number;
	uint64_t work_ns; /* not issued yet */
	uint64_t path_ns; /* of it, what has to run one after the other */
	uint64_t sum_ns;  /* of the subtree's work */
	int64_t slack;    /* the least of the subtree's, counting the subtree's work alone */
	uint32_t priority;
};

struct promises {
	struct promise *root;
	unsigned width;
};

struct promise_fit {
	uint64_t finish_ns; /* predicted */
	bool meets;         /* it meets its deadline, and the later ones still meet theirs */
};

/* Would p (due_ns, number, work_ns, path_ns) fit? The device is free at free_ns. */
struct promise_fit promises_fit(const struct promises *t, const struct promise *p,
				uint64_t free_ns);
void promises_add(struct promises *t, struct promise *p);
void promises_remove(struct promises *t, struct promise *p);
/* How long the device, free at free_ns, may do other things before it would break a promise with an
 * earlier deadline than p's; p NULL: any promise. UINT64_MAX without such, 0 if one is broken. */
uint64_t promises_spare_ns(const struct promises *t, const struct promise *p, uint64_t free_ns);

#endif
