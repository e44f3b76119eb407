// SPDX-License-Identifier: GPL-2.0
/*
 * Raw calls, see raw.h: make_device_exclusive(), hmm_range_fault(), and what the
 * page table and the page say of an address.
 *
 * Locks are those that the kernel's functions ask for. The notifier of a range fault
 * has no device behind it, so it has no lock of its own but one for the sequence
 * number.
 */

#include <linux/capability.h>
#include <linux/hmm.h>
#include <linux/ktime.h>
#include <linux/memcontrol.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/userfaultfd_k.h>
#include "compat.h"
#include "test_driver.h"
#include "walk.h"

#define XT_RAW_BATCH	16

/* What the kernel is told as owner, ERR_PTR(-EINVAL) for an unknown one. */
void *xt_raw_owner(struct xt_file *f, u32 owner)
{
	static int stranger;

	switch (owner) {
	case XMIRROR_RAW_NOBODY:
		return NULL;
	case XMIRROR_RAW_POOL:
		return xt_raw_pool_owner();
	case XMIRROR_RAW_MIRROR:
		return f->mirror;
	case XMIRROR_RAW_STRANGER:
		return &stranger;
	default:
		return ERR_PTR(-EINVAL);
	}
}

/* A raw call has come to a sync point. */
void xt_raw_point(struct xt_file *f, enum xm_point point, unsigned long start,
		  unsigned long end)
{
	struct xm_visit visit = xm_visit(point, start, end);

	xt_sync_point(f, &visit);
}

#if !IS_ENABLED(CONFIG_DEVICE_PRIVATE)

static int xt_raw_make(struct xt_file *f, struct xmirror_raw_exclusive *r,
		       void *owner, u64 *pfns)
{
	return -EOPNOTSUPP;
}

#else

/* The pages of one call are locked: tell of them and let them go. */
static void xt_raw_exclusive_done(struct xt_file *f, unsigned long addr,
				  struct page **pages, int nr, u64 *pfns)
{
	int i;

	addr &= PAGE_MASK;
	xt_raw_point(f, XM_PT_RAW_EXCLUSIVE, addr, addr + nr * PAGE_SIZE);
	for (i = 0; i < nr; i++) {
		pfns[i] = 0;
		if (!pages[i])
			continue;
		pfns[i] = page_to_pfn(pages[i]);
		unlock_page(pages[i]);
		put_page(pages[i]);
	}
}

#if XM_HAVE_MAKE_DEVICE_EXCLUSIVE

static int xt_raw_make(struct xt_file *f, struct xmirror_raw_exclusive *r,
		       void *owner, u64 *pfns)
{
	struct folio *folio;
	struct page *page;
	unsigned int i;

	for (i = 0; i < r->nr; i++) {
		page = make_device_exclusive(current->mm,
					     r->addr + i * PAGE_SIZE, owner,
					     &folio);
		if (IS_ERR(page)) {
			r->error = PTR_ERR(page);
			break;
		}
		xt_raw_exclusive_done(f, r->addr + i * PAGE_SIZE, &page, 1,
				      &pfns[i]);
	}
	r->result = i ? i : r->error;
	return 0;
}

#else

static int xt_raw_make(struct xt_file *f, struct xmirror_raw_exclusive *r,
		       void *owner, u64 *pfns)
{
	struct page *pages[XT_RAW_BATCH] = {};

	r->result = make_device_exclusive_range(current->mm, r->addr,
						r->addr + r->nr * PAGE_SIZE,
						pages, owner);
	if (r->result < 0)
		r->error = r->result;
	else
		xt_raw_exclusive_done(f, r->addr, pages, r->result, pfns);
	return 0;
}

#endif /* XM_HAVE_MAKE_DEVICE_EXCLUSIVE */
#endif /* CONFIG_DEVICE_PRIVATE */

/* XMIRROR_IOC_RAW_EXCLUSIVE */
int xt_raw_exclusive(struct xt_file *f, struct xmirror_raw_exclusive *r)
{
	void *owner = xt_raw_owner(f, r->owner);
	u64 pfns[XT_RAW_BATCH] = {};
	int ret;

	r->result = 0;
	r->error = 0;
	if (r->flags || IS_ERR(owner) || !r->nr || r->nr > XT_RAW_BATCH ||
	    r->addr + r->nr * PAGE_SIZE < r->addr)
		return -EINVAL;
	if (mmap_read_lock_killable(current->mm))
		return -EINTR;
	ret = xt_raw_make(f, r, owner, pfns);
	mmap_read_unlock(current->mm);
	if (!ret && copy_to_user(u64_to_user_ptr(r->pfns), pfns,
				 r->nr * sizeof(*pfns)))
		ret = -EFAULT;
	return ret;
}

