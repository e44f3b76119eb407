// SPDX-License-Identifier: GPL-2.0
/*
 * Interval notifiers: insertion, removal, mmu_interval_read_begin() and
 * _read_retry() while another notifier keeps an invalidation open. As the comments
 * in mm/mmu_notifier.c and include/linux/mmu_notifier.h have it: callers in its
 * range sleep until it ends, others go on, and no notifier is called after its
 * removal.
 */
#include "raw.h"
#include "test.h"

#define PAGES	8UL
#define LEN	(PAGES * XM_PAGE)

FIXTURE(open) {
	int fd;
	char *p;
	int below;		/* the page that is zapped and the one before it */
	int blocker;		/* the page that is zapped */
	int neighbour;		/* the page behind it */
	__u64 seq_below;
	__u64 seq_neighbour;
	struct worker zap;
	struct worker other;
};

static long late(int fd, int id)
{
	struct xmirror_raw_notifier r = { .id = id };

	return raw_notifier(fd, XMIRROR_RAW_LOOK, &r) ? -1 : (long)r.late;
}

/* The call @arg on notifier @done */
static int work_tell(struct worker *w)
{
	return raw_tell(w->fd, w->arg, w->done);
}

FIXTURE_SETUP(open)
{
	OPEN(self->fd, 0);
	ASSERT_EQ(0, xm_no_faults());
	self->p = xm_anon(LEN);
	ASSERT_NE(NULL, self->p);
	memset(self->p, 1, LEN);
	/* In this order they hear of it. */
	self->below = raw_insert(self->fd, self->p + XM_PAGE, 2 * XM_PAGE);
	self->blocker = raw_insert(self->fd, self->p + 2 * XM_PAGE, XM_PAGE);
	self->neighbour = raw_insert(self->fd, self->p + 3 * XM_PAGE, XM_PAGE);
	ASSERT_GT(self->below, 0);
	ASSERT_GT(self->blocker, 0);
	ASSERT_GT(self->neighbour, 0);
	self->seq_below = raw_begin(self->fd, self->below);
	self->seq_neighbour = raw_begin(self->fd, self->neighbour);
	ASSERT_EQ(0, raw_retry(self->fd, self->below, self->seq_below));
	self->zap = (struct worker){
		.fn = work_madvise,
		.fd = self->fd,
		.addr = self->p + 2 * XM_PAGE,
		.len = XM_PAGE,
		.arg = MADV_DONTNEED,
	};
	self->other.fd = self->fd;
	ASSERT_EQ(0, worker_prepare(&self->other));
	ASSERT_EQ(0, raw_tell(self->fd, XMIRROR_RAW_BLOCK, self->blocker));
	ASSERT_EQ(0, worker_start(&self->zap));
	ASSERT_EQ(0, raw_tell(self->fd, XMIRROR_RAW_INSIDE, self->blocker));
	ASSERT_EQ(1, raw_hits(self->fd, self->below));
}

FIXTURE_TEARDOWN(open)
{
	raw_tell(self->fd, XMIRROR_RAW_GO, self->blocker);
	if (self->zap.prepared) {
		EXPECT_EQ(0, worker_join(&self->zap));
	}
	munmap(self->p, LEN);
	EXPECT_EQ(0, late(self->fd, self->below));
	EXPECT_EQ(0, late(self->fd, self->neighbour));
	close(self->fd);
}

/* Start self->other, see it asleep in the call, and let it go on. */
#define WAITS_FOR_THE_END() \
	do { \
		ASSERT_EQ(0, worker_start(&self->other)); \
		EXPECT_TRUE(worker_blocked(&self->other, SYS_ioctl)); \
		EXPECT_FALSE(worker_ended(&self->other)); \
		ASSERT_EQ(0, raw_tell(self->fd, XMIRROR_RAW_GO, \
				      self->blocker)); \
		EXPECT_EQ(0, worker_join(&self->other)); \
	} while (0)

