// SPDX-License-Identifier: GPL-2.0
/*
 * Atomics: every operation in every width does what C does, results come back,
 * and the page is exclusive to the device for as long as it should be.
 */
#include "libtest.h"

static const char * const op_names[XMIRROR_OP_NR] = {
	[XMIRROR_OP_LOAD] = "load", [XMIRROR_OP_STORE] = "store",
	[XMIRROR_OP_ADD] = "add", [XMIRROR_OP_SUB] = "sub",
	[XMIRROR_OP_AND] = "and", [XMIRROR_OP_OR] = "or",
	[XMIRROR_OP_XOR] = "xor", [XMIRROR_OP_MIN] = "min",
	[XMIRROR_OP_MAX] = "max", [XMIRROR_OP_UMIN] = "umin",
	[XMIRROR_OP_UMAX] = "umax", [XMIRROR_OP_XCHG] = "xchg",
	[XMIRROR_OP_CMPXCHG] = "cmpxchg",
};

static __u64 mask(unsigned int width)
{
	return ~0ULL >> (64 - 8 * width);
}

static __s64 sign_extend(__u64 v, unsigned int width)
{
	return (__s64)(v << (64 - 8 * width)) >> (64 - 8 * width);
}

/* What @op leaves of @old */
static __u64 model(enum xmirror_op op, unsigned int width, __u64 old,
		   __u64 operand, __u64 compare)
{
	__s64 sold, sop;
	__u64 val = old;

	operand &= mask(width);
	compare &= mask(width);
	sold = sign_extend(old, width);
	sop = sign_extend(operand, width);
	switch (op) {
	case XMIRROR_OP_STORE:
	case XMIRROR_OP_XCHG:
		val = operand;
		break;
	case XMIRROR_OP_ADD:
		val = old + operand;
		break;
	case XMIRROR_OP_SUB:
		val = old - operand;
		break;
	case XMIRROR_OP_AND:
		val = old & operand;
		break;
	case XMIRROR_OP_OR:
		val = old | operand;
		break;
	case XMIRROR_OP_XOR:
		val = old ^ operand;
		break;
	case XMIRROR_OP_MIN:
		val = sop < sold ? operand : old;
		break;
	case XMIRROR_OP_MAX:
		val = sop > sold ? operand : old;
		break;
	case XMIRROR_OP_UMIN:
		val = operand < old ? operand : old;
		break;
	case XMIRROR_OP_UMAX:
		val = operand > old ? operand : old;
		break;
	case XMIRROR_OP_CMPXCHG:
		val = old == compare ? operand : old;
		break;
	default:
		break;
	}
	return val & mask(width);
}

static __u64 get(const unsigned char *p, unsigned int width)
{
	__u64 v = 0;

	memcpy(&v, p, width);
	return v;
}

FIXTURE(atomics) {
	int fd;
	unsigned char *p;
};

#define PAGES	16UL
#define SIZE	(PAGES * XM_PAGE)

FIXTURE_SETUP(atomics)
{
	OPEN(self->fd, 0);
	self->p = xm_anon(SIZE);
	ASSERT_NE(NULL, self->p);
	NEED(XMIRROR_CAP_EXCLUSIVE);
}

FIXTURE_TEARDOWN(atomics)
{
	EXPECT_CLEAN(self->fd);
	close(self->fd);
}

/*
 * Every operation and width, on the values at which something could go wrong
 */

FIXTURE(ops) {
	int fd;
	unsigned char *p;
};

FIXTURE_VARIANT(ops) {
	unsigned int width;
};

FIXTURE_VARIANT_ADD(ops, w8) { .width = 1 };
FIXTURE_VARIANT_ADD(ops, w16) { .width = 2 };
FIXTURE_VARIANT_ADD(ops, w32) { .width = 4 };
FIXTURE_VARIANT_ADD(ops, w64) { .width = 8 };

FIXTURE_SETUP(ops)
{
	OPEN(self->fd, 0);
	self->p = xm_anon(SIZE);
	ASSERT_NE(NULL, self->p);
}

FIXTURE_TEARDOWN(ops)
{
	EXPECT_CLEAN(self->fd);
	close(self->fd);
}

/* Values to combine; the upper ones are cut off in the narrow widths. */
static const __u64 values[] = {
	0, 1, 2, 0x55, 0x7f, 0x80, 0x81, 0xff,
	0x7fff, 0x8000, 0xffff, 0x12345678, 0x7fffffff, 0x80000000, 0xffffffff,
	0x7fffffffffffffffULL, 0x8000000000000000ULL, 0x8000000000000001ULL,
	~0ULL, 0xdeadbeefcafef00dULL,
};

#define NV	ARRAY_SIZE(values)
#define SLOT	16
#define GUARD	0xa5

