// SPDX-License-Identifier: GPL-2.0
/* fork() while a driver holds the folio lock, and the owner of the page after it. */
#include <sys/wait.h>

#define PAGE_NEEDS	XMIRROR_CAP_EXCLUSIVE
#include "page_fixture.h"

/* As a driver that unlocks the folio too late */
static int hold_the_folio(struct worker *w)
{
	struct xmirror_range r = {
		.size = sizeof(r),
		.flags = XMIRROR_EXCLUSIVE_BARE | XMIRROR_EXCLUSIVE_LATE,
		.addr = (uintptr_t)w->addr,
		.length = XM_PAGE,
	};

	return xm_ioctl(w->fd, XMIRROR_IOC_EXCLUSIVE, &r);
}

/* 1 if the child sees @value, 0 if not, -errno without a child */
static int fork_and_look(const __u64 *p, __u64 value)
{
	pid_t pid = fork();
	int status;

	if (pid < 0)
		return -errno;
	if (!pid)
		_exit(XM_LOAD(p) != value);
	return waitpid(pid, &status, 0) == pid ? status : -errno;
}

/* covers: E.enomem */
TEST_F(page, fork_fails_while_a_driver_holds_the_folio)
{
	struct worker w = {
		.fn = hold_the_folio,
		.fd = self->fd,
		.addr = self->p,
	};
	struct xmirror_stats before, after;
	__u32 id;

	ASSERT_EQ(0, xm_pin_cpu());
	*self->p = 5;
	NEED(XMIRROR_CAP_SYNC);
	/* The device watches the address and has no leaf. */
	ASSERT_EQ(0, xm_fault(self->fd, self->p, XM_PAGE, 0, NULL));
	ASSERT_EQ(0, xm_sync_arm(self->fd, XMIRROR_PT_EXCL_DONE, self->p,
				 XM_PAGE, &id));
	ASSERT_EQ(0, worker_start(&w));
	ASSERT_EQ(0, xm_sync_reached(self->fd, id, XM_LONG));
	ASSERT_TRUE(xm_is_exclusive(self->p));
	ASSERT_EQ(0, xm_stats(self->fd, &before));
	EXPECT_EQ(-ENOMEM, fork_and_look(self->p, 5));
	ASSERT_EQ(0, xm_stats(self->fd, &after));
	/* fork() reached the page, and did not change it. */
	EXPECT_LE(1, after.inv[XM_EV_PROTECTION_PAGE] -
		     before.inv[XM_EV_PROTECTION_PAGE]);
	EXPECT_TRUE(xm_is_exclusive(self->p));
	ASSERT_EQ(0, xm_sync_resume(self->fd, id, NULL));
	ASSERT_EQ(0, worker_join(&w));
	EXPECT_TRUE(xm_is_exclusive(self->p));
	EXPECT_EQ(0, fork_and_look(self->p, 5));
	EXPECT_FALSE(xm_is_exclusive(self->p));
	EXPECT_EQ(5, XM_LOAD(self->p));
}

struct seen {
	const __u64 *p;
	__u64 pfn;
};

static int keep_the_page(struct child *c, void *arg)
{
	struct seen *seen = arg;

	CHILD_CHECK(child_hear(c) == 'e');
	CHILD_CHECK(XM_LOAD(seen->p) == 6);
	CHILD_CHECK(xm_pfn(seen->p) == seen->pfn);
	return 0;
}

/* The second writer gets a copy, also if it is the process of the device. */
/* covers: E.keeper */
TEST_F(page, second_writer_after_fork_gets_the_copy)
{
	struct seen seen = { .p = self->p };
	struct child c;

	ASSERT_EQ(0, xm_pin_cpu());
	*self->p = 5;
	ASSERT_EQ(0, xm_add(self->fd, self->p, 1));
	seen.pfn = xm_pfn(self->p);
	ASSERT_NE(0, seen.pfn);
	/*
	 * The child is alive: it keeps the page, and the parent's device gets a
	 * copy.
	 */
	ASSERT_EQ(0, child_start(&c, keep_the_page, &seen));
	EXPECT_EQ(seen.pfn, xm_pfn(self->p));
	ASSERT_EQ(0, xm_add(self->fd, self->p, 1));
	EXPECT_NE(seen.pfn, xm_pfn(self->p));
	EXPECT_EQ(0, child_tell(&c, 'e'));
	EXPECT_EQ(0, child_end(&c));
	EXPECT_EQ(7, XM_LOAD(self->p));
	/* The child has ended when the device writes: nothing is copied. */
	ASSERT_EQ(0, xm_add(self->fd, self->p, 1));
	seen.pfn = xm_pfn(self->p);
	EXPECT_EQ(0, fork_and_look(self->p, 8));
	/* No LRU batch has a reference. */
	ASSERT_EQ(0, xm_drain());
	ASSERT_EQ(0, xm_add(self->fd, self->p, 1));
	EXPECT_EQ(seen.pfn, xm_pfn(self->p));
	EXPECT_EQ(9, XM_LOAD(self->p));
}

TEST_HARNESS_MAIN
