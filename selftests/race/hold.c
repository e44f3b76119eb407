// SPDX-License-Identifier: GPL-2.0
/*
 * XMIRROR_IOC_HOLD: a task is held at a function of the kernel, and every end of
 * that lets it go on.
 *
 * The held thread touches a page for the first time, in or behind
 * handle_mm_fault().
 */
#include <linux/capability.h>

#include "hold.h"
#include "test.h"

#define FUNCTION	"handle_mm_fault"
/* A fault makes some hundred calls, and some thousand if it has to find memory first. */
#define CALLS		32768

/**
 * struct arming - how a thread is held that arms for itself
 * @fd: the file
 * @function, @hit, @flags: as hold_arm()
 * @record: its calls are written down instead
 * @calls: to here
 * @nr: this was the number of them
 */
struct arming {
	int fd;
	__u64 function;
	__u32 hit;
	__u32 flags;
	bool record;
	struct xmirror_call calls[CALLS];
	int nr;
};

/*
 * Nothing lies between the arming and the touches. These are stores and no more:
 * XM_STORE() exchanges, which an emulated CPU may do as a load and a store, with a
 * fault each.
 */
static int touch_it(struct worker *w)
{
	struct arming *a = w->to;
	int i, err;

	err = a->record ? hold_record(a->fd, 0, 0, CALLS) :
	      hold_arm(a->fd, 0, 0, a->function, a->hit, a->flags);
	for (i = 0; i < 3 && !err; i++)
		*(volatile __u64 *)(w->addr + i * XM_PAGE) = 1;
	if (a->record && !err)
		a->nr = hold_calls(a->fd, 0, a->calls, CALLS);
	return err;
}

FIXTURE(hold)
{
	int fd;
	__u64 *p;
	__u64 function;
	struct arming arming;
	struct worker touch;
};

/* Once for all tests */
static void __attribute__((constructor)) load(void)
{
	if (xm_caps() & XMIRROR_CAP_HOLD)
		hold_load();
}

FIXTURE_SETUP(hold)
{
	unsigned int taken = 0;

	NEED(XMIRROR_CAP_HOLD);
	OPEN(self->fd, 0);
	ASSERT_EQ(0, hold_load());
	ASSERT_NE(NULL, hold_named(FUNCTION));
	self->function = hold_named(FUNCTION)->address;
	ASSERT_EQ(0, hold_attach(self->fd, &self->function, 1, &taken));
	ASSERT_EQ(1, taken);
	self->p = xm_anon(4 * XM_PAGE);
	self->touch.addr = self->p;
	self->touch.fn = touch_it;
	self->arming.fd = self->fd;
	self->touch.to = &self->arming;
	ASSERT_EQ(0, worker_prepare(&self->touch));
	ASSERT_EQ(0, xm_no_faults());
	/* That has populated it. */
	ASSERT_EQ(0, munlock(self->p, 4 * XM_PAGE));
	ASSERT_EQ(0, madvise(self->p, 4 * XM_PAGE, MADV_DONTNEED));
	ASSERT_FALSE(xm_is_present(self->p));
}

FIXTURE_TEARDOWN(hold)
{
	close(self->fd);
}

#define HOLD_IT(nr, how) \
	do { \
		self->arming.function = self->function; \
		self->arming.hit = (nr); \
		self->arming.flags = (how); \
		ASSERT_EQ(0, worker_start(&self->touch)); \
		ASSERT_EQ(0, hold_reached(self->fd, 0, XM_LONG, NULL)); \
	} while (0)

/* Held before the page is there: the page is not there. */
TEST_F(hold, entry_is_before_the_function)
{
	struct xmirror_hold how;

	HOLD_IT(0, 0);
	EXPECT_EQ(XMIRROR_HELD_HERE | XMIRROR_HELD_ASLEEP,
		  hold_state(self->fd, 0));
	EXPECT_FALSE(xm_is_present(self->p));
	EXPECT_FALSE(worker_ended(&self->touch));
	ASSERT_EQ(0, hold_release(self->fd, 0, &how));
	EXPECT_EQ(XMIRROR_HELD_HERE | XMIRROR_HELD_ASLEEP | XMIRROR_HELD_LEFT,
		  how.state);
	EXPECT_EQ(0, how.context);
	EXPECT_EQ(1, how.nr);
	EXPECT_NE(0, how.held_ns);
	EXPECT_EQ(0, worker_join(&self->touch));
	EXPECT_EQ(1, *self->p);
}

