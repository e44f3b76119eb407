// SPDX-License-Identifier: GPL-2.0
/*
 * Memory that is present but not the process's own yet: a private mapping of a file
 * that the CPU has read, as of a program's image, and memory that is shared with a
 * child. A write by the device breaks COW in a few walks, whatever the number and
 * the layout of the pages. A read breaks none, although the mapping is writable.
 *
 * covers: R1
 */
#include <fcntl.h>

#include "proc.h"
#include "test.h"
#include "xm.h"

#define PAGES	(XM_2M / XM_PAGE)
#define WORDS	(XM_PAGE / 8)
/* One walk to break COW, one to commit, and some for other invalidations */
#define FEW	8ULL

enum kind {
	MEMFD,
	DISK,
	FORKED,
};

FIXTURE(cow) {
	int fd;
	int file;
	__u64 *p;
	struct child c;
	bool forked;
	struct xmirror_range r;
};

FIXTURE_VARIANT(cow) {
	enum kind kind;
};

FIXTURE_VARIANT_ADD(cow, memfd) { .kind = MEMFD };
FIXTURE_VARIANT_ADD(cow, disk) { .kind = DISK };
FIXTURE_VARIANT_ADD(cow, forked) { .kind = FORKED };

static __u64 value(size_t page)
{
	return page * 0x100000001ULL + 1;
}

/* The number of pages without their value, which is increased by @even or @odd */
static size_t wrong(const __u64 *p, __u64 even, __u64 odd)
{
	size_t i, n = 0;

	for (i = 0; i < PAGES; i++)
		n += XM_LOAD(p + i * WORDS) != value(i) + (i % 2 ? odd : even);
	return n;
}

static int fill_file(int file)
{
	__u64 page[WORDS] = {};
	size_t i;

	for (i = 0; i < PAGES; i++) {
		page[0] = value(i);
		if (pwrite(file, page, XM_PAGE, i * XM_PAGE) != XM_PAGE)
			return -errno;
	}
	return 0;
}

/* The data of the file is unchanged */
static size_t file_wrong(int file)
{
	size_t i, n = 0;
	__u64 word;

	for (i = 0; i < PAGES; i++)
		n += pread(file, &word, 8, i * XM_PAGE) != 8 ||
		     word != value(i);
	return n;
}

static int keeper(struct child *c, void *arg)
{
	CHILD_CHECK(!wrong(arg, 0, 0));
	CHILD_CHECK(!child_tell(c, 'k'));
	CHILD_CHECK(child_hear(c) == 'e');
	CHILD_CHECK(!wrong(arg, 0, 0));
	return 0;
}

FIXTURE_SETUP(cow)
{
	const char *disk = getenv("XM_SCRATCH");
	size_t i;

	self->file = -1;
	OPEN(self->fd, 0);
	self->p = xm_area(XM_2M, 0);
	ASSERT_NE(NULL, self->p);
	if (variant->kind == FORKED) {
		for (i = 0; i < PAGES; i++)
			self->p[i * WORDS] = value(i);
		ASSERT_EQ(0, child_start(&self->c, keeper, self->p));
		self->forked = true;
		ASSERT_EQ('k', child_hear(&self->c));
	} else {
		if (variant->kind == DISK && !disk)
			XM_SKIP(return, "no disk: XM_SCRATCH is not set");
		self->file = variant->kind == DISK ?
			     xm_temp_file(disk) :
			     memfd_create("xmirror", MFD_CLOEXEC);
		ASSERT_GE(self->file, 0);
		ASSERT_EQ(0, fill_file(self->file));
		ASSERT_EQ(self->p, mmap(self->p, XM_2M, PROT_READ | PROT_WRITE,
					MAP_PRIVATE | MAP_FIXED, self->file,
					0));
	}
	/* The CPU maps all of it read-only. */
	ASSERT_EQ(0, wrong(self->p, 0, 0));
	self->r = (struct xmirror_range){
		.size = sizeof(self->r),
		.addr = (uintptr_t)self->p,
		.length = XM_2M,
	};
}

