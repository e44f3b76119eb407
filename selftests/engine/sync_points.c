// SPDX-License-Identifier: GPL-2.0
/*
 * Sync points themselves: failures that are asked for come about and leave
 * nothing behind, and no stop outlasts its deadline, its file or its process.
 */
#include "race.h"

FIXTURE(sync) {
	RACE_FIELDS;
};

FIXTURE_SETUP(sync)
{
	RACE_SETUP();
	NEED(XMIRROR_CAP_SYNC);
}

FIXTURE_TEARDOWN(sync)
{
	EXPECT_CLEAN(self->fd);
	close(self->fd);
}

/*
 * Points that fail
 */

static const struct {
	enum xmirror_point point;
	int (*fn)(struct worker *w);
	bool exclusive;
} failing[] = {
	{ XMIRROR_PT_FAULT_BEGIN, work_fault_read, false },
	{ XMIRROR_PT_FAULT_WALKED, work_fault_write, false },
	{ XMIRROR_PT_FAULT_BEGIN, work_store, false },
	{ XMIRROR_PT_FAULT_WALKED, work_store, false },
	{ XMIRROR_PT_EXCL_BEGIN, work_exclusive, true },
	{ XMIRROR_PT_EXCL_MADE, work_exclusive, true },
	{ XMIRROR_PT_EXCL_BEGIN, work_add, true },
	{ XMIRROR_PT_EXCL_MADE, work_add, true },
};

/* covers: A.errors, A.no_change */
TEST_F(sync, fail)
{
	static const int errors[] = { EIO, ENOMEM, 4095 };
	struct xmirror_stats s;
	size_t i, n;
	int status;
	pid_t pid;

	self->op.arg = 1000;
	for (i = 0; i < ARRAY_SIZE(failing) * ARRAY_SIZE(errors); i++) {
		int error = errors[i / ARRAY_SIZE(failing)];
		struct xmirror_sync sync = {
			.action = XMIRROR_SYNC_FAIL,
			.addr = (uintptr_t)self->p,
			.length = XM_PAGE,
			.timeout_ms = XM_LONG,
			.error = error,
		};

		n = i % ARRAY_SIZE(failing);
		if (failing[n].exclusive &&
		    !(xm_caps() & XMIRROR_CAP_EXCLUSIVE))
			continue;
		*self->p = 5;
		ASSERT_EQ(0, madvise(self->p, XM_PAGE, MADV_DONTNEED));
		*self->p = 5;
		sync.point = failing[n].point;
		ASSERT_EQ(0, xm_sync_arm_full(self->fd, &sync));
		self->op.done = 0;
		EXPECT_EQ(-error, failing[n].fn(&self->op)) {
			TH_LOG("point %u, case %zu", failing[n].point, n);
		}
		EXPECT_EQ(0, self->op.done);
		EXPECT_EQ(0, xm_sync_reached(self->fd, sync.id, 0));
		EXPECT_EQ(0, xm_sync_resume(self->fd, sync.id, NULL));
		EXPECT_LEAF(self->fd, self->p, LEAF_NONE);
		EXPECT_CLEAN(self->fd);
		/* No lock is left behind, no page lost, nothing written. */
		pid = fork();
		if (!pid)
			_exit(XM_LOAD(self->p) != 5);
		ASSERT_GT(pid, 0);
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		EXPECT_EQ(0, status);
		EXPECT_EQ(5, XM_LOAD(self->p));
		/* It was once only. */
		EXPECT_EQ(0, failing[n].fn(&self->op));
	}
	ASSERT_EQ(0, munmap(self->p, XM_PAGE));
	ASSERT_EQ(0, xm_stats(self->fd, &s));
	EXPECT_EQ(0, s.leaves);
}

