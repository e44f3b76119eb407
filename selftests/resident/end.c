// SPDX-License-Identifier: GPL-2.0
/*
 * The end of a process, of a file or of an address space whose device holds a range as
 * a whole: while it is mapped, while the thread that restores it is stopped in the
 * middle, while that waits to try again, and when it was given up; with a job that
 * waits for it. Nothing is left behind, and the engine is free for others.
 */
#include "job.h"

enum when { MAPPED, RESTORING, TRYING, SUSPENDED };
enum end { BY_EXIT, BY_KILL, BY_EXEC, BY_CLOSE, BY_PARENT };

struct scene {
	enum when when;
	enum end end;
};

static int actor(struct child *c, void *arg)
{
	const struct scene *s = arg;
	struct xmirror_resident r;
	int fd = xm_open(0);
	__u64 *p = xm_anon(SIZE);
	__u64 fence;
	__u32 id;

	CHILD_CHECK(fd >= 0 && p);
	memset(p, 1, SIZE);
	CHILD_CHECK(!resident_add(fd, p, SIZE, XMIRROR_RESIDENT_WRITE));
	fence = endless(fd, XMIRROR_OP_ADD, p);
	CHILD_CHECK(fence && works(fd));
	switch (s->when) {
	case MAPPED:
		break;
	case RESTORING:
		CHILD_CHECK(!xm_sync_arm(fd, XMIRROR_PT_RESTORE_BEGIN, p, SIZE,
					 &id));
		CHILD_CHECK(!madvise(p + WORDS, XM_PAGE, MADV_DONTNEED));
		CHILD_CHECK(!xm_sync_reached(fd, id, XM_LONG));
		CHILD_CHECK(stands(fd));
		break;
	case TRYING:
		CHILD_CHECK(!munmap(p + WORDS, XM_PAGE));
		break;
	case SUSPENDED:
		CHILD_CHECK(!munmap(p + WORDS, XM_PAGE));
		CHILD_CHECK(!resident_settled(fd, p, &r));
		CHILD_CHECK(r.state == XMIRROR_RESIDENT_SUSPENDED);
		break;
	}
	switch (s->end) {
	case BY_KILL:
		child_tell(c, 'k');
		child_hear(c);
		return 1;
	case BY_EXEC:
		execl("/bin/true", "true", NULL);
		execl("/bin/busybox", "true", NULL);
		return 1;
	case BY_CLOSE:
		CHILD_CHECK(!close(fd));
		return 0;
	case BY_PARENT:
		/* The file outlives this process. */
		CHILD_CHECK(!child_send_fd(c, fd));
		CHILD_CHECK(child_hear(c) == 'e');
		return 0;
	default:
		return 0;
	}
}

FIXTURE(end) {
	int fd;
	__u64 *p;
};

FIXTURE_VARIANT(end) {
	enum when when;
};

FIXTURE_VARIANT_ADD(end, mapped) { .when = MAPPED };
FIXTURE_VARIANT_ADD(end, restoring) { .when = RESTORING };
FIXTURE_VARIANT_ADD(end, trying_again) { .when = TRYING };
FIXTURE_VARIANT_ADD(end, suspended) { .when = SUSPENDED };

FIXTURE_SETUP(end)
{
	OPEN(self->fd, 0);
	NEED(XMIRROR_CAP_SYNC);
	self->p = xm_anon(XM_PAGE);
	ASSERT_NE(NULL, self->p);
	*self->p = 1;
}

FIXTURE_TEARDOWN(end)
{
	/* The engine that had the job is free. */
	EXPECT_EQ(0, xm_op(self->fd, XMIRROR_OP_STORE, 8, self->p, 5, NULL));
	EXPECT_EQ(5, XM_LOAD(self->p));
	EXPECT_CLEAN(self->fd);
	close(self->fd);
}

#define PLAY(how, status) \
	do { \
		struct scene play_s = { .when = variant->when, .end = (how) }; \
		struct child play_c; \
		ASSERT_EQ(0, child_start(&play_c, actor, &play_s)); \
		if ((how) == BY_KILL) { \
			EXPECT_EQ('k', child_hear(&play_c)); \
			kill(play_c.pid, SIGKILL); \
		} \
		EXPECT_EQ((status), child_end(&play_c)); \
	} while (0)

TEST_F(end, process_exits)
{
	PLAY(BY_EXIT, 0);
}

TEST_F(end, process_is_killed)
{
	PLAY(BY_KILL, 128 + SIGKILL);
}

TEST_F(end, process_becomes_another_program)
{
	PLAY(BY_EXEC, 0);
}

TEST_F(end, file_is_closed)
{
	PLAY(BY_CLOSE, 0);
}

/* A job of the mm that is gone ends; so does the thread that was stopped. */
TEST_F(end, file_outlives_the_process)
{
	struct scene s = { .when = variant->when, .end = BY_PARENT };
	struct xmirror_resident r;
	struct child c;
	int fd, err;

	ASSERT_EQ(0, child_start(&c, actor, &s));
	fd = child_recv_fd(&c);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, child_tell(&c, 'e'));
	EXPECT_EQ(0, child_end(&c));
	/* A restore that was under way may be the last user of the mm for a moment. */
	err = resident_get(fd, self->p, &r);
	EXPECT_TRUE(err == -ESRCH || err == -EPERM);
	err = resident_add(fd, self->p, XM_PAGE, 0);
	EXPECT_TRUE(err == -ESRCH || err == -EPERM);
	EXPECT_EQ(0, close(fd));
}

TEST_HARNESS_MAIN
