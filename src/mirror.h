/* SPDX-License-Identifier: GPL-2.0 */
/**
 * DOC: Locking
 *
 * Lock order, outermost first:
 *
 * 1. xm_resident.mutex
 * 2. xmirror.interval_mutex; xmirror_devmem.evict_mutex. Neither is taken with the
 *    other.
 * 3. mmap_lock of the mirrored mm
 * 4. the folio lock: exclusive.c holds it from creation to commit
 * 5. an invalidation, of whatever caller (mmu_notifier_invalidate_range_start())
 * 6. xm_resident.lock, and what the driver takes in stop_queues and start_queues
 * 7. xmirror_interval.lock, never with xm_resident.lock
 * 8. the locks that folio_mark_dirty() takes, that of a table of the CPU (walk.h),
 *    xm_fork.lock, xmirror_devmem.lock, and what the driver takes in its map and unmap
 *
 * Innermost, with nothing taken inside: xm_slices.lock, and xm_mms_lock for the list of
 * all mirrored mms.
 *
 * xmirror_interval.lock is a spinning lock. Device accesses hold it for reading
 * over a bounded number of locations; commits and invalidations hold it for
 * writing. An invalidation thus waits for no memory and no I/O, and when it
 * returns no access to what it cleared is in flight. It succeeds also where it must
 * not block (mmu_notifier_range_blockable()).
 *
 * The folio lock is dropped inside mmap_lock: fork() of the mirrored process fails
 * with -ENOMEM when it finds the folio of an exclusive entry locked
 * (copy_nonpresent_pte() in mm/memory.c).
 */
#ifndef _XM_MIRROR_H
#define _XM_MIRROR_H

#include <linux/atomic.h>
#include <linux/jiffies.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/maple_tree.h>
#include <linux/mutex.h>
#include <linux/xarray.h>
#include <xmirror/xmirror.h>
#include "fork.h"
#include "place.h"
#include "resident.h"
#include "slice.h"

/**
 * struct xm_mm - what the mirrors of an mm share
 * @node: on the list of all of them
 * @mm: the mm; each mirror holds mm_count
 * @refs: its mirrors, and CPU faults that look at it
 * @slices: its time slices
 * @entered: calls that began, each of which then held mm_users
 * @left: calls that were about to give it back
 */
struct xm_mm {
	struct list_head node;
	struct mm_struct *mm;
	unsigned int refs;
	struct xm_slices slices;
	atomic_t entered;
	atomic_t left;
};

/**
 * struct xmirror - a device's view of one mm
 * @mm: the mirrored mm; holds mm_count, not mm_users
 * @shared: what it shares with other mirrors of @mm
 * @ops: the driver's operations
 * @priv: the driver's
 * @dm: its device memory, or NULL
 * @id: a number that no other mirror has or had
 * @intervals: struct xmirror_interval by address >> xm_interval_shift
 * @interval_mutex: serialises adding to @intervals
 * @stopped: every call fails with -ECANCELED
 * @ended: nobody has it any more, its exclusive pages go back
 * @ref: references: the creator's and those of xmirror_get()
 * @has_devmem: pages of @dm may have been allocated for this mirror
 * @has_large: @granule is or was a span, and so entries of that size may be there
 * @granule: bytes of the largest entry and of what a device fault looks at
 * @timeout: milliseconds that a range may be retried
 * @fork: the policy for forks
 * @resident: ranges that the device holds as a whole
 * @places: where pages are preferred to be, by address
 * @debugfs: its directory there
 * @stat: the counters, by enum xm_stat
 *
 * The mirror itself is the owner that own invalidations are known by: two
 * mirrors of one device are strangers to each other.
 */
struct xmirror {
	struct mm_struct *mm;
	struct xm_mm *shared;
	const struct xmirror_ops *ops;
	void *priv;
	struct xmirror_devmem *dm;
	u64 id;
	struct xarray intervals;
	struct mutex interval_mutex; /* see @interval_mutex above */
	struct kref ref;
	bool stopped;
	bool ended;
	bool has_devmem;
	bool has_large;
	unsigned long granule;
	unsigned int timeout;
	struct xm_fork fork;
	struct xm_resident resident;
	struct maple_tree places;
	struct dentry *debugfs;
	atomic64_t stat[XM_NR_STATS];
};

/* Add to a counter, by its name in enum xm_stat. */
#define xm_count(m, name, n)	atomic64_add(n, &(m)->stat[XM_STAT_##name])

/* Unbound: it may take as long as a call. No device works in a suspend. */
extern struct workqueue_struct *xm_work_queue;

struct xm_mm *xm_mm_find(struct mm_struct *mm);
void xm_mm_put(struct xm_mm *s);
int xm_check_range(struct xmirror *m, unsigned long start, unsigned long end);
int xm_check_retry(struct xmirror *m, unsigned long deadline);

/* debugfs.c */
void xm_debugfs_init(void);
void xm_debugfs_exit(void);
void xm_debugfs_add(struct xmirror *m);
void xm_debugfs_remove(struct xmirror *m);

/* verify.c, between xmirror_enter() and xmirror_leave() */
int xm_snapshot(struct xmirror *m, unsigned long start, unsigned long end,
		struct xmirror_view *views);

/*
 * [@start, @end) is about to be invalidated: stop the queues if that is a part of a
 * range, and return true. In a notifier: neither sleeps nor fails.
 */
static inline bool xm_resident_stop(struct xmirror *m, unsigned long start,
				    unsigned long end)
{
	return READ_ONCE(m->resident.nr) && __xm_resident_stop(m, start, end);
}

/*
 * The entries of [@start, @end) are gone: have them mapped again. @stopped is how often
 * xm_resident_stop() returned true.
 */
static inline void xm_resident_start(struct xmirror *m, unsigned long start,
				     unsigned long end, unsigned int stopped)
{
	if (stopped || READ_ONCE(m->resident.nr))
		__xm_resident_start(m, start, end, stopped);
}

/* xm_slice_take() if another device has the block of @addr. */
static inline int xm_slice_respect(struct xmirror *m, unsigned long addr)
{
	return READ_ONCE(m->shared->slices.ms) ? __xm_slice_respect(m, addr) : 0;
}

/*
 * Move the pages of [@start, @end), which the device is about to fault, to where they
 * are preferred to be. Inside a call; may sleep, no lock may be held. Returns 0 or an
 * error that ends the call.
 */
static inline int xm_place(struct xmirror *m, unsigned long start,
			   unsigned long end)
{
	return mtree_empty(&m->places) ? 0 : __xm_place(m, start, end);
}

static inline unsigned long xm_deadline(struct xmirror *m)
{
	return jiffies + msecs_to_jiffies(READ_ONCE(m->timeout));
}

#endif /* _XM_MIRROR_H */
