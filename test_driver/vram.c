// SPDX-License-Identifier: GPL-2.0
/*
 * mmap() of the device's own memory, the way a driver maps the VRAM of its card: a
 * PFN map, whose pages mean nothing to the kernel. Here they are ordinary pages, so
 * that a reference shows in their count and does no harm.
 *
 * The address space is the device's, not that of the inode that was opened: there
 * may be several nodes of a device, and unmap_mapping_range() has to find every
 * mapping.
 *
 * xt_vram.lock is held over a fault's look at the state and its change of the page
 * table, and over a change of the state and the unmapping that follows from it. So
 * no fault restores a mapping that is being revoked, and no huge entry meets a page
 * table that another fault makes at the same time.
 *
 * Memory is allocated at its first touch, charged to the toucher, and freed with
 * the last open file of the device. A mapping keeps its file open.
 */

#include <linux/align.h>
#include <linux/bitmap.h>
#include <linux/bits.h>
#include <linux/capability.h>
#include <linux/fs.h>
#include <linux/gfp.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/mount.h>
#include <linux/pseudo_fs.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include "compat.h"
#include "test_driver.h"

#define XT_VRAM_MAGIC	0x786d7672
#define XT_BLOCK_SHIFT	21
#define XT_BLOCK_ORDER	(XT_BLOCK_SHIFT - PAGE_SHIFT)
#define XT_BLOCK_PAGES	BIT(XT_BLOCK_ORDER)

/**
 * struct xt_vram_block - 2 MiB of VRAM, contiguous and aligned
 * @page: the first page, NULL until the block is touched
 * @protected: a bit for each page that has to be mapped read-only
 */
struct xt_vram_block {
	struct page *page;
	DECLARE_BITMAP(protected, XT_BLOCK_PAGES);
};

static int xt_vram_init_fs_context(struct fs_context *fc)
{
	return init_pseudo(fc, XT_VRAM_MAGIC) ? 0 : -ENOMEM;
}

/*
 * No owner: the mount belongs to the module and is gone before it. A reference
 * would keep the module loaded for ever.
 */
static struct file_system_type xt_vram_fs = {
	.name = "xmirror_vram",
	.init_fs_context = xt_vram_init_fs_context,
	.kill_sb = kill_anon_super,
};

static struct vfsmount *xt_vram_mount;
static int xt_vram_mount_count;

static u64 xt_vram_size(struct xt_vram *vram)
{
	return (u64)vram->nr_blocks << XT_BLOCK_SHIFT;
}

/* Make the array of blocks; the memory itself comes with the first fault. */
static int xt_vram_get_blocks(struct xt_vram *vram)
{
	lockdep_assert_held(&vram->lock);
	if (!vram->nr_blocks)
		return -EOPNOTSUPP;
	if (!vram->blocks)
		vram->blocks = kvcalloc(vram->nr_blocks, sizeof(*vram->blocks),
					GFP_KERNEL_ACCOUNT);
	return vram->blocks ? 0 : -ENOMEM;
}

/* The block with page @pgoff of VRAM, with memory; NULL if there is none. */
static struct xt_vram_block *xt_vram_block(struct xt_vram *vram, pgoff_t pgoff)
{
	unsigned long nr = pgoff >> XT_BLOCK_ORDER;
	struct xt_vram_block *block;

	lockdep_assert_held(&vram->lock);
	if (nr >= vram->nr_blocks)
		return NULL;
	block = &vram->blocks[nr];
	if (!block->page)
		block->page = alloc_pages_node(vram->node, GFP_KERNEL_ACCOUNT |
					       __GFP_ZERO | __GFP_COMP |
					       __GFP_NOWARN |
					       __GFP_RETRY_MAYFAIL,
					       XT_BLOCK_ORDER);
	return block->page ? block : NULL;
}

/* Note a write to a page of the block, for XMIRROR_IOC_VRAM to report. */
static void xt_vram_written(struct xt_file *f, struct xt_vram_block *block,
			    unsigned long index)
{
	if (__test_and_clear_bit(index, block->protected))
		f->vram.writes++;
}

