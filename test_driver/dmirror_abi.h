/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The ioctls of /dev/hmm_dmirrorN. They are those of the kernel's
 * lib/test_hmm_uapi.h, which the headers that modules are built with do not have:
 * selftests/intree/abi.c compares the two. For programs, too.
 */
#ifndef XT_DMIRROR_ABI_H
#define XT_DMIRROR_ABI_H

#include <linux/ioctl.h>
#include <linux/types.h>

/**
 * struct xt_dmirror_cmd - the argument of every call
 * @addr: first byte of the range in the mirrored mm
 * @ptr: the caller's buffer
 * @npages: pages of the range; for FLAGS the flags
 * @cpages: out: pages that were done
 * @faults: out: how often the device had to fault
 */
struct xt_dmirror_cmd {
	__u64 addr;
	__u64 ptr;
	__u64 npages;
	__u64 cpages;
	__u64 faults;
};

#define XT_DMIRROR_IOC(nr)	_IOWR('H', nr, struct xt_dmirror_cmd)
#define XT_DMIRROR_READ			XT_DMIRROR_IOC(0)
#define XT_DMIRROR_WRITE		XT_DMIRROR_IOC(1)
#define XT_DMIRROR_MIGRATE_TO_DEV	XT_DMIRROR_IOC(2)
#define XT_DMIRROR_MIGRATE_TO_SYS	XT_DMIRROR_IOC(3)
#define XT_DMIRROR_SNAPSHOT		XT_DMIRROR_IOC(4)
#define XT_DMIRROR_EXCLUSIVE		XT_DMIRROR_IOC(5)
#define XT_DMIRROR_CHECK_EXCLUSIVE	XT_DMIRROR_IOC(6)
#define XT_DMIRROR_RELEASE		XT_DMIRROR_IOC(7)
#define XT_DMIRROR_FLAGS		XT_DMIRROR_IOC(8)
#define XT_DMIRROR_READ_UNLOCKED	XT_DMIRROR_IOC(9)

/* Bits of FLAGS; others are accepted and mean nothing. */
#define XT_DMIRROR_FAIL_ALLOC	1

/* What SNAPSHOT says of a page: one of these ... */
#define XT_SNAP_ERROR		0xff
#define XT_SNAP_NONE		0x00
/* ... or access, size and kind. */
#define XT_SNAP_READ		0x01
#define XT_SNAP_WRITE		0x02
#define XT_SNAP_PMD		0x04
#define XT_SNAP_PUD		0x08
#define XT_SNAP_ZERO		0x10
#define XT_SNAP_PRIVATE		0x20
#define XT_SNAP_COHERENT	0x40
#define XT_SNAP_COHERENT_REMOTE	0x50

#endif
