// SPDX-License-Identifier: GPL-2.0
/*
 * hmm_range_fault() on each kind of memory, with each kind of request, as the
 * kernel-doc in mm/hmm.c and include/linux/hmm.h has it: without a request it
 * reports and changes nothing, with one the page can be read or written afterwards,
 * or the call fails.
 */
#include "kinds.h"
#include "raw.h"
#include "test.h"

#define V	XMIRROR_HMM_VALID
#define W	XMIRROR_HMM_WRITE
#define E	XMIRROR_HMM_ERROR
#define VW	(V | W)

/* A result: 0 with these flags, or an errno. The three requests: none, read, write. */
static const struct answer {
	int look;
	int read;
	int write;
} answers[NR_KINDS] = {
	[K_hole]		= { E, -EFAULT, -EFAULT },
	[K_untouched]		= { 0, V, VW },
	[K_written]		= { VW, VW, VW },
	[K_zero_page]		= { V, V, VW },
	[K_locked]		= { VW, VW, VW },
	[K_swapped]		= { 0, VW, VW },
	[K_swapcache]		= { VW, VW, VW },
	[K_lazyfree]		= { VW, VW, VW },
	[K_forked]		= { V, V, VW },
	[K_file_read]		= { V, V, VW },
	[K_file_copied]		= { VW, VW, VW },
	[K_shared_file]		= { VW, VW, VW },
	[K_shared_anon]		= { VW, VW, VW },
	[K_hugetlb]		= { VW, VW, VW },
	[K_prot_none]		= { E, -EFAULT, -EFAULT },
	[K_prot_read]		= { V, V, -EPERM },
	[K_uffd_missing]	= { 0, -EFAULT, -EFAULT },
	[K_uffd_wp]		= { V, V, -EFAULT },
	[K_merged]		= { V, V, VW },
	[K_pinned]		= { VW, VW, VW },
	[K_pool_page]		= { 0, VW, VW },
	[K_private_page]	= { 0, VW, VW },
	[K_exclusive]		= { 0, VW, VW },
	[K_thp_head]		= { VW, VW, VW },
	[K_thp_middle]		= { VW, VW, VW },
	[K_pfn_map]		= { E, -EFAULT, -EFAULT },
	[K_secret]		= { VW, VW, VW },	/* finding 22 */
};

FIXTURE(range) {
	int fd;
	struct memory m;
	struct xmirror_raw_page before;
};

FIXTURE_VARIANT(range) {
	enum kind kind;
};

