// SPDX-License-Identifier: GPL-2.0
/*
 * Each allocation of each call fails once: the kernel's fault injection lets the
 * Nth one of this thread fail, N goes up until the call makes no Nth one. What
 * the call then answers is an error it may give, the memory holds what it held,
 * VERIFY finds nothing, the same call works right after, and no device memory is
 * lost. Any other leak is found when the guest unloads the modules.
 *
 * A page fault of the program itself would be a call of its own, hence
 * everything is locked in memory but what the calls are about.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/rseq.h>

#include "fail_nth.h"
#include "test.h"

#define PAGES	8UL
#define SIZE	(PAGES * XM_PAGE)
#define WORDS	(SIZE / 8)
/* No call makes that many allocations. */
#define MOST	2000

/**
 * struct stage - what a call is made on, new for each N
 * @fd: a mirror of device 0
 * @peer: one of device 1
 * @p: PAGES of memory that hold value(i)
 * @fence: a finished job
 * @sync: an armed sync point
 */
struct stage {
	int fd;
	int peer;
	__u64 *p;
	__u64 fence;
	__u32 sync;
};

static __u64 value(size_t i)
{
	return 0x123456789abcdefULL * (i + 1);
}

static __u64 buffer[WORDS];
static struct xmirror_page seen[PAGES];
static sigjmp_buf on_sigbus;

static void sigbus(int sig)
{
	siglongjmp(on_sigbus, sig);
}

/* The stage as it is beforehand; the error if it cannot be made so. */

static int to_device(struct stage *s)
{
	return xm_migrate(s->fd, s->p, SIZE, 0, 0, NULL);
}

static int to_peer(struct stage *s)
{
	return xm_migrate(s->peer, s->p, SIZE, 0, 0, NULL);
}

static int preferred(struct stage *s)
{
	return xm_set(s->fd, XMIRROR_SET_SLICE, 1, NULL) ?:
	       xm_prefer(s->fd, s->p, SIZE, XMIRROR_PREFER_DEVICE);
}

static int exclusive(struct stage *s)
{
	return xm_exclusive(s->fd, s->p, SIZE, NULL);
}

static int mapped(struct stage *s)
{
	return xm_fault(s->fd, s->p, SIZE, XMIRROR_FAULT_WRITE, NULL);
}

static int write_protected(struct stage *s)
{
	/* A second user of each page makes the next write copy it. */
	return mprotect(s->p, SIZE, PROT_READ) ||
	       mprotect(s->p, SIZE, PROT_READ | PROT_WRITE) ? -errno : 0;
}

static int job_done(struct stage *s)
{
	struct xmirror_cmd cmd = xm_cmd(XMIRROR_OP_LOAD, 8, s->p, 0);
	int err = xm_submit(s->fd, 0, &cmd, 1, 1, &s->fence);

	return err;
}

static int armed(struct stage *s)
{
	return xm_sync_arm(s->fd, XMIRROR_PT_RELEASE, s->p, XM_PAGE, &s->sync);
}

/* The calls; negative errno. */

static int do_info(struct stage *s)
{
	struct xmirror_info info;

	return xm_info(s->fd, &info);
}

static int do_set(struct stage *s)
{
	return xm_set(s->fd, XMIRROR_SET_GRANULE, XM_2M, NULL);
}

static int do_fault(struct stage *s)
{
	return xm_fault(s->fd, s->p, SIZE, XMIRROR_FAULT_WRITE, NULL);
}

static int do_exclusive(struct stage *s)
{
	return exclusive(s);
}

static int do_bare(struct stage *s)
{
	struct xmirror_range r = {
		.size = sizeof(r),
		.flags = XMIRROR_EXCLUSIVE_BARE,
		.addr = (uintptr_t)s->p,
		.length = SIZE,
	};

	return xm_ioctl(s->fd, XMIRROR_IOC_EXCLUSIVE, &r);
}

