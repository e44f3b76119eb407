// SPDX-License-Identifier: GPL-2.0
/*
 * RW: the device copies bytes, of any alignment and length.
 */
#include "test.h"

#define LEN	(4 * XM_2M)

FIXTURE(rw) {
	int fd;
	unsigned char *p;
	unsigned char *model;
	unsigned char *buf;
};

static __u64 next(__u64 *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static void scramble(unsigned char *p, size_t len, __u64 seed)
{
	size_t i;

	for (i = 0; i + 8 <= len; i += 8) {
		__u64 v = next(&seed);

		memcpy(p + i, &v, 8);
	}
}

/* @p is memory of which @model knows the contents */
FIXTURE_SETUP(rw)
{
	OPEN(self->fd, 0);
	self->p = xm_anon_aligned(LEN, XM_2M);
	self->model = malloc(LEN);
	self->buf = malloc(LEN);
	ASSERT_NE(NULL, self->p);
	ASSERT_NE(NULL, self->model);
	ASSERT_NE(NULL, self->buf);
	scramble(self->model, LEN, 42);
	memcpy(self->p, self->model, LEN);
}

FIXTURE_TEARDOWN(rw)
{
	EXPECT_CLEAN(self->fd);
	close(self->fd);
}

static const struct {
	size_t at;
	size_t len;
} pieces[] = {
	{ 0, 1 },
	{ 1, 1 },
	{ 3, 5 },
	{ 7, 16 },
	{ XM_PAGE - 1, 1 },
	{ XM_PAGE - 1, 2 },
	{ XM_PAGE - 3, 7 },
	{ XM_PAGE, XM_PAGE },
	{ 1, XM_PAGE },
	{ 5, 3 * XM_PAGE },
	{ XM_PAGE / 2, 10 * XM_PAGE + 13 },
	{ XM_2M - 1, 2 },
	{ XM_2M - 8, 16 },
	{ XM_2M - XM_PAGE - 5, 2 * XM_PAGE + 10 },
	{ 2 * XM_2M - 1, 1 },
	{ 2 * XM_2M, 1 },
	{ 2 * XM_2M - 100, XM_2M + 200 },
	{ LEN - 1, 1 },
	{ 17, LEN - 17 },
	{ 0, LEN },
};

TEST_F(rw, read)
{
	size_t i;
	__u64 done;

	for (i = 0; i < ARRAY_SIZE(pieces); i++) {
		size_t at = pieces[i].at, len = pieces[i].len;

		memset(self->buf, 0xcc, LEN);
		EXPECT_EQ(0, xm_rw(self->fd, self->p + at, self->buf, len, 0,
				   &done)) {
			TH_LOG("%zu + %zu", at, len);
		}
		EXPECT_EQ(len, done);
		EXPECT_EQ(0, memcmp(self->buf, self->model + at, len)) {
			TH_LOG("%zu + %zu", at, len);
		}
		if (len < LEN) {
			EXPECT_EQ(0xcc, self->buf[len]);
		}
	}
}

TEST_F(rw, write)
{
	size_t i;
	__u64 done;

	for (i = 0; i < ARRAY_SIZE(pieces); i++) {
		size_t at = pieces[i].at, len = pieces[i].len;

		scramble(self->buf, LEN, i + 1);
		memcpy(self->model + at, self->buf, len);
		EXPECT_EQ(0, xm_rw(self->fd, self->p + at, self->buf, len,
				   XMIRROR_RW_WRITE, &done)) {
			TH_LOG("%zu + %zu", at, len);
		}
		EXPECT_EQ(len, done);
		EXPECT_EQ(0, memcmp(self->p, self->model, LEN)) {
			TH_LOG("%zu + %zu", at, len);
		}
	}
}

/* CPU and device take turns on random ranges. */
TEST_F(rw, random)
{
	__u64 seed = 0x9e3779b97f4a7c15ULL;
	int round;

	for (round = 0; round < 300; round++) {
		size_t at = next(&seed) % (LEN - 1);
		size_t len = 1 + next(&seed) % (round % 3 ? 300 : 20000);
		size_t i;

		if (len > LEN - at)
			len = LEN - at;
		switch (next(&seed) % 4) {
		case 0:
			for (i = 0; i < len; i++) {
				self->p[at + i] = seed + i;
				self->model[at + i] = seed + i;
			}
			break;
		case 1:
			scramble(self->buf, len + 8, seed);
			memcpy(self->model + at, self->buf, len);
			ASSERT_EQ(0, xm_write(self->fd, self->p + at, self->buf,
					      len));
			break;
		case 2:
			ASSERT_EQ(0, xm_read(self->fd, self->p + at, self->buf,
					     len));
			ASSERT_EQ(0, memcmp(self->buf, self->model + at, len)) {
				TH_LOG("round %d: %zu + %zu", round, at, len);
			}
			break;
		default:
			ASSERT_EQ(0, memcmp(self->p + at, self->model + at,
					    len)) {
				TH_LOG("round %d: %zu + %zu", round, at, len);
			}
		}
	}
	EXPECT_EQ(0, memcmp(self->p, self->model, LEN));
}

/* Across the border of two notifiers */
TEST_F(rw, across_chunks)
{
	size_t chunk = xm_facts()->chunk_size, i;
	unsigned char *p, buf[300];

	if (chunk > 1UL << 36)
		XM_SKIP(return, "chunks of %zu bytes are too large", chunk);
	p = xm_anon_aligned(2 * chunk, chunk);
	ASSERT_NE(NULL, p);
	p += chunk - 150;
	for (i = 0; i < sizeof(buf); i++)
		buf[i] = i;
	ASSERT_EQ(0, xm_write(self->fd, p, buf, sizeof(buf)));
	EXPECT_EQ(0, memcmp(p, buf, sizeof(buf)));
	EXPECT_EQ(0, p[-1]);
	EXPECT_EQ(0, p[sizeof(buf)]);
	memset(buf, 0, sizeof(buf));
	ASSERT_EQ(0, xm_read(self->fd, p, buf, sizeof(buf)));
	EXPECT_EQ(0, memcmp(p, buf, sizeof(buf)));
}

/* A copy ends at a hole: the bytes before it are copied, and no more. */
TEST_F(rw, hole)
{
	unsigned char *hole = self->p + XM_2M;
	__u64 done;

	ASSERT_EQ(0, munmap(hole, XM_PAGE));
	memset(self->buf, 0xcc, LEN);
	EXPECT_EQ(-EFAULT, xm_rw(self->fd, hole - 5000, self->buf, 20000, 0,
				 &done));
	EXPECT_EQ(5000, done);
	EXPECT_EQ(0, memcmp(self->buf, self->model + XM_2M - 5000, 5000));
	EXPECT_EQ(0xcc, self->buf[5000]);

	memset(self->buf, 0xdd, LEN);
	EXPECT_EQ(-EFAULT, xm_rw(self->fd, hole - 5000, self->buf, 20000,
				 XMIRROR_RW_WRITE, &done));
	EXPECT_EQ(5000, done);
	EXPECT_EQ(0, memcmp(hole - 5000, self->buf, 5000));
	EXPECT_EQ(self->model[XM_2M - 5001], hole[-5001]);
	EXPECT_EQ(0, memcmp(hole + XM_PAGE, self->model + XM_2M + XM_PAGE,
			    20000));

	EXPECT_EQ(-EFAULT, xm_rw(self->fd, hole, self->buf, 1, 0, &done));
	EXPECT_EQ(0, done);
}

TEST_F(rw, read_only)
{
	unsigned char *ro = self->p + XM_2M;
	__u64 done;

	ASSERT_EQ(0, mprotect(ro, XM_PAGE, PROT_READ));
	EXPECT_EQ(0, xm_rw(self->fd, ro - 100, self->buf, 200, 0, &done));
	EXPECT_EQ(200, done);
	memset(self->buf, 0xdd, 200);
	EXPECT_EQ(-EPERM, xm_rw(self->fd, ro - 100, self->buf, 200,
				XMIRROR_RW_WRITE, &done));
	EXPECT_EQ(100, done);
	EXPECT_EQ(0, memcmp(ro - 100, self->buf, 100));
	EXPECT_EQ(0, memcmp(ro, self->model + XM_2M, XM_PAGE));
}

/* The buffer may be the mirrored memory itself. */
TEST_F(rw, to_itself)
{
	ASSERT_EQ(0, xm_write(self->fd, self->p + 3, self->p + XM_2M + 1,
			      20000));
	EXPECT_EQ(0, memcmp(self->p + 3, self->model + XM_2M + 1, 20000));
	ASSERT_EQ(0, xm_read(self->fd, self->p + 3, self->p + 2 * XM_2M,
			     20000));
	EXPECT_EQ(0, memcmp(self->p + 2 * XM_2M, self->model + XM_2M + 1,
			    20000));
}

/* A copy does not change the contents of exclusive pages, and is counted. */
TEST_F(rw, exclusive_pages)
{
	struct xmirror_stats before, after;
	__u64 *word = (__u64 *)self->p;

	NEED(XMIRROR_CAP_EXCLUSIVE);
	*word = 1;
	ASSERT_EQ(0, xm_add(self->fd, word, 1));
	ASSERT_TRUE(xm_is_exclusive(word));
	ASSERT_EQ(0, xm_stats(self->fd, &before));
	ASSERT_EQ(0, xm_read(self->fd, word, self->buf, 8));
	EXPECT_EQ(0, memcmp(self->buf, "\2\0\0\0\0\0\0\0", 8));
	ASSERT_EQ(0, xm_write(self->fd, word, "\7\0\0\0\0\0\0\0", 8));
	/* The exclusive leaf serves loads and stores as well. */
	EXPECT_TRUE(xm_is_exclusive(word));
	EXPECT_LEAF(self->fd, word, LEAF_EXCL);
	ASSERT_EQ(0, xm_stats(self->fd, &after));
	EXPECT_EQ(before.device_faults, after.device_faults);
	ASSERT_EQ(0, xm_add(self->fd, word, 1));
	EXPECT_EQ(8, *word);
}

TEST_HARNESS_MAIN
