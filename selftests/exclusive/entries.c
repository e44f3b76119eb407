// SPDX-License-Identifier: GPL-2.0
/* Properties of an exclusive entry, and the entry that the kernel restores. */
#include <linux/mempolicy.h>

#include "meet.h"
#include "raw.h"
#include "uffd.h"
#define PAGE_NEEDS	XMIRROR_CAP_EXCLUSIVE
#include "page_fixture.h"

static bool move_to(void *p, int node)
{
	int status = -1;

	return !syscall(SYS_move_pages, 0, 1, &p, &node, &status, MPOL_MF_MOVE) &&
	       status == node;
}

/* E1: many CPU faults end one entry, while the page moves. */
/* covers: E1, E9 */
TEST_F(page, many_faults_end_one_entry)
{
	__u64 was = *self->p;
	int i, err = 0, moves = 0;

	if (access("/sys/devices/system/node/node1", F_OK))
		XM_SKIP(return, "one NUMA node only");
	START_ALL(meet_and_add, MEET_THREADS);
	for (i = 0; i < MEET_ROUNDS; i++) {
		err |= xm_add(self->fd, self->p, 1);
		pthread_barrier_wait(&meet_barrier);
		moves += move_to(self->p, i & 1);
		moves += move_to(self->p, ~i & 1);
		pthread_barrier_wait(&meet_barrier);
	}
	JOIN_ALL(MEET_THREADS);
	EXPECT_EQ(0, err);
	/* Not always: a CPU fault may hold the page at that time. */
	EXPECT_LT(0, moves);
	EXPECT_EQ(was + MEET_ROUNDS * (MEET_THREADS + 1), *self->p);
}

/* E4: any page of a large folio can be exclusive, and only that one. */
/* covers: E4 */
TEST_F(page, each_page_of_a_large_folio)
{
	static const unsigned int pages[] = {
		0, 1, XM_PMD_PAGES / 2 - 1, XM_PMD_PAGES / 2, XM_PMD_PAGES - 1,
	};
	unsigned int i;
	char *p = xm_thp(self->fd, 0x22);
	int err;

	if (!p)
		XM_SKIP(return, "%s", xm_why_no_thp());
	for (i = 0; i < 5; i++) {
		__u64 *q = (__u64 *)(p + pages[i] * XM_PAGE);
		__u64 head = xm_pfn(p);

		err = xm_exclusive(self->fd, q, XM_PAGE, NULL);
		if (old_kernel()) {
			XM_XFAIL_IF(true, err != -EOPNOTSUPP,
				    "pages of large folios: since Linux 6.15");
			if (err == -EOPNOTSUPP)
				return;
		}
		ASSERT_EQ(0, err);
		EXPECT_EQ(i + 1, xm_count_exclusive(p, XM_PMD));
		EXPECT_EQ(head + pages[i], xm_pfn(q));
		EXPECT_LEAF(self->fd, q, LEAF_EXCL);
		ASSERT_EQ(0, xm_add(self->fd, q, 1));
	}
	for (i = 0; i < 5; i++) {
		EXPECT_EQ(0x2222222222222223ULL,
			  XM_LOAD((__u64 *)(p + pages[i] * XM_PAGE)));
	}
	EXPECT_EQ(0, xm_count_exclusive(p, XM_PMD));
	EXPECT_EQ(0x22, p[2 * XM_PAGE]);
}

