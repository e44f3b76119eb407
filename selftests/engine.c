// SPDX-License-Identifier: GPL-2.0
/*
 * Engines: jobs run in order and side by side, can be waited for in every way,
 * cancelled, and cut short by the end of their file or process.
 */
#include <dirent.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "libtest.h"

#define PAGES	8UL
#define SIZE	(PAGES * XM_PAGE)

FIXTURE(engine) {
	int fd;
	__u64 *w;
	unsigned int engines;
};

FIXTURE_SETUP(engine)
{
	OPEN(self->fd, 0);
	self->w = xm_anon(SIZE);
	ASSERT_NE(NULL, self->w);
	memset(self->w, 0, SIZE);
	self->engines = xm_facts()->engines;
}

FIXTURE_TEARDOWN(engine)
{
	EXPECT_CLEAN(self->fd);
	close(self->fd);
}

/* A job that does not end by itself, and needs no exclusive access */
static int submit_endless(int fd, unsigned int engine, void *p, __u64 *fence)
{
	struct xmirror_cmd cmd = xm_cmds(XMIRROR_OP_STORE, 8, p, 0, 1000, 1);

	return xm_submit(fd, engine, &cmd, 1, ~0ULL, fence);
}

/* Wait until the CPU sees a value, as a sign that a job runs. */
static bool seen(__u64 *p, __u64 value)
{
	__u64 start = xm_now_ns();

	while (XM_LOAD(p) != value) {
		if (xm_expired(start, XM_LONG))
			return false;
		sched_yield();
	}
	return true;
}

TEST_F(engine, order)
{
	__u64 fences[100], value = 0, i;
	struct xmirror_wait w;

	/* Each job only finds its predecessor's value if that ran before. */
	for (i = 0; i < ARRAY_SIZE(fences); i++) {
		struct xmirror_cmd cmds[] = {
			xm_cmd(XMIRROR_OP_LOAD, 8, self->w, 0),
			xm_cmd(XMIRROR_OP_STORE, 8, self->w, i + 1),
		};

		ASSERT_EQ(0, xm_submit(self->fd, 1, cmds, 2, 1, &fences[i]));
		ASSERT_NE(0, fences[i]);
	}
	for (i = 0; i < ARRAY_SIZE(fences); i++) {
		ASSERT_EQ(0, xm_wait_results(self->fd, fences[i], XM_LONG,
					     &value, 1, &w));
		EXPECT_EQ(0, w.status);
		EXPECT_EQ(fences[i], w.fence_done);
		EXPECT_EQ(i, value);
	}
	EXPECT_EQ(100, *self->w);
}

TEST_F(engine, fences_differ)
{
	struct xmirror_cmd cmd = xm_cmd(XMIRROR_OP_LOAD, 8, self->w, 0);
	__u64 fences[64];
	size_t i, n;

	for (i = 0; i < ARRAY_SIZE(fences); i++) {
		ASSERT_EQ(0, xm_submit(self->fd, i % self->engines, &cmd, 1, 1,
				       &fences[i]));
		for (n = 0; n < i; n++) {
			ASSERT_NE(fences[n], fences[i]);
		}
	}
	/* In any order */
	for (i = ARRAY_SIZE(fences); i--; ) {
		EXPECT_EQ(0, xm_wait(self->fd, fences[i], XM_LONG, NULL));
	}
}

/* While one engine is held between two locations, the others work. */
TEST_F(engine, independent)
{
	struct xmirror_cmd cmd = xm_cmds(XMIRROR_OP_STORE, 8, self->w,
					 XM_PAGE, PAGES, 1);
	__u64 fence, other;
	unsigned int i;
	__u32 id;

	NEED(XMIRROR_CAP_SYNC);
	ASSERT_EQ(0, xm_sync_arm(self->fd, XMIRROR_PT_ACCESS, self->w, XM_PAGE,
				 &id));
	ASSERT_EQ(0, xm_submit(self->fd, 0, &cmd, 1, 1, &fence));
	ASSERT_EQ(0, xm_sync_reached(self->fd, id, XM_LONG));
	for (i = 1; i < self->engines; i++) {
		struct xmirror_cmd one = xm_cmd(XMIRROR_OP_STORE, 8,
						self->w + i, i);

		ASSERT_EQ(0, xm_submit(self->fd, i, &one, 1, 1, &other));
		EXPECT_EQ(0, xm_wait(self->fd, other, XM_LONG, NULL));
		EXPECT_EQ(i, self->w[i]);
	}
	EXPECT_EQ(-ETIMEDOUT, xm_wait(self->fd, fence, 0, NULL));
	EXPECT_EQ(0, XM_LOAD(self->w + (PAGES - 1) * 512));
	EXPECT_EQ(0, xm_sync_resume(self->fd, id, NULL));
	EXPECT_EQ(0, xm_wait(self->fd, fence, XM_LONG, NULL));
	EXPECT_EQ(1, self->w[(PAGES - 1) * 512]);
}

