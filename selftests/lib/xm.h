/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Helpers for programs that use /dev/xmirrorN: tests, demo, bench.
 *
 * A function that returns int returns 0 or a negative errno, unless said
 * otherwise. None of them prints or exits.
 */
#ifndef XM_XM_H
#define XM_XM_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

#include <linux/types.h>
#include <linux/xmirror.h>

/* Names that the C library's headers may lack. */
#ifndef MADV_FREE
#define MADV_FREE		8
#endif
#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK		18
#endif
#ifndef MADV_COLD
#define MADV_COLD		20
#endif
#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT		21
#endif
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ	22
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE	23
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE		25
#endif
#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP	4
#endif
#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE	0x100000
#endif

/* The page size is that of the kernel to run on: make PAGE_SIZE=16384 */
#ifndef XM_PAGE_SIZE
#define XM_PAGE_SIZE		4096
#endif
#define XM_PAGE			(XM_PAGE_SIZE + 0UL)
#define XM_PAGE_KB		((int)(XM_PAGE >> 10))
/** XM_WORDS: 64-bit words of a page. */
#define XM_WORDS		(XM_PAGE / 8)
/** XM_PMD: bytes of a huge page of the CPU, which is a page table of pages. */
#define XM_PMD			(XM_WORDS * XM_PAGE)
#define XM_PMD_PAGES		XM_WORDS
/** XM_2M: the device's largest leaf, and the largest piece of VRAM. */
#define XM_2M			(2UL << 20)
/** XM_64K: the leaf between that and a page, and a piece of VRAM. */
#define XM_64K			(64UL << 10)
/** XM_LONG: milliseconds after which something that should happen has not. */
#define XM_LONG			30000U
#define XM_FOREVER		(~0U)

/* struct xmirror_stats.inv[], from enum mmu_notifier_event */
enum xm_event {
	XM_EV_UNMAP,
	XM_EV_CLEAR,
	XM_EV_PROTECTION_VMA,
	XM_EV_PROTECTION_PAGE,
	XM_EV_SOFT_DIRTY,
	XM_EV_RELEASE,
	XM_EV_MIGRATE,
	XM_EV_EXCLUSIVE,
};

/* The device */

/** xm_open: open /dev/xmirror@n; returns the file or a negative errno. */
int xm_open(unsigned int n);
/** xm_ioctl: ioctl() that returns the negative errno. */
int xm_ioctl(int fd, unsigned long nr, void *arg);
int xm_info(int fd, struct xmirror_info *info);
/** xm_facts: INFO of /dev/xmirror0, asked once; NULL if there is none. */
const struct xmirror_info *xm_facts(void);
__u64 xm_caps(void);
/** xm_events: notifier events of all kinds in &struct xmirror_stats. */
__u64 xm_events(const struct xmirror_stats *s);
/** xm_why: INFO.why as one line. */
const char *xm_why(void);
/** xm_why_not: the same, of those XMIRROR_CAP_* bits only. */
const char *xm_why_not(__u64 caps);
int xm_set(int fd, __u32 param, __u64 value, __u64 *old);

/* @done of these may be NULL. */
int xm_fault(int fd, const void *addr, size_t len, __u32 flags, __u64 *done);
int xm_exclusive(int fd, const void *addr, size_t len, __u64 *done);
int xm_release(int fd, const void *addr, size_t len, __u64 *done);
/** xm_migrate: @peer counts with XMIRROR_MIGRATE_FROM_PEER; @moved may be NULL. */
int xm_migrate(int fd, const void *addr, size_t len, __u32 flags, __u32 peer,
	       __u64 *moved);
/** xm_prefer: @where is enum xmirror_where; of system memory any node will do. */
int xm_prefer(int fd, const void *addr, size_t len, __u32 where);
/** xm_rw: the device copies between @addr and @buf, @flags as the ioctl's. */
int xm_rw(int fd, const void *addr, void *buf, size_t len, __u32 flags,
	  __u64 *done);
int xm_read(int fd, const void *addr, void *buf, size_t len);
int xm_write(int fd, void *addr, const void *buf, size_t len);

/* Jobs */

/** xm_cmd: a command on one location. */
struct xmirror_cmd xm_cmd(enum xmirror_op op, unsigned int width,
			  const volatile void *addr, __u64 operand);
/** xm_cmds: a command on @count locations, @stride bytes apart. */
struct xmirror_cmd xm_cmds(enum xmirror_op op, unsigned int width,
			   const volatile void *addr, __s64 stride,
			   __u32 count, __u64 operand);
/** xm_submit: queue @n commands @repeat times, *@fence gets the number. */
int xm_submit(int fd, unsigned int engine, const struct xmirror_cmd *cmds,
	      unsigned int n, __u64 repeat, __u64 *fence);
/**
 * xm_wait: wait for @fence; returns what the ioctl does, the job's own status
 * is in @w->status. @w may be NULL, then the job's status is returned, too.
 */
