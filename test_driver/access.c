// SPDX-License-Identifier: GPL-2.0
/*
 * Device accesses: loads, stores and atomics through the device page table.
 *
 * An access looks its entry up and works on the page with the interval's lock held
 * for reading, so that an invalidation waits for it and nothing starts behind
 * its back. The lock is dropped after XT_ACCESS_BATCH locations or at the end of the
 * page. An access that finds no sufficient entry faults and is replayed, as a
 * device with replayable faults does it.
 *
 * Atomics are the CPU's own, one instruction (or one successful compare and
 * exchange) on the page itself. They need an EXCLUSIVE entry: the other device
 * engines use the same instructions, and the CPUs of the mirrored process
 * cannot reach the page. The device's own memory serves as well.
 */

#include <linux/highmem.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>
#include "hw.h"
#include "test_driver.h"
#include "trace.h"

/* Locations done under one lock: bounds how long an invalidation spins. */
#define XT_ACCESS_BATCH	256

static u64 xt_load(const void *p, unsigned int width)
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

static void xt_store(void *p, unsigned int width, u64 val)
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
static u64 xt_cmpxchg(void *p, unsigned int width, u64 old, u64 new)
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
static u64 xt_result(const struct xt_access *a, u64 old)
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
static u64 xt_access_one(const struct xt_access *a, void *p)
{
	u64 old, found;

	if (a->op == XMIRROR_OP_LOAD)
		return xt_load(p, a->width);
	if (a->op == XMIRROR_OP_STORE) {
		xt_store(p, a->width, a->operand);
		return 0;
	}
	/* What most counters use, and hardware has one instruction for. */
	if (a->op == XMIRROR_OP_ADD && a->width == 8)
		return atomic64_fetch_add(a->operand, p);
	if (a->op == XMIRROR_OP_ADD && a->width == 4)
		return (u32)atomic_fetch_add(a->operand, p);

	found = xt_load(p, a->width);
	do {
		old = found;
		found = xt_cmpxchg(p, a->width, old, xt_result(a, old));
	} while (found != old);
	return old;
}

/* The location of access number @a->done. */
static u64 xt_location(const struct xt_access *a)
{
	return a->addr + a->done * a->stride;
}

static unsigned long xt_op_need(enum xmirror_op op)
{
	switch (op) {
	case XMIRROR_OP_LOAD:
		return XM_PTE_VALID;
	case XMIRROR_OP_STORE:
		return XM_PTE_VALID | XM_PTE_WRITE;
	default:
		return XM_PTE_VALID | XM_PTE_WRITE |
		       XM_PTE_EXCLUSIVE;
	}
}

static bool xt_pte_allows(unsigned long pte, unsigned long need)
{
	if (pte & XM_PTE_LOCAL)
		need &= ~XM_PTE_EXCLUSIVE;
	return (pte & need) == need;
}

/* How many locations from @addr on lie in its page. */
static u64 xt_run_length(const struct xt_access *a, u64 addr)
{
	u64 offset = offset_in_page(addr), n = XT_ACCESS_BATCH;

	if (a->stride > 0)
		n = min_t(u64, n, (PAGE_SIZE - 1 - offset) / a->stride + 1);
	else if (a->stride < 0)
		n = min_t(u64, n, offset / -(u64)a->stride + 1);
	return min(n, a->count - a->done);
}

static void xt_pte_mark_used(unsigned long *word, bool write)
{
	/* Other engines do the same under the same lock for reading. */
	if (!(READ_ONCE(*word) & XM_PTE_ACCESSED))
		set_bit(ilog2(XM_PTE_ACCESSED), word);
	if (write && !(READ_ONCE(*word) & XM_PTE_DIRTY))
		set_bit(ilog2(XM_PTE_DIRTY), word);
}

/*
 * Do the next locations of @a that lie in one page, at most XT_ACCESS_BATCH. Returns
 * how many, 0 if the entry does not allow it.
 */
