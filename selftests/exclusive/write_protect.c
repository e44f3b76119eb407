// SPDX-License-Identifier: GPL-2.0
/*
 * userfaultfd write protection, its markers, read-write protection and soft-dirty
 * bits, as devices meet them: section F of Documentation/behaviour.md.
 *
 * Write protection of file memory lives on in a marker when the page is unmapped. A
 * marker is no page: to a device it has to look like an empty entry, and the
 * protection has to come back with the page.
 */
#include <fcntl.h>
#include <sys/uio.h>

#include "klog.h"
#include "test.h"
#include "uffd.h"

#define FILL	0x22

FIXTURE(wp) {
	int fd;
	int uffd;
	int file;
	char *p;
};

FIXTURE_VARIANT(wp) {
	int flags;
};

FIXTURE_VARIANT_ADD(wp, shared) { .flags = MAP_SHARED };
FIXTURE_VARIANT_ADD(wp, private) { .flags = MAP_PRIVATE };

/* An untouched page of a memory file, armed */
FIXTURE_SETUP(wp)
{
	char page[XM_PAGE];

	self->fd = -1;
	NEED(XMIRROR_CAP_EXCLUSIVE);
	OPEN(self->fd, 0);
	self->uffd = xm_uffd(UFFD_FEATURE_PAGEFAULT_FLAG_WP |
			       UFFD_FEATURE_WP_HUGETLBFS_SHMEM);
	if (self->uffd < 0)
		XM_SKIP(return, "no CONFIG_USERFAULTFD or CONFIG_PTE_MARKER_UFFD_WP");
	memset(page, FILL, XM_PAGE);
	self->file = memfd_create("xmirror", MFD_CLOEXEC);
	ASSERT_LE(0, self->file);
	ASSERT_EQ(XM_PAGE, write(self->file, page, XM_PAGE));
	self->p = mmap(NULL, XM_PAGE, PROT_READ | PROT_WRITE, variant->flags,
		       self->file, 0);
	ASSERT_NE(MAP_FAILED, self->p);
	ASSERT_EQ(0, xm_uffd_register(self->uffd, self->p, XM_PAGE,
				      UFFDIO_REGISTER_MODE_WP));
}

FIXTURE_TEARDOWN(wp)
{
	if (self->fd < 0)
		return;
	EXPECT_CLEAN(self->fd);
	close(self->fd);
}

static bool is_marker(const void *p)
{
	__u64 pm = xm_pagemap(p);

	return pm & XM_PM_SWAP && !(pm & XM_PM_PRESENT) &&
	       pm & XM_PM_UFFD_WP && (pm & 31) == xm_facts()->swp_marker;
}

#define EXPECT_MARKER(p) \
	EXPECT_TRUE(is_marker(p)) \
		TH_LOG("pagemap says %#llx", \
		       (unsigned long long)xm_pagemap(p))

static int protect(int uffd, void *p)
{
	return xm_uffd_wp(uffd, p, XM_PAGE, true);
}

static int unprotect(int uffd, void *p)
{
	return xm_uffd_wp(uffd, p, XM_PAGE, false);
}

/* The device gets a readable page, and the page is protected. */
/* covers: F.markers_access */
TEST_F(wp, device_reads_through_a_marker)
{
	__u64 v = 0;

	ASSERT_EQ(0, protect(self->uffd, self->p));
	EXPECT_MARKER(self->p);
	ASSERT_EQ(0, xm_read(self->fd, self->p, &v, 8));
	EXPECT_EQ(0x2222222222222222ULL, v);
	EXPECT_LEAF(self->fd, self->p, LEAF_READ);
	EXPECT_NE(0, xm_pagemap(self->p) & XM_PM_PRESENT);
	EXPECT_NE(0, xm_pagemap(self->p) & XM_PM_UFFD_WP);
	EXPECT_EQ(0, xm_page(self->fd, self->p).cpu & XMIRROR_CPU_WRITE);
	EXPECT_EQ(-EFAULT, xm_op(self->fd, XMIRROR_OP_STORE, 8, self->p, 1,
				 NULL));
}

