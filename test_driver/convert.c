// SPDX-License-Identifier: GPL-2.0
/*
 * From the core's types to those of the uapi, which are fixed. Where the numbers
 * are the same that is checked here.
 */

#include <linux/build_bug.h>
#include <xmirror/points.h>
#include "test_driver.h"

#define SAME(core, abi)	static_assert((u64)(core) == (u64)(abi))

SAME(XM_PTE_VALID, XMIRROR_PTE_VALID);
SAME(XM_PTE_WRITE, XMIRROR_PTE_WRITE);
SAME(XM_PTE_EXCLUSIVE, XMIRROR_PTE_EXCLUSIVE);
SAME(XM_PTE_ACCESSED, XMIRROR_PTE_ACCESSED);
SAME(XM_PTE_DIRTY, XMIRROR_PTE_DIRTY);
SAME(XM_PTE_LOCAL, XMIRROR_PTE_LOCAL);

SAME(XM_CPU_PRESENT, XMIRROR_CPU_PRESENT);
SAME(XM_CPU_WRITE, XMIRROR_CPU_WRITE);
SAME(XM_CPU_DIRTY, XMIRROR_CPU_DIRTY);
SAME(XM_CPU_YOUNG, XMIRROR_CPU_YOUNG);
SAME(XM_CPU_EXCLUSIVE, XMIRROR_CPU_EXCLUSIVE);
SAME(XM_CPU_PRIVATE, XMIRROR_CPU_PRIVATE);
SAME(XM_CPU_OTHER, XMIRROR_CPU_OTHER);
SAME(XM_CPU_HUGE, XMIRROR_CPU_HUGE);
SAME(XM_CPU_HOLE, XMIRROR_CPU_HOLE);
SAME(XM_CPU_COHERENT, XMIRROR_CPU_COHERENT);
SAME(XM_CPU_LOCAL, XMIRROR_CPU_LOCAL);
SAME(XM_CPU_ZERO, XMIRROR_CPU_ZERO);
SAME(XM_CPU_PUD, XMIRROR_CPU_PUD);
SAME(XM_CPU_NOACCESS, XMIRROR_CPU_NOACCESS);

SAME(XM_V_NONE, XMIRROR_V_NONE);
SAME(XM_V_PFN, XMIRROR_V_PFN);
SAME(XM_V_ABSENT, XMIRROR_V_ABSENT);
SAME(XM_V_WRITE, XMIRROR_V_WRITE);
SAME(XM_V_EXCLUSIVE, XMIRROR_V_EXCLUSIVE);
SAME(XM_V_BITS, XMIRROR_V_BITS);

SAME(XM_PT_FAULT_BEGIN, XMIRROR_PT_FAULT_BEGIN);
SAME(XM_PT_FAULT_WALKED, XMIRROR_PT_FAULT_WALKED);
SAME(XM_PT_FAULT_DONE, XMIRROR_PT_FAULT_DONE);
SAME(XM_PT_EXCL_BEGIN, XMIRROR_PT_EXCL_BEGIN);
SAME(XM_PT_EXCL_MADE, XMIRROR_PT_EXCL_MADE);
SAME(XM_PT_EXCL_COMMITTED, XMIRROR_PT_EXCL_COMMITTED);
SAME(XM_PT_EXCL_DONE, XMIRROR_PT_EXCL_DONE);
SAME(XM_PT_ACCESS, XMIRROR_PT_ACCESS);
SAME(XM_PT_INV_OWN, XMIRROR_PT_INV_OWN);
SAME(XM_PT_INV_ENTER, XMIRROR_PT_INV_ENTER);
SAME(XM_PT_INV_EXIT, XMIRROR_PT_INV_EXIT);
SAME(XM_PT_RELEASE, XMIRROR_PT_RELEASE);
SAME(XM_PT_MIGRATE_BEGIN, XMIRROR_PT_MIGRATE_BEGIN);
SAME(XM_PT_MIGRATE_COPIED, XMIRROR_PT_MIGRATE_COPIED);
SAME(XM_PT_DEVMEM_ALLOC, XMIRROR_PT_DEVMEM_ALLOC);
SAME(XM_PT_MIGRATE_COPY, XMIRROR_PT_MIGRATE_COPY);
SAME(XM_PT_MIGRATE_PAGE, XMIRROR_PT_MIGRATE_PAGE);
SAME(XM_PT_DIRTY, XMIRROR_PT_DIRTY);
SAME(XM_PT_EXCL_STALE, XMIRROR_PT_EXCL_STALE);
SAME(XM_PT_MIGRATE_UNMAPPED, XMIRROR_PT_MIGRATE_UNMAPPED);
SAME(XM_PT_MIGRATE_MOVED, XMIRROR_PT_MIGRATE_MOVED);
SAME(XM_PT_TO_RAM_BEGIN, XMIRROR_PT_TO_RAM_BEGIN);
SAME(XM_PT_TO_RAM_UNMAPPED, XMIRROR_PT_TO_RAM_UNMAPPED);
SAME(XM_PT_TO_RAM_COPIED, XMIRROR_PT_TO_RAM_COPIED);
SAME(XM_PT_TO_RAM_MOVED, XMIRROR_PT_TO_RAM_MOVED);
SAME(XM_PT_TO_RAM_DONE, XMIRROR_PT_TO_RAM_DONE);
SAME(XM_PT_EVICT_BEGIN, XMIRROR_PT_EVICT_BEGIN);
SAME(XM_PT_EVICT_UNMAPPED, XMIRROR_PT_EVICT_UNMAPPED);
SAME(XM_PT_EVICT_COPIED, XMIRROR_PT_EVICT_COPIED);
SAME(XM_PT_UNPLUG, XMIRROR_PT_UNPLUG);
SAME(XM_PT_FAULT_LOCKED, XMIRROR_PT_FAULT_LOCKED);
SAME(XM_PT_RAW_EXCLUSIVE, XMIRROR_PT_RAW_EXCLUSIVE);
SAME(XM_PT_RAW_UNMAPPED, XMIRROR_PT_RAW_UNMAPPED);
SAME(XM_PT_RAW_MOVED, XMIRROR_PT_RAW_MOVED);
SAME(XM_PT_QUEUES_STOPPED, XMIRROR_PT_QUEUES_STOPPED);
SAME(XM_PT_RESTORE_BEGIN, XMIRROR_PT_RESTORE_BEGIN);
SAME(XM_PT_FAULT_MISSING, XMIRROR_PT_FAULT_MISSING);
SAME(XM_PT_NR, XMIRROR_PT_NR);

