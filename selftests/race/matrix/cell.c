// SPDX-License-Identifier: GPL-2.0
/*
 * The race matrix: runs one cell and says how it ended, see matrix.h.
 */
#include <fcntl.h>
#include <linux/membarrier.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "group.h"
#include "hold.h"
#include "klog.h"
#include "private.h"
#include "settings.h"

/* How long a side may take to get to its window, or to its end. */
#define DEADLINE	XM_LONG
/* How often a thread has to be seen asleep in the same place. */
#define ASLEEP		25
#define ASLEEP_HELD	60
/* How long the other side may run before the first goes on anyway. */
#define PATIENCE_MS	2500

struct cell *race_cell;
static int devices[2];
static __u64 free_at_start[2];
static int kernel_log;

static int unreachable(const char *why)
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

/* The one that is held may spin; all others have another CPU, if there is one. */
#define CPU_HELD	0
#define CPU_OTHERS	1

/* A side's slot: 0 for the one that is held first */
static unsigned int slot_of(const struct race_hold *h, bool mm)
{
	return mm != h->mm;
}

static bool is_recorded(const struct race_hold *h, unsigned int slot)
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
	return is_recorded(h, slot) ? hold_record(h->fd, slot, 0, h->room) : 0;
}

/* That a thread stops being recorded is not to take a lock of the one that is held. */
static void end_side(struct race_env *e, bool mm)
{
	const struct race_hold *h = e->hold;
	unsigned int slot = h ? slot_of(h, mm) : 0;

	if (h && (h->stops[slot].function || is_recorded(h, slot)))
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
static enum race_other watch(struct worker *w, const struct race_hold *hold,
			     unsigned int slot)
{
	int fd = -1, same = 0, asleep = hold ? ASLEEP_HELD : ASLEEP;
	char text[256], last[256] = "";
	__u64 start = xm_now_ns();
	bool left = false;

	while (!worker_ended(w) && same < asleep && !left &&
	       !xm_expired(start, PATIENCE_MS)) {
		sched_yield();
		left = has_left(hold, slot);
		if (!left && is_stopped(hold, slot))
			same = asleep;
		if (same >= asleep)
			break;
		if (place(&fd, w, text, sizeof(text)) <= 0)
			continue;
		/* "running" if it is not asleep */
		same = text[0] != 'r' && !strcmp(text, last) ? same + 1 : 0;
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
		return unreachable(xm_why_no_thp());
	for (i = 0; i < e->len; i += XM_PAGE)
		*(__u64 *)(e->area + i) = i;
	*(__u64 *)e->area = 3;
	e->p = (__u64 *)(e->area + page * XM_PAGE);
	for (n = 0; n < (int)RACE_WORDS; n++)
		e->p[n] = RACE_FILL(n);
	e->p[0] = RACE_START;
	if (huge && !(xm_page(e->fd, e->p).cpu & XMIRROR_CPU_HUGE))
		return unreachable(xm_why_no_thp());
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

static int prepare(struct race_env *e, struct worker *dev, struct worker *mm)
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
			return unreachable(e->why);
		CHECK(!err, "preparing the mm op: %d", err);
	}
	if (race_keep_page(e))
		return -1;
	err = e->devop->setup(e);
	if (err == RACE_NOT_HERE)
		return unreachable(e->why);
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

static int stuck(struct worker *w, struct worker *other)
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
		return unreachable("the mm op notifies of nothing here");
	if (err == -ENOENT && !w->mm && (w->point == XMIRROR_PT_INV_ENTER ||
					 w->point == XMIRROR_PT_INV_EXIT))
		return unreachable("the device op invalidates nothing here");
	if (err == -ENOENT && first->err == -EOPNOTSUPP && race_is_too_large(e))
		return unreachable("exclusive pages of large folios: Linux 6.15");
	CHECK(!err, "%s side, which ended with %d, was not seen in the window: %d",
	      w->mm ? "the mm's" : "the device's", first->err, err);
	race_cell->reached = true;

	race_cell->ending = e->mmop->flags & RACE_ENDS;
	CHECK(!worker_start(second), "no thread");
	race_cell->result.waited = watch(second, NULL, 0) != RACE_RAN;
	err = xm_sync_resume(e->fd, id, &timed_out);
	CHECK(!err, "resume: %d", err);
	CHECK(!timed_out, "the stop was not resumed but timed out");
	if (worker_join(first) == -ETIMEDOUT)
		return stuck(first, second);
	if (worker_join(second) == -ETIMEDOUT)
		return stuck(second, first);
	return 0;
}

/* --- the same in a window of the kernel ----------------------------------- */

/* 0: reached; -ENOENT: the thread ended without; -ETIMEDOUT */
static int wait_for_hold(const struct race_hold *h, unsigned int slot,
			 struct worker *w)
{
	__u64 start = xm_now_ns();
	bool ended;
	int err;

	do {
		ended = worker_ended(w);
		err = hold_reached(h->fd, slot, ended ? 0 : 1, NULL);
		if (err != -ETIMEDOUT)
			return err;
	} while (!ended && !xm_expired(start, DEADLINE));
	return ended ? -ENOENT : -ETIMEDOUT;
}

/*
 * Look at what has to be true in the window, in a thread, since it may have to wait for
 * who is held. One that spins is not there for long enough.
 */
static int look(struct race_env *e, struct worker *looker, unsigned int slot)
{
	const struct race_hold *h = e->hold;

	if (!(hold_state(h->fd, slot) & XMIRROR_HELD_ASLEEP) || looker->arg)
		return 0;
	CHECK(!worker_start(looker), "no thread");
	looker->arg = true;
	if (watch(looker, h, slot) == RACE_RAN)
		race_cell->result.looked = true;
	else
		XM_STORE(&looker->stop, true);
	return 0;
}

/**
 * struct looks - who looks, at the beginning of the window and at its end
 * @begin: with @arg set if it was started
 * @end: the same
 */
struct looks {
	struct worker begin;
	struct worker end;
};

/*
 * Not while the mm op may have mmap_lock for writing: who waits for that would be in
 * line before the other side.
 */
static int look_first(struct race_env *e, struct looks *l)
{
	if (e->hold->mm && e->mmop->flags & RACE_WRITER)
		return 0;
	return look(e, &l->begin, 0);
}

static int in_hold(struct race_env *e, struct worker *second, struct looks *l)
{
	struct race_result *r = &race_cell->result;
	const struct race_hold *h = e->hold;

	if (look_first(e, l))
		return -1;
	CHECK(!worker_start(second), "no thread");
	r->other = watch(second, h, 0);
	r->waited = r->other != RACE_RAN;
	if (is_recorded(h, 1))
		r->before = hold_recorded(h->fd, 1);
	return r->other == RACE_RAN ? look(e, &l->end, 0) : 0;
}

/*
 * The first side is in its window: the other runs to its own, which it may only reach
 * when the first has let it, and is held while the first runs to its end.
 */
static int in_second(struct race_env *e, struct worker *first,
		     struct worker *second, struct looks *l)
{
	struct race_result *r = &race_cell->result;
	const struct race_hold *h = e->hold;
	int err;

	if (look_first(e, l))
		return -1;
	/* The other is going to have the other CPU, perhaps all of it. */
	if (hold_state(h->fd, 0) & XMIRROR_HELD_ASLEEP)
		xm_pin_from(CPU_HELD);
	CHECK(!worker_start(second), "no thread");
	watch(second, h, 0);
	err = hold_release(h->fd, 0, NULL);
	CHECK(!err, "release: %d", err);
	err = wait_for_hold(h, 1, second);
	if (err == -ETIMEDOUT)
		return stuck(second, first);
	if (!err) {
		r->other = watch(first, h, 1);
		if (r->other == RACE_RAN && look(e, &l->end, 1))
			return -1;
	}
	err = hold_release(h->fd, 1, NULL);
	CHECK(!err, "release: %d", err);
	return 0;
}

static int joined(struct worker *looker)
{
	/* Which has said why. */
	return looker->arg && worker_join(looker) ? -1 : 0;
}

static int held_race(struct race_env *e, struct worker *first,
		     struct worker *second, struct looks *l)
{
	const struct race_hold *h = e->hold;
	int err;

	CHECK(!worker_start(first), "no thread");
	err = wait_for_hold(h, 0, first);
	CHECK(!err || err == -ENOENT, "%s side was not seen in the window: %d",
	      h->mm ? "the mm's" : "the device's", err);
	race_cell->reached = !err;
	race_cell->ending = e->mmop->flags & RACE_ENDS;
	if (err)
		CHECK(!worker_start(second), "no thread");
	else if (h->stops[1].function ? in_second(e, first, second, l) :
					in_hold(e, second, l))
		return -1;
	err = hold_release(h->fd, 0, NULL);
	CHECK(!err, "release: %d", err);
	if (worker_join(first) == -ETIMEDOUT)
		return stuck(first, second);
	if (worker_join(second) == -ETIMEDOUT)
		return stuck(second, first);
	return joined(&l->begin) || joined(&l->end) ? -1 : 0;
}

/* All threads that are held, and all that was recorded */
static void end_holds(const struct race_hold *h)
{
	unsigned int slot;

	for (slot = 0; slot < XMIRROR_HOLDS; slot++) {
		hold_release(h->fd, slot, NULL);
		if (is_recorded(h, slot))
			race_cell->result.calls = hold_calls(h->fd, slot,
							     h->calls, h->room);
	}
}

static void run_held_cell(struct race_env *e)
{
	struct looks looks = {
		.begin = { .fn = race_look, .to = e },
		.end = { .fn = race_look, .to = e },
	};
	struct worker dev = {}, mm = {};
	int err;

	/* All threads begin there. */
	xm_pin_from(CPU_OTHERS);
	if (prepare(e, &dev, &mm))
		return;
	if (worker_prepare(&looks.begin) || worker_prepare(&looks.end)) {
		unreachable("no thread");
		return;
	}
	err = e->hold->mm ? held_race(e, &mm, &dev, &looks) :
			    held_race(e, &dev, &mm, &looks);
	end_holds(e->hold);
	if (!err && !race_check(e, dev.err, mm.err) && !race_check_taken(e))
		race_cell->result.verdict = RACE_PASS;
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

	if (prepare(e, &dev, &mm))
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

struct which {
	const struct race_devop *d;
	const struct race_mmop *m;
	const struct race_window *w;
	const struct race_hold *hold;
	const struct group *group;
};

static int cell_process(struct child *c, void *arg)
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
		run_held_cell(&e);
	else
		run_cell(&e, which->w);
	race_cell->done = true;
	return 0;
}

/* --- what the process left behind ----------------------------------------- */

/* The first report since the last call, as one line */
static bool kernel_complains(char *why, size_t room)
{
	bool found = false;
	char record[1024];
	char *text;
	ssize_t n;

	while ((n = read(kernel_log, record, sizeof(record) - 1)) > 0 ||
	       (n < 0 && errno == EPIPE)) {
		if (n < 0 || found)
			continue;
		record[n] = 0;
		text = strchr(record, ';');
		text = text ? text + 1 : record;
		text[strcspn(text, "\n")] = 0;
		if (!klog_is_report(text))
			continue;
		found = true;
		snprintf(why, room, "kernel log: %.180s", text);
	}
	return found;
}

/* Pages come back a moment later if somebody holds them. */
static bool memory_is_back(void)
{
	__u64 start = xm_now_ns();
	struct xmirror_stats s;
	int i = 0;

	while (i < 2 && !xm_expired(start, DEADLINE / 3)) {
		if (!xm_stats(devices[i], &s) &&
		    s.devmem_free == free_at_start[i])
			i++;
		else
			sched_yield();
	}
	return i == 2;
}

static void replug(void)
{
	struct xmirror_unplug u = {
		.size = sizeof(u), .flags = XMIRROR_UNPLUG_REPLUG,
	};

	xm_ioctl(devices[0], XMIRROR_IOC_UNPLUG, &u);
}

int race_init(void)
{
	struct xmirror_stats s;
	int i, err;

	race_cell = mmap(NULL, sizeof(*race_cell), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (race_cell == MAP_FAILED)
		return -ENOMEM;
	kernel_log = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (kernel_log >= 0)
		lseek(kernel_log, 0, SEEK_END);
	/* khugepaged would have its hands in cells of its kind. */
	xm_setting("/sys/kernel/mm/transparent_hugepage/khugepaged/max_ptes_swap",
		   "0");
	race_numa_at_once();
	for (i = 0; i < 2; i++) {
		devices[i] = xm_open(i);
		if (devices[i] < 0)
			return devices[i];
		err = xm_stats(devices[i], &s);
		if (err)
			return err;
		free_at_start[i] = s.devmem_free;
	}
	return 0;
}

/*
 * fork() in the window may have write-protected all of the process, its main thread's
 * stack included, which then waits for who it has to let go. That is seen from here.
 */
static void let_go(struct child *c, const struct race_hold *h)
{
	struct pollfd p = {
		.fd = syscall(SYS_pidfd_open, c->pid, 0), .events = POLLIN,
	};
	char path[64], text[256], last[256] = "";
	__u64 start = xm_now_ns();
	int fd, n, same = 0;

	snprintf(path, sizeof(path), "/proc/%d/syscall", c->pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	while (fd >= 0 && !poll(&p, 1, 4) && !xm_expired(start, 4 * DEADLINE)) {
		n = race_is_held(h, 0) || race_is_held(h, 1) ?
		    pread(fd, text, sizeof(text) - 1, 0) : 0;
		text[n > 0 ? n : 0] = 0;
		/* "running" if it is not asleep */
		same = n > 0 && *text != 'r' && !strcmp(text, last) ?
		       same + 1 : 0;
		memcpy(last, text, sizeof(last));
		if (same < ASLEEP_HELD)
			continue;
		same = 0;
		hold_release(h->fd, 0, NULL);
		hold_release(h->fd, 1, NULL);
	}
	close(fd);
	close(p.fd);
}

/* child_end() for one that has deadlines of its own, and reports them */
static int end_of(struct child *c, const struct race_hold *h)
{
	__u64 start = xm_now_ns();

	if (h)
		let_go(c, h);
	while (kill(c->pid, 0) == 0 && !xm_expired(start, 4 * DEADLINE)) {
		struct pollfd p = {
			.fd = syscall(SYS_pidfd_open, c->pid, 0),
			.events = POLLIN,
		};
		int n = poll(&p, 1, DEADLINE);

		close(p.fd);
		if (n)
			break;
	}
	return child_end(c);
}

static void run_child(struct which *which)
{
	struct race_result *r = &race_cell->result;
	struct child c;
	int end;

	memset(race_cell, 0, sizeof(*race_cell));
	r->verdict = RACE_FAIL;
	end = child_start(&c, cell_process, which);
	if (end) {
		snprintf(r->why, sizeof(r->why), "fork: %d", end);
		return;
	}
	end = end_of(&c, which->hold);
	if (race_cell->ending && race_cell->done) {
		if (r->verdict != RACE_FAIL)
			snprintf(r->why, sizeof(r->why), "the process goes on");
		r->verdict = RACE_FAIL;
	} else if (race_cell->ending) {
		bool as_wished = end == 0 || end == 128 + SIGKILL;

		r->verdict = as_wished ? RACE_PASS : RACE_FAIL;
		r->waited = false;
		if (!as_wished)
			snprintf(r->why, sizeof(r->why),
				 "the end was status %d", end);
		else if (which->m->flags & RACE_HELPER && !race_cell->told)
			r->verdict = race_cell->left ? RACE_UNREACHABLE :
							RACE_FAIL;
	} else if (!race_cell->done) {
		r->verdict = RACE_FAIL;
		snprintf(r->why, sizeof(r->why), "the process ended: %d%s", end,
			 end == -ETIMEDOUT ? ", deadlock" : "");
	}
}

static const struct race_devop *find_devop(const char *name)
{
	const struct race_devop *d = race_devops;

	while (d->name && strcmp(d->name, name))
		d++;
	return d;
}

static const struct race_mmop *find_mmop(const char *name)
{
	const struct race_mmop *m = race_mmops;

	while (m->name && strcmp(m->name, name))
		m++;
	return m;
}

static const struct race_window *find_window(const struct race_devop *d,
					     const char *name)
{
	const struct race_window *w = d->windows;

	while (w->name && strcmp(w->name, name))
		w++;
	return w;
}

/* Can it be run at all? */
static bool has_both(const struct which *which, bool mm, struct race_result *r)
{
	const struct race_devop *d = which->d;
	const struct race_mmop *m = which->m;

	if (!d->name || !m->name || (!which->hold && !which->w->name)) {
		r->verdict = RACE_FAIL;
		snprintf(r->why, sizeof(r->why), "there is no such cell");
	} else if ((xm_caps() & d->cap) != d->cap) {
		snprintf(r->why, sizeof(r->why), "%s", xm_why_not(d->cap));
	} else if (mm && (m->flags & RACE_ENDS)) {
		snprintf(r->why, sizeof(r->why),
			 "nobody is left to run the device");
	} else if (which->hold && (m->flags & RACE_HELPER)) {
		snprintf(r->why, sizeof(r->why), "it is another thread's");
	} else {
		return true;
	}
	return false;
}

/*
 * So many changes in the control group that the kernel sums up its counters when it is
 * next asked: by pages of a file, which need no page table.
 */
static int stir(struct child *c, void *arg)
{
	long i, nr = 64 * (sysconf(_SC_NPROCESSORS_ONLN) + 1);
	int fd = memfd_create("stir", MFD_CLOEXEC);

	(void)c;
	CHILD_CHECK(fd >= 0 && !group_enter(arg));
	for (i = 0; i < nr; i++)
		CHILD_CHECK(pwrite(fd, "", 1, i * XM_PAGE) == 1);
	return 0;
}

/*
 * Page tables of the cell's control group have gone, too, after an RCU grace period,
 * which a system call waits for. Bytes that have not.
 */
static long lost_tables(struct group *g)
{
	__u64 start = xm_now_ns();
	struct child c;
	long bytes;

	while ((bytes = group_stat(g, "pagetables")) > 0) {
		if (xm_expired(start, DEADLINE / 10))
			return bytes;
		syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0);
		if (!child_start(&c, stir, g))
			child_end(&c);
	}
	return 0;
}

static struct race_result run_which(struct which *which, bool mm)
{
	struct race_result r = { .verdict = RACE_UNREACHABLE };
	__u64 start = xm_now_ns();
	struct group g;
	long lost;

	if (!has_both(which, mm, &r))
		return r;
	/* A huge page brings a table for its parts. */
	if (which->d->empty && which->hold && which->hold->huge &&
	    !group_make(&g, "cell"))
		which->group = &g;
	run_child(which);
	r = race_cell->result;
	if (which->m->restore)
		which->m->restore();
	replug();
	if (!memory_is_back()) {
		r.verdict = RACE_FAIL;
		snprintf(r.why, sizeof(r.why), "device memory is missing");
	}
	lost = which->group ? lost_tables(&g) : 0;
	if (lost) {
		r.verdict = RACE_FAIL;
		snprintf(r.why, sizeof(r.why), "%ld bytes of page tables are lost", lost);
	}
	if (which->group)
		group_remove(&g);
	if (kernel_log >= 0 && kernel_complains(r.why, sizeof(r.why)))
		r.verdict = RACE_FAIL;
	r.ms = (xm_now_ns() - start) / 1000000;
	return r;
}

struct race_result race(const char *devop, const char *mmop,
			const char *window)
{
	const struct race_devop *d = find_devop(devop);
	struct which which = {
		.d = d, .m = find_mmop(mmop), .w = find_window(d, window),
	};

	return run_which(&which, which.w->mm);
}

struct race_result race_held(const char *devop, const char *mmop,
			     const struct race_hold *hold)
{
	struct which which = {
		.d = find_devop(devop), .m = find_mmop(mmop), .hold = hold,
	};
	struct race_result r = run_which(&which, hold->mm);

	/* However the process ended */
	hold_release(hold->fd, 0, NULL);
	hold_release(hold->fd, 1, NULL);
	return r;
}

const char *race_worst(const struct race_devop *d, const struct race_mmop *m)
{
	unsigned int flags = m->flags & (RACE_WRITER | RACE_EVENT);

	return flags == (RACE_WRITER | RACE_EVENT) ? d->worst_locked : d->worst;
}
