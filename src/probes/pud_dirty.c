// SPDX-License-Identifier: GPL-2.0
/* arm64, loongarch and s390 have no pud_dirty(). */
#include <linux/mm.h>

bool probe(pud_t pud);
bool probe(pud_t pud)
{
	return pud_dirty(pud);
}
