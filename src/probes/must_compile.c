// SPDX-License-Identifier: GPL-2.0
/* Has to compile everywhere: if it does not, no other answer can be trusted. */
#include <linux/mm.h>

struct page *probe(unsigned long pfn);
struct page *probe(unsigned long pfn)
{
	return pfn_to_page(pfn);
}
