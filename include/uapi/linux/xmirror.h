/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * xmirror: the interface of the fake accelerators /dev/xmirrorN.
 *
 * Rules that hold for every call:
 *
 *  - Each open file is one mirror of the opener's mm. A caller with another mm
 *    gets -EPERM; once the mm is gone, which it is not while an engine works on
 *    it, every call returns -ESRCH.
 *  - Each struct starts with @size, the caller's sizeof. A shorter struct than
 *    the kernel's has its missing tail read as zero and only the caller's part
 *    written back; a longer one is refused with -E2BIG unless its unknown tail
 *    is zero and it is no longer than a page. A size below the first
 *    version's is -EINVAL.
 *  - Unknown @flags and non-zero reserved fields are -EINVAL.
 *  - Addresses and lengths are in bytes. Ranges have to be page aligned, not
 *    empty, must not wrap (-EINVAL) and must end below TASK_SIZE (-EFAULT).
 *  - Out fields are written back on failure, too: a range call that failed
 *    half-way reports the leading part that was done.
 *  - An unknown ioctl number is -ENOTTY.
 *  - All structs have the same layout for 32-bit and 64-bit callers.
 */
#ifndef _UAPI_LINUX_XMIRROR_H
#define _UAPI_LINUX_XMIRROR_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define XMIRROR_IOC_TYPE	0xb8

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
 * reclaim, migration and compaction work on it (Linux 6.15).
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
 * @why: for each bit of @lacks a line that names the kernel option or version
 *	that has it; NUL terminated
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
};

/* struct xmirror_set.param */
/** XMIRROR_SET_TIMEOUT: milliseconds (1 to 600000) that a fault may retry. */
#define XMIRROR_SET_TIMEOUT	1
/**
 * XMIRROR_SET_GRANULE: largest leaf in bytes: 4096, 65536 or 2097152; ~0 for the
 * largest there is. A device fault maps what is there already in the granule
 * around the address, too.
 */
#define XMIRROR_SET_GRANULE	2
/**
 * XMIRROR_SET_VRAM_GRANULE: the most bytes that a CPU fault in a mapping of this
 * file maps: 4096, 65536 or 2097152; ~0 for the largest there is, which is what
 * a file starts with. See &struct xmirror_vram.
 */
#define XMIRROR_SET_VRAM_GRANULE	3
/**
 * XMIRROR_SET_VRAM_UNSAFE: map VRAM in a way that no driver should, to show why:
 * XMIRROR_VRAM_UNSAFE_*, zero to behave. -EPERM without CAP_SYS_ADMIN;
 * -EOPNOTSUPP where this kernel has no such way.
 */
#define XMIRROR_SET_VRAM_UNSAFE		4

/**
 * XMIRROR_SET_FORK: what happens to exclusive pages when the process forks.
 * XMIRROR_FORK_LAZY, which a file starts with, or XMIRROR_FORK_EAGER.
 */
#define XMIRROR_SET_FORK		5

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
 * and pass XMIRROR_PT_EXCL_DONE in between. Meanwhile fork() fails.
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
 * XMIRROR_WAIT_CANCEL: make an unfinished job end with -ECANCELED first. With
 * fence 0 that is the oldest one, unless a finished job is there.
 */
#define XMIRROR_WAIT_CANCEL	(1U << 0)

