// SPDX-License-Identifier: GPL-2.0
/**
 * DOC: Range fault
 *
 * To map a range of the mm for the device:
 *
 * 1. xm_read_begin() waits for running invalidations.
 * 2. hmm_range_fault() under mmap_lock reads the CPU's entries. Where the device could
 *    not work with them hmm_range_fault_unlocked_timeout() faults, which lets a fault
 *    drop mmap_lock while it waits for I/O, and can be killed. Before v7.3, and in a
 *    kernel thread, it is hmm_range_fault() again.
 * 3. The lock of the interval is taken.
 * 4. xm_read_retry(): if any of it was invalidated since 1, what 2 has read
 *    may be stale: again from 1.
 * 5. The entries are committed, the lock is dropped, and the device replays its access.
 *
 * An invalidation that comes after 4 has to wait for that lock and then
 * finds the entries. Usable entries are not asked for: a fault on the device's own
 * exclusive page would end the exclusivity.
 *
 * A fault that breaks COW is an invalidation, after which the walk counts for
 * nothing. So the faults of a walk are all made before it is thrown away: it
 * takes two walks, however many pages break COW.
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
#include "compat.h"
#include "devmem.h"
#include "exclusive.h"
#include "interval.h"
#include "points.h"
#include "trace.h"

/**
 * struct xm_fault - a range fault
 * @m: the mirror
 * @iv: the interval
 * @seq: what was read is as of this
 * @start: first address that is wanted
 * @end: address behind the last, in the same span
 * @mode: what for
 * @granule: bytes of what is mapped around it
 * @may_wait: a userfaultfd may be waited for
 * @armed: a userfaultfd could make a fault of @range wait
 * @plain: there is no hole in @range, and nothing that xm_vma_denied() denies
 * @wanted: pages of @range that the device cannot use yet
 * @range: the granules around, with room for a span of them
 * @pfn: that room, if it is for a page
 * @walks: walks that it took
 */
struct xm_fault {
	struct xmirror *m;
	struct xmirror_interval *iv;
	struct xm_seq seq;
	unsigned long start;
	unsigned long end;
	enum xmirror_mode mode;
	unsigned long granule;
	bool may_wait;
	bool armed;
	bool plain;
	DECLARE_BITMAP(wanted, XM_SPAN_PAGES);
	struct hmm_range range;
	unsigned long pfn;
	u64 walks;
};

static unsigned long xm_fault_nr(const struct xm_fault *f)
{
	return (f->range.end - f->range.start) >> PAGE_SHIFT;
}

/* Bits that the entry needs to have. */
static unsigned long xm_fault_need(enum xmirror_mode mode)
{
	switch (mode) {
	case XM_READ:
		return XM_PTE_VALID;
	case XM_WRITE:
		return XM_PTE_VALID | XM_PTE_WRITE;
	default: /* XM_LOCAL */
		return XM_PTE_VALID | XM_PTE_LOCAL;
	}
}

/* What to ask hmm_range_fault() for where they are missing. */
static unsigned long xm_fault_req(enum xmirror_mode mode)
{
	switch (mode) {
	case XM_READ:
		return HMM_PFN_REQ_FAULT;
	case XM_WRITE:
		return HMM_PFN_REQ_FAULT | HMM_PFN_REQ_WRITE;
	default: /* XM_LOCAL */
		return 0;
	}
}

/* Note which pages the device cannot use yet. False if there are none. */
static bool xm_fault_prepare(struct xm_fault *f)
{
	unsigned long first = (f->start - f->range.start) >> PAGE_SHIFT;
	unsigned long nr = (f->end - f->start) >> PAGE_SHIFT, i;
	unsigned long need = xm_fault_need(f->mode);
	unsigned long *ptes = f->range.hmm_pfns;
	bool valid, wanted = false;

	bitmap_zero(f->wanted, XM_SPAN_PAGES);
	read_lock(&f->iv->lock);
	valid = f->m->ops->lookup(f->iv, f->start, f->end, ptes);
	read_unlock(&f->iv->lock);
	if (!valid) {
		bitmap_set(f->wanted, first, nr);
		return true;
	}
	for (i = 0; i < nr; i++) {
		if ((ptes[i] & need) == need)
			continue;
		__set_bit(first + i, f->wanted);
		wanted = true;
	}
	return wanted;
}

