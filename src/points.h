/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The hooks of a test, see xmirror/points.h. They cost a patched-out branch
 * where no test is loaded, and a reader can ignore them.
 */
#ifndef _XM_POINTS_H
#define _XM_POINTS_H

#include <linux/jump_label.h>
#include <xmirror/points.h>
#include "devmem.h"
#include "mirror.h"

DECLARE_STATIC_KEY_FALSE(xm_points_key);
extern const struct xmirror_hooks *xm_hooks;
extern const struct xmirror_ops *xm_hooked_ops;

static inline bool xm_hooked(const struct xmirror *m)
{
	return static_branch_unlikely(&xm_points_key) &&
	       m->ops == READ_ONCE(xm_hooked_ops);
}

/* points.c */
int __xm_point(struct xmirror *m, enum xm_point point, unsigned long start,
	       unsigned long end);
int __xm_point_atomic(struct xmirror *m, enum xm_point point,
		      unsigned long start, unsigned long end);
void __xm_point_inval(struct xmirror *m, enum xm_point point,
		      unsigned long start, unsigned long end,
		      const struct mmu_notifier_range *range);
void __xm_point_device(struct xmirror_devmem *dm, struct mm_struct *mm,
		       enum xm_point point, unsigned long start,
		       unsigned long end);

static inline int xm_point(struct xmirror *m, enum xm_point point,
			   unsigned long start, unsigned long end)
{
	return xm_hooked(m) ? __xm_point(m, point, start, end) : 0;
}

/* Where it must not sleep. */
static inline int xm_point_atomic(struct xmirror *m, enum xm_point point,
				  unsigned long start, unsigned long end)
{
	return xm_hooked(m) ? __xm_point_atomic(m, point, start, end) : 0;
}

/* In a notifier. */
static inline void xm_point_inval(struct xmirror *m, enum xm_point point,
				  unsigned long start, unsigned long end,
				  const struct mmu_notifier_range *range)
{
	if (xm_hooked(m))
		__xm_point_inval(m, point, start, end, range);
}

static inline void xm_point_device(struct xmirror_devmem *dm,
				   struct mm_struct *mm, enum xm_point point,
				   unsigned long start, unsigned long end)
{
	if (static_branch_unlikely(&xm_points_key))
		__xm_point_device(dm, mm, point, start, end);
}

static inline void xm_point_refused(struct xmirror_interval *iv,
				    unsigned long addr, unsigned long pte)
{
	if (xm_hooked(iv->m))
		xm_hooks->refused(iv, addr, pte);
}

static inline bool xm_point_fail_large(struct xmirror_devmem *dm)
{
	return static_branch_unlikely(&xm_points_key) && dm &&
	       dm->ops == xm_hooks->devmem_ops && xm_hooks->fail_large(dm);
}

#endif /* _XM_POINTS_H */
