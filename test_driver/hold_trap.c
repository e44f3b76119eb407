// SPDX-License-Identifier: GPL-2.0
/*
 * The half of a hold that runs in the held task.
 *
 * ftrace calls xt_hold_entry() from a trampoline of the ops, in the context of the
 * function: preemption is only off if it was. (If another ops is attached to the
 * function, a list is called with preemption off, and the context says so.) So
 * the task sleeps here where the function may sleep, and spins elsewhere.
 *
 * A task that sleeps is in a quiescent state for RCU-tasks, so ftrace would free the
 * trampoline under it: xt_hold.inside counts whoever may be on it, and
 * unregistering waits for zero. The order is that of Dekker: a task counts itself
 * and then looks at @pid (or @released), whoever disarms writes these and then
 * looks at the count.
 *
 * The return of a function is held by a stub that takes the place of its return
 * address; each slot has one of its own, so that a stub knows whose it is, also if
 * a task is armed in both. The stub is not on the trampoline; what must not go is
 * this module, which has a reference for as long.
 *
 * The slots are independent: each has its own count and is looked at after the
 * other, by a task that may have been held in that.
 *
 * Nothing here is traced: Kbuild builds this file without.
 */

#include <linux/compiler.h>
#include <linux/ftrace.h>
#include <linux/irqflags.h>
#include <linux/jiffies.h>
#include <linux/module.h>
#include <linux/objtool.h>
#include <linux/preempt.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/sched/task_stack.h>
#include <linux/string.h>
#include <linux/timekeeping.h>
#include <asm/syscall.h>
#include "hold.h"

/* A function begins with the call to ftrace, but for a landing pad and NOPs. */
#define XT_HOLD_ENTRY	16

#define XT_HOLD(slot) { \
	.wait = __WAIT_QUEUE_HEAD_INITIALIZER(xt_holds[slot].wait), \
}

struct xt_hold xt_holds[XMIRROR_HOLDS] = { XT_HOLD(0), XT_HOLD(1) };

/* Why the task must not sleep here, zero if it may. */
static u32 xt_hold_context(void)
{
	u32 context = 0;

	/* Without a count of preemption a spin lock leaves no trace. */
	if (!IS_ENABLED(CONFIG_PREEMPT_COUNT) || preempt_count())
		context |= XMIRROR_IN_ATOMIC;
	if (irqs_disabled())
		context |= XMIRROR_IN_IRQS_OFF;
#ifdef CONFIG_PREEMPT_RCU
	if (rcu_preempt_depth())
		context |= XMIRROR_IN_RCU;
#endif
	/* It is about to sleep, and would miss what wakes it. */
	if (READ_ONCE(current->__state) != TASK_RUNNING)
		context |= XMIRROR_IN_WAIT;
#ifdef CONFIG_DEBUG_ATOMIC_SLEEP
	if (current->non_block_count)
		context |= XMIRROR_IN_ATOMIC;
#endif
	return context;
}

/* A task that is exiting cannot be killed any more. */
static bool xt_hold_killed(void)
{
	return !(current->flags & PF_EXITING) && fatal_signal_pending(current);
}

/* Both: false if the deadline passed. Killable, or the idle state: no hung task. */
static bool xt_hold_sleep(struct xt_hold *h)
{
	long left = msecs_to_jiffies(h->sleep_ms);

	if (current->flags & PF_EXITING)
		return wait_event_idle_timeout(h->wait,
					       READ_ONCE(h->released), left);
	return wait_event_killable_timeout(h->wait, READ_ONCE(h->released),
					   left);
}

static bool xt_hold_spin(struct xt_hold *h)
{
	u64 end = ktime_get_mono_fast_ns() + (u64)h->spin_ms * NSEC_PER_MSEC;

	while (!READ_ONCE(h->released) && !xt_hold_killed()) {
		if (ktime_get_mono_fast_ns() > end)
			return false;
		cpu_relax();
	}
	return true;
}

