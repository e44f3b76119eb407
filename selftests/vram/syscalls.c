// SPDX-License-Identifier: GPL-2.0
/*
 * System calls on a mapping of a device's own memory: mprotect, munmap,
 * mremap, fork, advice and mlock; and that the device does not mirror it.
 *
 * covers: H.syscalls
 */
#include "fixture.h"

TEST_F(vram_granule, mprotect)
{
	__u64 all;

	self->p = vram_map_huge(self->fd, 2 * XM_2M, BASE);
	ASSERT_NE(NULL, self->p);
	vram_touch(self->p, 2 * XM_2M, 1);
	ASSERT_EQ(0, mprotect(self->p, 2 * XM_2M, PROT_READ));
	EXPECT_EQ(0, vram_wrong(self->p, 2 * XM_2M, 1));
	EXPECT_EQ(SIGSEGV, access_signal(self->p, true));
	all = vram_faults(self->fd);
	EXPECT_EQ(0, vram_wrong(self->p, 2 * XM_2M, 1));
	EXPECT_EQ(all, vram_faults(self->fd));
	/* A new read-only mapping gets large entries, too. */
	ASSERT_EQ(0, vram_do(self->fd, XMIRROR_VRAM_UNMAP, BASE, 2 * XM_2M,
			     NULL));
	EXPECT_EQ(0, vram_wrong(self->p, 2 * XM_2M, 1));
	EXPECT_EQ(2 * XM_2M / self->piece, vram_faults(self->fd) - all);
	EXPECT_EQ(SIGSEGV, access_signal(self->p, true));
	ASSERT_EQ(0, mprotect(self->p, 2 * XM_2M, PROT_READ | PROT_WRITE));
	vram_touch(self->p, 2 * XM_2M, 2);
	EXPECT_EQ(0, vram_wrong(self->p, 2 * XM_2M, 2));
	EXPECT_EQ(0, vram_query(self->fd).writes);
	EXPECT_EQ(self->piece == XM_2M, is_huge(self->fd, self->p));
	/* One page of many. */
	ASSERT_EQ(0, mprotect(self->p + 9 * XM_PAGE, XM_PAGE, PROT_NONE));
	EXPECT_EQ(SIGSEGV, access_signal(self->p + 9 * XM_PAGE, false));
	EXPECT_EQ(0, vram_wrong(self->p, 9 * XM_PAGE, 2));
	EXPECT_EQ(0, vram_wrong(self->p + 10 * XM_PAGE,
				2 * XM_2M - 10 * XM_PAGE, 12));
}

TEST_F(vram_granule, partial_munmap)
{
	self->p = vram_map_huge(self->fd, 2 * XM_2M, BASE);
	ASSERT_NE(NULL, self->p);
	vram_touch(self->p, 2 * XM_2M, 1);
	ASSERT_EQ(0, munmap(self->p + 20 * XM_PAGE, XM_PAGE));
	EXPECT_EQ(SIGSEGV, access_signal(self->p + 20 * XM_PAGE, false));
	EXPECT_EQ(0, vram_wrong(self->p, 20 * XM_PAGE, 1));
	EXPECT_EQ(0, vram_wrong(self->p + 21 * XM_PAGE,
				2 * XM_2M - 21 * XM_PAGE, 22));
	EXPECT_EQ(0, access_signal(self->p + 21 * XM_PAGE, true));
	EXPECT_FALSE(is_huge(self->fd, self->p));
	EXPECT_EQ(self->piece == XM_2M, is_huge(self->fd, self->p + XM_2M));
	/* The device reaches the rest of the mapping, too. */
	ASSERT_EQ(0, vram_do(self->fd, XMIRROR_VRAM_UNMAP, BASE, 2 * XM_2M,
			     NULL));
	EXPECT_EQ(0, xm_page(self->fd, self->p + 21 * XM_PAGE).cpu &
		     XMIRROR_CPU_PRESENT);
	EXPECT_EQ(0, vram_wrong(self->p + 21 * XM_PAGE,
				2 * XM_2M - 21 * XM_PAGE, 22));
}

TEST_F(vram_granule, mremap)
{
	static const size_t shifts[] = { 0, XM_PAGE, XM_64K };

	for (size_t i = 0; i < ARRAY_SIZE(shifts); i++) {
		char *hole, *to;

		self->p = vram_map_huge(self->fd, 2 * XM_2M, BASE);
		ASSERT_NE(NULL, self->p);
		vram_touch(self->p, 2 * XM_2M, i);
		hole = xm_hole(4 * XM_2M);
		ASSERT_NE(NULL, hole);
		to = hole + (-(uintptr_t)hole & (XM_2M - 1)) + shifts[i];
		ASSERT_EQ(to, mremap(self->p, 2 * XM_2M, 2 * XM_2M,
				     MREMAP_MAYMOVE | MREMAP_FIXED, to));
		EXPECT_EQ(SIGSEGV, access_signal(self->p, false));
		EXPECT_EQ(0, vram_wrong(to, 2 * XM_2M, i));
		vram_touch(to, 2 * XM_2M, i + 9);
		EXPECT_EQ(0, vram_wrong(to, 2 * XM_2M, i + 9));
		/*
		 * Entries are large only where the address is aligned; the device
		 * reaches all of them.
		 */
		EXPECT_EQ(self->piece == XM_2M && !shifts[i],
			  is_huge(self->fd, to));
		ASSERT_EQ(0, vram_do(self->fd, XMIRROR_VRAM_UNMAP, BASE,
				     2 * XM_2M, NULL));
		EXPECT_EQ(0, xm_page(self->fd, to + 7 * XM_PAGE).cpu &
			     XMIRROR_CPU_PRESENT);
		EXPECT_EQ(0, vram_wrong(to, 2 * XM_2M, i + 9));
		/* It cannot grow over the VRAM behind it. */
		EXPECT_EQ(MAP_FAILED, mremap(to, 2 * XM_2M, 3 * XM_2M,
					     MREMAP_MAYMOVE));
		EXPECT_EQ(EFAULT, errno);
		munmap(to, 2 * XM_2M);
	}
}

