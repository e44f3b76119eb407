// SPDX-License-Identifier: GPL-2.0
/*
 * The main job of xmirror, to look at: CPU threads and device engines increment
 * the same counters with real atomics, while a third party forks, mprotects,
 * COWs, madvises and moves the pages under them. Not one increment may be lost,
 * made twice, or seen by a forked child.
 *
 * Exit status: 0 every counter is exact, 1 something is wrong, 2 bad arguments,
 * 4 this kernel or machine cannot do it.
 *
 * The counters are in the odd pages of one mapping; the even ones are scratch,
 * whose contents may be dropped or moved at any time:
 *
 *	scratch | counters | scratch | counters | ... | scratch
 */
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <fcntl.h>
#include <time.h>

#include "lib.h"

#define WIDTHS		4
#define SLOT		192	/* bytes from one counter of a page to the next */
#define MAX_PAGES	1024
#define MAX_WORKERS	256
#define MAX_DEVICES	16
#define JOB_CMDS	32
#define HOP_OPS		512	/* locations of a job that goes from page to page */
#define STALL_MS	60000U	/* standing still for that long is a failure */
#define CHILDREN	2
#define MAX_WRONG	20	/* reasons that are kept */

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

#define EXIT_WRONG	1
#define EXIT_USAGE	2
#define EXIT_SKIP	4

/* Who increments: a CPU thread, or a thread that feeds one device engine. */
struct worker {
	pthread_t thread;
	bool engine;
	unsigned int device;	/* engines: which device */
	unsigned int number;	/* of the CPU thread or engine */
	int fd;
	__u64 random;
	/* In memory shared with forked children: */
	__u64 *total;		/* increments known to be done */
	__u64 *done;		/* the same by counter */
	__u64 *sent;		/* engines: increments asked for, by counter */
	/* For the thread that watches: */
	__u64 seen;
	__u64 seen_at;
	/* Engines: */
	__u64 gave_up;		/* jobs that ended early with -EBUSY, -ENOMEM */
};

struct job {
	struct xmirror_cmd cmds[JOB_CMDS];
	unsigned int nr;
	__u64 pass;		/* locations of one run of the list */
	__u64 repeat;
	__u64 fence;		/* 0: not queued */
	__u64 start;
};

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

static struct {
	unsigned int seconds;
	unsigned int pages;
	unsigned int threads;
	unsigned int engines;
	unsigned int devices;
	unsigned int burst;
	__u64 increments;
	__u64 seed;
} opt = { .seconds = 10, .pages = 8, .threads = 2, .burst = 2048 };

static int device[MAX_DEVICES];
static struct xmirror_info info;
static char *map;
static unsigned int map_pages;
static unsigned int nr_counters;
static struct worker worker[MAX_WORKERS];
static unsigned int nr_workers;
static bool stop;

static struct child child[CHILDREN];
static __u64 forks, fork_refused, child_errors, saw_cpu, saw_device;

static pthread_mutex_t wrong_lock = PTHREAD_MUTEX_INITIALIZER;
static char wrong[MAX_WRONG][160];
static unsigned int nr_wrong;

/* Report */

static void complain(const char *fmt, ...)
{
	char text[sizeof(wrong[0])];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	pthread_mutex_lock(&wrong_lock);
	if (nr_wrong < MAX_WRONG) {
		memcpy(wrong[nr_wrong], text, sizeof(text));
		printf("WRONG: %s\n", text);
	}
	nr_wrong++;
	pthread_mutex_unlock(&wrong_lock);
	XM_STORE(&stop, true);
}

/** number: @n with commas; good until eight more calls of the same thread. */
static const char *number(__u64 n)
{
	static __thread char text[8][32];
	static __thread unsigned int turn;
	char *p = text[turn++ % 8] + 31;
	int digits = 0;

	*p = 0;
	do {
		if (digits && digits % 3 == 0)
			*--p = ',';
		*--p = '0' + n % 10;
		n /= 10;
		digits++;
	} while (n);
	return p;
}

static const char *plural(unsigned int n)
{
	return n == 1 ? "" : "s";
}