/* Run @op with @operand on all values at once, in slots with guards around. */
static void try_op(struct __test_metadata *_metadata, int fd, unsigned char *p,
		   enum xmirror_op op, unsigned int width, __u64 operand,
		   unsigned int nr)
{
	struct xmirror_cmd cmds[NV];
	__u64 results[NV], fence, before[NV];
	struct xmirror_wait w;
	size_t i, n, bad = 0;

	memset(p, GUARD, SLOT * (NV + 1));
	for (i = 0; i < NV; i++) {
		/* every alignment in turn */
		unsigned char *at = p + SLOT * i +
				    (width < 8 ? (i * width) % 8 : 8 * (i & 1));

		before[i] = values[i] & mask(width);
		memcpy(at, &values[i], width);
		cmds[i] = xm_cmd(op, width, at, operand);
		if (op == XMIRROR_OP_CMPXCHG) {
			/* every other one fails */
			cmds[i].compare = (values[i] + i % 2) & mask(width);
		}
	}
	ASSERT_EQ(0, xm_submit(fd, nr % 4, cmds, NV, 1, &fence));
	ASSERT_EQ(0, xm_wait_results(fd, fence, XM_LONG, results, NV, &w));
	ASSERT_EQ(0, w.status);
	ASSERT_EQ(NV, w.nr_results);
	ASSERT_EQ(NV, w.ops);
	for (i = 0; i < NV; i++) {
		unsigned char *at = (unsigned char *)cmds[i].addr;
		__u64 want = model(op, width, before[i], operand,
				   cmds[i].compare);

		if (op != XMIRROR_OP_STORE) {
			EXPECT_EQ(before[i], results[i]) {
				TH_LOG("%s%u(%#llx, %#llx)", op_names[op],
				       8 * width, before[i], operand);
			}
		}
		EXPECT_EQ(want, get(at, width)) {
			TH_LOG("%s%u(%#llx, %#llx)", op_names[op], 8 * width,
			       before[i], operand);
		}
		memset(at, GUARD, width);
	}
	for (n = 0; n < SLOT * (NV + 1); n++)
		bad += p[n] != GUARD;
	EXPECT_EQ(0, bad) {
		TH_LOG("%s%u wrote beyond its location", op_names[op],
		       8 * width);
	}
}

TEST_F(ops, all)
{
	unsigned int op;
	size_t i;

	for (op = 0; op < XMIRROR_OP_NR; op++) {
		if (op > XMIRROR_OP_STORE &&
		    !(xm_caps() & XMIRROR_CAP_EXCLUSIVE))
			continue;
		for (i = 0; i < NV; i++)
			try_op(_metadata, self->fd, self->p + 64, op,
			       variant->width, values[i], i);
	}
}

/* At the very end of a page nothing of the next one is touched. */
TEST_F(ops, page_end)
{
	unsigned char *next = self->p + XM_PAGE;
	unsigned char *at = next - variant->width;
	unsigned int op;

	memset(self->p, 0, XM_PAGE);
	ASSERT_EQ(0, mprotect(next, XM_PAGE, PROT_NONE));
	for (op = 0; op < XMIRROR_OP_NR; op++) {
		if (op > XMIRROR_OP_STORE &&
		    !(xm_caps() & XMIRROR_CAP_EXCLUSIVE))
			continue;
		EXPECT_EQ(0, xm_op(self->fd, op, variant->width, at, 1, NULL)) {
			TH_LOG("%s", op_names[op]);
		}
	}
}

/* Locations */

