// SPDX-License-Identifier: GPL-2.0
/*
 * The ioctls of /dev/hmm_dmirrorN.
 *
 * Numbers, struct, order of the checks and errors are those of the kernel's own
 * test device, including the odd ones: every call checks the range, also those
 * that have no use for one; only a call that succeeded writes the struct back;
 * an unknown number is -EINVAL. What is different:
 *
 *  - RELEASE gives back the device memory of this file, not everybody's.
 *  - FLAGS: a large allocation is what fails, and small pages do in its place.
 *    It is armed for the device, whose next large migration it strikes, and
 *    disarmed when the file that armed it is closed.
 *  - MIGRATE_TO_DEV finds a page in the device, and READ and WRITE work on it,
 *    whatever was invalidated since it moved there.
 *  - 32-bit callers are served.
 */

#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include "dmirror.h"
#include "dmirror_abi.h"
#include "test_driver.h"

#define XT_SNAP_CHUNK		512UL

/* How the calls that need the address space tell that it is gone. */
static int xt_dmirror_errno(int ret)
{
	return ret == -ESRCH ? -EINVAL : ret;
}

static int xt_dmirror_rw(struct xt_dmirror_file *f, struct xt_dmirror_cmd *cmd,
			 unsigned long size, bool write, bool wait)
{
	enum xmirror_mode mode = write ? XM_WRITE : XM_READ;
	struct xt_rw rw = {
		.hw = &f->hw,
		.addr = cmd->addr,
		.length = size,
		.buf = u64_to_user_ptr(cmd->ptr),
		.write = write,
	};
	struct xmirror_result res;
	int ret;

	/* The whole range first: nothing is copied if a part is bad. */
	if (wait)
		ret = xmirror_fault_unlocked(f->mirror, cmd->addr,
					     cmd->addr + size, mode, &res);
	else
		ret = xmirror_fault(f->mirror, cmd->addr, cmd->addr + size,
				    mode, &res);
	/* Retries of a fault count as one. */
	cmd->faults = !!res.count;
	if (!ret)
		ret = xt_rw(&rw);
	cmd->cpages = size >> PAGE_SHIFT;
	return ret == -ESRCH ? -EFAULT : ret;
}

/* Show the caller what the device has there. */
static int xt_dmirror_show(struct xt_dmirror_file *f,
			   struct xt_dmirror_cmd *cmd, unsigned long size)
{
	struct xt_rw rw = {
		.hw = &f->hw,
		.addr = cmd->addr,
		.length = size,
		.buf = u64_to_user_ptr(cmd->ptr),
	};

	cmd->cpages = size >> PAGE_SHIFT;
	return xt_rw(&rw);
}

static int xt_dmirror_migrate(struct xt_dmirror_file *f,
			      struct xt_dmirror_cmd *cmd, unsigned long size,
			      bool to_device)
{
	struct xmirror_move move = {
		.start = cmd->addr,
		.end = cmd->addr + size,
	};
	struct xmirror_result res;
	int ret;

	/* No page will be in this device, then. */
	if (!f->dmirror->mem)
		return to_device ? -ENOENT : 0;
	if (to_device)
		move.to = f->dmirror->mem->dm;
	else
		move.from = f->dmirror->mem->dm;
	ret = xmirror_migrate(f->mirror, &move, &res);
	/* Holes, mappings without access, those that do not migrate. */
	if (ret == -EFAULT || ret == -EOPNOTSUPP)
		return -EINVAL;
	if (ret)
		return xt_dmirror_errno(ret);
	cmd->cpages = res.count;
	if (!to_device)
		return 0;
	ret = xmirror_fault(f->mirror, move.start, move.end, XM_LOCAL, &res);
	return ret ?: xt_dmirror_show(f, cmd, size);
}

static int xt_dmirror_exclusive(struct xt_dmirror_file *f,
				struct xt_dmirror_cmd *cmd, unsigned long size)
{
	struct xmirror_result res;
	int ret;

	ret = xmirror_exclusive(f->mirror, cmd->addr, cmd->addr + size, NULL,
				&res);
	if (!ret)
		ret = xt_dmirror_show(f, cmd, size);
	return xt_dmirror_errno(ret);
}

static u8 xt_dmirror_code(const struct xmirror_view *view)
{
	u32 cpu = view->flags;
	u8 code = 0;

	if (cpu & (XM_CPU_HOLE | XM_CPU_NOACCESS))
		return XT_SNAP_ERROR;
	if (cpu & XM_CPU_PRIVATE) {
		/* Of another device's memory this one knows nothing. */
		if (!(cpu & XM_CPU_LOCAL))
			return XT_SNAP_NONE;
		code = XT_SNAP_PRIVATE;
	} else if (!(cpu & XM_CPU_PRESENT)) {
		return XT_SNAP_NONE;
	} else if (cpu & XM_CPU_COHERENT) {
		code = cpu & XM_CPU_LOCAL ? XT_SNAP_COHERENT :
						 XT_SNAP_COHERENT_REMOTE;
	} else if (cpu & XM_CPU_ZERO) {
		code = XT_SNAP_ZERO;
	}
	code |= cpu & XM_CPU_WRITE ? XT_SNAP_WRITE : XT_SNAP_READ;
	if (cpu & XM_CPU_HUGE)
		code |= cpu & XM_CPU_PUD ? XT_SNAP_PUD : XT_SNAP_PMD;
	return code;
}

