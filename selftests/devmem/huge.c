// SPDX-License-Identifier: GPL-2.0
/*
 * Private memory in folios of two sizes.
 */
#include <limits.h>

#include "klog.h"
#define PAGE_NEEDS	XMIRROR_CAP_PRIVATE
#include "page_fixture.h"

#define WORDS	XM_WORDS
#define ROUNDS	50

/* D5: the device maps exactly the size of its own folio. */
/* covers: D5, G.private */
TEST_F(page, private_folio_is_mapped_by_its_size)
{
	const bool large = xm_caps() & XMIRROR_CAP_PRIVATE_LARGE;
	char *all = xm_anon_aligned(3 * XM_PMD, XM_PMD), *p;
	struct xmirror_page page;
	struct xmirror_stats s;
	size_t i, wrong = 0;
	__u64 moved, v, head;
	int fd;

	ASSERT_NE(NULL, all);
	p = all + XM_PMD;
	if (madvise(p, XM_PMD, MADV_HUGEPAGE))
		XM_SKIP(return, "%s", xm_why_no_thp());
	/* The process's, and the one behind the device's */
	NEED_HUGE_MEMORY(2U);
	for (i = 0; i < XM_PMD; i += XM_PAGE)
		*(__u64 *)(p + i) = i;
	p[-1] = 1;
	p[XM_PMD] = 1;
	ASSERT_EQ(0, xm_migrate(self->fd, p, XM_PMD, 0, 0, &moved));
	ASSERT_EQ(XM_PMD / XM_PAGE, moved);

	/* A part of it, by small leaves */
	ASSERT_EQ(0, xm_set(self->fd, XMIRROR_SET_GRANULE, XM_PAGE, NULL));
	ASSERT_EQ(0, xm_fault(self->fd, p + (512UL << 10), 64UL << 10,
			      XMIRROR_FAULT_WRITE, NULL));
	for (i = 0; i < XM_PMD; i += XM_PAGE) {
		page = xm_page(self->fd, p + i);
		wrong += (i >= 512UL << 10 && i < 576UL << 10) !=
			 !!(page.dev & XMIRROR_PTE_VALID);
	}
	EXPECT_EQ(0, wrong);
	ASSERT_EQ(0, xm_read(self->fd, p + (512UL << 10), &v, 8));
	EXPECT_EQ(512UL << 10, v);
	/* All of it by the largest leaf, from a mirror that has no leaf yet */
	OPEN(fd, 0);
	ASSERT_EQ(0, xm_set(fd, XMIRROR_SET_GRANULE, ~0ULL, NULL));
	ASSERT_EQ(0, xm_fault(fd, p, XM_PMD, XMIRROR_FAULT_WRITE, NULL));
	ASSERT_EQ(0, xm_stats(fd, &s));
	EXPECT_EQ(XM_PMD / XM_PAGE, s.fault_pages);
	EXPECT_EQ(XM_PMD / (large ? XM_2M : XM_PAGE), s.leaves);
	EXPECT_EQ(0, xm_page(fd, p - XM_PAGE).dev);
	EXPECT_EQ(0, xm_page(fd, p + XM_PMD).dev);
	head = xm_page(fd, p).dev_pfn;
	for (i = 0; i < XM_PMD; i += XM_PAGE) {
		page = xm_page(fd, p + i);
		wrong += !(page.dev & XMIRROR_PTE_LOCAL);
		if (large)
			wrong += page.dev_pfn != head + i / XM_PAGE;
		wrong += xm_read(fd, p + i, &v, 8) || v != i;
	}
	EXPECT_EQ(0, wrong);
	EXPECT_CLEAN(fd);
	close(fd);
	/* Brought back by the device's own neighbours, nothing was written. */
	EXPECT_EQ(1, p[-1]);
	EXPECT_EQ(1, p[XM_PMD]);
	for (i = 0; i < XM_PMD; i += XM_PAGE)
		wrong += XM_LOAD((__u64 *)(p + i)) != i;
	EXPECT_EQ(0, wrong);
	munmap(all, 3 * XM_PMD);
}

