// SPDX-License-Identifier: GPL-2.0
/* INFO and SET: the device reports the truth about itself and the kernel. */
#include "test.h"

#define ALL_CAPS	(XMIRROR_CAP_MIRROR | XMIRROR_CAP_EXCLUSIVE | \
			 XMIRROR_CAP_EXCLUSIVE_LARGE | \
			 XMIRROR_CAP_RECLAIM_EXCLUSIVE | XMIRROR_CAP_SYNC | \
			 XMIRROR_CAP_PRIVATE | XMIRROR_CAP_PRIVATE_LARGE | \
			 XMIRROR_CAP_VRAM_HUGE | XMIRROR_CAP_HOLD)

FIXTURE(info) {
	int fd;
	struct xmirror_info info;
};

FIXTURE_SETUP(info)
{
	OPEN(self->fd, 0);
	ASSERT_EQ(0, xm_info(self->fd, &self->info));
}

FIXTURE_TEARDOWN(info)
{
	EXPECT_CLEAN(self->fd);
	close(self->fd);
}

TEST_F(info, facts)
{
	const struct xmirror_info *info = &self->info;

	EXPECT_EQ(sizeof(*info), info->size);
	EXPECT_EQ(0, info->__reserved);
	EXPECT_EQ(XMIRROR_UAPI_VERSION, info->uapi_version);
	EXPECT_EQ(0, info->__reserved2);
	EXPECT_EQ(sysconf(_SC_PAGESIZE), info->page_size);
	EXPECT_GE(info->devices, 2);
	EXPECT_GE(info->engines, 4);
	EXPECT_GE(info->chunk_size, info->page_size);
	EXPECT_EQ(0, info->chunk_size & (info->chunk_size - 1));
}

/* The first line of a file, "" if there is none */
static char *first_line(const char *path)
{
	static char line[64];

	xm_read_line(path, line, sizeof(line));
	return line;
}

/* Both modules have the version that INFO reports. */
TEST_F(info, version)
{
	const char *version = self->info.version;

	ASSERT_NE(NULL, memchr(version, 0, sizeof(self->info.version)));
	EXPECT_NE(0, version[0]);
	EXPECT_STREQ(version, first_line("/sys/module/xmirror/version"));
	EXPECT_STREQ(version, first_line("/sys/module/xmirror_test/version"));
}

/* A capability that is missing has a line with the reason. */
TEST_F(info, caps_and_why)
{
	const struct xmirror_info *info = &self->info;
	unsigned int lines = 0;
	const char *p;

	EXPECT_EQ(0, info->caps & info->lacks);
	EXPECT_EQ(ALL_CAPS, (info->caps | info->lacks) & ALL_CAPS);
	ASSERT_NE(NULL, memchr(info->why, 0, sizeof(info->why)));
	for (p = info->why; *p; p++) {
		if (*p != '\n' && (p[1] == '\n' || !p[1]))
			lines++;
	}
	EXPECT_EQ(__builtin_popcountll(info->lacks), lines)
		TH_LOG("lacks %#llx, why: %s", info->lacks, xm_why());
	/* Without exclusive entries the capabilities that need them are missing. */
	if (!(info->caps & XMIRROR_CAP_EXCLUSIVE)) {
		EXPECT_EQ(0, info->caps & (XMIRROR_CAP_EXCLUSIVE_LARGE |
					   XMIRROR_CAP_RECLAIM_EXCLUSIVE));
	}
}

TEST_F(info, caps_by_version)
{
	__u64 new = XMIRROR_CAP_EXCLUSIVE_LARGE | XMIRROR_CAP_RECLAIM_EXCLUSIVE;

	NEED(XMIRROR_CAP_EXCLUSIVE);
	/* Both came with make_device_exclusive(); see finding 26 for arm64. */
#ifdef __aarch64__
	new = XMIRROR_CAP_EXCLUSIVE_LARGE;
	EXPECT_EQ(0, self->info.caps & XMIRROR_CAP_RECLAIM_EXCLUSIVE);
#endif
	EXPECT_EQ(xm_kver() >= XM_KVER(6, 15) ? new : 0,
		  self->info.caps & new);
}

/* covers: T14, I.pagemap */
TEST_F(info, swap_types)
{
	const struct xmirror_info *info = &self->info;
	__u32 *p;

	if (!(info->caps & XMIRROR_CAP_EXCLUSIVE)) {
		EXPECT_EQ(~0U, info->swp_exclusive[0]);
		EXPECT_EQ(~0U, info->swp_exclusive[1]);
		XM_SKIP(return, "no exclusive entries: %s",
			xm_why_not(XMIRROR_CAP_EXCLUSIVE));
	}
	EXPECT_LT(info->swp_exclusive[0], 32);
	EXPECT_LT(info->swp_exclusive[1], 32);
	EXPECT_NE(info->swp_exclusive[0], info->swp_private[0]);
	EXPECT_NE(info->swp_exclusive[0], info->swp_marker);

	/* The kernel agrees. */
	p = xm_anon(XM_PAGE);
	ASSERT_NE(NULL, p);
	*p = 1;
	EXPECT_EQ(0, xm_pagemap(p) & XM_PM_SWAP);
	ASSERT_EQ(0, xm_exclusive(self->fd, p, XM_PAGE, NULL));
	EXPECT_EQ(XM_PM_SWAP,
		  xm_pagemap(p) & (XM_PM_SWAP | XM_PM_PRESENT | XM_PM_FILE));
	EXPECT_EQ(info->swp_exclusive[0], xm_pagemap(p) & 0x1f);
	EXPECT_EQ(xm_page(self->fd, p).dev_pfn, xm_pfn(p));
}

