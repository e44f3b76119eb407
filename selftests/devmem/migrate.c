// SPDX-License-Identifier: GPL-2.0
/*
 * Device memory: migration there and back. The device and the CPU work on the same
 * bytes wherever the page is.
 */

#include <linux/mempolicy.h>
#include <sys/syscall.h>

#include "settings.h"
#include "test.h"

#define PAGES	16UL
#define LEN	(PAGES * XM_PAGE)
#define PREFETCH	"/sys/module/xmirror/parameters/prefetch"

FIXTURE(devmem) {
	int fd;
	int peer;
	char *p;
	__u64 moved;
	__u64 free_at_start;
};

FIXTURE_SETUP(devmem)
{
	self->fd = -1;
	self->peer = -1;
	NEED(XMIRROR_CAP_PRIVATE);
	OPEN(self->fd, 0);
	OPEN(self->peer, 1);
	self->p = xm_anon(LEN);
	ASSERT_NE(NULL, self->p);
	self->free_at_start = xm_devmem_free(self->fd);
	ASSERT_NE(0, self->free_at_start);
}

FIXTURE_TEARDOWN(devmem)
{
	if (self->fd < 0)
		return;
	EXPECT_CLEAN(self->fd);
	EXPECT_CLEAN(self->peer);
	munmap(self->p, LEN);
	EXPECT_EQ(self->free_at_start, xm_devmem_free(self->fd));
	close(self->fd);
	close(self->peer);
}

TEST_F(devmem, there_and_back_by_cpu)
{
	xm_fill_words((__u64 *)self->p, LEN, 1);
	ASSERT_EQ(0, xm_migrate(self->fd, self->p, LEN, 0, 0, &self->moved));
	EXPECT_EQ(PAGES, self->moved);
	for (size_t i = 0; i < PAGES; i++) {
		EXPECT_TRUE(xm_is_private(self->fd, self->p + i * XM_PAGE));
	}
	EXPECT_EQ(self->free_at_start - PAGES, xm_devmem_free(self->fd));
	EXPECT_EQ(0, xm_wrong_words((__u64 *)self->p, LEN, 1));
	EXPECT_TRUE(xm_is_present(self->p));
	EXPECT_EQ(self->free_at_start, xm_devmem_free(self->fd));
}

/*
 * The pages that come back when the CPU touches those of @at, with 64 pages on the
 * device and at most 16 (the default) at a time.
 */
static void touch(struct __test_metadata *_metadata, int fd, const int *at,
		  const __u64 *back, int nr)
{
	char *p = xm_anon_aligned(64 * XM_PAGE, 64 * XM_PAGE);
	__u64 moved, free;
	int i;

	ASSERT_NE(NULL, p);
	ASSERT_EQ(0, xm_setting(PREFETCH, "16"));
	xm_fill_words((__u64 *)p, 64 * XM_PAGE, 2);
	EXPECT_EQ(0, xm_migrate(fd, p, 64 * XM_PAGE, 0, 0, &moved));
	EXPECT_EQ(64, moved);
	for (i = 0; i < nr; i++) {
		free = xm_devmem_free(fd);
		EXPECT_EQ(2 + at[i] * XM_PAGE / 8,
			  *(volatile __u64 *)(p + at[i] * XM_PAGE));
		EXPECT_EQ(back[i], xm_devmem_free(fd) - free) {
			TH_LOG("page %d", at[i]);
		}
	}
	EXPECT_EQ(0, xm_wrong_words((__u64 *)p, 64 * XM_PAGE, 2));
	munmap(p, 64 * XM_PAGE);
}

/* Single pages: no others are brought back. */
TEST_F(devmem, cpu_picks_pages)
{
	static const int at[] = { 40, 5, 20, 60, 18, 7, 0, 63 };
	static const __u64 back[] = { 1, 1, 1, 1, 1, 1, 1, 1 };

	touch(_metadata, self->fd, at, back, ARRAY_SIZE(at));
}

/* One after the other: twice as many each time, up to the limit */
TEST_F(devmem, cpu_goes_through_pages)
{
	static const int at[] = { 0, 1, 2, 4, 8, 16, 32, 48 };
	static const __u64 back[] = { 1, 1, 2, 4, 8, 16, 16, 16 };

	touch(_metadata, self->fd, at, back, ARRAY_SIZE(at));
}

