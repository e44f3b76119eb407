// SPDX-License-Identifier: GPL-2.0
/*
 * A device revokes and write-protects the mappings of its own memory, in all
 * processes and files, also while they are used.
 *
 * covers: H.revoke
 */
#include <fcntl.h>
#include <sys/stat.h>

#include "fixture.h"

/* Revocation reaches every mapping, and the data is there afterwards. */
TEST_F(vram_granule, unmap_and_refault)
{
	__u64 all, all_too;
	char *q;
	int fd;

	OPEN(fd, 0);
	self->p = vram_map_huge(self->fd, 2 * XM_2M, BASE);
	ASSERT_NE(NULL, self->p);
	q = vram_map(fd, 2 * XM_2M, BASE, XM_64K);
	ASSERT_NE(NULL, q);
	vram_touch(self->p, 2 * XM_2M, 11);
	EXPECT_EQ(0, vram_wrong(q, 2 * XM_2M, 11));
	all = vram_faults(self->fd);
	all_too = vram_faults(fd);

	/* A third file without a mapping revokes them. */
	close(fd);
	OPEN(fd, 0);
	ASSERT_EQ(0, vram_do(fd, XMIRROR_VRAM_UNMAP, BASE, XM_2M, NULL));
	EXPECT_EQ(0, xm_page(self->fd, self->p).cpu & XMIRROR_CPU_PRESENT);
	EXPECT_EQ(0, xm_page(self->fd, q + 9 * XM_PAGE).cpu &
		     XMIRROR_CPU_PRESENT);
	EXPECT_NE(0, xm_page(self->fd, self->p + XM_2M).cpu &
		     XMIRROR_CPU_PRESENT);
	EXPECT_NE(0, xm_page(self->fd, q + XM_2M).cpu & XMIRROR_CPU_PRESENT);
	EXPECT_NE(0, all_too);
	EXPECT_EQ(0, vram_wrong(self->p, 2 * XM_2M, 11));
	EXPECT_EQ(0, vram_wrong(q, 2 * XM_2M, 11));
	EXPECT_EQ(XM_2M / self->piece, vram_faults(self->fd) - all);

	/* Revoking a page takes at most the entry that maps it. */
	all = vram_faults(self->fd);
	ASSERT_EQ(0, vram_do(fd, XMIRROR_VRAM_UNMAP, BASE + 20 * XM_PAGE,
			     XM_PAGE, NULL));
	EXPECT_EQ(0, xm_page(self->fd, self->p + 20 * XM_PAGE).cpu &
		     XMIRROR_CPU_PRESENT);
	EXPECT_EQ(0, vram_wrong(self->p, 2 * XM_2M, 11));
	EXPECT_EQ(1, vram_faults(self->fd) - all);
	close(fd);
}

/* The device is told of the first write to each page, and of no other. */
TEST_F(vram_granule, write_protect)
{
	struct xmirror_vram v;
	__u64 all;

	self->p = vram_map_huge(self->fd, XM_2M, BASE);
	ASSERT_NE(NULL, self->p);
	vram_touch(self->p, XM_2M, 1);

	/* A few pages. */
	ASSERT_EQ(0, vram_do(self->fd, XMIRROR_VRAM_PROTECT,
			     BASE + 20 * XM_PAGE, 3 * XM_PAGE, &v));
	EXPECT_EQ(3, v.write_protected);
	EXPECT_EQ(0, vram_wrong(self->p, XM_2M, 1));
	EXPECT_EQ(XMIRROR_CPU_PRESENT,
		  xm_page(self->fd, self->p + 21 * XM_PAGE).cpu &
		  (XMIRROR_CPU_PRESENT | XMIRROR_CPU_WRITE));
	EXPECT_NE(0, xm_page(self->fd, self->p + 23 * XM_PAGE).cpu &
		     XMIRROR_CPU_WRITE);
	EXPECT_EQ(0, vram_query(self->fd).writes);
	vram_touch(self->p + 21 * XM_PAGE, XM_PAGE, 500);
	vram_touch(self->p + 21 * XM_PAGE, XM_PAGE, 501);
	vram_touch(self->p + 23 * XM_PAGE, XM_PAGE, 503);
	v = vram_query(self->fd);
	EXPECT_EQ(1, v.writes);
	EXPECT_EQ(2, v.write_protected);
	EXPECT_EQ(501, XM_LOAD((__u64 *)(self->p + 21 * XM_PAGE)));
	vram_touch(self->p, XM_2M, 2);
	v = vram_query(self->fd);
	EXPECT_EQ(3, v.writes);
	EXPECT_EQ(0, v.write_protected);

	/* All of it: read as large as ever, written page by page. */
	munmap(self->p, XM_2M);
	self->p = vram_map_huge(self->fd, XM_2M, BASE);
	ASSERT_NE(NULL, self->p);
	ASSERT_EQ(0, vram_do(self->fd, XMIRROR_VRAM_PROTECT, BASE, XM_2M, &v));
	EXPECT_EQ(XM_2M / XM_PAGE, v.write_protected);
	all = vram_faults(self->fd);
	EXPECT_EQ(0, vram_wrong(self->p, XM_2M, 2));
	EXPECT_EQ(XM_2M / self->piece, vram_faults(self->fd) - all);
	EXPECT_EQ(self->piece == XM_2M, is_huge(self->fd, self->p));
	vram_touch(self->p + 7 * XM_PAGE, XM_PAGE, 600);
	v = vram_query(self->fd);
	EXPECT_EQ(4, v.writes);
	EXPECT_EQ(XM_2M / XM_PAGE - 1, v.write_protected);
	EXPECT_EQ(600, XM_LOAD((__u64 *)(self->p + 7 * XM_PAGE)));
	EXPECT_EQ(2 + 8, XM_LOAD((__u64 *)(self->p + 8 * XM_PAGE)));
	vram_touch(self->p, XM_2M, 4);
	v = vram_query(self->fd);
	EXPECT_EQ(3 + XM_2M / XM_PAGE, v.writes);
	EXPECT_EQ(0, v.write_protected);
	/* Without a read in between the first fault is the write. */
	ASSERT_EQ(0, vram_do(self->fd, XMIRROR_VRAM_PROTECT, BASE, XM_2M,
			     NULL));
	vram_touch(self->p, XM_2M, 5);
	EXPECT_EQ(0, vram_wrong(self->p, XM_2M, 5));
	v = vram_query(self->fd);
	EXPECT_EQ(3 + 2 * XM_2M / XM_PAGE, v.writes);
}

