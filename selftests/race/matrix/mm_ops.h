/* SPDX-License-Identifier: GPL-2.0 */
/* Of the mm ops of the race matrix only: those that are not in mm_ops.c. */
#ifndef XM_LIBMMOPS_H
#define XM_LIBMMOPS_H

#include "matrix.h"

static inline int failed(long n)
{
	return n < 0 ? -errno : 0;
}

/* The word that a file with what the page has holds RACE_MARK for instead */
#define SCRATCH_WORD	64

/* mm_ops_io.c: input and output past the CPU's page tables */
int scratch_prepare(struct race_env *e);
int direct_read(struct race_env *e);
int direct_write(struct race_env *e);
int uring_prepare(struct race_env *e);
int uring_read(struct race_env *e);
int uring_fixed(struct race_env *e);
int uring_recv_prepare(struct race_env *e);
int uring_recv(struct race_env *e);

/* mm_ops_kernel.c: what the kernel does to processes that do not ask for it */
int swap_off_prepare(struct race_env *e);
int swap_off(struct race_env *e);
int swap_off_cached_prepare(struct race_env *e);
int swap_off_cached(struct race_env *e);
void swap_off_restore(void);
int numa_prepare(struct race_env *e);
int numa_scan(struct race_env *e);
void numa_restore(void);
int oom_prepare(struct race_env *e);
int oom_device(struct race_env *e);
int oom_reap(struct race_env *e);

#endif /* XM_LIBMMOPS_H */
