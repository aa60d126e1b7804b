/* SPDX-License-Identifier: Apache-2.0 */
/* Command lines of ooo-ctl, a word a line: understood, or refused with a reason; no value out of its
 * range is taken. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/words.h"

#define MAX_ARGC 32

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *copy = malloc(size + 1), *argv[MAX_ARGC + 1] = { NULL }, *at = copy, why[100];
	struct command cmd;
	int argc = 0;

	if (!copy)
		abort();
	memcpy(copy, data, size);
	copy[size] = '\0';
	while (at && argc < MAX_ARGC)
		argv[argc++] = strsep(&at, "\n");
	memset(why, 0x55, sizeof(why));
	if (words_parse(argc, argv, &cmd, why, sizeof(why))) {
		if (!why[0] || !memchr(why, 0, sizeof(why)))
			abort();
	} else {
		for (int i = 0; i < NR_CTL_ARGS; i++)
			if (cmd.has[i] &&
			    (cmd.value[i] < ctl_args[i].min || cmd.value[i] > ctl_args[i].max ||
			     ctl_args[i].verb != cmd.verb))
				abort();
		if (cmd.has_object && ctl_verbs[cmd.verb].object != cmd.object)
			abort();
	}
	free(copy);
	return 0;
}
