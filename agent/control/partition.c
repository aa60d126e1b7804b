// SPDX-License-Identifier: Apache-2.0
/*
 * Partitions that come and go live, on one device or on all that can: whole, or not at all. The
 * dispatchers make them (agent/flow/partition.c); this thread waits for each.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent/control/partition.h"
#include "agent/control/handler.h"
#include "agent/log.h"
#include "agent/tenant/errand.h"

#define BUSY_TRIES    250 /* what is in flight there may end in between: */
#define BUSY_PAUSE_NS 2000000

static int ask(struct registry *r, uint32_t type, uint32_t device, const char *name, uint32_t units,
	       char *why, size_t why_bytes)
{
	struct errand *e = errand_new(type, device);
	int err;

	if (!e) {
		snprintf(why, why_bytes, "out of memory");
		return -ENOMEM;
	}
	snprintf(e->name, sizeof(e->name), "%s", name);
	e->units = units;
	err = errand_run(r, &e, why, why_bytes);
	free(e);
	return err;
}

static bool has(struct registry *r, uint32_t device, const char *name)
{
	bool found;

	registry_lock(r);
	found = registry_find_partition(&r->agent.devices[device], name);
	registry_unlock(r);
	return found;
}

/* ---- add --------------------------------------------------------------------------------------- */

int partitions_make(struct registry *r, int device, const char *name, uint32_t units,
		    uint32_t *made, char *why, size_t why_bytes)
{
	uint32_t first = device < 0 ? 0 : (uint32_t)device;
	uint32_t end = device < 0 ? r->agent.nr_devices : first + 1;
	char text[ERRAND_WHY_BYTES];
	int err = 0;

	*made = 0;
	for (uint32_t i = first; i < end && !err; i++) {
		err = ask(r, MAIL_PARTITION_ADD, i, name, units, text, sizeof(text));
		if (!err)
			*made |= 1u << i;
		else if (err != -EOPNOTSUPP || device >= 0 || !*made || i + 1 == end)
			snprintf(why, why_bytes, "%s", text);
		/* Others may be able to. */
		if (err == -EOPNOTSUPP && device < 0 && (i + 1 < end || *made))
			err = 0;
	}
	if (err)
		partitions_unmake(r, *made, name);
	return err;
}

void partitions_unmake(struct registry *r, uint32_t devices, const char *name)
{
	char why[ERRAND_WHY_BYTES];

	for (; devices; devices &= devices - 1)
		ask(r, MAIL_PARTITION_DEL, (uint32_t)__builtin_ctz(devices), name, 0, why,
		    sizeof(why));
}

/* ---- of a policy file -------------------------------------------------------------------------- */

#define LARGEST_STEP 16 /* SMs that a device rounds up by, at most */

/* 1: it is there as the policy wants it; 0: it is not there; -EINVAL: it is another. */
static int there(struct registry *r, uint32_t device, const struct policy_partition *p, char *why,
		 size_t why_bytes)
{
	const struct registry_device *d = &r->agent.devices[device];
	uint32_t place, units;

	registry_lock(r);
	place = registry_find_partition(d, p->name);
	units = place ? d->partition[place - 1].units : 0;
	registry_unlock(r);
	if (!place || (units >= p->units && units - p->units < LARGEST_STEP))
		return place != 0;
	snprintf(why, why_bytes,
		 "device %u: partition '%s' has %u SMs and the policy gives it %u: `ooo-ctl "
		 "partition del %s` first",
		 device, p->name, units, p->units, p->name);
	return -EINVAL;
}

static int make_missing(struct registry *r, const struct policy_partition *p, uint32_t *made,
			char *why, size_t why_bytes)
{
	uint32_t bit;
	bool can = false;
	int err = 0;

	*made = 0;
	for (uint32_t i = 0; i < r->agent.nr_devices && err >= 0; i++) {
		if (!r->agent.devices[i].caps->partitions)
			continue;
		can = true;
		err = there(r, i, p, why, why_bytes);
		if (err)
			continue;
		err = partitions_make(r, (int)i, p->name, p->units, &bit, why, why_bytes);
		*made |= bit;
	}
	if (can)
		return err < 0 ? err : 0;
	snprintf(why, why_bytes, "partition '%s': no device here can be partitioned", p->name);
	return -EOPNOTSUPP;
}

int partitions_of_policy(struct registry *r, const struct policy_file *f,
			 struct partitions_made *made, char *why, size_t why_bytes)
{
	int err = 0;

	memset(made, 0, sizeof(*made));
	made->p = policy_file_partitions(f, &made->nr);
	for (uint32_t i = 0; i < made->nr && !err; i++)
		err = make_missing(r, &made->p[i], &made->devices[i], why, why_bytes);
	if (err)
		partitions_undo(r, made);
	return err;
}

void partitions_undo(struct registry *r, const struct partitions_made *made)
{
	for (uint32_t i = 0; i < made->nr; i++)
		partitions_unmake(r, made->devices[i], made->p[i].name);
}

