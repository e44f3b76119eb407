// SPDX-License-Identifier: GPL-2.0
/*
 * Range fault: map a range of the mm for the device.
 *
 *	1. xm_read_begin() waits for running invalidations
 *	2. hmm_range_fault() under mmap_lock reads the CPU's entries, and again,
 *	   for pieces of that range, faults where the device could not work with
 *	   them
 *	3. chunk lock
 *	4. xm_read_retry(): if any of it was invalidated since 1, what 2 has read
 *	   may be stale: again from 1
 *	5. commit the leaves, unlock
 *
 * An invalidation that comes after 4 has to wait for the chunk lock and then
 * finds the leaves. What the device can use already is not asked for: a fault
 * on the device's own exclusive page would end the exclusivity. Nor does one call
 * of hmm_range_fault() do: from the first page that it has to fault it goes on to
 * fault all of the range in that page table, asked for or not (hmm_vma_fault() in
 * mm/hmm.c, hmm_do_fault() since v7.3).
 *
 * The device's own memory is reported as it is, and mapped by the memory behind
 * it. The core does so for a write to a private page that is shared with a
 * forked process, too, without breaking COW: that takes a CPU fault, which
 * brings the page back to system memory first.
 */

#include <linux/bitmap.h>
#include <linux/fs.h>
#include <linux/hmm.h>
#include <linux/magic.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/userfaultfd_k.h>
#include "devmem.h"
#include "internal.h"
#include "trace.h"

/* Bits that the leaf needs to have. */
static unsigned long xm_fault_need(enum xm_fault_mode mode)
{
	switch (mode) {
	case XM_FAULT_READ:
		return XMIRROR_PTE_VALID;
	case XM_FAULT_WRITE:
		return XMIRROR_PTE_VALID | XMIRROR_PTE_WRITE;
	default: /* XM_FAULT_LOCAL */
		return XMIRROR_PTE_VALID | XMIRROR_PTE_LOCAL;
	}
}

/* What to ask hmm_range_fault() for where they are missing. */
static unsigned long xm_fault_req(enum xm_fault_mode mode)
{
	switch (mode) {
	case XM_FAULT_READ:
		return HMM_PFN_REQ_FAULT;
	case XM_FAULT_WRITE:
		return HMM_PFN_REQ_FAULT | HMM_PFN_REQ_WRITE;
	default: /* XM_FAULT_LOCAL */
		return 0;
	}
}

/*
 * Note in @wanted, which begins at @around, which pages of [@start, @end) the device
 * cannot use yet. False if there are none.
 */
static bool xm_fault_prepare(struct xm_chunk *chunk, unsigned long around,
			     unsigned long start, unsigned long end,
			     enum xm_fault_mode mode, unsigned long *wanted)
{
	unsigned long need = xm_fault_need(mode), addr;
	bool empty, ret = false;

	bitmap_zero(wanted, XM_TABLE_ENTRIES);
	read_lock(&chunk->lock);
	empty = !chunk->slot[xm_slot_index(chunk, start)];
	for (addr = start; addr < end; addr += PAGE_SIZE) {
		if (!empty && (xm_leaf(chunk, addr, NULL) & need) == need)
			continue;
		__set_bit((addr - around) >> PAGE_SHIFT, wanted);
		ret = true;
	}
	read_unlock(&chunk->lock);
	return ret;
}

/* Is page number @i wanted, and of no use as hmm_range_fault() has reported it? */
static bool xm_fault_lacks(const struct hmm_range *range,
			   const unsigned long *wanted, unsigned long req,
			   unsigned long i)
{
	unsigned long pfn = range->hmm_pfns[i];

	if (!test_bit(i, wanted))
		return false;
	if (!(pfn & HMM_PFN_VALID) || pfn & HMM_PFN_ERROR)
		return true;
	return req & HMM_PFN_REQ_WRITE && !(pfn & HMM_PFN_WRITE);
}

/*
 * Read the CPU's entries of the range, and ask with @req for those that are @wanted and
 * of no use. Needs mmap_lock. Returns 0 or an error of hmm_range_fault().
 */