static u64 xt_access_page(struct xt_hw *hw, struct xmirror_interval *iv,
			  struct xt_access *a)
{
	u64 addr = xt_location(a), old = 0, n = 0, i;
	unsigned long need = xt_op_need(a->op), pte, *word;
	void *kaddr, *p;

	read_lock(&iv->lock);
	pte = xt_pte(iv, addr, &word);
	if (!xt_pte_allows(pte, need))
		goto out;
	n = xt_run_length(a, addr);
	xt_pte_mark_used(word, need & XM_PTE_WRITE);
	kaddr = kmap_local_page(xt_pte_page(hw, pte));
	p = kaddr + offset_in_page(addr);
	for (i = 0; i < n; i++, p += a->stride)
		old = xt_access_one(a, p);
	kunmap_local(kaddr);
	a->result = old;
out:
	read_unlock(&iv->lock);
	if (n)
		xt_count(hw, OPS, n);
	return n;
}

/* &struct xmirror_ops.access: @arg is the command that has faulted here. */
void xt_access_exclusive(struct xmirror_interval *iv, unsigned long addr,
			 void *arg)
{
	struct xt_access *a = arg;

	a->done += xt_access_page(xmirror_priv(iv->m), iv, a);
}

/* Get the entry that the next location of @a needs. */
static int xt_access_fault(struct xt_hw *hw, struct xt_access *a)
{
	unsigned long addr = xt_location(a) & PAGE_MASK, end = addr + PAGE_SIZE;
	unsigned long need = xt_op_need(a->op), pte, *word;
	struct xmirror_interval *iv;
	struct xmirror_result res;
	int ret;

	if (end > xmirror_mm(hw->m)->task_size || end < addr)
		return -EFAULT;
	trace_xt_access_fault(xmirror_id(hw->m), xt_location(a), a->op);
	xt_count(hw, DEVICE_FAULTS, 1);
	if (!(need & XM_PTE_EXCLUSIVE))
		return xmirror_fault(hw->m, addr, end, need & XM_PTE_WRITE ?
				     XM_WRITE : XM_READ, &res);
	/* To make a page exclusive would bring it back from the device. */
	if (hw->mem && xmirror_devmem_in_use(hw->mem->dm)) {
		ret = xmirror_fault(hw->m, addr, end, XM_LOCAL, &res);
		if (ret && ret != -ENOENT)
			return ret;
		iv = xmirror_interval_find(hw->m, addr);
		read_lock(&iv->lock);
		pte = xt_pte(iv, addr, &word);
		read_unlock(&iv->lock);
		if (!ret && xt_pte_allows(pte, need))
			return 0;
	}
	return xmirror_exclusive(hw->m, addr, end, a, &res);
}

static int xt_check_access(const struct xt_access *a)
{
	if ((unsigned int)a->op >= XMIRROR_OP_NR || !a->count ||
	    a->width > 8 || !is_power_of_2(a->width))
		return -EINVAL;
	if (!IS_ALIGNED(a->addr, a->width) || !IS_ALIGNED(a->stride, a->width))
		return -EINVAL;
	return 0;
}

static unsigned long xt_deadline(struct xt_hw *hw)
{
	return jiffies + msecs_to_jiffies(xmirror_timeout(hw->m));
}

/* Do what can be done without a fault. */
static void xt_access_hit(struct xt_hw *hw, struct xt_access *a)
{
	struct xmirror_interval *iv = xmirror_interval_find(hw->m,
							    xt_location(a));

	if (iv)
		a->done += xt_access_page(hw, iv, a);
}

/**
 * xt_access() - do the same operation on some locations
 * @hw: the hardware
 * @a: what to do, and how far it got; a->done is where to begin
 *
 * Works on after -ECANCELED or the like when called again with the same @a.
 *
 * Context: may sleep, takes mmap_lock.
 * Return: 0 with all of a->count done; -EINVAL: unsupported operation, width or
 * alignment; -EFAULT: a location past the address space; the errors of
 * xmirror_fault(), or of xmirror_exclusive() for an atomic.
 */
