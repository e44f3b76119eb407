// SPDX-License-Identifier: GPL-2.0
/**
 * DOC: Life of a mirror
 *
 * A mirror is created for an mm and holds mm_count: it keeps the mm_struct, not
 * the address space. Each call takes mm_users for its own duration and fails
 * with -ESRCH once the address space is gone. Calls do not keep an address space
 * alive that nobody else uses. When the process exits, the notifiers' RELEASE event
 * clears all entries; the mirror itself ends with its last reference, before or
 * after.
 */

/**
 * DOC: Teardown
 *
 * A driver that lets go of a mirror calls xmirror_stop(), after which every call
 * ends with -ECANCELED, and xmirror_put(). Jobs can hold references of their own, so
 * that a close need not wait for a fault. With the last reference, in this order:
 *
 * 1. Exclusive pages are given back, if the address space is still there. What stays
 *    exclusive, because the caller was killed or a userfaultfd would have to be waited
 *    for, is restored when the CPU needs the page.
 * 2. The entries of each interval are cleared while its notifier is registered: it is
 *    the notifier that keeps their pages, and what was written goes to the folios.
 * 3. The notifier is removed, which waits for the invalidations that are under way,
 *    and the driver frees its page table.
 * 4. Private pages that were allocated for the mirror are evicted. Pinned ones stay and
 *    point to the pool, not to the mirror: its number in @owner is only compared.
 * 5. &struct xmirror_ops.release tells the driver that nothing is left.
 *
 * A pool is destroyed after its mirrors. It is evicted until it is empty, since
 * memunmap_pages() waits for its pages, uninterruptibly, and evicts none.
 */

#include <linux/memcontrol.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <xmirror/version.h>
#include "compat.h"
#include "devmem.h"
#include "exclusive.h"
#include "interval.h"
#include "points.h"
#include "trace.h"

#define XM_DEFAULT_TIMEOUT_MS	10000

struct workqueue_struct *xm_work_queue;

static atomic64_t xm_last_id;

static LIST_HEAD(xm_mms);
static DEFINE_SPINLOCK(xm_mms_lock); /* protects xm_mms and xm_mm.refs */

static struct xm_mm *xm_mm_find_locked(struct mm_struct *mm)
{
	struct xm_mm *s;

	list_for_each_entry(s, &xm_mms, node) {
		if (s->mm == mm) {
			s->refs++;
			return s;
		}
	}
	return NULL;
}

/* What the mirrors of an mm share, with a reference; NULL if it has none. */
struct xm_mm *xm_mm_find(struct mm_struct *mm)
{
	struct xm_mm *s;

	spin_lock(&xm_mms_lock);
	s = xm_mm_find_locked(mm);
	spin_unlock(&xm_mms_lock);
	return s;
}

static struct xm_mm *xm_mm_get(struct mm_struct *mm)
{
	struct xm_mm *new = kzalloc_obj(*new, GFP_KERNEL), *s;

	if (!new)
		return NULL;
	new->mm = mm;
	new->refs = 1;
	xm_slices_create(&new->slices);
	spin_lock(&xm_mms_lock);
	s = xm_mm_find_locked(mm);
	if (!s)
		list_add(&new->node, &xm_mms);
	spin_unlock(&xm_mms_lock);
	if (s)
		kfree(new);
	return s ?: new;
}

void xm_mm_put(struct xm_mm *s)
{
	bool last;

	spin_lock(&xm_mms_lock);
	last = !--s->refs;
	if (last)
		list_del(&s->node);
	spin_unlock(&xm_mms_lock);
	if (!last)
		return;
	xm_slices_free(&s->slices);
	kfree(s);
}

/*
 * Is it only for us that the address space is still there? Engines with endless
 * jobs would keep it alive for each other for ever. Calls come and go while this
 * looks: those that are surely under way when mm_users is read are the ones that
 * had entered before, without any that have left by the time after. So this is
 * never wrong about a living process; where it is late the next call sees it.
 */