/**
 * struct xmirror_wait - wait for a job and take its result
 * @size: sizeof(struct xmirror_wait)
 * @flags: XMIRROR_WAIT_CANCEL or zero
 * @fence: the job; zero: whichever job of this file is done first
 * @timeout_ms: how long to wait; 0 polls, ~0 waits for ever
 * @status: out: 0 or the negative errno of the failed command
 * @fence_done: out: the job that was waited for
 * @ops: out: locations worked on by the job, over all commands and repeats
 * @cmd: out: index of the failed command, else the number of commands
 * @nr_results: in: room in @results; out: results written
 * @results: pointer to an array of __u64 that takes, for each command, the
 *	result of its last location; may be zero if @nr_results is
 *
 * The job's record goes with the first successful wait. -ENOENT: no such job;
 * -ETIMEDOUT: not done yet; -EINTR: a signal (the job goes on).
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
 * struct xmirror_migrate - move a range between system and device memory
 * @size: sizeof(struct xmirror_migrate)
 * @flags: XMIRROR_MIGRATE_TO_SYSTEM, XMIRROR_MIGRATE_FROM_PEER, or zero: from
 *	system memory to the device
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
 * the caller was killed; the memory stays unplugged. -EOPNOTSUPP: a device without memory.
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
 * Nothing is faulted and nothing changed. -EFAULT: bad @pages.
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
 *	sixteen pages
 * @table_bytes: bytes of device page table now: tables of leaves, and ten bytes
 *	for each 2 MiB of the pieces of address space (&struct
 *	xmirror_info.chunk_size) that the device has touched
 * @splits: leaves of 64 KiB or 2 MiB that were split
 * @hmm_pfn_wrong: pages that hmm_range_fault() reported the wrong page frame
 *	for, and that were put right; a bug of the kernel
 * @fork_taken: pages taken back after a fork, see XMIRROR_SET_FORK
 * @jobs: jobs finished
 * @devmem_pages: pages of the device's memory, 0 if it has none; this and the
 *	following are the device's, not the mirror's
 * @devmem_free: those that are free
 * @devmem_evicted: pages evicted to make room, since the module was loaded
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
 *	mmap_lock (read) is held
 * @XMIRROR_PT_DEVMEM_ALLOC: a migration is about to allocate memory of this
 *	device, one page or 2 MiB of it; the pages are locked and unmapped,
 *	mmap_lock (read) is held
 * @XMIRROR_PT_MIGRATE_COPY: the same, the destination is there, and the page is
 *	about to be copied
 * @XMIRROR_PT_MIGRATE_PAGE: the same, all pages are copied, and this one shall
 *	move
 * @XMIRROR_PT_DIRTY: a leaf goes, and what the device wrote is about to be told
 *	to the folio; a spinning lock is held
 * @XMIRROR_PT_EXCL_STALE: an exclusive entry was made and has to be made again,
 *	because its page was invalidated meanwhile; a spinning lock and those of
 *	XMIRROR_PT_EXCL_MADE are held
 * @XMIRROR_PT_MIGRATE_UNMAPPED: the pages are locked and unmapped, and nothing
 *	is allocated for them yet; the same lock is held
 * @XMIRROR_PT_MIGRATE_MOVED: the new pages have taken over, but are not mapped
 *	yet; the same lock is held
 * @XMIRROR_PT_TO_RAM_BEGIN: the CPU touched private memory of this device in
 *	this address space; mmap_lock (read) is held, and on newer kernels the
 *	lock of the page
 * @XMIRROR_PT_TO_RAM_UNMAPPED: the same, the pages that shall come back are
 *	locked and unmapped
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
 * @XMIRROR_PT_NR: number of points; not a point
 *
 * Nobody in particular evicts or unplugs: these points are reached by every
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
 *	FAULT_BEGIN, FAULT_WALKED, EXCL_BEGIN and EXCL_MADE, and without a use
 *	for @error at DEVMEM_ALLOC, MIGRATE_COPY, MIGRATE_PAGE and DIRTY (-EINVAL
 *	elsewhere)
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
 * @event: ARM: for INV_* points: event number + 1 to match, 0: any
 * @addr: ARM: only for ranges that overlap @addr..@addr + @length; both zero:
 *	any range
 * @length: ARM: see @addr
 * @skip: ARM: how many matches are passed first
 * @timeout_ms: ARM: longest stop (1 to 60000); REACHED: longest wait
 * @error: ARM: positive errno for XMIRROR_SYNC_FAIL
 * @id: ARM: out; REACHED and RESUME: in
 * @hits: REACHED, RESUME: out: matches so far, the skipped ones included
 * @timed_out: RESUME: out: 1 if the stop ended by its deadline
 * @__reserved: must be zero
 *
 * A point is armed for this mirror, once: it disarms itself when reached. All
 * that a file has armed goes when it closes. -ENOENT: no such @id; -ETIMEDOUT:
 * not reached; -ENOSPC: 32 points are armed.
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
 * @XMIRROR_INJECT_PARTIAL: moving a page, or a large folio, after all of the
 *	migration were copied: it stays where it is
 * @XMIRROR_INJECT_COMMIT: the commit of what a range fault has read (with EBUSY
 *	it is tried again), or of an exclusive page (with EAGAIN)
 * @XMIRROR_INJECT_NOTIFIER: an invalidation by somebody else takes @delay_ms
 *	longer before it clears leaves, where it may sleep and does not come from
 *	a process that exits; else it does not count
 * @XMIRROR_INJECT_DIRTY: telling the folio that the device wrote to it, when a
 *	leaf goes: what the device wrote may get lost
 * @XMIRROR_INJECT_STALE: noticing that an exclusive page was invalidated while
 *	it was made: its leaf is committed, as by a driver that relies on the
 *	folio lock alone, and may be wrong. -EPERM without CAP_SYS_ADMIN
 * @XMIRROR_INJECT_NR: number of them; not one
 *
 * The first three are about XMIRROR_IOC_MIGRATE of this file. Evictions and CPU
 * faults belong to nobody.
 */
enum xmirror_inject_what {
	XMIRROR_INJECT_ALLOC,
	XMIRROR_INJECT_COPY,
	XMIRROR_INJECT_PARTIAL,
	XMIRROR_INJECT_COMMIT,
	XMIRROR_INJECT_NOTIFIER,
	XMIRROR_INJECT_DIRTY,
	XMIRROR_INJECT_STALE,
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
 * XMIRROR_IOC_SYNC arms are not counted.
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

#endif /* _UAPI_LINUX_XMIRROR_H */
