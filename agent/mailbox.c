/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two single-producer, single-consumer queues of pointers. A mail is in at most one of them and no
 * more than MAILBOX_ENTRIES are outstanding, so neither queue can overflow and only the door, when
 * it sends, has to look.
 */
#include "agent/mailbox.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "shared/abi/ring_sync.h"

#define MASK (MAILBOX_ENTRIES - 1)

_Static_assert((MAILBOX_ENTRIES & MASK) == 0, "indices are masked");

static void queue_put(struct mail_queue *q, struct mail *mail)
{
	uint32_t tail = ring_load_relaxed(&q->tail);

	q->entries[tail & MASK] = mail;
	/* Pairs with the acquire in queue_peek(): the entry and the mail before the index. */
	ring_store_release(&q->tail, tail + 1);
}

static bool queue_peek(const struct mail_queue *q)
{
	return ring_load_acquire(&q->tail) != ring_load_relaxed(&q->head);
}

static struct mail *queue_get(struct mail_queue *q)
{
	uint32_t head = ring_load_relaxed(&q->head);
	struct mail *mail;

	if (!queue_peek(q))
		return NULL;
	mail = q->entries[head & MASK];
	/* The producer needs no acquire of head: `outstanding` keeps it from lapping us. */
	ring_store_release(&q->head, head + 1);
	return mail;
}

/* Private to the agent, so the counter cannot be filled up: a failed write is impossible. */
static void wake(int fd)
{
	uint64_t one = 1;
	ssize_t n;

	do
		n = write(fd, &one, sizeof(one));
	while (n < 0 && errno == EINTR);
}

int mailbox_init(struct mailbox *mb)
{
	int err;

	memset(mb, 0, sizeof(*mb));
	mb->dispatcher_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (mb->dispatcher_fd < 0)
		return -errno;
	mb->door_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (mb->door_fd < 0) {
		err = -errno;
		close(mb->dispatcher_fd);
		return err;
	}
	return 0;
}

void mailbox_fini(struct mailbox *mb)
{
	close(mb->dispatcher_fd);
	close(mb->door_fd);
}

int mailbox_send(struct mailbox *mb, struct mail *mail)
{
	if (mb->outstanding == MAILBOX_ENTRIES)
		return -EAGAIN;
	mb->outstanding++;
	queue_put(&mb->to_dispatcher, mail);
	wake(mb->dispatcher_fd);
	return 0;
}

struct mail *mailbox_returned(struct mailbox *mb)
{
	struct mail *mail = queue_get(&mb->to_door);

	if (mail)
		mb->outstanding--;
	return mail;
}

bool mailbox_pending(const struct mailbox *mb)
{
	return queue_peek(&mb->to_dispatcher);
}

struct mail *mailbox_take(struct mailbox *mb)
{
	return queue_get(&mb->to_dispatcher);
}

void mailbox_return(struct mailbox *mb, struct mail *mail)
{
	queue_put(&mb->to_door, mail);
	wake(mb->door_fd);
}

void mailbox_nudge(struct mailbox *mb)
{
	wake(mb->door_fd);
}