/**
 * struct xt_raw_range - the notifier of one range fault
 * @sub: what the core knows of it
 * @lock: the sequence number is set under it
 */
struct xt_raw_range {
	struct mmu_interval_notifier sub;
	spinlock_t lock; /* see above */
};

static bool xt_raw_range_invalidate(struct mmu_interval_notifier *sub,
				    const struct mmu_notifier_range *range,
				    unsigned long seq)
{
	struct xt_raw_range *n = container_of(sub, struct xt_raw_range, sub);

	spin_lock(&n->lock);
	mmu_interval_set_seq(sub, seq);
	spin_unlock(&n->lock);
	return true;
}

static const struct mmu_interval_notifier_ops xt_raw_range_ops = {
	.invalidate = xt_raw_range_invalidate,
};

#if !XM_HAVE_HMM_DMA_MAPPED
#define HMM_PFN_DMA_MAPPED	0UL
#endif

static unsigned long xt_hmm_to_kernel(u32 flags)
{
	return (flags & XMIRROR_HMM_VALID ? HMM_PFN_VALID : 0) |
	       (flags & XMIRROR_HMM_WRITE ? HMM_PFN_WRITE : 0) |
	       (flags & XMIRROR_HMM_ERROR ? HMM_PFN_ERROR : 0) |
	       (flags & XMIRROR_HMM_STICKY ? HMM_PFN_DMA_MAPPED : 0);
}

static u32 xt_hmm_to_user(unsigned long flags)
{
	return (flags & HMM_PFN_VALID ? XMIRROR_HMM_VALID : 0) |
	       (flags & HMM_PFN_WRITE ? XMIRROR_HMM_WRITE : 0) |
	       (flags & HMM_PFN_ERROR ? XMIRROR_HMM_ERROR : 0) |
	       (flags & HMM_PFN_DMA_MAPPED ? XMIRROR_HMM_STICKY : 0);
}

static int xt_raw_walk(struct hmm_range *range, struct xmirror_raw_hmm *r)
{
	if (r->flags & XMIRROR_RAW_HMM_UNLOCKED) {
#if XM_HAVE_HMM_RANGE_FAULT_UNLOCKED_TIMEOUT
		unsigned long timeout = msecs_to_jiffies(r->timeout_ms);

		r->result = hmm_range_fault_unlocked_timeout(range, timeout);
		return 0;
#else
		return -EOPNOTSUPP;
#endif
	}
	range->notifier_seq = mmu_interval_read_begin(range->notifier);
	/* Numbers go up by two and are odd while something is under way. */
	if (r->flags & XMIRROR_RAW_HMM_STALE)
		range->notifier_seq -= 2;
	if (mmap_read_lock_killable(current->mm))
		return -EINTR;
	r->result = hmm_range_fault(range);
	mmap_read_unlock(current->mm);
	return 0;
}

static int xt_raw_range_fault(struct hmm_range *range,
			      struct xmirror_raw_hmm *r)
{
	struct xt_raw_range n = {};
	u64 start;
	int ret;

	spin_lock_init(&n.lock);
	ret = mmu_interval_notifier_insert(&n.sub, current->mm, r->addr,
					   r->length, &xt_raw_range_ops);
	if (ret)
		return ret;
	range->notifier = &n.sub;
	start = ktime_get_ns();
	ret = xt_raw_walk(range, r);
	r->ns = ktime_get_ns() - start;
	spin_lock(&n.lock);
	r->retry = mmu_interval_read_retry(&n.sub, range->notifier_seq);
	spin_unlock(&n.lock);
	mmu_interval_notifier_remove(&n.sub);
	return ret;
}

