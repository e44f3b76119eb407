// SPDX-License-Identifier: GPL-2.0
/*
 * Engines: jobs run in order and side by side, can be waited for in every way, and
 * cancelled. Their early ends are in teardown.c, suspend in freeze.c.
 */
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/time.h>

#include "uffd.h"
#include "fixture.h"

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
	EXPECT_EQ(0, XM_LOAD(self->w + (PAGES - 1) * XM_WORDS));
	EXPECT_EQ(0, xm_sync_resume(self->fd, id, NULL));
	EXPECT_EQ(0, xm_wait(self->fd, fence, XM_LONG, NULL));
	EXPECT_EQ(1, self->w[(PAGES - 1) * XM_WORDS]);
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
	/* A cancelled job does nothing any more. */
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
TEST_F(engine, two_waiters)
{
	struct worker a = { .fn = work_wait, .fd = self->fd };
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
		xm_cmds(XMIRROR_OP_STORE, 8, self->w + XM_WORDS, 8, 100, 22),
		xm_cmds(XMIRROR_OP_LOAD, 8, self->w + XM_WORDS * 3 - 16, 8, 100, 0),
		xm_cmd(XMIRROR_OP_STORE, 8, self->w + 1, 33),
	};
	struct xmirror_stats before, after;
	struct xmirror_wait w;
	__u64 fence;

	ASSERT_EQ(0, munmap(self->w + XM_WORDS * 3, XM_PAGE));
	ASSERT_EQ(0, xm_stats(self->fd, &before));
	ASSERT_EQ(0, xm_submit(self->fd, 0, cmds, 4, 5, &fence));
	ASSERT_EQ(0, xm_wait(self->fd, fence, XM_LONG, &w));
	EXPECT_EQ(-EFAULT, w.status);
	EXPECT_EQ(2, w.cmd);
	EXPECT_EQ(1 + 100 + 16, w.ops);
	EXPECT_EQ(11, self->w[0]);
	EXPECT_EQ(22, self->w[XM_WORDS + 99]);
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
		xm_cmd(XMIRROR_OP_LOAD, 8, self->w + XM_WORDS, 0),
	};
	struct xmirror_wait w;
	__u64 fence;

	ASSERT_EQ(0, xm_submit(self->fd, 0, cmds, 2, ~0ULL, &fence));
	ASSERT_TRUE(seen(self->w, 1));
	ASSERT_EQ(0, munmap(self->w + XM_WORDS, XM_PAGE));
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
	struct worker w = { .fn = work_wait, .fd = self->fd };
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

static __u64 handled;

static void count(int sig)
{
	(void)sig;
	XM_ADD(&handled, 1);
}

/* With SA_RESTART the wait goes on, with what is left of its time. */
TEST_F(engine, restarted_wait)
{
	struct sigaction sa = { .sa_handler = count, .sa_flags = SA_RESTART };
	struct worker w = { .fn = work_wait, .fd = self->fd };
	__u64 i, start = xm_now_ns();

	ASSERT_EQ(0, sigaction(SIGUSR1, &sa, NULL));
	ASSERT_EQ(0, submit_endless(self->fd, 0, self->w, &w.arg));
	ASSERT_EQ(0, worker_start(&w));
	for (i = 0; i < 10; i++) {
		ASSERT_TRUE(worker_blocked(&w, SYS_ioctl));
		ASSERT_EQ(0, pthread_kill(w.thread, SIGUSR1));
		/* Until then it looks as blocked as before. */
		while (XM_LOAD(&handled) <= i && !xm_expired(start, XM_LONG))
			sched_yield();
		ASSERT_EQ(i + 1, XM_LOAD(&handled));
	}
	EXPECT_FALSE(worker_ended(&w));
	/* It ends with the job: the other takes the record, or this one does. */
	xm_cancel(self->fd, w.arg, NULL);
	EXPECT_NE(-EINTR, worker_join(&w));
}

