// SPDX-License-Identifier: GPL-2.0
/*
 * Properties that drivers of devices with memory, or the core below them, once
 * had not: continues bugs.c, and follows its rules. The id in a comment is the
 * bug's in the project's list.
 */
#include <fcntl.h>
#include <linux/mempolicy.h>
#include <poll.h>
#include <sys/uio.h>

#include "memory.h"
#include "test.h"

#define WORDS	512UL
#define ROUNDS	50

FIXTURE(device) {
	int fd;
	int fd1;
	__u64 *p;
	__u32 id;
};

FIXTURE_SETUP(device)
{
	self->fd = -1;
	self->fd1 = -1;
	NEED(XMIRROR_CAP_PRIVATE);
	OPEN(self->fd, 0);
	OPEN(self->fd1, 1);
	self->p = xm_anon(XM_PAGE);
	ASSERT_NE(NULL, self->p);
	memset(self->p, 0x11, XM_PAGE);
}

FIXTURE_TEARDOWN(device)
{
	if (self->fd < 0)
		return;
	EXPECT_CLEAN(self->fd);
	EXPECT_CLEAN(self->fd1);
	close(self->fd);
	close(self->fd1);
}

/* D4: bringing a page back */

#define INJECT	"/sys/kernel/debug/"

/* Let allocations fail by number, /proc/thread-self/fail-nth; a file or -1 */
static int injector(void)
{
	static const char *const off[] = {
		"failslab/task-filter", "failslab/ignore-gfp-wait",
		"fail_page_alloc/task-filter",
		"fail_page_alloc/ignore-gfp-wait",
		"fail_page_alloc/ignore-gfp-highmem", NULL
	};
	char path[128];
	size_t i;

	for (i = 0; off[i]; i++) {
		snprintf(path, sizeof(path), INJECT "%s", off[i]);
		if (xm_write_file(path, "N"))
			return -1;
	}
	xm_write_file(INJECT "failslab/verbose", "0");
	xm_write_file(INJECT "fail_page_alloc/verbose", "0");
	xm_write_file(INJECT "fail_page_alloc/min-order", "0");
	return open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
}

#define FREED	(64 * XM_PAGE)

/*
 * D4: where the page cannot be brought back, whoever asked gets an error or the
 * data, and never what was in the page that it should have come to.
 */
TEST_F(device, failed_return_shows_nothing_stale)
{
	unsigned int n, refused = 0, absorbed = 0;
	struct iovec to, from = { self->p, 8 };
	__u64 v, want = 0, moved;
	int nth = injector();
	char text[16], *freed;
	bool hit = true;
	ssize_t got;

	if (nth < 0)
		SKIP(return, "no CONFIG_FAULT_INJECTION, FAILSLAB, FAIL_PAGE_ALLOC");
	to = (struct iovec){ &v, 8 };
	for (n = 1; hit && n < 200; n++) {
		want = 0xd4d4000000000000ULL + n;
		*self->p = want;
		ASSERT_EQ(0, xm_migrate(self->fd, self->p, XM_PAGE, 0, 0,
					&moved));
		ASSERT_EQ(1, moved);
		/* The page that it was in has the data; it must not be next. */
		freed = xm_anon(FREED);
		ASSERT_NE(NULL, freed);
		memset(freed, 0x77, FREED);
		v = 0xaaaa;
		snprintf(text, sizeof(text), "%u", n);
		ASSERT_LT(0, pwrite(nth, text, strlen(text), 0));
		got = process_vm_readv(getpid(), &to, 1, &from, 1, 0);
		memset(text, 0, sizeof(text));
		ASSERT_LT(0, pread(nth, text, sizeof(text) - 1, 0));
		ASSERT_EQ(1, pwrite(nth, "0", 1, 0));
		hit = !atoi(text);
		EXPECT_EQ(got == 8 ? want : 0xaaaa, v)
			TH_LOG("allocation %u: %zd bytes", n, got);
		refused += hit && got != 8;
		absorbed += hit && got == 8;
		EXPECT_TRUE(got == 8 || got == -1);
		EXPECT_EQ(want, XM_LOAD(self->p));
		EXPECT_EQ(0x1111111111111111ULL, XM_LOAD(self->p + 1));
		munmap(freed, FREED);
	}
	close(nth);
	EXPECT_FALSE(hit);
	EXPECT_LT(0, refused);
	TH_LOG("%u refused, %u absorbed", refused, absorbed);
}

