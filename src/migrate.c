// SPDX-License-Identifier: GPL-2.0
/**
 * DOC: Migration
 *
 * To device memory, back, from one device to another, and eviction are the same three
 * steps of the core with a copy between: migrate_vma_setup() locks and unmaps the
 * source pages, the driver allocates and copies, migrate_vma_pages() moves the state,
 * migrate_vma_finalize() maps the new page or, where one was refused, the old one. What
 * differs is how the source is found (by address, or by device page for an eviction,
 * migrate_device_range()) and where the destination comes from.
 *
 * The device's page table is not touched here. The core notifies of what it unmaps, also
 * when this driver asks for it (MIGRATE by migrate_vma_setup(), CLEAR by
 * try_to_migrate()), and the notifiers clear the entries; the device's next access
 * faults and finds its own page again.
 *
 * Exclusive entries are restored first: the core does not collect them.
 *
 * A page that comes back from the device is dirty: the device may have written
 * to it, and neither private entries nor the private page tell.
 */

#include <linux/highmem.h>
#include <linux/hugetlb.h>
#include <linux/memcontrol.h>
#include <linux/ksm.h>
#include <linux/migrate.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include "compat.h"
#include "devmem.h"
#include "exclusive.h"
#include "mirror.h"
#include "points.h"
#include "trace.h"

static unsigned int xm_prefetch = 16;
module_param_named(prefetch, xm_prefetch, uint, 0644);
MODULE_PARM_DESC(prefetch, "most pages that a CPU fault on device memory brings back at once");

/**
 * struct xm_target - where pages go
 * @dm: to this pool, or to system memory if it is NULL
 * @from: from this pool, or from system memory if it is NULL: only then empty
 *	entries are filled
 * @also: with system memory, from this pool as well, unless it is NULL
 * @m: for this mirror; a CPU fault and an eviction know none
 * @vma: system memory is allocated for it, unless it is NULL
 * @node: or on this node, unless it is %NUMA_NO_NODE
 */
struct xm_target {
	struct xmirror_devmem *dm;
	struct xmirror_devmem *from;
	struct xmirror_devmem *also;
	struct xmirror *m;
	struct vm_area_struct *vma;
	int node;
};

/* The pool that copies, from or to its own memory */
static struct xmirror_devmem *xm_target_pool(const struct xm_target *t)
{
	return t->dm ?: t->from;
}

/* Is this step of a mirror's own migration to fail? */
static bool xm_step_fails(const struct xm_target *t, enum xm_point point,
			  unsigned long addr, unsigned int nr)
{
	return t->m && xm_point(t->m, point, addr, addr + nr * PAGE_SIZE);
}

/*
 * How hard to try for system memory. A CPU fault on a small page needs it; all
 * other callers have a fallback, if only that the page stays, and must not cause an
 * OOM kill. A large folio is worth the compaction.
 */
static gfp_t xm_system_gfp(const struct xm_target *t, unsigned int order)
{
	if (!order && t->vma && !t->m)
		return GFP_HIGHUSER_MOVABLE;
	return GFP_HIGHUSER_MOVABLE | __GFP_NOWARN | __GFP_RETRY_MAYFAIL;
}

/* How many of these want a small page each */
static unsigned int xm_nr_small(const unsigned long *src, unsigned long nr)
{
	unsigned long flags = MIGRATE_PFN_MIGRATE | MIGRATE_PFN_COMPOUND, i;
	unsigned int count = 0;

	for (i = 0; i < nr; i++)
		count += (src[i] & flags) == MIGRATE_PFN_MIGRATE;
	return count;
}

/*
 * Allocate small pages in advance for the empty *@reserve: up to @nr of them, or
 * with @src as many as its @nr entries need. Under a memory policy pages are
 * allocated one at a time.
 */
static void xm_target_reserve(const struct xm_target *t,
			      struct xm_reserve *reserve,
			      const unsigned long *src, unsigned long nr)
{
	gfp_t gfp;

	if (!t->dm) {
		if (t->node == NUMA_NO_NODE && xm_has_policy(t->vma))
			return;
		nr = min(nr, XM_RESERVE_PAGES);
	}
	if (src)
		nr = xm_nr_small(src, nr);
	if (t->dm) {
		xm_dev_reserve(t->dm, reserve, nr);
		return;
	}
	if (nr < 2)
		return;
	/* The bulk allocator does not look: in GUP for good it is no ZONE_MOVABLE. */
	gfp = current_gfp_context(xm_system_gfp(t, 0));
	memset(reserve->page, 0, nr * sizeof(*reserve->page));
	reserve->index = 0;
	reserve->nr = alloc_pages_bulk_node(gfp, t->node, nr, reserve->page);
}

