/* SPDX-License-Identifier: GPL-2.0 */
/* Who has a block of the address space, and for how long. See slice.c. */
#ifndef _XM_SLICE_H
#define _XM_SLICE_H

#include <linux/mm_types.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/wait.h>
#include <linux/xarray.h>

struct xmirror;

/**
 * struct xm_slices - the time slices of an mm
 * @lock: protects the members below, and the blocks
 * @ms: milliseconds of a slice, 0: none; also read without a lock
 * @blocks: struct xm_block_slice by address / block size; for each block that a device
 *	has ever asked for, and it stays
 * @wait: who waits for a block
 * @cpu_waits: CPU faults that have waited
 */
struct xm_slices {
	spinlock_t lock; /* see @lock above */
	unsigned int ms;
	struct xarray blocks;
	wait_queue_head_t wait;
	u64 cpu_waits;
};

void xm_slices_create(struct xm_slices *s);
void xm_slices_free(struct xm_slices *s);
int xm_slice_take(struct xmirror *m, unsigned long addr);
int __xm_slice_respect(struct xmirror *m, unsigned long addr);
bool xm_slice_cpu_wait(struct vm_fault *vmf, u64 owner);

#endif /* _XM_SLICE_H */
