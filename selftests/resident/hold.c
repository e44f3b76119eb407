// SPDX-License-Identifier: GPL-2.0
/*
 * A range that the device holds as a whole: an invalidation of any part of it stops
 * the device's queues before it returns, all of it is mapped again, and they start.
 * The device never faults there.
 */
#include <fcntl.h>

#include "fixture.h"

TEST_F(resident, is_mapped_when_it_was_added)
{
	struct xmirror_cmd cmd = xm_cmds(XMIRROR_OP_ADD, 8, self->p, XM_PAGE,
					 PAGES, 10);
	size_t i;

	EXPECT_EQ((uintptr_t)self->p, self->r.addr);
	EXPECT_EQ(SIZE, self->r.length);
	EXPECT_MAPPED();
	ASSERT_EQ(0, xm_run(self->fd, &cmd, NULL));
	for (i = 0; i < PAGES; i++) {
		EXPECT_EQ(i + 11, XM_LOAD(PAGE(i)));
	}
	EXPECT_NO_FAULTS();
}

/* Of memory that nobody has touched, too, all is faulted in. */
TEST_F(resident, empty_memory_is_faulted_in)
{
	__u64 *p = xm_anon(SIZE);

	ASSERT_NE(NULL, p);
	ASSERT_EQ(0, resident_add(self->fd, p, SIZE, XMIRROR_RESIDENT_WRITE));
	EXPECT_EQ(PAGES, mapped(self->fd, p, PAGES));
	EXPECT_TRUE(xm_is_present(p + (PAGES - 1) * WORDS));
	EXPECT_NO_FAULTS();
}

TEST_F(resident, invalidated_page_is_mapped_again_without_an_access)
{
	struct xmirror_resident r;

	DROP(3);
	r = SETTLED(XMIRROR_RESIDENT_MAPPED);
	EXPECT_EQ(self->r.stops + 1, r.stops);
	EXPECT_EQ(self->r.restores + 1, r.restores);
	EXPECT_EQ(0, r.failures);
	/* The new page is there before anybody has looked. */
	EXPECT_LEAF(self->fd, PAGE(3), LEAF_WRITE);
	EXPECT_TRUE(xm_is_present(PAGE(3)));
	EXPECT_EQ(0, XM_LOAD(PAGE(3)));
	EXPECT_MAPPED();
	EXPECT_NO_FAULTS();
}

/* A page that goes while a restore is about to begin is mapped by the same one. */
TEST_F(resident, restore_maps_all_that_is_missing)
{
	struct xmirror_resident r;
	__u32 id;

	NEED(XMIRROR_CAP_SYNC);
	STOP_RESTORE(&id);
	DROP(3);
	REACHED(id);
	DROP(7);
	DROP(0);
	ASSERT_EQ(0, resident_get(self->fd, self->p, &r));
	EXPECT_EQ(XMIRROR_RESIDENT_RESTORING, r.state);
	EXPECT_EQ(PAGES - 3, mapped(self->fd, self->p, PAGES));
	RESUME(id);
	EXPECT_MAPPED();
	r = SETTLED(XMIRROR_RESIDENT_MAPPED);
	EXPECT_EQ(self->r.stops + 1, r.stops);
	EXPECT_EQ(self->r.restores + 1, r.restores);
}

/* A page that goes while it is mapped is not taken for mapped. */
TEST_F(resident, restore_that_was_overtaken_begins_again)
{
	struct xmirror_resident r;
	__u32 id;

	NEED(XMIRROR_CAP_SYNC);
	ASSERT_EQ(0, xm_sync_arm(self->fd, XMIRROR_PT_FAULT_DONE, self->p, SIZE,
				 &id));
	DROP(3);
	REACHED(id);
	EXPECT_EQ(PAGES, mapped(self->fd, self->p, PAGES));
	DROP(5);
	EXPECT_EQ(PAGES - 1, mapped(self->fd, self->p, PAGES));
	RESUME(id);
	EXPECT_MAPPED();
	r = SETTLED(XMIRROR_RESIDENT_MAPPED);
	EXPECT_EQ(self->r.stops + 1, r.stops);
	EXPECT_EQ(self->r.restores + 1, r.restores);
	EXPECT_LE(self->r.runs + 2, r.runs);
}

