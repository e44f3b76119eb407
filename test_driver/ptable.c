// SPDX-License-Identifier: GPL-2.0
/*
 * The device's page table of an interval: for each span of 2 MiB one large entry,
 * or a table of entries of a CPU page.
 *
 * An entry is made and cleared with the interval's lock for writing, and used by an
 * access with it for reading. So when xt_pt_unmap() returns no access is in
 * flight, and flushes the engines' TLBs, which is what a real device waits for here.
 *
 * The generation of a page table is a number that no other has or had; each
 * xt_pt_unmap() takes a new one. What was read with the lock held is still so while
 * the lock is held and the generation is the same: but for bits that were set.
 *
 * A table entry is a PTE of the core's. A contiguous block is an aligned run of 64 KiB
 * of entries that map an aligned 64 KiB of memory with the same rights, which hardware
 * could hold as one. XMIRROR_PTE_64K is set on each of them, and each keeps its own DIRTY
 * bit.
 *
 * A PDE stands for a span: an entry for all of it, with XM_PTE_VALID and
 * XMIRROR_PTE_2M set; the address of a table, which is aligned and so has those
 * clear; or 0.
 */

#include <linux/mm.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include "compat.h"
#include "engine.h"
#include "hw.h"
#include "test_driver.h"
#include "trace.h"

#define XT_PT_SIZE		(XM_SPAN_PAGES * sizeof(unsigned long))
#define XT_CONTIG_SIZE		SZ_64K
#define XT_CONTIG_PAGES		(XT_CONTIG_SIZE / PAGE_SIZE) /* 1: none */

static_assert(XT_CONTIG_PAGES <= XM_UNMAP_BATCH);

static atomic64_t xt_last_generation;

/**
 * struct xt_table - the page table of an interval
 * @hw: the hardware
 * @gen: its generation
 * @used: for each PDE the number of valid entries in its table, 0 if it has none
 * @spare: a table for the next large entry that is split, or NULL
 * @pde: the PDEs
 */
struct xt_table {
	struct xt_hw *hw;
	u64 gen;
	u16 *used;
	unsigned long *spare;
	unsigned long pde[];
};

/* Bytes for each PDE. */
#define XT_PDE_BYTES	(sizeof(unsigned long) + sizeof(u16))

static bool xt_pde_is_large(unsigned long pde)
{
	return pde & XM_PTE_VALID;
}

/* The table of a PDE, NULL if there is none. */
static unsigned long *xt_pde_table(unsigned long pde)
{
	return xt_pde_is_large(pde) ? NULL : (unsigned long *)pde;
}

static unsigned long xt_pde_nr(struct xmirror_interval *iv, unsigned long addr)
{
	return (addr - iv->start) / XM_SPAN_SIZE;
}

static unsigned long xt_pt_index(unsigned long addr)
{
	return (addr / PAGE_SIZE) % XM_SPAN_PAGES;
}

static unsigned long xt_pt_address(struct xmirror_interval *iv,
				   unsigned long nr, unsigned long index)
{
	return iv->start + nr * XM_SPAN_SIZE + index * PAGE_SIZE;
}

/* &struct xmirror_ops.add */
static int xt_pt_add(struct xmirror_interval *iv)
{
	unsigned long nr = (iv->end - iv->start) / XM_SPAN_SIZE;
	struct xt_table *t;

	t = kvzalloc(sizeof(*t) + nr * XT_PDE_BYTES, GFP_KERNEL_ACCOUNT);
	if (!t)
		return -ENOMEM;
	t->hw = xmirror_priv(iv->m);
	t->gen = atomic64_inc_return(&xt_last_generation);
	t->used = (u16 *)&t->pde[nr];
	iv->priv = t;
	xt_count(t->hw, TABLE_BYTES, nr * XT_PDE_BYTES);
	return 0;
}

/* &struct xmirror_ops.remove */
static void xt_pt_remove(struct xmirror_interval *iv)
{
	unsigned long nr = (iv->end - iv->start) / XM_SPAN_SIZE;
	struct xt_table *t = iv->priv;

	if (t->spare)
		xt_count(t->hw, TABLE_BYTES, -(long)XT_PT_SIZE);
	kfree(t->spare);
	xt_count(t->hw, TABLE_BYTES, -(long)(nr * XT_PDE_BYTES));
	kvfree(t);
}

