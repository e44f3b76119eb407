// SPDX-License-Identifier: GPL-2.0
/* The code that a thread's calls run in the kernel. */
#include <fcntl.h>
#include <linux/kcov.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "xm.h"
#include "kcov.h"

/*
 * In longs, whole pages of them. More is not traced: mostly loops, which cost time
 * here.
 */
#define TRACE	(XM_WORDS > 2048 ? XM_WORDS : 2048UL)

int kcov_open(struct kcov *k)
{
	int err;

	k->trace = MAP_FAILED;
	k->fd = open("/sys/kernel/debug/kcov", O_RDWR | O_CLOEXEC);
	if (k->fd < 0)
		return -errno;
	if (ioctl(k->fd, KCOV_INIT_TRACE, TRACE))
		goto failed;
	k->trace = mmap(NULL, TRACE * sizeof(*k->trace),
			PROT_READ | PROT_WRITE, MAP_SHARED, k->fd, 0);
	if (k->trace == MAP_FAILED || ioctl(k->fd, KCOV_ENABLE, KCOV_TRACE_PC))
		goto failed;
	return 0;

failed:
	err = -errno;
	kcov_close(k);
	return err;
}

void kcov_begin(struct kcov *k)
{
	XM_STORE(k->trace, 0);
}

unsigned int kcov_end(struct kcov *k, __u64 *seen)
{
	unsigned long i, n = XM_LOAD(k->trace);
	unsigned int fresh = 0;

	for (i = 1; i <= n; i++) {
		__u64 hash = k->trace[i] * 0x9e3779b97f4a7c15ULL >>
			     (64 - KCOV_BITS);
		__u64 bit = 1ULL << hash % 64;

		if (XM_LOAD(&seen[hash / 64]) & bit)
			continue;
		fresh += !(__atomic_fetch_or(&seen[hash / 64], bit,
					     __ATOMIC_RELAXED) & bit);
	}
	return fresh;
}

void kcov_close(struct kcov *k)
{
	if (k->fd < 0)
		return;
	ioctl(k->fd, KCOV_DISABLE, 0);
	if (k->trace != MAP_FAILED)
		munmap(k->trace, TRACE * sizeof(*k->trace));
	close(k->fd);
	k->fd = -1;
}