/* The fourth of a range fails: what came before is done and reported. */
/* covers: T6, A.errors */
TEST_F(sync, fail_later)
{
	__u64 *w = xm_anon(8 * XM_PAGE), i, made;
	struct xmirror_sync sync = {
		.action = XMIRROR_SYNC_FAIL,
		.point = XMIRROR_PT_EXCL_MADE,
		.addr = (uintptr_t)(w + 3 * WORDS),
		.length = XM_PAGE,
		.timeout_ms = XM_LONG,
		.error = EIO,
	};

	NEED(XMIRROR_CAP_EXCLUSIVE);
	ASSERT_NE(NULL, w);
	for (i = 0; i < 8; i++)
		w[i * WORDS] = i;
	ASSERT_EQ(0, xm_sync_arm_full(self->fd, &sync));
	EXPECT_EQ(-EIO, xm_exclusive(self->fd, w, 8 * XM_PAGE, &made));
	EXPECT_LE(made, 3 * XM_PAGE);
	EXPECT_EQ(0, made % XM_PAGE);
	if (xm_caps() & XMIRROR_CAP_EXCLUSIVE_LARGE) {
		EXPECT_EQ(3 * XM_PAGE, made);
	}
	for (i = 0; i < 8; i++) {
		if (i < made / XM_PAGE)
			EXPECT_LEAF(self->fd, w + i * WORDS, LEAF_EXCL);
		else if (i == 3 || xm_caps() & XMIRROR_CAP_EXCLUSIVE_LARGE)
			EXPECT_LEAF(self->fd, w + i * WORDS, LEAF_NONE);
		/* The older interface does several at once, those behind, too. */
	}
	EXPECT_CLEAN(self->fd);
	for (i = 0; i < 8; i++) {
		EXPECT_EQ(i, XM_LOAD(w + i * WORDS));
	}
	EXPECT_EQ(0, xm_exclusive(self->fd, w, 8 * XM_PAGE, &made));
}

/* Skipped matches are passed, and counted. */
TEST_F(sync, skip)
{
	struct xmirror_sync sync = {
		.action = XMIRROR_SYNC_FAIL,
		.point = XMIRROR_PT_FAULT_BEGIN,
		.addr = (uintptr_t)self->p,
		.length = XM_PAGE,
		.skip = 2,
		.timeout_ms = XM_LONG,
		.error = EIO,
	};
	int i, failed = -1;

	ASSERT_EQ(0, xm_sync_arm_full(self->fd, &sync));
	for (i = 0; i < 4; i++) {
		ASSERT_EQ(0, madvise(self->p, XM_PAGE, MADV_DONTNEED));
		if (xm_fault(self->fd, self->p, XM_PAGE, 0, NULL) == -EIO)
			failed = i;
	}
	EXPECT_EQ(2, failed);
	ASSERT_EQ(0, xm_sync_reached(self->fd, sync.id, 0));
	sync = (struct xmirror_sync) {
		.size = sizeof(sync),
		.cmd = XMIRROR_SYNC_RESUME,
		.id = sync.id,
	};
	ASSERT_EQ(0, xm_ioctl(self->fd, XMIRROR_IOC_SYNC, &sync));
	EXPECT_EQ(3, sync.hits);
}

/*
 * No stop is for ever
 */

TEST_F(sync, deadline)
{
	struct xmirror_sync sync = {
		.action = XMIRROR_SYNC_PAUSE,
		.point = XMIRROR_PT_FAULT_WALKED,
		.timeout_ms = 50,
	};
	__u32 timed_out = 0;

	ASSERT_EQ(0, xm_sync_arm_full(self->fd, &sync));
	EXPECT_EQ(0, xm_fault(self->fd, self->p, XM_PAGE, 0, NULL));
	EXPECT_EQ(0, xm_sync_reached(self->fd, sync.id, 0));
	EXPECT_EQ(0, xm_sync_resume(self->fd, sync.id, &timed_out));
	EXPECT_EQ(1, timed_out);
	EXPECT_EQ(-ENOENT, xm_sync_resume(self->fd, sync.id, NULL));
	/* Inside of a notifier, too */
	sync.point = XMIRROR_PT_INV_ENTER;
	ASSERT_EQ(0, xm_sync_arm_full(self->fd, &sync));
	EXPECT_EQ(0, munmap(self->p, XM_PAGE));
	EXPECT_EQ(0, xm_sync_resume(self->fd, sync.id, &timed_out));
	EXPECT_EQ(1, timed_out);
}

