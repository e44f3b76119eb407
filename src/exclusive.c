// SPDX-License-Identifier: GPL-2.0
/*
 * Exclusive entries: take pages away from the CPU so that the device can do
 * atomics on them, and give them back.
 *
 *	1. xm_read_begin()
 *	2. mmap_lock for reading; the kernel call faults the page in writable,
 *	   replaces the CPU's entry and returns with the folio locked
 *	3. chunk lock, xm_read_retry(), commit, unlock
 *	4. unlock the folio, then mmap_lock
 *
 * The folio lock keeps CPU faults from ending the entry before the commit, but
 * not MADV_DONTNEED, munmap and the like, which do not take it: only 3 does.
 * It is dropped inside mmap_lock, because fork() of the mirrored process fails
 * with -ENOMEM when it finds the folio of an exclusive entry locked
 * (copy_nonpresent_pte() in mm/memory.c).
 *
 * When 3 says retry, the CPU's entry is exclusive but nobody's. The kernel call
 * in the next round would fault it back first, which is an invalidation, which
 * makes that round fail, too, and so on for ever. So every entry that was made
 * and not committed is faulted back here, before the next round begins.
 */

#include <linux/hugetlb.h>
#include <linux/mm.h>
#include <linux/module.h>
#include "compat.h"
#include "internal.h"
#include "trace.h"

/*
 * Let the CPU have the page at @addr back, for writing if @write. The fault
 * ends the exclusive entry and sends the invalidation for it. A failure is the
 * mapping's: it is gone, or read-only by now, and then the entry stays until the
 * CPU reads the page.
 *
 * Whoever is not ended by a signal, such as the thread of an engine, must not wait
 * for a userfaultfd: nobody may be there to serve it, and close() waits for the
 * engine. Without FAULT_FLAG_ALLOW_RETRY the fault fails instead, as it does in
 * hmm_range_fault() and in the GUP of make_device_exclusive().
 */
int xm_restore(struct xmirror *m, unsigned long addr, bool write)
{
	bool unlocked = false, may_wait = !(current->flags & PF_KTHREAD);
	int ret;

	if (mmap_read_lock_killable(m->mm))
		return -EINTR;
	ret = fixup_user_fault(m->mm, addr, FAULT_FLAG_REMOTE |
			       (write ? FAULT_FLAG_WRITE : 0),
			       may_wait ? &unlocked : NULL);
	mmap_read_unlock(m->mm);
	return ret;
}

/*
 * What the kernel call would say differently from one version to the next. On
 * success *@end is cut to the VMA. Needs mmap_lock.
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

static bool xm_is_exclusive(struct xm_chunk *chunk, unsigned long addr)
{
	return xm_allows(chunk, addr, XMIRROR_PTE_EXCLUSIVE);
}

/*
 * How many pages from @addr on to ask for in one call. One that is ours already
 * would be faulted back first, and then made again.
 */
static unsigned int xm_batch(struct xm_chunk *chunk, unsigned long addr,
			     unsigned long end)
{
	unsigned int n = 1;

	while (n < XM_EXCL_BATCH && addr + n * PAGE_SIZE < end &&
	       !xm_is_exclusive(chunk, addr + n * PAGE_SIZE))
		n++;
	return n;
}

/*
 * Commit one page that is exclusive for the CPU and whose folio is locked. If
 * the caller came for an access, its first locations are done here: the CPU or
 * another device that waits for the folio lock cannot take the page away before
 * the device had its turn, so two of them fighting for a page both get on.
 */
static int xm_exclusive_commit(struct xm_chunk *chunk, unsigned long addr,
			       struct page *page, struct xm_seq seq,
			       struct xmirror_access *a)
{
	struct xmirror *m = chunk->m;
	int ret;

	ret = xm_point(m, XMIRROR_PT_EXCL_MADE, addr, addr + PAGE_SIZE);
	if (ret)
		return ret;

	write_lock(&chunk->lock);
	if (xm_read_retry(chunk, seq, addr, addr + PAGE_SIZE) &&
	    !xm_point_locked(m, XMIRROR_PT_EXCL_STALE, addr, addr + PAGE_SIZE))
		ret = -EAGAIN;
	else if (!xm_pte_set(chunk, addr, page_to_pfn(page) << PAGE_SHIFT |
			     XMIRROR_PTE_VALID | XMIRROR_PTE_WRITE |
			     XMIRROR_PTE_EXCLUSIVE))
		ret = -EAGAIN;
	write_unlock(&chunk->lock);
	if (ret)
		return ret;

