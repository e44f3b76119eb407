// SPDX-License-Identifier: GPL-2.0
/*
 * One page changes of a huge page that is one folio in device memory: while all of
 * it is there, and during its migration back. The folio is split, by us or by the
 * core, and each of the other pages keeps its data.
 */
#include <sys/syscall.h>

#include "group.h"
#include "klog.h"
#include "raw.h"
#include "test.h"

#define PAGES	(XM_PMD / XM_PAGE)
#define HOLE	300UL

FIXTURE(large) {
	int fd;
	int owner;	/* the mirror that moved it, on the same device */
	char *p;
	char *q;	/* the offset of the page that changes */
	__u64 free;
	struct worker op;
	struct worker change;
};

FIXTURE_VARIANT(large) {
	int (*fn)(struct worker *w);
	int arg;
	long nr;	/* the call in which it waits, if it does */
	bool moves;
	int read;
	int write;
	bool lost;
};

static __u64 *word(char *p, size_t page)
{
	return (__u64 *)(p + page * XM_PAGE);
}

/* The child sees the data of the fork, and writes to its own copy. */
static int fork_and_look(struct worker *w)
{
	char *p = (char *)w->addr - HOLE * XM_PAGE;
	int status, bad = 0;
	pid_t pid;
	size_t i;

	pid = fork();
	if (pid < 0)
		return -errno;
	if (!pid) {
		for (i = 0; i < PAGES; i++)
			bad |= XM_LOAD(word(p, i)) != i;
		XM_STORE(word(p, HOLE), 99);
		XM_STORE(word(p, 7), 99);
		_exit(bad);
	}
	if (waitpid(pid, &status, 0) != pid)
		return -errno;
	return status ? -EIO : 0;
}

FIXTURE_VARIANT_ADD(large, munmap) {
	.fn = work_munmap, .nr = SYS_munmap, .read = -EFAULT, .write = -EFAULT,
};

FIXTURE_VARIANT_ADD(large, mprotect) {
	.fn = work_mprotect, .arg = PROT_READ, .nr = SYS_mprotect,
	.write = -EPERM,
};

FIXTURE_VARIANT_ADD(large, mremap) {
	.fn = work_mremap, .nr = SYS_mremap, .moves = true,
};

FIXTURE_VARIANT_ADD(large, dontneed) {
	.fn = work_madvise, .arg = MADV_DONTNEED, .nr = SYS_madvise,
	.lost = true,
};

FIXTURE_VARIANT_ADD(large, fork) {
	.fn = fork_and_look, .nr = SYS_clone,
};

FIXTURE_SETUP(large)
{
	__u64 moved;
	size_t i;

	NEED(XMIRROR_CAP_PRIVATE_LARGE);
	NEED(XMIRROR_CAP_SYNC);
	OPEN(self->fd, 0);
	OPEN(self->owner, 0);
	ASSERT_EQ(0, xm_no_faults());
	self->free = xm_devmem_free(self->fd);
	self->p = xm_thp(self->fd, 0);
	if (!self->p)
		XM_SKIP(return, "%s", xm_why_no_thp());
	for (i = 0; i < PAGES; i++)
		*word(self->p, i) = i;
	self->q = self->p + HOLE * XM_PAGE;
	self->op = (struct worker){
		.fd = self->owner, .addr = self->p, .len = XM_PMD,
	};
	self->change = (struct worker){
		.fn = variant->fn, .addr = self->q, .len = XM_PAGE,
		.arg = variant->arg,
	};
	if (variant->moves) {
		self->change.to = xm_anon_prot(XM_PAGE, PROT_NONE);
		ASSERT_NE(NULL, self->change.to);
		self->q = self->change.to;
	}
	ASSERT_EQ(0, worker_prepare(&self->op));
	ASSERT_EQ(0, worker_prepare(&self->change));
	ASSERT_EQ(0, xm_migrate(self->owner, self->p, XM_PMD, 0, 0, &moved));
	ASSERT_EQ(PAGES, moved);
	EXPECT_TRUE(xm_page(self->fd, self->p).cpu & XMIRROR_CPU_PRIVATE);
	EXPECT_EQ(self->free - PAGES, xm_devmem_free(self->fd));
}

FIXTURE_TEARDOWN(large)
{
	if (!self->p)
		return;
	EXPECT_CLEAN(self->fd);
	munmap(self->p, XM_PMD);
	if (variant->moves)
		munmap(self->q, XM_PAGE);
	if (self->owner >= 0)
		close(self->owner);
	EXPECT_EQ(self->free, xm_devmem_free(self->fd));
	close(self->fd);
}

