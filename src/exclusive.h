/* SPDX-License-Identifier: GPL-2.0 */
/* Exclusive entries, see exclusive.c. Between xmirror_enter() and _leave(). */
#ifndef _XM_EXCLUSIVE_H
#define _XM_EXCLUSIVE_H

#include "mirror.h"

int xm_restore(struct xmirror *m, unsigned long addr, bool write);
int xm_release_pages(struct xmirror *m, unsigned long *pos, unsigned long end,
		     u64 *released);

#endif /* _XM_EXCLUSIVE_H */
