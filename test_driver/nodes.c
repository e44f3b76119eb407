// SPDX-License-Identifier: GPL-2.0
/*
 * The nodes: /dev/xmirrorN and /dev/hmm_dmirrorN.
 *
 * A module that fails to load is freed even if a node of it is open. So all minors
 * of both kinds have one cdev, and cdev_add(), before which no node can be opened,
 * is the last step of loading that can fail. The names in /dev come after it, and a
 * device without a name can still be used by mknod. Each kind has a name of its own
 * in /proc/devices, where scripts of the kernel's hmm-tests look for HMM_DMIRROR.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/cdev.h>
#include <linux/device.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/slab.h>
#include "compat.h"
#include "dmirror.h"
#include "test_driver.h"

#define XT_MINORS	(XT_DMIRRORS + XT_MAX_DEVICES)

static dev_t xt_devt;
static struct cdev xt_cdev;
static struct device *xt_nodes[XT_MINORS];
static unsigned int xt_nr_minors;	/* of /dev/xmirrorN */
static unsigned int xt_nr_dmirrors;	/* of /dev/hmm_dmirrorN */

static int xt_node_open(struct inode *inode, struct file *file)
{
	unsigned int minor = iminor(inode);
	const struct file_operations *fops;

	if (minor < xt_nr_dmirrors)
		fops = &xt_dmirror_fops;
	else if (minor >= XT_DMIRRORS && minor - XT_DMIRRORS < xt_nr_minors)
		fops = &xt_fops;
	else
		return -ENXIO;
	/* The reference to the module is that of xt_node_fops: same owner. */
	file->f_op = fops;
	return fops->open(inode, file);
}

static const struct file_operations xt_node_fops = {
	.owner = THIS_MODULE,
	.open = xt_node_open,
	.llseek = noop_llseek,
};

static void xt_node_free(struct device *dev)
{
	kfree(dev);
}

static void xt_node_add(unsigned int minor, const char *name, unsigned int nr)
{
	struct device *dev = kzalloc_obj(*dev, GFP_KERNEL);
	int ret = -ENOMEM;

	if (!dev)
		goto out;
	device_initialize(dev);
	dev->devt = xt_devt + minor;
	dev->release = xt_node_free;
	ret = dev_set_name(dev, "%s%u", name, nr);
	if (!ret)
		ret = device_add(dev);
	if (ret)
		put_device(dev);
	else
		xt_nodes[minor] = dev;
out:
	if (ret)
		pr_warn("no node /dev/%s%u: error %d\n", name, nr, ret);
}

/* With one major for both kinds of minors */
static int __init xt_nodes_alloc(void)
{
	int ret;

	if (!xt_nr_dmirrors) {
		ret = alloc_chrdev_region(&xt_devt, XT_DMIRRORS, xt_nr_minors,
					  "xmirror");
		xt_devt -= XT_DMIRRORS;
		return ret;
	}
	ret = alloc_chrdev_region(&xt_devt, 0, XT_DMIRRORS, "HMM_DMIRROR");
	if (ret)
		return ret;
	ret = register_chrdev_region(xt_devt + XT_DMIRRORS, xt_nr_minors,
				     "xmirror");
	if (ret)
		unregister_chrdev_region(xt_devt, XT_DMIRRORS);
	return ret;
}

static void xt_nodes_free(void)
{
	unregister_chrdev_region(xt_devt + XT_DMIRRORS, xt_nr_minors);
	if (xt_nr_dmirrors)
		unregister_chrdev_region(xt_devt, XT_DMIRRORS);
}

/**
 * xt_nodes_init() - let the devices be opened
 * @nr: number of /dev/xmirrorN nodes
 * @nr_dmirrors: number of /dev/hmm_dmirrorN nodes
 *
 * Return: 0, after which nothing may fail any more, or a negative errno.
 */
int __init xt_nodes_init(unsigned int nr, unsigned int nr_dmirrors)
{
	unsigned int i;
	int ret;

	xt_nr_minors = nr;
	xt_nr_dmirrors = nr_dmirrors;
	ret = xt_nodes_alloc();
	if (ret)
		return ret;
	cdev_init(&xt_cdev, &xt_node_fops);
	xt_cdev.owner = THIS_MODULE;
	ret = cdev_add(&xt_cdev, xt_devt, XT_MINORS);
	if (ret) {
		xt_nodes_free();
		return ret;
	}
	for (i = 0; i < nr_dmirrors; i++)
		xt_node_add(i, "hmm_dmirror", i);
	for (i = 0; i < nr; i++)
		xt_node_add(XT_DMIRRORS + i, "xmirror", i);
	return 0;
}

/**
 * xt_nodes_exit() - remove the nodes
 *
 * No file is open any more.
 */
void xt_nodes_exit(void)
{
	unsigned int i;

	for (i = 0; i < XT_MINORS; i++)
		if (xt_nodes[i])
			device_unregister(xt_nodes[i]);
	cdev_del(&xt_cdev);
	xt_nodes_free();
}
