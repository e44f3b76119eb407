// SPDX-License-Identifier: GPL-2.0
/*
 * fork() and exclusive pages: when fork() returns, neither parent nor child has an
 * exclusive entry, both have the data of that moment, each writes privately, and
 * the device goes on with the parent's page, never with the child's.
 */
#include <sched.h>

#include "test.h"

#define PAGES	8UL
#define SIZE	(PAGES * XM_PAGE)
#define WORDS	XM_WORDS

FIXTURE(fork) {
	int fd;
	__u64 *w;
};

FIXTURE_SETUP(fork)
{
	__u64 i;

	OPEN(self->fd, 0);
	self->w = xm_anon(SIZE);
	ASSERT_NE(NULL, self->w);
	NEED(XMIRROR_CAP_EXCLUSIVE);
	for (i = 0; i < PAGES; i++)
		self->w[i * WORDS] = 100 + i;
	ASSERT_EQ(0, xm_exclusive(self->fd, self->w, SIZE, NULL));
	for (i = 0; i < PAGES; i++) {
		ASSERT_EQ(0, xm_add(self->fd, self->w + i * WORDS, 1000));
	}
	ASSERT_EQ(PAGES, xm_count_exclusive(self->w, SIZE));
}

FIXTURE_TEARDOWN(fork)
{
	EXPECT_CLEAN(self->fd);
	close(self->fd);
}

/* The data that fork() copied */
#define THEN(i)		(1100 + (i))

static bool all_are(__u64 *w, __u64 plus)
{
	__u64 i;

	for (i = 0; i < PAGES; i++) {
		if (XM_LOAD(w + i * WORDS) != THEN(i) + plus) {
			dprintf(2, "# page %llu: %llu, not %llu\n", i,
				XM_LOAD(w + i * WORDS), THEN(i) + plus);
			return false;
		}
	}
	return true;
}

/* The order of the writers, and the data that the child sees after every step */

static int child_reads(struct child *c, void *arg)
{
	__u64 *w = arg;

	CHILD_CHECK(!xm_count_exclusive(w, SIZE));
	CHILD_CHECK(xm_is_present(w));
	while (child_hear(c) == 'l') {
		CHILD_CHECK(all_are(w, 0));
		CHILD_CHECK(!child_tell(c, 'k'));
	}
	return 0;
}

#define CHILD_STILL_FINE(c) \
	do { \
		ASSERT_EQ(0, child_tell((c), 'l')); \
		ASSERT_EQ('k', child_hear(c)); \
	} while (0)

/* Just after fork() both processes have no exclusive entry. */
/* covers: E.data */
TEST_F(fork, ends_exclusive)
{
	struct xmirror_stats before, after;
	struct child c;
	size_t i;

	ASSERT_EQ(0, xm_stats(self->fd, &before));
	ASSERT_EQ(0, child_start(&c, child_reads, self->w));
	EXPECT_EQ(0, xm_count_exclusive(self->w, SIZE));
	ASSERT_EQ(0, xm_stats(self->fd, &after));
	EXPECT_EQ(PAGES, after.excl_lost - before.excl_lost);
	EXPECT_GE(after.inv[XM_EV_PROTECTION_PAGE],
		  before.inv[XM_EV_PROTECTION_PAGE] + 1);
	EXPECT_CLEAN(self->fd);
	for (i = 0; i < PAGES; i++) {
		EXPECT_EQ(0, xm_page(self->fd, self->w + i * WORDS).dev &
			     (XMIRROR_PTE_WRITE | XMIRROR_PTE_EXCLUSIVE));
		EXPECT_TRUE(xm_is_present(self->w + i * WORDS));
	}
	EXPECT_TRUE(all_are(self->w, 0));
	CHILD_STILL_FINE(&c);
	ASSERT_EQ(0, child_tell(&c, 'e'));
	EXPECT_EQ(0, child_end(&c));
}