static bool xm_mm_orphaned(struct xmirror *m)
{
	unsigned int entered, users, left;

	entered = atomic_read(&m->shared->entered);
	smp_rmb(); /* pairs with xmirror_enter() */
	users = atomic_read(&m->mm->mm_users);
	smp_rmb(); /* pairs with xmirror_leave() */
	left = atomic_read(&m->shared->left);
	return (int)(users - (entered - left)) <= 0;
}

/*
 * A kernel thread is in the root memory cgroup: charge what it allocates in a
 * call, as page tables of the CPU and of the device, to that of the mirrored mm.
 */
static void xm_charge_begin(struct xmirror *m)
{
	if (current->flags & PF_KTHREAD)
		WARN_ON_ONCE(set_active_memcg(get_mem_cgroup_from_mm(m->mm)));
}

static void xm_charge_end(void)
{
	if (current->flags & PF_KTHREAD)
		mem_cgroup_put(set_active_memcg(NULL));
}

/**
 * xmirror_enter() - begin a call
 * @m: the mirror
 *
 * For a driver that does something of its own with the mm, whose address space
 * stays until xmirror_leave(). What a kernel thread allocates is charged to the
 * mm's memory cgroup. Does not nest.
 *
 * Context: may sleep, no lock may be held: where it fails with -ESRCH it does what
 * xmirror_leave() does.
 * Return: 0; -ECANCELED or -ESRCH as for every call: then there is nothing to
 * leave.
 */
int xmirror_enter(struct xmirror *m)
{
	if (READ_ONCE(m->stopped))
		return -ECANCELED;
	if (!mmget_not_zero(m->mm))
		return -ESRCH;
	smp_mb__before_atomic(); /* mm_users first: see xm_mm_orphaned() */
	atomic_inc(&m->shared->entered);
	xm_charge_begin(m);
	if (!xm_mm_orphaned(m))
		return 0;
	xmirror_leave(m);
	return -ESRCH;
}
EXPORT_SYMBOL_GPL(xmirror_enter);

/* Not in a thread that works for others: the last user frees all of the mm. */
static void xm_mmput(struct mm_struct *mm)
{
	if (current->flags & PF_KTHREAD)
		mmput_async(mm);
	else
		mmput(mm);
}

/**
 * xmirror_leave() - end a call
 * @m: the mirror
 *
 * Context: may sleep; may be the last user of the mm, so no lock may be held.
 */
void xmirror_leave(struct xmirror *m)
{
	xm_charge_end();
	atomic_inc(&m->shared->left);
	smp_mb__after_atomic(); /* mm_users last: see xm_mm_orphaned() */
	xm_mmput(m->mm);
}
EXPORT_SYMBOL_GPL(xmirror_leave);

int xm_check_range(struct xmirror *m, unsigned long start, unsigned long end)
{
	if (!PAGE_ALIGNED(start) || !PAGE_ALIGNED(end) || start >= end)
		return -EINVAL;
	return end <= m->mm->task_size ? 0 : -EFAULT;
}

/**
 * xmirror_check_cancel() - between two pieces of a call: has it to end?
 * @m: the mirror
 *
 * Context: may sleep, no lock may be held but mmap_lock of the mirrored mm, as by
 * xmirror_verify().
 * Return: 0, -ECANCELED, -EINTR or -ESRCH as for every call.
 */
int xmirror_check_cancel(struct xmirror *m)
{
	if (READ_ONCE(m->stopped))
		return -ECANCELED;
	if (fatal_signal_pending(current))
		return -EINTR;
	if (xm_mm_orphaned(m))
		return -ESRCH;
	cond_resched();
	return m->ops->check ? m->ops->check(m) : 0;
}
EXPORT_SYMBOL_GPL(xmirror_check_cancel);

/* Called between two tries at the same piece. */
int xm_check_retry(struct xmirror *m, unsigned long deadline)
{
	return time_after(jiffies, deadline) ? -EBUSY : xmirror_check_cancel(m);
}