static int do_release(struct stage *s)
{
	return xm_release(s->fd, s->p, SIZE, NULL);
}

static int do_read(struct stage *s)
{
	int err = xm_read(s->fd, s->p, buffer, SIZE);

	return !err && buffer[WORDS - 1] != value(WORDS - 1) ? -EBADMSG : err;
}

static int do_write(struct stage *s)
{
	size_t i;

	for (i = 0; i < WORDS; i++)
		buffer[i] = value(i);
	return xm_write(s->fd, s->p, buffer, SIZE);
}

static int do_submit(struct stage *s)
{
	struct xmirror_cmd cmds[] = {
		xm_cmd(XMIRROR_OP_LOAD, 8, s->p, 0),
		xm_cmds(XMIRROR_OP_STORE, 8, s->p, 0, 1, value(0)),
	};

	return xm_submit(s->fd, 0, cmds, 2, 1, &s->fence);
}

static int do_submit_event(struct stage *s)
{
	struct xmirror_cmd cmd = xm_cmd(XMIRROR_OP_LOAD, 8, s->p, 0);
	struct xmirror_submit submit = {
		.size = sizeof(submit),
		.flags = XMIRROR_SUBMIT_EVENTFD,
		.nr_cmds = 1,
		.cmds = (uintptr_t)&cmd,
		.repeat = 1,
	};
	int err;

	submit.eventfd = eventfd(0, EFD_CLOEXEC);
	if (submit.eventfd < 0)
		return -errno;
	err = xm_ioctl(s->fd, XMIRROR_IOC_SUBMIT, &submit);
	close(submit.eventfd);
	return err;
}

static int do_wait(struct stage *s)
{
	__u64 result = 0;
	struct xmirror_wait w;
	int err = xm_wait_results(s->fd, s->fence, XM_LONG, &result, 1, &w);

	if (!err && (w.status || result != value(0)))
		return -EBADMSG;
	/* The one that worked took the job. */
	return err;
}

static int do_snapshot(struct stage *s)
{
	return xm_snapshot(s->fd, s->p, SIZE, seen);
}

static int do_verify(struct stage *s)
{
	struct xmirror_verify v;
	int err = xm_verify(s->fd, &v);

	return !err && v.violations ? -EBADMSG : err;
}

static int do_stats(struct stage *s)
{
	struct xmirror_stats stats;

	return xm_stats(s->fd, &stats);
}

static int do_arm(struct stage *s)
{
	return xm_sync_arm(s->fd, XMIRROR_PT_RELEASE, s->p, XM_PAGE, &s->sync);
}

static int do_disarm(struct stage *s)
{
	return xm_sync_resume(s->fd, s->sync, NULL);
}

static int do_inject(struct stage *s)
{
	int err = xm_inject(s->fd, XMIRROR_INJECT_COPY, 0, 1, 0);

	return err ? err : xm_inject_end(s->fd, XMIRROR_INJECT_COPY, NULL,
					 NULL);
}

static int do_vram(struct stage *s)
{
	struct xmirror_vram v = {
		.size = sizeof(v),
		.op = XMIRROR_VRAM_QUERY,
	};

	return xm_ioctl(s->fd, XMIRROR_IOC_VRAM, &v);
}

static int do_to_device(struct stage *s)
{
	return xm_migrate(s->fd, s->p, SIZE, 0, 0, NULL);
}

static int do_to_system(struct stage *s)
{
	return xm_migrate(s->fd, s->p, SIZE, XMIRROR_MIGRATE_TO_SYSTEM, 0,
			  NULL);
}

static int do_from_peer(struct stage *s)
{
	return xm_migrate(s->fd, s->p, SIZE, XMIRROR_MIGRATE_FROM_PEER, 1,
			  NULL);
}

static int do_gather(struct stage *s)
{
	return xm_migrate(s->fd, s->p, SIZE, XMIRROR_MIGRATE_GATHER, 0, NULL);
}

