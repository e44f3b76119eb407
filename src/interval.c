// SPDX-License-Identifier: GPL-2.0
/**
 * DOC: Invalidation
 *
 * Events are hints: whatever comes clears exactly the entries that it covers,
 * however often and for whatever reason. Only the invalidation that this
 * mirror's own xmirror_exclusive() causes is ignored, known by event and owner:
 * it announces that the CPU loses the very page that the device is about to
 * get. Ignoring means not to touch the sequence count either, else the commit
 * that follows could never succeed. The event that ends an exclusive entry is
 * somebody else's even if it has the same type (before v6.15 it was EXCLUSIVE
 * with a NULL owner), hence the owner is never NULL. A range fault of the same mirror
 * that has read the entry before may commit it afterwards: it is the same page, which
 * the CPU cannot write to meanwhile, and whatever ends the exclusive entry is foreign.
 *
 * An mprotect storm in another interval neither takes this one's lock nor makes
 * its faults retry.
 */

/**
 * DOC: Revalidation
 *
 * Entries read from the CPU's page table are valid only if nothing was
 * invalidated in between: mmu_interval_read_begin(), read, lock,
 * mmu_interval_read_retry(), use, unlock, where the invalidation callback calls
 * mmu_interval_set_seq() and clears entries under the same lock. An invalidation
 * then comes before the lock is taken, and the attempt is made again; or after it is
 * dropped, and finds the entries.
 *
 * mmu_interval_read_retry() answers for the whole interval. It alone would be
 * right, but then every exclusive page that is lost makes all engines that work
 * in the interval throw away theirs. So where it says yes, xm_read_retry() looks
 * whether the invalidations since then were elsewhere. Its answer for a range is safe:
 *
 * 1. Each callback that sets the sequence count also adds its range to the
 *    history, in one section of the lock. So under the lock the history has
 *    every range that mmu_interval_read_retry() says yes for.
 * 2. The length of the history is read before mmu_interval_read_begin(). Take an
 *    invalidation whose callback had run by then. It is not looked at; but it had ended
 *    before the reading began. For as long as it is under way, the sequence number of
 *    the mm stays the odd one that its callback has set (mn_itree_inv_start_range() and
 *    mn_itree_inv_end() in mm/mmu_notifier.c: all that overlap in time share one, and
 *    the last to end makes it even). A later callback in that time sets the same. So
 *    mmu_interval_read_begin() finds the two equal and waits until they are not.
 * 3. An invalidation whose callback runs later is in the history, and is looked at,
 *    whether it ends before the reading or after.
 * 4. One that has no callback, and is not the own one, began before the notifier was
 *    in the tree. __mmu_interval_notifier_insert() then gives the notifier the odd
 *    number of the mm, and mmu_interval_read_begin() waits as in 2.
 * 5. If more invalidations came than the history holds, the answer is yes.
 *
 * An attempt is therefore made again only if something in its range was invalidated, or
 * if the driver's map found that a table is gone. Before each further one
 * xm_check_retry() looks at the mirror's timeout and for a fatal signal. The wait in
 * mmu_interval_read_begin() itself cannot be killed.
 */

/**
 * DOC: Dirty and accessed
 *
 * A device's write goes by no entry of the CPU's page table, and the mm takes
 * exclusive entries for clean and old (the notes of make_device_exclusive() in
 * mm/rmap.c). So the driver sets XM_PTE_DIRTY and XM_PTE_ACCESSED in its own entries,
 * and an invalidation moves them to the folio before it returns.
 *
 * The CPU's entry is still in place when a notifier is called, so the folio cannot be
 * freed under us. Reclaim, migration and writeback look at its dirty flag only after
 * the notifier: try_to_unmap_one(), try_to_migrate_one() and, through folio_mkclean(),
 * folio_clear_dirty_for_io() begin with it.
 *
 * A private page needs no such news: it is dirtied when it comes back, see Migration. A
 * coherent page does, since the core moves it on its own for a long-term pin.
 *
 * Nobody is told how old a page is before an invalidation takes it from the device:
 * that would take clear_young and test_young of a plain MMU notifier.
 */

#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/swap.h>
#include <linux/slab.h>
#include "compat.h"
#include "interval.h"
#include "points.h"
#include "trace.h"

static unsigned int chunk_mb = 64;
module_param(chunk_mb, uint, 0444);
MODULE_PARM_DESC(chunk_mb,
		 "MiB that an interval notifier covers, a power of two from 2 to 4096");

unsigned int xm_interval_shift;