/* covers: E.writes */
TEST_F(fork, device_writes_first)
{
	__u64 pfn[PAGES], i;
	struct child c;

	for (i = 0; i < PAGES; i++)
		pfn[i] = xm_pfn(self->w + i * WORDS);
	ASSERT_EQ(0, child_start(&c, child_reads, self->w));
	for (i = 0; i < PAGES; i++) {
		ASSERT_EQ(0, xm_add(self->fd, self->w + i * WORDS, 1));
		EXPECT_LEAF(self->fd, self->w + i * WORDS, LEAF_EXCL);
		/* The child is alive and keeps the old page. */
		EXPECT_NE(pfn[i], xm_pfn(self->w + i * WORDS));
	}
	CHILD_STILL_FINE(&c);
	EXPECT_TRUE(all_are(self->w, 1));
	CHILD_STILL_FINE(&c);
	for (i = 0; i < PAGES; i++) {
		ASSERT_EQ(0, xm_add(self->fd, self->w + i * WORDS, 1));
	}
	CHILD_STILL_FINE(&c);
	ASSERT_EQ(0, child_tell(&c, 'e'));
	EXPECT_EQ(0, child_end(&c));
	EXPECT_TRUE(all_are(self->w, 2));
}

/* With plain stores, through a writable leaf that is not exclusive */
/* covers: E.writes */
TEST_F(fork, device_stores_first)
{
	struct child c;
	__u64 i;

	ASSERT_EQ(0, child_start(&c, child_reads, self->w));
	for (i = 0; i < PAGES; i++) {
		ASSERT_EQ(0, xm_op(self->fd, XMIRROR_OP_STORE, 8,
				   self->w + i * WORDS, THEN(i) + 5, NULL));
		EXPECT_LEAF(self->fd, self->w + i * WORDS, LEAF_WRITE);
	}
	CHILD_STILL_FINE(&c);
	EXPECT_TRUE(all_are(self->w, 5));
	ASSERT_EQ(0, child_tell(&c, 'e'));
	EXPECT_EQ(0, child_end(&c));
}

/* The device reads the shared page, then writes: its leaf has to move to the copy. */
TEST_F(fork, device_reads_then_writes)
{
	__u64 value = 0, pfn;
	struct child c;

	ASSERT_EQ(0, child_start(&c, child_reads, self->w));
	ASSERT_EQ(0, xm_op(self->fd, XMIRROR_OP_LOAD, 8, self->w, 0, &value));
	EXPECT_EQ(THEN(0), value);
	EXPECT_LEAF(self->fd, self->w, LEAF_READ);
	pfn = xm_pfn(self->w);
	EXPECT_CLEAN(self->fd);
	ASSERT_EQ(0, xm_add(self->fd, self->w, 1));
	EXPECT_LEAF(self->fd, self->w, LEAF_EXCL);
	EXPECT_NE(pfn, xm_pfn(self->w));
	CHILD_STILL_FINE(&c);
	EXPECT_EQ(THEN(0) + 1, *self->w);
	ASSERT_EQ(0, child_tell(&c, 'e'));
	EXPECT_EQ(0, child_end(&c));
}

/* covers: E.writes */
TEST_F(fork, parent_writes_first)
{
	struct child c;
	__u64 i;

	ASSERT_EQ(0, child_start(&c, child_reads, self->w));
	for (i = 0; i < PAGES; i++)
		XM_ADD(self->w + i * WORDS, 10);
	CHILD_STILL_FINE(&c);
	for (i = 0; i < PAGES; i++) {
		ASSERT_EQ(0, xm_add(self->fd, self->w + i * WORDS, 1));
		EXPECT_LEAF(self->fd, self->w + i * WORDS, LEAF_EXCL);
	}
	CHILD_STILL_FINE(&c);
	EXPECT_TRUE(all_are(self->w, 11));
	CHILD_STILL_FINE(&c);
	ASSERT_EQ(0, child_tell(&c, 'e'));
	EXPECT_EQ(0, child_end(&c));
}

static int child_writes(struct child *c, void *arg)
{
	__u64 *w = arg, i;

	CHILD_CHECK(all_are(w, 0));
	for (i = 0; i < PAGES; i++)
		XM_STORE(w + i * WORDS, 0xc0ffee00 + i);
	CHILD_CHECK(!child_tell(c, 'w'));
	while (child_hear(c) == 'l') {
		for (i = 0; i < PAGES; i++)
			CHILD_CHECK(XM_LOAD(w + i * WORDS) == 0xc0ffee00 + i);
		CHILD_CHECK(!child_tell(c, 'k'));
	}
	return 0;
}

