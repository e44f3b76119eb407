// SPDX-License-Identifier: GPL-2.0
/*
 * Bad arguments of single calls are refused with the errno that
 * uapi/linux/xmirror.h names, and change nothing.
 */
#include "fixture.h"

static unsigned char buffer[SIZE];

/* RW */

TEST_F(uapi, bad_rw)
{
	__u64 p = (uintptr_t)self->p;
	const struct {
		__u64 addr;
		__u64 length;
		int err;
	} bad[] = {
		{ p, (1ULL << 30) + 1, -EINVAL },
		{ p, ~0ULL, -EINVAL },
		{ ~0ULL, 2, -EINVAL },
		{ -16ULL, 32, -EINVAL },
		{ 1ULL << 56, 1, -EFAULT },
		{ 0xffff800000000000ULL, 8, -EFAULT },
		{ p - 1, 2, -EFAULT },
	};
	__u64 done;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_EQ(bad[i].err, xm_rw(self->fd, (void *)bad[i].addr,
					    buffer, bad[i].length, 0, &done)) {
			TH_LOG("%#llx + %#llx", bad[i].addr, bad[i].length);
		}
		EXPECT_EQ(0, done);
		EXPECT_EQ(bad[i].err, xm_rw(self->fd, (void *)bad[i].addr,
					    buffer, bad[i].length,
					    XMIRROR_RW_WRITE, &done)) {
			TH_LOG("%#llx + %#llx", bad[i].addr, bad[i].length);
		}
		EXPECT_EQ(0, done);
	}
	EXPECT_UNCHANGED(&self->before);
}

TEST_F(uapi, bad_rw_buffer)
{
	char *guard = self->p + SIZE, *other = xm_anon(SIZE);
	__u64 done;

	ASSERT_NE(NULL, other);
	memset(other, 1, SIZE);
	/* A buffer that is not mapped */
	EXPECT_EQ(-EFAULT, xm_rw(self->fd, other, guard, 8, 0, &done));
	EXPECT_EQ(0, done);
	EXPECT_EQ(-EFAULT, xm_rw(self->fd, other, guard, 8, XMIRROR_RW_WRITE,
				 &done));
	EXPECT_EQ(0, done);
	EXPECT_EQ(-EFAULT, xm_rw(self->fd, other,
				 (void *)0xffff800000000000UL, 8, 0, &done));
	EXPECT_EQ(0, done);
	EXPECT_EQ(1, *other);
	/* A buffer that ends too early: no more than fits is done. */
	EXPECT_EQ(-EFAULT, xm_rw(self->fd, other, guard - 100, 200, 0, &done));
	EXPECT_LE(done, 100);
	EXPECT_EQ(-EFAULT, xm_rw(self->fd, other, guard - XM_PAGE,
				 2 * XM_PAGE, XMIRROR_RW_WRITE, &done));
	EXPECT_LE(done, XM_PAGE);
	EXPECT_EQ(1, other[XM_PAGE]);
}

/* SUBMIT and its commands */

