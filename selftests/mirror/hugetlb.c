// SPDX-License-Identifier: GPL-2.0
/*
 * hugetlb memory with leaves. Each change of its page table is in mm/hugetlb.c once
 * more, with an event of its own: mprotect(), fork(), mremap(), the copy after fork(),
 * and the end of a piece of a file.
 */
#include <fcntl.h>

#include "leaves.h"
#include "settings.h"

FIXTURE(hugetlb) {
	int fd;
	int file;
	__u64 *p;
	struct child child;
};

FIXTURE_SETUP(hugetlb)
{
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB;

	self->file = -1;
	self->child.pid = 0;
	OPEN(self->fd, 0);
	if (xm_setting("/proc/sys/vm/nr_hugepages", "4"))
		XM_SKIP(return, "no hugetlb pages");
	/* One for each side of a fork(), and one more. */
	if (xm_meminfo_kb("HugePages_Free") < 3)
		XM_SKIP(return, "not enough memory for hugetlb pages");
	self->p = mmap(NULL, XM_PMD, PROT_READ | PROT_WRITE, flags, -1, 0);
	ASSERT_NE(MAP_FAILED, self->p);
	XM_STORE(self->p, 1);
}

FIXTURE_TEARDOWN(hugetlb)
{
	EXPECT_CLEAN(self->fd);
	munmap(self->p, XM_PMD);
	if (self->file >= 0)
		close(self->file);
	close(self->fd);
}

/* Whether all of @p is mapped for the device like that. */
#define EXPECT_LEAVES(p, bits) \
	EXPECT_EQ(XM_PMD_PAGES, count_leaves(self->fd, (p), XM_PMD, (bits)))

/* The child still sees what there was before. */
static int keeps_it(struct child *c, void *arg)
{
	CHILD_CHECK(child_hear(c) == 'e');
	CHILD_CHECK(XM_LOAD((__u64 *)arg) == 1);
	return 0;
}

TEST_F(hugetlb, mprotect_takes_the_leaves)
{
	ASSERT_EQ(0, xm_fault(self->fd, self->p, XM_PMD, XMIRROR_FAULT_WRITE,
			      NULL));
	EXPECT_LEAVES(self->p, LEAF_WRITE);
	ASSERT_EQ(0, mprotect(self->p, XM_PMD, PROT_READ));
	EXPECT_LEAVES(self->p, LEAF_NONE);
	EXPECT_CLEAN(self->fd);
	EXPECT_EQ(-EPERM, xm_op(self->fd, XMIRROR_OP_STORE, 8, self->p, 7,
				NULL));
	EXPECT_EQ(1, XM_LOAD(self->p));
}

TEST_F(hugetlb, device_writes_to_its_own_copy_after_fork)
{
	ASSERT_EQ(0, xm_fault(self->fd, self->p, XM_PMD, XMIRROR_FAULT_WRITE,
			      NULL));
	EXPECT_LEAVES(self->p, LEAF_WRITE);
	ASSERT_EQ(0, child_start(&self->child, keeps_it, self->p));
	EXPECT_LEAVES(self->p, LEAF_NONE);
	EXPECT_CLEAN(self->fd);
	EXPECT_EQ(0, xm_op(self->fd, XMIRROR_OP_STORE, 8, self->p, 7, NULL));
	EXPECT_EQ(7, XM_LOAD(self->p));
	EXPECT_EQ(0, child_tell(&self->child, 'e'));
	EXPECT_EQ(0, child_end(&self->child));
}

TEST_F(hugetlb, device_follows_the_copy_after_fork)
{
	__u64 seen = 0, pfn = xm_pfn(self->p);

	ASSERT_EQ(0, child_start(&self->child, keeps_it, self->p));
	ASSERT_EQ(0, xm_fault(self->fd, self->p, XM_PMD, 0, NULL));
	EXPECT_LEAVES(self->p, LEAF_READ);
	XM_STORE(self->p, 7);
	EXPECT_NE(pfn, xm_pfn(self->p));
	EXPECT_LEAVES(self->p, LEAF_NONE);
	EXPECT_CLEAN(self->fd);
	ASSERT_EQ(0, xm_read(self->fd, self->p, &seen, 8));
	EXPECT_EQ(7, seen);
	EXPECT_EQ(0, child_tell(&self->child, 'e'));
	EXPECT_EQ(0, child_end(&self->child));
}

/* The unmapping of the old place has an event, too; it comes when all has moved. */
TEST_F(hugetlb, mremap_is_announced_before_it_moves)
{
	struct xmirror_stats before, after;
	__u64 pfn = xm_pfn(self->p), *q = xm_anon_aligned(XM_PMD, XM_PMD);

	ASSERT_NE(NULL, q);
	ASSERT_EQ(0, xm_fault(self->fd, self->p, XM_PMD, XMIRROR_FAULT_WRITE,
			      NULL));
	EXPECT_LEAVES(self->p, LEAF_WRITE);
	/* What was there is unmapped beforehand. */
	ASSERT_EQ(0, munmap(q, XM_PMD));
	ASSERT_EQ(0, xm_stats(self->fd, &before));
	ASSERT_EQ(q, mremap(self->p, XM_PMD, XM_PMD,
			    MREMAP_MAYMOVE | MREMAP_FIXED, q));
	ASSERT_EQ(0, xm_stats(self->fd, &after));
	EXPECT_EQ(xm_chunks(XM_PMD),
		  after.inv[XM_EV_CLEAR] - before.inv[XM_EV_CLEAR]);
	EXPECT_LEAVES(self->p, LEAF_NONE);
	EXPECT_CLEAN(self->fd);
	self->p = q;
	EXPECT_EQ(pfn, xm_pfn(q));
	EXPECT_EQ(0, xm_op(self->fd, XMIRROR_OP_STORE, 8, q, 7, NULL));
	EXPECT_EQ(7, XM_LOAD(q));
}

TEST_F(hugetlb, hole_in_the_file_takes_the_leaves)
{
	__u64 seen = 1;

	munmap(self->p, XM_PMD);
	self->file = memfd_create("hugetlb", MFD_CLOEXEC | MFD_HUGETLB);
	ASSERT_LE(0, self->file);
	ASSERT_EQ(0, ftruncate(self->file, XM_PMD));
	self->p = mmap(NULL, XM_PMD, PROT_READ | PROT_WRITE, MAP_SHARED,
		       self->file, 0);
	ASSERT_NE(MAP_FAILED, self->p);
	ASSERT_EQ(0, xm_fault(self->fd, self->p, XM_PMD, XMIRROR_FAULT_WRITE,
			      NULL));
	EXPECT_EQ(0, xm_op(self->fd, XMIRROR_OP_STORE, 8, self->p, 7, NULL));
	EXPECT_LEAVES(self->p, LEAF_WRITE);
	ASSERT_EQ(0, fallocate(self->file, FALLOC_FL_PUNCH_HOLE |
			       FALLOC_FL_KEEP_SIZE, 0, XM_PMD));
	EXPECT_LEAVES(self->p, LEAF_NONE);
	EXPECT_CLEAN(self->fd);
	ASSERT_EQ(0, xm_read(self->fd, self->p, &seen, 8));
	EXPECT_EQ(0, seen);
}

TEST_HARNESS_MAIN
