// SPDX-License-Identifier: GPL-2.0
/*
 * A page in the middle of a leaf of 2 MiB changes: the leaf is split once, and
 * the other pages keep their data, their rights and their leaves, wherever
 * the change and the device meet.
 *
 * Where the CPU maps the memory by a huge entry the kernel splits that first, and
 * announces all of it; and the same where it has to split the VMA. So the memory
 * here is a huge page that is mapped by small entries, and the page that changes
 * has a VMA of its own.
 */
#include "race.h"

#define SIZES	(XMIRROR_PTE_64K | XMIRROR_PTE_2M)
#define PAGES	(XM_2M / XM_PAGE)
#define HOLE	100UL
#define WORD(page)	(self->all + (page) * WORDS)

/* @all is the memory, @p the page that changes, and @other what changes it. */
FIXTURE(large_leaf) {
	RACE_FIELDS;
};

FIXTURE_VARIANT(large_leaf) {
	int (*fn)(struct worker *w);
	int arg;
	unsigned int event;
	int read;	/* what the device's read of the page gives then */
	int write;
	__u64 value;
};

FIXTURE_VARIANT_ADD(large_leaf, dontneed) {
	.fn = work_madvise, .arg = MADV_DONTNEED, .event = XM_EV_CLEAR,
};

FIXTURE_VARIANT_ADD(large_leaf, mprotect) {
	.fn = work_mprotect, .arg = PROT_READ, .event = XM_EV_PROTECTION_VMA,
	.write = -EPERM, .value = HOLE,
};

FIXTURE_VARIANT_ADD(large_leaf, munmap) {
	.fn = work_munmap, .event = XM_EV_UNMAP,
	.read = -EFAULT, .write = -EFAULT,
};

FIXTURE_SETUP(large_leaf)
{
	size_t i;

	OPEN(self->fd, 0);
	NEED(XMIRROR_CAP_SYNC);
	ASSERT_EQ(0, xm_no_faults());
	self->all = (__u64 *)xm_thp(self->fd, 0);
	if (!self->all)
		XM_SKIP(return, "%s", xm_why_no_thp());
	self->p = WORD(HOLE);
	/* Split the mapping, not the memory; nobody shall collapse it again. */
	ASSERT_EQ(0, mprotect(self->all, XM_PAGE, PROT_READ));
	ASSERT_EQ(0, xm_no_thp(self->all, XM_PMD));
	ASSERT_EQ(0, mprotect(self->all, XM_PAGE, PROT_READ | PROT_WRITE));
	EXPECT_FALSE(xm_page(self->fd, self->all).cpu & XMIRROR_CPU_HUGE);
	ASSERT_EQ(0, madvise(self->p, XM_PAGE, MADV_DONTDUMP));
	for (i = 0; i < PAGES; i++)
		*WORD(i) = i;
	ASSERT_EQ(0, xm_set(self->fd, XMIRROR_SET_GRANULE, XM_2M, NULL));
	self->op.fd = self->fd;
	self->op.addr = self->all;
	self->op.len = XM_2M;
	self->other.fn = variant->fn;
	self->other.addr = self->p;
	self->other.len = XM_PAGE;
	self->other.arg = variant->arg;
	ASSERT_EQ(0, worker_prepare(&self->other));
}

FIXTURE_TEARDOWN(large_leaf)
{
	EXPECT_CLEAN(self->fd);
	close(self->fd);
}

/* The device writes to all but the page that changes, and takes no fault. */
#define WRITE_NEIGHBOURS(add) \
	do { \
		struct xmirror_stats nb_was, nb_is; \
		__u64 nb_value; \
		size_t nb_i; \
		ASSERT_EQ(0, xm_stats(self->fd, &nb_was)); \
		for (nb_i = 0; nb_i < PAGES; nb_i++) { \
			if (nb_i == HOLE) \
				continue; \
			nb_value = nb_i + (add); \
			ASSERT_EQ(0, xm_write(self->fd, WORD(nb_i), &nb_value, \
					      8)); \
		} \
		ASSERT_EQ(0, xm_stats(self->fd, &nb_is)); \
		EXPECT_EQ(nb_was.device_faults, nb_is.device_faults); \
	} while (0)

/* The values that the device itself writes to the page */
#define EXPECT_HOLE() \
	do { \
		__u64 hole_value = 0; \
		EXPECT_EQ(variant->read, \
			  xm_read(self->fd, self->p, &hole_value, 8)); \
		EXPECT_EQ(variant->value, hole_value); \
		EXPECT_EQ(variant->write, \
			  xm_write(self->fd, self->p, &hole_value, 8)); \
	} while (0)

