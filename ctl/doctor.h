/* SPDX-License-Identifier: Apache-2.0 */
/* One check of the machine. */
#ifndef OOO_CTL_DOCTOR_H
#define OOO_CTL_DOCTOR_H

#include "ctl/verb.h"

enum doctor_status {
	DOCTOR_OK,
	DOCTOR_WARN, /* it works, but less well, or a part is left out */
	DOCTOR_FAIL, /* something does not work */
	DOCTOR_STATUSES
};

enum doctor_check {
#define CHECK(NAME, key, why) DOCTOR_##NAME,
#include "ctl/doctor.def"
	NR_DOCTOR_CHECKS
};

struct doctor {
	enum doctor_status status;
	char found[256];
	char command[256]; /* mends it; empty: nothing to mend, or it takes no command */
};

/* Say what was found; command NULL: none. */
void doctor_say(struct doctor *c, enum doctor_status status, const char *command, const char *fmt,
		...) __attribute__((format(printf, 4, 5)));

/* doctor_gpu.c */
void doctor_gpu(struct doctor *c);
void doctor_gpu_nodes(struct doctor *c);
void doctor_driver(struct doctor *c);
void doctor_green(struct doctor *c);
void doctor_nvrtc(struct doctor *c);

/* doctor_system.c */
void doctor_kernel(struct doctor *c);
void doctor_cpus(struct doctor *c);
void doctor_clock(struct doctor *c);
void doctor_memfd(struct doctor *c);
void doctor_netlink(struct doctor *c);
void doctor_nofile(struct doctor *c);
void doctor_memlock(struct doctor *c);
void doctor_hugepages(struct doctor *c);
void doctor_cgroup(struct doctor *c);
void doctor_bpf(struct doctor *c);
void doctor_btf(struct doctor *c);
void doctor_bpffs(struct doctor *c);
void doctor_tracefs(struct doctor *c);
void doctor_perf(struct doctor *c);

#endif