/* Another process with its own file maps the same memory. */
static int stranger(struct child *c, void *arg)
{
	int fd = xm_open(0);
	char *q;

	(void)arg;
	CHILD_CHECK(fd >= 0);
	q = vram_map(fd, XM_2M, BASE, XM_PAGE);
	CHILD_CHECK(q);
	CHILD_CHECK(vram_wrong(q, XM_2M, 1) == 0);
	vram_touch(q, XM_2M, 2);
	CHILD_CHECK(child_tell(c, 'w') == 0);
	CHILD_CHECK(child_hear(c) == 'r');
	/* Revoked by the parent. */
	CHILD_CHECK(!(xm_page(fd, q).cpu & XMIRROR_CPU_PRESENT));
	CHILD_CHECK(vram_wrong(q, XM_2M, 3) == 0);
	return 0;
}

TEST_F(vram, two_processes)
{
	struct child c;

	self->p = vram_map_huge(self->fd, XM_2M, BASE);
	ASSERT_NE(NULL, self->p);
	vram_touch(self->p, XM_2M, 1);
	ASSERT_EQ(0, child_start(&c, stranger, NULL));
	EXPECT_EQ('w', child_hear(&c));
	EXPECT_EQ(0, vram_wrong(self->p, XM_2M, 2));
	vram_touch(self->p, XM_2M, 3);
	EXPECT_EQ(0, vram_do(self->fd, XMIRROR_VRAM_UNMAP, BASE, XM_2M, NULL));
	EXPECT_EQ(0, child_tell(&c, 'r'));
	EXPECT_EQ(0, child_end(&c));
}

TEST_F(vram, devices_are_apart)
{
	__u64 all;
	char *q;
	int fd;

	OPEN(fd, 1);
	self->p = vram_map_huge(self->fd, XM_2M, BASE);
	ASSERT_NE(NULL, self->p);
	q = vram_map_huge(fd, XM_2M, BASE);
	ASSERT_NE(NULL, q);
	vram_touch(self->p, XM_2M, 1);
	vram_touch(q, XM_2M, 2);
	EXPECT_EQ(0, vram_wrong(self->p, XM_2M, 1));
	all = vram_faults(self->fd);
	ASSERT_EQ(0, vram_do(fd, XMIRROR_VRAM_UNMAP, BASE, XM_2M, NULL));
	EXPECT_EQ(0, vram_wrong(self->p, XM_2M, 1));
	EXPECT_EQ(all, vram_faults(self->fd));
	EXPECT_EQ(0, vram_refs(fd));
	close(fd);
}