static void xm_target_unreserve(const struct xm_target *t,
				struct xm_reserve *reserve)
{
	if (t->dm)
		xm_dev_unreserve(t->dm, reserve);
	for (; reserve->nr; reserve->nr--)
		__free_page(reserve->page[reserve->index++]);
}

/* A small page comes out of @reserve if it has one. */
static struct page *xm_target_alloc(const struct xm_target *t,
				    struct xm_reserve *reserve,
				    unsigned int order, unsigned long addr)
{
	gfp_t gfp = xm_system_gfp(t, order);
	struct folio *folio;
	struct page *page;

	if (t->dm) {
		if (xm_step_fails(t, XM_PT_DEVMEM_ALLOC, addr, 1 << order))
			return NULL;
		return order ? xm_dev_alloc_large(t->dm, t->m->id) :
			       xm_dev_alloc(t->dm, reserve, t->m->id);
	}
	if (!order && reserve->nr) {
		reserve->nr--;
		page = reserve->page[reserve->index++];
		lock_page(page);
		return page;
	}
	if (t->node != NUMA_NO_NODE)
		folio = __folio_alloc_node(gfp, order, t->node);
	else
		folio = t->vma ? xm_vma_alloc_folio(gfp, order, t->vma, addr) :
				 folio_alloc(gfp, order);
	if (!folio)
		return NULL;
	folio_lock(folio);
	return &folio->page;
}

/**
 * struct xm_migration - what a migration allocates and copies
 * @t: where the pages go
 * @src: from the core
 * @dst: for the core
 * @nr: how many entries both have
 * @addr: address of the first
 * @no_large: a large source stays for want of a large destination
 * @reserve: small pages that were taken in advance
 * @fault_page: what the CPU touched, NULL if this is for no CPU fault
 * @fault_error: what the copy of it failed with
 */
struct xm_migration {
	const struct xm_target *t;
	unsigned long *src;
	unsigned long *dst;
	unsigned long nr;
	unsigned long addr;
	bool no_large;
	struct xm_reserve reserve;
	struct page *fault_page;
	int fault_error;
};

/*
 * Copy to a new destination, or clear it if there is no source. False if that
 * fails. The driver copies.
 */
static bool xm_copy(struct xm_migration *mig, struct page *dst,
		    struct page *src, unsigned long addr, unsigned int nr)
{
	const struct xm_target *t = mig->t;
	struct xmirror_devmem *dm = xm_target_pool(t);
	int ret;

	if (xm_step_fails(t, XM_PT_MIGRATE_COPY, addr, nr))
		return false;
	ret = dm->ops->copy(dst, src, nr);
	if (ret) {
		atomic_long_inc(&dm->copy_errors);
		if (src && src == mig->fault_page)
			mig->fault_error = ret;
		return false;
	}
	return !xm_step_fails(t, XM_PT_MIGRATE_PAGE, addr, nr);
}

/* Drop a destination that is not needed. */
static void xm_migrate_drop_dst(unsigned long *dst)
{
	struct page *page = migrate_pfn_to_page(*dst);

	unlock_page(page);
	put_page(page);
	*dst = 0;
}

/*
 * Eviction finds pages by their number, and so may find one that another migration
 * has moved already and is about to put: it is not mapped, and not charged.
 * migrate_device_range() takes it for a page that can move, and the core would warn
 * of it in mem_cgroup_migrate().
 */
static bool xm_already_migrated(const struct xm_target *t, struct folio *folio)
{
	return !t->vma && folio_is_zone_device(folio) && !mem_cgroup_disabled() &&
	       !folio_memcg_charged(folio);
}

/*
 * Can the core move it to a device? It refuses pages of files only after they have
 * been copied, and those of memfd_secret() cannot even be. It takes those of KSM,
 * which then reads private memory (memcmp_pages() in mm/ksm.c), and which forgets
 * who maps a page that is not present.
 */
