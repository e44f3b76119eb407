/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Engines and CPU threads that count on the same pages, with something that changes the
 * mapping meanwhile. Not one count may be missing.
 */
#ifndef XM_LOAD_H
#define XM_LOAD_H

#include <linux/types.h>

#define LOAD_DEVICES	2U
#define LOAD_ENGINES	4U
#define LOAD_CPUS	2U
#define LOAD_PAGES	64U
/** LOAD_TIME: milliseconds after which a load that should have ended has not. */
#define LOAD_TIME	(20 * XM_LONG)

/* Changes of the memory meanwhile */
enum { LOAD_NOTHING, LOAD_FORKS, LOAD_CHANGES, LOAD_BOTH };

/**
 * struct load - how much of what
 * @devices: at most LOAD_DEVICES
 * @engines: of each device, at most LOAD_ENGINES
 * @cpus: threads, at most LOAD_CPUS
 * @pages: at most LOAD_PAGES; the first word of each is a counter
 * @rounds: over the pages that each engine and thread makes
 * @burst: increments of a counter in a round
 * @meanwhile: LOAD_*
 */
struct load {
	unsigned int devices;
	unsigned int engines;
	unsigned int cpus;
	unsigned int pages;
	unsigned int rounds;
	unsigned int burst;
	unsigned int meanwhile;
};

/**
 * struct load_end - how it went
 * @wrong: what was wrong, "" if nothing was
 * @rounds: of what went on meanwhile
 */
struct load_end {
	char wrong[160];
	__u64 rounds;
};

/** load_run: on @w by the devices @fd. 0, or a negative errno and @end->wrong. */
int load_run(const struct load *l, const int *fd, __u64 *w,
	     struct load_end *end);

#endif /* XM_LOAD_H */