/* By the device first, then by the CPU */
#define EXPECT_ALL() \
	do { \
		const __u64 all_hole = variant->lost ? 0 : HOLE; \
		__u64 all_v; \
		size_t all_i; \
		for (all_i = 0; all_i < PAGES; all_i++) { \
			if (all_i == HOLE) \
				continue; \
			ASSERT_EQ(0, xm_read(self->fd, word(self->p, all_i), \
					     &all_v, 8)); \
			EXPECT_EQ(all_i, all_v); \
			all_v = all_i + 1000; \
			ASSERT_EQ(0, xm_write(self->fd, word(self->p, all_i), \
					      &all_v, 8)); \
			EXPECT_EQ(all_i + 1000, XM_LOAD(word(self->p, \
							     all_i))); \
		} \
		all_v = all_hole; \
		EXPECT_EQ(variant->read, xm_read(self->fd, self->q, &all_v, \
						 8)); \
		EXPECT_EQ(all_hole, all_v); \
		all_v = 5; \
		EXPECT_EQ(variant->write, xm_write(self->fd, self->q, &all_v, \
						   8)); \
		if (!variant->read) { \
			EXPECT_EQ(variant->write ? all_hole : 5, \
				  XM_LOAD((__u64 *)self->q)); \
		} \
	} while (0)

/* covers: G.private */
TEST_F(large, lies_there)
{
	ASSERT_EQ(0, worker_start(&self->change));
	EXPECT_EQ(0, worker_join(&self->change));
	EXPECT_ALL();
}

/* @function brings the page back and stops at @where; there the page changes. */
#define RACE(function, where) \
	do { \
		__u32 race_id; \
		self->op.fn = (function); \
		ASSERT_EQ(0, xm_sync_arm(self->fd, (where), NULL, 0, \
					 &race_id)); \
		ASSERT_EQ(0, worker_start(&self->op)); \
		ASSERT_EQ(0, xm_sync_reached(self->fd, race_id, XM_LONG)); \
		ASSERT_EQ(0, worker_start(&self->change)); \
		/* It has ended, or waits for the other thread. */ \
		while (!worker_ended(&self->change) && \
		       !worker_blocked(&self->change, \
				       (where) >= XMIRROR_PT_EVICT_BEGIN && \
				       variant->nr == SYS_clone ? SYS_wait4 : \
				       variant->nr)) \
			; \
		ASSERT_EQ(0, xm_sync_resume(self->fd, race_id, NULL)); \
		EXPECT_EQ(0, worker_join(&self->op)); \
		EXPECT_EQ(0, worker_join(&self->change)); \
		EXPECT_ALL(); \
	} while (0)

/* The owner closes its file, which evicts the page without mmap_lock. */
static int evict(struct worker *w)
{
	return close(w->fd) ? -errno : 0;
}

/* covers: G.private */
TEST_F(large, is_evicted)
{
	self->owner = -1;
	RACE(evict, XMIRROR_PT_EVICT_UNMAPPED);
}

/* covers: G.private */
TEST_F(large, is_copied_by_eviction)
{
	self->owner = -1;
	RACE(evict, XMIRROR_PT_EVICT_COPIED);
}

static int touch(struct worker *w)
{
	return XM_LOAD((__u64 *)w->addr) ? -EIO : 0;
}

/* covers: G.private */
TEST_F(large, is_copied_for_the_cpu)
{
	RACE(touch, XMIRROR_PT_TO_RAM_COPIED);
}

/* covers: G.private */
TEST_F(large, has_moved_for_the_cpu)
{
	RACE(touch, XMIRROR_PT_TO_RAM_MOVED);
}

/*
 * The entry of a migration has neither a reference to the folio nor its mapping, whatever
 * memory the folio is of.
 */