/*
 * Ensure that @addr has a table, or a large entry and a table to split it with. Somebody
 * else may take them away again: by an invalidation, which makes the commit retry; for a
 * large entry, or to split another one, which xt_pt_map() finds. &struct
 * xmirror_ops.prepare
 */
static int xt_pt_prepare(struct xmirror_interval *iv, unsigned long addr)
{
	struct xt_table *t = iv->priv;
	unsigned long *pde = &t->pde[xt_pde_nr(iv, addr)];
	unsigned long was = READ_ONCE(*pde), *table;

	if (xt_pde_table(was) || (was && READ_ONCE(t->spare)))
		return 0;
	table = kzalloc(XT_PT_SIZE, GFP_KERNEL_ACCOUNT);
	if (!table)
		return -ENOMEM;

	write_lock(&iv->lock);
	if (!*pde) {
		WRITE_ONCE(*pde, (unsigned long)table);
		xt_count(t->hw, TABLE_BYTES, XT_PT_SIZE);
		table = NULL;
	} else if (xt_pde_is_large(*pde) && !t->spare) {
		WRITE_ONCE(t->spare, table);
		xt_count(t->hw, TABLE_BYTES, XT_PT_SIZE);
		table = NULL;
	}
	write_unlock(&iv->lock);
	kfree(table);
	return 0;
}

/**
 * xt_pte() - the entry of a page
 * @iv: the interval, whose lock is held
 * @addr: the address
 * @word: out: where its bits are, if there is one
 *
 * Return: the entry, 0 if there is none.
 */
unsigned long xt_pte(struct xmirror_interval *iv, unsigned long addr,
		     unsigned long **word)
{
	struct xt_table *t = iv->priv;
	unsigned long *p = &t->pde[xt_pde_nr(iv, addr)], pte;

	lockdep_assert_held(&iv->lock);
	if (!*p)
		return 0;
	if (xt_pde_is_large(*p)) {
		pte = READ_ONCE(*p) + (xt_pt_index(addr) << PAGE_SHIFT);
	} else {
		p = &xt_pde_table(*p)[xt_pt_index(addr)];
		pte = READ_ONCE(*p);
	}
	*word = p;
	return pte;
}

/**
 * xt_pt_generation() - as of when the page table is
 * @iv: the interval, whose lock is held
 *
 * Return: the number, never 0.
 */
u64 xt_pt_generation(struct xmirror_interval *iv)
{
	struct xt_table *t = iv->priv;

	lockdep_assert_held(&iv->lock);
	return t->gen;
}

/* &struct xmirror_ops.lookup */
static bool xt_pt_lookup(struct xmirror_interval *iv, unsigned long start,
			 unsigned long end, unsigned long *ptes)
{
	unsigned long nr = xt_pde_nr(iv, start), n = (end - start) >> PAGE_SHIFT;
	unsigned long first = xt_pt_index(start), i, pde, *table;
	struct xt_table *t = iv->priv;

	lockdep_assert_held(&iv->lock);
	pde = READ_ONCE(t->pde[nr]);
	table = xt_pde_table(pde);
	if (table ? !t->used[nr] : !pde)
		return false;
	if (!ptes)
		return true;
	for (i = 0; i < n; i++)
		ptes[i] = table ? READ_ONCE(table[first + i]) :
				  pde + ((first + i) << PAGE_SHIFT);
	return true;
}

static void xt_contig_break(struct xmirror_interval *iv, unsigned long nr,
			    unsigned long index)
{
	struct xt_table *t = iv->priv;
	unsigned long *table = xt_pde_table(t->pde[nr]);
	unsigned long i, first = ALIGN_DOWN(index, XT_CONTIG_PAGES);

	for (i = first; i < first + XT_CONTIG_PAGES; i++)
		table[i] &= ~(unsigned long)XMIRROR_PTE_64K;
	xt_count(t->hw, SPLITS, 1);
	trace_xt_split(xmirror_id(iv->m), xt_pt_address(iv, nr, first),
		       xt_pt_address(iv, nr, first + XT_CONTIG_PAGES));
}

