// SPDX-License-Identifier: GPL-2.0
/*
 * A memory error that the copy of a page finds: the page stays where it is, mapped as it
 * was, is counted, and who cannot get it is told.
 *
 * The error is injected where copy_mc_highpage() would tell of it: an emulated machine
 * has no machine check in the middle of a copy.
 */
#include <setjmp.h>
#include <signal.h>

#include "settings.h"
#include "test.h"

#define PAGES	8UL
#define LEN	(PAGES * XM_PAGE)
#define BAD	3UL		/* the page with the error */
#define ALWAYS	(~0ULL)

static sigjmp_buf caught;
static siginfo_t signal_info;

static void catch(int sig, siginfo_t *info, void *context)
{
	(void)context;
	signal_info = *info;
	siglongjmp(caught, sig);
}

/* The signal that a read of the word at @p gives, 0 if none */
static int read_signal(__u64 *p)
{
	struct sigaction act = { .sa_sigaction = catch, .sa_flags = SA_SIGINFO }, old;
	int sig;

	sigaction(SIGBUS, &act, &old);
	sig = sigsetjmp(caught, 1);
	if (!sig)
		XM_LOAD(p);
	sigaction(SIGBUS, &old, NULL);
	return sig;
}

static __u64 copy_errors(int fd)
{
	struct xmirror_stats s = {};

	return xm_stats(fd, &s) ? ALWAYS : s.devmem_copy_errors;
}

FIXTURE(poison) {
	int fd;
	int peer;
	__u64 *p;
	__u64 errors;
};

FIXTURE_SETUP(poison)
{
	self->fd = -1;
	NEED(XMIRROR_CAP_PRIVATE);
	OPEN(self->fd, 0);
	OPEN(self->peer, 1);
	self->p = xm_anon_aligned(LEN, LEN);
	ASSERT_NE(NULL, self->p);
	xm_fill_pages(self->p, PAGES);
	self->errors = copy_errors(self->fd);
	ASSERT_NE(ALWAYS, self->errors);
}

FIXTURE_TEARDOWN(poison)
{
	if (self->fd < 0)
		return;
	/* Nothing is lost once the error is no more. */
	EXPECT_EQ(0, xm_inject_end(self->fd, XMIRROR_INJECT_POISON, NULL, NULL));
	EXPECT_EQ(0, xm_wrong_pages(self->p, PAGES));
	EXPECT_CLEAN(self->fd);
	EXPECT_CLEAN(self->peer);
	close(self->fd);
	close(self->peer);
}

#define TO_DEVICE(fd, len) \
	do { \
		__u64 to_moved = 0; \
		ASSERT_EQ(0, xm_migrate((fd), self->p, (len), 0, 0, &to_moved)); \
		ASSERT_EQ((len) / XM_PAGE, to_moved); \
	} while (0)

#define PEER(flags)	((flags) & XMIRROR_MIGRATE_FROM_PEER ? 1 : 0)

/* All pages but one move; @from and @to say where a page is. */
#define EXPECT_ONE_STAYS(flags, from, to) \
	do { \
		__u64 stay_moved = 0, stay_injected = 0; \
		ASSERT_EQ(0, xm_inject(self->fd, XMIRROR_INJECT_POISON, BAD, 1, 0)); \
		ASSERT_EQ(0, xm_migrate(self->fd, self->p, LEN, (flags), \
					PEER(flags), &stay_moved)); \
		ASSERT_EQ(0, xm_inject_end(self->fd, XMIRROR_INJECT_POISON, NULL, \
					   &stay_injected)); \
		EXPECT_EQ(1, stay_injected); \
		EXPECT_EQ(PAGES - 1, stay_moved); \
		EXPECT_EQ(self->errors + 1, copy_errors(self->fd)); \
		for (size_t i = 0; i < PAGES; i++) { \
			__u64 *q = &self->p[i * XM_WORDS]; \
			EXPECT_EQ(i == BAD, (from)); \
			EXPECT_EQ(i != BAD, (to)); \
		} \
		/* The page is whole: it moves the next time. */ \
		ASSERT_EQ(0, xm_migrate(self->fd, self->p, LEN, (flags), \
					PEER(flags), &stay_moved)); \
		EXPECT_EQ(1, stay_moved); \
	} while (0)

TEST_F(poison, stays_in_system_memory)
{
	EXPECT_ONE_STAYS(0, xm_is_present(q), xm_is_private(self->fd, q));
}

TEST_F(poison, stays_in_device_memory)
{
	TO_DEVICE(self->fd, LEN);
	EXPECT_ONE_STAYS(XMIRROR_MIGRATE_TO_SYSTEM, xm_is_private(self->fd, q),
			 xm_is_present(q));
}

TEST_F(poison, stays_in_the_peer_s_memory)
{
	TO_DEVICE(self->peer, LEN);
	EXPECT_ONE_STAYS(XMIRROR_MIGRATE_FROM_PEER, xm_is_private(self->peer, q),
			 xm_is_private(self->fd, q));
}

