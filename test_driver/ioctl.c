// SPDX-License-Identifier: GPL-2.0
/*
 * The ioctls: what uapi/linux/xmirror.h says of every call is done once, in
 * xt_ioctl(), and the handlers see a kernel copy of their struct.
 *
 * No lock is held here. A call keeps its file open, hence the mirror exists.
 */

#include <linux/align.h>
#include <linux/fs.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/nospec.h>
#include <linux/overflow.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include "test_driver.h"

#define XT_RW_MAX		SZ_1G
#define XT_RW_CHUNK		SZ_256K
#define XT_SNAPSHOT_CHUNK	512UL

/**
 * union xt_arg - the struct of any ioctl
 * @size: what all of them start with
 * @info: XMIRROR_IOC_INFO
 * @set: XMIRROR_IOC_SET
 * @range: XMIRROR_IOC_FAULT, XMIRROR_IOC_EXCLUSIVE, XMIRROR_IOC_RELEASE
 * @rw: XMIRROR_IOC_RW
 * @submit: XMIRROR_IOC_SUBMIT
 * @wait: XMIRROR_IOC_WAIT
 * @snapshot: XMIRROR_IOC_SNAPSHOT
 * @verify: XMIRROR_IOC_VERIFY
 * @stats: XMIRROR_IOC_STATS
 * @sync: XMIRROR_IOC_SYNC
 * @migrate: XMIRROR_IOC_MIGRATE
 * @unplug: XMIRROR_IOC_UNPLUG
 * @vram: XMIRROR_IOC_VRAM
 * @inject: XMIRROR_IOC_INJECT
 */
union xt_arg {
	u32 size;
	struct xmirror_info info;
	struct xmirror_set set;
	struct xmirror_range range;
	struct xmirror_rw rw;
	struct xmirror_submit submit;
	struct xmirror_wait wait;
	struct xmirror_snapshot snapshot;
	struct xmirror_verify verify;
	struct xmirror_stats stats;
	struct xmirror_sync sync;
	struct xmirror_migrate migrate;
	struct xmirror_unplug unplug;
	struct xmirror_vram vram;
	struct xmirror_inject inject;
};

/**
 * xt_check_range() - is this a range of the mirrored address space?
 * @f: the file
 * @addr: first byte
 * @length: bytes
 * @align: what both have to be aligned to, a power of two
 *
 * Return: 0, -EINVAL or -EFAULT as documented for all ioctls.
 */
int xt_check_range(struct xt_file *f, u64 addr, u64 length, u64 align)
{
	u64 end;

	if (!length || !IS_ALIGNED(addr | length, align))
		return -EINVAL;
	if (check_add_overflow(addr, length, &end))
		return -EINVAL;
	return end <= xmirror_mm(f->mirror)->task_size ? 0 : -EFAULT;
}

/* Called after a chunk of a long call. */
static int xt_go_on(void)
{
	cond_resched();
	return fatal_signal_pending(current) ? -EINTR : 0;
}

static int xt_ioctl_info(struct xt_file *f, union xt_arg *arg)
{
	struct xmirror_info *info = &arg->info;

	if (info->flags || info->__reserved)
		return -EINVAL;
	xmirror_info(info);
	info->caps |= XMIRROR_CAP_SYNC;
	info->devices = xt_nr_devices;
	info->engines = xt_nr_engines;
	return 0;
}

