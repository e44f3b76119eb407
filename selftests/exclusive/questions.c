// SPDX-License-Identifier: GPL-2.0
/*
 * Questions that the discussions of exclusive entries left open, each answered
 * by a test that is named for it.
 */
#include <fcntl.h>
#include <sys/wait.h>

#include "memory.h"
#include "test.h"

#define WORDS	512UL
#define ADDS	100U

FIXTURE(questions) {
	int fd;
	__u64 *p;	/* the middle one of three pages */
};

FIXTURE_SETUP(questions)
{
	char *all;

	NEED(XMIRROR_CAP_EXCLUSIVE);
	ASSERT_EQ(0, conf_pin());
	OPEN(self->fd, 0);
	all = conf_area(3 * XM_PAGE, 0);
	ASSERT_NE(NULL, all);
	self->p = (__u64 *)(all + XM_PAGE);
	memset(self->p, 0x11, XM_PAGE);
	*self->p = 5;
}

FIXTURE_TEARDOWN(questions)
{
	EXPECT_CLEAN(self->fd);
	close(self->fd);
}

static __u64 events(const struct xmirror_stats *s)
{
	__u64 sum = 0;
	int i;

	for (i = 0; i < XMIRROR_NR_EVENTS; i++)
		sum += s->inv[i];
	return sum;
}

/* Calls that tell the notifiers much and change nothing, beside @addr */
static int storm_beside(struct worker *w)
{
	char *p = w->addr;

	while (!XM_LOAD(&w->stop)) {
		if (mprotect(p, XM_PAGE, PROT_READ | PROT_WRITE) ||
		    madvise(p, XM_PAGE, MADV_COLD) ||
		    madvise(p - XM_PAGE, XM_PAGE, MADV_DONTNEED) ||
		    madvise(p + XM_PAGE, XM_PAGE, MADV_DONTNEED))
			return -errno;
		XM_ADD(&w->arg, 1);
	}
	return 0;
}

/* The same over all there is */
static int storm_over(struct worker *w)
{
	int err = 0;

	while (!XM_LOAD(&w->stop) && !err) {
		err = xm_write_file("/proc/self/clear_refs", "4");
		XM_ADD(&w->arg, 1);
	}
	return err;
}

#define STORM(function) \
	struct worker w = { .fn = (function), .addr = self->p }; \
	struct xmirror_stats before, after; \
	__u64 was; \
	int i, err = 0; \
	ASSERT_EQ(0, xm_exclusive(self->fd, self->p, XM_PAGE, NULL)); \
	ASSERT_EQ(0, xm_stats(self->fd, &before)); \
	ASSERT_EQ(0, worker_start(&w)); \
	for (i = 0; i < (int)ADDS && !err; i++) { \
		err = xm_add(self->fd, self->p, 1); \
		/* Some of the storm between any two */ \
		was = XM_LOAD(&w.arg); \
		while (XM_LOAD(&w.arg) == was && !worker_ended(&w)) \
			sched_yield(); \
	} \
	XM_STORE(&w.stop, true); \
	ASSERT_EQ(0, worker_join(&w)); \
	ASSERT_EQ(0, xm_stats(self->fd, &after)); \
	EXPECT_EQ(0, err)

TEST_F(questions, does_a_storm_of_nothing_cost_the_page)
{
	STORM(storm_beside);
	EXPECT_LE(ADDS, events(&after) - events(&before));
	EXPECT_EQ(before.inv_leaves, after.inv_leaves);
	EXPECT_EQ(before.excl_made, after.excl_made);
	EXPECT_LEAF(self->fd, self->p, LEAF_EXCL);
	EXPECT_EQ(5 + ADDS, XM_LOAD(self->p));
}

TEST_F(questions, does_the_device_get_on_in_a_storm)
{
	STORM(storm_over);
	/* It had the page taken away all the time, and came through. */
	EXPECT_LE(1, after.inv[XM_EV_SOFT_DIRTY] -
		     before.inv[XM_EV_SOFT_DIRTY]);
	EXPECT_LE(1, after.excl_made - before.excl_made);
	EXPECT_EQ(5 + ADDS, XM_LOAD(self->p));
}

