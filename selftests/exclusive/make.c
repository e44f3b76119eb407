// SPDX-License-Identifier: GPL-2.0
/*
 * Memory that can become exclusive, and its entry and page then. A row of the table
 * is a kind of memory and the answer for it. The module gives one answer where
 * kernels differ, but for large folios, which only some kernels can make exclusive
 * (XMIRROR_CAP_EXCLUSIVE_LARGE).
 */
#include <fcntl.h>
#include <glob.h>

#include "ring.h"
#include "uffd.h"
#include "test.h"

#define FILL	0x2222222222222222ULL

struct env {
	int fd;
	int fd1;
	__u64 *p;
	__u64 *other;		/* has to keep @other_word */
	__u64 other_word;
	int uffd;
	struct child child;
	bool same_page;		/* the page frame has to stay */
	__u64 pfn;
	char why[128];
};

#define NOT_HERE	1

static int not_here(struct env *e, const char *why)
{
	snprintf(e->why, sizeof(e->why), "%s", why);
	return NOT_HERE;
}

static int anon(struct env *e)
{
	e->p = xm_anon(XM_PAGE);
	return e->p ? 0 : -ENOMEM;
}

/* Anonymous memory that was written */
static int touched(struct env *e)
{
	if (anon(e))
		return -ENOMEM;
	memset(e->p, 0x22, XM_PAGE);
	e->same_page = true;
	return 0;
}

static int zero_page(struct env *e)
{
	if (anon(e) || XM_LOAD(e->p))
		return -EIO;
	return xm_page(e->fd, e->p).cpu & XMIRROR_CPU_ZERO ? 0 : -EIO;
}

static int huge_zero_page(struct env *e)
{
	char *p = xm_anon_aligned(XM_PMD, XM_PMD);

	if (!xm_has_thp())
		return not_here(e, xm_why_no_thp());
	if (!p || madvise(p, XM_PMD, MADV_HUGEPAGE))
		return -EIO;
	e->p = (__u64 *)(p + 5 * XM_PAGE);
	if (XM_LOAD(e->p))
		return -EIO;
	if (!(xm_page(e->fd, e->p).cpu & XMIRROR_CPU_HUGE))
		return not_here(e, "no huge zero page");
	return 0;
}

/* Two pages are merged; a write of the device changes its own page only. */
static int ksm_page(struct env *e)
{
	e->p = xm_anon(XM_PAGE);
	e->other = xm_anon(XM_PAGE);
	if (!e->p || !e->other)
		return -ENOMEM;
	memset(e->p, 0x22, XM_PAGE);
	memset(e->other, 0x22, XM_PAGE);
	e->other_word = FILL;
	if (madvise(e->p, XM_PAGE, MADV_MERGEABLE))
		return not_here(e, "no CONFIG_KSM");
	madvise(e->other, XM_PAGE, MADV_MERGEABLE);
	return xm_ksm_merge(e->p, e->other);
}

static int look_when_told(struct child *c, void *arg)
{
	struct env *e = arg;

	CHILD_CHECK(child_hear(c) == 'g');
	CHILD_CHECK(XM_LOAD(e->p) == FILL);
	return 0;
}

static int cow_shared(struct env *e)
{
	int err = touched(e);

	if (err)
		return err;
	e->same_page = false;
	return child_start(&e->child, look_when_told, e);
}

static int file(struct env *e, int fd, int flags)
{
	char page[XM_PAGE];

	memset(page, 0x22, sizeof(page));
	if (fd < 0 || write(fd, page, XM_PAGE) != (ssize_t)XM_PAGE)
		return -EIO;
	e->p = mmap(NULL, XM_PAGE, PROT_READ | PROT_WRITE, flags, fd, 0);
	close(fd);
	return e->p == MAP_FAILED ? -errno : 0;
}

static int private_memfd(struct env *e)
{
	return file(e, memfd_create("xmirror", MFD_CLOEXEC), MAP_PRIVATE);
}

static int private_file(struct env *e)
{
	return file(e, xm_temp_file("/tmp"), MAP_PRIVATE);
}