static int xt_ioctl_set(struct xt_file *f, union xt_arg *arg)
{
	struct xmirror_set *set = &arg->set;
	u64 old;

	if (set->flags || set->__reserved)
		return -EINVAL;
	switch (set->param) {
	case XMIRROR_SET_TIMEOUT:
		if (!set->value || set->value > 600000)
			return -EINVAL;
		old = xmirror_timeout(f->mirror);
		xmirror_set_timeout(f->mirror, set->value);
		break;
	case XMIRROR_SET_GRANULE:
		old = xmirror_granule(f->mirror);
		if (xmirror_set_granule(f->mirror, set->value))
			return -EINVAL;
		break;
	case XMIRROR_SET_VRAM_GRANULE:
		return xt_vram_set_granule(f, &set->value);
	case XMIRROR_SET_VRAM_UNSAFE:
		return xt_vram_set_unsafe(f, &set->value);
	case XMIRROR_SET_FORK:
		if (set->value > XMIRROR_FORK_EAGER)
			return -EINVAL;
		old = xmirror_set_fork_eager(f->mirror, set->value) ?
			XMIRROR_FORK_EAGER : XMIRROR_FORK_LAZY;
		break;
	default:
		return -EINVAL;
	}
	set->value = old;
	return 0;
}

/* src/ checks the range; a sum that wraps is a range that ends too early. */
static int xt_ioctl_fault(struct xt_file *f, union xt_arg *arg)
{
	struct xmirror_range *r = &arg->range;
	unsigned long done = 0;
	int ret;

	r->done = 0;
	r->rounds = 0;
	if (r->flags & ~XMIRROR_FAULT_WRITE)
		return -EINVAL;
	ret = xmirror_fault(f->mirror, r->addr, r->addr + r->length,
			    r->flags & XMIRROR_FAULT_WRITE, &done, &r->rounds);
	r->done = done;
	return ret;
}

static int xt_ioctl_exclusive(struct xt_file *f, union xt_arg *arg)
{
	struct xmirror_range *r = &arg->range;
	bool late = r->flags & XMIRROR_EXCLUSIVE_LATE;
	unsigned long done = 0;
	int ret;

	r->done = 0;
	r->rounds = 0;
	if (r->flags & ~(XMIRROR_EXCLUSIVE_BARE | XMIRROR_EXCLUSIVE_LATE))
		return -EINVAL;
	if (late && (!(r->flags & XMIRROR_EXCLUSIVE_BARE) ||
		     r->length != PAGE_SIZE))
		return -EINVAL;
	if (r->flags & XMIRROR_EXCLUSIVE_BARE)
		ret = xmirror_exclusive_bare(f->mirror, r->addr,
					     r->addr + r->length, late, &done);
	else
		ret = xmirror_exclusive(f->mirror, r->addr,
					r->addr + r->length, &done, &r->rounds);
	r->done = done;
	return ret;
}

static int xt_ioctl_release(struct xt_file *f, union xt_arg *arg)
{
	struct xmirror_range *r = &arg->range;
	unsigned long done = 0;
	int ret;

	r->done = 0;
	r->rounds = 0;
	if (r->flags)
		return -EINVAL;
	ret = xmirror_release(f->mirror, r->addr, r->addr + r->length,
			      &done, &r->rounds);
	r->done = done;
	return ret;
}

/*
 * Move @len bytes through @bounce; *@done counts those that arrived, also when
 * one of the two copies stopped half-way.
 */
static int xt_rw_chunk(struct xmirror *m, unsigned long addr, void __user *buf,
		       void *bounce, size_t len, bool write, u64 *done)
{
	size_t copied = 0, left;
	int ret;

	if (write) {
		left = copy_from_user(bounce, buf, len);
		if (left == len)
			return -EFAULT;
		ret = xmirror_copy(m, addr, bounce, len - left, true, &copied);
		*done += copied;
		return ret ?: left ? -EFAULT : 0;
	}

	ret = xmirror_copy(m, addr, bounce, len, false, &copied);
	left = copy_to_user(buf, bounce, copied);
	*done += copied - left;
	return left ? -EFAULT : ret;
}

/**
 * xt_rw() - let the device copy between the mirrored mm and the caller's memory
 * @m: the mirror
 * @addr: first byte in the mirrored mm
 * @length: bytes, not zero
 * @buf: the caller's memory
 * @write: from @buf to the mirrored mm
 * @done: out: bytes copied, also on failure
 *
 * Return: 0, -EFAULT for a bad @buf, -ENOMEM, -EINTR, or an error of
 * xmirror_copy().
 */