TEST_F(engine, wait_times_out)
{
	struct xmirror_wait w;
	__u64 fence;

	ASSERT_EQ(0, submit_endless(self->fd, 0, self->w, &fence));
	EXPECT_EQ(-ETIMEDOUT, xm_wait(self->fd, fence, 0, NULL));
	EXPECT_EQ(-ETIMEDOUT, xm_wait(self->fd, 0, 0, NULL));
	EXPECT_EQ(-ETIMEDOUT, xm_wait(self->fd, fence, 20, NULL));
	EXPECT_EQ(-ETIMEDOUT, xm_wait(self->fd, 0, 20, NULL));
	ASSERT_TRUE(seen(self->w, 1));
	/* It goes on: the next one sees it run. */
	XM_STORE(self->w, 0);
	EXPECT_TRUE(seen(self->w, 1));
	ASSERT_EQ(0, xm_cancel(self->fd, fence, &w));
	EXPECT_EQ(-ECANCELED, w.status);
	EXPECT_EQ(fence, w.fence_done);
	EXPECT_GT(w.ops, 0);
}

TEST_F(engine, cancel)
{
	struct xmirror_cmd cmd = xm_cmd(XMIRROR_OP_STORE, 8, self->w + 1, 7);
	__u64 running, queued, after, finished;
	struct xmirror_wait w;

	ASSERT_EQ(0, submit_endless(self->fd, 0, self->w, &running));
	ASSERT_EQ(0, xm_submit(self->fd, 0, &cmd, 1, 1, &queued));
	ASSERT_TRUE(seen(self->w, 1));
	/* One that waits in the queue never starts. */
	ASSERT_EQ(0, xm_cancel(self->fd, queued, &w));
	EXPECT_EQ(-ECANCELED, w.status);
	EXPECT_EQ(0, w.ops);
	EXPECT_EQ(0, w.cmd);
	EXPECT_EQ(0, w.nr_results);
	cmd.operand = 8;
	ASSERT_EQ(0, xm_submit(self->fd, 0, &cmd, 1, 1, &after));
	ASSERT_EQ(0, xm_cancel(self->fd, running, &w));
	EXPECT_EQ(-ECANCELED, w.status);
	EXPECT_EQ(0, w.cmd);
	/* The next one of the queue runs. */
	ASSERT_EQ(0, xm_wait(self->fd, after, XM_LONG, NULL));
	EXPECT_EQ(8, self->w[1]);
	/* Too late is no error. */
	ASSERT_EQ(0, xm_submit(self->fd, 0, &cmd, 1, 1, &finished));
	ASSERT_EQ(0, xm_submit(self->fd, 0, &cmd, 1, 1, &after));
	ASSERT_EQ(0, xm_wait(self->fd, after, XM_LONG, NULL));
	ASSERT_EQ(0, xm_cancel(self->fd, finished, &w));
	EXPECT_EQ(0, w.status);
	EXPECT_EQ(1, w.ops);
	EXPECT_EQ(-ENOENT, xm_cancel(self->fd, finished, NULL));
	/* What was cancelled does nothing any more. */
	XM_STORE(self->w, 0);
	EXPECT_EQ(0, xm_op(self->fd, XMIRROR_OP_LOAD, 8, self->w, 0, NULL));
	EXPECT_EQ(0, XM_LOAD(self->w));
}

/* A command of four thousand million locations can be cancelled, too. */
TEST_F(engine, cancel_one_long_command)
{
	struct xmirror_cmd cmd = xm_cmds(XMIRROR_OP_STORE, 8, self->w, 0, ~0U,
					 1);
	struct xmirror_wait w;
	__u64 fence;

	ASSERT_EQ(0, xm_submit(self->fd, 0, &cmd, 1, 1, &fence));
	ASSERT_TRUE(seen(self->w, 1));
	ASSERT_EQ(0, xm_cancel(self->fd, fence, &w));
	EXPECT_EQ(-ECANCELED, w.status);
	EXPECT_GT(w.ops, 0);
	EXPECT_LT(w.ops, ~0U);
	EXPECT_EQ(0, w.cmd);
}