/* M8: the same pages by 2 MiB, one by one, and by 2 MiB again */
/* covers: M8 */
TEST_F(page, pages_are_used_in_both_sizes)
{
	char *thp, *small = xm_anon(XM_PMD);
	__u64 block[2] = {}, moved;
	size_t i, same = 0, wrong = 0;
	int round;

	NEED(XMIRROR_CAP_PRIVATE_LARGE);
	ASSERT_NE(NULL, small);
	for (round = 0; round < 2; round++) {
		thp = xm_thp(self->fd, 0x80 + round);
		if (!thp)
			XM_SKIP(return, "%s", xm_why_no_thp());
		ASSERT_EQ(0, xm_migrate(self->fd, thp, XM_PMD, 0, 0, &moved));
		ASSERT_EQ(XM_PMD / XM_PAGE, moved);
		block[round] = xm_private_pfn(self->fd, thp) & ~(XM_PMD_PAGES - 1);
		ASSERT_NE(0, block[round]);
		/* Split while it is private, after half of it was freed */
		ASSERT_EQ(0, madvise(thp, XM_PMD / 2, MADV_DONTNEED));
		for (i = XM_PMD / 2; i < XM_PMD; i += XM_PAGE)
			wrong += thp[i] != (char)(0x80 + round);
		munmap(thp, XM_PMD);

		for (i = 0; i < XM_PMD; i += XM_PAGE)
			*(__u64 *)(small + i) = i + round;
		ASSERT_EQ(0, xm_migrate(self->fd, small, XM_PMD, 0, 0, &moved));
		EXPECT_EQ(XM_PMD / XM_PAGE, moved);
		for (i = 0; i < XM_PMD; i += XM_PAGE) {
			same += (xm_private_pfn(self->fd, small + i) & ~(XM_PMD_PAGES - 1)) ==
				block[round];
		}
		for (i = 0; i < XM_PMD; i += XM_PAGE)
			wrong += XM_LOAD((__u64 *)(small + i)) != i + round;
	}
	EXPECT_EQ(0, wrong);
	/* Else nothing was tried. */
	EXPECT_LT(0, same);
	munmap(small, XM_PMD);
}

static int move_in_and_free(struct worker *w)
{
	int err = 0;
	__u64 i;

	for (i = 0; i < ROUNDS && !err; i++) {
		XM_STORE((__u64 *)w->addr, i);
		err = xm_migrate(w->fd, w->addr, w->len, 0, 0, NULL);
		if (!err && madvise(w->addr, w->len, MADV_DONTNEED))
			err = -errno;
		if (!err && XM_LOAD((__u64 *)w->addr))
			err = -EIO;
	}
	return err;
}

/* M9: memory that one frees is allocated at once in another size. */
/* covers: M9 */
TEST_F(page, freed_pages_are_taken_in_another_size)
{
	struct xmirror_stats before, after;
	struct worker w[2];
	int i;

	NEED(XMIRROR_CAP_PRIVATE_LARGE);
	ASSERT_EQ(0, xm_stats(self->fd, &before));
	for (i = 0; i < 2; i++) {
		w[i] = (struct worker){
			.fn = move_in_and_free,
			.fd = self->fd,
			.len = i ? XM_PMD : 16 * XM_PAGE,
			.addr = i ? xm_thp(self->fd, 1) :
				    xm_anon(16 * XM_PAGE),
		};
		if (!w[i].addr)
			XM_SKIP(return, "%s", xm_why_no_thp());
	}
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, worker_start(&w[i]));
	}
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(0, worker_join(&w[i]));
		munmap(w[i].addr, w[i].len);
	}
	ASSERT_EQ(0, xm_stats(self->fd, &after));
	EXPECT_EQ(before.devmem_free, after.devmem_free);
}

static int migrate_all(struct worker *w)
{
	return xm_migrate(w->fd, w->addr, w->len, w->arg, 0, &w->done);
}

