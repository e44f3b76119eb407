// SPDX-License-Identifier: GPL-2.0
/**
 * DOC: Ranges held as a whole
 *
 * A device that cannot fault and replay an access holds a range as a whole: all of it
 * is mapped, or the device's queues stand still.
 *
 * States of a range:
 *
 *	MAPPED		the device may work on it
 *	RESTORING	a part of it was invalidated, and the work maps it again. As long
 *			as a mirror has such a range its queues are stopped
 *	SUSPENDED	that was given up: the queues run, and what comes to the range
 *			fails with the error of the last try. Final until it is removed
 *
 *	invalidation	xm_resident_stop(): state, stop_queues
 *			the entries go
 *			xm_resident_start(): queue the work
 *	work		xmirror_fault() of the whole range
 *			nothing invalidated since: MAPPED, start_queues
 *			else: again after a while
 *
 * The queues stop before an entry goes, as a device without faults needs it, and a
 * restore must not be over in between: it would find the old entries. So it ends
 * only if no invalidation of a range is under way (@invalidating) and none came since
 * it began (@gen). An invalidation that is under way while a range is added may have
 * looked for it in vain. So it looks again with xmirror_interval.lock, under which the
 * entries go, whether a range was added since (@last_id), and then stops the queues
 * first. The restore looks at each entry under that lock, after the range was added: it
 * comes later than the entries go and maps them anew, or earlier and the invalidation
 * finds the range. Where entries of a span may be there, an invalidation of a part of
 * the span stops the queues for all of it: the driver may have no memory to split such
 * an entry.
 *
 * A try that fails is made again at once, and then after 1, 2, 4 ... 64 ms,
 * XM_RESIDENT_TRIES in all; one that was disturbed, for as long as the mirror's timeout.
 * The first of a range, for xmirror_resident_add(), fails for good. No timer and no work
 * is pending when all ranges are mapped or suspended.
 *
 * Life cycle. The work has a reference to the mirror from when it is queued to its
 * end. xmirror_stop() takes work back that waits for its time, and suspends what would
 * be restored; the notifiers queue none any more. So the release of a mirror waits
 * for nothing here. A range is freed when it is removed, under the mutex and so not
 * beside the work, or with the mirror, when no notifier is left that could look at it.
 *
 * Lock order: xm_resident.mutex is outside of all that a call takes, mmap_lock
 * included. xm_resident.lock is a spinning lock that an invalidation takes, and goes
 * outside what the driver takes in stop_queues and start_queues; xmirror_interval.lock
 * is never held with it.
 */

#include <linux/jiffies.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>
#include "compat.h"
#include "mirror.h"
#include "points.h"
#include "trace.h"

/* Tries of a restore that fail, after which it is given up */
#define XM_RESIDENT_TRIES	8

/* The longest time between two of them is 2 to the power of this, in ms. */
#define XM_RESIDENT_MAX_DELAY	6U

/* Each invalidation looks at all of them. */
#define XM_RESIDENT_RANGES	64

/**
 * struct xm_resident_range - a range that is held as a whole
 * @node: on xm_resident.ranges
 * @id: its number
 * @start: first address
 * @end: address behind the last
 * @mode: XM_READ or XM_WRITE
 * @state: where it is
 * @fresh: it has not been mapped yet
 * @gen: goes up with each invalidation
 * @failures: tries that failed since it was mapped
 * @since: jiffies when it ceased to be mapped
 * @error: of the last try
 */
struct xm_resident_range {
	struct list_head node;
	u64 id;
	unsigned long start;
	unsigned long end;
	enum xmirror_mode mode;
	enum xm_resident_state state;
	bool fresh;
	unsigned int gen;
	unsigned int failures;
	unsigned long since;
	int error;
};

static void xm_resident_set_locked(struct xmirror *m,
				   struct xm_resident_range *r,
				   enum xm_resident_state state)
{
	struct xm_resident *rs = &m->resident;

	lockdep_assert_held(&rs->lock);
	if (r->state == state)
		return;
	if (state == XM_RESIDENT_RESTORING) {
		r->since = jiffies;
		r->failures = 0;
		if (!rs->restoring++) {
			m->ops->stop_queues(m);
			xm_count(m, QUEUE_STOPS, 1);
		}
	}
	if (r->state == XM_RESIDENT_RESTORING && !--rs->restoring) {
		rs->rounds = 0;
		m->ops->start_queues(m);
	}
	r->state = state;
	trace_xm_resident(m, r->start, r->end, state, r->error);
	if (state != XM_RESIDENT_RESTORING)
		wake_up_all(&rs->wait);
}