/* Is page number @i wanted, and not usable as hmm_range_fault() has reported it? */
static bool xm_fault_needed(const struct xm_fault *f, unsigned long i)
{
	unsigned long pfn = f->range.hmm_pfns[i];

	if (!test_bit(i, f->wanted))
		return false;
	if (!(pfn & HMM_PFN_VALID) || pfn & HMM_PFN_ERROR)
		return true;
	return f->mode == XM_WRITE && !(pfn & HMM_PFN_WRITE);
}

/*
 * Ask for [@start, @end) of the range. What that fault itself invalidates, since it
 * breaks COW, makes it be asked again here, and not the walk begin anew: the retry
 * before the commit is told of it.
 *
 * With @locked the caller has mmap_lock: without FAULT_FLAG_ALLOW_RETRY a fault
 * fails where it would have to wait for a userfaultfd.
 */
static int xm_fault_ask(struct xm_fault *f, unsigned long start,
			unsigned long end, bool locked)
{
	struct hmm_range part = f->range;
	unsigned long deadline = xm_deadline(f->m);
	int ret;

	part.start = start;
	part.end = end;
	part.hmm_pfns += (start - f->range.start) >> PAGE_SHIFT;
	part.default_flags = xm_fault_req(f->mode);
	if (locked)
		return hmm_range_fault(&part);
	ret = xm_hmm_range_fault(&part, deadline - jiffies);
	if (ret != -EOPNOTSUPP)
		return ret;
	do {
		part.notifier_seq = mmu_interval_read_begin(part.notifier);
		if (mmap_read_lock_killable(f->m->mm))
			return -EINTR;
		ret = hmm_range_fault(&part);
		mmap_read_unlock(f->m->mm);
	} while (ret == -EBUSY && !xm_check_retry(f->m, deadline));
	return ret;
}

/*
 * Ask for the wanted pages that are not usable, and for no others: hmm_range_fault() goes
 * on from the first page that it has to fault to fault all of the range in that page
 * table, asked for or not (hmm_vma_fault() in mm/hmm.c, hmm_do_fault() since v7.3). What
 * the device has already, or has in its memory, would come back. 1 if there were any.
 */
static int xm_fault_missing(struct xm_fault *f, bool locked)
{
	unsigned long nr = xm_fault_nr(f), i, end;
	int ret, asked = 0;

	for (i = 0; i < nr; i = end + 1) {
		end = i;
		while (end < nr && xm_fault_needed(f, end))
			end++;
		if (end == i)
			continue;
		ret = xm_fault_ask(f, f->range.start + i * PAGE_SIZE,
				   f->range.start + end * PAGE_SIZE, locked);
		if (ret)
			return ret;
		asked = 1;
	}
	return asked;
}

/*
 * A large private folio that one CPU entry maps. The core reports its first page
 * wherever in it the walk began (hmm_vma_handle_absent_pmd() in mm/hmm.c up to
 * at least v7.3), so find the page of @addr by what must be: folio and mapping
 * are aligned alike.
 */
static struct page *xm_fault_large(unsigned long addr, struct page *page)
{
	unsigned long pfn = ALIGN_DOWN(page_to_pfn(page), XM_BLOCK_PAGES) +
			    addr / PAGE_SIZE % XM_BLOCK_PAGES;

	return pfn_to_page(pfn);
}

/* The entry for what was reported as @pfn. */
static unsigned long xm_fault_pte(const struct xmirror *m, unsigned long addr,
				  unsigned long pfn)
{
	unsigned long bits = XM_PTE_VALID |
			     (pfn & HMM_PFN_WRITE ? XM_PTE_WRITE : 0);
	struct page *page = hmm_pfn_to_page(pfn);

	if (m->dm && xmirror_devmem_of(page) == m->dm) {
		if (!m->dm->coherent &&
		    hmm_pfn_to_map_order(pfn) == XM_BLOCK_ORDER)
			page = xm_fault_large(addr, page);
		bits |= XM_PTE_LOCAL;
	}
	return page_to_pfn(page) << PAGE_SHIFT | bits;
}

/* @pte is going to be mapped for what was reported as @pfn. */
static void xm_fault_note(struct xmirror *m, unsigned long pte,
			  unsigned long pfn)
{
	struct page *page = pfn_to_page(xmirror_pte_pfn(pte));

	if (!(pte & XM_PTE_LOCAL))
		return;
	if (page != hmm_pfn_to_page(pfn))
		xm_count(m, HMM_PFN_WRONG, 1);
	xm_dev_touch(m->dm, page);
}

