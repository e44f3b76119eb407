// SPDX-License-Identifier: GPL-2.0
/*
 * Who tells the mm that the device has written? The scenarios S1 to S5 in which
 * a page is clean for the mm although the device can write to it, once with a
 * driver that dirties folios and once with one that never does
 * (XMIRROR_INJECT_DIRTY). The former must lose nothing; what the latter loses,
 * and on which kernel, says which of the scenarios are dangerous, and that the
 * tests notice.
 */
#include <fcntl.h>

#include "test.h"

#define PAGES	8UL
#define SIZE	(PAGES * XM_PAGE)
#define WORDS	XM_WORDS
#define OLD	0x1111ULL
#define NEW	0xd0d0ULL

FIXTURE(dirty) {
	int fd;
	__u64 *p;
};

FIXTURE_VARIANT(dirty) {
	bool on;
};

FIXTURE_VARIANT_ADD(dirty, on) { .on = true };
FIXTURE_VARIANT_ADD(dirty, off) { .on = false };

FIXTURE_SETUP(dirty)
{
	__u64 i;

	if (xm_meminfo_kb("SwapTotal") <= 0)
		XM_SKIP(return, "no swap");
	/* Batches of the LRU are per CPU. */
	ASSERT_EQ(0, xm_pin_cpu());
	OPEN(self->fd, 0);
	self->p = xm_anon(SIZE);
	ASSERT_NE(NULL, self->p);
	for (i = 0; i < PAGES; i++)
		self->p[i * WORDS] = OLD + i;
	if (!variant->on) {
		ASSERT_EQ(0, xm_inject(self->fd, XMIRROR_INJECT_DIRTY, 0, ~0ULL,
				       0));
	}
}

FIXTURE_TEARDOWN(dirty)
{
	EXPECT_CLEAN(self->fd);
	close(self->fd);
}

static int device_writes(int fd, __u64 *p, enum xmirror_op op)
{
	__u64 i;
	int err = 0;

	for (i = 0; i < PAGES && !err; i++)
		err = xm_op(fd, op, 8, p + i * WORDS, NEW + i, NULL);
	return err;
}

/* All pages out, and those that had a leaf without it */
static int out(__u64 *p)
{
	return xm_pageout(p, SIZE);
}

/*
 * Pages that were read back from swap, each in the swap cache and clean. Writeback
 * of the time when they were swapped out has ended, for what the device writes
 * while the disk still reads the page gets there.
 */
static bool clean_in_swap_cache(const __u64 *p)
{
	__u64 start = xm_now_ns(), flags;
	unsigned int i;

	for (i = 0; i < PAGES; i++) {
		do {
			sched_yield();
			flags = xm_kpageflags(xm_pfn(p + i * WORDS));
		} while (flags & XM_KPF_WRITEBACK && !xm_expired(start, XM_LONG));
		if ((flags & (XM_KPF_WRITEBACK | XM_KPF_DIRTY |
			      XM_KPF_SWAPCACHE)) != XM_KPF_SWAPCACHE)
			return false;
	}
	return true;
}

/* Pages that are as they were before the device wrote: @old + number, or @old. */
static unsigned int lost(const __u64 *p, __u64 old)
{
	unsigned int i, n = 0;

	for (i = 0; i < PAGES; i++) {
		__u64 v = XM_LOAD(p + i * WORDS);

		if (v == (old ? old + i : 0))
			n++;
		else if (v != NEW + i)
			return ~0U;
	}
	return n;
}

/* With dirtying nothing is lost; without what this kernel loses. */
#define EXPECT_LOST(loses, old) \
	do { \
		unsigned int lost_n = lost(self->p, (old)); \
		EXPECT_EQ(!variant->on && (loses) ? PAGES : 0, lost_n) { \
			TH_LOG("dirtying %s", variant->on ? "on" : "off"); \
		} \
	} while (0)

/* Dirtying was left out every time, or never. */
#define EXPECT_LEFT_OUT() \
	do { \
		__u64 left_hits, left_out; \
		EXPECT_EQ(0, xm_inject_end(self->fd, XMIRROR_INJECT_DIRTY, \
					   &left_hits, &left_out)); \
		EXPECT_EQ(left_hits, left_out); \
		EXPECT_EQ(!variant->on, left_out >= PAGES); \
	} while (0)

