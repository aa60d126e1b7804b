/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/tenant/messages.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "agent/tenant/ring_map.h"
#include "shared/abi/ring.h"

#define PROGRAM_SEALS (F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW)

static enum ooo_status refuse(enum ooo_status status, char *why, size_t why_bytes, const char *fmt,
			      ...) __attribute__((format(printf, 4, 5)));

static enum ooo_status refuse(enum ooo_status status, char *why, size_t why_bytes, const char *fmt,
			      ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, why_bytes, fmt, ap);
	va_end(ap);
	return status;
}

static const struct request_kind {
	const char *name;
	size_t bytes;
	uint16_t reply;
	size_t reply_bytes;
	size_t text_off; /* in the reply; 0: it has none */
} kinds[] = {
	[OOO_MSG_HELLO] = { "HELLO", sizeof(struct ooo_msg_hello), OOO_MSG_WELCOME,
			    sizeof(struct ooo_msg_welcome),
			    offsetof(struct ooo_msg_welcome, text) },
	[OOO_MSG_LOAD] = { "LOAD", sizeof(struct ooo_msg_load), OOO_MSG_LOADED,
			   sizeof(struct ooo_msg_loaded), offsetof(struct ooo_msg_loaded, text) },
	[OOO_MSG_BIND] = { "BIND", sizeof(struct ooo_msg_bind), OOO_MSG_BOUND,
			   sizeof(struct ooo_msg_bound), offsetof(struct ooo_msg_bound, text) },
	[OOO_MSG_UNBIND] = { "UNBIND", sizeof(struct ooo_msg_unbind), OOO_MSG_DONE,
			     sizeof(struct ooo_msg_done), offsetof(struct ooo_msg_done, text) },
	[OOO_MSG_UNLOAD] = { "UNLOAD", sizeof(struct ooo_msg_unbind), OOO_MSG_DONE,
			     sizeof(struct ooo_msg_done), offsetof(struct ooo_msg_done, text) },
	[OOO_MSG_STATS] = { "STATS", sizeof(struct ooo_msg_stats), OOO_MSG_STATS_REPLY,
			    sizeof(struct ooo_msg_stats_reply), 0 },
	[OOO_MSG_ADMIT] = { "ADMIT", sizeof(struct ooo_msg_admit), OOO_MSG_ADMITTED,
			    sizeof(struct ooo_msg_admitted),
			    offsetof(struct ooo_msg_admitted, text) },
};

/* What answers a message that is none of the above. */
static const struct request_kind unknown_kind = { "?", 0, OOO_MSG_DONE, sizeof(struct ooo_msg_done),
						  offsetof(struct ooo_msg_done, text) };

static const struct request_kind *find_kind(uint16_t type)
{
	if (type >= sizeof(kinds) / sizeof(kinds[0]) || !kinds[type].name)
		return &unknown_kind;
	return &kinds[type];
}

static ssize_t receive(int sock, struct msghdr *msg, int flags)
{
	ssize_t n;

	do
		n = recvmsg(sock, msg, flags | MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	return n;
}

int message_peek(int sock, struct received *r)
{
	struct iovec iov = { .iov_base = &r->req, .iov_len = sizeof(r->req) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	memset(r, 0, sizeof(*r));
	n = receive(sock, &msg, MSG_PEEK);
	if (n < 0)
		return errno == EAGAIN ? -EAGAIN : -EPIPE;
	r->bytes = (size_t)n;
	r->truncated = msg.msg_flags & MSG_TRUNC;
	r->has_fds = msg.msg_flags & MSG_CTRUNC; /* no room was given for any */
	return n == 0 && !r->has_fds ? -EPIPE : 0;
}

unsigned message_take(int sock, int fds[MESSAGE_MAX_FDS])
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(MESSAGE_MAX_FDS * sizeof(int))];
	} control;
	struct msghdr msg = { .msg_control = &control, .msg_controllen = sizeof(control) };
	struct cmsghdr *c;
	unsigned nr;

	if (receive(sock, &msg, 0) < 0)
		return 0;
	c = CMSG_FIRSTHDR(&msg);
	if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
		return 0;
	nr = (unsigned)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
	memcpy(fds, CMSG_DATA(c), nr * sizeof(int));
	return nr;
}

