// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/why.h"

const char *why_key(enum why_part part)
{
	static const char *const keys[WHY_PARTS] = {
#define PART(NAME, key, words) key,
		WHY_PART_LIST(PART)
#undef PART
	};

	return keys[part];
}

const char *why_words(enum why_part part)
{
	static const char *const text[WHY_PARTS] = {
#define PART(NAME, key, words) words,
		WHY_PART_LIST(PART)
#undef PART
	};

	return text[part];
}

/* The agent holds a request so many launches for company. What it holds longer stood behind bundles
 * that would have run before it anyway: those are in the way then. */
#define HOLD_LAUNCHES 2ull

/* ---- one request ------------------------------------------------------------------------------ */

/* Of one request, while its life is cut into pieces. */
struct cutter {
	struct why *w;
	const struct why_index *index;
	uint64_t hold_ns;     /* not yet given to a piece */
	uint64_t last_end_ns; /* of its own bundles; 0: none */
};

static uint64_t overlap(uint64_t a, uint64_t b, uint64_t from, uint64_t to)
{
	if (a < from)
		a = from;
	if (b > to)
		b = to;
	return b > a ? b - a : 0;
}

static struct why_other *other_of(struct why *w, uint32_t tenant)
{
	for (unsigned i = 0; i < w->nr_others; i++) {
		if (w->others[i].tenant == tenant)
			return &w->others[i];
	}
	if (w->nr_others == WHY_MAX_OTHERS)
		return &w->others[WHY_MAX_OTHERS - 1];
	w->others[w->nr_others] = (struct why_other){ .tenant = tenant };
	return &w->others[w->nr_others++];
}

static bool is_own(const struct why *w, const struct ooo_record_member *m)
{
	return m->request == (uint32_t)w->r->number && m->tenant == w->r->tenant;
}

/* Time that one member's step takes from the request. */
static void give_to_member(struct why *w, const struct ooo_record_member *m, uint64_t ns)
{
	struct why_other *other;

	if (m->tenant == w->r->tenant) {
		w->part_ns[m->copy ? WHY_COPY : is_own(w, m) ? WHY_OWN : WHY_QUEUE] += ns;
		return;
	}
	other = other_of(w, m->tenant);
	w->part_ns[m->copy ? WHY_COPY : WHY_NEIGHBOUR] += ns;
	*(m->copy ? &other->copy_ns : &other->ns) += ns;
}

/* A bundle's time by its members' device time; own: only the request's own steps, or only others'. */
static void share(struct why *w, const struct ooo_record_bundle *b, uint64_t ns, int own)
{
	const struct ooo_record_member *m = flight_member(w->d, b->first_member);
	uint64_t sum = 0, done = 0, seen = 0;

	for (uint32_t i = 0; i < b->nr_members; i++) {
		if (own < 0 || own == is_own(w, &m[i]))
			sum += m[i].service_ns + 1ull;
	}
	for (uint32_t i = 0; i < b->nr_members; i++) {
		uint64_t upto;

		if (own >= 0 && own != is_own(w, &m[i]))
			continue;
		seen += m[i].service_ns + 1ull;
		/* Of cumulated sums, so that nothing is lost to rounding. */
		upto = (uint64_t)((double)ns * (double)seen / (double)sum + 0.5);
		give_to_member(w, &m[i], upto - done);
		done = upto;
	}
}

/*
 * A piece in which the request's own bundle runs. What its own steps were expected to take is its
 * own; by what the bundle takes longer, its company is in the way.
 */
static void own_piece(struct why *w, const struct ooo_record_bundle *b, uint64_t ns)
{
	const struct ooo_record_member *m = flight_member(w->d, b->first_member);
	uint64_t took = b->end_ns - b->start_ns, alone = 0, sum = 0, own = 0, mine;
	bool others = false;

	for (uint32_t i = 0; i < b->nr_members; i++) {
		sum += m[i].service_ns + 1ull;
		if (!is_own(w, &m[i])) {
			others = true;
			continue;
		}
		own += m[i].service_ns + 1ull;
		if (m[i].predicted_ns > alone)
			alone = m[i].predicted_ns;
	}
	/* At least its share: predictions may be far too small at first. */
	mine = (uint64_t)((double)took * (double)own / (double)sum);
	if (mine < alone)
		mine = alone;
	if (mine > took || !others)
		mine = took;
	mine = took ? (uint64_t)((double)ns * (double)mine / (double)took) : ns;
	share(w, b, mine, true);
	if (ns > mine)
		share(w, b, ns - mine, false);
}

