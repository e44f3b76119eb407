// SPDX-License-Identifier: GPL-2.0
/*
 * A page in a device's memory stays with who got it last, for a time slice. A slice here
 * is so long that nobody sees its end, which comes when it is set to 0; what a test does
 * meanwhile it does in somebody's slice.
 */
#include "test.h"

#define FOREVER		60000	/* the longest slice */
#define IN_FAULT	(-1L)	/* for worker_blocked() */
#define ROUNDS		4U	/* so often somebody who starves loses the page */

FIXTURE(slice) {
	int fd[2];
	__u64 *p;
};

FIXTURE_SETUP(slice)
{
	int i;

	NEED(XMIRROR_CAP_PRIVATE);
	self->p = xm_anon_aligned(XM_PMD, XM_PMD);
	ASSERT_NE(NULL, self->p);
	madvise(self->p, XM_PMD, MADV_NOHUGEPAGE);
	self->p[0] = 100;
	for (i = 0; i < 2; i++) {
		OPEN(self->fd[i], i);
		ASSERT_EQ(0, xm_prefer(self->fd[i], self->p, XM_PMD,
				       XMIRROR_PREFER_DEVICE));
	}
}

FIXTURE_TEARDOWN(slice)
{
	int i;

	for (i = 0; i < 2; i++) {
		EXPECT_CLEAN(self->fd[i]);
		close(self->fd[i]);
	}
	munmap(self->p, XM_PMD);
}

#define SET_SLICE(ms) \
	ASSERT_EQ(0, xm_set(self->fd[0], XMIRROR_SET_SLICE, (ms), NULL))

#define WORKER(function, n) \
	((struct worker) { \
		.fn = (function), .fd = self->fd[n], .addr = self->p, \
		.len = XM_PAGE, .arg = 1, \
	})

/* The first device has got the page, for a slice that ends by itself. */
#define HAS_HAD() \
	do { \
		SET_SLICE(1); \
		ASSERT_EQ(0, xm_add(self->fd[0], self->p, 1)); \
		SET_SLICE(FOREVER); \
	} while (0)

/* Whose memory the page is in, -1: the system's */
static int who_has(const int *fd, const void *p)
{
	int i;

	for (i = 0; i < 2; i++) {
		if (xm_is_private(fd[i], p))
			return i;
	}
	return -1;
}

/* covers: G.slice */
TEST_F(slice, cpu_waits_for_a_device)
{
	struct worker cpu = WORKER(work_cpu_add, 0);

	SET_SLICE(FOREVER);
	ASSERT_EQ(0, xm_add(self->fd[0], self->p, 1));
	ASSERT_EQ(0, who_has(self->fd, self->p));
	ASSERT_EQ(0, worker_start(&cpu));
	EXPECT_TRUE(worker_blocked(&cpu, IN_FAULT));
	EXPECT_EQ(0, who_has(self->fd, self->p));
	/* The device works on meanwhile. */
	EXPECT_EQ(0, xm_add(self->fd[0], self->p, 1));
	EXPECT_EQ(0, xm_fault(self->fd[0], self->p, XM_PAGE,
			      XMIRROR_FAULT_WRITE, NULL));
	EXPECT_EQ(0, who_has(self->fd, self->p));
	EXPECT_FALSE(worker_ended(&cpu));
	SET_SLICE(0);
	EXPECT_EQ(0, worker_join(&cpu));
	EXPECT_EQ(-1, who_has(self->fd, self->p));
	EXPECT_EQ(103, self->p[0]);
	EXPECT_EQ(1, xm_stats_of(self->fd[0]).cpu_slice_waits);
	EXPECT_EQ(1, xm_stats_of(self->fd[1]).cpu_slice_waits);
}

/* All threads of the process are one: none of them waits for another one's slice. */
TEST_F(slice, cpus_wait_together)
{
	struct worker cpu[3];
	int i;

	SET_SLICE(FOREVER);
	ASSERT_EQ(0, xm_add(self->fd[0], self->p, 1));
	for (i = 0; i < 3; i++) {
		cpu[i] = WORKER(work_cpu_add, 0);
		ASSERT_EQ(0, worker_start(&cpu[i]));
	}
	for (i = 0; i < 3; i++) {
		EXPECT_TRUE(worker_blocked(&cpu[i], IN_FAULT));
	}
	SET_SLICE(0);
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(0, worker_join(&cpu[i]));
	}
	/* Once each, or one of them found that another had waited for all */
	EXPECT_LE(1, xm_stats_of(self->fd[0]).cpu_slice_waits);
	EXPECT_EQ(104, self->p[0]);
}

