// SPDX-License-Identifier: GPL-2.0
/*
 * A random sequence of what devices, the CPU and the mm can do to a few pages,
 * step by step against a model of them: which are mapped, with what rights, and
 * what is in them. Every result is compared.
 *
 * XM_STEPS is the number of steps of all runs together and XM_SEED the seed of
 * the first; each run is a process of its own. A run is a list of steps that is
 * made of the seed before the first of them is taken. If one goes wrong, parts of
 * the list are run, each in a process, memory and files of its own, and the
 * shortest that goes wrong is printed as a test program, see lib/shrink.h.
 *
 * Each step says what it does in C, with the result that it expects, before it is
 * done: the log of a run is the program.
 */
#include <stdarg.h>

#include "shrink.h"
#include "test.h"

#define PAGES	24U
#define RUNS	5U
#define EVERY	16U		/* steps from one VERIFY to the next */
#define LINES	64U		/* of the log that are kept */
#define MOST	1000U		/* runs to find the shortest */

enum right { NOT_MAPPED, READ, READ_WRITE };

/* The numbers of a step. 0 is the simplest of each; N is one less than pages. */
enum { KIND, DEV, PAGE, N, WORD, TO, VALUE, HOW, COLUMNS };

struct page {
	enum right right;
	__u64 word[XM_WORDS];
};

struct line {
	unsigned int step;
	char text[160];
};

/* Shared with the process that runs the steps */
struct report {
	unsigned int bad;	/* step at which it went wrong, from 1; 0: none */
	unsigned int seen;	/* steps taken */
	unsigned int lines;
	char text[256];
	struct line log[LINES];
	unsigned int child_page;
	unsigned int child_word;
};

struct model {
	struct report *r;
	struct page page[PAGES];
	__u64 (*area)[XM_WORDS];
	int fd[2];
	bool devmem;
	unsigned int step;
	const __u64 *now;	/* the step's numbers */
};

/* A line of the program that this run is */
__attribute__((format(printf, 2, 3)))
static void code(struct model *m, const char *fmt, ...)
{
	struct line *line = &m->r->log[m->r->lines++ % LINES];
	va_list args;

	line->step = m->step;
	va_start(args, fmt);
	vsnprintf(line->text, sizeof(line->text), fmt, args);
	va_end(args);
}

__attribute__((format(printf, 2, 3)))
static int wrong(struct model *m, const char *fmt, ...)
{
	va_list args;

	m->r->bad = m->step ? m->step : 1;
	va_start(args, fmt);
	vsnprintf(m->r->text, sizeof(m->r->text), fmt, args);
	va_end(args);
	return 1;
}

static int same(struct model *m, const char *what, long expected, long seen)
{
	if (expected == seen)
		return 0;
	return wrong(m, "%s: expected %#lx, seen %#lx", what, expected, seen);
}

static const char *name_of(int err)
{
	switch (err) {
	case 0:
		return "0";
	case -EFAULT:
		return "-EFAULT";
	default:
		return "-EPERM";
	}
}

/* The pages of a step */
struct range {
	unsigned int i;
	unsigned int n;
	void *p;
	size_t len;
};

static struct range range_of(struct model *m)
{
	struct range r;

	r.i = m->now[PAGE];
	r.n = 1 + m->now[N];
	if (r.i + r.n > PAGES)
		r.n = PAGES - r.i;
	r.p = m->area[r.i];
	r.len = r.n * XM_PAGE;
	return r;
}

static bool one_in(struct model *m, unsigned int n)
{
	return m->now[HOW] % n == n - 1;
}

/* The first page of a range that an access cannot have, and its error */
static unsigned int first_bad(struct model *m, struct range r, bool write,
			      int *err)
{
	unsigned int k;

	*err = 0;
	for (k = 0; k < r.n; k++) {
		switch (m->page[r.i + k].right) {
		case NOT_MAPPED:
			*err = -EFAULT;
			return k;
		case READ:
			if (!write)
				continue;
			*err = -EPERM;
			return k;
		default:
			continue;
		}
	}
	return k;
}

