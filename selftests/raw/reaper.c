// SPDX-License-Identifier: GPL-2.0
/*
 * Who reaps a process that was killed, the OOM reaper or process_mrelease(), must not
 * sleep in a notifier. A notifier that would have to says no, as include/linux/
 * mmu_notifier.h has it; the memory is left for another attempt, and others who use the
 * notifiers of that mm notice nothing. Who had begun has its second pass.
 *
 * covers: B.oom
 */
#include <sys/ptrace.h>

#include "raw.h"
#include "test.h"

#define LEN	(4 * XM_PAGE)

/* The victim's notifiers, of page 1 and of page 2, in the order of the calls */
enum { FIRST = 1, SECOND };

FIXTURE(reaped) {
	int fd;			/* the victim's */
	char *p;		/* in the victim */
	struct child victim;
	struct worker reap;
};

FIXTURE_VARIANT(reaped) {
	__u32 first;		/* flags of the notifiers */
	__u32 second;
	__u64 ends;		/* that the first hears if the second refuses */
};

FIXTURE_VARIANT_ADD(reaped, one_pass) {};

FIXTURE_VARIANT_ADD(reaped, two_passes) {
	.first = XMIRROR_RAW_TWO_PASSES,
	.second = XMIRROR_RAW_TWO_PASSES,
	.ends = 1,
};

FIXTURE_VARIANT_ADD(reaped, plain) {
	.first = XMIRROR_RAW_PLAIN,
	.second = XMIRROR_RAW_PLAIN | XMIRROR_RAW_NO_END,
	.ends = 1,
};

struct plan {
	char *p;
	__u32 first;
	__u32 second;
};

static int victim(struct child *c, void *arg)
{
	const struct plan *plan = arg;
	char *p = plan->p;
	int fd = xm_open(0);

	CHILD_CHECK(fd >= 0);
	memset(p, 1, LEN);
	CHILD_CHECK(raw_insert_as(fd, p + XM_PAGE, XM_PAGE,
				  plan->first) == FIRST);
	CHILD_CHECK(raw_insert_as(fd, p + 2 * XM_PAGE, XM_PAGE,
				  plan->second) == SECOND);
	CHILD_CHECK(!child_send_fd(c, fd));
	return child_waits(c, NULL);
}

static bool has(__u32 flags, const void *p)
{
	int fd = xm_open(0), id = raw_insert_as(fd, p, XM_PAGE, flags);

	close(fd);
	return id != -EOPNOTSUPP;
}

FIXTURE_SETUP(reaped)
{
	struct plan plan = { xm_anon(LEN), variant->first, variant->second };

	XM_NEED_DEVICE(return);
	self->p = plan.p;
	ASSERT_NE(NULL, self->p);
	if (!has(variant->first, self->p))
		XM_SKIP(return, "the kernel has no notifiers of two passes");
	ASSERT_EQ(0, child_start(&self->victim, victim, &plan));
	self->fd = child_recv_fd(&self->victim);
	ASSERT_GE(self->fd, 0);
	ASSERT_EQ(0, xm_kill_and_stop(self->victim.pid));
}

FIXTURE_TEARDOWN(reaped)
{
	raw_tell(self->fd, XMIRROR_RAW_GO, SECOND);
	EXPECT_EQ(0, ptrace(PTRACE_DETACH, self->victim.pid, NULL, NULL));
	EXPECT_EQ(128 + SIGKILL, child_end(&self->victim));
	close(self->fd);
}

/* Is page 2 of the victim still there? */
static bool mapped(const struct child *c, const char *p)
{
	return xm_pagemap_of(c->pid, p + 2 * XM_PAGE) &
	       (XM_PM_PRESENT | XM_PM_SWAP);
}

/* Each of the calls sleeps until no invalidation is under way. A plain one cannot read. */
static int read_and_remove(struct child *c, void *arg)
{
	struct xmirror_raw_notifier r = { .id = FIRST };
	int fd = *(int *)arg, err = raw_notifier(fd, XMIRROR_RAW_READ_BEGIN, &r);

	CHILD_CHECK(!err || err == -EINVAL);
	CHILD_CHECK(!child_tell(c, 'b'));
	CHILD_CHECK(!raw_tell(fd, XMIRROR_RAW_REMOVE, FIRST));
	return child_tell(c, 'r');
}

/*
 * A process of its own makes the calls, and nobody waits for its end: if the invalidation
 * has not ended, they do not either.
 */
TEST_F(reaped, refusal_leaves_the_memory_and_ends_the_invalidation)
{
	struct child c;

	EXPECT_TRUE(mapped(&self->victim, self->p));
	ASSERT_EQ(0, raw_tell(self->fd, XMIRROR_RAW_REFUSE, SECOND));
	EXPECT_EQ(-EAGAIN, xm_reap(self->victim.pid));
	EXPECT_TRUE(mapped(&self->victim, self->p));
	EXPECT_EQ(1, raw_hits(self->fd, FIRST));
	EXPECT_EQ(variant->ends, raw_look(self->fd, FIRST).ends);
	EXPECT_EQ(0, raw_hits(self->fd, SECOND));
	EXPECT_EQ(0, raw_look(self->fd, SECOND).ends);

	ASSERT_EQ(0, child_start(&c, read_and_remove, &self->fd));
	EXPECT_EQ('b', child_hear(&c));
	EXPECT_EQ('r', child_hear(&c));

	ASSERT_EQ(0, raw_tell(self->fd, XMIRROR_RAW_GO, SECOND));
	EXPECT_EQ(0, xm_reap(self->victim.pid));
	EXPECT_FALSE(mapped(&self->victim, self->p));
	EXPECT_EQ(1, raw_hits(self->fd, SECOND));
}

static int work_reap(struct worker *w)
{
	return xm_reap(w->arg);
}

/* The notifier keeps whom it may, and that is not the reaper. */
TEST_F(reaped, waits_for_no_notifier)
{
	ASSERT_EQ(0, raw_tell(self->fd, XMIRROR_RAW_BLOCK, SECOND));
	self->reap.fn = work_reap;
	self->reap.arg = self->victim.pid;
	ASSERT_EQ(0, worker_start(&self->reap));
	EXPECT_EQ(0, worker_join(&self->reap));
	EXPECT_EQ(1, raw_hits(self->fd, SECOND));
	EXPECT_FALSE(mapped(&self->victim, self->p));
}

TEST_HARNESS_MAIN
