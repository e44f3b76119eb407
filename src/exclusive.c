// SPDX-License-Identifier: GPL-2.0
/**
 * DOC: Exclusive entries
 *
 * A page is taken from the CPU so that the device can do atomics on it, and given
 * back. To make one exclusive:
 *
 * 1. xm_read_begin()
 * 2. mmap_lock for reading. make_device_exclusive() faults the page in writable,
 *    replaces the CPU's entry and returns with the folio locked.
 * 3. The lock of the interval, xm_read_retry(), commit, unlock
 * 4. The folio lock is dropped, then mmap_lock.
 *
 * The folio lock keeps CPU faults from ending the entry before the commit, but
 * not MADV_DONTNEED, munmap and the like, which do not take it: only 3 does. A
 * caller that came for an access makes it before 4 (&struct xmirror_ops.access), so that
 * of two who want the page both get on. Locking says why the order of 4 matters.
 *
 * When 3 says retry, the CPU's entry is exclusive but nobody's. The GUP that
 * make_device_exclusive() begins with in the next attempt would restore it first,
 * which is an invalidation, which makes that attempt fail, too, and so on for ever.
 * So every entry that was made and not committed is restored here, before the next
 * attempt begins.
 *
 * Giving a page back is a CPU fault on the driver's behalf. Whatever else ends an entry
 * (Documentation/behaviour.md, B) is preceded by an invalidation that covers the page,
 * too.
 */

#include <linux/hugetlb.h>
#include <linux/mm.h>
#include <linux/module.h>
#include "compat.h"
#include "exclusive.h"
#include "interval.h"
#include "points.h"
#include "trace.h"

/*
 * Give the page at @addr back to the CPU, for writing if @write. The fault ends the
 * exclusive entry and sends the invalidation for it. It fails if the mapping is
 * gone, or read-only by now; then the entry stays until the CPU reads the page.
 *
 * A thread that no signal ends, such as an engine's, must not wait for a
 * userfaultfd: there may be no process left to serve it. The end of a mirror must
 * not either, since it may come in a process that has nothing to do with the mm.
 * Without FAULT_FLAG_ALLOW_RETRY the fault fails instead, as it does in
 * hmm_range_fault() and in the GUP of make_device_exclusive().
 */
int xm_restore(struct xmirror *m, unsigned long addr, bool write)
{
	bool unlocked = false, may_wait = !(current->flags & PF_KTHREAD) &&
					  !READ_ONCE(m->ended);
	int ret;

	if (mmap_read_lock_killable(m->mm))
		return -EINTR;
	ret = fixup_user_fault(m->mm, addr, FAULT_FLAG_REMOTE |
			       (write ? FAULT_FLAG_WRITE : 0),
			       may_wait ? &unlocked : NULL);
	mmap_read_unlock(m->mm);
	trace_xm_restore(m, addr, write, ret);
	return ret;
}

/*
 * The checks whose errno differs from one kernel version to the next. On success
 * *@end is cut to the VMA. Needs mmap_lock.
 */
static int xm_check_vma(struct mm_struct *mm, unsigned long addr,
			unsigned long *end)
{
	struct vm_area_struct *vma = vma_lookup(mm, addr);

	if (!vma || vma->vm_flags & (VM_IO | VM_PFNMAP) ||
	    !(vma->vm_flags & VM_READ))
		return -EFAULT;
	if (!(vma->vm_flags & VM_WRITE))
		return -EPERM;
	if (vma->vm_flags & (VM_SHARED | VM_MAYSHARE) ||
	    is_vm_hugetlb_page(vma))
		return -EOPNOTSUPP;
	*end = min(*end, vma->vm_end);
	return 0;
}

/**
 * struct xm_excl - exclusive entries that are being made
 * @iv: the interval
 * @seq: what was read is as of this
 * @pos: what lies before it is done
 * @end: address behind the last
 * @stale_end: from @pos to there, entries may have been made for the CPU that the
 *	device does not have
 * @access: what the caller came for, see &struct xmirror_ops.access, or NULL
 */
struct xm_excl {
	struct xmirror_interval *iv;
	struct xm_seq seq;
	unsigned long pos;
	unsigned long end;
	unsigned long stale_end;
	void *access;
};

static bool xm_is_exclusive(struct xmirror_interval *iv, unsigned long addr)
{
	return xm_pte_has(iv, addr, XM_PTE_EXCLUSIVE);
}

/*
 * How many pages from @addr on to make in one call. A page that is exclusive
 * already would be restored first, and then made again.
 */
static unsigned int xm_excl_batch_size(struct xmirror_interval *iv,
				       unsigned long addr, unsigned long end)
{
	unsigned int n = 1;

	while (n < XM_EXCL_BATCH && addr + n * PAGE_SIZE < end &&
	       !xm_is_exclusive(iv, addr + n * PAGE_SIZE))
		n++;
	return n;
}