static int xm_fault_walk(struct hmm_range *range, const unsigned long *wanted,
			 unsigned long req)
{
	unsigned long nr = (range->end - range->start) >> PAGE_SHIFT, i, end;
	struct hmm_range part = *range;
	int ret;

	memset(range->hmm_pfns, 0, nr * sizeof(*range->hmm_pfns));
	ret = hmm_range_fault(range);
	part.default_flags = req;
	for (i = 0; req && i < nr && !ret; i = end) {
		end = i;
		while (end < nr && xm_fault_lacks(range, wanted, req, end))
			end++;
		if (end == i) {
			end++;
			continue;
		}
		part.start = range->start + i * PAGE_SIZE;
		part.end = range->start + end * PAGE_SIZE;
		part.hmm_pfns = range->hmm_pfns + i;
		ret = hmm_range_fault(&part);
	}
	return ret;
}

/*
 * A large private folio that one CPU entry maps. The core reports its first page
 * wherever in it the walk began (hmm_vma_handle_absent_pmd() in mm/hmm.c up to
 * at least v7.3), so find the page of @addr by what must be: folio and mapping
 * are aligned alike.
 */
static struct page *xm_fault_large(struct xmirror *m, unsigned long addr,
				   struct page *page)
{
	unsigned long pfn = ALIGN_DOWN(page_to_pfn(page), XM_BLOCK_PAGES) +
			    addr / PAGE_SIZE % XM_BLOCK_PAGES;

	if (pfn != page_to_pfn(page))
		xm_count(m, hmm_pfn_wrong, 1);
	return pfn_to_page(pfn);
}

static unsigned long xm_fault_leaf(struct xmirror *m, unsigned long addr,
				   unsigned long pfn)
{
	unsigned long bits = XMIRROR_PTE_VALID |
			     (pfn & HMM_PFN_WRITE ? XMIRROR_PTE_WRITE : 0);
	struct page *page = hmm_pfn_to_page(pfn);

	if (m->dm && xm_dev_pool(page) == m->dm) {
		if (!m->dm->coherent &&
		    hmm_pfn_to_map_order(pfn) == XM_BLOCK_ORDER)
			page = xm_fault_large(m, addr, page);
		xm_dev_touch(m->dm, page);
		page = xm_dev_data(m->dm, page);
		bits |= XMIRROR_PTE_LOCAL;
	}
	return page_to_pfn(page) << PAGE_SHIFT | bits;
}

/*
 * A huge page that the CPU maps by small entries, all alike. It has to be one
 * folio, since the leaf has one DIRTY bit for it.
 */
static bool xm_fault_is_contiguous(const unsigned long *pfns)
{
	const unsigned long flags = HMM_PFN_VALID | HMM_PFN_WRITE |
				    HMM_PFN_ERROR;
	struct page *page = hmm_pfn_to_page(*pfns);
	unsigned long i, pfn = page_to_pfn(page);

	if (folio_order(page_folio(page)) < XM_BLOCK_ORDER ||
	    is_zone_device_page(page))
		return false;
	for (i = 1; i < XM_TABLE_ENTRIES; i++)
		if ((pfns[i] ^ *pfns) & flags ||
		    page_to_pfn(hmm_pfn_to_page(pfns[i])) != pfn + i)
			return false;
	return true;
}

/* Is this a piece of 2 MiB that can be one leaf? */
static bool xm_fault_is_large(struct xm_chunk *chunk, unsigned long start,
			      unsigned long end, unsigned long granule,
			      const unsigned long *pfns)
{
	unsigned long last = XM_TABLE_ENTRIES - 1, first_pte, last_pte;

	if (granule < XM_TABLE_SIZE ||
	    end - start != XM_TABLE_SIZE || !(*pfns & HMM_PFN_VALID))
		return false;
	if (hmm_pfn_to_map_order(*pfns) < XM_BLOCK_ORDER &&
	    !xm_fault_is_contiguous(pfns))
		return false;
	first_pte = xm_fault_leaf(chunk->m, start, pfns[0]);
	last_pte = xm_fault_leaf(chunk->m, start + last * PAGE_SIZE,
				 pfns[last]);
	return IS_ALIGNED(xm_pte_pfn(first_pte), XM_TABLE_ENTRIES) &&
	       last_pte == first_pte + (last << PAGE_SHIFT);
}