	xm_count(m, excl_made, 1);
	xm_point(m, XMIRROR_PT_EXCL_COMMITTED, addr, addr + PAGE_SIZE);
	if (a)
		a->done += xm_access_page(m, chunk, a);
	return 0;
}

/*
 * One round from *@pos, under one mmap_lock. *@pos moves over what was done. On
 * -EAGAIN the page at *@pos can be tried again. From there to *@made, entries may
 * have been made that nobody has; they have to be given back on whatever error.
 */
static int xm_exclusive_round(struct xmirror *m, struct xm_chunk *chunk,
			      unsigned long *pos, unsigned long end,
			      unsigned long *made, struct xmirror_access *a)
{
	struct page *pages[XM_EXCL_BATCH];
	unsigned long start = *pos, addr = start;
	int i, n, ret, err;
	struct xm_seq seq;

	*made = 0;
	ret = xm_point(m, XMIRROR_PT_EXCL_BEGIN, addr, end);
	if (ret)
		return ret;
	seq = xm_read_begin(chunk);
	ret = xm_table_alloc(chunk, addr);
	if (ret)
		return ret;
	if (mmap_read_lock_killable(m->mm))
		return -EINTR;

	ret = xm_check_vma(m->mm, addr, &end);
	while (!ret && addr < end) {
		if (xm_is_exclusive(chunk, addr)) {
			xm_count(m, excl_hits, 1);
			addr += PAGE_SIZE;
			continue;
		}
		n = xm_make_exclusive(m->mm, addr, xm_batch(chunk, addr, end),
				      pages, m);
		if (n < 0) {
			ret = n;
			break;
		}
		for (i = 0; i < n; i++, addr += PAGE_SIZE) {
			err = -EAGAIN;
			if (pages[i]) {
				err = xm_exclusive_commit(chunk, addr,
							  pages[i], seq, a);
				unlock_page(pages[i]);
				put_page(pages[i]);
			}
			/* The rest of the batch still has to be unlocked. */
			if (err && !ret) {
				ret = err;
				*pos = addr;
				*made = addr + (n - i) * PAGE_SIZE;
			}
		}
	}
	mmap_read_unlock(m->mm);
	if (!*made)
		*pos = addr;
	xm_point(m, XMIRROR_PT_EXCL_DONE, start, end);
	return ret;
}

/*
 * Make the pages from *@pos to @end exclusive, all in one table; *@pos moves
 * over what was done. With @a, do its first locations, see
 * xm_exclusive_commit().
 */
int xm_exclusive_pages(struct xmirror *m, unsigned long *pos,
		       unsigned long end, u64 *rounds,
		       struct xmirror_access *a)
{
	unsigned long deadline = xm_deadline(m), start = *pos, last;
	unsigned long addr, made;
	struct xm_chunk *chunk;
	int ret = 0;

	chunk = xm_chunk_get(m, start);
	if (IS_ERR(chunk))
		return PTR_ERR(chunk);
	while (*pos < end) {
		if (xm_is_exclusive(chunk, *pos)) {
			xm_count(m, excl_hits, 1);
			*pos += PAGE_SIZE;
			continue;
		}
		last = *pos;
		ret = xm_exclusive_round(m, chunk, pos, end, &made, a);
		(*rounds)++;
		for (addr = *pos; addr < made; addr += PAGE_SIZE)
			if (!xm_is_exclusive(chunk, addr))
				xm_restore(m, addr, true);
		if (*pos != last)
			deadline = xm_deadline(m);
		if (!ret)
			continue;
		if (ret != -EAGAIN)
			break;
		xm_count(m, excl_retries, 1);
		ret = xm_may_retry(m, deadline);
		if (ret)
			break;
	}
	trace_xm_exclusive(m, start, *pos, *rounds, ret);
	return ret;
}

