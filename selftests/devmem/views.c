// SPDX-License-Identifier: GPL-2.0
/* Views of mappings, and advice for them, over private pages. */
#include <fcntl.h>
#include <linux/mempolicy.h>

#include "uffd.h"
#define PAGE_NEEDS	XMIRROR_CAP_PRIVATE
#include "page_fixture.h"

static int read_all(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char text[4096];
	ssize_t n;

	if (fd < 0)
		return 0;
	do {
		n = read(fd, text, sizeof(text));
	} while (n > 0);
	close(fd);
	return n;
}

static int view_all(char *p, size_t len)
{
	static unsigned char core[XM_PMD_PAGES];
	__u64 sum = 0;
	size_t i;

	for (i = 0; i < len; i += XM_PAGE)
		sum += xm_pagemap(p + i);
	return !sum || read_all("/proc/self/smaps") ||
	       read_all("/proc/self/smaps_rollup") ||
	       read_all("/proc/self/numa_maps") || mincore(p, len, core);
}

/* M13: all views of mappings, over every kind of entry */
/* covers: M13 */
TEST_F(page, views_of_every_kind)
{
	char *thp, *p = xm_anon(8 * XM_PAGE);
	__u64 moved;
	int i;

	ASSERT_NE(NULL, p);
	memset(p, 0x11, 7 * XM_PAGE);
	ASSERT_EQ(0, xm_exclusive(self->fd, p, XM_PAGE, NULL));
	if (xm_caps() & XMIRROR_CAP_PRIVATE) {
		ASSERT_EQ(0, xm_migrate(self->fd, p + XM_PAGE, XM_PAGE, 0, 0,
					&moved));
		ASSERT_EQ(1, moved);
	}
	if (xm_meminfo_kb("SwapTotal") > 0) {
		ASSERT_EQ(0, xm_pageout(p + 2 * XM_PAGE, XM_PAGE));
	}
	/* Making room for it, here and on the device, would move the exclusive page. */
	thp = xm_huge_is_free(2) ? xm_thp(self->fd, 0x22) : NULL;
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(0, view_all(p, 8 * XM_PAGE));
		if (thp) {
			EXPECT_EQ(0, view_all(thp, XM_PMD));
		}
		EXPECT_EQ(0, xm_write_file("/proc/self/clear_refs",
					   i ? "1" : "4"));
		if (thp && (xm_caps() & XMIRROR_CAP_PRIVATE)) {
			EXPECT_EQ(0, xm_migrate(self->fd, thp, XM_PMD, 0, 0,
						&moved));
			/* No view has brought it back. */
			EXPECT_EQ(i ? 0 : XM_PMD_PAGES, moved);
		}
	}
	EXPECT_TRUE(xm_is_exclusive(p));
	for (i = 0; i < 7; i++) {
		EXPECT_EQ(0x11, p[i * XM_PAGE]);
	}
	if (thp) {
		EXPECT_EQ(0x22, thp[XM_PMD - 1]);
	}
}

/* mincore() of @len bytes says that all are in memory, and leaves them where they are. */
static size_t not_in_core(const char *p, size_t len)
{
	static unsigned char core[XM_PMD_PAGES];
	size_t i, n = 0;

	if (mincore((void *)p, len, core))
		return len;
	for (i = 0; i < len / XM_PAGE; i++)
		n += !(core[i] & 1);
	return n;
}

TEST_F(page, private_memory_is_in_core)
{
	char *p = xm_anon(8 * XM_PAGE);
	__u64 moved;

	NEED(XMIRROR_CAP_PRIVATE);
	ASSERT_NE(NULL, p);
	memset(p, 0x11, 4 * XM_PAGE);
	EXPECT_EQ(4, not_in_core(p, 8 * XM_PAGE));
	ASSERT_EQ(0, xm_migrate(self->fd, p, 4 * XM_PAGE, 0, 0, &moved));
	ASSERT_EQ(4, moved);
	EXPECT_EQ(4, not_in_core(p, 8 * XM_PAGE));
	EXPECT_TRUE(xm_is_private(self->fd, p));
	munmap(p, 8 * XM_PAGE);
}

