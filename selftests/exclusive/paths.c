// SPDX-License-Identifier: GPL-2.0
/*
 * Ends of exclusive entries that take more than a row of end.c, and the views of
 * user space of an exclusive page: sections A, B, G and I of
 * Documentation/behaviour.md. Kernels before Linux 6.15 differ, since they take an
 * exclusive page out of the rmap (no XMIRROR_CAP_EXCLUSIVE_LARGE).
 */
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

#include "settings.h"
#include "test.h"
#include "uffd.h"

#define DEV	0xd0d0d0d0ULL

#define KPF_UNEVICTABLE	(1ULL << 18)
#define KPF_MLOCKED	(1ULL << 33)

FIXTURE(paths) {
	int fd;
	__u64 *p;
	bool old;
};

FIXTURE_SETUP(paths)
{
	self->fd = -1;
	NEED(XMIRROR_CAP_EXCLUSIVE);
	ASSERT_EQ(0, xm_pin_cpu());
	OPEN(self->fd, 0);
	self->old = !(xm_caps() & XMIRROR_CAP_EXCLUSIVE_LARGE);
	self->p = xm_area(XM_PAGE, 0);
	ASSERT_NE(NULL, self->p);
	memset(self->p, 0x11, XM_PAGE);
}

FIXTURE_TEARDOWN(paths)
{
	if (self->fd < 0)
		return;
	EXPECT_CLEAN(self->fd);
	close(self->fd);
}

/* Make @q exclusive and have the device write DEV to it. */
#define MAKE(q) \
	do { \
		ASSERT_EQ(0, xm_op(self->fd, XMIRROR_OP_XCHG, 8, (q), DEV, \
				   NULL)); \
		ASSERT_TRUE(xm_is_exclusive(q)); \
	} while (0)

static long map_count(__u64 pfn)
{
	int fd = open("/proc/kpagecount", O_RDONLY | O_CLOEXEC);
	__u64 n = ~0ULL;

	if (fd >= 0 && pread(fd, &n, 8, pfn * 8) != 8)
		n = ~0ULL;
	close(fd);
	return n;
}

#define PAGE_PRESENT	(1ULL << 3)
#define PAGE_SWAPPED	(1ULL << 4)

/* User space sees a page that is present, but not mapped. */
/* covers: A.counts, I.pagemap, I.views */
TEST_F(paths, views_by_version)
{
	const bool shared = xm_kver() > XM_KVER(6, 1);
	long seen;
	__u64 pfn, pm, dev = DEV;
	unsigned char core = 0;

	EXPECT_EQ(1, map_count(xm_pfn(self->p)));
	EXPECT_EQ(XM_PAGE_KB, xm_smaps_kb(self->p, "Private_Dirty"));
	MAKE(self->p);
	pfn = xm_pfn(self->p);
	pm = xm_pagemap(self->p);
	EXPECT_EQ(XM_PM_SWAP, pm & (XM_PM_PRESENT | XM_PM_SWAP | XM_PM_FILE |
				    XM_PM_ANON_EXCLUSIVE));
	EXPECT_EQ(pfn, (pm & ~(~0ULL << 55)) >> 5);
	EXPECT_EQ(self->old ? 0 : 1, map_count(pfn));
	EXPECT_EQ(0, mincore(self->p, XM_PAGE, &core));
	EXPECT_EQ(1, core & 1);
	EXPECT_EQ(XM_PAGE_KB, xm_smaps_kb(self->p, "Rss"));
	EXPECT_EQ(0, xm_smaps_kb(self->p, "Swap"));
	EXPECT_EQ(XM_PAGE_KB, xm_smaps_kb(self->p, "Anonymous"));
	/* Newer kernels count a page that is not present as possibly shared. */
	EXPECT_EQ(shared ? 0 : XM_PAGE_KB, xm_smaps_kb(self->p, "Private_Dirty"));
	EXPECT_EQ(shared ? XM_PAGE_KB : 0, xm_smaps_kb(self->p, "Shared_Dirty"));
	EXPECT_NE(0, xm_kpageflags(pfn) & XM_KPF_DIRTY);
	seen = xm_scan(self->p, 0, 0, PAGE_PRESENT | PAGE_SWAPPED);
	if (seen != -ENOTTY) {
		EXPECT_EQ(PAGE_SWAPPED, seen);
	}
	EXPECT_TRUE(xm_is_exclusive(self->p));
	EXPECT_LEAF(self->fd, self->p, LEAF_EXCL);
	EXPECT_EQ(dev, XM_LOAD(self->p));
	EXPECT_EQ(1, map_count(pfn));
	EXPECT_EQ(XM_PAGE_KB, xm_smaps_kb(self->p, "Private_Dirty"));
}