/*
 * Map one page unless it is mapped. With ->pfn_mkwrite() the mapping's own
 * protection, which is used for protected pages, lacks write access: that keeps the
 * core from making entries writable behind our back. All other pages get the rights
 * of the mapping, or each of them would fault a second time.
 */
static vm_fault_t xt_vram_insert_page(struct xt_file *f,
				      struct vm_area_struct *vma,
				      unsigned long addr, pgoff_t pgoff,
				      bool write)
{
	struct xt_vram_block *block = xt_vram_block(&f->dev->vram, pgoff);
	unsigned long index = pgoff % XT_BLOCK_PAGES;
	pgprot_t prot = vma->vm_page_prot;

	/* Not VM_FAULT_OOM: the OOM killer cannot free device memory. */
	if (!block)
		return VM_FAULT_SIGBUS;
	if (write)
		xt_vram_written(f, block, index);
	if (!test_bit(index, block->protected))
		prot = vm_get_page_prot(vma->vm_flags);
	return vmf_insert_pfn_prot(vma, addr, page_to_pfn(block->page) + index,
				   prot);
}

/* Map the page that the fault is about and, if allowed, those around it. */
static vm_fault_t xt_vram_insert_pages(struct vm_fault *vmf, struct xt_file *f)
{
	struct vm_area_struct *vma = vmf->vma;
	unsigned long addr, start, end;
	vm_fault_t ret;

	/* Another fault has mapped all of it. */
	if (pmd_trans_huge(READ_ONCE(*vmf->pmd)))
		return VM_FAULT_NOPAGE;

	ret = xt_vram_insert_page(f, vma, vmf->address, vmf->pgoff,
				  vmf->flags & FAULT_FLAG_WRITE);
	if (ret != VM_FAULT_NOPAGE)
		return ret;
	if (f->vram.granule == PAGE_SIZE) {
		f->vram.faults[XMIRROR_VRAM_4K]++;
		return ret;
	}

	/* Aligned by address, whatever the offset in VRAM: faults are the cost. */
	start = ALIGN_DOWN(vmf->address, SZ_64K);
	end = min(start + SZ_64K, vma->vm_end);
	start = max(start, vma->vm_start);
	for (addr = start; addr < end; addr += PAGE_SIZE) {
		pgoff_t pgoff = vmf->pgoff + (addr >> PAGE_SHIFT) -
				(vmf->address >> PAGE_SHIFT);

		/* The access can go on, even if the others fail. */
		if (addr != vmf->address &&
		    xt_vram_insert_page(f, vma, addr, pgoff, false) !=
		    VM_FAULT_NOPAGE)
			break;
	}
	f->vram.faults[XMIRROR_VRAM_64K]++;
	return ret;
}

/*
 * Map 2 MiB at once, or return VM_FAULT_FALLBACK. The helper would align the
 * address down without a look at the mapping's bounds or at the page frame.
 */
static vm_fault_t xt_vram_insert_huge(struct vm_fault *vmf, struct xt_file *f)
{
	unsigned long base = ALIGN_DOWN(vmf->address, SZ_2M);
	struct vm_area_struct *vma = vmf->vma;
	pmd_t pmd = READ_ONCE(*vmf->pmd);
	struct xt_vram_block *block;
	vm_fault_t ret;
	bool protected;

	if (PMD_SIZE != SZ_2M)
		return VM_FAULT_FALLBACK;
	if (!XM_SPECIAL_PMD && !(vma->vm_flags & VM_MIXEDMAP) &&
	    f->vram.unsafe != XMIRROR_VRAM_UNSAFE_HUGE)
		return VM_FAULT_FALLBACK;
	if (f->vram.granule < SZ_2M)
		return VM_FAULT_FALLBACK;
	if (base < vma->vm_start || base + SZ_2M > vma->vm_end ||
	    (vmf->pgoff ^ (vmf->address >> PAGE_SHIFT)) % XT_BLOCK_PAGES)
		return VM_FAULT_FALLBACK;
	/* There is a page table: pages were mapped before. */
	if (!pmd_none(pmd) && !pmd_trans_huge(pmd))
		return VM_FAULT_FALLBACK;

	block = xt_vram_block(&f->dev->vram, vmf->pgoff);
	if (!block)
		return VM_FAULT_FALLBACK;
	/* Writes are noted by page, so protected memory needs small entries. */
	protected = !bitmap_empty(block->protected, XT_BLOCK_PAGES);
	if (protected && (vmf->flags & FAULT_FLAG_WRITE ||
			  !bitmap_full(block->protected, XT_BLOCK_PAGES)))
		return VM_FAULT_FALLBACK;

	/* As above: writable at once, also for a read, if the mapping is. */
	ret = xm_insert_pfn_pmd(vmf, page_to_pfn(block->page),
				vma->vm_flags & VM_WRITE && !protected);
	if (ret == VM_FAULT_NOPAGE)
		f->vram.faults[XMIRROR_VRAM_2M]++;
	return ret;
}

