// SPDX-License-Identifier: GPL-2.0
/*
 * Sync points: a test stops the device, or a thread that invalidates, at a
 * named place.
 *
 * Life cycle. A sync point is armed, then reached or not, and gone when it is
 * resumed or the file closes. Its record is referenced by the file's list and
 * by everybody who sleeps on it, so that resuming needs not wait for the thread
 * that stopped. Reached records that nobody resumed are dropped when there are
 * too many.
 *
 * Until the first point is armed src/ does not even call. It does from then on
 * until the module goes: to switch a static key patches code that engines are
 * running, which is not worth it for each point.
 *
 * The thread that stops may be any: an engine, a caller of this file, a thread
 * that unmaps, kswapd. It may hold the locks that enum xmirror_point tells, so
 * it must not allocate or wait for anything but the file's wait queue; it goes
 * on at its deadline, when it is being killed, or when the file closes. The
 * file cannot go before: see file.c.
 *
 * xt_file.sync_lock protects the list and the state of the records on it, and
 * is the innermost lock.
 */

#include <linux/capability.h>
#include <linux/err.h>
#include <linux/jiffies.h>
#include <linux/mutex.h>
#include <linux/refcount.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include "compat.h"
#include "test_driver.h"
#include "trace.h"

#define XT_MAX_ARMED	32
#define XT_MAX_SYNCS	64
#define XT_MAX_STOP_MS	60000

/**
 * struct xt_sync - a sync point
 * @node: on xt_file.syncs
 * @hit: on the list of the thread that reached it
 * @refs: references
 * @id: its number
 * @action: enum xmirror_sync_action
 * @point: where it is
 * @event: event number + 1, or 0 for any
 * @start: first address that it is about
 * @end: address behind the last
 * @skip: matches to pass
 * @timeout: jiffies that a thread may stop
 * @deadline: when it has to go on
 * @error: positive errno of the failure
 * @hits: matches so far
 * @reached: the last match was not passed
 * @stopped: a thread is stopped
 * @resumed: it may go on
 * @timed_out: it went on by itself
 */
struct xt_sync {
	struct list_head node;
	struct list_head hit;
	refcount_t refs;
	u32 id;
	u32 action;
	u32 point;
	u32 event;
	unsigned long start;
	unsigned long end;
	u32 skip;
	unsigned long timeout;
	unsigned long deadline;
	int error;
	u64 hits;
	bool reached;
	bool stopped;
	bool resumed;
	bool timed_out;
};

static void xt_sync_put(struct xt_sync *sp)
{
	if (refcount_dec_and_test(&sp->refs))
		kfree(sp);
}

static bool xt_sync_matches(const struct xt_sync *sp,
			    const struct xm_visit *visit)
{
	if (sp->reached || sp->point != visit->point)
		return false;
	if (sp->event && sp->event != visit->event + 1)
		return false;
	return visit->start < sp->end && visit->end > sp->start;
}

static void xt_sync_stop(struct xt_file *f, struct xt_sync *sp)
{
	long left = sp->deadline - jiffies;
	long ret;

	/* Killable, since a thread that is told to die has to let its mm go. */
	ret = wait_event_killable_timeout(f->sync_wait,
					  READ_ONCE(sp->resumed), max(left, 0L));
	spin_lock(&f->sync_lock);
	sp->stopped = false;
	sp->timed_out = !ret && !sp->resumed;
	spin_unlock(&f->sync_lock);
}

/* See xt_point(). */
int xt_sync_point(struct xt_file *f, const struct xm_visit *visit)
{
	struct xt_sync *sp, *next;
	LIST_HEAD(hit);
	int ret = 0;

	/* Points of other files alone must not slow this one down. */
	if (!xt_sync_any(f))
		return 0;

	spin_lock(&f->sync_lock);
	list_for_each_entry(sp, &f->syncs, node) {
		if (!xt_sync_matches(sp, visit))
			continue;
		if (sp->action == XMIRROR_SYNC_PAUSE && !visit->can_sleep)
			continue;
		if (sp->hits++ < sp->skip)
			continue;
		trace_xt_sync_reached(f->dev->id, sp->id, visit);
		sp->reached = true;
		sp->stopped = sp->action == XMIRROR_SYNC_PAUSE;
		sp->deadline = jiffies + sp->timeout;
		f->nr_armed--;
		refcount_inc(&sp->refs);
		list_add_tail(&sp->hit, &hit);
	}
	if (!list_empty(&hit))
		wake_up(&f->sync_wait);
	spin_unlock(&f->sync_lock);

	list_for_each_entry_safe(sp, next, &hit, hit) {
		if (sp->action == XMIRROR_SYNC_PAUSE)
			xt_sync_stop(f, sp);
		else
			ret = -sp->error;
		xt_sync_put(sp);
	}
	return ret;
}

