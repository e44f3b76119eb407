// SPDX-License-Identifier: GPL-2.0
/*
 * The queues of a mirror, which the core stops while a range that the device holds as
 * a whole is not mapped as a whole; and the ioctl for such ranges.
 *
 * An access holds xt_queues.lock for reading, around the lock of its interval, and
 * the core's xm_resident.lock goes outside of it. So when xt_queues_stop() returns no
 * access of the mirror is in flight, in any interval. A job goes on between two accesses;
 * its next access waits in xt_queues_admit().
 *
 * A job that waits keeps its engine: jobs of other files behind it wait, too, no
 * longer than the core restores. It can be cancelled, and be frozen.
 */

#include <linux/freezer.h>
#include <linux/jiffies.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include "test_driver.h"

void xt_queues_init(struct xt_queues *q)
{
	rwlock_init(&q->lock);
	init_waitqueue_head(&q->wait);
}

/* &struct xmirror_ops.stop_queues */
void xt_queues_stop(struct xmirror *m)
{
	struct xt_queues *q = &((struct xt_hw *)xmirror_priv(m))->queues;

	write_lock(&q->lock);
	WRITE_ONCE(q->stopped, true);
	/* A reader of the count finds the range that it is for: xt_queues_admit(). */
	smp_store_release(&q->stops, q->stops + 1);
	write_unlock(&q->lock);
}

/* &struct xmirror_ops.start_queues */
void xt_queues_start(struct xmirror *m)
{
	struct xt_queues *q = &((struct xt_hw *)xmirror_priv(m))->queues;

	write_lock(&q->lock);
	/* A reader that finds them running finds the ranges that were mapped until now. */
	smp_store_release(&q->stopped, false);
	write_unlock(&q->lock);
	wake_up_all(&q->wait);
}

/* Until they run, or the caller has to look why it should end. */
static void xt_queues_wait(struct xt_queues *q)
{
	if (current->flags & PF_KTHREAD)
		wait_event_freezable(q->wait, !READ_ONCE(q->stopped) ||
				     xt_engine_cancelled());
	else
		wait_event_killable(q->wait, !READ_ONCE(q->stopped));
}

/* xt_queues_admit() where there are ranges, or the queues are stopped */
static noinline int xt_queues_admit_ranges(struct xt_hw *hw, u64 addr,
					   bool write, struct xt_pass *pass)
{
	struct xmirror_resident_info info;
	struct xt_queues *q = &hw->queues;
	bool running;
	int ret;

	for (;;) {
		/* In the order of xt_queues_admit() */
		pass->stops = smp_load_acquire(&q->stops);
		/* After the number, and before the ranges */
		running = !smp_load_acquire(&q->stopped);
		pass->ranges = xmirror_resident_any(hw->m);
		pass->held = !xmirror_resident_get(hw->m, addr, &info);
		if (running &&
		    (!pass->held || info.state != XM_RESIDENT_RESTORING))
			break;
		pass->waited = true;
		xt_queues_wait(q);
		ret = xmirror_check_cancel(hw->m);
		if (ret)
			return ret;
	}
	if (!pass->held)
		return 0;
	if (info.state == XM_RESIDENT_SUSPENDED)
		return info.error;
	return write && info.mode == XM_READ ? -EPERM : 0;
}

/**
 * xt_queues_admit() - may the device work on a page now, and how?
 * @hw: the hardware
 * @addr: an address in the page
 * @write: to write to it
 * @pass: out: for xt_queues_admitted()
 *
 * Waits while the queues are stopped. The deadline of an access does not count that:
 * the core has one of its own.
 *
 * Return: 0; -EPERM: to write to a range that is held to be read; the error of a range
 * that is suspended; or one of xmirror_check_cancel().
 */
int xt_queues_admit(struct xt_hw *hw, u64 addr, bool write,
		    struct xt_pass *pass)
{
	struct xt_queues *q = &hw->queues;
	bool stopped;

	/*
	 * If they run since stop number @stops, a range that is then looked for in vain is
	 * added later and stops them. Had they been stopped, it could come and be mapped
	 * without a further stop.
	 */
	pass->stops = smp_load_acquire(&q->stops);
	/* After the number, and before the ranges */
	stopped = smp_load_acquire(&q->stopped);
	pass->ranges = xmirror_resident_any(hw->m);
	pass->held = false;
	pass->waited = false;
	return pass->ranges || stopped ?
	       xt_queues_admit_ranges(hw, addr, write, pass) : 0;
}

/**
 * xt_queues_admitted() - may an access begin?
 * @hw: the hardware, whose queues are locked for reading
 * @pass: what xt_queues_admit() has given
 *
 * Return: false: the queues were stopped since.
 */
bool xt_queues_admitted(struct xt_hw *hw, const struct xt_pass *pass)
{
	struct xt_queues *q = &hw->queues;

	lockdep_assert_held(&q->lock);
	return !q->stopped && q->stops == pass->stops;
}

static int xt_resident_state(struct xt_file *f, struct xmirror_resident *r)
{
	struct xt_queues *q = &f->hw.queues;
	struct xmirror_resident_info info;
	unsigned long start = jiffies;
	long left;

	if (r->length)
		return -EINVAL;
	left = wait_event_interruptible_timeout(q->wait,
						!READ_ONCE(q->stopped),
						msecs_to_jiffies(r->timeout_ms));
	if (left < 0) {
		r->timeout_ms = xt_ms_left(r->timeout_ms, start);
		return -ERESTARTSYS;
	}
	r->stops = xmirror_stat(f->mirror, XM_STAT_QUEUE_STOPS);
	r->runs = xmirror_stat(f->mirror, XM_STAT_RESTORE_RUNS);
	r->restores = xmirror_stat(f->mirror, XM_STAT_RESTORES);
	r->failures = xmirror_stat(f->mirror, XM_STAT_RESTORE_FAILURES);
	if (xmirror_resident_get(f->mirror, r->addr, &info))
		return -ENOENT;
	r->addr = info.start;
	r->length = info.end - info.start;
	r->state = info.state;
	r->error = info.error;
	return left || !r->timeout_ms ? 0 : -ETIMEDOUT;
}

/* XMIRROR_IOC_RESIDENT */
int xt_resident(struct xt_file *f, struct xmirror_resident *r)
{
	bool write = r->flags & XMIRROR_RESIDENT_WRITE;

	r->state = 0;
	r->error = 0;
	r->stops = 0;
	r->runs = 0;
	r->restores = 0;
	r->failures = 0;
	if (r->flags & ~XMIRROR_RESIDENT_WRITE || r->__reserved)
		return -EINVAL;
	if (write && r->cmd != XMIRROR_RESIDENT_ADD)
		return -EINVAL;
	if (r->timeout_ms && r->cmd != XMIRROR_RESIDENT_STATE)
		return -EINVAL;

	switch (r->cmd) {
	case XMIRROR_RESIDENT_ADD:
		return xmirror_resident_add(f->mirror, r->addr,
					    r->addr + r->length,
					    write ? XM_WRITE : XM_READ);
	case XMIRROR_RESIDENT_REMOVE:
		return xmirror_resident_remove(f->mirror, r->addr,
					       r->addr + r->length);
	case XMIRROR_RESIDENT_STATE:
		return xt_resident_state(f, r);
	default:
		return -EINVAL;
	}
}
