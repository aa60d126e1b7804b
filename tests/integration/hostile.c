/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hostile [SEED] - be every bad tenant to a running agent, one kind after the other, while a good
 * tenant in a process of its own keeps computing and checks each result. Exit status 0: after every
 * attack the good tenant still got right answers at once.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared/client/ooo.h"
#include "tests/integration/raw_tenant.h"

static struct shared { /* with the good tenant's process */
	uint64_t right;
	int stop;
	char wrong[256]; /* what went wrong, if anything did */
} * shared;

static uint64_t random_state = 1;

static uint64_t random_u64(void) /* splitmix64 */
{
	uint64_t z = random_state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static uint32_t random_below(uint32_t n)
{
	return (uint32_t)(random_u64() % n);
}

static void random_fill(void *p, size_t bytes)
{
	unsigned char *b = p;

	for (size_t i = 0; i < bytes; i++)
		b[i] = (unsigned char)random_u64();
}

/* ---- the good tenant ------------------------------------------------------------------------- */

static void good_fails(const char *what, const char *text)
{
	snprintf(shared->wrong, sizeof(shared->wrong), "%s: %s", what, text);
	exit(1);
}

static void good_request(struct ooo_client *client, struct ooo_binding *binding, uint64_t n)
{
	float *x = ooo_binding_input(binding, 0), *y = ooo_binding_output(binding, 0);
	struct ooo_completion done;

	for (int i = 0; i < N; i++)
		x[i] = (float)((int)((n + (uint64_t)i) % 201) - 100);
	memset(y, 0xff, N * sizeof(*y));
	if (ooo_submit(binding, 0, n))
		good_fails("submit", ooo_error(client));
	if (ooo_wait(client, &done, 1, STALL_SECONDS * 1000000000ll) != 1)
		good_fails("wait", "no completion in time");
	if (done.cookie != n || done.status != OOO_OK)
		good_fails("completion", ooo_strstatus(done.status));
	for (int i = 0; i < N; i++) {
		if (y[i] != (x[i] > 0 ? x[i] : 0))
			good_fails("result", "a wrong number");
	}
}

static void good_tenant(void)
{
	struct ooo_options opts = OOO_OPTIONS_INIT;
	struct ooo_builder *b = ooo_builder_new("good");
	struct ooo_program *program;
	struct ooo_binding *binding;
	struct ooo_client *client;
	int64_t dims[] = { N };
	char why[256];
	int x = ooo_input(b, OOO_FP32, 1, dims);
	int y = ooo_op1(b, OOO_OP_RELU, NULL, (uint32_t)x);

	opts.name = "good";
	if (x < 0 || y < 0 || ooo_output(b, (uint32_t)y))
		good_fails("build", "refused");
	if (ooo_connect(&opts, &client, why, sizeof(why)))
		good_fails("connect", why);
	if (ooo_load(client, b, NULL, &program) || ooo_bind(program, &binding))
		good_fails("load", ooo_error(client));
	for (uint64_t n = 0; !__atomic_load_n(&shared->stop, __ATOMIC_RELAXED); n++) {
		good_request(client, binding, n);
		__atomic_store_n(&shared->right, n + 1, __ATOMIC_RELAXED);
	}
	ooo_disconnect(client);
	ooo_builder_free(b);
	exit(0);
}

/* It must have had a few more right answers than just now. */
static void check_good(const char *attack)
{
	uint64_t before = __atomic_load_n(&shared->right, __ATOMIC_RELAXED);

	for (int ms = 0; ms < STALL_SECONDS * 1000; ms += 5) {
		if (shared->wrong[0])
			break;
		if (__atomic_load_n(&shared->right, __ATOMIC_RELAXED) >= before + 3) {
			printf("ok  %s\n", attack);
			fflush(stdout);
			return;
		}
		nap_ms(5);
	}
	fprintf(stderr, "hostile: after \"%s\" the good tenant is not well: %s\n", attack,
		shared->wrong[0] ? shared->wrong : "it stands still");
	exit(1);
}

/* ---- the attacks ----------------------------------------------------------------------------- */

static void garbage_messages(void)
{
	char data[4096];

	for (int i = 0; i < 300; i++) {
		struct ooo_msg_hello h = { .msg = head(OOO_MSG_HELLO, sizeof(h)),
					   .sq_entries = 64,
					   .cq_entries = 64 };
		size_t bytes = 1 + random_below(sizeof(data));
		int sock = raw_connect();

		random_fill(data, sizeof(data));
		if (i % 3 == 1) { /* nearly right: one byte of a HELLO */
			memcpy(data, &h, sizeof(h));
			data[random_below(sizeof(h))] ^= (char)(1 + random_below(255));
			bytes = sizeof(h);
		} else if (i % 3 == 2) { /* cut short */
			memcpy(data, &h, sizeof(h));
			bytes = 1 + random_below(sizeof(h) - 1);
		}
		raw_send(sock, data, bytes, NULL, 0);
		raw_receive(sock, NULL, data, sizeof(data));
		close(sock);
	}
}

static void bad_descriptors(void)
{
	struct encoded e = encode();
	struct ooo_msg_load load = { .msg = head(OOO_MSG_LOAD, sizeof(load)),
				     .program_bytes = e.h.bytes };
	struct raw r;
	int pair[2], fds[3];

	if (pipe(pair))
		die("pipe");
	fds[0] = pair[0];
	fds[1] = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fds[2] = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	for (unsigned i = 0; i < 3; i++) {
		raw_hello(&r, "descriptor");
		expect("LOAD of no memfd", raw_ask(r.sock, &load, sizeof(load), &fds[i], 1),
		       OOO_BAD_PROGRAM);
		raw_close(&r);
		close(fds[i]);
	}
	close(pair[1]);
	raw_hello(&r, "descriptors");
	expect("LOAD without one", raw_ask(r.sock, &load, sizeof(load), NULL, 0), OOO_BAD_MESSAGE);
	raw_close(&r);
	raw_hello(&r, "seals");
	expect("unsealed", raw_load_bytes(&r, &e, e.h.bytes, 0), OOO_BAD_PROGRAM);
	expect("writable", raw_load_bytes(&r, &e, e.h.bytes, F_SEAL_SHRINK | F_SEAL_GROW),
	       OOO_BAD_PROGRAM);
	raw_close(&r);
}

/* A listening socket of this host; connected to it, *addr. */
static int tcp_listener(struct sockaddr_in *addr)
{
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(*addr);

	*addr = (struct sockaddr_in){ .sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	if (bind(listener, (struct sockaddr *)addr, len) || listen(listener, 1) ||
	    getsockname(listener, (struct sockaddr *)addr, &len))
		die("tcp");
	return listener;
}

/*
 * Send a message with a TCP connection that has unsent data and lingers: whoever closes it last
 * waits in close(). A process that ends does not wait, so this one's child does the sending.
 */
static void send_lingering(int sock, const void *data, size_t bytes, unsigned nr,
			   const struct sockaddr_in *addr)
{
	struct linger linger = { .l_onoff = 1, .l_linger = 120 };
	static char filler[65536];
	pid_t pid = fork();
	int tcp, fds[2];

	if (pid < 0)
		die("fork");
	if (pid) {
		waitpid(pid, NULL, 0);
		return;
	}
	tcp = fds[0] = fds[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connect(tcp, (const struct sockaddr *)addr, sizeof(*addr)) ||
	    setsockopt(tcp, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)))
		_exit(1);
	while (send(tcp, filler, sizeof(filler), MSG_DONTWAIT) > 0)
		;
	raw_send(sock, data, bytes, fds, nr);
	_exit(0);
}

/*
 * In every way there is: before HELLO, with a message that has none, as a program, twice in one
 * message, in a message that is never read.
 */
static void descriptors_that_do_not_close(void)
{
	struct ooo_msg_stats stats = { .msg = head(OOO_MSG_STATS, sizeof(stats)) };
	struct ooo_msg_load load = { .msg = head(OOO_MSG_LOAD, sizeof(load)),
				     .program_bytes = 4096 };
	int listeners[10];

	for (int i = 0; i < 10; i++) {
		struct sockaddr_in addr;
		struct raw r, other;
		int way = i % 5;

		listeners[i] = tcp_listener(&addr);
		if (way == 0) {
			int sock = raw_connect();

			send_lingering(sock, &load, sizeof(load), 1, &addr);
			close(sock);
		} else {
			raw_hello(&r, "lingers");
			if (way == 1)
				send_lingering(r.sock, &stats, sizeof(stats), 1, &addr);
			else
				send_lingering(r.sock, &load, sizeof(load), way == 3 ? 2 : 1,
					       &addr);
			nap_ms(way == 4 ? 0 : 20);
			raw_close(&r);
		}
		nap_ms(20);
		raw_ready(&other, "beside it");
		raw_close(&other);
	}
	check_good("descriptors while they do not close");
	for (int i = 0; i < 10; i++)
		close(listeners[i]); /* resets the connections, which ends the waiting */
}

static void bad_programs(void)
{
	struct encoded good = encode();
	struct raw r;
	int loaded = 0;

	raw_hello(&r, "programs");
	for (size_t size = 1; size < good.h.bytes; size += 7)
		expect("truncated program", raw_load_bytes(&r, &good, size, ALL_SEALS),
		       OOO_BAD_PROGRAM);
	for (int i = 0; i < 1000; i++) {
		struct encoded e = good;
		int status;

		for (uint32_t n = 1 + random_below(4); n; n--) {
			((char *)&e)[random_below(sizeof(e))] ^= (char)(1u << random_below(8));
		}
		status = raw_load_bytes(&r, &e, good.h.bytes, ALL_SEALS);
		if (status < 0) {
			fprintf(stderr, "hostile: hung up on a bad program\n");
			exit(1);
		}
		if (status == OOO_OK && ++loaded % 32 == 0) { /* make room for more */
			raw_close(&r);
			raw_hello(&r, "programs");
		}
	}
	raw_close(&r);
}

static void bad_bindings(void)
{
	static const uint64_t far[] = { 1,          32,         ARENA,           ARENA - 64,
					1ull << 32, 1ull << 63, UINT64_MAX - 63, UINT64_MAX };
	struct raw r;

	raw_ready(&r, "bindings");
	for (size_t i = 0; i < sizeof(far) / sizeof(far[0]); i++) {
		expect("input outside", raw_bind(&r, far[i], 0), OOO_BAD_BUFFER);
		expect("output outside", raw_bind(&r, 0, far[i]), OOO_BAD_BUFFER);
	}
	expect("the last place", raw_bind(&r, ARENA - N * 4, 0), OOO_OK);
	raw_close(&r);
}

static void connection_flood(void)
{
	static int socks[1000];
	struct raw r;

	for (int i = 0; i < 1000; i++)
		socks[i] = raw_connect();
	raw_hello(&r, "after the flood");
	raw_close(&r);
	for (int i = 0; i < 1000; i++)
		close(socks[i]);
	for (int i = 0; i < 1000; i++) {
		raw_hello(&r, "passing by");
		raw_close(&r);
	}
}

static void expect_dropped(const struct raw *r)
{
	const struct ooo_ring *ring = (const struct ooo_ring *)r->ring;

	for (int ms = 0; ms < STALL_SECONDS * 1000; ms++) {
		if (ring_load_acquire(&ring->agent_state) == OOO_AGENT_DROPPED)
			return;
		nap_ms(1);
	}
	fprintf(stderr, "hostile: an index out of bounds was not noticed\n");
	exit(1);
}

static void garbage_rings(void)
{
	for (int i = 0; i < 60; i++) {
		struct ooo_ring *ring;
		struct raw r;

		raw_ready(&r, "garbage ring");
		ring = (struct ooo_ring *)r.ring;
		random_fill(r.ring + r.welcome.sq_off, 64 * sizeof(struct ooo_sqe));
		switch (i % 4) {
		case 0: /* slots of nonsense, right in number */
			ring_store_release(&ring->sq_tail, 64);
			break;
		case 1: /* too many */
			ring_store_release(&ring->sq_tail, 65 + random_below(1u << 31));
			raw_wake(&r);
			expect_dropped(&r);
			break;
		case 2: /* a completion index that lies */
			ring_store_release(&ring->cq_head, (uint32_t)random_u64());
			raw_submit(&r, 64);
			break;
		case 3: /* everything */
			random_fill(r.ring, r.welcome.ring_bytes);
			break;
		}
		raw_wake(&r);
		nap_ms(random_below(4));
		raw_close(&r);
	}
}

/* The ring and the arena change all the time, while requests run. */
static void changing_memory(void)
{
	uint64_t end = ooo_now_ns() + 1000000000ull;
	struct raw r;

	raw_ready(&r, "changing");
	for (uint32_t i = 0; ooo_now_ns() < end; i++) {
		struct ooo_ring *ring = (struct ooo_ring *)r.ring;

		random_fill(r.arena, N * 4);
		raw_submit(&r, 1 + i % 3);
		random_fill(r.ring + r.welcome.sq_off + random_below(64) * 64, 64);
		ring_store_release(&ring->cq_head, ring_load_acquire(&ring->cq_tail));
		if (ring_load_relaxed(&ring->agent_state) == OOO_AGENT_DROPPED) {
			raw_close(&r);
			raw_ready(&r, "changing");
		}
	}
	/* And takes the pages of both away. */
	raw_submit(&r, 1);
	fallocate(r.fds[0], FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
		  (off_t)r.welcome.ring_bytes);
	fallocate(r.fds[1], FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, ARENA);
	raw_wake(&r);
	nap_ms(20);
	raw_close(&r);
}

/* Asks to be woken for each completion, reads none of it, and makes its descriptors block. */
static void reads_nothing(void)
{
	struct ooo_ring *ring;
	struct raw r;

	raw_ready(&r, "deaf");
	ring = (struct ooo_ring *)r.ring;
	ring_store_release(&ring->tenant_flags, OOO_RING_NEED_WAKEUP);
	for (int i = 0; i < 4; i++)
		fcntl(r.fds[i], F_SETFL, 0);
	for (int i = 0; i < 64; i++) {
		raw_submit(&r, 1);
		nap_ms(1);
	}
	nap_ms(50);
	expect("completions", (int)ring_load_acquire(&ring->cq_tail), 64);
	raw_submit(&r, 32); /* no room for their completions: they stay where they are */
	nap_ms(50);
	expect("fetched", (int)ring_load_acquire(&ring->sq_head), 64);
	check_good("a tenant that reads no completions");
	ring_store_release(&ring->cq_head, 16);
	raw_wake(&r);
	nap_ms(100);
	expect("fetched after room was made", (int)ring_load_acquire(&ring->sq_head), 80);
	raw_close(&r);
}

/* Full, and made to block: the agent must not notice. */
static void fill(int fd)
{
	uint64_t most = UINT64_MAX - 1;

	fcntl(fd, F_SETFL, O_NONBLOCK);
	while (write(fd, &most, sizeof(most)) == sizeof(most))
		;
	fcntl(fd, F_SETFL, 0);
}

static void full_wake_descriptors(void)
{
	struct raw r;

	raw_ready(&r, "full");
	fill(r.fds[3]);
	ring_store_release(&((struct ooo_ring *)r.ring)->tenant_flags, OOO_RING_NEED_WAKEUP);
	raw_submit(&r, 8);
	nap_ms(50);
	fill(r.fds[2]);
	expect("completions", (int)ring_load_acquire(&((struct ooo_ring *)r.ring)->cq_tail), 8);
	raw_close(&r);
}

static void worker_that_dies(void)
{
	struct raw r;

	raw_ready(&r, "doomed");
	for (;;) {
		struct ooo_ring *ring = (struct ooo_ring *)r.ring;
		struct encoded e = encode();

		raw_submit(&r, 16);
		ring_store_release(&ring->cq_head, ring_load_acquire(&ring->cq_tail));
		raw_bind(&r, 0, N * 4);
		raw_load_bytes(&r, &e, e.h.bytes, ALL_SEALS);
	}
}

/* kill -9 at any moment: of the handshake, of a load, of requests in flight. */
static void sudden_deaths(void)
{
	for (int i = 0; i < 60; i++) {
		pid_t pid = fork();

		if (pid < 0)
			die("fork");
		if (!pid)
			worker_that_dies();
		usleep(random_below(i % 2 ? 3000 : 30000));
		if (i % 5 == 0) { /* stopped first: it neither reads nor dies */
			kill(pid, SIGSTOP);
			nap_ms(5);
		}
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
}

static void deaf_to_replies(void)
{
	struct ooo_msg_stats s = { .msg = head(OOO_MSG_STATS, sizeof(s)) };
	struct raw r;

	raw_hello(&r, "no replies");
	for (int i = 0; i < 100000; i++) {
		if (send(r.sock, &s, sizeof(s), MSG_NOSIGNAL) < 0) {
			raw_close(&r);
			return;
		}
	}
	fprintf(stderr, "hostile: a tenant that reads no replies was not disconnected\n");
	exit(1);
}

/* ---------------------------------------------------------------------------------------------- */

static const struct {
	const char *name;
	void (*run)(void);
} attacks[] = {
	{ "garbage for messages", garbage_messages },
	{ "descriptors that are no sealed memfd", bad_descriptors },
	{ "descriptors that do not close", descriptors_that_do_not_close },
	{ "programs truncated and with bits flipped", bad_programs },
	{ "bindings outside of the arena", bad_bindings },
	{ "a thousand connections, twice", connection_flood },
	{ "garbage in the rings", garbage_rings },
	{ "ring and arena that change all the time", changing_memory },
	{ "completions never read", reads_nothing },
	{ "wake descriptors that are full and block", full_wake_descriptors },
	{ "replies never read", deaf_to_replies },
	{ "kill -9 at any moment", sudden_deaths },
};

int main(int argc, char **argv)
{
	int status;
	pid_t good;

	signal(SIGPIPE, SIG_IGN);
	if (argc > 1)
		random_state = strtoull(argv[1], NULL, 10);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	if (shared == MAP_FAILED)
		die("mmap");
	good = fork();
	if (good < 0)
		die("fork");
	if (!good)
		good_tenant();
	check_good("nothing yet");
	for (size_t i = 0; i < sizeof(attacks) / sizeof(attacks[0]); i++) {
		attacks[i].run();
		check_good(attacks[i].name);
	}
	__atomic_store_n(&shared->stop, 1, __ATOMIC_RELAXED);
	if (waitpid(good, &status, 0) != good || status) {
		fprintf(stderr, "hostile: the good tenant failed: %s\n", shared->wrong);
		return 1;
	}
	printf("the good tenant had %llu right answers and no wrong one\n",
	       (unsigned long long)shared->right);
	return 0;
}
