// SPDX-License-Identifier: GPL-2.0
/*
 * The bugs of the kernel's own test device (lib/test_hmm.c): one test for
 * each, through the ioctls that it and xmirror's /dev/hmm_dmirrorN have in
 * common. On xmirror they pass. "make peer-bugs" runs them on the other, too,
 * each in a guest of its own, because most of them crash that one.
 *
 * Nothing here uses /dev/xmirrorN.
 */

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "dmirror.h"
#include "fail_nth.h"
#include "gup.h"
#include "settings.h"
#include "test.h"

#define NODE	"/dev/hmm_dmirror0"
#define COHERENT	"/dev/hmm_dmirror2"
#define PAGES	16UL
#define LEN	(PAGES * XM_PAGE)

static int call(int fd, unsigned long nr, const void *addr, size_t len,
		void *buf, __u64 *faults)
{
	struct hmm_dmirror_cmd c = {
		.addr = (__u64)(uintptr_t)addr,
		.ptr = (__u64)(uintptr_t)buf,
		.npages = len / XM_PAGE,
	};
	int ret = xm_ioctl(fd, nr, &c);

	if (faults)
		*faults = c.faults;
	return ret;
}

static int device_read(int fd, const void *addr, size_t len, void *buf)
{
	return call(fd, HMM_DMIRROR_READ, addr, len, buf, NULL);
}

static int device_write(int fd, void *addr, size_t len, void *buf)
{
	return call(fd, HMM_DMIRROR_WRITE, addr, len, buf, NULL);
}

static int to_device(int fd, void *addr, size_t len)
{
	void *buf = malloc(len);
	int ret = call(fd, HMM_DMIRROR_MIGRATE_TO_DEV, addr, len, buf, NULL);

	free(buf);
	return ret;
}

static int to_system(int fd, void *addr, size_t len)
{
	return call(fd, HMM_DMIRROR_MIGRATE_TO_SYS, addr, len, NULL, NULL);
}

/* How many pages are in the device's private memory, or a negative errno. */
static int private_pages(int fd, const void *addr, size_t len)
{
	unsigned char codes[512];
	int ret, n = 0;

	if (len / XM_PAGE > sizeof(codes))
		return -EINVAL;
	ret = call(fd, HMM_DMIRROR_SNAPSHOT, addr, len, codes, NULL);
	if (ret)
		return ret;
	for (size_t i = 0; i < len / XM_PAGE; i++)
		n += (codes[i] & 0xf0) ==
		     HMM_DMIRROR_PROT_DEV_PRIVATE_LOCAL;
	return n;
}

/*
 * The exit status of @pid, waiting for at most @ms; -ETIMEDOUT if it goes on,
 * then it is killed, which a process that spins in the kernel survives.
 */
static int ended(pid_t pid, unsigned int ms)
{
	struct pollfd p = {
		.fd = syscall(SYS_pidfd_open, pid, 0), .events = POLLIN,
	};
	int status, n = poll(&p, 1, ms);

	close(p.fd);
	if (n != 1) {
		printf("# a process does not end\n");
		kill(pid, SIGKILL);
		return -ETIMEDOUT;
	}
	if (waitpid(pid, &status, 0) != pid)
		return -errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -EINTR;
}

FIXTURE(peer_bugs) {
	int fd;
	char *p;
	__u64 *buf;
	int go[2];
	pid_t child;
};

FIXTURE_SETUP(peer_bugs)
{
	int ret;

	self->child = 0;
	self->fd = open(NODE, O_RDWR | O_CLOEXEC);
	if (self->fd < 0)
		XM_SKIP(return, "no " NODE);
	ASSERT_EQ(0, pipe(self->go));
	self->p = xm_anon(LEN);
	ASSERT_NE(NULL, self->p);
	self->buf = malloc(LEN);
	ASSERT_NE(NULL, self->buf);
	xm_fill_words((__u64 *)self->p, LEN, 1);
	ret = to_device(self->fd, self->p, LEN);
	if (ret == -ENOENT)
		XM_SKIP(return, "the device has no memory");
	ASSERT_EQ(0, ret);
	ASSERT_EQ(PAGES, private_pages(self->fd, self->p, LEN));
}

FIXTURE_TEARDOWN(peer_bugs)
{
	if (self->child > 0) {
		kill(self->child, SIGKILL);
		waitpid(self->child, NULL, 0);
	}
	if (self->fd >= 0)
		close(self->fd);
}

