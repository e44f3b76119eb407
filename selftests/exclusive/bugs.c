// SPDX-License-Identifier: GPL-2.0
/*
 * Properties that kernels or drivers once had not. Each test is named for the
 * property; the id in its comment is the bug's in the project's list of those.
 * Where the running kernel still has the bug the test is expected to fail, and
 * says so only when it has seen it.
 */
#include <fcntl.h>
#include <linux/mempolicy.h>
#include <linux/perf_event.h>
#include <sys/uio.h>

#include "memory.h"
#include "test.h"

#define THREADS	8
#define ROUNDS	50

static bool old_kernel(void)
{
	return !(xm_caps() & XMIRROR_CAP_RECLAIM_EXCLUSIVE);
}

FIXTURE(bugs) {
	int fd;
	int fd1;
	__u64 *p;
	struct worker w[THREADS];
	pthread_barrier_t barrier;
};

FIXTURE_SETUP(bugs)
{
	NEED(XMIRROR_CAP_EXCLUSIVE);
	OPEN(self->fd, 0);
	OPEN(self->fd1, 1);
	self->p = xm_anon(XM_PAGE);
	ASSERT_NE(NULL, self->p);
	memset(self->p, 0x11, XM_PAGE);
}

FIXTURE_TEARDOWN(bugs)
{
	EXPECT_CLEAN(self->fd);
	EXPECT_CLEAN(self->fd1);
	close(self->fd);
	close(self->fd1);
}

/* Threads that meet in each round; @to is the barrier. */

static int meet_and_add(struct worker *w)
{
	int i;

	for (i = 0; i < ROUNDS; i++) {
		pthread_barrier_wait(w->to);
		XM_ADD((__u64 *)w->addr, 1);
		pthread_barrier_wait(w->to);
	}
	return 0;
}

static int meet_and_peek(struct worker *w)
{
	__u64 v;
	struct iovec to = { &v, 8 }, from = { w->addr, 8 };
	int i;

	for (i = 0; i < ROUNDS; i++) {
		pthread_barrier_wait(w->to);
		/* The page may be gone; then this fails. */
		if (process_vm_readv(getpid(), &to, 1, &from, 1, 0) == 8 &&
		    v != 77 && v)
			w->err = -EIO;
		pthread_barrier_wait(w->to);
	}
	return w->err;
}

#define START_ALL(function, count) \
	do { \
		int start_i; \
		ASSERT_EQ(0, pthread_barrier_init(&self->barrier, NULL, \
						  (count) + 1)); \
		for (start_i = 0; start_i < (count); start_i++) { \
			self->w[start_i].fn = (function); \
			self->w[start_i].addr = self->p; \
			self->w[start_i].to = &self->barrier; \
			self->w[start_i].err = 0; \
			ASSERT_EQ(0, worker_start(&self->w[start_i])); \
		} \
	} while (0)

#define JOIN_ALL(count) \
	do { \
		int join_i; \
		for (join_i = 0; join_i < (count); join_i++) { \
			EXPECT_EQ(0, worker_join(&self->w[join_i])); \
		} \
	} while (0)

static void move_to(void *p, int node)
{
	int status;

	syscall(SYS_move_pages, 0, 1, &p, &node, &status, MPOL_MF_MOVE);
}

/* E1: many CPU faults end one entry, while the page moves. */
TEST_F(bugs, many_faults_end_one_entry)
{
	__u64 was = *self->p;
	int i, err = 0;

	START_ALL(meet_and_add, THREADS);
	for (i = 0; i < ROUNDS; i++) {
		err |= xm_add(self->fd, self->p, 1);
		pthread_barrier_wait(&self->barrier);
		move_to(self->p, i & 1);
		move_to(self->p, ~i & 1);
		pthread_barrier_wait(&self->barrier);
	}
	JOIN_ALL(THREADS);
	EXPECT_EQ(0, err);
	EXPECT_EQ(was + ROUNDS * (THREADS + 1), *self->p);
}

