// SPDX-License-Identifier: GPL-2.0
/* One page a call: 599b684a7854 ("mm/rmap: convert ..._range()"), v6.15. */
#include <linux/rmap.h>

struct page *probe(struct mm_struct *mm, struct folio **foliop);
struct page *probe(struct mm_struct *mm, struct folio **foliop)
{
	return make_device_exclusive(mm, 0, mm, foliop);
}