TEST_F(uapi, bad_commands)
{
	struct xmirror_cmd good_cmd = xm_cmd(XMIRROR_OP_STORE, 8, self->p, 1);
	struct xmirror_cmd cmds[2];
	__u64 p = (uintptr_t)self->p;
	const struct {
		const char *what;
		struct xmirror_cmd cmd;
	} bad[] = {
		{ "op", { XMIRROR_OP_NR, 8, 0, 1, p, 0, 0, 0 } },
		{ "op 255", { 255, 8, 0, 1, p, 0, 0, 0 } },
		{ "width 0", { XMIRROR_OP_ADD, 0, 0, 1, p, 0, 0, 0 } },
		{ "width 3", { XMIRROR_OP_ADD, 3, 0, 1, p, 0, 0, 0 } },
		{ "width 16", { XMIRROR_OP_ADD, 16, 0, 1, p, 0, 0, 0 } },
		{ "width 255", { XMIRROR_OP_LOAD, 255, 0, 1, p, 0, 0, 0 } },
		{ "count 0", { XMIRROR_OP_ADD, 8, 0, 0, p, 0, 0, 0 } },
		{ "8 at 1", { XMIRROR_OP_ADD, 8, 0, 1, p + 1, 0, 0, 0 } },
		{ "8 at 4", { XMIRROR_OP_ADD, 8, 0, 1, p + 4, 0, 0, 0 } },
		{ "8 across pages",
		  { XMIRROR_OP_ADD, 8, 0, 1, p + XM_PAGE - 4, 0, 0, 0 } },
		{ "4 at 2", { XMIRROR_OP_LOAD, 4, 0, 1, p + 2, 0, 0, 0 } },
		{ "2 at 1", { XMIRROR_OP_STORE, 2, 0, 1, p + 1, 0, 0, 0 } },
		{ "stride 4", { XMIRROR_OP_ADD, 8, 0, 2, p, 4, 0, 0 } },
		{ "stride -1", { XMIRROR_OP_ADD, 2, 0, 2, p + 8, -1, 0, 0 } },
		{ "stride, count 1", { XMIRROR_OP_ADD, 8, 0, 1, p, 12, 0, 0 } },
		{ "compare", { XMIRROR_OP_ADD, 8, 0, 1, p, 0, 0, 1 } },
		{ "load compare", { XMIRROR_OP_LOAD, 8, 0, 1, p, 0, 0, 1 } },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_EQ(-EINVAL,
			  xm_submit(self->fd, 0, &bad[i].cmd, 1, 1, NULL)) {
			TH_LOG("%s", bad[i].what);
		}
		/* A good command before it does not run either. */
		cmds[0] = good_cmd;
		cmds[1] = bad[i].cmd;
		EXPECT_EQ(-EINVAL, xm_submit(self->fd, 0, cmds, 2, 1, NULL)) {
			TH_LOG("second: %s", bad[i].what);
		}
	}
	EXPECT_EQ(-ENOENT, xm_wait(self->fd, 0, 0, NULL));
	EXPECT_EQ(0x5a, *self->p);
	EXPECT_UNCHANGED(&self->before);
}

TEST_F(uapi, bad_submit)
{
	struct xmirror_cmd cmd = xm_cmd(XMIRROR_OP_STORE, 8, self->p, 1);
	struct xmirror_cmd *many = calloc(XMIRROR_MAX_CMDS + 1, sizeof(*many));
	unsigned int engines = xm_facts()->engines, i;
	struct xmirror_submit s;

	ASSERT_NE(NULL, many);
	for (i = 0; i <= XMIRROR_MAX_CMDS; i++)
		many[i] = cmd;
	EXPECT_EQ(-EINVAL, xm_submit(self->fd, engines, &cmd, 1, 1, NULL));
	EXPECT_EQ(-EINVAL, xm_submit(self->fd, ~0U, &cmd, 1, 1, NULL));
	EXPECT_EQ(-EINVAL, xm_submit(self->fd, 0, &cmd, 0, 1, NULL));
	EXPECT_EQ(-EINVAL, xm_submit(self->fd, 0, many, XMIRROR_MAX_CMDS + 1, 1,
				     NULL));
	EXPECT_EQ(-EINVAL, xm_submit(self->fd, 0, many, ~0U, 1, NULL));
	EXPECT_EQ(-EINVAL, xm_submit(self->fd, 0, &cmd, 1, 0, NULL));
	EXPECT_EQ(-EFAULT, xm_submit(self->fd, 0, NULL, 1, 1, NULL));
	EXPECT_EQ(-EFAULT, xm_submit(self->fd, 0, (void *)(self->p + SIZE), 1,
				     1, NULL));

	s = (struct xmirror_submit) {
		.size = sizeof(s),
		.flags = XMIRROR_SUBMIT_EVENTFD,
		.nr_cmds = 1,
		.cmds = (uintptr_t)&cmd,
		.repeat = 1,
		.eventfd = -1,
	};
	EXPECT_EQ(-EBADF, xm_ioctl(self->fd, XMIRROR_IOC_SUBMIT, &s));
	s.eventfd = 1000000;
	EXPECT_EQ(-EBADF, xm_ioctl(self->fd, XMIRROR_IOC_SUBMIT, &s));
	s.eventfd = self->fd;
	EXPECT_EQ(-EINVAL, xm_ioctl(self->fd, XMIRROR_IOC_SUBMIT, &s));
	s.flags = 0;
	s.eventfd = 5;
	EXPECT_EQ(-EINVAL, xm_ioctl(self->fd, XMIRROR_IOC_SUBMIT, &s));

	EXPECT_EQ(-ENOENT, xm_wait(self->fd, 0, 0, NULL));
	EXPECT_EQ(0x5a, *self->p);
	EXPECT_UNCHANGED(&self->before);
	/* The largest list is accepted. */
	EXPECT_EQ(0, xm_submit(self->fd, engines - 1, many, XMIRROR_MAX_CMDS, 1,
			       NULL));
	EXPECT_EQ(0, xm_wait(self->fd, 0, XM_LONG, NULL));
	EXPECT_EQ(1, *self->p);
	free(many);
}

