/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Holding a task at a function of the kernel: XMIRROR_IOC_HOLD, and the functions
 * that there are, which the kernel is asked for.
 *
 * A function that returns int returns 0 or a negative errno. @slot is one of the
 * XMIRROR_HOLDS holds.
 */
#ifndef XM_LIBHOLD_H
#define XM_LIBHOLD_H

#include "xm.h"

/*
 * Longer than anybody watches the other side. Where all that could let the task go wait
 * for it, since it migrates pages of theirs, it goes on by this.
 */
#define HOLD_SLEEP_MS	(XM_LONG / 3)
#define HOLD_SPIN_MS	25

/**
 * struct hold_function - a function of mm/ that can be traced
 * @address: where it begins
 * @name: its name; that of the second of this name gets ~2, and so on
 */
struct hold_function {
	__u64 address;
	char *name;
};

/**
 * hold_load: find the functions; once. They are those between the lowest and the
 * highest of some that are known to be mm/'s, since the linker puts a directory's
 * functions side by side. -ENOENT: the kernel does not name its functions.
 */
int hold_load(void);
/** hold_functions: all of them in the order of their addresses; *@nr: how many */
const struct hold_function *hold_functions(unsigned int *nr);
/** hold_at: the one that @ip of a recorded call is in, NULL if none. */
const struct hold_function *hold_at(__u64 ip);
/** hold_named: the one with a name, NULL if there is none. */
const struct hold_function *hold_named(const char *name);

/**
 * hold_attach: XMIRROR_HOLD_FUNCTIONS; @taken may be NULL.
 *
 * A CPU that QEMU emulates may go on executing a breakpoint of text that is being
 * patched: if there are more than one, all but the first are offline meanwhile.
 */
int hold_attach(int fd, const __u64 *functions, unsigned int nr,
		unsigned int *taken);
int hold_record(int fd, unsigned int slot, pid_t tid, unsigned int nr);
/** hold_calls: how many there were, of which up to @nr are in @calls; or -errno */
int hold_calls(int fd, unsigned int slot, struct xmirror_call *calls,
	       unsigned int nr);
/** hold_arm: with the deadlines above. */
int hold_arm(int fd, unsigned int slot, pid_t tid, __u64 function, __u32 hit,
	     __u32 flags);
/** hold_reached: *@state gets XMIRROR_HELD_* bits; it may be NULL. */
int hold_reached(int fd, unsigned int slot, __u32 timeout_ms, __u32 *state);
/** hold_recorded: how many calls have been recorded up to now. */
unsigned int hold_recorded(int fd, unsigned int slot);
/** hold_state: XMIRROR_HELD_* bits now. */
__u32 hold_state(int fd, unsigned int slot);
/** hold_release: let go; @how, if not NULL, tells how it went. */
int hold_release(int fd, unsigned int slot, struct xmirror_hold *how);

#endif /* XM_LIBHOLD_H */
