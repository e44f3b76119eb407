// SPDX-License-Identifier: GPL-2.0
/*
 * How an exclusive entry ends: each path by which the CPU, the mm or another
 * device can meet one, and what it has to find and to leave behind. A row of
 * the table is a test. Where kernels differ the row has two columns: those that
 * take an exclusive page out of the rmap (before Linux 6.15) and those that
 * leave it there (XMIRROR_CAP_RECLAIM_EXCLUSIVE).
 *
 * The memory is a mapping of one page in chunks of its own, so no event is
 * anybody else's. More events than expected are right as long as the outcome
 * is; on a row that is to be quiet a single one is a failure.
 */
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/mempolicy.h>
#include <sys/ptrace.h>
#include <sys/swap.h>
#include <sys/uio.h>

#include "libconf.h"
#include "libtest.h"

#define DEV	0xd0d0d0d0ULL	/* what the device writes, in word 0 */
#define CPU	0xc0c0ULL	/* what the CPU writes, in word 1 */
#define FILLED	0x1111111111111111ULL

/* What kind of end */
enum after {
	GONE,		/* not exclusive any more, at the same address */
	STAYS,		/* still exclusive */
	MOVED,		/* still exclusive, at env.q */
	UNMAPPED,	/* nothing is mapped there */
	EITHER,		/* depends; data and views have to agree */
};

#define EV(name)	(1U << XM_EV_##name)
#define EV_R		(1U << 31)	/* the event of a restore */

#define P		XMIRROR_CPU_PRESENT
#define W		XMIRROR_CPU_WRITE
#define D		XMIRROR_CPU_DIRTY
#define O		XMIRROR_CPU_OTHER
#define ANY		(~0U)
#define FULL		(P | W | D)

/**
 * struct expect - what a path does
 * @after: the entry
 * @events: events that have to be seen; none: the path has to be quiet
 * @pte: the CPU's entry after the path, if it is not exclusive any more
 * @then: the CPU's entry after it has been read, ANY if the row has no opinion
 * @lost: the page reads as zero afterwards
 * @kb: what the page counts for in smaps' Rss after the path
 */
struct expect {
	enum after after;
	__u32 events;
	__u32 pte;
	__u32 then;
	bool lost;
	int kb;
};

/* Given back by a fault, with everything that a writable mapping can have */
#define RESTORED	(.after = GONE, .events = EV_R, .pte = FULL, \
			  .then = FULL, .kb = 4)
/* Nothing happens; a read by the CPU then gives it back. */
#define QUIET		(.after = STAYS, .then = FULL, .kb = 4)
/* Ends with these events and this entry */
#define ENDED(ev, bits)	(.after = GONE, .events = ev, .pte = bits, \
			  .then = bits, .kb = 4)
/* An event, and the entry stays; a read by the CPU then gives @bits. */
#define KEPT(ev, bits)	(.after = STAYS, .events = EV(ev), .then = bits, \
			  .kb = 4)
/* The page goes. */
#define LOST(how, ev, bits, rss) \
			(.after = how, .events = EV(ev), .pte = bits, \
			  .then = ANY, .lost = true, .kb = rss)
/* The entry goes elsewhere; the old place counts for @rss. */
#define MOVES(rss)	(.after = MOVED, .events = EV(UNMAP), \
			  .then = FULL, .kb = rss)
#define SWAPPED		(.after = GONE, .events = EV(CLEAR), .pte = O, \
			  .then = ANY)
#define EITHER_WAY	(.after = EITHER, .then = ANY, .kb = 4)
#define TAKEN		(.after = STAYS, .events = EV_R | EV(EXCLUSIVE), \
			  .then = FULL, .kb = 4)

struct env {
	int fd;
	int fd1;
	__u64 *p;
	__u64 *q;
	int pipe[2];
	int file;
	int uffd;
	struct child child;
	struct worker thread;
	__u64 file_word;
	char why[128];
};

#define NOT_HERE	1	/* a path that does not exist here, see env.why */

static int not_here(struct env *e, const char *why)
{
	snprintf(e->why, sizeof(e->why), "%s", why);
	return NOT_HERE;
}

