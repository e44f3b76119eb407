/* SPDX-License-Identifier: GPL-2.0 */
/*
 * xmirror: device-side shared virtual memory, the interface to a device driver.
 *
 * A driver creates one mirror for each mm that its device works on, and then
 * lets its engines access the mirrored addresses. Everything else follows from
 * that: leaves of the device page table are made by range faults or as
 * exclusive entries, and go by MMU notifiers.
 *
 * Unless said otherwise a function may sleep, takes mmap_lock of the mirrored
 * mm for reading, and must be called without it; and it returns
 *
 *   -ESRCH	the mm is gone
 *   -ECANCELED	xmirror_stop() was called
 *   -EINTR	a fatal signal
 *   -ERESTARTNOINTR	nothing was done, since any signal was pending when the
 *		first notifier of the mm was registered (mm_take_all_locks());
 *		for user space to be restarted with
 *   -EBUSY	the mirror's timeout passed while the range kept changing
 *   -ENOMEM
 *
 * besides the errors that it names. The errors of struct xmirror_range in
 * uapi/linux/xmirror.h apply to ranges.
 */
#ifndef _XMIRROR_H
#define _XMIRROR_H

#include <linux/mm_types.h>
#include <linux/types.h>
#include <uapi/linux/xmirror.h>

struct xmirror;
struct xmirror_devmem;

/**
 * struct xmirror_ops - what a driver can learn of a mirror
 * @point: called at the places that &enum xmirror_point names, if
 *	xmirror_points_get() was called; for test devices only. @event is that
 *	of an invalidation, else -1. It may sleep only if @can_sleep. A negative
 *	errno makes the operation fail where the point allows that.
 */
struct xmirror_ops {
	int (*point)(struct xmirror *m, enum xmirror_point point,
		     unsigned long start, unsigned long end, int event,
		     bool can_sleep);
};

/**
 * struct xmirror_access - one command: the same operation on some locations
 * @op: enum xmirror_op
 * @width: 1, 2, 4 or 8 bytes
 * @addr: the first location, aligned to @width
 * @stride: bytes between locations, a multiple of @width
 * @count: number of locations
 * @operand: second operand
 * @compare: what XMIRROR_OP_CMPXCHG compares with
 * @done: out: locations done
 * @result: out: value of the last location before the operation
 */
struct xmirror_access {
	enum xmirror_op op;
	unsigned int width;
	u64 addr;
	s64 stride;
	u64 count;
	u64 operand;
	u64 compare;
	u64 done;
	u64 result;
};

struct xmirror *xmirror_create(struct mm_struct *mm, struct xmirror_devmem *dm,
			       const struct xmirror_ops *ops, void *priv);
void xmirror_stop(struct xmirror *m);
void xmirror_destroy(struct xmirror *m);

void *xmirror_priv(struct xmirror *m);
struct mm_struct *xmirror_mm(struct xmirror *m);
unsigned int xmirror_timeout(struct xmirror *m);
void xmirror_set_timeout(struct xmirror *m, unsigned int ms);

unsigned long xmirror_granule(struct xmirror *m);
int xmirror_set_granule(struct xmirror *m, unsigned long bytes);

bool xmirror_set_fork_eager(struct xmirror *m, bool eager);

int xmirror_fault(struct xmirror *m, unsigned long start, unsigned long end,
		  bool write, unsigned long *done, u64 *rounds);
int xmirror_fault_unlocked(struct xmirror *m, unsigned long start,
			   unsigned long end, bool write, unsigned long *done,
			   u64 *rounds);
int xmirror_fault_local(struct xmirror *m, unsigned long start,
			unsigned long end, unsigned long *done);
int xmirror_exclusive(struct xmirror *m, unsigned long start,
		      unsigned long end, unsigned long *done, u64 *rounds);
int xmirror_exclusive_bare(struct xmirror *m, unsigned long start,
			   unsigned long end, bool late, unsigned long *done);
int xmirror_release(struct xmirror *m, unsigned long start, unsigned long end,
		    unsigned long *done, u64 *rounds);

int xmirror_access(struct xmirror *m, struct xmirror_access *a);
int xmirror_copy(struct xmirror *m, unsigned long addr, void *buf, size_t len,
		 bool write, size_t *done);

struct xmirror_devmem *xmirror_devmem_create(u64 size, u64 addr, int node);
void xmirror_devmem_destroy(struct xmirror_devmem *dm);
int xmirror_devmem_unplug(struct xmirror_devmem *dm, unsigned int timeout_ms);
void xmirror_devmem_replug(struct xmirror_devmem *dm);
void xmirror_devmem_stats(struct xmirror_devmem *dm, u64 *total, u64 *free,
			  u64 *evicted);
void xmirror_devmem_fail_large(struct xmirror_devmem *dm, bool fail);
void xmirror_evict(struct xmirror *m);
int xmirror_migrate(struct xmirror *m, unsigned long start, unsigned long end,
		    struct xmirror_devmem *from, struct xmirror_devmem *to,
		    unsigned long *done, u64 *moved);

int xmirror_snapshot(struct xmirror *m, unsigned long start,
		     unsigned long nr_pages, struct xmirror_page *pages);
int xmirror_verify(struct xmirror *m, struct xmirror_verify *v);
void xmirror_stats(struct xmirror *m, struct xmirror_stats *s);
void xmirror_info(struct xmirror_info *info);

void xmirror_points_get(void);
void xmirror_points_put(void);

#endif /* _XMIRROR_H */
