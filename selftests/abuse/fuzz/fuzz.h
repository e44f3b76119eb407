/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the parts of the fuzzer share, see main.c.
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
#define SHARED_FDS	3
/* A job that is asked to have more commands finds zeroes: no commands. */
#define ROOM_CMDS	256
/* What is kept of a step: its first random numbers. The rest is made anew. */
#define TAPE		64
#define KEPT		1024

#define PARAMS		(XMIRROR_SET_FORK + 1)
#define KINDS		18
/* That of them with the calls of /dev/hmm_dmirror0 */
#define HMM		(KINDS - 1)

/* What is called, how often out of the sum, and the size of its struct. */
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
 * @own: a file of its own, so that nobody takes its jobs
 * @counter: memory that only it uses
 * @count: what that has to be
 * @extra: a file that comes and goes
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
	int own;
	__u64 *counter;
	__u64 count;
	int extra;
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
extern int foreign;		/* a mirror of another mm */
extern int foreign_memory;
extern bool hmm_abi;

/* Of this process */
extern char *area;
extern int fds[SHARED_FDS];
extern int hmm_fd;
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
void one_ioctl(struct thread *t);

/* mm.c */
void one_mm_op(struct thread *t, int memfd);

#endif
