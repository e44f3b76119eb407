// SPDX-License-Identifier: GPL-2.0
/*
 * Look at the CPU's page table beside the device's: snapshot and verify.
 *
 * The kernel exports no walker that returns a device-exclusive entry, so this
 * walks by hand, reading only. What keeps the tables in place: mmap_lock for
 * reading keeps the VMAs and hence munmap's table freeing away, RCU the freeing
 * of tables that reclaim and khugepaged take out. A VMA that munmap has already
 * detached (it frees tables under mmap_lock for reading) is not found, or has
 * no valid leaf.
 *
 * Verify holds a chunk's lock while it compares. A valid leaf then means that
 * no invalidation of that address has been announced since its commit, so the
 * CPU's entry is what it was at the commit or got more permissive, or became
 * our own exclusive entry: the comparison is exact however busy the process is.
 */

#include <linux/mm.h>
#include <linux/module.h>
#include <linux/rcupdate.h>
#include "compat.h"
#include "devmem.h"
#include "internal.h"
#include "trace.h"

struct xm_cpu_view {
	unsigned long pfn;
	u32 flags;
};

static u32 xm_present_flags(bool write, bool dirty, bool young)
{
	return XMIRROR_CPU_PRESENT | (write ? XMIRROR_CPU_WRITE : 0) |
	       (dirty ? XMIRROR_CPU_DIRTY : 0) |
	       (young ? XMIRROR_CPU_YOUNG : 0);
}

static void xm_view_softleaf(softleaf_t entry, struct xm_cpu_view *v)
{
	if (softleaf_is_device_exclusive(entry))
		v->flags = XMIRROR_CPU_EXCLUSIVE;
	else if (softleaf_is_device_private(entry))
		v->flags = XMIRROR_CPU_PRIVATE |
			   (softleaf_is_device_private_write(entry) ?
			    XMIRROR_CPU_WRITE : 0);
	else
		v->flags = XMIRROR_CPU_OTHER;
	if (v->flags != XMIRROR_CPU_OTHER)
		v->pfn = softleaf_to_pfn(entry);
}

static void xm_view_pte(pte_t pte, struct xm_cpu_view *v)
{
	if (pte_none(pte))
		return;
	if (!pte_present(pte)) {
		xm_view_softleaf(softleaf_from_pte(pte), v);
		return;
	}
	/* Armed by NUMA balancing: for a device it is not there. */
	if (pte_protnone(pte)) {
		v->flags = XMIRROR_CPU_OTHER;
		return;
	}
	v->pfn = pte_pfn(pte);
	v->flags = xm_present_flags(pte_write(pte), pte_dirty(pte),
				    pte_young(pte));
	if (pte_special(pte) && !is_zero_pfn(v->pfn))
		v->flags |= XMIRROR_CPU_NOACCESS;
}

static void xm_view_pmd(pmd_t pmd, unsigned long offset,
			struct xm_cpu_view *v)
{
	if (!pmd_present(pmd)) {
		xm_view_softleaf(softleaf_from_pmd(pmd), v);
	} else if (pmd_protnone(pmd)) {
		v->flags = XMIRROR_CPU_OTHER;
	} else {
		v->pfn = pmd_pfn(pmd);
		v->flags = xm_present_flags(pmd_write(pmd), pmd_dirty(pmd),
					    pmd_young(pmd));
	}
	v->flags |= XMIRROR_CPU_HUGE;
	if (v->pfn)
		v->pfn += offset >> PAGE_SHIFT;
}

/* Needs mmap_lock, rcu_read_lock() and a VMA at @addr. */
static void xm_view(struct mm_struct *mm, unsigned long addr,
		    struct xm_cpu_view *v)
{
	pgd_t *pgd = pgd_offset(mm, addr);
	p4d_t *p4dp, p4d;
	pud_t *pudp, pud;
	pmd_t *pmdp, pmd;

