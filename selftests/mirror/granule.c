// SPDX-License-Identifier: GPL-2.0
/*
 * The granule: leaves are as large as the memory allows, a partial invalidation
 * splits them, and an access never fails because of its neighbours.
 */

#include "settings.h"
#include "test.h"

#define PAGES_2M	(XM_2M / XM_PAGE)
#define SIZES	(XMIRROR_PTE_64K | XMIRROR_PTE_2M)
/* Enough for a huge page. */
#define LEN	(XM_PMD > 4 * XM_2M ? XM_PMD : 4 * XM_2M)

FIXTURE(granule) {
	int fd;
	char *p;
};

FIXTURE_SETUP(granule)
{
	OPEN(self->fd, 0);
	self->p = xm_anon_aligned(LEN, XM_PMD);
	ASSERT_NE(NULL, self->p);
}

FIXTURE_TEARDOWN(granule)
{
	EXPECT_CLEAN(self->fd);
	munmap(self->p, LEN);
	close(self->fd);
}

/* Are all pages of the 2 MiB at @p next to each other, in one folio? */
static bool is_2m(const char *p)
{
	__u64 pfn = xm_pfn(p);

	return xm_kpageflags(pfn) & XM_KPF_THP && !(pfn % PAGES_2M) &&
	       xm_pfn(p + XM_2M - XM_PAGE) == pfn + PAGES_2M - 1;
}

/*
 * Memory of huge pages, or NULL. With pages of 64 KiB those of the CPU are so large that
 * there are rarely any; these are of 2 MiB then, which is all that a leaf needs.
 */
static char *thp(char *p, size_t len)
{
	if (xm_thp_2m() || madvise(p, len, MADV_HUGEPAGE))
		return NULL;
	for (size_t i = 0; i < len; i += XM_PAGE)
		*(volatile __u64 *)(p + i) = i;
	/* Collapse the pages if the fault got no huge page. */
	for (size_t i = 0; i < len; i += XM_PMD) {
		if (!(xm_kpageflags(xm_pfn(p + i)) & XM_KPF_THP))
			xm_collapse(p + i);
	}
	for (size_t i = 0; i < len; i += XM_2M) {
		if (!is_2m(p + i))
			return NULL;
	}
	return p;
}

/* The device reads a word of each page; the number of device faults it took. */
static __u64 touch(int fd, char *p, size_t len, int *err)
{
	struct xmirror_cmd cmd = xm_cmds(XMIRROR_OP_LOAD, 8, p, XM_PAGE,
					 len / XM_PAGE, 0);
	__u64 before = xm_stats_of(fd).device_faults;

	*err = xm_run(fd, &cmd, NULL);
	return xm_stats_of(fd).device_faults - before;
}

/* covers: G.leaves */
TEST_F(granule, sizes)
{
	static const __u64 bad[] = { 0, 1, XM_PAGE / 2, 2 * XM_PAGE, 1 << 20,
				     4 << 20 };
	__u64 old;

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		EXPECT_EQ(-EINVAL, xm_set(self->fd, XMIRROR_SET_GRANULE,
					  bad[i], &old));
	}
	ASSERT_EQ(0, xm_set(self->fd, XMIRROR_SET_GRANULE, 65536, &old));
	EXPECT_EQ(XM_PAGE, old);
	ASSERT_EQ(0, xm_set(self->fd, XMIRROR_SET_GRANULE, ~0ULL, &old));
	EXPECT_EQ(65536, old);
	ASSERT_EQ(0, xm_set(self->fd, XMIRROR_SET_GRANULE, XM_PAGE, &old));
	EXPECT_EQ(XM_2M, old);
}