TEST_F(open, read_begin_of_whom_it_is_about_waits)
{
	self->other.fn = raw_work_begin;
	self->other.done = self->below;
	WAITS_FOR_THE_END();
	EXPECT_NE(self->seq_below, self->other.arg);
	EXPECT_EQ(1, raw_retry(self->fd, self->below, self->seq_below));
	EXPECT_EQ(0, raw_retry(self->fd, self->below, self->other.arg));
}

TEST_F(open, read_retry_tells_before_the_end)
{
	EXPECT_EQ(1, raw_retry(self->fd, self->below, self->seq_below));
	EXPECT_EQ(0, raw_retry(self->fd, self->neighbour, self->seq_neighbour));
}

TEST_F(open, read_begin_of_a_neighbour_does_not_wait)
{
	EXPECT_EQ(self->seq_neighbour, raw_begin(self->fd, self->neighbour));
	EXPECT_EQ(0, raw_hits(self->fd, self->neighbour));
}

/*
 * The range of the invalidation is not known any more: the new notifier waits for
 * its end.
 */
TEST_F(open, insertion_does_not_wait_and_read_begin_does)
{
	int far = raw_insert(self->fd, self->p + 7 * XM_PAGE, XM_PAGE);

	ASSERT_GT(far, 0);
	self->other.fn = raw_work_begin;
	self->other.done = far;
	WAITS_FOR_THE_END();
	EXPECT_EQ(0, raw_hits(self->fd, far));
	EXPECT_EQ(0, raw_retry(self->fd, far, self->other.arg));
	/* From now on it is in the tree. */
	ASSERT_EQ(0, madvise(self->p + 7 * XM_PAGE, XM_PAGE, MADV_DONTNEED));
	EXPECT_EQ(1, raw_hits(self->fd, far));
	EXPECT_EQ(1, raw_retry(self->fd, far, self->other.arg));
}

TEST_F(open, insertion_in_the_way_hears_nothing_of_it)
{
	int id = raw_insert(self->fd, self->p + 2 * XM_PAGE, XM_PAGE);

	ASSERT_GT(id, 0);
	ASSERT_EQ(0, raw_tell(self->fd, XMIRROR_RAW_GO, self->blocker));
	ASSERT_EQ(0, worker_join(&self->zap));
	EXPECT_EQ(0, raw_hits(self->fd, id));
	ASSERT_EQ(0, madvise(self->p + 2 * XM_PAGE, XM_PAGE, MADV_DONTNEED));
	EXPECT_EQ(1, raw_hits(self->fd, id));
}

/* It was only on a list. */
TEST_F(open, removal_of_one_just_inserted_does_not_wait)
{
	int id = raw_insert(self->fd, self->p + 2 * XM_PAGE, XM_PAGE);

	ASSERT_GT(id, 0);
	EXPECT_EQ(0, raw_tell(self->fd, XMIRROR_RAW_REMOVE, id));
	ASSERT_EQ(0, raw_tell(self->fd, XMIRROR_RAW_GO, self->blocker));
	ASSERT_EQ(0, worker_join(&self->zap));
	ASSERT_EQ(0, madvise(self->p + 2 * XM_PAGE, XM_PAGE, MADV_DONTNEED));
	EXPECT_EQ(0, raw_hits(self->fd, id));
	EXPECT_EQ(0, late(self->fd, id));
}

TEST_F(open, removal_waits_and_nothing_calls_it_afterwards)
{
	self->other.fn = work_tell;
	self->other.arg = XMIRROR_RAW_REMOVE;
	self->other.done = self->below;
	WAITS_FOR_THE_END();
	ASSERT_EQ(0, worker_join(&self->zap));
	ASSERT_EQ(0, madvise(self->p, LEN, MADV_DONTNEED));
	EXPECT_EQ(1, raw_hits(self->fd, self->below));
	EXPECT_EQ(0, late(self->fd, self->below));
	EXPECT_EQ(1, raw_hits(self->fd, self->neighbour));
}

