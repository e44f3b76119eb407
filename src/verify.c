// SPDX-License-Identifier: GPL-2.0
/**
 * DOC: Snapshot and verify
 *
 * The kernel exports no walker that returns a device-exclusive entry, so xmirror
 * walks the CPU's page table by hand, reading only. What keeps the tables in place:
 * mmap_lock for reading keeps the VMAs and hence munmap's table freeing away, RCU the
 * freeing of tables that reclaim and khugepaged take out. A VMA that munmap has already
 * detached (it frees tables under mmap_lock for reading) is not found, or has
 * no valid entry of the device.
 *
 * Both hold an interval's lock while they compare. A valid entry then means that
 * no invalidation of that address has been announced since its commit, so the
 * CPU's entry is what it was at the commit or got more permissive, or becomes
 * our own exclusive entry, which a look with the lock of the CPU's table sees as a
 * whole: the comparison is exact however busy the process is.
 */

#include <linux/mm.h>
#include <linux/module.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include "compat.h"
#include "devmem.h"
#include "interval.h"
#include "mirror.h"
#include "trace.h"
#include "walk.h"

static u32 xm_present_flags(bool write, bool dirty, bool young)
{
	return XM_CPU_PRESENT | (write ? XM_CPU_WRITE : 0) |
	       (dirty ? XM_CPU_DIRTY : 0) |
	       (young ? XM_CPU_YOUNG : 0);
}

static void xm_view_softleaf(softleaf_t entry, struct xmirror_view *v)
{
	if (softleaf_is_device_exclusive(entry))
		v->flags = XM_CPU_EXCLUSIVE;
	else if (softleaf_is_device_private(entry))
		v->flags = XM_CPU_PRIVATE |
			   (softleaf_is_device_private_write(entry) ?
			    XM_CPU_WRITE : 0);
	else
		v->flags = XM_CPU_OTHER;
	if (v->flags != XM_CPU_OTHER)
		v->pfn = softleaf_to_pfn(entry);
}

static void xm_view_pte(pte_t pte, struct xmirror_view *v)
{
	if (pte_none(pte))
		return;
	if (!pte_present(pte)) {
		xm_view_softleaf(softleaf_from_pte(pte), v);
		return;
	}
	/* Armed by NUMA balancing: for a device it is not there. */
	if (pte_protnone(pte)) {
		v->flags = XM_CPU_OTHER;
		return;
	}
	v->pfn = pte_pfn(pte);
	v->flags = xm_present_flags(pte_write(pte), pte_dirty(pte),
				    pte_young(pte));
	if (pte_special(pte) && !is_zero_pfn(v->pfn))
		v->flags |= XM_CPU_NOACCESS;
}

static void xm_view_pmd(pmd_t pmd, unsigned long offset,
			struct xmirror_view *v)
{
	if (!pmd_present(pmd)) {
		xm_view_softleaf(softleaf_from_pmd(pmd), v);
	} else if (pmd_protnone(pmd)) {
		v->flags = XM_CPU_OTHER;
	} else {
		v->pfn = pmd_pfn(pmd);
		v->flags = xm_present_flags(pmd_write(pmd), pmd_dirty(pmd),
					    pmd_young(pmd));
	}
	v->flags |= XM_CPU_HUGE;
	if (v->pfn)
		v->pfn += offset >> PAGE_SHIFT;
}

static void xm_view_pud(pud_t pud, unsigned long offset,
			struct xmirror_view *v)
{
	v->flags = XM_CPU_HUGE | XM_CPU_PUD;
	if (!pud_present(pud)) {
		v->flags |= XM_CPU_OTHER;
		return;
	}
	v->pfn = pud_pfn(pud) + (offset >> PAGE_SHIFT);
	v->flags |= xm_present_flags(pud_write(pud), pud_dirty(pud),
				     pud_young(pud));
}

/* Needs what xm_walk() does. */
static void xm_view(struct mm_struct *mm, unsigned long addr,
		    struct xmirror_view *v)
{
	union xm_entry e;