TEST_F(slice, device_waits_for_another_one)
{
	struct worker other = WORKER(work_fault_write, 1);

	SET_SLICE(FOREVER);
	ASSERT_EQ(0, xm_add(self->fd[0], self->p, 1));
	ASSERT_EQ(0, worker_start(&other));
	EXPECT_TRUE(worker_blocked(&other, SYS_ioctl));
	EXPECT_EQ(0, who_has(self->fd, self->p));
	EXPECT_EQ(0, xm_add(self->fd[0], self->p, 1));
	SET_SLICE(0);
	EXPECT_EQ(0, worker_join(&other));
	EXPECT_EQ(1, who_has(self->fd, self->p));
	EXPECT_EQ(1, xm_stats_of(self->fd[1]).slice_waits);
	EXPECT_EQ(1, xm_stats_of(self->fd[1]).slice_longest);
	EXPECT_EQ(0, xm_stats_of(self->fd[0]).slice_waits);
	EXPECT_EQ(102, self->p[0]);
}

/* Whoever prefers nothing brings a page of another device to system memory. */
TEST_F(slice, device_that_prefers_nothing_waits)
{
	struct worker other = WORKER(work_fault_write, 1);

	ASSERT_EQ(0, xm_prefer(self->fd[1], self->p, XM_PMD,
			       XMIRROR_PREFER_ANY));
	SET_SLICE(FOREVER);
	ASSERT_EQ(0, xm_add(self->fd[0], self->p, 1));
	ASSERT_EQ(0, worker_start(&other));
	EXPECT_TRUE(worker_blocked(&other, SYS_ioctl));
	EXPECT_EQ(0, who_has(self->fd, self->p));
	SET_SLICE(0);
	EXPECT_EQ(0, worker_join(&other));
	EXPECT_EQ(-1, who_has(self->fd, self->p));
	EXPECT_EQ(1, xm_stats_of(self->fd[1]).slice_waits);
	EXPECT_EQ(101, self->p[0]);
}

TEST_F(slice, device_waits_for_the_cpu)
{
	struct worker device = WORKER(work_fault_write, 0);

	HAS_HAD();
	XM_ADD(self->p, 1);
	ASSERT_EQ(-1, who_has(self->fd, self->p));
	ASSERT_EQ(0, worker_start(&device));
	EXPECT_TRUE(worker_blocked(&device, SYS_ioctl));
	EXPECT_EQ(-1, who_has(self->fd, self->p));
	SET_SLICE(0);
	EXPECT_EQ(0, worker_join(&device));
	EXPECT_EQ(0, who_has(self->fd, self->p));
	/* It has slept for the slice, and not for something else. */
	EXPECT_EQ(1, xm_stats_of(self->fd[0]).slice_waits);
	EXPECT_EQ(102, self->p[0]);
}

/* It is not said here how long they take; the next access has to come before. */
TEST_F(slice, slices_end)
{
	__u64 i;

	SET_SLICE(100);
	for (i = 0; i < 10; i++) {
		ASSERT_EQ(0, xm_add(self->fd[0], self->p, 1));
		EXPECT_EQ(0, who_has(self->fd, self->p));
		ASSERT_EQ(0, xm_add(self->fd[1], self->p, 1));
		EXPECT_EQ(1, who_has(self->fd, self->p));
		XM_ADD(self->p, 1);
		EXPECT_EQ(-1, who_has(self->fd, self->p));
	}
	EXPECT_EQ(130, self->p[0]);
	/* Each of them has waited for just the one before. */
	EXPECT_GE(1, xm_stats_of(self->fd[0]).slice_longest);
	EXPECT_GE(1, xm_stats_of(self->fd[1]).slice_longest);
	EXPECT_LT(0, xm_stats_of(self->fd[1]).slice_waits);
	EXPECT_LT(0, xm_stats_of(self->fd[0]).cpu_slice_waits);
}