TEST_F(atomics, strides)
{
	__u64 *w = (__u64 *)self->p;
	struct xmirror_cmd cmd;
	struct xmirror_wait wait;
	__u64 fence, result = 0;
	size_t i;

	/* up */
	for (i = 0; i < SIZE / 8; i++)
		w[i] = i;
	cmd = xm_cmds(XMIRROR_OP_ADD, 8, w, 8, SIZE / 8, 1000);
	ASSERT_EQ(0, xm_submit(self->fd, 0, &cmd, 1, 1, &fence));
	ASSERT_EQ(0, xm_wait_results(self->fd, fence, XM_LONG, &result, 1,
				     &wait));
	EXPECT_EQ(0, wait.status);
	EXPECT_EQ(SIZE / 8, wait.ops);
	/* The result is that of the last location. */
	EXPECT_EQ(SIZE / 8 - 1, result);
	EXPECT_EQ(PAGES, xm_count_exclusive(self->p, SIZE));
	for (i = 0; i < SIZE / 8; i++) {
		ASSERT_EQ(i + 1000, w[i]);
	}
	/* down, every page's last word */
	cmd = xm_cmds(XMIRROR_OP_SUB, 8, w + SIZE / 8 - 1, -(__s64)XM_PAGE,
		      PAGES, 1000);
	ASSERT_EQ(0, xm_run(self->fd, &cmd, &result));
	EXPECT_EQ(1511, result);
	for (i = 0; i < SIZE / 8; i++) {
		ASSERT_EQ(i % 512 == 511 ? i : i + 1000, w[i]);
	}
	/* staying */
	cmd = xm_cmds(XMIRROR_OP_ADD, 8, w + 3, 0, 100000, 3);
	ASSERT_EQ(0, xm_run(self->fd, &cmd, &result));
	EXPECT_EQ(1003 + 300000 - 3, result);
	EXPECT_EQ(1003 + 300000, w[3]);
	/* odd strides in narrow widths */
	memset(self->p, 0, SIZE);
	cmd = xm_cmds(XMIRROR_OP_ADD, 2, self->p, 6, SIZE / 6, 0x0102);
	ASSERT_EQ(0, xm_run(self->fd, &cmd, NULL));
	for (i = 0; i + 6 <= SIZE; i += 6) {
		ASSERT_EQ(0x0102, get(self->p + i, 6));
	}
	cmd = xm_cmds(XMIRROR_OP_ADD, 1, self->p + SIZE - 1, -1, SIZE, 1);
	ASSERT_EQ(0, xm_run(self->fd, &cmd, NULL));
	EXPECT_EQ(3, self->p[0]);
	EXPECT_EQ(2, self->p[1]);
	EXPECT_EQ(1, self->p[2]);
	EXPECT_EQ(1, self->p[SIZE - 1]);
}

TEST_F(atomics, repeat)
{
	__u64 *w = (__u64 *)self->p, fence, results[3];
	struct xmirror_cmd cmds[] = {
		xm_cmds(XMIRROR_OP_ADD, 8, w, 8, 10, 1),
		xm_cmd(XMIRROR_OP_ADD, 4, w + 100, 2),
		xm_cmds(XMIRROR_OP_XOR, 8, w + 600, 8, 3, ~0ULL),
	};
	struct xmirror_wait wait;
	size_t i;

	ASSERT_EQ(0, xm_submit(self->fd, 2, cmds, 3, 777, &fence));
	ASSERT_EQ(0, xm_wait_results(self->fd, fence, XM_LONG, results, 3,
				     &wait));
	EXPECT_EQ(0, wait.status);
	EXPECT_EQ(777 * 14, wait.ops);
	EXPECT_EQ(3, wait.cmd);
	EXPECT_EQ(776, results[0]);
	EXPECT_EQ(1552, results[1]);
	EXPECT_EQ(0, results[2]);
	for (i = 0; i < 10; i++) {
		EXPECT_EQ(777, w[i]);
	}
	EXPECT_EQ(0, w[10]);
	EXPECT_EQ(1554, w[100]);
	EXPECT_EQ(~0ULL, w[600]);
	EXPECT_EQ(~0ULL, w[602]);
	EXPECT_EQ(0, w[603]);
}

/* A list of the longest kind, each command on its own word */
TEST_F(atomics, long_list)
{
	struct xmirror_cmd *cmds = calloc(XMIRROR_MAX_CMDS, sizeof(*cmds));
	__u64 *results = calloc(XMIRROR_MAX_CMDS, sizeof(*results));
	__u64 *w = (__u64 *)self->p, fence, i;
	struct xmirror_wait wait;

	ASSERT_NE(NULL, cmds);
	ASSERT_NE(NULL, results);
	for (i = 0; i < XMIRROR_MAX_CMDS; i++) {
		w[i * 7] = i;
		cmds[i] = xm_cmd(XMIRROR_OP_XCHG, 8, w + i * 7, ~i);
	}
	ASSERT_EQ(0, xm_submit(self->fd, 1, cmds, XMIRROR_MAX_CMDS, 1, &fence));
	ASSERT_EQ(0, xm_wait_results(self->fd, fence, XM_LONG, results,
				     XMIRROR_MAX_CMDS, &wait));
	EXPECT_EQ(0, wait.status);
	EXPECT_EQ(XMIRROR_MAX_CMDS, wait.nr_results);
	for (i = 0; i < XMIRROR_MAX_CMDS; i++) {
		EXPECT_EQ(i, results[i]);
		EXPECT_EQ(~i, w[i * 7]);
	}
	free(cmds);
	free(results);
}

/* The life of an exclusive page */

