/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The only place that knows of kernels older than the newest: the rest of the
 * code is written to the newest interface. Kbuild finds the features of this kernel by
 * compiling probes/.
 */
#ifndef _XM_COMPAT_H
#define _XM_COMPAT_H

#include <linux/eventfd.h>
#include <linux/gfp.h>
#include <linux/highmem.h>
#include <linux/hmm.h>
#include <linux/mempolicy.h>
#include <linux/memremap.h>
#include <linux/migrate.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/rmap.h>
#include <linux/slab.h>
#include <linux/swap.h>
#include <linux/version.h>
#include "xm_features.h"

#if !XM_HAVE_INSERT_PFN_PMD_LONG
#include <linux/pfn_t.h>
#endif

#if !XM_HAVE_MUST_COMPILE || XM_HAVE_MUST_NOT_COMPILE
#error "the feature probes cannot be trusted with this kernel and compiler"
#endif

#if XM_HAVE_SOFTLEAF
#include <linux/leafops.h>
#else
#include <linux/swapops.h>

#define softleaf_t				swp_entry_t
#define softleaf_from_pte(pte)			pte_to_swp_entry(pte)
#define softleaf_is_device_exclusive(e)		is_device_exclusive_entry(e)
#define softleaf_is_device_private(e)		is_device_private_entry(e)
#define softleaf_is_device_private_write(e)	is_writable_device_private_entry(e)
/* Stable releases of 6.12 have this one already. */
#ifndef softleaf_to_pfn
#define softleaf_to_pfn(e)			swp_offset_pfn(e)
#endif

/* Private memory has no PMD entries: one that is nothing in particular. */
static inline softleaf_t softleaf_from_pmd(pmd_t pmd)
{
	return (softleaf_t){};
}
#endif

#if !XM_HAVE_ALLOC_PAGES_BULK_NODE
#define alloc_pages_bulk_node	alloc_pages_bulk_array_node
#endif

#ifndef __uninitialized
#define __uninitialized
#endif

/* A memory error in the source is a machine check that nobody handles. */
#if !XM_HAVE_COPY_MC_HIGHPAGE
static inline int copy_mc_highpage(struct page *to, struct page *from)
{
	copy_highpage(to, from);
	return 0;
}
#endif

#ifndef VM_SHADOW_STACK
#define VM_SHADOW_STACK	0
#endif

/*
 * Fault without mmap_lock held across I/O, killable; @timeout, in jiffies, limits
 * only how long an invalidation is waited out. -EOPNOTSUPP where there is no such
 * call: then hmm_range_fault() it is, in a loop, with the lock.
 *
 * So it is for a kernel thread, too, since nobody can kill it: the call of 7.3 never
 * sets FAULT_FLAG_TRIED, and a file's page that cannot be read is VM_FAULT_RETRY to
 * filemap_fault() each time.
 */
static inline int xm_hmm_range_fault(struct hmm_range *range, long timeout)
{
#if XM_HAVE_HMM_RANGE_FAULT_UNLOCKED_TIMEOUT
	if (current->flags & PF_KTHREAD)
		return -EOPNOTSUPP;
	return hmm_range_fault_unlocked_timeout(range, max(timeout, 1L));
#else
	return -EOPNOTSUPP;
#endif
}

#if !XM_HAVE_PTE_UFFD
#define pte_uffd	pte_uffd_wp
#define pte_swp_uffd	pte_swp_uffd_wp
#endif

/* 6.1 does not export folio_mapcount(). Each page's count has that of the whole in it. */
#if !XM_HAVE_FOLIO_MAPCOUNT
static inline int xm_folio_mapcount(struct folio *folio)
{
	long i, nr = folio_nr_pages(folio);
	int count = 0;

	for (i = 0; i < nr; i++)
		count += page_mapcount(folio_page(folio, i));
	return nr == 1 ? count : count - (nr - 1) * folio_entire_mapcount(folio);
}

#define folio_mapcount	xm_folio_mapcount
#endif

#define XM_NO_SWP_TYPE	(~0U)

#if defined(SWP_DEVICE_EXCLUSIVE)
#define XM_SWP_EXCLUSIVE_WRITE	SWP_DEVICE_EXCLUSIVE
#define XM_SWP_EXCLUSIVE_READ	SWP_DEVICE_EXCLUSIVE
#elif defined(SWP_DEVICE_EXCLUSIVE_WRITE)
#define XM_SWP_EXCLUSIVE_WRITE	SWP_DEVICE_EXCLUSIVE_WRITE
#define XM_SWP_EXCLUSIVE_READ	SWP_DEVICE_EXCLUSIVE_READ
#else
#define XM_SWP_EXCLUSIVE_WRITE	XM_NO_SWP_TYPE
#define XM_SWP_EXCLUSIVE_READ	XM_NO_SWP_TYPE
#endif

#if defined(SWP_DEVICE_WRITE)
#define XM_SWP_PRIVATE_WRITE	SWP_DEVICE_WRITE
#define XM_SWP_PRIVATE_READ	SWP_DEVICE_READ
#else
#define XM_SWP_PRIVATE_WRITE	XM_NO_SWP_TYPE
#define XM_SWP_PRIVATE_READ	XM_NO_SWP_TYPE
#endif