FIXTURE(stopped) {
	int fd;
	__u64 *p;
	__u64 *other;
	struct xmirror_resident r;
	struct worker drop;
};

FIXTURE_VARIANT(stopped) {
	bool elsewhere;
};

FIXTURE_VARIANT_ADD(stopped, in_the_range) { .elsewhere = false };
FIXTURE_VARIANT_ADD(stopped, elsewhere) { .elsewhere = true };

FIXTURE_SETUP(stopped)
{
	OPEN(self->fd, 0);
	NEED(XMIRROR_CAP_SYNC);
	self->p = xm_area(SIZE + 2 * XM_PAGE, 0);
	ASSERT_NE(NULL, self->p);
	memset(self->p, 0, SIZE + 2 * XM_PAGE);
	self->other = self->p + (PAGES + 1) * WORDS;
	ASSERT_EQ(0, resident_add(self->fd, self->p, SIZE,
				  XMIRROR_RESIDENT_WRITE));
	ASSERT_EQ(0, resident_get(self->fd, self->p, &self->r));
	self->drop.fn = work_madvise;
	self->drop.addr = self->p + 3 * WORDS;
	self->drop.len = XM_PAGE;
	self->drop.arg = MADV_DONTNEED;
	ASSERT_EQ(0, worker_prepare(&self->drop));
}

FIXTURE_TEARDOWN(stopped)
{
	EXPECT_CLEAN(self->fd);
	close(self->fd);
}

/* A job, wherever it works, stands still from then on until the range is mapped. */
TEST_F(stopped, queues_stop_before_a_leaf_goes)
{
	__u64 *word = variant->elsewhere ? self->other : PAGE(5), fence;
	struct xmirror_resident r;
	__u32 inv, begin;

	fence = endless(self->fd, variant->elsewhere ? XMIRROR_OP_LOAD :
						       XMIRROR_OP_ADD, word);
	ASSERT_NE(0, fence);
	EXPECT_TRUE(works(self->fd));
	ASSERT_EQ(0, xm_sync_arm(self->fd, XMIRROR_PT_QUEUES_STOPPED, self->p,
				 SIZE, &inv));
	STOP_RESTORE(&begin);
	ASSERT_EQ(0, worker_start(&self->drop));
	REACHED(inv);
	EXPECT_TRUE(stands(self->fd));
	EXPECT_EQ(PAGES, mapped(self->fd, self->p, PAGES));
	ASSERT_EQ(0, resident_get(self->fd, self->p, &r));
	EXPECT_EQ(XMIRROR_RESIDENT_RESTORING, r.state);
	EXPECT_EQ(self->r.stops + 1, r.stops);
	RESUME(inv);
	EXPECT_EQ(0, worker_join(&self->drop));
	REACHED(begin);
	EXPECT_TRUE(stands(self->fd));
	EXPECT_EQ(PAGES - 1, mapped(self->fd, self->p, PAGES));
	RESUME(begin);
	EXPECT_MAPPED();
	EXPECT_TRUE(works(self->fd));
	/* Not one addition got lost. */
	EXPECT_EQ(ENDED(fence), variant->elsewhere ? ops(self->fd) :
						     XM_LOAD(word));
}

/* A page that is about to go is still there, and is not taken for mapped. */
TEST_F(resident, restore_does_not_end_beside_an_invalidation)
{
	struct worker drop = {
		.fn = work_madvise, .addr = PAGE(5), .len = XM_PAGE,
		.arg = MADV_DONTNEED,
	};
	struct xmirror_resident r;
	__u32 begin, inv;

	NEED(XMIRROR_CAP_SYNC);
	ASSERT_EQ(0, worker_prepare(&drop));
	STOP_RESTORE(&begin);
	DROP(3);
	REACHED(begin);
	ASSERT_EQ(0, xm_sync_arm(self->fd, XMIRROR_PT_QUEUES_STOPPED, PAGE(5),
				 XM_PAGE, &inv));
	ASSERT_EQ(0, worker_start(&drop));
	REACHED(inv);
	RESUME(begin);
	/* Waits until the thread that restores has ended. */
	EXPECT_EQ(-ENOENT, resident_remove(self->fd, self->other, XM_PAGE));
	EXPECT_EQ(PAGES, mapped(self->fd, self->p, PAGES));
	ASSERT_EQ(0, resident_get(self->fd, self->p, &r));
	EXPECT_EQ(XMIRROR_RESIDENT_RESTORING, r.state);
	RESUME(inv);
	EXPECT_EQ(0, worker_join(&drop));
	EXPECT_MAPPED();
	r = SETTLED(XMIRROR_RESIDENT_MAPPED);
	EXPECT_EQ(self->r.stops + 1, r.stops);
	EXPECT_EQ(self->r.restores + 1, r.restores);
}

