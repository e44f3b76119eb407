// SPDX-License-Identifier: GPL-2.0
/*
 * A folio of 16 pages that may be dropped (MADV_FREE), of which one half is shared with a
 * child and the device has written to the other, meets reclaim. It cannot be dropped
 * any more: reclaim has to put back what it has unmapped already, each entry as
 * writable as it was (CVE-2026-31398).
 */
#include "group.h"
#include "klog.h"
#include "test.h"

#define PAGES	16UL
#define LEN	(PAGES * XM_PAGE)
#define HALF	(PAGES / 2)
#define WRITTEN	(HALF + 1)	/* the page that the device writes to */
#define NEW	0xd0d0ULL
#define ROUNDS	20

/* E15: a kernel with CONFIG_DEBUG_VM says so where it meets an exclusive entry. */
#define SPLAT	"page dumped because: VM_WARN_ON_FOLIO\\((" \
		"!pte_present\\(pte\\)|.*pte.* != folio)\\)"

FIXTURE(lazyfree) {
	int fd;
	__u64 *p;
	struct child c;
	struct group group;	/* so that reclaim looks at little else */
};

FIXTURE_VARIANT(lazyfree) {
	bool exclusive;
};

FIXTURE_VARIANT_ADD(lazyfree, mapped) {};
FIXTURE_VARIANT_ADD(lazyfree, exclusive) { .exclusive = true };

static __u64 *word(__u64 *p, size_t page)
{
	return &p[page * XM_WORDS];
}

/*
 * The child has the first half as it was at the fork, or empty pages, which is what
 * MADV_FREE allows. It sees nothing of what its parent writes later.
 */
static int keep_the_first_half(struct child *c, void *arg)
{
	__u64 *p = arg, v;
	size_t i;

	CHILD_CHECK(!child_tell(c, 'r'));
	CHILD_CHECK(child_hear(c) == 'l');
	for (i = 0; i < HALF; i++) {
		v = XM_LOAD(word(p, i));
		CHILD_CHECK(v == xm_page_value(i) || !v);
	}
	return 0;
}

FIXTURE_SETUP(lazyfree)
{
	int err;

	self->fd = -1;
	self->group.path[0] = 0;
	if (variant->exclusive) {
		NEED(XMIRROR_CAP_EXCLUSIVE | XMIRROR_CAP_EXCLUSIVE_LARGE);
		NEED(XMIRROR_CAP_RECLAIM_EXCLUSIVE);
	}
	OPEN(self->fd, 0);
	ASSERT_EQ(0, xm_pin_cpu());
	err = xm_thp_16_pages();
	if (err == -ENOENT)
		XM_SKIP(return, "no large folios of 16 pages: Linux 6.8");
	ASSERT_EQ(0, err);
	err = group_make(&self->group, "lazyfree");
	if (err == -ENOENT)
		XM_SKIP(self->group.path[0] = 0; return,
			"no cgroup2 with a memory controller");
	ASSERT_EQ(0, err);
	/* Else it would be swapped out after that. */
	ASSERT_EQ(0, group_no_swap(&self->group));
	ASSERT_EQ(0, group_enter(&self->group));
	self->p = xm_anon_aligned(LEN, LEN);
	ASSERT_NE(NULL, self->p);
	ASSERT_EQ(0, madvise(self->p, LEN, MADV_HUGEPAGE));
	xm_fill_pages(self->p, PAGES);
	for (size_t i = 1; i < PAGES; i++) {
		if (xm_pfn(word(self->p, i)) != xm_pfn(self->p) + i)
			XM_SKIP(return, "allocation of a folio of 16 pages failed");
	}
	/* Before the fork: the kernel takes no shared folio. */
	ASSERT_EQ(0, madvise(self->p, LEN, MADV_FREE));
	ASSERT_EQ(0, xm_drain());
	ASSERT_EQ(0, xm_kpageflags(xm_pfn(self->p)) & XM_KPF_SWAPBACKED);
	/* One half is not copied; then it is one mapping again. */
	ASSERT_EQ(0, madvise(word(self->p, HALF), LEN / 2, MADV_DONTFORK));
	ASSERT_EQ(0, child_start(&self->c, keep_the_first_half, self->p));
	ASSERT_EQ(0, madvise(word(self->p, HALF), LEN / 2, MADV_DOFORK));
	ASSERT_EQ('r', child_hear(&self->c));
}

FIXTURE_TEARDOWN(lazyfree)
{
	if (self->fd < 0)
		return;
	EXPECT_CLEAN(self->fd);
	close(self->fd);
	if (!self->group.path[0])
		return;
	EXPECT_EQ(0, group_leave(&self->group));
	EXPECT_EQ(0, group_remove(&self->group));
}

static bool may_write(int fd, __u64 *p)
{
	return xm_page(fd, p).cpu & XMIRROR_CPU_WRITE;
}

/* covers: R11 */
TEST_F(lazyfree, partly_shared_folio_that_the_device_wrote_to)
{
	__u64 *p = word(self->p, WRITTEN), head = xm_pfn(self->p);
	__u32 leaf = variant->exclusive ? LEAF_EXCL : LEAF_WRITE;
	struct klog log;
	int round;
	size_t i;

	if (variant->exclusive) {
		ASSERT_EQ(0, xm_exclusive(self->fd, p, XM_PAGE, NULL));
	} else {
		ASSERT_EQ(0, xm_fault(self->fd, p, XM_PAGE, XMIRROR_FAULT_WRITE, NULL));
	}
	ASSERT_EQ(0, xm_op(self->fd, XMIRROR_OP_STORE, 8, p, NEW, NULL));
	EXPECT_LEAF(self->fd, p, leaf);
	/* It is as the report has it: one folio, and half of it is shared. */
	for (i = 0; i < PAGES; i++) {
		ASSERT_EQ(head + i, xm_pfn(word(self->p, i)));
		if (word(self->p, i) != p || !variant->exclusive) {
			ASSERT_EQ(i >= HALF, may_write(self->fd, word(self->p, i)));
		}
	}
	ASSERT_EQ(0, klog_open(&log));
	klog_expect("0-128", SPLAT);
	for (round = 0; round < ROUNDS; round++) {
		ASSERT_EQ(0, xm_reclaim("64M"));
		if (xm_kpageflags(head) & XM_KPF_SWAPBACKED)
			break;
	}
	klog_expected();
	klog_close(&log);
	/* Reclaim has found that it cannot be dropped. */
	EXPECT_GT(ROUNDS, round);
	if (!variant->exclusive) {
		EXPECT_LEAF(self->fd, p, LEAF_NONE);
	}
	for (i = 0; i < HALF; i++) {
		EXPECT_FALSE(may_write(self->fd, word(self->p, i)));
		XM_STORE(word(self->p, i), NEW + i);
	}
	EXPECT_EQ(0, child_tell(&self->c, 'l'));
	EXPECT_EQ(0, child_end(&self->c));
	for (i = 0; i < HALF; i++) {
		EXPECT_EQ(NEW + i, XM_LOAD(word(self->p, i)));
	}
	for (; i < PAGES; i++) {
		EXPECT_EQ(i == WRITTEN ? NEW : xm_page_value(i),
			  XM_LOAD(word(self->p, i)));
	}
}

TEST_HARNESS_MAIN