/* E7: an exclusive entry that ends by a read is not a write of the CPU. */
/* covers: E7, F.soft_dirty */
TEST_F(page, read_of_an_entry_is_no_write)
{
	__u64 pm;

	if (!xm_has_soft_dirty())
		XM_SKIP(return, "no CONFIG_MEM_SOFT_DIRTY");
	ASSERT_EQ(0, xm_exclusive(self->fd, self->p, XM_PAGE, NULL));
	ASSERT_EQ(0, xm_write_file("/proc/self/clear_refs", "4"));
	EXPECT_LEAF(self->fd, self->p, LEAF_NONE);
	EXPECT_EQ(0x1111111111111111ULL, XM_LOAD(self->p));
	pm = xm_pagemap(self->p);
	XM_XFAIL_IF(old_kernel(), !(pm & XM_PM_SOFT_DIRTY),
		    "E7: an entry comes back dirty before Linux 6.15");
	/* A write of the CPU or of the device is. */
	XM_STORE(self->p, 1);
	EXPECT_NE(0, xm_pagemap(self->p) & XM_PM_SOFT_DIRTY);
	ASSERT_EQ(0, xm_write_file("/proc/self/clear_refs", "4"));
	ASSERT_EQ(0, xm_op(self->fd, XMIRROR_OP_STORE, 8, self->p, 2, NULL));
	EXPECT_EQ(2, XM_LOAD(self->p));
	EXPECT_NE(0, xm_pagemap(self->p) & XM_PM_SOFT_DIRTY);
}

/* Writes of a device after clear_refs are seen. */
/* covers: F.soft_dirty */
TEST_F(page, soft_dirty_sees_the_device)
{
	*self->p = 5;
	ASSERT_EQ(0, xm_add(self->fd, self->p, 1));
	if (!xm_has_soft_dirty())
		XM_SKIP(return, "no CONFIG_MEM_SOFT_DIRTY");
	ASSERT_EQ(0, xm_write_file("/proc/self/clear_refs", "4"));
	EXPECT_TRUE(xm_is_exclusive(self->p));
	EXPECT_LEAF(self->fd, self->p, LEAF_NONE);
	ASSERT_EQ(0, xm_add(self->fd, self->p, 1));
	EXPECT_NE(0, xm_pagemap(self->p) & XM_PM_SOFT_DIRTY);
	EXPECT_EQ(7, XM_LOAD(self->p));
	EXPECT_NE(0, xm_pagemap(self->p) & XM_PM_SOFT_DIRTY);
}

/* E7: rights are those of the mapping, not those of the entry. */
/* covers: E7 */
TEST_F(page, rights_come_from_the_mapping)
{
	ASSERT_EQ(0, xm_add(self->fd, self->p, 1));
	ASSERT_EQ(0, mprotect(self->p, XM_PAGE, PROT_READ));
	EXPECT_EQ(0x1111111111111112ULL, XM_LOAD(self->p));
	EXPECT_EQ(0, xm_page(self->fd, self->p).cpu & XMIRROR_CPU_WRITE);
	ASSERT_EQ(0, mprotect(self->p, XM_PAGE, PROT_READ | PROT_WRITE));
	XM_ADD(self->p, 1);
	EXPECT_EQ(0x1111111111111113ULL, XM_LOAD(self->p));
	EXPECT_NE(0, xm_page(self->fd, self->p).cpu & XMIRROR_CPU_WRITE);
	EXPECT_NE(0, xm_page(self->fd, self->p).cpu & XMIRROR_CPU_DIRTY);
}

static int end_at_once(struct child *c, void *arg)
{
	(void)c;
	(void)arg;
	return 0;
}

/* Is the entry at @p present, and one that nobody has accessed the page by? */
static bool is_old(int fd, __u64 *p)
{
	__u32 entry = raw_page(fd, p).entry;

	return (entry & (XMIRROR_ENTRY_PRESENT | XMIRROR_ENTRY_YOUNG)) ==
	       XMIRROR_ENTRY_PRESENT;
}

