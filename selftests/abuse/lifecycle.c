// SPDX-License-Identifier: GPL-2.0
/*
 * Ends of things while the device works: a process, an open file that another process
 * has, the modules, memory.
 *
 * XM_LOADS in the environment is how often the modules are unloaded and loaded,
 * five times if it is not set.
 */
#include <fcntl.h>
#include <sys/swap.h>

#include "group.h"
#include "module.h"
#include "raw.h"
#include "resident.h"
#include "test.h"

#define PAGES		16UL
#define SIZE		(PAGES * XM_PAGE)

/* --- the end of a process, at each sync point ----------------------------- */

/* Own invalidations come from making pages exclusive that are mapped. */
static int work_fault_exclusive(struct worker *w)
{
	int err = xm_fault(w->fd, w->addr, w->len, 0, NULL);

	return err ? err : work_exclusive(w);
}

static int work_exclusive_release(struct worker *w)
{
	int err = work_exclusive(w);

	return err ? err : work_release(w);
}

static int work_fault_dontneed(struct worker *w)
{
	int err = work_fault_write(w);

	return err ? err : madvise(w->addr, w->len, MADV_DONTNEED) ? -errno : 0;
}

/* The CPU's touch brings the page back. */
static int work_there_and_back(struct worker *w)
{
	int err = work_to_device(w);

	return err ? err : work_touch(w);
}

/* The pages of another mirror of the device go with it. */
static int work_evict(struct worker *w)
{
	int fd = xm_open(0), err;

	if (fd < 0)
		return fd;
	err = xm_migrate(fd, w->addr, w->len, 0, 0, NULL);
	close(fd);
	return err;
}

static int work_raw_exclusive(struct worker *w)
{
	int ret = raw_exclusive(w->fd, w->addr, 1, XMIRROR_RAW_MIRROR, NULL);

	return ret < 0 ? ret : 0;
}

static int work_raw_migrate(struct worker *w)
{
	long ret = raw_to(w->fd, w->addr, w->len / XM_PAGE,
			  XMIRROR_RAW_PRIVATE);

	return ret < 0 ? ret : 0;
}

static int work_hold(struct worker *w)
{
	return resident_add(w->fd, w->addr, w->len, XMIRROR_RESIDENT_WRITE);
}

static int work_hold_dontneed(struct worker *w)
{
	int err = work_hold(w);

	return err ? err : madvise(w->addr, w->len, MADV_DONTNEED) ? -errno : 0;
}

static int unplug(int fd, __u32 flags)
{
	struct xmirror_unplug u = {
		.size = sizeof(u),
		.flags = flags,
		.timeout_ms = XM_LONG,
	};

	return xm_ioctl(fd, XMIRROR_IOC_UNPLUG, &u);
}

/* The test plugs it in again. */
static int work_unplug(struct worker *w)
{
	return unplug(w->fd, 0);
}