static __u64 draw(__u64 *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state * 0x2545f4914f6cdd1dULL >> 16;
}

static void pause_us(unsigned int us)
{
	struct timespec t = { .tv_nsec = us * 1000L };

	nanosleep(&t, NULL);
}

/* Counters */

static unsigned int width_of(unsigned int counter)
{
	return 1U << counter % WIDTHS;
}

static __u64 mask_of(unsigned int counter)
{
	return ~0ULL >> (64 - 8 * width_of(counter));
}

static char *page_of(unsigned int page)
{
	return map + (2 * page + 1) * XM_PAGE;
}

static char *address_of(unsigned int counter)
{
	unsigned int width = counter % WIDTHS;

	return page_of(counter / WIDTHS) + 64 + width * SLOT;
}

/** counter_at: the counter at @addr, -1 for a scratch page. */
static int counter_at(__u64 addr)
{
	__u64 offset = addr - (uintptr_t)map;

	if (offset / XM_PAGE % 2 == 0)
		return -1;
	return offset / XM_PAGE / 2 * WIDTHS +
	       (offset % XM_PAGE - 64) / SLOT;
}

static __u64 value_of(unsigned int counter)
{
	void *p = address_of(counter);

	switch (width_of(counter)) {
	case 1:
		return XM_LOAD((__u8 *)p);
	case 2:
		return XM_LOAD((__u16 *)p);
	case 4:
		return XM_LOAD((__u32 *)p);
	default:
		return XM_LOAD((__u64 *)p);
	}
}

static void add_to(unsigned int counter, __u64 n)
{
	void *p = address_of(counter);

	switch (width_of(counter)) {
	case 1:
		XM_ADD((__u8 *)p, n);
		break;
	case 2:
		XM_ADD((__u16 *)p, n);
		break;
	case 4:
		XM_ADD((__u32 *)p, n);
		break;
	default:
		XM_ADD((__u64 *)p, n);
	}
}

static bool cas(unsigned int counter, __u64 from, __u64 to)
{
	void *p = address_of(counter);
	__u8 from8 = from;
	__u16 from16 = from;
	__u32 from32 = from;

	switch (width_of(counter)) {
	case 1:
		return __atomic_compare_exchange_n((__u8 *)p, &from8, to, false,
						   __ATOMIC_SEQ_CST,
						   __ATOMIC_SEQ_CST);
	case 2:
		return __atomic_compare_exchange_n((__u16 *)p, &from16, to,
						   false, __ATOMIC_SEQ_CST,
						   __ATOMIC_SEQ_CST);
	case 4:
		return __atomic_compare_exchange_n((__u32 *)p, &from32, to,
						   false, __ATOMIC_SEQ_CST,
						   __ATOMIC_SEQ_CST);
	default:
		return __atomic_compare_exchange_n((__u64 *)p, &from, to, false,
						   __ATOMIC_SEQ_CST,
						   __ATOMIC_SEQ_CST);
	}
}

static void cas_increment(unsigned int counter)
{
	__u64 old;

	do {
		old = value_of(counter);
	} while (!cas(counter, old, old + 1));
}

/* One writer each, so that a load and a store will do. */
static void bump(__u64 *p, __u64 n)
{
	XM_STORE(p, XM_LOAD(p) + n);
}

static __u64 total_of(bool engines)
{
	__u64 sum = 0;
	unsigned int i;

	for (i = 0; i < nr_workers; i++) {
		if (worker[i].engine == engines)
			sum += XM_LOAD(worker[i].total);
	}
	return sum;
}

/** low_of: increments of @counter that are surely done. */
static __u64 low_of(unsigned int counter)
{
	__u64 sum = 0;
	unsigned int i;

	for (i = 0; i < nr_workers; i++)
		sum += XM_LOAD(&worker[i].done[counter]);
	return sum;
}

/** high_of: increments of @counter that may have been done. */
static __u64 high_of(unsigned int counter)
{
	__u64 sum = 0;
	unsigned int i;

	for (i = 0; i < nr_workers; i++) {
		const struct worker *w = &worker[i];

		if (w->engine)
			sum += XM_LOAD(&w->sent[counter]);
		else
			sum += XM_LOAD(&w->done[counter]) + 1;
	}
	return sum;
}

