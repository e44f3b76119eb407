// SPDX-License-Identifier: GPL-2.0
/*
 * Calls that are disturbed for ever or have to wait, and mirrors that come and go.
 */
#include <fcntl.h>
#include <poll.h>

#include "dmirror.h"
#include "uffd.h"
#define PAGE_NEEDS	XMIRROR_CAP_PRIVATE
#include "page_fixture.h"

#define ROUNDS	50

/* D11: a call that never gets its turn fails; it does not say that all is well. */

#define MOST	500

/*
 * Run @w, and take its page away whenever it has reached @point. The worker's
 * result, or -ELOOP if it would go on for ever.
 */
static int disturb_for_ever(struct worker *w, enum xmirror_point point,
			    unsigned int *rounds)
{
	__u32 id, next;
	int err;

	*rounds = 0;
	err = xm_sync_arm(w->fd, point, w->addr, XM_PAGE, &id);
	if (!err)
		err = worker_start(w);
	while (!err) {
		do {
			err = xm_sync_reached(w->fd, id, 10);
		} while (err == -ETIMEDOUT && !worker_ended(w));
		if (err)
			break;
		if (madvise(w->addr, XM_PAGE, MADV_DONTNEED))
			err = -errno;
		next = 0;
		if (++*rounds < MOST && !err)
			err = xm_sync_arm(w->fd, point, w->addr, XM_PAGE,
					  &next);
		xm_sync_resume(w->fd, id, NULL);
		id = next;
		if (*rounds == MOST) {
			worker_join(w);
			return -ELOOP;
		}
	}
	if (id)
		xm_sync_resume(w->fd, id, NULL);
	if (err != -ETIMEDOUT)
		return err;
	return worker_join(w);
}

/* covers: D11 */
TEST_F(page, endless_disturbance_is_an_error)
{
	static const struct {
		int (*fn)(struct worker *w);
		enum xmirror_point point;
	} calls[] = {
		{ work_fault_read, XMIRROR_PT_FAULT_WALKED },
		{ work_fault_write, XMIRROR_PT_FAULT_WALKED },
		{ work_exclusive, XMIRROR_PT_EXCL_MADE },
	};
	struct worker w = { .fd = self->fd, .addr = self->p, .len = XM_PAGE };
	unsigned int i, rounds;

	NEED(XMIRROR_CAP_SYNC);
	NEED(XMIRROR_CAP_EXCLUSIVE);
	/* Linux before 6.4 takes mmap_lock for the test's own faults. */
	ASSERT_EQ(0, xm_fault(self->fd, self->p, XM_PAGE, 0, NULL));
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, madvise(self->p, XM_PAGE, MADV_DONTNEED));
		ASSERT_EQ(0, xm_set(self->fd, XMIRROR_SET_TIMEOUT, 1, NULL));
		w.fn = calls[i].fn;
		w.done = 77;
		EXPECT_EQ(-EBUSY, disturb_for_ever(&w, calls[i].point,
						   &rounds))
			TH_LOG("call %u, %u rounds", i, rounds);
		EXPECT_EQ(0, w.done);
		EXPECT_LT(0, rounds);
		EXPECT_LEAF(self->fd, self->p, LEAF_NONE);
		ASSERT_EQ(0, xm_set(self->fd, XMIRROR_SET_TIMEOUT, 10000,
				    NULL));
		EXPECT_EQ(0, calls[i].fn(&w));
	}
}

/* M3: notifiers come and go while the range that they are for does, too. */

static int mirror_for_a_while(struct worker *w)
{
	int fd, err = 0;

	while (!XM_LOAD(&w->stop) && !err) {
		fd = xm_open(w->arg);
		if (fd < 0)
			return fd;
		err = xm_fault(fd, w->addr, w->len, 0, NULL);
		/* It may not be there at the moment. */
		if (err == -EFAULT)
			err = 0;
		close(fd);
		XM_ADD(&w->done, 1);
	}
	return err;
}

