// SPDX-License-Identifier: GPL-2.0
/*
 * Ranges that a call cannot work on, or only in part: it says so with the errno
 * that uapi/linux/xmirror.h gives, and how far it came.
 */
#include <signal.h>
#include <sys/auxv.h>
#include <sys/syscall.h>

#include "uffd.h"
#include "fixture.h"

static struct xmirror_page seen[PAGES];

static const unsigned long range_calls[] = {
	XMIRROR_IOC_FAULT,
	XMIRROR_IOC_EXCLUSIVE,
	XMIRROR_IOC_RELEASE,
	XMIRROR_IOC_SNAPSHOT,
};

static int range_call(int fd, unsigned long nr, __u64 addr, __u64 length,
		      __u64 *done)
{
	union {
		struct xmirror_range range;
		struct xmirror_snapshot snapshot;
	} u = {};
	int err;

	if (nr == XMIRROR_IOC_SNAPSHOT) {
		u.snapshot.size = sizeof(u.snapshot);
		u.snapshot.addr = addr;
		u.snapshot.length = length;
		u.snapshot.pages = (uintptr_t)seen;
	} else {
		u.range.size = sizeof(u.range);
		u.range.addr = addr;
		u.range.length = length;
		u.range.done = 77;
	}
	err = xm_ioctl(fd, nr, &u);
	*done = nr == XMIRROR_IOC_SNAPSHOT ? u.snapshot.done : u.range.done;
	return err;
}

/* covers: T8 */
TEST_F(uapi, bad_ranges)
{
	__u64 p = (uintptr_t)self->p;
	const struct {
		__u64 addr;
		__u64 length;
		int err;
	} bad[] = {
		{ p + 1, XM_PAGE, -EINVAL },
		{ p + 8, XM_PAGE, -EINVAL },
		{ p + XM_PAGE - 1, XM_PAGE, -EINVAL },
		{ p, 1, -EINVAL },
		{ p, XM_PAGE - 1, -EINVAL },
		{ p, XM_PAGE + 8, -EINVAL },
		{ p, 0, -EINVAL },
		{ 0, 0, -EINVAL },
		/* wraps */
		{ p, -XM_PAGE, -EINVAL },
		{ p, ~0ULL & ~(XM_PAGE - 1), -EINVAL },
		{ -XM_PAGE, 2 * XM_PAGE, -EINVAL },
		{ 1ULL << 63, 1ULL << 63 | XM_PAGE, -EINVAL },
		/* past the end of user space, with five levels too */
		{ 1ULL << 56, XM_PAGE, -EFAULT },
		{ 1ULL << 63, XM_PAGE, -EFAULT },
		{ 0xffff800000000000ULL, XM_PAGE, -EFAULT },
		{ -2 * XM_PAGE, XM_PAGE, -EFAULT },
		{ p, (1ULL << 56) - p, -EFAULT },
		{ p, 1ULL << 62, -EFAULT },
		{ 0, 1ULL << 57, -EFAULT },
	};
	__u64 done;
	size_t i, n;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		for (n = 0; n < ARRAY_SIZE(range_calls); n++) {
			EXPECT_EQ(bad[i].err,
				  range_call(self->fd, range_calls[n],
					     bad[i].addr, bad[i].length,
					     &done)) {
				TH_LOG("ioctl %#lx, %#llx + %#llx",
				       range_calls[n], bad[i].addr,
				       bad[i].length);
			}
			EXPECT_EQ(0, done);
		}
	}
	EXPECT_UNCHANGED(&self->before);
}

/* A range of nearly all of user space ends at the first hole, without much ado before. */
/* covers: T8 */
TEST_F(uapi, huge_fault)
{
	__u64 length = xm_user_end() - (uintptr_t)self->p, done;

	EXPECT_EQ(-EFAULT, xm_fault(self->fd, self->p, length, 0, &done));
	EXPECT_EQ(SIZE, done);
	EXPECT_NE(0, xm_page(self->fd, self->p + SIZE - XM_PAGE).dev &
		     XMIRROR_PTE_VALID);
	EXPECT_EQ(-EFAULT, xm_fault(self->fd, (void *)XM_PAGE,
				    xm_user_end(), XMIRROR_FAULT_WRITE,
				    &done));
	EXPECT_EQ(0, done);
}