/*
 * Kernels with huge PFN maps come here first. The kernel, and not a driver, obeys
 * the THP settings of the administrator; hence no huge entries by xt_vram_fault().
 */
static vm_fault_t xt_vram_huge_fault(struct vm_fault *vmf, XM_FAULT_SIZE size)
{
	struct xt_file *f = vmf->vma->vm_file->private_data;
	vm_fault_t ret;

	if (size != XM_FAULT_PMD)
		return VM_FAULT_FALLBACK;
	mutex_lock(&f->dev->vram.lock);
	ret = xt_vram_insert_huge(vmf, f);
	mutex_unlock(&f->dev->vram.lock);
	return ret;
}

static vm_fault_t xt_vram_fault(struct vm_fault *vmf)
{
	struct xt_file *f = vmf->vma->vm_file->private_data;
	bool mixed = vmf->vma->vm_flags & VM_MIXEDMAP;
	vm_fault_t ret = VM_FAULT_FALLBACK;

	mutex_lock(&f->dev->vram.lock);
	/* An unsafe mapping gets a huge entry without being asked for one. */
	if (mixed || f->vram.unsafe == XMIRROR_VRAM_UNSAFE_HUGE)
		ret = xt_vram_insert_huge(vmf, f);
	if (ret & VM_FAULT_FALLBACK)
		ret = mixed ? VM_FAULT_SIGBUS : xt_vram_insert_pages(vmf, f);
	mutex_unlock(&f->dev->vram.lock);
	return ret;
}

/*
 * A write to a page that is mapped read-only. The core would make the entry
 * writable if zero were returned, but after the lock was dropped: should the
 * page be protected again and mapped by a read in between, the entry would look
 * the same, and a write would go unnoticed. So replace it here.
 */
static vm_fault_t xt_vram_pfn_mkwrite(struct vm_fault *vmf)
{
	struct xt_file *f = vmf->vma->vm_file->private_data;
	vm_fault_t ret;

	mutex_lock(&f->dev->vram.lock);
	zap_special_vma_range(vmf->vma, vmf->address, PAGE_SIZE);
	ret = xt_vram_insert_page(f, vmf->vma, vmf->address, vmf->pgoff, true);
	mutex_unlock(&f->dev->vram.lock);
	return ret;
}

/*
 * fork() copies the entries, in newer kernels huge ones, too. A part that is
 * unmapped or moved leaves a VMA with the right vm_pgoff.
 */
static const struct vm_operations_struct xt_vram_vm_ops = {
	.fault = xt_vram_fault,
	.huge_fault = xt_vram_huge_fault,
	.pfn_mkwrite = xt_vram_pfn_mkwrite,
};

/**
 * xt_vram_mmap() - map VRAM
 * @file: an open file of the device
 * @vma: the mapping; its offset is the address in VRAM
 *
 * VM_IO is left out on purpose: it would make GUP's slow path refuse the mapping
 * for one more reason than a test can tell apart. Memory behind a PCI BAR is
 * VM_IO.
 *
 * Return: 0 or a negative errno.
 */