/* The child's side of fork(): wait until the parent says go, or is gone. */
#define WAIT_FOR_GO() \
	do { \
		char wait_c; \
		close(self->go[1]); \
		if (read(self->go[0], &wait_c, 1) != 1) \
			_exit(99); \
	} while (0)

#define SAY_GO()	ASSERT_EQ(1, write(self->go[1], "", 1))

/* Bug 1: the device's own page, once the leaf that it was mapped by has gone */

TEST_F(peer_bugs, reads_own_page_after_mprotect)
{
	ASSERT_EQ(0, mprotect(self->p, LEN, PROT_READ));
	ASSERT_EQ(0, device_read(self->fd, self->p, LEN, self->buf));
	EXPECT_EQ(0, xm_wrong_words(self->buf, LEN, 1));
	EXPECT_EQ(0, xm_wrong_words((__u64 *)self->p, LEN, 1));
}

TEST_F(peer_bugs, writes_own_page_after_mprotect)
{
	ASSERT_EQ(0, mprotect(self->p, LEN, PROT_READ));
	xm_fill_words(self->buf, LEN, 1000);
	EXPECT_EQ(-EPERM, device_write(self->fd, self->p, LEN, self->buf));
	ASSERT_EQ(0, mprotect(self->p, LEN, PROT_READ | PROT_WRITE));
	ASSERT_EQ(0, device_write(self->fd, self->p, LEN, self->buf));
	EXPECT_EQ(0, xm_wrong_words((__u64 *)self->p, LEN, 1000));
}

TEST_F(peer_bugs, reads_own_page_after_mremap)
{
	char *to = xm_hole(LEN);

	ASSERT_EQ(to, mremap(self->p, LEN, LEN, MREMAP_MAYMOVE | MREMAP_FIXED,
			     to));
	ASSERT_EQ(0, device_read(self->fd, to, LEN, self->buf));
	EXPECT_EQ(0, xm_wrong_words(self->buf, LEN, 1));
	EXPECT_EQ(0, xm_wrong_words((__u64 *)to, LEN, 1));
}

TEST_F(peer_bugs, reads_own_page_after_fork)
{
	self->child = fork();
	ASSERT_GE(self->child, 0);
	if (!self->child) {
		WAIT_FOR_GO();
		_exit(xm_wrong_words((__u64 *)self->p, LEN, 1) != 0);
	}
	ASSERT_EQ(0, device_read(self->fd, self->p, LEN, self->buf));
	EXPECT_EQ(0, xm_wrong_words(self->buf, LEN, 1));
	SAY_GO();
	EXPECT_EQ(0, ended(self->child, XM_LONG));
	self->child = 0;
	EXPECT_EQ(0, xm_wrong_words((__u64 *)self->p, LEN, 1));
}

TEST_F(peer_bugs, child_reads_parents_page)
{
	self->child = fork();
	ASSERT_GE(self->child, 0);
	if (!self->child) {
		int fd = open(NODE, O_RDWR);

		if (fd < 0 || device_read(fd, self->p, LEN, self->buf))
			_exit(2);
		_exit(xm_wrong_words(self->buf, LEN, 1) ||
		      xm_wrong_words((__u64 *)self->p, LEN, 1));
	}
	EXPECT_EQ(0, ended(self->child, XM_LONG));
	self->child = 0;
	EXPECT_EQ(0, xm_wrong_words((__u64 *)self->p, LEN, 1));
}

/* Bug 2: a page that was never touched before it moved to the device */

TEST_F(peer_bugs, writes_migrated_empty_page)
{
	char *fresh = xm_anon(LEN);

	ASSERT_NE(NULL, fresh);
	ASSERT_EQ(0, to_device(self->fd, fresh, LEN));
	xm_fill_words(self->buf, LEN, 77);
	ASSERT_EQ(0, device_write(self->fd, fresh, LEN, self->buf));
	EXPECT_EQ(0, xm_wrong_words((__u64 *)fresh, LEN, 77));
}

/* Bug 3: a write to the device's own page that a forked process shares */

