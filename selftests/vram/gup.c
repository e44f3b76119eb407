// SPDX-License-Identifier: GPL-2.0
/*
 * System calls must not take references to a device's memory (GUP): it may be
 * revoked at any time, and the pages behind it, if there are any, are not the
 * kernel's. Each call that tries fails with its documented errno, and leaves no
 * reference.
 *
 * The unsafe tests map VRAM in a way that GUP does not recognise, by the module's
 * unsafe knob. They assert which calls take references then, on which kernels, and
 * that no other call does.
 *
 * covers: H.gup
 */
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/uio.h>

#include "gup.h"
#include "ring.h"
#include "test.h"
#include "vram.h"

#define LEN	XM_2M
#define BASE	(16 * XM_2M)
#define MARK	0x7672616d5f677570ULL	/* "vram_gup" */

#ifndef FUTEX_WAKE
#define FUTEX_WAKE	1
#endif
#define FUTEX_PRIVATE	128
#define F_NODE_ADDR	3	/* MPOL_F_NODE | MPOL_F_ADDR */

/**
 * struct grip - an attempt to get at a page
 * @p: the page
 * @fd: what holds it, or -1
 * @other: another file to close
 * @why: reason why it cannot be tried
 */
struct grip {
	char *p;
	int fd;
	int other;
	const char *why;
};

/* An attempt returns 0, a negative errno, or this: see @why. */
#define CANNOT	1

static int try_vmsplice(struct grip *g)
{
	struct iovec iov = { .iov_base = g->p, .iov_len = XM_PAGE };
	int fds[2];
	ssize_t n;

	if (pipe2(fds, O_CLOEXEC))
		return -errno;
	g->fd = fds[0];
	g->other = fds[1];
	n = vmsplice(fds[1], &iov, 1, 0);
	return n < 0 ? -errno : 0;
}

static int scratch_file(struct grip *g)
{
	const char *dir = getenv("XM_SCRATCH");
	char path[128];

	if (!dir) {
		g->why = "no disk: XM_SCRATCH is not set";
		return CANNOT;
	}
	snprintf(path, sizeof(path), "%s/vram_gup", dir);
	g->fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_DIRECT | O_CLOEXEC,
		     0600);
	if (g->fd < 0)
		return -errno;
	unlink(path);
	return 0;
}

/* A write of the page to disk. */
static int try_direct_write(struct grip *g)
{
	__u64 *back = xm_anon(XM_PAGE);
	int err = scratch_file(g);

	if (err || !back)
		return err ? err : -ENOMEM;
	if (pwrite(g->fd, g->p, XM_PAGE, 0) != XM_PAGE)
		err = -errno;
	else if (pread(g->fd, back, XM_PAGE, 0) != XM_PAGE || back[1] != MARK)
		err = -EIO;
	munmap(back, XM_PAGE);
	return err;
}

/* A read from disk of the data that the page has already */
static int try_direct_read(struct grip *g)
{
	char *data = xm_anon(XM_PAGE);
	int err = scratch_file(g);

	if (err || !data)
		return err ? err : -ENOMEM;
	memcpy(data, g->p, XM_PAGE);
	if (pwrite(g->fd, data, XM_PAGE, 0) != XM_PAGE)
		err = -EIO;
	else if (pread(g->fd, g->p, XM_PAGE, 0) != XM_PAGE)
		err = -errno;
	munmap(data, XM_PAGE);
	return err;
}

static int try_io_uring(struct grip *g)
{
	g->fd = xm_ring();
	if (g->fd < 0) {
		g->why = "no CONFIG_IO_URING, or sysctl kernel.io_uring_disabled";
		return CANNOT;
	}
	return xm_ring_pin(g->fd, g->p, XM_PAGE);
}

static int process_vm(struct grip *g, bool write)
{
	__u64 buf[4] = { 0, MARK };
	struct iovec local = { .iov_base = buf, .iov_len = sizeof(buf) };
	struct iovec remote = { .iov_base = g->p, .iov_len = sizeof(buf) };
	ssize_t n = write ?
		process_vm_writev(getpid(), &local, 1, &remote, 1, 0) :
		process_vm_readv(getpid(), &local, 1, &remote, 1, 0);

	if (n < 0)
		return -errno;
	return n == sizeof(buf) && buf[1] == MARK ? 0 : -EIO;
}

