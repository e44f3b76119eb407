/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Memory of each kind, and what the kernel does to it on request.
 */
#ifndef XM_MEMORY_H
#define XM_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/types.h>

/* Names that the C library's headers may lack. */
#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED	24
#endif
#define XM_MADV_SOFT_OFFLINE	101
#define XM_MADV_GUARD_INSTALL	102
#define XM_MADV_GUARD_REMOVE	103

/* Memory; NULL on failure */

/** xm_anon: @len bytes of private anonymous memory, without huge pages. */
void *xm_anon(size_t len);
/** xm_anon_aligned: the same at a multiple of @align. */
void *xm_anon_aligned(size_t len, size_t align);
/** xm_anon_prot: the same with @prot. */
void *xm_anon_prot(size_t len, int prot);
/** xm_shared: MAP_SHARED | MAP_ANONYMOUS memory. */
void *xm_shared(size_t len);
/** xm_user_end: an address near the end of user space, where the stack is. */
uintptr_t xm_user_end(void);
/** xm_hole: @len bytes where nothing is mapped until the next mmap(). */
void *xm_hole(size_t len);

/**
 * xm_area: @len bytes of private anonymous memory without huge pages, at a
 * multiple of XM_PMD and in chunks of the device that it shares with no other
 * memory that changes: the events that a mirror counts there are its own. @room
 * bytes behind it are free. NULL on failure.
 */
void *xm_area(size_t len, size_t room);
/**
 * xm_chunks: how many chunks of the device @len bytes of such memory are in, @len a power of
 * two. A mirror counts an event once in each.
 */
size_t xm_chunks(size_t len);
/**
 * xm_border: @len bytes of private anonymous memory without huge pages across the border
 * of two chunks of the device, so low that the kernel gives holes in it to nobody else,
 * and always at the same place. NULL on failure.
 */
void *xm_border(size_t len);
/** xm_anon_at: map such memory at @p, whatever is there. */
int xm_anon_at(void *p, size_t len);
/**
 * xm_peek, xm_poke: read or write 8 bytes of this process as another process would
 * (process_vm_readv()), so that a hole is -EFAULT and no signal.
 */
int xm_peek(const void *p, __u64 *value);
int xm_poke(void *p, __u64 value);
/** xm_memfd: a file of one page, mapped shared at @p for @len; its descriptor. */
int xm_memfd(void *p, size_t len);
/** xm_temp_file: an unlinked file in @dir, or a negative errno. */
int xm_temp_file(const char *dir);

/** xm_node_of: the node of the page at @p, or a negative errno. */
int xm_node_of(void *p);
/** xm_has_thp: does the kernel have huge pages of anonymous memory at all? */
bool xm_has_thp(void);
/** xm_why_no_thp: why there was none: the reason of a skip. */
const char *xm_why_no_thp(void);
/**
 * xm_written_back: wait until what is present of @len bytes at @p is not being written to
 * swap: -ETIMEDOUT. A page may be faulted in again before that.
 */
int xm_written_back(const void *p, size_t len);
/** xm_no_thp: no huge page comes into @len bytes at @p from now on; -errno. */
int xm_no_thp(void *p, size_t len);
/** xm_thp: a huge page filled with @byte, NULL if there is none to be had. */
char *xm_thp(int fd, unsigned char byte);
/**
 * xm_thp_16_pages: huge pages of 16 pages (64 KiB, where these have 4 KiB) and no others
 * until the test ends. -ENOENT before Linux 6.8.
 */
int xm_thp_16_pages(void);
/**
 * XM_HUGE_IS_RARE: so large are the CPU's huge pages that there is seldom memory for one:
 * those of 512 MiB, with pages of 64 KiB, and not those of 32 MiB, with 16 KiB
 */
#define XM_HUGE_IS_RARE	(XM_PMD > 32UL << 20)
/**
 * xm_thp_2m: the same of 2 MiB, where huge pages of the CPU are so large that there are
 * rarely any. Elsewhere 0, and nothing changes.
 */
int xm_thp_2m(void);
/**
 * xm_huge_is_free: whether there is memory for @nr huge pages, without anybody's having
 * to make room. Where these are small the kernel does so when it has to.
 */
bool xm_huge_is_free(unsigned int nr);
/**
 * xm_khugepaged_eager: khugepaged does not sleep until the test ends, and takes what has
 * a page at all, and up to 64 that are not present.
 */
