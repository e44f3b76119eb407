// SPDX-License-Identifier: GPL-2.0
/*
 * Engines: threads that run jobs, which are lists of commands.
 *
 * Life cycle of a job. It is made by xt_submit() and belongs to its file until
 * a successful xt_wait() or the file's release frees it. It is
 *
 *	queued		on xt_file.unfinished and xt_engine.queue
 *	running		on xt_file.unfinished only; the engine works on it
 *	finished	on xt_file.finished; the engine has forgotten it
 *
 * and goes back from running to queued when it makes way for other files.
 *
 * xt_file.job_lock protects the file's lists and goes outside xt_engine.lock,
 * which protects the queue. Whoever takes a job from the queue, the engine to
 * run it or xt_job_cancel() to end it, is the only one to finish it. Position,
 * counts and results are the engine's alone until the job is finished, and
 * constant from then on.
 *
 * A job is finished, its waiters woken and its eventfd signalled in one section
 * of job_lock, so that a waiter finds the eventfd signalled. A running job has a
 * reference to the mirror, with which the file goes (xt_file_free()): a file can be
 * closed while an engine is inside a fault for it.
 *
 * An engine works in slices of a bounded number of locations, and looks between
 * them whether others wait. Wherever a call can be given up, also between two
 * tries at the same page, it looks whether the job was cancelled, and stands
 * still while the system is suspended: no device writes to memory that is being
 * saved. It does both as well where it waits for the queues of the job's file. Only an
 * engine that is held at a sync point does neither until it is let go.
 */

#include <linux/bits.h>
#include <linux/err.h>
#include <linux/eventfd.h>
#include <linux/freezer.h>
#include <linux/jiffies.h>
#include <linux/kthread.h>
#include <linux/limits.h>
#include <linux/log2.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/nospec.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include "compat.h"
#include "test_driver.h"
#include "trace.h"

/* Locations that a job works on before its engine looks around. */
#define XT_SLICE	4096

/* How long a file that is closed waits for a job that runs */
#define XT_CLOSE_TIME	(HZ / 2)

/* Jobs of a file that have not been waited for. */
#define XT_MAX_JOBS	256

/**
 * struct xt_job - a list of commands, its progress and its results
 * @node: on a list of the file
 * @queue: on the engine's queue, else empty
 * @file: who submitted it
 * @engine: who runs it
 * @fence: its number
 * @eventfd: signalled when it is finished, or NULL
 * @cmds: the commands
 * @results: for each of them, the result of its last location
 * @nr_cmds: number of commands
 * @repeat: how often the list is to be run
 * @round: how often it was
 * @cmd: the command that comes next
 * @loc: locations of it that are done
 * @ops: locations done by all commands
 * @status: 0 or a negative errno, once finished
 * @cancel: it has to end; set under job_lock
 * @claimed: somebody has waited for it and copies the results
 */
struct xt_job {
	struct list_head node;
	struct list_head queue;
	struct xt_file *file;
	struct xt_engine *engine;
	u64 fence;
	struct eventfd_ctx *eventfd;
	struct xmirror_cmd *cmds;
	u64 *results;
	unsigned int nr_cmds;
	u64 repeat;
	u64 round;
	unsigned int cmd;
	u32 loc;
	u64 ops;
	int status;
	bool cancel;
	bool claimed;
};

static void xt_job_free(struct xt_job *job)
{
	if (job->eventfd)
		eventfd_ctx_put(job->eventfd);
	kvfree(job->results);
	kvfree(job->cmds);
	kfree(job);
}

static void xt_job_finish_locked(struct xt_job *job, int status)
{
	struct xt_file *f = job->file;

	lockdep_assert_held(&f->job_lock);
	trace_xt_job_done(f->dev->id, job->engine->id, job->fence, status,
			  job->ops);
	job->status = status;
	f->nr_finished++;
	list_move_tail(&job->node, &f->finished);
	if (job->eventfd)
		xm_eventfd_signal(job->eventfd);
	wake_up(&f->job_wait);
}

