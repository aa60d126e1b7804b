// SPDX-License-Identifier: Apache-2.0
#include "ctl/flight.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define CHUNK    256      /* entries copied before they are looked at again */
#define PAUSE_NS 20000000 /* between two looks of flight_watch() */

/* ---- files ----------------------------------------------------------------------------------- */

static const size_t entry_bytes[OOO_RECORD_RINGS] = {
	[OOO_RECORD_REQUESTS] = sizeof(struct ooo_record_request),
	[OOO_RECORD_BUNDLES] = sizeof(struct ooo_record_bundle),
	[OOO_RECORD_MEMBERS] = sizeof(struct ooo_record_member),
	[OOO_RECORD_EVENTS] = sizeof(struct ooo_record_event),
	[OOO_RECORD_NAMES] = sizeof(struct ooo_record_name),
};

static struct flight_list *list_of(struct flight_device *d, unsigned ring)
{
	struct flight_list *lists[OOO_RECORD_RINGS] = {
		[OOO_RECORD_REQUESTS] = &d->requests, [OOO_RECORD_BUNDLES] = &d->bundles,
		[OOO_RECORD_MEMBERS] = &d->members,   [OOO_RECORD_EVENTS] = &d->events,
		[OOO_RECORD_NAMES] = &d->names,
	};

	return lists[ring];
}

static bool header_valid(const struct ooo_record_header *h, size_t bytes)
{
	if (h->magic != OOO_RECORD_MAGIC || h->version != OOO_RECORD_VERSION || h->bytes > bytes)
		return false;
	for (unsigned k = 0; k < OOO_RECORD_RINGS; k++) {
		const struct ooo_record_ring *r = &h->ring[k];

		if (r->entry_bytes != entry_bytes[k] || !r->entries ||
		    r->entries & (r->entries - 1) || r->off > bytes || r->off % 8 ||
		    (uint64_t)r->entries * r->entry_bytes > bytes - r->off)
			return false;
	}
	return true;
}

/* 0, or -errno; -EPROTO: not a recorder, or of another version. */
static int open_device(struct flight_device *d, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;
	int err = 0;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st))
		err = -errno;
	else if (!S_ISREG(st.st_mode) || st.st_size < (off_t)OOO_RECORD_HEADER_BYTES)
		err = -EPROTO;
	if (!err) {
		d->bytes = (size_t)st.st_size;
		d->map = mmap(NULL, d->bytes, PROT_READ, MAP_SHARED, fd, 0);
		if (d->map == MAP_FAILED) {
			err = -errno;
			d->map = NULL;
		}
	}
	close(fd);
	if (!d->map)
		return err;
	d->header = *d->map;
	d->header.name[sizeof(d->header.name) - 1] = '\0';
	for (unsigned k = 0; k < OOO_RECORD_RINGS; k++)
		list_of(d, k)->item_bytes = entry_bytes[k];
	return header_valid(&d->header, d->bytes) ? 0 : -EPROTO;
}

static void close_device(struct flight_device *d)
{
	if (d->map)
		munmap((void *)d->map, d->bytes);
	for (unsigned k = 0; k < OOO_RECORD_RINGS; k++)
		free(list_of(d, k)->items);
	memset(d, 0, sizeof(*d));
}

static enum ctl_exit cannot_open(const char *path, int err, char *why, size_t why_bytes)
{
	if (err == -ENOENT) {
		snprintf(why, why_bytes,
			 "no flight recorder: %s is not there (is an agent running, and not with "
			 "--record off?)",
			 path);
		return CTL_NO_AGENT;
	}
	if (err == -EPROTO)
		snprintf(why, why_bytes, "%s: not a flight recorder that this ooo-ctl can read",
			 path);
	else
		snprintf(why, why_bytes, "%s: %s%s", path, strerror(-err),
			 err == -EACCES ? " (root and the administrators' group may read it)" : "");
	return CTL_REFUSED;
}

enum ctl_exit flight_open(const char *dir, struct flight *f, char *why, size_t why_bytes)
{
	char path[4096];
	int err;

	memset(f, 0, sizeof(*f));
	for (unsigned i = 0; i < FLIGHT_MAX_DEVICES; i++) {
		struct flight_device *d = &f->devices[f->nr];

		snprintf(path, sizeof(path), "%s/" OOO_RECORD_FILE "%u", dir, i);
		err = open_device(d, path);
		if (!err && (!f->nr || d->header.agent_id == f->devices[0].header.agent_id)) {
			f->nr++;
			continue;
		}
		/* A killed agent's, that had more devices. */
		close_device(d);
		if (i)
			continue;
		return cannot_open(path, err, why, why_bytes);
	}
	return CTL_OK;
}

void flight_close(struct flight *f)
{
	for (unsigned i = 0; i < f->nr; i++)
		close_device(&f->devices[i]);
	f->nr = 0;
}

/* ---- rings ----------------------------------------------------------------------------------- */

