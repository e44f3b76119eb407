// SPDX-License-Identifier: GPL-2.0
/*
 * VERIFY and SNAPSHOT while the process is busy: the CPU's entry that they compare is
 * never one that somebody is about to replace.
 *
 * A page that the device has in its page table becomes exclusive. The kernel clears the
 * CPU's entry, flushes the TLB and sets the exclusive entry with the lock of the table
 * (make_device_exclusive() in mm/rmap.c), and the device keeps its leaf, since the
 * invalidation is its own. The thread is held between the two.
 */
#include "hold.h"
#include "test.h"

#define FUNCTION	"ptep_clear_flush"
/* Ends by itself: who waits for the lock may keep everybody else from the CPU. */
#define SPIN_MS		500

FIXTURE(verify) {
	int fd;
	__u64 *p;
	__u64 function;
	struct worker excl;
};

static int exclusive_held(struct worker *w)
{
	struct xmirror_hold h = {
		.size = sizeof(h), .cmd = XMIRROR_HOLD_ARM,
		.flags = XMIRROR_HOLD_RETURN | XMIRROR_HOLD_SPIN,
		.function = w->arg, .sleep_ms = 1, .spin_ms = SPIN_MS,
	};
	int err = xm_pin_from(1);

	if (err >= 0)
		err = xm_ioctl(w->fd, XMIRROR_IOC_HOLD, &h);
	return err ? err : work_exclusive(w);
}

FIXTURE_SETUP(verify)
{
	const struct hold_function *f;
	unsigned int taken;

	NEED(XMIRROR_CAP_HOLD);
	NEED(XMIRROR_CAP_EXCLUSIVE);
	OPEN(self->fd, 0);
	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		XM_SKIP(return, "one CPU: the other side cannot run beside a thread that spins");
	ASSERT_EQ(0, hold_load());
	f = hold_named(FUNCTION);
	ASSERT_NE(NULL, f);
	self->function = f->address;
	ASSERT_EQ(0, hold_attach(self->fd, &self->function, 1, &taken));
	ASSERT_EQ(1, taken);
	ASSERT_EQ(0, xm_pin_cpu());
	self->p = xm_anon(XM_PAGE);
	*self->p = 1;
	ASSERT_EQ(0, xm_fault(self->fd, self->p, XM_PAGE, XMIRROR_FAULT_WRITE,
			      NULL));
	EXPECT_LEAF(self->fd, self->p, LEAF_WRITE);
	self->excl.fn = exclusive_held;
	self->excl.fd = self->fd;
	self->excl.addr = self->p;
	self->excl.len = XM_PAGE;
	self->excl.arg = self->function;
	ASSERT_EQ(0, worker_prepare(&self->excl));
}

FIXTURE_TEARDOWN(verify)
{
	close(self->fd);
}

/* The thread is between the two when this returns, and goes on by itself. */
#define HOLD_IT() \
	do { \
		ASSERT_EQ(0, worker_start(&self->excl)); \
		ASSERT_EQ(0, hold_reached(self->fd, 0, XM_LONG, NULL)); \
		if (hold_state(self->fd, 0) & XMIRROR_HELD_TIMED_OUT) \
			TH_LOG("the window was over before the look"); \
	} while (0)

#define END_IT() \
	do { \
		struct xmirror_hold how; \
		ASSERT_EQ(0, worker_join(&self->excl)); \
		ASSERT_EQ(0, hold_release(self->fd, 0, &how)); \
		EXPECT_TRUE(how.state & XMIRROR_HELD_HERE); \
		EXPECT_TRUE(xm_is_exclusive(self->p)); \
		EXPECT_LEAF(self->fd, self->p, LEAF_EXCL); \
	} while (0)

TEST_F(verify, entry_that_becomes_exclusive_is_no_violation)
{
	HOLD_IT();
	EXPECT_CLEAN(self->fd);
	END_IT();
}

TEST_F(verify, snapshot_has_the_entry_of_before_or_after)
{
	struct xmirror_page page;

	HOLD_IT();
	page = xm_page(self->fd, self->p);
	EXPECT_TRUE(page.cpu & (XMIRROR_CPU_PRESENT | XMIRROR_CPU_EXCLUSIVE)) {
		TH_LOG("the CPU has %#x", page.cpu);
	}
	END_IT();
}

TEST_HARNESS_MAIN
