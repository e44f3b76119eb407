// SPDX-License-Identifier: GPL-2.0
/*
 * Life cycle of a mirror, its chunks, and what the MMU notifiers tell it.
 *
 * A mirror is created for an mm and holds mm_count: it keeps the mm_struct, not
 * the address space. Each call takes mm_users for its own duration and fails
 * with -ESRCH once the address space is gone. When the process exits, the
 * notifiers' RELEASE event clears all leaves; the mirror itself goes when its
 * driver calls xmirror_destroy(), before or after. Calls do not keep an address
 * space alive that nobody else uses.
 *
 * Events are hints: whatever comes clears exactly the leaves that it covers,
 * however often and for whatever reason. Only the invalidation that this
 * mirror's own xmirror_exclusive() causes is ignored, known by event and owner:
 * it announces that the CPU loses the very page that the device is about to
 * get. Ignoring means not to touch the sequence count either, else the commit
 * that follows could never succeed. The event that ends an exclusive entry is
 * somebody else's even if it has the same type (before v6.15 it was EXCLUSIVE
 * with a NULL owner), hence the owner is never NULL.
 */

#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/wait_bit.h>
#include "compat.h"
#include "devmem.h"
#include "internal.h"
#include "trace.h"

static unsigned int chunk_mb = 64;
module_param(chunk_mb, uint, 0444);
MODULE_PARM_DESC(chunk_mb,
		 "MiB that an interval notifier covers, a power of two from 2 to 4096");

unsigned int xm_chunk_shift;

/*
 * Tests arm and disarm points all the time, and each change patches code on all
 * CPUs: so it stays on for a while.
 */
DEFINE_STATIC_KEY_DEFERRED_FALSE(xm_points_key, 10 * HZ);

#define XM_DEFAULT_TIMEOUT_MS	10000

static bool xm_invalidate(struct mmu_interval_notifier *notifier,
			  const struct mmu_notifier_range *range,
			  unsigned long cur_seq)
{
	struct xm_chunk *chunk = container_of(notifier, struct xm_chunk,
					      notifier);
	struct xmirror *m = chunk->m;
	unsigned long start = max(range->start, chunk->start);
	unsigned long end = min(range->end, chunk->end);
	bool own = range->event == MMU_NOTIFY_EXCLUSIVE && range->owner == m;
	unsigned long cleared;
	bool take_back = false;

	if (!WARN_ON_ONCE(range->event >= XMIRROR_NR_EVENTS))
		xm_count(m, inv[range->event], 1);
	if (!mmu_notifier_range_blockable(range))
		xm_count(m, inv_nonblock, 1);

	if (own) {
		xm_count(m, inv_own, 1);
		trace_xm_invalidate(m, start, end, range, true, 0);
		xm_point_inv(m, XMIRROR_PT_INV_OWN, start, end, range);
		return true;
	}

	xm_point_inv(m, XMIRROR_PT_INV_ENTER, start, end, range);
	write_lock(&chunk->lock);
	mmu_interval_set_seq(notifier, cur_seq);
	chunk->inv[chunk->inv_count % XM_INV_LOG].start = start;
	chunk->inv[chunk->inv_count % XM_INV_LOG].end = end;
	chunk->inv_count++;
	if (range->event == MMU_NOTIFY_PROTECTION_PAGE)
		take_back = xm_fork_note(chunk, start, end);
	cleared = xm_clear_range(chunk, start, end,
				 range->event == MMU_NOTIFY_UNMAP ||
				 range->event == MMU_NOTIFY_RELEASE);
	write_unlock(&chunk->lock);
	if (take_back)
		xm_fork_start(m);
	trace_xm_invalidate(m, start, end, range, false, cleared);
	xm_point_inv(m, XMIRROR_PT_INV_EXIT, start, end, range);
	return true;
}

static const struct mmu_interval_notifier_ops xm_notifier_ops = {
	.invalidate = xm_invalidate,
};

/* Begin to look at the CPU's page table. Waits for running invalidations. */
struct xm_seq xm_read_begin(struct xm_chunk *chunk)
{
	struct xm_seq seq;

	/* Counted first: what comes between is in the log. */
	read_lock(&chunk->lock);
	seq.inv_count = chunk->inv_count;
	read_unlock(&chunk->lock);
	seq.seq = mmu_interval_read_begin(&chunk->notifier);
	return seq;
}

/*
 * Has anything in [@start, @end) been invalidated since xm_read_begin()? Needs
 * the chunk's lock.
 *
 * mmu_interval_read_retry() answers for the whole chunk. It alone would be
 * right, but then every exclusive page that is lost makes all engines that work
 * in the chunk throw away theirs. So where it says yes, look whether the
 * invalidations since then were elsewhere. Those that ran when the section began
 * are no matter: mmu_interval_read_begin() has waited for their end.
 */