/* Held after it: the page is there, and nobody has written to it. */
TEST_F(hold, return_is_after_the_function)
{
	HOLD_IT(0, XMIRROR_HOLD_RETURN);
	EXPECT_TRUE(xm_is_present(self->p));
	EXPECT_EQ(0, XM_LOAD(self->p));
	EXPECT_FALSE(worker_ended(&self->touch));
	ASSERT_EQ(0, hold_release(self->fd, 0, NULL));
	EXPECT_EQ(0, worker_join(&self->touch));
	EXPECT_EQ(1, *self->p);
}

TEST_F(hold, call_is_counted)
{
	struct xmirror_hold how;

	HOLD_IT(2, 0);
	EXPECT_TRUE(xm_is_present((void *)self->p + XM_PAGE));
	EXPECT_FALSE(xm_is_present((void *)self->p + 2 * XM_PAGE));
	ASSERT_EQ(0, hold_release(self->fd, 0, &how));
	EXPECT_EQ(3, how.nr);
	EXPECT_EQ(0, worker_join(&self->touch));
}

TEST_F(hold, deadline_ends_it)
{
	struct xmirror_hold h = {
		.size = sizeof(h), .cmd = XMIRROR_HOLD_ARM,
		.function = self->function, .sleep_ms = 1, .spin_ms = 1,
	};
	struct xmirror_hold how;

	ASSERT_EQ(0, xm_ioctl(self->fd, XMIRROR_IOC_HOLD, &h));
	XM_STORE(self->p, 1);
	ASSERT_EQ(0, hold_release(self->fd, 0, &how));
	EXPECT_EQ(XMIRROR_HELD_HERE | XMIRROR_HELD_ASLEEP |
		  XMIRROR_HELD_TIMED_OUT | XMIRROR_HELD_LEFT, how.state);
}

TEST_F(hold, spins_if_told)
{
	struct xmirror_hold how;

	HOLD_IT(0, XMIRROR_HOLD_SPIN);
	ASSERT_EQ(0, hold_release(self->fd, 0, &how));
	EXPECT_FALSE(how.state & XMIRROR_HELD_ASLEEP);
	EXPECT_EQ(0, worker_join(&self->touch));
}

/* With the look-up of the VMA, whatever of it is not inlined */
static bool begins_fault(const char *name)
{
	static const char * const names[] = {
		"lock_vma_under_rcu", "lock_mm_and_find_vma", "find_vma",
		FUNCTION,
	};
	unsigned int i;

	for (i = 0; i < sizeof(names) / sizeof(*names); i++) {
		if (!strcmp(name, names[i]))
			return true;
	}
	return false;
}

/* The name before and since Linux 6.7 */
static bool adds_to_rmap(const char *name)
{
	return !strcmp(name, "page_add_new_anon_rmap") ||
	       !strcmp(name, "folio_add_new_anon_rmap");
}

/* With PREEMPT_RT a spin lock leaves preemption on, and is an RCU section. */
#define UNDER_SPIN_LOCK	(XMIRROR_IN_ATOMIC | XMIRROR_IN_RCU)

/*
 * Attached to all of mm/: the calls are written down with where they were made,
 * and in one that must not sleep the task spins.
 */
TEST_F(hold, spins_where_it_must_not_sleep)
{
	const struct xmirror_call *calls = self->arming.calls;
	static __u64 all[65536];
	const struct hold_function *f;
	struct xmirror_hold how;
	unsigned int nr, i, hit = 0, taken;
	int n, k;

	f = hold_functions(&nr);
	ASSERT_GT(65536, nr);
	for (i = 0; i < nr; i++)
		all[i] = f[i].address;
	ASSERT_EQ(0, hold_attach(self->fd, all, nr, &taken));
	TH_LOG("%u functions of mm/, %u can be traced", nr, taken);
	EXPECT_GT(taken, 500);
	self->arming.record = true;
	ASSERT_EQ(0, worker_start(&self->touch));
	ASSERT_EQ(0, worker_join(&self->touch));
	n = self->arming.nr;
	ASSERT_GT(n, 3);
	ASSERT_LE(n, CALLS);
	/* Not the end of the call that has armed it: a fault begins so */
	EXPECT_TRUE(begins_fault(hold_at(calls[0].ip)->name)) {
		TH_LOG("%s", hold_at(calls[0].ip)->name);
	}
	for (k = 0; k < n && strcmp(FUNCTION, hold_at(calls[k].ip)->name); k++)
		;
	ASSERT_LT(k, n);
	EXPECT_EQ(0, calls[k].context);
	/* Every such fault calls it with the lock of the page table. */
	for (k = 0; k < n && !adds_to_rmap(hold_at(calls[k].ip)->name); k++)
		;
	ASSERT_LT(k, n);
	EXPECT_TRUE(calls[k].context & UNDER_SPIN_LOCK);
	for (i = 0; (int)i < k; i++)
		hit += calls[i].ip == calls[k].ip;
	TH_LOG("%d calls, %s#%u spins", n, hold_at(calls[k].ip)->name, hit);

	ASSERT_EQ(0, madvise(self->p, 4 * XM_PAGE, MADV_DONTNEED));
	self->arming.record = false;
	self->function = calls[k].ip;
	ASSERT_EQ(0, worker_prepare(&self->touch));
	HOLD_IT(hit, 0);
	ASSERT_EQ(0, hold_release(self->fd, 0, &how));
	EXPECT_FALSE(how.state & XMIRROR_HELD_ASLEEP);
	EXPECT_TRUE(how.context & UNDER_SPIN_LOCK);
	EXPECT_EQ(0, worker_join(&self->touch));
	EXPECT_EQ(1, *self->p);
}

