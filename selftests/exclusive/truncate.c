// SPDX-License-Identifier: GPL-2.0
/*
 * A private mapping of a file has copies of the file's pages that its process, or the
 * device, has written to. A hole in the file takes none of them away, also where the
 * device has the copy, exclusively or in its private memory; an end of the file before
 * them takes them all.
 */
#include <fcntl.h>

#include "test.h"

#define FILL	0x22

FIXTURE(copy) {
	int fd;
	int file;
	__u64 *p;
};

FIXTURE_VARIANT(copy) {
	bool private;
};

FIXTURE_VARIANT_ADD(copy, exclusive) {};
FIXTURE_VARIANT_ADD(copy, private_page) { .private = true };

/* The page at @p is a copy, with the first word one more than the file's. */
FIXTURE_SETUP(copy)
{
	char page[XM_PAGE];
	__u64 moved = 0;

	self->fd = -1;
	NEED(variant->private ? XMIRROR_CAP_PRIVATE : XMIRROR_CAP_EXCLUSIVE);
	OPEN(self->fd, 0);
	memset(page, FILL, XM_PAGE);
	self->file = memfd_create("xmirror", MFD_CLOEXEC);
	ASSERT_LE(0, self->file);
	ASSERT_EQ(XM_PAGE, write(self->file, page, XM_PAGE));
	self->p = mmap(NULL, XM_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE,
		       self->file, 0);
	ASSERT_NE(MAP_FAILED, self->p);
	if (!variant->private) {
		ASSERT_EQ(0, xm_add(self->fd, self->p, 1));
		return;
	}
	XM_ADD(self->p, 1);
	ASSERT_EQ(0, xm_migrate(self->fd, self->p, XM_PAGE, 0, 0, &moved));
	ASSERT_EQ(1, moved);
}

FIXTURE_TEARDOWN(copy)
{
	if (self->fd < 0)
		return;
	EXPECT_CLEAN(self->fd);
	close(self->fd);
}

/* The first word of the file, ~0 on failure */
static __u64 word_of(int file)
{
	__u64 v;

	return pread(file, &v, 8, 0) == 8 ? v : ~0ULL;
}

/* covers: E16 */
TEST_F(copy, outlives_a_hole_in_the_file)
{
	ASSERT_TRUE(xm_is_devices(self->fd, self->p, variant->private));
	ASSERT_EQ(0x2222222222222222ULL, word_of(self->file));
	ASSERT_EQ(0, fallocate(self->file, FALLOC_FL_PUNCH_HOLE |
			       FALLOC_FL_KEEP_SIZE, 0, XM_PAGE));
	ASSERT_EQ(0, word_of(self->file));
	EXPECT_TRUE(xm_is_devices(self->fd, self->p, variant->private));
	EXPECT_EQ(0x2222222222222223ULL, XM_LOAD(self->p));
	EXPECT_EQ(FILL, ((char *)self->p)[XM_PAGE - 1]);
	EXPECT_EQ(0, word_of(self->file));
}

/* covers: E16 */
TEST_F(copy, ends_with_the_file)
{
	__u64 v;

	ASSERT_TRUE(xm_is_devices(self->fd, self->p, variant->private));
	ASSERT_EQ(0, ftruncate(self->file, 0));
	EXPECT_EQ(0, xm_pagemap(self->p) & (XM_PM_PRESENT | XM_PM_SWAP));
	EXPECT_LEAF(self->fd, self->p, LEAF_NONE);
	EXPECT_EQ(-EFAULT, xm_peek(self->p, &v));
	EXPECT_EQ(-EFAULT, xm_read(self->fd, self->p, &v, 8));
	/* A page that the file gets again is the file's. */
	ASSERT_EQ(0, ftruncate(self->file, XM_PAGE));
	EXPECT_EQ(0, XM_LOAD(self->p));
}

TEST_HARNESS_MAIN
