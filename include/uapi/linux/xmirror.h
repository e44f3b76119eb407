/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * xmirror: the interface of the fake accelerators /dev/xmirrorN.
 *
 * Rules that hold for every call:
 *
 *  - Each open file is one mirror of the opener's mm. A caller with another mm
 *    gets -EPERM; once the mm is gone, which it is not while an engine works on
 *    it, every call returns -ESRCH. XMIRROR_IOC_HOLD, and of
 *    XMIRROR_IOC_RAW_NOTIFIER all but INSERT, are for whoever has the file.
 *  - Each struct starts with @size, the caller's sizeof. A shorter struct than
 *    the kernel's has its missing tail read as zero and only the caller's part
 *    written back; a longer one is refused with -E2BIG unless its unknown tail
 *    is zero and it is no longer than a page. A size below the first
 *    version's is -EINVAL.
 *  - Unknown @flags and non-zero reserved fields are -EINVAL.
 *  - Addresses and lengths are in bytes. Ranges have to be page aligned, not
 *    empty, must not wrap (-EINVAL) and must end below TASK_SIZE (-EFAULT); a
 *    call that looks for one that is there says -ENOENT instead.
 *  - Out fields are written back on failure, too: a range call that failed
 *    half-way reports the leading part that was done.
 *  - An unknown ioctl number is -ENOTTY.
 *  - All structs have the same layout for 32-bit and 64-bit callers.
 *
 * Privilege. The node is root's, mode 0600. What a file without CAP_SYS_ADMIN can
 * do to others is what any program can do that uses much memory and time: its
 * engines run outside of its CPU cgroup, and all files of a device share its
 * memory, its VRAM, and its engines. What shows physical addresses, makes others
 * wait, or takes the shared memory away needs CAP_SYS_ADMIN at the call, in the
 * initial user namespace:
 *
 *  - XMIRROR_IOC_SYNC with XMIRROR_SYNC_ARM, XMIRROR_IOC_INJECT that arms,
 *    XMIRROR_EXCLUSIVE_LATE: -EPERM. A thread that is stopped or delayed may be
 *    any that invalidates, such as kswapd, and holds locks: who may arm these is
 *    equivalent to root for availability.
 *  - XMIRROR_IOC_UNPLUG, XMIRROR_IOC_RAW_*: -EPERM.
 *  - XMIRROR_IOC_HOLD, which stops any task at almost any function: -EPERM.
 *  - XMIRROR_IOC_SNAPSHOT: without it page frame numbers are zero, as in
 *    /proc/PID/pagemap.
 *
 * XMIRROR_INJECT_STALE, XMIRROR_SET_VRAM_UNSAFE and XMIRROR_RAW_UNSAFE break the
 * rules of the mm on purpose and can corrupt memory of others. They need
 * CAP_SYS_ADMIN and a kernel that is not locked down (Secure Boot), else -EPERM.
 */
#ifndef _UAPI_LINUX_XMIRROR_H
#define _UAPI_LINUX_XMIRROR_H

#include <linux/ioctl.h>
#include <linux/types.h>

/** XMIRROR_UAPI_VERSION: goes up with each change; INFO has that of the module. */
#define XMIRROR_UAPI_VERSION	9

/* Free in Documentation/userspace-api/ioctl/ioctl-number.rst of Linux 7.3. */
#define XMIRROR_IOC_TYPE	0xbd

#define XMIRROR_IOC_INFO	_IO(XMIRROR_IOC_TYPE, 0x00)
#define XMIRROR_IOC_SET		_IO(XMIRROR_IOC_TYPE, 0x01)
#define XMIRROR_IOC_FAULT	_IO(XMIRROR_IOC_TYPE, 0x02)
#define XMIRROR_IOC_EXCLUSIVE	_IO(XMIRROR_IOC_TYPE, 0x03)
#define XMIRROR_IOC_RELEASE	_IO(XMIRROR_IOC_TYPE, 0x04)
#define XMIRROR_IOC_RW		_IO(XMIRROR_IOC_TYPE, 0x05)
#define XMIRROR_IOC_SUBMIT	_IO(XMIRROR_IOC_TYPE, 0x06)
#define XMIRROR_IOC_WAIT	_IO(XMIRROR_IOC_TYPE, 0x07)
#define XMIRROR_IOC_SNAPSHOT	_IO(XMIRROR_IOC_TYPE, 0x08)
#define XMIRROR_IOC_VERIFY	_IO(XMIRROR_IOC_TYPE, 0x09)
#define XMIRROR_IOC_STATS	_IO(XMIRROR_IOC_TYPE, 0x0a)
#define XMIRROR_IOC_SYNC	_IO(XMIRROR_IOC_TYPE, 0x0b)
#define XMIRROR_IOC_MIGRATE	_IO(XMIRROR_IOC_TYPE, 0x0c)
#define XMIRROR_IOC_UNPLUG	_IO(XMIRROR_IOC_TYPE, 0x0d)
#define XMIRROR_IOC_VRAM	_IO(XMIRROR_IOC_TYPE, 0x0e)
#define XMIRROR_IOC_INJECT	_IO(XMIRROR_IOC_TYPE, 0x0f)
#define XMIRROR_IOC_HOLD	_IO(XMIRROR_IOC_TYPE, 0x10)
#define XMIRROR_IOC_RESIDENT	_IO(XMIRROR_IOC_TYPE, 0x11)
#define XMIRROR_IOC_PREFER	_IO(XMIRROR_IOC_TYPE, 0x12)

/* Capabilities, struct xmirror_info.caps and .lacks */
/** XMIRROR_CAP_MIRROR: range faults, loads and stores (CONFIG_HMM_MIRROR). */
#define XMIRROR_CAP_MIRROR		(1ULL << 0)
/** XMIRROR_CAP_EXCLUSIVE: exclusive entries, atomics (CONFIG_DEVICE_PRIVATE). */
#define XMIRROR_CAP_EXCLUSIVE		(1ULL << 1)
/**
 * XMIRROR_CAP_EXCLUSIVE_LARGE: any single page of a large folio can be made
 * exclusive (make_device_exclusive(), Linux 6.15). Without it a page of a large
 * folio is refused with -EOPNOTSUPP: the old call takes the head page only and
 * converts the whole folio, which rmap walkers of those kernels do not expect.
 */
#define XMIRROR_CAP_EXCLUSIVE_LARGE	(1ULL << 2)
/**
 * XMIRROR_CAP_RECLAIM_EXCLUSIVE: an exclusive page stays in the rmap, so that
 * reclaim, migration and compaction work on it (Linux 6.15, not arm64, where
 * reclaim corrupts the entry).
 */
#define XMIRROR_CAP_RECLAIM_EXCLUSIVE	(1ULL << 3)
/** XMIRROR_CAP_SYNC: sync points can be armed. */
#define XMIRROR_CAP_SYNC		(1ULL << 4)
/** XMIRROR_CAP_PRIVATE: private device memory (CONFIG_DEVICE_PRIVATE). */
#define XMIRROR_CAP_PRIVATE		(1ULL << 5)
/**
 * XMIRROR_CAP_PRIVATE_LARGE: device memory in folios of PMD size
 * (MIGRATE_PFN_COMPOUND, Linux 6.19).
 */
#define XMIRROR_CAP_PRIVATE_LARGE	(1ULL << 6)
/**
 * XMIRROR_CAP_VRAM_HUGE: VRAM is mapped by entries of 2 MiB that the kernel takes
 * no page references through (a special bit for PMDs, Linux 6.12).
 */
#define XMIRROR_CAP_VRAM_HUGE		(1ULL << 7)
/**
 * XMIRROR_CAP_HOLD: a task can be held at a function of the kernel (CONFIG_FUNCTION_TRACER
 * and an architecture that gives its handlers the arguments:
 * CONFIG_DYNAMIC_FTRACE_WITH_ARGS).
 */
#define XMIRROR_CAP_HOLD		(1ULL << 8)

/**
 * struct xmirror_info - what this device and this kernel can do
 * @size: sizeof(struct xmirror_info)
 * @flags: must be zero
 * @caps: XMIRROR_CAP_* bits that work here
 * @lacks: XMIRROR_CAP_* bits that this kernel cannot do; @why tells the reason
 * @devices: number of /dev/xmirrorN nodes
 * @engines: engines of each device
 * @page_size: bytes of a CPU page
 * @chunk_size: bytes of address space that one interval notifier covers
 * @swp_exclusive: pagemap swap types of a device-exclusive entry, writable
 *	first, then read-only; equal where the kernel has one type, and
 *	~0 where it has none
 * @swp_private: the same for a device-private entry
 * @swp_marker: pagemap swap type of a PTE marker, ~0 if none
 * @revoke_event: number of the notifier event that the restore of an exclusive
 *	entry sends (see &struct xmirror_stats.inv)
 * @__reserved: zero
 * @why: for each bit of @lacks, the lowest first, a line that names the kernel
 *	option or version that has it; NUL terminated
 * @uapi_version: XMIRROR_UAPI_VERSION that the module was built with
 * @__reserved2: zero
 * @version: that of the module, as modinfo shows it; NUL terminated
 */
struct xmirror_info {
	__u32 size;
	__u32 flags;
	__u64 caps;
	__u64 lacks;
	__u32 devices;
	__u32 engines;
	__u32 page_size;
	__u32 __reserved;
	__u64 chunk_size;
	__u32 swp_exclusive[2];
	__u32 swp_private[2];
	__u32 swp_marker;
	__u32 revoke_event;
	char why[512];
	__u32 uapi_version;
	__u32 __reserved2;
	char version[16];
};

/* struct xmirror_set.param */
/** XMIRROR_SET_TIMEOUT: milliseconds (1 to 600000) that a fault may retry. */
#define XMIRROR_SET_TIMEOUT	1
/**
 * XMIRROR_SET_GRANULE: largest leaf in bytes: a page, 65536 or 2097152; ~0 for the
 * largest there is. A device fault maps what is there already in the granule
 * around the address, too.
 */
