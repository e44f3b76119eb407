// SPDX-License-Identifier: GPL-2.0
/*
 * A contiguous range of memory is allocated while the device has pages of it exclusively:
 * the allocation moves them elsewhere, and nothing is lost.
 *
 * The range is an area of CMA that the kernel reserves for gigantic pages
 * (hugetlb_cma=NODE:SIZE), and which processes have as long as none is allocated. It has
 * to be the larger part of the node's memory: only then the kernel gives pages of it
 * away first (__rmqueue() in mm/page_alloc.c). After the test it is as it was.
 */
#include <linux/mempolicy.h>
#include <stdio.h>

#include "moving.h"

/* Many more than come to a CPU's lists meanwhile, which need not be of the area */
#define PAGES	1024
#define LEN	(PAGES * XM_PAGE)
#define NODES	8
#define GIGANTIC	"/sys/devices/system/node/node%d/hugepages/hugepages-%lukB/nr_hugepages"

FIXTURE(cma) {
	int fd;
	char file[128];
	__u64 *p;
	__u64 pfn[PAGES];	/* where the pages were at first */
};

/* Does the node have such an area, with nothing allocated? */
static bool is_free(const char *area)
{
	char path[96];
	long total;

	snprintf(path, sizeof(path), "%s/total_pages", area);
	total = xm_read_number(path);
	snprintf(path, sizeof(path), "%s/available_pages", area);
	return total > 0 && total == xm_read_number(path);
}

/* The first node with one, or -1 */
static int find_node(void)
{
	char area[64];
	int node;

	for (node = 0; node < NODES; node++) {
		snprintf(area, sizeof(area), "/sys/kernel/mm/cma/hugetlb%d",
			 node);
		if (is_free(area))
			return node;
	}
	return -1;
}

/* A page of huge page tables maps it. */
static unsigned long gigantic_kb(void)
{
	return XM_PMD / 1024 * (XM_PAGE / 8);
}

/* The allocation gives up where a page is in use for the moment: then it is made again. */
static int allocate(const char *file)
{
	__u64 start = xm_now_ns();
	int err;

	do {
		err = xm_write_file(file, "1");
		if (err)
			return err;
		if (xm_read_number(file) > 0)
			return 0;
	} while (!xm_expired(start, XM_LONG));
	return -ETIMEDOUT;
}

FIXTURE_SETUP(cma)
{
	unsigned long nodes;
	int node;

	self->fd = -1;
	NEED_EXCLUSIVE_MOVES();
	node = find_node();
	if (node < 0)
		XM_SKIP(return, "no area of CMA for gigantic pages: hugetlb_cma=");
	snprintf(self->file, sizeof(self->file), GIGANTIC, node, gigantic_kb());
	if (access(self->file, W_OK)) {
		*self->file = 0;
		XM_SKIP(return, "no gigantic pages of the size of a PUD");
	}
	ASSERT_EQ(0, xm_read_number(self->file));
	OPEN(self->fd, 0);
	/* It drains the lists of the CPUs, which have what a test before has freed. */
	ASSERT_EQ(0, allocate(self->file));
	ASSERT_EQ(0, xm_write_file(self->file, "0"));
	ASSERT_EQ(0, xm_read_number(self->file));
	self->p = xm_anon(LEN);
	ASSERT_NE(NULL, self->p);
	nodes = 1UL << node;
	ASSERT_EQ(0, syscall(SYS_mbind, self->p, LEN, MPOL_BIND, &nodes, NODES + 1, 0));
	xm_fill_pages(self->p, PAGES);
	for (size_t i = 0; i < PAGES; i++) {
		self->pfn[i] = xm_pfn(&self->p[i * XM_WORDS]);
		ASSERT_NE(0, self->pfn[i]);
	}
}

FIXTURE_TEARDOWN(cma)
{
	if (*self->file) {
		EXPECT_EQ(0, xm_write_file(self->file, "0"));
		EXPECT_EQ(0, xm_read_number(self->file));
	}
	if (self->fd >= 0)
		close(self->fd);
}

/* Is what was a page of the test's a part of a gigantic page? */
static bool is_taken(__u64 pfn)
{
	return xm_kpageflags(pfn) & XM_KPF_HUGE;
}

static size_t taken(const __u64 *pfn)
{
	size_t i, n = 0;

	for (i = 0; i < PAGES; i++)
		n += is_taken(pfn[i]);
	return n;
}

/* covers: B.cma */
TEST_F(cma, exclusive_pages_move)
{
	size_t i, moved;

	ASSERT_EQ(0, xm_exclusive(self->fd, self->p, LEN, NULL));
	for (i = 0; i < PAGES; i++) {
		ASSERT_EQ(self->pfn[i], xm_pfn(&self->p[i * XM_WORDS]));
		ASSERT_EQ(0, xm_add(self->fd, &self->p[i * XM_WORDS], 1));
	}
	ASSERT_EQ(PAGES, xm_count_exclusive(self->p, LEN));
	ASSERT_EQ(0, taken(self->pfn));
	ASSERT_EQ(0, allocate(self->file));
	moved = taken(self->pfn);
	ASSERT_LE(PAGES / 2, moved);
	EXPECT_EQ(PAGES - moved, xm_count_exclusive(self->p, LEN));
	for (i = 0; i < PAGES; i++) {
		if (is_taken(self->pfn[i])) {
			EXPECT_LEAF(self->fd, &self->p[i * XM_WORDS], LEAF_NONE);
			EXPECT_NE(self->pfn[i], xm_pfn(&self->p[i * XM_WORDS]));
		}
		EXPECT_EQ(0, xm_add(self->fd, &self->p[i * XM_WORDS], 1));
		EXPECT_EQ(xm_page_value(i) + 2, XM_LOAD(&self->p[i * XM_WORDS]));
	}
	EXPECT_CLEAN(self->fd);
}

/* covers: B.cma */
TEST_F(cma, device_counts_go_on)
{
	__u64 fence;

	DEVICE_COUNTS(self->fd, self->p, PAGES, &fence);
	ASSERT_EQ(0, taken(self->pfn));
	EXPECT_EQ(0, allocate(self->file));
	EXPECT_LE(PAGES / 2, taken(self->pfn));
	EXPECT_COUNTED(self->fd, self->p, PAGES, fence);
	EXPECT_CLEAN(self->fd);
}

TEST_HARNESS_MAIN
