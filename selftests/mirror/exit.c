// SPDX-License-Identifier: GPL-2.0
/* What a mirror hears at the end of its process, as debugfs has it afterwards. */
#include "observe.h"
#include "test.h"

/* A counter of the newest mirror */
static unsigned long long newest(const char *counter)
{
	return xm_mirror_counter(xm_newest_mirror(), counter);
}

static int exit_with_a_leaf(struct child *c, void *arg)
{
	char *p = xm_area(XM_PAGE, 0);
	int fd = xm_open(0);

	(void)arg;
	CHILD_CHECK(p && fd >= 0);
	CHILD_CHECK(!xm_fault(fd, p, XM_PAGE, XMIRROR_FAULT_WRITE, NULL));
	CHILD_CHECK(newest("inval_release") == 0);
	CHILD_CHECK(!child_send_fd(c, fd));
	return 0;
}

/* Drivers do nothing at RELEASE, and much for an UNMAP of everything. */
/* covers: B.exit */
TEST(exit_is_announced_as_the_end)
{
	struct child c;
	int fd;

	XM_NEED_DEVICE(return);
	if (access(XM_DEBUGFS, R_OK))
		XM_SKIP(return, "no debugfs");
	ASSERT_EQ(0, child_start(&c, exit_with_a_leaf, NULL));
	fd = child_recv_fd(&c);
	ASSERT_GE(fd, 0);
	ASSERT_EQ(0, child_end(&c));
	/* Of its one interval; the memory is unmapped afterwards. */
	EXPECT_EQ(1, newest("inval_release"));
	EXPECT_LE(1, newest("inval_unmap"));
	close(fd);
}

TEST_HARNESS_MAIN