	v->pfn = 0;
	v->flags = 0;
	switch (xm_walk(mm, addr, &e)) {
	case XM_LEVEL_NONE:
		break;
	case XM_LEVEL_PTE:
		xm_view_pte(e.pte, v);
		break;
	case XM_LEVEL_PMD:
		xm_view_pmd(e.pmd, addr & ~PMD_MASK, v);
		break;
	case XM_LEVEL_PUD:
		xm_view_pud(e.pud, addr & ~PUD_MASK, v);
		break;
	}
}

static bool xm_view_noaccess(const struct vm_area_struct *vma)
{
	return !(vma->vm_flags & VM_READ) ||
	       vma->vm_flags & (VM_IO | VM_PFNMAP);
}

/*
 * The entry may be gone by now, and with it another driver's pool: look at nothing
 * that the page struct points to.
 */
static u32 xm_view_pool(struct xmirror *m, unsigned long pfn)
{
	struct xmirror_devmem *dm = m->dm;

	if (is_zero_pfn(pfn))
		return XM_CPU_ZERO;
	return (is_device_coherent_page(pfn_to_page(pfn)) ? XM_CPU_COHERENT : 0) |
	       (dm && pfn - dm->first_pfn < dm->nr_pages ? XM_CPU_LOCAL : 0);
}

/*
 * Read [@start, @end), which lies in one span, in both page tables. Needs
 * mmap_lock. @ptes has room for it.
 */
static void xm_view_span(struct xmirror *m, unsigned long start,
			 unsigned long end, unsigned long *ptes,
			 struct xmirror_view *v)
{
	struct xmirror_interval *iv = xm_interval_find(m, start);
	struct vm_area_struct *vma;
	unsigned long addr, pte;
	bool valid = false;

	rcu_read_lock();
	if (iv) {
		read_lock(&iv->lock);
		valid = m->ops->lookup(iv, start, end, ptes);
	}
	for (addr = start; addr < end; addr += PAGE_SIZE, v++) {
		pte = valid ? ptes[(addr - start) >> PAGE_SHIFT] : 0;
		vma = vma_lookup(m->mm, addr);
		v->pfn = 0;
		v->flags = XM_CPU_HOLE;
		if (vma)
			xm_view(m->mm, addr, v);
		if (v->pfn && pfn_valid(v->pfn))
			v->flags |= xm_view_pool(m, v->pfn);
		if (vma && xm_view_noaccess(vma))
			v->flags |= XM_CPU_NOACCESS;
		v->pte = pte;
	}
	if (iv)
		read_unlock(&iv->lock);
	rcu_read_unlock();
}

/* xmirror_snapshot(), inside a call and of a range that was checked */
int xm_snapshot(struct xmirror *m, unsigned long start, unsigned long end,
		struct xmirror_view *views)
{
	unsigned long addr, next, *ptes;

	ptes = kmalloc_array(min((end - start) >> PAGE_SHIFT, XM_SPAN_PAGES),
			     sizeof(*ptes), GFP_KERNEL);
	if (!ptes)
		return -ENOMEM;
	if (mmap_read_lock_killable(m->mm)) {
		kfree(ptes);
		return -EINTR;
	}
	for (addr = start; addr < end; addr = next) {
		next = xm_span_end(addr, end);
		xm_view_span(m, addr, next, ptes,
			     views + ((addr - start) >> PAGE_SHIFT));
	}
	mmap_read_unlock(m->mm);
	kfree(ptes);
	return 0;
}

/**
 * xmirror_snapshot() - read both page tables
 * @m: the mirror
 * @start: first address, page aligned
 * @nr_pages: number of pages
 * @views: out: one for each page
 *
 * Faults nothing and changes nothing. Each page is consistent in itself as far
 * as it is valid for the device, see the top of this file.
 *
 * Context: may sleep, takes mmap_lock.
 * Return: 0, or an error that every call can return.
 */
int xmirror_snapshot(struct xmirror *m, unsigned long start,
		     unsigned long nr_pages, struct xmirror_view *views)
{
	unsigned long end;
	int ret;

	if (nr_pages > m->mm->task_size >> PAGE_SHIFT)
		return -EFAULT;
	end = start + (nr_pages << PAGE_SHIFT);
	ret = xm_check_range(m, start, end);
	if (ret)
		return ret;
	ret = xmirror_enter(m);
	if (ret)
		return ret;
	ret = xm_snapshot(m, start, end, views);
	xmirror_leave(m);
	return ret;
}
EXPORT_SYMBOL_GPL(xmirror_snapshot);