static bool xm_can_migrate_to_dev(struct folio *folio)
{
	return folio_test_anon(folio) && !folio_test_ksm(folio);
}

static bool xm_may_move(const struct xm_target *t, struct folio *folio)
{
	return (!t->dm || xm_can_migrate_to_dev(folio)) && xm_can_migrate(folio) &&
	       !xm_already_migrated(t, folio);
}

/* To one large folio: false if the allocation fails. */
static bool xm_migrate_large(struct xm_migration *mig, unsigned long i,
			     struct page *from)
{
	unsigned long addr = mig->addr + i * PAGE_SIZE;
	const struct xm_target *t = mig->t;
	struct page *to;

	if (t->vma && xm_point_fail_large(xm_target_pool(t)))
		return false;
	to = xm_target_alloc(t, NULL, XM_BLOCK_ORDER, addr);
	if (!to)
		return false;
	mig->dst[i] = migrate_pfn(page_to_pfn(to)) | MIGRATE_PFN_COMPOUND;
	if (!xm_copy(mig, to, from, addr, XM_BLOCK_PAGES))
		xm_migrate_drop_dst(&mig->dst[i]);
	return true;
}

/* To a small page, which is one of @rest in a row. False if that did not work. */
static bool xm_migrate_page(struct xm_migration *mig, unsigned long i,
			    struct page *from, unsigned long rest)
{
	unsigned long addr = mig->addr + i * PAGE_SIZE;
	const struct xm_target *t = mig->t;
	struct page *to;

	if (!mig->reserve.nr)
		xm_target_reserve(t, &mig->reserve, rest ? NULL : mig->src + i,
				  rest ?: mig->nr - i);
	to = xm_target_alloc(t, &mig->reserve, 0, addr);
	if (!to)
		return false;
	mig->dst[i] = migrate_pfn(page_to_pfn(to));
	if (xm_copy(mig, to, from, addr, 1))
		return true;
	xm_migrate_drop_dst(&mig->dst[i]);
	return false;
}

/* To @n small pages, or as many as there are. */
static void xm_migrate_small(struct xm_migration *mig, unsigned long i,
			     struct page *from, unsigned long n)
{
	unsigned long j, nr = min(n, mig->nr - i);

	for (j = 0; j < nr; j++)
		if (!xm_migrate_page(mig, i + j,
				     from ? pfn_to_page(page_to_pfn(from) + j) :
					    NULL, n > 1 ? nr - j : 0))
			break;
}

/*
 * Allocate and copy for every page that can move. A page without a destination stays
 * where it is, and so does a large source whose large destination cannot be had: a
 * source that the core has unmapped as one had better not go to small pages
 * (Documentation/findings.md, 47 and 49). A CPU fault has no other way, since its own
 * reference keeps the core from splitting the source before.
 */
static void xm_migrate_copy(struct xm_migration *mig)
{
	const struct xm_target *t = mig->t;
	struct page *from;
	unsigned long i, n;

	/* Keep this cheap: often it is for one page. */
	mig->reserve.nr = 0;
	for (i = 0; i < mig->nr; i += n) {
		n = mig->src[i] & MIGRATE_PFN_COMPOUND ? XM_BLOCK_PAGES : 1;
		if (!(mig->src[i] & MIGRATE_PFN_MIGRATE))
			continue;
		/*
		 * An empty entry and the zero page have no source. The core offers
		 * empty ones whatever was selected.
		 */
		from = migrate_pfn_to_page(mig->src[i]);
		if (from ? !xm_may_move(t, page_folio(from)) : !!t->from)
			continue;
		if (n > 1) {
			if (xm_migrate_large(mig, i, from))
				continue;
			mig->no_large = true;
			if (!mig->fault_page)
				continue;
		}
		xm_migrate_small(mig, i, from, n);
	}
	xm_target_unreserve(t, &mig->reserve);
}

/* After the core's second step: count what moved, and dirty what came back. */
static unsigned long xm_migrate_mark_dirty(const unsigned long *src,
					   const unsigned long *dst,
					   unsigned long nr)
{
	unsigned long i, n, moved = 0;
	struct page *to;

	for (i = 0; i < nr; i += n) {
		n = dst[i] & MIGRATE_PFN_COMPOUND ? XM_BLOCK_PAGES : 1;
		to = migrate_pfn_to_page(dst[i]);
		if (!to || !(src[i] & MIGRATE_PFN_MIGRATE))
			continue;
		moved += n;
		if (!is_zone_device_page(to))
			folio_mark_dirty(page_folio(to));
	}
	return moved;
}

