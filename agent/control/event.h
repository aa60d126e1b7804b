/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events: what an administrator wants to hear of when it happens. Any thread posts them, the
 * control thread alone takes them and keeps the last ones for `ooo-ctl monitor`.
 *
 * Posting takes no lock, allocation or system call (two compare-and-swaps at worst per thread that
 * posts at the same moment, and a look at the clock through the vDSO), so a dispatcher may post.
 * It is still for what is rare: what may come with every request is counted in tenant_stats, from
 * which the control thread makes one event per tenant and interval (REFUSAL, SLO_MISS).
 */
#ifndef OOO_AGENT_EVENT_H
#define OOO_AGENT_EVENT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "shared/abi/handshake.h"

#define EVENT_QUEUE      1024 /* posted and not yet taken; what does not fit is counted */
#define EVENT_TEXT_BYTES 160  /* with its NUL */
#define EVENT_NO_TENANT  UINT32_MAX

enum event_kind {
#define EVENT(NAME, word, help) EVENT_##NAME,
#include "shared/abi/events.def"
	NR_EVENT_KINDS
};

struct event {
	uint64_t at_ns; /* CLOCK_REALTIME */
	uint64_t value; /* as events.def says of the kind */
	uint32_t kind;
	uint32_t tenant;             /* id; EVENT_NO_TENANT: of none */
	uint32_t device;             /* index */
	uid_t uid;                   /* the tenant's: who may see it besides administrators */
	char name[OOO_NAME_BYTES];   /* the tenant's */
	char text[EVENT_TEXT_BYTES]; /* more on it, or "" */
};

struct tenant;

/* t NULL: no tenant's; text NULL: none, else cut to fit. The caller may read t's constant part. */
void event_post(enum event_kind kind, const struct tenant *t, uint32_t device, uint64_t value,
		const char *text);

/* One consumer: the next event in order; false: none is there. */
bool event_take(struct event *out);
/* How many found no room since the last call. */
uint64_t event_take_lost(void);

const char *event_word(uint32_t kind);

#endif