/**
 * xmirror_create() - begin to mirror an address space
 * @mm: the address space
 * @dm: the device's own memory, or NULL; has to stay until the last xmirror_put()
 * @ops: the driver's operations; have to stay valid until the last xmirror_put()
 * @priv: for xmirror_priv()
 *
 * Notifiers are registered when the device first touches a range, so that this
 * costs the mm nothing yet.
 *
 * Context: may sleep.
 * Return: the mirror or ERR_PTR(-ENOMEM).
 */
struct xmirror *xmirror_create(struct mm_struct *mm, struct xmirror_devmem *dm,
			       const struct xmirror_ops *ops, void *priv)
{
	struct xmirror *m;

	m = kzalloc_obj(*m, GFP_KERNEL_ACCOUNT);
	if (!m)
		return ERR_PTR(-ENOMEM);
	m->shared = xm_mm_get(mm);
	if (!m->shared) {
		kfree(m);
		return ERR_PTR(-ENOMEM);
	}
	mmgrab(mm);
	m->mm = mm;
	m->dm = dm;
	m->ops = ops;
	m->priv = priv;
	m->granule = PAGE_SIZE;
	m->timeout = XM_DEFAULT_TIMEOUT_MS;
	xm_fork_create(m);
	xm_resident_create(m);
	xm_place_create(m);
	xa_init(&m->intervals);
	mutex_init(&m->interval_mutex);
	kref_init(&m->ref);
	m->id = atomic64_inc_return(&xm_last_id);
	xm_debugfs_add(m);
	trace_xm_create(m);
	return m;
}
EXPORT_SYMBOL_GPL(xmirror_create);

/**
 * xmirror_stop() - make all calls on a mirror fail
 * @m: the mirror
 *
 * Calls that are running end soon with -ECANCELED, new ones fail with it at
 * once, and ranges that the device holds as a whole are suspended with it. For a
 * driver that has to get its engines off a mirror before the last xmirror_put().
 * Cannot be undone.
 *
 * Context: any; the caller has a reference.
 */
void xmirror_stop(struct xmirror *m)
{
	WRITE_ONCE(m->stopped, true);
	xm_resident_end(m);
}
EXPORT_SYMBOL_GPL(xmirror_stop);

/*
 * Give every exclusive page back, as long as there is somebody to have it. A
 * caller that was killed leaves that to the CPU's next touch of the page.
 */
static void xm_restore_all(struct xmirror *m, struct xmirror_interval *iv)
{
	unsigned long addr, next;

	for (addr = iv->start; addr < iv->end && !fatal_signal_pending(current);
	     addr = next) {
		next = xm_span_end(addr, iv->end);
		if (xm_next_exclusive(iv, &addr, next)) {
			xm_restore(m, addr, false);
			next = addr + PAGE_SIZE;
		}
		cond_resched();
	}
}

static void xm_release(struct kref *ref)
{
	struct xmirror *m = container_of(ref, struct xmirror, ref);
	struct xmirror_interval *iv;
	unsigned long index;

	trace_xm_destroy(m);
	xmirror_stop(m);
	WRITE_ONCE(m->ended, true);
	xm_debugfs_remove(m);
	/* From now on it ends before it looks at an interval. */
	xm_fork_cancel(m);
	if (mmget_not_zero(m->mm)) {
		xa_for_each(&m->intervals, index, iv)
			xm_restore_all(m, iv);
		xm_mmput(m->mm);
	}
	xa_for_each(&m->intervals, index, iv)
		xm_interval_free(iv);
	xa_destroy(&m->intervals);
	xm_resident_free(m);
	/* A notifier may have started it in between; there is none any more. */
	xm_fork_cancel(m);
	xmirror_evict(m);
	xm_place_free(m);
	xm_mm_put(m->shared);
	mmdrop(m->mm);
	if (m->ops->release)
		m->ops->release(m->priv);
	kfree(m);
}

