// SPDX-License-Identifier: GPL-2.0
/*
 * An open file: one mirror of the opener's mm.
 *
 * A file can outlive its mm (exec, a passed descriptor) and can be closed by
 * another process. The mirror does not keep the address space, see mirror.c.
 *
 * The order of release matters. First threads that are held in the kernel or
 * stopped at a sync point go on; one may be an engine with a job of this file. Then
 * the jobs are told to end, and the file's reference to the mirror is put. A job
 * has one, too: it may be inside a fault that only the closing process could serve.
 * With the last reference the mirror ends. After that no notifier of another thread
 * is inside xt_point(), and the file can be freed.
 */

#include <linux/compat.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/poll.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/wait_bit.h>
#include "compat.h"
#include "dmirror.h"
#include "test_driver.h"

static LIST_HEAD(xt_files);
static DEFINE_SPINLOCK(xt_files_lock); /* protects xt_files and the last id */

/* Give the file a number and put it on the list. */
static void xt_file_add(struct xt_file *f)
{
	static u64 last_id;

	spin_lock(&xt_files_lock);
	f->id = ++last_id;
	list_add_tail(&f->node, &xt_files);
	spin_unlock(&xt_files_lock);
}

/* Take the file off the list, and wait for its visitors. */
static void xt_file_remove(struct xt_file *f)
{
	spin_lock(&xt_files_lock);
	list_del(&f->node);
	spin_unlock(&xt_files_lock);
	wait_var_event(&f->visitors, !atomic_read(&f->visitors));
}

/* The next file with @dm and @mm (NULL: any) after number @id, held. */
static struct xt_file *xt_file_visit(struct xmirror_devmem *dm,
				     struct mm_struct *mm, u64 id)
{
	struct xt_file *f;

	spin_lock(&xt_files_lock);
	list_for_each_entry(f, &xt_files, node) {
		if (f->id <= id || !f->hw.mem || f->hw.mem->dm != dm ||
		    (mm && xmirror_mm(f->mirror) != mm))
			continue;
		atomic_inc(&f->visitors);
		spin_unlock(&xt_files_lock);
		return f;
	}
	spin_unlock(&xt_files_lock);
	return NULL;
}

/* The file may be freed right after; only its address is used then. */
static void xt_file_leave(struct xt_file *f)
{
	if (atomic_dec_and_test(&f->visitors))
		wake_up_var(&f->visitors);
}

/* &struct xmirror_hooks.device */
void xt_point_device(struct xmirror_devmem *dm, struct mm_struct *mm,
		     const struct xm_visit *visit)
{
	struct xt_file *f;
	u64 id = 0;

	while ((f = xt_file_visit(dm, mm, id))) {
		id = f->id;
		xt_point(f->mirror, visit);
		xt_file_leave(f);
	}
}

/* 0, or what a file of the device with @dm has injected. May sleep. */
int xt_inject_device(struct xmirror_devmem *dm, enum xmirror_inject_what what)
{
	struct xt_file *f;
	int ret = 0;
	u64 id = 0;

	while (!ret && (f = xt_file_visit(dm, NULL, id))) {
		id = f->id;
		ret = xt_inject_file(f, what, true);
		xt_file_leave(f);
	}
	return ret;
}

static int xt_open(struct inode *inode, struct file *file)
{
	struct xt_file *f;
	int ret;

	/* The mm of a kernel thread may be a borrowed one. */
	if (!current->mm || (current->flags & PF_KTHREAD))
		return -ESRCH;

	f = kzalloc_obj(*f, GFP_KERNEL_ACCOUNT);
	if (!f)
		return -ENOMEM;
	f->dev = xt_device_get(iminor(inode) - XT_DMIRRORS);
	xt_jobs_init(f);
	xt_sync_init(f);
	xt_raw_open(f);
	f->hw.file = f;
	ret = xt_hw_create(&f->hw, f->dev->mem, &xt_mirror_ops);
	if (ret)
		goto err;
	f->mirror = f->hw.m;
	xt_file_add(f);
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

	xt_hold_close(f);
	xt_sync_close(f);
	xt_inject_close(f);
	xt_jobs_close(f);
	xt_file_remove(f);
	xt_vram_close(f);
	xt_raw_close(f);
	xmirror_put(f->mirror);
	return 0;
}

/* The mirror and its last job have ended. &struct xmirror_ops.release */
void xt_file_free(void *priv)
{
	struct xt_file *f = container_of((struct xt_hw *)priv, struct xt_file,
					 hw);

	xt_jobs_free(f);
	kfree(f);
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