/**
 * xmirror_exclusive() - make a range exclusive to the device
 * @m: the mirror
 * @start: first address, page aligned
 * @end: address behind the last, page aligned
 * @done: out: how many bytes from @start became exclusive, also on failure
 * @rounds: out: rounds that the most disturbed part took
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
		      unsigned long end, unsigned long *done, u64 *rounds)
{
	unsigned long pos = start, next;
	u64 walks;
	int ret;

	*done = 0;
	*rounds = 0;
	ret = xm_check_range(m, start, end);
	if (ret)
		return ret;
	ret = xm_enter(m);
	if (ret)
		return ret;
	while (pos < end) {
		next = min(end, ALIGN(pos + 1, XM_TABLE_SIZE));
		walks = 0;
		ret = xm_exclusive_pages(m, &pos, next, &walks, NULL);
		*done = pos - start;
		*rounds = max(*rounds, walks);
		if (!ret)
			ret = xm_may_go_on(m);
		if (ret)
			break;
	}
	xm_leave(m);
	return ret;
}
EXPORT_SYMBOL_GPL(xmirror_exclusive);

/**
 * xmirror_exclusive_bare() - only the kernel's part of xmirror_exclusive()
 * @m: the mirror
 * @start: first address, page aligned
 * @end: address behind the last, page aligned
 * @late: keep the folio locked for a while after mmap_lock was dropped, which
 * makes fork() fail; @end - @start has to be one page then
 * @done: out: how many bytes from @start became exclusive, also on failure
 *
 * Replaces the CPU's entries and maps nothing for the device: the floor that
 * xmirror_exclusive() is measured against. A CPU access gives a page back.
 *
 * Context: may sleep, takes mmap_lock.
 * Return: as xmirror_exclusive(), and -EBUSY for a page that was not to be had
 * at once.
 */
int xmirror_exclusive_bare(struct xmirror *m, unsigned long start,
			   unsigned long end, bool late, unsigned long *done)
{
	struct page *pages[XM_EXCL_BATCH], *locked = NULL;
	unsigned long addr = start;
	int i, n, ret;

	*done = 0;
	ret = xm_check_range(m, start, end);
	if (ret)
		return ret;
	ret = xm_enter(m);
	if (ret)
		return ret;
	ret = -EINTR;
	if (mmap_read_lock_killable(m->mm))
		goto out;
	ret = xm_check_vma(m->mm, start, &end);
	while (!ret && addr < end) {
		n = xm_make_exclusive(m->mm, addr,
				      min_t(unsigned long, XM_EXCL_BATCH,
					    (end - addr) >> PAGE_SHIFT),
				      pages, m);
		if (n < 0) {
			ret = n;
			break;
		}
		for (i = 0; i < n; i++) {
			if (!pages[i]) {
				ret = -EBUSY;
				continue;
			}
			if (late) {
				locked = pages[i];
				continue;
			}
			unlock_page(pages[i]);
			put_page(pages[i]);
		}
		addr += n * PAGE_SIZE;
		if (!ret)
			*done = addr - start;
	}
	mmap_read_unlock(m->mm);
	if (locked) {
		xm_point(m, XMIRROR_PT_EXCL_DONE, start, addr);
		unlock_page(locked);
		put_page(locked);
	}
out:
	xm_leave(m);
	return ret;
}
EXPORT_SYMBOL_GPL(xmirror_exclusive_bare);

/*
 * Give the exclusive pages from *@pos to @end back; *@pos moves over what was
 * looked at.
 */
int xm_release_pages(struct xmirror *m, unsigned long *pos, unsigned long end,
		     u64 *released)
{
	unsigned long next;
	struct xm_chunk *chunk;
	int ret = 0;

	for (; *pos < end && !ret; *pos = next) {
		chunk = xm_chunk_next(m, pos, end);
		if (!chunk)
			break;
		next = min(end, ALIGN(*pos + 1, XM_TABLE_SIZE));
		*pos = xm_next_exclusive(chunk, *pos, next);
		if (*pos < next) {
			next = *pos + PAGE_SIZE;
			xm_point(m, XMIRROR_PT_RELEASE, *pos, next);
			if (!xm_restore(m, *pos, false)) {
				xm_count(m, excl_released, 1);
				(*released)++;
			}
		}
		ret = xm_may_go_on(m);
	}
	return ret;
}

/**
 * xmirror_release() - give exclusive pages of a range back to the CPU
 * @m: the mirror
 * @start: first address, page aligned
 * @end: address behind the last, page aligned
 * @done: out: how many bytes from @start were looked at
 * @rounds: out: pages that were given back
 *
 * What the device wrote is in the page, and the folio is dirty, when this
 * returns. Pages that are not exclusive are passed.
 *
 * Context: may sleep, takes mmap_lock.
 * Return: 0 or an error that every call can return.
 */
int xmirror_release(struct xmirror *m, unsigned long start, unsigned long end,
		    unsigned long *done, u64 *rounds)
{
	unsigned long pos = start;
	int ret;

	*done = 0;
	*rounds = 0;
	ret = xm_check_range(m, start, end);
	if (ret)
		return ret;
	ret = xm_enter(m);
	if (ret)
		return ret;
	ret = xm_release_pages(m, &pos, end, rounds);
	*done = pos - start;
	trace_xm_release(m, start, pos, *rounds, ret);
	xm_leave(m);
	return pos == end ? 0 : ret;
}
EXPORT_SYMBOL_GPL(xmirror_release);
