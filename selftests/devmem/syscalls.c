// SPDX-License-Identifier: GPL-2.0
/*
 * System calls about memory that the device has, in small pages and as a huge one: what is
 * not to touch a page leaves it there, and what is to take it away does so.
 */
#include <linux/mempolicy.h>

#include "raw.h"
#include "test.h"
#include "uffd.h"

/* One of them, not the first of its huge page */
#define Q	(self->p + 7 * XM_PAGE)

FIXTURE(private) {
	int fd;
	__u32 level;	/* what the entry has of XM_HUGE_PRIVATE */
	size_t len;
	__u64 free;	/* of the device, before it has the memory */
	char *p;	/* filled with 0x22 */
};

FIXTURE_VARIANT(private) {
	bool huge;
};

FIXTURE_VARIANT_ADD(private, small) {};
FIXTURE_VARIANT_ADD(private, huge) { .huge = true };

FIXTURE_SETUP(private)
{
	__u64 moved;

	self->fd = -1;
	NEED(XMIRROR_CAP_PRIVATE);
	if (variant->huge)
		NEED(XMIRROR_CAP_PRIVATE_LARGE);
	OPEN(self->fd, 0);
	self->free = xm_devmem_free(self->fd);
	if (variant->huge) {
		self->len = XM_PMD;
		self->level = XM_HUGE_PRIVATE;
		self->p = xm_thp(self->fd, 0x22);
		if (!self->p)
			XM_SKIP(return, "%s", xm_why_no_thp());
		MIGRATE_HUGE(self->fd, self->p);
	} else {
		self->len = 16 * XM_PAGE;
		self->level = XMIRROR_CPU_PRIVATE;
		self->p = xm_area(self->len, 0);
		ASSERT_NE(NULL, self->p);
		memset(self->p, 0x22, self->len);
		ASSERT_EQ(0, xm_migrate(self->fd, self->p, self->len, 0, 0, &moved));
		ASSERT_EQ(16, moved);
	}
}

FIXTURE_TEARDOWN(private)
{
	if (self->fd < 0)
		return;
	EXPECT_CLEAN(self->fd);
	close(self->fd);
}

#define EXPECT_STAYS() \
	EXPECT_EQ(self->level, xm_page(self->fd, Q).cpu & XM_HUGE_PRIVATE)

TEST_F(private, lock_on_fault_leaves_it_there)
{
	ASSERT_EQ(0, mlock2(self->p, self->len, MLOCK_ONFAULT));
	EXPECT_STAYS();
	ASSERT_EQ(0, munlock(self->p, self->len));
	EXPECT_STAYS();
	EXPECT_EQ(0x22, *Q);
}

TEST_F(private, lock_brings_it_back)
{
	ASSERT_EQ(0, mlock(self->p, self->len));
	EXPECT_TRUE(xm_is_present(self->p));
	EXPECT_TRUE(xm_is_present(self->p + self->len - 1));
	EXPECT_EQ(self->len >> 10, xm_smaps_kb(self->p, "Locked"));
	EXPECT_EQ(0x22, self->p[self->len - 1]);
	ASSERT_EQ(0, munlock(self->p, self->len));
	EXPECT_EQ(0, xm_smaps_kb(self->p, "Locked"));
}

/* Mlocked of /proc/meminfo, with what batches and CPUs have for themselves */
static long locked_kb(void)
{
	if (xm_drain() || xm_write_file("/proc/sys/vm/stat_refresh", "1"))
		return -1;
	return xm_meminfo_kb("Mlocked");
}

/* Locked in the system, unlocked in the device */
/* covers: I.mlock */
TEST_F(private, unlocked_memory_is_not_counted_as_locked)
{
	const long kb = self->len >> 10;
	long before, after;
	__u64 moved;

	ASSERT_EQ(0, xm_pin_cpu());
	before = locked_kb();
	ASSERT_LE(0, before);
	/* A control: back in the system */
	ASSERT_EQ(0, mlock(self->p, self->len));
	EXPECT_EQ(before + kb, locked_kb());
	ASSERT_EQ(0, munlock(self->p, self->len));
	EXPECT_EQ(before, locked_kb());

	ASSERT_EQ(0, mlock(self->p, self->len));
	EXPECT_EQ(before + kb, locked_kb());
	ASSERT_EQ(0, xm_migrate(self->fd, self->p, self->len, 0, 0, &moved));
	ASSERT_EQ(self->len / XM_PAGE, moved);
	EXPECT_STAYS();
	ASSERT_EQ(0, munlock(self->p, self->len));
	EXPECT_STAYS();
	after = locked_kb();
	XM_XFAIL_IF(true, after == before,
		    "finding 44: munlock() passes private memory that is counted");
	EXPECT_TRUE(after == before || after == before + kb) {
		TH_LOG("%ld kB, then %ld kB", before, after);
	}
	/* Whoever unmaps it while it is locked takes it from the count. */
	ASSERT_EQ(0, mlock2(self->p, self->len, MLOCK_ONFAULT));
	EXPECT_STAYS();
	ASSERT_EQ(0, munmap(self->p, self->len));
	EXPECT_EQ(before, locked_kb());
	EXPECT_EQ(self->free, xm_devmem_free(self->fd));
}

/* Guard pages for @len bytes at @p */
#define GUARD(p, len) \
	do { \
		int guard_err = madvise((p), (len), XM_MADV_GUARD_INSTALL) ? \
				errno : 0; \
		if (guard_err == EINVAL) \
			XM_SKIP(return, "guard pages: Linux 6.13"); \
		ASSERT_EQ(0, guard_err); \
	} while (0)

