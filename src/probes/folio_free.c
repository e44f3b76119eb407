// SPDX-License-Identifier: GPL-2.0
/* Device pages are freed as folios, since v6.19. */
#include <linux/memremap.h>

void fn(struct folio *folio);
struct dev_pagemap_ops probe;
struct dev_pagemap_ops probe = { .folio_free = fn };
