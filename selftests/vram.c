// SPDX-License-Identifier: GPL-2.0
/*
 * mmap() of a device's own memory: the largest pieces that fit, whatever the
 * alignment and whatever is there already; taken away and write-protected by the
 * device; and what system calls make of such a mapping.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "libtest.h"
#include "libvram.h"

#define LEN	(4 * XM_2M)
/* Other programs of the suite use VRAM from 0 up. */
#define BASE	(32 * XM_2M)

#define HUGE()	(!!(xm_caps() & XMIRROR_CAP_VRAM_HUGE))

static sigjmp_buf caught;

static void catch(int sig)
{
	siglongjmp(caught, sig);
}

/* The signal that a read or write of a word at @p gives, 0 if none. */
static int access_signal(char *p, bool write)
{
	struct sigaction act = { .sa_handler = catch }, segv, bus;
	int sig;

	sigaction(SIGSEGV, &act, &segv);
	sigaction(SIGBUS, &act, &bus);
	sig = sigsetjmp(caught, 1);
	if (!sig) {
		__u64 value = XM_LOAD((__u64 *)p);

		if (write)
			XM_STORE((__u64 *)p, value);
	}
	sigaction(SIGSEGV, &segv, NULL);
	sigaction(SIGBUS, &bus, NULL);
	return sig;
}

static bool is_huge(int fd, char *p)
{
	return xm_page(fd, p).cpu & XMIRROR_CPU_HUGE;
}

FIXTURE(vram) {
	int fd;
	int other;
	char *p;
	struct xmirror_vram v;
};

FIXTURE_SETUP(vram)
{
	OPEN(self->fd, 0);
	OPEN(self->other, 0);
	ASSERT_EQ(0, vram_do(self->fd, XMIRROR_VRAM_QUERY, 0, 0, &self->v));
	ASSERT_LE(BASE + 32 * XM_2M, self->v.bytes)
		TH_LOG("load xmirror_test.ko with vram_mb=128 or more");
}

FIXTURE_TEARDOWN(vram)
{
	/* Whatever a test did, nobody holds on to VRAM. */
	EXPECT_EQ(0, vram_refs(self->fd));
	EXPECT_EQ(0, vram_query(self->fd).write_protected);
	EXPECT_CLEAN(self->fd);
	close(self->fd);
	close(self->other);
}

static __u64 faults(int fd, unsigned int size)
{
	return vram_query(fd).faults[size];
}

TEST_F(vram, bad_arguments)
{
	static const __u64 bad_granule[] = { 0, 1, 2048, 8192, 1 << 20,
					     4 << 20, 1ULL << 32 };
	static const struct {
		__u64 offset, length;
	} bad_range[] = {
		{ 0, 0 },
		{ 0, 1 },
		{ 1, XM_PAGE },
		{ ~0ULL & -XM_PAGE, XM_PAGE },
		{ XM_PAGE, ~0ULL & -XM_PAGE },
	};
	struct xmirror_vram v;
	__u64 old;

	EXPECT_EQ(0, self->v.bytes % XM_2M);
	for (size_t i = 0; i < ARRAY_SIZE(bad_granule); i++) {
		EXPECT_EQ(-EINVAL, xm_set(self->fd, XMIRROR_SET_VRAM_GRANULE,
					  bad_granule[i], NULL));
	}
	ASSERT_EQ(0, xm_set(self->fd, XMIRROR_SET_VRAM_GRANULE, XM_PAGE, &old));
	EXPECT_EQ(XM_2M, old);
	ASSERT_EQ(0, xm_set(self->fd, XMIRROR_SET_VRAM_GRANULE, ~0ULL, &old));
	EXPECT_EQ(XM_PAGE, old);
	/* The file's, not the device's. */
	ASSERT_EQ(0, xm_set(self->other, XMIRROR_SET_VRAM_GRANULE, XM_64K,
			    &old));
	EXPECT_EQ(XM_2M, old);

	EXPECT_EQ(-EINVAL, vram_do(self->fd, 0, 0, XM_PAGE, NULL));
	EXPECT_EQ(-EINVAL, vram_do(self->fd, XMIRROR_VRAM_PROTECT + 1, 0,
				   XM_PAGE, NULL));
	for (size_t i = 0; i < ARRAY_SIZE(bad_range); i++) {
		EXPECT_EQ(-EINVAL, vram_do(self->fd, XMIRROR_VRAM_UNMAP,
					   bad_range[i].offset,
					   bad_range[i].length, NULL))
			TH_LOG("range %zu", i);
	}
	EXPECT_EQ(-EINVAL, vram_do(self->fd, XMIRROR_VRAM_UNMAP,
				   self->v.bytes, XM_PAGE, NULL));
	EXPECT_EQ(-EINVAL, vram_do(self->fd, XMIRROR_VRAM_QUERY,
				   self->v.bytes - XM_PAGE, 2 * XM_PAGE,
				   NULL));
	EXPECT_EQ(0, vram_do(self->fd, XMIRROR_VRAM_QUERY,
			     self->v.bytes - XM_PAGE, XM_PAGE, NULL));
	v = (struct xmirror_vram){ .size = sizeof(v), .flags = 1,
				   .op = XMIRROR_VRAM_QUERY };
	EXPECT_EQ(-EINVAL, xm_ioctl(self->fd, XMIRROR_IOC_VRAM, &v));
	v = (struct xmirror_vram){ .size = sizeof(v), .__reserved = 1,
				   .op = XMIRROR_VRAM_QUERY };
	EXPECT_EQ(-EINVAL, xm_ioctl(self->fd, XMIRROR_IOC_VRAM, &v));
}

