// SPDX-License-Identifier: GPL-2.0
/*
 * What XMIRROR_IOC_INJECT makes fail, each time that it happens in a call: the
 * Nth one fails, N goes up until the call has no Nth one. The condition then is
 * what fail_nth.c wants, and it takes no kernel with fault injection.
 */
#include <sys/syscall.h>

#include "test.h"

#define PAGES	8UL
#define SIZE	(PAGES * XM_PAGE)
#define WORDS	(SIZE / 8)
#define ALWAYS	(~0ULL)

/**
 * struct stage - what a call is made on, new for each N
 * @fd: a mirror of device 0, where failures are injected
 * @peer: one of device 1
 * @p: PAGES of memory that hold value(i)
 */
struct stage {
	int fd;
	int peer;
	__u64 *p;
};

static __u64 value(size_t i)
{
	return 0x9e3779b97f4a7c15ULL * (i + 1);
}

static __u64 buffer[WORDS];

static int do_read_fault(struct stage *s)
{
	return xm_fault(s->fd, s->p, SIZE, 0, NULL);
}

static int do_write_fault(struct stage *s)
{
	return xm_fault(s->fd, s->p, SIZE, XMIRROR_FAULT_WRITE, NULL);
}

static int do_exclusive(struct stage *s)
{
	return xm_exclusive(s->fd, s->p, SIZE, NULL);
}

static int do_read(struct stage *s)
{
	int err = xm_read(s->fd, s->p, buffer, SIZE);

	return !err && buffer[WORDS - 1] != value(WORDS - 1) ? -EBADMSG : err;
}

static int do_write(struct stage *s)
{
	size_t i;

	for (i = 0; i < WORDS; i++)
		buffer[i] = value(i);
	return xm_write(s->fd, s->p, buffer, SIZE);
}

/* Atomics that leave the values as they are. */
static int do_atomics(struct stage *s)
{
	struct xmirror_cmd cmd = xm_cmds(XMIRROR_OP_ADD, 8, s->p, XM_PAGE,
					 PAGES, 0);

	return xm_run(s->fd, &cmd, NULL);
}

static int do_to_device(struct stage *s)
{
	return xm_migrate(s->fd, s->p, SIZE, 0, 0, NULL);
}

static int do_to_system(struct stage *s)
{
	return xm_migrate(s->fd, s->p, SIZE, XMIRROR_MIGRATE_TO_SYSTEM, 0,
			  NULL);
}

static int do_from_peer(struct stage *s)
{
	return xm_migrate(s->fd, s->p, SIZE, XMIRROR_MIGRATE_FROM_PEER, 1,
			  NULL);
}

static int to_device(struct stage *s)
{
	return do_to_device(s);
}

static int to_peer(struct stage *s)
{
	return xm_migrate(s->peer, s->p, SIZE, 0, 0, NULL);
}

static const struct call {
	const char *name;
	int (*fn)(struct stage *s);
	int (*before)(struct stage *s);
	__u64 cap;
	unsigned int makes;	/* what of it can fail, BIT by BIT */
} calls[] = {
#define COMMITS		(1U << XMIRROR_INJECT_COMMIT)
#define MOVES		(1U << XMIRROR_INJECT_COPY | \
			 1U << XMIRROR_INJECT_PARTIAL | \
			 1U << XMIRROR_INJECT_POISON)
#define ALLOCATES	(1U << XMIRROR_INJECT_ALLOC | MOVES)
	{ "FAULT", do_read_fault, NULL, 0, COMMITS },
	{ "FAULT for writing", do_write_fault, NULL, 0, COMMITS },
	{ "EXCLUSIVE", do_exclusive, NULL, XMIRROR_CAP_EXCLUSIVE, COMMITS },
	{ "RW, read", do_read, NULL, 0, COMMITS },
	{ "RW, write", do_write, NULL, 0, COMMITS },
	{ "RW, read device memory", do_read, to_device, XMIRROR_CAP_PRIVATE,
	  COMMITS },
	{ "SUBMIT, atomics", do_atomics, NULL, XMIRROR_CAP_EXCLUSIVE, COMMITS },
	{ "MIGRATE", do_to_device, NULL, XMIRROR_CAP_PRIVATE, ALLOCATES },
	{ "MIGRATE, to system", do_to_system, to_device, XMIRROR_CAP_PRIVATE,
	  MOVES },
	{ "MIGRATE, from peer", do_from_peer, to_peer, XMIRROR_CAP_PRIVATE,
	  ALLOCATES },
};

