// SPDX-License-Identifier: GPL-2.0
/* eventfd_signal() lost its count in v6.8: 3652117f8548. */
#include <linux/eventfd.h>

void probe(struct eventfd_ctx *ctx);
void probe(struct eventfd_ctx *ctx)
{
	eventfd_signal(ctx, 1);
}