/* XMIRROR_IOC_RAW_HMM */
int xt_raw_hmm(struct xt_file *f, struct xmirror_raw_hmm *r)
{
	u32 all = XMIRROR_HMM_VALID | XMIRROR_HMM_WRITE | XMIRROR_HMM_ERROR |
		  XMIRROR_HMM_STICKY;
	struct hmm_range range = {
		.start = r->addr,
		.end = r->addr + r->length,
		.default_flags = xt_hmm_to_kernel(r->default_flags),
		.pfn_flags_mask = xt_hmm_to_kernel(r->mask),
		.dev_private_owner = xt_raw_owner(f, r->owner),
	};
	struct xmirror_raw_pfn *pfns;
	unsigned long i, nr;
	int ret;

	r->result = 0;
	r->retry = 0;
	r->ns = 0;
	if (r->flags & ~(XMIRROR_RAW_HMM_UNLOCKED | XMIRROR_RAW_HMM_STALE) ||
	    (r->default_flags | r->mask) & ~all ||
	    IS_ERR(range.dev_private_owner))
		return -EINVAL;
	ret = xt_check_range(f, r->addr, r->length, PAGE_SIZE);
	if (ret)
		return ret;
	nr = r->length >> PAGE_SHIFT;
	if (nr > XMIRROR_RAW_MAX_PAGES)
		return -EINVAL;

	pfns = kvmalloc_array(nr, sizeof(*pfns), GFP_KERNEL);
	range.hmm_pfns = kvmalloc_array(nr, sizeof(*range.hmm_pfns),
					GFP_KERNEL);
	ret = -ENOMEM;
	if (!pfns || !range.hmm_pfns)
		goto out;
	ret = -EFAULT;
	if (copy_from_user(pfns, u64_to_user_ptr(r->pfns), nr * sizeof(*pfns)))
		goto out;
	for (i = 0; i < nr; i++)
		range.hmm_pfns[i] = xt_hmm_to_kernel(pfns[i].flags & all);
	ret = xt_raw_range_fault(&range, r);
	for (i = 0; i < nr; i++) {
		pfns[i].pfn = range.hmm_pfns[i] & ~HMM_PFN_FLAGS;
		pfns[i].flags = xt_hmm_to_user(range.hmm_pfns[i]);
		pfns[i].order = hmm_pfn_to_map_order(range.hmm_pfns[i]);
	}
	if (!ret && copy_to_user(u64_to_user_ptr(r->pfns), pfns,
				 nr * sizeof(*pfns)))
		ret = -EFAULT;
out:
	kvfree(range.hmm_pfns);
	kvfree(pfns);
	return ret;
}

static u32 xt_raw_softleaf(softleaf_t entry, struct xmirror_raw_page *p)
{
	u32 flags = XMIRROR_ENTRY_OTHER;

	if (softleaf_is_device_exclusive(entry))
		flags = XMIRROR_ENTRY_EXCLUSIVE;
	else if (softleaf_is_device_private(entry))
		flags = XMIRROR_ENTRY_PRIVATE |
			(softleaf_is_device_private_write(entry) ?
			 XMIRROR_ENTRY_WRITE : 0);
	if (flags != XMIRROR_ENTRY_OTHER)
		p->pfn = softleaf_to_pfn(entry);
	return flags;
}

static void xt_raw_view_pte(pte_t pte, struct xmirror_raw_page *p)
{
	p->raw = pte_val(pte);
	if (pte_none(pte))
		return;
	if (!pte_present(pte)) {
		p->entry = xt_raw_softleaf(softleaf_from_pte(pte), p) |
			   (pte_swp_soft_dirty(pte) ?
			    XMIRROR_ENTRY_SOFT_DIRTY : 0) |
			   (pte_swp_uffd(pte) ? XMIRROR_ENTRY_UFFD_WP : 0);
		return;
	}
	p->pfn = pte_pfn(pte);
	p->entry = XMIRROR_ENTRY_PRESENT |
		   (pte_write(pte) ? XMIRROR_ENTRY_WRITE : 0) |
		   (pte_dirty(pte) ? XMIRROR_ENTRY_DIRTY : 0) |
		   (pte_young(pte) ? XMIRROR_ENTRY_YOUNG : 0) |
		   (pte_soft_dirty(pte) ? XMIRROR_ENTRY_SOFT_DIRTY : 0) |
		   (pte_uffd(pte) ? XMIRROR_ENTRY_UFFD_WP : 0) |
		   (pte_special(pte) ? XMIRROR_ENTRY_SPECIAL : 0);
}

static void xt_raw_view_pmd(pmd_t pmd, unsigned long offset,
			    struct xmirror_raw_page *p)
{
	p->raw = pmd_val(pmd);
	if (pmd_present(pmd)) {
		p->pfn = pmd_pfn(pmd);
		p->entry = XMIRROR_ENTRY_PRESENT |
			   (pmd_write(pmd) ? XMIRROR_ENTRY_WRITE : 0) |
			   (pmd_dirty(pmd) ? XMIRROR_ENTRY_DIRTY : 0) |
			   (pmd_young(pmd) ? XMIRROR_ENTRY_YOUNG : 0) |
			   (pmd_soft_dirty(pmd) ? XMIRROR_ENTRY_SOFT_DIRTY : 0);
	} else {
		p->entry = xt_raw_softleaf(softleaf_from_pmd(pmd), p) |
			   (pmd_swp_soft_dirty(pmd) ?
			    XMIRROR_ENTRY_SOFT_DIRTY : 0);
	}
	p->entry |= XMIRROR_ENTRY_HUGE;
	if (p->pfn)
		p->pfn += offset >> PAGE_SHIFT;
}