/* Commit what the walk found from @start to @end: false to try again. */
static bool xm_fault_commit(struct xm_chunk *chunk, unsigned long start,
			    unsigned long end, enum xm_fault_mode mode,
			    unsigned long granule, unsigned long *pfns)
{
	unsigned long addr, pte, pages = 0;

	if (mode != XM_FAULT_LOCAL &&
	    xm_fault_is_large(chunk, start, end, granule, pfns)) {
		xm_large_set(chunk, start,
			     xm_fault_leaf(chunk->m, start, *pfns));
		xm_count(chunk->m, fault_pages, XM_TABLE_ENTRIES);
		return true;
	}
	for (addr = start; addr < end; addr += PAGE_SIZE, pfns++) {
		/* Not asked for and not present, for instance our exclusive. */
		if (!(*pfns & HMM_PFN_VALID) || *pfns & HMM_PFN_ERROR)
			continue;
		pte = xm_fault_leaf(chunk->m, addr, *pfns);
		if (mode == XM_FAULT_LOCAL && !(pte & XMIRROR_PTE_LOCAL))
			continue;
		if (!xm_pte_set(chunk, addr, pte))
			return false;
		pages++;
	}
	xm_count(chunk->m, fault_pages, pages);
	if (granule >= XM_GROUP_SIZE)
		xm_group_set(chunk, start, end);
	return true;
}

static bool xm_fault_read_only(struct xmirror *m, unsigned long addr)
{
	struct vm_area_struct *vma;
	bool ret;

	if (mmap_read_lock_killable(m->mm))
		return false;
	vma = vma_lookup(m->mm, addr);
	ret = vma && !(vma->vm_flags & VM_WRITE);
	mmap_read_unlock(m->mm);
	return ret;
}

/* Break COW of the private pages that we cannot write to: -EBUSY if there were any. */
static int xm_fault_unshare(struct xmirror *m, unsigned long start,
			    unsigned long end, unsigned long *pfns)
{
	unsigned long addr;
	int err, ret = 0;

	for (addr = start; addr < end; addr += PAGE_SIZE, pfns++) {
		if (!(*pfns & HMM_PFN_VALID) || *pfns & HMM_PFN_WRITE)
			continue;
		err = xm_restore(m, addr, true);
		/* The core has not looked at the rights here. */
		if (err == -EFAULT && xm_fault_read_only(m, addr))
			err = -EPERM;
		err = err ?: xm_may_go_on(m);
		if (err)
			return err;
		ret = -EBUSY;
	}
	return ret;
}

/*
 * memfd_secret() memory is not in the direct map, and so out of reach for this
 * device, whose accesses are the CPU's. GUP refuses it, hmm_range_fault() does not
 * (mm/hmm.c). -EFAULT if it is in [@start, @end), and nothing is mapped of what is
 * around that. Needs the mmap_lock of the walk.
 */
static int xm_fault_hide(struct xmirror *m, const struct hmm_range *range,
			 unsigned long start, unsigned long end)
{
	VMA_ITERATOR(vmi, m->mm, range->start);
	struct vm_area_struct *vma;
	unsigned long addr;

	for_each_vma_range(vmi, vma, range->end) {
		if (!vma->vm_file || file_inode(vma->vm_file)->i_sb->s_magic !=
				     SECRETMEM_MAGIC)
			continue;
		if (vma->vm_start < end && vma->vm_end > start)
			return -EFAULT;
		for (addr = max(vma->vm_start, range->start);
		     addr < min(vma->vm_end, range->end); addr += PAGE_SIZE)
			range->hmm_pfns[(addr - range->start) >> PAGE_SHIFT] = 0;
	}
	return 0;
}

static int xm_fault_once(struct xmirror *m, struct xm_chunk *chunk,
			 unsigned long start, unsigned long end,
			 enum xm_fault_mode mode, unsigned long granule,
			 unsigned long *pfns, u64 *rounds)
{
	unsigned long around = ALIGN_DOWN(start, granule);
	unsigned long limit = min(ALIGN(end, granule), m->mm->task_size);
	struct hmm_range range = {
		.notifier = &chunk->notifier,
		.start = around,
		.end = limit,
		.hmm_pfns = pfns,
		.dev_private_owner = m->dm,
	};
	DECLARE_BITMAP(wanted, XM_TABLE_ENTRIES);
	struct xm_seq seq;
	int ret;

	ret = xm_point(m, XMIRROR_PT_FAULT_BEGIN, start, end);
	if (ret)
		return ret;
	seq = xm_read_begin(chunk);
	range.notifier_seq = seq.seq;
	if (!xm_fault_prepare(chunk, around, start, end, mode, wanted))
		return 0;
	ret = xm_table_alloc(chunk, start);
	if (ret)
		return ret;

	if (mmap_read_lock_killable(m->mm))
		return -EINTR;
	xm_point(m, XMIRROR_PT_FAULT_LOCKED, start, end);
	ret = xm_fault_walk(&range, wanted, xm_fault_req(mode));
	if (!ret && mode != XM_FAULT_LOCAL)
		ret = xm_fault_hide(m, &range, start, end);
	mmap_read_unlock(m->mm);
	xm_count(m, fault_rounds, 1);
	(*rounds)++;
	if (ret)
		return ret;
	ret = xm_point(m, XMIRROR_PT_FAULT_WALKED, start, end);
	if (!ret && mode == XM_FAULT_WRITE && m->dm)
		ret = xm_fault_unshare(m, start, end,
				       pfns + ((start - around) >> PAGE_SHIFT));
	if (ret)
		return ret;

	write_lock(&chunk->lock);
	if (xm_read_retry(chunk, seq, around, limit) ||
	    !xm_fault_commit(chunk, around, limit, mode, granule, pfns))
		ret = -EBUSY;
	write_unlock(&chunk->lock);
	if (!ret)
		xm_point(m, XMIRROR_PT_FAULT_DONE, start, end);
	return ret;
}

