// SPDX-License-Identifier: GPL-2.0
/*
 * The mm's side of the race matrix: see struct race_mmop.
 *
 * An op runs in a thread beside the device's and may have to wait for it. What it
 * needs is made before the device gets the page: files, other processes, twins.
 * Input and output are in mm_ops_io.c, what the kernel does to the processes of
 * a machine is in mm_ops_kernel.c.
 */
#include <fcntl.h>
#include <linux/mempolicy.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "gup.h"
#include "mm_ops.h"
#include "settings.h"

static int nothing(struct race_env *e)
{
	(void)e;
	return 0;
}

/* --- accesses by the CPU and on its behalf -------------------------------- */

static int cpu_read(struct race_env *e)
{
	XM_LOAD(e->p);
	return 0;
}

static int cpu_add(struct race_env *e)
{
	XM_ADD(e->p, 1);
	return 0;
}

static int vm_readv(struct race_env *e)
{
	__u64 v = 0;
	struct iovec to = { &v, 8 }, from = { e->p, 8 };

	return failed(process_vm_readv(getpid(), &to, 1, &from, 1, 0));
}

static int vm_writev(struct race_env *e)
{
	__u64 v = RACE_MARK;
	struct iovec from = { &v, 8 }, to = { e->p + 2, 8 };

	return failed(process_vm_writev(getpid(), &from, 1, &to, 1, 0));
}

static int mem_prepare(struct race_env *e)
{
	e->file = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	return e->file < 0 ? -errno : 0;
}

static int mem_read(struct race_env *e)
{
	__u64 v;

	return failed(pread(e->file, &v, 8, (uintptr_t)e->p));
}

static int mem_write(struct race_env *e)
{
	__u64 v = RACE_MARK;

	return failed(pwrite(e->file, &v, 8, (uintptr_t)(e->p + 2)));
}

/* Writes to the thread whose number it is sent. */
static int tracer(struct child *c, void *arg)
{
	struct race_env *e = arg;
	int status;
	pid_t tid;

	CHILD_CHECK(recv(c->sock, &tid, sizeof(tid), 0) == sizeof(tid));
	CHILD_CHECK(!ptrace(PTRACE_SEIZE, tid, NULL, NULL));
	CHILD_CHECK(!ptrace(PTRACE_INTERRUPT, tid, NULL, NULL));
	CHILD_CHECK(waitpid(tid, &status, __WALL) == tid);
	CHILD_CHECK(!ptrace(PTRACE_POKEDATA, tid, e->p + 2, RACE_MARK));
	CHILD_CHECK(!ptrace(PTRACE_DETACH, tid, NULL, NULL));
	return 0;
}

static int poke_prepare(struct race_env *e)
{
	return child_start(&e->helper, tracer, e);
}

static int poke(struct race_env *e)
{
	pid_t tid = gettid();

	if (send(e->helper.sock, &tid, sizeof(tid), 0) != sizeof(tid))
		return -errno;
	return child_end(&e->helper) ? -EIO : 0;
}

static int gup_prepare(struct race_env *e)
{
	e->file = open(GUP_FILE, O_RDWR | O_CLOEXEC);
	return e->file < 0 ? race_not_here(e, "no CONFIG_GUP_TEST") : 0;
}

static int gup(struct race_env *e, unsigned long nr, bool write)
{
	struct gup_test call = {
		.addr = (uintptr_t)e->p,
		.size = XM_PAGE,
		.nr_pages_per_call = 1,
		.gup_flags = write ? GUP_WRITE : 0,
	};

	if (ioctl(e->file, nr, &call))
		return -errno;
	return call.size == XM_PAGE ? 0 : -EFAULT;
}

static int gup_read(struct race_env *e)
{
	return gup(e, GUP_FAST, false);
}

static int gup_write(struct race_env *e)
{
	return gup(e, GUP_FAST, true);
}

static int pin_write(struct race_env *e)
{
	return gup(e, PIN_BASIC, true);
}