/* Break up the contiguous block of @index, if it is one. */
static void xt_contig_clear(struct xmirror_interval *iv, unsigned long nr,
			    const unsigned long *table, unsigned long index)
{
	if (unlikely(table[index] & XMIRROR_PTE_64K))
		xt_contig_break(iv, nr, index);
}

static void xt_free_table(struct xmirror_interval *iv, unsigned long nr)
{
	struct xt_table *t = iv->priv;
	unsigned long *table = xt_pde_table(t->pde[nr]);

	if (!table)
		return;
	WRITE_ONCE(t->pde[nr], 0);
	kfree(table);
	xt_count(t->hw, TABLE_BYTES, -(long)XT_PT_SIZE);
}

static void xt_clear_large(struct xmirror_interval *iv, unsigned long nr,
			   struct xmirror_unmap *u)
{
	struct xt_table *t = iv->priv;

	xmirror_unmap_note(u, xt_pt_address(iv, nr, 0), t->pde[nr]);
	u->cleared++;
	xt_count(t->hw, LEAVES, -1L);
	xt_count(t->hw, INV_LEAVES, 1);
	WRITE_ONCE(t->pde[nr], 0);
}

/* A table for all entries of a large one, NULL if there is no memory for it. */
static unsigned long *xt_split_table(struct xmirror_interval *iv)
{
	struct xt_table *t = iv->priv;
	unsigned long *table = t->spare;

	if (table) {
		WRITE_ONCE(t->spare, NULL);
		return table;
	}
	/*
	 * Under the lock there is no waiting for memory. In a notifier current
	 * may be anybody, hence no accounting; it may be reclaiming memory, hence
	 * __GFP_NOMEMALLOC: PF_MEMALLOC gives it the reserves, which are not for
	 * this (mm/page_alloc.c, __gfp_pfmemalloc_flags()).
	 */
	table = kzalloc(XT_PT_SIZE,
			GFP_NOWAIT | __GFP_NOWARN | __GFP_NOMEMALLOC);
	if (table)
		xt_count(t->hw, TABLE_BYTES, XT_PT_SIZE);
	return table;
}

/* Make pages of a large entry. False if there is no memory for the table. */
static bool xt_split_large(struct xmirror_interval *iv, unsigned long nr)
{
	struct xt_table *t = iv->priv;
	unsigned long pte = t->pde[nr] & ~(unsigned long)XMIRROR_PTE_2M;
	unsigned long *table = xt_split_table(iv), i;

	if (!table)
		return false;
	for (i = 0; i < XM_SPAN_PAGES; i++)
		table[i] = pte + (i << PAGE_SHIFT);
	WRITE_ONCE(t->pde[nr], (unsigned long)table);
	t->used[nr] = XM_SPAN_PAGES;
	xt_count(t->hw, LEAVES, (long)XM_SPAN_PAGES - 1);
	xt_count(t->hw, SPLITS, 1);
	trace_xt_split(xmirror_id(iv->m), xt_pt_address(iv, nr, 0),
		       xt_pt_address(iv, nr + 1, 0));
	return true;
}

/*
 * A part of a large entry goes: the rest become pages. Without memory all of it
 * goes, and the device has to fault for the rest.
 */
static void xt_unmap_split(struct xmirror_interval *iv, unsigned long nr,
			   struct xmirror_unmap *u)
{
	struct xt_table *t = iv->priv;
	unsigned long *table, i;

	if (!xt_split_large(iv, nr)) {
		xt_clear_large(iv, nr, u);
		u->spilled = true;
		return;
	}
	table = xt_pde_table(t->pde[nr]);
	if (!(table[0] & XM_PTE_DIRTY))
		return;
	/* The folio is dirty now, so clear DIRTY in the new entries. */
	xmirror_unmap_note(u, xt_pt_address(iv, nr, 0), table[0]);
	for (i = 0; i < XM_SPAN_PAGES; i++)
		table[i] &= ~XM_PTE_DIRTY;
}

/*
 * Clear the entries @first to @last of PDE number @nr, which has a table. Returns
 * the next index: behind @last, or where the room for notes ended, which is
 * never inside a contiguous block.
 */
