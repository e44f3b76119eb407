// SPDX-License-Identifier: GPL-2.0
/*
 * XMIRROR_SET_FORK: after a fork the device takes exclusive pages back at once, or
 * at its next access. Only the device sees a difference.
 */
#include "test.h"

#define PAGES	8UL
#define SIZE	(PAGES * XM_PAGE)
#define WORDS	XM_WORDS

FIXTURE(policy) {
	int fd;
	__u64 *p;
	struct child c;
};

FIXTURE_SETUP(policy)
{
	__u64 i;

	NEED(XMIRROR_CAP_EXCLUSIVE);
	OPEN(self->fd, 0);
	self->p = xm_anon(SIZE);
	ASSERT_NE(NULL, self->p);
	for (i = 0; i < PAGES; i++)
		self->p[i * WORDS] = 100 + i;
}

FIXTURE_TEARDOWN(policy)
{
	if (self->fd >= 0) {
		EXPECT_CLEAN(self->fd);
		close(self->fd);
	}
}

static int set(int fd, __u64 policy)
{
	return xm_set(fd, XMIRROR_SET_FORK, policy, NULL);
}

static __u64 taken(int fd)
{
	struct xmirror_stats s = {};

	return xm_stats(fd, &s) ? 0 : s.fork_taken;
}

/* The device has worked on the first @n pages; the others are exclusive, too. */
static int warm(int fd, __u64 *p, unsigned int n)
{
	int err = xm_exclusive(fd, p, SIZE, NULL);

	while (!err && n--)
		err = xm_add(fd, p + n * WORDS, 1);
	return err;
}

/* Wait until the device has taken back @n pages since open. */
static bool took(int fd, __u64 n)
{
	__u64 start = xm_now_ns();

	while (taken(fd) < n && !xm_expired(start, XM_LONG))
		sched_yield();
	return taken(fd) == n;
}

/* A child until it is told to end: it sees the data of the fork, and writes. */
static int looks(struct child *c, void *arg)
{
	__u64 *p = arg, i;

	CHILD_CHECK(!child_tell(c, 'f'));
	CHILD_CHECK(child_hear(c) == 'l');
	for (i = 0; i < PAGES; i++)
		CHILD_CHECK(XM_LOAD(p + i * WORDS) == 101 + i);
	for (i = 0; i < PAGES; i++)
		XM_STORE(p + i * WORDS, 9);
	CHILD_CHECK(!child_tell(c, 'w'));
	CHILD_CHECK(child_hear(c) == 'e');
	return 0;
}

#define FORK() \
	do { \
		ASSERT_EQ(0, child_start(&self->c, looks, self->p)); \
		EXPECT_EQ('f', child_hear(&self->c)); \
	} while (0)

/* The child checks and writes, the parent does not see it, and the child ends. */
#define LOOK() \
	do { \
		ASSERT_EQ(0, child_tell(&self->c, 'l')); \
		EXPECT_EQ('w', child_hear(&self->c)); \
	} while (0)

#define END() \
	do { \
		ASSERT_EQ(0, child_tell(&self->c, 'e')); \
		EXPECT_EQ(0, child_end(&self->c)); \
	} while (0)

TEST_F(policy, lazy)
{
	__u64 i, old = 7;

	ASSERT_EQ(0, xm_set(self->fd, XMIRROR_SET_FORK, XMIRROR_FORK_LAZY,
			    &old));
	EXPECT_EQ(XMIRROR_FORK_LAZY, old);
	ASSERT_EQ(0, warm(self->fd, self->p, PAGES));
	FORK();
	EXPECT_EQ(0, xm_count_exclusive(self->p, SIZE));
	for (i = 0; i < PAGES; i++) {
		EXPECT_LEAF(self->fd, self->p + i * WORDS, LEAF_NONE);
	}
	for (i = 0; i < PAGES; i++) {
		EXPECT_EQ(0, xm_add(self->fd, self->p + i * WORDS, 1));
	}
	LOOK();
	for (i = 0; i < PAGES; i++) {
		EXPECT_EQ(102 + i, XM_LOAD(self->p + i * WORDS));
	}
	EXPECT_EQ(0, taken(self->fd));
	END();
}

