// SPDX-License-Identifier: GPL-2.0
/*
 * migrate_vma_setup(), _pages() and _finalize(), as the kernel-doc in
 * mm/migrate_device.c has it: refused arguments, the pages that are collected of
 * each kind of memory and for each owner, the state after an aborted migration, and
 * the pages that can become private.
 */
#include "kinds.h"
#include "raw.h"
#include "test.h"

#define V	XMIRROR_RAW_VALID
#define M	XMIRROR_RAW_MIGRATE
#define W	XMIRROR_RAW_WRITE
#define VM	(V | M)
#define VMW	(V | M | W)

#define SYSTEM	XMIRROR_RAW_SELECT_SYSTEM
#define PRIVATE	XMIRROR_RAW_SELECT_PRIVATE

/*
 * With SELECT_SYSTEM: the flags of setup or an errno; whether the page can become
 * private
 */
static const struct answer {
	int setup;
	bool goes;
} answers[NR_KINDS] = {
	[K_hole]		= { -EINVAL, false },
	[K_untouched]		= { M, true },
	[K_written]		= { VMW, true },
	[K_zero_page]		= { M, true },
	[K_locked]		= { VMW, true },
	[K_swapped]		= { 0, false },
	[K_swapcache]		= { VMW, true },
	[K_lazyfree]		= { VMW, true },
	[K_forked]		= { VM, true },
	[K_file_read]		= { VM, false },
	[K_file_copied]		= { VMW, true },
	[K_shared_file]		= { VMW, false },
	[K_shared_anon]		= { VMW, false },
	[K_hugetlb]		= { -EINVAL, false },
	[K_prot_none]		= { VM, true },
	[K_prot_read]		= { VM, true },
	[K_uffd_missing]	= { M, false },
	[K_uffd_wp]		= { VM, true },
	[K_merged]		= { VM, true },		/* finding 24 */
	[K_pinned]		= { 0, false },
	[K_pool_page]		= { 0, false },
	[K_private_page]	= { 0, false },
	[K_exclusive]		= { 0, false },
	[K_thp_head]		= { VMW, true },
	[K_thp_middle]		= { VMW, true },
	[K_pfn_map]		= { -EINVAL, false },
	[K_secret]		= { VMW, false },	/* finding 22 */
};

FIXTURE(page) {
	int fd;
	struct memory m;
	struct xmirror_raw_page before;
	struct xmirror_raw_move move;
	struct xmirror_raw_migrate r;
};

FIXTURE_VARIANT(page) {
	enum kind kind;
};

