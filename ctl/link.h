/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transport: find the agent, ask it, believe nobody else. Protocol: shared/abi/control.h. Functions
 * that return enum ctl_exit leave a sentence in why unless it is CTL_OK.
 */
#ifndef OOO_CTL_LINK_H
#define OOO_CTL_LINK_H

#include <linux/netlink.h>
#include <netlink/attr.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "ctl/words.h"

#define LINK_WHY_BYTES 512

/* What the agent published. */
struct agent_file {
	uint32_t port;
	pid_t pid;
	uid_t uid;
	uint64_t agent_id;
	uint64_t netns; /* inode; 0: the agent could not tell */
};

enum ctl_exit agent_file_read(const char *dir, struct agent_file *out, char *why, size_t why_bytes);

struct link;

struct link_request {
	uint16_t type;   /* enum ooo_ctl_type */
	uint8_t reply;   /* enum ooo_ctl_reply */
	bool has_cursor; /* dumps: begin here */
	uint64_t cursor;
	/* By enum ooo_ctl_attr. A text is in argv. */
	uint64_t has;
	uint64_t value[OOO_CTL_A_LIMIT];
	const char *text[OOO_CTL_A_LIMIT]; /* NULL: a number */
};

static inline void link_put(struct link_request *r, int attr, uint64_t value, const char *text)
{
	r->has |= 1ull << attr;
	r->value[attr] = value;
	r->text[attr] = text;
}

/* One record of an answer; non-zero stops and is taken as a broken answer. */
typedef int (*link_record_fn)(int attr, struct nlattr *nest, void *arg);

enum ctl_exit ctl_link_open(const struct agent_file *agent, struct link **out, char *why,
			    size_t why_bytes);
void ctl_link_close(struct link *l);
/* Ask and take the whole answer, over all parts and cursors. why: what is wrong, or what the agent
 * acknowledged with. */
enum ctl_exit ctl_link_call(struct link *l, const struct link_request *request, link_record_fn fn,
			    void *arg, char *why, size_t why_bytes);

/* Is the datagram the agent's, after what the kernel says of its sender? cred NULL: it had none. */
bool link_sender_ok(const struct agent_file *agent, uint32_t port, const struct ucred *cred);

#endif
