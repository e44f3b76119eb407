// SPDX-License-Identifier: GPL-2.0
/*
 * A checkpoint, as CRIU makes it, and a core dump of a process whose memory a device has,
 * while the device goes on: the image has what the process has, and the process loses
 * nothing by it.
 */
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include <linux/elf.h>

#include "group.h"
#include "settings.h"
#include "test.h"

#define PAGES	8UL
#define SIZE	(PAGES * XM_PAGE)

/* The work of the device on each area; its words are value(area, i). */
enum area {
	COUNTED,	/* adds for ever, to the first word of each page */
	HELD,		/* has written it by atomics, and has it exclusively */
	STORED,		/* has written it by a leaf */
	PRIVATE,	/* has it in its memory, and has written it there */
	NR_AREAS
};

/** struct victim - memory at the same address in parent and child */
struct victim {
	__u64 *p[NR_AREAS];
	struct group g;
	bool in_group;
};

static __u64 value(enum area area, size_t i)
{
	return (area + 1) * 0x100000001ULL * (i + 1);
}

static int has_area(int fd, __u64 *p, enum area area)
{
	enum xmirror_op op = area == HELD ? XMIRROR_OP_XCHG : XMIRROR_OP_STORE;
	__u64 moved = 0;
	size_t i;
	int err = 0;

	memset(p, 0, SIZE);
	if (area == PRIVATE)
		err = xm_migrate(fd, p, SIZE, 0, 0, &moved);
	if (!err && area == PRIVATE && moved != PAGES)
		err = -EAGAIN;
	for (i = 0; i < PAGES && !err; i++)
		err = xm_op(fd, op, 8, p + i * XM_WORDS, value(area, i), NULL);
	return err;
}

static int start_counting(int fd, __u64 *p, __u64 *fence)
{
	struct xmirror_cmd cmd = xm_cmds(XMIRROR_OP_ADD, 8, p, XM_PAGE, PAGES, 1);
	__u64 start = xm_now_ns();
	int err;

	memset(p, 0, SIZE);
	err = xm_submit(fd, 0, &cmd, 1, ~0ULL, fence);
	while (!err && !XM_LOAD(p)) {
		if (xm_expired(start, XM_LONG))
			err = -ETIMEDOUT;
		sched_yield();
	}
	return err;
}

/* The words of each area but the first, which is the device's */
static unsigned int wrong(__u64 *const words[NR_AREAS])
{
	unsigned int n = 0;
	enum area area;
	size_t i, k;

	for (area = HELD; area < NR_AREAS; area++) {
		for (i = 0; i < PAGES; i++) {
			const __u64 *p = words[area] + i * XM_WORDS;

			n += p[0] != value(area, i);
			for (k = 1; k < XM_WORDS; k++)
				n += p[k] != 0;
		}
	}
	return n;
}

static int be_worked_on(struct child *c, void *arg)
{
	struct victim *v = arg;
	struct xmirror_wait w = {};
	__u64 fence, sum = 0;
	int fd = xm_open(0);
	enum area area;
	size_t i;
	int what;

	CHILD_CHECK(fd >= 0);
	if (v->in_group)
		CHILD_CHECK(!group_enter(&v->g));
	for (area = HELD; area < NR_AREAS; area++)
		CHILD_CHECK(!has_area(fd, v->p[area], area));
	CHILD_CHECK(!start_counting(fd, v->p[COUNTED], &fence));
	CHILD_CHECK(xm_count_exclusive(v->p[HELD], SIZE) == PAGES);
	CHILD_CHECK(xm_is_private(fd, v->p[PRIVATE]));
	CHILD_CHECK(!child_tell(c, 'r'));
	what = child_hear(c);
	if (what == 'a')
		abort();
	CHILD_CHECK(what == 'e');
	CHILD_CHECK(xm_cancel(fd, fence, &w) == 0 && w.status == -ECANCELED);
	for (i = 0; i < PAGES; i++)
		sum += v->p[COUNTED][i * XM_WORDS];
	CHILD_CHECK(sum == w.ops);
	CHILD_CHECK(!wrong(v->p));
	CHILD_CHECK(!xm_violations(fd, NULL, 0));
	return 0;
}

