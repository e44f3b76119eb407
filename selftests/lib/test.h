/* SPDX-License-Identifier: GPL-2.0 */
/*
 * For tests: the kselftest harness and what every test here needs beside it.
 *
 * Rules: no sleep to wait for something, no assertion on time, a deadline on
 * every wait. ASSERT_* only in the test's own thread and process, since it
 * tears the test down; a child or a thread reports by its result. An EXPECT_*
 * is two statements: in a loop or an if it needs braces.
 */
#ifndef XM_LIBTEST_H
#define XM_LIBTEST_H

#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "xm.h"
#include "proc.h"
#include "kselftest_harness.h"

/* The guest may be emulated, with KASAN and lockdep. */
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT 240

/** NEED: skip the test, or its setup, for want of XMIRROR_CAP_* bits. */
#define NEED(cap) \
	do { \
		if ((xm_caps() & (cap)) != (cap)) \
			SKIP(return, "no " #cap ": %s", xm_why()); \
	} while (0)

/** OPEN: open device @n or fail the test. */
#define OPEN(fd, n) \
	do { \
		(fd) = xm_open(n); \
		ASSERT_GE((fd), 0) \
			TH_LOG("/dev/xmirror%u: %s", (n), strerror(-(fd))); \
	} while (0)

/** EXPECT_CLEAN: VERIFY finds nothing wrong with this mirror. */
#define EXPECT_CLEAN(fd) \
	do { \
		char clean_text[128] = ""; \
		long clean_n = xm_violations((fd), clean_text, \
					     sizeof(clean_text)); \
		EXPECT_EQ(0, clean_n) \
			TH_LOG("VERIFY: %s", clean_text); \
	} while (0)

/**
 * EXPECT_LEAF: the device has at @p a leaf with these LEAF_* bits, and if so for
 * the page that pagemap shows.
 */
#define EXPECT_LEAF(fd, p, bits) \
	do { \
		struct xmirror_page leaf_page = xm_page((fd), (p)); \
		__u32 leaf_mask = XMIRROR_PTE_VALID | XMIRROR_PTE_WRITE | \
				  XMIRROR_PTE_EXCLUSIVE; \
		EXPECT_EQ((__u32)(bits), leaf_page.dev & leaf_mask); \
		if (bits) { \
			EXPECT_EQ(leaf_page.dev_pfn, xm_pfn(p)); \
		} \
	} while (0)

#define LEAF_NONE	0U
#define LEAF_READ	XMIRROR_PTE_VALID
#define LEAF_WRITE	(XMIRROR_PTE_VALID | XMIRROR_PTE_WRITE)
#define LEAF_EXCL	(LEAF_WRITE | XMIRROR_PTE_EXCLUSIVE)

#endif /* XM_LIBTEST_H */
