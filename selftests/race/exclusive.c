// SPDX-License-Identifier: GPL-2.0
/*
 * Races in the making of exclusive pages: whatever happens to the page between
 * the first look and the last unlock, the outcome is one that could have come
 * about without the device in between.
 */
#include <sched.h>

#include "raw.h"
#include "uffd.h"
#include "race.h"

FIXTURE(race) {
	RACE_FIELDS;
};

FIXTURE_SETUP(race)
{
	RACE_SETUP();
	NEED(XMIRROR_CAP_SYNC);
	NEED(XMIRROR_CAP_EXCLUSIVE);
}

FIXTURE_TEARDOWN(race)
{
	EXPECT_CLEAN(self->fd);
	close(self->fd);
}

/*
 * Between make_device_exclusive() and the commit of the leaf
 */

/* The entry is there already; what takes it away is seen by the retry check. */
/* covers: T10 */
TEST_F(race, exclusive_dontneed)
{
	STOP_AT(XMIRROR_PT_EXCL_MADE, work_exclusive);
	EXPECT_TRUE(xm_is_exclusive(self->p));
	EXPECT_LEAF(self->fd, self->p, LEAF_NONE);
	EXPECT_EQ(0, RETRIES(excl_retries));
	ASSERT_EQ(0, madvise(self->p, XM_PAGE, MADV_DONTNEED));
	EXPECT_EQ(0, xm_pagemap(self->p) & (XM_PM_PRESENT | XM_PM_SWAP));
	FINISH(0);
	EXPECT_EQ(XM_PAGE, self->op.done);
	/* Not the page of before: the leaf is that of a new, empty one. */
	EXPECT_TRUE(xm_is_exclusive(self->p));
	EXPECT_LEAF(self->fd, self->p, LEAF_EXCL);
	EXPECT_CLEAN(self->fd);
	EXPECT_EQ(1, RETRIES(excl_retries));
	EXPECT_EQ(1, RETRIES(excl_made));
	EXPECT_EQ(0, xm_add(self->fd, self->p, 1));
	EXPECT_EQ(1, *self->p);
	EXPECT_SAME_PAGE(self->p);
	EXPECT_NEIGHBOURS();
}

/* The same under an atomic of a job */
TEST_F(race, atomic_dontneed)
{
	self->op.arg = 10;
	STOP_AT(XMIRROR_PT_EXCL_MADE, work_add);
	ASSERT_EQ(0, madvise(self->p, XM_PAGE, MADV_DONTNEED));
	FINISH(0);
	EXPECT_TRUE(xm_is_exclusive(self->p));
	EXPECT_LEAF(self->fd, self->p, LEAF_EXCL);
	EXPECT_EQ(10, *self->p);
	EXPECT_SAME_PAGE(self->p);
	EXPECT_NEIGHBOURS();
}

/*
 * The page has gone, and its memory is armed with a userfaultfd that nobody serves.
 * To give the page back would wait for it, in a thread of the device, which close()
 * waits for.
 */
TEST_F(race, atomic_dontneed_of_armed)
{
	int uffd = xm_uffd(0);

	if (uffd < 0)
		XM_SKIP(return, "no CONFIG_USERFAULTFD");
	ASSERT_EQ(0, xm_uffd_register(uffd, self->p, XM_PAGE,
				      UFFDIO_REGISTER_MODE_MISSING));
	STOP_AT(XMIRROR_PT_EXCL_MADE, work_add);
	ASSERT_EQ(0, madvise(self->p, XM_PAGE, MADV_DONTNEED));
	FINISH(-EFAULT);
	EXPECT_LEAF(self->fd, self->p, LEAF_NONE);
	EXPECT_EQ(0, xm_pagemap(self->p) & (XM_PM_PRESENT | XM_PM_SWAP));
	close(uffd);
	EXPECT_NEIGHBOURS();
}

/*
 * The call passes the entry, which stays. To make it again would fault it back,
 * an invalidation that undoes the next attempt, and so on: first give it back.
 */
