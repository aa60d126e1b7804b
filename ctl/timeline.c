// SPDX-License-Identifier: Apache-2.0
/*
 * `timeline`: what the recorders saw in a while, as trace events (the JSON that Perfetto and
 * chrome://tracing read). Each device is two processes there: its lanes, with a slice for each bundle,
 * one track more for what was held and one for when the dispatcher did not run; and its tenants, each
 * with its requests as asynchronous slices, since they overlap. Events are written in order of time.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/flight.h"
#include "ctl/verb.h"
#include "shared/abi/status.h"
#include "shared/lib/infer.h"

#define DURATION_NS  1000000000u
#define TID_HOLDS    1000u /* and the lane */
#define TID_STALLS   2000u
#define DEFAULT_FILE "timeline.json"

enum mark_kind {
	MARK_BUNDLE,
	MARK_FAULT,
	MARK_HOLD,
	MARK_REQUEST,
	MARK_REQUEST_END,
	MARK_REFUSED,
	MARK_EVENT,
	MARK_EVENT_END,
};

/* An event to come, of entry i of its kind's list. */
struct mark {
	uint64_t ns, duration_ns;
	uint32_t order; /* as found: keeps the sort stable */
	uint16_t device;
	uint16_t kind; /* enum mark_kind */
	size_t i;
};

struct marks {
	struct mark *list;
	size_t nr, max;
};

struct writer {
	FILE *out;
	const struct flight *f;
	uint64_t base_ns[FLIGHT_MAX_DEVICES]; /* what is 0 in the file */
	bool any;
};

static unsigned lanes_pid(unsigned device)
{
	return 2 * device + 1;
}

static unsigned tenants_pid(unsigned device)
{
	return 2 * device + 2;
}

/* ---- what there is to write ------------------------------------------------------------------ */

static int add(struct marks *m, struct mark mark)
{
	if (m->nr == m->max) {
		size_t max = m->max ? 2 * m->max : 4096;
		struct mark *list = realloc(m->list, max * sizeof(*list));

		if (!list)
			return -ENOMEM;
		m->list = list;
		m->max = max;
	}
	mark.order = (uint32_t)m->nr;
	m->list[m->nr++] = mark;
	return 0;
}

/* A lane runs one bundle after the other; what rounding or the device's clock says otherwise is cut. */
static int add_bundles(struct marks *m, const struct flight_device *d, uint16_t device)
{
	uint64_t end_ns[64] = { 0 }, held_ns[64] = { 0 };
	int err = 0;

	for (size_t i = 0; i < d->bundles.nr && !err; i++) {
		const struct ooo_record_bundle *b = flight_bundle(d, i);
		unsigned lane = b->lane % 64;
		uint64_t start = b->start_ns > end_ns[lane] ? b->start_ns : end_ns[lane];
		uint64_t end = b->end_ns > start ? b->end_ns : start, hold;

		err = add(m, (struct mark){ start, end - start, 0, device, MARK_BUNDLE, i });
		if (!err && b->scope)
			err = add(m, (struct mark){ end, 0, 0, device, MARK_FAULT, i });
		end_ns[lane] = end;
		if (err || !b->hold_ns)
			continue;
		hold = b->submit_ns - b->hold_ns;
		if (hold < held_ns[lane])
			hold = held_ns[lane];
		if (hold < b->submit_ns)
			err = add(m, (struct mark){ hold, b->submit_ns - hold, 0, device, MARK_HOLD,
						    i });
		held_ns[lane] = b->submit_ns;
	}
	return err;
}

static int add_requests(struct marks *m, const struct flight_device *d, uint16_t device)
{
	int err = 0;

	for (size_t i = 0; i < d->requests.nr && !err; i++) {
		const struct ooo_record_request *r = flight_request(d, i);

		if (r->status == OOO_REFUSED || r->status == OOO_CAPPED) {
			err = add(m, (struct mark){ r->finish_ns, 0, 0, device, MARK_REFUSED, i });
			continue;
		}
		err = add(m, (struct mark){ r->submit_ns, 0, 0, device, MARK_REQUEST, i });
		if (!err)
			err = add(m,
				  (struct mark){ r->finish_ns, 0, 0, device, MARK_REQUEST_END, i });
	}
	return err;
}

