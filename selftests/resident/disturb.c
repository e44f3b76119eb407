// SPDX-License-Identifier: GPL-2.0
/*
 * Changes by the mm of a range that the device holds as a whole, while a job counts on
 * it: the job waits and goes on, and not one addition gets lost. Where a part of the
 * range goes for good, restoring it ends with an error that jobs are told.
 */
#include <sys/wait.h>

#include "fixture.h"

#define ROUNDS	20

#define BEGIN(fence) \
	do { \
		(fence) = endless(self->fd, XMIRROR_OP_ADD, PAGE(5)); \
		ASSERT_NE(0, (fence)); \
		EXPECT_TRUE(works(self->fd)); \
	} while (0)

/* The job has gone on until now, and all of it is there. */
#define END(fence) \
	do { \
		EXPECT_MAPPED(); \
		EXPECT_TRUE(works(self->fd)); \
		EXPECT_EQ(6 + ENDED(fence), XM_LOAD(PAGE(5))); \
		EXPECT_NO_FAULTS(); \
	} while (0)

TEST_F(resident, fork_takes_nothing_from_the_parent)
{
	struct xmirror_resident r;
	__u64 fence;
	int i, status;
	pid_t pid;

	BEGIN(fence);
	for (i = 0; i < ROUNDS; i++) {
		pid = fork();
		ASSERT_LE(0, pid);
		if (!pid) {
			/* The copy stands still, whatever the device does. */
			__u64 was = XM_LOAD(PAGE(5));

			sched_yield();
			_exit(was != XM_LOAD(PAGE(5)) || *PAGE(2) != 3);
		}
		/* The parent goes on in the middle of it. */
		EXPECT_TRUE(works(self->fd));
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		EXPECT_EQ(0, status);
	}
	r = SETTLED(XMIRROR_RESIDENT_MAPPED);
	EXPECT_LE(self->r.restores + ROUNDS, r.restores);
	EXPECT_EQ(r.stops, r.restores + 1);
	END(fence);
}

/* Rights that change and change back, and never forbid anything */
static int storm(struct worker *w)
{
	unsigned long i;
	int err = 0;

	for (i = 0; i < w->arg && !err; i++)
		err = mprotect(w->addr, w->len, PROT_READ | PROT_WRITE |
			       (i % 2 ? 0 : PROT_EXEC)) ? -errno : 0;
	return err;
}

TEST_F(resident, storm_of_mprotect_ends_mapped)
{
	struct worker w = { .fn = storm, .addr = PAGE(3), .len = XM_PAGE,
			    .arg = 10 * ROUNDS };
	struct xmirror_stats before, after;
	__u64 fence;

	BEGIN(fence);
	ASSERT_EQ(0, xm_stats(self->fd, &before));
	ASSERT_EQ(0, worker_start(&w));
	EXPECT_EQ(0, worker_join(&w));
	ASSERT_EQ(0, xm_stats(self->fd, &after));
	EXPECT_LE(before.inv[XM_EV_PROTECTION_VMA] + 10 * ROUNDS,
		  after.inv[XM_EV_PROTECTION_VMA]);
	EXPECT_LT(self->r.restores, SETTLED(XMIRROR_RESIDENT_MAPPED).restores);
	END(fence);
}

TEST_F(resident, storm_elsewhere_stops_nothing)
{
	struct worker w = { .fn = storm, .addr = self->other, .len = XM_PAGE,
			    .arg = 10 * ROUNDS };
	struct xmirror_resident r;
	__u64 fence;

	BEGIN(fence);
	ASSERT_EQ(0, worker_start(&w));
	EXPECT_EQ(0, worker_join(&w));
	r = SETTLED(XMIRROR_RESIDENT_MAPPED);
	EXPECT_EQ(self->r.stops, r.stops);
	EXPECT_EQ(self->r.runs, r.runs);
	END(fence);
}

/* Rights that go for a while, and come before it is given up */
TEST_F(resident, rights_that_come_back_in_time)
{
	struct xmirror_resident r;
	__u64 fence;
	__u32 id;

	NEED(XMIRROR_CAP_SYNC);
	BEGIN(fence);
	STOP_RESTORE(&id);
	ASSERT_EQ(0, mprotect(PAGE(5), XM_PAGE, PROT_NONE));
	REACHED(id);
	ASSERT_EQ(0, mprotect(PAGE(5), XM_PAGE, PROT_READ | PROT_WRITE));
	RESUME(id);
	r = SETTLED(XMIRROR_RESIDENT_MAPPED);
	EXPECT_EQ(0, r.failures);
	END(fence);
}

