// SPDX-License-Identifier: GPL-2.0
/**
 * DOC: Time slices
 *
 * A device brings a page to its memory for an access, and before it makes the access a
 * CPU or another device may have taken the page away. The one that is slowest from
 * having the page to its access may never get on. So an mm can have a time slice
 * (xmirror_set_slice()), for which a page stays with who got it last. It begins without.
 *
 * The unit is a block of PMD size of the address space: no migration crosses the end of
 * one. The owner of a block is a mirror, or the CPU, which is all threads of the process.
 *
 * - A device that migrates to its memory takes the block first, xm_slice_take(). A range
 *   fault and a call that makes pages exclusive take it if another device has it,
 *   xm_slice_respect(), since they bring back that device's pages. Both wait in a queue,
 *   in their order and without a lock, and end as any call does when they are killed or
 *   canceled.
 * - A CPU fault waits for a page of the mirror that has the block, and for no other page
 *   (xm_slice_cpu_wait()). &struct dev_pagemap_ops.migrate_to_ram is called with mmap_lock
 *   and a reference to the page, and on newer kernels with the page locked. The fault
 *   drops both locks to sleep. If it kept the page locked, other CPUs would fault again
 *   and again, or sleep where no signal ends it. The reference belongs to the caller and
 *   stays, and for it nobody else can migrate the page. So CPUs that wait come before
 *   any device, and the next device takes the block from the CPU.
 *
 * Each wait has a bound:
 *
 * - A CPU fault waits for the rest of one slice, once. Then the CPU has the block for a
 *   slice, and faults again (%VM_FAULT_RETRY). That second fault does not wait, whoever
 *   has the block (%FAULT_FLAG_TRIED).
 * - A device waits for one slice of each device that is in the queue before it, and for
 *   one of the CPU before each of these and before its own. While a device is in the
 *   queue, the CPU cannot have two slices in a row.
 *
 * A CPU fault that must not wait takes the page at once: one without
 * %FAULT_FLAG_ALLOW_RETRY, as in some GUP, and one with %FAULT_FLAG_REMOTE, as of devices
 * and debuggers. Evictions know no slice: they make room, perhaps for another mm. Exclusive
 * pages have none either: the kernel gives them to the CPU at once, and a device makes the
 * access that it came for before that (&struct xmirror_ops.access).
 *
 * A slice has to be longer than a device takes from having the block to its access. If it
 * is not, the device loses the page, and waits for another slice.
 */

#include <linux/jiffies.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pagemap.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include "compat.h"
#include "devmem.h"
#include "mirror.h"
#include "slice.h"

/* The CPU has a block; no mirror has this number. */
#define XM_SLICE_CPU	0

/* How often a call that waits looks whether it has to end */
#define XM_SLICE_LOOK	msecs_to_jiffies(20)

/**
 * struct xm_block_slice - a block
 * @owner: number of the mirror that has it, or had it last, or %XM_SLICE_CPU
 * @until: jiffies until which it has it
 * @nr: slices so far
 * @cpus: CPU faults that wait
 * @queue: struct xm_slice_waiter of devices that wait, in their order
 */
struct xm_block_slice {
	u64 owner;
	unsigned long until;
	u64 nr;
	unsigned int cpus;
	struct list_head queue;
};

/**
 * struct xm_slice_waiter - a call that waits for a block
 * @node: in the block's queue
 * @owner: number of its mirror
 * @got: it has got the block, and still has it or not
 */
struct xm_slice_waiter {
	struct list_head node;
	u64 owner;
	bool got;
};

/* How many mms have a time slice: a CPU fault does not look for its mm without. */
static atomic_t xm_slices_set = ATOMIC_INIT(0);

/* Has anybody got the block now? Needs the lock. */
static bool xm_slice_runs(const struct xm_slices *s,
			  const struct xm_block_slice *b)
{
	return s->ms && time_before(jiffies, b->until);
}

/* Has mirror number @owner, or the CPU, got the block now? Needs the lock. */
static bool xm_slice_has_locked(const struct xm_slices *s,
				const struct xm_block_slice *b, u64 owner)
{
	return xm_slice_runs(s, b) && b->owner == owner;
}

static void xm_slice_give(const struct xm_slices *s, struct xm_block_slice *b,
			  u64 owner)
{
	b->owner = owner;
	WRITE_ONCE(b->until, jiffies + msecs_to_jiffies(s->ms));
	b->nr++;
}

