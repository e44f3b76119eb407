/* SPDX-License-Identifier: GPL-2.0 */
/* A long-term pin, as a fixed buffer of io_uring has it. */
#ifndef XM_RING_H
#define XM_RING_H

#include <stddef.h>

/** xm_ring: a ring, which is closed by close(), or a negative errno. */
int xm_ring(void);
/** xm_ring_pin: pin @len bytes at @p until the ring is closed; 0 or a negative errno. */
int xm_ring_pin(int ring, const void *p, size_t len);

#endif /* XM_RING_H */