/*
 * A large folio, or an aligned piece of one, that the CPU maps by small entries,
 * all alike. It has to be one folio, since the entry has one DIRTY bit for it.
 */
static bool xm_fault_is_contiguous(const unsigned long *pfns)
{
	const unsigned long flags = HMM_PFN_VALID | HMM_PFN_WRITE |
				    HMM_PFN_ERROR;
	struct page *page = hmm_pfn_to_page(*pfns);
	unsigned long i, pfn = page_to_pfn(page);

	if (folio_order(page_folio(page)) < XM_SPAN_ORDER ||
	    is_zone_device_page(page))
		return false;
	for (i = 1; i < XM_SPAN_PAGES; i++)
		if ((pfns[i] ^ *pfns) & flags ||
		    page_to_pfn(hmm_pfn_to_page(pfns[i])) != pfn + i)
			return false;
	return true;
}

/* Can the whole span be one entry? */
static bool xm_fault_is_large(const struct xm_fault *f)
{
	unsigned long last = XM_SPAN_PAGES - 1, first_pte, last_pte;
	const unsigned long *pfns = f->range.hmm_pfns;

	/* Only what was wanted is sure to be there: the last may be 0. */
	if (f->granule < XM_SPAN_SIZE || f->mode == XM_LOCAL ||
	    xm_fault_nr(f) != XM_SPAN_PAGES ||
	    !(pfns[0] & pfns[last] & HMM_PFN_VALID))
		return false;
	if (hmm_pfn_to_map_order(*pfns) < XM_SPAN_ORDER &&
	    !xm_fault_is_contiguous(pfns))
		return false;
	first_pte = xm_fault_pte(f->m, f->range.start, pfns[0]);
	last_pte = xm_fault_pte(f->m, f->range.start + last * PAGE_SIZE,
				pfns[last]);
	return IS_ALIGNED(xmirror_pte_pfn(first_pte), XM_SPAN_PAGES) &&
	       last_pte == first_pte + (last << PAGE_SHIFT);
}

/* Make PTEs of what the walk found, in place: how many. */
static unsigned long xm_fault_ptes(struct xm_fault *f)
{
	unsigned long *pfns = f->range.hmm_pfns, addr = f->range.start, pte;
	unsigned long i, nr = xm_fault_nr(f), pages = 0;

	for (i = 0; i < nr; i++, addr += PAGE_SIZE) {
		/* Not asked for and not present, for instance our exclusive. */
		if (!(pfns[i] & HMM_PFN_VALID) || pfns[i] & HMM_PFN_ERROR) {
			pfns[i] = 0;
			continue;
		}
		pte = xm_fault_pte(f->m, addr, pfns[i]);
		if (f->mode == XM_LOCAL && !(pte & XM_PTE_LOCAL)) {
			pfns[i] = 0;
			continue;
		}
		xm_fault_note(f->m, pte, pfns[i]);
		pfns[i] = pte;
		pages++;
	}
	return pages;
}

/* Needs the interval's lock for writing: false to try again. */
static bool xm_fault_commit(struct xm_fault *f)
{
	struct xmirror_map map = {
		.start = f->range.start,
		.end = f->range.end,
		.ptes = f->range.hmm_pfns,
		.huge = xm_fault_is_large(f),
	};
	unsigned long pages = xm_fault_ptes(f);

	if (!f->m->ops->map(f->iv, &map))
		return false;
	xm_count(f->m, FAULT_PAGES, pages);
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
		err = err ?: xmirror_check_cancel(m);
		if (err)
			return err;
		ret = -EBUSY;
	}
	return ret;
}

/*
 * memfd_secret() memory is not in the direct map, and so out of reach for this
 * device, whose accesses are the CPU's. A shadow stack must not be written to, but
 * looks writable to pte_write(). GUP refuses both, hmm_range_fault() does not
 * (mm/hmm.c, checked against check_vma_flags() in mm/gup.c).
 *
 * Returns the flags of hmm_range_fault() that are not to be believed for @vma.
 */