int xt_rw(struct xmirror *m, u64 addr, u64 length, void __user *buf,
	  bool write, u64 *done)
{
	size_t chunk, len;
	void *bounce;
	int ret = 0;

	*done = 0;
	chunk = min_t(u64, XT_RW_CHUNK,
		      PAGE_ALIGN(offset_in_page(addr) + length));
	bounce = kvmalloc(chunk, GFP_KERNEL);
	if (!bounce)
		return -ENOMEM;
	while (!ret && *done < length) {
		u64 pos = addr + *done;

		/* All but the first chunk start at a page of the device. */
		len = min_t(u64, chunk - offset_in_page(pos), length - *done);
		ret = xt_rw_chunk(m, pos, buf + *done, bounce, len, write,
				  done);
		if (!ret && *done < length)
			ret = xt_go_on();
	}
	kvfree(bounce);
	return ret;
}

static int xt_ioctl_rw(struct xt_file *f, union xt_arg *arg)
{
	struct xmirror_rw *rw = &arg->rw;
	int ret;

	rw->done = 0;
	if (rw->flags & ~XMIRROR_RW_WRITE || rw->length > XT_RW_MAX)
		return -EINVAL;
	ret = xt_check_range(f, rw->addr, rw->length, 1);
	if (ret)
		return ret;
	return xt_rw(f->mirror, rw->addr, rw->length, u64_to_user_ptr(rw->buf),
		     rw->flags & XMIRROR_RW_WRITE, &rw->done);
}

static int xt_ioctl_submit(struct xt_file *f, union xt_arg *arg)
{
	return xt_submit(f, &arg->submit);
}

static int xt_ioctl_wait(struct xt_file *f, union xt_arg *arg)
{
	return xt_wait(f, &arg->wait);
}

static int xt_ioctl_snapshot(struct xt_file *f, union xt_arg *arg)
{
	struct xmirror_snapshot *s = &arg->snapshot;
	struct xmirror_page __user *to = u64_to_user_ptr(s->pages);
	struct xmirror_page *pages;
	unsigned long left, nr;
	int ret;

	s->done = 0;
	if (s->flags)
		return -EINVAL;
	ret = xt_check_range(f, s->addr, s->length, PAGE_SIZE);
	if (ret)
		return ret;

	pages = kvmalloc_array(min(XT_SNAPSHOT_CHUNK, s->length >> PAGE_SHIFT),
			       sizeof(*pages), GFP_KERNEL);
	if (!pages)
		return -ENOMEM;
	while (!ret && s->done < s->length) {
		nr = min(XT_SNAPSHOT_CHUNK,
			 (s->length - s->done) >> PAGE_SHIFT);
		ret = xmirror_snapshot(f->mirror, s->addr + s->done, nr, pages);
		if (ret)
			break;
		left = copy_to_user(to, pages, nr * sizeof(*pages));
		if (left) {
			nr -= DIV_ROUND_UP(left, sizeof(*pages));
			ret = -EFAULT;
		}
		to += nr;
		s->done += nr << PAGE_SHIFT;
		if (!ret && s->done < s->length)
			ret = xt_go_on();
	}
	kvfree(pages);
	return ret;
}

static int xt_ioctl_verify(struct xt_file *f, union xt_arg *arg)
{
	if (arg->verify.flags || arg->verify.__reserved)
		return -EINVAL;
	return xmirror_verify(f->mirror, &arg->verify);
}

