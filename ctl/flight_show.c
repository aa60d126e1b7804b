// SPDX-License-Identifier: Apache-2.0
/*
 * `record show`, `record save`. The saved file has one JSON object a line, in this order:
 *
 *   {"record":"ooo","version":1,"device":"cpu","index":0,"lanes":1,"width":2,"start_ns":..,"real_ns":..}
 *   {"tenant":3,"name":"web","uid":1000}                       who the ids are
 *   {"tenant":3,"program":0,"name":"resnet50","steps":57}
 *   {"submit_ns":..,"tenant":3,"program":0,"status":"ok",...}  requests, by finish
 *   {"bundle":17,"lane":0,"class":"conv",...,"members":[[request,tenant,program,step,service_ns],..]}
 *   {"event":"stall",...}
 *
 * Another device begins with a "record" line of its own. Times are nanoseconds of the device's clock;
 * real_ns is the date of start_ns. weight: how many requests the line stands for.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "ctl/flight.h"
#include "ctl/verb.h"
#include "shared/lib/infer.h"

#define SHOW_COUNT 20

static enum ctl_exit out_of_memory(struct session *s)
{
	snprintf(s->why, sizeof(s->why), "out of memory");
	return CTL_REFUSED;
}

static enum ctl_exit read_all(struct session *s, struct flight *f)
{
	enum ctl_exit code = flight_open(s->cmd->runtime_dir, f, s->why, sizeof(s->why));

	if (code == CTL_OK && flight_read(f)) {
		flight_close(f);
		return out_of_memory(s);
	}
	return code;
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static void put_stages(FILE *out, const struct ooo_record_request *r)
{
	fputs("\"stage_ns\":{", out);
	for (unsigned i = 0; i < OOO_RECORD_STAGES; i++)
		fprintf(out, "%s\"%s\":%" PRIu64, i ? "," : "", flight_stage_key(i),
			r->stage_ns[i]);
	fputc('}', out);
}

static void put_request(FILE *out, const struct ooo_record_request *r)
{
	fprintf(out,
		"{\"submit_ns\":%" PRIu64 ",\"tenant\":%u,\"program\":%u,\"status\":\"%s\","
		"\"number\":%" PRIu64 ",\"deadline_ns\":%" PRIu64 ",\"fetch_ns\":%" PRIu64
		",\"active_ns\":%" PRIu64 ",\"issue_ns\":%" PRIu64 ",\"finish_ns\":%" PRIu64 ",",
		r->submit_ns, r->tenant, r->program, flight_status_key(r->status), r->number,
		r->deadline_ns, r->fetch_ns, r->active_ns, r->issue_ns, r->finish_ns);
	fprintf(out,
		"\"latency_ns\":%" PRIu64 ",\"service_ns\":%" PRIu64 ",\"work_ns\":%" PRIu64
		",\"input_bytes\":%" PRIu64 ",\"output_bytes\":%" PRIu64
		",\"steps\":%u,\"width\":%.3f,\"lane\":%u,\"flags\":%u,\"weight\":%u,",
		flight_latency_ns(r), r->service_ns, r->work_ns, r->input_bytes, r->output_bytes,
		r->steps, r->width / 16.0, r->lane, r->flags, r->weight);
	put_stages(out, r);
	fputs("}\n", out);
}

static void put_bundle(FILE *out, const struct flight_device *d, const struct ooo_record_bundle *b)
{
	fprintf(out,
		"{\"bundle\":%" PRIu64 ",\"lane\":%u,\"class\":\"%s\",\"submit_ns\":%" PRIu64
		",\"start_ns\":%" PRIu64 ",\"end_ns\":%" PRIu64 ",\"retire_ns\":%" PRIu64
		",\"predicted_ns\":%" PRIu64 ",\"hold_ns\":%" PRIu64 ",\"scope\":%u,\"members\":[",
		b->number, b->lane, kernel_class_name(b->klass), b->submit_ns, b->start_ns,
		b->end_ns, b->retire_ns, b->predicted_ns, b->hold_ns, b->scope);
	for (uint32_t i = 0; i < b->nr_members; i++) {
		const struct ooo_record_member *m = flight_member(d, b->first_member + i);

		fprintf(out, "%s[%u,%u,%u,%u,%u]", i ? "," : "", m->request, m->tenant, m->program,
			m->step, m->service_ns);
	}
	fputs("]}\n", out);
}

static void put_event(FILE *out, const struct ooo_record_event *e)
{
	fprintf(out, "{\"event\":\"%s\",\"start_ns\":%" PRIu64 ",\"duration_ns\":%" PRIu64,
		flight_event_key(e->kind), e->start_ns, e->duration_ns);
	if (e->tenant != OOO_RECORD_NONE)
		fprintf(out, ",\"tenant\":%u", e->tenant);
	fprintf(out, ",\"value\":%" PRIu64 ",\"other\":%" PRIu64 "}\n", e->value, e->other);
}

static void put_names(FILE *out, const struct flight_device *d)
{
	const struct ooo_record_name *names = d->names.items;

	for (size_t i = 0; i < d->names.nr; i++) {
		const struct ooo_record_name *n = &names[i];
		char name[OOO_RECORD_NAME_BYTES + 1] = "";

		memcpy(name, n->name, OOO_RECORD_NAME_BYTES);
		fprintf(out, "{\"tenant\":%u,", n->tenant);
		if (n->program != OOO_RECORD_NONE)
			fprintf(out, "\"program\":%u,", n->program);
		fputs("\"name\":", out);
		flight_json_text(out, name);
		if (n->program != OOO_RECORD_NONE)
			fprintf(out, ",\"steps\":%u}\n", n->nr_steps);
		else
			fprintf(out, ",\"uid\":%u,\"pid\":%u}\n", n->uid, n->pid);
	}
}

static void put_device(FILE *out, const struct flight_device *d)
{
	const struct ooo_record_header *h = &d->header;

	fprintf(out, "{\"record\":\"ooo\",\"version\":%u,\"device\":", h->version);
	flight_json_text(out, h->name);
	fprintf(out,
		",\"index\":%u,\"lanes\":%u,\"width\":%u,\"virtual_clock\":%s,\"start_ns\":%" PRIu64
		",\"real_ns\":%" PRIu64 "}\n",
		h->device, h->nr_lanes, h->width, h->virtual_clock ? "true" : "false", h->start_ns,
		h->real_ns);
	put_names(out, d);
	for (size_t i = 0; i < d->requests.nr; i++)
		put_request(out, flight_request(d, i));
	for (size_t i = 0; i < d->bundles.nr; i++)
		put_bundle(out, d, flight_bundle(d, i));
	for (size_t i = 0; i < d->events.nr; i++)
		put_event(out, flight_event(d, i));
}

enum ctl_exit verb_record_save(struct session *s)
{
	const char *path = s->cmd->text[CTL_ARG_RECORD_SAVE_FILE];
	struct flight f;
	enum ctl_exit code;
	FILE *out;

	if (!path) {
		snprintf(s->why, sizeof(s->why), "record save: FILE is missing");
		return CTL_USAGE;
	}
	code = read_all(s, &f);
	if (code != CTL_OK)
		return code;
	out = strcmp(path, "-") ? fopen(path, "we") : stdout;
	for (unsigned i = 0; out && i < f.nr; i++)
		put_device(out, &f.devices[i]);
	if (!out || ferror(out) || (out != stdout && fclose(out))) {
		snprintf(s->why, sizeof(s->why), "%s: cannot write: %s", path, strerror(errno));
		code = CTL_REFUSED;
	}
	flight_close(&f);
	return code;
}

/* ---- the last requests ------------------------------------------------------------------------ */

