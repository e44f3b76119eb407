// SPDX-License-Identifier: GPL-2.0
/*
 * What the entry of a huge private page says beside its page frame: the write protection
 * of a userfaultfd, and soft-dirty. pagemap shows both for each of its pages, and they
 * outlive what happens to the entry.
 *
 * covers: F.private
 */
#include "raw.h"
#include "test.h"
#include "uffd.h"

#define PAGES	XM_PMD_PAGES

FIXTURE(marks) {
	int fd;
	int uffd;
	__u64 *p;
};

FIXTURE_SETUP(marks)
{
	self->fd = -1;
	self->uffd = -1;
	NEED(XMIRROR_CAP_PRIVATE | XMIRROR_CAP_PRIVATE_LARGE);
	OPEN(self->fd, 0);
	self->p = (__u64 *)xm_thp(self->fd, 0);
	if (!self->p)
		XM_SKIP(return, "%s", xm_why_no_thp());
	xm_fill_pages(self->p, PAGES);
}

FIXTURE_TEARDOWN(marks)
{
	if (self->fd < 0)
		return;
	EXPECT_CLEAN(self->fd);
	if (self->p)
		munmap(self->p, XM_PMD);
	close(self->uffd);
	close(self->fd);
}

#define REGISTER_WITH(features) \
	do { \
		self->uffd = xm_uffd(UFFD_FEATURE_PAGEFAULT_FLAG_WP | \
				     (features)); \
		if (self->uffd < 0) \
			XM_SKIP(return, "no write protection by userfaultfd"); \
		ASSERT_EQ(0, xm_uffd_register(self->uffd, self->p, XM_PMD, \
					      UFFDIO_REGISTER_MODE_WP)); \
	} while (0)

/* A write to what it protects fails, as nobody would answer. */
#define REGISTER() REGISTER_WITH(UFFD_FEATURE_SIGBUS)

#define PROTECT(on) \
	ASSERT_EQ(0, xm_uffd_wp(self->uffd, self->p, XM_PMD, (on)))

#define EXPECT_LEVEL(want) \
	EXPECT_EQ((__u32)(want), xm_page(self->fd, self->p).cpu & XM_HUGE_PRIVATE)

/* How many pages pagemap shows with @bit */
static size_t marked(const __u64 *p, __u64 bit)
{
	size_t i, n = 0;

	for (i = 0; i < PAGES; i++)
		n += !!(xm_pagemap(p + i * XM_WORDS) & bit);
	return n;
}

TEST_F(marks, split_keeps_write_protection)
{
	REGISTER();
	PROTECT(true);
	MIGRATE_HUGE(self->fd, self->p);
	EXPECT_EQ(PAGES, marked(self->p, XM_PM_UFFD_WP));
	ASSERT_EQ(0, mprotect(self->p + 7 * XM_WORDS, XM_PAGE, PROT_READ));
	EXPECT_LEVEL(XMIRROR_CPU_PRIVATE);
	EXPECT_EQ(PAGES, marked(self->p, XM_PM_UFFD_WP));
	/* All of it comes back. */
	EXPECT_EQ(0, xm_wrong_pages(self->p, PAGES));
	EXPECT_TRUE(xm_is_present(self->p));
	EXPECT_EQ(PAGES, marked(self->p, XM_PM_UFFD_WP));
	EXPECT_EQ(-EFAULT, xm_poke(self->p, 1));
}

/* The page that goes takes its own protection with it, and no other. */
TEST_F(marks, hole_keeps_write_protection_around_it)
{
	size_t i, wrong = 0;

	REGISTER();
	PROTECT(true);
	MIGRATE_HUGE(self->fd, self->p);
	ASSERT_EQ(0, madvise(self->p + 7 * XM_WORDS, XM_PAGE, MADV_DONTNEED));
	EXPECT_LEVEL(XMIRROR_CPU_PRIVATE);
	EXPECT_EQ(PAGES - 1, marked(self->p, XM_PM_UFFD_WP));
	for (i = 8; i < PAGES; i++)
		wrong += XM_LOAD(self->p + i * XM_WORDS) != xm_page_value(i);
	EXPECT_EQ(0, wrong);
	EXPECT_EQ(PAGES - 1, marked(self->p, XM_PM_UFFD_WP));
}

