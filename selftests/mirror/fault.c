// SPDX-License-Identifier: GPL-2.0
/*
 * Range faults: memory of every kind gets leaves, and missing memory or a missing
 * right is an error. invalidate_exact.c is about the end of leaves, dirty.c about
 * the data that the device wrote before.
 */
#include <fcntl.h>

#include "fixture.h"

/* Whether the device reads @byte from every page. */
static bool device_sees(int fd, const char *p, size_t len, unsigned char byte)
{
	unsigned char *buf = malloc(len);
	bool same = buf && !xm_read(fd, p, buf, len);
	size_t i;

	for (i = 0; same && i < len; i++)
		same = buf[i] == byte;
	free(buf);
	return same;
}

/* Kinds of memory */

enum kind {
	FRESH,
	POPULATED,
	ZERO_PAGE,
	THP,
	SHARED_ANON,
	MEMFD_SHARED,
	MEMFD_PRIVATE,
	TMP_SHARED,
	TMP_PRIVATE,
	DISK_SHARED,
	HUGETLB,
};

FIXTURE(kinds) {
	int fd;
	int file;
	char *p;
	size_t len;
	unsigned char byte;
};

FIXTURE_VARIANT(kinds) {
	enum kind kind;
};

#define KIND(name, value) \
	FIXTURE_VARIANT_ADD(kinds, name) { .kind = (value) }

KIND(fresh, FRESH);
KIND(populated, POPULATED);
KIND(zero_page, ZERO_PAGE);
KIND(thp, THP);
KIND(shared_anon, SHARED_ANON);
KIND(memfd_shared, MEMFD_SHARED);
KIND(memfd_private, MEMFD_PRIVATE);
KIND(tmp_shared, TMP_SHARED);
KIND(tmp_private, TMP_PRIVATE);
KIND(disk_shared, DISK_SHARED);
KIND(hugetlb, HUGETLB);

static int fill_file(int fd, size_t len, unsigned char byte)
{
	char page[XM_PAGE];
	size_t i;

	memset(page, byte, sizeof(page));
	for (i = 0; i < len; i += XM_PAGE) {
		if (pwrite(fd, page, XM_PAGE, i) != XM_PAGE)
			return -errno;
	}
	return 0;
}

FIXTURE_SETUP(kinds)
{
	int flags = MAP_SHARED;

	OPEN(self->fd, 0);
	self->file = -1;
	self->len = SIZE;
	self->byte = 0;
	switch (variant->kind) {
	case FRESH:
		self->p = xm_anon(SIZE);
		break;
	case POPULATED:
		self->p = xm_anon(SIZE);
		ASSERT_NE(NULL, self->p);
		self->byte = 0x11;
		memset(self->p, self->byte, SIZE);
		break;
	case ZERO_PAGE:
		self->p = xm_anon(SIZE);
		ASSERT_NE(NULL, self->p);
		EXPECT_TRUE(cpu_sees(self->p, SIZE, 0));
		break;
	case THP:
		self->len = XM_PMD;
		self->p = xm_anon_aligned(XM_PMD, XM_PMD);
		ASSERT_NE(NULL, self->p);
		if (madvise(self->p, XM_PMD, MADV_HUGEPAGE))
			XM_SKIP(return, "%s", xm_why_no_thp());
		self->byte = 0x22;
		memset(self->p, self->byte, XM_PMD);
		if (!(xm_page(self->fd, self->p).cpu & XMIRROR_CPU_HUGE))
			XM_SKIP(return, "%s", xm_why_no_thp());
		break;
	case SHARED_ANON:
		self->p = xm_shared(SIZE);
		ASSERT_NE(NULL, self->p);
		self->byte = 0x33;
		memset(self->p, self->byte, SIZE);
		break;
	case HUGETLB:
		self->len = XM_PMD;
		self->p = mmap(NULL, XM_PMD, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1,
			       0);
		if (self->p == MAP_FAILED)
			XM_SKIP(return, "no hugetlb page: %s", strerror(errno));
		break;
	case MEMFD_PRIVATE:
	case TMP_PRIVATE:
		flags = MAP_PRIVATE;
		/* fall through */
	default:
		if (variant->kind == MEMFD_SHARED ||
		    variant->kind == MEMFD_PRIVATE) {
			self->file = memfd_create("xmirror", MFD_CLOEXEC);
		} else if (variant->kind == DISK_SHARED) {
			if (!getenv("XM_SCRATCH"))
				XM_SKIP(return, "no disk: XM_SCRATCH is not set");
			self->file = xm_temp_file(getenv("XM_SCRATCH"));
		} else {
			self->file = xm_temp_file("/tmp");
		}
		ASSERT_GE(self->file, 0);
		self->byte = 0x44;
		ASSERT_EQ(0, fill_file(self->file, SIZE, self->byte));
		self->p = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, flags,
			       self->file, 0);
	}
	ASSERT_NE(NULL, self->p);
	ASSERT_NE(MAP_FAILED, self->p);
}