TEST_F(race, exclusive_lazyfree)
{
	STOP_AT(XMIRROR_PT_EXCL_MADE, work_exclusive);
	ASSERT_EQ(0, madvise(self->p, XM_PAGE, MADV_FREE));
	EXPECT_TRUE(xm_is_exclusive(self->p));
	FINISH(0);
	EXPECT_TRUE(xm_is_exclusive(self->p));
	EXPECT_LEAF(self->fd, self->p, LEAF_EXCL);
	EXPECT_EQ(1, RETRIES(excl_retries));
	EXPECT_EQ(0, xm_add(self->fd, self->p, 1));
	EXPECT_EQ(6, *self->p);
	EXPECT_SAME_PAGE(self->p);
	EXPECT_NEIGHBOURS();
}

/* Twice in a row */
TEST_F(race, exclusive_dontneed_twice)
{
	__u64 retries = RETRIES(excl_retries);
	__u32 again;

	STOP_AT(XMIRROR_PT_EXCL_MADE, work_exclusive);
	ASSERT_EQ(0, xm_sync_arm(self->fd, XMIRROR_PT_EXCL_MADE, self->p,
				 XM_PAGE, &again));
	ASSERT_EQ(0, madvise(self->p, XM_PAGE, MADV_DONTNEED));
	GO_ON();
	/* The second attempt, and its page is lost, too. */
	ASSERT_EQ(0, xm_sync_reached(self->fd, again, XM_LONG));
	ASSERT_EQ(0, madvise(self->p, XM_PAGE, MADV_DONTNEED));
	self->id = again;
	FINISH(0);
	EXPECT_EQ(retries + 2, RETRIES(excl_retries));
	EXPECT_TRUE(xm_is_exclusive(self->p));
	EXPECT_EQ(0, *self->p);
	EXPECT_SAME_PAGE(self->p);
}

/* Only a neighbour goes: nothing that concerns this page. */
TEST_F(race, exclusive_neighbour_dontneed)
{
	STOP_AT(XMIRROR_PT_EXCL_MADE, work_exclusive);
	ASSERT_EQ(0, madvise(self->all, XM_PAGE, MADV_DONTNEED));
	ASSERT_EQ(0, madvise(self->p + WORDS, XM_PAGE, MADV_DONTNEED));
	FINISH(0);
	EXPECT_TRUE(xm_is_exclusive(self->p));
	EXPECT_LEAF(self->fd, self->p, LEAF_EXCL);
	EXPECT_EQ(5, *self->p);
	EXPECT_SAME_PAGE(self->p);
}

/* After the commit, with the locks still held, the leaf itself has to go. */
TEST_F(race, committed_dontneed)
{
	STOP_AT(XMIRROR_PT_EXCL_COMMITTED, work_exclusive);
	EXPECT_TRUE(xm_is_exclusive(self->p));
	EXPECT_LEAF(self->fd, self->p, LEAF_EXCL);
	ASSERT_EQ(0, madvise(self->p, XM_PAGE, MADV_DONTNEED));
	EXPECT_LEAF(self->fd, self->p, LEAF_NONE);
	EXPECT_CLEAN(self->fd);
	FINISH(0);
	EXPECT_LEAF(self->fd, self->p, LEAF_NONE);
	EXPECT_EQ(0, *self->p);
	EXPECT_SAME_PAGE(self->p);
	EXPECT_NEIGHBOURS();
}

/* The points of a request at which no lock is held */

TEST_F(race, exclusive_begin_dontneed)
{
	STOP_AT(XMIRROR_PT_EXCL_BEGIN, work_exclusive);
	EXPECT_FALSE(xm_is_exclusive(self->p));
	ASSERT_EQ(0, madvise(self->p, XM_PAGE, MADV_DONTNEED));
	FINISH(0);
	/* Before the walk began: no reason to do it twice. */
	EXPECT_EQ(0, RETRIES(excl_retries));
	EXPECT_LEAF(self->fd, self->p, LEAF_EXCL);
	EXPECT_EQ(0, *self->p);
	EXPECT_SAME_PAGE(self->p);
}

TEST_F(race, exclusive_begin_munmap)
{
	STOP_AT(XMIRROR_PT_EXCL_BEGIN, work_exclusive);
	ASSERT_EQ(0, munmap(self->p, XM_PAGE));
	FINISH(-EFAULT);
	EXPECT_EQ(0, self->op.done);
	EXPECT_LEAF(self->fd, self->p, LEAF_NONE);
	EXPECT_NEIGHBOURS();
}

