// SPDX-License-Identifier: GPL-2.0
/*
 * The costs of the two policies of XMIRROR_SET_FORK: the fork itself, the time until
 * the device has its pages back, and the device's work on them then. The child
 * does nothing and lives on, so that each of these pages is copied.
 *
 * Lazy, the faults are part of the device's work. Eager, they go on beside the
 * parent after its fork, and the work has none.
 */
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>

#include "bench.h"

static const size_t sizes[] = { XM_PAGE, 256UL << 10, 4UL << 20 };

enum figure { FORK, BACK, WORK, NR_FIGURES };

/* Adds one to a word of each page. */
static int work(int fd, char *mem, size_t len)
{
	struct xmirror_cmd cmd = xm_cmds(XMIRROR_OP_ADD, 8, mem, XM_PAGE,
					 len / XM_PAGE, 1);

	return xm_run(fd, &cmd, NULL);
}

static int wait_for_pages(int fd, __u64 pages)
{
	__u64 start = xm_now_ns();
	struct xmirror_stats s;
	int err;

	do {
		err = xm_stats(fd, &s);
		if (err || s.fork_taken >= pages)
			return err;
		sched_yield();
	} while (!xm_expired(start, 10000));
	return -ETIMEDOUT;
}

/* One fork; the number of device faults after it. */
static int fork_once(__u64 policy, int fd, char *mem, size_t len, double *ns,
		     __u64 *faults)
{
	struct xmirror_stats before, after;
	__u64 t[NR_FIGURES + 1];
	int err = work(fd, mem, len);
	pid_t pid;

	if (!err)
		err = xm_stats(fd, &before);
	if (err)
		return err;
	t[FORK] = xm_now_ns();
	pid = fork();
	if (pid < 0)
		return -errno;
	if (!pid) {
		for (;;)
			pause();
	}
	t[BACK] = xm_now_ns();
	if (policy == XMIRROR_FORK_EAGER)
		err = wait_for_pages(fd, len / XM_PAGE);
	t[WORK] = xm_now_ns();
	if (!err)
		err = work(fd, mem, len);
	t[NR_FIGURES] = xm_now_ns();
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	if (!err)
		err = xm_stats(fd, &after);
	if (err)
		return err;
	for (int i = 0; i < NR_FIGURES; i++)
		ns[i] = t[i + 1] - t[i];
	*faults = after.device_faults - before.device_faults;
	for (size_t i = 0; i < len; i += XM_PAGE) {
		if (*(__u64 *)(mem + i) != i + 2)
			return -EIO;
	}
	return 0;
}

static int one_round(__u64 policy, size_t len, double *ns, __u64 *faults)
{
	char *mem = xm_anon(len);
	int fd, err;

	if (!mem)
		return -ENOMEM;
	for (size_t i = 0; i < len; i += XM_PAGE)
		*(__u64 *)(mem + i) = i;
	fd = xm_open(0);
	err = fd < 0 ? fd : xm_set(fd, XMIRROR_SET_FORK, policy, NULL);
	if (!err)
		err = fork_once(policy, fd, mem, len, ns, faults);
	if (fd >= 0)
		close(fd);
	munmap(mem, len);
	return err;
}

static void print_policy(const char *name, __u64 policy, size_t len)
{
	double all[NR_FIGURES][MAX_ROUNDS], ns[NR_FIGURES];
	unsigned int i, k, n = rounds_for(len);
	__u64 faults = 0;
	int err;

	for (i = 0; i <= n; i++) {
		err = one_round(policy, len, ns, &faults);
		if (err) {
			complain(name, len, err);
			return;
		}
		for (k = 0; i && k < NR_FIGURES; k++)
			all[k][i - 1] = ns[k];
	}
	printf("%-10s %-8s", size_name(len), name);
	for (k = 0; k < NR_FIGURES; k++)
		printf(" %12.1f", median(all[k], n) / 1e3);
	printf(" %8llu", (unsigned long long)faults);
	print_noise(spread(all[WORK], n));
	printf("\n");
}

void run_fork(void)
{
	printf("\nfork while the device works on pages, microseconds; the child lives on\n");
	if (!(opt.caps & XMIRROR_CAP_EXCLUSIVE)) {
		printf("none: %s\n", xm_why());
		return;
	}
	printf("%-10s %-8s %12s %12s %12s %8s %7s\n", "memory", "policy", "fork",
	       "taking back", "work", "faults", "spread");
	for (unsigned int i = 0; i < ARRAY_SIZE(sizes); i++) {
		print_policy("lazy", XMIRROR_FORK_LAZY, sizes[i]);
		print_policy("eager", XMIRROR_FORK_EAGER, sizes[i]);
	}
}
