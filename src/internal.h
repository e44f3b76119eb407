/* SPDX-License-Identifier: GPL-2.0 */
/*
 * xmirror internals: a mirror, its chunks and their device page table.
 *
 * A chunk is a naturally aligned piece of the address space with one interval
 * notifier, one lock and one piece of the device page table, made at the first
 * device access and kept until the mirror goes. So an mprotect storm in another
 * chunk neither takes this one's lock nor makes its faults retry.
 *
 * Lock order, outermost first:
 *
 *	xmirror.chunk_mutex
 *	mmap_lock of the mirrored mm
 *	folio lock (exclusive.c holds it from creation to commit)
 *	mmu_notifier_invalidate_range_start (of any caller)
 *	xm_chunk.lock
 *	the locks that folio_mark_dirty() takes, xm_fork.lock, xmirror_devmem.lock
 *
 * xm_chunk.lock is a spinning lock. Device accesses hold it for reading over a
 * bounded number of locations; commits and invalidations hold it for writing.
 * An invalidation thus never sleeps, and when it returns no access to what it
 * cleared is in flight.
 *
 * xm_mirrors_lock, for the list of all mirrors, is innermost and short.
 */
#ifndef _XM_INTERNAL_H
#define _XM_INTERNAL_H

#include <linux/atomic.h>
#include <linux/bits.h>
#include <linux/jump_label_ratelimit.h>
#include <linux/list.h>
#include <linux/mmu_notifier.h>
#include <linux/mutex.h>
#include <linux/sizes.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>
#include <xmirror/xmirror.h>

/*
 * A leaf: page frame number above PAGE_SHIFT, XMIRROR_PTE_* bits below.
 *
 * XM_PTE_BITS are what the device knows of a page. XMIRROR_PTE_64K is set on
 * sixteen aligned leaves that map contiguous memory with the same rights, which
 * hardware could hold as one; each keeps its own DIRTY bit.
 *
 * A slot is the word that stands for XM_TABLE_SIZE bytes of address space: a leaf
 * for all of it, with XMIRROR_PTE_2M set; the address of a table of leaves, which
 * is aligned to its size and so has that bit clear; or 0.
 */
#define XM_PTE_BITS	(XMIRROR_PTE_VALID | XMIRROR_PTE_WRITE | \
			 XMIRROR_PTE_EXCLUSIVE | XMIRROR_PTE_ACCESSED | \
			 XMIRROR_PTE_DIRTY | XMIRROR_PTE_LOCAL)

#define XM_TABLE_ENTRIES	(PAGE_SIZE / sizeof(unsigned long))
#define XM_TABLE_SIZE		(XM_TABLE_ENTRIES * PAGE_SIZE)
#define XM_GROUP_SIZE		SZ_64K
#define XM_GROUP_ENTRIES	(XM_GROUP_SIZE / PAGE_SIZE)

/* Invalidations that a chunk remembers, see xm_read_retry(). */
#define XM_INV_LOG	16

/**
 * struct xm_seq - the begin of a read side critical section
 * @seq: from mmu_interval_read_begin()
 * @inv_count: invalidations of the chunk until then
 */
struct xm_seq {
	unsigned long seq;
	unsigned int inv_count;
};

/**
 * struct xm_chunk - what one interval notifier covers
 * @notifier: its subscription
 * @m: the mirror
 * @start: first address
 * @end: address behind the last
 * @lock: protects @slot and everything below it
 * @inv_count: foreign invalidations so far
 * @inv: ranges of the last of them
 * @used: for each slot the number of valid leaves in its table, 0 if it has none
 * @slot: the device page table
 */
struct xm_chunk {
	struct mmu_interval_notifier notifier;
	struct xmirror *m;
	unsigned long start;
	unsigned long end;
	rwlock_t lock;
	unsigned int inv_count;
	struct {
		unsigned long start;
		unsigned long end;
	} inv[XM_INV_LOG];
	u16 *used;
	unsigned long slot[];
};

/* Bytes of a chunk for each slot. */
#define XM_SLOT_BYTES	(sizeof(unsigned long) + sizeof(u16))

#define XM_STAT(offset)	((offset) / sizeof(u64))

