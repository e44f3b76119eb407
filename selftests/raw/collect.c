// SPDX-License-Identifier: GPL-2.0
/*
 * One entry of 2 MiB as migrations collect it: what they tell of it, to whom they offer
 * it, and that all of it is as before when they let it go. A private one is collected by
 * address and by page frame.
 */
#include "parts.h"

#define W	XMIRROR_RAW_WRITE
#define WHOLE	(XMIRROR_RAW_VALID | XMIRROR_RAW_MIGRATE | XMIRROR_RAW_COMPOUND)

#define SYSTEM	(XMIRROR_RAW_SELECT_SYSTEM | XMIRROR_RAW_SELECT_COMPOUND)
#define PRIVATE	(XMIRROR_RAW_SELECT_PRIVATE | XMIRROR_RAW_SELECT_COMPOUND)
#define SPLIT	XMIRROR_RAW_SELECT_PRIVATE

static const __u32 by_frame[] = { XMIRROR_RAW_RANGE, XMIRROR_RAW_PFNS };

/* With pages of 64 KiB the fixture skips, and the compiler does not know. */
static struct xmirror_raw_move moves[MAX(PAGES, XMIRROR_RAW_MAX_PAGES)];

/* Collect @nr pages at @addr, and let them go. */
static int collect(int fd, const void *addr, size_t nr, __u32 flags,
		   __u32 owner)
{
	struct xmirror_raw_migrate r = {
		.flags = flags | XMIRROR_RAW_ABORT,
		.owner = owner,
	};

	memset(moves, 0, sizeof(moves));
	return raw_migrate(fd, addr, nr, &r, moves);
}

/* The same by page frame, of which @how is one. */
static int collect_frames(int fd, __u64 pfn, size_t nr, __u32 how)
{
	return collect(fd, (void *)(uintptr_t)pfn, nr, how,
		       XMIRROR_RAW_NOBODY);
}

/* The number of pages from @from to @to of which setup said anything */
static size_t told(size_t from, size_t to)
{
	size_t n = 0;

	for (; from < to; from++)
		n += !!moves[from].setup;
	return n;
}

#define EXPECT_KEPT(was) \
	do { \
		struct xmirror_raw_page now = raw_page(self->fd, self->p); \
		EXPECT_EQ((was).entry, now.entry) { \
			TH_LOG("%#x, then %#x", (was).entry, now.entry); \
		} \
		EXPECT_EQ((was).folio, now.folio) { \
			TH_LOG("%#x, then %#x", (was).folio, now.folio); \
		} \
		EXPECT_EQ((was).pfn, now.pfn); \
		EXPECT_EQ((was).refs, now.refs); \
		EXPECT_EQ((was).maps, now.maps); \
	} while (0)

TEST_F(parts, setup_tells_whether_it_is_writable)
{
	struct xmirror_raw_page was = raw_page(self->fd, self->p);

	ASSERT_EQ(0, collect(self->fd, self->p, PAGES, PRIVATE,
			     XMIRROR_RAW_POOL));
	EXPECT_EQ(WHOLE | W, moves[0].setup);
	EXPECT_EQ(was.pfn, moves[0].src_pfn);
	EXPECT_EQ(0, told(1, PAGES));
	EXPECT_KEPT(was);
	ASSERT_EQ(0, mprotect(self->p, XM_PMD, PROT_READ));
	ASSERT_EQ(0, collect(self->fd, self->p, PAGES, PRIVATE,
			     XMIRROR_RAW_POOL));
	EXPECT_EQ(WHOLE, moves[0].setup);
	EXPECT_EQ(0, told(1, PAGES));
	EXPECT_EQ(PAGES, COUNT(self->p, HUGE, XMIRROR_ENTRY_WRITE));
	EXPECT_EQ(0, wrong(self->p, 0, 0, false));
}