FIXTURE_TEARDOWN(cow)
{
	EXPECT_CLEAN(self->fd);
	if (self->file >= 0) {
		EXPECT_EQ(0, file_wrong(self->file));
		close(self->file);
	}
	if (self->forked) {
		EXPECT_EQ(0, child_tell(&self->c, 'e'));
		EXPECT_EQ(0, child_end(&self->c));
	}
	munmap(self->p, XM_2M);
	close(self->fd);
}

static size_t writable(int fd, const __u64 *p)
{
	static struct xmirror_page pages[PAGES];
	size_t i, n = 0;

	if (xm_snapshot(fd, p, XM_2M, pages))
		return ~0UL;
	for (i = 0; i < PAGES; i++)
		n += (pages[i].dev & LEAF_WRITE) == LEAF_WRITE;
	return n;
}

static int write_fault(int fd, struct xmirror_range *r)
{
	r->flags = XMIRROR_FAULT_WRITE;
	return xm_ioctl(fd, XMIRROR_IOC_FAULT, r);
}

TEST_F(cow, write_to_all)
{
	struct xmirror_cmd cmd = xm_cmds(XMIRROR_OP_ADD, 8, self->p, XM_PAGE,
					 PAGES, 1);

	EXPECT_EQ(0, write_fault(self->fd, &self->r));
	EXPECT_EQ(XM_2M, self->r.done);
	EXPECT_LE(self->r.rounds, FEW);
	EXPECT_EQ(PAGES, writable(self->fd, self->p));
	if (xm_caps() & XMIRROR_CAP_EXCLUSIVE) {
		ASSERT_EQ(0, xm_run(self->fd, &cmd, NULL));
		EXPECT_EQ(0, wrong(self->p, 1, 1));
	}
}

/* Every second page has been written: the others are many small ranges. */
TEST_F(cow, write_beside_own_pages)
{
	size_t i;

	for (i = 1; i < PAGES; i += 2)
		XM_STORE(self->p + i * WORDS, value(i) + 3);
	EXPECT_EQ(0, write_fault(self->fd, &self->r));
	EXPECT_EQ(XM_2M, self->r.done);
	EXPECT_LE(self->r.rounds, FEW) {
		TH_LOG("%llu walks", (unsigned long long)self->r.rounds);
	}
	EXPECT_EQ(PAGES, writable(self->fd, self->p));
	EXPECT_EQ(0, wrong(self->p, 0, 3));
}

/* The device has read leaves for all of it, and now writes. */
TEST_F(cow, write_after_read)
{
	EXPECT_EQ(0, xm_ioctl(self->fd, XMIRROR_IOC_FAULT, &self->r));
	EXPECT_EQ(0, write_fault(self->fd, &self->r));
	EXPECT_LE(self->r.rounds, FEW);
	EXPECT_EQ(PAGES, writable(self->fd, self->p));
	EXPECT_EQ(0, wrong(self->p, 0, 0));
}

TEST_F(cow, read_takes_no_copy)
{
	static __u64 pfn[PAGES];
	size_t i, other = 0;

	for (i = 0; i < PAGES; i++)
		pfn[i] = xm_pfn(self->p + i * WORDS);
	ASSERT_NE(0, pfn[0]);
	EXPECT_EQ(0, xm_ioctl(self->fd, XMIRROR_IOC_FAULT, &self->r));
	EXPECT_EQ(XM_2M, self->r.done);
	EXPECT_LE(self->r.rounds, FEW);
	EXPECT_EQ(0, writable(self->fd, self->p));
	for (i = 0; i < PAGES; i++)
		other += pfn[i] != xm_pfn(self->p + i * WORDS);
	EXPECT_EQ(0, other);
	/* A write of one word copies its page and no other. */
	ASSERT_EQ(0, xm_op(self->fd, XMIRROR_OP_STORE, 8,
			   self->p + 5 * WORDS, value(5), NULL));
	for (i = 0; i < PAGES; i++)
		other += pfn[i] != xm_pfn(self->p + i * WORDS);
	EXPECT_EQ(1, other);
	EXPECT_EQ(1, writable(self->fd, self->p));
	EXPECT_EQ(0, wrong(self->p, 0, 0));
}

TEST_HARNESS_MAIN
