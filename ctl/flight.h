/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Read the flight recorders of an agent (shared/abi/record.h), also of one that is gone. The files
 * are another process's, written meanwhile: entries are copied, and a copy is believed only if it was
 * not overwritten while it was made.
 */
#ifndef OOO_CTL_FLIGHT_H
#define OOO_CTL_FLIGHT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "ctl/words.h"
#include "shared/abi/record.h"

#define FLIGHT_MAX_DEVICES 16

struct flight_list {
	void *items;
	size_t nr, max, item_bytes;
};

/* A device's recorder, what was read of it, oldest first. */
struct flight_device {
	const struct ooo_record_header *map;
	size_t bytes;
	struct ooo_record_header header; /* checked copy */
	uint64_t next[OOO_RECORD_RINGS];
	uint64_t lost[OOO_RECORD_RINGS]; /* overwritten before they were read */
	struct flight_list requests, bundles, members, events, names;
};

struct flight {
	struct flight_device devices[FLIGHT_MAX_DEVICES];
	unsigned nr;
};

enum ctl_exit flight_open(const char *dir, struct flight *f, char *why, size_t why_bytes);
void flight_close(struct flight *f);
/* Read what is new, names apart only from now on (skip), or also what is there. 0 or -ENOMEM. */
int flight_read(struct flight *f);
void flight_skip(struct flight *f);
/* Read for so long; an interrupt ends it early. 0 or -ENOMEM. */
int flight_watch(struct flight *f, uint64_t ns);

static inline const struct ooo_record_request *flight_request(const struct flight_device *d,
							      size_t i)
{
	return (const struct ooo_record_request *)d->requests.items + i;
}

/* Its first_member counts in d->members; nr_members is 0 if they were overwritten. */
static inline const struct ooo_record_bundle *flight_bundle(const struct flight_device *d, size_t i)
{
	return (const struct ooo_record_bundle *)d->bundles.items + i;
}

static inline const struct ooo_record_member *flight_member(const struct flight_device *d, size_t i)
{
	return (const struct ooo_record_member *)d->members.items + i;
}

static inline const struct ooo_record_event *flight_event(const struct flight_device *d, size_t i)
{
	return (const struct ooo_record_event *)d->events.items + i;
}

/* The device's clock, as far as this process can tell: on a virtual one, the last thing recorded. */
uint64_t flight_now_ns(const struct flight_device *d);
/* As the tenant sees it: until it read the completion, as far as that is known. */
uint64_t flight_latency_ns(const struct ooo_record_request *r);

/* NULL: not recorded. program OOO_RECORD_NONE: the tenant itself. */
const struct ooo_record_name *flight_name(const struct flight_device *d, uint32_t tenant,
					  uint32_t program);

#define FLIGHT_LABEL_BYTES 48
/* "3:resnet-a" */
const char *flight_label(const struct flight_device *d, uint32_t tenant,
			 char buf[FLIGHT_LABEL_BYTES]);
/* Does the user mean this tenant by a name or an id? what NULL: any. */
bool flight_is_tenant(const struct flight_device *d, uint32_t tenant, const char *what);

const char *flight_stage_key(unsigned stage);
const char *flight_status_key(uint32_t status);
const char *flight_event_key(unsigned kind);
/* A quoted JSON string. */
void flight_json_text(FILE *out, const char *text);

#endif