static int stage_make(struct stage *s, const struct call *call)
{
	size_t i;

	s->fd = xm_open(0);
	s->peer = xm_open(1);
	s->p = xm_anon(SIZE);
	if (s->fd < 0 || s->peer < 0 || !s->p)
		return -ENOENT;
	for (i = 0; i < WORDS; i++)
		s->p[i] = value(i);
	return call->before ? call->before(s) : 0;
}

static void stage_end(struct stage *s)
{
	close(s->fd);
	close(s->peer);
	munmap(s->p, SIZE);
}

static size_t wrong(const __u64 *p)
{
	size_t i, n = 0;

	for (i = 0; i < WORDS; i++)
		n += p[i] != value(i);
	return n;
}

FIXTURE(inject) {
	int watch;	/* sees the device's memory */
	__u64 free_at_start;
};

FIXTURE_SETUP(inject)
{
	struct xmirror_stats s;

	OPEN(self->watch, 0);
	ASSERT_EQ(0, xm_stats(self->watch, &s));
	self->free_at_start = s.devmem_free;
}

FIXTURE_TEARDOWN(inject)
{
	struct xmirror_stats s;

	EXPECT_EQ(0, xm_stats(self->watch, &s));
	EXPECT_EQ(self->free_at_start, s.devmem_free)
		TH_LOG("device memory lost");
	close(self->watch);
}

/*
 * The answers that a call may give when @error was injected into it. After some errors the
 * driver tries again, for as long as its deadline lets it: EBUSY and EAGAIN, and
 * EFAULT of a range, which it then takes page by page.
 */
static bool right_answer(__u32 error, __u64 injected, __u64 times, int err)
{
	bool again = error == EBUSY || error == EAGAIN || error == EFAULT;

	if (!injected || !error)
		return !err;
	if (err == -(int)error)
		return true;
	return again && err == (times == ALWAYS ? -EBUSY : 0);
}

/* Fail @times from the @skip-th on: how many there were. */
static __u64 once(struct __test_metadata *_metadata, const struct call *call,
		  enum xmirror_inject_what what, __u64 skip, __u64 times,
		  __u32 error)
{
	__u64 hits = 0, injected = 0;
	struct stage s;
	int err;

	ASSERT_EQ(0, stage_make(&s, call))
		TH_LOG("%s: the stage cannot be set", call->name);
	if (times == ALWAYS) {
		ASSERT_EQ(0, xm_set(s.fd, XMIRROR_SET_TIMEOUT, 50, NULL));
	}
	ASSERT_EQ(0, xm_inject(s.fd, what, skip, times, error));
	err = call->fn(&s);
	ASSERT_EQ(0, xm_inject_end(s.fd, what, &hits, &injected));
	EXPECT_TRUE(right_answer(error, injected, times, err)) {
		TH_LOG("%s, failure %llu of kind %u, error %u: %s", call->name,
		       skip, what, error, strerror(-err));
	}
	EXPECT_CLEAN(s.fd);
	EXPECT_CLEAN(s.peer);
	EXPECT_EQ(0, xm_set(s.fd, XMIRROR_SET_TIMEOUT, XM_LONG, NULL));
	EXPECT_EQ(0, call->fn(&s))
		TH_LOG("%s does not work after failure %llu of kind %u",
		       call->name, skip, what);
	EXPECT_CLEAN(s.fd);
	EXPECT_EQ(0, wrong(s.p))
		TH_LOG("%s, failure %llu of kind %u: data lost", call->name,
		       skip, what);
	stage_end(&s);
	return injected;
}

/* Errors that the driver tries again after, and ones that it must hand on. */
static const __u32 errors[] = { ENOMEM, EBUSY, EAGAIN, EFAULT, EIO };

