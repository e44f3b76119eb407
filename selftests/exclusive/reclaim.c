// SPDX-License-Identifier: GPL-2.0
/*
 * E15: reclaim asks the rmap whether a large folio was used, and meets the
 * exclusive entry of one of its pages. folio_referenced_one() takes it for a
 * present one (Linux 6.15 to 7.3), and a kernel with CONFIG_DEBUG_VM says so. E14 needs
 * the same reclaim: there is no other way to it.
 */
#include "klog.h"
#include "test.h"

#define FOLIO	(16 * XM_PAGE)
#define LEN	(16 * FOLIO)
/*
 * folio_pte_batch_flags(): that it is not present, and of another folio. The text
 * of the latter has page_folio() expanded. Both may come, with CONFIG_DEBUG_VM, for
 * each of the 16 folios in each of the rounds of reclaim.
 */
#define SPLAT	"page dumped because: VM_WARN_ON_FOLIO\\((" \
		"!pte_present\\(pte\\)|.*pte.* != folio)\\)"

#ifndef MAP_DROPPABLE
#define MAP_DROPPABLE	0x08
#endif

/* Where the report comes. Before 6.15 xmirror takes no page of a large folio. */
static bool is_reported(void)
{
	return xm_kver() <= XM_KVER(7, 3) && klog_has_debug_vm();
}

/* Folios of which reclaim has unmapped all but perhaps the page of the device. */
static size_t reclaimed(const char *p)
{
	size_t i, n = 0;

	for (i = 0; i < LEN; i += FOLIO)
		n += !xm_is_present(p + i) && !xm_is_present(p + i + XM_PAGE);
	return n;
}

/* Until it has taken some of @p */
static int reclaim_rounds(const char *p)
{
	__u64 start = xm_now_ns();
	char bytes[32];
	int i, err = 0;

	snprintf(bytes, sizeof(bytes), "%zu", 4 * LEN);
	if (is_reported())
		klog_expect("0-99999", SPLAT);
	for (i = 0; !err && (i < 4 || !reclaimed(p)); i++)
		err = xm_reclaim_again(start, bytes);
	if (is_reported())
		klog_expected();
	return err == -ETIMEDOUT ? 0 : err;
}

#define EXPECT_NO_REPORT(log) \
	do { \
		bool report_seen = klog_has((log), SPLAT); \
		XM_XFAIL_IF(is_reported(), !report_seen, \
			    "E15: folio_referenced_one() takes the entry for a present one"); \
	} while (0)

/* covers: E15 */
TEST(reclaim_of_large_folios_with_an_exclusive_page)
{
	char *p = xm_anon_aligned(LEN, XM_PMD);
	unsigned int large = 0;
	struct klog log;
	int fd, err;
	size_t i;

	NEED(XMIRROR_CAP_EXCLUSIVE | XMIRROR_CAP_EXCLUSIVE_LARGE);
	NEED(XMIRROR_CAP_RECLAIM_EXCLUSIVE);
	OPEN(fd, 0);
	ASSERT_NE(NULL, p);
	if (xm_meminfo_kb("SwapTotal") <= 0)
		XM_SKIP(return, "no swap");
	err = xm_thp_16_pages();
	if (err == -ENOENT)
		XM_SKIP(return, "no large folios of 16 pages: Linux 6.8");
	ASSERT_EQ(0, err);
	ASSERT_EQ(0, madvise(p, LEN, MADV_HUGEPAGE));
	memset(p, 0x11, LEN);
	ASSERT_EQ(0, xm_reclaim_only(p, LEN));
	for (i = 0; i < LEN; i += FOLIO) {
		large += xm_pfn(p + i + XM_PAGE) == xm_pfn(p + i) + 1;
		ASSERT_EQ(0, xm_op(fd, XMIRROR_OP_XCHG, 8,
				   p + i + 7 * XM_PAGE, i, NULL));
	}
	EXPECT_LT(0, large);
	ASSERT_EQ(0, klog_open(&log));
	ASSERT_EQ(0, reclaim_rounds(p));
	/* Or reclaim has met no entry. */
	EXPECT_LT(0, reclaimed(p));
	EXPECT_CLEAN(fd);
	for (i = 0; i < LEN; i += FOLIO) {
		EXPECT_EQ(i, XM_LOAD((__u64 *)(p + i + 7 * XM_PAGE)));
		EXPECT_EQ(0x11, p[i]);
	}
	close(fd);
	EXPECT_NO_REPORT(&log);
	klog_close(&log);
}

/*
 * E14: reclaim unmaps droppable pages as a batch, which ends at an exclusive entry.
 * A wrong length of the batch corrupted counts, which the kernel reports when the
 * memory is unmapped.
 */
