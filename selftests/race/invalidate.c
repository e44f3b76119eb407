// SPDX-License-Identifier: GPL-2.0
/*
 * Races of invalidations: one stops before or after it has cleared the leaves
 * while engines are at work on the page, or something happens in the middle of
 * a command list or of a release.

 */
#include "race.h"

/* Two engines count on the page. */
FIXTURE(invalidate) {
	RACE_FIELDS;
	__u64 fences[2];
};

FIXTURE_VARIANT(invalidate) {
	enum xmirror_point point;
};

FIXTURE_VARIANT_ADD(invalidate, enter) { .point = XMIRROR_PT_INV_ENTER };
FIXTURE_VARIANT_ADD(invalidate, exit) { .point = XMIRROR_PT_INV_EXIT };

static bool counts(__u64 *p)
{
	__u64 was = XM_LOAD(p), start = xm_now_ns();

	while (XM_LOAD(p) == was) {
		if (xm_expired(start, XM_LONG))
			return false;
		sched_yield();
	}
	return true;
}

FIXTURE_SETUP(invalidate)
{
	struct xmirror_cmd cmd;
	void *low;
	int i;

	RACE_SETUP();
	NEED(XMIRROR_CAP_SYNC);
	NEED(XMIRROR_CAP_EXCLUSIVE);
	/*
	 * Below all else, since fork() copies in the order of addresses: what
	 * it has passed is write-protected while it is stopped here, and this
	 * thread's rseq area, which the kernel writes, must not be.
	 */
	low = mmap((void *)XM_2M, 3 * XM_PAGE, PROT_NONE, MAP_PRIVATE |
		   MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	ASSERT_EQ((void *)XM_2M, low);
	ASSERT_EQ(low, mremap(self->all, 3 * XM_PAGE, 3 * XM_PAGE,
			      MREMAP_MAYMOVE | MREMAP_FIXED, low));
	self->all = low;
	self->p = self->all + WORDS;
	self->op.addr = self->p;
	self->other.addr = self->p;
	*self->p = 0;
	cmd = xm_cmds(XMIRROR_OP_ADD, 8, self->p, 0, 64, 1);
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, xm_submit(self->fd, i, &cmd, 1, ~0ULL,
				       &self->fences[i]));
	}
	ASSERT_TRUE(counts(self->p));
}

FIXTURE_TEARDOWN(invalidate)
{
	EXPECT_CLEAN(self->fd);
	close(self->fd);
}

/* Both jobs end with @err, and what they say they did is at @q. */
#define EXPECT_ACCOUNT(q, err, more) \
	do { \
		struct xmirror_wait acc_w[2]; \
		int acc_i; \
		for (acc_i = 0; acc_i < 2; acc_i++) { \
			ASSERT_EQ(0, xm_wait(self->fd, self->fences[acc_i], \
					     XM_LONG, &acc_w[acc_i])); \
			EXPECT_EQ((err), acc_w[acc_i].status); \
		} \
		EXPECT_EQ(acc_w[0].ops + acc_w[1].ops + (more), XM_LOAD(q)); \
		EXPECT_NEIGHBOURS(); \
	} while (0)

TEST_F(invalidate, mprotect)
{
	self->other.arg = PROT_READ;
	STOP_INVALIDATION(variant->point, XM_EV_PROTECTION_VMA, work_mprotect);
	GO_ON();
	EXPECT_EQ(0, worker_join(&self->other));
	EXPECT_ACCOUNT(self->p, -EPERM, 0);
}

TEST_F(invalidate, mremap)
{
	__u64 *to = xm_anon_prot(XM_PAGE, PROT_NONE);

	self->other.to = to;
	STOP_INVALIDATION(variant->point, XM_EV_UNMAP, work_mremap);
	GO_ON();
	EXPECT_EQ(0, worker_join(&self->other));
	EXPECT_ACCOUNT(to, -EFAULT, 0);
	EXPECT_SAME_PAGE(to);
}

TEST_F(invalidate, munmap)
{
	struct xmirror_wait w;
	__u64 ops = 0;
	int i;

	STOP_INVALIDATION(variant->point, XM_EV_UNMAP, work_munmap);
	GO_ON();
	EXPECT_EQ(0, worker_join(&self->other));
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, xm_wait(self->fd, self->fences[i], XM_LONG, &w));
		EXPECT_EQ(-EFAULT, w.status);
		ops += w.ops;
	}
	/* One of them may not have come to its first. */
	EXPECT_GT(ops, 0);
	EXPECT_LEAF(self->fd, self->p, LEAF_NONE);
	EXPECT_NEIGHBOURS();
}