/* Page @i as @what has it in @buf, whose words are called @name, a number and ] */
static int same_page(struct model *m, const char *what, unsigned int i,
		     const __u64 *buf, const char *name)
{
	const __u64 *word = m->page[i].word;
	unsigned int w;

	for (w = 0; w < XM_WORDS; w++) {
		if (buf[w] == word[w])
			continue;
		code(m, "EXPECT_EQ(%#llx, %s%u]);", word[w], name, w);
		return wrong(m, "%s sees %#llx instead of %#llx in page %u", what,
			     buf[w], word[w], i);
	}
	return 0;
}

/* Accesses of one word */

static int cpu_load(struct model *m)
{
	unsigned int i = m->now[PAGE], w = m->now[WORD];
	struct page *pg = &m->page[i];
	__u64 v = 0;
	int err;

	if (pg->right == NOT_MAPPED || one_in(m, 8)) {
		err = pg->right == NOT_MAPPED ? -EFAULT : 0;
		code(m, "EXPECT_EQ(%s, xm_peek(&p[%u][%u], &got));",
		     name_of(err), i, w);
		if (!err)
			code(m, "EXPECT_EQ(%#llx, got);", pg->word[w]);
		if (same(m, "readv", err, xm_peek(&m->area[i][w], &v)))
			return 1;
		return err ? 0 : same(m, "readv", pg->word[w], v);
	}
	code(m, "EXPECT_EQ(%#llx, XM_LOAD(&p[%u][%u]));", pg->word[w], i, w);
	return same(m, "CPU load", pg->word[w], XM_LOAD(&m->area[i][w]));
}

static int cpu_store(struct model *m)
{
	unsigned int i = m->now[PAGE], w = m->now[WORD];
	struct page *pg = &m->page[i];
	__u64 v = m->now[VALUE];
	int err = 0;

	if (pg->right != READ_WRITE || one_in(m, 8)) {
		err = pg->right != READ_WRITE ? -EFAULT : 0;
		code(m, "EXPECT_EQ(%s, xm_poke(&p[%u][%u], %#llx));",
		     name_of(err), i, w, v);
		if (same(m, "writev", err, xm_poke(&m->area[i][w], v)))
			return 1;
	} else {
		code(m, "XM_STORE(&p[%u][%u], %#llx);", i, w, v);
		XM_STORE(&m->area[i][w], v);
	}
	if (!err)
		pg->word[w] = v;
	return 0;
}

static int cpu_add(struct model *m)
{
	unsigned int i = m->now[PAGE], w = m->now[WORD];
	struct page *pg = &m->page[i];
	__u64 v = m->now[VALUE];

	if (pg->right != READ_WRITE)
		return 0;
	code(m, "EXPECT_EQ(%#llx, XM_ADD(&p[%u][%u], %#llx));", pg->word[w], i,
	     w, v);
	if (same(m, "CPU add", pg->word[w], XM_ADD(&m->area[i][w], v)))
		return 1;
	pg->word[w] += v;
	return 0;
}

static int dev_op(struct model *m, enum xmirror_op op, const char *name)
{
	unsigned int i = m->now[PAGE], w = m->now[WORD], d = m->now[DEV];
	struct range r = { .i = i, .n = 1 };
	struct page *pg = &m->page[i];
	__u64 v = m->now[VALUE], got = 0;
	bool has_result = op != XMIRROR_OP_STORE;
	int err;

	first_bad(m, r, op != XMIRROR_OP_LOAD, &err);
	code(m, "EXPECT_EQ(%s, xm_op(fd[%u], XMIRROR_OP_%s, 8, &p[%u][%u], %#llx, %s));",
	     name_of(err), d, name, i, w, v, has_result ? "&got" : "NULL");
	if (has_result && !err)
		code(m, "EXPECT_EQ(%#llx, got);", pg->word[w]);
	if (same(m, name, err, xm_op(m->fd[d], op, 8, &m->area[i][w], v, &got)))
		return 1;
	if (err)
		return 0;
	if (has_result && same(m, name, pg->word[w], got))
		return 1;
	if (op == XMIRROR_OP_STORE || op == XMIRROR_OP_XCHG)
		pg->word[w] = v;
	if (op == XMIRROR_OP_ADD)
		pg->word[w] += v;
	return 0;
}

