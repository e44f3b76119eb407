// SPDX-License-Identifier: GPL-2.0
/*
 * CAP_SYS_ADMIN is needed for all calls that show physical addresses, make others
 * wait, take away shared memory, or corrupt. The file is root's, the caller is not
 * root any more.
 */
#include "test.h"

struct args {
	int fd;
	__u64 *p;
};

static int no_page_frames(struct args *a)
{
	struct xmirror_page page;

	memset(&page, 0xff, sizeof(page));
	CHILD_CHECK(!xm_fault(a->fd, a->p, XM_PAGE, XMIRROR_FAULT_WRITE, NULL));
	CHILD_CHECK(!xm_snapshot(a->fd, a->p, XM_PAGE, &page));
	CHILD_CHECK(page.dev & XMIRROR_PTE_VALID);
	CHILD_CHECK(page.cpu & XMIRROR_CPU_PRESENT);
	CHILD_CHECK(!page.dev_pfn);
	CHILD_CHECK(!page.cpu_pfn);
	return 0;
}

static int nobody_waits(struct args *a)
{
	struct xmirror_range late = {
		.size = sizeof(late),
		.flags = XMIRROR_EXCLUSIVE_BARE | XMIRROR_EXCLUSIVE_LATE,
		.addr = (uintptr_t)a->p,
		.length = XM_PAGE,
	};
	unsigned int point, what;
	__u32 id;

	for (point = 0; point < XMIRROR_PT_NR; point++)
		CHILD_CHECK(xm_sync_arm(a->fd, point, NULL, 0, &id) == -EPERM);
	for (what = 0; what < XMIRROR_INJECT_NR; what++) {
		struct xmirror_inject inj = {
			.size = sizeof(inj),
			.what = what,
			.times = 1,
			.error = what == XMIRROR_INJECT_COMMIT ? EBUSY : 0,
			.delay_ms = what == XMIRROR_INJECT_NOTIFIER,
		};

		CHILD_CHECK(xm_ioctl(a->fd, XMIRROR_IOC_INJECT, &inj) ==
			    -EPERM);
		CHILD_CHECK(!xm_inject_end(a->fd, what, NULL, NULL));
	}
	CHILD_CHECK(xm_ioctl(a->fd, XMIRROR_IOC_EXCLUSIVE, &late) == -EPERM);
	return 0;
}

static int keeps_what_is_shared(struct args *a)
{
	struct xmirror_unplug u = { .size = sizeof(u) };
	struct xmirror_stats s;

	CHILD_CHECK(!xm_stats(a->fd, &s));
	CHILD_CHECK(xm_ioctl(a->fd, XMIRROR_IOC_UNPLUG, &u) ==
		    (s.devmem_pages ? -EPERM : -EOPNOTSUPP));
	u.flags = XMIRROR_UNPLUG_REPLUG;
	CHILD_CHECK(xm_ioctl(a->fd, XMIRROR_IOC_UNPLUG, &u) ==
		    (s.devmem_pages ? -EPERM : -EOPNOTSUPP));
	CHILD_CHECK(xm_set(a->fd, XMIRROR_SET_VRAM_UNSAFE,
			   XMIRROR_VRAM_UNSAFE_MIXED, NULL) == -EPERM);
	return 0;
}

/* All other calls need the file only. */
static int works(struct args *a)
{
	__u64 word = 0;

	CHILD_CHECK(!xm_op(a->fd, XMIRROR_OP_STORE, 8, a->p, 7, NULL));
	CHILD_CHECK(!xm_read(a->fd, a->p, &word, sizeof(word)) && word == 7);
	if (xm_caps() & XMIRROR_CAP_EXCLUSIVE)
		CHILD_CHECK(!xm_add(a->fd, a->p, 1) && *a->p == 8);
	CHILD_CHECK(!xm_release(a->fd, a->p, XM_PAGE, NULL));
	CHILD_CHECK(!xm_set(a->fd, XMIRROR_SET_GRANULE, XM_PAGE, NULL));
	CHILD_CHECK(!xm_violations(a->fd, NULL, 0));
	return 0;
}

static int as_nobody(struct child *c, void *arg)
{
	int (*fn)(struct args *) = arg;
	struct args a = { .fd = xm_open(0), .p = xm_anon(XM_PAGE) };

	(void)c;
	CHILD_CHECK(a.fd >= 0 && a.p && xm_facts());
	*a.p = 1;
	CHILD_CHECK(!setresuid(65534, 65534, 65534));
	return fn(&a);
}

FIXTURE(rights) {
	int unused;
};

FIXTURE_VARIANT(rights) {
	int (*fn)(struct args *a);
};

FIXTURE_VARIANT_ADD(rights, page_frames) { .fn = no_page_frames };
FIXTURE_VARIANT_ADD(rights, delays) { .fn = nobody_waits };
FIXTURE_VARIANT_ADD(rights, shared) { .fn = keeps_what_is_shared };
FIXTURE_VARIANT_ADD(rights, rest) { .fn = works };

FIXTURE_SETUP(rights)
{
}

FIXTURE_TEARDOWN(rights)
{
}

TEST_F(rights, without_admin)
{
	struct child c;

	ASSERT_EQ(0, child_start(&c, as_nobody, variant->fn));
	EXPECT_EQ(0, child_end(&c));
}

/* With the capability they are shown; else the test above would prove nothing. */
TEST(root_sees_page_frames)
{
	__u64 *p = xm_anon(XM_PAGE);
	int fd;

	OPEN(fd, 0);
	ASSERT_NE(NULL, p);
	*p = 1;
	ASSERT_EQ(0, xm_fault(fd, p, XM_PAGE, XMIRROR_FAULT_WRITE, NULL));
	EXPECT_NE(0, xm_page(fd, p).dev_pfn);
	EXPECT_LEAF(fd, p, LEAF_WRITE);
	close(fd);
}

TEST_HARNESS_MAIN