/*
 * mlock
 */

/*
 * munlock() skips entries that are not present. Unless the call that made the page
 * exclusive has unlocked it, the page stays unevictable for good.
 */
/* covers: A.mlock */
TEST_F(paths, munlock_of_an_exclusive_page)
{
	__u64 *other = xm_anon(XM_PAGE), flags, control;

	ASSERT_NE(NULL, other);
	*other = 1;
	ASSERT_EQ(0, mlock(self->p, XM_PAGE));
	ASSERT_EQ(0, mlock(other, XM_PAGE));
	EXPECT_NE(0, xm_kpageflags(xm_pfn(self->p)) & KPF_MLOCKED);
	EXPECT_NE(0, xm_kpageflags(xm_pfn(other)) & KPF_MLOCKED);
	MAKE(self->p);
	ASSERT_EQ(0, munlock(self->p, XM_PAGE));
	ASSERT_EQ(0, munlock(other, XM_PAGE));
	ASSERT_EQ(0, xm_drain());
	EXPECT_TRUE(xm_is_exclusive(self->p));
	EXPECT_EQ(DEV, XM_LOAD(self->p));
	ASSERT_EQ(0, xm_drain());
	flags = xm_kpageflags(xm_pfn(self->p));
	control = xm_kpageflags(xm_pfn(other));
	EXPECT_EQ(0, control & (KPF_MLOCKED | KPF_UNEVICTABLE));
	if (xm_meminfo_kb("SwapTotal") > 0) {
		EXPECT_EQ(0, xm_pageout(other, XM_PAGE));
	}
	XM_XFAIL_IF(!self->old, !(flags & KPF_MLOCKED),
		    "munlock() passes exclusive entries since Linux 6.15");
	if (flags & KPF_MLOCKED) {
		/* The consequence: the page cannot be paged out any more. */
		if (xm_meminfo_kb("SwapTotal") > 0) {
			EXPECT_EQ(-EAGAIN, xm_pageout(self->p, XM_PAGE));
		}
		EXPECT_EQ(DEV, XM_LOAD(self->p));
	} else {
		EXPECT_EQ(0, flags & KPF_UNEVICTABLE);
	}
}

/* Access that only a tracer has */

static int peek_and_poke(struct child *c, void *arg)
{
	__u64 *p = arg;
	int status;

	CHILD_CHECK(child_hear(c) == 'g');
	CHILD_CHECK(ptrace(PTRACE_ATTACH, getppid(), NULL, NULL) == 0);
	CHILD_CHECK(waitpid(getppid(), &status, __WALL) == getppid());
	errno = 0;
	CHILD_CHECK(ptrace(PTRACE_PEEKDATA, getppid(), p, NULL) == DEV);
	CHILD_CHECK(!errno);
	CHILD_CHECK(ptrace(PTRACE_POKEDATA, getppid(), p + 1, 77) == 0);
	CHILD_CHECK(ptrace(PTRACE_DETACH, getppid(), NULL, NULL) == 0);
	return 0;
}