int xm_wait(int fd, __u64 fence, __u32 timeout_ms, struct xmirror_wait *w);
/** xm_wait_results: xm_wait() that takes up to @nr results. */
int xm_wait_results(int fd, __u64 fence, __u32 timeout_ms, __u64 *results,
		    __u32 nr, struct xmirror_wait *w);
/** xm_cancel: cancel @fence and wait for it; @w may be NULL. */
int xm_cancel(int fd, __u64 fence, struct xmirror_wait *w);
/** xm_run_ops: run one command on engine 0 and wait; @ops locations were done. */
int xm_run_ops(int fd, const struct xmirror_cmd *cmd, __u64 *ops);
/**
 * xm_run: run one command on engine 0 and wait. Returns the error of SUBMIT or
 * WAIT, or the job's status; @result may be NULL.
 */
int xm_run(int fd, const struct xmirror_cmd *cmd, __u64 *result);
int xm_run_on(int fd, unsigned int engine, const struct xmirror_cmd *cmd,
	      __u64 *result);
/** xm_op: xm_run() of one @op on one location. */
int xm_op(int fd, enum xmirror_op op, unsigned int width,
	  const volatile void *addr, __u64 operand, __u64 *result);
/** xm_add: add @n to the 64-bit word at @addr with one device atomic. */
int xm_add(int fd, volatile void *addr, __u64 n);

/* The view of the module */

int xm_snapshot(int fd, const void *addr, size_t len,
		struct xmirror_page *pages);
/** xm_page: snapshot of the page at @addr; all zero if that failed. */
struct xmirror_page xm_page(int fd, const volatile void *addr);
int xm_verify(int fd, struct xmirror_verify *v);
/**
 * xm_violations: number of violations, or a negative errno; @text, if not
 * NULL, gets a line about the first one.
 */
long xm_violations(int fd, char *text, size_t room);
int xm_stats(int fd, struct xmirror_stats *s);
/** xm_stats_of: the same, and zeroes if that fails. */
struct xmirror_stats xm_stats_of(int fd);

/* Sync points */

/**
 * xm_sync_arm: arm a pause at @point for @len bytes at @addr (both may be 0).
 * The stop lasts at most XM_LONG.
 */
int xm_sync_arm(int fd, enum xmirror_point point, const void *addr, size_t len,
		__u32 *id);
/** xm_sync_arm_event: the same for the notifications of one kind only. */
int xm_sync_arm_event(int fd, enum xmirror_point point, enum xm_event event,
		      const void *addr, size_t len, __u32 *id);
/** xm_sync_arm_full: the same with everything; @s->size and cmd are filled. */
int xm_sync_arm_full(int fd, struct xmirror_sync *s);
int xm_sync_reached(int fd, __u32 id, __u32 timeout_ms);
/**
 * xm_sync_resume: if @timed_out is NULL, -ETIMEDOUT for who went on by itself, for
 * then nothing has happened in that place.
 */
int xm_sync_resume(int fd, __u32 id, __u32 *timed_out);

/* Injected failures */

/**
 * xm_inject: @times failures of @what after @skip; @error only for
 * XMIRROR_INJECT_COMMIT.
 */
int xm_inject(int fd, enum xmirror_inject_what what, __u64 skip, __u64 times,
	      __u32 error);
/** xm_inject_end: no more of them; @hits and @injected may be NULL. */
int xm_inject_end(int fd, enum xmirror_inject_what what, __u64 *hits,
		  __u64 *injected);

#define XM_KVER(a, b)		(((a) << 8) + (b))
/** xm_kver: version of the running kernel, such as XM_KVER(6, 12). */
int xm_kver(void);

/* Time, for deadlines and rates */

__u64 xm_now_ns(void);
/** xm_expired: whether @ms milliseconds have passed since @start_ns. */
bool xm_expired(__u64 start_ns, unsigned int ms);

/** XM_USAGE: exit status of a program that is called wrongly. */
#define XM_USAGE		2
/**
 * xm_number: the number from @low to @high that an option's argument is; else
 * @program ends with a message and XM_USAGE.
 */
__u64 xm_number(const char *program, const char *text, __u64 low, __u64 high);
/** xm_write_file: write a string to a file, as to sysfs. */
int xm_write_file(const char *path, const char *text);
/**
 * xm_symbol: does the kernel have a function of that name, in "[MODULE]" or, if that is
 * "", in itself? *@address, if not NULL, is where.
 */
bool xm_symbol(const char *name, const char *module, __u64 *address);
/** xm_read_line: the first line of a file, as of sysfs; "" with a negative errno. */
int xm_read_line(const char *path, char *line, size_t room);
/** xm_read_number: the number in a file, as of sysfs; -1 if it cannot be read. */
long xm_read_number(const char *path);

/** XM_LOAD, XM_ADD: CPU accesses that the compiler may not move or merge. */
#define XM_LOAD(p)	__atomic_load_n((p), __ATOMIC_SEQ_CST)
#define XM_STORE(p, v)	__atomic_store_n((p), (v), __ATOMIC_SEQ_CST)
#define XM_ADD(p, v)	__atomic_fetch_add((p), (v), __ATOMIC_SEQ_CST)

#endif /* XM_XM_H */
