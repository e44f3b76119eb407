/* SPDX-License-Identifier: GPL-2.0 */
/*
 * For tests of races: a thread is stopped at a sync point, something else
 * happens to its page, and it goes on.
 *
 * A thread stopped at EXCL_MADE or EXCL_COMMITTED holds mmap_lock for reading.
 * A call that needs it for writing (munmap, mprotect, mremap, fork) is started in a
 * thread, seen to block, and takes place right after the stopped one has gone
 * on. Until then the test's thread must not need mmap_lock either, or it would
 * wait behind that writer: no pagemap, no SNAPSHOT, no page fault.
 */
#ifndef XM_LIBRACE_H
#define XM_LIBRACE_H

#include "test.h"

#define WORDS	XM_WORDS

/**
 * RACE_FIELDS - what the fixture of a race has
 * @fd: a mirror
 * @all: three pages; the outer ones hold 3 and 7
 * @p: the middle one, which holds 5
 * @op: what is stopped, on @p
 * @other: what happens to @p meanwhile, if it takes a thread
 * @id: the sync point
 */
#define RACE_FIELDS \
	int fd; \
	__u64 *all; \
	__u64 *p; \
	struct worker op; \
	struct worker other; \
	__u32 id

#define RACE_SETUP() \
	do { \
		OPEN(self->fd, 0); \
		ASSERT_EQ(0, xm_no_faults()); \
		self->all = xm_anon(3 * XM_PAGE); \
		ASSERT_NE(NULL, self->all); \
		self->p = self->all + WORDS; \
		self->all[0] = 3; \
		self->p[0] = 5; \
		self->p[WORDS] = 7; \
		self->op.fd = self->fd; \
		self->op.addr = self->p; \
		self->op.len = XM_PAGE; \
		self->other = self->op; \
		ASSERT_EQ(0, worker_prepare(&self->other)); \
	} while (0)

/* Start self->op and return when it has stopped at @point. */
#define STOP_AT(point, function) \
	do { \
		self->op.fn = (function); \
		ASSERT_EQ(0, xm_sync_arm(self->fd, (point), self->p, XM_PAGE, \
					 &self->id)); \
		ASSERT_EQ(0, worker_start(&self->op)); \
		ASSERT_EQ(0, xm_sync_reached(self->fd, self->id, XM_LONG)); \
	} while (0)

/* Let it go on, after a check that it was stopped all the time. */
#define GO_ON() \
	do { \
		__u32 timed_out = 1; \
		EXPECT_EQ(0, xm_sync_resume(self->fd, self->id, &timed_out)); \
		EXPECT_EQ(0, timed_out); \
	} while (0)

#define FINISH(err) \
	do { \
		GO_ON(); \
		EXPECT_EQ((err), worker_join(&self->op)); \
	} while (0)

/* PEND()'s @nr for a thread that waits in a page fault */
#define IN_FAULT	(-1L)

/* Start a call in self->other that has to wait for the stopped thread. */
#define PEND(function, nr) \
	do { \
		self->other.fn = (function); \
		ASSERT_EQ(0, worker_start(&self->other)); \
		ASSERT_TRUE(worker_blocked(&self->other, (nr))); \
	} while (0)

#define RETRIES(field) \
	({ \
		struct xmirror_stats retries_s; \
		ASSERT_EQ(0, xm_stats(self->fd, &retries_s)); \
		retries_s.field; \
	})

/* Stop the next invalidation of @event of the page, made by self->other. */
#define STOP_INVALIDATION(where, ev, function) \
	do { \
		struct xmirror_sync stop_s = { \
			.action = XMIRROR_SYNC_PAUSE, \
			.point = (where), \
			.event = (ev) + 1, \
			.addr = (uintptr_t)self->p, \
			.length = XM_PAGE, \
			.timeout_ms = XM_LONG, \
		}; \
		ASSERT_EQ(0, xm_sync_arm_full(self->fd, &stop_s)); \
		self->id = stop_s.id; \
		self->other.fn = (function); \
		ASSERT_EQ(0, worker_start(&self->other)); \
		ASSERT_EQ(0, xm_sync_reached(self->fd, self->id, XM_LONG)); \
	} while (0)

/* The device and the CPU increment the same word, so it is one page. */
#define EXPECT_SAME_PAGE(q) \
	do { \
		__u64 same_was = XM_LOAD(q); \
		EXPECT_EQ(0, xm_add(self->fd, (q), 1)); \
		EXPECT_EQ(same_was + 1, XM_ADD((q), 1)); \
		EXPECT_EQ(0, xm_add(self->fd, (q), 1)); \
		EXPECT_EQ(same_was + 3, XM_LOAD(q)); \
	} while (0)

/* The neighbours are untouched. */
#define EXPECT_NEIGHBOURS() \
	do { \
		EXPECT_EQ(3, XM_LOAD(self->all)); \
		EXPECT_EQ(7, XM_LOAD(self->all + 2 * WORDS)); \
	} while (0)

#endif /* XM_LIBRACE_H */