/* It gets no writable page until the protection is lifted. */
/* covers: F.markers_access */
TEST_F(wp, device_writes_not_through_a_marker)
{
	__u64 v = 0x5555;

	ASSERT_EQ(0, protect(self->uffd, self->p));
	EXPECT_MARKER(self->p);
	EXPECT_EQ(-EFAULT, xm_write(self->fd, self->p, &v, 8));
	EXPECT_EQ(-EFAULT, xm_fault(self->fd, self->p, XM_PAGE,
				    XMIRROR_FAULT_WRITE, NULL));
	EXPECT_EQ(0, xm_page(self->fd, self->p).dev & XMIRROR_PTE_WRITE);
	EXPECT_NE(0, xm_pagemap(self->p) & XM_PM_UFFD_WP);
	ASSERT_EQ(0, unprotect(self->uffd, self->p));
	EXPECT_EQ(0, xm_pagemap(self->p) & XM_PM_UFFD_WP);
	EXPECT_EQ(0, xm_write(self->fd, self->p, &v, 8));
	EXPECT_EQ(0x5555, XM_LOAD((__u64 *)self->p));
	EXPECT_EQ(FILL, self->p[9]);
}

/* covers: F.markers_access */
TEST_F(wp, marker_and_exclusive)
{
	const bool shared = variant->flags & MAP_SHARED;

	ASSERT_EQ(0, protect(self->uffd, self->p));
	EXPECT_MARKER(self->p);
	EXPECT_EQ(shared ? -EOPNOTSUPP : -EFAULT,
		  xm_exclusive(self->fd, self->p, XM_PAGE, NULL));
	EXPECT_EQ(shared ? -EOPNOTSUPP : -EFAULT,
		  xm_add(self->fd, self->p, 1));
	EXPECT_LEAF(self->fd, self->p, LEAF_NONE);
	EXPECT_FALSE(xm_is_exclusive(self->p));
	EXPECT_NE(0, xm_pagemap(self->p) & XM_PM_UFFD_WP);
	ASSERT_EQ(0, unprotect(self->uffd, self->p));
	EXPECT_EQ(shared ? -EOPNOTSUPP : 0, xm_add(self->fd, self->p, 1));
	EXPECT_EQ(0x2222222222222222ULL + !shared,
		  XM_LOAD((__u64 *)self->p));
}

/* The device's leaf is cleared, and the new marker is obeyed. */
/* covers: F.markers */
TEST_F(wp, mapped_page_becomes_a_marker)
{
	__u64 v = 0;

	ASSERT_EQ(0, xm_fault(self->fd, self->p, XM_PAGE, 0, NULL));
	EXPECT_NE(0, xm_page(self->fd, self->p).dev & XMIRROR_PTE_VALID);
	ASSERT_EQ(0, protect(self->uffd, self->p));
	EXPECT_EQ(0, xm_page(self->fd, self->p).dev & XMIRROR_PTE_WRITE);
	ASSERT_EQ(0, madvise(self->p, XM_PAGE, MADV_DONTNEED));
	EXPECT_LEAF(self->fd, self->p, LEAF_NONE);
	EXPECT_MARKER(self->p);
	ASSERT_EQ(0, xm_read(self->fd, self->p, &v, 8));
	EXPECT_EQ(0x2222222222222222ULL, v);
	EXPECT_LEAF(self->fd, self->p, LEAF_READ);
	EXPECT_NE(0, xm_pagemap(self->p) & XM_PM_UFFD_WP);
}

