/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Shared by the parts of the model, see main.c.
 */
#ifndef SELFTESTS_MODEL_H
#define SELFTESTS_MODEL_H

#include "memory.h"
#include "proc.h"
#include "xm.h"

#define PAGES	24U
#define LINES	64U		/* of the log that are kept */

enum right { NOT_MAPPED, READ, READ_WRITE };

/* The numbers of a step. 0 is the simplest of each; N is one less than pages. */
enum { KIND, DEV, PAGE, N, WORD, TO, VALUE, HOW, COLUMNS };

struct page {
	enum right right;
	__u64 word[XM_WORDS];
};

struct line {
	unsigned int step;
	char text[160];
};

/* Shared with the process that runs the steps */
struct report {
	unsigned int bad;	/* step at which it went wrong, from 1; 0: none */
	unsigned int seen;	/* steps taken */
	unsigned int lines;
	char text[256];
	struct line log[LINES];
	unsigned int child_page;
	unsigned int child_word;
};

struct model {
	struct report *r;
	struct page page[PAGES];
	__u64 (*area)[XM_WORDS];
	int fd[2];
	bool devmem;
	unsigned int step;
	const __u64 *now;	/* the step's numbers */
};

/* The pages of a step */
struct range {
	unsigned int i;
	unsigned int n;
	void *p;
	size_t len;
};

/** code: a line of the program that this run is */
__attribute__((format(printf, 2, 3)))
void code(struct model *m, const char *fmt, ...);
/** wrong: the step has gone wrong; 1 */
__attribute__((format(printf, 2, 3)))
int wrong(struct model *m, const char *fmt, ...);
/** same: 0, or wrong() */
int same(struct model *m, const char *what, long expected, long seen);
const char *name_of(int err);

struct range range_of(struct model *m);
/** one_in: true for one step in @n */
bool one_in(struct model *m, unsigned int n);
/** first_bad: the first page of a range that an access cannot have, and its error */
unsigned int first_bad(struct model *m, struct range r, bool write, int *err);
/**
 * same_page: is page @i as @what has it in @buf, whose words are called @name, a number
 * and ]?
 */
int same_page(struct model *m, const char *what, unsigned int i, const __u64 *buf,
	      const char *name);

/* access.c: the CPU and the devices. Each step is 0 if all is as the model has it. */
int cpu_load(struct model *m);
int cpu_store(struct model *m);
int cpu_add(struct model *m);
int dev_load(struct model *m);
int dev_store(struct model *m);
int dev_add(struct model *m);
int dev_xchg(struct model *m);
int dev_add_pages(struct model *m);
int dev_write(struct model *m);
int dev_read(struct model *m);
int dev_fault(struct model *m);
int dev_exclusive(struct model *m);
int dev_release(struct model *m);
int dev_migrate(struct model *m);

/* mm.c */
int mm_protect(struct model *m);
int mm_dontneed(struct model *m);
int mm_pageout(struct model *m);
int mm_cold(struct model *m);
int mm_unmap(struct model *m);
int mm_map(struct model *m);
int mm_move(struct model *m);
int mm_clear_refs(struct model *m);
int mm_fork(struct model *m);
void set_pages(struct model *m, struct range r, enum right right);

#endif
