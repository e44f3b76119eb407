// SPDX-License-Identifier: GPL-2.0
/*
 * Ranges that are added or removed in the very moment between a look at the list of
 * them and what is done about it. A task is held there, in the module: no sync point is
 * in these places.
 */
#include "hold.h"
#include "job.h"

/* Have the hold ready for the return of @name. */
#define ATTACH(name) \
	do { \
		unsigned int attach_taken = 0; \
		NEED(XMIRROR_CAP_HOLD); \
		ASSERT_TRUE(xm_symbol(name, "[xmirror]", &self->function)); \
		ASSERT_NE(0, self->function); \
		ASSERT_EQ(0, hold_attach(self->holder, &self->function, 1, \
					 &attach_taken)); \
		ASSERT_EQ(1, attach_taken); \
	} while (0)

/**
 * FIXTURE(window)
 * @fd: a mirror
 * @holder: a file for the hold
 * @p: a range that is held to be written to, if a test says so
 * @q: another, behind it
 * @function: where the task is held
 * @worker: the task
 * @other: whoever makes a call that has to wait
 */
FIXTURE(window) {
	int fd;
	int holder;
	__u64 *p;
	__u64 *q;
	__u64 function;
	struct worker worker;
	struct worker other;
};

/* The task holds itself at the return of the function at @arg. */
static int held_soon(struct worker *w)
{
	int *holder = w->to;

	return hold_arm(*holder, 0, 0, w->arg, 0, XMIRROR_HOLD_RETURN);
}

static int work_store_held(struct worker *w)
{
	__u64 value = 77;

	return held_soon(w) ?: xm_write(w->fd, w->addr, &value, sizeof(value));
}

static int work_drop_held(struct worker *w)
{
	int err = held_soon(w);

	if (err)
		return err;
	return madvise(w->addr, w->len, MADV_DONTNEED) ? -errno : 0;
}

/* Hold a range of which @arg says how. */
static int work_resident_add(struct worker *w)
{
	return resident_add(w->fd, w->addr, w->len, w->arg);
}

FIXTURE_SETUP(window)
{
	OPEN(self->fd, 0);
	OPEN(self->holder, 0);
	self->p = xm_area(2 * SIZE, 0);
	ASSERT_NE(NULL, self->p);
	memset(self->p, 0, 2 * SIZE);
	self->q = self->p + PAGES * WORDS;
	self->worker = (struct worker){ .fd = self->fd, .len = XM_PAGE,
					.to = &self->holder };
	self->other = (struct worker){ .fd = self->fd, .len = SIZE,
				       .fn = work_resident_add };
	ASSERT_EQ(0, worker_prepare(&self->worker));
	ASSERT_EQ(0, worker_prepare(&self->other));
}

FIXTURE_TEARDOWN(window)
{
	EXPECT_CLEAN(self->fd);
	close(self->holder);
	close(self->fd);
}

/* self->worker does @function at @at until it is held. */
#define HOLD_AT(work, at) \
	do { \
		self->worker.fn = (work); \
		self->worker.addr = (at); \
		self->worker.arg = self->function; \
		ASSERT_EQ(0, worker_start(&self->worker)); \
		ASSERT_EQ(0, hold_reached(self->holder, 0, XM_LONG, NULL)); \
	} while (0)

#define GO_ON() \
	do { \
		struct xmirror_hold go_how; \
		EXPECT_EQ(0, hold_release(self->holder, 0, &go_how)); \
		EXPECT_EQ(XMIRROR_HELD_HERE | XMIRROR_HELD_ASLEEP | \
			  XMIRROR_HELD_LEFT, go_how.state); \
	} while (0)

/* self->other adds the range at @at, and that has begun. */
#define ADD_BESIDE(at, flags) \
	do { \
		struct xmirror_resident add_r; \
		__u64 add_start = xm_now_ns(); \
		self->other.addr = (at); \
		self->other.arg = (flags); \
		ASSERT_EQ(0, worker_start(&self->other)); \
		while (resident_get(self->fd, (at), &add_r) == -ENOENT) { \
			ASSERT_FALSE(xm_expired(add_start, XM_LONG)); \
			sched_yield(); \
		} \
	} while (0)

/*
 * The queues are stopped for one range, and a store has looked in vain for a range that
 * it goes to. That is added now, to be read, and mapped with the other before the queues
 * start: the store is told.
 */
