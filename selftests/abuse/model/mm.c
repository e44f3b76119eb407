// SPDX-License-Identifier: GPL-2.0
/*
 * Steps of the mm.
 */
#include <sys/wait.h>

#include "model.h"

int mm_protect(struct model *m)
{
	struct range r = range_of(m);
	bool write = !one_in(m, 3);
	unsigned int good, k;
	int err;

	/* As far as it is mapped */
	good = first_bad(m, r, false, &err);
	if (!good)
		return 0;
	code(m, "EXPECT_EQ(0, mprotect(p[%u], %u * XM_PAGE, PROT_READ%s));",
	     r.i, good, write ? " | PROT_WRITE" : "");
	if (same(m, "mprotect", 0,
		 mprotect(r.p, good * XM_PAGE,
			  PROT_READ | (write ? PROT_WRITE : 0))))
		return 1;
	for (k = 0; k < good; k++)
		m->page[r.i + k].right = write ? READ_WRITE : READ;
	return 0;
}

static int mm_advise(struct model *m, int advice, const char *name)
{
	struct range r = range_of(m);
	int err, seen;
	unsigned int k;

	first_bad(m, r, false, &err);
	/* It goes on behind a hole. */
	code(m, "EXPECT_EQ(%s, madvise(p[%u], %u * XM_PAGE, MADV_%s));",
	     err ? "-1" : "0", r.i, r.n, name);
	seen = madvise(r.p, r.len, advice) ? errno : 0;
	if (same(m, name, err ? ENOMEM : 0, seen))
		return 1;
	for (k = 0; k < r.n && advice == MADV_DONTNEED; k++)
		memset(m->page[r.i + k].word, 0, XM_PAGE);
	return 0;
}

int mm_dontneed(struct model *m)
{
	return mm_advise(m, MADV_DONTNEED, "DONTNEED");
}

int mm_pageout(struct model *m)
{
	return mm_advise(m, MADV_PAGEOUT, "PAGEOUT");
}

int mm_cold(struct model *m)
{
	return mm_advise(m, MADV_COLD, "COLD");
}

void set_pages(struct model *m, struct range r, enum right right)
{
	unsigned int k;

	for (k = 0; k < r.n; k++) {
		m->page[r.i + k].right = right;
		memset(m->page[r.i + k].word, 0, XM_PAGE);
	}
}

int mm_unmap(struct model *m)
{
	struct range r = range_of(m);

	code(m, "EXPECT_EQ(0, munmap(p[%u], %u * XM_PAGE));", r.i, r.n);
	set_pages(m, r, NOT_MAPPED);
	return same(m, "munmap", 0, munmap(r.p, r.len));
}

int mm_map(struct model *m)
{
	struct range r = range_of(m);

	code(m, "EXPECT_EQ(0, xm_anon_at(p[%u], %u * XM_PAGE));", r.i, r.n);
	set_pages(m, r, READ_WRITE);
	return same(m, "mmap", 0, xm_anon_at(r.p, r.len));
}

int mm_move(struct model *m)
{
	unsigned int i = m->now[PAGE], j = m->now[TO];
	int flags = MREMAP_MAYMOVE | MREMAP_FIXED;
	bool keep = one_in(m, 3), hole = m->page[i].right == NOT_MAPPED;
	void *p;

	if (i == j)
		return 0;
	code(m, "EXPECT_%s(MAP_FAILED, mremap(p[%u], XM_PAGE, XM_PAGE,",
	     hole ? "EQ" : "NE", i);
	code(m, "\t  MREMAP_MAYMOVE | MREMAP_FIXED%s, p[%u]));",
	     keep ? " | MREMAP_DONTUNMAP" : "", j);
	p = mremap(m->area[i], XM_PAGE, XM_PAGE,
		   flags | (keep ? MREMAP_DONTUNMAP : 0), m->area[j]);
	if (hole) {
		if (p != MAP_FAILED || errno != EFAULT)
			return wrong(m, "mremap of a hole: %p, %s", p,
				     strerror(errno));
		/* Kernels differ in whether the target is gone by then. */
		if (m->page[j].right != NOT_MAPPED) {
			unsigned char core;

			if (mincore(m->area[j], XM_PAGE, &core))
				m->page[j].right = NOT_MAPPED;
			if (m->page[j].right == NOT_MAPPED)
				memset(m->page[j].word, 0, XM_PAGE);
		}
		return 0;
	}
	if (p != m->area[j])
		return wrong(m, "mremap: %s", strerror(errno));
	m->page[j] = m->page[i];
	memset(m->page[i].word, 0, XM_PAGE);
	if (!keep)
		m->page[i].right = NOT_MAPPED;
	return 0;
}

int mm_clear_refs(struct model *m)
{
	code(m, "EXPECT_EQ(0, xm_write_file(\"/proc/self/clear_refs\", \"4\"));");
	return same(m, "clear_refs", 0,
		    xm_write_file("/proc/self/clear_refs", "4"));
}

/* A forked child looks at some pages, before it writes to them. */
static void be_child(struct model *m, struct range r)
{
	unsigned int k, w;

	for (k = r.i; k < r.i + r.n; k++) {
		if (m->page[k].right == NOT_MAPPED)
			continue;
		for (w = 0; w < XM_WORDS; w++) {
			if (m->area[k][w] == m->page[k].word[w])
				continue;
			m->r->child_page = k;
			m->r->child_word = w;
			_exit(1);
		}
		if (m->page[k].right == READ_WRITE)
			XM_STORE(&m->area[k][0], ~0ULL);
	}
	_exit(0);
}

/* The same as C: @bad if the child has seen something wrong. */
static void code_of_child(struct model *m, struct range r, bool bad)
{
	unsigned long read = 0, write = 0;
	unsigned int k, i = m->r->child_page, w = m->r->child_word;

	for (k = r.i; k < r.i + r.n; k++) {
		read |= (unsigned long)(m->page[k].right != NOT_MAPPED) << k;
		write |= (unsigned long)(m->page[k].right == READ_WRITE) << k;
	}
	code(m, "pid = fork();");
	code(m, "for (k = 0; !pid && k < %u; k++) {", bad ? i : PAGES);
	code(m, "\tif (%#lx >> k & 1)", read);
	code(m, "\t\tXM_LOAD(&p[k][0]);");
	code(m, "\tif (%#lx >> k & 1)", write);
	code(m, "\t\tXM_STORE(&p[k][0], ~0ULL);");
	code(m, "}");
	code(m, "if (!pid)");
	if (bad)
		code(m, "\t_exit(p[%u][%u] != %#llx);", i, w,
		     m->page[i].word[w]);
	else
		code(m, "\t_exit(0);");
	code(m, "EXPECT_EQ(pid, waitpid(pid, &status, 0));");
	code(m, "EXPECT_EQ(0, status);");
}

/* The child has what the parent had, and what it writes is its own. */
int mm_fork(struct model *m)
{
	struct range r = range_of(m);
	int status = -1;
	pid_t pid;

	pid = fork();
	if (pid < 0)
		return wrong(m, "fork: %s", strerror(errno));
	if (!pid)
		be_child(m, r);
	if (waitpid(pid, &status, 0) != pid)
		return wrong(m, "waitpid: %s", strerror(errno));
	code_of_child(m, r, WIFEXITED(status) && status);
	if (!WIFEXITED(status))
		return wrong(m, "the child ended with status %#x", status);
	if (status)
		return wrong(m, "the child sees other data in page %u",
			     m->r->child_page);
	return 0;
}