FIXTURE(image) {
	struct victim v;
	struct child c;
	bool running;
	char dir[32];
};

FIXTURE_SETUP(image)
{
	enum area area;

	NEED(XMIRROR_CAP_EXCLUSIVE | XMIRROR_CAP_PRIVATE);
	for (area = 0; area < NR_AREAS; area++) {
		self->v.p[area] = xm_anon(SIZE);
		ASSERT_NE(NULL, self->v.p[area]);
	}
}

FIXTURE_TEARDOWN(image)
{
	char path[64];

	if (self->running) {
		kill(self->c.pid, SIGKILL);
		child_end(&self->c);
	}
	if (self->v.in_group) {
		EXPECT_EQ(0, group_remove(&self->v.g));
	}
	if (!self->dir[0])
		return;
	snprintf(path, sizeof(path), "%s/core", self->dir);
	unlink(path);
	snprintf(path, sizeof(path), "%s/go", self->dir);
	unlink(path);
	EXPECT_EQ(0, rmdir(self->dir));
}

#define START() \
	do { \
		ASSERT_EQ(0, child_start(&self->c, be_worked_on, &self->v)); \
		self->running = true; \
		ASSERT_EQ('r', child_hear(&self->c)); \
	} while (0)

/* Copies of all areas, taken from outside */
static int copy_all(pid_t pid, const struct victim *v, __u64 *to[NR_AREAS])
{
	enum area area;

	for (area = 0; area < NR_AREAS; area++) {
		struct iovec there = { v->p[area], SIZE };
		struct iovec here = { to[area], SIZE };
		ssize_t n = process_vm_readv(pid, &here, 1, &there, 1, 0);

		if (n != (ssize_t)SIZE)
			return n < 0 ? -errno : -EIO;
	}
	return 0;
}

static __u64 *copies[NR_AREAS];

static int copies_make(void)
{
	enum area area;

	for (area = 0; area < NR_AREAS; area++) {
		copies[area] = xm_anon(SIZE);
		if (!copies[area])
			return -ENOMEM;
	}
	return 0;
}

/* The device goes on: each word that it adds to is larger than before. */
static int counts_on(pid_t pid, const struct victim *v)
{
	__u64 old[PAGES], start = xm_now_ns();
	size_t i;
	int err = copy_all(pid, v, copies);

	for (i = 0; i < PAGES; i++)
		old[i] = copies[COUNTED][i * XM_WORDS];
	for (i = 0; i < PAGES && !err; ) {
		if (copies[COUNTED][i * XM_WORDS] > old[i]) {
			i++;
			continue;
		}
		if (xm_expired(start, XM_LONG))
			return -ETIMEDOUT;
		err = copy_all(pid, v, copies);
	}
	return err;
}

/* Read it all: bytes, or a negative errno */
static long read_view(pid_t pid, const char *name)
{
	char path[64], buf[4096];
	long sum = 0;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	while ((n = read(fd, buf, sizeof(buf))) > 0)
		sum += n;
	close(fd);
	return n < 0 ? -errno : sum;
}

static int forget_refs(pid_t pid, const char *what)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/clear_refs", pid);
	return xm_write_file(path, what);
}

/* Pages of an area that are there, in whatever way */
static unsigned int pages_there(pid_t pid, const __u64 *p)
{
	unsigned int n = 0;
	size_t i;

	for (i = 0; i < PAGES; i++)
		n += !!(xm_pagemap_of(pid, p + i * XM_WORDS) &
			(XM_PM_PRESENT | XM_PM_SWAP));
	return n;
}

