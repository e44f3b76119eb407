/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Raw calls: the kernel's functions as a test asks for them, see uapi/linux/xmirror.h.
 *
 * A function that returns int returns what the kernel's function did, or the negative
 * errno of the ioctl, unless said otherwise.
 */
#ifndef XM_LIBRAW_H
#define XM_LIBRAW_H

#include "proc.h"
#include "xm.h"

/** RAW_NEW: exclusive entries as they are since Linux 6.15, see uapi. */
#define RAW_NEW		(!!(xm_caps() & XMIRROR_CAP_EXCLUSIVE_LARGE))

/** raw_exclusive: make_device_exclusive() of @nr pages; @pfns may be NULL. */
int raw_exclusive(int fd, const void *addr, unsigned int nr, __u32 owner,
		  __u64 *pfns);

/** raw_hmm: hmm_range_fault() of @nr pages with @r's default_flags, mask, owner. */
int raw_hmm(int fd, const void *addr, size_t nr, struct xmirror_raw_hmm *r,
	    struct xmirror_raw_pfn *pfns);
/** raw_hmm_one: the same for one page, nobody's, @req for it; *@pfn may be NULL. */
int raw_hmm_one(int fd, const void *addr, __u32 req, __u32 owner,
		struct xmirror_raw_pfn *pfn);

/**
 * raw_migrate: a migration of @nr pages; of @r only flags and owner are used, and
 * everything is filled in. 0 or what migrate_vma_setup() returned.
 */
int raw_migrate(int fd, const void *addr, size_t nr,
		struct xmirror_raw_migrate *r, struct xmirror_raw_move *moves);
/** raw_to: all pages of the system to @dst; pages moved or a negative errno. */
long raw_to(int fd, const void *addr, size_t nr, enum xmirror_raw_dst dst);
/**
 * raw_work_to_small: for a worker: @len bytes at @addr, huge pages of which are collected
 * as one, go to small pages of the pool; @done: pages that moved.
 */
int raw_work_to_small(struct worker *w);
/** raw_back: all pages of the pool to system memory; the same. */
long raw_back(int fd, const void *addr, size_t nr);

/** raw_state: 0 or a negative errno. */
int raw_state(int fd, const void *addr, size_t nr,
	      struct xmirror_raw_page *pages);
/** raw_page: the page at @addr; all zero if that failed. */
struct xmirror_raw_page raw_page(int fd, const volatile void *addr);
/**
 * raw_held: references to the folio at @addr that are neither of a mapping nor of
 * the swap cache, after the LRU batches have been drained: of somebody who has it
 * pinned, or who has forgotten it. -ENOENT where there is no page. How many the swap
 * cache has of a large folio is not known: 0.
 */
int raw_held(int fd, const volatile void *addr);
/** EXPECT_UNHELD: only mappings and the swap cache refer to the page at @p. */
#define EXPECT_UNHELD(fd, p) \
	do { \
		int unheld_refs = raw_held((fd), (p)); \
		EXPECT_EQ(0, unheld_refs) \
			TH_LOG("references that are left, or an errno: %d", \
			       unheld_refs); \
	} while (0)

/** raw_notifier: the ioctl's own return value; @r->id and what @cmd needs are set. */
int raw_notifier(int fd, __u32 cmd, struct xmirror_raw_notifier *r);
/** raw_insert: a notifier for @len bytes at @addr: its number or a negative errno. */
int raw_insert(int fd, const void *addr, size_t len);
/** raw_insert_as: the same with @flags, XMIRROR_RAW_PLAIN or _TWO_PASSES. */
int raw_insert_as(int fd, const void *addr, size_t len, __u32 flags);
/** raw_look: the counters of @id; all zero if that failed. */
struct xmirror_raw_notifier raw_look(int fd, int id);
/** raw_begin: mmu_interval_read_begin() of @id, 0 if that failed. */
__u64 raw_begin(int fd, int id);
/** raw_retry: mmu_interval_read_retry() of @id, 0 or 1; or a negative errno */
int raw_retry(int fd, int id, __u64 seq);
/** raw_work_begin: for a worker: raw_begin() of notifier @done, to @arg. */
int raw_work_begin(struct worker *w);
/** raw_tell: a command without arguments. */
int raw_tell(int fd, __u32 cmd, int id);
/** raw_hits: invalidations that @id has heard, -1: no such */
long raw_hits(int fd, int id);

#endif
