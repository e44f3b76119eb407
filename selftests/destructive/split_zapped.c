// SPDX-License-Identifier: GPL-2.0
/*
 * A CPU touches a private page that is of a large folio and has an entry of its own, and
 * the page is thrown away while the folio is split for the CPU. Nobody refers to the page
 * then, and the split frees it. migrate_vma_split_folio() takes a reference to it all the
 * same, and the end of the fault frees it once more: finding 48. The device counts a page
 * too many and gives it to two users, and the reference that the page has to the device is
 * dropped twice; with CONFIG_DEBUG_VM it ends the guest. Not in the list of tests.
 */
#include "raw.h"
#include "test.h"

/* covers: J.split_fault */
TEST(page_that_is_thrown_away_in_a_split_is_freed_once)
{
	struct worker op = { .fn = work_touch };
	char *p, *q;
	__u64 free;
	__u32 id;
	int fd;

	NEED(XMIRROR_CAP_PRIVATE_LARGE | XMIRROR_CAP_SYNC);
	OPEN(fd, 0);
	free = xm_devmem_free(fd);
	p = xm_thp(fd, 0x22);
	if (!p)
		XM_SKIP(return, "%s", xm_why_no_thp());
	q = p + 5 * XM_PAGE;
	op.addr = q;
	ASSERT_EQ(0, worker_prepare(&op));
	MIGRATE_HUGE(fd, p);
	/* So the mirror hears of what happens there. */
	ASSERT_EQ(0, xm_fault(fd, p, XM_PMD, 0, NULL));
	/* Small entries of one folio */
	ASSERT_EQ(0, mprotect(q, XM_PAGE, PROT_READ));
	ASSERT_EQ(0, mprotect(q, XM_PAGE, PROT_READ | PROT_WRITE));
	ASSERT_EQ((__u32)XMIRROR_CPU_PRIVATE, xm_page(fd, q).cpu & XM_HUGE_PRIVATE);
	ASSERT_TRUE(raw_page(fd, q).folio & XMIRROR_FOLIO_LARGE);
	ASSERT_EQ(free - XM_PMD_PAGES, xm_devmem_free(fd));
	/* The split is about to unmap the folio. */
	ASSERT_EQ(0, xm_sync_arm_event(fd, XMIRROR_PT_INV_ENTER, XM_EV_CLEAR, q, XM_PAGE,
				       &id));
	ASSERT_EQ(0, worker_start(&op));
	ASSERT_EQ(0, xm_sync_reached(fd, id, XM_LONG));
	EXPECT_EQ(0, madvise(q, XM_PAGE, MADV_DONTNEED));
	EXPECT_EQ(0, xm_page(fd, q).cpu);
	EXPECT_EQ(free - XM_PMD_PAGES, xm_devmem_free(fd));
	EXPECT_EQ(0, xm_sync_resume(fd, id, NULL));
	EXPECT_EQ(0, worker_join(&op));
	EXPECT_EQ(0, op.arg);
	EXPECT_EQ(0, raw_page(fd, p).folio & XMIRROR_FOLIO_LARGE);
	EXPECT_EQ(free - XM_PMD_PAGES + 1, xm_devmem_free(fd));
	munmap(p, XM_PMD);
	EXPECT_EQ(free, xm_devmem_free(fd));
	close(fd);
}

TEST_HARNESS_MAIN
