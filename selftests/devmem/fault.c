// SPDX-License-Identifier: GPL-2.0
/*
 * A private page comes back: by the faults of many threads, while it is unmapped or
 * moves, without memory, and with all its bits.
 */
#include <fcntl.h>
#include <sys/uio.h>

#include "fail_nth.h"
#include "meet.h"
#include "uffd.h"
#define PAGE_NEEDS	XMIRROR_CAP_PRIVATE
#include "page_fixture.h"

static int meet_and_peek(struct worker *w)
{
	__u64 v;
	struct iovec to = { &v, 8 }, from = { w->addr, 8 };
	int i;

	for (i = 0; i < MEET_ROUNDS; i++) {
		pthread_barrier_wait(w->to);
		/* This fails if the page is gone. */
		if (process_vm_readv(getpid(), &to, 1, &from, 1, 0) == 8 &&
		    v != 77 && v)
			w->err = -EIO;
		pthread_barrier_wait(w->to);
	}
	return w->err;
}

/* M1: two threads fetch a private page while a third one unmaps it. */
/* covers: M1 */
TEST_F(page, private_page_fetched_and_unmapped)
{
	int i, err = 0, away = 0;
	__u64 moved;

	NEED(XMIRROR_CAP_PRIVATE);
	START_ALL(meet_and_peek, 2);
	for (i = 0; i < MEET_ROUNDS; i++) {
		*self->p = 77;
		err |= xm_migrate(self->fd, self->p, XM_PAGE, 0, 0, &moved);
		away += moved;
		pthread_barrier_wait(&meet_barrier);
		if (mmap(self->p, XM_PAGE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) !=
		    self->p)
			err = -errno;
		pthread_barrier_wait(&meet_barrier);
	}
	JOIN_ALL(2);
	EXPECT_EQ(0, err);
	EXPECT_LT(0, away);
}

/* M4: many CPUs fault on one private page. */
/* covers: M4 */
TEST_F(page, private_page_fetched_by_many)
{
	int i, err = 0, away = 0;
	__u64 moved;

	NEED(XMIRROR_CAP_PRIVATE);
	*self->p = 0;
	START_ALL(meet_and_add, MEET_THREADS);
	for (i = 0; i < MEET_ROUNDS; i++) {
		err |= xm_migrate(self->fd, self->p, XM_PAGE, 0, 0, &moved);
		away += moved;
		pthread_barrier_wait(&meet_barrier);
		pthread_barrier_wait(&meet_barrier);
	}
	JOIN_ALL(MEET_THREADS);
	EXPECT_EQ(0, err);
	EXPECT_LT(0, away);
	EXPECT_EQ(MEET_ROUNDS * MEET_THREADS, *self->p);
}

static int migrate_until_stopped(struct worker *w)
{
	__u64 moved;
	int err = 0;

	while (!XM_LOAD(&w->stop) && !err) {
		err = xm_migrate(w->fd, w->addr, XM_PAGE, 0, 0, &moved);
		w->done += moved;
		if (!err)
			err = xm_migrate(w->fd, w->addr, XM_PAGE,
					 XMIRROR_MIGRATE_TO_SYSTEM, 0, NULL);
		XM_ADD(&w->arg, 1);
	}
	return err;
}

/* M5: one device faults a page that another one is moving, on one CPU. */
/* covers: M5 */
TEST_F(page, fault_on_a_page_in_migration)
{
	struct worker w = {
		.fn = migrate_until_stopped,
		.fd = self->fd,
		.addr = self->p,
	};
	int i, err = 0;
	__u64 was;

	NEED(XMIRROR_CAP_PRIVATE);
	ASSERT_EQ(0, xm_pin_cpu());
	*self->p = 1000;
	ASSERT_EQ(0, worker_start(&w));
	for (i = 0; i < MEET_ROUNDS && !err; i++) {
		was = XM_LOAD(&w.arg);
		err = xm_op(self->fd1, XMIRROR_OP_STORE, 8, self->p, i, NULL);
		while (!err && XM_LOAD(&w.arg) == was && !worker_ended(&w))
			sched_yield();
	}
	XM_STORE(&w.stop, true);
	EXPECT_EQ(0, worker_join(&w));
	EXPECT_EQ(0, err);
	EXPECT_LT(0, w.done);
	EXPECT_EQ(MEET_ROUNDS - 1, XM_LOAD(self->p));
}

/* D9: migration of a range with a hole */
/* covers: D9 */
TEST_F(page, migration_meets_a_hole)
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

/* D4: bringing a page back */

#define FREED	(64 * XM_PAGE)

/*
 * D4: if the page cannot be brought back, the caller gets an error or the data, and
 * never the old contents of the destination.
 */