TEST_F(atomics, exclusive_until_touched)
{
	struct xmirror_stats s0, s1;
	__u64 *w = (__u64 *)self->p;

	*w = 10;
	ASSERT_FALSE(xm_is_exclusive(w));
	ASSERT_EQ(0, xm_stats(self->fd, &s0));
	ASSERT_EQ(0, xm_add(self->fd, w, 5));
	EXPECT_TRUE(xm_is_exclusive(w));
	EXPECT_LEAF(self->fd, w, LEAF_EXCL);
	EXPECT_NE(0, xm_page(self->fd, w).dev & XMIRROR_PTE_DIRTY);
	EXPECT_FALSE(xm_is_exclusive(w + 512));
	/* Again, without a fault */
	ASSERT_EQ(0, xm_add(self->fd, w, 5));
	ASSERT_EQ(0, xm_stats(self->fd, &s1));
	EXPECT_EQ(1, s1.excl_made - s0.excl_made);
	EXPECT_EQ(1, s1.device_faults - s0.device_faults);
	EXPECT_EQ(2, s1.ops - s0.ops);
	EXPECT_EQ(2, s1.jobs - s0.jobs);
	EXPECT_EQ(0, s1.excl_lost);
	/* The CPU looks */
	EXPECT_EQ(20, XM_LOAD(w));
	EXPECT_FALSE(xm_is_exclusive(w));
	EXPECT_TRUE(xm_is_present(w));
	EXPECT_LEAF(self->fd, w, LEAF_NONE);
	ASSERT_EQ(0, xm_stats(self->fd, &s1));
	EXPECT_EQ(1, s1.excl_lost);
	EXPECT_EQ(0, s1.leaves);
	/* and writes */
	ASSERT_EQ(0, xm_add(self->fd, w, 1));
	EXPECT_TRUE(xm_is_exclusive(w));
	XM_STORE(w, 100);
	EXPECT_FALSE(xm_is_exclusive(w));
	EXPECT_LEAF(self->fd, w, LEAF_NONE);
	ASSERT_EQ(0, xm_add(self->fd, w, 1));
	EXPECT_EQ(101, XM_LOAD(w));
}

/* The kernel looks at it for the process: system calls count as the CPU. */
TEST_F(atomics, system_call_touches)
{
	__u64 *w = (__u64 *)self->p, got = 0;
	int fds[2];

	ASSERT_EQ(0, pipe(fds));
	ASSERT_EQ(0, xm_op(self->fd, XMIRROR_OP_XCHG, 8, w, 0x1234, NULL));
	ASSERT_TRUE(xm_is_exclusive(w));
	ASSERT_EQ(8, write(fds[1], w, 8));
	EXPECT_FALSE(xm_is_exclusive(w));
	ASSERT_EQ(8, read(fds[0], &got, 8));
	EXPECT_EQ(0x1234, got);
	ASSERT_EQ(0, xm_op(self->fd, XMIRROR_OP_XCHG, 8, w, 0x777, NULL));
	ASSERT_TRUE(xm_is_exclusive(w));
	got = 0x4321;
	ASSERT_EQ(8, write(fds[1], &got, 8));
	ASSERT_EQ(8, read(fds[0], w, 8));
	EXPECT_FALSE(xm_is_exclusive(w));
	EXPECT_EQ(0x4321, *w);
	close(fds[0]);
	close(fds[1]);
}

/* A second request for an exclusive page costs nothing. */
TEST_F(atomics, exclusive_twice)
{
	struct xmirror_stats s0, s1;
	__u64 pfn, done;

	memset(self->p, 1, SIZE);
	ASSERT_EQ(0, xm_exclusive(self->fd, self->p, SIZE, &done));
	EXPECT_EQ(SIZE, done);
	EXPECT_EQ(PAGES, xm_count_exclusive(self->p, SIZE));
	pfn = xm_pfn(self->p);
	ASSERT_EQ(0, xm_stats(self->fd, &s0));
	EXPECT_EQ(PAGES, s0.excl_made);
	EXPECT_EQ(0, s0.excl_hits);
	ASSERT_EQ(0, xm_exclusive(self->fd, self->p, SIZE, &done));
	EXPECT_EQ(SIZE, done);
	ASSERT_EQ(0, xm_stats(self->fd, &s1));
	EXPECT_EQ(PAGES, s1.excl_hits);
	EXPECT_EQ(s0.excl_made, s1.excl_made);
	EXPECT_EQ(s0.inv_own, s1.inv_own);
	EXPECT_EQ(0, memcmp(s0.inv, s1.inv, sizeof(s0.inv)));
	EXPECT_EQ(pfn, xm_pfn(self->p));
	EXPECT_EQ(PAGES, xm_count_exclusive(self->p, SIZE));
	/* Half of them lost: the other half are hits. */
	for (done = 0; done < PAGES; done += 2)
		XM_LOAD((__u64 *)(self->p + done * XM_PAGE));
	EXPECT_EQ(PAGES / 2, xm_count_exclusive(self->p, SIZE));
	ASSERT_EQ(0, xm_exclusive(self->fd, self->p, SIZE, &done));
	ASSERT_EQ(0, xm_stats(self->fd, &s1));
	EXPECT_EQ(PAGES + PAGES / 2, s1.excl_hits);
	EXPECT_EQ(PAGES + PAGES / 2, s1.excl_made);
	EXPECT_EQ(PAGES, xm_count_exclusive(self->p, SIZE));
}

