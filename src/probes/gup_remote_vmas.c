// SPDX-License-Identifier: GPL-2.0
/* get_user_pages_remote() lost its vmas argument in v6.5: ca5e863233e8. */
#include <linux/mm.h>

long probe(struct mm_struct *mm, struct page **pages);
long probe(struct mm_struct *mm, struct page **pages)
{
	return get_user_pages_remote(mm, 0, 1, FOLL_WRITE, pages, NULL, NULL);
}
