// SPDX-License-Identifier: GPL-2.0
/*
 * Holding a task at a function of the kernel: XMIRROR_IOC_HOLD, see
 * include/uapi/linux/xmirror.h for what it does and hold_trap.c for how.
 *
 * There are XMIRROR_HOLDS holds in the module, one for a task each. All belong to
 * the file that has set their functions. The file's last close, and therefore the end
 * of the processes that have it, lets the held tasks go and detaches from all
 * functions. The file keeps the module loaded.
 *
 * xt_hold_mutex is held for all commands but XMIRROR_HOLD_REACHED, which waits.
 * User memory is not touched under it, since somebody may be held: that could take
 * locks that the held task has, and nobody could let it go.
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
static struct pid *xt_hold_pids[XMIRROR_HOLDS]; /* the references for xt_hold.pid */
static bool xt_hold_registered;

/* The held task goes on; when this returns nobody uses the hold. */
static void xt_hold_disarm(struct xt_hold *h)
{
	struct pid **pid = &xt_hold_pids[h - xt_holds];

	WRITE_ONCE(h->pid, NULL);
	WRITE_ONCE(h->released, true);
	smp_mb(); /* pairs with those after xt_hold.inside is incremented */
	wake_up_all(&h->wait);
	while (atomic_read_acquire(&h->inside))
		usleep_range(50, 200);
	put_pid(*pid);
	*pid = NULL;
}

/*
 * No filter any more. ftrace_free_filter() is for an ops that is not used again: that of
 * Linux 6.12 leaves in the ops what it has freed (kernel/trace/ftrace.c).
 */
static void xt_hold_clear_filter(void)
{
	ftrace_set_filter(&xt_hold_ops, NULL, 0, 1);
}

