// SPDX-License-Identifier: GPL-2.0
/*
 * What the device wrote is dirty when its leaf goes: nothing is lost to reclaim, and
 * nothing is dirty that it only read. S1 to S5 are the scenarios of dirty.c.
 */
#include "fixture.h"

/* DIRTY is in the leaf after a device write, and moves to the folio. */
TEST_F(fault, dirty_bit)
{
	struct xmirror_stats before, after;
	char *p = xm_anon(2 * XM_PAGE);
	struct xmirror_page page;
	__u64 pfn;

	ASSERT_NE(NULL, p);
	memset(p, 1, 2 * XM_PAGE);
	/* Clean the CPU's entry and the folio. */
	ASSERT_EQ(0, madvise(p, 2 * XM_PAGE, MADV_FREE));
	pfn = xm_pfn(p);
	ASSERT_NE(0, pfn);
	EXPECT_EQ(0, xm_kpageflags(pfn) & XM_KPF_DIRTY);
	ASSERT_EQ(0, xm_fault(self->fd, p, 2 * XM_PAGE, XMIRROR_FAULT_WRITE,
			      NULL));
	ASSERT_EQ(pfn, xm_pfn(p));
	page = xm_page(self->fd, p);
	EXPECT_EQ(LEAF_WRITE, page.dev & (LEAF_EXCL | XMIRROR_PTE_DIRTY));
	ASSERT_EQ(0, xm_op(self->fd, XMIRROR_OP_STORE, 8, p, 2, NULL));
	page = xm_page(self->fd, p);
	EXPECT_EQ(LEAF_WRITE | XMIRROR_PTE_DIRTY | XMIRROR_PTE_ACCESSED,
		  page.dev);
	/* The neighbour was not written. */
	page = xm_page(self->fd, p + XM_PAGE);
	EXPECT_EQ(LEAF_WRITE, page.dev & (LEAF_EXCL | XMIRROR_PTE_DIRTY));

	ASSERT_EQ(0, xm_stats(self->fd, &before));
	ASSERT_EQ(0, mprotect(p, 2 * XM_PAGE, PROT_READ));
	ASSERT_EQ(0, xm_stats(self->fd, &after));
	EXPECT_EQ(1, after.dirtied - before.dirtied);
	ASSERT_EQ(pfn, xm_pfn(p));
	EXPECT_NE(0, xm_kpageflags(pfn) & XM_KPF_DIRTY);
}

/* A device that only reads makes nothing dirty. */
TEST_F(fault, reads_stay_clean)
{
	struct xmirror_stats stats;
	char *p = xm_anon(XM_PAGE), buf[64];
	struct xmirror_page page;
	__u64 pfn;

	ASSERT_NE(NULL, p);
	memset(p, 1, XM_PAGE);
	ASSERT_EQ(0, madvise(p, XM_PAGE, MADV_FREE));
	pfn = xm_pfn(p);
	ASSERT_EQ(0, xm_read(self->fd, p, buf, sizeof(buf)));
	ASSERT_EQ(0, xm_op(self->fd, XMIRROR_OP_LOAD, 8, p, 0, NULL));
	page = xm_page(self->fd, p);
	EXPECT_EQ(XMIRROR_PTE_VALID | XMIRROR_PTE_ACCESSED,
		  page.dev & (XMIRROR_PTE_VALID | XMIRROR_PTE_ACCESSED |
			      XMIRROR_PTE_DIRTY));
	ASSERT_EQ(0, mprotect(p, XM_PAGE, PROT_READ));
	ASSERT_EQ(0, xm_stats(self->fd, &stats));
	EXPECT_EQ(0, stats.dirtied);
	ASSERT_EQ(pfn, xm_pfn(p));
	EXPECT_EQ(0, xm_kpageflags(pfn) & XM_KPF_DIRTY);
}

/*
 * S4: after MADV_FREE the CPU's entry is writable and clean, so a write fault
 * changes nothing, and only the device knows that the page was written.
 */
TEST_F(fault, dirty_after_madv_free)
{
	__u64 *p = xm_anon(SIZE), i;

	if (swap_disk_used_kb() < 0 && xm_meminfo_kb("SwapTotal") <= 0)
		SKIP(return, "no swap");
	ASSERT_NE(NULL, p);
	ASSERT_EQ(0, conf_pin());
	for (i = 0; i < PAGES; i++)
		p[i * 512] = 0x1111;
	ASSERT_EQ(0, madvise(p, SIZE, MADV_FREE));
	ASSERT_EQ(0, xm_fault(self->fd, p, SIZE, XMIRROR_FAULT_WRITE, NULL));
	for (i = 0; i < PAGES; i++) {
		ASSERT_EQ(0, xm_op(self->fd, XMIRROR_OP_STORE, 8, p + i * 512,
				   0xd0d0 + i, NULL));
	}
	/* All but page 0, which stays mapped with its leaf. */
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, madvise(p + 512, SIZE - XM_PAGE, MADV_PAGEOUT));
	}
	for (i = 0; i < PAGES; i++) {
		EXPECT_EQ(0xd0d0 + i, p[i * 512]) {
			TH_LOG("page %llu lost the device's write", i);
		}
	}
}