struct family {
	char *p;
	size_t len;
	int err;
};

static int forked(struct child *c, void *arg)
{
	struct family *f = arg;

	(void)c;
	CHILD_CHECK(vram_wrong(f->p, f->len, 1) == 0);
	vram_touch(f->p, f->len, 2);
	return 0;
}

/* Device memory is shared by a fork, never copied. */
TEST_F(vram_granule, fork)
{
	struct family f = { .len = 2 * XM_2M };
	struct child c;
	__u64 all;

	self->p = vram_map_huge(self->fd, 2 * XM_2M, BASE);
	ASSERT_NE(NULL, self->p);
	f.p = self->p;
	vram_touch(self->p, 2 * XM_2M, 1);
	all = vram_faults(self->fd);
	ASSERT_EQ(0, child_start(&c, forked, &f));
	EXPECT_EQ(0, child_end(&c));
	EXPECT_EQ(0, vram_wrong(self->p, 2 * XM_2M, 2));
	/* PTEs and, where there is a special bit for them, PMDs are copied. */
	EXPECT_EQ(all, vram_faults(self->fd));
	EXPECT_EQ(self->piece == XM_2M, is_huge(self->fd, self->p));
}

static int forked_and_revoked(struct child *c, void *arg)
{
	struct family *f = arg;

	CHILD_CHECK(child_hear(c) == 'r');
	CHILD_CHECK(vram_wrong(f->p, f->len, 3) == 0);
	return 0;
}

TEST_F(vram_granule, fork_and_unmap)
{
	struct family f = { .len = XM_2M };
	struct child c;
	__u64 all;

	self->p = vram_map_huge(self->fd, XM_2M, BASE);
	ASSERT_NE(NULL, self->p);
	f.p = self->p;
	vram_touch(self->p, XM_2M, 1);
	ASSERT_EQ(0, child_start(&c, forked_and_revoked, &f));
	ASSERT_EQ(0, vram_do(self->fd, XMIRROR_VRAM_UNMAP, BASE, XM_2M, NULL));
	all = vram_faults(self->fd);
	vram_touch(self->p, XM_2M, 3);
	ASSERT_EQ(0, child_tell(&c, 'r'));
	EXPECT_EQ(0, child_end(&c));
	/* The entries of the child were revoked, too. */
	EXPECT_EQ(2 * (XM_2M / self->piece), vram_faults(self->fd) - all);
}

/* DONTFORK: the child has no such mapping. */
static int forked_without(struct child *c, void *arg)
{
	struct family *f = arg;

	(void)c;
	CHILD_CHECK(access_signal(f->p, false) == SIGSEGV);
	return 0;
}

TEST_F(vram, dontfork)
{
	struct family f = {};
	struct child c;

	f.p = vram_map_huge(self->fd, XM_2M, BASE);
	ASSERT_NE(NULL, f.p);
	vram_touch(f.p, XM_2M, 1);
	ASSERT_EQ(0, madvise(f.p, XM_2M, MADV_DONTFORK));
	ASSERT_EQ(0, child_start(&c, forked_without, &f));
	EXPECT_EQ(0, child_end(&c));
	EXPECT_EQ(0, vram_wrong(f.p, XM_2M, 1));
}

TEST_F(vram, madvise_and_mlock)
{
	static const int refused[] = { MADV_DONTNEED, MADV_FREE, MADV_COLD,
				       MADV_PAGEOUT, MADV_POPULATE_READ,
				       MADV_POPULATE_WRITE };
	__u64 all;

	self->p = vram_map_huge(self->fd, XM_2M, BASE);
	ASSERT_NE(NULL, self->p);
	vram_touch(self->p, XM_2M, 1);
	all = vram_faults(self->fd);
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		EXPECT_EQ(-1, madvise(self->p, XM_2M, refused[i]));
		EXPECT_EQ(EINVAL, errno)
			TH_LOG("advice %d", refused[i]);
	}
	EXPECT_EQ(0, mlock(self->p, XM_2M));
	EXPECT_EQ(0, munlock(self->p, XM_2M));
	EXPECT_EQ(0, vram_wrong(self->p, XM_2M, 1));
	EXPECT_EQ(all, vram_faults(self->fd));
	/* pagemap shows no page. */
	EXPECT_EQ(0, xm_pagemap(self->p) & ~XM_PM_SOFT_DIRTY);
}

/* The device does not mirror its own memory. */
TEST_F(vram, not_for_the_mirror)
{
	__u64 value = 0;

	self->p = vram_map_huge(self->fd, XM_2M, BASE);
	ASSERT_NE(NULL, self->p);
	vram_touch(self->p, XM_2M, 1);
	EXPECT_EQ(-EFAULT, xm_fault(self->fd, self->p, XM_PAGE, 0, NULL));
	EXPECT_EQ(-EFAULT, xm_fault(self->fd, self->p, XM_PAGE,
				    XMIRROR_FAULT_WRITE, NULL));
	EXPECT_EQ(-EFAULT, xm_read(self->fd, self->p, &value, 8));
	if (xm_caps() & XMIRROR_CAP_EXCLUSIVE) {
		EXPECT_EQ(-EFAULT, xm_exclusive(self->fd, self->p, XM_PAGE,
						NULL));
	}
	EXPECT_EQ(0, xm_page(self->fd, self->p).dev);
}

TEST_HARNESS_MAIN