/* D5: what the device maps for a folio of its own is the folio, no less or more */
TEST_F(device, private_folio_is_mapped_by_its_size)
{
	const bool large = xm_caps() & XMIRROR_CAP_PRIVATE_LARGE;
	char *all = xm_anon_aligned(3 * XM_2M, XM_2M), *p;
	struct xmirror_page page;
	struct xmirror_stats s;
	size_t i, wrong = 0;
	__u64 moved, v, head;
	int fd;

	ASSERT_NE(NULL, all);
	p = all + XM_2M;
	if (madvise(p, XM_2M, MADV_HUGEPAGE))
		SKIP(return, "no CONFIG_TRANSPARENT_HUGEPAGE");
	for (i = 0; i < XM_2M; i += XM_PAGE)
		*(__u64 *)(p + i) = i;
	p[-1] = 1;
	p[XM_2M] = 1;
	ASSERT_EQ(0, xm_migrate(self->fd, p, XM_2M, 0, 0, &moved));
	ASSERT_EQ(XM_2M / XM_PAGE, moved);

	/* A part of it, by small leaves */
	ASSERT_EQ(0, xm_set(self->fd, XMIRROR_SET_GRANULE, XM_PAGE, NULL));
	ASSERT_EQ(0, xm_fault(self->fd, p + (512UL << 10), 64UL << 10,
			      XMIRROR_FAULT_WRITE, NULL));
	for (i = 0; i < XM_2M; i += XM_PAGE) {
		page = xm_page(self->fd, p + i);
		wrong += (i >= 512UL << 10 && i < 576UL << 10) !=
			 !!(page.dev & XMIRROR_PTE_VALID);
	}
	EXPECT_EQ(0, wrong);
	ASSERT_EQ(0, xm_read(self->fd, p + (512UL << 10), &v, 8));
	EXPECT_EQ(512UL << 10, v);
	/* All of it, as large as can be, by a mirror that has none yet */
	OPEN(fd, 0);
	ASSERT_EQ(0, xm_set(fd, XMIRROR_SET_GRANULE, ~0ULL, NULL));
	ASSERT_EQ(0, xm_fault(fd, p, XM_2M, XMIRROR_FAULT_WRITE, NULL));
	ASSERT_EQ(0, xm_stats(fd, &s));
	EXPECT_EQ(XM_2M / XM_PAGE, s.fault_pages);
	EXPECT_EQ(large ? 1 : XM_2M / XM_PAGE, s.leaves);
	EXPECT_EQ(0, xm_page(fd, p - XM_PAGE).dev);
	EXPECT_EQ(0, xm_page(fd, p + XM_2M).dev);
	head = xm_page(fd, p).dev_pfn;
	for (i = 0; i < XM_2M; i += XM_PAGE) {
		page = xm_page(fd, p + i);
		wrong += !(page.dev & XMIRROR_PTE_LOCAL);
		if (large)
			wrong += page.dev_pfn != head + i / XM_PAGE;
		wrong += xm_read(fd, p + i, &v, 8) || v != i;
	}
	EXPECT_EQ(0, wrong);
	EXPECT_CLEAN(fd);
	close(fd);
	/* Brought back by the device's own neighbours, nothing was written. */
	EXPECT_EQ(1, p[-1]);
	EXPECT_EQ(1, p[XM_2M]);
	for (i = 0; i < XM_2M; i += XM_PAGE)
		wrong += XM_LOAD((__u64 *)(p + i)) != i;
	EXPECT_EQ(0, wrong);
	munmap(all, 3 * XM_2M);
}

/* D11: a call that never gets its turn fails; it does not say that all is well. */

#define MOST	500

/*
 * Run @w, and take its page away whenever it has reached @point. The worker's
 * result, or -ELOOP if it would go on for ever.
 */
static int disturb_for_ever(struct worker *w, enum xmirror_point point,
			    unsigned int *rounds)
{
	__u32 id, next;
	int err;

	*rounds = 0;
	err = xm_sync_arm(w->fd, point, w->addr, XM_PAGE, &id);
	if (!err)
		err = worker_start(w);
	while (!err) {
		do {
			err = xm_sync_reached(w->fd, id, 10);
		} while (err == -ETIMEDOUT && !worker_ended(w));
		if (err)
			break;
		if (madvise(w->addr, XM_PAGE, MADV_DONTNEED))
			err = -errno;
		next = 0;
		if (++*rounds < MOST && !err)
			err = xm_sync_arm(w->fd, point, w->addr, XM_PAGE,
					  &next);
		xm_sync_resume(w->fd, id, NULL);
		id = next;
		if (*rounds == MOST) {
			worker_join(w);
			return -ELOOP;
		}
	}
	if (id)
		xm_sync_resume(w->fd, id, NULL);
	if (err != -ETIMEDOUT)
		return err;
	return worker_join(w);
}