static bool xm_excl_map(struct xmirror_interval *iv, unsigned long addr,
			unsigned long pte)
{
	struct xmirror_map map = {
		.start = addr,
		.end = addr + PAGE_SIZE,
		.ptes = &pte,
	};

	return iv->m->ops->map(iv, &map);
}

/*
 * Commit one page whose entry is exclusive and whose folio is locked. If the caller
 * came for an access, it is begun here: the CPU or another device that waits for
 * the folio lock cannot take the page before the device's access, so that two that
 * compete for a page both get on.
 */
static int xm_exclusive_commit(struct xm_excl *x, unsigned long addr,
			       struct page *page)
{
	unsigned long pte = page_to_pfn(page) << PAGE_SHIFT | XM_PTE_VALID |
			    XM_PTE_WRITE | XM_PTE_EXCLUSIVE;
	struct xmirror_interval *iv = x->iv;
	struct xmirror *m = iv->m;
	int ret;

	ret = xm_point(m, XM_PT_EXCL_MADE, addr, addr + PAGE_SIZE);
	if (ret)
		return ret;

	write_lock(&iv->lock);
	if (xm_read_retry(iv, x->seq, addr, addr + PAGE_SIZE) ||
	    !xm_excl_map(iv, addr, pte))
		ret = -EAGAIN;
	write_unlock(&iv->lock);
	if (ret) {
		xm_point_refused(iv, addr, pte);
		return ret;
	}

	xm_count(m, EXCL_MADE, 1);
	xm_point(m, XM_PT_EXCL_COMMITTED, addr, addr + PAGE_SIZE);
	if (x->access)
		m->ops->access(iv, addr, x->access);
	return 0;
}

/*
 * Make and commit the pages that one kernel call returns, and unlock all of them.
 * @x->pos moves over those that were committed, up to the first that was not, whose
 * error this returns.
 */
static int xm_excl_batch(struct xm_excl *x, unsigned long end)
{
	struct page *pages[XM_EXCL_BATCH];
	int i, n, ret = 0;

	n = xm_make_exclusive(x->iv->m->mm, x->pos,
			      xm_excl_batch_size(x->iv, x->pos, end), pages,
			      x->iv->m);
	if (n < 0)
		return n;
	x->stale_end = x->pos + n * PAGE_SIZE;
	for (i = 0; i < n; i++) {
		if (!pages[i]) {
			ret = ret ?: -EAGAIN;
			continue;
		}
		if (!ret)
			ret = xm_exclusive_commit(x, x->pos, pages[i]);
		if (!ret)
			x->pos += PAGE_SIZE;
		unlock_page(pages[i]);
		put_page(pages[i]);
	}
	return ret;
}

/* One attempt at the rest, under one mmap_lock: 0, or -EAGAIN to try again. */
static int xm_exclusive_attempt(struct xm_excl *x)
{
	struct xmirror *m = x->iv->m;
	unsigned long start = x->pos, end = x->end;
	int ret;

	ret = xm_slice_respect(m, start);
	if (ret)
		return ret;
	ret = xm_point(m, XM_PT_EXCL_BEGIN, start, end);
	if (ret)
		return ret;
	x->seq = xm_read_begin(x->iv);
	ret = m->ops->prepare(x->iv, start);
	if (ret)
		return ret;
	if (mmap_read_lock_killable(m->mm))
		return -EINTR;

	ret = xm_check_vma(m->mm, start, &end);
	while (!ret && x->pos < end) {
		if (xm_is_exclusive(x->iv, x->pos)) {
			xm_count(m, EXCL_HITS, 1);
			x->pos += PAGE_SIZE;
			continue;
		}
		ret = xm_excl_batch(x, end);
	}
	mmap_read_unlock(m->mm);
	xm_point(m, XM_PT_EXCL_DONE, start, end);
	return ret;
}

/* Restore entries that were made and not committed, see the top of the file. */
static void xm_excl_restore_stale(struct xm_excl *x)
{
	unsigned long addr;

	for (addr = x->pos; addr < x->stale_end; addr += PAGE_SIZE)
		if (!xm_is_exclusive(x->iv, addr))
			xm_restore(x->iv->m, addr, true);
}

/*
 * Make the pages from *@pos to @end exclusive, all in one span; *@pos moves over
 * what was done.
 */