/* Our own notifications are seen, and ignored. */
TEST_F(atomics, own_event)
{
	struct xmirror_stats s0, s1;

	memset(self->p, 1, SIZE);
	ASSERT_EQ(0, xm_stats(self->fd, &s0));
	ASSERT_EQ(0, xm_exclusive(self->fd, self->p, SIZE, NULL));
	ASSERT_EQ(0, xm_stats(self->fd, &s1));
	EXPECT_GE(s1.inv_own - s0.inv_own, PAGES);
	EXPECT_GE(s1.inv[XM_EV_EXCLUSIVE] - s0.inv[XM_EV_EXCLUSIVE], PAGES);
	EXPECT_EQ(0, s1.excl_lost);
	EXPECT_EQ(0, s1.excl_retries);
}

TEST_F(atomics, release)
{
	struct xmirror_stats s0, s1;
	__u64 *w = (__u64 *)self->p, done;

	ASSERT_EQ(0, xm_op(self->fd, XMIRROR_OP_XCHG, 8, w, 77, NULL));
	ASSERT_EQ(0, xm_exclusive(self->fd, self->p, SIZE, NULL));
	ASSERT_EQ(PAGES, xm_count_exclusive(self->p, SIZE));
	ASSERT_EQ(0, xm_stats(self->fd, &s0));
	/* One from the middle; both neighbours stay. */
	ASSERT_EQ(0, xm_release(self->fd, self->p + 4 * XM_PAGE, XM_PAGE,
				&done));
	EXPECT_EQ(XM_PAGE, done);
	EXPECT_FALSE(xm_is_exclusive(self->p + 4 * XM_PAGE));
	EXPECT_TRUE(xm_is_exclusive(self->p + 3 * XM_PAGE));
	EXPECT_TRUE(xm_is_exclusive(self->p + 5 * XM_PAGE));
	ASSERT_EQ(0, xm_stats(self->fd, &s1));
	EXPECT_EQ(1, s1.excl_released - s0.excl_released);
	/* All; the one that is not exclusive counts as done. */
	ASSERT_EQ(0, xm_release(self->fd, self->p, SIZE, &done));
	EXPECT_EQ(SIZE, done);
	EXPECT_EQ(0, xm_count_exclusive(self->p, SIZE));
	ASSERT_EQ(0, xm_stats(self->fd, &s1));
	EXPECT_EQ(PAGES, s1.excl_released - s0.excl_released);
	EXPECT_EQ(0, xm_page(self->fd, w).dev & XMIRROR_PTE_EXCLUSIVE);
	EXPECT_TRUE(xm_is_present(w));
	EXPECT_EQ(77, *w);
	/* Again, and of memory never seen: nothing to do. */
	ASSERT_EQ(0, xm_release(self->fd, self->p, SIZE, &done));
	EXPECT_EQ(SIZE, done);
	ASSERT_EQ(0, xm_add(self->fd, w, 1));
	EXPECT_EQ(78, *w);
}

/* Closing the file leaves the pages to whoever touches them next. */
TEST_F(atomics, close_while_exclusive)
{
	__u64 *w = (__u64 *)self->p;
	size_t i;
	int fd;

	OPEN(fd, 0);
	for (i = 0; i < PAGES; i++) {
		ASSERT_EQ(0, xm_op(fd, XMIRROR_OP_XCHG, 8, w + i * 512, i + 1,
				   NULL));
	}
	ASSERT_EQ(0, close(fd));
	/* Another mirror takes one, the CPU the others. */
	EXPECT_EQ(0, xm_add(self->fd, w, 100));
	EXPECT_TRUE(xm_is_exclusive(w));
	for (i = 0; i < PAGES; i++) {
		EXPECT_EQ(i ? i + 1 : 101, w[i * 512]);
	}
	EXPECT_EQ(0, xm_count_exclusive(self->p, SIZE));
}

/* Two devices cannot both have a page. */
TEST_F(atomics, two_devices)
{
	__u64 *w = (__u64 *)self->p;
	int fd1;

	OPEN(fd1, 1);
	ASSERT_EQ(0, xm_add(self->fd, w, 1));
	EXPECT_LEAF(self->fd, w, LEAF_EXCL);
	ASSERT_EQ(0, xm_add(fd1, w, 1));
	EXPECT_LEAF(fd1, w, LEAF_EXCL);
	EXPECT_LEAF(self->fd, w, LEAF_NONE);
	EXPECT_TRUE(xm_is_exclusive(w));
	ASSERT_EQ(0, xm_add(self->fd, w, 1));
	EXPECT_LEAF(fd1, w, LEAF_NONE);
	/* Giving back what is the other's does nothing to it. */
	EXPECT_EQ(0, xm_release(fd1, w, XM_PAGE, NULL));
	EXPECT_TRUE(xm_is_exclusive(w));
	EXPECT_LEAF(self->fd, w, LEAF_EXCL);
	/* A load by the one ends the exclusive access of the other. */
	EXPECT_EQ(0, xm_op(fd1, XMIRROR_OP_LOAD, 8, w, 0, NULL));
	EXPECT_LEAF(self->fd, w, LEAF_NONE);
	EXPECT_EQ(3, *w);
	/* And exclusive access by the one ends any access of the other. */
	EXPECT_TRUE(xm_page(fd1, w).dev & XMIRROR_PTE_VALID);
	ASSERT_EQ(0, xm_add(self->fd, w, 1));
	EXPECT_LEAF(fd1, w, LEAF_NONE);
	EXPECT_EQ(4, *w);
	EXPECT_CLEAN(fd1);
	close(fd1);
}

