// SPDX-License-Identifier: GPL-2.0
/*
 * The mm's side of the race matrix, what the kernel does to processes that do not
 * ask for it: swapoff, NUMA balancing, the OOM reaper. See struct race_mmop.
 */
#include <fcntl.h>
#include <linux/mempolicy.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>

#include "mm_ops.h"
#include "numa.h"
#include "private.h"

/*
 * swapoff: walks all of the mm, past the entries of the device, and puts back
 * what is in this one file, which is of the cell alone. The page behind the
 * device's is there before, so that there is always something to put back.
 */

#define SWAP_PAGES	64UL
#define BEHIND		(2 * XM_PAGE)

static const char *swap_path(void)
{
	const char *dir = getenv("XM_SCRATCH");
	static char path[256];

	snprintf(path, sizeof(path), "%s/xmirror-swap", dir ? dir : "");
	return path;
}

/* As mkswap writes it: a header in the first page; swapon wants no holes. */
static int make_swap(const char *path)
{
	int i, err = 0, fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC,
				  0600);
	char *page = xm_anon(XM_PAGE);

	if (fd < 0 || !page)
		return -errno;
	for (i = 0; i < (int)SWAP_PAGES && !err; i++)
		err = failed(pwrite(fd, page, XM_PAGE, i * XM_PAGE));
	*(__u32 *)(page + 1024) = 1;			/* version */
	*(__u32 *)(page + 1028) = SWAP_PAGES - 1;	/* last page */
	memcpy(page + XM_PAGE - 10, "SWAPSPACE2", 10);
	if (!err)
		err = failed(pwrite(fd, page, XM_PAGE, 0));
	if (!err)
		err = failed(fsync(fd));
	close(fd);
	return err;
}

int swap_off_prepare(struct race_env *e)
{
	int err;

	if (!getenv("XM_SCRATCH"))
		return race_not_here(e, "no disk: XM_SCRATCH is not set");
	if (access("/proc/swaps", F_OK))
		return race_not_here(e, "no CONFIG_SWAP");
	err = make_swap(swap_path());
	if (err)
		return err;
	/* Before all other swap */
	if (swapon(swap_path(), SWAP_FLAG_PREFER | SWAP_FLAG_PRIO_MASK))
		return -errno;
	return xm_pageout(e->area + BEHIND, XM_PAGE);
}

/* Of a page that is in the swap cache, and has to leave it */
int swap_off_cached(struct race_env *e)
{
	__u64 behind = e->devop->empty && e->huge ? 0 : BEHIND;

	if (swapoff(swap_path()))
		return -errno;
	return XM_LOAD((__u64 *)(e->area + BEHIND)) == behind ? 0 : -EIO;
}

/* Of one that goes out, as far as the device lets it */
int swap_off(struct race_env *e)
{
	int i, err = 0;

	for (i = 0; i < 3 && !err; i++)
		err = failed(madvise(e->p, XM_PAGE, MADV_PAGEOUT));
	return err ? err : swap_off_cached(e);
}

int swap_off_cached_prepare(struct race_env *e)
{
	int err = swap_off_prepare(e);

	if (!err)
		err = xm_pageout(e->p, XM_PAGE);
	if (err)
		return err;
	XM_LOAD(e->p);
	/* It may be back before the disk has it; then it does not migrate. */
	err = xm_written_back(e->p, XM_PAGE);
	return err ? err : xm_drain();
}

void swap_off_restore(void)
{
	swapoff(swap_path());
	unlink(swap_path());
}

/*
 * NUMA balancing, see numa.h. Which entries are scanned depends on the thread's policy, so
 * of this process it is one thread only that does it. It has run for long enough before,
 * so that it does it at the next tick when balancing is switched on.
 */

static struct {
	struct race_env *e;
	__u64 events;
	int err;
	bool done;
	sem_t has_run;
	sem_t go;
} scan;

static __u64 has_run_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void *scanner(void *arg)
{
	__u64 enough = xm_numa_delay_ms();

	if (syscall(SYS_set_mempolicy, MPOL_DEFAULT, NULL, 0UL))
		scan.err = -errno;
	while (has_run_ms() < enough)
		;
	sem_post(&scan.has_run);
	sem_wait(&scan.go);
	if (!scan.err)
		scan.err = xm_numa_scan(scan.e->fd, scan.events);
	XM_STORE(&scan.done, true);
	return arg;
}

int numa_prepare(struct race_env *e)
{
	unsigned long nodes = 3;
	pthread_t thread;

	if (!xm_has_numa_balancing())
		return race_not_here(e, "no CONFIG_NUMA_BALANCING");
	if (e->devop->cap == XMIRROR_CAP_MIRROR)
		return race_not_here(e, "there is no mirror to see the scan");
	/* One that was chosen is left alone by balancing. */
	if (syscall(SYS_set_mempolicy, MPOL_BIND, &nodes, 8UL))
		return -errno;
	scan.e = e;
	sem_init(&scan.has_run, 0, 0);
	sem_init(&scan.go, 0, 0);
	if (pthread_create(&thread, NULL, scanner, NULL))
		return -EAGAIN;
	pthread_detach(thread);
	sem_wait(&scan.has_run);
	return 0;
}

/* Not asleep: who looks would take that for waiting. */
int numa_scan(struct race_env *e)
{
	int err;

	(void)e;
	err = xm_numa_events(scan.e->fd, &scan.events);
	if (!err)
		err = xm_numa_balancing(true);
	if (err)
		return err;
	sem_post(&scan.go);
	while (!XM_LOAD(&scan.done))
		sched_yield();
	numa_restore();
	return scan.err;
}

void numa_restore(void)
{
	xm_numa_balancing(false);
}