/* A call of the device waits, too, and a job that waits can be cancelled. */
static int work_rw(struct worker *w)
{
	return xm_read(w->fd, w->addr, w->to, 8);
}

TEST_F(resident, calls_wait_and_jobs_can_be_cancelled)
{
	struct worker rw = { .fn = work_rw, .fd = self->fd, .addr = PAGE(1) };
	struct xmirror_wait w = {};
	__u64 value = 77, fence;
	__u32 id;

	NEED(XMIRROR_CAP_SYNC);
	rw.to = &value;
	ASSERT_EQ(0, worker_prepare(&rw));
	STOP_RESTORE(&id);
	DROP(1);
	REACHED(id);
	ASSERT_EQ(0, worker_start(&rw));
	EXPECT_TRUE(worker_blocked(&rw, SYS_ioctl));
	fence = endless(self->fd, XMIRROR_OP_ADD, PAGE(5));
	ASSERT_NE(0, fence);
	EXPECT_EQ(-ETIMEDOUT, xm_wait(self->fd, fence, 0, NULL));
	EXPECT_EQ(0, xm_cancel(self->fd, fence, &w));
	EXPECT_EQ(-ECANCELED, w.status);
	EXPECT_EQ(0, w.ops);
	EXPECT_FALSE(worker_ended(&rw));
	RESUME(id);
	EXPECT_EQ(0, worker_join(&rw));
	/* It was after the restore. */
	EXPECT_EQ(0, value);
	EXPECT_MAPPED();
}

/* An atomic is one that goes over PCIe: it needs no page of its own. */
TEST_F(resident, atomics_need_no_exclusive_page)
{
	struct xmirror_stats s;

	EXPECT_EQ(0, xm_add(self->fd, PAGE(2), 5));
	EXPECT_EQ(8, XM_ADD(PAGE(2), 1));
	EXPECT_EQ(0, xm_add(self->fd, PAGE(2), 1));
	EXPECT_EQ(10, XM_LOAD(PAGE(2)));
	ASSERT_EQ(0, xm_stats(self->fd, &s));
	EXPECT_EQ(0, s.excl_made);
	EXPECT_NO_FAULTS();
}

TEST_F(resident, range_to_read_is_not_written)
{
	__u64 *p = xm_anon(XM_PAGE), value = 0;

	ASSERT_NE(NULL, p);
	*p = 5;
	ASSERT_EQ(0, mprotect(p, XM_PAGE, PROT_READ));
	EXPECT_EQ(-EPERM, resident_add(self->fd, p, XM_PAGE,
				       XMIRROR_RESIDENT_WRITE));
	ASSERT_EQ(0, resident_add(self->fd, p, XM_PAGE, 0));
	EXPECT_EQ(0, xm_op(self->fd, XMIRROR_OP_LOAD, 8, p, 0, &value));
	EXPECT_EQ(5, value);
	EXPECT_EQ(-EPERM, xm_op(self->fd, XMIRROR_OP_STORE, 8, p, 6, NULL));
	EXPECT_EQ(-EPERM, xm_op(self->fd, XMIRROR_OP_ADD, 8, p, 6, NULL));
	EXPECT_EQ(-EPERM, xm_write(self->fd, p, &value, 8));
	EXPECT_EQ(5, *p);
	EXPECT_NO_FAULTS();
}

