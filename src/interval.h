/* SPDX-License-Identifier: GPL-2.0 */
/* The intervals of a mirror and the read side of their notifiers, see interval.c. */
#ifndef _XM_INTERVAL_H
#define _XM_INTERVAL_H

#include "mirror.h"

/**
 * struct xm_seq - the begin of a read side critical section
 * @seq: from mmu_interval_read_begin()
 * @inval_count: invalidations of the interval until then
 */
struct xm_seq {
	unsigned long seq;
	unsigned int inval_count;
};

extern unsigned int xm_interval_shift;

int xm_interval_init(void);
struct xmirror_interval *xm_interval_get(struct xmirror *m, unsigned long addr);
void xm_interval_free(struct xmirror_interval *iv);
struct xm_seq xm_read_begin(struct xmirror_interval *iv);
bool xm_read_retry(struct xmirror_interval *iv, struct xm_seq seq,
		   unsigned long start, unsigned long end);
unsigned long xm_pte(struct xmirror_interval *iv, unsigned long addr);
bool xm_next_exclusive(struct xmirror_interval *iv, unsigned long *addr,
		       unsigned long end);

static inline struct xmirror_interval *xm_interval_find(struct xmirror *m,
							unsigned long addr)
{
	return xa_load(&m->intervals, addr >> xm_interval_shift);
}

/*
 * The first interval from *@addr to @end, and where in it to begin; NULL and @end
 * if there is none.
 */
static inline struct xmirror_interval *
xm_interval_next(struct xmirror *m, unsigned long *addr, unsigned long end)
{
	unsigned long index = *addr >> xm_interval_shift;
	struct xmirror_interval *iv;

	iv = xa_find(&m->intervals, &index, (end - 1) >> xm_interval_shift,
		     XA_PRESENT);
	*addr = iv ? max(*addr, index << xm_interval_shift) : end;
	return iv;
}

/* Does the device's entry of @addr have all bits of @need? */
static inline bool xm_pte_has(struct xmirror_interval *iv, unsigned long addr,
			      unsigned long need)
{
	return (xm_pte(iv, addr) & need) == need;
}

/* The end of the span of @addr, or @end if that comes first. */
static inline unsigned long xm_span_end(unsigned long addr, unsigned long end)
{
	return min(end, ALIGN(addr + 1, XM_SPAN_SIZE));
}

#endif /* _XM_INTERVAL_H */
