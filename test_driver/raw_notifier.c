// SPDX-License-Identifier: GPL-2.0
/*
 * A test's own interval notifiers: it inserts and removes them, reads sequence
 * numbers, and can make one wait inside an invalidation, which keeps open what
 * others then wait for, or refuse one that may not sleep. An invalidation may have two
 * passes. Beside them there may be plain notifiers, of the whole mm, which count and wait.
 *
 * A notifier is inserted once and its record stays until the file closes, so that a
 * call of it after mmu_interval_notifier_remove() or mmu_notifier_unregister() has
 * returned is counted, and touches no freed memory.
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
 * @plain: the same of a plain one
 * @is_plain: it is a plain one
 * @first: of a plain one: first byte of what it counts
 * @last: the last byte of that
 * @lock: the lock that a driver has: the sequence number is set under it
 * @wait: woken when @blocking or @inside changes
 * @blocking: invalidations wait
 * @refusing: those that may not sleep are refused
 * @inside: how many wait now
 * @removed: whoever has set this removes it from the core
 * @gone: that is done
 * @hits: invalidations heard
 * @ends: ends of invalidations that a plain one heard, or second passes
 * @releases: how often a plain one heard that the mm ends
 * @late: calls of any kind when @gone was set
 * @start: of the last one
 * @end: the same
 * @event: the same
 * @finish: what the core knows of the second pass
 * @finishing: the core has @finish
 * @may_sleep: in that pass
 */
struct xt_raw_notifier {
	struct mmu_interval_notifier sub;
	struct mmu_notifier plain;
	bool is_plain;
	u64 first;
	u64 last;
	spinlock_t lock; /* protects @inside and what follows @gone */
	wait_queue_head_t wait;
	bool blocking;
	bool refusing;
	unsigned int inside;
	bool removed;
	bool gone;
	u64 hits;
	u64 ends;
	u64 releases;
	u64 late;
	unsigned long start;
	unsigned long end;
	int event;
#if XM_HAVE_TWO_PASSES
	struct mmu_interval_notifier_finish finish;
	bool finishing;
	bool may_sleep;
#endif
};

static void xt_raw_heard(struct xt_raw_notifier *n,
			 const struct mmu_notifier_range *range)
{
	lockdep_assert_held(&n->lock);
	n->hits++;
	n->late += n->gone;
	n->start = range->start;
	n->end = range->end;
	n->event = range->event;
}

/* Wait as long as it blocks, in an invalidation that may sleep. */
static void xt_raw_block(struct xt_raw_notifier *n, bool may_sleep)
{
	/* Files are closed after the address space is gone: there would be no GO. */
	if (!READ_ONCE(n->blocking) || !may_sleep ||
	    current->flags & PF_EXITING)
		return;

	spin_lock(&n->lock);
	n->inside++;
	spin_unlock(&n->lock);
	wake_up_all(&n->wait);
	wait_event_killable_timeout(n->wait, !READ_ONCE(n->blocking),
				    XT_RAW_STOP);
	spin_lock(&n->lock);
	n->inside--;
	spin_unlock(&n->lock);
}

static bool xt_raw_refuses(const struct xt_raw_notifier *n,
			   const struct mmu_notifier_range *range)
{
	return READ_ONCE(n->refusing) && !mmu_notifier_range_blockable(range);
}

/* False: it refuses. */
static bool xt_raw_hears(struct mmu_interval_notifier *sub,
			 const struct mmu_notifier_range *range,
			 unsigned long seq)
{
	struct xt_raw_notifier *n = container_of(sub, struct xt_raw_notifier,
						 sub);

	if (xt_raw_refuses(n, range))
		return false;
	spin_lock(&n->lock);
	mmu_interval_set_seq(sub, seq);
	xt_raw_heard(n, range);
	spin_unlock(&n->lock);
	return true;
}

static bool xt_raw_invalidate(struct mmu_interval_notifier *sub,
			      const struct mmu_notifier_range *range,
			      unsigned long seq)
{
	struct xt_raw_notifier *n = container_of(sub, struct xt_raw_notifier,
						 sub);

	if (!xt_raw_hears(sub, range, seq))
		return false;
	xt_raw_block(n, mmu_notifier_range_blockable(range));
	return true;
}

static const struct mmu_interval_notifier_ops xt_raw_notifier_ops = {
	.invalidate = xt_raw_invalidate,
};

#if XM_HAVE_TWO_PASSES
/* There is one record: who comes while another has it does all at once. */
static bool xt_raw_pass(struct mmu_interval_notifier *sub,
			const struct mmu_notifier_range *range,
			unsigned long seq,
			struct mmu_interval_notifier_finish **finish)
{
	struct xt_raw_notifier *n = container_of(sub, struct xt_raw_notifier,
						 sub);
	bool may_sleep = mmu_notifier_range_blockable(range);

	if (!xt_raw_hears(sub, range, seq))
		return false;
	spin_lock(&n->lock);
	if (!n->finishing) {
		n->finishing = true;
		n->may_sleep = may_sleep;
		*finish = &n->finish;
	}
	spin_unlock(&n->lock);
	if (!*finish)
		xt_raw_block(n, may_sleep);
	return true;
}

static void xt_raw_finish(struct mmu_interval_notifier_finish *finish)
{
	struct xt_raw_notifier *n = container_of(finish, struct xt_raw_notifier,
						 finish);

	xt_raw_block(n, n->may_sleep);
	spin_lock(&n->lock);
	n->ends += finish->notifier == &n->sub;
	n->late += n->gone;
	n->finishing = false;
	spin_unlock(&n->lock);
}

