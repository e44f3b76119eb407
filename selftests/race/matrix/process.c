// SPDX-License-Identifier: GPL-2.0
/*
 * The process of a cell: its memory, its two threads, and the race at a sync point. That
 * in a window of the kernel is in held.c. See matrix.h.
 */
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>

#include "group.h"
#include "hold.h"
#include "private.h"

/* How often a thread has to be seen asleep in the same place. */
#define ASLEEP		25
/*
 * How long the other side may take before the first goes on anyway, and how much of a CPU if
 * that is held in the kernel: by a fault that is tried again and again, for example.
 */
#define PATIENCE_MS	2500
#define BUSY_MS		250

int race_unreachable(const char *why)
{
	race_cell->result.verdict = RACE_UNREACHABLE;
	snprintf(race_cell->result.why, sizeof(race_cell->result.why), "%s", why);
	return -1;
}

/* --- threads -------------------------------------------------------------- */

static __thread sigjmp_buf on_fault;
static __thread volatile sig_atomic_t may_fault;
static volatile sig_atomic_t failures;

static void bad_access(int sig, siginfo_t *info, void *context)
{
	(void)context;
	if (may_fault)
		siglongjmp(on_fault, 1);
	/* A thread that has memory fail is told so; one that looks there, again and again. */
	if (sig == SIGBUS && (info->si_code == BUS_MCEERR_AO ||
			      info->si_code == BUS_MCEERR_AR) &&
	    ++failures < 4)
		return;
	_exit(sig == SIGBUS ? 97 : 98);
}

/* A side's slot: 0 for the one that is held first */
static unsigned int slot_of(const struct race_hold *h, bool mm)
{
	return mm != h->mm;
}

bool race_is_recorded(const struct race_hold *h, unsigned int slot)
{
	return h->calls && slot == (h->stops[0].function ? 1 : 0);
}

/* A side arms for itself, so that there are no calls but those of the op. */
static int begin_side(struct race_env *e, bool mm)
{
	const struct race_hold *h = e->hold;
	const struct race_stop *stop;
	unsigned int slot;

	if (!h)
		return 0;
	slot = slot_of(h, mm);
	stop = &h->stops[slot];
	if (!slot)
		xm_pin_from(CPU_HELD);
	if (stop->function)
		return hold_arm(h->fd, slot, 0, stop->function, stop->hit,
				stop->flags);
	return race_is_recorded(h, slot) ? hold_record(h->fd, slot, 0, h->room) : 0;
}

/* That a thread stops being recorded is not to take a lock of the one that is held. */
static void end_side(struct race_env *e, bool mm)
{
	const struct race_hold *h = e->hold;
	unsigned int slot = h ? slot_of(h, mm) : 0;

	if (h && (h->stops[slot].function || race_is_recorded(h, slot)))
		hold_release(h->fd, slot, NULL);
}

static int run_device(struct worker *w)
{
	struct race_env *e = w->to;
	int err = begin_side(e, false);

	if (err)
		return err;
	err = -EFAULT;
	/* If it is the CPU that acts, its failure is a signal. */
	if (!sigsetjmp(on_fault, 1)) {
		may_fault = e->devop->cpu;
		err = e->mmop->device ? e->mmop->device(e) : e->devop->act(e);
	}
	may_fault = 0;
	end_side(e, false);
	return err;
}

static int run_mm(struct worker *w)
{
	struct race_env *e = w->to;
	int err = begin_side(e, true);

	if (!err) {
		err = e->mmop->act(e);
		end_side(e, true);
	}
	return err;
}

static ssize_t place(int *fd, struct worker *w, char *text, size_t room)
{
	pid_t tid = XM_LOAD(&w->tid);
	char path[64];
	ssize_t n;

	if (tid <= 0)
		return 0;
	if (*fd < 0) {
		snprintf(path, sizeof(path), "/proc/self/task/%d/syscall", tid);
		*fd = open(path, O_RDONLY | O_CLOEXEC);
	}
	n = pread(*fd, text, room - 1, 0);
	text[n > 0 ? n : 0] = 0;
	return n;
}

bool race_is_held(const struct race_hold *h, unsigned int slot)
{
	__u32 state = hold_state(h->fd, slot);

	return state & XMIRROR_HELD_HERE && !(state & XMIRROR_HELD_LEFT);
}

/* By its deadline; a side that comes to its end forgets that it was held. */
static bool has_left(const struct race_hold *h, unsigned int slot)
{
	return h && !race_is_held(h, slot);
}

/* The other one has come to its stop. */
static bool is_stopped(const struct race_hold *h, unsigned int slot)
{
	return h && h->stops[!slot].function && race_is_held(h, !slot);
}

/*
 * Wait until a thread has ended or waits for something: it was seen asleep in the
 * same place a number of times. Nothing goes wrong if it is not for the other
 * side that it waits; the window is left a bit early then. If that is in the
 * kernel, @hold is not NULL: it may be left by its deadline, and the thread may be
 * held itself, which is waiting, too. @slot is that of the one that is held.
 */
