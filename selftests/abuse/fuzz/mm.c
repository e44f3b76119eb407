// SPDX-License-Identifier: GPL-2.0
/*
 * What happens to the memory under the calls: it is mapped, unmapped, protected,
 * paged out, moved, written and forked.
 */
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "fuzz.h"

static void forked(struct thread *t)
{
	pid_t pid = fork();

	if (pid < 0)
		return;
	if (!pid) {
		/* Only what is safe in the child of a threaded process. */
		one_ioctl(t);
		if (one_in(t, 2))
			getrandom((void *)some_word(t), 64, 0);
		syscall(SYS_exit_group, 0);
	}
	waitpid(pid, NULL, 0);
}

void one_mm_op(struct thread *t, int memfd)
{
	static const int advice[] = {
		MADV_DONTNEED, MADV_FREE, MADV_COLD, MADV_PAGEOUT,
		MADV_HUGEPAGE, MADV_NOHUGEPAGE, MADV_COLLAPSE,
		MADV_POPULATE_READ, MADV_POPULATE_WRITE, MADV_DONTFORK,
		MADV_DOFORK, MADV_MERGEABLE, MADV_UNMERGEABLE,
	};
	unsigned int first = below(t, PAGES);
	size_t len = (1 + below(t, one_in(t, 4) ? PAGES - first : 1)) * XM_PAGE;
	char *p = area + first * XM_PAGE;
	int prot = one_in(t, 4) ? below(t, 4) : PROT_READ | PROT_WRITE;
	int map = MAP_FIXED | MAP_ANONYMOUS;

	XM_ADD(&totals->mm_ops, 1);
	switch (below(t, 13)) {
	case 0:
	case 1:
		if (one_in(t, 2))
			munmap(p, len);
		map |= one_in(t, 8) ? MAP_SHARED : MAP_PRIVATE;
		mmap(p, len, prot, map, -1, 0);
		break;
	case 2:
		mmap(p, len, prot, MAP_FIXED | (rnd(t) & MAP_PRIVATE ?:
						MAP_SHARED), memfd, 0);
		break;
	case 3:
	case 4:
		mprotect(p, len, prot);
		break;
	case 5:
	case 6:
		madvise(p, len, advice[below(t, ARRAY_SIZE(advice))]);
		break;
	case 7:
		/* Moves it over other pages of the area. */
		mremap(p, XM_PAGE, XM_PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
		       area + below(t, PAGES) * XM_PAGE);
		break;
	case 8:
	case 9:
		/* CPU accesses that cannot kill */
		getrandom(p + below(t, XM_PAGE - 64), 64, 0);
		break;
	case 10:
		pwrite(memfd, p, 64, below(t, SIZE - 64));
		break;
	case 11:
		if (one_in(t, 8)) {
			forked(t);
			break;
		}
		if (t->extra >= 0)
			close(t->extra);
		t->extra = xm_open(below(t, 2));
		break;
	case 12:
		mmap(p, len, prot, MAP_FIXED | MAP_SHARED, t->own,
		     below(t, PAGES) * XM_PAGE);
		break;
	}
}
