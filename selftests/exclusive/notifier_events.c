// SPDX-License-Identifier: GPL-2.0
/*
 * Events of calls that change little or nothing, about memory that is not
 * exclusive: section D of Documentation/behaviour.md. A row of the table is a test:
 * the mirror sees these events and no others, and keeps the leaves beside. Most
 * rows are wrong for a driver that concludes from an event what has changed.
 *
 * The memory begins a chunk. The device has mapped its first page; the rows work on the
 * next page table of the same chunk, so that they split none.
 */
#include <fcntl.h>

#include "settings.h"
#include "test.h"

#define AREA	(2 * XM_PMD)
#define EV(name)	(1U << XM_EV_##name)

struct env {
	int fd;
	char *all;	/* the page that the device has */
	char *p;	/* XM_PMD bytes behind its page table */
	struct child child;
	char why[128];
};

#define NOT_HERE	1

static int not_here(struct env *e, const char *why)
{
	snprintf(e->why, sizeof(e->why), "%s", why);
	return NOT_HERE;
}

static int advise(struct env *e, int advice)
{
	return madvise(e->p, XM_PMD, advice) ? -errno : 0;
}

static int written(struct env *e)
{
	memset(e->p, 0x11, XM_PAGE);
	return 0;
}

/* mprotect() */

static int protect(struct env *e, int prot)
{
	return mprotect(e->p, XM_PMD, prot) ? -errno : 0;
}

static int protect_empty(struct env *e)
{
	return protect(e, PROT_READ);
}

static int protect_same(struct env *e)
{
	return protect(e, PROT_READ | PROT_WRITE);
}

/* madvise() */

static int free_empty(struct env *e)
{
	return advise(e, MADV_FREE);
}

static int dontneed_empty(struct env *e)
{
	return advise(e, MADV_DONTNEED);
}

static int free_before(struct env *e)
{
	written(e);
	return advise(e, MADV_FREE);
}

static int free_again(struct env *e)
{
	return advise(e, MADV_FREE);
}

static int cold_empty(struct env *e)
{
	return advise(e, MADV_COLD);
}

static int pageout_empty(struct env *e)
{
	return advise(e, MADV_PAGEOUT);
}

static int mlock_before(struct env *e)
{
	return mlock(e->p, XM_PMD) ? -errno : 0;
}

static int munlock_nothing(struct env *e)
{
	return munlock(e->p, XM_PMD) ? -errno : 0;
}

/* Mappings */

