/* SPDX-License-Identifier: Apache-2.0 */
/* The agent's command line. */
#ifndef OOO_AGENT_OPTIONS_H
#define OOO_AGENT_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "agent/device/device.h"
#include "agent/tenant/door.h"
#include "agent/turn.h"

struct options {
	struct device_config device;
	struct turn_config turn;
	struct door_limits limits;
	const char *runtime_dir; /* NULL: see runtime.h */
	const char *metrics;     /* where to show them by HTTP; NULL: nowhere */
	const char *bpf_fs;      /* where times by stage are pinned, "memory" or "off" */
	const char *group;       /* who may change things with ooo-ctl besides root; NULL: nobody */
	const char *
		policy_file; /* NULL: POLICY_FILE_DEFAULT in /run/ooo, else in the runtime folder */
	uint64_t record_bytes; /* of one device's flight recorder; 0: none */
	uint32_t resume_fd;    /* state of the process before: agent/handover.h; 0: none */
	bool verbose, version, help;
};

#define EXIT_USAGE 2

/*
 * 0, or -EINVAL with a sentence in why. Strings point into argv. Nothing is printed. With help or
 * version the rest does not count.
 */
int options_parse(struct options *o, int argc, char **argv, char *why, size_t why_bytes);
void options_usage(FILE *f);

#endif