/* A job stops at the location that leaves user space. */
TEST_F(uapi, commands_out_of_bounds)
{
	const struct {
		__u64 addr;
		__s64 stride;
		__u32 count;
		__u64 ops;
	} bad[] = {
		{ 1ULL << 56, 0, 1, 0 },
		{ 0xffff800000000000ULL, 8, 4, 0 },
		{ -8ULL, 8, 2, 0 },
		{ (uintptr_t)self->p, 1LL << 62, 8, 1 },
		{ (uintptr_t)self->p, -(1LL << 62), 8, 1 },
		{ (uintptr_t)self->p, INT64_MIN, 8, 1 },
		{ (uintptr_t)self->p, INT64_MAX & ~7ULL, 8, 1 },
		{ (uintptr_t)self->p, 8, ~0U, SIZE / 8 },
		{ (uintptr_t)self->p + SIZE - 8, -8, ~0U, SIZE / 8 },
	};
	struct xmirror_wait w;
	__u64 fence;
	size_t i;
	int err;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		struct xmirror_cmd cmd = xm_cmds(XMIRROR_OP_LOAD, 8,
						 (void *)bad[i].addr,
						 bad[i].stride, bad[i].count, 0);

		err = xm_submit(self->fd, 0, &cmd, 1, 1, &fence);
		if (err) {
			EXPECT_EQ(-EFAULT, err);
			EXPECT_EQ(0, bad[i].ops);
			continue;
		}
		EXPECT_EQ(0, xm_wait(self->fd, fence, XM_LONG, &w));
		EXPECT_EQ(-EFAULT, w.status) {
			TH_LOG("%#llx, stride %#llx, count %u", bad[i].addr,
			       bad[i].stride, bad[i].count);
		}
		EXPECT_EQ(bad[i].ops, w.ops) {
			TH_LOG("%#llx, stride %#llx, count %u", bad[i].addr,
			       bad[i].stride, bad[i].count);
		}
		EXPECT_EQ(0, w.cmd);
	}
}