TEST_F(race, exclusive_done_touch)
{
	STOP_AT(XMIRROR_PT_EXCL_DONE, work_exclusive);
	EXPECT_LEAF(self->fd, self->p, LEAF_EXCL);
	EXPECT_EQ(5, XM_LOAD(self->p));
	EXPECT_FALSE(xm_is_exclusive(self->p));
	EXPECT_LEAF(self->fd, self->p, LEAF_NONE);
	FINISH(0);
	EXPECT_LEAF(self->fd, self->p, LEAF_NONE);
	EXPECT_SAME_PAGE(self->p);
}

/* An atomic whose page is taken away right before its access */
TEST_F(race, atomic_done_touch)
{
	self->op.arg = 100;
	STOP_AT(XMIRROR_PT_EXCL_DONE, work_add);
	XM_ADD(self->p, 1000);
	FINISH(0);
	EXPECT_EQ(1105, *self->p);
	EXPECT_SAME_PAGE(self->p);
}

TEST_F(race, atomic_done_munmap)
{
	int err;

	self->op.arg = 100;
	STOP_AT(XMIRROR_PT_EXCL_DONE, work_add);
	ASSERT_EQ(0, munmap(self->p, XM_PAGE));
	GO_ON();
	/* It may have been done under the locks before; no later. */
	err = worker_join(&self->op);
	EXPECT_TRUE(err == 0 || err == -EFAULT);
	EXPECT_EQ(self->p, mmap(self->p, XM_PAGE, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
				0));
	EXPECT_EQ(0, *self->p);
	EXPECT_NEIGHBOURS();
}

/* A call waits for mmap_lock or the folio lock while the device is in the window. */

FIXTURE(locked) {
	RACE_FIELDS;
};

FIXTURE_VARIANT(locked) {
	enum xmirror_point point;
};

FIXTURE_VARIANT_ADD(locked, made) { .point = XMIRROR_PT_EXCL_MADE };
FIXTURE_VARIANT_ADD(locked, committed) { .point = XMIRROR_PT_EXCL_COMMITTED };

FIXTURE_SETUP(locked)
{
	RACE_SETUP();
	NEED(XMIRROR_CAP_SYNC);
	NEED(XMIRROR_CAP_EXCLUSIVE);
}

FIXTURE_TEARDOWN(locked)
{
	EXPECT_CLEAN(self->fd);
	close(self->fd);
}

/* covers: A.errors */
TEST_F(locked, munmap)
{
	STOP_AT(variant->point, work_exclusive);
	PEND(work_munmap, SYS_munmap);
	FINISH(0);
	EXPECT_EQ(0, worker_join(&self->other));
	EXPECT_LEAF(self->fd, self->p, LEAF_NONE);
	EXPECT_EQ(-EFAULT, xm_add(self->fd, self->p, 1));
	EXPECT_NEIGHBOURS();
}

/* covers: A.errors */
TEST_F(locked, mprotect)
{
	STOP_AT(variant->point, work_exclusive);
	self->other.arg = PROT_READ;
	PEND(work_mprotect, SYS_mprotect);
	FINISH(0);
	EXPECT_EQ(0, worker_join(&self->other));
	EXPECT_EQ(0, xm_page(self->fd, self->p).dev &
		     (XMIRROR_PTE_WRITE | XMIRROR_PTE_EXCLUSIVE));
	EXPECT_CLEAN(self->fd);
	EXPECT_EQ(-EPERM, xm_add(self->fd, self->p, 1));
	EXPECT_EQ(5, *self->p);
	EXPECT_EQ(0, mprotect(self->p, XM_PAGE, PROT_READ | PROT_WRITE));
	EXPECT_SAME_PAGE(self->p);
	EXPECT_NEIGHBOURS();
}

/* The atomic itself comes before or after, and not in between. */
/* covers: A.errors */
TEST_F(locked, atomic_mprotect)
{
	int err;

	self->op.arg = 10;
	STOP_AT(variant->point, work_add);
	self->other.arg = PROT_READ;
	PEND(work_mprotect, SYS_mprotect);
	GO_ON();
	err = worker_join(&self->op);
	EXPECT_EQ(0, worker_join(&self->other));
	EXPECT_TRUE(err == 0 || err == -EPERM);
	EXPECT_EQ(err ? 5 : 15, *self->p);
	EXPECT_EQ(-EPERM, xm_add(self->fd, self->p, 1));
	EXPECT_EQ(err ? 5 : 15, *self->p);
}

