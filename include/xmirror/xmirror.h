/* SPDX-License-Identifier: GPL-2.0 */
/**
 * DOC: Overview
 *
 * xmirror.ko is the mm's side of a device that works on the addresses of a process.
 * A driver creates one mirror for each mm that its device works on. The core
 * reads the CPU's page table, and tells the driver by &struct xmirror_ops what
 * to map and to unmap; the driver's page table is its own. When its device
 * finds no sufficient entry there, the driver calls xmirror_fault() or
 * xmirror_exclusive(), and replays the access.
 *
 * A page is in one of these states::
 *
 *	          hmm_range_fault()             migrate_vma_*()
 *	 system ------------------> mapped    -----------------> private: the CPU's
 *	 memory                     for both                     entry is a swap entry
 *	  ^  |                         |                           |
 *	  |  | make_device_            | any invalidation          | CPU access;
 *	  |  | exclusive()             |                           | mirror ends, pool
 *	  |  v                         v                           | full or unplugged
 *	  | exclusive: the CPU's      unmapped                     |
 *	  | entry is a swap entry,    for the device               |
 *	  | the device may do                                      |
 *	  | atomics                                                |
 *	  +------ CPU access, fork, reclaim, unmap ... <-----------+
 *
 * An exclusive page stays where it is. A CPU operation on it ends the entry or keeps it,
 * as Documentation/behaviour.md says in section B; the device hears of it first. A
 * private page moves to a page of a pool, which has a page struct and no memory that the
 * CPU could address.
 *
 * Unless said otherwise a function may sleep, takes mmap_lock of the mirrored
 * mm for reading, and must be called without it; and it returns
 *
 * - -EINVAL: a range that is empty, wraps or is not page aligned
 * - -EFAULT: a range that ends above the mm's task size
 * - -ESRCH: the mm is gone
 * - -ECANCELED: xmirror_stop() was called
 * - -EINTR: a fatal signal
 * - -ERESTARTNOINTR: nothing was done, since any signal was pending when the
 *   first notifier of the mm was registered (mm_take_all_locks() in mm/vma.c); for
 *   user space to be restarted with
 * - -EBUSY: the mirror's timeout passed while the range kept changing
 * - -ENOMEM
 *
 * besides the errors that it names.
 */

/**
 * DOC: Terms
 *
 * - *Mirror*: a device's view of one mm. Its *owner*, for the kernel's filters of
 *   events, is the &struct xmirror itself.
 * - *Entry*, *PTE*: what the driver's page table has for a page. A *valid* one lets
 *   the device access it.
 * - *Interval*: a naturally aligned range that has one interval notifier, one lock
 *   and one history of invalidations.
 * - *Span*: 2 MiB. No range that the driver is told to map or to look up crosses the
 *   end of one.
 * - *Granule*: the largest entry that the device makes, and what a range fault looks at
 *   around the address.
 * - *End* of a range: the address behind the last.
 * - *Invalidation*: what lies between mmu_notifier_invalidate_range_start() and _end()
 *   of whatever caller. *Own* is the one that this mirror's make_device_exclusive()
 *   sends; all others are *foreign*.
 * - *Attempt*: from xm_read_begin() to the commit, or to the news that what was read is
 *   stale.
 * - *Commit*: to make entries, with the interval's lock for writing, of what was read
 *   since xm_read_begin() and is not stale.
 * - *Exclusive*: the CPU's entry is a device-exclusive swap entry, and the device's has
 *   XM_PTE_EXCLUSIVE. To *restore* it is what a CPU fault does: the CPU's entry is
 *   present again. To *release* it is to restore it on the driver's request.
 * - *Private*, *coherent*: memory of a device that the CPU cannot, or can, address. It is
 *   divided into *pools*, and these into *blocks* of PMD size.
 * - *Evict*: to bring pages back to system memory by their number, wherever they are
 *   mapped.
 */
#ifndef _XMIRROR_H
#define _XMIRROR_H

#include <linux/bits.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/spinlock.h>
#include <linux/types.h>

struct xmirror;
struct xmirror_devmem;

/*
 * A PTE, as the core and a driver tell each other of one: a page frame number
 * above PAGE_SHIFT and these bits below. The driver may use the others.
 */
