// SPDX-License-Identifier: GPL-2.0
/*
 * A huge page that is to go to small pages of the device is thrown away on its way, and a
 * new huge page comes to its place. migrate_vma_pages() splits that in place of the other
 * one, and drops the reference of its mapping: finding 47. Its data is gone, and whoever
 * touches it faults for ever, which this test does not. Not in the list of tests.
 */
#include "raw.h"
#include "test.h"

/* covers: J.split */
TEST(page_that_comes_during_a_migration_keeps_its_data)
{
	struct worker op = { .fn = raw_work_to_small, .len = XM_PMD };
	size_t i, wrong = 0;
	char *p;
	__u32 id;
	int fd;

	NEED(XMIRROR_CAP_PRIVATE_LARGE | XMIRROR_CAP_SYNC);
	OPEN(fd, 0);
	p = xm_thp(fd, 0x22);
	if (!p)
		XM_SKIP(return, "%s", xm_why_no_thp());
	op.fd = fd;
	op.addr = p;
	ASSERT_EQ(0, worker_prepare(&op));
	ASSERT_EQ(0, xm_sync_arm(fd, XMIRROR_PT_RAW_UNMAPPED, NULL, 0, &id));
	ASSERT_EQ(0, worker_start(&op));
	ASSERT_EQ(0, xm_sync_reached(fd, id, XM_LONG));
	EXPECT_EQ(0, madvise(p, XM_PMD, MADV_DONTNEED));
	memset(p, 0x33, XM_PMD);
	EXPECT_TRUE(xm_page(fd, p).cpu & XMIRROR_CPU_HUGE);
	EXPECT_EQ(0, xm_sync_resume(fd, id, NULL));
	EXPECT_EQ(0, worker_join(&op));
	/* An entry of a migration that has ended */
	ASSERT_EQ(0, xm_page(fd, p).cpu & XMIRROR_CPU_OTHER);
	for (i = 0; i < XM_PMD; i += XM_PAGE)
		wrong += XM_LOAD(p + i) != 0x33;
	EXPECT_EQ(0, wrong);
	EXPECT_CLEAN(fd);
	munmap(p, XM_PMD);
	close(fd);
}

TEST_HARNESS_MAIN
