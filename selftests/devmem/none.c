// SPDX-License-Identifier: GPL-2.0
/*
 * A device without memory, devmem_mb=0, reports that with the reason, and all else
 * works.
 */
#include "module.h"
#include "test.h"

FIXTURE(none) {
	struct modules was;
};

FIXTURE_SETUP(none)
{
	/* On this kernel a device with memory has this capability. */
	NEED(XMIRROR_CAP_PRIVATE);
	if (!modules_at_hand())
		XM_SKIP(return, MODULES_WHY);
	ASSERT_EQ(0, modules_with(&self->was, "devmem_mb=0"));
}

FIXTURE_TEARDOWN(none)
{
	EXPECT_EQ(0, modules_back(&self->was));
}

TEST_F(none, info_says_so)
{
	__u64 private = XMIRROR_CAP_PRIVATE | XMIRROR_CAP_PRIVATE_LARGE;
	__u64 *p = xm_anon(XM_PAGE), word = 0;
	struct xmirror_info info;
	int fd;

	ASSERT_NE(NULL, p);
	*p = 3;
	OPEN(fd, 0);
	ASSERT_EQ(0, xm_info(fd, &info));
	EXPECT_EQ(0, info.caps & private);
	EXPECT_EQ(private, info.lacks & private);
	EXPECT_NE(NULL, strstr(info.why, "devmem_mb=0"));
	EXPECT_EQ(-EOPNOTSUPP, xm_migrate(fd, p, XM_PAGE, 0, 0, NULL));
	EXPECT_EQ(0, xm_read(fd, p, &word, sizeof(word)));
	EXPECT_EQ(3, word);
	EXPECT_CLEAN(fd);
	close(fd);
}

TEST_HARNESS_MAIN