#define XM_PTE_VALID		BIT(0)
#define XM_PTE_WRITE		BIT(1)
/* The CPU has a device-exclusive entry: the device may do atomics. */
#define XM_PTE_EXCLUSIVE	BIT(2)
/* Set by the device, told to the core by &struct xmirror_ops.unmap */
#define XM_PTE_ACCESSED		BIT(3)
#define XM_PTE_DIRTY		BIT(4)
/* A page of the device's own memory */
#define XM_PTE_LOCAL		BIT(5)
#define XM_PTE_BITS		(BIT(6) - 1)

/*
 * The core works in spans of 2 MiB, whatever the CPU's page size: no range that
 * it has the driver map or look up crosses the end of one.
 */
#define XM_SPAN_SHIFT		21
#define XM_SPAN_SIZE		BIT(XM_SPAN_SHIFT)
#define XM_SPAN_ORDER		(XM_SPAN_SHIFT - PAGE_SHIFT)
#define XM_SPAN_PAGES		BIT(XM_SPAN_ORDER)

static inline unsigned long xmirror_pte_pfn(unsigned long pte)
{
	return pte >> PAGE_SHIFT;
}

#define XM_INVAL_HISTORY	16

/**
 * struct xmirror_interval - what one interval notifier covers
 * @notifier: the subscription
 * @m: the mirror
 * @start: first address
 * @end: address behind the last
 * @lock: protects the driver's page table of the interval: for writing when it
 *	maps or unmaps, for reading while the device uses an entry
 * @inval_count: foreign invalidations so far
 * @inval: ranges of the last of them
 * @priv: the driver's
 *
 * Naturally aligned, made at the first device access and kept until the mirror
 * goes. @lock is a spinning lock: an invalidation takes it.
 */
struct xmirror_interval {
	struct mmu_interval_notifier notifier;
	struct xmirror *m;
	unsigned long start;
	unsigned long end;
	rwlock_t lock; /* see @lock above */
	unsigned int inval_count;
	struct {
		unsigned long start;
		unsigned long end;
	} inval[XM_INVAL_HISTORY];
	void *priv;
};

/**
 * struct xmirror_map - what to map
 * @start: first address
 * @end: address behind the last
 * @ptes: one for each page; 0: leave what is there
 * @huge: the range is a whole span, and its pages lie one behind the other in
 *	one folio and have the same bits: one entry with one DIRTY bit can do
 */
struct xmirror_map {
	unsigned long start;
	unsigned long end;
	const unsigned long *ptes;
	bool huge;
};

#define XM_UNMAP_BATCH	32

/**
 * struct xmirror_unmap - what was unmapped
 * @start: in: where the whole range begins
 * @gone: in: the addresses are unmapped for good, page tables that lie in the
 *	whole range can be freed
 * @spilled: out: entries of the same span outside of the range are gone, too. Only where
 *	the granule is or was a span: then the queues have been stopped for all of it
 * @cleared: out: adds up valid entries that were cleared
 * @nr: out: how many of @old are in use
 * @old: out: the entries that had XM_PTE_EXCLUSIVE, _ACCESSED or _DIRTY set
 */
struct xmirror_unmap {
	unsigned long start;
	bool gone;
	bool spilled;
	unsigned long cleared;
	unsigned int nr;
	struct xmirror_unmap_entry {
		unsigned long addr;
		unsigned long pte;
	} old[XM_UNMAP_BATCH];
};

/**
 * xmirror_unmap_room() - how many entries can be noted
 * @u: where
 *
 * Return: %XM_UNMAP_BATCH when &struct xmirror_ops.unmap is called.
 */
static inline unsigned int xmirror_unmap_room(const struct xmirror_unmap *u)
{
	return XM_UNMAP_BATCH - u->nr;
}

/**
 * xmirror_unmap_note() - tell the core of an entry that was cleared
 * @u: where; there has to be room
 * @addr: its address
 * @pte: what it was
 */
static inline void xmirror_unmap_note(struct xmirror_unmap *u,
				      unsigned long addr, unsigned long pte)
{
	if (pte & (XM_PTE_EXCLUSIVE | XM_PTE_ACCESSED | XM_PTE_DIRTY))
		u->old[u->nr++] = (struct xmirror_unmap_entry){
			.addr = addr,
			.pte = pte,
		};
}

