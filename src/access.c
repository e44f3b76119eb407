// SPDX-License-Identifier: GPL-2.0
/*
 * Device accesses: loads, stores and atomics through the device page table.
 *
 * An access looks its leaf up and works on the page with the chunk's lock held
 * for reading, so that an invalidation waits for it and nothing starts behind
 * its back. The lock is dropped after XM_RUN locations or at the end of the
 * page. An access that finds no sufficient leaf faults and is replayed, as a
 * device with replayable faults does it.
 *
 * Atomics are the CPU's own, one instruction (or one successful compare and
 * exchange) on the page itself. They need an EXCLUSIVE leaf: the other device
 * engines use the same instructions, and the CPUs of the mirrored process
 * cannot reach the page. The device's own memory serves as well.
 */

#include <linux/highmem.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>
#include "devmem.h"
#include "internal.h"
#include "trace.h"

/* Locations done under one lock: bounds how long an invalidation spins. */
#define XM_RUN	256

static u64 xm_load(const void *p, unsigned int width)
{
	switch (width) {
	case 1:
		return READ_ONCE(*(u8 *)p);
	case 2:
		return READ_ONCE(*(u16 *)p);
	case 4:
		return READ_ONCE(*(u32 *)p);
	default:
		return READ_ONCE(*(u64 *)p);
	}
}

static void xm_store(void *p, unsigned int width, u64 val)
{
	switch (width) {
	case 1:
		WRITE_ONCE(*(u8 *)p, val);
		break;
	case 2:
		WRITE_ONCE(*(u16 *)p, val);
		break;
	case 4:
		WRITE_ONCE(*(u32 *)p, val);
		break;
	default:
		WRITE_ONCE(*(u64 *)p, val);
		break;
	}
}

/* One hardware compare and exchange: the value that was found. */
static u64 xm_cmpxchg(void *p, unsigned int width, u64 old, u64 new)
{
	switch (width) {
	case 1:
		return cmpxchg((u8 *)p, (u8)old, (u8)new);
	case 2:
		return cmpxchg((u16 *)p, (u16)old, (u16)new);
	case 4:
		return cmpxchg((u32 *)p, (u32)old, (u32)new);
	default:
		return cmpxchg((u64 *)p, old, new);
	}
}

/* What an atomic makes of @old; only the low @width bytes count. */
static u64 xm_result(const struct xmirror_access *a, u64 old)
{
	unsigned int shift = 64 - a->width * 8;
	u64 val = a->operand;

	switch (a->op) {
	case XMIRROR_OP_ADD:
		return old + val;
	case XMIRROR_OP_SUB:
		return old - val;
	case XMIRROR_OP_AND:
		return old & val;
	case XMIRROR_OP_OR:
		return old | val;
	case XMIRROR_OP_XOR:
		return old ^ val;
	/* Shifted to the top, a narrow value compares as a wide one. */
	case XMIRROR_OP_MIN:
		return (s64)(old << shift) < (s64)(val << shift) ? old : val;
	case XMIRROR_OP_MAX:
		return (s64)(old << shift) > (s64)(val << shift) ? old : val;
	case XMIRROR_OP_UMIN:
		return old << shift < val << shift ? old : val;
	case XMIRROR_OP_UMAX:
		return old << shift > val << shift ? old : val;
	case XMIRROR_OP_CMPXCHG:
		return (old ^ a->compare) << shift ? old : val;
	default: /* XMIRROR_OP_XCHG */
		return val;
	}
}

/* One location: returns the value before, 0 for a store. */
static u64 xm_access_one(const struct xmirror_access *a, void *p)
{
	u64 old, found;

	if (a->op == XMIRROR_OP_LOAD)
		return xm_load(p, a->width);
	if (a->op == XMIRROR_OP_STORE) {
		xm_store(p, a->width, a->operand);
		return 0;
	}
	/* What most counters use, and hardware has one instruction for. */
	if (a->op == XMIRROR_OP_ADD && a->width == 8)
		return atomic64_fetch_add(a->operand, p);
	if (a->op == XMIRROR_OP_ADD && a->width == 4)
		return (u32)atomic_fetch_add(a->operand, p);

	found = xm_load(p, a->width);
	do {
		old = found;
		found = xm_cmpxchg(p, a->width, old, xm_result(a, old));
	} while (found != old);
	return old;
}

/* The location of access number @a->done. */
static u64 xm_location(const struct xmirror_access *a)
{
	return a->addr + a->done * a->stride;
}

static unsigned long xm_need(enum xmirror_op op)
{
	switch (op) {
	case XMIRROR_OP_LOAD:
		return XMIRROR_PTE_VALID;
	case XMIRROR_OP_STORE:
		return XMIRROR_PTE_VALID | XMIRROR_PTE_WRITE;
	default:
		return XMIRROR_PTE_VALID | XMIRROR_PTE_WRITE |
		       XMIRROR_PTE_EXCLUSIVE;
	}
}

