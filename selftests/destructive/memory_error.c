// SPDX-License-Identifier: GPL-2.0
/*
 * A memory error in private memory, of a driver that has no answer to one. With
 * CONFIG_FS_DAX memory_failure() takes the page for one of a file and follows what is its
 * anon_vma before it refuses device memory: finding 35. It ends the guest. Not in the list
 * of tests.
 */
#include "raw.h"
#include "test.h"

TEST(memory_error_of_private_memory_is_refused)
{
	__u64 *p = xm_anon(XM_PAGE);
	int fd;

	NEED(XMIRROR_CAP_PRIVATE);
	if (access(XM_HARD_OFFLINE, F_OK))
		XM_SKIP(return, "no CONFIG_MEMORY_FAILURE");
	OPEN(fd, 0);
	ASSERT_NE(NULL, p);
	*p = 5;
	ASSERT_EQ(1, raw_to(fd, p, 1, XMIRROR_RAW_PRIVATE));
	EXPECT_GT(0, xm_memory_error(raw_page(fd, p).pfn));
	EXPECT_EQ(5, XM_LOAD(p));
	close(fd);
}

TEST_HARNESS_MAIN
