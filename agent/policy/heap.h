/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Intrusive pairing heap: no allocation, O(1) insert, O(log n) amortised pop and remove.
 * Source: Fredman, Sedgewick, Sleator, Tarjan, "The pairing heap", Algorithmica 1 (1986).
 * Equal keys come out in the order of insertion (seq breaks ties), so that runs are reproducible.
 */
#ifndef OOO_AGENT_HEAP_H
#define OOO_AGENT_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct heap_node {
	uint64_t key;
	uint64_t seq;
	struct heap_node *child, *next,
		*prev; /* prev: parent for a first child, else left sibling */
};

struct heap {
	struct heap_node *root;
	uint64_t seq;
};

#define heap_entry(node, type, member) ((type *)((char *)(node)-offsetof(type, member)))

static inline bool heap_empty(const struct heap *h)
{
	return !h->root;
}

static inline struct heap_node *heap_min(const struct heap *h)
{
	return h->root;
}

void heap_insert(struct heap *h, struct heap_node *node, uint64_t key);
void heap_remove(struct heap *h, struct heap_node *node); /* must be in the heap */
struct heap_node *heap_pop(struct heap *h);               /* NULL if empty */

#endif
