/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The fixture of tests about one entry of 2 MiB for private memory of the pool.
 */
#ifndef XM_RAW_PARTS_H
#define XM_RAW_PARTS_H

#include <sys/param.h>

#include "raw.h"
#include "test.h"

#define PAGES	(XM_PMD / XM_PAGE)
#define WORDS	(XM_PAGE / 8)

FIXTURE(parts) {
	int fd;
	__u64 *p;
	__u64 *to;
	struct xmirror_raw_page *pages;
};

static inline __u64 value(size_t page)
{
	return page * 7 + 1;
}

FIXTURE_SETUP(parts)
{
	size_t i;

	OPEN(self->fd, 0);
	NEED(XMIRROR_CAP_PRIVATE | XMIRROR_CAP_PRIVATE_LARGE);
	if (PAGES > XMIRROR_RAW_MAX_PAGES)
		XM_SKIP(return, "a huge page has more pages than a raw call takes");
	self->pages = calloc(PAGES, sizeof(*self->pages));
	ASSERT_NE(NULL, self->pages);
	self->to = xm_anon_aligned(XM_PMD, XM_PMD);
	ASSERT_NE(NULL, self->to);
	self->p = (__u64 *)xm_thp(self->fd, 0);
	if (!self->p)
		XM_SKIP(return, "%s", xm_why_no_thp());
	for (i = 0; i < PAGES; i++)
		self->p[i * WORDS] = value(i);
	ASSERT_EQ((long)PAGES, raw_to(self->fd, self->p, PAGES,
				      XMIRROR_RAW_PRIVATE_LARGE));
	ASSERT_EQ(XMIRROR_ENTRY_PRIVATE | XMIRROR_ENTRY_HUGE |
		  XMIRROR_ENTRY_WRITE,
		  raw_page(self->fd, self->p).entry &
		  ~XMIRROR_ENTRY_SOFT_DIRTY);
}

FIXTURE_TEARDOWN(parts)
{
	if (self->p)
		munmap(self->p, XM_PMD);
	munmap(self->to, XM_PMD);
	free(self->pages);
	EXPECT_CLEAN(self->fd);
	close(self->fd);
}

/* The number of entries at @p that have all of @bits and none of @not */
static inline size_t count(int fd, const __u64 *p,
			   struct xmirror_raw_page *pages, __u32 bits,
			   __u32 not)
{
	size_t i, n = 0;

	if (raw_state(fd, p, PAGES, pages))
		return ~0UL;
	for (i = 0; i < PAGES; i++)
		n += (pages[i].entry & bits) == bits && !(pages[i].entry & not);
	return n;
}

#define COUNT(p, bits, not)	count(self->fd, (p), self->pages, (bits), (not))

#define HUGE	(XMIRROR_ENTRY_PRIVATE | XMIRROR_ENTRY_HUGE)
#define SMALL	XMIRROR_ENTRY_PRIVATE

/*
 * The number of pages with a wrong value; those from @from to @to are zeroes or
 * unmapped.
 */
static inline size_t wrong(const __u64 *p, size_t from, size_t to, bool look)
{
	size_t i, n = 0;

	for (i = 0; i < PAGES; i++) {
		if (i >= from && i < to)
			n += look && XM_LOAD(p + i * WORDS) != 0;
		else
			n += XM_LOAD(p + i * WORDS) != value(i);
	}
	return n;
}

/* A child that has it as it was: it says 'r', and looks when it is told 'l'. */
static inline int child_keeps(struct child *c, void *arg)
{
	CHILD_CHECK(!child_tell(c, 'r'));
	CHILD_CHECK(child_hear(c) == 'l');
	CHILD_CHECK(!wrong(arg, 0, 0, false));
	return 0;
}

#endif /* XM_RAW_PARTS_H */