FIXTURE_TEARDOWN(kinds)
{
	EXPECT_CLEAN(self->fd);
	close(self->fd);
	if (variant->kind == HUGETLB)
		munmap(self->p, self->len);
}

TEST_F(kinds, read)
{
	__u64 done;

	ASSERT_EQ(0, xm_fault(self->fd, self->p, self->len, 0, &done));
	EXPECT_EQ(self->len, done);
	EXPECT_EQ(self->len / XM_PAGE,
		  count_leaves(self->fd, self->p, self->len, LEAF_READ) +
		  count_leaves(self->fd, self->p, self->len, LEAF_WRITE));
	EXPECT_TRUE(device_sees(self->fd, self->p, self->len, self->byte));
	EXPECT_TRUE(cpu_sees(self->p, self->len, self->byte));
	/* The device sees the writes of the CPU, to any kind of memory. */
	self->p[self->len / 2] = 0x77;
	EXPECT_TRUE(device_sees(self->fd, self->p + self->len / 2, 1, 0x77));
	EXPECT_CLEAN(self->fd);
}

TEST_F(kinds, write)
{
	struct xmirror_stats stats;
	unsigned char byte = 0;
	__u64 done;

	ASSERT_EQ(0, xm_fault(self->fd, self->p, self->len,
			      XMIRROR_FAULT_WRITE, &done));
	EXPECT_EQ(self->len, done);
	EXPECT_EQ(self->len / XM_PAGE,
		  count_leaves(self->fd, self->p, self->len, LEAF_WRITE));
	EXPECT_TRUE(device_sees(self->fd, self->p, self->len, self->byte));
	ASSERT_EQ(0, xm_stats(self->fd, &stats));
	EXPECT_EQ(self->len / XM_PAGE, stats.leaves);
	ASSERT_EQ(0, device_sets(self->fd, self->p, self->len, 0x99));
	EXPECT_TRUE(cpu_sees(self->p, self->len, 0x99));
	if (self->file >= 0) {
		bool private = variant->kind == MEMFD_PRIVATE ||
			       variant->kind == TMP_PRIVATE;

		EXPECT_EQ(1, pread(self->file, &byte, 1, SIZE - 1));
		EXPECT_EQ(private ? self->byte : 0x99, byte);
	}
}

/* A read leaf becomes writable by a write fault only. */
TEST_F(kinds, upgrade)
{
	ASSERT_EQ(0, xm_fault(self->fd, self->p, self->len, 0, NULL));
	ASSERT_EQ(0, device_sets(self->fd, self->p + XM_PAGE, 1, 0x55));
	EXPECT_EQ(0x55, self->p[XM_PAGE]);
	EXPECT_EQ((char)self->byte, self->p[XM_PAGE + 1]);
	EXPECT_EQ((char)self->byte, self->p[0]);
	EXPECT_EQ((char)self->byte, self->p[2 * XM_PAGE]);
	EXPECT_LEAF(self->fd, self->p + XM_PAGE, LEAF_WRITE);
	EXPECT_CLEAN(self->fd);
}

/* A second fault finds the leaves. */
TEST_F(kinds, again)
{
	struct xmirror_stats before, after;

	ASSERT_EQ(0, xm_fault(self->fd, self->p, self->len,
			      XMIRROR_FAULT_WRITE, NULL));
	ASSERT_EQ(0, xm_stats(self->fd, &before));
	ASSERT_EQ(0, xm_fault(self->fd, self->p, self->len,
			      XMIRROR_FAULT_WRITE, NULL));
	ASSERT_EQ(0, xm_fault(self->fd, self->p, self->len, 0, NULL));
	ASSERT_EQ(0, xm_stats(self->fd, &after));
	EXPECT_EQ(before.leaves, after.leaves);
	EXPECT_EQ(before.inv_leaves, after.inv_leaves);
	EXPECT_EQ(self->len / XM_PAGE,
		  count_leaves(self->fd, self->p, self->len, LEAF_WRITE));
}

