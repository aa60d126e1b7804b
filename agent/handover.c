// SPDX-License-Identifier: Apache-2.0
#include "agent/handover.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/log.h"
#include "agent/tenant/tenant.h"
#include "agent/watch/stages.h"
#include "shared/abi/program.h"

#define HANDOVER_MAGIC 0x484f4f4fu /* "OOOH" */
#define HANDOVER_SEALS (F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)
#define FIRST_FD       3 /* below are the standard ones */

struct header {
	uint32_t magic, version;
	uint64_t bytes; /* of the records */
	uint64_t sum;   /* over them */
};

struct record_head {
	uint16_t type, nr_words;
	uint32_t tail_bytes; /* they follow the words, padded to 8 */
};

enum kind {
	NUMBER,
	FD,
	FD_OR_NONE
};

struct field {
	const char *name;
	enum kind kind;
	uint64_t min, max;
};

#define HANDOVER_FIELD(field, kind, min, max) { #field, kind, min, max },

static const struct field agent_fields[] = {
#define HANDOVER_AGENT HANDOVER_FIELD
#include "agent/handover.def"
};
static const struct field device_fields[] = {
#define HANDOVER_DEVICE HANDOVER_FIELD
#include "agent/handover.def"
};
static const struct field visitor_fields[] = {
#define HANDOVER_VISITOR HANDOVER_FIELD
#include "agent/handover.def"
};
static const struct field tenant_fields[] = {
#define HANDOVER_TENANT HANDOVER_FIELD
#include "agent/handover.def"
};
static const struct field program_fields[] = {
#define HANDOVER_PROGRAM HANDOVER_FIELD
#include "agent/handover.def"
};
static const struct field binding_fields[] = {
#define HANDOVER_BINDING HANDOVER_FIELD
#include "agent/handover.def"
};

static const struct field partition_fields[] = {
#define HANDOVER_PARTITION HANDOVER_FIELD
#include "agent/handover.def"
};

static const struct field stages_fields[] = {
#define HANDOVER_STAGES HANDOVER_FIELD
#include "agent/handover.def"
};

#define FIELDS(table) table, sizeof(table) / sizeof(table[0])

static const struct record_shape {
	const char *name;
	const struct field *fields;
	size_t nr_fields;
	size_t max_tail;
} shapes[HANDOVER_TYPES] = {
	[HANDOVER_AGENT] = { "agent", FIELDS(agent_fields), 0 },
	[HANDOVER_DEVICE] = { "device", FIELDS(device_fields), 31 },
	[HANDOVER_VISITOR] = { "visitor", FIELDS(visitor_fields), 0 },
	[HANDOVER_TENANT] = { "tenant", FIELDS(tenant_fields), OOO_NAME_BYTES - 1 },
	[HANDOVER_PARAMS] = { "params", NULL, 0, sizeof(struct tenant_params) },
	[HANDOVER_STATS] = { "stats", NULL, 0, sizeof(struct tenant_stats) },
	[HANDOVER_PROGRAM] = { "program", FIELDS(program_fields), 0 },
	[HANDOVER_BINDING] = { "binding", FIELDS(binding_fields), OOO_MAX_IO * 8 },
	[HANDOVER_PARTITION] = { "partition", FIELDS(partition_fields), DEVICE_PARTITION_NAME - 1 },
	[HANDOVER_STAGES] = { "stages", FIELDS(stages_fields), PINNED_MAX_PATH - 1 },
};

_Static_assert(sizeof(struct handover_tenant) <= HANDOVER_MAX_WORDS * 8, "it has to fit");

static size_t record_bytes(const struct record_head *head)
{
	return sizeof(*head) + 8ul * head->nr_words + (head->tail_bytes + 7ul) / 8 * 8;
}

/* FNV-1a, to notice damage; nobody but the agent writes there. */
static uint64_t sum_of(const void *data, size_t bytes)
{
	const unsigned char *p = data;
	uint64_t sum = 0xcbf29ce484222325ull;

	while (bytes--)
		sum = (sum ^ *p++) * 0x100000001b3ull;
	return sum;
}

/* ---- write ----------------------------------------------------------------------------------- */

struct handover_out {
	char *data;
	size_t bytes, room;
	int err;
};

struct handover_out *handover_new(void)
{
	return calloc(1, sizeof(struct handover_out));
}

void handover_free(struct handover_out *out)
{
	if (!out)
		return;
	free(out->data);
	free(out);
}

static bool make_room(struct handover_out *out, size_t bytes)
{
	size_t room = out->room ? out->room : 4096;
	char *data;

	while (room - out->bytes < bytes)
		room *= 2;
	if (room == out->room)
		return true;
	data = realloc(out->data, room);
	if (!data) {
		out->err = -ENOMEM;
		return false;
	}
	out->data = data;
	out->room = room;
	return true;
}

