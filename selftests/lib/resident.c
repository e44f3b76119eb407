// SPDX-License-Identifier: GPL-2.0
/* Ranges that the device holds as a whole, see resident.h. */
#include "resident.h"

static int range(int fd, __u32 cmd, const void *p, size_t len, __u32 flags)
{
	struct xmirror_resident r = {
		.size = sizeof(r),
		.flags = flags,
		.cmd = cmd,
		.addr = (uintptr_t)p,
		.length = len,
	};

	return xm_ioctl(fd, XMIRROR_IOC_RESIDENT, &r);
}

int resident_add(int fd, const void *p, size_t len, __u32 flags)
{
	return range(fd, XMIRROR_RESIDENT_ADD, p, len, flags);
}

int resident_remove(int fd, const void *p, size_t len)
{
	return range(fd, XMIRROR_RESIDENT_REMOVE, p, len, 0);
}

static int state(int fd, const void *p, __u32 ms, struct xmirror_resident *r)
{
	*r = (struct xmirror_resident){
		.size = sizeof(*r),
		.cmd = XMIRROR_RESIDENT_STATE,
		.addr = (uintptr_t)p,
		.timeout_ms = ms,
	};
	return xm_ioctl(fd, XMIRROR_IOC_RESIDENT, r);
}

int resident_get(int fd, const void *p, struct xmirror_resident *r)
{
	return state(fd, p, 0, r);
}

int resident_settled(int fd, const void *p, struct xmirror_resident *r)
{
	return state(fd, p, XM_LONG, r);
}