static int add_events(struct marks *m, const struct flight_device *d, uint16_t device)
{
	uint64_t end_ns = 0; /* stalls are one track */
	int err = 0;

	for (size_t i = 0; i < d->events.nr && !err; i++) {
		const struct ooo_record_event *e = flight_event(d, i);
		uint64_t start = e->start_ns, end = start + e->duration_ns;

		if (e->kind == OOO_RECORD_EVENT_STALL) {
			start = start > end_ns ? start : end_ns;
			end_ns = end > start ? end : start;
			end = end_ns;
		}
		err = add(m, (struct mark){ start, end - start, 0, device, MARK_EVENT, i });
		if (!err && e->kind != OOO_RECORD_EVENT_STALL && e->duration_ns)
			err = add(m, (struct mark){ end, 0, 0, device, MARK_EVENT_END, i });
	}
	return err;
}

static int by_time(const void *a, const void *b)
{
	const struct mark *x = a, *y = b;

	if (x->ns != y->ns)
		return x->ns < y->ns ? -1 : 1;
	return x->order < y->order ? -1 : 1;
}

/* ---- writing --------------------------------------------------------------------------------- */

static double us(uint64_t ns)
{
	return (double)ns / 1e3;
}

/* The part of an event that all have; the caller adds fields and the closing brace. */
static void begin(struct writer *w, const char *ph, unsigned pid, unsigned tid)
{
	fprintf(w->out, "%s\n{\"ph\":\"%s\",\"pid\":%u,\"tid\":%u", w->any ? "," : "", ph, pid,
		tid);
	w->any = true;
}

static void put_ts(struct writer *w, const struct mark *m)
{
	fprintf(w->out, ",\"ts\":%.3f", us(m->ns - w->base_ns[m->device]));
}

static void put_name(struct writer *w, const char *name)
{
	fputs(",\"name\":", w->out);
	flight_json_text(w->out, name);
}

static void name_track(struct writer *w, const char *what, unsigned pid, unsigned tid,
		       const char *name)
{
	begin(w, "M", pid, tid);
	fprintf(w->out, ",\"ts\":0,\"name\":\"%s\",\"args\":{\"name\":", what);
	flight_json_text(w->out, name);
	fputs("}}", w->out);
}

static void name_tracks(struct writer *w, unsigned device)
{
	const struct flight_device *d = &w->f->devices[device];
	const struct ooo_record_name *names = d->names.items;
	char text[FLIGHT_LABEL_BYTES + 32];

	snprintf(text, sizeof(text), "device %u: %s", device, d->header.name);
	name_track(w, "process_name", lanes_pid(device), 0, text);
	snprintf(text, sizeof(text), "tenants of device %u", device);
	name_track(w, "process_name", tenants_pid(device), 0, text);
	for (unsigned lane = 0; lane < d->header.nr_lanes && lane < 64; lane++) {
		snprintf(text, sizeof(text), "lane %u", lane);
		name_track(w, "thread_name", lanes_pid(device), lane, text);
		snprintf(text, sizeof(text), "held for lane %u", lane);
		name_track(w, "thread_name", lanes_pid(device), TID_HOLDS + lane, text);
	}
	name_track(w, "thread_name", lanes_pid(device), TID_STALLS, "dispatcher did not run");
	for (size_t i = 0; i < d->names.nr; i++) {
		char label[FLIGHT_LABEL_BYTES];

		if (names[i].program == OOO_RECORD_NONE)
			name_track(w, "thread_name", tenants_pid(device), names[i].tenant,
				   flight_label(d, names[i].tenant, label));
	}
}

static void put_members(struct writer *w, const struct flight_device *d,
			const struct ooo_record_bundle *b)
{
	for (uint32_t i = 0; i < b->nr_members; i++) {
		const struct ooo_record_member *m = flight_member(d, b->first_member + i);
		char label[FLIGHT_LABEL_BYTES];

		fputs(i ? ",{\"tenant\":" : "{\"tenant\":", w->out);
		flight_json_text(w->out, flight_label(d, m->tenant, label));
		fprintf(w->out,
			",\"request\":%u,\"program\":%u,\"step\":%u,\"class\":\"%s\",\"us\":%.3f}",
			m->request, m->program, m->step, kernel_class_name(m->klass),
			us(m->service_ns));
	}
}