static struct xt_sync *xt_sync_find_locked(struct xt_file *f, u32 id)
{
	struct xt_sync *sp;

	list_for_each_entry(sp, &f->syncs, node)
		if (sp->id == id)
			return sp;
	return NULL;
}

/* Take it off the list; the caller has the list's reference then. */
static void xt_sync_remove_locked(struct xt_file *f, struct xt_sync *sp)
{
	list_del(&sp->node);
	f->nr_syncs--;
	if (!sp->reached)
		f->nr_armed--;
	WRITE_ONCE(sp->resumed, true);
	wake_up(&f->sync_wait);
}

bool xt_points_on;
static DEFINE_MUTEX(xt_sync_mutex); /* protects xt_points_on */

/* Have src/ call xt_point(). */
void xt_points_switch_on(void)
{
	mutex_lock(&xt_sync_mutex);
	if (!xt_points_on)
		xmirror_hooks_set(&xt_hooks);
	WRITE_ONCE(xt_points_on, true);
	mutex_unlock(&xt_sync_mutex);
}

/* No file is open any more. */
void xt_sync_exit(void)
{
	if (xt_points_on)
		xmirror_hooks_set(NULL);
}

/* The oldest record that only waits to be asked for, or NULL. */
static struct xt_sync *xt_sync_stale_locked(struct xt_file *f)
{
	struct xt_sync *sp;

	list_for_each_entry(sp, &f->syncs, node)
		if (sp->reached && !sp->stopped)
			return sp;
	return NULL;
}

static bool xt_point_is_inv(u32 point)
{
	return point == XMIRROR_PT_INV_OWN || point == XMIRROR_PT_INV_ENTER ||
	       point == XMIRROR_PT_INV_EXIT ||
	       point == XMIRROR_PT_QUEUES_STOPPED;
}

static bool xt_point_can_fail(u32 point)
{
	switch (point) {
	case XMIRROR_PT_FAULT_BEGIN:
	case XMIRROR_PT_FAULT_WALKED:
	case XMIRROR_PT_EXCL_BEGIN:
	case XMIRROR_PT_EXCL_MADE:
	case XMIRROR_PT_DEVMEM_ALLOC:
	case XMIRROR_PT_MIGRATE_COPY:
	case XMIRROR_PT_MIGRATE_PAGE:
	case XMIRROR_PT_DIRTY:
	case XMIRROR_PT_RESTORE_BEGIN:
		return true;
	default:
		return false;
	}
}

static int xt_sync_check(struct xt_file *f, const struct xmirror_sync *s)
{
	if (s->point >= XMIRROR_PT_NR || s->event > XMIRROR_NR_EVENTS)
		return -EINVAL;
	if (s->event && !xt_point_is_inv(s->point))
		return -EINVAL;
	if (s->timeout_ms > XT_MAX_STOP_MS)
		return -EINVAL;
	switch (s->action) {
	case XMIRROR_SYNC_PAUSE:
		if (!s->timeout_ms || s->error)
			return -EINVAL;
		break;
	case XMIRROR_SYNC_FAIL:
		if (!s->error || s->error > MAX_ERRNO ||
		    !xt_point_can_fail(s->point))
			return -EINVAL;
		break;
	default:
		return -EINVAL;
	}
	if (!s->addr && !s->length)
		return 0;
	return xt_check_range(f, s->addr, s->length, PAGE_SIZE);
}