static void show_request(const struct flight_device *d, const struct ooo_record_request *r)
{
	const struct ooo_record_name *program = flight_name(d, r->tenant, r->program);
	char label[FLIGHT_LABEL_BYTES];

	printf("%-20s %-16.31s %-10s %11.1f", flight_label(d, r->tenant, label),
	       program ? program->name : "?", flight_status_key(r->status),
	       (double)flight_latency_ns(r) / 1e3);
	for (unsigned i = 0; i < OOO_RECORD_STAGES; i++)
		printf(" %9.1f", (double)r->stage_ns[i] / 1e3);
	printf(" %6.2f\n", r->width / 16.0);
}

static void show_heading(void)
{
	printf("%-20s %-16s %-10s %11s", "tenant", "program", "status", "latency_us");
	for (unsigned i = 0; i < OOO_RECORD_STAGES; i++)
		printf(" %9s", flight_stage_key(i));
	printf(" %6s\n", "width");
}

static void show_device(const struct session *s, const struct flight_device *d, uint64_t count)
{
	const char *tenant = s->cmd->text[CTL_ARG_RECORD_SHOW_TENANT];
	size_t first = d->requests.nr;

	while (first > 0 && count > 0) {
		first--;
		count -= flight_is_tenant(d, flight_request(d, first)->tenant, tenant);
	}
	for (; first < d->requests.nr; first++) {
		const struct ooo_record_request *r = flight_request(d, first);

		if (!flight_is_tenant(d, r->tenant, tenant))
			continue;
		if (s->cmd->json)
			put_request(stdout, r);
		else
			show_request(d, r);
	}
}

enum ctl_exit verb_record_show(struct session *s)
{
	const struct command *cmd = s->cmd;
	uint64_t count = cmd->has[CTL_ARG_RECORD_SHOW_COUNT] ? cmd->value[CTL_ARG_RECORD_SHOW_COUNT]
							     : SHOW_COUNT;
	struct flight f;
	enum ctl_exit code = read_all(s, &f);

	if (code != CTL_OK)
		return code;
	if (!cmd->json)
		show_heading();
	for (unsigned i = 0; i < f.nr; i++)
		show_device(s, &f.devices[i], count);
	flight_close(&f);
	return CTL_OK;
}
