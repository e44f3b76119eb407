// SPDX-License-Identifier: GPL-2.0
/*
 * The demo: the third party, which forks, and changes the memory of the counters.
 */
#include <signal.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "demo.h"

#define CHILDREN	2

/* A forked child, and what it has to see. */
struct child {
	pid_t pid;		/* 0: none */
	__u64 start;
	__u64 *low;		/* increments done before fork() */
	__u64 *high;		/* increments begun when fork() had returned */
	/* In memory shared with the child: */
	__u64 *values;		/* what it saw */
	__u64 *report;		/* REPORT_* */
};

enum { REPORT_CPU, REPORT_DEVICE, REPORT_WHERE, REPORT_GOT, REPORT_NR };

enum { CHILD_GOOD, CHILD_CHANGED = 10, CHILD_COPY };

struct act {
	const char *name;
	bool (*run)(void);
	__u64 done;
	__u64 refused;
};

__u64 forks, saw_cpu, saw_device;
static struct child child[CHILDREN];
static __u64 fork_refused, child_errors;
static __u64 third_random;

/* Forks */

/* In the child, whose only thread this is. It must not see anything move. */
static int be_child(const struct child *c)
{
	__u64 start = xm_now_ns(), cpu = total_of(false), dev = total_of(true);
	/* One child waits long enough to see both, the others make for forks. */
	unsigned int i, patience = c == child ? 500 : 20;

	for (i = 0; i < nr_counters; i++)
		c->values[i] = value_of(i);
	/* The parent and the device go on meanwhile. */
	do {
		pause_us(1000);
		c->report[REPORT_CPU] = total_of(false) > cpu;
		c->report[REPORT_DEVICE] = total_of(true) > dev;
	} while (!(c->report[REPORT_CPU] && c->report[REPORT_DEVICE]) &&
		 !xm_expired(start, patience));
	for (i = 0; i < nr_counters; i++) {
		c->report[REPORT_WHERE] = i;
		c->report[REPORT_GOT] = value_of(i);
		if (c->report[REPORT_GOT] != c->values[i])
			return CHILD_CHANGED;
	}
	/* Its own writes go to its own copies, and stay there. */
	for (i = 0; i < nr_counters; i++)
		add_to(i, i + 1);
	pause_us(1000);
	for (i = 0; i < nr_counters; i++) {
		c->report[REPORT_WHERE] = i;
		c->report[REPORT_GOT] = value_of(i) - (i + 1);
		c->report[REPORT_GOT] &= mask_of(i);
		if (c->report[REPORT_GOT] != c->values[i])
			return CHILD_COPY;
	}
	return CHILD_GOOD;
}

static void start_child(struct child *c)
{
	unsigned int i;
	pid_t pid;

	for (i = 0; i < nr_counters; i++)
		c->low[i] = low_of(i);
	memset(c->report, 0, REPORT_NR * sizeof(*c->report));
	c->start = xm_now_ns();
	pid = fork();
	if (!pid)
		_exit(be_child(c));
	for (i = 0; i < nr_counters; i++)
		c->high[i] = high_of(i);
	if (pid > 0) {
		c->pid = pid;
		forks++;
	} else if (errno == ENOMEM) {
		/* The folio of an exclusive page was locked: legal, try again. */
		fork_refused++;
	} else {
		complain("fork: %s", strerror(errno));
	}
}

static void judge_child(struct child *c, int status)
{
	__u64 where = c->report[REPORT_WHERE];
	unsigned int i;

	child_errors++;
	if (!WIFEXITED(status)) {
		complain("a child ended with signal %d", WTERMSIG(status));
		return;
	}
	switch (WEXITSTATUS(status)) {
	case CHILD_GOOD:
		break;
	case CHILD_CHANGED:
		complain("counter %llu changed in a child from %llu to %llu",
			 where, c->values[where], c->report[REPORT_GOT]);
		return;
	case CHILD_COPY:
		complain("a child's own copy of counter %llu should be %llu, is %llu",
			 where, c->values[where], c->report[REPORT_GOT]);
		return;
	default:
		complain("a child ended with status %d", WEXITSTATUS(status));
		return;
	}
	for (i = 0; i < nr_counters; i++) {
		__u64 range = c->high[i] - c->low[i];

		if (((c->values[i] - c->low[i]) & mask_of(i)) > range) {
			complain("a child saw %llu in counter %u, fork() was at %llu to %llu",
				 c->values[i], i, c->low[i] & mask_of(i),
				 c->high[i] & mask_of(i));
			return;
		}
	}
	child_errors--;
	saw_cpu += c->report[REPORT_CPU];
	saw_device += c->report[REPORT_DEVICE];
}

static void reap(struct child *c)
{
	int status;
	pid_t pid;

	if (!c->pid)
		return;
	pid = waitpid(c->pid, &status, WNOHANG);
	if (pid == c->pid) {
		c->pid = 0;
		judge_child(c, status);
	} else if (pid < 0 && errno != EINTR) {
		complain("waitpid: %s", strerror(errno));
		c->pid = 0;
	} else if (xm_expired(c->start, STALL_MS)) {
		complain("a child does not end");
		kill(c->pid, SIGKILL);
		c->start = xm_now_ns();
	}
}

/* Memory management */

/** some: a random number below @n, for the third party. */
static unsigned int some(unsigned int n)
{
	return draw(&third_random) % n;
}

static char *some_page(void)
{
	return page_of(some(opt.pages));
}

/* Real changes of the flags that CPU threads do not notice. */
static bool flip(void *addr, size_t len)
{
	return !mprotect(addr, len, PROT_READ | PROT_WRITE | PROT_EXEC) &&
	       !mprotect(addr, len, PROT_READ | PROT_WRITE);
}

