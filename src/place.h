/* SPDX-License-Identifier: GPL-2.0 */
/* Where a mirror's pages are preferred to be, by address. See place.c. */
#ifndef _XM_PLACE_H
#define _XM_PLACE_H

struct xmirror;

void xm_place_create(struct xmirror *m);
void xm_place_free(struct xmirror *m);
int __xm_place(struct xmirror *m, unsigned long start, unsigned long end);

#endif /* _XM_PLACE_H */
