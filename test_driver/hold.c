// SPDX-License-Identifier: GPL-2.0
/*
 * Holding a task at a function of the kernel: XMIRROR_IOC_HOLD, see
 * include/uapi/linux/xmirror.h for what it does and hold_trap.c for how.
 *
 * There is one hold in the module, which belongs to the file that has set its
 * functions. The file's last close, and therefore the end of the processes that
 * have it, lets go whoever is held and detaches from all functions. The file keeps
 * the module loaded.
 *
 * xt_hold_mutex is held for all commands but XMIRROR_HOLD_REACHED, which waits.
 * User memory is not touched under it while somebody may be held: that could take
 * locks that the held task has.
 */

#include <linux/delay.h>
#include <linux/ftrace.h>
#include <linux/jiffies.h>
#include <linux/mutex.h>
#include <linux/overflow.h>
#include <linux/pid.h>
#include <linux/rcupdate.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>
#include "test_driver.h"

#define XT_HOLD_MAX_FUNCTIONS	65536
#define XT_HOLD_MAX_CALLS	262144
#define XT_HOLD_MAX_SLEEP_MS	60000
#define XT_HOLD_MAX_SPIN_MS	5000
/* How long a function may take to return before the next is armed. */
#define XT_HOLD_RETURN_MS	10000

static DEFINE_MUTEX(xt_hold_mutex);
static struct xt_file *xt_hold_owner;	/* under xt_hold_mutex, read without */
static struct pid *xt_hold_pid;		/* the reference for xt_hold.pid */
static bool xt_hold_registered;

/* Whoever is held goes on; when this returns nobody uses xt_hold. */
static void xt_hold_disarm(void)
{
	WRITE_ONCE(xt_hold.pid, NULL);
	WRITE_ONCE(xt_hold.released, true);
	smp_mb(); /* pairs with those after xt_hold.inside is incremented */
	wake_up_all(&xt_hold.wait);
	while (atomic_read_acquire(&xt_hold.inside))
		usleep_range(50, 200);
	put_pid(xt_hold_pid);
	xt_hold_pid = NULL;
}

static void xt_hold_detach(void)
{
	xt_hold_disarm();
	if (xt_hold_registered)
		unregister_ftrace_function(&xt_hold_ops);
	xt_hold_registered = false;
	ftrace_free_filter(&xt_hold_ops);
	vfree(xt_hold.calls);
	xt_hold.calls = NULL;
	xt_hold.max = 0;
	xt_hold.record = false;
	xt_hold.state = 0;
}

/*
 * Adds those that can be traced; returns how many. A call is all or nothing and
 * copies what was there before, so halves are tried rather than one after the
 * other. @nr is at most 65536, which bounds the depth.
 */
static u32 xt_hold_filter(unsigned long *functions, u32 nr)
{
	u32 half = nr / 2;

	if (!ftrace_set_filter_ips(&xt_hold_ops, functions, nr, 0, 0))
		return nr;
	if (!half)
		return 0;
	return xt_hold_filter(functions, half) +
	       xt_hold_filter(functions + half, nr - half);
}

static int xt_hold_attach(struct xt_file *f, unsigned long *functions, u32 nr,
			  u32 *taken)
{
	int ret;

	if (xt_hold_owner && xt_hold_owner != f)
		return -EBUSY;
	xt_hold_detach();
	WRITE_ONCE(xt_hold_owner, NULL);
	if (!nr)
		return 0;
	*taken = xt_hold_filter(functions, nr);
	ret = *taken ? register_ftrace_function(&xt_hold_ops) : -ENOENT;
	if (ret) {
		ftrace_free_filter(&xt_hold_ops);
		return ret;
	}
	xt_hold_registered = true;
	WRITE_ONCE(xt_hold_owner, f);
	return 0;
}

static int xt_hold_functions(struct xt_file *f, struct xmirror_hold *arg)
{
	u32 nr = arg->nr;
	unsigned long *functions;
	int ret = 0;

	arg->nr = 0;
	if (nr > XT_HOLD_MAX_FUNCTIONS)
		return -E2BIG;
	functions = kvmalloc_array(nr ?: 1, sizeof(*functions), GFP_KERNEL);
	if (!functions)
		return -ENOMEM;
	if (copy_from_user(functions, u64_to_user_ptr(arg->array),
			   array_size(nr, sizeof(*functions))))
		ret = -EFAULT;
	if (!ret) {
		mutex_lock(&xt_hold_mutex);
		ret = xt_hold_attach(f, functions, nr, &arg->nr);
		mutex_unlock(&xt_hold_mutex);
	}
	kvfree(functions);
	return ret;
}

/* Begin: nobody is held, and nobody will come back by the stub. */
static int xt_hold_begin(struct xt_file *f)
{
	unsigned long end = jiffies + msecs_to_jiffies(XT_HOLD_RETURN_MS);

	if (xt_hold_owner != f)
		return -ENOENT;
	xt_hold_disarm();
	/* Pairs with the release in xt_hold_returned(). */
	while (smp_load_acquire(&xt_hold.returning)) {
		if (time_after(jiffies, end) || fatal_signal_pending(current))
			return -EBUSY;
		usleep_range(50, 200);
	}
	/* The return itself is inside until its end. */
	while (atomic_read_acquire(&xt_hold.inside))
		usleep_range(50, 200);
	xt_hold.hits = 0;
	xt_hold.state = 0;
	xt_hold.context = 0;
	xt_hold.held_ns = 0;
	xt_hold.nr = 0;
	return 0;
}

