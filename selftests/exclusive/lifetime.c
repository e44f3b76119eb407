// SPDX-License-Identifier: GPL-2.0
/*
 * The life of an exclusive page: it is exclusive until anybody else touches it, in
 * each way; and ranges of such pages.
 */
#include "atomics_fixture.h"

TEST_F(atomics, exclusive_until_touched)
{
	struct xmirror_stats s0, s1;
	__u64 *w = (__u64 *)self->p;

	*w = 10;
	ASSERT_FALSE(xm_is_exclusive(w));
	ASSERT_EQ(0, xm_stats(self->fd, &s0));
	ASSERT_EQ(0, xm_add(self->fd, w, 5));
	EXPECT_TRUE(xm_is_exclusive(w));
	EXPECT_LEAF(self->fd, w, LEAF_EXCL);
	EXPECT_NE(0, xm_page(self->fd, w).dev & XMIRROR_PTE_DIRTY);
	EXPECT_FALSE(xm_is_exclusive(w + XM_WORDS));
	/* Again, without a fault */
	ASSERT_EQ(0, xm_add(self->fd, w, 5));
	ASSERT_EQ(0, xm_stats(self->fd, &s1));
	EXPECT_EQ(1, s1.excl_made - s0.excl_made);
	EXPECT_EQ(1, s1.device_faults - s0.device_faults);
	EXPECT_EQ(2, s1.ops - s0.ops);
	EXPECT_EQ(2, s1.jobs - s0.jobs);
	EXPECT_EQ(0, s1.excl_lost);
	/* The CPU reads */
	EXPECT_EQ(20, XM_LOAD(w));
	EXPECT_FALSE(xm_is_exclusive(w));
	EXPECT_TRUE(xm_is_present(w));
	EXPECT_LEAF(self->fd, w, LEAF_NONE);
	ASSERT_EQ(0, xm_stats(self->fd, &s1));
	EXPECT_EQ(1, s1.excl_lost);
	EXPECT_EQ(0, s1.leaves);
	/* and writes */
	ASSERT_EQ(0, xm_add(self->fd, w, 1));
	EXPECT_TRUE(xm_is_exclusive(w));
	XM_STORE(w, 100);
	EXPECT_FALSE(xm_is_exclusive(w));
	EXPECT_LEAF(self->fd, w, LEAF_NONE);
	ASSERT_EQ(0, xm_add(self->fd, w, 1));
	EXPECT_EQ(101, XM_LOAD(w));
}

/* The kernel reads for the process: a system call is an access by the CPU. */
TEST_F(atomics, system_call_touches)
{
	__u64 *w = (__u64 *)self->p, got = 0;
	int fds[2];

	ASSERT_EQ(0, pipe(fds));
	ASSERT_EQ(0, xm_op(self->fd, XMIRROR_OP_XCHG, 8, w, 0x1234, NULL));
	ASSERT_TRUE(xm_is_exclusive(w));
	ASSERT_EQ(8, write(fds[1], w, 8));
	EXPECT_FALSE(xm_is_exclusive(w));
	ASSERT_EQ(8, read(fds[0], &got, 8));
	EXPECT_EQ(0x1234, got);
	ASSERT_EQ(0, xm_op(self->fd, XMIRROR_OP_XCHG, 8, w, 0x777, NULL));
	ASSERT_TRUE(xm_is_exclusive(w));
	got = 0x4321;
	ASSERT_EQ(8, write(fds[1], &got, 8));
	ASSERT_EQ(8, read(fds[0], w, 8));
	EXPECT_FALSE(xm_is_exclusive(w));
	EXPECT_EQ(0x4321, *w);
	close(fds[0]);
	close(fds[1]);
}