/* covers: B.forced */
TEST_F(paths, tracer_in_forbidden_memory)
{
	struct child c;

	/* The tracer is started before, since fork() ends the entry. */
	ASSERT_EQ(0, child_start(&c, peek_and_poke, self->p));
	MAKE(self->p);
	ASSERT_EQ(0, mprotect(self->p, XM_PAGE, PROT_NONE));
	EXPECT_TRUE(xm_is_exclusive(self->p));
	EXPECT_EQ(0, child_tell(&c, 'g'));
	EXPECT_EQ(0, child_end(&c));
	EXPECT_FALSE(xm_is_exclusive(self->p));
	EXPECT_LEAF(self->fd, self->p, LEAF_NONE);
	EXPECT_EQ(-EFAULT, xm_add(self->fd, self->p, 1));
	ASSERT_EQ(0, mprotect(self->p, XM_PAGE, PROT_READ | PROT_WRITE));
	EXPECT_EQ(DEV, XM_LOAD(self->p));
	EXPECT_EQ(77, XM_LOAD(self->p + 1));
}

/* The heap's end */
/* covers: B.unmap */
TEST_F(paths, brk)
{
	char *was = sbrk(0), *p;
	struct xmirror_stats before, after;

	ASSERT_NE((void *)-1, sbrk(4 * XM_PAGE));
	p = (char *)(((uintptr_t)was + 2 * XM_PAGE - 1) & ~(XM_PAGE - 1));
	ASSERT_EQ(0, xm_no_thp(p, XM_PAGE));
	MAKE((__u64 *)p);
	ASSERT_EQ(0, xm_stats(self->fd, &before));
	ASSERT_EQ(0, brk(p));
	ASSERT_EQ(0, xm_stats(self->fd, &after));
	EXPECT_LE(1, after.inv[XM_EV_UNMAP] - before.inv[XM_EV_UNMAP]);
	EXPECT_LEAF(self->fd, p, LEAF_NONE);
	EXPECT_EQ(0, xm_pagemap(p) & (XM_PM_SWAP | XM_PM_PRESENT));
	EXPECT_EQ(-EFAULT, xm_add(self->fd, p, 1));
	ASSERT_NE((void *)-1, sbrk(2 * XM_PAGE));
	EXPECT_EQ(0, XM_LOAD((__u64 *)p));
}

/*
 * Memory errors
 */

#define HWPOISON	"/sys/kernel/debug/hwpoison/"

static void hwpoison(const char *file, __u64 pfn)
{
	char text[32];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)pfn);
	xm_write_file(file, text);
}

/* hwpoison is injected: it replaces the entry if the rmap finds it. */
/* covers: B.failure */
TEST_F(paths, memory_failure)
{
	struct iovec to, from = { self->p, 8 };
	__u64 v, pfn;

	/* After this device memory cannot be removed any more. */
	if (xm_kver() <= XM_KVER(6, 1))
		XM_SKIP(return, "Linux 6.1 dies of unloading the module after it");
	if (access(HWPOISON "corrupt-pfn", W_OK))
		XM_SKIP(return, "no CONFIG_HWPOISON_INJECT");
	to = (struct iovec){ &v, 8 };
	MAKE(self->p);
	pfn = xm_pfn(self->p);
	hwpoison(HWPOISON "corrupt-pfn", pfn);
	EXPECT_CLEAN(self->fd);
	if (self->old) {
		/* The rmap finds no mapping. */
		EXPECT_TRUE(xm_is_exclusive(self->p));
		EXPECT_EQ(8, process_vm_readv(getpid(), &to, 1, &from, 1, 0));
		EXPECT_EQ(DEV, v);
	} else {
		EXPECT_FALSE(xm_is_exclusive(self->p));
		EXPECT_LEAF(self->fd, self->p, LEAF_NONE);
		EXPECT_EQ(-1, process_vm_readv(getpid(), &to, 1, &from, 1, 0));
		EXPECT_EQ(-EFAULT, xm_add(self->fd, self->p, 1));
	}
	munmap(self->p, XM_PAGE);
	hwpoison(HWPOISON "unpoison-pfn", pfn);
}

