// SPDX-License-Identifier: GPL-2.0
/*
 * UFFDIO_MOVE of 2 MiB at once, which moves an entry and no page: the huge zero page
 * that the device has read, a huge page that it has written to, and a huge page in
 * its memory. The device follows, or the call fails as it does for small pages.
 *
 * covers: R6
 */
#include <poll.h>
#include <time.h>

#include "test.h"
#include "uffd.h"

#define PAGES	(XM_PMD / XM_PAGE)
#define WORDS	(XM_PAGE / 8)

FIXTURE(move) {
	int fd;
	int uffd;
	__u64 *from;
	__u64 *to;
	struct xm_uffd_move m;
};

FIXTURE_SETUP(move)
{
	self->uffd = -1;
	OPEN(self->fd, 0);
	self->uffd = xm_uffd(XM_UFFD_MOVE);
	if (self->uffd < 0)
		XM_SKIP(return, "UFFDIO_MOVE: Linux 6.8");
	self->from = xm_anon_aligned(XM_PMD, XM_PMD);
	self->to = xm_anon_aligned(XM_PMD, XM_PMD);
	ASSERT_NE(NULL, self->from);
	ASSERT_NE(NULL, self->to);
	if (madvise(self->from, XM_PMD, MADV_HUGEPAGE) ||
	    madvise(self->to, XM_PMD, MADV_HUGEPAGE))
		XM_SKIP(return, "%s", xm_why_no_thp());
	ASSERT_EQ(0, xm_uffd_register(self->uffd, self->to, XM_PMD,
				      UFFDIO_REGISTER_MODE_MISSING));
	self->m = (struct xm_uffd_move){
		.dst = (uintptr_t)self->to,
		.src = (uintptr_t)self->from,
		.len = XM_PMD,
	};
}

FIXTURE_TEARDOWN(move)
{
	EXPECT_CLEAN(self->fd);
	if (self->uffd >= 0)
		close(self->uffd);
	if (self->from)
		munmap(self->from, XM_PMD);
	if (self->to)
		munmap(self->to, XM_PMD);
	close(self->fd);
}

/* Retry as long as the kernel returns EAGAIN. */
static int move(int uffd, struct xm_uffd_move *m)
{
	__u64 start = xm_now_ns();

	while (ioctl(uffd, XM_UFFDIO_MOVE, m)) {
		if (errno != EAGAIN || xm_expired(start, XM_LONG))
			return -errno;
		if (m->move > 0) {
			m->dst += m->move;
			m->src += m->move;
			m->len -= m->move;
		}
		m->move = 0;
		sched_yield();
	}
	return 0;
}

/* As the device has it, in the first, the last and a middle page */
static size_t device_wrong(int fd, const __u64 *p, bool zero)
{
	static const size_t at[] = { 0, PAGES / 2 + 1, PAGES - 1 };
	size_t i, n = 0;
	__u64 word;

	for (i = 0; i < ARRAY_SIZE(at); i++)
		n += xm_read(fd, p + at[i] * WORDS, &word, 8) ||
		     word != (zero ? 0 : xm_page_value(at[i]));
	return n;
}

static bool is_zero(const __u64 *p)
{
	size_t i;

	for (i = 0; i < PAGES; i++)
		if (XM_LOAD(p + i * WORDS))
			return false;
	return true;
}

TEST_F(move, huge_zero_page)
{
	__u64 *other = xm_anon_aligned(XM_PMD, XM_PMD);
	struct xmirror_page zero, page;
	long rss = xm_vmrss_kb();

	ASSERT_NE(NULL, other);
	ASSERT_EQ(0, madvise(other, XM_PMD, MADV_HUGEPAGE));
	EXPECT_EQ(0, device_wrong(self->fd, self->from, true));
	EXPECT_EQ(0, device_wrong(self->fd, other, true));
	zero = xm_page(self->fd, other);
	page = xm_page(self->fd, self->from);
	if (!(zero.cpu & page.cpu & XMIRROR_CPU_HUGE) ||
	    zero.cpu_pfn != page.cpu_pfn)
		XM_SKIP(return, "no huge zero page");
	ASSERT_EQ(0, move(self->uffd, &self->m));
	/* The source is empty, and the destination is still the zero page. */
	page = xm_page(self->fd, self->from);
	EXPECT_EQ(0, page.dev & XMIRROR_PTE_VALID);
	EXPECT_EQ(0, page.cpu & (XMIRROR_CPU_PRESENT | XMIRROR_CPU_HUGE));
	page = xm_page(self->fd, self->to);
	EXPECT_EQ(zero.cpu_pfn, page.cpu_pfn);
	EXPECT_EQ(XMIRROR_CPU_HUGE,
		  page.cpu & (XMIRROR_CPU_HUGE | XMIRROR_CPU_WRITE));
	EXPECT_CLEAN(self->fd);
	EXPECT_EQ(0, device_wrong(self->fd, self->to, true));
	EXPECT_TRUE(is_zero(self->to));
	/* A write gets a page of its own: other mappings still read zeroes. */
	ASSERT_EQ(0, xm_op(self->fd, XMIRROR_OP_STORE, 8, self->to, 7, NULL));
	EXPECT_EQ(7, XM_LOAD(self->to));
	EXPECT_EQ(0, device_wrong(self->fd, other, true));
	EXPECT_TRUE(is_zero(other));
	EXPECT_EQ(0, device_wrong(self->fd, self->from, true));
	EXPECT_TRUE(is_zero(self->from));
	ASSERT_EQ(0, madvise(self->to, XM_PMD, MADV_DONTNEED));
	/* Zero pages do not count for the process, before and after. */
	EXPECT_LE(xm_vmrss_kb() - rss, 1024);
	munmap(other, XM_PMD);
}

