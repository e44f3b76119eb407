// SPDX-License-Identifier: GPL-2.0
/*
 * Where a device prefers pages to be: its faults move them there, from wherever they are;
 * and one migration that gathers pages of the system and of other devices.
 */
#include <fcntl.h>

#include "test.h"

#define PAGES	4
#define SIZE	(PAGES * XM_PAGE)

FIXTURE(prefer) {
	int fd[2];
	__u64 *p;
};

FIXTURE_SETUP(prefer)
{
	int i;

	NEED(XMIRROR_CAP_PRIVATE);
	for (i = 0; i < 2; i++) {
		OPEN(self->fd[i], i);
	}
	self->p = xm_anon(SIZE);
	ASSERT_NE(NULL, self->p);
	for (i = 0; i < PAGES; i++)
		self->p[i * XM_WORDS] = 100 + i;
}

FIXTURE_TEARDOWN(prefer)
{
	int i;

	for (i = 0; i < 2; i++) {
		EXPECT_CLEAN(self->fd[i]);
		close(self->fd[i]);
	}
	munmap(self->p, SIZE);
}

/* In the memory of any device */
static bool is_private(int fd, const void *p)
{
	return xm_page(fd, p).cpu & XMIRROR_CPU_PRIVATE;
}

enum { LOAD, STORE, ATOMIC, COPY, FAULT };

FIXTURE_VARIANT(prefer) {
	int how;
};

FIXTURE_VARIANT_ADD(prefer, load) { .how = LOAD };
FIXTURE_VARIANT_ADD(prefer, store) { .how = STORE };
FIXTURE_VARIANT_ADD(prefer, atomic) { .how = ATOMIC };
FIXTURE_VARIANT_ADD(prefer, copy) { .how = COPY };
FIXTURE_VARIANT_ADD(prefer, fault) { .how = FAULT };

/* The device accesses a page, and changes nothing. */
static int look_at(int how, int fd, __u64 *p, __u64 is)
{
	__u64 seen = is;
	int err;

	switch (how) {
	case LOAD:
		err = xm_op(fd, XMIRROR_OP_LOAD, 8, p, 0, &seen);
		break;
	case STORE:
		err = xm_op(fd, XMIRROR_OP_STORE, 8, p, is, NULL);
		break;
	case ATOMIC:
		err = xm_op(fd, XMIRROR_OP_ADD, 8, p, 0, &seen);
		break;
	case COPY:
		err = xm_read(fd, p, &seen, 8);
		break;
	default:
		err = xm_fault(fd, p, XM_PAGE, 0, NULL);
	}
	return err ?: seen == is ? 0 : -EBADE;
}

/* covers: G.prefer */
TEST_F(prefer, the_device)
{
	__u64 *q = self->p + XM_WORDS;

	ASSERT_EQ(0, xm_prefer(self->fd[0], q, XM_PAGE, XMIRROR_PREFER_DEVICE));
	EXPECT_FALSE(is_private(self->fd[0], q));
	EXPECT_EQ(0, look_at(variant->how, self->fd[0], q, 101));
	EXPECT_TRUE(xm_is_private(self->fd[0], q));
	/* Only that page, and only this mirror */
	if (variant->how != ATOMIC || xm_caps() & XMIRROR_CAP_EXCLUSIVE) {
		EXPECT_EQ(0, look_at(variant->how, self->fd[0], self->p, 100));
	}
	EXPECT_FALSE(is_private(self->fd[0], self->p));
	XM_ADD(q, 0);
	EXPECT_FALSE(is_private(self->fd[0], q));
	EXPECT_EQ(0, look_at(variant->how, self->fd[1], q, 101));
	EXPECT_FALSE(is_private(self->fd[0], q));
	EXPECT_EQ(101, *q);
}

TEST_F(prefer, the_device_and_it_comes_from_another_one)
{
	ASSERT_EQ(0, xm_migrate(self->fd[1], self->p, XM_PAGE, 0, 0, NULL));
	ASSERT_TRUE(xm_is_private(self->fd[1], self->p));
	ASSERT_EQ(0, xm_prefer(self->fd[0], self->p, XM_PAGE,
			       XMIRROR_PREFER_DEVICE));
	EXPECT_EQ(0, look_at(variant->how, self->fd[0], self->p, 100));
	EXPECT_TRUE(xm_is_private(self->fd[0], self->p));
	EXPECT_EQ(100, self->p[0]);
}