static int try_process_vm_readv(struct grip *g)
{
	return process_vm(g, false);
}

static int try_process_vm_writev(struct grip *g)
{
	return process_vm(g, true);
}

static int try_proc_mem(struct grip *g)
{
	__u64 buf[2];

	g->fd = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	if (g->fd < 0)
		return -errno;
	if (pread(g->fd, buf, sizeof(buf), (uintptr_t)g->p) < 0)
		return -errno;
	return buf[1] == MARK ? 0 : -EBADMSG;
}

static int try_mempolicy(struct grip *g)
{
	int node;

	return syscall(SYS_get_mempolicy, &node, NULL, 0, g->p, F_NODE_ADDR) ?
	       -errno : 0;
}

static int try_shared_futex(struct grip *g)
{
	return syscall(SYS_futex, g->p, FUTEX_WAKE, 1, NULL, NULL, 0) < 0 ?
	       -errno : 0;
}

/* The kernel's own test module reports no errno, only how much it got. */
static int kernel_gup(struct grip *g, unsigned long nr, __u32 flags)
{
	struct gup_test t = {
		.addr = (uintptr_t)g->p,
		.size = 4 * XM_PAGE,
		.nr_pages_per_call = 1,
		.gup_flags = flags,
	};

	g->fd = open(GUP_FILE, O_RDWR | O_CLOEXEC);
	if (g->fd < 0) {
		g->why = "no CONFIG_GUP_TEST";
		return CANNOT;
	}
	if (ioctl(g->fd, nr, &t))
		return -errno;
	return t.size == 4 * XM_PAGE ? 0 : t.size ? -EIO : -EFAULT;
}

static int try_gup_fast(struct grip *g)
{
	return kernel_gup(g, GUP_FAST, GUP_WRITE);
}

static int try_pin_fast(struct grip *g)
{
	return kernel_gup(g, PIN_FAST, GUP_WRITE);
}

static int try_gup_basic(struct grip *g)
{
	return kernel_gup(g, GUP_BASIC, GUP_WRITE);
}

static int try_pin_basic(struct grip *g)
{
	return kernel_gup(g, PIN_BASIC, GUP_WRITE);
}

static int try_pin_longterm(struct grip *g)
{
	return kernel_gup(g, PIN_LONGTERM, GUP_WRITE);
}

static int try_pin_longterm_read(struct grip *g)
{
	return kernel_gup(g, PIN_LONGTERM, 0);
}

static int try_gup(struct grip *g, char *p, int (*fn)(struct grip *g))
{
	*g = (struct grip){ .p = p, .fd = -1, .other = -1, .why = "?" };
	return fn(g);
}

static void let_go(struct grip *g)
{
	if (g->fd >= 0)
		close(g->fd);
	if (g->other >= 0)
		close(g->other);
}

/* Nothing is held; some calls put their references back a little later. */
static bool nothing_held(int fd)
{
	__u64 start = xm_now_ns();

	while (vram_refs(fd)) {
		if (xm_expired(start, XM_LONG))
			return false;
		sched_yield();
	}
	return true;
}

/* Memory with a mark in each page, with large entries or without */
static char *marked(int fd, bool huge)
{
	char *p = vram_map_huge(fd, LEN, BASE);

	for (size_t i = 0; p && i < LEN; i += XM_PAGE)
		XM_STORE((__u64 *)(p + i) + 1, MARK);
	if (!p || !(xm_page(fd, p).cpu & XMIRROR_CPU_HUGE) == huge)
		return NULL;
	return p;
}

FIXTURE(gup) {
	int fd;
	char *p;
};

FIXTURE_VARIANT(gup) {
	bool huge;
};

FIXTURE_VARIANT_ADD(gup, small) { .huge = false };
FIXTURE_VARIANT_ADD(gup, huge) { .huge = true };

FIXTURE_SETUP(gup)
{
	self->fd = -1;
	if (variant->huge)
		NEED(XMIRROR_CAP_VRAM_HUGE);
	OPEN(self->fd, 0);
	if (!variant->huge) {
		ASSERT_EQ(0, xm_set(self->fd, XMIRROR_SET_VRAM_GRANULE, XM_64K,
				    NULL));
	}
	self->p = marked(self->fd, variant->huge);
	ASSERT_NE(NULL, self->p);
	ASSERT_EQ(0, vram_refs(self->fd));
}

