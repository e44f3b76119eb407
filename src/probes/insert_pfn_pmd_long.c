// SPDX-License-Identifier: GPL-2.0
/* vmf_insert_pfn_pmd() took a pfn_t, which is a struct, up to v6.16. */
#include <linux/mm.h>

vm_fault_t probe(struct vm_fault *vmf, unsigned long pfn);
vm_fault_t probe(struct vm_fault *vmf, unsigned long pfn)
{
	return vmf_insert_pfn_pmd(vmf, pfn, false);
}