TEST_F(vram, unsafe_needs_privilege)
{
	__u64 old;

	EXPECT_EQ(-EINVAL, xm_set(self->fd, XMIRROR_SET_VRAM_UNSAFE, 3, NULL));
	/* Where the kernel can do it right there is no wrong way to do it. */
	if (HUGE()) {
		EXPECT_EQ(-EOPNOTSUPP, xm_set(self->fd, XMIRROR_SET_VRAM_UNSAFE,
					      XMIRROR_VRAM_UNSAFE_HUGE, NULL));
	}
	ASSERT_EQ(0, syscall(SYS_setresuid, -1, 65534, -1));
	EXPECT_EQ(-EPERM, xm_set(self->fd, XMIRROR_SET_VRAM_UNSAFE,
				 XMIRROR_VRAM_UNSAFE_MIXED, NULL));
	EXPECT_EQ(0, xm_set(self->fd, XMIRROR_SET_VRAM_UNSAFE, 0, &old));
	EXPECT_EQ(0, old);
	ASSERT_EQ(0, syscall(SYS_setresuid, -1, 0, -1));
}

TEST_F(vram, refused_mappings)
{
	int prot = PROT_READ | PROT_WRITE;
	off_t end = self->v.bytes;
	int fd;

	EXPECT_EQ(MAP_FAILED, mmap(NULL, LEN, prot, MAP_PRIVATE, self->fd, 0));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(MAP_FAILED, mmap(NULL, LEN, PROT_READ, MAP_PRIVATE, self->fd,
				   0));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(MAP_FAILED, mmap(NULL, XM_PAGE, prot, MAP_SHARED, self->fd,
				   end));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(MAP_FAILED, mmap(NULL, 2 * XM_PAGE, prot, MAP_SHARED,
				   self->fd, end - XM_PAGE));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(MAP_FAILED, mmap(NULL, end + XM_PAGE, prot, MAP_SHARED,
				   self->fd, 0));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(MAP_FAILED, mmap(NULL, XM_PAGE, prot, MAP_SHARED, self->fd,
				   (off_t)(1ULL << 62)));
	EXPECT_EQ(EINVAL, errno);
	/* The last page, and what a file that is open for reading gets. */
	self->p = mmap(NULL, XM_PAGE, prot, MAP_SHARED, self->fd,
		       end - XM_PAGE);
	ASSERT_NE(MAP_FAILED, self->p);
	XM_STORE((__u64 *)self->p, 5);
	fd = open("/dev/xmirror0", O_RDONLY | O_CLOEXEC);
	ASSERT_GE(fd, 0);
	EXPECT_EQ(MAP_FAILED, mmap(NULL, XM_PAGE, prot, MAP_SHARED, fd, 0));
	EXPECT_EQ(EACCES, errno);
	self->p = mmap(NULL, XM_PAGE, PROT_READ, MAP_SHARED, fd,
		       end - XM_PAGE);
	ASSERT_NE(MAP_FAILED, self->p);
	EXPECT_EQ(5, XM_LOAD((__u64 *)self->p));
	EXPECT_EQ(SIGSEGV, access_signal(self->p, true));
	close(fd);
}

/* No advice, no alignment by hand: as a program would do it. */
TEST_F(vram, mmap_prefers_an_alignment)
{
	char *p;

	if (!*thp_mode())
		SKIP(return, "no CONFIG_TRANSPARENT_HUGEPAGE");
	p = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_SHARED, self->fd,
		 BASE + XM_2M);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(0, (uintptr_t)p % XM_2M);
	p = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_SHARED, self->fd,
		 BASE + 5 * XM_PAGE);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(5 * XM_PAGE, (uintptr_t)p % XM_2M);
}

FIXTURE(vram_granule) {
	int fd;
	char *p;
	unsigned int index;
	size_t piece;
};

FIXTURE_VARIANT(vram_granule) {
	__u64 granule;
};

FIXTURE_VARIANT_ADD(vram_granule, 4k) { .granule = XM_PAGE };
FIXTURE_VARIANT_ADD(vram_granule, 64k) { .granule = XM_64K };
FIXTURE_VARIANT_ADD(vram_granule, 2m) { .granule = XM_2M };
FIXTURE_VARIANT_ADD(vram_granule, largest) { .granule = ~0ULL };

FIXTURE_SETUP(vram_granule)
{
	OPEN(self->fd, 0);
	ASSERT_EQ(0, xm_set(self->fd, XMIRROR_SET_VRAM_GRANULE,
			    variant->granule, NULL));
	self->index = variant->granule == XM_PAGE ? XMIRROR_VRAM_4K :
		      variant->granule == XM_64K || !HUGE() ?
		      XMIRROR_VRAM_64K : XMIRROR_VRAM_2M;
	self->piece = self->index == XMIRROR_VRAM_4K ? XM_PAGE :
		      self->index == XMIRROR_VRAM_64K ? XM_64K : XM_2M;
}

FIXTURE_TEARDOWN(vram_granule)
{
	EXPECT_EQ(0, vram_refs(self->fd));
	EXPECT_EQ(0, vram_query(self->fd).write_protected);
	EXPECT_CLEAN(self->fd);
	close(self->fd);
}