TEST_F(marks, write_protection_of_a_page_in_the_device)
{
	__u64 v = 77;

	MIGRATE_HUGE(self->fd, self->p);
	REGISTER();
	EXPECT_EQ(0, marked(self->p, XM_PM_UFFD_WP));
	PROTECT(true);
	EXPECT_LEVEL(XM_HUGE_PRIVATE);
	EXPECT_EQ(PAGES, marked(self->p, XM_PM_UFFD_WP));
	PROTECT(false);
	EXPECT_LEVEL(XM_HUGE_PRIVATE);
	EXPECT_EQ(0, marked(self->p, XM_PM_UFFD_WP));
	PROTECT(true);
	EXPECT_EQ(-EFAULT, xm_write(self->fd, self->p, &v, 8));
	EXPECT_EQ(-EFAULT, xm_poke(self->p + 7 * XM_WORDS, v));
	EXPECT_EQ(0, xm_wrong_pages(self->p, PAGES));
	EXPECT_EQ(PAGES, marked(self->p, XM_PM_UFFD_WP));
	PROTECT(false);
	EXPECT_EQ(0, marked(self->p, XM_PM_UFFD_WP));
	EXPECT_EQ(0, xm_write(self->fd, self->p, &v, 8));
	EXPECT_EQ(v, XM_LOAD(self->p));
	EXPECT_EQ(0, xm_poke(self->p, v + 1));
}

#define TELL	(XM_PAGE_IS_WRITTEN | XM_PAGE_IS_SWAPPED)

/* PAGEMAP_SCAN knows it for written, as far as it is not protected. */
TEST_F(marks, scan_says_that_it_is_written)
{
	const __u64 *q = self->p + 7 * XM_WORDS;
	long err;

	REGISTER();
	MIGRATE_HUGE(self->fd, self->p);
	err = xm_scan(self->p, 0, XM_PAGE_IS_SWAPPED, TELL);
	if (err == -ENOTTY)
		XM_SKIP(return, "PAGEMAP_SCAN: Linux 6.7");
	EXPECT_EQ(TELL, err);
	EXPECT_EQ(TELL, xm_scan(q, 0, XM_PAGE_IS_WRITTEN, TELL));
	PROTECT(true);
	EXPECT_LEVEL(XM_HUGE_PRIVATE);
	EXPECT_EQ(XM_PAGE_IS_SWAPPED,
		  xm_scan(self->p, 0, XM_PAGE_IS_SWAPPED, TELL));
	EXPECT_EQ(-ENOENT, xm_scan(q, 0, XM_PAGE_IS_WRITTEN, TELL));
	EXPECT_LEVEL(XM_HUGE_PRIVATE);
}

/* That of the system is protected in the same way first. */
TEST_F(marks, scan_protects_all_of_it)
{
	REGISTER_WITH(XM_UFFD_WP_ASYNC);
	ASSERT_EQ(0, xm_scan_protect_all(self->p, XM_PMD));
	EXPECT_EQ(PAGES, marked(self->p, XM_PM_UFFD_WP));
	PROTECT(false);
	EXPECT_EQ(0, marked(self->p, XM_PM_UFFD_WP));
	MIGRATE_HUGE(self->fd, self->p);
	EXPECT_EQ(0, xm_scan_protect_all(self->p, XM_PMD));
	EXPECT_LEVEL(XM_HUGE_PRIVATE);
	XM_XFAIL_IF(true, marked(self->p, XM_PM_UFFD_WP) == PAGES,
		    "finding 38: PAGEMAP_SCAN protects no huge private page");
}

static int child_is_not_protected(struct child *c, void *arg)
{
	__u64 *p = arg, entry = xm_pagemap(p);

	(void)c;
	/* It has an entry that is not present, that of the device. */
	CHILD_CHECK(entry & XM_PM_SWAP && !(entry & XM_PM_PRESENT));
	CHILD_CHECK(!marked(p, XM_PM_UFFD_WP));
	CHILD_CHECK(!xm_wrong_pages(p, PAGES));
	CHILD_CHECK(xm_is_present(p));
	CHILD_CHECK(!marked(p, XM_PM_UFFD_WP));
	XM_STORE(p, 99);
	return 0;
}