static int do_prefer(struct stage *s)
{
	return xm_prefer(s->fd, s->p, SIZE, XMIRROR_PREFER_DEVICE);
}

static int do_unplug(struct stage *s)
{
	struct xmirror_unplug u = { .size = sizeof(u), .timeout_ms = 1 };

	return xm_ioctl(s->fd, XMIRROR_IOC_UNPLUG, &u);
}

static int do_replug(struct stage *s)
{
	struct xmirror_unplug u = {
		.size = sizeof(u),
		.flags = XMIRROR_UNPLUG_REPLUG,
	};

	return xm_ioctl(s->fd, XMIRROR_IOC_UNPLUG, &u);
}

static int do_open(struct stage *s)
{
	int fd = xm_open(1);

	(void)s;
	if (fd >= 0)
		close(fd);
	return fd < 0 ? fd : 0;
}

static int do_close(struct stage *s)
{
	int fd = s->fd;

	s->fd = -1;
	return close(fd) ? -errno : 0;
}

static int do_mmap(struct stage *s)
{
	void *p = mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int err;

	if (p == MAP_FAILED)
		return -errno;
	err = xm_fault(s->fd, p, SIZE, XMIRROR_FAULT_WRITE, NULL);
	/* Unmapping never needs memory that cannot be had for the whole VMA. */
	if (munmap(p, SIZE) && errno != ENOMEM)
		return -errno;
	return err;
}

/* A device has nothing to map, and that is no matter of memory. */
static int do_mmap_device(struct stage *s)
{
	void *p = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, s->fd, 0);

	if (p == MAP_FAILED)
		return -errno;
	munmap(p, SIZE);
	return 0;
}

static int do_mprotect(struct stage *s)
{
	/* In the middle: it takes two new VMAs. */
	void *p = (char *)s->p + XM_PAGE;

	if (mprotect(p, 2 * XM_PAGE, PROT_READ))
		return -errno;
	return mprotect(p, 2 * XM_PAGE, PROT_READ | PROT_WRITE) ? -errno : 0;
}

static int do_fork(struct stage *s)
{
	pid_t pid = fork();
	int status;

	if (pid < 0)
		return -errno;
	if (!pid)
		_exit(s->p[WORDS - 1] != value(WORDS - 1));
	if (waitpid(pid, &status, 0) != pid)
		return -errno;
	return status ? -EBADMSG : 0;
}

/* A fault for which there is no memory is tried again or ends in SIGBUS. */
static int do_touch(struct stage *s)
{
	size_t i;

	if (sigsetjmp(on_sigbus, 1))
		return -ENOMEM;
	for (i = 0; i < WORDS; i += XM_PAGE / 8) {
		if (XM_LOAD(s->p + i) != value(i))
			return -EBADMSG;
	}
	return 0;
}

#define MAY_FAULT	1	/* the core makes EFAULT of a failed page fault */
#define MAY_AGAIN	2	/* EAGAIN: no process */
#define MAY_BUSY	4	/* EBUSY: page left where it is, or retried */
#define ONCE		8	/* does not work again once it has */