static int xt_ioctl_stats(struct xt_file *f, union xt_arg *arg)
{
	if (arg->stats.flags)
		return -EINVAL;
	xmirror_stats(f->mirror, &arg->stats);
	arg->stats.jobs = xt_jobs_count(f);
	arg->stats.devmem_pages = 0;
	arg->stats.devmem_free = 0;
	arg->stats.devmem_evicted = 0;
	if (f->dev->dm)
		xmirror_devmem_stats(f->dev->dm, &arg->stats.devmem_pages,
				     &arg->stats.devmem_free,
				     &arg->stats.devmem_evicted);
	return 0;
}

static int xt_ioctl_migrate(struct xt_file *f, union xt_arg *arg)
{
	struct xmirror_devmem *from = NULL, *to = f->dev->dm;
	struct xmirror_migrate *mig = &arg->migrate;
	unsigned long done = 0;
	struct xt_device *peer;
	int ret;

	mig->done = 0;
	mig->moved = 0;
	if (mig->__reserved)
		return -EINVAL;
	switch (mig->flags) {
	case 0:
	case XMIRROR_MIGRATE_TO_SYSTEM:
		if (mig->peer)
			return -EINVAL;
		break;
	case XMIRROR_MIGRATE_FROM_PEER:
		peer = xt_device_get(mig->peer);
		if (!peer || peer == f->dev)
			return -EINVAL;
		from = peer->dm;
		break;
	default:
		return -EINVAL;
	}
	if (!to || (mig->flags && !from &&
		    mig->flags != XMIRROR_MIGRATE_TO_SYSTEM))
		return -EOPNOTSUPP;
	if (mig->flags == XMIRROR_MIGRATE_TO_SYSTEM)
		swap(from, to);
	ret = xmirror_migrate(f->mirror, mig->addr, mig->addr + mig->length,
			      from, to, &done, &mig->moved);
	mig->done = done;
	return ret;
}

static int xt_ioctl_unplug(struct xt_file *f, union xt_arg *arg)
{
	struct xmirror_unplug *u = &arg->unplug;
	u64 total, free, evicted;
	int ret = 0;

	u->left = 0;
	if (u->flags & ~XMIRROR_UNPLUG_REPLUG || u->__reserved)
		return -EINVAL;
	if (!f->dev->dm)
		return -EOPNOTSUPP;
	if (u->flags & XMIRROR_UNPLUG_REPLUG)
		xmirror_devmem_replug(f->dev->dm);
	else
		ret = xmirror_devmem_unplug(f->dev->dm, u->timeout_ms);
	xmirror_devmem_stats(f->dev->dm, &total, &free, &evicted);
	u->left = total - free;
	return ret;
}

static int xt_ioctl_sync(struct xt_file *f, union xt_arg *arg)
{
	return xt_sync(f, &arg->sync);
}

static int xt_ioctl_vram(struct xt_file *f, union xt_arg *arg)
{
	return xt_vram_ioctl(f, &arg->vram);
}

static int xt_ioctl_inject(struct xt_file *f, union xt_arg *arg)
{
	return xt_inject(f, &arg->inject);
}

/**
 * struct xt_ioctl_desc - what xt_ioctl() has to know of a call
 * @min_size: size of the first version of its struct
 * @size: size of this one
 * @handler: does it
 */
struct xt_ioctl_desc {
	u16 min_size;
	u16 size;
	int (*handler)(struct xt_file *f, union xt_arg *arg);
};

