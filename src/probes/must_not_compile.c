// SPDX-License-Identifier: GPL-2.0
/* Must not compile anywhere: if it does, undeclared functions go unnoticed. */
#include <linux/mm.h>

void probe(void);
void probe(void)
{
	xm_no_such_function();
}
