// SPDX-License-Identifier: GPL-2.0
/*
 * Races of range faults: what happens to the page between the walk and the
 * commit of the leaves, and around them. No lock is held there.
 */
#include <fcntl.h>
#include <sys/syscall.h>

#include "uffd.h"
#include "race.h"

FIXTURE(walked) {
	RACE_FIELDS;
};

FIXTURE_VARIANT(walked) {
	bool write;
};

FIXTURE_VARIANT_ADD(walked, read) { .write = false };
FIXTURE_VARIANT_ADD(walked, write) { .write = true };

/* The fault has walked and found the page. */
FIXTURE_SETUP(walked)
{
	RACE_SETUP();
	NEED(XMIRROR_CAP_SYNC);
	STOP_AT(XMIRROR_PT_FAULT_WALKED,
		variant->write ? work_fault_write : work_fault_read);
	EXPECT_LEAF(self->fd, self->p, LEAF_NONE);
	EXPECT_EQ(0, RETRIES(fault_retries));
}

FIXTURE_TEARDOWN(walked)
{
	EXPECT_CLEAN(self->fd);
	close(self->fd);
}

/* The device reads, or writes, the page that is there now. */
#define EXPECT_DEVICE_SEES(value) \
	do { \
		__u64 sees_value = 0; \
		EXPECT_NE(0, xm_page(self->fd, self->p).dev & \
			     XMIRROR_PTE_VALID); \
		EXPECT_EQ(xm_pfn(self->p), \
			  xm_page(self->fd, self->p).dev_pfn); \
		EXPECT_CLEAN(self->fd); \
		EXPECT_EQ(0, xm_read(self->fd, self->p, &sees_value, 8)); \
		EXPECT_EQ((value), sees_value); \
		sees_value = 0xabc; \
		EXPECT_EQ(0, xm_write(self->fd, self->p, &sees_value, 8)); \
		EXPECT_EQ(0xabc, *self->p); \
		EXPECT_CLEAN(self->fd); \
	} while (0)

TEST_F(walked, undisturbed)
{
	FINISH(0);
	EXPECT_EQ(0, RETRIES(fault_retries));
	EXPECT_DEVICE_SEES(5);
}

TEST_F(walked, dontneed)
{
	ASSERT_EQ(0, madvise(self->p, XM_PAGE, MADV_DONTNEED));
	FINISH(0);
	EXPECT_EQ(1, RETRIES(fault_retries));
	EXPECT_DEVICE_SEES(0);
	EXPECT_NEIGHBOURS();
}

TEST_F(walked, dontneed_refilled)
{
	ASSERT_EQ(0, madvise(self->p, XM_PAGE, MADV_DONTNEED));
	*self->p = 66;
	FINISH(0);
	EXPECT_EQ(1, RETRIES(fault_retries));
	EXPECT_DEVICE_SEES(66);
}

TEST_F(walked, munmap)
{
	ASSERT_EQ(0, munmap(self->p, XM_PAGE));
	FINISH(-EFAULT);
	EXPECT_EQ(0, self->op.done);
	EXPECT_LEAF(self->fd, self->p, LEAF_NONE);
	EXPECT_NEIGHBOURS();
}

TEST_F(walked, remapped)
{
	ASSERT_EQ(0, munmap(self->p, XM_PAGE));
	ASSERT_EQ(self->p, mmap(self->p, XM_PAGE, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
				0));
	*self->p = 77;
	FINISH(0);
	EXPECT_EQ(1, RETRIES(fault_retries));
	EXPECT_DEVICE_SEES(77);
	EXPECT_NEIGHBOURS();
}

TEST_F(walked, mapped_over)
{
	ASSERT_EQ(self->p, mmap(self->p, XM_PAGE, PROT_READ | PROT_WRITE,
				MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1,
				0));
	*self->p = 88;
	FINISH(0);
	EXPECT_DEVICE_SEES(88);
	EXPECT_NEIGHBOURS();
}

TEST_F(walked, moved_away_and_in)
{
	__u64 *from = xm_anon(XM_PAGE);

	ASSERT_NE(NULL, from);
	*from = 99;
	ASSERT_EQ(self->p, mremap(from, XM_PAGE, XM_PAGE,
				  MREMAP_MAYMOVE | MREMAP_FIXED, self->p));
	FINISH(0);
	EXPECT_DEVICE_SEES(99);
	EXPECT_NEIGHBOURS();
}