/* Without CANCEL, fence 0 takes what is done first. */
TEST_F(engine, any_fence)
{
	struct xmirror_cmd cmd = xm_cmd(XMIRROR_OP_LOAD, 8, self->w, 0);
	__u64 slow, a, b;
	struct xmirror_wait w;

	EXPECT_EQ(-ENOENT, xm_wait(self->fd, 0, XM_LONG, &w));
	ASSERT_EQ(0, submit_endless(self->fd, 0, self->w, &slow));
	ASSERT_EQ(0, xm_submit(self->fd, 1, &cmd, 1, 1, &a));
	ASSERT_EQ(0, xm_wait(self->fd, 0, XM_LONG, &w));
	EXPECT_EQ(a, w.fence_done);
	ASSERT_EQ(0, xm_submit(self->fd, 2, &cmd, 1, 1, &a));
	ASSERT_EQ(0, xm_submit(self->fd, 2, &cmd, 1, 1, &b));
	ASSERT_EQ(0, xm_wait(self->fd, 0, XM_LONG, &w));
	EXPECT_EQ(a, w.fence_done);
	ASSERT_EQ(0, xm_wait(self->fd, 0, XM_LONG, &w));
	EXPECT_EQ(b, w.fence_done);
	EXPECT_EQ(-ETIMEDOUT, xm_wait(self->fd, 0, 0, &w));
	ASSERT_EQ(-ECANCELED, xm_cancel(self->fd, slow, NULL));
	EXPECT_EQ(-ENOENT, xm_wait(self->fd, 0, XM_LONG, &w));
}

/* Several threads wait for the same job: one of them gets it. */
static int wait_for_job(struct worker *w)
{
	return xm_wait(w->fd, w->arg, XM_LONG, NULL);
}

TEST_F(engine, two_waiters)
{
	struct worker a = { .fn = wait_for_job, .fd = self->fd };
	struct xmirror_cmd cmd = xm_cmds(XMIRROR_OP_STORE, 8, self->w, 8, 4, 1);
	struct worker b = a;
	__u64 fence;
	int ea, eb;
	__u32 id;

	NEED(XMIRROR_CAP_SYNC);
	ASSERT_EQ(0, xm_sync_arm(self->fd, XMIRROR_PT_ACCESS, NULL, 0, &id));
	ASSERT_EQ(0, xm_submit(self->fd, 0, &cmd, 1, 1, &fence));
	ASSERT_EQ(0, xm_sync_reached(self->fd, id, XM_LONG));
	a.arg = fence;
	b.arg = fence;
	ASSERT_EQ(0, worker_start(&a));
	ASSERT_EQ(0, worker_start(&b));
	EXPECT_TRUE(worker_blocked(&a, SYS_ioctl));
	EXPECT_TRUE(worker_blocked(&b, SYS_ioctl));
	EXPECT_EQ(0, xm_sync_resume(self->fd, id, NULL));
	ea = worker_join(&a);
	eb = worker_join(&b);
	EXPECT_TRUE((!ea && eb == -ENOENT) || (!eb && ea == -ENOENT)) {
		TH_LOG("%d, %d", ea, eb);
	}
}

/* poll() and eventfd */

static int poll_in(int fd, int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int n = poll(&p, 1, ms);

	return n < 0 ? -errno : n ? p.revents : 0;
}

TEST_F(engine, poll)
{
	struct xmirror_cmd cmd = xm_cmd(XMIRROR_OP_LOAD, 8, self->w, 0);
	__u64 a, b, slow;

	EXPECT_EQ(0, poll_in(self->fd, 0));
	ASSERT_EQ(0, submit_endless(self->fd, 1, self->w, &slow));
	EXPECT_EQ(0, poll_in(self->fd, 0));
	ASSERT_EQ(0, xm_submit(self->fd, 0, &cmd, 1, 1, &a));
	ASSERT_EQ(0, xm_submit(self->fd, 0, &cmd, 1, 1, &b));
	EXPECT_EQ(POLLIN, poll_in(self->fd, XM_LONG) & POLLIN);
	ASSERT_EQ(0, xm_wait(self->fd, a, XM_LONG, NULL));
	EXPECT_EQ(POLLIN, poll_in(self->fd, XM_LONG) & POLLIN);
	ASSERT_EQ(0, xm_wait(self->fd, b, XM_LONG, NULL));
	EXPECT_EQ(0, poll_in(self->fd, 0));
	/* A cancelled job is finished, too. */
	EXPECT_EQ(-ECANCELED, xm_cancel(self->fd, slow, NULL));
	EXPECT_EQ(0, poll_in(self->fd, 0));
}

static int poll_forever(struct worker *w)
{
	return poll_in(w->fd, XM_LONG) & POLLIN ? 0 : -ETIMEDOUT;
}

TEST_F(engine, poll_wakes)
{
	struct worker w = { .fn = poll_forever, .fd = self->fd };
	struct xmirror_cmd cmd = xm_cmd(XMIRROR_OP_LOAD, 8, self->w, 0);

	ASSERT_EQ(0, worker_start(&w));
	ASSERT_TRUE(worker_blocked(&w, SYS_poll));
	ASSERT_EQ(0, xm_submit(self->fd, 0, &cmd, 1, 1, NULL));
	EXPECT_EQ(0, worker_join(&w));
}

