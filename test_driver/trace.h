/* SPDX-License-Identifier: GPL-2.0 */
/* Trace events xmirror_test:*. A file is known by its fences and device. */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM xmirror_test

#if !defined(_XT_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _XT_TRACE_H

#include <linux/tracepoint.h>
#include <uapi/linux/xmirror.h>
#include <xmirror/points.h>

TRACE_EVENT(xt_job_submit,
	TP_PROTO(unsigned int dev, unsigned int engine, u64 fence,
		 unsigned int nr_cmds, u64 repeat),
	TP_ARGS(dev, engine, fence, nr_cmds, repeat),
	TP_STRUCT__entry(
		__field(u64, fence)
		__field(u64, repeat)
		__field(unsigned int, dev)
		__field(unsigned int, engine)
		__field(unsigned int, nr_cmds)
	),
	TP_fast_assign(
		__entry->fence = fence;
		__entry->repeat = repeat;
		__entry->dev = dev;
		__entry->engine = engine;
		__entry->nr_cmds = nr_cmds;
	),
	TP_printk("xmirror%u/%u fence=%llu nr_cmds=%u repeat=%llu",
		  __entry->dev, __entry->engine, __entry->fence,
		  __entry->nr_cmds, __entry->repeat)
);

TRACE_EVENT(xt_job_done,
	TP_PROTO(unsigned int dev, unsigned int engine, u64 fence, int status,
		 u64 ops),
	TP_ARGS(dev, engine, fence, status, ops),
	TP_STRUCT__entry(
		__field(u64, fence)
		__field(u64, ops)
		__field(unsigned int, dev)
		__field(unsigned int, engine)
		__field(int, status)
	),
	TP_fast_assign(
		__entry->fence = fence;
		__entry->ops = ops;
		__entry->dev = dev;
		__entry->engine = engine;
		__entry->status = status;
	),
	TP_printk("xmirror%u/%u fence=%llu status=%d ops=%llu",
		  __entry->dev, __entry->engine, __entry->fence,
		  __entry->status, __entry->ops)
);

TRACE_EVENT(xt_sync_reached,
	TP_PROTO(unsigned int dev, u32 id, const struct xm_visit *visit),
	TP_ARGS(dev, id, visit),
	TP_STRUCT__entry(
		__field(unsigned long, start)
		__field(unsigned long, end)
		__field(unsigned int, dev)
		__field(u32, id)
		__field(unsigned int, point)
		__field(int, event)
	),
	TP_fast_assign(
		__entry->start = visit->start;
		__entry->end = visit->end;
		__entry->dev = dev;
		__entry->id = id;
		__entry->point = visit->point;
		__entry->event = visit->event;
	),
	TP_printk("xmirror%u id=%u point=%u start=%lx end=%lx event=%d",
		  __entry->dev, __entry->id, __entry->point, __entry->start,
		  __entry->end, __entry->event)
);

TRACE_DEFINE_ENUM(XMIRROR_OP_LOAD);
TRACE_DEFINE_ENUM(XMIRROR_OP_STORE);
TRACE_DEFINE_ENUM(XMIRROR_OP_ADD);
TRACE_DEFINE_ENUM(XMIRROR_OP_SUB);
TRACE_DEFINE_ENUM(XMIRROR_OP_AND);
TRACE_DEFINE_ENUM(XMIRROR_OP_OR);
TRACE_DEFINE_ENUM(XMIRROR_OP_XOR);
TRACE_DEFINE_ENUM(XMIRROR_OP_MIN);
TRACE_DEFINE_ENUM(XMIRROR_OP_MAX);
TRACE_DEFINE_ENUM(XMIRROR_OP_UMIN);
TRACE_DEFINE_ENUM(XMIRROR_OP_UMAX);
TRACE_DEFINE_ENUM(XMIRROR_OP_XCHG);
TRACE_DEFINE_ENUM(XMIRROR_OP_CMPXCHG);

#define xt_show_op(op)							\
	__print_symbolic(op,						\
		{ XMIRROR_OP_LOAD,		"LOAD" },		\
		{ XMIRROR_OP_STORE,		"STORE" },		\
		{ XMIRROR_OP_ADD,		"ADD" },		\
		{ XMIRROR_OP_SUB,		"SUB" },		\
		{ XMIRROR_OP_AND,		"AND" },		\
		{ XMIRROR_OP_OR,		"OR" },			\
		{ XMIRROR_OP_XOR,		"XOR" },		\
		{ XMIRROR_OP_MIN,		"MIN" },		\
		{ XMIRROR_OP_MAX,		"MAX" },		\
		{ XMIRROR_OP_UMIN,		"UMIN" },		\
		{ XMIRROR_OP_UMAX,		"UMAX" },		\
		{ XMIRROR_OP_XCHG,		"XCHG" },		\
		{ XMIRROR_OP_CMPXCHG,		"CMPXCHG" })

TRACE_EVENT(xt_access_fault,
	TP_PROTO(u64 mirror, u64 addr, unsigned int op),
	TP_ARGS(mirror, addr, op),
	TP_STRUCT__entry(
		__field(u64, mirror)
		__field(u64, addr)
		__field(unsigned int, op)
	),
	TP_fast_assign(
		__entry->mirror = mirror;
		__entry->addr = addr;
		__entry->op = op;
	),
	TP_printk("mirror=%llu addr=%llx op=%s", __entry->mirror, __entry->addr,
		  xt_show_op(__entry->op))
);

/* An entry of this range became entries of a page. */
TRACE_EVENT(xt_split,
	TP_PROTO(u64 mirror, unsigned long start, unsigned long end),
	TP_ARGS(mirror, start, end),
	TP_STRUCT__entry(
		__field(u64, mirror)
		__field(unsigned long, start)
		__field(unsigned long, end)
	),
	TP_fast_assign(
		__entry->mirror = mirror;
		__entry->start = start;
		__entry->end = end;
	),
	TP_printk("mirror=%llu range=%lx-%lx", __entry->mirror,
		  __entry->start, __entry->end)
);

#endif /* _XT_TRACE_H */

/* Relative to src/, which is in the include path and has a trace.h, too. */
#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH ../test_driver
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
