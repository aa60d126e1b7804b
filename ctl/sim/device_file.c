// SPDX-License-Identifier: Apache-2.0
#include "ctl/sim/device_file.h"

#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/sim/schema.h"
#include "ctl/words.h"

#define SECOND_NS 1e9
#define COMPANY   16 /* requests side by side when `together` is measured, and share a bundle's gap */

/* As it stands in the file, before it is turned into a model. */
struct raw {
	char format[32], name[64];
	uint32_t lanes, lane_depth, max_items, width, threads;
	double runahead_ns, launch_ns, gap_ns, report_ns;
	bool mixed;
	const cJSON *spread, *classes, *programs;
};

#define AT(member) offsetof(struct raw, member)
static const struct schema_field file_fields[] = {
	{ "format", SCHEMA_TEXT, AT(format), 0, 32, true },
	{ "name", SCHEMA_TEXT, AT(name), 0, 64, true },
	{ "lanes", SCHEMA_U32, AT(lanes), 1, DEVICE_MAX_LANES, true },
	{ "lane_depth", SCHEMA_U32, AT(lane_depth), 1, 1024, true },
	{ "max_items", SCHEMA_U32, AT(max_items), 1, BUNDLE_MAX_ITEMS, true },
	{ "mixed_classes", SCHEMA_BOOL, AT(mixed), 0, 0, false },
	{ "width", SCHEMA_U32, AT(width), 0, 4096, true },
	{ "threads", SCHEMA_U32, AT(threads), 1, 4096, false },
	{ "runahead", SCHEMA_TIME, AT(runahead_ns), 0, SECOND_NS, false },
	{ "launch", SCHEMA_TIME, AT(launch_ns), 0, SECOND_NS, true },
	{ "gap", SCHEMA_TIME, AT(gap_ns), 0, SECOND_NS, true },
	{ "report", SCHEMA_TIME, AT(report_ns), 0, SECOND_NS, true },
	{ "spread", SCHEMA_PART, AT(spread), 0, 0, false },
	{ "classes", SCHEMA_PART, AT(classes), 0, 0, false },
	{ "programs", SCHEMA_PART, AT(programs), 0, 0, true },
};
#undef AT

struct raw_class {
	double fixed_ns, gflop_per_s, gb_per_s, width;
};

#define AT(member) offsetof(struct raw_class, member)
static const struct schema_field class_fields[] = {
	{ "fixed", SCHEMA_TIME, AT(fixed_ns), 0, SECOND_NS, true },
	{ "gflop_per_s", SCHEMA_NUMBER, AT(gflop_per_s), 1e-6, 1e9, false },
	{ "gb_per_s", SCHEMA_NUMBER, AT(gb_per_s), 1e-6, 1e9, false },
	{ "width", SCHEMA_NUMBER, AT(width), 1, 4096, false },
};
#undef AT

struct raw_program {
	uint32_t steps;
	double alone_ns, together_per_s;
	char klass[16];
};

#define AT(member) offsetof(struct raw_program, member)
static const struct schema_field program_fields[] = {
	{ "steps", SCHEMA_U32, AT(steps), 1, 4096, true },
	{ "alone", SCHEMA_TIME, AT(alone_ns), 1, 60 * SECOND_NS, true },
	{ "together", SCHEMA_RATE, AT(together_per_s), 1e-3, 1e9, true },
	{ "class", SCHEMA_TEXT, AT(klass), 0, 16, false },
};
#undef AT

#define NR(fields) ((int)(sizeof(fields) / sizeof((fields)[0])))

static int class_by_name(const char *name, const char *path, uint8_t *klass, char *why,
			 size_t why_bytes)
{
	const char *words[NR_CLASSES];
	int near;

	for (unsigned i = 0; i < NR_CLASSES; i++) {
		words[i] = kernel_class_name(i);
		if (!strcmp(name, words[i])) {
			*klass = (uint8_t)i;
			return 0;
		}
	}
	near = words_nearest(name, words, NR_CLASSES);
	snprintf(why, why_bytes, "%s: unknown kernel class \"%.20s\"%s%s%s", path, name,
		 near >= 0 ? ", did you mean \"" : "", near >= 0 ? words[near] : "",
		 near >= 0 ? "\"?" : "");
	return -EINVAL;
}