/*
 * S1: clean in the swap cache, then exclusive. Safe: the kernel's call looks the
 * page up for writing, which dirties it.
 */
/* covers: S1 */
TEST_F(dirty, s1_exclusive_after_swap_in)
{
	NEED(XMIRROR_CAP_EXCLUSIVE);
	ASSERT_EQ(0, out(self->p));
	EXPECT_EQ(PAGES, lost(self->p, OLD));
	ASSERT_EQ(0, device_writes(self->fd, self->p, XMIRROR_OP_XCHG));
	EXPECT_LOST(false, OLD);
	ASSERT_EQ(0, out(self->p));
	EXPECT_LOST(false, OLD);
	EXPECT_LEFT_OUT();
}

/* S2: lazily freed, then exclusive. Safe likewise. */
/* covers: S2 */
TEST_F(dirty, s2_exclusive_after_madv_free)
{
	NEED(XMIRROR_CAP_EXCLUSIVE);
	ASSERT_EQ(0, madvise(self->p, SIZE, MADV_FREE));
	ASSERT_EQ(0, device_writes(self->fd, self->p, XMIRROR_OP_XCHG));
	EXPECT_LOST(false, 0);
	ASSERT_EQ(0, out(self->p));
	EXPECT_LOST(false, 0);
	EXPECT_LEFT_OUT();
}

/*
 * S3: lazily freed while it is made exclusive, after it was dirtied and before
 * the entry is there. A driver that asks mmu_interval_read_retry() is told, and
 * makes the entry anew, which dirties the page again; the one that is played
 * here trusts in the folio lock. Before 6.15 it gets away with that, since an
 * entry came back dirty whatever was known of the page.
 */
static int exclusive_in_window(struct __test_metadata *_metadata, int fd,
			       __u64 *p, bool stale)
{
	struct worker w = {
		.fn = work_exclusive, .fd = fd, .addr = p, .len = XM_PAGE,
	};
	__u64 n = 0;
	__u32 id;

	if (stale) {
		ASSERT_EQ(0, xm_inject(fd, XMIRROR_INJECT_STALE, 0, 1, 0));
	}
	ASSERT_EQ(0, xm_sync_arm(fd, XMIRROR_PT_INV_OWN, p, XM_PAGE, &id));
	ASSERT_EQ(0, worker_start(&w));
	ASSERT_EQ(0, xm_sync_reached(fd, id, XM_LONG));
	/* Dirty pages are left alone, unless the entry alone is dirty. */
	EXPECT_EQ(0, xm_kpageflags(xm_pfn(p)) & XM_KPF_DIRTY);
	ASSERT_EQ(0, madvise(p, XM_PAGE, MADV_FREE));
	ASSERT_EQ(0, xm_sync_resume(fd, id, NULL));
	ASSERT_EQ(0, worker_join(&w));
	if (stale) {
		ASSERT_EQ(0, xm_inject_end(fd, XMIRROR_INJECT_STALE, NULL, &n));
		EXPECT_EQ(1, n);
	}
	EXPECT_TRUE(xm_is_exclusive(p));
	return 0;
}

#define S3(stale) \
	do { \
		__u64 s3_i; \
		for (s3_i = 0; s3_i < PAGES; s3_i++) \
			exclusive_in_window(_metadata, self->fd, \
					    self->p + s3_i * WORDS, (stale)); \
		ASSERT_EQ(0, device_writes(self->fd, self->p, \
					   XMIRROR_OP_XCHG)); \
	} while (0)

/* covers: S3 */
TEST_F(dirty, s3_exclusive_around_madv_free)
{
	NEED(XMIRROR_CAP_EXCLUSIVE);
	S3(true);
	EXPECT_LOST(false, 0);
	ASSERT_EQ(0, out(self->p));
	EXPECT_LOST(xm_caps() & XMIRROR_CAP_EXCLUSIVE_LARGE, 0);
	EXPECT_LEFT_OUT();
}

