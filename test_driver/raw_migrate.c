// SPDX-License-Identifier: GPL-2.0
/*
 * Raw calls, see raw.h: migrations, by address and by page.
 *
 * Setup locks, references and unmaps what it collects, and finalize undoes that, so
 * that between them nothing returns. A destination is locked and has one reference,
 * which finalize takes, whatever became of it.
 */

#include <linux/highmem.h>
#include <linux/ktime.h>
#include <linux/migrate.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include "compat.h"
#include "test_driver.h"

#define XT_RAW_HUGE_ORDER	(PMD_SHIFT - PAGE_SHIFT)
#define XT_RAW_HUGE		BIT(XT_RAW_HUGE_ORDER)

#define XT_RAW_SELECT	(XMIRROR_RAW_SELECT_SYSTEM | \
			 XMIRROR_RAW_SELECT_PRIVATE | \
			 XMIRROR_RAW_SELECT_COHERENT | \
			 XMIRROR_RAW_SELECT_COMPOUND)
#define XT_RAW_BY_PAGE	(XMIRROR_RAW_RANGE | XMIRROR_RAW_PFNS)
#define XT_RAW_REFUSED	(XMIRROR_RAW_NO_VMA | XMIRROR_RAW_NO_SRC | \
			 XMIRROR_RAW_NO_DST | XMIRROR_RAW_FAULT_SYSTEM | \
			 XMIRROR_RAW_FAULT_UNLOCKED)

static bool xt_raw_args_valid(const struct xmirror_raw_migrate *r)
{
	return !(r->flags & ~(XT_RAW_SELECT | XT_RAW_BY_PAGE | XT_RAW_REFUSED |
			      XMIRROR_RAW_ABORT | XMIRROR_RAW_UNSAFE)) &&
	       (r->flags & XT_RAW_BY_PAGE) != XT_RAW_BY_PAGE &&
	       r->length <= XMIRROR_RAW_MAX_PAGES * PAGE_SIZE;
}

#if !IS_ENABLED(CONFIG_DEVICE_PRIVATE)

int xt_raw_migrate(struct xt_file *f, struct xmirror_raw_migrate *r)
{
	if (!xt_raw_args_valid(r))
		return -EINVAL;
	return -EOPNOTSUPP;
}

vm_fault_t xt_raw_to_ram(struct vm_fault *vmf)
{
	return VM_FAULT_SIGBUS;
}

void xt_raw_evict(unsigned long pfn, unsigned long nr)
{
}

#else

static struct page *xt_raw_data(struct page *page)
{
	return xt_raw_pool_has(page_to_pfn(page), 1) ?
	       xt_raw_pool_data(page) : page;
}

/* Pages of other devices have their data elsewhere, and some pages none to read. */
static bool xt_raw_can_copy(struct page *page)
{
	struct folio *folio = page_folio(page);

	if (xt_raw_pool_has(page_to_pfn(page), 1))
		return true;
	return !folio_is_zone_device(folio) &&
	       (folio_test_anon(folio) || folio_test_swapbacked(folio));
}

/* False: there is a memory error in the source. */
static bool xt_raw_copy(struct page *dst, struct page *src, unsigned long nr)
{
	unsigned long i;

	for (i = 0; i < nr; i++) {
		if (!src)
			clear_highpage(xt_raw_data(dst + i));
		else if (xt_memory_copy_pages(xt_raw_data(dst + i),
					      xt_raw_data(src + i), 1))
			return false;
	}
	return true;
}

static struct page *xt_raw_system(unsigned int order)
{
	struct folio *folio = folio_alloc(GFP_HIGHUSER_MOVABLE | __GFP_NOWARN,
					  order);

	if (!folio)
		return NULL;
	folio_lock(folio);
	return &folio->page;
}