/* covers: T8 */
TEST_F(uapi, huge_exclusive)
{
	__u64 length = xm_user_end() - (uintptr_t)self->p, done;

	NEED(XMIRROR_CAP_EXCLUSIVE);
	EXPECT_EQ(-EFAULT, xm_exclusive(self->fd, self->p, length, &done));
	EXPECT_EQ(SIZE, done);
	EXPECT_EQ(PAGES, xm_count_exclusive(self->p, SIZE));
}

/* covers: T8 */
TEST_F(uapi, huge_release)
{
	__u64 done;

	if (xm_caps() & XMIRROR_CAP_EXCLUSIVE) {
		EXPECT_EQ(0, xm_exclusive(self->fd, self->p, SIZE, NULL));
		EXPECT_EQ(PAGES, xm_count_exclusive(self->p, SIZE));
	}
	/* Holes are not exclusive, so they count as done. */
	EXPECT_EQ(0, xm_release(self->fd, (void *)XM_PAGE, xm_user_end(),
				&done));
	EXPECT_EQ(xm_user_end(), done);
	EXPECT_EQ(0, xm_count_exclusive(self->p, SIZE));
}

/* covers: T8 */
TEST_F(uapi, huge_snapshot)
{
	struct xmirror_snapshot s = {
		.size = sizeof(s),
		.addr = (uintptr_t)self->p,
		.length = xm_user_end() - (uintptr_t)self->p,
		/* room for as many as fit into a page, then the guard */
		.pages = (uintptr_t)self->p + SIZE - XM_PAGE,
	};
	__u64 room = XM_PAGE / sizeof(struct xmirror_page);
	struct xmirror_page *pages = (void *)(self->p + SIZE - XM_PAGE);

	EXPECT_EQ(-EFAULT, xm_ioctl(self->fd, XMIRROR_IOC_SNAPSHOT, &s));
	EXPECT_LE(s.done, room * XM_PAGE);
	EXPECT_EQ(0, s.done % XM_PAGE);
	/* The copy to the guard may end a few bytes early. */
	EXPECT_LT(XM_PAGE, s.done);
	EXPECT_EQ(xm_pfn(self->p), pages[0].cpu_pfn);
	EXPECT_EQ(xm_pfn(self->p + XM_PAGE), pages[1].cpu_pfn);
}

/* Memory that the device cannot have */

/* covers: E18 */
TEST_F(uapi, unmapped)
{
	struct xmirror_page page;
	char *hole = self->p + 4 * XM_PAGE;
	__u64 done;

	ASSERT_EQ(0, munmap(hole, XM_PAGE));
	page = xm_page(self->fd, hole);
	ASSERT_EQ(XMIRROR_CPU_HOLE, page.cpu);

	EXPECT_EQ(-EFAULT, xm_fault(self->fd, hole, XM_PAGE, 0, &done));
	EXPECT_EQ(0, done);
	EXPECT_EQ(-EFAULT, xm_fault(self->fd, self->p, SIZE,
				    XMIRROR_FAULT_WRITE, &done));
	EXPECT_EQ(4 * XM_PAGE, done);
	EXPECT_LEAF(self->fd, self->p + 3 * XM_PAGE, LEAF_WRITE);
	EXPECT_LEAF(self->fd, self->p + 5 * XM_PAGE, LEAF_NONE);

	NEED(XMIRROR_CAP_EXCLUSIVE);
	EXPECT_EQ(-EFAULT, xm_exclusive(self->fd, hole, XM_PAGE, &done));
	EXPECT_EQ(0, done);
	EXPECT_EQ(-EFAULT, xm_exclusive(self->fd, self->p, SIZE, &done));
	EXPECT_EQ(4 * XM_PAGE, done);
	EXPECT_EQ(4, xm_count_exclusive(self->p, SIZE));
	EXPECT_EQ(-EFAULT, xm_add(self->fd, hole, 1));
	EXPECT_EQ(0, xm_release(self->fd, self->p, SIZE, &done));
	EXPECT_EQ(SIZE, done);
	EXPECT_EQ(0, xm_count_exclusive(self->p, SIZE));
}

