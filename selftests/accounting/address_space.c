// SPDX-License-Identifier: GPL-2.0
/*
 * What the kernel has for an address space goes with its process, also if a device has
 * watched it: each notifier holds an mm_struct, and lets go of it.
 *
 * memory.stat is read without what the CPUs have counted last, of a few processes. So
 * many end that an mm_struct of each is more than that.
 */
#include "group.h"
#include "raw.h"
#include "test.h"

#define PROCESSES	256
/* Half of an mm_struct */
#define SLACK		(PROCESSES * 600L)

FIXTURE(space) {
	struct group g;
};

FIXTURE_SETUP(space)
{
	int err = group_make(&self->g, "space");

	if (err == -ENOENT)
		XM_SKIP(return, "no memory control groups");
	ASSERT_EQ(0, err);
	XM_NEED_DEVICE(return);
	/* The kernel has counters of each CPU. */
	ASSERT_EQ(0, xm_pin_cpu());
	/* Who forks is charged. */
	ASSERT_EQ(0, group_enter(&self->g));
}

FIXTURE_TEARDOWN(space)
{
	group_leave(&self->g);
	group_end(&self->g);
}

static int is_watched(struct child *c, void *arg)
{
	char *p = xm_anon(XM_PAGE);
	int fd = xm_open(0);

	(void)arg;
	CHILD_CHECK(p && fd >= 0);
	CHILD_CHECK(!xm_fault(fd, p, XM_PAGE, XMIRROR_FAULT_WRITE, NULL));
	CHILD_CHECK(raw_insert(fd, p, 0) == -EOVERFLOW);
	CHILD_CHECK(raw_insert(fd, p, XM_PAGE) > 0);
	CHILD_CHECK(!child_tell(c, 'r'));
	return child_waits(c, NULL);
}

TEST_F(space, goes_with_its_process)
{
	long before = group_stat(&self->g, "slab"), slab, most = 0;
	struct child c;
	__u64 start;
	int i;

	ASSERT_GE(before, 0);
	for (i = 0; i < PROCESSES; i++) {
		ASSERT_EQ(0, child_start(&c, is_watched, NULL));
		ASSERT_EQ('r', child_hear(&c));
		slab = group_stat(&self->g, "slab");
		most = slab > most ? slab : most;
		ASSERT_EQ(0, child_tell(&c, 'e'));
		ASSERT_EQ(0, child_end(&c));
	}
	/* One that was alive was counted. */
	EXPECT_LT(before + SLACK / PROCESSES, most);
	start = xm_now_ns();
	do {
		slab = group_stat(&self->g, "slab");
		sched_yield();
	} while (slab - before >= SLACK && !xm_expired(start, XM_LONG));
	EXPECT_LT(slab - before, SLACK);
}

TEST_HARNESS_MAIN
