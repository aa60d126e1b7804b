// SPDX-License-Identifier: Apache-2.0
#include "agent/watch/stages.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/log.h"

static size_t bytes_of(uint32_t nr)
{
	return (size_t)nr * sizeof(struct ooo_tenant_stages);
}

/* Those whose tenants are connected wait for stages_take(). */
static int map_places(struct stages *s, uint32_t nr)
{
	void *at = mmap(NULL, bytes_of(nr), PROT_READ | PROT_WRITE, MAP_SHARED, s->fd, 0);

	if (at == MAP_FAILED)
		return -errno;
	s->free = calloc(nr, sizeof(*s->free));
	if (!s->free) {
		munmap(at, bytes_of(nr));
		return -ENOMEM;
	}
	s->places = at;
	s->nr = nr;
	for (uint32_t i = 0; i < nr; i++) {
		if (!s->places[i].connected)
			s->free[s->nr_free++] = i;
	}
	return 0;
}

static int plain_memory(uint32_t nr)
{
	int fd = memfd_create("ooo-stages", MFD_CLOEXEC);

	if (fd >= 0 && !ftruncate(fd, (off_t)bytes_of(nr)))
		return fd;
	if (fd >= 0)
		close(fd);
	return -errno;
}

int stages_open(struct stages *s, uint32_t nr, const char *bpf_fs, const char *name)
{
	char why[256];
	int err;

	*s = (struct stages)STAGES_NONE;
	if (!strcmp(bpf_fs, "off"))
		return 0;
	if (strcmp(bpf_fs, "memory") != 0) {
		s->fd = pinned_make(nr, bpf_fs, name, s->pin, why, sizeof(why));
		if (s->fd < 0)
			log_info("times by stage are counted in plain memory: %s", why);
		else if (!s->pin[0])
			log_info("times by stage are counted in a map that is not pinned: %s", why);
	}
	if (s->fd < 0)
		s->fd = plain_memory(nr);
	err = s->fd < 0 ? -ENOMEM : map_places(s, nr);
	if (err)
		stages_close(s);
	return err;
}

int stages_adopt(struct stages *s, int fd, uint32_t nr, const char *pin)
{
	struct stat st;
	int err;

	*s = (struct stages){ .fd = fd };
	snprintf(s->pin, sizeof(s->pin), "%s", pin);
	/* A map says how long it is when it is mapped; a memfd would fault. */
	if (!fstat(fd, &st) && S_ISREG(st.st_mode) && st.st_size &&
	    (uint64_t)st.st_size < bytes_of(nr))
		err = -EINVAL;
	else
		err = map_places(s, nr);
	if (err)
		stages_close(s);
	return err;
}

void stages_close(struct stages *s)
{
	if (s->pin[0])
		pinned_remove(s->pin);
	if (s->places)
		munmap(s->places, bytes_of(s->nr));
	if (s->fd >= 0)
		close(s->fd);
	free(s->free);
	*s = (struct stages)STAGES_NONE;
}

struct ooo_tenant_stages *stages_take(struct stages *s, const struct tenant *t, uint64_t before)
{
	struct ooo_tenant_stages *place;

	if (!s || !s->places)
		return NULL;
	if (before && before <= s->nr && s->places[before - 1].tenant == t->id)
		return &s->places[before - 1];
	if (!s->nr_free)
		return NULL;
	place = &s->places[s->free[s->first]];
	s->first = (s->first + 1) % s->nr;
	s->nr_free--;
	memset(place, 0, sizeof(*place));
	memcpy(place->name, t->name, sizeof(place->name));
	place->tenant = t->id;
	place->connected = 1;
	return place;
}

void stages_give(struct stages *s, struct ooo_tenant_stages *place)
{
	if (!place)
		return;
	place->connected = 0;
	s->free[(s->first + s->nr_free++) % s->nr] = (uint32_t)(place - s->places);
}

uint64_t stages_place(const struct stages *s, const struct ooo_tenant_stages *place)
{
	return place ? (uint64_t)(place - s->places) + 1 : 0;
}