TEST_F(vram_granule, touch)
{
	struct xmirror_vram v;
	char *q;

	/* By write, and again by read: neither takes more than the other. */
	for (int write = 1; write >= 0; write--) {
		__u64 before = faults(self->fd, self->index);
		__u64 all = vram_faults(self->fd);

		self->p = vram_map_huge(self->fd, LEN, BASE);
		ASSERT_NE(NULL, self->p);
		if (write)
			vram_touch(self->p, LEN, 7);
		EXPECT_EQ(0, vram_wrong(self->p, LEN, 7));
		EXPECT_EQ(LEN / self->piece,
			  faults(self->fd, self->index) - before);
		EXPECT_EQ(LEN / self->piece, vram_faults(self->fd) - all);
		EXPECT_EQ(self->index == XMIRROR_VRAM_2M,
			  is_huge(self->fd, self->p + 3 * XM_PAGE));
		/* What was read can be written to without another fault. */
		all = vram_faults(self->fd);
		vram_touch(self->p, LEN, 7);
		EXPECT_EQ(all, vram_faults(self->fd));
		munmap(self->p, LEN);
	}
	v = vram_query(self->fd);
	EXPECT_EQ(0, v.writes);
	/* Another mapping, at an odd place. */
	q = vram_map(self->fd, LEN, BASE, XM_PAGE);
	ASSERT_NE(NULL, q);
	EXPECT_EQ(0, vram_wrong(q, LEN, 7));
}

/* Address and VRAM are never aligned at the same place. */
TEST_F(vram_granule, misaligned)
{
	static const size_t shifts[] = { XM_PAGE, XM_64K, XM_2M - XM_PAGE };
	static const size_t lens[] = { XM_PAGE, 5 * XM_PAGE,
				       XM_2M + 5 * XM_PAGE };
	size_t piece = self->piece == XM_PAGE ? XM_PAGE : XM_64K;
	unsigned int index = self->piece == XM_PAGE ? XMIRROR_VRAM_4K :
						      XMIRROR_VRAM_64K;

	for (size_t i = 0; i < ARRAY_SIZE(shifts); i++) {
		for (size_t j = 0; j < ARRAY_SIZE(lens); j++) {
			__u64 before = faults(self->fd, index);
			__u64 all = vram_faults(self->fd);
			uintptr_t start, end;
			char *q;

			self->p = vram_map(self->fd, lens[j],
					   BASE + 3 * XM_2M - 2 * XM_PAGE,
					   shifts[i]);
			ASSERT_NE(NULL, self->p);
			vram_touch(self->p, lens[j], i + j);
			/* How many pieces of address space it overlaps. */
			start = (uintptr_t)self->p / piece;
			end = ((uintptr_t)self->p + lens[j] - 1) / piece;
			EXPECT_EQ(end - start + 1,
				  faults(self->fd, index) - before);
			EXPECT_EQ(end - start + 1, vram_faults(self->fd) - all);
			q = mmap(NULL, lens[j], PROT_READ, MAP_SHARED, self->fd,
				 BASE + 3 * XM_2M - 2 * XM_PAGE);
			ASSERT_NE(MAP_FAILED, q);
			EXPECT_EQ(0, vram_wrong(q, lens[j], i + j));
			munmap(q, lens[j]);
			munmap(self->p, lens[j]);
		}
	}
}

/* A page short at both ends: large where it fits, smaller where not. */
TEST_F(vram_granule, odd_ends)
{
	size_t len = 3 * XM_2M - 2 * XM_PAGE;
	struct xmirror_vram v;

	self->p = vram_map_huge(self->fd, len, BASE + XM_PAGE);
	ASSERT_NE(NULL, self->p);
	vram_touch(self->p, len, 3);
	EXPECT_EQ(0, vram_wrong(self->p, len, 3));
	v = vram_query(self->fd);
	switch (self->index) {
	case XMIRROR_VRAM_4K:
		EXPECT_EQ(len / XM_PAGE, v.faults[XMIRROR_VRAM_4K]);
		break;
	case XMIRROR_VRAM_64K:
		EXPECT_EQ(3 * XM_2M / XM_64K, v.faults[XMIRROR_VRAM_64K]);
		break;
	default:
		EXPECT_EQ(2 * XM_2M / XM_64K, v.faults[XMIRROR_VRAM_64K]);
		EXPECT_EQ(1, v.faults[XMIRROR_VRAM_2M]);
		EXPECT_FALSE(is_huge(self->fd, self->p));
		EXPECT_TRUE(is_huge(self->fd, self->p + XM_2M));
	}
}

/* A page here and there, then all: nothing that is there is in the way. */
TEST_F(vram_granule, overlap_with_populated)
{
	static const size_t there[] = { 3, 20, 21, 511 };
	__u64 all, expect;

	ASSERT_EQ(0, xm_set(self->fd, XMIRROR_SET_VRAM_GRANULE, XM_PAGE, NULL));
	self->p = vram_map_huge(self->fd, 2 * XM_2M, BASE);
	ASSERT_NE(NULL, self->p);
	for (size_t i = 0; i < ARRAY_SIZE(there); i++)
		vram_touch(self->p + there[i] * XM_PAGE, XM_PAGE, 100 + there[i]);
	ASSERT_EQ(0, xm_set(self->fd, XMIRROR_SET_VRAM_GRANULE,
			    variant->granule, NULL));
	all = vram_faults(self->fd);
	EXPECT_EQ(ARRAY_SIZE(there), all);
	for (size_t i = 0; i < 2 * XM_2M; i += XM_PAGE)
		XM_LOAD((__u64 *)(self->p + i));
	for (size_t i = 0; i < ARRAY_SIZE(there); i++) {
		EXPECT_EQ(100 + there[i],
			  XM_LOAD((__u64 *)(self->p + there[i] * XM_PAGE)));
	}
	expect = self->index == XMIRROR_VRAM_4K ?
		 2 * XM_2M / XM_PAGE - ARRAY_SIZE(there) :
		 XM_2M / XM_64K + XM_2M / self->piece;
	EXPECT_EQ(expect, vram_faults(self->fd) - all);
	EXPECT_FALSE(is_huge(self->fd, self->p));
	EXPECT_EQ(self->piece == XM_2M, is_huge(self->fd, self->p + XM_2M));

	/*
	 * The kernel keeps the empty page table, so that not even revocation
	 * makes room for a large piece; a new mapping does.
	 */
	ASSERT_EQ(0, vram_do(self->fd, XMIRROR_VRAM_UNMAP, BASE, XM_2M, NULL));
	all = vram_faults(self->fd);
	vram_touch(self->p, XM_2M, 9);
	expect = self->index == XMIRROR_VRAM_4K ? XM_2M / XM_PAGE :
						  XM_2M / XM_64K;
	EXPECT_EQ(expect, vram_faults(self->fd) - all);
	EXPECT_FALSE(is_huge(self->fd, self->p));
	munmap(self->p, 2 * XM_2M);
	self->p = vram_map_huge(self->fd, 2 * XM_2M, BASE);
	ASSERT_NE(NULL, self->p);
	all = vram_faults(self->fd);
	EXPECT_EQ(0, vram_wrong(self->p, XM_2M, 9));
	EXPECT_EQ(XM_2M / self->piece, vram_faults(self->fd) - all);
	EXPECT_EQ(self->piece == XM_2M, is_huge(self->fd, self->p));
}