/* Nobody else's call splits it either. */
TEST_F(parts, offered_to_its_owner_only)
{
	static const __u32 others[] = {
		XMIRROR_RAW_NOBODY, XMIRROR_RAW_MIRROR, XMIRROR_RAW_STRANGER,
	};
	static const __u32 flags[] = { PRIVATE, SPLIT };
	struct xmirror_raw_page was = raw_page(self->fd, self->p);
	size_t i, k;

	for (i = 0; i < ARRAY_SIZE(others); i++) {
		for (k = 0; k < ARRAY_SIZE(flags); k++) {
			ASSERT_EQ(0, collect(self->fd, self->p, PAGES,
					     flags[k], others[i]));
			EXPECT_EQ(0, told(0, PAGES)) {
				TH_LOG("owner %u, flags %#x: %#x", others[i],
				       flags[k], moves[0].setup);
			}
			EXPECT_KEPT(was);
		}
	}
	/* To the owner neither if it asks for memory of the system */
	ASSERT_EQ(0, collect(self->fd, self->p, PAGES, SYSTEM,
			     XMIRROR_RAW_POOL));
	EXPECT_EQ(0, told(0, PAGES));
	EXPECT_KEPT(was);
	ASSERT_EQ(0, collect(self->fd, self->p, PAGES, PRIVATE,
			     XMIRROR_RAW_POOL));
	EXPECT_EQ(WHOLE | W, moves[0].setup);
	EXPECT_KEPT(was);
	ASSERT_EQ(0, collect(self->fd, self->p, PAGES, SPLIT,
			     XMIRROR_RAW_POOL));
	EXPECT_EQ(PAGES, told(0, PAGES));
	EXPECT_EQ(PAGES, COUNT(self->p, SMALL, XMIRROR_ENTRY_HUGE));
	EXPECT_EQ(0, wrong(self->p, 0, 0, false));
}

/* Its folio is not collected, and neither locked nor referenced any more. */
TEST_F(parts, frames_that_end_inside_it)
{
	struct xmirror_raw_page was = raw_page(self->fd, self->p), now;
	size_t i;

	if (xm_kver() < XM_KVER(7, 3))
		XM_SKIP(return, "a folio may be collected beyond the range: Linux 7.3");
	ASSERT_EQ(0, was.folio & XMIRROR_FOLIO_LOCKED);
	for (i = 0; i < ARRAY_SIZE(by_frame); i++) {
		ASSERT_EQ(0, collect_frames(self->fd, was.pfn, 4, by_frame[i]));
		EXPECT_EQ(0, told(0, 4));
		EXPECT_KEPT(was);
		now = raw_page(self->fd, self->p);
		/* Whoever touches a locked one waits for ever. */
		ASSERT_EQ(0, now.folio & XMIRROR_FOLIO_LOCKED);
	}
	ASSERT_EQ(0, collect_frames(self->fd, was.pfn, PAGES, by_frame[0]));
	EXPECT_EQ(WHOLE, moves[0].setup);
	EXPECT_KEPT(was);
	EXPECT_EQ(0, wrong(self->p, 0, 0, false));
}

/* Write all pages of @p, which is to become one entry. */
static bool fill_huge(int fd, __u64 *p)
{
	if (madvise(p, XM_PMD, MADV_HUGEPAGE))
		return false;
	xm_fill_pages(p, PAGES);
	return raw_page(fd, p).entry & XMIRROR_ENTRY_HUGE;
}

TEST_F(parts, frames_of_two)
{
	__u64 first = raw_page(self->fd, self->p).pfn;
	size_t i;

	if (2 * PAGES > XMIRROR_RAW_MAX_PAGES)
		XM_SKIP(return, "two huge pages are too much for a raw call");
	if (!fill_huge(self->fd, self->to))
		XM_SKIP(return, "%s", xm_why_no_thp());
	ASSERT_EQ((long)PAGES, raw_to(self->fd, self->to, PAGES,
				      XMIRROR_RAW_PRIVATE_LARGE));
	ASSERT_EQ(first + PAGES, raw_page(self->fd, self->to).pfn);
	for (i = 0; i < ARRAY_SIZE(by_frame); i++) {
		ASSERT_EQ(0, collect_frames(self->fd, first, 2 * PAGES,
					    by_frame[i]));
		EXPECT_EQ(WHOLE, moves[0].setup);
		EXPECT_EQ(first, moves[0].src_pfn);
		EXPECT_EQ(0, told(1, PAGES));
		EXPECT_EQ(WHOLE, moves[PAGES].setup);
		EXPECT_EQ(first + PAGES, moves[PAGES].src_pfn);
		EXPECT_EQ(0, told(PAGES + 1, 2 * PAGES));
	}
	EXPECT_EQ(PAGES, COUNT(self->p, HUGE | XMIRROR_ENTRY_WRITE, 0));
	EXPECT_EQ(PAGES, COUNT(self->to, HUGE | XMIRROR_ENTRY_WRITE, 0));
	EXPECT_EQ(0, wrong(self->p, 0, 0, false));
	EXPECT_EQ(0, xm_wrong_pages(self->to, PAGES));
}

