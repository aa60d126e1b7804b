// SPDX-License-Identifier: Apache-2.0
/* What the kernel and its settings offer. */
#include <errno.h>
#include <linux/bpf.h>
#include <linux/magic.h>
#include <linux/netlink.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "ctl/doctor.h"

#define KERNEL_MAJOR  5
#define KERNEL_MINOR  15
#define NOFILE_WANTED 3584 /* 1024 tenants, the agent's default, and its own */
#define MEMLOCK_MIN   (256ull << 20)

/* The first line of a file without its end; false: it cannot be read. */
static bool read_line(const char *path, char *line, size_t bytes)
{
	FILE *f = fopen(path, "re");
	bool ok = f && fgets(line, (int)bytes, f);

	if (f)
		fclose(f);
	if (ok)
		line[strcspn(line, "\n")] = '\0';
	return ok;
}

static bool mounted(const char *path, long magic)
{
	struct statfs fs;

	return !statfs(path, &fs) && (long)fs.f_type == magic;
}

void doctor_kernel(struct doctor *c)
{
	struct utsname name;
	char *rest;
	long major, minor = 0;

	uname(&name);
	major = strtol(name.release, &rest, 10);
	if (*rest == '.')
		minor = strtol(rest + 1, NULL, 10);
	if (major > KERNEL_MAJOR || (major == KERNEL_MAJOR && minor >= KERNEL_MINOR))
		doctor_say(c, DOCTOR_OK, NULL, "%s %s", name.sysname, name.release);
	else
		doctor_say(c, DOCTOR_WARN, "apt-get install -y linux-image-amd64  # and reboot",
			   "%s %s is older", name.sysname, name.release);
}

void doctor_cpus(struct doctor *c)
{
	cpu_set_t set;
	int nr = 0;

	if (!sched_getaffinity(0, sizeof(set), &set))
		nr = CPU_COUNT(&set);
	if (nr == 1)
		doctor_say(c, DOCTOR_WARN, NULL, "1 processor is allowed");
	else
		doctor_say(c, DOCTOR_OK, NULL, "%d processors are allowed", nr);
}

void doctor_clock(struct doctor *c)
{
	static const char path[] =
		"/sys/devices/system/clocksource/clocksource0/current_clocksource";
	char name[64];

	if (!read_line(path, name, sizeof(name)))
		doctor_say(c, DOCTOR_OK, NULL, "the kernel does not say");
	else if (!strcmp(name, "hpet") || !strcmp(name, "acpi_pm") || !strcmp(name, "jiffies"))
		doctor_say(c, DOCTOR_WARN,
			   "echo tsc >/sys/devices/system/clocksource/clocksource0/"
			   "current_clocksource  # if available_clocksource has it",
			   "%s is slow", name);
	else
		doctor_say(c, DOCTOR_OK, NULL, "%s", name);
}

void doctor_memfd(struct doctor *c)
{
	int fd = memfd_create("doctor", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		doctor_say(c, DOCTOR_FAIL, NULL, "memfd_create: %s", strerror(errno));
	else
		doctor_say(c, DOCTOR_OK, NULL, "can be sealed");
	if (fd >= 0)
		close(fd);
}

void doctor_netlink(struct doctor *c)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_USERSOCK);

	if (fd < 0)
		doctor_say(c, DOCTOR_FAIL,
			   "# allow AF_NETLINK in the container's or the unit's address families",
			   "cannot be opened: %s", strerror(errno));
	else
		doctor_say(c, DOCTOR_OK, NULL, "can be opened");
	if (fd >= 0)
		close(fd);
}

void doctor_nofile(struct doctor *c)
{
	struct rlimit lim = { 0 };

	getrlimit(RLIMIT_NOFILE, &lim);
	if (lim.rlim_max < NOFILE_WANTED)
		doctor_say(
			c, DOCTOR_WARN,
			"prlimit --pid $$ --nofile=65536:65536  # or LimitNOFILE=65536 in the unit",
			"%llu open files are allowed: too few for 1024 tenants",
			(unsigned long long)lim.rlim_max);
	else
		doctor_say(c, DOCTOR_OK, NULL, "%llu open files are allowed",
			   (unsigned long long)lim.rlim_max);
}

void doctor_memlock(struct doctor *c)
{
	struct rlimit lim = { 0 };

	getrlimit(RLIMIT_MEMLOCK, &lim);
	if (!geteuid())
		doctor_say(c, DOCTOR_OK, NULL, "root may lock any memory");
	else if (lim.rlim_max == RLIM_INFINITY)
		doctor_say(c, DOCTOR_OK, NULL, "unlimited");
	else if (lim.rlim_max < MEMLOCK_MIN)
		doctor_say(c, DOCTOR_WARN,
			   "sudo prlimit --pid $$ --memlock=unlimited:unlimited  # or "
			   "LimitMEMLOCK=infinity in the unit",
			   "%llu KiB may be locked: little for arenas",
			   (unsigned long long)lim.rlim_max >> 10);
	else
		doctor_say(c, DOCTOR_OK, NULL, "%llu MiB may be locked",
			   (unsigned long long)lim.rlim_max >> 20);
}