#define XMIRROR_SET_GRANULE	2
/**
 * XMIRROR_SET_VRAM_GRANULE: the most bytes that a CPU fault in a mapping of this
 * file maps: a page, 65536 or 2097152; ~0 for the largest there is, which is what
 * a file starts with. See &struct xmirror_vram.
 */
#define XMIRROR_SET_VRAM_GRANULE	3
/**
 * XMIRROR_SET_VRAM_UNSAFE: map VRAM in a way that no driver should, to show why:
 * XMIRROR_VRAM_UNSAFE_*, zero to behave. -EPERM without CAP_SYS_ADMIN or on a
 * kernel that is locked down; -EOPNOTSUPP where this kernel has no such way.
 */
#define XMIRROR_SET_VRAM_UNSAFE		4

/**
 * XMIRROR_SET_FORK: what happens to exclusive pages when the process forks.
 * XMIRROR_FORK_LAZY, which a file starts with, or XMIRROR_FORK_EAGER.
 */
#define XMIRROR_SET_FORK		5

/**
 * XMIRROR_SET_SLICE: milliseconds (0 to 60000) that pages of private memory stay with who
 * got them last, device or CPU, in blocks of PMD size; 0, with which an address space
 * begins: no time. It is one value for all mirrors of the address space. A CPU that touches
 * memory of the device that has the block waits for the end of that slice; a fault or a
 * migration of a device waits for those that came before it. All waits end when the slice
 * is set to 0.
 */
#define XMIRROR_SET_SLICE		6

/** XMIRROR_FORK_LAZY: the device gets a page back when it next wants it. */
#define XMIRROR_FORK_LAZY	0
/**
 * XMIRROR_FORK_EAGER: right after the fork the device makes those pages of the
 * parent exclusive again that it has worked on since it last got them, as many as
 * it could note: 64 pieces of memory.
 */
#define XMIRROR_FORK_EAGER	1

/**
 * XMIRROR_VRAM_UNSAFE_HUGE: map by entries of 2 MiB although fast GUP does not
 * refuse them, on kernels without XMIRROR_CAP_VRAM_HUGE.
 */
#define XMIRROR_VRAM_UNSAFE_HUGE	1
/**
 * XMIRROR_VRAM_UNSAFE_MIXED: mappings made from now on are VM_MIXEDMAP instead of
 * VM_PFNMAP, and by entries of 2 MiB only: where one does not fit, SIGBUS.
 */
#define XMIRROR_VRAM_UNSAFE_MIXED	2

/**
 * struct xmirror_set - set a parameter of this mirror
 * @size: sizeof(struct xmirror_set)
 * @flags: must be zero
 * @param: XMIRROR_SET_*; -EINVAL if unknown
 * @__reserved: must be zero
 * @value: in: the new value, -EINVAL if out of range; out: the old one
 */
struct xmirror_set {
	__u32 size;
	__u32 flags;
	__u32 param;
	__u32 __reserved;
	__u64 value;
};

/** XMIRROR_FAULT_WRITE: fault for writing. */
#define XMIRROR_FAULT_WRITE	(1U << 0)

/**
 * XMIRROR_EXCLUSIVE_BARE: only replace the CPU's entries, map nothing for the
 * device; to measure the kernel's part. The range has to lie in one VMA.
 */
#define XMIRROR_EXCLUSIVE_BARE	(1U << 0)
/**
 * XMIRROR_EXCLUSIVE_LATE: with XMIRROR_EXCLUSIVE_BARE and for one page (-EINVAL
 * else): unlock the page after mmap_lock instead of before, as no driver should,
 * and pass XMIRROR_PT_EXCL_DONE in between. Meanwhile fork() fails. -EPERM without
 * CAP_SYS_ADMIN.
 */
#define XMIRROR_EXCLUSIVE_LATE	(1U << 1)

/**
 * struct xmirror_range - a range of the mirrored address space
 * @size: sizeof(struct xmirror_range)
 * @flags: XMIRROR_FAULT_WRITE for XMIRROR_IOC_FAULT, XMIRROR_EXCLUSIVE_* for
 *	XMIRROR_IOC_EXCLUSIVE, or zero
 * @addr: first byte, page aligned
 * @length: bytes, page aligned
 * @done: out: bytes from @addr that were done, also when the call failed
 * @rounds: out: times that the most disturbed part of the range was walked: one
 *	for each VMA in it if nothing interfered, and more if the call itself has to
 *	break COW, which is an invalidation; 0 if all of it was there already; for
 *	XMIRROR_IOC_RELEASE the pages that were given back
 *
 * XMIRROR_IOC_FAULT maps the range for the device. -EFAULT: not mapped,
 * PROT_NONE or not mirrorable (device memory of another driver); -EPERM: write
 * to a read-only mapping; -EBUSY: the deadline passed while the range kept
 * being invalidated.
 *
 * XMIRROR_IOC_EXCLUSIVE makes the pages exclusive to the device. Errors as for
 * a write fault, and -EOPNOTSUPP: not private anonymous memory (shared,
 * file-backed, hugetlb), a page of a large folio without
 * XMIRROR_CAP_EXCLUSIVE_LARGE, or a kernel without XMIRROR_CAP_EXCLUSIVE.
 *
 * XMIRROR_IOC_RELEASE gives exclusive pages of the range back to the CPU. Pages
 * that are not exclusive count as done.
 *
 * All three: -EINTR on a fatal signal, -ENOMEM.
 */
struct xmirror_range {
	__u32 size;
	__u32 flags;
	__u64 addr;
	__u64 length;
	__u64 done;
	__u64 rounds;
};

/** XMIRROR_RW_WRITE: the device writes @buf to @addr. */
#define XMIRROR_RW_WRITE	(1U << 0)

/**
 * struct xmirror_rw - let the device copy bytes
 * @size: sizeof(struct xmirror_rw)
 * @flags: XMIRROR_RW_WRITE or zero, which reads
 * @addr: address in the mirrored address space, any alignment
 * @length: bytes, at most 1 GiB (-EINVAL)
 * @buf: the caller's buffer
 * @done: out: bytes copied, also when the call failed
 *
 * Errors as for XMIRROR_IOC_FAULT; -EFAULT also for a bad @buf.
 */
struct xmirror_rw {
	__u32 size;
	__u32 flags;
	__u64 addr;
	__u64 length;
	__u64 buf;
	__u64 done;
};

/**
 * enum xmirror_op - what a command does with each location
 * @XMIRROR_OP_LOAD: result = *p
 * @XMIRROR_OP_STORE: *p = operand
 * @XMIRROR_OP_ADD: *p += operand
 * @XMIRROR_OP_SUB: *p -= operand
 * @XMIRROR_OP_AND: *p &= operand
 * @XMIRROR_OP_OR: *p |= operand
 * @XMIRROR_OP_XOR: *p ^= operand
 * @XMIRROR_OP_MIN: *p = min(*p, operand), signed
 * @XMIRROR_OP_MAX: *p = max(*p, operand), signed
 * @XMIRROR_OP_UMIN: *p = min(*p, operand), unsigned
 * @XMIRROR_OP_UMAX: *p = max(*p, operand), unsigned
 * @XMIRROR_OP_XCHG: *p = operand
 * @XMIRROR_OP_CMPXCHG: if (*p == compare) *p = operand
 * @XMIRROR_OP_NR: number of operations; not a command
 *
 * LOAD and STORE are single accesses through a readable or writable mapping.
 * The others are one hardware atomic each, with the value before it as result,
 * and need the page exclusive; the device makes it so.
 */
enum xmirror_op {
	XMIRROR_OP_LOAD,
	XMIRROR_OP_STORE,
	XMIRROR_OP_ADD,
	XMIRROR_OP_SUB,
	XMIRROR_OP_AND,
	XMIRROR_OP_OR,
	XMIRROR_OP_XOR,
	XMIRROR_OP_MIN,
	XMIRROR_OP_MAX,
	XMIRROR_OP_UMIN,
	XMIRROR_OP_UMAX,
	XMIRROR_OP_XCHG,
	XMIRROR_OP_CMPXCHG,
	XMIRROR_OP_NR
};

/**
 * struct xmirror_cmd - one command of a list
 * @op: enum xmirror_op; -EINVAL if unknown
 * @width: bytes of a location: 1, 2, 4 or 8 (-EINVAL)
 * @__reserved: must be zero
 * @count: how many locations, at least 1 (-EINVAL)
 * @addr: the first location, aligned to @width (-EINVAL)
 * @stride: bytes from one location to the next, a multiple of @width
 *	(-EINVAL), negative to go down, zero to stay
 * @operand: truncated to @width
 * @compare: for XMIRROR_OP_CMPXCHG, truncated to @width; else must be zero
 */
struct xmirror_cmd {
	__u8 op;
	__u8 width;
	__u16 __reserved;
	__u32 count;
	__u64 addr;
	__s64 stride;
	__u64 operand;
	__u64 compare;
};

#define XMIRROR_MAX_CMDS	1024

/** XMIRROR_SUBMIT_EVENTFD: signal @eventfd when the job is done. */
#define XMIRROR_SUBMIT_EVENTFD	(1U << 0)

/**
 * struct xmirror_submit - queue a job on an engine
 * @size: sizeof(struct xmirror_submit)
 * @flags: XMIRROR_SUBMIT_EVENTFD or zero
 * @engine: engine number, below &struct xmirror_info.engines (-EINVAL)
 * @nr_cmds: number of commands, 1 to XMIRROR_MAX_CMDS (-EINVAL)
 * @cmds: pointer to the array of &struct xmirror_cmd
 * @repeat: how often the list is run, at least 1 (-EINVAL)
 * @eventfd: an eventfd (-EBADF, -EINVAL), zero without the flag
 * @__reserved: must be zero
 * @fence: out: number to wait for, never zero
 *
 * Jobs of one engine run in the order in which they were queued, except that a
 * long job makes way for the jobs of other files from time to time. A job stops
 * at its first failed command. The file polls readable while a finished job has
 * not been waited for.
 *
 * -EAGAIN: the file has 256 jobs that have not been waited for.
 */
