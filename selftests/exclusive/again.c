// SPDX-License-Identifier: GPL-2.0
/*
 * An exclusive page is made exclusive again, by the same or another device, or
 * given back.
 */
#define PAGE_NEEDS	XMIRROR_CAP_EXCLUSIVE
#include "page_fixture.h"

/* Its own entry, whose leaf an event without effect has cleared */
/* covers: B.again */
TEST_F(page, entry_without_a_leaf_is_made_again)
{
	struct xmirror_stats before, after;
	__u32 revoke = xm_facts()->revoke_event;
	__u64 pfn;

	ASSERT_EQ(0, xm_pin_cpu());
	*self->p = 5;
	ASSERT_EQ(0, xm_add(self->fd, self->p, 1));
	pfn = xm_pfn(self->p);
	/* In place: there is nothing to do. */
	ASSERT_EQ(0, xm_stats(self->fd, &before));
	ASSERT_EQ(0, xm_exclusive(self->fd, self->p, XM_PAGE, NULL));
	ASSERT_EQ(0, xm_stats(self->fd, &after));
	EXPECT_EQ(xm_events(&before), xm_events(&after));
	EXPECT_EQ(1, after.excl_hits - before.excl_hits);

	ASSERT_EQ(0, madvise(self->p, XM_PAGE, MADV_FREE));
	EXPECT_TRUE(xm_is_exclusive(self->p));
	EXPECT_LEAF(self->fd, self->p, LEAF_NONE);
	ASSERT_EQ(0, xm_stats(self->fd, &before));
	ASSERT_EQ(0, xm_exclusive(self->fd, self->p, XM_PAGE, NULL));
	ASSERT_EQ(0, xm_stats(self->fd, &after));
	/* Given back to the CPU first, then made again */
	EXPECT_LE(1, after.inv[revoke] - before.inv[revoke]);
	EXPECT_LE(1, after.inv_own - before.inv_own);
	EXPECT_EQ(1, after.excl_made - before.excl_made);
	EXPECT_LEAF(self->fd, self->p, LEAF_EXCL);
	EXPECT_EQ(pfn, xm_pfn(self->p));
	ASSERT_EQ(0, xm_add(self->fd, self->p, 1));
	EXPECT_EQ(7, XM_LOAD(self->p));
}

/* covers: B.again */
TEST_F(page, entry_goes_to_the_other_device)
{
	__u64 pfn;
	int fd1, i;

	ASSERT_EQ(0, xm_pin_cpu());
	*self->p = 5;
	OPEN(fd1, 1);
	ASSERT_EQ(0, xm_add(self->fd, self->p, 1));
	pfn = xm_pfn(self->p);
	for (i = 0; i < 10; i++) {
		int has = i & 1 ? self->fd : fd1, lost = i & 1 ? fd1 : self->fd;

		ASSERT_EQ(0, xm_add(has, self->p, 1));
		EXPECT_LEAF(has, self->p, LEAF_EXCL);
		EXPECT_LEAF(lost, self->p, LEAF_NONE);
		EXPECT_CLEAN(has);
		EXPECT_CLEAN(lost);
	}
	EXPECT_EQ(pfn, xm_pfn(self->p));
	EXPECT_EQ(16, XM_LOAD(self->p));
	close(fd1);
}

/* A page that is given back looks like one that the CPU has fetched. */
TEST_F(page, release_ends_as_a_fetch_does)
{
	struct xmirror_page page[2];
	__u64 pm[2], kpf[2], mask;
	int i;

	ASSERT_EQ(0, xm_pin_cpu());
	*self->p = 5;
	mask = XM_PM_PRESENT | XM_PM_SWAP | XM_PM_SOFT_DIRTY |
	       XM_PM_ANON_EXCLUSIVE | XM_PM_UFFD_WP;
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, xm_add(self->fd, self->p, 1));
		if (i) {
			ASSERT_EQ(0, xm_release(self->fd, self->p, XM_PAGE,
						NULL));
		} else {
			EXPECT_EQ(6, XM_LOAD(self->p));
		}
		EXPECT_FALSE(xm_is_exclusive(self->p));
		EXPECT_LEAF(self->fd, self->p, LEAF_NONE);
		page[i] = xm_page(self->fd, self->p);
		pm[i] = xm_pagemap(self->p) & mask;
		kpf[i] = xm_kpageflags(xm_pfn(self->p)) & XM_KPF_DIRTY;
	}
	/* Whether it is young depends on who looked. */
	EXPECT_EQ(page[0].cpu & ~XMIRROR_CPU_YOUNG,
		  page[1].cpu & ~XMIRROR_CPU_YOUNG);
	EXPECT_EQ(page[0].cpu_pfn, page[1].cpu_pfn);
	EXPECT_EQ(pm[0], pm[1]);
	EXPECT_EQ(kpf[0], kpf[1]);
	EXPECT_NE(0, kpf[1]);
	EXPECT_EQ(7, XM_LOAD(self->p));
}

/* The device maps the page, but nobody has made it exclusive. */
TEST_F(page, release_of_what_nobody_has_gives_nothing_back)
{
	struct xmirror_range r = {
		.size = sizeof(r),
		.addr = (uintptr_t)self->p,
		.length = XM_PAGE,
		.rounds = 77,
	};
	struct xmirror_stats before, after;

	ASSERT_EQ(0, xm_fault(self->fd, self->p, XM_PAGE, XMIRROR_FAULT_WRITE,
			      NULL));
	ASSERT_FALSE(xm_is_exclusive(self->p));
	ASSERT_EQ(0, xm_stats(self->fd, &before));
	ASSERT_EQ(0, xm_ioctl(self->fd, XMIRROR_IOC_RELEASE, &r));
	ASSERT_EQ(0, xm_stats(self->fd, &after));
	EXPECT_EQ(XM_PAGE, r.done);
	EXPECT_EQ(0, r.rounds);
	EXPECT_EQ(before.excl_released, after.excl_released);
	EXPECT_EQ(xm_events(&before), xm_events(&after));
	EXPECT_LEAF(self->fd, self->p, LEAF_WRITE);
	/* One that it has is counted. */
	ASSERT_EQ(0, xm_exclusive(self->fd, self->p, XM_PAGE, NULL));
	ASSERT_EQ(0, xm_ioctl(self->fd, XMIRROR_IOC_RELEASE, &r));
	EXPECT_EQ(1, r.rounds);
}

TEST_HARNESS_MAIN
