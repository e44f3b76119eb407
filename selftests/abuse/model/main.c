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
#include "model.h"
#include "shrink.h"
#include "test.h"

#define RUNS	5U
#define EVERY	16U		/* steps from one VERIFY to the next */
#define MOST	1000U		/* runs to find the shortest */

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