#define XT_IOCTL(_nr, _min_size, _type, _handler)			\
	[_IOC_NR(XMIRROR_IOC_##_nr)] = {				\
		.min_size = _min_size,					\
		.size = sizeof(_type),					\
		.handler = _handler,					\
	}

/* The numbers are ABI: they stay when a struct grows. */
static const struct xt_ioctl_desc xt_ioctls[] = {
	XT_IOCTL(INFO, 584, struct xmirror_info, xt_ioctl_info),
	XT_IOCTL(SET, 24, struct xmirror_set, xt_ioctl_set),
	XT_IOCTL(FAULT, 40, struct xmirror_range, xt_ioctl_fault),
	XT_IOCTL(EXCLUSIVE, 40, struct xmirror_range, xt_ioctl_exclusive),
	XT_IOCTL(RELEASE, 40, struct xmirror_range, xt_ioctl_release),
	XT_IOCTL(RW, 40, struct xmirror_rw, xt_ioctl_rw),
	XT_IOCTL(SUBMIT, 48, struct xmirror_submit, xt_ioctl_submit),
	XT_IOCTL(WAIT, 56, struct xmirror_wait, xt_ioctl_wait),
	XT_IOCTL(SNAPSHOT, 40, struct xmirror_snapshot, xt_ioctl_snapshot),
	XT_IOCTL(VERIFY, 40, struct xmirror_verify, xt_ioctl_verify),
	XT_IOCTL(STATS, 256, struct xmirror_stats, xt_ioctl_stats),
	XT_IOCTL(SYNC, 72, struct xmirror_sync, xt_ioctl_sync),
	XT_IOCTL(MIGRATE, 48, struct xmirror_migrate, xt_ioctl_migrate),
	XT_IOCTL(UNPLUG, 24, struct xmirror_unplug, xt_ioctl_unplug),
	XT_IOCTL(VRAM, 88, struct xmirror_vram, xt_ioctl_vram),
	XT_IOCTL(INJECT, 56, struct xmirror_inject, xt_ioctl_inject),
};

static const struct xt_ioctl_desc *xt_ioctl_find(unsigned int cmd)
{
	unsigned int nr = _IOC_NR(cmd);

	if (nr >= ARRAY_SIZE(xt_ioctls) || cmd != _IO(XMIRROR_IOC_TYPE, nr))
		return NULL;
	return &xt_ioctls[array_index_nospec(nr, ARRAY_SIZE(xt_ioctls))];
}

/*
 * As long as the caller runs in the mirrored mm that has a user. mm_struct
 * itself is pinned by the mirror, so no other mm can have its address.
 */
static int xt_check_mm(struct xt_file *f)
{
	struct mm_struct *mm = xmirror_mm(f->mirror);

	if (current->mm == mm)
		return 0;
	return atomic_read(&mm->mm_users) ? -EPERM : -ESRCH;
}

static int xt_arg_get(const struct xt_ioctl_desc *desc, union xt_arg *arg,
		      void __user *uarg, u32 *size)
{
	int ret;

	if (get_user(*size, (u32 __user *)uarg))
		return -EFAULT;
	if (*size < desc->min_size)
		return -EINVAL;
	/* No version will be longer; spares a walk of up to 4 GiB of zeros. */
	if (*size > PAGE_SIZE)
		return -E2BIG;
	ret = copy_struct_from_user(arg, desc->size, uarg, *size);
	if (ret)
		return ret;
	/* The caller may have changed it in between. */
	arg->size = *size;
	return 0;
}

static int xt_arg_put(const struct xt_ioctl_desc *desc, union xt_arg *arg,
		      void __user *uarg, u32 size)
{
	arg->size = size;
	return copy_to_user(uarg, arg, min_t(u32, size, desc->size)) ?
	       -EFAULT : 0;
}

long xt_ioctl(struct file *file, unsigned int cmd, unsigned long argp)
{
	const struct xt_ioctl_desc *desc = xt_ioctl_find(cmd);
	void __user *uarg = (void __user *)argp;
	struct xt_file *f = file->private_data;
	union xt_arg arg;
	int ret, err;
	u32 size;

	if (!desc)
		return -ENOTTY;
	ret = xt_check_mm(f);
	if (ret)
		return ret;
	ret = xt_arg_get(desc, &arg, uarg, &size);
	if (ret)
		return ret;
	/* Nothing shall be done whose outcome could not be told. */
	ret = xt_arg_put(desc, &arg, uarg, size);
	if (ret)
		return ret;

	ret = desc->handler(f, &arg);
	err = xt_arg_put(desc, &arg, uarg, size);
	return ret ?: err;
}
