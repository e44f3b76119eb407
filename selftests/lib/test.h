/* SPDX-License-Identifier: GPL-2.0 */
/*
 * For tests: the kselftest harness, and the helpers that every test here needs.
 *
 * Rules: no sleep to wait for something, no assertion on time, a deadline on every
 * wait. ASSERT_* only in the test's own thread and process, since it tears the test
 * down; a child or a thread reports by its result. An EXPECT_* is two statements: in a
 * loop or an if it needs braces. A test is skipped, or expected to fail, by the helpers
 * below only (selftests/selftest/lint.sh).
 */
#ifndef XM_LIBTEST_H
#define XM_LIBTEST_H

#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "memory.h"
#include "pagemap.h"
#include "proc.h"
#include "xm.h"
#include "kselftest_harness.h"

/* arm64 and newer architectures have only the newer call. */
#ifndef SYS_poll
#define SYS_poll	SYS_ppoll
#endif

/* The guest may be emulated, with KASAN and lockdep. */
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT 240

/**
 * XM_SKIP: end the test as skipped, unless a check has failed or an expected
 * failure was seen: a skip says that the rest cannot be tried, and takes nothing
 * back.
 */
#define XM_SKIP(statement, fmt, ...) \
	do { \
		if (_metadata->exit_code == KSFT_PASS) { \
			SKIP(statement, fmt, ##__VA_ARGS__); \
		} else { \
			TH_LOG("the rest is skipped: " fmt, ##__VA_ARGS__); \
			statement; \
		} \
	} while (0)

/**
 * XM_XFAIL_IF: a check that a bug of the running kernel makes fail
 * @bug: true where the running kernel is known to have the bug
 * @check: the one check that this is about
 * @fmt: the bug, by its name in Documentation/findings.md or its id
 *
 * Without the bug this is EXPECT_TRUE(@check). With it the test ends as XFAIL if
 * @check does not hold and every other check does, and as XPASS if @check holds:
 * the kernel has been mended. The test goes on in either case.
 */
#define XM_XFAIL_IF(bug, check, fmt, ...) \
	do { \
		bool xfail_bug = (bug), xfail_held = (check); \
		if (!xfail_bug) { \
			EXPECT_TRUE(xfail_held) \
				TH_LOG("this did not hold: %s", #check); \
		} else { \
			xm_test_expected(_metadata, xfail_held ? KSFT_XPASS : \
					 KSFT_XFAIL, fmt, ##__VA_ARGS__); \
		} \
	} while (0)

/* A failure outweighs an expected failure, and an expected failure one that passes. */
__attribute__((format(printf, 3, 4)))
static inline void xm_test_expected(struct __test_metadata *_metadata, int end,
				    const char *fmt, ...)
{
	char text[sizeof(_metadata->results->reason)];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	TH_LOG("%s: %s", end == KSFT_XFAIL ? "expected failure" :
	       "an expected failure passes", text);
	if (_metadata->exit_code == KSFT_PASS ||
	    (_metadata->exit_code == KSFT_XPASS && end == KSFT_XFAIL)) {
		_metadata->exit_code = end;
		memcpy(_metadata->results->reason, text, sizeof(text));
	}
}

/**
 * XM_NEED_DEVICE: fail without a device in a guest (which sets XM_GUEST), and skip
 * on a machine where the modules may just not be loaded.
 */
#define XM_NEED_DEVICE(statement) \
	do { \
		if (xm_facts()) \
			break; \
		if (getenv("XM_GUEST")) { \
			_metadata->exit_code = KSFT_FAIL; \
			TH_LOG("%s", xm_why()); \
			statement; \
		} else { \
			XM_SKIP(statement, "%s", xm_why()); \
		} \
	} while (0)

/** NEED: skip the test, or its setup, for want of XMIRROR_CAP_* bits. */
#define NEED(cap) \
	do { \
		XM_NEED_DEVICE(return); \
		if ((xm_caps() & (cap)) != (cap)) \
			XM_SKIP(return, "%s", xm_why_not(cap)); \
	} while (0)

/** NEED_THP: skip the test, or its setup, on a kernel without huge pages. */
#define NEED_THP() \
	do { \
		if (!xm_has_thp()) \
			XM_SKIP(return, "%s", xm_why_no_thp()); \
	} while (0)

/** NEED_HUGE_MEMORY: skip the test for want of memory for @nr of the largest huge pages. */
#define NEED_HUGE_MEMORY(nr) \
	do { \
		if (!xm_huge_is_free(nr)) \
			XM_SKIP(return, "no memory for %u huge pages of %lu MiB", \
				(nr), XM_PMD >> 20); \
	} while (0)

/** XM_HUGE_PRIVATE: of XMIRROR_CPU_*, what an entry for a huge private page has */
#define XM_HUGE_PRIVATE	(XMIRROR_CPU_PRIVATE | XMIRROR_CPU_HUGE)

/**
 * MIGRATE_HUGE: the huge page at @p goes to the device, and is one there, too. Where huge
 * pages are rare, there may be no memory for the device's, and the test is skipped.
 */
#define MIGRATE_HUGE(fd, p) \
	do { \
		__u64 huge_moved; \
		ASSERT_EQ(0, xm_migrate((fd), (p), XM_PMD, 0, 0, &huge_moved)); \
		ASSERT_EQ(XM_PMD_PAGES, huge_moved); \
		if (XM_HUGE_IS_RARE && !(xm_page((fd), (p)).cpu & \
					 XMIRROR_CPU_HUGE)) \
			XM_SKIP(return, "no huge page to be had for the device"); \
		ASSERT_EQ(XM_HUGE_PRIVATE, \
			  xm_page((fd), (p)).cpu & XM_HUGE_PRIVATE); \
	} while (0)

/** NEED_RECLAIM: skip the test where reclaim corrupts exclusive entries. */
#define NEED_RECLAIM() \
	do { \
		if (xm_reclaim_corrupts()) \
			XM_SKIP(return, "%s", \
				xm_why_not(XMIRROR_CAP_RECLAIM_EXCLUSIVE)); \
	} while (0)

/** OPEN: open device @n or fail the test. */
#define OPEN(fd, n) \
	do { \
		XM_NEED_DEVICE(return); \
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
