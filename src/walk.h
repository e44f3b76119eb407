/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The entry of the CPU's page table that maps an address, found by hand: the kernel
 * exports no walker that returns an entry that is not present. verify.c says what
 * keeps the tables in place.
 */
#ifndef _XM_WALK_H
#define _XM_WALK_H

#include <linux/mm.h>

enum xm_level {
	XM_LEVEL_NONE,		/* no entry, or no table for one */
	XM_LEVEL_PTE,
	XM_LEVEL_PMD,
	XM_LEVEL_PUD,
};

/* The entry of that level. A PMD or PUD that is here is a leaf, or not present. */
union xm_entry {
	pte_t pte;
	pmd_t pmd;
	pud_t pud;
};

/*
 * The PTE at @addr, with the lock of its table: make_device_exclusive() clears the PTE
 * and sets it again after it has flushed the TLB (mm/rmap.c), and for its own mirror no
 * invalidation is between. False if @pmd is no longer the entry of the table.
 */
static inline bool xm_read_pte(struct mm_struct *mm, pmd_t *pmdp, pmd_t pmd,
			       unsigned long addr, pte_t *pte)
{
	spinlock_t *lock = pte_lockptr(mm, &pmd);
	bool same;

	spin_lock(lock);
	same = pmd_same(pmd, READ_ONCE(*pmdp));
	if (same)
		*pte = ptep_get(pte_offset_kernel(&pmd, addr));
	spin_unlock(lock);
	return same;
}

/*
 * Needs mmap_lock, rcu_read_lock() and a VMA at @addr. The PTE may be none. Takes the
 * lock of the table of PTEs.
 */
static inline enum xm_level xm_walk(struct mm_struct *mm, unsigned long addr,
				    union xm_entry *e)
{
	pgd_t *pgd = pgd_offset(mm, addr);
	p4d_t *p4dp, p4d;
	pud_t *pudp, pud;
	pmd_t *pmdp, pmd;

	if (pgd_none(*pgd))
		return XM_LEVEL_NONE;
	p4dp = p4d_offset(pgd, addr);
	p4d = READ_ONCE(*p4dp);
	if (p4d_none(p4d))
		return XM_LEVEL_NONE;
	pudp = pud_offset(p4dp, addr);
	pud = READ_ONCE(*pudp);
	if (pud_none(pud))
		return XM_LEVEL_NONE;
	if (!pud_present(pud) || pud_leaf(pud)) {
		e->pud = pud;
		return XM_LEVEL_PUD;
	}
	pmdp = pmd_offset(pudp, addr);
	do {
		pmd = READ_ONCE(*pmdp);
		if (pmd_none(pmd))
			return XM_LEVEL_NONE;
		if (!pmd_present(pmd) || pmd_leaf(pmd)) {
			e->pmd = pmd;
			return XM_LEVEL_PMD;
		}
	} while (!xm_read_pte(mm, pmdp, pmd, addr, &e->pte));
	return XM_LEVEL_PTE;
}

#endif /* _XM_WALK_H */