/* E4: any page of a large folio, and only that one */
TEST_F(bugs, each_page_of_a_large_folio)
{
	static const unsigned int pages[] = { 0, 1, 255, 256, 511 };
	unsigned int i;
	char *p = conf_thp(self->fd, 0x22);
	int err;

	if (!p)
		SKIP(return, "no huge page was to be had");
	for (i = 0; i < 5; i++) {
		__u64 *q = (__u64 *)(p + pages[i] * XM_PAGE);
		__u64 head = xm_pfn(p);

		err = xm_exclusive(self->fd, q, XM_PAGE, NULL);
		if (err == -EOPNOTSUPP && old_kernel())
			CONF_XFAIL(return, "large folios: Linux 6.15");
		ASSERT_EQ(0, err);
		EXPECT_EQ(i + 1, xm_count_exclusive(p, XM_2M));
		EXPECT_EQ(head + pages[i], xm_pfn(q));
		EXPECT_LEAF(self->fd, q, LEAF_EXCL);
		ASSERT_EQ(0, xm_add(self->fd, q, 1));
	}
	for (i = 0; i < 5; i++) {
		EXPECT_EQ(0x2222222222222223ULL,
			  XM_LOAD((__u64 *)(p + pages[i] * XM_PAGE)));
	}
	EXPECT_EQ(0, xm_count_exclusive(p, XM_2M));
	EXPECT_EQ(0x22, p[2 * XM_PAGE]);
}

/* E5, E13: memory pressure gets exclusive pages back, with their data. */
TEST_F(bugs, reclaim_takes_exclusive_pages)
{
	const size_t len = 64 * XM_PAGE;
	char *p = xm_anon(len);
	size_t left, i;
	int round, err;

	ASSERT_NE(NULL, p);
	if (xm_meminfo_kb("SwapTotal") <= 0)
		SKIP(return, "no swap");
	memset(p, 0x11, len);
	ASSERT_EQ(0, xm_exclusive(self->fd, p, len, NULL));
	for (i = 0; i < len; i += XM_PAGE) {
		ASSERT_EQ(0, xm_op(self->fd, XMIRROR_OP_XCHG, 8, p + i, i,
				   NULL));
	}
	for (round = 0; round < 20; round++) {
		err = conf_reclaim("64M");
		if (err == -ENOENT)
			SKIP(return, "no memory.reclaim");
		ASSERT_EQ(0, err);
		if (!xm_count_exclusive(p, len))
			break;
	}
	left = xm_count_exclusive(p, len);
	for (i = 0; i < len; i += XM_PAGE) {
		EXPECT_EQ(i, XM_LOAD((__u64 *)(p + i)));
	}
	if (left && old_kernel())
		CONF_XFAIL(return, "E5: exclusive pages are out of the rmap before Linux 6.15");
	EXPECT_EQ(0, left);
}

/* E7: that the device had the page is not a write of the CPU's. */
TEST_F(bugs, read_of_an_entry_is_no_write)
{
	__u64 pm;

	ASSERT_EQ(0, xm_exclusive(self->fd, self->p, XM_PAGE, NULL));
	ASSERT_EQ(0, xm_write_file("/proc/self/clear_refs", "4"));
	if (xm_pagemap(self->p) & XM_PM_SOFT_DIRTY)
		SKIP(return, "no CONFIG_MEM_SOFT_DIRTY");
	EXPECT_LEAF(self->fd, self->p, LEAF_NONE);
	EXPECT_EQ(0x1111111111111111ULL, XM_LOAD(self->p));
	pm = xm_pagemap(self->p);
	if ((pm & XM_PM_SOFT_DIRTY) && old_kernel())
		CONF_XFAIL(return, "E7: an entry comes back dirty before Linux 6.15");
	EXPECT_EQ(0, pm & XM_PM_SOFT_DIRTY);
	/* A real one is, of the CPU or of the device. */
	XM_STORE(self->p, 1);
	EXPECT_NE(0, xm_pagemap(self->p) & XM_PM_SOFT_DIRTY);
	ASSERT_EQ(0, xm_write_file("/proc/self/clear_refs", "4"));
	ASSERT_EQ(0, xm_op(self->fd, XMIRROR_OP_STORE, 8, self->p, 2, NULL));
	EXPECT_EQ(2, XM_LOAD(self->p));
	EXPECT_NE(0, xm_pagemap(self->p) & XM_PM_SOFT_DIRTY);
}

