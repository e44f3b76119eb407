// SPDX-License-Identifier: GPL-2.0
/*
 * The race matrix: runs one cell in a process of its own and says how it ended, see
 * matrix.h.
 */
#include <fcntl.h>
#include <linux/membarrier.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>

#include "group.h"
#include "hold.h"
#include "klog.h"
#include "numa.h"
#include "private.h"
#include "settings.h"

struct cell *race_cell;
static int devices[2];
static __u64 free_at_start[2];
static int kernel_log;

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
		if (!klog_is_report(text) || klog_is_shared_huge(text))
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
	/* A fault of its own would be a window of any side. */
	xm_numa_at_once();
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
	end = child_start(&c, race_process, which);
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

/* Why a pair cannot be held, or NULL */
static const char *not_held(const struct which *which)
{
	const struct race_devop *d = which->d;
	const struct race_mmop *m = which->m;

	if (m->flags & RACE_HELPER)
		return "it is another thread's";
	/* The CPU's first access is to another page than the first of the folio. */
	if (which->hold->huge && d->cap & XMIRROR_CAP_PRIVATE &&
	    (m->flags & RACE_SPLITS || d->protects))
		return "finding 41 ends a kernel with CONFIG_DEBUG_VM";
	if (d->cpu && d->adds && m->flags & RACE_PROTECTS)
		return "nobody answers the CPU's write";
	return NULL;
}

/* Can it be run at all? */
static bool has_both(const struct which *which, bool mm, struct race_result *r)
{
	const struct race_devop *d = which->d;
	const struct race_mmop *m = which->m;
	const char *why;

	if (!d->name || !m->name || (!which->hold && !which->w->name)) {
		r->verdict = RACE_FAIL;
		snprintf(r->why, sizeof(r->why), "there is no such cell");
	} else if ((xm_caps() & d->cap) != d->cap) {
		snprintf(r->why, sizeof(r->why), "%s", xm_why_not(d->cap));
	} else if (mm && (m->flags & RACE_ENDS)) {
		snprintf(r->why, sizeof(r->why),
			 "nobody is left to run the device");
	} else {
		why = which->hold ? not_held(which) : NULL;
		if (!why)
			return true;
		snprintf(r->why, sizeof(r->why), "%s", why);
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
