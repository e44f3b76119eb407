/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Races of a device with the mm, one at a time and on purpose:
 *
 *	race(device op, mm op, window)
 *
 * A cell of the matrix runs in a process of its own, which opens the devices.
 * One side is a thread that a sync point stops in the window; the other side then
 * runs until it has ended or waits for the first; then the first goes on, and
 * both have to end. After that the data, the page tables of device and CPU, the
 * accounting and the device's ability to go on are looked at, and when the
 * process has gone, device memory and kernel log.
 *
 * race_held() does the same with a window in the kernel: a side is held at a function
 * that it calls on its way, see lib/hold.h. With a second stop the other side is held,
 * too: then the first goes on until it has ended or waits, and then the other.
 *
 * While a side is stopped it may hold mmap_lock, so the process's main thread does
 * nothing then that needs it: no allocation, no page fault, no printing.
 */
#ifndef XM_LIBMATRIX_H
#define XM_LIBMATRIX_H

#include "memory.h"
#include "pagemap.h"
#include "proc.h"
#include "uffd.h"

#define RACE_START	1000ULL		/* the counter, word 0 of the page */
#define RACE_STORED	0x57ULL		/* what the device stores in word 1 */
#define RACE_MARK	0xc0c0ULL	/* what an mm op writes, see @word */
#define RACE_WORDS	XM_WORDS
#define RACE_FILL(i)	(0x1111111111110000ULL + (i))	/* all other words */

/**
 * struct race_stop - a window in the kernel
 * @function: address of the function; zero: none
 * @hit: which call of it, from 0
 * @flags: XMIRROR_HOLD_RETURN or zero
 */
struct race_stop {
	__u64 function;
	__u32 hit;
	__u32 flags;
};

/**
 * struct race_hold - windows in the kernel, or what it takes to find these
 * @fd: a file that is attached to the functions
 * @mm: it is the mm op that is held first; else the device op
 * @huge: the page is a part of a huge one
 * @stops: where this side is held, and where the other is then
 * @calls: shared memory for the calls of a side that is not held: the first one,
 *	or if that is, the other; else NULL
 * @room: how many of them fit
 */
struct race_hold {
	int fd;
	bool mm;
	bool huge;
	struct race_stop stops[XMIRROR_HOLDS];
	struct xmirror_call *calls;
	unsigned int room;
};

/** RACE_NOT_HERE: what a function returns if this kernel has no such thing. */
#define RACE_NOT_HERE	1

struct race_mmop;
struct race_devop;
struct race_window;

/**
 * struct race_env - the process of a cell
 * @fd: a mirror of device 0, which is under test
 * @fd1: a mirror of device 1
 * @fd2: another mirror of device 0, -1 if not needed
 * @area: the mapping
 * @len: its size
 * @p: the page in it
 * @q: another page that the mm op works with
 * @uffd: a userfaultfd, -1 if not needed
 * @file: a file of the mm op, -1 if not needed
 * @helper: a process that was forked before all else
 * @devop: the device op
 * @mmop: the mm op
 * @hold: the window, if it is in the kernel, else NULL
 * @huge: the page is a part of a huge one, and all of that is the device's
 * @seen: what the device read
 * @pages_moved: what the migration reported
 * @migrations: migrations that the mirror had been told of before the race
 * @mm_moved: the mm op moved the page to @q
 * @left: and left an empty mapping behind
 * @gone: nothing is mapped at @p any more
 * @why: reason for RACE_NOT_HERE
 */
struct race_env {
	int fd;
	int fd1;
	int fd2;
	char *area;
	size_t len;
	__u64 *p;
	__u64 *q;
	int uffd;
	int file;
	struct child helper;
	const struct race_devop *devop;
	const struct race_mmop *mmop;
	const struct race_hold *hold;
	bool huge;
	__u64 seen;
	__u64 pages_moved;
	__u64 migrations;
	bool mm_moved;
	bool left;
	bool gone;
	char why[128];
};

static inline int race_not_here(struct race_env *e, const char *why)
{
	snprintf(e->why, sizeof(e->why), "%s", why);
	return RACE_NOT_HERE;
}

/**
 * struct race_window - where a side is stopped
 * @name: its name, that of the sync point in small letters; with mm_ before it the
 *	mm op is the side that stops, with dev_ the device op stops in an
 *	invalidation
 * @point: the sync point
 * @mm: the mm op is stopped
 */
struct race_window {
	const char *name;
	enum xmirror_point point;
	bool mm;
};

#define RACE_MAX_WINDOWS	10

/**
 * struct race_devop - what the device does
 * @name: its name
 * @cap: XMIRROR_CAP_* that it takes
 * @setup: brings the page into the state that it is about
 * @act: does it, in a thread
 * @end: called when both sides have ended, before the data is looked at, or NULL
 * @adds: how often it increments the counter
 * @stores: it stores a word
 * @reads: it reads the counter
 * @moves: it migrates the page
 * @cpu: it is the CPU that acts
 * @empty: nothing is there before
 * @once: the page comes back at the first try, whoever waits for it
 * @protects: userfaultfd has write-protected the page for a while
 * @worst: its most dangerous window
 * @worst_locked: the same for an mm op that takes mmap_lock for writing, if a
 *	thread in @worst holds it
 * @windows: all of its windows, to the first without a name; an op that is no
 *	device's has none, and is only raced in windows of the kernel
 */