static int list_reserve(struct flight_list *l, size_t n)
{
	size_t max = l->max ? l->max : 1024;
	void *items;

	while (max - l->nr < n)
		max *= 2;
	if (max == l->max)
		return 0;
	items = realloc(l->items, max * l->item_bytes);
	if (!items)
		return -ENOMEM;
	l->items = items;
	l->max = max;
	return 0;
}

/* The oldest entry that nobody overwrites now. */
static uint64_t first_whole(const struct flight_device *d, unsigned ring)
{
	const struct ooo_record_ring *r = &d->map->ring[ring];
	uint64_t reserved;

	/* Pairs with the writer's release fence behind its store of `reserved`. */
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	reserved = __atomic_load_n(&r->reserved, __ATOMIC_RELAXED);
	return reserved > d->header.ring[ring].entries ? reserved - d->header.ring[ring].entries
						       : 0;
}

static uint64_t written(const struct flight_device *d, unsigned ring)
{
	/* Pairs with the writer's release behind the entries. */
	return __atomic_load_n(&d->map->ring[ring].written, __ATOMIC_ACQUIRE);
}

static void copy_entries(const struct flight_device *d, unsigned ring, uint64_t first, unsigned n,
			 char *to)
{
	const struct ooo_record_ring *r = &d->header.ring[ring];
	const char *base = (const char *)d->map + r->off;

	for (unsigned i = 0; i < n; i++)
		memcpy(to + (size_t)i * r->entry_bytes,
		       base + ((first + i) & (r->entries - 1)) * r->entry_bytes, r->entry_bytes);
}

/* Append a chunk from `first`; how many entries it was about is in *n. */
static int read_chunk(struct flight_device *d, unsigned ring, uint64_t first, uint64_t end,
		      unsigned *n)
{
	struct flight_list *l = list_of(d, ring);
	uint64_t whole;
	size_t torn;
	char *to;

	*n = end - first < CHUNK ? (unsigned)(end - first) : CHUNK;
	if (list_reserve(l, *n))
		return -ENOMEM;
	to = (char *)l->items + l->nr * l->item_bytes;
	copy_entries(d, ring, first, *n, to);
	whole = first_whole(d, ring);
	torn = whole > first ? (size_t)(whole - first) : 0;
	if (torn > *n)
		torn = *n;
	memmove(to, to + torn * l->item_bytes, (*n - torn) * l->item_bytes);
	l->nr += *n - torn;
	d->lost[ring] += torn;
	return 0;
}

static int read_ring(struct flight_device *d, unsigned ring)
{
	uint64_t end = written(d, ring), first = d->next[ring], whole = first_whole(d, ring);
	unsigned n;

	if (first < whole) {
		d->lost[ring] += first ? whole - first : 0;
		first = whole;
	}
	for (; first < end; first += n) {
		if (read_chunk(d, ring, first, end, &n))
			return -ENOMEM;
	}
	d->next[ring] = first > d->next[ring] ? first : d->next[ring];
	return 0;
}

/* A bundle's members go behind those read before; first_member from now on counts there. */
static int read_members(struct flight_device *d, struct ooo_record_bundle *b)
{
	struct flight_list *l = &d->members;
	uint32_t n = b->nr_members;

	if (n > d->header.ring[OOO_RECORD_MEMBERS].entries || list_reserve(l, n))
		return -ENOMEM;
	copy_entries(d, OOO_RECORD_MEMBERS, b->first_member, n,
		     (char *)l->items + l->nr * l->item_bytes);
	if (first_whole(d, OOO_RECORD_MEMBERS) > b->first_member) {
		d->lost[OOO_RECORD_MEMBERS] += n;
		b->nr_members = 0;
		return 0;
	}
	b->first_member = l->nr;
	l->nr += n;
	return 0;
}

/* A tenant did not read: that is what its last requests before waited for at their end. */
static void give_wake(struct flight_device *d, const struct ooo_record_event *e)
{
	uint64_t left = e->value, end_ns = e->start_ns + e->duration_ns;

	for (size_t i = d->requests.nr; i-- > 0 && left;) {
		struct ooo_record_request *r = (struct ooo_record_request *)d->requests.items + i;

		if (r->tenant != e->tenant || r->finish_ns > e->start_ns)
			continue;
		r->stage_ns[OOO_STAGE_WAKE] = end_ns - r->finish_ns;
		left -= r->weight < left ? r->weight : left;
	}
}

static int read_device(struct flight_device *d)
{
	size_t before = d->bundles.nr, events = d->events.nr;

	/* Requests first: then the bundles that they were in are there too. */
	if (read_ring(d, OOO_RECORD_REQUESTS) || read_ring(d, OOO_RECORD_BUNDLES) ||
	    read_ring(d, OOO_RECORD_EVENTS) || read_ring(d, OOO_RECORD_NAMES))
		return -ENOMEM;
	for (; events < d->events.nr; events++) {
		if (flight_event(d, events)->kind == OOO_RECORD_EVENT_READER)
			give_wake(d, flight_event(d, events));
	}
	for (size_t i = before; i < d->bundles.nr; i++) {
		if (read_members(d, (struct ooo_record_bundle *)d->bundles.items + i))
			return -ENOMEM;
	}
	return 0;
}

