// SPDX-License-Identifier: GPL-2.0
/**
 * DOC: Device memory
 *
 * A pool is a fixed number of ZONE_DEVICE pages. Private memory has page structs but
 * no memory that the CPU could address; what is behind a page that is in use is the
 * driver's, see &struct xmirror_devmem_ops. Coherent memory is a reserved physical
 * range, and its pages are their own. It is allocated in small pages only: the core
 * could make a large coherent folio, but not migrate it back.
 *
 * The pool is divided into blocks of PMD size. A block is empty (it can be
 * allocated as one large folio where the kernel has those), partial, or full.
 * Small pages come from partial blocks first, an empty block is broken up when
 * there is none, and is whole again when its last page is freed.
 *
 * Life of a device page: free; allocated by a migration (locked, one reference,
 * which the migration core turns into the mapping's); mapped by device-private
 * entries; freed by the callback that the core calls when the last reference
 * goes, which may be in atomic context. Nothing in it points to a mirror, so a
 * mirror may go before its pages; @owner is a number that is compared only.
 *
 * xmirror_devmem.lock is innermost and taken with interrupts off.
 */

#include <linux/bitmap.h>
#include <linux/delay.h>
#include <linux/ioport.h>
#include <linux/memremap.h>
#include <linux/migrate.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/rwsem.h>
#include <linux/slab.h>
#include <linux/sched/signal.h>
#include "compat.h"
#include "devmem.h"
#include "mirror.h"
#include "points.h"
#include "trace.h"

static LIST_HEAD(xm_pools);
/* Protects the list, and keeps its pools. Taken outside all locks but xm_resident.mutex */
static DECLARE_RWSEM(xm_pools_sem);

static unsigned long xm_index_of(struct xmirror_devmem *dm, struct page *page)
{
	return page_to_pfn(page) - dm->first_pfn;
}

static struct xm_block *xm_block_of(struct xmirror_devmem *dm,
				    unsigned long index)
{
	return &dm->block[index / XM_BLOCK_PAGES];
}

/* The list for a block with @free pages that are free. */
static struct list_head *xm_block_list(struct xmirror_devmem *dm,
				       unsigned int free)
{
	return free == XM_BLOCK_PAGES ? &dm->empty :
	       free ? &dm->partial : &dm->full;
}

/* @nr more pages of a block are free, or less. Needs the lock. */
static void xm_block_add(struct xmirror_devmem *dm, struct xm_block *block,
			 int nr)
{
	struct list_head *before = xm_block_list(dm, block->free), *now;

	block->free += nr;
	dm->free += nr;
	now = xm_block_list(dm, block->free);
	if (now != before)
		list_move(&block->node, now);
}

/* The block is in use: the last to be evicted. Needs the lock. */
static void xm_block_touch(struct xmirror_devmem *dm, struct xm_block *block)
{
	if (!list_is_last(&block->lru, &dm->lru))
		list_move_tail(&block->lru, &dm->lru);
}

/*
 * Allocate up to @nr small pages next to each other, or a whole block of @nr:
 * returns how many, and the first in *@index.
 */
static unsigned int xm_dev_alloc_slots(struct xmirror_devmem *dm, bool whole,
				       unsigned int nr, unsigned long *index)
{
	struct xm_block *block;
	unsigned long flags, bit;
	unsigned int n = 0;

	spin_lock_irqsave(&dm->lock, flags);
	if (dm->unplugged || (dm->coherent && whole))
		goto out;
	block = whole ? NULL :
		list_first_entry_or_null(&dm->partial, struct xm_block, node);
	if (!block)
		block = list_first_entry_or_null(&dm->empty, struct xm_block,
						 node);
	if (!block)
		goto out;
	bit = find_first_zero_bit(block->used, XM_BLOCK_PAGES);
	n = find_next_bit(block->used, min(bit + nr, XM_BLOCK_PAGES), bit) - bit;
	bitmap_set(block->used, bit, n);
	xm_block_add(dm, block, -n);
	xm_block_touch(dm, block);
	*index = (block - dm->block) * XM_BLOCK_PAGES + bit;
out:
	spin_unlock_irqrestore(&dm->lock, flags);
	return n;
}

