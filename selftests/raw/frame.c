// SPDX-License-Identifier: GPL-2.0
/*
 * A private page that is migrated by its page frame, as eviction and unplugging do it:
 * try_to_migrate() takes the entry out of every page table, and each of its bits comes
 * back with the page. The one test of the calls themselves is by_page_frame in parts.c.
 */
#include "raw.h"
#include "test.h"
#include "uffd.h"

#define PRIVATE	XMIRROR_ENTRY_PRIVATE
#define PRESENT	XMIRROR_ENTRY_PRESENT
#define WRITE	XMIRROR_ENTRY_WRITE
#define DIRTIED	XMIRROR_ENTRY_SOFT_DIRTY
#define WP	XMIRROR_ENTRY_UFFD_WP
#define BITS	(PRIVATE | PRESENT | WRITE | WP)

/* Two pages: one that something is done to, and one for comparison */
FIXTURE(frame) {
	int fd;
	__u64 *p;
	__u64 *q;
};

FIXTURE_SETUP(frame)
{
	OPEN(self->fd, 0);
	NEED(XMIRROR_CAP_PRIVATE);
	self->p = xm_anon(2 * XM_PAGE);
	ASSERT_NE(NULL, self->p);
	self->q = self->p + XM_WORDS;
	xm_fill_pages(self->p, 2);
}

FIXTURE_TEARDOWN(frame)
{
	if (self->p) {
		EXPECT_EQ(0, xm_wrong_pages(self->p, 2));
		munmap(self->p, 2 * XM_PAGE);
	}
	close(self->fd);
}

/* The page at @p, wherever it is mapped, to the system: -EIO if it stays. */
static int by_frame(int fd, const void *p)
{
	struct xmirror_raw_migrate r = { .flags = XMIRROR_RAW_RANGE };
	struct xmirror_raw_move move = { .dst = XMIRROR_RAW_SYSTEM };
	__u64 pfn = raw_page(fd, p).pfn;
	int err = raw_migrate(fd, (void *)(uintptr_t)pfn, 1, &r, &move);

	if (err)
		return err;
	return move.dst_pfn && move.pages & XMIRROR_RAW_MIGRATE ? 0 : -EIO;
}

#define ENTRY(p)	(raw_page(self->fd, (p)).entry)

/*
 * A page that may be dropped (MADV_FREE) comes back so. The frame that it was in had
 * another one before, which may not.
 */
/* covers: J.flags */
TEST_F(frame, page_takes_no_flags_of_the_former_one)
{
	__u32 bits = XMIRROR_FOLIO_ANON | XMIRROR_FOLIO_SWAPBACKED;
	__u64 pfn, *lazy = xm_anon(XM_PAGE);

	ASSERT_NE(NULL, lazy);
	ASSERT_EQ(1, raw_to(self->fd, self->p, 1, XMIRROR_RAW_PRIVATE));
	pfn = raw_page(self->fd, self->p).pfn;
	ASSERT_EQ(0, by_frame(self->fd, self->p));
	*lazy = 7;
	ASSERT_EQ(0, xm_drain());
	ASSERT_EQ(0, madvise(lazy, XM_PAGE, MADV_FREE));
	ASSERT_EQ(0, xm_drain());
	ASSERT_EQ((__u32)XMIRROR_FOLIO_ANON, raw_page(self->fd, lazy).folio & bits);
	ASSERT_EQ(1, raw_to(self->fd, lazy, 1, XMIRROR_RAW_PRIVATE));
	ASSERT_EQ(pfn, raw_page(self->fd, lazy).pfn);
	ASSERT_EQ(0, by_frame(self->fd, lazy));
	ASSERT_EQ(0, xm_drain());
	ASSERT_TRUE(ENTRY(lazy) & PRESENT);
	XM_XFAIL_IF(true, (raw_page(self->fd, lazy).folio & bits) == XMIRROR_FOLIO_ANON,
		    "finding 61: the page has a flag of the former one of its frame");
	munmap(lazy, XM_PAGE);
}

TEST_F(frame, soft_dirty_is_kept)
{
	if (!xm_has_soft_dirty())
		XM_SKIP(return, "no CONFIG_MEM_SOFT_DIRTY");
	ASSERT_EQ(0, xm_write_file("/proc/self/clear_refs", "4"));
	XM_STORE(self->p, *self->p);
	ASSERT_EQ(2, raw_to(self->fd, self->p, 2, XMIRROR_RAW_PRIVATE));
	ASSERT_EQ(PRIVATE | DIRTIED, ENTRY(self->p) & (PRIVATE | DIRTIED));
	ASSERT_EQ(PRIVATE, ENTRY(self->q) & (PRIVATE | DIRTIED));
	ASSERT_EQ(0, by_frame(self->fd, self->p));
	ASSERT_EQ(0, by_frame(self->fd, self->q));
	EXPECT_EQ(PRESENT | DIRTIED, ENTRY(self->p) & (PRESENT | DIRTIED));
	EXPECT_NE(0, xm_pagemap(self->p) & XM_PM_SOFT_DIRTY);
	EXPECT_EQ(PRESENT, ENTRY(self->q) & (PRESENT | DIRTIED));
	EXPECT_EQ(0, xm_pagemap(self->q) & XM_PM_SOFT_DIRTY);
}

TEST_F(frame, write_protection_is_kept)
{
	int uffd = xm_uffd(UFFD_FEATURE_PAGEFAULT_FLAG_WP);

	if (uffd < 0)
		XM_SKIP(return, "no CONFIG_USERFAULTFD");
	ASSERT_EQ(0, xm_uffd_register(uffd, self->p, 2 * XM_PAGE,
				      UFFDIO_REGISTER_MODE_WP));
	ASSERT_EQ(0, xm_uffd_wp(uffd, self->p, XM_PAGE, true));
	ASSERT_EQ(2, raw_to(self->fd, self->p, 2, XMIRROR_RAW_PRIVATE));
	ASSERT_EQ(PRIVATE | WP, ENTRY(self->p) & BITS);
	ASSERT_EQ(PRIVATE | WRITE, ENTRY(self->q) & BITS);
	ASSERT_EQ(0, by_frame(self->fd, self->p));
	ASSERT_EQ(0, by_frame(self->fd, self->q));
	EXPECT_EQ(PRESENT | WP, ENTRY(self->p) & BITS);
	EXPECT_NE(0, xm_pagemap(self->p) & XM_PM_UFFD_WP);
	EXPECT_EQ(PRESENT | WRITE, ENTRY(self->q) & BITS);
	EXPECT_EQ(0, xm_pagemap(self->q) & XM_PM_UFFD_WP);
	close(uffd);
}

TEST_F(frame, right_to_write_is_kept)
{
	ASSERT_EQ(2, raw_to(self->fd, self->p, 2, XMIRROR_RAW_PRIVATE));
	ASSERT_EQ(0, mprotect(self->q, XM_PAGE, PROT_READ));
	ASSERT_EQ(PRIVATE | WRITE, ENTRY(self->p) & BITS);
	ASSERT_EQ(PRIVATE, ENTRY(self->q) & BITS);
	ASSERT_EQ(0, by_frame(self->fd, self->p));
	ASSERT_EQ(0, by_frame(self->fd, self->q));
	EXPECT_EQ(PRESENT | WRITE, ENTRY(self->p) & BITS);
	EXPECT_EQ(PRESENT, ENTRY(self->q) & BITS);
}

TEST_HARNESS_MAIN