/* The control: without a device write the kernel does drop such pages. */
TEST_F(fault, clean_after_madv_free)
{
	__u64 *p = xm_anon(SIZE), i, dropped = 0;

	if (swap_disk_used_kb() < 0 && xm_meminfo_kb("SwapTotal") <= 0)
		SKIP(return, "no swap");
	ASSERT_NE(NULL, p);
	ASSERT_EQ(0, conf_pin());
	for (i = 0; i < PAGES; i++)
		p[i * 512] = 0x1111;
	ASSERT_EQ(0, madvise(p, SIZE, MADV_FREE));
	ASSERT_EQ(0, xm_fault(self->fd, p, SIZE, XMIRROR_FAULT_WRITE, NULL));
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, madvise(p, SIZE, MADV_PAGEOUT));
	}
	for (i = 0; i < PAGES; i++)
		dropped += p[i * 512] == 0;
	EXPECT_EQ(PAGES, dropped);
}

/*
 * S5: a page that was swapped in by a read is writable, clean and in the swap
 * cache: reclaim may drop it unless somebody says that it was written.
 */
TEST_F(fault, dirty_after_swap_in)
{
	__u64 *p = xm_anon(SIZE), i, clean = 0, in_cache = 0;
	long used = swap_disk_used_kb();

	if (used < 0)
		SKIP(return, "no swap on anything but zram");
	ASSERT_NE(NULL, p);
	ASSERT_EQ(0, conf_pin());
	for (i = 0; i < PAGES; i++)
		p[i * 512] = 0x1111;
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, madvise(p, SIZE, MADV_PAGEOUT));
	}
	if (swap_disk_used_kb() <= used)
		SKIP(return, "pages went to another swap device");
	for (i = 0; i < PAGES; i++) {
		EXPECT_TRUE(xm_is_swapped(p + i * 512));
		EXPECT_EQ(0x1111, XM_LOAD(p + i * 512));
		in_cache += !!(xm_kpageflags(xm_pfn(p + i * 512)) &
			       XM_KPF_SWAPCACHE);
		clean += !(xm_kpageflags(xm_pfn(p + i * 512)) & XM_KPF_DIRTY);
	}
	if (!in_cache || !clean)
		TH_LOG("no page is clean and in the swap cache");
	ASSERT_EQ(0, xm_fault(self->fd, p, SIZE, XMIRROR_FAULT_WRITE, NULL));
	for (i = 0; i < PAGES; i++) {
		ASSERT_EQ(0, xm_op(self->fd, XMIRROR_OP_STORE, 8, p + i * 512,
				   0xd0d0 + i, NULL));
	}
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, madvise(p, SIZE, MADV_PAGEOUT));
	}
	for (i = 0; i < PAGES; i++) {
		EXPECT_EQ(0xd0d0 + i, p[i * 512]) {
			TH_LOG("page %llu lost the device's write", i);
		}
	}
}

/* S2 and S1: the same two with an exclusive page */
TEST_F(fault, dirty_exclusive)
{
	__u64 *p = xm_anon(SIZE), i, round;

	NEED(XMIRROR_CAP_EXCLUSIVE);
	if (xm_meminfo_kb("SwapTotal") <= 0)
		SKIP(return, "no swap");
	ASSERT_NE(NULL, p);
	ASSERT_EQ(0, conf_pin());
	for (round = 0; round < 2; round++) {
		for (i = 0; i < PAGES; i++)
			p[i * 512] = 0x1111;
		if (round) {
			ASSERT_EQ(0, madvise(p, SIZE, MADV_PAGEOUT));
			for (i = 0; i < PAGES; i++) {
				EXPECT_EQ(0x1111, XM_LOAD(p + i * 512));
			}
		} else {
			ASSERT_EQ(0, madvise(p, SIZE, MADV_FREE));
		}
		ASSERT_EQ(0, xm_exclusive(self->fd, p, SIZE, NULL));
		for (i = 0; i < PAGES; i++) {
			ASSERT_EQ(0, xm_op(self->fd, XMIRROR_OP_XCHG, 8,
					   p + i * 512, 0xd0d0 + i, NULL));
		}
		for (i = 0; i < PAGES; i++) {
			EXPECT_EQ(0xd0d0 + i, XM_LOAD(p + i * 512));
		}
		for (i = 0; i < 3; i++) {
			ASSERT_EQ(0, madvise(p, SIZE, MADV_PAGEOUT));
		}
		for (i = 0; i < PAGES; i++) {
			EXPECT_EQ(0xd0d0 + i, p[i * 512]) {
				TH_LOG("round %llu, page %llu", round, i);
			}
		}
	}
}

TEST_HARNESS_MAIN