/* A second request for an exclusive page costs nothing. */
TEST_F(atomics, exclusive_twice)
{
	struct xmirror_range again = {
		.size = sizeof(again),
		.addr = (uintptr_t)self->p,
		.length = SIZE,
		.rounds = 77,
	};
	struct xmirror_stats s0, s1;
	__u64 pfn, done;

	memset(self->p, 1, SIZE);
	ASSERT_EQ(0, xm_exclusive(self->fd, self->p, SIZE, &done));
	EXPECT_EQ(SIZE, done);
	EXPECT_EQ(PAGES, xm_count_exclusive(self->p, SIZE));
	pfn = xm_pfn(self->p);
	ASSERT_EQ(0, xm_stats(self->fd, &s0));
	EXPECT_EQ(PAGES, s0.excl_made);
	EXPECT_EQ(0, s0.excl_hits);
	ASSERT_EQ(0, xm_ioctl(self->fd, XMIRROR_IOC_EXCLUSIVE, &again));
	EXPECT_EQ(SIZE, again.done);
	EXPECT_EQ(0, again.rounds);
	ASSERT_EQ(0, xm_stats(self->fd, &s1));
	EXPECT_EQ(PAGES, s1.excl_hits);
	EXPECT_EQ(s0.excl_made, s1.excl_made);
	EXPECT_EQ(s0.inv_own, s1.inv_own);
	EXPECT_EQ(0, memcmp(s0.inv, s1.inv, sizeof(s0.inv)));
	EXPECT_EQ(pfn, xm_pfn(self->p));
	EXPECT_EQ(PAGES, xm_count_exclusive(self->p, SIZE));
	/* Half of them are lost: the other half are hits. */
	for (done = 0; done < PAGES; done += 2)
		XM_LOAD((__u64 *)(self->p + done * XM_PAGE));
	EXPECT_EQ(PAGES / 2, xm_count_exclusive(self->p, SIZE));
	ASSERT_EQ(0, xm_exclusive(self->fd, self->p, SIZE, &done));
	ASSERT_EQ(0, xm_stats(self->fd, &s1));
	EXPECT_EQ(PAGES + PAGES / 2, s1.excl_hits);
	EXPECT_EQ(PAGES + PAGES / 2, s1.excl_made);
	EXPECT_EQ(PAGES, xm_count_exclusive(self->p, SIZE));
}

/* The own notifications are counted, and ignored. */
/* covers: A.events */
TEST_F(atomics, own_event)
{
	struct xmirror_stats s0, s1;

	memset(self->p, 1, SIZE);
	ASSERT_EQ(0, xm_stats(self->fd, &s0));
	ASSERT_EQ(0, xm_exclusive(self->fd, self->p, SIZE, NULL));
	ASSERT_EQ(0, xm_stats(self->fd, &s1));
	EXPECT_GE(s1.inv_own - s0.inv_own, PAGES);
	EXPECT_GE(s1.inv[XM_EV_EXCLUSIVE] - s0.inv[XM_EV_EXCLUSIVE], PAGES);
	EXPECT_EQ(0, s1.excl_lost);
	EXPECT_EQ(0, s1.excl_retries);
}

TEST_F(atomics, release)
{
	struct xmirror_stats s0, s1;
	__u64 *w = (__u64 *)self->p, done;

	ASSERT_EQ(0, xm_op(self->fd, XMIRROR_OP_XCHG, 8, w, 77, NULL));
	ASSERT_EQ(0, xm_exclusive(self->fd, self->p, SIZE, NULL));
	ASSERT_EQ(PAGES, xm_count_exclusive(self->p, SIZE));
	ASSERT_EQ(0, xm_stats(self->fd, &s0));
	/* One from the middle; both neighbours stay. */
	ASSERT_EQ(0, xm_release(self->fd, self->p + 4 * XM_PAGE, XM_PAGE,
				&done));
	EXPECT_EQ(XM_PAGE, done);
	EXPECT_FALSE(xm_is_exclusive(self->p + 4 * XM_PAGE));
	EXPECT_TRUE(xm_is_exclusive(self->p + 3 * XM_PAGE));
	EXPECT_TRUE(xm_is_exclusive(self->p + 5 * XM_PAGE));
	ASSERT_EQ(0, xm_stats(self->fd, &s1));
	EXPECT_EQ(1, s1.excl_released - s0.excl_released);
	/* All of them; a page that is not exclusive is skipped. */
	ASSERT_EQ(0, xm_release(self->fd, self->p, SIZE, &done));
	EXPECT_EQ(SIZE, done);
	EXPECT_EQ(0, xm_count_exclusive(self->p, SIZE));
	ASSERT_EQ(0, xm_stats(self->fd, &s1));
	EXPECT_EQ(PAGES, s1.excl_released - s0.excl_released);
	EXPECT_EQ(0, xm_page(self->fd, w).dev & XMIRROR_PTE_EXCLUSIVE);
	EXPECT_TRUE(xm_is_present(w));
	EXPECT_EQ(77, *w);
	/* Again, and of memory that was never touched: nothing to do */
	ASSERT_EQ(0, xm_release(self->fd, self->p, SIZE, &done));
	EXPECT_EQ(SIZE, done);
	ASSERT_EQ(0, xm_add(self->fd, w, 1));
	EXPECT_EQ(78, *w);
}