TEST_F(uapi, bad_wait)
{
	struct xmirror_cmd cmd = xm_cmd(XMIRROR_OP_LOAD, 8, self->p, 0);
	struct xmirror_wait w;
	__u64 fence, result = 0;

	EXPECT_EQ(-ENOENT, xm_wait(self->fd, 0, XM_LONG, NULL));
	EXPECT_EQ(-ENOENT, xm_wait(self->fd, 1, XM_LONG, NULL));
	EXPECT_EQ(-ENOENT, xm_wait(self->fd, ~0ULL, XM_LONG, NULL));
	EXPECT_EQ(-ENOENT, xm_cancel(self->fd, 7, NULL));

	ASSERT_EQ(0, xm_submit(self->fd, 0, &cmd, 1, 1, &fence));
	EXPECT_NE(0, fence);
	EXPECT_EQ(-ENOENT, xm_wait(self->fd, fence + 1, XM_LONG, NULL));
	/* The job's record stays if its results cannot be written. */
	EXPECT_EQ(-EFAULT, xm_wait_results(self->fd, fence, XM_LONG,
					   (void *)(self->p + SIZE), 1, &w));
	EXPECT_EQ(0, xm_wait_results(self->fd, fence, XM_LONG, &result, 1, &w));
	EXPECT_EQ(0, w.status);
	EXPECT_EQ(1, w.nr_results);
	EXPECT_EQ(0x5a5a5a5a5a5a5a5aULL, result);
	/* The record is gone now. */
	EXPECT_EQ(-ENOENT, xm_wait(self->fd, fence, XM_LONG, NULL));
	EXPECT_EQ(-ENOENT, xm_wait(self->fd, 0, XM_LONG, NULL));
}

/* Room for more results than there are, and for fewer */
TEST_F(uapi, wait_results)
{
	struct xmirror_cmd cmds[3];
	__u64 fence, results[4], i;
	struct xmirror_wait w;

	for (i = 0; i < 3; i++) {
		cmds[i] = xm_cmd(XMIRROR_OP_LOAD, 8, self->p + 8 * i, 0);
		((__u64 *)self->p)[i] = 100 + i;
	}
	memset(results, 0xee, sizeof(results));
	ASSERT_EQ(0, xm_submit(self->fd, 0, cmds, 3, 1, &fence));
	ASSERT_EQ(0, xm_wait_results(self->fd, fence, XM_LONG, results, 4, &w));
	EXPECT_EQ(3, w.nr_results);
	EXPECT_EQ(3, w.cmd);
	EXPECT_EQ(3, w.ops);
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(100 + i, results[i]);
	}
	EXPECT_EQ(0xeeeeeeeeeeeeeeeeULL, results[3]);

	memset(results, 0xee, sizeof(results));
	ASSERT_EQ(0, xm_submit(self->fd, 0, cmds, 3, 1, &fence));
	ASSERT_EQ(0, xm_wait_results(self->fd, fence, XM_LONG, results, 2, &w));
	EXPECT_EQ(2, w.nr_results);
	EXPECT_EQ(101, results[1]);
	EXPECT_EQ(0xeeeeeeeeeeeeeeeeULL, results[2]);

	ASSERT_EQ(0, xm_submit(self->fd, 0, cmds, 3, 1, &fence));
	ASSERT_EQ(0, xm_wait_results(self->fd, fence, XM_LONG, NULL, 0, &w));
	EXPECT_EQ(0, w.nr_results);
}

/* SNAPSHOT */

TEST_F(uapi, bad_snapshot)
{
	struct xmirror_snapshot s = {
		.size = sizeof(s),
		.addr = (uintptr_t)self->p,
		.length = SIZE,
	};

	EXPECT_EQ(-EFAULT, xm_ioctl(self->fd, XMIRROR_IOC_SNAPSHOT, &s));
	EXPECT_EQ(0, s.done);
	s.pages = 0xffff800000000000ULL;
	EXPECT_EQ(-EFAULT, xm_ioctl(self->fd, XMIRROR_IOC_SNAPSHOT, &s));
	EXPECT_EQ(0, s.done);
	s.pages = (uintptr_t)self->p + SIZE;
	EXPECT_EQ(-EFAULT, xm_ioctl(self->fd, XMIRROR_IOC_SNAPSHOT, &s));
	EXPECT_EQ(0, s.done);
	EXPECT_UNCHANGED(&self->before);
}

