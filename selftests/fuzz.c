// SPDX-License-Identifier: GPL-2.0
/*
 * Calls that make sense, mostly, in an order that doesn't: several processes
 * with several threads each call every ioctl with arguments near what is valid,
 * and map, unmap, protect, page out and fork under that.
 *
 * Nothing here writes outside of the area that is fuzzed: who would do so to the
 * program's own memory could not tell what it found.
 *
 * usage: fuzz [--calls N] [--seed S] [--threads T] [--procs P] [--blind]
 *
 * What must hold: no error that the interface doesn't know, VERIFY clean on
 * every mirror at the end, and each thread's own counter, which nothing but its
 * own device atomics change, right to the last one. Besides, the kernel's
 * checkers look on. The seed and T, P repeat what each thread does, though not
 * how the threads interleave.
 *
 * Where the kernel has CONFIG_KCOV, a step that ran something in it that none had
 * run before is kept, by the random numbers that it was made from. Now and then
 * one of the kept is made again: the same up to some number, or but for one. Then
 * what a thread does also depends on what the others have found; with --blind on
 * the seed alone.
 *
 * Where /dev/hmm_dmirror0 is not the kernel's own test_hmm, its calls are in the
 * mix. (test_hmm has bugs that this would find each time.)
 */
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "lib.h"
#include "libkcov.h"
#include "libproc.h"
#include "kselftest.h"

#define PAGES		64UL
#define SIZE		(PAGES * XM_PAGE)
#define MAX_THREADS	16
#define MAX_PROCS	8
#define SHARED_FDS	3
/* No wait or stop is longer, in milliseconds. */
#define SHORT		10
#define MAX_CMDS	4
/* A job that is asked to have more commands finds zeroes: no commands. */
#define ROOM_CMDS	256
/* What is kept of a step: its first random numbers. The rest is made anew. */
#define TAPE		64
#define KEPT		1024
/* Around the area: how far a job or a copy may run over its ends. */
#define GUARD		(256 * XM_PAGE)

/* As in the kernel's lib/test_hmm_uapi.h */
struct hmm_cmd {
	__u64 addr;
	__u64 ptr;
	__u64 npages;
	__u64 cpages;
	__u64 faults;
};

#define HMM_NR		10
#define PARAMS		(XMIRROR_SET_FORK + 1)

#define HMM_IOC(nr)	_IOWR('H', (nr), struct hmm_cmd)

union arg {
	struct {
		__u32 size;
		__u32 flags;
	} head;
	struct xmirror_info info;
	struct xmirror_set set;
	struct xmirror_range range;
	struct xmirror_rw rw;
	struct xmirror_submit submit;
	struct xmirror_wait wait;
	struct xmirror_snapshot snapshot;
	struct xmirror_verify verify;
	struct xmirror_stats stats;
	struct xmirror_sync sync;
	struct xmirror_migrate migrate;
	struct xmirror_unplug unplug;
	struct xmirror_vram vram;
	struct xmirror_inject inject;
	struct hmm_cmd hmm;
	__u64 words[XM_PAGE / 8];
};

/* What is called, how often out of the sum, and the size of its struct. */
static const struct kind {
	unsigned long nr;
	const char *name;
	unsigned int weight;
	size_t size;
} kinds[] = {
	{ XMIRROR_IOC_INFO, "INFO", 1, sizeof(struct xmirror_info) },
	{ XMIRROR_IOC_SET, "SET", 3, sizeof(struct xmirror_set) },
	{ XMIRROR_IOC_FAULT, "FAULT", 12, sizeof(struct xmirror_range) },
	{ XMIRROR_IOC_EXCLUSIVE, "EXCLUSIVE", 12,
	  sizeof(struct xmirror_range) },
	{ XMIRROR_IOC_RELEASE, "RELEASE", 6, sizeof(struct xmirror_range) },
	{ XMIRROR_IOC_RW, "RW", 12, sizeof(struct xmirror_rw) },
	{ XMIRROR_IOC_SUBMIT, "SUBMIT", 8, sizeof(struct xmirror_submit) },
	{ XMIRROR_IOC_WAIT, "WAIT", 10, sizeof(struct xmirror_wait) },
	{ XMIRROR_IOC_SNAPSHOT, "SNAPSHOT", 3,
	  sizeof(struct xmirror_snapshot) },
	{ XMIRROR_IOC_VERIFY, "VERIFY", 2, sizeof(struct xmirror_verify) },
	{ XMIRROR_IOC_STATS, "STATS", 1, sizeof(struct xmirror_stats) },
	{ XMIRROR_IOC_SYNC, "SYNC", 6, sizeof(struct xmirror_sync) },
	{ XMIRROR_IOC_MIGRATE, "MIGRATE", 10, sizeof(struct xmirror_migrate) },
	{ XMIRROR_IOC_UNPLUG, "UNPLUG", 1, sizeof(struct xmirror_unplug) },
	{ XMIRROR_IOC_VRAM, "VRAM", 3, sizeof(struct xmirror_vram) },
	{ XMIRROR_IOC_INJECT, "INJECT", 4, sizeof(struct xmirror_inject) },
	{ 0, "unknown call", 1, 64 },
	{ HMM_IOC(0), "hmm_dmirror", 8, sizeof(struct hmm_cmd) },
};