TEST_F(inject, sweep)
{
	unsigned int what, e, nr_errors;
	__u64 n, total;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(calls); i++) {
		const struct call *call = &calls[i];

		if ((xm_caps() & call->cap) != call->cap) {
			TH_LOG("%s is left out: %s", call->name, xm_why());
			continue;
		}
		for (what = 0; what < XMIRROR_INJECT_NR; what++) {
			if (!(call->makes & 1U << what))
				continue;
			nr_errors = what == XMIRROR_INJECT_COMMIT ?
				    ARRAY_SIZE(errors) : 1;
			for (e = 0, total = 0; e < nr_errors; e++) {
				__u32 error = nr_errors > 1 ? errors[e] : 0;

				for (n = 0; once(_metadata, call, what, n, 1,
						 error); n++)
					total++;
				/* It could be made to fail at all. */
				EXPECT_NE(0, n)
					TH_LOG("%s, kind %u: nothing failed",
					       call->name, what);
				once(_metadata, call, what, 0, ALWAYS, error);
			}
			TH_LOG("%s: %llu failures of kind %u", call->name,
			       total, what);
		}
	}
}

/* An injected error comes as often as asked for, and to those asked for. */
TEST_F(inject, counts)
{
	__u64 hits, injected, moved;
	struct xmirror_page page;
	struct stage s;
	size_t i;

	NEED(XMIRROR_CAP_PRIVATE);
	for (i = XMIRROR_INJECT_ALLOC; i <= XMIRROR_INJECT_PARTIAL; i++) {
		static const unsigned int stays[] = { 0, 0, 0, 1, 1, 0, 0, 0 };
		unsigned int n;

		ASSERT_EQ(0, stage_make(&s, &calls[0]));
		ASSERT_EQ(0, xm_inject(s.fd, i, 3, 2, 0));
		ASSERT_EQ(0, xm_migrate(s.fd, s.p, SIZE, 0, 0, &moved));
		EXPECT_EQ(PAGES - 2, moved);
		for (n = 0; n < PAGES; n++) {
			page = xm_page(s.fd, s.p + n * XM_PAGE / 8);
			EXPECT_EQ(!stays[n], !!(page.cpu & XMIRROR_CPU_LOCAL))
				TH_LOG("kind %zu, page %u", i, n);
		}
		ASSERT_EQ(0, xm_inject_end(s.fd, i, &hits, &injected));
		EXPECT_EQ(PAGES, hits);
		EXPECT_EQ(2, injected);
		/* The counts are new ones now. */
		ASSERT_EQ(0, xm_inject_end(s.fd, i, &hits, &injected));
		EXPECT_EQ(0, hits);
		EXPECT_EQ(0, injected);
		EXPECT_EQ(0, wrong(s.p));
		stage_end(&s);
	}
}

/* 2 MiB: the large folio cannot be had, and then one of the small ones fails. */

FIXTURE(large) {
	int fd;
	char *p;
};

FIXTURE_VARIANT(large) {
	bool empty;
	enum xmirror_inject_what what;
};

#define LARGE(name, is_empty, kind) \
	FIXTURE_VARIANT_ADD(large, name) { \
		.empty = (is_empty), \
		.what = (kind), \
	}

LARGE(full_alloc, false, XMIRROR_INJECT_ALLOC);
LARGE(full_copy, false, XMIRROR_INJECT_COPY);
LARGE(full_partial, false, XMIRROR_INJECT_PARTIAL);
LARGE(empty_alloc, true, XMIRROR_INJECT_ALLOC);
LARGE(empty_copy, true, XMIRROR_INJECT_COPY);
LARGE(empty_partial, true, XMIRROR_INJECT_PARTIAL);

FIXTURE_SETUP(large)
{
	NEED(XMIRROR_CAP_PRIVATE);
	OPEN(self->fd, 0);
	if (variant->empty) {
		self->p = xm_anon_aligned(XM_PMD, XM_PMD);
		ASSERT_NE(NULL, self->p);
	} else {
		self->p = xm_thp(self->fd, 0x5a);
		if (!self->p)
			XM_SKIP(return, "%s", xm_why_no_thp());
	}
}

FIXTURE_TEARDOWN(large)
{
	EXPECT_CLEAN(self->fd);
	close(self->fd);
}