FIXTURE_TEARDOWN(gup)
{
	if (self->fd < 0)
		return;
	EXPECT_EQ(0, vram_refs(self->fd));
	close(self->fd);
}

/*
 * REFUSED: @fn fails with @err, at the first page, in the middle, at the last
 * page, and, as a PTE can be without one, before anything is mapped.
 */
#define REFUSED(err, fn) \
	do { \
		static const size_t at[] = { 0, 100 * XM_PAGE, \
					     LEN - 4 * XM_PAGE }; \
		__u64 faults = vram_faults(self->fd); \
		struct grip grip; \
		int refused_err; \
		for (size_t k = 0; k < 2 * ARRAY_SIZE(at); k++) { \
			size_t where = at[k % ARRAY_SIZE(at)]; \
			if (k == ARRAY_SIZE(at)) { \
				EXPECT_EQ(faults, vram_faults(self->fd)); \
				ASSERT_EQ(0, vram_do(self->fd, \
						     XMIRROR_VRAM_UNMAP, \
						     BASE, LEN, NULL)); \
			} \
			refused_err = try_gup(&grip, self->p + where, fn); \
			if (refused_err == CANNOT) { \
				let_go(&grip); \
				XM_SKIP(return, "%s", grip.why); \
			} \
			EXPECT_EQ(-(err), refused_err) \
				TH_LOG("page %zu: %s", where / XM_PAGE, \
				       strerror(-refused_err)); \
			EXPECT_EQ(0, vram_refs(self->fd)); \
			let_go(&grip); \
			EXPECT_EQ(0, vram_refs(self->fd)); \
		} \
		for (size_t k = 0; k < LEN; k += XM_PAGE) { \
			ASSERT_EQ(MARK, XM_LOAD((__u64 *)(self->p + k) + 1)); \
		} \
	} while (0)

TEST_F(gup, vmsplice)
{
	REFUSED(EFAULT, try_vmsplice);
}

TEST_F(gup, direct_write)
{
	REFUSED(EFAULT, try_direct_write);
}

TEST_F(gup, io_uring_buffers)
{
	REFUSED(EFAULT, try_io_uring);
}

TEST_F(gup, process_vm_readv)
{
	REFUSED(EFAULT, try_process_vm_readv);
}

TEST_F(gup, process_vm_writev)
{
	REFUSED(EFAULT, try_process_vm_writev);
}

TEST_F(gup, get_mempolicy)
{
	REFUSED(EFAULT, try_mempolicy);
}

TEST_F(gup, proc_self_mem)
{
	/* EIO stands for any memory that cannot be read. */
	REFUSED(EIO, try_proc_mem);
}

TEST_F(gup, gup_test_fast)
{
	REFUSED(EFAULT, try_gup_fast);
}

TEST_F(gup, gup_test_pin_fast)
{
	REFUSED(EFAULT, try_pin_fast);
}

TEST_F(gup, gup_test_basic)
{
	REFUSED(EFAULT, try_gup_basic);
}

TEST_F(gup, gup_test_pin_basic)
{
	REFUSED(EFAULT, try_pin_basic);
}

TEST_F(gup, gup_test_pin_longterm)
{
	REFUSED(EFAULT, try_pin_longterm);
}

TEST_F(gup, gup_test_pin_longterm_read)
{
	REFUSED(EFAULT, try_pin_longterm_read);
}

/* Without copying the result of the read, which would touch the page. */
TEST_F(gup, direct_read)
{
	struct grip g;
	int err;

	err = try_gup(&g, self->p, try_direct_read);
	let_go(&g);
	if (err == CANNOT)
		XM_SKIP(return, "%s", g.why);
	EXPECT_EQ(-EFAULT, err);
	EXPECT_EQ(0, vram_refs(self->fd));
	EXPECT_EQ(MARK, XM_LOAD((__u64 *)self->p + 1));
}

/* A shared futex is found by its page, a private one by its address. */
TEST_F(gup, futex)
{
	REFUSED(EFAULT, try_shared_futex);
	EXPECT_EQ(0, syscall(SYS_futex, self->p, FUTEX_WAKE | FUTEX_PRIVATE, 1,
			     NULL, NULL, 0));
	EXPECT_EQ(0, vram_refs(self->fd));
}

