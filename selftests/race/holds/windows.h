/* SPDX-License-Identifier: GPL-2.0 */
/* The windows of the kernel that a side of a race has, and their names. */
#ifndef XM_LIBWINDOWS_H
#define XM_LIBWINDOWS_H

#include "../matrix/matrix.h"
#include "hold.h"

/**
 * struct window - a function on a side's way
 * @function: the function
 * @hit: which call of it, from 0
 * @flags: XMIRROR_HOLD_RETURN: where it returns
 */
struct window {
	const struct hold_function *function;
	__u32 hit;
	__u32 flags;
};

/**
 * struct side - a side of a pair, which is going to be held
 * @devop, @mmop: the pair
 * @mm: it is the mm op
 * @huge: with a huge page
 * @why: it cannot be run, for this reason; empty if it can
 * @failed: already the run that was to record the calls did
 * @windows: in the order of the first calls of their functions
 * @nr: how many
 * @calls: how many calls there were
 * @unsteady: windows that only one of two runs had, which are left out
 */
struct side {
	const struct race_devop *devop;
	const struct race_mmop *mmop;
	bool mm;
	bool huge;
	char why[240];
	bool failed;
	struct window *windows;
	unsigned int nr;
	unsigned int calls;
	unsigned int unsteady;
};

#define SIDE_NAME	256

/**
 * side_find_windows: record the calls of two runs in which nobody is held: first,
 * second and last call of each function, and the return of its first. -ENOMEM
 */
int side_find_windows(struct side *s, int fd);
/** side_name: [huge:]DEVOP.MMOP with an @ behind the side that is held */
void side_name(const struct side *s, char *name);
/** cell_name: [huge:]DEVOP.MMOP@FUNCTION#HIT[:return], or DEVOP@FUNCTION#HIT.MMOP */
void cell_name(const struct side *s, const struct window *w, char *name);
/**
 * cell_parse: the side and the window that a cell's name means; the window is
 * empty if it is a pair's or a side's. False if there is nothing of that name.
 */
bool cell_parse(const char *name, struct side *s, struct window *w);

#endif /* XM_LIBWINDOWS_H */