TEST_F(device, endless_disturbance_is_an_error)
{
	static const struct {
		int (*fn)(struct worker *w);
		enum xmirror_point point;
	} calls[] = {
		{ work_fault_read, XMIRROR_PT_FAULT_WALKED },
		{ work_fault_write, XMIRROR_PT_FAULT_WALKED },
		{ work_exclusive, XMIRROR_PT_EXCL_MADE },
	};
	struct worker w = { .fd = self->fd, .addr = self->p, .len = XM_PAGE };
	unsigned int i, rounds;

	NEED(XMIRROR_CAP_SYNC);
	NEED(XMIRROR_CAP_EXCLUSIVE);
	/* Linux before 6.4 takes mmap_lock for the test's own faults. */
	ASSERT_EQ(0, xm_fault(self->fd, self->p, XM_PAGE, 0, NULL));
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, madvise(self->p, XM_PAGE, MADV_DONTNEED));
		ASSERT_EQ(0, xm_set(self->fd, XMIRROR_SET_TIMEOUT, 1, NULL));
		w.fn = calls[i].fn;
		w.done = 77;
		EXPECT_EQ(-EBUSY, disturb_for_ever(&w, calls[i].point,
						   &rounds))
			TH_LOG("call %u, %u rounds", i, rounds);
		EXPECT_EQ(0, w.done);
		EXPECT_LT(0, rounds);
		EXPECT_LEAF(self->fd, self->p, LEAF_NONE);
		ASSERT_EQ(0, xm_set(self->fd, XMIRROR_SET_TIMEOUT, 10000,
				    NULL));
		EXPECT_EQ(0, calls[i].fn(&w));
	}
}

/* M3: notifiers come and go while the range that they are for does, too. */

static int mirror_for_a_while(struct worker *w)
{
	int fd, err = 0;

	while (!XM_LOAD(&w->stop) && !err) {
		fd = xm_open(w->arg);
		if (fd < 0)
			return fd;
		err = xm_fault(fd, w->addr, w->len, 0, NULL);
		/* It may not be there at the moment. */
		if (err == -EFAULT)
			err = 0;
		close(fd);
		XM_ADD(&w->done, 1);
	}
	return err;
}