int flight_read(struct flight *f)
{
	int err = 0;

	for (unsigned i = 0; i < f->nr && !err; i++)
		err = read_device(&f->devices[i]);
	return err;
}

void flight_skip(struct flight *f)
{
	for (unsigned i = 0; i < f->nr; i++) {
		struct flight_device *d = &f->devices[i];

		for (unsigned k = 0; k < OOO_RECORD_RINGS; k++)
			d->next[k] = k == OOO_RECORD_NAMES ? 0 : written(d, k);
	}
}

static volatile sig_atomic_t interrupted;

static void interrupt(int signal)
{
	(void)signal;
	interrupted = 1;
}

int flight_watch(struct flight *f, uint64_t ns)
{
	struct sigaction action = { .sa_handler = interrupt, .sa_flags = (int)SA_RESETHAND };
	struct timespec now, pause = { .tv_nsec = PAUSE_NS };
	uint64_t start, at;
	int err;

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	clock_gettime(CLOCK_MONOTONIC, &now);
	start = at = (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
	do {
		uint64_t left = start + ns - at;

		if (left < PAUSE_NS)
			pause.tv_nsec = (long)left;
		nanosleep(&pause, NULL);
		err = flight_read(f);
		clock_gettime(CLOCK_MONOTONIC, &now);
		at = (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
	} while (!err && !interrupted && at - start < ns);
	return err;
}

/* ---- what it means --------------------------------------------------------------------------- */

uint64_t flight_now_ns(const struct flight_device *d)
{
	struct timespec now;
	uint64_t last = d->header.start_ns;

	clock_gettime(CLOCK_MONOTONIC, &now);
	if (!d->header.virtual_clock)
		return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
	if (d->requests.nr)
		last = flight_request(d, d->requests.nr - 1)->finish_ns;
	if (d->bundles.nr && flight_bundle(d, d->bundles.nr - 1)->retire_ns > last)
		last = flight_bundle(d, d->bundles.nr - 1)->retire_ns;
	return last;
}

uint64_t flight_latency_ns(const struct ooo_record_request *r)
{
	return r->finish_ns - r->submit_ns + r->stage_ns[OOO_STAGE_WAKE];
}

const struct ooo_record_name *flight_name(const struct flight_device *d, uint32_t tenant,
					  uint32_t program)
{
	const struct ooo_record_name *names = d->names.items;

	/* The last one: a program's id may be another's again. */
	for (size_t i = d->names.nr; i-- > 0;) {
		if (names[i].tenant == tenant && names[i].program == program)
			return &names[i];
	}
	return NULL;
}

const char *flight_label(const struct flight_device *d, uint32_t tenant,
			 char buf[FLIGHT_LABEL_BYTES])
{
	const struct ooo_record_name *n = flight_name(d, tenant, OOO_RECORD_NONE);

	snprintf(buf, FLIGHT_LABEL_BYTES, "%u:%.*s", tenant, OOO_RECORD_NAME_BYTES - 1,
		 n ? n->name : "?");
	return buf;
}

bool flight_is_tenant(const struct flight_device *d, uint32_t tenant, const char *what)
{
	const struct ooo_record_name *n;
	char id[16];

	if (!what)
		return true;
	snprintf(id, sizeof(id), "%u", tenant);
	if (!strcmp(id, what))
		return true;
	n = flight_name(d, tenant, OOO_RECORD_NONE);
	return n && !strncmp(n->name, what, sizeof(n->name));
}

const char *flight_stage_key(unsigned stage)
{
	static const char *const keys[OOO_RECORD_STAGES] = {
#define STAGE(NAME, key, help) key,
		OOO_RECORD_STAGE_LIST(STAGE)
#undef STAGE
	};

	return stage < OOO_RECORD_STAGES ? keys[stage] : "?";
}

const char *flight_event_key(unsigned kind)
{
	static const char *const keys[OOO_RECORD_EVENT_KINDS] = { "none",
#define EVENT(NAME, key, help) key,
								  OOO_RECORD_EVENT_LIST(EVENT)
#undef EVENT
	};

	return kind < OOO_RECORD_EVENT_KINDS ? keys[kind] : "?";
}

const char *flight_status_key(uint32_t status)
{
	static const struct {
		uint32_t code;
		const char *key;
	} keys[] = {
#define STATUS(NAME, code, key, help) { code, key },
#include "shared/abi/status.def"
#undef STATUS
	};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		if (keys[i].code == status)
			return keys[i].key;
	}
	return "?";
}

void flight_json_text(FILE *out, const char *text)
{
	fputc('"', out);
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '"' || c == '\\')
			fprintf(out, "\\%c", c);
		else if (c < 0x20 || c > 0x7e)
			fprintf(out, "\\u%04x", c);
		else
			fputc(c, out);
	}
	fputc('"', out);
}
