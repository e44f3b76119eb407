// SPDX-License-Identifier: GPL-2.0
/*
 * Devices and CPU threads count on the same pages, and each of them wants the pages in its
 * own memory. Not one count may be missing, and nobody starves: the module counts how many
 * time slices of others a call has waited for.
 *
 * Other memory passes through a device that is overcommitted, four times as much in all as
 * it can hold, so that it evicts pages meanwhile.
 *
 * XM_COUNT in the environment is the number of accesses in all, 50000 if it is not set.
 */
#include "module.h"
#include "test.h"

#define MOST_DEVICES	4
#define CPUS		4
#define MOST_PARTIES	(MOST_DEVICES + CPUS)
#define RUNS		64UL	/* places where a burst can be, all over the memory */
#define RUN		8UL	/* pages of a burst, one after the other */
#define TIMES		16UL	/* accesses of each of them */
#define BURST		(RUN * TIMES)
#define AHEAD		(4 * BURST) /* a CPU thread is no more before the last device */
#define SLICE		20	/* milliseconds */
#define DEVICE		(1024 * XM_PAGE) /* 4 MiB, where a page has 4 KiB */
#define OTHER		(3 * DEVICE)
#define OFTEN		4	/* so many bursts for a block of the other memory */
#define TIME		(20 * XM_LONG)

/**
 * struct party - who accesses
 * @w: its thread; the file of a device, or -1
 * @all: all of them
 * @bursts: how many it makes
 * @done: accesses so far
 * @longest: most accesses of others from the begin of a burst of its own to the end of
 *	it, or for a CPU thread of its first access to a page
 * @faults: most device faults of a burst
 * @other: other memory for a device that is overcommitted, or NULL
 * @runs: bursts at each place
 */
struct party {
	struct worker w;
	struct match *all;
	__u64 bursts;
	__u64 done;
	__u64 longest;
	__u64 faults;
	char *other;
	unsigned int runs[RUNS];
};

struct match {
	struct party party[MOST_PARTIES];
	unsigned int parties;
	unsigned int devices;
	bool failed;
	__u64 *p;
	size_t pages;
};

/* The first page of a place */
static __u64 *place(const struct match *all, unsigned int run)
{
	return all->p + run * (all->pages / RUNS) * XM_WORDS;
}