TEST_F(engine, eventfd)
{
	struct xmirror_cmd cmd = xm_cmd(XMIRROR_OP_ADD, 8, self->w, 1);
	struct xmirror_submit s = {
		.size = sizeof(s),
		.flags = XMIRROR_SUBMIT_EVENTFD,
		.nr_cmds = 1,
		.cmds = (uintptr_t)&cmd,
		.repeat = 1,
		.eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
	};
	__u64 count = 0, total = 0, start;
	int i, efd = s.eventfd;

	ASSERT_GE(efd, 0);
	if (!(xm_caps() & XMIRROR_CAP_EXCLUSIVE))
		cmd.op = XMIRROR_OP_STORE;
	ASSERT_EQ(0, xm_ioctl(self->fd, XMIRROR_IOC_SUBMIT, &s));
	EXPECT_EQ(POLLIN, poll_in(efd, XM_LONG));
	EXPECT_EQ(8, read(efd, &count, 8));
	EXPECT_EQ(1, count);
	EXPECT_EQ(1, *self->w);
	/* The job is done when the event comes. */
	EXPECT_EQ(0, xm_wait(self->fd, s.fence, 0, NULL));
	/* Ten jobs, ten events */
	for (i = 0; i < 10; i++) {
		s.engine = i % self->engines;
		ASSERT_EQ(0, xm_ioctl(self->fd, XMIRROR_IOC_SUBMIT, &s));
	}
	start = xm_now_ns();
	while (total < 10 && !xm_expired(start, XM_LONG)) {
		if (poll_in(efd, XM_LONG) & POLLIN) {
			ASSERT_EQ(8, read(efd, &count, 8));
			total += count;
		}
	}
	EXPECT_EQ(10, total);
	/* A failed job, a cancelled one: they are done all the same. */
	cmd.op = XMIRROR_OP_LOAD;
	cmd.addr = (uintptr_t)xm_hole(XM_PAGE);
	ASSERT_EQ(0, xm_ioctl(self->fd, XMIRROR_IOC_SUBMIT, &s));
	EXPECT_EQ(POLLIN, poll_in(efd, XM_LONG));
	EXPECT_EQ(8, read(efd, &count, 8));
	EXPECT_EQ(-EFAULT, xm_wait(self->fd, s.fence, 0, NULL));
	cmd.addr = (uintptr_t)self->w;
	s.repeat = ~0ULL;
	ASSERT_EQ(0, xm_ioctl(self->fd, XMIRROR_IOC_SUBMIT, &s));
	EXPECT_EQ(-ECANCELED, xm_cancel(self->fd, s.fence, NULL));
	EXPECT_EQ(POLLIN, poll_in(efd, XM_LONG));
	/* The event descriptor may go before the job. */
	ASSERT_EQ(0, xm_ioctl(self->fd, XMIRROR_IOC_SUBMIT, &s));
	close(efd);
	EXPECT_EQ(-ECANCELED, xm_cancel(self->fd, s.fence, NULL));
}

TEST_F(engine, too_many_jobs)
{
	struct xmirror_cmd cmd = xm_cmd(XMIRROR_OP_LOAD, 8, self->w, 0);
	__u64 fences[256], fence = 77;
	int i, fd;

	for (i = 0; i < 256; i++) {
		ASSERT_EQ(0, xm_submit(self->fd, i % self->engines, &cmd, 1, 1,
				       &fences[i]));
	}
	EXPECT_EQ(-EAGAIN, xm_submit(self->fd, 0, &cmd, 1, 1, &fence));
	EXPECT_EQ(-EAGAIN, xm_submit(self->fd, 1, &cmd, 1, 1, NULL));
	/* Done is not enough, they want to be waited for. */
	EXPECT_EQ(0, xm_wait(self->fd, fences[255], XM_LONG, NULL));
	EXPECT_EQ(0, xm_submit(self->fd, 0, &cmd, 1, 1, &fences[255]));
	EXPECT_EQ(-EAGAIN, xm_submit(self->fd, 0, &cmd, 1, 1, NULL));
	/* Another file has its own. */
	OPEN(fd, 0);
	EXPECT_EQ(0, xm_op(fd, XMIRROR_OP_LOAD, 8, self->w, 0, NULL));
	close(fd);
	for (i = 0; i < 256; i++) {
		EXPECT_EQ(0, xm_wait(self->fd, fences[i], XM_LONG, NULL));
	}
	EXPECT_EQ(-ENOENT, xm_wait(self->fd, 0, XM_LONG, NULL));
}

