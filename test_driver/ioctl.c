// SPDX-License-Identifier: GPL-2.0
/*
 * The ioctls: what uapi/linux/xmirror.h says of every call is done once, in
 * xt_ioctl(), and the handlers see a kernel copy of their struct.
 *
 * No lock is held here. A call keeps its file open, hence the mirror exists.
 */

#include <linux/align.h>
#include <linux/build_bug.h>
#include <linux/capability.h>
#include <linux/fs.h>
#include <linux/jiffies.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/nospec.h>
#include <linux/overflow.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/security.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/stddef.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <xmirror/version.h>
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
 * @raw_exclusive: XMIRROR_IOC_RAW_EXCLUSIVE
 * @raw_hmm: XMIRROR_IOC_RAW_HMM
 * @raw_migrate: XMIRROR_IOC_RAW_MIGRATE
 * @raw_notifier: XMIRROR_IOC_RAW_NOTIFIER
 * @raw_state: XMIRROR_IOC_RAW_STATE
 * @hold: XMIRROR_IOC_HOLD
 * @resident: XMIRROR_IOC_RESIDENT
 * @prefer: XMIRROR_IOC_PREFER
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
	struct xmirror_raw_exclusive raw_exclusive;
	struct xmirror_raw_hmm raw_hmm;
	struct xmirror_raw_migrate raw_migrate;
	struct xmirror_raw_notifier raw_notifier;
	struct xmirror_raw_state raw_state;
	struct xmirror_hold hold;
	struct xmirror_resident resident;
	struct xmirror_prefer prefer;
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

/**
 * xt_may_corrupt() - may the caller have memory of others corrupted?
 *
 * For what breaks the rules of the mm on purpose. Lockdown is about exactly that:
 * not even root may change the kernel's memory.
 *
 * Return: 0, or -EPERM.
 */
int xt_may_corrupt(void)
{
	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;
	return security_locked_down(LOCKDOWN_DEV_MEM);
}

/**
 * xt_ms_left() - what is left of a timeout
 * @ms: the timeout, ~0 for none
 * @start: jiffies when the call began
 *
 * Return: milliseconds to pass to the call when it is made again.
 */
u32 xt_ms_left(u32 ms, unsigned long start)
{
	unsigned int past = jiffies_to_msecs(jiffies - start);

	return ms == U32_MAX ? ms : ms - min(ms, past);
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
	xt_get_info(info, f->dev->mem);
	info->caps |= XMIRROR_CAP_SYNC;
	info->uapi_version = XMIRROR_UAPI_VERSION;
	info->__reserved2 = 0;
	strscpy_pad(info->version, XMIRROR_VERSION, sizeof(info->version));
	xt_hold_info(info);
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
		if (set->value == U64_MAX)
			set->value = SZ_2M;
		if (set->value != PAGE_SIZE && set->value != SZ_64K &&
		    set->value != SZ_2M)
			return -EINVAL;
		xmirror_set_granule(f->mirror, set->value);
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
	case XMIRROR_SET_SLICE:
		if (set->value > 60000)
			return -EINVAL;
		old = xmirror_set_slice(f->mirror, set->value);
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
	struct xmirror_result res = {};
	int ret;

	r->done = 0;
	r->rounds = 0;
	if (r->flags & ~XMIRROR_FAULT_WRITE)
		return -EINVAL;
	ret = xmirror_fault(f->mirror, r->addr, r->addr + r->length,
			    r->flags & XMIRROR_FAULT_WRITE ? XM_WRITE : XM_READ,
			    &res);
	r->done = res.done;
	r->rounds = res.count;
	return ret;
}