/* covers: J.entry */
TEST(huge_page_that_returns_is_thrown_away)
{
	const char *warning = KLOG_WARNING("xm_folio_free");
	struct worker op = { .fn = touch };
	struct klog log;
	__u64 moved, free;
	__u32 id;
	int fd;

	OPEN(fd, 0);
	NEED(XMIRROR_CAP_PRIVATE_LARGE | XMIRROR_CAP_SYNC);
	if (klog_has_debug_vm())
		XM_SKIP(return, "finding 42 ends a kernel with CONFIG_DEBUG_VM");
	free = xm_devmem_free(fd);
	op.addr = xm_thp(fd, 0);
	if (!op.addr)
		XM_SKIP(return, "%s", xm_why_no_thp());
	ASSERT_EQ(0, worker_prepare(&op));
	ASSERT_EQ(0, xm_migrate(fd, op.addr, XM_PMD, 0, 0, &moved));
	ASSERT_EQ(PAGES, moved);
	ASSERT_EQ(0, klog_open(&log));
	ASSERT_EQ(0, xm_sync_arm(fd, XMIRROR_PT_TO_RAM_COPIED, NULL, 0, &id));
	ASSERT_EQ(0, worker_start(&op));
	ASSERT_EQ(0, xm_sync_reached(fd, id, XM_LONG));
	EXPECT_EQ(XMIRROR_CPU_OTHER | XMIRROR_CPU_HUGE,
		  xm_page(fd, op.addr).cpu & (XMIRROR_CPU_OTHER | XM_HUGE_PRIVATE));
	EXPECT_EQ(0, madvise(op.addr, XM_PMD, MADV_DONTNEED));
	EXPECT_EQ(0, xm_page(fd, op.addr).cpu);
	/* The module sees that a page is freed while it is locked. */
	klog_expect("0-1", warning);
	EXPECT_EQ(0, xm_sync_resume(fd, id, NULL));
	EXPECT_EQ(0, worker_join(&op));
	klog_expected();
	XM_XFAIL_IF(true, !klog_has(&log, warning),
		    "finding 42: the migration's reference is dropped with its entry");
	klog_close(&log);
	EXPECT_EQ(free, xm_devmem_free(fd));
	EXPECT_CLEAN(fd);
	munmap(op.addr, XM_PMD);
	close(fd);
}

/*
 * A huge page is to go to small pages of the device. Its entry, which is one of the
 * migration, is thrown away on the way, in whole or in part. A raw migration has the core
 * split the page after that: the kernel of finding 47 keeps the 2 MiB for ever, once in each
 * variant. The driver of a device that has no large folio for it has the page split before.
 */
FIXTURE(in_parts) {
	int fd;
	struct group g;
	bool entered;
};

FIXTURE_VARIANT(in_parts) {
	size_t from;	/* what is thrown away, in pages */
	size_t pages;
	bool raw;
};

/* What the others are told from: all of it stays. */
FIXTURE_VARIANT_ADD(in_parts, none) {
};

FIXTURE_VARIANT_ADD(in_parts, raw_none) {
	.raw = true,
};

FIXTURE_VARIANT_ADD(in_parts, all) {
	.pages = PAGES,
};

FIXTURE_VARIANT_ADD(in_parts, raw_all) {
	.pages = PAGES, .raw = true,
};

FIXTURE_VARIANT_ADD(in_parts, one) {
	.from = HOLE, .pages = 1,
};

FIXTURE_VARIANT_ADD(in_parts, raw_one) {
	.from = HOLE, .pages = 1, .raw = true,
};

FIXTURE_SETUP(in_parts)
{
	NEED(XMIRROR_CAP_PRIVATE_LARGE | XMIRROR_CAP_SYNC);
	if (variant->raw && XM_HUGE_IS_RARE)
		XM_SKIP(return, "finding 47 keeps a huge page, which has %lu MiB",
			XM_PMD >> 20);
	OPEN(self->fd, 0);
	/* Charges in advance are for this CPU only. */
	ASSERT_EQ(0, xm_pin_cpu());
	if (group_make(&self->g, "parts"))
		XM_SKIP(return, "no memory controller of cgroup2");
	ASSERT_EQ(0, group_enter(&self->g));
	self->entered = true;
}

FIXTURE_TEARDOWN(in_parts)
{
	if (!self->entered)
		return;
	EXPECT_EQ(0, group_leave(&self->g));
	EXPECT_EQ(0, group_end(&self->g));
	close(self->fd);
}