/* A destination as the test wants it, 0 if there is none. */
static unsigned long xt_raw_alloc(u32 dst)
{
	unsigned long flags = 0;
	struct page *page = NULL;

	switch (dst) {
	case XMIRROR_RAW_PRIVATE:
		page = xt_raw_pool_alloc(0);
		break;
	case XMIRROR_RAW_SYSTEM:
		page = xt_raw_system(0);
		break;
	case XMIRROR_RAW_PRIVATE_LARGE:
		flags = MIGRATE_PFN_COMPOUND;
		page = xt_raw_pool_alloc(XT_RAW_HUGE_ORDER);
		break;
	case XMIRROR_RAW_SYSTEM_LARGE:
		flags = MIGRATE_PFN_COMPOUND;
		page = xt_raw_system(XT_RAW_HUGE_ORDER);
		break;
	}
	return page ? migrate_pfn(page_to_pfn(page)) | flags : 0;
}

static void xt_raw_drop_dst(unsigned long *dst)
{
	struct page *page = migrate_pfn_to_page(*dst);

	*dst = 0;
	if (!page)
		return;
	unlock_page(page);
	put_page(page);
}

/*
 * May an entry of a source that is @large as a whole have destination @dst? What a kernel
 * is known to crash at needs XMIRROR_RAW_UNSAFE.
 */
static bool xt_raw_may_go(const struct xmirror_raw_migrate *r,
			  struct page *from, unsigned long src, bool large,
			  u32 dst)
{
	if (dst == XMIRROR_RAW_STAY || r->flags & XMIRROR_RAW_UNSAFE)
		return true;
	/* A small page to a large folio: finding 27. */
	if (dst >= XMIRROR_RAW_PRIVATE_LARGE && !(src & MIGRATE_PFN_COMPOUND))
		return false;
	if (!from)
		return true;
	/* One that is still written to swap: finding 32. It is locked, so that this stays. */
	if ((dst == XMIRROR_RAW_SYSTEM || dst == XMIRROR_RAW_SYSTEM_LARGE) &&
	    folio_test_writeback(page_folio(from)))
		return false;
	if (folio_test_anon(page_folio(from)))
		return true;
	/* Its old page would be freed with a mapping: finding 28. */
	if (dst == XMIRROR_RAW_SYSTEM || dst == XMIRROR_RAW_SYSTEM_LARGE)
		return false;
	/* folio_split_unmapped() (mm/huge_memory.c of v7.3) is for anonymous ones. */
	return !large || dst == XMIRROR_RAW_PRIVATE_LARGE;
}

/* One piece: a page, or what one entry of 2 MiB has. */
static void xt_raw_prepare_one(const struct xmirror_raw_migrate *r,
			       const struct xmirror_raw_move *moves,
			       const unsigned long *src, unsigned long *dst,
			       unsigned long nr)
{
	bool large = *src & MIGRATE_PFN_COMPOUND;
	struct page *from = migrate_pfn_to_page(*src);
	unsigned long i, got = 0;

	if (from && !xt_raw_can_copy(from))
		return;
	if (!xt_raw_may_go(r, from, src[0], large, moves[0].dst))
		return;
	dst[0] = xt_raw_alloc(moves[0].dst);
	if (dst[0] & MIGRATE_PFN_COMPOUND) {
		if (!xt_raw_copy(migrate_pfn_to_page(dst[0]), from, nr))
			xt_raw_drop_dst(dst);
		return;
	}
	for (i = 0; i < nr; i++) {
		if (i && xt_raw_may_go(r, from, src[i], large, moves[i].dst))
			dst[i] = xt_raw_alloc(moves[i].dst);
		if (!dst[i])
			continue;
		got++;
		if (!xt_raw_copy(migrate_pfn_to_page(dst[i]),
				 from ? from + i : NULL, 1))
			xt_raw_drop_dst(&dst[i]);
	}
	/* See __migrate_device_pages() in mm/migrate_device.c of v7.3. */
	if (!from && got < nr && !(r->flags & XMIRROR_RAW_UNSAFE))
		for (i = 0; i < nr; i++)
			xt_raw_drop_dst(&dst[i]);
}

/* Give what can move the destination that the test wants. */
static void xt_raw_prepare(const struct xmirror_raw_migrate *r,
			   const struct xmirror_raw_move *moves,
			   const unsigned long *src, unsigned long *dst,
			   unsigned long npages)
{
	unsigned long i, nr;

	for (i = 0; i < npages; i += nr) {
		nr = src[i] & MIGRATE_PFN_COMPOUND ?
		     min(XT_RAW_HUGE, npages - i) : 1;
		if (src[i] & MIGRATE_PFN_MIGRATE)
			xt_raw_prepare_one(r, moves + i, src + i, dst + i, nr);
	}
}

