// SPDX-License-Identifier: GPL-2.0
/*
 * Pages of the device take the place of what was empty when the migration began, and of
 * the zero page that somebody has mapped there since: nobody keeps that. What a
 * userfaultfd has protected stays so.
 */
#include "raw.h"
#include "uffd.h"
#define PAGE_NEEDS	(XMIRROR_CAP_PRIVATE | XMIRROR_CAP_SYNC)
#include "page_fixture.h"

#define PAGES	4

/* Two devices, of which one reads each page while all of them go to the other */
TEST_F(page, another_device_loses_the_zero_page)
{
	__u64 *all = xm_anon((PAGES + 1) * XM_PAGE), *p = all + XM_WORDS, v;
	struct worker w = {
		.fn = work_to_device,
		.fd = self->fd,
		.addr = p,
		.len = PAGES * XM_PAGE,
	};
	struct xmirror_page page;
	size_t i;

	ASSERT_NE(NULL, all);
	/* Both have a notifier there: a new one would wait for the migration. */
	*all = 1;
	ASSERT_EQ(0, xm_read(self->fd, all, &v, 8));
	ASSERT_EQ(0, xm_read(self->fd1, all, &v, 8));
	ASSERT_EQ(0, xm_sync_arm(self->fd, XMIRROR_PT_MIGRATE_COPIED, p, w.len,
				 &self->id));
	ASSERT_EQ(0, worker_start(&w));
	ASSERT_EQ(0, xm_sync_reached(self->fd, self->id, XM_LONG));
	for (i = 0; i < PAGES; i++) {
		EXPECT_EQ(0, xm_read(self->fd1, p + i * XM_WORDS, &v, 8));
		page = xm_page(self->fd1, p + i * XM_WORDS);
		EXPECT_TRUE(page.dev & XMIRROR_PTE_VALID);
		EXPECT_TRUE(page.cpu & XMIRROR_CPU_ZERO);
	}
	EXPECT_EQ(0, xm_sync_resume(self->fd, self->id, NULL));
	ASSERT_EQ(0, worker_join(&w));
	EXPECT_EQ(PAGES, w.done);
	for (i = 0; i < PAGES; i++) {
		EXPECT_TRUE(xm_is_private(self->fd, p + i * XM_WORDS));
		EXPECT_EQ(LEAF_NONE, xm_page(self->fd1, p + i * XM_WORDS).dev &
				     XMIRROR_PTE_VALID);
	}
	EXPECT_CLEAN(self->fd1);
	for (i = 0; i < PAGES; i++) {
		v = 7 + i;
		EXPECT_EQ(0, xm_write(self->fd, p + i * XM_WORDS, &v, 8));
		v = 0;
		EXPECT_EQ(0, xm_read(self->fd1, p + i * XM_WORDS, &v, 8));
		EXPECT_EQ(7 + i, v);
	}
	munmap(all, (PAGES + 1) * XM_PAGE);
}

FIXTURE(protected) {
	int fd;
	int uffd;
	size_t len;
	char *p;
};

FIXTURE_VARIANT(protected) {
	bool huge;
};

FIXTURE_VARIANT_ADD(protected, small) {};
FIXTURE_VARIANT_ADD(protected, huge) { .huge = true };

FIXTURE_SETUP(protected)
{
	self->fd = -1;
	NEED(XMIRROR_CAP_PRIVATE);
	if (variant->huge) {
		NEED(XMIRROR_CAP_PRIVATE_LARGE);
		NEED_HUGE_MEMORY(2U);
	}
	OPEN(self->fd, 0);
	self->uffd = xm_uffd(UFFD_FEATURE_PAGEFAULT_FLAG_WP);
	if (self->uffd < 0)
		XM_SKIP(return, "no CONFIG_USERFAULTFD");
	self->len = variant->huge ? XM_PMD : XM_PAGE;
	self->p = xm_anon_aligned(self->len, self->len);
	ASSERT_NE(NULL, self->p);
	if (variant->huge)
		ASSERT_EQ(0, madvise(self->p, self->len, MADV_HUGEPAGE));
	ASSERT_EQ(0, xm_uffd_register(self->uffd, self->p, self->len,
				      UFFDIO_REGISTER_MODE_WP));
}

FIXTURE_TEARDOWN(protected)
{
	if (self->fd < 0)
		return;
	if (self->p)
		munmap(self->p, self->len);
	EXPECT_CLEAN(self->fd);
	close(self->uffd);
	close(self->fd);
}

static void protect_and_move(struct __test_metadata *_metadata, int fd, int uffd, char *p,
			     size_t len)
{
	__u64 moved;

	ASSERT_EQ(0, xm_uffd_wp(uffd, p, len, true));
	ASSERT_TRUE(xm_pagemap(p + len - XM_PAGE) & XM_PM_UFFD_WP);
	ASSERT_EQ(0, xm_migrate(fd, p, len, 0, 0, &moved));
	ASSERT_EQ(len / XM_PAGE, moved);
	ASSERT_TRUE(xm_is_private(fd, p));
}

static bool is_protected(int fd, const char *p)
{
	return xm_pagemap(p) & XM_PM_UFFD_WP &&
	       !(raw_page(fd, p).entry & XMIRROR_ENTRY_WRITE);
}

/* covers: F.private */
TEST_F(protected, written_page_stays_protected)
{
	*self->p = 1;
	protect_and_move(_metadata, self->fd, self->uffd, self->p, self->len);
	EXPECT_TRUE(is_protected(self->fd, self->p));
	EXPECT_EQ(1, XM_LOAD(self->p));
	EXPECT_TRUE(is_protected(self->fd, self->p));
}

/* It has been read only. */
/* covers: F.private, J.zero_page */
TEST_F(protected, zero_page_stays_protected)
{
	EXPECT_EQ(0, XM_LOAD(self->p));
	if (variant->huge &&
	    !(raw_page(self->fd, self->p).entry & XMIRROR_ENTRY_HUGE))
		XM_SKIP(return, "no huge zero page: use_zero_page");
	ASSERT_EQ(0, xm_smaps_kb(self->p, "Rss"));
	protect_and_move(_metadata, self->fd, self->uffd, self->p, self->len);
	XM_XFAIL_IF(true, is_protected(self->fd, self->p),
		    "finding 52: the protection of the zero page is lost");
	EXPECT_EQ(0, XM_LOAD(self->p));
}

TEST_HARNESS_MAIN
