/* SPDX-License-Identifier: GPL-2.0 */
/*
 * NUMA balancing: at a tick of the clock a thread that has run for a while is sent to
 * make its mm's entries inaccessible, on its way back to its program. So a thread that
 * is to scan has to run, and has scanned when it sees that.
 */
#ifndef XM_NUMA_H
#define XM_NUMA_H

#include "xm.h"

/** xm_has_numa_balancing: whether the kernel has CONFIG_NUMA_BALANCING. */
bool xm_has_numa_balancing(void);
/**
 * xm_numa_at_once: NUMA balancing is off, and does not wait once it is switched on, if the
 * kernel can be told (Linux 6.15). See xm_setting() for when this ends. 0 or a negative
 * errno.
 */
int xm_numa_at_once(void);
/** xm_numa_delay_ms: how long a thread has to run before its first scan. */
unsigned int xm_numa_delay_ms(void);
/** xm_numa_balancing: switch it; 0 or a negative errno. */
int xm_numa_balancing(bool on);
/**
 * xm_numa_events: how many scans @fd's device has been told of, if nothing else changes the
 * rights of what it knows. 0 or a negative errno.
 */
int xm_numa_events(int fd, __u64 *events);
/** xm_numa_scan: run until there are more than @before; 0 or a negative errno. */
int xm_numa_scan(int fd, __u64 before);

#endif /* XM_NUMA_H */