/* INFO names the event that the kernel sends. */
/* covers: T14 */
TEST_F(info, revoke_event)
{
	struct xmirror_stats before, after;
	unsigned int i;
	__u32 *p;

	NEED(XMIRROR_CAP_EXCLUSIVE);
	ASSERT_LT(self->info.revoke_event, XMIRROR_NR_EVENTS);
	p = xm_anon(XM_PAGE);
	ASSERT_NE(NULL, p);
	*p = 1;
	ASSERT_EQ(0, xm_exclusive(self->fd, p, XM_PAGE, NULL));
	ASSERT_EQ(0, xm_stats(self->fd, &before));
	EXPECT_EQ(1, XM_LOAD(p));
	ASSERT_EQ(0, xm_stats(self->fd, &after));
	for (i = 0; i < XMIRROR_NR_EVENTS; i++) {
		EXPECT_EQ(i == self->info.revoke_event,
			  after.inv[i] - before.inv[i])
			TH_LOG("event %u", i);
	}
	EXPECT_EQ(1, after.excl_lost - before.excl_lost);
}

TEST_F(info, every_device)
{
	unsigned int i;
	int fd;

	for (i = 0; i < self->info.devices; i++) {
		struct xmirror_info info;

		OPEN(fd, i);
		EXPECT_EQ(0, xm_info(fd, &info));
		EXPECT_EQ(0, memcmp(&info, &self->info, sizeof(info)));
		close(fd);
	}
	EXPECT_EQ(-ENOENT, xm_open(self->info.devices));
}

TEST_F(info, set_timeout)
{
	__u64 first, old;

	ASSERT_EQ(0, xm_set(self->fd, XMIRROR_SET_TIMEOUT, 1, &first));
	EXPECT_GE(first, 1);
	EXPECT_LE(first, 600000);
	EXPECT_EQ(0, xm_set(self->fd, XMIRROR_SET_TIMEOUT, 600000, &old));
	EXPECT_EQ(1, old);
	EXPECT_EQ(-EINVAL, xm_set(self->fd, XMIRROR_SET_TIMEOUT, 0, NULL));
	EXPECT_EQ(-EINVAL, xm_set(self->fd, XMIRROR_SET_TIMEOUT, 600001, NULL));
	EXPECT_EQ(-EINVAL, xm_set(self->fd, XMIRROR_SET_TIMEOUT,
				  (1ULL << 32) + 5, NULL));
	EXPECT_EQ(0, xm_set(self->fd, XMIRROR_SET_TIMEOUT, first, &old));
	EXPECT_EQ(600000, old);
}

TEST_F(info, set_unknown)
{
	__u32 bad[] = { 0, 1000, ~0U };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_EQ(-EINVAL, xm_set(self->fd, bad[i], XM_PAGE, NULL));
	}
}

/* A setting belongs to one mirror. */
TEST_F(info, set_is_private)
{
	__u64 first, old;
	int fd;

	OPEN(fd, 0);
	ASSERT_EQ(0, xm_set(fd, XMIRROR_SET_TIMEOUT, 7, &first));
	EXPECT_NE(7, first);
	EXPECT_EQ(0, xm_set(self->fd, XMIRROR_SET_TIMEOUT, first, &old));
	EXPECT_EQ(first, old);
	close(fd);
}

/*
 * Without the kernel's support these calls fail with the reason, and the others
 * work.
 */
TEST_F(info, without_exclusive)
{
	__u64 *p = xm_anon(XM_PAGE), done = 1;

	if (self->info.caps & XMIRROR_CAP_EXCLUSIVE)
		XM_SKIP(return, "this kernel has exclusive entries");
	ASSERT_NE(NULL, p);
	*p = 5;
	EXPECT_EQ(-EOPNOTSUPP, xm_exclusive(self->fd, p, XM_PAGE, &done));
	EXPECT_EQ(0, done);
	EXPECT_EQ(-EOPNOTSUPP, xm_add(self->fd, p, 1));
	EXPECT_EQ(5, *p);
	EXPECT_EQ(0, xm_op(self->fd, XMIRROR_OP_STORE, 8, p, 6, NULL));
	EXPECT_EQ(6, *p);
	EXPECT_EQ(0, xm_release(self->fd, p, XM_PAGE, &done));
	EXPECT_EQ(XM_PAGE, done);
}

TEST_HARNESS_MAIN