/* Who wants to hear of an error before the access hears of the device's page, too. */
/* covers: B.failure */
TEST_F(paths, memory_failure_is_told_early)
{
	const struct timespec at_once = {};
	siginfo_t info = {};
	sigset_t bus;
	__u64 pfn;

	NEED(XMIRROR_CAP_EXCLUSIVE_LARGE);
	if (access(HWPOISON "corrupt-pfn", W_OK))
		XM_SKIP(return, "no CONFIG_HWPOISON_INJECT");
	sigemptyset(&bus);
	sigaddset(&bus, SIGBUS);
	ASSERT_EQ(0, sigprocmask(SIG_BLOCK, &bus, NULL));
	ASSERT_EQ(0, prctl(PR_MCE_KILL, PR_MCE_KILL_SET, PR_MCE_KILL_EARLY, 0,
			   0));
	MAKE(self->p);
	pfn = xm_pfn(self->p);
	hwpoison(HWPOISON "corrupt-pfn", pfn);
	EXPECT_FALSE(xm_is_exclusive(self->p));
	EXPECT_EQ(SIGBUS, sigtimedwait(&bus, &info, &at_once));
	EXPECT_EQ(BUS_MCEERR_AO, info.si_code);
	EXPECT_EQ(self->p, info.si_addr);
	EXPECT_EQ(XM_PAGE, 1UL << info.si_addr_lsb);
	munmap(self->p, XM_PAGE);
	hwpoison(HWPOISON "unpoison-pfn", pfn);
}

/*
 * Huge pages
 */

/* khugepaged takes an exclusive page, with its data. */
/* covers: B.khugepaged */
TEST_F(paths, khugepaged_takes_it)
{
	char *p = xm_anon_aligned(XM_PMD, XM_PMD);
	__u64 start = xm_now_ns();
	size_t i, wrong = 0;
	__u64 *q;

	ASSERT_NE(NULL, p);
	memset(p, 0x22, XM_PMD);
	q = (__u64 *)(p + 300 * XM_PAGE);
	MAKE(q);
	NEED_THP();
	NEED_HUGE_MEMORY(1U);
	ASSERT_EQ(0, xm_khugepaged_eager());
	ASSERT_EQ(0, madvise(p, XM_PMD, MADV_HUGEPAGE));
	while (!(xm_page(self->fd, p).cpu & XMIRROR_CPU_HUGE) &&
	       !xm_expired(start, XM_LONG))
		sched_yield();
	xm_settings_restore();
	EXPECT_TRUE(xm_page(self->fd, p).cpu & XMIRROR_CPU_HUGE);
	EXPECT_LEAF(self->fd, q, LEAF_NONE);
	EXPECT_CLEAN(self->fd);
	EXPECT_EQ(DEV, XM_LOAD(q));
	for (i = 0; i < XM_PMD; i += XM_PAGE)
		wrong += p[i + 8] != 0x22;
	EXPECT_EQ(0, wrong);
}