/* A running job ends at the next look of its engine, a queued one at once. */
static void xt_job_cancel_locked(struct xt_job *job)
{
	struct xt_engine *e = job->engine;
	bool queued;

	lockdep_assert_held(&job->file->job_lock);
	spin_lock(&e->lock);
	WRITE_ONCE(job->cancel, true);
	queued = !list_empty(&job->queue);
	list_del_init(&job->queue);
	spin_unlock(&e->lock);
	if (queued)
		xt_job_finish_locked(job, -ECANCELED);
	else
		wake_up_all(&job->file->hw.queues.wait);
}

static int xt_job_check(struct xt_job *job)
{
	try_to_freeze();
	return READ_ONCE(job->cancel) ? -ECANCELED : 0;
}

/*
 * Run the job for a slice: 0, a negative errno, or 1 if there is more to do.
 */
static int xt_job_run(struct xt_job *job)
{
	unsigned int done = 0;

	while (done < XT_SLICE) {
		const struct xmirror_cmd *c = &job->cmds[job->cmd];
		struct xt_access a = {
			.op = c->op,
			.width = c->width,
			.addr = c->addr + (u64)c->stride * job->loc,
			.stride = c->stride,
			.count = min_t(u32, c->count - job->loc,
				       XT_SLICE - done),
			.operand = c->operand,
			.compare = c->compare,
			.tlb = &job->engine->tlb,
		};
		int ret;

		ret = xt_job_check(job);
		if (ret)
			return ret;
		ret = xt_access(&job->file->hw, &a);
		done += a.done;
		job->loc += a.done;
		job->ops += a.done;
		if (a.done)
			job->results[job->cmd] = a.result;
		if (ret)
			return ret;

		if (job->loc < c->count)
			continue;
		job->loc = 0;
		if (++job->cmd < job->nr_cmds)
			continue;
		if (++job->round == job->repeat)
			return 0;
		job->cmd = 0;
	}
	return 1;
}

static struct xt_job *xt_engine_next(struct xt_engine *e)
{
	struct xt_job *job;

	spin_lock(&e->lock);
	job = list_first_entry_or_null(&e->queue, struct xt_job, queue);
	if (job) {
		list_del_init(&job->queue);
		/* Until it is finished or queued again, whatever the file does */
		xmirror_get(job->file->mirror);
	}
	spin_unlock(&e->lock);
	return job;
}

/*
 * If another file's job waits, put @job behind it and return true; @job is not
 * the caller's then. Later jobs of the same file go along, so that the jobs of
 * one file keep their order.
 */
static bool xt_engine_make_way(struct xt_engine *e, struct xt_job *job)
{
	struct xt_job *pos, *next;
	bool others = false;
	LIST_HEAD(own);

	spin_lock(&e->lock);
	list_for_each_entry(pos, &e->queue, queue) {
		if (pos->file != job->file) {
			others = true;
			break;
		}
	}
	/* Once queued, a cancelled job would wait for nobody's sake. */
	if (!others || job->cancel) {
		spin_unlock(&e->lock);
		return false;
	}

	list_add(&job->queue, &own);
	list_for_each_entry_safe(pos, next, &e->queue, queue) {
		if (pos->file == job->file)
			list_move_tail(&pos->queue, &own);
	}
	list_splice_tail(&own, &e->queue);
	/* Not cancelled, so that the file has its reference, too. */
	xmirror_put(job->file->mirror);
	spin_unlock(&e->lock);
	return true;
}

static void xt_engine_run(struct xt_engine *e, struct xt_job *job)
{
	struct xt_file *f = job->file;
	struct xmirror *m = f->mirror;
	bool closed;
	int ret;

	for (;;) {
		ret = xt_job_run(job);
		cond_resched();
		if (ret <= 0)
			break;
		if (xt_engine_make_way(e, job))
			return;
	}
	spin_lock(&f->job_lock);
	closed = f->closed;
	/* Before who waits for the job is woken: the file has one, too. */
	if (!closed)
		xmirror_put(m);
	xt_job_finish_locked(job, ret);
	spin_unlock(&f->job_lock);
	if (closed)
		xmirror_put(m);
}