TEST_F(device, mirrors_come_and_go_beside_munmap)
{
	const size_t len = 64 * XM_PAGE;
	struct worker w[2];
	char *p = xm_anon(len);
	int i;

	ASSERT_NE(NULL, p);
	for (i = 0; i < 2; i++) {
		w[i] = (struct worker){
			.fn = mirror_for_a_while,
			.addr = p,
			.len = len,
			.arg = i,
		};
		ASSERT_EQ(0, worker_start(&w[i]));
	}
	while ((XM_LOAD(&w[0].done) < ROUNDS || XM_LOAD(&w[1].done) < ROUNDS) &&
	       !worker_ended(&w[0]) && !worker_ended(&w[1])) {
		ASSERT_EQ(p, mmap(p, len, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
				  0));
		memset(p, 0x44, len);
		/* A hole would be filled by the threads' own memory. */
		ASSERT_EQ(p, mmap(p, len, PROT_NONE, MAP_SHARED |
				  MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	}
	for (i = 0; i < 2; i++) {
		XM_STORE(&w[i].stop, true);
		EXPECT_EQ(0, worker_join(&w[i]));
	}
}

/*
 * M6: what could not move is on the LRU afterwards, as if nothing had been, and
 * what moved is there once it is back.
 */
TEST_F(device, what_stays_behind_can_be_reclaimed)
{
	const unsigned int pages = 16;
	char *p = xm_anon(pages * XM_PAGE), buf[XM_PAGE];
	unsigned int i, held = 0;
	__u64 moved;
	int pipes[2];

	ASSERT_NE(NULL, p);
	if (xm_meminfo_kb("SwapTotal") <= 0)
		SKIP(return, "no swap");
	ASSERT_EQ(0, conf_pin());
	ASSERT_EQ(0, pipe2(pipes, O_CLOEXEC | O_NONBLOCK));
	for (i = 0; i < pages; i++)
		memset(p + i * XM_PAGE, 0x40 + i, XM_PAGE);
	/* A pipe holds every other one. */
	for (i = 0; i < pages; i += 2) {
		struct iovec iov = { p + i * XM_PAGE, XM_PAGE };

		held += vmsplice(pipes[1], &iov, 1, 0) == (ssize_t)XM_PAGE;
	}
	ASSERT_EQ(pages / 2, held);
	ASSERT_EQ(0, xm_migrate(self->fd, p, pages * XM_PAGE, 0, 0, &moved));
	EXPECT_EQ(pages / 2, moved);
	for (i = 0; i < pages; i++) {
		EXPECT_EQ(i & 1, conf_is_private(self->fd, p + i * XM_PAGE));
	}
	for (i = 0; i < pages; i++) {
		EXPECT_EQ(0x40 + i, p[i * XM_PAGE + 5]);
	}
	for (i = 0; i < pages; i += 2) {
		ASSERT_EQ(XM_PAGE, read(pipes[0], buf, XM_PAGE));
		EXPECT_EQ(0x40 + i, buf[7]);
	}
	for (i = 0; i < pages; i++) {
		EXPECT_EQ(0, conf_pageout(p + i * XM_PAGE, XM_PAGE))
			TH_LOG("page %u cannot be paged out", i);
	}
	for (i = 0; i < pages; i++) {
		EXPECT_EQ(0x40 + i, p[i * XM_PAGE + 9]);
	}
	close(pipes[0]);
	close(pipes[1]);
}

/* M7: from one device's memory to another's, the entry's bits go along. */
TEST_F(device, bits_survive_a_move_between_devices)
{
	int uffd = conf_uffd(UFFD_FEATURE_PAGEFAULT_FLAG_WP);
	__u64 moved, soft, i;

	ASSERT_EQ(0, xm_write_file("/proc/self/clear_refs", "4"));
	if (xm_pagemap(self->p) & XM_PM_SOFT_DIRTY)
		SKIP(return, "no CONFIG_MEM_SOFT_DIRTY");
	if (uffd < 0)
		SKIP(return, "no CONFIG_USERFAULTFD");
	ASSERT_EQ(0, conf_uffd_register(uffd, self->p, XM_PAGE,
					UFFDIO_REGISTER_MODE_WP));
	for (i = 0; i < 4; i++) {
		soft = i & 1 ? XM_PM_SOFT_DIRTY : 0;
		*self->p = i;
		if (!soft) {
			ASSERT_EQ(0, xm_write_file("/proc/self/clear_refs",
						   "4"));
		}
		if (i & 2) {
			ASSERT_EQ(0, conf_uffd_wp(uffd, self->p, XM_PAGE,
						  true));
		}
		ASSERT_EQ(0, xm_migrate(self->fd, self->p, XM_PAGE, 0, 0,
					&moved));
		ASSERT_EQ(1, moved);
		EXPECT_EQ(soft, xm_pagemap(self->p) & XM_PM_SOFT_DIRTY);
		ASSERT_EQ(0, xm_migrate(self->fd1, self->p, XM_PAGE,
					XMIRROR_MIGRATE_FROM_PEER, 0, &moved));
		ASSERT_EQ(1, moved);
		EXPECT_TRUE(conf_is_private(self->fd1, self->p));
		EXPECT_EQ(soft, xm_pagemap(self->p) & XM_PM_SOFT_DIRTY);
		EXPECT_EQ(i & 2 ? CONF_PM_UFFD_WP : 0,
			  xm_pagemap(self->p) & CONF_PM_UFFD_WP);
		/* And back, by a read of the CPU's, which changes none. */
		EXPECT_EQ(i, XM_LOAD(self->p));
		EXPECT_EQ(soft, xm_pagemap(self->p) & XM_PM_SOFT_DIRTY);
		EXPECT_EQ(i & 2 ? CONF_PM_UFFD_WP : 0,
			  xm_pagemap(self->p) & CONF_PM_UFFD_WP);
		if (i & 2) {
			ASSERT_EQ(0, conf_uffd_wp(uffd, self->p, XM_PAGE,
						  false));
		}
	}
	close(uffd);
}

static __u64 private_pfn(int fd, const void *p)
{
	struct xmirror_page page = xm_page(fd, p);

	return page.cpu & XMIRROR_CPU_PRIVATE ? page.cpu_pfn : 0;
}

/* M8: the same pages by 2 MiB, one by one, and by 2 MiB again */
TEST_F(device, pages_are_used_in_both_sizes)
{
	char *thp, *small = xm_anon(XM_2M);
	__u64 block[2] = {}, moved;
	size_t i, same = 0, wrong = 0;
	int round;

	NEED(XMIRROR_CAP_PRIVATE_LARGE);
	ASSERT_NE(NULL, small);
	for (round = 0; round < 2; round++) {
		thp = conf_thp(self->fd, 0x80 + round);
		if (!thp)
			SKIP(return, "no huge page was to be had");
		ASSERT_EQ(0, xm_migrate(self->fd, thp, XM_2M, 0, 0, &moved));
		ASSERT_EQ(XM_2M / XM_PAGE, moved);
		block[round] = private_pfn(self->fd, thp) & ~511ULL;
		ASSERT_NE(0, block[round]);
		/* Split while it is the device's, half of it freed first */
		ASSERT_EQ(0, madvise(thp, XM_2M / 2, MADV_DONTNEED));
		for (i = XM_2M / 2; i < XM_2M; i += XM_PAGE)
			wrong += thp[i] != (char)(0x80 + round);
		munmap(thp, XM_2M);

		for (i = 0; i < XM_2M; i += XM_PAGE)
			*(__u64 *)(small + i) = i + round;
		ASSERT_EQ(0, xm_migrate(self->fd, small, XM_2M, 0, 0, &moved));
		EXPECT_EQ(XM_2M / XM_PAGE, moved);
		for (i = 0; i < XM_2M; i += XM_PAGE) {
			same += (private_pfn(self->fd, small + i) & ~511ULL) ==
				block[round];
		}
		for (i = 0; i < XM_2M; i += XM_PAGE)
			wrong += XM_LOAD((__u64 *)(small + i)) != i + round;
	}
	EXPECT_EQ(0, wrong);
	/* Else nothing was tried. */
	EXPECT_LT(0, same);
	munmap(small, XM_2M);
}

static int move_in_and_free(struct worker *w)
{
	int err = 0;
	__u64 i;

	for (i = 0; i < ROUNDS && !err; i++) {
		XM_STORE((__u64 *)w->addr, i);
		err = xm_migrate(w->fd, w->addr, w->len, 0, 0, NULL);
		if (!err && madvise(w->addr, w->len, MADV_DONTNEED))
			err = -errno;
		if (!err && XM_LOAD((__u64 *)w->addr))
			err = -EIO;
	}
	return err;
}

/* M9: what one frees is taken at once by another, in another size. */
TEST_F(device, freed_pages_are_taken_in_another_size)
{
	struct xmirror_stats before, after;
	struct worker w[2];
	int i;

	NEED(XMIRROR_CAP_PRIVATE_LARGE);
	ASSERT_EQ(0, xm_stats(self->fd, &before));
	for (i = 0; i < 2; i++) {
		w[i] = (struct worker){
			.fn = move_in_and_free,
			.fd = self->fd,
			.len = i ? XM_2M : 16 * XM_PAGE,
			.addr = i ? conf_thp(self->fd, 1) :
				    xm_anon(16 * XM_PAGE),
		};
		if (!w[i].addr)
			SKIP(return, "no huge page was to be had");
	}
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, worker_start(&w[i]));
	}
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(0, worker_join(&w[i]));
		munmap(w[i].addr, w[i].len);
	}
	ASSERT_EQ(0, xm_stats(self->fd, &after));
	EXPECT_EQ(before.devmem_free, after.devmem_free);
}