static int dev_load(struct model *m)
{
	return dev_op(m, XMIRROR_OP_LOAD, "LOAD");
}

static int dev_store(struct model *m)
{
	return dev_op(m, XMIRROR_OP_STORE, "STORE");
}

static int dev_add(struct model *m)
{
	return dev_op(m, XMIRROR_OP_ADD, "ADD");
}

static int dev_xchg(struct model *m)
{
	return dev_op(m, XMIRROR_OP_XCHG, "XCHG");
}

/* One word of each page of a range; what comes before a bad page is done. */
static int dev_add_pages(struct model *m)
{
	struct range r = range_of(m);
	unsigned int w = m->now[WORD], d = m->now[DEV], k, good;
	struct xmirror_cmd cmd = xm_cmds(XMIRROR_OP_ADD, 8, &m->area[r.i][w],
					 XM_PAGE, r.n, 3);
	__u64 done;
	int err;

	good = first_bad(m, r, true, &err);
	code(m, "cmd = xm_cmds(XMIRROR_OP_ADD, 8, &p[%u][%u], XM_PAGE, %u, 3);",
	     r.i, w, r.n);
	code(m, "EXPECT_EQ(%s, xm_run_ops(fd[%u], &cmd, &got));", name_of(err),
	     d);
	code(m, "EXPECT_EQ(%u, got);", good);
	if (same(m, "job", err, xm_run_ops(m->fd[d], &cmd, &done)) ||
	    same(m, "locations", good, done))
		return 1;
	for (k = 0; k < good; k++)
		m->page[r.i + k].word[w] += 3;
	return 0;
}

/* Bytes */

static int dev_write(struct model *m)
{
	unsigned int i = m->now[PAGE], d = m->now[DEV], k;
	struct range r = { .i = i, .n = 1 };
	__u64 buf[XM_WORDS], v = m->now[VALUE];
	int err;

	for (k = 0; k < XM_WORDS; k++)
		buf[k] = v * k;
	first_bad(m, r, true, &err);
	code(m, "for (k = 0; k < XM_WORDS; k++)");
	code(m, "\tbuf[k] = k * %#llx;", v);
	code(m, "EXPECT_EQ(%s, xm_write(fd[%u], p[%u], buf, XM_PAGE));",
	     name_of(err), d, i);
	if (same(m, "write", err,
		 xm_write(m->fd[d], m->area[i], buf, XM_PAGE)))
		return 1;
	if (!err)
		memcpy(m->page[i].word, buf, XM_PAGE);
	return 0;
}

static int dev_read(struct model *m)
{
	struct range r = range_of(m);
	__u64 buf[4][XM_WORDS], done;
	unsigned int d = m->now[DEV], k, good;
	char name[32];
	int err;

	good = first_bad(m, r, false, &err);
	code(m, "EXPECT_EQ(%s, xm_rw(fd[%u], p[%u], buf, %u * XM_PAGE, 0, &got));",
	     name_of(err), d, r.i, r.n);
	code(m, "EXPECT_EQ(%u * XM_PAGE, got);", good);
	if (same(m, "read", err, xm_rw(m->fd[d], r.p, buf, r.len, 0, &done)) ||
	    same(m, "bytes read", good * XM_PAGE, done))
		return 1;
	for (k = 0; k < good; k++) {
		snprintf(name, sizeof(name), "buf[%u * XM_WORDS + ", k);
		if (same_page(m, "device", r.i + k, buf[k], k ? name : "buf["))
			return 1;
	}
	return 0;
}

/* Ranges */