/* E7: rights are those of the mapping, not those of the entry. */
TEST_F(bugs, rights_come_from_the_mapping)
{
	ASSERT_EQ(0, xm_add(self->fd, self->p, 1));
	ASSERT_EQ(0, mprotect(self->p, XM_PAGE, PROT_READ));
	EXPECT_EQ(0x1111111111111112ULL, XM_LOAD(self->p));
	EXPECT_EQ(0, xm_page(self->fd, self->p).cpu & XMIRROR_CPU_WRITE);
	ASSERT_EQ(0, mprotect(self->p, XM_PAGE, PROT_READ | PROT_WRITE));
	XM_ADD(self->p, 1);
	EXPECT_EQ(0x1111111111111113ULL, XM_LOAD(self->p));
	EXPECT_NE(0, xm_page(self->fd, self->p).cpu & XMIRROR_CPU_WRITE);
	EXPECT_NE(0, xm_page(self->fd, self->p).cpu & XMIRROR_CPU_DIRTY);
}

static int wait_for_end(struct child *c, void *arg)
{
	const __u64 *p = arg;

	CHILD_CHECK(child_hear(c) == 'e');
	CHILD_CHECK(XM_LOAD(p) == 0x1111111111111112ULL);
	return 0;
}

/* E8: a page is the process's alone, or shared, and the entry knows. */
TEST_F(bugs, shared_with_a_child_or_not)
{
	struct child c;

	ASSERT_EQ(0, xm_add(self->fd, self->p, 1));
	ASSERT_TRUE(xm_is_exclusive(self->p));
	ASSERT_EQ(0, child_start(&c, wait_for_end, self->p));
	EXPECT_FALSE(xm_is_exclusive(self->p));
	EXPECT_EQ(0, xm_pagemap(self->p) & XM_PM_ANON_EXCLUSIVE);
	EXPECT_EQ(0, xm_page(self->fd, self->p).cpu & XMIRROR_CPU_WRITE);
	ASSERT_EQ(0, xm_add(self->fd, self->p, 1));
	EXPECT_EQ(0x1111111111111113ULL, XM_LOAD(self->p));
	EXPECT_NE(0, xm_pagemap(self->p) & XM_PM_ANON_EXCLUSIVE);
	EXPECT_EQ(0, child_tell(&c, 'e'));
	EXPECT_EQ(0, child_end(&c));
}

