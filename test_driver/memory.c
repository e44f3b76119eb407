// SPDX-License-Identifier: GPL-2.0
/*
 * The device's own memory. A page of private memory that is in use has a page of
 * system memory behind it, which plays the device's: the CPUs of the mirrored
 * process cannot reach it. Coherent memory is a reserved physical range, and its
 * pages hold their own data.
 */

#include <linux/bitmap.h>
#include <linux/gfp.h>
#include <linux/highmem.h>
#include <linux/huge_mm.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include "compat.h"
#include "test_driver.h"

#define XT_WHOLE_ORDER	(PMD_SHIFT - PAGE_SHIFT)
#define XT_WHOLE_PAGES	BIT(XT_WHOLE_ORDER)

/*
 * Migration is best effort, and no reason for an OOM kill. The core charges the
 * device page to the cgroup (mem_cgroup_migrate()), so the page behind it is
 * accounted already.
 */
#define XT_BACKING_GFP	(GFP_HIGHUSER | __GFP_NOWARN | __GFP_RETRY_MAYFAIL)

/* A block that becomes one folio is one allocation until the folio is split. */
static bool xt_memory_alloc_whole(struct xt_memory *mem, unsigned long index)
{
	struct page *page;
	unsigned int i;

	page = alloc_pages_node(mem->node, XT_BACKING_GFP, XT_WHOLE_ORDER);
	if (!page)
		return false;
	for (i = 0; i < XT_WHOLE_PAGES; i++)
		mem->backing[index + i] = page + i;
	set_bit(index / XT_WHOLE_PAGES, mem->whole);
	return true;
}

static unsigned int xt_memory_alloc(void *priv, unsigned long index,
				    unsigned int nr, bool contiguous)
{
	struct xt_memory *mem = priv;
	unsigned int n = 0, before;

	if (!mem->backing)
		return nr;
	if (contiguous)
		return xt_memory_alloc_whole(mem, index) ? nr : 0;
	/* It may return fewer pages than are free. */
	do {
		before = n;
		n = alloc_pages_bulk_node(XT_BACKING_GFP, mem->node, nr,
					  &mem->backing[index]);
	} while (n < nr && n > before);
	return n;
}

static void xt_memory_free(void *priv, unsigned long index, unsigned int nr)
{
	struct xt_memory *mem = priv;
	unsigned long i;
	bool whole;

	if (!mem->backing)
		return;
	whole = test_and_clear_bit(index / XT_WHOLE_PAGES, mem->whole);
	if (whole)
		__free_pages(mem->backing[index], XT_WHOLE_ORDER);
	for (i = index; i < index + nr; i++) {
		if (!whole && mem->backing[i])
			__free_page(mem->backing[i]);
		mem->backing[i] = NULL;
	}
}

static void xt_memory_split(void *priv, unsigned long index)
{
	struct xt_memory *mem = priv;

	if (mem->backing &&
	    test_and_clear_bit(index / XT_WHOLE_PAGES, mem->whole))
		split_page(mem->backing[index], XT_WHOLE_ORDER);
}

/* The page with the data. The data of a folio is contiguous, wherever it is. */
static struct page *xt_memory_data(struct page *page)
{
	struct xmirror_devmem *dm = xmirror_devmem_of(page);
	struct xt_memory *mem = dm ? xmirror_devmem_priv(dm) : NULL;

	return mem && mem->backing ?
	       mem->backing[page_to_pfn(page) - mem->first_pfn] : page;
}

/* Does a test say so of a page in the memory that @page is in? */
static bool xt_memory_error(struct page *page)
{
	struct xmirror_devmem *dm = xmirror_devmem_of(page);

	return dm && xt_inject_device(dm, XMIRROR_INJECT_POISON);
}

/**
 * xt_memory_copy_pages() - copy pages, and survive a memory error in one
 * @to: where
 * @from: what
 * @nr: how many, contiguous in both
 *
 * copy_mc_highpage(), where it can do that. On an x86 without ERMS, as QEMU's, it calls
 * memcpy(), which can not, and is slower than copy_highpage() (copy_mc_to_kernel() in
 * arch/x86/lib/copy_mc.c). "mce=recovery" on such a one is not taken into account.
 *
 * Return: 0, or -EHWPOISON, with some of them copied.
 */
int xt_memory_copy_pages(struct page *to, struct page *from, unsigned int nr)
{
	unsigned int i;

#ifdef CONFIG_X86
	if (!boot_cpu_has(X86_FEATURE_ERMS)) {
		for (i = 0; i < nr; i++)
			copy_highpage(to + i, from + i);
		return 0;
	}
#endif
	for (i = 0; i < nr; i++)
		if (copy_mc_highpage(to + i, from + i))
			return -EHWPOISON;
	return 0;
}

/*
 * A page with a memory error is copied in part, and the core leaves it where it is.
 * If it is system memory, copy_mc_highpage() has had the kernel deal with it; memory
 * of a device has no other user.
 */
static int xt_memory_copy(struct page *dst, struct page *src, unsigned int nr)
{
	struct page *to = xt_memory_data(dst);
	unsigned int i;
	int ret;

	if (!src) {
		for (i = 0; i < nr; i++)
			clear_highpage(to + i);
		return 0;
	}
	ret = xt_memory_copy_pages(to, xt_memory_data(src), nr);
	for (i = 0; i < nr && !ret && xt_points_are_on(); i++)
		if (xt_memory_error(src) || xt_memory_error(dst))
			ret = -EHWPOISON;
	return ret;
}

const struct xmirror_devmem_ops xt_memory_ops = {
	.alloc = xt_memory_alloc,
	.free = xt_memory_free,
	.split = xt_memory_split,
	.copy = xt_memory_copy,
};

static void xt_memory_free_all(struct xt_memory *mem)
{
	bitmap_free(mem->whole);
	kvfree(mem->backing);
	kfree(mem);
}

/**
 * xt_memory_create() - make the memory of a device
 * @size: bytes
 * @addr: as for xmirror_devmem_create()
 * @node: NUMA node, or NUMA_NO_NODE
 *
 * Return: the memory, or an ERR_PTR() of xmirror_devmem_create().
 */
struct xt_memory *xt_memory_create(u64 size, u64 addr, int node)
{
	unsigned long nr = size >> PAGE_SHIFT;
	struct xt_memory *mem;

	mem = kzalloc_obj(*mem, GFP_KERNEL);
	if (!mem)
		return ERR_PTR(-ENOMEM);
	mem->node = node;
	if (!addr) {
		mem->backing = kvcalloc(nr, sizeof(*mem->backing), GFP_KERNEL);
		mem->whole = bitmap_zalloc(DIV_ROUND_UP(nr, XT_WHOLE_PAGES),
					   GFP_KERNEL);
	}
	if (!addr && (!mem->backing || !mem->whole))
		mem->dm = ERR_PTR(-ENOMEM);
	else
		mem->dm = xmirror_devmem_create(size, addr, node,
						&xt_memory_ops, mem);
	if (IS_ERR(mem->dm)) {
		struct xmirror_devmem *err = mem->dm;

		xt_memory_free_all(mem);
		return ERR_CAST(err);
	}
	mem->first_pfn = xmirror_devmem_first_pfn(mem->dm);
	return mem;
}

/* No mirror has it. */
void xt_memory_destroy(struct xt_memory *mem)
{
	if (!mem)
		return;
	xmirror_devmem_destroy(mem->dm);
	xt_memory_free_all(mem);
}
