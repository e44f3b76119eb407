// SPDX-License-Identifier: GPL-2.0
/*
 * mmap() of a device's own memory: the largest pieces that fit, whatever the
 * alignment and whatever is there already. What the device does to such a mapping
 * is in revoke.c, what system calls make of it in syscalls.c.
 *
 * covers: H.map
 */
#include <fcntl.h>

#include "fixture.h"
#include "settings.h"

#define LEN	(4 * XM_2M)

static __u64 faults(int fd, unsigned int size)
{
	return vram_query(fd).faults[size];
}

TEST_F(vram, bad_arguments)
{
	static const __u64 bad_granule[] = { 0, 1, XM_PAGE / 2, 2 * XM_PAGE, 1 << 20,
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
	/* A kernel with a special bit for PMDs has no unsafe knob. */
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
	/* The last page, and a file that is open for reading */
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

/* As a program would do it, without advice or alignment by hand */
TEST_F(vram, mmap_prefers_an_alignment)
{
	char *p;

	if (!*thp_mode())
		XM_SKIP(return, "%s", xm_why_no_thp());
	if (LEN < XM_PMD)
		XM_SKIP(return, "a huge page is larger than the mapping");
	p = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_SHARED, self->fd,
		 BASE + XM_2M);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(0, (uintptr_t)p % XM_2M);
	p = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_SHARED, self->fd,
		 BASE + 5 * XM_PAGE);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(5 * XM_PAGE, (uintptr_t)p % XM_2M);
}

TEST_F(vram_granule, touch)
{
	struct xmirror_vram v;
	char *q;

	/* A write takes as few faults as a read. */
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
		/* A page that was read can be written without another fault. */
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

/* The number of aligned pieces of address space that @len bytes at @p overlap */
static size_t pieces(const char *p, size_t len, size_t piece)
{
	uintptr_t start = (uintptr_t)p;

	return (start + len - 1) / piece - start / piece + 1;
}

/* Address and VRAM offset are never aligned alike. */
TEST_F(vram_granule, misaligned)
{
	static const size_t shifts[] = { XM_PAGE, XM_64K, XM_2M - XM_PAGE };
	static const size_t lens[] = { XM_PAGE, 5 * XM_PAGE,
				       XM_2M + 5 * XM_PAGE };
	unsigned int index = self->index == XMIRROR_VRAM_4K ? XMIRROR_VRAM_4K :
							      XMIRROR_VRAM_64K;
	size_t piece = index == XMIRROR_VRAM_4K ? XM_PAGE : XM_64K;

	for (size_t i = 0; i < ARRAY_SIZE(shifts); i++) {
		for (size_t j = 0; j < ARRAY_SIZE(lens); j++) {
			__u64 before = faults(self->fd, index);
			__u64 all = vram_faults(self->fd);
			size_t n;
			char *q;

			self->p = vram_map(self->fd, lens[j],
					   BASE + 3 * XM_2M - 2 * XM_PAGE,
					   shifts[i]);
			ASSERT_NE(NULL, self->p);
			vram_touch(self->p, lens[j], i + j);
			n = pieces(self->p, lens[j], piece);
			EXPECT_EQ(n, faults(self->fd, index) - before);
			EXPECT_EQ(n, vram_faults(self->fd) - all);
			q = mmap(NULL, lens[j], PROT_READ, MAP_SHARED, self->fd,
				 BASE + 3 * XM_2M - 2 * XM_PAGE);
			ASSERT_NE(MAP_FAILED, q);
			EXPECT_EQ(0, vram_wrong(q, lens[j], i + j));
			munmap(q, lens[j]);
			munmap(self->p, lens[j]);
		}
	}
}

/*
 * A page is missing at both ends: entries are large where they fit, and smaller
 * elsewhere.
 */
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
		EXPECT_EQ(pieces(self->p, len, XM_64K),
			  v.faults[XMIRROR_VRAM_64K]);
		break;
	default:
		EXPECT_EQ(2 * XM_2M / XM_64K, v.faults[XMIRROR_VRAM_64K]);
		EXPECT_EQ(1, v.faults[XMIRROR_VRAM_2M]);
		EXPECT_FALSE(is_huge(self->fd, self->p));
		EXPECT_TRUE(is_huge(self->fd, self->p + XM_2M));
	}
}

/* Single pages first, then all: existing entries are not in the way. */
TEST_F(vram_granule, overlap_with_populated)
{
	static const size_t there[] = { 3, 20, 21, XM_2M / XM_PAGE - 1 };
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
	expect = self->piece == XM_PAGE ?
		 2 * XM_2M / XM_PAGE - ARRAY_SIZE(there) :
		 XM_2M / XM_64K + XM_2M / self->piece;
	EXPECT_EQ(expect, vram_faults(self->fd) - all);
	EXPECT_FALSE(is_huge(self->fd, self->p));
	EXPECT_EQ(self->piece == XM_2M, is_huge(self->fd, self->p + XM_2M));

	/*
	 * The kernel keeps the empty page table, so that even after revocation no
	 * large entry fits; a new mapping gets one.
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
	TH_LOG("64 MiB: %llu faults of a page, %llu of the largest", small,
	       large);
	/* Without huge PFN maps batches of 64 KiB are the largest. */
	EXPECT_LE(large, HUGE() ? small / (XM_2M / XM_PAGE / 2) :
				  small / (XM_64K / XM_PAGE));
}

/*
 * Linux 6.12 obeys the THP settings as for any huge page; newer kernels obey a ban
 * only. So does 6.12.117, but not 6.12.95: one case decides which of the two rules
 * holds.
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
	bool old = false;

	NEED(XMIRROR_CAP_VRAM_HUGE);
	if (xm_kver() > XM_KVER(6, 12) && xm_kver() < XM_KVER(7, 3))
		XM_SKIP(return, "neither Linux 6.12 nor 7.3, whose rules these are");
	if (xm_kver() <= XM_KVER(6, 12)) {
		ASSERT_EQ(0, xm_setting(THP_ENABLED, "never"));
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
		ASSERT_EQ(0, xm_setting(THP_ENABLED, cases[i].mode));
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
}

TEST_HARNESS_MAIN
