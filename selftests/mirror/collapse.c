// SPDX-License-Identifier: GPL-2.0
/*
 * The kernel copies small pages to a large folio, or maps a file's huge page as one that
 * was mapped by pages. The device loses its leaves of what was mapped, and keeps the
 * pages that it has exclusively or in its memory.
 */
#include "leaves.h"
#include "settings.h"

/*
 * Anonymous memory: khugepaged makes folios of 16 pages
 */

#define THP	"/sys/kernel/mm/transparent_hugepage/"
#define BLOCK	(16 * XM_PAGE)

FIXTURE(anon) {
	int fd;
	char *p;
	char *last;
};

/* Small pages with all leaves. With one not present, half of them have to be young. */
FIXTURE_SETUP(anon)
{
	char path[96];

	self->fd = -1;
	snprintf(path, sizeof(path), THP "hugepages-%zukB/stats/collapse_alloc",
		 BLOCK / 1024);
	if (access(path, F_OK))
		XM_SKIP(return, "khugepaged makes no folios of 16 pages");
	NEED_HUGE_MEMORY(1U);
	OPEN(self->fd, 0);
	self->p = xm_area(XM_PMD, 0);
	ASSERT_NE(NULL, self->p);
	self->last = self->p + XM_PMD - BLOCK;
	xm_fill_pages((__u64 *)self->p, XM_PMD_PAGES);
	ASSERT_EQ(0, xm_fault(self->fd, self->p, XM_PMD, XMIRROR_FAULT_WRITE,
			      NULL));
	ASSERT_EQ(16, count_leaves(self->fd, self->last, BLOCK, LEAF_WRITE));
}

FIXTURE_TEARDOWN(anon)
{
	if (self->fd < 0)
		return;
	EXPECT_CLEAN(self->fd);
	close(self->fd);
}

/* khugepaged takes the blocks in their order up to the last one, and is kept away then. */
static void khugepaged_comes(struct __test_metadata *_metadata,
			     FIXTURE_DATA(anon) *self)
{
	__u64 start = xm_now_ns();

	ASSERT_FALSE(xm_kpageflags(xm_pfn(self->last)) & XM_KPF_THP);
	ASSERT_EQ(0, xm_thp_16_pages());
	ASSERT_EQ(0, xm_khugepaged_eager());
	ASSERT_EQ(0, madvise(self->p, XM_PMD, MADV_HUGEPAGE));
	while (!(xm_kpageflags(xm_pfn(self->last)) & XM_KPF_THP)) {
		ASSERT_FALSE(xm_expired(start, XM_LONG));
		sched_yield();
	}
	ASSERT_EQ(0, xm_no_thp(self->p, XM_PMD));
	xm_settings_restore();
}

/* covers: B.khugepaged */
TEST_F(anon, folio_of_16_pages_takes_their_leaves)
{
	khugepaged_comes(_metadata, self);
	EXPECT_EQ(16, count_leaves(self->fd, self->last, BLOCK, LEAF_NONE));
	EXPECT_CLEAN(self->fd);
	EXPECT_EQ(0, xm_wrong_pages((__u64 *)self->p, XM_PMD_PAGES));
}

/* covers: B.khugepaged */
TEST_F(anon, exclusive_page_stays_with_its_neighbours)
{
	char *block = self->p + 2 * BLOCK, *page = block + 5 * XM_PAGE;

	NEED(XMIRROR_CAP_EXCLUSIVE);
	ASSERT_EQ(0, xm_exclusive(self->fd, page, XM_PAGE, NULL));
	khugepaged_comes(_metadata, self);
	EXPECT_TRUE(xm_is_exclusive(page));
	EXPECT_LEAF(self->fd, page, LEAF_EXCL);
	EXPECT_EQ(15, count_leaves(self->fd, block, BLOCK, LEAF_WRITE));
	EXPECT_EQ(0, xm_wrong_pages((__u64 *)self->p, XM_PMD_PAGES));
}

/* covers: B.khugepaged */
TEST_F(anon, private_page_stays)
{
	char *page = self->p + 2 * BLOCK + 5 * XM_PAGE;
	__u64 moved;

	NEED(XMIRROR_CAP_PRIVATE);
	ASSERT_EQ(0, xm_migrate(self->fd, page, XM_PAGE, 0, 0, &moved));
	ASSERT_EQ(1, moved);
	khugepaged_comes(_metadata, self);
	EXPECT_TRUE(xm_is_private(self->fd, page));
	EXPECT_EQ(0, xm_wrong_pages((__u64 *)self->p, XM_PMD_PAGES));
}

