/* SPDX-License-Identifier: GPL-2.0 */
/* For tests in which the kernel moves the pages that a device has exclusively. */
#ifndef SELFTESTS_EXCLUSIVE_MOVING_H
#define SELFTESTS_EXCLUSIVE_MOVING_H

#include "test.h"

#define NEED_EXCLUSIVE_MOVES() \
	do { \
		NEED(XMIRROR_CAP_EXCLUSIVE); \
		if (!(xm_caps() & XMIRROR_CAP_EXCLUSIVE_LARGE)) \
			XM_SKIP(return, \
				"exclusive pages do not move before Linux 6.15 (E5)"); \
	} while (0)

/*
 * The device adds 1 to the first word of each of @nr pages at @p, which xm_fill_pages()
 * has filled, again and again. When this is over it is at it.
 */
#define DEVICE_COUNTS(fd, p, nr, fence) \
	do { \
		struct xmirror_cmd counts_add = xm_cmds(XMIRROR_OP_ADD, 8, (p), \
							XM_PAGE, (nr), 1); \
		__u64 counts_start = xm_now_ns(); \
		ASSERT_EQ(0, xm_submit((fd), 0, &counts_add, 1, 1ULL << 40, \
				       (fence))); \
		while (XM_LOAD(p) == xm_page_value(0) && \
		       !xm_expired(counts_start, XM_LONG)) \
			sched_yield(); \
		ASSERT_NE(xm_page_value(0), XM_LOAD(p)) \
			TH_LOG("the device does not begin with its job"); \
	} while (0)

/* It has gone on until now, and all that it has added is there. */
#define EXPECT_COUNTED(fd, p, nr, fence) \
	do { \
		struct xmirror_wait counted_w; \
		__u64 counted_sum = 0; \
		size_t counted_i; \
		EXPECT_EQ(-ETIMEDOUT, xm_wait((fd), (fence), 0, &counted_w)); \
		EXPECT_EQ(-ECANCELED, xm_cancel((fd), (fence), &counted_w) ?: \
				      counted_w.status); \
		for (counted_i = 0; counted_i < (nr); counted_i++) \
			counted_sum += XM_LOAD(&(p)[counted_i * XM_WORDS]) - \
				       xm_page_value(counted_i); \
		EXPECT_EQ(counted_w.ops, counted_sum); \
	} while (0)

#endif
