/* SPDX-License-Identifier: GPL-2.0 */
/*
 * xmirror_test internals: a device has a node and engines, an open file has a
 * mirror, jobs, armed sync points and injected failures.
 *
 * Lock order, outermost first:
 *
 *	any lock under which src/ reaches a sync point
 *	xt_file.sync_lock
 *
 *	xt_file.job_lock
 *	xt_engine.lock
 *
 *	xm_resident.lock of src/
 *	xt_queues.lock
 *	xmirror_interval.lock
 *
 *	xt_raw_file.lock
 *	mmap_lock
 *	xt_vram.lock
 *	any lock that mapping or unmapping a page takes
 *
 * The groups never nest, but for a sync point that is reached by unmapping.
 * xt_vram.lock and xt_raw_file.lock are mutexes, mmap_lock is a semaphore, and all
 * others are plain spinning locks that are never taken in interrupts.
 *
 * Taken with none of these: xt_files_lock, a spinning lock, and the mutexes
 * xt_hold_mutex, xt_sync_mutex and xt_pool_mutex. Innermost: xt_raw_notifier.lock, and
 * xt_raw_pool.lock with interrupts off.
 */
#ifndef _XT_TEST_DRIVER_H
#define _XT_TEST_DRIVER_H

#include <linux/list.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/wait.h>
#include <uapi/linux/xmirror.h>
#include <xmirror/points.h>
#include <xmirror/xmirror.h>
#include "engine.h"
#include "hold.h"
#include "hw.h"
#include "raw.h"
#include "vram.h"

#define XT_MAX_DEVICES	16
#define XT_MAX_ENGINES	16

struct file;
struct vm_area_struct;

/**
 * struct xt_inject - how one thing fails
 * @skip: how many more go well
 * @times: how many fail then, %U64_MAX for all
 * @error: negative errno that they fail with
 * @delay: jiffies of a delay
 * @hits: how many there were
 * @injected: how many of them failed
 */
struct xt_inject {
	u64 skip;
	u64 times;
	int error;
	unsigned long delay;
	u64 hits;
	u64 injected;
};

/**
 * struct xt_device - a fake accelerator
 * @id: its number
 * @mem: its memory, NULL if the kernel has no such thing
 * @vram: its memory that can be mapped
 * @engines: xt_nr_engines of them are in use
 */
struct xt_device {
	unsigned int id;
	struct xt_memory *mem;
	struct xt_vram vram;
	struct xt_engine engines[XT_MAX_ENGINES];
};

/**
 * struct xt_file - an open file of a device
 * @dev: the device
 * @node: on the list of all files, in the order of @id
 * @id: a number that no other file has or had
 * @visitors: threads of others at a sync point of this file
 * @mirror: what the device sees of the opener's mm
 * @hw: the hardware's part of it
 * @vram: how mappings of this file behave
 * @raw: notifiers of the test's own
 * @job_lock: lock of the jobs
 * @unfinished: jobs that are queued or running, in the order of their fences
 * @finished: jobs that nobody has waited for, in the order they were done
 * @nr_jobs: jobs on both lists
 * @last_fence: number of the newest job
 * @nr_finished: jobs finished since open
 * @closed: nobody has the file any more
 * @job_wait: woken when a job was finished or its record went
 * @sync_lock: lock of the sync points
 * @syncs: sync points, in the order they were armed
 * @nr_syncs: how many are on @syncs
 * @nr_armed: how many of them have not been reached
 * @last_id: number of the newest sync point
 * @injecting: a bit for each of @inject that is armed
 * @inject: by &enum xmirror_inject_what
 * @sync_wait: woken when a sync point was reached or resumed, or a delay ends
 */
struct xt_file {
	struct xt_device *dev;
	struct list_head node;
	u64 id;
	atomic_t visitors;
	struct xmirror *mirror;
	struct xt_hw hw;
	struct xt_vram_file vram;
	struct xt_raw_file raw;

	spinlock_t job_lock; /* protects the members up to @nr_finished */
	struct list_head unfinished;
	struct list_head finished;
	unsigned int nr_jobs;
	u64 last_fence;
	u64 nr_finished;
	bool closed;
	wait_queue_head_t job_wait;

