// SPDX-License-Identifier: GPL-2.0
/* folio_mapcount() takes a const folio and is inline, not an unexported function. */
#include <linux/mm.h>

int (*probe(void))(const struct folio *folio);
int (*probe(void))(const struct folio *folio)
{
	return folio_mapcount;
}
