// SPDX-License-Identifier: GPL-2.0
/*
 * Device accesses: loads, stores and atomics through the device page table.
 *
 * An access looks its entry up and works on the page with the interval's lock held
 * for reading, so that an invalidation waits for it and nothing starts behind
 * its back. The lock is dropped after a batch of locations or pages, at the end of the
 * interval, and at the end of the page while a sync point is armed or the device holds
 * a range as a whole. An access that finds no sufficient entry faults and is replayed,
 * as a device with replayable faults does it; but in a range that the device holds as a
 * whole it never faults: there it waits until all of it is mapped, see queues.c.
 *
 * An engine keeps its last translations in a TLB, which nobody but its thread uses.
 * A translation is kept with the generation that the page table had when it was read,
 * a number that belongs to one interval and one time (ptable.c). xt_pt_unmap() takes
 * a new one with the lock held for writing, which flushes this interval's
 * translations from all TLBs; an access compares with the lock held for reading.
 * So the same number says that nothing was unmapped in between, and that the page
 * table still has the entry. ACCESSED and DIRTY are set in the page table before they
 * are in a TLB, and only xt_pt_unmap() takes them away.
 *
 * Atomics are the CPU's own, one instruction (or one successful compare and
 * exchange) on the page itself. They need an EXCLUSIVE entry: the other device
 * engines use the same instructions, and the CPUs of the mirrored process
 * cannot reach the page. The device's own memory serves as well; and a range that is
 * held as a whole, where they are those that a device makes over PCIe.
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

/* The same, for pages that are copied */
#define XT_COPY_BATCH	16

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
	found = xt_load(p, a->width);
	do {
		old = found;
		found = xt_cmpxchg(p, a->width, old, xt_result(a, old));
	} while (found != old);
	return old;
}

/* The kernel has no fetch-and-add of these widths. */
static u8 xt_fetch_add_8(u8 *p, u8 val)
{
	u8 old = READ_ONCE(*p);

	while (!try_cmpxchg(p, &old, (u8)(old + val)))
		;
	return old;
}

static u16 xt_fetch_add_16(u16 *p, u16 val)
{
	u16 old = READ_ONCE(*p);

	while (!try_cmpxchg(p, &old, (u16)(old + val)))
		;
	return old;
}

/* xt_access_run() for what most counters use, with no question for each location */
static u64 xt_add_run(const struct xt_access *a, void *p, u64 n)
{
	s64 stride = a->stride;
	u64 val = a->operand, old = 0;

	switch (a->width) {
	case 1:
		for (; n; n--, p += stride)
			old = xt_fetch_add_8(p, val);
		break;
	case 2:
		for (; n; n--, p += stride)
			old = xt_fetch_add_16(p, val);
		break;
	case 4:
		for (; n; n--, p += stride)
			old = (u32)atomic_fetch_add(val, p);
		break;
	default:
		for (; n; n--, p += stride)
			old = atomic64_fetch_add(val, p);
		break;
	}
	return old;
}