/* From now on the task's calls matter. */
static int xt_hold_arm_task(u32 tid)
{
	xt_hold_pid = tid ? find_get_pid(tid) : get_pid(task_pid(current));
	if (!xt_hold_pid)
		return -ESRCH;
	xt_hold.itself = xt_hold_pid == task_pid(current);
	if (xt_hold.itself)
		xt_hold_this_call(&xt_hold.arming);
	xt_hold.released = false;
	/* All that the task reads is there before. */
	smp_store_release(&xt_hold.pid, xt_hold_pid);
	return 0;
}

static int xt_hold_record(struct xt_file *f, struct xmirror_hold *arg)
{
	int ret;

	if (!arg->nr || arg->nr > XT_HOLD_MAX_CALLS)
		return -EINVAL;
	ret = xt_hold_begin(f);
	if (ret)
		return ret;
	if (xt_hold.max < arg->nr) {
		vfree(xt_hold.calls);
		xt_hold.max = 0;
		xt_hold.calls = vmalloc(array_size(arg->nr,
						   sizeof(*xt_hold.calls)));
		if (!xt_hold.calls)
			return -ENOMEM;
		xt_hold.max = arg->nr;
	}
	xt_hold.record = true;
	return xt_hold_arm_task(arg->tid);
}

static int xt_hold_calls(struct xt_file *f, struct xmirror_hold *arg)
{
	u32 nr;

	if (xt_hold_owner != f || !xt_hold.record)
		return -ENOENT;
	xt_hold_disarm();
	nr = min3(arg->nr, xt_hold.nr, xt_hold.max);
	arg->nr = xt_hold.nr;
	return copy_to_user(u64_to_user_ptr(arg->array), xt_hold.calls,
			    array_size(nr, sizeof(*xt_hold.calls))) ?
	       -EFAULT : 0;
}

static int xt_hold_arm(struct xt_file *f, struct xmirror_hold *arg)
{
	int ret;

	if (!arg->sleep_ms || arg->sleep_ms > XT_HOLD_MAX_SLEEP_MS ||
	    !arg->spin_ms || arg->spin_ms > XT_HOLD_MAX_SPIN_MS)
		return -EINVAL;
	if (arg->flags & XMIRROR_HOLD_RETURN && !xt_hold_has_return)
		return -EOPNOTSUPP;
	ret = xt_hold_begin(f);
	if (ret)
		return ret;
	xt_hold.record = false;
	xt_hold.flags = arg->flags;
	xt_hold.function = arg->function;
	xt_hold.hit = arg->hit;
	xt_hold.sleep_ms = arg->sleep_ms;
	xt_hold.spin_ms = arg->spin_ms;
	return xt_hold_arm_task(arg->tid);
}

static void xt_hold_tell(struct xmirror_hold *arg)
{
	/* What is reported with a state was there before it. */
	arg->state = smp_load_acquire(&xt_hold.state);
	arg->context = xt_hold.context;
	arg->nr = xt_hold.hits;
	arg->held_ns = xt_hold.held_ns;
}

static int xt_hold_release(struct xt_file *f, struct xmirror_hold *arg)
{
	if (xt_hold_owner != f)
		return -ENOENT;
	xt_hold_disarm();
	xt_hold_tell(arg);
	/* What was is not to be taken for what comes. */
	xt_hold.state = 0;
	return 0;
}

static int xt_hold_reached(struct xt_file *f, struct xmirror_hold *arg)
{
	unsigned long end = jiffies + msecs_to_jiffies(arg->timeout_ms);

	for (;;) {
		if (READ_ONCE(xt_hold_owner) != f)
			return -ENOENT;
		xt_hold_tell(arg);
		if (arg->state & XMIRROR_HELD_HERE)
			return 0;
		if (time_after_eq(jiffies, end))
			return -ETIMEDOUT;
		if (signal_pending(current))
			return -EINTR;
		usleep_range(100, 400);
	}
}

/**
 * xt_hold_ioctl() - XMIRROR_IOC_HOLD
 * @f: the file
 * @arg: in and out
 *
 * Return: 0 or an error as the uapi header has it.
 */
int xt_hold_ioctl(struct xt_file *f, struct xmirror_hold *arg)
{
	int ret;

	if (arg->cmd == XMIRROR_HOLD_FUNCTIONS)
		return xt_hold_functions(f, arg);
	if (arg->cmd == XMIRROR_HOLD_REACHED)
		return xt_hold_reached(f, arg);
	ret = mutex_lock_killable(&xt_hold_mutex);
	if (ret)
		return ret;
	switch (arg->cmd) {
	case XMIRROR_HOLD_RECORD:
		ret = xt_hold_record(f, arg);
		break;
	case XMIRROR_HOLD_CALLS:
		ret = xt_hold_calls(f, arg);
		break;
	case XMIRROR_HOLD_ARM:
		ret = xt_hold_arm(f, arg);
		break;
	case XMIRROR_HOLD_RELEASE:
		ret = xt_hold_release(f, arg);
		break;
	default:
		ret = -EINVAL;
	}
	mutex_unlock(&xt_hold_mutex);
	return ret;
}

/** xt_hold_info() - tell in INFO that there are holds */
void xt_hold_info(struct xmirror_info *info)
{
	info->caps |= XMIRROR_CAP_HOLD;
}

/**
 * xt_hold_close() - the file goes
 * @f: the file
 *
 * Context: may sleep, no lock held.
 */
void xt_hold_close(struct xt_file *f)
{
	if (READ_ONCE(xt_hold_owner) != f)
		return;
	mutex_lock(&xt_hold_mutex);
	xt_hold_detach();
	WRITE_ONCE(xt_hold_owner, NULL);
	mutex_unlock(&xt_hold_mutex);
}

/** xt_hold_exit() - the module goes: wait until nobody is in the stub any more */
void xt_hold_exit(void)
{
	synchronize_rcu_tasks();
}