struct xmirror_submit {
	__u32 size;
	__u32 flags;
	__u32 engine;
	__u32 nr_cmds;
	__u64 cmds;
	__u64 repeat;
	__s32 eventfd;
	__u32 __reserved;
	__u64 fence;
};

/**
 * XMIRROR_WAIT_CANCEL: make an unfinished job end with -ECANCELED first, also in the
 * middle of retries, but not while it is held at a sync point. With fence 0 that is
 * the oldest one, unless a finished job is there.
 */
#define XMIRROR_WAIT_CANCEL	(1U << 0)

/**
 * struct xmirror_wait - wait for a job and take its result
 * @size: sizeof(struct xmirror_wait)
 * @flags: XMIRROR_WAIT_CANCEL or zero
 * @fence: the job; zero: whichever job of this file is done first
 * @timeout_ms: how long to wait; 0 polls, ~0 waits for ever; out: what is left of
 *	it when a signal came
 * @status: out: 0 or the negative errno of the failed command
 * @fence_done: out: the job that was waited for
 * @ops: out: locations worked on by the job, over all commands and repeats
 * @cmd: out: index of the failed command, else the number of commands
 * @nr_results: in: room in @results; out: results written
 * @results: pointer to an array of __u64 that takes, for each command, the
 *	result of its last location; may be zero if @nr_results is
 *
 * The job's record goes with the first successful wait. -ENOENT: no such job;
 * -ETIMEDOUT: not done yet; -EINTR: a signal (the job goes on). With SA_RESTART the
 * call goes on waiting instead, but for XMIRROR_WAIT_CANCEL.
 */
struct xmirror_wait {
	__u32 size;
	__u32 flags;
	__u64 fence;
	__u32 timeout_ms;
	__s32 status;
	__u64 fence_done;
	__u64 ops;
	__u32 cmd;
	__u32 nr_results;
	__u64 results;
};

/** XMIRROR_MIGRATE_TO_SYSTEM: from the device to system memory. */
#define XMIRROR_MIGRATE_TO_SYSTEM	(1U << 0)
/** XMIRROR_MIGRATE_FROM_PEER: from the memory of device @peer to this one. */
#define XMIRROR_MIGRATE_FROM_PEER	(1U << 1)
/**
 * XMIRROR_MIGRATE_GATHER: from system memory and from all other devices to this one.
 * Not with XMIRROR_MIGRATE_FROM_PEER or XMIRROR_MIGRATE_TO_SYSTEM (-EINVAL).
 */
#define XMIRROR_MIGRATE_GATHER		(1U << 2)

/**
 * struct xmirror_migrate - move a range between system and device memory
 * @size: sizeof(struct xmirror_migrate)
 * @flags: XMIRROR_MIGRATE_TO_SYSTEM, XMIRROR_MIGRATE_FROM_PEER,
 *	XMIRROR_MIGRATE_GATHER, or zero: from system memory to the device
 * @addr: first byte, page aligned
 * @length: bytes, page aligned
 * @peer: with XMIRROR_MIGRATE_FROM_PEER the number of another device
 *	(-EINVAL), else zero
 * @__reserved: must be zero
 * @done: out: bytes from @addr that were gone through, also on failure
 * @moved: out: pages that moved
 *
 * Best effort: a page that cannot move (shared, file-backed, pinned, swapped
 * out, merged by KSM, in another device's memory, no room) stays where it is and is
 * not in @moved. Empty pages move from system memory to the device as pages of
 * zeroes. Exclusive pages of this mirror are given back and move. When the device is
 * full, what it used least recently is evicted, whoever it belongs to.
 *
 * -EFAULT: not mapped or PROT_NONE; -EOPNOTSUPP: a mapping whose pages cannot
 * migrate (hugetlb, device mappings), or a device without memory; -EINTR on a
 * fatal signal, -ENOMEM.
 */
struct xmirror_migrate {
	__u32 size;
	__u32 flags;
	__u64 addr;
	__u64 length;
	__u32 peer;
	__u32 __reserved;
	__u64 done;
	__u64 moved;
};

/**
 * enum xmirror_where - where the device prefers pages to be
 * @XMIRROR_PREFER_ANY: where they are, as all are at first
 * @XMIRROR_PREFER_DEVICE: in its own memory
 * @XMIRROR_PREFER_SYSTEM: in system memory
 */
enum xmirror_where {
	XMIRROR_PREFER_ANY,
	XMIRROR_PREFER_DEVICE,
	XMIRROR_PREFER_SYSTEM,
};

/**
 * struct xmirror_prefer - where the device prefers the pages of a range to be
 * @size: sizeof(struct xmirror_prefer)
 * @flags: must be zero
 * @addr: first byte, page aligned
 * @length: bytes, page aligned
 * @where: enum xmirror_where; -EINVAL if unknown
 * @node: with XMIRROR_PREFER_SYSTEM the NUMA node that pages go to when they come from a
 *	device, or -1 for any (-EINVAL: there is no such node); else must be zero
 *
 * Nothing moves now. From now on an access of this mirror that faults, and
 * XMIRROR_IOC_FAULT, move the pages there first, from wherever they are, and go on where
 * they find them: it is a hint. It belongs to the addresses and stays when something else
 * is mapped there. -EOPNOTSUPP: XMIRROR_PREFER_DEVICE of a device without memory;
 * -ENOMEM.
 */
struct xmirror_prefer {
	__u32 size;
	__u32 flags;
	__u64 addr;
	__u64 length;
	__u32 where;
	__s32 node;
};

/** XMIRROR_UNPLUG_REPLUG: use the memory again. */
#define XMIRROR_UNPLUG_REPLUG	(1U << 0)

/**
 * struct xmirror_unplug - take the device's memory out of use
 * @size: sizeof(struct xmirror_unplug)
 * @flags: XMIRROR_UNPLUG_REPLUG or zero
 * @timeout_ms: how long to wait for pages that something holds on to
 * @__reserved: must be zero
 * @left: out: pages that are still in use
 *
 * Everything in the device's memory goes back to system memory, and nothing is
 * allocated from it until it is plugged in again. -EBUSY: @left pages are held, or
 * the caller was killed; the memory stays unplugged. -EOPNOTSUPP: a device without
 * memory; -EPERM: no CAP_SYS_ADMIN.
 */
struct xmirror_unplug {
	__u32 size;
	__u32 flags;
	__u32 timeout_ms;
	__u32 __reserved;
	__u64 left;
};

/**
 * enum xmirror_vram_op - what XMIRROR_IOC_VRAM does with a range of VRAM
 * @XMIRROR_VRAM_QUERY: nothing; an empty range at 0 means all of it
 * @XMIRROR_VRAM_UNMAP: take it from all mappings, of all processes; their next
 *	access faults and maps it again
 * @XMIRROR_VRAM_PROTECT: the same, and what comes back is read-only until it is
 *	written to, page by page
 */
enum xmirror_vram_op {
	XMIRROR_VRAM_QUERY = 1,
	XMIRROR_VRAM_UNMAP,
	XMIRROR_VRAM_PROTECT,
};

/* Index of struct xmirror_vram.faults */
#define XMIRROR_VRAM_4K		0
#define XMIRROR_VRAM_64K	1
#define XMIRROR_VRAM_2M		2
#define XMIRROR_VRAM_SIZES	3

/**
 * struct xmirror_vram - the device's memory behind mmap()
 * @size: sizeof(struct xmirror_vram)
 * @flags: must be zero
 * @op: enum xmirror_vram_op; -EINVAL if unknown
 * @__reserved: must be zero
 * @offset: first byte of VRAM, page aligned
 * @length: bytes, page aligned; a range must not be empty (but see
 *	XMIRROR_VRAM_QUERY) and must end inside VRAM (-EINVAL)
 * @bytes: out: size of VRAM
 * @refs: out: references to the memory of the range beside the device's own.
 *	Memory is taken in blocks of 2 MiB, each of which has one count
 * @write_protected: out: pages of the range whose next write is reported
 * @faults: out: faults in mappings of this file that mapped a page
 *	(XMIRROR_VRAM_4K), up to 64 KiB of pages (XMIRROR_VRAM_64K), or one entry
 *	of 2 MiB (XMIRROR_VRAM_2M)
 * @writes: out: writes to write-protected pages in mappings of this file
 *
 * mmap() of a device maps its VRAM, the file offset being the address in it.
 * All files of a device share one VRAM, which starts as zeroes. The mapping must
 * be MAP_SHARED and must lie inside VRAM (-EINVAL); it cannot grow. Its pages are
 * not the kernel's: no system call can take a reference to them, and neither
 * can the device reach them through the mirrored address space
 * (XMIRROR_IOC_FAULT: -EFAULT). It has VRAM anyway.
 *
 * A fault maps the largest piece that XMIRROR_SET_VRAM_GRANULE, the mapping's
 * bounds, the alignment of address and VRAM and the write-protection allow.
 * What is there already stays; and what was once mapped by less than 2 MiB will
 * not get such an entry before it was unmapped by munmap(), since the kernel
 * keeps empty page tables. Linux 6.12 maps 2 MiB only where transparent huge
 * pages are on for the mapping (sysfs or MADV_HUGEPAGE); newer kernels unless
 * they are forbidden (MADV_NOHUGEPAGE).
 *
 * -EOPNOTSUPP: a device without VRAM; -ENOMEM.
 */
struct xmirror_vram {
	__u32 size;
	__u32 flags;
	__u32 op;
	__u32 __reserved;
	__u64 offset;
	__u64 length;
	__u64 bytes;
	__u64 refs;
	__u64 write_protected;
	__u64 faults[XMIRROR_VRAM_SIZES];
	__u64 writes;
};

/* Bits of a device page table leaf, struct xmirror_page.dev */
#define XMIRROR_PTE_VALID	(1U << 0)
#define XMIRROR_PTE_WRITE	(1U << 1)
#define XMIRROR_PTE_EXCLUSIVE	(1U << 2)
#define XMIRROR_PTE_ACCESSED	(1U << 3)
#define XMIRROR_PTE_DIRTY	(1U << 4)
/** XMIRROR_PTE_LOCAL: the device's own memory; atomics need no EXCLUSIVE. */
#define XMIRROR_PTE_LOCAL	(1U << 5)
/** XMIRROR_PTE_64K: part of a leaf of 64 KiB. */
#define XMIRROR_PTE_64K		(1U << 8)
/** XMIRROR_PTE_2M: part of a leaf of 2 MiB. */
#define XMIRROR_PTE_2M		(1U << 9)

