// SPDX-License-Identifier: GPL-2.0
/* The newest name of zap_vma_ptes(). */
#include <linux/mm.h>

void probe(struct vm_area_struct *vma);
void probe(struct vm_area_struct *vma)
{
	zap_special_vma_range(vma, 0, PAGE_SIZE);
}