int xt_vram_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct xt_file *f = file->private_data;
	struct xt_vram *vram = &f->dev->vram;
	pgoff_t size = xt_vram_size(vram) >> PAGE_SHIFT;
	bool mixed;
	int ret;

	/* A private writable mapping would be copied on write: a PFN cannot. */
	if (!(vma->vm_flags & VM_MAYSHARE))
		return -EINVAL;

	mutex_lock(&vram->lock);
	ret = xt_vram_get_blocks(vram);
	mixed = f->vram.unsafe == XMIRROR_VRAM_UNSAFE_MIXED;
	mutex_unlock(&vram->lock);
	if (ret)
		return ret;
	if (vma->vm_pgoff >= size || vma_pages(vma) > size - vma->vm_pgoff)
		return -EINVAL;

	/* Never both. Takes the VMA's lock, which is outside of ours. */
	vm_flags_set(vma, (mixed ? VM_MIXEDMAP : VM_PFNMAP) |
			  VM_DONTEXPAND | VM_DONTDUMP);
	vma->vm_ops = &xt_vram_vm_ops;
	return 0;
}

/**
 * xt_vram_set_granule() - XMIRROR_SET_VRAM_GRANULE
 * @f: the file
 * @value: in: the new value; out: the old one
 *
 * Return: 0 or -EINVAL.
 */
int xt_vram_set_granule(struct xt_file *f, u64 *value)
{
	u64 new = *value == U64_MAX ? SZ_2M : *value;

	if (new != PAGE_SIZE && new != SZ_64K && new != SZ_2M)
		return -EINVAL;
	mutex_lock(&f->dev->vram.lock);
	*value = f->vram.granule;
	f->vram.granule = new;
	mutex_unlock(&f->dev->vram.lock);
	return 0;
}

/**
 * xt_vram_set_unsafe() - XMIRROR_SET_VRAM_UNSAFE
 * @f: the file
 * @value: in: the new value; out: the old one
 *
 * Return: 0, -EINVAL, -EPERM or -EOPNOTSUPP.
 */
int xt_vram_set_unsafe(struct xt_file *f, u64 *value)
{
	u64 new = *value;
	int ret;

	switch (new) {
	case 0:
		break;
	case XMIRROR_VRAM_UNSAFE_HUGE:
	case XMIRROR_VRAM_UNSAFE_MIXED:
		ret = xt_may_corrupt();
		if (ret)
			return ret;
		if (!IS_ENABLED(CONFIG_TRANSPARENT_HUGEPAGE) ||
		    (new == XMIRROR_VRAM_UNSAFE_HUGE && XM_SPECIAL_PMD))
			return -EOPNOTSUPP;
		if (PMD_SIZE != SZ_2M)
			return -EOPNOTSUPP;
		break;
	default:
		return -EINVAL;
	}
	mutex_lock(&f->dev->vram.lock);
	*value = f->vram.unsafe;
	f->vram.unsafe = new;
	mutex_unlock(&f->dev->vram.lock);
	return 0;
}

/* @first and @nr are pages of VRAM. */
static void xt_vram_protect(struct xt_vram *vram, pgoff_t first,
			    unsigned long nr)
{
	unsigned long index, part;

	for (; nr; first += part, nr -= part) {
		index = first % XT_BLOCK_PAGES;
		part = min(nr, XT_BLOCK_PAGES - index);
		bitmap_set(vram->blocks[first >> XT_BLOCK_ORDER].protected,
			   index, part);
	}
}

static void xt_vram_query(struct xt_vram *vram, pgoff_t first,
			  unsigned long nr, struct xmirror_vram *v)
{
	unsigned long index, part;

	for (; nr; first += part, nr -= part) {
		struct xt_vram_block *block;

		index = first % XT_BLOCK_PAGES;
		part = min(nr, XT_BLOCK_PAGES - index);
		block = &vram->blocks[first >> XT_BLOCK_ORDER];
		if (block->page)
			v->refs += page_count(block->page) - 1;
		v->write_protected +=
			bitmap_weight(block->protected, index + part) -
			bitmap_weight(block->protected, index);
	}
}

/**
 * xt_vram_ioctl() - XMIRROR_IOC_VRAM
 * @f: the file
 * @v: the argument
 *
 * Return: 0 or a negative errno.
 */