/* The same, and reclaim comes before the CPU does. */
/* covers: B.reclaim, E17a, S3 */
TEST_F(dirty, s3_reclaimed_while_exclusive)
{
	int err;

	NEED(XMIRROR_CAP_EXCLUSIVE | XMIRROR_CAP_RECLAIM_EXCLUSIVE);
	S3(true);
	err = xm_reclaim_exclusive(self->p, SIZE);
	if (err == -ENOENT)
		XM_SKIP(return, "no memory.reclaim");
	ASSERT_EQ(0, err);
	/* One that is dirty stays or comes back; one that is clean is freed. */
	EXPECT_LOST(true, 0);
	EXPECT_LEFT_OUT();
}

/* The control: with the question asked, nothing is lost even without dirtying. */
/* covers: S3 */
TEST_F(dirty, s3_with_retry)
{
	NEED(XMIRROR_CAP_EXCLUSIVE);
	S3(false);
	EXPECT_LOST(false, 0);
	ASSERT_EQ(0, out(self->p));
	EXPECT_LOST(false, 0);
	EXPECT_LEFT_OUT();
}

/*
 * S4: lazily freed, then mapped for the device for writing: the CPU's entry is
 * writable, so nothing is faulted and nothing dirtied.
 */
/* covers: E17b, S4 */
TEST_F(dirty, s4_write_after_madv_free)
{
	ASSERT_EQ(0, madvise(self->p, SIZE, MADV_FREE));
	ASSERT_EQ(0, xm_fault(self->fd, self->p, SIZE, XMIRROR_FAULT_WRITE,
			      NULL));
	ASSERT_EQ(0, device_writes(self->fd, self->p, XMIRROR_OP_STORE));
	EXPECT_LOST(false, 0);
	ASSERT_EQ(0, out(self->p));
	EXPECT_LOST(true, 0);
	EXPECT_LEFT_OUT();
}

/*
 * S5: swapped in by a read, then mapped for the device for writing. Since Linux
 * 6.11 such a read maps an exclusive page writable and clean; before, the
 * device's write fault made it writable and dirtied it.
 */
/* covers: E17b, S5 */
TEST_F(dirty, s5_write_after_swap_in)
{
	if (!xm_swaps_to_disk())
		XM_SKIP(return, "no swap on a disk, or zram beside it");
	ASSERT_EQ(0, out(self->p));
	EXPECT_EQ(PAGES, lost(self->p, OLD));
	ASSERT_TRUE(clean_in_swap_cache(self->p));
	ASSERT_EQ(0, xm_fault(self->fd, self->p, SIZE, XMIRROR_FAULT_WRITE,
			      NULL));
	ASSERT_EQ(0, device_writes(self->fd, self->p, XMIRROR_OP_STORE));
	EXPECT_LOST(false, OLD);
	ASSERT_EQ(0, out(self->p));
	EXPECT_LOST(xm_kver() >= XM_KVER(6, 11), OLD);
	EXPECT_LEFT_OUT();
}

/* One leaf, with a driver that is right */
FIXTURE(leaf) {
	int fd;
};

FIXTURE_SETUP(leaf)
{
	ASSERT_EQ(0, xm_pin_cpu());
	OPEN(self->fd, 0);
}

FIXTURE_TEARDOWN(leaf)
{
	EXPECT_CLEAN(self->fd);
	close(self->fd);
}