/* covers: E.writes */
TEST_F(fork, child_writes_first)
{
	struct child c;
	__u64 i;

	ASSERT_EQ(0, child_start(&c, child_writes, self->w));
	ASSERT_EQ('w', child_hear(&c));
	EXPECT_TRUE(all_are(self->w, 0));
	for (i = 0; i < PAGES; i++) {
		ASSERT_EQ(0, xm_add(self->fd, self->w + i * WORDS, 1));
		EXPECT_LEAF(self->fd, self->w + i * WORDS, LEAF_EXCL);
	}
	CHILD_STILL_FINE(&c);
	EXPECT_TRUE(all_are(self->w, 1));
	for (i = 0; i < PAGES; i++)
		XM_ADD(self->w + i * WORDS, 1);
	CHILD_STILL_FINE(&c);
	ASSERT_EQ(0, child_tell(&c, 'e'));
	EXPECT_EQ(0, child_end(&c));
	EXPECT_TRUE(all_are(self->w, 2));
}

/* Device and child write at once; so do device, parent and child. */
/* covers: E.writes */
TEST_F(fork, all_write)
{
	struct xmirror_cmd cmd = xm_cmds(XMIRROR_OP_ADD, 8, self->w, XM_PAGE,
					 PAGES, 1);
	__u32 engines = xm_facts()->engines;
	struct child c;
	__u64 fence, i, n;

	for (n = 0; n < 20; n++) {
		ASSERT_EQ(0, xm_submit(self->fd, n % engines, &cmd, 1, 100, &fence));
		ASSERT_EQ(0, xm_wait(self->fd, fence, XM_LONG, NULL));
		for (i = 0; i < PAGES; i++)
			XM_ADD(self->w + i * WORDS, -100);
		/* the value that child_writes() expects */
		ASSERT_EQ(0, child_start(&c, child_writes, self->w));
		ASSERT_EQ(0, xm_submit(self->fd, n % engines, &cmd, 1, 100, &fence));
		for (i = 0; i < PAGES; i++)
			XM_ADD(self->w + i * WORDS, 7);
		ASSERT_EQ(0, xm_wait(self->fd, fence, XM_LONG, NULL));
		ASSERT_EQ('w', child_hear(&c));
		CHILD_STILL_FINE(&c);
		EXPECT_TRUE(all_are(self->w, 107));
		for (i = 0; i < PAGES; i++)
			XM_ADD(self->w + i * WORDS, -107);
		ASSERT_EQ(0, child_tell(&c, 'e'));
		ASSERT_EQ(0, child_end(&c));
	}
}

/* After the end of the child the device may have the parent's page without a copy. */
TEST_F(fork, after_the_child)
{
	struct child c;
	__u64 i;

	ASSERT_EQ(0, child_start(&c, child_reads, self->w));
	ASSERT_EQ(0, child_tell(&c, 'e'));
	ASSERT_EQ(0, child_end(&c));
	for (i = 0; i < PAGES; i++) {
		ASSERT_EQ(0, xm_add(self->fd, self->w + i * WORDS, 1));
		EXPECT_LEAF(self->fd, self->w + i * WORDS, LEAF_EXCL);
	}
	EXPECT_EQ(PAGES, xm_count_exclusive(self->w, SIZE));
	EXPECT_TRUE(all_are(self->w, 1));
}

/*
 * With engines at work: words A and B, on two pages, are counted up in turns.
 * At whatever moment fork() stops the device, the child has A = B or A = B + 1.
 */

#define ENGINES	4

static int child_consistent(struct child *c, void *arg)
{
	__u64 *w = arg, first[2 * ENGINES], i, n;

	for (i = 0; i < 2 * ENGINES; i++)
		first[i] = XM_LOAD(w + i * WORDS);
	for (i = 0; i < 2 * ENGINES; i += 2)
		CHILD_CHECK(first[i] == first[i + 1] ||
			    first[i] == first[i + 1] + 1);
	CHILD_CHECK(!child_tell(c, 'r'));
	/* The data stays the same, whatever the parent does. */
	CHILD_CHECK(child_hear(c) == 'l');
	for (n = 0; n < 100; n++) {
		for (i = 0; i < 2 * ENGINES; i++)
			CHILD_CHECK(XM_LOAD(w + i * WORDS) == first[i]);
	}
	CHILD_CHECK(!xm_count_exclusive(w, SIZE));
	/* The writes of the child do not matter either. */
	for (i = 0; i < 2 * ENGINES; i++)
		XM_STORE(w + i * WORDS, ~0ULL);
	CHILD_CHECK(!child_tell(c, 'w'));
	CHILD_CHECK(child_hear(c) == 'e');
	for (i = 0; i < 2 * ENGINES; i++)
		CHILD_CHECK(XM_LOAD(w + i * WORDS) == ~0ULL);
	return 0;
}

