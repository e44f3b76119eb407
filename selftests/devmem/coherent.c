// SPDX-License-Identifier: GPL-2.0
/*
 * Coherent memory, which the CPU has mapped: a long-term pin takes it out of the device,
 * and what is about memory of the system refuses it.
 */
#include <fcntl.h>
#include <linux/mempolicy.h>
#include <sys/uio.h>

#include "dmirror.h"
#include "raw.h"
#include "ring.h"
#include "test.h"

#define COHERENT	"/dev/hmm_dmirror2"
#define PAGES		3UL

FIXTURE(coherent) {
	int fd;
	int coherent;
	int ring;
	int pipe[2];
	__u64 *p;
};

/* Three pages, of which the first is in coherent memory */
FIXTURE_SETUP(coherent)
{
	struct hmm_dmirror_cmd c = { .npages = 1 };

	self->coherent = -1;
	self->ring = -1;
	OPEN(self->fd, 0);
	self->coherent = open(COHERENT, O_RDWR | O_CLOEXEC);
	if (self->coherent < 0)
		XM_SKIP(return, "no coherent memory: spm_addr_dev0 of xmirror_test");
	self->ring = xm_ring();
	if (self->ring < 0)
		XM_SKIP(return, "no CONFIG_IO_URING");
	ASSERT_EQ(0, pipe2(self->pipe, O_CLOEXEC));
	ASSERT_EQ(0, xm_pin_cpu());
	self->p = xm_anon(PAGES * XM_PAGE);
	ASSERT_NE(NULL, self->p);
	xm_fill_pages(self->p, PAGES);
	ASSERT_EQ(0, xm_drain());
	c.addr = (uintptr_t)self->p;
	c.ptr = (uintptr_t)xm_anon(XM_PAGE);
	ASSERT_EQ(0, xm_ioctl(self->coherent, HMM_DMIRROR_MIGRATE_TO_DEV, &c));
	ASSERT_EQ(1, c.cpages);
	ASSERT_NE(0, xm_page(self->fd, self->p).cpu & XMIRROR_CPU_COHERENT);
}

FIXTURE_TEARDOWN(coherent)
{
	if (self->coherent >= 0)
		close(self->coherent);
	if (self->ring >= 0)
		close(self->ring);
	close(self->fd);
}

/* covers: C.coherent */
TEST_F(coherent, pin_takes_it_out)
{
	ASSERT_EQ(0, xm_ring_pin(self->ring, self->p, PAGES * XM_PAGE));
	EXPECT_EQ(0, xm_page(self->fd, self->p).cpu & XMIRROR_CPU_COHERENT);
	EXPECT_EQ(0, xm_wrong_pages(self->p, PAGES));
}

/* A page that a pipe holds cannot leave, and the others are pinned by then. */
/* covers: C.coherent */
TEST_F(coherent, pin_that_fails_holds_no_other_page)
{
	struct iovec iov = { self->p, XM_PAGE };
	struct xmirror_raw_page before[PAGES], after[PAGES];
	char buf[XM_PAGE];
	size_t i;

	ASSERT_EQ(XM_PAGE, vmsplice(self->pipe[1], &iov, 1, 0));
	ASSERT_EQ(0, raw_state(self->fd, self->p, PAGES, before));
	EXPECT_EQ(-EBUSY, xm_ring_pin(self->ring, self->p, PAGES * XM_PAGE));
	EXPECT_NE(0, xm_page(self->fd, self->p).cpu & XMIRROR_CPU_COHERENT);
	ASSERT_EQ(0, xm_drain());
	ASSERT_EQ(0, raw_state(self->fd, self->p, PAGES, after));
	for (i = 0; i < PAGES; i++) {
		EXPECT_LT(0, before[i].refs);
		EXPECT_EQ(before[i].refs, after[i].refs)
			TH_LOG("page %zu", i);
	}
	/* Once the pipe has let go the same call takes it out. */
	ASSERT_EQ(XM_PAGE, read(self->pipe[0], buf, XM_PAGE));
	EXPECT_EQ(0, xm_ring_pin(self->ring, self->p, PAGES * XM_PAGE));
	EXPECT_EQ(0, xm_page(self->fd, self->p).cpu & XMIRROR_CPU_COHERENT);
	EXPECT_EQ(0, xm_wrong_pages(self->p, PAGES));
}

/* @advice is about a bad page: refused, and the page can be taken out as before. */
static void refuses(struct __test_metadata *_metadata, FIXTURE_DATA(coherent) *self,
		    int advice)
{
	int err = madvise(self->p, XM_PAGE, advice) ? errno : 0;

	if (err == EINVAL)
		XM_SKIP(return, "no CONFIG_MEMORY_FAILURE");
	EXPECT_EQ(EIO, err);
	EXPECT_NE(0, xm_page(self->fd, self->p).cpu & XMIRROR_CPU_COHERENT);
	EXPECT_UNHELD(self->fd, self->p);
	EXPECT_EQ(0, xm_ring_pin(self->ring, self->p, XM_PAGE));
	EXPECT_EQ(0, xm_page(self->fd, self->p).cpu & XMIRROR_CPU_COHERENT);
	EXPECT_EQ(0, xm_wrong_pages(self->p, PAGES));
}