static __u64 next(__u64 *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static __u64 by_others(const struct party *me)
{
	const struct match *all = me->all;
	unsigned int i;
	__u64 sum = 0;

	for (i = 0; i < all->parties; i++)
		sum += &all->party[i] == me ? 0 : XM_LOAD(&all->party[i].done);
	return sum;
}

static void waited(struct party *me, __u64 before)
{
	__u64 n = by_others(me) - before;

	if (n > me->longest)
		me->longest = n;
}

/* CPUs are faster by far, and would be done before the devices have begun. */
static void keep_pace(const struct party *me)
{
	const struct match *all = me->all;
	unsigned int i;

	for (i = 0; i < all->devices; i++) {
		while (me->done > XM_LOAD(&all->party[i].done) + AHEAD &&
		       !XM_LOAD(&all->failed))
			sched_yield();
	}
}

static void cpu_burst(struct party *me, __u64 *p)
{
	__u64 before;
	unsigned int i, k;

	keep_pace(me);
	for (i = 0; i < RUN; i++) {
		before = by_others(me);
		XM_ADD(p + i * XM_WORDS, 1);
		waited(me, before);
		for (k = 1; k < TIMES; k++)
			XM_ADD(p + i * XM_WORDS, 1);
		XM_STORE(&me->done, me->done + TIMES);
	}
}

static int device_burst(struct party *me, __u64 *p)
{
	struct xmirror_stats before_stats, after;
	struct xmirror_cmd cmds[RUN];
	__u64 before = by_others(me), fence;
	unsigned int i;
	int err;

	for (i = 0; i < RUN; i++)
		cmds[i] = xm_cmds(XMIRROR_OP_ADD, 8, p + i * XM_WORDS, 0, TIMES,
				  1);
	err = xm_stats(me->w.fd, &before_stats) ?:
	      xm_submit(me->w.fd, 0, cmds, RUN, 1, &fence) ?:
	      xm_wait(me->w.fd, fence, TIME, NULL) ?:
	      xm_stats(me->w.fd, &after);
	if (err)
		return err;
	waited(me, before);
	XM_STORE(&me->done, me->done + BURST);
	if (after.device_faults - before_stats.device_faults > me->faults)
		me->faults = after.device_faults - before_stats.device_faults;
	return 0;
}

/* A block of the other memory takes its place in the device. */
static int pass_through(struct party *me, __u64 nr)
{
	return xm_migrate(me->w.fd, me->other + nr * XM_PMD % OTHER, XM_PMD, 0,
			  0, NULL);
}

static int play(struct worker *w)
{
	struct party *me = (struct party *)w;
	__u64 seed = 0x9876543 * (w->arg + 1), i;
	unsigned int run;
	int err = 0;

	for (i = 0; i < me->bursts && !err; i++) {
		run = next(&seed) % RUNS;
		me->runs[run]++;
		if (w->fd < 0)
			cpu_burst(me, place(me->all, run));
		else
			err = device_burst(me, place(me->all, run));
		if (me->other && !err && i % OFTEN == 0)
			err = pass_through(me, i / OFTEN);
	}
	if (err)
		XM_STORE(&me->all->failed, true);
	return err;
}

FIXTURE(slice) {
	struct modules was;
	struct match *all;
};

FIXTURE_VARIANT(slice) {
	unsigned int devices;
	bool overcommit;
};

FIXTURE_VARIANT_ADD(slice, two_devices) { .devices = 2 };
FIXTURE_VARIANT_ADD(slice, four_devices) { .devices = 4 };
FIXTURE_VARIANT_ADD(slice, two_devices_overcommitted) {
	.devices = 2, .overcommit = true,
};

FIXTURE_VARIANT_ADD(slice, four_devices_overcommitted) {
	.devices = 4, .overcommit = true,
};

/* The modules with four devices, which are small if they are to be overcommitted. */
FIXTURE_SETUP(slice)
{
	const char *text = getenv("XM_COUNT");
	__u64 count = text ? strtoull(text, NULL, 0) : 50000;
	struct xmirror_stats s;
	struct match *all;
	unsigned int i;

	NEED(XMIRROR_CAP_PRIVATE);
	if (variant->overcommit && XM_PMD > DEVICE)
		XM_SKIP(return, "a huge page is larger than the small device");
	if (!modules_at_hand())
		XM_SKIP(return, MODULES_WHY);
	ASSERT_EQ(0, modules_with(&self->was, variant->overcommit ?
				  "devices=4 engines=1 devmem_mb=4" :
				  "devices=4 engines=1 devmem_mb=64"));
	all = calloc(1, sizeof(*all));
	ASSERT_NE(NULL, all);
	self->all = all;
	all->devices = variant->devices;
	all->parties = all->devices + CPUS;
	all->pages = DEVICE / XM_PAGE;
	all->p = xm_anon_aligned(DEVICE, XM_PMD);
	ASSERT_NE(NULL, all->p);
	madvise(all->p, DEVICE, MADV_NOHUGEPAGE);
	for (i = 0; i < all->parties; i++) {
		struct party *party = &all->party[i];

		party->all = all;
		party->w.fn = play;
		party->w.arg = i;
		party->w.fd = -1;
		party->bursts = (count + all->parties * BURST - 1) /
				(all->parties * BURST);
		if (i >= all->devices)
			continue;
		OPEN(party->w.fd, i);
		ASSERT_EQ(0, xm_prefer(party->w.fd, all->p, DEVICE,
				       XMIRROR_PREFER_DEVICE));
		if (!variant->overcommit)
			continue;
		ASSERT_EQ(0, xm_stats(party->w.fd, &s));
		ASSERT_EQ(DEVICE / XM_PAGE, s.devmem_pages);
		party->other = xm_anon_aligned(OTHER, XM_PMD);
		ASSERT_NE(NULL, party->other);
		madvise(party->other, OTHER, MADV_NOHUGEPAGE);
	}
}

FIXTURE_TEARDOWN(slice)
{
	unsigned int i;

	for (i = 0; self->all && i < self->all->devices; i++) {
		EXPECT_CLEAN(self->all->party[i].w.fd);
		close(self->all->party[i].w.fd);
		if (self->all->party[i].other)
			munmap(self->all->party[i].other, OTHER);
	}
	if (self->all)
		munmap(self->all->p, DEVICE);
	EXPECT_EQ(0, modules_back(&self->was))
		TH_LOG("xmirror_test %s", self->was.test_params);
}

/* worker_join() with more patience */
static int join_late(struct worker *w, __u64 start)
{
	while (!worker_ended(w) && !xm_expired(start, TIME))
		sched_yield();
	return worker_join(w);
}

/* How many pages have another count than they have got */
static size_t wrong(const struct match *all)
{
	unsigned int run, i;
	size_t n = 0;

	for (run = 0; run < RUNS; run++) {
		__u64 *p = place(all, run), bursts = 0;

		for (i = 0; i < all->parties; i++)
			bursts += all->party[i].runs[run];
		for (i = 0; i < RUN; i++)
			n += XM_LOAD(p + i * XM_WORDS) != bursts * TIMES;
	}
	return n;
}

/* covers: G.slice */
TEST_F(slice, everybody_gets_on)
{
	struct match *all = self->all;
	__u64 start = xm_now_ns(), waits = 0, evicted = 0, cpu_waits = 0, n = 0;
	struct xmirror_stats s;
	unsigned int i;

	ASSERT_EQ(0, xm_set(all->party[0].w.fd, XMIRROR_SET_SLICE, SLICE, NULL));
	for (i = 0; i < all->parties; i++) {
		ASSERT_EQ(0, worker_start(&all->party[i].w));
	}
	for (i = 0; i < all->parties; i++) {
		EXPECT_EQ(0, join_late(&all->party[i].w, start)) {
			TH_LOG("party %u", i);
		}
		n += all->party[i].done;
	}
	for (i = 0; i < all->parties; i++) {
		struct party *party = &all->party[i];

		if (party->w.fd < 0) {
			TH_LOG("CPU thread: longest wait %llu accesses of others",
			       party->longest);
			continue;
		}
		ASSERT_EQ(0, xm_stats(party->w.fd, &s));
		TH_LOG("device %u: longest wait %llu accesses, %llu slices of others",
		       i, party->longest, s.slice_longest);
		TH_LOG("device %u: %llu waits, at most %llu faults in a burst", i,
		       s.slice_waits, party->faults);
		/* Each of the others once, and the CPU before each of them and before it */
		EXPECT_GE(2 * all->devices, s.slice_longest);
		waits += s.slice_waits;
		cpu_waits = s.cpu_slice_waits;
		evicted += s.devmem_evicted;
	}
	TH_LOG("%llu CPU faults have waited, for one slice each", cpu_waits);
	TH_LOG("%llu accesses in %llu ms, %llu pages evicted", n,
	       (xm_now_ns() - start) / 1000000, evicted);
	EXPECT_EQ(0, wrong(all));
	/* It was about something. */
	EXPECT_LT(0, waits);
	EXPECT_LT(0, cpu_waits);
	EXPECT_EQ(variant->overcommit, !!evicted);
}

TEST_HARNESS_MAIN
