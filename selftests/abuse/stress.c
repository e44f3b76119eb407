// SPDX-License-Identifier: GPL-2.0
/*
 * Everything at once, for longer: engines and CPU threads count on the same
 * pages while the process forks, changes protections, pages out and moves them,
 * and at the end not one count is missing.
 *
 * XM_COUNT in the environment is the number of increments of each thread and
 * engine, a million if it is not set.
 *
 * If a count is missing, smaller loads are run, each in a process, memory and files of
 * its own, and the smallest in which something is wrong each of some times is printed as
 * a test program. That is no schedule: how the threads meet is another each time.
 */
#include "load.h"
#include "shrink.h"
#include "test.h"

#define PAGES	64UL
#define SIZE	(PAGES * XM_PAGE)
#define ENGINES	4UL
#define TIME	LOAD_TIME
#define MOST	40U		/* loads that are tried to find the smallest */
#define EACH	5U		/* runs of one; all have to go wrong */

/* For each page; the same for every page, also if it is a small part */
static unsigned int count_each(void)
{
	const char *text = getenv("XM_COUNT");
	__u64 count = text ? strtoull(text, NULL, 0) : 1000000;

	return (count + 64 * PAGES - 1) / (64 * PAGES) * 64;
}

FIXTURE(stress) {
	int fd;
	__u64 *w;
	__u64 start;
};

FIXTURE_SETUP(stress)
{
	OPEN(self->fd, 0);
	self->w = xm_anon(SIZE);
	ASSERT_NE(NULL, self->w);
	NEED(XMIRROR_CAP_EXCLUSIVE);
	memset(self->w, 0, SIZE);
	self->start = xm_now_ns();
}

/* The counters of the module, compared with each other */
FIXTURE_TEARDOWN(stress)
{
	struct xmirror_page *pages = calloc(PAGES, sizeof(*pages));
	size_t i, valid = 0, exclusive = 0;
	struct xmirror_stats s;

	EXPECT_CLEAN(self->fd);
	EXPECT_EQ(0, xm_stats(self->fd, &s));
	EXPECT_EQ(0, xm_snapshot(self->fd, self->w, SIZE, pages));
	for (i = 0; i < PAGES; i++) {
		valid += !!(pages[i].dev & XMIRROR_PTE_VALID);
		exclusive += !!(pages[i].dev & XMIRROR_PTE_EXCLUSIVE);
	}
	EXPECT_EQ(valid, s.leaves);
	EXPECT_EQ(exclusive, xm_count_exclusive(self->w, SIZE));
	EXPECT_LE(exclusive, s.excl_made);
	EXPECT_LE(s.excl_lost + s.excl_released + exclusive, s.excl_made);
	EXPECT_LE(s.excl_lost, s.inv_leaves);
	EXPECT_LE(s.fault_retries, s.fault_rounds);
	TH_LOG("%llu ms, %llu ops, %llu device faults",
	       (xm_now_ns() - self->start) / 1000000, s.ops, s.device_faults);
	TH_LOG("exclusive: %llu made, %llu lost, %llu retries", s.excl_made,
	       s.excl_lost, s.excl_retries);
	free(pages);
	close(self->fd);
}

/* The largest burst up to @most that divides @each */
static unsigned int burst_of(unsigned int each, unsigned int most)
{
	while (each % most)
		most--;
	return most;
}

/* A load as a step. 0 is the smallest of each number. */
enum {
	STEP,
	ROUNDS,
	PAGES_MORE,
	BURST_MORE,
	MEANWHILE,
	CPUS,
	ENGINES_MORE,
	DEVICES_MORE,
	COLUMNS
};

static struct load load_of(const __u64 *step)
{
	return (struct load) {
		.devices = step[DEVICES_MORE] + 1,
		.engines = step[ENGINES_MORE] + 1,
		.cpus = step[CPUS],
		.pages = step[PAGES_MORE] + 1,
		.rounds = step[ROUNDS] + 1,
		.burst = step[BURST_MORE] + 1,
		.meanwhile = step[MEANWHILE],
	};
}

struct again {
	struct load load;
	struct load_end *end;
};

static int run_again(struct child *c, void *arg)
{
	struct again *again = arg;
	int fd[] = { xm_open(0), xm_open(1) };
	__u64 *w = xm_anon(SIZE);

	(void)c;
	CHILD_CHECK(fd[0] >= 0 && fd[1] >= 0 && w);
	load_run(&again->load, fd, w, again->end);
	return 0;
}

static unsigned int fails(const __u64 *step, unsigned int nr, void *arg)
{
	struct again again = { .load = load_of(step), .end = arg };
	unsigned int i;

	for (i = 0; i < EACH; i++) {
		struct child c;

		if (shrink_tainted() || child_start(&c, run_again, &again))
			return 0;
		close(c.sock);
		/* The test's own deadline is there, too. */
		if (waitpid(c.pid, NULL, 0) != c.pid || !again.end->wrong[0])
			return 0;
	}
	return nr;
}