/* SNAPSHOT reports memory of every kind without touching it. */
/* covers: I.module */
TEST_F(uapi, snapshot_changes_nothing)
{
	struct xmirror_page page;
	char *fresh = xm_anon(SIZE), *none = xm_anon_prot(XM_PAGE, PROT_NONE);
	char *hole = xm_hole(XM_PAGE);

	ASSERT_NE(NULL, fresh);
	ASSERT_NE(NULL, none);
	page = xm_page(self->fd, self->p);
	EXPECT_EQ(XMIRROR_CPU_PRESENT | XMIRROR_CPU_WRITE,
		  page.cpu & (XMIRROR_CPU_PRESENT | XMIRROR_CPU_WRITE |
			      XMIRROR_CPU_EXCLUSIVE | XMIRROR_CPU_HUGE));
	EXPECT_EQ(xm_pfn(self->p), page.cpu_pfn);
	EXPECT_EQ(0, page.dev);
	EXPECT_EQ(0, page.dev_pfn);
	page = xm_page(self->fd, fresh);
	EXPECT_EQ(0, page.cpu);
	EXPECT_EQ(0, page.cpu_pfn);
	EXPECT_EQ(0, xm_pagemap(fresh) & (XM_PM_PRESENT | XM_PM_SWAP));
	page = xm_page(self->fd, none);
	EXPECT_EQ(XMIRROR_CPU_NOACCESS, page.cpu);
	page = xm_page(self->fd, hole);
	EXPECT_EQ(XMIRROR_CPU_HOLE, page.cpu);

	if (xm_caps() & XMIRROR_CAP_EXCLUSIVE) {
		ASSERT_EQ(0, xm_exclusive(self->fd, self->p, XM_PAGE, NULL));
		page = xm_page(self->fd, self->p);
		EXPECT_EQ(XMIRROR_CPU_EXCLUSIVE, page.cpu);
		EXPECT_EQ(xm_pfn(self->p), page.cpu_pfn);
		EXPECT_TRUE(xm_is_exclusive(self->p));
	}
}

/* SYNC */

