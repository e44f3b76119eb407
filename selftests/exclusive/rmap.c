// SPDX-License-Identifier: GPL-2.0
/*
 * Users of the rmap, and of page replacement, that meet an exclusive page: reclaim,
 * uprobes, KSM, migration, idle tracking.
 */
#include <fcntl.h>
#include <linux/mempolicy.h>

#include "uprobe.h"
#define PAGE_NEEDS	XMIRROR_CAP_EXCLUSIVE
#include "page_fixture.h"

/* E5, E13: memory pressure gets exclusive pages back, with their data. */
/* covers: E5 */
TEST_F(page, reclaim_takes_exclusive_pages)
{
	const size_t len = 64 * XM_PAGE;
	char *p = xm_anon(len);
	size_t left, i;
	int err;

	NEED_RECLAIM();
	ASSERT_NE(NULL, p);
	if (xm_meminfo_kb("SwapTotal") <= 0)
		XM_SKIP(return, "no swap");
	memset(p, 0x11, len);
	ASSERT_EQ(0, xm_reclaim_only(p, len));
	ASSERT_EQ(0, xm_exclusive(self->fd, p, len, NULL));
	for (i = 0; i < len; i += XM_PAGE) {
		ASSERT_EQ(0, xm_op(self->fd, XMIRROR_OP_XCHG, 8, p + i, i,
				   NULL));
	}
	err = xm_reclaim_exclusive(p, len);
	if (err == -ENOENT)
		XM_SKIP(return, "no memory.reclaim");
	ASSERT_EQ(0, err);
	left = xm_count_exclusive(p, len);
	for (i = 0; i < len; i += XM_PAGE) {
		EXPECT_EQ(i, XM_LOAD((__u64 *)(p + i)));
	}
	XM_XFAIL_IF(old_kernel(), !left,
		    "E5: exclusive pages are out of the rmap before Linux 6.15");
}

/*
 * E10: a uprobe puts a breakpoint into a page, and takes it out, by replacing the
 * page; here an exclusive one.
 */
/* covers: E10 */
TEST_F(page, uprobe_on_a_page_of_the_device)
{
	static const char path[] = "/tmp/xmirror-uprobe";
	int probe, file = xm_probed_file(path);
	const __u8 code[] = XM_PROBED;
	__u64 *word;
	__u8 *p;

	ASSERT_LE(0, file);
	p = mmap(NULL, XM_PAGE, PROT_READ | PROT_WRITE | PROT_EXEC,
		 MAP_PRIVATE, file, 0);
	ASSERT_NE(MAP_FAILED, p);
	close(file);
	word = (__u64 *)(p + 64);
	/* A copy made by the device; only code that is not writable is probed */
	ASSERT_EQ(0, xm_op(self->fd, XMIRROR_OP_XCHG, 8, word, 0xe10, NULL));
	ASSERT_EQ(0, mprotect(p, XM_PAGE, PROT_READ | PROT_EXEC));
	EXPECT_TRUE(xm_is_exclusive(p));
	probe = xm_uprobe(path);
	if (probe == -ENOENT)
		XM_SKIP(return, "no CONFIG_UPROBE_EVENTS");
	ASSERT_LE(0, probe) TH_LOG("uprobe: %s", strerror(-probe));
	EXPECT_FALSE(xm_is_exclusive(p));
	EXPECT_CLEAN(self->fd);
	EXPECT_EQ(XM_BREAKPOINT, XM_LOAD(p));
	EXPECT_EQ(0xe10, XM_LOAD(word));
	/* The page with the breakpoint is exclusive when the uprobe is removed. */
	ASSERT_EQ(0, mprotect(p, XM_PAGE, PROT_READ | PROT_WRITE | PROT_EXEC));
	ASSERT_EQ(0, xm_add(self->fd, word, 1));
	EXPECT_TRUE(xm_is_exclusive(p));
	ASSERT_EQ(0, mprotect(p, XM_PAGE, PROT_READ | PROT_EXEC));
	close(probe);
	EXPECT_CLEAN(self->fd);
	EXPECT_EQ(code[0], XM_LOAD(p));
	EXPECT_EQ(0xe11, XM_LOAD(word));
	((void (*)(void))p)();
	EXPECT_EQ(0, munmap(p, XM_PAGE));
}