static void xt_hold_stop(struct xt_hold *h)
{
	u64 start = ktime_get_mono_fast_ns();
	u32 state = XMIRROR_HELD_HERE;
	bool sleeps;

	h->context = xt_hold_context();
	sleeps = !h->context && !(h->flags & XMIRROR_HOLD_SPIN);
	if (sleeps)
		state |= XMIRROR_HELD_ASLEEP;
	/*
	 * The context comes first. Who waits for this polls, since waking
	 * somebody takes locks.
	 */
	smp_store_release(&h->state, state);
	if (!(sleeps ? xt_hold_sleep(h) : xt_hold_spin(h)))
		state |= XMIRROR_HELD_TIMED_OUT;
	h->held_ns = ktime_get_mono_fast_ns() - start;
	/* With how long it was. */
	smp_store_release(&h->state, state | XMIRROR_HELD_LEFT);
}

/* --- the return of a function --------------------------------------------- */

#if defined(CONFIG_X86_64)
#include <asm/ibt.h>
#include <asm/linkage.h>
#include <asm/unwind_hints.h>

/*
 * Nobody can tell where the function was called from by looking at the stack: the
 * unwinder ends here. It looks up the byte before a return address.
 */
#ifdef UNWIND_HINT_UNDEFINED
#define XT_HOLD_HINT	UNWIND_HINT_UNDEFINED
#else
#define XT_HOLD_HINT	UNWIND_HINT_FUNC
#endif

#define XT_HOLD_STUB(slot) \
asm(".pushsection .text, \"ax\"\n" \
	XT_HOLD_HINT \
"	nop\n" \
".globl xt_hold_stub" #slot "\n" \
"xt_hold_stub" #slot ":\n" \
	XT_HOLD_HINT \
"	" ASM_ENDBR "\n"			/* its address is taken */ \
"	pushq	%rax\n"			/* room for the return address */ \
"	pushq	%rax\n" \
"	pushq	%rdx\n" \
"	movl	$" #slot ", %edi\n" \
"	call	xt_hold_returned\n" \
"	movq	%rax, 16(%rsp)\n" \
"	popq	%rdx\n" \
"	popq	%rax\n" \
"	" ASM_RET \
".popsection\n")

XT_HOLD_STUB(0);
XT_HOLD_STUB(1);

/* Linux 6.1 has no name for it. */
#ifndef ftrace_regs_get_stack_pointer
#define ftrace_regs_get_stack_pointer(fregs)	((fregs)->regs.sp)
#endif

static bool xt_hold_divert(struct ftrace_regs *fregs, unsigned long *parent,
			   unsigned long stub)
{
	unsigned long *sp =
		(unsigned long *)ftrace_regs_get_stack_pointer(fregs);

	*parent = *sp;
	*sp = stub;
	return true;
}

#elif defined(CONFIG_ARM64)

#ifndef arch_ftrace_regs
#define arch_ftrace_regs(fregs)	(fregs)
#endif

#define XT_HOLD_STUB(slot) \
asm(".pushsection .text, \"ax\"\n" \
".globl xt_hold_stub" #slot "\n" \
"xt_hold_stub" #slot ":\n" \
"	sub	sp, sp, #80\n" \
"	stp	x0, x1, [sp]\n" \
"	stp	x2, x3, [sp, #16]\n" \
"	stp	x4, x5, [sp, #32]\n" \
"	stp	x6, x7, [sp, #48]\n" \
"	str	x8, [sp, #64]\n" \
"	mov	x0, #" #slot "\n" \
"	bl	xt_hold_returned\n" \
"	mov	x30, x0\n" \
"	ldp	x0, x1, [sp]\n" \
"	ldp	x2, x3, [sp, #16]\n" \
"	ldp	x4, x5, [sp, #32]\n" \
"	ldp	x6, x7, [sp, #48]\n" \
"	ldr	x8, [sp, #64]\n" \
"	add	sp, sp, #80\n" \
"	ret\n" \
".popsection\n")

XT_HOLD_STUB(0);
XT_HOLD_STUB(1);

/* The link register is not signed yet where ftrace is called. */
static bool xt_hold_divert(struct ftrace_regs *fregs, unsigned long *parent,
			   unsigned long stub)
{
	*parent = arch_ftrace_regs(fregs)->lr;
	arch_ftrace_regs(fregs)->lr = stub;
	return true;
}

#else

