/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Threads that meet at a barrier, @to of each, twice in each of MEET_ROUNDS.
 */
#ifndef XM_MEET_H
#define XM_MEET_H

#include "test.h"

#define MEET_THREADS	8
#define MEET_ROUNDS	50

static struct worker meet_workers[MEET_THREADS];
static pthread_barrier_t meet_barrier;

static inline int meet_and_add(struct worker *w)
{
	int i;

	for (i = 0; i < MEET_ROUNDS; i++) {
		pthread_barrier_wait(w->to);
		XM_ADD((__u64 *)w->addr, 1);
		pthread_barrier_wait(w->to);
	}
	return 0;
}

#define START_ALL(function, count) \
	do { \
		int start_i; \
		ASSERT_EQ(0, pthread_barrier_init(&meet_barrier, NULL, \
						  (count) + 1)); \
		for (start_i = 0; start_i < (count); start_i++) { \
			meet_workers[start_i].fn = (function); \
			meet_workers[start_i].addr = self->p; \
			meet_workers[start_i].to = &meet_barrier; \
			meet_workers[start_i].err = 0; \
			ASSERT_EQ(0, worker_start(&meet_workers[start_i])); \
		} \
	} while (0)

#define JOIN_ALL(count) \
	do { \
		int join_i; \
		for (join_i = 0; join_i < (count); join_i++) { \
			EXPECT_EQ(0, worker_join(&meet_workers[join_i])); \
		} \
	} while (0)

#endif /* XM_MEET_H */