/* covers: G.leaves */
TEST_F(granule, faults_and_bytes_fall_with_it)
{
	__u64 faults[3], bytes[3];
	static const __u64 granule[3] = { XM_PAGE, 65536, XM_2M };
	int err, fd;

	if (!thp(self->p, LEN))
		XM_SKIP(return, "%s", xm_why_no_thp());
	for (int i = 0; i < 3; i++) {
		OPEN(fd, 0);
		ASSERT_EQ(0, xm_set(fd, XMIRROR_SET_GRANULE, granule[i], NULL));
		faults[i] = touch(fd, self->p, LEN, &err);
		bytes[i] = xm_stats_of(fd).table_bytes;
		EXPECT_EQ(0, err);
		EXPECT_CLEAN(fd);
		close(fd);
	}
	EXPECT_EQ(LEN / XM_PAGE, faults[0]);
	EXPECT_EQ(LEN / 65536, faults[1]);
	EXPECT_EQ(LEN / XM_2M, faults[2]);
	EXPECT_LE(faults[2], faults[0] / (XM_2M / XM_PAGE / 2));
	EXPECT_LE(bytes[0], 10 * (LEN / XM_PAGE));
	/* Leaves of 2 MiB need no table, only the entry for one. */
	EXPECT_LT(bytes[2], XM_PAGE);
}

/* Over a whole piece of page table, which is made at once. */
/* covers: G.leaves */
TEST_F(granule, table_takes_a_400th)
{
	static const __u64 granule[2] = { XM_PAGE, XM_2M };
	const size_t len = 64UL << 20;
	struct xmirror_stats s[2];
	char *p;
	int fd;

	if (xm_facts()->chunk_size > len)
		XM_SKIP(return, "xmirror.ko has chunk_mb above 64");
	p = xm_anon_aligned(len, len);
	ASSERT_NE(NULL, p);
	if (!thp(p, len)) {
		munmap(p, len);
		XM_SKIP(return, "%s", xm_why_no_thp());
	}
	for (int i = 0; i < 2; i++) {
		OPEN(fd, 0);
		ASSERT_EQ(0, xm_set(fd, XMIRROR_SET_GRANULE, granule[i], NULL));
		ASSERT_EQ(0, xm_fault(fd, p, len, 0, NULL));
		s[i] = xm_stats_of(fd);
		EXPECT_EQ(len / granule[i], s[i].leaves);
		/* A leaf is a word, so all of them take at least that. */
		EXPECT_GE(s[i].table_bytes, s[i].leaves * sizeof(long));
		close(fd);
	}
	/* Ten bytes for eight of each page */
	EXPECT_LE(s[1].table_bytes,
		  s[0].table_bytes / (XM_2M / XM_PAGE * 8 / 10));
	munmap(p, len);
}

/* covers: G.leaves */
TEST_F(granule, large_leaf_splits_once)
{
	struct xmirror_stats before;
	struct xmirror_page page;
	const size_t hole = 20;
	__u64 value;

	if (!thp(self->p, XM_PMD))
		XM_SKIP(return, "%s", xm_why_no_thp());
	ASSERT_EQ(0, xm_set(self->fd, XMIRROR_SET_GRANULE, XM_2M, NULL));
	ASSERT_EQ(0, xm_fault(self->fd, self->p, XM_2M, XMIRROR_FAULT_WRITE,
			      NULL));
	page = xm_page(self->fd, self->p + 5 * XM_PAGE);
	EXPECT_EQ(XMIRROR_PTE_2M, page.dev & SIZES);
	EXPECT_EQ(page.dev_pfn, page.cpu_pfn);
	value = 77;
	ASSERT_EQ(0, xm_write(self->fd, self->p + 8, &value, 8));
	/*
	 * The kernel splits its own huge entry first, if it has one, and announces all
	 * of it (CLEAR), so that the leaf is cleared as a whole. MADV_FREE of a page that
	 * is mapped by a small entry announces that page alone.
	 */
	ASSERT_EQ(0, mprotect(self->p + hole * XM_PAGE, XM_PAGE, PROT_READ));
	ASSERT_EQ(0, xm_read(self->fd, self->p + 8, &value, 8));
	EXPECT_EQ(77, value);
	for (size_t i = 0; i < XM_2M / XM_PAGE; i++) {
		value = ~0ULL;
		ASSERT_EQ(0, xm_read(self->fd, self->p + i * XM_PAGE, &value,
				     8));
		EXPECT_EQ(i * XM_PAGE, value);
		value = i * XM_PAGE;
		EXPECT_EQ(i == hole ? -EPERM : 0,
			  xm_write(self->fd, self->p + i * XM_PAGE, &value, 8));
	}
	before = xm_stats_of(self->fd);
	ASSERT_EQ(0, munmap(self->p + hole * XM_PAGE, XM_PAGE));
	EXPECT_EQ(1, xm_stats_of(self->fd).inv_leaves - before.inv_leaves);
	EXPECT_EQ(before.leaves - 1, xm_stats_of(self->fd).leaves);
	EXPECT_EQ(-EFAULT, xm_read(self->fd, self->p + hole * XM_PAGE, &value,
				   8));
}

