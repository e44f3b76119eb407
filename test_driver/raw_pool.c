// SPDX-License-Identifier: GPL-2.0
/*
 * Private memory for raw calls: a pool of its own, so that a test can have pages of
 * another owner than the devices, and without the rules of src/.
 *
 * It is made when it is first needed and freed with the module. Each page that is
 * in use has a page of system memory behind it. A block of PMD size is allocated
 * whole or in small pages.
 *
 * Life of a page: free; allocated by a migration (locked, one reference); mapped by
 * device-private entries; freed by the core with the last reference, which may be
 * in atomic context.
 *
 * xt_raw_pool.lock is innermost, and taken with interrupts off.
 */

#include <linux/bitmap.h>
#include <linux/delay.h>
#include <linux/ioport.h>
#include <linux/jiffies.h>
#include <linux/memremap.h>
#include <linux/migrate.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include "compat.h"
#include "test_driver.h"

#define XT_RAW_BLOCK	(PMD_SIZE >> PAGE_SHIFT)
#define XT_RAW_BLOCKS	8UL
#define XT_RAW_PAGES	(XT_RAW_BLOCKS * XT_RAW_BLOCK)

/**
 * struct xt_raw_pool - the pool
 * @pgmap: what the core knows of it
 * @first_pfn: page frame of its first page
 * @lock: protects @used
 * @used: a bit for each page that is not free
 * @backing: the page behind each page in use
 */
struct xt_raw_pool {
	struct dev_pagemap pgmap;
	unsigned long first_pfn;
	spinlock_t lock; /* see above */
	unsigned long *used;
	struct page **backing;
};

static struct xt_raw_pool *xt_pool;
static DEFINE_MUTEX(xt_pool_mutex); /* serialises making the pool */

/* The owner of the pages; also before the pool is made */
void *xt_raw_pool_owner(void)
{
	return &xt_pool;
}

static unsigned long xt_raw_index(struct page *page)
{
	return page_to_pfn(page) - xt_pool->first_pfn;
}

static void xt_raw_release(unsigned long index, unsigned long nr)
{
	unsigned long flags, i;

	for (i = index; i < index + nr; i++) {
		if (xt_pool->backing[i])
			__free_page(xt_pool->backing[i]);
		xt_pool->backing[i] = NULL;
	}
	spin_lock_irqsave(&xt_pool->lock, flags);
	bitmap_clear(xt_pool->used, index, nr);
	spin_unlock_irqrestore(&xt_pool->lock, flags);
}

static void xt_raw_page_free(struct page *page, unsigned int nr)
{
	xt_raw_release(xt_raw_index(page), nr);
}

XM_DEFINE_DEV_FREE(xt_raw_free, xt_raw_page_free)

/* Every page has its own page behind it: the core does the rest of a split. */
static const struct dev_pagemap_ops xt_raw_ops = {
	.XM_DEV_FREE = xt_raw_free,
	.migrate_to_ram = xt_raw_to_ram,
};

/* Are these pages of the pool? */
bool xt_raw_pool_has(unsigned long pfn, unsigned long nr)
{
	/* Pairs with smp_store_release() in xt_raw_pool_make(). */
	struct xt_raw_pool *pool = smp_load_acquire(&xt_pool);

	return pool && nr <= XT_RAW_PAGES && pfn >= pool->first_pfn &&
	       pfn - pool->first_pfn <= XT_RAW_PAGES - nr;
}

/* The page that has the data of a page of the pool, which is in use. */
struct page *xt_raw_pool_data(struct page *page)
{
	return xt_pool->backing[xt_raw_index(page)];
}

/* Any page of the pool. Needs xt_raw_pool_get() before. */
struct page *xt_raw_pool_any(void)
{
	return pfn_to_page(xt_pool->first_pfn);
}

/*
 * Allocate a folio of the pool for a migration: its first page, locked and referenced,
 * or NULL. Needs xt_raw_pool_get() before.
 */
struct page *xt_raw_pool_alloc(unsigned int order)
{
	unsigned long nr = 1UL << order, index, i;
	struct page *page;
	unsigned long flags;

