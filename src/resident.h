/* SPDX-License-Identifier: GPL-2.0 */
/* Ranges that the device holds as a whole, see resident.c. */
#ifndef _XM_RESIDENT_H
#define _XM_RESIDENT_H

#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/spinlock.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include <xmirror/xmirror.h>

/**
 * struct xm_resident - the ranges of a mirror that its device holds as a whole
 * @mutex: the list, and a restore; outermost
 * @lock: protects the members below, and the ranges
 * @ranges: struct xm_resident_range, changes under both locks
 * @nr: how many, also read without a lock
 * @last_id: that of the newest, also read without a lock
 * @restoring: ranges that are XM_RESIDENT_RESTORING: then the queues stand still
 * @invalidating: invalidations that have stopped the queues and are not done
 * @rounds: runs of @work since the queues stopped
 * @queued: @work is going to run and has a reference to the mirror
 * @ended: nothing is restored any more
 * @work: maps what has to be mapped
 * @wait: woken when a range has been restored or suspended
 */
struct xm_resident {
	struct mutex mutex; /* see @mutex above */
	spinlock_t lock; /* see @lock above */
	struct list_head ranges;
	unsigned int nr;
	u64 last_id;
	unsigned int restoring;
	unsigned int invalidating;
	unsigned int rounds;
	bool queued;
	bool ended;
	struct delayed_work work;
	wait_queue_head_t wait;
};

void xm_resident_create(struct xmirror *m);
void xm_resident_end(struct xmirror *m);
void xm_resident_free(struct xmirror *m);

/* For xm_resident_stop() and xm_resident_start() in mirror.h */
bool __xm_resident_stop(struct xmirror *m, unsigned long start,
			unsigned long end);
void __xm_resident_start(struct xmirror *m, unsigned long start,
			 unsigned long end, unsigned int stopped);

#endif /* _XM_RESIDENT_H */