static unsigned long xt_clear_table(struct xmirror_interval *iv,
				    unsigned long nr, unsigned long first,
				    unsigned long last, struct xmirror_unmap *u)
{
	struct xt_table *t = iv->priv;
	unsigned long *table = xt_pde_table(t->pde[nr]);
	unsigned long i, cleared, left = t->used[nr];

	if (!IS_ALIGNED(first, XT_CONTIG_PAGES))
		xt_contig_clear(iv, nr, table, first);
	if (!IS_ALIGNED(last + 1, XT_CONTIG_PAGES))
		xt_contig_clear(iv, nr, table, last);
	for (i = first; i <= last && left; i++) {
		if (IS_ALIGNED(i, XT_CONTIG_PAGES) &&
		    xmirror_unmap_room(u) < XT_CONTIG_PAGES)
			break;
		if (!table[i])
			continue;
		xmirror_unmap_note(u, xt_pt_address(iv, nr, i), table[i]);
		table[i] = 0;
		left--;
	}
	cleared = t->used[nr] - left;
	t->used[nr] = left;
	u->cleared += cleared;
	xt_count(t->hw, LEAVES, -cleared);
	xt_count(t->hw, INV_LEAVES, cleared);
	return left ? i : last + 1;
}

/* &struct xmirror_ops.unmap */
static unsigned long xt_pt_unmap(struct xmirror_interval *iv,
				 unsigned long start, unsigned long end,
				 struct xmirror_unmap *u)
{
	unsigned long addr, next, nr, index;
	struct xt_table *t = iv->priv;

	lockdep_assert_held_write(&iv->lock);
	t->gen = atomic64_inc_return(&xt_last_generation);
	for (addr = start; addr < end; addr = next) {
		next = min(end, ALIGN(addr + 1, XM_SPAN_SIZE));
		nr = xt_pde_nr(iv, addr);
		/* Room for a large entry and for the begin of a table */
		if (xmirror_unmap_room(u) < XT_CONTIG_PAGES + 1)
			return addr;
		if (xt_pde_is_large(t->pde[nr])) {
			if (next - addr == XM_SPAN_SIZE)
				xt_clear_large(iv, nr, u);
			else
				xt_unmap_split(iv, nr, u);
		}
		if (t->used[nr]) {
			index = xt_clear_table(iv, nr, xt_pt_index(addr),
					       xt_pt_index(next - 1), u);
			if (index <= xt_pt_index(next - 1))
				return xt_pt_address(iv, nr, index);
		}
		if (u->gone && IS_ALIGNED(next, XM_SPAN_SIZE) &&
		    ALIGN_DOWN(addr, XM_SPAN_SIZE) >= u->start)
			xt_free_table(iv, nr);
	}
	return end;
}

/*
 * An entry that is there already points to the same page, or an invalidation would
 * have cleared it: what the device knows about the page is kept.
 */
static void xt_pte_set(struct xmirror_interval *iv, unsigned long nr,
		       unsigned long *table, unsigned long index,
		       unsigned long pte)
{
	unsigned long *p = &table[index];
	struct xt_table *t = iv->priv;

	if (*p) {
		WARN_ON_ONCE(xmirror_pte_pfn(*p) != xmirror_pte_pfn(pte));
		/* A fault around it comes across many that stay as they are. */
		if (!(pte & ~*p & XM_PTE_BITS))
			return;
		xt_contig_clear(iv, nr, table, index);
		pte |= *p & XM_PTE_BITS;
	} else {
		t->used[nr]++;
		xt_count(t->hw, LEAVES, 1);
	}
	*p = pte;
}

static void xt_large_set(struct xmirror_interval *iv, unsigned long nr,
			 unsigned long pte)
{
	struct xt_table *t = iv->priv;
	unsigned long *table = xt_pde_table(t->pde[nr]), i;

	if (xt_pde_is_large(t->pde[nr])) {
		WARN_ON_ONCE(xmirror_pte_pfn(t->pde[nr]) !=
			     xmirror_pte_pfn(pte));
		pte |= t->pde[nr] & XM_PTE_BITS;
	} else {
		/* It is one folio: what was written is its. */
		for (i = 0; t->used[nr] && i < XM_SPAN_PAGES; i++)
			pte |= table[i] & (XM_PTE_ACCESSED | XM_PTE_DIRTY);
		xt_count(t->hw, LEAVES, 1 - (long)t->used[nr]);
		xt_count(t->hw, INV_LEAVES, t->used[nr]);
		t->used[nr] = 0;
		xt_free_table(iv, nr);
	}
	WRITE_ONCE(t->pde[nr], pte | XMIRROR_PTE_2M);
}