static int xt_ioctl_exclusive(struct xt_file *f, union xt_arg *arg)
{
	struct xmirror_range *r = &arg->range;
	bool late = r->flags & XMIRROR_EXCLUSIVE_LATE;
	struct xmirror_result res = {};
	int ret;

	r->done = 0;
	r->rounds = 0;
	if (r->flags & ~(XMIRROR_EXCLUSIVE_BARE | XMIRROR_EXCLUSIVE_LATE))
		return -EINVAL;
	if (late && (!(r->flags & XMIRROR_EXCLUSIVE_BARE) ||
		     r->length != PAGE_SIZE))
		return -EINVAL;
	if (late && !capable(CAP_SYS_ADMIN))
		return -EPERM;
	if (r->flags & XMIRROR_EXCLUSIVE_BARE)
		ret = xt_exclusive_bare(f->mirror, r->addr, r->addr + r->length,
					late, &res.done);
	else
		ret = xmirror_exclusive(f->mirror, r->addr,
					r->addr + r->length, NULL, &res);
	r->done = res.done;
	r->rounds = res.count;
	return ret;
}

static int xt_ioctl_release(struct xt_file *f, union xt_arg *arg)
{
	struct xmirror_range *r = &arg->range;
	struct xmirror_result res = {};
	int ret;

	r->done = 0;
	r->rounds = 0;
	if (r->flags)
		return -EINVAL;
	ret = xmirror_release(f->mirror, r->addr, r->addr + r->length, &res);
	r->done = res.done;
	r->rounds = res.count;
	return ret;
}

/*
 * Copy the next @len bytes through @bounce; @rw->done counts those that arrived, also
 * when one of the two copies stopped half-way.
 */
static int xt_rw_chunk(struct xt_rw *rw, void *bounce, size_t len)
{
	struct xt_copy c = {
		.addr = rw->addr + rw->done,
		.buf = bounce,
		.length = len,
		.write = rw->write,
	};
	void __user *buf = rw->buf + rw->done;
	size_t left;
	int ret;

	if (c.write) {
		left = copy_from_user(bounce, buf, len);
		if (left == len)
			return -EFAULT;
		c.length -= left;
		ret = xt_copy(rw->hw, &c);
		rw->done += c.done;
		return ret ?: left ? -EFAULT : 0;
	}

	ret = xt_copy(rw->hw, &c);
	left = copy_to_user(buf, bounce, c.done);
	rw->done += c.done - left;
	return left ? -EFAULT : ret;
}

/**
 * xt_rw() - let the device copy between the mirrored mm and the caller's memory
 * @rw: what to copy; @rw->done is set also on failure
 *
 * Return: 0, -EFAULT for a bad @rw->buf, -ENOMEM, -EINTR, or an error of
 * xt_copy().
 */
int xt_rw(struct xt_rw *rw)
{
	size_t chunk, len;
	void *bounce;
	int ret = 0;

	rw->done = 0;
	chunk = min_t(u64, XT_RW_CHUNK,
		      PAGE_ALIGN(offset_in_page(rw->addr) + rw->length));
	bounce = kvmalloc(chunk, GFP_KERNEL);
	if (!bounce)
		return -ENOMEM;
	while (!ret && rw->done < rw->length) {
		/* All but the first chunk start at a page of the device. */
		len = min_t(u64, chunk - offset_in_page(rw->addr + rw->done),
			    rw->length - rw->done);
		ret = xt_rw_chunk(rw, bounce, len);
		if (!ret && rw->done < rw->length)
			ret = xt_go_on();
	}
	kvfree(bounce);
	return ret;
}

static int xt_ioctl_rw(struct xt_file *f, union xt_arg *arg)
{
	struct xmirror_rw *r = &arg->rw;
	struct xt_rw rw = {
		.hw = &f->hw,
		.addr = r->addr,
		.length = r->length,
		.buf = u64_to_user_ptr(r->buf),
		.write = r->flags & XMIRROR_RW_WRITE,
	};
	int ret;

	r->done = 0;
	if (r->flags & ~XMIRROR_RW_WRITE || r->length > XT_RW_MAX)
		return -EINVAL;
	ret = xt_check_range(f, r->addr, r->length, 1);
	if (ret)
		return ret;
	ret = xt_rw(&rw);
	r->done = rw.done;
	return ret;
}

