// SPDX-License-Identifier: GPL-2.0
/*
 * The device's memory for a process is charged to the memory cgroup of that
 * process, whoever allocates it: jobs, page tables of an engine's faults, and VRAM,
 * which is freed with the last open file.
 *
 * The kernel charges in batches per CPU: the tests measure megabytes.
 */
#include "group.h"
#include "test.h"

#define MB	(1UL << 20)
/* More than what a CPU gives back of its batch between two looks */
#define BATCH	((long)MB)

#define JOBS	200U

/* Jobs that wait behind an endless one */
static int take_jobs(struct child *c, void *arg)
{
	const struct group *g = arg;
	static struct xmirror_cmd cmds[XMIRROR_MAX_CMDS];
	__u64 fence, *p = xm_anon(XM_PAGE);
	int fd = xm_open(0);
	unsigned int i;
	long before;

	(void)c;
	CHILD_CHECK(p && fd >= 0);
	*p = 0;
	for (i = 0; i < XMIRROR_MAX_CMDS; i++)
		cmds[i] = xm_cmd(XMIRROR_OP_LOAD, 8, p, 0);
	CHILD_CHECK(!group_enter(g));
	cmds[0] = xm_cmds(XMIRROR_OP_STORE, 8, p, 0, 1000, 1);
	CHILD_CHECK(!xm_submit(fd, 0, cmds, 1, ~0ULL, &fence));
	before = group_current(g);
	for (i = 0; i < JOBS; i++)
		CHILD_CHECK(!xm_submit(fd, 0, cmds, XMIRROR_MAX_CMDS, 1,
				       &fence));
	dprintf(2, "# %u jobs: %ld KiB\n", JOBS,
		(group_current(g) - before) / 1024);
	CHILD_CHECK(group_current(g) - before >=
		    (long)(JOBS * XMIRROR_MAX_CMDS * sizeof(*cmds)) - BATCH);
	return 0;
}

#define SPAN	(1UL << 30)

/* One zero page for each page table, so that only the tables take memory */
static int take_tables(struct child *c, void *arg)
{
	const struct group *g = arg;
	char *p = mmap(NULL, SPAN, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS |
		       MAP_NORESERVE, -1, 0);
	struct xmirror_cmd cmd;
	struct xmirror_stats s;
	int fd = xm_open(0);
	long before, now;

	(void)c;
	CHILD_CHECK(p != MAP_FAILED && fd >= 0);
	xm_no_thp(p, SPAN);
	CHILD_CHECK(!group_enter(g));
	before = group_stat(g, "kernel");
	CHILD_CHECK(before >= 0);
	cmd = xm_cmds(XMIRROR_OP_LOAD, 8, p, XM_2M, SPAN / XM_2M, 0);
	CHILD_CHECK(!xm_run(fd, &cmd, NULL));
	CHILD_CHECK(!xm_stats(fd, &s));
	/* Eight bytes for each page that they have room for */
	CHILD_CHECK(s.table_bytes >= SPAN / XM_PAGE * 8);
	now = group_stat(g, "kernel");
	dprintf(2, "# tables of the device: %llu KiB, charged: %ld KiB\n",
		(unsigned long long)s.table_bytes / 1024,
		(now - before) / 1024);
	CHILD_CHECK(now - before >= (long)s.table_bytes);
	return 0;
}

static int take_vram(struct child *c, void *arg)
{
	const struct group *g = arg;
	struct xmirror_vram v = { .size = sizeof(v), .op = XMIRROR_VRAM_QUERY };
	long before, now, after;
	int fd = xm_open(0);
	size_t i, len;
	char *p;

	(void)c;
	CHILD_CHECK(fd >= 0);
	if (xm_ioctl(fd, XMIRROR_IOC_VRAM, &v))
		return 77;
	len = v.bytes < 16 * MB ? v.bytes : 16 * MB;
	CHILD_CHECK(!group_enter(g));
	before = group_current(g);
	p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHILD_CHECK(p != MAP_FAILED);
	for (i = 0; i < len; i += XM_2M)
		p[i] = 1;
	now = group_current(g);
	CHILD_CHECK(!munmap(p, len));
	CHILD_CHECK(!close(fd));
	after = group_current(g);
	dprintf(2, "# VRAM: %zu KiB, charged: %ld KiB, after close: %ld KiB\n",
		len / 1024, (now - before) / 1024, (after - before) / 1024);
	CHILD_CHECK(now - before >= (long)len - BATCH);
	CHILD_CHECK(after - before <= (long)len / 4);
	/* Freed VRAM shows no data of its last user. */
	fd = xm_open(0);
	CHILD_CHECK(fd >= 0);
	p = mmap(NULL, len, PROT_READ, MAP_SHARED, fd, 0);
	CHILD_CHECK(p != MAP_FAILED);
	for (i = 0; i < len; i += XM_2M)
		CHILD_CHECK(!p[i]);
	return 0;
}

FIXTURE(charge) {
	struct group g;
};

FIXTURE_VARIANT(charge) {
	int (*fn)(struct child *c, void *arg);
};

FIXTURE_VARIANT_ADD(charge, jobs) { .fn = take_jobs };
FIXTURE_VARIANT_ADD(charge, tables) { .fn = take_tables };
FIXTURE_VARIANT_ADD(charge, vram) { .fn = take_vram };

FIXTURE_SETUP(charge)
{
	int err = group_make(&self->g, "charge");

	if (err == -ENOENT)
		XM_SKIP(return, "no memory control groups");
	ASSERT_EQ(0, err);
}

FIXTURE_TEARDOWN(charge)
{
	EXPECT_EQ(0, group_remove(&self->g));
}

TEST_F(charge, to_the_process)
{
	struct child c;
	int err;

	ASSERT_EQ(0, child_start(&c, variant->fn, &self->g));
	err = child_end(&c);
	if (err == 77)
		XM_SKIP(return, "no VRAM: vram_mb=0");
	EXPECT_EQ(0, err);
}

TEST_HARNESS_MAIN