/* The device has written to it, by one leaf or by pages of which some are exclusive. */
TEST_F(move, huge_page)
{
	int i;

	for (i = 0; i < 2; i++) {
		xm_fill_pages(self->from, PAGES);
		if (!(xm_page(self->fd, self->from).cpu & XMIRROR_CPU_HUGE))
			XM_SKIP(return, "no huge page was to be had");
		ASSERT_EQ(0, xm_fault(self->fd, self->from, XM_PMD,
				      XMIRROR_FAULT_WRITE, NULL));
		if (i && !(~xm_caps() & (XMIRROR_CAP_EXCLUSIVE |
					 XMIRROR_CAP_EXCLUSIVE_LARGE))) {
			ASSERT_EQ(0, xm_exclusive(self->fd,
						  self->from + 8 * WORDS,
						  2 * XM_PAGE, NULL));
		}
		self->m.dst = (uintptr_t)self->to;
		self->m.src = (uintptr_t)self->from;
		self->m.len = XM_PMD;
		self->m.move = 0;
		if (!i) {
			ASSERT_EQ(0, move(self->uffd, &self->m));
			EXPECT_EQ(0, device_wrong(self->fd, self->to, false));
			EXPECT_EQ(0, xm_wrong_pages(self->to, PAGES));
			EXPECT_EQ(LEAF_NONE, xm_page(self->fd, self->from).dev &
				  LEAF_EXCL);
		} else {
			/* Exclusive pages may be refused; none is lost. */
			int err = move(self->uffd, &self->m);
			size_t k, n = 0, done = err ? self->m.src -
				(uintptr_t)self->from : XM_PMD;

			EXPECT_TRUE(!err || err == -EFAULT || err == -EBUSY) {
				TH_LOG("%s", strerror(-err));
			}
			if (err && self->m.move > 0)
				done += self->m.move;
			for (k = 0; k < PAGES; k++)
				n += XM_LOAD((k * XM_PAGE < done ? self->to :
								   self->from) +
					     k * WORDS) != xm_page_value(k);
			EXPECT_EQ(0, n);
		}
		EXPECT_CLEAN(self->fd);
		ASSERT_EQ(0, madvise(self->to, XM_PMD, MADV_DONTNEED));
	}
}

/* A private huge page. ENOENT, the answer for a hole, is wrong. */
TEST_F(move, huge_page_in_the_device)
{
	__u64 moved;
	int err;

	NEED(XMIRROR_CAP_PRIVATE | XMIRROR_CAP_PRIVATE_LARGE);
	xm_fill_pages(self->from, PAGES);
	ASSERT_EQ(0, xm_migrate(self->fd, self->from, XM_PMD, 0, 0, &moved));
	ASSERT_EQ(PAGES, moved);
	if (!(xm_page(self->fd, self->from).cpu & XMIRROR_CPU_HUGE))
		XM_SKIP(return, "not in one piece");
	err = move(self->uffd, &self->m);
	EXPECT_TRUE(!err || err == -EFAULT || err == -EBUSY || err == -ENOENT) {
		TH_LOG("%s", strerror(-err));
	}
	/* All kernels with huge private pages have the bug. */
	XM_XFAIL_IF(true, err != -ENOENT, "finding 29: ENOENT for a private page");
	EXPECT_EQ(0, device_wrong(self->fd, err ? self->from : self->to, false));
	EXPECT_EQ(0, xm_wrong_pages(err ? self->from : self->to, PAGES));
	EXPECT_CLEAN(self->fd);
}

