/* SPDX-License-Identifier: GPL-2.0 */
/*
 * userfaultfd
 */
#ifndef XM_UFFD_H
#define XM_UFFD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/ioctl.h>

#include <linux/userfaultfd.h>

/* Definitions that the kernel's headers may lack */
#define XM_UFFD_WP_ASYNC	(1ULL << 15)
#define XM_UFFD_MOVE		(1ULL << 16)
/* Read-write protection, Linux 7.3 */
#define XM_UFFD_RWP		(1ULL << 17)
#define XM_UFFD_REGISTER_RWP	(1ULL << 3)
#define XM_UFFDIO_RWPROTECT	_IOWR(UFFDIO, 0x09, struct uffdio_writeprotect)

/** struct xm_uffd_move - the argument of UFFDIO_MOVE, Linux 6.8 */
struct xm_uffd_move {
	__u64 dst;
	__u64 src;
	__u64 len;
	__u64 mode;
	__s64 move;
};

#define XM_UFFDIO_MOVE	_IOWR(UFFDIO, 0x05, struct xm_uffd_move)

/** xm_uffd: a userfaultfd with @features, or a negative errno. */
int xm_uffd(__u64 features);
int xm_uffd_register(int uffd, void *p, size_t len, __u64 mode);
/** xm_uffd_wait: wait for a page fault and take its message. */
int xm_uffd_wait(int uffd);
/** xm_uffd_fill: UFFDIO_COPY of the page @from to @to, which wakes the waiters. */
int xm_uffd_fill(int uffd, void *to, const void *from);
/** xm_uffd_move: UFFDIO_MOVE, once; 0 or a negative errno. */
int xm_uffd_move(int uffd, void *to, void *from, size_t len);
/** xm_uffd_wp: write-protect, or with @on false lift it and wake. */
int xm_uffd_wp(int uffd, void *p, size_t len, bool on);

#endif /* XM_UFFD_H */