/* Its own entry, for which it has lost the leaf to an event without effect */
TEST_F(questions, what_if_it_is_created_twice)
{
	struct xmirror_stats before, after;
	__u32 revoke = xm_facts()->revoke_event;
	__u64 pfn;

	ASSERT_EQ(0, xm_add(self->fd, self->p, 1));
	pfn = xm_pfn(self->p);
	/* In place: nothing is to be done. */
	ASSERT_EQ(0, xm_stats(self->fd, &before));
	ASSERT_EQ(0, xm_exclusive(self->fd, self->p, XM_PAGE, NULL));
	ASSERT_EQ(0, xm_stats(self->fd, &after));
	EXPECT_EQ(events(&before), events(&after));
	EXPECT_EQ(1, after.excl_hits - before.excl_hits);

	ASSERT_EQ(0, madvise(self->p, XM_PAGE, MADV_FREE));
	EXPECT_TRUE(xm_is_exclusive(self->p));
	EXPECT_LEAF(self->fd, self->p, LEAF_NONE);
	ASSERT_EQ(0, xm_stats(self->fd, &before));
	ASSERT_EQ(0, xm_exclusive(self->fd, self->p, XM_PAGE, NULL));
	ASSERT_EQ(0, xm_stats(self->fd, &after));
	/* Given back to the CPU first, then made again */
	EXPECT_LE(1, after.inv[revoke] - before.inv[revoke]);
	EXPECT_LE(1, after.inv_own - before.inv_own);
	EXPECT_EQ(1, after.excl_made - before.excl_made);
	EXPECT_LEAF(self->fd, self->p, LEAF_EXCL);
	EXPECT_EQ(pfn, xm_pfn(self->p));
	ASSERT_EQ(0, xm_add(self->fd, self->p, 1));
	EXPECT_EQ(7, XM_LOAD(self->p));
}

TEST_F(questions, what_if_another_one_creates_it)
{
	__u64 pfn;
	int fd1, i;

	OPEN(fd1, 1);
	ASSERT_EQ(0, xm_add(self->fd, self->p, 1));
	pfn = xm_pfn(self->p);
	for (i = 0; i < 10; i++) {
		int has = i & 1 ? self->fd : fd1, lost = i & 1 ? fd1 : self->fd;

		ASSERT_EQ(0, xm_add(has, self->p, 1));
		EXPECT_LEAF(has, self->p, LEAF_EXCL);
		EXPECT_LEAF(lost, self->p, LEAF_NONE);
		EXPECT_CLEAN(has);
		EXPECT_CLEAN(lost);
	}
	EXPECT_EQ(pfn, xm_pfn(self->p));
	EXPECT_EQ(16, XM_LOAD(self->p));
	close(fd1);
}

/* Giving a page back and waiting for the CPU to fetch it end alike. */
TEST_F(questions, is_release_like_lazy_return)
{
	struct xmirror_page page[2];
	__u64 pm[2], kpf[2], mask;
	int i;

	mask = XM_PM_PRESENT | XM_PM_SWAP | XM_PM_SOFT_DIRTY |
	       XM_PM_ANON_EXCLUSIVE | CONF_PM_UFFD_WP;
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, xm_add(self->fd, self->p, 1));
		if (i) {
			ASSERT_EQ(0, xm_release(self->fd, self->p, XM_PAGE,
						NULL));
		} else {
			EXPECT_EQ(6, XM_LOAD(self->p));
		}
		EXPECT_FALSE(xm_is_exclusive(self->p));
		EXPECT_LEAF(self->fd, self->p, LEAF_NONE);
		page[i] = xm_page(self->fd, self->p);
		pm[i] = xm_pagemap(self->p) & mask;
		kpf[i] = xm_kpageflags(xm_pfn(self->p)) & XM_KPF_DIRTY;
	}
	/* Whether it is young depends on who looked. */
	EXPECT_EQ(page[0].cpu & ~XMIRROR_CPU_YOUNG,
		  page[1].cpu & ~XMIRROR_CPU_YOUNG);
	EXPECT_EQ(page[0].cpu_pfn, page[1].cpu_pfn);
	EXPECT_EQ(pm[0], pm[1]);
	EXPECT_EQ(kpf[0], kpf[1]);
	EXPECT_NE(0, kpf[1]);
	EXPECT_EQ(7, XM_LOAD(self->p));
}

