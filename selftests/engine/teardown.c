// SPDX-License-Identifier: GPL-2.0
/*
 * The end of a file or of its process while its jobs run, are queued, stand still in
 * the middle of something, or are waited for: nothing of theirs goes on, and the
 * engines are free.
 */
#include "fixture.h"

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

/* covers: D2 */
TEST_F(engine, close_with_jobs)
{
	unsigned int i, n;
	__u64 fence;
	int fd;

	for (n = 0; n < 5; n++) {
		OPEN(fd, 0);
		for (i = 0; i < self->engines; i++) {
			ASSERT_EQ(0, submit_endless(fd, i, self->w + XM_WORDS * i,
						    &fence));
			ASSERT_EQ(0, submit_endless(fd, i, self->w + XM_WORDS * i,
						    &fence));
		}
		ASSERT_TRUE(seen(self->w, 1));
		ASSERT_EQ(0, close(fd));
		/* Nothing writes any more. */
		for (i = 0; i < self->engines; i++)
			XM_STORE(self->w + XM_WORDS * i, 0);
		/* The engines are free, and have been through all since. */
		for (i = 0; i < self->engines; i++) {
			struct xmirror_cmd cmd = xm_cmd(XMIRROR_OP_LOAD, 8,
							self->w + XM_WORDS * i, 0);
			__u64 value = 1;

			ASSERT_EQ(0, xm_run_on(self->fd, i, &cmd, &value));
			EXPECT_EQ(0, value);
		}
		for (i = 0; i < self->engines; i++) {
			EXPECT_EQ(0, XM_LOAD(self->w + XM_WORDS * i));
			XM_STORE(self->w + XM_WORDS * i, 0);
		}
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
			      w + XM_WORDS * i, 8, 500, 1);
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
	struct worker t = { .fn = work_wait, .fd = xm_open(0) };

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
	CHILD_CHECK(!submit_endless(fd, getpid() % xm_facts()->engines, w, &fence));
	if (xm_caps() & XMIRROR_CAP_EXCLUSIVE)
		CHILD_CHECK(!xm_exclusive(fd, w + XM_WORDS, 4 * XM_PAGE, NULL));
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