static int xt_engine_thread(void *data)
{
	struct xt_engine *e = data;
	struct xt_job *job;

	set_freezable();
	while (!kthread_should_stop()) {
		job = xt_engine_next(e);
		e->job = job;
		if (job)
			xt_engine_run(e, job);
		else
			wait_event_freezable(e->wait, kthread_should_stop() ||
					     !list_empty(&e->queue));
	}
	return 0;
}

/* &struct xmirror_ops.check */
int xt_engine_check(struct xmirror *m)
{
	struct xt_engine *e;

	if (!(current->flags & PF_KTHREAD) ||
	    kthread_func(current) != xt_engine_thread)
		return 0;
	e = kthread_data(current);
	return xt_job_check(e->job);
}

/* Has the job of the calling engine to end? */
bool xt_engine_cancelled(void)
{
	struct xt_engine *e = kthread_data(current);

	return READ_ONCE(e->job->cancel);
}

int xt_engine_start(struct xt_engine *e, unsigned int dev, unsigned int id)
{
	spin_lock_init(&e->lock);
	INIT_LIST_HEAD(&e->queue);
	init_waitqueue_head(&e->wait);
	e->id = id;
	e->task = kthread_run(xt_engine_thread, e, "xmirror%u/%u", dev, id);
	return PTR_ERR_OR_ZERO(e->task);
}

/* No file of the device may be open. */
void xt_engine_stop(struct xt_engine *e)
{
	kthread_stop(e->task);
}

static int xt_cmd_check(const struct xmirror_cmd *c)
{
	u64 mask = c->width - 1;

	if (c->op >= XMIRROR_OP_NR || c->__reserved || !c->count)
		return -EINVAL;
	if (!is_power_of_2(c->width) || c->width > sizeof(u64))
		return -EINVAL;
	if (c->addr & mask || c->stride & mask)
		return -EINVAL;
	if (c->compare && c->op != XMIRROR_OP_CMPXCHG)
		return -EINVAL;
	return 0;
}

static int xt_submit_check(const struct xmirror_submit *s)
{
	if (s->flags & ~XMIRROR_SUBMIT_EVENTFD || s->__reserved)
		return -EINVAL;
	if (s->eventfd && !(s->flags & XMIRROR_SUBMIT_EVENTFD))
		return -EINVAL;
	if (s->engine >= xt_nr_engines || !s->repeat)
		return -EINVAL;
	if (!s->nr_cmds || s->nr_cmds > XMIRROR_MAX_CMDS)
		return -EINVAL;
	return 0;
}

static int xt_job_get_cmds(struct xt_job *job, const struct xmirror_submit *s)
{
	struct xmirror_cmd *cmds;
	unsigned int i;
	u64 mask;
	int ret;

	/* vmemdup_user() charges nobody. */
	cmds = kvmalloc_array(s->nr_cmds, sizeof(*cmds), GFP_KERNEL_ACCOUNT);
	if (!cmds)
		return -ENOMEM;
	job->cmds = cmds;
	job->nr_cmds = s->nr_cmds;
	if (copy_from_user(cmds, u64_to_user_ptr(s->cmds),
			   s->nr_cmds * sizeof(*cmds)))
		return -EFAULT;
	for (i = 0; i < s->nr_cmds; i++) {
		ret = xt_cmd_check(&cmds[i]);
		if (ret)
			return ret;
		mask = GENMASK_ULL(cmds[i].width * 8 - 1, 0);
		cmds[i].operand &= mask;
		cmds[i].compare &= mask;
	}

	job->results = kvcalloc(s->nr_cmds, sizeof(*job->results),
				GFP_KERNEL_ACCOUNT);
	return job->results ? 0 : -ENOMEM;
}

static int xt_job_get_eventfd(struct xt_job *job,
			      const struct xmirror_submit *s)
{
	struct eventfd_ctx *ctx;

	if (!(s->flags & XMIRROR_SUBMIT_EVENTFD))
		return 0;
	ctx = eventfd_ctx_fdget(s->eventfd);
	if (IS_ERR(ctx))
		return PTR_ERR(ctx);
	job->eventfd = ctx;
	return 0;
}