/*
 * Fault [@start, @end), which lies in one table. All or nothing, but with
 * XM_FAULT_LOCAL, which faults nothing and maps what is in device memory. @pfns
 * has room for the pages and for those of the @granule that they are in;
 * *@rounds is increased by the walks it took.
 */
int xm_fault_pages(struct xmirror *m, unsigned long start, unsigned long end,
		   enum xm_fault_mode mode, unsigned long granule,
		   unsigned long *pfns, u64 *rounds)
{
	unsigned long deadline = xm_deadline(m);
	struct xm_chunk *chunk;
	int ret;

	chunk = xm_chunk_get(m, start);
	if (IS_ERR(chunk))
		return PTR_ERR(chunk);
	for (;;) {
		ret = xm_fault_once(m, chunk, start, end, mode, granule, pfns,
				    rounds);
		if (ret != -EBUSY)
			break;
		xm_count(m, fault_retries, 1);
		ret = xm_may_retry(m, deadline);
		if (ret)
			break;
	}
	trace_xm_fault(m, start, end, mode, ret);
	return ret;
}

/**
 * xmirror_fault() - map a range for the device
 * @m: the mirror
 * @start: first address, page aligned
 * @end: address behind the last, page aligned
 * @write: for writing, too
 * @done: out: how many bytes from @start are mapped, also on failure
 * @rounds: out: walks that the most disturbed part took; 0 if all of it was
 *	mapped already
 *
 * The mapping may go again at any time, by invalidation.
 *
 * Context: may sleep, takes mmap_lock.
 * Return: 0; -EFAULT: nothing is mapped there, PROT_NONE, or no memory that a
 * device may use; -EPERM: write to read-only memory (both from mm/hmm.c); or
 * an error that every call can return.
 */
int xmirror_fault(struct xmirror *m, unsigned long start, unsigned long end,
		  bool write, unsigned long *done, u64 *rounds)
{
	unsigned long granule = READ_ONCE(m->granule), *pfns;
	unsigned long addr = start, next, step = XM_TABLE_SIZE;
	u64 walks;
	int ret;

	*done = 0;
	*rounds = 0;
	ret = xm_check_range(m, start, end);
	if (ret)
		return ret;
	ret = xm_enter(m);
	if (ret)
		return ret;
	ret = -ENOMEM;
	pfns = kmalloc_array(XM_TABLE_ENTRIES, sizeof(*pfns), GFP_KERNEL);
	if (!pfns)
		goto out;

	while (addr < end) {
		next = min(end, ALIGN(addr + 1, step));
		walks = 0;
		ret = xm_fault_pages(m, addr, next,
				     write ? XM_FAULT_WRITE : XM_FAULT_READ,
				     granule, pfns, &walks);
		/* One bad page fails them all: find out how far it goes. */
		if ((ret == -EFAULT || ret == -EPERM) &&
		    next - addr > PAGE_SIZE) {
			step = PAGE_SIZE;
			continue;
		}
		if (ret)
			break;
		*rounds = max(*rounds, walks);
		addr = next;
		*done = addr - start;
		ret = xm_may_go_on(m);
		if (ret)
			break;
	}
	kfree(pfns);
out:
	xm_leave(m);
	return ret;
}
EXPORT_SYMBOL_GPL(xmirror_fault);