static const struct point {
	const char *name;
	int (*fn)(struct worker *w);
	__u64 cap;
	bool never;	/* nobody can stop there */
} points[XMIRROR_PT_NR] = {
	[XMIRROR_PT_FAULT_BEGIN] = { "FAULT_BEGIN", work_fault_write, 0 },
	[XMIRROR_PT_FAULT_WALKED] = { "FAULT_WALKED", work_fault_write, 0 },
	[XMIRROR_PT_FAULT_DONE] = { "FAULT_DONE", work_fault_write, 0 },
	[XMIRROR_PT_EXCL_BEGIN] = { "EXCL_BEGIN", work_exclusive,
		XMIRROR_CAP_EXCLUSIVE },
	[XMIRROR_PT_EXCL_MADE] = { "EXCL_MADE", work_exclusive,
		XMIRROR_CAP_EXCLUSIVE },
	[XMIRROR_PT_EXCL_COMMITTED] = { "EXCL_COMMITTED", work_exclusive,
		XMIRROR_CAP_EXCLUSIVE },
	[XMIRROR_PT_EXCL_DONE] = { "EXCL_DONE", work_exclusive,
		XMIRROR_CAP_EXCLUSIVE },
	[XMIRROR_PT_ACCESS] = { "ACCESS", NULL, 0 },
	[XMIRROR_PT_INV_OWN] = { "INV_OWN", work_fault_exclusive,
		XMIRROR_CAP_EXCLUSIVE },
	[XMIRROR_PT_INV_ENTER] = { "INV_ENTER", work_fault_dontneed, 0 },
	[XMIRROR_PT_INV_EXIT] = { "INV_EXIT", work_fault_dontneed, 0 },
	[XMIRROR_PT_RELEASE] = { "RELEASE", work_exclusive_release,
		XMIRROR_CAP_EXCLUSIVE },
	[XMIRROR_PT_MIGRATE_BEGIN] = { "MIGRATE_BEGIN", work_to_device,
		XMIRROR_CAP_PRIVATE },
	[XMIRROR_PT_MIGRATE_COPIED] = { "MIGRATE_COPIED", work_to_device,
		XMIRROR_CAP_PRIVATE },
	[XMIRROR_PT_DEVMEM_ALLOC] = { "DEVMEM_ALLOC", work_to_device,
		XMIRROR_CAP_PRIVATE },
	[XMIRROR_PT_MIGRATE_COPY] = { "MIGRATE_COPY", work_to_device,
		XMIRROR_CAP_PRIVATE },
	[XMIRROR_PT_MIGRATE_PAGE] = { "MIGRATE_PAGE", work_to_device,
		XMIRROR_CAP_PRIVATE },
	[XMIRROR_PT_DIRTY] = { .name = "DIRTY", .never = true },
	[XMIRROR_PT_EXCL_STALE] = { .name = "EXCL_STALE", .never = true },
	[XMIRROR_PT_MIGRATE_UNMAPPED] = { "MIGRATE_UNMAPPED", work_to_device,
		XMIRROR_CAP_PRIVATE },
	[XMIRROR_PT_MIGRATE_MOVED] = { "MIGRATE_MOVED", work_to_device,
		XMIRROR_CAP_PRIVATE },
	[XMIRROR_PT_TO_RAM_BEGIN] = { "TO_RAM_BEGIN", work_there_and_back,
		XMIRROR_CAP_PRIVATE },
	[XMIRROR_PT_TO_RAM_UNMAPPED] = { "TO_RAM_UNMAPPED", work_there_and_back,
		XMIRROR_CAP_PRIVATE },
	[XMIRROR_PT_TO_RAM_COPIED] = { "TO_RAM_COPIED", work_there_and_back,
		XMIRROR_CAP_PRIVATE },
	[XMIRROR_PT_TO_RAM_MOVED] = { "TO_RAM_MOVED", work_there_and_back,
		XMIRROR_CAP_PRIVATE },
	[XMIRROR_PT_TO_RAM_DONE] = { "TO_RAM_DONE", work_there_and_back,
		XMIRROR_CAP_PRIVATE },
	[XMIRROR_PT_EVICT_BEGIN] = { "EVICT_BEGIN", work_evict,
		XMIRROR_CAP_PRIVATE },
	[XMIRROR_PT_EVICT_UNMAPPED] = { "EVICT_UNMAPPED", work_evict,
		XMIRROR_CAP_PRIVATE },
	[XMIRROR_PT_EVICT_COPIED] = { "EVICT_COPIED", work_evict,
		XMIRROR_CAP_PRIVATE },
	[XMIRROR_PT_UNPLUG] = { "UNPLUG", work_unplug,
		XMIRROR_CAP_PRIVATE },
	[XMIRROR_PT_FAULT_LOCKED] = { "FAULT_LOCKED", work_fault_write, 0 },
	[XMIRROR_PT_RAW_EXCLUSIVE] = { "RAW_EXCLUSIVE", work_raw_exclusive,
		XMIRROR_CAP_EXCLUSIVE },
	[XMIRROR_PT_RAW_UNMAPPED] = { "RAW_UNMAPPED", work_raw_migrate,
		XMIRROR_CAP_PRIVATE },
	[XMIRROR_PT_RAW_MOVED] = { "RAW_MOVED", work_raw_migrate,
		XMIRROR_CAP_PRIVATE },
	[XMIRROR_PT_QUEUES_STOPPED] = { "QUEUES_STOPPED", work_hold_dontneed, 0 },
	[XMIRROR_PT_RESTORE_BEGIN] = { "RESTORE_BEGIN", work_hold, 0 },
	[XMIRROR_PT_FAULT_MISSING] = { "FAULT_MISSING", work_fault_write, 0 },
};