/* Give the job a fence, and to its engine: the fence, or 0 if there is no room. */
static u64 xt_job_queue(struct xt_job *job)
{
	struct xt_engine *e = job->engine;
	struct xt_file *f = job->file;
	u64 fence = 0;

	spin_lock(&f->job_lock);
	if (f->nr_jobs < XT_MAX_JOBS) {
		f->nr_jobs++;
		fence = ++f->last_fence;
		job->fence = fence;
		trace_xt_job_submit(f->dev->id, e->id, fence, job->nr_cmds,
				    job->repeat);
		list_add_tail(&job->node, &f->unfinished);
		spin_lock(&e->lock);
		list_add_tail(&job->queue, &e->queue);
		spin_unlock(&e->lock);
	}
	spin_unlock(&f->job_lock);
	if (fence)
		wake_up(&e->wait);
	return fence;
}

/* XMIRROR_IOC_SUBMIT */
int xt_submit(struct xt_file *f, struct xmirror_submit *s)
{
	struct xt_job *job;
	int ret;

	s->fence = 0;
	ret = xt_submit_check(s);
	if (ret)
		return ret;

	job = kzalloc_obj(*job, GFP_KERNEL_ACCOUNT);
	if (!job)
		return -ENOMEM;
	INIT_LIST_HEAD(&job->queue);
	job->file = f;
	job->engine = &f->dev->engines[array_index_nospec(s->engine,
							  xt_nr_engines)];
	job->repeat = s->repeat;
	ret = xt_job_get_cmds(job, s);
	if (ret)
		goto err;
	ret = xt_job_get_eventfd(job, s);
	if (ret)
		goto err;

	s->fence = xt_job_queue(job);
	if (s->fence)
		return 0;
	ret = -EAGAIN;
err:
	xt_job_free(job);
	return ret;
}

static struct xt_job *xt_job_find(struct list_head *list, u64 fence)
{
	struct xt_job *job;

	list_for_each_entry(job, list, node)
		if (job->fence == fence)
			return job;
	return NULL;
}

/* The first that was done and that nobody has claimed, by its @fence if that is not 0. */
static struct xt_job *xt_job_done_locked(struct xt_file *f, u64 fence)
{
	struct xt_job *job;

	list_for_each_entry(job, &f->finished, node)
		if (!job->claimed && (!fence || job->fence == fence))
			return job;
	return NULL;
}

/*
 * Claim the job of @fence, or with 0 the first that was done: the job, which is
 * the caller's to copy and free then, NULL if that has to be waited for, or
 * ERR_PTR(-ENOENT) if there is nothing to wait for.
 */
static struct xt_job *xt_job_claim(struct xt_file *f, u64 fence)
{
	struct xt_job *job;
	bool known;

	spin_lock(&f->job_lock);
	known = !fence ? f->nr_jobs : xt_job_find(&f->unfinished, fence) ||
				      xt_job_find(&f->finished, fence);
	job = xt_job_done_locked(f, fence);
	if (job)
		job->claimed = true;
	else if (!known)
		job = ERR_PTR(-ENOENT);
	spin_unlock(&f->job_lock);
	return job;
}

static void xt_job_unclaim(struct xt_job *job)
{
	struct xt_file *f = job->file;

	spin_lock(&f->job_lock);
	job->claimed = false;
	wake_up(&f->job_wait);
	spin_unlock(&f->job_lock);
}

/* Somebody may have begun to wait for the job before it was claimed. */
static void xt_job_remove(struct xt_job *job)
{
	struct xt_file *f = job->file;

	spin_lock(&f->job_lock);
	list_del(&job->node);
	f->nr_jobs--;
	wake_up(&f->job_wait);
	spin_unlock(&f->job_lock);
	xt_job_free(job);
}

/* Without a fence: the oldest, unless a finished one is unclaimed. */
static void xt_job_cancel(struct xt_file *f, u64 fence)
{
	struct xt_job *job = NULL;

	spin_lock(&f->job_lock);
	if (fence)
		job = xt_job_find(&f->unfinished, fence);
	else if (!xt_job_done_locked(f, 0))
		job = list_first_entry_or_null(&f->unfinished, struct xt_job,
					       node);
	if (job)
		xt_job_cancel_locked(job);
	spin_unlock(&f->job_lock);
}