TEST_F(peer_bugs, write_breaks_cow)
{
	self->child = fork();
	ASSERT_GE(self->child, 0);
	if (!self->child) {
		WAIT_FOR_GO();
		_exit(xm_wrong_words((__u64 *)self->p, LEN, 1) != 0);
	}
	xm_fill_words(self->buf, LEN, 5000);
	EXPECT_EQ(0, device_write(self->fd, self->p, LEN, self->buf));
	SAY_GO();
	EXPECT_EQ(0, ended(self->child, XM_LONG))
		TH_LOG("the child sees what its parent's device wrote");
	self->child = 0;
	EXPECT_EQ(0, xm_wrong_words((__u64 *)self->p, LEN, 5000));
}

/* Bug 4: what the device wrote is dirty, also if the CPU never wrote it */

TEST_F(peer_bugs, written_lazyfree_page_survives_reclaim)
{
	ASSERT_EQ(0, xm_wrong_words((__u64 *)self->p, LEN, 1));
	ASSERT_EQ(0, to_system(self->fd, self->p, LEN));
	ASSERT_EQ(0, madvise(self->p, LEN, MADV_FREE));
	xm_fill_words(self->buf, LEN, 300);
	ASSERT_EQ(0, device_write(self->fd, self->p, LEN, self->buf));
	if (xm_meminfo_kb("SwapTotal") <= 0)
		XM_SKIP(return, "no swap");
	ASSERT_EQ(0, xm_pageout(self->p, LEN));
	EXPECT_EQ(0, xm_wrong_words((__u64 *)self->p, LEN, 300));
}

TEST_F(peer_bugs, written_shared_page_survives_reclaim)
{
	char *shared = xm_shared(LEN);
	volatile char *p = shared;

	ASSERT_NE(NULL, shared);
	for (size_t i = 0; i < LEN; i += XM_PAGE)
		(void)p[i];
	xm_fill_words(self->buf, LEN, 400);
	ASSERT_EQ(0, device_write(self->fd, shared, LEN, self->buf));
	if (xm_meminfo_kb("SwapTotal") <= 0)
		XM_SKIP(return, "no swap");
	ASSERT_EQ(0, xm_pageout(shared, LEN));
	EXPECT_EQ(0, xm_wrong_words((__u64 *)shared, LEN, 400));
}

/* Coherent memory, which the core brings back without asking the driver */
/* covers: C.coherent */
TEST_F(peer_bugs, written_coherent_page_survives_pin)
{
	int fd = open(COHERENT, O_RDWR), gup = open(GUP_FILE, O_RDWR);
	char *p = xm_anon(LEN);
	struct gup_test pin = {
		.addr = (uintptr_t)p,
		.size = LEN,
		.nr_pages_per_call = PAGES,
	};
	__u64 pfn;

	if (fd < 0)
		XM_SKIP(return, "no " COHERENT);
	if (gup < 0)
		XM_SKIP(return, "no CONFIG_GUP_TEST");
	ASSERT_NE(NULL, p);
	xm_fill_words((__u64 *)p, LEN, 1);
	ASSERT_EQ(0, madvise(p, LEN, MADV_FREE));
	/* The CPU's batch of lazily freed folios holds references. */
	ASSERT_EQ(0, xm_drain());
	ASSERT_EQ(0, to_device(fd, p, LEN));
	pfn = xm_pfn(p);
	xm_fill_words(self->buf, LEN, 500);
	ASSERT_EQ(0, device_write(fd, p, LEN, self->buf));
	ASSERT_EQ(0, ioctl(gup, PIN_LONGTERM, &pin));
	ASSERT_NE(pfn, xm_pfn(p));
	ASSERT_EQ(0, madvise(p, LEN, MADV_PAGEOUT));
	EXPECT_EQ(0, xm_wrong_words((__u64 *)p, LEN, 500));
	close(gup);
	close(fd);
}

/* Bug 5: close() while another file of the device releases and migrates */

struct churn {
	int fd;
	char *p;
	bool stop;
	int err;
	size_t wrong;
};

static void *churn(void *arg)
{
	struct churn *c = arg;

	while (!__atomic_load_n(&c->stop, __ATOMIC_RELAXED) && !c->err) {
		xm_fill_words((__u64 *)c->p, LEN, 9);
		c->err = to_device(c->fd, c->p, LEN);
		/* Everybody evicts there: not being in the device is no error. */
		if (c->err == -ENOENT)
			c->err = 0;
		if (!c->err)
			c->err = call(c->fd, HMM_DMIRROR_RELEASE, c->p, LEN, NULL,
				      NULL);
		c->wrong += xm_wrong_words((__u64 *)c->p, LEN, 9);
	}
	return NULL;
}