TEST_F(engine, failing_command)
{
	struct xmirror_cmd cmds[] = {
		xm_cmd(XMIRROR_OP_STORE, 8, self->w, 11),
		xm_cmds(XMIRROR_OP_STORE, 8, self->w + 512, 8, 100, 22),
		xm_cmds(XMIRROR_OP_LOAD, 8, self->w + 512 * 3 - 16, 8, 100, 0),
		xm_cmd(XMIRROR_OP_STORE, 8, self->w + 1, 33),
	};
	struct xmirror_stats before, after;
	struct xmirror_wait w;
	__u64 fence;

	ASSERT_EQ(0, munmap(self->w + 512 * 3, XM_PAGE));
	ASSERT_EQ(0, xm_stats(self->fd, &before));
	ASSERT_EQ(0, xm_submit(self->fd, 0, cmds, 4, 5, &fence));
	ASSERT_EQ(0, xm_wait(self->fd, fence, XM_LONG, &w));
	EXPECT_EQ(-EFAULT, w.status);
	EXPECT_EQ(2, w.cmd);
	EXPECT_EQ(1 + 100 + 16, w.ops);
	EXPECT_EQ(11, self->w[0]);
	EXPECT_EQ(22, self->w[512 + 99]);
	EXPECT_EQ(0, self->w[1]);
	ASSERT_EQ(0, xm_stats(self->fd, &after));
	EXPECT_EQ(117, after.ops - before.ops);
	EXPECT_EQ(1, after.jobs - before.jobs);
	/* The next job of the queue is not affected. */
	EXPECT_EQ(0, xm_op(self->fd, XMIRROR_OP_STORE, 8, self->w + 1, 44,
			   NULL));
	EXPECT_EQ(44, self->w[1]);
}

/* A failure in a later repeat is reported with all that came before. */
TEST_F(engine, fails_when_unmapped)
{
	struct xmirror_cmd cmds[] = {
		xm_cmd(XMIRROR_OP_STORE, 8, self->w, 1),
		xm_cmd(XMIRROR_OP_LOAD, 8, self->w + 512, 0),
	};
	struct xmirror_wait w;
	__u64 fence;

	ASSERT_EQ(0, xm_submit(self->fd, 0, cmds, 2, ~0ULL, &fence));
	ASSERT_TRUE(seen(self->w, 1));
	ASSERT_EQ(0, munmap(self->w + 512, XM_PAGE));
	ASSERT_EQ(0, xm_wait(self->fd, fence, XM_LONG, &w));
	EXPECT_EQ(-EFAULT, w.status);
	EXPECT_EQ(1, w.cmd);
	EXPECT_GT(w.ops, 0);
	EXPECT_EQ(1, w.ops % 2);
}

/* A signal ends the wait, not the job. */

static void nothing(int sig)
{
	(void)sig;
}

TEST_F(engine, interrupted_wait)
{
	struct sigaction sa = { .sa_handler = nothing };
	struct worker w = { .fn = wait_for_job, .fd = self->fd };
	__u64 fence, start = xm_now_ns();

	ASSERT_EQ(0, sigaction(SIGUSR1, &sa, NULL));
	ASSERT_EQ(0, submit_endless(self->fd, 0, self->w, &fence));
	w.arg = fence;
	ASSERT_EQ(0, worker_start(&w));
	ASSERT_TRUE(worker_blocked(&w, SYS_ioctl));
	while (!worker_ended(&w) && !xm_expired(start, XM_LONG)) {
		pthread_kill(w.thread, SIGUSR1);
		sched_yield();
	}
	EXPECT_EQ(-EINTR, worker_join(&w));
	XM_STORE(self->w, 0);
	EXPECT_TRUE(seen(self->w, 1));
	EXPECT_EQ(-ECANCELED, xm_cancel(self->fd, fence, NULL));
}

/* Files come and go. */

/* One command is enough to keep an engine busy for ever. */
TEST_F(engine, close_in_a_long_command)
{
	struct xmirror_cmd cmd = xm_cmds(XMIRROR_OP_STORE, 8, self->w, 0,
					 ~0U, 1);
	__u64 fence, value = 1;
	int fd;

	OPEN(fd, 0);
	ASSERT_EQ(0, xm_submit(fd, 0, &cmd, 1, 1, &fence));
	ASSERT_TRUE(seen(self->w, 1));
	ASSERT_EQ(0, close(fd));
	XM_STORE(self->w, 0);
	cmd = xm_cmd(XMIRROR_OP_LOAD, 8, self->w, 0);
	ASSERT_EQ(0, xm_run_on(self->fd, 0, &cmd, &value));
	EXPECT_EQ(0, value);
}

TEST_F(engine, close_with_jobs)
{
	unsigned int i, n;
	__u64 fence;
	int fd;

	for (n = 0; n < 5; n++) {
		OPEN(fd, 0);
		for (i = 0; i < self->engines; i++) {
			ASSERT_EQ(0, submit_endless(fd, i, self->w + 512 * i,
						    &fence));
			ASSERT_EQ(0, submit_endless(fd, i, self->w + 512 * i,
						    &fence));
		}
		ASSERT_TRUE(seen(self->w, 1));
		ASSERT_EQ(0, close(fd));
		/* Nothing writes any more. */
		for (i = 0; i < self->engines; i++)
			XM_STORE(self->w + 512 * i, 0);
		/* The engines are free, and have been through all since. */
		for (i = 0; i < self->engines; i++) {
			struct xmirror_cmd cmd = xm_cmd(XMIRROR_OP_LOAD, 8,
							self->w + 512 * i, 0);
			__u64 value = 1;

			ASSERT_EQ(0, xm_run_on(self->fd, i, &cmd, &value));
			EXPECT_EQ(0, value);
		}
		for (i = 0; i < self->engines; i++) {
			EXPECT_EQ(0, XM_LOAD(self->w + 512 * i));
			XM_STORE(self->w + 512 * i, 0);
		}
	}
}

