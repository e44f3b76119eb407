// SPDX-License-Identifier: GPL-2.0
/*
 * Range faults: memory of every kind gets its leaves, an invalidation takes
 * away those of its range and no others, and nothing that the device wrote is
 * lost when a leaf goes.
 */
#include <fcntl.h>

#include "libconf.h"
#include "libtest.h"

#define PAGES	16UL
#define SIZE	(PAGES * XM_PAGE)

FIXTURE(fault) {
	int fd;
};

FIXTURE_SETUP(fault)
{
	OPEN(self->fd, 0);
}

FIXTURE_TEARDOWN(fault)
{
	EXPECT_CLEAN(self->fd);
	close(self->fd);
}

/* How many pages of the range have a leaf with these LEAF_* bits. */
static size_t count_leaves(int fd, const void *p, size_t len, __u32 bits)
{
	struct xmirror_page *pages = calloc(len / XM_PAGE, sizeof(*pages));
	size_t i, n = 0;

	if (!pages || xm_snapshot(fd, p, len, pages)) {
		free(pages);
		return -1;
	}
	for (i = 0; i < len / XM_PAGE; i++)
		n += (pages[i].dev & LEAF_EXCL) == bits;
	free(pages);
	return n;
}

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

static bool cpu_sees(const char *p, size_t len, unsigned char byte)
{
	size_t i;

	for (i = 0; i < len; i++) {
		if (((const volatile unsigned char *)p)[i] != byte)
			return false;
	}
	return true;
}