	spinlock_t sync_lock; /* protects the members up to @inject */
	struct list_head syncs;
	unsigned int nr_syncs;
	unsigned int nr_armed;
	u32 last_id;
	unsigned int injecting;
	struct xt_inject inject[XMIRROR_INJECT_NR];
	wait_queue_head_t sync_wait;
};

/**
 * struct xt_rw - a copy between the mirrored mm and the caller's memory
 * @hw: the hardware
 * @addr: first byte in the mirrored mm
 * @length: bytes, not zero
 * @buf: the caller's memory
 * @write: from @buf to the mirrored mm
 * @done: bytes copied
 */
struct xt_rw {
	struct xt_hw *hw;
	u64 addr;
	u64 length;
	void __user *buf;
	bool write;
	u64 done;
};

/* main.c */
extern unsigned int xt_nr_devices;
extern unsigned int xt_nr_engines;
struct xt_device *xt_device_get(unsigned int id);

/* file.c */
extern const struct file_operations xt_fops;
void xt_file_free(void *priv);
void xt_point_device(struct xmirror_devmem *dm, struct mm_struct *mm,
		     const struct xm_visit *visit);
int xt_inject_device(struct xmirror_devmem *dm, enum xmirror_inject_what what);

/* bare.c */
int xt_exclusive_bare(struct xmirror *m, unsigned long start,
		      unsigned long end, bool late, unsigned long *done);

/* convert.c */
void xt_get_stats(struct xt_file *f, struct xmirror_stats *s);
void xt_get_page(const struct xmirror_view *v, struct xmirror_page *page);

/* info.c */
void xt_get_info(struct xmirror_info *info, bool memory);

/* ioctl.c */
long xt_ioctl(struct file *file, unsigned int cmd, unsigned long arg);
int xt_check_range(struct xt_file *f, u64 addr, u64 length, u64 align);
int xt_may_corrupt(void);
u32 xt_ms_left(u32 ms, unsigned long start);
int xt_rw(struct xt_rw *rw);

/* queues.c */
int xt_resident(struct xt_file *f, struct xmirror_resident *r);

/* nodes.c */
int xt_nodes_init(unsigned int nr, unsigned int nr_dmirrors);
void xt_nodes_exit(void);

/* vram.c */
int xt_vram_init(struct xt_vram *vram, u64 size, int node);
void xt_vram_exit(struct xt_vram *vram);
void xt_vram_open(struct xt_file *f, struct file *file);
void xt_vram_close(struct xt_file *f);
int xt_vram_mmap(struct file *file, struct vm_area_struct *vma);
int xt_vram_set_granule(struct xt_file *f, u64 *value);
int xt_vram_set_unsafe(struct xt_file *f, u64 *value);
int xt_vram_ioctl(struct xt_file *f, struct xmirror_vram *v);

/* inject.c */
int xt_inject(struct xt_file *f, struct xmirror_inject *inj);
int xt_inject_file(struct xt_file *f, enum xmirror_inject_what what,
		   bool can_sleep);
int xt_point(struct xmirror *m, const struct xm_visit *visit);
extern const struct xmirror_hooks xt_hooks;
void xt_inject_close(struct xt_file *f);

/* syncpoint.c */
extern bool xt_points_on;
void xt_points_switch_on(void);
void xt_sync_init(struct xt_file *f);
void xt_sync_close(struct xt_file *f);
void xt_sync_exit(void);
int xt_sync(struct xt_file *f, struct xmirror_sync *s);
int xt_sync_point(struct xt_file *f, const struct xm_visit *visit);

/* Has the file sync points, armed or reached? What is armed meanwhile came later. */
static inline bool xt_sync_any(struct xt_file *f)
{
	return !list_empty(&f->syncs);
}

/* Has a file ever armed anything? Who reads it late came before. */
static inline bool xt_points_are_on(void)
{
	return READ_ONCE(xt_points_on);
}

#endif /* _XT_TEST_DRIVER_H */