/* The process is frozen, and the device is not. */
/* covers: B.remote, B.views, R12 */
TEST_F(image, checkpoint_of_a_frozen_process)
{
	static const char *const views[] = {
		"maps", "smaps", "smaps_rollup", "numa_maps", "status",
		"statm", "stat",
	};
	__u64 seen[PAGES];
	enum area area;
	size_t i;

	if (group_make(&self->v.g, "image"))
		XM_SKIP(return, "no memory controller for cgroups");
	self->v.in_group = true;
	ASSERT_EQ(0, copies_make());
	START();
	ASSERT_EQ(0, group_freeze(&self->v.g, true));
	for (i = 0; i < ARRAY_SIZE(views); i++) {
		long n = read_view(self->c.pid, views[i]);

		EXPECT_TRUE(n > 0 || (n == -ENOENT && views[i][0] == 'n')) {
			TH_LOG("%s: %ld", views[i], n);
		}
	}
	for (area = 0; area < NR_AREAS; area++) {
		EXPECT_EQ(PAGES, pages_there(self->c.pid, self->v.p[area])) {
			TH_LOG("area %u", area);
		}
	}
	EXPECT_EQ(0, counts_on(self->c.pid, &self->v));
	EXPECT_EQ(0, wrong(copies));

	/* The next one would take what was written since. */
	EXPECT_EQ(0, forget_refs(self->c.pid, "1"));
	if (xm_has_soft_dirty()) {
		EXPECT_EQ(0, forget_refs(self->c.pid, "4"));
		ASSERT_EQ(0, copy_all(self->c.pid, &self->v, copies));
		EXPECT_EQ(0, wrong(copies));
		ASSERT_EQ(0, counts_on(self->c.pid, &self->v));
		for (i = 0; i < PAGES; i++) {
			EXPECT_NE(0, xm_pagemap_of(self->c.pid, self->v.p[COUNTED] +
						i * XM_WORDS) & XM_PM_SOFT_DIRTY);
		}
	}
	ASSERT_EQ(0, copy_all(self->c.pid, &self->v, copies));
	for (i = 0; i < PAGES; i++)
		seen[i] = copies[COUNTED][i * XM_WORDS];
	ASSERT_EQ(0, group_freeze(&self->v.g, false));
	ASSERT_EQ(0, copy_all(self->c.pid, &self->v, copies));
	for (i = 0; i < PAGES; i++) {
		EXPECT_LE(seen[i], copies[COUNTED][i * XM_WORDS]);
	}
	/* Nothing was added twice, or lost. */
	ASSERT_EQ(0, child_tell(&self->c, 'e'));
	EXPECT_EQ(0, child_end(&self->c));
	self->running = false;
}

/*
 * The program that takes the core: the kernel starts this program again, with the core at its
 * standard input. It waits for the test before it reads any, so that the dump stands
 * still in the middle of it.
 */
static int take_core(const char *dir)
{
	static char buf[XM_64K];
	char path[64], byte;
	int go, to;
	ssize_t n;

	snprintf(path, sizeof(path), "%s/go", dir);
	go = open(path, O_RDONLY);
	if (go < 0 || read(go, &byte, 1) != 1)
		return 1;
	snprintf(path, sizeof(path), "%s/core", dir);
	to = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	while ((n = read(0, buf, sizeof(buf))) > 0) {
		if (write(to, buf, n) != n)
			return 1;
	}
	/* The test sees the end of the other direction. */
	close(to);
	snprintf(path, sizeof(path), "%s/go", dir);
	unlink(path);
	return n < 0;
}

/* The taker has started: the end to tell it to go on */
static int taker(const char *dir)
{
	__u64 start = xm_now_ns();
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "%s/go", dir);
	while ((fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC)) < 0 &&
	       errno == ENXIO && !xm_expired(start, XM_LONG))
		sched_yield();
	return fd < 0 ? -errno : fd;
}

