// SPDX-License-Identifier: GPL-2.0
/*
 * One entry of 2 MiB for private memory, and its parts after mprotect, fork,
 * mremap, a split for whatever reason, and a zap. The driver of the pool does
 * nothing about it: all of this is done by the kernel.
 */
#include "kinds.h"
#include "parts.h"

TEST_F(parts, whole)
{
	EXPECT_EQ(PAGES, COUNT(self->p, HUGE | XMIRROR_ENTRY_WRITE, 0));
	EXPECT_EQ(0, wrong(self->p, 0, 0, false));
	EXPECT_EQ(PAGES, COUNT(self->p, XMIRROR_ENTRY_PRESENT, SMALL));
}

TEST_F(parts, mprotect_of_all)
{
	ASSERT_EQ(0, mprotect(self->p, XM_PMD, PROT_READ));
	EXPECT_EQ(PAGES, COUNT(self->p, HUGE, XMIRROR_ENTRY_WRITE));
	EXPECT_EQ(0, wrong(self->p, 0, 0, false));
	EXPECT_EQ(PAGES, COUNT(self->p, XMIRROR_ENTRY_PRESENT,
			       XMIRROR_ENTRY_WRITE));
}

/* How many entries @owner's hmm_range_fault() of a part reports otherwise */
static size_t reported_otherwise(int fd, const __u64 *p, __u32 owner,
				 __u32 flags)
{
	struct xmirror_raw_hmm r = { .owner = owner };
	struct xmirror_raw_pfn pfns[8] = {};
	size_t i, n = 0;

	for (i = 0; i < ARRAY_SIZE(pfns); i += 2)
		pfns[i].flags = XMIRROR_HMM_STICKY;
	if (raw_hmm(fd, p, ARRAY_SIZE(pfns), &r, pfns))
		return ~0UL;
	for (i = 0; i < ARRAY_SIZE(pfns); i++)
		n += pfns[i].flags != (flags | (i % 2 ? 0 : XMIRROR_HMM_STICKY));
	return n;
}

/* With the rights of the entry, and the caller's own flags as they were */
TEST_F(parts, reported_to_the_owner)
{
	__u32 flags = XMIRROR_HMM_VALID | XMIRROR_HMM_WRITE;

	EXPECT_EQ(0, reported_otherwise(self->fd, self->p, XMIRROR_RAW_POOL,
					flags));
	ASSERT_EQ(0, mprotect(self->p, XM_PMD, PROT_READ));
	EXPECT_EQ(PAGES, COUNT(self->p, HUGE, XMIRROR_ENTRY_WRITE));
	EXPECT_EQ(0, reported_otherwise(self->fd, self->p, XMIRROR_RAW_POOL,
					XMIRROR_HMM_VALID));
	EXPECT_EQ(PAGES, COUNT(self->p, HUGE, XMIRROR_ENTRY_WRITE));
	EXPECT_EQ(0, wrong(self->p, 0, 0, false));
}

/* A stranger is told of no frame of it, and gets it to the system when it asks. */
TEST_F(parts, reported_to_a_stranger)
{
	struct xmirror_raw_pfn pfn;

	EXPECT_EQ(0, reported_otherwise(self->fd, self->p, XMIRROR_RAW_STRANGER,
					XMIRROR_HMM_ERROR));
	EXPECT_EQ(PAGES, COUNT(self->p, HUGE | XMIRROR_ENTRY_WRITE, 0));
	EXPECT_EQ(-EBUSY, raw_hmm_one(self->fd, self->p, XMIRROR_HMM_VALID,
				      XMIRROR_RAW_STRANGER, &pfn));
	EXPECT_EQ(0, raw_hmm_one(self->fd, self->p, XMIRROR_HMM_VALID,
				 XMIRROR_RAW_STRANGER, &pfn));
	EXPECT_NE(0, pfn.flags & XMIRROR_HMM_VALID);
	EXPECT_EQ(PAGES, COUNT(self->p, XMIRROR_ENTRY_PRESENT, SMALL));
	EXPECT_EQ(self->pages[0].pfn, pfn.pfn);
	EXPECT_EQ(0, wrong(self->p, 0, 0, false));
}

/* How many of the pages that COUNT() has seen belong to this process alone */
static size_t exclusive(const struct xmirror_raw_page *pages)
{
	size_t i, n = 0;

	for (i = 0; i < PAGES; i++)
		n += !!(pages[i].folio & XMIRROR_FOLIO_ANON_EXCLUSIVE);
	return n;
}

