// SPDX-License-Identifier: GPL-2.0
/*
 * How an exclusive entry ends: each path by which the mm can meet one, with the
 * state that it has to find and to leave: advice, fork, changes of the mapping,
 * reclaim and migration, userfaultfd, and views. A row of the table is a test.
 * Accesses are in end_access.c, the pages of a large folio in end_large.c.
 */
#include <linux/mempolicy.h>
#include <sys/swap.h>

#include "end_fixture.h"
#include "klog.h"

/* madvise(), one function per advice */

static int advise(struct env *e, int advice)
{
	return madvise(e->p, XM_PAGE, advice) ? -errno : 0;
}

#define ADVICE(name, advice) \
	static int name(struct env *e) { return advise(e, advice); }

ADVICE(populate_read, MADV_POPULATE_READ)
ADVICE(populate_write, MADV_POPULATE_WRITE)
ADVICE(dontneed, MADV_DONTNEED)
ADVICE(dontneed_locked, MADV_DONTNEED_LOCKED)
ADVICE(lazyfree, MADV_FREE)
ADVICE(cold, MADV_COLD)
ADVICE(pageout, MADV_PAGEOUT)
ADVICE(willneed, MADV_WILLNEED)
ADVICE(mergeable, MADV_MERGEABLE)
ADVICE(dontdump, MADV_DONTDUMP)

static int hugepage(struct env *e)
{
	if (!xm_has_thp())
		return not_here(e, xm_why_no_thp());
	return advise(e, MADV_HUGEPAGE);
}

static int soft_offline(struct env *e)
{
	int err;

	/* After this device memory cannot be removed any more. */
	if (xm_kver() <= XM_KVER(6, 1))
		return not_here(e, "Linux 6.1 dies of unloading the module");
	err = advise(e, XM_MADV_SOFT_OFFLINE);
	return err == -EINVAL ? not_here(e, "no CONFIG_MEMORY_FAILURE") : err;
}

static int guard_page(struct env *e)
{
	int err = advise(e, XM_MADV_GUARD_INSTALL);

	return err == -EINVAL ? not_here(e, "guard pages: Linux 6.13") : err;
}

static int guard_end(struct env *e)
{
	return advise(e, XM_MADV_GUARD_REMOVE);
}

/* mlock */

static int lock_page(struct env *e)
{
	return mlock(e->p, XM_PAGE) ? -errno : 0;
}

static int lock_onfault(struct env *e)
{
	return mlock2(e->p, XM_PAGE, MLOCK_ONFAULT) ? -errno : 0;
}

static int unlock_page(struct env *e)
{
	return munlock(e->p, XM_PAGE) ? -errno : 0;
}

/* fork */

static int look(struct child *c, void *arg)
{
	struct env *e = arg;

	(void)c;
	return XM_LOAD(e->p) == DEV ? 0 : 1;
}

static int fork_child(struct env *e)
{
	if (child_start(&e->child, look, e))
		return -EIO;
	return child_end(&e->child) ? -EIO : 0;
}

static int nothing(struct child *c, void *arg)
{
	(void)c;
	(void)arg;
	return 0;
}

static int fork_only(struct env *e)
{
	if (child_start(&e->child, nothing, e))
		return -EIO;
	return child_end(&e->child) ? -EIO : 0;
}

static int dontfork(struct env *e)
{
	FAIL_UNLESS(advise(e, MADV_DONTFORK) == 0);
	return fork_only(e);
}

static int zero(struct child *c, void *arg)
{
	struct env *e = arg;

	(void)c;
	return XM_LOAD(e->p) ? 1 : 0;
}

static int wipeonfork(struct env *e)
{
	FAIL_UNLESS(advise(e, MADV_WIPEONFORK) == 0);
	if (child_start(&e->child, zero, e))
		return -EIO;
	return child_end(&e->child) ? -EIO : 0;
}

static int vfork_child(struct env *e)
{
	int status = -1;
	pid_t pid = vfork();

	(void)e;
	if (!pid)
		_exit(0);
	FAIL_UNLESS(pid > 0);
	FAIL_UNLESS(waitpid(pid, &status, 0) == pid);
	return status ? -EIO : 0;
}