/* Is there a userfaultfd that the CPU's fault at @addr may wait for? */
static int xm_fault_waits(struct xmirror *m, unsigned long addr)
{
	struct vm_area_struct *vma;
	int ret;

	if (mmap_read_lock_killable(m->mm))
		return -EINTR;
	vma = vma_lookup(m->mm, addr);
	ret = vma && userfaultfd_armed(vma);
	mmap_read_unlock(m->mm);
	return ret;
}

/*
 * Fault in what is armed with a userfaultfd and what the device cannot use yet,
 * as the CPU would.
 */
static int xm_fault_armed(struct xmirror *m, unsigned long start,
			  unsigned long end, bool write)
{
	unsigned long addr, need;
	struct xm_chunk *chunk;
	int ret = 0;

	need = xm_fault_need(write ? XM_FAULT_WRITE : XM_FAULT_READ);
	for (addr = start; addr < end && !ret; addr += PAGE_SIZE) {
		chunk = xm_chunk_find(m, addr);
		if (chunk && xm_allows(chunk, addr, need))
			continue;
		ret = xm_fault_waits(m, addr);
		if (ret > 0)
			ret = xm_restore(m, addr, write);
		if (!ret)
			ret = xm_may_go_on(m);
	}
	return ret;
}

/**
 * xmirror_fault_unlocked() - map a range for the device, waiting if need be
 * @m: the mirror
 * @start: first address, page aligned
 * @end: address behind the last, page aligned
 * @write: for writing, too
 * @done: out: how many bytes from @start are mapped, also on failure
 * @rounds: out: as for xmirror_fault()
 *
 * A range fault holds mmap_lock all the time, and therefore fails where a fault
 * has to wait for somebody who may need that lock: for a userfaultfd. This one
 * does not. It waits as long as it takes, so it is for callers that a signal can
 * kill, and not for an engine's thread.
 *
 * Context: may sleep, takes mmap_lock.
 * Return: as xmirror_fault().
 */
int xmirror_fault_unlocked(struct xmirror *m, unsigned long start,
			   unsigned long end, bool write, unsigned long *done,
			   u64 *rounds)
{
	unsigned long n;
	u64 walks;
	int ret;

	*done = 0;
	*rounds = 0;
	ret = xm_check_range(m, start, end);
	if (ret)
		return ret;
	ret = xm_enter(m);
	if (ret)
		return ret;
	do {
		ret = xm_fault_armed(m, start + *done, end, write);
		if (ret)
			break;
		ret = xmirror_fault(m, start + *done, end, write, &n, &walks);
		*done += n;
		*rounds = max(*rounds, walks);
		/* What was faulted in may have gone again: then once more. */
	} while (ret == -EFAULT && xm_fault_waits(m, start + *done) > 0);
	xm_leave(m);
	return ret;
}
EXPORT_SYMBOL_GPL(xmirror_fault_unlocked);

/**
 * xmirror_fault_local() - map what is in the device's own memory
 * @m: the mirror
 * @start: first address, page aligned
 * @end: address behind the last, page aligned
 * @done: out: how many bytes from @start are in the device's memory
 *
 * Faults nothing in and moves nothing.
 *
 * Context: may sleep, takes mmap_lock.
 * Return: 0; -ENOENT: the page behind @done is somewhere else, or nowhere; or
 * an error that every call can return.
 */
int xmirror_fault_local(struct xmirror *m, unsigned long start,
			unsigned long end, unsigned long *done)
{
	unsigned long addr = start, next, *pfns;
	u64 walks = 0;
	int ret;

	*done = 0;
	ret = xm_check_range(m, start, end);
	if (ret)
		return ret;
	ret = xm_enter(m);
	if (ret)
		return ret;
	ret = -ENOMEM;
	pfns = kmalloc_array(XM_TABLE_ENTRIES, sizeof(*pfns), GFP_KERNEL);
	if (!pfns)
		goto out;
	for (ret = 0; addr < end && !ret;) {
		next = min(end, ALIGN(addr + 1, XM_TABLE_SIZE));
		ret = xm_fault_pages(m, addr, next, XM_FAULT_LOCAL, PAGE_SIZE,
				     pfns, &walks);
		if (ret)
			break;
		for (; addr < next; addr += PAGE_SIZE)
			if (!xm_allows(xm_chunk_find(m, addr), addr,
				       XMIRROR_PTE_LOCAL))
				break;
		*done = addr - start;
		ret = addr < next ? -ENOENT : xm_may_go_on(m);
	}
	kfree(pfns);
out:
	xm_leave(m);
	return *done == end - start ? 0 : ret;
}
EXPORT_SYMBOL_GPL(xmirror_fault_local);