static int add_until_stopped(struct worker *w)
{
	int err = 0;

	while (!XM_LOAD(&w->stop) && !err) {
		err = xm_add(w->fd, w->addr, 1);
		XM_ADD(&w->arg, !err);
	}
	return err;
}

/* E11: KSM scans pages that become exclusive and come back. */
/* covers: E11 */
TEST_F(page, ksm_beside_the_device)
{
	__u64 *other = xm_anon(XM_PAGE);
	struct worker w = {
		.fn = add_until_stopped,
		.fd = self->fd,
		.addr = self->p + XM_WORDS - 1,
	};

	ASSERT_NE(NULL, other);
	memset(other, 0x11, XM_PAGE);
	if (madvise(self->p, XM_PAGE, MADV_MERGEABLE))
		XM_SKIP(return, "no CONFIG_KSM");
	ASSERT_EQ(0, madvise(other, XM_PAGE, MADV_MERGEABLE));
	/* KSM has merged the page that becomes exclusive, */
	ASSERT_EQ(0, xm_ksm_merge(self->p, other));
	ASSERT_EQ(0, worker_start_counting(&w, &w.arg));
	/* and scans it again and again meanwhile. */
	EXPECT_EQ(0, xm_ksm_scan(XM_LONG));
	XM_STORE(&w.stop, true);
	EXPECT_EQ(0, worker_join(&w));
	EXPECT_LT(0, w.arg);
	EXPECT_NE(xm_pfn(other), xm_pfn(self->p));
	EXPECT_EQ(0x1111111111111111ULL + w.arg, XM_LOAD(self->p + XM_WORDS - 1));
	EXPECT_EQ(0x1111111111111111ULL, other[0]);
}

/* E16: the exclusive copy of a file's page is unmapped like any other. */
/* covers: E16 */
TEST_F(page, copy_of_a_file_page_is_unmapped)
{
	int file = xm_temp_file("/tmp"), i;
	long rss;

	ASSERT_GE(file, 0);
	ASSERT_EQ(0, ftruncate(file, 4 * XM_PAGE));
	for (i = 0; i < 2; i++) {
		char *p = mmap(NULL, 4 * XM_PAGE, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE, file, 0);

		ASSERT_NE(MAP_FAILED, p);
		ASSERT_EQ(0, xm_add(self->fd, p + XM_PAGE, 1));
		EXPECT_TRUE(xm_is_exclusive(p + XM_PAGE));
		rss = xm_smaps_kb(p, "Anonymous");
		/* Entries that are not present are not told apart. */
		EXPECT_GE(rss, 0);
		EXPECT_LE(rss, XM_PAGE_KB);
		if (i) {
			ASSERT_EQ(0, madvise(p, 4 * XM_PAGE, MADV_DONTNEED));
			EXPECT_EQ(0, p[XM_PAGE]);
		}
		EXPECT_EQ(0, munmap(p, 4 * XM_PAGE));
	}
	close(file);
}

/* D1: a lost race leaves the page unlocked and without a reference. */
/* covers: D1 */
TEST_F(page, page_moves_after_a_retry)
{
	struct worker w = {
		.fn = work_exclusive,
		.fd = self->fd,
		.addr = self->p,
		.len = XM_PAGE,
	};
	int node, moved = 0, status = -1;
	void *p = self->p;
	__u32 id;

	NEED(XMIRROR_CAP_SYNC);
	if (access("/sys/devices/system/node/node1", F_OK))
		XM_SKIP(return, "one NUMA node only");
	ASSERT_EQ(0, xm_no_faults());
	ASSERT_EQ(0, xm_sync_arm(self->fd, XMIRROR_PT_EXCL_MADE, p, XM_PAGE,
				 &id));
	ASSERT_EQ(0, worker_start(&w));
	ASSERT_EQ(0, xm_sync_reached(self->fd, id, XM_LONG));
	ASSERT_EQ(0, madvise(p, XM_PAGE, MADV_DONTNEED_LOCKED));
	ASSERT_EQ(0, xm_sync_resume(self->fd, id, NULL));
	ASSERT_EQ(0, worker_join(&w));
	ASSERT_EQ(0, munlockall());
	XM_STORE(self->p, 5);
	for (node = 0; node < 2; node++) {
		ASSERT_EQ(0, syscall(SYS_move_pages, 0, 1, &p, &node, &status,
				     MPOL_MF_MOVE));
		moved += status == node;
	}
	EXPECT_EQ(2, moved);
	EXPECT_EQ(5, XM_LOAD(self->p));
}

