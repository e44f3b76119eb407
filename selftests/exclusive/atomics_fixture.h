/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The fixture of the tests of atomics: memory that nobody has touched.
 */
#ifndef SELFTESTS_ATOMICS_FIXTURE_H
#define SELFTESTS_ATOMICS_FIXTURE_H

#include "test.h"

#define PAGES	16UL
#define SIZE	(PAGES * XM_PAGE)

FIXTURE(atomics) {
	int fd;
	unsigned char *p;
};

FIXTURE_SETUP(atomics)
{
	OPEN(self->fd, 0);
	self->p = xm_anon(SIZE);
	ASSERT_NE(NULL, self->p);
	NEED(XMIRROR_CAP_EXCLUSIVE);
}

FIXTURE_TEARDOWN(atomics)
{
	EXPECT_CLEAN(self->fd);
	close(self->fd);
}

#endif