TEST_F(parts, mprotect_of_one_page)
{
	struct xmirror_raw_page *page = &self->pages[100];

	ASSERT_EQ(0, mprotect(self->p + 100 * WORDS, XM_PAGE, PROT_READ));
	EXPECT_EQ(PAGES, COUNT(self->p, SMALL, XMIRROR_ENTRY_HUGE));
	EXPECT_EQ(PAGES - 1, COUNT(self->p, SMALL | XMIRROR_ENTRY_WRITE, 0));
	EXPECT_EQ(0, page->entry & XMIRROR_ENTRY_WRITE);
	EXPECT_EQ(PAGES, exclusive(self->pages));
	EXPECT_EQ(0, wrong(self->p, 0, 0, false));
	EXPECT_EQ(PAGES, COUNT(self->p, XMIRROR_ENTRY_PRESENT, SMALL));
}

static int child_looks(struct child *c, void *arg)
{
	(void)c;
	CHILD_CHECK(!wrong(arg, 0, 0, false));
	XM_STORE((__u64 *)arg, 99);
	return 0;
}

/* Both have it, read-only; each gets a copy when it writes. */
TEST_F(parts, fork_and_both_look)
{
	struct child c;

	ASSERT_EQ(0, child_start(&c, child_looks, self->p));
	EXPECT_EQ(0, child_end(&c));
	EXPECT_EQ(0, COUNT(self->p, XMIRROR_ENTRY_WRITE, 0));
	EXPECT_EQ(0, wrong(self->p, 0, 0, false));
	XM_STORE(self->p, value(0));
	EXPECT_EQ(0, wrong(self->p, 0, 0, false));
}

/* Its parts are as much shared as it was, and who writes gets a copy. */
TEST_F(parts, split_while_a_child_has_it)
{
	struct child c;

	ASSERT_EQ(0, child_start(&c, child_keeps, self->p));
	EXPECT_EQ('r', child_hear(&c));
	ASSERT_EQ(PAGES, COUNT(self->p, HUGE, XMIRROR_ENTRY_WRITE));
	ASSERT_EQ(0, exclusive(self->pages));
	ASSERT_EQ(0, mprotect(self->p + 100 * WORDS, XM_PAGE, PROT_READ));
	EXPECT_EQ(PAGES, COUNT(self->p, SMALL,
			       XMIRROR_ENTRY_HUGE | XMIRROR_ENTRY_WRITE));
	EXPECT_EQ(0, exclusive(self->pages));
	XM_STORE(self->p, 99);
	XM_STORE(self->p + 101 * WORDS, 99);
	EXPECT_EQ(0, child_tell(&c, 'l'));
	EXPECT_EQ(0, child_end(&c));
}

/*
 * The frames of it that others get next, for pages that a child has, too. Each page was
 * known to be one process's, and of that nothing is left.
 */
TEST_F(parts, next_user_of_its_frames)
{
	__u64 first = raw_page(self->fd, self->p).pfn;
	struct child c;

	ASSERT_EQ(0, mprotect(self->p, XM_PAGE, PROT_READ));
	ASSERT_EQ(0, mprotect(self->p, XM_PAGE, PROT_READ | PROT_WRITE));
	ASSERT_EQ(PAGES, COUNT(self->p, SMALL, XMIRROR_ENTRY_HUGE));
	ASSERT_EQ(PAGES, exclusive(self->pages));
	ASSERT_NE(0, self->pages[1].folio & XMIRROR_FOLIO_LARGE);
	ASSERT_EQ(0, madvise(self->p, XM_PMD, MADV_DONTNEED));
	ASSERT_EQ(0, madvise(self->p, XM_PMD, MADV_NOHUGEPAGE));
	for (size_t i = 0; i < PAGES; i++)
		self->p[i * WORDS] = value(i);
	ASSERT_EQ(0, child_start(&c, child_keeps, self->p));
	EXPECT_EQ('r', child_hear(&c));
	ASSERT_EQ((long)PAGES, raw_to(self->fd, self->p, PAGES,
				      XMIRROR_RAW_PRIVATE));
	ASSERT_EQ(PAGES, COUNT(self->p, SMALL,
			       XMIRROR_ENTRY_HUGE | XMIRROR_ENTRY_WRITE));
	ASSERT_EQ(first, self->pages[0].pfn);
	ASSERT_EQ(first + PAGES - 1, self->pages[PAGES - 1].pfn);
	EXPECT_EQ(0, exclusive(self->pages));
	XM_STORE(self->p + 7 * WORDS, 99);
	EXPECT_EQ(0, child_tell(&c, 'l'));
	EXPECT_EQ(0, child_end(&c));
}