/* Revocation reaches every mapping, and the data is there afterwards. */
TEST_F(vram_granule, unmap_and_refault)
{
	__u64 all, all_too;
	char *q;
	int fd;

	OPEN(fd, 0);
	self->p = vram_map_huge(self->fd, 2 * XM_2M, BASE);
	ASSERT_NE(NULL, self->p);
	q = vram_map(fd, 2 * XM_2M, BASE, XM_64K);
	ASSERT_NE(NULL, q);
	vram_touch(self->p, 2 * XM_2M, 11);
	EXPECT_EQ(0, vram_wrong(q, 2 * XM_2M, 11));
	all = vram_faults(self->fd);
	all_too = vram_faults(fd);

	/* By a third file that has no mapping itself. */
	close(fd);
	OPEN(fd, 0);
	ASSERT_EQ(0, vram_do(fd, XMIRROR_VRAM_UNMAP, BASE, XM_2M, NULL));
	EXPECT_EQ(0, xm_page(self->fd, self->p).cpu & XMIRROR_CPU_PRESENT);
	EXPECT_EQ(0, xm_page(self->fd, q + 9 * XM_PAGE).cpu &
		     XMIRROR_CPU_PRESENT);
	EXPECT_NE(0, xm_page(self->fd, self->p + XM_2M).cpu &
		     XMIRROR_CPU_PRESENT);
	EXPECT_NE(0, xm_page(self->fd, q + XM_2M).cpu & XMIRROR_CPU_PRESENT);
	EXPECT_NE(0, all_too);
	EXPECT_EQ(0, vram_wrong(self->p, 2 * XM_2M, 11));
	EXPECT_EQ(0, vram_wrong(q, 2 * XM_2M, 11));
	EXPECT_EQ(XM_2M / self->piece, vram_faults(self->fd) - all);

	/* A page in the middle takes the piece that it is in, at most. */
	all = vram_faults(self->fd);
	ASSERT_EQ(0, vram_do(fd, XMIRROR_VRAM_UNMAP, BASE + 100 * XM_PAGE,
			     XM_PAGE, NULL));
	EXPECT_EQ(0, xm_page(self->fd, self->p + 100 * XM_PAGE).cpu &
		     XMIRROR_CPU_PRESENT);
	EXPECT_EQ(0, vram_wrong(self->p, 2 * XM_2M, 11));
	EXPECT_EQ(1, vram_faults(self->fd) - all);
	close(fd);
}

/* The device hears of the first write to each page, and of no other. */
TEST_F(vram_granule, write_protect)
{
	struct xmirror_vram v;
	__u64 all;

	self->p = vram_map_huge(self->fd, XM_2M, BASE);
	ASSERT_NE(NULL, self->p);
	vram_touch(self->p, XM_2M, 1);

	/* A few pages. */
	ASSERT_EQ(0, vram_do(self->fd, XMIRROR_VRAM_PROTECT,
			     BASE + 40 * XM_PAGE, 3 * XM_PAGE, &v));
	EXPECT_EQ(3, v.write_protected);
	EXPECT_EQ(0, vram_wrong(self->p, XM_2M, 1));
	EXPECT_EQ(XMIRROR_CPU_PRESENT,
		  xm_page(self->fd, self->p + 41 * XM_PAGE).cpu &
		  (XMIRROR_CPU_PRESENT | XMIRROR_CPU_WRITE));
	EXPECT_NE(0, xm_page(self->fd, self->p + 43 * XM_PAGE).cpu &
		     XMIRROR_CPU_WRITE);
	EXPECT_EQ(0, vram_query(self->fd).writes);
	vram_touch(self->p + 41 * XM_PAGE, XM_PAGE, 500);
	vram_touch(self->p + 41 * XM_PAGE, XM_PAGE, 501);
	vram_touch(self->p + 43 * XM_PAGE, XM_PAGE, 503);
	v = vram_query(self->fd);
	EXPECT_EQ(1, v.writes);
	EXPECT_EQ(2, v.write_protected);
	EXPECT_EQ(501, XM_LOAD((__u64 *)(self->p + 41 * XM_PAGE)));
	vram_touch(self->p, XM_2M, 2);
	v = vram_query(self->fd);
	EXPECT_EQ(3, v.writes);
	EXPECT_EQ(0, v.write_protected);

	/* All of it: read as large as ever, written page by page. */
	munmap(self->p, XM_2M);
	self->p = vram_map_huge(self->fd, XM_2M, BASE);
	ASSERT_NE(NULL, self->p);
	ASSERT_EQ(0, vram_do(self->fd, XMIRROR_VRAM_PROTECT, BASE, XM_2M, &v));
	EXPECT_EQ(512, v.write_protected);
	all = vram_faults(self->fd);
	EXPECT_EQ(0, vram_wrong(self->p, XM_2M, 2));
	EXPECT_EQ(XM_2M / self->piece, vram_faults(self->fd) - all);
	EXPECT_EQ(self->piece == XM_2M, is_huge(self->fd, self->p));
	vram_touch(self->p + 7 * XM_PAGE, XM_PAGE, 600);
	v = vram_query(self->fd);
	EXPECT_EQ(4, v.writes);
	EXPECT_EQ(511, v.write_protected);
	EXPECT_EQ(600, XM_LOAD((__u64 *)(self->p + 7 * XM_PAGE)));
	EXPECT_EQ(2 + 8, XM_LOAD((__u64 *)(self->p + 8 * XM_PAGE)));
	vram_touch(self->p, XM_2M, 4);
	v = vram_query(self->fd);
	EXPECT_EQ(3 + 512, v.writes);
	EXPECT_EQ(0, v.write_protected);
	/* Without a read in between the first fault is the write. */
	ASSERT_EQ(0, vram_do(self->fd, XMIRROR_VRAM_PROTECT, BASE, XM_2M,
			     NULL));
	vram_touch(self->p, XM_2M, 5);
	EXPECT_EQ(0, vram_wrong(self->p, XM_2M, 5));
	v = vram_query(self->fd);
	EXPECT_EQ(3 + 2 * 512, v.writes);
}