/* covers: E.data */
TEST_F(fork, consistent_snapshot)
{
	__u64 fences[ENGINES], start, now, i, round;
	struct xmirror_wait w;
	struct child c;

	memset(self->w, 0, SIZE);
	for (i = 0; i < ENGINES; i++) {
		struct xmirror_cmd cmds[] = {
			xm_cmd(XMIRROR_OP_ADD, 8, self->w + 2 * i * WORDS, 1),
			xm_cmd(XMIRROR_OP_ADD, 8,
			       self->w + (2 * i + 1) * WORDS, 1),
		};

		ASSERT_EQ(0, xm_submit(self->fd, i, cmds, 2, ~0ULL,
				       &fences[i]));
	}
	for (round = 0; round < 15; round++) {
		ASSERT_EQ(0, child_start(&c, child_consistent, self->w));
		ASSERT_EQ('r', child_hear(&c));
		/* The device goes on for the parent. */
		for (i = 0; i < ENGINES; i++) {
			now = XM_LOAD(self->w + 2 * i * WORDS);
			start = xm_now_ns();
			while (XM_LOAD(self->w + 2 * i * WORDS) == now) {
				ASSERT_FALSE(xm_expired(start, XM_LONG));
				sched_yield();
			}
		}
		ASSERT_EQ(0, child_tell(&c, 'l'));
		ASSERT_EQ('w', child_hear(&c));
		ASSERT_EQ(0, child_tell(&c, 'e'));
		ASSERT_EQ(0, child_end(&c));
	}
	for (i = 0; i < ENGINES; i++) {
		ASSERT_EQ(0, xm_cancel(self->fd, fences[i], &w));
		EXPECT_EQ(-ECANCELED, w.status);
		EXPECT_EQ(w.ops, self->w[2 * i * WORDS] +
				 self->w[(2 * i + 1) * WORDS]);
		EXPECT_LE(self->w[2 * i * WORDS] -
			  self->w[(2 * i + 1) * WORDS], 1);
	}
}

/* The parent increments the same words before, during and after. */
static int cpu_adds(struct worker *w)
{
	__u64 *p = w->addr, i;

	for (i = 0; !XM_LOAD(&w->stop); i++)
		XM_ADD(p + i % PAGES * WORDS, 1);
	w->done = i;
	return 0;
}

TEST_F(fork, counting_through_forks)
{
	struct xmirror_cmd cmd = xm_cmds(XMIRROR_OP_ADD, 8, self->w, XM_PAGE,
					 PAGES, 1);
	struct worker cpu = { .fn = cpu_adds, .addr = self->w };
	__u64 fences[ENGINES], sum = 0, want, i;
	int forks;
	struct child c;

	memset(self->w, 0, SIZE);
	for (i = 0; i < ENGINES; i++) {
		ASSERT_EQ(0, xm_submit(self->fd, i, &cmd, 1, 1000, &fences[i]));
	}
	ASSERT_EQ(0, worker_start(&cpu));
	/* Children of a process with threads may do next to nothing. */
	for (forks = 0; forks < 30; forks++) {
		c.pid = fork();
		ASSERT_GE(c.pid, 0) {
			TH_LOG("fork %d: %s", forks, strerror(errno));
		}
		if (!c.pid) {
			for (i = 0; i < PAGES; i++)
				XM_ADD(self->w + i * WORDS, 1000000);
			_exit(0);
		}
		ASSERT_EQ(c.pid, waitpid(c.pid, NULL, 0));
	}
	XM_STORE(&cpu.stop, true);
	EXPECT_EQ(0, worker_join(&cpu));
	for (i = 0; i < ENGINES; i++) {
		EXPECT_EQ(0, xm_wait(self->fd, fences[i], XM_LONG, NULL));
	}
	for (i = 0; i < PAGES; i++)
		sum += self->w[i * WORDS];
	want = ENGINES * 1000 * PAGES + cpu.done;
	EXPECT_EQ(want, sum);
}

/* A range is made exclusive over and over while the process forks. */
static int keep_exclusive(struct worker *w)
{
	int err = 0;

	while (!err && !XM_LOAD(&w->stop))
		err = xm_exclusive(w->fd, w->addr, w->len, NULL);
	return err;
}