/**
 * xmirror_get() - take a reference to a mirror
 * @m: the mirror
 *
 * For a job that works on it, so that its file can be closed meanwhile.
 *
 * Context: any.
 */
void xmirror_get(struct xmirror *m)
{
	kref_get(&m->ref);
}
EXPORT_SYMBOL_GPL(xmirror_get);

/**
 * xmirror_put() - give back a reference to a mirror
 * @m: the mirror
 *
 * With the last one the mirror ends. Exclusive pages go back to the CPU, what
 * the device wrote goes to the folios, device memory that was allocated for this
 * mirror goes back to system memory, and no reference to the mm or its pages is
 * left. It waits for no userfaultfd, and a caller that was killed for no
 * mmap_lock: an exclusive entry that stays for that ends when the CPU needs the
 * page. A driver that does not want to wait for its jobs calls xmirror_stop()
 * first, and frees what they use in &struct xmirror_ops.release.
 *
 * Context: may sleep; must not be called from a notifier.
 */
void xmirror_put(struct xmirror *m)
{
	kref_put(&m->ref, xm_release);
}
EXPORT_SYMBOL_GPL(xmirror_put);

/**
 * xmirror_priv() - the driver's pointer
 * @m: the mirror
 *
 * Context: any.
 * Return: the priv that xmirror_create() was given.
 */
void *xmirror_priv(struct xmirror *m)
{
	return m->priv;
}
EXPORT_SYMBOL_GPL(xmirror_priv);

/**
 * xmirror_mm() - the mirrored mm
 * @m: the mirror
 *
 * Context: any.
 * Return: the mm_struct, without a reference; its address space may be gone.
 */
struct mm_struct *xmirror_mm(struct xmirror *m)
{
	return m->mm;
}
EXPORT_SYMBOL_GPL(xmirror_mm);

/**
 * xmirror_id() - a number that no other mirror has or had
 * @m: the mirror
 *
 * Context: any.
 * Return: the number, by which the trace events name it.
 */
u64 xmirror_id(struct xmirror *m)
{
	return m->id;
}
EXPORT_SYMBOL_GPL(xmirror_id);

/**
 * xmirror_timeout() - how long a range may be retried
 * @m: the mirror
 *
 * Context: any.
 * Return: milliseconds.
 */
unsigned int xmirror_timeout(struct xmirror *m)
{
	return READ_ONCE(m->timeout);
}
EXPORT_SYMBOL_GPL(xmirror_timeout);

/**
 * xmirror_set_timeout() - limit how long a range may be retried
 * @m: the mirror
 * @ms: milliseconds without progress after which a call fails with -EBUSY
 *
 * Context: any.
 */
void xmirror_set_timeout(struct xmirror *m, unsigned int ms)
{
	WRITE_ONCE(m->timeout, ms);
}
EXPORT_SYMBOL_GPL(xmirror_set_timeout);

/**
 * xmirror_granule() - the largest entry that the device makes
 * @m: the mirror
 *
 * Context: any.
 * Return: bytes.
 */
unsigned long xmirror_granule(struct xmirror *m)
{
	return READ_ONCE(m->granule);
}
EXPORT_SYMBOL_GPL(xmirror_granule);

/**
 * xmirror_set_granule() - tell how large an entry the device can make
 * @m: the mirror
 * @bytes: a power of two from %PAGE_SIZE to %XM_SPAN_SIZE
 *
 * A device fault looks at the whole granule around the address. Neighbours that
 * are present are mapped as well, and nothing else is faulted in: one that is
 * missing or forbidden never makes an access fail. Entries that are there stay as
 * they are.
 *
 * Context: any.
 * Return: 0, or -EINVAL for another size.
 */
int xmirror_set_granule(struct xmirror *m, unsigned long bytes)
{
	if (bytes < PAGE_SIZE || bytes > XM_SPAN_SIZE || !is_power_of_2(bytes))
		return -EINVAL;
	if (bytes == XM_SPAN_SIZE)
		WRITE_ONCE(m->has_large, true);
	smp_wmb(); /* before there can be such an entry */
	WRITE_ONCE(m->granule, bytes);
	return 0;
}
EXPORT_SYMBOL_GPL(xmirror_set_granule);