static bool xm_pte_allows(unsigned long pte, unsigned long need)
{
	if (pte & XMIRROR_PTE_LOCAL)
		need &= ~XMIRROR_PTE_EXCLUSIVE;
	return (pte & need) == need;
}

/* How many locations from @addr on lie in its page. */
static u64 xm_run_length(const struct xmirror_access *a, u64 addr)
{
	u64 offset = offset_in_page(addr), n = XM_RUN;

	if (a->stride > 0)
		n = min_t(u64, n, (PAGE_SIZE - 1 - offset) / a->stride + 1);
	else if (a->stride < 0)
		n = min_t(u64, n, offset / -(u64)a->stride + 1);
	return min(n, a->count - a->done);
}

static void xm_mark(unsigned long *word, bool write)
{
	/* Other engines do the same under the same lock for reading. */
	if (!(*word & XMIRROR_PTE_ACCESSED))
		set_bit(ilog2(XMIRROR_PTE_ACCESSED), word);
	if (write && !(*word & XMIRROR_PTE_DIRTY))
		set_bit(ilog2(XMIRROR_PTE_DIRTY), word);
}

/*
 * Do the next locations of @a that lie in one page, at most XM_RUN. Returns how
 * many, 0 if the leaf does not allow it.
 */
u64 xm_access_page(struct xmirror *m, struct xm_chunk *chunk,
		   struct xmirror_access *a)
{
	u64 addr = xm_location(a), old = 0, n = 0, i;
	unsigned long need = xm_need(a->op), pte, *word;
	void *kaddr, *p;

	read_lock(&chunk->lock);
	pte = xm_leaf(chunk, addr, &word);
	if (!xm_pte_allows(pte, need))
		goto out;
	n = xm_run_length(a, addr);
	xm_mark(word, need & XMIRROR_PTE_WRITE);
	kaddr = kmap_local_page(pfn_to_page(xm_pte_pfn(pte)));
	p = kaddr + offset_in_page(addr);
	for (i = 0; i < n; i++, p += a->stride)
		old = xm_access_one(a, p);
	kunmap_local(kaddr);
	a->result = old;
out:
	read_unlock(&chunk->lock);
	if (n)
		xm_count(m, ops, n);
	return n;
}

/* Fault one page, and what is around it. */
static int xm_fault_page(struct xmirror *m, unsigned long addr,
			 enum xm_fault_mode mode)
{
	unsigned long granule = READ_ONCE(m->granule), pfn, *pfns = &pfn;
	u64 rounds = 0;
	int ret;

	if (granule > PAGE_SIZE) {
		pfns = kmalloc_array(XM_TABLE_ENTRIES, sizeof(*pfns),
				     GFP_KERNEL);
		if (!pfns)
			return -ENOMEM;
	}
	ret = xm_fault_pages(m, addr, addr + PAGE_SIZE, mode, granule, pfns,
			     &rounds);
	if (pfns != &pfn)
		kfree(pfns);
	return ret;
}

/* Get the leaf that the next location of @a needs. */
static int xm_access_fault(struct xmirror *m, struct xmirror_access *a)
{
	unsigned long addr = xm_location(a) & PAGE_MASK, need = xm_need(a->op);
	u64 rounds = 0;
	int ret;

	ret = xm_check_range(m, addr, addr + PAGE_SIZE);
	if (ret)
		return -EFAULT;
	trace_xm_access_fault(m, xm_location(a), a->op);
	xm_count(m, device_faults, 1);
	if (!(need & XMIRROR_PTE_EXCLUSIVE))
		return xm_fault_page(m, addr, need & XMIRROR_PTE_WRITE ?
				     XM_FAULT_WRITE : XM_FAULT_READ);
	/* To make a page exclusive would bring it back from the device. */
	if (m->dm && xm_dev_in_use(m->dm)) {
		ret = xm_fault_page(m, addr, XM_FAULT_LOCAL);
		if (ret || xm_allows(xm_chunk_find(m, addr), addr,
				     XMIRROR_PTE_LOCAL | XMIRROR_PTE_WRITE))
			return ret;
	}
	return xm_exclusive_pages(m, &addr, addr + PAGE_SIZE, &rounds, a);
}

static int xm_check_access(const struct xmirror_access *a)
{
	if ((unsigned int)a->op >= XMIRROR_OP_NR || !a->count ||
	    a->width > 8 || !is_power_of_2(a->width))
		return -EINVAL;
	if (!IS_ALIGNED(a->addr, a->width) || !IS_ALIGNED(a->stride, a->width))
		return -EINVAL;
	return 0;
}

/**
 * xmirror_access() - do the same operation on some locations
 * @m: the mirror
 * @a: what to do, and how far it got; a->done is where to begin
 *
 * Works on after -ECANCELED or the like when called again with the same @a.
 *
 * Context: may sleep, takes mmap_lock.
 * Return: 0 with all of a->count done; -EINVAL: an operation, width or
 * alignment that there is not; -EFAULT: a location past the address space;
 * the errors of xmirror_fault(), or of xmirror_exclusive() for an atomic.
 */