/* At once, and then after ever longer times. */
static void xm_resident_queue_locked(struct xmirror *m)
{
	struct xm_resident *rs = &m->resident;
	unsigned int n = rs->rounds;

	lockdep_assert_held(&rs->lock);
	if (rs->queued || rs->ended || !rs->restoring ||
	    !kref_get_unless_zero(&m->ref))
		return;
	rs->queued = true;
	queue_delayed_work(xm_work_queue, &rs->work, n < 2 ? 0 :
			   msecs_to_jiffies(1U << min(n - 2,
						      XM_RESIDENT_MAX_DELAY)));
}

/* Something in [@start, @end) goes, or has gone. True if it is of a range. */
static bool xm_resident_hit_locked(struct xmirror *m, unsigned long start,
				   unsigned long end)
{
	struct xm_resident_range *r;
	bool hit = false;

	list_for_each_entry(r, &m->resident.ranges, node) {
		if (r->start >= end || r->end <= start ||
		    r->state == XM_RESIDENT_SUSPENDED)
			continue;
		hit = true;
		r->gen++;
		xm_resident_set_locked(m, r, XM_RESIDENT_RESTORING);
	}
	return hit;
}

/* xm_resident_stop() where there are ranges */
bool __xm_resident_stop(struct xmirror *m, unsigned long start,
			unsigned long end)
{
	struct xm_resident *rs = &m->resident;
	bool hit;

	spin_lock(&rs->lock);
	hit = xm_resident_hit_locked(m, start, end);
	rs->invalidating += hit;
	spin_unlock(&rs->lock);
	return hit;
}

/* xm_resident_start() where there are ranges, or there were some */
void __xm_resident_start(struct xmirror *m, unsigned long start,
			 unsigned long end, unsigned int stopped)
{
	struct xm_resident *rs = &m->resident;

	spin_lock(&rs->lock);
	rs->invalidating -= stopped;
	if (xm_resident_hit_locked(m, start, end) || stopped)
		xm_resident_queue_locked(m);
	spin_unlock(&rs->lock);
}

/* A try has returned @ret, and began at @gen. */
static void xm_resident_settle_locked(struct xmirror *m,
				      struct xm_resident_range *r,
				      unsigned int gen, int ret)
{
	unsigned long deadline = r->since +
				 msecs_to_jiffies(READ_ONCE(m->timeout));
	bool final = r->fresh || ret == -ESRCH || ret == -ECANCELED;

	if (r->state != XM_RESIDENT_RESTORING)
		return;
	if (!ret && r->gen == gen && !m->resident.invalidating) {
		r->error = 0;
		if (!r->fresh)
			xm_count(m, RESTORES, 1);
		r->fresh = false;
		xm_resident_set_locked(m, r, XM_RESIDENT_MAPPED);
		return;
	}
	r->error = ret ?: -EBUSY;
	if (r->error == -EBUSY) {
		final = time_after(jiffies, deadline);
	} else {
		xm_count(m, RESTORE_FAILURES, 1);
		final |= ++r->failures == XM_RESIDENT_TRIES;
	}
	if (final)
		xm_resident_set_locked(m, r, XM_RESIDENT_SUSPENDED);
}

static void xm_resident_try(struct xmirror *m, struct xm_resident_range *r)
{
	struct xm_resident *rs = &m->resident;
	struct xmirror_result res;
	unsigned int gen;
	bool wanted;
	int ret;

	spin_lock(&rs->lock);
	wanted = r->state == XM_RESIDENT_RESTORING && !rs->invalidating;
	spin_unlock(&rs->lock);
	if (!wanted)
		return;
	ret = xm_point(m, XM_PT_RESTORE_BEGIN, r->start, r->end);
	spin_lock(&rs->lock);
	gen = r->gen;
	spin_unlock(&rs->lock);
	ret = ret ?: xmirror_fault(m, r->start, r->end, r->mode, &res);
	spin_lock(&rs->lock);
	xm_resident_settle_locked(m, r, gen, ret);
	spin_unlock(&rs->lock);
}

static void xm_resident_work(struct work_struct *work)
{
	struct xm_resident *rs = container_of(to_delayed_work(work),
					      struct xm_resident, work);
	struct xmirror *m = container_of(rs, struct xmirror, resident);
	struct xm_resident_range *r;

	mutex_lock(&rs->mutex);
	xm_count(m, RESTORE_RUNS, 1);
	spin_lock(&rs->lock);
	rs->queued = false;
	rs->rounds++;
	spin_unlock(&rs->lock);
	list_for_each_entry(r, &rs->ranges, node)
		xm_resident_try(m, r);
	spin_lock(&rs->lock);
	/* An invalidation that is under way queues it itself. */
	if (!rs->invalidating)
		xm_resident_queue_locked(m);
	spin_unlock(&rs->lock);
	mutex_unlock(&rs->mutex);
	xmirror_put(m);
}