/**
 * struct xm_mm - what the mirrors of an mm share
 * @node: on the list of all of them
 * @mm: the mm; each mirror holds mm_count
 * @mirrors: how many there are
 * @entered: calls that began, each of which then held mm_users
 * @left: calls that were about to give it back
 */
struct xm_mm {
	struct list_head node;
	struct mm_struct *mm;
	unsigned int mirrors;
	atomic_t entered;
	atomic_t left;
};

/* Pieces of memory that the device may want back after a fork. */
#define XM_FORK_RANGES	64

/**
 * struct xm_fork - what to take back after a fork, see fork.c
 * @eager: take back anything
 * @lock: protects the members below
 * @nr: how many of @range there are
 * @range: what the device was working on
 * @work: takes it back
 */
struct xm_fork {
	bool eager;
	spinlock_t lock; /* innermost */
	unsigned int nr;
	struct {
		unsigned long start;
		unsigned long end;
	} range[XM_FORK_RANGES];
	struct work_struct work;
};

/**
 * struct xmirror - a device's view of one mm
 * @node: on the list of all mirrors, in the order of @id
 * @visitors: threads of others at a sync point of this mirror
 * @mm: the mirrored mm; holds mm_count, not mm_users
 * @shared: what it shares with other mirrors of @mm
 * @ops: the driver's operations, may be NULL
 * @priv: the driver's
 * @dm: its device memory, or NULL
 * @id: a number that no other mirror has or had
 * @chunks: struct xm_chunk by address >> xm_chunk_shift
 * @chunk_mutex: serialises adding to @chunks
 * @stopped: every call fails with -ECANCELED
 * @has_devmem: pages of @dm may have been allocated for this mirror
 * @granule: bytes of the largest leaf and of what a device fault looks at
 * @timeout: milliseconds that a range may be retried
 * @fork: the policy for forks
 * @stat: the counters, at their places in struct xmirror_stats
 *
 * The mirror itself is the owner that own invalidations are known by: two
 * mirrors of one device are strangers to each other.
 */
struct xmirror {
	struct list_head node;
	atomic_t visitors;
	struct mm_struct *mm;
	struct xm_mm *shared;
	const struct xmirror_ops *ops;
	void *priv;
	struct xmirror_devmem *dm;
	u64 id;
	struct xarray chunks;
	struct mutex chunk_mutex; /* see @chunk_mutex above */
	bool stopped;
	bool has_devmem;
	unsigned long granule;
	unsigned int timeout;
	struct xm_fork fork;
	atomic64_t stat[XM_STAT(sizeof(struct xmirror_stats))];
};

/* Add to a counter, by its name in struct xmirror_stats. */
#define xm_count(m, field, n) \
	atomic64_add(n, &(m)->stat[XM_STAT(offsetof(struct xmirror_stats, field))])

/* mirror.c */
extern unsigned int xm_chunk_shift;

int xm_enter(struct xmirror *m);
void xm_leave(struct xmirror *m);
int xm_check_range(struct xmirror *m, unsigned long start, unsigned long end);
int xm_may_go_on(struct xmirror *m);
int xm_may_retry(struct xmirror *m, unsigned long deadline);
struct xm_seq xm_read_begin(struct xm_chunk *chunk);
bool xm_read_retry(struct xm_chunk *chunk, struct xm_seq seq,
		   unsigned long start, unsigned long end);
struct xm_chunk *xm_chunk_get(struct xmirror *m, unsigned long addr);

static inline struct xm_chunk *xm_chunk_find(struct xmirror *m,
					     unsigned long addr)
{
	return xa_load(&m->chunks, addr >> xm_chunk_shift);
}

/*
 * The first chunk from *@addr to @end, and where in it to begin; NULL and @end
 * if there is none.
 */
static inline struct xm_chunk *xm_chunk_next(struct xmirror *m,
					     unsigned long *addr,
					     unsigned long end)
{
	unsigned long index = *addr >> xm_chunk_shift;
	struct xm_chunk *chunk;

	chunk = xa_find(&m->chunks, &index, (end - 1) >> xm_chunk_shift,
			XA_PRESENT);
	*addr = chunk ? max(*addr, index << xm_chunk_shift) : end;
	return chunk;
}