/* A signal tells how much time was left. */
TEST_F(engine, time_left_of_a_wait)
{
	struct xmirror_wait wait = { .size = sizeof(wait), .timeout_ms = XM_LONG };
	struct sigaction sa = { .sa_handler = nothing };
	struct itimerval often = { { 0, 5000 }, { 0, 5000 } };
	__u64 start = xm_now_ns();

	ASSERT_EQ(0, sigaction(SIGALRM, &sa, NULL));
	ASSERT_EQ(0, submit_endless(self->fd, 0, self->w, &wait.fence));
	ASSERT_EQ(0, setitimer(ITIMER_REAL, &often, NULL));
	while (wait.timeout_ms == XM_LONG && !xm_expired(start, XM_LONG)) {
		ASSERT_EQ(-EINTR,
			  xm_ioctl(self->fd, XMIRROR_IOC_WAIT, &wait));
	}
	EXPECT_LT(wait.timeout_ms, XM_LONG);
	memset(&often, 0, sizeof(often));
	ASSERT_EQ(0, setitimer(ITIMER_REAL, &often, NULL));
	EXPECT_EQ(-ECANCELED, xm_cancel(self->fd, wait.fence, NULL));
}

/* A call that is tried again and again ends for whoever does not want it. */
TEST_F(engine, cancel_in_a_retry)
{
	struct xmirror_wait w = {
		.size = sizeof(w),
		.flags = XMIRROR_WAIT_CANCEL,
		.timeout_ms = XM_LONG,
	};

	ASSERT_EQ(0, submit_retried(self->fd, 0, self->w, &w.fence));
	EXPECT_EQ(0, xm_ioctl(self->fd, XMIRROR_IOC_WAIT, &w));
	EXPECT_EQ(-ECANCELED, w.status);
	EXPECT_EQ(0, w.ops);
	/* The engine is free. */
	EXPECT_EQ(0, xm_inject_end(self->fd, XMIRROR_INJECT_COMMIT, NULL, NULL));
	EXPECT_EQ(0, xm_op(self->fd, XMIRROR_OP_STORE, 8, self->w, 2, NULL));
	EXPECT_EQ(2, XM_LOAD(self->w));
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
		EXPECT_EQ(0, xm_op(fd, XMIRROR_OP_STORE, 8, self->w + XM_WORDS, i,
				   NULL));
		EXPECT_EQ(i, self->w[XM_WORDS]);
	}
	/* Two endless ones take turns. */
	ASSERT_EQ(0, submit_endless(fd, 0, self->w + 2 * XM_WORDS, &b));
	for (i = 0; i < 3; i++) {
		XM_STORE(self->w, 0);
		EXPECT_TRUE(seen(self->w, 1));
		XM_STORE(self->w + 2 * XM_WORDS, 0);
		EXPECT_TRUE(seen(self->w + 2 * XM_WORDS, 1));
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

/* Waits for the first result, which goes to a page that nobody has filled yet. */
static int work_late_result(struct worker *w)
{
	struct xmirror_wait wait = {};

	return xm_wait_results(w->fd, w->arg, XM_LONG, w->addr, 1, &wait);
}

/* A job that a waiter has claimed is not handed out again. */
TEST_F(engine, cancel_beside_a_claimed_job)
{
	struct xmirror_cmd cmd = xm_cmd(XMIRROR_OP_LOAD, 8, self->w, 0);
	struct pollfd p = { .fd = self->fd, .events = POLLIN };
	struct worker w = {
		.fn = work_late_result,
		.fd = self->fd,
		.addr = xm_anon(XM_PAGE),
	};
	void *page = xm_anon(XM_PAGE);
	struct xmirror_wait wait = {};
	int uffd = xm_uffd(0);
	__u64 fence;

	if (uffd < 0)
		XM_SKIP(return, "no CONFIG_USERFAULTFD");
	ASSERT_NE(NULL, w.addr);
	ASSERT_NE(NULL, page);
	memset(page, 0, XM_PAGE);
	ASSERT_EQ(0, xm_uffd_register(uffd, w.addr, XM_PAGE,
				      UFFDIO_REGISTER_MODE_MISSING));
	ASSERT_EQ(0, xm_submit(self->fd, 0, &cmd, 1, 1, &w.arg));
	ASSERT_EQ(0, worker_start(&w));
	ASSERT_EQ(0, xm_uffd_wait(uffd));
	ASSERT_EQ(0, submit_endless(self->fd, 1, self->w + XM_WORDS, &fence));
	ASSERT_TRUE(seen(self->w + XM_WORDS, 1));
	EXPECT_EQ(0, poll(&p, 1, 0));
	EXPECT_EQ(0, xm_cancel(self->fd, 0, &wait));
	EXPECT_EQ(fence, wait.fence_done);
	EXPECT_EQ(-ECANCELED, wait.status);
	ASSERT_EQ(0, xm_uffd_fill(uffd, w.addr, page));
	EXPECT_EQ(0, worker_join(&w));
	close(uffd);
}

TEST_HARNESS_MAIN