/* Plain copies work, in both directions. */
TEST_F(gup, copies_work)
{
	__u64 buf[2] = {};
	int fds[2];

	ASSERT_EQ(0, pipe2(fds, O_CLOEXEC));
	ASSERT_EQ(16, write(fds[1], self->p, 16));
	ASSERT_EQ(16, read(fds[0], buf, 16));
	EXPECT_EQ(MARK, buf[1]);
	buf[1] = 5;
	ASSERT_EQ(16, write(fds[1], buf, 16));
	ASSERT_EQ(16, read(fds[0], self->p, 16));
	EXPECT_EQ(5, XM_LOAD((__u64 *)self->p + 1));
	/* Also with the local side of process_vm_readv(). */
	buf[1] = 6;
	ASSERT_EQ(16, process_vm_readv(getpid(),
				       &(struct iovec){ self->p, 16 }, 1,
				       &(struct iovec){ buf, 16 }, 1, 0));
	EXPECT_EQ(6, XM_LOAD((__u64 *)self->p + 1));
	close(fds[0]);
	close(fds[1]);
}

/*
 * From here on the tests make mappings that no driver should make.
 *
 * mixed: VM_MIXEDMAP. The special bit, where a PMD has one, stops fast GUP only:
 *	the slow path looks at VM_PFNMAP and at PTEs, not at a huge entry
 *	(mm/gup.c: follow_huge_pmd(), Linux 6.12 to 7.3; follow_trans_huge_pmd()
 *	in 6.1).
 * huge: VM_PFNMAP without a special bit for PMDs (before 6.12). The slow path
 *	refuses the VMA, the fast one never sees it (6.1 mm/gup.c:
 *	gup_huge_pmd()).
 */
FIXTURE(gup_unsafe) {
	int fd;
	char *p;
};

FIXTURE_VARIANT(gup_unsafe) {
	int knob;
	const char *name;
};

FIXTURE_VARIANT_ADD(gup_unsafe, mixed) {
	.knob = XMIRROR_VRAM_UNSAFE_MIXED,
	.name = "2 MiB in VM_MIXEDMAP",
};

FIXTURE_VARIANT_ADD(gup_unsafe, huge) {
	.knob = XMIRROR_VRAM_UNSAFE_HUGE,
	.name = "2 MiB in VM_PFNMAP, no special bit",
};

FIXTURE_SETUP(gup_unsafe)
{
	int err;

	OPEN(self->fd, 0);
	err = xm_set(self->fd, XMIRROR_SET_VRAM_UNSAFE, variant->knob, NULL);
	if (err == -EOPNOTSUPP)
		XM_SKIP(return, "%s", xm_caps() & XMIRROR_CAP_VRAM_HUGE ?
		     "PMDs have a special bit (Linux 6.12): there is no other way" :
		     "no CONFIG_TRANSPARENT_HUGEPAGE");
	ASSERT_EQ(0, err);
	self->p = marked(self->fd, true);
	ASSERT_NE(NULL, self->p);
	ASSERT_EQ(0, vram_refs(self->fd));
}

FIXTURE_TEARDOWN(gup_unsafe)
{
	/* Drop all references. */
	EXPECT_TRUE(nothing_held(self->fd));
	EXPECT_EQ(0, xm_set(self->fd, XMIRROR_SET_VRAM_UNSAFE, 0, NULL));
	close(self->fd);
}

/**
 * enum path - how a call gets at a page
 * @FAST: by walking the page table without locks, and if that fails as SLOW
 * @SLOW: by looking at the VMA first
 * @PIN_WRITE: as SLOW, to write, for good (FOLL_LONGTERM)
 * @IO_URING: registration of a buffer
 */
enum path {
	FAST,
	SLOW,
	PIN_WRITE,
	IO_URING,
};

