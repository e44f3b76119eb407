// SPDX-License-Identifier: GPL-2.0
/*
 * ->huge_fault() takes an order since v6.6: 1d024e7a8dab. To the compiler the
 * older enum page_entry_size is an unsigned int, too, so ask for the type.
 */
#include <linux/mm.h>

enum page_entry_size { XM_NO_SUCH_TYPE };