static int device_sets(int fd, char *p, size_t len, unsigned char byte)
{
	unsigned char *buf = malloc(len);
	int err = -ENOMEM;

	if (buf) {
		memset(buf, byte, len);
		err = xm_write(fd, p, buf, len);
	}
	free(buf);
	return err;
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

static int temp_file(const char *dir)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/xmirror-XXXXXX", dir);
	fd = mkstemp(path);
	if (fd >= 0)
		unlink(path);
	return fd;
}

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
		self->len = XM_2M;
		self->p = xm_anon_aligned(XM_2M, XM_2M);
		ASSERT_NE(NULL, self->p);
		ASSERT_EQ(0, madvise(self->p, XM_2M, MADV_HUGEPAGE));
		self->byte = 0x22;
		memset(self->p, self->byte, XM_2M);
		if (!(xm_page(self->fd, self->p).cpu & XMIRROR_CPU_HUGE))
			SKIP(return, "no huge page was to be had");
		break;
	case SHARED_ANON:
		self->p = xm_shared(SIZE);
		ASSERT_NE(NULL, self->p);
		self->byte = 0x33;
		memset(self->p, self->byte, SIZE);
		break;
	case HUGETLB:
		self->len = XM_2M;
		self->p = mmap(NULL, XM_2M, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1,
			       0);
		if (self->p == MAP_FAILED)
			SKIP(return, "no hugetlb page: %s", strerror(errno));
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
				SKIP(return, "no disk: XM_SCRATCH is not set");
			self->file = temp_file(getenv("XM_SCRATCH"));
		} else {
			self->file = temp_file("/tmp");
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
	/* What the CPU writes the device sees, through whatever page. */
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

/* A read leaf becomes writable by a write fault, and only then. */
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

/* Once for all: a second fault finds the leaves made. */
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

/* The device's writes outlive its leaves, the mapping and the page cache. */
TEST_F(kinds, file_keeps_writes)
{
	unsigned char buf[XM_PAGE];
	size_t i;

	if (self->file < 0 || variant->kind == MEMFD_PRIVATE ||
	    variant->kind == TMP_PRIVATE)
		SKIP(return, "not a shared file");
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
	/* Only what was written back is still there after this. */
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

/* Undisturbed, one walk does. */
TEST_F(fault, rounds)
{
	char *p = xm_anon(SIZE);
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
	EXPECT_EQ(s.fault_rounds, r.rounds);
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

/* The page table's size follows what is mapped, not where. */
TEST_F(fault, table_is_sparse)
{
	char *p = xm_anon_aligned(1UL << 30, XM_2M);
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

/* A device may fault what the opener never touched, from any of its threads. */
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

/*
 * Invalidations take exactly their range
 *
 * Each of these does something to pages FIRST to LAST of 16, and leaves the
 * others with their leaves.
 */

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
EXACT(mprotect_none, do_protect_none, XM_EV_PROTECTION_VMA, -1);
EXACT(dontneed, do_dontneed, XM_EV_CLEAR, 0);
EXACT(free, do_free, XM_EV_CLEAR, 1);
EXACT(pageout, do_pageout, XM_EV_CLEAR, 1);
EXACT(mremap, do_mremap, XM_EV_UNMAP, -1);
EXACT(mremap_dontunmap, do_dontunmap, XM_EV_UNMAP, 0);

FIXTURE_SETUP(exact)
{
	/* What waits for the LRU on another CPU cannot be paged out. */
	ASSERT_EQ(0, conf_pin());
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
		SKIP(return, "no MREMAP_DONTUNMAP here");
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

TEST_F(exact, inside)
{
	char *p = xm_anon(SIZE);

	ASSERT_NE(NULL, p);
	hit_the_middle(_metadata, self->fd, p, variant);
}

/*
 * A mapping of SIZE bytes of which page @page is the first of a chunk of the
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

/* Across a border of the notifiers' chunks, in the middle of what is hit */
TEST_F(exact, across_chunks)
{
	char *p = around_border(FIRST + 2);

	ASSERT_NE(NULL, p);
	hit_the_middle(_metadata, self->fd, p, variant);
}

/* The last page that is hit is the last of a chunk. */
TEST_F(exact, chunk_end)
{
	char *p = around_border(LAST + 1);

	ASSERT_NE(NULL, p);
	hit_the_middle(_metadata, self->fd, p, variant);
}

/* The first page that is hit is the first of a chunk. */
TEST_F(exact, chunk_start)
{
	char *p = around_border(FIRST);

	ASSERT_NE(NULL, p);
	hit_the_middle(_metadata, self->fd, p, variant);
}

/* One page at a time: each goes alone. */
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

/* fork() takes the write leaves of the whole mapping, and nothing else's */
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

/* A notification without a change costs nothing but the leaf. */
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
	/* The same bits again: nothing happens, nothing is lost. */
	ASSERT_EQ(0, mprotect(p, SIZE, PROT_READ | PROT_WRITE));
	ASSERT_EQ(0, xm_fault(self->fd, p, SIZE, XMIRROR_FAULT_WRITE, NULL));
	ASSERT_EQ(0, mprotect(p, SIZE, PROT_READ | PROT_WRITE));
	EXPECT_EQ(PAGES, count_leaves(self->fd, p, SIZE, LEAF_WRITE));
}

/* Dirty: SEMANTICS.md, section C */

/* DIRTY is in the leaf after a device write, and moves to the folio. */
TEST_F(fault, dirty_bit)
{
	struct xmirror_stats before, after;
	char *p = xm_anon(2 * XM_PAGE);
	struct xmirror_page page;
	__u64 pfn;

	ASSERT_NE(NULL, p);
	memset(p, 1, 2 * XM_PAGE);
	/* Clean the CPU's entry and the folio. */
	ASSERT_EQ(0, madvise(p, 2 * XM_PAGE, MADV_FREE));
	pfn = xm_pfn(p);
	ASSERT_NE(0, pfn);
	EXPECT_EQ(0, xm_kpageflags(pfn) & XM_KPF_DIRTY);
	ASSERT_EQ(0, xm_fault(self->fd, p, 2 * XM_PAGE, XMIRROR_FAULT_WRITE,
			      NULL));
	ASSERT_EQ(pfn, xm_pfn(p));
	page = xm_page(self->fd, p);
	EXPECT_EQ(LEAF_WRITE, page.dev & (LEAF_EXCL | XMIRROR_PTE_DIRTY));
	ASSERT_EQ(0, xm_op(self->fd, XMIRROR_OP_STORE, 8, p, 2, NULL));
	page = xm_page(self->fd, p);
	EXPECT_EQ(LEAF_WRITE | XMIRROR_PTE_DIRTY | XMIRROR_PTE_ACCESSED,
		  page.dev);
	/* The neighbour was not written. */
	page = xm_page(self->fd, p + XM_PAGE);
	EXPECT_EQ(LEAF_WRITE, page.dev & (LEAF_EXCL | XMIRROR_PTE_DIRTY));

	ASSERT_EQ(0, xm_stats(self->fd, &before));
	ASSERT_EQ(0, mprotect(p, 2 * XM_PAGE, PROT_READ));
	ASSERT_EQ(0, xm_stats(self->fd, &after));
	EXPECT_EQ(1, after.dirtied - before.dirtied);
	ASSERT_EQ(pfn, xm_pfn(p));
	EXPECT_NE(0, xm_kpageflags(pfn) & XM_KPF_DIRTY);
}

/* A device that only reads makes nothing dirty. */
TEST_F(fault, reads_stay_clean)
{
	struct xmirror_stats stats;
	char *p = xm_anon(XM_PAGE), buf[64];
	struct xmirror_page page;
	__u64 pfn;

	ASSERT_NE(NULL, p);
	memset(p, 1, XM_PAGE);
	ASSERT_EQ(0, madvise(p, XM_PAGE, MADV_FREE));
	pfn = xm_pfn(p);
	ASSERT_EQ(0, xm_read(self->fd, p, buf, sizeof(buf)));
	ASSERT_EQ(0, xm_op(self->fd, XMIRROR_OP_LOAD, 8, p, 0, NULL));
	page = xm_page(self->fd, p);
	EXPECT_EQ(XMIRROR_PTE_VALID | XMIRROR_PTE_ACCESSED,
		  page.dev & (XMIRROR_PTE_VALID | XMIRROR_PTE_ACCESSED |
			      XMIRROR_PTE_DIRTY));
	ASSERT_EQ(0, mprotect(p, XM_PAGE, PROT_READ));
	ASSERT_EQ(0, xm_stats(self->fd, &stats));
	EXPECT_EQ(0, stats.dirtied);
	ASSERT_EQ(pfn, xm_pfn(p));
	EXPECT_EQ(0, xm_kpageflags(pfn) & XM_KPF_DIRTY);
}

/*
 * S4: after MADV_FREE the CPU's entry is writable and clean, so a write fault
 * changes nothing, and only the device knows that the page was written.
 */
TEST_F(fault, dirty_after_madv_free)
{
	__u64 *p = xm_anon(SIZE), i;

	if (swap_disk_used_kb() < 0 && xm_meminfo_kb("SwapTotal") <= 0)
		SKIP(return, "no swap");
	ASSERT_NE(NULL, p);
	ASSERT_EQ(0, conf_pin());
	for (i = 0; i < PAGES; i++)
		p[i * 512] = 0x1111;
	ASSERT_EQ(0, madvise(p, SIZE, MADV_FREE));
	ASSERT_EQ(0, xm_fault(self->fd, p, SIZE, XMIRROR_FAULT_WRITE, NULL));
	for (i = 0; i < PAGES; i++) {
		ASSERT_EQ(0, xm_op(self->fd, XMIRROR_OP_STORE, 8, p + i * 512,
				   0xd0d0 + i, NULL));
	}
	/* All but page 0, which stays mapped with its leaf. */
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, madvise(p + 512, SIZE - XM_PAGE, MADV_PAGEOUT));
	}
	for (i = 0; i < PAGES; i++) {
		EXPECT_EQ(0xd0d0 + i, p[i * 512]) {
			TH_LOG("page %llu lost the device's write", i);
		}
	}
}

/* The control: without a device write the kernel does drop such pages. */
TEST_F(fault, clean_after_madv_free)
{
	__u64 *p = xm_anon(SIZE), i, dropped = 0;

	if (swap_disk_used_kb() < 0 && xm_meminfo_kb("SwapTotal") <= 0)
		SKIP(return, "no swap");
	ASSERT_NE(NULL, p);
	ASSERT_EQ(0, conf_pin());
	for (i = 0; i < PAGES; i++)
		p[i * 512] = 0x1111;
	ASSERT_EQ(0, madvise(p, SIZE, MADV_FREE));
	ASSERT_EQ(0, xm_fault(self->fd, p, SIZE, XMIRROR_FAULT_WRITE, NULL));
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, madvise(p, SIZE, MADV_PAGEOUT));
	}
	for (i = 0; i < PAGES; i++)
		dropped += p[i * 512] == 0;
	EXPECT_EQ(PAGES, dropped);
}

