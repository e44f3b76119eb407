/* SPDX-License-Identifier: GPL-2.0 */
/* The fixture of the tests of range faults, and accesses by the device and the CPU */
#ifndef SELFTESTS_FAULT_FIXTURE_H
#define SELFTESTS_FAULT_FIXTURE_H

#include "leaves.h"

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
