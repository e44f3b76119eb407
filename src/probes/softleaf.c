// SPDX-License-Identifier: GPL-2.0
/* Non-present entries as softleaf_t, since v6.19. */
#include <linux/leafops.h>

bool probe(pte_t pte);
bool probe(pte_t pte)
{
	return softleaf_is_device_exclusive(softleaf_from_pte(pte));
}