/* Two files of one device are two mirrors. */
TEST_F(atomics, two_files)
{
	__u64 *w = (__u64 *)self->p;
	int fd1;

	OPEN(fd1, 0);
	ASSERT_EQ(0, xm_add(self->fd, w, 1));
	ASSERT_EQ(0, xm_add(fd1, w, 1));
	EXPECT_LEAF(fd1, w, LEAF_EXCL);
	EXPECT_LEAF(self->fd, w, LEAF_NONE);
	ASSERT_EQ(0, xm_add(self->fd, w, 1));
	EXPECT_LEAF(self->fd, w, LEAF_EXCL);
	EXPECT_LEAF(fd1, w, LEAF_NONE);
	EXPECT_EQ(3, *w);
	EXPECT_CLEAN(fd1);
	close(fd1);
}

/*
 * A range fault may take the device's own exclusive access away; whatever it
 * does, the page's contents stay, and an atomic gets it back.
 */
TEST_F(atomics, fault_on_exclusive)
{
	__u64 *w = (__u64 *)self->p;

	ASSERT_EQ(0, xm_add(self->fd, w, 5));
	ASSERT_EQ(0, xm_fault(self->fd, w, XM_PAGE, 0, NULL));
	EXPECT_NE(0, xm_page(self->fd, w).dev & XMIRROR_PTE_VALID);
	EXPECT_CLEAN(self->fd);
	ASSERT_EQ(0, xm_add(self->fd, w, 5));
	ASSERT_EQ(0, xm_fault(self->fd, w, XM_PAGE, XMIRROR_FAULT_WRITE, NULL));
	EXPECT_NE(0, xm_page(self->fd, w).dev & XMIRROR_PTE_WRITE);
	EXPECT_CLEAN(self->fd);
	ASSERT_EQ(0, xm_add(self->fd, w, 5));
	EXPECT_LEAF(self->fd, w, LEAF_EXCL);
	EXPECT_EQ(15, *w);
}

/* Memory nobody has touched, and the zero page */
TEST_F(atomics, fresh_and_zero_page)
{
	__u64 *w = (__u64 *)self->p, result = 1;
	struct xmirror_cmd cmd;

	ASSERT_EQ(0, xm_op(self->fd, XMIRROR_OP_ADD, 8, w, 3, &result));
	EXPECT_EQ(0, result);
	EXPECT_TRUE(xm_is_exclusive(w));
	EXPECT_EQ(0, XM_LOAD(w + 512));
	ASSERT_EQ(0, xm_op(self->fd, XMIRROR_OP_LOAD, 8, w + 512, 0, NULL));
	cmd = xm_cmds(XMIRROR_OP_ADD, 8, w + 512, 8, 512, 4);
	ASSERT_EQ(0, xm_run(self->fd, &cmd, NULL));
	EXPECT_LEAF(self->fd, w + 512, LEAF_EXCL);
	/* Another mapping of the zero page has not changed. */
	EXPECT_EQ(0, XM_LOAD(w + 1024));
	EXPECT_EQ(4, XM_LOAD(w + 512));
	EXPECT_EQ(4, XM_LOAD(w + 1023));
	EXPECT_EQ(3, XM_LOAD(w));
}

/* Swapped out, then asked for by the device */
TEST_F(atomics, swapped)
{
	__u64 *w = (__u64 *)self->p;
	size_t i;

	for (i = 0; i < PAGES; i++)
		w[i * 512] = i;
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, madvise(self->p, SIZE, MADV_PAGEOUT));
	}
	if (!xm_is_swapped(w))
		SKIP(return, "nothing was swapped out");
	for (i = 0; i < PAGES; i++) {
		ASSERT_EQ(0, xm_add(self->fd, w + i * 512, 1000));
		EXPECT_TRUE(xm_is_exclusive(w + i * 512));
	}
	for (i = 0; i < PAGES; i++) {
		EXPECT_EQ(i + 1000, w[i * 512]);
	}
}