/* Only what overlaps it stops the queues, be it in the same large leaf. */
TEST_F(resident, neighbours_stop_nothing)
{
	struct xmirror_resident r;

	ASSERT_EQ(0, xm_fault(self->fd, self->other, XM_PAGE, 0, NULL));
	ASSERT_EQ(0, madvise(self->other, XM_PAGE, MADV_DONTNEED));
	ASSERT_EQ(0, madvise(self->p + PAGES * WORDS, XM_PAGE, MADV_DONTNEED));
	EXPECT_LEAF(self->fd, self->other, LEAF_NONE);
	r = SETTLED(XMIRROR_RESIDENT_MAPPED);
	EXPECT_EQ(self->r.stops, r.stops);
	EXPECT_EQ(self->r.runs, r.runs);
}

/*
 * A huge page that khugepaged leaves alone. If that waits to write-lock mmap_lock while an
 * invalidation is stopped with it, nobody else can read-lock it either.
 */
static char *lasting_thp(int fd)
{
	char *thp = xm_thp(fd, 0x11);

	return thp && madvise(thp, XM_PMD, MADV_NOHUGEPAGE) ? NULL : thp;
}

/* The first page from @p on, if any, for which it cannot be one leaf */
static void tell_odd_page(struct __test_metadata *_metadata, int fd, char *p)
{
	struct xmirror_page first = xm_page(fd, p), page;
	size_t i;

	for (i = 1; i < XM_2M / XM_PAGE; i++) {
		page = xm_page(fd, p + i * XM_PAGE);
		if (page.cpu == first.cpu && page.cpu_pfn == first.cpu_pfn + i)
			continue;
		TH_LOG("page %zu: %#x of frame %#llx, the first %#x of %#llx", i,
		       page.cpu, page.cpu_pfn, first.cpu, first.cpu_pfn);
		return;
	}
	TH_LOG("all pages are alike, flags %#llx",
	       xm_kpageflags(first.cpu_pfn));
}

/*
 * With large leaves the queues stop for neighbours in the same 2 MiB, too, and before
 * anything is cleared: there may be no memory to split the leaf.
 */
TEST_F(resident, neighbour_in_a_large_leaf_stops_the_queues)
{
	struct worker drop = { .fn = work_madvise, .len = XM_PAGE,
			       .arg = MADV_DONTNEED };
	struct xmirror_resident r;
	char *thp = lasting_thp(self->fd);
	__u32 inv;

	NEED(XMIRROR_CAP_SYNC);
	if (!thp)
		XM_SKIP(return, "no huge page to be had");
	drop.addr = thp + XM_2M / 2;
	/* Small entries for the CPU, all alike, and one leaf for the device. */
	ASSERT_EQ(0, mprotect(drop.addr, XM_PAGE, PROT_READ));
	ASSERT_EQ(0, mprotect(drop.addr, XM_PAGE, PROT_READ | PROT_WRITE));
	memset(drop.addr, 0x11, XM_PAGE);
	ASSERT_EQ(0, worker_prepare(&drop));
	ASSERT_EQ(0, xm_set(self->fd, XMIRROR_SET_GRANULE, ~0ULL, NULL));
	ASSERT_EQ(0, resident_add(self->fd, thp, SIZE, XMIRROR_RESIDENT_WRITE));
	ASSERT_NE(0, xm_page(self->fd, thp).dev & XMIRROR_PTE_2M) {
		tell_odd_page(_metadata, self->fd, thp);
	}
	ASSERT_EQ(0, xm_sync_arm(self->fd, XMIRROR_PT_QUEUES_STOPPED, drop.addr,
				 XM_PAGE, &inv));
	ASSERT_EQ(0, worker_start(&drop));
	EXPECT_EQ(0, xm_sync_reached(self->fd, inv, XM_LONG));
	ASSERT_EQ(0, resident_get(self->fd, thp, &r));
	EXPECT_EQ(XMIRROR_RESIDENT_RESTORING, r.state);
	EXPECT_NE(0, xm_page(self->fd, thp).dev & XMIRROR_PTE_2M);
	RESUME(inv);
	EXPECT_EQ(0, worker_join(&drop));
	ASSERT_EQ(0, resident_settled(self->fd, thp, &r));
	EXPECT_EQ(XMIRROR_RESIDENT_MAPPED, r.state);
	EXPECT_EQ(PAGES, mapped(self->fd, thp, PAGES));
	EXPECT_EQ(0x1111111111111111, *(__u64 *)thp);
}