TEST_F(private, guard_page_takes_one_of_it)
{
	__u64 v;

	GUARD(Q, XM_PAGE);
	EXPECT_EQ(-EFAULT, xm_peek(Q, &v));
	EXPECT_EQ(-EFAULT, xm_read(self->fd, Q, &v, 8));
	EXPECT_LEAF(self->fd, Q, LEAF_NONE);
	EXPECT_TRUE(xm_is_private(self->fd, Q - XM_PAGE));
	EXPECT_TRUE(xm_is_private(self->fd, Q + XM_PAGE));
	EXPECT_EQ(0x22, Q[-1]);
	EXPECT_EQ(0x22, Q[XM_PAGE]);
	ASSERT_EQ(0, madvise(Q, XM_PAGE, XM_MADV_GUARD_REMOVE));
	EXPECT_EQ(0, *Q);
}

TEST_F(private, guard_pages_free_it)
{
	__u64 v;

	GUARD(self->p, self->len);
	EXPECT_EQ(-EFAULT, xm_peek(self->p, &v));
	EXPECT_EQ(-EFAULT, xm_peek(Q, &v));
	EXPECT_EQ(-EFAULT, xm_peek(self->p + self->len - 8, &v));
	EXPECT_EQ(self->free, xm_devmem_free(self->fd));
}

/* The device may write to it again, where it is. */
/* covers: J.lifted */
TEST_F(private, protection_that_is_lifted_leaves_it)
{
	__u64 v = 0x22;

	ASSERT_TRUE(raw_page(self->fd, Q).entry & XMIRROR_ENTRY_WRITE);
	ASSERT_EQ(0, mprotect(self->p, self->len, PROT_READ));
	EXPECT_EQ(self->level, xm_page(self->fd, Q).cpu & XM_HUGE_PRIVATE);
	EXPECT_EQ(-EPERM, xm_write(self->fd, Q, &v, 8));
	ASSERT_EQ(0, mprotect(self->p, self->len, PROT_READ | PROT_WRITE));
	EXPECT_EQ(self->level, xm_page(self->fd, Q).cpu & XM_HUGE_PRIVATE);
	EXPECT_EQ(0, xm_write(self->fd, Q, &v, 8));
	XM_XFAIL_IF(true, (xm_page(self->fd, Q).cpu & XM_HUGE_PRIVATE) == self->level,
		    "finding 60: the device's write takes the page to the system");
	EXPECT_EQ(0x22, *Q);
}

/* There are no guard pages in it. */
/* covers: J.guard */
TEST_F(private, guard_remove_leaves_it)
{
	struct xmirror_page page;

	if (madvise(self->p, self->len, XM_MADV_GUARD_REMOVE)) {
		ASSERT_EQ(EINVAL, errno);
		XM_SKIP(return, "guard pages: Linux 6.13");
	}
	page = xm_page(self->fd, Q);
	EXPECT_TRUE(page.cpu & XMIRROR_CPU_PRIVATE);
	XM_XFAIL_IF(variant->huge, (page.cpu & XM_HUGE_PRIVATE) == self->level,
		    "finding 53: MADV_GUARD_REMOVE splits a huge private page");
	EXPECT_EQ(0x22, *Q);
}

static int bind_to(void *p, size_t len, unsigned long nodes, unsigned int flags)
{
	return syscall(SYS_mbind, p, len, MPOL_BIND, &nodes, 8UL, flags) ?
	       -errno : 0;
}

/* Wherever the device is, and wherever its memory is to be when it comes back */
TEST_F(private, memory_policy_finds_nothing_wrong)
{
	int nodes;

	if (access("/sys/devices/system/node/node1", F_OK))
		XM_SKIP(return, "one NUMA node only");
	for (nodes = 1; nodes <= 2; nodes++) {
		EXPECT_EQ(0, bind_to(self->p, self->len, nodes,
				     MPOL_MF_STRICT));
		EXPECT_EQ(0, bind_to(self->p, self->len, nodes,
				     MPOL_MF_STRICT | MPOL_MF_MOVE));
		EXPECT_STAYS();
	}
	EXPECT_EQ(0x22, *Q);
	EXPECT_EQ(1, xm_node_of(Q));
}

/* There is something, though it is not present: no userfaultfd replaces it. */
TEST_F(private, userfaultfd_fills_nothing_over_it)
{
	struct uffdio_zeropage z = {
		.range = { .start = (uintptr_t)Q, .len = XM_PAGE },
	};
	struct uffdio_copy copy = {
		.dst = (uintptr_t)Q,
		.src = (uintptr_t)xm_anon(XM_PAGE),
		.len = XM_PAGE,
	};
	int uffd = xm_uffd(0);

	if (uffd < 0)
		XM_SKIP(return, "no CONFIG_USERFAULTFD");
	ASSERT_EQ(0, xm_uffd_register(uffd, self->p, self->len,
				      UFFDIO_REGISTER_MODE_MISSING));
	EXPECT_STAYS();
	EXPECT_EQ(-1, ioctl(uffd, UFFDIO_ZEROPAGE, &z));
	EXPECT_EQ(EEXIST, errno);
	EXPECT_EQ(-1, ioctl(uffd, UFFDIO_COPY, &copy));
	EXPECT_EQ(EEXIST, errno);
	EXPECT_STAYS();
	EXPECT_EQ(0x22, *Q);
	close(uffd);
}

TEST_HARNESS_MAIN