static int read_classes(const cJSON *classes, struct sim_model *m, char *why, size_t why_bytes)
{
	const cJSON *item;

	if (classes && !cJSON_IsObject(classes)) {
		snprintf(why, why_bytes, "classes: expected an object by kernel class");
		return -EINVAL;
	}
	cJSON_ArrayForEach(item, classes) {
		struct raw_class raw = { .width = 1 };
		uint8_t klass = 0;
		char path[64];
		int err = class_by_name(item->string, "classes", &klass, why, why_bytes);

		snprintf(path, sizeof(path), "classes.%s", kernel_class_name(klass));
		if (!err)
			err = schema_read(item, path, class_fields, NR(class_fields), &raw, why,
					  why_bytes);
		if (err)
			return err;
		m->classes[klass] = (struct sim_class){
			.fixed_ns = raw.fixed_ns,
			.flops_per_ns = raw.gflop_per_s,
			.bytes_per_ns = raw.gb_per_s,
			.width = raw.width,
		};
	}
	return 0;
}

static int read_spread(const cJSON *spread, struct sim_model *m, char *why, size_t why_bytes)
{
	const cJSON *item;
	double last = 0;

	if (!spread)
		return 0;
	if (!cJSON_IsArray(spread) || cJSON_GetArraySize(spread) < 2 ||
	    cJSON_GetArraySize(spread) > SIM_MAX_SPREAD) {
		snprintf(why, why_bytes, "spread: expected an array of 2 to %d factors",
			 SIM_MAX_SPREAD);
		return -EINVAL;
	}
	cJSON_ArrayForEach(item, spread) {
		if (!cJSON_IsNumber(item) || item->valuedouble < last || item->valuedouble < 0.01 ||
		    item->valuedouble > 1000) {
			snprintf(
				why, why_bytes,
				"spread[%u]: expected a factor from 0.01 to 1000, not below the one before",
				m->nr_spread);
			return -EINVAL;
		}
		last = m->spread[m->nr_spread++] = item->valuedouble;
	}
	return 0;
}

static int read_program(const cJSON *item, struct device_file *f, char *why, size_t why_bytes)
{
	struct measured_program *p = &f->programs[f->nr_programs];
	const struct sim_model *m = &f->model;
	struct raw_program raw = { .klass = "conv" };
	double fixed_ns;
	char path[96];
	int err;

	snprintf(path, sizeof(path), "programs.%.60s", item->string);
	if (!*item->string || strlen(item->string) >= sizeof(p->name)) {
		snprintf(why, why_bytes, "%s: a name has 1 to %zu characters", path,
			 sizeof(p->name) - 1);
		return -EINVAL;
	}
	err = schema_read(item, path, program_fields, NR(program_fields), &raw, why, why_bytes);
	if (!err)
		err = class_by_name(raw.klass, path, &p->klass, why, why_bytes);
	if (err)
		return err;
	if (device_file_find(f, item->string)) {
		snprintf(why, why_bytes, "%s: is there twice", path);
		return -EINVAL;
	}
	fixed_ns = (double)(m->launch_ns + m->report_ns) + (double)m->gap_ns * raw.steps;
	if (raw.alone_ns < fixed_ns) {
		snprintf(why, why_bytes,
			 "%s.alone: %g us is less than launch, report and %u times gap: %g us",
			 path, raw.alone_ns / 1e3, raw.steps, fixed_ns / 1e3);
		return -EINVAL;
	}
	snprintf(p->name, sizeof(p->name), "%s", item->string);
	p->steps = raw.steps;
	p->alone_ns = raw.alone_ns;
	p->together_per_s = raw.together_per_s;
	f->nr_programs++;
	return 0;
}

static int read_programs(const cJSON *programs, struct device_file *f, char *why, size_t why_bytes)
{
	const cJSON *item;
	int err;

	if (!cJSON_IsObject(programs) || !programs->child) {
		snprintf(why, why_bytes, "programs: expected an object with at least one program");
		return -EINVAL;
	}
	f->programs = calloc((size_t)cJSON_GetArraySize(programs), sizeof(*f->programs));
	if (!f->programs) {
		snprintf(why, why_bytes, "no memory");
		return -ENOMEM;
	}
	cJSON_ArrayForEach(item, programs) {
		err = read_program(item, f, why, why_bytes);
		if (err)
			return err;
	}
	return 0;
}

