// SPDX-License-Identifier: GPL-2.0
/*
 * How a test ends, one case per way that the end was once wrong. Run on the host
 * by test.sh, which takes the expected end from the first word of the test's
 * name: pass, fail, skip, xfail or xpass.
 */
#include "settings.h"
#include "test.h"

#define BUG "finding 0: a bug of the kernel"

TEST(pass_expect)
{
	EXPECT_EQ(1, 1);
}

/* A check that failed is not taken back by anything that follows. */

TEST(fail_expect_then_skip)
{
	EXPECT_EQ(1, 2);
	XM_SKIP(return, "nothing to try it with");
}

TEST(fail_expect_then_xfail)
{
	EXPECT_EQ(1, 2);
	XM_XFAIL_IF(true, false, BUG);
}

TEST(fail_expect_then_xpass)
{
	EXPECT_EQ(1, 2);
	XM_XFAIL_IF(true, true, BUG);
}

TEST(fail_expect_then_no_device)
{
	EXPECT_EQ(1, 2);
	unsetenv("XM_GUEST");
	NEED(XMIRROR_CAP_EXCLUSIVE);
}

TEST(fail_xfail_then_expect)
{
	XM_XFAIL_IF(true, false, BUG);
	EXPECT_EQ(1, 2);
}

TEST(fail_xpass_then_expect)
{
	XM_XFAIL_IF(true, true, BUG);
	EXPECT_EQ(1, 2);
}

TEST(fail_xfail_then_assert)
{
	XM_XFAIL_IF(true, false, BUG);
	ASSERT_EQ(1, 2);
}

TEST(fail_xfail_then_signal)
{
	XM_XFAIL_IF(true, false, BUG);
	raise(SIGKILL);
}

/* An expected failure is about one check, on a kernel with the bug. */

TEST(xfail_with_the_bug)
{
	EXPECT_EQ(1, 1);
	XM_XFAIL_IF(true, false, BUG);
	EXPECT_EQ(2, 2);
}

TEST(xpass_with_the_bug)
{
	XM_XFAIL_IF(true, true, BUG);
}

TEST(xfail_one_of_two_bugs)
{
	XM_XFAIL_IF(true, true, BUG);
	XM_XFAIL_IF(true, false, BUG);
	XM_XFAIL_IF(true, true, BUG);
}

TEST(fail_without_the_bug)
{
	XM_XFAIL_IF(false, false, BUG);
}

TEST(pass_without_the_bug)
{
	XM_XFAIL_IF(false, true, BUG);
}

TEST(xfail_then_skip)
{
	XM_XFAIL_IF(true, false, BUG);
	XM_SKIP(return, "nothing to try it with");
}

TEST(skip_after_what_held)
{
	EXPECT_EQ(1, 1);
	XM_SKIP(return, "nothing to try it with");
}

/* Without a device nothing is tested, which is a failure in a guest. */

TEST(fail_need_without_device_in_a_guest)
{
	setenv("XM_GUEST", "1", 1);
	NEED(XMIRROR_CAP_EXCLUSIVE);
}

TEST(fail_open_without_device_in_a_guest)
{
	int fd;

	setenv("XM_GUEST", "1", 1);
	OPEN(fd, 0);
}

TEST(skip_need_without_device_elsewhere)
{
	unsetenv("XM_GUEST");
	NEED(XMIRROR_CAP_EXCLUSIVE);
}

TEST(skip_open_without_device_elsewhere)
{
	int fd;

	unsetenv("XM_GUEST");
	OPEN(fd, 0);
}

/* The same in a fixture, whose setup and teardown are part of the test. */

FIXTURE(fail_setup_without_device) {
	int fd;
};

FIXTURE_SETUP(fail_setup_without_device)
{
	setenv("XM_GUEST", "1", 1);
	NEED(XMIRROR_CAP_EXCLUSIVE);
	OPEN(self->fd, 0);
}

FIXTURE_TEARDOWN(fail_setup_without_device)
{
}

TEST_F(fail_setup_without_device, has_a_test)
{
	EXPECT_EQ(1, 1);
}

FIXTURE(fail_teardown) {
};

FIXTURE_SETUP(fail_teardown)
{
}

FIXTURE_TEARDOWN(fail_teardown)
{
	EXPECT_EQ(1, 2);
}

TEST_F(fail_teardown, after_xfail)
{
	XM_XFAIL_IF(true, false, BUG);
}

TEST_F(fail_teardown, after_skip)
{
	XM_SKIP(return, "nothing to try it with");
}

/*
 * The settings of a test are restored before the next test, however the first one ends.
 * XM_SELFTEST_FILE plays the setting, and holds "old".
 */

static const char *setting(void)
{
	const char *path = getenv("XM_SELFTEST_FILE");

	return path ? path : "";
}

static bool setting_is(const char *value)
{
	char text[64] = "";
	FILE *f = fopen(setting(), "re");
	bool same = f && fgets(text, sizeof(text), f) && !strcmp(text, value);

	if (f)
		fclose(f);
	return same;
}

TEST(fail_with_a_setting_by_assert)
{
	ASSERT_EQ(0, xm_setting(setting(), "one"));
	ASSERT_EQ(0, xm_setting(setting(), "two"));
	EXPECT_TRUE(setting_is("two"));
	ASSERT_EQ(1, 2);
}

TEST(pass_after_assert_the_setting_is_old)
{
	EXPECT_TRUE(setting_is("old"));
}

TEST(fail_with_a_setting_by_signal)
{
	ASSERT_EQ(0, xm_setting(setting(), "one"));
	raise(SIGKILL);
}

TEST(pass_after_signal_the_setting_is_old)
{
	EXPECT_TRUE(setting_is("old"));
}

TEST(pass_with_a_setting)
{
	ASSERT_EQ(0, xm_setting(setting(), "one"));
}

TEST(pass_after_that_the_setting_is_old)
{
	EXPECT_TRUE(setting_is("old"));
	/* The end of the program restores this one: see test.sh. */
	ASSERT_EQ(0, xm_setting(setting(), "one"));
}

TEST_HARNESS_MAIN
