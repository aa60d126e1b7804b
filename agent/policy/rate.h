/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Admission of a rate: can a tenant send R requests a second of a program and have each within its
 * SLO? A prediction from learned costs and from what the others use now, without a clock:
 *
 *   share   what the tenant may count on of the device when all are served by weight: each of the
 *           others takes what it used of late, but no more than its weight is worth beside them
 *           (max-min fairness, by filling up);
 *   bound   the time that 99 of 100 requests take at most: the program's longest path, what an urgent
 *           request may find on the device before it, and the wait for requests of its own that came
 *           at random (Poisson) before. The wait is that of M/D/1, whose tail falls like
 *           exp(-2 (1 - load) t / service): Kingman, "The single server queue in heavy traffic", 1961;
 *   most    the highest rate at which the bound is within the SLO.
 */
#ifndef OOO_AGENT_RATE_H
#define OOO_AGENT_RATE_H

#include <stdbool.h>
#include <stdint.h>

struct rate_peer {
	double use;      /* of the whole device, of late */
	uint32_t weight; /* as the policy counts it */
};

struct rate_ask {
	double per_s;        /* requests */
	uint64_t slo_ns;     /* 0: any latency will do */
	uint64_t work_ns;    /* of one request: all its steps, one after the other */
	uint64_t path_ns;    /* of that, what cannot run side by side */
	uint64_t blocked_ns; /* what an urgent request may find before it */
	double side_by_side; /* items that the device runs at a time */
	double share;        /* of the device: rate_share() */
};

struct rate_answer {
	bool admitted;
	double most_per_s;
	uint64_t bound_ns; /* at the rate asked for; UINT64_MAX: it would queue for ever */
};

/* 0..1: what a tenant of this weight may count on beside the others. */
double rate_share(const struct rate_peer *peers, unsigned nr, uint32_t weight);
struct rate_answer rate_admit(const struct rate_ask *ask);

#endif