TEST_F(walked, mprotect_read)
{
	__u64 value = 1;

	ASSERT_EQ(0, mprotect(self->p, XM_PAGE, PROT_READ));
	FINISH(variant->write ? -EPERM : 0);
	EXPECT_EQ(0, xm_page(self->fd, self->p).dev & XMIRROR_PTE_WRITE);
	EXPECT_CLEAN(self->fd);
	EXPECT_EQ(-EPERM, xm_write(self->fd, self->p, &value, 8));
	EXPECT_EQ(5, *self->p);
	EXPECT_NEIGHBOURS();
}

TEST_F(walked, mprotect_none)
{
	ASSERT_EQ(0, mprotect(self->p, XM_PAGE, PROT_NONE));
	FINISH(-EFAULT);
	EXPECT_LEAF(self->fd, self->p, LEAF_NONE);
}

TEST_F(walked, swapped_out)
{
	if (xm_meminfo_kb("SwapTotal") <= 0) {
		FINISH(0);
		XM_SKIP(return, "no swap");
	}
	ASSERT_EQ(0, xm_pageout(self->p, XM_PAGE));
	EXPECT_TRUE(xm_is_swapped(self->p));
	FINISH(0);
	EXPECT_EQ(1, RETRIES(fault_retries));
	EXPECT_DEVICE_SEES(5);
}

/* fork() in the window: a write leaf to the shared page would reach the child */
static int wait_and_look(struct child *c, void *arg)
{
	__u64 *p = arg;

	CHILD_CHECK(child_hear(c) == 'l');
	CHILD_CHECK(XM_LOAD(p) == 5);
	return 0;
}

TEST_F(walked, fork)
{
	struct child c;

	ASSERT_EQ(0, child_start(&c, wait_and_look, self->p));
	FINISH(0);
	/* A copy on write takes another round. */
	EXPECT_LE(1, RETRIES(fault_retries));
	EXPECT_DEVICE_SEES(5);
	ASSERT_EQ(0, child_tell(&c, 'l'));
	EXPECT_EQ(0, child_end(&c));
	EXPECT_NEIGHBOURS();
}

FIXTURE(race) {
	RACE_FIELDS;
};

FIXTURE_SETUP(race)
{
	RACE_SETUP();
	NEED(XMIRROR_CAP_SYNC);
}

FIXTURE_TEARDOWN(race)
{
	EXPECT_CLEAN(self->fd);
	close(self->fd);
}

/* The CPU copies a page on write: the device must not keep the old one. */
static int hold_page(struct child *c, void *arg)
{
	(void)arg;
	return child_hear(c) != 'e';
}

TEST_F(race, walked_cow)
{
	struct child c;
	__u64 value = 0;

	ASSERT_EQ(0, child_start(&c, hold_page, NULL));
	STOP_AT(XMIRROR_PT_FAULT_WALKED, work_fault_read);
	*self->p = 6;
	FINISH(0);
	EXPECT_EQ(1, RETRIES(fault_retries));
	EXPECT_EQ(0, xm_read(self->fd, self->p, &value, 8));
	EXPECT_EQ(6, value);
	EXPECT_CLEAN(self->fd);
	ASSERT_EQ(0, child_tell(&c, 'e'));
	EXPECT_EQ(0, child_end(&c));
}

/* A private page that a child shares is unmapped before its COW is broken. */
TEST_F(race, walked_private_unmapped)
{
	struct child c;
	__u64 moved;

	NEED(XMIRROR_CAP_PRIVATE);
	ASSERT_EQ(0, xm_migrate(self->fd, self->p, XM_PAGE, 0, 0, &moved));
	ASSERT_EQ(1, moved);
	ASSERT_EQ(0, child_start(&c, hold_page, NULL));
	STOP_AT(XMIRROR_PT_FAULT_WALKED, work_fault_write);
	ASSERT_EQ(0, munmap(self->p, XM_PAGE));
	FINISH(-EFAULT);
	ASSERT_EQ(0, child_tell(&c, 'e'));
	EXPECT_EQ(0, child_end(&c));
	EXPECT_NEIGHBOURS();
}