static bool xt_hold_divert(struct ftrace_regs *fregs, unsigned long *parent,
			   unsigned long stub)
{
	return false;
}

#endif

const bool xt_hold_has_return =
	IS_ENABLED(CONFIG_X86_64) || IS_ENABLED(CONFIG_ARM64);

#if defined(CONFIG_X86_64) || defined(CONFIG_ARM64)
static void (* const xt_hold_stubs[XMIRROR_HOLDS])(void) = {
	xt_hold_stub0, xt_hold_stub1,
};
#else
static void (* const xt_hold_stubs[XMIRROR_HOLDS])(void);
#endif

/**
 * xt_hold_returned() - a function returned to a stub
 * @slot: whose it is
 *
 * Return: where the stub has to go on.
 */
__visible unsigned long xt_hold_returned(unsigned long slot)
{
	struct xt_hold *h = &xt_holds[slot];
	unsigned long parent = h->parent;

	atomic_inc(&h->inside);
	smp_mb__after_atomic(); /* see the top */
	if (!READ_ONCE(h->released))
		xt_hold_stop(h);
	/* Nothing of this hold is used any more but the count. */
	smp_store_release(&h->returning, false);
	atomic_dec_return_release(&h->inside);
	/* The few instructions to the end of the stub: see xt_hold_exit(). */
	module_put(THIS_MODULE);
	return parent;
}

/* --- the entry ------------------------------------------------------------ */

/**
 * xt_hold_this_call() - with what the task came into the kernel
 * @call: out
 *
 * After a page fault these are registers, and another @ip.
 */
void xt_hold_this_call(struct xt_hold_syscall *call)
{
	struct pt_regs *regs = task_pt_regs(current);

	call->ip = instruction_pointer(regs);
	call->nr = syscall_get_nr(current, regs);
	syscall_get_arguments(current, regs, call->args);
}

/* Is the task still on its way back from the call that has armed it? */
static bool xt_hold_is_arming(struct xt_hold *h)
{
	struct xt_hold_syscall now;

	if (!h->itself)
		return false;
	xt_hold_this_call(&now);
	return now.ip == h->arming.ip && now.nr == h->arming.nr &&
	       !memcmp(now.args, h->arming.args, sizeof(now.args));
}

static void xt_hold_write_down(struct xt_hold *h, unsigned long ip,
			       unsigned long parent)
{
	if (h->nr < h->max)
		h->calls[h->nr] = (struct xmirror_call){
			.ip = ip,
			.parent = parent,
			.context = xt_hold_context(),
		};
	h->nr++;
}

static void xt_hold_call(struct xt_hold *h, unsigned long ip,
			 unsigned long parent, struct ftrace_regs *fregs)
{
	unsigned long stub = (unsigned long)xt_hold_stubs[h - xt_holds];

	if (h->record) {
		xt_hold_write_down(h, ip, parent);
		return;
	}
	if (ip - h->function >= XT_HOLD_ENTRY || h->hits++ != h->hit)
		return;
	/* That was all; from now on it is a mere comparison. */
	WRITE_ONCE(h->pid, NULL);
	if (!(h->flags & XMIRROR_HOLD_RETURN)) {
		xt_hold_stop(h);
	} else if (xt_hold_divert(fregs, &h->parent, stub)) {
		/* The file that has armed it is open. */
		__module_get(THIS_MODULE);
		WRITE_ONCE(h->returning, true);
	}
}

static void xt_hold_entry(unsigned long ip, unsigned long parent,
			  struct ftrace_ops *ops, struct ftrace_regs *fregs)
{
	struct xt_hold *h;

	for (h = xt_holds; h < xt_holds + XMIRROR_HOLDS; h++) {
		struct pid *pid = READ_ONCE(h->pid);

		/* A task that was released has no pid either. */
		if (!pid || pid != task_pid(current) || !in_task())
			continue;
		atomic_inc(&h->inside);
		smp_mb__after_atomic(); /* see the top */
		if (READ_ONCE(h->pid) == pid && !xt_hold_is_arming(h))
			xt_hold_call(h, ip, parent, fregs);
		atomic_dec_return_release(&h->inside);
	}
}

struct ftrace_ops xt_hold_ops = {
	.func = xt_hold_entry,
};