/* XMIRROR_IOC_WAIT */
int xt_wait(struct xt_file *f, struct xmirror_wait *w)
{
	struct xt_job *job = NULL;
	u64 fence = w->fence;
	unsigned long start = jiffies;
	long timeout, left;
	unsigned int nr;

	w->status = 0;
	w->fence_done = 0;
	w->ops = 0;
	w->cmd = 0;
	if (w->flags & ~XMIRROR_WAIT_CANCEL)
		return -EINVAL;

	if (w->flags & XMIRROR_WAIT_CANCEL)
		xt_job_cancel(f, fence);
	timeout = w->timeout_ms == U32_MAX ? MAX_SCHEDULE_TIMEOUT :
					     msecs_to_jiffies(w->timeout_ms);
	left = wait_event_interruptible_timeout(f->job_wait,
						(job = xt_job_claim(f, fence)),
						timeout);
	if (left < 0) {
		w->timeout_ms = xt_ms_left(w->timeout_ms, start);
		/* A second call could cancel a second job. */
		return w->flags & XMIRROR_WAIT_CANCEL ? -EINTR : -ERESTARTSYS;
	}
	if (!left)
		return -ETIMEDOUT;
	if (IS_ERR(job))
		return PTR_ERR(job);

	nr = min(w->nr_results, job->nr_cmds);
	if (copy_to_user(u64_to_user_ptr(w->results), job->results,
			 nr * sizeof(*job->results))) {
		xt_job_unclaim(job);
		return -EFAULT;
	}
	w->status = job->status;
	w->fence_done = job->fence;
	w->ops = job->ops;
	w->cmd = job->cmd;
	w->nr_results = nr;
	xt_job_remove(job);
	return 0;
}

/* Is there a job that nobody has waited for? */
bool xt_jobs_finished(struct xt_file *f)
{
	bool ret;

	spin_lock(&f->job_lock);
	ret = xt_job_done_locked(f, 0);
	spin_unlock(&f->job_lock);
	return ret;
}

/* How many jobs were finished since open? */
u64 xt_jobs_count(struct xt_file *f)
{
	u64 ret;

	spin_lock(&f->job_lock);
	ret = f->nr_finished;
	spin_unlock(&f->job_lock);
	return ret;
}

void xt_jobs_init(struct xt_file *f)
{
	spin_lock_init(&f->job_lock);
	INIT_LIST_HEAD(&f->unfinished);
	INIT_LIST_HEAD(&f->finished);
	init_waitqueue_head(&f->job_wait);
}

/* The lock is needed: it is held to the end of xt_job_finish_locked(). */
static bool xt_jobs_idle(struct xt_file *f)
{
	bool ret;

	spin_lock(&f->job_lock);
	ret = list_empty(&f->unfinished);
	spin_unlock(&f->job_lock);
	return ret;
}

/*
 * End all jobs; the mirror is of no use afterwards. close() returns after its effects: a
 * running job gets half a second to notice. One that is inside a fault goes on, with a
 * reference to the mirror, until that ends.
 */
void xt_jobs_close(struct xt_file *f)
{
	struct xt_job *job, *next;

	spin_lock(&f->job_lock);
	list_for_each_entry_safe(job, next, &f->unfinished, node)
		xt_job_cancel_locked(job);
	spin_unlock(&f->job_lock);

	/* An engine may be inside a call that lasts longer than a slice. */
	xmirror_stop(f->mirror);
	wait_event_timeout(f->job_wait, xt_jobs_idle(f), XT_CLOSE_TIME);
	spin_lock(&f->job_lock);
	f->closed = true;
	spin_unlock(&f->job_lock);
}

/* All of them are finished. */
void xt_jobs_free(struct xt_file *f)
{
	struct xt_job *job, *next;

	list_for_each_entry_safe(job, next, &f->finished, node)
		xt_job_free(job);
}