/* A breakpoint at the first byte of @path for all who map it; a file to close */
static int add_uprobe(const char *path)
{
	struct perf_event_attr attr = { .size = sizeof(attr) };
	char text[16] = "";
	int fd = open("/sys/bus/event_source/devices/uprobe/type",
		      O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return -EIO;
	attr.type = atoi(text);
	attr.config1 = (uintptr_t)path;
	fd = syscall(SYS_perf_event_open, &attr, -1, 0, -1,
		     PERF_FLAG_FD_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/*
 * E10: a breakpoint is put into a program's page, and taken out of it, by
 * replacing the page; here one that the device has.
 */
TEST_F(bugs, uprobe_on_a_page_of_the_device)
{
	static const char path[] = "/tmp/xmirror-uprobe";
	int file = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0700);
	__u8 code[XM_PAGE] = { 0x90, 0xc3 }, *p;	/* nop; ret */
	__u64 *word;
	int probe;

	ASSERT_LE(0, file);
	ASSERT_EQ(XM_PAGE, write(file, code, XM_PAGE));
	p = mmap(NULL, XM_PAGE, PROT_READ | PROT_WRITE | PROT_EXEC,
		 MAP_PRIVATE, file, 0);
	ASSERT_NE(MAP_FAILED, p);
	close(file);
	word = (__u64 *)(p + 64);
	/* Its own copy, of the device; only code that is not writable is probed */
	ASSERT_EQ(0, xm_op(self->fd, XMIRROR_OP_XCHG, 8, word, 0xe10, NULL));
	ASSERT_EQ(0, mprotect(p, XM_PAGE, PROT_READ | PROT_EXEC));
	EXPECT_TRUE(xm_is_exclusive(p));
	probe = add_uprobe(path);
	if (probe == -ENOENT) {
		unlink(path);
		SKIP(return, "no CONFIG_UPROBE_EVENTS");
	}
	ASSERT_LE(0, probe) TH_LOG("uprobe: %s", strerror(-probe));
	EXPECT_FALSE(xm_is_exclusive(p));
	EXPECT_CLEAN(self->fd);
	EXPECT_EQ(0xcc, XM_LOAD(p));
	EXPECT_EQ(0xe10, XM_LOAD(word));
	/* The page with the breakpoint is the device's when it is taken out. */
	ASSERT_EQ(0, mprotect(p, XM_PAGE, PROT_READ | PROT_WRITE | PROT_EXEC));
	ASSERT_EQ(0, xm_add(self->fd, word, 1));
	EXPECT_TRUE(xm_is_exclusive(p));
	ASSERT_EQ(0, mprotect(p, XM_PAGE, PROT_READ | PROT_EXEC));
	close(probe);
	EXPECT_CLEAN(self->fd);
	EXPECT_EQ(0x90, XM_LOAD(p));
	EXPECT_EQ(0xe11, XM_LOAD(word));
	((void (*)(void))p)();
	EXPECT_EQ(0, munmap(p, XM_PAGE));
	unlink(path);
}

static int add_until_stopped(struct worker *w)
{
	int err = 0;

	while (!XM_LOAD(&w->stop) && !err) {
		err = xm_add(w->fd, w->addr, 1);
		XM_ADD(&w->arg, !err);
	}
	return err;
}

/* E11: KSM looks at pages that come and go. */
TEST_F(bugs, ksm_beside_the_device)
{
	__u64 *other = xm_anon(XM_PAGE);
	struct worker w = {
		.fn = add_until_stopped,
		.fd = self->fd,
		.addr = self->p + 511,
	};
	__u64 start = xm_now_ns(), i;

	ASSERT_NE(NULL, other);
	memset(other, 0x11, XM_PAGE);
	if (madvise(self->p, XM_PAGE, MADV_MERGEABLE))
		SKIP(return, "no CONFIG_KSM");
	ASSERT_EQ(0, madvise(other, XM_PAGE, MADV_MERGEABLE));
	ASSERT_EQ(0, xm_write_file("/sys/kernel/mm/ksm/sleep_millisecs", "0"));
	ASSERT_EQ(0, xm_write_file("/sys/kernel/mm/ksm/run", "1"));
	ASSERT_EQ(0, worker_start(&w));
	/* Now and then the pages are the same, so that it wants to merge. */
	for (i = 0; i < 200 && !xm_expired(start, XM_LONG); i++) {
		other[511] = XM_LOAD(self->p + 511);
		sched_yield();
	}
	XM_STORE(&w.stop, true);
	EXPECT_EQ(0, worker_join(&w));
	EXPECT_EQ(0, xm_write_file("/sys/kernel/mm/ksm/run", "0"));
	EXPECT_EQ(0x1111111111111111ULL + w.arg, XM_LOAD(self->p + 511));
	EXPECT_EQ(0x1111111111111111ULL, other[0]);
}

/* E12: whoever asks the rmap whether a page is idle meets the entry. */
TEST_F(bugs, idle_tracking)
{
	int fd = open("/sys/kernel/mm/page_idle/bitmap", O_RDWR | O_CLOEXEC);
	struct xmirror_stats before, after;
	__u64 pfn, bits = ~0ULL;

	if (fd < 0)
		SKIP(return, "no CONFIG_IDLE_PAGE_TRACKING");
	ASSERT_EQ(0, xm_add(self->fd, self->p, 1));
	pfn = xm_pfn(self->p);
	ASSERT_NE(0, pfn);
	ASSERT_EQ(0, xm_stats(self->fd, &before));
	EXPECT_EQ(8, pwrite(fd, &bits, 8, pfn / 64 * 8));
	EXPECT_EQ(8, pread(fd, &bits, 8, pfn / 64 * 8));
	close(fd);
	ASSERT_EQ(0, xm_stats(self->fd, &after));
	EXPECT_EQ(before.inv_leaves, after.inv_leaves);
	EXPECT_TRUE(xm_is_exclusive(self->p));
	EXPECT_LEAF(self->fd, self->p, LEAF_EXCL);
	EXPECT_EQ(0x1111111111111112ULL, XM_LOAD(self->p));
}

/* E16: the exclusive copy of a file's page goes like any other. */
TEST_F(bugs, copy_of_a_file_page_is_unmapped)
{
	int file = conf_temp_file("/tmp"), i;
	long rss;

	ASSERT_GE(file, 0);
	ASSERT_EQ(0, ftruncate(file, 4 * XM_PAGE));
	for (i = 0; i < 2; i++) {
		char *p = mmap(NULL, 4 * XM_PAGE, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE, file, 0);

		ASSERT_NE(MAP_FAILED, p);
		ASSERT_EQ(0, xm_add(self->fd, p + XM_PAGE, 1));
		EXPECT_TRUE(xm_is_exclusive(p + XM_PAGE));
		rss = conf_smaps_kb(p, "Anonymous");
		/* Entries that are not present are not told apart. */
		EXPECT_LE(rss, 4);
		if (i) {
			ASSERT_EQ(0, madvise(p, 4 * XM_PAGE, MADV_DONTNEED));
			EXPECT_EQ(0, p[XM_PAGE]);
		}
		EXPECT_EQ(0, munmap(p, 4 * XM_PAGE));
	}
	close(file);
}

/* D1: what a lost race leaves behind is a page like any other. */
TEST_F(bugs, page_moves_after_a_retry)
{
	struct worker w = {
		.fn = work_exclusive,
		.fd = self->fd,
		.addr = self->p,
		.len = XM_PAGE,
	};
	int node, moved = 0, status = -1;
	void *p = self->p;
	__u32 id;

	NEED(XMIRROR_CAP_SYNC);
	if (access("/sys/devices/system/node/node1", F_OK))
		SKIP(return, "one NUMA node only");
	ASSERT_EQ(0, xm_no_faults());
	ASSERT_EQ(0, xm_sync_arm(self->fd, XMIRROR_PT_EXCL_MADE, p, XM_PAGE,
				 &id));
	ASSERT_EQ(0, worker_start(&w));
	ASSERT_EQ(0, xm_sync_reached(self->fd, id, XM_LONG));
	ASSERT_EQ(0, madvise(p, XM_PAGE, MADV_DONTNEED_LOCKED));
	ASSERT_EQ(0, xm_sync_resume(self->fd, id, NULL));
	ASSERT_EQ(0, worker_join(&w));
	ASSERT_EQ(0, munlockall());
	XM_STORE(self->p, 5);
	for (node = 0; node < 2; node++) {
		ASSERT_EQ(0, syscall(SYS_move_pages, 0, 1, &p, &node, &status,
				     MPOL_MF_MOVE));
		moved += status == node;
	}
	EXPECT_EQ(2, moved);
	EXPECT_EQ(5, XM_LOAD(self->p));
}

/* D3: an atomic in a batch does not make atomics of what follows. */
TEST_F(bugs, atomic_before_read_of_a_file)
{
	int file = memfd_create("xmirror", MFD_CLOEXEC);
	__u64 *q, fence, result[2] = {}, word = 42;
	struct xmirror_cmd cmds[2];
	struct xmirror_wait w;

	ASSERT_EQ(8, write(file, &word, 8));
	q = mmap(NULL, XM_PAGE, PROT_READ, MAP_SHARED, file, 0);
	ASSERT_NE(MAP_FAILED, q);
	cmds[0] = xm_cmd(XMIRROR_OP_ADD, 8, self->p, 1);
	cmds[1] = xm_cmd(XMIRROR_OP_LOAD, 8, q, 0);
	ASSERT_EQ(0, xm_submit(self->fd, 0, cmds, 2, 1, &fence));
	ASSERT_EQ(0, xm_wait_results(self->fd, fence, XM_LONG, result, 2, &w));
	EXPECT_EQ(0, w.status);
	EXPECT_EQ(42, result[1]);
	EXPECT_EQ(0x1111111111111112ULL, XM_LOAD(self->p));
	close(file);
}

/* D6: the middle of a huge page, and not more */
TEST_F(bugs, fault_stays_in_its_range)
{
	char *p = conf_thp(self->fd, 0x22);
	struct xmirror_page page;
	__u64 old;
	size_t i;

	if (!p)
		SKIP(return, "no huge page was to be had");
	ASSERT_EQ(0, xm_set(self->fd, XMIRROR_SET_GRANULE, 4096, &old));
	ASSERT_EQ(0, xm_fault(self->fd, p + 512 * 1024, 64 * 1024, 0, NULL));
	for (i = 0; i < XM_2M; i += XM_PAGE) {
		page = xm_page(self->fd, p + i);
		EXPECT_EQ(i >= 512 * 1024 && i < 576 * 1024,
			  page.dev & XMIRROR_PTE_VALID);
	}
}

/* D9: migration of a range with a hole */
TEST_F(bugs, migration_meets_a_hole)
{
	char *p = xm_anon(8 * XM_PAGE);
	__u64 moved = 9;

	NEED(XMIRROR_CAP_PRIVATE);
	ASSERT_NE(NULL, p);
	memset(p, 0x33, 8 * XM_PAGE);
	ASSERT_EQ(0, munmap(p + 4 * XM_PAGE, XM_PAGE));
	EXPECT_EQ(-EFAULT, xm_migrate(self->fd, p, 8 * XM_PAGE, 0, 0, &moved));
	EXPECT_LE(moved, 7);
	EXPECT_EQ(0x33, p[0]);
	EXPECT_EQ(0x33, p[7 * XM_PAGE]);
	EXPECT_EQ(-EFAULT, xm_add(self->fd, p + 4 * XM_PAGE, 1));
}

/* D12: memory that may be written only, as far as the mapping says */
TEST_F(bugs, memory_without_the_right_to_read)
{
	__u64 *p = xm_anon_prot(XM_PAGE, PROT_WRITE);

	ASSERT_NE(NULL, p);
	EXPECT_EQ(-EFAULT, xm_op(self->fd, XMIRROR_OP_LOAD, 8, p, 0, NULL));
	EXPECT_EQ(-EFAULT, xm_add(self->fd, p, 1));
	EXPECT_EQ(-EFAULT, xm_exclusive(self->fd, p, XM_PAGE, NULL));
	EXPECT_LEAF(self->fd, p, LEAF_NONE);
}

/* M1: a private page is fetched by two while a third takes it away. */
TEST_F(bugs, private_page_fetched_and_unmapped)
{
	int i, err = 0;

	NEED(XMIRROR_CAP_PRIVATE);
	START_ALL(meet_and_peek, 2);
	for (i = 0; i < ROUNDS; i++) {
		*self->p = 77;
		err |= xm_migrate(self->fd, self->p, XM_PAGE, 0, 0, NULL);
		pthread_barrier_wait(&self->barrier);
		if (mmap(self->p, XM_PAGE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) !=
		    self->p)
			err = -errno;
		pthread_barrier_wait(&self->barrier);
	}
	JOIN_ALL(2);
	EXPECT_EQ(0, err);
}

/* M4: many CPUs want one private page. */
TEST_F(bugs, private_page_fetched_by_many)
{
	int i, err = 0, away = 0;
	__u64 moved;

	NEED(XMIRROR_CAP_PRIVATE);
	*self->p = 0;
	START_ALL(meet_and_add, THREADS);
	for (i = 0; i < ROUNDS; i++) {
		err |= xm_migrate(self->fd, self->p, XM_PAGE, 0, 0, &moved);
		away += moved;
		pthread_barrier_wait(&self->barrier);
		pthread_barrier_wait(&self->barrier);
	}
	JOIN_ALL(THREADS);
	EXPECT_EQ(0, err);
	EXPECT_LT(0, away);
	EXPECT_EQ(ROUNDS * THREADS, *self->p);
}

static int migrate_until_stopped(struct worker *w)
{
	int err = 0;

	while (!XM_LOAD(&w->stop) && !err) {
		err = xm_migrate(w->fd, w->addr, XM_PAGE, 0, 0, NULL);
		if (!err)
			err = xm_migrate(w->fd, w->addr, XM_PAGE,
					 XMIRROR_MIGRATE_TO_SYSTEM, 0, NULL);
		XM_ADD(&w->arg, 1);
	}
	return err;
}

/* M5: one device wants what another one is moving, on one CPU. */
TEST_F(bugs, fault_on_a_page_in_migration)
{
	struct worker w = {
		.fn = migrate_until_stopped,
		.fd = self->fd,
		.addr = self->p,
	};
	int i, err = 0;
	__u64 was;

	NEED(XMIRROR_CAP_PRIVATE);
	ASSERT_EQ(0, conf_pin());
	*self->p = 1000;
	ASSERT_EQ(0, worker_start(&w));
	for (i = 0; i < ROUNDS && !err; i++) {
		was = XM_LOAD(&w.arg);
		err = xm_op(self->fd1, XMIRROR_OP_STORE, 8, self->p, i, NULL);
		while (!err && XM_LOAD(&w.arg) == was && !worker_ended(&w))
			sched_yield();
	}
	XM_STORE(&w.stop, true);
	EXPECT_EQ(0, worker_join(&w));
	EXPECT_EQ(0, err);
	EXPECT_EQ(ROUNDS - 1, XM_LOAD(self->p));
}

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
	unsigned char core[1024];
	__u64 sum = 0;
	size_t i;

	for (i = 0; i < len; i += XM_PAGE)
		sum += xm_pagemap(p + i);
	return !sum || read_all("/proc/self/smaps") ||
	       read_all("/proc/self/smaps_rollup") ||
	       read_all("/proc/self/numa_maps") || mincore(p, len, core);
}

/* M13: everything that tells about mappings, over every kind of entry */
TEST_F(bugs, views_of_every_kind)
{
	char *thp, *p = xm_anon(8 * XM_PAGE);
	int i;

	ASSERT_NE(NULL, p);
	memset(p, 0x11, 7 * XM_PAGE);
	ASSERT_EQ(0, xm_exclusive(self->fd, p, XM_PAGE, NULL));
	if (xm_caps() & XMIRROR_CAP_PRIVATE) {
		ASSERT_EQ(0, xm_migrate(self->fd, p + XM_PAGE, XM_PAGE, 0, 0,
					NULL));
	}
	if (xm_meminfo_kb("SwapTotal") > 0) {
		ASSERT_EQ(0, conf_pageout(p + 2 * XM_PAGE, XM_PAGE));
	}
	thp = conf_thp(self->fd, 0x22);
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(0, view_all(p, 8 * XM_PAGE));
		if (thp) {
			EXPECT_EQ(0, view_all(thp, XM_2M));
		}
		EXPECT_EQ(0, xm_write_file("/proc/self/clear_refs",
					   i ? "1" : "4"));
		if (thp && (xm_caps() & XMIRROR_CAP_PRIVATE)) {
			EXPECT_EQ(0, xm_migrate(self->fd, thp, XM_2M, 0, 0,
						NULL));
		}
	}
	EXPECT_TRUE(xm_is_exclusive(p));
	for (i = 0; i < 7; i++) {
		EXPECT_EQ(0x11, p[i * XM_PAGE]);
	}
	if (thp) {
		EXPECT_EQ(0x22, thp[XM_2M - 1]);
	}
}

