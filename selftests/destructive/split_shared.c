// SPDX-License-Identifier: GPL-2.0
/*
 * A huge page that fork() has shared goes to small pages of the device. All who share it
 * have an entry of the migration for 2 MiB by then, and migrate_vma_pages() splits that of
 * the caller only: finding 49. The other one gets an entry for 2 MiB that begins at a page
 * of 4 KiB, which the page behind it does not survive. It ends the guest. Not in the list of
 * tests.
 */
#include "raw.h"
#include "test.h"

static int sharer(struct child *c, void *arg)
{
	char *p = arg;
	int fd = xm_open(0);

	CHILD_CHECK(fd >= 0);
	CHILD_CHECK(xm_page(fd, p).cpu & XMIRROR_CPU_HUGE);
	CHILD_CHECK(!child_tell(c, 'm'));
	CHILD_CHECK(child_hear(c) == 'g');
	CHILD_CHECK(!(xm_page(fd, p).cpu & XMIRROR_CPU_HUGE));
	CHILD_CHECK(!xm_wrong_pages((__u64 *)p, XM_PMD_PAGES));
	return 0;
}

/* covers: J.split_shared */
TEST(small_pages_have_small_entries_for_all_who_share_them)
{
	struct worker op = { .len = XM_PMD };
	struct child c;
	char *p;
	int fd;

	NEED(XMIRROR_CAP_PRIVATE_LARGE);
	OPEN(fd, 0);
	p = xm_thp(fd, 0);
	if (!p)
		XM_SKIP(return, "%s", xm_why_no_thp());
	xm_fill_pages((__u64 *)p, XM_PMD_PAGES);
	ASSERT_EQ(0, child_start(&c, sharer, p));
	ASSERT_EQ('m', child_hear(&c));
	op.fd = fd;
	op.addr = p;
	EXPECT_EQ(0, raw_work_to_small(&op));
	EXPECT_EQ(XM_PMD_PAGES, op.done);
	EXPECT_EQ(XMIRROR_CPU_PRIVATE, xm_page(fd, p).cpu & XM_HUGE_PRIVATE);
	EXPECT_EQ(0, child_tell(&c, 'g'));
	EXPECT_EQ(0, child_end(&c));
	EXPECT_EQ(0, xm_wrong_pages((__u64 *)p, XM_PMD_PAGES));
	EXPECT_CLEAN(fd);
	munmap(p, XM_PMD);
	close(fd);
}

TEST_HARNESS_MAIN