static unsigned long xm_vma_denied(const struct vm_area_struct *vma)
{
	if (vma->vm_file && file_inode(vma->vm_file)->i_sb->s_magic ==
			    SECRETMEM_MAGIC)
		return HMM_PFN_VALID;
	return vma->vm_flags & VM_SHADOW_STACK ? HMM_PFN_WRITE : 0;
}

/*
 * Fails if a wanted page is denied; denied neighbours are not mapped. Says what is @armed
 * and @plain. Needs mmap_lock.
 *
 * For a page that was read before, under this lock or an earlier one, this is good as
 * long as the walk: its VMA is still there, or it went and there was an invalidation.
 * It is for a page that is read later only if all is @plain: to map memory in a hole
 * invalidates nothing.
 */
static int xm_fault_mask_vmas(struct xm_fault *f)
{
	VMA_ITERATOR(vmi, f->m->mm, f->range.start);
	unsigned long denied, addr, end = f->range.start;
	struct vm_area_struct *vma;

	f->armed = false;
	f->plain = true;
	for_each_vma_range(vmi, vma, f->range.end) {
		f->armed |= userfaultfd_armed(vma);
		f->plain &= vma->vm_start <= end;
		end = vma->vm_end;
		denied = xm_vma_denied(vma);
		if (!denied)
			continue;
		f->plain = false;
		if (vma->vm_start < f->end && vma->vm_end > f->start) {
			if (denied == HMM_PFN_VALID)
				return -EFAULT;
			if (f->mode == XM_WRITE)
				return -EPERM;
		}
		for (addr = max(vma->vm_start, f->range.start);
		     addr < min(vma->vm_end, f->range.end); addr += PAGE_SIZE)
			f->range.hmm_pfns[(addr - f->range.start) >>
					  PAGE_SHIFT] &= ~denied;
	}
	f->plain &= end >= f->range.end;
	return 0;
}

/*
 * Read the present entries. In memory that is armed with a userfaultfd which must not be
 * waited for, fault here, too. @missing: out: there may be more to ask for. The look at
 * the VMAs before that keeps faults away from pages that are denied.
 */
static int xm_fault_snapshot(struct xm_fault *f, bool *missing)
{
	int ret;

	memset(f->range.hmm_pfns, 0,
	       xm_fault_nr(f) * sizeof(*f->range.hmm_pfns));
	if (mmap_read_lock_killable(f->m->mm))
		return -EINTR;
	xm_point(f->m, XM_PT_FAULT_LOCKED, f->start, f->end);
	/* Not as of @seq: the core would answer for all of the interval. */
	f->range.notifier_seq = READ_ONCE(f->range.notifier->invalidate_seq);
	ret = hmm_range_fault(&f->range);
	if (!ret && f->mode != XM_LOCAL)
		ret = xm_fault_mask_vmas(f);
	*missing = f->mode != XM_LOCAL && (!f->armed || f->may_wait);
	if (!ret && f->armed && !f->may_wait) {
		ret = xm_fault_missing(f, true);
		if (ret > 0)
			ret = xm_fault_mask_vmas(f);
	}
	mmap_read_unlock(f->m->mm);
	return ret;
}

/* Fault in what is missing, and look at the VMAs again for it, unless all is plain. */
static int xm_fault_rest(struct xm_fault *f)
{
	int ret;

	xm_point(f->m, XM_PT_FAULT_MISSING, f->start, f->end);
	ret = xm_fault_missing(f, false);
	if (ret <= 0 || f->plain)
		return min(ret, 0);
	if (mmap_read_lock_killable(f->m->mm))
		return -EINTR;
	ret = xm_fault_mask_vmas(f);
	mmap_read_unlock(f->m->mm);
	return ret;
}

/* Read the CPU's page table as of xm_read_begin(). */
static int xm_fault_collect(struct xm_fault *f)
{
	bool missing;
	int ret;

	ret = xm_fault_snapshot(f, &missing);
	if (!ret && missing)
		ret = xm_fault_rest(f);
	xm_count(f->m, FAULT_WALKS, 1);
	f->walks++;
	return ret;
}