TEST_F(page, private_huge_page_is_in_core)
{
	char *p = xm_thp(self->fd, 0x22);

	NEED(XMIRROR_CAP_PRIVATE_LARGE);
	if (!p)
		XM_SKIP(return, "%s", xm_why_no_thp());
	MIGRATE_HUGE(self->fd, p);
	EXPECT_EQ(0, not_in_core(p, XM_PMD));
	/* A part of it, too */
	EXPECT_EQ(0, not_in_core(p + 7 * XM_PAGE, 2 * XM_PAGE));
	EXPECT_TRUE(xm_is_private(self->fd, p));
	EXPECT_TRUE(xm_page(self->fd, p).cpu & XMIRROR_CPU_HUGE);
	munmap(p, XM_PMD);
}

/* What smaps counts for a page, and once: in Private_* or in Shared_* */
static long smaps_sum(const void *p, const char *clean, const char *dirty)
{
	return xm_smaps_kb(p, clean) + xm_smaps_kb(p, dirty);
}

#define KB_PRIVATE(p)	smaps_sum((p), "Private_Clean", "Private_Dirty")
#define KB_SHARED(p)	smaps_sum((p), "Shared_Clean", "Shared_Dirty")

/* covers: I.views */
TEST_F(page, smaps_knows_who_maps_private_memory)
{
	__u64 moved, *p = xm_area(XM_PAGE, 0);
	struct child c;

	ASSERT_NE(NULL, p);
	*p = 1;
	ASSERT_EQ(0, xm_pin_cpu());
	ASSERT_EQ(0, xm_drain());
	ASSERT_EQ(0, xm_migrate(self->fd, p, XM_PAGE, 0, 0, &moved));
	ASSERT_EQ(1, moved);
	EXPECT_EQ(XM_PAGE_KB, KB_PRIVATE(p));
	EXPECT_EQ(0, KB_SHARED(p));
	EXPECT_EQ(XM_PAGE_KB, xm_smaps_kb(p, "Pss"));
	ASSERT_EQ(0, child_start(&c, child_waits, NULL));
	EXPECT_TRUE(xm_is_private(self->fd, p));
	EXPECT_EQ(0, KB_PRIVATE(p));
	EXPECT_EQ(XM_PAGE_KB, KB_SHARED(p));
	EXPECT_EQ(XM_PAGE_KB / 2, xm_smaps_kb(p, "Pss"));
	EXPECT_EQ(XM_PAGE_KB, xm_smaps_kb(p, "Rss"));
	EXPECT_EQ(0, child_tell(&c, 'e'));
	EXPECT_EQ(0, child_end(&c));
	EXPECT_EQ(XM_PAGE_KB, KB_PRIVATE(p));
	EXPECT_EQ(0, KB_SHARED(p));
}

/* The same of a huge page, first in the system and then in the device */
/* covers: I.views */
TEST_F(page, smaps_knows_who_maps_a_private_huge_page)
{
	const long kb = XM_PMD / 1024;
	struct child c;
	char *p;

	NEED(XMIRROR_CAP_PRIVATE_LARGE);
	p = xm_thp(self->fd, 0x22);
	if (!p)
		XM_SKIP(return, "%s", xm_why_no_thp());
	ASSERT_EQ(0, xm_pin_cpu());
	ASSERT_EQ(0, xm_drain());
	EXPECT_EQ(kb, KB_PRIVATE(p));
	EXPECT_EQ(0, KB_SHARED(p));
	EXPECT_EQ(kb, xm_smaps_kb(p, "Pss"));
	MIGRATE_HUGE(self->fd, p);
	EXPECT_EQ(kb, xm_smaps_kb(p, "Rss"));
	EXPECT_EQ(kb, KB_PRIVATE(p) + KB_SHARED(p));
	EXPECT_EQ(kb, xm_smaps_kb(p, "Pss"));
	XM_XFAIL_IF(true, KB_PRIVATE(p) == kb,
		    "finding 45: smaps takes a huge private page for shared");
	ASSERT_EQ(0, child_start(&c, child_waits, NULL));
	EXPECT_EQ(XM_HUGE_PRIVATE, xm_page(self->fd, p).cpu & XM_HUGE_PRIVATE);
	EXPECT_EQ(kb, xm_smaps_kb(p, "Rss"));
	EXPECT_EQ(kb, KB_SHARED(p));
	XM_XFAIL_IF(true, xm_smaps_kb(p, "Pss") == kb / 2,
		    "finding 45: each that maps a huge private page has all of it in Pss");
	EXPECT_EQ(0, child_tell(&c, 'e'));
	EXPECT_EQ(0, child_end(&c));
	EXPECT_EQ(XM_HUGE_PRIVATE, xm_page(self->fd, p).cpu & XM_HUGE_PRIVATE);
	EXPECT_EQ(0x22, p[XM_PMD - 1]);
	munmap(p, XM_PMD);
}

