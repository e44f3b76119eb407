// SPDX-License-Identifier: GPL-2.0
/*
 * The kernel's count of huge pages of anonymous memory, with those that were in the
 * device: whichever way they go, it is as before in the end.
 */
#include "settings.h"
#include "test.h"

#define THP	"/sys/kernel/mm/transparent_hugepage/"
#define ROUNDS	4

FIXTURE(mthp) {
	int fd;
	char path[128];
	char deferred[128];
};

FIXTURE_VARIANT(mthp) {
	int (*end)(int fd, char *p);
};

static int unmapped(int fd, char *p)
{
	(void)fd;
	return munmap(p, XM_PMD);
}

static int back_by_touch(int fd, char *p)
{
	size_t i;

	for (i = 0; i < XM_PMD; i += XM_PAGE)
		if (p[i] != 0x22)
			return -EIO;
	return unmapped(fd, p);
}

static int back_by_call(int fd, char *p)
{
	int err = xm_migrate(fd, p, XM_PMD, XMIRROR_MIGRATE_TO_SYSTEM, 0, NULL);

	return err ? err : unmapped(fd, p);
}

static int split(int fd, char *p)
{
	return madvise(p + XM_PAGE, XM_PAGE, MADV_DONTNEED) ? -errno :
	       unmapped(fd, p);
}

#define END(name)	FIXTURE_VARIANT_ADD(mthp, name) { .end = name }
END(unmapped);
END(back_by_touch);
END(back_by_call);
END(split);

FIXTURE_SETUP(mthp)
{
	self->fd = -1;
	NEED(XMIRROR_CAP_PRIVATE | XMIRROR_CAP_PRIVATE_LARGE);
	OPEN(self->fd, 0);
	snprintf(self->path, sizeof(self->path),
		 THP "hugepages-%zukB/stats/nr_anon", XM_PMD / 1024);
	snprintf(self->deferred, sizeof(self->deferred),
		 THP "hugepages-%zukB/stats/split_deferred", XM_PMD / 1024);
	/* Nobody else gets one. */
	ASSERT_EQ(0, xm_setting(THP "enabled", "madvise"));
	ASSERT_EQ(0, xm_setting(THP "khugepaged/pages_to_scan", "1"));
}

FIXTURE_TEARDOWN(mthp)
{
	if (self->fd < 0)
		return;
	EXPECT_CLEAN(self->fd);
	close(self->fd);
}

/* None of them waits to be split: that is for memory of the system. */
TEST_F(mthp, count_is_as_before)
{
	long before = xm_read_number(self->path);
	long deferred = xm_read_number(self->deferred);
	char *p;
	int i;

	if (before < 0)
		XM_SKIP(return, "no nr_anon of huge pages: Linux 6.12");
	for (i = 0; i < ROUNDS; i++) {
		p = xm_thp(self->fd, 0x22);
		if (!p)
			XM_SKIP(return, "%s", xm_why_no_thp());
		EXPECT_EQ(before + 1, xm_read_number(self->path));
		MIGRATE_HUGE(self->fd, p);
		EXPECT_EQ(before + 1, xm_read_number(self->path));
		ASSERT_EQ(0, variant->end(self->fd, p));
		EXPECT_EQ(before, xm_read_number(self->path));
		EXPECT_EQ(deferred, xm_read_number(self->deferred));
	}
}

TEST_HARNESS_MAIN