enum end { END_EXIT, END_KILL, END_EXEC, END_FORK, END_CLOSE, END_NR };

static const char *const ends[] = { "exit", "kill", "exec", "fork", "close" };

struct scene {
	enum xmirror_point point;
	enum end end;
};

/* Fork when @stop is set; the child sees what was written, or that it went. */
static int work_fork_then(struct worker *w)
{
	__u64 value;
	int status;
	pid_t pid;

	while (!XM_LOAD(&w->stop))
		sched_yield();
	pid = fork();
	if (pid < 0)
		return -errno;
	if (!pid) {
		value = XM_LOAD((__u64 *)w->addr + XM_WORDS - 1);
		_exit(value != 7 && value);
	}
	return waitpid(pid, &status, 0) == pid ? status : -errno;
}

/*
 * The child stops the device at a point and ends in its way. It exits with 0,
 * unless it is to be killed.
 */
static int actor(struct child *c, void *arg)
{
	const struct scene *s = arg;
	const struct point *point = &points[s->point];
	struct worker op = { .fn = point->fn }, other = {};
	struct xmirror_cmd cmd;
	__u64 *p, fence;
	__u32 id;
	size_t i;

	/* No page fault of its own while it holds locks at the point. */
	CHILD_CHECK(!xm_no_faults());
	p = xm_anon(SIZE);
	op.fd = xm_open(0);
	CHILD_CHECK(p && op.fd >= 0);
	for (i = 0; i < SIZE / 8; i++)
		p[i] = 7;
	op.addr = p;
	op.len = SIZE;
	CHILD_CHECK(!xm_sync_arm(op.fd, s->point, p, SIZE, &id));
	/* A thread cannot be made any more when mmap_lock is held. */
	other.fn = work_fork_then;
	other.addr = p;
	if (s->end == END_FORK)
		CHILD_CHECK(!worker_start(&other));
	if (op.fn) {
		CHILD_CHECK(!worker_start(&op));
	} else {
		cmd = xm_cmds(XMIRROR_OP_LOAD, 8, p, 8, SIZE / 8, 0);
		CHILD_CHECK(!xm_submit(op.fd, 0, &cmd, 1, 1, &fence));
	}
	CHILD_CHECK(!xm_sync_reached(op.fd, id, XM_LONG));
	switch (s->end) {
	case END_KILL:
		child_tell(c, 'k');
		child_hear(c);
		return 1;
	case END_EXEC:
		execl("/proc/self/exe", "lifecycle", "--exit", NULL);
		return 1;
	case END_FORK:
		/* It may have to wait for the one that is stopped. */
		XM_STORE(&other.stop, true);
		CHILD_CHECK(!xm_sync_resume(op.fd, id, NULL));
		CHILD_CHECK(!worker_join(&other));
		if (op.fn)
			CHILD_CHECK(!worker_join(&op));
		return 0;
	case END_CLOSE:
		/* A call in progress keeps the file: let that one go on. */
		if (op.fn)
			CHILD_CHECK(!xm_sync_resume(op.fd, id, NULL));
		close(op.fd);
		if (op.fn)
			CHILD_CHECK(!worker_join(&op));
		return 0;
	default:
		/* The file is closed by exit(), with the device stopped. */
		return 0;
	}
}

