// SPDX-License-Identifier: GPL-2.0
/*
 * A page goes to the device while a thread on another CPU reads it over and over, so that
 * this CPU has its translation at hand. That goes, too: the next read is a fault, which
 * brings the page back.
 */
#include "test.h"

#define WORD	0x2222222222222222ULL

/* How the page is, and how it goes */
enum go {
	SMALL,		/* a page of this process alone */
	SHARED,		/* shared with a child, by fork() */
	OF_CHILD,		/* the same, and it is the child that reads */
	ZERO,		/* the zero page */
	HUGE,		/* a huge page */
	HUGE_ZERO,	/* the huge zero page */
	EXCLUSIVE,	/* a page that is to be exclusive */
	HUGE_EXCLUSIVE,	/* the same in a huge page */
};

/* What both processes see of it */
struct hot {
	const __u64 *p;
	__u64 want;
	__u64 reads;
	bool stop;
	int err;
};

FIXTURE(hot) {
	int fd;
	struct hot *hot;	/* shared */
	struct worker reader;
	bool reads;	/* the thread, and not the child */
	struct child c;
	bool has_child;
	char *p;
};

FIXTURE_VARIANT(hot) {
	enum go go;
};

FIXTURE_VARIANT_ADD(hot, page) { .go = SMALL };
FIXTURE_VARIANT_ADD(hot, shared_page) { .go = SHARED };
FIXTURE_VARIANT_ADD(hot, page_of_a_child) { .go = OF_CHILD };
FIXTURE_VARIANT_ADD(hot, zero_page) { .go = ZERO };
FIXTURE_VARIANT_ADD(hot, huge_page) { .go = HUGE };
FIXTURE_VARIANT_ADD(hot, huge_zero_page) { .go = HUGE_ZERO };
FIXTURE_VARIANT_ADD(hot, exclusive_page) { .go = EXCLUSIVE };
FIXTURE_VARIANT_ADD(hot, exclusive_page_of_a_huge_one) {
	.go = HUGE_EXCLUSIVE
};

/* Read on the other CPU until told to stop, or something else is there. */
static int read_on(struct hot *hot)
{
	int err = xm_pin_from(1);

	while (err >= 0 && !XM_LOAD(&hot->stop)) {
		if (XM_LOAD(hot->p) != hot->want)
			err = -EIO;
		XM_ADD(&hot->reads, 1);
	}
	err = err < 0 ? err : 0;
	XM_STORE(&hot->err, err);
	XM_STORE(&hot->stop, true);
	return err;
}

static int reader(struct worker *w)
{
	return read_on(w->addr);
}

/* The child of which the page is, or that just has it, too */
static int child_reads(struct child *c, void *arg)
{
	(void)c;
	return -read_on(arg);
}

/* Wait for a read that begins from now on and ends. */
static int read_again(const struct hot *hot)
{
	__u64 start = xm_now_ns(), reads = XM_LOAD(&hot->reads);

	while (XM_LOAD(&hot->reads) < reads + 2) {
		if (XM_LOAD(&hot->stop))
			return hot->err ? hot->err : -EIO;
		if (xm_expired(start, XM_LONG))
			return -ETIMEDOUT;
		sched_yield();
	}
	return 0;
}

static bool is_huge(enum go go)
{
	return go == HUGE || go == HUGE_ZERO || go == HUGE_EXCLUSIVE;
}

static bool is_exclusive(enum go go)
{
	return go == EXCLUSIVE || go == HUGE_EXCLUSIVE;
}

static bool has_child(enum go go)
{
	return go == SHARED || go == OF_CHILD;
}

FIXTURE_SETUP(hot)
{
	enum go go = variant->go;
	bool zero = go == ZERO || go == HUGE_ZERO;

	self->fd = -1;
	NEED(is_exclusive(go) ? XMIRROR_CAP_EXCLUSIVE : XMIRROR_CAP_PRIVATE);
	if (go == HUGE || go == HUGE_ZERO)
		NEED(XMIRROR_CAP_PRIVATE_LARGE);
	if (go == HUGE_EXCLUSIVE)
		NEED(XMIRROR_CAP_EXCLUSIVE_LARGE);
	if (xm_pin_from(1) < 0)
		XM_SKIP(return, "one CPU only");
	ASSERT_EQ(0, xm_pin_cpu());
	OPEN(self->fd, 0);
	self->hot = xm_shared(XM_PAGE);
	ASSERT_NE(NULL, self->hot);
	if (go == HUGE_ZERO)
		NEED_HUGE_MEMORY(2U);
	self->p = is_huge(go) && !zero ? xm_thp(self->fd, 0x22) :
					 xm_anon_aligned(XM_PMD, XM_PMD);
	if (!self->p ||
	    (go == HUGE_ZERO && madvise(self->p, XM_PMD, MADV_HUGEPAGE)))
		XM_SKIP(return, "%s", xm_why_no_thp());
	if (!zero && !is_huge(go))
		memset(self->p, 0x22, XM_PAGE);
	self->hot->want = zero ? 0 : WORD;
	self->hot->p = (__u64 *)self->p;
	EXPECT_EQ(self->hot->want, XM_LOAD(self->hot->p));
	if (is_huge(go) &&
	    !(xm_page(self->fd, self->p).cpu & XMIRROR_CPU_HUGE))
		XM_SKIP(return, "no huge zero page: use_zero_page");
	ASSERT_EQ(0, xm_drain());
	self->has_child = has_child(go);
	if (self->has_child) {
		ASSERT_EQ(0, child_start(&self->c, go == OF_CHILD ? child_reads :
					 child_waits, self->hot));
	}
	self->reader = (struct worker){ .fn = reader, .addr = self->hot };
	if (go != OF_CHILD) {
		ASSERT_EQ(0, worker_start(&self->reader));
		self->reads = true;
	}
}

FIXTURE_TEARDOWN(hot)
{
	if (self->fd < 0)
		return;
	if (self->hot)
		XM_STORE(&self->hot->stop, true);
	if (self->reads) {
		EXPECT_EQ(self->hot->err, worker_join(&self->reader));
	}
	if (self->has_child) {
		child_tell(&self->c, 'e');
		EXPECT_EQ(self->reads ? 0 : -self->hot->err,
			  child_end(&self->c));
	}
	EXPECT_CLEAN(self->fd);
	close(self->fd);
}

/* Of the process that reads; the other one's entry stays until somebody asks for it. */
static bool has_it(int fd, const struct child *c, const char *p, enum go go)
{
	if (go == OF_CHILD)
		return !(xm_pagemap_of(c->pid, p) & XM_PM_PRESENT);
	return xm_is_devices(fd, p, !is_exclusive(go));
}

TEST_F(hot, is_read_no_more)
{
	size_t len = is_huge(variant->go) && !is_exclusive(variant->go) ?
		     XM_PMD : XM_PAGE;
	__u64 done;

	ASSERT_EQ(0, read_again(self->hot));
	if (is_exclusive(variant->go)) {
		ASSERT_EQ(0, xm_exclusive(self->fd, self->p, len, &done));
		EXPECT_EQ(len, done);
	} else {
		ASSERT_EQ(0, xm_migrate(self->fd, self->p, len, 0, 0, &done));
		EXPECT_EQ(len / XM_PAGE, done);
	}
	EXPECT_EQ(0, read_again(self->hot));
	EXPECT_FALSE(has_it(self->fd, &self->c, self->p, variant->go));
	EXPECT_EQ(0, self->hot->err);
}

TEST_HARNESS_MAIN
