// SPDX-License-Identifier: GPL-2.0
/*
 * The nodes /dev/hmm_dmirrorN, so that programs for the kernel's own test device
 * (CONFIG_TEST_HMM) run on xmirror, and on kernels without that device.
 *
 * Minors 0 and 1 have private memory. Minors 2 and 3 have coherent memory, and
 * exist if both of its addresses are given, which are crossed over as in the kernel's
 * device. Names, numbers and parameters are the same as there, so only one of the
 * two modules can be loaded. Loading the other one second fails by itself; loading
 * this one second would make the kernel complain of a name that is in use, hence the
 * look at /sys/module first.
 *
 * The kernel's device evicts everybody's pages when one file is closed. Here a file
 * gives back its own pages only.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/compat.h>
#include <linux/fs.h>
#include <linux/kobject.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include "compat.h"
#include "dmirror.h"
#include "test_driver.h"

#define XT_DMIRROR_COHERENT	2	/* the first minor of those */
#define XT_COHERENT_SIZE	round_up(SZ_256M, PMD_SIZE)

static bool xt_dmirror_on = true;
module_param_named(dmirror, xt_dmirror_on, bool, 0444);
MODULE_PARM_DESC(dmirror,
		 "have /dev/hmm_dmirrorN, the nodes of the kernel's module test_hmm");

static unsigned int xt_dmirror_mb = 512;
module_param_named(dmirror_mb, xt_dmirror_mb, uint, 0444);
MODULE_PARM_DESC(dmirror_mb,
		 "MiB of private memory of hmm_dmirror0 and 1 each, even, rounded up to a huge page, at most 65536");

static unsigned long xt_spm_addr[2];
module_param_named(spm_addr_dev0, xt_spm_addr[0], ulong, 0444);
MODULE_PARM_DESC(spm_addr_dev0,
		 "physical address of 256 MiB, or a huge page if that is more, for the coherent memory of hmm_dmirror3");
module_param_named(spm_addr_dev1, xt_spm_addr[1], ulong, 0444);
MODULE_PARM_DESC(spm_addr_dev1,
		 "physical address of 256 MiB, or a huge page if that is more, for the coherent memory of hmm_dmirror2");

static struct xt_dmirror xt_dmirrors[XT_DMIRRORS];

static int xt_dmirror_open(struct inode *inode, struct file *file)
{
	struct xt_dmirror_file *f;
	int ret;

	if (!current->mm || (current->flags & PF_KTHREAD))
		return -ESRCH;

	f = kzalloc_obj(*f, GFP_KERNEL_ACCOUNT);
	if (!f)
		return -ENOMEM;
	f->dmirror = &xt_dmirrors[iminor(inode)];
	ret = xt_hw_create(&f->hw, f->dmirror->mem, &xt_dmirror_mirror_ops);
	if (ret) {
		kfree(f);
		return ret;
	}
	f->mirror = f->hw.m;
	file->private_data = f;
	return 0;
}

static int xt_dmirror_release(struct inode *inode, struct file *file)
{
	struct xt_dmirror_file *f = file->private_data;

	if (f->fails && f->dmirror->mem)
		WRITE_ONCE(f->dmirror->mem->fail_large, false);
	xmirror_put(f->mirror);
	kfree(f);
	return 0;
}

/* Pages of zeroes that are mapped one by one, for tests of such mappings. */
static int xt_dmirror_mmap(struct file *file, struct vm_area_struct *vma)
{
	unsigned long addr;
	struct page *page;
	int ret;

	for (addr = vma->vm_start; addr < vma->vm_end; addr += PAGE_SIZE) {
		page = alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO);
		if (!page)
			return -ENOMEM;
		ret = vm_insert_page(vma, addr, page);
		/* The mapping has a reference of its own. */
		put_page(page);
		if (ret)
			return ret;
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
	}
	return 0;
}

const struct file_operations xt_dmirror_fops = {
	.owner = THIS_MODULE,
	.open = xt_dmirror_open,
	.release = xt_dmirror_release,
	.mmap = xt_dmirror_mmap,
	.unlocked_ioctl = xt_dmirror_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.llseek = default_llseek,
};

/* Is the kernel's own module loaded or built in? */
static bool __init xt_dmirror_taken(void)
{
	struct kobject *taken = kset_find_obj(THIS_MODULE->mkobj.kobj.kset,
					      "test_hmm");

	kobject_put(taken);
	return taken;
}

static int __init xt_dmirror_add_memory(struct xt_dmirror *d,
					unsigned int minor, int node)
{
	struct xt_memory *mem;

	if (minor >= XT_DMIRROR_COHERENT)
		mem = xt_memory_create(XT_COHERENT_SIZE, xt_spm_addr[3 - minor],
				       node);
	else
		mem = xt_memory_create(round_up((u64)xt_dmirror_mb << 20,
						PMD_SIZE), 0, node);
	/* All but migration works without memory. */
	if (mem == ERR_PTR(-EOPNOTSUPP))
		return 0;
	if (IS_ERR(mem))
		return PTR_ERR(mem);
	d->mem = mem;
	return 0;
}

/**
 * xt_dmirror_exit() - remove the devices
 *
 * No file is open any more.
 */
void xt_dmirror_exit(void)
{
	unsigned int i;

	for (i = 0; i < XT_DMIRRORS; i++)
		xt_memory_destroy(xt_dmirrors[i].mem);
}

/**
 * xt_dmirror_init() - add the devices
 * @node: NUMA node of their memory, or NUMA_NO_NODE
 * @nr: out: how many minors have a device
 *
 * Return: 0, also if they are not wanted; -EBUSY if the kernel's own module is
 * there; or another negative errno.
 */
int __init xt_dmirror_init(int node, unsigned int *nr)
{
	unsigned int i;
	int ret = 0;

	*nr = 0;
	if (!xt_dmirror_on)
		return 0;
	if (xt_dmirror_taken()) {
		pr_err("the kernel's module test_hmm has /dev/hmm_dmirrorN: unload it, or load this one with dmirror=0\n");
		return -EBUSY;
	}
	if (!xt_dmirror_mb || xt_dmirror_mb % 2 || xt_dmirror_mb > 65536) {
		pr_err("dmirror_mb=%u is zero, odd or more than 65536\n",
		       xt_dmirror_mb);
		return -EINVAL;
	}
	*nr = xt_spm_addr[0] && xt_spm_addr[1] ? XT_DMIRRORS :
						 XT_DMIRROR_COHERENT;
	for (i = 0; i < *nr && !ret; i++)
		ret = xt_dmirror_add_memory(&xt_dmirrors[i], i, node);
	if (ret) {
		pr_err("cannot add hmm_dmirror%u: error %d\n", i - 1, ret);
		xt_dmirror_exit();
	}
	return ret;
}

MODULE_ALIAS("test_hmm");