/* covers: T12 */
TEST_F(peer_bugs, close_races_with_release)
{
	struct churn c = { .fd = self->fd, .p = self->p };
	char *mine = xm_anon(LEN);
	pthread_t thread;
	int ret;

	ASSERT_NE(NULL, mine);
	ASSERT_EQ(0, pthread_create(&thread, NULL, churn, &c));
	for (int i = 0; i < 100; i++) {
		int fd = open(NODE, O_RDWR);

		ASSERT_GE(fd, 0);
		xm_fill_words((__u64 *)mine, LEN, i);
		ret = to_device(fd, mine, LEN);
		EXPECT_TRUE(!ret || ret == -ENOENT);
		close(fd);
		ASSERT_EQ(0, xm_wrong_words((__u64 *)mine, LEN, i));
	}
	__atomic_store_n(&c.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	EXPECT_EQ(0, c.err);
	EXPECT_EQ(0, c.wrong);
}

/* Bug 6: the mirrored address space is gone */

/* covers: T2 */
TEST_F(peer_bugs, read_of_gone_mm_ends)
{
	/* fork() with the table of files in common. */
	pid_t pid = syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);
	int fd;

	ASSERT_GE(pid, 0);
	if (!pid) {
		fd = open(NODE, O_RDWR);
		syscall(SYS_exit_group, fd < 0 || fd > 200 ? 255 : fd);
	}
	fd = ended(pid, XM_LONG);
	ASSERT_GE(fd, 0);
	ASSERT_NE(255, fd);

	pid = fork();
	ASSERT_GE(pid, 0);
	if (!pid)
		_exit(-device_read(fd, self->p, XM_PAGE, self->buf));
	EXPECT_EQ(EFAULT, ended(pid, 10000))
		TH_LOG("a read of an address space that is gone");
}

/* Bug 7: close() of one file and the pages of another */

/* covers: T12 */
TEST_F(peer_bugs, close_leaves_others_alone)
{
	int fd = open(NODE, O_RDWR);
	char *mine = xm_anon(LEN);

	ASSERT_GE(fd, 0);
	ASSERT_NE(NULL, mine);
	xm_fill_words((__u64 *)mine, LEN, 2);
	ASSERT_EQ(0, to_device(fd, mine, LEN));
	close(fd);
	EXPECT_EQ(PAGES, private_pages(self->fd, self->p, LEN));
	EXPECT_EQ(0, private_pages(self->fd, mine, LEN));
	EXPECT_EQ(0, xm_wrong_words((__u64 *)mine, LEN, 2));

	/* Nor does a stranger's. */
	self->child = fork();
	ASSERT_GE(self->child, 0);
	if (!self->child) {
		fd = open(NODE, O_RDWR);
		close(fd);
		_exit(fd < 0);
	}
	EXPECT_EQ(0, ended(self->child, XM_LONG));
	self->child = 0;
	EXPECT_EQ(PAGES, private_pages(self->fd, self->p, LEN));
	EXPECT_EQ(0, xm_wrong_words((__u64 *)self->p, LEN, 1));
}

/* Bug 8: an invalidation ends where it ends */

/* covers: T9 */
TEST_F(peer_bugs, invalidation_is_exact)
{
	char *two = xm_anon(2 * XM_PAGE);
	__u64 faults;

	ASSERT_NE(NULL, two);
	xm_fill_words((__u64 *)two, 2 * XM_PAGE, 6);
	ASSERT_EQ(0, call(self->fd, HMM_DMIRROR_READ, two, 2 * XM_PAGE, self->buf,
			  &faults));
	EXPECT_EQ(1, faults);
	ASSERT_EQ(0, call(self->fd, HMM_DMIRROR_READ, two, 2 * XM_PAGE, self->buf,
			  &faults));
	EXPECT_EQ(0, faults);
	ASSERT_EQ(0, mprotect(two, XM_PAGE, PROT_READ));
	ASSERT_EQ(0, call(self->fd, HMM_DMIRROR_READ, two + XM_PAGE, XM_PAGE,
			  self->buf, &faults));
	EXPECT_EQ(0, faults)
		TH_LOG("the page behind the changed one had to be faulted");
	ASSERT_EQ(0, call(self->fd, HMM_DMIRROR_READ, two, XM_PAGE, self->buf,
			  &faults));
	EXPECT_EQ(1, faults);
}