#define KINDS		ARRAY_SIZE(kinds)
#define HMM		(KINDS - 1)

/* What any call may answer. */
static const int known[] = {
	0, EINVAL, EFAULT, EPERM, ESRCH, E2BIG, ENOTTY, EOPNOTSUPP, EBUSY,
	EINTR, ENOMEM, EAGAIN, ENOENT, ETIMEDOUT, ENOSPC, EBADF, ECANCELED,
};

/* For SYNC and INJECT: known errors, too. */
static const int injected[] = { EFAULT, ENOMEM, EBUSY, EAGAIN, EINTR, ENOENT };

/* Results of all processes, in shared memory. */
static struct totals {
	__u64 calls[KINDS];
	__u64 good[KINDS];
	__u64 set[PARAMS];
	__u64 mm_ops;
	__u64 adds;
	__u64 bad_errno;
	__u64 bad_count;
	__u64 violations;
	__u64 failed;
	__u64 places;
	__u64 nr_kept;
	__u64 kept[KEPT][TAPE];
	__u64 seen[KCOV_WORDS];
} *totals;

static __u64 calls = 12000, seed;
static unsigned int threads = 3, procs = 2;
static int foreign = -1;	/* a mirror of another mm */
static int foreign_memory = -1;
static bool hmm_abi;
static bool blind;

/* Of this process */
static char *area;
static int fds[SHARED_FDS];
static int hmm_fd = -1;
static int event = -1;

/**
 * struct thread - one thread
 * @thread: it
 * @rng: its random numbers
 * @calls: how many to make
 * @own: a file of its own, so that nobody takes its jobs
 * @counter: memory that only it uses
 * @count: what that has to be
 * @extra: a file that comes and goes
 * @buf: for results
 * @pages: ditto
 * @cmds: for jobs
 * @kcov: what its calls run
 * @guided: there is such a thing
 * @tape: the random numbers of this step
 * @given: so many of them are given
 * @taken: so many of them are used
 */
struct thread {
	pthread_t thread;
	__u64 rng;
	__u64 calls;
	int own;
	__u64 *counter;
	__u64 count;
	int extra;
	char buf[4 * XM_PAGE];
	struct xmirror_page pages[PAGES];
	struct xmirror_cmd cmds[ROOM_CMDS];
	struct kcov kcov;
	bool guided;
	__u64 tape[TAPE];
	unsigned int given;
	unsigned int taken;
};

