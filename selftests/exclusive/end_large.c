// SPDX-License-Identifier: GPL-2.0
/*
 * How the exclusive entry of one page of a huge page ends, as in end.c, and the
 * state of the other pages.
 */
#include "test.h"

#define PMD_KB	((long)(XM_PMD >> 10))

#define DEV	0xd0d0d0d0ULL	/* written by the device */

/* Where huge pages are rare, the free ones may all be on another node. */
#define COLLAPSE(p) \
	do { \
		int collapse_err = xm_collapse(p); \
		if (collapse_err == -EINVAL) \
			XM_SKIP(return, "MADV_COLLAPSE: Linux 6.1, CONFIG_TRANSPARENT_HUGEPAGE"); \
		if (collapse_err == -ENOMEM && XM_HUGE_IS_RARE) \
			XM_SKIP(return, "no huge page to be had"); \
		ASSERT_EQ(0, collapse_err); \
	} while (0)

FIXTURE(large) {
	int fd;
	char *p;
	__u64 *q;
};

FIXTURE_SETUP(large)
{
	NEED(XMIRROR_CAP_EXCLUSIVE);
	NEED(XMIRROR_CAP_EXCLUSIVE_LARGE);
	OPEN(self->fd, 0);
	self->p = xm_thp(self->fd, 0x22);
	if (!self->p)
		XM_SKIP(return, "%s", xm_why_no_thp());
	self->q = (__u64 *)(self->p + 37 * XM_PAGE);
	ASSERT_EQ(0, xm_exclusive(self->fd, self->q, XM_PAGE, NULL));
	ASSERT_EQ(0, xm_op(self->fd, XMIRROR_OP_XCHG, 8, self->q, DEV, NULL));
	/* Only the page table is split. */
	EXPECT_EQ(1, xm_count_exclusive(self->p, XM_PMD));
	EXPECT_EQ(xm_pfn(self->p) + 37, xm_pfn(self->q));
}

FIXTURE_TEARDOWN(large)
{
	EXPECT_CLEAN(self->fd);
	close(self->fd);
}

/* All of it is mapped by small entries then, and still counts. */
/* covers: G.one_page */
TEST_F(large, counters)
{
	/* Nobody collapses it before this test does. */
	ASSERT_EQ(0, xm_no_thp(self->p, XM_PMD));
	EXPECT_EQ(PMD_KB, xm_smaps_kb(self->p, "Rss"));
	EXPECT_EQ(0, xm_smaps_kb(self->p, "AnonHugePages"));
	EXPECT_EQ(DEV, XM_LOAD(self->q));
	EXPECT_EQ(PMD_KB, xm_smaps_kb(self->p, "Rss"));
	EXPECT_EQ(0, xm_smaps_kb(self->p, "AnonHugePages"));
	ASSERT_EQ(0, madvise(self->p, XM_PMD, MADV_HUGEPAGE));
	COLLAPSE(self->p);
	EXPECT_EQ(PMD_KB, xm_smaps_kb(self->p, "Rss"));
	EXPECT_EQ(PMD_KB, xm_smaps_kb(self->p, "AnonHugePages"));
	/* All of it is exclusive: each page counts once. */
	EXPECT_EQ(0, xm_exclusive(self->fd, self->p, XM_PMD, NULL));
	EXPECT_EQ(XM_PMD_PAGES, xm_count_exclusive(self->p, XM_PMD));
	EXPECT_EQ(PMD_KB, xm_smaps_kb(self->p, "Rss"));
	EXPECT_EQ(0, xm_smaps_kb(self->p, "AnonHugePages"));
	EXPECT_EQ(DEV, XM_LOAD(self->q));
}

/* covers: G.one_page */
TEST_F(large, cpu_read)
{
	EXPECT_EQ(DEV, XM_LOAD(self->q));
	EXPECT_EQ(0, xm_count_exclusive(self->p, XM_PMD));
	EXPECT_LEAF(self->fd, self->q, LEAF_NONE);
	EXPECT_EQ(0x22, self->p[36 * XM_PAGE]);
	EXPECT_EQ(0x22, self->p[38 * XM_PAGE]);
}

/* covers: G.one_page */
TEST_F(large, neighbour_read)
{
	EXPECT_EQ(0x22, self->p[36 * XM_PAGE]);
	EXPECT_EQ(0x22, self->p[38 * XM_PAGE]);
	EXPECT_TRUE(xm_is_exclusive(self->q));
	EXPECT_LEAF(self->fd, self->q, LEAF_EXCL);
}

/* The entry is restored first, and its data is in the new huge page. */
/* covers: B.collapse, G.one_page */
TEST_F(large, collapse)
{
	struct xmirror_stats before, after;

	ASSERT_EQ(0, xm_stats(self->fd, &before));
	COLLAPSE(self->p);
	ASSERT_EQ(0, xm_stats(self->fd, &after));
	EXPECT_LE(1, after.inv[XM_EV_CLEAR] - before.inv[XM_EV_CLEAR]);
	EXPECT_TRUE(xm_page(self->fd, self->q).cpu & XMIRROR_CPU_HUGE);
	EXPECT_LEAF(self->fd, self->q, LEAF_NONE);
	EXPECT_EQ(DEV, XM_LOAD(self->q));
	EXPECT_EQ(0x22, self->p[36 * XM_PAGE]);
}

/* Advice for the huge page may end the entry; the data is kept. */
/* covers: B.cold, G.one_page */
TEST_F(large, pageout)
{
	if (xm_meminfo_kb("SwapTotal") <= 0)
		XM_SKIP(return, "no swap");
	ASSERT_EQ(0, madvise(self->p, XM_PMD, MADV_PAGEOUT));
	if (!xm_is_exclusive(self->q)) {
		EXPECT_LEAF(self->fd, self->q, LEAF_NONE);
	}
	EXPECT_CLEAN(self->fd);
	EXPECT_EQ(DEV, XM_LOAD(self->q));
	EXPECT_EQ(0x22, self->p[36 * XM_PAGE]);
}

/* Before 6.15 a small exclusive page amid others collapses, too. */
/* covers: B.collapse */
TEST(collapse_small)
{
	char *p = xm_anon_aligned(XM_PMD, XM_PMD);
	__u64 *q;
	int fd;

	NEED(XMIRROR_CAP_EXCLUSIVE);
	NEED_THP();
	OPEN(fd, 0);
	ASSERT_NE(NULL, p);
	memset(p, 0x22, XM_PMD);
	q = (__u64 *)(p + (XM_PMD_PAGES - 1) * XM_PAGE);
	ASSERT_EQ(0, xm_exclusive(fd, q, XM_PAGE, NULL));
	ASSERT_EQ(0, xm_op(fd, XMIRROR_OP_XCHG, 8, q, DEV, NULL));
	ASSERT_EQ(0, madvise(p, XM_PMD, MADV_HUGEPAGE));
	COLLAPSE(p);
	EXPECT_TRUE(xm_page(fd, q).cpu & XMIRROR_CPU_HUGE);
	EXPECT_LEAF(fd, q, LEAF_NONE);
	EXPECT_CLEAN(fd);
	EXPECT_EQ(DEV, XM_LOAD(q));
	EXPECT_EQ(0x22, p[0]);
	close(fd);
}

TEST_HARNESS_MAIN
