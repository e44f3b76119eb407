// SPDX-License-Identifier: GPL-2.0
/* Asks whether a folio is charged, since v6.12. */
#include <linux/memcontrol.h>

bool probe(struct folio *folio);
bool probe(struct folio *folio)
{
	return folio_memcg_charged(folio);
}