/* The device wrote to the page: tell its folio. */
static bool xm_mark_dirty(struct xmirror_interval *iv, unsigned long addr,
			  unsigned long pte)
{
	struct page *page = pfn_to_page(xmirror_pte_pfn(pte));

	if (pte & XM_PTE_LOCAL && is_device_private_page(page))
		return false;
	if (xm_point_atomic(iv->m, XM_PT_DIRTY, addr, addr + PAGE_SIZE))
		return false;
	folio_mark_dirty(page_folio(page));
	return true;
}

/* The device used the page. */
static void xm_mark_accessed(unsigned long pte)
{
	if (!(pte & XM_PTE_LOCAL))
		folio_mark_accessed(page_folio(pfn_to_page(xmirror_pte_pfn(pte))));
}

/* Hand over what the device knew of the entries that are gone. */
static void xm_unmap_settle(struct xmirror_interval *iv,
			    const struct xmirror_unmap *u)
{
	const struct xmirror_unmap_entry *e, *end = u->old + u->nr;
	unsigned long dirtied = 0, lost = 0;

	for (e = u->old; e < end; e++) {
		if (e->pte & XM_PTE_EXCLUSIVE)
			lost++;
		if (e->pte & XM_PTE_ACCESSED)
			xm_mark_accessed(e->pte);
		if (e->pte & XM_PTE_DIRTY)
			dirtied += xm_mark_dirty(iv, e->addr, e->pte);
	}
	if (lost)
		xm_count(iv->m, EXCL_LOST, lost);
	if (dirtied)
		xm_count(iv->m, DIRTIED, dirtied);
}

/*
 * Clear the entries of [@start, @end). Needs the lock for writing. In @u only @gone is
 * set before. With @fork, note what the device was working on. Inlined, since a CPU's
 * fault on an exclusive page waits for it.
 */
static __always_inline void xm_unmap(struct xmirror_interval *iv,
				     unsigned long start, unsigned long end,
				     struct xmirror_unmap *u, bool fork)
{
	lockdep_assert_held_write(&iv->lock);
	/* A range may begin or end inside a page: take it whole. */
	start &= PAGE_MASK;
	end = PAGE_ALIGN(end);
	u->start = start;
	u->spilled = false;
	u->cleared = 0;
	while (start < end) {
		u->nr = 0;
		start = iv->m->ops->unmap(iv, start, end, u);
		if (fork)
			xm_fork_note(iv->m, u);
		xm_unmap_settle(iv, u);
	}
}

/* xm_lock_stopped() where a range was held once */
static noinline unsigned int
__xm_lock_stopped(struct xmirror_interval *iv, unsigned long start,
		  unsigned long end, const struct mmu_notifier_range *range)
	__acquires(&iv->lock)
{
	struct xmirror *m = iv->m;
	unsigned int stopped = 0;
	bool large;
	u64 newest;

	for (;;) {
		/* Before the list: a range up to that number is found. */
		newest = smp_load_acquire(&m->resident.last_id);
		large = READ_ONCE(m->has_large);
		if (xm_resident_stop(m,
				     large ? ALIGN_DOWN(start, XM_SPAN_SIZE) : start,
				     large ? ALIGN(end, XM_SPAN_SIZE) : end) &&
		    ++stopped == 1)
			xm_point_inval(m, XM_PT_QUEUES_STOPPED, start, end, range);
		write_lock(&iv->lock);
		if (newest == READ_ONCE(m->resident.last_id) &&
		    large == READ_ONCE(m->has_large))
			return stopped;
		write_unlock(&iv->lock);
	}
}

/*
 * Lock @iv for writing, with the queues stopped if a part of a held range may go with
 * [@start, @end): how often they were. A range that is added after the look at them, and
 * a first large entry, are found with the lock, see resident.c.
 */
static unsigned int xm_lock_stopped(struct xmirror_interval *iv,
				    unsigned long start, unsigned long end,
				    const struct mmu_notifier_range *range)
	__acquires(&iv->lock)
{
	write_lock(&iv->lock);
	if (likely(!READ_ONCE(iv->m->resident.last_id)))
		return 0;
	write_unlock(&iv->lock);
	return __xm_lock_stopped(iv, start, end, range);
}