/* M14: advice for memory of the device, by page and huge */
TEST_F(bugs, advice_for_private_memory)
{
	static const int advice[] = {
		MADV_COLD, MADV_PAGEOUT, MADV_WILLNEED, MADV_MERGEABLE,
		MADV_UNMERGEABLE, MADV_FREE, MADV_DONTNEED, -1
	};
	unsigned long nodes = 1;
	unsigned int i, kind;

	NEED(XMIRROR_CAP_PRIVATE);
	for (kind = 0; kind < 2; kind++) {
		for (i = 0; advice[i] >= 0; i++) {
			size_t len = kind ? XM_2M : 4 * XM_PAGE;
			char *p = kind ? conf_thp(self->fd, 0x22) :
					 xm_anon(len);
			char seen;

			if (!p)
				continue;
			memset(p, 0x22, len);
			ASSERT_EQ(0, xm_migrate(self->fd, p, len, 0, 0, NULL));
			ASSERT_EQ(0, madvise(p, len, advice[i]))
				TH_LOG("advice %d: %s", advice[i],
				       strerror(errno));
			EXPECT_EQ(0, syscall(SYS_mbind, p, len, MPOL_PREFERRED,
					     &nodes, 8UL, MPOL_MF_MOVE));
			EXPECT_CLEAN(self->fd);
			seen = p[len - 1];
			/* After MADV_FREE it may be either. */
			if (advice[i] == MADV_DONTNEED) {
				EXPECT_EQ(0, seen);
			} else if (advice[i] != MADV_FREE || seen) {
				EXPECT_EQ(0x22, seen);
			}
			munmap(p, len);
		}
	}
}