TEST_F(parts, mremap_of_all)
{
	ASSERT_EQ(self->to, mremap(self->p, XM_PMD, XM_PMD,
				   MREMAP_MAYMOVE | MREMAP_FIXED, self->to));
	self->p = NULL;
	EXPECT_EQ(PAGES, COUNT(self->to, HUGE | XMIRROR_ENTRY_WRITE, 0));
	EXPECT_EQ(0, wrong(self->to, 0, 0, false));
}

/* Moving half of it splits the entry. */
TEST_F(parts, mremap_of_half)
{
	size_t half = PAGES / 2, i, bad = 0;

	ASSERT_EQ(self->to, mremap(self->p, XM_PMD / 2, XM_PMD / 2,
				   MREMAP_MAYMOVE | MREMAP_FIXED, self->to));
	EXPECT_EQ(half, COUNT(self->to, SMALL, XMIRROR_ENTRY_HUGE));
	EXPECT_EQ(half, COUNT(self->p, SMALL, XMIRROR_ENTRY_HUGE));
	for (i = 0; i < PAGES; i++)
		bad += XM_LOAD((i < half ? self->to : self->p) + i * WORDS) !=
		       value(i);
	EXPECT_EQ(0, bad);
}

TEST_F(parts, unmapped_page)
{
	ASSERT_EQ(0, munmap(self->p + 7 * WORDS, XM_PAGE));
	EXPECT_EQ(PAGES - 1, COUNT(self->p, SMALL | XMIRROR_ENTRY_WRITE,
				   XMIRROR_ENTRY_HUGE));
	EXPECT_EQ(0, self->pages[7].entry);
	EXPECT_EQ(0, wrong(self->p, 7, 8, false));
}

TEST_F(parts, zapped_pages)
{
	ASSERT_EQ(0, madvise(self->p + 7 * WORDS, 3 * XM_PAGE,
			     MADV_DONTNEED));
	EXPECT_EQ(PAGES - 3, COUNT(self->p, SMALL | XMIRROR_ENTRY_WRITE,
				   XMIRROR_ENTRY_HUGE));
	EXPECT_EQ(0, wrong(self->p, 7, 10, true));
}

TEST_F(parts, zapped_as_a_whole)
{
	ASSERT_EQ(0, madvise(self->p, XM_PMD, MADV_DONTNEED));
	EXPECT_EQ(0, COUNT(self->p, SMALL, 0));
	EXPECT_EQ(0, wrong(self->p, 0, PAGES, true));
}

/* Migrating one page back splits the folio; the others stay private. */
TEST_F(parts, one_page_comes_back)
{
	EXPECT_EQ(1, raw_back(self->fd, self->p + 9 * WORDS, 1));
	EXPECT_EQ(PAGES - 1, COUNT(self->p, SMALL, XMIRROR_ENTRY_HUGE));
	EXPECT_TRUE(self->pages[9].entry & XMIRROR_ENTRY_PRESENT);
	EXPECT_EQ(0, wrong(self->p, 0, 0, false));
}

/* Pages without a destination stay private, as small ones. */
TEST_F(parts, holes_in_what_it_goes_to)
{
	struct xmirror_raw_migrate r = {
		.flags = XMIRROR_RAW_SELECT_PRIVATE |
			 XMIRROR_RAW_SELECT_COMPOUND,
		.owner = XMIRROR_RAW_POOL,
	};
	struct xmirror_raw_move *moves = calloc(PAGES, sizeof(*moves));
	size_t i, moved = 0;

	ASSERT_NE(NULL, moves);
	for (i = 0; i < PAGES; i += 2)
		moves[i].dst = XMIRROR_RAW_SYSTEM;
	EXPECT_EQ(0, raw_migrate(self->fd, self->p, PAGES, &r, moves));
	EXPECT_EQ(XMIRROR_RAW_COMPOUND, moves[0].setup & XMIRROR_RAW_COMPOUND);
	for (i = 0; i < PAGES; i++)
		moved += !!(moves[i].pages & XMIRROR_RAW_MIGRATE);
	EXPECT_EQ(PAGES / 2, moved);
	EXPECT_EQ(PAGES / 2, COUNT(self->p, SMALL, XMIRROR_ENTRY_HUGE));
	EXPECT_EQ(PAGES / 2, COUNT(self->p, XMIRROR_ENTRY_PRESENT,
				   XMIRROR_ENTRY_HUGE));
	EXPECT_EQ(0, wrong(self->p, 0, 0, false));
	free(moves);
}

