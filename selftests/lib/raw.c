// SPDX-License-Identifier: GPL-2.0
/*
 * Raw calls, see raw.h.
 */
#include <sched.h>

#include "memory.h"
#include "pagemap.h"
#include "raw.h"

int raw_exclusive(int fd, const void *addr, unsigned int nr, __u32 owner,
		  __u64 *pfns)
{
	__u64 none[16] = {};
	struct xmirror_raw_exclusive r = {
		.size = sizeof(r),
		.addr = (uintptr_t)addr,
		.owner = owner,
		.nr = nr,
		.pfns = (uintptr_t)(pfns ? pfns : none),
	};
	int err = xm_ioctl(fd, XMIRROR_IOC_RAW_EXCLUSIVE, &r);

	return err ? err : r.result;
}

int raw_hmm(int fd, const void *addr, size_t nr, struct xmirror_raw_hmm *r,
	    struct xmirror_raw_pfn *pfns)
{
	int err;

	r->size = sizeof(*r);
	r->addr = (uintptr_t)addr;
	r->length = nr * XM_PAGE;
	r->pfns = (uintptr_t)pfns;
	err = xm_ioctl(fd, XMIRROR_IOC_RAW_HMM, r);
	return err ? err : r->result;
}

int raw_hmm_one(int fd, const void *addr, __u32 req, __u32 owner,
		struct xmirror_raw_pfn *pfn)
{
	struct xmirror_raw_hmm r = { .default_flags = req, .owner = owner };
	struct xmirror_raw_pfn other = {};

	if (pfn)
		memset(pfn, 0, sizeof(*pfn));
	return raw_hmm(fd, addr, 1, &r, pfn ? pfn : &other);
}

int raw_migrate(int fd, const void *addr, size_t nr,
		struct xmirror_raw_migrate *r, struct xmirror_raw_move *moves)
{
	int err;

	r->size = sizeof(*r);
	r->addr = (uintptr_t)addr;
	r->length = nr * XM_PAGE;
	r->moves = (uintptr_t)moves;
	err = xm_ioctl(fd, XMIRROR_IOC_RAW_MIGRATE, r);
	return err ? err : r->result;
}

static long move_all(int fd, const void *addr, size_t nr, __u32 flags,
		     enum xmirror_raw_dst dst)
{
	struct xmirror_raw_migrate r = {
		.flags = flags,
		.owner = XMIRROR_RAW_POOL,
	};
	struct xmirror_raw_move *moves = calloc(nr, sizeof(*moves));
	long moved = 0;
	size_t i;
	int err;

	if (!moves)
		return -ENOMEM;
	for (i = 0; i < nr; i++)
		moves[i].dst = dst;
	if (dst >= XMIRROR_RAW_PRIVATE_LARGE)
		for (i = 0; i < nr; i++)
			if (i % (XM_PMD / XM_PAGE))
				moves[i].dst = XMIRROR_RAW_STAY;
	err = raw_migrate(fd, addr, nr, &r, moves);
	for (i = 0; i < nr; i++)
		if (moves[i].dst_pfn && moves[i].pages & XMIRROR_RAW_MIGRATE)
			moved += moves[i].dst >= XMIRROR_RAW_PRIVATE_LARGE ?
				 XM_PMD / XM_PAGE : 1;
	free(moves);
	return err ? err : moved;
}

long raw_to(int fd, const void *addr, size_t nr, enum xmirror_raw_dst dst)
{
	return move_all(fd, addr, nr, XMIRROR_RAW_SELECT_SYSTEM |
			(dst >= XMIRROR_RAW_PRIVATE_LARGE ?
			 XMIRROR_RAW_SELECT_COMPOUND : 0), dst);
}

long raw_back(int fd, const void *addr, size_t nr)
{
	return move_all(fd, addr, nr, XMIRROR_RAW_SELECT_PRIVATE,
			XMIRROR_RAW_SYSTEM);
}

