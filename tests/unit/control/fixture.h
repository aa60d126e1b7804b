/* SPDX-License-Identifier: Apache-2.0 */
/* A registry with made-up tenants, and a control plane over it whose answers are caught. */
#ifndef OOO_TEST_CONTROL_FIXTURE_H
#define OOO_TEST_CONTROL_FIXTURE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/control/handler.h"

#define FIXTURE_AGENT_UID 4000u
#define FIXTURE_AGENT_ID  0x0123456789abcdefull
#define FIXTURE_NOW       5000000000ull /* ns */
#define FIXTURE_MAX_SENT  256

struct fixture_tenant {
	struct tenant tenant;
	struct registry_entry entry;
	struct program_inst insts[4];
};

struct sent {
	uint32_t port;
	size_t bytes;
	union {
		struct nlmsghdr nlh;
		uint8_t data[OOO_CTL_MSG_BYTES];
	};
};

struct fixture {
	struct control c; /* first: send() finds the rest by it */
	struct registry registry;
	struct turn_stats stats;
	struct device_caps caps;
	struct turn_config config;
	struct program program;
	struct fixture_tenant **tenants;
	unsigned nr_tenants;
	struct sent sent[FIXTURE_MAX_SENT];
	unsigned nr_sent;
	int send_error; /* returned instead of sending */
	unsigned nr_refused_sends;
};

static inline int fixture_send(struct control *c, uint32_t port, const void *data, size_t bytes)
{
	struct fixture *f = (struct fixture *)c;
	struct sent *s;

	if (f->send_error) {
		f->nr_refused_sends++;
		return f->send_error;
	}
	if (f->nr_sent == FIXTURE_MAX_SENT || bytes > OOO_CTL_MSG_BYTES)
		abort();
	s = &f->sent[f->nr_sent++];
	s->port = port;
	s->bytes = bytes;
	memcpy(s->data, data, bytes);
	return 0;
}

static inline struct fixture *fixture_new(void)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct registry_agent *a;

	if (!f || registry_init(&f->registry))
		abort();
	snprintf(f->caps.name, sizeof(f->caps.name), "sim");
	snprintf(f->caps.description, sizeof(f->caps.description), "made up");
	f->caps.nr_lanes = 2;
	f->caps.max_items = 128;
	f->caps.flops_per_ns = 12.5;
	snprintf(f->program.name, sizeof(f->program.name), "net");
	f->program.nr_steps = 7;
	f->program.nr_ops = 11;
	a = &f->registry.agent;
	a->pid = 77;
	a->agent_id = FIXTURE_AGENT_ID;
	a->start_ns = 1000000000ull;
	a->runtime_dir = "/run/ooo";
	a->socket_path = "/run/ooo/agent.sock";
	a->device_why = "asked for";
	a->devices[0].caps = &f->caps;
	registry_read_partitions(&a->devices[0]);
	a->devices[0].stats = &f->stats;
	a->devices[0].config = &f->config;
	a->nr_devices = 1;
	a->max_tenants = 4096;
	f->c.registry = &f->registry;
	f->c.agent_id = a->agent_id;
	f->c.port = 1234;
	f->c.send = fixture_send;
	f->c.permit.agent_uid = FIXTURE_AGENT_UID;
	f->c.stop_fd = f->c.dir_fd = f->c.publish_fd = -1;
	history_init(&f->c.history, a, FIXTURE_NOW - 1000000000ull);
	return f;
}

/* nr_programs of at most 4. */
static inline struct fixture_tenant *fixture_tenant(struct fixture *f, uint32_t id, uid_t uid,
						    unsigned nr_programs)
{
	struct fixture_tenant *t = calloc(1, sizeof(*t));

	f->tenants = realloc(f->tenants, (f->nr_tenants + 1) * sizeof(*f->tenants));
	if (!t || !f->tenants)
		abort();
	f->tenants[f->nr_tenants++] = t;
	t->tenant.id = id;
	t->tenant.uid = uid;
	t->tenant.pid = (pid_t)(1000 + id);
	t->tenant.params = (struct tenant_params)TENANT_PARAMS_DEFAULT;
	t->tenant.ring.sq_entries = 64;
	t->tenant.arena_bytes = 1 << 20;
	t->tenant.stats.submitted = 10 * (uint64_t)id + 3;
	t->tenant.stats.completed = 10 * (uint64_t)id;
	snprintf(t->tenant.name, sizeof(t->tenant.name), "tenant-name-of-thirty-one-bytes");
	t->entry.tenant = &t->tenant;
	t->entry.connected_ns = 2000000000ull;
	registry_add(&f->registry, &t->entry);
	for (unsigned i = 0; i < nr_programs; i++) {
		t->insts[i].id = i;
		t->insts[i].program = &f->program;
		t->insts[i].nr_slots = 4;
		t->insts[i].weight_bytes = 3 << 20;
		t->insts[i].workspace_bytes = 1 << 19;
		t->insts[i].requests = 5;
		registry_set_program(&f->registry, &t->entry, i, &t->insts[i]);
	}
	return t;
}