/* A place that a mirror's own migration passes, or that of a CPU fault. */
static void xm_migrate_point(const struct xm_target *t,
			     const struct migrate_vma *args,
			     enum xm_point own, enum xm_point fault)
{
	if (t->m)
		xm_point(t->m, own, args->start, args->end);
	else
		xm_point_device(args->pgmap_owner, args->vma->vm_mm, fault,
				args->start, args->end);
}

/*
 * Needs mmap_lock. Returns pages moved or a negative errno. @mig is for the caller to look
 * at @nr, @no_large and @fault_error.
 */
static long xm_migrate_vma(struct migrate_vma *args, const struct xm_target *t,
			   struct xm_migration *mig)
{
	unsigned long nr = (args->end - args->start) >> PAGE_SHIFT, moved;
	int ret;

	*mig = (struct xm_migration){
		.t = t,
		.src = args->src,
		.dst = args->dst,
		.addr = args->start,
		.fault_page = args->fault_page,
	};
	ret = migrate_vma_setup(args);
	if (ret)
		return ret;
	/*
	 * More entries than pages are not those of the pages (Documentation/findings.md,
	 * 50): nothing moves.
	 */
	if (args->npages <= nr)
		mig->nr = args->npages;
	xm_migrate_point(t, args, XM_PT_MIGRATE_UNMAPPED,
			 XM_PT_TO_RAM_UNMAPPED);
	xm_migrate_copy(mig);
	xm_migrate_point(t, args, XM_PT_MIGRATE_COPIED,
			 XM_PT_TO_RAM_COPIED);
	migrate_vma_pages(args);
	moved = xm_migrate_mark_dirty(args->src, args->dst, args->npages);
	xm_migrate_point(t, args, XM_PT_MIGRATE_MOVED,
			 XM_PT_TO_RAM_MOVED);
	migrate_vma_finalize(args);
	return moved;
}

/* The core may write twice as many (Documentation/findings.md, 50). */
static unsigned long *xm_alloc_pfns(struct migrate_vma *args, unsigned long nr)
{
	args->src = kvcalloc(nr, 4 * sizeof(*args->src), GFP_KERNEL);
	args->dst = args->src ? args->src + 2 * nr : NULL;
	return args->src;
}

/*
 * How many pages a CPU fault at @addr brings back: one, unless the last fault of
 * this task was next to it, then twice as many as that did. A task that goes
 * through memory has few faults, and one that picks a page here and there does
 * not pay for its neighbours.
 */
static unsigned long xm_prefetch_window(struct xmirror_devmem *dm,
					unsigned long addr)
{
	unsigned long *stream = &dm->stream[current->pid % XM_NR_STREAMS];
	unsigned int most = clamp_t(unsigned int, READ_ONCE(xm_prefetch), 1,
				    XM_BLOCK_PAGES);
	unsigned long last = READ_ONCE(*stream), start = last & PAGE_MASK;
	unsigned int order = last & ~PAGE_MASK;
	unsigned long size = PAGE_SIZE << order;

	/* Two tasks may share an entry, and then disturb each other. */
	if (last && addr + PAGE_SIZE >= start && addr < start + size + PAGE_SIZE)
		order = min_t(unsigned int, order + 1, ilog2(most));
	else
		order = 0;
	size = PAGE_SIZE << order;
	WRITE_ONCE(*stream, ALIGN_DOWN(addr, size) | order);
	return size;
}

/* The range of a CPU fault: a large folio that is mapped as one, or a window. */
static void xm_to_ram_range(struct migrate_vma *args, struct vm_fault *vmf)
{
	struct vm_area_struct *vma = vmf->vma;
	unsigned long size;

	if (!vmf->pte && MIGRATE_PFN_COMPOUND) {
		size = XM_BLOCK_PAGES * PAGE_SIZE;
		args->flags |= MIGRATE_VMA_SELECT_COMPOUND;
	} else {
		size = xm_prefetch_window(args->pgmap_owner, vmf->address);
	}
	args->start = max(ALIGN_DOWN(vmf->address, size), vma->vm_start);
	args->end = min(ALIGN(vmf->address + 1, size), vma->vm_end);
}