TEST_F(uapi, prot_none)
{
	char *none = self->p + 4 * XM_PAGE, buf[8];
	__u64 done;

	ASSERT_EQ(0, mprotect(none, XM_PAGE, PROT_NONE));
	EXPECT_EQ(-EFAULT, xm_fault(self->fd, none, XM_PAGE, 0, &done));
	EXPECT_EQ(0, done);
	EXPECT_EQ(-EFAULT, xm_fault(self->fd, self->p, SIZE, 0, &done));
	EXPECT_EQ(4 * XM_PAGE, done);
	EXPECT_EQ(-EFAULT, xm_read(self->fd, none, buf, sizeof(buf)));
	EXPECT_EQ(-EFAULT, xm_op(self->fd, XMIRROR_OP_LOAD, 8, none, 0, NULL));
	EXPECT_LEAF(self->fd, none, LEAF_NONE);
	if (xm_caps() & XMIRROR_CAP_EXCLUSIVE) {
		EXPECT_EQ(-EFAULT, xm_exclusive(self->fd, self->p, SIZE, &done));
		EXPECT_EQ(4 * XM_PAGE, done);
		EXPECT_EQ(-EFAULT, xm_add(self->fd, none, 1));
	}
	ASSERT_EQ(0, mprotect(none, XM_PAGE, PROT_READ));
	EXPECT_EQ(0x5a, *none);
}

TEST_F(uapi, read_only)
{
	char *ro = self->p + 4 * XM_PAGE, buf[8] = {};
	__u64 done;

	ASSERT_EQ(0, mprotect(ro, XM_PAGE, PROT_READ));
	EXPECT_EQ(-EPERM, xm_fault(self->fd, ro, XM_PAGE, XMIRROR_FAULT_WRITE,
				   &done));
	EXPECT_EQ(0, done);
	EXPECT_EQ(-EPERM, xm_fault(self->fd, self->p, SIZE,
				   XMIRROR_FAULT_WRITE, &done));
	EXPECT_EQ(4 * XM_PAGE, done);
	EXPECT_EQ(-EPERM, xm_write(self->fd, ro, buf, sizeof(buf)));
	EXPECT_EQ(-EPERM, xm_op(self->fd, XMIRROR_OP_STORE, 8, ro, 0, NULL));
	EXPECT_LEAF(self->fd, ro, LEAF_NONE);
	if (xm_caps() & XMIRROR_CAP_EXCLUSIVE) {
		EXPECT_EQ(-EPERM, xm_exclusive(self->fd, ro, XM_PAGE, &done));
		EXPECT_EQ(0, done);
		EXPECT_EQ(-EPERM, xm_exclusive(self->fd, self->p, SIZE, &done));
		EXPECT_EQ(4 * XM_PAGE, done);
		EXPECT_EQ(-EPERM, xm_add(self->fd, ro, 1));
		EXPECT_FALSE(xm_is_exclusive(ro));
	}
	/* Reading is fine. */
	EXPECT_EQ(0, xm_fault(self->fd, self->p, SIZE, 0, &done));
	EXPECT_EQ(SIZE, done);
	EXPECT_EQ(0, xm_read(self->fd, ro, buf, sizeof(buf)));
	EXPECT_EQ(0x5a, buf[0]);
	EXPECT_EQ(0x5a, *ro);
}

/*
 * Memory that is not in the direct map is out of reach for this device, beside an
 * access, too, and stays where it is. covers: R22
 */