static void xm_dev_free_slots(struct xmirror_devmem *dm, unsigned long index,
			      unsigned int nr)
{
	struct xm_block *block = xm_block_of(dm, index);
	unsigned long flags;

	spin_lock_irqsave(&dm->lock, flags);
	bitmap_clear(block->used, index % XM_BLOCK_PAGES, nr);
	xm_block_add(dm, block, nr);
	spin_unlock_irqrestore(&dm->lock, flags);
}

/* Allocate memory behind @nr pages: how many of them have it. */
static unsigned int xm_dev_alloc_backing(struct xmirror_devmem *dm,
					 unsigned long index, unsigned int nr,
					 bool contiguous)
{
	return dm->ops->alloc ?
	       dm->ops->alloc(dm->priv, index, nr, contiguous) : nr;
}

static void xm_dev_free_backing(struct xmirror_devmem *dm, unsigned long index,
				unsigned int nr)
{
	unsigned long i;

	if (dm->ops->free)
		dm->ops->free(dm->priv, index, nr);
	for (i = index; i < index + nr; i++)
		dm->owner[i] = 0;
}

/*
 * Allocate up to @nr small pages in advance for the empty *@reserve: a migration
 * takes the lock and asks for memory once for many pages.
 */
void xm_dev_reserve(struct xmirror_devmem *dm, struct xm_reserve *reserve,
		    unsigned int nr)
{
	unsigned int n;

	reserve->nr = xm_dev_alloc_slots(dm, false, nr, &reserve->index);
	if (!reserve->nr)
		return;
	n = xm_dev_alloc_backing(dm, reserve->index, reserve->nr, false);
	if (n < reserve->nr)
		xm_dev_free_slots(dm, reserve->index + n, reserve->nr - n);
	reserve->nr = n;
}

/* Return unused reserved pages to the pool. */
void xm_dev_unreserve(struct xmirror_devmem *dm, struct xm_reserve *reserve)
{
	if (!reserve->nr)
		return;
	xm_dev_free_backing(dm, reserve->index, reserve->nr);
	xm_dev_free_slots(dm, reserve->index, reserve->nr);
	reserve->nr = 0;
}

static struct page *xm_dev_init_folio(struct xmirror_devmem *dm,
				      unsigned long index, unsigned int order,
				      u64 owner)
{
	struct page *page = pfn_to_page(dm->first_pfn + index);
	unsigned long i;

	for (i = index; i < index + (1UL << order); i++)
		dm->owner[i] = owner;
	xm_zone_device_init(page, &dm->pgmap, order);
	trace_xm_devmem_alloc(owner, page_to_pfn(page), 1U << order);
	return page;
}

/*
 * Allocate a small device page for the mirror number @owner: locked and
 * referenced, or NULL if there is no reserve.
 */
struct page *xm_dev_alloc(struct xmirror_devmem *dm, struct xm_reserve *reserve,
			  u64 owner)
{
	if (!reserve->nr)
		return NULL;
	reserve->nr--;
	return xm_dev_init_folio(dm, reserve->index++, 0, owner);
}

/* The same for a large folio: the first page, or NULL. */
struct page *xm_dev_alloc_large(struct xmirror_devmem *dm, u64 owner)
{
	unsigned long index;

	if (!xm_dev_alloc_slots(dm, true, XM_BLOCK_PAGES, &index))
		return NULL;
	if (xm_dev_alloc_backing(dm, index, XM_BLOCK_PAGES, true) <
	    XM_BLOCK_PAGES) {
		xm_dev_free_slots(dm, index, XM_BLOCK_PAGES);
		return NULL;
	}
	return xm_dev_init_folio(dm, index, XM_BLOCK_ORDER, owner);
}

/* xmirror_devmem_of() of a page of some device */
struct xmirror_devmem *__xmirror_devmem_of(struct page *page)
{
	struct dev_pagemap *pgmap = page_pgmap(page);

	return pgmap->ops == &xm_devmem_ops ?
	       container_of(pgmap, struct xmirror_devmem, pgmap) : NULL;
}
EXPORT_SYMBOL_GPL(__xmirror_devmem_of);

