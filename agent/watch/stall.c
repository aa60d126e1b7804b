// SPDX-License-Identifier: Apache-2.0
#include "agent/watch/stall.h"

#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "agent/watch/record.h"

#define RUNQ_LOOK_NS 100000000u /* how old the run-queue's number may become */

static uint64_t thread_cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

/* The second number of the thread's schedstat; 0 where the kernel does not count. */
static uint64_t thread_runq_ns(const struct stall *s)
{
	char text[64], *end;
	ssize_t n = s->schedstat_fd < 0 ? -1 : pread(s->schedstat_fd, text, sizeof(text) - 1, 0);

	if (n <= 0)
		return 0;
	text[n] = '\0';
	strtoull(text, &end, 10);
	return strtoull(end, NULL, 10);
}

void stall_init(struct stall *s)
{
	*s = (struct stall){ .schedstat_fd =
				     open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC) };
}

void stall_fini(struct stall *s)
{
	if (s->schedstat_fd >= 0)
		close(s->schedstat_fd);
	s->schedstat_fd = -1;
}

static void report(struct stall *s, struct record *rec, uint64_t now_ns, uint64_t off_ns)
{
	uint64_t runq = thread_runq_ns(s);
	uint64_t waited = runq - s->runq_ns;

	s->runq_ns = runq;
	s->runq_at_ns = now_ns;
	record_event(rec, &(struct ooo_record_event){
				  .start_ns = now_ns - off_ns,
				  .duration_ns = off_ns,
				  .kind = OOO_RECORD_EVENT_STALL,
				  .tenant = OOO_RECORD_NONE,
				  .value = waited < off_ns ? waited : off_ns,
			  });
}

void stall_woke(struct stall *s, struct record *rec, uint64_t submit_ns, uint64_t now_ns)
{
	s->woke = false;
	if (now_ns - submit_ns >= STALL_MIN_NS)
		report(s, rec, now_ns, now_ns - submit_ns);
}

void stall_look(struct stall *s, struct record *rec, uint64_t now_ns)
{
	uint64_t cpu = thread_cpu_ns();
	uint64_t wall = now_ns - s->wall_ns, ran = cpu - s->cpu_ns;

	if (s->turn_ns && wall > ran && wall - ran >= STALL_MIN_NS) {
		report(s, rec, now_ns, wall - ran);
	} else if (s->turn_ns && now_ns - s->runq_at_ns >= RUNQ_LOOK_NS) {
		/* Not behind a sleep: how late the wake-up was is yet to be asked. */
		s->runq_ns = thread_runq_ns(s);
		s->runq_at_ns = now_ns;
	}
	s->wall_ns = now_ns;
	s->cpu_ns = cpu;
}
