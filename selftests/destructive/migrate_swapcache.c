// SPDX-License-Identifier: GPL-2.0
/*
 * A page of the swap cache migrates to the device. __migrate_device_pages() of
 * Linux 6.12.95 takes it out of the swap cache and then goes on with the mapping
 * that it had before: the kernel dies in __folio_migrate_mapping(). Hence this
 * is not one of the tests that run always.
 */
#include "test.h"

TEST(migrate_a_page_of_the_swap_cache)
{
	__u64 *p = xm_anon(XM_PAGE), pfn;
	int fd;

	NEED(XMIRROR_CAP_PRIVATE);
	if (!xm_swaps_to_disk())
		XM_SKIP(return, "no swap on a disk");
	OPEN(fd, 0);
	ASSERT_NE(NULL, p);
	*p = 5;
	ASSERT_EQ(0, xm_pageout(p, XM_PAGE));
	EXPECT_EQ(5, XM_LOAD(p));
	pfn = xm_pfn(p);
	ASSERT_NE(0, pfn);
	if (!(xm_kpageflags(pfn) & XM_KPF_SWAPCACHE))
		XM_SKIP(return, "the page did not stay in the swap cache");
	EXPECT_EQ(0, xm_migrate(fd, p, XM_PAGE, 0, 0, NULL));
	EXPECT_EQ(5, XM_LOAD(p));
	EXPECT_CLEAN(fd);
	close(fd);
}

TEST_HARNESS_MAIN