enum race_other race_watch(struct worker *w, const struct race_hold *hold,
			   unsigned int slot)
{
	int fd = -1, same = 0, asleep = hold ? ASLEEP_HELD : ASLEEP;
	char text[256], last[256] = "";
	__u64 start = xm_now_ns(), used = worker_cpu_ns(w);
	bool left = false;

	while (!worker_ended(w) && same < asleep && !left &&
	       !xm_expired(start, PATIENCE_MS) &&
	       (!hold || worker_cpu_ns(w) - used < BUSY_MS * 1000000ULL)) {
		sched_yield();
		left = has_left(hold, slot);
		if (!left && is_stopped(hold, slot))
			same = asleep;
		if (same >= asleep)
			break;
		if (place(&fd, w, text, sizeof(text)) <= 0)
			continue;
		/* "running" if it is not asleep */
		same = text[0] != 'r' && !strcmp(text, last) &&
		       !worker_awaits_start(w, text) ? same + 1 : 0;
		memcpy(last, text, sizeof(last));
	}
	if (fd >= 0)
		close(fd);
	/* It may have been left before the thread had ended. */
	if (has_left(hold, slot))
		return RACE_LATE;
	return worker_ended(w) ? RACE_RAN :
	       same >= asleep ? RACE_WAITED : RACE_LATE;
}

/* 0: reached; -ENOENT: the thread ended without; -ETIMEDOUT */
static int wait_for_window(struct race_env *e, __u32 id, struct worker *w)
{
	__u64 start = xm_now_ns();
	bool ended;
	int err;

	do {
		ended = worker_ended(w);
		err = xm_sync_reached(e->fd, id, ended ? 0 : 4);
		if (err != -ETIMEDOUT)
			return err;
	} while (!ended && !xm_expired(start, DEADLINE));
	return ended ? -ENOENT : -ETIMEDOUT;
}

/* --- before --------------------------------------------------------------- */

static int make_memory(struct race_env *e)
{
	bool huge = e->huge || e->mmop->flags & RACE_THP;
	unsigned long i, page = 1;
	int n;

	e->len = 3 * XM_PAGE;
	if (huge || e->mmop->flags & RACE_SMALL) {
		e->len = XM_PMD;
		page = 5;
	}
	/*
	 * fork() write-protects mapping after mapping. Stopped at the lowest one,
	 * it has not yet come to anything that this program writes to: the
	 * Makefile puts the program behind it.
	 */
	e->area = mmap((void *)XM_PMD, e->len, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1,
		       0);
	CHECK(e->area == (void *)XM_PMD, "no memory at %#lx", XM_PMD);
	xm_no_thp(e->area, e->len);
	if (huge && madvise(e->area, e->len, MADV_HUGEPAGE))
		return race_unreachable(xm_why_no_thp());
	for (i = 0; i < e->len; i += XM_PAGE)
		*(__u64 *)(e->area + i) = i;
	*(__u64 *)e->area = 3;
	e->p = (__u64 *)(e->area + page * XM_PAGE);
	for (n = 0; n < (int)RACE_WORDS; n++)
		e->p[n] = RACE_FILL(n);
	e->p[0] = RACE_START;
	if (huge && !(xm_page(e->fd, e->p).cpu & XMIRROR_CPU_HUGE))
		return race_unreachable(xm_why_no_thp());
	return 0;
}

/*
 * Empty this CPU's batches of pages that are on their way to an LRU list: each page in
 * them has a reference, and would not be freed when the race drops the last other one.
 * MADV_FREE does so first (madvise_free_single_vma() in mm/madvise.c of v7.3).
 */
static void drain_batches(void)
{
	char *p = xm_anon(XM_PAGE);

	munlock(p, XM_PAGE);
	madvise(p, XM_PAGE, MADV_FREE);
	munmap(p, XM_PAGE);
}

int race_prepare(struct race_env *e, struct worker *dev, struct worker *mm)
{
	struct sigaction sa = {
		.sa_sigaction = bad_access, .sa_flags = SA_SIGINFO,
	};
	struct xmirror_stats s = {};
	pthread_attr_t attr;
	int err;

	sigaction(SIGSEGV, &sa, NULL);
	sigaction(SIGBUS, &sa, NULL);
	e->fd = xm_open(0);
	e->fd1 = xm_open(1);
	CHECK(e->fd >= 0 && e->fd1 >= 0, "open: %d, %d", e->fd, e->fd1);
	dev->fn = run_device;
	dev->to = e;
	mm->fn = run_mm;
	mm->to = e;
	/* All of the stacks is going to be locked. */
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 64 << 10);
	pthread_setattr_default_np(&attr);
	CHECK(!worker_prepare(dev) && !worker_prepare(mm), "no threads");
	err = xm_no_faults();
	CHECK(!err, "mlockall: %d", err);
	if (make_memory(e))
		return -1;
	if (e->mmop->prepare) {
		err = e->mmop->prepare(e);
		if (err == RACE_NOT_HERE)
			return race_unreachable(e->why);
		CHECK(!err, "preparing the mm op: %d", err);
	}
	if (race_keep_page(e))
		return -1;
	err = e->devop->setup(e);
	if (err == RACE_NOT_HERE)
		return race_unreachable(e->why);
	CHECK(!err, "setting up the device op: %d", err);
	drain_batches();
	if (e->fd >= 0)
		CHECK(!xm_stats(e->fd, &s), "no counters");
	e->migrations = s.inv[XM_EV_MIGRATE];
	return 0;
}