SAME(XM_PLACE_ANY, XMIRROR_PREFER_ANY);
SAME(XM_PLACE_DEVICE, XMIRROR_PREFER_DEVICE);
SAME(XM_PLACE_SYSTEM, XMIRROR_PREFER_SYSTEM);

SAME(XM_RESIDENT_MAPPED, XMIRROR_RESIDENT_MAPPED);
SAME(XM_RESIDENT_RESTORING, XMIRROR_RESIDENT_RESTORING);
SAME(XM_RESIDENT_SUSPENDED, XMIRROR_RESIDENT_SUSPENDED);

SAME(XM_NR_EVENTS, XMIRROR_NR_EVENTS);

/* What the device itself counts */
static void xt_get_hw_stats(struct xt_hw *hw, struct xmirror_stats *s)
{
	s->inv_leaves = atomic64_read(&hw->stat[XT_INV_LEAVES]);
	s->ops = atomic64_read(&hw->stat[XT_OPS]);
	s->device_faults = atomic64_read(&hw->stat[XT_DEVICE_FAULTS]);
	s->leaves = atomic64_read(&hw->stat[XT_LEAVES]);
	s->table_bytes = atomic64_read(&hw->stat[XT_TABLE_BYTES]);
	s->splits = atomic64_read(&hw->stat[XT_SPLITS]);
}

/**
 * xt_get_stats() - the counters of a file
 * @f: the file
 * @s: out: the counters
 */
void xt_get_stats(struct xt_file *f, struct xmirror_stats *s)
{
	struct xmirror *m = f->mirror;
	unsigned int i;

	for (i = 0; i < XMIRROR_NR_EVENTS; i++)
		s->inv[i] = xmirror_stat(m, XM_STAT_INVAL + i);
	s->inv_own = xmirror_stat(m, XM_STAT_INVAL_OWN);
	s->inv_nonblock = xmirror_stat(m, XM_STAT_INVAL_NONBLOCK);
	s->fault_rounds = xmirror_stat(m, XM_STAT_FAULT_WALKS);
	s->fault_retries = xmirror_stat(m, XM_STAT_FAULT_RETRIES);
	s->fault_pages = xmirror_stat(m, XM_STAT_FAULT_PAGES);
	s->excl_made = xmirror_stat(m, XM_STAT_EXCL_MADE);
	s->excl_hits = xmirror_stat(m, XM_STAT_EXCL_HITS);
	s->excl_retries = xmirror_stat(m, XM_STAT_EXCL_RETRIES);
	s->excl_lost = xmirror_stat(m, XM_STAT_EXCL_LOST);
	s->excl_released = xmirror_stat(m, XM_STAT_EXCL_RELEASED);
	s->dirtied = xmirror_stat(m, XM_STAT_DIRTIED);
	s->hmm_pfn_wrong = xmirror_stat(m, XM_STAT_HMM_PFN_WRONG);
	s->fork_taken = xmirror_stat(m, XM_STAT_FORK_TAKEN);
	s->slice_waits = xmirror_stat(m, XM_STAT_SLICE_WAITS);
	s->slice_longest = xmirror_stat(m, XM_STAT_SLICE_LONGEST);
	s->cpu_slice_waits = xmirror_slice_cpu_waits(m);
	xt_get_hw_stats(&f->hw, s);
	s->jobs = xt_jobs_count(f);
	s->devmem_pages = 0;
	s->devmem_free = 0;
	s->devmem_evicted = 0;
	s->devmem_copy_errors = 0;
	if (!f->dev->mem)
		return;
	xmirror_devmem_stats(f->dev->mem->dm, &s->devmem_pages, &s->devmem_free,
			     &s->devmem_evicted);
	s->devmem_copy_errors = xmirror_devmem_copy_errors(f->dev->mem->dm);
}

/**
 * xt_get_page() - one page as the uapi shows it
 * @v: as the core has it
 * @page: out: the page
 */
void xt_get_page(const struct xmirror_view *v, struct xmirror_page *page)
{
	page->dev_pfn = xmirror_pte_pfn(v->pte);
	page->cpu_pfn = v->pfn;
	page->dev = v->pte & (XM_PTE_BITS | XMIRROR_PTE_64K | XMIRROR_PTE_2M);
	page->cpu = v->flags;
}
