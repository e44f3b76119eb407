// SPDX-License-Identifier: GPL-2.0
/*
 * mremap() moves the entry of a page that the device has, exclusively or in its
 * private memory. What has moved is soft-dirty, as a present page is then: who looks for
 * changes finds other data at that address than before.
 */
#include "test.h"

FIXTURE(moved) {
	int fd;
	__u64 *p;
	__u64 *q;	/* where it moves to, a hole */
};

FIXTURE_VARIANT(moved) {
	bool private;
};

FIXTURE_VARIANT_ADD(moved, exclusive) {};
FIXTURE_VARIANT_ADD(moved, private_page) { .private = true };

/* Two pages, of which one is never touched, and room for them behind */
#define LEN	(2 * XM_PAGE)

FIXTURE_SETUP(moved)
{
	self->fd = -1;
	NEED(variant->private ? XMIRROR_CAP_PRIVATE : XMIRROR_CAP_EXCLUSIVE);
	if (!xm_has_soft_dirty())
		XM_SKIP(return, "no CONFIG_MEM_SOFT_DIRTY");
	OPEN(self->fd, 0);
	self->p = xm_area(LEN, LEN);
	ASSERT_NE(NULL, self->p);
	self->q = self->p + 2 * XM_WORDS;
	*self->p = 5;
}

FIXTURE_TEARDOWN(moved)
{
	if (self->fd < 0)
		return;
	EXPECT_CLEAN(self->fd);
	close(self->fd);
}

/* covers: F.soft_dirty */
TEST_F(moved, entry_is_soft_dirty)
{
	__u64 moved = 0;

	if (variant->private) {
		ASSERT_EQ(0, xm_migrate(self->fd, self->p, XM_PAGE, 0, 0,
					&moved));
		ASSERT_EQ(1, moved);
	} else {
		ASSERT_EQ(0, xm_exclusive(self->fd, self->p, XM_PAGE, NULL));
	}
	EXPECT_TRUE(xm_is_marked(self->p, XM_PM_SOFT_DIRTY));
	ASSERT_EQ(0, xm_write_file("/proc/self/clear_refs", "4"));
	ASSERT_TRUE(xm_is_devices(self->fd, self->p, variant->private));
	ASSERT_FALSE(xm_is_marked(self->p, XM_PM_SOFT_DIRTY));
	ASSERT_EQ(self->q, mremap(self->p, LEN, LEN,
				  MREMAP_MAYMOVE | MREMAP_FIXED, self->q));
	EXPECT_TRUE(xm_is_devices(self->fd, self->q, variant->private));
	EXPECT_TRUE(xm_is_marked(self->q, XM_PM_SOFT_DIRTY));
	/* It is not the mapping that is. */
	EXPECT_FALSE(xm_is_marked(self->q + XM_WORDS, XM_PM_SOFT_DIRTY));
	EXPECT_EQ(5, XM_LOAD(self->q));
	EXPECT_TRUE(xm_is_marked(self->q, XM_PM_SOFT_DIRTY));
}

TEST_HARNESS_MAIN