/* Reclaim of an exclusive page: it is taken, or it stays. */
TEST_F(atomics, pageout_exclusive)
{
	__u64 *w = (__u64 *)self->p;
	size_t i, gone;

	for (i = 0; i < PAGES; i++) {
		ASSERT_EQ(0, xm_op(self->fd, XMIRROR_OP_XCHG, 8, w + i * 512,
				   i + 7, NULL));
	}
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, madvise(self->p, SIZE, MADV_PAGEOUT));
	}
	/* MADV_PAGEOUT skips what is not present. */
	gone = PAGES - xm_count_exclusive(self->p, SIZE);
	EXPECT_EQ(0, gone);
	EXPECT_CLEAN(self->fd);
	for (i = 0; i < PAGES; i++) {
		EXPECT_EQ(i + 7, XM_LOAD(w + i * 512));
	}
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, madvise(self->p, SIZE, MADV_PAGEOUT));
	}
	for (i = 0; i < PAGES; i++) {
		EXPECT_EQ(i + 7, XM_LOAD(w + i * 512));
	}
}

/* Ranges */

TEST_F(atomics, batch)
{
	size_t len = 4UL << 20, i;
	struct xmirror_stats s;
	struct xmirror_cmd cmd;
	__u64 *w = xm_anon(len), done, sum = 0;

	ASSERT_NE(NULL, w);
	for (i = 0; i < len / 8; i += 512)
		w[i] = i;
	ASSERT_EQ(0, xm_exclusive(self->fd, w, len, &done));
	EXPECT_EQ(len, done);
	EXPECT_EQ(len / XM_PAGE, xm_count_exclusive(w, len));
	ASSERT_EQ(0, xm_stats(self->fd, &s));
	EXPECT_EQ(len / XM_PAGE, s.excl_made);
	EXPECT_EQ(len / XM_PAGE, s.leaves);
	cmd = xm_cmds(XMIRROR_OP_ADD, 8, w, XM_PAGE, len / XM_PAGE, 1);
	ASSERT_EQ(0, xm_run(self->fd, &cmd, NULL));
	EXPECT_EQ(len / XM_PAGE, xm_count_exclusive(w, len));
	EXPECT_CLEAN(self->fd);
	for (i = 0; i < len / 8; i += 512)
		sum += w[i] != i + 1;
	EXPECT_EQ(0, sum);
	EXPECT_EQ(0, xm_count_exclusive(w, len));
	ASSERT_EQ(0, munmap(w, len));
}

TEST_F(atomics, batch_meets_hole)
{
	__u64 *w = (__u64 *)self->p, done, fence, result = 0;
	struct xmirror_wait wait;
	struct xmirror_cmd cmd;
	size_t i;

	memset(self->p, 0, SIZE);
	ASSERT_EQ(0, munmap(self->p + 5 * XM_PAGE, XM_PAGE));
	EXPECT_EQ(-EFAULT, xm_exclusive(self->fd, self->p, SIZE, &done));
	EXPECT_EQ(5 * XM_PAGE, done);
	EXPECT_EQ(5, xm_count_exclusive(self->p, SIZE));
	/* The same for a job */
	cmd = xm_cmds(XMIRROR_OP_ADD, 8, w, 64, SIZE / 64, 1);
	ASSERT_EQ(0, xm_submit(self->fd, 0, &cmd, 1, 9, &fence));
	ASSERT_EQ(0, xm_wait_results(self->fd, fence, XM_LONG, &result, 1,
				     &wait));
	EXPECT_EQ(-EFAULT, wait.status);
	EXPECT_EQ(5 * XM_PAGE / 64, wait.ops);
	EXPECT_EQ(0, wait.cmd);
	for (i = 0; i < 5 * 512; i += 8) {
		ASSERT_EQ(1, w[i]);
	}
	for (i = 6 * 512; i < SIZE / 8; i += 8) {
		ASSERT_EQ(0, w[i]);
	}
}

/* A timeout is for being kept from the page, not for taking long. */
TEST_F(atomics, long_command_short_timeout)
{
	size_t len = 16UL << 20;
	char *p = xm_anon(len);
	struct xmirror_cmd cmd;

	ASSERT_NE(NULL, p);
	ASSERT_EQ(0, xm_set(self->fd, XMIRROR_SET_TIMEOUT, 50, NULL));
	cmd = xm_cmds(XMIRROR_OP_ADD, 8, p, XM_PAGE, len / XM_PAGE, 1);
	EXPECT_EQ(0, xm_run(self->fd, &cmd, NULL));
	EXPECT_EQ(1, p[len - XM_PAGE]);
}

/* Everyone on one counter */

#define EACH	20000U

