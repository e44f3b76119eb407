/* SPDX-License-Identifier: GPL-2.0 */
/* The information in /proc about a page, a mapping and the process. Needs root. */
#ifndef XM_PAGEMAP_H
#define XM_PAGEMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include <linux/types.h>

/** xm_pagemap: the pagemap entry of @addr, 0 if it cannot be read. */
__u64 xm_pagemap(const volatile void *addr);
/** xm_pagemap_of: the same of another process. */
__u64 xm_pagemap_of(pid_t pid, const volatile void *addr);
#define XM_PM_PRESENT		(1ULL << 63)
#define XM_PM_SWAP		(1ULL << 62)
#define XM_PM_FILE		(1ULL << 61)
#define XM_PM_ANON_EXCLUSIVE	(1ULL << 56)
#define XM_PM_SOFT_DIRTY	(1ULL << 55)
/** xm_has_soft_dirty: CONFIG_MEM_SOFT_DIRTY, which not every architecture has. */
bool xm_has_soft_dirty(void);
bool xm_is_present(const volatile void *addr);
/** xm_is_marked: whether pagemap has a @bit for @addr, XM_PM_*. */
bool xm_is_marked(const volatile void *addr, __u64 bit);
/** xm_is_exclusive: a device-exclusive entry is at @addr, by its swap type. */
bool xm_is_exclusive(const volatile void *addr);
/** xm_is_swapped: a non-present entry that is not the device's is there. */
bool xm_is_swapped(const volatile void *addr);
/** xm_count_exclusive: pages of the range with a device-exclusive entry. */
size_t xm_count_exclusive(const volatile void *addr, size_t len);
/** xm_pfn: page frame at @addr, also of a device-exclusive entry, else 0. */
__u64 xm_pfn(const volatile void *addr);
/** xm_kpageflags: /proc/kpageflags of @pfn. */
__u64 xm_kpageflags(__u64 pfn);
#define XM_KPF_REFERENCED	(1ULL << 2)
#define XM_KPF_DIRTY		(1ULL << 4)
#define XM_KPF_LRU		(1ULL << 5)
#define XM_KPF_WRITEBACK	(1ULL << 8)
#define XM_KPF_BUDDY		(1ULL << 10)
#define XM_KPF_SWAPCACHE	(1ULL << 13)
#define XM_KPF_SWAPBACKED	(1ULL << 14)
#define XM_KPF_HUGE		(1ULL << 17)
#define XM_KPF_THP		(1ULL << 22)
/** XM_PAGE_IDLE: what xm_is_idle() and xm_set_idle() work on, opened for both. */
#define XM_PAGE_IDLE		"/sys/kernel/mm/page_idle/bitmap"
/** xm_is_idle: the bit of @pfn, after the kernel has looked for accesses; or -errno. */
int xm_is_idle(int fd, __u64 pfn);
int xm_set_idle(int fd, __u64 pfn);

/** xm_status_kb: a field of /proc/self/status such as "VmRSS", -1 if none. */
long xm_status_kb(const char *field);
long xm_vmrss_kb(void);
/** xm_meminfo_kb: a field of /proc/meminfo such as "SwapFree". */
long xm_meminfo_kb(const char *field);
/**
 * xm_page_tables_kb: PageTables of /proc/meminfo, with what each CPU has counted by itself
 * and without tables that wait for RCU. Where these are still more than @most, it waits for
 * them.
 */
long xm_page_tables_kb(long most);
/** xm_smaps_kb: a field of the VMA at @p in /proc/self/smaps, -1: no VMA. */
long xm_smaps_kb(const void *p, const char *field);

#define XM_PM_UFFD_WP		(1ULL << 57)

/** struct xm_pm_scan - the argument of PAGEMAP_SCAN, Linux 6.7 */
struct xm_pm_scan {
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

#define XM_PAGEMAP_SCAN	_IOWR('f', 16, struct xm_pm_scan)
#define XM_PM_WP_MATCHING	(1ULL << 0)
#define XM_PM_CHECK_WPASYNC	(1ULL << 1)
#define XM_PAGE_IS_WRITTEN	(1ULL << 1)
#define XM_PAGE_IS_SWAPPED	(1ULL << 4)
#define XM_PAGE_IS_SOFT_DIRTY	(1ULL << 7)

/**
 * xm_scan: what PAGEMAP_SCAN (@flags) says of the page at @p: its categories out
 * of @tell, -ENOENT if it lacks one of @need, another errno, -ENOTTY before 6.7.
 */
long xm_scan(const void *p, __u64 flags, __u64 need, __u64 tell);
/**
 * xm_scan_written: how many pages were written at @p, 0 or 1, which is then
 * protected again. Needs asynchronous write protection; a negative errno.
 */
int xm_scan_written(const void *p);
/**
 * xm_scan_protect: protect the page at @p and ask nothing, which the kernel does by
 * a loop of its own. Needs asynchronous write protection; 0 or a negative errno.
 */
int xm_scan_protect(const void *p);
/** xm_scan_protect_all: the same of @len bytes, with one call. */
int xm_scan_protect_all(const void *p, size_t len);

#endif /* XM_PAGEMAP_H */