/* CPU threads */

static void *run_cpu(void *arg)
{
	struct worker *w = arg;

	while (!XM_LOAD(&stop)) {
		unsigned int counter = draw(&w->random) % nr_counters;
		unsigned int burst = 1U << draw(&w->random) % 11;
		bool cas = draw(&w->random) % 4 == 0;

		while (burst--) {
			if (cas)
				cas_increment(counter);
			else
				add_to(counter, 1);
			bump(&w->done[counter], 1);
			bump(w->total, 1);
		}
	}
	return NULL;
}

/* Device engines */

static void name_worker(const struct worker *w, char *text, size_t room)
{
	if (w->engine)
		snprintf(text, room, "engine %u of xmirror%u", w->number,
			 w->device);
	else
		snprintf(text, room, "CPU thread %u", w->number);
}

static void push(struct job *j, struct xmirror_cmd cmd)
{
	j->cmds[j->nr++] = cmd;
	j->pass += cmd.count;
}

/* Stay on a counter for a while, then go to another. */
static void make_dwell(struct worker *w, struct job *j)
{
	while (j->nr < 8) {
		unsigned int counter = draw(&w->random) % nr_counters;
		unsigned int most = 1 + draw(&w->random) % opt.burst;

		push(j, xm_cmds(XMIRROR_OP_ADD, width_of(counter),
				address_of(counter), 0,
				1 + draw(&w->random) % most, 1));
	}
}

/* The counters of one width on all pages, upwards or downwards. */
static void make_sweep(struct worker *w, struct job *j)
{
	while (j->nr < 4) {
		bool down = draw(&w->random) % 2;
		unsigned int counter = draw(&w->random) % WIDTHS;
		__s64 stride = 2 * XM_PAGE;

		if (down)
			counter += (opt.pages - 1) * WIDTHS;
		push(j, xm_cmds(XMIRROR_OP_ADD, width_of(counter),
				address_of(counter), down ? -stride : stride,
				opt.pages, 1));
	}
}

/* From counter to counter, and to the scratch pages between. */
static void make_hop(struct worker *w, struct job *j)
{
	static const enum xmirror_op ops[] = {
		XMIRROR_OP_LOAD, XMIRROR_OP_STORE, XMIRROR_OP_XCHG,
	};

	while (j->nr < JOB_CMDS) {
		unsigned int counter = draw(&w->random) % nr_counters;
		unsigned int op = draw(&w->random) % 12;

		if (op < ARRAY_SIZE(ops)) {
			char *scratch = map + draw(&w->random) %
					(opt.pages + 1) * 2 * XM_PAGE;

			push(j, xm_cmds(ops[op], 8, scratch, 8, 4,
					op ? counter : 0));
		} else {
			push(j, xm_cmds(XMIRROR_OP_ADD, width_of(counter),
					address_of(counter), 0,
					1 + draw(&w->random) % 4, 1));
		}
	}
}

static void make_job(struct worker *w, struct job *j)
{
	__u64 ops = HOP_OPS;

	j->nr = 0;
	j->pass = 0;
	switch (draw(&w->random) % 3) {
	case 0:
		make_dwell(w, j);
		ops = 2 * opt.burst;
		break;
	case 1:
		make_sweep(w, j);
		break;
	default:
		make_hop(w, j);
	}
	j->repeat = j->pass < ops ? ops / j->pass : 1;
}

/**
 * tally: add what the first @ops locations of @j have incremented to @to, by
 * counter; returns the number of increments.
 */
static __u64 tally(const struct job *j, __u64 ops, __u64 *to)
{
	__u64 full = ops / j->pass;
	__u64 rest = ops % j->pass;
	__u64 sum = 0;
	unsigned int i, k;

	for (i = 0; i < j->nr; i++) {
		const struct xmirror_cmd *cmd = &j->cmds[i];
		__u64 part = rest < cmd->count ? rest : cmd->count;

		rest -= part;
		if (cmd->op != XMIRROR_OP_ADD)
			continue;
		sum += full * cmd->count + part;
		if (!cmd->stride) {
			bump(&to[counter_at(cmd->addr)],
			     full * cmd->count + part);
			continue;
		}
		for (k = 0; k < cmd->count; k++)
			bump(&to[counter_at(cmd->addr + k * cmd->stride)],
			     full + (k < part));
	}
	return sum;
}

