/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The flight recorder's writer (layout and rules: shared/abi/record.h). Its dispatcher alone calls
 * what is below; each call is a handful of plain stores. What arrives faster than the budgets
 * allow is sampled, so that the cost is bounded too.
 */
#ifndef OOO_AGENT_WATCH_RECORD_H
#define OOO_AGENT_WATCH_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "shared/abi/record.h"

struct bundle;
struct device_caps;
struct program_inst;
struct request;
struct tenant;

#define RECORD_BYTES_DEFAULT (32ull << 20)
#define RECORD_BYTES_MIN     (1ull << 20)
#define RECORD_SLICE_NS      1000000u /* budgets are for so long */
#define RECORD_REQUESTS      50u      /* ordinary ones in a slice, before one in a few is kept */
#define RECORD_IMPORTANT     200u     /* late, failed or slow ones in a slice */
#define RECORD_MEMBERS       2048u    /* in a slice, before bundles are left out */

struct record_ring {
	struct ooo_record_ring *shared;
	char *entries;
	uint64_t next;
	uint32_t mask;
};

struct record {
	struct record_ring ring[OOO_RECORD_RINGS];
	uint64_t slice_end_ns;
	uint32_t seen, ordinary,
		important;     /* requests in this slice: all, kept for either reason */
	uint32_t stride, skip; /* keep every stride-th; until the next one */
	uint32_t weight;       /* requests that the next one kept stands for */
	uint32_t members_left; /* in this slice */
	uint64_t slow_ns;      /* about one request in 64 is slower: kept whatever the stride */
	uint64_t nr_requests, nr_bundles;
	struct ooo_record_header *header;
	size_t bytes;
	char path[128];
};

struct record_config {
	const char *dir; /* the runtime directory */
	uint64_t bytes;  /* at most, of one device */
	bool has_group;
	gid_t group; /* may read it */
	uint64_t agent_id;
	uint32_t device;
	uint64_t now_ns; /* the device's clock */
	const struct device_caps *caps;
};

/* A new file in the place of the one before. 0, or -errno after a log line. */
int record_open(const struct record_config *config, struct record **out);
/* Remove the file of a recorder that is no longer written. */
void record_remove(const char *dir, uint32_t device);
/* Take the file away and free. NULL does nothing. */
void record_close(struct record *rec);

/* Tenants connect and load programs; id of a tenant alone: inst NULL. */
void record_name(struct record *rec, uint64_t now_ns, const struct tenant *t,
		 const struct program_inst *inst);
/* Before the bundle's requests are retired. */
void record_bundle(struct record *rec, uint64_t now_ns, const struct bundle *b);
/* A request that finishes now, as it stands in r. */
void record_fill(struct ooo_record_request *to, uint64_t now_ns, const struct request *r);
void record_request(struct record *rec, uint64_t now_ns, const struct request *r);
void record_event(struct record *rec, const struct ooo_record_event *event);

#endif