static const char * const xm_stat_names[XM_NR_STATS] = {
	[XM_STAT_INVAL + MMU_NOTIFY_UNMAP] = "inval_unmap",
	[XM_STAT_INVAL + MMU_NOTIFY_CLEAR] = "inval_clear",
	[XM_STAT_INVAL + MMU_NOTIFY_PROTECTION_VMA] = "inval_protection_vma",
	[XM_STAT_INVAL + MMU_NOTIFY_PROTECTION_PAGE] = "inval_protection_page",
	[XM_STAT_INVAL + MMU_NOTIFY_SOFT_DIRTY] = "inval_soft_dirty",
	[XM_STAT_INVAL + MMU_NOTIFY_RELEASE] = "inval_release",
	[XM_STAT_INVAL + MMU_NOTIFY_MIGRATE] = "inval_migrate",
	[XM_STAT_INVAL + MMU_NOTIFY_EXCLUSIVE] = "inval_exclusive",
	[XM_STAT_INVAL_OTHER] = "inval_other",
	[XM_STAT_INVAL_OWN] = "inval_own",
	[XM_STAT_INVAL_NONBLOCK] = "inval_nonblock",
	[XM_STAT_FAULT_WALKS] = "fault_walks",
	[XM_STAT_FAULT_RETRIES] = "fault_retries",
	[XM_STAT_FAULT_PAGES] = "fault_pages",
	[XM_STAT_EXCL_MADE] = "excl_made",
	[XM_STAT_EXCL_HITS] = "excl_hits",
	[XM_STAT_EXCL_RETRIES] = "excl_retries",
	[XM_STAT_EXCL_LOST] = "excl_lost",
	[XM_STAT_EXCL_RELEASED] = "excl_released",
	[XM_STAT_DIRTIED] = "dirtied",
	[XM_STAT_HMM_PFN_WRONG] = "hmm_pfn_wrong",
	[XM_STAT_FORK_TAKEN] = "fork_taken",
	[XM_STAT_QUEUE_STOPS] = "queue_stops",
	[XM_STAT_RESTORE_RUNS] = "restore_runs",
	[XM_STAT_RESTORES] = "restores",
	[XM_STAT_RESTORE_FAILURES] = "restore_failures",
	[XM_STAT_SLICE_WAITS] = "slice_waits",
	[XM_STAT_SLICE_LONGEST] = "slice_longest",
};

/**
 * xmirror_stat() - read a counter
 * @m: the mirror
 * @stat: which
 *
 * Context: any.
 * Return: its value.
 */
u64 xmirror_stat(struct xmirror *m, enum xm_stat stat)
{
	return atomic64_read(&m->stat[stat]);
}
EXPORT_SYMBOL_GPL(xmirror_stat);

/**
 * xmirror_stat_name() - the name of a counter
 * @stat: which
 *
 * Context: any.
 * Return: the name, as in debugfs.
 */
const char *xmirror_stat_name(enum xm_stat stat)
{
	return xm_stat_names[stat];
}
EXPORT_SYMBOL_GPL(xmirror_stat_name);

static int __init xm_init(void)
{
	int ret = xm_interval_init();

	if (ret)
		return ret;
	xm_work_queue = alloc_workqueue("xmirror", WQ_UNBOUND | WQ_FREEZABLE, 0);
	if (!xm_work_queue)
		return -ENOMEM;
	xm_debugfs_init();
	return 0;
}

static void __exit xm_exit(void)
{
	xm_debugfs_exit();
	destroy_workqueue(xm_work_queue);
}

module_init(xm_init);
module_exit(xm_exit);

MODULE_DESCRIPTION("Device-side shared virtual memory: mirror, exclusive entries");
MODULE_LICENSE("GPL");
MODULE_VERSION(XMIRROR_VERSION);
MODULE_INFO(test, "Y");
