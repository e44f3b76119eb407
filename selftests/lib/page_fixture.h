/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The fixture of tests about one page and two devices. PAGE_NEEDS are the
 * XMIRROR_CAP_* bits without which they are skipped.
 */
#ifndef XM_PAGE_FIXTURE_H
#define XM_PAGE_FIXTURE_H

#include "test.h"

/* One whose exclusive pages are out of the rmap, and never of a large folio */
static inline bool old_kernel(void)
{
	return !(xm_caps() & XMIRROR_CAP_EXCLUSIVE_LARGE);
}

FIXTURE(page) {
	int fd;
	int fd1;
	__u64 *p;
	__u32 id;
};

FIXTURE_SETUP(page)
{
	self->fd = -1;
	self->fd1 = -1;
	NEED(PAGE_NEEDS);
	OPEN(self->fd, 0);
	OPEN(self->fd1, 1);
	self->p = xm_anon(XM_PAGE);
	ASSERT_NE(NULL, self->p);
	memset(self->p, 0x11, XM_PAGE);
}

FIXTURE_TEARDOWN(page)
{
	if (self->fd < 0)
		return;
	EXPECT_CLEAN(self->fd);
	EXPECT_CLEAN(self->fd1);
	close(self->fd);
	close(self->fd1);
}

#endif /* XM_PAGE_FIXTURE_H */