/**
 * xmirror_devmem_first_pfn() - where a pool begins
 * @dm: the pool
 *
 * Context: any.
 * Return: page frame number of its page number 0.
 */
unsigned long xmirror_devmem_first_pfn(struct xmirror_devmem *dm)
{
	return dm->first_pfn;
}
EXPORT_SYMBOL_GPL(xmirror_devmem_first_pfn);

/**
 * xmirror_devmem_priv() - the driver's pointer
 * @dm: the pool
 *
 * Context: any.
 * Return: the priv that xmirror_devmem_create() was given.
 */
void *xmirror_devmem_priv(struct xmirror_devmem *dm)
{
	return dm->priv;
}
EXPORT_SYMBOL_GPL(xmirror_devmem_priv);

/* The device works on this page: its block is the last to be evicted. */
void xm_dev_touch(struct xmirror_devmem *dm, struct page *page)
{
	struct xm_block *block = xm_block_of(dm, xm_index_of(dm, page));
	unsigned long flags;

	if (READ_ONCE(dm->lru.prev) == &block->lru)
		return;
	spin_lock_irqsave(&dm->lock, flags);
	xm_block_touch(dm, block);
	spin_unlock_irqrestore(&dm->lock, flags);
}

/* Called by the core when the last reference has gone; may be atomic. */
static void xm_dev_free(struct page *page, unsigned int nr)
{
	struct xmirror_devmem *dm = container_of(page_pgmap(page),
						 struct xmirror_devmem, pgmap);
	unsigned long index = xm_index_of(dm, page);

	/* Whoever has locked it has a reference, and would unlock another's page. */
	WARN_ON(PageLocked(page));
	trace_xm_devmem_free(dm->owner[index], page_to_pfn(page), nr);
	xm_dev_free_backing(dm, index, nr);
	xm_dev_free_slots(dm, index, nr);
}

XM_DEFINE_DEV_FREE(xm_folio_free, xm_dev_free)

/*
 * Called by the core when a large folio is split, for each part but the first
 * before anybody can see it. Each part will be freed on its own.
 */
static void xm_dev_split(struct page *page)
{
	struct xmirror_devmem *dm = container_of(page_pgmap(page),
						 struct xmirror_devmem, pgmap);

	if (dm->ops->split)
		dm->ops->split(dm->priv, xm_index_of(dm, page));
}

XM_DEFINE_DEV_SPLIT(xm_folio_split, xm_dev_split)

/*
 * A memory error in a page. Its data is lost, and nothing is done for who has it. Without
 * an answer of ours the core takes the page for one of a file, and dies of that.
 */
static int xm_memory_failure(struct dev_pagemap *pgmap, unsigned long pfn,
			     unsigned long nr_pages, int mf_flags)
{
	return -EIO;
}

const struct dev_pagemap_ops xm_devmem_ops = {
	.XM_DEV_FREE = xm_folio_free,
	XM_DEV_SPLIT(xm_folio_split)
	.migrate_to_ram = xm_migrate_to_ram,
	.memory_failure = xm_memory_failure,
};

static void xm_add_blocks(struct xmirror_devmem *dm)
{
	unsigned long i;

	for (i = 0; i < dm->nr_pages / XM_BLOCK_PAGES; i++) {
		dm->block[i].free = XM_BLOCK_PAGES;
		list_add_tail(&dm->block[i].node, &dm->empty);
		list_add_tail(&dm->block[i].lru, &dm->lru);
	}
	dm->free = dm->nr_pages;
}

/* Have page structs for the range at @addr, or for a free one if it is 0. */
static int xm_dev_map(struct xmirror_devmem *dm, u64 size, u64 addr)
{
	struct resource *res;
	void *ptr;

	if (addr)
		res = request_mem_region(addr, size, "xmirror");
	else
		res = request_free_mem_region(&iomem_resource, size, "xmirror");
	if (IS_ERR_OR_NULL(res))
		return -EBUSY;
	dm->pgmap.range.start = res->start;
	dm->pgmap.range.end = res->end;
	dm->pgmap.nr_range = 1;
	dm->pgmap.type = addr ? MEMORY_DEVICE_COHERENT : MEMORY_DEVICE_PRIVATE;
	dm->pgmap.ops = &xm_devmem_ops;
	dm->pgmap.owner = dm;
	dm->first_pfn = PHYS_PFN(res->start);
	ptr = memremap_pages(&dm->pgmap, dm->node);
	if (IS_ERR(ptr))
		release_mem_region(res->start, size);
	return PTR_ERR_OR_ZERO(ptr);
}