/* Other blocks are nobody's business. */
TEST_F(slice, of_one_block)
{
	__u64 *two = xm_anon_aligned(2 * XM_PMD, XM_PMD);

	ASSERT_NE(NULL, two);
	madvise(two, 2 * XM_PMD, MADV_NOHUGEPAGE);
	two[0] = 1;
	two[XM_PMD / 8] = 1;
	ASSERT_EQ(0, xm_migrate(self->fd[0], two, XM_PAGE, 0, 0, NULL));
	ASSERT_EQ(0, xm_migrate(self->fd[0], &two[XM_PMD / 8], XM_PAGE, 0, 0,
				NULL));
	SET_SLICE(FOREVER);
	ASSERT_EQ(0, xm_add(self->fd[0], self->p, 1));
	EXPECT_EQ(0, xm_migrate(self->fd[1], two, XM_PAGE,
				XMIRROR_MIGRATE_FROM_PEER, 0, NULL));
	EXPECT_EQ(1, who_has(self->fd, two));
	XM_ADD(&two[XM_PMD / 8], 1);
	EXPECT_EQ(-1, who_has(self->fd, &two[XM_PMD / 8]));
	EXPECT_EQ(0, xm_stats_of(self->fd[1]).slice_waits);
	EXPECT_EQ(0, xm_stats_of(self->fd[1]).cpu_slice_waits);
	SET_SLICE(0);
	munmap(two, 2 * XM_PMD);
}

TEST_F(slice, canceled_job_does_not_wait)
{
	struct xmirror_cmd cmd = xm_cmd(XMIRROR_OP_STORE, 8, self->p, 7);
	struct xmirror_wait w;
	__u64 fence;

	SET_SLICE(FOREVER);
	ASSERT_EQ(0, xm_add(self->fd[0], self->p, 1));
	ASSERT_EQ(0, xm_submit(self->fd[1], 0, &cmd, 1, 1, &fence));
	while (!xm_stats_of(self->fd[1]).device_faults)
		sched_yield();
	EXPECT_EQ(0, xm_cancel(self->fd[1], fence, &w));
	EXPECT_EQ(-ECANCELED, w.status);
	EXPECT_EQ(0, who_has(self->fd, self->p));
	/* It has left the queue, too. */
	SET_SLICE(0);
	EXPECT_EQ(0, xm_run(self->fd[1], &cmd, NULL));
	EXPECT_EQ(7, self->p[0]);
}

static int killed(struct child *c, void *arg)
{
	struct worker cpu = { .fn = work_cpu_add, .arg = 1 };
	int fd = xm_open(0);

	(void)arg;
	CHILD_CHECK(fd >= 0);
	cpu.addr = xm_anon(XM_PAGE);
	CHILD_CHECK(cpu.addr);
	CHILD_CHECK(!xm_prefer(fd, cpu.addr, XM_PAGE, XMIRROR_PREFER_DEVICE));
	CHILD_CHECK(!xm_set(fd, XMIRROR_SET_SLICE, FOREVER, NULL));
	CHILD_CHECK(!xm_add(fd, cpu.addr, 1));
	CHILD_CHECK(!worker_start(&cpu));
	CHILD_CHECK(worker_blocked(&cpu, IN_FAULT));
	CHILD_CHECK(!child_tell(c, 'b'));
	child_hear(c);
	return 1;
}

/* The slice is longer than child_end() waits. */
TEST_F(slice, killed_process_does_not_wait)
{
	struct child c;

	ASSERT_EQ(0, child_start(&c, killed, NULL));
	EXPECT_EQ('b', child_hear(&c));
	EXPECT_EQ(0, kill(c.pid, SIGKILL));
	EXPECT_EQ(128 + SIGKILL, child_end(&c));
}

/*
 * A device is stopped each time that it has got the page and not accessed it yet, and then
 * another one wants the page. Without a slice it never gets on.
 */
