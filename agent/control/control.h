/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control plane's agent side: a thread that answers ooo-ctl over NETLINK_USERSOCK, after the
 * protocol in shared/abi/control.h. It reads the registry and the dispatcher's counters and shares
 * nothing else with the flow, so nothing that a sender does reaches a turn.
 */
#ifndef OOO_AGENT_CONTROL_H
#define OOO_AGENT_CONTROL_H

struct control;
struct registry;

struct control_config {
	const char *runtime_dir; /* exists; the file `control` in it says where the agent listens */
	const char *group;       /* members may change things like root; NULL: root alone */
	struct registry *registry; /* outlives the control thread */
};

/*
 * Open the socket, publish it in the runtime directory and start the thread. Returns 0, or -errno
 * after a log line that says what to do: -ENOENT (no such group or directory), -EACCES, ...
 * Strings are not copied.
 */
int control_start(const struct control_config *config, struct control **out);
/* Take the published file away, end the thread and free. NULL does nothing. */
void control_stop(struct control *c);

#endif
