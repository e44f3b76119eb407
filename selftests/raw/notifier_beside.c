// SPDX-License-Identifier: GPL-2.0
/*
 * Interval notifiers and invalidations that none of them hears: of the memory beside
 * the interval, and one that was under way when the notifier was inserted.
 */
#include "hold.h"
#include "raw.h"
#include "test.h"

#define PAGES	8UL
#define LEN	(PAGES * XM_PAGE)
/* The first function behind the zap, when the invalidation is about to end */
#define FUNCTION	"__mmu_notifier_invalidate_range_end"

FIXTURE(beside) {
	int fd;
	char *p;
	char *q;	/* a page in the middle */
	struct worker zap;
	struct worker begin;
};

FIXTURE_SETUP(beside)
{
	OPEN(self->fd, 0);
	ASSERT_EQ(0, xm_no_faults());
	self->p = xm_anon(LEN);
	ASSERT_NE(NULL, self->p);
	memset(self->p, 1, LEN);
	self->q = self->p + 3 * XM_PAGE;
}

FIXTURE_TEARDOWN(beside)
{
	hold_release(self->fd, 0, NULL);
	munmap(self->p, LEN);
	close(self->fd);
}

static int zap(char *p)
{
	return madvise(p, XM_PAGE, MADV_DONTNEED) ? -errno : 0;
}

/* It ends where the interval begins, or begins where that ends. */
TEST_F(beside, zap_of_a_neighbour_is_not_heard)
{
	int id = raw_insert(self->fd, self->q, XM_PAGE);
	__u64 seq;

	ASSERT_GT(id, 0);
	seq = raw_begin(self->fd, id);
	ASSERT_EQ(0, zap(self->q - XM_PAGE));
	ASSERT_EQ(0, zap(self->q + XM_PAGE));
	EXPECT_EQ(0, raw_hits(self->fd, id));
	EXPECT_EQ(0, raw_retry(self->fd, id, seq));
	ASSERT_EQ(0, zap(self->q));
	EXPECT_EQ(1, raw_hits(self->fd, id));
	EXPECT_EQ(1, raw_retry(self->fd, id, seq));
}

/* The page at @addr; the hold is of function @arg. */
static int zap_and_be_held(struct worker *w)
{
	int err = hold_arm(w->fd, 0, 0, w->arg, 0, 0);

	return err ? err : zap(w->addr);
}

/*
 * There are notifiers, and the range has none until the zap has taken its page. The new
 * one cannot know of what is under way, and waits for its end.
 */
TEST_F(beside, read_begin_waits_for_a_zap_that_nobody_heard)
{
	const struct hold_function *f;
	int far, id;

	NEED(XMIRROR_CAP_HOLD);
	ASSERT_EQ(0, hold_load());
	f = hold_named(FUNCTION);
	ASSERT_NE(NULL, f);
	ASSERT_EQ(0, hold_attach(self->fd, &f->address, 1, NULL));
	far = raw_insert(self->fd, self->p + LEN - XM_PAGE, XM_PAGE);
	ASSERT_GT(far, 0);
	self->zap = (struct worker){
		.fn = zap_and_be_held,
		.fd = self->fd,
		.addr = self->q,
		.arg = f->address,
	};
	self->begin.fn = raw_work_begin;
	self->begin.fd = self->fd;
	ASSERT_EQ(0, worker_prepare(&self->begin));
	ASSERT_EQ(0, worker_start(&self->zap));
	ASSERT_EQ(0, hold_reached(self->fd, 0, XM_LONG, NULL));
	ASSERT_FALSE(xm_is_present(self->q));
	id = raw_insert(self->fd, self->q, XM_PAGE);
	ASSERT_GT(id, 0);
	self->begin.done = id;
	ASSERT_EQ(0, worker_start(&self->begin));
	EXPECT_TRUE(worker_blocked(&self->begin, SYS_ioctl));
	EXPECT_FALSE(worker_ended(&self->begin));
	ASSERT_EQ(0, hold_release(self->fd, 0, NULL));
	EXPECT_EQ(0, worker_join(&self->zap));
	EXPECT_EQ(0, worker_join(&self->begin));
	EXPECT_EQ(0, raw_hits(self->fd, far));
	EXPECT_EQ(0, raw_hits(self->fd, id));
	EXPECT_EQ(0, raw_retry(self->fd, id, self->begin.arg));
	/* The next one is heard; who still waits, waits for that. */
	ASSERT_EQ(0, zap(self->q));
	EXPECT_EQ(1, raw_hits(self->fd, id));
	EXPECT_EQ(1, raw_retry(self->fd, id, self->begin.arg));
}

TEST_HARNESS_MAIN