static int dev_fault(struct model *m)
{
	struct range r = range_of(m);
	bool write = one_in(m, 2);
	unsigned int d = m->now[DEV], good;
	__u64 done;
	int err;

	good = first_bad(m, r, write, &err);
	code(m, "EXPECT_EQ(%s, xm_fault(fd[%u], p[%u], %u * XM_PAGE, %s, &got));",
	     name_of(err), d, r.i, r.n, write ? "XMIRROR_FAULT_WRITE" : "0");
	/* The pages before a bad one may be done or not. */
	code(m, "EXPECT_%s(%u * XM_PAGE, got);", err ? "GE" : "EQ", good);
	if (same(m, "fault", err, xm_fault(m->fd[d], r.p, r.len, write ?
					   XMIRROR_FAULT_WRITE : 0, &done)))
		return 1;
	if (!err)
		return same(m, "bytes done", r.len, done);
	if (done > good * XM_PAGE)
		return wrong(m, "%llu bytes done past a bad page", done);
	return 0;
}

static int dev_exclusive(struct model *m)
{
	struct range r = range_of(m);
	unsigned int d = m->now[DEV], good;
	__u64 done;
	int err;

	good = first_bad(m, r, true, &err);
	code(m, "EXPECT_EQ(%s, xm_exclusive(fd[%u], p[%u], %u * XM_PAGE, &got));",
	     name_of(err), d, r.i, r.n);
	code(m, "EXPECT_EQ(%u * XM_PAGE, got);", good);
	if (same(m, "exclusive", err,
		 xm_exclusive(m->fd[d], r.p, r.len, &done)))
		return 1;
	return same(m, "bytes exclusive", good * XM_PAGE, done);
}

static int dev_release(struct model *m)
{
	struct range r = range_of(m);
	unsigned int d = m->now[DEV];
	__u64 done;

	code(m, "EXPECT_EQ(0, xm_release(fd[%u], p[%u], %u * XM_PAGE, &got));",
	     d, r.i, r.n);
	code(m, "EXPECT_EQ(%u * XM_PAGE, got);", r.n);
	if (same(m, "release", 0, xm_release(m->fd[d], r.p, r.len, &done)))
		return 1;
	return same(m, "bytes released", r.len, done);
}

/*
 * Linux 6.12 dies of migrating a page of the swap cache to a device, see
 * destructive/migrate_swapcache.c.
 */
static bool must_not_migrate(const struct range *r)
{
	unsigned int k;

	if (xm_kver() <= XM_KVER(6, 1) || xm_kver() >= XM_KVER(7, 3))
		return false;
	for (k = 0; k < r->n; k++) {
		__u64 pfn = xm_pfn((char *)r->p + k * XM_PAGE);

		if (pfn && (xm_kpageflags(pfn) & XM_KPF_SWAPCACHE))
			return true;
	}
	return false;
}

static int dev_migrate(struct model *m)
{
	struct range r = range_of(m);
	bool back = one_in(m, 3);
	unsigned int d = m->now[DEV];
	int err;

	if (!m->devmem || must_not_migrate(&r))
		return 0;
	first_bad(m, r, false, &err);
	code(m, "EXPECT_EQ(%s, xm_migrate(fd[%u], p[%u], %u * XM_PAGE, %s, 0, NULL));",
	     name_of(err), d, r.i, r.n,
	     back ? "XMIRROR_MIGRATE_TO_SYSTEM" : "0");
	return same(m, "migrate", err,
		    xm_migrate(m->fd[d], r.p, r.len,
			       back ? XMIRROR_MIGRATE_TO_SYSTEM : 0, 0, NULL));
}

/* The mm */

static int mm_protect(struct model *m)
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

static int mm_dontneed(struct model *m)
{
	return mm_advise(m, MADV_DONTNEED, "DONTNEED");
}

static int mm_pageout(struct model *m)
{
	return mm_advise(m, MADV_PAGEOUT, "PAGEOUT");
}

static int mm_cold(struct model *m)
{
	return mm_advise(m, MADV_COLD, "COLD");
}

