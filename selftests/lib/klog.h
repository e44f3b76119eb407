/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The kernel log: lines of the kernel since a test began, and lines that a test
 * writes for the judge of the whole log.
 */
#ifndef XM_KLOG_H
#define XM_KLOG_H

#include <stdbool.h>
#include <stddef.h>

/** struct klog - the kernel log from klog_open() on */
struct klog {
	int fd;
	size_t len;
	char *text;
};

/** klog_open: begin here. 0 or a negative errno. */
int klog_open(struct klog *log);
void klog_close(struct klog *log);
/**
 * klog_has: whether a line since klog_open() matches @pattern, an extended regular
 * expression that may match a part of the line.
 */
bool klog_has(struct klog *log, const char *pattern);

/**
 * klog_wait: until @times lines since klog_open() match: 0, or -ETIMEDOUT. A line
 * about the end of an mm can come after its process is reaped: a CPU that runs a kernel
 * thread, and the free of a notifier, hold references.
 */
int klog_wait(struct klog *log, const char *pattern, unsigned int times);

/**
 * klog_has_debug_vm: whether the kernel makes the checks of CONFIG_DEBUG_VM, and reports
 * what they find: it has dump_mm() (mm/debug.c).
 */
bool klog_has_debug_vm(void);

/*
 * A line of the kernel log that matches begins a report of a bug. This is an extended
 * regular expression, and one of Python's: runner/xm/judge.py reads it from here, up to
 * the empty line.
 */
#define KLOG_REPORTS \
	"BUG:|WARNING:|KASAN:|UBSAN:|KCSAN:|ODEBUG:|kernel BUG at|Oops|" \
	"general protection fault|stack segment|double fault|Kernel panic|" \
	"Internal error:|Unable to handle kernel|SError Interrupt|" \
	"Insufficient stack space|INFO: possible|" \
	"INFO: task .* blocked for more than|" \
	"INFO: trying to register non-static key|" \
	"possible circular locking|possible recursive locking|" \
	"inconsistent lock state|suspicious RCU usage|" \
	"turning off the locking correctness validator|" \
	"sleeping function called from invalid context|" \
	"scheduling while atomic|soft lockup|hard LOCKUP|" \
	"detected (expedited )?stalls|self-detected stall|" \
	"Bad rss-counter|Bad page (state|map)|page dumped because|" \
	": bad (pgd|p4d|pud|pmd|pte) |(Bad|Unused) swap (file|offset) entry|" \
	"list_(add|del) corruption|refcount_t:|Objects remaining in|" \
	"kmemleak: .* new suspected|unreferenced object|" \
	"kmemleak: .*detector disabled|EXT4-fs error|" \
	"Out of memory and no killable|nobody cared"

/** klog_is_report: whether @line begins a kernel's report of a bug. */
bool klog_is_report(const char *line);

/**
 * klog_expect() - say in the kernel log that a report of the kernel is coming
 * @count: how many times: "1", or from the first to the second, as in "0-1" where the
 *	kernel says it once per boot
 * @pattern: an extended regular expression that matches the whole first line
 *
 * Any other report is a failure, and so is another number of this one by the time
 * of klog_expected().
 */
void klog_expect(const char *count, const char *pattern);
/** klog_expected: all reports that were announced have come by now. */
void klog_expected(void);

/*
 * First lines of reports that more than one test is about. The line of a WARNING
 * names the file since Linux 7.0 before the "at", before that after it, and never
 * without CONFIG_DEBUG_BUGVERBOSE.
 */
#define KLOG_WARNING(function) \
	"WARNING: (.* )?at ([^ ]+ )?" function "\\+0x[0-9a-f]+/.*"

/** KLOG_SHARED_HUGE: of a huge page that fork() has shared and that moves, finding 21 */
#define KLOG_SHARED_HUGE	KLOG_WARNING("remove_migration_pmd")
/** klog_has_shared_huge: whether the kernel reports that, once per boot */
bool klog_has_shared_huge(void);
/** klog_is_shared_huge: whether @line is that report. */
bool klog_is_shared_huge(const char *line);

/**
 * klog_expect_scan() - say that PAGEMAP_SCAN protects a page that the device has
 * @private: in its memory, else exclusively
 *
 * It leaves the entry writable, which a check since Linux 6.10 reports once per boot; that
 * of an exclusive page up to 6.14 (finding 18).
 */
void klog_expect_scan(bool private);
/** klog_expected_scan() - that was all */
void klog_expected_scan(bool private);

#endif /* XM_KLOG_H */