static int pin_longterm(struct race_env *e)
{
	return gup(e, PIN_LONGTERM, true);
}

/* --- fork ----------------------------------------------------------------- */

/*
 * In a forked process: the counter is one that was, and stays; and with @write it
 * is one's own.
 */
static int look(struct race_env *e, bool write)
{
	__u64 was = XM_LOAD(e->p), may = e->devop->adds + e->mmop->adds;
	__u64 store = XM_LOAD(e->p + 1);
	int i;

	if (was < race_start(e) || was > race_start(e) + may)
		return 1;
	for (i = 0; i < 200; i++) {
		if (XM_LOAD(e->p) != was || XM_LOAD(e->p + 1) != store)
			return 2;
	}
	if (!write)
		return 0;
	XM_STORE(e->p, was + 5555);
	XM_STORE(e->p + 1, 5555);
	return XM_ADD(e->p, 1) == was + 5555 ? 0 : 3;
}

static int reap(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid)
		return -errno;
	return status ? -EUCLEAN : 0;
}

static int forked(struct race_env *e, bool child_writes, bool parent_writes)
{
	pid_t pid = fork();

	if (!pid) {
		/* Of the thread: it must not outlive a cell that is stuck. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		_exit(look(e, child_writes));
	}
	if (pid < 0)
		return -errno;
	if (parent_writes)
		XM_ADD(e->p, 1);
	return reap(pid);
}

static int fork_child(struct race_env *e)
{
	return forked(e, false, false);
}

static int fork_child_writes(struct race_env *e)
{
	return forked(e, true, false);
}

static int fork_parent_writes(struct race_env *e)
{
	return forked(e, false, true);
}

static int vfork_exec(struct race_env *e)
{
	pid_t pid = vfork();

	(void)e;
	if (!pid) {
		execl("/proc/self/exe", "race_matrix", "--exit", NULL);
		_exit(1);
	}
	return pid < 0 ? -errno : reap(pid);
}

static int advise(struct race_env *e, int advice)
{
	return failed(madvise(e->p, XM_PAGE, advice));
}

static int dontfork(struct race_env *e)
{
	int err = advise(e, MADV_DONTFORK);
	pid_t pid;

	if (err)
		return err;
	pid = fork();
	if (!pid)
		_exit(0);
	return pid < 0 ? -errno : reap(pid);
}

static int wipeonfork(struct race_env *e)
{
	int err = advise(e, MADV_WIPEONFORK);
	pid_t pid;

	if (err)
		return err;
	pid = fork();
	if (!pid)
		_exit(XM_LOAD(e->p) != 0);
	return pid < 0 ? -errno : reap(pid);
}

/* --- the mapping ---------------------------------------------------------- */

static int protect(struct race_env *e, int prot)
{
	return failed(mprotect(e->p, XM_PAGE, prot));
}

static int mprotect_read(struct race_env *e)
{
	return protect(e, PROT_READ);
}

static int mprotect_none(struct race_env *e)
{
	return protect(e, PROT_NONE);
}

static int mprotect_rw(struct race_env *e)
{
	return protect(e, PROT_READ | PROT_WRITE);
}

static int mprotect_and_back(struct race_env *e)
{
	int err = mprotect_none(e);

	return err ? err : mprotect_rw(e);
}

/* The second call has nothing to do. */
static int mprotect_same_twice(struct race_env *e)
{
	int err = mprotect_read(e);

	return err ? err : mprotect_read(e);
}

static int unmap(struct race_env *e)
{
	if (munmap(e->p, XM_PAGE))
		return -errno;
	e->gone = true;
	return 0;
}

/* Only the page behind it */
static int unmap_part(struct race_env *e)
{
	return failed(munmap(e->p + RACE_WORDS, XM_PAGE));
}

static int map_over(struct race_env *e)
{
	void *p = mmap(e->p, XM_PAGE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

	return p == e->p ? 0 : -errno;
}

static int twin_prepare(struct race_env *e)
{
	e->q = xm_anon(XM_PAGE);
	return e->q ? 0 : -ENOMEM;
}

static int move_to_q(struct race_env *e, int flags)
{
	void *p = mremap(e->p, XM_PAGE, XM_PAGE,
			 MREMAP_MAYMOVE | MREMAP_FIXED | flags, e->q);

	if (p != e->q)
		return -errno;
	e->mm_moved = true;
	e->left = flags & MREMAP_DONTUNMAP;
	e->gone = !e->left;
	return 0;
}

static int mremap_move(struct race_env *e)
{
	return move_to_q(e, 0);
}

static int mremap_dontunmap(struct race_env *e)
{
	return move_to_q(e, MREMAP_DONTUNMAP);
}

/* The page's mapping shrinks and grows where it is. */
static int mremap_in_place(struct race_env *e)
{
	size_t part = e->len - XM_PAGE;
	void *p = mremap(e->area, e->len, part, 0);

	if (p != e->area)
		return -errno;
	p = mremap(e->area, part, e->len, 0);
	return p == e->area ? 0 : -errno;
}

static int mlock_page(struct race_env *e)
{
	int err = failed(mlock(e->p, XM_PAGE));

	return err ? err : failed(munlock(e->p, XM_PAGE));
}

/* --- advice and reclaim --------------------------------------------------- */

#define ADVICE(name, advice) \
	static int name(struct race_env *e) { return advise(e, advice); }

ADVICE(madv_dontneed, MADV_DONTNEED)
ADVICE(madv_free, MADV_FREE)
ADVICE(madv_cold, MADV_COLD)
ADVICE(madv_pageout, MADV_PAGEOUT)
ADVICE(madv_populate, MADV_POPULATE_WRITE)

/* Out and in again */
static int swap_out_in(struct race_env *e)
{
	int i, err = 0;

	for (i = 0; i < 3 && !err; i++)
		err = madv_pageout(e);
	XM_LOAD(e->p);
	return err;
}

static int poison_prepare(struct race_env *e)
{
	/* Device memory cannot be removed any more after that. */
	if (xm_kver() <= XM_KVER(6, 1))
		return race_not_here(e, "Linux 6.1 dies of unloading the module");
	if (access("/sys/kernel/debug/hwpoison", F_OK))
		return race_not_here(e, "no CONFIG_HWPOISON_INJECT");
	return 0;
}

ADVICE(soft_offline, XM_MADV_SOFT_OFFLINE)

static int hwpoison(struct race_env *e)
{
	int err = failed(madvise(e->p, XM_PAGE, 100 /* MADV_HWPOISON */));

	/* It cannot be looked at any more. */
	munmap(e->p, XM_PAGE);
	e->gone = true;
	return err;
}

/* --- migration and merging ------------------------------------------------ */

static int two_nodes(struct race_env *e)
{
	if (access("/sys/devices/system/node/node1", F_OK))
		return race_not_here(e, "one NUMA node only");
	return 0;
}

static int move_pages_both(struct race_env *e)
{
	void *pages[1] = { e->p };
	int node, status;
	long n;

	for (node = 1; node >= 0; node--) {
		n = syscall(SYS_move_pages, 0, 1, pages, &node, &status,
			    MPOL_MF_MOVE);
		if (n < 0)
			return -errno;
	}
	return 0;
}

static int mbind_both(struct race_env *e)
{
	unsigned long nodes;

	for (nodes = 2; nodes; nodes--) {
		if (syscall(SYS_mbind, e->p, XM_PAGE, MPOL_BIND, &nodes, 8UL,
			    MPOL_MF_MOVE))
			return -errno;
	}
	return 0;
}

static int migrate_pages_both(struct race_env *e)
{
	unsigned long one = 1, two = 2;
	long n = syscall(SYS_migrate_pages, 0, 8UL, &one, &two);

	(void)e;
	if (n >= 0)
		n = syscall(SYS_migrate_pages, 0, 8UL, &two, &one);
	return failed(n);
}

#define UNEVICTABLE	"/proc/sys/vm/compact_unevictable_allowed"

static int compact(struct race_env *e)
{
	(void)e;
	return xm_write_file("/proc/sys/vm/compact_memory", "1");
}

/*
 * Compaction isolates many pages before it moves the first. While it is stopped at
 * ours, the thread that resumes it must not need another of them.
 */
static int compact_prepare(struct race_env *e)
{
	if (access("/proc/sys/vm/compact_memory", F_OK))
		return race_not_here(e, "no CONFIG_COMPACTION");
	if (mlockall(MCL_CURRENT | MCL_FUTURE) || munlock(e->area, e->len))
		return -errno;
	return xm_setting(UNEVICTABLE, "0");
}

/* Something for it to be the same as */
static int ksm_prepare(struct race_env *e)
{
	__u64 *same = xm_anon(XM_PAGE);

	if (!xm_has_ksm())
		return race_not_here(e, "no CONFIG_KSM");
	if (!same)
		return -ENOMEM;
	memcpy(same, e->p, XM_PAGE);
	return failed(madvise(same, XM_PAGE, MADV_MERGEABLE));
}

static int ksm_merge(struct race_env *e)
{
	int err = advise(e, MADV_MERGEABLE);

	if (!err)
		err = xm_ksm_scan(3000);
	/* The one that is stopped may be in its way. */
	return err == -ETIMEDOUT ? 0 : err;
}

static int ksm_merged_prepare(struct race_env *e)
{
	int err = ksm_prepare(e);

	return err ? err : ksm_merge(e);
}

ADVICE(ksm_unmerge, MADV_UNMERGEABLE)

static int thp_split(struct race_env *e)
{
	char text[96];
	int err;

	snprintf(text, sizeof(text), "%d,0x%lx,0x%lx", getpid(),
		 (unsigned long)e->area, (unsigned long)(e->area + e->len));
	err = xm_write_file("/sys/kernel/debug/split_huge_pages", text);
	return err;
}

static int thp_split_prepare(struct race_env *e)
{
	if (access("/sys/kernel/debug/split_huge_pages", F_OK))
		return race_not_here(e, "no CONFIG_TRANSPARENT_HUGEPAGE or debugfs");
	return 0;
}

static int collapse(struct race_env *e)
{
	if (madvise(e->area, e->len, MADV_HUGEPAGE))
		return -errno;
	return failed(madvise(e->area, e->len, MADV_COLLAPSE));
}

/* --- userfaultfd and soft-dirty ------------------------------------------- */

static int uffd_prepare(struct race_env *e, __u64 features, void *p,
			__u64 mode, const char *since)
{
	e->uffd = xm_uffd(features);
	if (e->uffd < 0)
		return race_not_here(e, since);
	return xm_uffd_register(e->uffd, p, XM_PAGE, mode);
}

static int uffd_missing_prepare(struct race_env *e)
{
	return uffd_prepare(e, 0, e->p, UFFDIO_REGISTER_MODE_MISSING,
			    "no CONFIG_USERFAULTFD");
}

/* A page that is missing, and comes */
static int uffd_missing(struct race_env *e)
{
	struct uffdio_zeropage z = {
		.range = { .start = (uintptr_t)e->p, .len = XM_PAGE },
	};
	int err = advise(e, MADV_DONTNEED);

	while (!err && ioctl(e->uffd, UFFDIO_ZEROPAGE, &z) &&
	       errno != EEXIST) {
		err = errno == EAGAIN ? 0 : -errno;
		z.zeropage = 0;
	}
	return err;
}

static int uffd_wp_prepare(struct race_env *e)
{
	return uffd_prepare(e, UFFD_FEATURE_PAGEFAULT_FLAG_WP, e->p,
			    UFFDIO_REGISTER_MODE_WP,
			    "userfaultfd cannot write-protect here");
}

static int uffd_wp(struct race_env *e)
{
	return xm_uffd_wp(e->uffd, e->p, XM_PAGE, true);
}

static int uffd_wp_on_off(struct race_env *e)
{
	int err = uffd_wp(e);

	return err ? err : xm_uffd_wp(e->uffd, e->p, XM_PAGE, false);
}

static int uffd_end(struct race_env *e)
{
	struct uffdio_range range = {
		.start = (uintptr_t)e->p, .len = XM_PAGE,
	};

	if (e->q)
		range.start = (uintptr_t)e->q;
	return failed(ioctl(e->uffd, UFFDIO_UNREGISTER, &range));
}

static int uffd_move_prepare(struct race_env *e)
{
	int err = twin_prepare(e);

	return err ? err :
	       uffd_prepare(e, XM_UFFD_MOVE, e->q,
			    UFFDIO_REGISTER_MODE_MISSING,
			    "UFFDIO_MOVE: Linux 6.8");
}

static int uffd_move(struct race_env *e)
{
	int err = xm_uffd_move(e->uffd, e->q, e->p, XM_PAGE);

	if (err)
		return err;
	e->mm_moved = true;
	e->left = true;
	return 0;
}

static int soft_dirty(struct race_env *e)
{
	(void)e;
	return xm_write_file("/proc/self/clear_refs", "4");
}

/* --- the end -------------------------------------------------------------- */

static int exit_process(struct race_env *e)
{
	(void)e;
	_exit(0);
}

static int sigkill(struct race_env *e)
{
	(void)e;
	return failed(kill(getpid(), SIGKILL));
}

#define OP(function, ...)	{ .name = #function, .act = function, \
				  __VA_ARGS__ }
#define WITH(function)		.prepare = function
#define UNDO(function)		.undo = function
#define RESTORE(function)	.restore = function
#define DEVICE(function)	.device = function
#define DATA(what)		.data = RACE_##what
#define FLAGS(what)		.flags = what
#define WRITER			RACE_WRITER
#define EVENT			RACE_EVENT
#define MAY_FAULT		RACE_MAY_FAULT
#define MAY_PERM		RACE_MAY_PERM
#define MAY_FAIL		RACE_MAY_FAIL
#define PROTECTS		RACE_PROTECTS
#define SPLITS			RACE_SPLITS
#define NO_WAIT			RACE_NO_WAIT
#define LOCKS			RACE_LOCKS

const struct race_mmop race_mmops[] = {
	OP(nothing),
	OP(cpu_read),
	OP(cpu_add, .adds = 1),
	OP(vm_readv),
	OP(vm_writev, .word = 2),
	OP(mem_read, WITH(mem_prepare)),
	OP(mem_write, FLAGS(NO_WAIT), WITH(mem_prepare), .word = 2),
	OP(poke, FLAGS(NO_WAIT), WITH(poke_prepare), .word = 2),
	OP(direct_read, WITH(scratch_prepare), .word = SCRATCH_WORD),
	OP(direct_write, WITH(scratch_prepare)),
	/* covers: B.uring */
	OP(uring_read, WITH(uring_prepare), .word = SCRATCH_WORD),
	/* covers: B.uring */
	OP(uring_fixed, WITH(uring_prepare), .word = SCRATCH_WORD),
	/* covers: B.uring */
	OP(uring_recv, WITH(uring_recv_prepare), .word = SCRATCH_WORD),
	OP(gup_read, WITH(gup_prepare)),
	OP(gup_write, WITH(gup_prepare)),
	OP(pin_write, WITH(gup_prepare)),
	OP(pin_longterm, WITH(gup_prepare)),
	OP(fork_child, FLAGS(WRITER | EVENT)),
	OP(fork_child_writes, FLAGS(WRITER | EVENT)),
	OP(fork_parent_writes, FLAGS(WRITER | EVENT), .adds = 1),
	OP(vfork_exec),
	OP(dontfork, FLAGS(WRITER)),
	OP(wipeonfork, FLAGS(WRITER)),
	OP(mprotect_read, FLAGS(WRITER | EVENT | MAY_PERM | SPLITS),
	   UNDO(mprotect_rw)),
	OP(mprotect_none, FLAGS(WRITER | EVENT | MAY_FAULT | SPLITS),
	   UNDO(mprotect_rw)),
	OP(mprotect_and_back, FLAGS(WRITER | EVENT | MAY_FAULT | SPLITS)),
	OP(mprotect_same_twice, FLAGS(WRITER | EVENT | MAY_PERM | SPLITS),
	   UNDO(mprotect_rw)),
	OP(unmap, FLAGS(WRITER | EVENT | MAY_FAULT), DATA(GONE)),
	OP(unmap_part, FLAGS(WRITER | RACE_PART | SPLITS)),
	OP(map_over, FLAGS(WRITER | EVENT), DATA(ZERO)),
	OP(mremap_move, FLAGS(WRITER | EVENT | MAY_FAULT), WITH(twin_prepare),
	   DATA(MOVED)),
	OP(mremap_dontunmap, FLAGS(WRITER | EVENT), WITH(twin_prepare),
	   DATA(MOVED)),
	OP(mremap_in_place, FLAGS(WRITER | RACE_PART | SPLITS)),
	OP(mlock_page, FLAGS(WRITER)),
	OP(madv_dontneed, FLAGS(EVENT), DATA(ZERO)),
	OP(madv_free, FLAGS(EVENT), DATA(EITHER)),
	OP(madv_cold),
	OP(madv_pageout),
	/* covers: B.populate */
	OP(madv_populate),
	OP(swap_out_in),
	/* covers: B.exit */
	OP(swap_off, FLAGS(LOCKS), WITH(swap_off_prepare), RESTORE(swap_off_restore)),
	/* covers: B.exit */
	OP(swap_off_cached, FLAGS(LOCKS), WITH(swap_off_cached_prepare),
	   RESTORE(swap_off_restore)),
	OP(collapse, FLAGS(WRITER | RACE_SMALL | MAY_FAIL)),
	OP(thp_split, FLAGS(RACE_THP | MAY_FAIL), WITH(thp_split_prepare)),
	OP(move_pages_both, WITH(two_nodes)),
	OP(mbind_both, FLAGS(WRITER | MAY_FAIL), WITH(two_nodes)),
	OP(migrate_pages_both, WITH(two_nodes)),
	/* covers: B.numa */
	OP(numa_scan, FLAGS(EVENT), WITH(numa_prepare), RESTORE(numa_restore)),
	OP(compact, WITH(compact_prepare)),
	OP(ksm_merge, FLAGS(WRITER), WITH(ksm_prepare)),
	OP(ksm_unmerge, FLAGS(WRITER), WITH(ksm_merged_prepare)),
	OP(uffd_missing, FLAGS(EVENT | MAY_FAULT), WITH(uffd_missing_prepare),
	   UNDO(uffd_end), DATA(ZERO)),
	OP(uffd_wp, FLAGS(EVENT | MAY_FAULT | PROTECTS), WITH(uffd_wp_prepare),
	   UNDO(uffd_end)),
	OP(uffd_wp_on_off, FLAGS(EVENT | MAY_FAULT), WITH(uffd_wp_prepare),
	   UNDO(uffd_end)),
	OP(uffd_move, FLAGS(MAY_FAIL | SPLITS), WITH(uffd_move_prepare), UNDO(uffd_end),
	   DATA(MOVED)),
	OP(soft_dirty, FLAGS(WRITER | EVENT)),
	OP(soft_offline, FLAGS(MAY_FAIL), WITH(poison_prepare)),
	OP(hwpoison, FLAGS(MAY_FAULT | MAY_FAIL),
	   WITH(poison_prepare), DATA(GONE)),
	OP(exit_process, FLAGS(RACE_ENDS)),
	OP(sigkill, FLAGS(RACE_ENDS)),
	/* covers: B.oom */
	OP(oom_reap, FLAGS(RACE_ENDS | RACE_HELPER), WITH(oom_prepare),
	   DEVICE(oom_device), .stop_ms = 1500),
	{}
};
