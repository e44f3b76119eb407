// SPDX-License-Identifier: GPL-2.0
/*
 * What PAGEMAP_SCAN says of pages of the device: by each of its three loops they count
 * as written until they are protected.
 */
#include "klog.h"
#include "test.h"
#include "uffd.h"

#define TELL	(XM_PAGE_IS_WRITTEN | XM_PAGE_IS_SWAPPED)

FIXTURE(scan) {
	int fd;
	int uffd;
	__u64 *p;
};

FIXTURE_VARIANT(scan) {
	bool private;
};

FIXTURE_VARIANT_ADD(scan, exclusive) { .private = false };
FIXTURE_VARIANT_ADD(scan, private) { .private = true };

/* The page is the device's, and it has written there. */
static int make(int fd, __u64 *p, bool private)
{
	__u64 moved = 0;
	int err;

	if (private)
		err = xm_migrate(fd, p, XM_PAGE, 0, 0, &moved);
	else
		err = xm_exclusive(fd, p, XM_PAGE, &moved);
	if (!err && !moved)
		err = -EIO;
	return err ? err : xm_op(fd, XMIRROR_OP_XCHG, 8, p, 7, NULL);
}

/* By the loop for those who ask nothing */
static int protect(void *p, bool private)
{
	int err;

	klog_expect_scan(private);
	err = xm_scan_protect(p);
	klog_expected_scan(private);
	return err;
}

FIXTURE_SETUP(scan)
{
	self->uffd = -1;
	OPEN(self->fd, 0);
	NEED(variant->private ? XMIRROR_CAP_PRIVATE : XMIRROR_CAP_EXCLUSIVE);
	self->uffd = xm_uffd(UFFD_FEATURE_PAGEFAULT_FLAG_WP | XM_UFFD_WP_ASYNC);
	if (self->uffd < 0)
		XM_SKIP(return, "asynchronous uffd-wp: Linux 6.7, CONFIG_PTE_MARKER_UFFD_WP");
	self->p = xm_area(XM_PAGE, 0);
	ASSERT_NE(NULL, self->p);
	memset(self->p, 0x11, XM_PAGE);
	ASSERT_EQ(0, xm_pin_cpu());
	ASSERT_EQ(0, xm_drain());
	ASSERT_EQ(0, xm_uffd_register(self->uffd, self->p, XM_PAGE,
				      UFFDIO_REGISTER_MODE_WP));
	ASSERT_EQ(0, make(self->fd, self->p, variant->private));
	ASSERT_TRUE(xm_is_devices(self->fd, self->p, variant->private));
}

FIXTURE_TEARDOWN(scan)
{
	EXPECT_CLEAN(self->fd);
	if (self->uffd >= 0)
		close(self->uffd);
	close(self->fd);
}

/* It asks for two categories, for one there is a loop of its own. */
/* covers: F.wp */
TEST_F(scan, page_of_the_device_is_written_and_not_present)
{
	EXPECT_EQ(TELL, xm_scan(self->p, 0, XM_PAGE_IS_WRITTEN, TELL));
	EXPECT_EQ(0, protect(self->p, variant->private));
	EXPECT_EQ(-ENOENT, xm_scan(self->p, 0, XM_PAGE_IS_WRITTEN, TELL));
	EXPECT_EQ(XM_PAGE_IS_SWAPPED,
		  xm_scan(self->p, 0, XM_PAGE_IS_SWAPPED, TELL));
	EXPECT_TRUE(xm_is_devices(self->fd, self->p, variant->private));
}

/* covers: F.wp */
TEST_F(scan, protected_page_is_not_written_until_the_next_write)
{
	EXPECT_EQ(0, xm_pagemap(self->p) & XM_PM_UFFD_WP);
	EXPECT_EQ(0, protect(self->p, variant->private));
	EXPECT_NE(0, xm_pagemap(self->p) & XM_PM_UFFD_WP);
	EXPECT_TRUE(xm_is_devices(self->fd, self->p, variant->private));
	EXPECT_EQ(0, xm_scan_written(self->p));
	/* That a write of private memory is missed has its own test: finding 18. */
	if (variant->private)
		return;
	/* The entry is old when the mark is taken from it, which arm64 checks: finding 34. */
	klog_expect("0-1", KLOG_WARNING("__check_safe_pte_update"));
	ASSERT_EQ(0, xm_op(self->fd, XMIRROR_OP_STORE, 8, self->p, 8, NULL));
	klog_expected();
	EXPECT_EQ(1, xm_scan_written(self->p));
	EXPECT_EQ(8, XM_LOAD(self->p));
}

/* covers: F.soft_dirty */
TEST_F(scan, soft_dirty_until_cleared)
{
	const __u64 dirty = XM_PAGE_IS_SOFT_DIRTY;

	if (!xm_has_soft_dirty())
		XM_SKIP(return, "no CONFIG_MEM_SOFT_DIRTY");
	EXPECT_EQ(dirty, xm_scan(self->p, 0, dirty, dirty));
	ASSERT_EQ(0, xm_write_file("/proc/self/clear_refs", "4"));
	EXPECT_TRUE(xm_is_devices(self->fd, self->p, variant->private));
	EXPECT_EQ(-ENOENT, xm_scan(self->p, 0, dirty, dirty));
	EXPECT_EQ(0, xm_scan(self->p, 0, 0, dirty));
}

TEST_HARNESS_MAIN
