// SPDX-License-Identifier: GPL-2.0
/*
 * The device page table of a chunk: for each 2 MiB one large leaf, or a table of
 * leaves of a page.
 *
 * A leaf is only ever made under the chunk's lock for writing and after
 * xm_read_retry() said that nothing happened since the CPU's page
 * table was read. It goes by invalidation, and then a DIRTY bit moves to the
 * folio: the CPU's entry is still in place when a notifier is called, so the
 * folio cannot be freed under us, and reclaim and writeback look at its dirty
 * flag only after the notifier.
 */

#include <linux/mm.h>
#include <linux/slab.h>
#include "internal.h"

static struct xm_slot *xm_slot_of(struct xm_chunk *chunk, unsigned long addr)
{
	return &chunk->slot[(addr - chunk->start) / XM_TABLE_SIZE];
}

static unsigned long xm_index(unsigned long addr)
{
	return (addr / PAGE_SIZE) % XM_TABLE_ENTRIES;
}

/*
 * Have a table for @addr. Somebody else may free it again: by an invalidation,
 * which makes the commit retry, if this is called after xm_read_begin(); or for
 * a large leaf, which xm_pte_set() finds.
 */
int xm_table_alloc(struct xm_chunk *chunk, unsigned long addr)
{
	struct xm_slot *slot = xm_slot_of(chunk, addr);
	unsigned long *pte;

	if (READ_ONCE(slot->pte))
		return 0;
	pte = kzalloc(PAGE_SIZE, GFP_KERNEL_ACCOUNT);
	if (!pte)
		return -ENOMEM;

	write_lock(&chunk->lock);
	if (!slot->pte) {
		WRITE_ONCE(slot->pte, pte);
		xm_count(chunk->m, table_bytes, PAGE_SIZE);
		pte = NULL;
	}
	write_unlock(&chunk->lock);
	kfree(pte);
	return 0;
}

/*
 * The leaf of the page at @addr, 0 if there is none, and in *@word, if that is
 * asked for, where its bits are. Needs the chunk's lock.
 */
unsigned long xm_leaf(struct xm_chunk *chunk, unsigned long addr,
		      unsigned long **word)
{
	struct xm_slot *slot = xm_slot_of(chunk, addr);
	unsigned long *p, pte;

	lockdep_assert_held(&chunk->lock);
	if (slot->large) {
		p = &slot->large;
		pte = *p + (xm_index(addr) << PAGE_SHIFT);
	} else if (slot->pte) {
		p = &slot->pte[xm_index(addr)];
		pte = *p;
	} else {
		return 0;
	}
	if (word)
		*word = p;
	return pte;
}

/* Has the leaf of @addr all bits of @need? Takes the chunk's lock. */
bool xm_allows(struct xm_chunk *chunk, unsigned long addr, unsigned long need)
{
	unsigned long pte;

	read_lock(&chunk->lock);
	pte = xm_leaf(chunk, addr, NULL);
	read_unlock(&chunk->lock);
	return (pte & need) == need;
}

static unsigned long xm_address(struct xm_chunk *chunk, struct xm_slot *slot,
				unsigned long index)
{
	return chunk->start + (slot - chunk->slot) * XM_TABLE_SIZE +
	       index * PAGE_SIZE;
}

/* What the device wrote is the folio's from now on: true if it wrote. */
static bool xm_move_dirty(struct xm_chunk *chunk, unsigned long addr,
			  unsigned long pte)
{
	/* What is behind local memory is no folio of the mm. */
	if (!(pte & XMIRROR_PTE_DIRTY) || pte & XMIRROR_PTE_LOCAL)
		return false;
	if (xm_point_locked(chunk->m, XMIRROR_PT_DIRTY, addr, addr + PAGE_SIZE))
		return false;
	folio_mark_dirty(page_folio(pfn_to_page(xm_pte_pfn(pte))));
	return true;
}