/* Stalls of the dispatcher within a piece; returns what is left of it. */
static uint64_t take_stalls(struct cutter *c, uint64_t from, uint64_t to)
{
	struct why *w = c->w;
	uint64_t left = to - from;
	size_t low = 0, high = c->index->nr_stalls;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		const struct ooo_record_event *e = &c->index->stalls[mid];

		if (e->start_ns + e->duration_ns <= from)
			low = mid + 1;
		else
			high = mid;
	}
	for (; low < c->index->nr_stalls && left; low++) {
		const struct ooo_record_event *e = &c->index->stalls[low];
		uint64_t ns;

		if (e->start_ns >= to)
			break;
		ns = overlap(e->start_ns, e->start_ns + e->duration_ns, from, to);
		if (ns > left)
			ns = left;
		w->part_ns[e->value * 2 > e->duration_ns ? WHY_HOG : WHY_STOPPED] += ns;
		left -= ns;
	}
	return left;
}

static enum why_part idle_part(const struct cutter *c, uint64_t from)
{
	const struct ooo_record_request *r = c->w->r;

	if (from < r->fetch_ns)
		return WHY_RING;
	if (!r->issue_ns || from < r->issue_ns)
		return WHY_WINDOW;
	return c->last_end_ns && from >= c->last_end_ns ? WHY_RETIRE : WHY_LAUNCH;
}

/* A piece within one phase of the request's life: b ran on its lane, or NULL. */
static void piece(struct cutter *c, const struct ooo_record_bundle *b, bool own, uint64_t from,
		  uint64_t to)
{
	struct why *w = c->w;
	const struct ooo_record_request *r = w->r;
	uint64_t ns = to - from;

	/* A device beside the processor goes on while the dispatcher does not. */
	if (!b || w->d->header.on_host)
		ns = take_stalls(c, from, to);
	if (from < r->fetch_ns && r->flags & (OOO_RECORD_WAITED_READER | OOO_RECORD_WAITED_ROOM)) {
		w->part_ns[r->flags & OOO_RECORD_WAITED_READER ? WHY_READER : WHY_ROOM] += ns;
		return;
	}
	if (!own && from >= r->fetch_ns && c->hold_ns) {
		uint64_t held = c->hold_ns < ns ? c->hold_ns : ns;

		w->part_ns[WHY_HOLD] += held;
		c->hold_ns -= held;
		ns -= held;
	}
	if (!b || !b->nr_members)
		w->part_ns[idle_part(c, from)] += ns;
	else if (own)
		own_piece(w, b, ns);
	else
		share(w, b, ns, -1);
}

/* Phases change at these moments. */
static void pieces(struct cutter *c, const struct ooo_record_bundle *b, bool own, uint64_t from,
		   uint64_t to)
{
	const struct ooo_record_request *r = c->w->r;
	const uint64_t marks[] = { r->fetch_ns, r->issue_ns, c->last_end_ns };

	while (from < to) {
		uint64_t until = to;

		for (unsigned i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
			if (marks[i] > from && marks[i] < until)
				until = marks[i];
		}
		piece(c, b, own, from, until);
		from = until;
	}
}

static bool holds(const struct why *w, const struct ooo_record_bundle *b)
{
	for (uint32_t i = 0; i < b->nr_members; i++) {
		if (is_own(w, flight_member(w->d, b->first_member + i)))
			return true;
	}
	return false;
}