/* 64 KiB in one folio (or more of larger pages), and 16 single pages for the device */
/* covers: G.64k */
TEST_F(paths, each_page_of_64k)
{
	const size_t len = 16 * XM_PAGE;
	char *p = xm_anon_aligned(XM_PMD, XM_PMD);
	struct xmirror_stats before, after;
	size_t i;
	int err;

	ASSERT_NE(NULL, p);
	NEED(XMIRROR_CAP_EXCLUSIVE_LARGE);
	err = xm_thp_16_pages();
	if (err == -ENOENT)
		XM_SKIP(return, "no large folios of 16 pages: Linux 6.8");
	ASSERT_EQ(0, err);
	EXPECT_EQ(0, madvise(p, XM_PMD, MADV_HUGEPAGE));
	memset(p, 0x22, len);
	/* Or khugepaged makes a huge page of it. */
	ASSERT_EQ(0, xm_no_thp(p, XM_PMD));
	xm_settings_restore();
	if (xm_pfn(p + 15 * XM_PAGE) != xm_pfn(p) + 15)
		XM_SKIP(return, "allocation of a folio of 16 pages failed");
	for (i = 0; i < len; i += XM_PAGE) {
		MAKE((__u64 *)(p + i));
	}
	EXPECT_EQ(16, xm_count_exclusive(p, len));
	EXPECT_EQ(xm_pfn(p) + 15, xm_pfn(p + 15 * XM_PAGE));
	EXPECT_CLEAN(self->fd);
	/* One access restores one page. */
	ASSERT_EQ(0, xm_stats(self->fd, &before));
	EXPECT_EQ(DEV, XM_LOAD((__u64 *)(p + 5 * XM_PAGE)));
	ASSERT_EQ(0, xm_stats(self->fd, &after));
	EXPECT_EQ(1, after.inv_leaves - before.inv_leaves);
	EXPECT_EQ(15, xm_count_exclusive(p, len));
	for (i = 0; i < len; i += XM_PAGE) {
		EXPECT_EQ(DEV, XM_LOAD((__u64 *)(p + i)));
		EXPECT_EQ(0x22, p[i + 8]);
	}
	munmap(p, XM_PMD);
}

/* Advice for a range of which the device has a page of a large folio */
/* covers: B.cold */
TEST_F(paths, advice_beside_one_of_a_huge_page)
{
	static const int advice[] = { MADV_FREE, MADV_COLD, MADV_PAGEOUT };
	unsigned int i;
	__u64 *q;
	char *p;

	NEED(XMIRROR_CAP_EXCLUSIVE_LARGE);
	for (i = 0; i < 3; i++) {
		p = xm_thp(self->fd, 0x22);
		if (!p)
			XM_SKIP(return, "%s", xm_why_no_thp());
		q = (__u64 *)(p + 37 * XM_PAGE);
		MAKE(q);
		/* Neighbours only; the folio has to be split for them. */
		ASSERT_EQ(0, madvise(p + 38 * XM_PAGE, 2 * XM_PAGE,
				     advice[i]));
		EXPECT_CLEAN(self->fd);
		if (!xm_is_exclusive(q)) {
			EXPECT_LEAF(self->fd, q, LEAF_NONE);
		}
		EXPECT_EQ(DEV, XM_LOAD(q));
		EXPECT_EQ(0x22, p[36 * XM_PAGE]);
		if (advice[i] != MADV_FREE) {
			EXPECT_EQ(0x22, p[38 * XM_PAGE]);
		}
		EXPECT_EQ(0, xm_add(self->fd, q, 1));
		EXPECT_EQ(DEV + 1, XM_LOAD(q));
		munmap(p, XM_PMD);
	}
}

/* UFFDIO_POISON fails on an exclusive page. */
#define XM_UFFDIO_POISON	_IOWR(UFFDIO, 0x08, struct uffdio_zeropage)
#define XM_UFFD_POISON	(1ULL << 14)

/* covers: B.uffd */
TEST_F(paths, uffd_poison)
{
	/* Like zeropage's: a range, a mode and a result */
	struct uffdio_zeropage z = {
		.range = { .start = (uintptr_t)self->p, .len = XM_PAGE },
	};
	int uffd = xm_uffd(XM_UFFD_POISON);

	if (uffd < 0)
		XM_SKIP(return, "UFFDIO_POISON: Linux 6.6, CONFIG_USERFAULTFD");
	ASSERT_EQ(0, xm_uffd_register(uffd, self->p, XM_PAGE,
				      UFFDIO_REGISTER_MODE_MISSING));
	MAKE(self->p);
	EXPECT_EQ(-1, ioctl(uffd, XM_UFFDIO_POISON, &z));
	EXPECT_EQ(EEXIST, errno);
	EXPECT_TRUE(xm_is_exclusive(self->p));
	EXPECT_LEAF(self->fd, self->p, LEAF_EXCL);
	EXPECT_EQ(DEV, XM_LOAD(self->p));
	close(uffd);
}

TEST_HARNESS_MAIN