/* The CPU's view of a page, struct xmirror_page.cpu */
#define XMIRROR_CPU_PRESENT	(1U << 0)
#define XMIRROR_CPU_WRITE	(1U << 1)
#define XMIRROR_CPU_DIRTY	(1U << 2)
#define XMIRROR_CPU_YOUNG	(1U << 3)
/** XMIRROR_CPU_EXCLUSIVE: a device-exclusive entry (of whatever device). */
#define XMIRROR_CPU_EXCLUSIVE	(1U << 4)
/** XMIRROR_CPU_PRIVATE: a device-private entry. */
#define XMIRROR_CPU_PRIVATE	(1U << 5)
/** XMIRROR_CPU_OTHER: another non-present entry (swap, migration, marker). */
#define XMIRROR_CPU_OTHER	(1U << 6)
/** XMIRROR_CPU_HUGE: mapped by an entry above the PTE level. */
#define XMIRROR_CPU_HUGE	(1U << 7)
/** XMIRROR_CPU_HOLE: no VMA. */
#define XMIRROR_CPU_HOLE	(1U << 8)
/** XMIRROR_CPU_COHERENT: coherent device memory. */
#define XMIRROR_CPU_COHERENT	(1U << 9)
/** XMIRROR_CPU_LOCAL: private or coherent memory of this mirror's device. */
#define XMIRROR_CPU_LOCAL	(1U << 10)
/** XMIRROR_CPU_ZERO: the zero page. */
#define XMIRROR_CPU_ZERO	(1U << 11)
/** XMIRROR_CPU_PUD: with XMIRROR_CPU_HUGE: an entry of the PUD level. */
#define XMIRROR_CPU_PUD		(1U << 12)
/**
 * XMIRROR_CPU_NOACCESS: no device may access it, whatever is there: PROT_NONE, a
 * mapping of a device, memory without page structs.
 */
#define XMIRROR_CPU_NOACCESS	(1U << 13)

/**
 * struct xmirror_page - one page as the device and the CPU see it
 * @dev_pfn: page frame of the device leaf, 0 if not VALID
 * @cpu_pfn: page frame of the CPU entry, 0 if it has none
 * @dev: XMIRROR_PTE_* bits
 * @cpu: XMIRROR_CPU_* bits; 0 is an empty entry of a VMA
 */
struct xmirror_page {
	__u64 dev_pfn;
	__u64 cpu_pfn;
	__u32 dev;
	__u32 cpu;
};

/**
 * struct xmirror_snapshot - read the device's and the CPU's page tables
 * @size: sizeof(struct xmirror_snapshot)
 * @flags: must be zero
 * @addr: first byte, page aligned
 * @length: bytes, page aligned
 * @pages: pointer to length / page_size &struct xmirror_page
 * @done: out: bytes of the range that were written to @pages
 *
 * Nothing is faulted and nothing changed. -EFAULT: bad @pages. Without
 * CAP_SYS_ADMIN the page frames are 0.
 */
struct xmirror_snapshot {
	__u32 size;
	__u32 flags;
	__u64 addr;
	__u64 length;
	__u64 pages;
	__u64 done;
};

/**
 * enum xmirror_violation - what VERIFY can find wrong
 * @XMIRROR_V_NONE: nothing
 * @XMIRROR_V_PFN: the leaf points to another page than the CPU entry
 * @XMIRROR_V_ABSENT: the leaf is valid but the CPU maps nothing there
 * @XMIRROR_V_WRITE: the leaf is writable, the mapping is not
 * @XMIRROR_V_EXCLUSIVE: the leaf is exclusive, the CPU entry is not
 * @XMIRROR_V_BITS: bits of the leaf contradict each other
 */
enum xmirror_violation {
	XMIRROR_V_NONE,
	XMIRROR_V_PFN,
	XMIRROR_V_ABSENT,
	XMIRROR_V_WRITE,
	XMIRROR_V_EXCLUSIVE,
	XMIRROR_V_BITS,
};

/**
 * struct xmirror_verify - check the device page table against the CPU's
 * @size: sizeof(struct xmirror_verify)
 * @flags: must be zero
 * @checked: out: valid leaves that were checked
 * @violations: out: leaves that broke an invariant
 * @first_addr: out: address of the first of them
 * @first_kind: out: its enum xmirror_violation
 * @__reserved: must be zero
 *
 * The call succeeds if it could look; @violations tells what it saw. It is
 * exact at any time, other threads need not be stopped.
 */
struct xmirror_verify {
	__u32 size;
	__u32 flags;
	__u64 checked;
	__u64 violations;
	__u64 first_addr;
	__u32 first_kind;
	__u32 __reserved;
};

#define XMIRROR_NR_EVENTS	8

/**
 * struct xmirror_stats - counters of this mirror since open
 * @size: sizeof(struct xmirror_stats)
 * @flags: must be zero
 * @inv: invalidations by event, numbered as enum mmu_notifier_event: UNMAP,
 *	CLEAR, PROTECTION_VMA, PROTECTION_PAGE, SOFT_DIRTY, RELEASE, MIGRATE,
 *	EXCLUSIVE
 * @inv_own: those of them that this mirror's own calls caused and that were
 *	ignored
 * @inv_nonblock: those of them in a context that must not sleep
 * @inv_leaves: leaves cleared by invalidations, or replaced by one of 2 MiB
 * @fault_rounds: walks by range faults
 * @fault_retries: walks thrown away because of an invalidation
 * @fault_pages: leaves made by range faults
 * @excl_made: exclusive leaves made
 * @excl_hits: pages asked for that were exclusive already
 * @excl_retries: exclusive entries made and lost before their commit
 * @excl_lost: exclusive leaves cleared by invalidations
 * @excl_released: exclusive leaves given back by XMIRROR_IOC_RELEASE, or on the way
 *	to the device by XMIRROR_IOC_MIGRATE
 * @dirtied: leaves whose DIRTY bit was moved to the folio
 * @ops: locations accessed by loads, stores and atomics
 * @device_faults: accesses that found no sufficient leaf
 * @leaves: valid leaves now; one of 2 MiB counts once, one of 64 KiB as its
 *	pages
 * @table_bytes: bytes of device page table now: tables of leaves, spare ones
 *	to split a leaf of 2 MiB with, and ten bytes for each 2 MiB of the pieces of
 *	address space (&struct xmirror_info.chunk_size) that the device has touched
 * @splits: leaves of 64 KiB or 2 MiB that were split
 * @hmm_pfn_wrong: pages that hmm_range_fault() reported the wrong page frame
 *	for, and that were put right; a bug of the kernel
 * @fork_taken: pages taken back after a fork, see XMIRROR_SET_FORK
 * @jobs: jobs finished
 * @devmem_pages: pages of the device's memory, 0 if it has none; this and the
 *	following are the device's, not the mirror's
 * @devmem_free: those that are free
 * @devmem_evicted: pages evicted to make room, since the module was loaded
 * @devmem_copy_errors: pages, or large folios, that did not move to this device, or
 *	from it to system memory, because their copy found a memory error, since the
 *	module was loaded
 * @slice_waits: calls of this mirror that have waited for a time slice, see
 *	XMIRROR_SET_SLICE
 * @slice_longest: most slices of others that one of them has waited for
 * @cpu_slice_waits: CPU faults of this address space that have waited for one
 */
struct xmirror_stats {
	__u32 size;
	__u32 flags;
	__u64 inv[XMIRROR_NR_EVENTS];
	__u64 inv_own;
	__u64 inv_nonblock;
	__u64 inv_leaves;
	__u64 fault_rounds;
	__u64 fault_retries;
	__u64 fault_pages;
	__u64 excl_made;
	__u64 excl_hits;
	__u64 excl_retries;
	__u64 excl_lost;
	__u64 excl_released;
	__u64 dirtied;
	__u64 ops;
	__u64 device_faults;
	__u64 leaves;
	__u64 table_bytes;
	__u64 splits;
	__u64 hmm_pfn_wrong;
	__u64 fork_taken;
	__u64 jobs;
	__u64 devmem_pages;
	__u64 devmem_free;
	__u64 devmem_evicted;
	__u64 devmem_copy_errors;
	__u64 slice_waits;
	__u64 slice_longest;
	__u64 cpu_slice_waits;
};