int xt_access(struct xt_hw *hw, struct xt_access *a)
{
	unsigned long deadline = xt_deadline(hw);
	u64 addr, before;
	int ret;

	ret = xt_check_access(a);
	if (ret)
		return ret;
	while (a->done < a->count) {
		ret = xmirror_check_cancel(hw->m);
		if (ret)
			return ret;
		before = a->done;
		addr = xt_location(a);
		xt_access_hit(hw, a);
		if (a->done == before) {
			/* Too late only if the last fault was of no use. */
			ret = time_after(jiffies, deadline) ? -EBUSY :
			      xt_access_fault(hw, a);
			if (ret)
				return ret;
		}
		if (a->done != before) {
			deadline = xt_deadline(hw);
			if (hw->file)
				xt_point(hw->m, XM_PT_ACCESS, addr,
					 addr + a->width, -1, true);
		}
	}
	return 0;
}

/* Copy within one page. Returns false if the entry does not allow it. */
static bool xt_copy_page(struct xt_hw *hw, unsigned long addr, void *buf,
			 size_t len, bool write)
{
	unsigned long need = xt_op_need(write ? XMIRROR_OP_STORE :
						XMIRROR_OP_LOAD);
	struct xmirror_interval *iv = xmirror_interval_find(hw->m, addr);
	unsigned long pte, *word;
	bool ret = false;
	struct page *page;

	if (!iv)
		return false;
	read_lock(&iv->lock);
	pte = xt_pte(iv, addr, &word);
	if ((pte & need) == need) {
		xt_pte_mark_used(word, write);
		page = xt_pte_page(hw, pte);
		if (write)
			memcpy_to_page(page, offset_in_page(addr), buf, len);
		else
			memcpy_from_page(buf, page, offset_in_page(addr), len);
		ret = true;
	}
	read_unlock(&iv->lock);
	return ret;
}

/* All that is left in this span at once, else the page alone. */
static int xt_copy_fault(struct xt_hw *hw, unsigned long addr,
			 unsigned long end, bool write)
{
	enum xmirror_mode mode = write ? XM_WRITE : XM_READ;
	unsigned long page = addr & PAGE_MASK;
	struct xmirror_result res;
	int ret;

	xt_count(hw, DEVICE_FAULTS, 1);
	ret = xmirror_fault(hw->m, page, min(PAGE_ALIGN(end),
					     ALIGN(page + 1, XM_SPAN_SIZE)),
			    mode, &res);
	if ((ret == -EFAULT || ret == -EPERM) && res.done)
		return 0;
	return ret;
}

/**
 * xt_copy() - let the device read or write a block
 * @hw: the hardware
 * @addr: where, any alignment
 * @buf: kernel memory
 * @len: bytes
 * @write: copy @buf to @addr, else from it
 * @done: out: bytes copied, also on failure
 *
 * Context: may sleep, takes mmap_lock.
 * Return: 0; -EINVAL: empty or wrapping; or the errors of xmirror_fault().
 */
int xt_copy(struct xt_hw *hw, unsigned long addr, void *buf, size_t len,
	    bool write, size_t *done)
{
	unsigned long deadline = xt_deadline(hw), pos;
	size_t n;
	int ret;

	*done = 0;
	if (!len || addr + len < addr)
		return -EINVAL;
	if (addr + len > xmirror_mm(hw->m)->task_size)
		return -EFAULT;
	while (*done < len) {
		ret = xmirror_check_cancel(hw->m);
		if (ret)
			return ret;
		pos = addr + *done;
		n = min_t(size_t, len - *done,
			  PAGE_SIZE - offset_in_page(pos));
		if (xt_copy_page(hw, pos, buf + *done, n, write)) {
			*done += n;
			deadline = xt_deadline(hw);
			continue;
		}
		ret = time_after(jiffies, deadline) ? -EBUSY :
		      xt_copy_fault(hw, pos, addr + len, write);
		if (ret)
			return ret;
	}
	return 0;
}