/* Needs what xm_walk() does. */
static void xt_raw_view(struct mm_struct *mm, unsigned long addr,
			struct xmirror_raw_page *p)
{
	union xm_entry e;

	switch (xm_walk(mm, addr, &e)) {
	case XM_LEVEL_NONE:
		break;
	case XM_LEVEL_PTE:
		xt_raw_view_pte(e.pte, p);
		break;
	case XM_LEVEL_PMD:
		xt_raw_view_pmd(e.pmd, addr & ~PMD_MASK, p);
		break;
	case XM_LEVEL_PUD:
		p->raw = pud_val(e.pud);
		p->entry = XMIRROR_ENTRY_OTHER | XMIRROR_ENTRY_HUGE;
		break;
	}
}

static u32 xt_raw_folio_flags(struct folio *folio, struct page *page)
{
	return (folio_test_dirty(folio) ? XMIRROR_FOLIO_DIRTY : 0) |
	       (folio_test_referenced(folio) ? XMIRROR_FOLIO_REFERENCED : 0) |
	       (folio_test_active(folio) ? XMIRROR_FOLIO_ACTIVE : 0) |
	       (folio_test_mlocked(folio) ? XMIRROR_FOLIO_MLOCKED : 0) |
	       (folio_test_unevictable(folio) ?
		XMIRROR_FOLIO_UNEVICTABLE : 0) |
	       (folio_test_swapcache(folio) ? XMIRROR_FOLIO_SWAPCACHE : 0) |
	       (folio_test_swapbacked(folio) ? XMIRROR_FOLIO_SWAPBACKED : 0) |
	       (folio_test_lru(folio) ? XMIRROR_FOLIO_LRU : 0) |
	       (folio_test_anon(folio) ? XMIRROR_FOLIO_ANON : 0) |
	       (folio_test_ksm(folio) ? XMIRROR_FOLIO_KSM : 0) |
	       (folio_test_large(folio) ? XMIRROR_FOLIO_LARGE : 0) |
	       (folio_test_locked(folio) ? XMIRROR_FOLIO_LOCKED : 0) |
	       (folio_test_anon(folio) && PageAnonExclusive(page) ?
		XMIRROR_FOLIO_ANON_EXCLUSIVE : 0) |
	       (!mem_cgroup_disabled() && folio_memcg_charged(folio) ?
		XMIRROR_FOLIO_CHARGED : 0) |
	       (folio_is_zone_device(folio) ? XMIRROR_FOLIO_DEVICE : 0);
}

/*
 * A folio that is on its way out may still be in the entry that was read. The report is
 * meaningless then, and reads no freed memory.
 */
static void xt_raw_view_page(struct xmirror_raw_page *p)
{
	struct folio *folio;
	struct page *page;

	if (!p->pfn || p->entry & XMIRROR_ENTRY_SPECIAL || !pfn_valid(p->pfn))
		return;
	page = pfn_to_page(p->pfn);
	folio = page_folio(page);
	if (!folio_try_get(folio))
		return;
	if (page_folio(page) == folio) {
		p->folio = xt_raw_folio_flags(folio, page);
		p->refs = folio_ref_count(folio) - 1;
		p->maps = folio_mapcount(folio);
	}
	folio_put(folio);
}

static int xt_raw_state_page(struct mm_struct *mm, unsigned long addr,
			     struct xmirror_raw_page *p)
{
	memset(p, 0, sizeof(*p));
	if (mmap_read_lock_killable(mm))
		return -EINTR;
	if (vma_lookup(mm, addr)) {
		rcu_read_lock();
		xt_raw_view(mm, addr, p);
		rcu_read_unlock();
		xt_raw_view_page(p);
	}
	mmap_read_unlock(mm);
	return 0;
}

/* XMIRROR_IOC_RAW_STATE */
int xt_raw_state(struct xt_file *f, struct xmirror_raw_state *r)
{
	struct xmirror_raw_page __user *to = u64_to_user_ptr(r->pages);
	struct xmirror_raw_page page;
	u64 pos;
	int ret;

	if (r->flags)
		return -EINVAL;
	ret = xt_check_range(f, r->addr, r->length, PAGE_SIZE);
	if (ret)
		return ret;
	if (r->length >> PAGE_SHIFT > XMIRROR_RAW_MAX_PAGES)
		return -EINVAL;
	for (pos = 0; pos < r->length; pos += PAGE_SIZE, to++) {
		ret = xt_raw_state_page(current->mm, r->addr + pos, &page);
		if (ret)
			return ret;
		if (copy_to_user(to, &page, sizeof(page)))
			return -EFAULT;
	}
	return 0;
}