#define KB_DIRTY(p)	smaps_sum((p), "Private_Dirty", "Shared_Dirty")

/* Zeroes that the device got, and that neither the CPU nor the device has looked at */
/* covers: I.views */
TEST_F(page, smaps_knows_that_nobody_has_used_a_private_huge_page)
{
	char *p = xm_anon_aligned(XM_PMD, XM_PMD), *small = xm_area(XM_PAGE, 0);
	__u64 moved;

	NEED(XMIRROR_CAP_PRIVATE_LARGE);
	NEED_HUGE_MEMORY(1U);
	ASSERT_NE(NULL, p);
	ASSERT_NE(NULL, small);
	ASSERT_EQ(0, xm_migrate(self->fd, small, XM_PAGE, 0, 0, &moved));
	ASSERT_EQ(1, moved);
	EXPECT_EQ(XM_PAGE_KB, xm_smaps_kb(small, "Rss"));
	EXPECT_EQ(0, KB_DIRTY(small));
	EXPECT_EQ(0, xm_smaps_kb(small, "Referenced"));
	MIGRATE_HUGE(self->fd, p);
	EXPECT_EQ(XM_PMD / 1024, xm_smaps_kb(p, "Rss"));
	XM_XFAIL_IF(true, !KB_DIRTY(p) && !xm_smaps_kb(p, "Referenced"),
		    "finding 51: dirty and young are read from a private huge entry");
	munmap(p, XM_PMD);
}

static int bind_to(void *p, size_t len, unsigned long nodes, unsigned int flags)
{
	return syscall(SYS_mbind, p, len, MPOL_BIND, &nodes, 8UL, flags) ?
	       -errno : 0;
}

/* The device's pages are left alone, and none of them is a failure. */
/* covers: I.views */
TEST_F(page, mbind_is_strict_about_present_pages_only)
{
	const size_t len = 2 * XM_PAGE;
	char *p = xm_area(3 * XM_PAGE, 0), *present = p + len;
	__u64 moved;

	NEED(XMIRROR_CAP_EXCLUSIVE);
	if (access("/sys/devices/system/node/node1", F_OK))
		XM_SKIP(return, "one NUMA node only");
	ASSERT_NE(NULL, p);
	ASSERT_EQ(0, xm_pin_cpu());
	ASSERT_EQ(0, bind_to(p, 3 * XM_PAGE, 1, 0));
	memset(p, 0x11, 3 * XM_PAGE);
	ASSERT_EQ(0, xm_node_of(present));
	ASSERT_EQ(0, xm_drain());
	ASSERT_EQ(0, xm_exclusive(self->fd, p, XM_PAGE, NULL));
	ASSERT_EQ(0, xm_migrate(self->fd, p + XM_PAGE, XM_PAGE, 0, 0, &moved));
	ASSERT_EQ(1, moved);
	EXPECT_EQ(0, bind_to(p, len, 1, MPOL_MF_STRICT));
	EXPECT_EQ(0, bind_to(p, len, 1, MPOL_MF_STRICT | MPOL_MF_MOVE));
	EXPECT_EQ(0, bind_to(present, XM_PAGE, 1, MPOL_MF_STRICT));
	EXPECT_EQ(-EIO, bind_to(present, XM_PAGE, 2, MPOL_MF_STRICT));
	EXPECT_TRUE(xm_is_exclusive(p));
	EXPECT_TRUE(xm_is_private(self->fd, p + XM_PAGE));
	EXPECT_EQ(0x11, p[0]);
	EXPECT_EQ(0x11, p[XM_PAGE]);
}

