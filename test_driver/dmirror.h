/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The nodes /dev/hmm_dmirrorN: what a program written for the kernel's own test
 * device finds. dmirror.c has the nodes, dmirror_abi.c what they do.
 */
#ifndef _XT_DMIRROR_H
#define _XT_DMIRROR_H

#include <linux/types.h>
#include "hw.h"

/* Minors that are kept for these nodes, the first ones of the module's major */
#define XT_DMIRRORS	4

struct file;

/**
 * struct xt_dmirror - a device
 * @mem: its memory, NULL if the kernel has no such thing
 */
struct xt_dmirror {
	struct xt_memory *mem;
};

/**
 * struct xt_dmirror_file - an open file
 * @dmirror: the device
 * @mirror: what the device sees of the opener's mm
 * @hw: the hardware's part of it
 * @fails: it armed the failure of an allocation
 */
struct xt_dmirror_file {
	struct xt_dmirror *dmirror;
	struct xmirror *mirror;
	struct xt_hw hw;
	bool fails;
};

/* dmirror.c */
extern const struct file_operations xt_dmirror_fops;
int xt_dmirror_init(int node, unsigned int *nr);
void xt_dmirror_exit(void);

/* dmirror_abi.c */
long xt_dmirror_ioctl(struct file *file, unsigned int cmd, unsigned long arg);

#endif /* _XT_DMIRROR_H */