TEST_F(questions, does_write_protection_hold_for_the_device)
{
	int uffd = conf_uffd(UFFD_FEATURE_PAGEFAULT_FLAG_WP);

	if (uffd < 0)
		SKIP(return, "no CONFIG_USERFAULTFD");
	ASSERT_EQ(0, conf_uffd_register(uffd, self->p, XM_PAGE,
					UFFDIO_REGISTER_MODE_WP));
	ASSERT_EQ(0, xm_add(self->fd, self->p, 1));
	ASSERT_EQ(0, conf_uffd_wp(uffd, self->p, XM_PAGE, true));
	/* The entry stays and carries the bit, the device has to stop. */
	EXPECT_TRUE(xm_is_exclusive(self->p));
	EXPECT_NE(0, xm_pagemap(self->p) & CONF_PM_UFFD_WP);
	EXPECT_LEAF(self->fd, self->p, LEAF_NONE);
	EXPECT_EQ(-EFAULT, xm_add(self->fd, self->p, 1));
	/* To try has given the page back; the bit is where it was. */
	EXPECT_FALSE(xm_is_exclusive(self->p));
	EXPECT_NE(0, xm_pagemap(self->p) & CONF_PM_UFFD_WP);
	EXPECT_EQ(6, XM_LOAD(self->p));
	ASSERT_EQ(0, conf_uffd_wp(uffd, self->p, XM_PAGE, false));
	EXPECT_EQ(0, xm_add(self->fd, self->p, 1));
	EXPECT_EQ(0, xm_pagemap(self->p) & CONF_PM_UFFD_WP);
	EXPECT_EQ(7, XM_LOAD(self->p));
	close(uffd);
}

/* A device that goes on writing after clear_refs is seen to have written. */
TEST_F(questions, does_soft_dirty_see_the_device)
{
	ASSERT_EQ(0, xm_add(self->fd, self->p, 1));
	ASSERT_EQ(0, xm_write_file("/proc/self/clear_refs", "4"));
	if (xm_pagemap(self->p) & XM_PM_SOFT_DIRTY)
		SKIP(return, "no CONFIG_MEM_SOFT_DIRTY");
	EXPECT_TRUE(xm_is_exclusive(self->p));
	EXPECT_LEAF(self->fd, self->p, LEAF_NONE);
	ASSERT_EQ(0, xm_add(self->fd, self->p, 1));
	EXPECT_NE(0, xm_pagemap(self->p) & XM_PM_SOFT_DIRTY);
	EXPECT_EQ(7, XM_LOAD(self->p));
	EXPECT_NE(0, xm_pagemap(self->p) & XM_PM_SOFT_DIRTY);
}

static bool has_swap(void)
{
	return xm_meminfo_kb("SwapTotal") > 0;
}

/* A page that is clean in the swap cache */
TEST_F(questions, is_a_write_to_a_clean_page_kept)
{
	if (!has_swap())
		SKIP(return, "no swap");
	ASSERT_EQ(0, conf_pageout(self->p, XM_PAGE));
	EXPECT_EQ(5, XM_LOAD(self->p));
	ASSERT_EQ(0, xm_op(self->fd, XMIRROR_OP_XCHG, 8, self->p, 0xd1, NULL));
	EXPECT_EQ(0xd1, XM_LOAD(self->p));
	ASSERT_EQ(0, conf_pageout(self->p, XM_PAGE));
	EXPECT_EQ(0xd1, XM_LOAD(self->p));
	EXPECT_EQ(0x1111111111111111ULL, self->p[1]);
}

/* S2: one that the mm has declared free */
TEST_F(questions, is_a_write_to_a_free_page_kept)
{
	if (!has_swap())
		SKIP(return, "no swap");
	ASSERT_EQ(0, madvise(self->p, XM_PAGE, MADV_FREE));
	ASSERT_EQ(0, xm_op(self->fd, XMIRROR_OP_XCHG, 8, self->p, 0xd2, NULL));
	EXPECT_EQ(0xd2, XM_LOAD(self->p));
	ASSERT_EQ(0, conf_pageout(self->p, XM_PAGE));
	EXPECT_EQ(0xd2, XM_LOAD(self->p));
}

/* One that is reclaimed as free, by the kernel's belief, while exclusive */
TEST_F(questions, is_a_free_page_kept_that_is_reclaimed)
{
	int i, err = 0;

	if (!has_swap())
		SKIP(return, "no swap");
	ASSERT_EQ(0, madvise(self->p, XM_PAGE, MADV_FREE));
	ASSERT_EQ(0, xm_op(self->fd, XMIRROR_OP_XCHG, 8, self->p, 0xd4, NULL));
	for (i = 0; i < 5 && !err; i++)
		err = conf_reclaim("16M");
	if (err == -ENOENT)
		SKIP(return, "no memory.reclaim");
	ASSERT_EQ(0, err);
	EXPECT_CLEAN(self->fd);
	EXPECT_EQ(0xd4, XM_LOAD(self->p));
	EXPECT_EQ(0x1111111111111111ULL, self->p[1]);
}

