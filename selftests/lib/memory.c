// SPDX-License-Identifier: GPL-2.0
/*
 * Memory of each kind, and what the kernel does to it on request.
 */
#include <fcntl.h>
#include <linux/mempolicy.h>
#include <sched.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "memory.h"
#include "pagemap.h"
#include "settings.h"
#include "xm.h"

#define THP	"/sys/kernel/mm/transparent_hugepage/"

bool xm_has_thp(void)
{
	return !access(THP "enabled", F_OK);
}

const char *xm_why_no_thp(void)
{
	return xm_has_thp() ? "THP allocation failed" :
			      "no CONFIG_TRANSPARENT_HUGEPAGE";
}

int xm_no_thp(void *p, size_t len)
{
	return xm_has_thp() && madvise(p, len, MADV_NOHUGEPAGE) ? -errno : 0;
}

static void *map(size_t len, int prot, int flags)
{
	void *p = mmap(NULL, len, prot, flags | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	xm_no_thp(p, len);
	return p;
}

void *xm_anon(size_t len)
{
	return map(len, PROT_READ | PROT_WRITE, MAP_PRIVATE);
}

void *xm_anon_aligned(size_t len, size_t align)
{
	char *p = map(len + align, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	size_t head;

	if (!p)
		return NULL;
	head = -(uintptr_t)p & (align - 1);
	if (head)
		munmap(p, head);
	munmap(p + head + len, align - head);
	return p + head;
}

void *xm_anon_prot(size_t len, int prot)
{
	return map(len, prot, MAP_PRIVATE);
}

void *xm_shared(size_t len)
{
	return map(len, PROT_READ | PROT_WRITE, MAP_SHARED);
}

uintptr_t xm_user_end(void)
{
	return (uintptr_t)__builtin_frame_address(0) & -(1UL << 28);
}

void *xm_hole(size_t len)
{
	void *p = map(len, PROT_NONE, MAP_PRIVATE);

	if (p)
		munmap(p, len);
	return p;
}

size_t xm_chunks(size_t len)
{
	const struct xmirror_info *facts = xm_facts();

	return facts && len > facts->chunk_size ? len / facts->chunk_size : 1;
}

void *xm_area(size_t len, size_t room)
{
	const struct xmirror_info *facts = xm_facts();
	size_t chunk = facts ? facts->chunk_size : XM_2M, size;
	char *all, *p;

	/* Both are powers of two. */
	chunk = chunk > XM_PMD ? chunk : XM_PMD;
	size = (len + room + chunk - 1) & ~(chunk - 1);
	/*
	 * Address space that nobody else gets. It is shared, so that fork()
	 * says nothing about it and nothing merges with it.
	 */
	all = mmap(NULL, size + 2 * chunk, PROT_NONE,
		   MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (all == MAP_FAILED)
		return NULL;
	p = all + (-(uintptr_t)all & (chunk - 1));
	p = mmap(p, len + room, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	if (room)
		munmap(p + len, room);
	xm_no_thp(p, len);
	return p;
}

int xm_anon_at(void *p, size_t len)
{
	if (mmap(p, len, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != p)
		return -errno;
	/* Always, so that all such mappings can merge */
	xm_no_thp(p, len);
	return 0;
}

void *xm_border(size_t len)
{
	const struct xmirror_info *facts = xm_facts();
	char *p = (char *)(1UL << 40) + (facts ? facts->chunk_size : XM_2M) -
		  len / 2;

	if (mmap(p, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS |
		 MAP_FIXED_NOREPLACE, -1, 0) != p)
		return NULL;
	return xm_anon_at(p, len) ? NULL : p;
}

int xm_peek(const void *p, __u64 *value)
{
	struct iovec to = { value, sizeof(*value) };
	struct iovec from = { (void *)p, sizeof(*value) };
	ssize_t n = process_vm_readv(getpid(), &to, 1, &from, 1, 0);

	return n < 0 ? -errno : n == sizeof(*value) ? 0 : -EIO;
}

int xm_poke(void *p, __u64 value)
{
	struct iovec from = { &value, sizeof(value) };
	struct iovec to = { p, sizeof(value) };
	ssize_t n = process_vm_writev(getpid(), &from, 1, &to, 1, 0);

	return n < 0 ? -errno : n == sizeof(value) ? 0 : -EIO;
}

int xm_memfd(void *p, size_t len)
{
	int err, fd = memfd_create("xmirror", MFD_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (!ftruncate(fd, XM_PAGE) &&
	    mmap(p, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd,
		 0) == p)
		return fd;
	err = -errno;
	close(fd);
	return err;
}

int xm_temp_file(const char *dir)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/xmirror-XXXXXX", dir);
	fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	unlink(path);
	return fd;
}

char *xm_thp(int fd, unsigned char byte)
{
	char *p = xm_anon_aligned(XM_PMD, XM_PMD);

	/* With this khugepaged leaves exclusive entries alone. */
	xm_setting(THP "khugepaged/max_ptes_swap", "0");
	if (!p || madvise(p, XM_PMD, MADV_HUGEPAGE))
		return NULL;
	memset(p, byte, XM_PMD);
	return xm_page(fd, p).cpu & XMIRROR_CPU_HUGE ? p : NULL;
}

static int size_enabled(size_t size, const char *value)
{
	char path[96];

	snprintf(path, sizeof(path), THP "hugepages-%zukB/enabled", size / 1024);
	return xm_setting(path, value);
}

int xm_thp_16_pages(void)
{
	int err = size_enabled(16 * XM_PAGE, "always");

	return err ? err : size_enabled(XM_PMD, "never");
}

int xm_thp_2m(void)
{
	int err;

	if (!XM_HUGE_IS_RARE)
		return 0;
	err = size_enabled(XM_2M, "always");
	return err ? err : size_enabled(XM_PMD, "never");
}

/* Of a line of /proc/pagetypeinfo: blocks of at least a huge page; 0 of no such line. */
static unsigned long blocks_of_line(char *line)
{
	unsigned long order, n = 0;
	char *word, *rest;
	char type[16];
	int at;

	if (sscanf(line, "Node %*d, zone %*s type %15s%n", type, &at) != 1 ||
	    (strcmp(type, "Unmovable") && strcmp(type, "Movable") &&
	     strcmp(type, "Reclaimable")))
		return 0;
	word = strtok_r(line + at, "\n ", &rest);
	for (order = 0; word; order++) {
		if (1UL << order >= XM_PMD_PAGES)
			n += strtoul(word + (*word == '>'), NULL, 10);
		word = strtok_r(NULL, "\n ", &rest);
	}
	return n;
}

bool xm_huge_is_free(unsigned int nr)
{
	unsigned long n = 0;
	char line[512];
	FILE *f;

	if (!XM_HUGE_IS_RARE)
		return true;
	f = fopen("/proc/pagetypeinfo", "re");
	while (f && fgets(line, sizeof(line), f))
		n += blocks_of_line(line);
	if (f)
		fclose(f);
	return n >= nr;
}

int xm_khugepaged_eager(void)
{
	char path[128], none[16];
	const char *const settings[][2] = {
		{ "max_ptes_none", none },
		{ "max_ptes_swap", "64" },
		{ "scan_sleep_millisecs", "0" },
		{ "alloc_sleep_millisecs", "0" },
		{ "pages_to_scan", "4096" },
	};
	size_t i;
	int err = 0;

	snprintf(none, sizeof(none), "%lu", XM_PMD_PAGES - 1);
	for (i = 0; i < sizeof(settings) / sizeof(*settings) && !err; i++) {
		snprintf(path, sizeof(path), THP "khugepaged/%s",
			 settings[i][0]);
		err = xm_setting(path, settings[i][1]);
	}
	return err;
}

int xm_collapse(void *p)
{
	unsigned int tries;

	/* A reference that somebody has for a moment: madvise(2) says to repeat. */
	for (tries = 0; tries < 1000; tries++) {
		if (!madvise(p, XM_PMD, MADV_COLLAPSE))
			return 0;
		if (errno != EAGAIN)
			break;
		sched_yield();
	}
	return -errno;
}

bool xm_is_private(int fd, const volatile void *p)
{
	struct xmirror_page page = xm_page(fd, p);

	return page.cpu & XMIRROR_CPU_PRIVATE && page.cpu & XMIRROR_CPU_LOCAL;
}

bool xm_is_devices(int fd, const volatile void *p, bool private)
{
	return private ? xm_is_private(fd, p) : xm_is_exclusive(p);
}

__u64 xm_page_value(size_t page)
{
	return page * 3 + 1;
}

void xm_fill_pages(__u64 *p, size_t pages)
{
	size_t i;

	for (i = 0; i < pages; i++)
		p[i * XM_WORDS] = xm_page_value(i);
}

size_t xm_wrong_pages(const __u64 *p, size_t pages)
{
	size_t i, n = 0;

	for (i = 0; i < pages; i++)
		n += XM_LOAD(p + i * XM_WORDS) != xm_page_value(i);
	return n;
}

void xm_fill_words(volatile __u64 *p, size_t len, __u64 seed)
{
	for (size_t i = 0; i < len / sizeof(*p); i++)
		p[i] = seed + i;
}

size_t xm_wrong_words(const volatile __u64 *p, size_t len, __u64 seed)
{
	size_t n = 0;

	for (size_t i = 0; i < len / sizeof(*p); i++)
		n += p[i] != seed + i;
	return n;
}

__u64 xm_private_pfn(int fd, const void *p)
{
	struct xmirror_page page = xm_page(fd, p);

	return page.cpu & XMIRROR_CPU_PRIVATE ? page.cpu_pfn : 0;
}

int xm_memory_error(__u64 pfn)
{
	char where[32];

	snprintf(where, sizeof(where), "%#llx", (unsigned long long)pfn * XM_PAGE);
	return xm_write_file(XM_HARD_OFFLINE, where);
}

__u64 xm_devmem_free(int fd)
{
	struct xmirror_stats s;

	return xm_stats(fd, &s) ? 0 : s.devmem_free;
}

static int pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return sched_setaffinity(0, sizeof(set), &set) ? -errno : 0;
}

int xm_pin_cpu(void)
{
	return pin(0);
}

int xm_pin_from(int cpu)
{
	for (; cpu < CPU_SETSIZE; cpu++) {
		if (!pin(cpu))
			return cpu;
	}
	return -EINVAL;
}

int xm_node_of(void *p)
{
	int node = -1;

	return syscall(SYS_move_pages, 0, 1UL, &p, NULL, &node, 0) ? -errno :
								     node;
}

int xm_drain(void)
{
	void *p = xm_anon(XM_PAGE);
	int node = 0, status;

	if (!p)
		return -ENOMEM;
	*(char *)p = 1;
	/* That is what a move begins with, whatever comes of it. */
	syscall(SYS_move_pages, 0, 1, &p, &node, &status, MPOL_MF_MOVE);
	return munmap(p, XM_PAGE) ? -errno : 0;
}

static bool any_present(const char *p, size_t len)
{
	size_t i;

	for (i = 0; i < len; i += XM_PAGE) {
		if (xm_is_present(p + i))
			return true;
	}
	return false;
}

int xm_written_back(const void *p, size_t len)
{
	__u64 start = xm_now_ns();
	size_t i;

	for (i = 0; i < len; i += XM_PAGE) {
		while (xm_is_present(p + i) &&
		       xm_kpageflags(xm_pfn(p + i)) & XM_KPF_WRITEBACK) {
			if (xm_expired(start, XM_LONG))
				return -ETIMEDOUT;
			sched_yield();
		}
	}
	return 0;
}

int xm_pageout(void *p, size_t len)
{
	int i;

	/*
	 * MADV_PAGEOUT leaves pages alone that are in the LRU batch of a CPU, or still on
	 * their way out from the last time.
	 */
	for (i = 0; i < 20; i++) {
		xm_drain();
		if (xm_written_back(p, len))
			return -ETIMEDOUT;
		if (madvise(p, len, MADV_PAGEOUT))
			return -errno;
		if (!any_present(p, len))
			return 0;
	}
	return -EAGAIN;
}

bool xm_reclaim_corrupts(void)
{
	return (xm_caps() & (XMIRROR_CAP_EXCLUSIVE_LARGE |
			     XMIRROR_CAP_RECLAIM_EXCLUSIVE)) ==
	       XMIRROR_CAP_EXCLUSIVE_LARGE;
}

int xm_cgroup(char *path, size_t room)
{
	FILE *f = fopen("/proc/self/cgroup", "re");
	char line[256];
	int err = -ENOENT;

	while (f && err && fgets(line, sizeof(line), f)) {
		if (strncmp(line, "0::", 3))
			continue;
		line[strcspn(line, "\n")] = 0;
		snprintf(path, room, "/sys/fs/cgroup%s", line + 3);
		err = access(path, F_OK) ? -ENOENT : 0;
	}
	if (f)
		fclose(f);
	return err;
}

int xm_reclaim(const char *bytes)
{
	char group[300], path[320];
	int err = xm_cgroup(group, sizeof(group));

	if (err)
		return err;
	snprintf(path, sizeof(path), "%s/memory.reclaim", group);
	err = xm_write_file(path, bytes);
	return err == -EAGAIN ? 0 : err;
}

int xm_reclaim_only(void *p, size_t len)
{
	return mlockall(MCL_CURRENT) || munlock(p, len) ? -errno : 0;
}

/* The counts that reclaim goes by are renewed every two seconds. */
#define RECLAIM_MS	(XM_LONG / 3)

int xm_reclaim_again(__u64 start, const char *bytes)
{
	int err;

	if (xm_expired(start, RECLAIM_MS))
		return -ETIMEDOUT;
	/* A page to which a CPU's batch has a reference cannot be taken. */
	err = xm_drain();
	return err ? err : xm_reclaim(bytes);
}

int xm_reclaim_exclusive(const void *p, size_t len)
{
	/* Before Linux 6.15 reclaim does not find them, however long it looks. */
	bool found = xm_caps() & XMIRROR_CAP_EXCLUSIVE_LARGE;
	__u64 start = xm_now_ns();
	int round, err = 0;

	for (round = 0; (found || round < 20) && !err &&
	     xm_count_exclusive(p, len); round++)
		err = xm_reclaim_again(start, "64M");
	return err == -ETIMEDOUT ? 0 : err;
}

#define KSM	"/sys/kernel/mm/ksm/"

bool xm_has_ksm(void)
{
	return !access(KSM "full_scans", F_OK);
}

static long ksm_scans(void)
{
	return xm_read_number(KSM "full_scans");
}

static int ksm_start(void)
{
	int err = xm_setting(KSM "sleep_millisecs", "0");

	return err ? err : xm_setting(KSM "run", "1");
}

int xm_ksm_merge(const void *p, const void *q)
{
	__u64 start = xm_now_ns();
	int err = ksm_start();

	while (!err && (!xm_pfn(p) || xm_pfn(p) != xm_pfn(q))) {
		if (xm_expired(start, XM_LONG))
			err = -ETIMEDOUT;
		sched_yield();
	}
	xm_write_file(KSM "run", "0");
	return err;
}

int xm_ksm_scan(unsigned int ms)
{
	long start = ksm_scans();
	__u64 t = xm_now_ns();
	int err = ksm_start();

	/* Two scans tell that a page does not change, the next ones merge. */
	while (!err && ksm_scans() < start + 4) {
		if (xm_expired(t, ms))
			err = -ETIMEDOUT;
		sched_yield();
	}
	xm_write_file(KSM "run", "0");
	return err;
}
