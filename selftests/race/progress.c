// SPDX-License-Identifier: GPL-2.0
/*
 * Who needs a page that somebody else has locked, or is moving, sleeps until it can be
 * had, and takes no CPU from the one it waits for.
 *
 * All threads run on one CPU. One is stopped with the page; the other is seen to sleep,
 * and then the kernel counts how often it gets the CPU while the test gives it away a
 * hundred times: never. On a kernel that does not preempt, one that looks again and again
 * would never let the first go on.
 */
#include <fcntl.h>
#include <sys/syscall.h>

#include "race.h"

/* A thread that has got the CPU so often, while the first has the page, does not sleep. */
#define MANY	100

static int other_device(struct worker *w)
{
	struct worker fault = { .fd = w->arg, .addr = w->addr, .len = XM_PAGE };

	return work_fault_read(&fault);
}

FIXTURE(progress) {
	RACE_FIELDS;
	int peer;
};

/**
 * @point: where the first is stopped, with the page
 * @first: what it is doing
 * @second: what waits for it
 * @private: the page is in private memory to begin with
 * @huge: so are 2 MiB, as one
 * @spins: the first kernel that spins, 0 if none does
 */
FIXTURE_VARIANT(progress) {
	enum xmirror_point point;
	int (*first)(struct worker *w);
	int (*second)(struct worker *w);
	bool private;
	bool huge;
	int spins;
};

#define WAITS(name, where, what, is_private, is_huge, since) \
	FIXTURE_VARIANT_ADD(progress, name##_cpu) { \
		.point = XMIRROR_PT_##where, .first = (what), \
		.second = work_touch, .private = (is_private), \
		.huge = (is_huge), .spins = (since), \
	}; \
	FIXTURE_VARIANT_ADD(progress, name##_device) { \
		.point = XMIRROR_PT_##where, .first = (what), \
		.second = other_device, .private = (is_private), \
		.huge = (is_huge), .spins = (since), \
	}

WAITS(exclusive_folio, EXCL_MADE, work_exclusive, false, false, 0);
WAITS(to_device, MIGRATE_COPIED, work_to_device, false, false, 0);
WAITS(to_device_huge, MIGRATE_COPIED, work_to_device, false, true, 0);
WAITS(locked, TO_RAM_BEGIN, work_touch, true, false, 0);
WAITS(locked_huge, TO_RAM_BEGIN, work_touch, true, true, XM_KVER(7, 0));
WAITS(to_system, TO_RAM_COPIED, work_touch, true, false, 0);
WAITS(to_system_huge, TO_RAM_COPIED, work_touch, true, true, 0);

FIXTURE_SETUP(progress)
{
	size_t len = variant->huge ? XM_PMD : XM_PAGE;
	__u64 moved = 0;

	self->fd = -1;
	NEED(XMIRROR_CAP_SYNC | XMIRROR_CAP_EXCLUSIVE | XMIRROR_CAP_PRIVATE);
	if (variant->huge)
		NEED(XMIRROR_CAP_PRIVATE_LARGE);
	/* The page is not locked while it is brought back before, M5. */
	if (variant->point == XMIRROR_PT_TO_RAM_BEGIN && xm_kver() < XM_KVER(7, 0))
		XM_SKIP(return, "a private page is not locked before Linux 7.0");
	ASSERT_EQ(0, xm_pin_cpu());
	RACE_SETUP();
	OPEN(self->peer, 1);
	if (variant->huge) {
		self->p = (__u64 *)xm_thp(self->fd, 0);
		if (!self->p)
			XM_SKIP(return, "THP allocation failed");
	}
	*self->p = 5;
	/* One that spins takes a tick each time, and its deadline is not the point. */
	ASSERT_EQ(0, xm_set(self->peer, XMIRROR_SET_TIMEOUT, 2 * XM_LONG, NULL));
	/* A notifier of the peer is there, which takes mmap_lock for writing. */
	ASSERT_EQ(0, xm_fault(self->peer, self->p, XM_PAGE, 0, NULL));
	self->op.addr = self->p;
	self->op.len = len;
	self->other.addr = self->p;
	self->other.len = len;
	self->other.arg = self->peer;
	if (variant->private) {
		ASSERT_EQ(0, xm_migrate(self->fd, self->p, len, 0, 0, &moved));
		ASSERT_EQ(len / XM_PAGE, moved);
		ASSERT_EQ(variant->huge, !!(xm_page(self->fd, self->p).cpu &
					    XMIRROR_CPU_HUGE));
	}
	ASSERT_EQ(0, worker_prepare(&self->op));
}

