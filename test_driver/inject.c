// SPDX-License-Identifier: GPL-2.0
/*
 * Injected failures of a device.
 *
 * They happen at the places of sync points, or in the device's memory, and are
 * disarmed like sync points: with the file, or by the next call. If both a sync point
 * and this make an operation fail, the sync point comes first and this does not count.
 *
 * xt_file.sync_lock protects the armed failures. xt_file.injecting is read without
 * the lock, so that a point costs nothing when none is armed; a thread that reads
 * it late is one that came before.
 */

#include <linux/bits.h>
#include <linux/capability.h>
#include <linux/err.h>
#include <linux/jiffies.h>
#include <linux/limits.h>
#include <linux/nospec.h>
#include <linux/sched.h>
#include <linux/wait.h>
#include "test_driver.h"

#define XT_MAX_DELAY_MS	60000

/* XMIRROR_INJECT_NR: none at this point. */
static enum xmirror_inject_what xt_inject_what(enum xm_point point)
{
	switch (point) {
	case XMIRROR_PT_DEVMEM_ALLOC:
		return XMIRROR_INJECT_ALLOC;
	case XMIRROR_PT_MIGRATE_COPY:
		return XMIRROR_INJECT_COPY;
	case XMIRROR_PT_MIGRATE_PAGE:
		return XMIRROR_INJECT_PARTIAL;
	case XMIRROR_PT_FAULT_WALKED:
	case XMIRROR_PT_EXCL_MADE:
		return XMIRROR_INJECT_COMMIT;
	case XMIRROR_PT_INV_ENTER:
		return XMIRROR_INJECT_NOTIFIER;
	case XMIRROR_PT_DIRTY:
		return XMIRROR_INJECT_DIRTY;
	case XMIRROR_PT_EXCL_STALE:
		return XMIRROR_INJECT_STALE;
	default:
		return XMIRROR_INJECT_NR;
	}
}

static bool xt_inject_hit_locked(struct xt_inject *inj)
{
	inj->hits++;
	if (inj->skip) {
		inj->skip--;
		return false;
	}
	if (!inj->times)
		return false;
	if (inj->times != U64_MAX)
		inj->times--;
	inj->injected++;
	return true;
}

/* 0, or what was injected into this file */
int xt_inject_file(struct xt_file *f, enum xmirror_inject_what what,
		   bool can_sleep)
{
	unsigned long delay = 0;
	struct xt_inject *inj;
	int ret = 0;

	if (what == XMIRROR_INJECT_NR || !(READ_ONCE(f->injecting) & BIT(what)))
		return 0;
	/*
	 * A thread that exits cannot be killed any more, and there may be no
	 * process left to disarm this.
	 */
	if (what == XMIRROR_INJECT_NOTIFIER &&
	    (!can_sleep || current->flags & PF_EXITING))
		return 0;

	inj = &f->inject[what];
	spin_lock(&f->sync_lock);
	if (f->injecting & BIT(what) && xt_inject_hit_locked(inj)) {
		ret = inj->error;
		delay = inj->delay;
	}
	spin_unlock(&f->sync_lock);
	/* Killable, since a killed thread has to release its mm. */
	if (delay)
		wait_event_killable_timeout(f->sync_wait,
					    !READ_ONCE(inj->delay), delay);
	return ret;
}

static struct xt_file *xt_file_of(struct xmirror *m)
{
	struct xt_hw *hw = xmirror_priv(m);

	return hw->file;
}

/* &struct xmirror_hooks.point; only mirrors of files have hooks. */
int xt_point(struct xmirror *m, const struct xm_visit *visit)
{
	struct xt_file *f = xt_file_of(m);
	int ret = xt_sync_point(f, visit);

	return ret ?: xt_inject_file(f, xt_inject_what(visit->point),
				     visit->can_sleep);
}

/*
 * A driver that relies on the folio lock alone would commit here, without a check.
 * &struct xmirror_hooks.refused
 */
static void xt_refused(struct xmirror_interval *iv, unsigned long addr,
		       unsigned long pte)
{
	struct xmirror_map map = {
		.start = addr,
		.end = addr + PAGE_SIZE,
		.ptes = &pte,
	};

	if (!xt_inject_file(xt_file_of(iv->m), XMIRROR_INJECT_STALE, true))
		return;
	write_lock(&iv->lock);
	xt_pt_map(iv, &map);
	write_unlock(&iv->lock);
}

/*
 * Once, the next time that a large folio is to migrate to or from the pool, so that
 * small pages have to do. &struct xmirror_hooks.fail_large
 */
static bool xt_fail_large(struct xmirror_devmem *dm)
{
	struct xt_memory *mem = xmirror_devmem_priv(dm);

	return READ_ONCE(mem->fail_large) && xchg(&mem->fail_large, false);
}

const struct xmirror_hooks xt_hooks = {
	.ops = &xt_mirror_ops,
	.devmem_ops = &xt_memory_ops,
	.point = xt_point,
	.device = xt_point_device,
	.refused = xt_refused,
	.fail_large = xt_fail_large,
};

static int xt_inject_check(const struct xmirror_inject *inj)
{
	bool arm = inj->times;

	if (inj->flags || inj->__reserved || inj->what >= XMIRROR_INJECT_NR)
		return -EINVAL;
	if (inj->error > MAX_ERRNO || inj->delay_ms > XT_MAX_DELAY_MS)
		return -EINVAL;
	if (!inj->error != !(arm && inj->what == XMIRROR_INJECT_COMMIT))
		return -EINVAL;
	if (!inj->delay_ms != !(arm && inj->what == XMIRROR_INJECT_NOTIFIER))
		return -EINVAL;
	if (arm && inj->what == XMIRROR_INJECT_STALE)
		return xt_may_corrupt();
	return arm && !capable(CAP_SYS_ADMIN) ? -EPERM : 0;
}

/* XMIRROR_IOC_INJECT */
int xt_inject(struct xt_file *f, struct xmirror_inject *inj)
{
	struct xt_inject new = {
		.skip = inj->skip,
		.times = inj->times,
		.error = inj->error ? -(int)inj->error : -EIO,
		.delay = msecs_to_jiffies(inj->delay_ms),
	};
	unsigned int what;
	int ret;

	inj->hits = 0;
	inj->injected = 0;
	ret = xt_inject_check(inj);
	if (ret)
		return ret;
	what = array_index_nospec(inj->what, XMIRROR_INJECT_NR);
	if (new.times)
		xt_points_switch_on();

	spin_lock(&f->sync_lock);
	inj->hits = f->inject[what].hits;
	inj->injected = f->inject[what].injected;
	f->inject[what] = new;
	if (new.times)
		f->injecting |= BIT(what);
	else
		f->injecting &= ~BIT(what);
	wake_up(&f->sync_wait);
	spin_unlock(&f->sync_lock);
	return 0;
}

/* All waiting threads go on. No failure can be armed any more. */
void xt_inject_close(struct xt_file *f)
{
	unsigned int i;

	spin_lock(&f->sync_lock);
	f->injecting = 0;
	for (i = 0; i < XMIRROR_INJECT_NR; i++)
		WRITE_ONCE(f->inject[i].delay, 0);
	wake_up(&f->sync_wait);
	spin_unlock(&f->sync_lock);
}
