// SPDX-License-Identifier: GPL-2.0
#include "numa.h"
#include "proc.h"
#include "settings.h"

#define BALANCING	"/proc/sys/kernel/numa_balancing"
/* Without these, before Linux 6.15, it is a second, and a second. */
#define SCAN(name)	"/sys/kernel/debug/sched/numa_balancing/" name

bool xm_has_numa_balancing(void)
{
	return !access(BALANCING, F_OK);
}

int xm_numa_at_once(void)
{
	xm_setting(SCAN("scan_delay_ms"), "1");
	xm_setting(SCAN("scan_period_min_ms"), "100");
	return xm_setting(BALANCING, "0");
}

unsigned int xm_numa_delay_ms(void)
{
	return access(SCAN("scan_delay_ms"), F_OK) ? 1050 : 20;
}

int xm_numa_balancing(bool on)
{
	return xm_write_file(BALANCING, on ? "1" : "0");
}

int xm_numa_events(int fd, __u64 *events)
{
	struct xmirror_stats s;
	int err = xm_stats(fd, &s);

	*events = s.inv[XM_EV_PROTECTION_VMA];
	return err;
}

int xm_numa_scan(int fd, __u64 before)
{
	__u64 start = xm_now_ns(), events = before;
	int err = 0;

	while (!err && events == before) {
		err = xm_numa_events(fd, &events);
		if (!err && xm_expired(start, XM_LONG))
			err = -ETIMEDOUT;
	}
	return err;
}