/* splitmix64 */
static __u64 fresh(struct thread *t)
{
	__u64 z = t->rng += 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

static __u64 rnd(struct thread *t)
{
	__u64 z = t->taken < t->given ? t->tape[t->taken] : fresh(t);

	if (t->taken < TAPE)
		t->tape[t->taken++] = z;
	return z;
}

static unsigned int below(struct thread *t, unsigned int n)
{
	return (rnd(t) >> 32) % n;
}

static bool one_in(struct thread *t, unsigned int n)
{
	return !below(t, n);
}

static __u64 odd_value(struct thread *t)
{
	static const __u64 values[] = {
		0, 1, 2, 3, 7, 8, 0x7f, 0x80, 0xfff, 0x1000, 0x1001,
		0x7fffffff, 0x80000000, 0xffffffff, 0x100000000,
		0x7ffffffff000, 0x7fffffffffff, 0x800000000000,
		0x7fffffffffffffff, 0x8000000000000000, 0xfffffffffffff000,
		0xffffffffffffffff, 0xffff800000000000,
	};

	return one_in(t, 3) ? rnd(t) : values[below(t, ARRAY_SIZE(values))];
}

/* Some pages of the area: small ranges mostly, so that they meet. */
static __u64 some_range(struct thread *t, __u64 *len)
{
	unsigned int first = below(t, PAGES);
	unsigned int n = one_in(t, 4) ? 1 + below(t, PAGES - first) : 1;

	*len = n * XM_PAGE;
	/* Bounded, since this is about state and not about patience. */
	if (one_in(t, 40))
		*len = odd_value(t) & 0xfffffff;
	if (one_in(t, 60))
		return odd_value(t);
	return (uintptr_t)area + first * XM_PAGE;
}

static __u64 some_word(struct thread *t)
{
	return (uintptr_t)area + below(t, SIZE / 64) * 64;
}

static __u32 some_flags(struct thread *t, __u32 valid)
{
	if (one_in(t, 50))
		return odd_value(t);
	return rnd(t) & valid;
}

static void some_cmds(struct thread *t, struct xmirror_submit *s)
{
	unsigned int i;

	s->nr_cmds = 1 + below(t, MAX_CMDS);
	for (i = 0; i < s->nr_cmds; i++) {
		struct xmirror_cmd *c = &t->cmds[i];

		memset(c, 0, sizeof(*c));
		c->op = below(t, XMIRROR_OP_NR + one_in(t, 30));
		c->width = 1 << below(t, 4);
		c->count = 1 + below(t, 16);
		c->addr = one_in(t, 60) ? odd_value(t) : some_word(t);
		c->stride = (__s64)below(t, 1024) * 8 - 2048;
		if (one_in(t, 60)) {
			c->stride = odd_value(t) | 1ULL << 46;
			c->count = 2;
		}
		c->operand = odd_value(t);
		if (c->op == XMIRROR_OP_CMPXCHG)
			c->compare = odd_value(t);
	}
	s->cmds = one_in(t, 60) ? odd_value(t) : (uintptr_t)t->cmds;
	if (one_in(t, 60))
		s->nr_cmds = odd_value(t);
	/* One that must be cancelled, sometimes. */
	s->repeat = one_in(t, 400) ? 1ULL << 40 : below(t, 20);
	s->engine = below(t, 5);
	if (one_in(t, 8)) {
		s->flags = XMIRROR_SUBMIT_EVENTFD;
		s->eventfd = one_in(t, 20) ? (int)odd_value(t) : event;
	}
}

static void some_set(struct thread *t, struct xmirror_set *s)
{
	s->param = below(t, PARAMS + 1);
	switch (s->param) {
	case XMIRROR_SET_TIMEOUT:
		/* Short, since what the deadline ends is not rare. */
		s->value = below(t, SHORT);
		return;
	case XMIRROR_SET_VRAM_UNSAFE:
		/* Only files that nobody maps have it, see one_mm_op(). */
		s->value = below(t, 4);
		break;
	case XMIRROR_SET_FORK:
		s->value = below(t, 3);
		break;
	default:
		s->value = XM_PAGE << below(t, 11);
	}
	if (one_in(t, 10))
		s->value = odd_value(t);
}

static void some_vram(struct thread *t, struct xmirror_vram *v)
{
	v->op = below(t, 5);
	v->offset = below(t, PAGES) * XM_PAGE;
	v->length = (1 + below(t, PAGES)) * XM_PAGE;
	if (one_in(t, 20))
		v->offset = odd_value(t);
	if (one_in(t, 20))
		v->length = odd_value(t);
}

/*
 * All but XMIRROR_INJECT_STALE, whose leaves are wrong: a device that writes
 * through them writes to whatever the page has become.
 */
static void some_injection(struct thread *t, struct xmirror_inject *inj)
{
	inj->what = one_in(t, 20) ? XMIRROR_INJECT_NR :
				    below(t, XMIRROR_INJECT_STALE);
	inj->skip = below(t, 8);
	inj->times = below(t, 4);
	if (!inj->times)
		return;
	if (inj->what == XMIRROR_INJECT_COMMIT)
		inj->error = injected[below(t, ARRAY_SIZE(injected))];
	if (inj->what == XMIRROR_INJECT_NOTIFIER)
		inj->delay_ms = below(t, SHORT);
}

static void some_sync(struct thread *t, struct xmirror_sync *s)
{
	s->cmd = below(t, 5);
	s->action = one_in(t, 3) ? XMIRROR_SYNC_FAIL : XMIRROR_SYNC_PAUSE;
	s->point = below(t, XMIRROR_PT_NR + 1);
	if (s->action == XMIRROR_SYNC_FAIL) {
		s->error = injected[below(t, ARRAY_SIZE(injected))];
		if (!one_in(t, 4))
			s->point = below(t, XMIRROR_PT_EXCL_COMMITTED);
	} else if (one_in(t, 20)) {
		s->error = odd_value(t);
	}
	s->event = one_in(t, 2) ? 0 : below(t, 10);
	if (one_in(t, 2))
		s->addr = some_range(t, &s->length);
	s->skip = below(t, 3);
	s->timeout_ms = below(t, SHORT);
	s->id = below(t, 200);
}

/* Whose struct has a time in it, which has to stay short. */
static bool may_wait(unsigned long nr)
{
	return nr == XMIRROR_IOC_WAIT || nr == XMIRROR_IOC_SYNC ||
	       nr == XMIRROR_IOC_UNPLUG || nr == XMIRROR_IOC_SET ||
	       nr == XMIRROR_IOC_INJECT;
}

/* Which writes as much to a buffer here as the struct says; or takes for ever. */
static bool writes_much(unsigned long nr)
{
	return nr == XMIRROR_IOC_RW || nr == XMIRROR_IOC_SNAPSHOT ||
	       nr == XMIRROR_IOC_SUBMIT || nr == HMM_IOC(0);
}

static void fill(struct thread *t, const struct kind *kind, union arg *a)
{
	__u64 len = 0, addr = some_range(t, &len);

	memset(a, 0, sizeof(*a));
	a->head.size = kind->size;
	switch (kind->nr) {
	case XMIRROR_IOC_SET:
		some_set(t, &a->set);
		break;
	case XMIRROR_IOC_VRAM:
		some_vram(t, &a->vram);
		break;
	case XMIRROR_IOC_INJECT:
		some_injection(t, &a->inject);
		break;
	case XMIRROR_IOC_FAULT:
	case XMIRROR_IOC_EXCLUSIVE:
	case XMIRROR_IOC_RELEASE:
		a->range.addr = addr;
		a->range.length = len;
		a->range.flags = some_flags(t, kind->nr !=
					    XMIRROR_IOC_RELEASE);
		if (kind->nr == XMIRROR_IOC_EXCLUSIVE && !one_in(t, 8))
			a->range.flags = 0;
		break;
	case XMIRROR_IOC_RW:
		a->rw.addr = addr + below(t, XM_PAGE);
		a->rw.length = 1 + below(t, sizeof(t->buf));
		a->rw.buf = (uintptr_t)t->buf;
		a->rw.flags = some_flags(t, XMIRROR_RW_WRITE);
		if (one_in(t, 20)) /* the device's memory is the buffer */
			a->rw.buf = some_word(t);
		if (one_in(t, 60))
			a->rw.buf = odd_value(t);
		break;
	case XMIRROR_IOC_SUBMIT:
		some_cmds(t, &a->submit);
		break;
	case XMIRROR_IOC_WAIT:
		a->wait.fence = one_in(t, 3) ? below(t, 1000) : 0;
		a->wait.flags = some_flags(t, one_in(t, 2));
		a->wait.timeout_ms = below(t, SHORT);
		a->wait.nr_results = below(t, 8);
		a->wait.results = (uintptr_t)t->buf;
		break;
	case XMIRROR_IOC_SNAPSHOT:
		a->snapshot.addr = addr;
		a->snapshot.length = len <= SIZE ? len : XM_PAGE;
		a->snapshot.pages = (uintptr_t)t->pages;
		break;
	case XMIRROR_IOC_SYNC:
		some_sync(t, &a->sync);
		break;
	case XMIRROR_IOC_MIGRATE:
		a->migrate.addr = addr;
		a->migrate.length = len;
		a->migrate.flags = below(t, 3);
		a->migrate.peer = a->migrate.flags == 2 ? below(t, 3) : 0;
		break;
	case XMIRROR_IOC_UNPLUG:
		a->unplug.timeout_ms = below(t, SHORT);
		a->unplug.flags = one_in(t, 3) ? 0 : XMIRROR_UNPLUG_REPLUG;
		break;
	case HMM_IOC(0):
		a->hmm.addr = addr;
		a->hmm.npages = 1 + below(t, 3);
		a->hmm.ptr = (uintptr_t)t->buf;
		if (one_in(t, 40)) {
			a->hmm.npages = odd_value(t) & 0xffff;
			a->hmm.ptr = 0;
		}
		break;
	}
	/* Any field may be odd, but for the address and what the functions above tell. */
	if (!may_wait(kind->nr) && !writes_much(kind->nr) && one_in(t, 25))
		a->words[2 + below(t, kind->size / 8 - 1)] =
			odd_value(t) & 0xfffffff;
	if (one_in(t, 50) && kind->nr != HMM_IOC(0))
		a->head.size = one_in(t, 2) ? odd_value(t) :
					      kind->size + below(t, 64);
}

static bool is_known(int err)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(known); i++) {
		if (known[i] == err)
			return true;
	}
	return false;
}

