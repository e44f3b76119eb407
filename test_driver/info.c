// SPDX-License-Identifier: GPL-2.0
/* The capabilities of this kernel. */

#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/module.h>
#include <linux/sizes.h>
#include <linux/string.h>
#include "compat.h"
#include "test_driver.h"

#define XT_NEED_MEMORY	(XMIRROR_CAP_PRIVATE | XMIRROR_CAP_PRIVATE_LARGE)

/* In the order of the bits, like the lines of INFO */
static const struct {
	u64 cap;
	bool has;
	const char *why;
} xt_caps[] = {
	{ XMIRROR_CAP_MIRROR, true, "" },
	{ XMIRROR_CAP_EXCLUSIVE, IS_ENABLED(CONFIG_DEVICE_PRIVATE),
	  "exclusive: the kernel was built without CONFIG_DEVICE_PRIVATE\n" },
	{ XMIRROR_CAP_EXCLUSIVE_LARGE,
	  IS_ENABLED(CONFIG_DEVICE_PRIVATE) && XM_HAVE_MAKE_DEVICE_EXCLUSIVE,
	  "exclusive pages of large folios: Linux 6.15 and CONFIG_DEVICE_PRIVATE\n" },
	/*
	 * folio_referenced_one() (mm/rmap.c) clears the young bit of entries that
	 * are not present. On arm64 it is a bit of their swap type.
	 */
	{ XMIRROR_CAP_RECLAIM_EXCLUSIVE,
	  IS_ENABLED(CONFIG_DEVICE_PRIVATE) && XM_HAVE_MAKE_DEVICE_EXCLUSIVE &&
	  !IS_ENABLED(CONFIG_ARM64),
	  IS_ENABLED(CONFIG_ARM64) ?
	  "reclaim of exclusive pages: corrupts their entries on arm64\n" :
	  "reclaim of exclusive pages: Linux 6.15 and CONFIG_DEVICE_PRIVATE\n" },
	{ XMIRROR_CAP_PRIVATE, IS_ENABLED(CONFIG_DEVICE_PRIVATE),
	  "private memory: the kernel was built without CONFIG_DEVICE_PRIVATE\n" },
	{ XMIRROR_CAP_PRIVATE_LARGE,
	  IS_ENABLED(CONFIG_DEVICE_PRIVATE) && MIGRATE_PFN_COMPOUND &&
	  IS_ENABLED(CONFIG_TRANSPARENT_HUGEPAGE),
	  IS_ENABLED(CONFIG_TRANSPARENT_HUGEPAGE) ?
	  "large folios of private memory: Linux 6.19 and CONFIG_DEVICE_PRIVATE\n" :
	  "large folios of private memory: CONFIG_TRANSPARENT_HUGEPAGE\n" },
	{ XMIRROR_CAP_VRAM_HUGE, XM_SPECIAL_PMD && PMD_SIZE == SZ_2M,
	  "huge VRAM mappings: Linux 6.12, CONFIG_TRANSPARENT_HUGEPAGE and a PMD of 2 MiB\n" },
};

/**
 * xt_get_info() - what xmirror and this kernel can do
 * @info: the fields that a device does not set itself are filled in
 * @memory: whether the device has memory
 *
 * Context: any.
 */
void xt_get_info(struct xmirror_info *info, bool memory)
{
	unsigned int i;
	const char *why;

	info->caps = 0;
	info->lacks = 0;
	info->why[0] = '\0';
	for (i = 0; i < ARRAY_SIZE(xt_caps); i++) {
		why = xt_caps[i].why;
		if (xt_caps[i].has) {
			if (memory || !(xt_caps[i].cap & XT_NEED_MEMORY)) {
				info->caps |= xt_caps[i].cap;
				continue;
			}
			why = "memory: xmirror_test was loaded with devmem_mb=0\n";
		}
		info->lacks |= xt_caps[i].cap;
		strlcat(info->why, why, sizeof(info->why));
	}
	info->page_size = PAGE_SIZE;
	info->chunk_size = xmirror_interval_size();
	info->swp_exclusive[0] = XM_SWP_EXCLUSIVE_WRITE;
	info->swp_exclusive[1] = XM_SWP_EXCLUSIVE_READ;
	info->swp_private[0] = XM_SWP_PRIVATE_WRITE;
	info->swp_private[1] = XM_SWP_PRIVATE_READ;
	info->swp_marker = XM_SWP_MARKER;
	info->revoke_event = XM_REVOKE_EVENT;
}
