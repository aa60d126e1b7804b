/* SPDX-License-Identifier: Apache-2.0 */
/* Names to values: a balanced tree for each nested graph, and the importer's memory. */
#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "shared/onnx/error.h"
#include "shared/onnx/import.h"

struct scope {
	void *root; /* of tsearch(): struct binding */
	struct scope *outer;
};

struct binding {
	const char *name;
	struct value *value;
};

struct chunk {
	struct chunk *next;
	void *p;
};

int import_own(struct importer *im, void *p)
{
	struct chunk *chunk = malloc(sizeof(*chunk));

	if (!chunk) {
		free(p);
		return onnx_fail(-ENOMEM, "no memory");
	}
	chunk->p = p;
	chunk->next = im->chunks;
	im->chunks = chunk;
	return 0;
}

void *import_alloc(struct importer *im, uint64_t bytes)
{
	void *p;

	if (bytes > im->bytes_left) {
		onnx_fail(-EFBIG, "the constants computed from the model need too much memory");
		return NULL;
	}
	p = calloc(1, bytes ? bytes : 1);
	if (!p) {
		onnx_fail(-ENOMEM, "no memory");
		return NULL;
	}
	im->bytes_left -= bytes;
	return import_own(im, p) ? NULL : p;
}

void import_free(struct importer *im)
{
	while (im->chunks) {
		struct chunk *chunk = im->chunks;

		im->chunks = chunk->next;
		free(chunk->p);
		free(chunk);
	}
}

int scope_push(struct importer *im)
{
	struct scope *scope = calloc(1, sizeof(*scope));

	if (!scope)
		return onnx_fail(-ENOMEM, "no memory");
	scope->outer = im->scope;
	im->scope = scope;
	return 0;
}

void scope_pop(struct importer *im)
{
	struct scope *scope = im->scope;

	im->scope = scope->outer;
	tdestroy(scope->root, free);
	free(scope);
}

static int compare(const void *a, const void *b)
{
	return strcmp(((const struct binding *)a)->name, ((const struct binding *)b)->name);
}

int scope_bind(struct importer *im, const char *name, struct value *value)
{
	struct binding *binding = malloc(sizeof(*binding));
	struct binding **found;

	if (!binding)
		return -ENOMEM;
	binding->name = name;
	binding->value = value;
	found = tsearch(binding, &im->scope->root, compare);
	if (found && *found == binding)
		return 0;
	free(binding);
	return found ? -EEXIST : -ENOMEM;
}

struct value *scope_find(const struct importer *im, const char *name)
{
	struct binding key = { name, NULL };

	for (const struct scope *scope = im->scope; scope; scope = scope->outer) {
		struct binding **found = tfind(&key, &scope->root, compare);

		if (found)
			return (*found)->value;
	}
	return NULL;
}