/* @n locations from @p on, all in one page: returns the value before at the last. */
static u64 xt_access_run(const struct xt_access *a, void *p, u64 n)
{
	u64 old = 0;

	if (a->op == XMIRROR_OP_ADD)
		return xt_add_run(a, p, n);
	for (; n; n--, p += a->stride)
		old = xt_access_one(a, p);
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

static unsigned long xt_need(const struct xt_access *a)
{
	unsigned long need = xt_op_need(a->op);

	return a->pass.held ? need & ~XM_PTE_EXCLUSIVE : need;
}

static bool xt_pte_allows(unsigned long pte, unsigned long need)
{
	if (pte & XM_PTE_LOCAL)
		need &= ~XM_PTE_EXCLUSIVE;
	return (pte & need) == need;
}

/* How many locations from @addr on lie in its page, at most @n. */
static u64 xt_run_length(const struct xt_access *a, u64 addr, u64 n)
{
	u64 offset = offset_in_page(addr);

	if (a->stride >= (s64)PAGE_SIZE)
		return 1;
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
 * The entry of @addr, which is used then, or 0 if it lacks a bit of @need. Needs the
 * interval's lock; @gen is the generation of its page table, @tlb may be NULL.
 */
static unsigned long xt_translate(struct xmirror_interval *iv, u64 gen,
				  struct xt_tlb *tlb, unsigned long addr,
				  unsigned long need)
{
	bool write = need & XM_PTE_WRITE;
	unsigned long used = XM_PTE_ACCESSED | (write ? XM_PTE_DIRTY : 0);
	unsigned long nr = addr >> PAGE_SHIFT, pte, *word;
	struct xt_tlb_entry *e = tlb ? &tlb->entry[nr % XT_TLB_SIZE] : NULL;

	if (e && e->gen == gen && e->nr == nr &&
	    xt_pte_allows(e->pte, need | used))
		return e->pte;
	pte = xt_pte(iv, addr, &word);
	if (!xt_pte_allows(pte, need))
		return 0;
	xt_pte_mark_used(word, write);
	if (e)
		*e = (struct xt_tlb_entry){
			.gen = gen,
			.nr = nr,
			.pte = pte | used,
		};
	return pte;
}

/*
 * The interval of @addr, NULL if the device has not been there: @iv, if that is it. An
 * interval stays until the mirror ends.
 */
static struct xmirror_interval *xt_interval(struct xt_hw *hw,
					    struct xmirror_interval *iv,
					    unsigned long addr)
{
	return iv && addr >= iv->start && addr < iv->end ? iv :
	       xmirror_interval_find(hw->m, addr);
}

/*
 * Do the next locations of @a that the entries of the interval allow, at most
 * XT_ACCESS_BATCH, or with @single none of another page; none if the queues were
 * stopped. False if the next one has no such entry, or may have none.
 */
static bool xt_access_batch(struct xt_hw *hw, struct xmirror_interval *iv,
			    struct xt_access *a, bool single)
{
	unsigned long need = xt_need(a), pte = 0;
	u64 addr = xt_location(a), n = 0, run, gen;
	void *kaddr;

	read_lock(&hw->queues.lock);
	read_lock(&iv->lock);
	if (!xt_queues_admitted(hw, &a->pass))
		goto out;
	gen = xt_pt_generation(iv);
	do {
		pte = xt_translate(iv, gen, a->tlb, addr, need);
		if (!pte)
			break;
		run = xt_run_length(a, addr, XT_ACCESS_BATCH - n);
		kaddr = kmap_local_page(xt_pte_page(hw, pte));
		a->result = xt_access_run(a, kaddr + offset_in_page(addr), run);
		kunmap_local(kaddr);
		a->done += run;
		n += run;
		addr = xt_location(a);
	} while (!single && n < XT_ACCESS_BATCH && a->done < a->count &&
		 addr >= iv->start && addr < iv->end);
out:
	read_unlock(&iv->lock);
	if (n)
		xt_count(hw, OPS, n);
	read_unlock(&hw->queues.lock);
	return pte;
}

/* &struct xmirror_ops.access: @arg is the command that has faulted here. */
void xt_access_exclusive(struct xmirror_interval *iv, unsigned long addr,
			 void *arg)
{
	xt_access_batch(xmirror_priv(iv->m), iv, arg, true);
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
	if (hw->mem && xmirror_may_be_local(hw->m, addr)) {
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

/* Do what can be done without a fault. False if the next location needs one. */
static bool xt_access_hit(struct xt_hw *hw, struct xt_access *a)
{
	a->iv = xt_interval(hw, a->iv, xt_location(a));
	/* Sync points want to be passed after each page; a pass is for one page. */
	return a->iv && xt_access_batch(hw, a->iv, a, a->pass.ranges ||
					(hw->file && xt_sync_any(hw->file)));
}

/* Something was done, at @addr above all. */
static void xt_access_point(struct xt_hw *hw, u64 addr, unsigned int width)
{
	if (hw->file && xt_sync_any(hw->file)) {
		struct xm_visit visit = xm_visit(XM_PT_ACCESS, addr,
						 addr + width);

		xt_point(hw->m, &visit);
	}
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
 * xmirror_fault(), or of xmirror_exclusive() for an atomic; in a range that is held as
 * a whole those of xt_queues_admit().
 */
int xt_access(struct xt_hw *hw, struct xt_access *a)
{
	u64 addr, before, faulted = U64_MAX;
	unsigned long deadline = 0;
	bool hit;
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
		ret = xt_queues_admit(hw, addr, a->op != XMIRROR_OP_LOAD,
				      &a->pass);
		if (ret)
			return ret;
		hit = xt_access_hit(hw, a);
		if (!hit && a->done < a->count) {
			/* Too late only if the last fault was of no use. */
			if (a->pass.waited || a->done != faulted)
				deadline = xt_deadline(hw);
			faulted = a->done;
			ret = time_after(jiffies, deadline) ? -EBUSY :
			      a->pass.held ? 0 : xt_access_fault(hw, a);
			if (ret)
				return ret;
		}
		if (a->done != before)
			xt_access_point(hw, addr, a->width);
	}
	return 0;
}

/* One page, from the next byte on. False if its entry does not allow it. */
static bool xt_copy_page(struct xt_hw *hw, struct xmirror_interval *iv,
			 struct xt_copy *c)
{
	unsigned long need = xt_op_need(c->write ? XMIRROR_OP_STORE :
						   XMIRROR_OP_LOAD);
	unsigned long addr = c->addr + c->done, offset = offset_in_page(addr);
	size_t len = min(c->length - c->done, PAGE_SIZE - offset);
	unsigned long pte, *word;
	struct page *page;

	pte = xt_pte(iv, addr, &word);
	if ((pte & need) != need)
		return false;
	xt_pte_mark_used(word, c->write);
	page = xt_pte_page(hw, pte);
	if (c->write)
		memcpy_to_page(page, offset, c->buf + c->done, len);
	else
		memcpy_from_page(c->buf + c->done, page, offset, len);
	c->done += len;
	return true;
}

/*
 * The next pages that the entries of the interval allow, at most XT_COPY_BATCH, or one
 * while the device holds a range as a whole. False if that are none.
 */
static bool xt_copy_batch(struct xt_hw *hw, struct xt_copy *c)
{
	struct xmirror_interval *iv = xt_interval(hw, c->iv, c->addr + c->done);
	unsigned int n = 0;

	c->iv = iv;
	if (!iv)
		return false;
	read_lock(&hw->queues.lock);
	read_lock(&iv->lock);
	if (xt_queues_admitted(hw, &c->pass)) {
		while (xt_copy_page(hw, iv, c) && ++n < XT_COPY_BATCH &&
		       !c->pass.ranges && c->done < c->length &&
		       c->addr + c->done < iv->end)
			continue;
	}
	read_unlock(&iv->lock);
	read_unlock(&hw->queues.lock);
	return n;
}

/* All that is left in this span at once, else the page alone. */
static int xt_copy_fault(struct xt_hw *hw, const struct xt_copy *c)
{
	unsigned long page = (c->addr + c->done) & PAGE_MASK;
	struct xmirror_result res;
	int ret;

	xt_count(hw, DEVICE_FAULTS, 1);
	ret = xmirror_fault(hw->m, page, min(PAGE_ALIGN(c->addr + c->length),
					     ALIGN(page + 1, XM_SPAN_SIZE)),
			    c->write ? XM_WRITE : XM_READ, &res);
	if ((ret == -EFAULT || ret == -EPERM) && res.done)
		return 0;
	return ret;
}

/**
 * xt_copy() - let the device read or write a block
 * @hw: the hardware
 * @c: what to copy; c->done is set also on failure
 *
 * Context: may sleep, takes mmap_lock.
 * Return: 0; -EINVAL: empty or wrapping; or the errors of xmirror_fault() and of
 * xt_queues_admit().
 */
int xt_copy(struct xt_hw *hw, struct xt_copy *c)
{
	size_t faulted = SIZE_MAX;
	unsigned long deadline = 0;
	int ret;

	c->done = 0;
	if (!c->length || c->addr + c->length < c->addr)
		return -EINVAL;
	if (c->addr + c->length > xmirror_mm(hw->m)->task_size)
		return -EFAULT;
	while (c->done < c->length) {
		ret = xmirror_check_cancel(hw->m);
		if (ret)
			return ret;
		ret = xt_queues_admit(hw, c->addr + c->done, c->write, &c->pass);
		if (ret)
			return ret;
		if (xt_copy_batch(hw, c))
			continue;
		/* Too late only if the last fault was of no use. */
		if (c->pass.waited || c->done != faulted)
			deadline = xt_deadline(hw);
		faulted = c->done;
		ret = time_after(jiffies, deadline) ? -EBUSY :
		      c->pass.held ? 0 : xt_copy_fault(hw, c);
		if (ret)
			return ret;
		/* Before somebody takes it away again */
		xt_copy_batch(hw, c);
	}
	return 0;
}
