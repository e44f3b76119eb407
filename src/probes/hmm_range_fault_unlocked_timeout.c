// SPDX-License-Identifier: GPL-2.0
/* Faults that may drop mmap_lock, since v7.3. */
#include <linux/hmm.h>

int probe(struct hmm_range *range);
int probe(struct hmm_range *range)
{
	return hmm_range_fault_unlocked_timeout(range, 1);
}