/*
 * A child alone has the folio that moves. Its parent has another one at the same address,
 * where the rmap looks for the first, too.
 */
TEST_F(parts, frame_of_a_child_moves_and_its_parents_stays)
{
	struct xmirror_raw_migrate r = { .flags = XMIRROR_RAW_RANGE };
	struct xmirror_raw_page was = raw_page(self->fd, self->p), now;
	void *frame = (void *)(uintptr_t)was.pfn;
	struct child c;

	ASSERT_EQ(0, child_start(&c, child_keeps, self->p));
	ASSERT_EQ('r', child_hear(&c));
	ASSERT_EQ(0, madvise(self->p, XM_PMD, MADV_DONTNEED));
	if (!fill_huge(self->fd, self->p))
		XM_SKIP(return, "%s", xm_why_no_thp());
	ASSERT_EQ((long)PAGES, raw_to(self->fd, self->p, PAGES,
				      XMIRROR_RAW_PRIVATE_LARGE));
	now = raw_page(self->fd, self->p);
	ASSERT_EQ(HUGE, now.entry & HUGE);
	ASSERT_NE(was.pfn, now.pfn);
	was = now;
	moves[0].dst = XMIRROR_RAW_SYSTEM_LARGE;
	ASSERT_EQ(0, raw_migrate(self->fd, frame, PAGES, &r, moves));
	EXPECT_EQ(WHOLE, moves[0].setup);
	EXPECT_NE(0, moves[0].dst_pfn);
	EXPECT_KEPT(was);
	now = raw_page(self->fd, self->p);
	/* Whoever touches a migration entry that is left waits for ever. */
	ASSERT_EQ(was.entry, now.entry);
	EXPECT_EQ(0, child_tell(&c, 'l'));
	EXPECT_EQ(0, child_end(&c));
	EXPECT_EQ(0, xm_wrong_pages(self->p, PAGES));
}

/* The range ends, or begins, in the middle: it is not offered as one. */
TEST_F(parts, half_of_it)
{
	ASSERT_EQ(0, collect(self->fd, self->p, PAGES / 2, PRIVATE,
			     XMIRROR_RAW_POOL));
	EXPECT_EQ(XMIRROR_RAW_VALID | XMIRROR_RAW_MIGRATE | W, moves[0].setup);
	EXPECT_EQ(PAGES / 2, told(0, PAGES / 2));
	EXPECT_EQ(PAGES, COUNT(self->p, SMALL | XMIRROR_ENTRY_WRITE,
			       XMIRROR_ENTRY_HUGE));
	EXPECT_EQ(0, wrong(self->p, 0, 0, false));
}

TEST_F(parts, half_of_an_empty_one)
{
	size_t i, half;

	/* Without a page table, and with one of which no page is used. */
	for (i = 0; i < 4; i++) {
		if (i == 2) {
			XM_STORE(self->to, 1);
			ASSERT_EQ(0, madvise(self->to, XM_PAGE, MADV_DONTNEED));
		}
		half = i % 2 * PAGES / 2;
		ASSERT_EQ(0, collect(self->fd, self->to + half * WORDS,
				     PAGES / 2, SYSTEM, XMIRROR_RAW_POOL));
		EXPECT_EQ(XMIRROR_RAW_MIGRATE, moves[0].setup);
		EXPECT_EQ(PAGES / 2, told(0, PAGES / 2));
	}
	ASSERT_EQ(0, munmap(self->to, XM_PMD));
	ASSERT_EQ(0, xm_anon_at(self->to, XM_PMD));
	ASSERT_EQ(0, collect(self->fd, self->to, PAGES, SYSTEM,
			     XMIRROR_RAW_POOL));
	EXPECT_EQ(XMIRROR_RAW_MIGRATE | XMIRROR_RAW_COMPOUND, moves[0].setup);
	EXPECT_EQ(0, told(1, PAGES));
}

