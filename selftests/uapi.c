// SPDX-License-Identifier: GPL-2.0
/*
 * Bad input: every call refuses what it must with the errno that
 * uapi/linux/xmirror.h gives, changes nothing, and reports partial work.
 */
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "libtest.h"

#define PAGES	8UL
#define SIZE	(PAGES * XM_PAGE)

union any {
	__u32 size;
	struct {
		__u32 size;
		__u32 flags;
	} head;
	struct xmirror_info info;
	struct xmirror_set set;
	struct xmirror_range range;
	struct xmirror_rw rw;
	struct xmirror_submit submit;
	struct xmirror_wait wait;
	struct xmirror_snapshot snapshot;
	struct xmirror_verify verify;
	struct xmirror_stats stats;
	struct xmirror_sync sync;
	struct xmirror_migrate migrate;
	struct xmirror_unplug unplug;
	struct xmirror_vram vram;
	struct xmirror_inject inject;
	unsigned char raw[XM_PAGE];
};

/*
 * Every call: the size of its struct's first version, the flags it knows, and
 * what a valid call gives on a file without jobs.
 *
 * The sizes are for ever once there has been a release; then CALL() becomes a
 * number, and a struct may only grow.
 */
#define CALL(nr, type, flags, good) \
	{ XMIRROR_IOC_##nr, #nr, sizeof(struct xmirror_##type), \
	  sizeof(struct xmirror_##type), flags, good }

static const struct call {
	unsigned long nr;
	const char *name;
	size_t first;
	size_t now;
	__u32 flags;
	int good;
} calls[] = {
	CALL(INFO, info, 0, 0),
	CALL(SET, set, 0, 0),
	CALL(FAULT, range, XMIRROR_FAULT_WRITE, 0),
	CALL(EXCLUSIVE, range,
	     XMIRROR_EXCLUSIVE_BARE | XMIRROR_EXCLUSIVE_LATE, 0),
	CALL(RELEASE, range, 0, 0),
	CALL(RW, rw, XMIRROR_RW_WRITE, 0),
	CALL(SUBMIT, submit, XMIRROR_SUBMIT_EVENTFD, 0),
	CALL(WAIT, wait, XMIRROR_WAIT_CANCEL, -ENOENT),
	CALL(SNAPSHOT, snapshot, 0, 0),
	CALL(VERIFY, verify, 0, 0),
	CALL(STATS, stats, 0, 0),
	CALL(SYNC, sync, 0, -ENOENT),
	CALL(MIGRATE, migrate,
	     XMIRROR_MIGRATE_TO_SYSTEM | XMIRROR_MIGRATE_FROM_PEER, 0),
	CALL(UNPLUG, unplug, XMIRROR_UNPLUG_REPLUG, 0),
	CALL(VRAM, vram, 0, 0),
	CALL(INJECT, inject, 0, 0),
};

static const unsigned long range_calls[] = {
	XMIRROR_IOC_FAULT,
	XMIRROR_IOC_EXCLUSIVE,
	XMIRROR_IOC_RELEASE,
	XMIRROR_IOC_SNAPSHOT,
};

static struct xmirror_cmd load_cmd;
static struct xmirror_page seen[PAGES];
static unsigned char buffer[SIZE];

/* Make the arguments of a valid call on the page at @p. */
static void fill(const struct call *call, void *p, union any *u)
{
	memset(u, 0, sizeof(*u));
	u->size = call->first;
	switch (call->nr) {
	case XMIRROR_IOC_SET:
		u->set.param = XMIRROR_SET_GRANULE;
		u->set.value = XM_PAGE;
		break;
	case XMIRROR_IOC_FAULT:
	case XMIRROR_IOC_EXCLUSIVE:
	case XMIRROR_IOC_RELEASE:
		u->range.addr = (uintptr_t)p;
		u->range.length = XM_PAGE;
		break;
	case XMIRROR_IOC_RW:
		u->rw.addr = (uintptr_t)p;
		u->rw.length = 16;
		u->rw.buf = (uintptr_t)buffer;
		break;
	case XMIRROR_IOC_SUBMIT:
		load_cmd = xm_cmd(XMIRROR_OP_LOAD, 8, p, 0);
		u->submit.nr_cmds = 1;
		u->submit.cmds = (uintptr_t)&load_cmd;
		u->submit.repeat = 1;
		break;
	case XMIRROR_IOC_WAIT:
		u->wait.fence = 12345;
		break;
	case XMIRROR_IOC_SNAPSHOT:
		u->snapshot.addr = (uintptr_t)p;
		u->snapshot.length = XM_PAGE;
		u->snapshot.pages = (uintptr_t)seen;
		break;
	case XMIRROR_IOC_SYNC:
		u->sync.cmd = XMIRROR_SYNC_RESUME;
		u->sync.id = 12345;
		break;
	case XMIRROR_IOC_MIGRATE:
		u->migrate.flags = XMIRROR_MIGRATE_TO_SYSTEM;
		u->migrate.addr = (uintptr_t)p;
		u->migrate.length = XM_PAGE;
		break;
	case XMIRROR_IOC_UNPLUG:
		u->unplug.flags = XMIRROR_UNPLUG_REPLUG;
		break;
	case XMIRROR_IOC_VRAM:
		u->vram.op = XMIRROR_VRAM_QUERY;
		break;
	}
}

static int good(const struct call *call)
{
	if (call->nr == XMIRROR_IOC_EXCLUSIVE &&
	    !(xm_caps() & XMIRROR_CAP_EXCLUSIVE))
		return -EOPNOTSUPP;
	if ((call->nr == XMIRROR_IOC_MIGRATE ||
	     call->nr == XMIRROR_IOC_UNPLUG) &&
	    !(xm_caps() & XMIRROR_CAP_PRIVATE))
		return -EOPNOTSUPP;
	return call->good;
}

/* All calls with valid arguments give @err; the index of one that does not. */
static int all_give(int fd, void *p, int err)
{
	union any u;
	size_t i;
	int seen_err;

	for (i = 0; i < ARRAY_SIZE(calls); i++) {
		fill(&calls[i], p, &u);
		seen_err = xm_ioctl(fd, calls[i].nr, &u);
		if (seen_err != err) {
			dprintf(2, "# %s: %s instead of %s\n", calls[i].name,
				strerror(-seen_err), strerror(-err));
			return i;
		}
	}
	return -1;
}

/* The parts of the state that a refused call must not change. */
struct state {
	struct xmirror_stats stats;
	struct xmirror_page pages[PAGES];
};

static int state_get(int fd, void *p, struct state *s)
{
	int err = xm_stats(fd, &s->stats);

	return err ? err : xm_snapshot(fd, p, SIZE, s->pages);
}

static bool same(const char *what, __u64 was, __u64 is)
{
	if (was != is)
		dprintf(2, "# %s was %llu, is %llu\n", what, was, is);
	return was == is;
}

static bool state_same(const struct state *a, const struct state *b)
{
	const struct xmirror_stats *s = &a->stats, *t = &b->stats;

	return same("leaves", s->leaves, t->leaves) &&
	       same("fault_pages", s->fault_pages, t->fault_pages) &&
	       same("excl_made", s->excl_made, t->excl_made) &&
	       same("excl_hits", s->excl_hits, t->excl_hits) &&
	       same("excl_released", s->excl_released, t->excl_released) &&
	       same("ops", s->ops, t->ops) && same("jobs", s->jobs, t->jobs) &&
	       !memcmp(a->pages, b->pages, sizeof(a->pages));
}

#define STATE_GET(s)	ASSERT_EQ(0, state_get(self->fd, self->p, (s)))
#define EXPECT_UNCHANGED(before) \
	do { \
		struct state now; \
		STATE_GET(&now); \
		EXPECT_TRUE(state_same((before), &now)); \
	} while (0)

/* @p: PAGES of written anonymous memory between two guards of PROT_NONE */
FIXTURE(uapi) {
	int fd;
	char *p;
	struct state before;
};

FIXTURE_SETUP(uapi)
{
	char *all;

	OPEN(self->fd, 0);
	all = xm_anon_prot(SIZE + 2 * XM_PAGE, PROT_NONE);
	ASSERT_NE(NULL, all);
	self->p = all + XM_PAGE;
	ASSERT_EQ(0, mprotect(self->p, SIZE, PROT_READ | PROT_WRITE));
	memset(self->p, 0x5a, SIZE);
	STATE_GET(&self->before);
}

FIXTURE_TEARDOWN(uapi)
{
	EXPECT_CLEAN(self->fd);
	close(self->fd);
}

/* The layout is the same for everyone, for ever. */
TEST(layout)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(calls); i++) {
		EXPECT_LE(calls[i].first, calls[i].now)
			TH_LOG("%s", calls[i].name);
		EXPECT_EQ(0, calls[i].now % 8)
			TH_LOG("%s", calls[i].name);
	}
	EXPECT_EQ(40, sizeof(struct xmirror_cmd));
	EXPECT_EQ(24, sizeof(struct xmirror_page));
	EXPECT_EQ(8, offsetof(struct xmirror_cmd, addr));
	EXPECT_EQ(8, offsetof(struct xmirror_stats, inv));
}

