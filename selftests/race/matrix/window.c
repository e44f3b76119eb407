// SPDX-License-Identifier: GPL-2.0
/*
 * The conditions while a side is held in a window of the kernel, see matrix.h:
 *
 *  - VERIFY finds nothing in either device's page table, however far the mm op is.
 *  - The device maps the page frame that pagemap shows, exclusively only if that is
 *    an exclusive entry. munmap() takes a VMA out of the tree, and with it pagemap's
 *    view, before it clears the page table: not judged (vms_complete_munmap_vmas()).
 *  - The device no longer accesses a page that the mm op has taken: not a word of it
 *    changes from the moment in which pagemap shows it gone.
 *
 * Threads look, one before the other side begins (unless an mm op is held that takes
 * mmap_lock for writing) and one when it has ended. They may have to wait for a lock of
 * the one that is held. What they see then is no longer of the window: the leaf is not
 * judged then; the rest is right at any time.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include "private.h"

/**
 * struct kept - a page that the mm op is going to take
 * @pfn: its number, zero if there is none
 * @first, @second: pipes that have it, to be looked at twice
 * @seen: it was taken when it was looked at first
 * @words: as they were then
 */
static struct kept {
	__u64 pfn;
	int first[2];
	int second[2];
	bool seen;
	__u64 words[RACE_WORDS];
} kept;

/* Does the mm op throw the page away, and nobody mind that it is kept? */
static bool is_taken(const struct race_env *e)
{
	const struct race_mmop *m = e->mmop;

	return e->hold && e->hold->mm && !e->huge &&
	       (m->data == RACE_ZERO || m->data == RACE_GONE) &&
	       !(m->flags & (RACE_MAY_FAIL | RACE_THP | RACE_SMALL)) &&
	       !(e->devop->cap & (XMIRROR_CAP_PRIVATE |
				  XMIRROR_CAP_RECLAIM_EXCLUSIVE));
}

int race_keep_page(struct race_env *e)
{
	struct iovec page = { e->p, XM_PAGE };

	if (!is_taken(e))
		return 0;
	CHECK(!pipe2(kept.first, O_CLOEXEC) && !pipe2(kept.second, O_CLOEXEC),
	      "no pipes");
	CHECK(vmsplice(kept.first[1], &page, 1, 0) == XM_PAGE &&
	      tee(kept.first[0], kept.second[1], XM_PAGE, 0) == XM_PAGE,
	      "the page cannot be kept");
	kept.pfn = xm_pfn(e->p);
	return 0;
}

/* Right at any time, too: what is taken stays so. */
static int look_at_page(struct race_env *e)
{
	if (!kept.pfn || xm_pfn(e->p) == kept.pfn ||
	    __atomic_exchange_n(&kept.seen, true, __ATOMIC_SEQ_CST))
		return 0;
	CHECK(read(kept.first[0], kept.words, XM_PAGE) == XM_PAGE,
	      "the page that was taken cannot be read");
	return 0;
}

static bool has_vma(const void *p)
{
	unsigned char in_core;

	return !mincore((void *)p, XM_PAGE, &in_core) || errno != ENOMEM;
}

int race_look(struct worker *w)
{
	struct race_env *e = w->to;
	int fds[] = { e->fd, e->fd1 }, i;
	char text[128] = "";
	long n;

	for (i = 0; i < 2; i++) {
		if (fds[i] < 0)
			continue;
		n = xm_violations(fds[i], text, sizeof(text));
		CHECK(!n, "VERIFY in the window: %ld: %s", n, text);
	}
	if (has_vma(e->p) && race_check_leaf(e) && !XM_LOAD(&w->stop) &&
	    (race_is_held(e->hold, 0) || race_is_held(e->hold, 1)))
		return -1;
	return look_at_page(e);
}

int race_check_taken(struct race_env *e)
{
	static __u64 now[RACE_WORDS];
	unsigned int i;

	(void)e;
	if (!kept.seen)
		return 0;
	CHECK(read(kept.second[0], now, XM_PAGE) == XM_PAGE,
	      "the page that was taken cannot be read");
	for (i = 0; i < RACE_WORDS; i++) {
		CHECK(now[i] == kept.words[i],
		      "word %u of the page that was taken became %#llx", i,
		      (unsigned long long)now[i]);
	}
	return 0;
}