TEST_F(devmem, cpu_goes_back_through_pages)
{
	static const int at[] = { 63, 62, 61, 59, 55, 47, 31, 15 };
	static const __u64 back[] = { 1, 1, 2, 4, 8, 16, 16, 16 };

	touch(_metadata, self->fd, at, back, ARRAY_SIZE(at));
}

TEST_F(devmem, there_and_back_by_call)
{
	xm_fill_words((__u64 *)self->p, LEN, 2);
	ASSERT_EQ(0, xm_migrate(self->fd, self->p, LEN, 0, 0, &self->moved));
	ASSERT_EQ(PAGES, self->moved);
	ASSERT_EQ(0, xm_migrate(self->fd, self->p, LEN,
				XMIRROR_MIGRATE_TO_SYSTEM, 0, &self->moved));
	EXPECT_EQ(PAGES, self->moved);
	EXPECT_TRUE(xm_is_present(self->p));
	EXPECT_EQ(self->free_at_start, xm_devmem_free(self->fd));
	EXPECT_EQ(0, xm_wrong_words((__u64 *)self->p, LEN, 2));
}

TEST_F(devmem, empty_pages_are_zero)
{
	__u64 value = 1;

	ASSERT_EQ(0, xm_migrate(self->fd, self->p, LEN, 0, 0, &self->moved));
	EXPECT_EQ(PAGES, self->moved);
	EXPECT_EQ(0, xm_read(self->fd, self->p + 8, &value, sizeof(value)));
	EXPECT_EQ(0, value);
	value = 7;
	EXPECT_EQ(0, xm_write(self->fd, self->p + 8, &value, sizeof(value)));
	EXPECT_TRUE(xm_is_private(self->fd, self->p));
	EXPECT_EQ(7, *(volatile __u64 *)(self->p + 8));
	EXPECT_EQ(0, *(volatile __u64 *)self->p);
}

TEST_F(devmem, device_works_in_place)
{
	__u64 value;

	xm_fill_words((__u64 *)self->p, LEN, 3);
	ASSERT_EQ(0, xm_migrate(self->fd, self->p, LEN, 0, 0, &self->moved));
	ASSERT_EQ(PAGES, self->moved);
	ASSERT_EQ(0, xm_add(self->fd, self->p, 100));
	EXPECT_EQ(XMIRROR_PTE_VALID | XMIRROR_PTE_WRITE | XMIRROR_PTE_LOCAL,
		  xm_page(self->fd, self->p).dev &
		  ~(XMIRROR_PTE_ACCESSED | XMIRROR_PTE_DIRTY));
	EXPECT_TRUE(xm_is_private(self->fd, self->p));
	ASSERT_EQ(0, xm_read(self->fd, self->p, &value, sizeof(value)));
	EXPECT_EQ(103, value);
	EXPECT_EQ(103, *(volatile __u64 *)self->p);
	EXPECT_EQ(0, xm_page(self->fd, self->p).dev);
}

/* The other device reads: the page has to come back for that. */
/* covers: M2 */
TEST_F(devmem, peer_access_brings_it_back)
{
	__u64 value;

	xm_fill_words((__u64 *)self->p, LEN, 4);
	ASSERT_EQ(0, xm_migrate(self->fd, self->p, LEN, 0, 0, &self->moved));
	ASSERT_EQ(0, xm_read(self->peer, self->p, &value, sizeof(value)));
	EXPECT_EQ(4, value);
	EXPECT_FALSE(xm_is_private(self->fd, self->p));
	ASSERT_EQ(0, xm_add(self->peer, self->p, 1));
	EXPECT_EQ(5, *(volatile __u64 *)self->p);
}

/* covers: M2 */
TEST_F(devmem, device_to_device)
{
	__u64 value, peer_free = xm_devmem_free(self->peer);

	xm_fill_words((__u64 *)self->p, LEN, 5);
	ASSERT_EQ(0, xm_migrate(self->fd, self->p, LEN, 0, 0, &self->moved));
	ASSERT_EQ(0, xm_migrate(self->peer, self->p, LEN,
				XMIRROR_MIGRATE_FROM_PEER, 0, &self->moved));
	EXPECT_EQ(PAGES, self->moved);
	EXPECT_TRUE(xm_is_private(self->peer, self->p));
	EXPECT_FALSE(xm_is_private(self->fd, self->p));
	EXPECT_EQ(self->free_at_start, xm_devmem_free(self->fd));
	ASSERT_EQ(0, xm_read(self->peer, self->p, &value, sizeof(value)));
	EXPECT_EQ(5, value);
	EXPECT_EQ(0, xm_wrong_words((__u64 *)self->p, LEN, 5));
	EXPECT_EQ(peer_free, xm_devmem_free(self->peer));
}