FIXTURE(ending) {
	int fd;
	__u64 free_at_start;
};

FIXTURE_VARIANT(ending) {
	enum end end;
};

FIXTURE_VARIANT_ADD(ending, by_exit) { .end = END_EXIT };
FIXTURE_VARIANT_ADD(ending, by_kill) { .end = END_KILL };
FIXTURE_VARIANT_ADD(ending, by_exec) { .end = END_EXEC };
FIXTURE_VARIANT_ADD(ending, by_fork) { .end = END_FORK };
/* covers: T1 */
FIXTURE_VARIANT_ADD(ending, by_close) { .end = END_CLOSE };

FIXTURE_SETUP(ending)
{
	struct xmirror_stats s;

	OPEN(self->fd, 0);
	ASSERT_EQ(0, xm_stats(self->fd, &s));
	self->free_at_start = s.devmem_free;
}

FIXTURE_TEARDOWN(ending)
{
	struct xmirror_stats s;

	/* The end took nothing else along. */
	EXPECT_EQ(0, xm_stats(self->fd, &s));
	EXPECT_EQ(self->free_at_start, s.devmem_free);
	close(self->fd);
}

/* covers: D8, B.exit */
TEST_F(ending, at_each_point)
{
	struct scene s = { .end = variant->end };
	struct child c;
	int p, status;

	for (p = 0; p < XMIRROR_PT_NR; p++) {
		ASSERT_NE(NULL, points[p].name)
			TH_LOG("sync point %d is not in the table", p);
		if ((xm_caps() & points[p].cap) != points[p].cap ||
		    points[p].never)
			continue;
		s.point = p;
		ASSERT_EQ(0, child_start(&c, actor, &s));
		if (s.end == END_KILL) {
			EXPECT_EQ('k', child_hear(&c))
				TH_LOG("%s", points[p].name);
			kill(c.pid, SIGKILL);
		}
		status = child_end(&c);
		EXPECT_EQ(s.end == END_KILL ? 128 + SIGKILL : 0, status)
			TH_LOG("%s at %s", ends[s.end], points[p].name);
		/* The device is fit for the next one. */
		if (xm_caps() & XMIRROR_CAP_PRIVATE) {
			EXPECT_EQ(0, unplug(self->fd, XMIRROR_UNPLUG_REPLUG));
		}
		EXPECT_CLEAN(self->fd);
	}
}

/* --- a file in other hands ------------------------------------------------- */

static int keeper(struct child *c, void *arg)
{
	struct xmirror_stats s;
	int fd = child_recv_fd(c);
	__u64 *p = arg;

	CHILD_CHECK(fd >= 0);
	/* The opener lives: its memory is none of ours. */
	CHILD_CHECK(xm_stats(fd, &s) == -EPERM);
	CHILD_CHECK(xm_read(fd, p, &s, 8) == -EPERM);
	CHILD_CHECK(!child_tell(c, 'p'));
	CHILD_CHECK(child_hear(c) == 'c');
	/* Ours is the last one: this takes the mirror of another mm down. */
	CHILD_CHECK(!close(fd));
	CHILD_CHECK(!child_tell(c, 'd'));
	return 0;
}

