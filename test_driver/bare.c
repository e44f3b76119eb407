// SPDX-License-Identifier: GPL-2.0
/*
 * The kernel's part of making pages exclusive, alone: CPU entries are replaced, and
 * nothing is mapped for the device. xmirror_exclusive() is measured against it.
 * With XMIRROR_EXCLUSIVE_LATE it is a driver that makes fork() fail.
 */

#include <linux/hugetlb.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include "compat.h"
#include "test_driver.h"

/* The checks whose errno differs from one kernel version to the next */
static int xt_bare_check_vma(struct mm_struct *mm, unsigned long start,
			     unsigned long end)
{
	struct vm_area_struct *vma = vma_lookup(mm, start);

	if (!vma || end > vma->vm_end || vma->vm_flags & (VM_IO | VM_PFNMAP) ||
	    !(vma->vm_flags & VM_READ))
		return -EFAULT;
	if (!(vma->vm_flags & VM_WRITE))
		return -EPERM;
	if (vma->vm_flags & (VM_SHARED | VM_MAYSHARE) ||
	    is_vm_hugetlb_page(vma))
		return -EOPNOTSUPP;
	return 0;
}

/* One kernel call: pages done, or a negative errno. With @late they stay locked. */
static int xt_bare_batch(struct xmirror *m, unsigned long addr,
			 unsigned long end, struct page **late)
{
	struct page *pages[XM_EXCL_BATCH];
	int i, n, ret = 0;

	n = xm_make_exclusive(xmirror_mm(m), addr,
			      min_t(unsigned long, XM_EXCL_BATCH,
				    (end - addr) >> PAGE_SHIFT), pages, m);
	for (i = 0; i < n; i++) {
		if (!pages[i]) {
			ret = -EBUSY;
			continue;
		}
		if (late) {
			*late = pages[i];
			continue;
		}
		unlock_page(pages[i]);
		put_page(pages[i]);
	}
	return ret ?: n;
}

/**
 * xt_exclusive_bare() - only the kernel's part of xmirror_exclusive()
 * @m: the mirror
 * @start: first address, page aligned
 * @end: address behind the last, in the same VMA
 * @late: unlock the folio after mmap_lock; the range has to be one page then
 * @done: out: how many bytes from @start became exclusive, also on failure
 *
 * Context: may sleep, takes mmap_lock.
 * Return: as xmirror_exclusive(), and -EBUSY for a page that was not available
 * at once.
 */
int xt_exclusive_bare(struct xmirror *m, unsigned long start,
		      unsigned long end, bool late, unsigned long *done)
{
	struct mm_struct *mm = xmirror_mm(m);
	unsigned long addr = start;
	struct page *locked = NULL;
	int ret;

	*done = 0;
	if (!PAGE_ALIGNED(start | end) || start >= end ||
	    (late && end - start != PAGE_SIZE))
		return -EINVAL;
	ret = xmirror_enter(m);
	if (ret)
		return ret;
	if (mmap_read_lock_killable(mm)) {
		ret = -EINTR;
		goto out;
	}
	ret = xt_bare_check_vma(mm, start, end);
	while (!ret && addr < end) {
		ret = xt_bare_batch(m, addr, end, late ? &locked : NULL);
		if (ret < 0)
			break;
		addr += ret * PAGE_SIZE;
		*done = addr - start;
		ret = 0;
	}
	mmap_read_unlock(mm);
	if (locked) {
		struct xm_visit visit = xm_visit(XM_PT_EXCL_DONE, start, end);

		xt_point(m, &visit);
		unlock_page(locked);
		put_page(locked);
	}
out:
	xmirror_leave(m);
	return ret;
}