/* Jiffies until the block can be given to the next one, at least one. */
static unsigned long xm_slice_left(const struct xm_block_slice *b)
{
	long left = READ_ONCE(b->until) - jiffies;

	return clamp_t(long, left, 1, XM_SLICE_LOOK);
}

static unsigned long xm_block_nr(unsigned long addr)
{
	return addr / (XM_BLOCK_PAGES * PAGE_SIZE);
}

static struct xm_block_slice *xm_block_slice(struct xm_slices *s,
					     unsigned long addr)
{
	return xa_load(&s->blocks, xm_block_nr(addr));
}

static struct xm_block_slice *xm_block_slice_get(struct xm_slices *s,
						 unsigned long addr)
{
	struct xm_block_slice *b = xm_block_slice(s, addr), *old;

	if (b)
		return b;
	b = kzalloc_obj(*b, GFP_KERNEL_ACCOUNT);
	if (!b)
		return NULL;
	b->until = jiffies;
	INIT_LIST_HEAD(&b->queue);
	old = xa_cmpxchg(&s->blocks, xm_block_nr(addr), NULL, b,
			 GFP_KERNEL_ACCOUNT);
	if (!old)
		return b;
	kfree(b);
	return xa_is_err(old) ? NULL : old;
}

/* A call has waited while @nr slices of others ran. Needs the lock. */
static void xm_slice_count(struct xmirror *m, u64 nr)
{
	xm_count(m, SLICE_WAITS, 1);
	if (nr > atomic64_read(&m->stat[XM_STAT_SLICE_LONGEST]))
		atomic64_set(&m->stat[XM_STAT_SLICE_LONGEST], nr);
}

/* Take the block if it is this one's turn. */
static bool xm_slice_try(struct xm_slices *s, struct xm_block_slice *b,
			 struct xm_slice_waiter *w)
{
	spin_lock(&s->lock);
	if (!w->got && xm_slice_runs(s, b)) {
		w->got = b->owner == w->owner;
	} else if (!w->got && !b->cpus &&
		   list_is_first(&w->node, &b->queue)) {
		xm_slice_give(s, b, w->owner);
		w->got = true;
	}
	spin_unlock(&s->lock);
	return w->got;
}

static int xm_slice_wait(struct xmirror *m, struct xm_block_slice *b)
{
	struct xm_slices *s = &m->shared->slices;
	struct xm_slice_waiter w = { .owner = m->id };
	bool waited = false;
	u64 before;
	int ret = 0;

	spin_lock(&s->lock);
	before = b->nr;
	list_add_tail(&w.node, &b->queue);
	spin_unlock(&s->lock);
	while (!ret && !xm_slice_try(s, b, &w)) {
		waited = true;
		wait_event_killable_timeout(s->wait, xm_slice_try(s, b, &w),
					    xm_slice_left(b));
		ret = xmirror_check_cancel(m);
	}
	spin_lock(&s->lock);
	list_del(&w.node);
	if (waited && !ret)
		xm_slice_count(m, b->nr - before);
	spin_unlock(&s->lock);
	/* The next one is the first now. */
	wake_up_all(&s->wait);
	return ret;
}

/*
 * Wait until this mirror has the block of @addr.
 *
 * Context: may sleep, no lock may be held. Returns 0, -ENOMEM, or the error that ends the
 * call.
 */
int xm_slice_take(struct xmirror *m, unsigned long addr)
{
	struct xm_slices *s = &m->shared->slices;
	struct xm_block_slice *b;

	if (!READ_ONCE(s->ms))
		return 0;
	b = xm_block_slice_get(s, addr);
	return b ? xm_slice_wait(m, b) : -ENOMEM;
}

/* xm_slice_respect() where there are slices */
int __xm_slice_respect(struct xmirror *m, unsigned long addr)
{
	struct xm_slices *s = &m->shared->slices;
	struct xm_block_slice *b;
	bool others;

	b = xm_block_slice(s, addr);
	if (!b)
		return 0;
	spin_lock(&s->lock);
	others = xm_slice_runs(s, b) && b->owner != XM_SLICE_CPU &&
		 b->owner != m->id;
	spin_unlock(&s->lock);
	return others ? xm_slice_wait(m, b) : 0;
}

/* The CPU is about to have a page of the block. Needs the lock. */
static void xm_slice_give_cpu(const struct xm_slices *s,
			      struct xm_block_slice *b)
{
	if (xm_slice_runs(s, b) ||
	    (b->owner == XM_SLICE_CPU && !list_empty(&b->queue)))
		return;
	xm_slice_give(s, b, XM_SLICE_CPU);
}

