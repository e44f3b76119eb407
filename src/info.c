// SPDX-License-Identifier: GPL-2.0
/*
 * What this kernel can do, and the counters.
 */

#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/module.h>
#include <linux/string.h>
#include "compat.h"
#include "internal.h"

static const struct {
	u64 cap;
	bool has;
	const char *why;
} xm_caps[] = {
	{ XMIRROR_CAP_MIRROR, true, "" },
	{ XMIRROR_CAP_EXCLUSIVE, IS_ENABLED(CONFIG_DEVICE_PRIVATE),
	  "exclusive: the kernel was built without CONFIG_DEVICE_PRIVATE\n" },
	{ XMIRROR_CAP_EXCLUSIVE_LARGE,
	  IS_ENABLED(CONFIG_DEVICE_PRIVATE) && XM_HAVE_MAKE_DEVICE_EXCLUSIVE,
	  "exclusive pages of large folios: Linux 6.15 and CONFIG_DEVICE_PRIVATE\n" },
	{ XMIRROR_CAP_RECLAIM_EXCLUSIVE,
	  IS_ENABLED(CONFIG_DEVICE_PRIVATE) && XM_HAVE_MAKE_DEVICE_EXCLUSIVE,
	  "reclaim of exclusive pages: Linux 6.15 and CONFIG_DEVICE_PRIVATE\n" },
	{ XMIRROR_CAP_PRIVATE, IS_ENABLED(CONFIG_DEVICE_PRIVATE),
	  "private memory: the kernel was built without CONFIG_DEVICE_PRIVATE\n" },
	{ XMIRROR_CAP_PRIVATE_LARGE,
	  IS_ENABLED(CONFIG_DEVICE_PRIVATE) && MIGRATE_PFN_COMPOUND,
	  "large folios of private memory: Linux 6.19 and CONFIG_DEVICE_PRIVATE\n" },
	{ XMIRROR_CAP_VRAM_HUGE, XM_SPECIAL_PMD,
	  "huge VRAM mappings: Linux 6.12 and CONFIG_TRANSPARENT_HUGEPAGE\n" },
};

/**
 * xmirror_info() - what xmirror and this kernel can do
 * @info: the fields that a device does not set itself are filled in
 *
 * Context: any.
 */
void xmirror_info(struct xmirror_info *info)
{
	unsigned int i;

	info->caps = 0;
	info->lacks = 0;
	info->why[0] = '\0';
	for (i = 0; i < ARRAY_SIZE(xm_caps); i++) {
		if (xm_caps[i].has) {
			info->caps |= xm_caps[i].cap;
		} else {
			info->lacks |= xm_caps[i].cap;
			strlcat(info->why, xm_caps[i].why, sizeof(info->why));
		}
	}
	info->page_size = PAGE_SIZE;
	info->chunk_size = 1UL << xm_chunk_shift;
	info->swp_exclusive[0] = XM_SWP_EXCLUSIVE_WRITE;
	info->swp_exclusive[1] = XM_SWP_EXCLUSIVE_READ;
	info->swp_private[0] = XM_SWP_PRIVATE_WRITE;
	info->swp_private[1] = XM_SWP_PRIVATE_READ;
	info->swp_marker = XM_SWP_MARKER;
	info->revoke_event = XM_REVOKE_EVENT;
}
EXPORT_SYMBOL_GPL(xmirror_info);

/**
 * xmirror_stats() - read the counters
 * @m: the mirror
 * @s: out: the counters; zero for those that are the device's own
 *
 * Context: any.
 */
void xmirror_stats(struct xmirror *m, struct xmirror_stats *s)
{
	u64 *to = (u64 *)s;
	unsigned int i;

	for (i = XM_STAT(offsetof(struct xmirror_stats, inv));
	     i < ARRAY_SIZE(m->stat); i++)
		to[i] = atomic64_read(&m->stat[i]);
}
EXPORT_SYMBOL_GPL(xmirror_stats);