TEST_F(uapi, size_too_small)
{
	union any u;
	size_t i, n;

	for (i = 0; i < ARRAY_SIZE(calls); i++) {
		size_t first = calls[i].first;
		size_t sizes[] = { 0, 1, 4, 8, first / 2, first - 8, first - 1 };

		for (n = 0; n < ARRAY_SIZE(sizes); n++) {
			fill(&calls[i], self->p, &u);
			u.size = sizes[n];
			EXPECT_EQ(-EINVAL,
				  xm_ioctl(self->fd, calls[i].nr, &u)) {
				TH_LOG("%s, size %zu", calls[i].name, sizes[n]);
			}
		}
	}
	EXPECT_UNCHANGED(&self->before);
}

/* The first version's size works, and nothing behind it is written. */
TEST_F(uapi, size_first)
{
	union any u;
	size_t i, n, wrong;

	for (i = 0; i < ARRAY_SIZE(calls); i++) {
		fill(&calls[i], self->p, &u);
		memset(u.raw + calls[i].first, 0xa5,
		       sizeof(u) - calls[i].first);
		EXPECT_EQ(good(&calls[i]),
			  xm_ioctl(self->fd, calls[i].nr, &u)) {
			TH_LOG("%s", calls[i].name);
		}
		EXPECT_EQ(calls[i].first, u.size) {
			TH_LOG("%s", calls[i].name);
		}
		for (wrong = 0, n = calls[i].first; n < sizeof(u); n++)
			wrong += u.raw[n] != 0xa5;
		EXPECT_EQ(0, wrong) {
			TH_LOG("%s", calls[i].name);
		}
	}
}

/* A newer caller's struct is taken as long as it uses nothing new. */
TEST_F(uapi, size_larger)
{
	union any u;
	size_t i, n, wrong;

	for (i = 0; i < ARRAY_SIZE(calls); i++) {
		size_t sizes[] = { calls[i].now + 8, calls[i].now + 1,
				   sizeof(u) };

		for (n = 0; n < ARRAY_SIZE(sizes); n++) {
			size_t at;

			fill(&calls[i], self->p, &u);
			u.size = sizes[n];
			EXPECT_EQ(good(&calls[i]),
				  xm_ioctl(self->fd, calls[i].nr, &u)) {
				TH_LOG("%s, size %zu", calls[i].name, sizes[n]);
			}
			for (wrong = 0, at = calls[i].now; at < sizeof(u); at++)
				wrong += u.raw[at] != 0;
			EXPECT_EQ(0, wrong) {
				TH_LOG("%s, size %zu", calls[i].name, sizes[n]);
			}
		}
	}
}

TEST_F(uapi, size_larger_used)
{
	union any u;
	size_t i, n;

	for (i = 0; i < ARRAY_SIZE(calls); i++) {
		size_t sizes[] = { calls[i].now + 8, calls[i].now + 1,
				   sizeof(u) };

		for (n = 0; n < ARRAY_SIZE(sizes); n++) {
			fill(&calls[i], self->p, &u);
			u.size = sizes[n];
			u.raw[sizes[n] - 1] = 1;
			EXPECT_EQ(-E2BIG,
				  xm_ioctl(self->fd, calls[i].nr, &u)) {
				TH_LOG("%s, size %zu", calls[i].name, sizes[n]);
			}
		}
	}
	EXPECT_UNCHANGED(&self->before);
}

/* A size that nobody means; the bytes may not even be there. */
TEST_F(uapi, size_absurd)
{
	size_t i, n;
	int err;

	for (i = 0; i < ARRAY_SIZE(calls); i++) {
		__u32 sizes[] = { 1U << 20, 1U << 31, ~0U };
		/* ends right before the guard */
		union any *u = (void *)(self->p + SIZE - sizeof(*u));

		for (n = 0; n < ARRAY_SIZE(sizes); n++) {
			fill(&calls[i], self->p, u);
			u->size = sizes[n];
			err = xm_ioctl(self->fd, calls[i].nr, u);
			EXPECT_TRUE(err == -E2BIG || err == -EFAULT) {
				TH_LOG("%s, size %u: %d", calls[i].name,
				       sizes[n], err);
			}
		}
	}
	EXPECT_UNCHANGED(&self->before);
}

TEST_F(uapi, bad_pointer)
{
	union any u, *edge;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(calls); i++) {
		EXPECT_EQ(-EFAULT, xm_ioctl(self->fd, calls[i].nr, NULL)) {
			TH_LOG("%s, NULL", calls[i].name);
		}
		EXPECT_EQ(-EFAULT, xm_ioctl(self->fd, calls[i].nr,
					    self->p + SIZE)) {
			TH_LOG("%s, guard", calls[i].name);
		}
		EXPECT_EQ(-EFAULT, xm_ioctl(self->fd, calls[i].nr,
					    (void *)0xffff800000000000UL)) {
			TH_LOG("%s, kernel", calls[i].name);
		}
		/* The last eight bytes are missing. */
		fill(&calls[i], self->p, &u);
		edge = (void *)(self->p + SIZE - (calls[i].first - 8));
		memcpy(edge, &u, calls[i].first - 8);
		EXPECT_EQ(-EFAULT, xm_ioctl(self->fd, calls[i].nr, edge)) {
			TH_LOG("%s, edge", calls[i].name);
		}
	}
	EXPECT_UNCHANGED(&self->before);
}

TEST_F(uapi, unknown_flags)
{
	union any u;
	size_t i;
	int bit;

	for (i = 0; i < ARRAY_SIZE(calls); i++) {
		for (bit = 0; bit < 32; bit++) {
			if (calls[i].flags & (1U << bit))
				continue;
			fill(&calls[i], self->p, &u);
			u.head.flags = calls[i].flags | (1U << bit);
			EXPECT_EQ(-EINVAL,
				  xm_ioctl(self->fd, calls[i].nr, &u)) {
				TH_LOG("%s, flag %d", calls[i].name, bit);
			}
		}
	}
	EXPECT_UNCHANGED(&self->before);
}

TEST_F(uapi, reserved)
{
	struct xmirror_info info = { .size = sizeof(info), .__reserved = 1 };
	struct xmirror_set set = {
		.size = sizeof(set),
		.param = XMIRROR_SET_GRANULE,
		.value = XM_PAGE,
		.__reserved = 1,
	};
	struct xmirror_cmd cmd = xm_cmd(XMIRROR_OP_STORE, 8, self->p, 1);
	struct xmirror_submit submit = {
		.size = sizeof(submit),
		.nr_cmds = 1,
		.cmds = (uintptr_t)&cmd,
		.repeat = 1,
		.__reserved = 1,
	};
	struct xmirror_verify verify = {
		.size = sizeof(verify),
		.__reserved = 1,
	};
	struct xmirror_sync sync = {
		.size = sizeof(sync),
		.cmd = XMIRROR_SYNC_ARM,
		.action = XMIRROR_SYNC_PAUSE,
		.point = XMIRROR_PT_ACCESS,
		.timeout_ms = 1,
		.__reserved = 1,
	};

	EXPECT_EQ(-EINVAL, xm_ioctl(self->fd, XMIRROR_IOC_INFO, &info));
	EXPECT_EQ(-EINVAL, xm_ioctl(self->fd, XMIRROR_IOC_SET, &set));
	EXPECT_EQ(-EINVAL, xm_ioctl(self->fd, XMIRROR_IOC_SUBMIT, &submit));
	EXPECT_EQ(-EINVAL, xm_ioctl(self->fd, XMIRROR_IOC_VERIFY, &verify));
	EXPECT_EQ(-EINVAL, xm_ioctl(self->fd, XMIRROR_IOC_SYNC, &sync));
	cmd.__reserved = 1;
	EXPECT_EQ(-EINVAL, xm_submit(self->fd, 0, &cmd, 1, 1, NULL));
	EXPECT_UNCHANGED(&self->before);
}