/* A page comes back to the node of the policy of the mapping, or of the task. */
/* covers: J.policy */
TEST_F(devmem, comes_back_where_the_policy_says)
{
	unsigned long nodes, i, k;

	if (access("/sys/devices/system/node/node1", F_OK))
		XM_SKIP(return, "one NUMA node only");
	for (i = 0; i < 4; i++) {
		nodes = 1UL << (i & 1);
		xm_fill_words((__u64 *)self->p, LEN, i);
		ASSERT_EQ(0, xm_migrate(self->fd, self->p, LEN, 0, 0,
					&self->moved));
		ASSERT_EQ(0, i & 2 ?
			     syscall(SYS_set_mempolicy, MPOL_BIND, &nodes, 8UL) :
			     syscall(SYS_mbind, self->p, LEN, MPOL_BIND, &nodes,
				     8UL, 0));
		ASSERT_EQ(0, xm_migrate(self->fd, self->p, LEN,
					XMIRROR_MIGRATE_TO_SYSTEM, 0,
					&self->moved));
		for (k = 0; k < PAGES; k++) {
			EXPECT_EQ((int)(i & 1), xm_node_of(self->p + k * XM_PAGE)) {
				TH_LOG("case %lu, page %lu", i, k);
			}
		}
		ASSERT_EQ(0, syscall(SYS_set_mempolicy, MPOL_DEFAULT, NULL,
				     0UL));
		ASSERT_EQ(0, syscall(SYS_mbind, self->p, LEN, MPOL_DEFAULT,
				     NULL, 0UL, 0));
		EXPECT_EQ(0, xm_wrong_words((__u64 *)self->p, LEN, i));
	}
}

static size_t present(char *p, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i += XM_PAGE)
		n += !!(xm_pagemap(p + i) & (XM_PM_PRESENT | XM_PM_SWAP));
	return n;
}

/* Only migration to the device populates holes. */
/* covers: J.holes */
TEST_F(devmem, empty_stays_empty)
{
	char *p = xm_anon_aligned(2 * XM_PMD, XM_PMD);
	unsigned int i;

	ASSERT_NE(NULL, p);
	xm_no_thp(p, XM_PMD);
	madvise(p + XM_PMD, XM_PMD, MADV_HUGEPAGE);
	for (i = 0; i < 2; i++) {
		xm_fill_words((__u64 *)p, XM_PAGE, 21);
		ASSERT_EQ(0, xm_migrate(self->fd, p, XM_PAGE, 0, 0,
					&self->moved));
		ASSERT_EQ(1, self->moved);
		ASSERT_EQ(0, i ? xm_migrate(self->peer, p, 2 * XM_PMD,
					    XMIRROR_MIGRATE_FROM_PEER, 0,
					    &self->moved) :
				 xm_migrate(self->fd, p, 2 * XM_PMD,
					    XMIRROR_MIGRATE_TO_SYSTEM, 0,
					    &self->moved));
		EXPECT_EQ(1, self->moved);
		EXPECT_EQ(1, present(p, 2 * XM_PMD));
		EXPECT_EQ(0, xm_wrong_words((__u64 *)p, XM_PAGE, 21));
		ASSERT_EQ(0, madvise(p, 2 * XM_PMD, MADV_DONTNEED));
	}
	/* Neither do empty entries beside the page that the CPU touches. */
	ASSERT_EQ(0, xm_setting(PREFETCH, "16"));
	xm_fill_words((__u64 *)p, 64 * XM_PAGE, 22);
	ASSERT_EQ(0, xm_migrate(self->fd, p, 64 * XM_PAGE, 0, 0, &self->moved));
	ASSERT_EQ(64, self->moved);
	for (i = 8; i < 64; i += 2)
		ASSERT_EQ(0, madvise(p + i * XM_PAGE, XM_PAGE, MADV_DONTNEED));
	EXPECT_EQ(36, present(p, 64 * XM_PAGE));
	for (i = 1; i < 64; i += 2)
		EXPECT_EQ(22 + i * XM_PAGE / 8,
			  *(volatile __u64 *)(p + i * XM_PAGE));
	EXPECT_EQ(36, present(p, 64 * XM_PAGE));
	munmap(p, 2 * XM_PMD);
}

