/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Trace events: every change of state of a mirror. "mirror" is an identity, to
 * tell mirrors apart.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM xmirror

#if !defined(_XM_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _XM_TRACE_H

#include <linux/mmu_notifier.h>
#include <linux/tracepoint.h>

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

TRACE_EVENT(xm_invalidate,
	TP_PROTO(const void *m, unsigned long start, unsigned long end,
		 const struct mmu_notifier_range *range, bool own,
		 unsigned long leaves),
	TP_ARGS(m, start, end, range, own, leaves),
	TP_STRUCT__entry(
		__field(const void *, m)
		__field(unsigned long, start)
		__field(unsigned long, end)
		__field(unsigned long, leaves)
		__field(unsigned int, event)
		__field(bool, blockable)
		__field(bool, own)
	),
	TP_fast_assign(
		__entry->m = m;
		__entry->start = start;
		__entry->end = end;
		__entry->leaves = leaves;
		__entry->event = range->event;
		__entry->blockable = mmu_notifier_range_blockable(range);
		__entry->own = own;
	),
	TP_printk("mirror=%p range=%lx-%lx event=%s own=%d blockable=%d leaves=%lu",
		  __entry->m, __entry->start, __entry->end,
		  xm_show_event(__entry->event), __entry->own,
		  __entry->blockable, __entry->leaves)
);

TRACE_EVENT(xm_fault,
	TP_PROTO(const void *m, unsigned long start, unsigned long end,
		 unsigned int mode, int ret),
	TP_ARGS(m, start, end, mode, ret),
	TP_STRUCT__entry(
		__field(const void *, m)
		__field(unsigned long, start)
		__field(unsigned long, end)
		__field(unsigned int, mode)
		__field(int, ret)
	),
	TP_fast_assign(
		__entry->m = m;
		__entry->start = start;
		__entry->end = end;
		__entry->mode = mode;
		__entry->ret = ret;
	),
	TP_printk("mirror=%p range=%lx-%lx mode=%s ret=%d", __entry->m,
		  __entry->start, __entry->end,
		  __print_symbolic(__entry->mode, { XM_FAULT_READ, "read" },
				   { XM_FAULT_WRITE, "write" },
				   { XM_FAULT_LOCAL, "local" }),
		  __entry->ret)
);

DECLARE_EVENT_CLASS(xm_range,
	TP_PROTO(const void *m, unsigned long start, unsigned long done,
		 u64 rounds, int ret),
	TP_ARGS(m, start, done, rounds, ret),
	TP_STRUCT__entry(
		__field(const void *, m)
		__field(unsigned long, start)
		__field(unsigned long, done)
		__field(u64, rounds)
		__field(int, ret)
	),
	TP_fast_assign(
		__entry->m = m;
		__entry->start = start;
		__entry->done = done;
		__entry->rounds = rounds;
		__entry->ret = ret;
	),
	TP_printk("mirror=%p done=%lx-%lx rounds=%llu ret=%d", __entry->m,
		  __entry->start, __entry->done, __entry->rounds, __entry->ret)
);

/* rounds: how often mmap_lock was taken */
DEFINE_EVENT(xm_range, xm_exclusive,
	TP_PROTO(const void *m, unsigned long start, unsigned long done,
		 u64 rounds, int ret),
	TP_ARGS(m, start, done, rounds, ret));

/* rounds: how many pages were given back */
DEFINE_EVENT(xm_range, xm_release,
	TP_PROTO(const void *m, unsigned long start, unsigned long done,
		 u64 rounds, int ret),
	TP_ARGS(m, start, done, rounds, ret));

/* rounds: how many pages moved */
DEFINE_EVENT(xm_range, xm_migrate,
	TP_PROTO(const void *m, unsigned long start, unsigned long done,
		 u64 rounds, int ret),
	TP_ARGS(m, start, done, rounds, ret));

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

TRACE_EVENT(xm_access_fault,
	TP_PROTO(const void *m, u64 addr, unsigned int op),
	TP_ARGS(m, addr, op),
	TP_STRUCT__entry(
		__field(const void *, m)
		__field(u64, addr)
		__field(unsigned int, op)
	),
	TP_fast_assign(
		__entry->m = m;
		__entry->addr = addr;
		__entry->op = op;
	),
	TP_printk("mirror=%p addr=%llx op=%u", __entry->m, __entry->addr,
		  __entry->op)
);

TRACE_EVENT(xm_violation,
	TP_PROTO(const void *m, unsigned long addr, unsigned long pte,
		 unsigned long cpu_pfn, u32 cpu_flags, unsigned int kind),
	TP_ARGS(m, addr, pte, cpu_pfn, cpu_flags, kind),
	TP_STRUCT__entry(
		__field(const void *, m)
		__field(unsigned long, addr)
		__field(unsigned long, pte)
		__field(unsigned long, cpu_pfn)
		__field(u32, cpu_flags)
		__field(unsigned int, kind)
	),
	TP_fast_assign(
		__entry->m = m;
		__entry->addr = addr;
		__entry->pte = pte;
		__entry->cpu_pfn = cpu_pfn;
		__entry->cpu_flags = cpu_flags;
		__entry->kind = kind;
	),
	TP_printk("mirror=%p addr=%lx pte=%lx cpu_pfn=%lx cpu=%x kind=%u",
		  __entry->m, __entry->addr, __entry->pte, __entry->cpu_pfn,
		  __entry->cpu_flags, __entry->kind)
);

#endif /* _XM_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH ../src
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
