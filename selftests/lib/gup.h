/* SPDX-License-Identifier: GPL-2.0 */
/* /sys/kernel/debug/gup_test (CONFIG_GUP_TEST), which has no uapi header. */
#ifndef XM_LIBGUP_H
#define XM_LIBGUP_H

#include <linux/types.h>
#include <sys/ioctl.h>

#define GUP_FILE	"/sys/kernel/debug/gup_test"

/** struct gup_test - the argument of all its calls (mm/gup_test.h) */
struct gup_test {
	__u64 get_delta_usec;
	__u64 put_delta_usec;
	__u64 addr;
	__u64 size;
	__u32 nr_pages_per_call;
	__u32 gup_flags;
	__u32 test_flags;
	__u32 which_pages[8];
};

#define GUP_TEST(nr)	_IOWR('g', (nr), struct gup_test)
#define GUP_FAST	GUP_TEST(1)
#define PIN_FAST	GUP_TEST(2)
#define PIN_LONGTERM	GUP_TEST(3)
#define GUP_BASIC	GUP_TEST(4)
#define PIN_BASIC	GUP_TEST(5)
#define GUP_WRITE	1	/* FOLL_WRITE */

#endif /* XM_LIBGUP_H */