/* covers: D4 */
TEST_F(page, failed_return_shows_nothing_stale)
{
	unsigned int n, refused = 0, absorbed = 0;
	struct iovec to, from = { self->p, 8 };
	__u64 v, want = 0, moved;
	int nth = fail_nth_open(), hit = true;
	char *freed;
	ssize_t got;

	if (nth == -ENOENT)
		XM_SKIP(return, FAIL_NTH_WHY);
	ASSERT_GE(nth, 0);
	to = (struct iovec){ &v, 8 };
	for (n = 1; hit && n < 200; n++) {
		want = 0xd4d4000000000000ULL + n;
		*self->p = want;
		ASSERT_EQ(0, xm_migrate(self->fd, self->p, XM_PAGE, 0, 0,
					&moved));
		ASSERT_EQ(1, moved);
		/* The old page has the data; it must not be allocated next. */
		freed = xm_anon(FREED);
		ASSERT_NE(NULL, freed);
		memset(freed, 0x77, FREED);
		v = 0xaaaa;
		ASSERT_EQ(0, fail_nth_arm(nth, n));
		got = process_vm_readv(getpid(), &to, 1, &from, 1, 0);
		hit = fail_nth_end(nth);
		ASSERT_LE(0, hit);
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

/*
 * M6: pages that could not move are on the LRU afterwards, and moved ones are once
 * they are back.
 */
/* covers: M6 */
TEST_F(page, what_stays_behind_can_be_reclaimed)
{
	const unsigned int pages = 16;
	char *p = xm_anon(pages * XM_PAGE), buf[XM_PAGE];
	unsigned int i, held = 0;
	__u64 moved;
	int pipes[2];

	ASSERT_NE(NULL, p);
	if (xm_meminfo_kb("SwapTotal") <= 0)
		XM_SKIP(return, "no swap");
	ASSERT_EQ(0, xm_pin_cpu());
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
		EXPECT_EQ(i & 1, xm_is_private(self->fd, p + i * XM_PAGE));
	}
	for (i = 0; i < pages; i++) {
		EXPECT_EQ(0x40 + i, p[i * XM_PAGE + 5]);
	}
	for (i = 0; i < pages; i += 2) {
		ASSERT_EQ(XM_PAGE, read(pipes[0], buf, XM_PAGE));
		EXPECT_EQ(0x40 + i, buf[7]);
	}
	for (i = 0; i < pages; i++) {
		EXPECT_EQ(0, xm_pageout(p + i * XM_PAGE, XM_PAGE))
			TH_LOG("page %u cannot be paged out", i);
	}
	for (i = 0; i < pages; i++) {
		EXPECT_EQ(0x40 + i, p[i * XM_PAGE + 9]);
	}
	close(pipes[0]);
	close(pipes[1]);
}

/* M7: a move from one device's memory to another's keeps the bits of the entry. */
/* covers: M7 */
TEST_F(page, bits_survive_a_move_between_devices)
{
	int uffd = xm_uffd(UFFD_FEATURE_PAGEFAULT_FLAG_WP);
	__u64 moved, soft, i;

	if (!xm_has_soft_dirty())
		XM_SKIP(return, "no CONFIG_MEM_SOFT_DIRTY");
	ASSERT_EQ(0, xm_write_file("/proc/self/clear_refs", "4"));
	if (uffd < 0)
		XM_SKIP(return, "no CONFIG_USERFAULTFD");
	ASSERT_EQ(0, xm_uffd_register(uffd, self->p, XM_PAGE,
				      UFFDIO_REGISTER_MODE_WP));
	for (i = 0; i < 4; i++) {
		soft = i & 1 ? XM_PM_SOFT_DIRTY : 0;
		*self->p = i;
		if (!soft) {
			ASSERT_EQ(0, xm_write_file("/proc/self/clear_refs",
						   "4"));
		}
		if (i & 2) {
			ASSERT_EQ(0, xm_uffd_wp(uffd, self->p, XM_PAGE,
						true));
		}
		ASSERT_EQ(0, xm_migrate(self->fd, self->p, XM_PAGE, 0, 0,
					&moved));
		ASSERT_EQ(1, moved);
		EXPECT_EQ(soft, xm_pagemap(self->p) & XM_PM_SOFT_DIRTY);
		ASSERT_EQ(0, xm_migrate(self->fd1, self->p, XM_PAGE,
					XMIRROR_MIGRATE_FROM_PEER, 0, &moved));
		ASSERT_EQ(1, moved);
		EXPECT_TRUE(xm_is_private(self->fd1, self->p));
		EXPECT_EQ(soft, xm_pagemap(self->p) & XM_PM_SOFT_DIRTY);
		EXPECT_EQ(i & 2 ? XM_PM_UFFD_WP : 0,
			  xm_pagemap(self->p) & XM_PM_UFFD_WP);
		/* And back, by a read of the CPU, which changes no bit */
		EXPECT_EQ(i, XM_LOAD(self->p));
		EXPECT_EQ(soft, xm_pagemap(self->p) & XM_PM_SOFT_DIRTY);
		EXPECT_EQ(i & 2 ? XM_PM_UFFD_WP : 0,
			  xm_pagemap(self->p) & XM_PM_UFFD_WP);
		if (i & 2) {
			ASSERT_EQ(0, xm_uffd_wp(uffd, self->p, XM_PAGE,
						false));
		}
	}
	close(uffd);
}

TEST_HARNESS_MAIN