/* covers: A.errors */
TEST_F(locked, mremap)
{
	__u64 *to = xm_anon_prot(XM_PAGE, PROT_NONE);

	self->other.to = to;
	STOP_AT(variant->point, work_exclusive);
	PEND(work_mremap, SYS_mremap);
	FINISH(0);
	EXPECT_EQ(0, worker_join(&self->other));
	EXPECT_LEAF(self->fd, self->p, LEAF_NONE);
	EXPECT_LEAF(self->fd, to, LEAF_NONE);
	EXPECT_EQ(-EFAULT, xm_add(self->fd, self->p, 1));
	EXPECT_TRUE(xm_is_exclusive(to));
	EXPECT_EQ(5, *to);
	EXPECT_SAME_PAGE(to);
	EXPECT_NEIGHBOURS();
}

/* A CPU access waits for the folio lock, then ends the exclusive access. */
/* covers: D7, A.errors */
TEST_F(locked, touch)
{
	STOP_AT(variant->point, work_exclusive);
	self->other.arg = 0;
	PEND(work_touch, IN_FAULT);
	FINISH(0);
	EXPECT_EQ(0, worker_join(&self->other));
	EXPECT_EQ(5, self->other.arg);
	EXPECT_CLEAN(self->fd);
	/* Nor has who waited kept the page. */
	EXPECT_UNHELD(self->fd, self->p);
	EXPECT_SAME_PAGE(self->p);
	EXPECT_NEIGHBOURS();
}

/* covers: A.errors */
TEST_F(locked, atomic_touch)
{
	self->op.arg = 10;
	STOP_AT(variant->point, work_add);
	self->other.arg = 100;
	PEND(work_cpu_add, IN_FAULT);
	FINISH(0);
	EXPECT_EQ(0, worker_join(&self->other));
	EXPECT_EQ(115, *self->p);
	EXPECT_UNHELD(self->fd, self->p);
	EXPECT_SAME_PAGE(self->p);
}

/* Another device wants the page: both get it, one after the other. */
/* covers: E6, A.errors */
TEST_F(locked, other_device)
{
	int fd1;

	OPEN(fd1, 1);
	self->op.arg = 10;
	STOP_AT(variant->point, work_add);
	self->other.fd = fd1;
	PEND(work_exclusive, SYS_ioctl);
	FINISH(0);
	EXPECT_EQ(0, worker_join(&self->other));
	EXPECT_EQ(0, xm_add(fd1, self->p, 100));
	/* Not both can have the leaf. */
	EXPECT_CLEAN(fd1);
	EXPECT_CLEAN(self->fd);
	EXPECT_EQ(115, *self->p);
	EXPECT_SAME_PAGE(self->p);
	close(fd1);
}

/*
 * fork() has to wait for mmap_lock. When it gets it the folio must not be
 * locked any more, or it would fail with ENOMEM.
 */
/* covers: A.errors, E.enomem */
TEST_F(locked, fork)
{
	__u64 i;

	STOP_AT(variant->point, work_exclusive);
	self->other.done = 5;
	self->other.arg = 25;
	PEND(work_fork, SYS_clone);
	FINISH(0);
	/* The device writes while the child looks. */
	for (i = 0; i < 20; i++) {
		EXPECT_EQ(0, xm_add(self->fd, self->p, 1));
	}
	EXPECT_EQ(0, worker_join(&self->other));
	EXPECT_EQ(25, *self->p);
	EXPECT_SAME_PAGE(self->p);
	EXPECT_NEIGHBOURS();
}

/* covers: A.errors */
TEST_F(locked, atomic_fork)
{
	self->op.arg = 10;
	STOP_AT(variant->point, work_add);
	self->other.done = 5;
	self->other.arg = 15;
	PEND(work_fork, SYS_clone);
	FINISH(0);
	EXPECT_EQ(0, worker_join(&self->other));
	EXPECT_EQ(15, *self->p);
	EXPECT_SAME_PAGE(self->p);
	EXPECT_NEIGHBOURS();
}

/*
 * MADV_FREE lands between the walk and the conversion of the entry. The page then
 * is clean for the mm although it is exclusive, and only the device knows that it
 * was written.
 */