static void set_pages(struct model *m, struct range r, enum right right)
{
	unsigned int k;

	for (k = 0; k < r.n; k++) {
		m->page[r.i + k].right = right;
		memset(m->page[r.i + k].word, 0, XM_PAGE);
	}
}

static int mm_unmap(struct model *m)
{
	struct range r = range_of(m);

	code(m, "EXPECT_EQ(0, munmap(p[%u], %u * XM_PAGE));", r.i, r.n);
	set_pages(m, r, NOT_MAPPED);
	return same(m, "munmap", 0, munmap(r.p, r.len));
}

static int mm_map(struct model *m)
{
	struct range r = range_of(m);

	code(m, "EXPECT_EQ(0, xm_anon_at(p[%u], %u * XM_PAGE));", r.i, r.n);
	set_pages(m, r, READ_WRITE);
	return same(m, "mmap", 0, xm_anon_at(r.p, r.len));
}

static int mm_move(struct model *m)
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

static int mm_clear_refs(struct model *m)
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
static int mm_fork(struct model *m)
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

/* The end of a run: everything, without and with the CPU's help */

static int end_device(struct model *m)
{
	unsigned int i = m->now[PAGE], d = m->now[DEV];
	__u64 buf[XM_WORDS];

	if (m->page[i].right == NOT_MAPPED)
		return 0;
	code(m, "EXPECT_EQ(0, xm_read(fd[%u], p[%u], buf, XM_PAGE));", d, i);
	if (same(m, "read", 0, xm_read(m->fd[d], m->area[i], buf, XM_PAGE)))
		return 1;
	return same_page(m, "at the end the device", i, buf, "buf[");
}

static int end_cpu(struct model *m)
{
	unsigned int i = m->now[PAGE];
	char name[32];

	if (m->page[i].right == NOT_MAPPED)
		return 0;
	snprintf(name, sizeof(name), "p[%u][", i);
	if (same_page(m, "at the end the CPU", i, m->area[i], name))
		return 1;
	code(m, "EXPECT_EQ(%#llx, p[%u][0]);", m->page[i].word[0], i);
	return 0;
}

/* @pages: the most of them that a step is about */
static const struct {
	int (*step)(struct model *m);
	unsigned int weight;
	unsigned int pages;
} steps[] = {
	{ cpu_load, 10, 1 },
	{ cpu_store, 10, 1 },
	{ cpu_add, 8, 1 },
	{ dev_load, 8, 1 },
	{ dev_store, 8, 1 },
	{ dev_add, 12, 1 },
	{ dev_xchg, 4, 1 },
	{ dev_add_pages, 6, 6 },
	{ dev_write, 3, 1 },
	{ dev_read, 3, 4 },
	{ dev_fault, 6, 8 },
	{ dev_exclusive, 10, 6 },
	{ dev_release, 4, 6 },
	{ dev_migrate, 6, 6 },
	{ mm_protect, 6, 6 },
	{ mm_dontneed, 2, 6 },
	{ mm_pageout, 4, 6 },
	{ mm_cold, 2, 6 },
	{ mm_unmap, 2, 3 },
	{ mm_map, 4, 6 },
	{ mm_move, 5, 1 },
	{ mm_clear_refs, 1, 1 },
	{ mm_fork, 1, PAGES },
#define END_DEVICE	23U
	{ end_device, 0, 1 },
	{ end_cpu, 0, 1 },
};

static __u64 rnd(__u64 *state, __u64 below)
{
	/* xorshift64* */
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return ((*state * 0x2545f4914f6cdd1dULL) >> 33) % below;
}

