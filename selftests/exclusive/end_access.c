// SPDX-License-Identifier: GPL-2.0
/*
 * How an exclusive entry ends: accesses by the CPU, by the kernel on behalf of a
 * process, and by devices. The page is restored first, or taken by the other
 * device. end.c has all other ends.
 */
#include <linux/futex.h>
#include <linux/mempolicy.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

#include "end_fixture.h"

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

/* The child is started before, since fork() ends the entry, too. */
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
	__u64 v[XM_WORDS];

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

/* The rows */

ROW(cpu_read, RESTORED);	/* covers: B.cpu */
ROW(cpu_write, RESTORED, CPU_WRITES);	/* covers: B.cpu */
ROW(cpu_atomic, RESTORED);	/* covers: B.cpu */
ROW(copy_to_user, RESTORED, CPU_WRITES);	/* covers: B.cpu */
ROW(copy_from_user, RESTORED);	/* covers: B.cpu */
ROW(futex_wait, RESTORED);	/* covers: B.cpu */
ROW(vm_readv, RESTORED);	/* covers: B.remote */
ROW(vm_writev, RESTORED, CPU_WRITES);	/* covers: B.remote */
ROW(mem_read, RESTORED);	/* covers: B.remote */
ROW(mem_write, RESTORED, CPU_WRITES);	/* covers: B.remote */
/* covers: B.remote */
ROW(ptrace_rw, RESTORED, WITH(ptrace_prepare), CPU_WRITES);
ROW(direct_write, RESTORED, WITH(scratch_prepare));	/* covers: B.gup */
/* covers: B.gup */
ROW(direct_read, RESTORED, WITH(scratch_prepare), CPU_WRITES);
ROW(splice_page, RESTORED);	/* covers: B.gup */
ROW(policy_of, RESTORED);	/* covers: B.gup */
ROW(fault_other, RESTORED);	/* covers: B.other_device */
ROW(fault_other_write, RESTORED);	/* covers: B.other_device */
ROW(release, RESTORED);

ROW(migrate_other, KEPT(MIGRATE, FULL));	/* covers: B.migrate_vma */
/* Restored, and taken by the other device */
ROW(make_again, TAKEN);	/* covers: B.again */
/* covers: B.again */
ROW(make_again_same_device, TAKEN, WITH(same_device_prepare));

TEST_HARNESS_MAIN