TEST_F(race, walked_truncate)
{
	int memfd = xm_memfd(self->p, XM_PAGE);

	ASSERT_GE(memfd, 0);
	*self->p = 1;
	STOP_AT(XMIRROR_PT_FAULT_WALKED, work_fault_write);
	ASSERT_EQ(0, ftruncate(memfd, 0));
	FINISH(-EFAULT);
	EXPECT_LEAF(self->fd, self->p, LEAF_NONE);
	/* and with the leaf in place */
	ASSERT_EQ(0, ftruncate(memfd, XM_PAGE));
	ASSERT_EQ(0, xm_fault(self->fd, self->p, XM_PAGE, XMIRROR_FAULT_WRITE,
			      NULL));
	ASSERT_EQ(0, ftruncate(memfd, 0));
	EXPECT_LEAF(self->fd, self->p, LEAF_NONE);
	EXPECT_EQ(-EFAULT, xm_op(self->fd, XMIRROR_OP_STORE, 8, self->p, 1,
				 NULL));
	close(memfd);
	EXPECT_NEIGHBOURS();
}

TEST_F(race, walked_hole_punched)
{
	int memfd = xm_memfd(self->p, XM_PAGE);
	__u64 value = 1;

	ASSERT_GE(memfd, 0);
	*self->p = 1;
	STOP_AT(XMIRROR_PT_FAULT_WALKED, work_fault_write);
	ASSERT_EQ(0, fallocate(memfd, FALLOC_FL_PUNCH_HOLE |
			       FALLOC_FL_KEEP_SIZE, 0, XM_PAGE));
	FINISH(0);
	EXPECT_EQ(0, xm_read(self->fd, self->p, &value, 8));
	EXPECT_EQ(0, value);
	EXPECT_EQ(0, xm_op(self->fd, XMIRROR_OP_STORE, 8, self->p, 2, NULL));
	EXPECT_EQ(8, pread(memfd, &value, 8, 0));
	EXPECT_EQ(2, value);
	close(memfd);
}

/* Two faults of one page: the loser of the race changes nothing. */
TEST_F(walked, fault_twice)
{
	ASSERT_EQ(0, xm_fault(self->fd, self->p, XM_PAGE, XMIRROR_FAULT_WRITE,
			      NULL));
	EXPECT_LEAF(self->fd, self->p, LEAF_WRITE);
	FINISH(0);
	EXPECT_LEAF(self->fd, self->p, LEAF_WRITE);
	EXPECT_DEVICE_SEES(5);
}

/* The page becomes exclusive meanwhile: the fault must not undo it half. */
TEST_F(walked, becomes_exclusive)
{
	NEED(XMIRROR_CAP_EXCLUSIVE);
	ASSERT_EQ(0, xm_add(self->fd, self->p, 1));
	ASSERT_TRUE(xm_is_exclusive(self->p));
	FINISH(0);
	EXPECT_CLEAN(self->fd);
	EXPECT_DEVICE_SEES(6);
	EXPECT_SAME_PAGE(self->p);
}

/* Before the walk there is nothing to throw away. */
TEST_F(race, fault_begin)
{
	STOP_AT(XMIRROR_PT_FAULT_BEGIN, work_fault_write);
	ASSERT_EQ(0, madvise(self->p, XM_PAGE, MADV_DONTNEED));
	FINISH(0);
	EXPECT_EQ(0, RETRIES(fault_retries));
	EXPECT_LEAF(self->fd, self->p, LEAF_WRITE);
	EXPECT_EQ(0, *self->p);
}

static int work_load(struct worker *w)
{
	return xm_op(w->fd, XMIRROR_OP_LOAD, 8, w->addr, 0, NULL);
}

/* The page before this one goes before the walk: nothing to begin anew for. */
TEST_F(race, locked_neighbour_goes)
{
	STOP_AT(XMIRROR_PT_FAULT_LOCKED, work_fault_write);
	ASSERT_EQ(0, madvise(self->all, XM_PAGE, MADV_DONTNEED));
	FINISH(0);
	EXPECT_EQ(0, RETRIES(fault_retries));
	EXPECT_LEAF(self->fd, self->p, LEAF_WRITE);
	EXPECT_CLEAN(self->fd);
}

static bool both_end(struct worker *a, struct worker *b)
{
	__u64 start = xm_now_ns();

	while (!worker_ended(a) || !worker_ended(b)) {
		if (xm_expired(start, XM_LONG / 3))
			return false;
		sched_yield();
	}
	return true;
}

/*
 * The walk, which holds mmap_lock, is about to come to a missing page that is armed
 * with a userfaultfd. Its close() waits for that lock, and the walk must not wait for
 * the close.
 */