/* covers: J.split */
TEST_F(in_parts, memory_of_a_migration_is_thrown_away)
{
	struct worker op = {
		.fn = variant->raw ? raw_work_to_small : work_to_device,
		.fd = self->fd,
		.len = XM_PMD,
	};
	const __u64 free = xm_devmem_free(self->fd);
	long before = group_current(&self->g);
	size_t i, wrong = 0;
	__u64 injected;
	char *p, *q;
	__u32 id;

	p = xm_thp(self->fd, 0x22);
	if (!p)
		XM_SKIP(return, "%s", xm_why_no_thp());
	ASSERT_LT(before + (long)XM_PMD / 2, group_current(&self->g));
	op.addr = p;
	q = p + variant->from * XM_PAGE;
	ASSERT_EQ(0, worker_prepare(&op));
	/* There is no large folio for it. */
	ASSERT_EQ(0, xm_inject(self->fd, XMIRROR_INJECT_ALLOC, 0, 1, 0));
	ASSERT_EQ(0, xm_sync_arm(self->fd, variant->raw ? XMIRROR_PT_RAW_UNMAPPED :
				 XMIRROR_PT_MIGRATE_COPIED, NULL, 0, &id));
	ASSERT_EQ(0, worker_start(&op));
	ASSERT_EQ(0, xm_sync_reached(self->fd, id, XM_LONG));
	EXPECT_EQ(0, xm_inject_end(self->fd, XMIRROR_INJECT_ALLOC, NULL, &injected));
	EXPECT_EQ(!variant->raw, injected);
	EXPECT_EQ(XMIRROR_CPU_OTHER | XMIRROR_CPU_HUGE,
		  xm_page(self->fd, p).cpu & (XMIRROR_CPU_OTHER | XM_HUGE_PRIVATE));
	EXPECT_EQ(free, xm_devmem_free(self->fd));
	EXPECT_EQ(0, madvise(q, variant->pages * XM_PAGE, MADV_DONTNEED));
	EXPECT_EQ(!variant->pages, !!xm_page(self->fd, q).cpu);
	EXPECT_EQ(0, xm_sync_resume(self->fd, id, NULL));
	EXPECT_EQ(0, worker_join(&op));
	/* The driver's call fills what has become empty. */
	if (!variant->raw || !variant->pages)
		EXPECT_EQ(PAGES, op.done);
	for (i = 0; i < PAGES; i++)
		wrong += XM_LOAD(p + i * XM_PAGE) !=
			 (i - variant->from < variant->pages ? 0 : 0x22);
	EXPECT_EQ(0, wrong);
	EXPECT_CLEAN(self->fd);
	munmap(p, XM_PMD);
	EXPECT_EQ(free, xm_devmem_free(self->fd));
	EXPECT_EQ(0, xm_drain());
	XM_XFAIL_IF(variant->raw && variant->pages,
		    group_current(&self->g) < before + (long)XM_PMD / 2,
		    "finding 47: a reference to a huge page is left");
}

/* The other side of fork() */
static int keeps_it(struct child *c, void *arg)
{
	char *p = arg;
	size_t i;

	CHILD_CHECK(!child_tell(c, 'm'));
	CHILD_CHECK(child_hear(c) == 'g');
	for (i = 0; i < XM_PMD; i += XM_PAGE)
		CHILD_CHECK(p[i] == 7);
	return 0;
}

/*
 * A huge page that fork() has shared moves for both, and is readable for each.
 * The kernel then looks for the write bit of a present entry in that of a private
 * page, where x86 has the one for soft-dirty. It goes to the device, and the kernel may
 * report that.
 */
static void move_shared(struct __test_metadata *_metadata, int fd, char *p)
{
	__u64 moved = 0;

	if (klog_has_shared_huge())
		klog_expect("0-1", KLOG_SHARED_HUGE);
	EXPECT_EQ(0, xm_migrate(fd, p, XM_PMD, 0, 0, &moved));
	if (klog_has_shared_huge())
		klog_expected();
	EXPECT_EQ(PAGES, moved);
}

/* covers: G.shared */
TEST(shared_huge_page_moves)
{
	struct child c;
	struct klog log;
	bool seen;
	size_t i;
	char *p;
	int fd;

	OPEN(fd, 0);
	NEED(XMIRROR_CAP_PRIVATE_LARGE);
	p = xm_thp(fd, 7);
	if (!p)
		XM_SKIP(return, "%s", xm_why_no_thp());
	ASSERT_EQ(0, child_start(&c, keeps_it, p));
	ASSERT_EQ('m', child_hear(&c));
	ASSERT_EQ(0, klog_open(&log));
	move_shared(_metadata, fd, p);
	EXPECT_TRUE(xm_page(fd, p).cpu & XMIRROR_CPU_PRIVATE);
	EXPECT_EQ(0, child_tell(&c, 'g'));
	EXPECT_EQ(0, child_end(&c));
	for (i = 0; i < XM_PMD; i += XM_PAGE) {
		EXPECT_EQ(7, p[i]);
	}
	EXPECT_CLEAN(fd);
	close(fd);
	seen = klog_has(&log, KLOG_SHARED_HUGE);
	klog_close(&log);
	XM_XFAIL_IF(klog_has_shared_huge(), !seen,
		    "soft-dirty of a private entry is taken for its write bit: 7.3");
}