bool message_drain(int sock)
{
	struct received r;
	int fds[MESSAGE_MAX_FDS];

	while (!message_peek(sock, &r)) {
		if (r.has_fds)
			return false;
		message_take(sock, fds);
	}
	return true;
}

static bool all_zero(const void *data, size_t bytes)
{
	const unsigned char *p = data;

	while (bytes && !*p) {
		p++;
		bytes--;
	}
	return bytes == 0;
}

#define ZERO(field) all_zero(&(field), sizeof(field))

/* Printable ASCII, a NUL within the array, zeros after it. */
static bool name_valid(const char name[OOO_NAME_BYTES])
{
	size_t i = 0;

	while (i < OOO_NAME_BYTES && name[i] >= 0x20 && name[i] < 0x7f)
		i++;
	return i < OOO_NAME_BYTES && all_zero(name + i, OOO_NAME_BYTES - i);
}

static enum ooo_status fields_check(const union request_msg *q, char *why, size_t why_bytes)
{
	const char *name = find_kind(q->msg.type)->name;
	bool ok = true;

	switch (q->msg.type) {
	case OOO_MSG_HELLO:
		if (!name_valid(q->hello.name))
			return refuse(
				OOO_BAD_MESSAGE, why, why_bytes,
				"HELLO: the name must be printable ASCII of at most %d bytes, "
				"padded with zeros",
				OOO_NAME_BYTES - 1);
		ok = ZERO(q->hello.resv0) && ZERO(q->hello.resv);
		break;
	case OOO_MSG_LOAD:
		ok = ZERO(q->load.resv) && !q->load.flags;
		break;
	case OOO_MSG_BIND:
		ok = q->bind.nr > OOO_MAX_IO ||
		     all_zero(&q->bind.offset[q->bind.nr], (OOO_MAX_IO - q->bind.nr) * 8);
		break;
	case OOO_MSG_UNLOAD:
		ok = !q->unbind.binding;
		break;
	case OOO_MSG_ADMIT:
		ok = !q->admit.resv0;
		break;
	}
	if (!ok)
		return refuse(OOO_BAD_MESSAGE, why, why_bytes,
			      "%s: a field that must be zero is not", name);
	return OOO_OK;
}

static enum ooo_status fd_rules(const struct received *r, char *why, size_t why_bytes)
{
	uint16_t type = r->req.msg.type;

	if (type != OOO_MSG_LOAD && r->has_fds)
		return refuse(OOO_BAD_MESSAGE, why, why_bytes,
			      "%s: a descriptor came with it and none belongs there",
			      find_kind(type)->name);
	if (type == OOO_MSG_LOAD && !r->has_fds)
		return refuse(OOO_BAD_MESSAGE, why, why_bytes,
			      "LOAD: no descriptor came with it; send the program's memfd");
	return OOO_OK;
}

enum ooo_status message_check(const struct received *r, bool greeted, char *why, size_t why_bytes)
{
	const struct ooo_msg *msg = &r->req.msg;
	const struct request_kind *kind = find_kind(msg->type);
	enum ooo_status status;