TEST_F(vram_granule, mprotect)
{
	__u64 all;

	self->p = vram_map_huge(self->fd, 2 * XM_2M, BASE);
	ASSERT_NE(NULL, self->p);
	vram_touch(self->p, 2 * XM_2M, 1);
	ASSERT_EQ(0, mprotect(self->p, 2 * XM_2M, PROT_READ));
	EXPECT_EQ(0, vram_wrong(self->p, 2 * XM_2M, 1));
	EXPECT_EQ(SIGSEGV, access_signal(self->p, true));
	all = vram_faults(self->fd);
	EXPECT_EQ(0, vram_wrong(self->p, 2 * XM_2M, 1));
	EXPECT_EQ(all, vram_faults(self->fd));
	/* A new mapping that may not write reads as large. */
	ASSERT_EQ(0, vram_do(self->fd, XMIRROR_VRAM_UNMAP, BASE, 2 * XM_2M,
			     NULL));
	EXPECT_EQ(0, vram_wrong(self->p, 2 * XM_2M, 1));
	EXPECT_EQ(2 * XM_2M / self->piece, vram_faults(self->fd) - all);
	EXPECT_EQ(SIGSEGV, access_signal(self->p, true));
	ASSERT_EQ(0, mprotect(self->p, 2 * XM_2M, PROT_READ | PROT_WRITE));
	vram_touch(self->p, 2 * XM_2M, 2);
	EXPECT_EQ(0, vram_wrong(self->p, 2 * XM_2M, 2));
	EXPECT_EQ(0, vram_query(self->fd).writes);
	EXPECT_EQ(self->piece == XM_2M, is_huge(self->fd, self->p));
	/* One page of many. */
	ASSERT_EQ(0, mprotect(self->p + 9 * XM_PAGE, XM_PAGE, PROT_NONE));
	EXPECT_EQ(SIGSEGV, access_signal(self->p + 9 * XM_PAGE, false));
	EXPECT_EQ(0, vram_wrong(self->p, 9 * XM_PAGE, 2));
	EXPECT_EQ(0, vram_wrong(self->p + 10 * XM_PAGE,
				2 * XM_2M - 10 * XM_PAGE, 12));
}

TEST_F(vram_granule, partial_munmap)
{
	self->p = vram_map_huge(self->fd, 2 * XM_2M, BASE);
	ASSERT_NE(NULL, self->p);
	vram_touch(self->p, 2 * XM_2M, 1);
	ASSERT_EQ(0, munmap(self->p + 100 * XM_PAGE, XM_PAGE));
	EXPECT_EQ(SIGSEGV, access_signal(self->p + 100 * XM_PAGE, false));
	EXPECT_EQ(0, vram_wrong(self->p, 100 * XM_PAGE, 1));
	EXPECT_EQ(0, vram_wrong(self->p + 101 * XM_PAGE,
				2 * XM_2M - 101 * XM_PAGE, 102));
	EXPECT_EQ(0, access_signal(self->p + 101 * XM_PAGE, true));
	EXPECT_FALSE(is_huge(self->fd, self->p));
	EXPECT_EQ(self->piece == XM_2M, is_huge(self->fd, self->p + XM_2M));
	/* The device finds what is left, too. */
	ASSERT_EQ(0, vram_do(self->fd, XMIRROR_VRAM_UNMAP, BASE, 2 * XM_2M,
			     NULL));
	EXPECT_EQ(0, xm_page(self->fd, self->p + 101 * XM_PAGE).cpu &
		     XMIRROR_CPU_PRESENT);
	EXPECT_EQ(0, vram_wrong(self->p + 101 * XM_PAGE,
				2 * XM_2M - 101 * XM_PAGE, 102));
}