/* Without a destination it stays one entry. */
TEST_F(parts, aborted)
{
	struct xmirror_raw_page before = raw_page(self->fd, self->p), after;
	struct xmirror_raw_migrate r = {
		.flags = XMIRROR_RAW_SELECT_PRIVATE |
			 XMIRROR_RAW_SELECT_COMPOUND,
		.owner = XMIRROR_RAW_POOL,
	};
	struct xmirror_raw_move *moves = calloc(PAGES, sizeof(*moves));
	int i;

	ASSERT_NE(NULL, moves);
	for (i = 0; i < 2; i++) {
		r.flags ^= XMIRROR_RAW_ABORT;
		memset(moves, 0, PAGES * sizeof(*moves));
		EXPECT_EQ(0, raw_migrate(self->fd, self->p, PAGES, &r, moves));
		EXPECT_EQ(1, r.cpages);
		EXPECT_EQ(PAGES, r.npages);
		after = raw_page(self->fd, self->p);
		EXPECT_EQ(before.entry, after.entry) {
			TH_LOG("%#x, then %#x", before.entry, after.entry);
		}
		EXPECT_EQ(before.pfn, after.pfn);
		EXPECT_EQ(before.folio, after.folio);
		EXPECT_EQ(before.refs, after.refs);
		EXPECT_EQ(before.maps, after.maps);
	}
	EXPECT_EQ(0, wrong(self->p, 0, 0, false));
	free(moves);
}

/*
 * A huge page goes to small pages, and one of these was to be a large folio, which has
 * room in the range: without XMIRROR_RAW_UNSAFE the raw call leaves that page out
 * (finding 27), wherever in the piece it is.
 */
TEST(large_destination_inside_a_huge_page_is_left_out)
{
	struct xmirror_raw_migrate r = {
		.flags = XMIRROR_RAW_SELECT_SYSTEM |
			 XMIRROR_RAW_SELECT_COMPOUND,
		.owner = XMIRROR_RAW_POOL,
	};
	struct xmirror_raw_move *moves = calloc(2 * PAGES, sizeof(*moves));
	size_t i, bad = 0;
	__u64 *p;
	int fd;

	NEED(XMIRROR_CAP_PRIVATE | XMIRROR_CAP_PRIVATE_LARGE);
	if (2 * PAGES > XMIRROR_RAW_MAX_PAGES)
		XM_SKIP(return, "two huge pages are too much for a raw call");
	OPEN(fd, 0);
	ASSERT_NE(NULL, moves);
	p = xm_anon_aligned(2 * XM_PMD, XM_PMD);
	ASSERT_NE(NULL, p);
	/* All of it, which is to be one VMA; only the first is touched. */
	if (madvise(p, 2 * XM_PMD, MADV_HUGEPAGE))
		XM_SKIP(return, "%s", xm_why_no_thp());
	for (i = 0; i < PAGES; i++)
		p[i * WORDS] = value(i);
	if (!(xm_page(fd, p).cpu & XMIRROR_CPU_HUGE))
		XM_SKIP(return, "%s", xm_why_no_thp());
	moves[0].dst = XMIRROR_RAW_PRIVATE;
	moves[5].dst = XMIRROR_RAW_PRIVATE_LARGE;
	moves[6].dst = XMIRROR_RAW_PRIVATE;
	ASSERT_EQ(0, raw_migrate(fd, p, 2 * PAGES, &r, moves));
	EXPECT_TRUE(moves[0].setup & XMIRROR_RAW_COMPOUND);
	EXPECT_NE(0, moves[0].dst_pfn);
	EXPECT_EQ(0, moves[5].dst_pfn);
	EXPECT_NE(0, moves[6].dst_pfn);
	EXPECT_TRUE(raw_page(fd, p).entry & SMALL);
	EXPECT_FALSE(raw_page(fd, p + 5 * WORDS).entry & SMALL);
	for (i = 0; i < PAGES; i++)
		bad += XM_LOAD(p + i * WORDS) != value(i);
	EXPECT_EQ(0, bad);
	munmap(p, 2 * XM_PMD);
	free(moves);
	close(fd);
}

