// SPDX-License-Identifier: GPL-2.0
/*
 * Changes of the memory under the calls: it is mapped, unmapped, protected,
 * paged out, moved, written and forked.
 */
#include <sys/random.h>

#include "fuzz.h"

const int advices[] = {
	MADV_DONTNEED, MADV_FREE, MADV_COLD, MADV_PAGEOUT,
	MADV_HUGEPAGE, MADV_NOHUGEPAGE, MADV_COLLAPSE,
	MADV_POPULATE_READ, MADV_POPULATE_WRITE, MADV_DONTFORK,
	MADV_DOFORK, MADV_MERGEABLE, MADV_UNMERGEABLE,
};

static void make_fork(struct thread *t, __u64 *step)
{
	memset(step, 0, COLUMNS * sizeof(*step));
	make_call(t, step);
	step[IN_CHILD] = 1;
	if (one_in(t, 2))
		step[TOUCH] = some_word(t);
}

void make_mm_op(struct thread *t, __u64 *step)
{
	step[PAGE] = below(t, PAGES);
	step[MORE] = below(t, one_in(t, 4) ? PAGES - step[PAGE] : 1);
	step[PROT] = one_in(t, 4) ? below(t, 4) : PROT_READ | PROT_WRITE;
	switch (below(t, 13)) {
	case 0:
	case 1:
		step[WHAT] = MM_MAP;
		step[UNMAP] = one_in(t, 2);
		step[HOW] = one_in(t, 8);
		break;
	case 2:
		step[WHAT] = MM_FILE;
		step[HOW] = one_in(t, 2);
		break;
	case 3:
	case 4:
		step[WHAT] = MM_PROTECT;
		break;
	case 5:
	case 6:
		step[WHAT] = MM_ADVISE;
		step[HOW] = below(t, ARRAY_SIZE(advices));
		break;
	case 7:
		/* Moves it over other pages of the area. */
		step[WHAT] = MM_MOVE;
		step[AT] = below(t, PAGES);
		break;
	case 8:
	case 9:
		step[WHAT] = MM_TOUCH;
		step[AT] = below(t, XM_PAGE - 64);
		break;
	case 10:
		step[WHAT] = MM_WRITE;
		step[AT] = below(t, SIZE - 64);
		break;
	case 11:
		if (one_in(t, 8)) {
			make_fork(t, step);
			break;
		}
		memset(step, 0, COLUMNS * sizeof(*step));
		step[WHAT] = STEP_OPEN;
		step[FD] = FD_EXTRA;
		step[DEVICE] = below(t, 2);
		break;
	case 12:
		step[WHAT] = MM_VRAM;
		step[AT] = below(t, PAGES) * XM_PAGE;
		break;
	}
}

/* Errors are as good as anything else. */
void run_mm_op(struct thread *t, const __u64 *step)
{
	char *p = area + step[PAGE] * XM_PAGE;
	size_t len = (1 + step[MORE]) * XM_PAGE;

	switch (step[WHAT]) {
	case MM_MAP:
		if (step[UNMAP])
			munmap(p, len);
		mmap(p, len, step[PROT], MAP_FIXED | MAP_ANONYMOUS |
		     (step[HOW] ? MAP_SHARED : MAP_PRIVATE), -1, 0);
		break;
	case MM_FILE:
		mmap(p, len, step[PROT], MAP_FIXED |
		     (step[HOW] ? MAP_PRIVATE : MAP_SHARED), memfd, 0);
		break;
	case MM_VRAM:
		mmap(p, len, step[PROT], MAP_FIXED | MAP_SHARED,
		     t->fd[FD_OWN], step[AT]);
		break;
	case MM_PROTECT:
		mprotect(p, len, step[PROT]);
		break;
	case MM_ADVISE:
		madvise(p, len, advices[step[HOW]]);
		break;
	case MM_MOVE:
		mremap(p, XM_PAGE, XM_PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
		       area + step[AT] * XM_PAGE);
		break;
	case MM_TOUCH:
		/* A CPU access that cannot kill */
		getrandom(p + step[AT], 64, 0);
		break;
	case MM_WRITE:
		pwrite(memfd, p, 64, step[AT]);
		break;
	}
}