TEST_F(vram_granule, mremap)
{
	static const size_t shifts[] = { 0, XM_PAGE, XM_64K };

	for (size_t i = 0; i < ARRAY_SIZE(shifts); i++) {
		char *hole, *to;

		self->p = vram_map_huge(self->fd, 2 * XM_2M, BASE);
		ASSERT_NE(NULL, self->p);
		vram_touch(self->p, 2 * XM_2M, i);
		hole = xm_hole(4 * XM_2M);
		ASSERT_NE(NULL, hole);
		to = hole + (-(uintptr_t)hole & (XM_2M - 1)) + shifts[i];
		ASSERT_EQ(to, mremap(self->p, 2 * XM_2M, 2 * XM_2M,
				     MREMAP_MAYMOVE | MREMAP_FIXED, to));
		EXPECT_EQ(SIGSEGV, access_signal(self->p, false));
		EXPECT_EQ(0, vram_wrong(to, 2 * XM_2M, i));
		vram_touch(to, 2 * XM_2M, i + 9);
		EXPECT_EQ(0, vram_wrong(to, 2 * XM_2M, i + 9));
		/* Large only where it is aligned, and still found. */
		EXPECT_EQ(self->piece == XM_2M && !shifts[i],
			  is_huge(self->fd, to));
		ASSERT_EQ(0, vram_do(self->fd, XMIRROR_VRAM_UNMAP, BASE,
				     2 * XM_2M, NULL));
		EXPECT_EQ(0, xm_page(self->fd, to + 7 * XM_PAGE).cpu &
			     XMIRROR_CPU_PRESENT);
		EXPECT_EQ(0, vram_wrong(to, 2 * XM_2M, i + 9));
		/* It cannot grow over what follows in VRAM. */
		EXPECT_EQ(MAP_FAILED, mremap(to, 2 * XM_2M, 3 * XM_2M,
					     MREMAP_MAYMOVE));
		EXPECT_EQ(EFAULT, errno);
		munmap(to, 2 * XM_2M);
	}
}

struct family {
	char *p;
	size_t len;
	int err;
};

static int forked(struct child *c, void *arg)
{
	struct family *f = arg;

	(void)c;
	CHILD_CHECK(vram_wrong(f->p, f->len, 1) == 0);
	vram_touch(f->p, f->len, 2);
	return 0;
}

/* Device memory is shared by a fork, never copied. */
TEST_F(vram_granule, fork)
{
	struct family f = { .len = 2 * XM_2M };
	struct child c;
	__u64 all;

	self->p = vram_map_huge(self->fd, 2 * XM_2M, BASE);
	ASSERT_NE(NULL, self->p);
	f.p = self->p;
	vram_touch(self->p, 2 * XM_2M, 1);
	all = vram_faults(self->fd);
	ASSERT_EQ(0, child_start(&c, forked, &f));
	EXPECT_EQ(0, child_end(&c));
	EXPECT_EQ(0, vram_wrong(self->p, 2 * XM_2M, 2));
	/* PTEs and, where there is a special bit for them, PMDs are copied. */
	EXPECT_EQ(all, vram_faults(self->fd));
	EXPECT_EQ(self->piece == XM_2M, is_huge(self->fd, self->p));
}

static int forked_and_revoked(struct child *c, void *arg)
{
	struct family *f = arg;

	CHILD_CHECK(child_hear(c) == 'r');
	CHILD_CHECK(vram_wrong(f->p, f->len, 3) == 0);
	return 0;
}

TEST_F(vram_granule, fork_and_unmap)
{
	struct family f = { .len = XM_2M };
	struct child c;
	__u64 all;

	self->p = vram_map_huge(self->fd, XM_2M, BASE);
	ASSERT_NE(NULL, self->p);
	f.p = self->p;
	vram_touch(self->p, XM_2M, 1);
	ASSERT_EQ(0, child_start(&c, forked_and_revoked, &f));
	ASSERT_EQ(0, vram_do(self->fd, XMIRROR_VRAM_UNMAP, BASE, XM_2M, NULL));
	all = vram_faults(self->fd);
	vram_touch(self->p, XM_2M, 3);
	ASSERT_EQ(0, child_tell(&c, 'r'));
	EXPECT_EQ(0, child_end(&c));
	/* The child had lost its entries, too. */
	EXPECT_EQ(2 * (XM_2M / self->piece), vram_faults(self->fd) - all);
}

/* DONTFORK: the child has no such mapping. */
static int forked_without(struct child *c, void *arg)
{
	struct family *f = arg;

	(void)c;
	CHILD_CHECK(access_signal(f->p, false) == SIGSEGV);
	return 0;
}

TEST_F(vram, dontfork)
{
	struct family f = {};
	struct child c;

	f.p = vram_map_huge(self->fd, XM_2M, BASE);
	ASSERT_NE(NULL, f.p);
	vram_touch(f.p, XM_2M, 1);
	ASSERT_EQ(0, madvise(f.p, XM_2M, MADV_DONTFORK));
	ASSERT_EQ(0, child_start(&c, forked_without, &f));
	EXPECT_EQ(0, child_end(&c));
	EXPECT_EQ(0, vram_wrong(f.p, XM_2M, 1));
}

/* The size of a mapping is most of its cost. */
TEST_F(vram, largest_takes_a_256th_of_the_faults)
{
	size_t len = 32 * XM_2M;
	__u64 small, large;

	ASSERT_EQ(0, xm_set(self->fd, XMIRROR_SET_VRAM_GRANULE, XM_PAGE, NULL));
	self->p = vram_map_huge(self->fd, len, BASE);
	ASSERT_NE(NULL, self->p);
	vram_touch(self->p, len, 1);
	munmap(self->p, len);
	small = vram_faults(self->fd);
	EXPECT_EQ(len / XM_PAGE, small);
	self->p = vram_map_huge(self->other, len, BASE);
	ASSERT_NE(NULL, self->p);
	EXPECT_EQ(0, vram_wrong(self->p, len, 1));
	large = vram_faults(self->other);
	TH_LOG("64 MiB: %llu faults of 4 KiB, %llu of the largest", small,
	       large);
	/* Batches of 64 KiB are what is left without huge PFN maps. */
	EXPECT_LE(large, HUGE() ? small / 256 : small / 16);
}

/*
 * Linux 6.12 asks for permission like for any huge page; newer kernels know that
 * it costs nothing, and only obey a ban. So does 6.12.117, but not 6.12.95: which
 * of the two rules it is, one case decides.
 */