/* All pages are exclusive again without an access of the device. */
TEST_F(policy, eager)
{
	struct xmirror_stats before, after;
	__u64 i, old = 7, pfn[PAGES];

	ASSERT_EQ(0, xm_set(self->fd, XMIRROR_SET_FORK, XMIRROR_FORK_EAGER,
			    &old));
	EXPECT_EQ(XMIRROR_FORK_LAZY, old);
	ASSERT_EQ(0, warm(self->fd, self->p, PAGES));
	for (i = 0; i < PAGES; i++)
		pfn[i] = xm_pfn(self->p + i * WORDS);
	FORK();
	EXPECT_TRUE(took(self->fd, PAGES));
	EXPECT_EQ(PAGES, xm_count_exclusive(self->p, SIZE));
	for (i = 0; i < PAGES; i++) {
		EXPECT_LEAF(self->fd, self->p + i * WORDS, LEAF_EXCL);
		/* The child lives and keeps the page. */
		EXPECT_NE(pfn[i], xm_pfn(self->p + i * WORDS));
	}
	EXPECT_CLEAN(self->fd);
	ASSERT_EQ(0, xm_stats(self->fd, &before));
	for (i = 0; i < PAGES; i++) {
		EXPECT_EQ(0, xm_add(self->fd, self->p + i * WORDS, 1));
	}
	ASSERT_EQ(0, xm_stats(self->fd, &after));
	EXPECT_EQ(before.device_faults, after.device_faults);
	LOOK();
	EXPECT_EQ(PAGES, xm_count_exclusive(self->p, SIZE));
	for (i = 0; i < PAGES; i++) {
		EXPECT_EQ(102 + i, XM_LOAD(self->p + i * WORDS));
	}
	END();
}

/* Exclusive pages without an access of the device are not taken back. */
TEST_F(policy, eager_takes_what_is_hot)
{
	__u64 i;

	ASSERT_EQ(0, set(self->fd, XMIRROR_FORK_EAGER));
	ASSERT_EQ(0, warm(self->fd, self->p, 3));
	for (i = 3; i < PAGES; i++)
		XM_ADD(self->p + i * WORDS, 1);
	ASSERT_EQ(0, xm_exclusive(self->fd, self->p, SIZE, NULL));
	FORK();
	EXPECT_TRUE(took(self->fd, 3));
	EXPECT_EQ(3, xm_count_exclusive(self->p, SIZE));
	EXPECT_EQ(3, xm_count_exclusive(self->p, 3 * XM_PAGE));
	LOOK();
	END();
	/* Being taken back is no access either. */
	for (i = 0; i < 3; i++)
		self->p[i * WORDS] = 101 + i;
	ASSERT_EQ(0, xm_exclusive(self->fd, self->p, SIZE, NULL));
	FORK();
	EXPECT_EQ(0, xm_count_exclusive(self->p, SIZE));
	LOOK();
	EXPECT_EQ(3, taken(self->fd));
	END();
}

#define PIECES	70

/* Single pages with gaps, half of them on either side of @middle */
static __u64 *piece(char *middle, int i)
{
	return (__u64 *)(middle + (i - PIECES / 2) * 2 * (long)XM_PAGE);
}

static __u64 exclusive_pieces(char *middle)
{
	__u64 n = 0;
	int i;

	for (i = 0; i < PIECES; i++)
		n += xm_is_exclusive(piece(middle, i));
	return n;
}

/* In two chunks, and more ranges than can be noted */
TEST_F(policy, eager_takes_what_it_can)
{
	size_t chunk = xm_facts()->chunk_size;
	char *middle = xm_anon_aligned(2 * chunk, chunk);
	__u64 start, i, n, pieces;

	ASSERT_NE(NULL, middle);
	middle += chunk;
	ASSERT_EQ(0, set(self->fd, XMIRROR_FORK_EAGER));
	for (i = 0; i < PIECES; i++) {
		ASSERT_EQ(0, xm_add(self->fd, piece(middle, i), 1));
	}
	for (i = 0; i < PAGES; i++)
		XM_ADD(self->p + i * WORDS, 1);
	FORK();
	/* The work takes a page before it counts it: wait for both. */
	start = xm_now_ns();
	do {
		sched_yield();
		n = taken(self->fd);
		pieces = exclusive_pieces(middle);
	} while ((n < 64 || n != pieces) && !xm_expired(start, XM_LONG / 2));
	EXPECT_EQ(n, pieces);
	/*
	 * The work may have begun before the notifier of the second chunk, and hold
	 * one range while it waits for the fork: then there is room for another
	 * one.
	 */
	EXPECT_LE(64, taken(self->fd));
	EXPECT_GE(65, taken(self->fd));
	LOOK();
	END();
	for (i = 0; i < PIECES; i++) {
		EXPECT_EQ(0, xm_add(self->fd, piece(middle, i), 1));
		EXPECT_EQ(2, XM_LOAD(piece(middle, i)));
	}
}