/**
 * enum xmirror_point - places where the device can be told to stop
 * @XMIRROR_PT_FAULT_BEGIN: range fault, before mmu_interval_read_begin()
 * @XMIRROR_PT_FAULT_WALKED: after hmm_range_fault(), no lock held
 * @XMIRROR_PT_FAULT_DONE: after the commit of a range fault, no lock held
 * @XMIRROR_PT_EXCL_BEGIN: exclusive, before mmu_interval_read_begin()
 * @XMIRROR_PT_EXCL_MADE: the CPU entry is exclusive, nothing committed yet;
 *	mmap_lock (read) and the folio lock are held
 * @XMIRROR_PT_EXCL_COMMITTED: the leaf is exclusive; the same locks are held
 * @XMIRROR_PT_EXCL_DONE: after unlock; with XMIRROR_EXCLUSIVE_LATE the folio
 *	lock is held
 * @XMIRROR_PT_ACCESS: between two locations of a job, no lock held
 * @XMIRROR_PT_INV_OWN: an invalidation that this mirror's own call causes;
 *	the caller's locks are held
 * @XMIRROR_PT_INV_ENTER: a foreign invalidation, before the leaves are
 *	cleared; the caller's locks are held
 * @XMIRROR_PT_INV_EXIT: the same, after the leaves are cleared
 * @XMIRROR_PT_RELEASE: before a page is given back, no lock held
 * @XMIRROR_PT_MIGRATE_BEGIN: before a migration looks at a piece, no lock held
 * @XMIRROR_PT_MIGRATE_COPIED: the pages are locked, unmapped and copied;
 *	mmap_lock (read) is held. A huge page without a large folio to go to passes this,
 *	UNMAPPED and MOVED twice, the first time without a copy
 * @XMIRROR_PT_DEVMEM_ALLOC: a migration is about to allocate memory of this
 *	device, one page or 2 MiB of it; the pages are locked and unmapped,
 *	mmap_lock (read) is held
 * @XMIRROR_PT_MIGRATE_COPY: the same, the destination is there, and the page is
 *	about to be copied
 * @XMIRROR_PT_MIGRATE_PAGE: the same, the page is copied, and is about to move
 * @XMIRROR_PT_DIRTY: a leaf goes, and what the device wrote is about to be told
 *	to the folio; a spinning lock is held
 * @XMIRROR_PT_EXCL_STALE: not reached by itself: the commit of an exclusive entry was
 *	refused, because its page was invalidated meanwhile; the locks of
 *	XMIRROR_PT_EXCL_MADE are held
 * @XMIRROR_PT_MIGRATE_UNMAPPED: the pages are locked and unmapped, and nothing
 *	is allocated for them yet; the same lock is held
 * @XMIRROR_PT_MIGRATE_MOVED: the new pages have taken over, but are not mapped
 *	yet; the same lock is held
 * @XMIRROR_PT_TO_RAM_BEGIN: the CPU touched private memory of this device in
 *	this address space; mmap_lock (read) is held, and on newer kernels the
 *	lock of the page
 * @XMIRROR_PT_TO_RAM_UNMAPPED: the same, the pages to migrate back are locked
 *	and unmapped
 * @XMIRROR_PT_TO_RAM_COPIED: the same, they are copied
 * @XMIRROR_PT_TO_RAM_MOVED: the same, the new pages have taken over
 * @XMIRROR_PT_TO_RAM_DONE: the same as XMIRROR_PT_TO_RAM_BEGIN, and the CPU is
 *	about to try again
 * @XMIRROR_PT_EVICT_BEGIN: pages of this device are about to be evicted, because
 *	it is full or unplugged or because their mirror goes; no lock that a
 *	process needs, but the next eviction waits
 * @XMIRROR_PT_EVICT_UNMAPPED: the same, the pages are locked and unmapped
 * @XMIRROR_PT_EVICT_COPIED: the same, they are copied
 * @XMIRROR_PT_UNPLUG: the device allocates no memory any more, and nothing was
 *	evicted yet; no lock held
 * @XMIRROR_PT_FAULT_LOCKED: range fault, before hmm_range_fault(); mmap_lock is held
 *	for reading
 * @XMIRROR_PT_RAW_EXCLUSIVE: see &struct xmirror_raw_exclusive
 * @XMIRROR_PT_RAW_UNMAPPED: see &struct xmirror_raw_migrate
 * @XMIRROR_PT_RAW_MOVED: the same
 * @XMIRROR_PT_QUEUES_STOPPED: an invalidation of a part of a range that the device
 *	holds as a whole (&struct xmirror_resident): its queues are stopped, and no leaf
 *	is cleared yet; the caller's locks are held
 * @XMIRROR_PT_RESTORE_BEGIN: before such a range is mapped, for the first time or
 *	again, in the kernel's thread that does it; no lock held, but
 *	XMIRROR_RESIDENT_ADD and XMIRROR_RESIDENT_REMOVE of this file wait
 * @XMIRROR_PT_FAULT_MISSING: range fault, after the look at the VMAs and at the present
 *	entries, and before missing pages are faulted in; no lock held
 * @XMIRROR_PT_NR: number of points; not a point
 *
 * Eviction and unplug belong to no mirror: these points are reached by every
 * mirror of the device that has armed them, whoever the pages belong to, and
 * have no range.
 */
enum xmirror_point {
	XMIRROR_PT_FAULT_BEGIN,
	XMIRROR_PT_FAULT_WALKED,
	XMIRROR_PT_FAULT_DONE,
	XMIRROR_PT_EXCL_BEGIN,
	XMIRROR_PT_EXCL_MADE,
	XMIRROR_PT_EXCL_COMMITTED,
	XMIRROR_PT_EXCL_DONE,
	XMIRROR_PT_ACCESS,
	XMIRROR_PT_INV_OWN,
	XMIRROR_PT_INV_ENTER,
	XMIRROR_PT_INV_EXIT,
	XMIRROR_PT_RELEASE,
	XMIRROR_PT_MIGRATE_BEGIN,
	XMIRROR_PT_MIGRATE_COPIED,
	XMIRROR_PT_DEVMEM_ALLOC,
	XMIRROR_PT_MIGRATE_COPY,
	XMIRROR_PT_MIGRATE_PAGE,
	XMIRROR_PT_DIRTY,
	XMIRROR_PT_EXCL_STALE,
	XMIRROR_PT_MIGRATE_UNMAPPED,
	XMIRROR_PT_MIGRATE_MOVED,
	XMIRROR_PT_TO_RAM_BEGIN,
	XMIRROR_PT_TO_RAM_UNMAPPED,
	XMIRROR_PT_TO_RAM_COPIED,
	XMIRROR_PT_TO_RAM_MOVED,
	XMIRROR_PT_TO_RAM_DONE,
	XMIRROR_PT_EVICT_BEGIN,
	XMIRROR_PT_EVICT_UNMAPPED,
	XMIRROR_PT_EVICT_COPIED,
	XMIRROR_PT_UNPLUG,
	XMIRROR_PT_FAULT_LOCKED,
	XMIRROR_PT_RAW_EXCLUSIVE,
	XMIRROR_PT_RAW_UNMAPPED,
	XMIRROR_PT_RAW_MOVED,
	XMIRROR_PT_QUEUES_STOPPED,
	XMIRROR_PT_RESTORE_BEGIN,
	XMIRROR_PT_FAULT_MISSING,
	XMIRROR_PT_NR
};

/**
 * enum xmirror_sync_cmd - what XMIRROR_IOC_SYNC does
 * @XMIRROR_SYNC_ARM: arm a point; @id is returned
 * @XMIRROR_SYNC_REACHED: wait until @id has been reached
 * @XMIRROR_SYNC_RESUME: let the thread that stopped at @id go on, and disarm it
 */
enum xmirror_sync_cmd {
	XMIRROR_SYNC_ARM = 1,
	XMIRROR_SYNC_REACHED,
	XMIRROR_SYNC_RESUME,
};

/**
 * enum xmirror_sync_action - what happens at a point
 * @XMIRROR_SYNC_PAUSE: the thread stops until resumed or until its deadline;
 *	where it must not sleep the point is passed and not counted
 * @XMIRROR_SYNC_FAIL: the operation fails with @error; only at points named
 *	FAULT_BEGIN, FAULT_WALKED, EXCL_BEGIN, EXCL_MADE and RESTORE_BEGIN, and
 *	without a use for @error at DEVMEM_ALLOC, MIGRATE_COPY, MIGRATE_PAGE and
 *	DIRTY (-EINVAL elsewhere)
 */
enum xmirror_sync_action {
	XMIRROR_SYNC_PAUSE = 1,
	XMIRROR_SYNC_FAIL,
};

/**
 * struct xmirror_sync - arm a sync point, wait for it, let go
 * @size: sizeof(struct xmirror_sync)
 * @flags: must be zero
 * @cmd: enum xmirror_sync_cmd
 * @action: ARM: enum xmirror_sync_action
 * @point: ARM: enum xmirror_point
 * @event: ARM: for INV_* and QUEUES_STOPPED: event number + 1 to match, 0: any
 * @addr: ARM: only for ranges that overlap @addr..@addr + @length; both zero:
 *	any range
 * @length: ARM: see @addr
 * @skip: ARM: how many matches are passed first
 * @timeout_ms: ARM: longest stop (1 to 60000); REACHED: longest wait, and out: what
 *	is left of it when a signal came
 * @error: ARM: positive errno for XMIRROR_SYNC_FAIL
 * @id: ARM: out; REACHED and RESUME: in
 * @hits: REACHED, RESUME: out: matches so far, the skipped ones included
 * @timed_out: RESUME: out: 1 if the stop ended by its deadline
 * @__reserved: must be zero
 *
 * A point is armed for this mirror, once: it disarms itself when reached. All
 * that a file has armed goes when it closes. -ENOENT: no such @id; -ETIMEDOUT:
 * not reached; -ENOSPC: 32 points are armed; -EPERM: ARM without CAP_SYS_ADMIN.
 */
struct xmirror_sync {
	__u32 size;
	__u32 flags;
	__u32 cmd;
	__u32 action;
	__u32 point;
	__u32 event;
	__u64 addr;
	__u64 length;
	__u32 skip;
	__u32 timeout_ms;
	__u32 error;
	__u32 id;
	__u64 hits;
	__u32 timed_out;
	__u32 __reserved;
};

/**
 * enum xmirror_inject_what - what XMIRROR_IOC_INJECT makes fail
 * @XMIRROR_INJECT_ALLOC: allocating memory of this device for a migration. What
 *	was to be one large folio is tried in small pages; a page stays where it
 *	is
 * @XMIRROR_INJECT_COPY: copying a page, or a large folio, that migrates: it
 *	stays where it is
 * @XMIRROR_INJECT_PARTIAL: moving a page, or a large folio, after it was
 *	copied: it stays where it is
 * @XMIRROR_INJECT_COMMIT: the commit of what a range fault has read (with EBUSY
 *	it is tried again), or of an exclusive page (with EAGAIN)
 * @XMIRROR_INJECT_NOTIFIER: an invalidation by somebody else takes @delay_ms
 *	longer before it clears leaves, where it may sleep and does not come from
 *	a process that exits; else it does not count
 * @XMIRROR_INJECT_DIRTY: telling the folio that the device wrote to it, when a
 *	leaf goes: what the device wrote may get lost
 * @XMIRROR_INJECT_STALE: noticing that an exclusive page was invalidated while
 *	it was made: its leaf is committed, as by a driver that relies on the
 *	folio lock alone, and may be wrong
 * @XMIRROR_INJECT_POISON: reading a page for a copy, whoever moves it: as if the
 *	hardware had told of a memory error. It stays where it is, and so does all of
 *	its large folio; a CPU that touched it gets a SIGBUS
 * @XMIRROR_INJECT_NR: number of them; not one
 *
 * The first three are about XMIRROR_IOC_MIGRATE of this file. Evictions and CPU
 * faults belong to nobody. XMIRROR_INJECT_POISON is about all that this device has,
 * or is to get, of whatever process.
 */