static enum xm_violation xm_check_pte(unsigned long pte,
				      const struct xmirror_view *v)
{
	unsigned long local = XM_PTE_LOCAL | XM_PTE_EXCLUSIVE;

	if (!(pte & XM_PTE_VALID) ||
	    (pte & XM_PTE_EXCLUSIVE && !(pte & XM_PTE_WRITE)) ||
	    (pte & XM_PTE_DIRTY && !(pte & XM_PTE_WRITE)) ||
	    (pte & local) == local)
		return XM_V_BITS;
	if (!(v->flags & (XM_CPU_PRESENT | XM_CPU_EXCLUSIVE | XM_CPU_PRIVATE)))
		return XM_V_ABSENT;
	if (v->pfn != xmirror_pte_pfn(pte))
		return XM_V_PFN;
	if (v->flags & XM_CPU_EXCLUSIVE)
		return XM_V_NONE;
	if (pte & XM_PTE_EXCLUSIVE)
		return XM_V_EXCLUSIVE;
	if (pte & XM_PTE_WRITE && !(v->flags & XM_CPU_WRITE))
		return XM_V_WRITE;
	return XM_V_NONE;
}

static void xm_verify_span(struct xmirror_interval *iv, unsigned long start,
			   unsigned long *ptes, struct xmirror_violations *v)
{
	struct xmirror *m = iv->m;
	enum xm_violation kind;
	struct xmirror_view view;
	unsigned long addr, i;

	rcu_read_lock();
	read_lock(&iv->lock);
	if (!m->ops->lookup(iv, start, start + XM_SPAN_SIZE, ptes))
		goto out;
	for (i = 0; i < XM_SPAN_PAGES; i++) {
		if (!ptes[i])
			continue;
		addr = start + i * PAGE_SIZE;
		v->checked++;
		xm_view(m->mm, addr, &view);
		kind = xm_check_pte(ptes[i], &view);
		if (kind == XM_V_NONE)
			continue;
		trace_xm_violation(m, addr, ptes[i], view.pfn, view.flags,
				   kind);
		if (!v->violations++) {
			v->first_addr = addr;
			v->first_kind = kind;
		}
	}
out:
	read_unlock(&iv->lock);
	rcu_read_unlock();
}

static int xm_verify_interval(struct xmirror_interval *iv, unsigned long *ptes,
			      struct xmirror_violations *v)
{
	unsigned long addr;
	int ret = 0;

	for (addr = iv->start; addr < iv->end && !ret; addr += XM_SPAN_SIZE) {
		xm_verify_span(iv, addr, ptes, v);
		ret = xmirror_check_cancel(iv->m);
	}
	return ret;
}

/**
 * xmirror_verify() - hold the device's page table against the CPU's
 * @m: the mirror
 * @v: out: what was found
 *
 * Context: may sleep, takes mmap_lock.
 * Return: 0 if it could look, or an error that every call can return.
 */
int xmirror_verify(struct xmirror *m, struct xmirror_violations *v)
{
	struct xmirror_interval *iv;
	unsigned long index, *ptes;
	int ret;

	*v = (struct xmirror_violations){};
	ret = xmirror_enter(m);
	if (ret)
		return ret;
	ptes = kmalloc_array(XM_SPAN_PAGES, sizeof(*ptes), GFP_KERNEL);
	if (!ptes) {
		ret = -ENOMEM;
		goto out;
	}
	if (mmap_read_lock_killable(m->mm)) {
		ret = -EINTR;
		goto out;
	}
	xa_for_each(&m->intervals, index, iv) {
		ret = xm_verify_interval(iv, ptes, v);
		if (ret)
			break;
	}
	mmap_read_unlock(m->mm);
out:
	kfree(ptes);
	xmirror_leave(m);
	return ret;
}
EXPORT_SYMBOL_GPL(xmirror_verify);