bool xm_read_retry(struct xm_chunk *chunk, struct xm_seq seq,
		   unsigned long start, unsigned long end)
{
	unsigned int i;

	lockdep_assert_held(&chunk->lock);
	if (!mmu_interval_read_retry(&chunk->notifier, seq.seq))
		return false;
	if (chunk->inv_count - seq.inv_count > XM_INV_LOG)
		return true;
	for (i = seq.inv_count; i != chunk->inv_count; i++)
		if (chunk->inv[i % XM_INV_LOG].start < end &&
		    chunk->inv[i % XM_INV_LOG].end > start)
			return true;
	return false;
}

/*
 * The chunk of @addr, made if need be: chunk or ERR_PTR. mmap_lock must not be
 * held, the first notifier of an mm takes it for writing.
 */
struct xm_chunk *xm_chunk_get(struct xmirror *m, unsigned long addr)
{
	unsigned long size = 1UL << xm_chunk_shift;
	unsigned long slots = size / XM_TABLE_SIZE;
	struct xm_chunk *chunk;
	int ret;

	chunk = xm_chunk_find(m, addr);
	if (chunk)
		return chunk;

	mutex_lock(&m->chunk_mutex);
	chunk = xm_chunk_find(m, addr);
	if (chunk)
		goto out;

	ret = -ENOMEM;
	chunk = kvzalloc(sizeof(*chunk) + slots * XM_SLOT_BYTES,
			 GFP_KERNEL_ACCOUNT);
	if (!chunk)
		goto err;
	chunk->used = (u16 *)&chunk->slot[slots];
	chunk->m = m;
	chunk->start = ALIGN_DOWN(addr, size);
	chunk->end = chunk->start + size;
	rwlock_init(&chunk->lock);
	ret = mmu_interval_notifier_insert(&chunk->notifier, m->mm,
					   chunk->start, size,
					   &xm_notifier_ops);
	/* The first of an mm fails on any signal, after which it can be tried again. */
	if (ret == -EINTR && !fatal_signal_pending(current))
		ret = -ERESTARTNOINTR;
	if (ret)
		goto err_free;
	ret = xa_err(xa_store(&m->chunks, addr >> xm_chunk_shift, chunk,
			      GFP_KERNEL_ACCOUNT));
	if (ret)
		goto err_remove;
	xm_count(m, table_bytes, slots * XM_SLOT_BYTES);
	goto out;

err_remove:
	mmu_interval_notifier_remove(&chunk->notifier);
err_free:
	kvfree(chunk);
err:
	chunk = ERR_PTR(ret);
out:
	mutex_unlock(&m->chunk_mutex);
	return chunk;
}

static LIST_HEAD(xm_mirrors);
static DEFINE_SPINLOCK(xm_mirrors_lock); /* protects xm_mirrors and the last id */

/* Number it and let others find it. */
static void xm_mirror_add(struct xmirror *m)
{
	static u64 last_id;

	spin_lock(&xm_mirrors_lock);
	m->id = ++last_id;
	list_add_tail(&m->node, &xm_mirrors);
	spin_unlock(&xm_mirrors_lock);
}

/* Hide it again, and wait for those who found it. */
static void xm_mirror_remove(struct xmirror *m)
{
	spin_lock(&xm_mirrors_lock);
	list_del(&m->node);
	spin_unlock(&xm_mirrors_lock);
	wait_var_event(&m->visitors, !atomic_read(&m->visitors));
}

/* The next mirror of @dm and @mm (NULL: any) after number @id, held. */
static struct xmirror *xm_mirror_visit(struct xmirror_devmem *dm,
				       struct mm_struct *mm, u64 id)
{
	struct xmirror *m;

	spin_lock(&xm_mirrors_lock);
	list_for_each_entry(m, &xm_mirrors, node) {
		if (m->id <= id || m->dm != dm || !m->ops || (mm && m->mm != mm))
			continue;
		atomic_inc(&m->visitors);
		spin_unlock(&xm_mirrors_lock);
		return m;
	}
	spin_unlock(&xm_mirrors_lock);
	return NULL;
}

void __xm_point_device(struct xmirror_devmem *dm, struct mm_struct *mm,
		       enum xmirror_point point, unsigned long start,
		       unsigned long end)
{
	struct xmirror *m;
	u64 id = 0;

	while ((m = xm_mirror_visit(dm, mm, id))) {
		id = m->id;
		m->ops->point(m, point, start, end, -1, true);
		/* May be gone right after; only its address is used then. */
		if (atomic_dec_and_test(&m->visitors))
			wake_up_var(&m->visitors);
	}
}

