// SPDX-License-Identifier: GPL-2.0
/*
 * A driver on xmirror.ko alone: a device whose page table of an interval is one array.
 * At load it reads a word of the loading process, and adds to it by an exclusive entry.
 */

#include <linux/highmem.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <xmirror/xmirror.h>

/* What the device wants to do with the word at @addr */
struct toy_op {
	unsigned long addr;
	bool add, done;
	int result;
};

static unsigned long *toy_pte(struct xmirror_interval *iv, unsigned long addr)
{
	return (unsigned long *)iv->priv + ((addr - iv->start) >> PAGE_SHIFT);
}

static int toy_pt_add(struct xmirror_interval *iv)
{
	iv->priv = kvcalloc((iv->end - iv->start) >> PAGE_SHIFT,
			    sizeof(unsigned long), GFP_KERNEL_ACCOUNT);
	return iv->priv ? 0 : -ENOMEM;
}

static void toy_pt_remove(struct xmirror_interval *iv)
{
	kvfree(iv->priv);
}

static int toy_pt_prepare(struct xmirror_interval *iv, unsigned long addr)
{
	return 0;
}

/* A driver with a DMA API maps the pages here. */
static bool toy_pt_map(struct xmirror_interval *iv, const struct xmirror_map *map)
{
	unsigned long *p = toy_pte(iv, map->start), i;

	for (i = 0; i < (map->end - map->start) >> PAGE_SHIFT; i++)
		if (map->ptes[i])
			p[i] = map->ptes[i] | (p[i] & XM_PTE_BITS);
	return true;
}

/* A driver with a TLB flushes it here, before the core learns what was dirty. */
static unsigned long toy_pt_unmap(struct xmirror_interval *iv,
				  unsigned long start, unsigned long end,
				  struct xmirror_unmap *u)
{
	unsigned long *p = toy_pte(iv, start);

	for (; start < end; start += PAGE_SIZE, p++) {
		if (!*p)
			continue;
		if (!xmirror_unmap_room(u))
			break;
		xmirror_unmap_note(u, start, *p);
		u->cleared++;
		*p = 0;
	}
	return start;
}

static bool toy_pt_lookup(struct xmirror_interval *iv, unsigned long start,
			  unsigned long end, unsigned long *ptes)
{
	size_t size = ((end - start) >> PAGE_SHIFT) * sizeof(*ptes);

	if (!memchr_inv(toy_pte(iv, start), 0, size))
		return false;
	if (ptes)
		memcpy(ptes, toy_pte(iv, start), size);
	return true;
}

/**
 * DOC: Example fault handler
 *
 * An access of the device holds the interval's lock while it uses an entry, and marks
 * the entry used. If the entry does not suffice, the driver faults and tries again: what
 * was mapped may be gone by then. A device with page faults of its own does this in the
 * worker of its fault queue.
 */
static void toy_access(struct xmirror_interval *iv, unsigned long addr, void *arg)
{
	struct toy_op *op = arg;
	unsigned long need = XM_PTE_VALID | (op->add ? XM_PTE_EXCLUSIVE : 0), *p;
	void *word;

	/* No invalidation of the page returns before this is over. */
	write_lock(&iv->lock);
	p = toy_pte(iv, addr);
	op->done = (*p & need) == need;
	if (op->done) {
		*p |= XM_PTE_ACCESSED | (op->add ? XM_PTE_DIRTY : 0);
		word = kmap_local_page(pfn_to_page(xmirror_pte_pfn(*p))) +
		       offset_in_page(op->addr);
		op->result = op->add ? atomic_fetch_add(1, word) :
				       READ_ONCE(*(int *)word);
		kunmap_local(word);
	}
	write_unlock(&iv->lock);
}

static const struct xmirror_ops toy_ops = {
	.add = toy_pt_add,
	.remove = toy_pt_remove,
	.prepare = toy_pt_prepare,
	.map = toy_pt_map,
	.unmap = toy_pt_unmap,
	.lookup = toy_pt_lookup,
	.access = toy_access, /* the page has just become exclusive: its turn */
};

/* The device's fault handler: replay until the access is done. */
static int toy_run(struct xmirror *m, struct toy_op *op)
{
	unsigned long page = op->addr & PAGE_MASK;
	struct xmirror_interval *iv;
	struct xmirror_result res;
	int ret = 0;

	for (op->done = false; !op->done && !ret;) {
		iv = xmirror_interval_find(m, op->addr);
		if (iv)
			toy_access(iv, page, op);
		if (op->done)
			break;
		ret = op->add ?
		      xmirror_exclusive(m, page, page + PAGE_SIZE, op, &res) :
		      xmirror_fault(m, page, page + PAGE_SIZE, XM_READ, &res);
		/* What was mapped may go each time: look for a fatal signal. */
		ret = ret ?: xmirror_check_cancel(m);
	}
	return op->done ? 0 : ret;
}

/* End of the example. */
static int toy_try(struct xmirror *m, unsigned long addr)
{
	struct toy_op op = { .addr = addr };
	struct xmirror_interval *iv;
	struct xmirror_result res;
	int ret, value;

	ret = toy_run(m, &op);
	if (ret || op.result != 41)
		return ret ?: -EBADMSG;
	op.add = true;
	ret = toy_run(m, &op);
	if (ret)
		return ret == -EOPNOTSUPP ? 0 : ret; /* no exclusive entries here */
	/* Give it back, in a range that begins with a page the device has not used. */
	ret = xmirror_release(m, addr - PAGE_SIZE, addr + PAGE_SIZE, &res);
	iv = xmirror_interval_find(m, addr);
	if (ret || (iv && READ_ONCE(*toy_pte(iv, addr)) & XM_PTE_EXCLUSIVE))
		return ret ?: -EBUSY;
	if (get_user(value, (int __user *)addr))
		return -EFAULT;
	return value == 42 ? 0 : -EBADMSG;
}

static int __init toy_init(void)
{
	unsigned long start = vm_mmap(NULL, 0, 2 * PAGE_SIZE, PROT_READ | PROT_WRITE,
				     MAP_PRIVATE | MAP_ANONYMOUS, 0);
	unsigned long addr = start + PAGE_SIZE; /* the word's page is the second */
	struct xmirror *m;
	int ret;

	if (IS_ERR_VALUE(start))
		return start;
	m = xmirror_create(current->mm, NULL, &toy_ops, NULL);
	ret = PTR_ERR_OR_ZERO(m);
	if (!ret) {
		ret = put_user(41, (int __user *)addr) ?: toy_try(m, addr);
		xmirror_put(m);
	}
	vm_munmap(start, 2 * PAGE_SIZE);
	return ret;
}

static void __exit toy_exit(void)
{
}

module_init(toy_init);
module_exit(toy_exit);
MODULE_DESCRIPTION("A driver of a device with shared virtual memory, for readers");
MODULE_LICENSE("GPL");
