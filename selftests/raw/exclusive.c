// SPDX-License-Identifier: GPL-2.0
/*
 * make_device_exclusive() and, before Linux 6.15, make_device_exclusive_range(), on
 * each kind of memory. The answers are those of mm/rmap.c and of the
 * get_user_pages() that it begins with (check_vma_flags() in mm/gup.c). REFUSED is
 * an answer without an error: the old call gives no page.
 */
#include "kinds.h"
#include "raw.h"
#include "test.h"

#define MADE	1
#define REFUSED	0	/* the old call returns 1 and gives no page */

/* The answer of the kernel for each kind, since 6.15 and before */
static const struct answer {
	int now;
	int before;
} answers[NR_KINDS] = {
	[K_hole]		= { -EFAULT, -EFAULT },
	[K_untouched]		= { MADE, MADE },
	[K_written]		= { MADE, MADE },
	[K_zero_page]		= { MADE, MADE },
	[K_locked]		= { MADE, MADE },
	[K_swapped]		= { MADE, MADE },
	[K_swapcache]		= { MADE, MADE },
	[K_lazyfree]		= { MADE, MADE },
	[K_forked]		= { MADE, MADE },
	[K_file_read]		= { MADE, MADE },
	[K_file_copied]	= { MADE, MADE },
	[K_shared_file]	= { -EOPNOTSUPP, REFUSED },
	[K_shared_anon]	= { -EOPNOTSUPP, REFUSED },
	[K_hugetlb]		= { -EOPNOTSUPP, REFUSED },
	[K_prot_none]		= { -EFAULT, -EFAULT },
	[K_prot_read]		= { -EFAULT, -EFAULT },
	[K_uffd_missing]	= { -EFAULT, -EFAULT },
	[K_uffd_wp]		= { -EFAULT, -EFAULT },
	[K_merged]		= { MADE, MADE },
	[K_pinned]		= { MADE, MADE },
	[K_pool_page]		= { MADE, MADE },
	[K_private_page]	= { MADE, MADE },
	[K_exclusive]		= { MADE, MADE },
	[K_thp_middle]		= { MADE, REFUSED },
	[K_thp_head]		= { MADE, MADE },
	[K_pfn_map]		= { -EFAULT, -EFAULT },
	[K_secret]		= { -EFAULT, -EFAULT },
};

FIXTURE(made) {
	int fd;
	struct memory m;
};

FIXTURE_VARIANT(made) {
	enum kind kind;
};