/** command_after: index of the command that comes after @ops locations. */
static unsigned int command_after(const struct job *j, __u64 ops)
{
	__u64 rest = ops % j->pass;
	unsigned int i = 0;

	while (rest >= j->cmds[i].count)
		rest -= j->cmds[i++].count;
	return i;
}

static void take_result(struct worker *w, const struct job *j,
			const struct xmirror_wait *res)
{
	__u64 want = j->pass * j->repeat;
	char name[40];

	name_worker(w, name, sizeof(name));
	if (res->ops > want) {
		complain("%s: a job of %llu operations did %llu", name,
			 want, res->ops);
		return;
	}
	bump(w->total, tally(j, res->ops, w->done));
	if (!res->status) {
		if (res->ops != want || res->cmd != j->nr)
			complain("%s: a job of %llu operations ended after %llu",
				 name, want, res->ops);
		return;
	}
	if (res->status != -ECANCELED &&
	    (res->ops == want || res->cmd != command_after(j, res->ops)))
		complain("%s: a job failed in command %u, but after %llu of %llu operations",
			 name, res->cmd, res->ops, want);
	/* Too much interference is no error; anything else is. */
	if (res->status == -EBUSY || res->status == -ENOMEM)
		w->gave_up++;
	else
		complain("%s: a job failed after %llu of %llu operations: %s",
			 name, res->ops, want, strerror(-res->status));
}

static void finish(struct worker *w, struct job *j)
{
	struct xmirror_wait res;
	char name[40];
	int err;

	do {
		err = xm_wait(w->fd, j->fence, 1000, &res);
	} while (err == -EINTR || (err == -ETIMEDOUT &&
				   !xm_expired(j->start, STALL_MS)));
	name_worker(w, name, sizeof(name));
	if (err == -ETIMEDOUT) {
		complain("%s: a job of %llu operations is not done after %u s",
			 name, j->pass * j->repeat, STALL_MS / 1000);
		err = xm_cancel(w->fd, j->fence, &res);
	}
	j->fence = 0;
	if (err)
		complain("%s: WAIT: %s", name, strerror(-err));
	else
		take_result(w, j, &res);
}

static void *run_engine(void *arg)
{
	struct worker *w = arg;
	struct job jobs[2] = {};
	unsigned int i = 0;
	int err;

	while (!XM_LOAD(&stop)) {
		struct job *j = &jobs[i++ % 2];

		if (j->fence)
			finish(w, j);
		make_job(w, j);
		tally(j, j->pass * j->repeat, w->sent);
		j->start = xm_now_ns();
		err = xm_submit(w->fd, w->number, j->cmds, j->nr, j->repeat,
				&j->fence);
		if (err) {
			j->fence = 0;
			complain("engine %u of xmirror%u: SUBMIT: %s",
				 w->number, w->device, strerror(-err));
		}
	}
	for (; i && (jobs[0].fence || jobs[1].fence); i++) {
		if (jobs[i % 2].fence)
			finish(w, &jobs[i % 2]);
	}
	return NULL;
}

/* The third party: forks */

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

/* The third party: memory management */

static __u64 third_random;

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

static __u64 acts_done(void)
{
	__u64 sum = 0;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(acts); i++)
		sum += XM_LOAD(&acts[i].done);
	return sum;
}

static void *run_third(void *arg)
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

/* The thread that watches */