/**
 * struct xmirror_ops - what a driver does for the core
 * @add: make an empty page table for an interval; may sleep
 * @remove: free it; may sleep, nothing is mapped
 * @prepare: have what @map needs for the span of an address, page tables above
 *	all; may sleep. An invalidation may take it away again
 * @map: make entries, called with the interval's lock for writing. An entry that
 *	is there already has the same page; its bits are kept. False: something
 *	that @prepare makes is missing
 * @unmap: clear the entries of a page aligned range of an interval, and let no
 *	access to them be in flight afterwards: here a driver flushes its TLB.
 *	Called with the interval's lock for writing, often in a notifier: it must
 *	not sleep, wait or fail. Returns @end, or where to go on if there was no
 *	room for more in &struct xmirror_unmap
 * @lookup: read the entries of a range in one span, called with the interval's
 *	lock. False: none is valid, and nothing was written to @ptes, which may be
 *	NULL to ask for just that
 * @access: the page at @addr has become exclusive, and no CPU or other device
 *	can take it away before this returns: do at least the first access. Holds
 *	mmap_lock for reading and the folio lock. NULL if @arg always is
 * @release: the mirror is gone; for the driver to free its own part. May be NULL
 * @check: called between two pieces of work of a call by the thread that makes the
 *	call, without a lock but for xmirror_verify(), which holds mmap_lock. It
 *	may sleep; may be NULL. A negative errno ends the call with it: for an
 *	engine that has to stop in the middle of a call
 * @stop_queues: stop all work of the mirror's device, and let no access be in flight
 *	afterwards. Called with a spinning lock, often in a notifier: it must not sleep,
 *	wait for long or fail. Work that is let in by what xmirror_resident_get() says
 *	is asked again after it. NULL with @start_queues: a device that faults
 * @start_queues: go on; also called with that lock
 *
 * A driver with a DMA API maps for it in @map and unmaps in @unmap.
 */
struct xmirror_ops {
	int (*add)(struct xmirror_interval *iv);
	void (*remove)(struct xmirror_interval *iv);
	int (*prepare)(struct xmirror_interval *iv, unsigned long addr);
	bool (*map)(struct xmirror_interval *iv, const struct xmirror_map *map);
	unsigned long (*unmap)(struct xmirror_interval *iv, unsigned long start,
			       unsigned long end, struct xmirror_unmap *u);
	bool (*lookup)(struct xmirror_interval *iv, unsigned long start,
		       unsigned long end, unsigned long *ptes);
	void (*access)(struct xmirror_interval *iv, unsigned long addr,
		       void *arg);
	void (*release)(void *priv);
	int (*check)(struct xmirror *m);
	void (*stop_queues)(struct xmirror *m);
	void (*start_queues)(struct xmirror *m);
};

/**
 * struct xmirror_devmem_ops - the memory behind a pool's page structs
 * @alloc: have memory behind @nr pages from number @index on, which lies in one
 *	piece if @contiguous: how many have it. May sleep. NULL: all always have
 * @free: free it; may be called in atomic context. NULL with @alloc
 * @split: the contiguous memory from @index on is freed page by page from now on;
 *	may be called in atomic context. NULL with @alloc
 * @copy: copy @nr pages from @src, or zeroes if it is NULL, to @dst. Each is
 *	@nr contiguous page structs, of system memory or of a pool with these
 *	operations. 0 or a negative errno, with which all of them stay: -EHWPOISON if
 *	@src has a memory error, as copy_mc_highpage() tells. A CPU that touched the
 *	page gets a SIGBUS then, as for any page with an error. May sleep
 */
struct xmirror_devmem_ops {
	unsigned int (*alloc)(void *priv, unsigned long index, unsigned int nr,
			      bool contiguous);
	void (*free)(void *priv, unsigned long index, unsigned int nr);
	void (*split)(void *priv, unsigned long index);
	int (*copy)(struct page *dst, struct page *src, unsigned int nr);
};

/**
 * enum xmirror_mode - what a device fault needs
 * @XM_READ: to read
 * @XM_WRITE: to write
 * @XM_LOCAL: whatever the device's own memory has there, or has then if that is where
 *	the page is preferred to be; fault nothing
 */