static int private_file_written(struct env *e)
{
	int err = private_file(e);

	if (!err)
		e->p[1] = FILL;
	e->same_page = true;
	return err;
}

static int shared_memfd(struct env *e)
{
	return file(e, memfd_create("xmirror", MFD_CLOEXEC), MAP_SHARED);
}

static int shared_file(struct env *e)
{
	const char *dir = getenv("XM_SCRATCH");

	if (!dir)
		return not_here(e, "no disk: XM_SCRATCH is not set");
	return file(e, xm_temp_file(dir), MAP_SHARED);
}

static int shared_anon(struct env *e)
{
	e->p = xm_shared(XM_PAGE);
	if (!e->p)
		return -ENOMEM;
	memset(e->p, 0x22, XM_PAGE);
	return 0;
}

/* E2, E3 */
static int huge_tlb(struct env *e, int flags)
{
	e->p = mmap(NULL, XM_PMD, PROT_READ | PROT_WRITE,
		    flags | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	if (e->p == MAP_FAILED)
		return not_here(e, "no hugetlb page");
	memset(e->p, 0x22, XM_PAGE);
	return 0;
}

static int private_hugetlb(struct env *e)
{
	return huge_tlb(e, MAP_PRIVATE);
}

static int shared_hugetlb(struct env *e)
{
	return huge_tlb(e, MAP_SHARED);
}

static int read_only(struct env *e)
{
	if (touched(e))
		return -ENOMEM;
	return mprotect(e->p, XM_PAGE, PROT_READ) ? -errno : 0;
}

static int none(struct env *e)
{
	if (touched(e))
		return -ENOMEM;
	return mprotect(e->p, XM_PAGE, PROT_NONE) ? -errno : 0;
}

static int hole(struct env *e)
{
	e->p = xm_hole(XM_PAGE);
	return e->p ? 0 : -ENOMEM;
}

/* Registers of a device */
static int pfn_map(struct env *e)
{
	glob_t found;
	size_t i;
	int fd;

	e->p = MAP_FAILED;
	if (glob("/sys/bus/pci/devices/*/resource[0-5]", 0, NULL, &found))
		return not_here(e, "no PCI device has memory");
	for (i = 0; i < found.gl_pathc && e->p == MAP_FAILED; i++) {
		fd = open(found.gl_pathv[i], O_RDWR | O_CLOEXEC);
		if (fd < 0)
			continue;
		e->p = mmap(NULL, XM_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED,
			    fd, 0);
		close(fd);
	}
	globfree(&found);
	return e->p == MAP_FAILED ? not_here(e, "no PCI device has memory") : 0;
}

static int secret_memory(struct env *e)
{
#ifdef SYS_memfd_secret
	int fd = syscall(SYS_memfd_secret, 0);
#else
	int fd = syscall(447, 0);
#endif

	if (fd < 0 || ftruncate(fd, XM_PAGE))
		return not_here(e, "no CONFIG_SECRETMEM, or secretmem.enable=0");
	e->p = mmap(NULL, XM_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (e->p == MAP_FAILED)
		return -errno;
	memset(e->p, 0x22, XM_PAGE);
	return 0;
}

static int uffd(struct env *e, __u64 features, __u64 mode)
{
	e->uffd = xm_uffd(features);
	if (e->uffd < 0)
		return not_here(e, "userfaultfd lacks this feature");
	return xm_uffd_register(e->uffd, e->p, XM_PAGE, mode);
}

static int uffd_missing(struct env *e)
{
	return anon(e) ?: uffd(e, 0, UFFDIO_REGISTER_MODE_MISSING);
}

/* Armed, but the page is present */
static int uffd_not_missing(struct env *e)
{
	return touched(e) ?: uffd(e, 0, UFFDIO_REGISTER_MODE_MISSING);
}

static int uffd_wp(struct env *e)
{
	return touched(e) ?:
	       uffd(e, UFFD_FEATURE_PAGEFAULT_FLAG_WP,
		    UFFDIO_REGISTER_MODE_WP) ?:
	       xm_uffd_wp(e->uffd, e->p, XM_PAGE, true);
}

static int uffd_wp_lifted(struct env *e)
{
	return uffd_wp(e) ?: xm_uffd_wp(e->uffd, e->p, XM_PAGE, false);
}

static int uffd_wp_async(struct env *e)
{
	int err = touched(e);

	if (err)
		return err;
	if (uffd(e, UFFD_FEATURE_PAGEFAULT_FLAG_WP | XM_UFFD_WP_ASYNC,
		 UFFDIO_REGISTER_MODE_WP))
		return not_here(e, "asynchronous uffd-wp: Linux 6.7, CONFIG_PTE_MARKER_UFFD_WP");
	return xm_uffd_wp(e->uffd, e->p, XM_PAGE, true);
}

/* Protected against reads as well; the page cannot be read */
static int uffd_rwp(struct env *e)
{
	struct uffdio_writeprotect rwp = { .mode = 1 };
	int err = touched(e);

	if (err)
		return err;
	if (uffd(e, XM_UFFD_RWP, XM_UFFD_REGISTER_RWP))
		return not_here(e, "read-write protection: Linux 7.3, CONFIG_USERFAULTFD_RWP");
	rwp.range.start = (uintptr_t)e->p;
	rwp.range.len = XM_PAGE;
	return ioctl(e->uffd, XM_UFFDIO_RWPROTECT, &rwp) ? -errno : 0;
}

/* A fixed buffer of io_uring has a long-term pin. */
static int pinned(struct env *e)
{
	int ring = xm_ring();

	if (ring < 0)
		return not_here(e, "no CONFIG_IO_URING");
	if (touched(e))
		return -ENOMEM;
	return xm_ring_pin(ring, e->p, XM_PAGE);
}

static int in_device_memory(struct env *e)
{
	__u64 moved;
	int err = touched(e);

	e->same_page = false;
	if (err)
		return err;
	if (!(xm_caps() & XMIRROR_CAP_PRIVATE))
		return not_here(e, "no CONFIG_DEVICE_PRIVATE");
	err = xm_migrate(e->fd1, e->p, XM_PAGE, 0, 0, &moved);
	return err ? err : moved == 1 ? 0 : -EIO;
}

static int swapped_out(struct env *e)
{
	int err = touched(e);

	e->same_page = false;
	if (err)
		return err;
	if (xm_meminfo_kb("SwapTotal") <= 0)
		return not_here(e, "no swap");
	return xm_pageout(e->p, XM_PAGE);
}

static int locked(struct env *e)
{
	int err = touched(e);

	return err ? err : mlock(e->p, XM_PAGE) ? -errno : 0;
}

static int lazyfree(struct env *e)
{
	int err = touched(e);

	return err ? err : madvise(e->p, XM_PAGE, MADV_FREE) ? -errno : 0;
}

static int thp(struct env *e, size_t page)
{
	char *p = xm_thp(e->fd, 0x22);

	if (!p)
		return not_here(e, xm_why_no_thp());
	e->p = (__u64 *)(p + page * XM_PAGE);
	e->same_page = true;
	return 0;
}

static int thp_head(struct env *e)
{
	return thp(e, 0);
}

static int thp_tail(struct env *e)
{
	return thp(e, XM_PMD_PAGES - 1);
}

/* Mapped by small entries, but still a large folio */
static int thp_by_page(struct env *e)
{
	int err = thp(e, XM_PMD_PAGES / 2);

	if (err)
		return err;
	return mprotect(e->p + XM_WORDS, XM_PAGE, PROT_READ) ? -errno : 0;
}

FIXTURE(make) {
	struct env e;
};

FIXTURE_VARIANT(make) {
	const char *name;
	int (*prepare)(struct env *e);
	int err;
	bool large;
	__u64 word;	/* the value of word 1 */
	int clear;	/* CLEAR is seen: 1, is not: -1 */
};

#define KIND(kind, ...) \
	FIXTURE_VARIANT_ADD(make, kind) { #kind, kind, __VA_ARGS__ }

KIND(anon, 0, .clear = -1);
KIND(touched, 0, .word = FILL, .clear = -1);
KIND(zero_page, 0, .clear = 1);
KIND(huge_zero_page, 0, .clear = 1);
KIND(ksm_page, 0, .word = FILL, .clear = 1);
KIND(cow_shared, 0, .word = FILL, .clear = 1);
KIND(private_memfd, 0, .word = FILL);
KIND(private_file, 0, .word = FILL);
KIND(private_file_written, 0, .word = FILL, .clear = -1);
KIND(uffd_not_missing, 0, .word = FILL);
KIND(uffd_wp_lifted, 0, .word = FILL, .clear = -1);
KIND(uffd_wp_async, 0, .word = FILL);
KIND(pinned, 0, .word = FILL, .clear = -1);	/* covers: B.gup, E.pinned */
KIND(in_device_memory, 0, .word = FILL);
KIND(swapped_out, 0, .word = FILL);
KIND(locked, 0, .word = FILL, .clear = -1);	/* covers: A.mlock */
KIND(lazyfree, 0, .word = FILL);
KIND(thp_head, 0, .large = true, .word = FILL, .clear = 1);	/* covers: E4 */
KIND(thp_tail, 0, .large = true, .word = FILL, .clear = 1);	/* covers: E4 */
KIND(thp_by_page, 0, .large = true, .word = FILL);	/* covers: E4 */
KIND(shared_anon, -EOPNOTSUPP, .word = FILL);
KIND(shared_memfd, -EOPNOTSUPP, .word = FILL);
KIND(shared_file, -EOPNOTSUPP, .word = FILL);
KIND(private_hugetlb, -EOPNOTSUPP, .word = FILL);	/* covers: E2, E3 */
KIND(shared_hugetlb, -EOPNOTSUPP, .word = FILL);	/* covers: E2, E3 */
KIND(secret_memory, -EOPNOTSUPP, .word = FILL);
KIND(read_only, -EPERM, .word = FILL);
KIND(none, -EFAULT);	/* covers: E18 */
KIND(hole, -EFAULT);	/* covers: E18 */
KIND(pfn_map, -EFAULT);
KIND(uffd_missing, -EFAULT);
KIND(uffd_wp, -EFAULT, .word = FILL);
KIND(uffd_rwp, -EFAULT);	/* covers: A.rwp */

FIXTURE_SETUP(make)
{
	struct env *e = &self->e;

	NEED(XMIRROR_CAP_EXCLUSIVE);
	e->uffd = -1;
	e->child.pid = -1;
	ASSERT_EQ(0, xm_pin_cpu());
	OPEN(e->fd, 0);
	OPEN(e->fd1, 1);
}

FIXTURE_TEARDOWN(make)
{
	EXPECT_CLEAN(self->e.fd);
	close(self->e.fd);
	close(self->e.fd1);
}

/* covers: A.no_change, A.kinds, A.events, A.bits */
TEST_F(make, kind)
{
	struct xmirror_stats before, after;
	struct env *e = &self->e;
	__u64 done = 1, flags, *page;
	int want, err;

	err = variant->prepare(e);
	if (err == NOT_HERE)
		XM_SKIP(return, "%s", e->why);
	ASSERT_EQ(0, err);
	e->pfn = xm_pfn(e->p);

	want = variant->err;
	if (variant->large && !(xm_caps() & XMIRROR_CAP_EXCLUSIVE_LARGE))
		want = -EOPNOTSUPP;
	ASSERT_EQ(0, xm_stats(e->fd, &before));
	err = xm_exclusive(e->fd, e->p, XM_PAGE, &done);
	ASSERT_EQ(0, xm_stats(e->fd, &after));
	EXPECT_EQ(want, err)
		TH_LOG("row %s, kernel %d.%d: expected %d, seen %d",
		       variant->name, xm_kver() >> 8, xm_kver() & 0xff, want,
		       err);
	EXPECT_EQ(err ? 0 : XM_PAGE, done);
	if (err) {
		/* Neither the memory nor the device has changed. */
		EXPECT_FALSE(xm_is_exclusive(e->p));
		EXPECT_LEAF(e->fd, e->p, LEAF_NONE);
		if (variant->word) {
			EXPECT_EQ(variant->word, XM_LOAD(e->p + 1));
		}
		return;
	}

	/*
	 * The events: the own one, and CLEAR if a page or a PMD had to be replaced
	 * first
	 */
	EXPECT_LE(1, after.inv_own - before.inv_own);
	if (variant->clear) {
		EXPECT_EQ(variant->clear > 0, after.inv[XM_EV_CLEAR] !=
					      before.inv[XM_EV_CLEAR])
			TH_LOG("row %s, kernel %d.%d: %llu CLEAR events",
			       variant->name, xm_kver() >> 8,
			       xm_kver() & 0xff,
			       (unsigned long long)(after.inv[XM_EV_CLEAR] -
						    before.inv[XM_EV_CLEAR]));
	}
	EXPECT_TRUE(xm_is_exclusive(e->p));
	EXPECT_LEAF(e->fd, e->p, LEAF_EXCL);
	if (e->same_page) {
		EXPECT_EQ(e->pfn, xm_pfn(e->p));
	} else {
		EXPECT_NE(e->pfn, xm_pfn(e->p));
	}
	page = (__u64 *)((uintptr_t)e->p & ~(XM_PMD - 1));
	if (variant->large) {
		EXPECT_EQ(1, xm_count_exclusive(page, XM_PMD));
	}

	/* The page is dirty before the device writes. */
	flags = xm_kpageflags(xm_pfn(e->p));
	EXPECT_NE(0, flags & XM_KPF_DIRTY)
		TH_LOG("row %s, kernel %d.%d: page flags %#llx", variant->name,
		       xm_kver() >> 8, xm_kver() & 0xff,
		       (unsigned long long)flags);
	/* A writable entry has no uffd-wp bit. */
	EXPECT_EQ(0, xm_pagemap(e->p) & XM_PM_UFFD_WP);
	EXPECT_EQ(0, xm_pagemap(e->p) & XM_PM_PRESENT);

	/* The device and the CPU increment one word of one page. */
	EXPECT_EQ(0, xm_op(e->fd, XMIRROR_OP_XCHG, 8, e->p, 100, NULL));
	EXPECT_EQ(0, xm_add(e->fd, e->p, 1));
	EXPECT_EQ(101, XM_ADD(e->p, 1));
	EXPECT_EQ(0, xm_add(e->fd, e->p, 1));
	EXPECT_EQ(103, XM_LOAD(e->p));
	EXPECT_EQ(variant->word, XM_LOAD(e->p + 1));
	if (e->other) {
		EXPECT_EQ(e->other_word, XM_LOAD(e->other));
	}
	if (e->child.pid > 0) {
		EXPECT_EQ(0, child_tell(&e->child, 'g'));
		EXPECT_EQ(0, child_end(&e->child));
	}
}

/* An entry made after clear_refs is soft-dirty, and so is the restored one. */
/* covers: A.bits */
TEST(soft_dirty)
{
	__u64 *p = xm_anon(XM_PAGE);
	int fd;

	NEED(XMIRROR_CAP_EXCLUSIVE);
	OPEN(fd, 0);
	ASSERT_NE(NULL, p);
	*p = 5;
	if (!xm_has_soft_dirty())
		XM_SKIP(return, "no CONFIG_MEM_SOFT_DIRTY");
	ASSERT_EQ(0, xm_write_file("/proc/self/clear_refs", "4"));
	ASSERT_EQ(0, xm_exclusive(fd, p, XM_PAGE, NULL));
	EXPECT_NE(0, xm_pagemap(p) & XM_PM_SOFT_DIRTY);
	ASSERT_EQ(0, xm_add(fd, p, 1));
	EXPECT_EQ(6, XM_LOAD(p));
	EXPECT_NE(0, xm_pagemap(p) & XM_PM_SOFT_DIRTY);
	EXPECT_CLEAN(fd);
	close(fd);
}

TEST_HARNESS_MAIN