static bool xm_invalidate(struct mmu_interval_notifier *notifier,
			  const struct mmu_notifier_range *range,
			  unsigned long cur_seq)
{
	struct xmirror_interval *iv = container_of(notifier,
						   struct xmirror_interval,
						   notifier);
	struct xmirror *m = iv->m;
	unsigned long start = max(range->start, iv->start);
	unsigned long end = min(range->end, iv->end);
	bool own = range->event == MMU_NOTIFY_EXCLUSIVE && range->owner == m;
	bool fork = range->event == MMU_NOTIFY_PROTECTION_PAGE;
	unsigned int stopped;
	/* CONFIG_INIT_STACK_ALL_ZERO would clear half a KiB for each page that goes. */
	struct xmirror_unmap u __uninitialized;

	atomic64_inc(&m->stat[XM_STAT_INVAL +
			      min_t(unsigned int, range->event, XM_NR_EVENTS)]);
	if (!mmu_notifier_range_blockable(range))
		xm_count(m, INVAL_NONBLOCK, 1);

	if (own) {
		xm_count(m, INVAL_OWN, 1);
		trace_xm_invalidate(m, start, end, range, true, 0);
		xm_point_inval(m, XM_PT_INV_OWN, start, end, range);
		return true;
	}

	xm_point_inval(m, XM_PT_INV_ENTER, start, end, range);
	stopped = xm_lock_stopped(iv, start, end, range);
	u.gone = range->event == MMU_NOTIFY_UNMAP ||
		 range->event == MMU_NOTIFY_RELEASE;
	mmu_interval_set_seq(notifier, cur_seq);
	iv->inval[iv->inval_count % XM_INVAL_HISTORY].start = start;
	iv->inval[iv->inval_count % XM_INVAL_HISTORY].end = end;
	iv->inval_count++;
	xm_unmap(iv, start, end, &u, fork);
	write_unlock(&iv->lock);
	xm_resident_start(m, u.spilled ? ALIGN_DOWN(start, XM_SPAN_SIZE) : start,
			  u.spilled ? ALIGN(end, XM_SPAN_SIZE) : end, stopped);
	if (fork)
		xm_fork_start(m);
	trace_xm_invalidate(m, start, end, range, false, u.cleared);
	xm_point_inval(m, XM_PT_INV_EXIT, start, end, range);
	return true;
}

static const struct mmu_interval_notifier_ops xm_notifier_ops = {
	.invalidate = xm_invalidate,
};

/* Begin to look at the CPU's page table. Waits for running invalidations. */
struct xm_seq xm_read_begin(struct xmirror_interval *iv)
{
	struct xm_seq seq;

	/* Counted first: what comes between is in the history. */
	read_lock(&iv->lock);
	seq.inval_count = iv->inval_count;
	read_unlock(&iv->lock);
	seq.seq = mmu_interval_read_begin(&iv->notifier);
	return seq;
}

/* Has anything in [@start, @end) been invalidated since? Needs the lock. */
bool xm_read_retry(struct xmirror_interval *iv, struct xm_seq seq,
		   unsigned long start, unsigned long end)
{
	unsigned int i;

	lockdep_assert_held(&iv->lock);
	if (!mmu_interval_read_retry(&iv->notifier, seq.seq))
		return false;
	if (iv->inval_count - seq.inval_count > XM_INVAL_HISTORY)
		return true;
	for (i = seq.inval_count; i != iv->inval_count; i++)
		if (iv->inval[i % XM_INVAL_HISTORY].start < end &&
		    iv->inval[i % XM_INVAL_HISTORY].end > start)
			return true;
	return false;
}

/* The device's entry of @addr, 0 if none is valid. Takes the lock. */
unsigned long xm_pte(struct xmirror_interval *iv, unsigned long addr)
{
	unsigned long pte = 0;

	read_lock(&iv->lock);
	iv->m->ops->lookup(iv, addr, addr + PAGE_SIZE, &pte);
	read_unlock(&iv->lock);
	return pte;
}

/*
 * Move *@addr to the first exclusive page from there to @end, which lies in the
 * same span or is its end. False if there is none. Takes the lock.
 */
bool xm_next_exclusive(struct xmirror_interval *iv, unsigned long *addr,
		       unsigned long end)
{
	unsigned long ptes[32] __uninitialized, i, n = 1, pos = *addr;
	bool found = false, valid;

	*addr = end;
	read_lock(&iv->lock);
	if (!iv->m->ops->lookup(iv, pos, end, NULL))
		goto out;
	/* The first page alone: it is, where all are. */
	while (pos < end && !found) {
		valid = iv->m->ops->lookup(iv, pos, pos + n * PAGE_SIZE, ptes);
		for (i = 0; valid && i < n && !found; i++) {
			found = ptes[i] & XM_PTE_EXCLUSIVE;
			if (found)
				*addr = pos + i * PAGE_SIZE;
		}
		pos += n * PAGE_SIZE;
		n = min(ARRAY_SIZE(ptes), (end - pos) >> PAGE_SHIFT);
	}
out:
	read_unlock(&iv->lock);
	return found;
}