TEST_F(uapi, bad_sync)
{
	const struct xmirror_sync arm = {
		.action = XMIRROR_SYNC_PAUSE,
		.point = XMIRROR_PT_ACCESS,
		.timeout_ms = 1000,
	};
	static const __u32 fails_at[] = {
		XMIRROR_PT_FAULT_BEGIN, XMIRROR_PT_FAULT_WALKED,
		XMIRROR_PT_EXCL_BEGIN, XMIRROR_PT_EXCL_MADE,
		XMIRROR_PT_DEVMEM_ALLOC, XMIRROR_PT_MIGRATE_COPY,
		XMIRROR_PT_MIGRATE_PAGE, XMIRROR_PT_DIRTY,
		XMIRROR_PT_RESTORE_BEGIN,
	};
	struct xmirror_sync s;
	size_t i, n;

	NEED(XMIRROR_CAP_SYNC);
#define EXPECT_REFUSED(change) \
	do { \
		s = arm; \
		change; \
		EXPECT_EQ(-EINVAL, xm_sync_arm_full(self->fd, &s)) { \
			TH_LOG("%s", #change); \
		} \
	} while (0)
	EXPECT_REFUSED(s.action = 0);
	EXPECT_REFUSED(s.action = XMIRROR_SYNC_FAIL + 1);
	EXPECT_REFUSED(s.point = XMIRROR_PT_NR);
	EXPECT_REFUSED(s.point = ~0U);
	EXPECT_REFUSED(s.timeout_ms = 0);
	EXPECT_REFUSED(s.timeout_ms = 60001);
	EXPECT_REFUSED(s.timeout_ms = ~0U);
	EXPECT_REFUSED((s.point = XMIRROR_PT_INV_ENTER,
			s.event = XMIRROR_NR_EVENTS + 1));
	EXPECT_REFUSED((s.addr = ~0ULL, s.length = 2));
	EXPECT_REFUSED((s.action = XMIRROR_SYNC_FAIL,
			s.point = XMIRROR_PT_FAULT_BEGIN, s.error = 0));
	EXPECT_REFUSED((s.action = XMIRROR_SYNC_FAIL,
			s.point = XMIRROR_PT_FAULT_BEGIN, s.error = 4096));
	EXPECT_REFUSED((s.action = XMIRROR_SYNC_FAIL,
			s.point = XMIRROR_PT_FAULT_BEGIN, s.error = -EIO));

	/* FAIL only where the operation can fail */
	for (i = 0; i < XMIRROR_PT_NR; i++) {
		int err = -EINVAL;

		for (n = 0; n < ARRAY_SIZE(fails_at); n++)
			err = fails_at[n] == i ? 0 : err;
		s = arm;
		s.action = XMIRROR_SYNC_FAIL;
		s.point = i;
		s.error = EIO;
		EXPECT_EQ(err, xm_sync_arm_full(self->fd, &s)) {
			TH_LOG("point %zu", i);
		}
	}

	s = (struct xmirror_sync) { .size = sizeof(s) };
	EXPECT_EQ(-EINVAL, xm_ioctl(self->fd, XMIRROR_IOC_SYNC, &s));
	s.cmd = XMIRROR_SYNC_RESUME + 1;
	EXPECT_EQ(-EINVAL, xm_ioctl(self->fd, XMIRROR_IOC_SYNC, &s));
	s.cmd = ~0U;
	EXPECT_EQ(-EINVAL, xm_ioctl(self->fd, XMIRROR_IOC_SYNC, &s));
	EXPECT_EQ(-ENOENT, xm_sync_reached(self->fd, 1000000, 1));
	EXPECT_EQ(-ENOENT, xm_sync_resume(self->fd, 1000000, NULL));
	EXPECT_UNCHANGED(&self->before);
}

TEST_F(uapi, sync_not_reached)
{
	__u32 id;

	NEED(XMIRROR_CAP_SYNC);
	ASSERT_EQ(0, xm_sync_arm(self->fd, XMIRROR_PT_FAULT_BEGIN, self->p,
				 XM_PAGE, &id));
	EXPECT_EQ(-ETIMEDOUT, xm_sync_reached(self->fd, id, 0));
	/* Another range, another operation, another mirror */
	EXPECT_EQ(0, xm_fault(self->fd, self->p + XM_PAGE, XM_PAGE, 0, NULL));
	EXPECT_EQ(0, xm_release(self->fd, self->p, XM_PAGE, NULL));
	EXPECT_EQ(-ETIMEDOUT, xm_sync_reached(self->fd, id, 1));
	/* Resuming a point that was not reached disarms it. */
	EXPECT_EQ(0, xm_sync_resume(self->fd, id, NULL));
	EXPECT_EQ(0, xm_fault(self->fd, self->p, XM_PAGE, 0, NULL));
	EXPECT_EQ(-ENOENT, xm_sync_resume(self->fd, id, NULL));
}

TEST_F(uapi, too_many_sync_points)
{
	__u32 ids[33], i;
	int fd;

	NEED(XMIRROR_CAP_SYNC);
	OPEN(fd, 0);
	for (i = 0; i < 32; i++) {
		ASSERT_EQ(0, xm_sync_arm(fd, XMIRROR_PT_ACCESS, NULL, 0,
					 &ids[i]));
		if (i) {
			EXPECT_NE(ids[0], ids[i]);
		}
	}
	EXPECT_EQ(-ENOSPC, xm_sync_arm(fd, XMIRROR_PT_ACCESS, NULL, 0,
				       &ids[32]));
	EXPECT_EQ(0, xm_sync_resume(fd, ids[5], NULL));
	EXPECT_EQ(0, xm_sync_arm(fd, XMIRROR_PT_ACCESS, NULL, 0, &ids[32]));
	/* Closing a file disarms its points. */
	close(fd);
	EXPECT_EQ(0, xm_sync_arm(self->fd, XMIRROR_PT_ACCESS, NULL, 0, &ids[0]));
	EXPECT_EQ(0, xm_sync_resume(self->fd, ids[0], NULL));
}

TEST_HARNESS_MAIN
