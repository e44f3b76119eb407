// SPDX-License-Identifier: GPL-2.0
/*
 * Pages with leaves that the kernel takes to another address, or exchanges for another
 * page without asking anybody: UFFDIO_MOVE, a uprobe that is removed, the huge zero
 * page.
 */
#include "fixture.h"
#include "settings.h"
#include "uffd.h"
#include "uprobe.h"

/* Small pages are moved many at a time. */
#define MOVED	8UL

TEST_F(fault, uffd_move_takes_the_leaf_of_each_page)
{
	__u64 *p = xm_area(MOVED * XM_PAGE, 0), *q = xm_area(MOVED * XM_PAGE, 0);
	int uffd = xm_uffd(XM_UFFD_MOVE);

	if (uffd < 0)
		XM_SKIP(return, "UFFDIO_MOVE: Linux 6.8");
	ASSERT_NE(NULL, p);
	ASSERT_NE(NULL, q);
	ASSERT_EQ(0, xm_pin_cpu());
	xm_fill_pages(p, MOVED);
	ASSERT_EQ(0, xm_drain());
	ASSERT_EQ(0, xm_fault(self->fd, p, MOVED * XM_PAGE, XMIRROR_FAULT_WRITE,
			      NULL));
	ASSERT_EQ(MOVED, count_leaves(self->fd, p, MOVED * XM_PAGE, LEAF_WRITE));
	ASSERT_EQ(0, xm_uffd_register(uffd, q, MOVED * XM_PAGE,
				      UFFDIO_REGISTER_MODE_MISSING));
	ASSERT_EQ(0, xm_uffd_move(uffd, q, p, MOVED * XM_PAGE));
	EXPECT_EQ(MOVED, count_leaves(self->fd, p, MOVED * XM_PAGE, LEAF_NONE));
	EXPECT_CLEAN(self->fd);
	/* The device's store is to a new page at the old address. */
	ASSERT_EQ(0, xm_op(self->fd, XMIRROR_OP_STORE, 8, p + 3 * XM_WORDS, 7,
			   NULL));
	EXPECT_EQ(7, XM_LOAD(p + 3 * XM_WORDS));
	EXPECT_EQ(0, xm_wrong_pages(q, MOVED));
	close(uffd);
}

/* The page with the breakpoint goes, and that of the file is there again. */
TEST_F(fault, removed_uprobe_takes_the_leaf)
{
	static const char path[] = "/tmp/xmirror-replaced";
	int probe, file = xm_probed_file(path);
	const __u8 code[] = XM_PROBED;
	__u8 *p, seen = 0;
	__u64 word;

	ASSERT_LE(0, file);
	p = mmap(NULL, XM_PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE, file, 0);
	close(file);
	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, xm_pin_cpu());
	EXPECT_EQ(code[0], XM_LOAD(p));
	probe = xm_uprobe(path);
	if (probe == -ENOENT)
		XM_SKIP(return, "no CONFIG_UPROBE_EVENTS");
	ASSERT_LE(0, probe) TH_LOG("uprobe: %s", strerror(-probe));
	/*
	 * A page that a batch holds, too, would be written to instead. The removal
	 * touches it; it is active by now, and needs no batch for that.
	 */
	ASSERT_EQ(0, xm_peek(p, &word));
	ASSERT_EQ(0, xm_peek(p, &word));
	ASSERT_EQ(0, xm_drain());
	ASSERT_EQ(0, xm_read(self->fd, p, &seen, 1));
	EXPECT_EQ(XM_BREAKPOINT, seen);
	EXPECT_LEAF(self->fd, p, LEAF_READ);
	EXPECT_EQ(0, xm_pagemap(p) & XM_PM_FILE);
	close(probe);
	EXPECT_LEAF(self->fd, p, LEAF_NONE);
	EXPECT_CLEAN(self->fd);
	ASSERT_EQ(0, xm_read(self->fd, p, &seen, 1));
	EXPECT_EQ(code[0], seen);
	EXPECT_EQ(code[0], XM_LOAD(p));
	EXPECT_NE(0, xm_pagemap(p) & XM_PM_FILE);
	munmap(p, XM_PAGE);
}

/* Huge pages that have only been read */

#define ZERO_PAGE	"/sys/kernel/mm/transparent_hugepage/use_zero_page"

FIXTURE(huge_zero) {
	int fd;
	__u64 *p;
};

FIXTURE_VARIANT(huge_zero) {
	__u64 granule;
};

FIXTURE_VARIANT_ADD(huge_zero, small) { .granule = XM_PAGE };
FIXTURE_VARIANT_ADD(huge_zero, large) { .granule = XM_2M };

FIXTURE_SETUP(huge_zero)
{
	OPEN(self->fd, 0);
	ASSERT_EQ(0, xm_set(self->fd, XMIRROR_SET_GRANULE, variant->granule,
			    NULL));
	NEED_THP();
	xm_setting(ZERO_PAGE, "1");
	self->p = xm_area(XM_PMD, 0);
	ASSERT_NE(NULL, self->p);
	ASSERT_EQ(0, madvise(self->p, XM_PMD, MADV_HUGEPAGE));
	ASSERT_EQ(0, XM_LOAD(self->p));
	if (!(xm_page(self->fd, self->p).cpu & XMIRROR_CPU_HUGE))
		XM_SKIP(return, "%s", xm_why_no_thp());
	/* It stays, and khugepaged makes none of a page that has been written to. */
	ASSERT_EQ(0, xm_no_thp(self->p, XM_PMD));
}

FIXTURE_TEARDOWN(huge_zero)
{
	EXPECT_CLEAN(self->fd);
	close(self->fd);
}

TEST_F(huge_zero, first_write_takes_all_leaves)
{
	struct xmirror_stats before, after;
	__u64 *word = self->p + 5 * XM_WORDS, seen = 1;

	ASSERT_EQ(0, xm_fault(self->fd, self->p, XM_PMD, 0, NULL));
	ASSERT_EQ(XM_PMD_PAGES,
		  count_leaves(self->fd, self->p, XM_PMD, LEAF_READ));
	ASSERT_EQ(0, xm_stats(self->fd, &before));
	XM_STORE(word, 7);
	ASSERT_EQ(0, xm_stats(self->fd, &after));
	EXPECT_EQ(XM_PMD_PAGES,
		  count_leaves(self->fd, self->p, XM_PMD, LEAF_NONE));
	/* Without another huge page it is split, and then one page replaced. */
	EXPECT_EQ(xm_chunks(XM_PMD) +
		  !(xm_page(self->fd, word).cpu & XMIRROR_CPU_HUGE),
		  after.inv[XM_EV_CLEAR] - before.inv[XM_EV_CLEAR]);
	EXPECT_CLEAN(self->fd);
	ASSERT_EQ(0, xm_read(self->fd, word, &seen, 8));
	EXPECT_EQ(7, seen);
	ASSERT_EQ(0, xm_read(self->fd, self->p, &seen, 8));
	EXPECT_EQ(0, seen);
}

TEST_HARNESS_MAIN