static int taker_ended(const char *dir)
{
	__u64 start = xm_now_ns();
	char path[64];

	snprintf(path, sizeof(path), "%s/go", dir);
	while (!access(path, F_OK)) {
		if (xm_expired(start, XM_LONG))
			return -ETIMEDOUT;
		sched_yield();
	}
	return 0;
}

/* @len bytes at @addr as the core has them */
static int read_core(int core, const void *addr, void *to, size_t len)
{
	__u64 at = (uintptr_t)addr;
	struct elf64_hdr e;
	struct elf64_phdr p;
	unsigned int i;

	if (pread(core, &e, sizeof(e), 0) != sizeof(e) ||
	    memcmp(e.e_ident, ELFMAG, SELFMAG) || e.e_type != ET_CORE)
		return -ENOEXEC;
	for (i = 0; i < e.e_phnum; i++) {
		if (pread(core, &p, sizeof(p), e.e_phoff + i * sizeof(p)) !=
		    sizeof(p))
			return -EIO;
		if (p.p_type == PT_LOAD && at >= p.p_vaddr &&
		    at + len <= p.p_vaddr + p.p_filesz)
			return pread(core, to, len, p.p_offset + at - p.p_vaddr)
			       == (ssize_t)len ? 0 : -EIO;
	}
	return -ENOENT;
}

/* Cores go to this program, with the name of a new directory: 1 if there are none */
static int cores_come_here(char dir[32])
{
	struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
	char pattern[128], exe[64], path[64];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);

	if (n < 0)
		return -errno;
	exe[n] = 0;
	snprintf(dir, 32, "/tmp/xmirror-XXXXXX");
	if (!mkdtemp(dir)) {
		dir[0] = 0;
		return -errno;
	}
	snprintf(path, sizeof(path), "%s/go", dir);
	if (mkfifo(path, 0600))
		return -errno;
	snprintf(pattern, sizeof(pattern), "|%s --core %s", exe, dir);
	if (xm_setting("/proc/sys/kernel/core_pattern", pattern))
		return 1;
	return setrlimit(RLIMIT_CORE, &unlimited) ? -errno : 0;
}

/* The taker goes on by @go, and the child ends by abort(): its core, or a negative errno */
static int core_of(struct child *c, bool *running, const char *dir, int go)
{
	char path[64];
	int end;

	if (write(go, "g", 1) != 1)
		return -EIO;
	end = child_end(c);
	*running = false;
	if (end != 128 + SIGABRT)
		return -ECHILD;
	if (taker_ended(dir))
		return -ETIMEDOUT;
	close(go);
	snprintf(path, sizeof(path), "%s/core", dir);
	end = open(path, O_RDONLY | O_CLOEXEC);
	return end < 0 ? -errno : end;
}

/* covers: B.coredump, R12 */
TEST_F(image, core_dump_beside_the_device)
{
	__u64 seen[PAGES];
	enum area area;
	int go, core, err;
	size_t i;

	err = cores_come_here(self->dir);
	if (err > 0)
		XM_SKIP(return, "no core dumps: CONFIG_COREDUMP");
	ASSERT_EQ(0, err);
	ASSERT_EQ(0, copies_make());
	START();
	ASSERT_EQ(0, copy_all(self->c.pid, &self->v, copies));
	for (i = 0; i < PAGES; i++)
		seen[i] = copies[COUNTED][i * XM_WORDS];
	ASSERT_EQ(0, child_tell(&self->c, 'a'));
	go = taker(self->dir);
	ASSERT_LE(0, go);
	/* The dump stands still, and the device does not. */
	EXPECT_EQ(0, counts_on(self->c.pid, &self->v));
	EXPECT_EQ(0, wrong(copies));
	core = core_of(&self->c, &self->running, self->dir, go);
	ASSERT_LE(0, core);
	for (area = 0; area < NR_AREAS; area++) {
		memset(copies[area], 0xee, SIZE);
		ASSERT_EQ(0, read_core(core, self->v.p[area], copies[area], SIZE)) {
			TH_LOG("area %u is not in the core", area);
		}
	}
	close(core);
	EXPECT_EQ(0, wrong(copies));
	for (i = 0; i < PAGES; i++) {
		EXPECT_LE(seen[i], copies[COUNTED][i * XM_WORDS]);
	}
}

