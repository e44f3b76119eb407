/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The fixture of the tests for bad input: memory, and the state of the device
 * that a refused call must not change.
 */
#ifndef SELFTESTS_UAPI_FIXTURE_H
#define SELFTESTS_UAPI_FIXTURE_H

#include "test.h"

#define PAGES	8UL
#define SIZE	(PAGES * XM_PAGE)

/* The parts of the state that a refused call must not change. */
struct state {
	struct xmirror_stats stats;
	struct xmirror_page pages[PAGES];
};

static int state_get(int fd, void *p, struct state *s)
{
	int err = xm_stats(fd, &s->stats);

	return err ? err : xm_snapshot(fd, p, SIZE, s->pages);
}

static bool same(const char *what, __u64 was, __u64 is)
{
	if (was != is)
		dprintf(2, "# %s was %llu, is %llu\n", what, was, is);
	return was == is;
}

static bool state_same(const struct state *a, const struct state *b)
{
	const struct xmirror_stats *s = &a->stats, *t = &b->stats;

	return same("leaves", s->leaves, t->leaves) &&
	       same("fault_pages", s->fault_pages, t->fault_pages) &&
	       same("excl_made", s->excl_made, t->excl_made) &&
	       same("excl_hits", s->excl_hits, t->excl_hits) &&
	       same("excl_released", s->excl_released, t->excl_released) &&
	       same("ops", s->ops, t->ops) && same("jobs", s->jobs, t->jobs) &&
	       !memcmp(a->pages, b->pages, sizeof(a->pages));
}

#define STATE_GET(s)	ASSERT_EQ(0, state_get(self->fd, self->p, (s)))
#define EXPECT_UNCHANGED(before) \
	do { \
		struct state now; \
		STATE_GET(&now); \
		EXPECT_TRUE(state_same((before), &now)); \
	} while (0)

/* @p: PAGES of written anonymous memory between two guards of PROT_NONE */
FIXTURE(uapi) {
	int fd;
	char *p;
	struct state before;
};

FIXTURE_SETUP(uapi)
{
	char *all;

	OPEN(self->fd, 0);
	all = xm_anon_prot(SIZE + 2 * XM_PAGE, PROT_NONE);
	ASSERT_NE(NULL, all);
	self->p = all + XM_PAGE;
	ASSERT_EQ(0, mprotect(self->p, SIZE, PROT_READ | PROT_WRITE));
	memset(self->p, 0x5a, SIZE);
	STATE_GET(&self->before);
}

FIXTURE_TEARDOWN(uapi)
{
	EXPECT_CLEAN(self->fd);
	close(self->fd);
}

#endif