/* covers: E14 */
TEST(reclaim_of_droppable_folios_that_end_with_an_exclusive_page)
{
	unsigned int large = 0;
	struct klog log;
	size_t i, kept = 0;
	int fd, err;
	__u64 v;
	char *p;

	NEED(XMIRROR_CAP_EXCLUSIVE | XMIRROR_CAP_EXCLUSIVE_LARGE);
	NEED(XMIRROR_CAP_RECLAIM_EXCLUSIVE);
	OPEN(fd, 0);
	p = mmap(NULL, LEN + XM_PMD, PROT_READ | PROT_WRITE,
		 MAP_DROPPABLE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		XM_SKIP(return, "MAP_DROPPABLE: Linux 6.11");
	p += -(uintptr_t)p & (XM_PMD - 1);
	err = xm_thp_16_pages();
	if (err == -ENOENT)
		XM_SKIP(return, "no large folios of 16 pages: Linux 6.8");
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
	ASSERT_EQ(0, klog_open(&log));
	ASSERT_EQ(0, reclaim_rounds(p));
	/* Or reclaim has met no entry. */
	EXPECT_LT(0, reclaimed(p));
	EXPECT_CLEAN(fd);
	/* Each page is unchanged or empty, and some are empty, or nothing was tried. */
	for (i = 0; i < LEN; i += XM_PAGE) {
		v = XM_LOAD((__u64 *)(p + i));
		EXPECT_TRUE(!v || v == 0x1111111111111111ULL);
		kept += !!v;
	}
	EXPECT_GT(LEN / XM_PAGE, kept);
	EXPECT_EQ(0, munmap(p, LEN));
	close(fd);
	EXPECT_FALSE(klog_has(&log, "Bad page state"));
	EXPECT_FALSE(klog_has(&log, "Bad rss-counter"));
	EXPECT_NO_REPORT(&log);
	klog_close(&log);
}

/* The state of an exclusive entry, by pagemap alone */
enum { ENTRY_RIGHT, ENTRY_CORRUPT, ENTRY_NOT_MET, ENTRY_FAILED };

/*
 * A child, which must neither touch the page nor fork: with a corrupt entry both
 * can go on for ever. Reclaim only asks whether the page is young.
 */
static int reclaim_meets_entry(void)
{
	__u64 *p = xm_anon(XM_PAGE), before, after, start;
	int fd = xm_open(0), err = 0;

	if (fd < 0 || !p)
		return ENTRY_FAILED;
	*p = 0x11;
	if (xm_reclaim_only(p, XM_PAGE) || xm_exclusive(fd, p, XM_PAGE, NULL) ||
	    !xm_is_exclusive(p))
		return ENTRY_FAILED;
	before = xm_pagemap(p);
	after = before;
	start = xm_now_ns();
	while (!err && after == before) {
		err = xm_reclaim_again(start, "64M");
		after = xm_pagemap(p);
	}
	if (err && err != -ETIMEDOUT)
		return ENTRY_FAILED;
	if (after == before)
		return ENTRY_NOT_MET;
	fprintf(stderr, "# pagemap %#llx became %#llx\n", before, after);
	/* The swap type without its highest bit, and everything else the same */
	return (before ^ after) == 0x10 ? ENTRY_CORRUPT : ENTRY_RIGHT;
}

/* covers: E13 */
TEST(reclaim_leaves_the_swap_type_alone)
{
	struct klog log;
	int status;
	pid_t pid;

	NEED(XMIRROR_CAP_EXCLUSIVE | XMIRROR_CAP_EXCLUSIVE_LARGE);
	if (xm_meminfo_kb("SwapTotal") <= 0)
		XM_SKIP(return, "no swap");
	ASSERT_EQ(0, klog_open(&log));
	/*
	 * At the end of the child: the swap entry, the kernel's WARN_ONCE, the
	 * counts
	 */
	if (xm_reclaim_corrupts()) {
		klog_expect("1", "get_swap_device: Bad swap file entry .*");
		klog_expect("0-1", KLOG_WARNING("swap_put_entries_direct"));
		klog_expect("2", "BUG: Bad rss-counter state .*");
	}
	/* The counts are checked as the last CPU that ran the child runs another mm. */
	ASSERT_EQ(0, xm_pin_cpu());
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid)
		_exit(reclaim_meets_entry());
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_TRUE(WIFEXITED(status));
	if (xm_reclaim_corrupts()) {
		if (WEXITSTATUS(status) == ENTRY_CORRUPT) {
			EXPECT_EQ(0, klog_wait(&log, "BUG: Bad rss-counter state",
					       2));
		}
		klog_expected();
	}
	klog_close(&log);
	ASSERT_NE(ENTRY_FAILED, WEXITSTATUS(status));
	EXPECT_NE(ENTRY_NOT_MET, WEXITSTATUS(status));
	XM_XFAIL_IF(xm_reclaim_corrupts(),
		    WEXITSTATUS(status) == ENTRY_RIGHT,
		    "finding 26: clear-young on an exclusive entry");
}

TEST_HARNESS_MAIN