/* The userfaultfd is not the child's, and the protection stays with the parent. */
TEST_F(marks, child_is_not_write_protected)
{
	struct child c;

	REGISTER();
	PROTECT(true);
	MIGRATE_HUGE(self->fd, self->p);
	ASSERT_EQ(0, child_start(&c, child_is_not_protected, self->p));
	EXPECT_EQ(0, child_end(&c));
	EXPECT_EQ(PAGES, marked(self->p, XM_PM_UFFD_WP));
	EXPECT_EQ(0, xm_wrong_pages(self->p, PAGES));
	EXPECT_EQ(-EFAULT, xm_poke(self->p, 1));
}

/* The same for memory that moves away from under the userfaultfd */
TEST_F(marks, mremap_ends_write_protection)
{
	__u64 *to = xm_anon_aligned(XM_PMD, XM_PMD), v = 77;

	ASSERT_NE(NULL, to);
	REGISTER();
	PROTECT(true);
	MIGRATE_HUGE(self->fd, self->p);
	ASSERT_EQ(to, mremap(self->p, XM_PMD, XM_PMD,
			     MREMAP_MAYMOVE | MREMAP_FIXED, to));
	self->p = to;
	EXPECT_LEVEL(XM_HUGE_PRIVATE);
	EXPECT_EQ(0, marked(self->p, XM_PM_UFFD_WP));
	EXPECT_EQ(0, xm_wrong_pages(self->p, PAGES));
	EXPECT_EQ(0, marked(self->p, XM_PM_UFFD_WP));
	EXPECT_EQ(0, xm_write(self->fd, self->p, &v, 8));
	EXPECT_EQ(v, XM_LOAD(self->p));
}

/* Write all of it, and nothing else is soft-dirty: no VMA hides what entries say. */
#define WRITE_AFTER_CLEAR_REFS() \
	do { \
		if (!xm_has_soft_dirty()) \
			XM_SKIP(return, "no CONFIG_MEM_SOFT_DIRTY"); \
		ASSERT_EQ(0, xm_write_file("/proc/self/clear_refs", "4")); \
		ASSERT_EQ(0, marked(self->p, XM_PM_SOFT_DIRTY)); \
		xm_fill_pages(self->p, PAGES); \
	} while (0)

TEST_F(marks, soft_dirty_is_shown)
{
	WRITE_AFTER_CLEAR_REFS();
	MIGRATE_HUGE(self->fd, self->p);
	EXPECT_EQ(PAGES, marked(self->p, XM_PM_SOFT_DIRTY));
	/* It comes back as a whole by a read, which is no write. */
	EXPECT_EQ(0, xm_wrong_pages(self->p, PAGES));
	EXPECT_LEVEL(XMIRROR_CPU_HUGE);
	EXPECT_EQ(PAGES, marked(self->p, XM_PM_SOFT_DIRTY));
}

/* Nobody has written since: nothing is soft-dirty because of the migration. */
TEST_F(marks, migration_makes_nothing_soft_dirty)
{
	WRITE_AFTER_CLEAR_REFS();
	ASSERT_EQ(0, xm_write_file("/proc/self/clear_refs", "4"));
	MIGRATE_HUGE(self->fd, self->p);
	EXPECT_EQ(0, marked(self->p, XM_PM_SOFT_DIRTY));
}

/* A migration of @nr pages that ends before any has moved */
static int migrate_and_abort(int fd, const void *p, size_t nr, __u64 *collected)
{
	static struct xmirror_raw_move moves[XM_PMD_PAGES];
	struct xmirror_raw_migrate r = {
		.flags = XMIRROR_RAW_SELECT_SYSTEM | XMIRROR_RAW_ABORT |
			 (nr > 1 ? XMIRROR_RAW_SELECT_COMPOUND : 0),
		.owner = XMIRROR_RAW_POOL,
	};
	int err;

	memset(moves, 0, sizeof(moves));
	err = raw_migrate(fd, p, nr, &r, moves);
	*collected = r.cpages;
	return err;
}