/* --- the race ------------------------------------------------------------- */

static void where(struct worker *w, char *text, size_t room)
{
	pid_t tid = XM_LOAD(&w->tid);
	char path[64];
	ssize_t n;
	int fd;

	snprintf(text, room, "ended");
	if (tid <= 0)
		return;
	snprintf(path, sizeof(path), "/proc/self/task/%d/wchan", tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? 0 : read(fd, text, room - 1);
	text[n > 0 ? n : 0] = 0;
}

int race_stuck(struct worker *w, struct worker *other)
{
	char here[64], there[64];

	where(w, here, sizeof(here));
	where(other, there, sizeof(there));
	FAIL("deadlock: %s side is in %s, the other's in %s",
	     w->fn == run_mm ? "the mm's" : "the device's", here, there);
}

static int race_in_window(struct race_env *e, const struct race_window *w,
			  struct worker *first, struct worker *second,
			  __u32 id)
{
	__u32 timed_out = 0;
	int err;

	CHECK(!worker_start(first), "no thread");
	err = wait_for_window(e, id, first);
	/* It may have ended without, but not failed. */
	if (err == -ENOENT && race_check_errors(e, w->mm ? 0 : first->err,
						w->mm ? first->err : 0))
		return -1;
	if (err == -ENOENT && w->mm && !(e->mmop->flags & RACE_EVENT))
		return race_unreachable("the mm op notifies of nothing here");
	if (err == -ENOENT && !w->mm && (w->point == XMIRROR_PT_INV_ENTER ||
					 w->point == XMIRROR_PT_INV_EXIT))
		return race_unreachable("the device op invalidates nothing here");
	if (err == -ENOENT && first->err == -EOPNOTSUPP && race_is_too_large(e))
		return race_unreachable("exclusive pages of large folios: Linux 6.15");
	CHECK(!err, "%s side, which ended with %d, was not seen in the window: %d",
	      w->mm ? "the mm's" : "the device's", first->err, err);
	race_cell->reached = true;

	race_cell->ending = e->mmop->flags & RACE_ENDS;
	CHECK(!worker_start(second), "no thread");
	race_cell->result.waited = race_watch(second, NULL, 0) != RACE_RAN;
	err = xm_sync_resume(e->fd, id, &timed_out);
	CHECK(!err, "resume: %d", err);
	CHECK(!timed_out, "the stop was not resumed but timed out");
	if (worker_join(first) == -ETIMEDOUT)
		return race_stuck(first, second);
	if (worker_join(second) == -ETIMEDOUT)
		return race_stuck(second, first);
	return 0;
}

static void run_cell(struct race_env *e, const struct race_window *w)
{
	struct xmirror_sync s = {
		.action = XMIRROR_SYNC_PAUSE,
		.point = w->point,
		.timeout_ms = e->mmop->stop_ms ?: 2 * XM_LONG,
	};
	struct worker dev = {}, mm = {};
	int err;

	if (race_prepare(e, &dev, &mm))
		return;
	s.addr = (uintptr_t)e->p;
	s.length = XM_PAGE;
	err = xm_sync_arm_full(e->fd, &s);
	if (err) {
		snprintf(race_cell->result.why, sizeof(race_cell->result.why),
			 "arming: %d", err);
		return;
	}
	err = w->mm ? race_in_window(e, w, &mm, &dev, s.id) :
		      race_in_window(e, w, &dev, &mm, s.id);
	if (!err && !race_check(e, dev.err, mm.err))
		race_cell->result.verdict = RACE_PASS;
	/* If it was not reached, the end of this process must not be stopped. */
	if (!race_cell->reached)
		xm_sync_resume(e->fd, s.id, NULL);
}

int race_process(struct child *c, void *arg)
{
	const struct which *which = arg;
	struct race_env e = {
		.fd2 = -1, .uffd = -1, .file = -1,
		.devop = which->d, .mmop = which->m, .hold = which->hold,
		.huge = which->hold && which->hold->huge,
	};

	(void)c;
	if (which->group && group_enter(which->group)) {
		snprintf(race_cell->result.why, sizeof(race_cell->result.why),
			 "its control group cannot be entered");
		race_cell->done = true;
		return 0;
	}
	if (which->hold)
		race_run_held(&e);
	else
		run_cell(&e, which->w);
	race_cell->done = true;
	return 0;
}