/* The same, and takes the lock */
static bool xm_slice_has(struct xm_slices *s, const struct xm_block_slice *b,
			 u64 owner)
{
	bool ret;

	spin_lock(&s->lock);
	ret = xm_slice_has_locked(s, b, owner);
	spin_unlock(&s->lock);
	return ret;
}

/* The CPU begins to wait if it @may and if mirror @owner has the block. */
static bool xm_slice_cpu_begin(struct xm_slices *s, struct xm_block_slice *b,
			       u64 owner, bool may)
{
	bool wait;

	spin_lock(&s->lock);
	wait = may && xm_slice_has_locked(s, b, owner);
	if (wait)
		b->cpus++;
	else
		xm_slice_give_cpu(s, b);
	spin_unlock(&s->lock);
	return wait;
}

/* No device takes the block while a CPU waits: it is this one slice. */
static void xm_slice_cpu_sleep(struct xm_slices *s, struct xm_block_slice *b,
			       u64 owner)
{
	long left = READ_ONCE(b->until) - jiffies;

	wait_event_killable_timeout(s->wait, !xm_slice_has(s, b, owner),
				    max(left, 1L));
	spin_lock(&s->lock);
	b->cpus--;
	s->cpu_waits++;
	xm_slice_give_cpu(s, b);
	spin_unlock(&s->lock);
	wake_up_all(&s->wait);
}

/*
 * A CPU fault at a page that was allocated for mirror number @owner: if that mirror has
 * the block, wait for the end of its slice. True if so: then mmap_lock was dropped, the
 * page is locked and referenced as before, and the fault has to return VM_FAULT_RETRY. The
 * CPU has the block afterwards, unless a device has.
 */
bool xm_slice_cpu_wait(struct vm_fault *vmf, u64 owner)
{
	const unsigned int flags = FAULT_FLAG_ALLOW_RETRY |
				   FAULT_FLAG_RETRY_NOWAIT |
				   FAULT_FLAG_REMOTE | FAULT_FLAG_TRIED;
	struct mm_struct *mm = vmf->vma->vm_mm;
	struct xm_block_slice *b;
	struct xm_mm *shared;
	bool wait;

	if (!atomic_read(&xm_slices_set))
		return false;
	shared = xm_mm_find(mm);
	if (!shared)
		return false;
	b = xm_block_slice(&shared->slices, vmf->address);
	wait = b && xm_slice_cpu_begin(&shared->slices, b, owner,
				       (vmf->flags & flags) ==
				       FAULT_FLAG_ALLOW_RETRY);
	if (wait) {
		mmap_read_unlock(mm);
		xm_to_ram_unlock(vmf->page);
		xm_slice_cpu_sleep(&shared->slices, b, owner);
		xm_to_ram_lock(vmf->page);
	}
	xm_mm_put(shared);
	return wait;
}

void xm_slices_create(struct xm_slices *s)
{
	spin_lock_init(&s->lock);
	xa_init(&s->blocks);
	init_waitqueue_head(&s->wait);
}

/* Nobody uses them any more. */
void xm_slices_free(struct xm_slices *s)
{
	struct xm_block_slice *b;
	unsigned long index;

	if (s->ms)
		atomic_dec(&xm_slices_set);
	xa_for_each(&s->blocks, index, b)
		kfree(b);
	xa_destroy(&s->blocks);
}

/**
 * xmirror_set_slice() - how long a page stays with who got it last
 * @m: a mirror; it is for all mirrors of its mm
 * @ms: milliseconds; 0: no slices, which is how an mm begins, and all waits end
 *
 * See Time slices.
 *
 * Context: any.
 * Return: what it was before.
 */
unsigned int xmirror_set_slice(struct xmirror *m, unsigned int ms)
{
	struct xm_slices *s = &m->shared->slices;
	unsigned int old;

	spin_lock(&s->lock);
	old = s->ms;
	WRITE_ONCE(s->ms, ms);
	atomic_add(!!ms - !!old, &xm_slices_set);
	spin_unlock(&s->lock);
	wake_up_all(&s->wait);
	return old;
}
EXPORT_SYMBOL_GPL(xmirror_set_slice);

/**
 * xmirror_slice_cpu_waits() - how often the CPU has waited for a device
 * @m: a mirror; it is of all mirrors of its mm
 *
 * Context: any.
 * Return: CPU faults that have waited for the end of a time slice.
 */
u64 xmirror_slice_cpu_waits(struct xmirror *m)
{
	return READ_ONCE(m->shared->slices.cpu_waits);
}
EXPORT_SYMBOL_GPL(xmirror_slice_cpu_waits);
