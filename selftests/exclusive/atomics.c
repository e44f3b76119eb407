// SPDX-License-Identifier: GPL-2.0
/*
 * Atomics: every operation in every width does what C does, results come back, and
 * no increment of the device or the CPU is lost. lifetime.c has the life of the
 * page.
 */
#include "atomics_fixture.h"

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

/* The value after @op on @old */
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
	ASSERT_EQ(0, xm_submit(fd, nr % xm_facts()->engines, cmds, NV, 1, &fence));
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
	EXPECT_EQ(1000 + XM_WORDS - 1, result);
	for (i = 0; i < SIZE / 8; i++) {
		ASSERT_EQ(i % XM_WORDS == XM_WORDS - 1 ? i : i + 1000, w[i]);
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

/* All engines and the CPU on one counter */

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
