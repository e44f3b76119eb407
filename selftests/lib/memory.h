/* SPDX-License-Identifier: GPL-2.0 */
/*
 * For the tests of conformance: userfaultfd, memory control groups, and memory
 * whose notifier events can be counted.
 */
#ifndef XM_LIBCONF_H
#define XM_LIBCONF_H

#include <linux/userfaultfd.h>
#include <sys/ioctl.h>

#include "xm.h"

/* What the C library's and the kernel's headers may lack. */
#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED	24
#endif
#define CONF_MADV_SOFT_OFFLINE	101
#define CONF_MADV_GUARD_INSTALL	102
#define CONF_MADV_GUARD_REMOVE	103
#define CONF_UFFD_WP_ASYNC	(1ULL << 15)
#define CONF_UFFD_MOVE		(1ULL << 16)
#define CONF_PM_UFFD_WP		(1ULL << 57)
/* Read-write protection, Linux 7.3 */
#define CONF_UFFD_RWP		(1ULL << 17)
#define CONF_UFFD_REGISTER_RWP	(1ULL << 3)
#define CONF_UFFDIO_RWPROTECT	_IOWR(UFFDIO, 0x09, struct uffdio_writeprotect)

/** struct conf_uffd_move - the argument of UFFDIO_MOVE, Linux 6.8 */
struct conf_uffd_move {
	__u64 dst;
	__u64 src;
	__u64 len;
	__u64 mode;
	__s64 move;
};

#define CONF_UFFDIO_MOVE	_IOWR(UFFDIO, 0x05, struct conf_uffd_move)

/** struct conf_pm_scan - the argument of PAGEMAP_SCAN, Linux 6.7 */
struct conf_pm_scan {
	__u64 size;
	__u64 flags;
	__u64 start;
	__u64 end;
	__u64 walk_end;
	__u64 vec;
	__u64 vec_len;
	__u64 max_pages;
	__u64 category_inverted;
	__u64 category_mask;
	__u64 category_anyof_mask;
	__u64 return_mask;
};

#define CONF_PAGEMAP_SCAN	_IOWR('f', 16, struct conf_pm_scan)
#define CONF_PM_WP_MATCHING	(1ULL << 0)
#define CONF_PM_CHECK_WPASYNC	(1ULL << 1)
#define CONF_PAGE_IS_WRITTEN	(1ULL << 1)

/**
 * conf_area: @len bytes of private anonymous memory without huge pages, at a
 * multiple of 2 MiB and in chunks of the device that it shares with no other
 * memory that changes: the events that a mirror counts there are its own. @room
 * bytes behind it are free. NULL on failure.
 */
void *conf_area(size_t len, size_t room);

/** conf_pin: run on CPU 0 only; LRU batches are per CPU. */
int conf_pin(void);

/** conf_thp: a huge page filled with @byte, NULL if there is none to be had. */
char *conf_thp(int fd, unsigned char byte);

/** conf_memfd: a file of one page, mapped shared at @p for @len; its descriptor. */
int conf_memfd(void *p, size_t len);
/** conf_uffd: a userfaultfd with @features, or a negative errno. */
int conf_uffd(__u64 features);
int conf_uffd_register(int uffd, void *p, size_t len, __u64 mode);
/** conf_uffd_wait: wait for a page fault and take its message. */
int conf_uffd_wait(int uffd);
/** conf_uffd_fill: UFFDIO_COPY of the page @from to @to, which wakes who waits. */
int conf_uffd_fill(int uffd, void *to, const void *from);
/** conf_uffd_wp: write-protect, or with @on false lift it and wake. */
int conf_uffd_wp(int uffd, void *p, size_t len, bool on);
/**
 * conf_scan: what PAGEMAP_SCAN (@flags) says of the page at @p: its categories out
 * of @tell, -ENOENT if it lacks one of @need, another errno, -ENOTTY before 6.7.
 */
long conf_scan(const void *p, __u64 flags, __u64 need, __u64 tell);
/**
 * conf_scan_written: how many pages were written at @p, 0 or 1, which is then
 * protected again. Needs asynchronous write protection; a negative errno.
 */
int conf_scan_written(const void *p);

/** conf_log_has: whether the kernel log has a line with @what in it. */
bool conf_log_has(const char *what);
/**
 * conf_collapse: MADV_COLLAPSE of the 2 MiB at @p, again for as long as that is
 * said to help. -EINVAL on Linux 6.0 and before, or without huge pages.
 */
int conf_collapse(void *p);
/**
 * conf_thp_64k: huge pages of 64 KiB and no others, or as the guest has it.
 * -ENOENT before Linux 6.8.
 */
int conf_thp_64k(bool only);
/** conf_is_private: whether @p is in the private memory of @fd's device. */
bool conf_is_private(int fd, const volatile void *p);
/** conf_devmem_free: free pages of the device's memory. */
__u64 conf_devmem_free(int fd);

/**
 * conf_reclaim: ask memory.reclaim of the own control group for @bytes. 0 also
 * if less was found; -ENOENT: there is no such file.
 */
int conf_reclaim(const char *bytes);

/** conf_smaps_kb: a field of the VMA at @p in /proc/self/smaps, -1: no VMA. */
long conf_smaps_kb(const void *p, const char *field);

/** conf_drain: have the LRU batches of all CPUs drained. */
int conf_drain(void);

/** conf_pageout: MADV_PAGEOUT until @p is not present; -EAGAIN if it stays. */
int conf_pageout(void *p, size_t len);

/** conf_has_ksm: whether the kernel merges pages at all. */
bool conf_has_ksm(void);

/**
 * conf_ksm_scan: have KSM scan all memory until pages that do not change are
 * merged. -ETIMEDOUT if that takes longer than @ms.
 */
int conf_ksm_scan(unsigned int ms);

/** conf_temp_file: an unlinked file in @dir, or a negative errno. */
int conf_temp_file(const char *dir);

/**
 * CONF_XFAIL: end the test as expected to fail. For a bug of the running kernel
 * that the test has just seen; the log names it like a skip.
 */
#define CONF_XFAIL(statement, fmt, ...) \
	SKIP(_metadata->exit_code = KSFT_XFAIL; statement, \
	     "expected: " fmt, ##__VA_ARGS__)

#endif /* XM_LIBCONF_H */