/* A run: @n random steps, and each page at the end */
static __u64 *make_steps(__u64 seed, unsigned int n)
{
	__u64 state = seed * 0x9e3779b97f4a7c15ULL + 1;
	__u64 (*s)[COLUMNS] = calloc(n + 2 * PAGES, sizeof(*s));
	unsigned int sum = 0, kind, k, x;

	for (k = 0; k < END_DEVICE; k++)
		sum += steps[k].weight;
	for (k = 0; s && k < n; k++) {
		x = rnd(&state, sum);
		for (kind = 0; x >= steps[kind].weight; kind++)
			x -= steps[kind].weight;
		s[k][KIND] = kind;
		s[k][DEV] = !rnd(&state, 4);
		s[k][PAGE] = rnd(&state, PAGES);
		s[k][N] = rnd(&state, steps[kind].pages);
		if (steps[kind].pages == PAGES) {
			s[k][PAGE] = 0;
			s[k][N] = PAGES - 1;
		}
		s[k][WORD] = rnd(&state, XM_WORDS);
		s[k][TO] = rnd(&state, PAGES);
		s[k][VALUE] = rnd(&state, 1U << 30);
		s[k][HOW] = rnd(&state, 24);
	}
	for (k = 0; s && k < 2 * PAGES; k++) {
		s[n + k][KIND] = END_DEVICE + k % 2;
		s[n + k][PAGE] = k / 2;
	}
	return (__u64 *)s;
}

static int verify(struct model *m)
{
	char text[128] = "";
	int i;

	for (i = 0; i < 2; i++) {
		if (!xm_violations(m->fd[i], text, sizeof(text)))
			continue;
		code(m, "EXPECT_CLEAN(fd[%d]);", i);
		return wrong(m, "VERIFY of device %d: %s", i, text);
	}
	return 0;
}

struct run {
	const __u64 *steps;
	unsigned int nr;
	unsigned int every;
	struct report *r;
};

static int run_steps(struct child *c, void *arg)
{
	static struct model model;
	struct model *m = &model;
	struct run *run = arg;

	(void)c;
	m->r = run->r;
	memset(m->r, 0, sizeof(*m->r));
	m->fd[0] = xm_open(0);
	m->fd[1] = xm_open(1);
	CHILD_CHECK(m->fd[0] >= 0 && m->fd[1] >= 0);
	m->devmem = xm_caps() & XMIRROR_CAP_PRIVATE;
	m->area = xm_border(PAGES * XM_PAGE);
	CHILD_CHECK(m->area);
	set_pages(m, (struct range){ .n = PAGES }, READ_WRITE);
	while (m->step < run->nr) {
		m->now = run->steps + m->step * COLUMNS;
		m->step++;
		m->r->seen = m->step;
		if (steps[m->now[KIND]].step(m))
			return 0;
		if ((m->step % run->every == 0 || m->step == run->nr) &&
		    verify(m))
			return 0;
	}
	return 0;
}

/* The step at which it went wrong, 0 if all went well, or a negative errno */
static int run_once(struct run *run)
{
	struct child c;
	int err = child_start(&c, run_steps, run), status;

	if (err)
		return err;
	close(c.sock);
	if (waitpid(c.pid, &status, 0) != c.pid)
		return -errno;
	if (status) {
		snprintf(run->r->text, sizeof(run->r->text),
			 "ended with status %#x", status);
		return run->r->seen ? (int)run->r->seen : -EIO;
	}
	return run->r->bad;
}

static unsigned int fails(const __u64 *steps, unsigned int nr, void *arg)
{
	struct run run = {
		.steps = steps, .nr = nr, .every = 1, .r = arg,
	};
	int bad = run_once(&run);

	return bad > 0 ? bad : 0;
}