	if (r->bytes < sizeof(*msg) || msg->magic != OOO_MSG_MAGIC)
		return refuse(OOO_BAD_MESSAGE, why, why_bytes,
			      "%zu bytes came that do not start as a message", r->bytes);
	if (msg->version != OOO_ABI_VERSION)
		return refuse(OOO_VERSION, why, why_bytes,
			      "the agent speaks version %u of the protocol, the message is of %u",
			      OOO_ABI_VERSION, msg->version);
	if (kind == &unknown_kind)
		return refuse(OOO_BAD_MESSAGE, why, why_bytes, "there is no request of type %u",
			      msg->type);
	if (r->truncated || r->bytes != kind->bytes || msg->bytes != kind->bytes)
		return refuse(OOO_BAD_MESSAGE, why, why_bytes,
			      "%s: %zu bytes came%s, %u were stated, and it has %zu", kind->name,
			      r->bytes, r->truncated ? " and more" : "", msg->bytes, kind->bytes);
	if (msg->status)
		return refuse(OOO_BAD_MESSAGE, why, why_bytes,
			      "%s: the status of a request must be 0", kind->name);
	if (greeted != (msg->type != OOO_MSG_HELLO))
		return refuse(OOO_BAD_MESSAGE, why, why_bytes,
			      greeted ? "%s: only the first message is a HELLO"
				      : "%s: the first message must be a HELLO",
			      kind->name);
	status = fd_rules(r, why, why_bytes);
	if (status == OOO_OK)
		status = fields_check(&r->req, why, why_bytes);
	return status;
}

static bool power_of_two(uint32_t n)
{
	return n && !(n & (n - 1));
}

enum ooo_status hello_check(const struct ooo_msg_hello *hello, uint64_t max_arena_bytes, char *why,
			    size_t why_bytes)
{
	uint32_t sq = hello->sq_entries, cq = hello->cq_entries;

	if (!power_of_two(sq) || sq < OOO_RING_MIN_ENTRIES || sq > OOO_RING_MAX_ENTRIES)
		return refuse(OOO_INVALID, why, why_bytes,
			      "sq_entries is %u: it must be a power of two from %u to %u", sq,
			      OOO_RING_MIN_ENTRIES, OOO_RING_MAX_ENTRIES);
	if (!power_of_two(cq) || cq < sq || cq > 2 * OOO_RING_MAX_ENTRIES)
		return refuse(
			OOO_INVALID, why, why_bytes,
			"cq_entries is %u: it must be a power of two from sq_entries (%u) to %u",
			cq, sq, 2 * OOO_RING_MAX_ENTRIES);
	if (hello->arena_bytes % ARENA_GRANULE)
		return refuse(OOO_INVALID, why, why_bytes,
			      "arena_bytes is %llu: it must be a multiple of %u",
			      (unsigned long long)hello->arena_bytes, ARENA_GRANULE);
	if (hello->arena_bytes > max_arena_bytes)
		return refuse(OOO_QUOTA, why, why_bytes,
			      "an arena of %llu bytes is %llu more than a tenant may have (%llu); "
			      "ask for less, or raise the agent's --max-arena",
			      (unsigned long long)hello->arena_bytes,
			      (unsigned long long)(hello->arena_bytes - max_arena_bytes),
			      (unsigned long long)max_arena_bytes);
	return OOO_OK;
}

/*
 * Only shmem and hugetlbfs answer F_GET_SEALS, and the kernel does so without asking anyone. After
 * that, fstat is the kernel's own too; on any other file (FUSE) it may block.
 */
enum ooo_status program_fd_check(int fd, uint64_t bytes, char *why, size_t why_bytes)
{
	int seals = fcntl(fd, F_GET_SEALS);
	struct statfs fs;
	struct stat st;

	if (seals < 0)
		return refuse(OOO_BAD_PROGRAM, why, why_bytes,
			      "LOAD: the descriptor is not a memfd");
	if ((seals & PROGRAM_SEALS) != PROGRAM_SEALS)
		return refuse(OOO_BAD_PROGRAM, why, why_bytes,
			      "LOAD: the program's memfd lacks seals; it needs F_SEAL_WRITE, "
			      "F_SEAL_SHRINK and F_SEAL_GROW");
	/* A hole in a hugetlbfs file raises SIGBUS when no huge page is left. */
	if (fstatfs(fd, &fs) || fs.f_type != TMPFS_MAGIC)
		return refuse(OOO_BAD_PROGRAM, why, why_bytes,
			      "LOAD: the program's memfd must not be of huge pages");
	if (fstat(fd, &st) || (uint64_t)st.st_size != bytes)
		return refuse(OOO_BAD_PROGRAM, why, why_bytes,
			      "LOAD: the program's memfd is not of the stated %llu bytes",
			      (unsigned long long)bytes);
	if (bytes < sizeof(struct ooo_prog_header) || bytes > OOO_PROG_MAX_BYTES)
		return refuse(OOO_BAD_PROGRAM, why, why_bytes,
			      "LOAD: a program of %llu bytes cannot be: it has %zu to %llu",
			      (unsigned long long)bytes, sizeof(struct ooo_prog_header),
			      OOO_PROG_MAX_BYTES);
	return OOO_OK;
}