/* One attempt: -EBUSY to try again. */
static int xm_fault_attempt(struct xm_fault *f)
{
	struct xmirror *m = f->m;
	int ret;

	ret = xm_point(m, XM_PT_FAULT_BEGIN, f->start, f->end);
	if (ret)
		return ret;
	f->seq = xm_read_begin(f->iv);
	if (!xm_fault_prepare(f))
		return 0;
	ret = m->ops->prepare(f->iv, f->start);
	if (ret)
		return ret;
	ret = xm_fault_collect(f);
	if (ret)
		return ret;
	ret = xm_point(m, XM_PT_FAULT_WALKED, f->start, f->end);
	if (!ret && f->mode == XM_WRITE && m->dm)
		ret = xm_fault_unshare(m, f->start, f->end, f->range.hmm_pfns +
				       ((f->start - f->range.start) >> PAGE_SHIFT));
	if (ret)
		return ret;

	write_lock(&f->iv->lock);
	if (xm_read_retry(f->iv, f->seq, f->range.start, f->range.end) ||
	    !xm_fault_commit(f))
		ret = -EBUSY;
	write_unlock(&f->iv->lock);
	if (!ret)
		xm_point(m, XM_PT_FAULT_DONE, f->start, f->end);
	return ret;
}

/*
 * Fault [@start, @end), which lies in one span. All or nothing, but with XM_LOCAL,
 * which faults nothing and maps what is in device memory.
 */
static int xm_fault_span(struct xm_fault *f, unsigned long start,
			 unsigned long end)
{
	unsigned long deadline = xm_deadline(f->m);
	int ret;

	ret = xm_place(f->m, start, end);
	if (ret)
		return ret;
	f->iv = xm_interval_get(f->m, start);
	if (IS_ERR(f->iv))
		return PTR_ERR(f->iv);
	f->start = start;
	f->end = end;
	f->walks = 0;
	f->range.notifier = &f->iv->notifier;
	f->range.start = ALIGN_DOWN(start, f->granule);
	f->range.end = min(ALIGN(end, f->granule), f->m->mm->task_size);
	for (;;) {
		/* What somebody else has would come back. */
		ret = f->mode == XM_LOCAL ? 0 : xm_slice_respect(f->m, start);
		if (ret)
			break;
		ret = xm_fault_attempt(f);
		if (ret != -EBUSY)
			break;
		xm_count(f->m, FAULT_RETRIES, 1);
		ret = xm_check_retry(f->m, deadline);
		if (ret)
			break;
	}
	trace_xm_fault(f->m, start, end, f->mode, ret);
	return ret;
}

/* The leading part of a span that is in the device's memory. */
static unsigned long xm_fault_local_end(const struct xm_fault *f)
{
	unsigned long addr = f->start;

	while (addr < f->end && xm_pte_has(f->iv, addr, XM_PTE_LOCAL))
		addr += PAGE_SIZE;
	return addr;
}

static int xm_fault_range(struct xm_fault *f, unsigned long start,
			  unsigned long end, struct xmirror_result *res)
{
	unsigned long addr = start, next, done;
	bool single = false;
	int ret = 0;

	while (addr < end) {
		next = single ? addr + PAGE_SIZE : xm_span_end(addr, end);
		ret = xm_fault_span(f, addr, next);
		/* One bad page fails them all: find out how far it goes. */
		if ((ret == -EFAULT || ret == -EPERM) &&
		    next - addr > PAGE_SIZE) {
			single = true;
			continue;
		}
		if (ret)
			break;
		res->count = max(res->count, f->walks);
		done = f->mode == XM_LOCAL ? xm_fault_local_end(f) : next;
		res->done = done - start;
		if (done < next)
			return -ENOENT;
		addr = next;
		/* The next span may be all there. */
		if (IS_ALIGNED(addr, XM_SPAN_SIZE))
			single = false;
		if (addr < end)
			ret = xmirror_check_cancel(f->m);
		if (ret)
			break;
	}
	return ret;
}

/*
 * xmirror_fault(), inside a call and of a range that was checked. @f has the mirror, the
 * mode, and whether it may wait.
 */
static int xm_fault(struct xm_fault *f, unsigned long start, unsigned long end,
		    struct xmirror_result *res)
{
	unsigned long *pfns = &f->pfn;
	int ret = -ENOMEM;

	f->granule = READ_ONCE(f->m->granule);
	f->range.dev_private_owner = f->m->dm;
	/* Most device faults are of a page, without the granule. */
	if (end - start > PAGE_SIZE || f->granule > PAGE_SIZE)
		pfns = kmalloc_array(XM_SPAN_PAGES, sizeof(*pfns), GFP_KERNEL);
	f->range.hmm_pfns = pfns;
	if (pfns)
		ret = xm_fault_range(f, start, end, res);
	if (pfns != &f->pfn)
		kfree(pfns);
	return ret;
}