/* After a close the next access gets the pages. */
TEST_F(atomics, close_while_exclusive)
{
	__u64 *w = (__u64 *)self->p;
	size_t i;
	int fd;

	OPEN(fd, 0);
	for (i = 0; i < PAGES; i++) {
		ASSERT_EQ(0, xm_op(fd, XMIRROR_OP_XCHG, 8, w + i * XM_WORDS, i + 1,
				   NULL));
	}
	ASSERT_EQ(0, close(fd));
	/* Another mirror takes one, the CPU the others. */
	EXPECT_EQ(0, xm_add(self->fd, w, 100));
	EXPECT_TRUE(xm_is_exclusive(w));
	for (i = 0; i < PAGES; i++) {
		EXPECT_EQ(i ? i + 1 : 101, w[i * XM_WORDS]);
	}
	EXPECT_EQ(0, xm_count_exclusive(self->p, SIZE));
}

/* Two devices cannot both have a page. */
TEST_F(atomics, two_devices)
{
	__u64 *w = (__u64 *)self->p;
	int fd1;

	OPEN(fd1, 1);
	ASSERT_EQ(0, xm_add(self->fd, w, 1));
	EXPECT_LEAF(self->fd, w, LEAF_EXCL);
	ASSERT_EQ(0, xm_add(fd1, w, 1));
	EXPECT_LEAF(fd1, w, LEAF_EXCL);
	EXPECT_LEAF(self->fd, w, LEAF_NONE);
	EXPECT_TRUE(xm_is_exclusive(w));
	ASSERT_EQ(0, xm_add(self->fd, w, 1));
	EXPECT_LEAF(fd1, w, LEAF_NONE);
	/* Releasing the other mirror's page changes nothing. */
	EXPECT_EQ(0, xm_release(fd1, w, XM_PAGE, NULL));
	EXPECT_TRUE(xm_is_exclusive(w));
	EXPECT_LEAF(self->fd, w, LEAF_EXCL);
	/* A load by one mirror ends the exclusive access of the other. */
	EXPECT_EQ(0, xm_op(fd1, XMIRROR_OP_LOAD, 8, w, 0, NULL));
	EXPECT_LEAF(self->fd, w, LEAF_NONE);
	EXPECT_EQ(3, *w);
	/* Exclusive access by one mirror ends any access of the other. */
	EXPECT_TRUE(xm_page(fd1, w).dev & XMIRROR_PTE_VALID);
	ASSERT_EQ(0, xm_add(self->fd, w, 1));
	EXPECT_LEAF(fd1, w, LEAF_NONE);
	EXPECT_EQ(4, *w);
	EXPECT_CLEAN(fd1);
	close(fd1);
}

/* Two files of one device are two mirrors. */
TEST_F(atomics, two_files)
{
	__u64 *w = (__u64 *)self->p;
	int fd1;

	OPEN(fd1, 0);
	ASSERT_EQ(0, xm_add(self->fd, w, 1));
	ASSERT_EQ(0, xm_add(fd1, w, 1));
	EXPECT_LEAF(fd1, w, LEAF_EXCL);
	EXPECT_LEAF(self->fd, w, LEAF_NONE);
	ASSERT_EQ(0, xm_add(self->fd, w, 1));
	EXPECT_LEAF(self->fd, w, LEAF_EXCL);
	EXPECT_LEAF(fd1, w, LEAF_NONE);
	EXPECT_EQ(3, *w);
	EXPECT_CLEAN(fd1);
	close(fd1);
}

