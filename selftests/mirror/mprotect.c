// SPDX-License-Identifier: GPL-2.0
/*
 * mprotect() on pages with leaves: the device has lost a right when the call that
 * takes it returns, and gets it back with the next.
 */
#include "test.h"

#define PAGES	8UL
#define SIZE	(PAGES * XM_PAGE)
#define WORDS	XM_WORDS

#define R	PROT_READ
#define RW	(PROT_READ | PROT_WRITE)
#define RWX	(PROT_READ | PROT_WRITE | PROT_EXEC)

FIXTURE(mprotect) {
	int fd;
	__u64 *w;
};

FIXTURE_SETUP(mprotect)
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

FIXTURE_TEARDOWN(mprotect)
{
	EXPECT_CLEAN(self->fd);
	close(self->fd);
}

TEST_F(mprotect, read_only)
{
	__u64 value = 0;
	unsigned int op;

	ASSERT_EQ(0, mprotect(self->w, SIZE, R));
	EXPECT_EQ(0, xm_page(self->fd, self->w).dev &
		     (XMIRROR_PTE_WRITE | XMIRROR_PTE_EXCLUSIVE));
	EXPECT_CLEAN(self->fd);
	for (op = XMIRROR_OP_STORE; op < XMIRROR_OP_NR; op++) {
		EXPECT_EQ(-EPERM, xm_op(self->fd, op, 8, self->w, 3, NULL)) {
			TH_LOG("op %u", op);
		}
	}
	EXPECT_EQ(-EPERM, xm_write(self->fd, self->w, &value, 8));
	EXPECT_EQ(-EPERM, xm_exclusive(self->fd, self->w, SIZE, NULL));
	EXPECT_EQ(-EPERM, xm_fault(self->fd, self->w, SIZE, XMIRROR_FAULT_WRITE,
				   NULL));
	EXPECT_EQ(0, xm_op(self->fd, XMIRROR_OP_LOAD, 8, self->w, 0, &value));
	EXPECT_EQ(100, value);
	EXPECT_EQ(100, *self->w);
	EXPECT_EQ(0, xm_page(self->fd, self->w).dev & XMIRROR_PTE_WRITE);
	ASSERT_EQ(0, mprotect(self->w, SIZE, RW));
	EXPECT_EQ(0, xm_add(self->fd, self->w, 1));
	EXPECT_LEAF(self->fd, self->w, LEAF_EXCL);
	EXPECT_EQ(101, *self->w);
}

/* covers: D10 */
TEST_F(mprotect, none)
{
	__u64 value = 77;

	ASSERT_EQ(0, mprotect(self->w, SIZE, PROT_NONE));
	EXPECT_LEAF(self->fd, self->w, LEAF_NONE);
	EXPECT_EQ(-EFAULT, xm_op(self->fd, XMIRROR_OP_LOAD, 8, self->w, 0,
				 NULL));
	EXPECT_EQ(-EFAULT, xm_op(self->fd, XMIRROR_OP_STORE, 8, self->w, 0,
				 NULL));
	EXPECT_EQ(-EFAULT, xm_add(self->fd, self->w, 1));
	EXPECT_EQ(-EFAULT, xm_read(self->fd, self->w, &value, 8));
	EXPECT_EQ(77, value);
	ASSERT_EQ(0, mprotect(self->w, SIZE, R));
	EXPECT_EQ(0, xm_op(self->fd, XMIRROR_OP_LOAD, 8, self->w, 0, &value));
	EXPECT_EQ(100, value);
	EXPECT_EQ(-EPERM, xm_add(self->fd, self->w, 1));
	ASSERT_EQ(0, mprotect(self->w, SIZE, RW));
	EXPECT_EQ(0, xm_add(self->fd, self->w, 1));
	EXPECT_EQ(101, *self->w);
}

/* Rights taken and given back before the next access */
TEST_F(mprotect, there_and_back)
{
	__u64 i;

	ASSERT_EQ(0, mprotect(self->w, SIZE, R));
	ASSERT_EQ(0, mprotect(self->w, SIZE, RW));
	EXPECT_CLEAN(self->fd);
	for (i = 0; i < PAGES; i++) {
		EXPECT_EQ(100 + i, XM_LOAD(self->w + i * WORDS));
		XM_ADD(self->w + i * WORDS, 1);
		ASSERT_EQ(0, xm_add(self->fd, self->w + i * WORDS, 1));
	}
	ASSERT_EQ(0, mprotect(self->w, SIZE, PROT_NONE));
	ASSERT_EQ(0, mprotect(self->w, SIZE, RW));
	for (i = 0; i < PAGES; i++) {
		ASSERT_EQ(0, xm_add(self->fd, self->w + i * WORDS, 1));
		EXPECT_EQ(103 + i, XM_LOAD(self->w + i * WORDS));
	}
}

