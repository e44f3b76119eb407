// SPDX-License-Identifier: GPL-2.0
/*
 * Memory that is unmapped, replaced or moved: when the call returns the device has
 * lost its leaves, and no others.
 */
#include "test.h"

#define PAGES	8UL
#define SIZE	(PAGES * XM_PAGE)
#define WORDS	XM_WORDS
#define ENGINES	4

FIXTURE(unmap) {
	int fd;
	__u64 *w;
};

FIXTURE_SETUP(unmap)
{
	__u64 i;

	OPEN(self->fd, 0);
	self->w = xm_anon(SIZE);
	ASSERT_NE(NULL, self->w);
	NEED(XMIRROR_CAP_EXCLUSIVE);
	for (i = 0; i < PAGES; i++) {
		ASSERT_EQ(0, xm_add(self->fd, self->w + i * WORDS, 100 + i));
	}
	ASSERT_EQ(PAGES, xm_count_exclusive(self->w, SIZE));
}

FIXTURE_TEARDOWN(unmap)
{
	EXPECT_CLEAN(self->fd);
	close(self->fd);
}

TEST_F(unmap, munmap)
{
	struct xmirror_stats s;
	unsigned int op;
	__u64 value;

	ASSERT_EQ(0, munmap(self->w, SIZE));
	ASSERT_EQ(0, xm_stats(self->fd, &s));
	EXPECT_EQ(0, s.leaves);
	EXPECT_EQ(PAGES, s.excl_lost);
	for (op = 0; op < XMIRROR_OP_NR; op++) {
		EXPECT_EQ(-EFAULT, xm_op(self->fd, op, 8, self->w, 1, NULL)) {
			TH_LOG("op %u", op);
		}
	}
	EXPECT_EQ(-EFAULT, xm_read(self->fd, self->w, &value, 8));
	EXPECT_EQ(-EFAULT, xm_fault(self->fd, self->w, SIZE, 0, NULL));
	EXPECT_EQ(-EFAULT, xm_exclusive(self->fd, self->w, SIZE, NULL));
	EXPECT_EQ(0, xm_release(self->fd, self->w, SIZE, NULL));
}

TEST_F(unmap, partial)
{
	__u64 i;

	ASSERT_EQ(0, munmap(self->w + 3 * WORDS, 2 * XM_PAGE));
	for (i = 0; i < PAGES; i++) {
		if (i == 3 || i == 4) {
			EXPECT_LEAF(self->fd, self->w + i * WORDS, LEAF_NONE);
			EXPECT_EQ(-EFAULT, xm_add(self->fd, self->w + i * WORDS,
						  1));
			continue;
		}
		EXPECT_LEAF(self->fd, self->w + i * WORDS, LEAF_EXCL);
		EXPECT_EQ(0, xm_add(self->fd, self->w + i * WORDS, 1));
		EXPECT_TRUE(xm_is_exclusive(self->w + i * WORDS));
		EXPECT_EQ(101 + i, self->w[i * WORDS]);
	}
}

/* Other memory at the same address */
TEST_F(unmap, map_over)
{
	__u64 i;

	ASSERT_EQ(self->w, mmap(self->w, SIZE, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
				0));
	for (i = 0; i < PAGES; i++) {
		EXPECT_LEAF(self->fd, self->w + i * WORDS, LEAF_NONE);
		EXPECT_EQ(0, xm_add(self->fd, self->w + i * WORDS, i));
		EXPECT_EQ(i, self->w[i * WORDS]);
	}
}

TEST_F(unmap, dontneed)
{
	__u64 value = 1, i;

	ASSERT_EQ(0, madvise(self->w, 4 * XM_PAGE, MADV_DONTNEED));
	for (i = 0; i < PAGES; i++) {
		if (i < 4)
			EXPECT_LEAF(self->fd, self->w + i * WORDS, LEAF_NONE);
		else
			EXPECT_LEAF(self->fd, self->w + i * WORDS, LEAF_EXCL);
		EXPECT_EQ(0, xm_op(self->fd, XMIRROR_OP_ADD, 8,
				   self->w + i * WORDS, 1, &value));
		EXPECT_EQ(i < 4 ? 0 : 100 + i, value);
		EXPECT_EQ(i < 4 ? 1 : 101 + i, XM_LOAD(self->w + i * WORDS));
	}
}