static inline void fixture_free(struct fixture *f)
{
	for (unsigned i = 0; i < f->nr_tenants; i++)
		free(f->tenants[i]);
	free(f->tenants);
	history_fini(&f->c.history);
	registry_fini(&f->registry);
	free(f);
}

static inline struct sender fixture_sender(uid_t uid)
{
	return (struct sender){ .port = 999, .pid = 42, .uid = uid, .gid = uid };
}

/* ---- requests, byte by byte ------------------------------------------------------------------ */

struct raw {
	union {
		struct nlmsghdr nlh;
		uint8_t data[OOO_CTL_MSG_BYTES];
	};
	size_t bytes; /* of the datagram */
};

static inline void raw_attr(struct raw *r, uint16_t type, const void *data, size_t bytes)
{
	struct nlattr nla = { .nla_len = (uint16_t)(NLA_HDRLEN + bytes), .nla_type = type };

	memcpy(r->data + r->bytes, &nla, sizeof(nla));
	memcpy(r->data + r->bytes + NLA_HDRLEN, data, bytes);
	r->bytes += NLA_ALIGN(NLA_HDRLEN + bytes);
	r->nlh.nlmsg_len = (uint32_t)r->bytes;
}

static inline void raw_u32(struct raw *r, uint16_t type, uint32_t value)
{
	raw_attr(r, type, &value, sizeof(value));
}

static inline void raw_u64(struct raw *r, uint16_t type, uint64_t value)
{
	raw_attr(r, type, &value, sizeof(value));
}

static inline void raw_text(struct raw *r, uint16_t type, const char *text)
{
	raw_attr(r, type, text, strlen(text) + 1);
}

static inline void raw_header(struct raw *r, uint16_t type)
{
	memset(r, 0, sizeof(*r));
	r->nlh.nlmsg_type = type;
	r->nlh.nlmsg_seq = 7;
	r->nlh.nlmsg_flags = NLM_F_REQUEST;
#define VERB(NAME, OBJECT, word, code, ACCESS, REPLY, help)                                        \
	if (type == OOO_CTL_##NAME && OOO_CTL_##REPLY == OOO_CTL_DUMP)                             \
		r->nlh.nlmsg_flags |= NLM_F_DUMP;
#include "shared/abi/verbs.def"
	r->bytes = NLMSG_HDRLEN;
	r->nlh.nlmsg_len = NLMSG_HDRLEN;
}

/* A request that nothing is wrong with. */
static inline void raw_request(struct raw *r, uint16_t type)
{
	raw_header(r, type);
	raw_u32(r, OOO_CTL_A_MAGIC, OOO_CTL_MAGIC);
	raw_u32(r, OOO_CTL_A_VERSION, OOO_CTL_VERSION);
}

static inline bool fixture_handle(struct fixture *f, uid_t uid, const struct raw *r)
{
	struct sender from = fixture_sender(uid);

	f->nr_sent = 0;
	return control_handle(&f->c, &from, r->data, r->bytes, FIXTURE_NOW);
}

/* ---- answers --------------------------------------------------------------------------------- */

/* The errno of the only answer, 1 if that is no error message. */
static inline int fixture_error(const struct fixture *f)
{
	const struct nlmsgerr *e = (const void *)(f->sent[0].data + NLMSG_HDRLEN);

	if (f->nr_sent != 1 || f->sent[0].nlh.nlmsg_type != NLMSG_ERROR)
		return 1;
	return e->error;
}

static inline const char *fixture_error_text(struct fixture *f)
{
	struct nlattr *text =
		nlmsg_find_attr(&f->sent[0].nlh, sizeof(struct nlmsgerr), NLMSGERR_ATTR_MSG);

	return text ? nla_get_string(text) : "";
}

#endif