static const struct call {
	const char *name;
	int (*fn)(struct stage *s);
	int (*before)(struct stage *s);
	__u64 cap;
	int may;
} calls[] = {
	{ "open", do_open, NULL, 0, 0 },
	{ "close", do_close, mapped, 0, ONCE },
	{ "close, exclusive", do_close, exclusive, XMIRROR_CAP_EXCLUSIVE,
	  ONCE },
	{ "close, device memory", do_close, to_device, XMIRROR_CAP_PRIVATE,
	  ONCE },
	{ "mmap of the device", do_mmap_device, NULL, 0, 0 },
	{ "mmap, FAULT, munmap", do_mmap, NULL, 0, MAY_FAULT },
	{ "mprotect", do_mprotect, mapped, 0, 0 },
	{ "mprotect, exclusive", do_mprotect, exclusive,
	  XMIRROR_CAP_EXCLUSIVE, 0 },
	{ "mprotect, device memory", do_mprotect, to_device,
	  XMIRROR_CAP_PRIVATE, 0 },
	{ "fork", do_fork, mapped, 0, MAY_AGAIN },
	{ "fork, exclusive", do_fork, exclusive, XMIRROR_CAP_EXCLUSIVE,
	  MAY_AGAIN },
	{ "fork, device memory", do_fork, to_device, XMIRROR_CAP_PRIVATE,
	  MAY_AGAIN },
	{ "CPU access, exclusive", do_touch, exclusive, XMIRROR_CAP_EXCLUSIVE,
	  0 },
	{ "CPU access, device memory", do_touch, to_device,
	  XMIRROR_CAP_PRIVATE, 0 },
	{ "INFO", do_info, NULL, 0, 0 },
	{ "SET", do_set, NULL, 0, 0 },
	{ "FAULT", do_fault, NULL, 0, MAY_FAULT },
	{ "FAULT, after mprotect", do_fault, write_protected, 0, MAY_FAULT },
	{ "FAULT, peer's memory", do_fault, to_peer, XMIRROR_CAP_PRIVATE,
	  MAY_FAULT },
	{ "FAULT, preferred", do_fault, preferred, XMIRROR_CAP_PRIVATE,
	  MAY_FAULT },
	{ "EXCLUSIVE", do_exclusive, NULL, XMIRROR_CAP_EXCLUSIVE, MAY_FAULT },
	{ "EXCLUSIVE, device memory", do_exclusive, to_device,
	  XMIRROR_CAP_EXCLUSIVE | XMIRROR_CAP_PRIVATE, MAY_FAULT },
	{ "EXCLUSIVE, BARE", do_bare, NULL, XMIRROR_CAP_EXCLUSIVE, MAY_FAULT },
	{ "RELEASE", do_release, exclusive, XMIRROR_CAP_EXCLUSIVE, MAY_FAULT },
	{ "RW, read", do_read, NULL, 0, MAY_FAULT },
	{ "RW, write", do_write, NULL, 0, MAY_FAULT },
	{ "RW, write, exclusive", do_write, exclusive, XMIRROR_CAP_EXCLUSIVE,
	  MAY_FAULT },
	{ "RW, read, device memory", do_read, to_device, XMIRROR_CAP_PRIVATE,
	  MAY_FAULT },
	{ "SUBMIT", do_submit, NULL, 0, 0 },
	{ "SUBMIT, eventfd", do_submit_event, NULL, 0, 0 },
	{ "WAIT", do_wait, job_done, 0, ONCE },
	{ "SNAPSHOT", do_snapshot, mapped, 0, 0 },
	{ "VERIFY", do_verify, mapped, 0, 0 },
	{ "STATS", do_stats, mapped, 0, 0 },
	{ "SYNC, arm", do_arm, NULL, 0, 0 },
	{ "SYNC, resume", do_disarm, armed, 0, ONCE },
	{ "INJECT", do_inject, NULL, 0, 0 },
	{ "VRAM", do_vram, NULL, 0, 0 },
	{ "MIGRATE", do_to_device, NULL, XMIRROR_CAP_PRIVATE, 0 },
	{ "MIGRATE, to system", do_to_system, to_device, XMIRROR_CAP_PRIVATE,
	  0 },
	{ "MIGRATE, from peer", do_from_peer, to_peer, XMIRROR_CAP_PRIVATE, 0 },
	{ "MIGRATE, gather", do_gather, to_peer, XMIRROR_CAP_PRIVATE, 0 },
	{ "PREFER", do_prefer, NULL, XMIRROR_CAP_PRIVATE, 0 },
	{ "UNPLUG", do_unplug, to_device, XMIRROR_CAP_PRIVATE, MAY_BUSY },
	{ "UNPLUG, replug", do_replug, NULL, XMIRROR_CAP_PRIVATE, 0 },
};