enum xmirror_inject_what {
	XMIRROR_INJECT_ALLOC,
	XMIRROR_INJECT_COPY,
	XMIRROR_INJECT_PARTIAL,
	XMIRROR_INJECT_COMMIT,
	XMIRROR_INJECT_NOTIFIER,
	XMIRROR_INJECT_DIRTY,
	XMIRROR_INJECT_STALE,
	XMIRROR_INJECT_POISON,
	XMIRROR_INJECT_NR
};

/**
 * struct xmirror_inject - have the device fail
 * @size: sizeof(struct xmirror_inject)
 * @flags: must be zero
 * @what: enum xmirror_inject_what; -EINVAL if unknown
 * @error: positive errno of XMIRROR_INJECT_COMMIT, else zero
 * @skip: how many go well first
 * @times: how many fail then; ~0: all; 0: none, and @error and @delay_ms have to
 *	be zero
 * @delay_ms: 1 to 60000 for XMIRROR_INJECT_NOTIFIER, else zero
 * @__reserved: must be zero
 * @hits: out: how many there were since the last call for this @what
 * @injected: out: how many of them failed, or were delayed
 *
 * Holds for this mirror until the next call for the same @what or until the file
 * closes. A delay ends then, too, unless another one was armed. Failures that
 * XMIRROR_IOC_SYNC arms are not counted. -EPERM: @times is not zero, and no
 * CAP_SYS_ADMIN.
 */
struct xmirror_inject {
	__u32 size;
	__u32 flags;
	__u32 what;
	__u32 error;
	__u64 skip;
	__u64 times;
	__u32 delay_ms;
	__u32 __reserved;
	__u64 hits;
	__u64 injected;
};

/**
 * enum xmirror_resident_cmd - what XMIRROR_IOC_RESIDENT does
 * @XMIRROR_RESIDENT_ADD: have the device hold a range as a whole; returns when all of
 *	it was mapped. -EEXIST: a part of it is held already; -ENOSPC: 64 ranges are;
 *	-ENOENT: removed before it was mapped; errors as for XMIRROR_IOC_FAULT
 * @XMIRROR_RESIDENT_REMOVE: hold it no longer; the range is that of an ADD. -ENOENT:
 *	there is none; -EINTR
 * @XMIRROR_RESIDENT_STATE: the range that @addr is in, when the queues run. -ENOENT: it
 *	is in none; -ETIMEDOUT: they are still stopped; -EINTR: a signal
 */
enum xmirror_resident_cmd {
	XMIRROR_RESIDENT_ADD = 1,
	XMIRROR_RESIDENT_REMOVE,
	XMIRROR_RESIDENT_STATE,
};

/** XMIRROR_RESIDENT_WRITE: ADD: the device may write to it, too. */
#define XMIRROR_RESIDENT_WRITE	(1U << 0)

/**
 * enum xmirror_resident_state - a range that the device holds as a whole
 * @XMIRROR_RESIDENT_MAPPED: all of it is mapped
 * @XMIRROR_RESIDENT_RESTORING: it is being mapped; the queues of the file are stopped
 * @XMIRROR_RESIDENT_SUSPENDED: that was given up, for good
 */
enum xmirror_resident_state {
	XMIRROR_RESIDENT_MAPPED = 1,
	XMIRROR_RESIDENT_RESTORING,
	XMIRROR_RESIDENT_SUSPENDED,
};

/**
 * struct xmirror_resident - a range for a device that cannot fault
 * @size: sizeof(struct xmirror_resident)
 * @flags: ADD: XMIRROR_RESIDENT_WRITE; else zero
 * @cmd: enum xmirror_resident_cmd; -EINVAL if unknown
 * @state: STATE: out: enum xmirror_resident_state
 * @addr: first byte, page aligned; STATE: in: any byte, out: the first one
 * @length: bytes, page aligned; STATE: in: must be zero, out: bytes
 * @timeout_ms: STATE: how long to wait until the queues run; 0 does not wait, ~0 waits
 *	for ever; out: what is left of it when a signal came. Else must be zero
 * @error: STATE: out: negative errno of the last try to map it, 0: it is mapped
 * @__reserved: must be zero
 * @stops: STATE: out: times that the queues of this file were stopped
 * @runs: STATE: out: times that the kernel's thread that maps ranges ran for it
 * @restores: STATE: out: ranges that it mapped again
 * @failures: STATE: out: tries of it that failed
 *
 * The range is mapped as a whole, or the queues of the file stand still: an
 * invalidation of any part stops them before it clears a leaf, no access of the file
 * is in flight then, and all of the range is mapped again without anybody asking for
 * that; then they start. Jobs, and XMIRROR_IOC_RW, wait meanwhile, in whatever memory
 * they work. In the range they never fault, and atomics need no exclusive page.
 *
 * A try that fails is made again after a while, eight in all, and one that is disturbed
 * for as long as XMIRROR_SET_TIMEOUT says. Then the range is suspended: the queues
 * start, and whatever comes to the range fails with the error of the last try, until
 * it is removed. A write to a range that was added without XMIRROR_RESIDENT_WRITE:
 * -EPERM.
 */
struct xmirror_resident {
	__u32 size;
	__u32 flags;
	__u32 cmd;
	__u32 state;
	__u64 addr;
	__u64 length;
	__u32 timeout_ms;
	__s32 error;
	__u64 __reserved;
	__u64 stops;
	__u64 runs;
	__u64 restores;
	__u64 failures;
};

/*
 * Raw calls: what a driver calls in the kernel, made exactly as told and with none
 * of a driver's checks before it, on the caller's own mm. They touch no device page
 * table. All need CAP_SYS_ADMIN (-EPERM). Each returns 0 if the kernel's call was
 * made, whose own return value is then in @result, a negative errno or as told; what
 * one call has locked or referenced is let go before it returns.
 *
 * Private memory for them is a pool of eight huge pages (16 MiB with pages of 4 KiB) that
 * has nothing to do with the devices, made when it is first needed.
 */
#define XMIRROR_IOC_RAW_EXCLUSIVE	_IO(XMIRROR_IOC_TYPE, 0x20)
#define XMIRROR_IOC_RAW_HMM		_IO(XMIRROR_IOC_TYPE, 0x21)
#define XMIRROR_IOC_RAW_MIGRATE		_IO(XMIRROR_IOC_TYPE, 0x22)
#define XMIRROR_IOC_RAW_NOTIFIER	_IO(XMIRROR_IOC_TYPE, 0x23)
#define XMIRROR_IOC_RAW_STATE		_IO(XMIRROR_IOC_TYPE, 0x24)

/**
 * enum xmirror_raw_owner - whom the kernel is told to work for
 * @XMIRROR_RAW_NOBODY: NULL
 * @XMIRROR_RAW_POOL: whom the pool of raw calls belongs to
 * @XMIRROR_RAW_MIRROR: the mirror of this file
 * @XMIRROR_RAW_STRANGER: somebody whom nothing belongs to
 */
enum xmirror_raw_owner {
	XMIRROR_RAW_NOBODY,
	XMIRROR_RAW_POOL,
	XMIRROR_RAW_MIRROR,
	XMIRROR_RAW_STRANGER,
};

/** XMIRROR_RAW_MAX_PAGES: the most pages of a raw call. */
#define XMIRROR_RAW_MAX_PAGES	2048

/**
 * struct xmirror_raw_exclusive - make_device_exclusive()
 * @size: sizeof(struct xmirror_raw_exclusive)
 * @flags: must be zero
 * @addr: as told to the kernel, of any alignment
 * @owner: enum xmirror_raw_owner
 * @nr: pages, 1 to 16: before Linux 6.15 one call of
 *	make_device_exclusive_range(), since then one call after the other, each
 *	folio unlocked before the next, until one fails
 * @pfns: pointer to @nr __u64: page frames, 0: not made exclusive
 * @result: out: how many pages the kernel has answered for, or the error of the
 *	first one
 * @error: out: the error of the last call, if @result is less than @nr
 *
 * While a page is locked XMIRROR_PT_RAW_EXCLUSIVE is passed, with mmap_lock held for
 * reading. -EOPNOTSUPP without CONFIG_DEVICE_PRIVATE.
 */
struct xmirror_raw_exclusive {
	__u32 size;
	__u32 flags;
	__u64 addr;
	__u32 owner;
	__u32 nr;
	__u64 pfns;
	__s32 result;
	__s32 error;
};

/* struct xmirror_raw_pfn.flags */
#define XMIRROR_HMM_VALID	(1U << 0)	/* in: HMM_PFN_REQ_FAULT */
#define XMIRROR_HMM_WRITE	(1U << 1)	/* in: HMM_PFN_REQ_WRITE */
#define XMIRROR_HMM_ERROR	(1U << 2)
#define XMIRROR_HMM_STICKY	(1U << 3)	/* HMM_PFN_DMA_MAPPED, Linux 6.16 */

/**
 * struct xmirror_raw_pfn - one entry of hmm_range.hmm_pfns
 * @pfn: out: page frame
 * @flags: in and out: XMIRROR_HMM_* bits
 * @order: out: order of the mapping
 */
struct xmirror_raw_pfn {
	__u64 pfn;
	__u32 flags;
	__u32 order;
};

/** XMIRROR_RAW_HMM_UNLOCKED: hmm_range_fault_unlocked_timeout() with @timeout_ms. */
#define XMIRROR_RAW_HMM_UNLOCKED	(1U << 0)
/** XMIRROR_RAW_HMM_STALE: with the sequence number of before an invalidation. */
#define XMIRROR_RAW_HMM_STALE		(1U << 1)

