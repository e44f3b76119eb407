// SPDX-License-Identifier: GPL-2.0
/* Survives a memory error in the source, since v6.4: 12904d953364. */
#include <linux/highmem.h>

int probe(struct page *to, struct page *from);
int probe(struct page *to, struct page *from)
{
	return copy_mc_highpage(to, from);
}