TEST_F(slice, device_gets_on_beside_another_one)
{
	struct worker slow = WORKER(work_store, 0), other;
	unsigned int lost = 0;
	__u32 id, next;

	slow.arg = 55;
	SET_SLICE(FOREVER);
	ASSERT_EQ(0, xm_sync_arm(self->fd[0], XMIRROR_PT_FAULT_DONE, self->p,
				 XM_PAGE, &id));
	ASSERT_EQ(0, worker_start(&slow));
	for (;;) {
		ASSERT_EQ(0, xm_sync_reached(self->fd[0], id, XM_LONG));
		ASSERT_EQ(0, who_has(self->fd, self->p));
		other = WORKER(work_fault_write, 1);
		ASSERT_EQ(0, worker_start(&other));
		if (worker_blocked(&other, SYS_ioctl) || ++lost == ROUNDS)
			break;
		ASSERT_EQ(0, worker_join(&other));
		ASSERT_EQ(1, who_has(self->fd, self->p));
		ASSERT_EQ(0, xm_sync_arm(self->fd[0], XMIRROR_PT_FAULT_DONE,
					 self->p, XM_PAGE, &next));
		EXPECT_EQ(0, xm_sync_resume(self->fd[0], id, NULL));
		id = next;
	}
	EXPECT_EQ(0, lost) {
		TH_LOG("it has got the page and lost it %u times", lost);
	}
	EXPECT_EQ(0, xm_sync_resume(self->fd[0], id, NULL));
	EXPECT_EQ(0, worker_join(&slow));
	SET_SLICE(0);
	EXPECT_EQ(0, worker_join(&other));
	/* It has slept for the slice, and not for something else. */
	EXPECT_EQ(1, xm_stats_of(self->fd[1]).slice_waits);
	EXPECT_EQ(55, self->p[0]);
}

/*
 * The CPU is stopped each time that it has brought the page back and not gone on, and then
 * a device wants it. Until it goes on it has mmap_lock.
 */
TEST_F(slice, cpu_gets_on_beside_a_device)
{
	struct worker cpu = WORKER(work_cpu_add, 0), device[ROUNDS];
	unsigned int lost = 0, i;
	__u32 id, next;

	ASSERT_EQ(0, xm_no_faults());
	for (i = 0; i < ROUNDS; i++) {
		device[i] = WORKER(work_fault_write, 0);
		ASSERT_EQ(0, worker_prepare(&device[i]));
	}
	ASSERT_EQ(0, worker_prepare(&cpu));
	HAS_HAD();
	ASSERT_EQ(0, xm_sync_arm(self->fd[0], XMIRROR_PT_TO_RAM_DONE, self->p,
				 XM_PAGE, &id));
	ASSERT_EQ(0, worker_start(&cpu));
	for (;;) {
		ASSERT_EQ(0, xm_sync_reached(self->fd[0], id, XM_LONG));
		ASSERT_EQ(-1, who_has(self->fd, self->p));
		ASSERT_EQ(0, worker_start(&device[lost]));
		if (worker_blocked(&device[lost], SYS_ioctl) ||
		    ++lost == ROUNDS)
			break;
		ASSERT_EQ(0, who_has(self->fd, self->p));
		ASSERT_EQ(0, xm_sync_arm(self->fd[0], XMIRROR_PT_TO_RAM_DONE,
					 self->p, XM_PAGE, &next));
		EXPECT_EQ(0, xm_sync_resume(self->fd[0], id, NULL));
		id = next;
	}
	EXPECT_EQ(0, lost) {
		TH_LOG("it has got the page and lost it %u times", lost);
	}
	EXPECT_EQ(0, xm_sync_resume(self->fd[0], id, NULL));
	EXPECT_EQ(0, worker_join(&cpu));
	SET_SLICE(0);
	for (i = 0; i < ROUNDS; i++) {
		if (i > lost) {
			EXPECT_EQ(0, worker_start(&device[i]));
		}
		EXPECT_EQ(0, worker_join(&device[i]));
	}
	EXPECT_EQ(1, xm_stats_of(self->fd[0]).slice_waits);
	EXPECT_EQ(102, self->p[0]);
}

TEST_F(slice, all_mirrors_of_an_mm_have_one)
{
	__u64 old = 1;

	EXPECT_EQ(0, xm_set(self->fd[0], XMIRROR_SET_SLICE, 60000, &old));
	EXPECT_EQ(0, old);
	EXPECT_EQ(-EINVAL, xm_set(self->fd[0], XMIRROR_SET_SLICE, 60001, NULL));
	EXPECT_EQ(-EINVAL, xm_set(self->fd[0], XMIRROR_SET_SLICE, ~0ULL, NULL));
	EXPECT_EQ(-EINVAL, xm_set(self->fd[0], XMIRROR_SET_SLICE, 1ULL << 32,
				  NULL));
	EXPECT_EQ(0, xm_set(self->fd[1], XMIRROR_SET_SLICE, 0, &old));
	EXPECT_EQ(60000, old);
}

TEST_HARNESS_MAIN