static struct xm_resident_range *xm_resident_find_locked(struct xmirror *m,
							 u64 id)
{
	struct xm_resident_range *r;

	list_for_each_entry(r, &m->resident.ranges, node)
		if (r->id == id)
			return r;
	return NULL;
}

/*
 * Not on the list any more, and not looked at by a restore. Queues that run stop for a
 * moment, since work that the driver has let in found the range.
 */
static void xm_resident_delete(struct xmirror *m, struct xm_resident_range *r)
{
	struct xm_resident *rs = &m->resident;

	spin_lock(&rs->lock);
	list_del(&r->node);
	WRITE_ONCE(rs->nr, rs->nr - 1);
	if (!rs->restoring) {
		m->ops->stop_queues(m);
		m->ops->start_queues(m);
	}
	xm_resident_set_locked(m, r, XM_RESIDENT_NONE);
	spin_unlock(&rs->lock);
	kfree(r);
}

static int xm_resident_insert(struct xmirror *m, struct xm_resident_range *r)
{
	struct xm_resident *rs = &m->resident;
	struct xm_resident_range *other;
	int ret = 0;

	spin_lock(&rs->lock);
	list_for_each_entry(other, &rs->ranges, node)
		if (other->start < r->end && other->end > r->start)
			ret = -EEXIST;
	if (!ret && rs->nr == XM_RESIDENT_RANGES)
		ret = -ENOSPC;
	if (!ret && rs->ended)
		ret = -ECANCELED;
	if (!ret) {
		r->id = rs->last_id + 1;
		list_add_tail(&r->node, &rs->ranges);
		WRITE_ONCE(rs->nr, rs->nr + 1);
		/* An invalidation that reads it finds the range: xm_lock_stopped() */
		smp_store_release(&rs->last_id, r->id);
		xm_resident_set_locked(m, r, XM_RESIDENT_RESTORING);
		xm_resident_queue_locked(m);
	}
	spin_unlock(&rs->lock);
	return ret;
}

/* The first try has ended. A range that is removed meanwhile has been tried. */
static bool xm_resident_tried(struct xmirror *m, u64 id, int *error)
{
	struct xm_resident_range *r;
	bool tried;

	spin_lock(&m->resident.lock);
	r = xm_resident_find_locked(m, id);
	tried = !r || !r->fresh || r->state != XM_RESIDENT_RESTORING;
	*error = r ? r->error : -ENOENT;
	if (r && !r->fresh)
		*error = 0;
	spin_unlock(&m->resident.lock);
	return tried;
}

/**
 * xmirror_resident_add() - have the device hold a range as a whole
 * @m: the mirror, whose driver can stop its queues
 * @start: first address, page aligned
 * @end: address behind the last, page aligned
 * @mode: %XM_READ or %XM_WRITE
 *
 * When this returns all of the range was mapped. From then on an invalidation of any
 * part of it stops the queues of the mirror, all of it is mapped again without anybody
 * asking for that, and they start. If that does not succeed the range is suspended.
 *
 * Pages that are mapped for the device by other calls, or by an access elsewhere with a
 * large granule, have nothing to do with this.
 *
 * Context: may sleep, takes mmap_lock in a thread of its own and waits for that.
 * Return: 0; -EOPNOTSUPP: the driver cannot stop queues; -EINVAL also for another mode;
 * -EEXIST: a part of it is held already; -ENOSPC: 64 ranges are; -ENOENT: it was
 * removed before it was mapped; or an error of xmirror_fault(), and the range is not
 * held. After -EINTR it may be held: the caller was killed.
 */
int xmirror_resident_add(struct xmirror *m, unsigned long start,
			 unsigned long end, enum xmirror_mode mode)
{
	struct xm_resident *rs = &m->resident;
	struct xm_resident_range *r;
	int ret, error = 0;
	u64 id;

	if (!m->ops->stop_queues)
		return -EOPNOTSUPP;
	if (mode != XM_READ && mode != XM_WRITE)
		return -EINVAL;
	ret = xm_check_range(m, start, end);
	if (ret)
		return ret;
	r = kzalloc_obj(*r, GFP_KERNEL_ACCOUNT);
	if (!r)
		return -ENOMEM;
	r->start = start;
	r->end = end;
	r->mode = mode;
	r->fresh = true;
	if (mutex_lock_killable(&rs->mutex)) {
		kfree(r);
		return -EINTR;
	}
	ret = xm_resident_insert(m, r);
	id = r->id;
	mutex_unlock(&rs->mutex);
	if (ret) {
		kfree(r);
		return ret;
	}
	/* A killed caller does not wait for the work, which finds the mm gone. */
	if (wait_event_killable(rs->wait, xm_resident_tried(m, id, &error)))
		return -EINTR;
	if (!error)
		return 0;
	if (mutex_lock_killable(&rs->mutex))
		return -EINTR;
	r = xm_resident_find_locked(m, id);
	if (r)
		xm_resident_delete(m, r);
	mutex_unlock(&rs->mutex);
	return error;
}
EXPORT_SYMBOL_GPL(xmirror_resident_add);