static int touched_by_child(struct child *c, void *arg)
{
	pid_t tid = gettid();

	CHILD_CHECK(write(c->sock, &tid, sizeof(tid)) == sizeof(tid));
	CHILD_CHECK(child_hear(c) == 'g');
	XM_STORE((__u64 *)arg, 1);
	return 0;
}

/* A process that is held can be killed. */
static void killed(struct __test_metadata *_metadata,
		   FIXTURE_DATA(hold) *self, __u32 flags)
{
	struct child c;
	pid_t tid;

	ASSERT_EQ(0, child_start(&c, touched_by_child, self->p));
	ASSERT_EQ(sizeof(tid), read(c.sock, &tid, sizeof(tid)));
	ASSERT_EQ(0, hold_arm(self->fd, 0, tid, self->function, 0, flags));
	ASSERT_EQ(0, child_tell(&c, 'g'));
	ASSERT_EQ(0, hold_reached(self->fd, 0, XM_LONG, NULL));
	ASSERT_EQ(0, kill(c.pid, SIGKILL));
	EXPECT_EQ(128 + SIGKILL, child_end(&c));
	EXPECT_EQ(XMIRROR_HELD_HERE | XMIRROR_HELD_ASLEEP | XMIRROR_HELD_LEFT,
		  hold_state(self->fd, 0));
}

TEST_F(hold, killed_at_the_entry)
{
	killed(_metadata, self, 0);
}

TEST_F(hold, killed_at_the_return)
{
	killed(_metadata, self, XMIRROR_HOLD_RETURN);
}

/* The file's last close lets go, and detaches. */
TEST_F(hold, close_ends_it)
{
	int fd = xm_open(1);

	ASSERT_GE(fd, 0);
	HOLD_IT(0, 0);
	EXPECT_EQ(-EBUSY, hold_attach(fd, &self->function, 1, NULL));
	EXPECT_FALSE(worker_ended(&self->touch));
	ASSERT_EQ(0, close(self->fd));
	EXPECT_EQ(0, worker_join(&self->touch));
	EXPECT_EQ(0, hold_attach(fd, &self->function, 1, NULL));
	EXPECT_EQ(0, close(fd));
	self->fd = -1;
}

/* Another process holds the one whose number it is sent. */
static int holds_another(struct child *c, void *arg)
{
	__u64 function = *(__u64 *)arg;
	int fd = xm_open(0);
	pid_t tid;

	CHILD_CHECK(read(c->sock, &tid, sizeof(tid)) == sizeof(tid));
	CHILD_CHECK(fd >= 0);
	CHILD_CHECK(!hold_attach(fd, &function, 1, NULL));
	CHILD_CHECK(!hold_arm(fd, 0, tid, function, 0, 0));
	child_tell(c, 'a');
	CHILD_CHECK(!hold_reached(fd, 0, XM_LONG, NULL));
	child_tell(c, 'h');
	child_hear(c);
	return 1;
}

TEST_F(hold, end_of_the_other_process_ends_it)
{
	struct child held, other;
	pid_t tid;

	ASSERT_EQ(0, hold_attach(self->fd, NULL, 0, NULL));
	ASSERT_EQ(0, child_start(&held, touched_by_child, self->p));
	ASSERT_EQ(sizeof(tid), read(held.sock, &tid, sizeof(tid)));
	ASSERT_EQ(0, child_start(&other, holds_another, &self->function));
	ASSERT_EQ(sizeof(tid), write(other.sock, &tid, sizeof(tid)));
	ASSERT_EQ('a', child_hear(&other));
	/* Other tasks pass. */
	XM_STORE(self->p + XM_WORDS, 1);
	ASSERT_EQ(0, child_tell(&held, 'g'));
	ASSERT_EQ('h', child_hear(&other));
	ASSERT_EQ(0, kill(other.pid, SIGKILL));
	EXPECT_EQ(128 + SIGKILL, child_end(&other));
	EXPECT_EQ(0, child_end(&held));
}

