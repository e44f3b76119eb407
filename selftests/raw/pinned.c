// SPDX-License-Identifier: GPL-2.0
/*
 * A page that somebody has pinned for long does not migrate. The collection finds that out
 * when the entry has gone, and puts it back as it was, whether small or huge.
 */
#include "raw.h"
#include "ring.h"
#include "test.h"

#define PAGES	XM_PMD_PAGES

FIXTURE(pinned) {
	int fd;
	int ring;
	size_t nr;
	__u64 *p;
	struct xmirror_raw_move *moves;
	struct xmirror_raw_page was;
};

FIXTURE_VARIANT(pinned) {
	bool huge;
	__u32 flags;
};

FIXTURE_VARIANT_ADD(pinned, small) {
	.flags = XMIRROR_RAW_SELECT_SYSTEM,
};

FIXTURE_VARIANT_ADD(pinned, huge) {
	.huge = true,
	.flags = XMIRROR_RAW_SELECT_SYSTEM | XMIRROR_RAW_SELECT_COMPOUND,
};

/* Of small pages the second of three, of a huge one any: it is pinned as a whole. */
#define PINNED	(self->p + XM_WORDS)

FIXTURE_SETUP(pinned)
{
	self->fd = -1;
	self->ring = -1;
	NEED(XMIRROR_CAP_PRIVATE);
	if (variant->huge)
		NEED(XMIRROR_CAP_PRIVATE_LARGE);
	self->nr = variant->huge ? PAGES : 3;
	if (self->nr > XMIRROR_RAW_MAX_PAGES)
		XM_SKIP(return, "a huge page has more pages than a raw call takes");
	self->ring = xm_ring();
	if (self->ring < 0)
		XM_SKIP(return, "no CONFIG_IO_URING");
	OPEN(self->fd, 0);
	self->moves = calloc(self->nr, sizeof(*self->moves));
	ASSERT_NE(NULL, self->moves);
	self->p = variant->huge ? (__u64 *)xm_thp(self->fd, 0) :
				  xm_anon(3 * XM_PAGE);
	if (variant->huge && !self->p)
		XM_SKIP(return, "%s", xm_why_no_thp());
	ASSERT_NE(NULL, self->p);
	xm_fill_pages(self->p, self->nr);
	ASSERT_EQ(0, xm_pin_cpu());
	ASSERT_EQ(0, xm_ring_pin(self->ring, PINNED, XM_PAGE));
	ASSERT_EQ(0, xm_drain());
	self->was = raw_page(self->fd, PINNED);
}

FIXTURE_TEARDOWN(pinned)
{
	if (self->ring >= 0)
		close(self->ring);
	free(self->moves);
	if (self->fd < 0)
		return;
	EXPECT_CLEAN(self->fd);
	close(self->fd);
}

static int collect(int fd, const __u64 *p, size_t nr, __u32 flags,
		   struct xmirror_raw_move *moves)
{
	struct xmirror_raw_migrate r = {
		.flags = flags | XMIRROR_RAW_ABORT,
		.owner = XMIRROR_RAW_POOL,
	};
	int err = raw_migrate(fd, p, nr, &r, moves);

	return err ? err : (int)r.npages;
}

TEST_F(pinned, stays_as_it_was)
{
	struct xmirror_raw_page now;
	size_t i, told = 0;

	ASSERT_EQ((int)self->nr, collect(self->fd, self->p, self->nr,
					 variant->flags, self->moves));
	ASSERT_EQ(0, xm_drain());
	now = raw_page(self->fd, PINNED);
	EXPECT_EQ(self->was.pfn, now.pfn);
	EXPECT_EQ(self->was.entry, now.entry) {
		TH_LOG("%#x, then %#x", self->was.entry, now.entry);
	}
	EXPECT_EQ(self->was.folio, now.folio) {
		TH_LOG("%#x, then %#x", self->was.folio, now.folio);
	}
	EXPECT_EQ(self->was.refs, now.refs);
	EXPECT_EQ(self->was.maps, now.maps);
	for (i = 0; i < self->nr; i++)
		told += !!self->moves[i].setup;
	EXPECT_EQ(variant->huge ? 0 : 2, told);
	EXPECT_EQ(0, self->moves[1].setup);
	/* Whoever touches what a collection leaves otherwise may wait for ever. */
	ASSERT_EQ(self->was.raw, now.raw);
	EXPECT_EQ(0, xm_wrong_pages(self->p, self->nr));
}

TEST_HARNESS_MAIN