/*
 * Mark the contiguous blocks in [@first, @last]. Where 64 KiB is the page size there
 * are none.
 */
static void xt_contig_set(unsigned long *table, unsigned long first,
			  unsigned long last)
{
	unsigned long rights = XM_PTE_VALID | XM_PTE_WRITE | XM_PTE_EXCLUSIVE |
			       XM_PTE_LOCAL;
	unsigned long i, *p;

	for (first = ALIGN(first, XT_CONTIG_PAGES);
	     XT_CONTIG_PAGES > 1 && first + XT_CONTIG_PAGES <= last + 1;
	     first += XT_CONTIG_PAGES) {
		p = &table[first];
		if (!*p || *p & XMIRROR_PTE_64K ||
		    !IS_ALIGNED(xmirror_pte_pfn(*p), XT_CONTIG_PAGES))
			continue;
		for (i = 1; i < XT_CONTIG_PAGES; i++)
			if (xmirror_pte_pfn(p[i]) != xmirror_pte_pfn(*p) + i ||
			    (p[i] ^ *p) & rights)
				break;
		if (i < XT_CONTIG_PAGES)
			continue;
		for (i = 0; i < XT_CONTIG_PAGES; i++)
			p[i] |= XMIRROR_PTE_64K;
	}
}

/**
 * xt_pt_map() - make entries
 * @iv: the interval, whose lock is held for writing
 * @map: what
 *
 * &struct xmirror_ops.map
 *
 * Return: false if there is no table: try again from xt_pt_prepare().
 */
bool xt_pt_map(struct xmirror_interval *iv, const struct xmirror_map *map)
{
	unsigned long nr = xt_pde_nr(iv, map->start), first, i, n, *table;
	struct xt_table *t = iv->priv;

	lockdep_assert_held_write(&iv->lock);
	if (map->huge) {
		xt_large_set(iv, nr, map->ptes[0]);
		return true;
	}
	n = (map->end - map->start) >> PAGE_SHIFT;
	first = xt_pt_index(map->start);
	for (i = 0; i < n && !map->ptes[i]; i++)
		;
	if (i == n)
		return true;
	if (xt_pde_is_large(t->pde[nr]) && !xt_split_large(iv, nr))
		return false;
	table = xt_pde_table(t->pde[nr]);
	if (!table)
		return false;
	for (; i < n; i++)
		if (map->ptes[i])
			xt_pte_set(iv, nr, table, first + i, map->ptes[i]);
	if (n >= XT_CONTIG_PAGES && xmirror_granule(iv->m) >= XT_CONTIG_SIZE)
		xt_contig_set(table, first, first + n - 1);
	return true;
}

#define XT_PT_OPS				\
	.add = xt_pt_add,			\
	.remove = xt_pt_remove,			\
	.prepare = xt_pt_prepare,		\
	.map = xt_pt_map,			\
	.unmap = xt_pt_unmap,			\
	.lookup = xt_pt_lookup,			\
	.access = xt_access_exclusive

const struct xmirror_ops xt_mirror_ops = {
	XT_PT_OPS,
	.check = xt_engine_check,
	.release = xt_file_free,
	.stop_queues = xt_queues_stop,
	.start_queues = xt_queues_start,
};

/* The same, for mirrors that tests have no hooks in */
const struct xmirror_ops xt_dmirror_mirror_ops = { XT_PT_OPS };

/**
 * xt_hw_create() - have the current process mirrored
 * @hw: the hardware's part, all zeroes
 * @mem: the device's memory, or NULL
 * @ops: what the core shall call
 *
 * Return: 0 or an error of xmirror_create().
 */
int xt_hw_create(struct xt_hw *hw, struct xt_memory *mem,
		 const struct xmirror_ops *ops)
{
	hw->mem = mem;
	xt_queues_init(&hw->queues);
	hw->m = xmirror_create(current->mm, mem ? mem->dm : NULL, ops, hw);
	return PTR_ERR_OR_ZERO(hw->m);
}
