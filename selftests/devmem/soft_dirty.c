// SPDX-License-Identifier: GPL-2.0
/*
 * clear_refs comes while memory is in the device, or before the device fills it. What the
 * CPU writes after that is soft-dirty.
 */
#include "test.h"

FIXTURE(cleared) {
	int fd;
	size_t len;
	char *p;
};

FIXTURE_VARIANT(cleared) {
	bool huge;
	bool device;	/* it goes to the device */
	bool hole;	/* that fills it after clear_refs */
};

/* What the others are told from */
FIXTURE_VARIANT_ADD(cleared, system) {};
FIXTURE_VARIANT_ADD(cleared, private) { .device = true };
FIXTURE_VARIANT_ADD(cleared, hole) { .device = true, .hole = true };
FIXTURE_VARIANT_ADD(cleared, huge_system) { .huge = true };
FIXTURE_VARIANT_ADD(cleared, huge_hole) { .huge = true, .device = true, .hole = true };

FIXTURE_SETUP(cleared)
{
	self->fd = -1;
	NEED(XMIRROR_CAP_PRIVATE);
	if (!xm_has_soft_dirty())
		XM_SKIP(return, "no CONFIG_MEM_SOFT_DIRTY");
	if (variant->huge)
		NEED(XMIRROR_CAP_PRIVATE_LARGE);
	OPEN(self->fd, 0);
	self->len = variant->huge ? XM_PMD : XM_PAGE;
	if (variant->huge && !variant->hole) {
		self->p = xm_thp(self->fd, 0x22);
		if (!self->p)
			XM_SKIP(return, "%s", xm_why_no_thp());
	} else {
		self->p = xm_anon_aligned(self->len, self->len);
		ASSERT_NE(NULL, self->p);
	}
}

FIXTURE_TEARDOWN(cleared)
{
	if (self->fd < 0)
		return;
	if (self->p)
		munmap(self->p, self->len);
	EXPECT_CLEAN(self->fd);
	close(self->fd);
}

static void to_device(struct __test_metadata *_metadata, int fd, char *p, size_t len)
{
	__u64 moved;

	ASSERT_EQ(0, xm_migrate(fd, p, len, 0, 0, &moved));
	ASSERT_EQ(len / XM_PAGE, moved);
	ASSERT_TRUE(xm_is_private(fd, p));
}

/* covers: J.writes */
TEST_F(cleared, page_that_the_cpu_writes_is_soft_dirty)
{
	char *q = self->p + self->len - XM_PAGE;

	if (!variant->hole)
		memset(self->p, 0x22, self->len);
	if (variant->device && !variant->hole)
		to_device(_metadata, self->fd, self->p, self->len);
	ASSERT_EQ(0, xm_write_file("/proc/self/clear_refs", "4"));
	EXPECT_EQ(0, xm_pagemap(q) & XM_PM_SOFT_DIRTY);
	if (variant->hole)
		to_device(_metadata, self->fd, self->p, self->len);
	XM_STORE(q, 5);
	EXPECT_TRUE(xm_is_present(q));
	EXPECT_EQ(5, XM_LOAD(q));
	XM_XFAIL_IF(variant->device, xm_pagemap(q) & XM_PM_SOFT_DIRTY,
		    "finding 55: a write after the return of a page is not soft-dirty");
}

TEST_HARNESS_MAIN
