// SPDX-License-Identifier: GPL-2.0
/*
 * Memory of every kind, see kinds.h.
 */
#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "kinds.h"
#include "memory.h"
#include "pagemap.h"
#include "raw.h"
#include "settings.h"
#include "uffd.h"

static const char *const names[] = {
#define NAME_KIND(name) #name,
	KINDS(NAME_KIND)
};

const char *kind_name(enum kind kind)
{
	return kind < NR_KINDS ? names[kind] : "?";
}

static void none(struct memory *m, const char *why)
{
	m->p = NULL;
	m->why = why;
}

static void map(struct memory *m, int prot, int flags, int file)
{
	m->len = XM_PAGE;
	m->map = mmap(NULL, 3 * XM_PAGE, PROT_NONE,
		      MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (m->map == MAP_FAILED) {
		m->map = NULL;
		none(m, "memory");
		return;
	}
	/* No VMA merges with it, and its neighbours are of another kind. */
	m->len = 3 * XM_PAGE;
	m->p = mmap(m->map + XM_PAGE, XM_PAGE, prot, flags | MAP_FIXED, file,
		    0);
	if (m->p == MAP_FAILED)
		none(m, "a mapping");
	else if (flags & MAP_PRIVATE)
		xm_no_thp(m->p, XM_PAGE);
}

static void map_anon(struct memory *m, bool written)
{
	map(m, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	if (m->p && written) {
		XM_STORE(m->p, KIND_WORD);
		m->word = KIND_WORD;
	}
}

static void map_memfd(struct memory *m, int flags)
{
	__u64 word = KIND_WORD;

	m->file = memfd_create("kinds", MFD_CLOEXEC);
	if (m->file < 0 || ftruncate(m->file, XM_PAGE) ||
	    pwrite(m->file, &word, 8, 0) != 8) {
		none(m, "a memfd");
		return;
	}
	map(m, PROT_READ | PROT_WRITE, flags, m->file);
	m->word = KIND_WORD;
}

static int keeper(struct child *c, void *arg)
{
	return child_hear(c) != 'e' || XM_LOAD((__u64 *)arg) != KIND_WORD;
}

static void make_forked(struct memory *m)
{
	map_anon(m, true);
	if (!m->p)
		return;
	if (child_start(&m->c, keeper, m->p))
		none(m, "a child");
	else
		m->has_child = true;
}

static void make_hugetlb(struct memory *m)
{
	xm_setting("/proc/sys/vm/nr_hugepages", "4");
	m->len = XM_PMD;
	m->map = mmap(NULL, XM_PMD, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	if (m->map == MAP_FAILED) {
		m->map = NULL;
		none(m, "hugetlb pages");
		return;
	}
	m->p = m->map;
	XM_STORE(m->p, KIND_WORD);
	m->word = KIND_WORD;
}

static void make_swapped(struct memory *m, bool mapped)
{
	map_anon(m, true);
	if (!m->p)
		return;
	if (!xm_swaps_to_disk())
		none(m, "a swap disk");
	else if (xm_pageout(m->p, XM_PAGE))
		none(m, "page-out that works");
	else if (mapped && XM_LOAD(m->p) != KIND_WORD)
		none(m, "page-in that works");
}

static void make_uffd(struct memory *m, bool wp)
{
	map_anon(m, wp);
	if (!m->p)
		return;
	m->file = xm_uffd(wp ? UFFD_FEATURE_PAGEFAULT_FLAG_WP : 0);
	if (m->file < 0 ||
	    xm_uffd_register(m->file, m->p, XM_PAGE,
			     wp ? UFFDIO_REGISTER_MODE_WP :
				  UFFDIO_REGISTER_MODE_MISSING) ||
	    (wp && xm_uffd_wp(m->file, m->p, XM_PAGE, true)))
		none(m, "userfaultfd");
	m->readable = wp;
}

/* Two equal pages, of which the first is the test's */
static void make_merged(struct memory *m)
{
	if (!xm_has_ksm()) {
		none(m, "KSM");
		return;
	}
	m->len = 2 * XM_PAGE;
	m->map = xm_anon(m->len);
	m->p = m->map;
	if (!m->p)
		return none(m, "memory");
	memset(m->p, 0x5a, 2 * XM_PAGE);
	m->p[0] = KIND_WORD;
	m->p[XM_PAGE / 8] = KIND_WORD;
	m->word = KIND_WORD;
	if (madvise(m->p, m->len, MADV_MERGEABLE) ||
	    xm_ksm_merge(m->p, m->p + XM_PAGE / 8))
		none(m, "KSM that merges");
}

/* The pipe holds a reference of get_user_pages(). */
static void make_pinned(struct memory *m)
{
	struct iovec iov = { .iov_len = XM_PAGE };

	map_anon(m, true);
	iov.iov_base = m->p;
	if (m->p && (pipe2(m->pipe, O_CLOEXEC) ||
		     vmsplice(m->pipe[1], &iov, 1, 0) != (ssize_t)XM_PAGE))
		none(m, "vmsplice()");
}

static void make_thp(struct memory *m, int fd, size_t page)
{
	char *p = xm_thp(fd, 0);

	if (!p)
		return none(m, "huge pages");
	m->map = p;
	m->len = XM_PMD;
	m->p = (__u64 *)(p + page * XM_PAGE);
	XM_STORE(m->p, KIND_WORD);
	m->word = KIND_WORD;
}

static void make_secret(struct memory *m)
{
#ifdef SYS_memfd_secret
	m->file = syscall(SYS_memfd_secret, O_CLOEXEC);
	if (m->file >= 0 && !ftruncate(m->file, XM_PAGE)) {
		map(m, PROT_READ | PROT_WRITE, MAP_SHARED, m->file);
		if (m->p)
			XM_STORE(m->p, KIND_WORD);
		m->word = KIND_WORD;
		return;
	}
#endif
	none(m, "memfd_secret()");
}

static void make_device(struct memory *m, int fd, enum kind kind)
{
	__u64 n = 0;

	map_anon(m, true);
	if (!m->p)
		return;
	if (kind == K_pool_page && raw_to(fd, m->p, 1, XMIRROR_RAW_PRIVATE) != 1)
		none(m, "private memory");
	if (kind == K_private_page &&
	    (xm_migrate(fd, m->p, XM_PAGE, 0, 0, &n) || n != 1))
		none(m, "private memory");
	if (kind == K_exclusive && xm_exclusive(fd, m->p, XM_PAGE, NULL))
		none(m, "exclusive pages");
}

void memory_make(struct memory *m, int fd, enum kind kind)
{
	memset(m, 0, sizeof(*m));
	m->file = -1;
	m->pipe[0] = -1;
	m->pipe[1] = -1;
	m->readable = true;
	switch (kind) {
	case K_hole:
		m->p = xm_hole(XM_PAGE);
		m->readable = false;
		break;
	case K_untouched:
		map_anon(m, false);
		break;
	case K_written:
		map_anon(m, true);
		break;
	case K_zero_page:
		map_anon(m, false);
		if (m->p && XM_LOAD(m->p))
			none(m, "zeroes");
		break;
	case K_locked:
		map_anon(m, true);
		if (m->p && (mlock(m->p, XM_PAGE) || xm_drain()))
			none(m, "mlock()");
		break;
	case K_swapped:
	case K_swapcache:
		make_swapped(m, kind == K_swapcache);
		break;
	case K_lazyfree:
		map_anon(m, true);
		if (m->p && madvise(m->p, XM_PAGE, MADV_FREE))
			none(m, "MADV_FREE");
		break;
	case K_forked:
		make_forked(m);
		break;
	case K_file_read:
	case K_file_copied:
		map_memfd(m, MAP_PRIVATE);
		if (m->p && XM_LOAD(m->p) != KIND_WORD)
			none(m, "a file");
		if (m->p && kind == K_file_copied)
			XM_STORE(m->p, KIND_WORD);
		break;
	case K_shared_file:
		map_memfd(m, MAP_SHARED);
		if (m->p)
			XM_STORE(m->p, KIND_WORD);
		break;
	case K_shared_anon:
		map(m, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1);
		if (m->p)
			XM_STORE(m->p, KIND_WORD);
		m->word = KIND_WORD;
		break;
	case K_hugetlb:
		make_hugetlb(m);
		break;
	case K_prot_none:
	case K_prot_read:
		map_anon(m, true);
		m->readable = kind == K_prot_read;
		if (m->p && mprotect(m->p, XM_PAGE, m->readable ? PROT_READ :
								  PROT_NONE))
			none(m, "mprotect()");
		break;
	case K_uffd_missing:
	case K_uffd_wp:
		make_uffd(m, kind == K_uffd_wp);
		break;
	case K_merged:
		make_merged(m);
		break;
	case K_pinned:
		make_pinned(m);
		break;
	case K_pool_page:
	case K_private_page:
	case K_exclusive:
		make_device(m, fd, kind);
		break;
	case K_thp_head:
		make_thp(m, fd, 0);
		break;
	case K_thp_middle:
		make_thp(m, fd, 100);
		break;
	case K_pfn_map:
		m->len = XM_PMD;
		m->map = mmap(NULL, XM_PMD, PROT_READ | PROT_WRITE, MAP_SHARED,
			      fd, 0);
		if (m->map == MAP_FAILED) {
			m->map = NULL;
			none(m, "memory of the device to map");
			break;
		}
		m->p = m->map;
		XM_STORE(m->p, KIND_WORD);
		m->word = KIND_WORD;
		break;
	case K_secret:
		make_secret(m);
		break;
	case NR_KINDS:
		none(m, "a kind");
		break;
	}
	if (!m->p && !m->why)
		m->why = "memory";
}

int memory_free(struct memory *m)
{
	int err = 0;

	if (m->p && m->readable && XM_LOAD(m->p) != m->word)
		err = -EIO;
	if (m->has_child && (child_tell(&m->c, 'e') || child_end(&m->c)))
		err = -EIO;
	if (m->map)
		munmap(m->map, m->len);
	if (m->file >= 0)
		close(m->file);
	if (m->pipe[0] >= 0)
		close(m->pipe[0]);
	if (m->pipe[1] >= 0)
		close(m->pipe[1]);
	return err;
}
