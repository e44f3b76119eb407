/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The fixture of the tests of ranges that the device holds as a whole: such a range,
 * and a page that the device may fault, beside it and out of its reach.
 */
#ifndef SELFTESTS_RESIDENT_FIXTURE_H
#define SELFTESTS_RESIDENT_FIXTURE_H

#include "job.h"

/* How often a restore may fail */
#define TRIES	8

/**
 * FIXTURE(resident)
 * @fd: a mirror
 * @p: the range; page i begins with the word i + 1
 * @other: a page that is no part of it
 * @r: the range as it was when it was added
 */
FIXTURE(resident) {
	int fd;
	__u64 *p;
	__u64 *other;
	struct xmirror_resident r;
};

FIXTURE_SETUP(resident)
{
	size_t i;

	OPEN(self->fd, 0);
	self->p = xm_area(SIZE + 2 * XM_PAGE, 0);
	ASSERT_NE(NULL, self->p);
	for (i = 0; i < PAGES; i++)
		self->p[i * WORDS] = i + 1;
	self->other = self->p + (PAGES + 1) * WORDS;
	*self->other = 100;
	ASSERT_EQ(0, resident_add(self->fd, self->p, SIZE,
				  XMIRROR_RESIDENT_WRITE));
	ASSERT_EQ(0, resident_get(self->fd, self->p, &self->r));
	ASSERT_EQ(XMIRROR_RESIDENT_MAPPED, self->r.state);
}

FIXTURE_TEARDOWN(resident)
{
	EXPECT_CLEAN(self->fd);
	close(self->fd);
}

/* The word that page @i begins with */
#define PAGE(i)	(self->p + (i) * WORDS)

/* The queues run; the range is in @want and was so many times stopped and restored. */
#define SETTLED(want) \
	({ \
		struct xmirror_resident settled_r; \
		ASSERT_EQ(0, resident_settled(self->fd, self->p, &settled_r)); \
		EXPECT_EQ((want), settled_r.state); \
		settled_r; \
	})

/* It is mapped as a whole. */
#define EXPECT_MAPPED() \
	do { \
		EXPECT_EQ(0, SETTLED(XMIRROR_RESIDENT_MAPPED).error); \
		EXPECT_EQ(PAGES, mapped(self->fd, self->p, PAGES)); \
		EXPECT_CLEAN(self->fd); \
	} while (0)

/* No access has faulted. */
#define EXPECT_NO_FAULTS() \
	do { \
		struct xmirror_stats faults_s; \
		ASSERT_EQ(0, xm_stats(self->fd, &faults_s)); \
		EXPECT_EQ(0, faults_s.device_faults); \
	} while (0)

/* End it: how much it did. */
#define ENDED(fence) \
	({ \
		struct xmirror_wait ended_w = {}; \
		EXPECT_EQ(0, xm_cancel(self->fd, (fence), &ended_w)); \
		EXPECT_EQ(-ECANCELED, ended_w.status); \
		ended_w.ops; \
	})

/* Arm a pause of the thread that maps the range. */
#define STOP_RESTORE(id) \
	ASSERT_EQ(0, xm_sync_arm(self->fd, XMIRROR_PT_RESTORE_BEGIN, self->p, \
				 SIZE, (id)))

#define REACHED(id)	ASSERT_EQ(0, xm_sync_reached(self->fd, (id), XM_LONG))
#define RESUME(id)	EXPECT_EQ(0, xm_sync_resume(self->fd, (id), NULL))

#define DROP(i)	ASSERT_EQ(0, madvise(PAGE(i), XM_PAGE, MADV_DONTNEED))

#endif
