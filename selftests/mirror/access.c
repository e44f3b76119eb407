// SPDX-License-Identifier: GPL-2.0
/*
 * The memory that the device may reach, and how far a fault goes.
 */
#define PAGE_NEEDS	XMIRROR_CAP_EXCLUSIVE
#include "page_fixture.h"

/* D3: an atomic in a batch does not make atomics of what follows. */
/* covers: D3 */
TEST_F(page, atomic_before_read_of_a_file)
{
	int file = memfd_create("xmirror", MFD_CLOEXEC);
	__u64 *q, fence, result[2] = {}, word = 42;
	struct xmirror_cmd cmds[2];
	struct xmirror_wait w;

	ASSERT_EQ(8, write(file, &word, 8));
	q = mmap(NULL, XM_PAGE, PROT_READ, MAP_SHARED, file, 0);
	ASSERT_NE(MAP_FAILED, q);
	cmds[0] = xm_cmd(XMIRROR_OP_ADD, 8, self->p, 1);
	cmds[1] = xm_cmd(XMIRROR_OP_LOAD, 8, q, 0);
	ASSERT_EQ(0, xm_submit(self->fd, 0, cmds, 2, 1, &fence));
	ASSERT_EQ(0, xm_wait_results(self->fd, fence, XM_LONG, result, 2, &w));
	EXPECT_EQ(0, w.status);
	EXPECT_EQ(42, result[1]);
	EXPECT_EQ(0x1111111111111112ULL, XM_LOAD(self->p));
	close(file);
}

/* D6: the middle of a huge page, and not more */
/* covers: D6 */
TEST_F(page, fault_stays_in_its_range)
{
	char *p = xm_thp(self->fd, 0x22);
	struct xmirror_page page;
	__u64 old;
	size_t i;

	if (!p)
		XM_SKIP(return, "%s", xm_why_no_thp());
	ASSERT_EQ(0, xm_set(self->fd, XMIRROR_SET_GRANULE, XM_PAGE, &old));
	ASSERT_EQ(0, xm_fault(self->fd, p + 512 * 1024, 64 * 1024, 0, NULL));
	for (i = 0; i < XM_PMD; i += XM_PAGE) {
		page = xm_page(self->fd, p + i);
		EXPECT_EQ(i >= 512 * 1024 && i < 576 * 1024,
			  page.dev & XMIRROR_PTE_VALID);
	}
}

/* D12: memory that may be written only, as far as the mapping says */
/* covers: D12 */
TEST_F(page, memory_without_the_right_to_read)
{
	__u64 *p = xm_anon_prot(XM_PAGE, PROT_WRITE);

	ASSERT_NE(NULL, p);
	EXPECT_EQ(-EFAULT, xm_op(self->fd, XMIRROR_OP_LOAD, 8, p, 0, NULL));
	EXPECT_EQ(-EFAULT, xm_add(self->fd, p, 1));
	EXPECT_EQ(-EFAULT, xm_exclusive(self->fd, p, XM_PAGE, NULL));
	EXPECT_LEAF(self->fd, p, LEAF_NONE);
}

/*
 * Return addresses are the CPU's to write: GUP refuses a write to a shadow stack, and
 * hmm_range_fault() calls it writable, since pte_write() does. With a token the stack
 * has a page of its own; else a fault to read would find the zero page.
 */
TEST_F(page, shadow_stack_is_not_written)
{
	const long map_shadow_stack = 453, set_token = 1;
	__u64 *p, word = 1;

	p = (__u64 *)syscall(map_shadow_stack, 0, XM_PAGE, set_token);
	if ((long)p == -1)
		XM_SKIP(return, "no shadow stacks: a CPU and a kernel (Linux 6.6) that have them");
	EXPECT_EQ(-EPERM, xm_fault(self->fd, p, XM_PAGE, XMIRROR_FAULT_WRITE,
				   NULL));
	EXPECT_EQ(-EPERM, xm_write(self->fd, p, &word, sizeof(word)));
	EXPECT_EQ(-EPERM, xm_op(self->fd, XMIRROR_OP_STORE, 8, p, 1, NULL));
	/* A fault for reading gives no right to write either. */
	EXPECT_EQ(0, xm_fault(self->fd, p, XM_PAGE, 0, NULL));
	EXPECT_LEAF(self->fd, p, LEAF_READ);
	EXPECT_EQ(0, XM_LOAD(p));
}

TEST_HARNESS_MAIN
