// SPDX-License-Identifier: GPL-2.0
/* A long-term pin, see ring.h. */
#include <linux/io_uring.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "ring.h"
#include "xm.h"

int xm_ring(void)
{
	struct io_uring_params params = {};
	int ring = syscall(SYS_io_uring_setup, 4, &params);

	return ring < 0 ? -errno : ring;
}

int xm_ring_pin(int ring, const void *p, size_t len)
{
	struct iovec iov = { .iov_base = (void *)p, .iov_len = len };

	return syscall(SYS_io_uring_register, ring, IORING_REGISTER_BUFFERS,
		       &iov, 1) ? -errno : 0;
}