TEST(file_passed_over_a_socket)
{
	__u64 *p = xm_anon(SIZE);
	struct child c;
	int fd;

	ASSERT_NE(NULL, p);
	OPEN(fd, 0);
	p[0] = 1;
	ASSERT_EQ(0, xm_fault(fd, p, SIZE, XMIRROR_FAULT_WRITE, NULL));
	ASSERT_EQ(0, child_start(&c, keeper, p));
	ASSERT_EQ(0, child_send_fd(&c, fd));
	EXPECT_EQ('p', child_hear(&c));
	EXPECT_CLEAN(fd);
	EXPECT_EQ(0, close(fd));
	/* The mirror is still there and follows. */
	ASSERT_EQ(0, mprotect(p, SIZE, PROT_READ));
	ASSERT_EQ(0, munmap(p, SIZE));
	ASSERT_EQ(0, child_tell(&c, 'c'));
	EXPECT_EQ('d', child_hear(&c));
	EXPECT_EQ(0, child_end(&c));
}

static int opener(struct child *c, void *arg)
{
	__u64 *p = xm_anon(SIZE);
	int fd = xm_open(0);

	(void)arg;
	CHILD_CHECK(p && fd >= 0);
	p[0] = 1;
	CHILD_CHECK(!xm_fault(fd, p, SIZE, XMIRROR_FAULT_WRITE, NULL));
	if (xm_caps() & XMIRROR_CAP_PRIVATE)
		CHILD_CHECK(!xm_migrate(fd, p, SIZE, 0, 0, NULL));
	CHILD_CHECK(!child_send_fd(c, fd));
	return 0;
}

TEST(file_outlives_its_process)
{
	struct xmirror_stats s;
	struct child c;
	int fd;

	ASSERT_EQ(0, child_start(&c, opener, NULL));
	fd = child_recv_fd(&c);
	ASSERT_GE(fd, 0);
	ASSERT_EQ(0, child_end(&c));
	EXPECT_EQ(-ESRCH, xm_stats(fd, &s));
	EXPECT_EQ(-ESRCH, xm_fault(fd, &s, XM_PAGE, 0, NULL));
	EXPECT_EQ(0, close(fd));
}

/* --- memory that runs out --------------------------------------------------- */

#define LIMIT	"32M"

FIXTURE(limited) {
	int fd;
	struct group g;
	__u64 free_at_start;
};

FIXTURE_SETUP(limited)
{
	int err = group_make(&self->g, "lifecycle");
	struct xmirror_stats s;

	if (err == -ENOENT)
		XM_SKIP(return, "no memory control groups");
	ASSERT_EQ(0, err);
	ASSERT_EQ(0, group_limit(&self->g, LIMIT));
	ASSERT_EQ(0, group_no_swap(&self->g));
	OPEN(self->fd, 0);
	ASSERT_EQ(0, xm_stats(self->fd, &s));
	self->free_at_start = s.devmem_free;
}

FIXTURE_TEARDOWN(limited)
{
	struct xmirror_stats s;

	EXPECT_EQ(0, xm_stats(self->fd, &s));
	EXPECT_EQ(self->free_at_start, s.devmem_free);
	close(self->fd);
	EXPECT_EQ(0, group_remove(&self->g));
}

#define MUCH	(96UL << 20)

static int hog(struct child *c, void *arg)
{
	struct worker w = { .fn = work_fault_write };
	char *p;

	(void)c;
	p = xm_anon(MUCH);
	w.fd = xm_open(0);
	CHILD_CHECK(p && w.fd >= 0);
	CHILD_CHECK(!group_enter(arg));
	/* The device makes the pages, so it is the one that meets the limit. */
	w.addr = p;
	w.len = MUCH;
	work_fault_write(&w);
	memset(p, 1, MUCH);
	return 1;
}

/* covers: B.exit */
TEST_F(limited, oom_kill_of_the_mirrored_process)
{
	struct child c;

	ASSERT_EQ(0, child_start(&c, hog, &self->g));
	EXPECT_EQ(128 + SIGKILL, child_end(&c));
	EXPECT_LT(0, group_event(&self->g, "oom_kill"));
	EXPECT_CLEAN(self->fd);
}

/*
 * Device memory is charged to who owns the page, once, so that what fits in a
 * group fits on the device, too, and comes back.
 */