/* The result that is expected on this kernel */
static int outcome(int knob, enum path path)
{
	bool slow_takes = knob == XMIRROR_VRAM_UNSAFE_MIXED;

	switch (path) {
	case FAST:
		return 0;
	case SLOW:
		return slow_takes ? 0 : -EFAULT;
	case PIN_WRITE:
		/*
		 * Since v6.5 a mapping with ->pfn_mkwrite(), such as ours, is
		 * refused (mm/gup.c: writable_file_mapping_allowed()).
		 */
		return slow_takes && xm_kver() < XM_KVER(6, 5) ? 0 : -EFAULT;
	default:
		/* Before, io_pin_pages() refused all file mappings. */
		return slow_takes && xm_kver() < XM_KVER(6, 5) ? -EOPNOTSUPP :
								 -EFAULT;
	}
}

/**
 * TAKEN: @fn works on a page, or not, as @path says, and keeps the page or not,
 * as @held says. In Linux 6.1 and 6.12 direct I/O lets go of pages when it has told so.
 */
#define TAKEN(what, path, held, fn) \
	do { \
		int expected = outcome(variant->knob, path); \
		struct grip grip; \
		int taken_err = try_gup(&grip, self->p + 5 * XM_PAGE, fn); \
		__u64 refs = (held) || !nothing_held(self->fd) ? \
			     vram_refs(self->fd) : 0; \
		let_go(&grip); \
		if (taken_err == CANNOT) \
			XM_SKIP(return, "%s", grip.why); \
		EXPECT_TRUE(nothing_held(self->fd)); \
		EXPECT_EQ(expected, taken_err); \
		EXPECT_EQ(!expected && (held), refs != 0); \
		if (!expected) { \
			TH_LOG("%s takes VRAM (%s): count +%llu", (what), \
			       variant->name, refs); \
		} \
	} while (0)

TEST_F(gup_unsafe, vmsplice)
{
	TAKEN("vmsplice()", FAST, true, try_vmsplice);
}

TEST_F(gup_unsafe, direct_write)
{
	TAKEN("write() with O_DIRECT", FAST, false, try_direct_write);
}

TEST_F(gup_unsafe, direct_read)
{
	TAKEN("read() with O_DIRECT", FAST, false, try_direct_read);
}

TEST_F(gup_unsafe, io_uring_buffers)
{
	TAKEN("io_uring", IO_URING, true, try_io_uring);
}

TEST_F(gup_unsafe, process_vm_readv)
{
	TAKEN("process_vm_readv()", SLOW, false, try_process_vm_readv);
}

TEST_F(gup_unsafe, process_vm_writev)
{
	TAKEN("process_vm_writev()", SLOW, false, try_process_vm_writev);
}

TEST_F(gup_unsafe, get_mempolicy)
{
	TAKEN("get_mempolicy()", FAST, false, try_mempolicy);
}

TEST_F(gup_unsafe, gup_test_fast)
{
	TAKEN("get_user_pages_fast()", FAST, false, try_gup_fast);
}

TEST_F(gup_unsafe, gup_test_pin_longterm)
{
	TAKEN("pin_user_pages(FOLL_LONGTERM | FOLL_WRITE)", PIN_WRITE, false,
	      try_pin_longterm);
}

TEST_F(gup_unsafe, gup_test_pin_longterm_read)
{
	TAKEN("pin_user_pages(FOLL_LONGTERM)", SLOW, false,
	      try_pin_longterm_read);
}

/*
 * The consequence: the device revoked its memory and gave it to another client, and
 * the first one reads that client's secret from its pipe.
 */
TEST_F(gup_unsafe, reads_what_it_lost)
{
	struct grip g;
	__u64 buf[2];
	char *q;
	int fd;

	ASSERT_EQ(0, try_gup(&g, self->p, try_vmsplice));
	ASSERT_EQ(0, munmap(self->p, LEN));
	ASSERT_EQ(0, vram_do(self->fd, XMIRROR_VRAM_UNMAP, BASE, LEN, NULL));
	EXPECT_NE(0, vram_refs(self->fd));
	OPEN(fd, 0);
	q = vram_map(fd, XM_PAGE, BASE, 0);
	ASSERT_NE(NULL, q);
	XM_STORE((__u64 *)q + 1, 0x5ec7e7);
	ASSERT_EQ(sizeof(buf), read(g.fd, buf, sizeof(buf)));
	XM_STORE((__u64 *)q + 1, MARK);
	let_go(&g);
	close(fd);
	EXPECT_TRUE(nothing_held(self->fd));
	EXPECT_EQ(0x5ec7e7, buf[1]);
}

TEST_HARNESS_MAIN