/*
 * S5: a page that was swapped in by a read is writable, clean and in the swap
 * cache: reclaim may drop it unless somebody says that it was written.
 */
TEST_F(fault, dirty_after_swap_in)
{
	__u64 *p = xm_anon(SIZE), i, clean = 0, in_cache = 0;
	long used = swap_disk_used_kb();

	if (used < 0)
		SKIP(return, "no swap on anything but zram");
	ASSERT_NE(NULL, p);
	ASSERT_EQ(0, conf_pin());
	for (i = 0; i < PAGES; i++)
		p[i * 512] = 0x1111;
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, madvise(p, SIZE, MADV_PAGEOUT));
	}
	if (swap_disk_used_kb() <= used)
		SKIP(return, "pages went to another swap device");
	for (i = 0; i < PAGES; i++) {
		EXPECT_TRUE(xm_is_swapped(p + i * 512));
		EXPECT_EQ(0x1111, XM_LOAD(p + i * 512));
		in_cache += !!(xm_kpageflags(xm_pfn(p + i * 512)) &
			       XM_KPF_SWAPCACHE);
		clean += !(xm_kpageflags(xm_pfn(p + i * 512)) & XM_KPF_DIRTY);
	}
	if (!in_cache || !clean)
		TH_LOG("no page is clean and in the swap cache");
	ASSERT_EQ(0, xm_fault(self->fd, p, SIZE, XMIRROR_FAULT_WRITE, NULL));
	for (i = 0; i < PAGES; i++) {
		ASSERT_EQ(0, xm_op(self->fd, XMIRROR_OP_STORE, 8, p + i * 512,
				   0xd0d0 + i, NULL));
	}
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, madvise(p, SIZE, MADV_PAGEOUT));
	}
	for (i = 0; i < PAGES; i++) {
		EXPECT_EQ(0xd0d0 + i, p[i * 512]) {
			TH_LOG("page %llu lost the device's write", i);
		}
	}
}