static u32 xt_raw_mpfn(unsigned long mpfn)
{
	return (mpfn & MIGRATE_PFN_VALID ? XMIRROR_RAW_VALID : 0) |
	       (mpfn & MIGRATE_PFN_MIGRATE ? XMIRROR_RAW_MIGRATE : 0) |
	       (mpfn & MIGRATE_PFN_WRITE ? XMIRROR_RAW_WRITE : 0) |
	       (mpfn & MIGRATE_PFN_COMPOUND ? XMIRROR_RAW_COMPOUND : 0);
}

static u64 xt_raw_pfn(unsigned long mpfn)
{
	return mpfn & MIGRATE_PFN_VALID ? mpfn >> MIGRATE_PFN_SHIFT : 0;
}

static void xt_raw_report_setup(struct xmirror_raw_move *moves,
				const unsigned long *src, unsigned long nr)
{
	unsigned long i;

	for (i = 0; i < nr; i++) {
		moves[i].setup = xt_raw_mpfn(src[i]);
		moves[i].src_pfn = xt_raw_pfn(src[i]);
	}
}

static void xt_raw_report_pages(struct xmirror_raw_move *moves,
				const unsigned long *src,
				const unsigned long *dst, unsigned long nr)
{
	unsigned long i;

	for (i = 0; i < nr; i++) {
		moves[i].pages = xt_raw_mpfn(src[i]);
		moves[i].dst_pfn = xt_raw_pfn(dst[i]);
	}
}

static unsigned long xt_raw_select(u32 flags)
{
	return (flags & XMIRROR_RAW_SELECT_SYSTEM ?
		MIGRATE_VMA_SELECT_SYSTEM : 0) |
	       (flags & XMIRROR_RAW_SELECT_PRIVATE ?
		MIGRATE_VMA_SELECT_DEVICE_PRIVATE : 0) |
	       (flags & XMIRROR_RAW_SELECT_COHERENT ?
		MIGRATE_VMA_SELECT_DEVICE_COHERENT : 0) |
	       (flags & XMIRROR_RAW_SELECT_COMPOUND ?
		MIGRATE_VMA_SELECT_COMPOUND : 0);
}

/* Needs mmap_lock for reading. */
static void xt_raw_migrate_vma(struct xt_file *f,
			       struct xmirror_raw_migrate *r,
			       struct xmirror_raw_move *moves,
			       struct migrate_vma *args)
{
	u64 start = ktime_get_ns();

	r->result = migrate_vma_setup(args);
	if (r->result)
		return;
	r->cpages = args->cpages;
	r->npages = args->npages;
	xt_raw_report_setup(moves, args->src, args->npages);
	xt_raw_point(f, XM_PT_RAW_UNMAPPED, args->start, args->end);
	if (!(r->flags & XMIRROR_RAW_ABORT)) {
		xt_raw_prepare(r, moves, args->src, args->dst, args->npages);
		migrate_vma_pages(args);
		xt_raw_report_pages(moves, args->src, args->dst, args->npages);
		xt_raw_point(f, XM_PT_RAW_MOVED, args->start, args->end);
	}
	migrate_vma_finalize(args);
	r->ns = ktime_get_ns() - start;
}

static int xt_raw_by_address(struct xt_file *f, struct xmirror_raw_migrate *r,
			     struct xmirror_raw_move *moves,
			     unsigned long *src, unsigned long *dst)
{
	struct migrate_vma args = {
		.start = r->addr,
		.end = r->addr + r->length,
		.src = r->flags & XMIRROR_RAW_NO_SRC ? NULL : src,
		.dst = r->flags & XMIRROR_RAW_NO_DST ? NULL : dst,
		.pgmap_owner = xt_raw_owner(f, r->owner),
		.flags = xt_raw_select(r->flags),
	};

	if (IS_ERR(args.pgmap_owner))
		return -EINVAL;
	if (r->flags & XMIRROR_RAW_FAULT_SYSTEM)
		args.fault_page = ZERO_PAGE(0);
	if (r->flags & XMIRROR_RAW_FAULT_UNLOCKED)
		args.fault_page = xt_raw_pool_any();
	if (mmap_read_lock_killable(current->mm))
		return -EINTR;
	if (!(r->flags & XMIRROR_RAW_NO_VMA))
		args.vma = vma_lookup(current->mm, r->addr);
	xt_raw_migrate_vma(f, r, moves, &args);
	mmap_read_unlock(current->mm);
	return 0;
}