static int some_fd(struct thread *t)
{
	switch (below(t, 24)) {
	case 0:
		return foreign;
	case 1:
		return foreign_memory;
	case 2:
	case 3:
		return t->extra;
	}
	return fds[below(t, SHARED_FDS)];
}

static const struct kind *some_kind(struct thread *t)
{
	unsigned int i, sum = 0, n;

	for (i = 0; i < KINDS; i++)
		sum += i == HMM && !hmm_abi ? 0 : kinds[i].weight;
	n = below(t, sum);
	for (i = 0; n >= kinds[i].weight; i++)
		n -= kinds[i].weight;
	return &kinds[i];
}

static void one_ioctl(struct thread *t)
{
	const struct kind *kind = some_kind(t);
	unsigned long nr = kind->nr;
	int fd = some_fd(t), err;
	size_t i = kind - kinds;
	union arg a;
	void *argp = &a;
	__u32 param;

	fill(t, kind, &a);
	param = a.set.param;
	if (!nr)
		nr = _IO(XMIRROR_IOC_TYPE, below(t, 256)) | (rnd(t) << 16);
	if (i == HMM) {
		nr = HMM_IOC(below(t, HMM_NR));
		fd = hmm_fd;
	}
	if (one_in(t, 100))
		argp = (void *)odd_value(t);
	/* What the engines work on: others change it during the call. */
	if (one_in(t, 100) && !may_wait(nr))
		argp = (void *)some_word(t);
	err = ioctl(fd, nr, argp) < 0 ? errno : 0;
	XM_ADD(&totals->calls[i], 1);
	if (!err)
		XM_ADD(&totals->good[i], 1);
	if (!err && nr == XMIRROR_IOC_SET && param < PARAMS)
		XM_ADD(&totals->set[param], 1);
	if (!is_known(err)) {
		XM_ADD(&totals->bad_errno, 1);
		dprintf(1, "# %s: error %d (%s)\n", kind->name, err,
			strerror(err));
	}
	/* Nobody else would plug it in again. */
	if (kind->nr == XMIRROR_IOC_UNPLUG && !one_in(t, 4)) {
		struct xmirror_unplug u = {
			.size = sizeof(u),
			.flags = XMIRROR_UNPLUG_REPLUG,
		};

		ioctl(t->own, XMIRROR_IOC_UNPLUG, &u);
	}
}

