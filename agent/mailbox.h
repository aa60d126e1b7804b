/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mail between the door (main thread) and the dispatcher: two single-producer, single-consumer
 * queues of pointers and an eventfd each way. Every mail that the door sends comes back with its
 * result, so a mail has one owner at any time and neither side needs a lock. The door answers a tenant only when
 * the mail is back: what the tenant does next cannot overtake it.
 */
#ifndef OOO_AGENT_MAILBOX_H
#define OOO_AGENT_MAILBOX_H

#include <stdbool.h>
#include <stdint.h>

#define MAILBOX_ENTRIES 1024 /* mails outstanding at most */

enum mail_type {
	MAIL_TENANT_ADD,    /* tenant */
	MAIL_TENANT_DEL,    /* tenant; back when nothing of it is in flight */
	MAIL_PROGRAM_ADD,   /* inst */
	MAIL_PROGRAM_DEL,   /* inst; result -EBUSY while requests of it are in flight */
	MAIL_BIND_ADD,      /* inst, binding, index */
	MAIL_BIND_DEL,      /* inst, index; binding is returned; result -EBUSY, -ENOENT */
	MAIL_TENANT_PARAMS, /* tenant, params: copied; what holds from the next turn on */
	MAIL_PARTITION_ADD, /* errand */
	MAIL_PARTITION_DEL, /* errand; result -EBUSY while somebody is in it */
	MAIL_LOOK_REQUESTS, /* errand, tenant */
	MAIL_LOOK_BUNDLES,  /* errand */
	MAIL_REFUSE,        /* index: 1 refuse new work, 0 take it again */
	MAIL_DRAIN,         /* refuse new work; back when nothing is in flight */
	MAIL_PAUSE, /* fetch nothing more; back when nothing is in flight. What runs after index ms, or on
		     * a lost device, fails with OOO_DEVICE_RESET */
	MAIL_RESUME, /* fetch, or again; MAIL_PAUSE goes back first; a lost device is gone for good */
	MAIL_STOP,   /* back at once, and the dispatcher thread ends */
};

struct errand;

struct mail {
	uint32_t type; /* enum mail_type */
	int result;    /* 0 or -errno, set by the dispatcher */
	struct tenant *tenant;
	struct program_inst *inst;
	struct device_binding *binding;
	const struct tenant_params *params;
	struct errand *errand; /* NULL: it is none's */
	uint32_t index;
	void *cookie;      /* the sender's */
	struct mail *next; /* the owner's list */
};

struct mail_queue {
	uint32_t head __attribute__((aligned(64))); /* consumer's */
	uint32_t tail __attribute__((aligned(64))); /* producer's */
	struct mail *entries[MAILBOX_ENTRIES] __attribute__((aligned(64)));
};

struct mailbox {
	struct mail_queue to_dispatcher, to_door;
	int dispatcher_fd;    /* eventfd: written by the door after each send */
	int door_fd;          /* eventfd: written by the dispatcher after each return */
	uint32_t outstanding; /* door's: sent and not yet back */
};

int mailbox_init(struct mailbox *mb); /* 0 or -errno */
void mailbox_fini(struct mailbox *mb);

/* Door: send (-EAGAIN: MAILBOX_ENTRIES outstanding; keep it and retry after the next return) and
 * take back a returned mail (NULL: none). */
int mailbox_send(struct mailbox *mb, struct mail *mail);
struct mail *mailbox_returned(struct mailbox *mb);

/* Dispatcher: look (no system call), take (NULL: none) and give back. */
bool mailbox_pending(const struct mailbox *mb);
struct mail *mailbox_take(struct mailbox *mb);
void mailbox_return(struct mailbox *mb, struct mail *mail);
void mailbox_nudge(struct mailbox *mb); /* the door looks, though no mail comes back */

#endif