enum ooo_status bind_check(const struct ooo_msg_bind *bind, const struct program *p, void *arena,
			   uint64_t arena_bytes, void *io[OOO_MAX_IO], char *why, size_t why_bytes)
{
	uint64_t nr = (uint64_t)p->nr_inputs + p->nr_outputs;

	if (bind->nr != nr || nr > OOO_MAX_IO)
		return refuse(
			OOO_INVALID, why, why_bytes,
			"program \"%s\": %u buffers are given, it has %u inputs and %u outputs",
			p->name, bind->nr, p->nr_inputs, p->nr_outputs);
	for (uint32_t i = 0; i < nr; i++) {
		bool in = i < p->nr_inputs;
		uint32_t n = in ? i : i - p->nr_inputs;
		const struct tensor *t = &p->tensors[in ? p->inputs[n] : p->outputs[n]];
		uint64_t bytes, offset = bind->offset[i];

		if (shape_bytes(&t->shape, &bytes))
			return refuse(OOO_INVALID, why, why_bytes,
				      "program \"%s\": %s %u has no size", p->name,
				      in ? "input" : "output", n);
		if (offset % OOO_BUFFER_ALIGN)
			return refuse(OOO_BAD_BUFFER, why, why_bytes,
				      "program \"%s\": %s %u at %llu is not aligned to %d bytes",
				      p->name, in ? "input" : "output", n,
				      (unsigned long long)offset, OOO_BUFFER_ALIGN);
		if (offset > arena_bytes || bytes > arena_bytes - offset)
			return refuse(
				OOO_BAD_BUFFER, why, why_bytes,
				"program \"%s\": %s %u, %llu bytes at %llu, does not fit into "
				"the arena of %llu",
				p->name, in ? "input" : "output", n, (unsigned long long)bytes,
				(unsigned long long)offset, (unsigned long long)arena_bytes);
		io[i] = (char *)arena + offset;
	}
	return OOO_OK;
}

void door_reply_init(union reply_msg *reply, uint16_t request_type, enum ooo_status status,
		     const char *text)
{
	const struct request_kind *kind = find_kind(request_type);

	memset(reply, 0, sizeof(*reply));
	reply->msg.magic = OOO_MSG_MAGIC;
	reply->msg.version = OOO_ABI_VERSION;
	reply->msg.type = kind->reply;
	reply->msg.bytes = (uint32_t)kind->reply_bytes;
	reply->msg.status = status;
	if (text && kind->text_off)
		snprintf((char *)reply + kind->text_off, OOO_TEXT_BYTES, "%s", text);
}

int door_reply_send(int sock, const union reply_msg *reply, const int *fds, unsigned nr_fds)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(4 * sizeof(int))];
	} control;
	struct iovec iov = { .iov_base = (void *)reply, .iov_len = reply->msg.bytes };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	if (nr_fds > 4)
		return -EINVAL;
	if (nr_fds) {
		memset(&control, 0, sizeof(control));
		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(nr_fds * sizeof(int));
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		control.align.cmsg_len = CMSG_LEN(nr_fds * sizeof(int));
		memcpy(CMSG_DATA(&control.align), fds, nr_fds * sizeof(int));
	}
	do
		n = sendmsg(sock, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}