TEST_F(coherent, soft_offline_refuses_it_and_lets_go)
{
	refuses(_metadata, self, XM_MADV_SOFT_OFFLINE);
}

TEST_F(coherent, memory_error_is_refused_and_lets_go)
{
	/* Finding 8 */
	if (xm_kver() <= XM_KVER(6, 1))
		XM_SKIP(return, "Linux 6.1 dies of unloading the module after it");
	refuses(_metadata, self, MADV_HWPOISON);
}

#define SELECT(what)	XMIRROR_RAW_SELECT_##what

/* Nobody but its owner collects it, and the owner not for memory of the system. */
TEST_F(coherent, offered_to_its_owner_only)
{
	static const __u32 flags[] = {
		SELECT(SYSTEM), SELECT(PRIVATE), SELECT(COHERENT),
		SELECT(SYSTEM) | SELECT(PRIVATE) | SELECT(COHERENT),
	};
	struct hmm_dmirror_cmd c = {
		.addr = (uintptr_t)self->p,
		.ptr = (uintptr_t)xm_anon(XM_PAGE),
		.npages = 1,
	};
	struct xmirror_raw_page was = raw_page(self->fd, self->p);
	struct xmirror_raw_move moves[2];
	size_t i;

	NEED(XMIRROR_CAP_PRIVATE);
	for (i = 0; i < ARRAY_SIZE(flags); i++) {
		struct xmirror_raw_migrate r = {
			.flags = flags[i] | XMIRROR_RAW_ABORT,
			.owner = XMIRROR_RAW_POOL,
		};

		memset(moves, 0, sizeof(moves));
		ASSERT_EQ(0, raw_migrate(self->fd, self->p, 2, &r, moves));
		EXPECT_EQ(0, moves[0].setup)
			TH_LOG("flags %#x", flags[i]);
		EXPECT_EQ(flags[i] & SELECT(SYSTEM), !!moves[1].setup);
	}
	EXPECT_EQ(0, xm_ioctl(self->coherent, HMM_DMIRROR_MIGRATE_TO_DEV, &c));
	EXPECT_EQ(was.pfn, raw_page(self->fd, self->p).pfn);
	EXPECT_EQ(was.entry, raw_page(self->fd, self->p).entry);
	EXPECT_EQ(0, xm_wrong_pages(self->p, PAGES));
}

/* covers: I.views */
TEST_F(coherent, move_pages_has_no_node_for_it)
{
	int node = xm_node_of(self->p + XM_WORDS), status = 0;

	ASSERT_LE(0, node);
	EXPECT_EQ(-ENOENT, xm_node_of(self->p));
	ASSERT_EQ(0, syscall(SYS_move_pages, 0, 1, &self->p, &node, &status,
			     MPOL_MF_MOVE));
	EXPECT_EQ(-ENOENT, status);
	EXPECT_NE(0, xm_page(self->fd, self->p).cpu & XMIRROR_CPU_COHERENT);
}

/* Its page is on no list of pages, so no advice about these is for it. */
TEST_F(coherent, advice_for_pages_of_the_system)
{
	static const int advice[] = { MADV_COLD, MADV_PAGEOUT, MADV_FREE };
	__u32 bits = XMIRROR_ENTRY_PRESENT | XMIRROR_ENTRY_WRITE |
		     XMIRROR_ENTRY_DIRTY | XMIRROR_ENTRY_YOUNG;
	struct xmirror_raw_page was, now;
	size_t i;

	XM_STORE(self->p, *self->p);
	was = raw_page(self->fd, self->p);
	ASSERT_EQ(bits, was.entry & bits);
	for (i = 0; i < ARRAY_SIZE(advice); i++) {
		ASSERT_EQ(0, madvise(self->p, XM_PAGE, advice[i]));
		now = raw_page(self->fd, self->p);
		EXPECT_EQ(was.pfn, now.pfn);
		EXPECT_EQ(bits, now.entry & bits)
			TH_LOG("advice %d", advice[i]);
		EXPECT_EQ(was.folio, now.folio);
	}
	EXPECT_EQ(0, xm_wrong_pages(self->p, PAGES));
}

/* The same of mlock(): it is there anyway, and nothing counts it. */
TEST_F(coherent, lock_is_for_pages_of_the_system)
{
	const __u32 locked = XMIRROR_FOLIO_MLOCKED | XMIRROR_FOLIO_UNEVICTABLE;

	ASSERT_EQ(0, mlock2(self->p, PAGES * XM_PAGE, MLOCK_ONFAULT));
	ASSERT_EQ(0, xm_drain());
	EXPECT_EQ(0, raw_page(self->fd, self->p).folio & locked);
	EXPECT_EQ(locked, raw_page(self->fd, self->p + XM_WORDS).folio & locked);
	ASSERT_EQ(0, munlock(self->p, PAGES * XM_PAGE));
	EXPECT_NE(0, xm_page(self->fd, self->p).cpu & XMIRROR_CPU_COHERENT);
	EXPECT_UNHELD(self->fd, self->p);
	EXPECT_EQ(0, xm_wrong_pages(self->p, PAGES));
}

TEST_HARNESS_MAIN