TEST_F(uapi, unknown_ioctl)
{
	unsigned long bad[] = {
		_IO(XMIRROR_IOC_TYPE, 0x40),
		_IO(XMIRROR_IOC_TYPE, 0x80),
		_IO(XMIRROR_IOC_TYPE, 0xff),
		_IO(XMIRROR_IOC_TYPE + 1, 0x00),
		_IO(0, 0),
		_IOR(XMIRROR_IOC_TYPE, 0x00, __u64),
		_IOW(XMIRROR_IOC_TYPE, 0x02, struct xmirror_range),
		_IOWR(XMIRROR_IOC_TYPE, 0x09, struct xmirror_verify),
	};
	union any u;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		fill(&calls[0], self->p, &u);
		EXPECT_EQ(-ENOTTY, xm_ioctl(self->fd, bad[i], &u)) {
			TH_LOG("ioctl %#lx", bad[i]);
		}
	}
	EXPECT_UNCHANGED(&self->before);
}

TEST_F(uapi, wrong_fd)
{
	int null = open("/dev/null", O_RDWR), err;
	union any u;
	size_t i;

	ASSERT_GE(null, 0);
	for (i = 0; i < ARRAY_SIZE(calls); i++) {
		fill(&calls[i], self->p, &u);
		EXPECT_EQ(-ENOTTY, xm_ioctl(null, calls[i].nr, &u));
		EXPECT_EQ(-EBADF, xm_ioctl(-1, calls[i].nr, &u));
	}
	close(null);
	err = read(self->fd, &u, sizeof(u)) < 0 ? errno : 0;
	EXPECT_EQ(EINVAL, err);
	err = write(self->fd, &u, sizeof(u)) < 0 ? errno : 0;
	EXPECT_EQ(EINVAL, err);
	/* The device's own memory is for shared mappings. */
	EXPECT_EQ(MAP_FAILED, mmap(NULL, XM_PAGE, PROT_READ, MAP_PRIVATE,
				   self->fd, 0));
	EXPECT_UNCHANGED(&self->before);
}

/* Ranges */

static int range_call(int fd, unsigned long nr, __u64 addr, __u64 length,
		      __u64 *done)
{
	union any u = {};
	int err;

	if (nr == XMIRROR_IOC_SNAPSHOT) {
		u.snapshot.size = sizeof(u.snapshot);
		u.snapshot.addr = addr;
		u.snapshot.length = length;
		u.snapshot.pages = (uintptr_t)seen;
	} else {
		u.range.size = sizeof(u.range);
		u.range.addr = addr;
		u.range.length = length;
		u.range.done = 77;
	}
	err = xm_ioctl(fd, nr, &u);
	*done = nr == XMIRROR_IOC_SNAPSHOT ? u.snapshot.done : u.range.done;
	return err;
}

TEST_F(uapi, bad_ranges)
{
	__u64 p = (uintptr_t)self->p;
	const struct {
		__u64 addr;
		__u64 length;
		int err;
	} bad[] = {
		{ p + 1, XM_PAGE, -EINVAL },
		{ p + 8, XM_PAGE, -EINVAL },
		{ p + XM_PAGE - 1, XM_PAGE, -EINVAL },
		{ p, 1, -EINVAL },
		{ p, XM_PAGE - 1, -EINVAL },
		{ p, XM_PAGE + 8, -EINVAL },
		{ p, 0, -EINVAL },
		{ 0, 0, -EINVAL },
		/* wraps */
		{ p, -XM_PAGE, -EINVAL },
		{ p, ~0ULL & ~(XM_PAGE - 1), -EINVAL },
		{ -XM_PAGE, 2 * XM_PAGE, -EINVAL },
		{ 1ULL << 63, 1ULL << 63 | XM_PAGE, -EINVAL },
		/* past the end of user space, with five levels too */
		{ 1ULL << 56, XM_PAGE, -EFAULT },
		{ 1ULL << 63, XM_PAGE, -EFAULT },
		{ 0xffff800000000000ULL, XM_PAGE, -EFAULT },
		{ -2 * XM_PAGE, XM_PAGE, -EFAULT },
		{ p, (1ULL << 56) - p, -EFAULT },
		{ p, 1ULL << 62, -EFAULT },
		{ 0, 1ULL << 57, -EFAULT },
	};
	__u64 done;
	size_t i, n;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		for (n = 0; n < ARRAY_SIZE(range_calls); n++) {
			EXPECT_EQ(bad[i].err,
				  range_call(self->fd, range_calls[n],
					     bad[i].addr, bad[i].length,
					     &done)) {
				TH_LOG("ioctl %#lx, %#llx + %#llx",
				       range_calls[n], bad[i].addr,
				       bad[i].length);
			}
			EXPECT_EQ(0, done);
		}
	}
	EXPECT_UNCHANGED(&self->before);
}

/* A range of 128 TiB ends at the first hole, without much ado before. */
TEST_F(uapi, huge_fault)
{
	__u64 length = 0x7ffff0000000ULL - (uintptr_t)self->p, done;

	EXPECT_EQ(-EFAULT, xm_fault(self->fd, self->p, length, 0, &done));
	EXPECT_EQ(SIZE, done);
	EXPECT_NE(0, xm_page(self->fd, self->p + SIZE - XM_PAGE).dev &
		     XMIRROR_PTE_VALID);
	EXPECT_EQ(-EFAULT, xm_fault(self->fd, (void *)XM_PAGE,
				    0x7ffff0000000ULL, XMIRROR_FAULT_WRITE,
				    &done));
	EXPECT_EQ(0, done);
}

TEST_F(uapi, huge_exclusive)
{
	__u64 length = 0x7ffff0000000ULL - (uintptr_t)self->p, done;

	NEED(XMIRROR_CAP_EXCLUSIVE);
	EXPECT_EQ(-EFAULT, xm_exclusive(self->fd, self->p, length, &done));
	EXPECT_EQ(SIZE, done);
	EXPECT_EQ(PAGES, xm_count_exclusive(self->p, SIZE));
}

TEST_F(uapi, huge_release)
{
	__u64 done;

	if (xm_caps() & XMIRROR_CAP_EXCLUSIVE) {
		EXPECT_EQ(0, xm_exclusive(self->fd, self->p, SIZE, NULL));
		EXPECT_EQ(PAGES, xm_count_exclusive(self->p, SIZE));
	}
	/* Holes are not exclusive, so they count as done. */
	EXPECT_EQ(0, xm_release(self->fd, (void *)XM_PAGE, 0x7ffff0000000ULL,
				&done));
	EXPECT_EQ(0x7ffff0000000ULL, done);
	EXPECT_EQ(0, xm_count_exclusive(self->p, SIZE));
}

TEST_F(uapi, huge_snapshot)
{
	struct xmirror_snapshot s = {
		.size = sizeof(s),
		.addr = (uintptr_t)self->p,
		.length = 0x7ffff0000000ULL - (uintptr_t)self->p,
		/* room for 170 of them, then the guard */
		.pages = (uintptr_t)self->p + SIZE - XM_PAGE,
	};
	__u64 room = XM_PAGE / sizeof(struct xmirror_page);
	struct xmirror_page *pages = (void *)(self->p + SIZE - XM_PAGE);

	EXPECT_EQ(-EFAULT, xm_ioctl(self->fd, XMIRROR_IOC_SNAPSHOT, &s));
	EXPECT_LE(s.done, room * XM_PAGE);
	EXPECT_EQ(0, s.done % XM_PAGE);
	if (s.done > XM_PAGE) {
		EXPECT_EQ(xm_pfn(self->p), pages[0].cpu_pfn);
		EXPECT_EQ(xm_pfn(self->p + XM_PAGE), pages[1].cpu_pfn);
	}
}

/* Memory that the device cannot have */

