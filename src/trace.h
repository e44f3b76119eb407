/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Trace events: every change of state of a mirror and of device memory. A mirror
 * is named by its id, which no other mirror has or had; device memory by the id
 * of the mirror that it was allocated for. "nr" and "leaves" are pages.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM xmirror

#if !defined(_XM_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _XM_TRACE_H

#include <linux/mmu_notifier.h>
#include <linux/tracepoint.h>

struct xmirror;

TRACE_DEFINE_ENUM(MMU_NOTIFY_UNMAP);
TRACE_DEFINE_ENUM(MMU_NOTIFY_CLEAR);
TRACE_DEFINE_ENUM(MMU_NOTIFY_PROTECTION_VMA);
TRACE_DEFINE_ENUM(MMU_NOTIFY_PROTECTION_PAGE);
TRACE_DEFINE_ENUM(MMU_NOTIFY_SOFT_DIRTY);
TRACE_DEFINE_ENUM(MMU_NOTIFY_RELEASE);
TRACE_DEFINE_ENUM(MMU_NOTIFY_MIGRATE);
TRACE_DEFINE_ENUM(MMU_NOTIFY_EXCLUSIVE);

#define xm_show_event(event)						\
	__print_symbolic(event,						\
		{ MMU_NOTIFY_UNMAP,		"UNMAP" },		\
		{ MMU_NOTIFY_CLEAR,		"CLEAR" },		\
		{ MMU_NOTIFY_PROTECTION_VMA,	"PROTECTION_VMA" },	\
		{ MMU_NOTIFY_PROTECTION_PAGE,	"PROTECTION_PAGE" },	\
		{ MMU_NOTIFY_SOFT_DIRTY,	"SOFT_DIRTY" },		\
		{ MMU_NOTIFY_RELEASE,		"RELEASE" },		\
		{ MMU_NOTIFY_MIGRATE,		"MIGRATE" },		\
		{ MMU_NOTIFY_EXCLUSIVE,		"EXCLUSIVE" })

TRACE_DEFINE_ENUM(XM_READ);
TRACE_DEFINE_ENUM(XM_WRITE);
TRACE_DEFINE_ENUM(XM_LOCAL);

#define xm_show_mode(mode)						\
	__print_symbolic(mode,						\
		{ XM_READ,		"read" },		\
		{ XM_WRITE,		"write" },		\
		{ XM_LOCAL,		"local" })

TRACE_DEFINE_ENUM(XM_RESIDENT_NONE);
TRACE_DEFINE_ENUM(XM_RESIDENT_MAPPED);
TRACE_DEFINE_ENUM(XM_RESIDENT_RESTORING);
TRACE_DEFINE_ENUM(XM_RESIDENT_SUSPENDED);

#define xm_show_resident(state)						\
	__print_symbolic(state,						\
		{ XM_RESIDENT_NONE,		"removed" },		\
		{ XM_RESIDENT_MAPPED,		"mapped" },		\
		{ XM_RESIDENT_RESTORING,	"restoring" },		\
		{ XM_RESIDENT_SUSPENDED,	"suspended" })

TRACE_DEFINE_ENUM(XM_V_PFN);
TRACE_DEFINE_ENUM(XM_V_ABSENT);
TRACE_DEFINE_ENUM(XM_V_WRITE);
TRACE_DEFINE_ENUM(XM_V_EXCLUSIVE);
TRACE_DEFINE_ENUM(XM_V_BITS);

#define xm_show_violation(kind)						\
	__print_symbolic(kind,						\
		{ XM_V_PFN,		"PFN" },		\
		{ XM_V_ABSENT,		"ABSENT" },		\
		{ XM_V_WRITE,		"WRITE" },		\
		{ XM_V_EXCLUSIVE,		"EXCLUSIVE" },		\
		{ XM_V_BITS,		"BITS" })

#define xm_show_pte(pte)						\
	__print_flags(pte, "|",						\
		{ XM_PTE_VALID,		"VALID" },		\
		{ XM_PTE_WRITE,		"WRITE" },		\
		{ XM_PTE_EXCLUSIVE,	"EXCLUSIVE" },		\
		{ XM_PTE_ACCESSED,		"ACCESSED" },		\
		{ XM_PTE_DIRTY,		"DIRTY" },		\
		{ XM_PTE_LOCAL,		"LOCAL" })

#define xm_show_cpu(flags)						\
	__print_flags(flags, "|",					\
		{ XM_CPU_PRESENT,		"PRESENT" },		\
		{ XM_CPU_WRITE,		"WRITE" },		\
		{ XM_CPU_DIRTY,		"DIRTY" },		\
		{ XM_CPU_YOUNG,		"YOUNG" },		\
		{ XM_CPU_EXCLUSIVE,	"EXCLUSIVE" },		\
		{ XM_CPU_PRIVATE,		"PRIVATE" },		\
		{ XM_CPU_OTHER,		"OTHER" },		\
		{ XM_CPU_HUGE,		"HUGE" },		\
		{ XM_CPU_HOLE,		"HOLE" },		\
		{ XM_CPU_COHERENT,		"COHERENT" },		\
		{ XM_CPU_LOCAL,		"LOCAL" },		\
		{ XM_CPU_ZERO,		"ZERO" },		\
		{ XM_CPU_PUD,		"PUD" },		\
		{ XM_CPU_NOACCESS,		"NOACCESS" })