/*
 * A walk of the rmap sees the CPU's accesses only: the page is old however hot it
 * is for the device. The dirty flag is in the folio.
 */
/* covers: E12, I.rmap */
TEST_F(page, page_hot_for_the_device_is_idle_for_the_rmap)
{
	int fd = open(XM_PAGE_IDLE, O_RDWR | O_CLOEXEC);
	struct xmirror_stats before, after;
	__u64 pfn;
	int i;

	ASSERT_EQ(0, xm_pin_cpu());
	*self->p = 5;
	if (fd < 0)
		XM_SKIP(return, "no CONFIG_IDLE_PAGE_TRACKING");
	ASSERT_EQ(0, xm_add(self->fd, self->p, 1));
	pfn = xm_pfn(self->p);
	ASSERT_NE(0, pfn);
	/* Only pages on the LRU can be idle. */
	ASSERT_EQ(0, xm_drain());
	ASSERT_EQ(0, xm_set_idle(fd, pfn));
	ASSERT_EQ(1, xm_is_idle(fd, pfn));
	ASSERT_EQ(0, xm_stats(self->fd, &before));
	for (i = 0; i < 10; i++) {
		ASSERT_EQ(0, xm_add(self->fd, self->p, 1));
	}
	EXPECT_EQ(1, xm_is_idle(fd, pfn));
	EXPECT_NE(0, xm_kpageflags(pfn) & XM_KPF_DIRTY);
	/* Idle tracking takes nothing from the device. */
	ASSERT_EQ(0, xm_stats(self->fd, &after));
	EXPECT_EQ(before.inv_leaves, after.inv_leaves);
	EXPECT_EQ(before.excl_made, after.excl_made);
	EXPECT_LEAF(self->fd, self->p, LEAF_EXCL);
	/* An access of the CPU counts. */
	EXPECT_EQ(16, XM_LOAD(self->p));
	EXPECT_EQ(pfn, xm_pfn(self->p));
	EXPECT_EQ(0, xm_is_idle(fd, pfn));
	close(fd);
}

/*
 * The CPU uses a page of it: behind one that the device has, which the walk meets first,
 * and then before one.
 */
/* covers: E12, I.rmap */
TEST_F(page, large_folio_that_the_cpu_uses_is_not_idle)
{
	static const size_t used[] = { 9, 0 }, kept[] = { 0, 15 };
	int fd = open(XM_PAGE_IDLE, O_RDWR | O_CLOEXEC), err;
	__u64 *p = xm_anon_aligned(XM_PMD, XM_PMD), pfn;
	size_t i;

	ASSERT_NE(NULL, p);
	if (fd < 0)
		XM_SKIP(return, "no CONFIG_IDLE_PAGE_TRACKING");
	NEED(XMIRROR_CAP_EXCLUSIVE_LARGE);
	err = xm_thp_16_pages();
	if (err == -ENOENT)
		XM_SKIP(return, "no large folios of 16 pages: Linux 6.8");
	ASSERT_EQ(0, err);
	ASSERT_EQ(0, xm_pin_cpu());
	ASSERT_EQ(0, madvise(p, XM_PMD, MADV_HUGEPAGE));
	memset(p, 0x22, 16 * XM_PAGE);
	pfn = xm_pfn(p);
	if (xm_pfn(p + 15 * XM_WORDS) != pfn + 15)
		XM_SKIP(return, "allocation of a folio of 16 pages failed");
	ASSERT_EQ(0, xm_drain());
	for (i = 0; i < 2; i++) {
		__u64 *cpu = p + used[i] * XM_WORDS, *dev = p + kept[i] * XM_WORDS;

		/* An entry that comes back is old, and no TLB has it yet. */
		ASSERT_EQ(0, xm_exclusive(self->fd, cpu, XM_PAGE, NULL));
		ASSERT_EQ(0, xm_exclusive(self->fd, dev, XM_PAGE, NULL));
		ASSERT_EQ(0, xm_set_idle(fd, pfn));
		ASSERT_EQ(1, xm_is_idle(fd, pfn));
		EXPECT_EQ(0x2222222222222222ULL, XM_LOAD(cpu));
		ASSERT_TRUE(xm_is_exclusive(dev));
		EXPECT_EQ(0, xm_is_idle(fd, pfn)) {
			TH_LOG("page %zu is used", used[i]);
		}
	}
	close(fd);
}

TEST_HARNESS_MAIN