/* Data that the device wrote outlives its leaves, the mapping and the page cache. */
TEST_F(kinds, file_keeps_writes)
{
	unsigned char buf[XM_PAGE];
	size_t i;

	if (self->file < 0 || variant->kind == MEMFD_PRIVATE ||
	    variant->kind == TMP_PRIVATE)
		XM_SKIP(return, "not a shared file");
	ASSERT_EQ(0, device_sets(self->fd, self->p, SIZE, 0xa1));
	for (i = 0; i < SIZE; i += XM_PAGE) {
		ASSERT_EQ((ssize_t)XM_PAGE,
			  pread(self->file, buf, XM_PAGE, i));
		EXPECT_TRUE(cpu_sees((char *)buf, XM_PAGE, 0xa1));
	}
	/* Clean the pages, then write again. */
	ASSERT_EQ(0, fsync(self->file));
	ASSERT_EQ(0, device_sets(self->fd, self->p, SIZE, 0xa2));
	ASSERT_EQ(0, munmap(self->p, SIZE));
	EXPECT_EQ(0, count_leaves(self->fd, self->p, SIZE, LEAF_WRITE));
	ASSERT_EQ(0, fsync(self->file));
	/* After this only data that was written back is left. */
	ASSERT_EQ(0, posix_fadvise(self->file, 0, 0, POSIX_FADV_DONTNEED));
	for (i = 0; i < SIZE; i += XM_PAGE) {
		ASSERT_EQ((ssize_t)XM_PAGE,
			  pread(self->file, buf, XM_PAGE, i));
		EXPECT_TRUE(cpu_sees((char *)buf, XM_PAGE, 0xa2));
	}
}

/* Holes and limits */

TEST_F(fault, hole)
{
	char *p = xm_anon(SIZE);
	struct xmirror_range r = {
		.size = sizeof(r),
		.addr = (uintptr_t)p,
		.length = SIZE,
	};

	ASSERT_NE(NULL, p);
	ASSERT_EQ(0, munmap(p + 6 * XM_PAGE, 2 * XM_PAGE));
	EXPECT_EQ(-EFAULT, xm_ioctl(self->fd, XMIRROR_IOC_FAULT, &r));
	EXPECT_EQ(6 * XM_PAGE, r.done);
	EXPECT_EQ(6, count_leaves(self->fd, p, 6 * XM_PAGE, LEAF_READ) +
		     count_leaves(self->fd, p, 6 * XM_PAGE, LEAF_WRITE));
	r.addr = (uintptr_t)p + 8 * XM_PAGE;
	r.length = SIZE - 8 * XM_PAGE;
	EXPECT_EQ(0, xm_ioctl(self->fd, XMIRROR_IOC_FAULT, &r));
	EXPECT_EQ(r.length, r.done);
}

/* Undisturbed, one walk is enough for 2 MiB. */
TEST_F(fault, rounds)
{
	char *p = xm_anon_aligned(SIZE, XM_PMD);
	struct xmirror_range r = {
		.size = sizeof(r),
		.flags = XMIRROR_FAULT_WRITE,
		.addr = (uintptr_t)p,
		.length = SIZE,
	};
	struct xmirror_stats s;

	ASSERT_NE(NULL, p);
	memset(p, 1, SIZE);
	ASSERT_EQ(0, xm_ioctl(self->fd, XMIRROR_IOC_FAULT, &r));
	ASSERT_EQ(0, xm_stats(self->fd, &s));
	EXPECT_EQ(0, s.fault_retries);
	EXPECT_EQ(1, r.rounds);
	EXPECT_EQ(1, s.fault_rounds);
	EXPECT_EQ(PAGES, s.fault_pages);
	EXPECT_EQ(PAGES, s.leaves);
	EXPECT_GT(s.table_bytes, 0);
}

