// SPDX-License-Identifier: GPL-2.0
/*
 * An open file: one mirror of the opener's mm.
 *
 * A file can outlive its mm (exec, a passed descriptor) and can be closed by
 * another process. The mirror does not keep the address space, see mirror.c.
 *
 * The order of release matters. First whoever is stopped at a sync point is let
 * go, which may be an engine with a job of this file. Then the jobs end. Last
 * the mirror goes: when xmirror_destroy() returns, no notifier of another
 * thread is inside xt_point(), so that the file can be freed.
 */

#include <linux/compat.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/poll.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include "compat.h"
#include "test_driver.h"

static const struct xmirror_ops xt_mirror_ops = {
	.point = xt_point,
};

static int xt_open(struct inode *inode, struct file *file)
{
	struct xt_file *f;
	int ret;

	/* A kernel thread may have borrowed an mm that is not its own. */
	if (!current->mm || (current->flags & PF_KTHREAD))
		return -ESRCH;

	f = kzalloc_obj(*f, GFP_KERNEL_ACCOUNT);
	if (!f)
		return -ENOMEM;
	/* misc_open() leaves the struct miscdevice here. */
	f->dev = container_of(file->private_data, struct xt_device, misc);
	xt_jobs_init(f);
	xt_sync_init(f);
	f->mirror = xmirror_create(current->mm, f->dev->dm, &xt_mirror_ops,
				   f);
	if (IS_ERR(f->mirror)) {
		ret = PTR_ERR(f->mirror);
		goto err;
	}
	file->private_data = f;
	xt_vram_open(f, file);
	return nonseekable_open(inode, file);

err:
	kfree(f);
	return ret;
}

static int xt_release(struct inode *inode, struct file *file)
{
	struct xt_file *f = file->private_data;

	xt_sync_close(f);
	xt_inject_close(f);
	xt_jobs_close(f);
	xmirror_destroy(f->mirror);
	kfree(f);
	return 0;
}

static __poll_t xt_poll(struct file *file, poll_table *table)
{
	struct xt_file *f = file->private_data;

	poll_wait(file, &f->job_wait, table);
	return xt_jobs_finished(f) ? EPOLLIN | EPOLLRDNORM : 0;
}

const struct file_operations xt_fops = {
	.owner = THIS_MODULE,
	.open = xt_open,
	.release = xt_release,
	.poll = xt_poll,
	.unlocked_ioctl = xt_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.mmap = xt_vram_mmap,
	.get_unmapped_area = thp_get_unmapped_area,
	.llseek = noop_llseek,
};