/* The entries move and stay exclusive; the leaves do not move. */
TEST_F(unmap, mremap)
{
	__u64 *old = self->w, *new = xm_hole(SIZE), i;

	ASSERT_EQ(new, mremap(old, SIZE, SIZE, MREMAP_MAYMOVE | MREMAP_FIXED,
			      new));
	EXPECT_EQ(PAGES, xm_count_exclusive(new, SIZE));
	for (i = 0; i < PAGES; i++) {
		EXPECT_LEAF(self->fd, old + i * WORDS, LEAF_NONE);
		EXPECT_LEAF(self->fd, new + i * WORDS, LEAF_NONE);
		EXPECT_EQ(-EFAULT, xm_add(self->fd, old + i * WORDS, 1));
	}
	/* The CPU touches one first, the device the others. */
	EXPECT_EQ(100, XM_LOAD(new));
	for (i = 0; i < PAGES; i++) {
		EXPECT_EQ(0, xm_add(self->fd, new + i * WORDS, 1));
		EXPECT_LEAF(self->fd, new + i * WORDS, LEAF_EXCL);
	}
	for (i = 0; i < PAGES; i++) {
		EXPECT_EQ(101 + i, new[i * WORDS]);
	}
}

TEST_F(unmap, mremap_dontunmap)
{
	__u64 *old = self->w, *new, i;

	new = mremap(old, SIZE, SIZE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);
	if (new == MAP_FAILED)
		XM_SKIP(return, "no MREMAP_DONTUNMAP: %s", strerror(errno));
	for (i = 0; i < PAGES; i++) {
		EXPECT_LEAF(self->fd, old + i * WORDS, LEAF_NONE);
		EXPECT_EQ(0, xm_add(self->fd, old + i * WORDS, 5));
		EXPECT_EQ(0, xm_add(self->fd, new + i * WORDS, 1));
		EXPECT_EQ(5, XM_LOAD(old + i * WORDS));
		EXPECT_EQ(101 + i, XM_LOAD(new + i * WORDS));
	}
}

TEST_F(unmap, mremap_in_place)
{
	struct xmirror_stats before, after;
	size_t len = 2 * SIZE;
	__u64 *w = xm_anon(2 * len);

	ASSERT_NE(NULL, w);
	ASSERT_EQ(0, munmap((char *)w + len, len));
	ASSERT_EQ(0, xm_exclusive(self->fd, w, len, NULL));
	ASSERT_EQ(0, xm_stats(self->fd, &before));
	/* grow */
	ASSERT_EQ(w, mremap(w, len, 2 * len, 0));
	ASSERT_EQ(0, xm_stats(self->fd, &after));
	EXPECT_EQ(before.excl_lost, after.excl_lost);
	EXPECT_EQ(2 * PAGES, xm_count_exclusive(w, len));
	/* shrink */
	ASSERT_EQ(w, mremap(w, 2 * len, SIZE, 0));
	EXPECT_EQ(PAGES, xm_count_exclusive(w, SIZE));
	EXPECT_LEAF(self->fd, w + (PAGES - 1) * WORDS, LEAF_EXCL);
	EXPECT_EQ(-EFAULT, xm_add(self->fd, w + PAGES * WORDS, 1));
}

/* Engines at work */

static int start_engines(int fd, __u64 *w, __u64 *fences)
{
	struct xmirror_cmd cmd;
	int i, err = 0;

	for (i = 0; i < ENGINES && !err; i++) {
		/* two engines for each word, pages 0 and 1 */
		cmd = xm_cmds(XMIRROR_OP_ADD, 8, w + i / 2 * WORDS, 0, 100, 1);
		err = xm_submit(fd, i, &cmd, 1, ~0ULL, &fences[i]);
	}
	return err;
}

static bool both_count(__u64 *w)
{
	__u64 start = xm_now_ns(), a = XM_LOAD(w), b = XM_LOAD(w + WORDS);

	while (XM_LOAD(w) == a || XM_LOAD(w + WORDS) == b) {
		if (xm_expired(start, XM_LONG))
			return false;
		sched_yield();
	}
	return true;
}

TEST_F(unmap, munmap_while_counting)
{
	struct xmirror_wait w;
	__u64 fences[ENGINES], i, round;
	__u64 *p;

	for (round = 0; round < 10; round++) {
		p = xm_anon(SIZE);
		ASSERT_NE(NULL, p);
		ASSERT_EQ(0, start_engines(self->fd, p, fences));
		ASSERT_TRUE(both_count(p));
		ASSERT_EQ(0, munmap(p, SIZE));
		/* The new memory at the old address stays empty. */
		ASSERT_EQ(p, mmap(p, SIZE, PROT_READ, MAP_PRIVATE |
				  MAP_ANONYMOUS | MAP_FIXED, -1, 0));
		for (i = 0; i < ENGINES; i++) {
			ASSERT_EQ(0, xm_wait(self->fd, fences[i], XM_LONG, &w));
			EXPECT_TRUE(w.status == -EFAULT ||
				    w.status == -EPERM);
		}
		EXPECT_EQ(0, XM_LOAD(p));
		EXPECT_EQ(0, XM_LOAD(p + WORDS));
		ASSERT_EQ(0, munmap(p, SIZE));
	}
}