/* covers: E17a, S3 */
TEST_F(race, dirty_madv_free_in_window)
{
	if (xm_meminfo_kb("SwapTotal") <= 0)
		XM_SKIP(return, "no swap");
	ASSERT_EQ(0, xm_pin_cpu());
	STOP_AT(XMIRROR_PT_INV_OWN, work_exclusive);
	EXPECT_EQ(0, xm_kpageflags(xm_pfn(self->p)) & XM_KPF_DIRTY);
	ASSERT_EQ(0, madvise(self->p, XM_PAGE, MADV_FREE));
	FINISH(0);
	/* Undisturbed, or made again. */
	EXPECT_TRUE(xm_is_exclusive(self->p));
	EXPECT_LEAF(self->fd, self->p, LEAF_EXCL);
	ASSERT_EQ(0, xm_op(self->fd, XMIRROR_OP_XCHG, 8, self->p, 0xd0d0,
			   NULL));
	EXPECT_EQ(0xd0d0, XM_LOAD(self->p));
	EXPECT_NE(0, xm_kpageflags(xm_pfn(self->p)) & XM_KPF_DIRTY);
	ASSERT_EQ(0, xm_pageout(self->p, XM_PAGE));
	EXPECT_EQ(0xd0d0, *self->p);
	EXPECT_NEIGHBOURS();
}

/* The same with other calls in that window */
TEST_F(race, own_event_dontneed)
{
	STOP_AT(XMIRROR_PT_INV_OWN, work_exclusive);
	ASSERT_EQ(0, madvise(self->p, XM_PAGE, MADV_DONTNEED));
	FINISH(0);
	EXPECT_EQ(XM_PAGE, self->op.done);
	EXPECT_LEAF(self->fd, self->p, LEAF_EXCL);
	EXPECT_EQ(0, *self->p);
	EXPECT_SAME_PAGE(self->p);
	EXPECT_NEIGHBOURS();
}

/*
 * The page that was looked up may not be written any more when the entry is to be made:
 * the kernel lets go of it and begins again, which fails.
 */
/* covers: D1 */
TEST_F(race, own_event_write_protection)
{
	int uffd = xm_uffd(UFFD_FEATURE_PAGEFAULT_FLAG_WP);

	if (uffd < 0)
		XM_SKIP(return, "no CONFIG_USERFAULTFD");
	if (!RAW_NEW)
		XM_SKIP(close(uffd); return,
			"a page that is not writable becomes exclusive before Linux 6.15");
	ASSERT_EQ(0, xm_uffd_register(uffd, self->p, XM_PAGE,
				      UFFDIO_REGISTER_MODE_WP));
	EXPECT_UNHELD(self->fd, self->p);
	STOP_AT(XMIRROR_PT_INV_OWN, work_exclusive);
	EXPECT_FALSE(xm_is_exclusive(self->p));
	ASSERT_EQ(0, xm_uffd_wp(uffd, self->p, XM_PAGE, true));
	FINISH(-EFAULT);
	EXPECT_FALSE(xm_is_exclusive(self->p));
	EXPECT_UNHELD(self->fd, self->p);
	ASSERT_EQ(0, xm_uffd_wp(uffd, self->p, XM_PAGE, false));
	EXPECT_EQ(5, *self->p);
	EXPECT_SAME_PAGE(self->p);
	EXPECT_NEIGHBOURS();
	close(uffd);
}

/* Our own event is not a foreign one, and the other way round. */
/* covers: A.events */
TEST_F(race, own_and_foreign)
{
	__u32 own, enter;

	NEED(XMIRROR_CAP_EXCLUSIVE);
	ASSERT_EQ(0, xm_sync_arm(self->fd, XMIRROR_PT_INV_ENTER, self->p,
				 XM_PAGE, &enter));
	ASSERT_EQ(0, xm_exclusive(self->fd, self->p, XM_PAGE, NULL));
	EXPECT_EQ(-ETIMEDOUT, xm_sync_reached(self->fd, enter, 0));
	ASSERT_EQ(0, xm_sync_resume(self->fd, enter, NULL));
	ASSERT_EQ(0, xm_sync_arm(self->fd, XMIRROR_PT_INV_OWN, self->p, XM_PAGE,
				 &own));
	EXPECT_EQ(5, XM_LOAD(self->p));
	EXPECT_EQ(-ETIMEDOUT, xm_sync_reached(self->fd, own, 0));
	ASSERT_EQ(0, xm_sync_resume(self->fd, own, NULL));
}

TEST_HARNESS_MAIN
