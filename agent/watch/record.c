// SPDX-License-Identifier: Apache-2.0
#include "agent/watch/record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "agent/device/device.h"
#include "agent/log.h"
#include "agent/request.h"
#include "agent/tenant/tenant.h"
#include "agent/watch/stage.h"

/* ---- the file -------------------------------------------------------------------------------- */

/* Entries of each ring for every 8 requests. */
static const struct {
	uint32_t share, entry_bytes;
} shapes[OOO_RECORD_RINGS] = {
	[OOO_RECORD_REQUESTS] = { 8, sizeof(struct ooo_record_request) },
	[OOO_RECORD_BUNDLES] = { 16, sizeof(struct ooo_record_bundle) },
	[OOO_RECORD_MEMBERS] = { 128, sizeof(struct ooo_record_member) },
	[OOO_RECORD_EVENTS] = { 4, sizeof(struct ooo_record_event) },
	[OOO_RECORD_NAMES] = { 1, sizeof(struct ooo_record_name) },
};

static uint64_t layout_bytes(uint32_t requests)
{
	uint64_t bytes = OOO_RECORD_HEADER_BYTES;

	for (unsigned k = 0; k < OOO_RECORD_RINGS; k++)
		bytes += (uint64_t)requests / 8 * shapes[k].share * shapes[k].entry_bytes;
	return bytes;
}

/* The most requests, a power of two, that fit. */
static uint32_t fit(uint64_t bytes)
{
	uint32_t requests = 64;

	while (requests < 1u << 27 && layout_bytes(requests * 2) <= bytes)
		requests *= 2;
	return requests;
}

static void lay_out(struct record *rec, uint32_t requests)
{
	uint64_t off = OOO_RECORD_HEADER_BYTES;

	for (unsigned k = 0; k < OOO_RECORD_RINGS; k++) {
		struct ooo_record_ring *shared = &rec->header->ring[k];

		shared->off = off;
		shared->entries = requests / 8 * shapes[k].share;
		shared->entry_bytes = shapes[k].entry_bytes;
		rec->ring[k] = (struct record_ring){
			.shared = shared,
			.entries = (char *)rec->header + off,
			.mask = shared->entries - 1,
		};
		off += (uint64_t)shared->entries * shared->entry_bytes;
	}
}

static void fill_header(struct record *rec, const struct record_config *config)
{
	struct ooo_record_header *h = rec->header;
	struct timespec real;

	clock_gettime(CLOCK_REALTIME, &real);
	h->version = OOO_RECORD_VERSION;
	h->bytes = rec->bytes;
	h->agent_id = config->agent_id;
	h->pid = (uint32_t)getpid();
	h->device = config->device;
	h->start_ns = config->now_ns;
	h->real_ns = (uint64_t)real.tv_sec * 1000000000ull + (uint64_t)real.tv_nsec;
	h->nr_lanes = config->caps->nr_lanes ? config->caps->nr_lanes : 1;
	h->width = config->caps->width ? config->caps->width : config->caps->threads;
	h->virtual_clock = config->caps->virtual_clock;
	h->launch_ns = config->caps->launch_ns;
	h->on_host = !config->caps->width && config->caps->executes;
	h->request_rate = RECORD_REQUESTS * (1000000000u / RECORD_SLICE_NS);
	snprintf(h->name, sizeof(h->name), "%s", config->caps->name);
	h->magic = OOO_RECORD_MAGIC;
}

/*
 * The whole file is there before the dispatcher writes to it: no page of it is missing on the hot
 * path, and a full file system is noticed here, not by SIGBUS.
 */