/* Nor because of one that was given up, of a small page or of a huge one */
/* covers: J.soft_dirty */
TEST_F(marks, page_that_does_not_migrate_is_not_soft_dirty)
{
	__u64 *small = xm_anon(XM_PAGE), pfn, collected;

	ASSERT_NE(NULL, small);
	WRITE_AFTER_CLEAR_REFS();
	*small = 1;
	ASSERT_EQ(0, xm_write_file("/proc/self/clear_refs", "4"));
	ASSERT_FALSE(xm_is_marked(small, XM_PM_SOFT_DIRTY));
	ASSERT_EQ(0, marked(self->p, XM_PM_SOFT_DIRTY));
	EXPECT_EQ(0, migrate_and_abort(self->fd, small, 1, &collected));
	EXPECT_EQ(1, collected);
	EXPECT_FALSE(xm_is_marked(small, XM_PM_SOFT_DIRTY));

	pfn = xm_pfn(self->p);
	EXPECT_EQ(0, migrate_and_abort(self->fd, self->p, PAGES, &collected));
	/* As a whole: the entry is one page of the migration. */
	EXPECT_EQ(1, collected);
	EXPECT_EQ(pfn, xm_pfn(self->p));
	EXPECT_LEVEL(XMIRROR_CPU_HUGE);
	XM_XFAIL_IF(true, !marked(self->p, XM_PM_SOFT_DIRTY),
		    "finding 46: a huge page is soft-dirty that has not moved");
	EXPECT_EQ(0, xm_wrong_pages(self->p, PAGES));
	munmap(small, XM_PAGE);
}

TEST_F(marks, soft_dirty_until_cleared)
{
	WRITE_AFTER_CLEAR_REFS();
	MIGRATE_HUGE(self->fd, self->p);
	EXPECT_EQ(PAGES, marked(self->p, XM_PM_SOFT_DIRTY));
	ASSERT_EQ(0, xm_write_file("/proc/self/clear_refs", "4"));
	EXPECT_LEVEL(XM_HUGE_PRIVATE);
	XM_XFAIL_IF(true, marked(self->p, XM_PM_SOFT_DIRTY) == 0,
		    "finding 38: clear_refs clears no huge private page");
}

/*
 * But for the page that mprotect() has changed: of a private entry the kernel does not
 * keep it (change_softleaf_pte() in mm/mprotect.c).
 */
TEST_F(marks, split_keeps_soft_dirty)
{
	WRITE_AFTER_CLEAR_REFS();
	MIGRATE_HUGE(self->fd, self->p);
	ASSERT_EQ(0, mprotect(self->p + 7 * XM_WORDS, XM_PAGE, PROT_READ));
	EXPECT_LEVEL(XMIRROR_CPU_PRIVATE);
	EXPECT_LE(PAGES - 1, marked(self->p, XM_PM_SOFT_DIRTY));
	EXPECT_EQ(0, xm_wrong_pages(self->p, PAGES));
}

/* Nobody has written since clear_refs, but nothing was at the new address then. */
TEST_F(marks, moved_page_is_soft_dirty)
{
	__u64 *q;

	WRITE_AFTER_CLEAR_REFS();
	q = xm_anon_aligned(XM_PMD, XM_PMD);
	ASSERT_NE(NULL, q);
	ASSERT_EQ(0, xm_write_file("/proc/self/clear_refs", "4"));
	/* That of the system first */
	ASSERT_EQ(q, mremap(self->p, XM_PMD, XM_PMD,
			    MREMAP_MAYMOVE | MREMAP_FIXED, q));
	EXPECT_EQ(PAGES, marked(q, XM_PM_SOFT_DIRTY));
	ASSERT_EQ(0, xm_write_file("/proc/self/clear_refs", "4"));
	MIGRATE_HUGE(self->fd, q);
	EXPECT_EQ(0, marked(q, XM_PM_SOFT_DIRTY));
	ASSERT_EQ(self->p, mremap(q, XM_PMD, XM_PMD,
				  MREMAP_MAYMOVE | MREMAP_FIXED, self->p));
	EXPECT_LEVEL(XM_HUGE_PRIVATE);
	XM_XFAIL_IF(true, marked(self->p, XM_PM_SOFT_DIRTY) == PAGES,
		    "finding 39: mremap() does not tell of a huge private page");
}

/* The page frame in an entry of pagemap that is not present, behind the type */
static __u64 frame(const __u64 *p)
{
	return xm_pagemap(p) << 9 >> 14;
}

TEST_F(marks, pagemap_has_the_frame_of_each_page)
{
	__u64 first;
	size_t i, wrong = 0;

	MIGRATE_HUGE(self->fd, self->p);
	first = xm_private_pfn(self->fd, self->p);
	ASSERT_NE(0, first);
	for (i = 0; i < PAGES; i++)
		wrong += frame(self->p + i * XM_WORDS) != first + i;
	EXPECT_EQ(0, wrong);
	EXPECT_LEVEL(XM_HUGE_PRIVATE);
}

TEST_HARNESS_MAIN