static int migrates_much(struct child *c, void *arg)
{
	size_t len = 24UL << 20, i;
	__u64 moved;
	char *p;
	int fd, err;

	(void)c;
	CHILD_CHECK(!group_enter(arg));
	p = xm_anon(len);
	fd = xm_open(0);
	CHILD_CHECK(p && fd >= 0);
	for (i = 0; i < len; i += XM_PAGE)
		*(__u64 *)(p + i) = i;
	err = xm_migrate(fd, p, len, 0, 0, &moved);
	dprintf(1, "# MIGRATE of %zu pages under the limit: %s, %llu moved\n",
		len / XM_PAGE, strerror(-err), moved);
	CHILD_CHECK(!err && moved == len / XM_PAGE);
	for (i = 0; i < len; i += XM_PAGE)
		CHILD_CHECK(XM_LOAD((__u64 *)(p + i)) == i);
	CHILD_CHECK(!xm_violations(fd, NULL, 0));
	close(fd);
	return 0;
}

TEST_F(limited, device_memory_at_the_limit)
{
	struct child c;

	NEED(XMIRROR_CAP_PRIVATE);
	ASSERT_EQ(0, child_start(&c, migrates_much, &self->g));
	EXPECT_EQ(0, child_end(&c));
	EXPECT_CLEAN(self->fd);
}

/* More than the limit in device memory: it is not outside of the account. */
static int hides_in_device(struct child *c, void *arg)
{
	size_t len = 8UL << 20, i, n;
	char *p;
	int fd;

	(void)c;
	CHILD_CHECK(!group_enter(arg));
	fd = xm_open(0);
	CHILD_CHECK(fd >= 0);
	for (n = 0; n < 8; n++) {
		p = xm_anon(len);
		CHILD_CHECK(p);
		for (i = 0; i < len; i += XM_PAGE)
			*(__u64 *)(p + i) = i;
		xm_migrate(fd, p, len, 0, 0, NULL);
	}
	return 0;
}

TEST_F(limited, device_memory_counts)
{
	struct child c;

	NEED(XMIRROR_CAP_PRIVATE);
	ASSERT_EQ(0, child_start(&c, hides_in_device, &self->g));
	EXPECT_EQ(128 + SIGKILL, child_end(&c))
		TH_LOG("64 MiB in device memory with a limit of 32 MiB");
	EXPECT_CLEAN(self->fd);
}

/* --- swapoff while the device runs ------------------------------------------ */

/* @rounds: at least so many, until the device has been through all pages */
struct swapper {
	struct worker w;
	const char *disk;
	int rounds;
	bool around;
};

static int work_swap(struct worker *w)
{
	struct swapper *s = (struct swapper *)w;
	int i;

	for (i = 0; i < s->rounds || !XM_LOAD(&s->around); i++) {
		madvise(w->addr, w->len, MADV_PAGEOUT);
		if (swapoff(s->disk))
			return -errno;
		if (swapon(s->disk, 0))
			return -errno;
	}
	return 0;
}