TEST_F(uapi, secret_memory)
{
	__u64 *secret = (__u64 *)(self->p + XM_PAGE), moved = 1, word, done;
	int file = syscall(SYS_memfd_secret, 0);

	if (file < 0)
		XM_SKIP(return, "no CONFIG_SECRETMEM, or secretmem.enable=0");
	ASSERT_EQ(0, ftruncate(file, XM_PAGE));
	ASSERT_EQ(secret, mmap(secret, XM_PAGE, PROT_READ | PROT_WRITE,
			       MAP_SHARED | MAP_FIXED, file, 0));
	close(file);
	*secret = 7;

	EXPECT_EQ(-EFAULT, xm_read(self->fd, secret, &word, sizeof(word)));
	EXPECT_EQ(-EFAULT, xm_op(self->fd, XMIRROR_OP_STORE, 8, secret, 1,
				 NULL));
	EXPECT_EQ(-EFAULT, xm_fault(self->fd, self->p, SIZE, 0, &done));
	EXPECT_EQ(XM_PAGE, done);
	ASSERT_EQ(0, xm_set(self->fd, XMIRROR_SET_GRANULE, XM_2M, NULL));
	EXPECT_EQ(0, xm_read(self->fd, self->p, &word, sizeof(word)));
	EXPECT_EQ(XMIRROR_PTE_VALID, xm_page(self->fd, self->p).dev &
				     XMIRROR_PTE_VALID);
	EXPECT_EQ(0, xm_page(self->fd, secret).dev);
	if (xm_caps() & XMIRROR_CAP_PRIVATE) {
		EXPECT_EQ(0, xm_migrate(self->fd, (char *)secret, XM_PAGE, 0, 0,
					&moved));
		EXPECT_EQ(0, moved);
	}
	EXPECT_EQ(7, *secret);
}

/* A page that the kernel has mapped itself */
TEST_F(uapi, migrate_vdso)
{
	char *vdso = (char *)getauxval(AT_SYSINFO_EHDR);
	__u64 moved;

	NEED(XMIRROR_CAP_PRIVATE);
	if (!vdso)
		XM_SKIP(return, "no vDSO");
	EXPECT_EQ(-EOPNOTSUPP, xm_migrate(self->fd, vdso, XM_PAGE, 0, 0,
					  &moved));
}

static int no_exclusive(int fd, char *p, size_t len)
{
	__u64 done = 1;
	int err = xm_exclusive(fd, p, len, &done);

	return err == -EOPNOTSUPP && done ? -EIO : err;
}

/* Exclusive access is for private anonymous memory. */
/* covers: A.errors */
TEST_F(uapi, exclusive_shared)
{
	int memfd = memfd_create("xmirror", MFD_CLOEXEC);
	char *shared = xm_shared(SIZE), *file;

	NEED(XMIRROR_CAP_EXCLUSIVE);
	ASSERT_NE(NULL, shared);
	ASSERT_GE(memfd, 0);
	ASSERT_EQ(0, ftruncate(memfd, SIZE));
	file = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
	ASSERT_NE(MAP_FAILED, file);
	memset(shared, 1, SIZE);
	memset(file, 2, SIZE);

	EXPECT_EQ(-EOPNOTSUPP, no_exclusive(self->fd, shared, SIZE));
	EXPECT_EQ(-EOPNOTSUPP, no_exclusive(self->fd, file, SIZE));
	EXPECT_EQ(-EOPNOTSUPP, xm_add(self->fd, shared, 1));
	EXPECT_EQ(-EOPNOTSUPP, xm_add(self->fd, file, 1));
	EXPECT_EQ(0, xm_count_exclusive(shared, SIZE));
	EXPECT_EQ(0, xm_count_exclusive(file, SIZE));
	EXPECT_EQ(1, *shared);
	EXPECT_EQ(2, *file);
	/* Loads and stores work. */
	EXPECT_EQ(0, xm_op(self->fd, XMIRROR_OP_STORE, 1, shared, 3, NULL));
	EXPECT_EQ(0, xm_op(self->fd, XMIRROR_OP_STORE, 1, file, 4, NULL));
	EXPECT_EQ(3, *shared);
	EXPECT_EQ(4, *file);
	close(memfd);
}

