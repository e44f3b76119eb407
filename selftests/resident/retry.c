// SPDX-License-Identifier: GPL-2.0
/*
 * A restore that fails is tried again, after ever longer times and not for ever. While
 * nothing is invalidated nothing runs.
 */
#include "fixture.h"

/* covers: D14, R10 */
TEST_F(resident, failed_restore_is_tried_again)
{
	__u64 hits, injected;
	struct xmirror_resident r;

	ASSERT_EQ(0, xm_inject(self->fd, XMIRROR_INJECT_COMMIT, 0, 3, ENOMEM));
	DROP(3);
	r = SETTLED(XMIRROR_RESIDENT_MAPPED);
	ASSERT_EQ(0, xm_inject_end(self->fd, XMIRROR_INJECT_COMMIT, &hits,
				   &injected));
	EXPECT_EQ(3, injected);
	EXPECT_EQ(4, hits);
	EXPECT_EQ(3, r.failures);
	EXPECT_EQ(4, r.runs - self->r.runs);
	EXPECT_EQ(1, r.restores);
	EXPECT_EQ(1, r.stops - self->r.stops);
	EXPECT_MAPPED();
	EXPECT_EQ(0, xm_add(self->fd, PAGE(3), 1));
}

/* covers: D14, R10 */
/* The queues start when it is given up, which is final. */
TEST_F(resident, restore_is_given_up_after_some_tries)
{
	struct xmirror_resident r, later;
	struct xmirror_wait w = {};
	__u64 fence, injected;
	__u32 id;

	NEED(XMIRROR_CAP_SYNC);
	ASSERT_EQ(0, xm_inject(self->fd, XMIRROR_INJECT_COMMIT, 0, ~0ULL,
			       ENOMEM));
	STOP_RESTORE(&id);
	DROP(3);
	REACHED(id);
	fence = endless(self->fd, XMIRROR_OP_ADD, PAGE(5));
	ASSERT_NE(0, fence);
	EXPECT_EQ(-ETIMEDOUT, xm_wait(self->fd, fence, 0, NULL));
	RESUME(id);
	EXPECT_EQ(0, xm_wait(self->fd, fence, XM_LONG, &w));
	EXPECT_EQ(-ENOMEM, w.status);
	EXPECT_EQ(0, w.ops);
	r = SETTLED(XMIRROR_RESIDENT_SUSPENDED);
	EXPECT_EQ(-ENOMEM, r.error);
	EXPECT_EQ(TRIES, r.failures);
	EXPECT_EQ(TRIES, r.runs - self->r.runs);
	EXPECT_EQ(0, r.restores);
	ASSERT_EQ(0, xm_inject_end(self->fd, XMIRROR_INJECT_COMMIT, NULL,
				   &injected));
	EXPECT_EQ(TRIES, injected);

	DROP(4);
	EXPECT_EQ(-ENOMEM, xm_add(self->fd, PAGE(5), 1));
	EXPECT_EQ(0, xm_op(self->fd, XMIRROR_OP_STORE, 8, self->other, 8, NULL));
	later = SETTLED(XMIRROR_RESIDENT_SUSPENDED);
	EXPECT_EQ(r.runs, later.runs);
	EXPECT_EQ(r.stops, later.stops);
	ASSERT_EQ(0, resident_remove(self->fd, self->p, SIZE));
	ASSERT_EQ(0, resident_add(self->fd, self->p, SIZE,
				  XMIRROR_RESIDENT_WRITE));
	EXPECT_MAPPED();
	EXPECT_EQ(0, xm_add(self->fd, PAGE(5), 1));
}

/* Tries count since it was mapped last. */
TEST_F(resident, mapped_range_has_all_tries_again)
{
	int i;

	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, xm_inject(self->fd, XMIRROR_INJECT_COMMIT, 0,
				       TRIES - 1, ENOMEM));
		DROP(3);
		SETTLED(XMIRROR_RESIDENT_MAPPED);
	}
	EXPECT_EQ(3 * (TRIES - 1), SETTLED(XMIRROR_RESIDENT_MAPPED).failures);
	EXPECT_MAPPED();
}