#define FAIL_UNLESS(cond) \
	do { \
		if (!(cond)) { \
			TH_LOG_PLAIN(#cond); \
			return errno ? -errno : -EIO; \
		} \
	} while (0)
#define TH_LOG_PLAIN(s)	fprintf(stderr, "# %s:%d: %s\n", __FILE__, __LINE__, s)

/* Accesses by the CPU and on its behalf */

static int cpu_read(struct env *e)
{
	return XM_LOAD(e->p) == DEV ? 0 : -EIO;
}

static int cpu_write(struct env *e)
{
	XM_STORE(e->p + 1, CPU);
	return 0;
}

static int cpu_atomic(struct env *e)
{
	return XM_ADD(e->p, 0) == DEV ? 0 : -EIO;
}

static int copy_to_user(struct env *e)
{
	__u64 v = CPU;

	FAIL_UNLESS(write(e->pipe[1], &v, 8) == 8);
	FAIL_UNLESS(read(e->pipe[0], e->p + 1, 8) == 8);
	return 0;
}

static int copy_from_user(struct env *e)
{
	__u64 v = 0;

	FAIL_UNLESS(write(e->pipe[1], e->p, 8) == 8);
	FAIL_UNLESS(read(e->pipe[0], &v, 8) == 8);
	return v == DEV ? 0 : -EIO;
}

static int futex_wait(struct env *e)
{
	long n = syscall(SYS_futex, e->p, FUTEX_WAIT_PRIVATE, 0x77, NULL, NULL,
			 0);

	return n == -1 && errno == EAGAIN ? 0 : -EIO;
}

static int vm_readv(struct env *e)
{
	__u64 v = 0;
	struct iovec to = { &v, 8 }, from = { e->p, 8 };

	FAIL_UNLESS(process_vm_readv(getpid(), &to, 1, &from, 1, 0) == 8);
	return v == DEV ? 0 : -EIO;
}

static int vm_writev(struct env *e)
{
	__u64 v = CPU;
	struct iovec from = { &v, 8 }, to = { e->p + 1, 8 };

	FAIL_UNLESS(process_vm_writev(getpid(), &from, 1, &to, 1, 0) == 8);
	return 0;
}

static int mem_read(struct env *e)
{
	int fd = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	__u64 v = 0;

	FAIL_UNLESS(fd >= 0);
	FAIL_UNLESS(pread(fd, &v, 8, (uintptr_t)e->p) == 8);
	close(fd);
	return v == DEV ? 0 : -EIO;
}

static int mem_write(struct env *e)
{
	int fd = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	__u64 v = CPU;

	FAIL_UNLESS(fd >= 0);
	FAIL_UNLESS(pwrite(fd, &v, 8, (uintptr_t)(e->p + 1)) == 8);
	close(fd);
	return 0;
}

static int tracer(struct child *c, void *arg)
{
	struct env *e = arg;
	int status;

	CHILD_CHECK(child_hear(c) == 'g');
	CHILD_CHECK(ptrace(PTRACE_ATTACH, getppid(), NULL, NULL) == 0);
	CHILD_CHECK(waitpid(getppid(), &status, __WALL) == getppid());
	CHILD_CHECK(ptrace(PTRACE_PEEKDATA, getppid(), e->p, NULL) == DEV);
	CHILD_CHECK(ptrace(PTRACE_POKEDATA, getppid(), e->p + 1, CPU) == 0);
	CHILD_CHECK(ptrace(PTRACE_DETACH, getppid(), NULL, NULL) == 0);
	return 0;
}

/* The child has to be there before, for fork() ends the entry, too. */
static int ptrace_prepare(struct env *e)
{
	return child_start(&e->child, tracer, e);
}

static int ptrace_rw(struct env *e)
{
	FAIL_UNLESS(child_tell(&e->child, 'g') == 0);
	return child_end(&e->child) ? -EIO : 0;
}

static int scratch_prepare(struct env *e)
{
	__u64 *buf = xm_anon(XM_PAGE);
	const char *dir = getenv("XM_SCRATCH");
	char path[256];

	if (!dir)
		return not_here(e, "no disk: XM_SCRATCH is not set");
	snprintf(path, sizeof(path), "%s/xmirror-conform", dir);
	e->file = open(path, O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC, 0600);
	FAIL_UNLESS(e->file >= 0);
	unlink(path);
	FAIL_UNLESS(buf);
	buf[0] = DEV;
	buf[1] = CPU;
	FAIL_UNLESS(pwrite(e->file, buf, XM_PAGE, 0) == (ssize_t)XM_PAGE);
	buf[1] = 0;
	FAIL_UNLESS(pwrite(e->file, buf, XM_PAGE, XM_PAGE) == (ssize_t)XM_PAGE);
	return 0;
}

/* The disk reads the page. */
static int direct_write(struct env *e)
{
	__u64 *buf = xm_anon(XM_PAGE);

	FAIL_UNLESS(buf);
	FAIL_UNLESS(pwrite(e->file, e->p, XM_PAGE, XM_PAGE) ==
		    (ssize_t)XM_PAGE);
	FAIL_UNLESS(pread(e->file, buf, XM_PAGE, XM_PAGE) == (ssize_t)XM_PAGE);
	return buf[0] == DEV && buf[1] == FILLED ? 0 : -EIO;
}

/* The disk writes the page. */
static int direct_read(struct env *e)
{
	FAIL_UNLESS(pread(e->file, e->p, XM_PAGE, 0) == (ssize_t)XM_PAGE);
	return 0;
}

static int splice_page(struct env *e)
{
	struct iovec iov = { e->p, XM_PAGE };
	__u64 v[512];

	FAIL_UNLESS(vmsplice(e->pipe[1], &iov, 1, 0) == (ssize_t)XM_PAGE);
	FAIL_UNLESS(read(e->pipe[0], v, XM_PAGE) == (ssize_t)XM_PAGE);
	return v[0] == DEV ? 0 : -EIO;
}

static int policy_of(struct env *e)
{
	int node = -1;

	FAIL_UNLESS(syscall(SYS_get_mempolicy, &node, NULL, 0, e->p,
			    MPOL_F_NODE | MPOL_F_ADDR) == 0);
	return node >= 0 ? 0 : -EIO;
}

/* madvise(), one function per advice */

static int advise(struct env *e, int advice)
{
	return madvise(e->p, XM_PAGE, advice) ? -errno : 0;
}

#define ADVICE(name, advice) \
	static int name(struct env *e) { return advise(e, advice); }

ADVICE(populate_read, MADV_POPULATE_READ)
ADVICE(populate_write, MADV_POPULATE_WRITE)
ADVICE(dontneed, MADV_DONTNEED)
ADVICE(dontneed_locked, MADV_DONTNEED_LOCKED)
ADVICE(lazyfree, MADV_FREE)
ADVICE(cold, MADV_COLD)
ADVICE(pageout, MADV_PAGEOUT)
ADVICE(willneed, MADV_WILLNEED)
ADVICE(mergeable, MADV_MERGEABLE)
ADVICE(hugepage, MADV_HUGEPAGE)
ADVICE(dontdump, MADV_DONTDUMP)

static int soft_offline(struct env *e)
{
	int err;

	/* Device memory cannot be removed any more after that. */
	if (xm_kver() <= XM_KVER(6, 1))
		return not_here(e, "Linux 6.1 dies of unloading the module");
	err = advise(e, CONF_MADV_SOFT_OFFLINE);
	return err == -EINVAL ? not_here(e, "no CONFIG_MEMORY_FAILURE") : err;
}

static int guard_page(struct env *e)
{
	int err = advise(e, CONF_MADV_GUARD_INSTALL);

	return err == -EINVAL ? not_here(e, "guard pages: Linux 6.13") : err;
}

static int guard_end(struct env *e)
{
	return advise(e, CONF_MADV_GUARD_REMOVE);
}

/* mlock */

static int lock_page(struct env *e)
{
	return mlock(e->p, XM_PAGE) ? -errno : 0;
}

static int lock_onfault(struct env *e)
{
	return mlock2(e->p, XM_PAGE, MLOCK_ONFAULT) ? -errno : 0;
}

static int unlock_page(struct env *e)
{
	return munlock(e->p, XM_PAGE) ? -errno : 0;
}

/* fork */

static int look(struct child *c, void *arg)
{
	struct env *e = arg;

	(void)c;
	return XM_LOAD(e->p) == DEV ? 0 : 1;
}

static int fork_child(struct env *e)
{
	if (child_start(&e->child, look, e))
		return -EIO;
	return child_end(&e->child) ? -EIO : 0;
}

static int nothing(struct child *c, void *arg)
{
	(void)c;
	(void)arg;
	return 0;
}

static int fork_only(struct env *e)
{
	if (child_start(&e->child, nothing, e))
		return -EIO;
	return child_end(&e->child) ? -EIO : 0;
}

static int dontfork(struct env *e)
{
	FAIL_UNLESS(advise(e, MADV_DONTFORK) == 0);
	return fork_only(e);
}

static int zero(struct child *c, void *arg)
{
	struct env *e = arg;

	(void)c;
	return XM_LOAD(e->p) ? 1 : 0;
}

static int wipeonfork(struct env *e)
{
	FAIL_UNLESS(advise(e, MADV_WIPEONFORK) == 0);
	if (child_start(&e->child, zero, e))
		return -EIO;
	return child_end(&e->child) ? -EIO : 0;
}

static int vfork_child(struct env *e)
{
	int status = -1;
	pid_t pid = vfork();

	(void)e;
	if (!pid)
		_exit(0);
	FAIL_UNLESS(pid > 0);
	FAIL_UNLESS(waitpid(pid, &status, 0) == pid);
	return status ? -EIO : 0;
}

static int sleeper(struct worker *w)
{
	while (!XM_LOAD(&w->stop))
		sched_yield();
	return 0;
}

static int thread_prepare(struct env *e)
{
	e->thread.fn = sleeper;
	return worker_start(&e->thread);
}

static int thread_exit(struct env *e)
{
	XM_STORE(&e->thread.stop, true);
	return worker_join(&e->thread);
}

/* The mapping */

static int protect(struct env *e, int prot)
{
	return mprotect(e->p, XM_PAGE, prot) ? -errno : 0;
}

static int protect_read(struct env *e)
{
	return protect(e, PROT_READ);
}

static int protect_rw(struct env *e)
{
	return protect(e, PROT_READ | PROT_WRITE);
}

static int protect_twice(struct env *e)
{
	FAIL_UNLESS(protect_read(e) == 0);
	return protect_rw(e);
}

static int protect_none(struct env *e)
{
	FAIL_UNLESS(protect(e, PROT_NONE) == 0);
	/* An access fails before it gets to the entry. */
	FAIL_UNLESS(write(e->pipe[1], e->p, 8) == -1 && errno == EFAULT);
	return 0;
}

static int unmap(struct env *e)
{
	return munmap(e->p, XM_PAGE) ? -errno : 0;
}

static int map_over(struct env *e)
{
	void *p = mmap(e->p, XM_PAGE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

	return p == e->p ? 0 : -errno;
}

static int hole_prepare(struct env *e)
{
	e->q = xm_hole(XM_PAGE);
	return e->q ? 0 : -ENOMEM;
}

static int move(struct env *e)
{
	void *p = mremap(e->p, XM_PAGE, XM_PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
			 e->q);

	return p == e->q ? 0 : -errno;
}

static int move_dontunmap(struct env *e)
{
	e->q = mremap(e->p, XM_PAGE, XM_PAGE,
		      MREMAP_MAYMOVE | MREMAP_DONTUNMAP, 0);
	return e->q != MAP_FAILED ? 0 : -errno;
}

static int grow(struct env *e)
{
	void *p = mremap(e->p, XM_PAGE, 2 * XM_PAGE, 0);

	return p == e->p ? 0 : -errno;
}

/* Reclaim, migration, KSM */

static int reclaim_all(struct env *e)
{
	int i, err;

	for (i = 0; i < 20 && xm_is_exclusive(e->p); i++) {
		err = conf_reclaim("64M");
		if (err == -ENOENT)
			return not_here(e, "memory.reclaim: Linux 5.19, CONFIG_MEMCG");
		if (err)
			return err;
	}
	return 0;
}

static int compact(struct env *e)
{
	int err = xm_write_file("/proc/sys/vm/compact_memory", "1");

	return err ? not_here(e, "no CONFIG_COMPACTION") : 0;
}

static int other_node(struct env *e)
{
	if (access("/sys/devices/system/node/node1", F_OK))
		return not_here(e, "one NUMA node only");
	return 0;
}

static int move_pages_away(struct env *e)
{
	void *pages[1] = { e->p };
	int node, status = 0;

	for (node = 0; node < 2; node++) {
		FAIL_UNLESS(syscall(SYS_move_pages, 0, 1, pages, &node, &status,
				    MPOL_MF_MOVE) >= 0);
		FAIL_UNLESS(status == -ENOENT);
	}
	return 0;
}

static int move_pages_query(struct env *e)
{
	void *pages[1] = { e->p };
	int status = 0;

	FAIL_UNLESS(syscall(SYS_move_pages, 0, 1, pages, NULL, &status, 0) ==
		    0);
	return status == -ENOENT ? 0 : -EIO;
}

static int bind_to(struct env *e, unsigned long nodes)
{
	return syscall(SYS_mbind, e->p, XM_PAGE, MPOL_BIND, &nodes, 8UL,
		       MPOL_MF_MOVE) ? -errno : 0;
}

static int mbind_move(struct env *e)
{
	int err = bind_to(e, 1);

	return err ? err : bind_to(e, 2);
}

static int migrate_self(struct env *e)
{
	unsigned long one = 1, two = 2;

	(void)e;
	FAIL_UNLESS(syscall(SYS_migrate_pages, 0, 8UL, &one, &two) >= 0);
	FAIL_UNLESS(syscall(SYS_migrate_pages, 0, 8UL, &two, &one) >= 0);
	return 0;
}

static long ksm_scans(void)
{
	char text[32] = "";
	int fd = open("/sys/kernel/mm/ksm/full_scans", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -1;
	if (read(fd, text, sizeof(text) - 1) < 0)
		text[0] = 0;
	close(fd);
	return atol(text);
}

static int ksm_prepare(struct env *e)
{
	__u64 *same[2], i;

	if (ksm_scans() < 0)
		return not_here(e, "no CONFIG_KSM");
	/* Something for it to be the same as */
	for (i = 0; i < 2; i++) {
		same[i] = xm_anon(XM_PAGE);
		FAIL_UNLESS(same[i]);
		memset(same[i], 0x11, XM_PAGE);
		same[i][0] = DEV;
		FAIL_UNLESS(madvise(same[i], XM_PAGE, MADV_MERGEABLE) == 0);
	}
	return 0;
}

static int scan_by_ksm(struct env *e)
{
	long start = ksm_scans();
	__u64 t = xm_now_ns();
	int err = -ETIMEDOUT;

	FAIL_UNLESS(advise(e, MADV_MERGEABLE) == 0);
	FAIL_UNLESS(xm_write_file("/sys/kernel/mm/ksm/sleep_millisecs", "0") ==
		    0);
	FAIL_UNLESS(xm_write_file("/sys/kernel/mm/ksm/run", "1") == 0);
	while (err && !xm_expired(t, XM_LONG)) {
		if (ksm_scans() >= start + 4)
			err = 0;
		sched_yield();
	}
	xm_write_file("/sys/kernel/mm/ksm/run", "0");
	return err;
}

/* userfaultfd */

static int uffd_open(struct env *e, __u64 features, __u64 mode)
{
	e->uffd = conf_uffd(features);
	if (e->uffd < 0)
		return not_here(e, "userfaultfd has not got this feature");
	return mode ? conf_uffd_register(e->uffd, e->p, XM_PAGE, mode) : 0;
}

static int uffd_wp_prepare(struct env *e)
{
	return uffd_open(e, UFFD_FEATURE_PAGEFAULT_FLAG_WP,
			 UFFDIO_REGISTER_MODE_WP);
}

static int uffd_prepare(struct env *e)
{
	return uffd_open(e, UFFD_FEATURE_PAGEFAULT_FLAG_WP, 0);
}

static int uffd_missing_prepare(struct env *e)
{
	return uffd_open(e, 0, UFFDIO_REGISTER_MODE_MISSING);
}

static int uffd_register_now(struct env *e)
{
	return conf_uffd_register(e->uffd, e->p, XM_PAGE,
				  UFFDIO_REGISTER_MODE_WP |
				  UFFDIO_REGISTER_MODE_MISSING);
}

static int uffd_wp_on(struct env *e)
{
	FAIL_UNLESS(conf_uffd_wp(e->uffd, e->p, XM_PAGE, true) == 0);
	FAIL_UNLESS(xm_pagemap(e->p) & CONF_PM_UFFD_WP);
	return 0;
}

static int uffd_wp_off(struct env *e)
{
	FAIL_UNLESS(uffd_wp_on(e) == 0);
	FAIL_UNLESS(conf_uffd_wp(e->uffd, e->p, XM_PAGE, false) == 0);
	FAIL_UNLESS(!(xm_pagemap(e->p) & CONF_PM_UFFD_WP));
	return 0;
}

static int uffd_copy(struct env *e)
{
	struct uffdio_copy copy = {
		.dst = (uintptr_t)e->p,
		.src = (uintptr_t)xm_anon(XM_PAGE),
		.len = XM_PAGE,
	};

	FAIL_UNLESS(ioctl(e->uffd, UFFDIO_COPY, &copy) == -1);
	return errno == EEXIST ? 0 : -EIO;
}

static int uffd_zeropage(struct env *e)
{
	struct uffdio_zeropage z = {
		.range = { .start = (uintptr_t)e->p, .len = XM_PAGE },
	};

	FAIL_UNLESS(ioctl(e->uffd, UFFDIO_ZEROPAGE, &z) == -1);
	return errno == EEXIST ? 0 : -EIO;
}

static int uffd_move_prepare(struct env *e)
{
	int err = uffd_open(e, CONF_UFFD_MOVE, UFFDIO_REGISTER_MODE_MISSING);

	if (err)
		return not_here(e, "UFFDIO_MOVE: Linux 6.8");
	e->q = xm_anon(XM_PAGE);
	FAIL_UNLESS(e->q);
	return conf_uffd_register(e->uffd, e->q, XM_PAGE,
				  UFFDIO_REGISTER_MODE_MISSING);
}

static int uffd_move(struct env *e)
{
	struct conf_uffd_move m = {
		.dst = (uintptr_t)e->q,
		.src = (uintptr_t)e->p,
		.len = XM_PAGE,
	};

	FAIL_UNLESS(ioctl(e->uffd, CONF_UFFDIO_MOVE, &m) == -1);
	return errno == EFAULT ? 0 : -EIO;
}

/*
 * From 6.10 to 6.14 the page table check calls a protected entry that was
 * writable a mistake; only mprotect() took its write bit away.
 */
static int scan_prepare(struct env *e)
{
	int err = uffd_open(e, UFFD_FEATURE_PAGEFAULT_FLAG_WP |
			    CONF_UFFD_WP_ASYNC, UFFDIO_REGISTER_MODE_WP);

	if (err)
		return not_here(e, "asynchronous uffd-wp: Linux 6.7, CONFIG_PTE_MARKER_UFFD_WP");
	if (xm_kver() >= XM_KVER(6, 10) && xm_kver() < XM_KVER(6, 15))
		xm_expect_splat("__page_table_check_ptes_set");
	return 0;
}

static int pagemap_scan(struct env *e)
{
	/* The device wrote, so it has to be among the written. */
	FAIL_UNLESS(conf_scan_written(e->p) == 1);
	FAIL_UNLESS(xm_pagemap(e->p) & CONF_PM_UFFD_WP);
	return 0;
}

/* Views */

static int clear_soft_dirty(struct env *e)
{
	FAIL_UNLESS(xm_write_file("/proc/self/clear_refs", "4") == 0);
	FAIL_UNLESS(!(xm_pagemap(e->p) & XM_PM_SOFT_DIRTY));
	return 0;
}

static int clear_young(struct env *e)
{
	(void)e;
	return xm_write_file("/proc/self/clear_refs", "1");
}

static int views(struct env *e)
{
	unsigned char core = 0;
	char text[4096];
	int fd;

	FAIL_UNLESS(conf_smaps_kb(e->p, "Rss") == 4);
	FAIL_UNLESS(conf_smaps_kb(e->p, "Swap") == 0);
	FAIL_UNLESS(mincore(e->p, XM_PAGE, &core) == 0);
	FAIL_UNLESS(core & 1);
	FAIL_UNLESS(xm_kpageflags(xm_pfn(e->p)) != 0);
	fd = open("/proc/self/numa_maps", O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		while (read(fd, text, sizeof(text)) > 0)
			;
		close(fd);
	}
	return 0;
}

/* Devices */

static int make_again(struct env *e)
{
	return xm_exclusive(e->fd1, e->p, XM_PAGE, NULL);
}

static int same_device_prepare(struct env *e)
{
	close(e->fd1);
	e->fd1 = xm_open(0);
	return e->fd1 < 0 ? e->fd1 : 0;
}

static int make_again_same_device(struct env *e)
{
	return make_again(e);
}

static int fault_other(struct env *e)
{
	return xm_fault(e->fd1, e->p, XM_PAGE, 0, NULL);
}

static int fault_other_write(struct env *e)
{
	return xm_fault(e->fd1, e->p, XM_PAGE, XMIRROR_FAULT_WRITE, NULL);
}

static int release(struct env *e)
{
	return xm_release(e->fd, e->p, XM_PAGE, NULL);
}

static int migrate_other(struct env *e)
{
	__u64 moved = 1;
	int err = xm_migrate(e->fd1, e->p, XM_PAGE, 0, 0, &moved);

	return err ? err : moved ? -EIO : 0;
}

static int swap_off_on(struct env *e)
{
	const char *disk = getenv("XM_SWAP_DISK");

	if (!disk)
		return not_here(e, "no disk: XM_SWAP_DISK is not set");
	FAIL_UNLESS(swapoff(disk) == 0);
	FAIL_UNLESS(swapon(disk, 0) == 0);
	return 0;
}

/*
 * The table
 */

FIXTURE(end) {
	struct env e;
	const struct expect *want;
	bool new;
};

FIXTURE_VARIANT(end) {
	const char *name;
	int (*prepare)(struct env *e);
	int (*act)(struct env *e);
	int (*undo)(struct env *e);
	struct expect old, new;
	bool cpu_writes;	/* CPU in word 1 */
	size_t room;
};

/* ROW: the same on all kernels; ROW2: first on those before 6.15, then since */
#define BRACED(...)	{ __VA_ARGS__ }
#define ROW2(path, o, n, ...) \
	FIXTURE_VARIANT_ADD(end, path) { \
		.name = #path, .act = path, \
		.old = BRACED o, .new = BRACED n, __VA_ARGS__ \
	}
#define ROW(path, both, ...)	ROW2(path, both, both, __VA_ARGS__)
#define WITH(function)		.prepare = function
#define CPU_WRITES		.cpu_writes = true
#define UFFD_WP			WITH(uffd_wp_prepare)

ROW(cpu_read, RESTORED);
ROW(cpu_write, RESTORED, CPU_WRITES);
ROW(cpu_atomic, RESTORED);
ROW(copy_to_user, RESTORED, CPU_WRITES);
ROW(copy_from_user, RESTORED);
ROW(futex_wait, RESTORED);
ROW(vm_readv, RESTORED);
ROW(vm_writev, RESTORED, CPU_WRITES);
ROW(mem_read, RESTORED);
ROW(mem_write, RESTORED, CPU_WRITES);
ROW(ptrace_rw, RESTORED, WITH(ptrace_prepare), CPU_WRITES);
ROW(direct_write, RESTORED, WITH(scratch_prepare));
ROW(direct_read, RESTORED, WITH(scratch_prepare), CPU_WRITES);
ROW(splice_page, RESTORED);
ROW(policy_of, RESTORED);
ROW(populate_read, RESTORED);
ROW(populate_write, RESTORED);
ROW(lock_page, RESTORED);
ROW(fault_other, RESTORED);
ROW(fault_other_write, RESTORED);
ROW(release, RESTORED);
/* Fetched, and then replaced by another page */
ROW(soft_offline, ENDED(EV_R, ANY));

ROW(lock_onfault, QUIET);
ROW(unlock_page, QUIET, WITH(lock_page));
ROW(dontfork, QUIET);
ROW(wipeonfork, QUIET);
ROW(vfork_child, QUIET);
ROW(thread_exit, QUIET, WITH(thread_prepare));
ROW(protect_rw, QUIET);
ROW(cold, QUIET);
ROW(pageout, QUIET);
ROW(willneed, QUIET);
ROW(mergeable, QUIET);
ROW(hugepage, QUIET);
ROW(dontdump, QUIET);
ROW(grow, QUIET, .room = XM_PAGE);
ROW(move_pages_away, QUIET, WITH(other_node));
ROW(move_pages_query, QUIET);
ROW(mbind_move, QUIET, WITH(other_node));
ROW(migrate_self, QUIET, WITH(other_node));
ROW(scan_by_ksm, QUIET, WITH(ksm_prepare));
ROW(uffd_register_now, QUIET, WITH(uffd_prepare));
ROW(uffd_copy, QUIET, WITH(uffd_missing_prepare));
ROW(uffd_zeropage, QUIET, WITH(uffd_missing_prepare));
ROW(clear_young, QUIET);
ROW(views, QUIET);
ROW(swap_off_on, QUIET);

/* The parent shares what it had; nobody says so for the entry itself. */
ROW(fork_child, ENDED(EV(PROTECTION_PAGE), P | D));

/* Before 6.15 a change of protection demotes the entry for good. */
ROW(protect_read, KEPT(PROTECTION_VMA, P));
ROW(protect_none, KEPT(PROTECTION_VMA, ANY), .undo = protect_rw);
ROW2(protect_twice, KEPT(PROTECTION_VMA, P), KEPT(PROTECTION_VMA, FULL));
ROW(uffd_wp_on, KEPT(PROTECTION_VMA, P), UFFD_WP);
ROW2(uffd_wp_off, KEPT(PROTECTION_VMA, P), KEPT(PROTECTION_VMA, FULL), UFFD_WP);
ROW(pagemap_scan, KEPT(PROTECTION_VMA, P), WITH(scan_prepare));

ROW(unmap, LOST(UNMAPPED, UNMAP, 0, -1));
ROW(map_over, LOST(GONE, UNMAP, 0, 0));
ROW(dontneed, LOST(GONE, CLEAR, 0, 0));
ROW(dontneed_locked, LOST(GONE, CLEAR, 0, 0));
ROW(guard_page, LOST(GONE, CLEAR, O, 0), .undo = guard_end);
/* The entry is passed, and the page keeps its data. */
ROW(lazyfree, KEPT(CLEAR, FULL));
ROW(uffd_move, KEPT(CLEAR, FULL), WITH(uffd_move_prepare));
ROW(move, MOVES(-1), WITH(hole_prepare));
ROW(move_dontunmap, MOVES(0));
/* A read makes it soft-dirty again, or leaves it to the next write. */
ROW2(clear_soft_dirty, KEPT(SOFT_DIRTY, FULL), KEPT(SOFT_DIRTY, P));

/* An exclusive page out of the rmap cannot be reclaimed or moved. */
ROW2(reclaim_all, QUIET, SWAPPED);
ROW2(compact, QUIET, EITHER_WAY);

ROW(migrate_other, KEPT(MIGRATE, FULL));
/* Given back and taken by the other one */
ROW(make_again, TAKEN);
ROW(make_again_same_device, TAKEN, WITH(same_device_prepare));

FIXTURE_SETUP(end)
{
	struct env *e = &self->e;

	NEED(XMIRROR_CAP_EXCLUSIVE);
	e->file = -1;
	e->uffd = -1;
	self->new = xm_caps() & XMIRROR_CAP_RECLAIM_EXCLUSIVE;
	self->want = self->new ? &variant->new : &variant->old;
	ASSERT_EQ(0, conf_pin());
	ASSERT_EQ(0, pipe2(e->pipe, O_CLOEXEC));
	OPEN(e->fd, 0);
	OPEN(e->fd1, 1);
	e->p = conf_area(XM_PAGE, variant->room);
	ASSERT_NE(NULL, e->p);
	memset(e->p, 0x11, XM_PAGE);
}

FIXTURE_TEARDOWN(end)
{
	EXPECT_CLEAN(self->e.fd);
	EXPECT_CLEAN(self->e.fd1);
	close(self->e.fd);
	close(self->e.fd1);
}

static __u32 view(int fd, const void *p)
{
	return xm_page(fd, p).cpu & (FULL | O | XMIRROR_CPU_EXCLUSIVE |
				     XMIRROR_CPU_HOLE);
}

/* What was seen beyond, or not seen of, what a row expects */
static __u32 events_between(const struct xmirror_stats *a,
			    const struct xmirror_stats *b)
{
	__u32 seen = 0;
	int i;

	for (i = 0; i < XMIRROR_NR_EVENTS; i++) {
		if (b->inv[i] != a->inv[i])
			seen |= 1U << i;
	}
	return seen;
}

#define CELL(what, expected, seen) \
	TH_LOG("row %s, kernel %d.%d: %s: expected %#llx, seen %#llx", \
	       variant->name, xm_kver() >> 8, xm_kver() & 0xff, \
	       (what), (unsigned long long)(expected), \
	       (unsigned long long)(seen))
#define CHECK_CELL(what, expected, seen) \
	do { \
		__u64 cell_e = (expected), cell_s = (seen); \
		EXPECT_EQ(cell_e, cell_s) \
			CELL(what, cell_e, cell_s); \
	} while (0)

TEST_F(end, row)
{
	const struct expect *want = self->want;
	struct xmirror_stats before, after;
	struct env *e = &self->e;
	__u32 events, need;
	__u64 *p = e->p;
	bool stays;
	int err = 0;

	if (variant->prepare)
		err = variant->prepare(e);
	if (err == NOT_HERE)
		SKIP(return, "%s", e->why);
	ASSERT_EQ(0, err);

	ASSERT_EQ(0, xm_exclusive(e->fd, p, XM_PAGE, NULL));
	ASSERT_EQ(0, xm_op(e->fd, XMIRROR_OP_XCHG, 8, p, DEV, NULL));
	ASSERT_TRUE(xm_is_exclusive(p));
	EXPECT_LEAF(e->fd, p, LEAF_EXCL);
	/* An exclusive page counts as before. */
	CHECK_CELL("kB of the exclusive page", 4, conf_smaps_kb(p, "Rss"));

	ASSERT_EQ(0, xm_stats(e->fd, &before));
	errno = 0;
	err = variant->act(e);
	ASSERT_EQ(0, xm_stats(e->fd, &after));
	if (err == NOT_HERE)
		SKIP(return, "%s", e->why);
	ASSERT_EQ(0, err)
		CELL("result", 0, err);

	/* Events */
	events = events_between(&before, &after);
	need = want->events & ~EV_R;
	if (want->events & EV_R)
		need |= 1U << xm_facts()->revoke_event;
	if (want->after != EITHER) {
		CHECK_CELL("events", need, need ? events & need : events);
		if (need) {
			EXPECT_LE(1, after.inv_leaves - before.inv_leaves)
				CELL("leaves cleared", 1, 0);
		}
	}

	/* The entry and the leaf */
	stays = want->after == STAYS;
	if (want->after == EITHER)
		stays = xm_is_exclusive(p);
	CHECK_CELL("exclusive", stays, xm_is_exclusive(p));
	CHECK_CELL("leaf", stays && !events ? LEAF_EXCL : LEAF_NONE,
		   xm_page(e->fd, p).dev & LEAF_EXCL);
	if (want->after == GONE && want->pte != ANY)
		CHECK_CELL("CPU entry", want->pte, view(e->fd, p));
	CHECK_CELL("kB", (__u64)(long)want->kb, conf_smaps_kb(p, "Rss"));
	if (want->after == MOVED) {
		EXPECT_TRUE(xm_is_exclusive(e->q));
		EXPECT_LEAF(e->fd, e->q, LEAF_NONE);
		p = e->q;
	}
	EXPECT_CLEAN(e->fd);
	if (variant->undo)
		ASSERT_EQ(0, variant->undo(e));
	if (want->after == UNMAPPED) {
		CHECK_CELL("CPU entry", XMIRROR_CPU_HOLE, view(e->fd, p));
		EXPECT_EQ(-EFAULT, xm_add(e->fd, p, 1));
		return;
	}

	/* The data, and what a read makes of the entry if it is still there */
	CHECK_CELL("data", want->lost ? 0 : DEV, XM_LOAD(p));
	CHECK_CELL("CPU's data", want->lost ? 0 :
		   variant->cpu_writes ? CPU : FILLED, XM_LOAD(p + 1));
	CHECK_CELL("still exclusive", false, xm_is_exclusive(p));
	if (want->then != ANY)
		CHECK_CELL("CPU entry when read", want->then, view(e->fd, p));
	if (variant->act == clear_soft_dirty)
		CHECK_CELL("soft-dirty when read", !self->new,
			   !!(xm_pagemap(p) & XM_PM_SOFT_DIRTY));
	if (variant->act == uffd_wp_on || variant->act == pagemap_scan)
		CHECK_CELL("uffd-wp when read", true,
			   !!(xm_pagemap(p) & CONF_PM_UFFD_WP));
}

/* The same for a huge page of which one page is exclusive. */

FIXTURE(large) {
	int fd;
	char *p;
	__u64 *q;
};

FIXTURE_SETUP(large)
{
	NEED(XMIRROR_CAP_EXCLUSIVE);
	NEED(XMIRROR_CAP_EXCLUSIVE_LARGE);
	OPEN(self->fd, 0);
	self->p = conf_thp(self->fd, 0x22);
	if (!self->p)
		SKIP(return, "no huge page was to be had");
	self->q = (__u64 *)(self->p + 37 * XM_PAGE);
	ASSERT_EQ(0, xm_exclusive(self->fd, self->q, XM_PAGE, NULL));
	ASSERT_EQ(0, xm_op(self->fd, XMIRROR_OP_XCHG, 8, self->q, DEV, NULL));
	/* The page tables are split, and nothing else. */
	EXPECT_EQ(1, xm_count_exclusive(self->p, XM_2M));
	EXPECT_EQ(xm_pfn(self->p) + 37, xm_pfn(self->q));
}

FIXTURE_TEARDOWN(large)
{
	EXPECT_CLEAN(self->fd);
	close(self->fd);
}

/* The mapping is small from then on, and all of it still counts. */
TEST_F(large, counters)
{
	EXPECT_EQ(2048, conf_smaps_kb(self->p, "Rss"));
	EXPECT_EQ(0, conf_smaps_kb(self->p, "AnonHugePages"));
	EXPECT_EQ(DEV, XM_LOAD(self->q));
	EXPECT_EQ(2048, conf_smaps_kb(self->p, "Rss"));
	EXPECT_EQ(0, conf_smaps_kb(self->p, "AnonHugePages"));
	ASSERT_EQ(0, conf_collapse(self->p));
	EXPECT_EQ(2048, conf_smaps_kb(self->p, "Rss"));
	EXPECT_EQ(2048, conf_smaps_kb(self->p, "AnonHugePages"));
	/* Exclusive as a whole: no page is lost from the count, nor counted twice. */
	EXPECT_EQ(0, xm_exclusive(self->fd, self->p, XM_2M, NULL));
	EXPECT_EQ(512, xm_count_exclusive(self->p, XM_2M));
	EXPECT_EQ(2048, conf_smaps_kb(self->p, "Rss"));
	EXPECT_EQ(0, conf_smaps_kb(self->p, "AnonHugePages"));
	EXPECT_EQ(DEV, XM_LOAD(self->q));
}

TEST_F(large, cpu_read)
{
	EXPECT_EQ(DEV, XM_LOAD(self->q));
	EXPECT_EQ(0, xm_count_exclusive(self->p, XM_2M));
	EXPECT_LEAF(self->fd, self->q, LEAF_NONE);
	EXPECT_EQ(0x22, self->p[36 * XM_PAGE]);
	EXPECT_EQ(0x22, self->p[38 * XM_PAGE]);
}

TEST_F(large, neighbour_read)
{
	EXPECT_EQ(0x22, self->p[36 * XM_PAGE]);
	EXPECT_EQ(0x22, self->p[38 * XM_PAGE]);
	EXPECT_TRUE(xm_is_exclusive(self->q));
	EXPECT_LEAF(self->fd, self->q, LEAF_EXCL);
}

/* The entry is given back on the way, and its page is in the new huge page. */
TEST_F(large, collapse)
{
	struct xmirror_stats before, after;

	ASSERT_EQ(0, xm_stats(self->fd, &before));
	ASSERT_EQ(0, conf_collapse(self->p));
	ASSERT_EQ(0, xm_stats(self->fd, &after));
	EXPECT_LE(1, after.inv[XM_EV_CLEAR] - before.inv[XM_EV_CLEAR]);
	EXPECT_TRUE(xm_page(self->fd, self->q).cpu & XMIRROR_CPU_HUGE);
	EXPECT_LEAF(self->fd, self->q, LEAF_NONE);
	EXPECT_EQ(DEV, XM_LOAD(self->q));
	EXPECT_EQ(0x22, self->p[36 * XM_PAGE]);
}

/* Advice for the huge page ends the entry of one: the data is what counts. */
TEST_F(large, pageout)
{
	if (xm_meminfo_kb("SwapTotal") <= 0)
		SKIP(return, "no swap");
	ASSERT_EQ(0, madvise(self->p, XM_2M, MADV_PAGEOUT));
	if (!xm_is_exclusive(self->q)) {
		EXPECT_LEAF(self->fd, self->q, LEAF_NONE);
	}
	EXPECT_CLEAN(self->fd);
	EXPECT_EQ(DEV, XM_LOAD(self->q));
	EXPECT_EQ(0x22, self->p[36 * XM_PAGE]);
}

/* Before 6.15 a small exclusive page amid others collapses, too. */
TEST(collapse_small)
{
	char *p = xm_anon_aligned(XM_2M, XM_2M);
	__u64 *q;
	int fd, err;

	NEED(XMIRROR_CAP_EXCLUSIVE);
	OPEN(fd, 0);
	ASSERT_NE(NULL, p);
	memset(p, 0x22, XM_2M);
	q = (__u64 *)(p + 511 * XM_PAGE);
	ASSERT_EQ(0, xm_exclusive(fd, q, XM_PAGE, NULL));
	ASSERT_EQ(0, xm_op(fd, XMIRROR_OP_XCHG, 8, q, DEV, NULL));
	ASSERT_EQ(0, madvise(p, XM_2M, MADV_HUGEPAGE));
	err = conf_collapse(p);
	if (err == -EINVAL)
		SKIP(return, "MADV_COLLAPSE: Linux 6.1, CONFIG_TRANSPARENT_HUGEPAGE");
	ASSERT_EQ(0, err);
	EXPECT_TRUE(xm_page(fd, q).cpu & XMIRROR_CPU_HUGE);
	EXPECT_LEAF(fd, q, LEAF_NONE);
	EXPECT_CLEAN(fd);
	EXPECT_EQ(DEV, XM_LOAD(q));
	EXPECT_EQ(0x22, p[0]);
	close(fd);
}

TEST_HARNESS_MAIN