static LIST_HEAD(xm_mms);
static DEFINE_MUTEX(xm_mms_mutex); /* protects xm_mms and xm_mm.mirrors */

static struct xm_mm *xm_mm_get(struct mm_struct *mm)
{
	struct xm_mm *s;

	mutex_lock(&xm_mms_mutex);
	list_for_each_entry(s, &xm_mms, node)
		if (s->mm == mm)
			goto found;
	s = kzalloc_obj(*s, GFP_KERNEL);
	if (!s)
		goto out;
	s->mm = mm;
	list_add(&s->node, &xm_mms);
found:
	s->mirrors++;
out:
	mutex_unlock(&xm_mms_mutex);
	return s;
}

static void xm_mm_put(struct xm_mm *s)
{
	mutex_lock(&xm_mms_mutex);
	if (!--s->mirrors) {
		list_del(&s->node);
		kfree(s);
	}
	mutex_unlock(&xm_mms_mutex);
}

/*
 * Is it only for us that the address space is still there? Engines with endless
 * jobs would keep it alive for each other for ever. Calls come and go while this
 * looks: those that are surely under way when mm_users is read are the ones that
 * had entered before, without any that have left by the time after. So this is
 * never wrong about a living process; where it is late the next call sees it.
 */
static bool xm_abandoned(struct xmirror *m)
{
	unsigned int entered, users, left;

	entered = atomic_read(&m->shared->entered);
	smp_rmb(); /* pairs with xm_enter() */
	users = atomic_read(&m->mm->mm_users);
	smp_rmb(); /* pairs with xm_leave() */
	left = atomic_read(&m->shared->left);
	return (int)(users - (entered - left)) <= 0;
}

/* Begin a call: 0, -ECANCELED, or -ESRCH if there is no address space. */
int xm_enter(struct xmirror *m)
{
	if (READ_ONCE(m->stopped))
		return -ECANCELED;
	if (!mmget_not_zero(m->mm))
		return -ESRCH;
	smp_mb__before_atomic(); /* mm_users first: see xm_abandoned() */
	atomic_inc(&m->shared->entered);
	if (!xm_abandoned(m))
		return 0;
	xm_leave(m);
	return -ESRCH;
}

/* End a call. May be the last user of the mm: no lock may be held. */
void xm_leave(struct xmirror *m)
{
	atomic_inc(&m->shared->left);
	smp_mb__after_atomic(); /* mm_users last: see xm_abandoned() */
	mmput(m->mm);
}

int xm_check_range(struct xmirror *m, unsigned long start, unsigned long end)
{
	if (!PAGE_ALIGNED(start) || !PAGE_ALIGNED(end) || start >= end)
		return -EINVAL;
	return end <= m->mm->task_size ? 0 : -EFAULT;
}

/* Called between two pieces of work. */
int xm_may_go_on(struct xmirror *m)
{
	if (READ_ONCE(m->stopped))
		return -ECANCELED;
	if (fatal_signal_pending(current))
		return -EINTR;
	if (xm_abandoned(m))
		return -ESRCH;
	cond_resched();
	return 0;
}

/* Called between two tries at the same piece. */
int xm_may_retry(struct xmirror *m, unsigned long deadline)
{
	return time_after(jiffies, deadline) ? -EBUSY : xm_may_go_on(m);
}

/**
 * xmirror_create() - begin to mirror an address space
 * @mm: the address space
 * @dm: the device's own memory, or NULL; has to stay until xmirror_destroy()
 * @ops: may be NULL; has to stay valid until xmirror_destroy()
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
	xa_init(&m->chunks);
	mutex_init(&m->chunk_mutex);
	xm_mirror_add(m);
	return m;
}
EXPORT_SYMBOL_GPL(xmirror_create);

/**
 * xmirror_stop() - make all calls on a mirror fail
 * @m: the mirror
 *
 * Calls that are running end soon with -ECANCELED, new ones fail with it at
 * once. For a driver that has to get its engines off a mirror before
 * xmirror_destroy(). Cannot be undone.
 *
 * Context: any.
 */
void xmirror_stop(struct xmirror *m)
{
	WRITE_ONCE(m->stopped, true);
}
EXPORT_SYMBOL_GPL(xmirror_stop);