/*
 * A range fault may end the device's own exclusive access; the contents of the page
 * stay, and an atomic makes it exclusive again.
 */
TEST_F(atomics, fault_on_exclusive)
{
	__u64 *w = (__u64 *)self->p;

	ASSERT_EQ(0, xm_add(self->fd, w, 5));
	ASSERT_EQ(0, xm_fault(self->fd, w, XM_PAGE, 0, NULL));
	EXPECT_NE(0, xm_page(self->fd, w).dev & XMIRROR_PTE_VALID);
	EXPECT_CLEAN(self->fd);
	ASSERT_EQ(0, xm_add(self->fd, w, 5));
	ASSERT_EQ(0, xm_fault(self->fd, w, XM_PAGE, XMIRROR_FAULT_WRITE, NULL));
	EXPECT_NE(0, xm_page(self->fd, w).dev & XMIRROR_PTE_WRITE);
	EXPECT_CLEAN(self->fd);
	ASSERT_EQ(0, xm_add(self->fd, w, 5));
	EXPECT_LEAF(self->fd, w, LEAF_EXCL);
	EXPECT_EQ(15, *w);
}

/* Untouched memory, and the zero page */
TEST_F(atomics, fresh_and_zero_page)
{
	__u64 *w = (__u64 *)self->p, result = 1;
	struct xmirror_cmd cmd;

	ASSERT_EQ(0, xm_op(self->fd, XMIRROR_OP_ADD, 8, w, 3, &result));
	EXPECT_EQ(0, result);
	EXPECT_TRUE(xm_is_exclusive(w));
	EXPECT_EQ(0, XM_LOAD(w + XM_WORDS));
	ASSERT_EQ(0, xm_op(self->fd, XMIRROR_OP_LOAD, 8, w + XM_WORDS, 0, NULL));
	cmd = xm_cmds(XMIRROR_OP_ADD, 8, w + XM_WORDS, 8, XM_WORDS, 4);
	ASSERT_EQ(0, xm_run(self->fd, &cmd, NULL));
	EXPECT_LEAF(self->fd, w + XM_WORDS, LEAF_EXCL);
	/* Another mapping of the zero page is unchanged. */
	EXPECT_EQ(0, XM_LOAD(w + 2 * XM_WORDS));
	EXPECT_EQ(4, XM_LOAD(w + XM_WORDS));
	EXPECT_EQ(4, XM_LOAD(w + 2 * XM_WORDS - 1));
	EXPECT_EQ(3, XM_LOAD(w));
}

/* Swapped out, then made exclusive */
TEST_F(atomics, swapped)
{
	__u64 *w = (__u64 *)self->p;
	size_t i;

	for (i = 0; i < PAGES; i++)
		w[i * XM_WORDS] = i;
	if (xm_meminfo_kb("SwapTotal") <= 0)
		XM_SKIP(return, "no swap");
	ASSERT_EQ(0, xm_pageout(self->p, SIZE));
	EXPECT_TRUE(xm_is_swapped(w));
	for (i = 0; i < PAGES; i++) {
		ASSERT_EQ(0, xm_add(self->fd, w + i * XM_WORDS, 1000));
		EXPECT_TRUE(xm_is_exclusive(w + i * XM_WORDS));
	}
	for (i = 0; i < PAGES; i++) {
		EXPECT_EQ(i + 1000, w[i * XM_WORDS]);
	}
}

/* Reclaim of an exclusive page: it is swapped out, or it stays. */
TEST_F(atomics, pageout_exclusive)
{
	__u64 *w = (__u64 *)self->p;
	size_t i, gone;

	for (i = 0; i < PAGES; i++) {
		ASSERT_EQ(0, xm_op(self->fd, XMIRROR_OP_XCHG, 8, w + i * XM_WORDS,
				   i + 7, NULL));
	}
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, madvise(self->p, SIZE, MADV_PAGEOUT));
	}
	/* MADV_PAGEOUT skips what is not present. */
	gone = PAGES - xm_count_exclusive(self->p, SIZE);
	EXPECT_EQ(0, gone);
	EXPECT_CLEAN(self->fd);
	for (i = 0; i < PAGES; i++) {
		EXPECT_EQ(i + 7, XM_LOAD(w + i * XM_WORDS));
	}
	if (xm_meminfo_kb("SwapTotal") <= 0)
		XM_SKIP(return, "no swap");
	ASSERT_EQ(0, xm_pageout(self->p, SIZE));
	for (i = 0; i < PAGES; i++) {
		EXPECT_EQ(i + 7, XM_LOAD(w + i * XM_WORDS));
	}
}

