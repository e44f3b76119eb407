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

static bool xm_slot_is_large(unsigned long slot)
{
	return slot & XMIRROR_PTE_2M;
}

/* The table of a slot, NULL if there is none. */
static unsigned long *xm_slot_table(unsigned long slot)
{
	return xm_slot_is_large(slot) ? NULL : (unsigned long *)slot;
}

static unsigned long xm_index(unsigned long addr)
{
	return (addr / PAGE_SIZE) % XM_TABLE_ENTRIES;
}

/*
 * Have a table for @addr, or a large leaf. Somebody else may take it away again: by
 * an invalidation, which makes the commit retry, if this is called after
 * xm_read_begin(); or for a large leaf, which xm_pte_set() finds.
 */
int xm_table_alloc(struct xm_chunk *chunk, unsigned long addr)
{
	unsigned long *slot = &chunk->slot[xm_slot_index(chunk, addr)];
	unsigned long *table;

	if (READ_ONCE(*slot))
		return 0;
	table = kzalloc(PAGE_SIZE, GFP_KERNEL_ACCOUNT);
	if (!table)
		return -ENOMEM;

	write_lock(&chunk->lock);
	if (!*slot) {
		WRITE_ONCE(*slot, (unsigned long)table);
		xm_count(chunk->m, table_bytes, PAGE_SIZE);
		table = NULL;
	}
	write_unlock(&chunk->lock);
	kfree(table);
	return 0;
}

/*
 * The leaf of the page at @addr, 0 if there is none, and in *@word, if that is
 * asked for, where its bits are. Needs the chunk's lock.
 */