	v->pfn = 0;
	v->flags = 0;
	if (pgd_none(*pgd))
		return;
	p4dp = p4d_offset(pgd, addr);
	p4d = READ_ONCE(*p4dp);
	if (p4d_none(p4d))
		return;
	pudp = pud_offset(p4dp, addr);
	pud = READ_ONCE(*pudp);
	if (pud_none(pud))
		return;
	if (!pud_present(pud)) {
		v->flags = XMIRROR_CPU_OTHER | XMIRROR_CPU_HUGE |
			   XMIRROR_CPU_PUD;
		return;
	}
	if (pud_leaf(pud)) {
		v->pfn = pud_pfn(pud) + ((addr & ~PUD_MASK) >> PAGE_SHIFT);
		v->flags = XMIRROR_CPU_HUGE | XMIRROR_CPU_PUD |
			   xm_present_flags(pud_write(pud), pud_dirty(pud),
					    pud_young(pud));
		return;
	}
	pmdp = pmd_offset(pudp, addr);
	pmd = READ_ONCE(*pmdp);
	if (pmd_none(pmd))
		return;
	if (!pmd_present(pmd) || pmd_leaf(pmd)) {
		xm_view_pmd(pmd, addr & ~PMD_MASK, v);
		return;
	}
	xm_view_pte(ptep_get(pte_offset_kernel(&pmd, addr)), v);
}

static bool xm_view_noaccess(const struct vm_area_struct *vma)
{
	return !(vma->vm_flags & VM_READ) ||
	       vma->vm_flags & (VM_IO | VM_PFNMAP);
}

static u32 xm_view_pool(struct xmirror *m, struct page *page)
{
	struct xmirror_devmem *dm = xm_dev_pool(page);

	if (is_zero_pfn(page_to_pfn(page)))
		return XMIRROR_CPU_ZERO;
	if (!dm)
		return 0;
	return (dm->coherent ? XMIRROR_CPU_COHERENT : 0) |
	       (dm == m->dm ? XMIRROR_CPU_LOCAL : 0);
}

/**
 * xmirror_snapshot() - read both page tables
 * @m: the mirror
 * @start: first address, page aligned
 * @nr_pages: number of pages
 * @pages: out: one entry a page
 *
 * Faults nothing and changes nothing. Each page is consistent in itself as far
 * as it is valid for the device, see the top of this file.
 *
 * Context: may sleep, takes mmap_lock.
 * Return: 0, -EINVAL or -EFAULT for a bad range, or an error that every call
 * can return.
 */
int xmirror_snapshot(struct xmirror *m, unsigned long start,
		     unsigned long nr_pages, struct xmirror_page *pages)
{
	unsigned long i, addr, pte;
	struct vm_area_struct *vma;
	struct xm_cpu_view view;
	struct xm_chunk *chunk;
	int ret;

	if (nr_pages > m->mm->task_size >> PAGE_SHIFT)
		return -EFAULT;
	ret = xm_check_range(m, start, start + (nr_pages << PAGE_SHIFT));
	if (ret)
		return ret;
	ret = xm_enter(m);
	if (ret)
		return ret;
	ret = -EINTR;
	if (mmap_read_lock_killable(m->mm))
		goto out;
	for (i = 0; i < nr_pages; i++, pages++) {
		addr = start + (i << PAGE_SHIFT);
		vma = vma_lookup(m->mm, addr);
		chunk = xm_chunk_find(m, addr);
		pte = 0;
		view.pfn = 0;
		view.flags = XMIRROR_CPU_HOLE;

		rcu_read_lock();
		if (chunk) {
			read_lock(&chunk->lock);
			pte = xm_leaf(chunk, addr, NULL);
		}
		if (vma)
			xm_view(m->mm, addr, &view);
		if (chunk)
			read_unlock(&chunk->lock);
		rcu_read_unlock();

		if (view.pfn && pfn_valid(view.pfn))
			view.flags |= xm_view_pool(m, pfn_to_page(view.pfn));
		if (vma && xm_view_noaccess(vma))
			view.flags |= XMIRROR_CPU_NOACCESS;
		pages->dev_pfn = xm_pte_pfn(pte);
		pages->cpu_pfn = view.pfn;
		pages->dev = pte & (XM_PTE_BITS | XMIRROR_PTE_64K |
				    XMIRROR_PTE_2M);
		pages->cpu = view.flags;
	}
	mmap_read_unlock(m->mm);
	ret = 0;
out:
	xm_leave(m);
	return ret;
}
EXPORT_SYMBOL_GPL(xmirror_snapshot);