TEST_F(resident, add_that_fails_is_not_tried_again)
{
	struct xmirror_resident r;

	ASSERT_EQ(0, xm_inject(self->fd, XMIRROR_INJECT_COMMIT, 0, 1, ENOMEM));
	EXPECT_EQ(-ENOMEM, resident_add(self->fd, self->other, XM_PAGE, 0));
	EXPECT_EQ(-ENOENT, resident_get(self->fd, self->other, &r));
	EXPECT_EQ(1, r.failures);
	EXPECT_MAPPED();
	EXPECT_EQ(0, xm_add(self->fd, PAGE(5), 1));
}

/* A failure before it has begun counts, too. */
TEST_F(resident, point_of_a_restore_can_fail)
{
	struct xmirror_sync s = {
		.action = XMIRROR_SYNC_FAIL,
		.point = XMIRROR_PT_RESTORE_BEGIN,
		.error = EAGAIN,
	};

	ASSERT_EQ(0, xm_sync_arm_full(self->fd, &s));
	DROP(3);
	EXPECT_EQ(1, SETTLED(XMIRROR_RESIDENT_MAPPED).failures);
	EXPECT_MAPPED();
}

/* One that is disturbed for longer than the timeout ends, too. */
TEST_F(resident, endless_disturbance_ends_with_an_error)
{
	struct xmirror_resident r;

	ASSERT_EQ(0, xm_set(self->fd, XMIRROR_SET_TIMEOUT, 50, NULL));
	ASSERT_EQ(0, xm_inject(self->fd, XMIRROR_INJECT_COMMIT, 0, ~0ULL,
			       EBUSY));
	DROP(3);
	r = SETTLED(XMIRROR_RESIDENT_SUSPENDED);
	EXPECT_EQ(-EBUSY, r.error);
	EXPECT_EQ(0, r.failures);
	ASSERT_EQ(0, xm_inject_end(self->fd, XMIRROR_INJECT_COMMIT, NULL, NULL));
	EXPECT_EQ(-EBUSY, xm_add(self->fd, PAGE(5), 1));
}

#define ROUNDS	16

/* covers: D15 */
/* So many invalidations, so many restores; none when there is no invalidation. */
TEST_F(resident, idle_process_costs_no_restore)
{
	struct xmirror_resident busy, idle;
	struct xmirror_stats s, t;
	__u64 *fresh;
	int i;

	for (i = 0; i < ROUNDS; i++) {
		DROP(i % PAGES);
		SETTLED(XMIRROR_RESIDENT_MAPPED);
	}
	busy = SETTLED(XMIRROR_RESIDENT_MAPPED);
	ASSERT_EQ(0, xm_stats(self->fd, &s));
	EXPECT_EQ(ROUNDS, busy.stops - self->r.stops);
	EXPECT_EQ(ROUNDS, busy.restores - self->r.restores);
	EXPECT_EQ(ROUNDS, busy.runs - self->r.runs);

	/* Work that invalidates nothing of it, and takes time. */
	for (i = 0; i < ROUNDS; i++) {
		ASSERT_EQ(0, xm_add(self->fd, PAGE(i % PAGES), 1));
		XM_ADD(PAGE(i % PAGES), 1);
		fresh = xm_anon(XM_PAGE);
		ASSERT_NE(NULL, fresh);
		*fresh = i;
		ASSERT_EQ(0, munmap(fresh, XM_PAGE));
		EXPECT_TRUE(stands(self->fd));
	}
	ASSERT_EQ(0, xm_stats(self->fd, &t));
	ASSERT_EQ(s.inv[XM_EV_CLEAR], t.inv[XM_EV_CLEAR]);
	idle = SETTLED(XMIRROR_RESIDENT_MAPPED);
	EXPECT_EQ(busy.stops, idle.stops);
	EXPECT_EQ(busy.restores, idle.restores);
	EXPECT_EQ(busy.runs, idle.runs);
	EXPECT_EQ(s.fault_rounds, t.fault_rounds);
	EXPECT_MAPPED();
}

TEST_HARNESS_MAIN