FIXTURE_TEARDOWN(progress)
{
	if (self->fd < 0)
		return;
	EXPECT_CLEAN(self->fd);
	EXPECT_CLEAN(self->peer);
	close(self->peer);
	close(self->fd);
}

/**
 * struct look - what the kernel says of a thread, without mmap_lock and page faults
 * @status: its file in /proc
 * @call: that with the system call in which it sleeps
 */
struct look {
	int status;
	int call;
};

static void look_at(struct look *look, pid_t tid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/task/%d/status", tid);
	look->status = open(path, O_RDONLY | O_CLOEXEC);
	snprintf(path, sizeof(path), "/proc/self/task/%d/syscall", tid);
	look->call = open(path, O_RDONLY | O_CLOEXEC);
}

static void look_away(struct look *look)
{
	close(look->status);
	close(look->call);
}

/* How often it has been given the CPU; -1 if nobody knows */
static long turns(const struct look *look)
{
	static const char *const names[] = {
		"\nvoluntary_ctxt_switches:", "\nnonvoluntary_ctxt_switches:",
	};
	static char text[8192];
	ssize_t n = pread(look->status, text, sizeof(text) - 1, 0);
	long sum = 0;
	char *at;

	text[n > 0 ? n : 0] = 0;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		at = strstr(text, names[i]);
		if (!at)
			return -1;
		sum += atol(at + strlen(names[i]));
	}
	return sum;
}

/* Does it sleep, in system call @nr? */
static bool is_asleep(const struct look *look, long nr)
{
	char text[256];
	ssize_t n = pread(look->call, text, sizeof(text) - 1, 0);

	text[n > 0 ? n : 0] = 0;
	return n > 0 && text[0] != 'r' && atol(text) == nr;
}

/*
 * Give the CPU away until the thread sleeps, and then so often: true if it has not been
 * given to it any more. False also if it never sleeps.
 */
static bool sleeps(const struct look *look, long nr)
{
	long first = turns(look), before;
	__u64 start = xm_now_ns();
	int i;

	while (!is_asleep(look, nr)) {
		if (turns(look) > first + MANY || xm_expired(start, XM_LONG))
			return false;
		sched_yield();
	}
	before = turns(look);
	for (i = 0; i < MANY; i++)
		sched_yield();
	return before > 0 && turns(look) == before;
}

/* covers: M5 */
TEST_F(progress, waiter_sleeps)
{
	long nr = variant->second == work_touch ? IN_FAULT : SYS_ioctl;
	struct look look;
	pid_t tid;
	bool slept;

	look_at(&look, gettid());
	ASSERT_LE(0, turns(&look));
	look_away(&look);
	STOP_AT(variant->point, variant->first);
	self->other.fn = variant->second;
	ASSERT_EQ(0, worker_start(&self->other));
	tid = XM_LOAD(&self->other.tid);
	ASSERT_LT(0, tid);
	look_at(&look, tid);
	slept = sleeps(&look, nr);
	look_away(&look);
	EXPECT_FALSE(worker_ended(&self->other));
	FINISH(0);
	EXPECT_EQ(0, worker_join(&self->other));
	EXPECT_EQ(5, XM_LOAD(self->p));
	XM_XFAIL_IF(variant->spins && xm_kver() >= variant->spins, slept,
		    "finding 31: a huge private page that is locked");
}

TEST_HARNESS_MAIN
