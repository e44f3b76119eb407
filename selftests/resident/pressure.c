// SPDX-License-Identifier: GPL-2.0
/*
 * Reclaim takes pages of a range that the device holds as a whole, again and again and
 * in a control group that is too small: restoring it ends with the range, or gives up
 * with an error, and does not go on for ever.
 */
#include "fixture.h"
#include "group.h"
#include "klog.h"

#define ROUNDS	8

/* covers: D13, R3 */
TEST_F(resident, swapped_out_in_a_loop)
{
	struct xmirror_resident r;
	__u64 fence;
	__u32 id;
	int i;

	NEED(XMIRROR_CAP_SYNC);
	if (xm_meminfo_kb("SwapTotal") <= 0)
		XM_SKIP(return, "no swap");
	fence = endless(self->fd, XMIRROR_OP_ADD, PAGE(5));
	ASSERT_NE(0, fence);
	for (i = 0; i < ROUNDS; i++) {
		EXPECT_TRUE(works(self->fd));
		STOP_RESTORE(&id);
		/* Nobody brings them back while the restore is stopped. */
		ASSERT_EQ(0, xm_pageout(self->p, SIZE));
		REACHED(id);
		EXPECT_TRUE(xm_is_swapped(PAGE(0)));
		EXPECT_TRUE(xm_is_swapped(PAGE(5)));
		RESUME(id);
		EXPECT_MAPPED();
		EXPECT_TRUE(xm_is_present(PAGE(0)));
	}
	r = SETTLED(XMIRROR_RESIDENT_MAPPED);
	EXPECT_LE(self->r.restores + ROUNDS, r.restores);
	EXPECT_EQ(0, r.failures);
	EXPECT_TRUE(works(self->fd));
	EXPECT_EQ(6 + ENDED(fence), XM_LOAD(PAGE(5)));
	EXPECT_NO_FAULTS();
}

#define BIG	(16UL << 20)

struct squeeze {
	struct group g;
	const char *max;
	size_t more;
	bool fits;
};

static int squeezed(struct child *c, void *arg)
{
	struct squeeze *s = arg;
	struct xmirror_resident r;
	__u64 *p, i, before;
	char *more;
	int fd;

	(void)c;
	CHILD_CHECK(s->fits || !xm_write_file("/proc/self/oom_score_adj", "-1000"));
	CHILD_CHECK(!group_enter(&s->g));
	fd = xm_open(0);
	p = xm_anon(BIG);
	CHILD_CHECK(fd >= 0 && p);
	xm_fill_pages(p, BIG / XM_PAGE);
	CHILD_CHECK(!xm_set(fd, XMIRROR_SET_TIMEOUT, 500, NULL));
	CHILD_CHECK(!resident_add(fd, p, BIG, XMIRROR_RESIDENT_WRITE));
	CHILD_CHECK(!resident_get(fd, p, &r));
	before = r.stops;
	CHILD_CHECK(!group_limit(&s->g, s->max));
	if (s->more) {
		more = xm_anon(s->more);
		CHILD_CHECK(more);
		memset(more, 1, s->more);
	}
	/* It has ended, one way or the other, and the queues run. */
	CHILD_CHECK(!resident_settled(fd, p, &r));
	CHILD_CHECK(r.stops > before);
	CHILD_CHECK(r.state == XMIRROR_RESIDENT_MAPPED ||
		    (r.state == XMIRROR_RESIDENT_SUSPENDED && r.error));
	if (!s->fits)
		CHILD_CHECK(r.state == XMIRROR_RESIDENT_SUSPENDED);
	if (r.state == XMIRROR_RESIDENT_SUSPENDED)
		CHILD_CHECK(xm_read(fd, p, &i, 8) == r.error);
	/* With room for it, it can be had again. */
	CHILD_CHECK(!group_limit(&s->g, "max"));
	CHILD_CHECK(!resident_settled(fd, p, &r));
	if (r.state == XMIRROR_RESIDENT_SUSPENDED) {
		CHILD_CHECK(!resident_remove(fd, p, BIG));
		CHILD_CHECK(!resident_add(fd, p, BIG, XMIRROR_RESIDENT_WRITE));
	}
	CHILD_CHECK(!resident_settled(fd, p, &r));
	CHILD_CHECK(r.state == XMIRROR_RESIDENT_MAPPED);
	CHILD_CHECK(!xm_violations(fd, NULL, 0));
	CHILD_CHECK(!xm_wrong_pages(p, BIG / XM_PAGE));
	return 0;
}

FIXTURE(group) {
	struct squeeze s;
};

FIXTURE_SETUP(group)
{
	int err;

	XM_NEED_DEVICE(return);
	if (xm_meminfo_kb("SwapTotal") <= 0)
		XM_SKIP(return, "no swap");
	err = group_make(&self->s.g, "resident");
	if (err == -ENOENT)
		XM_SKIP(return, "no memory control groups");
	ASSERT_EQ(0, err);
}

FIXTURE_TEARDOWN(group)
{
	EXPECT_EQ(0, group_end(&self->s.g));
}

/* covers: D13, R3 */
/* Other memory presses on it. */
TEST_F(group, limit_that_it_fits_in)
{
	struct child c;

	self->s.max = "28M";
	self->s.more = 48 << 20;
	self->s.fits = true;
	ASSERT_EQ(0, child_start(&c, squeezed, &self->s));
	EXPECT_EQ(0, child_end(&c));
}

/*
 * It presses on itself: what is mapped last takes the place of what was first. The
 * restore charges the group, in which the OOM killer finds nobody that it may kill.
 */
/* covers: D13, R3 */
TEST_F(group, limit_that_it_does_not_fit_in)
{
	struct child c;

	self->s.max = "8M";
	klog_expect("0-64", "Out of memory and no killable processes\\.\\.\\.");
	ASSERT_EQ(0, child_start(&c, squeezed, &self->s));
	EXPECT_EQ(0, child_end(&c));
	klog_expected();
}

TEST_HARNESS_MAIN