/* Bundles are in order of retirement: the first that may touch `ns`. */
static size_t first_bundle(const struct flight_device *d, uint64_t ns)
{
	size_t low = 0, high = d->bundles.nr;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (flight_bundle(d, mid)->retire_ns < ns)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* Nothing ran on the request's own lane: what did on the others? */
static void gap(struct cutter *c, uint64_t from, uint64_t to)
{
	const struct flight_device *d = c->w->d;

	for (size_t i = first_bundle(d, from); i < d->bundles.nr && from < to; i++) {
		const struct ooo_record_bundle *b = flight_bundle(d, i);
		uint64_t start = b->start_ns > from ? b->start_ns : from;

		if (b->retire_ns > to + c->index->longest_ns)
			break;
		if (b->lane == c->w->r->lane || b->end_ns <= from || start >= to)
			continue;
		pieces(c, NULL, false, from, start);
		from = b->end_ns < to ? b->end_ns : to;
		pieces(c, b, false, start, from);
	}
	if (from < to)
		pieces(c, NULL, false, from, to);
}

static void cut(struct cutter *c)
{
	const struct flight_device *d = c->w->d;
	const struct ooo_record_request *r = c->w->r;
	uint64_t at = r->submit_ns;

	for (size_t i = first_bundle(d, r->submit_ns); i < d->bundles.nr; i++) {
		const struct ooo_record_bundle *b = flight_bundle(d, i);
		uint64_t start = b->start_ns > at ? b->start_ns : at;
		uint64_t end = b->end_ns < r->finish_ns ? b->end_ns : r->finish_ns;

		if (b->retire_ns > r->finish_ns + c->index->longest_ns)
			break;
		if (b->lane != r->lane || start >= end)
			continue;
		gap(c, at, start);
		pieces(c, b, holds(c->w, b), start, end);
		at = end;
	}
	gap(c, at, r->finish_ns);
}

static uint64_t last_own_end(const struct why *w, const struct why_index *index)
{
	const struct flight_device *d = w->d;
	uint64_t last = 0;

	for (size_t i = first_bundle(d, w->r->submit_ns); i < d->bundles.nr; i++) {
		const struct ooo_record_bundle *b = flight_bundle(d, i);

		if (b->retire_ns > w->r->finish_ns + index->longest_ns)
			break;
		if (b->lane == w->r->lane && b->end_ns > last && holds(w, b))
			last = b->end_ns;
	}
	return last;
}

int why_prepare(const struct flight_device *d, struct why_index *index)
{
	memset(index, 0, sizeof(*index));
	index->stalls = malloc((d->events.nr + 1) * sizeof(*index->stalls));
	if (!index->stalls)
		return -ENOMEM;
	for (size_t i = 0; i < d->events.nr; i++) {
		if (flight_event(d, i)->kind == OOO_RECORD_EVENT_STALL)
			index->stalls[index->nr_stalls++] = *flight_event(d, i);
	}
	index->first_ns = d->bundles.nr ? flight_bundle(d, 0)->end_ns : UINT64_MAX;
	for (size_t i = 0; i < d->bundles.nr; i++) {
		const struct ooo_record_bundle *b = flight_bundle(d, i);

		if (b->retire_ns - b->start_ns > index->longest_ns)
			index->longest_ns = b->retire_ns - b->start_ns;
	}
	return 0;
}

void why_release(struct why_index *index)
{
	free(index->stalls);
}

void why_explain(const struct flight_device *d, const struct why_index *index,
		 const struct ooo_record_request *r, struct why *out)
{
	struct cutter c = { .w = out, .index = index };
	uint64_t held = r->stage_ns[OOO_STAGE_HOLD], most = HOLD_LAUNCHES * d->header.launch_ns;

	memset(out, 0, sizeof(*out));
	out->d = d;
	out->r = r;
	c.hold_ns = held < most ? held : most;
	out->bundles_lost = r->submit_ns < index->first_ns && r->steps;
	c.last_end_ns = last_own_end(out, index);
	cut(&c);
	out->part_ns[WHY_READER] += r->stage_ns[OOO_STAGE_WAKE];
	/* With its ring full, a request waits for its own tenant's others there or here. */
	if (r->flags & OOO_RECORD_WAITED_ROOM) {
		out->part_ns[WHY_ROOM] += out->part_ns[WHY_QUEUE];
		out->part_ns[WHY_QUEUE] = 0;
	}
}

enum why_part why_largest(const struct why *w)
{
	enum why_part best = WHY_OWN;

	for (unsigned i = 0; i < WHY_PARTS; i++) {
		if (w->part_ns[i] > w->part_ns[best])
			best = (enum why_part)i;
	}
	return best;
}

const struct why_other *why_heaviest(const struct why *w)
{
	const struct why_other *best = NULL;

	for (unsigned i = 0; i < w->nr_others; i++) {
		const struct why_other *o = &w->others[i];

		if (!best || o->ns + o->copy_ns > best->ns + best->copy_ns)
			best = o;
	}
	return best;
}