/* In another slot, a thread that is held is held once more. */
TEST_F(hold, two_slots_of_a_thread)
{
	struct xmirror_hold how;

	HOLD_IT(0, 0);
	EXPECT_EQ(0, hold_state(self->fd, 1));
	ASSERT_EQ(0, hold_arm(self->fd, 1, XM_LOAD(&self->touch.tid),
			      self->function, 0, XMIRROR_HOLD_RETURN));
	EXPECT_EQ(-ETIMEDOUT, hold_reached(self->fd, 1, 1, NULL));
	ASSERT_EQ(0, hold_release(self->fd, 0, NULL));
	ASSERT_EQ(0, hold_reached(self->fd, 1, XM_LONG, NULL));
	EXPECT_TRUE(xm_is_present(self->p));
	EXPECT_FALSE(xm_is_present((void *)self->p + XM_PAGE));
	EXPECT_EQ(0, hold_state(self->fd, 0));
	EXPECT_FALSE(worker_ended(&self->touch));
	ASSERT_EQ(0, hold_release(self->fd, 1, &how));
	EXPECT_EQ(1, how.nr);
	EXPECT_EQ(0, worker_join(&self->touch));
}

/* Both stubs take the place of one return address, each on top of the other. */
TEST_F(hold, two_slots_at_one_return)
{
	struct child c;
	pid_t tid;

	ASSERT_EQ(0, child_start(&c, touched_by_child, self->p));
	ASSERT_EQ(sizeof(tid), read(c.sock, &tid, sizeof(tid)));
	ASSERT_EQ(0, hold_arm(self->fd, 0, tid, self->function, 0,
			      XMIRROR_HOLD_RETURN));
	ASSERT_EQ(0, hold_arm(self->fd, 1, tid, self->function, 0,
			      XMIRROR_HOLD_RETURN));
	ASSERT_EQ(0, child_tell(&c, 'g'));
	ASSERT_EQ(0, hold_reached(self->fd, 1, XM_LONG, NULL));
	EXPECT_EQ(0, hold_state(self->fd, 0));
	ASSERT_EQ(0, hold_release(self->fd, 1, NULL));
	ASSERT_EQ(0, hold_reached(self->fd, 0, XM_LONG, NULL));
	ASSERT_EQ(0, hold_release(self->fd, 0, NULL));
	EXPECT_EQ(0, child_end(&c));
}

/* Two tasks are held at a time, and each goes on when it is let. */
TEST_F(hold, two_tasks)
{
	struct child c;
	pid_t tid;

	ASSERT_EQ(0, child_start(&c, touched_by_child, self->p));
	ASSERT_EQ(sizeof(tid), read(c.sock, &tid, sizeof(tid)));
	ASSERT_EQ(0, hold_arm(self->fd, 1, tid, self->function, 0, 0));
	HOLD_IT(0, 0);
	ASSERT_EQ(0, child_tell(&c, 'g'));
	ASSERT_EQ(0, hold_reached(self->fd, 1, XM_LONG, NULL));
	EXPECT_EQ(XMIRROR_HELD_HERE | XMIRROR_HELD_ASLEEP,
		  hold_state(self->fd, 0));
	ASSERT_EQ(0, hold_release(self->fd, 1, NULL));
	EXPECT_EQ(0, child_end(&c));
	EXPECT_FALSE(worker_ended(&self->touch));
	EXPECT_EQ(XMIRROR_HELD_HERE | XMIRROR_HELD_ASLEEP,
		  hold_state(self->fd, 0));
	ASSERT_EQ(0, hold_release(self->fd, 0, NULL));
	EXPECT_EQ(0, worker_join(&self->touch));
}

/* One is held while the other's calls are written down, and fetched once. */
TEST_F(hold, recorded_beside_a_hold)
{
	struct xmirror_call calls[4];
	struct child c;
	pid_t tid;

	ASSERT_EQ(0, child_start(&c, touched_by_child, self->p));
	ASSERT_EQ(sizeof(tid), read(c.sock, &tid, sizeof(tid)));
	HOLD_IT(0, 0);
	ASSERT_EQ(0, hold_record(self->fd, 1, tid, 4));
	EXPECT_EQ(0, hold_recorded(self->fd, 1));
	ASSERT_EQ(0, child_tell(&c, 'g'));
	EXPECT_EQ(0, child_end(&c));
	EXPECT_GE(hold_recorded(self->fd, 1), 1);
	ASSERT_EQ(0, hold_release(self->fd, 1, NULL));
	ASSERT_GE(hold_calls(self->fd, 1, calls, 4), 1);
	EXPECT_EQ(hold_at(self->function), hold_at(calls[0].ip));
	EXPECT_EQ(-ENOENT, hold_calls(self->fd, 1, calls, 4));
	EXPECT_EQ(XMIRROR_HELD_HERE | XMIRROR_HELD_ASLEEP,
		  hold_state(self->fd, 0));
	ASSERT_EQ(0, hold_release(self->fd, 0, NULL));
	EXPECT_EQ(0, worker_join(&self->touch));
}