static void forked(struct thread *t)
{
	pid_t pid = fork();

	if (pid < 0)
		return;
	if (!pid) {
		/* Only what is safe in the child of a threaded process. */
		one_ioctl(t);
		if (one_in(t, 2))
			getrandom((void *)some_word(t), 64, 0);
		syscall(SYS_exit_group, 0);
	}
	waitpid(pid, NULL, 0);
}

static void one_mm_op(struct thread *t, int memfd)
{
	static const int advice[] = {
		MADV_DONTNEED, MADV_FREE, MADV_COLD, MADV_PAGEOUT,
		MADV_HUGEPAGE, MADV_NOHUGEPAGE, MADV_COLLAPSE,
		MADV_POPULATE_READ, MADV_POPULATE_WRITE, MADV_DONTFORK,
		MADV_DOFORK, MADV_MERGEABLE, MADV_UNMERGEABLE,
	};
	unsigned int first = below(t, PAGES);
	size_t len = (1 + below(t, one_in(t, 4) ? PAGES - first : 1)) * XM_PAGE;
	char *p = area + first * XM_PAGE;
	int prot = one_in(t, 4) ? below(t, 4) : PROT_READ | PROT_WRITE;
	int map = MAP_FIXED | MAP_ANONYMOUS;

	XM_ADD(&totals->mm_ops, 1);
	switch (below(t, 13)) {
	case 0:
	case 1:
		if (one_in(t, 2))
			munmap(p, len);
		map |= one_in(t, 8) ? MAP_SHARED : MAP_PRIVATE;
		mmap(p, len, prot, map, -1, 0);
		break;
	case 2:
		mmap(p, len, prot, MAP_FIXED | (rnd(t) & MAP_PRIVATE ?:
						MAP_SHARED), memfd, 0);
		break;
	case 3:
	case 4:
		mprotect(p, len, prot);
		break;
	case 5:
	case 6:
		madvise(p, len, advice[below(t, ARRAY_SIZE(advice))]);
		break;
	case 7:
		/* Moves it over other pages of the area. */
		mremap(p, XM_PAGE, XM_PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
		       area + below(t, PAGES) * XM_PAGE);
		break;
	case 8:
	case 9:
		/* CPU accesses that cannot kill */
		getrandom(p + below(t, XM_PAGE - 64), 64, 0);
		break;
	case 10:
		pwrite(memfd, p, 64, below(t, SIZE - 64));
		break;
	case 11:
		if (one_in(t, 8)) {
			forked(t);
			break;
		}
		if (t->extra >= 0)
			close(t->extra);
		t->extra = xm_open(below(t, 2));
		break;
	case 12:
		mmap(p, len, prot, MAP_FIXED | MAP_SHARED, t->own,
		     below(t, PAGES) * XM_PAGE);
		break;
	}
}