/* A large folio of the system fills it, with the rights of the mapping. */
TEST_F(parts, empty_one_is_filled_by_a_large_folio)
{
	__u32 entry = XMIRROR_ENTRY_PRESENT | XMIRROR_ENTRY_HUGE;
	__u32 folio = XMIRROR_FOLIO_LRU | XMIRROR_FOLIO_SWAPBACKED |
		      XMIRROR_FOLIO_ANON | XMIRROR_FOLIO_ANON_EXCLUSIVE |
		      XMIRROR_FOLIO_CHARGED | XMIRROR_FOLIO_LARGE;
	struct xmirror_raw_page page;
	int i;

	for (i = 0; i < 2; i++) {
		struct xmirror_raw_migrate r = { .flags = SYSTEM };

		memset(moves, 0, sizeof(moves));
		moves[0].dst = XMIRROR_RAW_SYSTEM_LARGE;
		ASSERT_EQ(0, raw_migrate(self->fd, self->to, PAGES, &r, moves));
		if (!moves[0].dst_pfn)
			XM_SKIP(return, "%s", xm_why_no_thp());
		ASSERT_EQ(0, xm_drain());
		page = raw_page(self->fd, self->to);
		EXPECT_EQ(moves[0].dst_pfn, page.pfn);
		EXPECT_EQ(entry | (i ? 0 : XMIRROR_ENTRY_WRITE), page.entry &
			  (entry | XMIRROR_ENTRY_WRITE));
		EXPECT_EQ(folio, page.folio & folio) {
			TH_LOG("%#x", page.folio);
		}
		EXPECT_EQ(1, page.refs);
		EXPECT_EQ(1, page.maps);
		EXPECT_EQ(0, XM_LOAD(self->to + 7 * WORDS));
		ASSERT_EQ(0, madvise(self->to, XM_PMD, MADV_DONTNEED));
		ASSERT_EQ(0, mprotect(self->to, XM_PMD, PROT_READ));
	}
}

/* A page of the huge zero page goes: the others are zero pages after that. */
TEST_F(parts, page_of_the_huge_zero_page)
{
	struct xmirror_raw_page page;
	__u64 *q = self->to + 5 * WORDS;

	ASSERT_EQ(0, madvise(self->to, XM_PMD, MADV_HUGEPAGE));
	EXPECT_EQ(0, XM_LOAD(self->to));
	if (!(raw_page(self->fd, self->to).entry & XMIRROR_ENTRY_HUGE))
		XM_SKIP(return, "no huge zero page: use_zero_page");
	ASSERT_EQ(1, raw_to(self->fd, q, 1, XMIRROR_RAW_PRIVATE));
	page = raw_page(self->fd, q);
	EXPECT_EQ(SMALL | XMIRROR_ENTRY_WRITE,
		  page.entry & ~XMIRROR_ENTRY_SOFT_DIRTY);
	EXPECT_EQ(PAGES - 1, COUNT(self->to, XMIRROR_ENTRY_SPECIAL, SMALL));
	EXPECT_EQ(0, XM_LOAD(q));
}

/* Who asks for private memory only is not offered it, and does not split it. */
TEST_F(parts, one_of_the_system)
{
	struct xmirror_raw_page was, now;

	if (!fill_huge(self->fd, self->to))
		XM_SKIP(return, "%s", xm_why_no_thp());
	ASSERT_EQ(0, xm_drain());
	was = raw_page(self->fd, self->to);
	ASSERT_EQ(0, collect(self->fd, self->to, PAGES, PRIVATE,
			     XMIRROR_RAW_POOL));
	EXPECT_EQ(0, told(0, PAGES));
	ASSERT_EQ(0, collect(self->fd, self->to, PAGES, SPLIT,
			     XMIRROR_RAW_POOL));
	EXPECT_EQ(0, told(0, PAGES));
	now = raw_page(self->fd, self->to);
	EXPECT_EQ(was.entry, now.entry);
	EXPECT_EQ(was.pfn, now.pfn);
	EXPECT_EQ(was.folio, now.folio);
	EXPECT_EQ(was.refs, now.refs);
	ASSERT_EQ(0, collect(self->fd, self->to, PAGES, SYSTEM,
			     XMIRROR_RAW_POOL));
	EXPECT_EQ(WHOLE | W, moves[0].setup);
	EXPECT_EQ(0, xm_wrong_pages(self->to, PAGES));
}

