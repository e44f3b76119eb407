/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Ranges that the device holds as a whole: XMIRROR_IOC_RESIDENT. Functions return 0 or
 * a negative errno.
 */
#ifndef XM_LIBRESIDENT_H
#define XM_LIBRESIDENT_H

#include "xm.h"

int resident_add(int fd, const void *p, size_t len, __u32 flags);
int resident_remove(int fd, const void *p, size_t len);
/** resident_get: the range of @p and the counters, as they are now. */
int resident_get(int fd, const void *p, struct xmirror_resident *r);
/** resident_settled: the same when the queues run, -ETIMEDOUT. */
int resident_settled(int fd, const void *p, struct xmirror_resident *r);

#endif