int xmirror_access(struct xmirror *m, struct xmirror_access *a)
{
	unsigned long deadline = xm_deadline(m);
	struct xm_chunk *chunk;
	u64 addr, before;
	int ret;

	ret = xm_check_access(a);
	if (ret)
		return ret;
	ret = xm_enter(m);
	if (ret)
		return ret;
	while (a->done < a->count) {
		before = a->done;
		addr = xm_location(a);
		chunk = xm_chunk_find(m, addr);
		if (chunk)
			a->done += xm_access_page(m, chunk, a);
		if (a->done == before) {
			/* Too late only if the last fault was of no use. */
			ret = time_after(jiffies, deadline) ? -EBUSY :
			      xm_access_fault(m, a);
			if (ret)
				break;
		}
		if (a->done != before) {
			deadline = xm_deadline(m);
			xm_point(m, XMIRROR_PT_ACCESS, addr, addr + a->width);
		}
		ret = xm_may_go_on(m);
		if (ret)
			break;
	}
	if (a->done == a->count)
		ret = 0;
	xm_leave(m);
	return ret;
}
EXPORT_SYMBOL_GPL(xmirror_access);

/* Copy within one page. Returns false if the leaf does not allow it. */
static bool xm_copy_page(struct xmirror *m, unsigned long addr, void *buf,
			 size_t len, bool write)
{
	unsigned long need = xm_need(write ? XMIRROR_OP_STORE :
					     XMIRROR_OP_LOAD);
	struct xm_chunk *chunk = xm_chunk_find(m, addr);
	unsigned long pte, *word;
	bool ret = false;
	struct page *page;

	if (!chunk)
		return false;
	read_lock(&chunk->lock);
	pte = xm_leaf(chunk, addr, &word);
	if ((pte & need) == need) {
		xm_mark(word, write);
		page = pfn_to_page(xm_pte_pfn(pte));
		if (write)
			memcpy_to_page(page, offset_in_page(addr), buf, len);
		else
			memcpy_from_page(buf, page, offset_in_page(addr), len);
		ret = true;
	}
	read_unlock(&chunk->lock);
	return ret;
}

/**
 * xmirror_copy() - let the device read or write a block
 * @m: the mirror
 * @addr: where, any alignment
 * @buf: kernel memory
 * @len: bytes
 * @write: copy @buf to @addr, else from it
 * @done: out: bytes copied, also on failure
 *
 * Context: may sleep, takes mmap_lock.
 * Return: 0; -EINVAL: empty or wrapping; or the errors of xmirror_fault().
 */
int xmirror_copy(struct xmirror *m, unsigned long addr, void *buf, size_t len,
		 bool write, size_t *done)
{
	enum xm_fault_mode mode = write ? XM_FAULT_WRITE : XM_FAULT_READ;
	unsigned long granule = READ_ONCE(m->granule), *pfns;
	unsigned long deadline = xm_deadline(m), page, ahead;
	u64 rounds;
	size_t n;
	int ret;

	*done = 0;
	if (!len || addr + len < addr)
		return -EINVAL;
	if (addr + len > m->mm->task_size)
		return -EFAULT;
	ret = xm_enter(m);
	if (ret)
		return ret;
	ret = -ENOMEM;
	pfns = kmalloc_array(XM_TABLE_ENTRIES, sizeof(*pfns), GFP_KERNEL);
	if (!pfns)
		goto out;
	ret = 0;
	while (*done < len && !ret) {
		page = (addr + *done) & PAGE_MASK;
		n = min_t(size_t, len - *done,
			  PAGE_SIZE - offset_in_page(addr + *done));
		if (xm_copy_page(m, addr + *done, buf + *done, n, write)) {
			*done += n;
			deadline = xm_deadline(m);
			ret = xm_may_go_on(m);
			continue;
		}
		ret = -EBUSY;
		if (time_after(jiffies, deadline))
			break;
		/* All that is left in this table at once, else page by page. */
		xm_count(m, device_faults, 1);
		rounds = 0;
		ahead = min(PAGE_ALIGN(addr + len),
			    ALIGN(page + 1, XM_TABLE_SIZE));
		ret = xm_fault_pages(m, page, ahead, mode, granule, pfns,
				     &rounds);
		if (ret == -EFAULT || ret == -EPERM)
			ret = xm_fault_pages(m, page, page + PAGE_SIZE, mode,
					     granule, pfns, &rounds);
		if (!ret)
			ret = xm_may_go_on(m);
	}
	kfree(pfns);
out:
	xm_leave(m);
	return *done == len ? 0 : ret;
}
EXPORT_SYMBOL_GPL(xmirror_copy);
