/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A job without an end on a range that the device holds as a whole, whether it goes on,
 * and how much of the range is mapped.
 */
#ifndef SELFTESTS_RESIDENT_JOB_H
#define SELFTESTS_RESIDENT_JOB_H

#include "resident.h"
#include "test.h"

#define PAGES	8UL
#define SIZE	(PAGES * XM_PAGE)
#define WORDS	XM_WORDS

/* A job of @op with 1 on the word at @p until it is cancelled: its fence, or 0. */
static inline __u64 endless(int fd, enum xmirror_op op, volatile __u64 *p)
{
	struct xmirror_cmd cmd = xm_cmd(op, 8, p, op == XMIRROR_OP_ADD);
	__u64 fence = 0;

	return xm_submit(fd, 0, &cmd, 1, 1ULL << 60, &fence) ? 0 : fence;
}

/* Locations that the device has worked on */
static inline __u64 ops(int fd)
{
	struct xmirror_stats s;

	return xm_stats(fd, &s) ? 0 : s.ops;
}

/* The device works. */
static inline bool works(int fd)
{
	__u64 start = xm_now_ns(), was = ops(fd);

	while (ops(fd) == was) {
		if (xm_expired(start, XM_LONG))
			return false;
		sched_yield();
	}
	return true;
}

/* It stands still, for many times what works() takes. */
static inline bool stands(int fd)
{
	__u64 was = ops(fd);
	int i;

	for (i = 0; i < 2000 && ops(fd) == was; i++)
		sched_yield();
	return i == 2000;
}

/* Pages of the range that have a leaf to write by. */
static inline size_t mapped(int fd, const void *p, size_t pages)
{
	size_t i, n = 0;

	for (i = 0; i < pages; i++) {
		struct xmirror_page page = xm_page(fd, (char *)p + i * XM_PAGE);

		n += (page.dev & LEAF_WRITE) == LEAF_WRITE;
	}
	return n;
}

#endif