TEST_F(uapi, unmapped)
{
	struct xmirror_page page;
	char *hole = self->p + 4 * XM_PAGE;
	__u64 done;

	ASSERT_EQ(0, munmap(hole, XM_PAGE));
	page = xm_page(self->fd, hole);
	ASSERT_EQ(XMIRROR_CPU_HOLE, page.cpu);

	EXPECT_EQ(-EFAULT, xm_fault(self->fd, hole, XM_PAGE, 0, &done));
	EXPECT_EQ(0, done);
	EXPECT_EQ(-EFAULT, xm_fault(self->fd, self->p, SIZE,
				    XMIRROR_FAULT_WRITE, &done));
	EXPECT_EQ(4 * XM_PAGE, done);
	EXPECT_LEAF(self->fd, self->p + 3 * XM_PAGE, LEAF_WRITE);
	EXPECT_LEAF(self->fd, self->p + 5 * XM_PAGE, LEAF_NONE);

	NEED(XMIRROR_CAP_EXCLUSIVE);
	EXPECT_EQ(-EFAULT, xm_exclusive(self->fd, hole, XM_PAGE, &done));
	EXPECT_EQ(0, done);
	EXPECT_EQ(-EFAULT, xm_exclusive(self->fd, self->p, SIZE, &done));
	EXPECT_EQ(4 * XM_PAGE, done);
	EXPECT_EQ(4, xm_count_exclusive(self->p, SIZE));
	EXPECT_EQ(-EFAULT, xm_add(self->fd, hole, 1));
	EXPECT_EQ(0, xm_release(self->fd, self->p, SIZE, &done));
	EXPECT_EQ(SIZE, done);
	EXPECT_EQ(0, xm_count_exclusive(self->p, SIZE));
}

TEST_F(uapi, prot_none)
{
	char *none = self->p + 4 * XM_PAGE, buf[8];
	__u64 done;

	ASSERT_EQ(0, mprotect(none, XM_PAGE, PROT_NONE));
	EXPECT_EQ(-EFAULT, xm_fault(self->fd, none, XM_PAGE, 0, &done));
	EXPECT_EQ(0, done);
	EXPECT_EQ(-EFAULT, xm_fault(self->fd, self->p, SIZE, 0, &done));
	EXPECT_EQ(4 * XM_PAGE, done);
	EXPECT_EQ(-EFAULT, xm_read(self->fd, none, buf, sizeof(buf)));
	EXPECT_EQ(-EFAULT, xm_op(self->fd, XMIRROR_OP_LOAD, 8, none, 0, NULL));
	EXPECT_LEAF(self->fd, none, LEAF_NONE);
	if (xm_caps() & XMIRROR_CAP_EXCLUSIVE) {
		EXPECT_EQ(-EFAULT, xm_exclusive(self->fd, self->p, SIZE, &done));
		EXPECT_EQ(4 * XM_PAGE, done);
		EXPECT_EQ(-EFAULT, xm_add(self->fd, none, 1));
	}
	ASSERT_EQ(0, mprotect(none, XM_PAGE, PROT_READ));
	EXPECT_EQ(0x5a, *none);
}

TEST_F(uapi, read_only)
{
	char *ro = self->p + 4 * XM_PAGE, buf[8] = {};
	__u64 done;

	ASSERT_EQ(0, mprotect(ro, XM_PAGE, PROT_READ));
	EXPECT_EQ(-EPERM, xm_fault(self->fd, ro, XM_PAGE, XMIRROR_FAULT_WRITE,
				   &done));
	EXPECT_EQ(0, done);
	EXPECT_EQ(-EPERM, xm_fault(self->fd, self->p, SIZE,
				   XMIRROR_FAULT_WRITE, &done));
	EXPECT_EQ(4 * XM_PAGE, done);
	EXPECT_EQ(-EPERM, xm_write(self->fd, ro, buf, sizeof(buf)));
	EXPECT_EQ(-EPERM, xm_op(self->fd, XMIRROR_OP_STORE, 8, ro, 0, NULL));
	EXPECT_LEAF(self->fd, ro, LEAF_NONE);
	if (xm_caps() & XMIRROR_CAP_EXCLUSIVE) {
		EXPECT_EQ(-EPERM, xm_exclusive(self->fd, ro, XM_PAGE, &done));
		EXPECT_EQ(0, done);
		EXPECT_EQ(-EPERM, xm_exclusive(self->fd, self->p, SIZE, &done));
		EXPECT_EQ(4 * XM_PAGE, done);
		EXPECT_EQ(-EPERM, xm_add(self->fd, ro, 1));
		EXPECT_FALSE(xm_is_exclusive(ro));
	}
	/* Reading is fine. */
	EXPECT_EQ(0, xm_fault(self->fd, self->p, SIZE, 0, &done));
	EXPECT_EQ(SIZE, done);
	EXPECT_EQ(0, xm_read(self->fd, ro, buf, sizeof(buf)));
	EXPECT_EQ(0x5a, buf[0]);
	EXPECT_EQ(0x5a, *ro);
}

static int no_exclusive(int fd, char *p, size_t len)
{
	__u64 done = 1;
	int err = xm_exclusive(fd, p, len, &done);

	return err == -EOPNOTSUPP && done ? -EIO : err;
}

/* Exclusive access is for private anonymous memory. */
TEST_F(uapi, exclusive_shared)
{
	int memfd = memfd_create("xmirror", MFD_CLOEXEC);
	char *shared = xm_shared(SIZE), *file;

	NEED(XMIRROR_CAP_EXCLUSIVE);
	ASSERT_NE(NULL, shared);
	ASSERT_GE(memfd, 0);
	ASSERT_EQ(0, ftruncate(memfd, SIZE));
	file = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
	ASSERT_NE(MAP_FAILED, file);
	memset(shared, 1, SIZE);
	memset(file, 2, SIZE);

	EXPECT_EQ(-EOPNOTSUPP, no_exclusive(self->fd, shared, SIZE));
	EXPECT_EQ(-EOPNOTSUPP, no_exclusive(self->fd, file, SIZE));
	EXPECT_EQ(-EOPNOTSUPP, xm_add(self->fd, shared, 1));
	EXPECT_EQ(-EOPNOTSUPP, xm_add(self->fd, file, 1));
	EXPECT_EQ(0, xm_count_exclusive(shared, SIZE));
	EXPECT_EQ(0, xm_count_exclusive(file, SIZE));
	EXPECT_EQ(1, *shared);
	EXPECT_EQ(2, *file);
	/* Loads and stores work. */
	EXPECT_EQ(0, xm_op(self->fd, XMIRROR_OP_STORE, 1, shared, 3, NULL));
	EXPECT_EQ(0, xm_op(self->fd, XMIRROR_OP_STORE, 1, file, 4, NULL));
	EXPECT_EQ(3, *shared);
	EXPECT_EQ(4, *file);
	close(memfd);
}