/* Stops last as long as they can here; only close() can end them in time. */
static int arm_long(int fd, enum xmirror_point point, void *p, __u32 *id)
{
	struct xmirror_sync sync = {
		.action = XMIRROR_SYNC_PAUSE,
		.point = point,
		.addr = (uintptr_t)p,
		.length = XM_PAGE,
		.timeout_ms = 60000,
	};
	int err = xm_sync_arm_full(fd, &sync);

	*id = sync.id;
	return err;
}

/* covers: D2 */
TEST_F(sync, close_ends_a_stop)
{
	static const enum xmirror_point points[] = {
		XMIRROR_PT_ACCESS, XMIRROR_PT_EXCL_BEGIN, XMIRROR_PT_EXCL_MADE,
		XMIRROR_PT_EXCL_COMMITTED, XMIRROR_PT_EXCL_DONE,
	};
	struct xmirror_cmd cmd = xm_cmds(XMIRROR_OP_ADD, 8, self->p, 8, 100, 1);
	size_t i;
	__u32 id;

	NEED(XMIRROR_CAP_EXCLUSIVE);
	for (i = 0; i < ARRAY_SIZE(points); i++) {
		self->other.fn = work_close;
		OPEN(self->other.fd, 0);
		ASSERT_EQ(0, worker_prepare(&self->other));
		ASSERT_EQ(0, arm_long(self->other.fd, points[i], self->p, &id));
		ASSERT_EQ(0, xm_submit(self->other.fd, 0, &cmd, 1, 1, NULL));
		ASSERT_EQ(0, xm_sync_reached(self->other.fd, id, XM_LONG));
		ASSERT_EQ(0, worker_start(&self->other));
		EXPECT_EQ(0, worker_join(&self->other)) {
			TH_LOG("point %u", points[i]);
		}
		/* The engine serves the next. */
		EXPECT_EQ(0, xm_add(self->fd, self->p, 1));
		XM_LOAD(self->p);
	}
	EXPECT_NEIGHBOURS();
}

TEST_F(sync, close_ends_an_invalidation)
{
	static const enum xmirror_point points[] = {
		XMIRROR_PT_INV_ENTER, XMIRROR_PT_INV_EXIT,
	};
	struct worker closer = { .fn = work_close };
	size_t i;
	__u32 id;

	for (i = 0; i < ARRAY_SIZE(points); i++) {
		OPEN(closer.fd, 0);
		ASSERT_EQ(0, worker_prepare(&closer));
		*self->p = 1;
		ASSERT_EQ(0, xm_fault(closer.fd, self->p, XM_PAGE, 0, NULL));
		ASSERT_EQ(0, arm_long(closer.fd, points[i], self->p, &id));
		self->other.fn = work_madvise;
		self->other.arg = MADV_DONTNEED;
		ASSERT_EQ(0, worker_start(&self->other));
		ASSERT_EQ(0, xm_sync_reached(closer.fd, id, XM_LONG));
		ASSERT_EQ(0, worker_start(&closer));
		EXPECT_EQ(0, worker_join(&closer)) {
			TH_LOG("point %u", points[i]);
		}
		EXPECT_EQ(0, worker_join(&self->other));
		EXPECT_EQ(0, *self->p);
	}
}

/* A stopped thread can be killed, and takes nothing with it. */
static int stop_and_die(struct child *c, void *arg)
{
	enum xmirror_point point = *(enum xmirror_point *)arg;
	static struct worker w = { .len = XM_PAGE };
	__u32 id;

	w.fd = xm_open(0);
	w.addr = xm_anon(XM_PAGE);
	w.arg = MADV_DONTNEED;
	w.fn = point < XMIRROR_PT_EXCL_BEGIN ? work_fault_write :
	       point >= XMIRROR_PT_RELEASE ? work_release :
	       point >= XMIRROR_PT_INV_ENTER ? work_madvise : work_exclusive;
	CHILD_CHECK(w.fd >= 0);
	CHILD_CHECK(w.addr);
	CHILD_CHECK(!xm_exclusive(w.fd, w.addr, XM_PAGE, NULL));
	if (point < XMIRROR_PT_INV_ENTER)
		*(volatile char *)w.addr = 1;
	CHILD_CHECK(!arm_long(w.fd, point, w.addr, &id));
	CHILD_CHECK(!worker_start(&w));
	CHILD_CHECK(!xm_sync_reached(w.fd, id, XM_LONG));
	CHILD_CHECK(!child_tell(c, 's'));
	child_hear(c);
	return 0;
}