/* covers: D16 */
/* A job that waits for the range, and one that comes when it is given up */
TEST_F(resident, hole_suspends_the_range_and_jobs_are_told)
{
	struct xmirror_resident r, later;
	struct xmirror_wait w = {};
	__u64 fence;

	BEGIN(fence);
	ASSERT_EQ(0, munmap(PAGE(3), XM_PAGE));
	EXPECT_EQ(0, xm_wait(self->fd, fence, XM_LONG, &w));
	EXPECT_EQ(-EFAULT, w.status);
	r = SETTLED(XMIRROR_RESIDENT_SUSPENDED);
	EXPECT_EQ(-EFAULT, r.error);
	EXPECT_EQ(self->r.failures + TRIES, r.failures);
	EXPECT_EQ(self->r.restores, r.restores);
	EXPECT_EQ(self->r.stops + 1, r.stops);
	EXPECT_EQ(6 + w.ops, XM_LOAD(PAGE(5)));
	EXPECT_EQ(-EFAULT, xm_add(self->fd, PAGE(5), 1));
	EXPECT_EQ(-EFAULT, xm_read(self->fd, PAGE(0), &fence, 8));
	EXPECT_EQ(6 + w.ops, XM_LOAD(PAGE(5)));
	EXPECT_NO_FAULTS();
	/* The queues run. */
	EXPECT_EQ(0, xm_op(self->fd, XMIRROR_OP_STORE, 8, self->other, 8, NULL));

	/* It is final: neither what goes nor what comes is looked at. */
	DROP(6);
	ASSERT_EQ(PAGE(3), mmap(PAGE(3), XM_PAGE, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	later = SETTLED(XMIRROR_RESIDENT_SUSPENDED);
	EXPECT_EQ(r.runs, later.runs);
	EXPECT_EQ(r.stops, later.stops);
	EXPECT_EQ(-EFAULT, xm_add(self->fd, PAGE(5), 1));
}

/* covers: D16 */
TEST_F(resident, removing_the_range_with_the_hole_cures)
{
	__u64 before;

	ASSERT_EQ(0, munmap(PAGE(3), XM_PAGE));
	SETTLED(XMIRROR_RESIDENT_SUSPENDED);
	ASSERT_EQ(0, resident_remove(self->fd, self->p, SIZE));
	EXPECT_EQ(0, xm_op(self->fd, XMIRROR_OP_LOAD, 8, PAGE(5), 0, &before));
	EXPECT_EQ(6, before);
	EXPECT_EQ(-EFAULT, resident_add(self->fd, self->p, SIZE,
					XMIRROR_RESIDENT_WRITE));
	ASSERT_EQ(0, resident_add(self->fd, self->p, 3 * XM_PAGE,
				  XMIRROR_RESIDENT_WRITE));
	ASSERT_EQ(0, resident_add(self->fd, PAGE(4), (PAGES - 4) * XM_PAGE,
				  XMIRROR_RESIDENT_WRITE));
	EXPECT_EQ(PAGES - 1, mapped(self->fd, self->p, PAGES));
	EXPECT_EQ(0, xm_add(self->fd, PAGE(5), 1));
	EXPECT_EQ(7, XM_LOAD(PAGE(5)));
	EXPECT_EQ(-EFAULT, xm_add(self->fd, PAGE(3), 1));
}

/* The hole is all of it. */
TEST_F(resident, unmapped_range_is_suspended)
{
	ASSERT_EQ(0, munmap(self->p, SIZE));
	EXPECT_EQ(-EFAULT, SETTLED(XMIRROR_RESIDENT_SUSPENDED).error);
	ASSERT_EQ(0, resident_remove(self->fd, self->p, SIZE));
}

/* Write permission goes for good. */
TEST_F(resident, memory_that_is_read_only_now_is_suspended)
{
	ASSERT_EQ(0, mprotect(PAGE(7), XM_PAGE, PROT_READ));
	EXPECT_EQ(-EPERM, SETTLED(XMIRROR_RESIDENT_SUSPENDED).error);
	EXPECT_EQ(-EPERM, xm_add(self->fd, PAGE(0), 1));
}

/* The device's own claim to a page takes nothing from the range; its end does. */
TEST_F(resident, exclusive_page_in_the_range)
{
	__u64 fence;

	NEED(XMIRROR_CAP_EXCLUSIVE);
	BEGIN(fence);
	ASSERT_EQ(0, xm_exclusive(self->fd, PAGE(2), XM_PAGE, NULL));
	EXPECT_LEAF(self->fd, PAGE(2), LEAF_EXCL);
	EXPECT_EQ(3, XM_ADD(PAGE(2), 1));
	EXPECT_MAPPED();
	EXPECT_LEAF(self->fd, PAGE(2), LEAF_WRITE);
	EXPECT_LT(self->r.restores, SETTLED(XMIRROR_RESIDENT_MAPPED).restores);
	END(fence);
}

/* Wherever a page of the range is, the device has it. */
TEST_F(resident, page_goes_to_the_device_and_comes_back)
{
	__u64 moved = 0, fence;

	NEED(XMIRROR_CAP_PRIVATE);
	BEGIN(fence);
	ASSERT_EQ(0, xm_migrate(self->fd, PAGE(5), XM_PAGE, 0, 0, &moved));
	ASSERT_EQ(1, moved);
	EXPECT_MAPPED();
	EXPECT_TRUE(xm_is_private(self->fd, PAGE(5)));
	EXPECT_NE(0, xm_page(self->fd, PAGE(5)).dev & XMIRROR_PTE_LOCAL);
	EXPECT_TRUE(works(self->fd));
	EXPECT_NE(0, XM_LOAD(PAGE(5)));
	EXPECT_FALSE(xm_is_private(self->fd, PAGE(5)));
	END(fence);
}

TEST_HARNESS_MAIN
