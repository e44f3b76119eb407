// SPDX-License-Identifier: GPL-2.0
/*
 * One call: which, of which file, and with which arguments.
 */
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "dmirror.h"
#include "fuzz.h"

/* No wait or stop is longer, in milliseconds. */
#define SHORT		10

#define HMM_NR		10

#define HMM_IOC(nr)	_IOWR('H', (nr), struct hmm_dmirror_cmd)

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
	struct xmirror_resident resident;
	struct xmirror_prefer prefer;
	struct hmm_dmirror_cmd hmm;
	__u64 words[XM_PAGE / 8];
};

const struct kind kinds[] = {
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
	{ XMIRROR_IOC_RESIDENT, "RESIDENT", 6, sizeof(struct xmirror_resident) },
	{ XMIRROR_IOC_PREFER, "PREFER", 4, sizeof(struct xmirror_prefer) },
	{ 0, "unknown call", 1, 64 },
	{ HMM_IOC(0), "hmm_dmirror", 8, sizeof(struct hmm_dmirror_cmd) },
};

/* The errors that any call may answer with. */
static const int known[] = {
	0, EINVAL, EFAULT, EPERM, ESRCH, E2BIG, ENOTTY, EOPNOTSUPP, EBUSY,
	EINTR, ENOMEM, EAGAIN, ENOENT, ETIMEDOUT, ENOSPC, EBADF, ECANCELED,
	EEXIST,
};

/* For SYNC and INJECT: known errors, too. */
static const int injected[] = { EFAULT, ENOMEM, EBUSY, EAGAIN, EINTR, ENOENT };

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

__u64 some_word(struct thread *t)
{
	return (uintptr_t)area + below(t, SIZE / 64) * 64;
}

static __u32 some_flags(struct thread *t, __u32 valid)
{
	if (one_in(t, 50))
		return odd_value(t);
	return rnd(t) & valid;
}

static void some_cmds(struct thread *t, struct xmirror_submit *s,
		      struct xmirror_cmd *cmds)
{
	unsigned int i;