TEST_F(resident, neighbours_in_a_large_leaf_leave_the_range_mapped)
{
	struct xmirror_resident r, first;
	char *thp = lasting_thp(self->fd);

	if (!thp)
		XM_SKIP(return, "no huge page to be had");
	ASSERT_EQ(0, xm_set(self->fd, XMIRROR_SET_GRANULE, ~0ULL, NULL));
	ASSERT_EQ(0, resident_add(self->fd, thp, SIZE, XMIRROR_RESIDENT_WRITE));
	ASSERT_NE(0, xm_page(self->fd, thp).dev & XMIRROR_PTE_2M);
	ASSERT_EQ(0, resident_get(self->fd, thp, &first));
	ASSERT_EQ(0, madvise(thp + XM_PMD / 2, XM_PAGE, MADV_DONTNEED));
	ASSERT_EQ(0, resident_settled(self->fd, thp, &r));
	EXPECT_EQ(XMIRROR_RESIDENT_MAPPED, r.state);
	EXPECT_EQ(PAGES, mapped(self->fd, thp, PAGES));
	/* The huge page is split for the CPU as a whole, which may be told so. */
	EXPECT_EQ(r.stops - first.stops, r.restores - first.restores);
	EXPECT_EQ(0, xm_add(self->fd, thp, 1));
}

/*
 * Without memory to split it a large leaf goes as a whole, and with it the range in it
 * that the invalidation is not about.
 */
TEST_F(resident, leaf_that_is_not_split_is_mapped_again)
{
	int nth = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC), err;
	struct xmirror_resident r, first;
	char *thp, *page, text[16] = "";

	if (nth < 0)
		XM_SKIP(return, "no fail-nth: needs CONFIG_FAULT_INJECTION");
	thp = lasting_thp(self->fd);
	if (!thp)
		XM_SKIP(return, "no huge page to be had");
	page = thp + XM_2M / 2;
	/* Small entries for the CPU, all alike, and one leaf for the device. */
	ASSERT_EQ(0, mprotect(page, XM_PAGE, PROT_READ));
	ASSERT_EQ(0, mprotect(page, XM_PAGE, PROT_READ | PROT_WRITE));
	memset(page, 0x11, XM_PAGE);
	ASSERT_EQ(0, xm_set(self->fd, XMIRROR_SET_GRANULE, ~0ULL, NULL));
	ASSERT_EQ(0, resident_add(self->fd, thp, SIZE, XMIRROR_RESIDENT_WRITE));
	ASSERT_NE(0, xm_page(self->fd, thp).dev & XMIRROR_PTE_2M);
	ASSERT_EQ(0, resident_get(self->fd, thp, &first));
	/* Its table is the first allocation that may not wait. */
	ASSERT_EQ(1, write(nth, "1", 1));
	err = madvise(page, XM_PAGE, MADV_DONTNEED);
	ASSERT_LT(0, pread(nth, text, sizeof(text) - 1, 0));
	ASSERT_EQ(1, write(nth, "0", 1));
	close(nth);
	ASSERT_EQ(0, err);
	/* It did fail. */
	ASSERT_EQ('0', text[0]);
	ASSERT_EQ(0, resident_settled(self->fd, thp, &r));
	EXPECT_EQ(XMIRROR_RESIDENT_MAPPED, r.state);
	EXPECT_EQ(first.stops + 1, r.stops);
	EXPECT_EQ(first.restores + 1, r.restores);
	EXPECT_EQ(PAGES, mapped(self->fd, thp, PAGES));
	EXPECT_EQ(0, xm_add(self->fd, thp, 1));
	EXPECT_NO_FAULTS();
}

TEST_F(resident, removed_range_is_memory_like_any_other)
{
	struct xmirror_resident r;

	ASSERT_EQ(0, resident_remove(self->fd, self->p, SIZE));
	EXPECT_EQ(-ENOENT, resident_get(self->fd, self->p, &r));
	DROP(3);
	EXPECT_LEAF(self->fd, PAGE(3), LEAF_NONE);
	EXPECT_EQ(0, xm_op(self->fd, XMIRROR_OP_STORE, 8, PAGE(3), 9, NULL));
	EXPECT_EQ(9, XM_LOAD(PAGE(3)));
	EXPECT_EQ(-ENOENT, resident_get(self->fd, self->p, &r));
	EXPECT_EQ(self->r.stops, r.stops);
}