static void get_stats(struct xmirror_stats *sum)
{
	struct xmirror_stats s;
	unsigned int i, k;
	int err;

	memset(sum, 0, sizeof(*sum));
	for (i = 0; i < opt.devices; i++) {
		err = xm_stats(device[i], &s);
		if (err) {
			complain("xmirror%u: STATS: %s", i, strerror(-err));
			return;
		}
		for (k = 0; k < XMIRROR_NR_EVENTS; k++)
			sum->inv[k] += s.inv[k];
		sum->inv_own += s.inv_own;
		sum->ops += s.ops;
		sum->device_faults += s.device_faults;
		sum->excl_made += s.excl_made;
		sum->excl_lost += s.excl_lost;
		sum->excl_retries += s.excl_retries;
		sum->fault_retries += s.fault_retries;
		sum->jobs += s.jobs;
	}
}

/** verify: violations of all devices now; returns the leaves looked at. */
static __u64 verify(void)
{
	struct xmirror_verify v;
	__u64 checked = 0;
	char text[120];
	unsigned int i;
	int err;

	for (i = 0; i < opt.devices; i++) {
		err = xm_verify(device[i], &v);
		if (err) {
			complain("xmirror%u: VERIFY: %s", i, strerror(-err));
			continue;
		}
		checked += v.checked;
		if (!v.violations)
			continue;
		snprintf(text, sizeof(text),
			 "%llu violations, first of kind %u at %#llx (page %lld of %u)",
			 v.violations, v.first_kind, v.first_addr,
			 (long long)(v.first_addr - (uintptr_t)map) /
			 (long long)XM_PAGE, map_pages);
		complain("xmirror%u: VERIFY: %s", i, text);
	}
	return checked;
}

static void print_head(void)
{
	printf("%6s %12s %12s %9s | %9s %9s | %6s %6s | %6s %6s %6s %6s %6s %6s %6s\n",
	       "", "CPU", "device", "device", "exclusive", "exclusive", "",
	       "other", "UNMAP", "CLEAR", "PROT", "PROT", "SOFT", "MI-",
	       "EXCLU-");
	printf("%6s %12s %12s %9s | %9s %9s | %6s %6s | %6s %6s %6s %6s %6s %6s %6s\n",
	       "time", "ops", "ops", "faults", "made", "lost", "forks", "mm ops",
	       "", "", "VMA", "PAGE", "DIRTY", "GRATE", "SIVE");
}

static void print_line(__u64 start)
{
	static const enum xm_event events[] = {
		XM_EV_UNMAP, XM_EV_CLEAR, XM_EV_PROTECTION_VMA,
		XM_EV_PROTECTION_PAGE, XM_EV_SOFT_DIRTY, XM_EV_MIGRATE,
		XM_EV_EXCLUSIVE,
	};
	static struct xmirror_stats old;
	static __u64 old_cpu, old_forks, old_acts;
	__u64 cpu = total_of(false), act = acts_done();
	__u64 f = XM_LOAD(&forks);
	struct xmirror_stats s;
	unsigned int i;

	get_stats(&s);
	printf("%4llu s %12s %12s %9s | %9s %9s | %6s %6s |",
	       (xm_now_ns() - start) / 1000000000, number(cpu - old_cpu),
	       number(s.ops - old.ops),
	       number(s.device_faults - old.device_faults),
	       number(s.excl_made - old.excl_made),
	       number(s.excl_lost - old.excl_lost), number(f - old_forks),
	       number(act - old_acts));
	for (i = 0; i < ARRAY_SIZE(events); i++)
		printf(" %6s", number(s.inv[events[i]] - old.inv[events[i]]));
	printf("\n");
	fflush(stdout);
	old = s;
	old_cpu = cpu;
	old_forks = f;
	old_acts = act;
}

/** enough: all have made the increments asked for; complains if one stands. */
static bool enough(void)
{
	bool all = true;
	unsigned int i;

	for (i = 0; i < nr_workers; i++) {
		struct worker *w = &worker[i];
		__u64 total = XM_LOAD(w->total);
		char name[40];

		if (total < opt.increments)
			all = false;
		if (total != w->seen) {
			w->seen = total;
			w->seen_at = xm_now_ns();
		} else if (xm_expired(w->seen_at, STALL_MS)) {
			name_worker(w, name, sizeof(name));
			complain("%s stands still at %llu increments", name,
				 total);
			w->seen_at = xm_now_ns();
		}
	}
	return all;
}