/* The first page has to be faulted in; the others are private already. */
/* covers: J.asked */
TEST_F(devmem, fault_beside_own_pages)
{
	char buf[2 * XM_PAGE];

	xm_fill_words((__u64 *)self->p, LEN, 23);
	ASSERT_EQ(0, xm_migrate(self->fd, self->p, LEN, 0, 0, &self->moved));
	ASSERT_EQ(PAGES, self->moved);
	ASSERT_EQ(0, madvise(self->p, XM_PAGE, MADV_DONTNEED));
	ASSERT_EQ(0, xm_read(self->fd, self->p, buf, sizeof(buf)));
	EXPECT_EQ(0, *(__u64 *)buf);
	EXPECT_EQ(23 + XM_PAGE / 8, *(__u64 *)(buf + XM_PAGE));
	ASSERT_EQ(0, xm_fault(self->fd, self->p, LEN, XMIRROR_FAULT_WRITE,
			      NULL));
	for (size_t i = 1; i < PAGES; i++)
		EXPECT_TRUE(xm_is_private(self->fd, self->p + i * XM_PAGE));
	EXPECT_EQ(0, xm_wrong_words((__u64 *)(self->p + XM_PAGE), LEN - XM_PAGE,
				    23 + XM_PAGE / 8));
}

/* The pages get another owner between the look at the pool and the eviction. */
/* covers: J.close */
TEST_F(devmem, close_evicts_its_own)
{
	char *other = xm_anon(LEN);
	__u64 entry[PAGES];
	struct worker w = { .fn = work_close };
	__u32 id;

	NEED(XMIRROR_CAP_SYNC);
	ASSERT_NE(NULL, other);
	xm_fill_words((__u64 *)other, LEN, 24);
	xm_fill_words((__u64 *)self->p, LEN, 25);
	OPEN(w.fd, 0);
	ASSERT_EQ(0, xm_migrate(w.fd, other, LEN, 0, 0, &self->moved));
	ASSERT_EQ(PAGES, self->moved);
	for (size_t i = 0; i < PAGES; i++)
		entry[i] = xm_pagemap(other + i * XM_PAGE);
	ASSERT_EQ(0, xm_sync_arm(self->fd, XMIRROR_PT_EVICT_BEGIN, NULL, 0,
				 &id));
	ASSERT_EQ(0, worker_start(&w));
	ASSERT_EQ(0, xm_sync_reached(self->fd, id, XM_LONG));
	EXPECT_EQ(0, xm_wrong_words((__u64 *)other, LEN, 24));
	ASSERT_EQ(0, xm_migrate(self->fd, self->p, LEN, 0, 0, &self->moved));
	ASSERT_EQ(PAGES, self->moved);
	/* The same pages of the device */
	for (size_t i = 0; i < PAGES; i++)
		ASSERT_EQ(entry[i], xm_pagemap(self->p + i * XM_PAGE));
	ASSERT_EQ(0, xm_sync_resume(self->fd, id, NULL));
	ASSERT_EQ(0, worker_join(&w));
	for (size_t i = 0; i < PAGES; i++)
		EXPECT_TRUE(xm_is_private(self->fd, self->p + i * XM_PAGE));
	EXPECT_EQ(0, xm_wrong_words((__u64 *)self->p, LEN, 25));
	munmap(other, LEN);
}

