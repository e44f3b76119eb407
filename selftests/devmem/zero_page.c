// SPDX-License-Identifier: GPL-2.0
/*
 * Pages of the device take the place of what was empty when the migration began, and of
 * the zero page that somebody has mapped there since: nobody keeps that.
 */
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

TEST_HARNESS_MAIN
