// SPDX-License-Identifier: GPL-2.0
/*
 * Engines and CPU threads that count on the same pages, see load.h.
 */
#include <sched.h>
#include <stdarg.h>
#include <sys/wait.h>

#include "load.h"
#include "proc.h"
#include "xm.h"

#define WORDS	XM_WORDS

struct cpu_job {
	struct worker w;
	const struct load *l;
	unsigned int first;
};

/* The first of what is wrong */
__attribute__((format(printf, 3, 4)))
static int wrong(struct load_end *end, int err, const char *fmt, ...)
{
	va_list args;

	if (!end->wrong[0]) {
		va_start(args, fmt);
		vsnprintf(end->wrong, sizeof(end->wrong), fmt, args);
		va_end(args);
	}
	return err;
}

/* An engine adds to the first words of the pages, from page @first on. */
static int count_job(const struct load *l, int fd, unsigned int engine,
		     __u64 *w, unsigned int first, __u64 *fence)
{
	struct xmirror_cmd cmds[LOAD_PAGES];
	unsigned int i;

	for (i = 0; i < l->pages; i++)
		cmds[i] = xm_cmds(XMIRROR_OP_ADD, 8,
				  w + (first + i) % l->pages * WORDS, 0,
				  l->burst, 1);
	return xm_submit(fd, engine, cmds, l->pages, l->rounds, fence);
}

static int cpu_counts(struct worker *w)
{
	struct cpu_job *job = (struct cpu_job *)w;
	const struct load *l = job->l;
	__u64 *p = w->addr;
	unsigned int i, n, k;

	for (i = 0; i < l->rounds; i++) {
		for (n = 0; n < l->pages; n++) {
			for (k = 0; k < l->burst; k++)
				XM_ADD(p + (job->first + n) % l->pages * WORDS,
				       1);
			/* Let an engine in between. */
			sched_yield();
		}
	}
	return 0;
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
		/* The data of the child stays as it is; then it may write. */
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
	return status ? -EBADE : 0;
}

/* Everything that changes a mapping without a CPU access noticing */
static int changes(__u64 *w, __u64 pages, __u64 round)
{
	__u64 half = pages > 1 ? pages / 2 : 1;
	__u64 *p = w + round * 7 % half * WORDS;
	size_t len = (1 + round % half) * XM_PAGE;
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

static int meanwhile(const struct load *l, __u64 *w, __u64 round)
{
	switch (l->meanwhile) {
	case LOAD_FORKS:
		return forks(w, l->pages, round);
	case LOAD_CHANGES:
		return changes(w, l->pages, round);
	case LOAD_BOTH:
		return round % 4 ? changes(w, l->pages, round) :
				   forks(w, l->pages, round);
	}
	return 0;
}

/* Wait for the threads, and let the rest go on until they have ended. */
static int threads_end(const struct load *l, struct cpu_job *cpu, __u64 *w,
		       struct load_end *end)
{
	__u64 start = xm_now_ns();
	unsigned int i;
	int err = 0;
	bool done;

	do {
		if (!err)
			err = meanwhile(l, w, end->rounds);
		if (err)
			wrong(end, err, "round %llu meanwhile: %s", end->rounds,
			      strerror(-err));
		end->rounds++;
		done = true;
		for (i = 0; i < l->cpus; i++)
			done &= worker_ended(&cpu[i].w);
		sched_yield();
	} while (!done && !xm_expired(start, LOAD_TIME));
	for (i = 0; i < l->cpus; i++) {
		if (worker_join(&cpu[i].w))
			err = wrong(end, -ETIMEDOUT, "a thread goes on");
	}
	return err;
}

static int job_ends(const struct load *l, int fd, __u64 fence,
		    struct load_end *end)
{
	__u64 each = (__u64)l->pages * l->rounds * l->burst;
	struct xmirror_wait wait;
	int err = xm_wait(fd, fence, LOAD_TIME, &wait);

	if (!err)
		err = wait.status;
	if (err)
		return wrong(end, err, "job: %s", strerror(-err));
	if (wait.ops != each)
		return wrong(end, -EBADE, "a job has done %llu of %llu",
			     wait.ops, each);
	return 0;
}

int load_run(const struct load *l, const int *fd, __u64 *w,
	     struct load_end *end)
{
	static struct cpu_job cpu[LOAD_CPUS];
	__u64 fences[LOAD_DEVICES][LOAD_ENGINES];
	__u64 sum = (__u64)(l->devices * l->engines + l->cpus) * l->rounds *
		    l->burst;
	unsigned int d, i;
	int err = 0, ret;

	memset(end, 0, sizeof(*end));
	for (i = 0; i < l->pages; i++)
		w[i * WORDS] = 0;
	for (d = 0; d < l->devices; d++) {
		for (i = 0; i < l->engines; i++) {
			ret = count_job(l, fd[d], i, w,
					i * l->pages / l->engines,
					&fences[d][i]);
			if (ret)
				return wrong(end, ret, "submit: %s",
					     strerror(-ret));
		}
	}
	memset(cpu, 0, sizeof(cpu));
	for (i = 0; i < l->cpus; i++) {
		cpu[i].w.fn = cpu_counts;
		cpu[i].w.addr = w;
		cpu[i].l = l;
		cpu[i].first = i * l->pages / l->cpus + 3;
		ret = worker_start(&cpu[i].w);
		if (ret)
			return wrong(end, ret, "thread: %s", strerror(-ret));
	}
	err = threads_end(l, cpu, w, end);
	for (d = 0; d < l->devices; d++) {
		for (i = 0; i < l->engines; i++) {
			ret = job_ends(l, fd[d], fences[d][i], end);
			err = err ? err : ret;
		}
	}
	for (i = 0; i < l->pages; i++) {
		if (w[i * WORDS] == sum)
			continue;
		ret = wrong(end, -EBADE, "counter %u: %llu instead of %llu", i,
			    w[i * WORDS], sum);
		err = err ? err : ret;
	}
	return err;
}
