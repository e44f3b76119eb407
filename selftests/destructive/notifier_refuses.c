// SPDX-License-Identifier: GPL-2.0
/*
 * A process is reaped that has an interval notifier, and a plain one that refuses, since
 * it would have to sleep. The invalidation has begun for the interval notifiers then, and
 * nobody ends it: finding 36. Whoever reads or removes one waits for ever, and so does the
 * exit of the process, after which the module cannot go. Not in the list of tests.
 */
#include "raw.h"
#include "test.h"

enum { INTERVAL = 1, PLAIN };

static int victim(struct child *c, void *arg)
{
	char *p = arg;
	int fd = xm_open(0);

	CHILD_CHECK(fd >= 0);
	*p = 1;
	CHILD_CHECK(raw_insert(fd, p, XM_PAGE) == INTERVAL);
	CHILD_CHECK(raw_insert_as(fd, p, XM_PAGE, XMIRROR_RAW_PLAIN |
						  XMIRROR_RAW_NO_END) == PLAIN);
	CHILD_CHECK(!child_send_fd(c, fd));
	return child_waits(c, NULL);
}

static int reads(struct child *c, void *arg)
{
	CHILD_CHECK(raw_begin(*(int *)arg, INTERVAL));
	return child_tell(c, 'b');
}

TEST(plain_refusal_ends_the_invalidation)
{
	struct child c, reader;
	char *p = xm_anon(XM_PAGE);
	int fd;

	XM_NEED_DEVICE(return);
	ASSERT_NE(NULL, p);
	ASSERT_EQ(0, child_start(&c, victim, p));
	fd = child_recv_fd(&c);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, xm_kill_and_stop(c.pid));
	ASSERT_EQ(0, raw_tell(fd, XMIRROR_RAW_REFUSE, PLAIN));
	ASSERT_EQ(-EAGAIN, xm_reap(c.pid));
	EXPECT_EQ(1, raw_hits(fd, INTERVAL));
	ASSERT_EQ(0, child_start(&reader, reads, &fd));
	EXPECT_EQ('b', child_hear(&reader));
}

TEST_HARNESS_MAIN
