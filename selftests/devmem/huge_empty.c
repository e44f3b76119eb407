// SPDX-License-Identifier: GPL-2.0
/*
 * Memory that nobody has written to goes to the device as a huge page: with the rights of
 * its mapping, not over the head of a userfaultfd that is to fill it, and without a page
 * table left over.
 */
#include <limits.h>
#include <sys/syscall.h>

#include "group.h"
#include "klog.h"
#include "raw.h"
#include "uffd.h"
#define PAGE_NEEDS	(XMIRROR_CAP_PRIVATE | XMIRROR_CAP_PRIVATE_LARGE)
#include "page_fixture.h"

#define PAGES	XM_PMD_PAGES

static size_t not_empty(const __u64 *p)
{
	size_t i, n = 0;

	for (i = 0; i < PAGES; i++)
		n += !!(xm_pagemap(p + i * XM_WORDS) &
			(XM_PM_PRESENT | XM_PM_SWAP));
	return n;
}

TEST_F(page, memory_that_a_userfaultfd_is_to_fill)
{
	__u64 *p = xm_anon_aligned(2 * XM_PMD, XM_PMD), *other, free, moved;
	int uffd = xm_uffd(0);

	if (uffd < 0)
		XM_SKIP(return, "no CONFIG_USERFAULTFD");
	NEED_HUGE_MEMORY(1U);
	ASSERT_NE(NULL, p);
	other = p + PAGES * XM_WORDS;
	ASSERT_EQ(0, xm_uffd_register(uffd, p, XM_PMD,
				      UFFDIO_REGISTER_MODE_MISSING));
	free = xm_devmem_free(self->fd);
	ASSERT_EQ(0, xm_migrate(self->fd, p, XM_PMD, 0, 0, &moved));
	EXPECT_EQ(0, moved);
	EXPECT_EQ(0, not_empty(p));
	EXPECT_EQ(free, xm_devmem_free(self->fd));
	xm_fill_pages(self->p, 1);
	EXPECT_EQ(0, xm_uffd_fill(uffd, p + 7 * XM_WORDS, self->p));
	EXPECT_EQ(1, not_empty(p));
	if (not_empty(p) == 1) {
		EXPECT_EQ(xm_page_value(0), XM_LOAD(p + 7 * XM_WORDS));
	}
	/* What is not the userfaultfd's does move, as a whole. */
	ASSERT_EQ(0, xm_migrate(self->fd, other, XM_PMD, 0, 0, &moved));
	EXPECT_EQ(PAGES, moved);
	EXPECT_EQ(XM_HUGE_PRIVATE,
		  xm_page(self->fd, other).cpu & XM_HUGE_PRIVATE);
	munmap(p, 2 * XM_PMD);
	close(uffd);
}

/* The kernel stores there as a program does: by the page table. */
static int store_by_the_kernel(__u64 *p)
{
	return syscall(SYS_getcpu, p, NULL, NULL) ? -errno : 0;
}

TEST_F(page, read_only_memory)
{
	__u64 *p = xm_anon_aligned(XM_PMD, XM_PMD), moved, v = 77;

	ASSERT_NE(NULL, p);
	NEED_HUGE_MEMORY(1U);
	ASSERT_EQ(0, mprotect(p, XM_PMD, PROT_READ));
	ASSERT_EQ(0, xm_migrate(self->fd, p, XM_PMD, 0, 0, &moved));
	ASSERT_EQ(PAGES, moved);
	EXPECT_EQ(XMIRROR_ENTRY_PRIVATE | XMIRROR_ENTRY_HUGE,
		  raw_page(self->fd, p).entry & ~XMIRROR_ENTRY_SOFT_DIRTY);
	EXPECT_EQ(-EPERM, xm_write(self->fd, p, &v, 8));
	EXPECT_EQ(0, XM_LOAD(p));
	EXPECT_TRUE(xm_is_present(p));
	EXPECT_EQ(0, raw_page(self->fd, p).entry & XMIRROR_ENTRY_WRITE);
	EXPECT_EQ(-EFAULT, store_by_the_kernel(p));
	EXPECT_EQ(0, XM_LOAD(p));
	/* It is the mapping that was in the way. */
	ASSERT_EQ(0, mprotect(p, XM_PMD, PROT_READ | PROT_WRITE));
	EXPECT_EQ(0, store_by_the_kernel(p));
	EXPECT_EQ(0, xm_write(self->fd, p, &v, 8));
	EXPECT_EQ(v, XM_LOAD(p));
	munmap(p, XM_PMD);
}

#define BLOCKS	4
#define ROUNDS	32

