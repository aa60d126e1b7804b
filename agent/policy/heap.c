// SPDX-License-Identifier: Apache-2.0
#include "agent/policy/heap.h"

static bool before(const struct heap_node *a, const struct heap_node *b)
{
	if (a->key != b->key)
		return a->key < b->key;
	return a->seq < b->seq;
}

/* Join two roots (no siblings); the earlier one becomes the parent. Either may be NULL. */
static struct heap_node *meld(struct heap_node *a, struct heap_node *b)
{
	if (!a)
		return b;
	if (!b)
		return a;
	if (before(b, a)) {
		struct heap_node *t = a;

		a = b;
		b = t;
	}
	b->prev = a;
	b->next = a->child;
	if (a->child)
		a->child->prev = b;
	a->child = b;
	return a;
}

/* Two passes over a list of siblings: pair left to right, then meld right to left. */
static struct heap_node *combine(struct heap_node *first)
{
	struct heap_node *pairs = NULL, *root = NULL;

	while (first) {
		struct heap_node *a = first, *b = a->next, *pair;

		first = b ? b->next : NULL;
		a->next = a->prev = NULL;
		if (b)
			b->next = b->prev = NULL;
		pair = meld(a, b);
		pair->next = pairs;
		pairs = pair;
	}
	while (pairs) {
		struct heap_node *next = pairs->next;

		pairs->next = NULL;
		root = meld(root, pairs);
		pairs = next;
	}
	if (root)
		root->prev = NULL;
	return root;
}

void heap_insert(struct heap *h, struct heap_node *node, uint64_t key)
{
	node->key = key;
	node->seq = h->seq++;
	node->child = node->next = node->prev = NULL;
	h->root = meld(h->root, node);
}

struct heap_node *heap_pop(struct heap *h)
{
	struct heap_node *min = h->root;

	if (min)
		h->root = combine(min->child);
	return min;
}

void heap_remove(struct heap *h, struct heap_node *node)
{
	if (node == h->root) {
		heap_pop(h);
		return;
	}
	if (node->prev->child == node)
		node->prev->child = node->next;
	else
		node->prev->next = node->next;
	if (node->next)
		node->next->prev = node->prev;
	h->root = meld(h->root, combine(node->child));
}