TEST_F(vram, thp_settings)
{
	static const struct {
		const char *mode;
		int advice;
		bool old, new;
	} cases[] = {
		{ "always", 0, true, true },
		{ "always", MADV_NOHUGEPAGE, false, false },
		{ "madvise", 0, false, true },
		{ "madvise", MADV_HUGEPAGE, true, true },
		{ "never", 0, false, true },
		{ "never", MADV_HUGEPAGE, false, true },
		{ "never", MADV_NOHUGEPAGE, false, false },
	};
	char saved[32];
	bool old = false;

	NEED(XMIRROR_CAP_VRAM_HUGE);
	if (xm_kver() > XM_KVER(6, 12) && xm_kver() < XM_KVER(7, 3))
		SKIP(return, "neither Linux 6.12 nor 7.3, whose rules these are");
	snprintf(saved, sizeof(saved), "%s", thp_mode());
	if (xm_kver() <= XM_KVER(6, 12)) {
		EXPECT_EQ(0, thp_set_mode("never"));
		self->p = vram_map(self->fd, XM_2M, BASE, 0);
		ASSERT_NE(NULL, self->p);
		vram_touch(self->p, XM_2M, 0);
		old = !is_huge(self->fd, self->p);
		munmap(self->p, XM_2M);
		TH_LOG("the %s rule", old ? "old" : "new");
	}
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		self->p = vram_map(self->fd, XM_2M, BASE, 0);
		ASSERT_NE(NULL, self->p);
		EXPECT_EQ(0, thp_set_mode(cases[i].mode));
		if (cases[i].advice) {
			EXPECT_EQ(0, madvise(self->p, XM_2M, cases[i].advice));
		}
		vram_touch(self->p, XM_2M, i);
		EXPECT_EQ(old ? cases[i].old : cases[i].new,
			  is_huge(self->fd, self->p))
			TH_LOG("case %zu: %s, advice %d", i, cases[i].mode,
			       cases[i].advice);
		EXPECT_EQ(0, vram_wrong(self->p, XM_2M, i));
		munmap(self->p, XM_2M);
	}
	EXPECT_EQ(0, thp_set_mode(saved));
}

TEST_F(vram, madvise_and_mlock)
{
	static const int refused[] = { MADV_DONTNEED, MADV_FREE, MADV_COLD,
				       MADV_PAGEOUT, MADV_POPULATE_READ,
				       MADV_POPULATE_WRITE };
	__u64 all;

	self->p = vram_map_huge(self->fd, XM_2M, BASE);
	ASSERT_NE(NULL, self->p);
	vram_touch(self->p, XM_2M, 1);
	all = vram_faults(self->fd);
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		EXPECT_EQ(-1, madvise(self->p, XM_2M, refused[i]));
		EXPECT_EQ(EINVAL, errno)
			TH_LOG("advice %d", refused[i]);
	}
	EXPECT_EQ(0, mlock(self->p, XM_2M));
	EXPECT_EQ(0, munlock(self->p, XM_2M));
	EXPECT_EQ(0, vram_wrong(self->p, XM_2M, 1));
	EXPECT_EQ(all, vram_faults(self->fd));
	/* The kernel shows nothing of it, as if it were not there. */
	EXPECT_EQ(0, xm_pagemap(self->p) & ~XM_PM_SOFT_DIRTY);
}

/* The device does not mirror its own memory. */
TEST_F(vram, not_for_the_mirror)
{
	__u64 value = 0;

	self->p = vram_map_huge(self->fd, XM_2M, BASE);
	ASSERT_NE(NULL, self->p);
	vram_touch(self->p, XM_2M, 1);
	EXPECT_EQ(-EFAULT, xm_fault(self->fd, self->p, XM_PAGE, 0, NULL));
	EXPECT_EQ(-EFAULT, xm_fault(self->fd, self->p, XM_PAGE,
				    XMIRROR_FAULT_WRITE, NULL));
	EXPECT_EQ(-EFAULT, xm_read(self->fd, self->p, &value, 8));
	if (xm_caps() & XMIRROR_CAP_EXCLUSIVE) {
		EXPECT_EQ(-EFAULT, xm_exclusive(self->fd, self->p, XM_PAGE,
						NULL));
	}
	EXPECT_EQ(0, xm_page(self->fd, self->p).dev);
}

/* Another process with a file of its own: the same memory. */
static int stranger(struct child *c, void *arg)
{
	int fd = xm_open(0);
	char *q;

	(void)arg;
	CHILD_CHECK(fd >= 0);
	q = vram_map(fd, XM_2M, BASE, XM_PAGE);
	CHILD_CHECK(q);
	CHILD_CHECK(vram_wrong(q, XM_2M, 1) == 0);
	vram_touch(q, XM_2M, 2);
	CHILD_CHECK(child_tell(c, 'w') == 0);
	CHILD_CHECK(child_hear(c) == 'r');
	/* Revoked by the parent. */
	CHILD_CHECK(!(xm_page(fd, q).cpu & XMIRROR_CPU_PRESENT));
	CHILD_CHECK(vram_wrong(q, XM_2M, 3) == 0);
	return 0;
}

TEST_F(vram, two_processes)
{
	struct child c;

	self->p = vram_map_huge(self->fd, XM_2M, BASE);
	ASSERT_NE(NULL, self->p);
	vram_touch(self->p, XM_2M, 1);
	ASSERT_EQ(0, child_start(&c, stranger, NULL));
	EXPECT_EQ('w', child_hear(&c));
	EXPECT_EQ(0, vram_wrong(self->p, XM_2M, 2));
	vram_touch(self->p, XM_2M, 3);
	EXPECT_EQ(0, vram_do(self->fd, XMIRROR_VRAM_UNMAP, BASE, XM_2M, NULL));
	EXPECT_EQ(0, child_tell(&c, 'r'));
	EXPECT_EQ(0, child_end(&c));
}

