/* SPDX-License-Identifier: GPL-2.0 */
/* Engines and their jobs; the rules are in engine.c. */
#ifndef _XT_ENGINE_H
#define _XT_ENGINE_H

#include <linux/list.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/wait.h>
#include <uapi/linux/xmirror.h>
#include "hw.h"

struct task_struct;
struct xmirror;
struct xt_file;
struct xt_job;

/**
 * struct xt_engine - a thread that works off a queue of jobs
 * @lock: its lock
 * @queue: jobs that wait for the engine, next one first
 * @wait: where the idle engine sleeps
 * @task: its thread
 * @job: what the thread runs, NULL if it is idle; only the thread looks
 * @id: number of the engine on its device
 * @tlb: its last translations; only the thread looks
 */
struct xt_engine {
	spinlock_t lock; /* protects @queue */
	struct list_head queue;
	wait_queue_head_t wait;
	struct task_struct *task;
	struct xt_job *job;
	unsigned int id;
	struct xt_tlb tlb;
};

int xt_engine_start(struct xt_engine *e, unsigned int dev, unsigned int id);
void xt_engine_stop(struct xt_engine *e);
int xt_engine_check(struct xmirror *m);
bool xt_engine_cancelled(void);

void xt_jobs_init(struct xt_file *f);
void xt_jobs_close(struct xt_file *f);
void xt_jobs_free(struct xt_file *f);
bool xt_jobs_finished(struct xt_file *f);
u64 xt_jobs_count(struct xt_file *f);
int xt_submit(struct xt_file *f, struct xmirror_submit *s);
int xt_wait(struct xt_file *f, struct xmirror_wait *w);

#endif /* _XT_ENGINE_H */
