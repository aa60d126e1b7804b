/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent's figures as OpenMetrics text: one generator for `ooo-ctl metrics` and for the listener
 * (agent/watch/listener.h). A look at everything is taken first, under the registry's lock; the text
 * is made from it without.
 */
#ifndef OOO_AGENT_WATCH_METRICS_H
#define OOO_AGENT_WATCH_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define METRICS_PIECE_BYTES 7168 /* a metric of one tenant at most */

struct metrics;
struct registry;

/* only_uid: tenants of this user alone; NULL: all. NULL if there is no memory. */
struct metrics *metrics_take(struct registry *r, const uid_t *only_uid, uint64_t now_ns);
void metrics_free(struct metrics *m);

/*
 * Hand the text over in pieces of whole lines. *at is where to begin, 0 at first; when put returns
 * non-zero, which is returned, *at is the piece that it did not take. A later look may go on from
 * there: what came or went meanwhile is there or not, and no line comes twice.
 */
int metrics_write(const struct metrics *m, uint64_t *at,
		  int (*put)(void *arg, const char *text, size_t bytes), void *arg);

#endif