/* One of the system that was to be dropped (MADV_FREE), and was written to after that */
FIXTURE(lazyfree) {
	int fd;
	__u64 *p;
};

FIXTURE_SETUP(lazyfree)
{
	struct xmirror_raw_page page;

	OPEN(self->fd, 0);
	NEED(XMIRROR_CAP_PRIVATE | XMIRROR_CAP_PRIVATE_LARGE);
	if (PAGES > XMIRROR_RAW_MAX_PAGES)
		XM_SKIP(return, "a huge page has more pages than a raw call takes");
	self->p = (__u64 *)xm_thp(self->fd, 0);
	if (!self->p)
		XM_SKIP(return, "%s", xm_why_no_thp());
	ASSERT_EQ(0, xm_drain());
	ASSERT_EQ(0, madvise(self->p, XM_PMD, MADV_FREE));
	ASSERT_EQ(0, xm_drain());
	page = raw_page(self->fd, self->p);
	ASSERT_EQ(0, page.entry & XMIRROR_ENTRY_DIRTY);
	ASSERT_EQ(0, page.folio & (XMIRROR_FOLIO_DIRTY |
				   XMIRROR_FOLIO_SWAPBACKED));
}

FIXTURE_TEARDOWN(lazyfree)
{
	if (self->p)
		munmap(self->p, XM_PMD);
	close(self->fd);
}

/* Only the entry is dirty; it comes back so if the folio has been made dirty, too. */
TEST_F(lazyfree, written_data_is_kept)
{
	__u32 dirty = XMIRROR_ENTRY_HUGE | XMIRROR_ENTRY_DIRTY;
	struct xmirror_raw_page was;

	xm_fill_pages(self->p, PAGES);
	was = raw_page(self->fd, self->p);
	ASSERT_EQ(dirty, was.entry & dirty);
	ASSERT_EQ(0, was.folio & XMIRROR_FOLIO_DIRTY);
	ASSERT_EQ(0, collect(self->fd, self->p, PAGES, SYSTEM,
			     XMIRROR_RAW_POOL));
	EXPECT_EQ(WHOLE | W, moves[0].setup);
	ASSERT_EQ(0, xm_drain());
	was.folio |= XMIRROR_FOLIO_DIRTY;
	EXPECT_KEPT(was);
	ASSERT_EQ(0, madvise(self->p, XM_PMD, MADV_PAGEOUT));
	EXPECT_EQ(0, xm_wrong_pages(self->p, PAGES));
}

/* That which nobody has written to is dropped: reclaim gets there. */
TEST_F(lazyfree, other_data_is_dropped)
{
	ASSERT_EQ(0, collect(self->fd, self->p, PAGES, SYSTEM,
			     XMIRROR_RAW_POOL));
	EXPECT_EQ(WHOLE | W, moves[0].setup);
	ASSERT_EQ(0, xm_drain());
	ASSERT_EQ(XMIRROR_ENTRY_PRESENT | XMIRROR_ENTRY_HUGE,
		  raw_page(self->fd, self->p).entry &
		  (XMIRROR_ENTRY_PRESENT | XMIRROR_ENTRY_HUGE |
		   XMIRROR_ENTRY_DIRTY));
	ASSERT_EQ(0, madvise(self->p, XM_PMD, MADV_PAGEOUT));
	EXPECT_EQ(0, raw_page(self->fd, self->p).entry);
}

#define SOME	16