TEST_F(vram, devices_are_apart)
{
	__u64 all;
	char *q;
	int fd;

	OPEN(fd, 1);
	self->p = vram_map_huge(self->fd, XM_2M, BASE);
	ASSERT_NE(NULL, self->p);
	q = vram_map_huge(fd, XM_2M, BASE);
	ASSERT_NE(NULL, q);
	vram_touch(self->p, XM_2M, 1);
	vram_touch(q, XM_2M, 2);
	EXPECT_EQ(0, vram_wrong(self->p, XM_2M, 1));
	all = vram_faults(self->fd);
	ASSERT_EQ(0, vram_do(fd, XMIRROR_VRAM_UNMAP, BASE, XM_2M, NULL));
	EXPECT_EQ(0, vram_wrong(self->p, XM_2M, 1));
	EXPECT_EQ(all, vram_faults(self->fd));
	EXPECT_EQ(0, vram_refs(fd));
	close(fd);
}

/* Two nodes, one device: revocation has to know of both. */
TEST_F(vram, another_node)
{
	const char *path = "/dev/xm-vram-alias";
	struct stat st;
	int fd;

	ASSERT_EQ(0, fstat(self->fd, &st));
	unlink(path);
	ASSERT_EQ(0, mknod(path, S_IFCHR | 0600, st.st_rdev));
	fd = open(path, O_RDWR | O_CLOEXEC);
	EXPECT_EQ(0, unlink(path));
	ASSERT_GE(fd, 0);
	self->p = vram_map_huge(fd, XM_2M, BASE);
	ASSERT_NE(NULL, self->p);
	vram_touch(self->p, XM_2M, 1);
	ASSERT_EQ(0, vram_do(self->fd, XMIRROR_VRAM_UNMAP, BASE, XM_2M, NULL));
	EXPECT_EQ(0, xm_page(self->fd, self->p).cpu & XMIRROR_CPU_PRESENT);
	EXPECT_EQ(0, vram_wrong(self->p, XM_2M, 1));
	close(fd);
}

/* Faults, revocation and protection at the same time. */

static int keep_writing(struct worker *w)
{
	while (!XM_LOAD(&w->stop))
		XM_ADD((__u64 *)w->addr, 1);
	return 0;
}

static int keep_reading(struct worker *w)
{
	__u64 last = 0, now;

	while (!XM_LOAD(&w->stop)) {
		now = XM_LOAD((__u64 *)w->addr);
		/* A counter that goes back was another page. */
		if (now < last)
			return -EIO;
		last = now;
	}
	return 0;
}

/*
 * A write after a page was protected is always noticed, also when a read puts
 * the same read-only entry back while the fault of an earlier write is on its
 * way.
 */
TEST_F(vram_granule, no_write_goes_unnoticed)
{
	struct worker writer = { .fn = keep_writing };
	struct worker reader = { .fn = keep_reading };
	__u64 start, writes = 0, missed = 0;

	self->p = vram_map_huge(self->fd, XM_2M, BASE);
	ASSERT_NE(NULL, self->p);
	XM_STORE((__u64 *)self->p, 0);
	writer.addr = self->p;
	reader.addr = self->p;
	ASSERT_EQ(0, worker_start(&writer));
	ASSERT_EQ(0, worker_start(&reader));
	for (int i = 0; i < 100 && !missed; i++) {
		ASSERT_EQ(0, vram_do(self->fd, XMIRROR_VRAM_PROTECT, BASE,
				     XM_PAGE, NULL));
		start = xm_now_ns();
		while (vram_query(self->fd).writes == writes && !missed) {
			missed = xm_expired(start, XM_LONG);
			sched_yield();
		}
		writes = vram_query(self->fd).writes;
	}
	XM_STORE(&writer.stop, true);
	XM_STORE(&reader.stop, true);
	EXPECT_EQ(0, worker_join(&writer));
	EXPECT_EQ(0, worker_join(&reader));
	EXPECT_EQ(0, missed)
		TH_LOG("after %llu writes", writes);
	EXPECT_EQ(100, writes);
}

/* No count is lost over revocations and changes of the granule. */
TEST_F(vram, unmap_under_load)
{
	static const __u64 granules[] = { XM_PAGE, XM_64K, XM_2M };
	struct worker w[2] = {
		{ .fn = keep_writing },
		{ .fn = keep_reading },
	};
	__u64 last = 0, now;

	self->p = vram_map_huge(self->fd, XM_2M, BASE);
	ASSERT_NE(NULL, self->p);
	vram_touch(self->p, XM_2M, 0);
	for (size_t i = 0; i < ARRAY_SIZE(w); i++) {
		w[i].addr = self->p;
		ASSERT_EQ(0, worker_start(&w[i]));
	}
	for (int i = 0; i < 300; i++) {
		ASSERT_EQ(0, xm_set(self->fd, XMIRROR_SET_VRAM_GRANULE,
				    granules[i % 3], NULL));
		ASSERT_EQ(0, vram_do(self->fd, XMIRROR_VRAM_UNMAP, BASE, XM_2M,
				     NULL));
		/* A page beside the others' word, which may be mapped large. */
		XM_LOAD((__u64 *)(self->p + (1 + i % 511) * XM_PAGE));
		now = XM_LOAD((__u64 *)self->p);
		EXPECT_GE(now, last);
		last = now;
	}
	for (size_t i = 0; i < ARRAY_SIZE(w); i++)
		XM_STORE(&w[i].stop, true);
	for (size_t i = 0; i < ARRAY_SIZE(w); i++) {
		EXPECT_EQ(0, worker_join(&w[i]));
	}
	EXPECT_LT(0, XM_LOAD((__u64 *)self->p));
}

TEST_HARNESS_MAIN