/* The same for an exclusive page: its data is lost, its protection is not. */
/* covers: F.markers */
TEST_F(wp, exclusive_page_becomes_a_marker)
{
	__u64 v = 0;

	if (variant->flags & MAP_SHARED)
		XM_SKIP(return, "exclusive pages are private");
	ASSERT_EQ(0, xm_add(self->fd, self->p, 1));
	ASSERT_EQ(0, protect(self->uffd, self->p));
	EXPECT_TRUE(xm_is_exclusive(self->p));
	EXPECT_NE(0, xm_pagemap(self->p) & XM_PM_UFFD_WP);
	EXPECT_LEAF(self->fd, self->p, LEAF_NONE);
	ASSERT_EQ(0, madvise(self->p, XM_PAGE, MADV_DONTNEED));
	EXPECT_FALSE(xm_is_exclusive(self->p));
	EXPECT_MARKER(self->p);
	ASSERT_EQ(0, xm_read(self->fd, self->p, &v, 8));
	EXPECT_EQ(0x2222222222222222ULL, v);
	EXPECT_NE(0, xm_pagemap(self->p) & XM_PM_UFFD_WP);
	EXPECT_EQ(-EFAULT, xm_add(self->fd, self->p, 1));
}

/* Anonymous memory */

FIXTURE(anon) {
	int fd;
	int uffd;
	__u64 *p;
};

FIXTURE_SETUP(anon)
{
	self->fd = -1;
	self->uffd = -1;
	NEED(XMIRROR_CAP_EXCLUSIVE);
	OPEN(self->fd, 0);
	self->p = xm_area(XM_PAGE, 0);
	ASSERT_NE(NULL, self->p);
	*self->p = 5;
}

FIXTURE_TEARDOWN(anon)
{
	if (self->fd < 0)
		return;
	EXPECT_CLEAN(self->fd);
	close(self->fd);
}

#define ARM(mode) \
	do { \
		self->uffd = xm_uffd(UFFD_FEATURE_PAGEFAULT_FLAG_WP); \
		if (self->uffd < 0) \
			XM_SKIP(return, "no CONFIG_USERFAULTFD"); \
		ASSERT_EQ(0, xm_uffd_register(self->uffd, self->p, XM_PAGE, \
						(mode))); \
	} while (0)

/* Anonymous memory has no marker: the protection is lost with the page. */
/* covers: F.markers */
TEST_F(anon, exclusive_page_leaves_no_marker)
{
	ARM(UFFDIO_REGISTER_MODE_WP);
	ASSERT_EQ(0, xm_add(self->fd, self->p, 1));
	ASSERT_EQ(0, protect(self->uffd, self->p));
	EXPECT_TRUE(xm_is_exclusive(self->p));
	ASSERT_EQ(0, madvise(self->p, XM_PAGE, MADV_DONTNEED));
	EXPECT_EQ(0, xm_pagemap(self->p) & (XM_PM_SWAP | XM_PM_PRESENT |
					    XM_PM_UFFD_WP));
	EXPECT_EQ(0, xm_add(self->fd, self->p, 1));
	EXPECT_EQ(1, XM_LOAD(self->p));
}

/* Unregistering clears the bit of entries that are not present, too. */
/* covers: F.carry */
TEST_F(anon, unregister_frees_the_entry)
{
	struct uffdio_range range = {
		.start = (uintptr_t)self->p,
		.len = XM_PAGE,
	};

	ARM(UFFDIO_REGISTER_MODE_WP);
	ASSERT_EQ(0, xm_add(self->fd, self->p, 1));
	ASSERT_EQ(0, protect(self->uffd, self->p));
	EXPECT_NE(0, xm_pagemap(self->p) & XM_PM_UFFD_WP);
	ASSERT_EQ(0, ioctl(self->uffd, UFFDIO_UNREGISTER, &range));
	EXPECT_EQ(0, xm_pagemap(self->p) & XM_PM_UFFD_WP);
	EXPECT_EQ(0, xm_add(self->fd, self->p, 1));
	XM_ADD(self->p, 1);
	EXPECT_EQ(8, XM_LOAD(self->p));
}

static int has_no_bit(struct child *c, void *arg)
{
	__u64 *p = arg;

	(void)c;
	CHILD_CHECK(!(xm_pagemap(p) & XM_PM_UFFD_WP));
	CHILD_CHECK(XM_ADD(p, 1) == 6);
	return 0;
}