static void print_program(const struct load *l, const char *why)
{
	static const char * const meanwhile[] = {
		"NOTHING", "FORKS", "CHANGES", "BOTH",
	};
	char declarations[512];

	snprintf(declarations, sizeof(declarations),
		 "\tstruct load load = {\n"
		 "\t\t.devices = %u, .engines = %u, .cpus = %u,\n"
		 "\t\t.pages = %u, .rounds = %u, .burst = %u,\n"
		 "\t\t.meanwhile = LOAD_%s,\n"
		 "\t};\n"
		 "\t__u64 *w = xm_anon(%lu * XM_PAGE);\n"
		 "\tstruct load_end end;\n"
		 "\tint fd[2];\n",
		 l->devices, l->engines, l->cpus, l->pages, l->rounds, l->burst,
		 meanwhile[l->meanwhile], PAGES);
	shrink_print(stdout, why, declarations,
		     "\tNEED(XMIRROR_CAP_EXCLUSIVE);\n"
		     "\tOPEN(fd[0], 0);\n"
		     "\tOPEN(fd[1], 1);\n"
		     "\tEXPECT_EQ(0, load_run(&load, fd, w, &end)) {\n"
		     "\t\tTH_LOG(\"%s\", end.wrong);\n"
		     "\t}\n");
}

static void shorten(struct __test_metadata *_metadata, const struct load *l,
		    const char *why)
{
	__u64 step[COLUMNS] = {
		[ROUNDS] = l->rounds - 1,
		[PAGES_MORE] = l->pages - 1,
		[BURST_MORE] = l->burst - 1,
		[MEANWHILE] = l->meanwhile,
		[CPUS] = l->cpus,
		[ENGINES_MORE] = l->engines - 1,
		[DEVICES_MORE] = l->devices - 1,
	};
	struct load_end *end = xm_shared(sizeof(*end));
	struct shrink s = {
		.steps = step, .nr = 1, .width = COLUMNS, .fails = fails,
		.arg = end, .most = MOST,
	};
	struct load least;

	ASSERT_NE(NULL, end);
	if (shrink_tainted() || !shrink(&s)) {
		TH_LOG("not shrunk: %s", shrink_tainted() ?
		       "the kernel has reported a bug" :
		       "it does not go wrong every time");
		return;
	}
	least = load_of(step);
	TH_LOG("the smallest load of %u", s.runs);
	print_program(&least, why);
}

/* All of the load, and what is wrong by the smallest load that does it */
static void count(struct __test_metadata *_metadata, const int *fds,
		  unsigned int devices, __u64 *w, unsigned int pages,
		  unsigned int each, unsigned int most, unsigned int meanwhile)
{
	struct load l = {
		.devices = devices,
		.engines = LOAD_ENGINES,
		.cpus = LOAD_CPUS,
		.pages = pages,
		.burst = burst_of(each, most),
		.meanwhile = meanwhile,
	};
	struct load_end end;
	int err;

	l.rounds = each / l.burst;
	shrink_tainted();
	err = load_run(&l, fds, w, &end);
	EXPECT_EQ(0, err) {
		TH_LOG("%s", end.wrong);
	}
	if (err)
		shorten(_metadata, &l, end.wrong);
	TH_LOG("%llu rounds of what went on meanwhile", end.rounds);
}

TEST_F(stress, counters_and_forks)
{
	count(_metadata, &self->fd, 1, self->w, PAGES, count_each(), 100,
	      LOAD_FORKS);
}

TEST_F(stress, counters_disturbed)
{
	count(_metadata, &self->fd, 1, self->w, PAGES, count_each() / 64, 25,
	      LOAD_CHANGES);
}

/* Two devices and the CPU on few pages, word by word: all make progress. */
TEST_F(stress, devices_fight)
{
	int fds[2] = { self->fd, -1 };

	OPEN(fds[1], 1);
	count(_metadata, fds, 2, self->w, 8, 500, 5, LOAD_NOTHING);
	EXPECT_CLEAN(fds[1]);
	close(fds[1]);
}

TEST_F(stress, devices_fight_disturbed)
{
	int fds[2] = { self->fd, -1 };

	OPEN(fds[1], 1);
	count(_metadata, fds, 2, self->w, 8, 500, 50, LOAD_BOTH);
	EXPECT_CLEAN(fds[1]);
	close(fds[1]);
}

/*
 * Chaos: threads map, unmap, move, protect, fork and touch a range while
 * engines and calls work on it. Nothing can be said of the contents, only that
 * each call gives an error it may give, and that the state is sane at any time. It is
 * not shrunk: a list for each of four threads has no order that could be kept.
 */