/*
 * The OOM reaper takes the memory of a process that has been killed and has not
 * come to its end yet; process_mrelease() does the same on request. What
 * keeps the process from its end here is a tracer.
 *
 * Its threads leave their windows when they are killed, but an engine of the
 * device does not: it is a thread of the kernel, and goes on with an mm that has
 * been reaped. That is what reads, writes and adds here. Nobody may let it go on,
 * since that is for the process itself to do, so its stop has an early deadline;
 * whether it was still there when the mm had been reaped is asked.
 *
 * A late write would go to a page that is free or somebody else's. A pipe keeps a
 * reference, so that the test sees whether the page changes.
 */

/* As FAIL(), but in the helper, who leaves the reason and not the verdict */
#define SAY(...) \
	do { \
		snprintf(race_cell->result.why, sizeof(race_cell->result.why), \
			 __VA_ARGS__); \
		return -1; \
	} while (0)

/* The page, twice: one to look at when it was reaped, one for later */
static struct {
	int first[2];
	int second[2];
} pipes;

static int keep_page(struct race_env *e)
{
	struct iovec page = { e->p, XM_PAGE };

	if (pipe2(pipes.first, O_CLOEXEC) || pipe2(pipes.second, O_CLOEXEC))
		return -errno;
	if (vmsplice(pipes.first[1], &page, 1, 0) != XM_PAGE ||
	    tee(pipes.first[0], pipes.second[1], XM_PAGE, 0) != XM_PAGE)
		return -errno;
	return 0;
}

/*
 * An engine does not migrate, which a page that is held would not do either. What has to
 * be asked for before it works leaves its window with the thread that asks.
 */
static bool by_engine(struct race_env *e)
{
	return !(e->devop->cap & XMIRROR_CAP_PRIVATE) &&
	       strcmp(e->devop->name, "release") &&
	       strcmp(e->devop->name, "resident_add");
}

static __u64 reaped[RACE_WORDS], ended[RACE_WORDS];

static int check_unmapped(struct race_env *e, pid_t victim)
{
	off_t where = (uintptr_t)e->p / XM_PAGE * 8;
	__u64 entry = ~0ULL;
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/pagemap", victim);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || pread(fd, &entry, sizeof(entry), where) < 0)
		SAY("no pagemap of the process that was reaped");
	close(fd);
	if (entry & (XM_PM_PRESENT | XM_PM_SWAP))
		SAY("%#llx is mapped where it was reaped",
		    (unsigned long long)entry);
	return 0;
}

static bool job_ended(struct race_env *e, int timeout_ms)
{
	struct pollfd p = { .fd = e->fd, .events = POLLIN };

	return poll(&p, 1, timeout_ms) == 1;
}

/* The engine is in its window: let it come to its end. */
static int check_engine(struct race_env *e)
{
	int i;

	if (job_ended(e, 0)) {
		race_cell->left = true;
		SAY("the engine's deadline was over before it was reaped");
	}
	if (read(pipes.first[0], reaped, XM_PAGE) != XM_PAGE)
		SAY("the page cannot be read");
	if (!job_ended(e, XM_LONG))
		SAY("deadlock: the engine does not end");
	if (read(pipes.second[0], ended, XM_PAGE) != XM_PAGE)
		SAY("the page cannot be read at the end");
	for (i = 0; i < (int)RACE_WORDS; i++) {
		if (ended[i] != reaped[i])
			SAY("word %d of the page that was reaped became %#llx",
			    i, (unsigned long long)ended[i]);
	}
	return 0;
}

static int reap_in_window(struct race_env *e, pid_t victim)
{
	int err = xm_kill_and_stop(victim);

	if (err)
		SAY("killing and stopping: %d", err);
	err = xm_reap(victim);
	if (err)
		SAY("process_mrelease: %d", err);
	if (check_unmapped(e, victim))
		return -1;
	return by_engine(e) && (check_engine(e) || check_unmapped(e, victim)) ?
	       -1 : 0;
}

static int reaper(struct child *c, void *arg)
{
	struct race_env *e = arg;
	pid_t victim = getppid();

	child_tell(c, 'r');
	/* Nothing to be killed for: the window was not there. */
	if (child_hear(c) != 'k')
		return 0;
	race_cell->told = !reap_in_window(e, victim);
	ptrace(PTRACE_DETACH, victim, NULL, NULL);
	kill(victim, SIGKILL);
	return 0;
}

int oom_prepare(struct race_env *e)
{
	int err = by_engine(e) ? keep_page(e) : 0;

	/* The page stays this process's own. */
	if (!err)
		err = failed(madvise(e->area, e->len, MADV_DONTFORK));
	if (!err)
		err = child_start(&e->helper, reaper, e);
	if (!err)
		err = child_hear(&e->helper) == 'r' ? 0 : -EIO;
	return err ? err : failed(madvise(e->area, e->len, MADV_DOFORK));
}

/* The result is left for the reaper to see that there is one. */
int oom_device(struct race_env *e)
{
	enum xmirror_op op = e->devop->reads ? XMIRROR_OP_LOAD :
			     e->devop->stores ? XMIRROR_OP_STORE :
			     XMIRROR_OP_ADD;
	struct xmirror_cmd cmd = xm_cmd(op, 8, e->p + 1, RACE_STORED);
	__u64 fence;
	int err;

	if (!by_engine(e))
		return e->devop->act(e);
	err = xm_submit(e->fd, 0, &cmd, 1, 1, &fence);
	if (!err && !job_ended(e, 2 * XM_LONG))
		err = -ETIMEDOUT;
	return err;
}

/* Not asleep: who looks would take that for waiting. */
int oom_reap(struct race_env *e)
{
	int err = child_tell(&e->helper, 'k');

	while (!err)
		sched_yield();
	return err;
}