/* A variant for each line of the table */
#define VARIANT(name) \
	FIXTURE_VARIANT_ADD(made, name) { .kind = K_##name };
KINDS(VARIANT)

FIXTURE_SETUP(made)
{
	self->m.file = -1;
	OPEN(self->fd, 0);
	NEED(XMIRROR_CAP_EXCLUSIVE);
	MAKE(&self->m, self->fd, variant->kind);
}

FIXTURE_TEARDOWN(made)
{
	/* With any answer the memory is as before. */
	if (self->m.p) {
		EXPECT_EQ(0, memory_free(&self->m));
	}
	EXPECT_CLEAN(self->fd);
	close(self->fd);
}

/*
 * check_vma_flags() refuses FOLL_SPLIT_PMD for hugetlb since 6.12.23, but not in
 * 6.1.
 */
static int expected(enum kind kind)
{
	if (RAW_NEW)
		return answers[kind].now;
	if (kind == K_hugetlb && xm_kver() >= XM_KVER(6, 12))
		return -EOPNOTSUPP;
	return answers[kind].before;
}

/* Refused as often as this, a page that has been left with references has that many. */
#define REFUSALS	10

/*
 * A refusal has changed nothing of the page. The first one may have faulted it in, and
 * has it in an LRU batch.
 */
#define EXPECT_REFUSED(got) \
	do { \
		struct xmirror_raw_page refused_was, refused; \
		ASSERT_EQ(0, xm_drain()); \
		refused_was = raw_page(self->fd, self->m.p); \
		for (int refused_i = 0; refused_i < REFUSALS; refused_i++) { \
			EXPECT_EQ((got), \
				  raw_exclusive(self->fd, self->m.p, 1, \
						XMIRROR_RAW_MIRROR, NULL)); \
		} \
		ASSERT_EQ(0, xm_drain()); \
		refused = raw_page(self->fd, self->m.p); \
		EXPECT_EQ(refused_was.pfn, refused.pfn); \
		EXPECT_EQ(refused_was.entry, refused.entry); \
		EXPECT_EQ(refused_was.refs, refused.refs); \
		EXPECT_EQ(refused_was.maps, refused.maps); \
	} while (0)

TEST_F(made, answer)
{
	int want = expected(variant->kind), got;
	struct xmirror_raw_page page;
	__u64 pfn = 0;

	if (variant->kind == K_thp_head && !RAW_NEW)
		XM_SKIP(return, "the old call converts the whole folio");
	got = raw_exclusive(self->fd, self->m.p, 1, XMIRROR_RAW_MIRROR, &pfn);
	if (want == REFUSED) {
		EXPECT_EQ(1, got);
		EXPECT_EQ(0, pfn);
	} else {
		EXPECT_EQ(want, got) {
			TH_LOG("%s", got < 0 ? strerror(-got) : "made");
		}
	}
	page = raw_page(self->fd, self->m.p);
	EXPECT_EQ(want == MADE, !!(page.entry & XMIRROR_ENTRY_EXCLUSIVE));
	if (want == MADE) {
		EXPECT_EQ(page.pfn, pfn);
		EXPECT_TRUE(page.folio & XMIRROR_FOLIO_DIRTY);
		EXPECT_TRUE(page.folio & XMIRROR_FOLIO_ANON_EXCLUSIVE);
	}
	EXPECT_FALSE(page.folio & XMIRROR_FOLIO_LOCKED);
	if (want != MADE) {
		EXPECT_REFUSED(got);
	}
	if (want == MADE && self->m.readable) {
		EXPECT_EQ(self->m.word, XM_LOAD(self->m.p));
		EXPECT_TRUE(xm_is_present(self->m.p));
	}
}

/* Another owner takes an exclusive page: the first one is notified. */
TEST(again_by_another)
{
	struct xmirror_raw_page page;
	struct memory m;
	int fd, id, kind, err;

	NEED(XMIRROR_CAP_EXCLUSIVE);
	OPEN(fd, 0);
	for (kind = 0; kind < NR_KINDS; kind++) {
		if (expected(kind) != MADE || (kind == K_thp_head && !RAW_NEW))
			continue;
		err = memory_make(&m, fd, kind);
		if (err == -ENODEV) {
			TH_LOG("%s: no %s", kind_name(kind), m.why);
			continue;
		}
		ASSERT_EQ(0, err)
			TH_LOG("%s: %s", kind_name(kind), m.why);
		ASSERT_EQ(1, raw_exclusive(fd, m.p, 1, XMIRROR_RAW_MIRROR,
					   NULL));
		id = raw_insert(fd, m.p, XM_PAGE);
		ASSERT_GT(id, 0);
		EXPECT_EQ(1, raw_exclusive(fd, m.p, 1, XMIRROR_RAW_STRANGER,
					   NULL)) {
			TH_LOG("%s", kind_name(kind));
		}
		/* The page comes back to the CPU on the way, and goes again. */
		EXPECT_LE(2, raw_hits(fd, id)) {
			TH_LOG("%s", kind_name(kind));
		}
		page = raw_page(fd, m.p);
		EXPECT_TRUE(page.entry & XMIRROR_ENTRY_EXCLUSIVE);
		EXPECT_FALSE(page.folio & XMIRROR_FOLIO_LOCKED);
		EXPECT_EQ(0, memory_free(&m));
		/* A file has room for sixteen notifiers. */
		close(fd);
		OPEN(fd, 0);
	}
	close(fd);
}

/* The address may be any byte of the page. */
TEST(unaligned_address)
{
	struct memory m;
	int fd;

	NEED(XMIRROR_CAP_EXCLUSIVE);
	OPEN(fd, 0);
	MAKE(&m, fd, K_written);
	if (!RAW_NEW)
		XM_SKIP(memory_free(&m); close(fd); return,
			"the old call takes whole pages");
	EXPECT_EQ(1, raw_exclusive(fd, (char *)m.p + 123, 1,
				   XMIRROR_RAW_MIRROR, NULL));
	EXPECT_TRUE(xm_is_exclusive(m.p));
	EXPECT_EQ(0, memory_free(&m));
	close(fd);
}

/*
 * The call stops at the first page that it cannot make exclusive, and keeps those
 * before.
 */
TEST(hole_in_the_middle)
{
	__u64 pfns[3] = {};
	char *p;
	int fd;

	NEED(XMIRROR_CAP_EXCLUSIVE);
	OPEN(fd, 0);
	p = xm_anon(3 * XM_PAGE);
	ASSERT_NE(NULL, p);
	memset(p, 1, 3 * XM_PAGE);
	ASSERT_EQ(0, munmap(p + XM_PAGE, XM_PAGE));
	EXPECT_EQ(1, raw_exclusive(fd, p, 3, XMIRROR_RAW_MIRROR, pfns));
	EXPECT_NE(0, pfns[0]);
	EXPECT_EQ(0, pfns[1]);
	EXPECT_TRUE(xm_is_exclusive(p));
	EXPECT_FALSE(xm_is_exclusive(p + 2 * XM_PAGE));
	EXPECT_EQ(1, *p);
	munmap(p, XM_PAGE);
	munmap(p + 2 * XM_PAGE, XM_PAGE);
	close(fd);
}

static int drop_privilege(struct child *c, void *arg)
{
	int fd = xm_open(0);

	(void)c;
	CHILD_CHECK(fd >= 0);
	CHILD_CHECK(!setresuid(1, 1, 1));
	CHILD_CHECK(raw_exclusive(fd, arg, 1, 0, NULL) == -EPERM);
	CHILD_CHECK(raw_hmm_one(fd, arg, 0, 0, NULL) == -EPERM);
	CHILD_CHECK(raw_to(fd, arg, 1, XMIRROR_RAW_SYSTEM) == -EPERM);
	CHILD_CHECK(raw_insert(fd, arg, XM_PAGE) == -EPERM);
	CHILD_CHECK(raw_state(fd, arg, 1,
			      &(struct xmirror_raw_page){}) == -EPERM);
	return 0;
}

TEST(raw_calls_are_for_root)
{
	struct child c;
	char *p = xm_anon(XM_PAGE);

	ASSERT_NE(NULL, p);
	*p = 1;
	ASSERT_EQ(0, child_start(&c, drop_privilege, p));
	EXPECT_EQ(0, child_end(&c));
	munmap(p, XM_PAGE);
}

TEST_HARNESS_MAIN
