/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Sync points: for a module that tests the core, and for nobody else.
 */
#ifndef _XMIRROR_POINTS_H
#define _XMIRROR_POINTS_H

#include <xmirror/xmirror.h>

/**
 * enum xm_point - places in the core that a test can hook
 * @XM_PT_FAULT_BEGIN: range fault, before mmu_interval_read_begin()
 * @XM_PT_FAULT_WALKED: after hmm_range_fault(), no lock held
 * @XM_PT_FAULT_DONE: after the commit of a range fault, no lock held
 * @XM_PT_EXCL_BEGIN: exclusive, before mmu_interval_read_begin()
 * @XM_PT_EXCL_MADE: the CPU entry is exclusive, nothing committed yet;
 *	mmap_lock (read) and the folio lock are held
 * @XM_PT_EXCL_COMMITTED: the leaf is exclusive; the same locks are held
 * @XM_PT_EXCL_DONE: after unlock
 * @XM_PT_ACCESS: between two locations of a job, no lock held
 * @XM_PT_INV_OWN: an invalidation that this mirror's own call causes;
 *	the caller's locks are held
 * @XM_PT_INV_ENTER: a foreign invalidation, before the leaves are
 *	cleared; the caller's locks are held
 * @XM_PT_INV_EXIT: the same, after the leaves are cleared
 * @XM_PT_RELEASE: before a page is given back, no lock held
 * @XM_PT_MIGRATE_BEGIN: before a migration looks at a piece, no lock held
 * @XM_PT_MIGRATE_COPIED: the pages are locked, unmapped and copied;
 *	mmap_lock (read) is held
 * @XM_PT_DEVMEM_ALLOC: a migration is about to allocate memory of this
 *	device, one page or 2 MiB of it; the pages are locked and unmapped,
 *	mmap_lock (read) is held
 * @XM_PT_MIGRATE_COPY: the same, the destination is there, and the page is
 *	about to be copied
 * @XM_PT_MIGRATE_PAGE: the same, the page is copied, and is about to move
 * @XM_PT_DIRTY: a leaf goes, and what the device wrote is about to be told
 *	to the folio; a spinning lock is held
 * @XM_PT_EXCL_STALE: not reached by itself: the commit of an exclusive entry was
 *	refused, because its page was invalidated meanwhile; the locks of
 *	XM_PT_EXCL_MADE are held
 * @XM_PT_MIGRATE_UNMAPPED: the pages are locked and unmapped, and nothing
 *	is allocated for them yet; the same lock is held
 * @XM_PT_MIGRATE_MOVED: the new pages have taken over, but are not mapped
 *	yet; the same lock is held
 * @XM_PT_TO_RAM_BEGIN: the CPU touched private memory of this device in
 *	this address space; mmap_lock (read) is held, and on newer kernels the
 *	lock of the page
 * @XM_PT_TO_RAM_UNMAPPED: the same, the pages to migrate back are locked and
 *	unmapped
 * @XM_PT_TO_RAM_COPIED: the same, they are copied
 * @XM_PT_TO_RAM_MOVED: the same, the new pages have taken over
 * @XM_PT_TO_RAM_DONE: the same as XM_PT_TO_RAM_BEGIN, and the CPU is
 *	about to try again
 * @XM_PT_EVICT_BEGIN: pages of this device are about to be evicted, because
 *	it is full or unplugged or because their mirror goes; no lock that a
 *	process needs, but the next eviction waits
 * @XM_PT_EVICT_UNMAPPED: the same, the pages are locked and unmapped
 * @XM_PT_EVICT_COPIED: the same, they are copied
 * @XM_PT_UNPLUG: the device allocates no memory any more, and nothing was
 *	evicted yet; no lock held
 * @XM_PT_FAULT_LOCKED: range fault, before hmm_range_fault(); mmap_lock is held
 *	for reading
 * @XM_PT_RAW_EXCLUSIVE: of the test driver, not of the core
 * @XM_PT_RAW_UNMAPPED: the same
 * @XM_PT_RAW_MOVED: the same
 * @XM_PT_QUEUES_STOPPED: an invalidation of a part of a range that the device holds as
 *	a whole: its queues are stopped, and no leaf is cleared yet; the caller's locks
 *	are held
 * @XM_PT_RESTORE_BEGIN: before such a range is mapped, in the thread that does it; no
 *	lock held, but xmirror_resident_add() and xmirror_resident_remove() wait
 * @XM_PT_FAULT_MISSING: range fault, after the look at the VMAs and at the present
 *	entries, and before missing pages are faulted in; no lock held
 * @XM_PT_NR: number of points; not a point
 *
 * Eviction and unplug belong to no mirror: these points are reached by every
 * mirror of the device that has armed them, whoever the pages belong to, and
 * have no range.
 */