/*
 * The kernel would split it for small destinations as it does anonymous memory, and free
 * a page of a file with its mapping (finding 28). The raw call gives it none, and 7.3
 * does not come to that: it takes the references of the page cache for those of a pin
 * (migrate_vma_check_page() in mm/migrate_device.c).
 */
TEST(huge_page_of_a_file_is_left_out)
{
	static const __u32 dsts[] = { XMIRROR_RAW_PRIVATE, XMIRROR_RAW_SYSTEM,
				      XMIRROR_RAW_SYSTEM_LARGE };
	struct xmirror_raw_move *moves = calloc(PAGES, sizeof(*moves));
	int fd, file = memfd_create("xmirror", MFD_CLOEXEC);
	struct xmirror_raw_page before;
	size_t k;
	char *p;

	NEED(XMIRROR_CAP_PRIVATE | XMIRROR_CAP_PRIVATE_LARGE);
	OPEN(fd, 0);
	ASSERT_NE(NULL, moves);
	p = xm_anon_aligned(XM_PMD, XM_PMD);
	ASSERT_NE(NULL, p);
	ASSERT_EQ(0, ftruncate(file, XM_PMD));
	ASSERT_EQ(p, mmap(p, XM_PMD, PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_FIXED, file, 0));
	close(file);
	memset(p, 1, XM_PMD);
	if (xm_collapse(p))
		XM_SKIP(return, "MADV_COLLAPSE of a file: Linux 6.1, CONFIG_TRANSPARENT_HUGEPAGE");
	XM_STORE(p, 2);
	if (!(xm_page(fd, p).cpu & XMIRROR_CPU_HUGE))
		XM_SKIP(return, "the file's huge page is not mapped as one");
	before = raw_page(fd, p);
	for (k = 0; k < ARRAY_SIZE(dsts); k++) {
		struct xmirror_raw_migrate r = {
			.flags = XMIRROR_RAW_SELECT_SYSTEM |
				 XMIRROR_RAW_SELECT_COMPOUND,
			.owner = XMIRROR_RAW_POOL,
		};

		memset(moves, 0, PAGES * sizeof(*moves));
		moves[0].dst = dsts[k];
		moves[1].dst = XMIRROR_RAW_PRIVATE;
		EXPECT_EQ(0, raw_migrate(fd, p, PAGES, &r, moves));
		EXPECT_EQ(0, moves[0].dst_pfn);
		EXPECT_EQ(0, moves[1].dst_pfn);
		EXPECT_EQ(before.pfn, raw_page(fd, p).pfn);
		EXPECT_EQ(2, XM_LOAD(p));
		EXPECT_EQ(1, XM_LOAD(p + XM_PMD - 1));
	}
	munmap(p, XM_PMD);
	free(moves);
	close(fd);
}

/* Present, private, exclusive and empty entries in one table, and a range fault. */
TEST(all_kinds_in_one_table)
{
	struct xmirror_raw_hmm r = { .owner = XMIRROR_RAW_POOL };
	struct xmirror_raw_pfn pfns[6] = {};
	struct xmirror_raw_move moves[6] = {};
	struct xmirror_raw_migrate m = {
		.flags = XMIRROR_RAW_SELECT_SYSTEM |
			 XMIRROR_RAW_SELECT_PRIVATE | XMIRROR_RAW_ABORT,
		.owner = XMIRROR_RAW_POOL,
	};
	char *p;
	size_t i;
	int fd;

	NEED(XMIRROR_CAP_PRIVATE | XMIRROR_CAP_EXCLUSIVE);
	OPEN(fd, 0);
	p = xm_anon_aligned(6 * XM_PAGE, XM_PMD);
	ASSERT_NE(NULL, p);
	for (i = 0; i < 5; i++)
		p[i * XM_PAGE] = i + 1;
	ASSERT_EQ(1, raw_to(fd, p + XM_PAGE, 1, XMIRROR_RAW_PRIVATE));
	ASSERT_EQ(1, raw_exclusive(fd, p + 2 * XM_PAGE, 1, XMIRROR_RAW_MIRROR,
				   NULL));
	ASSERT_EQ(0, xm_migrate(fd, p + 3 * XM_PAGE, XM_PAGE, 0, 0, NULL));
	EXPECT_EQ(0, raw_hmm(fd, p, 6, &r, pfns));
	EXPECT_EQ(XMIRROR_HMM_VALID | XMIRROR_HMM_WRITE, pfns[0].flags);
	EXPECT_EQ(XMIRROR_HMM_VALID | XMIRROR_HMM_WRITE, pfns[1].flags);
	EXPECT_EQ(0, pfns[2].flags);
	EXPECT_EQ(0, pfns[3].flags);
	EXPECT_EQ(XMIRROR_HMM_VALID | XMIRROR_HMM_WRITE, pfns[4].flags);
	EXPECT_EQ(0, pfns[5].flags);
	EXPECT_EQ(0, raw_migrate(fd, p, 6, &m, moves));
	EXPECT_EQ(4, m.cpages);
	EXPECT_TRUE(moves[0].setup & XMIRROR_RAW_VALID);
	EXPECT_TRUE(moves[1].setup & XMIRROR_RAW_VALID);
	EXPECT_EQ(0, moves[2].setup);
	EXPECT_EQ(0, moves[3].setup);
	EXPECT_TRUE(moves[4].setup & XMIRROR_RAW_VALID);
	EXPECT_EQ(XMIRROR_RAW_MIGRATE, moves[5].setup);
	EXPECT_TRUE(raw_page(fd, p + XM_PAGE).entry & XMIRROR_ENTRY_PRIVATE);
	EXPECT_TRUE(raw_page(fd, p + 2 * XM_PAGE).entry &
		    XMIRROR_ENTRY_EXCLUSIVE);
	for (i = 0; i < 5; i++) {
		EXPECT_EQ((char)(i + 1), p[i * XM_PAGE]);
	}
	munmap(p, 6 * XM_PAGE);
	close(fd);
}

