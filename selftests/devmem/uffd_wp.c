// SPDX-License-Identifier: GPL-2.0
/*
 * Write protection by userfaultfd of small pages that are in the device: it stays with
 * the memory that is armed, whatever becomes of the entry, and goes nowhere else.
 */
#include "klog.h"
#include "raw.h"
#include "uffd.h"
#define PAGE_NEEDS	XMIRROR_CAP_PRIVATE
#include "page_fixture.h"

#define WORD	0x1111111111111111ULL

#define PRIVATE	XMIRROR_ENTRY_PRIVATE
#define WRITE	XMIRROR_ENTRY_WRITE
#define WP	XMIRROR_ENTRY_UFFD_WP
#define BITS	(PRIVATE | WRITE | WP)

#define ENTRY(p)	(raw_page(self->fd, (p)).entry & BITS)

static int looks(struct child *c, void *arg)
{
	__u64 pm = xm_pagemap(arg);

	(void)c;
	CHILD_CHECK(pm & XM_PM_SWAP && !(pm & XM_PM_PRESENT));
	CHILD_CHECK(!(pm & XM_PM_UFFD_WP));
	return 0;
}

static int looks_reads_and_writes(struct child *c, void *arg)
{
	__u64 *p = arg;

	if (looks(c, arg))
		return 1;
	CHILD_CHECK(XM_LOAD(p) == WORD);
	CHILD_CHECK(xm_is_present(p));
	CHILD_CHECK(!(xm_pagemap(p) & XM_PM_UFFD_WP));
	XM_STORE(p, 1);
	CHILD_CHECK(XM_LOAD(p) == 1);
	return 0;
}

/* The child's memory is not armed, unless the userfaultfd asked for that. */
/* covers: F.carry, F.private */
TEST_F(page, child_is_not_protected)
{
	int uffd = xm_uffd(UFFD_FEATURE_PAGEFAULT_FLAG_WP);
	struct child c;
	__u64 moved;

	if (uffd < 0)
		XM_SKIP(return, "no CONFIG_USERFAULTFD");
	ASSERT_EQ(0, xm_uffd_register(uffd, self->p, XM_PAGE,
				      UFFDIO_REGISTER_MODE_WP));
	ASSERT_EQ(0, xm_uffd_wp(uffd, self->p, XM_PAGE, true));
	ASSERT_EQ(0, xm_migrate(self->fd, self->p, XM_PAGE, 0, 0, &moved));
	ASSERT_EQ(1, moved);
	ASSERT_EQ(PRIVATE | WP, ENTRY(self->p));
	ASSERT_EQ(0, child_start(&c, looks, self->p));
	EXPECT_EQ(0, child_end(&c));
	EXPECT_EQ(PRIVATE | WP, ENTRY(self->p));
	ASSERT_EQ(0, child_start(&c, looks_reads_and_writes, self->p));
	EXPECT_EQ(0, child_end(&c));
	EXPECT_EQ(WP, ENTRY(self->p) & (WP | WRITE));
	EXPECT_NE(0, xm_pagemap(self->p) & XM_PM_UFFD_WP);
	EXPECT_EQ(WORD, XM_LOAD(self->p));
	close(uffd);
}