/* Stop @w's migration after it has collected and copied. */
#define STOP_COPIED(w) \
	do { \
		ASSERT_EQ(0, xm_sync_arm((w)->fd, XMIRROR_PT_MIGRATE_COPIED, \
					 (w)->addr, (w)->len, &self->id)); \
		ASSERT_EQ(0, worker_start(w)); \
		ASSERT_EQ(0, xm_sync_reached((w)->fd, self->id, XM_LONG)); \
	} while (0)

/* The device has room for one of the largest. */
#define BLOCKS	(XM_HUGE_IS_RARE ? 1 : 16)

/*
 * M10: the CPU fills an entry that was empty when the migration collected it: the
 * CPU's page stays, and the page table of the other one is not lost.
 */
/* covers: M10 */
TEST_F(page, cpu_is_first_in_an_empty_huge_page)
{
	char *p = xm_anon_aligned(BLOCKS * XM_PMD, XM_PMD), *q;
	struct worker w = { .fn = migrate_all, .fd = self->fd, .len = XM_PMD };
	long tables, most;
	int i, round;

	NEED(XMIRROR_CAP_PRIVATE_LARGE);
	NEED(XMIRROR_CAP_SYNC);
	NEED_HUGE_MEMORY(1U);
	ASSERT_NE(NULL, p);
	/* A huge destination, and a small page that the CPU maps meanwhile */
	ASSERT_EQ(0, xm_no_thp(p, BLOCKS * XM_PMD));
	tables = xm_page_tables_kb(LONG_MAX);
	for (round = 0; round < 8; round++) {
		for (i = 0; i < BLOCKS; i++) {
			q = p + i * XM_PMD;
			w.addr = q;
			STOP_COPIED(&w);
			XM_STORE((__u64 *)(q + 9 * XM_PAGE), 0x99 + i);
			ASSERT_EQ(0, xm_sync_resume(w.fd, self->id, NULL));
			ASSERT_EQ(0, worker_join(&w));
			EXPECT_EQ(0x99 + i, XM_LOAD((__u64 *)(q + 9 *
							      XM_PAGE)));
			EXPECT_EQ(0, XM_LOAD((__u64 *)(q + XM_PAGE)));
		}
		ASSERT_EQ(0, munmap(p, BLOCKS * XM_PMD));
		ASSERT_EQ(p, mmap(p, BLOCKS * XM_PMD, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
				  0));
		ASSERT_EQ(0, xm_no_thp(p, BLOCKS * XM_PMD));
	}
	/* Less than half of one for each round and block */
	most = tables + 8 * BLOCKS / 2 * XM_PAGE / 1024;
	EXPECT_GE(most, xm_page_tables_kb(most));
	munmap(p, BLOCKS * XM_PMD);
}

/* M11: another device meets a huge page that is being migrated. */
/* covers: M11 */
TEST_F(page, huge_page_on_its_way_to_another)
{
	char *p = xm_thp(self->fd, 0x22);
	struct worker w = { .fn = migrate_all, .fd = self->fd, .len = XM_PMD };
	struct worker other = w;
	size_t i, wrong = 0;

	NEED(XMIRROR_CAP_SYNC);
	if (!p)
		XM_SKIP(return, "%s", xm_why_no_thp());
	w.addr = p;
	other.addr = p;
	other.fd = self->fd1;
	/* Creating a thread takes the lock that the migration holds. */
	ASSERT_EQ(0, worker_prepare(&other));
	STOP_COPIED(&w);
	/* It skips the page or waits for it, and survives in either case. */
	ASSERT_EQ(0, worker_start(&other));
	while (!worker_ended(&other) && !worker_blocked(&other, SYS_ioctl))
		;
	ASSERT_EQ(0, xm_sync_resume(w.fd, self->id, NULL));
	EXPECT_EQ(0, worker_join(&w));
	EXPECT_EQ(0, worker_join(&other));
	EXPECT_EQ(XM_PMD / XM_PAGE, w.done);
	for (i = 0; i < XM_PMD; i += XM_PAGE)
		wrong += p[i] != 0x22;
	EXPECT_EQ(0, wrong);
	munmap(p, XM_PMD);
}

static int free_upper_half(struct worker *w)
{
	return madvise((char *)w->addr + XM_PMD / 2, XM_PMD / 2, MADV_DONTNEED) ?
	       -errno : 0;
}