int xt_vram_ioctl(struct xt_file *f, struct xmirror_vram *v)
{
	struct xt_vram *vram = &f->dev->vram;
	u64 size = xt_vram_size(vram);
	u64 length = v->length;
	int ret;

	v->bytes = size;
	v->refs = 0;
	v->write_protected = 0;
	v->writes = 0;
	memset(v->faults, 0, sizeof(v->faults));
	if (v->flags || v->__reserved || v->op < XMIRROR_VRAM_QUERY ||
	    v->op > XMIRROR_VRAM_PROTECT)
		return -EINVAL;
	if (v->op == XMIRROR_VRAM_QUERY && !v->offset && !length)
		length = size;
	if (!size)
		return -EOPNOTSUPP;
	if (!length || !PAGE_ALIGNED(v->offset | length) ||
	    v->offset >= size || length > size - v->offset)
		return -EINVAL;

	mutex_lock(&vram->lock);
	ret = xt_vram_get_blocks(vram);
	if (ret)
		goto out;
	if (v->op == XMIRROR_VRAM_PROTECT)
		xt_vram_protect(vram, v->offset >> PAGE_SHIFT,
				length >> PAGE_SHIFT);
	if (v->op != XMIRROR_VRAM_QUERY)
		unmap_mapping_range(vram->inode->i_mapping, v->offset, length,
				    1);
	xt_vram_query(vram, v->offset >> PAGE_SHIFT, length >> PAGE_SHIFT, v);
	memcpy(v->faults, f->vram.faults, sizeof(v->faults));
	v->writes = f->vram.writes;
out:
	mutex_unlock(&vram->lock);
	return ret;
}

/**
 * xt_vram_open() - a file was opened
 * @f: the file
 * @file: the same to the kernel
 */
void xt_vram_open(struct xt_file *f, struct file *file)
{
	struct xt_vram *vram = &f->dev->vram;

	f->vram.granule = SZ_2M;
	file->f_mapping = vram->inode->i_mapping;
	mutex_lock(&vram->lock);
	vram->nr_files++;
	mutex_unlock(&vram->lock);
}

static void xt_vram_free_blocks(struct xt_vram *vram)
{
	unsigned long i;

	for (i = 0; vram->blocks && i < vram->nr_blocks; i++) {
		if (vram->blocks[i].page)
			__free_pages(vram->blocks[i].page, XT_BLOCK_ORDER);
	}
	kvfree(vram->blocks);
	vram->blocks = NULL;
}

/**
 * xt_vram_close() - a file is closed
 * @f: the file, which no mapping keeps open any more
 */
void xt_vram_close(struct xt_file *f)
{
	struct xt_vram *vram = &f->dev->vram;

	mutex_lock(&vram->lock);
	if (!--vram->nr_files)
		xt_vram_free_blocks(vram);
	mutex_unlock(&vram->lock);
}

/**
 * xt_vram_init() - give a device VRAM
 * @vram: of the device, zeroed
 * @size: bytes, a multiple of 2 MiB, may be 0
 * @node: NUMA node to take it from
 *
 * Return: 0 or a negative errno.
 */
int xt_vram_init(struct xt_vram *vram, u64 size, int node)
{
	int ret;

	mutex_init(&vram->lock);
	vram->nr_blocks = size >> XT_BLOCK_SHIFT;
	vram->node = node;
	ret = simple_pin_fs(&xt_vram_fs, &xt_vram_mount, &xt_vram_mount_count);
	if (ret)
		return ret;
	vram->inode = alloc_anon_inode(xt_vram_mount->mnt_sb);
	if (IS_ERR(vram->inode)) {
		simple_release_fs(&xt_vram_mount, &xt_vram_mount_count);
		return PTR_ERR(vram->inode);
	}
	return 0;
}

/**
 * xt_vram_exit() - the opposite
 * @vram: of a device without open files, hence without mappings
 */
void xt_vram_exit(struct xt_vram *vram)
{
	iput(vram->inode);
	simple_release_fs(&xt_vram_mount, &xt_vram_mount_count);
	mutex_destroy(&vram->lock);
}