/* DIRTY is in the leaf after a device write, and moves to the folio. */
TEST_F(leaf, dirty_bit_moves_to_the_folio)
{
	struct xmirror_stats before, after;
	char *p = xm_anon(2 * XM_PAGE);
	struct xmirror_page page;
	__u64 pfn;

	ASSERT_NE(NULL, p);
	memset(p, 1, 2 * XM_PAGE);
	/* Clean the CPU's entry and the folio. */
	ASSERT_EQ(0, madvise(p, 2 * XM_PAGE, MADV_FREE));
	pfn = xm_pfn(p);
	ASSERT_NE(0, pfn);
	EXPECT_EQ(0, xm_kpageflags(pfn) & XM_KPF_DIRTY);
	ASSERT_EQ(0, xm_fault(self->fd, p, 2 * XM_PAGE, XMIRROR_FAULT_WRITE,
			      NULL));
	ASSERT_EQ(pfn, xm_pfn(p));
	page = xm_page(self->fd, p);
	EXPECT_EQ(LEAF_WRITE, page.dev & (LEAF_EXCL | XMIRROR_PTE_DIRTY));
	/* From now on the engine's TLB has the leaf, without it. */
	ASSERT_EQ(0, xm_op(self->fd, XMIRROR_OP_LOAD, 8, p, 0, NULL));
	page = xm_page(self->fd, p);
	EXPECT_EQ(LEAF_WRITE | XMIRROR_PTE_ACCESSED, page.dev);
	ASSERT_EQ(0, xm_op(self->fd, XMIRROR_OP_STORE, 8, p, 2, NULL));
	page = xm_page(self->fd, p);
	EXPECT_EQ(LEAF_WRITE | XMIRROR_PTE_DIRTY | XMIRROR_PTE_ACCESSED,
		  page.dev);
	/* The neighbour was not written. */
	page = xm_page(self->fd, p + XM_PAGE);
	EXPECT_EQ(LEAF_WRITE, page.dev & (LEAF_EXCL | XMIRROR_PTE_DIRTY));

	ASSERT_EQ(0, xm_stats(self->fd, &before));
	ASSERT_EQ(0, mprotect(p, 2 * XM_PAGE, PROT_READ));
	ASSERT_EQ(0, xm_stats(self->fd, &after));
	EXPECT_EQ(1, after.dirtied - before.dirtied);
	ASSERT_EQ(pfn, xm_pfn(p));
	EXPECT_NE(0, xm_kpageflags(pfn) & XM_KPF_DIRTY);
}

/* A device that only reads makes nothing dirty. */
TEST_F(leaf, reads_stay_clean)
{
	struct xmirror_stats stats;
	char *p = xm_anon(XM_PAGE), buf[64];
	struct xmirror_page page;
	__u64 pfn;

	ASSERT_NE(NULL, p);
	memset(p, 1, XM_PAGE);
	ASSERT_EQ(0, madvise(p, XM_PAGE, MADV_FREE));
	pfn = xm_pfn(p);
	ASSERT_EQ(0, xm_read(self->fd, p, buf, sizeof(buf)));
	ASSERT_EQ(0, xm_op(self->fd, XMIRROR_OP_LOAD, 8, p, 0, NULL));
	page = xm_page(self->fd, p);
	EXPECT_EQ(XMIRROR_PTE_VALID | XMIRROR_PTE_ACCESSED,
		  page.dev & (XMIRROR_PTE_VALID | XMIRROR_PTE_ACCESSED |
			      XMIRROR_PTE_DIRTY));
	ASSERT_EQ(0, mprotect(p, XM_PAGE, PROT_READ));
	ASSERT_EQ(0, xm_stats(self->fd, &stats));
	EXPECT_EQ(0, stats.dirtied);
	ASSERT_EQ(pfn, xm_pfn(p));
	EXPECT_EQ(0, xm_kpageflags(pfn) & XM_KPF_DIRTY);
}

/* Shared memory that is swapped in by a read, written, swapped out */
/* covers: C.file */
TEST_F(leaf, write_to_shared_memory_survives_reclaim)
{
	__u64 *q = xm_shared(XM_PAGE);
	int i;

	if (xm_meminfo_kb("SwapTotal") <= 0)
		XM_SKIP(return, "no swap");
	ASSERT_NE(NULL, q);
	for (i = 0; i < 3; i++) {
		*q = 5;
		ASSERT_EQ(0, xm_pageout(q, XM_PAGE));
		EXPECT_EQ(5, XM_LOAD(q));
		ASSERT_EQ(0, xm_op(self->fd, XMIRROR_OP_STORE, 8, q, 0xd3 + i,
				   NULL));
		ASSERT_EQ(0, xm_pageout(q, XM_PAGE));
		EXPECT_EQ(0xd3 + i, XM_LOAD(q));
	}
}

/* A leaf must not outlive the cleaning of its page for writeback. */
/* covers: C.file */
TEST_F(leaf, write_after_writeback_is_written_back)
{
	const char *dir = getenv("XM_SCRATCH");
	__u64 word, *q;
	int file, i;

	if (!dir)
		XM_SKIP(return, "no disk: XM_SCRATCH is not set");
	file = xm_temp_file(dir);
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

TEST_HARNESS_MAIN