TEST_F(prefer, the_system)
{
	int i;

	/* From the own device, and from another one */
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, xm_migrate(self->fd[i], self->p, XM_PAGE, 0, 0,
					NULL));
		ASSERT_TRUE(xm_is_private(self->fd[i], self->p));
		ASSERT_EQ(0, xm_prefer(self->fd[0], self->p, XM_PAGE,
				       XMIRROR_PREFER_SYSTEM));
		EXPECT_EQ(0, look_at(variant->how, self->fd[0], self->p, 100));
		EXPECT_FALSE(is_private(self->fd[0], self->p));
		EXPECT_EQ(100, self->p[0]);
	}
}

static int ioctl_prefer(int fd, const void *p, __u64 len, __u32 where,
			__s32 node)
{
	struct xmirror_prefer arg = {
		.size = sizeof(arg),
		.addr = (uintptr_t)p,
		.length = len,
		.where = where,
		.node = node,
	};

	return xm_ioctl(fd, XMIRROR_IOC_PREFER, &arg);
}

TEST_F(prefer, a_node_of_the_system)
{
	int i;

	if (access("/sys/devices/system/node/node1", F_OK))
		XM_SKIP(return, "one NUMA node only");
	for (i = 0; i < 4; i++) {
		ASSERT_EQ(0, xm_migrate(self->fd[i / 2], self->p, XM_PAGE, 0, 0,
					NULL));
		ASSERT_TRUE(xm_is_private(self->fd[i / 2], self->p));
		ASSERT_EQ(0, ioctl_prefer(self->fd[0], self->p, XM_PAGE,
					  XMIRROR_PREFER_SYSTEM, i % 2));
		EXPECT_EQ(0, look_at(variant->how, self->fd[0], self->p, 100));
		/* Of an exclusive page the kernel does not tell. */
		EXPECT_EQ(100, self->p[0]);
		EXPECT_EQ(i % 2, xm_node_of(self->p)) {
			TH_LOG("case %d", i);
		}
	}
}

TEST_F(prefer, nothing_any_more)
{
	ASSERT_EQ(0, xm_prefer(self->fd[0], self->p, SIZE,
			       XMIRROR_PREFER_DEVICE));
	ASSERT_EQ(0, xm_prefer(self->fd[0], self->p + XM_WORDS, XM_PAGE,
			       XMIRROR_PREFER_ANY));
	EXPECT_EQ(0, look_at(variant->how, self->fd[0], self->p, 100));
	EXPECT_EQ(0, look_at(variant->how, self->fd[0], self->p + XM_WORDS,
			     101));
	EXPECT_EQ(0, look_at(variant->how, self->fd[0], self->p + 2 * XM_WORDS,
			     102));
	EXPECT_TRUE(xm_is_private(self->fd[0], self->p));
	EXPECT_FALSE(is_private(self->fd[0], self->p + XM_WORDS));
	EXPECT_TRUE(xm_is_private(self->fd[0], self->p + 2 * XM_WORDS));
}