/* Several mappings in one range, with different rights */
TEST_F(fault, many_mappings)
{
	char *p = xm_anon(SIZE);
	__u64 done;

	ASSERT_NE(NULL, p);
	memset(p, 3, SIZE);
	ASSERT_EQ(0, mprotect(p + 4 * XM_PAGE, 4 * XM_PAGE, PROT_READ));
	ASSERT_NE(MAP_FAILED, mmap(p + 8 * XM_PAGE, 4 * XM_PAGE,
				   PROT_READ | PROT_WRITE, MAP_SHARED |
				   MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	memset(p + 8 * XM_PAGE, 3, 4 * XM_PAGE);
	EXPECT_EQ(0, xm_fault(self->fd, p, SIZE, 0, &done));
	EXPECT_EQ(SIZE, done);
	EXPECT_TRUE(device_sees(self->fd, p, SIZE, 3));
	EXPECT_EQ(4, count_leaves(self->fd, p + 4 * XM_PAGE, 4 * XM_PAGE,
				  LEAF_READ));
	EXPECT_EQ(-EPERM, xm_fault(self->fd, p, SIZE, XMIRROR_FAULT_WRITE,
				   &done));
	EXPECT_EQ(4 * XM_PAGE, done);
	EXPECT_EQ(0, xm_fault(self->fd, p + 8 * XM_PAGE, 8 * XM_PAGE,
			      XMIRROR_FAULT_WRITE, NULL));
}

/* The size of the page table depends on the number of pages, not on their addresses. */
TEST_F(fault, table_is_sparse)
{
	char *p = xm_anon_aligned(1UL << 30, XM_PMD);
	struct xmirror_stats s;
	size_t i;

	ASSERT_NE(NULL, p);
	for (i = 0; i < 32; i++) {
		ASSERT_EQ(0, xm_fault(self->fd, p + (i << 25), XM_PAGE,
				      XMIRROR_FAULT_WRITE, NULL));
	}
	ASSERT_EQ(0, xm_stats(self->fd, &s));
	EXPECT_EQ(32, s.leaves);
	EXPECT_LE(s.table_bytes, 32 * 4 * XM_PAGE);
	ASSERT_EQ(0, munmap(p, 1UL << 30));
	ASSERT_EQ(0, xm_stats(self->fd, &s));
	EXPECT_EQ(0, s.leaves);
}

TEST_F(fault, many_pages)
{
	size_t len = 16UL << 20;
	char *p = xm_anon(len);
	struct xmirror_stats s;

	ASSERT_NE(NULL, p);
	ASSERT_EQ(0, xm_fault(self->fd, p, len, XMIRROR_FAULT_WRITE, NULL));
	ASSERT_EQ(0, xm_stats(self->fd, &s));
	EXPECT_EQ(len / XM_PAGE, s.leaves);
	/* At most ten bytes of table for a page, and a little. */
	EXPECT_LE(s.table_bytes, 10 * (len / XM_PAGE) + 16 * XM_PAGE);
	EXPECT_EQ(len / XM_PAGE, count_leaves(self->fd, p, len, LEAF_WRITE));
	EXPECT_EQ(0, munmap(p, len));
	ASSERT_EQ(0, xm_stats(self->fd, &s));
	EXPECT_EQ(0, s.leaves);
}

/* Any thread of the opener may fault memory that it never touched. */
static void *fault_it(void *arg)
{
	struct worker *w = arg;

	w->err = work_fault_write(w);
	return NULL;
}

TEST_F(fault, other_thread)
{
	struct worker w = { .fd = self->fd, .addr = xm_anon(SIZE), .len = SIZE };
	pthread_t thread;

	ASSERT_NE(NULL, w.addr);
	ASSERT_EQ(0, pthread_create(&thread, NULL, fault_it, &w));
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_EQ(0, w.err);
	EXPECT_EQ(PAGES, count_leaves(self->fd, w.addr, SIZE, LEAF_WRITE));
}

/* A closed file leaves nothing behind. */
TEST_F(fault, close_gives_back)
{
	size_t len = 1024 * XM_PAGE;
	long rss = xm_vmrss_kb();
	char *p = xm_anon(len);
	int fd;

	ASSERT_NE(NULL, p);
	memset(p, 7, len);
	OPEN(fd, 0);
	ASSERT_EQ(0, xm_fault(fd, p, len, XMIRROR_FAULT_WRITE, NULL));
	ASSERT_EQ(0, xm_op(fd, XMIRROR_OP_STORE, 1, p, 8, NULL));
	EXPECT_EQ(0, close(fd));
	EXPECT_EQ(8, p[0]);
	EXPECT_TRUE(cpu_sees(p + 1, SIZE, 7));
	ASSERT_EQ(0, munmap(p, len));
	/* The counter is kept per CPU, so it may be some pages off. */
	EXPECT_LE(xm_vmrss_kb(), rss + (long)(len / 4 / 1024));
}

/* The first page has to be faulted in, the second is exclusive. */
/* covers: J.asked */
TEST_F(fault, beside_an_exclusive_page)
{
	__u64 *p = xm_anon(3 * XM_PAGE);

	NEED(XMIRROR_CAP_EXCLUSIVE);
	ASSERT_NE(NULL, p);
	ASSERT_EQ(0, xm_add(self->fd, p + XM_WORDS, 1));
	ASSERT_EQ(0, xm_fault(self->fd, p, 3 * XM_PAGE, XMIRROR_FAULT_WRITE,
			      NULL));
	EXPECT_LEAF(self->fd, p, LEAF_WRITE);
	EXPECT_LEAF(self->fd, p + XM_WORDS, LEAF_EXCL);
	EXPECT_LEAF(self->fd, p + 2 * XM_WORDS, LEAF_WRITE);
	EXPECT_TRUE(xm_is_exclusive(p + XM_WORDS));
	EXPECT_EQ(1, p[XM_WORDS]);
}

TEST_HARNESS_MAIN
