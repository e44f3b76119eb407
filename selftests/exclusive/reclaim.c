// SPDX-License-Identifier: GPL-2.0
/*
 * E15: reclaim asks the rmap whether a large folio was used, and meets the
 * exclusive entry of one of its pages. folio_referenced_one() takes it for a
 * present one (Linux 7.3.4), and a kernel with CONFIG_DEBUG_VM says so. E14 needs
 * the same reclaim: there is no other way to it.
 */
#include "memory.h"
#include "test.h"

#define FOLIO	(64UL << 10)
#define LEN	(1UL << 20)
/* Of that it is not present, and then that it is of no such folio */
#define SPLAT	"page dumped because: VM_WARN_ON_FOLIO("

#ifndef MAP_DROPPABLE
#define MAP_DROPPABLE	0x08
#endif

TEST(reclaim_of_large_folios_with_an_exclusive_page)
{
	char *p = xm_anon_aligned(LEN, XM_2M);
	unsigned int large = 0;
	int fd, err;
	size_t i;

	NEED(XMIRROR_CAP_EXCLUSIVE);
	NEED(XMIRROR_CAP_EXCLUSIVE_LARGE);
	OPEN(fd, 0);
	ASSERT_NE(NULL, p);
	if (xm_meminfo_kb("SwapTotal") <= 0)
		SKIP(return, "no swap");
	err = conf_thp_64k(true);
	if (err == -ENOENT)
		SKIP(return, "no large folios of 64 KiB: Linux 6.8");
	ASSERT_EQ(0, err);
	ASSERT_EQ(0, madvise(p, LEN, MADV_HUGEPAGE));
	memset(p, 0x11, LEN);
	for (i = 0; i < LEN; i += FOLIO) {
		large += xm_pfn(p + i + XM_PAGE) == xm_pfn(p + i) + 1;
		ASSERT_EQ(0, xm_op(fd, XMIRROR_OP_XCHG, 8,
				   p + i + 7 * XM_PAGE, i, NULL));
	}
	EXPECT_LT(0, large);
	xm_expect_splat(SPLAT);
	for (i = 0; i < 4; i++) {
		ASSERT_EQ(0, conf_reclaim("4M"));
	}
	EXPECT_CLEAN(fd);
	for (i = 0; i < LEN; i += FOLIO) {
		EXPECT_EQ(i, XM_LOAD((__u64 *)(p + i + 7 * XM_PAGE)));
		EXPECT_EQ(0x11, p[i]);
	}
	close(fd);
	conf_thp_64k(false);
	if (conf_log_has(SPLAT))
		CONF_XFAIL(return, "E15: folio_referenced_one() takes the entry for a present one");
}

/*
 * E14: pages that reclaim may drop, unmapped as a batch, and behind them the one
 * that the device has. What it did with the batch's length corrupted counts, which
 * the kernel would say when the memory goes.
 */
TEST(reclaim_of_droppable_folios_that_end_with_an_exclusive_page)
{
	unsigned int large = 0;
	size_t i, kept = 0;
	int fd, err;
	__u64 v;
	char *p;

	NEED(XMIRROR_CAP_EXCLUSIVE);
	NEED(XMIRROR_CAP_EXCLUSIVE_LARGE);
	OPEN(fd, 0);
	p = mmap(NULL, LEN + XM_2M, PROT_READ | PROT_WRITE,
		 MAP_DROPPABLE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		SKIP(return, "MAP_DROPPABLE: Linux 6.11");
	p += -(uintptr_t)p & (XM_2M - 1);
	err = conf_thp_64k(true);
	if (err == -ENOENT)
		SKIP(return, "no large folios of 64 KiB: Linux 6.8");
	ASSERT_EQ(0, err);
	ASSERT_EQ(0, madvise(p, LEN, MADV_HUGEPAGE));
	memset(p, 0x11, LEN);
	ASSERT_EQ(0, madvise(p, LEN, MADV_COLD));
	for (i = 0; i < LEN; i += FOLIO) {
		large += xm_pfn(p + i + XM_PAGE) == xm_pfn(p + i) + 1;
		ASSERT_EQ(0, xm_exclusive(fd, p + i + 15 * XM_PAGE, XM_PAGE,
					  NULL));
	}
	EXPECT_LT(0, large);
	xm_expect_splat(SPLAT);
	for (i = 0; i < 4; i++) {
		ASSERT_EQ(0, conf_reclaim("4M"));
	}
	EXPECT_CLEAN(fd);
	/* Each page is what it was, or empty; some went, or nothing was tried. */
	for (i = 0; i < LEN; i += XM_PAGE) {
		v = XM_LOAD((__u64 *)(p + i));
		EXPECT_TRUE(!v || v == 0x1111111111111111ULL);
		kept += !!v;
	}
	EXPECT_GT(LEN / XM_PAGE, kept);
	EXPECT_EQ(0, munmap(p, LEN));
	close(fd);
	conf_thp_64k(false);
	EXPECT_FALSE(conf_log_has("Bad page state"));
	EXPECT_FALSE(conf_log_has("Bad rss-counter"));
}

TEST_HARNESS_MAIN
