/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The code that a thread's calls run in the kernel, by CONFIG_KCOV. On the kernels of
 * guest/config only the modules are instrumented, see Kbuild.
 */
#ifndef LIBKCOV_H
#define LIBKCOV_H

#include <linux/types.h>

/* Places that were reached, by hash: far more bits than the modules have places */
#define KCOV_BITS	20
#define KCOV_WORDS	(1UL << (KCOV_BITS - 6))

/**
 * struct kcov - the trace of one thread
 * @fd: /sys/kernel/debug/kcov
 * @trace: how many places, and then them, as the kernel writes them
 */
struct kcov {
	int fd;
	unsigned long *trace;
};

/**
 * kcov_open: trace the calling thread from now on, until kcov_close().
 * -ENOENT: the kernel has no CONFIG_KCOV.
 */
int kcov_open(struct kcov *k);
/** kcov_begin: forget what has been traced. */
void kcov_begin(struct kcov *k);
/**
 * kcov_end: how many places of the trace @seen, KCOV_WORDS words that all threads
 * may share, did not have. It has them then.
 */
unsigned int kcov_end(struct kcov *k, __u64 *seen);
/** kcov_close: by the thread that has it open; also if that failed. */
void kcov_close(struct kcov *k);

#endif