/* M15: write protection of a huge page outlives its stay in the device. */
TEST_F(bugs, uffd_wp_of_private_memory)
{
	int uffd = conf_uffd(UFFD_FEATURE_PAGEFAULT_FLAG_WP);
	char *p = conf_thp(self->fd, 0x22);

	NEED(XMIRROR_CAP_PRIVATE);
	if (uffd < 0)
		SKIP(return, "no CONFIG_USERFAULTFD");
	if (!p)
		SKIP(return, "no huge page was to be had");
	ASSERT_EQ(0, conf_uffd_register(uffd, p, XM_2M,
					UFFDIO_REGISTER_MODE_WP));
	ASSERT_EQ(0, conf_uffd_wp(uffd, p, XM_2M, true));
	ASSERT_EQ(0, xm_migrate(self->fd, p, XM_2M, 0, 0, NULL));
	EXPECT_NE(0, xm_pagemap(p + 7 * XM_PAGE) & CONF_PM_UFFD_WP);
	ASSERT_EQ(0, mprotect(p, XM_2M, PROT_READ));
	ASSERT_EQ(0, mprotect(p, XM_2M, PROT_READ | PROT_WRITE));
	EXPECT_NE(0, xm_pagemap(p + 7 * XM_PAGE) & CONF_PM_UFFD_WP);
	EXPECT_EQ(0x22, p[7 * XM_PAGE]);
	EXPECT_NE(0, xm_pagemap(p + 7 * XM_PAGE) & CONF_PM_UFFD_WP);
	EXPECT_EQ(0, xm_page(self->fd, p + 7 * XM_PAGE).cpu &
		     XMIRROR_CPU_WRITE);
	close(uffd);
}

TEST_HARNESS_MAIN