/* No leaf of the group of @index is part of a larger one any more. */
static void xm_group_clear(struct xm_chunk *chunk, struct xm_slot *slot,
			   unsigned long index)
{
	unsigned long i, first = ALIGN_DOWN(index, XM_GROUP_ENTRIES);

	if (!(slot->pte[index] & XMIRROR_PTE_64K))
		return;
	for (i = first; i < first + XM_GROUP_ENTRIES; i++)
		slot->pte[i] &= ~(unsigned long)XMIRROR_PTE_64K;
	xm_count(chunk->m, splits, 1);
}

static void xm_clear_table(struct xm_chunk *chunk, struct xm_slot *slot,
			   unsigned long first, unsigned long last)
{
	unsigned long i, lost = 0, dirtied = 0, cleared = 0;

	if (!IS_ALIGNED(first, XM_GROUP_ENTRIES))
		xm_group_clear(chunk, slot, first);
	if (!IS_ALIGNED(last + 1, XM_GROUP_ENTRIES))
		xm_group_clear(chunk, slot, last);
	for (i = first; i <= last && cleared < slot->used; i++) {
		if (!slot->pte[i])
			continue;
		dirtied += xm_move_dirty(chunk, xm_address(chunk, slot, i),
					 slot->pte[i]);
		if (slot->pte[i] & XMIRROR_PTE_EXCLUSIVE)
			lost++;
		slot->pte[i] = 0;
		cleared++;
	}
	slot->used -= cleared;
	xm_count(chunk->m, leaves, -cleared);
	xm_count(chunk->m, inv_leaves, cleared);
	xm_count(chunk->m, excl_lost, lost);
	xm_count(chunk->m, dirtied, dirtied);
}

static void xm_clear_large(struct xm_chunk *chunk, struct xm_slot *slot)
{
	xm_count(chunk->m, dirtied,
		 xm_move_dirty(chunk, xm_address(chunk, slot, 0), slot->large));
	xm_count(chunk->m, leaves, -1L);
	xm_count(chunk->m, inv_leaves, 1);
	slot->large = 0;
}

/*
 * Make pages of a large leaf. In an invalidation there is no waiting for
 * memory: without a table the large leaf goes as a whole, and the device has to
 * fault for the rest.
 */
static void xm_split_large(struct xm_chunk *chunk, struct xm_slot *slot)
{
	unsigned long i, pte = slot->large & ~(unsigned long)XMIRROR_PTE_2M;

	if (!slot->pte) {
		slot->pte = kzalloc(PAGE_SIZE, GFP_NOWAIT | __GFP_NOWARN);
		if (!slot->pte) {
			xm_clear_large(chunk, slot);
			return;
		}
		xm_count(chunk->m, table_bytes, PAGE_SIZE);
	}
	/* Dirty is the folio; none of the pages needs to say so again. */
	if (xm_move_dirty(chunk, xm_address(chunk, slot, 0), pte)) {
		xm_count(chunk->m, dirtied, 1);
		pte &= ~(unsigned long)XMIRROR_PTE_DIRTY;
	}
	for (i = 0; i < XM_TABLE_ENTRIES; i++)
		slot->pte[i] = pte + (i << PAGE_SHIFT);
	slot->large = 0;
	slot->used = XM_TABLE_ENTRIES;
	xm_count(chunk->m, leaves, (long)XM_TABLE_ENTRIES - 1);
	xm_count(chunk->m, splits, 1);
}

/*
 * Commit a leaf. Needs the chunk's lock for writing and xm_table_alloc() before.
 * A leaf that is there already points to the same page, or an invalidation would
 * have cleared it: what the device knows about the page is kept. False if there
 * is no table: try again from there.
 */
bool xm_pte_set(struct xm_chunk *chunk, unsigned long addr, unsigned long pte)
{
	struct xm_slot *slot = xm_slot_of(chunk, addr);
	unsigned long *p;

	lockdep_assert_held_write(&chunk->lock);
	if (slot->large)
		xm_split_large(chunk, slot);
	if (!slot->pte)
		return false;
	p = &slot->pte[xm_index(addr)];
	if (*p) {
		WARN_ON_ONCE(xm_pte_pfn(*p) != xm_pte_pfn(pte));
		xm_group_clear(chunk, slot, xm_index(addr));
		pte |= *p & XM_PTE_BITS;
	} else {
		slot->used++;
		xm_count(chunk->m, leaves, 1);
	}
	*p = pte;
	return true;
}