/* The kernel's present behaviour: the tree must not change while any notifier is called. */
TEST_F(open, removal_of_a_neighbour_waits_too)
{
	self->other.fn = work_tell;
	self->other.arg = XMIRROR_RAW_REMOVE;
	self->other.done = self->neighbour;
	WAITS_FOR_THE_END();
	EXPECT_EQ(0, raw_hits(self->fd, self->neighbour));
}

/* Another invalidation goes on, and notifies its own range. */
TEST_F(open, invalidation_elsewhere_goes_on)
{
	ASSERT_EQ(0, madvise(self->p + 3 * XM_PAGE, XM_PAGE, MADV_DONTNEED));
	EXPECT_EQ(1, raw_hits(self->fd, self->neighbour));
	EXPECT_EQ(1, raw_retry(self->fd, self->neighbour, self->seq_neighbour));
	/* Both end when the last of them does. */
	self->other.fn = raw_work_begin;
	self->other.done = self->neighbour;
	WAITS_FOR_THE_END();
	EXPECT_EQ(0, raw_retry(self->fd, self->neighbour, self->other.arg));
}

/* A second invalidation of the same range is heard, too. */
TEST_F(open, second_invalidation_of_the_range_is_heard)
{
	self->other.fn = work_madvise;
	self->other.addr = self->p + XM_PAGE;
	self->other.len = XM_PAGE;
	self->other.arg = MADV_DONTNEED;
	ASSERT_EQ(0, worker_start(&self->other));
	EXPECT_EQ(0, worker_join(&self->other));
	EXPECT_EQ(2, raw_hits(self->fd, self->below));
}

static int dies_inside(struct child *c, void *arg)
{
	struct worker zap = { .fn = work_madvise, .len = XM_PAGE,
			      .arg = MADV_DONTNEED };
	int fd = xm_open(0), id;
	char *p = xm_anon(XM_PAGE);

	(void)arg;
	CHILD_CHECK(fd >= 0 && p);
	*p = 1;
	id = raw_insert(fd, p, XM_PAGE);
	CHILD_CHECK(id > 0);
	zap.fd = fd;
	zap.addr = p;
	CHILD_CHECK(!raw_tell(fd, XMIRROR_RAW_BLOCK, id));
	CHILD_CHECK(!worker_start(&zap));
	CHILD_CHECK(!raw_tell(fd, XMIRROR_RAW_INSIDE, id));
	CHILD_CHECK(!child_tell(c, 'i'));
	return child_hear(c) != 'e';
}

/* A process that is killed in an invalidation ends, and its notifiers with it. */
TEST(killed_inside_an_invalidation)
{
	struct child c;

	ASSERT_EQ(0, child_start(&c, dies_inside, NULL));
	ASSERT_EQ('i', child_hear(&c));
	ASSERT_EQ(0, kill(c.pid, SIGKILL));
	EXPECT_EQ(128 + SIGKILL, child_end(&c));
}

TEST(nothing_under_way)
{
	__u64 seq;
	char *p;
	int fd, id;

	OPEN(fd, 0);
	p = xm_anon(XM_PAGE);
	ASSERT_NE(NULL, p);
	EXPECT_EQ(-EOVERFLOW, raw_insert(fd, p, 0));
	EXPECT_EQ(-EOVERFLOW, raw_insert(fd, p, -(uintptr_t)p + 1));
	id = raw_insert(fd, p, XM_PAGE);
	ASSERT_GT(id, 0);
	seq = raw_begin(fd, id);
	/* The number is odd, and stays the same without an invalidation. */
	EXPECT_EQ(1, seq & 1);
	EXPECT_EQ(seq, raw_begin(fd, id));
	EXPECT_EQ(0, raw_retry(fd, id, seq));
	*p = 1;
	EXPECT_EQ(0, raw_retry(fd, id, seq));
	ASSERT_EQ(0, madvise(p, XM_PAGE, MADV_DONTNEED));
	EXPECT_EQ(1, raw_retry(fd, id, seq));
	EXPECT_NE(seq, raw_begin(fd, id));
	EXPECT_EQ(0, raw_tell(fd, XMIRROR_RAW_REMOVE, id));
	EXPECT_EQ(-ENOENT, raw_tell(fd, XMIRROR_RAW_REMOVE, id));
	ASSERT_EQ(0, madvise(p, XM_PAGE, MADV_DONTNEED));
	EXPECT_EQ(1, raw_hits(fd, id));
	EXPECT_EQ(0, late(fd, id));
	close(fd);
}

