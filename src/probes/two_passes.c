// SPDX-License-Identifier: GPL-2.0
/* Invalidations of two passes: 7.3 has them, 6.12 does not. */
#include <linux/mmu_notifier.h>

void fn(struct mmu_interval_notifier_finish *finish);
struct mmu_interval_notifier_ops probe;
struct mmu_interval_notifier_ops probe = { .invalidate_finish = fn };