static void count_one(struct thread *t)
{
	bool there = xm_caps() & XMIRROR_CAP_PRIVATE;
	__u64 by = 1 + below(t, 9);
	int err;

	if (one_in(t, 3) && there)
		xm_migrate(t->own, t->counter, XM_PAGE, one_in(t, 2), 0, NULL);
	if (one_in(t, 4)) {
		XM_ADD(t->counter, by);
		t->count += by;
	} else if (xm_caps() & XMIRROR_CAP_EXCLUSIVE) {
		err = xm_add(t->own, t->counter, by);
		t->count += err ? 0 : by;
	}
	XM_ADD(&totals->adds, 1);
	if (one_in(t, 8) && XM_LOAD(t->counter) != t->count) {
		dprintf(1, "# a counter is %llu instead of %llu\n",
			XM_LOAD(t->counter), t->count);
		XM_ADD(&totals->bad_count, 1);
		t->count = XM_LOAD(t->counter);
	}
}

static int memfd;

static void one_step(struct thread *t)
{
	switch (below(t, 8)) {
	case 0:
		one_mm_op(t, memfd);
		break;
	case 1:
		count_one(t);
		break;
	}
	one_ioctl(t);
}

/* Every fourth step is much like one that has found something. */
static void choose(struct thread *t)
{
	__u64 nr = XM_LOAD(&totals->nr_kept);

	t->taken = 0;
	t->given = 0;
	if (!nr || fresh(t) % 4)
		return;
	memcpy(t->tape, totals->kept[fresh(t) % (nr < KEPT ? nr : KEPT)],
	       sizeof(t->tape));
	if (fresh(t) % 2) {
		t->given = TAPE;
		t->tape[fresh(t) % 16] = fresh(t);
	} else {
		t->given = 1 + fresh(t) % 16;
	}
}

/*
 * The newest replace the oldest. Who reads one that is being written has a mixture
 * of two, which is as good.
 */
static void keep(struct thread *t, unsigned int places)
{
	__u64 nr = XM_ADD(&totals->nr_kept, 1);

	XM_ADD(&totals->places, places);
	memcpy(totals->kept[nr % KEPT], t->tape, sizeof(t->tape));
}

static void *work(void *arg)
{
	struct thread *t = arg;
	unsigned int places;
	__u64 i;

	t->guided = !blind && !kcov_open(&t->kcov);
	t->taken = TAPE;
	for (i = 0; i < t->calls; i++) {
		if (!t->guided) {
			one_step(t);
			continue;
		}
		choose(t);
		kcov_begin(&t->kcov);
		one_step(t);
		places = kcov_end(&t->kcov, totals->seen);
		if (places)
			keep(t, places);
	}
	if (t->guided)
		kcov_close(&t->kcov);
	if (t->extra >= 0)
		close(t->extra);
	if (XM_LOAD(t->counter) != t->count) {
		dprintf(1, "# a counter ends at %llu instead of %llu\n",
			XM_LOAD(t->counter), t->count);
		XM_ADD(&totals->bad_count, 1);
	}
	return NULL;
}

