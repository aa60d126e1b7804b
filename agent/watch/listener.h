/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An optional door for monitoring systems: the text of agent/watch/metrics.h by HTTP at /metrics, on
 * a loopback address or a Unix socket. libmicrohttpd's own thread serves it; the number of connections,
 * what one may send and how long it may idle are bounded. Reading it takes no permission: on a
 * loopback address every user of the machine may.
 */
#ifndef OOO_AGENT_WATCH_LISTENER_H
#define OOO_AGENT_WATCH_LISTENER_H

#include <stddef.h>

struct listener;
struct registry;

/* where: "127.0.0.1:9402", "[::1]:9402", "unix:PATH". 0; -errno with a sentence in why. */
int listener_start(const char *where, struct registry *r, struct listener **out, char *why,
		   size_t why_bytes);
void listener_stop(struct listener *l); /* NULL does nothing */

#endif
