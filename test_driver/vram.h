/* SPDX-License-Identifier: GPL-2.0 */
/* Memory of a device that user space can map. */
#ifndef _XT_VRAM_H
#define _XT_VRAM_H

#include <linux/mutex.h>
#include <linux/types.h>
#include <uapi/linux/xmirror.h>

struct inode;
struct xt_vram_block;

/**
 * struct xt_vram - the memory
 * @inode: its address_space is that of all mappings, so that they can be found
 * @lock: protects what follows, the files' parts, and that what a fault saw
 *	here is still so when it has changed the page table
 * @nr_files: open files of the device
 * @nr_blocks: its size in blocks of 2 MiB
 * @node: NUMA node that it is taken from
 * @blocks: NULL until something is mapped, and without open files
 */
struct xt_vram {
	struct inode *inode;
	struct mutex lock; /* see above */
	unsigned int nr_files;
	unsigned long nr_blocks;
	int node;
	struct xt_vram_block *blocks;
};

/**
 * struct xt_vram_file - how mappings of a file behave
 * @granule: the most bytes that a fault maps
 * @unsafe: XMIRROR_VRAM_UNSAFE_* or zero
 * @faults: faults by size
 * @writes: writes to write-protected pages
 */
struct xt_vram_file {
	unsigned long granule;
	unsigned int unsafe;
	u64 faults[XMIRROR_VRAM_SIZES];
	u64 writes;
};

#endif /* _XT_VRAM_H */