static int xt_sync_arm(struct xt_file *f, struct xmirror_sync *s)
{
	struct xt_sync *sp, *stale = NULL;
	int ret;

	ret = xt_sync_check(f, s);
	if (ret)
		return ret;
	/* A stopped thread may hold locks that others need, see the header. */
	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;
	sp = kzalloc_obj(*sp, GFP_KERNEL_ACCOUNT);
	if (!sp)
		return -ENOMEM;
	refcount_set(&sp->refs, 1);
	sp->action = s->action;
	sp->point = s->point;
	sp->event = s->event;
	sp->start = s->addr;
	sp->end = s->length ? s->addr + s->length : ULONG_MAX;
	sp->skip = s->skip;
	sp->timeout = msecs_to_jiffies(s->timeout_ms);
	sp->error = s->error;

	xt_points_switch_on();
	spin_lock(&f->sync_lock);
	ret = -ENOSPC;
	if (f->nr_armed >= XT_MAX_ARMED)
		goto err;
	if (f->nr_syncs >= XT_MAX_SYNCS) {
		stale = xt_sync_stale_locked(f);
		if (!stale)
			goto err;
		xt_sync_remove_locked(f, stale);
	}
	f->nr_armed++;
	f->nr_syncs++;
	/* Zero is no number, in case somebody arms four billion times. */
	f->last_id += f->last_id == U32_MAX ? 2 : 1;
	sp->id = f->last_id;
	s->id = sp->id;
	list_add_tail(&sp->node, &f->syncs);
	spin_unlock(&f->sync_lock);
	if (stale)
		xt_sync_put(stale);
	return 0;

err:
	spin_unlock(&f->sync_lock);
	xt_sync_put(sp);
	return ret;
}

static int xt_sync_reached(struct xt_file *f, struct xmirror_sync *s)
{
	unsigned long start = jiffies;
	struct xt_sync *sp;
	long left;
	int ret;

	spin_lock(&f->sync_lock);
	sp = xt_sync_find_locked(f, s->id);
	if (sp)
		refcount_inc(&sp->refs);
	spin_unlock(&f->sync_lock);
	if (!sp)
		return -ENOENT;

	left = wait_event_interruptible_timeout(f->sync_wait,
						READ_ONCE(sp->reached) ||
						READ_ONCE(sp->resumed),
						msecs_to_jiffies(s->timeout_ms));
	spin_lock(&f->sync_lock);
	s->hits = sp->hits;
	if (sp->reached)
		ret = 0;
	else if (sp->resumed)
		ret = -ENOENT;
	else
		ret = left < 0 ? -ERESTARTSYS : -ETIMEDOUT;
	spin_unlock(&f->sync_lock);
	xt_sync_put(sp);
	if (ret == -ERESTARTSYS)
		s->timeout_ms = xt_ms_left(s->timeout_ms, start);
	return ret;
}

static int xt_sync_resume(struct xt_file *f, struct xmirror_sync *s)
{
	struct xt_sync *sp;

	spin_lock(&f->sync_lock);
	sp = xt_sync_find_locked(f, s->id);
	if (sp) {
		s->hits = sp->hits;
		s->timed_out = sp->timed_out;
		xt_sync_remove_locked(f, sp);
	}
	spin_unlock(&f->sync_lock);
	if (!sp)
		return -ENOENT;
	xt_sync_put(sp);
	return 0;
}

/* XMIRROR_IOC_SYNC */
int xt_sync(struct xt_file *f, struct xmirror_sync *s)
{
	s->hits = 0;
	s->timed_out = 0;
	if (s->flags || s->__reserved)
		return -EINVAL;

	switch (s->cmd) {
	case XMIRROR_SYNC_ARM:
		return xt_sync_arm(f, s);
	case XMIRROR_SYNC_REACHED:
		return xt_sync_reached(f, s);
	case XMIRROR_SYNC_RESUME:
		return xt_sync_resume(f, s);
	default:
		return -EINVAL;
	}
}

void xt_sync_init(struct xt_file *f)
{
	spin_lock_init(&f->sync_lock);
	INIT_LIST_HEAD(&f->syncs);
	init_waitqueue_head(&f->sync_wait);
}

/* Let everybody go on. Nothing can be armed any more. */
void xt_sync_close(struct xt_file *f)
{
	struct xt_sync *sp;

	for (;;) {
		spin_lock(&f->sync_lock);
		sp = list_first_entry_or_null(&f->syncs, struct xt_sync, node);
		if (sp)
			xt_sync_remove_locked(f, sp);
		spin_unlock(&f->sync_lock);
		if (!sp)
			break;
		xt_sync_put(sp);
	}
}