/* A move: the new place has every increment that was made before. */
TEST_F(unmap, mremap_while_counting)
{
	struct xmirror_wait w;
	__u64 fences[ENGINES], ops[2], i, round;
	__u64 *p, *to;

	for (round = 0; round < 10; round++) {
		p = xm_anon(SIZE);
		ASSERT_NE(NULL, p);
		to = xm_hole(SIZE);
		ASSERT_EQ(0, start_engines(self->fd, p, fences));
		ASSERT_TRUE(both_count(p));
		ASSERT_EQ(to, mremap(p, SIZE, SIZE,
				     MREMAP_MAYMOVE | MREMAP_FIXED, to));
		ops[0] = 0;
		ops[1] = 0;
		for (i = 0; i < ENGINES; i++) {
			ASSERT_EQ(0, xm_wait(self->fd, fences[i], XM_LONG, &w));
			EXPECT_EQ(-EFAULT, w.status);
			ops[i / 2] += w.ops;
		}
		EXPECT_EQ(ops[0], XM_LOAD(to));
		EXPECT_EQ(ops[1], XM_LOAD(to + WORDS));
		EXPECT_EQ(0, xm_add(self->fd, to, 1));
		EXPECT_EQ(ops[0] + 1, XM_LOAD(to));
		ASSERT_EQ(0, munmap(to, SIZE));
	}
}

/*
 * MADV_DONTNEED under increments: the counters start again from zero, and no job
 * fails. No old value may come back.
 */
TEST_F(unmap, dontneed_while_counting)
{
	__u64 fences[ENGINES], ops = 0, i, round;
	struct xmirror_wait w;
	__u64 *p = xm_anon(SIZE);

	ASSERT_NE(NULL, p);
	ASSERT_EQ(0, start_engines(self->fd, p, fences));
	ASSERT_TRUE(both_count(p));
	/* A mark on the old page */
	for (round = 0; round < 50; round++) {
		XM_STORE(p + 7, ~0ULL);
		XM_STORE(p + WORDS + 7, ~0ULL);
		ASSERT_EQ(0, madvise(p, SIZE, MADV_DONTNEED));
		EXPECT_EQ(0, XM_LOAD(p + 7));
		EXPECT_EQ(0, XM_LOAD(p + WORDS + 7));
		ASSERT_TRUE(both_count(p));
		EXPECT_EQ(0, XM_LOAD(p + 7));
		EXPECT_EQ(0, XM_LOAD(p + WORDS + 7));
	}
	for (i = 0; i < ENGINES; i++) {
		ASSERT_EQ(0, xm_cancel(self->fd, fences[i], &w));
		EXPECT_EQ(-ECANCELED, w.status);
		ops += w.ops;
	}
	EXPECT_GE(ops, XM_LOAD(p) + XM_LOAD(p + WORDS));
}

static int map_over(struct worker *w)
{
	while (!XM_LOAD(&w->stop)) {
		if (mmap(w->addr, w->len, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) !=
		    w->addr)
			return -errno;
		w->done++;
	}
	return 0;
}

/* Memory is replaced in one step again and again: no job finds a hole. */
TEST_F(unmap, map_over_while_counting)
{
	struct worker t = {
		.fn = map_over,
		.addr = xm_anon(SIZE),
		.len = SIZE,
	};
	struct xmirror_cmd cmd = xm_cmds(XMIRROR_OP_ADD, 8, t.addr, XM_PAGE,
					 PAGES, 1);
	__u64 fences[ENGINES], i, holes = 0;
	struct xmirror_wait w;

	ASSERT_NE(NULL, t.addr);
	ASSERT_EQ(0, worker_start_counting(&t, &t.done));
	for (i = 0; i < ENGINES; i++) {
		ASSERT_EQ(0, xm_submit(self->fd, i, &cmd, 1, 200, &fences[i]));
	}
	for (i = 0; i < ENGINES; i++) {
		ASSERT_EQ(0, xm_wait(self->fd, fences[i], XM_LONG, &w));
		holes += w.status == -EFAULT;
		if (w.status != -EFAULT) {
			EXPECT_EQ(0, w.status);
		}
	}
	XM_STORE(&t.stop, true);
	EXPECT_EQ(0, worker_join(&t));
	EXPECT_EQ(0, holes);
	EXPECT_GT(t.done, 0);
	EXPECT_CLEAN(self->fd);
}

/* exit() with all pages exclusive */
static int exit_exclusive(struct child *c, void *arg)
{
	size_t len = XM_PMD;
	char *p = xm_anon(len);
	int fd = xm_open(0);

	(void)c;
	(void)arg;
	CHILD_CHECK(p);
	CHILD_CHECK(fd >= 0);
	CHILD_CHECK(!xm_exclusive(fd, p, len, NULL));
	return 0;
}

TEST_F(unmap, exit)
{
	struct child c;
	int i;

	for (i = 0; i < 5; i++) {
		ASSERT_EQ(0, child_start(&c, exit_exclusive, NULL));
		EXPECT_EQ(0, child_end(&c));
	}
}

TEST_HARNESS_MAIN
