/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Fault injection by number: the N-th allocation that the calling thread makes fails
 * (Documentation/fault-injection/fault-injection.rst).
 */
#ifndef XM_FAIL_NTH_H
#define XM_FAIL_NTH_H

/**
 * fail_nth_open: the calling thread's /proc/thread-self/fail-nth, with failslab and
 * fail_page_alloc set up so that nothing else decides, until the test ends. -ENOENT if
 * the kernel lacks it, or a negative errno.
 */
int fail_nth_open(void);
/** FAIL_NTH_WHY: the reason of a skip. */
#define FAIL_NTH_WHY \
	"no fail-nth: needs CONFIG_FAULT_INJECTION, FAILSLAB, FAIL_PAGE_ALLOC"
/** fail_nth_arm: @n, from 1: the next one. 0 or a negative errno. */
int fail_nth_arm(int nth, unsigned int n);
/**
 * fail_nth_end: none fails from now on. 1 if there have been so many allocations and one
 * has failed, 0 if there were fewer, or a negative errno.
 */
int fail_nth_end(int nth);

#endif /* XM_FAIL_NTH_H */