#if defined(SWP_PTE_MARKER)
#define XM_SWP_MARKER		SWP_PTE_MARKER
#else
#define XM_SWP_MARKER		XM_NO_SWP_TYPE
#endif

/*
 * xm_make_exclusive() - replace the CPU entries of up to @nr pages
 *
 * Returns how many pages were handled, at least one, or a negative errno if the
 * first could not be. Each non-NULL page is locked and referenced; NULL means
 * "not now". mmap_lock is held. At most XM_EXCL_BATCH pages a call.
 */
#if !IS_ENABLED(CONFIG_DEVICE_PRIVATE)

/* mm/rmap.c compiles the call out, although rmap.h declares it. */
#define XM_EXCL_BATCH	1
#define XM_REVOKE_EVENT	MMU_NOTIFY_CLEAR

static inline int xm_make_exclusive(struct mm_struct *mm, unsigned long addr,
				    unsigned int nr, struct page **pages,
				    void *owner)
{
	return -EOPNOTSUPP;
}

#elif XM_HAVE_MAKE_DEVICE_EXCLUSIVE

/*
 * One page at a time: a second page of the same large folio would wait for the
 * folio lock that the first call returned with.
 */
#define XM_EXCL_BATCH	1
#define XM_REVOKE_EVENT	MMU_NOTIFY_CLEAR

static inline int xm_make_exclusive(struct mm_struct *mm, unsigned long addr,
				    unsigned int nr, struct page **pages,
				    void *owner)
{
	struct folio *folio;
	struct page *page;

	page = make_device_exclusive(mm, addr, owner, &folio);
	if (IS_ERR(page))
		return PTR_ERR(page);
	pages[0] = page;
	return 1;
}

#else

#define XM_EXCL_BATCH	16
#define XM_REVOKE_EVENT	MMU_NOTIFY_EXCLUSIVE

static inline long xm_gup_write(struct mm_struct *mm, unsigned long addr,
				unsigned int nr, struct page **pages)
{
#if XM_HAVE_GUP_REMOTE_VMAS
	return get_user_pages_remote(mm, addr, nr, FOLL_GET | FOLL_WRITE, pages,
				     NULL, NULL);
#else
	return get_user_pages_remote(mm, addr, nr, FOLL_GET | FOLL_WRITE, pages,
				     NULL);
#endif
}

/*
 * The old call converts every entry of a large folio when it is given the head
 * page, and none for a tail page; rmap walkers of those kernels then take the
 * entries for page table entries or migration entries. So look before the call
 * and leave large folios alone. khugepaged could still win the race between
 * the two calls; the caller then gets a single page, which is right, while the
 * siblings go back on CPU access.
 */
static inline int xm_make_exclusive(struct mm_struct *mm, unsigned long addr,
				    unsigned int nr, struct page **pages,
				    void *owner)
{
	long got, i, small;

	got = xm_gup_write(mm, addr, nr, pages);
	if (got <= 0)
		return got ? got : -EFAULT;
	for (small = 0; small < got; small++)
		if (PageCompound(pages[small]))
			break;
	for (i = 0; i < got; i++)
		put_page(pages[i]);
	if (!small)
		return -EOPNOTSUPP;

	got = make_device_exclusive_range(mm, addr, addr + small * PAGE_SIZE,
					  pages, owner);
	return got ? got : -EFAULT;
}

#endif

#ifndef MIGRATE_PFN_COMPOUND
/* Device pages are small, and there are no flags to ask for others. */
#define MIGRATE_PFN_COMPOUND		0
#define MIGRATE_VMA_SELECT_COMPOUND	0
#endif

#if MIGRATE_PFN_COMPOUND
/* The default of the core, which a callback replaces, first. */
#define XM_DEV_SPLIT(name)	.folio_split = name,
#define XM_DEFINE_DEV_SPLIT(name, fn)					\
static void name(struct folio *head, struct folio *part)		\
{									\
	if (part) {							\
		part->pgmap = head->pgmap;				\
		part->mapping = head->mapping;				\
	}								\
	fn(&head->page);						\
}
#else
#define XM_DEV_SPLIT(name)
#define XM_DEFINE_DEV_SPLIT(name, fn)					\
static void __maybe_unused name(struct page *page)			\
{									\
	fn(page);							\
}
#endif

#if XM_HAVE_FOLIO_FREE
#define XM_DEV_FREE	folio_free
#define XM_DEFINE_DEV_FREE(name, fn)					\
static void name(struct folio *folio)					\
{									\
	fn(&folio->page, folio_nr_pages(folio));			\
}
#else
#define XM_DEV_FREE	page_free
#define XM_DEFINE_DEV_FREE(name, fn)					\
static void name(struct page *page)					\
{									\
	fn(page, 1);							\
}
#endif

#if !XM_HAVE_PAGE_PGMAP
#define page_pgmap(page)	((page)->pgmap)
#endif

