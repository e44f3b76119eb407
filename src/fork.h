/* SPDX-License-Identifier: GPL-2.0 */
/* Taking exclusive pages back after a fork, see fork.c. */
#ifndef _XM_FORK_H
#define _XM_FORK_H

#include <linux/spinlock.h>
#include <linux/workqueue.h>
#include <xmirror/xmirror.h>

/* Ranges that the device may want back after a fork. */
#define XM_FORK_RANGES	64

/**
 * struct xm_fork - what to take back after a fork
 * @eager: take back anything
 * @lock: protects the members below
 * @nr: how many of @range there are
 * @range: what the device was working on
 * @work: takes it back
 */
struct xm_fork {
	bool eager;
	spinlock_t lock; /* innermost */
	unsigned int nr;
	struct {
		unsigned long start;
		unsigned long end;
	} range[XM_FORK_RANGES];
	struct work_struct work;
};

void xm_fork_create(struct xmirror *m);
void xm_fork_cancel(struct xmirror *m);
void xm_fork_note(struct xmirror *m, const struct xmirror_unmap *u);
void xm_fork_start(struct xmirror *m);

#endif /* _XM_FORK_H */