/*
 * The result of a CPU fault. A page that somebody else holds may stay: the CPU
 * faults again. One for which there was no memory, or that cannot be read, may not.
 */
static vm_fault_t xm_to_ram_result(const struct migrate_vma *args,
				   const struct xm_migration *mig,
				   unsigned long address, long moved)
{
	unsigned long i = (address - args->start) >> PAGE_SHIFT;
	int error = mig->fault_error;

	if (args->flags & MIGRATE_VMA_SELECT_COMPOUND)
		i = 0;
	if (error == -EHWPOISON)
		return VM_FAULT_HWPOISON;
	if (moved < 0 || error)
		return VM_FAULT_SIGBUS;
	/* Nothing was tried: the entries are not those of the pages. */
	if (!mig->nr)
		return 0;
	return !args->dst[i] && args->src[i] & MIGRATE_PFN_VALID ?
	       VM_FAULT_OOM : 0;
}

/*
 * The CPU touched private memory: bring the page back, and what is in device
 * memory around it. Called with mmap_lock and a reference to the page, which newer
 * kernels have locked, too (do_swap_page() in mm/memory.c).
 */
vm_fault_t xm_migrate_to_ram(struct vm_fault *vmf)
{
	struct xmirror_devmem *dm = xmirror_devmem_of(vmf->page);
	struct vm_area_struct *vma = vmf->vma;
	struct xm_target t = { .from = dm, .vma = vma, .node = NUMA_NO_NODE };
	struct migrate_vma args = {
		.vma = vma,
		.pgmap_owner = dm,
		.flags = MIGRATE_VMA_SELECT_DEVICE_PRIVATE,
		.fault_page = vmf->page,
	};
	struct xm_migration mig;
	vm_fault_t ret;
	long moved;

	/* migrate_vma_*() need mmap_lock, and only a debug kernel checks that. */
	WARN_ON_ONCE(vmf->flags & XM_FAULT_VMA_LOCK);
	if (xm_slice_cpu_wait(vmf, xm_dev_owner(dm, vmf->page)))
		return VM_FAULT_RETRY;
	xm_to_ram_range(&args, vmf);
	if (!xm_alloc_pfns(&args, (args.end - args.start) >> PAGE_SHIFT))
		return VM_FAULT_OOM;

	xm_point_device(dm, vma->vm_mm, XM_PT_TO_RAM_BEGIN, args.start,
			args.end);
	moved = xm_migrate_vma(&args, &t, &mig);
	ret = xm_to_ram_result(&args, &mig, vmf->address, moved);
	trace_xm_to_ram(args.start, args.end, moved);
	xm_point_device(dm, vma->vm_mm, XM_PT_TO_RAM_DONE, args.start,
			args.end);
	kvfree(args.src);
	return ret;
}

/*
 * Move device pages of one block that belong to mirror number @owner, or to anybody
 * if it is 0, to system memory, wherever they are mapped. Returns how many were.
 */
unsigned long xm_evict_pages(struct xmirror_devmem *dm, unsigned long index,
			     unsigned int nr, u64 owner)
{
	struct xm_target t = { .from = dm, .node = NUMA_NO_NODE };
	struct xm_migration mig = { .t = &t, .nr = nr };
	unsigned long moved, i;
	struct migrate_vma args;

	/*
	 * Room for the whole block: it may have become a large folio, and some of Linux
	 * 6.19 to 7.x write all entries of that, however few they are asked for.
	 */
	if (!xm_alloc_pfns(&args, XM_BLOCK_PAGES))
		return 0;
	xm_point_device(dm, NULL, XM_PT_EVICT_BEGIN, 0, ULONG_MAX);
	migrate_device_range(args.src, dm->first_pfn + index, nr);
	/* Now they are locked. Some may have got another owner before. */
	for (i = 0; i < nr; i++)
		if (!xm_dev_belongs(dm, index + i, owner))
			args.src[i] &= ~MIGRATE_PFN_MIGRATE;
	xm_point_device(dm, NULL, XM_PT_EVICT_UNMAPPED, 0, ULONG_MAX);
	mig.src = args.src;
	mig.dst = args.dst;
	xm_migrate_copy(&mig);
	xm_point_device(dm, NULL, XM_PT_EVICT_COPIED, 0, ULONG_MAX);
	migrate_device_pages(args.src, args.dst, nr);
	moved = xm_migrate_mark_dirty(args.src, args.dst, nr);
	migrate_device_finalize(args.src, args.dst, nr);
	trace_xm_evict(dm->first_pfn + index, nr, moved);
	kvfree(args.src);
	return moved;
}

