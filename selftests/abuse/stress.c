// SPDX-License-Identifier: GPL-2.0
/*
 * Everything at once, for longer: engines and CPU threads count on the same
 * pages while the process forks, changes protections, pages out and moves them,
 * and at the end not one count is missing.
 *
 * XM_COUNT in the environment is the number of increments of each thread and
 * engine, a million if it is not set.
 */
#include "test.h"

#define PAGES	64UL
#define SIZE	(PAGES * XM_PAGE)
#define WORDS	XM_WORDS
#define ENGINES	4UL
#define CPUS	2UL
#define TIME	(20 * XM_LONG)

static __u64 count_each(void)
{
	const char *text = getenv("XM_COUNT");
	__u64 count = text ? strtoull(text, NULL, 0) : 1000000;

	/* the same for every page, also if it is a small part */
	return (count + 64 * PAGES - 1) / (64 * PAGES) * (64 * PAGES);
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

/* What the counters of the module say to each other */
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

/*
 * Let an engine add @each to the first words of the pages in total, @burst at
 * a time, from page @first on.
 */
static int count_job(int fd, unsigned int engine, __u64 *w, __u64 pages,
		     __u64 each, __u32 burst, __u64 first, __u64 *fence)
{
	struct xmirror_cmd cmds[PAGES];
	__u64 i;

	for (i = 0; i < pages; i++)
		cmds[i] = xm_cmds(XMIRROR_OP_ADD, 8,
				  w + (first + i) % pages * WORDS, 0, burst, 1);
	return xm_submit(fd, engine, cmds, pages, each / pages / burst, fence);
}

struct cpu_job {
	struct worker w;
	__u64 pages;
	__u64 burst;
	__u64 first;
};

static int cpu_counts(struct worker *w)
{
	struct cpu_job *job = (struct cpu_job *)w;
	__u64 *p = w->addr, i, n, k;

	for (i = 0; i < w->arg / job->pages / job->burst; i++) {
		for (n = 0; n < job->pages; n++) {
			for (k = 0; k < job->burst; k++)
				XM_ADD(p + (job->first + n) % job->pages *
				       WORDS, 1);
			/* Let an engine in between. */
			sched_yield();
		}
	}
	w->done = w->arg;
	return 0;
}

/* The largest burst up to @most that divides the counts of a page. */
static __u32 burst_of(__u64 each, __u64 pages, __u32 most)
{
	while (each / pages % most)
		most--;
	return most;
}

/* worker_join() with more patience */
static int join_late(struct worker *w, __u64 start)
{
	while (!worker_ended(w) && !xm_expired(start, TIME))
		sched_yield();
	return worker_join(w);
}

/* Start all; then @meanwhile until the threads are done; then check. */
static void count(struct __test_metadata *_metadata, int *fds, int nr_fds,
		  __u64 *w, __u64 pages, __u64 each, __u32 most,
		  int (*meanwhile)(__u64 *w, __u64 pages, __u64 round))
{
	__u32 burst = burst_of(each, pages, most);
	__u64 fences[2 * ENGINES], i, n, ops = 0, rounds = 0;
	struct cpu_job cpu[CPUS] = {};
	__u64 start = xm_now_ns();
	struct xmirror_wait wait;
	bool done;

	for (n = 0; n < (__u64)nr_fds; n++) {
		for (i = 0; i < ENGINES; i++) {
			ASSERT_EQ(0, count_job(fds[n], i, w, pages, each, burst,
					       i * pages / ENGINES,
					       &fences[n * ENGINES + i]));
		}
	}
	for (i = 0; i < CPUS; i++) {
		cpu[i].w.fn = cpu_counts;
		cpu[i].w.addr = w;
		cpu[i].w.arg = each;
		cpu[i].pages = pages;
		cpu[i].burst = burst;
		cpu[i].first = i * pages / CPUS + 3;
		ASSERT_EQ(0, worker_start(&cpu[i].w));
	}
	do {
		if (meanwhile) {
			ASSERT_EQ(0, meanwhile(w, pages, rounds));
		}
		rounds++;
		done = true;
		for (i = 0; i < CPUS; i++)
			done &= worker_ended(&cpu[i].w);
		sched_yield();
		ASSERT_FALSE(xm_expired(start, TIME));
	} while (!done);
	for (i = 0; i < CPUS; i++) {
		EXPECT_EQ(0, join_late(&cpu[i].w, start));
		EXPECT_EQ(each, cpu[i].w.done);
	}
	for (n = 0; n < (__u64)nr_fds * ENGINES; n++) {
		ASSERT_EQ(0, xm_wait(fds[n / ENGINES], fences[n], TIME, &wait));
		EXPECT_EQ(0, wait.status);
		EXPECT_EQ(each, wait.ops);
		ops += wait.ops;
	}
	EXPECT_EQ(nr_fds * ENGINES * each, ops);
	for (i = 0; i < pages; i++) {
		EXPECT_EQ((nr_fds * ENGINES + CPUS) * each / pages,
			  w[i * WORDS]) {
			TH_LOG("page %llu", i);
		}
	}
	TH_LOG("%llu rounds of what went on meanwhile", rounds);
}

static int forks(__u64 *w, __u64 pages, __u64 round)
{
	__u64 i, was;
	int status;
	pid_t pid;

	pid = fork();
	if (pid < 0)
		return -errno;
	if (!pid) {
		/* What the child has stays as it is; then it may write. */
		for (i = round % 4; i < pages; i += 4) {
			was = XM_LOAD(w + i * WORDS);
			sched_yield();
			if (XM_LOAD(w + i * WORDS) != was)
				_exit(1);
			XM_STORE(w + i * WORDS, ~0ULL);
		}
		_exit(0);
	}
	if (waitpid(pid, &status, 0) != pid)
		return -errno;
	return status;
}

TEST_F(stress, counters_and_forks)
{
	count(_metadata, &self->fd, 1, self->w, PAGES, count_each(), 100,
	      forks);
}

/* Everything that changes a mapping without a CPU access noticing */
static int disturb(__u64 *w, __u64 pages, __u64 round)
{
	__u64 *p = w + round * 7 % (pages / 2) * WORDS;
	size_t len = (1 + round % (pages / 2)) * XM_PAGE;
	int err = 0;

	switch (round % 5) {
	case 0:
		err = mprotect(p, len, PROT_READ | PROT_WRITE | PROT_EXEC);
		break;
	case 1:
		err = mprotect(w, pages * XM_PAGE, PROT_READ | PROT_WRITE);
		break;
	case 2:
		err = madvise(p, len, MADV_PAGEOUT);
		break;
	case 3:
		err = madvise(p, len, MADV_COLD);
		break;
	case 4:
		err = madvise(p, len, MADV_WILLNEED);
	}
	/* Without swap that is no error of ours. */
	return err && errno != EINVAL ? -errno : 0;
}

TEST_F(stress, counters_disturbed)
{
	count(_metadata, &self->fd, 1, self->w, PAGES, count_each() / 64, 25,
	      disturb);
}

static int forks_and_disturbs(__u64 *w, __u64 pages, __u64 round)
{
	return round % 4 ? disturb(w, pages, round) : forks(w, pages, round);
}

/* Two devices and the CPU on few pages, word by word: all make progress. */
TEST_F(stress, devices_fight)
{
	int fds[2] = { self->fd, -1 };

	OPEN(fds[1], 1);
	count(_metadata, fds, 2, self->w, 8, 8 * 500, 5, NULL);
	EXPECT_CLEAN(fds[1]);
	close(fds[1]);
}

TEST_F(stress, devices_fight_disturbed)
{
	int fds[2] = { self->fd, -1 };

	OPEN(fds[1], 1);
	count(_metadata, fds, 2, self->w, 8, 8 * 500, 50, forks_and_disturbs);
	EXPECT_CLEAN(fds[1]);
	close(fds[1]);
}

/*
 * Chaos: threads map, unmap, move, protect, fork and touch a range while
 * engines and calls work on it. Nothing can be said of the contents, only that
 * each call gives an error it may give, and that the state is sane at any time.
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
			err = xm_write(w->fd, p + 4090, buf, sizeof(buf));
			break;
		default:
			err = xm_violations(w->fd, NULL, 0) ? -EBADE : 0;
		}
		n++;
	}
	w->done = n;
	return legal(err) ? 0 : err;
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