TEST_F(sync, kill_ends_a_stop)
{
	unsigned int point;
	struct child c;

	NEED(XMIRROR_CAP_EXCLUSIVE);
	for (point = 0; point <= XMIRROR_PT_RELEASE; point++) {
		if (point == XMIRROR_PT_ACCESS)
			continue;
		ASSERT_EQ(0, child_start(&c, stop_and_die, &point));
		EXPECT_EQ('s', child_hear(&c)) {
			TH_LOG("point %u", point);
		}
		ASSERT_EQ(0, kill(c.pid, SIGKILL));
		EXPECT_EQ(128 + SIGKILL, child_end(&c)) {
			TH_LOG("point %u", point);
		}
	}
	EXPECT_EQ(0, xm_add(self->fd, self->p, 1));
	EXPECT_EQ(6, *self->p);
}

/* Two mirrors: a point of one does not stop the other. */
TEST_F(sync, points_are_private)
{
	int fd1;

	OPEN(fd1, 0);
	STOP_AT(XMIRROR_PT_FAULT_WALKED, work_fault_read);
	EXPECT_EQ(0, xm_fault(fd1, self->p, XM_PAGE, 0, NULL));
	EXPECT_EQ(-ENOENT, xm_sync_resume(fd1, self->id, NULL));
	FINISH(0);
	EXPECT_CLEAN(fd1);
	close(fd1);
}

/*
 * Points of device memory, where a thread of another file or process stops
 */

static int migrate(int fd, const void *p)
{
	__u64 moved;
	int err = xm_migrate(fd, p, XM_PAGE, 0, 0, &moved);

	return err ? err : moved == 1 ? 0 : -EBUSY;
}

/* The memory of a file is evicted when that is closed. */
static int work_evict(struct worker *w)
{
	int fd = xm_open(0), err;

	if (fd < 0)
		return fd;
	err = migrate(fd, w->addr);
	close(fd);
	return err;
}

TEST_F(sync, close_ends_a_stop_of_others)
{
	int fd1;
	__u32 id;

	NEED(XMIRROR_CAP_PRIVATE);
	OPEN(fd1, 0);
	ASSERT_EQ(0, arm_long(fd1, XMIRROR_PT_EVICT_BEGIN, self->p, &id));
	self->other.fn = work_evict;
	ASSERT_EQ(0, worker_start(&self->other));
	ASSERT_EQ(0, xm_sync_reached(fd1, id, XM_LONG));
	EXPECT_EQ(0, close(fd1));
	EXPECT_EQ(0, worker_join(&self->other));
	EXPECT_EQ(5, XM_LOAD(self->p));
}

static int touch_and_end(struct child *c, void *arg)
{
	(void)c;
	return XM_LOAD((__u64 *)arg) != 5;
}

/* A CPU fault is for the mirrors of the address space that it is in. */
TEST_F(sync, faults_of_others_pass)
{
	struct child c;

	NEED(XMIRROR_CAP_PRIVATE);
	ASSERT_EQ(0, migrate(self->fd, self->p));
	ASSERT_EQ(0, xm_sync_arm(self->fd, XMIRROR_PT_TO_RAM_BEGIN, self->p,
				 XM_PAGE, &self->id));
	ASSERT_EQ(0, child_start(&c, touch_and_end, self->p));
	EXPECT_EQ(0, child_end(&c));
	EXPECT_EQ(-ETIMEDOUT, xm_sync_reached(self->fd, self->id, 0));
	EXPECT_EQ(0, xm_sync_resume(self->fd, self->id, NULL));
	/* It came back for both of them. */
	EXPECT_EQ(5, XM_LOAD(self->p));
	ASSERT_EQ(0, migrate(self->fd, self->p));
	STOP_AT(XMIRROR_PT_TO_RAM_BEGIN, work_touch);
	FINISH(0);
	EXPECT_EQ(5, self->op.arg);
}

TEST_HARNESS_MAIN