int xm_khugepaged_eager(void);
/**
 * xm_collapse: MADV_COLLAPSE of the huge page at @p, again for as long as that is
 * said to help. -EINVAL on Linux 6.0 and before, or without huge pages.
 */
int xm_collapse(void *p);

/** xm_is_private: whether @p is in the private memory of @fd's device. */
bool xm_is_private(int fd, const volatile void *p);
/** xm_is_devices: whether @fd's device has @p, @private: in its memory, else exclusively. */
bool xm_is_devices(int fd, const volatile void *p, bool private);
/** xm_page_value: what xm_fill_pages() has the first word of each page hold. */
__u64 xm_page_value(size_t page);
void xm_fill_pages(__u64 *p, size_t pages);
/** xm_wrong_pages: how many hold something else, as the CPU has it. */
size_t xm_wrong_pages(const __u64 *p, size_t pages);

/** xm_fill_words: @seed, @seed + 1 and so on in all words of @len bytes. */
void xm_fill_words(volatile __u64 *p, size_t len, __u64 seed);
/** xm_wrong_words: how many are not what xm_fill_words() left there. */
size_t xm_wrong_words(const volatile __u64 *p, size_t len, __u64 seed);
/** xm_private_pfn: the page frame of private memory at @p, 0 if it is none. */
__u64 xm_private_pfn(int fd, const void *p);
/** XM_HARD_OFFLINE: the file by which a memory error is reported: CONFIG_MEMORY_FAILURE */
#define XM_HARD_OFFLINE	"/sys/devices/system/memory/hard_offline_page"
/** xm_memory_error: report one in page frame @pfn: 0, or the kernel's negative errno. */
int xm_memory_error(__u64 pfn);
/** xm_devmem_free: free pages of the device's memory. */
__u64 xm_devmem_free(int fd);

/** xm_pin_cpu: run on CPU 0 only; LRU batches are per CPU. */
int xm_pin_cpu(void);
/** xm_pin_from: run on the first CPU from @cpu on that is online: which, or -EINVAL. */
int xm_pin_from(int cpu);
/** xm_drain: have the LRU batches of all CPUs drained. */
int xm_drain(void);
/** xm_pageout: MADV_PAGEOUT until no page is present; -EAGAIN if one stays. */
int xm_pageout(void *p, size_t len);
/** xm_cgroup: the directory of the own control group; -ENOENT without cgroup2. */
int xm_cgroup(char *path, size_t room);
/**
 * xm_reclaim: ask memory.reclaim of the own control group for @bytes. 0 also
 * if less was found; -ENOENT: there is no such file.
 */
int xm_reclaim(const char *bytes);
/**
 * xm_reclaim_only: lock all of the program but @len bytes at @p, so that xm_reclaim() finds
 * nothing else of it. Pages of its own that come back after each request are progress enough
 * for reclaim, which then leaves the active list alone (mm/vmscan.c: do_try_to_free_pages(),
 * skipped_deactivate). Call it before the device has @p, since mlockall() faults that in.
 */
int xm_reclaim_only(void *p, size_t len);
/**
 * xm_reclaim_again: xm_reclaim() once more, of what was asked for at @start first and is
 * not done yet: -ETIMEDOUT if it is of no use. A single request may be: where anonymous
 * pages are on the active list only, reclaim makes them inactive if their counts say so
 * (mm/vmscan.c: shrink_lruvec(), inactive_is_low()), and these are as of up to two seconds
 * ago (mm/memcontrol.c: FLUSH_TIME).
 */
int xm_reclaim_again(__u64 start, const char *bytes);
/**
 * xm_reclaim_exclusive: xm_reclaim() until none of @len bytes at @p is exclusive. 0 also if
 * one stays.
 */
int xm_reclaim_exclusive(const void *p, size_t len);
/**
 * xm_reclaim_corrupts: reclaim meets exclusive entries here, and corrupts them:
 * arm64, see finding 26.
 */
bool xm_reclaim_corrupts(void);

/** xm_has_ksm: whether the kernel merges pages at all. */
bool xm_has_ksm(void);
/**
 * xm_ksm_scan: have KSM scan all memory until pages that do not change are
 * merged. -ETIMEDOUT if that takes longer than @ms.
 */
int xm_ksm_scan(unsigned int ms);
/** xm_ksm_merge: have KSM merge two pages; -ETIMEDOUT if it does not. */
int xm_ksm_merge(const void *p, const void *q);

#endif /* XM_MEMORY_H */