TEST_F(fork, forks_while_making)
{
	struct worker t = {
		.fn = keep_exclusive,
		.fd = self->fd,
		.len = 64 * XM_PAGE,
		.addr = xm_anon(64 * XM_PAGE),
	};
	int i, failed = 0;
	pid_t pid;

	ASSERT_NE(NULL, t.addr);
	memset(t.addr, 1, t.len);
	ASSERT_EQ(0, worker_start(&t));
	for (i = 0; i < 50; i++) {
		pid = fork();
		if (!pid)
			_exit(0);
		if (pid < 0) {
			failed++;
			continue;
		}
		ASSERT_EQ(pid, waitpid(pid, NULL, 0));
	}
	XM_STORE(&t.stop, true);
	EXPECT_EQ(0, worker_join(&t));
	/* The folio is not locked when fork() meets the entry. */
	EXPECT_EQ(0, failed);
}

/* Ways to start a child without copying the pages */

static int in_the_same_mm(void *arg)
{
	FIXTURE_DATA(fork) *self = arg;
	__u64 i;

	for (i = 0; i < PAGES; i++) {
		if (!xm_is_exclusive(self->w + i * WORDS))
			return 1;
	}
	/* The same mm, so the file may be used. */
	return xm_add(self->fd, self->w, 1) ? 2 : 0;
}

/* covers: E.advice */
TEST_F(fork, vfork)
{
	size_t room = 256 * 1024;
	struct xmirror_stats before, after;
	char *stack = xm_anon(room);
	int status = -1;
	pid_t pid;

	ASSERT_NE(NULL, stack);
	memset(stack, 0, room);
	ASSERT_EQ(0, xm_stats(self->fd, &before));
	pid = clone(in_the_same_mm, stack + room,
		    CLONE_VM | CLONE_VFORK | SIGCHLD, self);
	ASSERT_GT(pid, 0);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	ASSERT_EQ(0, xm_stats(self->fd, &after));
	EXPECT_EQ(before.excl_lost, after.excl_lost);
	EXPECT_EQ(PAGES, xm_count_exclusive(self->w, SIZE));
	EXPECT_EQ(THEN(0) + 1, *self->w);
}

static int child_without(struct child *c, void *arg)
{
	unsigned char vec[PAGES];

	(void)c;
	CHILD_CHECK(mincore(arg, SIZE, vec) == -1);
	CHILD_CHECK(errno == ENOMEM);
	return 0;
}

/* covers: E.advice */
TEST_F(fork, dontfork)
{
	struct xmirror_stats before, after;
	struct child c;

	ASSERT_EQ(0, madvise(self->w, SIZE, MADV_DONTFORK));
	ASSERT_EQ(PAGES, xm_count_exclusive(self->w, SIZE));
	ASSERT_EQ(0, xm_stats(self->fd, &before));
	ASSERT_EQ(0, child_start(&c, child_without, self->w));
	EXPECT_EQ(PAGES, xm_count_exclusive(self->w, SIZE));
	ASSERT_EQ(0, xm_stats(self->fd, &after));
	EXPECT_EQ(before.excl_lost, after.excl_lost);
	EXPECT_LEAF(self->fd, self->w, LEAF_EXCL);
	EXPECT_EQ(0, xm_add(self->fd, self->w, 1));
	EXPECT_EQ(0, child_end(&c));
	EXPECT_EQ(THEN(0) + 1, *self->w);
}

static int child_wiped(struct child *c, void *arg)
{
	__u64 *w = arg, i;

	(void)c;
	for (i = 0; i < PAGES; i++)
		CHILD_CHECK(XM_LOAD(w + i * WORDS) == 0);
	for (i = 0; i < PAGES; i++)
		XM_STORE(w + i * WORDS, 1);
	return 0;
}

/* covers: E.advice */
TEST_F(fork, wipeonfork)
{
	struct child c;
	__u64 i;

	ASSERT_EQ(0, madvise(self->w, SIZE, MADV_WIPEONFORK));
	ASSERT_EQ(PAGES, xm_count_exclusive(self->w, SIZE));
	ASSERT_EQ(0, child_start(&c, child_wiped, self->w));
	EXPECT_EQ(PAGES, xm_count_exclusive(self->w, SIZE));
	EXPECT_LEAF(self->fd, self->w, LEAF_EXCL);
	for (i = 0; i < PAGES; i++) {
		ASSERT_EQ(0, xm_add(self->fd, self->w + i * WORDS, 1));
	}
	EXPECT_EQ(0, child_end(&c));
	EXPECT_TRUE(all_are(self->w, 1));
}