#define VARIANT(name) \
	FIXTURE_VARIANT_ADD(page, name) { .kind = K_##name };
KINDS(VARIANT)

FIXTURE_SETUP(page)
{
	self->m.file = -1;
	OPEN(self->fd, 0);
	NEED(XMIRROR_CAP_PRIVATE);
	ASSERT_EQ(0, xm_pin_cpu());
	MAKE(&self->m, self->fd, variant->kind);
	ASSERT_EQ(0, xm_drain());
	self->before = raw_page(self->fd, self->m.p);
	self->r.flags = SYSTEM;
	self->r.owner = XMIRROR_RAW_POOL;
}

FIXTURE_TEARDOWN(page)
{
	if (self->m.p) {
		EXPECT_EQ(0, memory_free(&self->m));
	}
	EXPECT_CLEAN(self->fd);
	close(self->fd);
}

/* Whether a read swaps a page in writable differs by version. */
static bool write_varies(enum kind kind)
{
	return kind == K_swapcache;
}

#define EXPECT_COLLECTED() \
	do { \
		int want = answers[variant->kind].setup; \
		int err = raw_migrate(self->fd, self->m.p, 1, &self->r, \
				      &self->move); \
		if (want < 0) { \
			EXPECT_EQ(want, err); \
		} else { \
			ASSERT_EQ(0, err); \
			if (write_varies(variant->kind)) { \
				self->move.setup |= W; \
			} \
			EXPECT_EQ((__u32)want, self->move.setup); \
			EXPECT_EQ(1, self->r.npages); \
			EXPECT_EQ(!!want, self->r.cpages); \
		} \
	} while (0)

/* Finding 33: an entry that is put back is made dirty, and soft-dirty with that. */
static bool becomes_soft_dirty(const struct xmirror_raw_page *was, int setup)
{
	return xm_kver() < XM_KVER(6, 12) && setup > 0 &&
	       was->entry & XMIRROR_ENTRY_DIRTY &&
	       !(was->entry & XMIRROR_ENTRY_SOFT_DIRTY);
}

/*
 * All bits of the entry and of the page are kept, but a dirty entry has made the
 * page dirty.
 */
#define EXPECT_KEPT() \
	do { \
		struct xmirror_raw_page after, *was = &self->before; \
		__u32 may = was->entry & XMIRROR_ENTRY_DIRTY ? \
			    XMIRROR_FOLIO_DIRTY : 0; \
		ASSERT_EQ(0, xm_drain()); \
		after = raw_page(self->fd, self->m.p); \
		if (becomes_soft_dirty(was, answers[variant->kind].setup)) { \
			__u32 soft = after.entry & XMIRROR_ENTRY_SOFT_DIRTY; \
			XM_XFAIL_IF(true, !soft, \
				    "finding 33: the entry is soft-dirty"); \
			after.entry &= ~XMIRROR_ENTRY_SOFT_DIRTY; \
			if (soft) \
				after.raw = was->raw; \
		} \
		EXPECT_EQ(was->entry, after.entry) { \
			TH_LOG("%#x, then %#x", was->entry, after.entry); \
		} \
		EXPECT_EQ(was->folio | may, after.folio | may) { \
			TH_LOG("%#x, then %#x", was->folio, after.folio); \
		} \
		EXPECT_EQ(was->pfn, after.pfn); \
		EXPECT_EQ(was->raw, after.raw); \
		EXPECT_EQ(was->refs, after.refs); \
		EXPECT_EQ(was->maps, after.maps); \
	} while (0)

static bool is_huge(const struct xmirror_raw_page *p)
{
	return p->entry & XMIRROR_ENTRY_HUGE;
}

TEST_F(page, aborted_after_setup)
{
	self->r.flags |= XMIRROR_RAW_ABORT;
	EXPECT_COLLECTED();
	/* A huge entry is mapped by small pages afterwards. */
	if (is_huge(&self->before) && answers[variant->kind].setup > 0) {
		EXPECT_FALSE(raw_page(self->fd, self->m.p).entry &
			     XMIRROR_ENTRY_HUGE);
	} else {
		EXPECT_KEPT();
	}
}

/* migrate_vma_pages() has found no destination. */
TEST_F(page, aborted_after_pages)
{
	EXPECT_COLLECTED();
	EXPECT_EQ(0, self->move.pages & M);
	if (!is_huge(&self->before)) {
		EXPECT_KEPT();
	}
}

TEST_F(page, to_private_memory)
{
	bool goes = answers[variant->kind].goes;
	struct xmirror_raw_page page;

	if (variant->kind == K_merged)
		XM_SKIP(return, "KSM would read the private page: finding 24");
	if (variant->kind == K_swapcache && xm_kver() >= XM_KVER(6, 12) &&
	    xm_kver() < XM_KVER(7, 3))
		XM_SKIP(return,
			"Linux 6.12 to 7.2 may corrupt the swap cache: finding 5");
	/* It is taken out of the swap cache before, and stays where it is after that. */
	if (variant->kind == K_swapcache && xm_kver() < XM_KVER(6, 12))
		goes = false;
	self->move.dst = XMIRROR_RAW_PRIVATE;
	EXPECT_COLLECTED();
	if (answers[variant->kind].setup > 0) {
		EXPECT_EQ(goes, !!(self->move.pages & M));
	}
	page = raw_page(self->fd, self->m.p);
	if (!goes) {
		EXPECT_FALSE(page.entry & XMIRROR_ENTRY_PRIVATE &&
			     !(self->before.entry & XMIRROR_ENTRY_PRIVATE));
		if (!is_huge(&self->before) && variant->kind != K_swapcache) {
			EXPECT_KEPT();
		}
		return;
	}
	EXPECT_TRUE(page.entry & XMIRROR_ENTRY_PRIVATE);
	EXPECT_EQ(self->move.dst_pfn, page.pfn);
	EXPECT_EQ(self->before.entry & XMIRROR_ENTRY_UFFD_WP,
		  page.entry & XMIRROR_ENTRY_UFFD_WP);
	EXPECT_EQ(self->before.folio & XMIRROR_FOLIO_CHARGED ||
		  !self->before.pfn ||
		  self->before.entry & XMIRROR_ENTRY_SPECIAL,
		  !!(page.folio & XMIRROR_FOLIO_CHARGED));
	/* A CPU access brings it back, if the mapping permits one. */
	if (!self->m.readable)
		return;
	EXPECT_EQ(self->m.word, XM_LOAD(self->m.p));
	page = raw_page(self->fd, self->m.p);
	EXPECT_TRUE(page.entry & XMIRROR_ENTRY_PRESENT);
	EXPECT_EQ(self->before.entry & XMIRROR_ENTRY_UFFD_WP,
		  page.entry & XMIRROR_ENTRY_UFFD_WP);
}

/* What has filled a hole is a page as any other, and reclaim finds it. */
static void expect_filled(struct __test_metadata *_metadata, int fd, void *p,
			  __u64 pfn)
{
	__u32 entry = XMIRROR_ENTRY_PRESENT | XMIRROR_ENTRY_WRITE;
	__u32 folio = XMIRROR_FOLIO_LRU | XMIRROR_FOLIO_SWAPBACKED |
		      XMIRROR_FOLIO_ANON | XMIRROR_FOLIO_ANON_EXCLUSIVE |
		      XMIRROR_FOLIO_CHARGED;
	struct xmirror_raw_page page = raw_page(fd, p);

	EXPECT_EQ(pfn, page.pfn);
	EXPECT_EQ(entry, page.entry & (entry | XMIRROR_ENTRY_SPECIAL));
	EXPECT_EQ(folio, page.folio & folio) {
		TH_LOG("%#x", page.folio);
	}
	EXPECT_EQ(1, page.refs);
	EXPECT_EQ(1, page.maps);
	if (xm_meminfo_kb("SwapTotal") > 0) {
		EXPECT_EQ(0, xm_pageout(p, XM_PAGE));
	}
}

/* A move to another page of the system keeps all of the page and of its entry. */
TEST_F(page, to_system_memory)
{
	/* Pages of files would move, too, and leave a bad page behind: finding 28. */
	bool goes = answers[variant->kind].goes;
	struct xmirror_raw_page after;
	__u32 folio = XMIRROR_FOLIO_MLOCKED | XMIRROR_FOLIO_UNEVICTABLE |
		      XMIRROR_FOLIO_SWAPBACKED | XMIRROR_FOLIO_ANON |
		      XMIRROR_FOLIO_KSM | XMIRROR_FOLIO_CHARGED;

	self->move.dst = XMIRROR_RAW_SYSTEM;
	EXPECT_COLLECTED();
	if (answers[variant->kind].setup <= 0)
		return;
	EXPECT_EQ(goes, !!(self->move.pages & M));
	ASSERT_EQ(0, xm_drain());
	after = raw_page(self->fd, self->m.p);
	if (!goes)
		return;
	if (!(self->move.setup & V)) {
		expect_filled(_metadata, self->fd, self->m.p,
			      self->move.dst_pfn);
		return;
	}
	EXPECT_EQ(self->move.dst_pfn, after.pfn);
	if (!is_huge(&self->before)) {
		EXPECT_EQ(self->before.entry, after.entry) {
			TH_LOG("%#x, then %#x", self->before.entry,
			       after.entry);
		}
		EXPECT_EQ(self->before.folio & folio, after.folio & folio) {
			TH_LOG("%#x, then %#x", self->before.folio,
			       after.folio);
		}
	}
}

/* The pages that are collected, by the owner in the call */
FIXTURE(owner) {
	int fd;
};

FIXTURE_VARIANT(owner) {
	__u32 owner;
};

FIXTURE_VARIANT_ADD(owner, nobody) { .owner = XMIRROR_RAW_NOBODY };
FIXTURE_VARIANT_ADD(owner, pool) { .owner = XMIRROR_RAW_POOL };
FIXTURE_VARIANT_ADD(owner, mirror) { .owner = XMIRROR_RAW_MIRROR };
FIXTURE_VARIANT_ADD(owner, stranger) { .owner = XMIRROR_RAW_STRANGER };

FIXTURE_SETUP(owner)
{
	OPEN(self->fd, 0);
	NEED(XMIRROR_CAP_PRIVATE);
}

FIXTURE_TEARDOWN(owner)
{
	close(self->fd);
}

/* A page of the pool, one of the device, one of the system, an empty and a zero page */
TEST_F(owner, selects)
{
	static const __u32 selects[] = {
		0, SYSTEM, PRIVATE, SYSTEM | PRIVATE,
		XMIRROR_RAW_SELECT_COHERENT,
	};
	struct xmirror_raw_move moves[5];
	struct xmirror_raw_migrate r;
	char *p = xm_anon(5 * XM_PAGE);
	size_t i, page;
	__u64 moved;

	ASSERT_NE(NULL, p);
	for (page = 0; page < 3; page++)
		p[page * XM_PAGE] = page + 1;
	ASSERT_EQ(1, raw_to(self->fd, p, 1, XMIRROR_RAW_PRIVATE));
	ASSERT_EQ(0, xm_migrate(self->fd, p + XM_PAGE, XM_PAGE, 0, 0, &moved));
	ASSERT_EQ(1, moved);
	ASSERT_EQ(0, p[4 * XM_PAGE]);
	for (i = 0; i < ARRAY_SIZE(selects); i++) {
		bool pool = selects[i] & PRIVATE &&
			    variant->owner == XMIRROR_RAW_POOL;

		memset(moves, 0, sizeof(moves));
		r = (struct xmirror_raw_migrate){
			.flags = selects[i] | XMIRROR_RAW_ABORT,
			.owner = variant->owner,
		};
		ASSERT_EQ(0, raw_migrate(self->fd, p, 5, &r, moves));
		EXPECT_EQ(pool ? VMW : 0, moves[0].setup);
		EXPECT_EQ(0, moves[1].setup);
		EXPECT_EQ(selects[i] & SYSTEM ? VMW : 0, moves[2].setup);
		/* Empty entries are offered whatever is selected. */
		EXPECT_EQ(M, moves[3].setup);
		/* The zero page is one of the system. */
		EXPECT_EQ(selects[i] & SYSTEM ? M : 0, moves[4].setup);
		EXPECT_EQ(5, r.npages);
		EXPECT_TRUE(raw_page(self->fd, p).entry &
			    XMIRROR_ENTRY_PRIVATE);
		EXPECT_TRUE(raw_page(self->fd, p + XM_PAGE).entry &
			    XMIRROR_ENTRY_PRIVATE);
	}
	for (page = 0; page < 3; page++) {
		EXPECT_EQ((char)(page + 1), p[page * XM_PAGE]);
	}
	munmap(p, 5 * XM_PAGE);
}

/* One call collects system and private pages; every second one has a destination. */
TEST(one_call_gathers_both)
{
	struct xmirror_raw_migrate r = {
		.flags = SYSTEM | PRIVATE,
		.owner = XMIRROR_RAW_POOL,
	};
	struct xmirror_raw_move moves[8] = {};
	char *p = xm_anon(8 * XM_PAGE);
	size_t i;
	int fd;

	NEED(XMIRROR_CAP_PRIVATE);
	OPEN(fd, 0);
	ASSERT_NE(NULL, p);
	for (i = 0; i < 8; i++)
		p[i * XM_PAGE] = i + 1;
	ASSERT_EQ(4, raw_to(fd, p, 4, XMIRROR_RAW_PRIVATE));
	for (i = 0; i < 8; i += 2)
		moves[i].dst = XMIRROR_RAW_PRIVATE;
	ASSERT_EQ(0, raw_migrate(fd, p, 8, &r, moves));
	EXPECT_EQ(8, r.cpages);
	for (i = 0; i < 8; i++) {
		EXPECT_EQ(VMW, moves[i].setup);
		EXPECT_EQ(i % 2 ? 0 : M, moves[i].pages & M);
		EXPECT_EQ(i < 4 || !(i % 2),
			  !!(raw_page(fd, p + i * XM_PAGE).entry &
			     XMIRROR_ENTRY_PRIVATE));
		EXPECT_EQ((char)(i + 1), p[i * XM_PAGE]);
	}
	munmap(p, 8 * XM_PAGE);
	close(fd);
}

/* What fills a hole in memory that is read-only is so, too. */
TEST(hole_in_read_only_memory)
{
	static const __u32 dsts[] = { XMIRROR_RAW_PRIVATE, XMIRROR_RAW_SYSTEM };
	__u32 bits = XMIRROR_ENTRY_PRESENT | XMIRROR_ENTRY_PRIVATE |
		     XMIRROR_ENTRY_WRITE, entry;
	size_t i;
	char *p;
	int fd;

	NEED(XMIRROR_CAP_PRIVATE);
	OPEN(fd, 0);
	p = xm_anon_prot(2 * XM_PAGE, PROT_READ);
	ASSERT_NE(NULL, p);
	for (i = 0; i < ARRAY_SIZE(dsts); i++) {
		ASSERT_EQ(1, raw_to(fd, p + i * XM_PAGE, 1, dsts[i]));
		entry = raw_page(fd, p + i * XM_PAGE).entry;
		EXPECT_EQ(i ? XMIRROR_ENTRY_PRESENT : XMIRROR_ENTRY_PRIVATE,
			  entry & bits);
		EXPECT_EQ(0, p[i * XM_PAGE]);
		EXPECT_EQ(XMIRROR_ENTRY_PRESENT,
			  raw_page(fd, p + i * XM_PAGE).entry & bits);
		EXPECT_EQ(-EFAULT, xm_poke(p + i * XM_PAGE, 1));
	}
	munmap(p, 2 * XM_PAGE);
	close(fd);
}

/* Nobody has touched it yet: with a page table, and without one. */
TEST(hole_of_a_file_is_not_offered)
{
	static const int flags[] = { MAP_SHARED, MAP_PRIVATE };
	int fd, file = memfd_create("xmirror", MFD_CLOEXEC);
	struct xmirror_raw_migrate r;
	struct xmirror_raw_move move;
	char *p, *q;
	size_t i;

	NEED(XMIRROR_CAP_PRIVATE);
	OPEN(fd, 0);
	ASSERT_EQ(0, ftruncate(file, 2 * XM_PAGE));
	for (i = 0; i < 2 * ARRAY_SIZE(flags); i++) {
		p = xm_anon_aligned(XM_PMD, XM_PMD);
		ASSERT_NE(NULL, p);
		q = p + XM_PAGE;
		ASSERT_EQ(p, mmap(p, 2 * XM_PAGE, PROT_READ | PROT_WRITE,
				  MAP_FIXED | flags[i / 2], file, 0));
		if (i % 2)
			XM_STORE(p, 1);
		r = (struct xmirror_raw_migrate){
			.flags = SYSTEM | XMIRROR_RAW_ABORT,
			.owner = XMIRROR_RAW_POOL,
		};
		move = (struct xmirror_raw_move){};
		EXPECT_EQ(0, raw_migrate(fd, q, 1, &r, &move));
		EXPECT_EQ(0, move.setup);
		EXPECT_EQ(1, r.npages);
		EXPECT_EQ(0, r.cpages);
		EXPECT_EQ(0, raw_page(fd, q).entry);
		munmap(p, XM_PMD);
	}
	close(file);
	close(fd);
}

/* migrate_vma_setup() refuses bad arguments before it touches anything. */
TEST(arguments)
{
	static const __u32 bad[] = {
		XMIRROR_RAW_NO_VMA, XMIRROR_RAW_NO_SRC, XMIRROR_RAW_NO_DST,
		XMIRROR_RAW_FAULT_SYSTEM, XMIRROR_RAW_FAULT_UNLOCKED,
	};
	struct xmirror_raw_page before, after;
	struct xmirror_raw_migrate r;
	struct xmirror_raw_move moves[3];
	char *p;
	size_t i;
	int fd;

	NEED(XMIRROR_CAP_PRIVATE);
	OPEN(fd, 0);
	p = xm_anon(3 * XM_PAGE);
	ASSERT_NE(NULL, p);
	memset(p, 1, 2 * XM_PAGE);
	/* The end of the VMA is in the middle. */
	ASSERT_EQ(0, munmap(p + 2 * XM_PAGE, XM_PAGE));
	/* A batch of the LRU has a reference to a new page. */
	ASSERT_EQ(0, xm_drain());
	before = raw_page(fd, p);
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		/* Linux 6.15 requires that fault_page is locked. */
		if (bad[i] == XMIRROR_RAW_FAULT_UNLOCKED &&
		    xm_kver() < XM_KVER(6, 15))
			continue;
		memset(moves, 0, sizeof(moves));
		r = (struct xmirror_raw_migrate){ .flags = SYSTEM | bad[i] };
		EXPECT_EQ(-EINVAL, raw_migrate(fd, p, 1, &r, moves)) {
			TH_LOG("flag %#x", bad[i]);
		}
	}
	r = (struct xmirror_raw_migrate){ .flags = SYSTEM };
	EXPECT_EQ(-EINVAL, raw_migrate(fd, p, 0, &r, moves));
	EXPECT_EQ(-EINVAL, raw_migrate(fd, p, 3, &r, moves));
	EXPECT_EQ(-EINVAL, raw_migrate(fd, p + 2 * XM_PAGE, 1, &r, moves));
	after = raw_page(fd, p);
	EXPECT_EQ(before.raw, after.raw);
	EXPECT_EQ(before.refs, after.refs);
	/* An unaligned address is rounded down. */
	memset(moves, 0, sizeof(moves));
	r.flags |= XMIRROR_RAW_ABORT;
	EXPECT_EQ(0, raw_migrate(fd, p + 5, 1, &r, moves));
	EXPECT_EQ(1, r.npages);
	EXPECT_EQ(before.pfn, moves[0].src_pfn);
	munmap(p, 2 * XM_PAGE);
	close(fd);
}

TEST_HARNESS_MAIN
