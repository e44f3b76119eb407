// SPDX-License-Identifier: GPL-2.0
/*
 * NUMA balancing scans a process that has pages in the device: those are nowhere that it
 * could move them to, and stay as they are.
 */
#include "numa.h"
#include "raw.h"
#include "test.h"

#define PRIVATE	XMIRROR_ENTRY_PRIVATE
#define WRITE	XMIRROR_ENTRY_WRITE

#define ENTRY(p)	(raw_page(self->fd, (p)).entry & (PRIVATE | WRITE))

FIXTURE(numa) {
	int fd;
	__u64 *p;
	size_t len;
};

FIXTURE_VARIANT(numa) {
	bool huge;
};

FIXTURE_VARIANT_ADD(numa, small) { .huge = false };
FIXTURE_VARIANT_ADD(numa, huge) { .huge = true };

FIXTURE_SETUP(numa)
{
	__u64 moved = 0;

	self->fd = -1;
	NEED(XMIRROR_CAP_PRIVATE | (variant->huge ? XMIRROR_CAP_PRIVATE_LARGE : 0));
	if (!xm_has_numa_balancing())
		XM_SKIP(return, "no CONFIG_NUMA_BALANCING");
	ASSERT_EQ(0, xm_numa_at_once());
	OPEN(self->fd, 0);
	self->len = variant->huge ? XM_PMD : XM_PAGE;
	self->p = variant->huge ? (__u64 *)xm_thp(self->fd, 0) :
				  (__u64 *)xm_area(XM_PAGE, 0);
	if (variant->huge && !self->p)
		XM_SKIP(return, "%s", xm_why_no_thp());
	ASSERT_NE(NULL, self->p);
	*self->p = 1;
	if (variant->huge) {
		MIGRATE_HUGE(self->fd, self->p);
	} else {
		ASSERT_EQ(0, xm_migrate(self->fd, self->p, XM_PAGE, 0, 0, &moved));
		ASSERT_EQ(1, moved);
	}
	ASSERT_EQ(0, xm_op(self->fd, XMIRROR_OP_STORE, 8, self->p, 2, NULL));
	ASSERT_TRUE(xm_is_devices(self->fd, self->p, true));
}

FIXTURE_TEARDOWN(numa)
{
	if (self->fd < 0)
		return;
	EXPECT_CLEAN(self->fd);
	close(self->fd);
}

static int scan(int fd)
{
	__u64 before;
	int err = xm_numa_events(fd, &before);

	if (!err)
		err = xm_numa_balancing(true);
	if (!err)
		err = xm_numa_scan(fd, before);
	xm_numa_balancing(false);
	return err;
}

/* covers: I.numa */
TEST_F(numa, device_reads_a_scanned_page_where_it_is)
{
	__u64 value = 0;

	ASSERT_EQ(0, scan(self->fd));
	EXPECT_TRUE(xm_is_devices(self->fd, self->p, true));
	EXPECT_EQ(0, xm_op(self->fd, XMIRROR_OP_LOAD, 8, self->p, 0, &value));
	EXPECT_EQ(2, value);
	EXPECT_TRUE(xm_is_devices(self->fd, self->p, true));
}

/* covers: I.numa */
TEST_F(numa, device_writes_a_scanned_page_where_it_is)
{
	ASSERT_EQ(PRIVATE | WRITE, ENTRY(self->p));
	ASSERT_EQ(0, scan(self->fd));
	EXPECT_TRUE(xm_is_devices(self->fd, self->p, true));
	ASSERT_EQ(0, xm_op(self->fd, XMIRROR_OP_STORE, 8, self->p, 3, NULL));
	XM_XFAIL_IF(true, xm_is_devices(self->fd, self->p, true),
		    "finding 40: NUMA balancing makes private pages read-only");
	EXPECT_EQ(3, XM_LOAD(self->p));
}

TEST_HARNESS_MAIN