/* Only the middle; both neighbours stay exclusive, and with their leaves. */
TEST_F(mprotect, partial)
{
	__u64 i;

	ASSERT_EQ(0, mprotect(self->w + 3 * WORDS, 2 * XM_PAGE, R));
	for (i = 0; i < PAGES; i++) {
		bool hit = i == 3 || i == 4;

		if (hit)
			EXPECT_LEAF(self->fd, self->w + i * WORDS, LEAF_NONE);
		else
			EXPECT_LEAF(self->fd, self->w + i * WORDS, LEAF_EXCL);
		EXPECT_EQ(hit ? -EPERM : 0,
			  xm_add(self->fd, self->w + i * WORDS, 1));
		if (!hit) {
			EXPECT_TRUE(xm_is_exclusive(self->w + i * WORDS));
		}
	}
	for (i = 0; i < PAGES; i++) {
		EXPECT_EQ(i == 3 || i == 4 ? 100 + i : 101 + i,
			  XM_LOAD(self->w + i * WORDS));
	}
}

/* The same bits again cost no entry and no leaf. */
TEST_F(mprotect, same_bits)
{
	struct xmirror_stats before, after;
	int i;

	ASSERT_EQ(0, xm_stats(self->fd, &before));
	for (i = 0; i < 10; i++) {
		ASSERT_EQ(0, mprotect(self->w, SIZE, RW));
	}
	ASSERT_EQ(0, xm_stats(self->fd, &after));
	EXPECT_EQ(before.leaves, after.leaves);
	EXPECT_EQ(PAGES, xm_count_exclusive(self->w, SIZE));
	EXPECT_EQ(0, xm_add(self->fd, self->w, 1));
	EXPECT_EQ(101, *self->w);
}

/* A job stops at the page that it may not write, and reports the locations before. */
TEST_F(mprotect, job_stops)
{
	struct xmirror_cmd cmd = xm_cmds(XMIRROR_OP_ADD, 8, self->w, XM_PAGE,
					 PAGES, 1);
	struct xmirror_wait w;
	__u64 fence, i;

	ASSERT_EQ(0, mprotect(self->w + 5 * WORDS, XM_PAGE, R));
	ASSERT_EQ(0, xm_submit(self->fd, 0, &cmd, 1, 4, &fence));
	ASSERT_EQ(0, xm_wait(self->fd, fence, XM_LONG, &w));
	EXPECT_EQ(-EPERM, w.status);
	EXPECT_EQ(5, w.ops);
	for (i = 0; i < PAGES; i++) {
		EXPECT_EQ(100 + i + (i < 5), XM_LOAD(self->w + i * WORDS));
	}
}

/* Engines increment while rights change */

static int toggle(struct worker *w)
{
	int prots[2] = { w->arg & 0xff, w->arg >> 8 };
	unsigned int i;

	for (i = 0; !XM_LOAD(&w->stop); i++) {
		if (mprotect(w->addr, w->len, prots[i & 1]))
			return -errno;
		w->done++;
	}
	return mprotect(w->addr, w->len, RW) ? -errno : 0;
}

/* Changes of a right that the device does not use: no job notices. */
TEST_F(mprotect, toggle_exec)
{
	struct xmirror_cmd cmd = xm_cmds(XMIRROR_OP_ADD, 8, self->w, XM_PAGE,
					 PAGES, 1);
	struct worker t = {
		.fn = toggle,
		.addr = self->w,
		.len = SIZE,
		.arg = RW | RWX << 8,
	};
	__u64 fences[4], i, n;
	struct xmirror_wait w;

	ASSERT_EQ(0, worker_start_counting(&t, &t.done));
	for (n = 0; n < 2; n++) {
		for (i = 0; i < 4; i++) {
			ASSERT_EQ(0, xm_submit(self->fd, i, &cmd, 1, 50,
					       &fences[i]));
		}
		for (i = 0; i < 4; i++) {
			ASSERT_EQ(0, xm_wait(self->fd, fences[i], XM_LONG, &w));
			EXPECT_EQ(0, w.status);
			EXPECT_EQ(50 * PAGES, w.ops);
		}
	}
	XM_STORE(&t.stop, true);
	EXPECT_EQ(0, worker_join(&t));
	EXPECT_GT(t.done, 0);
	for (i = 0; i < PAGES; i++) {
		EXPECT_EQ(100 + i + 400, self->w[i * WORDS]);
	}
}

/*
 * Write permission is taken and given back all the time. Jobs fail with EPERM, and
 * each reports exactly the locations that it has done.
 */
