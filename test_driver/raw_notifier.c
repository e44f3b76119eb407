// SPDX-License-Identifier: GPL-2.0
/*
 * A test's own interval notifiers: it inserts and removes them, reads sequence
 * numbers, and can make one wait inside an invalidation, which keeps open what
 * others then wait for, or refuse one that may not sleep.
 *
 * A notifier is inserted once and its record stays until the file closes, so that a
 * call of it after mmu_interval_notifier_remove() has returned is counted, and
 * touches no freed memory.
 *
 * xt_raw_file.lock is taken outside of mmap_lock and never in an invalidation.
 * xt_raw_notifier.lock is innermost.
 */

#include <linux/mmu_notifier.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/wait.h>
#include "compat.h"
#include "test_driver.h"

#define XT_RAW_STOP	(60 * HZ)
#define XT_RAW_WAIT	(30 * HZ)

/**
 * struct xt_raw_notifier - a notifier
 * @sub: what the core knows of it
 * @lock: the lock that a driver has: the sequence number is set under it
 * @wait: woken when @blocking or @inside changes
 * @blocking: invalidations wait
 * @refusing: those that may not sleep are refused
 * @inside: how many wait now
 * @removed: mmu_interval_notifier_remove() was called by whoever has set this
 * @gone: it has returned
 * @hits: invalidations heard
 * @late: those of them when @gone was set
 * @start: of the last one
 * @end: the same
 * @event: the same
 */
struct xt_raw_notifier {
	struct mmu_interval_notifier sub;
	spinlock_t lock; /* protects @inside and what follows @gone */
	wait_queue_head_t wait;
	bool blocking;
	bool refusing;
	unsigned int inside;
	bool removed;
	bool gone;
	u64 hits;
	u64 late;
	unsigned long start;
	unsigned long end;
	int event;
};

static bool xt_raw_invalidate(struct mmu_interval_notifier *sub,
			      const struct mmu_notifier_range *range,
			      unsigned long seq)
{
	struct xt_raw_notifier *n = container_of(sub, struct xt_raw_notifier,
						 sub);

	if (READ_ONCE(n->refusing) && !mmu_notifier_range_blockable(range))
		return false;
	spin_lock(&n->lock);
	mmu_interval_set_seq(sub, seq);
	n->hits++;
	n->late += n->gone;
	n->start = range->start;
	n->end = range->end;
	n->event = range->event;
	spin_unlock(&n->lock);
	/* Files are closed after the address space is gone: there would be no GO. */
	if (!READ_ONCE(n->blocking) || !mmu_notifier_range_blockable(range) ||
	    current->flags & PF_EXITING)
		return true;

	spin_lock(&n->lock);
	n->inside++;
	spin_unlock(&n->lock);
	wake_up_all(&n->wait);
	wait_event_killable_timeout(n->wait, !READ_ONCE(n->blocking),
				    XT_RAW_STOP);
	spin_lock(&n->lock);
	n->inside--;
	spin_unlock(&n->lock);
	return true;
}

static const struct mmu_interval_notifier_ops xt_raw_notifier_ops = {
	.invalidate = xt_raw_invalidate,
};

static int xt_raw_insert(struct xt_file *f, struct xmirror_raw_notifier *r)
{
	struct xt_raw_file *raw = &f->raw;
	struct xt_raw_notifier *n;
	int ret = 0;

	n = kzalloc_obj(*n, GFP_KERNEL_ACCOUNT);
	if (!n)
		return -ENOMEM;
	spin_lock_init(&n->lock);
	init_waitqueue_head(&n->wait);
	mutex_lock(&raw->lock);
	if (raw->nr == XT_RAW_NOTIFIERS) {
		ret = -ENOSPC;
	} else {
		r->result = mmu_interval_notifier_insert(&n->sub, current->mm,
							 r->addr, r->length,
							 &xt_raw_notifier_ops);
		if (!r->result) {
			raw->notifier[raw->nr++] = n;
			r->id = raw->nr;
		}
	}
	mutex_unlock(&raw->lock);
	if (ret || r->result)
		kfree(n);
	return ret;
}