DECLARE_EVENT_CLASS(xm_mirror,
	TP_PROTO(const struct xmirror *m),
	TP_ARGS(m),
	TP_STRUCT__entry(
		__field(u64, mirror)
	),
	TP_fast_assign(
		__entry->mirror = m->id;
	),
	TP_printk("mirror=%llu", __entry->mirror)
);

DEFINE_EVENT(xm_mirror, xm_create,
	TP_PROTO(const struct xmirror *m),
	TP_ARGS(m));

DEFINE_EVENT(xm_mirror, xm_destroy,
	TP_PROTO(const struct xmirror *m),
	TP_ARGS(m));

DECLARE_EVENT_CLASS(xm_piece,
	TP_PROTO(const struct xmirror *m, unsigned long start,
		 unsigned long end),
	TP_ARGS(m, start, end),
	TP_STRUCT__entry(
		__field(u64, mirror)
		__field(unsigned long, start)
		__field(unsigned long, end)
	),
	TP_fast_assign(
		__entry->mirror = m->id;
		__entry->start = start;
		__entry->end = end;
	),
	TP_printk("mirror=%llu range=%lx-%lx", __entry->mirror,
		  __entry->start, __entry->end)
);

/* An interval notifier was registered. */
DEFINE_EVENT(xm_piece, xm_interval,
	TP_PROTO(const struct xmirror *m, unsigned long start,
		 unsigned long end),
	TP_ARGS(m, start, end));

TRACE_EVENT(xm_invalidate,
	TP_PROTO(const struct xmirror *m, unsigned long start, unsigned long end,
		 const struct mmu_notifier_range *range, bool own,
		 unsigned long leaves),
	TP_ARGS(m, start, end, range, own, leaves),
	TP_STRUCT__entry(
		__field(u64, mirror)
		__field(unsigned long, start)
		__field(unsigned long, end)
		__field(unsigned long, leaves)
		__field(unsigned int, event)
		__field(bool, blockable)
		__field(bool, own)
	),
	TP_fast_assign(
		__entry->mirror = m->id;
		__entry->start = start;
		__entry->end = end;
		__entry->leaves = leaves;
		__entry->event = range->event;
		__entry->blockable = mmu_notifier_range_blockable(range);
		__entry->own = own;
	),
	TP_printk("mirror=%llu range=%lx-%lx event=%s own=%d blockable=%d leaves=%lu",
		  __entry->mirror, __entry->start, __entry->end,
		  xm_show_event(__entry->event), __entry->own,
		  __entry->blockable, __entry->leaves)
);

TRACE_EVENT(xm_fault,
	TP_PROTO(const struct xmirror *m, unsigned long start, unsigned long end,
		 unsigned int mode, int ret),
	TP_ARGS(m, start, end, mode, ret),
	TP_STRUCT__entry(
		__field(u64, mirror)
		__field(unsigned long, start)
		__field(unsigned long, end)
		__field(unsigned int, mode)
		__field(int, ret)
	),
	TP_fast_assign(
		__entry->mirror = m->id;
		__entry->start = start;
		__entry->end = end;
		__entry->mode = mode;
		__entry->ret = ret;
	),
	TP_printk("mirror=%llu range=%lx-%lx mode=%s ret=%d", __entry->mirror,
		  __entry->start, __entry->end,
		  xm_show_mode(__entry->mode),
		  __entry->ret)
);

/* A range that the device holds as a whole; ret: of the last try to map it */
TRACE_EVENT(xm_resident,
	TP_PROTO(const struct xmirror *m, unsigned long start, unsigned long end,
		 unsigned int state, int ret),
	TP_ARGS(m, start, end, state, ret),
	TP_STRUCT__entry(
		__field(u64, mirror)
		__field(unsigned long, start)
		__field(unsigned long, end)
		__field(unsigned int, state)
		__field(int, ret)
	),
	TP_fast_assign(
		__entry->mirror = m->id;
		__entry->start = start;
		__entry->end = end;
		__entry->state = state;
		__entry->ret = ret;
	),
	TP_printk("mirror=%llu range=%lx-%lx state=%s ret=%d", __entry->mirror,
		  __entry->start, __entry->end,
		  xm_show_resident(__entry->state), __entry->ret)
);

DECLARE_EVENT_CLASS(xm_range,
	TP_PROTO(const struct xmirror *m, unsigned long start, unsigned long done,
		 u64 count, int ret),
	TP_ARGS(m, start, done, count, ret),
	TP_STRUCT__entry(
		__field(u64, mirror)
		__field(unsigned long, start)
		__field(unsigned long, done)
		__field(u64, count)
		__field(int, ret)
	),
	TP_fast_assign(
		__entry->mirror = m->id;
		__entry->start = start;
		__entry->done = done;
		__entry->count = count;
		__entry->ret = ret;
	),
	TP_printk("mirror=%llu done=%lx-%lx count=%llu ret=%d", __entry->mirror,
		  __entry->start, __entry->done, __entry->count, __entry->ret)
);