/* The child's memory is not armed, unless the userfaultfd asked for that. */
/* covers: F.carry */
TEST_F(anon, protection_at_fork)
{
	struct child c;

	ARM(UFFDIO_REGISTER_MODE_WP);
	ASSERT_EQ(0, xm_add(self->fd, self->p, 1));
	ASSERT_EQ(0, protect(self->uffd, self->p));
	ASSERT_EQ(0, child_start(&c, has_no_bit, self->p));
	EXPECT_EQ(0, child_end(&c));
	EXPECT_FALSE(xm_is_exclusive(self->p));
	EXPECT_NE(0, xm_pagemap(self->p) & XM_PM_UFFD_WP);
	EXPECT_EQ(-EFAULT, xm_add(self->fd, self->p, 1));
	EXPECT_EQ(6, XM_LOAD(self->p));
}

/* Nor is the destination of mremap(); an exclusive entry moves along. */
/* covers: F.carry */
TEST_F(anon, protection_at_mremap)
{
	__u64 *q = xm_hole(XM_PAGE);

	ARM(UFFDIO_REGISTER_MODE_WP);
	ASSERT_NE(NULL, q);
	ASSERT_EQ(0, xm_add(self->fd, self->p, 1));
	ASSERT_EQ(0, protect(self->uffd, self->p));
	ASSERT_EQ(q, mremap(self->p, XM_PAGE, XM_PAGE,
			    MREMAP_MAYMOVE | MREMAP_FIXED, q));
	EXPECT_TRUE(xm_is_exclusive(q));
	EXPECT_EQ(0, xm_pagemap(q) & XM_PM_UFFD_WP);
	EXPECT_EQ(0, xm_add(self->fd, q, 1));
	XM_ADD(q, 1);
	EXPECT_EQ(8, XM_LOAD(q));
}

static int rwprotect(int uffd, void *p, bool on)
{
	struct uffdio_writeprotect rwp = {
		.range = { .start = (uintptr_t)p, .len = XM_PAGE },
		.mode = on,
	};

	return ioctl(uffd, XM_UFFDIO_RWPROTECT, &rwp) ? -errno : 0;
}

/* With protection of reads a device read has to fault, too. */
/* covers: F.rwp */
TEST_F(anon, read_write_protection)
{
	struct xmirror_stats before, after;
	struct iovec to, from = { self->p, 8 };
	__u64 v = 0;

	self->uffd = xm_uffd(XM_UFFD_RWP);
	if (self->uffd < 0)
		XM_SKIP(return, "read-write protection: Linux 7.3, CONFIG_USERFAULTFD_RWP");
	ASSERT_EQ(0, xm_uffd_register(self->uffd, self->p, XM_PAGE,
				      XM_UFFD_REGISTER_RWP));
	ASSERT_EQ(0, xm_add(self->fd, self->p, 1));
	ASSERT_EQ(0, xm_stats(self->fd, &before));
	ASSERT_EQ(0, rwprotect(self->uffd, self->p, true));
	ASSERT_EQ(0, xm_stats(self->fd, &after));
	EXPECT_LE(1, after.inv[XM_EV_PROTECTION_VMA] -
		     before.inv[XM_EV_PROTECTION_VMA]);
	/* The entry stays and has the bit; the device has lost its leaf. */
	EXPECT_TRUE(xm_is_exclusive(self->p));
	EXPECT_NE(0, xm_pagemap(self->p) & XM_PM_UFFD_WP);
	EXPECT_LEAF(self->fd, self->p, LEAF_NONE);
	EXPECT_EQ(-EFAULT, xm_add(self->fd, self->p, 1));
	EXPECT_EQ(-EFAULT, xm_read(self->fd, self->p, &v, 8));
	/* A CPU access would wait for this thread; one that cannot wait fails. */
	to = (struct iovec){ &v, 8 };
	EXPECT_NE(0, xm_pagemap(self->p) & XM_PM_UFFD_WP);
	EXPECT_LEAF(self->fd, self->p, LEAF_NONE);
	ASSERT_EQ(0, rwprotect(self->uffd, self->p, false));
	EXPECT_EQ(0, xm_pagemap(self->p) & XM_PM_UFFD_WP);
	EXPECT_EQ(8, process_vm_readv(getpid(), &to, 1, &from, 1, 0));
	EXPECT_EQ(6, v);
	EXPECT_EQ(0, xm_add(self->fd, self->p, 1));
	EXPECT_EQ(7, XM_LOAD(self->p));
}