/* The device finds its own pages again after its leaves were cleared. */
TEST_F(devmem, access_after_mprotect)
{
	__u64 value = 1;

	xm_fill_words((__u64 *)self->p, LEN, 6);
	ASSERT_EQ(0, xm_migrate(self->fd, self->p, LEN, 0, 0, &self->moved));
	ASSERT_EQ(0, xm_read(self->fd, self->p, &value, sizeof(value)));
	ASSERT_EQ(0, mprotect(self->p, LEN, PROT_READ));
	ASSERT_EQ(0, xm_read(self->fd, self->p, &value, sizeof(value)));
	EXPECT_EQ(6, value);
	EXPECT_TRUE(xm_is_private(self->fd, self->p));
	EXPECT_EQ(-EPERM, xm_write(self->fd, self->p, &value, sizeof(value)));
	EXPECT_EQ(-EPERM, xm_add(self->fd, self->p, 1));
	ASSERT_EQ(0, mprotect(self->p, LEN, PROT_READ | PROT_WRITE));
	ASSERT_EQ(0, xm_add(self->fd, self->p, 1));
	EXPECT_EQ(7, *(volatile __u64 *)self->p);
}

TEST_F(devmem, access_after_mremap)
{
	__u64 value;
	char *to;

	xm_fill_words((__u64 *)self->p, LEN, 7);
	ASSERT_EQ(0, xm_migrate(self->fd, self->p, LEN, 0, 0, &self->moved));
	ASSERT_EQ(0, xm_read(self->fd, self->p, &value, sizeof(value)));
	to = xm_hole(LEN);
	to = mremap(self->p, LEN, LEN, MREMAP_MAYMOVE | MREMAP_FIXED, to);
	ASSERT_NE(MAP_FAILED, to);
	ASSERT_EQ(0, xm_read(self->fd, to, &value, sizeof(value)));
	EXPECT_EQ(7, value);
	EXPECT_EQ(-EFAULT, xm_read(self->fd, self->p, &value, sizeof(value)));
	EXPECT_TRUE(xm_is_private(self->fd, to));
	ASSERT_EQ(0, xm_add(self->fd, to, 1));
	EXPECT_EQ(8, *(volatile __u64 *)to);
	self->p = to;
}

TEST_F(devmem, fork_shares_and_writes_split)
{
	__u64 value;
	pid_t pid;
	int status;

	xm_fill_words((__u64 *)self->p, LEN, 8);
	ASSERT_EQ(0, xm_migrate(self->fd, self->p, LEN, 0, 0, &self->moved));
	pid = fork();
	ASSERT_GE(pid, 0);
	if (!pid) {
		int fd = xm_open(0), bad = fd < 0;

		bad |= xm_read(fd, self->p, &value, sizeof(value)) ||
		       value != 8;
		value = 1000;
		bad |= !!xm_write(fd, self->p, &value, sizeof(value));
		bad |= *(volatile __u64 *)self->p != 1000;
		bad |= !!xm_wrong_words((__u64 *)(self->p + XM_PAGE), LEN - XM_PAGE,
			       8 + XM_PAGE / 8);
		_exit(bad);
	}
	/* The parent reads the shared pages, then writes, which breaks COW. */
	ASSERT_EQ(0, xm_read(self->fd, self->p, &value, sizeof(value)));
	EXPECT_EQ(8, value);
	value = 2000;
	ASSERT_EQ(0, xm_write(self->fd, self->p, &value, sizeof(value)));
	ASSERT_EQ(0, xm_add(self->fd, self->p, 1));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_EQ(2001, *(volatile __u64 *)self->p);
	EXPECT_EQ(0, xm_wrong_words((__u64 *)(self->p + XM_PAGE), LEN - XM_PAGE,
				    8 + XM_PAGE / 8));
}

/* MADV_FREE may drop the data of before, but not later writes of the device. */
TEST_F(devmem, write_survives_lazyfree)
{
	__u64 value = 42;

	xm_fill_words((__u64 *)self->p, LEN, 9);
	ASSERT_EQ(0, madvise(self->p, LEN, MADV_FREE));
	/* The CPU's batch of lazily freed folios holds references. */
	ASSERT_EQ(0, xm_drain());
	ASSERT_EQ(0, xm_migrate(self->fd, self->p, LEN, 0, 0, &self->moved));
	ASSERT_EQ(0, xm_write(self->fd, self->p, &value, sizeof(value)));
	ASSERT_EQ(0, xm_migrate(self->fd, self->p, LEN,
				XMIRROR_MIGRATE_TO_SYSTEM, 0, &self->moved));
	if (xm_meminfo_kb("SwapTotal") <= 0)
		XM_SKIP(return, "no swap");
	ASSERT_EQ(0, xm_pageout(self->p, LEN));
	EXPECT_EQ(42, *(volatile __u64 *)self->p);
}