static int cpu_counts(struct worker *w)
{
	unsigned int i;

	for (i = 0; i < EACH; i++) {
		switch (w->len) {
		case 1:
			XM_ADD((__u8 *)w->addr, 1);
			break;
		case 2:
			XM_ADD((__u16 *)w->addr, 1);
			break;
		case 4:
			XM_ADD((__u32 *)w->addr, 1);
			break;
		default:
			XM_ADD((__u64 *)w->addr, 1);
		}
	}
	return 0;
}

TEST_F(ops, cpu_and_device_count)
{
	struct xmirror_cmd cmd = xm_cmds(XMIRROR_OP_ADD, variant->width,
					 self->p + 64, 0, EACH, 1);
	struct worker cpu[2] = {};
	struct xmirror_wait w;
	__u64 fences[4];
	int i;

	NEED(XMIRROR_CAP_EXCLUSIVE);
	for (i = 0; i < 4; i++) {
		ASSERT_EQ(0, xm_submit(self->fd, i, &cmd, 1, 1, &fences[i]));
	}
	for (i = 0; i < 2; i++) {
		cpu[i].fn = cpu_counts;
		cpu[i].addr = self->p + 64;
		cpu[i].len = variant->width;
		ASSERT_EQ(0, worker_start(&cpu[i]));
	}
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(0, worker_join(&cpu[i]));
	}
	for (i = 0; i < 4; i++) {
		ASSERT_EQ(0, xm_wait(self->fd, fences[i], XM_LONG, &w));
		EXPECT_EQ(0, w.status);
		EXPECT_EQ(EACH, w.ops);
	}
	EXPECT_EQ(6 * EACH & mask(variant->width),
		  get(self->p + 64, variant->width));
	EXPECT_EQ(0, get(self->p + 56, 8));
	if (variant->width < 8) {
		EXPECT_EQ(0, get(self->p + 64 + variant->width, 4));
	}
}

/* Four bytes of one word, each counted by another engine and by the CPU */
TEST_F(atomics, neighbours)
{
	struct worker cpu = { .fn = cpu_counts, .len = 4 };
	struct xmirror_cmd cmd;
	__u64 fences[4];
	int i;

	for (i = 0; i < 4; i++) {
		cmd = xm_cmds(XMIRROR_OP_ADD, 1, self->p + i, 0, EACH + i, 1);
		ASSERT_EQ(0, xm_submit(self->fd, i, &cmd, 1, 1, &fences[i]));
	}
	cpu.addr = self->p + 4;
	ASSERT_EQ(0, worker_start(&cpu));
	EXPECT_EQ(0, worker_join(&cpu));
	for (i = 0; i < 4; i++) {
		EXPECT_EQ(0, xm_wait(self->fd, fences[i], XM_LONG, NULL));
		EXPECT_EQ((EACH + i) & 0xff, self->p[i]);
	}
	EXPECT_EQ(EACH, get(self->p + 4, 4));
}

/* A lock made of device and CPU compare-exchanges really excludes. */
static int cpu_locks(struct worker *w)
{
	__u64 *lock = w->addr, *count = lock + 1, start = xm_now_ns();
	unsigned int i;

	for (i = 0; i < w->arg; i++) {
		__u64 free = 0;

		while (!__atomic_compare_exchange_n(lock, &free, 1, false,
						    __ATOMIC_SEQ_CST,
						    __ATOMIC_SEQ_CST)) {
			free = 0;
			if (xm_expired(start, XM_LONG))
				return -ETIMEDOUT;
			sched_yield();
		}
		*(volatile __u64 *)count = *(volatile __u64 *)count + 1;
		XM_STORE(lock, 0);
	}
	return 0;
}

TEST_F(atomics, device_lock)
{
	__u64 *lock = (__u64 *)self->p, old, start = xm_now_ns();
	struct worker w = { .fn = cpu_locks, .addr = lock, .arg = 300 };
	struct xmirror_cmd cmd;
	unsigned int i;

	ASSERT_EQ(0, worker_start(&w));
	for (i = 0; i < 300; i++) {
		do {
			cmd = xm_cmd(XMIRROR_OP_CMPXCHG, 8, lock, 2);
			ASSERT_EQ(0, xm_run(self->fd, &cmd, &old));
			ASSERT_FALSE(xm_expired(start, XM_LONG));
		} while (old);
		/* load, then store: not atomic together */
		ASSERT_EQ(0, xm_op(self->fd, XMIRROR_OP_LOAD, 8, lock + 1, 0,
				   &old));
		ASSERT_EQ(0, xm_op(self->fd, XMIRROR_OP_STORE, 8, lock + 1,
				   old + 1, NULL));
		ASSERT_EQ(0, xm_op(self->fd, XMIRROR_OP_XCHG, 8, lock, 0,
				   &old));
		ASSERT_EQ(2, old);
	}
	EXPECT_EQ(0, worker_join(&w));
	EXPECT_EQ(600, lock[1]);
}

TEST_HARNESS_MAIN
