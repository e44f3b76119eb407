/* SPDX-License-Identifier: GPL-2.0 */
/* How many pages of a range the device has mapped */
#ifndef SELFTESTS_MIRROR_LEAVES_H
#define SELFTESTS_MIRROR_LEAVES_H

#include "test.h"

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

#endif