/* covers: J.uffd_closes */
TEST_F(race, locked_uffd_closes)
{
	int memfd, err, uffd = xm_uffd(0);
	bool end;

	if (uffd < 0)
		XM_SKIP(return, "no userfaultfd: %s", strerror(-uffd));
	self->p = xm_anon_aligned(2 * XM_PAGE, 2 * XM_PAGE);
	ASSERT_NE(NULL, self->p);
	memfd = xm_memfd(self->p + WORDS, XM_PAGE);
	ASSERT_GE(memfd, 0);
	self->p[WORDS] = 1;
	ASSERT_EQ(0, xm_uffd_register(uffd, self->p, XM_PAGE,
				      UFFDIO_REGISTER_MODE_MISSING));
	self->op.addr = self->p;
	self->other.fd = uffd;
	/* An engine, which does not wait for a userfaultfd beforehand. */
	STOP_AT(XMIRROR_PT_FAULT_LOCKED, work_load);
	PEND(work_close, SYS_close);
	GO_ON();
	end = both_end(&self->op, &self->other);
	/* The way out: an invalidation of a neighbour that takes no mmap_lock */
	ASSERT_EQ(0, fallocate(memfd, FALLOC_FL_PUNCH_HOLE |
			       FALLOC_FL_KEEP_SIZE, 0, XM_PAGE));
	err = worker_join(&self->op);
	EXPECT_EQ(0, worker_join(&self->other));
	close(memfd);
	/*
	 * Until the fallocate() the walk found the page missing, again and again. The
	 * change of 6.15 is in stable releases since April 2025 as well, but for 6.1:
	 * between these versions it is there or not.
	 */
	XM_XFAIL_IF(xm_kver() < XM_KVER(6, 12) ||
		    (xm_kver() < XM_KVER(6, 15) && !end), end,
		    "userfaultfd closes, and hmm_range_fault() spins on Linux 6.1");
	if (end) {
		EXPECT_EQ(-EFAULT, err);
	}
}

/*
 * Memory that the device must not use appears in a hole, which no notifier tells, after
 * the fault has looked for it. The fault brings the page in, and the device does not
 * get it. covers: R22
 */
TEST_F(race, secret_memory_appears)
{
	int file = syscall(SYS_memfd_secret, 0);

	if (file < 0)
		XM_SKIP(return, "no CONFIG_SECRETMEM, or secretmem.enable=0");
	ASSERT_EQ(0, ftruncate(file, XM_PAGE));
	ASSERT_EQ(0, munmap(self->p, XM_PAGE));
	STOP_AT(XMIRROR_PT_FAULT_MISSING, work_fault_write);
	ASSERT_EQ(self->p, mmap(self->p, XM_PAGE, PROT_READ | PROT_WRITE,
				MAP_SHARED | MAP_FIXED, file, 0));
	close(file);
	EXPECT_FALSE(xm_is_present(self->p));
	FINISH(-EFAULT);
	EXPECT_TRUE(xm_is_present(self->p));
	EXPECT_LEAF(self->fd, self->p, LEAF_NONE);
	EXPECT_EQ(0, *self->p);
	EXPECT_NEIGHBOURS();
}

/* After the commit the leaf goes like any other. */
TEST_F(race, fault_done)
{
	STOP_AT(XMIRROR_PT_FAULT_DONE, work_fault_write);
	EXPECT_LEAF(self->fd, self->p, LEAF_WRITE);
	ASSERT_EQ(0, madvise(self->p, XM_PAGE, MADV_DONTNEED));
	EXPECT_LEAF(self->fd, self->p, LEAF_NONE);
	FINISH(0);
	EXPECT_LEAF(self->fd, self->p, LEAF_NONE);
	EXPECT_EQ(0, *self->p);
	EXPECT_NEIGHBOURS();
}

/* The leaf made for a store goes before the store. */
TEST_F(race, store_done_remapped)
{
	self->op.arg = 44;
	STOP_AT(XMIRROR_PT_FAULT_DONE, work_store);
	ASSERT_EQ(self->p, mmap(self->p, XM_PAGE, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
				0));
	FINISH(0);
	EXPECT_EQ(44, *self->p);
	EXPECT_NEIGHBOURS();
}

TEST_F(race, store_done_mprotect)
{
	self->op.arg = 44;
	STOP_AT(XMIRROR_PT_FAULT_DONE, work_store);
	ASSERT_EQ(0, mprotect(self->p, XM_PAGE, PROT_READ));
	FINISH(-EPERM);
	EXPECT_EQ(5, *self->p);
}

TEST_HARNESS_MAIN