/* The invalidation of the page stops at @where. */
#define INVALIDATE(where) \
	do { \
		struct xmirror_stats inv_was, inv_is; \
		size_t inv_i; \
		ASSERT_EQ(0, xm_fault(self->fd, self->all, XM_2M, \
				      XMIRROR_FAULT_WRITE, NULL)); \
		EXPECT_EQ(XMIRROR_PTE_2M, \
			  xm_page(self->fd, self->all).dev & SIZES); \
		ASSERT_EQ(0, xm_stats(self->fd, &inv_was)); \
		STOP_INVALIDATION((where), variant->event, variant->fn); \
		WRITE_NEIGHBOURS(1000); \
		GO_ON(); \
		EXPECT_EQ(0, worker_join(&self->other)); \
		WRITE_NEIGHBOURS(2000); \
		ASSERT_EQ(0, xm_stats(self->fd, &inv_is)); \
		EXPECT_EQ(1, inv_is.splits - inv_was.splits); \
		EXPECT_EQ(1, inv_is.inv_leaves - inv_was.inv_leaves); \
		EXPECT_EQ(PAGES - 1, inv_is.leaves); \
		EXPECT_LEAF(self->fd, self->p, LEAF_NONE); \
		for (inv_i = 0; inv_i < PAGES; inv_i++) { \
			if (inv_i == HOLE) \
				continue; \
			EXPECT_LEAF(self->fd, WORD(inv_i), LEAF_WRITE); \
			EXPECT_EQ(2000 + inv_i, XM_LOAD(WORD(inv_i))); \
		} \
		EXPECT_HOLE(); \
	} while (0)

/* covers: G.leaves */
TEST_F(large_leaf, before_the_clear)
{
	INVALIDATE(XMIRROR_PT_INV_ENTER);
}

/* covers: G.leaves */
TEST_F(large_leaf, after_the_clear)
{
	INVALIDATE(XMIRROR_PT_INV_EXIT);
}

/* The mapping changes after the walk: a large leaf is no longer possible. */
/* covers: G.leaves */
TEST_F(large_leaf, after_the_walk)
{
	struct xmirror_stats s;
	size_t i;

	STOP_AT(XMIRROR_PT_FAULT_WALKED, work_fault_write);
	ASSERT_EQ(0, worker_start(&self->other));
	EXPECT_EQ(0, worker_join(&self->other));
	FINISH(variant->write);
	ASSERT_EQ(0, xm_stats(self->fd, &s));
	EXPECT_LT(0, s.fault_retries);
	for (i = 0; i < PAGES; i++) {
		__u64 value = 1000 + i;

		if (i == HOLE)
			continue;
		EXPECT_EQ(0, xm_page(self->fd, WORD(i)).dev & XMIRROR_PTE_2M);
		ASSERT_EQ(0, xm_write(self->fd, WORD(i), &value, 8));
		EXPECT_EQ(1000 + i, XM_LOAD(WORD(i)));
	}
	EXPECT_HOLE();
}

/* Entries that are alike again, and of one folio, are one leaf again. */
/* covers: G.leaves */
TEST_F(large_leaf, is_made_again)
{
	const bool same = variant->fn == work_mprotect;

	ASSERT_EQ(0, xm_fault(self->fd, self->all, XM_2M, XMIRROR_FAULT_WRITE,
			      NULL));
	ASSERT_EQ(0, worker_start(&self->other));
	EXPECT_EQ(0, worker_join(&self->other));
	EXPECT_LEAF(self->fd, self->p, LEAF_NONE);
	EXPECT_EQ(0, xm_page(self->fd, self->all).dev & XMIRROR_PTE_2M);
	/* Other rights, another folio, or nothing at all */
	EXPECT_EQ(variant->read, xm_fault(self->fd, self->all, XM_2M, 0, NULL));
	EXPECT_EQ(0, xm_page(self->fd, self->all).dev & XMIRROR_PTE_2M);
	if (same) {
		EXPECT_LEAF(self->fd, self->p, LEAF_READ);
		ASSERT_EQ(0, mprotect(self->p, XM_PAGE,
				      PROT_READ | PROT_WRITE));
	}
	EXPECT_EQ(variant->read, xm_fault(self->fd, self->all, XM_2M,
					  XMIRROR_FAULT_WRITE, NULL));
	EXPECT_EQ(same ? XMIRROR_PTE_2M : 0,
		  xm_page(self->fd, self->all).dev & XMIRROR_PTE_2M);
	WRITE_NEIGHBOURS(0);
}

TEST_HARNESS_MAIN