/* Plain notifiers, of a whole mm, beside interval notifiers */

FIXTURE(mixed) {
	int fd;
	char *p;
	int plain;
	int interval;
};

FIXTURE_VARIANT(mixed) {
	bool plain_first;
};

FIXTURE_VARIANT_ADD(mixed, plain_first) { .plain_first = true };
FIXTURE_VARIANT_ADD(mixed, interval_first) { .plain_first = false };

static bool insert_both(int fd, char *p, bool plain_first)
{
	__u32 first = plain_first ? XMIRROR_RAW_PLAIN : 0;

	return raw_insert_as(fd, p, XM_PAGE, first) > 0 &&
	       raw_insert_as(fd, p, XM_PAGE, first ^ XMIRROR_RAW_PLAIN) > 0;
}

FIXTURE_SETUP(mixed)
{
	OPEN(self->fd, 0);
	self->p = xm_anon(LEN);
	ASSERT_NE(NULL, self->p);
	memset(self->p, 1, LEN);
	ASSERT_TRUE(insert_both(self->fd, self->p, variant->plain_first));
	self->plain = variant->plain_first ? 1 : 2;
	self->interval = 3 - self->plain;
}

FIXTURE_TEARDOWN(mixed)
{
	EXPECT_EQ(0, late(self->fd, self->plain));
	EXPECT_EQ(0, late(self->fd, self->interval));
	close(self->fd);
}

TEST_F(mixed, both_hear_of_an_invalidation)
{
	__u64 seq = raw_begin(self->fd, self->interval);

	EXPECT_EQ(0, raw_retry(self->fd, self->interval, seq));
	ASSERT_EQ(0, madvise(self->p, XM_PAGE, MADV_DONTNEED));
	EXPECT_EQ(1, raw_hits(self->fd, self->interval));
	EXPECT_EQ(1, raw_retry(self->fd, self->interval, seq));
	EXPECT_EQ(1, raw_hits(self->fd, self->plain));
	EXPECT_EQ(1, raw_look(self->fd, self->plain).ends);
	EXPECT_EQ(-EINVAL, raw_tell(self->fd, XMIRROR_RAW_REFUSE, self->plain));
}

TEST_F(mixed, each_is_removed_alone)
{
	ASSERT_EQ(0, raw_tell(self->fd, XMIRROR_RAW_REMOVE, 1));
	EXPECT_EQ(-ENOENT, raw_tell(self->fd, XMIRROR_RAW_REMOVE, 1));
	ASSERT_EQ(0, madvise(self->p, XM_PAGE, MADV_DONTNEED));
	EXPECT_EQ(0, raw_hits(self->fd, 1));
	EXPECT_EQ(1, raw_hits(self->fd, 2));
	ASSERT_EQ(0, raw_tell(self->fd, XMIRROR_RAW_REMOVE, 2));
	ASSERT_EQ(0, madvise(self->p, XM_PAGE, MADV_DONTNEED));
	EXPECT_EQ(1, raw_hits(self->fd, 2));
	EXPECT_EQ(1, raw_look(self->fd, self->plain).releases);
}

struct mixed_child {
	char *p;
	bool plain_first;
};

static int insert_and_end(struct child *c, void *arg)
{
	const struct mixed_child *m = arg;
	int fd = xm_open(0);

	CHILD_CHECK(fd >= 0 && insert_both(fd, m->p, m->plain_first));
	return child_send_fd(c, fd);
}