/* A huge page that @fn has, too; it has said 'm'. NULL if there is none to be had. */
static char *share_with(struct __test_metadata *_metadata, int fd, struct child *c,
			int (*fn)(struct child *c, void *arg))
{
	char *p = xm_thp(fd, 0);

	if (!p)
		return NULL;
	xm_fill_pages((__u64 *)p, PAGES);
	ASSERT_EQ(0, child_start(c, fn, p));
	ASSERT_EQ('m', child_hear(c));
	return p;
}

static int has_it_in_parts_later(struct child *c, void *arg)
{
	int fd = xm_open(0);

	CHILD_CHECK(fd >= 0);
	CHILD_CHECK(xm_page(fd, arg).cpu & XMIRROR_CPU_HUGE);
	CHILD_CHECK(!child_tell(c, 'm'));
	CHILD_CHECK(child_hear(c) == 'g');
	CHILD_CHECK((xm_page(fd, arg).cpu & XM_HUGE_PRIVATE) == XMIRROR_CPU_PRIVATE);
	CHILD_CHECK(!xm_wrong_pages(arg, PAGES));
	return 0;
}

/*
 * A device that has no large folio: all who share the page have small entries before it
 * moves (finding 49 is what a kernel does that splits it afterwards).
 */
/* covers: J.split_shared */
TEST(shared_huge_page_moves_in_parts)
{
	__u64 moved = 0, injected;
	struct child c;
	char *p;
	int fd;

	OPEN(fd, 0);
	NEED(XMIRROR_CAP_PRIVATE_LARGE);
	p = share_with(_metadata, fd, &c, has_it_in_parts_later);
	if (!p)
		XM_SKIP(return, "%s", xm_why_no_thp());
	ASSERT_EQ(0, xm_inject(fd, XMIRROR_INJECT_ALLOC, 0, 1, 0));
	EXPECT_EQ(0, xm_migrate(fd, p, XM_PMD, 0, 0, &moved));
	EXPECT_EQ(0, xm_inject_end(fd, XMIRROR_INJECT_ALLOC, NULL, &injected));
	EXPECT_EQ(1, injected);
	EXPECT_EQ(PAGES, moved);
	EXPECT_EQ(XMIRROR_CPU_PRIVATE, xm_page(fd, p).cpu & XM_HUGE_PRIVATE);
	EXPECT_EQ(0, child_tell(&c, 'g'));
	EXPECT_EQ(0, child_end(&c));
	EXPECT_EQ(0, xm_wrong_pages((__u64 *)p, PAGES));
	EXPECT_CLEAN(fd);
	munmap(p, XM_PMD);
	close(fd);
}

static int has_small_entries(struct child *c, void *arg)
{
	char *p = arg;

	CHILD_CHECK(!mprotect(p + HOLE * XM_PAGE, XM_PAGE, PROT_READ));
	CHILD_CHECK(!child_tell(c, 'm'));
	CHILD_CHECK(child_hear(c) == 'g');
	CHILD_CHECK(!xm_wrong_pages((__u64 *)p, PAGES));
	return 0;
}

/* The same where the child has its own entries for the pages: each is for its page. */
/* covers: G.shared */
TEST(huge_page_that_a_child_has_in_parts_moves)
{
	struct child c;
	char *p;
	int fd;

	OPEN(fd, 0);
	NEED(XMIRROR_CAP_PRIVATE_LARGE);
	p = share_with(_metadata, fd, &c, has_small_entries);
	if (!p)
		XM_SKIP(return, "%s", xm_why_no_thp());
	move_shared(_metadata, fd, p);
	if (XM_HUGE_IS_RARE && !(xm_page(fd, p).cpu & XMIRROR_CPU_HUGE))
		XM_SKIP(child_tell(&c, 'g'); child_end(&c); return,
			"no huge page to be had for the device");
	EXPECT_EQ(XM_HUGE_PRIVATE, xm_page(fd, p).cpu & XM_HUGE_PRIVATE);
	/* The child's entries of the first two pages are not present, either. */
	EXPECT_EQ(0, xm_pagemap_of(c.pid, word(p, 1)) & XM_PM_PRESENT);
	EXPECT_EQ(0, child_tell(&c, 'g'));
	EXPECT_EQ(0, child_end(&c));
	EXPECT_EQ(0, xm_wrong_pages((__u64 *)p, PAGES));
	EXPECT_CLEAN(fd);
	munmap(p, XM_PMD);
	close(fd);
}

TEST_HARNESS_MAIN
