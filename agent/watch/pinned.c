// SPDX-License-Identifier: Apache-2.0
#include "agent/watch/pinned.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#ifdef HAVE_BPF

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "shared/abi/stages.h"

/* ---- what the bytes mean ------------------------------------------------------------------------ */

struct types {
	int u32, u64, name, buckets, times, value;
};

static int add_times(struct btf *btf, const struct types *t)
{
	int id = btf__add_struct(btf, "ooo_stage_times", sizeof(struct ooo_stage_times));

	btf__add_field(btf, "sum_ns", t->u64, 0, 0);
	btf__add_field(btf, "bucket", t->buckets, 8 * offsetof(struct ooo_stage_times, bucket), 0);
	return id;
}

/* Each stage under its own name: a dump is read by people. */
static int add_value(struct btf *btf, const struct types *t)
{
	static const char *const keys[] = {
#define STAGE(NAME, key, help) key,
		OOO_RECORD_STAGE_LIST(STAGE)
#undef STAGE
	};
	int id = btf__add_struct(btf, "ooo_tenant_stages", sizeof(struct ooo_tenant_stages));

#define FIELD(field, type)                                                                         \
	btf__add_field(btf, #field, type, 8 * offsetof(struct ooo_tenant_stages, field), 0)
	FIELD(tenant, t->u32);
	FIELD(connected, t->u32);
	FIELD(name, t->name);
	FIELD(requests, t->u64);
#undef FIELD
	for (unsigned i = 0; i < OOO_RECORD_STAGES; i++)
		btf__add_field(btf, keys[i], t->times,
			       (__u32)(8 * offsetof(struct ooo_tenant_stages, stage[i])), 0);
	return id;
}

/* NULL: out of memory, or a kernel without BTF, whose dumps are bytes. */
static struct btf *describe(struct types *t)
{
	struct btf *btf = btf__new_empty();
	int letter;

	if (!btf)
		return NULL;
	t->u32 = btf__add_int(btf, "unsigned int", 4, 0);
	t->u64 = btf__add_int(btf, "unsigned long long", 8, 0);
	letter = btf__add_int(btf, "char", 1, BTF_INT_CHAR);
	t->name = btf__add_array(btf, t->u32, letter, OOO_NAME_BYTES);
	t->buckets = btf__add_array(btf, t->u32, t->u64, LATENCY_BUCKETS);
	t->times = add_times(btf, t);
	t->value = add_value(btf, t);
	if (t->value < 0 || btf__load_into_kernel(btf)) {
		btf__free(btf);
		return NULL;
	}
	return btf;
}

/* ---- map and name ------------------------------------------------------------------------------- */

static int quiet(enum libbpf_print_level level, const char *format, va_list args)
{
	return 0; /* what fails is said in one sentence, by who asked */
}

static int make_map(uint32_t nr)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_MMAPABLE);
	struct types types;
	struct btf *btf;
	int fd;

	libbpf_set_print(quiet);
	btf = describe(&types);
	if (btf) {
		opts.btf_fd = (__u32)btf__fd(btf);
		opts.btf_key_type_id = (__u32)types.u32;
		opts.btf_value_type_id = (__u32)types.value;
	}
	fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "ooo_stages", sizeof(uint32_t),
			    sizeof(struct ooo_tenant_stages), nr, &opts);
	btf__free(btf);
	return fd;
}

/* Agents of other runtime folders pin with their pid in the name: of those that are gone. */
static void sweep(const char *folder)
{
	char path[PINNED_MAX_PATH], *end;
	DIR *dir = opendir(folder);
	struct dirent *e;

	while (dir && (e = readdir(dir))) {
		long pid;

		if (strncmp(e->d_name, PINNED_NAME "-", strlen(PINNED_NAME "-")) != 0)
			continue;
		pid = strtol(e->d_name + strlen(PINNED_NAME "-"), &end, 10);
		if (*end || pid <= 0 || !kill((pid_t)pid, 0) || errno != ESRCH)
			continue;
		if (snprintf(path, sizeof(path), "%s/%s", folder, e->d_name) < (int)sizeof(path))
			unlink(path);
	}
	if (dir)
		closedir(dir);
}

static int pin_map(int fd, const char *bpf_fs, const char *name, char pin[PINNED_MAX_PATH],
		   char *why, size_t why_bytes)
{
	char folder[PINNED_MAX_PATH];
	struct statfs fs;

	if (statfs(bpf_fs, &fs) || (uint64_t)fs.f_type != BPF_FS_MAGIC) {
		snprintf(why, why_bytes,
			 "%s is no BPF file system (mount -t bpf bpf %s, or --bpf-fs DIR)", bpf_fs,
			 bpf_fs);
		return -ENODEV;
	}
	if (snprintf(folder, sizeof(folder), "%s/" PINNED_FOLDER, bpf_fs) >= (int)sizeof(folder) ||
	    snprintf(pin, PINNED_MAX_PATH, "%s/%s", folder, name) >= PINNED_MAX_PATH) {
		snprintf(why, why_bytes, "--bpf-fs: \"%s\" is too long", bpf_fs);
		return -ENAMETOOLONG;
	}
	mkdir(folder, 0755); /* what is wrong with it, pinning says */
	sweep(folder);
	unlink(pin);
	if (!bpf_obj_pin(fd, pin))
		return 0;
	snprintf(why, why_bytes, "%s: %s", pin, strerror(errno));
	return -errno;
}

int pinned_make(uint32_t nr, const char *bpf_fs, const char *name, char pin[PINNED_MAX_PATH],
		char *why, size_t why_bytes)
{
	int fd = make_map(nr);

	pin[0] = '\0';
	if (fd < 0) {
		snprintf(why, why_bytes, "a BPF map cannot be made: %s (root, or CAP_BPF)",
			 strerror(-fd));
		return fd;
	}
	if (pin_map(fd, bpf_fs, name, pin, why, why_bytes))
		pin[0] = '\0';
	return fd;
}

#else

int pinned_make(uint32_t nr, const char *bpf_fs, const char *name, char pin[PINNED_MAX_PATH],
		char *why, size_t why_bytes)
{
	snprintf(why, why_bytes, "built without libbpf");
	return -EOPNOTSUPP;
}

#endif

void pinned_remove(const char *pin)
{
	unlink(pin);
}