static int collect_some(struct worker *w)
{
	struct xmirror_raw_migrate r = {
		.flags = XMIRROR_RAW_SELECT_SYSTEM | XMIRROR_RAW_ABORT,
		.owner = XMIRROR_RAW_POOL,
	};
	int err;

	memset(moves, 0, sizeof(moves));
	err = raw_migrate(w->fd, w->addr, SOME, &r, moves);
	w->done = r.npages;
	return err;
}

/*
 * Small entries map a page of its own and a large folio behind it. While that is split to
 * be collected, all of it is thrown away, and the page table goes, since it is empty.
 * Both callers have room for what a kernel writes behind the entries.
 */
FIXTURE(refilled) {
	int unused;
};

FIXTURE_VARIANT(refilled) {
	int (*fn)(struct worker *w);
	bool stays;
};

FIXTURE_VARIANT_ADD(refilled, raw) {
	.fn = collect_some,
};

/* This one moves nothing if there are more entries than pages. */
FIXTURE_VARIANT_ADD(refilled, driver) {
	.fn = work_to_device,
};

/* What it is told from: all of it stays. */
FIXTURE_VARIANT_ADD(refilled, driver_stays) {
	.fn = work_to_device, .stays = true,
};

FIXTURE_SETUP(refilled)
{
}

FIXTURE_TEARDOWN(refilled)
{
}

/* covers: J.once */
TEST_F(refilled, entry_is_collected_once)
{
	struct worker op = { .fn = variant->fn, .len = SOME * XM_PAGE };
	long tables;
	bool gone;
	char *p;
	__u32 id;
	int fd;

	NEED(XMIRROR_CAP_PRIVATE_LARGE | XMIRROR_CAP_SYNC);
	OPEN(fd, 0);
	p = xm_thp(fd, 0x22);
	if (!p)
		XM_SKIP(return, "%s", xm_why_no_thp());
	/* khugepaged would put the two together again. */
	ASSERT_EQ(0, xm_no_thp(p, XM_PMD));
	op.fd = fd;
	op.addr = p;
	ASSERT_EQ(0, worker_prepare(&op));
	ASSERT_EQ(0, madvise(p, XM_PAGE, MADV_DONTNEED));
	XM_STORE(p, 5);
	/* So the mirror hears of what happens there. */
	ASSERT_EQ(0, xm_fault(fd, p, SOME * XM_PAGE, 0, NULL));
	ASSERT_EQ(0, xm_drain());
	ASSERT_EQ(0, raw_page(fd, p).folio & XMIRROR_FOLIO_LARGE);
	ASSERT_TRUE(raw_page(fd, p + XM_PAGE).folio & XMIRROR_FOLIO_LARGE);
	tables = xm_status_kb("VmPTE");
	ASSERT_EQ(0, xm_sync_arm_event(fd, XMIRROR_PT_INV_ENTER, XM_EV_CLEAR, p + XM_PAGE,
				       XM_PAGE, &id));
	ASSERT_EQ(0, worker_start(&op));
	ASSERT_EQ(0, xm_sync_reached(fd, id, XM_LONG));
	/* The first page is collected. */
	EXPECT_EQ((__u32)XMIRROR_CPU_OTHER, xm_page(fd, p).cpu & XMIRROR_CPU_OTHER);
	if (!variant->stays)
		EXPECT_EQ(0, madvise(p, XM_PMD, MADV_DONTNEED));
	gone = xm_status_kb("VmPTE") < tables;
	EXPECT_EQ(0, xm_sync_resume(fd, id, NULL));
	EXPECT_EQ(0, worker_join(&op));
	EXPECT_EQ(variant->stays ? 5 : 0, XM_LOAD(p));
	EXPECT_CLEAN(fd);
	if (!variant->stays && !gone)
		XM_SKIP(return, "empty page tables stay: Linux 6.14 and CONFIG_PT_RECLAIM");
	if (variant->stays) {
		EXPECT_EQ(SOME, op.done);
	} else if (variant->fn == work_to_device) {
		EXPECT_TRUE(!op.done || op.done == SOME) {
			TH_LOG("%llu pages moved", op.done);
		}
	} else {
		XM_XFAIL_IF(true, op.done <= SOME,
			    "finding 50: the entries begin again behind the first ones");
	}
	munmap(p, XM_PMD);
	close(fd);
}

TEST_HARNESS_MAIN