TEST_F(uapi, exclusive_mixed)
{
	__u64 done;

	NEED(XMIRROR_CAP_EXCLUSIVE);
	ASSERT_EQ(self->p + 2 * XM_PAGE,
		  mmap(self->p + 2 * XM_PAGE, XM_PAGE, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	EXPECT_EQ(-EOPNOTSUPP, xm_exclusive(self->fd, self->p, SIZE, &done));
	EXPECT_EQ(2 * XM_PAGE, done);
	EXPECT_EQ(2, xm_count_exclusive(self->p, SIZE));
}

static char *hugetlb(void)
{
	char *p = mmap(NULL, XM_2M, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

TEST_F(uapi, exclusive_hugetlb)
{
	char *huge = hugetlb();

	NEED(XMIRROR_CAP_EXCLUSIVE);
	if (!huge)
		SKIP(return, "no hugetlb page: %s", strerror(errno));
	memset(huge, 1, XM_2M);
	EXPECT_EQ(-EOPNOTSUPP, no_exclusive(self->fd, huge, XM_PAGE));
	EXPECT_EQ(-EOPNOTSUPP, no_exclusive(self->fd, huge + XM_PAGE, XM_PAGE));
	EXPECT_EQ(-EOPNOTSUPP, no_exclusive(self->fd, huge, XM_2M));
	EXPECT_EQ(-EOPNOTSUPP, xm_add(self->fd, huge + 8, 1));
	EXPECT_EQ(1, huge[8]);
	huge[8] = 2;
	munmap(huge, XM_2M);
}

/* The private copy of a file's page is as anonymous as any. */
TEST_F(uapi, exclusive_private_file)
{
	int memfd = memfd_create("xmirror", MFD_CLOEXEC);
	char *file, byte = 0;
	__u64 *word;

	NEED(XMIRROR_CAP_EXCLUSIVE);
	ASSERT_GE(memfd, 0);
	ASSERT_EQ(0, ftruncate(memfd, XM_PAGE));
	ASSERT_EQ(1, pwrite(memfd, "\5", 1, 0));
	file = mmap(NULL, XM_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, memfd,
		    0);
	ASSERT_NE(MAP_FAILED, file);
	word = (__u64 *)file;
	EXPECT_EQ(5, *word);
	EXPECT_EQ(0, xm_add(self->fd, word, 1));
	EXPECT_TRUE(xm_is_exclusive(word));
	EXPECT_EQ(6, *word);
	EXPECT_EQ(1, pread(memfd, &byte, 1, 0));
	EXPECT_EQ(5, byte);
	close(memfd);
}

/* A page of a large folio */
TEST_F(uapi, exclusive_thp)
{
	char *huge = xm_anon_aligned(XM_2M, XM_2M);
	__u64 *word;

	NEED(XMIRROR_CAP_EXCLUSIVE);
	ASSERT_NE(NULL, huge);
	ASSERT_EQ(0, madvise(huge, XM_2M, MADV_HUGEPAGE));
	memset(huge, 0, XM_2M);
	if (!(xm_page(self->fd, huge).cpu & XMIRROR_CPU_HUGE))
		SKIP(return, "no huge page was to be had");
	word = (__u64 *)(huge + 5 * XM_PAGE);
	*word = 41;
	if (!(xm_caps() & XMIRROR_CAP_EXCLUSIVE_LARGE)) {
		EXPECT_EQ(-EOPNOTSUPP, no_exclusive(self->fd, huge, XM_2M));
		EXPECT_EQ(-EOPNOTSUPP,
			  no_exclusive(self->fd, (char *)word, XM_PAGE));
		EXPECT_EQ(-EOPNOTSUPP, xm_add(self->fd, word, 1));
		EXPECT_EQ(0, xm_count_exclusive(huge, XM_2M));
		EXPECT_EQ(41, *word);
		return;
	}
	EXPECT_EQ(0, xm_add(self->fd, word, 1));
	EXPECT_EQ(1, xm_count_exclusive(huge, XM_2M));
	EXPECT_TRUE(xm_is_exclusive(word));
	EXPECT_LEAF(self->fd, word, LEAF_EXCL);
	EXPECT_EQ(42, *word);
	EXPECT_EQ(0, xm_count_exclusive(huge, XM_2M));
	/* All of it, page by page of one folio. */
	EXPECT_EQ(0, xm_exclusive(self->fd, huge, XM_2M, NULL));
	EXPECT_EQ(512, xm_count_exclusive(huge, XM_2M));
	EXPECT_EQ(0, xm_add(self->fd, word, 1));
	EXPECT_EQ(43, *word);
	EXPECT_EQ(511, xm_count_exclusive(huge, XM_2M));
}

/* RW */

TEST_F(uapi, bad_rw)
{
	__u64 p = (uintptr_t)self->p;
	const struct {
		__u64 addr;
		__u64 length;
		int err;
	} bad[] = {
		{ p, (1ULL << 30) + 1, -EINVAL },
		{ p, ~0ULL, -EINVAL },
		{ ~0ULL, 2, -EINVAL },
		{ -16ULL, 32, -EINVAL },
		{ 1ULL << 56, 1, -EFAULT },
		{ 0xffff800000000000ULL, 8, -EFAULT },
		{ p - 1, 2, -EFAULT },
	};
	__u64 done;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_EQ(bad[i].err, xm_rw(self->fd, (void *)bad[i].addr,
					    buffer, bad[i].length, 0, &done)) {
			TH_LOG("%#llx + %#llx", bad[i].addr, bad[i].length);
		}
		EXPECT_EQ(0, done);
		EXPECT_EQ(bad[i].err, xm_rw(self->fd, (void *)bad[i].addr,
					    buffer, bad[i].length,
					    XMIRROR_RW_WRITE, &done)) {
			TH_LOG("%#llx + %#llx", bad[i].addr, bad[i].length);
		}
		EXPECT_EQ(0, done);
	}
	EXPECT_UNCHANGED(&self->before);
}

TEST_F(uapi, bad_rw_buffer)
{
	char *guard = self->p + SIZE, *other = xm_anon(SIZE);
	__u64 done;

	ASSERT_NE(NULL, other);
	memset(other, 1, SIZE);
	/* A buffer that is not there */
	EXPECT_EQ(-EFAULT, xm_rw(self->fd, other, guard, 8, 0, &done));
	EXPECT_EQ(0, done);
	EXPECT_EQ(-EFAULT, xm_rw(self->fd, other, guard, 8, XMIRROR_RW_WRITE,
				 &done));
	EXPECT_EQ(0, done);
	EXPECT_EQ(-EFAULT, xm_rw(self->fd, other,
				 (void *)0xffff800000000000UL, 8, 0, &done));
	EXPECT_EQ(0, done);
	EXPECT_EQ(1, *other);
	/* One that ends too early: what fits may be done, no more. */
	EXPECT_EQ(-EFAULT, xm_rw(self->fd, other, guard - 100, 200, 0, &done));
	EXPECT_LE(done, 100);
	EXPECT_EQ(-EFAULT, xm_rw(self->fd, other, guard - XM_PAGE,
				 2 * XM_PAGE, XMIRROR_RW_WRITE, &done));
	EXPECT_LE(done, XM_PAGE);
	EXPECT_EQ(1, other[XM_PAGE]);
}

/* SUBMIT and its commands */

TEST_F(uapi, bad_commands)
{
	struct xmirror_cmd good_cmd = xm_cmd(XMIRROR_OP_STORE, 8, self->p, 1);
	struct xmirror_cmd cmds[2];
	__u64 p = (uintptr_t)self->p;
	const struct {
		const char *what;
		struct xmirror_cmd cmd;
	} bad[] = {
		{ "op", { XMIRROR_OP_NR, 8, 0, 1, p, 0, 0, 0 } },
		{ "op 255", { 255, 8, 0, 1, p, 0, 0, 0 } },
		{ "width 0", { XMIRROR_OP_ADD, 0, 0, 1, p, 0, 0, 0 } },
		{ "width 3", { XMIRROR_OP_ADD, 3, 0, 1, p, 0, 0, 0 } },
		{ "width 16", { XMIRROR_OP_ADD, 16, 0, 1, p, 0, 0, 0 } },
		{ "width 255", { XMIRROR_OP_LOAD, 255, 0, 1, p, 0, 0, 0 } },
		{ "count 0", { XMIRROR_OP_ADD, 8, 0, 0, p, 0, 0, 0 } },
		{ "8 at 1", { XMIRROR_OP_ADD, 8, 0, 1, p + 1, 0, 0, 0 } },
		{ "8 at 4", { XMIRROR_OP_ADD, 8, 0, 1, p + 4, 0, 0, 0 } },
		{ "8 across pages",
		  { XMIRROR_OP_ADD, 8, 0, 1, p + 4092, 0, 0, 0 } },
		{ "4 at 2", { XMIRROR_OP_LOAD, 4, 0, 1, p + 2, 0, 0, 0 } },
		{ "2 at 1", { XMIRROR_OP_STORE, 2, 0, 1, p + 1, 0, 0, 0 } },
		{ "stride 4", { XMIRROR_OP_ADD, 8, 0, 2, p, 4, 0, 0 } },
		{ "stride -1", { XMIRROR_OP_ADD, 2, 0, 2, p + 8, -1, 0, 0 } },
		{ "stride, count 1", { XMIRROR_OP_ADD, 8, 0, 1, p, 12, 0, 0 } },
		{ "compare", { XMIRROR_OP_ADD, 8, 0, 1, p, 0, 0, 1 } },
		{ "load compare", { XMIRROR_OP_LOAD, 8, 0, 1, p, 0, 0, 1 } },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_EQ(-EINVAL,
			  xm_submit(self->fd, 0, &bad[i].cmd, 1, 1, NULL)) {
			TH_LOG("%s", bad[i].what);
		}
		/* Nor is a good command before it run. */
		cmds[0] = good_cmd;
		cmds[1] = bad[i].cmd;
		EXPECT_EQ(-EINVAL, xm_submit(self->fd, 0, cmds, 2, 1, NULL)) {
			TH_LOG("second: %s", bad[i].what);
		}
	}
	EXPECT_EQ(-ENOENT, xm_wait(self->fd, 0, 0, NULL));
	EXPECT_EQ(0x5a, *self->p);
	EXPECT_UNCHANGED(&self->before);
}

TEST_F(uapi, bad_submit)
{
	struct xmirror_cmd cmd = xm_cmd(XMIRROR_OP_STORE, 8, self->p, 1);
	struct xmirror_cmd *many = calloc(XMIRROR_MAX_CMDS + 1, sizeof(*many));
	unsigned int engines = xm_facts()->engines, i;
	struct xmirror_submit s;

	ASSERT_NE(NULL, many);
	for (i = 0; i <= XMIRROR_MAX_CMDS; i++)
		many[i] = cmd;
	EXPECT_EQ(-EINVAL, xm_submit(self->fd, engines, &cmd, 1, 1, NULL));
	EXPECT_EQ(-EINVAL, xm_submit(self->fd, ~0U, &cmd, 1, 1, NULL));
	EXPECT_EQ(-EINVAL, xm_submit(self->fd, 0, &cmd, 0, 1, NULL));
	EXPECT_EQ(-EINVAL, xm_submit(self->fd, 0, many, XMIRROR_MAX_CMDS + 1, 1,
				     NULL));
	EXPECT_EQ(-EINVAL, xm_submit(self->fd, 0, many, ~0U, 1, NULL));
	EXPECT_EQ(-EINVAL, xm_submit(self->fd, 0, &cmd, 1, 0, NULL));
	EXPECT_EQ(-EFAULT, xm_submit(self->fd, 0, NULL, 1, 1, NULL));
	EXPECT_EQ(-EFAULT, xm_submit(self->fd, 0, (void *)(self->p + SIZE), 1,
				     1, NULL));

	s = (struct xmirror_submit) {
		.size = sizeof(s),
		.flags = XMIRROR_SUBMIT_EVENTFD,
		.nr_cmds = 1,
		.cmds = (uintptr_t)&cmd,
		.repeat = 1,
		.eventfd = -1,
	};
	EXPECT_EQ(-EBADF, xm_ioctl(self->fd, XMIRROR_IOC_SUBMIT, &s));
	s.eventfd = 1000000;
	EXPECT_EQ(-EBADF, xm_ioctl(self->fd, XMIRROR_IOC_SUBMIT, &s));
	s.eventfd = self->fd;
	EXPECT_EQ(-EINVAL, xm_ioctl(self->fd, XMIRROR_IOC_SUBMIT, &s));
	s.flags = 0;
	s.eventfd = 5;
	EXPECT_EQ(-EINVAL, xm_ioctl(self->fd, XMIRROR_IOC_SUBMIT, &s));

	EXPECT_EQ(-ENOENT, xm_wait(self->fd, 0, 0, NULL));
	EXPECT_EQ(0x5a, *self->p);
	EXPECT_UNCHANGED(&self->before);
	/* The largest list is fine. */
	EXPECT_EQ(0, xm_submit(self->fd, engines - 1, many, XMIRROR_MAX_CMDS, 1,
			       NULL));
	EXPECT_EQ(0, xm_wait(self->fd, 0, XM_LONG, NULL));
	EXPECT_EQ(1, *self->p);
	free(many);
}

/* A job that leaves user space stops at that location. */
TEST_F(uapi, commands_out_of_bounds)
{
	const struct {
		__u64 addr;
		__s64 stride;
		__u32 count;
		__u64 ops;
	} bad[] = {
		{ 1ULL << 56, 0, 1, 0 },
		{ 0xffff800000000000ULL, 8, 4, 0 },
		{ -8ULL, 8, 2, 0 },
		{ (uintptr_t)self->p, 1LL << 62, 8, 1 },
		{ (uintptr_t)self->p, -(1LL << 62), 8, 1 },
		{ (uintptr_t)self->p, INT64_MIN, 8, 1 },
		{ (uintptr_t)self->p, INT64_MAX & ~7ULL, 8, 1 },
		{ (uintptr_t)self->p, 8, ~0U, SIZE / 8 },
		{ (uintptr_t)self->p + SIZE - 8, -8, ~0U, SIZE / 8 },
	};
	struct xmirror_wait w;
	__u64 fence;
	size_t i;
	int err;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		struct xmirror_cmd cmd = xm_cmds(XMIRROR_OP_LOAD, 8,
						 (void *)bad[i].addr,
						 bad[i].stride, bad[i].count, 0);

		err = xm_submit(self->fd, 0, &cmd, 1, 1, &fence);
		if (err) {
			EXPECT_EQ(-EFAULT, err);
			EXPECT_EQ(0, bad[i].ops);
			continue;
		}
		EXPECT_EQ(0, xm_wait(self->fd, fence, XM_LONG, &w));
		EXPECT_EQ(-EFAULT, w.status) {
			TH_LOG("%#llx, stride %#llx, count %u", bad[i].addr,
			       bad[i].stride, bad[i].count);
		}
		EXPECT_EQ(bad[i].ops, w.ops) {
			TH_LOG("%#llx, stride %#llx, count %u", bad[i].addr,
			       bad[i].stride, bad[i].count);
		}
		EXPECT_EQ(0, w.cmd);
	}
}

TEST_F(uapi, bad_wait)
{
	struct xmirror_cmd cmd = xm_cmd(XMIRROR_OP_LOAD, 8, self->p, 0);
	struct xmirror_wait w;
	__u64 fence, result = 0;

	EXPECT_EQ(-ENOENT, xm_wait(self->fd, 0, XM_LONG, NULL));
	EXPECT_EQ(-ENOENT, xm_wait(self->fd, 1, XM_LONG, NULL));
	EXPECT_EQ(-ENOENT, xm_wait(self->fd, ~0ULL, XM_LONG, NULL));
	EXPECT_EQ(-ENOENT, xm_cancel(self->fd, 7, NULL));

	ASSERT_EQ(0, xm_submit(self->fd, 0, &cmd, 1, 1, &fence));
	EXPECT_NE(0, fence);
	EXPECT_EQ(-ENOENT, xm_wait(self->fd, fence + 1, XM_LONG, NULL));
	/* Results that cannot be written: the job's record stays. */
	EXPECT_EQ(-EFAULT, xm_wait_results(self->fd, fence, XM_LONG,
					   (void *)(self->p + SIZE), 1, &w));
	EXPECT_EQ(0, xm_wait_results(self->fd, fence, XM_LONG, &result, 1, &w));
	EXPECT_EQ(0, w.status);
	EXPECT_EQ(1, w.nr_results);
	EXPECT_EQ(0x5a5a5a5a5a5a5a5aULL, result);
	/* It is gone now. */
	EXPECT_EQ(-ENOENT, xm_wait(self->fd, fence, XM_LONG, NULL));
	EXPECT_EQ(-ENOENT, xm_wait(self->fd, 0, XM_LONG, NULL));
}

/* More room for results than there are, and less. */
TEST_F(uapi, wait_results)
{
	struct xmirror_cmd cmds[3];
	__u64 fence, results[4], i;
	struct xmirror_wait w;

	for (i = 0; i < 3; i++) {
		cmds[i] = xm_cmd(XMIRROR_OP_LOAD, 8, self->p + 8 * i, 0);
		((__u64 *)self->p)[i] = 100 + i;
	}
	memset(results, 0xee, sizeof(results));
	ASSERT_EQ(0, xm_submit(self->fd, 0, cmds, 3, 1, &fence));
	ASSERT_EQ(0, xm_wait_results(self->fd, fence, XM_LONG, results, 4, &w));
	EXPECT_EQ(3, w.nr_results);
	EXPECT_EQ(3, w.cmd);
	EXPECT_EQ(3, w.ops);
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(100 + i, results[i]);
	}
	EXPECT_EQ(0xeeeeeeeeeeeeeeeeULL, results[3]);

	memset(results, 0xee, sizeof(results));
	ASSERT_EQ(0, xm_submit(self->fd, 0, cmds, 3, 1, &fence));
	ASSERT_EQ(0, xm_wait_results(self->fd, fence, XM_LONG, results, 2, &w));
	EXPECT_EQ(2, w.nr_results);
	EXPECT_EQ(101, results[1]);
	EXPECT_EQ(0xeeeeeeeeeeeeeeeeULL, results[2]);

	ASSERT_EQ(0, xm_submit(self->fd, 0, cmds, 3, 1, &fence));
	ASSERT_EQ(0, xm_wait_results(self->fd, fence, XM_LONG, NULL, 0, &w));
	EXPECT_EQ(0, w.nr_results);
}

/* SNAPSHOT */

TEST_F(uapi, bad_snapshot)
{
	struct xmirror_snapshot s = {
		.size = sizeof(s),
		.addr = (uintptr_t)self->p,
		.length = SIZE,
	};

	EXPECT_EQ(-EFAULT, xm_ioctl(self->fd, XMIRROR_IOC_SNAPSHOT, &s));
	EXPECT_EQ(0, s.done);
	s.pages = 0xffff800000000000ULL;
	EXPECT_EQ(-EFAULT, xm_ioctl(self->fd, XMIRROR_IOC_SNAPSHOT, &s));
	EXPECT_EQ(0, s.done);
	s.pages = (uintptr_t)self->p + SIZE;
	EXPECT_EQ(-EFAULT, xm_ioctl(self->fd, XMIRROR_IOC_SNAPSHOT, &s));
	EXPECT_EQ(0, s.done);
	EXPECT_UNCHANGED(&self->before);
}

/* SNAPSHOT tells of memory of every kind without touching it. */
TEST_F(uapi, snapshot_changes_nothing)
{
	struct xmirror_page page;
	char *fresh = xm_anon(SIZE), *none = xm_anon_prot(XM_PAGE, PROT_NONE);
	char *hole = xm_hole(XM_PAGE);

	ASSERT_NE(NULL, fresh);
	ASSERT_NE(NULL, none);
	page = xm_page(self->fd, self->p);
	EXPECT_EQ(XMIRROR_CPU_PRESENT | XMIRROR_CPU_WRITE,
		  page.cpu & (XMIRROR_CPU_PRESENT | XMIRROR_CPU_WRITE |
			      XMIRROR_CPU_EXCLUSIVE | XMIRROR_CPU_HUGE));
	EXPECT_EQ(xm_pfn(self->p), page.cpu_pfn);
	EXPECT_EQ(0, page.dev);
	EXPECT_EQ(0, page.dev_pfn);
	page = xm_page(self->fd, fresh);
	EXPECT_EQ(0, page.cpu);
	EXPECT_EQ(0, page.cpu_pfn);
	EXPECT_EQ(0, xm_pagemap(fresh) & (XM_PM_PRESENT | XM_PM_SWAP));
	page = xm_page(self->fd, none);
	EXPECT_EQ(XMIRROR_CPU_NOACCESS, page.cpu);
	page = xm_page(self->fd, hole);
	EXPECT_EQ(XMIRROR_CPU_HOLE, page.cpu);

	if (xm_caps() & XMIRROR_CAP_EXCLUSIVE) {
		ASSERT_EQ(0, xm_exclusive(self->fd, self->p, XM_PAGE, NULL));
		page = xm_page(self->fd, self->p);
		EXPECT_EQ(XMIRROR_CPU_EXCLUSIVE, page.cpu);
		EXPECT_EQ(xm_pfn(self->p), page.cpu_pfn);
		EXPECT_TRUE(xm_is_exclusive(self->p));
	}
}

/* SYNC */

TEST_F(uapi, bad_sync)
{
	const struct xmirror_sync arm = {
		.action = XMIRROR_SYNC_PAUSE,
		.point = XMIRROR_PT_ACCESS,
		.timeout_ms = 1000,
	};
	static const __u32 fails_at[] = {
		XMIRROR_PT_FAULT_BEGIN, XMIRROR_PT_FAULT_WALKED,
		XMIRROR_PT_EXCL_BEGIN, XMIRROR_PT_EXCL_MADE,
		XMIRROR_PT_DEVMEM_ALLOC, XMIRROR_PT_MIGRATE_COPY,
		XMIRROR_PT_MIGRATE_PAGE, XMIRROR_PT_DIRTY,
	};
	struct xmirror_sync s;
	size_t i, n;

	NEED(XMIRROR_CAP_SYNC);
#define EXPECT_REFUSED(change) \
	do { \
		s = arm; \
		change; \
		EXPECT_EQ(-EINVAL, xm_sync_arm_full(self->fd, &s)) { \
			TH_LOG("%s", #change); \
		} \
	} while (0)
	EXPECT_REFUSED(s.action = 0);
	EXPECT_REFUSED(s.action = XMIRROR_SYNC_FAIL + 1);
	EXPECT_REFUSED(s.point = XMIRROR_PT_NR);
	EXPECT_REFUSED(s.point = ~0U);
	EXPECT_REFUSED(s.timeout_ms = 0);
	EXPECT_REFUSED(s.timeout_ms = 60001);
	EXPECT_REFUSED(s.timeout_ms = ~0U);
	EXPECT_REFUSED((s.point = XMIRROR_PT_INV_ENTER,
			s.event = XMIRROR_NR_EVENTS + 1));
	EXPECT_REFUSED((s.addr = ~0ULL, s.length = 2));
	EXPECT_REFUSED((s.action = XMIRROR_SYNC_FAIL,
			s.point = XMIRROR_PT_FAULT_BEGIN, s.error = 0));
	EXPECT_REFUSED((s.action = XMIRROR_SYNC_FAIL,
			s.point = XMIRROR_PT_FAULT_BEGIN, s.error = 4096));
	EXPECT_REFUSED((s.action = XMIRROR_SYNC_FAIL,
			s.point = XMIRROR_PT_FAULT_BEGIN, s.error = -EIO));

	/* FAIL only where the operation can fail */
	for (i = 0; i < XMIRROR_PT_NR; i++) {
		int err = -EINVAL;

		for (n = 0; n < ARRAY_SIZE(fails_at); n++)
			err = fails_at[n] == i ? 0 : err;
		s = arm;
		s.action = XMIRROR_SYNC_FAIL;
		s.point = i;
		s.error = EIO;
		EXPECT_EQ(err, xm_sync_arm_full(self->fd, &s)) {
			TH_LOG("point %zu", i);
		}
	}

	s = (struct xmirror_sync) { .size = sizeof(s) };
	EXPECT_EQ(-EINVAL, xm_ioctl(self->fd, XMIRROR_IOC_SYNC, &s));
	s.cmd = XMIRROR_SYNC_RESUME + 1;
	EXPECT_EQ(-EINVAL, xm_ioctl(self->fd, XMIRROR_IOC_SYNC, &s));
	s.cmd = ~0U;
	EXPECT_EQ(-EINVAL, xm_ioctl(self->fd, XMIRROR_IOC_SYNC, &s));
	EXPECT_EQ(-ENOENT, xm_sync_reached(self->fd, 1000000, 1));
	EXPECT_EQ(-ENOENT, xm_sync_resume(self->fd, 1000000, NULL));
	EXPECT_UNCHANGED(&self->before);
}

TEST_F(uapi, sync_not_reached)
{
	__u32 id;

	NEED(XMIRROR_CAP_SYNC);
	ASSERT_EQ(0, xm_sync_arm(self->fd, XMIRROR_PT_FAULT_BEGIN, self->p,
				 XM_PAGE, &id));
	EXPECT_EQ(-ETIMEDOUT, xm_sync_reached(self->fd, id, 0));
	/* Another range, another operation, another mirror */
	EXPECT_EQ(0, xm_fault(self->fd, self->p + XM_PAGE, XM_PAGE, 0, NULL));
	EXPECT_EQ(0, xm_release(self->fd, self->p, XM_PAGE, NULL));
	EXPECT_EQ(-ETIMEDOUT, xm_sync_reached(self->fd, id, 1));
	/* Resuming what was not reached disarms it. */
	EXPECT_EQ(0, xm_sync_resume(self->fd, id, NULL));
	EXPECT_EQ(0, xm_fault(self->fd, self->p, XM_PAGE, 0, NULL));
	EXPECT_EQ(-ENOENT, xm_sync_resume(self->fd, id, NULL));
}

TEST_F(uapi, too_many_sync_points)
{
	__u32 ids[33], i;
	int fd;

	NEED(XMIRROR_CAP_SYNC);
	OPEN(fd, 0);
	for (i = 0; i < 32; i++) {
		ASSERT_EQ(0, xm_sync_arm(fd, XMIRROR_PT_ACCESS, NULL, 0,
					 &ids[i]));
		if (i) {
			EXPECT_NE(ids[0], ids[i]);
		}
	}
	EXPECT_EQ(-ENOSPC, xm_sync_arm(fd, XMIRROR_PT_ACCESS, NULL, 0,
				       &ids[32]));
	EXPECT_EQ(0, xm_sync_resume(fd, ids[5], NULL));
	EXPECT_EQ(0, xm_sync_arm(fd, XMIRROR_PT_ACCESS, NULL, 0, &ids[32]));
	/* What a file has armed goes with it. */
	close(fd);
	EXPECT_EQ(0, xm_sync_arm(self->fd, XMIRROR_PT_ACCESS, NULL, 0, &ids[0]));
	EXPECT_EQ(0, xm_sync_resume(self->fd, ids[0], NULL));
}

/* Somebody else's file */

struct other {
	int fd;
	char *p;
};

static int other_calls(struct child *c, void *arg)
{
	struct other *o = arg;

	(void)c;
	CHILD_CHECK(all_give(o->fd, o->p, -EPERM) < 0);
	return 0;
}

TEST_F(uapi, forked_child)
{
	struct other o = { self->fd, self->p };
	struct child c;

	EXPECT_EQ(0, xm_fault(self->fd, self->p, SIZE, 0, NULL));
	STATE_GET(&self->before);
	ASSERT_EQ(0, child_start(&c, other_calls, &o));
	EXPECT_EQ(0, child_end(&c));
	/* For the opener nothing has changed. */
	EXPECT_EQ(0, xm_fault(self->fd, self->p, SIZE, 0, NULL));
	EXPECT_EQ(0x5a, *self->p);
}

static int passed_calls(struct child *c, void *arg)
{
	char *p = arg;
	int fd = child_recv_fd(c);

	CHILD_CHECK(fd >= 0);
	CHILD_CHECK(all_give(fd, p, -EPERM) < 0);
	return 0;
}

TEST_F(uapi, passed_file)
{
	struct child c;
	int fd;

	ASSERT_EQ(0, child_start(&c, passed_calls, self->p));
	OPEN(fd, 0);
	ASSERT_EQ(0, child_send_fd(&c, fd));
	EXPECT_EQ(0, child_end(&c));
	/* The child closed its last reference, not the file. */
	EXPECT_EQ(0, xm_fault(fd, self->p, SIZE, XMIRROR_FAULT_WRITE, NULL));
	EXPECT_CLEAN(fd);
	close(fd);
}

static int open_and_pass(struct child *c, void *arg)
{
	struct other *o = arg;
	int fd = xm_open(0);

	CHILD_CHECK(fd >= 0);
	CHILD_CHECK(!xm_fault(fd, o->p, SIZE, XMIRROR_FAULT_WRITE, NULL));
	if (xm_caps() & XMIRROR_CAP_EXCLUSIVE)
		CHILD_CHECK(!xm_exclusive(fd, o->p, SIZE, NULL));
	CHILD_CHECK(!child_send_fd(c, fd));
	CHILD_CHECK(child_hear(c) == 'e');
	return 0;
}

TEST_F(uapi, opener_gone)
{
	struct other o = { -1, self->p };
	struct child c;
	int fd;

	ASSERT_EQ(0, child_start(&c, open_and_pass, &o));
	fd = child_recv_fd(&c);
	ASSERT_GE(fd, 0);
	EXPECT_EQ(-1, all_give(fd, self->p, -EPERM));
	ASSERT_EQ(0, child_tell(&c, 'e'));
	ASSERT_EQ(0, child_end(&c));
	EXPECT_EQ(-1, all_give(fd, self->p, -ESRCH));
	close(fd);
}

/* The same while an engine is at work; it ends with the mm. */
static int open_run_pass(struct child *c, void *arg)
{
	struct other *o = arg;
	struct xmirror_cmd cmd = xm_cmd(XMIRROR_OP_STORE, 8, o->p, 1);
	unsigned int i;
	int fd = xm_open(0);

	CHILD_CHECK(fd >= 0);
	for (i = 0; i < xm_facts()->engines; i++)
		CHILD_CHECK(!xm_submit(fd, i, &cmd, 1, ~0ULL, NULL));
	CHILD_CHECK(!child_send_fd(c, fd));
	CHILD_CHECK(child_hear(c) == 'e');
	return 0;
}

TEST_F(uapi, opener_gone_with_jobs)
{
	struct other o = { -1, self->p };
	struct child c;
	__u64 start;
	int fd, err;

	ASSERT_EQ(0, child_start(&c, open_run_pass, &o));
	fd = child_recv_fd(&c);
	ASSERT_GE(fd, 0);
	ASSERT_EQ(0, child_tell(&c, 'e'));
	ASSERT_EQ(0, child_end(&c));
	/* An engine may have held the mm for a moment longer. */
	start = xm_now_ns();
	do {
		err = xm_fault(fd, self->p, XM_PAGE, 0, NULL);
		sched_yield();
	} while (err == -EPERM && !xm_expired(start, XM_LONG));
	EXPECT_EQ(-ESRCH, err);
	EXPECT_EQ(-1, all_give(fd, self->p, -ESRCH));
	/* The engines serve others. */
	EXPECT_EQ(0, xm_op(self->fd, XMIRROR_OP_STORE, 8, self->p, 9, NULL));
	EXPECT_EQ(9, *self->p);
	close(fd);
}

static int open_and_exec(struct child *c, void *arg)
{
	char number[16];
	int fd = xm_open(0);

	(void)c;
	CHILD_CHECK(fd >= 0);
	CHILD_CHECK(!xm_fault(fd, arg, SIZE, XMIRROR_FAULT_WRITE, NULL));
	CHILD_CHECK(!fcntl(fd, F_SETFD, 0));
	snprintf(number, sizeof(number), "%d", fd);
	execl("/proc/self/exe", "uapi", "--exec", number, NULL);
	return 98;
}

static int after_exec(int fd)
{
	char *p = xm_anon(SIZE);

	CHILD_CHECK(p);
	CHILD_CHECK(all_give(fd, p, -ESRCH) < 0);
	/* A file of one's own works. */
	fd = xm_open(0);
	CHILD_CHECK(fd >= 0);
	CHILD_CHECK(!xm_fault(fd, p, SIZE, XMIRROR_FAULT_WRITE, NULL));
	return 0;
}

TEST_F(uapi, opener_execs)
{
	struct child c;

	ASSERT_EQ(0, child_start(&c, open_and_exec, self->p));
	EXPECT_EQ(0, child_end(&c));
}

/* Rights */

static int as_nobody(struct child *c, void *arg)
{
	(void)c;
	(void)arg;
	CHILD_CHECK(!setresgid(65534, 65534, 65534));
	CHILD_CHECK(!setresuid(65534, 65534, 65534));
	CHILD_CHECK(xm_open(0) == -EACCES);
	return 0;
}

TEST(node_is_roots)
{
	const struct xmirror_info *facts = xm_facts();
	struct child c;
	struct stat st;
	char path[32];
	unsigned int i;

	ASSERT_NE(NULL, facts);
	for (i = 0; i < facts->devices; i++) {
		snprintf(path, sizeof(path), "/dev/xmirror%u", i);
		ASSERT_EQ(0, stat(path, &st));
		EXPECT_TRUE(S_ISCHR(st.st_mode));
		EXPECT_EQ(0600, st.st_mode & 07777);
		EXPECT_EQ(0, st.st_uid);
	}
	ASSERT_EQ(0, child_start(&c, as_nobody, NULL));
	EXPECT_EQ(0, child_end(&c));
}

/* The same calls from a 32-bit caller, by the 32-bit system call gate */

#ifdef __x86_64__
static int ioctl32(int fd, unsigned long nr, void *arg)
{
	long ret;

	asm volatile("int $0x80"
		     : "=a" (ret)
		     : "a" (54L), "b" ((long)fd), "c" (nr), "d" (arg)
		     : "memory", "r8", "r9", "r10", "r11");
	return (int)ret;
}

static int compat_calls(struct child *c, void *arg)
{
	union any *u = mmap(NULL, 4 * XM_PAGE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	char *p = (char *)u + XM_PAGE;
	int fd = xm_open(0);
	size_t i;
	int err;

	(void)c;
	(void)arg;
	CHILD_CHECK(u != MAP_FAILED);
	CHILD_CHECK(fd >= 0);
	for (i = 0; i < ARRAY_SIZE(calls); i++) {
		fill(&calls[i], p, u);
		/* Pointers in structs are 64 bits wide for everyone. */
		err = ioctl32(fd, calls[i].nr, u);
		if (err != good(&calls[i])) {
			dprintf(2, "# %s: %d\n", calls[i].name, err);
			return 1;
		}
		fill(&calls[i], p, u);
		u->size = 4;
		CHILD_CHECK(ioctl32(fd, calls[i].nr, u) == -EINVAL);
	}
	CHILD_CHECK(ioctl32(fd, _IO(XMIRROR_IOC_TYPE, 0x40), u) == -ENOTTY);
	return 0;
}

TEST(compat)
{
	struct child c;
	int err;

	ASSERT_EQ(0, child_start(&c, compat_calls, NULL));
	err = child_end(&c);
	if (err == 128 + SIGSEGV)
		SKIP(return, "no 32-bit system calls (CONFIG_IA32_EMULATION)");
	EXPECT_EQ(0, err);
}
#endif

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "--exec"))
		return after_exec(atoi(argv[2]));
	return test_harness_run(argc, argv);
}