/* A short job need not wait for another file's endless one. */
TEST_F(engine, files_share_an_engine)
{
	__u64 a, b, i;
	int fd;

	OPEN(fd, 0);
	ASSERT_EQ(0, submit_endless(self->fd, 0, self->w, &a));
	ASSERT_TRUE(seen(self->w, 1));
	for (i = 0; i < 5; i++) {
		EXPECT_EQ(0, xm_op(fd, XMIRROR_OP_STORE, 8, self->w + 512, i,
				   NULL));
		EXPECT_EQ(i, self->w[512]);
	}
	/* Two endless ones take turns. */
	ASSERT_EQ(0, submit_endless(fd, 0, self->w + 1024, &b));
	for (i = 0; i < 3; i++) {
		XM_STORE(self->w, 0);
		EXPECT_TRUE(seen(self->w, 1));
		XM_STORE(self->w + 1024, 0);
		EXPECT_TRUE(seen(self->w + 1024, 1));
	}
	EXPECT_EQ(-ECANCELED, xm_cancel(self->fd, a, NULL));
	EXPECT_EQ(-ECANCELED, xm_cancel(fd, b, NULL));
	EXPECT_CLEAN(fd);
	close(fd);
}

TEST_F(engine, many_files)
{
	struct xmirror_cmd cmd;
	unsigned int i;
	int fds[40];

	for (i = 0; i < ARRAY_SIZE(fds); i++) {
		OPEN(fds[i], i % 2);
		cmd = xm_cmd(XMIRROR_OP_STORE, 8, self->w + i, i + 1);
		ASSERT_EQ(0, xm_submit(fds[i], i % self->engines, &cmd, 1, 1,
				       NULL));
	}
	for (i = 0; i < ARRAY_SIZE(fds); i++) {
		EXPECT_EQ(0, xm_wait(fds[i], 0, XM_LONG, NULL));
		EXPECT_EQ(i + 1, self->w[i]);
		EXPECT_CLEAN(fds[i]);
		close(fds[i]);
	}
}

/*
 * A process is killed with jobs running, one parked between two locations, one
 * parked with locks held, and a thread in a call.
 */

struct victim {
	unsigned int engines;
	enum xmirror_point point;
	bool in_call;
};

static int be_killed(struct child *c, void *arg)
{
	struct victim *v = arg;
	__u64 *w = xm_anon(SIZE);
	struct xmirror_cmd cmd;
	unsigned int i;
	__u32 id;
	int fd = xm_open(0);
	bool excl = xm_caps() & XMIRROR_CAP_EXCLUSIVE;

	CHILD_CHECK(w);
	CHILD_CHECK(fd >= 0);
	memset(w, 0, SIZE);
	for (i = 1; i < v->engines; i++) {
		cmd = xm_cmds(excl ? XMIRROR_OP_ADD : XMIRROR_OP_STORE, 8,
			      w + 512 * i, 8, 500, 1);
		CHILD_CHECK(!xm_submit(fd, i, &cmd, 1, ~0ULL, NULL));
		CHILD_CHECK(!xm_submit(fd, i, &cmd, 1, ~0ULL, NULL));
	}
	CHILD_CHECK(!xm_sync_arm(fd, v->point, w, XM_PAGE, &id));
	if (v->in_call) {
		struct worker *t = calloc(1, sizeof(*t));

		t->fn = v->point >= XMIRROR_PT_EXCL_BEGIN ? work_exclusive :
							    work_fault_write;
		t->fd = fd;
		t->addr = w;
		t->len = XM_PAGE;
		CHILD_CHECK(!worker_start(t));
	} else {
		cmd = xm_cmds(excl ? XMIRROR_OP_ADD : XMIRROR_OP_STORE, 8, w, 8,
			      100, 1);
		CHILD_CHECK(!xm_submit(fd, 0, &cmd, 1, 1, NULL));
	}
	CHILD_CHECK(!xm_sync_reached(fd, id, XM_LONG));
	CHILD_CHECK(!child_tell(c, 'r'));
	child_hear(c);
	return 0;
}

static void kill_one(struct __test_metadata *_metadata, int fd, __u64 *w,
		     struct victim *v)
{
	struct xmirror_cmd cmd;
	struct child c;
	unsigned int i;

