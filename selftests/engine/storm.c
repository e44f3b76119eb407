// SPDX-License-Identifier: GPL-2.0
/*
 * Many processes end at once, each with files of both devices open, jobs that run, pages
 * of every kind, a thread in munmap() and one in close(): nothing of theirs stays.
 */
#include <dirent.h>

#include "test.h"

#define PAGES		8UL
#define SIZE		(PAGES * XM_PAGE)
#define CHILDREN	16
#define DEBUGFS		"/sys/kernel/debug/xmirror"

/** struct gate - all threads of all children go through it at once */
struct gate {
	pthread_barrier_t barrier;
	unsigned int gone;	/* through it */
};

/* Mirrors that there are, by their directories; -1 if that cannot be seen */
static int mirrors(void)
{
	struct dirent *entry;
	DIR *dir = opendir(DEBUGFS);
	int n = 0;

	if (!dir)
		return -1;
	while ((entry = readdir(dir)))
		n += entry->d_name[0] != '.';
	closedir(dir);
	return n;
}

/** struct counts - what is in use of two devices */
struct counts {
	__u64 free[2];
	int mirrors;
};

static void count(struct counts *n, int fd0, int fd1)
{
	n->free[0] = xm_devmem_free(fd0);
	n->free[1] = xm_devmem_free(fd1);
	n->mirrors = mirrors();
}

static bool same(const struct counts *a, const struct counts *b)
{
	return a->free[0] == b->free[0] && a->free[1] == b->free[1] &&
	       a->mirrors == b->mirrors;
}

static int unmap_at_the_gate(struct worker *w)
{
	struct gate *g = w->to;

	pthread_barrier_wait(&g->barrier);
	return work_munmap(w);
}

static int close_at_the_gate(struct worker *w)
{
	struct gate *g = w->to;

	pthread_barrier_wait(&g->barrier);
	return work_close(w);
}

/* Memory of device @n, with a job on each engine that is seen to run */
static int use(int fd, char *p)
{
	struct xmirror_cmd cmd;
	__u64 *w = (__u64 *)p;
	unsigned int i;
	__u64 start, fence;
	bool excl = xm_caps() & XMIRROR_CAP_EXCLUSIVE;

	memset(p, 0, SIZE);
	if (xm_migrate(fd, p + SIZE / 2, SIZE / 2, 0, 0, NULL))
		return -EIO;
	for (i = 0; i < xm_facts()->engines; i++) {
		cmd = xm_cmds(excl ? XMIRROR_OP_ADD : XMIRROR_OP_STORE, 8, p,
			      XM_PAGE, PAGES, 1);
		if (xm_submit(fd, i, &cmd, 1, ~0ULL, &fence))
			return -EIO;
	}
	start = xm_now_ns();
	while (!XM_LOAD(w)) {
		if (xm_expired(start, XM_LONG))
			return -ETIMEDOUT;
		sched_yield();
	}
	return 0;
}

static int end_with_all(struct child *c, void *arg)
{
	struct worker unmap = { .fn = unmap_at_the_gate, .to = arg };
	struct worker closer = { .fn = close_at_the_gate, .to = arg };
	int fd0 = xm_open(0), fd1 = xm_open(1);
	char *p = xm_anon(SIZE), *q = xm_anon(SIZE);
	struct gate *g = arg;

	CHILD_CHECK(fd0 >= 0 && fd1 >= 0 && p && q);
	CHILD_CHECK(!use(fd0, p));
	CHILD_CHECK(!use(fd1, q));
	unmap.addr = p;
	unmap.len = SIZE;
	closer.fd = fd1;
	CHILD_CHECK(!worker_start(&unmap));
	CHILD_CHECK(!worker_start(&closer));
	CHILD_CHECK(!child_tell(c, 'r'));
	pthread_barrier_wait(&g->barrier);
	XM_ADD(&g->gone, 1);
	return 0;
}

/* covers: R13 */
TEST(processes_end_beside_each_other)
{
	struct gate *g = xm_shared(XM_PAGE);
	struct counts before, after;
	pthread_barrierattr_t attr;
	struct child c[CHILDREN];
	struct xmirror_cmd cmd;
	unsigned int i, n;
	__u64 start, *p = xm_anon(XM_PAGE);
	int fd[2];

	NEED(XMIRROR_CAP_PRIVATE);
	ASSERT_NE(NULL, g);
	ASSERT_NE(NULL, p);
	OPEN(fd[0], 0);
	OPEN(fd[1], 1);
	*p = 0;
	count(&before, fd[0], fd[1]);
	ASSERT_EQ(0, pthread_barrierattr_init(&attr));
	ASSERT_EQ(0, pthread_barrierattr_setpshared(&attr, PTHREAD_PROCESS_SHARED));
	ASSERT_EQ(0, pthread_barrier_init(&g->barrier, &attr,
					  3 * CHILDREN + 1));
	for (i = 0; i < CHILDREN; i++) {
		ASSERT_EQ(0, child_start(&c[i], end_with_all, g));
	}
	for (i = 0; i < CHILDREN; i++) {
		ASSERT_EQ('r', child_hear(&c[i]));
	}
	/* All of it is there, and the last one goes through the gate. */
	count(&after, fd[0], fd[1]);
	ASSERT_FALSE(same(&before, &after));
	ASSERT_EQ(0, g->gone);
	pthread_barrier_wait(&g->barrier);
	for (i = 0; i < CHILDREN; i++) {
		EXPECT_EQ(0, child_end(&c[i]));
	}
	EXPECT_EQ(CHILDREN, g->gone);
	/* The last of a mirror may go in an engine, or in a thread of the kernel. */
	start = xm_now_ns();
	do {
		sched_yield();
		count(&after, fd[0], fd[1]);
	} while (!same(&before, &after) && !xm_expired(start, XM_LONG));
	EXPECT_EQ(before.free[0], after.free[0]);
	EXPECT_EQ(before.free[1], after.free[1]);
	EXPECT_EQ(before.mirrors, after.mirrors);
	for (n = 0; n < 2; n++) {
		for (i = 0; i < xm_facts()->engines; i++) {
			cmd = xm_cmd(XMIRROR_OP_STORE, 8, p, 10 * n + i);
			EXPECT_EQ(0, xm_run_on(fd[n], i, &cmd, NULL));
			EXPECT_EQ(10 * n + i, *p);
		}
		EXPECT_CLEAN(fd[n]);
		close(fd[n]);
	}
}

TEST_HARNESS_MAIN