	s->nr_cmds = 1 + below(t, MAX_CMDS);
	for (i = 0; i < s->nr_cmds; i++) {
		struct xmirror_cmd *c = &cmds[i];

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
	s->cmds = one_in(t, 60) ? odd_value(t) : TOKEN_CMDS;
	if (one_in(t, 60))
		s->nr_cmds = odd_value(t);
	/* One that must be cancelled, sometimes. */
	s->repeat = one_in(t, 400) ? 1ULL << 40 : below(t, 20);
	s->engine = below(t, 5);
	if (one_in(t, 8)) {
		s->flags = XMIRROR_SUBMIT_EVENTFD;
		s->eventfd = one_in(t, 20) ? (int)odd_value(t) :
						TOKEN_EVENT;
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
		/* Only files that nobody maps have it, see run_mm_op(). */
		s->value = below(t, 4);
		break;
	case XMIRROR_SET_FORK:
		s->value = below(t, 3);
		break;
	case XMIRROR_SET_SLICE:
		/* Short, and off as often as not: everybody waits for it. */
		s->value = one_in(t, 2) ? 0 : below(t, SHORT);
		return;
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

/* Removals as often as not, so that the range of one is found. */
static void some_resident(struct thread *t, struct xmirror_resident *r)
{
	r->cmd = one_in(t, 30) ? below(t, 5) : 1 + below(t, 3);
	r->addr = some_range(t, &r->length);
	if (r->cmd == XMIRROR_RESIDENT_ADD)
		r->flags = some_flags(t, XMIRROR_RESIDENT_WRITE);
	if (r->cmd != XMIRROR_RESIDENT_STATE)
		return;
	r->timeout_ms = below(t, SHORT);
	if (!one_in(t, 10))
		r->length = 0;
}

/* Calls whose struct has a time in it, which has to stay short. */
static bool may_wait(unsigned long nr)
{
	return nr == XMIRROR_IOC_WAIT || nr == XMIRROR_IOC_SYNC ||
	       nr == XMIRROR_IOC_UNPLUG || nr == XMIRROR_IOC_SET ||
	       nr == XMIRROR_IOC_INJECT || nr == XMIRROR_IOC_RESIDENT;
}

/* The call writes as much to a buffer as its struct says, or takes very long. */
static bool writes_much(unsigned long nr)
{
	return nr == XMIRROR_IOC_RW || nr == XMIRROR_IOC_SNAPSHOT ||
	       nr == XMIRROR_IOC_SUBMIT || nr == HMM_IOC(0);
}

static void fill(struct thread *t, const struct kind *kind, union arg *a,
		 struct xmirror_cmd *cmds)
{
	__u64 len = 0, addr = some_range(t, &len);
	size_t words = kind->size / 8;

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
		a->rw.buf = TOKEN_BUF;
		a->rw.flags = some_flags(t, XMIRROR_RW_WRITE);
		if (one_in(t, 20)) /* the device's memory is the buffer */
			a->rw.buf = some_word(t);
		if (one_in(t, 60))
			a->rw.buf = odd_value(t);
		break;
	case XMIRROR_IOC_SUBMIT:
		some_cmds(t, &a->submit, cmds);
		break;
	case XMIRROR_IOC_WAIT:
		a->wait.fence = one_in(t, 3) ? below(t, 1000) : 0;
		a->wait.flags = some_flags(t, one_in(t, 2));
		a->wait.timeout_ms = below(t, SHORT);
		a->wait.nr_results = below(t, 8);
		a->wait.results = TOKEN_BUF;
		break;
	case XMIRROR_IOC_SNAPSHOT:
		a->snapshot.addr = addr;
		a->snapshot.length = len <= SIZE ? len : XM_PAGE;
		a->snapshot.pages = TOKEN_PAGES;
		break;
	case XMIRROR_IOC_SYNC:
		some_sync(t, &a->sync);
		break;
	case XMIRROR_IOC_MIGRATE:
		a->migrate.addr = addr;
		a->migrate.length = len;
		a->migrate.flags = one_in(t, 4) ? XMIRROR_MIGRATE_GATHER :
						  below(t, 3);
		a->migrate.peer = a->migrate.flags == 2 ? below(t, 3) : 0;
		break;
	case XMIRROR_IOC_UNPLUG:
		a->unplug.timeout_ms = below(t, SHORT);
		a->unplug.flags = one_in(t, 3) ? 0 : XMIRROR_UNPLUG_REPLUG;
		break;
	case XMIRROR_IOC_RESIDENT:
		some_resident(t, &a->resident);
		break;
	case XMIRROR_IOC_PREFER:
		a->prefer.addr = addr;
		a->prefer.length = len;
		a->prefer.where = below(t, 3 + one_in(t, 30));
		if (a->prefer.where == XMIRROR_PREFER_SYSTEM)
			a->prefer.node = (int)below(t, 3) - 1;
		break;
	case HMM_IOC(0):
		a->hmm.addr = addr;
		a->hmm.npages = 1 + below(t, 3);
		a->hmm.ptr = TOKEN_BUF;
		if (one_in(t, 40)) {
			a->hmm.npages = odd_value(t) & 0xffff;
			a->hmm.ptr = 0;
		}
		break;
	}
	/* Any field may be odd, but for the address and what the functions above tell. */
	if (!may_wait(kind->nr) && !writes_much(kind->nr) && one_in(t, 25))
		a->words[2 + below(t, (words < WORDS_OF_CALL ? words :
				       WORDS_OF_CALL - 1) - 1)] =
			odd_value(t) & 0xfffffff;
	if (one_in(t, 50) && kind->nr != HMM_IOC(0))
		a->head.size = one_in(t, 2) ? odd_value(t) :
					      kind->size + below(t, 64);
}

bool is_known(int err)
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
		return FD_FOREIGN;
	case 1:
		return FD_FOREIGN_MEMORY;
	case 2:
	case 3:
		return FD_EXTRA;
	}
	return below(t, SHARED_FDS);
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

void make_call(struct thread *t, __u64 *step)
{
	const struct kind *kind = some_kind(t);
	union arg a;

	step[WHAT] = kind - kinds;
	step[FD] = some_fd(t);
	fill(t, kind, &a, (struct xmirror_cmd *)&step[CMDS]);
	memcpy(step + WORDS, &a, WORDS_OF_CALL * 8);
	if (!kind->nr)
		step[NR] = _IO(XMIRROR_IOC_TYPE, below(t, 256)) |
			   (rnd(t) << 16 & 0xffff0000);
	if (step[WHAT] == HMM) {
		step[NR] = HMM_IOC(below(t, HMM_NR));
		step[FD] = FD_HMM;
	}
	if (one_in(t, 100))
		step[ARGP] = odd_value(t) ?: 1;
	/* The memory that the engines work on: others change it during the call. */
	if (one_in(t, 100) && !may_wait(kind->nr))
		step[ARGP] = some_word(t);
	/* Nobody else would plug it in again. */
	step[REPLUG] = kind->nr == XMIRROR_IOC_UNPLUG && !one_in(t, 4);
}

static int call(struct thread *t, const __u64 *step)
{
	unsigned long nr = step[NR] ?: kinds[step[WHAT]].nr;
	union arg a = {};
	void *argp = step[ARGP] == 1 ? NULL : (void *)step[ARGP];
	__u32 param;
	size_t i;
	int err;

	memcpy(&a, step + WORDS, WORDS_OF_CALL * 8);
	param = a.set.param;
	if (nr == XMIRROR_IOC_SUBMIT) {
		memcpy(t->cmds, step + CMDS,
		       MAX_CMDS * sizeof(struct xmirror_cmd));
		if (a.submit.eventfd == TOKEN_EVENT)
			a.submit.eventfd = event;
	}
	for (i = 0; i < WORDS_OF_CALL; i++) {
		switch (a.words[i]) {
		case TOKEN_BUF:
			a.words[i] = (uintptr_t)t->buf;
			break;
		case TOKEN_PAGES:
			a.words[i] = (uintptr_t)t->pages;
			break;
		case TOKEN_CMDS:
			a.words[i] = (uintptr_t)t->cmds;
			break;
		}
	}
	err = ioctl(t->fd[step[FD]], nr, step[ARGP] ? argp : &a) < 0 ?
	      errno : 0;
	XM_ADD(&totals->calls[step[WHAT]], 1);
	if (!err)
		XM_ADD(&totals->good[step[WHAT]], 1);
	if (!err && nr == XMIRROR_IOC_SET && param < PARAMS)
		XM_ADD(&totals->set[param], 1);
	return err;
}

/* Only what is safe in the child of a threaded process. */
static int call_in_child(struct thread *t, const __u64 *step)
{
	int status = 0, err;
	pid_t pid = fork();

	if (pid < 0)
		return 0;
	if (!pid) {
		err = call(t, step);
		if (step[TOUCH])
			getrandom((void *)step[TOUCH], 64, 0);
		syscall(SYS_exit_group, err < 255 ? err : 255);
	}
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 0;
}

int run_call(struct thread *t, const __u64 *step)
{
	struct xmirror_unplug u = {
		.size = sizeof(u),
		.flags = XMIRROR_UNPLUG_REPLUG,
	};
	int err = step[IN_CHILD] ? call_in_child(t, step) : call(t, step);

	if (step[REPLUG])
		ioctl(t->fd[FD_OWN], XMIRROR_IOC_UNPLUG, &u);
	return err;
}