static void xt_hold_detach(void)
{
	struct xt_hold *h;

	/* One task may be held in two, one after the other. */
	for (h = xt_holds; h < xt_holds + XMIRROR_HOLDS; h++)
		WRITE_ONCE(h->pid, NULL);
	for (h = xt_holds; h < xt_holds + XMIRROR_HOLDS; h++)
		xt_hold_disarm(h);
	if (xt_hold_registered)
		unregister_ftrace_function(&xt_hold_ops);
	xt_hold_registered = false;
	xt_hold_clear_filter();
	for (h = xt_holds; h < xt_holds + XMIRROR_HOLDS; h++) {
		vfree(h->calls);
		h->calls = NULL;
		h->max = 0;
		h->record = false;
		h->state = 0;
	}
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
		xt_hold_clear_filter();
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
static int xt_hold_begin(struct xt_file *f, struct xt_hold *h)
{
	unsigned long end = jiffies + msecs_to_jiffies(XT_HOLD_RETURN_MS);

	if (xt_hold_owner != f)
		return -ENOENT;
	xt_hold_disarm(h);
	/* Pairs with the release in xt_hold_returned(). */
	while (smp_load_acquire(&h->returning)) {
		if (time_after(jiffies, end) || fatal_signal_pending(current))
			return -EBUSY;
		usleep_range(50, 200);
	}
	/* The return itself is inside until its end. */
	while (atomic_read_acquire(&h->inside))
		usleep_range(50, 200);
	h->hits = 0;
	h->state = 0;
	h->context = 0;
	h->held_ns = 0;
	h->nr = 0;
	return 0;
}

/* From now on the task's calls matter. */
static int xt_hold_arm_task(struct xt_hold *h, u32 tid)
{
	struct pid *pid = tid ? find_get_pid(tid) : get_pid(task_pid(current));

	if (!pid)
		return -ESRCH;
	xt_hold_pids[h - xt_holds] = pid;
	h->itself = pid == task_pid(current);
	if (h->itself)
		xt_hold_this_call(&h->arming);
	h->released = false;
	/* All that the task reads is there before. */
	smp_store_release(&h->pid, pid);
	return 0;
}

static int xt_hold_record(struct xt_file *f, struct xmirror_hold *arg)
{
	struct xt_hold *h = &xt_holds[arg->slot];
	int ret;

	if (!arg->nr || arg->nr > XT_HOLD_MAX_CALLS)
		return -EINVAL;
	ret = xt_hold_begin(f, h);
	if (ret)
		return ret;
	if (h->max < arg->nr) {
		vfree(h->calls);
		h->max = 0;
		h->calls = vmalloc(array_size(arg->nr, sizeof(*h->calls)));
		if (!h->calls)
			return -ENOMEM;
		h->max = arg->nr;
	}
	h->record = true;
	return xt_hold_arm_task(h, arg->tid);
}

/* The array is no longer the hold's, since the copy is made without the mutex. */
static struct xmirror_call *xt_hold_take_calls(struct xt_file *f,
					       struct xmirror_hold *arg, u32 *nr)
{
	struct xt_hold *h = &xt_holds[arg->slot];
	struct xmirror_call *calls;

	if (xt_hold_owner != f || !h->record)
		return NULL;
	xt_hold_disarm(h);
	*nr = min3(arg->nr, h->nr, h->max);
	arg->nr = h->nr;
	calls = h->calls;
	h->calls = NULL;
	h->max = 0;
	h->record = false;
	return calls;
}

static int xt_hold_calls(struct xt_file *f, struct xmirror_hold *arg)
{
	struct xmirror_call *calls;
	u32 nr;
	int ret;

	ret = mutex_lock_killable(&xt_hold_mutex);
	if (ret)
		return ret;
	calls = xt_hold_take_calls(f, arg, &nr);
	mutex_unlock(&xt_hold_mutex);
	if (!calls)
		return -ENOENT;
	if (copy_to_user(u64_to_user_ptr(arg->array), calls,
			 array_size(nr, sizeof(*calls))))
		ret = -EFAULT;
	vfree(calls);
	return ret;
}

static int xt_hold_arm(struct xt_file *f, struct xmirror_hold *arg)
{
	struct xt_hold *h = &xt_holds[arg->slot];
	int ret;

	if (!arg->sleep_ms || arg->sleep_ms > XT_HOLD_MAX_SLEEP_MS ||
	    !arg->spin_ms || arg->spin_ms > XT_HOLD_MAX_SPIN_MS)
		return -EINVAL;
	if (arg->flags & XMIRROR_HOLD_RETURN && !xt_hold_has_return)
		return -EOPNOTSUPP;
	ret = xt_hold_begin(f, h);
	if (ret)
		return ret;
	h->record = false;
	h->flags = arg->flags;
	h->function = arg->function;
	h->hit = arg->hit;
	h->sleep_ms = arg->sleep_ms;
	h->spin_ms = arg->spin_ms;
	return xt_hold_arm_task(h, arg->tid);
}

static void xt_hold_tell(const struct xt_hold *h, struct xmirror_hold *arg)
{
	/* What is reported with a state was there before it. */
	arg->state = smp_load_acquire(&h->state);
	arg->context = h->context;
	arg->nr = h->record ? READ_ONCE(h->nr) : h->hits;
	arg->held_ns = h->held_ns;
}

static int xt_hold_release(struct xt_file *f, struct xmirror_hold *arg)
{
	struct xt_hold *h = &xt_holds[arg->slot];

	if (xt_hold_owner != f)
		return -ENOENT;
	xt_hold_disarm(h);
	xt_hold_tell(h, arg);
	/* The next REACHED must not report this state. */
	h->state = 0;
	return 0;
}

static int xt_hold_reached(struct xt_file *f, struct xmirror_hold *arg)
{
	struct xt_hold *h = &xt_holds[arg->slot];
	unsigned long end = jiffies + msecs_to_jiffies(arg->timeout_ms);

	for (;;) {
		if (READ_ONCE(xt_hold_owner) != f)
			return -ENOENT;
		xt_hold_tell(h, arg);
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
		return arg->slot ? -EINVAL : xt_hold_functions(f, arg);
	if (arg->cmd == XMIRROR_HOLD_REACHED)
		return xt_hold_reached(f, arg);
	if (arg->cmd == XMIRROR_HOLD_CALLS)
		return xt_hold_calls(f, arg);
	ret = mutex_lock_killable(&xt_hold_mutex);
	if (ret)
		return ret;
	switch (arg->cmd) {
	case XMIRROR_HOLD_RECORD:
		ret = xt_hold_record(f, arg);
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