enum xmirror_mode {
	XM_READ,
	XM_WRITE,
	XM_LOCAL,
};

/**
 * struct xmirror_move - pages that shall move
 * @start: first address, page aligned
 * @end: address behind the last, page aligned
 * @from: pool that they move from, NULL for system memory
 * @to: pool that they move to, NULL for system memory
 * @gather: from all other memory instead: @from is NULL
 */
struct xmirror_move {
	unsigned long start;
	unsigned long end;
	struct xmirror_devmem *from;
	struct xmirror_devmem *to;
	bool gather;
};

/**
 * enum xmirror_place - where pages are preferred to be
 * @XM_PLACE_ANY: where they are
 * @XM_PLACE_DEVICE: in the memory of the mirror's device
 * @XM_PLACE_SYSTEM: in system memory
 */
enum xmirror_place {
	XM_PLACE_ANY,
	XM_PLACE_DEVICE,
	XM_PLACE_SYSTEM,
};

/**
 * struct xmirror_preference - where pages of a range are preferred to be
 * @start: first address, page aligned
 * @end: address behind the last, page aligned
 * @place: where
 * @node: with %XM_PLACE_SYSTEM the node that a page comes to when it comes from a
 *	device, or %NUMA_NO_NODE
 */
struct xmirror_preference {
	unsigned long start;
	unsigned long end;
	enum xmirror_place place;
	int node;
};

/**
 * struct xmirror_result - how far a call on a range got
 * @done: bytes from the start of the range, also on failure
 * @count: what the call says that it counts
 */
struct xmirror_result {
	unsigned long done;
	u64 count;
};

/* Events that invalidations are counted by: those of v7.3, and any later one */
#define XM_NR_EVENTS	8

/**
 * enum xm_stat - counters of a mirror
 * @XM_STAT_INVAL: the first of XM_NR_EVENTS: invalidations by enum
 *	mmu_notifier_event
 * @XM_STAT_INVAL_OTHER: those of an event that is not among them
 * @XM_STAT_INVAL_OWN: those that the mirror caused itself and ignored
 * @XM_STAT_INVAL_NONBLOCK: those in a context that must not sleep
 * @XM_STAT_FAULT_WALKS: walks of the CPU's page table by range faults
 * @XM_STAT_FAULT_RETRIES: walks that were thrown away
 * @XM_STAT_FAULT_PAGES: pages that range faults mapped
 * @XM_STAT_EXCL_MADE: pages that became exclusive
 * @XM_STAT_EXCL_HITS: pages asked for that were exclusive already
 * @XM_STAT_EXCL_RETRIES: exclusive entries that were lost before their commit
 * @XM_STAT_EXCL_LOST: exclusive entries that invalidations ended
 * @XM_STAT_EXCL_RELEASED: pages that were given back
 * @XM_STAT_DIRTIED: entries whose DIRTY bit was moved to the folio
 * @XM_STAT_HMM_PFN_WRONG: wrong page frames of hmm_range_fault() put right
 * @XM_STAT_FORK_TAKEN: pages taken back after a fork
 * @XM_STAT_QUEUE_STOPS: times that the queues were stopped
 * @XM_STAT_RESTORE_RUNS: runs of the work that maps ranges again
 * @XM_STAT_RESTORES: ranges that it mapped again
 * @XM_STAT_RESTORE_FAILURES: tries of it that failed
 * @XM_STAT_SLICE_WAITS: times that a call has waited for a time slice
 * @XM_STAT_SLICE_LONGEST: most slices of others that one of them has waited for
 * @XM_NR_STATS: how many there are
 */