int raw_work_to_small(struct worker *w)
{
	long moved = move_all(w->fd, w->addr, w->len / XM_PAGE,
			      XMIRROR_RAW_SELECT_SYSTEM | XMIRROR_RAW_SELECT_COMPOUND,
			      XMIRROR_RAW_PRIVATE);

	w->done = moved < 0 ? 0 : moved;
	return moved < 0 ? moved : 0;
}

int raw_state(int fd, const void *addr, size_t nr,
	      struct xmirror_raw_page *pages)
{
	struct xmirror_raw_state r = {
		.size = sizeof(r),
		.addr = (uintptr_t)addr,
		.length = nr * XM_PAGE,
		.pages = (uintptr_t)pages,
	};

	return xm_ioctl(fd, XMIRROR_IOC_RAW_STATE, &r);
}

struct xmirror_raw_page raw_page(int fd, const volatile void *addr)
{
	struct xmirror_raw_page page = {};

	if (raw_state(fd, (void *)((uintptr_t)addr & -XM_PAGE), 1, &page))
		memset(&page, 0, sizeof(page));
	return page;
}

int raw_held(int fd, const volatile void *addr)
{
	__u64 start = xm_now_ns(), pfn = raw_page(fd, addr).pfn;
	struct xmirror_raw_page page;
	int refs;

	/* folio_end_writeback() has a reference for a moment. */
	while (pfn && xm_kpageflags(pfn) & XM_KPF_WRITEBACK &&
	       !xm_expired(start, XM_LONG))
		sched_yield();
	xm_drain();
	page = raw_page(fd, addr);
	if (!page.pfn)
		return -ENOENT;
	refs = page.refs - page.maps;
	/* Before Linux 6.15 the entry has a reference, and is not counted as a mapping. */
	if (!RAW_NEW && page.entry & XMIRROR_ENTRY_EXCLUSIVE)
		refs--;
	if (!(page.folio & XMIRROR_FOLIO_SWAPCACHE))
		return refs;
	return page.folio & XMIRROR_FOLIO_LARGE ? 0 : refs - 1;
}

int raw_notifier(int fd, __u32 cmd, struct xmirror_raw_notifier *r)
{
	r->size = sizeof(*r);
	r->cmd = cmd;
	return xm_ioctl(fd, XMIRROR_IOC_RAW_NOTIFIER, r);
}

int raw_insert_as(int fd, const void *addr, size_t len, __u32 flags)
{
	struct xmirror_raw_notifier r = {
		.flags = flags,
		.addr = (uintptr_t)addr,
		.length = len,
	};
	int err = raw_notifier(fd, XMIRROR_RAW_INSERT, &r);

	return err ? err : r.result ? r.result : (int)r.id;
}

int raw_insert(int fd, const void *addr, size_t len)
{
	return raw_insert_as(fd, addr, len, 0);
}

struct xmirror_raw_notifier raw_look(int fd, int id)
{
	struct xmirror_raw_notifier r = { .id = id };

	if (raw_notifier(fd, XMIRROR_RAW_LOOK, &r))
		memset(&r, 0, sizeof(r));
	return r;
}

__u64 raw_begin(int fd, int id)
{
	struct xmirror_raw_notifier r = { .id = id };

	return raw_notifier(fd, XMIRROR_RAW_READ_BEGIN, &r) ? 0 : r.seq;
}

int raw_retry(int fd, int id, __u64 seq)
{
	struct xmirror_raw_notifier r = { .id = id, .seq = seq };
	int err = raw_notifier(fd, XMIRROR_RAW_READ_RETRY, &r);

	return err ? err : r.result;
}

int raw_work_begin(struct worker *w)
{
	w->arg = raw_begin(w->fd, w->done);
	return w->arg ? 0 : -EINVAL;
}

int raw_tell(int fd, __u32 cmd, int id)
{
	struct xmirror_raw_notifier r = { .id = id };

	return raw_notifier(fd, cmd, &r);
}

long raw_hits(int fd, int id)
{
	struct xmirror_raw_notifier r = { .id = id };

	return raw_notifier(fd, XMIRROR_RAW_LOOK, &r) ? -1 : (long)r.hits;
}