TEST_F(window, range_added_while_the_queues_are_stopped_is_found)
{
	struct worker drop = { .fn = work_madvise, .addr = self->p + 3 * WORDS,
			       .len = XM_PAGE, .arg = MADV_DONTNEED };
	struct xmirror_resident r;
	__u32 inv;

	ATTACH("xmirror_resident_get");
	NEED(XMIRROR_CAP_SYNC);
	ASSERT_EQ(0, worker_prepare(&drop));
	ASSERT_EQ(0, xm_fault(self->fd, self->q, SIZE, XMIRROR_FAULT_WRITE,
			      NULL));
	ASSERT_EQ(0, resident_add(self->fd, self->p, SIZE,
				  XMIRROR_RESIDENT_WRITE));
	ASSERT_EQ(0, xm_sync_arm(self->fd, XMIRROR_PT_QUEUES_STOPPED, self->p,
				 SIZE, &inv));
	ASSERT_EQ(0, worker_start(&drop));
	ASSERT_EQ(0, xm_sync_reached(self->fd, inv, XM_LONG));
	HOLD_AT(work_store_held, self->q);
	ADD_BESIDE(self->q, 0);
	EXPECT_EQ(0, xm_sync_resume(self->fd, inv, NULL));
	EXPECT_EQ(0, worker_join(&drop));
	EXPECT_EQ(0, worker_join(&self->other));
	ASSERT_EQ(0, resident_settled(self->fd, self->q, &r));
	EXPECT_EQ(XMIRROR_RESIDENT_MAPPED, r.state);
	EXPECT_FALSE(worker_ended(&self->worker));
	GO_ON();
	EXPECT_EQ(-EPERM, worker_join(&self->worker));
	EXPECT_EQ(0, XM_LOAD(self->q));
}

/* An atomic has found the range, which is removed now: it needs the page exclusive. */
TEST_F(window, removed_range_is_not_relied_on)
{
	struct xmirror_cmd cmd = xm_cmd(XMIRROR_OP_ADD, 8, self->p, 5);
	__u64 fence;
	pid_t engine = kthread_named("xmirror0/0");

	ATTACH("xmirror_resident_get");
	NEED(XMIRROR_CAP_EXCLUSIVE);
	ASSERT_LT(0, engine);
	ASSERT_EQ(0, resident_add(self->fd, self->p, SIZE,
				  XMIRROR_RESIDENT_WRITE));
	ASSERT_EQ(0, hold_arm(self->holder, 0, engine, self->function, 0,
			      XMIRROR_HOLD_RETURN));
	ASSERT_EQ(0, xm_submit(self->fd, 0, &cmd, 1, 1, &fence));
	ASSERT_EQ(0, hold_reached(self->holder, 0, XM_LONG, NULL));
	ASSERT_EQ(0, resident_remove(self->fd, self->p, SIZE));
	GO_ON();
	EXPECT_EQ(0, xm_wait(self->fd, fence, XM_LONG, NULL));
	EXPECT_TRUE(xm_is_exclusive(self->p));
	EXPECT_EQ(5, XM_LOAD(self->p));
}

/*
 * An invalidation has looked for ranges and found another one, and no leaf is cleared
 * yet. A range is added now, and mapped: the queues stop before its leaf goes.
 */
TEST_F(window, range_that_an_invalidation_has_not_seen_stops_the_queues)
{
	struct xmirror_resident r;
	__u32 inv;

	ATTACH("__xm_resident_stop");
	NEED(XMIRROR_CAP_SYNC);
	ASSERT_EQ(0, resident_add(self->fd, self->q, SIZE, 0));
	ASSERT_EQ(0, xm_fault(self->fd, self->p, SIZE, XMIRROR_FAULT_WRITE,
			      NULL));
	ASSERT_EQ(0, xm_sync_arm(self->fd, XMIRROR_PT_QUEUES_STOPPED, self->p,
				 SIZE, &inv));
	HOLD_AT(work_drop_held, self->p + 3 * WORDS);
	ASSERT_EQ(0, resident_add(self->fd, self->p, SIZE,
				  XMIRROR_RESIDENT_WRITE));
	ASSERT_EQ(0, resident_get(self->fd, self->p, &r));
	ASSERT_EQ(XMIRROR_RESIDENT_MAPPED, r.state);
	ASSERT_EQ(2, r.stops);
	GO_ON();
	ASSERT_EQ(0, xm_sync_reached(self->fd, inv, XM_LONG));
	ASSERT_EQ(0, resident_get(self->fd, self->p, &r));
	EXPECT_EQ(XMIRROR_RESIDENT_RESTORING, r.state);
	EXPECT_EQ(3, r.stops);
	EXPECT_EQ(PAGES, mapped(self->fd, self->p, PAGES));
	EXPECT_EQ(0, xm_sync_resume(self->fd, inv, NULL));
	EXPECT_EQ(0, worker_join(&self->worker));
	ASSERT_EQ(0, resident_settled(self->fd, self->p, &r));
	EXPECT_EQ(XMIRROR_RESIDENT_MAPPED, r.state);
	EXPECT_EQ(3, r.stops);
	EXPECT_EQ(PAGES, mapped(self->fd, self->p, PAGES));
}

TEST_HARNESS_MAIN
