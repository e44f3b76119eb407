/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The parts of the benchmark: figures and drivers (util.c), and one file
 * for each table.
 */
#ifndef XM_BENCH_H
#define XM_BENCH_H

#include <math.h>

#include "memory.h"
#include "pagemap.h"
#include "xm.h"

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#define MAX_ROUNDS	101
/* Small sizes are done so often that a round works on that many bytes. */
#define MIN_AREA	(2UL << 20)
/* From here on a round is long, and the median of a few is as good. */
#define LONG_AREA	(64UL << 20)
#define LONG_ROUNDS	3U

/**
 * enum bench_driver - who is measured
 * @OURS: xmirror
 * @INTREE: the kernel's own test driver, test_hmm
 * @NR_DRIVERS: how many there are
 */
enum bench_driver { OURS, INTREE, NR_DRIVERS };

/**
 * struct bench_options - what the user asked for, and what there is
 * @rounds: of which the median is taken
 * @max_size: largest range of a mirror benchmark
 * @max_migrate: largest range that migrates, and that a granule is tried on
 * @atomics: atomics of a round
 * @caps: capabilities of xmirror
 * @intree: the in-tree driver is loaded
 * @failed: a step of the benchmark failed
 */
struct bench_options {
	unsigned int rounds;
	size_t max_size;
	size_t max_migrate;
	__u64 atomics;
	__u64 caps;
	bool intree;
	bool failed;
};

extern struct bench_options opt;

/* Figures */

/** median: of @n @values, which are sorted by it. */
double median(double *values, unsigned int n);
/** spread: how far apart the middle half of the sorted @values is, in percent. */
double spread(const double *values, unsigned int n);
/** rounds_for: how many rounds of @size bytes. */
unsigned int rounds_for(size_t size);

const char *size_name(size_t size);
/**
 * print_ns: a column of 12, @mark before the number. NAN is "none", there is no
 * such call; INFINITY is "?", too noisy to tell.
 */
void print_ns(double ns, const char *mark);
/** print_ratio: a column of 8 and the x. */
void print_ratio(double over, double under);
void print_noise(double noise);
/** complain: a step of the benchmark failed, which makes all of it fail. */
void complain(const char *what, size_t size, int err);

/* Drivers */

int open_driver(enum bench_driver driver);
int intree_read(int fd, char *addr, size_t len, char *buf);
int intree_write(int fd, char *addr, size_t len, char *buf);
int intree_exclusive(int fd, char *addr, size_t len, char *buf);
/** intree_to_device: migrate, and copy what is there then to @buf. */
int intree_to_device(int fd, char *addr, size_t len, char *buf);
int intree_to_system(int fd, char *addr, size_t len, char *buf);
/** cpu_touch: the CPU reads a byte of each page. */
int cpu_touch(int fd, char *addr, size_t len, char *buf);

/**
 * huge_memory: @len bytes, a multiple of 2 MiB, of private anonymous memory that
 * is there and all in huge pages; NULL and errno if that cannot be had.
 */
char *huge_memory(size_t len);

/* Tables */

void run_mirror(char *buf);
void run_cpu(char *buf);
void run_migrate(char *buf);
void run_atomics(void);
void run_granule(void);
void run_fork(void);
void run_cow(void);

#endif /* XM_BENCH_H */