/* Revocation reaches the mappings of both nodes of a device. */
TEST_F(vram, another_node)
{
	const char *path = "/dev/xm-vram-alias";
	struct stat st;
	int fd;

	ASSERT_EQ(0, fstat(self->fd, &st));
	unlink(path);
	ASSERT_EQ(0, mknod(path, S_IFCHR | 0600, st.st_rdev));
	fd = open(path, O_RDWR | O_CLOEXEC);
	EXPECT_EQ(0, unlink(path));
	ASSERT_GE(fd, 0);
	self->p = vram_map_huge(fd, XM_2M, BASE);
	ASSERT_NE(NULL, self->p);
	vram_touch(self->p, XM_2M, 1);
	ASSERT_EQ(0, vram_do(self->fd, XMIRROR_VRAM_UNMAP, BASE, XM_2M, NULL));
	EXPECT_EQ(0, xm_page(self->fd, self->p).cpu & XMIRROR_CPU_PRESENT);
	EXPECT_EQ(0, vram_wrong(self->p, XM_2M, 1));
	close(fd);
}

/* Faults, revocation and protection at the same time. */

static int keep_writing(struct worker *w)
{
	while (!XM_LOAD(&w->stop)) {
		XM_ADD((__u64 *)w->addr, 1);
		w->done++;
	}
	return 0;
}

static int keep_reading(struct worker *w)
{
	__u64 last = 0, now;

	while (!XM_LOAD(&w->stop)) {
		now = XM_LOAD((__u64 *)w->addr);
		/* A counter that decreases was read from another page. */
		if (now < last)
			return -EIO;
		last = now;
	}
	return 0;
}

/*
 * A write after a page was protected is always noticed, also when a read puts
 * the same read-only entry back while the fault of an earlier write is on its
 * way.
 */
TEST_F(vram_granule, no_write_goes_unnoticed)
{
	struct worker writer = { .fn = keep_writing };
	struct worker reader = { .fn = keep_reading };
	__u64 start, writes = 0, missed = 0;

	self->p = vram_map_huge(self->fd, XM_2M, BASE);
	ASSERT_NE(NULL, self->p);
	XM_STORE((__u64 *)self->p, 0);
	writer.addr = self->p;
	reader.addr = self->p;
	ASSERT_EQ(0, worker_start(&writer));
	ASSERT_EQ(0, worker_start(&reader));
	for (int i = 0; i < 100 && !missed; i++) {
		ASSERT_EQ(0, vram_do(self->fd, XMIRROR_VRAM_PROTECT, BASE,
				     XM_PAGE, NULL));
		start = xm_now_ns();
		while (vram_query(self->fd).writes == writes && !missed) {
			missed = xm_expired(start, XM_LONG);
			sched_yield();
		}
		writes = vram_query(self->fd).writes;
	}
	XM_STORE(&writer.stop, true);
	XM_STORE(&reader.stop, true);
	EXPECT_EQ(0, worker_join(&writer));
	EXPECT_EQ(0, worker_join(&reader));
	EXPECT_EQ(0, missed)
		TH_LOG("after %llu writes", writes);
	EXPECT_EQ(100, writes);
}

/* No increment is lost over revocations and changes of the granule. */
TEST_F(vram, unmap_under_load)
{
	static const __u64 granules[] = { XM_PAGE, XM_64K, XM_2M };
	struct worker w[2] = {
		{ .fn = keep_writing },
		{ .fn = keep_reading },
	};
	__u64 last = 0, now;

	self->p = vram_map_huge(self->fd, XM_2M, BASE);
	ASSERT_NE(NULL, self->p);
	vram_touch(self->p, XM_2M, 0);
	for (size_t i = 0; i < ARRAY_SIZE(w); i++)
		w[i].addr = self->p;
	ASSERT_EQ(0, worker_start_counting(&w[0], &w[0].done));
	ASSERT_EQ(0, worker_start(&w[1]));
	for (int i = 0; i < 300; i++) {
		ASSERT_EQ(0, xm_set(self->fd, XMIRROR_SET_VRAM_GRANULE,
				    granules[i % 3], NULL));
		ASSERT_EQ(0, vram_do(self->fd, XMIRROR_VRAM_UNMAP, BASE, XM_2M,
				     NULL));
		/* A page beside the others' word, which may be mapped large. */
		XM_LOAD((__u64 *)(self->p + (1 + i % (XM_2M / XM_PAGE - 1)) * XM_PAGE));
		now = XM_LOAD((__u64 *)self->p);
		EXPECT_GE(now, last);
		last = now;
	}
	for (size_t i = 0; i < ARRAY_SIZE(w); i++)
		XM_STORE(&w[i].stop, true);
	for (size_t i = 0; i < ARRAY_SIZE(w); i++) {
		EXPECT_EQ(0, worker_join(&w[i]));
	}
	EXPECT_LT(0, w[0].done);
	EXPECT_EQ(w[0].done, XM_LOAD((__u64 *)self->p));
}

TEST_HARNESS_MAIN
