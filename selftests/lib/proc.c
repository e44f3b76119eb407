// SPDX-License-Identifier: GPL-2.0
/*
 * Children and threads with deadlines, see proc.h.
 */
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "proc.h"

#ifndef SYS_process_mrelease
#define SYS_process_mrelease	448
#endif

int child_start(struct child *c, int (*fn)(struct child *c, void *arg),
		void *arg)
{
	pid_t parent = getpid();
	int socks[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, socks))
		return -errno;
	fflush(NULL);
	c->pid = fork();
	if (c->pid < 0) {
		int err = -errno;

		close(socks[0]);
		close(socks[1]);
		return err;
	}
	c->sock = socks[!c->pid];
	close(socks[!!c->pid]);
	if (c->pid)
		return 0;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(99);
	_exit(fn(c, arg));
}

int child_tell(struct child *c, char what)
{
	return send(c->sock, &what, 1, MSG_NOSIGNAL) == 1 ? 0 : -errno;
}

static int wait_readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int n = poll(&p, 1, XM_LONG);

	if (n < 0)
		return -errno;
	return n ? 0 : -ETIMEDOUT;
}

int child_hear(struct child *c)
{
	unsigned char what;
	int err = wait_readable(c->sock);
	ssize_t n;

	if (err)
		return err;
	n = read(c->sock, &what, 1);
	if (n < 0)
		return -errno;
	return n ? what : -EPIPE;
}

int child_waits(struct child *c, void *arg)
{
	(void)arg;
	CHILD_CHECK(child_hear(c) == 'e');
	return 0;
}

union fd_msg {
	char buf[CMSG_SPACE(sizeof(int))];
	struct cmsghdr align;
};

int child_send_fd(struct child *c, int fd)
{
	union fd_msg control = {};
	char byte = 0;
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf),
	};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));
	return sendmsg(c->sock, &msg, MSG_NOSIGNAL) == 1 ? 0 : -errno;
}

int child_recv_fd(struct child *c)
{
	union fd_msg control = {};
	char byte;
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf),
	};
	struct cmsghdr *cmsg;
	int err = wait_readable(c->sock);
	int fd;

	if (err)
		return err;
	if (recvmsg(c->sock, &msg, 0) != 1)
		return -EPIPE;
	cmsg = CMSG_FIRSTHDR(&msg);
	if (!cmsg || cmsg->cmsg_type != SCM_RIGHTS)
		return -EBADMSG;
	memcpy(&fd, CMSG_DATA(cmsg), sizeof(fd));
	return fd;
}

int child_end(struct child *c)
{
	int pidfd = syscall(SYS_pidfd_open, c->pid, 0);
	int err = pidfd < 0 ? -errno : wait_readable(pidfd);
	int status = 0;

	if (pidfd >= 0)
		close(pidfd);
	if (err)
		kill(c->pid, SIGKILL);
	/* One that cannot be killed is left to the test's time limit. */
	if (waitpid(c->pid, &status, 0) != c->pid && !err)
		err = -errno;
	close(c->sock);
	if (err)
		return err;
	return WIFEXITED(status) ? WEXITSTATUS(status) :
				   128 + WTERMSIG(status);
}

static int open_and_stay(struct child *c, void *arg)
{
	int fd = xm_open(*(unsigned int *)arg);

	CHILD_CHECK(fd >= 0 && !child_send_fd(c, fd));
	pause();
	return 0;
}

int xm_open_foreign(unsigned int n)
{
	struct child c;
	int err = child_start(&c, open_and_stay, &n);

	return err ? err : child_recv_fd(&c);
}

int xm_kill_and_stop(pid_t pid)
{
	int status;

	if (ptrace(PTRACE_SEIZE, pid, NULL, PTRACE_O_TRACEEXIT))
		return -errno;
	if (kill(pid, SIGKILL))
		return -errno;
	if (waitpid(pid, &status, __WALL) != pid)
		return -errno;
	return status >> 8 == (SIGTRAP | PTRACE_EVENT_EXIT << 8) ? 0 : -ESRCH;
}

int xm_reap(pid_t pid)
{
	int pidfd = syscall(SYS_pidfd_open, pid, 0), err = 0;

	if (pidfd < 0)
		return -errno;
	if (syscall(SYS_process_mrelease, pidfd, 0))
		err = -errno;
	close(pidfd);
	return err;
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;

	/* At once: it may not be able to write later, when a fork() is under way. */
	__atomic_store_n(&w->tid, gettid(), __ATOMIC_SEQ_CST);
	while (sem_wait(&w->go))
		;
	w->err = w->fn(w);
	__atomic_store_n(&w->tid, -1, __ATOMIC_SEQ_CST);
	return NULL;
}

static int open_syscall(pid_t tid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/task/%d/syscall", tid);
	return open(path, O_RDONLY | O_CLOEXEC);
}

int xm_no_faults(void)
{
	if (mlockall(MCL_CURRENT))
		return -errno;
	return xm_now_ns() ? 0 : -EIO;
}

int worker_prepare(struct worker *w)
{
	int err;

	if (w->prepared)
		return 0;
	w->tid = 0;
	w->stop = false;
	sem_init(&w->go, 0, 0);
	err = pthread_create(&w->thread, NULL, worker_main, w);
	w->prepared = !err;
	while (!err && !XM_LOAD(&w->tid))
		sched_yield();
	return -err;
}

int worker_start(struct worker *w)
{
	int err = worker_prepare(w);

	if (!err)
		sem_post(&w->go);
	return err;
}

int worker_start_counting(struct worker *w, const __u64 *count)
{
	__u64 start = xm_now_ns();
	int err = worker_start(w);

	while (!err && !XM_LOAD(count) && !worker_ended(w)) {
		if (xm_expired(start, XM_LONG))
			err = -ETIMEDOUT;
		sched_yield();
	}
	return err;
}

