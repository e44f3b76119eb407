// SPDX-License-Identifier: GPL-2.0
/*
 * The nodes /dev/hmm_dmirrorN, so that what was written for the kernel's own
 * test device (CONFIG_TEST_HMM) runs on xmirror, and on kernels without it.
 *
 * Minors 0 and 1 have private memory. 2 and 3 have coherent memory, and exist
 * if both of its addresses are given; which of them is whose is crossed over,
 * as it is there. Names, numbers and parameters are the same as there, so only
 * one of the two modules can be loaded. Loading the other one second fails by
 * itself; loading this one second would make the kernel complain of a name that
 * is taken, hence the look at /sys/module first.
 *
 * The other device evicts everybody's pages when one file is closed. Here a
 * file only ever gives back its own.
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

#define XT_DMIRRORS		4
#define XT_DMIRROR_COHERENT	2	/* the first minor of those */
#define XT_COHERENT_SIZE	SZ_256M

static bool xt_dmirror_on = true;
module_param_named(dmirror, xt_dmirror_on, bool, 0444);
MODULE_PARM_DESC(dmirror,
		 "have /dev/hmm_dmirrorN, the nodes of the kernel's module test_hmm");

static unsigned int xt_dmirror_mb = 512;
module_param_named(dmirror_mb, xt_dmirror_mb, uint, 0444);
MODULE_PARM_DESC(dmirror_mb,
		 "MiB of private memory of hmm_dmirror0 and 1 each, even, at most 65536");

static unsigned long xt_spm_addr[2];
module_param_named(spm_addr_dev0, xt_spm_addr[0], ulong, 0444);
MODULE_PARM_DESC(spm_addr_dev0,
		 "physical address of 256 MiB for the coherent memory of hmm_dmirror3");
module_param_named(spm_addr_dev1, xt_spm_addr[1], ulong, 0444);
MODULE_PARM_DESC(spm_addr_dev1,
		 "physical address of 256 MiB for the coherent memory of hmm_dmirror2");

static dev_t xt_dmirror_devt;
static struct xt_dmirror *xt_dmirrors[XT_DMIRRORS];

static int xt_dmirror_open(struct inode *inode, struct file *file)
{
	struct xt_dmirror_file *f;
	int ret;

	if (!current->mm || (current->flags & PF_KTHREAD))
		return -ESRCH;

	f = kzalloc_obj(*f, GFP_KERNEL_ACCOUNT);
	if (!f)
		return -ENOMEM;
	f->dmirror = container_of(inode->i_cdev, struct xt_dmirror, cdev);
	f->mirror = xmirror_create(current->mm, f->dmirror->dm, NULL, f);
	if (IS_ERR(f->mirror)) {
		ret = PTR_ERR(f->mirror);
		kfree(f);
		return ret;
	}
	file->private_data = f;
	return 0;
}

static int xt_dmirror_release(struct inode *inode, struct file *file)
{
	struct xt_dmirror_file *f = file->private_data;

	if (f->fails && f->dmirror->dm)
		xmirror_devmem_fail_large(f->dmirror->dm, false);
	xmirror_destroy(f->mirror);
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

static const struct file_operations xt_dmirror_fops = {
	.owner = THIS_MODULE,
	.open = xt_dmirror_open,
	.release = xt_dmirror_release,
	.mmap = xt_dmirror_mmap,
	.unlocked_ioctl = xt_dmirror_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.llseek = default_llseek,
};

/* Is the kernel's own module there, loaded or built in? */
static bool __init xt_dmirror_taken(void)
{
	struct kobject *taken = kset_find_obj(THIS_MODULE->mkobj.kobj.kset,
					      "test_hmm");

	kobject_put(taken);
	return taken;
}

static void xt_dmirror_free(struct device *dev)
{
	kfree(container_of(dev, struct xt_dmirror, dev));
}

static int __init xt_dmirror_add_memory(struct xt_dmirror *d,
					unsigned int minor, int node)
{
	struct xmirror_devmem *dm;

	if (minor >= XT_DMIRROR_COHERENT)
		dm = xmirror_devmem_create(XT_COHERENT_SIZE,
					   xt_spm_addr[3 - minor], node);
	else
		dm = xmirror_devmem_create((u64)xt_dmirror_mb << 20, 0, node);
	/* All but migration works without. */
	if (dm == ERR_PTR(-EOPNOTSUPP))
		return 0;
	if (IS_ERR(dm))
		return PTR_ERR(dm);
	d->dm = dm;
	return 0;
}

static int __init xt_dmirror_add(unsigned int minor, int node)
{
	struct xt_dmirror *d = kzalloc_obj(*d, GFP_KERNEL);
	int ret;

	if (!d)
		return -ENOMEM;
	device_initialize(&d->dev);
	d->dev.devt = xt_dmirror_devt + minor;
	d->dev.release = xt_dmirror_free;
	cdev_init(&d->cdev, &xt_dmirror_fops);
	d->cdev.owner = THIS_MODULE;

	ret = dev_set_name(&d->dev, "hmm_dmirror%u", minor);
	if (!ret)
		ret = xt_dmirror_add_memory(d, minor, node);
	if (ret) {
		put_device(&d->dev);
		return ret;
	}
	xt_dmirrors[minor] = d;
	return 0;
}

/**
 * xt_dmirror_exit() - remove the nodes
 *
 * No file is open any more.
 */
void xt_dmirror_exit(void)
{
	unsigned int i;

	if (!xt_dmirror_devt)
		return;
	for (i = 0; i < XT_DMIRRORS; i++) {
		struct xt_dmirror *d = xt_dmirrors[i];

		if (!d)
			continue;
		if (device_is_registered(&d->dev))
			cdev_device_del(&d->cdev, &d->dev);
		if (d->dm)
			xmirror_devmem_destroy(d->dm);
		put_device(&d->dev);
	}
	unregister_chrdev_region(xt_dmirror_devt, XT_DMIRRORS);
}

/**
 * xt_dmirror_init() - add the nodes
 * @node: NUMA node of their memory, or NUMA_NO_NODE
 *
 * Return: 0, also if they are not wanted; -EBUSY if the kernel's own module is
 * there; or another negative errno.
 */
int __init xt_dmirror_init(int node)
{
	unsigned int i, nr = XT_DMIRROR_COHERENT;
	int ret;

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
	if (xt_spm_addr[0] && xt_spm_addr[1])
		nr = XT_DMIRRORS;

	ret = alloc_chrdev_region(&xt_dmirror_devt, 0, XT_DMIRRORS,
				  "HMM_DMIRROR");
	if (ret)
		return ret;
	for (i = 0; i < nr && !ret; i++)
		ret = xt_dmirror_add(i, node);
	/* When all is there: see xt_init(). */
	for (i = 0; i < nr && !ret; i++)
		ret = cdev_device_add(&xt_dmirrors[i]->cdev,
				      &xt_dmirrors[i]->dev);
	if (ret) {
		pr_err("cannot add the nodes hmm_dmirrorN: error %d\n", ret);
		xt_dmirror_exit();
	}
	return ret;
}

MODULE_ALIAS("test_hmm");
