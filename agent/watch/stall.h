/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When the dispatcher's thread did not run although it had something to do: its own processor time
 * is compared with the clock. Asked once a turn; that costs a comparison, and two system calls a
 * millisecond or where a turn took long.
 */
#ifndef OOO_AGENT_WATCH_STALL_H
#define OOO_AGENT_WATCH_STALL_H

#include <stdbool.h>
#include <stdint.h>

struct record;

#define STALL_LOOK_NS 1000000u /* at least so often */
#define STALL_TURN_NS 100000u  /* and when a turn took so long */
#define STALL_MIN_NS  200000u  /* shorter ones are not recorded */

struct stall {
	uint64_t turn_ns;             /* the last turn's begin; 0: the thread slept since */
	uint64_t wall_ns, cpu_ns;     /* at the last look */
	uint64_t runq_ns, runq_at_ns; /* waited for a processor in all; when that was read */
	int schedstat_fd;
	bool woke; /* in this turn: what waits in the rings waited for the wake-up */
};

void stall_init(struct stall *s);
void stall_fini(struct stall *s);
void stall_look(struct stall *s, struct record *rec, uint64_t now_ns);
/* The first request that a wake-up found was submitted at submit_ns. */
void stall_woke(struct stall *s, struct record *rec, uint64_t submit_ns, uint64_t now_ns);

/* At the begin of each turn; now_ns is CLOCK_MONOTONIC. */
static inline void stall_turn(struct stall *s, struct record *rec, uint64_t now_ns)
{
	if (now_ns - s->turn_ns >= STALL_TURN_NS || now_ns - s->wall_ns >= STALL_LOOK_NS)
		stall_look(s, rec, now_ns);
	s->woke = !s->turn_ns;
	s->turn_ns = now_ns;
}

/* The thread was asleep because it wanted to be. */
static inline void stall_slept(struct stall *s)
{
	s->turn_ns = 0;
}

#endif