/*
 * M12: a huge page is split during its migration, while the other half of it is
 * freed.
 */
/* covers: M12 */
TEST_F(page, huge_page_is_split_and_freed)
{
	struct worker w = { .fn = migrate_all, .fd = self->fd };
	struct worker other = { .fn = free_upper_half };
	size_t i, wrong = 0;
	int round;
	char *p;

	NEED(XMIRROR_CAP_SYNC);
	for (round = 0; round < 10; round++) {
		p = xm_thp(self->fd, 0x22);
		if (!p)
			XM_SKIP(return, "%s", xm_why_no_thp());
		w.addr = p;
		w.len = XM_PMD / 2;
		other.addr = p;
		ASSERT_EQ(0, worker_prepare(&other));
		if (round & 1) {
			ASSERT_EQ(0, worker_start(&w));
		} else {
			STOP_COPIED(&w);
		}
		ASSERT_EQ(0, worker_start(&other));
		if (!(round & 1)) {
			ASSERT_EQ(0, xm_sync_resume(w.fd, self->id, NULL));
		}
		EXPECT_EQ(0, worker_join(&w));
		EXPECT_EQ(0, worker_join(&other));
		for (i = 0; i < XM_PMD; i += XM_PAGE)
			wrong += p[i] != (i < XM_PMD / 2 ? 0x22 : 0);
		EXPECT_EQ(0, wrong);
		munmap(p, XM_PMD);
	}
}

/*
 * Small entries map one folio, the fault is on another page than its first, and the driver
 * migrates both: faults on small pages there have made its window large before.
 */
/* covers: J.fault_page */
TEST_F(page, fault_behind_the_first_page_of_a_folio)
{
	const char *warning = KLOG_WARNING("xm_folio_free");
	size_t i, wrong = 0;
	struct klog log;
	__u64 moved;
	char *p;

	NEED(XMIRROR_CAP_PRIVATE_LARGE);
	if (klog_has_debug_vm())
		XM_SKIP(return, "finding 41 ends a kernel with CONFIG_DEBUG_VM");
	p = xm_anon_aligned(XM_PMD, XM_PMD);
	ASSERT_NE(NULL, p);
	xm_no_thp(p, XM_PMD);
	memset(p, 0x22, XM_PMD);
	ASSERT_EQ(0, xm_migrate(self->fd, p, XM_PMD, 0, 0, &moved));
	ASSERT_EQ(XM_PMD_PAGES, moved);
	for (i = 0; i < 16; i++)
		wrong += XM_LOAD(p + i * XM_PAGE) != 0x22;
	ASSERT_EQ(0, wrong);
	/* New memory at the same place */
	ASSERT_EQ(p, mmap(p, XM_PMD, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	if (madvise(p, XM_PMD, MADV_HUGEPAGE))
		XM_SKIP(return, "%s", xm_why_no_thp());
	memset(p, 0x22, XM_PMD);
	MIGRATE_HUGE(self->fd, p);
	ASSERT_EQ(0, mprotect(p + 7 * XM_PAGE, XM_PAGE, PROT_READ));
	ASSERT_EQ(0, mprotect(p + 7 * XM_PAGE, XM_PAGE, PROT_READ | PROT_WRITE));
	ASSERT_EQ((__u32)XMIRROR_CPU_PRIVATE,
		  xm_page(self->fd, p).cpu & XM_HUGE_PRIVATE);
	ASSERT_EQ(0, klog_open(&log));
	/* The module sees that a page is freed while it is locked. */
	klog_expect("0-1", warning);
	wrong += XM_LOAD(p + 5 * XM_PAGE) != 0x22;
	klog_expected();
	XM_XFAIL_IF(true, !klog_has(&log, warning),
		    "finding 41: another page than the faulting one is taken for locked");
	klog_close(&log);
	for (i = 0; i < XM_PMD_PAGES; i++)
		wrong += XM_LOAD(p + i * XM_PAGE) != 0x22;
	EXPECT_EQ(0, wrong);
	munmap(p, XM_PMD);
}

TEST_HARNESS_MAIN