/* By page frame: pages of the pool that are in use move, free ones are not offered. */
TEST(by_page_frame)
{
	static const __u32 how[] = { XMIRROR_RAW_RANGE, XMIRROR_RAW_PFNS };
	__u32 bits = XMIRROR_ENTRY_PRESENT | XMIRROR_ENTRY_PRIVATE |
		     XMIRROR_ENTRY_WRITE;
	struct xmirror_raw_move moves[4];
	struct xmirror_raw_migrate r;
	__u64 first;
	char *p;
	size_t i, k;
	int fd, err;

	NEED(XMIRROR_CAP_PRIVATE);
	OPEN(fd, 0);
	p = xm_anon(4 * XM_PAGE);
	ASSERT_NE(NULL, p);
	for (k = 0; k < ARRAY_SIZE(how); k++) {
		for (i = 0; i < 4; i++)
			p[i * XM_PAGE] = i + 1;
		ASSERT_EQ(3, raw_to(fd, p, 3, XMIRROR_RAW_PRIVATE));
		first = raw_page(fd, p).pfn;
		memset(moves, 0, sizeof(moves));
		moves[0].dst = XMIRROR_RAW_SYSTEM;
		moves[2].dst = XMIRROR_RAW_SYSTEM;
		moves[3].dst = XMIRROR_RAW_SYSTEM;
		r = (struct xmirror_raw_migrate){ .flags = how[k] };
		err = raw_migrate(fd, (void *)(uintptr_t)first, 4, &r, moves);
		if (err == -EOPNOTSUPP) {
			EXPECT_EQ(XMIRROR_RAW_PFNS, how[k]);
			break;
		}
		EXPECT_EQ(0, err);
		/* A page frame does not tell whether its entry is writable. */
		EXPECT_EQ(XMIRROR_RAW_VALID | XMIRROR_RAW_MIGRATE,
			  moves[0].setup);
		EXPECT_EQ(0, moves[3].setup);
		/* What stays and what moves is as writable as before. */
		EXPECT_EQ(XMIRROR_ENTRY_PRESENT | XMIRROR_ENTRY_WRITE,
			  raw_page(fd, p).entry & bits);
		EXPECT_EQ(XMIRROR_ENTRY_PRIVATE | XMIRROR_ENTRY_WRITE,
			  raw_page(fd, p + XM_PAGE).entry & bits);
		EXPECT_EQ(XMIRROR_ENTRY_PRESENT | XMIRROR_ENTRY_WRITE,
			  raw_page(fd, p + 2 * XM_PAGE).entry & bits);
		for (i = 0; i < 4; i++) {
			EXPECT_EQ((char)(i + 1), p[i * XM_PAGE]);
		}
	}
	/* The raw call refuses page frames outside of the pool. */
	r = (struct xmirror_raw_migrate){ .flags = XMIRROR_RAW_RANGE };
	EXPECT_EQ(-EINVAL, raw_migrate(fd, NULL, 1, &r, moves));
	munmap(p, 4 * XM_PAGE);
	close(fd);
}

TEST_HARNESS_MAIN