/* covers: M3 */
TEST_F(page, mirrors_come_and_go_beside_munmap)
{
	const size_t len = 64 * XM_PAGE;
	struct worker w[2];
	char *p = xm_anon(len);
	int i;

	ASSERT_NE(NULL, p);
	for (i = 0; i < 2; i++) {
		w[i] = (struct worker){
			.fn = mirror_for_a_while,
			.addr = p,
			.len = len,
			.arg = i,
		};
		ASSERT_EQ(0, worker_start(&w[i]));
	}
	while ((XM_LOAD(&w[0].done) < ROUNDS || XM_LOAD(&w[1].done) < ROUNDS) &&
	       !worker_ended(&w[0]) && !worker_ended(&w[1])) {
		ASSERT_EQ(p, mmap(p, len, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
				  0));
		memset(p, 0x44, len);
		/* A hole would be filled by the threads' own memory. */
		ASSERT_EQ(p, mmap(p, len, PROT_NONE, MAP_SHARED |
				  MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	}
	for (i = 0; i < 2; i++) {
		XM_STORE(&w[i].stop, true);
		EXPECT_EQ(0, worker_join(&w[i]));
	}
}

/* M19: memory that a userfaultfd has to fill */

static int read_by_dmirror(struct worker *w)
{
	struct hmm_dmirror_cmd c = {
		.addr = (uintptr_t)w->addr,
		.ptr = (uintptr_t)w->to,
		.npages = 1,
	};

	return xm_ioctl(w->fd, HMM_DMIRROR_READ_UNLOCKED, &c);
}

/* Answers one fault with a page of 0x77 bytes; what is wrong, if anything */
static int fill_one(int uffd, void *p)
{
	void *from = xm_anon(XM_PAGE);
	int err = from ? xm_uffd_wait(uffd) : -ENOMEM;

	if (err)
		return err;
	memset(from, 0x77, XM_PAGE);
	return xm_uffd_fill(uffd, p, from);
}

/*
 * M19: a fault under mmap_lock cannot wait for a userfaultfd, and says so at once;
 * one that gives up the lock gets the page.
 */
/* covers: M19 */
TEST_F(page, userfaultfd_fills_what_the_device_reads)
{
	char *p = xm_anon(XM_PAGE), *buf = xm_anon(XM_PAGE);
	struct worker w = { .fn = read_by_dmirror, .addr = p, .to = buf };
	int uffd = xm_uffd(0);

	ASSERT_NE(NULL, p);
	ASSERT_NE(NULL, buf);
	if (uffd < 0)
		XM_SKIP(return, "no CONFIG_USERFAULTFD");
	ASSERT_EQ(0, xm_uffd_register(uffd, p, XM_PAGE,
				      UFFDIO_REGISTER_MODE_MISSING));
	EXPECT_EQ(-EFAULT, xm_fault(self->fd, p, XM_PAGE, 0, NULL));
	EXPECT_EQ(-EFAULT, xm_fault(self->fd, p, XM_PAGE, XMIRROR_FAULT_WRITE,
				    NULL));
	EXPECT_EQ(-EFAULT, xm_add(self->fd, p, 1));
	EXPECT_LEAF(self->fd, p, LEAF_NONE);

	w.fd = open("/dev/hmm_dmirror0", O_RDWR | O_CLOEXEC);
	if (w.fd < 0)
		XM_SKIP(return, "no /dev/hmm_dmirror0");
	memset(buf, 0, XM_PAGE);
	ASSERT_EQ(0, worker_start(&w));
	/* If not, the CPU's access below would wait for ever. */
	ASSERT_EQ(0, fill_one(uffd, p));
	EXPECT_EQ(0, worker_join(&w));
	EXPECT_EQ(0x77, buf[0]);
	EXPECT_EQ(0x77, buf[XM_PAGE - 1]);
	EXPECT_EQ(0, xm_fault(self->fd, p, XM_PAGE, 0, NULL));
	EXPECT_EQ(0x77, p[9]);
	close(w.fd);
	close(uffd);
}

TEST_HARNESS_MAIN