/* Ranges */

TEST_F(atomics, batch)
{
	size_t len = 4UL << 20, i;
	struct xmirror_stats s;
	struct xmirror_cmd cmd;
	__u64 *w = xm_anon(len), done, sum = 0;

	ASSERT_NE(NULL, w);
	for (i = 0; i < len / 8; i += XM_WORDS)
		w[i] = i;
	ASSERT_EQ(0, xm_exclusive(self->fd, w, len, &done));
	EXPECT_EQ(len, done);
	EXPECT_EQ(len / XM_PAGE, xm_count_exclusive(w, len));
	ASSERT_EQ(0, xm_stats(self->fd, &s));
	EXPECT_EQ(len / XM_PAGE, s.excl_made);
	EXPECT_EQ(len / XM_PAGE, s.leaves);
	cmd = xm_cmds(XMIRROR_OP_ADD, 8, w, XM_PAGE, len / XM_PAGE, 1);
	ASSERT_EQ(0, xm_run(self->fd, &cmd, NULL));
	EXPECT_EQ(len / XM_PAGE, xm_count_exclusive(w, len));
	EXPECT_CLEAN(self->fd);
	for (i = 0; i < len / 8; i += XM_WORDS)
		sum += w[i] != i + 1;
	EXPECT_EQ(0, sum);
	EXPECT_EQ(0, xm_count_exclusive(w, len));
	ASSERT_EQ(0, munmap(w, len));
}

TEST_F(atomics, batch_meets_hole)
{
	__u64 *w = (__u64 *)self->p, done, fence, result = 0;
	struct xmirror_wait wait;
	struct xmirror_cmd cmd;
	size_t i;

	memset(self->p, 0, SIZE);
	ASSERT_EQ(0, munmap(self->p + 5 * XM_PAGE, XM_PAGE));
	EXPECT_EQ(-EFAULT, xm_exclusive(self->fd, self->p, SIZE, &done));
	EXPECT_EQ(5 * XM_PAGE, done);
	EXPECT_EQ(5, xm_count_exclusive(self->p, SIZE));
	/* The same, by a job */
	cmd = xm_cmds(XMIRROR_OP_ADD, 8, w, 64, SIZE / 64, 1);
	ASSERT_EQ(0, xm_submit(self->fd, 0, &cmd, 1, 9, &fence));
	ASSERT_EQ(0, xm_wait_results(self->fd, fence, XM_LONG, &result, 1,
				     &wait));
	EXPECT_EQ(-EFAULT, wait.status);
	EXPECT_EQ(5 * XM_PAGE / 64, wait.ops);
	EXPECT_EQ(0, wait.cmd);
	for (i = 0; i < 5 * XM_WORDS; i += 8) {
		ASSERT_EQ(1, w[i]);
	}
	for (i = 6 * XM_WORDS; i < SIZE / 8; i += 8) {
		ASSERT_EQ(0, w[i]);
	}
}

/* The timeout limits attempts without progress, not a long call. */
TEST_F(atomics, long_command_short_timeout)
{
	size_t len = 16UL << 20;
	char *p = xm_anon(len);
	struct xmirror_cmd cmd;

	ASSERT_NE(NULL, p);
	ASSERT_EQ(0, xm_set(self->fd, XMIRROR_SET_TIMEOUT, 50, NULL));
	cmd = xm_cmds(XMIRROR_OP_ADD, 8, p, XM_PAGE, len / XM_PAGE, 1);
	EXPECT_EQ(0, xm_run(self->fd, &cmd, NULL));
	EXPECT_EQ(1, p[len - XM_PAGE]);
}

TEST_HARNESS_MAIN
