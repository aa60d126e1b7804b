/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a builder to shared/abi/program.h: the constants' data is in the memfd already, the tables
 * go behind it and the header before it, and the seals make it final. Loading one builder several
 * times sends the same memfd.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "shared/client/internal.h"

static uint64_t aligned(uint64_t n)
{
	return (n + 7) / 8 * 8;
}

static struct ooo_prog_header make_header(const struct ooo_builder *b)
{
	struct ooo_prog_header h = { .magic = OOO_PROG_MAGIC, .version = OOO_PROG_VERSION };

	h.nr_tensors = b->nr_tensors;
	h.nr_ops = b->nr_ops;
	h.nr_operands = b->nr_operands;
	h.nr_inputs = b->nr_inputs;
	h.nr_outputs = b->nr_outputs;
	h.data_off = STORE_DATA_OFF;
	h.data_bytes = b->store->data_bytes;
	h.tensors_off = h.data_off + h.data_bytes;
	h.ops_off = aligned(h.tensors_off + b->nr_tensors * sizeof(struct ooo_prog_tensor));
	h.operands_off = aligned(h.ops_off + b->nr_ops * sizeof(struct ooo_prog_op));
	h.bytes = aligned(h.operands_off + b->nr_operands * sizeof(uint32_t));
	memcpy(h.name, b->name, sizeof(h.name));
	return h;
}

static struct ooo_prog_tensor *make_tensors(const struct ooo_builder *b)
{
	struct ooo_prog_tensor *tensors = calloc(b->nr_tensors, sizeof(*tensors));

	for (uint32_t id = 0; tensors && id < b->nr_tensors; id++) {
		const struct tensor_decl *from = &b->tensors[id];
		struct ooo_prog_tensor *to = &tensors[id];

		to->dtype = from->shape.dtype;
		to->role = from->role;
		to->rank = (uint32_t)from->shape.rank;
		to->io = from->io;
		memcpy(to->dims, from->shape.dims, sizeof(to->dims));
		to->data_off = from->data_off;
		to->data_bytes = from->data_bytes;
	}
	return tensors;
}

static int write_all(const struct ooo_builder *b, const struct ooo_prog_header *h)
{
	struct ooo_prog_tensor *tensors = make_tensors(b);
	int fd = b->store->fd, rc = -ENOMEM;

	if (!tensors)
		return rc;
	/* All pages up to the end exist, also what nothing is written to. */
	rc = ftruncate(fd, (off_t)h->bytes) ? -errno : 0;
	if (!rc)
		rc = client_write_at(fd, tensors, b->nr_tensors * sizeof(*tensors), h->tensors_off);
	if (!rc)
		rc = client_write_at(fd, b->ops, b->nr_ops * sizeof(*b->ops), h->ops_off);
	if (!rc)
		rc = client_write_at(fd, b->operands, b->nr_operands * sizeof(*b->operands),
				     h->operands_off);
	if (!rc)
		rc = client_write_at(fd, h, sizeof(*h), 0);
	free(tensors);
	return rc;
}

/* The store's memfd as it is sent: written and sealed, unless it already is. */
static int seal(const struct ooo_builder *b)
{
	struct store *store = b->store;
	struct ooo_prog_header h = make_header(b);
	int rc = 0;

	if (store->sealed && !store->stale)
		return 0;
	if (store->fd < 0 || store->sealed)
		rc = client_store_reopen(store, b->name);
	if (!rc)
		rc = write_all(b, &h);
	if (!rc &&
	    fcntl(store->fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		rc = -errno;
	if (rc)
		return rc;
	store->sealed = true;
	store->stale = false;
	store->total_bytes = h.bytes;
	return 0;
}

int client_encode(const struct ooo_builder *b, int *fd, uint64_t *bytes, char *why,
		  size_t why_bytes)
{
	int rc;

	if (b->invalid_name) {
		snprintf(why, why_bytes, "its name is not printable ASCII");
		return -EINVAL;
	}
	if (!b->nr_outputs) {
		snprintf(why, why_bytes, "it has no output: call ooo_output()");
		return -EINVAL;
	}
	rc = seal(b);
	if (!rc) {
		*fd = fcntl(b->store->fd, F_DUPFD_CLOEXEC, 0);
		rc = *fd < 0 ? -errno : 0;
	}
	*bytes = b->store->total_bytes;
	if (rc)
		snprintf(why, why_bytes, "cannot write its encoding: %s", strerror(-rc));
	return rc;
}
