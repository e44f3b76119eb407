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

TEST_HARNESS_MAIN