static void put_bundle(struct writer *w, const struct mark *m, const struct flight_device *d)
{
	const struct ooo_record_bundle *b = flight_bundle(d, m->i);
	char name[64];

	snprintf(name, sizeof(name), "%s x%u", kernel_class_name(b->klass), b->nr_members);
	begin(w, "X", lanes_pid(m->device), b->lane % 64u);
	put_ts(w, m);
	put_name(w, name);
	fprintf(w->out,
		",\"dur\":%.3f,\"cat\":\"bundle\",\"args\":{\"bundle\":%" PRIu64
		",\"class\":\"%s\",\"predicted_us\":%.3f,\"queued_us\":%.3f,\"scope\":%u,"
		"\"members\":[",
		us(m->duration_ns), b->number, kernel_class_name(b->klass), us(b->predicted_ns),
		b->start_ns > b->submit_ns ? us(b->start_ns - b->submit_ns) : 0.0, b->scope);
	put_members(w, d, b);
	fputs("]}}", w->out);
}

static void put_hold(struct writer *w, const struct mark *m, const struct flight_device *d)
{
	begin(w, "X", lanes_pid(m->device), TID_HOLDS + flight_bundle(d, m->i)->lane % 64u);
	put_ts(w, m);
	put_name(w, "hold");
	fprintf(w->out, ",\"dur\":%.3f,\"cat\":\"hold\",\"args\":{\"bundle\":%" PRIu64 "}}",
		us(m->duration_ns), flight_bundle(d, m->i)->number);
}

static void put_instant(struct writer *w, const struct mark *m, unsigned pid, unsigned tid,
			const char *cat, const char *name)
{
	begin(w, "i", pid, tid);
	put_ts(w, m);
	put_name(w, name);
	fprintf(w->out, ",\"s\":\"t\",\"cat\":\"%s\"}", cat);
}

static void put_request(struct writer *w, const struct mark *m, const struct flight_device *d)
{
	const struct ooo_record_request *r = flight_request(d, m->i);
	const struct ooo_record_name *program = flight_name(d, r->tenant, r->program);
	bool end = m->kind == MARK_REQUEST_END;
	char name[OOO_RECORD_NAME_BYTES + 1];

	snprintf(name, sizeof(name), "%.31s", program ? program->name : "?");
	begin(w, end ? "e" : "b", tenants_pid(m->device), r->tenant);
	put_ts(w, m);
	put_name(w, name);
	fprintf(w->out, ",\"cat\":\"request\",\"id\":\"%u.%" PRIu64 "\"", m->device, r->number);
	if (!end) {
		fprintf(w->out, ",\"args\":{\"status\":\"%s\",\"width\":%.2f,\"weight\":%u",
			flight_status_key(r->status), r->width / 16.0, r->weight);
		for (unsigned i = 0; i < OOO_RECORD_STAGES; i++)
			fprintf(w->out, ",\"%s_us\":%.3f", flight_stage_key(i), us(r->stage_ns[i]));
		fputc('}', w->out);
	}
	fputc('}', w->out);
}

static void put_event(struct writer *w, const struct mark *m, const struct flight_device *d)
{
	const struct ooo_record_event *e = flight_event(d, m->i);
	bool of_tenant = e->tenant != OOO_RECORD_NONE, end = m->kind == MARK_EVENT_END;
	unsigned pid = of_tenant ? tenants_pid(m->device) : lanes_pid(m->device);
	unsigned tid = of_tenant ? e->tenant : TID_STALLS;

	if (e->kind == OOO_RECORD_EVENT_STALL) {
		begin(w, "X", pid, tid);
		put_ts(w, m);
		put_name(w, e->value * 2 > e->duration_ns ? "no processor" : "stopped");
		fprintf(w->out, ",\"dur\":%.3f,\"cat\":\"stall\"}", us(m->duration_ns));
		return;
	}
	if (!e->duration_ns) {
		put_instant(w, m, pid, tid, "event", flight_event_key(e->kind));
		return;
	}
	begin(w, end ? "e" : "b", pid, tid);
	put_ts(w, m);
	put_name(w, flight_event_key(e->kind));
	fprintf(w->out, ",\"cat\":\"event\",\"id\":\"%u.e%zu\"}", m->device, m->i);
}

