// SPDX-License-Identifier: GPL-2.0
/*
 * Helpers of the tests of conformance, see libconf.h.
 */
#include <fcntl.h>
#include <linux/mempolicy.h>
#include <poll.h>
#include <sched.h>
#include <sys/syscall.h>

#include "memory.h"

#define THP	"/sys/kernel/mm/transparent_hugepage/"

void *conf_area(size_t len, size_t room)
{
	const struct xmirror_info *facts = xm_facts();
	size_t chunk = facts ? facts->chunk_size : XM_2M;
	char *all, *p;

	/*
	 * Address space that nobody else gets. It is shared, so that fork()
	 * says nothing about it and nothing merges with it.
	 */
	all = mmap(NULL, 3 * chunk, PROT_NONE,
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
	madvise(p, len, MADV_NOHUGEPAGE);
	return p;
}

int conf_pin(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(0, &set);
	return sched_setaffinity(0, sizeof(set), &set) ? -errno : 0;
}

char *conf_thp(int fd, unsigned char byte)
{
	char *p = xm_anon_aligned(XM_2M, XM_2M);

	/* With this khugepaged leaves exclusive entries alone. */
	xm_write_file(THP "khugepaged/max_ptes_swap", "0");
	if (!p || madvise(p, XM_2M, MADV_HUGEPAGE))
		return NULL;
	memset(p, byte, XM_2M);
	return xm_page(fd, p).cpu & XMIRROR_CPU_HUGE ? p : NULL;
}

int conf_memfd(void *p, size_t len)
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

int conf_uffd(__u64 features)
{
	struct uffdio_api api = { .api = UFFD_API, .features = features };
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	int err;

	if (fd < 0)
		return -errno;
	if (!ioctl(fd, UFFDIO_API, &api))
		return fd;
	err = -errno;
	close(fd);
	return err;
}

int conf_uffd_register(int uffd, void *p, size_t len, __u64 mode)
{
	struct uffdio_register r = {
		.range = { .start = (uintptr_t)p, .len = len },
		.mode = mode,
	};

	return ioctl(uffd, UFFDIO_REGISTER, &r) ? -errno : 0;
}

int conf_uffd_wait(int uffd)
{
	struct pollfd p = { .fd = uffd, .events = POLLIN };
	struct uffd_msg msg;

	if (poll(&p, 1, XM_LONG) != 1)
		return -ETIMEDOUT;
	if (read(uffd, &msg, sizeof(msg)) != sizeof(msg) ||
	    msg.event != UFFD_EVENT_PAGEFAULT)
		return -EIO;
	return 0;
}

int conf_uffd_fill(int uffd, void *to, const void *from)
{
	struct uffdio_copy copy = {
		.dst = (uintptr_t)to,
		.src = (uintptr_t)from,
		.len = XM_PAGE,
	};

	return ioctl(uffd, UFFDIO_COPY, &copy) ? -errno : 0;
}

int conf_uffd_wp(int uffd, void *p, size_t len, bool on)
{
	struct uffdio_writeprotect wp = {
		.range = { .start = (uintptr_t)p, .len = len },
		.mode = on ? UFFDIO_WRITEPROTECT_MODE_WP : 0,
	};

	return ioctl(uffd, UFFDIO_WRITEPROTECT, &wp) ? -errno : 0;
}

long conf_scan(const void *p, __u64 flags, __u64 need, __u64 tell)
{
	__u64 region[3] = {};
	struct conf_pm_scan scan = {
		.size = sizeof(scan),
		.flags = flags,
		.start = (uintptr_t)p,
		.end = (uintptr_t)p + XM_PAGE,
		.vec = (uintptr_t)region,
		.vec_len = 1,
		.category_mask = need,
		.return_mask = tell,
	};
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	long n;

	if (fd < 0)
		return -errno;
	n = ioctl(fd, CONF_PAGEMAP_SCAN, &scan);
	n = n < 0 ? -errno : n ? (long)region[2] : -ENOENT;
	close(fd);
	return n;
}

int conf_scan_written(const void *p)
{
	long n = conf_scan(p, CONF_PM_WP_MATCHING | CONF_PM_CHECK_WPASYNC,
			   CONF_PAGE_IS_WRITTEN, CONF_PAGE_IS_WRITTEN);

	return n == -ENOENT ? 0 : n < 0 ? n : 1;
}

bool conf_log_has(const char *what)
{
	static char text[1 << 16];
	bool found = false;
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return false;
	for (;;) {
		n = read(fd, text, sizeof(text) - 1);
		if (n < 0 && errno == EPIPE)
			continue;
		if (n <= 0)
			break;
		text[n] = 0;
		found |= !!strstr(text, what);
	}
	close(fd);
	return found;
}

int conf_collapse(void *p)
{
	unsigned int tries;

	/* A reference that somebody has for a moment: madvise(2) says to repeat. */
	for (tries = 0; tries < 1000; tries++) {
		if (!madvise(p, XM_2M, MADV_COLLAPSE))
			return 0;
		if (errno != EAGAIN)
			break;
		sched_yield();
	}
	return -errno;
}

int conf_thp_64k(bool only)
{
	int err = xm_write_file(THP "hugepages-64kB/enabled",
				only ? "always" : "never");

	return err ? err : xm_write_file(THP "hugepages-2048kB/enabled",
					 only ? "never" : "inherit");
}

bool conf_is_private(int fd, const volatile void *p)
{
	struct xmirror_page page = xm_page(fd, p);

	return page.cpu & XMIRROR_CPU_PRIVATE && page.cpu & XMIRROR_CPU_LOCAL;
}

__u64 conf_devmem_free(int fd)
{
	struct xmirror_stats s;

	return xm_stats(fd, &s) ? 0 : s.devmem_free;
}

int conf_reclaim(const char *bytes)
{
	char line[256], path[320] = "";
	int err;
	FILE *f;

	f = fopen("/proc/self/cgroup", "re");
	if (!f)
		return -ENOENT;
	while (fgets(line, sizeof(line), f)) {
		if (strncmp(line, "0::", 3))
			continue;
		line[strcspn(line, "\n")] = 0;
		snprintf(path, sizeof(path),
			 "/sys/fs/cgroup%s/memory.reclaim", line + 3);
	}
	fclose(f);
	err = xm_write_file(path, bytes);
	return err == -EAGAIN ? 0 : err;
}

long conf_smaps_kb(const void *p, const char *field)
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

int conf_drain(void)
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

int conf_pageout(void *p, size_t len)
{
	int i;

	for (i = 0; i < 20; i++) {
		if (madvise(p, len, MADV_PAGEOUT))
			return -errno;
		if (!xm_is_present(p))
			return 0;
		/* The thread may have been on another CPU, with its batch. */
		conf_drain();
	}
	return -EAGAIN;
}

#define KSM	"/sys/kernel/mm/ksm/"

bool conf_has_ksm(void)
{
	return !access(KSM "full_scans", F_OK);
}

static long ksm_scans(void)
{
	char text[32] = "";
	int fd = open(KSM "full_scans", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -1;
	if (read(fd, text, sizeof(text) - 1) < 0)
		text[0] = 0;
	close(fd);
	return atol(text);
}

int conf_ksm_scan(unsigned int ms)
{
	long start = ksm_scans();
	__u64 t = xm_now_ns();
	int err;

	err = xm_write_file(KSM "sleep_millisecs", "0");
	if (!err)
		err = xm_write_file(KSM "run", "1");
	/* Two scans tell that a page does not change, the next ones merge. */
	while (!err && ksm_scans() < start + 4) {
		if (xm_expired(t, ms))
			err = -ETIMEDOUT;
		sched_yield();
	}
	xm_write_file(KSM "run", "0");
	return err;
}

int conf_temp_file(const char *dir)
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