/* S2 and S1: the same two with an exclusive page */
TEST_F(fault, dirty_exclusive)
{
	__u64 *p = xm_anon(SIZE), i, round;

	NEED(XMIRROR_CAP_EXCLUSIVE);
	if (xm_meminfo_kb("SwapTotal") <= 0)
		SKIP(return, "no swap");
	ASSERT_NE(NULL, p);
	ASSERT_EQ(0, conf_pin());
	for (round = 0; round < 2; round++) {
		for (i = 0; i < PAGES; i++)
			p[i * 512] = 0x1111;
		if (round) {
			ASSERT_EQ(0, madvise(p, SIZE, MADV_PAGEOUT));
			for (i = 0; i < PAGES; i++) {
				EXPECT_EQ(0x1111, XM_LOAD(p + i * 512));
			}
		} else {
			ASSERT_EQ(0, madvise(p, SIZE, MADV_FREE));
		}
		ASSERT_EQ(0, xm_exclusive(self->fd, p, SIZE, NULL));
		for (i = 0; i < PAGES; i++) {
			ASSERT_EQ(0, xm_op(self->fd, XMIRROR_OP_XCHG, 8,
					   p + i * 512, 0xd0d0 + i, NULL));
		}
		for (i = 0; i < PAGES; i++) {
			EXPECT_EQ(0xd0d0 + i, XM_LOAD(p + i * 512));
		}
		for (i = 0; i < 3; i++) {
			ASSERT_EQ(0, madvise(p, SIZE, MADV_PAGEOUT));
		}
		for (i = 0; i < PAGES; i++) {
			EXPECT_EQ(0xd0d0 + i, p[i * 512]) {
				TH_LOG("round %llu, page %llu", round, i);
			}
		}
	}
}

/* Nothing stays behind a closed file. */
TEST_F(fault, close_gives_back)
{
	size_t len = 16UL << 20;
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
	/* The counter is kept per CPU, so it may be a little off. */
	EXPECT_LE(xm_vmrss_kb(), rss + 1024);
}

TEST_HARNESS_MAIN