static void put_mark(struct writer *w, const struct mark *m)
{
	const struct flight_device *d = &w->f->devices[m->device];

	switch ((enum mark_kind)m->kind) {
	case MARK_BUNDLE:
		put_bundle(w, m, d);
		break;
	case MARK_FAULT:
		put_instant(w, m, lanes_pid(m->device), flight_bundle(d, m->i)->lane % 64u, "fault",
			    "fault");
		break;
	case MARK_HOLD:
		put_hold(w, m, d);
		break;
	case MARK_REQUEST:
	case MARK_REQUEST_END:
		put_request(w, m, d);
		break;
	case MARK_REFUSED:
		put_instant(w, m, tenants_pid(m->device), flight_request(d, m->i)->tenant,
			    "refusal", "refused");
		break;
	case MARK_EVENT:
	case MARK_EVENT_END:
		put_event(w, m, d);
		break;
	}
}

static int collect(const struct flight *f, struct marks *m)
{
	int err = 0;

	for (unsigned i = 0; i < f->nr && !err; i++) {
		const struct flight_device *d = &f->devices[i];

		err = add_bundles(m, d, (uint16_t)i);
		if (!err)
			err = add_requests(m, d, (uint16_t)i);
		if (!err)
			err = add_events(m, d, (uint16_t)i);
	}
	if (!err && m->nr)
		qsort(m->list, m->nr, sizeof(*m->list), by_time);
	return err;
}

/* Devices' clocks may differ, if one is virtual: each begins at 0. */
static void write_all(struct writer *w, const struct marks *m)
{
	for (size_t i = m->nr; i-- > 0;)
		w->base_ns[m->list[i].device] = m->list[i].ns;
	fputs("{\"displayTimeUnit\":\"ms\",\"traceEvents\":[", w->out);
	for (unsigned i = 0; i < w->f->nr; i++)
		name_tracks(w, i);
	for (size_t i = 0; i < m->nr; i++)
		put_mark(w, &m->list[i]);
	fputs("\n]}\n", w->out);
}

static enum ctl_exit save(struct session *s, const struct flight *f)
{
	const char *path = s->cmd->text[CTL_ARG_TIMELINE_SAVE_OUTPUT];
	struct writer w = { .f = f };
	enum ctl_exit code = CTL_OK;
	struct marks m = { 0 };

	path = path ? path : DEFAULT_FILE;
	if (collect(f, &m)) {
		snprintf(s->why, sizeof(s->why), "out of memory");
		free(m.list);
		return CTL_REFUSED;
	}
	w.out = strcmp(path, "-") ? fopen(path, "we") : stdout;
	if (w.out)
		write_all(&w, &m);
	if (!w.out || ferror(w.out) || (w.out != stdout && fclose(w.out))) {
		snprintf(s->why, sizeof(s->why), "%s: cannot write: %s", path, strerror(errno));
		code = CTL_REFUSED;
	}
	free(m.list);
	if (code == CTL_OK && strcmp(path, "-") != 0 && !s->cmd->json)
		printf("%zu events in %s: open it in ui.perfetto.dev or chrome://tracing\n", m.nr,
		       path);
	if (code == CTL_OK && strcmp(path, "-") != 0 && s->cmd->json) {
		printf("{\"events\": %zu, \"file\": ", m.nr);
		flight_json_text(stdout, path);
		puts("}");
	}
	return code;
}

enum ctl_exit verb_timeline(struct session *s)
{
	const struct command *cmd = s->cmd;
	struct flight f;
	enum ctl_exit code = flight_open(cmd->runtime_dir, &f, s->why, sizeof(s->why));

	if (code != CTL_OK)
		return code;
	flight_skip(&f);
	if (flight_watch(&f, cmd->has[CTL_ARG_TIMELINE_SAVE_DURATION]
				     ? cmd->value[CTL_ARG_TIMELINE_SAVE_DURATION]
				     : DURATION_NS)) {
		snprintf(s->why, sizeof(s->why), "out of memory");
		code = CTL_REFUSED;
	} else {
		code = save(s, &f);
	}
	flight_close(&f);
	return code;
}
