// SPDX-License-Identifier: GPL-2.0
/* The pgmap of a page moved to its folio in v6.15. */
#include <linux/mm.h>

struct dev_pagemap *probe(struct page *page);
struct dev_pagemap *probe(struct page *page)
{
	return page_pgmap(page);
}