/* Bug 8: and a check of all of the address space ends at all */

/* covers: T15 */
TEST_F(peer_bugs, check_of_all_memory_ends)
{
	const size_t most = 1UL << 46;
	char *one = xm_anon(XM_PAGE);

	ASSERT_NE(NULL, one);
	*one = 1;
	EXPECT_EQ(0, call(self->fd, HMM_DMIRROR_CHECK_EXCLUSIVE, NULL, most, NULL, NULL));
	EXPECT_EQ(0, call(self->fd, HMM_DMIRROR_CHECK_EXCLUSIVE, NULL, ~(XM_PAGE - 1), NULL,
			  NULL));
	ASSERT_EQ(0, call(self->fd, HMM_DMIRROR_EXCLUSIVE, one, XM_PAGE, self->buf, NULL));
	EXPECT_EQ(-EPERM, call(self->fd, HMM_DMIRROR_CHECK_EXCLUSIVE, NULL,
			       ~(XM_PAGE - 1), NULL, NULL));
	*one = 2;
	EXPECT_EQ(0, call(self->fd, HMM_DMIRROR_CHECK_EXCLUSIVE, NULL, ~(XM_PAGE - 1), NULL,
			  NULL));
	/* It ends at the end of the range, in an interval where the device has been. */
	EXPECT_EQ(0, call(self->fd, HMM_DMIRROR_CHECK_EXCLUSIVE, one, XM_PAGE, NULL, NULL));
}

/* Bug 9: no memory */

/* covers: T4 */
TEST_F(peer_bugs, failed_allocations_do_no_harm)
{
	int nth = fail_nth_open(), fd, ret, hit = true, hits = 0, failed = 0;
	size_t len = 2 * XM_PMD, at;
	char *p = xm_anon_aligned(len, XM_PMD);
	void *buf = malloc(len);
	unsigned int n;

	if (nth == -ENOENT)
		XM_SKIP(return, FAIL_NTH_WHY);
	ASSERT_GE(nth, 0);
	ASSERT_NE(NULL, p);
	ASSERT_NE(NULL, buf);
	memset(buf, 0, len);
	madvise(p, len, MADV_HUGEPAGE);
	/* A migration makes some for each page: every other half as many again. */
	for (n = 1; hit; n += n / 2 + 1) {
		fd = open(NODE, O_RDWR);
		ASSERT_GE(fd, 0);
		ASSERT_EQ(0, madvise(p, len, MADV_DONTNEED));
		xm_fill_words((__u64 *)p, len, n);
		/* Large folios, and parts of them */
		at = n % 2 ? XM_PAGE : 0;
		ASSERT_EQ(0, fail_nth_arm(nth, n));
		ret = call(fd, HMM_DMIRROR_MIGRATE_TO_DEV, p + at, len - at, buf, NULL);
		hit = fail_nth_end(nth);
		ASSERT_LE(0, hit);
		hits += hit;
		failed += ret != 0;
		ASSERT_EQ(0, fail_nth_arm(nth, n));
		to_system(fd, p, len / 2);
		ASSERT_LE(0, fail_nth_end(nth));
		close(fd);
		ASSERT_EQ(0, xm_wrong_words((__u64 *)p, len, n));
	}
	TH_LOG("%d allocations failed, and %d migrations", hits, failed);
	EXPECT_NE(0, hits);
	/* And the end of a file, which brings all back */
	for (n = 1, hit = true; hit; n++) {
		fd = open(NODE, O_RDWR);
		ASSERT_GE(fd, 0);
		xm_fill_words((__u64 *)p, LEN, n);
		ASSERT_EQ(0, to_device(fd, p, LEN));
		ASSERT_EQ(0, fail_nth_arm(nth, n));
		close(fd);
		hit = fail_nth_end(nth);
		ASSERT_LE(0, hit);
		ASSERT_EQ(0, xm_wrong_words((__u64 *)p, LEN, n));
	}
	EXPECT_LT(2, n)
		TH_LOG("no allocation of close() failed");
	close(nth);
}

/* Bug 10: CPU faults on pages of a file that is being closed */

struct toucher {
	char *p;
	size_t pages;
	size_t wrong;
	size_t done;
};