/* Give every exclusive page back, as long as there is somebody to have it. */
static void xm_restore_all(struct xmirror *m, struct xm_chunk *chunk)
{
	unsigned long addr;

	for (addr = chunk->start; addr < chunk->end; addr += PAGE_SIZE) {
		if (!READ_ONCE(chunk->used[xm_slot_index(chunk, addr)])) {
			addr = ALIGN(addr + 1, XM_TABLE_SIZE) - PAGE_SIZE;
			continue;
		}
		if (xm_allows(chunk, addr, XMIRROR_PTE_EXCLUSIVE))
			xm_restore(m, addr, false);
		cond_resched();
	}
}

/**
 * xmirror_destroy() - end a mirror
 * @m: the mirror
 *
 * Exclusive pages go back to the CPU, what the device wrote goes to the folios,
 * device memory that was allocated for this mirror goes back to system memory,
 * and no reference to the mm or its pages is left. A caller that was killed waits
 * for no mmap_lock: an exclusive entry that stays for that ends when the CPU needs
 * the page. No other call on the mirror may be running or follow, and nobody may be
 * kept at a sync point of it.
 *
 * Context: may sleep; must not be called from a notifier.
 */
void xmirror_destroy(struct xmirror *m)
{
	struct xm_chunk *chunk;
	unsigned long index;

	xmirror_stop(m);
	/* From now on it ends before it looks at a chunk. */
	xm_fork_cancel(m);
	xm_mirror_remove(m);
	if (mmget_not_zero(m->mm)) {
		xa_for_each(&m->chunks, index, chunk)
			xm_restore_all(m, chunk);
		mmput(m->mm);
	}
	xa_for_each(&m->chunks, index, chunk) {
		/* While the notifier is there the leaves' pages are, too. */
		write_lock(&chunk->lock);
		xm_clear_range(chunk, chunk->start, chunk->end, true);
		write_unlock(&chunk->lock);
		mmu_interval_notifier_remove(&chunk->notifier);
		kvfree(chunk);
	}
	xa_destroy(&m->chunks);
	/* A notifier may have started it in between; there is none any more. */
	xm_fork_cancel(m);
	xmirror_evict(m);
	xm_mm_put(m->shared);
	mmdrop(m->mm);
	kfree(m);
}
EXPORT_SYMBOL_GPL(xmirror_destroy);

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
 * xmirror_granule() - the largest piece that the device maps
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
 * xmirror_set_granule() - tell how large a piece the device can map
 * @m: the mirror
 * @bytes: PAGE_SIZE, 64 KiB or 2 MiB; %ULONG_MAX: the largest there is
 *
 * A device fault looks at the whole granule around the address. What is there
 * already is mapped, too, and nothing else is faulted in: a neighbour that is
 * missing or forbidden never makes an access fail. Leaves are made as large as
 * the granule, their alignment and the memory behind them allow. Leaves that
 * are there stay as they are.
 *
 * Context: any.
 * Return: 0, or -EINVAL for another size.
 */
int xmirror_set_granule(struct xmirror *m, unsigned long bytes)
{
	if (bytes == ULONG_MAX)
		bytes = XM_TABLE_SIZE;
	if (bytes != PAGE_SIZE && bytes != XM_GROUP_SIZE &&
	    bytes != XM_TABLE_SIZE)
		return -EINVAL;
	WRITE_ONCE(m->granule, bytes);
	return 0;
}
EXPORT_SYMBOL_GPL(xmirror_set_granule);

/**
 * xmirror_points_get() - have &struct xmirror_ops.point called
 *
 * Context: may sleep.
 */
void xmirror_points_get(void)
{
	static_branch_deferred_inc(&xm_points_key);
}
EXPORT_SYMBOL_GPL(xmirror_points_get);

/**
 * xmirror_points_put() - undo one xmirror_points_get()
 *
 * Context: may sleep.
 */
void xmirror_points_put(void)
{
	static_branch_slow_dec_deferred(&xm_points_key);
}
EXPORT_SYMBOL_GPL(xmirror_points_put);

static int __init xm_init(void)
{
	if (chunk_mb < 2 || chunk_mb > 4096 || !is_power_of_2(chunk_mb)) {
		pr_err("xmirror: chunk_mb=%u is not a power of two from 2 to 4096\n",
		       chunk_mb);
		return -EINVAL;
	}
	xm_chunk_shift = ilog2(chunk_mb) + 20;
	return xm_fork_init();
}

static void __exit xm_exit(void)
{
	static_key_deferred_flush(&xm_points_key);
	xm_fork_exit();
}

module_init(xm_init);
module_exit(xm_exit);

MODULE_DESCRIPTION("Device-side shared virtual memory: mirror, exclusive entries");
MODULE_LICENSE("GPL");
MODULE_VERSION("0.1");
MODULE_INFO(test, "Y");