/* To detach lets both go. */
TEST_F(hold, detaching_ends_both)
{
	struct child c;
	pid_t tid;

	ASSERT_EQ(0, child_start(&c, touched_by_child, self->p));
	ASSERT_EQ(sizeof(tid), read(c.sock, &tid, sizeof(tid)));
	ASSERT_EQ(0, hold_arm(self->fd, 1, tid, self->function, 0,
			      XMIRROR_HOLD_RETURN));
	HOLD_IT(0, 0);
	ASSERT_EQ(0, child_tell(&c, 'g'));
	ASSERT_EQ(0, hold_reached(self->fd, 1, XM_LONG, NULL));
	ASSERT_EQ(0, hold_attach(self->fd, NULL, 0, NULL));
	EXPECT_EQ(0, child_end(&c));
	EXPECT_EQ(0, worker_join(&self->touch));
}

TEST_F(hold, refused)
{
	struct xmirror_hold h = { .size = sizeof(h) };
	__u64 data = (uintptr_t)&h;
	int fd = xm_open(0);

	EXPECT_EQ(-EINVAL, xm_ioctl(self->fd, XMIRROR_IOC_HOLD, &h));
	h.cmd = XMIRROR_HOLD_RELEASE;
	h.flags = XMIRROR_HOLD_SPIN;
	EXPECT_EQ(-EINVAL, xm_ioctl(self->fd, XMIRROR_IOC_HOLD, &h));
	h.flags = 0;
	for (h.slot = 0; h.slot < XMIRROR_HOLDS; h.slot++)
		EXPECT_EQ(0, xm_ioctl(self->fd, XMIRROR_IOC_HOLD, &h));
	EXPECT_EQ(-EINVAL, xm_ioctl(self->fd, XMIRROR_IOC_HOLD, &h));
	h.slot = ~0U;
	EXPECT_EQ(-EINVAL, xm_ioctl(self->fd, XMIRROR_IOC_HOLD, &h));
	h.slot = 1;
	h.cmd = XMIRROR_HOLD_FUNCTIONS;
	EXPECT_EQ(-EINVAL, xm_ioctl(self->fd, XMIRROR_IOC_HOLD, &h));
	h.cmd = XMIRROR_HOLD_ARM;
	EXPECT_EQ(-EINVAL, xm_ioctl(self->fd, XMIRROR_IOC_HOLD, &h));
	EXPECT_EQ(-EINVAL, hold_record(self->fd, 0, 0, 0));
	EXPECT_EQ(-ESRCH, hold_arm(self->fd, 0, 1 << 30, self->function, 0, 0));
	EXPECT_EQ(-ENOENT, hold_arm(fd, 0, 0, self->function, 0, 0));
	EXPECT_EQ(-ENOENT, hold_release(fd, 0, NULL));
	EXPECT_EQ(-ENOENT, hold_calls(self->fd, 0, NULL, 0));
	EXPECT_EQ(-EBUSY, hold_attach(fd, &self->function, 1, NULL));
	EXPECT_EQ(-ETIMEDOUT, hold_reached(self->fd, 0, 1, NULL));
	/* Data is no function; what was there is detached. */
	EXPECT_EQ(-ENOENT, hold_attach(self->fd, &data, 1, NULL));
	EXPECT_EQ(-ENOENT, hold_release(self->fd, 0, NULL));
	close(fd);
}

static int without_capability(struct child *c, void *arg)
{
	struct __user_cap_header_struct header = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct caps[2] = {};

	(void)c;
	CHILD_CHECK(!syscall(SYS_capset, &header, caps));
	CHILD_CHECK(hold_release(*(int *)arg, 0, NULL) == -EPERM);
	return 0;
}

TEST_F(hold, takes_a_capability)
{
	struct child c;

	ASSERT_EQ(0, child_start(&c, without_capability, &self->fd));
	EXPECT_EQ(0, child_end(&c));
}

TEST_HARNESS_MAIN