static int stage_make(struct stage *s, const struct call *call)
{
	size_t i;

	s->fd = xm_open(0);
	s->peer = xm_open(1);
	s->p = xm_anon(SIZE);
	if (s->fd < 0 || s->peer < 0 || !s->p)
		return -ENOENT;
	for (i = 0; i < WORDS; i++)
		s->p[i] = value(i);
	return call->before ? call->before(s) : 0;
}

static void stage_end(struct stage *s)
{
	if (s->fd >= 0)
		close(s->fd);
	if (s->peer >= 0)
		close(s->peer);
	if (s->p)
		munmap(s->p, SIZE);
}

static size_t wrong(const __u64 *p)
{
	size_t i, n = 0;

	for (i = 0; i < WORDS; i++)
		n += p[i] != value(i);
	return n;
}

static bool clean_error(const struct call *call, int err)
{
	switch (err) {
	case 0:
	case -ENOMEM:
		return true;
	case -EFAULT:
		return call->may & MAY_FAULT;
	case -EAGAIN:
		return call->may & MAY_AGAIN;
	case -EBUSY:
		return call->may & MAY_BUSY;
	}
	return false;
}

FIXTURE(fail_nth) {
	int nth;
};

FIXTURE_VARIANT(fail_nth) {
	const char *what;
};

FIXTURE_VARIANT_ADD(fail_nth, open_) { .what = "open" };
FIXTURE_VARIANT_ADD(fail_nth, close_) { .what = "close" };
FIXTURE_VARIANT_ADD(fail_nth, mmap_) { .what = "mmap" };
FIXTURE_VARIANT_ADD(fail_nth, mprotect_) { .what = "mprotect" };
FIXTURE_VARIANT_ADD(fail_nth, fork_) { .what = "fork" };
FIXTURE_VARIANT_ADD(fail_nth, cpu_access_) { .what = "CPU access" };
FIXTURE_VARIANT_ADD(fail_nth, info_) { .what = "INFO" };
FIXTURE_VARIANT_ADD(fail_nth, set_) { .what = "SET" };
FIXTURE_VARIANT_ADD(fail_nth, fault_) { .what = "FAULT" };
FIXTURE_VARIANT_ADD(fail_nth, exclusive_) { .what = "EXCLUSIVE" };
FIXTURE_VARIANT_ADD(fail_nth, release_) { .what = "RELEASE" };
FIXTURE_VARIANT_ADD(fail_nth, rw_) { .what = "RW" };
FIXTURE_VARIANT_ADD(fail_nth, submit_) { .what = "SUBMIT" };
FIXTURE_VARIANT_ADD(fail_nth, wait_) { .what = "WAIT" };
FIXTURE_VARIANT_ADD(fail_nth, snapshot_) { .what = "SNAPSHOT" };
FIXTURE_VARIANT_ADD(fail_nth, verify_) { .what = "VERIFY" };
FIXTURE_VARIANT_ADD(fail_nth, stats_) { .what = "STATS" };
FIXTURE_VARIANT_ADD(fail_nth, sync_) { .what = "SYNC" };
FIXTURE_VARIANT_ADD(fail_nth, inject_) { .what = "INJECT" };
FIXTURE_VARIANT_ADD(fail_nth, vram_) { .what = "VRAM" };
/* covers: D9 */
FIXTURE_VARIANT_ADD(fail_nth, migrate_) { .what = "MIGRATE" };
/* covers: T4 */
FIXTURE_VARIANT_ADD(fail_nth, unplug_) { .what = "UNPLUG" };