/*
 * The huge page of a file
 */

FIXTURE(file) {
	int fd;
	int file;
	char *p;
};

FIXTURE_SETUP(file)
{
	self->fd = -1;
	NEED_HUGE_MEMORY(1U);
	OPEN(self->fd, 0);
	self->p = xm_area(XM_PMD, 0);
	ASSERT_NE(NULL, self->p);
	self->file = memfd_create("xmirror", MFD_CLOEXEC);
	ASSERT_LE(0, self->file);
	ASSERT_EQ(0, ftruncate(self->file, XM_PMD));
	ASSERT_EQ(self->p, mmap(self->p, XM_PMD, PROT_READ | PROT_WRITE,
				MAP_SHARED | MAP_FIXED, self->file, 0));
	xm_fill_pages((__u64 *)self->p, XM_PMD_PAGES);
	if (xm_collapse(self->p))
		XM_SKIP(return, "MADV_COLLAPSE of a file: Linux 6.1, CONFIG_TRANSPARENT_HUGEPAGE");
}

FIXTURE_TEARDOWN(file)
{
	if (self->fd < 0)
		return;
	EXPECT_CLEAN(self->fd);
	close(self->fd);
}

static bool is_huge(FIXTURE_DATA(file) *self)
{
	return xm_page(self->fd, self->p).cpu & XMIRROR_CPU_HUGE;
}

/* covers: B.collapse */
TEST_F(file, page_that_is_mapped_as_one_takes_all_leaves)
{
	/* Memory of different rights is mapped by pages, and stays so. */
	ASSERT_EQ(0, mprotect(self->p, XM_PAGE, PROT_READ));
	XM_STORE(self->p + XM_PAGE + 8, 1);
	ASSERT_EQ(0, mprotect(self->p, XM_PAGE, PROT_READ | PROT_WRITE));
	ASSERT_EQ(0, xm_fault(self->fd, self->p, XM_PMD, XMIRROR_FAULT_WRITE,
			      NULL));
	ASSERT_EQ(XM_PMD_PAGES,
		  count_leaves(self->fd, self->p, XM_PMD, LEAF_WRITE));
	ASSERT_FALSE(is_huge(self));
	ASSERT_EQ(0, xm_collapse(self->p));
	ASSERT_TRUE(is_huge(self));
	EXPECT_EQ(XM_PMD_PAGES,
		  count_leaves(self->fd, self->p, XM_PMD, LEAF_NONE));
}

/* A copy that the device has is in the way as one of the CPU is. */
static void copy_stays(struct __test_metadata *_metadata,
		       FIXTURE_DATA(file) *self, bool private)
{
	const size_t at = XM_PMD_PAGES / 2;
	__u64 *copy = (__u64 *)(self->p + at * XM_PAGE), moved = 0;

	NEED(private ? XMIRROR_CAP_PRIVATE : XMIRROR_CAP_EXCLUSIVE);
	ASSERT_EQ(self->p, mmap(self->p, XM_PMD, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_FIXED, self->file, 0));
	XM_ADD(copy, 1);
	ASSERT_EQ(0, private ? xm_migrate(self->fd, copy, XM_PAGE, 0, 0, &moved) :
		  xm_exclusive(self->fd, copy, XM_PAGE, NULL));
	ASSERT_TRUE(xm_is_devices(self->fd, copy, private));
	EXPECT_EQ(-EINVAL, xm_collapse(self->p));
	EXPECT_TRUE(xm_is_devices(self->fd, copy, private));
	EXPECT_EQ(xm_page_value(at) + 1, XM_LOAD(copy));
	/* Nothing else was. */
	ASSERT_EQ(0, madvise(copy, XM_PAGE, MADV_DONTNEED));
	EXPECT_EQ(0, xm_collapse(self->p));
	EXPECT_TRUE(is_huge(self));
	EXPECT_EQ(0, xm_wrong_pages((__u64 *)self->p, XM_PMD_PAGES));
}

/* covers: B.collapse */
TEST_F(file, exclusive_copy_stays)
{
	copy_stays(_metadata, self, false);
}

/* covers: B.collapse */
TEST_F(file, private_copy_stays)
{
	copy_stays(_metadata, self, true);
}

TEST_HARNESS_MAIN