static int xm_exclusive_pages(struct xmirror *m, unsigned long *pos,
			      unsigned long end, void *access, u64 *attempts)
{
	struct xm_excl x = { .pos = *pos, .end = end, .access = access };
	unsigned long deadline = xm_deadline(m), last;
	int ret = 0;

	x.iv = xm_interval_get(m, *pos);
	if (IS_ERR(x.iv))
		return PTR_ERR(x.iv);
	while (x.pos < end) {
		if (xm_is_exclusive(x.iv, x.pos)) {
			xm_count(m, EXCL_HITS, 1);
			x.pos += PAGE_SIZE;
			continue;
		}
		last = x.pos;
		x.stale_end = last;
		ret = xm_exclusive_attempt(&x);
		(*attempts)++;
		xm_excl_restore_stale(&x);
		if (x.pos != last)
			deadline = xm_deadline(m);
		if (!ret)
			continue;
		if (ret != -EAGAIN)
			break;
		xm_count(m, EXCL_RETRIES, 1);
		ret = xm_check_retry(m, deadline);
		if (ret)
			break;
	}
	trace_xm_exclusive(m, *pos, x.pos, *attempts, ret);
	*pos = x.pos;
	return ret;
}

/**
 * xmirror_exclusive() - make a range exclusive to the device
 * @m: the mirror
 * @start: first address, page aligned
 * @end: address behind the last, page aligned
 * @access: for &struct xmirror_ops.access of each page that becomes exclusive;
 *	NULL not to call it
 * @res: out: how far it got; counts the attempts at the most disturbed span
 *
 * Pages that are exclusive to this mirror already cost nothing. Any CPU access,
 * fork, mprotect, reclaim and so on ends the exclusivity page by page.
 *
 * Context: may sleep, takes mmap_lock.
 * Return: 0; -EFAULT: nothing is mapped there, PROT_NONE, or armed with a
 * userfaultfd; -EPERM: read-only memory; -EOPNOTSUPP: not private anonymous
 * memory, a large folio on a kernel that cannot do that, or no
 * CONFIG_DEVICE_PRIVATE (all from mm/rmap.c); or an error that every call can
 * return.
 */
int xmirror_exclusive(struct xmirror *m, unsigned long start,
		      unsigned long end, void *access,
		      struct xmirror_result *res)
{
	unsigned long pos = start;
	u64 attempts;
	int ret;

	res->done = 0;
	res->count = 0;
	ret = xm_check_range(m, start, end);
	if (ret)
		return ret;
	ret = xmirror_enter(m);
	if (ret)
		return ret;
	while (pos < end) {
		attempts = 0;
		ret = xm_exclusive_pages(m, &pos, xm_span_end(pos, end),
					 access, &attempts);
		res->done = pos - start;
		res->count = max(res->count, attempts);
		if (!ret && pos < end)
			ret = xmirror_check_cancel(m);
		if (ret)
			break;
	}
	xmirror_leave(m);
	return ret;
}
EXPORT_SYMBOL_GPL(xmirror_exclusive);

/*
 * Give the exclusive pages from *@pos to @end back; *@pos moves over what was
 * looked at.
 */
int xm_release_pages(struct xmirror *m, unsigned long *pos, unsigned long end,
		     u64 *released)
{
	struct xmirror_interval *iv;
	unsigned long next;
	int ret = 0;

	for (; *pos < end && !ret; *pos = next) {
		iv = xm_interval_next(m, pos, end);
		if (!iv)
			break;
		next = xm_span_end(*pos, end);
		if (xm_next_exclusive(iv, pos, next)) {
			next = *pos + PAGE_SIZE;
			xm_point(m, XM_PT_RELEASE, *pos, next);
			if (!xm_restore(m, *pos, false)) {
				xm_count(m, EXCL_RELEASED, 1);
				(*released)++;
			}
		}
		ret = xmirror_check_cancel(m);
	}
	return ret;
}

/**
 * xmirror_release() - give exclusive pages of a range back to the CPU
 * @m: the mirror
 * @start: first address, page aligned
 * @end: address behind the last, page aligned
 * @res: out: how far it looked; counts the pages that were given back
 *
 * The device's writes are in the page, and the folio is dirty, when this
 * returns. Pages that are not exclusive are skipped.
 *
 * Context: may sleep, takes mmap_lock.
 * Return: 0 or an error that every call can return.
 */
int xmirror_release(struct xmirror *m, unsigned long start, unsigned long end,
		    struct xmirror_result *res)
{
	unsigned long pos = start;
	int ret;

	res->done = 0;
	res->count = 0;
	ret = xm_check_range(m, start, end);
	if (ret)
		return ret;
	ret = xmirror_enter(m);
	if (ret)
		return ret;
	ret = xm_release_pages(m, &pos, end, &res->count);
	res->done = pos - start;
	trace_xm_release(m, start, pos, res->count, ret);
	xmirror_leave(m);
	return pos == end ? 0 : ret;
}
EXPORT_SYMBOL_GPL(xmirror_release);