enum xm_stat {
	XM_STAT_INVAL,
	XM_STAT_INVAL_OTHER = XM_STAT_INVAL + XM_NR_EVENTS,
	XM_STAT_INVAL_OWN,
	XM_STAT_INVAL_NONBLOCK,
	XM_STAT_FAULT_WALKS,
	XM_STAT_FAULT_RETRIES,
	XM_STAT_FAULT_PAGES,
	XM_STAT_EXCL_MADE,
	XM_STAT_EXCL_HITS,
	XM_STAT_EXCL_RETRIES,
	XM_STAT_EXCL_LOST,
	XM_STAT_EXCL_RELEASED,
	XM_STAT_DIRTIED,
	XM_STAT_HMM_PFN_WRONG,
	XM_STAT_FORK_TAKEN,
	XM_STAT_QUEUE_STOPS,
	XM_STAT_RESTORE_RUNS,
	XM_STAT_RESTORES,
	XM_STAT_RESTORE_FAILURES,
	XM_STAT_SLICE_WAITS,
	XM_STAT_SLICE_LONGEST,
	XM_NR_STATS
};

/**
 * enum xm_resident_state - a range that the device holds as a whole
 * @XM_RESIDENT_NONE: there is none
 * @XM_RESIDENT_MAPPED: all of it is mapped
 * @XM_RESIDENT_RESTORING: it is being mapped, and the queues are stopped
 * @XM_RESIDENT_SUSPENDED: that was given up
 */
enum xm_resident_state {
	XM_RESIDENT_NONE,
	XM_RESIDENT_MAPPED,
	XM_RESIDENT_RESTORING,
	XM_RESIDENT_SUSPENDED,
};

/**
 * struct xmirror_resident_info - such a range
 * @start: first address
 * @end: address behind the last
 * @mode: %XM_READ or %XM_WRITE
 * @state: where it is
 * @error: negative errno of the last try to map it, 0 if it succeeded
 */
struct xmirror_resident_info {
	unsigned long start;
	unsigned long end;
	enum xmirror_mode mode;
	enum xm_resident_state state;
	int error;
};

/* The CPU's view of a page, &struct xmirror_view.flags */
#define XM_CPU_PRESENT		BIT(0)
#define XM_CPU_WRITE		BIT(1)
#define XM_CPU_DIRTY		BIT(2)
#define XM_CPU_YOUNG		BIT(3)
#define XM_CPU_EXCLUSIVE	BIT(4)	/* a device-exclusive entry of anybody */
#define XM_CPU_PRIVATE		BIT(5)	/* a device-private entry */
#define XM_CPU_OTHER		BIT(6)	/* swap, migration, marker */
#define XM_CPU_HUGE		BIT(7)	/* an entry above the PTE level */
#define XM_CPU_HOLE		BIT(8)	/* no VMA */
#define XM_CPU_COHERENT		BIT(9)	/* coherent device memory */
#define XM_CPU_LOCAL		BIT(10)	/* memory of the mirror's device */
#define XM_CPU_ZERO		BIT(11)	/* the zero page */
#define XM_CPU_PUD		BIT(12)	/* with HUGE: an entry of the PUD level */
#define XM_CPU_NOACCESS		BIT(13)	/* no device may access it */

/**
 * struct xmirror_view - one page as the device and the CPU see it
 * @pte: the driver's entry, 0 if none is valid
 * @pfn: page frame of the CPU's entry, 0 if it has none
 * @flags: XM_CPU_*
 */
struct xmirror_view {
	unsigned long pte;
	unsigned long pfn;
	u32 flags;
};

/**
 * enum xm_violation - what xmirror_verify() can find wrong
 * @XM_V_NONE: nothing
 * @XM_V_PFN: the entry points to another page than the CPU's
 * @XM_V_ABSENT: the entry is valid but the CPU maps nothing there
 * @XM_V_WRITE: the entry is writable, the mapping is not
 * @XM_V_EXCLUSIVE: the entry is exclusive, the CPU's is not
 * @XM_V_BITS: bits of the entry contradict each other
 */
enum xm_violation {
	XM_V_NONE,
	XM_V_PFN,
	XM_V_ABSENT,
	XM_V_WRITE,
	XM_V_EXCLUSIVE,
	XM_V_BITS,
};

/**
 * struct xmirror_violations - what xmirror_verify() found
 * @checked: valid entries
 * @violations: those that were wrong
 * @first_addr: address of the first of them
 * @first_kind: what was wrong with it
 */
struct xmirror_violations {
	u64 checked;
	u64 violations;
	unsigned long first_addr;
	enum xm_violation first_kind;
};

struct xmirror *xmirror_create(struct mm_struct *mm, struct xmirror_devmem *dm,
			       const struct xmirror_ops *ops, void *priv);
