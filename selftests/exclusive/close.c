// SPDX-License-Identifier: GPL-2.0
/*
 * The last close of a device's file gives exclusive pages back, and may be in a process
 * that has nothing to do with their memory: it waits for nobody there.
 *
 * A child has the last file, and is held in its close() at the first page that it
 * gives back.
 */
#include <poll.h>

#include "hold.h"
#include "test.h"
#include "uffd.h"

#define PAGES	8UL
#define SIZE	(PAGES * XM_PAGE)

FIXTURE(closer) {
	int hold;
	int fd;
	__u64 *p;
	struct child c;
	__u64 function;
};

static int closes_it(struct child *c, void *arg)
{
	int fd = child_recv_fd(c);

	(void)arg;
	CHILD_CHECK(fd >= 0);
	CHILD_CHECK(!child_tell(c, 'r'));
	CHILD_CHECK(child_hear(c) == 'c');
	CHILD_CHECK(!close(fd));
	CHILD_CHECK(!child_tell(c, 'd'));
	return 0;
}

FIXTURE_SETUP(closer)
{
	const struct hold_function *function;
	unsigned int taken = 0;
	size_t i;

	self->hold = -1;
	NEED(XMIRROR_CAP_EXCLUSIVE | XMIRROR_CAP_HOLD);
	/* The functions that give pages back, in mm/gup.c */
	ASSERT_EQ(0, hold_load());
	function = hold_named("fixup_user_fault");
	ASSERT_NE(NULL, function);
	self->function = function->address;
	OPEN(self->hold, 0);
	ASSERT_EQ(0, hold_attach(self->hold, &self->function, 1, &taken));
	ASSERT_EQ(1, taken);
	self->p = xm_anon(SIZE);
	ASSERT_NE(NULL, self->p);
	for (i = 0; i < PAGES; i++)
		self->p[i * XM_WORDS] = i;
	ASSERT_EQ(0, child_start(&self->c, closes_it, NULL));
	OPEN(self->fd, 0);
}

FIXTURE_TEARDOWN(closer)
{
	if (self->hold < 0)
		return;
	EXPECT_CLEAN(self->hold);
	close(self->hold);
}

/* The child is in its close(), about to give the first page back. */
#define HOLD_THE_CLOSER() \
	do { \
		ASSERT_EQ(0, child_send_fd(&self->c, self->fd)); \
		ASSERT_EQ('r', child_hear(&self->c)); \
		ASSERT_EQ(0, close(self->fd)); \
		ASSERT_EQ(0, hold_arm(self->hold, 0, self->c.pid, \
				      self->function, 0, 0)); \
		ASSERT_EQ(0, child_tell(&self->c, 'c')); \
		ASSERT_EQ(0, hold_reached(self->hold, 0, XM_LONG, NULL)); \
	} while (0)

/*
 * The one page that it has begun with may go back still; a closer that gives back the
 * others, too, would take as long to die as there is memory.
 */
TEST_F(closer, goes_when_it_is_killed)
{
	size_t i;

	ASSERT_EQ(0, xm_exclusive(self->fd, self->p, SIZE, NULL));
	for (i = 0; i < PAGES; i++) {
		ASSERT_EQ(0, xm_add(self->fd, &self->p[i * XM_WORDS], 100));
	}
	ASSERT_EQ(PAGES, xm_count_exclusive(self->p, SIZE));
	HOLD_THE_CLOSER();
	ASSERT_EQ(0, kill(self->c.pid, SIGKILL));
	EXPECT_EQ(128 + SIGKILL, child_end(&self->c));
	EXPECT_LE(PAGES - 1, xm_count_exclusive(self->p, SIZE));
	/* No device has them any more; the CPU does when it wants one. */
	for (i = 0; i < PAGES; i++) {
		EXPECT_EQ(i + 100, XM_LOAD(&self->p[i * XM_WORDS]));
	}
	EXPECT_EQ(0, xm_count_exclusive(self->p, SIZE));
}

/* The page goes meanwhile, and only a userfaultfd of its owner could fill it. */
TEST_F(closer, does_not_wait_for_the_owner_s_userfaultfd)
{
	struct pollfd waits = { .fd = xm_uffd(0), .events = POLLIN };

	if (waits.fd < 0)
		XM_SKIP(child_tell(&self->c, 'e'); return,
			"no CONFIG_USERFAULTFD");
	ASSERT_EQ(0, xm_exclusive(self->fd, self->p, XM_PAGE, NULL));
	ASSERT_EQ(0, xm_uffd_register(waits.fd, self->p, XM_PAGE,
				      UFFDIO_REGISTER_MODE_MISSING));
	ASSERT_TRUE(xm_is_exclusive(self->p));
	HOLD_THE_CLOSER();
	ASSERT_EQ(0, madvise(self->p, XM_PAGE, MADV_DONTNEED));
	ASSERT_FALSE(xm_is_present(self->p));
	ASSERT_EQ(0, hold_release(self->hold, 0, NULL));
	EXPECT_EQ('d', child_hear(&self->c));
	EXPECT_EQ(0, poll(&waits, 1, 0));
	EXPECT_FALSE(xm_is_present(self->p));
	/* All threads that wait for it go on. */
	close(waits.fd);
	EXPECT_EQ(0, child_end(&self->c));
}

TEST_HARNESS_MAIN