/**
 * xt_dmirror_look() - go over a range with xmirror_snapshot()
 * @f: the file
 * @addr: first address
 * @nr: pages
 * @to: where a code for each page goes
 *
 * Return: 0; -EFAULT for a bad @to; or an error of xmirror_snapshot().
 */
static int xt_dmirror_look(struct xt_dmirror_file *f, unsigned long addr,
			   unsigned long nr, u8 __user *to)
{
	struct xmirror_view *views;
	unsigned long i, n;
	int ret = 0;
	u8 *codes;

	views = kvmalloc_array(min(nr, XT_SNAP_CHUNK), sizeof(*views) + 1,
			       GFP_KERNEL);
	if (!views)
		return -ENOMEM;
	for (; nr && !ret; nr -= n, addr += n << PAGE_SHIFT) {
		n = min(nr, XT_SNAP_CHUNK);
		codes = (u8 *)(views + n);
		ret = xmirror_snapshot(f->mirror, addr, n, views);
		for (i = 0; i < n && !ret; i++)
			codes[i] = xt_dmirror_code(&views[i]);
		if (!ret && copy_to_user(to, codes, n))
			ret = -EFAULT;
		to += n;
		if (!ret && fatal_signal_pending(current))
			ret = -EINTR;
		cond_resched();
	}
	kvfree(views);
	return ret;
}

/*
 * -EPERM if the device has a page of the range exclusively. Only where it has been is
 * there anything to see, for the range may be all of the address space, and more.
 */
static int xt_dmirror_check_exclusive(struct xt_dmirror_file *f, unsigned long addr,
				      unsigned long end)
{
	struct xmirror_interval *iv;
	unsigned long *word, stop;
	int ret;

	ret = xmirror_enter(f->mirror);
	/* Without an address space nothing is exclusive. */
	if (ret)
		return ret == -ESRCH ? 0 : ret;
	while (!ret && (iv = xmirror_interval_next(f->mirror, &addr, end))) {
		stop = min3(end, iv->end, addr + (XT_SNAP_CHUNK << PAGE_SHIFT));
		read_lock(&iv->lock);
		for (; addr < stop && !ret; addr += PAGE_SIZE) {
			if (xt_pte(iv, addr, &word) & XM_PTE_EXCLUSIVE)
				ret = -EPERM;
		}
		read_unlock(&iv->lock);
		if (!ret && fatal_signal_pending(current))
			ret = -EINTR;
		cond_resched();
	}
	xmirror_leave(f->mirror);
	return ret;
}

static int xt_dmirror_call(struct xt_dmirror_file *f, unsigned int call,
			   struct xt_dmirror_cmd *cmd)
{
	unsigned long size = cmd->npages << PAGE_SHIFT;
	int ret;

	switch (call) {
	case XT_DMIRROR_READ:
		return xt_dmirror_rw(f, cmd, size, false, false);
	case XT_DMIRROR_READ_UNLOCKED:
		return xt_dmirror_rw(f, cmd, size, false, true);
	case XT_DMIRROR_WRITE:
		return xt_dmirror_rw(f, cmd, size, true, false);
	case XT_DMIRROR_MIGRATE_TO_DEV:
		return xt_dmirror_migrate(f, cmd, size, true);
	case XT_DMIRROR_MIGRATE_TO_SYS:
		return xt_dmirror_migrate(f, cmd, size, false);
	case XT_DMIRROR_SNAPSHOT:
		cmd->cpages = size >> PAGE_SHIFT;
		ret = xt_dmirror_look(f, cmd->addr, cmd->cpages,
				      u64_to_user_ptr(cmd->ptr));
		return xt_dmirror_errno(ret);
	case XT_DMIRROR_EXCLUSIVE:
		return xt_dmirror_exclusive(f, cmd, size);
	case XT_DMIRROR_CHECK_EXCLUSIVE:
		return xt_dmirror_check_exclusive(f, cmd->addr, cmd->addr + size);
	case XT_DMIRROR_RELEASE:
		xmirror_evict(f->mirror);
		return 0;
	case XT_DMIRROR_FLAGS:
		f->fails = cmd->npages & XT_DMIRROR_FAIL_ALLOC;
		if (f->fails)
			xt_points_switch_on();
		if (f->dmirror->mem)
			WRITE_ONCE(f->dmirror->mem->fail_large, f->fails);
		return 0;
	default:
		return -EINVAL;
	}
}

long xt_dmirror_ioctl(struct file *file, unsigned int call, unsigned long arg)
{
	void __user *uarg = (void __user *)arg;
	struct xt_dmirror_cmd cmd;
	int ret;

	if (copy_from_user(&cmd, uarg, sizeof(cmd)))
		return -EFAULT;
	/* The bits that are shifted out of npages are ignored. */
	if (!PAGE_ALIGNED(cmd.addr) ||
	    cmd.addr + (cmd.npages << PAGE_SHIFT) <= cmd.addr)
		return -EINVAL;
	cmd.cpages = 0;
	cmd.faults = 0;
	ret = xt_dmirror_call(file->private_data, call, &cmd);
	if (ret)
		return ret;
	return copy_to_user(uarg, &cmd, sizeof(cmd)) ? -EFAULT : 0;
}