/**
 * xmirror_resident_remove() - hold a range no longer
 * @m: the mirror
 * @start: its first address
 * @end: the address behind its last
 *
 * Its entries stay, as those of any memory that the device has touched. When this
 * returns no access is in flight that relies on the range.
 *
 * Context: may sleep, waits for a restore that is under way.
 * Return: 0; -ENOENT: there is no such range; -EINTR.
 */
int xmirror_resident_remove(struct xmirror *m, unsigned long start,
			    unsigned long end)
{
	struct xm_resident *rs = &m->resident;
	struct xm_resident_range *r;
	int ret = -ENOENT;

	if (mutex_lock_killable(&rs->mutex))
		return -EINTR;
	list_for_each_entry(r, &rs->ranges, node) {
		if (r->start == start && r->end == end) {
			xm_resident_delete(m, r);
			ret = 0;
			break;
		}
	}
	mutex_unlock(&rs->mutex);
	return ret;
}
EXPORT_SYMBOL_GPL(xmirror_resident_remove);

/**
 * xmirror_resident_any() - does the device hold some range as a whole?
 * @m: the mirror
 *
 * Context: any.
 * Return: whether there is one. It may be added at any time, which stops the queues
 * first.
 */
bool xmirror_resident_any(struct xmirror *m)
{
	return READ_ONCE(m->resident.nr);
}
EXPORT_SYMBOL_GPL(xmirror_resident_any);

/**
 * xmirror_resident_get() - the range that an address is in
 * @m: the mirror
 * @addr: the address
 * @info: out: the range
 *
 * Context: any, but for a lock that the driver takes in &struct
 * xmirror_ops.stop_queues.
 * Return: 0, or -ENOENT: it is in none.
 */
int xmirror_resident_get(struct xmirror *m, unsigned long addr,
			 struct xmirror_resident_info *info)
{
	struct xm_resident *rs = &m->resident;
	struct xm_resident_range *r;
	int ret = -ENOENT;

	if (!READ_ONCE(rs->nr))
		return -ENOENT;
	spin_lock(&rs->lock);
	list_for_each_entry(r, &rs->ranges, node) {
		if (addr < r->start || addr >= r->end)
			continue;
		info->start = r->start;
		info->end = r->end;
		info->mode = r->mode;
		info->state = r->state;
		info->error = r->error;
		ret = 0;
		break;
	}
	spin_unlock(&rs->lock);
	return ret;
}
EXPORT_SYMBOL_GPL(xmirror_resident_get);

/**
 * xmirror_drain() - wait for work that has a reference to a mirror
 *
 * For the exit of a driver's module, after xmirror_stop() of all its mirrors, and when it
 * has put its own references to them: then none of its operations is called any more.
 *
 * Context: may sleep.
 */
void xmirror_drain(void)
{
	flush_workqueue(xm_work_queue);
}
EXPORT_SYMBOL_GPL(xmirror_drain);

void xm_resident_create(struct xmirror *m)
{
	struct xm_resident *rs = &m->resident;

	mutex_init(&rs->mutex);
	spin_lock_init(&rs->lock);
	INIT_LIST_HEAD(&rs->ranges);
	INIT_DELAYED_WORK(&rs->work, xm_resident_work);
	init_waitqueue_head(&rs->wait);
}

/* Restore nothing any more. The caller's reference is not the work's. */
void xm_resident_end(struct xmirror *m)
{
	struct xm_resident *rs = &m->resident;
	struct xm_resident_range *r;

	spin_lock(&rs->lock);
	rs->ended = true;
	list_for_each_entry(r, &rs->ranges, node) {
		r->error = -ECANCELED;
		xm_resident_set_locked(m, r, XM_RESIDENT_SUSPENDED);
	}
	spin_unlock(&rs->lock);
	/* Without the work's reference there is none pending. */
	if (cancel_delayed_work(&rs->work))
		xmirror_put(m);
}

/* No notifier is left. */
void xm_resident_free(struct xmirror *m)
{
	struct xm_resident_range *r, *next;

	list_for_each_entry_safe(r, next, &m->resident.ranges, node)
		kfree(r);
}