/* The CPU takes the page back; then all count together. */
/* covers: D7 */
TEST_F(invalidate, cpu_access)
{
	__u64 ops = 0, start = xm_now_ns();
	struct xmirror_wait w;
	int i;

	/* To look at the word took it from the device; let that have it back. */
	while (!xm_is_exclusive(self->p)) {
		ASSERT_FALSE(xm_expired(start, XM_LONG));
		sched_yield();
	}
	self->other.arg = 1000;
	STOP_INVALIDATION(variant->point, (int)xm_facts()->revoke_event,
			  work_cpu_add);
	GO_ON();
	EXPECT_EQ(0, worker_join(&self->other));
	ASSERT_TRUE(counts(self->p));
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, xm_cancel(self->fd, self->fences[i], &w));
		EXPECT_EQ(-ECANCELED, w.status);
		ops += w.ops;
	}
	EXPECT_EQ(ops + 1000, *self->p);
	EXPECT_NEIGHBOURS();
}

TEST_F(invalidate, fork)
{
	struct xmirror_wait w;
	__u64 ops = 0;
	int i;

	/* The child takes any value, and wants it to stay. */
	self->other.arg = ~0ULL;
	STOP_INVALIDATION(variant->point, XM_EV_PROTECTION_PAGE, work_fork);
	GO_ON();
	EXPECT_EQ(0, worker_join(&self->other));
	ASSERT_TRUE(counts(self->p));
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, xm_cancel(self->fd, self->fences[i], &w));
		ops += w.ops;
	}
	EXPECT_EQ(ops, *self->p);
	EXPECT_NEIGHBOURS();
}

FIXTURE(race) {
	RACE_FIELDS;
};

FIXTURE_SETUP(race)
{
	RACE_SETUP();
	NEED(XMIRROR_CAP_SYNC);
}

FIXTURE_TEARDOWN(race)
{
	EXPECT_CLEAN(self->fd);
	close(self->fd);
}

/* After the leaves are cleared the device stands still until the end. */
/* covers: D8 */
TEST_F(race, exit_leaves_nothing)
{
	struct xmirror_stats s;

	ASSERT_EQ(0, xm_fault(self->fd, self->all, 3 * XM_PAGE,
			      XMIRROR_FAULT_WRITE, NULL));
	self->other.arg = MADV_DONTNEED;
	STOP_INVALIDATION(XMIRROR_PT_INV_ENTER, XM_EV_CLEAR, work_madvise);
	ASSERT_EQ(0, xm_stats(self->fd, &s));
	EXPECT_EQ(3, s.leaves);
	GO_ON();
	EXPECT_EQ(0, worker_join(&self->other));
	*self->p = 5;
	ASSERT_EQ(0, xm_fault(self->fd, self->all, 3 * XM_PAGE,
			      XMIRROR_FAULT_WRITE, NULL));
	STOP_INVALIDATION(XMIRROR_PT_INV_EXIT, XM_EV_CLEAR, work_madvise);
	ASSERT_EQ(0, xm_stats(self->fd, &s));
	EXPECT_EQ(2, s.leaves);
	GO_ON();
	EXPECT_EQ(0, worker_join(&self->other));
	EXPECT_EQ(0, *self->p);
	EXPECT_NEIGHBOURS();
}

static int fault_when_told(struct worker *w)
{
	while (!XM_LOAD(&w->stop))
		sched_yield();
	return work_fault_read(w);
}

/* A fault that starts while an invalidation is going on waits for its end. */
TEST_F(race, fault_during_invalidation)
{
	__u64 value = 1;

	ASSERT_EQ(0, xm_fault(self->fd, self->p, XM_PAGE, XMIRROR_FAULT_WRITE,
			      NULL));
	/* Before Linux 6.16 madvise() holds mmap_lock: no new thread then. */
	self->op.fn = fault_when_told;
	ASSERT_EQ(0, worker_start(&self->op));
	self->other.arg = MADV_DONTNEED;
	STOP_INVALIDATION(XMIRROR_PT_INV_EXIT, XM_EV_CLEAR, work_madvise);
	XM_STORE(&self->op.stop, true);
	ASSERT_TRUE(worker_blocked(&self->op, SYS_ioctl));
	GO_ON();
	EXPECT_EQ(0, worker_join(&self->other));
	EXPECT_EQ(0, worker_join(&self->op));
	EXPECT_EQ(0, xm_read(self->fd, self->p, &value, 8));
	EXPECT_EQ(0, value);
	EXPECT_EQ(0, *self->p);
}

/*
 * In the middle of a command list
 */

TEST_F(race, access_touch)
{
	__u64 i;

	NEED(XMIRROR_CAP_EXCLUSIVE);
	memset(self->p, 0, XM_PAGE);
	self->op.arg = 1;
	STOP_AT(XMIRROR_PT_ACCESS, work_list);
	for (i = 0; i < WORDS; i++)
		XM_ADD(self->p + i, 10);
	FINISH(0);
	for (i = 0; i < WORDS; i++) {
		ASSERT_EQ(11, self->p[i]);
	}
	EXPECT_NEIGHBOURS();
}