FIXTURE_SETUP(fail_nth)
{
	struct sigaction act = { .sa_handler = sigbus };

	self->nth = fail_nth_open();
	if (self->nth == -ENOENT)
		XM_SKIP(return, FAIL_NTH_WHY);
	ASSERT_GE(self->nth, 0);
	ASSERT_EQ(0, sigaction(SIGBUS, &act, NULL));
	ASSERT_EQ(0, mlockall(MCL_CURRENT));
	/*
	 * After a fork the kernel writes the thread's rseq area on return to
	 * user space, and where there is no memory for the copy kills with
	 * SIGSEGV.
	 */
	if (__rseq_size) {
		ASSERT_EQ(0, syscall(__NR_rseq, (char *)
				     __builtin_thread_pointer() + __rseq_offset,
				     sizeof(struct rseq), 1, RSEQ_SIG));
	}
}

FIXTURE_TEARDOWN(fail_nth)
{
	if (self->nth >= 0)
		close(self->nth);
}

/* The call with its @n-th allocation failing; whether it had so many. */
static bool inject(int nth, unsigned int n, const struct call *call,
		   struct stage *s, int *err)
{
	int hit;

	*err = fail_nth_arm(nth, n);
	if (*err)
		return false;
	*err = call->fn(s);
	hit = fail_nth_end(nth);
	if (hit < 0)
		*err = hit;
	return hit > 0;
}

static void sweep(struct __test_metadata *_metadata, int nth,
		  const struct call *call)
{
	unsigned int n, step, failed = 0, absorbed = 0;
	struct xmirror_stats before, after;
	struct stage s, watch;
	bool hit = true;
	int err;

	/* It sees the device's memory while the other files come and go. */
	watch.fd = xm_open(0);
	ASSERT_GE(watch.fd, 0);
	ASSERT_EQ(0, xm_stats(watch.fd, &before));
	/* Most of what fork() allocates is none of ours: take some. */
	step = call->fn == do_fork ? 5 : 1;
	for (n = 1; hit && n <= MOST; n += step) {
		ASSERT_EQ(0, stage_make(&s, call))
			TH_LOG("%s, round %u: the stage cannot be set",
			       call->name, n);
		hit = inject(nth, n, call, &s, &err);
		if (hit) {
			failed += !!err;
			absorbed += !err;
		}
		ASSERT_TRUE(clean_error(call, err)) {
			TH_LOG("%s, allocation %u: %s", call->name, n,
			       strerror(-err));
		}
		if (!hit) {
			EXPECT_EQ(0, err)
				TH_LOG("%s without failure", call->name);
		}
		if (err || !(call->may & ONCE)) {
			EXPECT_EQ(0, call->fn(&s))
				TH_LOG("%s does not work after failure %u",
				       call->name, n);
		}
		if (call->fn == do_unplug) {
			ASSERT_EQ(0, do_replug(&s));
		}
		if (s.fd >= 0) {
			EXPECT_CLEAN(s.fd);
		}
		EXPECT_CLEAN(s.peer);
		EXPECT_EQ(0, wrong(s.p))
			TH_LOG("%s, allocation %u: data lost", call->name, n);
		stage_end(&s);
	}
	EXPECT_FALSE(hit)
		TH_LOG("%s: still failing at %u", call->name, n);
	ASSERT_EQ(0, xm_stats(watch.fd, &after));
	EXPECT_EQ(before.devmem_free, after.devmem_free)
		TH_LOG("%s: device memory lost", call->name);
	close(watch.fd);
	TH_LOG("%s: %u failures injected, %u refused, %u absorbed", call->name,
	       failed + absorbed, failed, absorbed);
}

/* covers: T3, T5 */
TEST_F(fail_nth, sweep)
{
	size_t i, len = strlen(variant->what), swept = 0;

	for (i = 0; i < ARRAY_SIZE(calls); i++) {
		if (strncmp(calls[i].name, variant->what, len))
			continue;
		if ((xm_caps() & calls[i].cap) != calls[i].cap)
			continue;
		sweep(_metadata, self->nth, &calls[i]);
		swept++;
	}
	if (!swept)
		XM_SKIP(return, "%s: %s", variant->what, xm_why());
}

TEST_HARNESS_MAIN