static void *touch(void *arg)
{
	struct toucher *t = arg;
	size_t i;

	for (i = 0; i < t->pages; i++) {
		t->wrong += xm_wrong_words((__u64 *)(t->p + i * XM_PAGE),
					   XM_PAGE, 3 + i * XM_WORDS);
		XM_STORE(&t->done, i + 1);
	}
	return NULL;
}

/* covers: T1 */
TEST_F(peer_bugs, cpu_fault_races_with_close)
{
	size_t pages = 64, len = pages * XM_PAGE;
	char *p = xm_anon(len);

	ASSERT_NE(NULL, p);
	for (int i = 0; i < 100; i++) {
		struct toucher t = { .p = p, .pages = pages };
		int fd = open(NODE, O_RDWR);
		__u64 start = xm_now_ns();
		pthread_t thread;

		ASSERT_GE(fd, 0);
		xm_fill_words((__u64 *)p, len, 3);
		ASSERT_EQ(0, to_device(fd, p, len));
		ASSERT_EQ(0, pthread_create(&thread, NULL, touch, &t));
		/* The close comes after another number of faults in each round. */
		while (XM_LOAD(&t.done) < i % pages &&
		       !xm_expired(start, XM_LONG))
			sched_yield();
		close(fd);
		pthread_join(thread, NULL);
		ASSERT_EQ(0, t.wrong);
		ASSERT_EQ(pages, t.done);
	}
}

/* Bug 11: a forked process brings its page back, its parent's device watches */

TEST_F(peer_bugs, childs_fault_leaves_parent_alone)
{
	__u64 faults;

	self->child = fork();
	ASSERT_GE(self->child, 0);
	if (!self->child) {
		WAIT_FOR_GO();
		_exit(xm_wrong_words((__u64 *)self->p, LEN, 1) != 0);
	}
	/* Something else at the same address, which the device then maps. */
	ASSERT_EQ(self->p, mmap(self->p, LEN, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
				0));
	xm_fill_words((__u64 *)self->p, LEN, 20);
	ASSERT_EQ(0, call(self->fd, HMM_DMIRROR_READ, self->p, LEN, self->buf,
			  &faults));
	EXPECT_EQ(1, faults);
	SAY_GO();
	EXPECT_EQ(0, ended(self->child, XM_LONG));
	self->child = 0;
	ASSERT_EQ(0, call(self->fd, HMM_DMIRROR_READ, self->p, LEN, self->buf,
			  &faults));
	EXPECT_EQ(0, xm_wrong_words(self->buf, LEN, 20));
	EXPECT_EQ(0, faults)
		TH_LOG("another process took away what the device had mapped");
}

/* Bug 12: a page that KSM has merged, and goes on with */

/* covers: J.ksm */
TEST_F(peer_bugs, ksm_page_stays)
{
	char *p = xm_anon(3 * XM_PAGE);
	int ret;

	if (!xm_has_ksm())
		XM_SKIP(return, "no CONFIG_KSM");
	ASSERT_NE(NULL, p);
	xm_fill_words((__u64 *)p, XM_PAGE, 30);
	xm_fill_words((__u64 *)(p + XM_PAGE), XM_PAGE, 30);
	xm_fill_words((__u64 *)(p + 2 * XM_PAGE), XM_PAGE, 31);
	ASSERT_EQ(0, madvise(p, 2 * XM_PAGE, MADV_MERGEABLE));
	ASSERT_EQ(0, xm_ksm_scan(XM_LONG));
	ASSERT_EQ(xm_pfn(p), xm_pfn(p + XM_PAGE));
	ret = to_device(self->fd, p, XM_PAGE);
	EXPECT_TRUE(!ret || ret == -ENOENT);
	/* It looks for what is like this one, and at what it has merged for that. */
	ASSERT_EQ(0, madvise(p + 2 * XM_PAGE, XM_PAGE, MADV_MERGEABLE));
	ASSERT_EQ(0, xm_ksm_scan(XM_LONG));
	EXPECT_EQ(0, xm_wrong_words((__u64 *)p, XM_PAGE, 30));
	EXPECT_EQ(0, xm_wrong_words((__u64 *)(p + XM_PAGE), XM_PAGE, 30));
	EXPECT_EQ(0, xm_wrong_words((__u64 *)(p + 2 * XM_PAGE), XM_PAGE, 31));
}

TEST_HARNESS_MAIN
