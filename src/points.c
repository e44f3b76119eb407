// SPDX-License-Identifier: GPL-2.0
/*
 * The switch of the sync points, and what is behind it, see points.h.
 */

#include <linux/export.h>
#include "points.h"

DEFINE_STATIC_KEY_FALSE(xm_points_key);
const struct xmirror_hooks *xm_hooks;
const struct xmirror_ops *xm_hooked_ops;

int __xm_point(struct xmirror *m, enum xm_point point, unsigned long start,
	       unsigned long end)
{
	struct xm_visit visit = xm_visit(point, start, end);

	return xm_hooks->point(m, &visit);
}

int __xm_point_atomic(struct xmirror *m, enum xm_point point,
		      unsigned long start, unsigned long end)
{
	struct xm_visit visit = xm_visit(point, start, end);

	visit.can_sleep = false;
	return xm_hooks->point(m, &visit);
}

void __xm_point_inval(struct xmirror *m, enum xm_point point,
		      unsigned long start, unsigned long end,
		      const struct mmu_notifier_range *range)
{
	struct xm_visit visit = xm_visit(point, start, end);

	visit.event = range->event;
	visit.can_sleep = mmu_notifier_range_blockable(range);
	xm_hooks->point(m, &visit);
}

void __xm_point_device(struct xmirror_devmem *dm, struct mm_struct *mm,
		       enum xm_point point, unsigned long start,
		       unsigned long end)
{
	struct xm_visit visit = xm_visit(point, start, end);

	xm_hooks->device(dm, mm, &visit);
}

/**
 * xmirror_hooks_set() - have a test called at the sync points
 * @hooks: what to call, or NULL to call nothing any more
 *
 * There is one test at a time, and when it goes its mirrors and its device
 * memory are gone: then nobody is inside a hook.
 *
 * Context: may sleep.
 */
void xmirror_hooks_set(const struct xmirror_hooks *hooks)
{
	if (hooks) {
		xm_hooks = hooks;
		WRITE_ONCE(xm_hooked_ops, hooks->ops);
		static_branch_enable(&xm_points_key);
	} else {
		static_branch_disable(&xm_points_key);
		WRITE_ONCE(xm_hooked_ops, NULL);
	}
}
EXPORT_SYMBOL_GPL(xmirror_hooks_set);
