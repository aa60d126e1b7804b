/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control plane's agent side: a thread that answers ooo-ctl over NETLINK_USERSOCK, after the
 * protocol in shared/abi/control.h. It reads the registry and the dispatcher's counters and shares
 * nothing else with the flow, so nothing that a sender does reaches a turn.
 */
#ifndef OOO_AGENT_CONTROL_H
#define OOO_AGENT_CONTROL_H

#include <stdint.h>

struct control;
struct registry;

struct control_config {
	const char *runtime_dir; /* exists; the file `control` in it says where the agent listens */
	const char *group;       /* members may change things like root; NULL: root alone */
	const char *policy_path; /* where `policy load` keeps the file; NULL: nowhere */
	struct registry *registry; /* outlives the control thread */
	int socket_fd;             /* of the process before, the control's now; 0: open one */
	uint64_t first_event;      /* number that events go on from; 0: begin with 1 */
};

/*
 * Open the socket, publish it in the runtime directory and start the thread. Returns 0, or -errno
 * after a log line that says what to do: -ENOENT (no such group or directory), -EACCES, ...
 * Strings are not copied.
 */
int control_start(const struct control_config *config, struct control **out);
/* End the thread alone: the socket, which is returned, and the published file are for the next
 * process. Messages that come meanwhile wait in it. */
int control_hand_over(struct control *c, uint64_t *next_event);
/* Take the published file away, end the thread and free. NULL does nothing. */
void control_stop(struct control *c);

#endif