/* Make room for the pages of the range that are not in the device's memory already. */
static void xm_make_room(struct xmirror *m, struct xmirror_devmem *dm,
			 unsigned long start, unsigned long end)
{
	unsigned long i, nr = (end - start) >> PAGE_SHIFT, wanted = nr;
	struct xmirror_view *views;

	if (READ_ONCE(dm->free) >= nr)
		return;
	views = kvmalloc_array(nr, sizeof(*views), GFP_KERNEL);
	if (views && !xm_snapshot(m, start, end, views))
		for (i = 0; i < nr; i++)
			if (views[i].flags & XM_CPU_LOCAL)
				wanted--;
	kvfree(views);
	xm_dev_make_room(dm, wanted);
}

/*
 * Migrate from @addr to *@next, or to the end of the VMA, which *@next becomes then.
 * Returns pages moved or a negative errno.
 */
static long xm_migrate_step(struct xm_target *t, struct migrate_vma *args,
			    unsigned long addr, unsigned long *next)
{
	struct xmirror_devmem *pool = t->from ?: t->also;
	struct xmirror *m = t->m;
	struct vm_area_struct *vma;
	struct xm_migration mig;
	long moved;

	if (mmap_read_lock_killable(m->mm))
		return -EINTR;
	vma = vma_lookup(m->mm, addr);
	moved = -EFAULT;
	if (!vma || !(vma->vm_flags & VM_READ))
		goto out;
	moved = -EOPNOTSUPP;
	/* migrate_vma_setup() would say -EINVAL. */
	if (vma->vm_flags & VM_SPECIAL || is_vm_hugetlb_page(vma) ||
	    vma_is_dax(vma))
		goto out;
	*next = min(*next, vma->vm_end);
	t->vma = vma;
	args->vma = vma;
	args->start = addr;
	args->end = *next;
	args->pgmap_owner = pool ?: m->dm;
	args->flags = 0;
	/* To a pool of small pages the core had better split them at once. */
	if (!t->dm || !t->dm->coherent)
		args->flags |= MIGRATE_VMA_SELECT_COMPOUND;
	if (!t->from)
		args->flags |= MIGRATE_VMA_SELECT_SYSTEM;
	if (pool)
		args->flags |= pool->coherent ?
			       MIGRATE_VMA_SELECT_DEVICE_COHERENT :
			       MIGRATE_VMA_SELECT_DEVICE_PRIVATE;
	moved = xm_migrate_vma(args, t, &mig);
	/*
	 * The range is of one block. Now the core splits before it collects, which is
	 * for nothing if the device is full.
	 */
	if (!moved && mig.no_large && (!t->dm || READ_ONCE(t->dm->free))) {
		args->flags &= ~MIGRATE_VMA_SELECT_COMPOUND;
		moved = xm_migrate_vma(args, t, &mig);
	}
out:
	mmap_read_unlock(m->mm);
	return moved;
}

/*
 * xm_migrate_step() from all other memory. migrate_vma_setup() takes the pages of the
 * system together with those of one owner, &struct dev_pagemap.owner, and each pool is
 * an owner, since hmm_range_fault() takes all pages of an owner for the device's own. So
 * it is one step of the core for each further pool that has any of the pages.
 */