static void watch(void)
{
	__u64 start = xm_now_ns(), next = start;
	unsigned int lines = 0;

	while (!XM_LOAD(&stop)) {
		struct timespec t;
		__u64 now;

		next += 1000000000;
		now = xm_now_ns();
		if (next > now) {
			t.tv_sec = (next - now) / 1000000000;
			t.tv_nsec = (next - now) % 1000000000;
			nanosleep(&t, NULL);
		}
		if (lines++ % 20 == 0)
			print_head();
		print_line(start);
		verify();
		if (enough() && xm_expired(start, opt.seconds * 1000))
			XM_STORE(&stop, true);
	}
}

static void on_signal(int sig)
{
	(void)sig;
	XM_STORE(&stop, true);
}

/* The end */

/** ask_device: read all counters by device loads. */
static void ask_device(__u64 *values)
{
	struct xmirror_cmd cmds[256];
	struct xmirror_wait w;
	unsigned int i, n, done;
	__u64 fence;
	int err;

	for (done = 0; done < nr_counters; done += n) {
		n = nr_counters - done < 256 ? nr_counters - done : 256;
		for (i = 0; i < n; i++)
			cmds[i] = xm_cmd(XMIRROR_OP_LOAD, width_of(done + i),
					 address_of(done + i), 0);
		err = xm_submit(device[0], 0, cmds, n, 1, &fence);
		if (!err)
			err = xm_wait_results(device[0], fence, STALL_MS,
					      values + done, n, &w);
		if (!err)
			err = w.status;
		if (err) {
			complain("reading the counters by the device: %s",
				 strerror(-err));
			return;
		}
	}
}

/** compare: print the table; returns the number of counters that are off. */
static unsigned int compare(void)
{
	__u64 *dev = calloc(nr_counters, sizeof(*dev));
	unsigned int i, off = 0;
	bool all = nr_counters <= 64;

	if (!dev) {
		complain("out of memory");
		return nr_counters;
	}
	ask_device(dev);
	printf("\n%8s %6s %6s %22s %22s %22s\n", "counter", "page", "bytes",
	       "expected", "CPU reads", "device reads");
	for (i = 0; i < nr_counters; i++) {
		__u64 expected = low_of(i) & mask_of(i);
		__u64 actual = value_of(i);
		bool ok = actual == expected && dev[i] == expected;

		off += !ok;
		if (!ok || all)
			printf("%8u %6u %6u %22s %22s %22s  %s\n", i,
			       i / WIDTHS, width_of(i), number(expected),
			       number(actual), number(dev[i]),
			       ok ? "ok" : "WRONG");
	}
	if (!all)
		printf("%8s %u of %u counters are exact\n", "",
		       nr_counters - off, nr_counters);
	free(dev);
	return off;
}

static void print_third(void)
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

static int conclude(void)
{
	struct xmirror_stats s;
	unsigned int i, off, engines;
	__u64 checked, gave_up = 0;

	off = compare();
	printf("\n");
	print_third();
	get_stats(&s);
	for (i = 0; i < nr_workers; i++)
		gave_up += worker[i].gave_up;
	printf("devices: %s jobs (%s gave up under too much interference), ",
	       number(s.jobs), number(gave_up));
	printf("%s faults, %s exclusive entries made and lost before their commit\n",
	       number(s.device_faults), number(s.excl_retries));
	checked = verify();
	printf("VERIFY: %s device entries looked at in the end\n",
	       number(checked));

	for (i = 0; i < nr_workers; i++) {
		char name[40];

		name_worker(&worker[i], name, sizeof(name));
		if (!XM_LOAD(worker[i].total))
			complain("%s made no increment", name);
	}
	if (off)
		complain("%u of %u counters are off", off, nr_counters);
	if (!forks)
		complain("there was no fork");
	else if (!saw_cpu || !saw_device)
		complain("no child saw the %s go on",
			 saw_cpu ? "device" : "CPU");

	engines = opt.engines * opt.devices;
	printf("\nxmirror: %s increments by %u CPU thread%s and %s by %u device engine%s",
	       number(total_of(false)), opt.threads, plural(opt.threads),
	       number(total_of(true)), engines, plural(engines));
	printf(" on %u counters, under %s forks and %s other mm operations: ",
	       nr_counters, number(forks), number(acts_done()));
	if (!nr_wrong) {
		printf("every counter is exact.\n");
		return 0;
	}
	printf("%s, and there were %u complaints:\n",
	       off ? "NOT EXACT" : "every counter is exact", nr_wrong);
	for (i = 0; i < nr_wrong && i < MAX_WRONG; i++)
		printf("  %s\n", wrong[i]);
	return EXIT_WRONG;
}