bool worker_awaits_start(const struct worker *w, const char *text)
{
	char start[64];
	int n;

	/* The futex is the first thing in a semaphore. */
	n = snprintf(start, sizeof(start), "%ld %#lx ", (long)SYS_futex,
		     (unsigned long)&w->go);
	return !strncmp(text, start, n);
}

bool worker_ended(struct worker *w)
{
	return XM_LOAD(&w->tid) < 0;
}

__u64 worker_cpu_ns(struct worker *w)
{
	struct timespec t = {};
	clockid_t clock;

	if (!pthread_getcpuclockid(w->thread, &clock))
		clock_gettime(clock, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

int worker_join(struct worker *w)
{
	struct timespec end;
	int err;

	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += XM_LONG / 1000;
	err = pthread_timedjoin_np(w->thread, NULL, &end);
	w->prepared = false;
	return err ? -err : w->err;
}

bool worker_blocked(struct worker *w, long nr)
{
	__u64 start = xm_now_ns();
	bool blocked = false;
	char text[256];
	int fd = -1;
	ssize_t n;
	pid_t tid;

	while (!blocked && !xm_expired(start, XM_LONG)) {
		tid = XM_LOAD(&w->tid);
		if (tid < 0)
			break;
		if (tid && fd < 0)
			fd = open_syscall(tid);
		if (fd >= 0) {
			n = pread(fd, text, sizeof(text) - 1, 0);
			text[n > 0 ? n : 0] = 0;
			/* "running" while it is not asleep */
			blocked = n > 0 && text[0] != 'r' && atol(text) == nr;
		}
		if (!blocked)
			sched_yield();
	}
	if (fd >= 0)
		close(fd);
	return blocked;
}

int work_fault_read(struct worker *w)
{
	return xm_fault(w->fd, w->addr, w->len, 0, &w->done);
}

int work_fault_write(struct worker *w)
{
	return xm_fault(w->fd, w->addr, w->len, XMIRROR_FAULT_WRITE, &w->done);
}

int work_exclusive(struct worker *w)
{
	return xm_exclusive(w->fd, w->addr, w->len, &w->done);
}

int work_release(struct worker *w)
{
	return xm_release(w->fd, w->addr, w->len, &w->done);
}

int work_add(struct worker *w)
{
	return xm_add(w->fd, w->addr, w->arg);
}

int work_to_device(struct worker *w)
{
	return xm_migrate(w->fd, w->addr, w->len, 0, 0, &w->done);
}

int work_touch(struct worker *w)
{
	w->arg = XM_LOAD((__u64 *)w->addr);
	return 0;
}

int work_cpu_add(struct worker *w)
{
	XM_ADD((__u64 *)w->addr, w->arg);
	return 0;
}

int work_munmap(struct worker *w)
{
	return munmap(w->addr, w->len) ? -errno : 0;
}

int work_mprotect(struct worker *w)
{
	return mprotect(w->addr, w->len, w->arg) ? -errno : 0;
}

int work_madvise(struct worker *w)
{
	return madvise(w->addr, w->len, w->arg) ? -errno : 0;
}

int work_mremap(struct worker *w)
{
	void *p = mremap(w->addr, w->len, w->len,
			 MREMAP_MAYMOVE | MREMAP_FIXED, w->to);

	return p == w->to ? 0 : -errno;
}

int work_store(struct worker *w)
{
	return xm_op(w->fd, XMIRROR_OP_STORE, 8, w->addr, w->arg, NULL);
}

int work_close(struct worker *w)
{
	return close(w->fd) ? -errno : 0;
}

int work_list(struct worker *w)
{
	struct xmirror_cmd cmd = xm_cmds(XMIRROR_OP_ADD, 8, w->addr, 8,
					 XM_PAGE / 8, w->arg);

	return xm_run(w->fd, &cmd, NULL);
}

int work_wait(struct worker *w)
{
	return xm_wait(w->fd, w->arg, XM_LONG, NULL);
}

static int look(const struct worker *w)
{
	__u64 *p = w->addr, was = XM_LOAD(p);
	int i;

	if (was < w->done || was > w->arg)
		return 1;
	for (i = 0; i < 1000; i++) {
		if (XM_LOAD(p) != was)
			return 2;
	}
	XM_STORE(p, 12345);
	return 0;
}

int work_fork(struct worker *w)
{
	int status;
	pid_t pid;

	pid = fork();
	if (pid < 0)
		return -errno;
	if (!pid)
		_exit(look(w));
	return waitpid(pid, &status, 0) == pid ? status : -errno;
}

pid_t kthread_named(const char *name)
{
	char path[64], comm[32];
	struct dirent *entry;
	DIR *dir = opendir("/proc");
	pid_t found = 0;
	FILE *f;

	while (dir && !found && (entry = readdir(dir))) {
		snprintf(path, sizeof(path), "/proc/%.16s/comm", entry->d_name);
		f = fopen(path, "re");
		if (!f)
			continue;
		if (fgets(comm, sizeof(comm), f)) {
			comm[strcspn(comm, "\n")] = 0;
			found = strcmp(comm, name) ? 0 : atoi(entry->d_name);
		}
		fclose(f);
	}
	if (dir)
		closedir(dir);
	return found;
}

bool xm_swaps_to_disk(void)
{
	char line[256], name[128];
	int disks = 0, others = 0;
	FILE *f = fopen("/proc/swaps", "re");

	if (!f)
		return false;
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "/%127s", name) != 1)
			continue;
		if (strstr(name, "zram"))
			others++;
		else
			disks++;
	}
	fclose(f);
	return disks && !others;
}
