// SPDX-License-Identifier: GPL-2.0
/*
 * A random sequence of what devices, the CPU and the mm can do to a few pages,
 * step by step against a model of them: which are mapped, with what rights, and
 * what is in them. Every result is compared.
 *
 * XM_STEPS is the number of steps of all runs together and XM_SEED the seed of
 * the first; each run is a process of its own. If one goes wrong, it is run
 * again in shorter versions, each with everything checked at its end, to find
 * the shortest that does.
 */
#include <stdarg.h>
#include <sys/uio.h>

#include "test.h"

#define PAGES	24U
#define AREA	(PAGES * XM_PAGE)
#define RUNS	5U
#define EVERY	16U		/* steps from one VERIFY to the next */
#define LINES	24U		/* of the log that are kept */

enum right { NOT_MAPPED, READ, READ_WRITE };

struct page {
	enum right right;
	__u64 word[XM_WORDS];
};

/* Shared with the process that runs the steps */
struct report {
	unsigned int bad;	/* step at which it went wrong, from 1; 0: none */
	unsigned int seen;	/* steps taken */
	unsigned int line;
	char text[256];
	char log[LINES][128];
};

struct model {
	struct report *r;
	struct page page[PAGES];
	char *area;
	int fd[2];
	__u64 state;
	bool devmem;
	unsigned int step;
};

static __u64 rnd(struct model *m, __u64 below)
{
	/* xorshift64* */
	m->state ^= m->state >> 12;
	m->state ^= m->state << 25;
	m->state ^= m->state >> 27;
	return ((m->state * 0x2545f4914f6cdd1dULL) >> 33) % below;
}

static void note(struct model *m, const char *fmt, ...)
{
	char *line = m->r->log[m->r->line++ % LINES];
	va_list args;
	int n;

	n = snprintf(line, 128, "%5u ", m->step);
	va_start(args, fmt);
	vsnprintf(line + n, 128 - n, fmt, args);
	va_end(args);
}

static int wrong(struct model *m, const char *fmt, ...)
{
	va_list args;

	m->r->bad = m->step ? m->step : 1;
	va_start(args, fmt);
	vsnprintf(m->r->text, sizeof(m->r->text), fmt, args);
	va_end(args);
	return 1;
}

static __u64 *word(struct model *m, unsigned int i, unsigned int w)
{
	return (__u64 *)(m->area + i * XM_PAGE) + w;
}

static int same(struct model *m, const char *what, long expected, long seen)
{
	if (expected == seen)
		return 0;
	return wrong(m, "%s: expected %#lx, seen %#lx", what, expected, seen);
}

/* The pages of a step */
struct range {
	unsigned int i;
	unsigned int n;
	void *p;
	size_t len;
};

static struct range some(struct model *m, unsigned int most)
{
	struct range r;

	r.i = rnd(m, PAGES);
	r.n = 1 + rnd(m, most);
	if (r.i + r.n > PAGES)
		r.n = PAGES - r.i;
	r.p = word(m, r.i, 0);
	r.len = r.n * XM_PAGE;
	return r;
}