static int migrate_all(struct worker *w)
{
	return xm_migrate(w->fd, w->addr, w->len, w->arg, 0, &w->done);
}

/* Stop @w's migration when it has collected and copied. */
#define STOP_COPIED(w) \
	do { \
		ASSERT_EQ(0, xm_sync_arm((w)->fd, XMIRROR_PT_MIGRATE_COPIED, \
					 (w)->addr, (w)->len, &self->id)); \
		ASSERT_EQ(0, worker_start(w)); \
		ASSERT_EQ(0, xm_sync_reached((w)->fd, self->id, XM_LONG)); \
	} while (0)

#define BLOCKS	16

/*
 * M10: the CPU fills what was empty when the migration looked: the page is the
 * CPU's, and the page table made for the other one is not lost.
 */
TEST_F(device, cpu_is_first_in_an_empty_huge_page)
{
	char *p = xm_anon_aligned(BLOCKS * XM_2M, XM_2M), *q;
	struct worker w = { .fn = migrate_all, .fd = self->fd, .len = XM_2M };
	long tables;
	int i, round;

	NEED(XMIRROR_CAP_PRIVATE_LARGE);
	NEED(XMIRROR_CAP_SYNC);
	ASSERT_NE(NULL, p);
	/* A huge destination, and a small page that comes in between */
	ASSERT_EQ(0, madvise(p, BLOCKS * XM_2M, MADV_NOHUGEPAGE));
	tables = xm_meminfo_kb("PageTables");
	for (round = 0; round < 8; round++) {
		for (i = 0; i < BLOCKS; i++) {
			q = p + i * XM_2M;
			w.addr = q;
			STOP_COPIED(&w);
			XM_STORE((__u64 *)(q + 9 * XM_PAGE), 0x99 + i);
			ASSERT_EQ(0, xm_sync_resume(w.fd, self->id, NULL));
			ASSERT_EQ(0, worker_join(&w));
			EXPECT_EQ(0x99 + i, XM_LOAD((__u64 *)(q + 9 *
							      XM_PAGE)));
			EXPECT_EQ(0, XM_LOAD((__u64 *)(q + XM_PAGE)));
		}
		ASSERT_EQ(0, munmap(p, BLOCKS * XM_2M));
		ASSERT_EQ(p, mmap(p, BLOCKS * XM_2M, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
				  0));
		ASSERT_EQ(0, madvise(p, BLOCKS * XM_2M, MADV_NOHUGEPAGE));
	}
	/* One of 4 KiB for each round and block would be 512 KiB. */
	EXPECT_GT(256, xm_meminfo_kb("PageTables") - tables);
	munmap(p, BLOCKS * XM_2M);
}