static int xt_raw_remove(struct xt_file *f, struct xt_raw_notifier *n)
{
	bool mine;

	mutex_lock(&f->raw.lock);
	mine = !n->removed;
	n->removed = true;
	mutex_unlock(&f->raw.lock);
	if (!mine)
		return -ENOENT;
	mmu_interval_notifier_remove(&n->sub);
	spin_lock(&n->lock);
	n->gone = true;
	spin_unlock(&n->lock);
	return 0;
}

static void xt_raw_set_blocking(struct xt_raw_notifier *n, bool on)
{
	WRITE_ONCE(n->blocking, on);
	wake_up_all(&n->wait);
}

static int xt_raw_inside(struct xt_raw_notifier *n)
{
	long left;

	left = wait_event_interruptible_timeout(n->wait, READ_ONCE(n->inside),
						XT_RAW_WAIT);
	return left > 0 ? 0 : left ? -EINTR : -ETIMEDOUT;
}

static int xt_raw_cmd(struct xt_file *f, struct xt_raw_notifier *n,
		      struct xmirror_raw_notifier *r)
{
	if (READ_ONCE(n->removed) && r->cmd != XMIRROR_RAW_LOOK &&
	    r->cmd != XMIRROR_RAW_GO)
		return -ENOENT;
	switch (r->cmd) {
	case XMIRROR_RAW_REMOVE:
		return xt_raw_remove(f, n);
	case XMIRROR_RAW_READ_BEGIN:
		r->seq = mmu_interval_read_begin(&n->sub);
		return 0;
	case XMIRROR_RAW_READ_RETRY:
		spin_lock(&n->lock);
		r->result = mmu_interval_read_retry(&n->sub, r->seq);
		spin_unlock(&n->lock);
		return 0;
	case XMIRROR_RAW_CHECK_RETRY:
		r->result = mmu_interval_check_retry(&n->sub, r->seq);
		return 0;
	case XMIRROR_RAW_BLOCK:
		xt_raw_set_blocking(n, true);
		return 0;
	case XMIRROR_RAW_GO:
		WRITE_ONCE(n->refusing, false);
		xt_raw_set_blocking(n, false);
		return 0;
	case XMIRROR_RAW_REFUSE:
		WRITE_ONCE(n->refusing, true);
		return 0;
	case XMIRROR_RAW_LOOK:
		return 0;
	case XMIRROR_RAW_INSIDE:
		return xt_raw_inside(n);
	default:
		return -EINVAL;
	}
}

/* XMIRROR_IOC_RAW_NOTIFIER */
int xt_raw_notifier(struct xt_file *f, struct xmirror_raw_notifier *r)
{
	struct xt_raw_notifier *n;
	int ret;

	r->result = 0;
	if (r->flags || r->__reserved)
		return -EINVAL;
	if (r->cmd == XMIRROR_RAW_INSERT)
		return xt_raw_insert(f, r);
	mutex_lock(&f->raw.lock);
	n = r->id && r->id <= f->raw.nr ? f->raw.notifier[r->id - 1] : NULL;
	mutex_unlock(&f->raw.lock);
	if (!n)
		return -ENOENT;
	ret = xt_raw_cmd(f, n, r);
	spin_lock(&n->lock);
	r->inside = n->inside;
	r->hits = n->hits;
	r->late = n->late;
	r->start = n->start;
	r->end = n->end;
	r->event = n->event;
	spin_unlock(&n->lock);
	return ret;
}

void xt_raw_open(struct xt_file *f)
{
	mutex_init(&f->raw.lock);
}

/* The file has no other user. First all go on: one may wait for another. */
void xt_raw_close(struct xt_file *f)
{
	unsigned int i;

	for (i = 0; i < f->raw.nr; i++)
		xt_raw_set_blocking(f->raw.notifier[i], false);
	for (i = 0; i < f->raw.nr; i++) {
		xt_raw_remove(f, f->raw.notifier[i]);
		kfree(f->raw.notifier[i]);
	}
}