/**
 * struct xmirror_raw_hmm - hmm_range_fault()
 * @size: sizeof(struct xmirror_raw_hmm)
 * @flags: XMIRROR_RAW_HMM_*
 * @addr: first byte, page aligned
 * @length: bytes, page aligned
 * @owner: enum xmirror_raw_owner
 * @default_flags: XMIRROR_HMM_* bits
 * @mask: XMIRROR_HMM_* bits, pfn_flags_mask
 * @timeout_ms: of XMIRROR_RAW_HMM_UNLOCKED; 0: no limit
 * @pfns: pointer to an array of &struct xmirror_raw_pfn
 * @result: out: what the kernel returned
 * @retry: out: what mmu_interval_read_retry() said afterwards
 * @ns: out: nanoseconds from mmu_interval_read_begin() until mmap_lock was let go
 *
 * -EOPNOTSUPP: this kernel has no such call.
 */
struct xmirror_raw_hmm {
	__u32 size;
	__u32 flags;
	__u64 addr;
	__u64 length;
	__u32 owner;
	__u32 default_flags;
	__u32 mask;
	__u32 timeout_ms;
	__u64 pfns;
	__s32 result;
	__u32 retry;
	__u64 ns;
};

/* struct xmirror_raw_migrate.flags */
#define XMIRROR_RAW_SELECT_SYSTEM	(1U << 0)
#define XMIRROR_RAW_SELECT_PRIVATE	(1U << 1)
#define XMIRROR_RAW_SELECT_COHERENT	(1U << 2)
#define XMIRROR_RAW_SELECT_COMPOUND	(1U << 3)
/** XMIRROR_RAW_ABORT: migrate_vma_finalize() right after migrate_vma_setup(). */
#define XMIRROR_RAW_ABORT		(1U << 4)
/**
 * XMIRROR_RAW_RANGE: migrate_device_range() for the pages of the pool from page
 * frame @addr on.
 */
#define XMIRROR_RAW_RANGE		(1U << 5)
/** XMIRROR_RAW_PFNS: the same by migrate_device_pfns() (Linux 6.15). */
#define XMIRROR_RAW_PFNS		(1U << 6)
/* What migrate_vma_setup() has to refuse */
#define XMIRROR_RAW_NO_VMA		(1U << 7)
#define XMIRROR_RAW_NO_SRC		(1U << 8)
#define XMIRROR_RAW_NO_DST		(1U << 9)
/** XMIRROR_RAW_FAULT_SYSTEM: fault_page is the zero page. */
#define XMIRROR_RAW_FAULT_SYSTEM	(1U << 10)
/** XMIRROR_RAW_FAULT_UNLOCKED: fault_page is a page of the pool that nobody locked. */
#define XMIRROR_RAW_FAULT_UNLOCKED	(1U << 11)
/**
 * XMIRROR_RAW_UNSAFE: do what a kernel is known to crash at: small pages for some
 * of a hole of 2 MiB (Documentation/findings.md, 16), a large folio for a small page
 * (27), another page of the system for one of a file or of shmem (28) or for one that is
 * still written to swap (32), small pages of private memory for 2 MiB of that. Otherwise
 * such pages stay where they are.
 */
#define XMIRROR_RAW_UNSAFE		(1U << 12)

/**
 * enum xmirror_raw_dst - where a page is to go
 * @XMIRROR_RAW_STAY: nowhere: a hole in dst
 * @XMIRROR_RAW_PRIVATE: to the pool
 * @XMIRROR_RAW_SYSTEM: to another page of the system
 * @XMIRROR_RAW_PRIVATE_LARGE: 2 MiB that begin here, to a large folio of the pool
 * @XMIRROR_RAW_SYSTEM_LARGE: the same, to a large folio of the system
 */
enum xmirror_raw_dst {
	XMIRROR_RAW_STAY,
	XMIRROR_RAW_PRIVATE,
	XMIRROR_RAW_SYSTEM,
	XMIRROR_RAW_PRIVATE_LARGE,
	XMIRROR_RAW_SYSTEM_LARGE,
};

/* struct xmirror_raw_move.setup and .pages: MIGRATE_PFN_* */
#define XMIRROR_RAW_VALID	(1U << 0)
#define XMIRROR_RAW_MIGRATE	(1U << 1)
#define XMIRROR_RAW_WRITE	(1U << 2)
#define XMIRROR_RAW_COMPOUND	(1U << 3)

/**
 * struct xmirror_raw_move - one page of a migration
 * @src_pfn: out: page frame of the source after migrate_vma_setup(), 0: none
 * @dst_pfn: out: page frame of what was allocated, 0: none
 * @setup: out: XMIRROR_RAW_* bits after migrate_vma_setup()
 * @pages: out: the same after migrate_vma_pages()
 * @dst: in: enum xmirror_raw_dst. Counts only where @setup has XMIRROR_RAW_MIGRATE,
 *	and in the small pages behind a XMIRROR_RAW_COMPOUND that gets no large folio
 * @__reserved: must be zero
 */
struct xmirror_raw_move {
	__u64 src_pfn;
	__u64 dst_pfn;
	__u32 setup;
	__u32 pages;
	__u32 dst;
	__u32 __reserved;
};

/**
 * struct xmirror_raw_migrate - migrate_vma_setup(), _pages() and _finalize()
 * @size: sizeof(struct xmirror_raw_migrate)
 * @flags: XMIRROR_RAW_*
 * @addr: as told to the kernel, of any alignment
 * @length: bytes, as told to the kernel
 * @owner: enum xmirror_raw_owner
 * @result: out: what migrate_vma_setup() returned
 * @moves: pointer to &struct xmirror_raw_move for every page
 * @cpages: out: pages that were collected
 * @npages: out: entries that were filled
 * @ns: out: nanoseconds from migrate_vma_setup() to the end of migrate_vma_finalize(),
 *	with allocating and copying in between; 0 for migrate_device_*()
 *
 * The VMA is the one at @addr. Pages are copied if they are of anonymous memory or
 * of shmem, and stay where they are otherwise.
 * XMIRROR_PT_RAW_UNMAPPED is passed after setup, XMIRROR_PT_RAW_MOVED after pages,
 * both with mmap_lock held for reading. -EOPNOTSUPP without CONFIG_DEVICE_PRIVATE.
 */
struct xmirror_raw_migrate {
	__u32 size;
	__u32 flags;
	__u64 addr;
	__u64 length;
	__u32 owner;
	__s32 result;
	__u64 moves;
	__u64 cpages;
	__u64 npages;
	__u64 ns;
};

/**
 * XMIRROR_RAW_PLAIN: a plain notifier, which is of the whole mm; what does not meet
 * @addr and @length is not counted, and not refused. It has no sequence numbers.
 */
#define XMIRROR_RAW_PLAIN		(1U << 0)
/**
 * XMIRROR_RAW_TWO_PASSES: an interval notifier whose invalidations have a second pass,
 * which comes when the first ones of all have been called; BLOCK is about that one. One
 * that begins while another is under way has none. -EOPNOTSUPP: this kernel has no such
 * notifiers.
 */
#define XMIRROR_RAW_TWO_PASSES		(1U << 1)
/**
 * XMIRROR_RAW_NO_END: with XMIRROR_RAW_PLAIN. It hears of no ends, and so may REFUSE: a
 * start that does that must have no end (mm/mmu_notifier.c).
 */
#define XMIRROR_RAW_NO_END		(1U << 2)

/**
 * enum xmirror_raw_notifier_cmd - what XMIRROR_IOC_RAW_NOTIFIER does
 * @XMIRROR_RAW_INSERT: mmu_interval_notifier_insert() for @addr and @length, or
 *	mmu_notifier_register() with XMIRROR_RAW_PLAIN
 * @XMIRROR_RAW_REMOVE: mmu_interval_notifier_remove() or mmu_notifier_unregister(); its
 *	counters can still be read
 * @XMIRROR_RAW_READ_BEGIN: mmu_interval_read_begin(), to @seq
 * @XMIRROR_RAW_READ_RETRY: mmu_interval_read_retry() for @seq
 * @XMIRROR_RAW_CHECK_RETRY: mmu_interval_check_retry() for @seq
 * @XMIRROR_RAW_BLOCK: from now on each invalidation that it hears and that may sleep
 *	waits, for a minute at most, and not for a process that exits or is killed
 * @XMIRROR_RAW_GO: no more of BLOCK and REFUSE, and whoever waits goes on
 * @XMIRROR_RAW_LOOK: nothing
 * @XMIRROR_RAW_INSIDE: wait until an invalidation is blocked
 * @XMIRROR_RAW_REFUSE: from now on it answers no to each invalidation that may not
 *	sleep, as a driver that would have to sleep does, and takes no notice of it
 */
enum xmirror_raw_notifier_cmd {
	XMIRROR_RAW_INSERT = 1,
	XMIRROR_RAW_REMOVE,
	XMIRROR_RAW_READ_BEGIN,
	XMIRROR_RAW_READ_RETRY,
	XMIRROR_RAW_CHECK_RETRY,
	XMIRROR_RAW_BLOCK,
	XMIRROR_RAW_GO,
	XMIRROR_RAW_LOOK,
	XMIRROR_RAW_INSIDE,
	XMIRROR_RAW_REFUSE,
};