/* M11: another device meets a huge page that is on its way. */
TEST_F(device, huge_page_on_its_way_to_another)
{
	char *p = conf_thp(self->fd, 0x22);
	struct worker w = { .fn = migrate_all, .fd = self->fd, .len = XM_2M };
	struct worker other = w;
	size_t i, wrong = 0;

	NEED(XMIRROR_CAP_SYNC);
	if (!p)
		SKIP(return, "no huge page was to be had");
	w.addr = p;
	other.addr = p;
	other.fd = self->fd1;
	/* To make a thread takes the lock that the migration holds. */
	ASSERT_EQ(0, worker_prepare(&other));
	STOP_COPIED(&w);
	/* It passes the page or waits for it, and lives in either case. */
	ASSERT_EQ(0, worker_start(&other));
	while (!worker_ended(&other) && !worker_blocked(&other, SYS_ioctl))
		;
	ASSERT_EQ(0, xm_sync_resume(w.fd, self->id, NULL));
	EXPECT_EQ(0, worker_join(&w));
	EXPECT_EQ(0, worker_join(&other));
	EXPECT_EQ(XM_2M / XM_PAGE, w.done);
	for (i = 0; i < XM_2M; i += XM_PAGE)
		wrong += p[i] != 0x22;
	EXPECT_EQ(0, wrong);
	munmap(p, XM_2M);
}

static int free_upper_half(struct worker *w)
{
	return madvise((char *)w->addr + XM_2M / 2, XM_2M / 2, MADV_DONTNEED) ?
	       -errno : 0;
}

/* M12: a huge page is split on its way, while the other half of it is freed. */
TEST_F(device, huge_page_is_split_and_freed)
{
	struct worker w = { .fn = migrate_all, .fd = self->fd };
	struct worker other = { .fn = free_upper_half };
	size_t i, wrong = 0;
	int round;
	char *p;

	NEED(XMIRROR_CAP_SYNC);
	for (round = 0; round < 10; round++) {
		p = conf_thp(self->fd, 0x22);
		if (!p)
			SKIP(return, "no huge page was to be had");
		w.addr = p;
		w.len = XM_2M / 2;
		other.addr = p;
		ASSERT_EQ(0, worker_prepare(&other));
		if (round & 1) {
			ASSERT_EQ(0, worker_start(&w));
		} else {
			STOP_COPIED(&w);
		}
		ASSERT_EQ(0, worker_start(&other));
		if (!(round & 1)) {
			ASSERT_EQ(0, xm_sync_resume(w.fd, self->id, NULL));
		}
		EXPECT_EQ(0, worker_join(&w));
		EXPECT_EQ(0, worker_join(&other));
		for (i = 0; i < XM_2M; i += XM_PAGE)
			wrong += p[i] != (i < XM_2M / 2 ? 0x22 : 0);
		EXPECT_EQ(0, wrong);
		munmap(p, XM_2M);
	}
}