/* Unmapping one page of a file mapping clears no more of the leaf than needed. */
/* covers: G.leaves */
TEST_F(granule, file_mapping_splits_in_part)
{
	size_t pages = XM_64K / XM_PAGE, group = pages ? pages : 1;
	struct xmirror_stats before, after;
	struct xmirror_page page;
	char *q;

	q = mmap(NULL, 2 * XM_2M, PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, q);
	munmap(self->p, LEN);
	ASSERT_EQ(self->p, mmap(self->p, LEN, PROT_READ | PROT_WRITE,
				MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	munmap(q, 2 * XM_2M);
	for (size_t i = 0; i < LEN; i += XM_PAGE)
		self->p[i] = 1;
	ASSERT_EQ(0, xm_set(self->fd, XMIRROR_SET_GRANULE, XM_2M, NULL));
	ASSERT_EQ(0, xm_fault(self->fd, self->p, LEN, XMIRROR_FAULT_WRITE,
			      NULL));
	page = xm_page(self->fd, self->p);
	EXPECT_EQ(LEAF_WRITE, page.dev & LEAF_EXCL);
	before = xm_stats_of(self->fd);
	/*
	 * One page in the middle; the contiguous block of 64 KiB around it is
	 * broken up.
	 */
	ASSERT_EQ(0, madvise(self->p + 20 * XM_PAGE, XM_PAGE, MADV_DONTNEED));
	after = xm_stats_of(self->fd);
	EXPECT_EQ(1, after.inv_leaves - before.inv_leaves);
	EXPECT_LE(after.splits - before.splits, 1);
	for (size_t i = 20 - 20 % group; i < 20 - 20 % group + group; i++) {
		page = xm_page(self->fd, self->p + i * XM_PAGE);
		EXPECT_EQ(i == 20 ? 0 : LEAF_WRITE, page.dev & LEAF_EXCL);
		EXPECT_EQ(0, page.dev & SIZES);
	}
}

/* Reads and writes through one leaf for all of it, which is cleared with the mapping */
static void works_by_one_leaf(struct __test_metadata *_metadata, int fd,
			      char *q)
{
	__u64 *last = (__u64 *)(q + XM_2M - 8), value = 77;
	int err;

	XM_STORE((__u64 *)q, 5);
	ASSERT_EQ(0, xm_set(fd, XMIRROR_SET_GRANULE, XM_2M, NULL));
	ASSERT_EQ(0, xm_write(fd, last, &value, 8));
	EXPECT_EQ(XMIRROR_PTE_2M | LEAF_WRITE,
		  xm_page(fd, q).dev & (SIZES | LEAF_EXCL));
	EXPECT_EQ(1, xm_stats_of(fd).leaves);
	EXPECT_EQ(0, touch(fd, q, XM_2M, &err));
	EXPECT_EQ(0, err);
	ASSERT_EQ(0, xm_read(fd, q, &value, 8));
	EXPECT_EQ(5, value);
	EXPECT_EQ(77, XM_LOAD(last));
	XM_STORE(last, 78);
	ASSERT_EQ(0, xm_read(fd, last, &value, 8));
	EXPECT_EQ(78, value);
	EXPECT_EQ(1, xm_stats_of(fd).device_faults);
	EXPECT_CLEAN(fd);
	munmap(q, XM_PMD);
	EXPECT_EQ(0, xm_stats_of(fd).leaves);
}

/* covers: G.leaves */
TEST_F(granule, hugetlb_page_is_one_leaf)
{
	char *q = mmap(NULL, XM_PMD, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);

	if (q == MAP_FAILED)
		XM_SKIP(return, "no hugetlb page: %s", strerror(errno));
	works_by_one_leaf(_metadata, self->fd, q);
}

/* covers: G.leaves */
TEST_F(granule, huge_page_of_a_file_is_one_leaf)
{
	char *q = self->p;
	int file;

	file = memfd_create("xmirror", MFD_CLOEXEC);
	ASSERT_LE(0, file);
	ASSERT_EQ(0, ftruncate(file, XM_PMD));
	ASSERT_EQ(q, mmap(q, XM_PMD, PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_FIXED, file, 0));
	close(file);
	memset(q, 1, XM_PMD);
	if (xm_collapse(q))
		XM_SKIP(return, "MADV_COLLAPSE of a file: Linux 6.1, CONFIG_TRANSPARENT_HUGEPAGE");
	XM_STORE((__u64 *)q, 1);
	if (!(xm_page(self->fd, q).cpu & XMIRROR_CPU_HUGE))
		XM_SKIP(return, "the file's huge page is not mapped as one");
	works_by_one_leaf(_metadata, self->fd, q);
}

/* Sixteen contiguous pages of a huge page that is mapped by small entries */
/* covers: G.leaves */
TEST_F(granule, groups_of_64k)
{
	struct xmirror_stats before, after;
	struct xmirror_page page;
	int err;

	if (XM_PAGE == XM_64K)
		XM_SKIP(return, "pages of 64 KiB");
	if (!thp(self->p, XM_PMD))
		XM_SKIP(return, "%s", xm_why_no_thp());
	/* Split the mapping, not the memory. */
	ASSERT_EQ(0, mprotect(self->p, XM_PAGE, PROT_READ));
	ASSERT_EQ(0, xm_set(self->fd, XMIRROR_SET_GRANULE, 65536, NULL));
	EXPECT_EQ(XM_2M / 65536, touch(self->fd, self->p, XM_2M, &err));
	EXPECT_EQ(0, err);
	/* The first contiguous block has pages with different rights. */
	page = xm_page(self->fd, self->p);
	EXPECT_EQ(0, page.dev & SIZES);
	page = xm_page(self->fd, self->p + 65536);
	EXPECT_EQ(XMIRROR_PTE_64K, page.dev & SIZES);
	before = xm_stats_of(self->fd);
	ASSERT_EQ(0, madvise(self->p + 65536 + XM_PAGE, XM_PAGE,
			     MADV_DONTNEED));
	after = xm_stats_of(self->fd);
	EXPECT_EQ(1, after.inv_leaves - before.inv_leaves);
	EXPECT_EQ(1, after.splits - before.splits);
	page = xm_page(self->fd, self->p + 65536);
	EXPECT_EQ(XMIRROR_PTE_VALID, page.dev & (SIZES | XMIRROR_PTE_VALID));
	page = xm_page(self->fd, self->p + 2 * 65536);
	EXPECT_EQ(XMIRROR_PTE_64K, page.dev & SIZES);
}

/* Contiguous page frames that are not aligned as their addresses are no leaf of 64 KiB. */
/* covers: G.leaves */
TEST_F(granule, group_needs_aligned_frames)
{
	char *q = xm_anon_aligned(2 * 65536, 65536);
	int err;

	ASSERT_NE(NULL, q);
	if (!thp(self->p, XM_PMD))
		XM_SKIP(return, "%s", xm_why_no_thp());
	if (XM_PAGE == 65536)
		XM_SKIP(return, "pages of 64 KiB");
	ASSERT_EQ(q, mremap(self->p + XM_PAGE, 65536, 65536,
			    MREMAP_MAYMOVE | MREMAP_FIXED, q));
	ASSERT_EQ(1, xm_pfn(q) % (65536 / XM_PAGE));
	ASSERT_EQ(xm_pfn(q) + 65536 / XM_PAGE - 1, xm_pfn(q + 65536 - XM_PAGE));
	ASSERT_EQ(0, xm_set(self->fd, XMIRROR_SET_GRANULE, 65536, NULL));
	EXPECT_EQ(1, touch(self->fd, q, 65536, &err));
	EXPECT_EQ(0, err);
	EXPECT_EQ(XMIRROR_PTE_VALID,
		  xm_page(self->fd, q).dev & (SIZES | XMIRROR_PTE_VALID));
	EXPECT_CLEAN(self->fd);
	munmap(q, 2 * 65536);
}

/* A fault leaves the contiguous blocks around it as they are. */
/* covers: G.leaves */
TEST_F(granule, groups_around_a_fault_stay)
{
	char *last = self->p + XM_2M - XM_PAGE;
	struct xmirror_stats before, after;
	int err;

	if (XM_PAGE == XM_64K)
		XM_SKIP(return, "pages of 64 KiB");
	if (!thp(self->p, XM_PMD))
		XM_SKIP(return, "%s", xm_why_no_thp());
	ASSERT_EQ(0, mprotect(self->p, XM_PAGE, PROT_READ));
	ASSERT_EQ(0, madvise(last, XM_PAGE, MADV_DONTNEED));
	ASSERT_EQ(0, xm_set(self->fd, XMIRROR_SET_GRANULE, XM_2M, NULL));
	EXPECT_EQ(1, touch(self->fd, self->p, XM_2M - XM_PAGE, &err));
	EXPECT_EQ(0, err);
	EXPECT_EQ(XMIRROR_PTE_64K,
		  xm_page(self->fd, self->p + 65536).dev & SIZES);
	before = xm_stats_of(self->fd);
	EXPECT_EQ(1, touch(self->fd, last, XM_PAGE, &err));
	EXPECT_EQ(0, err);
	after = xm_stats_of(self->fd);
	EXPECT_EQ(0, after.splits - before.splits);
	EXPECT_EQ(XMIRROR_PTE_64K,
		  xm_page(self->fd, self->p + 65536).dev & SIZES);
}

#define FAILSLAB	"/sys/kernel/debug/failslab/"

static int child_exits(struct child *c, void *arg)
{
	(void)c;
	(void)arg;
	return 0;
}

/*
 * One page of a leaf to read may be written to now, without an invalidation, since the
 * CPU uses it again after a fork. The fault has a table to split the leaf with before
 * it takes the lock under which it cannot wait for memory.
 */
/* covers: G.leaves */
TEST_F(granule, leaf_is_split_without_memory_at_hand)
{
	char *page = self->p + 100 * XM_PAGE;
	struct child c;
	__u64 pfn;
	int err;

	if (access(FAILSLAB "probability", W_OK))
		XM_SKIP(return, "no failslab: needs CONFIG_FAULT_INJECTION_DEBUG_FS");
	if (!thp(self->p, XM_PMD))
		XM_SKIP(return, "%s", xm_why_no_thp());
	/* Small entries for the CPU, of one folio */
	ASSERT_EQ(0, mprotect(self->p, XM_PAGE, PROT_READ));
	ASSERT_EQ(0, mprotect(self->p, XM_PAGE, PROT_READ | PROT_WRITE));
	ASSERT_EQ(0, xm_no_thp(self->p, XM_PMD));
	ASSERT_EQ(0, child_start(&c, child_exits, NULL));
	ASSERT_EQ(0, child_end(&c));
	ASSERT_EQ(0, xm_set(self->fd, XMIRROR_SET_GRANULE, XM_2M, NULL));
	ASSERT_EQ(0, xm_fault(self->fd, page, XM_PAGE, 0, NULL));
	ASSERT_EQ(XMIRROR_PTE_2M | LEAF_READ,
		  xm_page(self->fd, page).dev & (SIZES | LEAF_EXCL));
	pfn = xm_pfn(page);
	*(volatile __u64 *)page = 1;
	if (xm_pfn(page) != pfn)
		XM_SKIP(return, "the kernel copies a page of a huge page that was shared");
	ASSERT_EQ(XMIRROR_PTE_2M | LEAF_READ,
		  xm_page(self->fd, page).dev & (SIZES | LEAF_EXCL));

	ASSERT_EQ(0, xm_set(self->fd, XMIRROR_SET_TIMEOUT, 200, NULL));
	ASSERT_EQ(0, xm_setting(FAILSLAB "verbose", "0"));
	ASSERT_EQ(0, xm_setting(FAILSLAB "times", "-1"));
	/* Those that may wait succeed. */
	ASSERT_EQ(0, xm_setting(FAILSLAB "ignore-gfp-wait", "Y"));
	ASSERT_EQ(0, xm_setting(FAILSLAB "task-filter", "Y"));
	ASSERT_EQ(0, xm_setting("/proc/thread-self/make-it-fail", "1"));
	ASSERT_EQ(0, xm_setting(FAILSLAB "probability", "100"));
	err = xm_fault(self->fd, page, XM_PAGE, XMIRROR_FAULT_WRITE, NULL);
	xm_settings_restore();
	EXPECT_EQ(0, err);
	EXPECT_LEAF(self->fd, page, LEAF_WRITE);
	EXPECT_LEAF(self->fd, page + XM_PAGE, LEAF_READ);
	EXPECT_CLEAN(self->fd);
}

/* Neighbours of an access are not faulted in, and cannot make it fail. */
/* covers: G.leaves */
TEST_F(granule, neighbours_never_fail_an_access)
{
	__u64 value, pages;

	self->p[0] = 1;
	self->p[8 * XM_PAGE] = 2;
	ASSERT_EQ(0, munmap(self->p + 3 * XM_PAGE, XM_PAGE));
	ASSERT_EQ(0, mprotect(self->p + 4 * XM_PAGE, XM_PAGE, PROT_NONE));
	ASSERT_EQ(0, mprotect(self->p + 5 * XM_PAGE, XM_PAGE, PROT_READ));
	ASSERT_EQ(0, xm_set(self->fd, XMIRROR_SET_GRANULE, XM_2M, NULL));
	ASSERT_EQ(0, xm_read(self->fd, self->p, &value, 8));
	EXPECT_EQ(1, value);
	/* Present neighbours are mapped as well, missing ones are not. */
	EXPECT_EQ(XMIRROR_PTE_VALID, xm_page(self->fd, self->p + 8 * XM_PAGE).dev &
		  XMIRROR_PTE_VALID);
	EXPECT_EQ(0, xm_page(self->fd, self->p + XM_PAGE).dev);
	EXPECT_EQ(0, xm_page(self->fd, self->p + 3 * XM_PAGE).dev);
	EXPECT_EQ(0, xm_page(self->fd, self->p + 4 * XM_PAGE).dev);
	EXPECT_EQ(0, xm_pagemap(self->p + XM_PAGE) & XM_PM_PRESENT);
	pages = xm_stats_of(self->fd).leaves;
	EXPECT_EQ(2, pages);
}

/* The same around a page that itself has to be faulted in. */
/* covers: G.leaves, J.asked */
TEST_F(granule, neighbours_of_a_missing_page)
{
	/* An access behind the first page is SIGBUS. */
	int memfd = xm_memfd(self->p, XM_2M);
	__u64 value = 1;

	ASSERT_GE(memfd, 0);
	ASSERT_EQ(0, xm_set(self->fd, XMIRROR_SET_GRANULE, XM_2M, NULL));
	EXPECT_EQ(0, xm_op(self->fd, XMIRROR_OP_LOAD, 8, self->p, 0, &value));
	EXPECT_EQ(0, value);
	close(memfd);

	ASSERT_EQ(0, xm_no_thp(self->p + XM_2M, XM_2M));
	EXPECT_EQ(0, xm_op(self->fd, XMIRROR_OP_STORE, 8,
			   self->p + XM_2M + XM_PAGE, 5, NULL));
	for (size_t i = 0; i < 16; i++)
		EXPECT_EQ(i == 1, xm_is_present(self->p + XM_2M + i * XM_PAGE));
}

/*
 * A page that has become read-only fails the writes to it, and those to no other page of
 * its granule, whether the other one is mapped, missing or was read before.
 */
/* covers: G.leaves, R23 */
TEST_F(granule, read_only_page_fails_no_other)
{
	size_t page[] = { 0, 4, 6, XM_2M / XM_PAGE - 1 }, i;
	char *read_only = self->p + 5 * XM_PAGE, *p;
	__u64 value;

	ASSERT_EQ(0, xm_no_thp(self->p, XM_2M));
	*self->p = 1;
	*read_only = 1;
	ASSERT_EQ(0, xm_set(self->fd, XMIRROR_SET_GRANULE, XM_2M, NULL));
	/* The device has both for writing, and one zero page. */
	ASSERT_EQ(0, xm_op(self->fd, XMIRROR_OP_STORE, 8, self->p, 1, NULL));
	EXPECT_LEAF(self->fd, read_only, LEAF_WRITE);
	ASSERT_EQ(0, xm_read(self->fd, self->p + 4 * XM_PAGE, &value, 8));
	ASSERT_EQ(0, mprotect(read_only, XM_PAGE, PROT_READ));
	for (i = 0; i < ARRAY_SIZE(page); i++) {
		p = self->p + page[i] * XM_PAGE;
		EXPECT_EQ(0, xm_op(self->fd, XMIRROR_OP_STORE, 8, p, i + 2,
				   NULL));
		EXPECT_EQ(i + 2, *(volatile __u64 *)p);
	}
	EXPECT_EQ(-EPERM, xm_op(self->fd, XMIRROR_OP_STORE, 8, read_only, 9,
				NULL));
	EXPECT_EQ(1, *(volatile __u64 *)read_only);
}

/* An atomic on a page of a large leaf makes just that page exclusive. */
/* covers: G.leaves */
TEST_F(granule, exclusive_in_a_large_leaf)
{
	__u64 value;

	NEED(XMIRROR_CAP_EXCLUSIVE_LARGE);
	if (!thp(self->p, XM_PMD))
		XM_SKIP(return, "%s", xm_why_no_thp());
	ASSERT_EQ(0, xm_set(self->fd, XMIRROR_SET_GRANULE, XM_2M, NULL));
	ASSERT_EQ(0, xm_fault(self->fd, self->p, XM_2M, XMIRROR_FAULT_WRITE,
			      NULL));
	ASSERT_EQ(0, xm_add(self->fd, self->p + 7 * XM_PAGE, 1));
	EXPECT_TRUE(xm_is_exclusive(self->p + 7 * XM_PAGE));
	EXPECT_FALSE(xm_is_exclusive(self->p + 8 * XM_PAGE));
	ASSERT_EQ(0, xm_read(self->fd, self->p + 8 * XM_PAGE, &value, 8));
	EXPECT_EQ(8 * XM_PAGE, value);
	EXPECT_EQ(1, xm_count_exclusive(self->p, XM_2M));
	EXPECT_EQ(7 * XM_PAGE + 1, *(volatile __u64 *)(self->p + 7 * XM_PAGE));
}

TEST_HARNESS_MAIN