TEST_F(large, one_of_512)
{
	static const unsigned int nth[] = { 0, 1, 300, XM_PMD_PAGES - 1 };
	char byte = variant->empty ? 0 : 0x5a;
	__u64 hits, injected, moved, free;
	struct xmirror_stats stats;
	size_t i, n, bad;

	/* An old kernel has no large folios to begin with. */
	bool large = xm_caps() & XMIRROR_CAP_PRIVATE_LARGE;
	struct xmirror_sync s = {
		.action = XMIRROR_SYNC_FAIL,
		.point = XMIRROR_PT_DEVMEM_ALLOC,
		.error = ENOMEM,
	};

	for (i = 0; i < ARRAY_SIZE(nth); i++) {
		ASSERT_EQ(0, xm_stats(self->fd, &stats));
		free = stats.devmem_free;
		if (large) {
			ASSERT_EQ(0, xm_sync_arm_full(self->fd, &s));
		}
		ASSERT_EQ(0, xm_inject(self->fd, variant->what, nth[i], 1, 0));
		ASSERT_EQ(0, xm_migrate(self->fd, self->p, XM_PMD, 0, 0,
					&moved));
		ASSERT_EQ(0, xm_inject_end(self->fd, variant->what, &hits,
					   &injected));
		EXPECT_EQ(1, injected);
		EXPECT_GT(XM_PMD_PAGES, moved);
		EXPECT_CLEAN(self->fd);
		/* The device has as many pages less as it says have moved. */
		ASSERT_EQ(0, xm_stats(self->fd, &stats));
		EXPECT_EQ(moved, free - stats.devmem_free);
		for (n = 0, bad = 0; n < XM_PMD; n += 64)
			bad += XM_LOAD(self->p + n) != byte;
		EXPECT_EQ(0, bad);
		ASSERT_EQ(0, xm_stats(self->fd, &stats));
		EXPECT_EQ(free, stats.devmem_free);
		if (variant->empty) {
			ASSERT_EQ(0, madvise(self->p, XM_PMD, MADV_DONTNEED));
		} else {
			ASSERT_EQ(0, munmap(self->p, XM_PMD));
			self->p = xm_thp(self->fd, 0x5a);
			ASSERT_NE(NULL, self->p);
		}
	}
}

/* The large folio itself. Without one it has to do with small pages. */
TEST_F(large, all_of_512)
{
	bool large = xm_caps() & XMIRROR_CAP_PRIVATE_LARGE;
	char byte = variant->empty ? 0 : 0x5a;
	__u64 injected, moved;
	size_t n, bad = 0;

	ASSERT_EQ(0, xm_inject(self->fd, variant->what, 0, 1, 0));
	ASSERT_EQ(0, xm_migrate(self->fd, self->p, XM_PMD, 0, 0, &moved));
	ASSERT_EQ(0, xm_inject_end(self->fd, variant->what, NULL, &injected));
	EXPECT_EQ(1, injected);
	if (!large) {
		EXPECT_GT(XM_PMD_PAGES, moved);
	} else {
		EXPECT_EQ(variant->what == XMIRROR_INJECT_ALLOC ? XM_PMD_PAGES : 0,
			  moved);
	}
	EXPECT_CLEAN(self->fd);
	for (n = 0; n < XM_PMD; n += 64)
		bad += XM_LOAD(self->p + n) != byte;
	EXPECT_EQ(0, bad);
}

/* --- delays of invalidations ---------------------------------------------- */

FIXTURE(delay) {
	int fd;
	__u64 *p;
	struct worker w;
};

FIXTURE_SETUP(delay)
{
	OPEN(self->fd, 0);
	/* The delayed one holds mmap_lock. */
	ASSERT_EQ(0, xm_no_faults());
	self->p = xm_anon(XM_PAGE);
	ASSERT_NE(NULL, self->p);
	*self->p = 7;
	ASSERT_EQ(0, xm_fault(self->fd, self->p, XM_PAGE, XMIRROR_FAULT_WRITE,
			      NULL));
	self->w.fn = work_madvise;
	self->w.addr = self->p;
	self->w.len = XM_PAGE;
	self->w.arg = MADV_DONTNEED;
	ASSERT_EQ(0, worker_prepare(&self->w));
}

FIXTURE_TEARDOWN(delay)
{
	if (self->fd >= 0)
		close(self->fd);
}

static int read_7(int fd, __u64 *p)
{
	__u64 v = 0;
	int err = xm_read(fd, p, &v, 8);

	return err ? err : v != 7 ? -EBADMSG : 0;
}

