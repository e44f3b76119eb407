/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Children and threads with deadlines, for tests.
 */
#ifndef XM_LIBPROC_H
#define XM_LIBPROC_H

#include <semaphore.h>

#include "xm.h"

/* Children */

/**
 * struct child - a forked process and a line to it
 * @pid: in the parent; 0 in the child
 * @sock: the line's end
 */
struct child {
	pid_t pid;
	int sock;
};

/**
 * child_start: fork, and let the child exit with what @fn returns. It is killed
 * when the parent ends. -errno if fork() failed.
 */
int child_start(struct child *c, int (*fn)(struct child *c, void *arg),
		void *arg);
/** child_tell: send a byte to the other side. */
int child_tell(struct child *c, char what);
/** child_hear: the next byte from the other side, or a negative errno. */
int child_hear(struct child *c);
/** child_send_fd, child_recv_fd: pass a file by SCM_RIGHTS. */
int child_send_fd(struct child *c, int fd);
int child_recv_fd(struct child *c);
/** child_waits: a child's function that ends when it hears an 'e'. */
int child_waits(struct child *c, void *arg);
/**
 * child_end: wait for the child's end: exit code, 128 + signal, or -ETIMEDOUT
 * after which it has been killed.
 */
int child_end(struct child *c);

/**
 * xm_open_foreign: /dev/xmirror@n as opened by a child, which lives as long as this
 * process: a mirror of another mm. Returns the file or a negative errno.
 */
int xm_open_foreign(unsigned int n);

/**
 * xm_kill_and_stop: kill process @pid, and stop it in the last place where it has its
 * mm. The caller's thread then traces it: PTRACE_DETACH lets it come to its end.
 */
int xm_kill_and_stop(pid_t pid);
/** xm_reap: process_mrelease() of @pid. */
int xm_reap(pid_t pid);

/** CHILD_CHECK: in a child's function, say what is wrong and return 1. */
#define CHILD_CHECK(cond) \
	do { \
		if (!(cond)) { \
			dprintf(2, "# %s:%d: child: %s\n", __FILE__, \
				__LINE__, #cond); \
			return 1; \
		} \
	} while (0)

/* Threads */

/**
 * struct worker - a thread that makes one call
 * @fn: what to do; its result goes to @err
 * @fd, @addr, @len, @arg, @to: parameters for @fn
 * @err: result
 * @done: for range calls, the bytes done
 * @stop: for loops: set to make the worker end
 */
struct worker {
	int (*fn)(struct worker *w);
	int fd;
	void *addr;
	size_t len;
	__u64 arg;
	void *to;
	int err;
	__u64 done;
	bool stop;
	/* private */
	pthread_t thread;
	pid_t tid;
	sem_t go;
	bool prepared;
};

/**
 * xm_no_faults: keep page faults of the program's own pages away from threads
 * that hold mmap_lock while they are stopped: before Linux 6.4 each takes it. What
 * there is by now gets none any more. That does not include the page that the
 * clock is read from, which is the kernel's and comes with the first look.
 */
int xm_no_faults(void);

/**
 * worker_prepare: make the thread, which needs mmap_lock for writing, so that
 * worker_start() only has to wake it.
 */
int worker_prepare(struct worker *w);
int worker_start(struct worker *w);
/** worker_start_counting: and wait until it has counted @count up from 0: -ETIMEDOUT */
int worker_start_counting(struct worker *w, const __u64 *count);
/** worker_join: -ETIMEDOUT if the thread doesn't end, else what @fn returned */
int worker_join(struct worker *w);
/**
 * worker_blocked: wait until the thread sleeps in system call @nr. False if it
 * ended before. Does without mmap_lock and page faults.
 */
bool worker_blocked(struct worker *w, long nr);
/**
 * worker_awaits_start: whether @text, of its file "syscall" in /proc, is that of a thread
 * that waits for worker_start(), or is about to be woken by that: what is on its way to
 * another CPU has neither that nor its own one.
 */
bool worker_awaits_start(const struct worker *w, const char *text);
/** worker_ended: whether @fn has returned. */
bool worker_ended(struct worker *w);
/** worker_cpu_ns: how long the thread has had a CPU, in nanoseconds */
__u64 worker_cpu_ns(struct worker *w);

/* Functions for workers: calls on @addr and @len. */
int work_fault_read(struct worker *w);
int work_fault_write(struct worker *w);
int work_exclusive(struct worker *w);
int work_release(struct worker *w);
int work_add(struct worker *w);		/* device adds @arg at @addr */
int work_touch(struct worker *w);	/* CPU reads @addr to @arg */
int work_cpu_add(struct worker *w);	/* CPU adds @arg at @addr */
int work_to_device(struct worker *w);	/* @done: pages that moved */
int work_munmap(struct worker *w);
int work_mprotect(struct worker *w);	/* @arg is prot */
int work_madvise(struct worker *w);	/* @arg is advice */
int work_mremap(struct worker *w);	/* moves to @to */
/** work_store: the device stores @arg at @addr. */
int work_store(struct worker *w);
int work_close(struct worker *w);	/* @fd, whatever it is of */
/** work_list: the device adds @arg to every word of the page at @addr. */
int work_list(struct worker *w);
/** work_wait: wait for the job of fence @arg. */
int work_wait(struct worker *w);
/**
 * work_fork: fork; the child sees a value from @done to @arg at @addr, sees it
 * stay for a while, and writes. The result is the child's status.
 */
int work_fork(struct worker *w);

/** kthread_named: a thread of the kernel, such as "xmirror0/1" of an engine; or 0. */
pid_t kthread_named(const char *name);

/** xm_swaps_to_disk: swap is on, and none of it is zram, which has no swap cache. */
bool xm_swaps_to_disk(void);

#endif /* XM_LIBPROC_H */