unsigned partitions_drop(struct registry *r, const struct policy_partition *old, uint32_t nr_old,
			 const struct policy_file *f)
{
	char why[ERRAND_WHY_BYTES];
	unsigned kept = 0;
	uint32_t nr;
	const struct policy_partition *p = policy_file_partitions(f, &nr);

	for (uint32_t i = 0; i < nr_old; i++) {
		uint32_t k = 0;
		int err;

		while (k < nr && strcmp(p[k].name, old[i].name) != 0)
			k++;
		err = k < nr ? 0 : partitions_del(r, -1, old[i].name, why, sizeof(why));
		if (err && err != -ENOENT) {
			log_warn("control: a partition of the policy before stays: %s", why);
			kept++;
		}
	}
	return kept;
}

/* ---- del --------------------------------------------------------------------------------------- */

static uint32_t tenants_in(struct registry *r, uint32_t device, uint32_t partition)
{
	struct tenant_view t;
	uint32_t n = 0;

	for (uint64_t id = 0; id <= UINT32_MAX && registry_tenant_from(r, (uint32_t)id, &t);
	     id = (uint64_t)t.id + 1)
		n += t.device == device && t.params.partition == partition;
	return n;
}

/* From here on nobody gets into it. */
static int begin_closing(struct registry *r, uint32_t device, const char *name, char *why,
			 size_t why_bytes)
{
	struct registry_device *d = &r->agent.devices[device];
	uint32_t partition, tenants = 0;

	registry_lock(r);
	partition = registry_find_partition(d, name);
	if (partition)
		tenants = tenants_in(r, device, partition);
	if (partition && !tenants)
		d->closing = partition;
	registry_unlock(r);
	if (tenants)
		snprintf(why, why_bytes,
			 "device %u: partition '%s' has %u tenants: `ooo-ctl tenant set TENANT "
			 "partition none` first (see `ooo-ctl tenant list`)",
			 device, name, tenants);
	return tenants ? -EBUSY : 0;
}

static void end_closing(struct registry *r, uint32_t device)
{
	registry_lock(r);
	r->agent.devices[device].closing = 0;
	registry_unlock(r);
}

static int del_one(struct registry *r, uint32_t device, const char *name, char *why,
		   size_t why_bytes)
{
	const struct timespec pause = { .tv_nsec = BUSY_PAUSE_NS };
	int err = begin_closing(r, device, name, why, why_bytes);

	if (err)
		return err;
	for (int i = 0; i < BUSY_TRIES; i++) {
		err = ask(r, MAIL_PARTITION_DEL, device, name, 0, why, why_bytes);
		if (err != -EBUSY)
			break;
		nanosleep(&pause, NULL);
	}
	end_closing(r, device);
	return err;
}

int partitions_del(struct registry *r, int device, const char *name, char *why, size_t why_bytes)
{
	uint32_t first = device < 0 ? 0 : (uint32_t)device, found = 0;
	uint32_t end = device < 0 ? r->agent.nr_devices : first + 1;
	int err = 0;

	for (uint32_t i = first; i < end && !err; i++) {
		if (!has(r, i, name))
			continue;
		found++;
		err = del_one(r, i, name, why, why_bytes);
	}
	if (found || err)
		return err;
	snprintf(why, why_bytes, "there is no partition '%s': see `ooo-ctl partition list`", name);
	return -ENOENT;
}

/* ---- the verbs --------------------------------------------------------------------------------- */

/* Names are words of the command line and of policies. */
static int take_name(const struct call *call, int *device)
{
	const char *name = call->partition;
	uint32_t nr = registry_agent(call->c->registry)->nr_devices;

	*device = call_has(call, OOO_CTL_A_DEVICE_INDEX) ? (int)call->value[OOO_CTL_A_DEVICE_INDEX]
							 : -1;
	if (*device >= (int)nr)
		return refuse(call->why, -ENODEV,
			      "there is no device %d: see `ooo-ctl device list`", *device);
	if (!name[0])
		return refuse(call->why, -EINVAL, "which partition? Say its name");
	if (!strcmp(name, "none") || strpbrk(name, " \t\n\"'"))
		return refuse(call->why, -EINVAL,
			      "a partition cannot be called '%s': take one word, not none", name);
	return 0;
}

int partition_add(const struct call *call)
{
	struct registry *r = call->c->registry;
	char why[ERRAND_WHY_BYTES] = "";
	uint32_t made;
	int device, err = take_name(call, &device);

	if (err)
		return err;
	if (!call_has(call, OOO_CTL_A_SMS))
		return refuse(call->why, -EINVAL,
			      "how large? Say `sms N`, as in `ooo-ctl partition add %s sms 32`",
			      call->partition);
	err = partitions_make(r, device, call->partition, (uint32_t)call->value[OOO_CTL_A_SMS],
			      &made, why, sizeof(why));
	if (err)
		return refuse(call->why, err, "%s", why);
	answer_error(call->c, call->from, call->request, 0, "partition '%s' is made",
		     call->partition);
	return 0;
}

int partition_del(const struct call *call)
{
	char why[ERRAND_WHY_BYTES] = "";
	int device, err = take_name(call, &device);

	if (!err) {
		err = partitions_del(call->c->registry, device, call->partition, why, sizeof(why));
		if (err)
			return refuse(call->why, err, "%s", why);
		answer_error(call->c, call->from, call->request, 0, "partition '%s' is gone",
			     call->partition);
	}
	return err;
}