void xmirror_stop(struct xmirror *m);
void xmirror_get(struct xmirror *m);
void xmirror_put(struct xmirror *m);

u64 xmirror_id(struct xmirror *m);
void *xmirror_priv(struct xmirror *m);
struct mm_struct *xmirror_mm(struct xmirror *m);
unsigned int xmirror_timeout(struct xmirror *m);
void xmirror_set_timeout(struct xmirror *m, unsigned int ms);
unsigned long xmirror_granule(struct xmirror *m);
int xmirror_set_granule(struct xmirror *m, unsigned long bytes);
bool xmirror_set_fork_eager(struct xmirror *m, bool eager);
unsigned int xmirror_set_slice(struct xmirror *m, unsigned int ms);
u64 xmirror_slice_cpu_waits(struct xmirror *m);
unsigned long xmirror_interval_size(void);

int xmirror_enter(struct xmirror *m);
void xmirror_leave(struct xmirror *m);
int xmirror_check_cancel(struct xmirror *m);
struct xmirror_interval *xmirror_interval_find(struct xmirror *m,
					       unsigned long addr);
struct xmirror_interval *xmirror_interval_next(struct xmirror *m,
					       unsigned long *addr,
					       unsigned long end);

int xmirror_fault(struct xmirror *m, unsigned long start, unsigned long end,
		  enum xmirror_mode mode, struct xmirror_result *res);
int xmirror_fault_unlocked(struct xmirror *m, unsigned long start,
			   unsigned long end, enum xmirror_mode mode,
			   struct xmirror_result *res);
int xmirror_exclusive(struct xmirror *m, unsigned long start,
		      unsigned long end, void *access,
		      struct xmirror_result *res);
int xmirror_release(struct xmirror *m, unsigned long start, unsigned long end,
		    struct xmirror_result *res);

int xmirror_resident_add(struct xmirror *m, unsigned long start,
			 unsigned long end, enum xmirror_mode mode);
int xmirror_resident_remove(struct xmirror *m, unsigned long start,
			    unsigned long end);
bool xmirror_resident_any(struct xmirror *m);
int xmirror_resident_get(struct xmirror *m, unsigned long addr,
			 struct xmirror_resident_info *info);
void xmirror_drain(void);

struct xmirror_devmem *
xmirror_devmem_create(u64 size, u64 addr, int node,
		      const struct xmirror_devmem_ops *ops, void *priv);
void xmirror_devmem_destroy(struct xmirror_devmem *dm);
int xmirror_devmem_unplug(struct xmirror_devmem *dm, unsigned int timeout_ms);
void xmirror_devmem_replug(struct xmirror_devmem *dm);
void xmirror_devmem_stats(struct xmirror_devmem *dm, u64 *total, u64 *free,
			  u64 *evicted);
unsigned long xmirror_devmem_copy_errors(struct xmirror_devmem *dm);
unsigned long xmirror_devmem_first_pfn(struct xmirror_devmem *dm);
struct xmirror_devmem *__xmirror_devmem_of(struct page *page);
void *xmirror_devmem_priv(struct xmirror_devmem *dm);
void xmirror_evict(struct xmirror *m);
int xmirror_migrate(struct xmirror *m, const struct xmirror_move *move,
		    struct xmirror_result *res);

int xmirror_prefer(struct xmirror *m, const struct xmirror_preference *p);
bool xmirror_may_be_local(struct xmirror *m, unsigned long addr);

int xmirror_snapshot(struct xmirror *m, unsigned long start,
		     unsigned long nr_pages, struct xmirror_view *views);
int xmirror_verify(struct xmirror *m, struct xmirror_violations *v);
u64 xmirror_stat(struct xmirror *m, enum xm_stat stat);
const char *xmirror_stat_name(enum xm_stat stat);

/**
 * xmirror_devmem_of() - the pool of a page
 * @page: a page that cannot be freed
 *
 * Context: any.
 * Return: the pool, NULL for a page of anybody else.
 */
static inline struct xmirror_devmem *xmirror_devmem_of(struct page *page)
{
	return is_zone_device_page(page) ? __xmirror_devmem_of(page) : NULL;
}

#endif /* _XMIRROR_H */
