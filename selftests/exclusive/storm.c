// SPDX-License-Identifier: GPL-2.0
/* An endless storm of notifier events beside the device. */
#include "test.h"

#define ADDS	100U

FIXTURE(storm) {
	int fd;
	__u64 *p;	/* the middle one of three pages */
};

FIXTURE_SETUP(storm)
{
	char *all;

	NEED(XMIRROR_CAP_EXCLUSIVE);
	ASSERT_EQ(0, xm_pin_cpu());
	OPEN(self->fd, 0);
	all = xm_area(3 * XM_PAGE, 0);
	ASSERT_NE(NULL, all);
	self->p = (__u64 *)(all + XM_PAGE);
	memset(self->p, 0x11, XM_PAGE);
	*self->p = 5;
}

FIXTURE_TEARDOWN(storm)
{
	EXPECT_CLEAN(self->fd);
	close(self->fd);
}

/* Calls beside @addr that send many events and change nothing */
static int storm_beside(struct worker *w)
{
	char *p = w->addr;

	while (!XM_LOAD(&w->stop)) {
		if (mprotect(p, XM_PAGE, PROT_READ | PROT_WRITE) ||
		    madvise(p, XM_PAGE, MADV_COLD) ||
		    madvise(p - XM_PAGE, XM_PAGE, MADV_DONTNEED) ||
		    madvise(p + XM_PAGE, XM_PAGE, MADV_DONTNEED))
			return -errno;
		XM_ADD(&w->arg, 1);
	}
	return 0;
}

/* The same over all there is */
static int storm_over(struct worker *w)
{
	int err = 0;

	while (!XM_LOAD(&w->stop) && !err) {
		err = xm_write_file("/proc/self/clear_refs", "4");
		XM_ADD(&w->arg, 1);
	}
	return err;
}

#define STORM(function) \
	struct worker w = { .fn = (function), .addr = self->p }; \
	struct xmirror_stats before, after; \
	__u64 was; \
	int i, err = 0; \
	ASSERT_EQ(0, xm_exclusive(self->fd, self->p, XM_PAGE, NULL)); \
	ASSERT_EQ(0, xm_stats(self->fd, &before)); \
	ASSERT_EQ(0, worker_start(&w)); \
	for (i = 0; i < (int)ADDS && !err; i++) { \
		err = xm_add(self->fd, self->p, 1); \
		/* Some of the storm between any two */ \
		was = XM_LOAD(&w.arg); \
		while (XM_LOAD(&w.arg) == was && !worker_ended(&w)) \
			sched_yield(); \
	} \
	XM_STORE(&w.stop, true); \
	ASSERT_EQ(0, worker_join(&w)); \
	ASSERT_EQ(0, xm_stats(self->fd, &after)); \
	EXPECT_EQ(0, err)

TEST_F(storm, empty_events_cost_no_page)
{
	STORM(storm_beside);
	EXPECT_LE(ADDS, xm_events(&after) - xm_events(&before));
	EXPECT_EQ(before.inv_leaves, after.inv_leaves);
	EXPECT_EQ(before.excl_made, after.excl_made);
	EXPECT_LEAF(self->fd, self->p, LEAF_EXCL);
	EXPECT_EQ(5 + ADDS, XM_LOAD(self->p));
}

TEST_F(storm, device_gets_on_in_a_storm)
{
	if (!xm_has_soft_dirty())
		XM_SKIP(return, "no CONFIG_MEM_SOFT_DIRTY");
	STORM(storm_over);
	/* The device lost the page again and again, and its job ended. */
	EXPECT_LE(1, after.inv[XM_EV_SOFT_DIRTY] -
		     before.inv[XM_EV_SOFT_DIRTY]);
	EXPECT_LE(1, after.excl_made - before.excl_made);
	EXPECT_EQ(5 + ADDS, XM_LOAD(self->p));
}

static int add_many(struct worker *w)
{
	int err = 0;

	for (w->done = 0; w->done < ADDS && !err; w->done++)
		err = xm_add(w->fd, w->addr, 1);
	return err;
}

/* Five seconds without the page would be an error, -EBUSY. */
TEST_F(storm, two_devices_that_fight_get_on)
{
	struct worker storm = { .fn = storm_over, .addr = self->p };
	struct worker w[2] = {
		{ .fn = add_many, .fd = self->fd, .addr = self->p },
		{ .fn = add_many, .addr = self->p },
	};
	struct xmirror_stats s[2];
	cpu_set_t all;
	int i;

	/* Both CPUs, or the two just take turns. */
	memset(&all, 0xff, sizeof(all));
	ASSERT_EQ(0, sched_setaffinity(0, sizeof(all), &all));
	OPEN(w[1].fd, 1);
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, xm_set(w[i].fd, XMIRROR_SET_TIMEOUT, 5000, NULL));
		ASSERT_EQ(0, worker_start(&w[i]));
	}
	ASSERT_EQ(0, worker_start(&storm));
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(0, worker_join(&w[i]));
	}
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, xm_stats(w[i].fd, &s[i]));
		EXPECT_LT(0, s[i].excl_made);
		EXPECT_LE(s[i].excl_lost, s[i].excl_made);
	}
	XM_STORE(&storm.stop, true);
	EXPECT_EQ(0, worker_join(&storm));
	EXPECT_LT(0, s[0].excl_lost + s[1].excl_lost);
	EXPECT_EQ(5 + 2 * ADDS, XM_LOAD(self->p));
	EXPECT_CLEAN(w[1].fd);
	close(w[1].fd);
}

TEST_HARNESS_MAIN