static const struct mmu_interval_notifier_ops xt_raw_passes_ops = {
	.invalidate_start = xt_raw_pass,
	.invalidate_finish = xt_raw_finish,
};
#endif

static bool xt_raw_meets(const struct xt_raw_notifier *n,
			 const struct mmu_notifier_range *range)
{
	return range->start <= n->last && range->end > n->first;
}

static int xt_raw_start(struct mmu_notifier *plain,
			const struct mmu_notifier_range *range)
{
	struct xt_raw_notifier *n = container_of(plain, struct xt_raw_notifier,
						 plain);

	if (!xt_raw_meets(n, range))
		return 0;
	if (xt_raw_refuses(n, range))
		return -EAGAIN;
	spin_lock(&n->lock);
	xt_raw_heard(n, range);
	spin_unlock(&n->lock);
	xt_raw_block(n, mmu_notifier_range_blockable(range));
	return 0;
}

static void xt_raw_end(struct mmu_notifier *plain,
		       const struct mmu_notifier_range *range)
{
	struct xt_raw_notifier *n = container_of(plain, struct xt_raw_notifier,
						 plain);

	if (!xt_raw_meets(n, range))
		return;
	spin_lock(&n->lock);
	n->ends++;
	n->late += n->gone;
	spin_unlock(&n->lock);
}

static void xt_raw_release(struct mmu_notifier *plain, struct mm_struct *mm)
{
	struct xt_raw_notifier *n = container_of(plain, struct xt_raw_notifier,
						 plain);

	spin_lock(&n->lock);
	n->releases++;
	n->late += n->gone;
	spin_unlock(&n->lock);
}

static const struct mmu_notifier_ops xt_raw_plain_ops = {
	.release = xt_raw_release,
	.invalidate_range_start = xt_raw_start,
	.invalidate_range_end = xt_raw_end,
};

static const struct mmu_notifier_ops xt_raw_no_end_ops = {
	.release = xt_raw_release,
	.invalidate_range_start = xt_raw_start,
};

static int xt_raw_register_plain(struct xt_raw_notifier *n,
				 const struct xmirror_raw_notifier *r)
{
	/* As the kernel does it for an interval */
	if (!r->length ||
	    check_add_overflow(r->addr, r->length - 1, &n->last))
		return -EOVERFLOW;
	n->first = r->addr;
	n->is_plain = true;
	n->plain.ops = r->flags & XMIRROR_RAW_NO_END ? &xt_raw_no_end_ops :
						       &xt_raw_plain_ops;
	return mmu_notifier_register(&n->plain, current->mm);
}

/* What the kernel answers */
static int xt_raw_register(struct xt_raw_notifier *n,
			   const struct xmirror_raw_notifier *r)
{
	const struct mmu_interval_notifier_ops *ops = &xt_raw_notifier_ops;

	if (r->flags & XMIRROR_RAW_PLAIN)
		return xt_raw_register_plain(n, r);
#if XM_HAVE_TWO_PASSES
	if (r->flags & XMIRROR_RAW_TWO_PASSES)
		ops = &xt_raw_passes_ops;
#endif
	return mmu_interval_notifier_insert(&n->sub, current->mm, r->addr,
					    r->length, ops);
}

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
		r->result = xt_raw_register(n, r);
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
	if (n->is_plain)
		mmu_notifier_unregister(&n->plain, n->plain.mm);
	else
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

/* A plain notifier has no sequence numbers, and one that hears of ends cannot refuse. */
static bool xt_raw_has(const struct xt_raw_notifier *n, u32 cmd)
{
	switch (cmd) {
	case XMIRROR_RAW_READ_BEGIN:
	case XMIRROR_RAW_READ_RETRY:
	case XMIRROR_RAW_CHECK_RETRY:
		return !n->is_plain;
	case XMIRROR_RAW_REFUSE:
		return !n->is_plain || !n->plain.ops->invalidate_range_end;
	default:
		return true;
	}
}

static int xt_raw_cmd(struct xt_file *f, struct xt_raw_notifier *n,
		      struct xmirror_raw_notifier *r)
{
	if (READ_ONCE(n->removed) && r->cmd != XMIRROR_RAW_LOOK &&
	    r->cmd != XMIRROR_RAW_GO)
		return -ENOENT;
	if (!xt_raw_has(n, r->cmd))
		return -EINVAL;
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

static bool xt_raw_flags_are_right(const struct xmirror_raw_notifier *r)
{
	switch (r->flags) {
	case 0:
		return true;
	case XMIRROR_RAW_TWO_PASSES:
	case XMIRROR_RAW_PLAIN:
	case XMIRROR_RAW_PLAIN | XMIRROR_RAW_NO_END:
		return r->cmd == XMIRROR_RAW_INSERT;
	default:
		return false;
	}
}

/* XMIRROR_IOC_RAW_NOTIFIER */
int xt_raw_notifier(struct xt_file *f, struct xmirror_raw_notifier *r)
{
	struct xt_raw_notifier *n;
	int ret;

	r->result = 0;
	if (!xt_raw_flags_are_right(r) || r->__reserved)
		return -EINVAL;
	if (!XM_HAVE_TWO_PASSES && r->flags & XMIRROR_RAW_TWO_PASSES)
		return -EOPNOTSUPP;
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
	r->ends = n->ends;
	r->releases = n->releases;
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
