/* SPDX-License-Identifier: Apache-2.0 */
/* The folder that the agent is found in: one agent each, its lock and its listening socket. */
#ifndef OOO_AGENT_RUNTIME_H
#define OOO_AGENT_RUNTIME_H

#include <stddef.h>

#define RUNTIME_PATH_BYTES 108 /* of a socket's path, as in struct sockaddr_un */

struct runtime {
	char dir[RUNTIME_PATH_BYTES];
	char socket_path[RUNTIME_PATH_BYTES];
	int lock_fd; /* flock()ed while the agent lives */
	int listen_fd;
};

/*
 * Find the folder (dir, else $OOO_RUNTIME_DIR, else /run/ooo as root, else $XDG_RUNTIME_DIR/ooo),
 * make it if need be, lock it and listen in it. -EBUSY: another agent does. On failure a sentence
 * is in why.
 */
int runtime_open(struct runtime *rt, const char *dir, char *why, size_t why_bytes);
/* The same of an earlier process of this agent, with its lock and its socket. */
int runtime_adopt(struct runtime *rt, const char *dir, int lock_fd, int listen_fd, char *why,
		  size_t why_bytes);
void runtime_close(struct runtime *rt); /* removes the socket */

#endif