	ASSERT_EQ(0, child_start(&c, be_killed, v));
	ASSERT_EQ('r', child_hear(&c)) {
		TH_LOG("point %u was not reached", v->point);
	}
	ASSERT_EQ(0, kill(c.pid, SIGKILL));
	EXPECT_EQ(128 + SIGKILL, child_end(&c)) {
		TH_LOG("parked at point %u", v->point);
	}
	for (i = 0; i < v->engines; i++) {
		cmd = xm_cmd(XMIRROR_OP_STORE, 8, w, 100 + i);
		EXPECT_EQ(0, xm_run_on(fd, i, &cmd, NULL)) {
			TH_LOG("engine %u after point %u", i, v->point);
		}
		EXPECT_EQ(100 + i, *w);
	}
}

TEST_F(engine, killed_with_jobs)
{
	static const enum xmirror_point points[] = {
		XMIRROR_PT_ACCESS, XMIRROR_PT_EXCL_BEGIN, XMIRROR_PT_EXCL_MADE,
		XMIRROR_PT_EXCL_COMMITTED, XMIRROR_PT_EXCL_DONE,
	};
	struct victim v = { .engines = self->engines };
	unsigned int i;

	NEED(XMIRROR_CAP_SYNC | XMIRROR_CAP_EXCLUSIVE);
	for (i = 0; i < ARRAY_SIZE(points); i++) {
		v.point = points[i];
		kill_one(_metadata, self->fd, self->w, &v);
	}
}

TEST_F(engine, killed_in_a_call)
{
	static const enum xmirror_point points[] = {
		XMIRROR_PT_FAULT_BEGIN, XMIRROR_PT_FAULT_WALKED,
		XMIRROR_PT_FAULT_DONE, XMIRROR_PT_EXCL_BEGIN,
		XMIRROR_PT_EXCL_MADE, XMIRROR_PT_EXCL_DONE,
	};
	struct victim v = { .engines = self->engines, .in_call = true };
	unsigned int i;

	NEED(XMIRROR_CAP_SYNC | XMIRROR_CAP_EXCLUSIVE);
	for (i = 0; i < ARRAY_SIZE(points); i++) {
		v.point = points[i];
		kill_one(_metadata, self->fd, self->w, &v);
	}
}

/* A wait that is killed */
static int killed_waiting(struct child *c, void *arg)
{
	__u64 *w = xm_anon(SIZE), fence;
	struct worker t = { .fn = wait_for_job, .fd = xm_open(0) };

	(void)arg;
	CHILD_CHECK(w);
	CHILD_CHECK(t.fd >= 0);
	CHILD_CHECK(!submit_endless(t.fd, 0, w, &fence));
	t.arg = fence;
	CHILD_CHECK(!worker_start(&t));
	CHILD_CHECK(worker_blocked(&t, SYS_ioctl));
	CHILD_CHECK(!child_tell(c, 'r'));
	child_hear(c);
	return 0;
}

TEST_F(engine, killed_waiting)
{
	struct child c;

	ASSERT_EQ(0, child_start(&c, killed_waiting, NULL));
	ASSERT_EQ('r', child_hear(&c));
	ASSERT_EQ(0, kill(c.pid, SIGKILL));
	EXPECT_EQ(128 + SIGKILL, child_end(&c));
	EXPECT_EQ(0, xm_op(self->fd, XMIRROR_OP_STORE, 8, self->w, 3, NULL));
	EXPECT_EQ(3, *self->w);
}

/* Many short-lived processes, each leaving jobs behind */
static int leave_jobs(struct child *c, void *arg)
{
	__u64 *w = arg, fence;
	int fd = xm_open(getpid() & 1);

	(void)c;
	CHILD_CHECK(fd >= 0);
	CHILD_CHECK(!submit_endless(fd, getpid() % 4, w, &fence));
	if (xm_caps() & XMIRROR_CAP_EXCLUSIVE)
		CHILD_CHECK(!xm_exclusive(fd, w + 512, 4 * XM_PAGE, NULL));
	return 0;
}

TEST_F(engine, abandoned_jobs)
{
	struct child c[20];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(c); i++) {
		ASSERT_EQ(0, child_start(&c[i], leave_jobs, self->w));
	}
	for (i = 0; i < ARRAY_SIZE(c); i++) {
		EXPECT_EQ(0, child_end(&c[i]));
	}
	EXPECT_EQ(0, *self->w);
	EXPECT_EQ(0, xm_op(self->fd, XMIRROR_OP_STORE, 8, self->w, 3, NULL));
	EXPECT_EQ(3, *self->w);
}

/* The file of an opener that is alive, closed here by its last holder. */
/* The thread of an engine, by its name; 0 if there is none */
static pid_t engine_thread(unsigned int dev, unsigned int id)
{
	char path[64], want[32], name[32];
	struct dirent *entry;
	pid_t found = 0;
	DIR *dir = opendir("/proc");
	FILE *f;

	snprintf(want, sizeof(want), "xmirror%u/%u\n", dev, id);
	while (dir && !found) {
		entry = readdir(dir);
		if (!entry)
			break;
		snprintf(path, sizeof(path), "/proc/%.16s/comm", entry->d_name);
		f = fopen(path, "re");
		if (!f)
			continue;
		if (fgets(name, sizeof(name), f) && !strcmp(name, want))
			found = atoi(entry->d_name);
		fclose(f);
	}
	if (dir)
		closedir(dir);
	return found;
}

