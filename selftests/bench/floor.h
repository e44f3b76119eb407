/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The floor of a row: what the kernel takes without a driver, for the same pages in
 * the same boot.
 *
 * Range faults and migrations are raw calls, which tell how long the kernel's
 * functions took: without the ioctl and without what it copies for its arguments.
 * The row is measured around its ioctl, so that its ratio has the cost of that. Bare
 * exclusive entries, copies and CPU faults are measured around the call as the row is.
 *
 * More than a huge page is measured in pieces of one, of a huge page's memory.
 */
#ifndef XM_FLOOR_H
#define XM_FLOOR_H

#include <stdbool.h>
#include <stddef.h>

/** floor_area: bytes of memory that the floor of @size is measured on. */
size_t floor_area(size_t size);
/** floor_call: bytes of one call. */
size_t floor_call(size_t size);

/* Each adds to *@ns, and returns 0 or a negative errno. */

/** floor_fault: hmm_range_fault(), with the interval's sequence and mmap_lock. */
int floor_fault(int fd, char *addr, size_t len, bool write, double *ns);
/** floor_exclusive: make_device_exclusive() of each page. */
int floor_exclusive(int fd, char *addr, size_t len, double *ns);
/**
 * floor_move: migrate_vma_setup() to _finalize(), with allocating and copying; to the
 * device, or @back.
 */
int floor_move(int fd, char *addr, size_t len, bool huge, bool back, double *ns);
/** floor_copy: memcpy() of each page from @addr, or with @write to it. */
int floor_copy(char *addr, size_t len, char *buf, bool write, double *ns);

/** print_floor: two columns: the floor, and how much @ours is over it. */
void print_floor(double ours, double floor, size_t size);
/** print_over: how many rows of 64 KiB and more were printed, and are far over it. */
void print_over(void);

#endif /* XM_FLOOR_H */
