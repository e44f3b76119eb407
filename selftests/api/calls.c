// SPDX-License-Identifier: GPL-2.0
/*
 * The properties of every call: sizes of its struct, unknown flags, bad pointers,
 * files of other processes, and 32-bit callers. A bad call is refused with the
 * errno that uapi/linux/xmirror.h names, and changes nothing. ranges.c and args.c
 * test the arguments of single calls.
 */
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "fixture.h"

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
	struct xmirror_raw_exclusive raw_exclusive;
	struct xmirror_raw_hmm raw_hmm;
	struct xmirror_raw_migrate raw_migrate;
	struct xmirror_raw_notifier raw_notifier;
	struct xmirror_raw_state raw_state;
	struct xmirror_hold hold;
	struct xmirror_resident resident;
	struct xmirror_prefer prefer;
	unsigned char raw[XM_PAGE];
};

/*
 * Every call: the size of its struct's first version, its flags, and the result of
 * a valid call on a file without jobs. The numbers are for ever: a struct may only
 * grow.
 */
#define CALL(nr, type, first, flags, good) \
	{ XMIRROR_IOC_##nr, #nr, first, sizeof(struct xmirror_##type), flags, \
	  good }

static const struct call {
	unsigned long nr;
	const char *name;
	size_t first;
	size_t now;
	__u32 flags;
	int good;
} calls[] = {
	CALL(INFO, info, 608, 0, 0),
	CALL(SET, set, 24, 0, 0),
	CALL(FAULT, range, 40, XMIRROR_FAULT_WRITE, 0),
	CALL(EXCLUSIVE, range, 40,
	     XMIRROR_EXCLUSIVE_BARE | XMIRROR_EXCLUSIVE_LATE, 0),
	CALL(RELEASE, range, 40, 0, 0),
	CALL(RW, rw, 40, XMIRROR_RW_WRITE, 0),
	CALL(SUBMIT, submit, 48, XMIRROR_SUBMIT_EVENTFD, 0),
	CALL(WAIT, wait, 56, XMIRROR_WAIT_CANCEL, -ENOENT),
	CALL(SNAPSHOT, snapshot, 40, 0, 0),
	CALL(VERIFY, verify, 40, 0, 0),
	CALL(STATS, stats, 256, 0, 0),
	CALL(SYNC, sync, 72, 0, -ENOENT),
	CALL(MIGRATE, migrate, 48,
	     XMIRROR_MIGRATE_TO_SYSTEM | XMIRROR_MIGRATE_FROM_PEER |
	     XMIRROR_MIGRATE_GATHER, 0),
	CALL(UNPLUG, unplug, 24, XMIRROR_UNPLUG_REPLUG, 0),
	CALL(VRAM, vram, 88, 0, 0),
	CALL(INJECT, inject, 56, 0, 0),
	CALL(RAW_EXCLUSIVE, raw_exclusive, 40, 0, 0),
	CALL(RAW_HMM, raw_hmm, 56,
	     XMIRROR_RAW_HMM_UNLOCKED | XMIRROR_RAW_HMM_STALE, 0),
	CALL(RAW_MIGRATE, raw_migrate, 56,
	     (XMIRROR_RAW_UNSAFE << 1) - 1, 0),
	CALL(RAW_NOTIFIER, raw_notifier, 88, XMIRROR_RAW_PLAIN | XMIRROR_RAW_NO_END, 0),
	CALL(RAW_STATE, raw_state, 32, 0, 0),
	CALL(HOLD, hold, 72, 0, -ENOENT),
	CALL(RESIDENT, resident, 80, XMIRROR_RESIDENT_WRITE, -ENOENT),
	CALL(PREFER, prefer, 32, 0, 0),
};