/* The control group's state becomes this */
static bool freezer_says(const char *path, const char *want)
{
	__u64 start = xm_now_ns();
	char line[32] = "";
	FILE *f;

	while (!xm_expired(start, XM_LONG)) {
		f = fopen(path, "re");
		if (!f)
			return false;
		if (!fgets(line, sizeof(line), f))
			line[0] = 0;
		fclose(f);
		line[strcspn(line, "\n")] = 0;
		if (!strcmp(line, want))
			return true;
		sched_yield();
	}
	printf("# %s says %s\n", path, line);
	return false;
}

#define FREEZER	"/tmp/freezer"
#define GROUP	FREEZER "/engine"

/*
 * As when the system is suspended, which a control group can do to one thread: the
 * engine stops between two slices, does nothing until it is thawed, and goes on
 * with the same job. What the CPU does meanwhile needs no engine.
 */
TEST_F(engine, freezes_in_a_job)
{
	pid_t pid = engine_thread(0, 1);
	unsigned int i;
	__u64 fence;
	char text[16];

	ASSERT_NE(0, pid);
	mkdir(FREEZER, 0700);
	if (mount("none", FREEZER, "cgroup", 0, "freezer"))
		SKIP(return, "no freezer: CONFIG_CGROUP_FREEZER");
	ASSERT_EQ(0, mkdir(GROUP, 0700));
	snprintf(text, sizeof(text), "%d", pid);
	ASSERT_EQ(0, xm_write_file(GROUP "/cgroup.procs", text));
	ASSERT_EQ(0, submit_endless(self->fd, 1, self->w, &fence));
	ASSERT_TRUE(seen(self->w, 1));
	ASSERT_EQ(0, xm_write_file(GROUP "/freezer.state", "FROZEN"));
	EXPECT_TRUE(freezer_says(GROUP "/freezer.state", "FROZEN"));

	XM_STORE(self->w, 0);
	for (i = 0; i < 100; i++) {
		sched_yield();
		EXPECT_EQ(0, mprotect(self->w, SIZE, PROT_READ));
		EXPECT_EQ(0, mprotect(self->w, SIZE, PROT_READ | PROT_WRITE));
		EXPECT_EQ(0, XM_LOAD(self->w));
	}
	EXPECT_EQ(0, xm_write(self->fd, self->w + 1, &fence, sizeof(fence)));
	EXPECT_EQ(fence, XM_LOAD(self->w + 1));
	EXPECT_CLEAN(self->fd);

	EXPECT_EQ(0, xm_write_file(GROUP "/freezer.state", "THAWED"));
	EXPECT_TRUE(seen(self->w, 1));
	EXPECT_EQ(-ECANCELED, xm_cancel(self->fd, fence, NULL));
	EXPECT_EQ(0, xm_write_file(FREEZER "/cgroup.procs", text));
	EXPECT_EQ(0, rmdir(GROUP));
	EXPECT_EQ(0, umount(FREEZER));
}

static int hold_file(struct child *c, void *arg)
{
	int fd = child_recv_fd(c);

	(void)arg;
	CHILD_CHECK(fd >= 0);
	CHILD_CHECK(!child_tell(c, 'g'));
	CHILD_CHECK(child_hear(c) == 'c');
	CHILD_CHECK(!close(fd));
	CHILD_CHECK(!child_tell(c, 'c'));
	return 0;
}

TEST_F(engine, last_close_elsewhere)
{
	struct child c;
	__u64 fence;
	int fd;

	ASSERT_EQ(0, child_start(&c, hold_file, NULL));
	OPEN(fd, 0);
	ASSERT_EQ(0, submit_endless(fd, 0, self->w, &fence));
	ASSERT_EQ(0, child_send_fd(&c, fd));
	ASSERT_EQ('g', child_hear(&c));
	ASSERT_EQ(0, close(fd));
	/* The other holder keeps it open, so the job goes on. */
	XM_STORE(self->w, 0);
	EXPECT_TRUE(seen(self->w, 1));
	ASSERT_EQ(0, child_tell(&c, 'c'));
	ASSERT_EQ('c', child_hear(&c));
	XM_STORE(self->w, 0);
	EXPECT_EQ(0, xm_op(self->fd, XMIRROR_OP_LOAD, 8, self->w, 0, NULL));
	EXPECT_EQ(0, XM_LOAD(self->w));
	EXPECT_EQ(0, child_end(&c));
}

TEST_HARNESS_MAIN