/**
 * xmirror_fault() - map a range for the device
 * @m: the mirror
 * @start: first address, page aligned
 * @end: address behind the last, page aligned
 * @mode: what the device needs; with %XM_LOCAL nothing is faulted in
 * @res: out: how far it got; counts the walks that the most disturbed span took,
 *	0 if all of it was mapped already
 *
 * Pages move to where they are preferred to be first, see xmirror_prefer(). The mapping
 * may go again at any time, by invalidation.
 *
 * Context: may sleep, takes mmap_lock.
 * Return: 0; -EFAULT: nothing is mapped there, PROT_NONE, or no memory that a
 * device may use; -EPERM: write to read-only memory (both from mm/hmm.c);
 * -ENOENT with %XM_LOCAL: the next page is somewhere else, or nowhere; or an
 * error that every call can return.
 */
int xmirror_fault(struct xmirror *m, unsigned long start, unsigned long end,
		  enum xmirror_mode mode, struct xmirror_result *res)
{
	struct xm_fault f = { .m = m, .mode = mode };
	int ret;

	res->done = 0;
	res->count = 0;
	ret = xm_check_range(m, start, end);
	if (ret)
		return ret;
	ret = xmirror_enter(m);
	if (ret)
		return ret;
	ret = xm_fault(&f, start, end, res);
	xmirror_leave(m);
	return ret;
}
EXPORT_SYMBOL_GPL(xmirror_fault);

/* Is there a userfaultfd that the CPU's fault at @addr may wait for? */
static int xm_vma_uffd_armed(struct xmirror *m, unsigned long addr)
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
	unsigned long addr, need = xm_fault_need(write ? XM_WRITE : XM_READ);
	struct xmirror_interval *iv;
	int ret = 0;

	for (addr = start; addr < end && !ret; addr += PAGE_SIZE) {
		iv = xm_interval_find(m, addr);
		if (iv && xm_pte_has(iv, addr, need))
			continue;
		ret = xm_vma_uffd_armed(m, addr);
		if (ret > 0)
			ret = xm_restore(m, addr, write);
		if (!ret)
			ret = xmirror_check_cancel(m);
	}
	return ret;
}

/**
 * xmirror_fault_unlocked() - map a range for the device, waiting if need be
 * @m: the mirror
 * @start: first address, page aligned
 * @end: address behind the last, page aligned
 * @mode: %XM_READ or %XM_WRITE
 * @res: out: as for xmirror_fault()
 *
 * xmirror_fault() does not wait for a userfaultfd, since its caller may be a thread that
 * no signal ends; but a user's thread does for a write to a private page whose COW has
 * to be broken (xm_restore()). This one waits as long as it takes, so it is for callers
 * that a signal can kill, and not for an engine's thread.
 *
 * Context: may sleep, takes mmap_lock.
 * Return: as xmirror_fault().
 */
int xmirror_fault_unlocked(struct xmirror *m, unsigned long start,
			   unsigned long end, enum xmirror_mode mode,
			   struct xmirror_result *res)
{
	struct xm_fault f = { .m = m, .mode = mode, .may_wait = true };
	struct xmirror_result part;
	int ret;

	res->done = 0;
	res->count = 0;
	ret = xm_check_range(m, start, end);
	if (ret)
		return ret;
	ret = xmirror_enter(m);
	if (ret)
		return ret;
	do {
		if (!XM_HAVE_HMM_RANGE_FAULT_UNLOCKED_TIMEOUT)
			ret = xm_fault_armed(m, start + res->done, end,
					     mode == XM_WRITE);
		if (ret)
			break;
		part = (struct xmirror_result){};
		ret = xm_fault(&f, start + res->done, end, &part);
		res->done += part.done;
		res->count = max(res->count, part.count);
		/* A page may have gone again: fault it once more. */
	} while (!XM_HAVE_HMM_RANGE_FAULT_UNLOCKED_TIMEOUT && ret == -EFAULT &&
		 xm_vma_uffd_armed(m, start + res->done) > 0);
	xmirror_leave(m);
	return ret;
}
EXPORT_SYMBOL_GPL(xmirror_fault_unlocked);
