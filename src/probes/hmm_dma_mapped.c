// SPDX-License-Identifier: GPL-2.0
/* HMM_PFN_DMA_MAPPED, which hmm_range_fault() leaves alone, came in v6.16. */
#include <linux/hmm.h>

unsigned long probe(void);
unsigned long probe(void)
{
	return HMM_PFN_DMA_MAPPED;
}
