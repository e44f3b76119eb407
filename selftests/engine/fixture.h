/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The fixture of the tests of engines: memory, and jobs that are seen to run.
 */
#ifndef SELFTESTS_ENGINE_FIXTURE_H
#define SELFTESTS_ENGINE_FIXTURE_H

#include "test.h"

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

/* A job that is tried again for ten minutes, and is seen to be */
static inline int submit_retried(int fd, unsigned int engine, void *p, __u64 *fence)
{
	struct xmirror_cmd cmd = xm_cmd(XMIRROR_OP_STORE, 8, p, 1);
	__u64 start = xm_now_ns();
	struct xmirror_stats s;
	int err;

	err = xm_set(fd, XMIRROR_SET_TIMEOUT, 600000, NULL);
	if (!err)
		err = xm_inject(fd, XMIRROR_INJECT_COMMIT, 0, ~0ULL, EBUSY);
	if (!err)
		err = xm_submit(fd, engine, &cmd, 1, 1, fence);
	while (!err) {
		err = xm_stats(fd, &s);
		if (!err && s.fault_retries > 3)
			break;
		if (xm_expired(start, XM_LONG))
			err = -ETIMEDOUT;
		sched_yield();
	}
	return err;
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

#endif