/* covers: T6, A.errors */
TEST_F(uapi, exclusive_mixed)
{
	__u64 done;

	NEED(XMIRROR_CAP_EXCLUSIVE);
	ASSERT_EQ(self->p + 2 * XM_PAGE,
		  mmap(self->p + 2 * XM_PAGE, XM_PAGE, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	EXPECT_EQ(-EOPNOTSUPP, xm_exclusive(self->fd, self->p, SIZE, &done));
	EXPECT_EQ(2 * XM_PAGE, done);
	EXPECT_EQ(2, xm_count_exclusive(self->p, SIZE));
}

static char *hugetlb(void)
{
	char *p = mmap(NULL, XM_PMD, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

/* covers: E2, A.errors */
TEST_F(uapi, exclusive_hugetlb)
{
	char *huge = hugetlb();

	NEED(XMIRROR_CAP_EXCLUSIVE);
	if (!huge)
		XM_SKIP(return, "no hugetlb page: %s", strerror(errno));
	memset(huge, 1, XM_PMD);
	EXPECT_EQ(-EOPNOTSUPP, no_exclusive(self->fd, huge, XM_PAGE));
	EXPECT_EQ(-EOPNOTSUPP, no_exclusive(self->fd, huge + XM_PAGE, XM_PAGE));
	EXPECT_EQ(-EOPNOTSUPP, no_exclusive(self->fd, huge, XM_PMD));
	EXPECT_EQ(-EOPNOTSUPP, xm_add(self->fd, huge + 8, 1));
	EXPECT_EQ(1, huge[8]);
	huge[8] = 2;
	munmap(huge, XM_PMD);
}

/* The private copy of a file's page is as anonymous as any. */
/* covers: A.errors */
TEST_F(uapi, exclusive_private_file)
{
	int memfd = memfd_create("xmirror", MFD_CLOEXEC);
	char *file, byte = 0;
	__u64 *word;

	NEED(XMIRROR_CAP_EXCLUSIVE);
	ASSERT_GE(memfd, 0);
	ASSERT_EQ(0, ftruncate(memfd, XM_PAGE));
	ASSERT_EQ(1, pwrite(memfd, "\5", 1, 0));
	file = mmap(NULL, XM_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, memfd,
		    0);
	ASSERT_NE(MAP_FAILED, file);
	word = (__u64 *)file;
	EXPECT_EQ(5, *word);
	EXPECT_EQ(0, xm_add(self->fd, word, 1));
	EXPECT_TRUE(xm_is_exclusive(word));
	EXPECT_EQ(6, *word);
	EXPECT_EQ(1, pread(memfd, &byte, 1, 0));
	EXPECT_EQ(5, byte);
	close(memfd);
}

/* A page of a large folio */
/* covers: A.errors, G.one_page */
TEST_F(uapi, exclusive_thp)
{
	char *huge;
	__u64 *word;

	NEED(XMIRROR_CAP_EXCLUSIVE);
	huge = xm_thp(self->fd, 0);
	if (!huge)
		XM_SKIP(return, "%s", xm_why_no_thp());
	word = (__u64 *)(huge + 5 * XM_PAGE);
	*word = 41;
	if (!(xm_caps() & XMIRROR_CAP_EXCLUSIVE_LARGE)) {
		EXPECT_EQ(-EOPNOTSUPP, no_exclusive(self->fd, huge, XM_PMD));
		EXPECT_EQ(-EOPNOTSUPP,
			  no_exclusive(self->fd, (char *)word, XM_PAGE));
		EXPECT_EQ(-EOPNOTSUPP, xm_add(self->fd, word, 1));
		EXPECT_EQ(0, xm_count_exclusive(huge, XM_PMD));
		EXPECT_EQ(41, *word);
		return;
	}
	EXPECT_EQ(0, xm_add(self->fd, word, 1));
	EXPECT_EQ(1, xm_count_exclusive(huge, XM_PMD));
	EXPECT_TRUE(xm_is_exclusive(word));
	EXPECT_LEAF(self->fd, word, LEAF_EXCL);
	EXPECT_EQ(42, *word);
	EXPECT_EQ(0, xm_count_exclusive(huge, XM_PMD));
	/* All of it, page by page of one folio. */
	EXPECT_EQ(0, xm_exclusive(self->fd, huge, XM_PMD, NULL));
	EXPECT_EQ(XM_PMD_PAGES, xm_count_exclusive(huge, XM_PMD));
	EXPECT_EQ(0, xm_add(self->fd, word, 1));
	EXPECT_EQ(43, *word);
	EXPECT_EQ(XM_PMD_PAGES - 1, xm_count_exclusive(huge, XM_PMD));
}

/* XMIRROR_EXCLUSIVE_BARE is one VMA's, and one page's if it is late. */
TEST_F(uapi, bare_exclusive_stays_in_its_mapping)
{
	struct xmirror_range r = {
		.size = sizeof(r),
		.flags = XMIRROR_EXCLUSIVE_BARE,
		.addr = (uintptr_t)self->p,
		.length = SIZE,
		.done = 77,
	};
	struct xmirror_range late = {
		.size = sizeof(late),
		.flags = XMIRROR_EXCLUSIVE_BARE | XMIRROR_EXCLUSIVE_LATE,
		.addr = (uintptr_t)self->p,
		.length = 2 * XM_PAGE,
		.done = 77,
	};

	NEED(XMIRROR_CAP_EXCLUSIVE);
	/* Behind it is one that could be made exclusive just as well. */
	ASSERT_EQ(0, mprotect(self->p + SIZE / 2, SIZE / 2, PROT_READ |
			      PROT_WRITE | PROT_EXEC));
	EXPECT_EQ(-EFAULT, xm_ioctl(self->fd, XMIRROR_IOC_EXCLUSIVE, &r));
	EXPECT_EQ(0, r.done);
	EXPECT_EQ(-EINVAL, xm_ioctl(self->fd, XMIRROR_IOC_EXCLUSIVE, &late));
	EXPECT_EQ(0, late.done);
	EXPECT_EQ(0, xm_count_exclusive(self->p, SIZE));
	r.length = SIZE / 2;
	EXPECT_EQ(0, xm_ioctl(self->fd, XMIRROR_IOC_EXCLUSIVE, &r));
	EXPECT_EQ(SIZE / 2, r.done);
	EXPECT_EQ(PAGES / 2, xm_count_exclusive(self->p, SIZE));
}

/* A call whose struct is in a page that a userfaultfd has yet to fill */
static int work_late_fault(struct worker *w)
{
	return xm_ioctl(w->fd, XMIRROR_IOC_FAULT, w->addr);
}

static unsigned int signals;

static void count_signal(int nr)
{
	(void)nr;
	__atomic_add_fetch(&signals, 1, __ATOMIC_SEQ_CST);
}

/*
 * The first call of a process registers a notifier, which any pending signal keeps
 * mm_take_all_locks() from. Nobody is to see that.
 */
TEST_F(uapi, signal_at_the_first_call)
{
	struct worker w = { .fn = work_late_fault, .fd = self->fd };
	struct sigaction act = { .sa_handler = count_signal };
	struct xmirror_range *range = xm_anon(XM_PAGE);
	int uffd = xm_uffd(0);

	if (uffd < 0)
		XM_SKIP(return, "no CONFIG_USERFAULTFD");
	ASSERT_NE(NULL, range);
	range->size = sizeof(*range);
	range->addr = (uintptr_t)self->p;
	range->length = XM_PAGE;
	w.addr = xm_anon(XM_PAGE);
	ASSERT_NE(NULL, w.addr);
	ASSERT_EQ(0, xm_uffd_register(uffd, w.addr, XM_PAGE,
				      UFFDIO_REGISTER_MODE_MISSING));
	ASSERT_EQ(0, sigaction(SIGUSR1, &act, NULL));
	ASSERT_EQ(0, worker_start(&w));
	ASSERT_EQ(0, xm_uffd_wait(uffd));
	ASSERT_EQ(0, pthread_kill(w.thread, SIGUSR1));
	/* It is in the kernel until the page is there. */
	EXPECT_EQ(0, signals);
	ASSERT_EQ(0, xm_uffd_fill(uffd, w.addr, range));
	EXPECT_EQ(0, worker_join(&w));
	EXPECT_EQ(1, signals);
	EXPECT_EQ(XM_PAGE, ((struct xmirror_range *)w.addr)->done);
	close(uffd);
}

TEST_HARNESS_MAIN
