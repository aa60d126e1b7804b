/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reconnect: everything is set up on a fresh link first, so that a failure leaves the client as it
 * was (gone, its arena readable) and can be tried again. Only then is the arena moved: the new
 * memory is mapped over the old addresses, so the user's pointers stay good.
 */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>

#include "shared/abi/ring_sync.h"
#include "shared/client/internal.h"

static int reload(struct ooo_client *client, struct link *fresh)
{
	for (struct ooo_program *p = client->programs; p; p = p->next) {
		int rc = client_send_load(client, fresh, p);

		for (struct ooo_binding *b = p->bindings; b && !rc; b = b->next)
			rc = client_send_bind(client, fresh, b);
		if (rc)
			return rc;
	}
	return 0;
}

/* Copy what bindings hold; the rest of the arena was never touched and need not exist. */
static void copy_bindings(const struct ooo_client *client, char *to)
{
	for (const struct ooo_program *p = client->programs; p; p = p->next)
		for (const struct ooo_binding *b = p->bindings; b; b = b->next)
			memcpy(to + b->off, client->arena.base + b->off, b->bytes);
}

static int move_arena(struct ooo_client *client, struct link *fresh)
{
	uint64_t bytes = client->opts.arena_bytes;
	char *to = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fresh->arena_fd, 0);

	if (to == MAP_FAILED)
		return -errno;
	copy_bindings(client, to);
	munmap(to, bytes);
	if (mmap(client->arena.base, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
		 fresh->arena_fd, 0) == MAP_FAILED)
		return -errno;
	close(fresh->arena_fd);
	fresh->arena_fd = -1;
	return 0;
}

/* Nothing below fails once the watch is in place. */
static int commit(struct ooo_client *client, struct link *fresh)
{
	struct link old = client->link;
	int rc = client_watch(client->epoll_fd, fresh);

	if (rc)
		return rc;
	pthread_mutex_lock(&client->lock);
	rc = client_requests_init(client, fresh);
	if (!rc) {
		client->link = *fresh;
		memcpy(client->device, fresh->device, sizeof(client->device));
		client->error[0] = '\0';
		client->error_since_gone = false;
		ring_store_release(&client->gone, 0);
	}
	pthread_mutex_unlock(&client->lock);
	if (rc) {
		client_unwatch(client->epoll_fd, fresh);
		return rc;
	}
	/* By hand: an agent that dropped us may still hold the eventfd, which keeps it watched. */
	client_unwatch(client->epoll_fd, &old);
	client_link_close(&old);
	return 0;
}

int ooo_reconnect(struct ooo_client *client)
{
	char why[CLIENT_ERROR_BYTES / 2];
	struct link fresh;
	int rc;

	if (!client_look(client))
		return 0;
	if (ooo_inflight(client))
		return client_fail(client, -EBUSY,
				   "reconnect: %u completions are unread: poll until it returns 0",
				   ooo_inflight(client));
	rc = client_link_open(&fresh, &client->opts, why, sizeof(why));
	if (rc) {
		client_fail(client, rc, "reconnect: %s", why);
		return rc == -EAGAIN ? -ECONNREFUSED : rc;
	}
	rc = reload(client, &fresh); /* leaves its own sentence */
	if (rc)
		goto fail;
	rc = move_arena(client, &fresh);
	if (!rc)
		rc = commit(client, &fresh);
	if (!rc)
		return 0;
	client_fail(client, rc, "reconnect: %s", strerror(-rc));
fail:
	client_link_close(&fresh);
	return rc;
}