static int xt_raw_collect(const struct xmirror_raw_migrate *r,
			  unsigned long *src, unsigned long nr)
{
	unsigned long i;

	if (r->flags & XMIRROR_RAW_RANGE)
		return migrate_device_range(src, r->addr, nr);
	for (i = 0; i < nr; i++)
		src[i] = r->addr + i;
#if XM_HAVE_MIGRATE_DEVICE_PFNS
	return migrate_device_pfns(src, nr);
#else
	return -EOPNOTSUPP;
#endif
}

static int xt_raw_by_page(struct xt_file *f, struct xmirror_raw_migrate *r,
			  struct xmirror_raw_move *moves, unsigned long *src,
			  unsigned long *dst)
{
	unsigned long nr = r->length >> PAGE_SHIFT;

	if (!xt_raw_pool_has(r->addr, nr))
		return -EINVAL;
	r->result = xt_raw_collect(r, src, nr);
	if (r->result)
		return r->result == -EOPNOTSUPP ? r->result : 0;
	r->npages = nr;
	xt_raw_report_setup(moves, src, nr);
	xt_raw_point(f, XM_PT_RAW_UNMAPPED, 0, ULONG_MAX);
	if (!(r->flags & XMIRROR_RAW_ABORT)) {
		xt_raw_prepare(r, moves, src, dst, nr);
		migrate_device_pages(src, dst, nr);
		xt_raw_report_pages(moves, src, dst, nr);
		xt_raw_point(f, XM_PT_RAW_MOVED, 0, ULONG_MAX);
	}
	migrate_device_finalize(src, dst, nr);
	return 0;
}

static int xt_raw_check_moves(const struct xmirror_raw_move *moves,
			      unsigned long nr)
{
	unsigned long i;

	for (i = 0; i < nr; i++) {
		if (moves[i].dst > XMIRROR_RAW_SYSTEM_LARGE ||
		    moves[i].__reserved)
			return -EINVAL;
		if (moves[i].dst >= XMIRROR_RAW_PRIVATE_LARGE &&
		    (!MIGRATE_PFN_COMPOUND || nr - i < XT_RAW_HUGE))
			return -EINVAL;
	}
	return 0;
}

/* XMIRROR_IOC_RAW_MIGRATE */
int xt_raw_migrate(struct xt_file *f, struct xmirror_raw_migrate *r)
{
	struct xmirror_raw_move __user *user = u64_to_user_ptr(r->moves);
	unsigned long nr = r->length >> PAGE_SHIFT, *src;
	unsigned long room = nr + 1 + XT_RAW_HUGE;
	struct xmirror_raw_move *moves;
	int ret;

	r->result = 0;
	r->cpages = 0;
	r->npages = 0;
	r->ns = 0;
	if (!xt_raw_args_valid(r))
		return -EINVAL;
	ret = xt_raw_pool_get();
	if (ret)
		return ret;
	/*
	 * The kernel may write more than told: a page should the range not be aligned, and
	 * in some of Linux 6.19 to 7.x all of a large folio (migrate_device_range()).
	 */
	src = kvcalloc(room, 2 * sizeof(*src), GFP_KERNEL);
	moves = kvcalloc(room, sizeof(*moves), GFP_KERNEL);
	ret = -ENOMEM;
	if (!src || !moves)
		goto out;
	ret = -EFAULT;
	if (copy_from_user(moves, user, nr * sizeof(*moves)))
		goto out;
	ret = xt_raw_check_moves(moves, nr);
	if (ret)
		goto out;
	if (r->flags & XT_RAW_BY_PAGE)
		ret = xt_raw_by_page(f, r, moves, src, src + room);
	else
		ret = xt_raw_by_address(f, r, moves, src, src + room);
	if (!ret && copy_to_user(user, moves, nr * sizeof(*moves)))
		ret = -EFAULT;
out:
	kvfree(moves);
	kvfree(src);
	return ret;
}