/* covers: B.exit */
TEST(swapoff_while_the_device_runs)
{
	struct swapper s = { .disk = getenv("XM_SWAP_DISK"), .rounds = 5 };
	size_t i, len = 4UL << 20, pages = len / XM_PAGE;
	__u64 fence, *p, start = xm_now_ns();
	struct xmirror_cmd cmds[2];
	struct xmirror_stats stats;
	struct xmirror_wait wait;
	bool exclusive = xm_caps() & XMIRROR_CAP_EXCLUSIVE;
	int fd;

	if (!s.disk || !xm_swaps_to_disk())
		XM_SKIP(return, "XM_SWAP_DISK names no swap that is on");
	OPEN(fd, 0);
	p = xm_anon(len);
	ASSERT_NE(NULL, p);
	memset(p, 0, len);
	cmds[0] = xm_cmds(exclusive ? XMIRROR_OP_ADD : XMIRROR_OP_STORE, 8, p,
			  XM_PAGE, pages, 1);
	cmds[1] = xm_cmds(XMIRROR_OP_LOAD, 8, p, XM_PAGE, pages, 0);
	/* It runs until it is cancelled, so that all of it is under load. */
	ASSERT_EQ(0, xm_submit(fd, 0, cmds, 2, 1ULL << 40, &fence));
	s.w.fn = work_swap;
	s.w.addr = p;
	s.w.len = len;
	ASSERT_EQ(0, worker_start(&s.w));
	while (!worker_ended(&s.w) && !xm_expired(start, 5 * XM_LONG)) {
		if (xm_stats(fd, &stats) || stats.ops > 2 * pages)
			XM_STORE(&s.around, true);
		sched_yield();
	}
	XM_STORE(&s.around, true);
	EXPECT_EQ(0, worker_join(&s.w));
	EXPECT_EQ(0, xm_cancel(fd, fence, &wait));
	EXPECT_EQ(-ECANCELED, wait.status);
	EXPECT_LT(pages, wait.ops);
	EXPECT_CLEAN(fd);
	/* Every page has been added to as often as the next, or once less. */
	for (i = 1; exclusive && i < pages; i++) {
		__u64 a = XM_LOAD(p + (i - 1) * XM_WORDS), b = XM_LOAD(p + i * XM_WORDS);

		ASSERT_TRUE(a == b || a == b + 1) {
			TH_LOG("page %zu: %llu after %llu", i, b, a);
		}
	}
	close(fd);
}

/* --- modules ------------------------------------------------------------------ */

TEST(busy_modules_stay)
{
	struct xmirror_info info;
	int fd;

	if (!module_loaded("xmirror_test"))
		XM_SKIP(return, "xmirror_test is not a loaded module");
	OPEN(fd, 0);
	EXPECT_EQ(-EAGAIN, module_unload("xmirror_test"));
	EXPECT_EQ(-EAGAIN, module_unload("xmirror"));
	EXPECT_EQ(0, xm_info(fd, &info));
	close(fd);
	/* Without a file xmirror has its user still. */
	EXPECT_EQ(-EAGAIN, module_unload("xmirror"));
	ASSERT_TRUE(module_loaded("xmirror_test"));
}

FIXTURE(module) {
	struct modules was;
};

FIXTURE_SETUP(module)
{
	if (!modules_at_hand())
		XM_SKIP(return, MODULES_WHY);
	ASSERT_EQ(0, modules_out(&self->was));
}

FIXTURE_TEARDOWN(module)
{
	EXPECT_EQ(0, modules_back(&self->was))
		TH_LOG("xmirror_test %s", self->was.test_params);
}

TEST_F(module, bad_parameters)
{
	static const char *const bad[] = {
		"chunk_mb=0", "chunk_mb=1", "chunk_mb=3", "chunk_mb=8192",
		"chunk_mb=-1", "chunk_mb=x",
	};
	static const char *const bad_test[] = {
		"devices=0", "devices=17", "devices=-1", "devices=4294967295",
		"engines=0", "engines=17", "engines=x", "devmem_mb=1",
		"devmem_mb=65538", "devmem_mb=-2", "node=-2", "node=1024",
		"node=2147483647", "devices=",
	};
	size_t i;
	int err;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		err = module_load("xmirror", bad[i]);
		EXPECT_TRUE(err == -EINVAL || err == -ERANGE)
			TH_LOG("%s: %s", bad[i], strerror(-err));
		if (!err) {
			EXPECT_EQ(0, module_unload("xmirror"));
		}
	}
	/* Not without the other */
	EXPECT_EQ(-ENOENT, module_load("xmirror_test", ""));
	ASSERT_EQ(0, module_load("xmirror", ""));
	for (i = 0; i < ARRAY_SIZE(bad_test); i++) {
		err = module_load("xmirror_test", bad_test[i]);
		EXPECT_TRUE(err == -EINVAL || err == -ERANGE)
			TH_LOG("%s: %s", bad_test[i], strerror(-err));
		if (!err) {
			EXPECT_EQ(0, module_unload("xmirror_test"));
		}
	}
	/* The failed call has left nothing behind that is in the way. */
	EXPECT_EQ(0, module_load("xmirror_test",
				 "devices=1 engines=1 devmem_mb=2"));
	EXPECT_EQ(0, access("/dev/xmirror0", F_OK));
	EXPECT_NE(0, access("/dev/xmirror1", F_OK));
	EXPECT_EQ(0, module_unload("xmirror_test"));
	EXPECT_NE(0, access("/dev/xmirror0", F_OK));
	/* The most of everything */
	EXPECT_EQ(0, module_load("xmirror_test",
				 "devices=16 engines=16 devmem_mb=2"));
	EXPECT_EQ(0, access("/dev/xmirror15", F_OK));
	EXPECT_EQ(0, module_unload("xmirror_test"));
}