/* Shared memory that is swapped in by a read, written, swapped out */
TEST_F(questions, is_a_write_to_shared_memory_kept)
{
	__u64 *q = xm_shared(XM_PAGE);
	int i;

	if (!has_swap())
		SKIP(return, "no swap");
	ASSERT_NE(NULL, q);
	for (i = 0; i < 3; i++) {
		*q = 5;
		ASSERT_EQ(0, conf_pageout(q, XM_PAGE));
		EXPECT_EQ(5, XM_LOAD(q));
		ASSERT_EQ(0, xm_op(self->fd, XMIRROR_OP_STORE, 8, q, 0xd3 + i,
				   NULL));
		ASSERT_EQ(0, conf_pageout(q, XM_PAGE));
		EXPECT_EQ(0xd3 + i, XM_LOAD(q));
	}
}

/* A leaf must not outlive the cleaning of its page for writeback. */
TEST_F(questions, is_a_write_after_writeback_kept)
{
	const char *dir = getenv("XM_SCRATCH");
	__u64 word, *q;
	int file, i;

	if (!dir)
		SKIP(return, "no disk: XM_SCRATCH is not set");
	file = conf_temp_file(dir);
	ASSERT_LE(0, file);
	ASSERT_EQ(0, ftruncate(file, XM_PAGE));
	q = mmap(NULL, XM_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	ASSERT_NE(MAP_FAILED, q);
	for (i = 1; i < 4; i++) {
		ASSERT_EQ(0, xm_op(self->fd, XMIRROR_OP_STORE, 8, q, i, NULL));
		ASSERT_EQ(0, msync(q, XM_PAGE, MS_SYNC));
		EXPECT_EQ(0, xm_page(self->fd, q).dev & XMIRROR_PTE_WRITE);
		EXPECT_CLEAN(self->fd);
	}
	ASSERT_EQ(0, xm_op(self->fd, XMIRROR_OP_STORE, 8, q, 99, NULL));
	ASSERT_EQ(0, munmap(q, XM_PAGE));
	ASSERT_EQ(0, fsync(file));
	ASSERT_EQ(0, posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED));
	ASSERT_EQ(8, pread(file, &word, 8, 0));
	EXPECT_EQ(99, word);
	close(file);
}

/*
 * fork()
 */

/* As a driver that lets go of the folio too late */
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

/* The child's exit status is whether it sees @value; -errno without a child. */
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

TEST_F(questions, does_fork_fail_while_a_driver_holds_the_folio)
{
	struct worker w = {
		.fn = hold_the_folio,
		.fd = self->fd,
		.addr = self->p,
	};
	struct xmirror_stats before, after;
	__u32 id;

	NEED(XMIRROR_CAP_SYNC);
	/* The device watches the place, and has nothing. */
	ASSERT_EQ(0, xm_fault(self->fd, self->p, XM_PAGE, 0, NULL));
	ASSERT_EQ(0, xm_sync_arm(self->fd, XMIRROR_PT_EXCL_DONE, self->p,
				 XM_PAGE, &id));
	ASSERT_EQ(0, worker_start(&w));
	ASSERT_EQ(0, xm_sync_reached(self->fd, id, XM_LONG));
	ASSERT_TRUE(xm_is_exclusive(self->p));
	ASSERT_EQ(0, xm_stats(self->fd, &before));
	EXPECT_EQ(-ENOMEM, fork_and_look(self->p, 5));
	ASSERT_EQ(0, xm_stats(self->fd, &after));
	/* It came as far as the page, and left it alone. */
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

/* The one that writes second gets a copy, the device's process included. */
TEST_F(questions, who_keeps_the_page_after_fork)
{
	struct seen seen = { .p = self->p };
	int i, kept = 0;
	struct child c;

	ASSERT_EQ(0, xm_add(self->fd, self->p, 1));
	seen.pfn = xm_pfn(self->p);
	ASSERT_NE(0, seen.pfn);
	/* The child lives: it keeps the page, the parent's device a copy. */
	ASSERT_EQ(0, child_start(&c, keep_the_page, &seen));
	EXPECT_EQ(seen.pfn, xm_pfn(self->p));
	ASSERT_EQ(0, xm_add(self->fd, self->p, 1));
	EXPECT_NE(seen.pfn, xm_pfn(self->p));
	EXPECT_EQ(0, child_tell(&c, 'e'));
	EXPECT_EQ(0, child_end(&c));
	EXPECT_EQ(7, XM_LOAD(self->p));
	/*
	 * It is gone when the device writes: nothing is copied, unless a CPU's
	 * LRU batch happens to have a reference still.
	 */
	for (i = 0; i < 10; i++) {
		ASSERT_EQ(0, xm_add(self->fd, self->p, 1));
		seen.pfn = xm_pfn(self->p);
		EXPECT_EQ(0, fork_and_look(self->p, 8 + 2 * i));
		ASSERT_EQ(0, xm_add(self->fd, self->p, 1));
		kept += seen.pfn == xm_pfn(self->p);
	}
	EXPECT_LT(0, kept);
	EXPECT_EQ(27, XM_LOAD(self->p));
}

/*
 * Others
 */

static int add_many(struct worker *w)
{
	int err = 0;

	for (w->done = 0; w->done < ADDS && !err; w->done++)
		err = xm_add(w->fd, w->addr, 1);
	return err;
}

/* A page that nobody gets for five seconds would be an error: -EBUSY. */
TEST_F(questions, do_two_devices_that_fight_get_on)
{
	struct worker storm = { .fn = storm_over, .addr = self->p };
	struct worker w[2] = {
		{ .fn = add_many, .fd = self->fd, .addr = self->p },
		{ .fn = add_many, .addr = self->p },
	};
	struct xmirror_stats s[2];
	cpu_set_t all;
	int i;

	/* Both CPUs, or they take turns anyway. */
	memset(&all, 0xff, sizeof(all));
	ASSERT_EQ(0, sched_setaffinity(0, sizeof(all), &all));
	OPEN(w[1].fd, 1);
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, xm_set(w[i].fd, XMIRROR_SET_TIMEOUT, 5000, NULL));
		ASSERT_EQ(0, worker_start(&w[i]));
	}
	ASSERT_EQ(0, worker_start(&storm));
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(0, worker_join(&w[i]));
		ASSERT_EQ(0, xm_stats(w[i].fd, &s[i]));
		EXPECT_LT(0, s[i].excl_made);
		EXPECT_LE(s[i].excl_lost, s[i].excl_made);
	}
	XM_STORE(&storm.stop, true);
	EXPECT_EQ(0, worker_join(&storm));
	EXPECT_LT(0, s[0].excl_lost + s[1].excl_lost);
	EXPECT_EQ(5 + 2 * ADDS, XM_LOAD(self->p));
	EXPECT_CLEAN(w[1].fd);
	close(w[1].fd);
}