/* covers: T11 */
TEST_F(devmem, unplug_and_replug)
{
	struct xmirror_unplug u = { .size = sizeof(u), .timeout_ms = XM_LONG };

	xm_fill_words((__u64 *)self->p, LEN, 10);
	ASSERT_EQ(0, xm_migrate(self->fd, self->p, LEN, 0, 0, &self->moved));
	ASSERT_EQ(0, xm_ioctl(self->fd, XMIRROR_IOC_UNPLUG, &u));
	EXPECT_EQ(0, u.left);
	EXPECT_TRUE(xm_is_present(self->p));
	EXPECT_EQ(0, xm_wrong_words((__u64 *)self->p, LEN, 10));
	ASSERT_EQ(0, xm_migrate(self->fd, self->p, LEN, 0, 0, &self->moved));
	EXPECT_EQ(0, self->moved);
	u.flags = XMIRROR_UNPLUG_REPLUG;
	ASSERT_EQ(0, xm_ioctl(self->fd, XMIRROR_IOC_UNPLUG, &u));
	ASSERT_EQ(0, xm_migrate(self->fd, self->p, LEN, 0, 0, &self->moved));
	EXPECT_EQ(PAGES, self->moved);
	EXPECT_EQ(0, xm_wrong_words((__u64 *)self->p, LEN, 10));
}

/* Close brings back the pages of this file, and no others. */
TEST_F(devmem, close_leaves_others_alone)
{
	char *other = xm_anon(LEN);
	int fd2;

	OPEN(fd2, 0);
	ASSERT_NE(NULL, other);
	xm_fill_words((__u64 *)self->p, LEN, 11);
	xm_fill_words((__u64 *)other, LEN, 12);
	ASSERT_EQ(0, xm_migrate(self->fd, self->p, LEN, 0, 0, &self->moved));
	ASSERT_EQ(0, xm_migrate(fd2, other, LEN, 0, 0, &self->moved));
	ASSERT_EQ(PAGES, self->moved);
	close(fd2);
	EXPECT_TRUE(xm_is_present(other));
	EXPECT_TRUE(xm_is_private(self->fd, self->p));
	EXPECT_EQ(0, xm_wrong_words((__u64 *)other, LEN, 12));
	EXPECT_EQ(0, xm_wrong_words((__u64 *)self->p, LEN, 11));
	munmap(other, LEN);
}

/* covers: G.private */
TEST_F(devmem, huge_page)
{
	char *p = xm_anon_aligned(XM_PMD, XM_PMD);
	__u64 value;

	NEED_THP();
	ASSERT_NE(NULL, p);
	ASSERT_EQ(0, madvise(p, XM_PMD, MADV_HUGEPAGE));
	xm_fill_words((__u64 *)p, XM_PMD, 13);
	ASSERT_EQ(0, xm_migrate(self->fd, p, XM_PMD, 0, 0, &self->moved));
	EXPECT_EQ(XM_PMD / XM_PAGE, self->moved);
	ASSERT_EQ(0, xm_add(self->fd, p + XM_PMD / 2, 1));
	ASSERT_EQ(0, xm_read(self->fd, p + XM_PMD - 8, &value, 8));
	EXPECT_EQ(13 + XM_PMD / 8 - 1, value);
	*(volatile __u64 *)(p + XM_PMD / 2) -= 1;
	EXPECT_EQ(0, xm_wrong_words((__u64 *)p, XM_PMD, 13));
	/* Once more, and half of it is unmapped while it is private. */
	ASSERT_EQ(0, xm_migrate(self->fd, p, XM_PMD, 0, 0, &self->moved));
	EXPECT_EQ(XM_PMD / XM_PAGE, self->moved);
	ASSERT_EQ(0, munmap(p, XM_PMD / 2));
	ASSERT_EQ(0, xm_read(self->fd, p + XM_PMD - 8, &value, 8));
	EXPECT_EQ(13 + XM_PMD / 8 - 1, value);
	EXPECT_EQ(0, xm_wrong_words((__u64 *)(p + XM_PMD / 2), XM_PMD / 2,
				    13 + XM_PMD / 16));
	munmap(p + XM_PMD / 2, XM_PMD / 2);
}

TEST_HARNESS_MAIN