enum xm_point {
	XM_PT_FAULT_BEGIN,
	XM_PT_FAULT_WALKED,
	XM_PT_FAULT_DONE,
	XM_PT_EXCL_BEGIN,
	XM_PT_EXCL_MADE,
	XM_PT_EXCL_COMMITTED,
	XM_PT_EXCL_DONE,
	XM_PT_ACCESS,
	XM_PT_INV_OWN,
	XM_PT_INV_ENTER,
	XM_PT_INV_EXIT,
	XM_PT_RELEASE,
	XM_PT_MIGRATE_BEGIN,
	XM_PT_MIGRATE_COPIED,
	XM_PT_DEVMEM_ALLOC,
	XM_PT_MIGRATE_COPY,
	XM_PT_MIGRATE_PAGE,
	XM_PT_DIRTY,
	XM_PT_EXCL_STALE,
	XM_PT_MIGRATE_UNMAPPED,
	XM_PT_MIGRATE_MOVED,
	XM_PT_TO_RAM_BEGIN,
	XM_PT_TO_RAM_UNMAPPED,
	XM_PT_TO_RAM_COPIED,
	XM_PT_TO_RAM_MOVED,
	XM_PT_TO_RAM_DONE,
	XM_PT_EVICT_BEGIN,
	XM_PT_EVICT_UNMAPPED,
	XM_PT_EVICT_COPIED,
	XM_PT_UNPLUG,
	XM_PT_FAULT_LOCKED,
	XM_PT_RAW_EXCLUSIVE,
	XM_PT_RAW_UNMAPPED,
	XM_PT_RAW_MOVED,
	XM_PT_QUEUES_STOPPED,
	XM_PT_RESTORE_BEGIN,
	XM_PT_FAULT_MISSING,
	XM_PT_NR
};

/**
 * struct xm_visit - a thread comes to a point
 * @point: the point
 * @start: first address that it is about
 * @end: address behind the last
 * @event: that of an invalidation, else -1
 * @can_sleep: it may sleep there
 */
struct xm_visit {
	enum xm_point point;
	unsigned long start;
	unsigned long end;
	int event;
	bool can_sleep;
};

/* That of a call: it is no invalidation, and it may sleep. */
static inline struct xm_visit xm_visit(enum xm_point point, unsigned long start,
				       unsigned long end)
{
	return (struct xm_visit){
		.point = point,
		.start = start,
		.end = end,
		.event = -1,
		.can_sleep = true,
	};
}

/**
 * struct xmirror_hooks - what a test does at the points
 * @ops: of those mirrors that @point and @refused are called for
 * @devmem_ops: of those pools that @fail_large is called for
 * @point: a call on a mirror, or an invalidation of it, has come to a point. A
 *	negative errno makes the operation fail where the point allows that
 * @device: a device has come to a point, for no mirror: for all mirrors of @dm,
 *	and of @mm if that is not NULL. It may sleep
 * @refused: the commit of the exclusive entry @pte was refused, because its page
 *	was invalidated meanwhile; mmap_lock and the folio lock are held
 * @fail_large: shall the allocation of a large folio fail, for a migration to or
 *	from @dm?
 */
struct xmirror_hooks {
	const struct xmirror_ops *ops;
	const struct xmirror_devmem_ops *devmem_ops;
	int (*point)(struct xmirror *m, const struct xm_visit *visit);
	void (*device)(struct xmirror_devmem *dm, struct mm_struct *mm,
		       const struct xm_visit *visit);
	void (*refused)(struct xmirror_interval *iv, unsigned long addr,
			unsigned long pte);
	bool (*fail_large)(struct xmirror_devmem *dm);
};

void xmirror_hooks_set(const struct xmirror_hooks *hooks);

#endif /* _XMIRROR_POINTS_H */