/* The variables of the lines, and the lines */
static void print_program(const struct report *r, const char *why)
{
	static const struct {
		const char *use, *text;
	} has[] = {
		{ "cmd", "\tstruct xmirror_cmd cmd;\n" },
		{ "buf", "\tstatic __u64 buf[4 * XM_WORDS];\n" },
		{ "got", "\t__u64 got = 0;\n" },
		{ "k++", "\tunsigned int k;\n" },
		{ "status", "\tint status;\n" },
		{ "pid", "\tpid_t pid;\n" },
	};
	static char lines[LINES * sizeof(r->log[0].text)];
	char declarations[1024];
	unsigned int i;

	lines[0] = 0;
	for (i = 0; i < r->lines; i++) {
		strcat(lines, "\t");
		strcat(lines, r->log[i].text);
		strcat(lines, "\n");
	}
	sprintf(declarations, "\t__u64 (*p)[XM_WORDS] = xm_border(%u * XM_PAGE);\n",
		PAGES);
	for (i = 0; i < ARRAY_SIZE(has); i++) {
		if (strstr(lines, has[i].use))
			strcat(declarations, has[i].text);
	}
	strcat(declarations, "\tint fd[2];\n"
	       "\n\tNEED(XMIRROR_CAP_EXCLUSIVE);\n"
	       "\tOPEN(fd[0], 0);\n\tOPEN(fd[1], 1);\n");
	shrink_print(stdout, why, declarations, lines);
}

/* The shortest list that goes wrong, too */
static void shorten(struct __test_metadata *_metadata, struct run *run,
		    __u64 *list)
{
	struct shrink s = {
		.steps = list, .nr = run->nr, .width = COLUMNS,
		.fails = fails, .arg = run->r, .most = MOST,
	};
	char why[sizeof(run->r->text) + 64];

	if (shrink_tainted()) {
		TH_LOG("not shrunk: the kernel has reported a bug");
		return;
	}
	if (!shrink(&s) || !fails(s.steps, s.nr, run->r)) {
		TH_LOG("not shrunk: it does not go wrong every time");
		return;
	}
	TH_LOG("%u steps of %u, found in %u runs", s.nr, run->nr, s.runs);
	if (run->r->lines > LINES) {
		TH_LOG("more than %u lines", LINES);
		return;
	}
	snprintf(why, sizeof(why), "Of %u steps: %s", run->nr, run->r->text);
	print_program(run->r, why);
}

static __u64 number(const char *name, __u64 otherwise)
{
	const char *text = getenv(name);

	return text && *text ? strtoull(text, NULL, 0) : otherwise;
}

FIXTURE(model) {
	struct report *r;
};

FIXTURE_VARIANT(model) {
	unsigned int nr;
};

FIXTURE_VARIANT_ADD(model, run1) { .nr = 0 };
FIXTURE_VARIANT_ADD(model, run2) { .nr = 1 };
FIXTURE_VARIANT_ADD(model, run3) { .nr = 2 };
FIXTURE_VARIANT_ADD(model, run4) { .nr = 3 };
FIXTURE_VARIANT_ADD(model, run5) { .nr = 4 };

FIXTURE_SETUP(model)
{
	NEED(XMIRROR_CAP_EXCLUSIVE);
	self->r = mmap(NULL, sizeof(*self->r), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->r);
}

FIXTURE_TEARDOWN(model)
{
}

TEST_F_TIMEOUT(model, agrees, 280)
{
	unsigned int i, n = (number("XM_STEPS", 5000) + RUNS - 1) / RUNS;
	__u64 seed = number("XM_SEED", 20210518) + variant->nr;
	struct run run = { .nr = n + 2 * PAGES, .every = EVERY, .r = self->r };
	__u64 *list = make_steps(seed, n);
	int bad;

	ASSERT_NE(NULL, list);
	run.steps = list;
	shrink_tainted();
	TH_LOG("XM_SEED=%llu, %u steps", seed, run.nr);
	bad = run_once(&run);
	EXPECT_EQ(0, bad);
	if (!bad) {
		EXPECT_EQ(run.nr, self->r->seen);
		return;
	}
	ASSERT_LT(0, bad);
	TH_LOG("XM_SEED=%llu goes wrong at step %d: %s", seed, bad,
	       self->r->text);
	for (i = self->r->lines > LINES ? self->r->lines - LINES : 0;
	     i < self->r->lines; i++) {
		TH_LOG("%5u %s", self->r->log[i % LINES].step,
		       self->r->log[i % LINES].text);
	}
	shorten(_metadata, &run, list);
}

TEST_HARNESS_MAIN
