// SPDX-License-Identifier: GPL-2.0
/*
 * The folio learns that the device has used its page when the leaf goes, as it does of
 * the CPU: a page that only the device uses is not cold. The neighbour, which the
 * device has mapped and not used, learns nothing.
 */
#include <fcntl.h>

#include "test.h"

FIXTURE(accessed) {
	int fd;
	__u64 *p;
};

/* Two pages on the LRU */
FIXTURE_SETUP(accessed)
{
	/* Batches of the LRU are per CPU. */
	ASSERT_EQ(0, xm_pin_cpu());
	OPEN(self->fd, 0);
	self->p = xm_anon(2 * XM_PAGE);
	ASSERT_NE(NULL, self->p);
	memset(self->p, 1, 2 * XM_PAGE);
	ASSERT_EQ(0, xm_drain());
}

FIXTURE_TEARDOWN(accessed)
{
	EXPECT_CLEAN(self->fd);
	close(self->fd);
}

static __u64 faults(int fd)
{
	struct xmirror_stats s;

	return xm_stats(fd, &s) ? ~0ULL : s.device_faults;
}

/* Both mapped for @op; pfn[0] will be used, and pfn[1] not. */
static int map_both(int fd, __u64 *p, enum xmirror_op op, __u64 *pfn)
{
	int err;

	if (op == XMIRROR_OP_ADD)
		err = xm_exclusive(fd, p, 2 * XM_PAGE, NULL);
	else
		err = xm_fault(fd, p, 2 * XM_PAGE, op == XMIRROR_OP_STORE ?
			       XMIRROR_FAULT_WRITE : 0, NULL);
	pfn[0] = xm_pfn(p);
	pfn[1] = xm_pfn(p + XM_WORDS);
	return err ? err : pfn[0] && pfn[1] ? 0 : -EFAULT;
}

/* By the leaf that it has; of the other page the leaf is as it was. */
static void use_the_first(struct __test_metadata *_metadata, int fd, __u64 *p,
			  enum xmirror_op op)
{
	const __u32 bits = XMIRROR_PTE_VALID | XMIRROR_PTE_ACCESSED;
	__u64 before = faults(fd);

	ASSERT_EQ(0, xm_op(fd, op, 8, p, 1, NULL));
	ASSERT_EQ(before, faults(fd));
	ASSERT_EQ(bits, xm_page(fd, p).dev & bits);
	ASSERT_EQ(XMIRROR_PTE_VALID, xm_page(fd, p + XM_WORDS).dev & bits);
}

#define END_LEAVES() \
	do { \
		ASSERT_EQ(0, mprotect(self->p, 2 * XM_PAGE, PROT_READ)); \
		EXPECT_LEAF(self->fd, self->p, LEAF_NONE); \
		EXPECT_LEAF(self->fd, self->p + XM_WORDS, LEAF_NONE); \
	} while (0)

/*
 * Not for exclusive pages: the kernel looks a page up to make it exclusive, which
 * makes it referenced.
 */
TEST_F(accessed, page_is_referenced)
{
	static const enum xmirror_op ops[] = {
		XMIRROR_OP_LOAD, XMIRROR_OP_STORE,
	};
	__u64 pfn[2];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(ops); i++) {
		ASSERT_EQ(0, mprotect(self->p, 2 * XM_PAGE,
				      PROT_READ | PROT_WRITE));
		ASSERT_EQ(0, map_both(self->fd, self->p, ops[i], pfn));
		/* The CPU's accesses are forgotten, without an invalidation. */
		ASSERT_EQ(0, xm_write_file("/proc/self/clear_refs", "1"));
		use_the_first(_metadata, self->fd, self->p, ops[i]);
		ASSERT_EQ(0, xm_kpageflags(pfn[0]) & XM_KPF_REFERENCED);
		ASSERT_EQ(0, xm_kpageflags(pfn[1]) & XM_KPF_REFERENCED);
		END_LEAVES();
		EXPECT_EQ(XM_KPF_REFERENCED, xm_kpageflags(pfn[0]) & XM_KPF_REFERENCED) {
			TH_LOG("operation %u", ops[i]);
		}
		EXPECT_EQ(0, xm_kpageflags(pfn[1]) & XM_KPF_REFERENCED);
	}
}

TEST_F(accessed, page_is_not_idle)
{
	static const enum xmirror_op ops[] = {
		XMIRROR_OP_LOAD, XMIRROR_OP_STORE, XMIRROR_OP_ADD,
	};
	int idle = open(XM_PAGE_IDLE, O_RDWR | O_CLOEXEC);
	__u64 pfn[2];
	size_t i;

	NEED(XMIRROR_CAP_EXCLUSIVE);
	if (idle < 0)
		XM_SKIP(return, "no CONFIG_IDLE_PAGE_TRACKING");
	for (i = 0; i < ARRAY_SIZE(ops); i++) {
		ASSERT_EQ(0, mprotect(self->p, 2 * XM_PAGE,
				      PROT_READ | PROT_WRITE));
		ASSERT_EQ(0, map_both(self->fd, self->p, ops[i], pfn));
		ASSERT_EQ(0, xm_set_idle(idle, pfn[0]));
		ASSERT_EQ(0, xm_set_idle(idle, pfn[1]));
		use_the_first(_metadata, self->fd, self->p, ops[i]);
		ASSERT_EQ(1, xm_is_idle(idle, pfn[0]));
		ASSERT_EQ(1, xm_is_idle(idle, pfn[1]));
		END_LEAVES();
		EXPECT_EQ(0, xm_is_idle(idle, pfn[0])) {
			TH_LOG("operation %u", ops[i]);
		}
		EXPECT_EQ(1, xm_is_idle(idle, pfn[1]));
	}
	close(idle);
}

TEST_HARNESS_MAIN
