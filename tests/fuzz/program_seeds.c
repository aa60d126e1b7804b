/* SPDX-License-Identifier: Apache-2.0 */
/* Write small random programs as seeds for program_fuzz: program_seeds DIRECTORY */
#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/program/random.h"

#define NR_SEEDS  24
#define MAX_BYTES 12288

static int write_seed(const char *dir, unsigned nr, const void *data, uint64_t bytes)
{
	char path[512];
	FILE *f;
	int bad;

	snprintf(path, sizeof(path), "%s/random-%02u", dir, nr);
	f = fopen(path, "wb");
	if (!f) {
		perror(path);
		return -1;
	}
	bad = fwrite(data, 1, bytes, f) != bytes;
	bad |= fclose(f);
	if (bad)
		perror(path);
	return bad ? -1 : 0;
}

int main(int argc, char **argv)
{
	unsigned nr = 0;

	if (argc != 2) {
		fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
		return 2;
	}
	for (uint64_t seed = 1; nr < NR_SEEDS; seed++) {
		struct build *b = random_program(seed, 2 + nr % 6);
		uint64_t bytes;
		void *data = build_encode(b, &bytes);
		int rc = bytes <= MAX_BYTES ? write_seed(argv[1], nr++, data, bytes) : 0;

		free(data);
		build_free(b);
		if (rc)
			return 1;
	}
	return 0;
}