/* Commit a leaf of 2 MiB. Needs the chunk's lock for writing. */
void xm_large_set(struct xm_chunk *chunk, unsigned long addr,
		  unsigned long pte)
{
	struct xm_slot *slot = xm_slot_of(chunk, addr);

	lockdep_assert_held_write(&chunk->lock);
	if (slot->large) {
		WARN_ON_ONCE(xm_pte_pfn(slot->large) != xm_pte_pfn(pte));
		pte |= slot->large & XM_PTE_BITS;
	} else {
		if (slot->used)
			xm_clear_table(chunk, slot, 0, XM_TABLE_ENTRIES - 1);
		xm_count(chunk->m, leaves, 1);
	}
	if (slot->pte)
		xm_count(chunk->m, table_bytes, -(long)PAGE_SIZE);
	kfree(slot->pte);
	WRITE_ONCE(slot->pte, NULL);
	slot->large = pte | XMIRROR_PTE_2M;
}

/*
 * Find aligned groups of sixteen leaves in [@start, @end), which lies in one
 * table, that make a leaf of 64 KiB. Needs the chunk's lock for writing.
 */
void xm_group_set(struct xm_chunk *chunk, unsigned long start,
		  unsigned long end)
{
	unsigned long rights = XMIRROR_PTE_VALID | XMIRROR_PTE_WRITE |
			       XMIRROR_PTE_EXCLUSIVE | XMIRROR_PTE_LOCAL;
	struct xm_slot *slot = xm_slot_of(chunk, start);
	unsigned long addr, i, *p;

	lockdep_assert_held_write(&chunk->lock);
	if (!slot->pte)
		return;
	for (addr = ALIGN(start, XM_GROUP_SIZE); addr + XM_GROUP_SIZE <= end;
	     addr += XM_GROUP_SIZE) {
		p = &slot->pte[xm_index(addr)];
		if (!*p || *p & XMIRROR_PTE_64K)
			continue;
		for (i = 1; i < XM_GROUP_ENTRIES; i++)
			if (xm_pte_pfn(p[i]) != xm_pte_pfn(*p) + i ||
			    (p[i] ^ *p) & rights)
				break;
		if (i < XM_GROUP_ENTRIES)
			continue;
		for (i = 0; i < XM_GROUP_ENTRIES; i++)
			p[i] |= XMIRROR_PTE_64K;
	}
}

/*
 * Clear the leaves of [@start, @end), which lies in the chunk, and with
 * @free_tables the tables that it covers. Needs the chunk's lock for writing.
 * Returns how many leaves were valid.
 */
unsigned long xm_clear_range(struct xm_chunk *chunk, unsigned long start,
			     unsigned long end, bool free_tables)
{
	unsigned long addr, next, cleared = 0;
	struct xm_slot *slot;

	lockdep_assert_held_write(&chunk->lock);
	for (addr = start; addr < end; addr = next) {
		next = min(end, ALIGN(addr + 1, XM_TABLE_SIZE));
		slot = xm_slot_of(chunk, addr);
		if (slot->large && next - addr == XM_TABLE_SIZE) {
			xm_clear_large(chunk, slot);
			cleared++;
		} else if (slot->large) {
			xm_split_large(chunk, slot);
		}
		if (slot->used) {
			cleared += slot->used;
			/* A range may end inside a page: take it whole. */
			xm_clear_table(chunk, slot, xm_index(addr),
				       xm_index(next - 1));
			cleared -= slot->used;
		}
		if (free_tables && slot->pte && next - addr == XM_TABLE_SIZE) {
			kfree(slot->pte);
			WRITE_ONCE(slot->pte, NULL);
			xm_count(chunk->m, table_bytes,
				 -(long)PAGE_SIZE);
		}
	}
	return cleared;
}