/* What /sys/kernel/mm/page_idle says after it has looked for accesses */
static int is_idle(int fd, __u64 pfn)
{
	__u64 bits;

	if (pread(fd, &bits, 8, pfn / 64 * 8) != 8)
		return -errno;
	return bits >> pfn % 64 & 1;
}

static int set_idle(int fd, __u64 pfn)
{
	__u64 bits = 1ULL << pfn % 64;

	return pwrite(fd, &bits, 8, pfn / 64 * 8) == 8 ? 0 : -errno;
}

/*
 * What asks the rmap learns of the CPU's accesses only: the page is old however
 * hot it is for the device. That it is dirty it has to take from the folio.
 */
TEST_F(questions, what_does_the_rmap_know_of_a_hot_page)
{
	int fd = open("/sys/kernel/mm/page_idle/bitmap", O_RDWR | O_CLOEXEC);
	struct xmirror_stats before, after;
	__u64 pfn;
	int i;

	if (fd < 0)
		SKIP(return, "no CONFIG_IDLE_PAGE_TRACKING");
	ASSERT_EQ(0, xm_add(self->fd, self->p, 1));
	pfn = xm_pfn(self->p);
	ASSERT_NE(0, pfn);
	/* Only pages on the LRU can be idle. */
	ASSERT_EQ(0, conf_drain());
	ASSERT_EQ(0, set_idle(fd, pfn));
	ASSERT_EQ(1, is_idle(fd, pfn));
	ASSERT_EQ(0, xm_stats(self->fd, &before));
	for (i = 0; i < 10; i++) {
		ASSERT_EQ(0, xm_add(self->fd, self->p, 1));
	}
	EXPECT_EQ(1, is_idle(fd, pfn));
	EXPECT_NE(0, xm_kpageflags(pfn) & XM_KPF_DIRTY);
	/* To look takes nothing from the device. */
	ASSERT_EQ(0, xm_stats(self->fd, &after));
	EXPECT_EQ(before.inv_leaves, after.inv_leaves);
	EXPECT_EQ(before.excl_made, after.excl_made);
	EXPECT_LEAF(self->fd, self->p, LEAF_EXCL);
	/* The CPU's access is one. */
	EXPECT_EQ(16, XM_LOAD(self->p));
	EXPECT_EQ(pfn, xm_pfn(self->p));
	EXPECT_EQ(0, is_idle(fd, pfn));
	close(fd);
}

TEST_HARNESS_MAIN