/* A device that reads what is protected from reads faults, wherever it is. */
/* covers: F.rwp, F.private */
TEST_F(page, device_does_not_read_what_is_protected_from_reads)
{
	struct uffdio_writeprotect rwp = {
		.range = { .start = (uintptr_t)self->p, .len = XM_PAGE },
		.mode = 1,
	};
	int uffd = xm_uffd(XM_UFFD_RWP);
	__u64 v, moved;

	if (uffd < 0)
		XM_SKIP(return, "read-write protection: Linux 7.3, CONFIG_USERFAULTFD_RWP");
	ASSERT_EQ(0, xm_uffd_register(uffd, self->p, XM_PAGE, XM_UFFD_REGISTER_RWP));
	/* In the system, then in the device */
	EXPECT_EQ(0, xm_read(self->fd, self->p, &v, 8));
	ASSERT_EQ(0, ioctl(uffd, XM_UFFDIO_RWPROTECT, &rwp));
	EXPECT_EQ(-EFAULT, xm_read(self->fd, self->p, &v, 8));
	rwp.mode = 0;
	ASSERT_EQ(0, ioctl(uffd, XM_UFFDIO_RWPROTECT, &rwp));
	ASSERT_EQ(0, xm_migrate(self->fd, self->p, XM_PAGE, 0, 0, &moved));
	ASSERT_EQ(1, moved);
	rwp.mode = 1;
	ASSERT_EQ(0, ioctl(uffd, XM_UFFDIO_RWPROTECT, &rwp));
	ASSERT_TRUE(ENTRY(self->p) & WP);
	XM_XFAIL_IF(true, xm_read(self->fd, self->p, &v, 8) == -EFAULT,
		    "finding 56: the device reads private memory that is protected");
	rwp.mode = 0;
	ASSERT_EQ(0, ioctl(uffd, XM_UFFDIO_RWPROTECT, &rwp));
	EXPECT_EQ(WORD, XM_LOAD(self->p));
	close(uffd);
}

/*
 * A page that the device may write to and that PAGEMAP_SCAN has protected: the entry has
 * the bit and is still writable, finding 18. Who takes the right to write makes another
 * entry of it.
 */
FIXTURE(scanned) {
	int fd;
	int uffd;
	__u64 *p;
};

FIXTURE_SETUP(scanned)
{
	__u64 moved;

	self->fd = -1;
	NEED(XMIRROR_CAP_PRIVATE);
	OPEN(self->fd, 0);
	self->uffd = xm_uffd(UFFD_FEATURE_PAGEFAULT_FLAG_WP |
			     XM_UFFD_WP_ASYNC);
	if (self->uffd < 0)
		XM_SKIP(return, "asynchronous uffd-wp: Linux 6.7, CONFIG_PTE_MARKER_UFFD_WP");
	self->p = xm_anon(XM_PAGE);
	ASSERT_NE(NULL, self->p);
	*self->p = WORD;
	ASSERT_EQ(0, xm_uffd_register(self->uffd, self->p, XM_PAGE,
				      UFFDIO_REGISTER_MODE_WP));
	ASSERT_EQ(0, xm_migrate(self->fd, self->p, XM_PAGE, 0, 0, &moved));
	ASSERT_EQ(1, moved);
	klog_expect_scan(true);
	EXPECT_EQ(1, xm_scan_written(self->p));
	klog_expected_scan(true);
	ASSERT_EQ(PRIVATE | WP, ENTRY(self->p) & ~WRITE);
	if (!(ENTRY(self->p) & WRITE))
		XM_SKIP(return, "PAGEMAP_SCAN takes the right to write: no finding 18");
}

FIXTURE_TEARDOWN(scanned)
{
	if (self->fd < 0)
		return;
	EXPECT_CLEAN(self->fd);
	close(self->fd);
}

/* covers: F.private */
TEST_F(scanned, mprotect_keeps_the_protection)
{
	ASSERT_EQ(0, mprotect(self->p, XM_PAGE, PROT_READ));
	EXPECT_EQ(PRIVATE | WP, ENTRY(self->p));
	EXPECT_EQ(0, xm_scan_written(self->p));
	ASSERT_EQ(0, mprotect(self->p, XM_PAGE, PROT_READ | PROT_WRITE));
	EXPECT_EQ(PRIVATE | WP, ENTRY(self->p));
	EXPECT_EQ(WORD, XM_LOAD(self->p));
	EXPECT_EQ(0, xm_scan_written(self->p));
	XM_STORE(self->p, 2);
	EXPECT_EQ(1, xm_scan_written(self->p));
}

/* covers: F.private */
TEST_F(scanned, fork_keeps_the_protection)
{
	struct child c;

	ASSERT_EQ(0, child_start(&c, looks, self->p));
	EXPECT_EQ(0, child_end(&c));
	EXPECT_EQ(PRIVATE | WP, ENTRY(self->p));
	EXPECT_EQ(0, xm_scan_written(self->p));
	EXPECT_EQ(WORD, XM_LOAD(self->p));
	EXPECT_EQ(0, xm_scan_written(self->p));
}

TEST_HARNESS_MAIN