static int sleeper(struct worker *w)
{
	while (!XM_LOAD(&w->stop))
		sched_yield();
	return 0;
}

static int thread_prepare(struct env *e)
{
	e->thread.fn = sleeper;
	return worker_start(&e->thread);
}

static int thread_exit(struct env *e)
{
	XM_STORE(&e->thread.stop, true);
	return worker_join(&e->thread);
}

/* The mapping */

static int protect(struct env *e, int prot)
{
	return mprotect(e->p, XM_PAGE, prot) ? -errno : 0;
}

static int protect_read(struct env *e)
{
	return protect(e, PROT_READ);
}

static int protect_rw(struct env *e)
{
	return protect(e, PROT_READ | PROT_WRITE);
}

static int protect_twice(struct env *e)
{
	FAIL_UNLESS(protect_read(e) == 0);
	return protect_rw(e);
}

static int protect_none(struct env *e)
{
	FAIL_UNLESS(protect(e, PROT_NONE) == 0);
	/* An access fails before it reaches the entry. */
	FAIL_UNLESS(write(e->pipe[1], e->p, 8) == -1 && errno == EFAULT);
	return 0;
}

static int unmap(struct env *e)
{
	return munmap(e->p, XM_PAGE) ? -errno : 0;
}

static int map_over(struct env *e)
{
	void *p = mmap(e->p, XM_PAGE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

	return p == e->p ? 0 : -errno;
}

static int hole_prepare(struct env *e)
{
	e->q = xm_hole(XM_PAGE);
	return e->q ? 0 : -ENOMEM;
}

static int move(struct env *e)
{
	void *p = mremap(e->p, XM_PAGE, XM_PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
			 e->q);

	return p == e->q ? 0 : -errno;
}

static int move_dontunmap(struct env *e)
{
	e->q = mremap(e->p, XM_PAGE, XM_PAGE,
		      MREMAP_MAYMOVE | MREMAP_DONTUNMAP, 0);
	return e->q != MAP_FAILED ? 0 : -errno;
}

static int grow(struct env *e)
{
	void *p = mremap(e->p, XM_PAGE, 2 * XM_PAGE, 0);

	return p == e->p ? 0 : -errno;
}

/* Reclaim, migration, KSM */

static int only_page(struct env *e)
{
	return xm_reclaim_only(e->p, XM_PAGE);
}

static int reclaim_all(struct env *e)
{
	int err;

	if (xm_reclaim_corrupts())
		return not_here(e, "no XMIRROR_CAP_RECLAIM_EXCLUSIVE");
	err = xm_reclaim_exclusive(e->p, XM_PAGE);
	if (err == -ENOENT)
		return not_here(e, "memory.reclaim: Linux 5.19, CONFIG_MEMCG");
	return err;
}

static int swap_off_on(struct env *e)
{
	const char *disk = getenv("XM_SWAP_DISK");

	if (!disk)
		return not_here(e, "no disk: XM_SWAP_DISK is not set");
	FAIL_UNLESS(swapoff(disk) == 0);
	FAIL_UNLESS(swapon(disk, 0) == 0);
	return 0;
}

static int compact(struct env *e)
{
	int err = xm_write_file("/proc/sys/vm/compact_memory", "1");

	return err ? not_here(e, "no CONFIG_COMPACTION") : 0;
}

static int other_node(struct env *e)
{
	if (access("/sys/devices/system/node/node1", F_OK))
		return not_here(e, "one NUMA node only");
	return 0;
}

static int move_pages_away(struct env *e)
{
	void *pages[1] = { e->p };
	int node, status = 0;

	for (node = 0; node < 2; node++) {
		FAIL_UNLESS(syscall(SYS_move_pages, 0, 1, pages, &node, &status,
				    MPOL_MF_MOVE) >= 0);
		FAIL_UNLESS(status == -ENOENT);
	}
	return 0;
}

static int move_pages_query(struct env *e)
{
	void *pages[1] = { e->p };
	int status = 0;

	FAIL_UNLESS(syscall(SYS_move_pages, 0, 1, pages, NULL, &status, 0) ==
		    0);
	return status == -ENOENT ? 0 : -EIO;
}

static int bind_to(struct env *e, unsigned long nodes)
{
	return syscall(SYS_mbind, e->p, XM_PAGE, MPOL_BIND, &nodes, 8UL,
		       MPOL_MF_MOVE) ? -errno : 0;
}

static int mbind_move(struct env *e)
{
	int err = bind_to(e, 1);

	return err ? err : bind_to(e, 2);
}

static int migrate_self(struct env *e)
{
	unsigned long one = 1, two = 2;

	(void)e;
	FAIL_UNLESS(syscall(SYS_migrate_pages, 0, 8UL, &one, &two) >= 0);
	FAIL_UNLESS(syscall(SYS_migrate_pages, 0, 8UL, &two, &one) >= 0);
	return 0;
}

static int ksm_prepare(struct env *e)
{
	__u64 *same[2], i;

	if (!xm_has_ksm())
		return not_here(e, "no CONFIG_KSM");
	/* A page with the same contents */
	for (i = 0; i < 2; i++) {
		same[i] = xm_anon(XM_PAGE);
		FAIL_UNLESS(same[i]);
		memset(same[i], 0x11, XM_PAGE);
		same[i][0] = DEV;
		FAIL_UNLESS(madvise(same[i], XM_PAGE, MADV_MERGEABLE) == 0);
	}
	return 0;
}

static int scan_by_ksm(struct env *e)
{
	FAIL_UNLESS(advise(e, MADV_MERGEABLE) == 0);
	return xm_ksm_scan(XM_LONG);
}

/* userfaultfd */

static int uffd_open(struct env *e, __u64 features, __u64 mode)
{
	e->uffd = xm_uffd(features);
	if (e->uffd < 0)
		return not_here(e, "userfaultfd lacks this feature");
	return mode ? xm_uffd_register(e->uffd, e->p, XM_PAGE, mode) : 0;
}

static int uffd_wp_prepare(struct env *e)
{
	return uffd_open(e, UFFD_FEATURE_PAGEFAULT_FLAG_WP,
			 UFFDIO_REGISTER_MODE_WP);
}

static int uffd_prepare(struct env *e)
{
	return uffd_open(e, UFFD_FEATURE_PAGEFAULT_FLAG_WP, 0);
}

static int uffd_missing_prepare(struct env *e)
{
	return uffd_open(e, 0, UFFDIO_REGISTER_MODE_MISSING);
}

static int uffd_register_now(struct env *e)
{
	return xm_uffd_register(e->uffd, e->p, XM_PAGE,
				  UFFDIO_REGISTER_MODE_WP |
				  UFFDIO_REGISTER_MODE_MISSING);
}

static int uffd_wp_on(struct env *e)
{
	FAIL_UNLESS(xm_uffd_wp(e->uffd, e->p, XM_PAGE, true) == 0);
	FAIL_UNLESS(xm_pagemap(e->p) & XM_PM_UFFD_WP);
	return 0;
}

static int uffd_wp_off(struct env *e)
{
	FAIL_UNLESS(uffd_wp_on(e) == 0);
	FAIL_UNLESS(xm_uffd_wp(e->uffd, e->p, XM_PAGE, false) == 0);
	FAIL_UNLESS(!(xm_pagemap(e->p) & XM_PM_UFFD_WP));
	return 0;
}

static int uffd_wp_when_read(struct env *e)
{
	FAIL_UNLESS(xm_pagemap(e->p) & XM_PM_UFFD_WP);
	return 0;
}

static int uffd_copy(struct env *e)
{
	struct uffdio_copy copy = {
		.dst = (uintptr_t)e->p,
		.src = (uintptr_t)xm_anon(XM_PAGE),
		.len = XM_PAGE,
	};

	FAIL_UNLESS(ioctl(e->uffd, UFFDIO_COPY, &copy) == -1);
	return errno == EEXIST ? 0 : -EIO;
}

static int uffd_zeropage(struct env *e)
{
	struct uffdio_zeropage z = {
		.range = { .start = (uintptr_t)e->p, .len = XM_PAGE },
	};

	FAIL_UNLESS(ioctl(e->uffd, UFFDIO_ZEROPAGE, &z) == -1);
	return errno == EEXIST ? 0 : -EIO;
}

static int uffd_move_prepare(struct env *e)
{
	int err = uffd_open(e, XM_UFFD_MOVE, UFFDIO_REGISTER_MODE_MISSING);

	if (err)
		return not_here(e, "UFFDIO_MOVE: Linux 6.8");
	e->q = xm_anon(XM_PAGE);
	FAIL_UNLESS(e->q);
	return xm_uffd_register(e->uffd, e->q, XM_PAGE,
				  UFFDIO_REGISTER_MODE_MISSING);
}

static int uffd_move(struct env *e)
{
	FAIL_UNLESS(xm_uffd_move(e->uffd, e->q, e->p, XM_PAGE) == -EFAULT);
	return 0;
}

/*
 * From 6.10 to 6.14 the page table check warns of a protected entry that was
 * writable; only mprotect() clears its write bit.
 */
static int scan_prepare(struct env *e)
{
	int err = uffd_open(e, UFFD_FEATURE_PAGEFAULT_FLAG_WP |
			    XM_UFFD_WP_ASYNC, UFFDIO_REGISTER_MODE_WP);

	if (err)
		return not_here(e, "asynchronous uffd-wp: Linux 6.7, CONFIG_PTE_MARKER_UFFD_WP");
	klog_expect_scan(false);
	return 0;
}

static int pagemap_scan(struct env *e)
{
	/* The device wrote to it, so PAGEMAP_SCAN has to report it as written. */
	FAIL_UNLESS(xm_scan_written(e->p) == 1);
	klog_expected_scan(false);
	FAIL_UNLESS(xm_pagemap(e->p) & XM_PM_UFFD_WP);
	return 0;
}

/* Views */

static int clear_soft_dirty(struct env *e)
{
	if (!xm_has_soft_dirty())
		return not_here(e, "no CONFIG_MEM_SOFT_DIRTY");
	FAIL_UNLESS(xm_write_file("/proc/self/clear_refs", "4") == 0);
	FAIL_UNLESS(!(xm_pagemap(e->p) & XM_PM_SOFT_DIRTY));
	return 0;
}

static int soft_dirty_when_read(struct env *e)
{
	bool old = !(xm_caps() & XMIRROR_CAP_EXCLUSIVE_LARGE);

	FAIL_UNLESS(!!(xm_pagemap(e->p) & XM_PM_SOFT_DIRTY) == old);
	return 0;
}

static int clear_young(struct env *e)
{
	(void)e;
	return xm_write_file("/proc/self/clear_refs", "1");
}

static int views(struct env *e)
{
	unsigned char core = 0;
	char text[4096];
	int fd;

	FAIL_UNLESS(xm_smaps_kb(e->p, "Rss") == XM_PAGE_KB);
	FAIL_UNLESS(xm_smaps_kb(e->p, "Swap") == 0);
	FAIL_UNLESS(mincore(e->p, XM_PAGE, &core) == 0);
	FAIL_UNLESS(core & 1);
	FAIL_UNLESS(xm_kpageflags(xm_pfn(e->p)) != 0);
	fd = open("/proc/self/numa_maps", O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		while (read(fd, text, sizeof(text)) > 0)
			;
		close(fd);
	}
	return 0;
}

/* The rows */

#define UFFD_WP		WITH(uffd_wp_prepare)
#define THEN_WP		.when_read = uffd_wp_when_read
#define THEN_SOFT	.when_read = soft_dirty_when_read

ROW(populate_read, RESTORED);	/* covers: B.populate */
ROW(populate_write, RESTORED);	/* covers: B.populate */
ROW(lock_page, RESTORED);	/* covers: B.populate */
/* Restored, and then replaced by another page */
ROW(soft_offline, ENDED(EV_R, ANY));	/* covers: B.failure */

ROW(lock_onfault, QUIET);	/* covers: B.populate */
ROW(unlock_page, QUIET, WITH(lock_page));	/* covers: B.populate */
ROW(dontfork, QUIET);	/* covers: B.fork */
ROW(wipeonfork, QUIET);	/* covers: B.fork */
ROW(vfork_child, QUIET);	/* covers: B.fork */
ROW(thread_exit, QUIET, WITH(thread_prepare));	/* covers: B.fork */
ROW(protect_rw, QUIET);	/* covers: B.mprotect */
ROW(cold, QUIET);	/* covers: B.cold */
ROW(pageout, QUIET);	/* covers: B.cold */
ROW(willneed, QUIET);	/* covers: B.advice */
ROW(mergeable, QUIET);	/* covers: B.advice */
ROW(hugepage, QUIET);	/* covers: B.advice */
ROW(dontdump, QUIET);
ROW(grow, QUIET, .room = XM_PAGE);	/* covers: B.mremap */
ROW(move_pages_away, QUIET, WITH(other_node));	/* covers: B.move_pages */
ROW(move_pages_query, QUIET);	/* covers: B.move_pages, I.views */
ROW(mbind_move, QUIET, WITH(other_node));	/* covers: B.move_pages */
ROW(migrate_self, QUIET, WITH(other_node));	/* covers: B.move_pages */
ROW(scan_by_ksm, QUIET, WITH(ksm_prepare));	/* covers: E11, B.ksm */
ROW(uffd_register_now, QUIET, WITH(uffd_prepare));	/* covers: B.uffd */
ROW(uffd_copy, QUIET, WITH(uffd_missing_prepare));	/* covers: B.uffd */
ROW(uffd_zeropage, QUIET, WITH(uffd_missing_prepare));	/* covers: B.uffd */
ROW(clear_young, QUIET);	/* covers: B.views */
ROW(views, QUIET);	/* covers: B.views, I.views */
ROW(swap_off_on, QUIET);	/* covers: B.exit */

/* The parent shares its page; no event is sent for the entry itself. */
ROW(fork_child, ENDED(EV(PROTECTION_PAGE), P | D));	/* covers: B.fork */

/* Before 6.15 a change of protection demotes the entry for good. */
ROW(protect_read, KEPT(PROTECTION_VMA, P));	/* covers: B.mprotect */
/* covers: B.mprotect */
ROW(protect_none, KEPT(PROTECTION_VMA, ANY), .undo = protect_rw);
/* covers: B.mprotect */
ROW2(protect_twice, KEPT(PROTECTION_VMA, P), KEPT(PROTECTION_VMA, FULL));
/* covers: B.uffd, F.wp */
ROW(uffd_wp_on, KEPT(PROTECTION_VMA, P), UFFD_WP, THEN_WP);
/* covers: B.uffd, F.wp */
ROW2(uffd_wp_off, KEPT(PROTECTION_VMA, P), KEPT(PROTECTION_VMA, FULL), UFFD_WP);
/* covers: B.scan */
ROW(pagemap_scan, KEPT(PROTECTION_VMA, P), WITH(scan_prepare), THEN_WP);

ROW(unmap, LOST(UNMAPPED, UNMAP, 0, -1));	/* covers: B.unmap */
ROW(map_over, LOST(GONE, UNMAP, 0, 0));	/* covers: B.unmap */
ROW(dontneed, LOST(GONE, CLEAR, 0, 0));	/* covers: B.dontneed */
ROW(dontneed_locked, LOST(GONE, CLEAR, 0, 0));	/* covers: B.dontneed */
/* covers: B.dontneed */
ROW(guard_page, LOST(GONE, CLEAR, O, 0), .undo = guard_end);
/* The path skips the entry, and the page keeps its data. */
ROW(lazyfree, KEPT(CLEAR, FULL));	/* covers: B.dontneed */
/* covers: B.uffd */
ROW(uffd_move, KEPT(CLEAR, FULL), WITH(uffd_move_prepare));
ROW(move, MOVES(-1), WITH(hole_prepare));	/* covers: B.mremap */
ROW(move_dontunmap, MOVES(0));	/* covers: B.mremap */
/* A read makes it soft-dirty again, or only the next write does. */
/* covers: B.views */
ROW2(clear_soft_dirty, KEPT(SOFT_DIRTY, FULL), KEPT(SOFT_DIRTY, P), THEN_SOFT);

/* An exclusive page out of the rmap cannot be reclaimed or moved. */
ROW2(reclaim_all, QUIET, SWAPPED, WITH(only_page));	/* covers: E5, B.reclaim */
ROW2(compact, QUIET, EITHER_WAY);	/* covers: E5, E9, B.compact */

TEST_HARNESS_MAIN