/* One page of it, which splits the entry and perhaps the folio */
TEST_F(move, part_of_a_huge_page_in_the_device)
{
	__u64 moved, free;
	int err;

	NEED(XMIRROR_CAP_PRIVATE | XMIRROR_CAP_PRIVATE_LARGE);
	xm_fill_pages(self->from, PAGES);
	free = xm_devmem_free(self->fd);
	ASSERT_EQ(0, xm_migrate(self->fd, self->from, XM_PMD, 0, 0, &moved));
	ASSERT_EQ(PAGES, moved);
	self->m.src += 5 * XM_PAGE;
	self->m.dst += 5 * XM_PAGE;
	self->m.len = XM_PAGE;
	err = move(self->uffd, &self->m);
	EXPECT_TRUE(!err || err == -EFAULT || err == -EBUSY) {
		TH_LOG("%s", strerror(-err));
	}
	EXPECT_EQ(free - PAGES + !err, xm_devmem_free(self->fd));
	EXPECT_EQ(0, device_wrong(self->fd, self->from, false));
	EXPECT_EQ(xm_page_value(5), XM_LOAD((err ? self->from : self->to) + 5 * WORDS));
	EXPECT_LE(xm_wrong_pages(self->from, PAGES), err ? 0 : 1);
	EXPECT_CLEAN(self->fd);
	munmap(self->from, XM_PMD);
	EXPECT_EQ(free, xm_devmem_free(self->fd));
	self->from = NULL;
}

/* Where a huge private page is something is, and nothing moves there. */
static int moves_over_it(struct child *c, void *arg)
{
	__u64 *from = xm_anon(XM_PAGE), *to, moved = 0;
	int fd = xm_open(0), uffd = xm_uffd(XM_UFFD_MOVE), err;

	(void)arg;
	CHILD_CHECK(fd >= 0 && uffd >= 0 && from);
	*from = 7;
	to = (__u64 *)xm_thp(fd, 0x22);
	CHILD_CHECK(!child_tell(c, to ? 't' : 's'));
	if (!to)
		return 0;
	CHILD_CHECK(!xm_uffd_register(uffd, to, XM_PMD,
				      UFFDIO_REGISTER_MODE_MISSING));
	CHILD_CHECK(!xm_migrate(fd, to, XM_PMD, 0, 0, &moved));
	CHILD_CHECK(xm_page(fd, to).cpu & XMIRROR_CPU_PRIVATE);
	if (XM_HUGE_IS_RARE && !(xm_page(fd, to).cpu & XMIRROR_CPU_HUGE))
		return child_tell(c, 'p');
	CHILD_CHECK(xm_page(fd, to).cpu & XMIRROR_CPU_HUGE);
	CHILD_CHECK(!child_tell(c, 'm'));
	err = xm_uffd_move(uffd, to + 5 * WORDS, from, XM_PAGE);
	CHILD_CHECK(!child_tell(c, 'e'));
	CHILD_CHECK(err == -EEXIST);
	CHILD_CHECK(XM_LOAD(to + 5 * WORDS) == 0x2222222222222222ULL);
	CHILD_CHECK(XM_LOAD(from) == 7);
	return 0;
}

static __u64 cpu_ns(clockid_t clock)
{
	struct timespec t = {};

	clock_gettime(clock, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

/* Does it work for a second of CPU time on what takes microseconds? Else it says so. */
static bool spins(const struct child *c)
{
	struct pollfd done = { .fd = c->sock, .events = POLLIN };
	__u64 start = xm_now_ns(), cpu;
	bool busy = false;
	clockid_t clock;

	if (clock_getcpuclockid(c->pid, &clock))
		return false;
	cpu = cpu_ns(clock);
	while (!busy && !poll(&done, 1, 10) && !xm_expired(start, XM_LONG))
		busy = cpu_ns(clock) - cpu > 1000000000;
	return busy;
}

TEST_F(move, onto_a_huge_page_in_the_device)
{
	struct child c;
	bool busy;
	int what;

	NEED(XMIRROR_CAP_PRIVATE | XMIRROR_CAP_PRIVATE_LARGE);
	ASSERT_EQ(0, child_start(&c, moves_over_it, NULL));
	if (child_hear(&c) == 's')
		XM_SKIP(child_end(&c); return, "%s", xm_why_no_thp());
	what = child_hear(&c);
	if (what == 'p')
		XM_SKIP(child_end(&c); return, "not in one piece");
	EXPECT_EQ('m', what);
	busy = spins(&c);
	if (busy)
		kill(c.pid, SIGKILL);
	EXPECT_EQ(busy ? 128 + SIGKILL : 0, child_end(&c));
	/* All kernels with huge private pages have the bug. */
	XM_XFAIL_IF(true, !busy, "finding 37: UFFDIO_MOVE spins until it is killed");
}

TEST_HARNESS_MAIN
