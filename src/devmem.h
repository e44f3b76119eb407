/* SPDX-License-Identifier: GPL-2.0 */
/* Device memory: the pool, and what migration needs of it. See devmem.c. */
#ifndef _XM_DEVMEM_H
#define _XM_DEVMEM_H

#include <linux/atomic.h>
#include <linux/bits.h>
#include <linux/huge_mm.h>
#include <linux/list.h>
#include <linux/memremap.h>
#include <linux/mutex.h>
#include <linux/spinlock.h>
#include <xmirror/xmirror.h>

#define XM_BLOCK_ORDER	(PMD_SHIFT - PAGE_SHIFT)
#define XM_BLOCK_PAGES	BIT(XM_BLOCK_ORDER)

/* Tasks whose last CPU fault a pool remembers, a power of two */
#define XM_NR_STREAMS	8

/**
 * struct xm_block - a block of PMD size
 * @node: on the list of empty, partial or full blocks
 * @lru: on the pool's list, the least recently used first
 * @free: pages that are free
 * @used: a bit for each page that is not
 */
struct xm_block {
	struct list_head node;
	struct list_head lru;
	unsigned int free;
	DECLARE_BITMAP(used, XM_BLOCK_PAGES);
};

#define XM_RESERVE_PAGES	32

/**
 * struct xm_reserve - small pages that are taken together, for one migration
 * @index: the first of those that are left: in the pool, where they lie next to
 *	each other, or in @page
 * @nr: how many are left
 * @page: system memory
 */
struct xm_reserve {
	unsigned long index;
	unsigned int nr;
	struct page *page[XM_RESERVE_PAGES];
};

/**
 * struct xmirror_devmem - a pool
 * @pools: on the list of all pools
 * @pgmap: what the kernel knows of it
 * @ops: the driver's operations
 * @priv: the driver's
 * @first_pfn: page frame number of the first page
 * @nr_pages: pages
 * @node: NUMA node of the backing
 * @coherent: the CPU can address it
 * @unplugged: nothing is allocated
 * @stream: where a task last brought pages back, by its PID: the address, and in
 *	the low bits the order of how many; read and written without a lock
 * @owner: for each page, the number of the mirror that it was allocated for, 0 if
 *	it is free or reserved
 * @block: all blocks
 * @evict_mutex: one eviction at a time
 * @lock: protects the lists, counters and bitmaps
 * @empty: blocks with no page in use
 * @partial: blocks with some
 * @full: blocks with no free page
 * @lru: all blocks, the least recently used first
 * @free: pages that are free
 * @evicted: pages evicted to make room
 * @copy_errors: copies to, or else from, the pool that the driver could not make
 */
struct xmirror_devmem {
	struct list_head pools;
	struct dev_pagemap pgmap;
	const struct xmirror_devmem_ops *ops;
	void *priv;
	unsigned long first_pfn;
	unsigned long nr_pages;
	int node;
	bool coherent;
	bool unplugged;
	unsigned long stream[XM_NR_STREAMS];
	u64 *owner;
	struct xm_block *block;
	struct mutex evict_mutex; /* taken outside mmap_lock and folio locks */
	spinlock_t lock; /* protects the members below */
	struct list_head empty;
	struct list_head partial;
	struct list_head full;
	struct list_head lru;
	unsigned long free;
	unsigned long evicted;
	atomic_long_t copy_errors;
};

extern const struct dev_pagemap_ops xm_devmem_ops;

/* Are pages allocated? */
static inline bool xm_dev_in_use(const struct xmirror_devmem *dm)
{
	return READ_ONCE(dm->free) != dm->nr_pages;
}

/* Is this page of mirror number @owner, or of anybody if that is 0? */
static inline bool xm_dev_belongs(const struct xmirror_devmem *dm,
				  unsigned long index, u64 owner)
{
	u64 has = READ_ONCE(dm->owner[index]);

	return owner ? has == owner : has;
}

/* Number of the mirror that a page in use was allocated for. */
static inline u64 xm_dev_owner(const struct xmirror_devmem *dm,
			       struct page *page)
{
	return READ_ONCE(dm->owner[page_to_pfn(page) - dm->first_pfn]);
}

/* devmem.c */
void xm_dev_reserve(struct xmirror_devmem *dm, struct xm_reserve *reserve,
		    unsigned int nr);
void xm_dev_unreserve(struct xmirror_devmem *dm, struct xm_reserve *reserve);
struct page *xm_dev_alloc(struct xmirror_devmem *dm, struct xm_reserve *reserve,
			  u64 owner);
struct page *xm_dev_alloc_large(struct xmirror_devmem *dm, u64 owner);
void xm_dev_touch(struct xmirror_devmem *dm, struct page *page);
void xm_dev_make_room(struct xmirror_devmem *dm, unsigned long nr);
void xm_evict_owner(struct xmirror_devmem *dm, u64 owner);
int xm_pools_lock(void);
void xm_pools_unlock(void);
struct xmirror_devmem *xm_pool_next(struct xmirror_devmem *dm,
				    const struct xmirror_devmem *other,
				    const struct xmirror_view *views,
				    unsigned long nr);

/* migrate.c */
unsigned long xm_evict_pages(struct xmirror_devmem *dm, unsigned long index,
			     unsigned int nr, u64 owner);
vm_fault_t xm_migrate_to_ram(struct vm_fault *vmf);
int xm_migrate(struct xmirror *m, const struct xmirror_move *move, int node,
	       struct xmirror_result *res);

#endif /* _XM_DEVMEM_H */