static long verify(int fd)
{
	char text[128] = "";
	long n = xm_violations(fd, text, sizeof(text));

	if (n)
		dprintf(1, "# VERIFY: %ld: %s\n", n, text);
	return n;
}

/* A process: its exit status says whether it could do its work at all. */
static int process(struct child *c, void *arg)
{
	unsigned int i, number = *(unsigned int *)arg;
	static struct thread t[MAX_THREADS];

	(void)c;
	area = xm_anon_prot(SIZE + 2 * GUARD, PROT_NONE);
	CHILD_CHECK(area);
	area += GUARD;
	CHILD_CHECK(!mprotect(area, SIZE, PROT_READ | PROT_WRITE));
	memfd = memfd_create("fuzz", MFD_CLOEXEC);
	CHILD_CHECK(memfd >= 0 && !ftruncate(memfd, SIZE));
	event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	CHILD_CHECK(event >= 0);
	for (i = 0; i < SHARED_FDS; i++) {
		fds[i] = xm_open(i % 2);
		CHILD_CHECK(fds[i] >= 0);
	}
	if (hmm_abi) {
		hmm_fd = open("/dev/hmm_dmirror0", O_RDWR | O_CLOEXEC);
		CHILD_CHECK(hmm_fd >= 0);
	}
	for (i = 0; i < threads; i++) {
		t[i].rng = seed + ((__u64)number << 32) + ((__u64)i << 48);
		t[i].calls = calls / threads / procs +
			     (number * threads + i < calls % (threads * procs));
		t[i].own = xm_open(i % 2);
		t[i].extra = -1;
		t[i].counter = xm_anon(XM_PAGE);
		CHILD_CHECK(t[i].own >= 0 && t[i].counter);
	}
	for (i = 0; i < threads; i++)
		CHILD_CHECK(!pthread_create(&t[i].thread, NULL, work, &t[i]));
	for (i = 0; i < threads; i++)
		pthread_join(t[i].thread, NULL);
	for (i = 0; i < threads; i++)
		XM_ADD(&totals->violations, !!verify(t[i].own));
	for (i = 0; i < SHARED_FDS; i++)
		XM_ADD(&totals->violations, !!verify(fds[i]));
	return 0;
}

static __u64 parse(const char *text)
{
	char *end;
	__u64 n = strtoull(text, &end, 0);

	if (!*text || *end) {
		fprintf(stderr, "%s is not a number\n", text);
		exit(2);
	}
	return n;
}

static void options(int argc, char **argv)
{
	static const struct option all[] = {
		{ "calls", required_argument, NULL, 'c' },
		{ "seed", required_argument, NULL, 's' },
		{ "threads", required_argument, NULL, 't' },
		{ "procs", required_argument, NULL, 'p' },
		{ "blind", no_argument, NULL, 'b' },
		{}
	};
	int opt;

	getrandom(&seed, sizeof(seed), 0);
	while ((opt = getopt_long(argc, argv, "", all, NULL)) != -1) {
		switch (opt) {
		case 'c':
			calls = parse(optarg);
			break;
		case 's':
			seed = parse(optarg);
			break;
		case 't':
			threads = parse(optarg);
			break;
		case 'p':
			procs = parse(optarg);
			break;
		case 'b':
			blind = true;
			break;
		default:
			exit(2);
		}
	}
	if (!threads || threads > MAX_THREADS || !procs || procs > MAX_PROCS) {
		fprintf(stderr, "at most %d threads and %d processes\n",
			MAX_THREADS, MAX_PROCS);
		exit(2);
	}
}

static void replug(void)
{
	struct xmirror_unplug u = {
		.size = sizeof(u),
		.flags = XMIRROR_UNPLUG_REPLUG,
	};
	unsigned int i;
	int fd;

	for (i = 0; i < 2; i++) {
		fd = xm_open(i);
		if (fd >= 0) {
			ioctl(fd, XMIRROR_IOC_UNPLUG, &u);
			close(fd);
		}
	}
}

/*
 * Wait for the end of a process, and show that there is progress. No deadline
 * but the runner's: a million calls take long.
 */
