/* SPDX-License-Identifier: Apache-2.0 */
/* The compiler's front door: take the memfd, run the passes, free a program. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "agent/program/passes.h"

/* Simplified twice: without the factors in between, more transpositions reach their products. */
static int (*const passes[])(struct graph *g) = {
	pass_simplify, pass_fold, pass_match,  pass_absorb,    pass_simplify,
	pass_attend,   pass_fuse, pass_layout, pass_precision, pass_alias,
	pass_plan,     pass_deps, pass_cost,
};

/* What steps still read, each constant once. */
static void count_weights(struct graph *g)
{
	struct program *p = g->p;

	p->weight_bytes = 0;
	for (uint32_t t = 0; t < p->nr_tensors; t++)
		if (p->tensors[t].place == PLACE_CONST && g->nr_uses[t])
			p->weight_bytes += p->tensors[t].bytes;
}

static int run_passes(struct graph *g, const void *data, uint64_t bytes)
{
	int rc = pass_verify(g, data, bytes);

	for (size_t i = 0; !rc && i < sizeof(passes) / sizeof(passes[0]); i++)
		rc = passes[i](g);
	if (!rc)
		count_weights(g);
	return rc;
}

/* Takes over map (NULL: the memory is the caller's). */
static int compile(const void *data, uint64_t bytes, void *map, const struct compile_opts *opts,
		   struct program **out, char *why, size_t why_bytes)
{
	static const struct compile_opts no_opts;
	struct program *p = calloc(1, sizeof(*p));
	struct graph g;
	int rc;

	*out = NULL;
	if (!p) {
		if (map)
			munmap(map, bytes);
		if (why && why_bytes)
			snprintf(why, why_bytes, "program: the agent is out of memory");
		return -ENOMEM;
	}
	p->map = map;
	p->map_bytes = map ? bytes : 0;
	rc = graph_init(&g, p, opts ? opts : &no_opts, why, why_bytes);
	if (!rc)
		rc = run_passes(&g, data, bytes);
	graph_done(&g);
	if (rc) {
		program_free(p);
		return rc;
	}
	*out = p;
	return 0;
}

int program_compile_mem(const void *data, uint64_t bytes, const struct compile_opts *opts,
			struct program **out, char *why, size_t why_bytes)
{
	return compile(data, bytes, NULL, opts, out, why, why_bytes);
}

static int refuse(char *why, size_t why_bytes, const char *reason)
{
	if (why && why_bytes)
		snprintf(why, why_bytes, "program: the descriptor %s", reason);
	return -EINVAL;
}

/* From here on nobody can change, cut or punch holes into what fd holds. */
static int check_sealed(int fd, uint64_t bytes, char *why, size_t why_bytes)
{
	const int need = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW;
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;

	if (seals < 0)
		return refuse(why, why_bytes, "is not a memfd; make one with MFD_ALLOW_SEALING");
	if ((seals & need) != need)
		return refuse(why, why_bytes,
			      "is not sealed with F_SEAL_WRITE, F_SEAL_SHRINK and F_SEAL_GROW");
	if (fstat(fd, &st) || st.st_size < 0 || (uint64_t)st.st_size != bytes)
		return refuse(why, why_bytes, "is not of the size that was announced");
	if (bytes < sizeof(struct ooo_prog_header) || bytes > OOO_PROG_MAX_BYTES)
		return refuse(why, why_bytes, "is too short or too long for a program");
	return 0;
}

int program_compile(int fd, uint64_t bytes, const struct compile_opts *opts, struct program **out,
		    char *why, size_t why_bytes)
{
	void *map;
	int rc;

	*out = NULL;
	rc = check_sealed(fd, bytes, why, why_bytes);
	if (rc)
		return rc;
	/* Private: kernels before 6.7 refuse a shared mapping of a write-sealed file. */
	map = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE, fd, 0);
	if (map == MAP_FAILED) {
		rc = -errno;
		if (why && why_bytes)
			snprintf(why, why_bytes, "program: cannot map its %" PRIu64 " bytes: %s",
				 bytes, strerror(-rc));
		return rc == -ENOMEM ? rc : -EINVAL;
	}
	return compile(map, bytes, map, opts, out, why, why_bytes);
}

void program_free(struct program *p)
{
	struct const_block *next;

	if (!p)
		return;
	for (uint32_t i = 0; i < p->nr_steps; i++)
		step_free(&p->steps[i]);
	for (struct const_block *b = p->const_blocks; b; b = next) {
		next = b->next;
		free(b->data);
		free(b);
	}
	free(p->steps);
	free(p->tensors);
	free(p->inputs); /* outputs are in the same block */
	if (p->map)
		munmap(p->map, p->map_bytes);
	free(p);
}