/* A child with a mirror of its own works on its own pages. */
static int child_mirrors(struct child *c, void *arg)
{
	__u64 *w = arg, i;
	int fd = xm_open(0);

	CHILD_CHECK(fd >= 0);
	for (i = 0; i < PAGES; i++)
		CHILD_CHECK(!xm_add(fd, w + i * WORDS, 1000000));
	CHILD_CHECK(xm_count_exclusive(w, SIZE) == PAGES);
	CHILD_CHECK(!child_tell(c, 'd'));
	CHILD_CHECK(child_hear(c) == 'l');
	CHILD_CHECK(xm_count_exclusive(w, SIZE) == PAGES);
	CHILD_CHECK(all_are(w, 1000000));
	CHILD_CHECK(!xm_violations(fd, NULL, 0));
	return 0;
}

/* covers: E.child */
TEST_F(fork, child_with_a_mirror)
{
	struct child c;
	__u64 i;

	ASSERT_EQ(0, child_start(&c, child_mirrors, self->w));
	ASSERT_EQ('d', child_hear(&c));
	for (i = 0; i < PAGES; i++) {
		ASSERT_EQ(0, xm_add(self->fd, self->w + i * WORDS, 1));
		EXPECT_LEAF(self->fd, self->w + i * WORDS, LEAF_EXCL);
	}
	EXPECT_EQ(PAGES, xm_count_exclusive(self->w, SIZE));
	ASSERT_EQ(0, child_tell(&c, 'l'));
	EXPECT_EQ(0, child_end(&c));
	EXPECT_TRUE(all_are(self->w, 1));
}

/* Grandchildren, each generation with pages of another age */
static int grandchild(struct child *c, void *arg)
{
	__u64 *w = arg;

	(void)c;
	CHILD_CHECK(all_are(w, 50));
	return 0;
}

static int child_forks(struct child *c, void *arg)
{
	__u64 *w = arg, i;
	struct child g;

	CHILD_CHECK(all_are(w, 0));
	for (i = 0; i < PAGES; i++)
		XM_ADD(w + i * WORDS, 50);
	CHILD_CHECK(!child_start(&g, grandchild, w));
	for (i = 0; i < PAGES; i++)
		XM_ADD(w + i * WORDS, 50);
	CHILD_CHECK(!child_end(&g));
	CHILD_CHECK(!child_tell(c, 'f'));
	CHILD_CHECK(child_hear(c) == 'l');
	CHILD_CHECK(all_are(w, 100));
	return 0;
}

TEST_F(fork, grandchild)
{
	struct child c;
	__u64 i;

	ASSERT_EQ(0, child_start(&c, child_forks, self->w));
	for (i = 0; i < PAGES; i++) {
		ASSERT_EQ(0, xm_add(self->fd, self->w + i * WORDS, 1));
	}
	ASSERT_EQ('f', child_hear(&c));
	EXPECT_EQ(PAGES, xm_count_exclusive(self->w, SIZE));
	ASSERT_EQ(0, child_tell(&c, 'l'));
	EXPECT_EQ(0, child_end(&c));
	EXPECT_TRUE(all_are(self->w, 1));
}

/* A page of a huge page, if those can be exclusive */
static int child_thp(struct child *c, void *arg)
{
	__u64 *w = arg;

	CHILD_CHECK(XM_LOAD(w) == 42);
	CHILD_CHECK(XM_LOAD(w + WORDS) == 7);
	CHILD_CHECK(child_hear(c) == 'l');
	CHILD_CHECK(XM_LOAD(w) == 42);
	CHILD_CHECK(XM_LOAD(w + WORDS) == 7);
	return 0;
}

/* covers: G.one_page */
TEST_F(fork, thp)
{
	struct child c;
	char *huge;
	__u64 *w;

	NEED(XMIRROR_CAP_EXCLUSIVE_LARGE);
	huge = xm_thp(self->fd, 0);
	if (!huge)
		XM_SKIP(return, "%s", xm_why_no_thp());
	w = (__u64 *)(huge + 9 * XM_PAGE);
	w[WORDS] = 7;
	ASSERT_EQ(0, xm_add(self->fd, w, 42));
	ASSERT_EQ(0, child_start(&c, child_thp, w));
	EXPECT_EQ(0, xm_count_exclusive(huge, XM_PMD));
	EXPECT_EQ(0, xm_add(self->fd, w, 1));
	EXPECT_EQ(0, xm_add(self->fd, w + WORDS, 1));
	ASSERT_EQ(0, child_tell(&c, 'l'));
	EXPECT_EQ(0, child_end(&c));
	EXPECT_EQ(43, *w);
	EXPECT_EQ(8, w[WORDS]);
}

TEST_HARNESS_MAIN
