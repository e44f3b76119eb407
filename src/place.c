// SPDX-License-Identifier: GPL-2.0
/**
 * DOC: Preferred places
 *
 * A range of addresses can have a place where a mirror prefers its pages to be: its
 * device's memory, system memory of some node or of any, or wherever they are, which is
 * how a mirror begins. A range fault first moves the pages that it is about, and no
 * others, from wherever they are; then it maps them where it finds them. That is a hint:
 * a page that cannot move is mapped where it is, and a page that is mapped stays, since
 * the device does not fault on it. A preference belongs to addresses, not to mappings: it
 * stays when the range is unmapped.
 *
 * Two mirrors that prefer different places move the pages to and fro, see Time slices.
 */

#include <linux/maple_tree.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/nodemask.h>
#include <linux/xarray.h>
#include "devmem.h"
#include "interval.h"
#include "mirror.h"

/* What the tree has for a range: nothing, %XM_PLACE_DEVICE, or this + the node + 1 */
#define XM_PLACE_NODE	XM_PLACE_SYSTEM

static unsigned long xm_place_at(struct xmirror *m, unsigned long addr)
{
	void *entry = mtree_load(&m->places, addr);

	return entry ? xa_to_value(entry) : XM_PLACE_ANY;
}

/* Is the page where it shall be, as far as the device has it mapped? */
static bool xm_place_reached(struct xmirror *m, unsigned long addr,
			     unsigned long place)
{
	struct xmirror_interval *iv = xm_interval_find(m, addr);
	unsigned long pte = iv ? xm_pte(iv, addr) : 0;

	return pte && !(pte & XM_PTE_LOCAL) == (place != XM_PLACE_DEVICE);
}

/* Move the pages of a range that have to. */
static int xm_place_range(struct xmirror *m, unsigned long start,
			  unsigned long end, unsigned long place)
{
	struct xmirror_move move = {
		.start = start,
		.end = end,
		.to = place == XM_PLACE_DEVICE ? m->dm : NULL,
		.gather = true,
	};
	int node = place == XM_PLACE_DEVICE ? NUMA_NO_NODE :
					      (int)(place - XM_PLACE_NODE) - 1;
	struct xmirror_result res = {};
	int ret;

	ret = xm_migrate(m, &move, node, &res);
	/* The fault itself will say so, if that matters. */
	return ret == -EFAULT || ret == -EOPNOTSUPP || ret == -ENOMEM ? 0 : ret;
}

/* xm_place() where something is preferred */
int __xm_place(struct xmirror *m, unsigned long start, unsigned long end)
{
	unsigned long addr, next, place;
	int ret = 0;

	for (addr = start; addr < end && !ret; addr = next) {
		place = xm_place_at(m, addr);
		next = addr + PAGE_SIZE;
		if (place == XM_PLACE_ANY || xm_place_reached(m, addr, place))
			continue;
		while (next < end && xm_place_at(m, next) == place)
			next += PAGE_SIZE;
		ret = xm_place_range(m, addr, next, place);
	}
	return ret;
}

void xm_place_create(struct xmirror *m)
{
	mt_init(&m->places);
}

void xm_place_free(struct xmirror *m)
{
	mtree_destroy(&m->places);
}

/**
 * xmirror_prefer() - where pages of a range are preferred to be
 * @m: the mirror
 * @p: the range and the place, instead of what was preferred there before
 *
 * From now on range faults of this mirror move the pages there, if they can move; see
 * Preferred places.
 *
 * Context: may sleep.
 * Return: 0; -EINVAL: a bad range, or a node that there is not; -EFAULT; -EOPNOTSUPP:
 * the mirror has no device memory; -ENOMEM.
 */
int xmirror_prefer(struct xmirror *m, const struct xmirror_preference *p)
{
	unsigned long place = p->place;
	int ret;

	ret = xm_check_range(m, p->start, p->end);
	if (ret)
		return ret;
	if (place == XM_PLACE_DEVICE && !m->dm)
		return -EOPNOTSUPP;
	if (place == XM_PLACE_SYSTEM) {
		if (p->node != NUMA_NO_NODE &&
		    (p->node < 0 || p->node >= MAX_NUMNODES ||
		     !node_online(p->node)))
			return -EINVAL;
		place = XM_PLACE_NODE + p->node + 1;
	}
	return mtree_store_range(&m->places, p->start, p->end - 1,
				 place == XM_PLACE_ANY ? NULL :
							 xa_mk_value(place),
				 GFP_KERNEL_ACCOUNT);
}
EXPORT_SYMBOL_GPL(xmirror_prefer);

/**
 * xmirror_may_be_local() - can the mirror's device memory have a page?
 * @m: the mirror
 * @addr: address of the page
 *
 * For a driver that does atomics in its own memory: whether to ask for the page with
 * %XM_LOCAL first.
 *
 * Context: any.
 * Return: true if something is in that memory, or if some place is preferred for the
 * page, where a fault with %XM_LOCAL moves it.
 */
bool xmirror_may_be_local(struct xmirror *m, unsigned long addr)
{
	return m->dm && (xm_dev_in_use(m->dm) ||
			 xm_place_at(m, addr) != XM_PLACE_ANY);
}
EXPORT_SYMBOL_GPL(xmirror_may_be_local);