static int read_file(const cJSON *root, struct device_file *f, char *why, size_t why_bytes)
{
	struct raw raw = { .mixed = true, .threads = 1, .runahead_ns = 1e6 };
	int err = schema_read(root, "device", file_fields, NR(file_fields), &raw, why, why_bytes);

	if (err)
		return err;
	if (strcmp(raw.format, DEVICE_FILE_FORMAT) != 0) {
		snprintf(why, why_bytes, "device.format: expected \"" DEVICE_FILE_FORMAT "\"");
		return -EINVAL;
	}
	f->model = (struct sim_model){
		.lanes = raw.lanes,
		.lane_depth = raw.lane_depth,
		.max_items = raw.max_items,
		.width = raw.width,
		.threads = raw.threads,
		.runahead_us = (unsigned)(raw.runahead_ns / 1e3),
		.mixed_classes = raw.mixed,
		.launch_ns = (uint64_t)raw.launch_ns,
		.gap_ns = (uint64_t)raw.gap_ns,
		.report_ns = (uint64_t)raw.report_ns,
	};
	memcpy(f->model.name, raw.name, sizeof(raw.name));
	err = read_spread(raw.spread, &f->model, why, why_bytes);
	if (!err)
		err = read_classes(raw.classes, &f->model, why, why_bytes);
	return err ? err : read_programs(raw.programs, f, why, why_bytes);
}

/* A name without a slash or dot is that of a shipped file, beside the program or in the sources. */
static bool shipped(const char *name, char *path, size_t bytes)
{
	static const char *const places[] = { "/../share/ooo/devices/", "/../../packaging/devices/",
					      "/../../../packaging/devices/" };
	char self[4096];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	const char *dir;

	if (n <= 0 || strpbrk(name, "/."))
		return false;
	self[n] = '\0';
	dir = dirname(self);
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		snprintf(path, bytes, "%s%s%s.json", dir, places[i], name);
		if (!access(path, R_OK))
			return true;
	}
	return false;
}

int device_file_load(const char *path, struct device_file *out, char *why, size_t why_bytes)
{
	char found[8192], sentence[256];
	cJSON *root;
	int err;

	*out = (struct device_file){ 0 };
	if (shipped(path, found, sizeof(found)))
		path = found;
	else if (!strpbrk(path, "/.") && access(path, F_OK)) {
		snprintf(why, why_bytes,
			 "--device %s: neither a file nor the name of a shipped one (h100, cpu)",
			 path);
		return -EINVAL;
	}
	root = schema_load(path, why, why_bytes);
	if (!root)
		return -EINVAL;
	err = read_file(root, out, sentence, sizeof(sentence));
	if (err) {
		snprintf(why, why_bytes, "%s: %s", path, sentence);
		device_file_free(out);
	}
	cJSON_Delete(root);
	return err;
}

void device_file_free(struct device_file *f)
{
	free(f->programs);
	*f = (struct device_file){ 0 };
}

const struct measured_program *device_file_find(const struct device_file *f, const char *name)
{
	for (unsigned i = 0; i < f->nr_programs; i++) {
		if (!strcmp(f->programs[i].name, name))
			return &f->programs[i];
	}
	return NULL;
}

/* A request is `steps` bundles after one another when it is alone, and a part of as many bundles in
 * company: what is not the bundles' fixed cost is the steps'. */
struct sim_cost device_file_cost(const struct device_file *f, const struct measured_program *p,
				 uint32_t steps)
{
	const struct sim_model *m = &f->model;
	double fixed = (double)(m->launch_ns + m->report_ns) / steps + (double)m->gap_ns;
	double latency = p->alone_ns / steps - fixed;
	double work = SECOND_NS / p->together_per_s / steps - (double)m->gap_ns / COMPANY;

	if (latency < 1)
		latency = 1;
	if (work > latency)
		work = latency;
	return (struct sim_cost){
		.latency_ns = latency < UINT32_MAX ? (uint32_t)latency : UINT32_MAX,
		.work_ns = work < 1            ? 1
			   : work < UINT32_MAX ? (uint32_t)work
					       : UINT32_MAX,
	};
}