struct race_devop {
	const char *name;
	__u64 cap;
	int (*setup)(struct race_env *e);
	int (*act)(struct race_env *e);
	int (*end)(struct race_env *e);
	unsigned int adds;
	bool stores;
	bool reads;
	bool moves;
	bool cpu;
	bool empty;
	bool once;
	bool protects;
	const char *worst;
	const char *worst_locked;
	struct race_window windows[RACE_MAX_WINDOWS];
};

/** race_start: the counter before the race */
static inline __u64 race_start(const struct race_env *e)
{
	return e->devop->empty ? 0 : RACE_START;
}

/** enum race_data - what becomes of the page's content */
enum race_data {
	RACE_KEPT,	/* nothing */
	RACE_ZERO,	/* it is lost */
	RACE_EITHER,	/* one of these */
	RACE_MOVED,	/* it moves to race_env.q, if race_env.mm_moved says so */
	RACE_GONE,	/* lost, and the mapping, if race_env.gone says so */
};

/* struct race_mmop.flags */
#define RACE_WRITER	(1U << 0)	/* takes mmap_lock for writing */
#define RACE_EVENT	(1U << 1)	/* always notifies of the page */
#define RACE_ENDS	(1U << 2)	/* ends the process */
#define RACE_THP	(1U << 3)	/* in memory of a huge page */
#define RACE_SMALL	(1U << 4)	/* in as much, of small pages */
#define RACE_MAY_FAULT	(1U << 5)	/* the device may find nothing */
#define RACE_MAY_PERM	(1U << 6)	/* or nothing that it may write to */
#define RACE_MAY_FAIL	(1U << 7)	/* may be refused by the kernel */
#define RACE_HELPER	(1U << 8)	/* its helper says how it went */
#define RACE_PROTECTS	(1U << 9)	/* userfaultfd has write-protected the page then */
#define RACE_PART	(1U << 10)	/* takes another part of a huge page */
#define RACE_SPLITS	(1U << 11)	/* leaves small entries of a huge page */
#define RACE_NO_WAIT	(1U << 12)	/* fails where others wait for a userfaultfd */
#define RACE_LOCKS	(1U << 13)	/* locks pages without mmap_lock */

/**
 * struct race_mmop - what the mm does
 * @name: its name
 * @prepare: what has to be done before the device gets the page, or NULL
 * @act: does it, in a thread
 * @device: lets the device act, or NULL: then its thread does
 * @undo: lets the device at the page again, or NULL
 * @restore: puts right what the op did to the machine, however the cell ended, or
 *	NULL; this is called by the process that race() is called in
 * @data: what becomes of the content
 * @flags: RACE_* flags
 * @adds: how often it increments the counter
 * @stop_ms: how long the other side may be stopped, if nobody lets it go on
 * @word: the word that it sets to RACE_MARK, or 0
 */
struct race_mmop {
	const char *name;
	int (*prepare)(struct race_env *e);
	int (*act)(struct race_env *e);
	int (*device)(struct race_env *e);
	int (*undo)(struct race_env *e);
	void (*restore)(void);
	enum race_data data;
	unsigned int flags;
	unsigned int adds;
	unsigned int stop_ms;
	unsigned int word;
};

/** race_devops, race_mmops: all there are; the last has no name. */
extern const struct race_devop race_devops[];
extern const struct race_mmop race_mmops[];

/** enum race_verdict - how a cell ended */
enum race_verdict {
	RACE_PASS,
	RACE_FAIL,
	RACE_UNREACHABLE,
	RACE_VERDICTS
};

/**
 * enum race_other - what the other side did while one was held in the kernel; with two
 * stops, what the first did while the other was held
 * @RACE_UNREACHED: the window, or one of them, was not reached
 * @RACE_RAN: it ran to its end
 * @RACE_WAITED: it waited
 * @RACE_LATE: neither: it needed more time than the window lasted, or the CPU
 * @RACE_OTHERS: number of these
 */
enum race_other {
	RACE_UNREACHED,
	RACE_RAN,
	RACE_WAITED,
	RACE_LATE,
	RACE_OTHERS
};

/**
 * struct race_result - how a cell ended
 * @verdict: in a word
 * @waited: the other side had to wait for the one that was stopped
 * @other: the same of one that was held
 * @looked: VERIFY was there before it went on
 * @calls: calls that were recorded, or a negative errno
 * @before: so many of them before the side that was held went on
 * @ms: how long it took, for those who want it faster
 * @why: in some more, unless it passed
 */
struct race_result {
	enum race_verdict verdict;
	bool waited;
	enum race_other other;
	bool looked;
	int calls;
	unsigned int before;
	unsigned int ms;
	char why[240];
};

/** race_init: once, before the first race(): 0 or a negative errno. */
int race_init(void);
/** race: run one cell. The names have to exist. */
struct race_result race(const char *devop, const char *mmop,
			const char *window);
/** race_held: run one cell whose window is in the kernel, or record calls. */
struct race_result race_held(const char *devop, const char *mmop,
			     const struct race_hold *hold);
/** race_worst: the window of this pair that make check looks at. */
const char *race_worst(const struct race_devop *d, const struct race_mmop *m);

#endif /* XM_LIBMATRIX_H */
