/* SPDX-License-Identifier: GPL-2.0 */
/* The windows of the kernel that a side of a race has, and their names. */
#ifndef XM_LIBWINDOWS_H
#define XM_LIBWINDOWS_H

#include "../matrix/matrix.h"
#include "hold.h"

/**
 * struct place - a call of a function
 * @function: the function, NULL for none
 * @hit: which call of it, from 0
 * @flags: XMIRROR_HOLD_RETURN: where it returns
 * @spins: it may not sleep there
 */
struct place {
	const struct hold_function *function;
	__u32 hit;
	__u32 flags;
	bool spins;
};

/**
 * struct window - where a side is held, and where then the other is
 * @at: the first side's place and, with two stops, the other's
 */
struct window {
	struct place at[XMIRROR_HOLDS];
};

/**
 * struct stops - how the schedules with two stops were chosen
 * @wanted: they are
 * @alike: windows of the first side in which the other does the same as in the one
 *	before
 * @unread: in which it neither waits nor reads anything again
 * @spin: schedules in which both would spin
 */
struct stops {
	bool wanted;
	unsigned int alike;
	unsigned int unread;
	unsigned int spin;
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
 * @found: how many there were before any were left out
 * @calls: how many calls there were
 * @functions: of so many functions
 * @unsteady: windows that only one of two runs had, which are left out
 * @stops: windows are schedules with two stops
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
	unsigned int found;
	unsigned int calls;
	unsigned int functions;
	unsigned int unsteady;
	struct stops stops;
};

#define SIDE_NAME	480

/**
 * own_memory: zeroes that the process of a cell does not get. It would copy all of them,
 * as it locks its memory (xm_no_faults()). Never freed; ends the program if there are
 * none.
 */
void *own_memory(size_t size);

/**
 * side_find_windows: record the calls of two runs in which nobody is held: first,
 * second and last call of each function, and the return of its first. -ENOMEM
 */
int side_find_windows(struct side *s, int fd);
/**
 * side_find_stops: make schedules with two stops of the windows, by recording the calls
 * of the other side while this one is held in each of them. -ENOMEM
 */
int side_find_stops(struct side *s, int fd);
/** wishes_print: what cannot be held, and what is nearest to it. */
void wishes_print(void);
/** side_keep: keep @most of the windows, at equal distances; 0 for all. */
void side_keep(struct side *s, unsigned int most);
/** side_run: one window, or with @calls the recording of a run. */
struct race_result side_run(const struct side *s, int fd, const struct window *w,
			    struct xmirror_call *calls, unsigned int room);
/** side_name: [huge:]DEVOP.MMOP with an @ behind the side that is held */
void side_name(const struct side *s, char *name);
/**
 * cell_name: [huge:]DEVOP.MMOP@PLACE, or DEVOP@PLACE.MMOP. PLACE is
 * FUNCTION#HIT[:return], and +FUNCTION#HIT[:return] behind it is that of the other side.
 */
void cell_name(const struct side *s, const struct window *w, char *name);
/**
 * cell_parse: the side and the window that a cell's name means; the window is
 * empty if it is a pair's or a side's. A + at the end is for all schedules with two
 * stops. False if there is nothing of that name.
 */
bool cell_parse(const char *name, struct side *s, struct window *w);

#endif /* XM_LIBWINDOWS_H */
