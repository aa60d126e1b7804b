/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/tenant/ring_map.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/abi/ring_sync.h"

#define SHARED_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

/* The descriptor of a memfd whose size and seals are final; < 0: -errno. */
static int sealed_memfd(const char *name, uint64_t bytes)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int err;

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)bytes) || fcntl(fd, F_ADD_SEALS, SHARED_SEALS)) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

static int map_memfd(uint64_t bytes, int flags, void **map, int fd)
{
	*map = NULL;
	if (!bytes)
		return 0;
	*map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | flags, fd, 0);
	if (*map != MAP_FAILED)
		return 0;
	*map = NULL;
	return -errno;
}

static int map_shared(const char *name, uint64_t bytes, int flags, void **map, int *fd)
{
	int err;

	*map = NULL;
	*fd = sealed_memfd(name, bytes);
	if (*fd < 0)
		return *fd;
	err = map_memfd(bytes, flags, map, *fd);
	if (err) {
		close(*fd);
		*fd = -1;
	}
	return err;
}

/* The same of a memfd that is there already: is it what sealed_memfd() makes? */
static int map_again(uint64_t bytes, int flags, void **map, int fd)
{
	struct stat st;

	*map = NULL;
	if (fstat(fd, &st) || st.st_size < 0 || (uint64_t)st.st_size != bytes ||
	    (fcntl(fd, F_GET_SEALS) & SHARED_SEALS) != SHARED_SEALS)
		return -EINVAL;
	return map_memfd(bytes, flags, map, fd);
}

static size_t page_align(size_t bytes)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	return (bytes + page - 1) / page * page;
}

static size_t sq_offset(void)
{
	return sizeof(struct ooo_ring);
}

static size_t cq_offset(uint32_t sq_entries)
{
	return sq_offset() + sq_entries * sizeof(struct ooo_sqe);
}

static size_t ring_bytes(uint32_t sq_entries, uint32_t cq_entries)
{
	return page_align(cq_offset(sq_entries) + cq_entries * sizeof(struct ooo_cqe));
}

static void lay_out(struct ring_map *m, void *map, uint32_t sq_entries, uint32_t cq_entries)
{
	*m = (struct ring_map){
		.ring = map,
		.sqes = (struct ooo_sqe *)((char *)map + sq_offset()),
		.cqes = (struct ooo_cqe *)((char *)map + cq_offset(sq_entries)),
		.bytes = ring_bytes(sq_entries, cq_entries),
		.sq_entries = sq_entries,
		.cq_entries = cq_entries,
		.sq_mask = sq_entries - 1,
		.cq_mask = cq_entries - 1,
	};
}

int ring_map_create(struct ring_map *m, uint32_t sq_entries, uint32_t cq_entries, int *fd)
{
	void *map;
	int err;

	memset(m, 0, sizeof(*m));
	/* Populated: the dispatcher takes no page faults on it. */
	err = map_shared("ooo-ring", ring_bytes(sq_entries, cq_entries), MAP_POPULATE, &map, fd);
	if (err)
		return err;
	if (!map)
		return -EINVAL; /* a ring has a header at least */
	lay_out(m, map, sq_entries, cq_entries);
	m->ring->magic = OOO_RING_MAGIC;
	m->ring->version = OOO_ABI_VERSION;
	m->ring->sq_entries = sq_entries;
	m->ring->cq_entries = cq_entries;
	m->ring->sq_off = (uint32_t)sq_offset();
	m->ring->cq_off = (uint32_t)cq_offset(sq_entries);
	ring_store_release(&m->ring->agent_state, OOO_AGENT_RUNNING);
	return 0;
}

int ring_map_attach(struct ring_map *m, uint32_t sq_entries, uint32_t cq_entries, int fd)
{
	void *map;
	int err;

	memset(m, 0, sizeof(*m));
	err = map_again(ring_bytes(sq_entries, cq_entries), MAP_POPULATE, &map, fd);
	if (err || !map)
		return err ? err : -EINVAL;
	lay_out(m, map, sq_entries, cq_entries);
	return 0;
}

void ring_map_destroy(struct ring_map *m)
{
	if (m->ring)
		munmap(m->ring, m->bytes);
	memset(m, 0, sizeof(*m));
}

int arena_create(uint64_t bytes, void **arena, int *fd)
{
	return map_shared("ooo-arena", bytes, MAP_NORESERVE, arena, fd);
}

int arena_attach(uint64_t bytes, void **arena, int fd)
{
	return map_again(bytes, MAP_NORESERVE, arena, fd);
}

void arena_destroy(void *arena, uint64_t bytes)
{
	if (arena)
		munmap(arena, bytes);
}
