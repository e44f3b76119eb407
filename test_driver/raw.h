/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Raw calls: the kernel's functions, with nothing of src/ between a test and them.
 *
 *	raw.c		make_device_exclusive(), hmm_range_fault(), what an entry is
 *	raw_migrate.c	migrate_vma_setup(), _pages(), _finalize(), migrate_device_*()
 *	raw_pool.c	private memory for them
 *	raw_notifier.c	interval notifiers and plain ones
 *
 * Each call takes what it needs and lets go of all before it returns to user space,
 * so that nobody who dies in between leaves anything behind. Only the notifiers stay,
 * until their file closes.
 */
#ifndef _XT_RAW_H
#define _XT_RAW_H

#include <linux/mutex.h>
#include <linux/types.h>
#include <xmirror/points.h>

#define XT_RAW_NOTIFIERS	16

struct page;
struct vm_fault;
struct xt_file;
struct xt_raw_notifier;

/**
 * struct xt_raw_file - the notifiers of a file
 * @lock: protects @nr and who removes what
 * @nr: how many of @notifier there are
 * @notifier: they stay until the file closes
 */
struct xt_raw_file {
	struct mutex lock; /* see above */
	unsigned int nr;
	struct xt_raw_notifier *notifier[XT_RAW_NOTIFIERS];
};

/* raw.c */
void *xt_raw_owner(struct xt_file *f, u32 owner);
void xt_raw_point(struct xt_file *f, enum xm_point point, unsigned long start,
		  unsigned long end);
int xt_raw_exclusive(struct xt_file *f, struct xmirror_raw_exclusive *r);
int xt_raw_hmm(struct xt_file *f, struct xmirror_raw_hmm *r);
int xt_raw_state(struct xt_file *f, struct xmirror_raw_state *r);

/* raw_migrate.c */
int xt_raw_migrate(struct xt_file *f, struct xmirror_raw_migrate *r);
vm_fault_t xt_raw_to_ram(struct vm_fault *vmf);
void xt_raw_evict(unsigned long pfn, unsigned long nr);

/* raw_pool.c */
int xt_raw_pool_get(void);
void *xt_raw_pool_owner(void);
bool xt_raw_pool_has(unsigned long pfn, unsigned long nr);
struct page *xt_raw_pool_alloc(unsigned int order);
struct page *xt_raw_pool_data(struct page *page);
struct page *xt_raw_pool_any(void);
void xt_raw_pool_exit(void);

/* raw_notifier.c */
void xt_raw_open(struct xt_file *f);
void xt_raw_close(struct xt_file *f);
int xt_raw_notifier(struct xt_file *f, struct xmirror_raw_notifier *r);

#endif /* _XT_RAW_H */
