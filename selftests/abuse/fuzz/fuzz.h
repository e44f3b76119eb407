/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Shared by the parts of the fuzzer, see main.c.
 */
#ifndef SELFTESTS_FUZZ_H
#define SELFTESTS_FUZZ_H

#include "memory.h"
#include "pagemap.h"
#include "xm.h"
#include "kcov.h"
#include "kselftest.h"

#define PAGES		64UL
#define SIZE		(PAGES * XM_PAGE)
/*
 * Where the area is in each process: so low that the kernel puts nothing near it, and
 * a job or a copy may run over its ends.
 */
#define AREA		(1UL << 40)
#define MAX_CMDS	4
/* A job that is asked to have more commands finds zeroes: no commands. */
#define ROOM_CMDS	256
/* A step is kept as its first random numbers. The rest is made anew. */
#define TAPE		64
#define KEPT		1024

#define PARAMS		(XMIRROR_SET_SLICE + 1)
#define KINDS		20
/* That of them with the calls of /dev/hmm_dmirror0 */
#define HMM		(KINDS - 1)

/* The files that steps name: the first three are shared by threads. */
enum {
	SHARED_FDS	= 3,
	FD_EXTRA	= SHARED_FDS,	/* comes and goes */
	FD_FOREIGN,			/* a mirror of another mm */
	FD_FOREIGN_MEMORY,
	FD_OWN,				/* of the thread */
	FD_HMM,
	NR_FDS
};

/*
 * The action of a step, its first number: a call of kinds[], or one of these. All numbers
 * are made before it is done, and say all of it, so that lists of steps can be run
 * again, see shrink.c. 0 is the simplest of each number.
 */
enum {
	STEP_OPEN = KINDS,
	STEP_COUNT,
	MM_MAP,
	MM_FILE,
	MM_VRAM,
	MM_PROTECT,
	MM_ADVISE,
	MM_MOVE,
	MM_TOUCH,
	MM_WRITE,
};

#define WORDS_OF_CALL	16
#define WORDS_OF_CMD	(sizeof(struct xmirror_cmd) / 8)

/* The numbers of a step that is a call */
enum {
	WHAT,
	FD,		/* FD_*, also of STEP_OPEN */
	NR,		/* if it is not that of the kind */
	ARGP,		/* not 0: this is passed; 1 is NULL */
	REPLUG,		/* plug the memory in again afterwards */
	IN_CHILD,	/* of fork() */
	TOUCH,		/* what the child writes to afterwards, or 0 */
	WORDS,		/* of the struct */
	CMDS		= WORDS + WORDS_OF_CALL,
	COLUMNS		= CMDS + MAX_CMDS * WORDS_OF_CMD
};

/* Of an operation of the mm */
enum {
	PAGE		= 1,
	MORE,		/* pages beside the first */
	PROT,
	HOW,		/* FILE: private; ADVISE: index of advices[] */
	UNMAP,		/* MAP: unmap first */
	AT		/* FILE, VRAM, WRITE: offset; MOVE: page; TOUCH: in the page */
};

/* Of STEP_OPEN, beside FD, and of STEP_COUNT */
enum { DEVICE = 2 };
enum { MIGRATE = 1, BY_CPU, BY, CHECK };

/* Numbers that stand for the buffers of the thread that makes the call */
#define TOKEN_BUF	0x8e57000100000000ULL
#define TOKEN_PAGES	0x8e57000200000000ULL
#define TOKEN_CMDS	0x8e57000300000000ULL
#define TOKEN_EVENT	0x7e570000

/* Steps of a process that are kept, for shrink.c */
#define LOG		16384U

/**
 * struct log - the steps of a process, in the order in which they began
 * @nr: so many, of which the last LOG are there
 * @bad: after so many of them something was wrong; 0: nothing was
 * @step: the steps
 */
struct log {
	__u64 nr;
	__u64 bad;
	__u64 step[LOG][COLUMNS];
};

/* The call, how often out of the sum, and the size of its struct. */
struct kind {
	unsigned long nr;
	const char *name;
	unsigned int weight;
	size_t size;
};

/* Results of all processes, in shared memory. */
struct totals {
	__u64 calls[KINDS];
	__u64 good[KINDS];
	__u64 set[PARAMS];
	__u64 mm_ops;
	__u64 adds;
	__u64 bad_errno;
	__u64 bad_count;
	__u64 violations;
	__u64 failed;
	__u64 places;
	__u64 nr_kept;
	__u64 kept[KEPT][TAPE];
	__u64 seen[KCOV_WORDS];
};

/**
 * struct thread - one thread
 * @thread: it
 * @rng: its random numbers
 * @calls: how many to make
 * @fd: files by FD_*. FD_OWN is its own, so that nobody takes its jobs, as is
 * FD_EXTRA, which comes and goes
 * @counter: memory that only it uses
 * @count: what that has to be
 * @buf: for results
 * @pages: ditto
 * @cmds: for jobs
 * @kcov: what its calls run
 * @guided: there is such a thing
 * @tape: the random numbers of this step
 * @given: so many of them are given
 * @taken: so many of them are used
 */
struct thread {
	pthread_t thread;
	__u64 rng;
	__u64 calls;
	int fd[NR_FDS];
	__u64 *counter;
	__u64 count;
	char buf[4 * XM_PAGE];
	struct xmirror_page pages[PAGES];
	struct xmirror_cmd cmds[ROOM_CMDS];
	struct kcov kcov;
	bool guided;
	__u64 tape[TAPE];
	unsigned int given;
	unsigned int taken;
};

extern struct totals *totals;
extern bool hmm_abi;
extern bool silent;		/* say nothing about what is wrong */
extern __u64 seed;

/* Of this process */
extern char *area;
extern struct log *log_of_process;
extern int memfd;
extern int event;

/* random.c */
/** fresh: a random number that is not part of the step. */
__u64 fresh(struct thread *t);
__u64 rnd(struct thread *t);
unsigned int below(struct thread *t, unsigned int n);
bool one_in(struct thread *t, unsigned int n);
__u64 odd_value(struct thread *t);
/** choose: begin a step. */
void choose(struct thread *t);
/** keep: the step that has just been made reached @places that none had. */
void keep(struct thread *t, unsigned int places);

/* call.c */
extern const struct kind kinds[KINDS];
/** some_word: an address in the area. */
__u64 some_word(struct thread *t);
/** make_call: choose a call, in @step. */
void make_call(struct thread *t, __u64 *step);
/** run_call: returns the errno, of which totals has a count. */
int run_call(struct thread *t, const __u64 *step);
/** is_known: any call may answer with this errno. */
bool is_known(int err);

/* mm.c */
extern const int advices[];
void make_mm_op(struct thread *t, __u64 *step);
void run_mm_op(struct thread *t, const __u64 *step);

/* main.c */
/** prepare: the area and the files that all steps of a process have. */
int prepare(void);
/** run_step: returns an errno that is not known, or 0. */
int run_step(struct thread *t, const __u64 *step);
/** count_is_right: whether the thread's counter is, as the CPU sees it. */
bool count_is_right(struct thread *t);
/** replug: have the devices as they were. */
void replug(void);

/* shrink.c */
/** shrink_log: the shortest list of the steps of @log that still goes wrong. */
void shrink_log(const struct log *log, int foreign, int foreign_memory);

/* print.c */
/** print_step: as C. @err: the errno that it must not answer with, or 0 */
void print_step(FILE *f, const __u64 *step, int err);

#endif