static int map(struct env *e)
{
	char *p = mmap(e->p, XM_PMD, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

	return p == e->p ? 0 : -errno;
}

static int map_over_empty(struct env *e)
{
	return map(e);
}

static int unmap(struct env *e)
{
	return munmap(e->p, XM_PMD) ? -errno : 0;
}

static int unmap_empty(struct env *e)
{
	return unmap(e);
}

static int unmap_hole(struct env *e)
{
	return unmap(e);
}

static int map_hole(struct env *e)
{
	return map(e);
}

static int clear_soft_dirty(struct env *e)
{
	if (!xm_has_soft_dirty())
		return not_here(e, "no CONFIG_MEM_SOFT_DIRTY");
	return xm_write_file("/proc/self/clear_refs", "4");
}

/* fork() */

static int fork_child(struct env *e)
{
	return child_start(&e->child, child_waits, e);
}

static int shared_before(struct env *e)
{
	written(e);
	return fork_child(e);
}

static int child_gone(struct env *e)
{
	int err = child_tell(&e->child, 'e');

	if (!err)
		err = child_end(&e->child);
	e->child.pid = 0;
	return err;
}

static int shared_no_more(struct env *e)
{
	int err = shared_before(e);

	return err ? err : child_gone(e);
}

/*
 * Not XM_STORE(), which is an exchange: emulation in one thread reads first, and
 * that fault maps the zero page.
 */
static int write_shared(struct env *e)
{
	*(volatile __u64 *)e->p = 7;
	return 0;
}

static int write_after_sharer(struct env *e)
{
	return write_shared(e);
}

/* Faults */

static int read_empty(struct env *e)
{
	return XM_LOAD((__u64 *)e->p) ? -EIO : 0;
}

static int write_empty(struct env *e)
{
	return write_shared(e);
}

static int write_zero_page(struct env *e)
{
	return write_shared(e);
}

/* Huge pages and KSM */

static int huge_before(struct env *e)
{
	xm_setting("/sys/kernel/mm/transparent_hugepage/khugepaged/max_ptes_swap",
		   "0");
	if (advise(e, MADV_HUGEPAGE))
		return not_here(e, xm_why_no_thp());
	memset(e->p, 0x11, XM_PMD);
	if (!(xm_page(e->fd, e->p).cpu & XMIRROR_CPU_HUGE))
		return not_here(e, xm_why_no_thp());
	return 0;
}

/* One page changes its rights, and the event covers the whole mapping. */
static int split_huge(struct env *e)
{
	int err = mprotect(e->p + XM_PMD / 2, XM_PAGE, PROT_READ) ? -errno : 0;

	return err;
}

static int small_before(struct env *e)
{
	memset(e->p, 0x11, XM_PMD);
	return 0;
}

/* khugepaged sends the same if it is faster. */
static int collapse(struct env *e)
{
	if (advise(e, MADV_HUGEPAGE))
		return not_here(e, xm_why_no_thp());
	if (xm_collapse(e->p))
		return not_here(e, xm_why_no_thp());
	return xm_page(e->fd, e->p).cpu & XMIRROR_CPU_HUGE ? 0 : -EIO;
}

static int same_pages(struct env *e)
{
	memset(e->p, 0x77, 2 * XM_PAGE);
	e->p[7] = 0x42;
	e->p[XM_PAGE + 7] = 0x42;
	/* The references of a batch would make KSM try, and send events, again. */
	return xm_drain();
}

static int merge(struct env *e)
{
	/* All of it: a part would split the mapping inside a page table. */
	if (advise(e, MADV_MERGEABLE))
		return not_here(e, "no CONFIG_KSM");
	return xm_ksm_merge(e->p, e->p + XM_PAGE);
}

FIXTURE(quiet) {
	struct env e;
};

/*
 * @events: exactly these; @old: those on Linux 6.1, where mprotect() skips empty
 * PMDs; @times: how often at least
 */
FIXTURE_VARIANT(quiet) {
	const char *name;
	int (*prepare)(struct env *e);
	int (*act)(struct env *e);
	__u32 events;
	__u32 old;
	int times;
	bool lost;	/* the device's own page, too */
};

#define ROW2(path, before, ev6, ev, n, ...) \
	FIXTURE_VARIANT_ADD(quiet, path) { \
		.name = #path, .prepare = before, .act = path, \
		.events = ev, .old = ev6, .times = n, __VA_ARGS__ \
	}
#define ROW(path, before, ev, ...) \
	ROW2(path, before, ev, ev, 1, __VA_ARGS__)

ROW2(protect_empty, NULL, 0, EV(PROTECTION_VMA), 1);
ROW(protect_same, written, 0);
ROW(free_empty, NULL, EV(CLEAR));
ROW(dontneed_empty, NULL, EV(CLEAR));
ROW(free_again, free_before, EV(CLEAR));
ROW(cold_empty, NULL, 0);
ROW(pageout_empty, NULL, 0);
ROW(munlock_nothing, mlock_before, 0);
ROW(map_over_empty, NULL, EV(UNMAP));
ROW(unmap_empty, NULL, EV(UNMAP));
ROW(unmap_hole, unmap, 0);
ROW(map_hole, unmap, 0);
ROW(clear_soft_dirty, written, EV(SOFT_DIRTY), .lost = true);
ROW(fork_child, written, EV(PROTECTION_PAGE), .lost = true);
ROW(write_shared, shared_before, EV(CLEAR));
ROW(write_after_sharer, shared_no_more, 0);
ROW(read_empty, NULL, 0);
ROW(write_empty, NULL, 0);
ROW(write_zero_page, read_empty, EV(CLEAR));
ROW(split_huge, huge_before, EV(CLEAR) | EV(PROTECTION_VMA));
ROW(collapse, small_before, EV(CLEAR));
/* Both are write-protected, then one is replaced. */
ROW2(merge, same_pages, EV(CLEAR), EV(CLEAR), 3);

FIXTURE_SETUP(quiet)
{
	struct env *e = &self->e;

	NEED(XMIRROR_CAP_MIRROR);
	if (xm_facts()->chunk_size < AREA)
		XM_SKIP(return, "a chunk has less than two page tables");
	ASSERT_EQ(0, xm_pin_cpu());
	OPEN(e->fd, 0);
	e->all = xm_area(AREA, 0);
	ASSERT_NE(NULL, e->all);
	e->p = e->all + XM_PMD;
	*e->all = 0x33;
}

FIXTURE_TEARDOWN(quiet)
{
	if (self->e.child.pid > 0)
		child_gone(&self->e);
	EXPECT_CLEAN(self->e.fd);
	close(self->e.fd);
}

/* covers: D.quiet */
TEST_F(quiet, row)
{
	struct xmirror_stats before, after;
	struct env *e = &self->e;
	__u32 want, seen = 0;
	__u64 times = 0;
	int i, err = 0;

	want = xm_kver() <= XM_KVER(6, 1) ? variant->old : variant->events;
	if (variant->prepare)
		err = variant->prepare(e);
	if (err == NOT_HERE)
		XM_SKIP(return, "%s", e->why);
	ASSERT_EQ(0, err);
	ASSERT_EQ(0, xm_fault(e->fd, e->all, XM_PAGE, XMIRROR_FAULT_WRITE,
			      NULL));
	EXPECT_LEAF(e->fd, e->all, LEAF_WRITE);

	ASSERT_EQ(0, xm_stats(e->fd, &before));
	err = variant->act(e);
	ASSERT_EQ(0, xm_stats(e->fd, &after));
	if (err == NOT_HERE)
		XM_SKIP(return, "%s", e->why);
	ASSERT_EQ(0, err);
	for (i = 0; i < XMIRROR_NR_EVENTS; i++) {
		if (after.inv[i] == before.inv[i])
			continue;
		seen |= 1U << i;
		times += after.inv[i] - before.inv[i];
	}
	EXPECT_EQ(want, seen)
		TH_LOG("row %s, kernel %d.%d: events: expected %#x, seen %#x",
		       variant->name, xm_kver() >> 8, xm_kver() & 0xff, want,
		       seen);
	if (want) {
		EXPECT_LE(variant->times, times);
	}
	/* No event covers the device's page, unless it covers all. */
	if (variant->lost) {
		EXPECT_LT(before.inv_leaves, after.inv_leaves);
	} else {
		EXPECT_EQ(before.inv_leaves, after.inv_leaves);
		EXPECT_LEAF(e->fd, e->all, LEAF_WRITE);
	}
	EXPECT_EQ(0x33, *e->all);
}

/* Two chunks, one on each side of the end of a table of huge entries: 1 GiB with 4K pages */
#define TABLE	(XM_PMD * (XM_PAGE / 8))

/* An event may be smaller than the call: it leaves empty page tables out. */
/* covers: D.smaller */
TEST(event_is_smaller_than_the_call)
{
	const size_t chunk = xm_facts() ? xm_facts()->chunk_size : XM_PMD;
	struct xmirror_stats before, after;
	char *all, *mid;
	int fd;

	NEED(XMIRROR_CAP_MIRROR);
	OPEN(fd, 0);
	all = mmap(NULL, 3 * TABLE, PROT_NONE,
		   MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	ASSERT_NE(MAP_FAILED, all);
	mid = (char *)(((uintptr_t)all + 2 * TABLE - 1) & ~(TABLE - 1));
	/* The device faults on both sides, and finds no page. */
	EXPECT_EQ(-EFAULT, xm_fault(fd, mid - chunk, XM_PAGE, 0, NULL));
	EXPECT_EQ(-EFAULT, xm_fault(fd, mid, XM_PAGE, 0, NULL));
	ASSERT_EQ(mid - chunk, mmap(mid - chunk, 2 * chunk,
				    PROT_READ | PROT_WRITE, MAP_PRIVATE |
				    MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	*mid = 5;
	ASSERT_EQ(0, xm_fault(fd, mid, XM_PAGE, 0, NULL));
	ASSERT_EQ(0, xm_stats(fd, &before));
	ASSERT_EQ(0, mprotect(mid - chunk, 2 * chunk, PROT_READ));
	ASSERT_EQ(0, xm_stats(fd, &after));
	EXPECT_EQ(1, after.inv[XM_EV_PROTECTION_VMA] -
		     before.inv[XM_EV_PROTECTION_VMA]);
	EXPECT_EQ(1, after.inv_leaves - before.inv_leaves);
	/* Both sides have pages, and both get an event. */
	ASSERT_EQ(0, mprotect(mid - chunk, 2 * chunk, PROT_READ | PROT_WRITE));
	*(mid - XM_PAGE) = 6;
	ASSERT_EQ(0, xm_fault(fd, mid - XM_PAGE, 2 * XM_PAGE, 0, NULL));
	ASSERT_EQ(0, xm_stats(fd, &before));
	ASSERT_EQ(0, mprotect(mid - chunk, 2 * chunk, PROT_READ));
	ASSERT_EQ(0, xm_stats(fd, &after));
	EXPECT_EQ(2, after.inv[XM_EV_PROTECTION_VMA] -
		     before.inv[XM_EV_PROTECTION_VMA]);
	EXPECT_EQ(2, after.inv_leaves - before.inv_leaves);
	EXPECT_CLEAN(fd);
	close(fd);
}

struct related {
	char *p;
	__u64 exclusive;
	bool old;
};

static int watch(struct child *c, void *arg)
{
	struct related *r = arg;
	struct xmirror_stats before, after;
	int fd = xm_open(0);

	CHILD_CHECK(fd >= 0);
	CHILD_CHECK(xm_fault(fd, r->p + XM_PAGE, XM_PAGE, 0, NULL) == 0);
	/* The child's own page, so that the parent's is mapped by the parent only */
	XM_STORE((__u64 *)r->p, 1);
	CHILD_CHECK(xm_stats(fd, &before) == 0);
	CHILD_CHECK(child_tell(c, 'r') == 0);
	CHILD_CHECK(child_hear(c) == 'e');
	CHILD_CHECK(xm_stats(fd, &after) == 0);
	CHILD_CHECK(r->old || after.inv[XM_EV_EXCLUSIVE] ==
			      before.inv[XM_EV_EXCLUSIVE]);
	CHILD_CHECK(after.inv_own == before.inv_own);
	CHILD_CHECK(xm_page(fd, r->p + XM_PAGE).dev & XMIRROR_PTE_VALID);
	return 0;
}

/*
 * Before 6.15 the call walks the rmap, and mirrors of related processes that do not
 * map the page may get an event: those that the walk meets before the one that maps
 * it.
 */
/* covers: A.relative */
TEST(exclusive_in_a_related_process)
{
	struct related r = { .p = xm_area(2 * XM_PAGE, 0) };
	struct child c;
	int fd;

	NEED(XMIRROR_CAP_EXCLUSIVE);
	OPEN(fd, 0);
	ASSERT_NE(NULL, r.p);
	r.old = !(xm_caps() & XMIRROR_CAP_EXCLUSIVE_LARGE);
	memset(r.p, 0x11, 2 * XM_PAGE);
	ASSERT_EQ(0, child_start(&c, watch, &r));
	ASSERT_EQ('r', child_hear(&c));
	ASSERT_EQ(0, xm_add(fd, r.p, 1));
	EXPECT_TRUE(xm_is_exclusive(r.p));
	EXPECT_EQ(0, child_tell(&c, 'e'));
	EXPECT_EQ(0, child_end(&c));
	EXPECT_EQ(0x1111111111111112ULL, XM_LOAD((__u64 *)r.p));
	EXPECT_CLEAN(fd);
	close(fd);
}

TEST_HARNESS_MAIN
