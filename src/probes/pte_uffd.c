// SPDX-License-Identifier: GPL-2.0
/* pte_uffd_wp() became pte_uffd() in v7.3. */
#include <linux/mm.h>
#include <linux/userfaultfd_k.h>

int probe(pte_t pte);
int probe(pte_t pte)
{
	return pte_uffd(pte) || pte_swp_uffd(pte);
}