/* count: how often mmap_lock was taken */
DEFINE_EVENT(xm_range, xm_exclusive,
	TP_PROTO(const struct xmirror *m, unsigned long start, unsigned long done,
		 u64 count, int ret),
	TP_ARGS(m, start, done, count, ret));

/* count: how many pages were given back */
DEFINE_EVENT(xm_range, xm_release,
	TP_PROTO(const struct xmirror *m, unsigned long start, unsigned long done,
		 u64 count, int ret),
	TP_ARGS(m, start, done, count, ret));

/* count: how many pages moved */
DEFINE_EVENT(xm_range, xm_migrate,
	TP_PROTO(const struct xmirror *m, unsigned long start, unsigned long done,
		 u64 count, int ret),
	TP_ARGS(m, start, done, count, ret));

/* The CPU was given an exclusive page back. */
TRACE_EVENT(xm_restore,
	TP_PROTO(const struct xmirror *m, unsigned long addr, bool write,
		 int ret),
	TP_ARGS(m, addr, write, ret),
	TP_STRUCT__entry(
		__field(u64, mirror)
		__field(unsigned long, addr)
		__field(bool, write)
		__field(int, ret)
	),
	TP_fast_assign(
		__entry->mirror = m->id;
		__entry->addr = addr;
		__entry->write = write;
		__entry->ret = ret;
	),
	TP_printk("mirror=%llu addr=%lx write=%d ret=%d", __entry->mirror,
		  __entry->addr, __entry->write, __entry->ret)
);

/* Pages of device memory for a mirror, from the first page frame on */
DECLARE_EVENT_CLASS(xm_devmem,
	TP_PROTO(u64 mirror, unsigned long pfn, unsigned int nr),
	TP_ARGS(mirror, pfn, nr),
	TP_STRUCT__entry(
		__field(u64, mirror)
		__field(unsigned long, pfn)
		__field(unsigned int, nr)
	),
	TP_fast_assign(
		__entry->mirror = mirror;
		__entry->pfn = pfn;
		__entry->nr = nr;
	),
	TP_printk("mirror=%llu pfn=%lx nr=%u", __entry->mirror, __entry->pfn,
		  __entry->nr)
);

DEFINE_EVENT(xm_devmem, xm_devmem_alloc,
	TP_PROTO(u64 mirror, unsigned long pfn, unsigned int nr),
	TP_ARGS(mirror, pfn, nr));

DEFINE_EVENT(xm_devmem, xm_devmem_free,
	TP_PROTO(u64 mirror, unsigned long pfn, unsigned int nr),
	TP_ARGS(mirror, pfn, nr));

TRACE_EVENT(xm_to_ram,
	TP_PROTO(unsigned long start, unsigned long end, long moved),
	TP_ARGS(start, end, moved),
	TP_STRUCT__entry(
		__field(unsigned long, start)
		__field(unsigned long, end)
		__field(long, moved)
	),
	TP_fast_assign(
		__entry->start = start;
		__entry->end = end;
		__entry->moved = moved;
	),
	TP_printk("range=%lx-%lx moved=%ld", __entry->start, __entry->end,
		  __entry->moved)
);

TRACE_EVENT(xm_evict,
	TP_PROTO(unsigned long pfn, unsigned int nr, unsigned long moved),
	TP_ARGS(pfn, nr, moved),
	TP_STRUCT__entry(
		__field(unsigned long, pfn)
		__field(unsigned int, nr)
		__field(unsigned long, moved)
	),
	TP_fast_assign(
		__entry->pfn = pfn;
		__entry->nr = nr;
		__entry->moved = moved;
	),
	TP_printk("pfn=%lx nr=%u moved=%lu", __entry->pfn, __entry->nr,
		  __entry->moved)
);

TRACE_EVENT(xm_violation,
	TP_PROTO(const struct xmirror *m, unsigned long addr, unsigned long pte,
		 unsigned long cpu_pfn, u32 cpu_flags, unsigned int kind),
	TP_ARGS(m, addr, pte, cpu_pfn, cpu_flags, kind),
	TP_STRUCT__entry(
		__field(u64, mirror)
		__field(unsigned long, addr)
		__field(unsigned long, pte)
		__field(unsigned long, cpu_pfn)
		__field(u32, cpu_flags)
		__field(unsigned int, kind)
	),
	TP_fast_assign(
		__entry->mirror = m->id;
		__entry->addr = addr;
		__entry->pte = pte;
		__entry->cpu_pfn = cpu_pfn;
		__entry->cpu_flags = cpu_flags;
		__entry->kind = kind;
	),
	TP_printk("mirror=%llu addr=%lx leaf=%lx %s cpu_pfn=%lx %s kind=%s",
		  __entry->mirror, __entry->addr, __entry->pte >> PAGE_SHIFT,
		  xm_show_pte(__entry->pte & ~PAGE_MASK), __entry->cpu_pfn,
		  xm_show_cpu(__entry->cpu_flags),
		  xm_show_violation(__entry->kind))
);

#endif /* _XM_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH ../src
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