static bool act_mprotect_all(void)
{
	return flip(map, map_pages * XM_PAGE);
}

static bool act_mprotect_page(void)
{
	return flip(some_page(), XM_PAGE);
}

static bool act_mprotect_same(void)
{
	return !mprotect(map, map_pages * XM_PAGE, PROT_READ | PROT_WRITE);
}

static bool advise(int advice)
{
	if (some(2))
		return !madvise(map, map_pages * XM_PAGE, advice);
	return !madvise(some_page(), XM_PAGE, advice);
}

static bool act_cold(void)
{
	return advise(MADV_COLD);
}

static bool act_pageout(void)
{
	return advise(MADV_PAGEOUT);
}

static bool act_willneed(void)
{
	return advise(MADV_WILLNEED);
}

static bool act_populate(void)
{
	return advise(some(2) ? MADV_POPULATE_WRITE : MADV_POPULATE_READ);
}

static char *some_scratch(void)
{
	return map + 2 * some(opt.pages + 1) * XM_PAGE;
}

static bool act_drop(void)
{
	return !madvise(some_scratch(), XM_PAGE,
			some(2) ? MADV_DONTNEED : MADV_FREE);
}

/* A page away and back; there is never a hole in the mapping. */
static bool act_mremap(void)
{
	char *page = some_scratch();
	char *away;

	away = mremap(page, XM_PAGE, XM_PAGE,
		      MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);
	if (away == MAP_FAILED)
		return false;
	if (mremap(away, XM_PAGE, XM_PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
		   page) != MAP_FAILED)
		return true;
	munmap(away, XM_PAGE);
	return false;
}

static bool act_mlock(void)
{
	char *page = some_page();

	return !mlock(page, XM_PAGE) && !munlock(page, XM_PAGE);
}

static bool act_soft_dirty(void)
{
	return !xm_write_file("/proc/self/clear_refs", "4");
}

static bool act_gup(void)
{
	char buf[XM_PAGE];
	struct iovec to = { .iov_base = buf, .iov_len = sizeof(buf) };
	struct iovec from = { .iov_base = some_page(), .iov_len = sizeof(buf) };

	return process_vm_readv(getpid(), &to, 1, &from, 1, 0) == sizeof(buf);
}

#define NUMA_MOVE	2	/* MPOL_MF_MOVE */

static bool act_numa_move(void)
{
	static int node;
	void *pages[64];
	int nodes[64], status[64];
	unsigned int i, n = opt.pages < 64 ? opt.pages : 64;

	node = !node;
	for (i = 0; i < n; i++) {
		pages[i] = page_of(i);
		nodes[i] = node;
	}
	return syscall(SYS_move_pages, 0, (long)n, pages, nodes, status,
		       NUMA_MOVE) >= 0;
}

static struct act acts[] = {
	{ .name = "mprotect all", .run = act_mprotect_all },
	{ .name = "mprotect page", .run = act_mprotect_page },
	{ .name = "mprotect same", .run = act_mprotect_same },
	{ .name = "COLD", .run = act_cold },
	{ .name = "PAGEOUT", .run = act_pageout },
	{ .name = "WILLNEED", .run = act_willneed },
	{ .name = "POPULATE", .run = act_populate },
	{ .name = "drop scratch", .run = act_drop },
	{ .name = "mremap scratch", .run = act_mremap },
	{ .name = "mlock", .run = act_mlock },
	{ .name = "clear soft-dirty", .run = act_soft_dirty },
	{ .name = "process_vm_readv", .run = act_gup },
	{ .name = "move_pages", .run = act_numa_move },
};

__u64 acts_done(void)
{
	__u64 sum = 0;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(acts); i++)
		sum += XM_LOAD(&acts[i].done);
	return sum;
}

void *run_third(void *arg)
{
	unsigned int i;
	bool alive;

	(void)arg;
	while (!XM_LOAD(&stop)) {
		struct act *act = &acts[some(ARRAY_SIZE(acts))];

		for (i = 0; i < CHILDREN; i++) {
			reap(&child[i]);
			if (!child[i].pid && !some(4))
				start_child(&child[i]);
		}
		if (act->run())
			bump(&act->done, 1);
		else
			act->refused++;
		pause_us(some(2000));
	}
	do {
		alive = false;
		for (i = 0; i < CHILDREN; i++) {
			reap(&child[i]);
			alive |= child[i].pid;
		}
		pause_us(1000);
	} while (alive);
	return NULL;
}

bool set_up_third(void)
{
	__u64 *shared = xm_shared(CHILDREN * (REPORT_NR + nr_counters) *
				  sizeof(*shared));
	unsigned int i;

	if (!shared)
		return false;
	/* Never zero, or draw() would stay there. */
	third_random = (opt.seed + nr_workers) * 0x9e3779b97f4a7c15ULL | 1;
	for (i = 0; i < CHILDREN; i++) {
		child[i].report = shared;
		child[i].values = shared + REPORT_NR;
		shared = child[i].values + nr_counters;
		child[i].low = calloc(nr_counters, sizeof(__u64));
		child[i].high = calloc(nr_counters, sizeof(__u64));
		if (!child[i].low || !child[i].high)
			return false;
	}
	return true;
}

void print_third(void)
{
	unsigned int i;

	printf("third party: %s forks (%s refused with ENOMEM and repeated)",
	       number(forks), number(fork_refused));
	for (i = 0; i < ARRAY_SIZE(acts); i++) {
		printf(", %s %s", number(acts[i].done), acts[i].name);
		if (acts[i].refused)
			printf(" (%s refused)", number(acts[i].refused));
	}
	printf("\nchildren: %s saw frozen counters", number(forks - child_errors));
	printf(", %s while the CPU threads and %s while the engines went on\n",
	       number(saw_cpu), number(saw_device));
}