static __u64 next(__u64 *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

#define CHAOS_PAGES	32UL

static int one_change(char *base, __u64 *seed)
{
	char *p = base + next(seed) % CHAOS_PAGES * XM_PAGE;
	size_t len = (1 + next(seed) % 4) * XM_PAGE;
	void *q;

	if (p + len > base + CHAOS_PAGES * XM_PAGE)
		len = XM_PAGE;
	switch (next(seed) % 9) {
	case 0:
		return munmap(p, len);
	case 1:
		return mprotect(p, len, PROT_READ) && errno != ENOMEM;
	case 2:
		return mprotect(p, len, PROT_READ | PROT_WRITE) &&
		       errno != ENOMEM;
	case 3:
		return madvise(p, len, MADV_DONTNEED) && errno != ENOMEM;
	case 4:
		/* not for shared memory */
		return madvise(p, len, MADV_FREE) && errno != ENOMEM &&
		       errno != EINVAL;
	case 5:
		return madvise(p, len, MADV_PAGEOUT) && errno != ENOMEM;
	case 6:
		q = mremap(p, XM_PAGE, XM_PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
			   base + next(seed) % CHAOS_PAGES * XM_PAGE);
		return q == MAP_FAILED && errno != EFAULT && errno != EINVAL;
	default:
		q = mmap(p, len, PROT_READ | PROT_WRITE, MAP_ANONYMOUS |
			 MAP_FIXED | (next(seed) % 4 ? MAP_PRIVATE :
				      MAP_SHARED), -1, 0);
		return q == MAP_FAILED;
	}
}

static int change_mappings(struct worker *w)
{
	__u64 seed = w->arg, i;

	for (i = 0; i < w->done; i++) {
		if (one_change(w->addr, &seed))
			return -errno;
	}
	return 0;
}

static bool legal(int err)
{
	return !err || err == -EFAULT || err == -EPERM || err == -EOPNOTSUPP;
}

static int device_calls(struct worker *w)
{
	__u64 seed = w->arg, n = 0;
	char buf[64];
	int err = 0;

	while (legal(err) && !XM_LOAD(&w->stop)) {
		char *p = (char *)w->addr + next(&seed) % CHAOS_PAGES * XM_PAGE;
		size_t len = (1 + next(&seed) % 8) * XM_PAGE;

		switch (next(&seed) % 6) {
		case 0:
			err = xm_fault(w->fd, p, len, 0, NULL);
			break;
		case 1:
			err = xm_fault(w->fd, p, len, XMIRROR_FAULT_WRITE, NULL);
			break;
		case 2:
			err = xm_exclusive(w->fd, p, len, NULL);
			break;
		case 3:
			err = xm_release(w->fd, p, len, NULL);
			break;
		case 4:
			err = xm_write(w->fd, p + XM_PAGE - 6, buf, sizeof(buf));
			break;
		default:
			err = xm_violations(w->fd, NULL, 0) ? -EBADE : 0;
		}
		n++;
	}
	w->done = n;
	return legal(err) ? 0 : err;
}

/* worker_join() with more patience */
static int join_late(struct worker *w, __u64 start)
{
	while (!worker_ended(w) && !xm_expired(start, TIME))
		sched_yield();
	return worker_join(w);
}

TEST_F(stress, chaos)
{
	char *base = xm_anon((CHAOS_PAGES + 8) * XM_PAGE);
	struct worker changes = {
		.fn = change_mappings,
		.addr = base,
		.arg = 0x1234567,
		.done = 1000,
	};
	struct worker calls[2] = {};
	__u64 i, fence, jobs = 0, start = xm_now_ns();
	struct xmirror_wait wait;

	ASSERT_NE(NULL, base);
	for (i = 0; i < 2; i++) {
		calls[i].fn = device_calls;
		OPEN(calls[i].fd, i);
		calls[i].addr = base;
		calls[i].arg = 0x9876543 + i;
		ASSERT_EQ(0, worker_start(&calls[i]));
	}
	ASSERT_EQ(0, worker_start(&changes));
	while (!worker_ended(&changes) && !xm_expired(start, TIME)) {
		struct xmirror_cmd cmd = xm_cmds(jobs % 3 ? XMIRROR_OP_ADD :
						 XMIRROR_OP_STORE, 8, base,
						 XM_PAGE, CHAOS_PAGES, 1);

		ASSERT_EQ(0, xm_submit(self->fd, jobs % ENGINES, &cmd, 1, 2,
				       &fence));
		ASSERT_EQ(0, xm_wait(self->fd, fence, TIME, &wait));
		EXPECT_TRUE(legal(wait.status)) {
			TH_LOG("job: %d", wait.status);
		}
		EXPECT_CLEAN(self->fd);
		jobs++;
	}
	EXPECT_EQ(0, join_late(&changes, start));
	for (i = 0; i < 2; i++) {
		XM_STORE(&calls[i].stop, true);
		EXPECT_EQ(0, join_late(&calls[i], start));
		EXPECT_CLEAN(calls[i].fd);
		close(calls[i].fd);
	}
	ASSERT_EQ(0, munmap(base, (CHAOS_PAGES + 8) * XM_PAGE));
	TH_LOG("%llu jobs, %llu and %llu calls", jobs, calls[0].done,
	       calls[1].done);
}

TEST_HARNESS_MAIN