/* Initialise a device folio: locked, one reference. */
static inline void xm_zone_device_init(struct page *page,
				       struct dev_pagemap *pgmap,
				       unsigned int order)
{
#if XM_HAVE_ZONE_DEVICE_FOLIO_INIT
	zone_device_folio_init((struct folio *)page, pgmap, order);
#else
	zone_device_page_init(page);
#endif
}

/*
 * __migrate_device_pages() takes a folio out of the swap cache and then goes on
 * with the mapping that it had there, which ends in a BUG or a corrupt swap
 * cache (seen on 6.12.95, not on 7.3.4; see Documentation/findings.md). There is
 * nothing to probe for: leave such folios alone before 7.3.
 */
static inline bool xm_can_migrate(struct folio *folio)
{
	return LINUX_VERSION_CODE >= KERNEL_VERSION(7, 3, 0) ||
	       !folio_test_swapcache(folio);
}

/* A fault that has the lock of its VMA only, Linux 6.4 */
#ifdef CONFIG_PER_VMA_LOCK
#define XM_FAULT_VMA_LOCK	FAULT_FLAG_VMA_LOCK
#else
#define XM_FAULT_VMA_LOCK	0
#endif

/*
 * The lock of the page that migrate_to_ram() is called with, to drop it for a while. It
 * is called without one before 6.15, and there is nothing to probe for.
 */
#define XM_TO_RAM_LOCKED	(LINUX_VERSION_CODE >= KERNEL_VERSION(6, 15, 0))

static inline void xm_to_ram_unlock(struct page *page)
{
	if (XM_TO_RAM_LOCKED)
		unlock_page(page);
}

static inline void xm_to_ram_lock(struct page *page)
{
	if (XM_TO_RAM_LOCKED)
		lock_page(page);
}

#if !XM_HAVE_FOLIO_MEMCG_CHARGED
static inline bool folio_memcg_charged(struct folio *folio)
{
	return folio_memcg(folio);
}
#endif

static inline struct folio *xm_vma_alloc_folio(gfp_t gfp, int order,
					       struct vm_area_struct *vma,
					       unsigned long addr)
{
#if XM_HAVE_VMA_ALLOC_FOLIO_HUGEPAGE
	return vma_alloc_folio(gfp, order, vma, addr, order > 0);
#else
	return vma_alloc_folio(gfp, order, vma, addr);
#endif
}

/* Is there a memory policy to ask where a page of @vma, or of none, has to be? */
static inline bool xm_has_policy(struct vm_area_struct *vma)
{
#ifdef CONFIG_NUMA
	return current->mempolicy ||
	       (vma && (vma_policy(vma) || !vma_is_anonymous(vma)));
#else
	return false;
#endif
}

/*
 * Huge PFN maps. Where a PMD has a special bit, fast GUP leaves such an entry
 * alone; older kernels would take a reference to the page behind it.
 */
#define XM_SPECIAL_PMD	(IS_ENABLED(CONFIG_TRANSPARENT_HUGEPAGE) && \
			 IS_ENABLED(CONFIG_ARCH_SUPPORTS_PMD_PFNMAP))

/* The second argument of ->huge_fault(), and what it is for a PMD. */
#if XM_HAVE_HUGE_FAULT_ORDER
#define XM_FAULT_SIZE	unsigned int
#define XM_FAULT_PMD	(PMD_SHIFT - PAGE_SHIFT)
#else
#define XM_FAULT_SIZE	enum page_entry_size
#define XM_FAULT_PMD	PE_SIZE_PMD
#endif

static inline vm_fault_t xm_insert_pfn_pmd(struct vm_fault *vmf,
					   unsigned long pfn, bool write)
{
#if !IS_ENABLED(CONFIG_TRANSPARENT_HUGEPAGE)
	/* mm/huge_memory.c is not there. */
	return VM_FAULT_FALLBACK;
#elif XM_HAVE_INSERT_PFN_PMD_LONG
	return vmf_insert_pfn_pmd(vmf, pfn, write);
#else
	return vmf_insert_pfn_pmd(vmf, __pfn_to_pfn_t(pfn, 0), write);
#endif
}

#if !XM_HAVE_VM_FLAGS_SET
static inline void vm_flags_set(struct vm_area_struct *vma,
				unsigned long flags)
{
	vma->vm_flags |= flags;
}
#endif

#if !XM_HAVE_ZAP_SPECIAL_VMA_RANGE
#define zap_special_vma_range(vma, addr, size)	zap_vma_ptes(vma, addr, size)
#endif

#if !XM_HAVE_PUD_DIRTY
#define pud_dirty(pud)	pte_dirty(pud_pte(pud))
#endif

#ifndef kzalloc_obj
#define kzalloc_obj(obj, gfp)	kzalloc(sizeof(obj), gfp)
#endif

/* Signal an eventfd once. */
static inline void xm_eventfd_signal(struct eventfd_ctx *ctx)
{
#if XM_HAVE_EVENTFD_SIGNAL_N
	eventfd_signal(ctx, 1);
#else
	eventfd_signal(ctx);
#endif
}

#endif /* _XM_COMPAT_H */