/* The leaf is there as long as the delay lasts, which disarming ends. */
TEST_F(delay, ends_when_disarmed)
{
	__u64 hits, injected;

	ASSERT_EQ(0, xm_inject(self->fd, XMIRROR_INJECT_NOTIFIER, 0, 1, 0));
	ASSERT_EQ(0, worker_start(&self->w));
	ASSERT_TRUE(worker_blocked(&self->w, SYS_madvise));
	EXPECT_EQ(0, read_7(self->fd, self->p));
	ASSERT_EQ(0, xm_inject_end(self->fd, XMIRROR_INJECT_NOTIFIER, &hits,
				   &injected));
	EXPECT_EQ(0, worker_join(&self->w));
	EXPECT_EQ(1, hits);
	EXPECT_EQ(1, injected);
	EXPECT_LEAF(self->fd, self->p, LEAF_NONE);
	EXPECT_EQ(0, XM_LOAD(self->p));
	/* It is over: the next one is not delayed for a minute. */
	*self->p = 8;
	EXPECT_EQ(0, madvise(self->p, XM_PAGE, MADV_DONTNEED));
	EXPECT_CLEAN(self->fd);
}

TEST_F(delay, ends_when_closed)
{
	ASSERT_EQ(0, xm_inject(self->fd, XMIRROR_INJECT_NOTIFIER, 0, ALWAYS,
			       0));
	ASSERT_EQ(0, worker_start(&self->w));
	ASSERT_TRUE(worker_blocked(&self->w, SYS_madvise));
	ASSERT_EQ(0, close(self->fd));
	self->fd = -1;
	EXPECT_EQ(0, worker_join(&self->w));
	EXPECT_EQ(0, XM_LOAD(self->p));
}

/* Only once it is over by itself; the leaf is gone then. */
TEST_F(delay, ends_by_itself)
{
	struct xmirror_inject inj = {
		.size = sizeof(inj),
		.what = XMIRROR_INJECT_NOTIFIER,
		.times = ALWAYS,
		.delay_ms = 1,
	};
	__u64 injected;
	int i;

	ASSERT_EQ(0, xm_ioctl(self->fd, XMIRROR_IOC_INJECT, &inj));
	for (i = 0; i < 10; i++) {
		*self->p = 7;
		EXPECT_EQ(0, read_7(self->fd, self->p));
		ASSERT_EQ(0, madvise(self->p, XM_PAGE, MADV_DONTNEED));
		EXPECT_LEAF(self->fd, self->p, LEAF_NONE);
	}
	ASSERT_EQ(0, xm_inject_end(self->fd, XMIRROR_INJECT_NOTIFIER, NULL,
				   &injected));
	EXPECT_LE(10, injected);
	EXPECT_CLEAN(self->fd);
}

static int delayed(struct child *c, void *arg)
{
	int fd = xm_open(0);
	__u64 *p = arg;

	CHILD_CHECK(fd >= 0);
	CHILD_CHECK(!xm_fault(fd, p, XM_PAGE, XMIRROR_FAULT_WRITE, NULL));
	CHILD_CHECK(!xm_inject(fd, XMIRROR_INJECT_NOTIFIER, 0, ALWAYS, 0));
	CHILD_CHECK(!child_tell(c, 'd'));
	munmap(p, XM_PAGE);
	return 1;
}

TEST_F(delay, ends_when_killed)
{
	struct child c;

	ASSERT_EQ(0, child_start(&c, delayed, self->p));
	EXPECT_EQ('d', child_hear(&c));
	kill(c.pid, SIGKILL);
	EXPECT_EQ(128 + SIGKILL, child_end(&c));
}

/* --- who is meant ---------------------------------------------------------- */

TEST_F(inject, is_this_files_alone)
{
	struct stage s;
	int other;

	ASSERT_EQ(0, stage_make(&s, &calls[0]));
	OPEN(other, 0);
	ASSERT_EQ(0, xm_inject(s.fd, XMIRROR_INJECT_COMMIT, 0, ALWAYS, EIO));
	EXPECT_EQ(-EIO, xm_fault(s.fd, s.p, XM_PAGE, 0, NULL));
	EXPECT_EQ(0, xm_fault(other, s.p, XM_PAGE, 0, NULL));
	EXPECT_EQ(0, xm_fault(s.peer, s.p, XM_PAGE, 0, NULL));
	/* And goes with it. */
	close(s.fd);
	s.fd = xm_open(0);
	ASSERT_LE(0, s.fd);
	EXPECT_EQ(0, xm_fault(s.fd, s.p, XM_PAGE, 0, NULL));
	close(other);
	stage_end(&s);
}