static struct xmirror_cmd load_cmd;
static struct xmirror_page seen[PAGES];
static struct xmirror_raw_pfn raw_pfn;
static struct xmirror_raw_move raw_move;
static struct xmirror_raw_page raw_page;
static __u64 raw_excl_pfn;
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
	case XMIRROR_IOC_RAW_EXCLUSIVE:
		u->raw_exclusive.addr = (uintptr_t)p;
		u->raw_exclusive.nr = 1;
		u->raw_exclusive.owner = XMIRROR_RAW_MIRROR;
		u->raw_exclusive.pfns = (uintptr_t)&raw_excl_pfn;
		break;
	case XMIRROR_IOC_RAW_HMM:
		u->raw_hmm.addr = (uintptr_t)p;
		u->raw_hmm.length = XM_PAGE;
		u->raw_hmm.pfns = (uintptr_t)&raw_pfn;
		break;
	case XMIRROR_IOC_RAW_MIGRATE:
		u->raw_migrate.addr = (uintptr_t)p;
		u->raw_migrate.length = XM_PAGE;
		u->raw_migrate.moves = (uintptr_t)&raw_move;
		break;
	case XMIRROR_IOC_RAW_NOTIFIER:
		/* What has no length is refused by the kernel itself. */
		u->raw_notifier.cmd = XMIRROR_RAW_INSERT;
		u->raw_notifier.addr = (uintptr_t)p;
		break;
	case XMIRROR_IOC_RAW_STATE:
		u->raw_state.addr = (uintptr_t)p;
		u->raw_state.length = XM_PAGE;
		u->raw_state.pages = (uintptr_t)&raw_page;
		break;
	case XMIRROR_IOC_HOLD:
		u->hold.cmd = XMIRROR_HOLD_RELEASE;
		break;
	case XMIRROR_IOC_RESIDENT:
		u->resident.cmd = XMIRROR_RESIDENT_REMOVE;
		u->resident.addr = (uintptr_t)p;
		u->resident.length = XM_PAGE;
		break;
	case XMIRROR_IOC_PREFER:
		u->prefer.addr = (uintptr_t)p;
		u->prefer.length = XM_PAGE;
		break;
	}
}

static int good(const struct call *call)
{
	if ((call->nr == XMIRROR_IOC_EXCLUSIVE ||
	     call->nr == XMIRROR_IOC_RAW_EXCLUSIVE) &&
	    !(xm_caps() & XMIRROR_CAP_EXCLUSIVE))
		return -EOPNOTSUPP;
	if ((call->nr == XMIRROR_IOC_MIGRATE ||
	     call->nr == XMIRROR_IOC_RAW_MIGRATE ||
	     call->nr == XMIRROR_IOC_UNPLUG) &&
	    !(xm_caps() & XMIRROR_CAP_PRIVATE))
		return -EOPNOTSUPP;
	if (call->nr == XMIRROR_IOC_HOLD && !(xm_caps() & XMIRROR_CAP_HOLD))
		return -EOPNOTSUPP;
	return call->good;
}

/*
 * All calls with valid arguments give @err, but for HOLD, which has no mirrored mm;
 * the index of one that does not.
 */
static int all_give(int fd, void *p, int err)
{
	union any u;
	size_t i;
	int seen_err;

	for (i = 0; i < ARRAY_SIZE(calls); i++) {
		if (calls[i].nr == XMIRROR_IOC_HOLD)
			continue;
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

/* The layout is the same on every architecture. */
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

/* The first version's size works, and no byte behind it is written. */
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

/* A newer caller's struct is accepted as long as it uses nothing new. */
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

/* A nonsensical size, whose bytes may not even be mapped */
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

/* Another process's file */

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

/* covers: E.child */
TEST_F(uapi, forked_child)
{
	struct other o = { self->fd, self->p };
	struct child c;

	EXPECT_EQ(0, xm_fault(self->fd, self->p, SIZE, 0, NULL));
	STATE_GET(&self->before);
	ASSERT_EQ(0, child_start(&c, other_calls, &o));
	EXPECT_EQ(0, child_end(&c));
	/* The opener notices nothing. */
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
	/* The child has closed its reference, but not the file. */
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

/* covers: T2 */
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

/* The same while an engine works; it ends with the mm. */
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
	/* An engine may hold the mm for a moment longer. */
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
	/* The own file works. */
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
		XM_SKIP(return, "no 32-bit system calls (CONFIG_IA32_EMULATION)");
	EXPECT_EQ(0, err);
}
#endif

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "--exec"))
		return after_exec(atoi(argv[2]));
	return test_harness_run(argc, argv);
}
