// SPDX-License-Identifier: GPL-2.0
/*
 * Suspend: an engine that is frozen stands still, and goes on with the same job.
 */
#include <sys/mount.h>
#include <sys/stat.h>

#include "fixture.h"

/* The control group's state becomes this */
static bool freezer_says(const char *path, const char *want)
{
	__u64 start = xm_now_ns();
	char line[32] = "";
	FILE *f;

	while (!xm_expired(start, XM_LONG)) {
		f = fopen(path, "re");
		if (!f)
			return false;
		if (!fgets(line, sizeof(line), f))
			line[0] = 0;
		fclose(f);
		line[strcspn(line, "\n")] = 0;
		if (!strcmp(line, want))
			return true;
		sched_yield();
	}
	printf("# %s says %s\n", path, line);
	return false;
}

#define FREEZER	"/tmp/freezer"
#define GROUP	FREEZER "/engine"

static int freezer_move(const char *procs, pid_t pid)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", pid);
	return xm_write_file(procs, text);
}

/* The thread goes on, outside, and there is no group any more. */
static int freezer_end(pid_t pid)
{
	int err = xm_write_file(GROUP "/freezer.state", "THAWED");

	err = freezer_move(FREEZER "/cgroup.procs", pid) ?: err;
	if (rmdir(GROUP))
		err = -errno;
	if (umount(FREEZER))
		err = -errno;
	rmdir(FREEZER);
	return err;
}

/*
 * A thread comes into a group of its own. -ENODEV without a freezer. Nothing but
 * freezer_end() ends that, so no check may end the test before.
 */
static int freezer_take(pid_t pid)
{
	/* A test that was killed may have left it. */
	freezer_end(pid);
	mkdir(FREEZER, 0700);
	if (mount("none", FREEZER, "cgroup", 0, "freezer")) {
		rmdir(FREEZER);
		return -ENODEV;
	}
	return mkdir(GROUP, 0700) ? -errno :
	       freezer_move(GROUP "/cgroup.procs", pid);
}

#define FREEZE() \
	do { \
		EXPECT_EQ(0, xm_write_file(GROUP "/freezer.state", "FROZEN")); \
		EXPECT_TRUE(freezer_says(GROUP "/freezer.state", "FROZEN")); \
	} while (0)

/* A thread that stands still after the test would keep all other tests waiting. */
#define TAKE(pid) \
	do { \
		int take_err = freezer_take(pid); \
		if (take_err == -ENODEV) \
			XM_SKIP(return, "no freezer: CONFIG_CGROUP_FREEZER"); \
		EXPECT_EQ(0, take_err); \
	} while (0)

/*
 * As when the system is suspended, which a control group can do to one thread: the
 * engine stops between two slices, does nothing until it is thawed, and goes on
 * with the same job. The CPU needs no engine meanwhile.
 */
TEST_F(engine, freezes_in_a_job)
{
	pid_t pid = kthread_named("xmirror0/1");
	unsigned int i;
	__u64 fence;

	ASSERT_NE(0, pid);
	TAKE(pid);
	EXPECT_EQ(0, submit_endless(self->fd, 1, self->w, &fence));
	EXPECT_TRUE(seen(self->w, 1));
	FREEZE();

	XM_STORE(self->w, 0);
	for (i = 0; i < 100; i++) {
		sched_yield();
		EXPECT_EQ(0, mprotect(self->w, SIZE, PROT_READ));
		EXPECT_EQ(0, mprotect(self->w, SIZE, PROT_READ | PROT_WRITE));
		EXPECT_EQ(0, XM_LOAD(self->w));
	}
	EXPECT_EQ(0, xm_write(self->fd, self->w + 1, &fence, sizeof(fence)));
	EXPECT_EQ(fence, XM_LOAD(self->w + 1));
	EXPECT_CLEAN(self->fd);

	EXPECT_EQ(0, xm_write_file(GROUP "/freezer.state", "THAWED"));
	EXPECT_TRUE(seen(self->w, 1));
	EXPECT_EQ(-ECANCELED, xm_cancel(self->fd, fence, NULL));
	EXPECT_EQ(0, freezer_end(pid));
}

/* Also where one call of it goes on for as long as a page is not to be had. */
TEST_F(engine, freezes_in_a_retry)
{
	pid_t pid = kthread_named("xmirror0/1");
	struct xmirror_wait w = {};
	struct xmirror_stats a, b;
	unsigned int i;
	__u64 fence;

	ASSERT_NE(0, pid);
	TAKE(pid);
	EXPECT_EQ(0, submit_retried(self->fd, 1, self->w, &fence));
	FREEZE();
	EXPECT_EQ(0, xm_stats(self->fd, &a));
	for (i = 0; i < 100; i++)
		sched_yield();
	EXPECT_EQ(0, xm_stats(self->fd, &b));
	EXPECT_EQ(a.fault_retries, b.fault_retries);
	EXPECT_EQ(0, xm_write_file(GROUP "/freezer.state", "THAWED"));
	EXPECT_EQ(0, xm_inject_end(self->fd, XMIRROR_INJECT_COMMIT, NULL, NULL));
	EXPECT_EQ(0, xm_wait(self->fd, fence, XM_LONG, &w));
	EXPECT_EQ(0, w.status);
	EXPECT_EQ(1, XM_LOAD(self->w));
	EXPECT_EQ(0, freezer_end(pid));
}

TEST_HARNESS_MAIN
