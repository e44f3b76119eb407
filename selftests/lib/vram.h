/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Mappings of a device's own memory, for tests and bench.
 */
#ifndef XM_LIBVRAM_H
#define XM_LIBVRAM_H

#include "xm.h"

/** vram_do: XMIRROR_IOC_VRAM; its report goes to @v if that is not NULL. */
int vram_do(int fd, enum xmirror_vram_op op, __u64 offset, __u64 length,
	    struct xmirror_vram *v);
/** vram_query: the report about all of VRAM; all zero if that failed. */
struct xmirror_vram vram_query(int fd);
/** vram_refs: references to VRAM that are not the device's own. */
__u64 vram_refs(int fd);
/** vram_faults: faults of all sizes in mappings of this file. */
__u64 vram_faults(int fd);

/**
 * vram_map: map @len bytes of VRAM at @offset, @shift bytes above a multiple of
 * 2 MiB, readable and writable; NULL on failure.
 */
char *vram_map(int fd, size_t len, off_t offset, size_t shift);
/**
 * vram_map_huge: vram_map() at the same distance to 2 MiB as @offset has, so that
 * large pieces fit, with MADV_HUGEPAGE.
 */
char *vram_map_huge(int fd, size_t len, off_t offset);
/** vram_touch: write @seed plus the index to a word of each page. */
void vram_touch(char *p, size_t len, __u64 seed);
/** vram_wrong: the number of pages without the words of vram_touch(). */
size_t vram_wrong(const char *p, size_t len, __u64 seed);

/** THP_ENABLED: the mode of transparent huge pages, for xm_setting(). */
#define THP_ENABLED	"/sys/kernel/mm/transparent_hugepage/enabled"
/** thp_mode: the mode of transparent huge pages in sysfs; "" if there are none. */
const char *thp_mode(void);

#endif /* XM_LIBVRAM_H */