/**
 * struct xmirror_raw_notifier - a notifier of the test's own
 * @size: sizeof(struct xmirror_raw_notifier)
 * @flags: INSERT: 0, XMIRROR_RAW_TWO_PASSES, XMIRROR_RAW_PLAIN, or that and
 *	XMIRROR_RAW_NO_END; else must be zero
 * @cmd: enum xmirror_raw_notifier_cmd
 * @id: INSERT: out; else in. 1 to 16
 * @addr: INSERT: first byte
 * @length: INSERT: bytes
 * @seq: READ_BEGIN: out; READ_RETRY, CHECK_RETRY: in
 * @result: out: INSERT: what the kernel returned; the two RETRY: 0 or 1
 * @inside: out: invalidations that are blocked now
 * @hits: out: invalidations that it heard
 * @late: out: those of them after REMOVE had returned
 * @start: out: first byte of the last one
 * @end: out: byte behind the last of the last one
 * @event: out: its event
 * @__reserved: must be zero
 * @ends: out: ends of invalidations that a plain one heard; second passes
 * @releases: out: how often a plain one heard that the mm ends; REMOVE before that counts
 *
 * INSERT is for the mirrored mm only. All else is for any process that has the file,
 * also when that mm has no user any more.
 *
 * All of a file go when it closes. -ENOENT: no such @id, or it was removed already;
 * -ENOSPC: 16 were inserted; -ETIMEDOUT: nothing is INSIDE after half a minute;
 * -EINVAL: a command that a plain one does not have; -EINTR.
 */
struct xmirror_raw_notifier {
	__u32 size;
	__u32 flags;
	__u32 cmd;
	__u32 id;
	__u64 addr;
	__u64 length;
	__u64 seq;
	__s32 result;
	__u32 inside;
	__u64 hits;
	__u64 late;
	__u64 start;
	__u64 end;
	__u32 event;
	__u32 __reserved;
	__u64 ends;
	__u64 releases;
};

/* struct xmirror_raw_state.entry: the CPU's entry */
#define XMIRROR_ENTRY_PRESENT		(1U << 0)
#define XMIRROR_ENTRY_WRITE		(1U << 1)
#define XMIRROR_ENTRY_DIRTY		(1U << 2)
#define XMIRROR_ENTRY_YOUNG		(1U << 3)
#define XMIRROR_ENTRY_SOFT_DIRTY	(1U << 4)
#define XMIRROR_ENTRY_UFFD_WP		(1U << 5)
#define XMIRROR_ENTRY_EXCLUSIVE		(1U << 6)
#define XMIRROR_ENTRY_PRIVATE		(1U << 7)
#define XMIRROR_ENTRY_OTHER		(1U << 8)	/* swap, migration, marker */
#define XMIRROR_ENTRY_HUGE		(1U << 9)
#define XMIRROR_ENTRY_SPECIAL		(1U << 10)	/* PFN map, zero page */

/* struct xmirror_raw_state.folio */
#define XMIRROR_FOLIO_DIRTY		(1U << 0)
#define XMIRROR_FOLIO_REFERENCED	(1U << 1)
#define XMIRROR_FOLIO_ACTIVE		(1U << 2)
#define XMIRROR_FOLIO_MLOCKED		(1U << 3)
#define XMIRROR_FOLIO_UNEVICTABLE	(1U << 4)
#define XMIRROR_FOLIO_SWAPCACHE		(1U << 5)
#define XMIRROR_FOLIO_SWAPBACKED	(1U << 6)
#define XMIRROR_FOLIO_LRU		(1U << 7)
#define XMIRROR_FOLIO_ANON		(1U << 8)
#define XMIRROR_FOLIO_KSM		(1U << 9)
#define XMIRROR_FOLIO_LARGE		(1U << 10)
#define XMIRROR_FOLIO_LOCKED		(1U << 11)
#define XMIRROR_FOLIO_ANON_EXCLUSIVE	(1U << 12)
#define XMIRROR_FOLIO_CHARGED		(1U << 13)
#define XMIRROR_FOLIO_DEVICE		(1U << 14)

/**
 * struct xmirror_raw_page - every bit of a page that a migration has to keep
 * @pfn: page frame of the entry, 0: none
 * @raw: the entry as it is in the page table, to be compared only
 * @entry: XMIRROR_ENTRY_* bits
 * @folio: XMIRROR_FOLIO_* bits
 * @refs: references to the folio
 * @maps: mappings of the folio
 */
struct xmirror_raw_page {
	__u64 pfn;
	__u64 raw;
	__u32 entry;
	__u32 folio;
	__s32 refs;
	__s32 maps;
};

/**
 * struct xmirror_raw_state - look at pages, and change nothing
 * @size: sizeof(struct xmirror_raw_state)
 * @flags: must be zero
 * @addr: first byte, page aligned
 * @length: bytes, page aligned
 * @pages: pointer to &struct xmirror_raw_page for every page
 */
struct xmirror_raw_state {
	__u32 size;
	__u32 flags;
	__u64 addr;
	__u64 length;
	__u64 pages;
};

/**
 * enum xmirror_hold_cmd - what XMIRROR_IOC_HOLD does
 * @XMIRROR_HOLD_FUNCTIONS: attach to @nr functions, whose addresses (__u64) are at
 *	@array, instead of those before; none: detach. @nr: how many of them can be
 *	traced. -ENOENT: none of them; -EBUSY: another file has attached; -E2BIG
 * @XMIRROR_HOLD_RECORD: write down the calls that task @tid makes of these
 *	functions, at most @nr (262144); -EINVAL for none or more
 * @XMIRROR_HOLD_CALLS: end that, and get the first @nr of them as &struct
 *	xmirror_call at @array. @nr: how many there were. -ENOENT: none recorded,
 *	or they have been fetched
 * @XMIRROR_HOLD_ARM: hold task @tid at its call number @hit (from 0) of the function
 *	at @function, which is one of those attached to. Where the function may
 *	sleep so does the task, for up to @sleep_ms (1 to 60000), and elsewhere it
 *	spins for up to @spin_ms (1 to 5000). Armed once: it disarms itself. -EBUSY:
 *	a function whose return was to be held has not returned; -EOPNOTSUPP:
 *	returns cannot be held on this architecture
 *	A thread that arms or records itself is outside the call that did that before
 *	anything counts
 * @XMIRROR_HOLD_REACHED: wait up to @timeout_ms until the task is there.
 *	-ETIMEDOUT: it is not; -EINTR: a signal
 * @XMIRROR_HOLD_RELEASE: let it go on, or disarm, tell how it went, and forget that.
 *	What was recorded is there for CALLS
 */
enum xmirror_hold_cmd {
	XMIRROR_HOLD_FUNCTIONS = 1,
	XMIRROR_HOLD_RECORD,
	XMIRROR_HOLD_CALLS,
	XMIRROR_HOLD_ARM,
	XMIRROR_HOLD_REACHED,
	XMIRROR_HOLD_RELEASE,
};

/** XMIRROR_HOLDS: so many tasks can be held at a time. */
#define XMIRROR_HOLDS		2

/** XMIRROR_HOLD_RETURN: ARM: hold the task when the function returns. */
#define XMIRROR_HOLD_RETURN	(1U << 0)
/** XMIRROR_HOLD_SPIN: ARM: spin also where the function may sleep. */
#define XMIRROR_HOLD_SPIN	(1U << 1)

/* struct xmirror_hold.state */
#define XMIRROR_HELD_HERE	(1U << 0)	/* the task has come there */
#define XMIRROR_HELD_ASLEEP	(1U << 1)	/* it sleeps; else it spins */
#define XMIRROR_HELD_TIMED_OUT	(1U << 2)	/* it went on by its deadline */
#define XMIRROR_HELD_LEFT	(1U << 3)	/* it has gone on */

/* Where a function was called: struct xmirror_call.context. Zero: it may sleep. */
#define XMIRROR_IN_ATOMIC	(1U << 0)	/* preemption is off, or may be */
#define XMIRROR_IN_IRQS_OFF	(1U << 1)
#define XMIRROR_IN_RCU		(1U << 2)	/* an RCU read-side section */
#define XMIRROR_IN_WAIT		(1U << 3)	/* the task is about to sleep */

/**
 * struct xmirror_call - a recorded call
 * @ip: where in the function, at most 15 bytes from its beginning
 * @parent: where it returns to
 * @context: XMIRROR_IN_* bits
 * @__reserved: zero
 */
struct xmirror_call {
	__u64 ip;
	__u64 parent;
	__u32 context;
	__u32 __reserved;
};

/**
 * struct xmirror_hold - hold a task at a function of the kernel
 * @size: sizeof(struct xmirror_hold)
 * @flags: ARM: XMIRROR_HOLD_RETURN, XMIRROR_HOLD_SPIN; else zero
 * @cmd: enum xmirror_hold_cmd
 * @tid: RECORD, ARM: the thread, zero for the caller (-ESRCH)
 * @array: FUNCTIONS, CALLS: pointer to an array
 * @nr: FUNCTIONS, RECORD, CALLS: in and out; REACHED, RELEASE: out: calls of the
 *	function so far, or of all functions if they are recorded
 * @hit: ARM: see there
 * @function: ARM: address of the function, or of up to 15 bytes before @ip of a
 *	recorded call
 * @sleep_ms: ARM: deadline
 * @spin_ms: ARM: deadline
 * @timeout_ms: REACHED: longest wait
 * @state: REACHED, RELEASE: out: how it went
 * @context: REACHED, RELEASE: out: XMIRROR_IN_* bits of the place
 * @slot: which hold, below XMIRROR_HOLDS (-EINVAL); FUNCTIONS: zero
 * @held_ns: RELEASE: out: how long the task was held
 *
 * There are XMIRROR_HOLDS holds for all devices, which have nothing to do with a
 * mirror: any process that has the file may use them. FUNCTIONS is for all of them;
 * each of the others works on one hold and leaves the rest alone, so that as many
 * tasks are held or recorded at a time, or one of them at two places. -EPERM
 * without CAP_SYS_ADMIN; -ENOENT: the file is not attached to functions; -EOPNOTSUPP
 * without XMIRROR_CAP_HOLD.
 *
 * The last close of the file lets go and detaches; being killed ends a hold, too,
 * unless the task is exiting already.
 */
struct xmirror_hold {
	__u32 size;
	__u32 flags;
	__u32 cmd;
	__u32 tid;
	__u64 array;
	__u32 nr;
	__u32 hit;
	__u64 function;
	__u32 sleep_ms;
	__u32 spin_ms;
	__u32 timeout_ms;
	__u32 state;
	__u32 context;
	__u32 slot;
	__u64 held_ns;
};

#endif /* _UAPI_LINUX_XMIRROR_H */