void handover_put(struct handover_out *out, const struct handover_record *r)
{
	const struct record_shape *shape = &shapes[r->type];
	struct record_head head = {
		.type = (uint16_t)r->type,
		.nr_words = (uint16_t)shape->nr_fields,
		.tail_bytes = (uint32_t)r->tail_bytes,
	};
	size_t bytes = record_bytes(&head);
	char *at;

	if (out->err || !make_room(out, bytes))
		return;
	at = out->data + out->bytes;
	memset(at, 0, bytes);
	memcpy(at, &head, sizeof(head));
	memcpy(at + sizeof(head), r->words, 8 * shape->nr_fields);
	if (r->tail_bytes)
		memcpy(at + sizeof(head) + 8 * shape->nr_fields, r->tail, r->tail_bytes);
	out->bytes += bytes;
}

static int write_all(int fd, const void *data, size_t bytes)
{
	const char *p = data;

	while (bytes) {
		ssize_t n = write(fd, p, bytes);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			p += n;
			bytes -= (size_t)n;
		}
	}
	return 0;
}

int handover_seal(struct handover_out *out)
{
	struct header header = {
		.magic = HANDOVER_MAGIC,
		.version = HANDOVER_VERSION,
		.bytes = out->bytes,
		.sum = sum_of(out->data, out->bytes),
	};
	int err = out->err, fd;

	if (err)
		return err;
	fd = memfd_create("ooo-handover", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	err = write_all(fd, &header, sizeof(header));
	if (!err)
		err = write_all(fd, out->data, out->bytes);
	if (!err && fcntl(fd, F_ADD_SEALS, HANDOVER_SEALS))
		err = -errno;
	if (!err)
		return fd;
	close(fd);
	return err;
}

/* ---- exec ------------------------------------------------------------------------------------ */

/* Every descriptor in the records. */
static void keep_open(const struct handover_out *out)
{
	size_t at = 0;

	while (at < out->bytes) {
		struct record_head head;
		uint64_t word;

		memcpy(&head, out->data + at, sizeof(head));
		for (size_t i = 0; i < shapes[head.type].nr_fields; i++) {
			if (shapes[head.type].fields[i].kind == NUMBER)
				continue;
			memcpy(&word, out->data + at + sizeof(head) + 8 * i, 8);
			if (word != HANDOVER_NONE)
				fcntl((int)word, F_SETFD, 0);
		}
		at += record_bytes(&head);
	}
}

static size_t copy_args(char **to, char *const argv[])
{
	size_t n = 0;

	for (; *argv; argv++) {
		if (!strcmp(*argv, "--resume") && argv[1])
			argv++;
		else if (strncmp(*argv, "--resume=", 9) != 0)
			to[n++] = *argv;
	}
	return n;
}

/* The program of that name, which an upgrade may have replaced; if there is none any more, this one. */
static void exec_self(char *const argv[])
{
	char path[4096];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
	static const char deleted[] = " (deleted)";

	if (n > 0) {
		path[n] = '\0';
		if ((size_t)n > sizeof(deleted) - 1 &&
		    !strcmp(path + n - (sizeof(deleted) - 1), deleted))
			path[(size_t)n - (sizeof(deleted) - 1)] = '\0';
		execv(path, argv);
		log_warn("%s: cannot be run: %s; going on with the program as it was", path,
			 strerror(errno));
	}
	execv("/proc/self/exe", argv);
}

int handover_exec(const struct handover_out *out, int fd, char *const argv[])
{
	static char number[16], resume[] = "--resume";
	size_t n = 0;
	char **args;
	int err;

	while (argv[n])
		n++;
	args = calloc(n + 3, sizeof(*args));
	if (!args)
		return -ENOMEM;
	n = copy_args(args, argv);
	snprintf(number, sizeof(number), "%d", fd);
	args[n++] = resume;
	args[n] = number;
	/* All but ours, whoever opened them: the GPU's driver has many, and not all are close-on-exec. */
	if (syscall(SYS_close_range, FIRST_FD, ~0u, CLOSE_RANGE_CLOEXEC))
		log_warn("descriptors of libraries stay open: %s", strerror(errno));
	keep_open(out);
	fcntl(fd, F_SETFD, 0);
	exec_self(args);
	err = -errno;
	free(args);
	return err;
}

/* ---- read ------------------------------------------------------------------------------------ */

struct handover_in {
	void *map;
	size_t map_bytes;
	const char *data; /* the records */
	size_t bytes;
};

static int refuse(char *why, size_t why_bytes, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static int refuse(char *why, size_t why_bytes, const char *format, ...)
{
	int n = snprintf(why, why_bytes, "cannot resume: ");
	va_list ap;

	va_start(ap, format);
	vsnprintf(why + n, why_bytes - (size_t)n, format, ap);
	va_end(ap);
	return -EBADMSG;
}

static int check_header(struct handover_in *in, const struct header *h, char *why, size_t why_bytes)
{
	if (h->magic != HANDOVER_MAGIC)
		return refuse(why, why_bytes, "the state does not begin as one");
	if (h->version != HANDOVER_VERSION)
		return refuse(why, why_bytes, "the state is of version %u, this agent reads %u",
			      h->version, HANDOVER_VERSION);
	if (h->bytes != in->map_bytes - sizeof(*h))
		return refuse(why, why_bytes, "the state has %zu bytes and says %llu",
			      in->map_bytes - sizeof(*h), (unsigned long long)h->bytes);
	in->data = (const char *)h + sizeof(*h);
	in->bytes = h->bytes;
	if (sum_of(in->data, in->bytes) != h->sum)
		return refuse(why, why_bytes, "the state is damaged: its sum is wrong");
	return 0;
}

static int map_state(struct handover_in *in, int fd, char *why, size_t why_bytes)
{
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;
	void *map;

	if (seals < 0 || (seals & HANDOVER_SEALS) != HANDOVER_SEALS || fstat(fd, &st))
		return refuse(why, why_bytes, "descriptor %d is no sealed state of an agent", fd);
	if (st.st_size < (off_t)sizeof(struct header) || (uint64_t)st.st_size > HANDOVER_MAX_BYTES)
		return refuse(why, why_bytes, "a state of %lld bytes cannot be",
			      (long long)st.st_size);
	in->map_bytes = (size_t)st.st_size;
	map = mmap(NULL, in->map_bytes, PROT_READ, MAP_PRIVATE, fd, 0);
	if (map == MAP_FAILED)
		return refuse(why, why_bytes, "the state cannot be mapped: %s", strerror(errno));
	in->map = map;
	return check_header(in, map, why, why_bytes);
}

static bool field_valid(const struct field *f, uint64_t value)
{
	if (f->kind == NUMBER)
		return value >= f->min && value <= f->max;
	if (f->kind == FD_OR_NONE && value == HANDOVER_NONE)
		return true;
	return value >= FIRST_FD && value <= INT32_MAX && !fcntl((int)value, F_SETFD, FD_CLOEXEC);
}

static int check_record(const struct handover_in *in, size_t at, size_t *bytes, char *why,
			size_t why_bytes)
{
	const struct record_shape *shape;
	struct record_head head;

	if (in->bytes - at < sizeof(head))
		return refuse(why, why_bytes, "its last record is cut off");
	memcpy(&head, in->data + at, sizeof(head));
	*bytes = record_bytes(&head);
	if (*bytes > in->bytes - at)
		return refuse(why, why_bytes, "the record at %zu is cut off", at);
	if (head.type == 0 || head.type >= HANDOVER_TYPES ||
	    (head.type == HANDOVER_AGENT) != (at == 0))
		return refuse(why, why_bytes, "no record of type %u belongs at %zu", head.type, at);
	shape = &shapes[head.type];
	if (head.nr_words > shape->nr_fields || head.tail_bytes > shape->max_tail)
		return refuse(why, why_bytes,
			      "the %s at %zu has more in it than this agent knows of", shape->name,
			      at);
	for (size_t i = 0; i < shape->nr_fields; i++) {
		uint64_t value = 0;

		if (i < head.nr_words)
			memcpy(&value, in->data + at + sizeof(head) + 8 * i, 8);
		if (!field_valid(&shape->fields[i], value))
			return refuse(why, why_bytes, "the %s at %zu: its %s is %llu", shape->name,
				      at, shape->fields[i].name, (unsigned long long)value);
	}
	return 0;
}

int handover_open(int fd, struct handover_in **out, char *why, size_t why_bytes)
{
	struct handover_in *in = calloc(1, sizeof(*in));
	size_t at = 0, bytes = 0;
	int err;

	if (!in)
		return refuse(why, why_bytes, "no memory");
	err = map_state(in, fd, why, why_bytes);
	if (!err && !in->bytes)
		err = refuse(why, why_bytes, "the state is empty");
	for (; !err && at < in->bytes; at += bytes)
		err = check_record(in, at, &bytes, why, why_bytes);
	if (err)
		handover_close(in);
	else
		*out = in;
	return err;
}

bool handover_next(const struct handover_in *in, size_t *at, struct handover_record *r)
{
	struct record_head head;

	if (*at >= in->bytes)
		return false;
	memcpy(&head, in->data + *at, sizeof(head));
	*r = (struct handover_record){
		.type = head.type,
		.tail = in->data + *at + sizeof(head) + 8ul * head.nr_words,
		.tail_bytes = head.tail_bytes,
	};
	memcpy(r->words, in->data + *at + sizeof(head), 8ul * head.nr_words);
	*at += record_bytes(&head);
	return true;
}

void handover_close(struct handover_in *in)
{
	if (!in)
		return;
	if (in->map)
		munmap(in->map, in->map_bytes);
	free(in);
}

/* ---- how often ------------------------------------------------------------------------------- */

bool handover_fault(struct handover_faults *f, uint64_t now_ns)
{
	uint64_t oldest = f->ns[HANDOVER_FAULTS - 1];

	if (oldest && now_ns - oldest < HANDOVER_WINDOW_NS)
		return false;
	memmove(&f->ns[1], &f->ns[0], sizeof(f->ns) - sizeof(f->ns[0]));
	f->ns[0] = now_ns;
	return true;
}
