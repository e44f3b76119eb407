// SPDX-License-Identifier: GPL-2.0
/*
 * The cost of a device's write to memory that is present but not the process's own
 * yet, so that the fault breaks COW: an invalidation of the range that is being faulted.
 * Beside own pages it does so for each second page, as in mirror/file_cow.c.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "bench.h"

enum kind { MEMFD, DISK, FORKED, NR_KINDS };

static const char * const names[NR_KINDS][2] = {
	[MEMFD] = { "memfd", "memfd, beside own pages" },
	[DISK] = { "file on a disk", "the file, beside own pages" },
	[FORKED] = { "shared with a child", "shared, beside own pages" },
};

static int map_file(enum kind kind, char *mem)
{
	int file, err = 0;

	if (kind == MEMFD)
		file = memfd_create("xmirror", MFD_CLOEXEC);
	else
		file = open(getenv("XM_SCRATCH"), O_TMPFILE | O_RDWR, 0600);
	if (file < 0)
		return -errno;
	if (ftruncate(file, XM_2M) ||
	    mmap(mem, XM_2M, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED,
		 file, 0) == MAP_FAILED)
		err = -errno;
	close(file);
	return err;
}

static void write_pages(char *mem, size_t step)
{
	size_t i;

	for (i = 0; i < XM_2M; i += step)
		XM_STORE(mem + i, 1);
}

/* Bring the memory into its state. A child that shares it is in @pid, else 0. */
static int start(enum kind kind, bool own, char *mem, pid_t *pid)
{
	int err = kind == FORKED ? 0 : map_file(kind, mem);

	if (err)
		return err;
	/* A kernel without huge pages has none to avoid. */
	madvise(mem, XM_2M, MADV_NOHUGEPAGE);
	if (kind == FORKED) {
		write_pages(mem, XM_PAGE);
		*pid = fork();
		if (*pid < 0)
			return -errno;
		while (!*pid)
			pause();
	} else {
		cpu_touch(-1, mem, XM_2M, NULL);
	}
	if (own)
		write_pages(mem, 2 * XM_PAGE);
	return 0;
}

static int one_round(enum kind kind, bool own, double *ns)
{
	char *mem = xm_anon_aligned(XM_2M, XM_2M);
	int fd = xm_open(0), err = mem ? 0 : -ENOMEM;
	pid_t pid = 0;
	__u64 before;

	if (fd < 0)
		err = fd;
	if (!err)
		err = start(kind, own, mem, &pid);
	before = xm_now_ns();
	if (!err)
		err = xm_fault(fd, mem, XM_2M, XMIRROR_FAULT_WRITE, NULL);
	*ns = (double)(xm_now_ns() - before) / (XM_2M / XM_PAGE);
	if (pid > 0) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	if (fd >= 0)
		close(fd);
	if (mem)
		munmap(mem, XM_2M);
	return err;
}

static void print_kind(enum kind kind, bool own)
{
	unsigned int rounds = rounds_for(XM_2M), i;
	double ns[MAX_ROUNDS + 1];
	int err;

	for (i = 0; i <= rounds; i++) {
		err = one_round(kind, own, &ns[i]);
		if (err) {
			complain(names[kind][own], XM_2M, err);
			return;
		}
	}
	printf("%-30s %7s", names[kind][own], size_name(XM_2M));
	/* The first was a warm-up. */
	print_ns(median(ns + 1, rounds), "");
	print_noise(spread(ns + 1, rounds));
	printf("\n");
}

void run_cow(void)
{
	enum kind kind;

	printf("\nwrite fault that breaks COW: ns per 4 KiB page\n");
	for (kind = 0; kind < NR_KINDS; kind++) {
		if (kind == DISK && !getenv("XM_SCRATCH"))
			continue;
		print_kind(kind, false);
		print_kind(kind, true);
	}
}
