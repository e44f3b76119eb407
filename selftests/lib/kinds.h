/* SPDX-License-Identifier: GPL-2.0 */
/* A page of memory of every kind, for tests of the kernel's answers for each. */
#ifndef XM_LIBKINDS_H
#define XM_LIBKINDS_H

#include "proc.h"
#include "xm.h"

/** KIND_WORD: the first word of memory that has been written. */
#define KIND_WORD	0x1234567812345678ULL

/* Each page is alone in its VMA, but for those of huge pages. */
#define KINDS(X) \
	X(hole)			/* no VMA */ \
	X(untouched) \
	X(written) \
	X(zero_page)		/* read, and never written */ \
	X(locked)		/* mlock() */ \
	X(swapped) \
	X(swapcache)		/* and mapped again */ \
	X(lazyfree) \
	X(forked)		/* shared with a child */ \
	X(file_read)		/* private mapping of a file */ \
	X(file_copied)		/* the same, written to */ \
	X(shared_file)		/* memfd */ \
	X(shared_anon) \
	X(hugetlb) \
	X(prot_none)		/* after it was written */ \
	X(prot_read)		/* the same */ \
	X(uffd_missing) \
	X(uffd_wp) \
	X(merged)		/* by KSM */ \
	X(pinned)		/* by GUP, with a reference */ \
	X(pool_page)		/* in the pool of raw calls */ \
	X(private_page)		/* in the memory of the device of @fd */ \
	X(exclusive)		/* to the mirror of @fd */ \
	X(thp_head) \
	X(thp_middle) \
	X(pfn_map) \
	X(secret)		/* memfd_secret() */

enum kind {
#define ENUM_KIND(name) K_##name,
	KINDS(ENUM_KIND)
#undef ENUM_KIND
	NR_KINDS
};

/**
 * struct memory - one page of a kind
 * @p: the page, NULL if there is none
 * @why: what there is none of, or the step that failed
 * @readable: the CPU can read @word
 * @word: the first word
 * @private: what follows is private
 */
struct memory {
	__u64 *p;
	const char *why;
	bool readable;
	__u64 word;
	/* private */
	void *map;
	size_t len;
	int file;
	int pipe[2];
	struct child c;
	bool has_child;
};

/**
 * memory_make: a page of @kind, with help of the device @fd where it needs one. 0,
 * -ENODEV where the kernel or the machine has no such thing, or the negative errno of
 * a step that failed; there is no memory then, and @m->why is the reason.
 */
int memory_make(struct memory *m, int fd, enum kind kind);
/** MAKE: the same in a test, which is skipped for want of the kind, or fails. */
#define MAKE(m, fd, kind) \
	do { \
		int make_err = memory_make((m), (fd), (kind)); \
		if (make_err == -ENODEV) \
			XM_SKIP(return, "no %s", (m)->why); \
		ASSERT_EQ(0, make_err) \
			TH_LOG("%s: %s", (m)->why, strerror(-make_err)); \
	} while (0)

/** memory_free: -EIO if the first word is not @word any more. */
int memory_free(struct memory *m);
/** kind_name: as in KINDS(). */
const char *kind_name(enum kind kind);

#endif
