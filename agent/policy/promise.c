// SPDX-License-Identifier: Apache-2.0
/* Treap: Aragon, Seidel, "Randomized Search Trees", 1989; its priorities hash the request's number,
 * so that a run can be repeated. */
#include "agent/policy/promise.h"

#include <stddef.h>

static bool before(const struct promise *a, const struct promise *b)
{
	if (a->due_ns != b->due_ns)
		return a->due_ns < b->due_ns;
	return a->number < b->number;
}

static uint64_t sum_of(const struct promise *p)
{
	return p ? p->sum_ns : 0;
}

/* The latest moment, times width, at which the device may be free for p to be in time, with nothing
 * before it. */
static int64_t own_slack(const struct promises *t, const struct promise *p)
{
	return ((int64_t)p->due_ns - (int64_t)p->path_ns) * (int64_t)t->width;
}

static int64_t least(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* The subtree's least slack with `ahead` of work before it. */
static int64_t slack_of(const struct promise *p, uint64_t ahead)
{
	return p ? p->slack - (int64_t)ahead : INT64_MAX;
}

static void update(const struct promises *t, struct promise *p)
{
	uint64_t left = sum_of(p->left);

	p->sum_ns = left + p->work_ns + sum_of(p->right);
	p->slack = least(slack_of(p->left, 0), own_slack(t, p) - (int64_t)left);
	p->slack = least(p->slack, slack_of(p->right, left + p->work_ns));
}

static struct promise *merge(const struct promises *t, struct promise *a, struct promise *b)
{
	if (!a || !b)
		return a ? a : b;
	if (a->priority > b->priority) {
		a->right = merge(t, a->right, b);
		update(t, a);
		return a;
	}
	b->left = merge(t, a, b->left);
	update(t, b);
	return b;
}

/* Those before p, and those after. */
static void split(const struct promises *t, struct promise *root, const struct promise *p,
		  struct promise **first, struct promise **second)
{
	if (!root) {
		*first = *second = NULL;
	} else if (before(root, p)) {
		split(t, root->right, p, &root->right, second);
		*first = root;
		update(t, root);
	} else {
		split(t, root->left, p, first, &root->left);
		*second = root;
		update(t, root);
	}
}

void promises_add(struct promises *t, struct promise *p)
{
	struct promise *first, *second;

	p->left = p->right = NULL;
	p->priority = (uint32_t)((p->number * 0x9e3779b97f4a7c15ull) >> 32);
	update(t, p);
	split(t, t->root, p, &first, &second);
	t->root = merge(t, merge(t, first, p), second);
}

static struct promise *without(const struct promises *t, struct promise *root, struct promise *p)
{
	if (root == p)
		return merge(t, p->left, p->right);
	if (before(root, p))
		root->right = without(t, root->right, p);
	else
		root->left = without(t, root->left, p);
	update(t, root);
	return root;
}

void promises_remove(struct promises *t, struct promise *p)
{
	t->root = without(t, t->root, p);
	p->left = p->right = NULL;
}

struct promise_fit promises_fit(const struct promises *t, const struct promise *p, uint64_t free_ns)
{
	const struct promise *at = t->root;
	int64_t now = (int64_t)free_ns * (int64_t)t->width, later = INT64_MAX;
	struct promise_fit fit = { .meets = true };
	uint64_t ahead = 0;

	while (at) {
		uint64_t left = sum_of(at->left);

		if (before(at, p)) {
			ahead += left + at->work_ns;
			at = at->right;
			continue;
		}
		later = least(later, own_slack(t, at) - (int64_t)(ahead + left));
		later = least(later, slack_of(at->right, ahead + left + at->work_ns));
		at = at->left;
	}
	fit.finish_ns = free_ns + (ahead + t->width - 1) / t->width + p->path_ns;
	fit.meets = fit.finish_ns <= p->due_ns &&
		    (later == INT64_MAX || later - now >= (int64_t)p->work_ns);
	return fit;
}

static int64_t slack_before(const struct promises *t, const struct promise *p)
{
	const struct promise *at = t->root;
	int64_t slack = INT64_MAX;
	uint64_t ahead = 0;

	while (at) {
		uint64_t left = sum_of(at->left);

		if (!before(at, p)) {
			at = at->left;
			continue;
		}
		slack = least(slack, slack_of(at->left, ahead));
		slack = least(slack, own_slack(t, at) - (int64_t)(ahead + left));
		ahead += left + at->work_ns;
		at = at->right;
	}
	return slack;
}

uint64_t promises_spare_ns(const struct promises *t, const struct promise *p, uint64_t free_ns)
{
	int64_t slack = p ? slack_before(t, p) : slack_of(t->root, 0), spare;

	if (slack == INT64_MAX)
		return UINT64_MAX;
	spare = slack - (int64_t)free_ns * (int64_t)t->width;
	return spare > 0 ? (uint64_t)spare / t->width : 0;
}