static int xt_ioctl_submit(struct xt_file *f, union xt_arg *arg)
{
	return xt_submit(f, &arg->submit);
}

static int xt_ioctl_wait(struct xt_file *f, union xt_arg *arg)
{
	return xt_wait(f, &arg->wait);
}

/* As in /proc/PID/pagemap, page frames are for CAP_SYS_ADMIN: think of rowhammer. */
static void xt_hide_pfns(struct xmirror_page *pages, unsigned long nr)
{
	unsigned long i;

	for (i = 0; i < nr; i++) {
		pages[i].dev_pfn = 0;
		pages[i].cpu_pfn = 0;
	}
}

static int xt_ioctl_snapshot(struct xt_file *f, union xt_arg *arg)
{
	struct xmirror_snapshot *s = &arg->snapshot;
	struct xmirror_page __user *to = u64_to_user_ptr(s->pages);
	bool pfns = capable(CAP_SYS_ADMIN);
	struct xmirror_page *pages;
	struct xmirror_view *views;
	unsigned long left, nr, i;
	int ret;

	s->done = 0;
	if (s->flags)
		return -EINVAL;
	ret = xt_check_range(f, s->addr, s->length, PAGE_SIZE);
	if (ret)
		return ret;

	nr = min(XT_SNAPSHOT_CHUNK, s->length >> PAGE_SHIFT);
	pages = kvmalloc_array(nr, sizeof(*pages) + sizeof(*views), GFP_KERNEL);
	if (!pages)
		return -ENOMEM;
	views = (struct xmirror_view *)&pages[nr];
	while (!ret && s->done < s->length) {
		nr = min(XT_SNAPSHOT_CHUNK,
			 (s->length - s->done) >> PAGE_SHIFT);
		ret = xmirror_snapshot(f->mirror, s->addr + s->done, nr, views);
		if (ret)
			break;
		for (i = 0; i < nr; i++)
			xt_get_page(&views[i], &pages[i]);
		if (!pfns)
			xt_hide_pfns(pages, nr);
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
	struct xmirror_verify *v = &arg->verify;
	struct xmirror_violations found = {};
	int ret;

	if (v->flags || v->__reserved)
		return -EINVAL;
	ret = xmirror_verify(f->mirror, &found);
	v->checked = found.checked;
	v->violations = found.violations;
	v->first_addr = found.first_addr;
	v->first_kind = found.first_kind;
	return ret;
}

static int xt_ioctl_stats(struct xt_file *f, union xt_arg *arg)
{
	if (arg->stats.flags)
		return -EINVAL;
	xt_get_stats(f, &arg->stats);
	return 0;
}

static struct xmirror_devmem *xt_device_dm(struct xt_device *dev)
{
	return dev->mem ? dev->mem->dm : NULL;
}

static int xt_ioctl_migrate(struct xt_file *f, union xt_arg *arg)
{
	struct xmirror_migrate *mig = &arg->migrate;
	struct xmirror_move move = {
		.start = mig->addr,
		.end = mig->addr + mig->length,
		.to = xt_device_dm(f->dev),
	};
	struct xmirror_result res = {};
	struct xt_device *peer;
	int ret;

	mig->done = 0;
	mig->moved = 0;
	if (mig->__reserved)
		return -EINVAL;
	switch (mig->flags) {
	case 0:
	case XMIRROR_MIGRATE_TO_SYSTEM:
	case XMIRROR_MIGRATE_GATHER:
		if (mig->peer)
			return -EINVAL;
		move.gather = mig->flags == XMIRROR_MIGRATE_GATHER;
		break;
	case XMIRROR_MIGRATE_FROM_PEER:
		peer = xt_device_get(mig->peer);
		if (!peer || peer == f->dev)
			return -EINVAL;
		move.from = xt_device_dm(peer);
		break;
	default:
		return -EINVAL;
	}
	if (!move.to ||
	    (mig->flags == XMIRROR_MIGRATE_FROM_PEER && !move.from))
		return -EOPNOTSUPP;
	if (mig->flags == XMIRROR_MIGRATE_TO_SYSTEM)
		swap(move.from, move.to);
	ret = xmirror_migrate(f->mirror, &move, &res);
	mig->done = res.done;
	mig->moved = res.count;
	return ret;
}

static int xt_ioctl_unplug(struct xt_file *f, union xt_arg *arg)
{
	struct xmirror_devmem *dm = xt_device_dm(f->dev);
	struct xmirror_unplug *u = &arg->unplug;
	u64 total, free, evicted;
	int ret = 0;

	u->left = 0;
	if (u->flags & ~XMIRROR_UNPLUG_REPLUG || u->__reserved)
		return -EINVAL;
	if (!dm)
		return -EOPNOTSUPP;
	/* It is everybody's memory. */
	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;
	if (u->flags & XMIRROR_UNPLUG_REPLUG)
		xmirror_devmem_replug(dm);
	else
		ret = xmirror_devmem_unplug(dm, u->timeout_ms);
	xmirror_devmem_stats(dm, &total, &free, &evicted);
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

static int xt_ioctl_raw_exclusive(struct xt_file *f, union xt_arg *arg)
{
	return xt_raw_exclusive(f, &arg->raw_exclusive);
}

static int xt_ioctl_raw_hmm(struct xt_file *f, union xt_arg *arg)
{
	return xt_raw_hmm(f, &arg->raw_hmm);
}

static int xt_ioctl_raw_migrate(struct xt_file *f, union xt_arg *arg)
{
	bool unsafe = arg->raw_migrate.flags & XMIRROR_RAW_UNSAFE;
	int ret = unsafe ? xt_may_corrupt() : 0;

	return ret ?: xt_raw_migrate(f, &arg->raw_migrate);
}

static int xt_ioctl_raw_notifier(struct xt_file *f, union xt_arg *arg)
{
	bool here = arg->raw_notifier.cmd == XMIRROR_RAW_INSERT;
	int ret = here ? xt_check_mm(f) : 0;

	return ret ?: xt_raw_notifier(f, &arg->raw_notifier);
}

static int xt_ioctl_raw_state(struct xt_file *f, union xt_arg *arg)
{
	return xt_raw_state(f, &arg->raw_state);
}

static int xt_ioctl_hold(struct xt_file *f, union xt_arg *arg)
{
	struct xmirror_hold *hold = &arg->hold;
	u32 flags = hold->cmd == XMIRROR_HOLD_ARM ?
		    XMIRROR_HOLD_RETURN | XMIRROR_HOLD_SPIN : 0;

	if (hold->flags & ~flags || hold->slot >= XMIRROR_HOLDS)
		return -EINVAL;
	hold->slot = array_index_nospec(hold->slot, XMIRROR_HOLDS);
	return xt_hold_ioctl(f, hold);
}

static int xt_ioctl_resident(struct xt_file *f, union xt_arg *arg)
{
	return xt_resident(f, &arg->resident);
}

static int xt_ioctl_prefer(struct xt_file *f, union xt_arg *arg)
{
	struct xmirror_prefer *p = &arg->prefer;
	struct xmirror_preference to = {
		.start = p->addr,
		.end = p->addr + p->length,
		.place = p->where,
		.node = p->node,
	};

	if (p->flags || p->where > XMIRROR_PREFER_SYSTEM ||
	    (p->where != XMIRROR_PREFER_SYSTEM && p->node))
		return -EINVAL;
	return xmirror_prefer(f->mirror, &to);
}

/**
 * struct xt_ioctl_desc - what xt_ioctl() has to know of a call
 * @min_size: size of the first version of its struct
 * @size: size of this one
 * @any_mm: it has nothing to do with the mirrored mm, or looks itself
 * @admin: it is refused without CAP_SYS_ADMIN, -EPERM
 * @handler: does it
 */
struct xt_ioctl_desc {
	u16 min_size;
	u16 size;
	bool any_mm;
	bool admin;
	int (*handler)(struct xt_file *f, union xt_arg *arg);
};

#define XT_IOCTL(_nr, _min_size, _type, _handler, ...)			\
	[_IOC_NR(XMIRROR_IOC_##_nr)] = {				\
		.min_size = _min_size,					\
		.size = sizeof(struct _type),				\
		.handler = _handler,					\
		__VA_ARGS__						\
	}

static const struct xt_ioctl_desc xt_ioctls[] = {
	XT_IOCTL(INFO, 608, xmirror_info, xt_ioctl_info),
	XT_IOCTL(SET, 24, xmirror_set, xt_ioctl_set),
	XT_IOCTL(FAULT, 40, xmirror_range, xt_ioctl_fault),
	XT_IOCTL(EXCLUSIVE, 40, xmirror_range, xt_ioctl_exclusive),
	XT_IOCTL(RELEASE, 40, xmirror_range, xt_ioctl_release),
	XT_IOCTL(RW, 40, xmirror_rw, xt_ioctl_rw),
	XT_IOCTL(SUBMIT, 48, xmirror_submit, xt_ioctl_submit),
	XT_IOCTL(WAIT, 56, xmirror_wait, xt_ioctl_wait),
	XT_IOCTL(SNAPSHOT, 40, xmirror_snapshot, xt_ioctl_snapshot),
	XT_IOCTL(VERIFY, 40, xmirror_verify, xt_ioctl_verify),
	XT_IOCTL(STATS, 256, xmirror_stats, xt_ioctl_stats),
	XT_IOCTL(SYNC, 72, xmirror_sync, xt_ioctl_sync),
	XT_IOCTL(MIGRATE, 48, xmirror_migrate, xt_ioctl_migrate),
	XT_IOCTL(UNPLUG, 24, xmirror_unplug, xt_ioctl_unplug),
	XT_IOCTL(VRAM, 88, xmirror_vram, xt_ioctl_vram),
	XT_IOCTL(INJECT, 56, xmirror_inject, xt_ioctl_inject),
	XT_IOCTL(RAW_EXCLUSIVE, 40, xmirror_raw_exclusive,
		 xt_ioctl_raw_exclusive, .admin = true),
	XT_IOCTL(RAW_HMM, 56, xmirror_raw_hmm, xt_ioctl_raw_hmm,
		 .admin = true),
	XT_IOCTL(RAW_MIGRATE, 56, xmirror_raw_migrate,
		 xt_ioctl_raw_migrate, .admin = true),
	XT_IOCTL(RAW_NOTIFIER, 88, xmirror_raw_notifier,
		 xt_ioctl_raw_notifier, .any_mm = true, .admin = true),
	XT_IOCTL(RAW_STATE, 32, xmirror_raw_state, xt_ioctl_raw_state,
		 .admin = true),
	XT_IOCTL(HOLD, 72, xmirror_hold, xt_ioctl_hold,
		 .any_mm = true, .admin = true),
	XT_IOCTL(RESIDENT, 80, xmirror_resident, xt_ioctl_resident),
	XT_IOCTL(PREFER, 32, xmirror_prefer, xt_ioctl_prefer),
};

/*
 * The layout is ABI: the last member of the first version ends for ever where the
 * table has its end, and the struct is as large as the last version. Each size is
 * a multiple of 8, to which a 32-bit compiler would not pad.
 */
#define XT_FIRST(_type, _last, _end) \
	static_assert(offsetofend(struct _type, _last) == (_end))
#define XT_SIZE(_type, _size) \
	static_assert(sizeof(struct _type) == (_size))

XT_FIRST(xmirror_info, version, 608);
XT_FIRST(xmirror_set, value, 24);
XT_FIRST(xmirror_range, rounds, 40);
XT_FIRST(xmirror_rw, done, 40);
XT_FIRST(xmirror_submit, fence, 48);
XT_FIRST(xmirror_wait, results, 56);
XT_FIRST(xmirror_snapshot, done, 40);
XT_FIRST(xmirror_verify, __reserved, 40);
XT_FIRST(xmirror_stats, devmem_evicted, 256);
XT_FIRST(xmirror_sync, __reserved, 72);
XT_FIRST(xmirror_migrate, moved, 48);
XT_FIRST(xmirror_unplug, left, 24);
XT_FIRST(xmirror_vram, writes, 88);
XT_FIRST(xmirror_inject, injected, 56);
XT_FIRST(xmirror_raw_exclusive, error, 40);
XT_FIRST(xmirror_raw_hmm, retry, 56);
XT_FIRST(xmirror_raw_migrate, npages, 56);
XT_FIRST(xmirror_raw_notifier, __reserved, 88);
XT_FIRST(xmirror_raw_state, pages, 32);
XT_FIRST(xmirror_hold, held_ns, 72);
XT_FIRST(xmirror_resident, failures, 80);
XT_FIRST(xmirror_prefer, node, 32);

XT_SIZE(xmirror_info, 608);
XT_SIZE(xmirror_set, 24);
XT_SIZE(xmirror_range, 40);
XT_SIZE(xmirror_rw, 40);
XT_SIZE(xmirror_submit, 48);
XT_SIZE(xmirror_wait, 56);
XT_SIZE(xmirror_snapshot, 40);
XT_SIZE(xmirror_verify, 40);
XT_SIZE(xmirror_stats, 288);
XT_SIZE(xmirror_sync, 72);
XT_SIZE(xmirror_migrate, 48);
XT_SIZE(xmirror_unplug, 24);
XT_SIZE(xmirror_vram, 88);
XT_SIZE(xmirror_inject, 56);
XT_SIZE(xmirror_raw_exclusive, 40);
XT_SIZE(xmirror_raw_hmm, 64);
XT_SIZE(xmirror_raw_migrate, 64);
XT_SIZE(xmirror_raw_notifier, 104);
XT_SIZE(xmirror_raw_state, 32);
XT_SIZE(xmirror_hold, 72);
XT_SIZE(xmirror_resident, 80);
XT_SIZE(xmirror_prefer, 32);
XT_SIZE(xmirror_cmd, 40);
XT_SIZE(xmirror_page, 24);
XT_SIZE(xmirror_raw_pfn, 16);
XT_SIZE(xmirror_raw_move, 32);
XT_SIZE(xmirror_raw_page, 32);
static_assert(offsetof(struct xmirror_cmd, count) == 4);
static_assert(offsetof(struct xmirror_page, dev) == 16);

/* Numbers are ABI as well: new ones come last. */
static_assert(XMIRROR_OP_NR == 13);
static_assert(XMIRROR_V_BITS == 5);
static_assert(XMIRROR_PT_FAULT_MISSING == 36);
static_assert(XMIRROR_INJECT_POISON == 7);

static const struct xt_ioctl_desc *xt_ioctl_find(unsigned int cmd)
{
	unsigned int nr = _IOC_NR(cmd);
	const struct xt_ioctl_desc *desc;

	if (nr >= ARRAY_SIZE(xt_ioctls) || cmd != _IO(XMIRROR_IOC_TYPE, nr))
		return NULL;
	desc = &xt_ioctls[array_index_nospec(nr, ARRAY_SIZE(xt_ioctls))];
	/* Not every number is taken. */
	return desc->handler ? desc : NULL;
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
	ret = desc->any_mm ? 0 : xt_check_mm(f);
	if (ret)
		return ret;
	ret = xt_arg_get(desc, &arg, uarg, &size);
	if (ret)
		return ret;
	/* Nothing shall be done whose outcome could not be told. */
	ret = xt_arg_put(desc, &arg, uarg, size);
	if (ret)
		return ret;

	ret = desc->admin && !capable(CAP_SYS_ADMIN) ? -EPERM :
						       desc->handler(f, &arg);
	err = xt_arg_put(desc, &arg, uarg, size);
	return ret ?: err;
}
