/* SPDX-License-Identifier: GPL-2.0 */
/* Of the parts of the matrix itself only. */
#ifndef XM_LIBMATRIX_PRIVATE_H
#define XM_LIBMATRIX_PRIVATE_H

#include "matrix.h"

/**
 * struct cell - what the process of a cell and race() share
 * @reached: the window was reached
 * @ending: what comes next is the end of the process
 * @done: the verdict is final
 * @told: the mm op's helper found nothing wrong; else what is in @result
 * @left: the window was left before, so that there is nothing to be told
 * @result: as far as the process knows
 */
struct cell {
	bool reached;
	bool ending;
	bool done;
	bool told;
	bool left;
	struct race_result result;
};

extern struct cell *race_cell;

/**
 * struct which - the cell that is run
 * @d, @m: the pair
 * @w: the window, if it is a sync point
 * @hold: that in the kernel, else NULL
 * @group: a control group of its own, or NULL
 */
struct which {
	const struct race_devop *d;
	const struct race_mmop *m;
	const struct race_window *w;
	const struct race_hold *hold;
	const struct group *group;
};

/* How long a side may take to get to its window, or to its end. */
#define DEADLINE	XM_LONG
/* How often a thread has to be seen asleep in the same place while another is held. */
#define ASLEEP_HELD	60
/* The one that is held may spin; all others have another CPU, if there is one. */
#define CPU_HELD	0
#define CPU_OTHERS	1

/* In a function that returns 0 or -1: say what is wrong, and return. */
#define FAIL(...) \
	do { \
		race_cell->result.verdict = RACE_FAIL; \
		snprintf(race_cell->result.why, sizeof(race_cell->result.why), \
			 __VA_ARGS__); \
		return -1; \
	} while (0)

#define CHECK(cond, ...) \
	do { \
		if (!(cond)) \
			FAIL(__VA_ARGS__); \
	} while (0)

/** race_is_too_large: the page may be of a folio too large to be exclusive. */
static inline bool race_is_too_large(const struct race_env *e)
{
	return (e->huge || e->mmop->flags & (RACE_THP | RACE_SMALL)) &&
	       !(xm_caps() & XMIRROR_CAP_EXCLUSIVE_LARGE);
}

/**
 * race_check: all oracles that the process of a cell can ask itself; @dev and @mm
 * are the results of the two sides. 0, or -1 with the reason in @race_cell.
 */
int race_check(struct race_env *e, int dev, int mm);

/** race_check_errors: whether the two sides may end with these results; 0 or -1. */
int race_check_errors(const struct race_env *e, int dev, int mm);

/** race_check_leaf: what the device maps of the page is what pagemap says. */
int race_check_leaf(struct race_env *e);

/* --- process.c: what the process of a cell does */

/** race_process: for child_start(): the race of a struct which. */
int race_process(struct child *c, void *which);
/** race_prepare: memory, threads and the state before the race; 0 or -1. */
int race_prepare(struct race_env *e, struct worker *dev, struct worker *mm);
/**
 * race_watch: wait until a thread has ended or waits for something, or until @hold is
 * left, which may be NULL; @slot is that of the one that is held.
 */
enum race_other race_watch(struct worker *w, const struct race_hold *hold,
			   unsigned int slot);
/** race_is_held: somebody is in this slot's window now. */
bool race_is_held(const struct race_hold *h, unsigned int slot);
/** race_stuck: say where both sides are; -1. */
int race_stuck(struct worker *w, struct worker *other);
/** race_unreachable: the cell cannot be run, for this reason; -1. */
int race_unreachable(const char *why);
/** race_is_recorded: the calls of the side in this slot are recorded. */
bool race_is_recorded(const struct race_hold *h, unsigned int slot);

/* --- held.c: a race in a window of the kernel */

/** race_run_held: the race of @e, whose verdict is in @race_cell. */
void race_run_held(struct race_env *e);

/* --- window.c: what has to be true while a side is held in the kernel */

/** race_keep_page: keep the page that the mm op is going to take, if it does so. */
int race_keep_page(struct race_env *e);
/** race_look: for a thread: look in the window; @stop: it is going to be over. */
int race_look(struct worker *w);
/** race_check_taken: nobody has written to the page since it was seen taken. */
int race_check_taken(struct race_env *e);

#endif /* XM_LIBMATRIX_PRIVATE_H */
