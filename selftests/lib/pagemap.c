// SPDX-License-Identifier: GPL-2.0
/* /proc about a page, a mapping and the process, see pagemap.h. */
#include <fcntl.h>
#include <linux/membarrier.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include "memory.h"
#include "pagemap.h"
#include "xm.h"

static __u64 read_u64(const char *path, __u64 index)
{
	__u64 value = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return 0;
	if (pread(fd, &value, sizeof(value), index * sizeof(value)) !=
	    sizeof(value))
		value = 0;
	close(fd);
	return value;
}

bool xm_has_soft_dirty(void)
{
	volatile char *p = xm_anon(XM_PAGE);
	bool has = false;

	if (p) {
		*p = 1;
		has = xm_pagemap(p) & XM_PM_SOFT_DIRTY;
		munmap((void *)p, XM_PAGE);
	}
	return has;
}

__u64 xm_pagemap(const volatile void *addr)
{
	return read_u64("/proc/self/pagemap", (uintptr_t)addr / XM_PAGE);
}

__u64 xm_pagemap_of(pid_t pid, const volatile void *addr)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/pagemap", pid);
	return read_u64(path, (uintptr_t)addr / XM_PAGE);
}

int xm_is_idle(int fd, __u64 pfn)
{
	__u64 bits;

	if (pread(fd, &bits, 8, pfn / 64 * 8) != 8)
		return -errno;
	return bits >> pfn % 64 & 1;
}

int xm_set_idle(int fd, __u64 pfn)
{
	__u64 bits = 1ULL << pfn % 64;

	return pwrite(fd, &bits, 8, pfn / 64 * 8) == 8 ? 0 : -errno;
}

bool xm_is_present(const volatile void *addr)
{
	return xm_pagemap(addr) & XM_PM_PRESENT;
}

static bool entry_has_type(__u64 entry, const __u32 types[2])
{
	__u32 type = entry & 0x1f;

	if ((entry & XM_PM_PRESENT) || !(entry & XM_PM_SWAP))
		return false;
	return type == types[0] || type == types[1];
}

static bool entry_is_exclusive(__u64 entry)
{
	const struct xmirror_info *facts = xm_facts();

	return facts && entry_has_type(entry, facts->swp_exclusive);
}

bool xm_is_marked(const volatile void *addr, __u64 bit)
{
	return xm_pagemap(addr) & bit;
}

bool xm_is_exclusive(const volatile void *addr)
{
	return entry_is_exclusive(xm_pagemap(addr));
}

bool xm_is_swapped(const volatile void *addr)
{
	const struct xmirror_info *facts = xm_facts();
	__u64 entry = xm_pagemap(addr);

	return (entry & XM_PM_SWAP) && !(entry & XM_PM_PRESENT) && facts &&
	       !entry_has_type(entry, facts->swp_exclusive) &&
	       !entry_has_type(entry, facts->swp_private) &&
	       (entry & 0x1f) != facts->swp_marker;
}

size_t xm_count_exclusive(const volatile void *addr, size_t len)
{
	size_t i, n = 0;

	for (i = 0; i < len; i += XM_PAGE)
		n += xm_is_exclusive((const volatile char *)addr + i);
	return n;
}

__u64 xm_pfn(const volatile void *addr)
{
	__u64 entry = xm_pagemap(addr);

	if (!(entry & XM_PM_PRESENT))
		return entry_is_exclusive(entry) ? entry << 9 >> 14 : 0;
	return entry & ((1ULL << 55) - 1);
}

__u64 xm_kpageflags(__u64 pfn)
{
	return read_u64("/proc/kpageflags", pfn);
}

static long read_kb(const char *path, const char *field)
{
	size_t n = strlen(field);
	char line[256];
	long kb = -1;
	FILE *f = fopen(path, "re");

	if (!f)
		return -1;
	while (kb < 0 && fgets(line, sizeof(line), f)) {
		if (!strncmp(line, field, n) && line[n] == ':')
			kb = strtol(line + n + 1, NULL, 10);
	}
	fclose(f);
	return kb;
}

long xm_status_kb(const char *field)
{
	return read_kb("/proc/self/status", field);
}

long xm_vmrss_kb(void)
{
	return xm_status_kb("VmRSS");
}

long xm_meminfo_kb(const char *field)
{
	return read_kb("/proc/meminfo", field);
}

long xm_page_tables_kb(long most)
{
	__u64 start = xm_now_ns();
	long kb;

	do {
		/* Tables of munmap() are freed by call_rcu(), see mm/mmu_gather.c. */
		syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0);
		/* vmstat_refresh() in mm/vmstat.c folds the counters of the CPUs. */
		xm_write_file("/proc/sys/vm/stat_refresh", "1");
		kb = xm_meminfo_kb("PageTables");
	} while (kb > most && !xm_expired(start, XM_LONG));
	return kb;
}

long xm_smaps_kb(const void *p, const char *field)
{
	unsigned long start, end;
	size_t n = strlen(field);
	bool here = false;
	char line[512];
	long kb = -1;
	FILE *f;

	f = fopen("/proc/self/smaps", "re");
	if (!f)
		return -1;
	while (kb < 0 && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			here = (uintptr_t)p >= start && (uintptr_t)p < end;
		else if (here && !strncmp(line, field, n) && line[n] == ':')
			kb = strtol(line + n + 1, NULL, 10);
	}
	fclose(f);
	return kb;
}

static long scan_range(const void *p, size_t len, struct xm_pm_scan *scan)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	long n;

	if (fd < 0)
		return -errno;
	scan->size = sizeof(*scan);
	scan->start = (uintptr_t)p;
	scan->end = (uintptr_t)p + len;
	n = ioctl(fd, XM_PAGEMAP_SCAN, scan);
	n = n < 0 ? -errno : n;
	close(fd);
	return n;
}

long xm_scan(const void *p, __u64 flags, __u64 need, __u64 tell)
{
	__u64 region[3] = {};
	struct xm_pm_scan scan = {
		.flags = flags,
		.vec = (uintptr_t)region,
		.vec_len = 1,
		.category_mask = need,
		.return_mask = tell,
	};
	long n = scan_range(p, XM_PAGE, &scan);

	return n < 0 ? n : n ? (long)region[2] : -ENOENT;
}

int xm_scan_protect_all(const void *p, size_t len)
{
	struct xm_pm_scan scan = {
		.flags = XM_PM_WP_MATCHING | XM_PM_CHECK_WPASYNC,
		.category_mask = XM_PAGE_IS_WRITTEN,
	};

	return scan_range(p, len, &scan);
}

int xm_scan_protect(const void *p)
{
	return xm_scan_protect_all(p, XM_PAGE);
}

int xm_scan_written(const void *p)
{
	long n = xm_scan(p, XM_PM_WP_MATCHING | XM_PM_CHECK_WPASYNC,
			   XM_PAGE_IS_WRITTEN, XM_PAGE_IS_WRITTEN);

	return n == -ENOENT ? 0 : n < 0 ? n : 1;
}
