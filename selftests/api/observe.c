// SPDX-License-Identifier: GPL-2.0
/*
 * A mirror seen from outside: counters by name in debugfs, and trace events, both
 * by the mirror's id.
 */
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "observe.h"
#include "test.h"

#define DEBUGFS	"/sys/kernel/debug"
#define TRACE	"/sys/kernel/tracing/instances/xmirror"

FIXTURE(observe) {
	int fd;
	unsigned long long id;
	__u64 *p;
};

FIXTURE_SETUP(observe)
{
	self->fd = -1;
	if (access(DEBUGFS, F_OK))
		XM_SKIP(return, "no debugfs: CONFIG_DEBUG_FS");
	/* It may be mounted already. */
	if (access(XM_DEBUGFS, F_OK))
		mount("debugfs", DEBUGFS, "debugfs", 0, NULL);
	ASSERT_EQ(0, access(XM_DEBUGFS, F_OK));
	OPEN(self->fd, 0);
	self->id = xm_newest_mirror();
	ASSERT_NE(0, self->id);
	self->p = xm_anon(XM_PAGE);
	ASSERT_NE(NULL, self->p);
	*self->p = 1;
}

FIXTURE_TEARDOWN(observe)
{
	/* A failed test may have left events enabled, which would keep the module. */
	rmdir(TRACE);
	if (self->fd >= 0)
		close(self->fd);
}

#define EXPECT_COUNTER(name, field) \
	do { \
		EXPECT_EQ(s.field, xm_mirror_counter(self->id, name)) \
			TH_LOG("%s", name); \
	} while (0)

TEST_F(observe, counters_by_name)
{
	struct xmirror_stats s;

	ASSERT_EQ(0, xm_op(self->fd, XMIRROR_OP_STORE, 8, self->p, 5, NULL));
	ASSERT_EQ(0, mprotect(self->p, XM_PAGE, PROT_READ));
	ASSERT_EQ(0, xm_stats(self->fd, &s));
	EXPECT_NE(0, s.ops);
	EXPECT_NE(0, s.inv[XM_EV_PROTECTION_VMA]);
	EXPECT_COUNTER("fault_pages", fault_pages);
	EXPECT_COUNTER("fault_walks", fault_rounds);
	EXPECT_COUNTER("inval_protection_vma", inv[XM_EV_PROTECTION_VMA]);
	EXPECT_COUNTER("inval_unmap", inv[XM_EV_UNMAP]);
	EXPECT_COUNTER("dirtied", dirtied);
	EXPECT_COUNTER("fork_taken", fork_taken);
}

/* An open file does not keep the mirror, and cannot be read after it. */
TEST_F(observe, go_with_the_mirror)
{
	char path[64], text[64];
	int stats;

	xm_stats_path(path, sizeof(path), self->id);
	stats = open(path, O_RDONLY | O_CLOEXEC);
	ASSERT_GE(stats, 0);
	ASSERT_EQ(0, close(self->fd));
	self->fd = -1;
	EXPECT_NE(0, access(path, F_OK));
	EXPECT_GT(0, read(stats, text, sizeof(text)));
	close(stats);
}

static int read_all(struct worker *w)
{
	unsigned long long id;
	char path[64], text[256];
	int fd;

	while (!XM_LOAD(&w->stop)) {
		id = xm_newest_mirror();
		xm_stats_path(path, sizeof(path), id);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		while (read(fd, text, sizeof(text)) > 0)
			XM_ADD(&w->arg, 1);
		close(fd);
	}
	return 0;
}

TEST_F(observe, read_while_mirrors_go)
{
	struct worker w = { .fn = read_all };
	__u64 start;
	int fd;

	ASSERT_EQ(0, worker_start(&w));
	for (start = xm_now_ns(); XM_LOAD(&w.arg) < 200;) {
		ASSERT_FALSE(xm_expired(start, XM_LONG));
		OPEN(fd, 0);
		EXPECT_EQ(0, xm_fault(fd, self->p, XM_PAGE, 0, NULL));
		close(fd);
	}
	XM_STORE(&w.stop, true);
	EXPECT_EQ(0, worker_join(&w));
}

/* The trace has a line with all of these in it, in this order. */
static bool traced(const char *a, const char *b, const char *c)
{
	FILE *f = fopen(TRACE "/trace", "re");
	char line[512], *at;
	bool found = false;

	while (f && !found && fgets(line, sizeof(line), f)) {
		at = strstr(line, a);
		at = at ? strstr(at, b) : NULL;
		found = at && strstr(at, c);
	}
	if (f)
		fclose(f);
	if (!found)
		dprintf(2, "# no event %s %s %s\n", a, b, c);
	return found;
}

TEST_F(observe, events)
{
	unsigned long long id;
	char mirror[32];
	__u64 moved = 0;
	int fd;

	if (mkdir(TRACE, 0700) ||
	    xm_write_file(TRACE "/events/xmirror/enable", "1")) {
		rmdir(TRACE);
		XM_SKIP(return, "no trace events: CONFIG_EVENT_TRACING");
	}
	OPEN(fd, 0);
	id = xm_newest_mirror();
	snprintf(mirror, sizeof(mirror), "mirror=%llu ", id);
	ASSERT_EQ(0, xm_op(fd, XMIRROR_OP_STORE, 8, self->p, 5, NULL));
	if (xm_caps() & XMIRROR_CAP_EXCLUSIVE) {
		ASSERT_EQ(0, xm_exclusive(fd, self->p, XM_PAGE, NULL));
		ASSERT_EQ(0, xm_release(fd, self->p, XM_PAGE, NULL));
	}
	if (xm_caps() & XMIRROR_CAP_PRIVATE) {
		ASSERT_EQ(0, xm_migrate(fd, self->p, XM_PAGE, 0, 0, &moved));
		ASSERT_EQ(1, moved);
		EXPECT_EQ(5, XM_LOAD(self->p));
	}
	ASSERT_EQ(0, mprotect(self->p, XM_PAGE, PROT_READ));
	close(fd);
	EXPECT_EQ(0, xm_write_file(TRACE "/tracing_on", "0"));

	snprintf(mirror, sizeof(mirror), "mirror=%llu", id);
	EXPECT_TRUE(traced("xm_create:", mirror, ""));
	EXPECT_TRUE(traced("xm_interval:", mirror, "range="));
	EXPECT_TRUE(traced("xm_fault:", mirror, "mode=write ret=0"));
	EXPECT_TRUE(traced("xm_invalidate:", mirror, "event=PROTECTION_VMA"));
	EXPECT_TRUE(traced("xm_destroy:", mirror, ""));
	if (xm_caps() & XMIRROR_CAP_EXCLUSIVE) {
		EXPECT_TRUE(traced("xm_exclusive:", mirror, "ret=0"));
		EXPECT_TRUE(traced("xm_restore:", mirror, "ret=0"));
	}
	if (moved) {
		EXPECT_TRUE(traced("xm_devmem_alloc:", mirror, "nr=1"));
		EXPECT_TRUE(traced("xm_devmem_free:", mirror, "nr=1"));
	}
	EXPECT_EQ(0, rmdir(TRACE));
}

TEST_HARNESS_MAIN