/* The mm of another process, which ends before they are removed */
TEST_F(mixed, both_hear_of_the_end)
{
	struct mixed_child m = { self->p, variant->plain_first };
	struct child c;
	int fd;

	ASSERT_EQ(0, child_start(&c, insert_and_end, &m));
	fd = child_recv_fd(&c);
	ASSERT_GE(fd, 0);
	ASSERT_EQ(0, child_end(&c));
	EXPECT_EQ(1, raw_look(fd, self->plain).releases);
	EXPECT_GE(raw_hits(fd, self->interval), 1);
	EXPECT_EQ(0, raw_tell(fd, XMIRROR_RAW_REMOVE, self->plain));
	EXPECT_EQ(1, raw_look(fd, self->plain).releases);
	close(fd);
}

/* Invalidations of two passes */

/* INSERT_PASSES: a notifier of two passes for the page at @p, to @id */
#define INSERT_PASSES(id, fd, p) \
	do { \
		(id) = raw_insert_as((fd), (p), XM_PAGE, \
				     XMIRROR_RAW_TWO_PASSES); \
		if ((id) == -EOPNOTSUPP) \
			XM_SKIP(return, "the kernel has no notifiers of two passes"); \
		ASSERT_GT((id), 0); \
	} while (0)

TEST(second_passes_come_after_all_first_ones_and_before_the_zap)
{
	struct worker zap = { .fn = work_madvise, .len = 3 * XM_PAGE,
			      .arg = MADV_DONTNEED };
	int fd, first, between, last;
	char *p = xm_anon(LEN);

	ASSERT_NE(NULL, p);
	memset(p, 1, LEN);
	OPEN(fd, 0);
	INSERT_PASSES(first, fd, p);
	between = raw_insert(fd, p + XM_PAGE, XM_PAGE);
	INSERT_PASSES(last, fd, p + 2 * XM_PAGE);
	ASSERT_EQ(0, raw_tell(fd, XMIRROR_RAW_BLOCK, first));
	zap.addr = p;
	ASSERT_EQ(0, worker_start(&zap));
	EXPECT_EQ(0, raw_tell(fd, XMIRROR_RAW_INSIDE, first));
	EXPECT_EQ(1, raw_hits(fd, between));
	EXPECT_EQ(1, raw_hits(fd, last));
	EXPECT_EQ(0, raw_look(fd, last).ends);
	EXPECT_TRUE(xm_is_present(p));
	raw_tell(fd, XMIRROR_RAW_GO, first);
	ASSERT_EQ(0, worker_join(&zap));
	EXPECT_FALSE(xm_is_present(p));
	EXPECT_EQ(1, raw_look(fd, first).ends);
	EXPECT_EQ(1, raw_look(fd, last).ends);
	close(fd);
}

static int insert_passes_and_end(struct child *c, void *arg)
{
	int fd = xm_open(0);

	CHILD_CHECK(fd >= 0);
	CHILD_CHECK(raw_insert_as(fd, arg, XM_PAGE,
				  XMIRROR_RAW_TWO_PASSES) == 1);
	return child_send_fd(c, fd);
}

TEST(end_of_an_mm_has_a_second_pass)
{
	struct xmirror_raw_notifier r;
	char *p = xm_anon(XM_PAGE);
	struct child c;
	int fd, id;

	ASSERT_NE(NULL, p);
	OPEN(fd, 0);
	INSERT_PASSES(id, fd, p);
	close(fd);
	ASSERT_EQ(0, child_start(&c, insert_passes_and_end, p));
	fd = child_recv_fd(&c);
	ASSERT_GE(fd, 0);
	ASSERT_EQ(0, child_end(&c));
	r = raw_look(fd, 1);
	EXPECT_GE(r.hits, 1);
	EXPECT_EQ(r.hits, r.ends);
	close(fd);
}

TEST_HARNESS_MAIN
