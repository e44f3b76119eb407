/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The fixtures of the tests of VRAM mappings: a file, and a file with a given
 * granule.
 */
#ifndef SELFTESTS_VRAM_FIXTURE_H
#define SELFTESTS_VRAM_FIXTURE_H

#include <setjmp.h>

#include "test.h"
#include "vram.h"

/* Other programs of the suite use VRAM from 0 up. */
#define BASE	(32 * XM_2M)

#define HUGE()	(!!(xm_caps() & XMIRROR_CAP_VRAM_HUGE))

static sigjmp_buf caught;

static void catch(int sig)
{
	siglongjmp(caught, sig);
}

/* The signal that a read or write of a word at @p gives, 0 if none. */
static inline int access_signal(char *p, bool write)
{
	struct sigaction act = { .sa_handler = catch }, segv, bus;
	int sig;

	sigaction(SIGSEGV, &act, &segv);
	sigaction(SIGBUS, &act, &bus);
	sig = sigsetjmp(caught, 1);
	if (!sig) {
		__u64 value = XM_LOAD((__u64 *)p);

		if (write)
			XM_STORE((__u64 *)p, value);
	}
	sigaction(SIGSEGV, &segv, NULL);
	sigaction(SIGBUS, &bus, NULL);
	return sig;
}

static bool is_huge(int fd, char *p)
{
	return xm_page(fd, p).cpu & XMIRROR_CPU_HUGE;
}

FIXTURE(vram) {
	int fd;
	int other;
	char *p;
	struct xmirror_vram v;
};

FIXTURE_SETUP(vram)
{
	OPEN(self->fd, 0);
	OPEN(self->other, 0);
	ASSERT_EQ(0, vram_do(self->fd, XMIRROR_VRAM_QUERY, 0, 0, &self->v));
	ASSERT_LE(BASE + 32 * XM_2M, self->v.bytes)
		TH_LOG("load xmirror_test.ko with vram_mb=128 or more");
}

FIXTURE_TEARDOWN(vram)
{
	/* No reference to VRAM is left, whatever the test did. */
	EXPECT_EQ(0, vram_refs(self->fd));
	EXPECT_EQ(0, vram_query(self->fd).write_protected);
	EXPECT_CLEAN(self->fd);
	close(self->fd);
	close(self->other);
}

FIXTURE(vram_granule) {
	int fd;
	char *p;
	unsigned int index;
	size_t piece;
};

FIXTURE_VARIANT(vram_granule) {
	__u64 granule;
};

FIXTURE_VARIANT_ADD(vram_granule, 4k) { .granule = XM_PAGE };
FIXTURE_VARIANT_ADD(vram_granule, 64k) { .granule = XM_64K };
FIXTURE_VARIANT_ADD(vram_granule, 2m) { .granule = XM_2M };
FIXTURE_VARIANT_ADD(vram_granule, largest) { .granule = ~0ULL };

FIXTURE_SETUP(vram_granule)
{
	OPEN(self->fd, 0);
	ASSERT_EQ(0, xm_set(self->fd, XMIRROR_SET_VRAM_GRANULE,
			    variant->granule, NULL));
	self->index = variant->granule == XM_PAGE ? XMIRROR_VRAM_4K :
		      variant->granule == XM_64K || !HUGE() ?
		      XMIRROR_VRAM_64K : XMIRROR_VRAM_2M;
	self->piece = self->index == XMIRROR_VRAM_4K ? XM_PAGE :
		      self->index == XMIRROR_VRAM_64K ? XM_64K : XM_2M;
}

FIXTURE_TEARDOWN(vram_granule)
{
	EXPECT_EQ(0, vram_refs(self->fd));
	EXPECT_EQ(0, vram_query(self->fd).write_protected);
	EXPECT_CLEAN(self->fd);
	close(self->fd);
}

#endif
