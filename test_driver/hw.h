/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The simulated hardware: what a mirror has of it, its page table, its accesses,
 * its queues and its memory. ptable.c, access.c, queues.c, memory.c.
 */
#ifndef _XT_HW_H
#define _XT_HW_H

#include <linux/atomic.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/wait.h>
#include <uapi/linux/xmirror.h>
#include <xmirror/xmirror.h>

struct xt_file;

/* Counters, as struct xmirror_stats of the uapi has them */
enum xt_stat {
	XT_INV_LEAVES,
	XT_OPS,
	XT_DEVICE_FAULTS,
	XT_LEAVES,
	XT_TABLE_BYTES,
	XT_SPLITS,
	XT_NR_STATS
};

/**
 * struct xt_memory - the device's own memory
 * @dm: the pool, which the core knows
 * @first_pfn: page frame number of its first page
 * @node: NUMA node
 * @fail_large: the next migration of a large folio has to do with small pages
 * @backing: for each page in use, the system memory that plays the device's; NULL
 *	for coherent memory, which is its own
 * @whole: a bit for each block of PMD size whose backing is one allocation
 */
struct xt_memory {
	struct xmirror_devmem *dm;
	unsigned long first_pfn;
	int node;
	bool fail_large;
	struct page **backing;
	unsigned long *whole;
};

/**
 * struct xt_queues - whether the device may work for a mirror
 * @lock: an access holds it for reading; who stops or starts, for writing
 * @stopped: it may not
 * @stops: how often they were stopped
 * @wait: woken when they start, and when a job has to end
 */
struct xt_queues {
	rwlock_t lock; /* see @lock above */
	bool stopped;
	unsigned int stops;
	wait_queue_head_t wait;
};

/**
 * struct xt_pass - leave to access a page
 * @stops: what xt_queues.stops was
 * @ranges: the device holds some range as a whole
 * @held: the page is in a range that the device holds as a whole: it does not fault
 *	there, and it does atomics without an exclusive entry
 * @waited: the queues were stopped
 */
struct xt_pass {
	unsigned int stops;
	bool ranges;
	bool held;
	bool waited;
};

/**
 * struct xt_hw - the hardware's part of a mirror
 * @m: the mirror, whose priv this is
 * @file: the file of /dev/xmirrorN, NULL for others
 * @mem: the device's memory, or NULL
 * @queues: stopped while a range that it holds as a whole is not mapped
 * @stat: counters, by enum xt_stat
 */
struct xt_hw {
	struct xmirror *m;
	struct xt_file *file;
	struct xt_memory *mem;
	struct xt_queues queues;
	atomic64_t stat[XT_NR_STATS];
};

#define xt_count(hw, name, n)	atomic64_add(n, &(hw)->stat[XT_##name])

#define XT_TLB_SIZE	64

/**
 * struct xt_tlb - translations that an engine keeps; the rules are in access.c
 * @entry: by the low bits of the page's number
 *
 * Of an entry, @gen is the generation of the page table when it was read, 0 if it
 * never was; @nr is the page's number, its address divided by PAGE_SIZE; and @pte is
 * what the page table has.
 */
struct xt_tlb {
	struct xt_tlb_entry {
		u64 gen;
		unsigned long nr;
		unsigned long pte;
	} entry[XT_TLB_SIZE];
};

/**
 * struct xt_access - one command: the same operation on some locations
 * @op: enum xmirror_op
 * @width: 1, 2, 4 or 8 bytes
 * @addr: the first location, aligned to @width
 * @stride: bytes between locations, a multiple of @width
 * @count: number of locations
 * @operand: second operand
 * @compare: what XMIRROR_OP_CMPXCHG compares with
 * @tlb: that of the engine, NULL without one
 * @pass: in use: for the page of the next location
 * @iv: in use: the interval of the last location, NULL at first
 * @done: out: locations done
 * @result: out: value of the last location before the operation
 */
struct xt_access {
	enum xmirror_op op;
	unsigned int width;
	u64 addr;
	s64 stride;
	u64 count;
	u64 operand;
	u64 compare;
	struct xt_tlb *tlb;
	struct xt_pass pass;
	struct xmirror_interval *iv;
	u64 done;
	u64 result;
};

/**
 * struct xt_copy - a block that the device reads or writes
 * @addr: where, any alignment
 * @buf: kernel memory
 * @length: bytes
 * @write: from @buf to @addr, else from there
 * @pass: in use: for the page of the next byte
 * @iv: in use: the interval of the last byte, NULL at first
 * @done: out: bytes copied
 */
struct xt_copy {
	unsigned long addr;
	void *buf;
	size_t length;
	bool write;
	struct xt_pass pass;
	struct xmirror_interval *iv;
	size_t done;
};

/* ptable.c */
extern const struct xmirror_ops xt_mirror_ops;
extern const struct xmirror_ops xt_dmirror_mirror_ops;
int xt_hw_create(struct xt_hw *hw, struct xt_memory *mem,
		 const struct xmirror_ops *ops);
unsigned long xt_pte(struct xmirror_interval *iv, unsigned long addr,
		     unsigned long **word);
u64 xt_pt_generation(struct xmirror_interval *iv);
bool xt_pt_map(struct xmirror_interval *iv, const struct xmirror_map *map);

/* access.c */
int xt_access(struct xt_hw *hw, struct xt_access *a);
void xt_access_exclusive(struct xmirror_interval *iv, unsigned long addr,
			 void *arg);
int xt_copy(struct xt_hw *hw, struct xt_copy *c);

/* queues.c */
void xt_queues_init(struct xt_queues *q);
void xt_queues_stop(struct xmirror *m);
void xt_queues_start(struct xmirror *m);
int xt_queues_admit(struct xt_hw *hw, u64 addr, bool write,
		    struct xt_pass *pass);
bool xt_queues_admitted(struct xt_hw *hw, const struct xt_pass *pass);

/* memory.c */
extern const struct xmirror_devmem_ops xt_memory_ops;
int xt_memory_copy_pages(struct page *to, struct page *from, unsigned int nr);
struct xt_memory *xt_memory_create(u64 size, u64 addr, int node);
void xt_memory_destroy(struct xt_memory *mem);

/* The memory behind an entry of the device's page table. */
static inline struct page *xt_pte_page(struct xt_hw *hw, unsigned long pte)
{
	unsigned long pfn = xmirror_pte_pfn(pte);

	if (pte & XM_PTE_LOCAL && hw->mem->backing)
		return hw->mem->backing[pfn - hw->mem->first_pfn];
	return pfn_to_page(pfn);
}

#endif /* _XT_HW_H */
