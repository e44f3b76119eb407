/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The shortest part of a random program that still goes wrong, and how to print it.
 *
 * A program is a list of steps and a step a row of numbers, of which the first says
 * what is done. The owner of such a list runs any part of it again, from the same start.
 */
#ifndef XM_SHRINK_H
#define XM_SHRINK_H

#include <linux/types.h>
#include <stdbool.h>
#include <stdio.h>

/**
 * struct shrink - a list of steps that goes wrong
 * @steps: @nr rows of @width numbers; shrink() leaves the shortest list here
 * @nr: steps
 * @width: numbers of a step
 * @fails: run @nr steps; returns after how many of them it went wrong, 0 if it did not
 * @arg: for @fails
 * @most: runs that shrink() may make
 * @runs: runs that it has made
 */
struct shrink {
	__u64 *steps;
	unsigned int nr;
	unsigned int width;
	unsigned int (*fails)(const __u64 *steps, unsigned int nr, void *arg);
	void *arg;
	unsigned int most;
	unsigned int runs;
};

/**
 * shrink: leave out halves, quarters and at last single steps (delta debugging, Zeller
 * and Hildebrandt), then lower the numbers, for as long as what is left goes wrong.
 * The upper 32 bits of a number stay, or all become 0: an address stays in its area.
 *
 * The end is a list of which each step is needed, or the best of @most runs. False if
 * the list as it is does not go wrong again.
 */
bool shrink(struct shrink *s);

/**
 * shrink_print: a test program between two lines that mark it, and how to run it. It
 * includes what its text uses.
 * @why: one line on what goes wrong
 * @declarations: of the test, text that ends in a newline
 * @steps: the same, its statements
 */
void shrink_print(FILE *f, const char *why, const char *declarations,
		  const char *steps);

/**
 * shrink_tainted: whether the kernel has reported a bug of its own since the first
 * call: nothing that runs again in the same guest says anything.
 */
bool shrink_tainted(void);

#endif /* XM_SHRINK_H */