/* E7: fork() and a range fault of the device restore the entry, and are no access. */
/* covers: E7 */
TEST_F(page, entry_comes_back_old)
{
	struct child c;

	ASSERT_FALSE(is_old(self->fd, self->p));
	ASSERT_EQ(0, xm_exclusive(self->fd, self->p, XM_PAGE, NULL));
	ASSERT_EQ(0, child_start(&c, end_at_once, NULL));
	ASSERT_EQ(0, child_end(&c));
	ASSERT_FALSE(xm_is_exclusive(self->p));
	EXPECT_TRUE(is_old(self->fd, self->p));
	/* One that the CPU makes is young. */
	EXPECT_EQ(0x1111111111111111ULL, XM_LOAD(self->p));
	EXPECT_FALSE(is_old(self->fd, self->p));
	ASSERT_EQ(0, xm_exclusive(self->fd, self->p, XM_PAGE, NULL));
	ASSERT_EQ(0, xm_fault(self->fd1, self->p, XM_PAGE, 0, NULL));
	ASSERT_FALSE(xm_is_exclusive(self->p));
	EXPECT_TRUE(is_old(self->fd, self->p));
}

static int wait_for_end(struct child *c, void *arg)
{
	const __u64 *p = arg;

	CHILD_CHECK(child_hear(c) == 'e');
	CHILD_CHECK(XM_LOAD(p) == 0x1111111111111112ULL);
	return 0;
}

/* E8: the entry knows whether the page is the process's alone or shared. */
/* covers: E8 */
TEST_F(page, shared_with_a_child_or_not)
{
	struct child c;

	ASSERT_EQ(0, xm_add(self->fd, self->p, 1));
	ASSERT_TRUE(xm_is_exclusive(self->p));
	ASSERT_EQ(0, child_start(&c, wait_for_end, self->p));
	EXPECT_FALSE(xm_is_exclusive(self->p));
	EXPECT_EQ(0, xm_pagemap(self->p) & XM_PM_ANON_EXCLUSIVE);
	EXPECT_EQ(0, xm_page(self->fd, self->p).cpu & XMIRROR_CPU_WRITE);
	ASSERT_EQ(0, xm_add(self->fd, self->p, 1));
	EXPECT_EQ(0x1111111111111113ULL, XM_LOAD(self->p));
	EXPECT_NE(0, xm_pagemap(self->p) & XM_PM_ANON_EXCLUSIVE);
	EXPECT_EQ(0, child_tell(&c, 'e'));
	EXPECT_EQ(0, child_end(&c));
}

/* covers: F.wp */
TEST_F(page, uffd_wp_holds_for_the_device)
{
	int uffd = xm_uffd(UFFD_FEATURE_PAGEFAULT_FLAG_WP);

	*self->p = 5;
	if (uffd < 0)
		XM_SKIP(return, "no CONFIG_USERFAULTFD");
	ASSERT_EQ(0, xm_uffd_register(uffd, self->p, XM_PAGE,
				      UFFDIO_REGISTER_MODE_WP));
	ASSERT_EQ(0, xm_add(self->fd, self->p, 1));
	ASSERT_EQ(0, xm_uffd_wp(uffd, self->p, XM_PAGE, true));
	/* The entry stays and carries the bit, the device has to stop. */
	EXPECT_TRUE(xm_is_exclusive(self->p));
	EXPECT_NE(0, xm_pagemap(self->p) & XM_PM_UFFD_WP);
	EXPECT_LEAF(self->fd, self->p, LEAF_NONE);
	EXPECT_EQ(-EFAULT, xm_add(self->fd, self->p, 1));
	/* The attempt has restored the page; the bit is kept. */
	EXPECT_FALSE(xm_is_exclusive(self->p));
	EXPECT_NE(0, xm_pagemap(self->p) & XM_PM_UFFD_WP);
	EXPECT_EQ(6, XM_LOAD(self->p));
	ASSERT_EQ(0, xm_uffd_wp(uffd, self->p, XM_PAGE, false));
	EXPECT_EQ(0, xm_add(self->fd, self->p, 1));
	EXPECT_EQ(0, xm_pagemap(self->p) & XM_PM_UFFD_WP);
	EXPECT_EQ(7, XM_LOAD(self->p));
	close(uffd);
}

TEST_HARNESS_MAIN
