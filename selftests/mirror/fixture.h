/* SPDX-License-Identifier: GPL-2.0 */
/* The fixture of the tests of range faults, and accesses by the device and the CPU */
#ifndef SELFTESTS_FAULT_FIXTURE_H
#define SELFTESTS_FAULT_FIXTURE_H

#include "test.h"

#define PAGES	16UL
#define SIZE	(PAGES * XM_PAGE)

FIXTURE(fault) {
	int fd;
};

FIXTURE_SETUP(fault)
{
	OPEN(self->fd, 0);
}

FIXTURE_TEARDOWN(fault)
{
	EXPECT_CLEAN(self->fd);
	close(self->fd);
}

/* The number of pages in the range that have a leaf with these LEAF_* bits */
static inline size_t count_leaves(int fd, const void *p, size_t len,
				  __u32 bits)
{
	struct xmirror_page *pages = calloc(len / XM_PAGE, sizeof(*pages));
	size_t i, n = 0;

	if (!pages || xm_snapshot(fd, p, len, pages)) {
		free(pages);
		return -1;
	}
	for (i = 0; i < len / XM_PAGE; i++)
		n += (pages[i].dev & LEAF_EXCL) == bits;
	free(pages);
	return n;
}

static inline bool cpu_sees(const char *p, size_t len, unsigned char byte)
{
	size_t i;

	for (i = 0; i < len; i++) {
		if (((const volatile unsigned char *)p)[i] != byte)
			return false;
	}
	return true;
}

static inline int device_sets(int fd, char *p, size_t len, unsigned char byte)
{
	unsigned char *buf = malloc(len);
	int err = -ENOMEM;

	if (buf) {
		memset(buf, byte, len);
		err = xm_write(fd, p, buf, len);
	}
	free(buf);
	return err;
}

#endif