/* Nothing stays stopped for want of one that is about to be restored. */
TEST_F(resident, two_ranges_stop_and_start_as_one)
{
	struct xmirror_resident r;
	__u64 *q = self->p + PAGES * WORDS;
	__u32 id;

	NEED(XMIRROR_CAP_SYNC);
	ASSERT_EQ(0, resident_add(self->fd, q, XM_PAGE,
				  XMIRROR_RESIDENT_WRITE));
	ASSERT_EQ(0, resident_get(self->fd, q, &self->r));
	STOP_RESTORE(&id);
	DROP(2);
	REACHED(id);
	ASSERT_EQ(0, madvise(q, XM_PAGE, MADV_DONTNEED));
	ASSERT_EQ(0, resident_get(self->fd, q, &r));
	EXPECT_EQ(XMIRROR_RESIDENT_RESTORING, r.state);
	RESUME(id);
	EXPECT_MAPPED();
	ASSERT_EQ(0, resident_settled(self->fd, q, &r));
	EXPECT_EQ(XMIRROR_RESIDENT_MAPPED, r.state);
	EXPECT_EQ(self->r.stops + 1, r.stops);
	EXPECT_EQ(self->r.restores + 2, r.restores);
	EXPECT_EQ(0, xm_add(self->fd, q, 1));
}

TEST_F(resident, bad_arguments_are_refused)
{
	struct xmirror_resident r = {
		.size = sizeof(r),
		.cmd = XMIRROR_RESIDENT_STATE,
		.addr = (uintptr_t)self->p,
		.length = XM_PAGE,
	};
	__u64 *many = xm_anon(130 * XM_PAGE);
	unsigned int i;

	ASSERT_NE(NULL, many);
	EXPECT_EQ(-EINVAL, xm_ioctl(self->fd, XMIRROR_IOC_RESIDENT, &r));
	r.length = 0;
	r.flags = XMIRROR_RESIDENT_WRITE;
	EXPECT_EQ(-EINVAL, xm_ioctl(self->fd, XMIRROR_IOC_RESIDENT, &r));
	r.flags = 0;
	r.cmd = XMIRROR_RESIDENT_REMOVE;
	r.timeout_ms = 1;
	EXPECT_EQ(-EINVAL, xm_ioctl(self->fd, XMIRROR_IOC_RESIDENT, &r));
	r.timeout_ms = 0;
	r.cmd = XMIRROR_RESIDENT_STATE + 1;
	EXPECT_EQ(-EINVAL, xm_ioctl(self->fd, XMIRROR_IOC_RESIDENT, &r));
	EXPECT_EQ(-EINVAL, resident_add(self->fd, self->other, 0, 0));
	EXPECT_EQ(-EINVAL, resident_add(self->fd, self->other + 1, XM_PAGE, 0));
	EXPECT_EQ(-EEXIST, resident_add(self->fd, PAGE(PAGES - 1), 2 * XM_PAGE,
					0));
	EXPECT_EQ(-ENOENT, resident_remove(self->fd, self->p, XM_PAGE));
	EXPECT_EQ(-ENOENT, resident_remove(self->fd, self->other, XM_PAGE));
	for (i = 1; i < 64; i++) {
		ASSERT_EQ(0, resident_add(self->fd, many + 2 * i * WORDS,
					  XM_PAGE, 0));
	}
	EXPECT_EQ(-ENOSPC, resident_add(self->fd, many, XM_PAGE, 0));
	EXPECT_EQ(0, resident_remove(self->fd, many + 2 * WORDS, XM_PAGE));
	EXPECT_EQ(0, resident_add(self->fd, many, XM_PAGE, 0));
	/* A range that cannot be mapped is not held. */
	ASSERT_EQ(0, resident_remove(self->fd, many, XM_PAGE));
	ASSERT_EQ(0, munmap(many, XM_PAGE));
	EXPECT_EQ(-EFAULT, resident_add(self->fd, many, 2 * XM_PAGE, 0));
	EXPECT_EQ(-ENOENT, resident_get(self->fd, many, &r));
	EXPECT_EQ(0, xm_add(self->fd, self->p, 1));
}

TEST_HARNESS_MAIN
