/* SPDX-License-Identifier: Apache-2.0 */
/* The mailbox: order, limits, wake-ups, and two threads (run it under TSan as well). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>

#include "agent/mailbox.h"
#include "shared/abi/ring_sync.h"

static struct mail mails[MAILBOX_ENTRIES + 1];

static void test_order(void **state)
{
	struct mailbox *mb = aligned_alloc(64, sizeof(*mb));

	assert_int_equal(mailbox_init(mb), 0);
	assert_false(mailbox_pending(mb));
	assert_null(mailbox_take(mb));
	assert_null(mailbox_returned(mb));
	for (int i = 0; i < 3; i++)
		assert_int_equal(mailbox_send(mb, &mails[i]), 0);
	assert_true(mailbox_pending(mb));
	for (int i = 0; i < 3; i++)
		assert_ptr_equal(mailbox_take(mb), &mails[i]);
	assert_false(mailbox_pending(mb));
	mailbox_return(mb, &mails[2]); /* not the order of sending */
	mailbox_return(mb, &mails[0]);
	assert_ptr_equal(mailbox_returned(mb), &mails[2]);
	assert_ptr_equal(mailbox_returned(mb), &mails[0]);
	assert_null(mailbox_returned(mb));
	assert_int_equal(mb->outstanding, 1);
	mailbox_fini(mb);
	free(mb);
}

static void test_full(void **state)
{
	struct mailbox *mb = aligned_alloc(64, sizeof(*mb));

	assert_int_equal(mailbox_init(mb), 0);
	for (int i = 0; i < MAILBOX_ENTRIES; i++)
		assert_int_equal(mailbox_send(mb, &mails[i]), 0);
	assert_int_equal(mailbox_send(mb, &mails[MAILBOX_ENTRIES]), -EAGAIN);
	/* Taken is not back: it is outstanding all the same. */
	assert_ptr_equal(mailbox_take(mb), &mails[0]);
	assert_int_equal(mailbox_send(mb, &mails[MAILBOX_ENTRIES]), -EAGAIN);
	mailbox_return(mb, &mails[0]);
	assert_ptr_equal(mailbox_returned(mb), &mails[0]);
	assert_int_equal(mailbox_send(mb, &mails[MAILBOX_ENTRIES]), 0);
	for (int i = 1; i <= MAILBOX_ENTRIES; i++)
		assert_ptr_equal(mailbox_take(mb), &mails[i]);
	mailbox_fini(mb);
	free(mb);
}

static bool readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

static void test_wakes(void **state)
{
	struct mailbox *mb = aligned_alloc(64, sizeof(*mb));
	eventfd_t n;

	assert_int_equal(mailbox_init(mb), 0);
	assert_false(readable(mb->dispatcher_fd));
	assert_int_equal(mailbox_send(mb, &mails[0]), 0);
	assert_int_equal(mailbox_send(mb, &mails[1]), 0);
	assert_int_equal(eventfd_read(mb->dispatcher_fd, &n), 0);
	assert_int_equal(n, 2);
	assert_false(readable(mb->door_fd));
	mailbox_return(mb, mailbox_take(mb));
	assert_true(readable(mb->door_fd));
	mailbox_fini(mb);
	free(mb);
}

#define ROUNDS 200000u

/* The dispatcher's half: adds one to each mail and sends it back. */
static void *echo(void *arg)
{
	struct mailbox *mb = arg;
	uint32_t n = 0;

	while (n < ROUNDS) {
		struct mail *mail = mailbox_take(mb);

		if (!mail) {
			ring_cpu_relax();
			continue;
		}
		mail->result = (int)mail->index + 1;
		mailbox_return(mb, mail);
		n++;
	}
	return NULL;
}

static void test_two_threads(void **state)
{
	struct mailbox *mb = aligned_alloc(64, sizeof(*mb));
	struct mail *free_list = NULL, *mail;
	uint32_t sent = 0, back = 0;
	pthread_t thread;

	assert_int_equal(mailbox_init(mb), 0);
	for (int i = 0; i < MAILBOX_ENTRIES + 1; i++) {
		mails[i].next = free_list;
		free_list = &mails[i];
	}
	assert_int_equal(pthread_create(&thread, NULL, echo, mb), 0);
	while (back < ROUNDS) {
		while (sent < ROUNDS && (mail = free_list)) {
			mail->index = sent;
			mail->result = 0;
			free_list = mail->next;
			if (mailbox_send(mb, mail)) {
				assert_int_equal(mb->outstanding, MAILBOX_ENTRIES);
				free_list = mail;
				break;
			}
			sent++;
		}
		while ((mail = mailbox_returned(mb))) {
			assert_int_equal(mail->index, back); /* this echo keeps the order */
			assert_int_equal(mail->result, back + 1);
			back++;
			mail->next = free_list;
			free_list = mail;
		}
	}
	pthread_join(thread, NULL);
	assert_int_equal(mb->outstanding, 0);
	mailbox_fini(mb);
	free(mb);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_wakes),
		cmocka_unit_test(test_two_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