static void watch(pid_t pid)
{
	struct pollfd p = {
		.fd = syscall(SYS_pidfd_open, pid, 0),
		.events = POLLIN,
	};
	unsigned int i;
	__u64 sum;

	while (p.fd >= 0 && !poll(&p, 1, 60000)) {
		for (sum = 0, i = 0; i < KINDS; i++)
			sum += XM_LOAD(&totals->calls[i]);
		ksft_print_msg("%llu calls so far\n", sum);
	}
	close(p.fd);
}

/* Whether a call that is not in the mix, or cannot do anything here, is meant. */
static bool is_spared(size_t i)
{
	__u64 need = 0;

	switch (kinds[i].nr) {
	case 0:
		return true;
	case XMIRROR_IOC_EXCLUSIVE:
		need = XMIRROR_CAP_EXCLUSIVE;
		break;
	case XMIRROR_IOC_MIGRATE:
	case XMIRROR_IOC_UNPLUG:
		need = XMIRROR_CAP_PRIVATE;
		break;
	}
	return (i == HMM && !hmm_abi) || (xm_caps() & need) != need;
}

/* In a run that is long enough, each call and each parameter is seen to work. */
static bool all_reached(void)
{
	bool ret = true;
	size_t i;

	for (i = 0; i < KINDS; i++) {
		if (totals->good[i] || is_spared(i))
			continue;
		ksft_print_msg("%s has never succeeded\n", kinds[i].name);
		ret = false;
	}
	for (i = XMIRROR_SET_TIMEOUT; i < PARAMS; i++) {
		if (totals->set[i])
			continue;
		ksft_print_msg("SET %zu has never succeeded\n", i);
		ret = false;
	}
	return ret;
}

int main(int argc, char **argv)
{
	unsigned int numbers[MAX_PROCS], i;
	struct child children[MAX_PROCS];
	__u64 sum = 0, start = xm_now_ns();
	int status;

	options(argc, argv);
	ksft_print_header();
	ksft_set_plan(6);
	totals = xm_shared(sizeof(*totals));
	foreign = xm_open(0);
	foreign_memory = xm_open(1);
	if (!totals || foreign < 0 || foreign_memory < 0)
		ksft_exit_fail_msg("/dev/xmirror0 or 1: %s\n",
				   strerror(foreign < 0 ? -foreign : ENODEV));
	hmm_abi = !access("/dev/hmm_dmirror0", R_OK | W_OK) &&
		  access("/sys/module/test_hmm", F_OK);
	xm_facts();
	ksft_print_msg("--calls %llu --seed %#llx --threads %u --procs %u%s\n",
		       calls, seed, threads, procs,
		       hmm_abi ? ", with /dev/hmm_dmirror0" : "");
	for (i = 0; i < procs; i++) {
		numbers[i] = i;
		if (child_start(&children[i], process, &numbers[i]))
			ksft_exit_fail_msg("fork: %s\n", strerror(errno));
	}
	for (i = 0; i < procs; i++) {
		watch(children[i].pid);
		if (waitpid(children[i].pid, &status, 0) != children[i].pid ||
		    status) {
			ksft_print_msg("process %u ended with status %#x\n", i,
				       status);
			totals->failed++;
		}
	}
	replug();
	for (i = 0; i < KINDS; i++) {
		sum += totals->calls[i];
		ksft_print_msg("%-13s %8llu calls, %8llu succeeded\n",
			       kinds[i].name, totals->calls[i],
			       totals->good[i]);
	}
	ksft_print_msg("%llu calls, %llu mm operations, %llu counted in %llu ms\n",
		       sum, totals->mm_ops, totals->adds,
		       (xm_now_ns() - start) / 1000000);
	ksft_print_msg("%llu places reached, in %llu steps that were kept\n",
		       totals->places, totals->nr_kept);
	ksft_test_result(!totals->failed && sum >= calls, "all calls made\n");
	ksft_test_result(!totals->bad_errno, "errors are known\n");
	ksft_test_result(!totals->bad_count, "counters are right\n");
	ksft_test_result(!totals->violations, "VERIFY is clean\n");
	if (calls < 10000)
		ksft_test_result_skip("too few calls to reach everything\n");
	else
		ksft_test_result(all_reached(), "every call has worked\n");
	if (blind || access("/sys/kernel/debug/kcov", R_OK | W_OK))
		ksft_test_result_skip("not guided: CONFIG_KCOV\n");
	else
		ksft_test_result(totals->places, "guided by what is reached\n");
	ksft_finished();
}