/* The beginning */

static void print_help(FILE *f)
{
	fprintf(f,
		"usage: demo [option]...\n"
		"  --seconds N     run that long (%u)\n"
		"  --increments N  and until each thread and engine has made so many\n"
		"  --burst N       longest stay of an engine on a counter (%u)\n"
		"  --seed N        of the random numbers (by the time)\n"
		"  --pages N       pages with counters, four on each (%u)\n"
		"  --threads N     CPU threads (%u)\n"
		"  --engines N     engines of each device (all)\n"
		"  --devices N     devices to use, from /dev/xmirror0 (2 if there)\n",
		opt.seconds, opt.burst, opt.pages, opt.threads);
}

static __u64 parse(const char *text, __u64 low, __u64 high)
{
	char *end;
	__u64 n;

	errno = 0;
	n = strtoull(text, &end, 0);
	if (errno || end == text || *end || *text == '-' || n < low ||
	    n > high) {
		fprintf(stderr, "demo: %s is not a number from %llu to %llu\n",
			text, low, high);
		exit(EXIT_USAGE);
	}
	return n;
}

static void get_options(int argc, char **argv)
{
	static const struct option options[] = {
		{ "seconds", required_argument, NULL, 's' },
		{ "increments", required_argument, NULL, 'i' },
		{ "burst", required_argument, NULL, 'b' },
		{ "seed", required_argument, NULL, 'r' },
		{ "pages", required_argument, NULL, 'p' },
		{ "threads", required_argument, NULL, 't' },
		{ "engines", required_argument, NULL, 'e' },
		{ "devices", required_argument, NULL, 'd' },
		{ "help", no_argument, NULL, 'h' },
		{}
	};
	int o;

	opt.seed = xm_now_ns() ^ getpid();
	while ((o = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (o) {
		case 's':
			opt.seconds = parse(optarg, 1, 1000000);
			break;
		case 'i':
			opt.increments = parse(optarg, 0, 1ULL << 48);
			break;
		case 'b':
			opt.burst = parse(optarg, 1, 1000000);
			break;
		case 'r':
			opt.seed = parse(optarg, 0, ~0ULL);
			break;
		case 'p':
			opt.pages = parse(optarg, 1, MAX_PAGES);
			break;
		case 't':
			opt.threads = parse(optarg, 1, 64);
			break;
		case 'e':
			opt.engines = parse(optarg, 1, 64);
			break;
		case 'd':
			opt.devices = parse(optarg, 1, MAX_DEVICES);
			break;
		case 'h':
			print_help(stdout);
			exit(0);
		default:
			print_help(stderr);
			exit(EXIT_USAGE);
		}
	}
	if (optind < argc) {
		print_help(stderr);
		exit(EXIT_USAGE);
	}
}

static void skip(const char *why)
{
	printf("xmirror: the demo cannot run here: %s\n", why);
	exit(EXIT_SKIP);
}

static void open_devices(void)
{
	unsigned int want = opt.devices ? opt.devices : 2;
	char text[80];
	int fd;

	for (opt.devices = 0; opt.devices < want; opt.devices++) {
		fd = xm_open(opt.devices);
		if (fd < 0 && opt.devices && want == 2)
			break;
		if (fd < 0) {
			snprintf(text, sizeof(text), "/dev/xmirror%u: %s%s",
				 opt.devices, strerror(-fd), fd == -ENOENT ?
				 " (is xmirror_test loaded?)" : "");
			skip(text);
		}
		device[opt.devices] = fd;
	}
	fd = xm_info(device[0], &info);
	if (fd)
		skip(strerror(-fd));
	if (!(info.caps & XMIRROR_CAP_EXCLUSIVE))
		skip(xm_why());
	if (!opt.engines)
		opt.engines = info.engines;
	if (opt.engines > info.engines) {
		fprintf(stderr, "demo: a device has %u engines\n",
			info.engines);
		exit(EXIT_USAGE);
	}
	if (opt.threads + opt.engines * opt.devices > MAX_WORKERS) {
		fprintf(stderr, "demo: at most %u threads and engines\n",
			MAX_WORKERS);
		exit(EXIT_USAGE);
	}
}

static void set_up(void)
{
	unsigned int i, k, values;
	__u64 *shared;

	nr_counters = opt.pages * WIDTHS;
	nr_workers = opt.threads + opt.engines * opt.devices;
	map_pages = 2 * opt.pages + 1;
	map = xm_anon(map_pages * XM_PAGE);
	values = nr_workers * (1 + 2 * nr_counters) +
		 CHILDREN * (REPORT_NR + nr_counters);
	shared = xm_shared(values * sizeof(*shared));
	if (!map || !shared)
		skip("out of memory");
	memset(map, 0, map_pages * XM_PAGE);
	for (i = 0; i < nr_workers; i++) {
		struct worker *w = &worker[i];

		w->engine = i >= opt.threads;
		w->number = i;
		if (w->engine) {
			w->number = (i - opt.threads) % opt.engines;
			w->device = (i - opt.threads) / opt.engines;
			w->fd = device[w->device];
		}
		/* Never zero, or draw() would stay there. */
		w->random = (opt.seed + i) * 0x9e3779b97f4a7c15ULL | 1;
		w->total = shared;
		w->done = shared + 1;
		w->sent = w->done + nr_counters;
		shared = w->sent + nr_counters;
		w->seen_at = xm_now_ns();
	}
	third_random = (opt.seed + nr_workers) * 0x9e3779b97f4a7c15ULL | 1;
	for (k = 0; k < CHILDREN; k++) {
		child[k].report = shared;
		child[k].values = shared + REPORT_NR;
		shared = child[k].values + nr_counters;
		child[k].low = calloc(nr_counters, sizeof(__u64));
		child[k].high = calloc(nr_counters, sizeof(__u64));
		if (!child[k].low || !child[k].high)
			skip("out of memory");
	}
}

int main(int argc, char **argv)
{
	struct sigaction act = { .sa_handler = on_signal };
	pthread_t third;
	unsigned int i;
	int err;

	setvbuf(stdout, NULL, _IOLBF, 0);
	get_options(argc, argv);
	open_devices();
	set_up();
	sigaction(SIGINT, &act, NULL);
	sigaction(SIGTERM, &act, NULL);
	printf("xmirror demo: seed %llu, %u CPU thread%s, %u device%s with %u engine%s, ",
	       opt.seed, opt.threads, plural(opt.threads), opt.devices,
	       plural(opt.devices), opt.engines, plural(opt.engines));
	printf("%u counters on %u page%s\n", nr_counters, opt.pages,
	       plural(opt.pages));
	if (info.revoke_event == XM_EV_CLEAR)
		printf("(this kernel reports a CPU access to an exclusive page as CLEAR)\n");
	if (info.lacks)
		printf("(this kernel lacks: %s)\n", xm_why());

	for (i = 0; i < nr_workers; i++) {
		err = pthread_create(&worker[i].thread, NULL,
				     worker[i].engine ? run_engine : run_cpu,
				     &worker[i]);
		if (err) {
			complain("pthread_create: %s", strerror(err));
			break;
		}
	}
	nr_workers = i;
	err = pthread_create(&third, NULL, run_third, NULL);
	if (err)
		complain("pthread_create: %s", strerror(err));
	watch();
	for (i = 0; i < nr_workers; i++)
		pthread_join(worker[i].thread, NULL);
	if (!err)
		pthread_join(third, NULL);
	return conclude();
}