/* A process uses the device and leaves what it can. */
static int user(struct child *c, void *arg)
{
	__u64 *p = xm_anon(SIZE), fence;
	struct xmirror_cmd cmd;
	int fd = xm_open(0);
	__u32 id;

	(void)c;
	(void)arg;
	CHILD_CHECK(p && fd >= 0);
	memset(p, 5, SIZE);
	CHILD_CHECK(!xm_fault(fd, p, SIZE, XMIRROR_FAULT_WRITE, NULL));
	cmd = xm_cmds(XMIRROR_OP_LOAD, 8, p, 8, SIZE / 8, 0);
	CHILD_CHECK(!xm_submit(fd, 0, &cmd, 1, 1ULL << 40, &fence));
	CHILD_CHECK(!xm_sync_arm(fd, XMIRROR_PT_INV_ENTER, NULL, 0, &id));
	CHILD_CHECK(!xm_sync_resume(fd, id, NULL));
	if (xm_caps() & XMIRROR_CAP_PRIVATE)
		CHILD_CHECK(!xm_migrate(fd, p, SIZE / 2, 0, 0, NULL));
	if (xm_caps() & XMIRROR_CAP_EXCLUSIVE)
		CHILD_CHECK(!xm_exclusive(fd, p + SIZE / 16, SIZE / 2, NULL));
	/* It ends while a restore is about to be tried again. */
	p = xm_anon(2 * XM_PAGE);
	CHILD_CHECK(p && !resident_add(fd, p, 2 * XM_PAGE, 0));
	CHILD_CHECK(!munmap(p, XM_PAGE));
	return 0;
}

/* covers: T11 */
TEST_F_TIMEOUT(module, load_and_unload, 7200)
{
	const char *text = getenv("XM_LOADS");
	int i, loads = text ? atoi(text) : 5;
	struct child c;

	for (i = 0; i < loads; i++) {
		ASSERT_EQ(0, module_load("xmirror", ""))
			TH_LOG("round %d", i);
		ASSERT_EQ(0, module_load("xmirror_test",
					 "devices=2 engines=2 devmem_mb=2"))
			TH_LOG("round %d", i);
		ASSERT_EQ(0, child_start(&c, user, NULL));
		ASSERT_EQ(0, child_end(&c));
		ASSERT_EQ(0, module_unload_soon("xmirror_test"))
			TH_LOG("round %d", i);
		ASSERT_EQ(0, module_unload_soon("xmirror"))
			TH_LOG("round %d", i);
		/* For who watches a long run */
		if (i % 50 == 49) {
			TH_LOG("round %d", i);
		}
	}
	TH_LOG("%d times loaded and unloaded", i);
}

int main(int argc, char **argv)
{
	/* The test of exec() becomes this. */
	if (argc == 2 && !strcmp(argv[1], "--exit"))
		return 0;
	return test_harness_run(argc, argv);
}