/* As for any memory with an error: a SIGBUS that says so, and where. */
TEST_F(poison, cpu_that_touches_it_gets_a_sigbus)
{
	__u64 *bad = &self->p[BAD * XM_WORDS], value;

	TO_DEVICE(self->fd, LEN);
	ASSERT_EQ(0, xm_inject(self->fd, XMIRROR_INJECT_POISON, 0, ALWAYS, 0));
	EXPECT_EQ(SIGBUS, read_signal(bad));
	EXPECT_EQ(BUS_MCEERR_AR, signal_info.si_code);
	EXPECT_EQ((void *)bad, signal_info.si_addr);
	EXPECT_EQ(self->errors + 1, copy_errors(self->fd));
	/* It has not moved, for the kernel and another device neither. */
	EXPECT_EQ(-EFAULT, xm_peek(bad, &value));
	EXPECT_EQ(-EFAULT, xm_op(self->peer, XMIRROR_OP_LOAD, 8, bad, 0, &value));
	EXPECT_TRUE(xm_is_private(self->fd, bad));
	/* Its own device copies nothing. */
	EXPECT_EQ(0, xm_op(self->fd, XMIRROR_OP_LOAD, 8, bad, 0, &value));
	EXPECT_EQ(xm_page_value(BAD), value);
}

/* A fault brings neighbours back, too: an error of theirs is none of the faulting CPU. */
TEST_F(poison, neighbour_with_an_error_stays)
{
	__u64 injected = 0;

	TO_DEVICE(self->fd, LEN);
	/* Two at a time, at most; it begins with one, or goes on with two. */
	ASSERT_EQ(0, xm_setting("/sys/module/xmirror/parameters/prefetch", "2"));
	EXPECT_EQ(0, read_signal(self->p));
	EXPECT_EQ(0, read_signal(&self->p[XM_WORDS]));
	ASSERT_TRUE(xm_is_private(self->fd, &self->p[2 * XM_WORDS]));
	ASSERT_EQ(0, xm_inject(self->fd, XMIRROR_INJECT_POISON, 1, 1, 0));
	EXPECT_EQ(0, read_signal(&self->p[2 * XM_WORDS]));
	ASSERT_EQ(0, xm_inject_end(self->fd, XMIRROR_INJECT_POISON, NULL, &injected));
	EXPECT_EQ(1, injected);
	EXPECT_TRUE(xm_is_present(&self->p[2 * XM_WORDS]));
	EXPECT_TRUE(xm_is_private(self->fd, &self->p[3 * XM_WORDS]));
	EXPECT_EQ(self->errors + 1, copy_errors(self->fd));
}

TEST_F(poison, unplug_leaves_it)
{
	struct xmirror_unplug u = { .size = sizeof(u) };

	TO_DEVICE(self->fd, LEN);
	ASSERT_EQ(0, xm_inject(self->fd, XMIRROR_INJECT_POISON, BAD, ALWAYS, 0));
	EXPECT_EQ(-EBUSY, xm_ioctl(self->fd, XMIRROR_IOC_UNPLUG, &u));
	EXPECT_EQ(PAGES - BAD, u.left);
	EXPECT_LE(self->errors + PAGES - BAD, copy_errors(self->fd));
	for (size_t i = 0; i < PAGES; i++) {
		EXPECT_EQ(i >= BAD, xm_is_private(self->fd, &self->p[i * XM_WORDS]));
	}
	ASSERT_EQ(0, xm_inject_end(self->fd, XMIRROR_INJECT_POISON, NULL, NULL));
	u = (struct xmirror_unplug){ .size = sizeof(u), .timeout_ms = 5000 };
	EXPECT_EQ(0, xm_ioctl(self->fd, XMIRROR_IOC_UNPLUG, &u));
	EXPECT_EQ(0, u.left);
	u = (struct xmirror_unplug){
		.size = sizeof(u),
		.flags = XMIRROR_UNPLUG_REPLUG,
	};
	EXPECT_EQ(0, xm_ioctl(self->fd, XMIRROR_IOC_UNPLUG, &u));
}

/* One page of 2 MiB keeps all of them. */
TEST_F(poison, large_folio_stays_whole)
{
	__u64 moved = 0, injected = 0;
	size_t i, wrong = 0;
	char *huge;

	NEED(XMIRROR_CAP_PRIVATE_LARGE);
	huge = xm_thp(self->fd, 0x5a);
	if (!huge)
		XM_SKIP(return, "THP allocation failed");
	ASSERT_EQ(0, xm_migrate(self->fd, huge, XM_PMD, 0, 0, &moved));
	ASSERT_EQ(XM_PMD_PAGES, moved);
	ASSERT_NE(0, xm_page(self->fd, huge).cpu & XMIRROR_CPU_HUGE);
	ASSERT_EQ(0, xm_inject(self->fd, XMIRROR_INJECT_POISON, 300, 1, 0));
	EXPECT_EQ(SIGBUS, read_signal((__u64 *)(huge + 5 * XM_PAGE)));
	EXPECT_EQ(BUS_MCEERR_AR, signal_info.si_code);
	ASSERT_EQ(0, xm_inject_end(self->fd, XMIRROR_INJECT_POISON, NULL, &injected));
	EXPECT_EQ(1, injected);
	EXPECT_EQ(self->errors + 1, copy_errors(self->fd));
	EXPECT_NE(0, xm_page(self->fd, huge).cpu & XMIRROR_CPU_HUGE);
	EXPECT_TRUE(xm_is_private(self->fd, (__u64 *)huge));
	for (i = 0; i < XM_PMD; i += 64)
		wrong += XM_LOAD(huge + i) != 0x5a;
	EXPECT_EQ(0, wrong);
}

TEST_HARNESS_MAIN