TEST_F(inject, refuses_nonsense)
{
	const struct xmirror_inject good = {
		.size = sizeof(good),
		.what = XMIRROR_INJECT_COPY,
		.times = 1,
	};
	struct xmirror_inject inj;

#define EXPECT_REFUSED(change) \
	do { \
		inj = good; \
		change; \
		EXPECT_EQ(-EINVAL, xm_ioctl(self->watch, XMIRROR_IOC_INJECT, \
					    &inj)) { \
			TH_LOG("%s", #change); \
		} \
	} while (0)
	EXPECT_REFUSED(inj.flags = 1);
	EXPECT_REFUSED(inj.__reserved = 1);
	EXPECT_REFUSED(inj.what = XMIRROR_INJECT_NR);
	EXPECT_REFUSED(inj.what = ~0U);
	EXPECT_REFUSED(inj.error = EIO);
	EXPECT_REFUSED(inj.delay_ms = 1);
	EXPECT_REFUSED(inj.what = XMIRROR_INJECT_COMMIT);
	EXPECT_REFUSED((inj.what = XMIRROR_INJECT_COMMIT, inj.error = 4096));
	EXPECT_REFUSED((inj.what = XMIRROR_INJECT_COMMIT, inj.error = EIO,
			inj.times = 0));
	EXPECT_REFUSED(inj.what = XMIRROR_INJECT_NOTIFIER);
	EXPECT_REFUSED((inj.what = XMIRROR_INJECT_NOTIFIER,
			inj.delay_ms = 60001));
	EXPECT_REFUSED((inj.what = XMIRROR_INJECT_NOTIFIER, inj.delay_ms = 1,
			inj.times = 0));
}

/*
 * VERIFY finds what is wrong: a leaf for a page that went while it was made. The
 * device must not use it.
 */
TEST_F(inject, verify_sees_a_stale_leaf)
{
	struct xmirror_verify v;
	struct worker w = { .fn = work_exclusive, .len = XM_PAGE };
	__u64 injected;
	__u32 id;
	int fd;

	NEED(XMIRROR_CAP_EXCLUSIVE);
	ASSERT_EQ(0, xm_no_faults());
	OPEN(fd, 0);
	w.fd = fd;
	w.addr = xm_anon(XM_PAGE);
	ASSERT_NE(NULL, w.addr);
	memset(w.addr, 1, XM_PAGE);
	ASSERT_EQ(0, xm_inject(fd, XMIRROR_INJECT_STALE, 0, 1, 0));
	ASSERT_EQ(0, xm_sync_arm(fd, XMIRROR_PT_EXCL_MADE, w.addr, XM_PAGE,
				 &id));
	ASSERT_EQ(0, worker_start(&w));
	ASSERT_EQ(0, xm_sync_reached(fd, id, XM_LONG));
	ASSERT_EQ(0, madvise(w.addr, XM_PAGE, MADV_DONTNEED));
	ASSERT_EQ(0, xm_sync_resume(fd, id, NULL));
	ASSERT_EQ(0, worker_join(&w));
	ASSERT_EQ(0, xm_inject_end(fd, XMIRROR_INJECT_STALE, NULL, &injected));
	EXPECT_EQ(1, injected);
	ASSERT_EQ(0, xm_verify(fd, &v));
	EXPECT_EQ(1, v.violations);
	EXPECT_EQ((uintptr_t)w.addr, v.first_addr);
	EXPECT_EQ(XMIRROR_V_ABSENT, v.first_kind);
	/* Another page comes there, and nobody has to tell the device. */
	EXPECT_EQ(0, XM_LOAD((char *)w.addr));
	ASSERT_EQ(0, xm_verify(fd, &v));
	EXPECT_EQ(1, v.violations);
	EXPECT_EQ(XMIRROR_V_PFN, v.first_kind);
	/* The invalidation that is announced takes the leaf away, wrong as it is. */
	ASSERT_EQ(0, munmap(w.addr, XM_PAGE));
	EXPECT_CLEAN(fd);
	close(fd);
}

TEST_HARNESS_MAIN