/* The page frame that a leaf for what the CPU has there would point to. */
static unsigned long xm_view_data(struct xmirror *m,
				  const struct xm_cpu_view *v)
{
	struct page *page;

	if (!m->dm || !v->pfn || !pfn_valid(v->pfn))
		return v->pfn;
	page = pfn_to_page(v->pfn);
	if (xm_dev_pool(page) != m->dm)
		return v->pfn;
	page = xm_dev_data(m->dm, page);
	return page ? page_to_pfn(page) : 0;
}

static enum xmirror_violation xm_check_leaf(struct xmirror *m,
					    unsigned long pte,
					    const struct xm_cpu_view *v)
{
	unsigned long local = XMIRROR_PTE_LOCAL | XMIRROR_PTE_EXCLUSIVE;

	if (!(pte & XMIRROR_PTE_VALID) ||
	    (pte & XMIRROR_PTE_EXCLUSIVE && !(pte & XMIRROR_PTE_WRITE)) ||
	    (pte & XMIRROR_PTE_DIRTY && !(pte & XMIRROR_PTE_WRITE)) ||
	    (pte & local) == local)
		return XMIRROR_V_BITS;
	if (!(v->flags & (XMIRROR_CPU_PRESENT | XMIRROR_CPU_EXCLUSIVE |
			  XMIRROR_CPU_PRIVATE)))
		return XMIRROR_V_ABSENT;
	if (xm_view_data(m, v) != xm_pte_pfn(pte))
		return XMIRROR_V_PFN;
	if (v->flags & XMIRROR_CPU_EXCLUSIVE)
		return XMIRROR_V_NONE;
	if (pte & XMIRROR_PTE_EXCLUSIVE)
		return XMIRROR_V_EXCLUSIVE;
	if (pte & XMIRROR_PTE_WRITE && !(v->flags & XMIRROR_CPU_WRITE))
		return XMIRROR_V_WRITE;
	return XMIRROR_V_NONE;
}

static void xm_verify_table(struct xm_chunk *chunk, unsigned long base,
			    struct xmirror_verify *v)
{
	struct xmirror *m = chunk->m;
	enum xmirror_violation kind;
	struct xm_cpu_view view;
	unsigned long addr, pte;

	rcu_read_lock();
	read_lock(&chunk->lock);
	for (addr = base; addr < base + XM_TABLE_SIZE; addr += PAGE_SIZE) {
		pte = xm_leaf(chunk, addr, NULL);
		if (!pte)
			continue;
		v->checked++;
		xm_view(m->mm, addr, &view);
		kind = xm_check_leaf(m, pte, &view);
		if (kind == XMIRROR_V_NONE)
			continue;
		trace_xm_violation(m, addr, pte, view.pfn, view.flags, kind);
		if (!v->violations++) {
			v->first_addr = addr;
			v->first_kind = kind;
		}
	}
	read_unlock(&chunk->lock);
	rcu_read_unlock();
}

/**
 * xmirror_verify() - hold the device page table against the CPU's
 * @m: the mirror
 * @v: out: what was found
 *
 * Context: may sleep, takes mmap_lock.
 * Return: 0 if it could look, or an error that every call can return.
 */
int xmirror_verify(struct xmirror *m, struct xmirror_verify *v)
{
	struct xm_chunk *chunk;
	unsigned long index, addr;
	int ret;

	v->checked = 0;
	v->violations = 0;
	v->first_addr = 0;
	v->first_kind = XMIRROR_V_NONE;
	ret = xm_enter(m);
	if (ret)
		return ret;
	ret = -EINTR;
	if (mmap_read_lock_killable(m->mm))
		goto out;
	ret = 0;
	xa_for_each(&m->chunks, index, chunk) {
		for (addr = chunk->start; addr < chunk->end && !ret;
		     addr += XM_TABLE_SIZE) {
			xm_verify_table(chunk, addr, v);
			ret = xm_may_go_on(m);
		}
	}
	mmap_read_unlock(m->mm);
out:
	xm_leave(m);
	return ret;
}
EXPORT_SYMBOL_GPL(xmirror_verify);
