// SPDX-License-Identifier: Apache-2.0
/* Stands for ctl/trace where ooo-ctl is built without libbpf. */
#include "ctl/verb.h"

enum ctl_exit verb_trace(struct session *s)
{
	snprintf(
		s->why, sizeof(s->why),
		"trace: this ooo-ctl was built without BPF: install clang, bpftool and libbpf-dev, and "
		"build it again");
	return CTL_REFUSED;
}