static void hammer(struct __test_metadata *_metadata, int fd, __u64 *w,
		   int prot, int err)
{
	struct xmirror_cmd cmd = xm_cmds(XMIRROR_OP_ADD, 8, w, XM_PAGE, PAGES,
					 1);
	struct worker t = {
		.fn = toggle,
		.addr = w,
		.len = SIZE,
		.arg = prot | RW << 8,
	};
	__u64 fences[4], ops = 0, sum = 0, i, n, failed = 0;
	struct xmirror_wait wait;

	memset(w, 0, SIZE);
	ASSERT_EQ(0, worker_start_counting(&t, &t.done));
	for (n = 0; n < 50; n++) {
		for (i = 0; i < 4; i++) {
			ASSERT_EQ(0, xm_submit(fd, i, &cmd, 1, 50, &fences[i]));
		}
		for (i = 0; i < 4; i++) {
			ASSERT_EQ(0, xm_wait(fd, fences[i], XM_LONG, &wait));
			if (wait.status) {
				EXPECT_EQ(err, wait.status);
				failed++;
			} else {
				EXPECT_EQ(50 * PAGES, wait.ops);
			}
			ops += wait.ops;
		}
	}
	XM_STORE(&t.stop, true);
	EXPECT_EQ(0, worker_join(&t));
	EXPECT_GT(t.done, 0);
	/* The last of them, if no other job has met it */
	ASSERT_EQ(0, mprotect(w, SIZE, prot));
	ASSERT_EQ(0, xm_submit(fd, 0, &cmd, 1, 1, fences));
	ASSERT_EQ(0, xm_wait(fd, fences[0], XM_LONG, &wait));
	EXPECT_EQ(err, wait.status);
	EXPECT_EQ(0, wait.ops);
	ASSERT_EQ(0, mprotect(w, SIZE, RW));
	for (i = 0; i < PAGES; i++)
		sum += w[i * WORDS];
	EXPECT_EQ(ops, sum) {
		TH_LOG("%llu of 200 jobs failed, %llu times mprotect", failed,
		       t.done);
	}
}

TEST_F(mprotect, hammer_read_only)
{
	hammer(_metadata, self->fd, self->w, R, -EPERM);
}

TEST_F(mprotect, hammer_none)
{
	hammer(_metadata, self->fd, self->w, PROT_NONE, -EFAULT);
}

/* While the mapping is read-only its contents do not change. */
TEST_F(mprotect, stands_still)
{
	struct xmirror_cmd cmd = xm_cmds(XMIRROR_OP_ADD, 8, self->w, 0, 1000, 1);
	struct xmirror_wait w;
	__u64 fences[4], first, ops = 0, i, n;

	*self->w = 0;
	for (n = 0; n < 20; n++) {
		for (i = 0; i < 4; i++) {
			ASSERT_EQ(0, xm_submit(self->fd, i, &cmd, 1, ~0ULL,
					       &fences[i]));
		}
		ASSERT_EQ(0, mprotect(self->w, XM_PAGE, R));
		first = XM_LOAD(self->w);
		/* Each engine has to fail. */
		for (i = 0; i < 4; i++) {
			ASSERT_EQ(0, xm_wait(self->fd, fences[i], XM_LONG, &w));
			EXPECT_EQ(-EPERM, w.status);
			EXPECT_EQ(first, XM_LOAD(self->w));
			ops += w.ops;
		}
		ASSERT_EQ(0, mprotect(self->w, XM_PAGE, RW));
	}
	EXPECT_EQ(ops, *self->w);
}

/* A plain write leaf loses its right as well. */
TEST_F(mprotect, plain_leaf)
{
	struct xmirror_cmd cmd = xm_cmds(XMIRROR_OP_STORE, 8, self->w, 8,
					 WORDS, 1);
	__u64 i;

	memset(self->w, 0, XM_PAGE);
	ASSERT_EQ(0, xm_fault(self->fd, self->w, SIZE, XMIRROR_FAULT_WRITE,
			      NULL));
	ASSERT_EQ(0, mprotect(self->w, SIZE, R));
	EXPECT_EQ(-EPERM, xm_run(self->fd, &cmd, NULL));
	for (i = 0; i < WORDS; i++) {
		ASSERT_EQ(0, self->w[i]);
	}
	ASSERT_EQ(0, mprotect(self->w, SIZE, RW));
	EXPECT_EQ(0, xm_run(self->fd, &cmd, NULL));
	for (i = 0; i < WORDS; i++) {
		ASSERT_EQ(1, self->w[i]);
	}
}

TEST_HARNESS_MAIN