static inline unsigned long xm_deadline(struct xmirror *m)
{
	return jiffies + msecs_to_jiffies(READ_ONCE(m->timeout));
}

/* ptable.c */
int xm_table_alloc(struct xm_chunk *chunk, unsigned long addr);
unsigned long xm_leaf(struct xm_chunk *chunk, unsigned long addr,
		      unsigned long **word);
bool xm_allows(struct xm_chunk *chunk, unsigned long addr,
	       unsigned long need);
unsigned long xm_next_exclusive(struct xm_chunk *chunk, unsigned long addr,
				unsigned long end);
bool xm_pte_set(struct xm_chunk *chunk, unsigned long addr, unsigned long pte);
void xm_large_set(struct xm_chunk *chunk, unsigned long addr,
		  unsigned long pte);
void xm_group_set(struct xm_chunk *chunk, unsigned long start,
		  unsigned long end);
unsigned long xm_clear_range(struct xm_chunk *chunk, unsigned long start,
			     unsigned long end, bool free_tables);

static inline unsigned long xm_slot_index(struct xm_chunk *chunk,
					  unsigned long addr)
{
	return (addr - chunk->start) / XM_TABLE_SIZE;
}

static inline unsigned long xm_pte_pfn(unsigned long pte)
{
	return pte >> PAGE_SHIFT;
}

/* fault.c: the caller is between xm_enter() and xm_leave() */
enum xm_fault_mode {
	XM_FAULT_READ,
	XM_FAULT_WRITE,
	XM_FAULT_LOCAL,
};

int xm_fault_pages(struct xmirror *m, unsigned long start, unsigned long end,
		   enum xm_fault_mode mode, unsigned long granule,
		   unsigned long *pfns, u64 *rounds);

/* exclusive.c: ditto */
int xm_exclusive_pages(struct xmirror *m, unsigned long *pos,
		       unsigned long end, u64 *rounds,
		       struct xmirror_access *a);
int xm_restore(struct xmirror *m, unsigned long addr, bool write);
int xm_release_pages(struct xmirror *m, unsigned long *pos, unsigned long end,
		     u64 *released);

/* fork.c */
int xm_fork_init(void);
void xm_fork_exit(void);
void xm_fork_create(struct xmirror *m);
void xm_fork_cancel(struct xmirror *m);
bool xm_fork_note(struct xm_chunk *chunk, unsigned long start,
		  unsigned long end);
void xm_fork_start(struct xmirror *m);

/* access.c */
u64 xm_access_page(struct xmirror *m, struct xm_chunk *chunk,
		   struct xmirror_access *a);

extern struct static_key_false_deferred xm_points_key;

void __xm_point_device(struct xmirror_devmem *dm, struct mm_struct *mm,
		       enum xmirror_point point, unsigned long start,
		       unsigned long end);

static inline int xm_point(struct xmirror *m, enum xmirror_point point,
			   unsigned long start, unsigned long end)
{
	if (!static_branch_unlikely(&xm_points_key.key) || !m->ops)
		return 0;
	return m->ops->point(m, point, start, end, -1, true);
}

/* Where it must not sleep. */
static inline int xm_point_locked(struct xmirror *m, enum xmirror_point point,
				  unsigned long start, unsigned long end)
{
	if (!static_branch_unlikely(&xm_points_key.key) || !m->ops)
		return 0;
	return m->ops->point(m, point, start, end, -1, false);
}

/*
 * A place that no mirror has come to: tell all mirrors of @dm, and of @mm if that
 * is not NULL.
 */
static inline void xm_point_device(struct xmirror_devmem *dm,
				   struct mm_struct *mm,
				   enum xmirror_point point,
				   unsigned long start, unsigned long end)
{
	if (static_branch_unlikely(&xm_points_key.key))
		__xm_point_device(dm, mm, point, start, end);
}

static inline void xm_point_inv(struct xmirror *m, enum xmirror_point point,
				unsigned long start, unsigned long end,
				const struct mmu_notifier_range *range)
{
	if (static_branch_unlikely(&xm_points_key.key) && m->ops)
		m->ops->point(m, point, start, end, range->event,
			      mmu_notifier_range_blockable(range));
}

#endif /* _XM_INTERNAL_H */
