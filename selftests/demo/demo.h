/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Shared by the parts of the demo, see main.c.
 *
 * The counters are in the odd pages of one mapping; the even ones are scratch,
 * whose contents may be dropped or moved at any time:
 *
 *	scratch | counters | scratch | counters | ... | scratch
 */
#ifndef SELFTESTS_DEMO_H
#define SELFTESTS_DEMO_H

#include "memory.h"
#include "pagemap.h"
#include "xm.h"

#define WIDTHS		4
#define MAX_WORKERS	256
#define MAX_DEVICES	16
#define STALL_MS	60000U	/* standing still for that long is a failure */

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

#define EXIT_WRONG	1
#define EXIT_SKIP	4

/* A source of increments: a CPU thread, or a thread that feeds one device engine. */
struct worker {
	pthread_t thread;
	bool engine;
	unsigned int device;	/* engines: which device */
	unsigned int number;	/* of the CPU thread or engine */
	int fd;
	__u64 random;
	/* In memory shared with forked children: */
	__u64 *total;		/* increments known to be done */
	__u64 *done;		/* the same by counter */
	__u64 *sent;		/* engines: increments asked for, by counter */
	/* For the thread that watches: */
	__u64 seen;
	__u64 seen_at;
	/* Engines: */
	__u64 gave_up;		/* jobs that ended early with -EBUSY, -ENOMEM */
};

struct demo_options {
	unsigned int seconds;
	unsigned int pages;
	unsigned int threads;
	unsigned int engines;
	unsigned int devices;
	unsigned int burst;
	__u64 increments;
	__u64 seed;
};

extern struct demo_options opt;
extern int device[MAX_DEVICES];
extern char *map;
extern unsigned int map_pages;
extern unsigned int nr_counters;
extern struct worker worker[MAX_WORKERS];
extern unsigned int nr_workers;
/* Set once, for all threads to end. */
extern bool stop;

/* report.c */
/** complain: report a failure, and end the run. */
void complain(const char *fmt, ...);
/** number: @n with commas; good until eight more calls of the same thread. */
const char *number(__u64 n);
const char *plural(unsigned int n);
/** verify: violations of all devices now; returns the leaves looked at. */
__u64 verify(void);
void print_head(void);
void print_line(__u64 start);
/** conclude: say how it went; the exit status. */
int conclude(void);

/* counter.c */
__u64 draw(__u64 *state);
void pause_us(unsigned int us);
unsigned int width_of(unsigned int counter);
__u64 mask_of(unsigned int counter);
char *page_of(unsigned int page);
char *address_of(unsigned int counter);
/** counter_at: the counter at @addr, -1 for a scratch page. */
int counter_at(__u64 addr);
__u64 value_of(unsigned int counter);
void add_to(unsigned int counter, __u64 n);
void cas_increment(unsigned int counter);
/** bump: for what has one writer. */
void bump(__u64 *p, __u64 n);
__u64 total_of(bool engines);
/** low_of: increments of @counter that are surely done. */
__u64 low_of(unsigned int counter);
/** high_of: increments of @counter that may have been done. */
__u64 high_of(unsigned int counter);

/* worker.c */
void name_worker(const struct worker *w, char *text, size_t room);
void *run_cpu(void *arg);
void *run_engine(void *arg);

/* mm_churn.c */
extern __u64 forks, saw_cpu, saw_device;
/** set_up_third: to be called when the workers are known; false: no memory. */
bool set_up_third(void);
void *run_third(void *arg);
__u64 acts_done(void);
void print_third(void);

#endif
