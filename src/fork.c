// SPDX-License-Identifier: GPL-2.0
/**
 * DOC: Forks
 *
 * fork() ends all exclusive entries of the parent, and both processes have the
 * pages write-protected. The lazy policy leaves it at that: the device faults
 * on its next access. The eager one takes the exclusive pages back that the device was
 * working on.
 *
 * The notifier that tells of the fork (PROTECTION_PAGE) comes before it happens, under
 * mmap_lock for writing, and must not wait. So it only notes what the device is about
 * to lose, and starts work that has to wait for mmap_lock and thereby comes after
 * the fork. It goes the way of any other call: it breaks COW for the parent, as
 * a write by the parent would, and the child keeps what it has.
 *
 * This is best effort, an optimisation. The device faults other pages later. The event is
 * known by its type, which means that pages are being write-protected; other reasons for
 * that do not concern exclusive pages.
 *
 * The work runs without a reference to the mirror, hence the end of the mirror
 * cancels it twice: so that it does not use intervals that go, and again when no
 * notifier is left that could start it.
 */

#include <linux/mm.h>
#include <linux/module.h>
#include "fork.h"
#include "interval.h"

/* Next piece, false if there is none. */
static bool xm_fork_next(struct xm_fork *fork, unsigned long *start,
			 unsigned long *end)
{
	bool ret = false;

	spin_lock(&fork->lock);
	if (fork->nr) {
		fork->nr--;
		*start = fork->range[fork->nr].start;
		*end = fork->range[fork->nr].end;
		ret = true;
	}
	spin_unlock(&fork->lock);
	return ret;
}

static void xm_fork_work(struct work_struct *work)
{
	struct xm_fork *fork = container_of(work, struct xm_fork, work);
	struct xmirror *m = container_of(fork, struct xmirror, fork);
	struct xmirror_result res;
	unsigned long start, end;

	while (xm_fork_next(fork, &start, &end)) {
		/* What went meanwhile went for good. */
		xmirror_exclusive(m, start, end, NULL, &res);
		xm_count(m, FORK_TAKEN, res.done >> PAGE_SHIFT);
	}
}

/* Add a page. Pages come in order, so that most belong to the last piece. */
static void xm_fork_add_locked(struct xm_fork *fork, unsigned long addr)
{
	unsigned int last = fork->nr - 1;

	if (fork->nr && fork->range[last].end == addr) {
		fork->range[last].end += PAGE_SIZE;
	} else if (fork->nr < XM_FORK_RANGES) {
		fork->range[fork->nr].start = addr;
		fork->range[fork->nr].end = addr + PAGE_SIZE;
		fork->nr++;
	}
}

/*
 * A fork is about to take these entries from the device: note what it works on.
 * Called with the interval's lock.
 */
void xm_fork_note(struct xmirror *m, const struct xmirror_unmap *u)
{
	unsigned long hot = XM_PTE_EXCLUSIVE | XM_PTE_ACCESSED;
	struct xm_fork *fork = &m->fork;
	unsigned int i;

	if (!READ_ONCE(fork->eager) || READ_ONCE(m->stopped))
		return;
	spin_lock(&fork->lock);
	for (i = 0; i < u->nr; i++)
		if ((u->old[i].pte & hot) == hot)
			xm_fork_add_locked(fork, u->old[i].addr);
	spin_unlock(&fork->lock);
}

/* Take back what was noted. May be called in a notifier. */
void xm_fork_start(struct xmirror *m)
{
	if (READ_ONCE(m->fork.nr))
		queue_work(xm_work_queue, &m->fork.work);
}

void xm_fork_create(struct xmirror *m)
{
	spin_lock_init(&m->fork.lock);
	INIT_WORK(&m->fork.work, xm_fork_work);
}

/* End it. No lock that a call takes may be held. */
void xm_fork_cancel(struct xmirror *m)
{
	cancel_work_sync(&m->fork.work);
}

/**
 * xmirror_set_fork_eager() - whether the device takes pages back after a fork
 * @m: the mirror
 * @eager: right away, for the parent, those that it has worked on; else it
 *	faults them when it wants them, which is how a mirror begins
 *
 * Context: any.
 * Return: what it was before.
 */
bool xmirror_set_fork_eager(struct xmirror *m, bool eager)
{
	bool old;

	spin_lock(&m->fork.lock);
	old = m->fork.eager;
	WRITE_ONCE(m->fork.eager, eager);
	if (!eager)
		m->fork.nr = 0;
	spin_unlock(&m->fork.lock);
	return old;
}
EXPORT_SYMBOL_GPL(xmirror_set_fork_eager);