/* M14: advice for memory of the device */
static void advise_private(struct __test_metadata *_metadata, int fd, bool huge)
{
	static const int advice[] = {
		MADV_COLD, MADV_PAGEOUT, MADV_WILLNEED, MADV_MERGEABLE,
		MADV_UNMERGEABLE, MADV_FREE, MADV_DONTNEED, -1
	};
	size_t len = huge ? XM_PMD : 4 * XM_PAGE;
	unsigned long nodes = 1;
	unsigned int i;
	__u64 moved;

	for (i = 0; advice[i] >= 0; i++) {
		char *p = huge ? xm_thp(fd, 0x22) : xm_anon(len);
		char seen;

		if (!p && huge)
			XM_SKIP(return, "%s", xm_why_no_thp());
		ASSERT_NE(NULL, p);
		memset(p, 0x22, len);
		ASSERT_EQ(0, xm_migrate(fd, p, len, 0, 0, &moved));
		ASSERT_EQ(len / XM_PAGE, moved);
		ASSERT_EQ(0, madvise(p, len, advice[i]))
			TH_LOG("advice %d: %s", advice[i], strerror(errno));
		EXPECT_EQ(0, syscall(SYS_mbind, p, len, MPOL_PREFERRED, &nodes,
				     8UL, MPOL_MF_MOVE));
		EXPECT_CLEAN(fd);
		seen = p[len - 1];
		/* After MADV_FREE the page may have its data or zeroes. */
		if (advice[i] == MADV_DONTNEED) {
			EXPECT_EQ(0, seen);
		} else if (advice[i] != MADV_FREE || seen) {
			EXPECT_EQ(0x22, seen);
		}
		munmap(p, len);
	}
}

/* covers: M14 */
TEST_F(page, advice_for_private_pages)
{
	NEED(XMIRROR_CAP_PRIVATE);
	advise_private(_metadata, self->fd, false);
}

/* covers: M14 */
TEST_F(page, advice_for_a_private_huge_page)
{
	NEED(XMIRROR_CAP_PRIVATE);
	advise_private(_metadata, self->fd, true);
}

/* M15: write protection of a huge page outlives its stay in the device. */
/* covers: M15, F.private */
TEST_F(page, uffd_wp_of_private_memory)
{
	int uffd = xm_uffd(UFFD_FEATURE_PAGEFAULT_FLAG_WP);
	char *p = xm_thp(self->fd, 0x22);

	NEED(XMIRROR_CAP_PRIVATE);
	if (uffd < 0)
		XM_SKIP(return, "no CONFIG_USERFAULTFD");
	if (!p)
		XM_SKIP(return, "%s", xm_why_no_thp());
	ASSERT_EQ(0, xm_uffd_register(uffd, p, XM_PMD,
				      UFFDIO_REGISTER_MODE_WP));
	ASSERT_EQ(0, xm_uffd_wp(uffd, p, XM_PMD, true));
	ASSERT_EQ(0, xm_migrate(self->fd, p, XM_PMD, 0, 0, NULL));
	EXPECT_NE(0, xm_pagemap(p + 7 * XM_PAGE) & XM_PM_UFFD_WP);
	ASSERT_EQ(0, mprotect(p, XM_PMD, PROT_READ));
	ASSERT_EQ(0, mprotect(p, XM_PMD, PROT_READ | PROT_WRITE));
	EXPECT_NE(0, xm_pagemap(p + 7 * XM_PAGE) & XM_PM_UFFD_WP);
	EXPECT_EQ(0x22, p[7 * XM_PAGE]);
	EXPECT_NE(0, xm_pagemap(p + 7 * XM_PAGE) & XM_PM_UFFD_WP);
	EXPECT_EQ(0, xm_page(self->fd, p + 7 * XM_PAGE).cpu &
		     XMIRROR_CPU_WRITE);
	close(uffd);
}

/*
 * M17: device memory lies above all RAM, and the kernel does not count it as RAM:
 * else devices that cannot address it get bounce buffers for everything.
 * /proc/kpagecount ends where the kernel believes RAM to end.
 */
/* covers: M17 */
TEST_F(page, private_memory_is_not_the_end_of_ram)
{
	int fd = open("/proc/kpagecount", O_RDONLY | O_CLOEXEC);
	__u64 pfn, ram = xm_pfn(self->p), v, moved;

	ASSERT_GE(fd, 0);
	ASSERT_EQ(0, xm_migrate(self->fd, self->p, XM_PAGE, 0, 0, &moved));
	ASSERT_EQ(1, moved);
	pfn = xm_private_pfn(self->fd, self->p);
	ASSERT_NE(0, pfn);
	EXPECT_LT(ram, pfn);
	EXPECT_EQ(8, pread(fd, &v, 8, ram * 8));
	EXPECT_EQ(0, pread(fd, &v, 8, pfn * 8));
	close(fd);
}

TEST_HARNESS_MAIN
