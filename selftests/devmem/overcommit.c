// SPDX-License-Identifier: GPL-2.0
/*
 * More memory than the device has: the least recently used blocks are evicted,
 * whoever owns them, and no data is lost. The modules are loaded with a small
 * device for this, and as before afterwards.
 */
#include "module.h"
#include "test.h"

/* Device memory comes in huge pages: the smallest that there can be, but for tiny ones. */
#define DEVICE		(XM_PMD > (4UL << 20) ? XM_PMD : 4UL << 20)
#define LEN		(4 * DEVICE)
#define WORDS		XM_WORDS
#define PAGES(len)	((len) / XM_PAGE)

FIXTURE(overcommit) {
	struct modules was;
	int fd;
	__u64 *p;
};

FIXTURE_VARIANT(overcommit) {
	int advice;
};

FIXTURE_VARIANT_ADD(overcommit, small) { .advice = MADV_NOHUGEPAGE };
FIXTURE_VARIANT_ADD(overcommit, huge) { .advice = MADV_HUGEPAGE };

static __u64 value(size_t page)
{
	return page * 0x100000001ULL;
}

static __u64 *fill(int advice)
{
	__u64 *p = xm_anon_aligned(LEN, XM_PMD);
	size_t i;

	if (!p)
		return NULL;
	madvise(p, LEN, advice);
	for (i = 0; i < PAGES(LEN); i++)
		p[i * WORDS] = value(i);
	return p;
}

/* The number of pages without the value of fill(), increased by @more */
static size_t wrong(const __u64 *p, __u64 more)
{
	size_t i, n = 0;

	for (i = 0; i < PAGES(LEN); i++)
		n += XM_LOAD(p + i * WORDS) != value(i) + more;
	return n;
}

static size_t on_device(int fd, const __u64 *p, size_t len)
{
	static struct xmirror_page pages[PAGES(LEN)];
	size_t i, n = 0;

	if (xm_snapshot(fd, p, len, pages))
		return ~0UL;
	for (i = 0; i < PAGES(len); i++)
		n += !!(pages[i].cpu & XMIRROR_CPU_PRIVATE);
	return n;
}

FIXTURE_SETUP(overcommit)
{
	struct xmirror_stats s;
	char params[64];

	self->fd = -1;
	NEED(XMIRROR_CAP_PRIVATE);
	if (DEVICE > 64UL << 20)
		XM_SKIP(return, "there are no small devices: a huge page has %lu MiB",
			XM_PMD >> 20);
	if (!modules_at_hand())
		XM_SKIP(return, MODULES_WHY);
	snprintf(params, sizeof(params), "devices=2 engines=2 devmem_mb=%lu",
		 DEVICE >> 20);
	ASSERT_EQ(0, modules_with(&self->was, params));
	OPEN(self->fd, 0);
	ASSERT_EQ(0, xm_stats(self->fd, &s));
	ASSERT_EQ(PAGES(DEVICE), s.devmem_pages);
	ASSERT_EQ(PAGES(DEVICE), s.devmem_free);
	self->p = fill(variant->advice);
	ASSERT_NE(NULL, self->p);
}

FIXTURE_TEARDOWN(overcommit)
{
	if (self->fd >= 0) {
		EXPECT_CLEAN(self->fd);
		munmap(self->p, LEN);
		EXPECT_EQ(PAGES(DEVICE), xm_devmem_free(self->fd));
		close(self->fd);
	}
	EXPECT_EQ(0, modules_back(&self->was))
		TH_LOG("xmirror_test %s", self->was.test_params);
}

/* covers: G.overcommit */
TEST_F(overcommit, four_times)
{
	struct xmirror_cmd cmd = xm_cmds(XMIRROR_OP_ADD, 8, self->p, XM_PAGE,
					 PAGES(LEN), 1);
	struct xmirror_stats before, after;
	unsigned int tries = 0;
	__u64 moved;

	/* A page that compaction has isolated at that moment stays. */
	do {
		ASSERT_EQ(0, xm_migrate(self->fd, self->p, LEN,
					XMIRROR_MIGRATE_TO_SYSTEM, 0, NULL));
		ASSERT_EQ(0, xm_stats(self->fd, &before));
		ASSERT_EQ(0, xm_migrate(self->fd, self->p, LEN, 0, 0, &moved));
		ASSERT_EQ(0, xm_stats(self->fd, &after));
	} while (moved < PAGES(LEN) && ++tries < 10);
	EXPECT_EQ(PAGES(LEN), moved);
	EXPECT_EQ(PAGES(LEN - DEVICE),
		  after.devmem_evicted - before.devmem_evicted);
	EXPECT_EQ(PAGES(DEVICE), on_device(self->fd, self->p, LEN));
	/* The last pages stay. */
	EXPECT_EQ(PAGES(DEVICE), on_device(self->fd, self->p + (LEN - DEVICE) / 8,
					   DEVICE));
	/* The device works on all pages, wherever they are. */
	ASSERT_EQ(0, xm_run(self->fd, &cmd, NULL));
	EXPECT_EQ(0, wrong(self->p, 1));
	EXPECT_EQ(PAGES(DEVICE), xm_devmem_free(self->fd));
}