/* A page table waits behind the huge zero page already: that of the private page goes. */
TEST_F(page, huge_zero_page_leaves_no_page_table)
{
	char *p = xm_anon_aligned(BLOCKS * XM_PMD, XM_PMD);
	size_t len = BLOCKS * XM_PMD;
	long tables = 0, most;
	int i, round;

	ASSERT_NE(NULL, p);
	if (xm_devmem_free(self->fd) < len / XM_PAGE)
		XM_SKIP(return, "the device has no memory for %d huge pages", BLOCKS);
	if (madvise(p, len, MADV_HUGEPAGE))
		XM_SKIP(return, "%s", xm_why_no_thp());
	for (round = 0; round < ROUNDS; round++) {
		for (i = 0; i < BLOCKS; i++) {
			EXPECT_EQ(0, p[i * XM_PMD]);
		}
		/* One page for all */
		if (!(xm_page(self->fd, p).cpu & XMIRROR_CPU_HUGE) ||
		    xm_pfn(p) != xm_pfn(p + XM_PMD))
			XM_SKIP(return, "no huge zero page: use_zero_page");
		if (!round)
			tables = xm_page_tables_kb(LONG_MAX);
		for (i = 0; i < BLOCKS; i++) {
			MIGRATE_HUGE(self->fd, p + i * XM_PMD);
		}
		ASSERT_EQ(0, madvise(p, len, MADV_DONTNEED));
	}
	/* Less than half of one for each */
	most = tables + ROUNDS * BLOCKS / 2 * XM_PAGE / 1024;
	EXPECT_GE(most, xm_page_tables_kb(most));
	munmap(p, len);
}

/*
 * A huge page of the device in a control group comes back, and half of it is thrown away:
 * reclaim of the group splits it, as any other that is in use in part.
 */
FIXTURE(grouped) {
	struct group g;
	bool entered;
	int fd;
	int owner;	/* the mirror that has it, on the same device */
};

FIXTURE_VARIANT(grouped) {
	bool after;	/* another huge page of the group */
	bool early;	/* half of it goes while the device has it, which then evicts it */
	const char *bug;
};

/* What the others are told from: the group has a list of huge pages to split. */
FIXTURE_VARIANT_ADD(grouped, after_another) { .after = true };

FIXTURE_VARIANT_ADD(grouped, first) {
	.bug = "finding 57: the group has no list of huge pages to split",
};

FIXTURE_VARIANT_ADD(grouped, evicted) {
	.after = true, .early = true,
	.bug = "finding 58: a huge page in part is evicted, and on no list",
};

FIXTURE_SETUP(grouped)
{
	NEED(XMIRROR_CAP_PRIVATE_LARGE);
	NEED_HUGE_MEMORY(3U);
	OPEN(self->fd, 0);
	OPEN(self->owner, 0);
	if (group_make(&self->g, "huge"))
		XM_SKIP(return, "no memory controller of cgroup2");
	ASSERT_EQ(0, group_no_swap(&self->g));
	ASSERT_EQ(0, group_enter(&self->g));
	self->entered = true;
}

FIXTURE_TEARDOWN(grouped)
{
	if (self->entered)
		EXPECT_EQ(0, group_leave(&self->g));
	EXPECT_EQ(0, group_end(&self->g));
	if (!self->entered)
		return;
	EXPECT_CLEAN(self->fd);
	close(self->fd);
	if (!variant->early)
		close(self->owner);
}

#define IS_LARGE(p)	(!!(raw_page(self->fd, (p)).folio & XMIRROR_FOLIO_LARGE))

/* covers: J.deferred */
TEST_F(grouped, huge_page_in_part_is_split_by_reclaim)
{
	const char *warning = KLOG_WARNING("[a-z_]*list_lru[a-z_.0-9]*");
	char *p, *rest, *other = NULL, path[128];
	bool report = !variant->after && klog_has_debug_vm();
	int err;

	if (variant->after) {
		other = xm_thp(self->fd, 0x11);
		if (!other)
			XM_SKIP(return, "%s", xm_why_no_thp());
	}
	p = xm_anon_aligned(XM_PMD, XM_PMD);
	ASSERT_NE(NULL, p);
	rest = p + XM_PMD / 2;
	MIGRATE_HUGE(self->owner, p);
	if (variant->early) {
		ASSERT_EQ(0, madvise(p, XM_PMD / 2, MADV_DONTNEED));
		/* Which evicts what the mirror has */
		ASSERT_EQ(0, close(self->owner));
	} else {
		EXPECT_EQ(0, XM_LOAD(p));
	}
	ASSERT_TRUE(raw_page(self->fd, rest).entry & XMIRROR_ENTRY_PRESENT);
	if (!IS_LARGE(rest))
		XM_SKIP(return, "no huge page for what comes back");
	if (report)
		klog_expect("0-9", warning);
	if (!variant->early)
		ASSERT_EQ(0, madvise(p, XM_PMD / 2, MADV_DONTNEED));
	EXPECT_TRUE(IS_LARGE(rest));
	snprintf(path, sizeof(path), "%s/memory.reclaim", self->g.path);
	err = xm_write_file(path, "4M");
	/* It need not find so much. */
	EXPECT_TRUE(!err || err == -EAGAIN) {
		TH_LOG("memory.reclaim: %d", err);
	}
	XM_XFAIL_IF(!!variant->bug, !IS_LARGE(rest), "%s", variant->bug);
	munmap(p, XM_PMD);
	if (other)
		munmap(other, XM_PMD);
	if (report)
		klog_expected();
}

TEST_HARNESS_MAIN