TEST_F(race, access_mprotect)
{
	__u64 i, done = 0;

	NEED(XMIRROR_CAP_EXCLUSIVE);
	memset(self->p, 0, XM_PAGE);
	self->op.arg = 1;
	STOP_AT(XMIRROR_PT_ACCESS, work_list);
	ASSERT_EQ(0, mprotect(self->p, XM_PAGE, PROT_READ));
	for (i = 0; i < WORDS; i++)
		done += self->p[i];
	EXPECT_LT(done, WORDS);
	FINISH(-EPERM);
	for (i = 0; i < WORDS; i++) {
		ASSERT_EQ(i < done, self->p[i]);
	}
}

TEST_F(race, access_remapped)
{
	__u64 i, done = 0;

	NEED(XMIRROR_CAP_EXCLUSIVE);
	memset(self->p, 0, XM_PAGE);
	self->op.arg = 1;
	STOP_AT(XMIRROR_PT_ACCESS, work_list);
	for (i = 0; i < WORDS; i++)
		done += XM_LOAD(self->p + i);
	ASSERT_EQ(self->p, mmap(self->p, XM_PAGE, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
				0));
	FINISH(0);
	/* The rest of the list is in the new page, and nothing else. */
	for (i = 0; i < WORDS; i++) {
		ASSERT_EQ(i >= done, self->p[i]);
	}
	EXPECT_NEIGHBOURS();
}

/* Release */

TEST_F(race, release_touch)
{
	NEED(XMIRROR_CAP_EXCLUSIVE);
	ASSERT_EQ(0, xm_add(self->fd, self->p, 10));
	STOP_AT(XMIRROR_PT_RELEASE, work_release);
	EXPECT_EQ(15, XM_LOAD(self->p));
	FINISH(0);
	EXPECT_EQ(XM_PAGE, self->op.done);
	EXPECT_FALSE(xm_is_exclusive(self->p));
	EXPECT_EQ(15, *self->p);
	EXPECT_SAME_PAGE(self->p);
}

TEST_F(race, release_dontneed)
{
	NEED(XMIRROR_CAP_EXCLUSIVE);
	ASSERT_EQ(0, xm_add(self->fd, self->p, 10));
	STOP_AT(XMIRROR_PT_RELEASE, work_release);
	ASSERT_EQ(0, madvise(self->p, XM_PAGE, MADV_DONTNEED));
	FINISH(0);
	EXPECT_EQ(XM_PAGE, self->op.done);
	EXPECT_FALSE(xm_is_exclusive(self->p));
	EXPECT_EQ(0, *self->p);
	EXPECT_SAME_PAGE(self->p);
	EXPECT_NEIGHBOURS();
}

TEST_F(race, release_munmap)
{
	NEED(XMIRROR_CAP_EXCLUSIVE);
	ASSERT_EQ(0, xm_add(self->fd, self->p, 10));
	STOP_AT(XMIRROR_PT_RELEASE, work_release);
	ASSERT_EQ(0, munmap(self->p, XM_PAGE));
	FINISH(0);
	EXPECT_EQ(XM_PAGE, self->op.done);
	EXPECT_EQ(-EFAULT, xm_add(self->fd, self->p, 1));
	EXPECT_NEIGHBOURS();
}

TEST_F(race, release_taken_by_other)
{
	int fd1;

	NEED(XMIRROR_CAP_EXCLUSIVE);
	OPEN(fd1, 1);
	ASSERT_EQ(0, xm_add(self->fd, self->p, 10));
	STOP_AT(XMIRROR_PT_RELEASE, work_release);
	ASSERT_EQ(0, xm_add(fd1, self->p, 100));
	FINISH(0);
	EXPECT_CLEAN(self->fd);
	EXPECT_CLEAN(fd1);
	EXPECT_EQ(115, *self->p);
	EXPECT_SAME_PAGE(self->p);
	close(fd1);
}

/* A job takes it back while it is being given away. */
TEST_F(race, release_against_atomic)
{
	NEED(XMIRROR_CAP_EXCLUSIVE);
	ASSERT_EQ(0, xm_add(self->fd, self->p, 10));
	STOP_AT(XMIRROR_PT_RELEASE, work_release);
	ASSERT_EQ(0, xm_add(self->fd, self->p, 100));
	FINISH(0);
	EXPECT_CLEAN(self->fd);
	EXPECT_EQ(115, *self->p);
	EXPECT_SAME_PAGE(self->p);
}

TEST_HARNESS_MAIN
