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

/* This kernel or this machine has no such thing. */
static int lacks(struct memory *m, const char *what)
{
	m->why = what;
	return -ENODEV;
}

/* It has, but @step went wrong. */
static int failed(struct memory *m, const char *step, int err)
{
	m->why = step;
	return err < 0 && err != -ENODEV ? err : -EIO;
}

static int map(struct memory *m, int prot, int flags, int file)
{
	m->len = 3 * XM_PAGE;
	m->map = mmap(NULL, 3 * XM_PAGE, PROT_NONE,
		      MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (m->map == MAP_FAILED) {
		m->map = NULL;
		return failed(m, "reserving addresses", -errno);
	}
	/* No VMA merges with it, and its neighbours are of another kind. */
	m->p = mmap(m->map + XM_PAGE, XM_PAGE, prot, flags | MAP_FIXED, file,
		    0);
	if (m->p == MAP_FAILED) {
		m->p = NULL;
		return failed(m, "mapping the page", -errno);
	}
	if (flags & MAP_PRIVATE)
		xm_no_thp(m->p, XM_PAGE);
	return 0;
}

static void write_word(struct memory *m)
{
	XM_STORE(m->p, KIND_WORD);
	m->word = KIND_WORD;
}

static int map_anon(struct memory *m, bool written)
{
	int err = map(m, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		      -1);

	if (!err && written)
		write_word(m);
	return err;
}

static int map_memfd(struct memory *m, int flags)
{
	__u64 word = KIND_WORD;

	m->file = memfd_create("kinds", MFD_CLOEXEC);
	if (m->file < 0 || ftruncate(m->file, XM_PAGE) ||
	    pwrite(m->file, &word, 8, 0) != 8)
		return failed(m, "making a file in memory", -errno);
	m->word = KIND_WORD;
	return map(m, PROT_READ | PROT_WRITE, flags, m->file);
}

static int make_zero_page(struct memory *m)
{
	int err = map_anon(m, false);

	if (!err && XM_LOAD(m->p))
		return failed(m, "reading zeroes", -EIO);
	return err;
}

static int make_locked(struct memory *m)
{
	int err = map_anon(m, true);

	if (!err && mlock(m->p, XM_PAGE))
		return failed(m, "mlock()", -errno);
	if (!err && xm_drain())
		return failed(m, "draining the LRU batches", -EIO);
	return err;
}

static int make_lazyfree(struct memory *m)
{
	int err = map_anon(m, true);

	if (!err && madvise(m->p, XM_PAGE, MADV_FREE))
		return failed(m, "MADV_FREE", -errno);
	return err;
}

static int keeper(struct child *c, void *arg)
{
	return child_hear(c) != 'e' || XM_LOAD((__u64 *)arg) != KIND_WORD;
}

static int make_forked(struct memory *m)
{
	int err = map_anon(m, true);

	if (err)
		return err;
	err = child_start(&m->c, keeper, m->p);
	if (err)
		return failed(m, "fork()", err);
	m->has_child = true;
	return 0;
}

static int make_file(struct memory *m, bool copied)
{
	int err = map_memfd(m, MAP_PRIVATE);

	if (!err && XM_LOAD(m->p) != KIND_WORD)
		return failed(m, "reading the file", -EIO);
	if (!err && copied)
		write_word(m);
	return err;
}

static int make_shared(struct memory *m, bool file)
{
	int err = file ? map_memfd(m, MAP_SHARED) :
			 map(m, PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_ANONYMOUS, -1);

	if (!err)
		write_word(m);
	return err;
}

static int make_hugetlb(struct memory *m)
{
	if (xm_setting("/proc/sys/vm/nr_hugepages", "4"))
		return lacks(m, "hugetlb pages");
	m->len = XM_PMD;
	m->map = mmap(NULL, XM_PMD, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	if (m->map == MAP_FAILED) {
		m->map = NULL;
		return errno == ENOMEM ?
		       lacks(m, "hugetlb pages") :
		       failed(m, "mapping hugetlb pages", -errno);
	}
	m->p = m->map;
	write_word(m);
	return 0;
}

/*
 * The kernel drops pages from a swap cache that is half full. A page may come back before
 * the disk has it; then it does not migrate (finding 32).
 */
static int make_swapped(struct memory *m, int fd, bool mapped)
{
	int err;

	if (!xm_swaps_to_disk())
		return lacks(m, "a swap disk");
	err = map_anon(m, true);
	if (err)
		return err;
	err = xm_pageout(m->p, XM_PAGE);
	if (err)
		return failed(m, "paging it out", err);
	if (!mapped)
		return 0;
	if (XM_LOAD(m->p) != KIND_WORD)
		return failed(m, "paging it in", -EIO);
	err = xm_written_back(m->p, XM_PAGE);
	if (err)
		return failed(m, "writing it back", err);
	if (!(raw_page(fd, m->p).folio & XMIRROR_FOLIO_SWAPCACHE))
		return lacks(m, "page that stays in the swap cache");
	return 0;
}

static int make_protected(struct memory *m, bool readable)
{
	int err = map_anon(m, true);

	m->readable = readable;
	if (!err && mprotect(m->p, XM_PAGE, readable ? PROT_READ : PROT_NONE))
		return failed(m, "mprotect()", -errno);
	return err;
}

static int make_uffd(struct memory *m, bool wp)
{
	int err = map_anon(m, wp);

	if (err)
		return err;
	m->readable = wp;
	m->file = xm_uffd(wp ? UFFD_FEATURE_PAGEFAULT_FLAG_WP : 0);
	/* CONFIG_USERFAULTFD; and no write protection: arm64 before Linux 6.10 */
	if (access("/proc/sys/vm/unprivileged_userfaultfd", F_OK) ||
	    (wp && m->file == -EINVAL))
		return lacks(m, "userfaultfd");
	if (m->file < 0)
		return failed(m, "userfaultfd()", m->file);
	err = xm_uffd_register(m->file, m->p, XM_PAGE,
			       wp ? UFFDIO_REGISTER_MODE_WP :
				    UFFDIO_REGISTER_MODE_MISSING);
	if (err)
		return failed(m, "UFFDIO_REGISTER", err);
	err = wp ? xm_uffd_wp(m->file, m->p, XM_PAGE, true) : 0;
	return err ? failed(m, "UFFDIO_WRITEPROTECT", err) : 0;
}

/* Two equal pages, of which the first is the test's */
static int make_merged(struct memory *m)
{
	int err;

	if (!xm_has_ksm())
		return lacks(m, "KSM");
	m->len = 2 * XM_PAGE;
	m->map = xm_anon(m->len);
	m->p = m->map;
	if (!m->p)
		return failed(m, "mapping the pages", -ENOMEM);
	memset(m->p, 0x5a, 2 * XM_PAGE);
	m->p[XM_PAGE / 8] = KIND_WORD;
	write_word(m);
	if (madvise(m->p, m->len, MADV_MERGEABLE))
		return failed(m, "MADV_MERGEABLE", -errno);
	err = xm_ksm_merge(m->p, m->p + XM_PAGE / 8);
	return err ? failed(m, "merging by KSM", err) : 0;
}

/* The pipe holds a reference of get_user_pages(). */
static int make_pinned(struct memory *m)
{
	struct iovec iov = { .iov_len = XM_PAGE };
	int err = map_anon(m, true);

	if (err)
		return err;
	iov.iov_base = m->p;
	if (pipe2(m->pipe, O_CLOEXEC) ||
	    vmsplice(m->pipe[1], &iov, 1, 0) != (ssize_t)XM_PAGE)
		return failed(m, "vmsplice()", -errno);
	return 0;
}

static int make_thp(struct memory *m, int fd, size_t page)
{
	char *p = xm_thp(fd, 0);

	if (!p)
		return lacks(m, "huge pages");
	m->map = p;
	m->len = XM_PMD;
	m->p = (__u64 *)(p + page * XM_PAGE);
	write_word(m);
	/* It stays, and khugepaged makes none again of one that has been split. */
	return xm_no_thp(p, XM_PMD);
}

static int make_pfn_map(struct memory *m, int fd)
{
	m->len = XM_2M;
	m->map = mmap(NULL, XM_2M, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (m->map == MAP_FAILED) {
		m->map = NULL;
		return failed(m, "mapping memory of the device", -errno);
	}
	m->p = m->map;
	write_word(m);
	return 0;
}

static int make_secret(struct memory *m)
{
#ifdef SYS_memfd_secret
	int err;

	m->file = syscall(SYS_memfd_secret, O_CLOEXEC);
	if (m->file >= 0) {
		if (ftruncate(m->file, XM_PAGE))
			return failed(m, "ftruncate() of secret memory", -errno);
		err = map(m, PROT_READ | PROT_WRITE, MAP_SHARED, m->file);
		if (!err)
			write_word(m);
		return err;
	}
	if (errno == EMFILE || errno == ENFILE || errno == ENOMEM)
		return failed(m, "memfd_secret()", -errno);
#endif
	return lacks(m, "memfd_secret()");
}

static int make_private(struct memory *m, int fd, bool pool)
{
	__u64 n = 0;
	long err;

	if (!(xm_caps() & XMIRROR_CAP_PRIVATE))
		return lacks(m, "private memory");
	err = map_anon(m, true);
	if (err)
		return err;
	if (pool) {
		err = raw_to(fd, m->p, 1, XMIRROR_RAW_PRIVATE);
		return err == 1 ? 0 : failed(m, "migrating to the pool", err);
	}
	err = xm_migrate(fd, m->p, XM_PAGE, 0, 0, &n);
	return !err && n == 1 ? 0 : failed(m, "migrating to the device", err);
}

static int make_exclusive(struct memory *m, int fd)
{
	int err;

	if (!(xm_caps() & XMIRROR_CAP_EXCLUSIVE))
		return lacks(m, "exclusive pages");
	err = map_anon(m, true);
	if (err)
		return err;
	err = xm_exclusive(fd, m->p, XM_PAGE, NULL);
	if (!err && !xm_is_exclusive(m->p))
		err = -EIO;
	return err ? failed(m, "making it exclusive", err) : 0;
}

static int make(struct memory *m, int fd, enum kind kind)
{
	switch (kind) {
	case K_hole:
		m->p = xm_hole(XM_PAGE);
		m->readable = false;
		return m->p ? 0 : failed(m, "mapping a hole", -ENOMEM);
	case K_untouched:
		return map_anon(m, false);
	case K_written:
		return map_anon(m, true);
	case K_zero_page:
		return make_zero_page(m);
	case K_locked:
		return make_locked(m);
	case K_swapped:
	case K_swapcache:
		return make_swapped(m, fd, kind == K_swapcache);
	case K_lazyfree:
		return make_lazyfree(m);
	case K_forked:
		return make_forked(m);
	case K_file_read:
	case K_file_copied:
		return make_file(m, kind == K_file_copied);
	case K_shared_file:
	case K_shared_anon:
		return make_shared(m, kind == K_shared_file);
	case K_hugetlb:
		return make_hugetlb(m);
	case K_prot_none:
	case K_prot_read:
		return make_protected(m, kind == K_prot_read);
	case K_uffd_missing:
	case K_uffd_wp:
		return make_uffd(m, kind == K_uffd_wp);
	case K_merged:
		return make_merged(m);
	case K_pinned:
		return make_pinned(m);
	case K_pool_page:
	case K_private_page:
		return make_private(m, fd, kind == K_pool_page);
	case K_exclusive:
		return make_exclusive(m, fd);
	case K_thp_head:
		return make_thp(m, fd, 0);
	case K_thp_middle:
		return make_thp(m, fd, 100);
	case K_pfn_map:
		return make_pfn_map(m, fd);
	case K_secret:
		return make_secret(m);
	case NR_KINDS:
		break;
	}
	return failed(m, "choosing a kind", -EINVAL);
}

int memory_make(struct memory *m, int fd, enum kind kind)
{
	int err;

	memset(m, 0, sizeof(*m));
	m->file = -1;
	m->pipe[0] = -1;
	m->pipe[1] = -1;
	m->readable = true;
	err = make(m, fd, kind);
	if (err) {
		m->p = NULL;
		memory_free(m);
	}
	return err;
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
