// SPDX-License-Identifier: Apache-2.0
/*
 * Blocks of constants in device memory. Programs of one owner that bring equal contents share one
 * copy: found by a 128-bit hash keyed with secrets of this process, so that no tenant can make a
 * block that collides with another's on purpose.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "agent/device/cuda/cuda.h"

#define NR_BUCKETS 4096
#define LANES      4 /* independent products in flight */

struct cuda_weight {
	struct cuda_weight *next;
	uint64_t share_key, hash[2];
	uint64_t bytes;
	uint32_t refs;
	struct cuda_mem mem;
};

struct cuda_weights {
	uint64_t secret[2 * LANES + 2];
	struct cuda_weight *buckets[NR_BUCKETS];
};

int cuda_weights_open(struct device *dev)
{
	dev->weights = calloc(1, sizeof(*dev->weights));
	if (!dev->weights)
		return -ENOMEM;
	if (getrandom(dev->weights->secret, sizeof(dev->weights->secret), 0) !=
	    sizeof(dev->weights->secret))
		return -EIO;
	return 0;
}

void cuda_weights_close(struct device *dev)
{
	if (!dev->weights)
		return;
	for (unsigned i = 0; i < NR_BUCKETS; i++) {
		struct cuda_weight *w;

		while ((w = dev->weights->buckets[i])) {
			dev->weights->buckets[i] = w->next;
			free(w);
		}
	}
	free(dev->weights);
	dev->weights = NULL;
}

/* Both halves of the 128-bit product, folded: the mixing step of the multiply-fold hashes. */
static uint64_t fold(uint64_t a, uint64_t b)
{
	unsigned __int128 p = (unsigned __int128)a * b;

	return (uint64_t)p ^ (uint64_t)(p >> 64);
}

static uint64_t word(const char *p)
{
	uint64_t w;

	memcpy(&w, p, sizeof(w));
	return w;
}

static void hash128(const uint64_t *secret, const void *data, uint64_t bytes, uint64_t hash[2])
{
	const char *p = data;
	uint64_t lane[LANES], tail[2 * LANES] = { 0 };
	uint64_t left = bytes;

	memcpy(lane, secret, sizeof(lane));
	for (; left >= sizeof(tail); left -= sizeof(tail), p += sizeof(tail)) {
		for (int i = 0; i < LANES; i++)
			lane[i] = fold(lane[i] ^ word(p + 16 * i),
				       secret[LANES + i] ^ word(p + 16 * i + 8));
	}
	memcpy(tail, p, left);
	for (int i = 0; i < LANES; i++)
		lane[i] = fold(lane[i] ^ tail[2 * i], secret[LANES + i] ^ tail[2 * i + 1]);
	hash[0] = fold(lane[0] ^ bytes, lane[1] ^ secret[2 * LANES]);
	hash[1] = fold(lane[2] ^ secret[2 * LANES + 1], lane[3] ^ bytes);
}

int cuda_weight_get(struct device *dev, uint64_t share_key, const void *data, uint64_t bytes,
		    struct cuda_weight **out, char *why, size_t why_bytes)
{
	struct cuda_weight *w, **bucket;
	uint64_t hash[2];
	int err;

	hash128(dev->weights->secret, data, bytes, hash);
	bucket = &dev->weights->buckets[hash[0] % NR_BUCKETS];
	for (w = *bucket; share_key && w; w = w->next) {
		if (w->share_key == share_key && w->bytes == bytes && w->hash[0] == hash[0] &&
		    w->hash[1] == hash[1]) {
			w->refs++;
			*out = w;
			return 0;
		}
	}
	w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	*w = (struct cuda_weight){
		.share_key = share_key,
		.hash = { hash[0], hash[1] },
		.bytes = bytes,
		.refs = 1,
	};
	err = cuda_mem_take(dev, bytes ? bytes : 1, &w->mem, why, why_bytes);
	if (!err && bytes)
		err = cuda_upload(dev, w->mem.address, data, bytes);
	if (err) {
		cuda_mem_give(dev, &w->mem);
		free(w);
		return err;
	}
	w->next = *bucket;
	*bucket = w;
	*out = w;
	return 0;
}

void cuda_weight_put(struct device *dev, struct cuda_weight *w)
{
	struct cuda_weight **at = &dev->weights->buckets[w->hash[0] % NR_BUCKETS];

	if (--w->refs)
		return;
	while (*at != w)
		at = &(*at)->next;
	*at = w->next;
	cuda_mem_give(dev, &w->mem);
	free(w);
}

uint64_t cuda_weight_address(const struct cuda_weight *w)
{
	return w->mem.address;
}