/**
 * xmirror_devmem_create() - make a pool of device memory
 * @size: bytes, a multiple of the PMD size
 * @addr: physical address of a reserved range, for coherent memory; 0 for
 *	private memory
 * @node: NUMA node of the memory, or NUMA_NO_NODE
 * @ops: the driver's operations
 * @priv: for them
 *
 * Context: may sleep.
 * Return: the pool; ERR_PTR(-EOPNOTSUPP) for private memory without
 * CONFIG_DEVICE_PRIVATE, -EINVAL for a bad size, -EBUSY if no address range is
 * free, -ENOMEM, or an error of memremap_pages().
 */
struct xmirror_devmem *
xmirror_devmem_create(u64 size, u64 addr, int node,
		      const struct xmirror_devmem_ops *ops, void *priv)
{
	struct xmirror_devmem *dm;
	int ret;

	if (!addr && !IS_ENABLED(CONFIG_DEVICE_PRIVATE))
		return ERR_PTR(-EOPNOTSUPP);
	if (!size || !IS_ALIGNED(size | addr, XM_BLOCK_PAGES * PAGE_SIZE))
		return ERR_PTR(-EINVAL);

	dm = kzalloc_obj(*dm, GFP_KERNEL);
	if (!dm)
		return ERR_PTR(-ENOMEM);
	dm->ops = ops;
	dm->priv = priv;
	dm->nr_pages = size >> PAGE_SHIFT;
	dm->coherent = addr;
	dm->node = node;
	spin_lock_init(&dm->lock);
	mutex_init(&dm->evict_mutex);
	INIT_LIST_HEAD(&dm->empty);
	INIT_LIST_HEAD(&dm->partial);
	INIT_LIST_HEAD(&dm->full);
	INIT_LIST_HEAD(&dm->lru);

	ret = -ENOMEM;
	dm->owner = kvcalloc(dm->nr_pages, sizeof(*dm->owner), GFP_KERNEL);
	dm->block = kvcalloc(dm->nr_pages / XM_BLOCK_PAGES, sizeof(*dm->block),
			     GFP_KERNEL);
	if (!dm->owner || !dm->block)
		goto err_free;

	ret = xm_dev_map(dm, size, addr);
	if (ret)
		goto err_free;
	xm_add_blocks(dm);
	down_write(&xm_pools_sem);
	list_add_tail(&dm->pools, &xm_pools);
	up_write(&xm_pools_sem);
	return dm;

err_free:
	kvfree(dm->block);
	kvfree(dm->owner);
	kfree(dm);
	return ERR_PTR(ret);
}
EXPORT_SYMBOL_GPL(xmirror_devmem_create);

/* No pool goes until xm_pools_unlock(). -EINTR on a fatal signal. */
int xm_pools_lock(void)
{
	return down_read_killable(&xm_pools_sem);
}

void xm_pools_unlock(void)
{
	up_read(&xm_pools_sem);
}

/* Has the pool any of these @nr pages? */
static bool xm_dev_has(const struct xmirror_devmem *dm,
		       const struct xmirror_view *views, unsigned long nr)
{
	unsigned long i;

	for (i = 0; i < nr; i++)
		if (views[i].flags & (XM_CPU_PRIVATE | XM_CPU_COHERENT) &&
		    views[i].pfn - dm->first_pfn < dm->nr_pages)
			return true;
	return false;
}

/*
 * The next pool after @dm, or the first if it is NULL, that has any of these @nr pages,
 * but not @other. Needs xm_pools_lock().
 */