/* Large pages that get no large page go to small ones, where the core can split. */
static void xt_raw_to_system(const unsigned long *src, unsigned long *dst,
			     unsigned long npages, bool can_split)
{
	static const struct xmirror_raw_migrate plain;
	struct xmirror_raw_move *moves;
	unsigned long i, j, nr;

	moves = kvcalloc(npages, sizeof(*moves), GFP_KERNEL);
	if (!moves)
		return;
	for (i = 0; i < npages; i += nr) {
		nr = src[i] & MIGRATE_PFN_COMPOUND ?
		     min(XT_RAW_HUGE, npages - i) : 1;
		if (!(src[i] & MIGRATE_PFN_VALID) ||
		    !(src[i] & MIGRATE_PFN_MIGRATE))
			continue;
		for (j = 0; j < nr; j++)
			moves[i + j].dst = XMIRROR_RAW_SYSTEM;
		if (nr > 1)
			moves[i].dst = XMIRROR_RAW_SYSTEM_LARGE;
		xt_raw_prepare_one(&plain, moves + i, src + i, dst + i, nr);
		/* The small pages were wanted behind the first only. */
		if (nr > 1 && !(dst[i] & MIGRATE_PFN_COMPOUND)) {
			for (j = 0; j < nr; j++)
				xt_raw_drop_dst(&dst[i + j]);
			moves[i].dst = can_split ? XMIRROR_RAW_SYSTEM :
						   XMIRROR_RAW_STAY;
			if (can_split)
				xt_raw_prepare_one(&plain, moves + i, src + i,
						   dst + i, nr);
		}
	}
	kvfree(moves);
}

/* ->migrate_to_ram(): nothing but the page, or the large folio, that was touched. */
vm_fault_t xt_raw_to_ram(struct vm_fault *vmf)
{
	unsigned long nr = !vmf->pte && MIGRATE_PFN_COMPOUND ? XT_RAW_HUGE : 1;
	struct migrate_vma args = {
		.vma = vmf->vma,
		.start = ALIGN_DOWN(vmf->address, nr * PAGE_SIZE),
		.pgmap_owner = xt_raw_pool_owner(),
		.flags = MIGRATE_VMA_SELECT_DEVICE_PRIVATE |
			 (nr > 1 ? MIGRATE_VMA_SELECT_COMPOUND : 0),
		.fault_page = vmf->page,
	};
	vm_fault_t ret = 0;

	args.end = args.start + nr * PAGE_SIZE;
	args.src = kvcalloc(nr, 2 * sizeof(*args.src), GFP_KERNEL);
	if (!args.src)
		return VM_FAULT_OOM;
	args.dst = args.src + nr;
	if (migrate_vma_setup(&args)) {
		ret = VM_FAULT_SIGBUS;
		goto out;
	}
	xt_raw_to_system(args.src, args.dst, args.npages, true);
	/* It may stay because somebody holds it, but not for want of memory. */
	if (args.src[0] & MIGRATE_PFN_MIGRATE && !args.dst[0])
		ret = VM_FAULT_OOM;
	migrate_vma_pages(&args);
	migrate_vma_finalize(&args);
out:
	kvfree(args.src);
	return ret;
}

/* Bring pages of the pool back to the system, whoever maps them. */
void xt_raw_evict(unsigned long pfn, unsigned long nr)
{
	unsigned long *src = kvcalloc(nr, 2 * sizeof(*src), GFP_KERNEL);

	if (!src)
		return;
	migrate_device_range(src, pfn, nr);
	xt_raw_to_system(src, src + nr, nr, false);
	migrate_device_pages(src, src + nr, nr);
	migrate_device_finalize(src, src + nr, nr);
	kvfree(src);
}

#endif
