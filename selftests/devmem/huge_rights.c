// SPDX-License-Identifier: GPL-2.0
/*
 * A huge private page that is not to be written to: the device that has it reads it, and
 * does not write to it, just as with small pages.
 */
#include "test.h"

#define PAGES	XM_PMD_PAGES

FIXTURE(rights) {
	int fd;
	__u64 *p;
};

FIXTURE_SETUP(rights)
{
	self->fd = -1;
	NEED(XMIRROR_CAP_PRIVATE | XMIRROR_CAP_PRIVATE_LARGE);
	OPEN(self->fd, 0);
	self->p = (__u64 *)xm_thp(self->fd, 0);
	if (!self->p)
		XM_SKIP(return, "%s", xm_why_no_thp());
	xm_fill_pages(self->p, PAGES);
	MIGRATE_HUGE(self->fd, self->p);
}

FIXTURE_TEARDOWN(rights)
{
	if (self->fd < 0)
		return;
	EXPECT_CLEAN(self->fd);
	if (self->p)
		munmap(self->p, XM_PMD);
	close(self->fd);
}

#define ASSERT_STILL_HUGE() \
	ASSERT_EQ(XM_HUGE_PRIVATE, \
		  xm_page(self->fd, self->p).cpu & XM_HUGE_PRIVATE)

#define EXPECT_READ_ONLY(page) \
	EXPECT_EQ(XMIRROR_PTE_VALID, \
		  xm_page(self->fd, self->p + (page) * XM_WORDS).dev & \
		  (XMIRROR_PTE_VALID | XMIRROR_PTE_WRITE))

TEST_F(rights, read_only_memory)
{
	__u64 v;

	ASSERT_EQ(0, mprotect(self->p, XM_PMD, PROT_READ));
	ASSERT_STILL_HUGE();
	ASSERT_EQ(0, xm_fault(self->fd, self->p, XM_PMD, 0, NULL));
	EXPECT_READ_ONLY(0);
	EXPECT_READ_ONLY(7);
	EXPECT_READ_ONLY(PAGES - 1);
	EXPECT_CLEAN(self->fd);
	v = 77;
	EXPECT_EQ(-EPERM, xm_write(self->fd, self->p, &v, 8));
	EXPECT_EQ(-EPERM, xm_write(self->fd, self->p + 7 * XM_WORDS, &v, 8));
	EXPECT_CLEAN(self->fd);
	EXPECT_EQ(0, xm_wrong_pages(self->p, PAGES));
}

static int child_sees_what_was(struct child *c, void *arg)
{
	CHILD_CHECK(!child_tell(c, 'f'));
	CHILD_CHECK(child_hear(c) == 'w');
	CHILD_CHECK(!xm_wrong_pages(arg, PAGES));
	return 0;
}

/* What the parent's device writes is the parent's alone. */
TEST_F(rights, shared_with_a_child)
{
	__u64 *last = self->p + (PAGES - 1) * XM_WORDS, v = 77;
	struct child c;

	ASSERT_EQ(0, child_start(&c, child_sees_what_was, self->p));
	EXPECT_EQ('f', child_hear(&c));
	ASSERT_STILL_HUGE();
	ASSERT_EQ(0, xm_fault(self->fd, self->p, XM_PMD, 0, NULL));
	EXPECT_READ_ONLY(0);
	EXPECT_CLEAN(self->fd);
	EXPECT_EQ(0, xm_write(self->fd, self->p, &v, 8));
	EXPECT_EQ(0, xm_write(self->fd, last, &v, 8));
	EXPECT_EQ(0, child_tell(&c, 'w'));
	EXPECT_EQ(0, child_end(&c));
	EXPECT_EQ(v, XM_LOAD(self->p));
	EXPECT_EQ(v, XM_LOAD(last));
}

TEST_HARNESS_MAIN