/** struct both - a huge page and small ones in the device */
struct both {
	__u64 *huge;
	__u64 *small;
};

static int die_with_both(struct child *c, void *arg)
{
	struct both *b = arg;
	int fd = xm_open(0);

	CHILD_CHECK(fd >= 0);
	CHILD_CHECK((xm_page(fd, b->huge).cpu & XM_HUGE_PRIVATE) == XM_HUGE_PRIVATE);
	CHILD_CHECK(xm_is_private(fd, b->small));
	CHILD_CHECK(!child_tell(c, 'r'));
	CHILD_CHECK(child_hear(c) == 'a');
	abort();
}

static bool all_zero(const __u64 *p, size_t len)
{
	size_t i;

	for (i = 0; i < len / sizeof(*p); i++) {
		if (p[i])
			return false;
	}
	return true;
}

/* covers: I.coredump */
TEST_F(image, core_dump_has_a_huge_private_page)
{
	struct both b = { .small = xm_anon(SIZE) };
	__u64 *copy = xm_anon(XM_PMD), moved;
	int fd, go, core, err;
	size_t lost;

	NEED(XMIRROR_CAP_PRIVATE_LARGE);
	if (XM_HUGE_IS_RARE)
		XM_SKIP(return, "a core with a huge page takes too much memory");
	OPEN(fd, 0);
	ASSERT_NE(NULL, b.small);
	ASSERT_NE(NULL, copy);
	b.huge = (__u64 *)xm_thp(fd, 0);
	if (!b.huge)
		XM_SKIP(return, "%s", xm_why_no_thp());
	xm_fill_pages(b.huge, XM_PMD_PAGES);
	xm_fill_pages(b.small, PAGES);
	MIGRATE_HUGE(fd, b.huge);
	ASSERT_EQ(0, xm_migrate(fd, b.small, SIZE, 0, 0, &moved));
	ASSERT_EQ(PAGES, moved);
	err = cores_come_here(self->dir);
	if (err > 0)
		XM_SKIP(return, "no core dumps: CONFIG_COREDUMP");
	ASSERT_EQ(0, err);
	ASSERT_EQ(0, child_start(&self->c, die_with_both, &b));
	self->running = true;
	ASSERT_EQ('r', child_hear(&self->c));
	ASSERT_EQ(0, child_tell(&self->c, 'a'));
	go = taker(self->dir);
	ASSERT_LE(0, go);
	core = core_of(&self->c, &self->running, self->dir, go);
	ASSERT_LE(0, core);
	memset(copy, 0xee, XM_PMD);
	ASSERT_EQ(0, read_core(core, b.small, copy, SIZE));
	EXPECT_EQ(0, xm_wrong_pages(copy, PAGES));
	memset(copy, 0xee, XM_PMD);
	ASSERT_EQ(0, read_core(core, b.huge, copy, XM_PMD));
	close(core);
	lost = xm_wrong_pages(copy, XM_PMD_PAGES);
	XM_XFAIL_IF(true, !lost, "finding 43: the core lacks a huge private page");
	/* It is a hole, if anything, and not a part of somebody else's memory. */
	EXPECT_TRUE(!lost || all_zero(copy, XM_PMD));
	/* The parent has it still. */
	EXPECT_EQ(0, xm_wrong_pages(b.huge, XM_PMD_PAGES));
	EXPECT_CLEAN(fd);
	munmap(b.huge, XM_PMD);
	close(fd);
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "--core"))
		return take_core(argv[2]);
	return test_harness_run(argc, argv);
}