static int device(struct model *m)
{
	return m->fd[rnd(m, 4) == 0];
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

/* Accesses of one word */

static int cpu_load(struct model *m)
{
	unsigned int i = rnd(m, PAGES), w = rnd(m, XM_WORDS);
	struct page *pg = &m->page[i];
	__u64 v = 0;
	struct iovec to = { &v, 8 }, from = { word(m, i, w), 8 };

	note(m, "CPU load %u.%u", i, w);
	if (pg->right == NOT_MAPPED || rnd(m, 8) == 0) {
		long n = process_vm_readv(getpid(), &to, 1, &from, 1, 0);

		if (pg->right == NOT_MAPPED)
			return same(m, "readv of a hole", -1, n);
		if (n != 8)
			return wrong(m, "readv: %ld", n);
	} else {
		v = XM_LOAD(word(m, i, w));
	}
	return same(m, "CPU load", pg->word[w], v);
}

static int cpu_store(struct model *m)
{
	unsigned int i = rnd(m, PAGES), w = rnd(m, XM_WORDS);
	struct page *pg = &m->page[i];
	__u64 v = rnd(m, 1U << 30);
	struct iovec from = { &v, 8 }, to = { word(m, i, w), 8 };

	note(m, "CPU store %u.%u = %#llx", i, w, (unsigned long long)v);
	if (pg->right != READ_WRITE || rnd(m, 8) == 0) {
		long n = process_vm_writev(getpid(), &from, 1, &to, 1, 0);

		if (pg->right != READ_WRITE)
			return same(m, "writev without the right", -1, n);
		if (n != 8)
			return wrong(m, "writev: %ld", n);
	} else {
		XM_STORE(word(m, i, w), v);
	}
	pg->word[w] = v;
	return 0;
}

static int cpu_add(struct model *m)
{
	unsigned int i = rnd(m, PAGES), w = rnd(m, XM_WORDS);
	struct page *pg = &m->page[i];
	__u64 v = rnd(m, 1000), was;

	note(m, "CPU add %u.%u += %llu", i, w, (unsigned long long)v);
	if (pg->right != READ_WRITE)
		return 0;
	was = XM_ADD(word(m, i, w), v);
	if (same(m, "CPU add", pg->word[w], was))
		return 1;
	pg->word[w] += v;
	return 0;
}

static int dev_op(struct model *m, enum xmirror_op op, const char *name)
{
	unsigned int i = rnd(m, PAGES), w = rnd(m, XM_WORDS);
	struct range r = { .i = i, .n = 1 };
	struct page *pg = &m->page[i];
	__u64 v = rnd(m, 1U << 30), got = 0;
	int fd = device(m), err;

	note(m, "device %d %s %u.%u, %#llx", fd != m->fd[0], name, i, w,
	     (unsigned long long)v);
	first_bad(m, r, op != XMIRROR_OP_LOAD, &err);
	if (same(m, name, err, xm_op(fd, op, 8, word(m, i, w), v, &got)))
		return 1;
	if (err)
		return 0;
	if (op != XMIRROR_OP_STORE && same(m, name, pg->word[w], got))
		return 1;
	if (op == XMIRROR_OP_STORE || op == XMIRROR_OP_XCHG)
		pg->word[w] = v;
	if (op == XMIRROR_OP_ADD)
		pg->word[w] += v;
	return 0;
}

static int dev_load(struct model *m)
{
	return dev_op(m, XMIRROR_OP_LOAD, "load");
}

static int dev_store(struct model *m)
{
	return dev_op(m, XMIRROR_OP_STORE, "store");
}

static int dev_add(struct model *m)
{
	return dev_op(m, XMIRROR_OP_ADD, "add");
}

static int dev_xchg(struct model *m)
{
	return dev_op(m, XMIRROR_OP_XCHG, "xchg");
}

/* One word of each page of a range; what comes before a bad page is done. */
static int dev_add_pages(struct model *m)
{
	struct range r = some(m, 6);
	unsigned int w = rnd(m, XM_WORDS), k, good;
	struct xmirror_cmd cmd = xm_cmds(XMIRROR_OP_ADD, 8, word(m, r.i, w),
					 XM_PAGE, r.n, 3);
	struct xmirror_wait wait;
	int fd = device(m), err;
	__u64 fence;

	note(m, "device %d adds 3 to %u+%u.%u", fd != m->fd[0], r.i, r.n, w);
	good = first_bad(m, r, true, &err);
	if (same(m, "submit", 0, xm_submit(fd, 0, &cmd, 1, 1, &fence)) ||
	    same(m, "wait", 0, xm_wait(fd, fence, XM_LONG, &wait)) ||
	    same(m, "status", err, wait.status) ||
	    same(m, "locations", good, wait.ops))
		return 1;
	for (k = 0; k < good; k++)
		m->page[r.i + k].word[w] += 3;
	return 0;
}

/* Bytes */

static int dev_write(struct model *m)
{
	unsigned int i = rnd(m, PAGES), err_page;
	struct range r = { .i = i, .n = 1 };
	__u64 buf[XM_WORDS], v = rnd(m, 1U << 30);
	int fd = device(m), err, k;

	note(m, "device %d writes page %u", fd != m->fd[0], i);
	for (k = 0; k < (int)XM_WORDS; k++)
		buf[k] = v * k;
	err_page = first_bad(m, r, true, &err);
	if (same(m, "write", err, xm_write(fd, word(m, i, 0), buf, XM_PAGE)))
		return 1;
	if (err_page)
		memcpy(m->page[i].word, buf, XM_PAGE);
	return 0;
}

static int dev_read(struct model *m)
{
	struct range r = some(m, 4);
	__u64 buf[4 * XM_WORDS], done;
	unsigned int k, good;
	int fd = device(m), err;

	note(m, "device %d reads %u+%u", fd != m->fd[0], r.i, r.n);
	good = first_bad(m, r, false, &err);
	if (same(m, "read", err, xm_rw(fd, r.p, buf, r.len, 0, &done)) ||
	    same(m, "bytes read", good * XM_PAGE, done))
		return 1;
	for (k = 0; k < good; k++) {
		if (memcmp(buf + k * XM_WORDS, m->page[r.i + k].word, XM_PAGE))
			return wrong(m, "device sees other data in page %u",
				     r.i + k);
	}
	return 0;
}

/* Ranges */

static int dev_fault(struct model *m)
{
	struct range r = some(m, 8);
	bool write = rnd(m, 2);
	int fd = device(m), err;
	unsigned int good;
	__u64 done;

	note(m, "device %d %s fault %u+%u", fd != m->fd[0],
	     write ? "write" : "read", r.i, r.n);
	good = first_bad(m, r, write, &err);
	/* What comes before a bad page may be done or not. */
	if (same(m, "fault", err, xm_fault(fd, r.p, r.len, write ?
					   XMIRROR_FAULT_WRITE : 0, &done)))
		return 1;
	if (!err)
		return same(m, "bytes done", r.len, done);
	if (done > good * XM_PAGE)
		return wrong(m, "%llu bytes done past a bad page",
			     (unsigned long long)done);
	return 0;
}

static int dev_exclusive(struct model *m)
{
	struct range r = some(m, 6);
	int fd = device(m), err;
	unsigned int good;
	__u64 done;

	note(m, "device %d exclusive %u+%u", fd != m->fd[0], r.i, r.n);
	good = first_bad(m, r, true, &err);
	if (same(m, "exclusive", err, xm_exclusive(fd, r.p, r.len, &done)))
		return 1;
	return same(m, "bytes exclusive", good * XM_PAGE, done);
}

static int dev_release(struct model *m)
{
	struct range r = some(m, 6);
	int fd = device(m);
	__u64 done;

	note(m, "device %d release %u+%u", fd != m->fd[0], r.i, r.n);
	if (same(m, "release", 0, xm_release(fd, r.p, r.len, &done)))
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
	struct range r = some(m, 6);
	bool back = rnd(m, 3) == 0;
	int fd = device(m), err;

	note(m, "device %d migrate %s %u+%u", fd != m->fd[0],
	     back ? "back" : "to", r.i, r.n);
	if (!m->devmem || must_not_migrate(&r))
		return 0;
	first_bad(m, r, false, &err);
	return same(m, "migrate", err,
		    xm_migrate(fd, r.p, r.len,
			       back ? XMIRROR_MIGRATE_TO_SYSTEM : 0, 0, NULL));
}

/* The mm */

static int mm_protect(struct model *m)
{
	struct range r = some(m, 6);
	bool write = rnd(m, 3) != 0;
	unsigned int good, k;
	int err;

	/* As far as it is mapped */
	good = first_bad(m, r, false, &err);
	note(m, "mprotect %u+%u %s", r.i, good, write ? "rw" : "r");
	if (!good)
		return 0;
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
	struct range r = some(m, 6);
	int err, seen;
	unsigned int k;

	note(m, "%s %u+%u", name, r.i, r.n);
	first_bad(m, r, false, &err);
	seen = madvise(r.p, r.len, advice) ? errno : 0;
	/* It goes on behind a hole. */
	if (same(m, name, err ? ENOMEM : 0, seen))
		return 1;
	for (k = 0; k < r.n && advice == MADV_DONTNEED; k++)
		memset(m->page[r.i + k].word, 0, XM_PAGE);
	return 0;
}

static int mm_dontneed(struct model *m)
{
	return mm_advise(m, MADV_DONTNEED, "MADV_DONTNEED");
}

static int mm_pageout(struct model *m)
{
	return mm_advise(m, MADV_PAGEOUT, "MADV_PAGEOUT");
}

static int mm_cold(struct model *m)
{
	return mm_advise(m, MADV_COLD, "MADV_COLD");
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
	struct range r = some(m, 3);

	note(m, "munmap %u+%u", r.i, r.n);
	set_pages(m, r, NOT_MAPPED);
	return same(m, "munmap", 0, munmap(r.p, r.len));
}

static int mm_map(struct model *m)
{
	struct range r = some(m, 6);
	void *p;

	note(m, "mmap %u+%u", r.i, r.n);
	p = mmap(r.p, r.len, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	if (p != r.p)
		return wrong(m, "mmap: %s", strerror(errno));
	/* Always, so that all mappings can merge */
	madvise(r.p, r.len, MADV_NOHUGEPAGE);
	set_pages(m, r, READ_WRITE);
	return 0;
}

static int mm_move(struct model *m)
{
	unsigned int i = rnd(m, PAGES), j = rnd(m, PAGES);
	bool keep = rnd(m, 3) == 0;
	void *p;

	note(m, "mremap %u to %u%s", i, j, keep ? ", DONTUNMAP" : "");
	if (i == j)
		return 0;
	p = mremap(word(m, i, 0), XM_PAGE, XM_PAGE, MREMAP_MAYMOVE |
		   MREMAP_FIXED | (keep ? MREMAP_DONTUNMAP : 0),
		   word(m, j, 0));
	if (m->page[i].right == NOT_MAPPED) {
		if (p != MAP_FAILED || errno != EFAULT)
			return wrong(m, "mremap of a hole: %p, %s", p,
				     strerror(errno));
		/* Kernels differ in whether the target is gone by then. */
		if (m->page[j].right != NOT_MAPPED) {
			unsigned char core;

			if (mincore(word(m, j, 0), XM_PAGE, &core))
				m->page[j].right = NOT_MAPPED;
			if (m->page[j].right == NOT_MAPPED)
				memset(m->page[j].word, 0, XM_PAGE);
		}
		return 0;
	}
	if (p != word(m, j, 0))
		return wrong(m, "mremap: %s", strerror(errno));
	m->page[j] = m->page[i];
	memset(m->page[i].word, 0, XM_PAGE);
	if (!keep)
		m->page[i].right = NOT_MAPPED;
	return 0;
}

static int mm_clear_refs(struct model *m)
{
	note(m, "clear_refs");
	return same(m, "clear_refs", 0,
		    xm_write_file("/proc/self/clear_refs", "4"));
}

/* The child has what the parent had, and what it writes is its own. */
static int mm_fork(struct model *m)
{
	int status = -1;
	unsigned int i;
	pid_t pid;

	note(m, "fork");
	pid = fork();
	if (pid < 0)
		return wrong(m, "fork: %s", strerror(errno));
	if (!pid) {
		for (i = 0; i < PAGES; i++) {
			if (m->page[i].right == NOT_MAPPED)
				continue;
			if (memcmp(word(m, i, 0), m->page[i].word, XM_PAGE))
				_exit(1 + i);
			if (m->page[i].right == READ_WRITE)
				XM_STORE(word(m, i, 0), ~0ULL);
		}
		_exit(0);
	}
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return wrong(m, "the child ended with status %#x", status);
	if (WEXITSTATUS(status))
		return wrong(m, "the child sees other data in page %d",
			     WEXITSTATUS(status) - 1);
	return 0;
}

static const struct {
	int (*step)(struct model *m);
	unsigned int weight;
} steps[] = {
	{ cpu_load, 10 },
	{ cpu_store, 10 },
	{ cpu_add, 8 },
	{ dev_load, 8 },
	{ dev_store, 8 },
	{ dev_add, 12 },
	{ dev_xchg, 4 },
	{ dev_add_pages, 6 },
	{ dev_write, 3 },
	{ dev_read, 3 },
	{ dev_fault, 6 },
	{ dev_exclusive, 10 },
	{ dev_release, 4 },
	{ dev_migrate, 6 },
	{ mm_protect, 6 },
	{ mm_dontneed, 2 },
	{ mm_pageout, 4 },
	{ mm_cold, 2 },
	{ mm_unmap, 2 },
	{ mm_map, 4 },
	{ mm_move, 5 },
	{ mm_clear_refs, 1 },
	{ mm_fork, 1 },
	{}
};

static int verify(struct model *m)
{
	char text[128] = "";
	int i;

	for (i = 0; i < 2; i++) {
		if (xm_violations(m->fd[i], text, sizeof(text)))
			return wrong(m, "VERIFY of device %d: %s", i, text);
	}
	return 0;
}

/* Everything, without or with the CPU's help */
static int compare(struct model *m)
{
	unsigned int i;

	if (verify(m))
		return 1;
	for (i = 0; i < PAGES; i++) {
		__u64 buf[XM_WORDS];

		if (m->page[i].right == NOT_MAPPED)
			continue;
		if (xm_read(m->fd[0], word(m, i, 0), buf, XM_PAGE) ||
		    memcmp(buf, m->page[i].word, XM_PAGE))
			return wrong(m, "at the end the device sees other data in page %u",
				     i);
		if (memcmp(word(m, i, 0), m->page[i].word, XM_PAGE))
			return wrong(m, "at the end the CPU sees other data in page %u",
				     i);
	}
	return verify(m);
}

static int take_step(struct model *m)
{
	unsigned int sum = 0, i, x;

	for (i = 0; steps[i].step; i++)
		sum += steps[i].weight;
	x = rnd(m, sum);
	for (i = 0; x >= steps[i].weight; i++)
		x -= steps[i].weight;
	return steps[i].step(m);
}

struct run {
	__u64 seed;
	unsigned int steps;
	struct report *r;
};

static int run_steps(struct child *c, void *arg)
{
	static struct model model;
	struct model *m = &model;
	struct run *run = arg;
	__u64 chunk;

	(void)c;
	m->r = run->r;
	memset(m->r, 0, sizeof(*m->r));
	m->state = run->seed * 0x9e3779b97f4a7c15ULL + 1;
	m->fd[0] = xm_open(0);
	m->fd[1] = xm_open(1);
	CHILD_CHECK(m->fd[0] >= 0 && m->fd[1] >= 0);
	m->devmem = xm_caps() & XMIRROR_CAP_PRIVATE;
	/*
	 * Across the border of two chunks, and so low that the kernel gives
	 * the holes in it to nobody else.
	 */
	chunk = xm_facts()->chunk_size;
	m->area = (char *)((1UL << 40) + chunk - AREA / 2);
	CHILD_CHECK(mmap(m->area, AREA, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
			 -1, 0) == m->area);
	madvise(m->area, AREA, MADV_NOHUGEPAGE);
	set_pages(m, (struct range){ .n = PAGES }, READ_WRITE);
	while (m->step < run->steps) {
		m->step++;
		m->r->seen = m->step;
		if (take_step(m))
			return 0;
		if (m->step % EVERY == 0 && verify(m))
			return 0;
	}
	compare(m);
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

/* The shortest version that goes wrong, too, by halves */
static unsigned int shorten(struct run *run, unsigned int bad)
{
	unsigned int good = 0, mid;
	int at;

	while (good + 1 < bad) {
		mid = good + (bad - good) / 2;
		run->steps = mid;
		at = run_once(run);
		if (at > 0)
			bad = at;
		else
			good = mid;
	}
	run->steps = bad;
	return run_once(run) ? bad : 0;
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
	struct run run = { .r = self->r };
	unsigned int i, at_least;
	int bad;

	run.seed = number("XM_SEED", 20210518) + variant->nr;
	run.steps = (number("XM_STEPS", 5000) + RUNS - 1) / RUNS;
	TH_LOG("XM_SEED=%llu, %u steps", (unsigned long long)run.seed,
	       run.steps);
	bad = run_once(&run);
	EXPECT_EQ(0, bad);
	if (!bad) {
		EXPECT_EQ(run.steps, self->r->seen);
		return;
	}
	ASSERT_LT(0, bad);
	TH_LOG("XM_SEED=%llu goes wrong at step %d: %s",
	       (unsigned long long)run.seed, bad, self->r->text);
	for (i = 0; i < LINES; i++) {
		TH_LOG("  %s", self->r->log[(self->r->line + i) % LINES]);
	}
	at_least = shorten(&run, bad);
	if (!at_least) {
		TH_LOG("it does not do so every time");
		return;
	}
	TH_LOG("shortest: XM_SEED=%llu, %u steps: %s",
	       (unsigned long long)run.seed, at_least, self->r->text);
	for (i = 0; i < LINES; i++) {
		TH_LOG("  %s", self->r->log[(self->r->line + i) % LINES]);
	}
}

TEST_HARNESS_MAIN
