// SPDX-License-Identifier: GPL-2.0
/*
 * Figures, and how the drivers are called, see bench.h.
 */
#include <fcntl.h>
#include <sys/ioctl.h>

#include "bench.h"
#include "dmirror.h"

/* Figures */

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

double median(double *values, unsigned int n)
{
	qsort(values, n, sizeof(*values), by_value);
	return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

double spread(const double *values, unsigned int n)
{
	return 100 * (values[n - 1 - n / 4] - values[n / 4]) / values[n / 2];
}

unsigned int rounds_for(size_t size)
{
	return size >= LONG_AREA && opt.rounds > LONG_ROUNDS ? LONG_ROUNDS :
	       opt.rounds;
}

const char *size_name(size_t size)
{
	static char text[32];

	if (size >= 1UL << 20)
		snprintf(text, sizeof(text), "%zu MiB", size >> 20);
	else
		snprintf(text, sizeof(text), "%zu KiB", size >> 10);
	return text;
}

void print_ns(double ns, const char *mark)
{
	char text[32];

	if (isnan(ns))
		snprintf(text, sizeof(text), "none");
	else if (isinf(ns))
		snprintf(text, sizeof(text), "%s?", mark);
	else
		snprintf(text, sizeof(text), "%s%.*f", mark, ns < 100, ns);
	printf(" %12s", text);
}

void print_noise(double noise)
{
	printf(" %6.0f%%", noise);
}

void print_ratio(double over, double under)
{
	if (!isfinite(over) || !isfinite(under))
		printf(" %8s", "-");
	else
		printf(" %7.2fx", over / under);
}

void complain(const char *what, size_t size, int err)
{
	printf("FAILED: %s, %s: %s\n", what, size_name(size), strerror(-err));
	opt.failed = true;
}

/* Drivers */

#define INTREE_NODE		"/dev/hmm_dmirror0"

int open_driver(enum bench_driver driver)
{
	int fd;

	if (driver == OURS)
		return xm_open(0);
	fd = open(INTREE_NODE, O_RDWR | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int intree_call(int fd, unsigned long nr, char *addr, size_t len,
		       char *buf, __u64 *done)
{
	struct hmm_dmirror_cmd arg = {
		.addr = (uintptr_t)addr,
		.ptr = (uintptr_t)buf,
		.npages = len / XM_PAGE,
	};
	int err;

	do {
		err = xm_ioctl(fd, nr, &arg);
	} while (err == -EINTR);
	*done = arg.cpages;
	return err;
}

static int intree_all(int fd, unsigned long nr, char *addr, size_t len,
		      char *buf)
{
	__u64 done;
	int err = intree_call(fd, nr, addr, len, buf, &done);

	if (!err && done != len / XM_PAGE)
		err = -EIO;
	return err;
}

int intree_read(int fd, char *addr, size_t len, char *buf)
{
	return intree_all(fd, HMM_DMIRROR_READ, addr, len, buf);
}

int intree_write(int fd, char *addr, size_t len, char *buf)
{
	return intree_all(fd, HMM_DMIRROR_WRITE, addr, len, buf);
}

int intree_exclusive(int fd, char *addr, size_t len, char *buf)
{
	return intree_all(fd, HMM_DMIRROR_EXCLUSIVE, addr, len, buf);
}

int intree_to_device(int fd, char *addr, size_t len, char *buf)
{
	return intree_all(fd, HMM_DMIRROR_MIGRATE_TO_DEV, addr, len, buf);
}

int intree_to_system(int fd, char *addr, size_t len, char *buf)
{
	__u64 done;
	int err = intree_call(fd, HMM_DMIRROR_MIGRATE_TO_SYS, addr, len, buf, &done);

	/* A huge page counts as one. */
	if (!err && !done)
		err = -EIO;
	return err;
}

int cpu_touch(int fd, char *addr, size_t len, char *buf)
{
	size_t i;

	(void)fd;
	(void)buf;
	for (i = 0; i < len; i += XM_PAGE)
		(void)XM_LOAD(addr + i);
	return 0;
}

char *huge_memory(size_t len)
{
	/* Where a piece of device page table begins, so that none is shared. */
	size_t chunk = xm_facts()->chunk_size;
	char *p = xm_anon_aligned(len, len < chunk ? XM_PMD : chunk);
	int err = EAGAIN;
	size_t i;

	if (!p)
		return NULL;
	if (madvise(p, len, MADV_HUGEPAGE)) {
		err = errno;
		goto out;
	}
	for (i = 0; i < len; i += XM_PMD) {
		memset(p + i, 1, XM_PMD);
		if (xm_kpageflags(xm_pfn(p + i)) & XM_KPF_THP)
			continue;
		/* There was none at hand: have one made. */
		if (madvise(p + i, XM_PMD, MADV_COLLAPSE)) {
			err = errno;
			goto out;
		}
		if (!(xm_kpageflags(xm_pfn(p + i)) & XM_KPF_THP))
			goto out;
	}
	return p;
out:
	munmap(p, len);
	errno = err;
	return NULL;
}