struct xmirror_devmem *xm_pool_next(struct xmirror_devmem *dm,
				    const struct xmirror_devmem *other,
				    const struct xmirror_view *views,
				    unsigned long nr)
{
	dm = list_prepare_entry(dm, &xm_pools, pools);
	list_for_each_entry_continue(dm, &xm_pools, pools)
		if (dm != other && xm_dev_has(dm, views, nr))
			return dm;
	return NULL;
}

/*
 * Find the next pages of @owner (0: of anybody) from *@index on that go in one
 * call: how many, 0 at the end.
 */
static unsigned int xm_next_run(struct xmirror_devmem *dm, unsigned long *index,
				u64 owner)
{
	unsigned long i = *index, end;

	/* Racy on purpose: xm_evict_pages() looks again when they are locked. */
	while (i < dm->nr_pages && !xm_dev_belongs(dm, i, owner))
		i++;
	*index = i;
	end = min(dm->nr_pages, ALIGN(i + 1, XM_BLOCK_PAGES));
	while (i < end && xm_dev_belongs(dm, i, owner))
		i++;
	return i - *index;
}

/* Evict what belongs to mirror number @owner, or to anybody if it is 0. */
void xm_evict_owner(struct xmirror_devmem *dm, u64 owner)
{
	unsigned long index = 0;
	unsigned int n;

	mutex_lock(&dm->evict_mutex);
	while ((n = xm_next_run(dm, &index, owner))) {
		xm_evict_pages(dm, index, n, owner);
		index += n;
		cond_resched();
	}
	mutex_unlock(&dm->evict_mutex);
}

/**
 * xmirror_evict() - give up the device memory of a mirror
 * @m: the mirror
 *
 * Brings back to system memory what was allocated for this mirror, wherever it
 * is mapped. Pinned pages are skipped.
 *
 * Context: may sleep.
 */
void xmirror_evict(struct xmirror *m)
{
	/* A mirror without device memory would only wait for evictions of others. */
	if (m->dm && READ_ONCE(m->has_devmem))
		xm_evict_owner(m->dm, m->id);
}
EXPORT_SYMBOL_GPL(xmirror_evict);

/*
 * Make room for @nr pages: evict least recently used blocks. Other allocations may take
 * that room first.
 */
void xm_dev_make_room(struct xmirror_devmem *dm, unsigned long nr)
{
	unsigned long tries = dm->nr_pages / XM_BLOCK_PAGES;
	struct xm_block *block;
	unsigned long flags;

	if (READ_ONCE(dm->free) >= nr)
		return;
	mutex_lock(&dm->evict_mutex);
	while (tries-- && READ_ONCE(dm->free) < nr && !dm->unplugged) {
		spin_lock_irqsave(&dm->lock, flags);
		block = list_first_entry(&dm->lru, struct xm_block, lru);
		list_move_tail(&block->lru, &dm->lru);
		spin_unlock_irqrestore(&dm->lock, flags);
		if (READ_ONCE(block->free) == XM_BLOCK_PAGES)
			continue;
		dm->evicted += xm_evict_pages(dm, (block - dm->block) *
					      XM_BLOCK_PAGES, XM_BLOCK_PAGES,
					      0);
	}
	mutex_unlock(&dm->evict_mutex);
}

/*
 * Empty the per-CPU batches of mm/swap.c and mm/mlock.c: each page in them has a
 * reference, also an unmapped device page (mlock() adds it), and a migration drains
 * the batches of its own CPU only. lru_add_drain_all() is not exported, but
 * migrate_device_range() calls it when it meets a page that is on no LRU list, such
 * as this one.
 */
static void xm_drain_batches(void)
{
	struct page *page = alloc_page(GFP_KERNEL);
	unsigned long src = 0;

	if (!page)
		return;
	/* It cannot be isolated, and is put at once. */
	migrate_device_range(&src, page_to_pfn(page), 1);
	WARN_ON_ONCE(src);
	__free_page(page);
}