/* Pages that are there already evict no others. */
/* covers: G.overcommit */
TEST_F(overcommit, what_is_there_stays)
{
	struct xmirror_stats before, after;
	__u64 moved;

	ASSERT_EQ(0, xm_migrate(self->fd, self->p, DEVICE, 0, 0, &moved));
	ASSERT_EQ(PAGES(DEVICE), moved);
	ASSERT_EQ(0, xm_stats(self->fd, &before));
	EXPECT_EQ(0, before.devmem_free);
	EXPECT_EQ(0, xm_migrate(self->fd, self->p, DEVICE, 0, 0, &moved));
	EXPECT_EQ(0, moved);
	ASSERT_EQ(0, xm_stats(self->fd, &after));
	EXPECT_EQ(before.devmem_evicted, after.devmem_evicted);
	EXPECT_EQ(PAGES(DEVICE), on_device(self->fd, self->p, DEVICE));
}

/* Of two blocks the one is evicted that the device has not worked on since. */
/* covers: G.overcommit */
TEST_F(overcommit, least_recently_used_goes)
{
	unsigned int used;

	if (DEVICE < 2 * XM_PMD)
		XM_SKIP(return, "the device has one block only");
	for (used = 0; used < 2; used++) {
		__u64 *block[] = { self->p, self->p + XM_2M / 8 };
		__u64 *third = self->p + 2 * XM_2M / 8, moved, seen;

		ASSERT_EQ(0, xm_migrate(self->fd, block[0], XM_2M, 0, 0,
					&moved));
		EXPECT_EQ(PAGES(XM_2M), moved);
		ASSERT_EQ(0, xm_migrate(self->fd, block[1], XM_2M, 0, 0,
					&moved));
		EXPECT_EQ(PAGES(XM_2M), moved);
		EXPECT_EQ(0, xm_devmem_free(self->fd));
		ASSERT_EQ(0, xm_read(self->fd, block[used], &seen, 8));
		ASSERT_EQ(0, xm_migrate(self->fd, third, XM_2M, 0, 0, &moved));
		EXPECT_EQ(PAGES(XM_2M), moved);
		EXPECT_EQ(PAGES(XM_2M), on_device(self->fd, block[used], XM_2M));
		EXPECT_EQ(0, on_device(self->fd, block[!used], XM_2M));
		EXPECT_EQ(PAGES(XM_2M), on_device(self->fd, third, XM_2M));
		EXPECT_EQ(0, wrong(self->p, 0));
		EXPECT_EQ(PAGES(DEVICE), xm_devmem_free(self->fd));
	}
}

/* Another process owns all of the device's memory, which is evicted for this one. */
static int has_it_all(struct child *c, void *arg)
{
	__u64 *p = fill(*(int *)arg), moved;
	int fd = xm_open(0);

	CHILD_CHECK(p && fd >= 0);
	CHILD_CHECK(!xm_migrate(fd, p, DEVICE, 0, 0, &moved));
	CHILD_CHECK(moved == PAGES(DEVICE));
	CHILD_CHECK(!child_tell(c, 'm'));
	CHILD_CHECK(child_hear(c) == 'g');
	CHILD_CHECK(!on_device(fd, p, DEVICE));
	CHILD_CHECK(!wrong(p, 0));
	CHILD_CHECK(!xm_violations(fd, NULL, 0));
	return 0;
}

/* covers: G.overcommit */
TEST_F(overcommit, of_another_process)
{
	int advice = variant->advice;
	struct child c;
	__u64 moved, *p;

	ASSERT_EQ(0, child_start(&c, has_it_all, &advice));
	ASSERT_EQ('m', child_hear(&c));
	/* Memory that the child does not share */
	p = fill(advice);
	ASSERT_NE(NULL, p);
	ASSERT_EQ(0, xm_migrate(self->fd, p, DEVICE, 0, 0, &moved));
	EXPECT_EQ(PAGES(DEVICE), moved);
	EXPECT_EQ(PAGES(DEVICE), on_device(self->fd, p, DEVICE));
	EXPECT_EQ(0, child_tell(&c, 'g'));
	EXPECT_EQ(0, child_end(&c));
	EXPECT_EQ(0, wrong(p, 0));
	munmap(p, LEN);
}

#define ROUNDS	2

static int to_and_fro(struct worker *w)
{
	__u64 moved;
	int i, err;

	for (i = 0; i < ROUNDS; i++) {
		struct xmirror_cmd cmd = xm_cmds(XMIRROR_OP_ADD, 8, w->addr,
						 XM_PAGE, PAGES(w->len), 1);

		err = xm_migrate(w->fd, w->addr, w->len, 0, 0, &moved);
		if (!err)
			err = xm_run(w->fd, &cmd, NULL);
		if (err)
			return err;
	}
	return 0;
}

/* Two processes, each with twice as much memory as the device has */
/* covers: G.overcommit */
TEST_F(overcommit, side_by_side)
{
	struct worker other = {
		.fn = to_and_fro, .fd = self->fd,
		.addr = self->p, .len = LEN / 2,
	};
	struct worker own = other;

	/* A huge page without room in the device stays one, and is made exclusive. */
	if (variant->advice == MADV_HUGEPAGE)
		NEED(XMIRROR_CAP_EXCLUSIVE_LARGE);
	own.addr = self->p + LEN / 2 / 8;
	ASSERT_EQ(0, worker_start(&other));
	EXPECT_EQ(0, to_and_fro(&own));
	EXPECT_EQ(0, worker_join(&other));
	EXPECT_EQ(0, wrong(self->p, ROUNDS));
}

TEST_HARNESS_MAIN