static long xm_migrate_gather(struct xm_target *t, struct migrate_vma *args,
			      unsigned long addr, unsigned long *next)
{
	unsigned long nr = (*next - addr) >> PAGE_SHIFT;
	struct xmirror_devmem *pool;
	struct xmirror_view *views;
	long moved = 0, ret;

	views = kvmalloc_array(nr, sizeof(*views), GFP_KERNEL);
	if (!views)
		return -ENOMEM;
	ret = xm_snapshot(t->m, addr, *next, views) ?: xm_pools_lock();
	if (ret)
		goto out;
	pool = xm_pool_next(NULL, t->dm, views, nr);
	if (t->dm) {
		t->from = NULL;
		t->also = pool;
		moved = xm_migrate_step(t, args, addr, next);
		t->also = NULL;
		if (pool)
			pool = xm_pool_next(pool, t->dm, views, nr);
	}
	while (pool && moved >= 0) {
		t->from = pool;
		ret = xm_migrate_step(t, args, addr, next);
		moved = ret < 0 ? ret : moved + ret;
		pool = xm_pool_next(pool, t->dm, views, nr);
	}
	xm_pools_unlock();
out:
	kvfree(views);
	return ret < 0 ? ret : moved;
}

/* xmirror_migrate(), inside a call; system memory is on @node or on any */
int xm_migrate(struct xmirror *m, const struct xmirror_move *move, int node,
	       struct xmirror_result *res)
{
	struct xm_target t = {
		.dm = move->to,
		.from = move->from,
		.m = m,
		.node = node,
	};
	unsigned long addr = move->start, end = move->end, next, pos;
	struct migrate_vma args = {};
	u64 released;
	long ret = 0;

	if (!xm_alloc_pfns(&args, min((end - addr) >> PAGE_SHIFT,
				      XM_BLOCK_PAGES)))
		return -ENOMEM;
	/* From now on there may be something to evict when the mirror goes. */
	if (t.dm)
		WRITE_ONCE(m->has_devmem, true);
	for (; addr < end; addr = next) {
		next = min(end, ALIGN(addr + 1, XM_BLOCK_PAGES * PAGE_SIZE));
		ret = t.dm ? xm_slice_take(m, addr) : xm_slice_respect(m, addr);
		if (!ret)
			ret = xm_point(m, XM_PT_MIGRATE_BEGIN, addr, next);
		if (ret)
			break;
		pos = addr;
		released = 0;
		if (!move->from && t.dm)
			ret = xm_release_pages(m, &pos, next, &released);
		if (ret)
			break;
		if (t.dm)
			xm_make_room(m, t.dm, addr, next);
		ret = move->gather ? xm_migrate_gather(&t, &args, addr, &next) :
				     xm_migrate_step(&t, &args, addr, &next);
		if (ret < 0)
			break;
		res->count += ret;
		res->done = next - move->start;
		ret = next < end ? xmirror_check_cancel(m) : 0;
		if (ret)
			break;
	}
	trace_xm_migrate(m, move->start, move->start + res->done, res->count,
			 ret);
	kvfree(args.src);
	return ret;
}

/**
 * xmirror_migrate() - move a range between system and device memory
 * @m: the mirror
 * @move: the range, and between which memory
 * @res: out: how far it got; counts the pages that moved
 *
 * Best effort, as migration is: pages that are of shared mappings or files, pinned,
 * swapped out, merged by KSM, or for which @move->to has no room stay where they are.
 * From system memory to a device empty entries move, too, as pages of zeroes. A huge
 * page for which there is no large folio is split, if there is any memory at all. Exclusive
 * pages of this mirror are given back first, because the core does not migrate them.
 * @move->to is made room in by evicting what was used least recently. A block that
 * somebody else has a time slice of is waited for.
 *
 * Context: may sleep, takes mmap_lock.
 * Return: 0; -EFAULT: nothing is mapped there, or PROT_NONE; -EOPNOTSUPP: a
 * mapping whose pages cannot migrate; -EINVAL: @move->from and @move->to are the
 * same, or @move->to is not the mirror's pool, or @move->gather with @move->from; or an
 * error that every call can return.
 */
int xmirror_migrate(struct xmirror *m, const struct xmirror_move *move,
		    struct xmirror_result *res)
{
	int ret;

	res->done = 0;
	res->count = 0;
	if (move->gather ? !!move->from : move->from == move->to)
		return -EINVAL;
	if (move->to && move->to != m->dm)
		return -EINVAL;
	ret = xm_check_range(m, move->start, move->end);
	if (ret)
		return ret;
	ret = xmirror_enter(m);
	if (ret)
		return ret;
	ret = xm_migrate(m, move, NUMA_NO_NODE, res);
	xmirror_leave(m);
	return ret;
}
EXPORT_SYMBOL_GPL(xmirror_migrate);