void doctor_hugepages(struct doctor *c)
{
	char line[128];

	if (!read_line("/sys/kernel/mm/transparent_hugepage/enabled", line, sizeof(line)))
		doctor_say(c, DOCTOR_WARN, NULL, "the kernel has no transparent ones");
	else if (strstr(line, "[never]"))
		doctor_say(c, DOCTOR_WARN,
			   "echo madvise >/sys/kernel/mm/transparent_hugepage/enabled",
			   "transparent ones are switched off");
	else
		doctor_say(c, DOCTOR_OK, NULL, "transparent: %s", line);
}

void doctor_cgroup(struct doctor *c)
{
	if (mounted("/sys/fs/cgroup", CGROUP2_SUPER_MAGIC))
		doctor_say(c, DOCTOR_OK, NULL, "version 2 at /sys/fs/cgroup");
	else if (mounted("/sys/fs/cgroup/unified", CGROUP2_SUPER_MAGIC))
		doctor_say(c, DOCTOR_OK, NULL, "version 2 at /sys/fs/cgroup/unified");
	else
		doctor_say(c, DOCTOR_WARN,
			   "# boot with systemd.unified_cgroup_hierarchy=1 on the kernel's line",
			   "version 2 is not mounted at /sys/fs/cgroup");
}

void doctor_bpf(struct doctor *c)
{
	union bpf_attr attr;
	long fd;

	memset(&attr, 0, sizeof(attr));
	attr.map_type = BPF_MAP_TYPE_ARRAY;
	attr.key_size = 4;
	attr.value_size = 8;
	attr.max_entries = 1;
	attr.map_flags = BPF_F_MMAPABLE;
	fd = syscall(SYS_bpf, BPF_MAP_CREATE, &attr, sizeof(attr));
	if (fd >= 0) {
		doctor_say(c, DOCTOR_OK, NULL, "maps can be made, and mapped into memory");
		close((int)fd);
	} else if (errno == EPERM) {
		doctor_say(c, DOCTOR_WARN, "sudo ooo-ctl doctor  # and run the agent as root",
			   "not allowed to uid %u", geteuid());
	} else {
		doctor_say(c, DOCTOR_WARN, NULL, "bpf(): %s", strerror(errno));
	}
}

void doctor_btf(struct doctor *c)
{
	if (access("/sys/kernel/btf/vmlinux", R_OK))
		doctor_say(c, DOCTOR_WARN, "# use a kernel with CONFIG_DEBUG_INFO_BTF=y",
			   "/sys/kernel/btf/vmlinux cannot be read");
	else
		doctor_say(c, DOCTOR_OK, NULL, "/sys/kernel/btf/vmlinux can be read");
}

void doctor_bpffs(struct doctor *c)
{
	if (mounted("/sys/fs/bpf", BPF_FS_MAGIC))
		doctor_say(c, DOCTOR_OK, NULL, "mounted at /sys/fs/bpf");
	else
		doctor_say(c, DOCTOR_WARN, "mount -t bpf bpf /sys/fs/bpf",
			   "not mounted at /sys/fs/bpf");
}

void doctor_tracefs(struct doctor *c)
{
	bool there = mounted("/sys/kernel/tracing", TRACEFS_MAGIC);

	/* Debugfs mounts it inside itself when somebody looks. */
	if (there && !access("/sys/kernel/tracing/events", R_OK | X_OK))
		doctor_say(c, DOCTOR_OK, NULL, "mounted at /sys/kernel/tracing");
	else if (there)
		doctor_say(c, DOCTOR_WARN, "sudo ooo-ctl doctor  # tracing is root's",
			   "not open to uid %u", geteuid());
	else
		doctor_say(c, DOCTOR_WARN, "mount -t tracefs nodev /sys/kernel/tracing",
			   "not mounted at /sys/kernel/tracing");
}

void doctor_perf(struct doctor *c)
{
	char line[32];
	long level;

	if (!read_line("/proc/sys/kernel/perf_event_paranoid", line, sizeof(line))) {
		doctor_say(c, DOCTOR_WARN, NULL, "the kernel has no perf events");
		return;
	}
	level = strtol(line, NULL, 10);
	if (level <= 2 || !geteuid())
		doctor_say(c, DOCTOR_OK, NULL, "%ld%s", level,
			   level > 2 ? ", which does not bind root" : "");
	else
		doctor_say(c, DOCTOR_WARN, "sudo sysctl kernel.perf_event_paranoid=2", "%ld",
			   level);
}
