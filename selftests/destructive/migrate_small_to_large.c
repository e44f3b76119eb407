// SPDX-License-Identifier: GPL-2.0
/*
 * A small page is told to go to a large folio. migrate_vma_pages() refuses that, and
 * then moves the charge and the mapping of the page all the same: finding 27. With
 * CONFIG_DEBUG_VM this ends the guest; without it the charge of the page is gone and
 * the one of its control group wrong by a huge page but one. Not in the list of tests.
 */
#include "raw.h"
#include "test.h"

TEST(refused_page_keeps_its_charge)
{
	struct xmirror_raw_migrate r = {
		.flags = XMIRROR_RAW_SELECT_SYSTEM | XMIRROR_RAW_UNSAFE,
		.owner = XMIRROR_RAW_POOL,
	};
	struct xmirror_raw_move *moves = calloc(XM_PMD_PAGES, sizeof(*moves));
	__u64 *p;
	int fd;

	NEED(XMIRROR_CAP_PRIVATE | XMIRROR_CAP_PRIVATE_LARGE);
	OPEN(fd, 0);
	p = xm_anon_aligned(XM_PMD, XM_PMD);
	ASSERT_NE(NULL, p);
	ASSERT_NE(NULL, moves);
	XM_STORE(p, 5);
	ASSERT_TRUE(raw_page(fd, p).folio & XMIRROR_FOLIO_CHARGED);
	moves[0].dst = XMIRROR_RAW_PRIVATE_LARGE;
	ASSERT_EQ(0, raw_migrate(fd, p, XM_PMD_PAGES, &r, moves));
	EXPECT_EQ(0, moves[0].pages & XMIRROR_RAW_MIGRATE);
	EXPECT_EQ(5, XM_LOAD(p));
	EXPECT_TRUE(raw_page(fd, p).folio & XMIRROR_FOLIO_CHARGED);
	munmap(p, XM_PMD);
	free(moves);
	close(fd);
}

TEST_HARNESS_MAIN
