/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The data of a builder's constants, written once, into the memfd that will be sent. Equal data is
 * stored once (tied weights, repeated scalars): a hash table finds the candidate, a comparison of
 * the bytes decides.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "shared/client/internal.h"

#define DATA_ALIGN  64
#define TABLES_ROOM (UINT64_C(64) << 20) /* more than the tables can take */
#define CHUNK       65536
#define FIRST_SLOTS 64
#define HASH_PRIME  UINT64_C(0x9e3779b97f4a7c15)

struct store_slot {
	uint64_t hash, off;
	uint64_t bytes; /* 0: the slot is empty */
};

struct store *client_store_new(void)
{
	struct store *store = calloc(1, sizeof(*store));

	if (store)
		store->fd = -1;
	return store;
}

void client_store_free(struct store *store)
{
	if (store->fd >= 0)
		close(store->fd);
	free(store->slots);
	free(store);
}

int client_write_at(int fd, const void *data, uint64_t bytes, uint64_t off)
{
	const char *from = data;

	while (bytes) {
		ssize_t n = pwrite(fd, from, bytes, (off_t)off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			/* No space in a memfd means no memory. */
			return n < 0 && errno != ENOSPC ? -errno : -ENOMEM;
		from += n;
		off += (uint64_t)n;
		bytes -= (uint64_t)n;
	}
	return 0;
}

static int read_at(int fd, void *data, uint64_t bytes, uint64_t off)
{
	char *to = data;

	while (bytes) {
		ssize_t n = pread(fd, to, bytes, (off_t)off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		to += n;
		off += (uint64_t)n;
		bytes -= (uint64_t)n;
	}
	return 0;
}

static uint64_t hash_bytes(const void *data, uint64_t bytes)
{
	const char *from = data;
	uint64_t hash = bytes * HASH_PRIME, word;

	for (; bytes >= sizeof(word); from += sizeof(word), bytes -= sizeof(word)) {
		memcpy(&word, from, sizeof(word));
		hash = (hash ^ word) * HASH_PRIME;
		hash ^= hash >> 32;
	}
	word = 0;
	memcpy(&word, from, bytes);
	hash = (hash ^ word) * HASH_PRIME;
	return hash ^ hash >> 32;
}

static bool same_data(const struct store *store, uint64_t off, const char *data, uint64_t bytes)
{
	char *chunk = malloc(CHUNK);
	bool same = chunk != NULL;

	while (same && bytes) {
		uint64_t n = bytes < CHUNK ? bytes : CHUNK;

		same = !read_at(store->fd, chunk, n, STORE_DATA_OFF + off) &&
		       !memcmp(chunk, data, n);
		data += n;
		off += n;
		bytes -= n;
	}
	free(chunk);
	return same;
}

/* Twice as many slots; half of them stay empty, so that every search ends. */
static int grow_slots(struct store *store)
{
	uint32_t n = store->nr_slots ? 2 * store->nr_slots : FIRST_SLOTS;
	struct store_slot *slots = calloc(n, sizeof(*slots));

	if (!slots)
		return -ENOMEM;
	for (uint32_t i = 0; i < store->nr_slots; i++) {
		uint32_t at = (uint32_t)store->slots[i].hash;

		if (!store->slots[i].bytes)
			continue;
		while (slots[at & (n - 1)].bytes)
			at++;
		slots[at & (n - 1)] = store->slots[i];
	}
	free(store->slots);
	store->slots = slots;
	store->nr_slots = n;
	return 0;
}

static int create(struct store *store, const char *name)
{
	store->fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	return store->fd < 0 ? -errno : 0;
}

static int append(struct store *store, const char *name, const void *data, uint64_t nbytes,
		  uint64_t *off)
{
	uint64_t end = store->data_bytes + nbytes;
	int rc = 0;

	if (end > OOO_PROG_MAX_BYTES - TABLES_ROOM)
		return -EFBIG;
	if (store->fd < 0)
		rc = create(store, name);
	else if (store->sealed)
		rc = client_store_reopen(store, name);
	if (!rc)
		rc = client_write_at(store->fd, data, nbytes, STORE_DATA_OFF + store->data_bytes);
	if (rc)
		return rc;
	*off = store->data_bytes;
	store->data_bytes = (end + DATA_ALIGN - 1) / DATA_ALIGN * DATA_ALIGN;
	return 0;
}

int client_store_add(struct store *store, const char *name, const void *data, uint64_t nbytes,
		     uint64_t *off)
{
	uint64_t hash;
	uint32_t at;
	int rc;

	*off = 0;
	if (!nbytes)
		return 0;
	if (2 * store->nr_used >= store->nr_slots) {
		rc = grow_slots(store);
		if (rc)
			return rc;
	}
	hash = hash_bytes(data, nbytes);
	for (at = (uint32_t)hash & (store->nr_slots - 1); store->slots[at].bytes;
	     at = (at + 1) & (store->nr_slots - 1)) {
		const struct store_slot *slot = &store->slots[at];

		if (slot->hash != hash || slot->bytes != nbytes ||
		    !same_data(store, slot->off, data, nbytes))
			continue;
		*off = slot->off;
		return 0;
	}
	rc = append(store, name, data, nbytes, off);
	if (rc)
		return rc;
	store->slots[at] = (struct store_slot){ .hash = hash, .off = *off, .bytes = nbytes };
	store->nr_used++;
	return 0;
}

int client_store_reopen(struct store *store, const char *name)
{
	struct store copy = *store;
	char *chunk;
	int rc;

	if (store->fd < 0)
		return create(store, name);
	chunk = malloc(CHUNK);
	rc = chunk ? create(&copy, name) : -ENOMEM;
	for (uint64_t off = 0; !rc && off < store->data_bytes; off += CHUNK) {
		uint64_t left = store->data_bytes - off;
		uint64_t n = left < CHUNK ? left : CHUNK;

		rc = read_at(store->fd, chunk, n, STORE_DATA_OFF + off);
		if (!rc)
			rc = client_write_at(copy.fd, chunk, n, STORE_DATA_OFF + off);
	}
	free(chunk);
	if (rc) {
		if (chunk && copy.fd >= 0 && copy.fd != store->fd)
			close(copy.fd);
		return rc;
	}
	close(store->fd);
	store->fd = copy.fd;
	store->sealed = false;
	return 0;
}