	spin_lock_irqsave(&xt_pool->lock, flags);
	index = bitmap_find_next_zero_area(xt_pool->used, XT_RAW_PAGES, 0, nr,
					   nr - 1);
	if (index < XT_RAW_PAGES)
		bitmap_set(xt_pool->used, index, nr);
	spin_unlock_irqrestore(&xt_pool->lock, flags);
	if (index >= XT_RAW_PAGES)
		return NULL;
	for (i = index; i < index + nr; i++) {
		xt_pool->backing[i] = alloc_page(GFP_HIGHUSER | __GFP_NOWARN);
		if (!xt_pool->backing[i]) {
			xt_raw_release(index, nr);
			return NULL;
		}
	}
	page = pfn_to_page(xt_pool->first_pfn + index);
	xm_zone_device_init(page, &xt_pool->pgmap, order);
	return page;
}

static void xt_raw_pool_put(struct xt_raw_pool *pool)
{
	kvfree(pool->backing);
	bitmap_free(pool->used);
	kfree(pool);
}

static int xt_raw_pool_make(void)
{
	struct xt_raw_pool *pool = kzalloc_obj(*pool, GFP_KERNEL);
	u64 size = XT_RAW_PAGES << PAGE_SHIFT;
	struct resource *res;
	void *ptr;
	int ret = -ENOMEM;

	if (!pool)
		return -ENOMEM;
	spin_lock_init(&pool->lock);
	pool->used = bitmap_zalloc(XT_RAW_PAGES, GFP_KERNEL);
	pool->backing = kvcalloc(XT_RAW_PAGES, sizeof(*pool->backing),
				 GFP_KERNEL);
	if (!pool->used || !pool->backing)
		goto err;
	res = request_free_mem_region(&iomem_resource, size, "xmirror raw");
	ret = -EBUSY;
	if (IS_ERR_OR_NULL(res))
		goto err;
	pool->pgmap.range.start = res->start;
	pool->pgmap.range.end = res->end;
	pool->pgmap.nr_range = 1;
	pool->pgmap.type = MEMORY_DEVICE_PRIVATE;
	pool->pgmap.ops = &xt_raw_ops;
	pool->pgmap.owner = xt_raw_pool_owner();
	pool->first_pfn = PHYS_PFN(res->start);
	ptr = memremap_pages(&pool->pgmap, first_online_node);
	if (IS_ERR(ptr)) {
		release_mem_region(res->start, size);
		ret = PTR_ERR(ptr);
		goto err;
	}
	/* A reader that sees the pointer sees the whole pool. */
	smp_store_release(&xt_pool, pool);
	return 0;

err:
	xt_raw_pool_put(pool);
	return ret;
}

/* Ensure that the pool is made: 0 or a negative errno. */
int xt_raw_pool_get(void)
{
	int ret = 0;

	if (!IS_ENABLED(CONFIG_DEVICE_PRIVATE))
		return -EOPNOTSUPP;
	mutex_lock(&xt_pool_mutex);
	if (!xt_pool)
		ret = xt_raw_pool_make();
	mutex_unlock(&xt_pool_mutex);
	return ret;
}

/*
 * No file is open any more, but a process may still map pages. They are tried again
 * until all are back: the page structs cannot go before.
 */
void xt_raw_pool_exit(void)
{
	unsigned long i, late = jiffies + 10 * HZ;

	if (!xt_pool)
		return;
	for (;;) {
		for (i = 0; i < XT_RAW_PAGES; i += XT_RAW_BLOCK)
			if (find_next_bit(xt_pool->used, i + XT_RAW_BLOCK, i) <
			    i + XT_RAW_BLOCK)
				xt_raw_evict(xt_pool->first_pfn + i,
					     XT_RAW_BLOCK);
		if (bitmap_empty(xt_pool->used, XT_RAW_PAGES))
			break;
		if (time_after(jiffies, late))
			pr_err_ratelimited("xmirror: %u pages of the pool of raw calls are still held, evicting on\n",
					   bitmap_weight(xt_pool->used,
							 XT_RAW_PAGES));
		usleep_range(1000, 2000);
	}
	memunmap_pages(&xt_pool->pgmap);
	release_mem_region(xt_pool->pgmap.range.start,
			   range_len(&xt_pool->pgmap.range));
	xt_raw_pool_put(xt_pool);
	xt_pool = NULL;
}