static struct xmirror_interval *xm_interval_create(struct xmirror *m,
						   unsigned long addr)
{
	unsigned long size = 1UL << xm_interval_shift;
	struct xmirror_interval *iv;
	int ret;

	iv = kzalloc_obj(*iv, GFP_KERNEL_ACCOUNT);
	if (!iv)
		return ERR_PTR(-ENOMEM);
	iv->m = m;
	iv->start = ALIGN_DOWN(addr, size);
	iv->end = iv->start + size;
	rwlock_init(&iv->lock);
	/* Tell lockdep: an invalidation under reclaim takes the lock. */
	fs_reclaim_acquire(GFP_KERNEL);
	might_lock(&iv->lock);
	fs_reclaim_release(GFP_KERNEL);
	ret = m->ops->add(iv);
	if (ret)
		goto err_free;
	ret = mmu_interval_notifier_insert(&iv->notifier, m->mm, iv->start,
					   size, &xm_notifier_ops);
	/* The first of an mm fails on any signal, after which it can be tried again. */
	if (ret == -EINTR && !fatal_signal_pending(current))
		ret = -ERESTARTNOINTR;
	if (ret)
		goto err_table;
	ret = xa_err(xa_store(&m->intervals, addr >> xm_interval_shift, iv,
			      GFP_KERNEL_ACCOUNT));
	if (!ret) {
		trace_xm_interval(m, iv->start, iv->end);
		return iv;
	}
	mmu_interval_notifier_remove(&iv->notifier);
err_table:
	m->ops->remove(iv);
err_free:
	kfree(iv);
	return ERR_PTR(ret);
}

/*
 * The interval of @addr, made if need be, or ERR_PTR. mmap_lock must not be held,
 * the first notifier of an mm takes it for writing.
 */
struct xmirror_interval *xm_interval_get(struct xmirror *m, unsigned long addr)
{
	struct xmirror_interval *iv = xm_interval_find(m, addr);

	if (iv)
		return iv;
	if (mutex_lock_killable(&m->interval_mutex))
		return ERR_PTR(-EINTR);
	iv = xm_interval_find(m, addr);
	if (!iv)
		iv = xm_interval_create(m, addr);
	mutex_unlock(&m->interval_mutex);
	return iv;
}

/* Nobody uses it any more but its notifier. */
void xm_interval_free(struct xmirror_interval *iv)
{
	struct xmirror_unmap u __uninitialized;

	u.gone = true;
	/* While the notifier is there the pages of the entries are, too. */
	write_lock(&iv->lock);
	xm_unmap(iv, iv->start, iv->end, &u, false);
	write_unlock(&iv->lock);
	mmu_interval_notifier_remove(&iv->notifier);
	iv->m->ops->remove(iv);
	kfree(iv);
}

/**
 * xmirror_interval_find() - the interval that an address is in
 * @m: the mirror
 * @addr: the address
 *
 * Context: any, between xmirror_enter() and xmirror_leave().
 * Return: the interval, or NULL if the device has not been there.
 */
struct xmirror_interval *xmirror_interval_find(struct xmirror *m,
					       unsigned long addr)
{
	return xm_interval_find(m, addr);
}
EXPORT_SYMBOL_GPL(xmirror_interval_find);

/**
 * xmirror_interval_next() - the first interval of a range
 * @m: the mirror
 * @addr: where the range begins; out: where it is in the interval, @end without one
 * @end: where it ends
 *
 * A range may be the whole address space: where the device has not been costs nothing.
 *
 * Context: any, between xmirror_enter() and xmirror_leave().
 * Return: the interval, or NULL if the device has not been there.
 */
struct xmirror_interval *xmirror_interval_next(struct xmirror *m,
					       unsigned long *addr,
					       unsigned long end)
{
	return *addr < end ? xm_interval_next(m, addr, end) : NULL;
}
EXPORT_SYMBOL_GPL(xmirror_interval_next);

/**
 * xmirror_interval_size() - how much an interval covers
 *
 * Context: any.
 * Return: bytes.
 */
unsigned long xmirror_interval_size(void)
{
	return 1UL << xm_interval_shift;
}
EXPORT_SYMBOL_GPL(xmirror_interval_size);

int __init xm_interval_init(void)
{
	if (chunk_mb < 2 || chunk_mb > 4096 || !is_power_of_2(chunk_mb)) {
		pr_err("xmirror: chunk_mb=%u is not a power of two from 2 to 4096\n",
		       chunk_mb);
		return -EINVAL;
	}
	xm_interval_shift = ilog2(chunk_mb) + 20;
	return 0;
}