/* Pages that cannot move are used where they are: no memory, a file's. */
TEST_F(prefer, is_a_hint)
{
	int file = memfd_create("prefer", 0);
	__u64 *shared;

	ASSERT_LE(0, file);
	ASSERT_EQ(0, ftruncate(file, XM_PAGE));
	shared = mmap(NULL, XM_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	ASSERT_NE(MAP_FAILED, shared);
	*shared = 7;
	ASSERT_EQ(0, xm_prefer(self->fd[0], shared, XM_PAGE,
			       XMIRROR_PREFER_DEVICE));
	ASSERT_EQ(0, xm_prefer(self->fd[0], self->p, XM_PAGE,
			       XMIRROR_PREFER_DEVICE));
	/* An atomic needs memory of this process alone. */
	EXPECT_EQ(variant->how == ATOMIC ? -EOPNOTSUPP : 0,
		  look_at(variant->how, self->fd[0], shared, 7));
	EXPECT_FALSE(is_private(self->fd[0], shared));
	ASSERT_EQ(0, xm_inject(self->fd[0], XMIRROR_INJECT_ALLOC, 0, ~0ULL, 0));
	EXPECT_EQ(0, look_at(variant->how, self->fd[0], self->p, 100));
	EXPECT_FALSE(is_private(self->fd[0], self->p));
	EXPECT_EQ(0, xm_inject_end(self->fd[0], XMIRROR_INJECT_ALLOC, NULL,
				   NULL));
	munmap(shared, XM_PAGE);
	close(file);
}

FIXTURE(device) {
	int fd;
	char *p;
};

FIXTURE_SETUP(device)
{
	OPEN(self->fd, 0);
	self->p = xm_anon(2 * XM_PAGE);
	ASSERT_NE(NULL, self->p);
}

FIXTURE_TEARDOWN(device)
{
	close(self->fd);
}

TEST_F(device, refuses_bad_preferences)
{
#define BAD(err, addr, len, where, node) \
	EXPECT_EQ((err), ioctl_prefer(self->fd, (addr), (len), (where), (node)))
	BAD(0, self->p, XM_PAGE, XMIRROR_PREFER_ANY, 0);
	BAD(0, self->p, XM_PAGE, XMIRROR_PREFER_SYSTEM, -1);
	BAD(0, self->p, XM_PAGE, XMIRROR_PREFER_SYSTEM, 0);
	BAD(-EINVAL, self->p, XM_PAGE, XMIRROR_PREFER_SYSTEM, -2);
	BAD(-EINVAL, self->p, XM_PAGE, XMIRROR_PREFER_SYSTEM, 1000000);
	BAD(-EINVAL, self->p, XM_PAGE, XMIRROR_PREFER_ANY, -1);
	BAD(-EINVAL, self->p, XM_PAGE, XMIRROR_PREFER_DEVICE, 1);
	BAD(-EINVAL, self->p, XM_PAGE, XMIRROR_PREFER_SYSTEM + 1, 0);
	BAD(-EINVAL, self->p, XM_PAGE, ~0U, 0);
	BAD(-EINVAL, self->p + 1, XM_PAGE, XMIRROR_PREFER_ANY, 0);
	BAD(-EINVAL, self->p, XM_PAGE + 8, XMIRROR_PREFER_ANY, 0);
	BAD(-EINVAL, self->p, 0, XMIRROR_PREFER_ANY, 0);
	BAD(-EINVAL, self->p, -XM_PAGE, XMIRROR_PREFER_ANY, 0);
	BAD(-EFAULT, (void *)(1ULL << 63), XM_PAGE, XMIRROR_PREFER_ANY, 0);
	if (!(xm_caps() & XMIRROR_CAP_PRIVATE))
		BAD(-EOPNOTSUPP, self->p, XM_PAGE, XMIRROR_PREFER_DEVICE, 0);
}

/*
 * One migration takes pages of the system, empty ones, its own, and another device's.
 * covers: G.gather
 */
TEST_F(device, gathers_from_everywhere)
{
	enum { SYSTEM, EMPTY, OWN, PEER, ALL };
	struct xmirror_migrate m = {
		.size = sizeof(m),
		.flags = XMIRROR_MIGRATE_GATHER,
		.length = ALL * XM_PAGE,
	};
	__u64 *p = xm_anon(ALL * XM_PAGE);
	int other, i;

	NEED(XMIRROR_CAP_PRIVATE);
	OPEN(other, 1);
	ASSERT_NE(NULL, p);
	for (i = 0; i < ALL; i++) {
		if (i != EMPTY)
			p[i * XM_WORDS] = 100 + i;
	}
	ASSERT_EQ(0, xm_migrate(self->fd, p + OWN * XM_WORDS, XM_PAGE, 0, 0,
				NULL));
	ASSERT_EQ(0, xm_migrate(other, p + PEER * XM_WORDS, XM_PAGE, 0, 0,
				NULL));
	ASSERT_TRUE(xm_is_private(self->fd, p + OWN * XM_WORDS));
	ASSERT_TRUE(xm_is_private(other, p + PEER * XM_WORDS));
	m.addr = (uintptr_t)p;
	EXPECT_EQ(0, xm_ioctl(self->fd, XMIRROR_IOC_MIGRATE, &m));
	EXPECT_EQ(ALL * XM_PAGE, m.done);
	EXPECT_EQ(ALL - 1, m.moved);
	for (i = 0; i < ALL; i++) {
		EXPECT_TRUE(xm_is_private(self->fd, p + i * XM_WORDS)) {
			TH_LOG("page %d", i);
		}
	}
	for (i = 0; i < ALL; i++) {
		EXPECT_EQ(i == EMPTY ? 0 : 100 + i, p[i * XM_WORDS]);
	}
	EXPECT_CLEAN(self->fd);
	EXPECT_CLEAN(other);
	m.flags |= XMIRROR_MIGRATE_TO_SYSTEM;
	EXPECT_EQ(-EINVAL, xm_ioctl(self->fd, XMIRROR_IOC_MIGRATE, &m));
	m.flags = XMIRROR_MIGRATE_GATHER;
	m.peer = 1;
	EXPECT_EQ(-EINVAL, xm_ioctl(self->fd, XMIRROR_IOC_MIGRATE, &m));
	close(other);
	munmap(p, ALL * XM_PAGE);
}

TEST_HARNESS_MAIN