/* The work runs after the fork, however late that is. */
TEST_F(policy, eager_is_no_hurry)
{
	__u32 id;

	ASSERT_EQ(0, set(self->fd, XMIRROR_FORK_EAGER));
	ASSERT_EQ(0, warm(self->fd, self->p, PAGES));
	ASSERT_EQ(0, xm_sync_arm(self->fd, XMIRROR_PT_EXCL_BEGIN, self->p, SIZE,
				 &id));
	FORK();
	ASSERT_EQ(0, xm_sync_reached(self->fd, id, XM_LONG));
	EXPECT_EQ(0, xm_count_exclusive(self->p, SIZE));
	/* The memory is unmapped: there is nothing to take back. */
	ASSERT_EQ(0, munmap(self->p, SIZE));
	ASSERT_EQ(0, xm_sync_resume(self->fd, id, NULL));
	LOOK();
	END();
	EXPECT_EQ(0, taken(self->fd));
}

/* The file is closed while the work is about to take pages back. */
TEST_F(policy, eager_and_closed)
{
	__u64 i, n;
	__u32 id;

	for (n = 0; n < 20; n++) {
		ASSERT_EQ(0, set(self->fd, XMIRROR_FORK_EAGER));
		for (i = 0; i < PAGES; i++)
			self->p[i * WORDS] = 100 + i;
		ASSERT_EQ(0, warm(self->fd, self->p, PAGES));
		/* Stopped in it, or anywhere */
		if (n & 1) {
			ASSERT_EQ(0, xm_sync_arm(self->fd,
						 XMIRROR_PT_EXCL_BEGIN,
						 self->p, SIZE, &id));
		}
		FORK();
		if (n & 1) {
			ASSERT_EQ(0, xm_sync_reached(self->fd, id, XM_LONG));
		}
		ASSERT_EQ(0, close(self->fd));
		/* The child has a copy of the file, which is closed when it ends. */
		LOOK();
		END();
		EXPECT_EQ(0, xm_count_exclusive(self->p, SIZE));
		for (i = 0; i < PAGES; i++) {
			EXPECT_EQ(101 + i, XM_LOAD(self->p + i * WORDS));
		}
		OPEN(self->fd, 0);
	}
}

/* Counts are right, whatever happens between. */
TEST_F(policy, eager_counts)
{
	__u64 sum = 100, n;
	int status;
	pid_t pid;

	ASSERT_EQ(0, set(self->fd, XMIRROR_FORK_EAGER));
	for (n = 0; n < 30; n++) {
		EXPECT_EQ(0, xm_add(self->fd, self->p, 3));
		sum += 3;
		pid = fork();
		if (!pid)
			_exit(XM_LOAD(self->p) != sum ||
			      (XM_ADD(self->p, 1), 0));
		ASSERT_LT(0, pid);
		if (n % 3 == 0) {
			XM_ADD(self->p, 5);
			sum += 5;
		}
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		EXPECT_EQ(0, status);
	}
	EXPECT_EQ(sum, XM_LOAD(self->p));
	EXPECT_LT(0, taken(self->fd));
}

TEST_F(policy, is_one_of_two)
{
	__u64 old;

	EXPECT_EQ(-EINVAL, set(self->fd, 2));
	EXPECT_EQ(-EINVAL, set(self->fd, ~0ULL));
	ASSERT_EQ(0, set(self->fd, XMIRROR_FORK_EAGER));
	ASSERT_EQ(0, xm_set(self->fd, XMIRROR_SET_FORK, XMIRROR_FORK_LAZY,
			    &old));
	EXPECT_EQ(XMIRROR_FORK_EAGER, old);
	ASSERT_EQ(0, warm(self->fd, self->p, PAGES));
	FORK();
	LOOK();
	EXPECT_EQ(0, taken(self->fd));
	END();
}

TEST_HARNESS_MAIN