/* A private entry keeps its soft-dirty bit while it moves. */
/* covers: F.private */
TEST_F(anon, soft_dirty_of_private_memory)
{
	__u64 moved;

	NEED(XMIRROR_CAP_PRIVATE);
	if (!xm_has_soft_dirty())
		XM_SKIP(return, "no CONFIG_MEM_SOFT_DIRTY");
	ASSERT_EQ(0, xm_write_file("/proc/self/clear_refs", "4"));
	ASSERT_EQ(0, xm_migrate(self->fd, self->p, XM_PAGE, 0, 0, &moved));
	ASSERT_EQ(1, moved);
	EXPECT_EQ(0, xm_pagemap(self->p) & XM_PM_SOFT_DIRTY);
	EXPECT_EQ(5, XM_LOAD(self->p));
	EXPECT_EQ(0, xm_pagemap(self->p) & XM_PM_SOFT_DIRTY);
	XM_STORE(self->p, 6);
	EXPECT_NE(0, xm_pagemap(self->p) & XM_PM_SOFT_DIRTY);
	ASSERT_EQ(0, xm_migrate(self->fd, self->p, XM_PAGE, 0, 0, &moved));
	ASSERT_EQ(1, moved);
	EXPECT_NE(0, xm_pagemap(self->p) & XM_PM_SOFT_DIRTY);
	/*
	 * mprotect() drops it when it takes the right to write; the kernel comments
	 * on that.
	 */
	ASSERT_EQ(0, mprotect(self->p, XM_PAGE, PROT_READ));
	EXPECT_EQ(0, xm_pagemap(self->p) & XM_PM_SOFT_DIRTY);
	EXPECT_EQ(6, XM_LOAD(self->p));
}

/*
 * PAGEMAP_SCAN reports the device's writes: here to its own memory, where the CPU's
 * entry says whether it may write.
 */
/* covers: B.scan */
TEST_F(anon, device_writes_to_private_memory_are_written)
{
	__u64 moved;
	int written;

	NEED(XMIRROR_CAP_PRIVATE);
	self->uffd = xm_uffd(UFFD_FEATURE_PAGEFAULT_FLAG_WP |
			       XM_UFFD_WP_ASYNC);
	if (self->uffd < 0)
		XM_SKIP(return, "asynchronous uffd-wp: Linux 6.7, CONFIG_PTE_MARKER_UFFD_WP");
	ASSERT_EQ(0, xm_uffd_register(self->uffd, self->p, XM_PAGE,
				      UFFDIO_REGISTER_MODE_WP));
	ASSERT_EQ(0, xm_migrate(self->fd, self->p, XM_PAGE, 0, 0, &moved));
	ASSERT_EQ(1, moved);
	ASSERT_EQ(0, xm_op(self->fd, XMIRROR_OP_STORE, 8, self->p, 6, NULL));
	klog_expect_scan(true);
	EXPECT_EQ(1, xm_scan_written(self->p));
	klog_expected_scan(true);
	EXPECT_NE(0, xm_pagemap(self->p) & XM_PM_UFFD_WP);
	EXPECT_LEAF(self->fd, self->p, LEAF_NONE);
	EXPECT_EQ(0, xm_scan_written(self->p));
	ASSERT_EQ(0, xm_op(self->fd, XMIRROR_OP_STORE, 8, self->p, 7, NULL));
	written = xm_scan_written(self->p);
	XM_XFAIL_IF(xm_kver() >= XM_KVER(6, 7), written,
		    "PAGEMAP_SCAN leaves the entry writable: 6.12, 7.3");
	EXPECT_GE(written, 0);
	EXPECT_EQ(7, XM_LOAD(self->p));
}

TEST_HARNESS_MAIN
