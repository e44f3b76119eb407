// SPDX-License-Identifier: GPL-2.0
/* Large device folios, since v6.19. */
#include <linux/memremap.h>

void probe(struct folio *folio, struct dev_pagemap *pgmap);
void probe(struct folio *folio, struct dev_pagemap *pgmap)
{
	zone_device_folio_init(folio, pgmap, 0);
}
