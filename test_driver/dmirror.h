/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The nodes /dev/hmm_dmirrorN: what a program written for the kernel's own test
 * device finds. dmirror.c has the nodes, dmirror_abi.c what they do.
 */
#ifndef _XT_DMIRROR_H
#define _XT_DMIRROR_H

#include <linux/cdev.h>
#include <linux/device.h>
#include <linux/types.h>

struct file;
struct xmirror;
struct xmirror_devmem;

/**
 * struct xt_dmirror - a device
 * @cdev: its node
 * @dev: its name
 * @dm: its memory, NULL if the kernel has no such thing
 */
struct xt_dmirror {
	struct cdev cdev;
	struct device dev;
	struct xmirror_devmem *dm;
};

/**
 * struct xt_dmirror_file - an open file
 * @dmirror: the device
 * @mirror: what the device sees of the opener's mm
 * @fails: it armed the failure of an allocation
 */
struct xt_dmirror_file {
	struct xt_dmirror *dmirror;
	struct xmirror *mirror;
	bool fails;
};

/* dmirror_abi.c */
long xt_dmirror_ioctl(struct file *file, unsigned int cmd, unsigned long arg);

#endif /* _XT_DMIRROR_H */