/* xmirror_devmem_unplug(), and for a caller that goes on when it is killed */
static int xm_dev_unplug(struct xmirror_devmem *dm, unsigned int timeout_ms,
			 bool killable)
{
	unsigned long deadline = jiffies + msecs_to_jiffies(timeout_ms);
	unsigned long flags, sleep = 1000;

	spin_lock_irqsave(&dm->lock, flags);
	dm->unplugged = true;
	spin_unlock_irqrestore(&dm->lock, flags);
	xm_point_device(dm, NULL, XM_PT_UNPLUG, 0, ULONG_MAX);
	for (;;) {
		xm_evict_owner(dm, 0);
		if (!xm_dev_in_use(dm))
			return 0;
		if (time_after(jiffies, deadline) ||
		    (killable && fatal_signal_pending(current)))
			return -EBUSY;
		xm_drain_batches();
		/* There is no notification when the other pages are put. */
		usleep_range(sleep, 2 * sleep);
		sleep = min(2 * sleep, 100000UL);
	}
}

/**
 * xmirror_devmem_unplug() - take a pool out of use
 * @dm: the pool
 * @timeout_ms: how long to wait for pinned pages
 *
 * Nothing is allocated any more, and what is in the pool goes back to system
 * memory, whoever it belongs to. Pages that are pinned or that a migration is
 * working on are tried again until the time is over.
 *
 * Context: may sleep.
 * Return: 0, or -EBUSY with pages left; xmirror_devmem_stats() tells how many.
 */
int xmirror_devmem_unplug(struct xmirror_devmem *dm, unsigned int timeout_ms)
{
	return xm_dev_unplug(dm, timeout_ms, true);
}
EXPORT_SYMBOL_GPL(xmirror_devmem_unplug);

/**
 * xmirror_devmem_replug() - use a pool again
 * @dm: the pool
 *
 * Context: any.
 */
void xmirror_devmem_replug(struct xmirror_devmem *dm)
{
	unsigned long flags;

	spin_lock_irqsave(&dm->lock, flags);
	dm->unplugged = false;
	spin_unlock_irqrestore(&dm->lock, flags);
}
EXPORT_SYMBOL_GPL(xmirror_devmem_replug);

/**
 * xmirror_devmem_stats() - how full a pool is
 * @dm: the pool
 * @total: out: pages
 * @free: out: pages that are free
 * @evicted: out: pages that were evicted to make room
 *
 * Context: any.
 */
void xmirror_devmem_stats(struct xmirror_devmem *dm, u64 *total, u64 *free,
			  u64 *evicted)
{
	*total = dm->nr_pages;
	*free = READ_ONCE(dm->free);
	*evicted = READ_ONCE(dm->evicted);
}
EXPORT_SYMBOL_GPL(xmirror_devmem_stats);

/**
 * xmirror_devmem_copy_errors() - copies that failed
 * @dm: the pool
 *
 * Context: any.
 * Return: how many pages, or large folios, stayed where they were because
 * &struct xmirror_devmem_ops.copy failed: those that were to move to @dm, and those
 * of @dm that were to move to system memory.
 */
unsigned long xmirror_devmem_copy_errors(struct xmirror_devmem *dm)
{
	return atomic_long_read(&dm->copy_errors);
}
EXPORT_SYMBOL_GPL(xmirror_devmem_copy_errors);

/**
 * xmirror_devmem_destroy() - free a pool
 * @dm: the pool, attached to no mirror
 *
 * Everything goes back to system memory first. Should something hold a page for
 * more than ten seconds, that is reported, and it is evicted as soon as it is
 * let go: the page structs cannot go before.
 *
 * Context: may sleep.
 */
void xmirror_devmem_destroy(struct xmirror_devmem *dm)
{
	down_write(&xm_pools_sem);
	list_del(&dm->pools);
	up_write(&xm_pools_sem);
	/*
	 * Also if the caller was killed. A page may be pinned first, and then only
	 * be mapped, which only an eviction ends: memunmap_pages() would wait for
	 * it for ever.
	 */
	while (xm_dev_unplug(dm, 10000, false))
		pr_err_ratelimited("xmirror: %lu pages of device memory are still held, evicting on\n",
				   dm->nr_pages - dm->free);
	memunmap_pages(&dm->pgmap);
	release_mem_region(dm->pgmap.range.start, range_len(&dm->pgmap.range));
	kvfree(dm->block);
	kvfree(dm->owner);
	kfree(dm);
}
EXPORT_SYMBOL_GPL(xmirror_devmem_destroy);
