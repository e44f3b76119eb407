// SPDX-License-Identifier: GPL-2.0
/*
 * An invalidation clears the leaves of its range and no others, wherever the range
 * begins and ends; without a change that is its only cost.
 */
#include "fixture.h"
#include "uffd.h"

/* Each operation works on pages FIRST to LAST of 16; the others keep their leaves. */

#define FIRST	5UL
#define LAST	9UL
#define BYTES	((LAST - FIRST + 1) * XM_PAGE)

static int do_munmap(char *p)
{
	return munmap(p, BYTES) ? -errno : 0;
}

static int do_map_fixed(char *p)
{
	return mmap(p, BYTES, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p ?
		0 : -errno;
}

static int do_protect_read(char *p)
{
	return mprotect(p, BYTES, PROT_READ) ? -errno : 0;
}

static int do_protect_none(char *p)
{
	return mprotect(p, BYTES, PROT_NONE) ? -errno : 0;
}

static int do_dontneed(char *p)
{
	return madvise(p, BYTES, MADV_DONTNEED) ? -errno : 0;
}

static int do_free(char *p)
{
	return madvise(p, BYTES, MADV_FREE) ? -errno : 0;
}

static int do_pageout(char *p)
{
	return madvise(p, BYTES, MADV_PAGEOUT) ? -errno : 0;
}

static int do_mremap(char *p)
{
	char *to = xm_hole(BYTES);

	return mremap(p, BYTES, BYTES, MREMAP_MAYMOVE | MREMAP_FIXED, to) ==
		to ? 0 : -errno;
}

static int do_dontunmap(char *p)
{
	return mremap(p, BYTES, BYTES, MREMAP_MAYMOVE | MREMAP_DONTUNMAP,
		      NULL) != MAP_FAILED ? 0 : -errno;
}

FIXTURE(exact) {
	int fd;
	char *p;
};

FIXTURE_VARIANT(exact) {
	int (*op)(char *p);
	enum xm_event event;
	/* of the pages that were hit */
	int cpu_sees;
};

#define EXACT(name, what, ev, sees) \
	FIXTURE_VARIANT_ADD(exact, name) { \
		.op = (what), .event = (ev), .cpu_sees = (sees) \
	}

EXACT(munmap, do_munmap, XM_EV_UNMAP, -1);
EXACT(map_fixed, do_map_fixed, XM_EV_UNMAP, 0);
EXACT(mprotect_read, do_protect_read, XM_EV_PROTECTION_VMA, 1);
/* covers: D10 */
EXACT(mprotect_none, do_protect_none, XM_EV_PROTECTION_VMA, -1);
EXACT(dontneed, do_dontneed, XM_EV_CLEAR, 0);
EXACT(free, do_free, XM_EV_CLEAR, 1);
EXACT(pageout, do_pageout, XM_EV_CLEAR, 1);
EXACT(mremap, do_mremap, XM_EV_UNMAP, -1);
EXACT(mremap_dontunmap, do_dontunmap, XM_EV_UNMAP, 0);

FIXTURE_SETUP(exact)
{
	/* A page in an LRU batch of another CPU cannot be paged out. */
	ASSERT_EQ(0, xm_pin_cpu());
	OPEN(self->fd, 0);
}

FIXTURE_TEARDOWN(exact)
{
	EXPECT_CLEAN(self->fd);
	close(self->fd);
}

static void hit_the_middle(struct __test_metadata *_metadata, int fd, char *p,
			   const FIXTURE_VARIANT(exact) *variant)
{
	struct xmirror_page before[PAGES], after[PAGES];
	struct xmirror_stats s0, s1;
	size_t i;
	int err;

	memset(p, 0x42, SIZE);
	ASSERT_EQ(0, xm_fault(fd, p, SIZE, XMIRROR_FAULT_WRITE, NULL));
	ASSERT_EQ(0, xm_snapshot(fd, p, SIZE, before));
	ASSERT_EQ(0, xm_stats(fd, &s0));
	err = variant->op(p + FIRST * XM_PAGE);
	if (err == -EINVAL && variant->op == do_dontunmap)
		XM_SKIP(return, "no MREMAP_DONTUNMAP here");
	ASSERT_EQ(0, err);
	ASSERT_EQ(0, xm_snapshot(fd, p, SIZE, after));
	ASSERT_EQ(0, xm_stats(fd, &s1));
	for (i = 0; i < PAGES; i++) {
		ASSERT_EQ(LEAF_WRITE, before[i].dev & LEAF_EXCL);
		if (i >= FIRST && i <= LAST) {
			EXPECT_EQ(0, after[i].dev) {
				TH_LOG("page %zu kept its leaf", i);
			}
			EXPECT_EQ(0, after[i].dev_pfn);
		} else {
			EXPECT_EQ(LEAF_WRITE, after[i].dev & LEAF_EXCL) {
				TH_LOG("page %zu lost its leaf", i);
			}
			EXPECT_EQ(before[i].dev_pfn, after[i].dev_pfn);
		}
	}
	EXPECT_EQ(LAST - FIRST + 1, s1.inv_leaves - s0.inv_leaves);
	EXPECT_EQ(s0.leaves - (LAST - FIRST + 1), s1.leaves);
	EXPECT_GE(s1.inv[variant->event] - s0.inv[variant->event], 1);
	EXPECT_EQ(s0.inv_own, s1.inv_own);
	if (variant->cpu_sees >= 0) {
		EXPECT_TRUE(cpu_sees(p + FIRST * XM_PAGE, BYTES,
				     variant->cpu_sees ? 0x42 : 0));
	}
	EXPECT_TRUE(cpu_sees(p, FIRST * XM_PAGE, 0x42));
	EXPECT_TRUE(cpu_sees(p + FIRST * XM_PAGE + BYTES,
			     SIZE - FIRST * XM_PAGE - BYTES, 0x42));
}

/* covers: T9, D.exact */
TEST_F(exact, inside)
{
	char *p = xm_anon(SIZE);

	ASSERT_NE(NULL, p);
	hit_the_middle(_metadata, self->fd, p, variant);
}

/*
 * A mapping of SIZE bytes whose page @page is the first of a chunk of the
 * notifiers. It is not larger than that: where the kernel splits a mapping it
 * notifies of the 2 MiB around, if they are all of that mapping.
 */
static char *around_border(size_t page)
{
	size_t chunk = xm_facts()->chunk_size;
	char *all, *p;

	/* Address space only; a smaller power of two has to do. */
	if (chunk > 1UL << 36)
		chunk = XM_2M;
	all = xm_anon_aligned(2 * chunk, chunk);
	if (!all)
		return NULL;
	p = all + chunk - page * XM_PAGE;
	munmap(all, p - all);
	munmap(p + SIZE, all + 2 * chunk - (p + SIZE));
	return p;
}

/* Across a border of two chunks, which is in the middle of the range */
/* covers: D.exact */
TEST_F(exact, across_chunks)
{
	char *p = around_border(FIRST + 2);

	ASSERT_NE(NULL, p);
	hit_the_middle(_metadata, self->fd, p, variant);
}

/* The last page of the range is the last of a chunk. */
/* covers: D.exact */
TEST_F(exact, chunk_end)
{
	char *p = around_border(LAST + 1);

	ASSERT_NE(NULL, p);
	hit_the_middle(_metadata, self->fd, p, variant);
}

/* The first page of the range is the first of a chunk. */
/* covers: D.exact */
TEST_F(exact, chunk_start)
{
	char *p = around_border(FIRST);

	ASSERT_NE(NULL, p);
	hit_the_middle(_metadata, self->fd, p, variant);
}

/* One page at a time: each loses its leaf alone. */
TEST_F(fault, one_by_one)
{
	char *p = xm_anon(SIZE);
	size_t i;

	ASSERT_NE(NULL, p);
	memset(p, 1, SIZE);
	ASSERT_EQ(0, xm_fault(self->fd, p, SIZE, XMIRROR_FAULT_WRITE, NULL));
	for (i = 0; i < PAGES; i += 2) {
		ASSERT_EQ(0, madvise(p + i * XM_PAGE, XM_PAGE, MADV_DONTNEED));
	}
	for (i = 0; i < PAGES; i++) {
		if (i % 2)
			EXPECT_LEAF(self->fd, p + i * XM_PAGE, LEAF_WRITE);
		else
			EXPECT_LEAF(self->fd, p + i * XM_PAGE, LEAF_NONE);
	}
}

/* fork() clears the write leaves of the whole mapping, and no others */
static int just_exit(struct child *c, void *arg)
{
	(void)c;
	return *(char *)arg != 0x42;
}

TEST_F(fault, fork)
{
	struct xmirror_stats before, after;
	char *p = xm_anon(SIZE), *shared = xm_shared(SIZE);
	struct child c;

	ASSERT_NE(NULL, p);
	ASSERT_NE(NULL, shared);
	memset(p, 0x42, SIZE);
	ASSERT_EQ(0, xm_fault(self->fd, p, SIZE, XMIRROR_FAULT_WRITE, NULL));
	ASSERT_EQ(0, xm_fault(self->fd, shared, SIZE, XMIRROR_FAULT_WRITE,
			      NULL));
	ASSERT_EQ(0, xm_stats(self->fd, &before));
	ASSERT_EQ(0, child_start(&c, just_exit, p));
	ASSERT_EQ(0, xm_stats(self->fd, &after));
	EXPECT_EQ(0, count_leaves(self->fd, p, SIZE, LEAF_WRITE));
	EXPECT_EQ(PAGES, count_leaves(self->fd, shared, SIZE, LEAF_WRITE));
	EXPECT_GE(after.inv[XM_EV_PROTECTION_PAGE],
		  before.inv[XM_EV_PROTECTION_PAGE] + 1);
	EXPECT_EQ(0, child_end(&c));
	EXPECT_EQ(0, device_sets(self->fd, p, SIZE, 0x43));
	EXPECT_TRUE(cpu_sees(p, SIZE, 0x43));
}

/* One call protects memory of more than one page table. */
/* covers: B.scan */
TEST_F(fault, pagemap_scan_of_much_memory)
{
	int uffd = xm_uffd(UFFD_FEATURE_PAGEFAULT_FLAG_WP | XM_UFFD_WP_ASYNC);
	const size_t len = XM_PMD + XM_PAGE;
	char *p = xm_anon_aligned(len, XM_PMD), *last;

	ASSERT_NE(NULL, p);
	if (uffd < 0)
		XM_SKIP(return, "asynchronous uffd-wp: Linux 6.7, CONFIG_PTE_MARKER_UFFD_WP");
	last = p + XM_PMD;
	*p = 1;
	*last = 1;
	ASSERT_EQ(0, xm_uffd_register(uffd, p, len, UFFDIO_REGISTER_MODE_WP));
	ASSERT_EQ(0, xm_fault(self->fd, p, XM_PAGE, XMIRROR_FAULT_WRITE, NULL));
	ASSERT_EQ(0, xm_fault(self->fd, last, XM_PAGE, XMIRROR_FAULT_WRITE,
			      NULL));
	ASSERT_EQ(0, xm_scan_protect_all(p, len));
	ASSERT_TRUE(xm_is_marked(last, XM_PM_UFFD_WP));
	EXPECT_LEAF(self->fd, p, LEAF_NONE);
	EXPECT_LEAF(self->fd, last, LEAF_NONE);
	/* The device's write is not missed. */
	EXPECT_EQ(0, device_sets(self->fd, last, XM_PAGE, 2));
	EXPECT_EQ(1, xm_scan_written(last));
	EXPECT_EQ(0, xm_scan_written(p));
	close(uffd);
}

/* A notification without a change costs the leaf only. */
TEST_F(fault, spurious)
{
	char *p = xm_anon(SIZE);
	size_t i;

	ASSERT_NE(NULL, p);
	memset(p, 5, SIZE);
	for (i = 0; i < 20; i++) {
		ASSERT_EQ(0, xm_fault(self->fd, p, SIZE, XMIRROR_FAULT_WRITE,
				      NULL));
		ASSERT_EQ(0, mprotect(p, SIZE, i & 1 ? PROT_READ | PROT_WRITE :
				      PROT_READ | PROT_WRITE | PROT_EXEC));
		EXPECT_EQ(0, device_sets(self->fd, p, SIZE, i));
		EXPECT_TRUE(cpu_sees(p, SIZE, i));
	}
	/* The same bits again: there is no event, and no leaf is lost. */
	ASSERT_EQ(0, mprotect(p, SIZE, PROT_READ | PROT_WRITE));
	ASSERT_EQ(0, xm_fault(self->fd, p, SIZE, XMIRROR_FAULT_WRITE, NULL));
	ASSERT_EQ(0, mprotect(p, SIZE, PROT_READ | PROT_WRITE));
	EXPECT_EQ(PAGES, count_leaves(self->fd, p, SIZE, LEAF_WRITE));
}

TEST_HARNESS_MAIN