/*
 * M17: device memory lies above all RAM, and is none of what the kernel counts as
 * such: else devices that cannot address it get bounce buffers for everything.
 * /proc/kpagecount ends where the kernel believes RAM to end.
 */
TEST_F(device, private_memory_is_not_the_end_of_ram)
{
	int fd = open("/proc/kpagecount", O_RDONLY | O_CLOEXEC);
	__u64 pfn, ram = xm_pfn(self->p), v, moved;

	ASSERT_GE(fd, 0);
	ASSERT_EQ(0, xm_migrate(self->fd, self->p, XM_PAGE, 0, 0, &moved));
	ASSERT_EQ(1, moved);
	pfn = private_pfn(self->fd, self->p);
	ASSERT_NE(0, pfn);
	EXPECT_LT(ram, pfn);
	EXPECT_EQ(8, pread(fd, &v, 8, ram * 8));
	EXPECT_EQ(0, pread(fd, &v, 8, pfn * 8));
	close(fd);
}

/* M19: memory that a userfaultfd has to fill */

struct command {
	__u64 addr;
	__u64 ptr;
	__u64 npages;
	__u64 cpages;
	__u64 faults;
};

#define DM_READ_UNLOCKED	_IOWR('H', 9, struct command)

static int read_by_dmirror(struct worker *w)
{
	struct command c = {
		.addr = (uintptr_t)w->addr,
		.ptr = (uintptr_t)w->to,
		.npages = 1,
	};

	return xm_ioctl(w->fd, DM_READ_UNLOCKED, &c);
}

/* Answers one fault with a page of 0x77 bytes; what is wrong, if anything */
static int fill_one(int uffd, void *p)
{
	void *from = xm_anon(XM_PAGE);
	int err = from ? conf_uffd_wait(uffd) : -ENOMEM;

	if (err)
		return err;
	memset(from, 0x77, XM_PAGE);
	return conf_uffd_fill(uffd, p, from);
}

/*
 * M19: a fault under mmap_lock cannot wait for a userfaultfd, and says so at once;
 * one that gives up the lock gets the page.
 */
TEST_F(device, userfaultfd_fills_what_the_device_reads)
{
	char *p = xm_anon(XM_PAGE), *buf = xm_anon(XM_PAGE);
	struct worker w = { .fn = read_by_dmirror, .addr = p, .to = buf };
	int uffd = conf_uffd(0);

	ASSERT_NE(NULL, p);
	ASSERT_NE(NULL, buf);
	if (uffd < 0)
		SKIP(return, "no CONFIG_USERFAULTFD");
	ASSERT_EQ(0, conf_uffd_register(uffd, p, XM_PAGE,
					UFFDIO_REGISTER_MODE_MISSING));
	EXPECT_EQ(-EFAULT, xm_fault(self->fd, p, XM_PAGE, 0, NULL));
	EXPECT_EQ(-EFAULT, xm_fault(self->fd, p, XM_PAGE, XMIRROR_FAULT_WRITE,
				    NULL));
	EXPECT_EQ(-EFAULT, xm_add(self->fd, p, 1));
	EXPECT_LEAF(self->fd, p, LEAF_NONE);

	w.fd = open("/dev/hmm_dmirror0", O_RDWR | O_CLOEXEC);
	if (w.fd < 0)
		SKIP(return, "no /dev/hmm_dmirror0");
	memset(buf, 0, XM_PAGE);
	ASSERT_EQ(0, worker_start(&w));
	/* If not, the CPU's access below would wait for ever. */
	ASSERT_EQ(0, fill_one(uffd, p));
	EXPECT_EQ(0, worker_join(&w));
	EXPECT_EQ(0x77, buf[0]);
	EXPECT_EQ(0x77, buf[XM_PAGE - 1]);
	EXPECT_EQ(0, xm_fault(self->fd, p, XM_PAGE, 0, NULL));
	EXPECT_EQ(0x77, p[9]);
	close(w.fd);
	close(uffd);
}

TEST_HARNESS_MAIN