unsigned long xm_leaf(struct xm_chunk *chunk, unsigned long addr,
		      unsigned long **word)
{
	unsigned long *p = &chunk->slot[xm_slot_index(chunk, addr)], pte;

	lockdep_assert_held(&chunk->lock);
	if (!*p)
		return 0;
	if (xm_slot_is_large(*p)) {
		pte = *p + (xm_index(addr) << PAGE_SHIFT);
	} else {
		p = &xm_slot_table(*p)[xm_index(addr)];
		pte = *p;
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

static unsigned long xm_address(struct xm_chunk *chunk, unsigned long nr,
				unsigned long index)
{
	return chunk->start + nr * XM_TABLE_SIZE + index * PAGE_SIZE;
}

/*
 * The first exclusive page from @addr on, or @end, which lies in the same table or
 * is its end. Takes the chunk's lock.
 */
unsigned long xm_next_exclusive(struct xm_chunk *chunk, unsigned long addr,
				unsigned long end)
{
	unsigned long nr = xm_slot_index(chunk, addr), *table;

	read_lock(&chunk->lock);
	table = xm_slot_table(chunk->slot[nr]);
	if (!table || !chunk->used[nr])
		addr = end;
	for (; addr < end; addr += PAGE_SIZE)
		if (table[xm_index(addr)] & XMIRROR_PTE_EXCLUSIVE)
			break;
	read_unlock(&chunk->lock);
	return addr;
}

/* What the device wrote is the folio's from now on: true if it wrote. */
static bool xm_move_dirty(struct xm_chunk *chunk, unsigned long addr,
			  unsigned long pte)
{
	struct page *page = pfn_to_page(xm_pte_pfn(pte));

	if (!(pte & XMIRROR_PTE_DIRTY))
		return false;
	/*
	 * What is behind private memory is no folio of the mm, and the page gets
	 * dirty when it is migrated back, which only the driver can do. The core
	 * moves coherent pages on its own, for a long-term pin.
	 */
	if (pte & XMIRROR_PTE_LOCAL && !is_zone_device_page(page))
		return false;
	if (xm_point_locked(chunk->m, XMIRROR_PT_DIRTY, addr, addr + PAGE_SIZE))
		return false;
	folio_mark_dirty(page_folio(page));
	return true;
}

/* No leaf of the group of @index is part of a larger one any more. */
static void xm_group_clear(struct xm_chunk *chunk, unsigned long *table,
			   unsigned long index)
{
	unsigned long i, first = ALIGN_DOWN(index, XM_GROUP_ENTRIES);

	if (!(table[index] & XMIRROR_PTE_64K))
		return;
	for (i = first; i < first + XM_GROUP_ENTRIES; i++)
		table[i] &= ~(unsigned long)XMIRROR_PTE_64K;
	xm_count(chunk->m, splits, 1);
}

/* Clear the leaves @first to @last of slot number @nr, which has a table. */
static void xm_clear_table(struct xm_chunk *chunk, unsigned long nr,
			   unsigned long first, unsigned long last)
{
	unsigned long *table = xm_slot_table(chunk->slot[nr]);
	unsigned long i, lost = 0, dirtied = 0, cleared = 0;

	if (!IS_ALIGNED(first, XM_GROUP_ENTRIES))
		xm_group_clear(chunk, table, first);
	if (!IS_ALIGNED(last + 1, XM_GROUP_ENTRIES))
		xm_group_clear(chunk, table, last);
	for (i = first; i <= last && cleared < chunk->used[nr]; i++) {
		if (!table[i])
			continue;
		dirtied += xm_move_dirty(chunk, xm_address(chunk, nr, i),
					 table[i]);
		if (table[i] & XMIRROR_PTE_EXCLUSIVE)
			lost++;
		table[i] = 0;
		cleared++;
	}
	chunk->used[nr] -= cleared;
	xm_count(chunk->m, leaves, -cleared);
	xm_count(chunk->m, inv_leaves, cleared);
	xm_count(chunk->m, excl_lost, lost);
	xm_count(chunk->m, dirtied, dirtied);
}

static void xm_clear_large(struct xm_chunk *chunk, unsigned long nr)
{
	xm_count(chunk->m, dirtied,
		 xm_move_dirty(chunk, xm_address(chunk, nr, 0),
			       chunk->slot[nr]));
	xm_count(chunk->m, leaves, -1L);
	xm_count(chunk->m, inv_leaves, 1);
	WRITE_ONCE(chunk->slot[nr], 0);
}

static void xm_free_table(struct xm_chunk *chunk, unsigned long nr)
{
	unsigned long *table = xm_slot_table(chunk->slot[nr]);

	if (!table)
		return;
	WRITE_ONCE(chunk->slot[nr], 0);
	kfree(table);
	xm_count(chunk->m, table_bytes, -(long)PAGE_SIZE);
}

/*
 * Make pages of a large leaf. Under the lock there is no waiting for memory:
 * without a table the large leaf goes as a whole, and the device has to fault
 * for the rest.
 */
static void xm_split_large(struct xm_chunk *chunk, unsigned long nr)
{
	unsigned long pte = chunk->slot[nr] & ~(unsigned long)XMIRROR_PTE_2M;
	unsigned long *table, i;

	table = kzalloc(PAGE_SIZE, GFP_NOWAIT | __GFP_NOWARN);
	if (!table) {
		xm_clear_large(chunk, nr);
		return;
	}
	xm_count(chunk->m, table_bytes, PAGE_SIZE);
	/* Dirty is the folio; none of the pages needs to say so again. */
	if (xm_move_dirty(chunk, xm_address(chunk, nr, 0), pte)) {
		xm_count(chunk->m, dirtied, 1);
		pte &= ~(unsigned long)XMIRROR_PTE_DIRTY;
	}
	for (i = 0; i < XM_TABLE_ENTRIES; i++)
		table[i] = pte + (i << PAGE_SHIFT);
	WRITE_ONCE(chunk->slot[nr], (unsigned long)table);
	chunk->used[nr] = XM_TABLE_ENTRIES;
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
	unsigned long nr = xm_slot_index(chunk, addr), *table, *p;

	lockdep_assert_held_write(&chunk->lock);
	if (xm_slot_is_large(chunk->slot[nr]))
		xm_split_large(chunk, nr);
	table = xm_slot_table(chunk->slot[nr]);
	if (!table)
		return false;
	p = &table[xm_index(addr)];
	if (*p) {
		WARN_ON_ONCE(xm_pte_pfn(*p) != xm_pte_pfn(pte));
		/* A fault around it comes across many that stay as they are. */
		if (!(pte & ~*p & XM_PTE_BITS))
			return true;
		xm_group_clear(chunk, table, xm_index(addr));
		pte |= *p & XM_PTE_BITS;
	} else {
		chunk->used[nr]++;
		xm_count(chunk->m, leaves, 1);
	}
	*p = pte;
	return true;
}

/* Commit a leaf of 2 MiB. Needs the chunk's lock for writing. */
void xm_large_set(struct xm_chunk *chunk, unsigned long addr,
		  unsigned long pte)
{
	unsigned long nr = xm_slot_index(chunk, addr), old = chunk->slot[nr];

	lockdep_assert_held_write(&chunk->lock);
	if (xm_slot_is_large(old)) {
		WARN_ON_ONCE(xm_pte_pfn(old) != xm_pte_pfn(pte));
		pte |= old & XM_PTE_BITS;
	} else {
		if (chunk->used[nr])
			xm_clear_table(chunk, nr, 0, XM_TABLE_ENTRIES - 1);
		xm_free_table(chunk, nr);
		xm_count(chunk->m, leaves, 1);
	}
	WRITE_ONCE(chunk->slot[nr], pte | XMIRROR_PTE_2M);
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
	unsigned long addr, i, *table, *p;

	lockdep_assert_held_write(&chunk->lock);
	table = xm_slot_table(chunk->slot[xm_slot_index(chunk, start)]);
	if (!table)
		return;
	for (addr = ALIGN(start, XM_GROUP_SIZE); addr + XM_GROUP_SIZE <= end;
	     addr += XM_GROUP_SIZE) {
		p = &table[xm_index(addr)];
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
	unsigned long addr, next, nr, cleared = 0;
	bool large;

	lockdep_assert_held_write(&chunk->lock);
	for (addr = start; addr < end; addr = next) {
		next = min(end, ALIGN(addr + 1, XM_TABLE_SIZE));
		nr = xm_slot_index(chunk, addr);
		large = xm_slot_is_large(chunk->slot[nr]);
		if (large && next - addr == XM_TABLE_SIZE) {
			xm_clear_large(chunk, nr);
			cleared++;
		} else if (large) {
			xm_split_large(chunk, nr);
		}
		if (chunk->used[nr]) {
			cleared += chunk->used[nr];
			/* A range may end inside a page: take it whole. */
			xm_clear_table(chunk, nr, xm_index(addr),
				       xm_index(next - 1));
			cleared -= chunk->used[nr];
		}
		if (free_tables && next - addr == XM_TABLE_SIZE)
			xm_free_table(chunk, nr);
	}
	return cleared;
}