#define VARIANT(name) \
	FIXTURE_VARIANT_ADD(range, name) { .kind = K_##name };
KINDS(VARIANT)

FIXTURE_SETUP(range)
{
	self->m.file = -1;
	OPEN(self->fd, 0);
	NEED(XMIRROR_CAP_MIRROR);
	MAKE(&self->m, self->fd, variant->kind);
	/* An LRU batch that is drained later would change the flags of the page. */
	ASSERT_EQ(0, xm_drain());
	self->before = raw_page(self->fd, self->m.p);
}

FIXTURE_TEARDOWN(range)
{
	if (self->m.p) {
		EXPECT_EQ(0, memory_free(&self->m));
	}
	close(self->fd);
}

/*
 * Whether a read that swaps a page in, or ends an exclusive entry, leaves it
 * writable differs by version (can_change_pte_writable(), do_swap_page()).
 */
static bool write_varies(enum kind kind)
{
	return kind == K_swapped || kind == K_swapcache || kind == K_exclusive;
}

/* A fault that replaces a page invalidates the range: after -EBUSY, ask again. */
static int ask(int fd, const void *p, __u32 req, __u32 owner,
	       struct xmirror_raw_pfn *pfn)
{
	int i, err;

	for (i = 0; i < 8; i++) {
		err = raw_hmm_one(fd, p, req, owner, pfn);
		if (err != -EBUSY)
			break;
	}
	return err;
}

#define EXPECT_ANSWER(want, req, owner) \
	do { \
		struct xmirror_raw_pfn got_pfn; \
		int got_err = ask(self->fd, self->m.p, (req), (owner), \
				  &got_pfn); \
		int got_want = (want); \
		if (got_want < 0) { \
			EXPECT_EQ(got_want, got_err); \
		} else { \
			EXPECT_EQ(0, got_err); \
			if (write_varies(variant->kind) && (req) != VW) { \
				got_pfn.flags &= ~W; \
				got_want &= ~W; \
			} \
			EXPECT_EQ(got_want, (int)got_pfn.flags); \
			if (got_want & V) { \
				EXPECT_EQ(raw_page(self->fd, self->m.p).pfn, \
					  got_pfn.pfn); \
			} \
		} \
	} while (0)

TEST_F(range, looked_at)
{
	struct xmirror_raw_page after;

	EXPECT_ANSWER(answers[variant->kind].look, 0, XMIRROR_RAW_NOBODY);
	after = raw_page(self->fd, self->m.p);
	EXPECT_EQ(self->before.raw, after.raw);
	EXPECT_EQ(self->before.folio, after.folio);
}

TEST_F(range, asked_to_read)
{
	EXPECT_ANSWER(answers[variant->kind].read, V, XMIRROR_RAW_NOBODY);
}

TEST_F(range, asked_to_write)
{
	EXPECT_ANSWER(answers[variant->kind].write, VW, XMIRROR_RAW_NOBODY);
}

/* WRITE without FAULT is no request. */
TEST_F(range, asked_to_write_only)
{
	EXPECT_ANSWER(answers[variant->kind].look, W, XMIRROR_RAW_NOBODY);
	EXPECT_EQ(self->before.raw, raw_page(self->fd, self->m.p).raw);
}

/* Since Linux 6.16 the caller's own flags stay in the entry, whatever is there. */
TEST_F(range, sticky_flag_stays)
{
	struct xmirror_raw_pfn pfn = { .flags = XMIRROR_HMM_STICKY };
	__u32 stays = xm_kver() >= XM_KVER(6, 16) ? XMIRROR_HMM_STICKY : 0;
	__u32 varies = write_varies(variant->kind) ? W : 0;
	struct xmirror_raw_hmm r = {};

	EXPECT_EQ(0, raw_hmm(self->fd, self->m.p, 1, &r, &pfn));
	EXPECT_EQ((answers[variant->kind].look | stays) & ~varies,
		  pfn.flags & ~varies);
}

/* A private page is reported to its owner only. */
TEST(private_page_of_the_owner)
{
	struct xmirror_raw_pfn got;
	struct memory m;
	__u64 pfn;
	int fd;

	NEED(XMIRROR_CAP_MIRROR | XMIRROR_CAP_PRIVATE);
	OPEN(fd, 0);
	MAKE(&m, fd, K_pool_page);
	pfn = raw_page(fd, m.p).pfn;
	EXPECT_EQ(0, raw_hmm_one(fd, m.p, 0, XMIRROR_RAW_POOL, &got));
	EXPECT_EQ(VW, got.flags);
	EXPECT_EQ(pfn, got.pfn);
	EXPECT_EQ(0, raw_hmm_one(fd, m.p, VW, XMIRROR_RAW_POOL, &got));
	EXPECT_EQ(VW, got.flags);
	EXPECT_EQ(pfn, got.pfn);
	EXPECT_TRUE(raw_page(fd, m.p).entry & XMIRROR_ENTRY_PRIVATE);
	/* A stranger sees nothing without a request; with one the page comes back. */
	EXPECT_EQ(0, raw_hmm_one(fd, m.p, 0, XMIRROR_RAW_STRANGER, &got));
	EXPECT_EQ(0, got.flags);
	EXPECT_EQ(0, ask(fd, m.p, V, XMIRROR_RAW_STRANGER, &got));
	EXPECT_TRUE(got.flags & V);
	EXPECT_NE(pfn, got.pfn);
	EXPECT_TRUE(xm_is_present(m.p));
	EXPECT_EQ(0, memory_free(&m));
	close(fd);
}

/* A page of the owner that may not be written, as its entry says */
FIXTURE(own) {
	int fd;
	char *p;
	struct child c;
};

FIXTURE_VARIANT(own) {
	bool read_only;
	bool lifted;	/* no more */
	bool shared;	/* with a child */
};

FIXTURE_VARIANT_ADD(own, read_only) { .read_only = true };
FIXTURE_VARIANT_ADD(own, was_read_only) { .read_only = true, .lifted = true };
FIXTURE_VARIANT_ADD(own, shared) { .shared = true };

FIXTURE_SETUP(own)
{
	__u32 bits = XMIRROR_ENTRY_PRIVATE | XMIRROR_ENTRY_WRITE;

	self->fd = -1;
	NEED(XMIRROR_CAP_MIRROR | XMIRROR_CAP_PRIVATE);
	OPEN(self->fd, 0);
	self->p = xm_anon(XM_PAGE);
	ASSERT_NE(NULL, self->p);
	*self->p = 5;
	ASSERT_EQ(1, raw_to(self->fd, self->p, 1, XMIRROR_RAW_PRIVATE));
	ASSERT_EQ(bits, raw_page(self->fd, self->p).entry & bits);
	if (variant->read_only)
		ASSERT_EQ(0, mprotect(self->p, XM_PAGE, PROT_READ));
	if (variant->lifted)
		ASSERT_EQ(0, mprotect(self->p, XM_PAGE, PROT_READ | PROT_WRITE));
	if (variant->shared)
		ASSERT_EQ(0, child_start(&self->c, child_waits, NULL));
	ASSERT_EQ((__u32)XMIRROR_ENTRY_PRIVATE,
		  raw_page(self->fd, self->p).entry & bits);
}

FIXTURE_TEARDOWN(own)
{
	if (self->fd < 0)
		return;
	if (variant->shared) {
		EXPECT_EQ(0, child_tell(&self->c, 'e'));
		EXPECT_EQ(0, child_end(&self->c));
	}
	EXPECT_EQ(5, *self->p);
	munmap(self->p, XM_PAGE);
	close(self->fd);
}

/* covers: J.write */
TEST_F(own, page_that_is_asked_for_to_write_may_be_written)
{
	struct xmirror_raw_pfn got;
	int err;

	EXPECT_EQ(0, ask(self->fd, self->p, V, XMIRROR_RAW_POOL, &got));
	EXPECT_EQ(V, got.flags);
	err = ask(self->fd, self->p, VW, XMIRROR_RAW_POOL, &got);
	if (err)
		EXPECT_EQ(-EPERM, err);
	XM_XFAIL_IF(true, err || got.flags & W,
		    "finding 59: a page for writing that may not be written");
}

/* The same of one entry for 2 MiB */
/* covers: J.stranger */
TEST(huge_private_page_of_a_stranger)
{
	struct xmirror_raw_pfn got;
	char *p, *q;
	int fd;

	NEED(XMIRROR_CAP_MIRROR | XMIRROR_CAP_PRIVATE_LARGE);
	OPEN(fd, 0);
	p = xm_thp(fd, 0x22);
	if (!p)
		XM_SKIP(return, "%s", xm_why_no_thp());
	q = p + 7 * XM_PAGE;
	MIGRATE_HUGE(fd, p);
	EXPECT_EQ(0, raw_hmm_one(fd, q, 0, XMIRROR_RAW_STRANGER, &got));
	EXPECT_EQ(0, got.flags & V);
	XM_XFAIL_IF(true, !(got.flags & E),
		    "finding 54: without a request the page of a stranger is an error");
	EXPECT_EQ(XM_HUGE_PRIVATE, xm_page(fd, p).cpu & XM_HUGE_PRIVATE);
	/* As small pages */
	ASSERT_EQ(0, mprotect(p, XM_PAGE, PROT_READ));
	EXPECT_EQ(XMIRROR_CPU_PRIVATE, xm_page(fd, q).cpu & XM_HUGE_PRIVATE);
	EXPECT_EQ(0, raw_hmm_one(fd, q, 0, XMIRROR_RAW_STRANGER, &got));
	EXPECT_EQ(0, got.flags);
	EXPECT_EQ(0, ask(fd, q, V, XMIRROR_RAW_STRANGER, &got));
	EXPECT_TRUE(got.flags & V);
	munmap(p, XM_PMD);
	close(fd);
}

/* An exclusive page is reported to nobody, not even to its owner. */
TEST(exclusive_page_of_the_owner)
{
	struct xmirror_raw_pfn got;
	struct memory m;
	int fd;

	NEED(XMIRROR_CAP_MIRROR | XMIRROR_CAP_EXCLUSIVE);
	OPEN(fd, 0);
	MAKE(&m, fd, K_written);
	ASSERT_EQ(1, raw_exclusive(fd, m.p, 1, XMIRROR_RAW_MIRROR, NULL));
	EXPECT_EQ(0, raw_hmm_one(fd, m.p, 0, XMIRROR_RAW_MIRROR, &got));
	EXPECT_EQ(0, got.flags);
	EXPECT_TRUE(xm_is_exclusive(m.p));
	EXPECT_EQ(0, ask(fd, m.p, V, XMIRROR_RAW_MIRROR, &got));
	EXPECT_TRUE(got.flags & V);
	EXPECT_FALSE(xm_is_exclusive(m.p));
	EXPECT_EQ(0, memory_free(&m));
	close(fd);
}

/* Each page has its own request in the array, as far as the mask lets it through. */
TEST(mask_and_default)
{
	struct xmirror_raw_pfn pfns[4] = {};
	struct xmirror_raw_hmm r = { .mask = VW };
	char *p;
	int fd, err = 0, i;

	NEED(XMIRROR_CAP_MIRROR);
	OPEN(fd, 0);
	p = xm_anon(4 * XM_PAGE);
	ASSERT_NE(NULL, p);
	pfns[1].flags = V;
	pfns[2].flags = VW;
	/*
	 * Replacing the zero page is an invalidation: ask again. The last page may
	 * be faulted with its neighbour: finding 25.
	 */
	for (i = 0; i < 8; i++) {
		err = raw_hmm(fd, p, 4, &r, pfns);
		if (err != -EBUSY)
			break;
		memset(pfns, 0, sizeof(pfns));
		pfns[1].flags = V;
		pfns[2].flags = VW;
	}
	EXPECT_EQ(0, err);
	EXPECT_EQ(VW, pfns[2].flags);
	EXPECT_TRUE(pfns[1].flags & V);
	madvise(p, 4 * XM_PAGE, MADV_DONTNEED);
	/* The mask hides this request. */
	r = (struct xmirror_raw_hmm){ .mask = 0 };
	memset(pfns, 0, sizeof(pfns));
	pfns[1].flags = VW;
	EXPECT_EQ(0, raw_hmm(fd, p, 4, &r, pfns));
	EXPECT_EQ(0, pfns[1].flags);
	EXPECT_EQ(0, raw_page(fd, p + XM_PAGE).entry);
	close(fd);
}

/* Entries before the error are reported, those behind it are not. */
TEST(hole_in_the_middle)
{
	struct xmirror_raw_pfn pfns[3] = {};
	struct xmirror_raw_hmm r = { .default_flags = V };
	char *p;
	int fd;

	NEED(XMIRROR_CAP_MIRROR);
	OPEN(fd, 0);
	p = xm_anon(3 * XM_PAGE);
	ASSERT_NE(NULL, p);
	memset(p, 1, 3 * XM_PAGE);
	ASSERT_EQ(0, munmap(p + XM_PAGE, XM_PAGE));
	EXPECT_EQ(-EFAULT, raw_hmm(fd, p, 3, &r, pfns));
	EXPECT_EQ(VW, pfns[0].flags);
	EXPECT_EQ(0, pfns[2].flags);
	/* Without a request the hole is an entry like any other. */
	r.default_flags = 0;
	memset(pfns, 0, sizeof(pfns));
	EXPECT_EQ(0, raw_hmm(fd, p, 3, &r, pfns));
	EXPECT_EQ(VW, pfns[0].flags);
	EXPECT_EQ(E, pfns[1].flags);
	EXPECT_EQ(VW, pfns[2].flags);
	close(fd);
}

/* The order is that of the entry, even if the range has only a part of it. */
TEST(order_of_the_mapping)
{
	struct xmirror_raw_pfn pfns[8] = {};
	struct xmirror_raw_hmm r = {};
	size_t i;
	char *p;
	int fd;

	NEED(XMIRROR_CAP_MIRROR);
	OPEN(fd, 0);
	p = xm_thp(fd, 1);
	if (!p)
		XM_SKIP(close(fd); return, "%s", xm_why_no_thp());
	EXPECT_EQ(0, raw_hmm(fd, p + 5 * XM_PAGE, 8, &r, pfns));
	for (i = 0; i < 8; i++) {
		EXPECT_EQ(__builtin_ctzl(XM_PMD_PAGES), pfns[i].order);
		EXPECT_EQ(VW, pfns[i].flags);
		EXPECT_EQ(pfns[0].pfn + i, pfns[i].pfn);
	}
	/* Small entries of the same large folio */
	ASSERT_EQ(0, mprotect(p, XM_PAGE, PROT_READ));
	memset(pfns, 0, sizeof(pfns));
	EXPECT_EQ(0, raw_hmm(fd, p, 8, &r, pfns));
	EXPECT_EQ(0, pfns[0].order);
	EXPECT_EQ(V, pfns[0].flags);
	EXPECT_EQ(0, pfns[7].order);
	EXPECT_EQ(VW, pfns[7].flags);
	munmap(p, XM_PMD);
	close(fd);
}

/* Since Linux 6.16 the caller's own flags stay in the entry. */
TEST(sticky_flag)
{
	struct xmirror_raw_pfn pfns[2] = {};
	struct xmirror_raw_hmm r = { .default_flags = V };
	char *p;
	int fd;

	NEED(XMIRROR_CAP_MIRROR);
	OPEN(fd, 0);
	p = xm_anon(2 * XM_PAGE);
	ASSERT_NE(NULL, p);
	pfns[0].flags = XMIRROR_HMM_STICKY;
	EXPECT_EQ(0, raw_hmm(fd, p, 2, &r, pfns));
	EXPECT_EQ(V | (xm_kver() >= XM_KVER(6, 16) ? XMIRROR_HMM_STICKY : 0),
		  pfns[0].flags);
	EXPECT_EQ(V, pfns[1].flags);
	close(fd);
}

/* With a stale sequence number the call fails and looks at nothing. */
TEST(stale_sequence_number)
{
	struct xmirror_raw_hmm r = { .flags = XMIRROR_RAW_HMM_STALE };
	struct xmirror_raw_pfn pfn = {};
	char *p;
	int fd;

	NEED(XMIRROR_CAP_MIRROR);
	OPEN(fd, 0);
	p = xm_anon(XM_PAGE);
	ASSERT_NE(NULL, p);
	*p = 1;
	EXPECT_EQ(-EBUSY, raw_hmm(fd, p, 1, &r, &pfn));
	EXPECT_EQ(1, r.retry);
	EXPECT_EQ(0, pfn.flags);
	r.flags = 0;
	EXPECT_EQ(0, raw_hmm(fd, p, 1, &r, &pfn));
	EXPECT_EQ(0, r.retry);
	EXPECT_EQ(VW, pfn.flags);
	close(fd);
}

/* Breaking COW invalidates the very range: the caller has to retry. */
TEST(own_fault_invalidates)
{
	struct xmirror_raw_hmm r = { .default_flags = VW };
	struct xmirror_raw_pfn pfn = {};
	struct memory m;
	int fd, err;

	NEED(XMIRROR_CAP_MIRROR);
	OPEN(fd, 0);
	MAKE(&m, fd, K_zero_page);
	err = raw_hmm(fd, m.p, 1, &r, &pfn);
	/* The walk itself checks the number again. */
	EXPECT_EQ(-EBUSY, err);
	EXPECT_EQ(1, r.retry);
	EXPECT_EQ(0, raw_hmm(fd, m.p, 1, &r, &pfn));
	EXPECT_EQ(VW, pfn.flags);
	EXPECT_EQ(0, r.retry);
	EXPECT_EQ(0, memory_free(&m));
	close(fd);
}

/* The call that takes mmap_lock itself also retries itself. */
TEST(unlocked_call_retries)
{
	struct xmirror_raw_hmm r = {
		.flags = XMIRROR_RAW_HMM_UNLOCKED,
		.default_flags = VW,
		.timeout_ms = XM_LONG,
	};
	struct xmirror_raw_pfn pfn = {};
	struct memory m;
	int fd, err;

	NEED(XMIRROR_CAP_MIRROR);
	OPEN(fd, 0);
	MAKE(&m, fd, K_forked);
	err = raw_hmm(fd, m.p, 1, &r, &pfn);
	if (err == -EOPNOTSUPP)
		XM_SKIP(memory_free(&m); close(fd); return,
			"hmm_range_fault_unlocked_timeout(): Linux 7.3");
	EXPECT_EQ(0, err);
	EXPECT_EQ(VW, pfn.flags);
	EXPECT_EQ(0, r.retry);
	EXPECT_EQ(0, memory_free(&m));
	close(fd);
}

TEST_HARNESS_MAIN
