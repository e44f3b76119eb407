// SPDX-License-Identifier: GPL-2.0
/*
 * Reclaim takes a page that the device has exclusively. What is known of it besides its
 * data, that it was written and that userfaultfd has write-protected it, is in the swap
 * entry, and comes back with the page.
 */
#include "test.h"
#include "uffd.h"

FIXTURE(swapped) {
	int fd;
	__u64 *p;
	__u64 *q;	/* another page of the mapping */
};

FIXTURE_SETUP(swapped)
{
	self->fd = -1;
	NEED(XMIRROR_CAP_EXCLUSIVE);
	NEED(XMIRROR_CAP_RECLAIM_EXCLUSIVE);
	if (xm_meminfo_kb("SwapTotal") <= 0)
		XM_SKIP(return, "no swap");
	if (xm_reclaim("1") == -ENOENT)
		XM_SKIP(return, "no memory.reclaim");
	OPEN(self->fd, 0);
	ASSERT_EQ(0, xm_pin_cpu());
	/* No other mapping merges with it. */
	self->p = xm_area(2 * XM_PAGE, 0);
	ASSERT_NE(NULL, self->p);
	self->q = self->p + XM_WORDS;
	*self->p = 5;
	*self->q = 7;
	ASSERT_EQ(0, xm_reclaim_only(self->p, 2 * XM_PAGE));
}

FIXTURE_TEARDOWN(swapped)
{
	if (self->fd < 0)
		return;
	EXPECT_CLEAN(self->fd);
	close(self->fd);
}

/* covers: F.soft_dirty */
TEST_F(swapped, exclusive_page_is_soft_dirty)
{
	if (!xm_has_soft_dirty())
		XM_SKIP(return, "no CONFIG_MEM_SOFT_DIRTY");
	ASSERT_EQ(0, xm_write_file("/proc/self/clear_refs", "4"));
	ASSERT_FALSE(xm_is_marked(self->p, XM_PM_SOFT_DIRTY));
	*self->p = 6;
	ASSERT_EQ(0, xm_exclusive(self->fd, self->p, XM_PAGE, NULL));
	ASSERT_TRUE(xm_is_marked(self->p, XM_PM_SOFT_DIRTY));
	ASSERT_EQ(0, xm_reclaim_exclusive(self->p, XM_PAGE));
	ASSERT_TRUE(xm_is_swapped(self->p));
	EXPECT_TRUE(xm_is_marked(self->p, XM_PM_SOFT_DIRTY));
	/* That is of the page, and not of the mapping. */
	EXPECT_FALSE(xm_is_marked(self->q, XM_PM_SOFT_DIRTY));
	EXPECT_EQ(6, XM_LOAD(self->p));
	EXPECT_TRUE(xm_is_marked(self->p, XM_PM_SOFT_DIRTY));
}

/* covers: F.carry */
TEST_F(swapped, exclusive_page_is_write_protected)
{
	int uffd = xm_uffd(UFFD_FEATURE_PAGEFAULT_FLAG_WP);

	if (uffd < 0)
		XM_SKIP(return, "no CONFIG_USERFAULTFD");
	ASSERT_EQ(0, xm_uffd_register(uffd, self->p, XM_PAGE,
				      UFFDIO_REGISTER_MODE_WP));
	ASSERT_EQ(0, xm_add(self->fd, self->p, 1));
	ASSERT_EQ(0, xm_uffd_wp(uffd, self->p, XM_PAGE, true));
	ASSERT_TRUE(xm_is_exclusive(self->p));
	ASSERT_TRUE(xm_is_marked(self->p, XM_PM_UFFD_WP));
	ASSERT_EQ(0, xm_reclaim_exclusive(self->p, XM_PAGE));
	ASSERT_TRUE(xm_is_swapped(self->p));
	EXPECT_TRUE(xm_is_marked(self->p, XM_PM_UFFD_WP));
	EXPECT_EQ(6, XM_LOAD(self->p));
	EXPECT_TRUE(xm_is_marked(self->p, XM_PM_UFFD_WP));
	EXPECT_EQ(-EFAULT, xm_add(self->fd, self->p, 1));
	ASSERT_EQ(0, xm_uffd_wp(uffd, self->p, XM_PAGE, false));
	EXPECT_EQ(0, xm_add(self->fd, self->p, 1));
	EXPECT_EQ(7, XM_LOAD(self->p));
	close(uffd);
}

TEST_HARNESS_MAIN