static int map_file(struct record *rec, const struct record_config *config, int fd)
{
	int err = posix_fallocate(fd, 0, (off_t)rec->bytes);

	if (err)
		return -err;
	if (config->has_group && fchown(fd, (uid_t)-1, config->group))
		return -errno;
	if (fchmod(fd, 0640))
		return -errno;
	rec->header =
		mmap(NULL, rec->bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
	if (rec->header == MAP_FAILED) {
		rec->header = NULL;
		return errno ? -errno : -ENOMEM;
	}
	return 0;
}

static int create(struct record *rec, const struct record_config *config)
{
	uint32_t requests = fit(config->bytes);
	char tmp[sizeof(rec->path) + 4];
	int fd, err;

	snprintf(tmp, sizeof(tmp), "%s.new", rec->path);
	unlink(tmp);
	fd = open(tmp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	rec->bytes = layout_bytes(requests);
	err = map_file(rec, config, fd);
	if (!err) {
		lay_out(rec, requests);
		fill_header(rec, config);
		err = rename(tmp, rec->path) ? -errno : 0;
	}
	if (err)
		unlink(tmp);
	close(fd);
	return err;
}

void record_remove(const char *dir, uint32_t device)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/" OOO_RECORD_FILE "%u", dir, device);
	unlink(path);
}

int record_open(const struct record_config *config, struct record **out)
{
	struct record *rec = calloc(1, sizeof(*rec));
	int err = -ENOMEM;

	if (rec) {
		snprintf(rec->path, sizeof(rec->path), "%s/" OOO_RECORD_FILE "%u", config->dir,
			 config->device);
		rec->stride = rec->skip = rec->weight = 1;
		rec->slow_ns = 1000;
		err = create(rec, config);
	}
	if (!err) {
		*out = rec;
		return 0;
	}
	log_warn("no flight recorder: cannot make %s of %llu MiB: %s (choose a size with --record)",
		 rec ? rec->path : OOO_RECORD_FILE, (unsigned long long)config->bytes >> 20,
		 strerror(-err));
	if (rec && rec->header)
		munmap(rec->header, rec->bytes);
	free(rec);
	return err;
}

void record_close(struct record *rec)
{
	if (!rec)
		return;
	unlink(rec->path);
	munmap(rec->header, rec->bytes);
	free(rec);
}

/* ---- rings ----------------------------------------------------------------------------------- */

/* Say which entries are about to be overwritten, so that a reader of them knows. */
static void reserve(struct record_ring *ring, uint32_t n)
{
	__atomic_store_n(&ring->shared->reserved, ring->next + n, __ATOMIC_RELAXED);
	/* Pairs with the reader's acquire fence between its copy and its look at `reserved`. */
	__atomic_thread_fence(__ATOMIC_RELEASE);
}

static void publish(struct record_ring *ring, uint32_t n)
{
	ring->next += n;
	/* Pairs with the reader's acquire of `written` before it copies. */
	__atomic_store_n(&ring->shared->written, ring->next, __ATOMIC_RELEASE);
}

static void *entry(const struct record_ring *ring, uint64_t i, size_t bytes)
{
	return ring->entries + (i & ring->mask) * bytes;
}

/* ---- budgets --------------------------------------------------------------------------------- */

static void new_slice(struct record *rec, uint64_t now_ns)
{
	rec->stride = rec->seen / RECORD_REQUESTS + 1;
	if (rec->stride > UINT16_MAX)
		rec->stride = UINT16_MAX;
	rec->seen = rec->ordinary = rec->important = 0;
	rec->members_left = RECORD_MEMBERS;
	rec->slice_end_ns = now_ns + RECORD_SLICE_NS;
}

/* How many requests a record of this one would stand for; 0: leave it out. */
static uint32_t weigh(struct record *rec, bool failed, uint64_t latency_ns)
{
	bool slow = latency_ns > rec->slow_ns;
	uint32_t weight;

	rec->seen++;
	/* Up by a part in 64 for each that is slower, down by one in 4096 for each that is not. */
	if (slow)
		rec->slow_ns += rec->slow_ns / 64 + 1;
	else
		rec->slow_ns -= rec->slow_ns / 4096;
	if ((slow || failed) && rec->important < RECORD_IMPORTANT) {
		rec->important++;
		return 1;
	}
	if (--rec->skip)
		return 0;
	/* A burst within a slice: from its budget's end on, half as many of the rest. */
	if (++rec->ordinary > RECORD_REQUESTS && rec->stride < UINT16_MAX / 2) {
		rec->ordinary = RECORD_REQUESTS / 2;
		rec->stride *= 2;
	}
	weight = rec->weight;
	rec->skip = rec->weight = rec->stride;
	return weight;
}

/* ---- records --------------------------------------------------------------------------------- */

void record_name(struct record *rec, uint64_t now_ns, const struct tenant *t,
		 const struct program_inst *inst)
{
	struct record_ring *ring = &rec->ring[OOO_RECORD_NAMES];
	struct ooo_record_name *n = entry(ring, ring->next, sizeof(*n));

	reserve(ring, 1);
	*n = (struct ooo_record_name){
		.at_ns = now_ns,
		.tenant = t->id,
		.program = inst ? inst->id : OOO_RECORD_NONE,
		.uid = t->uid,
		.pid = (uint32_t)t->pid,
		.nr_steps = inst ? inst->program->nr_steps : 0,
	};
	memcpy(n->name, inst ? inst->program->name : t->name, sizeof(n->name));
	n->name[sizeof(n->name) - 1] = '\0';
	publish(ring, 1);
}

void record_event(struct record *rec, const struct ooo_record_event *event)
{
	struct record_ring *ring = &rec->ring[OOO_RECORD_EVENTS];
	struct ooo_record_event *e = entry(ring, ring->next, sizeof(*e));

	reserve(ring, 1);
	*e = *event;
	publish(ring, 1);
}

static const struct step *step_of(const struct bundle_item *item)
{
	const struct request *r = item->request;

	return &r->inst->program->steps[item->step];
}

static void fill_member(struct ooo_record_member *m, const struct bundle_item *item)
{
	const struct request *r = item->request;

	*m = (struct ooo_record_member){
		.request = (uint32_t)r->number,
		.tenant = r->tenant->id,
		.step = item->step,
		.service_ns = item->service_ns,
		.predicted_ns = item->predicted_ns,
		.program = (uint8_t)r->inst->id,
		.klass = step_of(item)->klass,
		.copy = stage_is_copy(step_of(item)),
		.status = (uint8_t)item->status,
	};
}

void record_bundle(struct record *rec, uint64_t now_ns, const struct bundle *b)
{
	struct record_ring *bundles = &rec->ring[OOO_RECORD_BUNDLES];
	struct record_ring *members = &rec->ring[OOO_RECORD_MEMBERS];
	struct ooo_record_bundle *to;
	uint64_t service_ns = 0;

	rec->nr_bundles++;
	if (now_ns >= rec->slice_end_ns)
		new_slice(rec, now_ns);
	if (rec->members_left < b->nr_items)
		return;
	rec->members_left -= b->nr_items;
	reserve(members, b->nr_items);
	for (uint32_t i = 0; i < b->nr_items; i++) {
		fill_member(entry(members, members->next + i, sizeof(struct ooo_record_member)),
			    &b->items[i]);
		service_ns += b->items[i].service_ns;
	}
	publish(members, b->nr_items);
	to = entry(bundles, bundles->next, sizeof(*to));
	reserve(bundles, 1);
	*to = (struct ooo_record_bundle){
		.number = rec->nr_bundles - 1,
		.submit_ns = b->submit_ns,
		.start_ns = b->start_ns,
		.end_ns = b->end_ns,
		.retire_ns = now_ns,
		.predicted_ns = b->predicted_ns,
		.service_ns = service_ns,
		.first_member = members->next - b->nr_items,
		.nr_members = b->nr_items,
		.lane = b->lane,
		.klass = step_of(&b->items[0])->klass,
		.scope = (uint8_t)b->scope,
	};
	publish(bundles, 1);
}

void record_fill(struct ooo_record_request *to, uint64_t now_ns, const struct request *r)
{
	const struct program_inst *inst = r->inst;
	uint64_t width = r->steps_done ? (uint64_t)r->width_sum * 16 / r->steps_done : 0;

	*to = (struct ooo_record_request){
		.number = r->number,
		.tenant = r->tenant->id,
		.program = r->program_id,
		.cookie = r->cookie,
		.submit_ns = r->submit_ns,
		.fetch_ns = r->fetch_ns,
		.active_ns = r->active_ns,
		.issue_ns = r->start_ns,
		.finish_ns = now_ns,
		.deadline_ns = r->deadline_ns,
		.service_ns = r->service_ns,
		.work_ns = r->work_ns,
		.input_bytes = inst ? inst->input_bytes : 0,
		.output_bytes = inst ? inst->output_bytes : 0,
		.status = r->status,
		.steps = r->steps_done,
		.width = width < UINT16_MAX ? (uint16_t)width : UINT16_MAX,
		.lane = r->lane,
		.flags = r->record_flags,
		.weight = 1,
	};
	memcpy(to->stage_ns, r->stage_ns, sizeof(to->stage_ns));
}

static bool is_failed(const struct request *r)
{
	return r->status != OOO_OK;
}

void record_request(struct record *rec, uint64_t now_ns, const struct request *r)
{
	struct record_ring *ring = &rec->ring[OOO_RECORD_REQUESTS];
	uint64_t latency_ns = now_ns - r->submit_ns;
	struct ooo_record_request *to;
	uint32_t weight;

	if (now_ns >= rec->slice_end_ns)
		new_slice(rec, now_ns);
	weight = weigh(rec, is_failed(r), latency_ns);
	if (!weight)
		return;
	to = entry(ring, ring->next, sizeof(*to));
	reserve(ring, 1);
	record_fill(to, now_ns, r);
	to->weight = (uint16_t)weight;
	publish(ring, 1);
}
