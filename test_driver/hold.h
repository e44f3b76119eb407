/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Holding a task at a function of the kernel: hold.c has the commands and the life
 * cycle, hold_trap.c is what runs in the held task.
 */
#ifndef _XT_HOLD_H
#define _XT_HOLD_H

#include <linux/atomic.h>
#include <linux/errno.h>
#include <linux/kconfig.h>
#include <linux/string.h>
#include <linux/types.h>
#include <linux/wait.h>
#include <uapi/linux/xmirror.h>

struct ftrace_ops;
struct pid;
struct xt_file;

/**
 * struct xt_hold_syscall - the system call that a task is in
 * @ip: where it was made
 * @nr: its number
 * @args: its arguments
 */
struct xt_hold_syscall {
	unsigned long ip;
	int nr;
	unsigned long args[6];
};

/**
 * struct xt_hold - a hold, of which there are XMIRROR_HOLDS
 * @pid: the task whose calls matter, NULL: nobody's. Only compared
 * @itself: the task has armed for itself, in the system call @arming
 * @arming: what that calls on its way back does not count
 * @record: its calls are written down; else it is held
 * @flags: XMIRROR_HOLD_* of the command
 * @function: address of the function
 * @hit: which call of it, from 0
 * @sleep_ms: deadline where the function may sleep
 * @spin_ms: deadline where it may not
 * @released: the task is to go on
 * @hits: out: calls of the function
 * @state: out: XMIRROR_HELD_*
 * @context: out: XMIRROR_IN_*
 * @held_ns: out: how long it was held
 * @parent: where the function returns to, if its return is to be held
 * @returning: a function has yet to return by the stub
 * @calls: what was recorded
 * @nr: how many calls there were
 * @max: room in @calls
 * @inside: tasks that work on this struct; they may be on a trampoline
 * @wait: a held task sleeps here
 *
 * All up to @spin_ms and @calls and @max only change while @pid is NULL and
 * @inside is zero, and @parent and @hits also not while @returning.
 */
struct xt_hold {
	struct pid *pid;
	bool itself;
	struct xt_hold_syscall arming;
	bool record;
	u32 flags;
	unsigned long function;
	u32 hit;
	u32 sleep_ms;
	u32 spin_ms;
	bool released;
	u32 hits;
	u32 state;
	u32 context;
	u64 held_ns;
	unsigned long parent;
	bool returning;
	struct xmirror_call *calls;
	u32 nr;
	u32 max;
	atomic_t inside;
	wait_queue_head_t wait;
};

/* hold_trap.c */
extern struct xt_hold xt_holds[XMIRROR_HOLDS];
extern struct ftrace_ops xt_hold_ops;
extern const bool xt_hold_has_return;
void xt_hold_stub0(void);
void xt_hold_stub1(void);
void xt_hold_this_call(struct xt_hold_syscall *call);
unsigned long xt_hold_returned(unsigned long slot);

/* hold.c */
#ifdef XT_HAVE_HOLD
void xt_hold_info(struct xmirror_info *info);
int xt_hold_ioctl(struct xt_file *f, struct xmirror_hold *arg);
void xt_hold_close(struct xt_file *f);
void xt_hold_exit(void);
#else
static inline void xt_hold_info(struct xmirror_info *info)
{
	info->lacks |= XMIRROR_CAP_HOLD;
	strlcat(info->why, "holds: CONFIG_DYNAMIC_FTRACE_WITH_ARGS\n",
		sizeof(info->why));
}

static inline int xt_hold_ioctl(struct xt_file *f, struct xmirror_hold *arg)
{
	return -EOPNOTSUPP;
}

static inline void xt_hold_close(struct xt_file *f) { }
static inline void xt_hold_exit(void) { }
#endif

#endif /* _XT_HOLD_H */
