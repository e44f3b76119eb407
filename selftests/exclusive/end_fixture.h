/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The table of ends of an exclusive entry, whose rows are in end.c and
 * end_access.c: the fields of a row, and its test. Where kernels differ a row has
 * two columns: those that take an exclusive page out of the rmap (before Linux
 * 6.15) and those that leave it there (XMIRROR_CAP_EXCLUSIVE_LARGE).
 *
 * The memory is a mapping of one page in chunks of its own, so that every event is
 * about it. More events than expected are allowed as long as the outcome is right;
 * on a row that is to be quiet a single one is a failure.
 */
#ifndef SELFTESTS_CONFORM_END_FIXTURE_H
#define SELFTESTS_CONFORM_END_FIXTURE_H

#include <fcntl.h>

#include "uffd.h"
#include "test.h"

#define DEV	0xd0d0d0d0ULL	/* written by the device, in word 0 */
#define CPU	0xc0c0ULL	/* written by the CPU, in word 1 */
#define FILLED	0x1111111111111111ULL

/* The kind of end */
enum after {
	GONE,		/* not exclusive any more, at the same address */
	STAYS,		/* still exclusive */
	MOVED,		/* still exclusive, at env.q */
	UNMAPPED,	/* nothing is mapped there */
	EITHER,		/* either; data and views have to agree */
};

#define EV(name)	(1U << XM_EV_##name)
#define EV_R		(1U << 31)	/* the event of a restore */

#define P		XMIRROR_CPU_PRESENT
#define W		XMIRROR_CPU_WRITE
#define D		XMIRROR_CPU_DIRTY
#define O		XMIRROR_CPU_OTHER
#define ANY		(~0U)
#define FULL		(P | W | D)

/**
 * struct expect - what a path does
 * @after: the entry
 * @events: events that have to be seen; none: the path has to be quiet
 * @pte: the CPU's entry after the path, if it is not exclusive any more
 * @then: the CPU's entry after it has been read, ANY if the row has no opinion
 * @lost: the page reads as zero afterwards
 * @kb: what the page counts for in smaps' Rss after the path
 */
struct expect {
	enum after after;
	__u32 events;
	__u32 pte;
	__u32 then;
	bool lost;
	int kb;
};

/* Restored by a fault, with all bits that a writable mapping can have */
#define RESTORED	(.after = GONE, .events = EV_R, .pte = FULL, \
			  .then = FULL, .kb = XM_PAGE_KB)
/* Nothing happens; a read by the CPU then restores it. */
#define QUIET		(.after = STAYS, .then = FULL, .kb = XM_PAGE_KB)
/* Ends with these events and this entry */
#define ENDED(ev, bits)	(.after = GONE, .events = ev, .pte = bits, \
			  .then = bits, .kb = XM_PAGE_KB)
/* An event, and the entry stays; a read by the CPU then restores it with @bits. */
#define KEPT(ev, bits)	(.after = STAYS, .events = EV(ev), .then = bits, \
			  .kb = XM_PAGE_KB)
/* The page is unmapped. */
#define LOST(how, ev, bits, rss) \
			(.after = how, .events = EV(ev), .pte = bits, \
			  .then = ANY, .lost = true, .kb = rss)
/* The entry moves; the old place counts for @rss. */
#define MOVES(rss)	(.after = MOVED, .events = EV(UNMAP), \
			  .then = FULL, .kb = rss)
#define SWAPPED		(.after = GONE, .events = EV(CLEAR), .pte = O, \
			  .then = ANY)
#define EITHER_WAY	(.after = EITHER, .then = ANY, .kb = XM_PAGE_KB)
#define TAKEN		(.after = STAYS, .events = EV_R | EV(EXCLUSIVE), \
			  .then = FULL, .kb = XM_PAGE_KB)

struct env {
	int fd;
	int fd1;
	__u64 *p;
	__u64 *q;
	int pipe[2];
	int file;
	int uffd;
	struct child child;
	struct worker thread;
	char why[128];
};

#define NOT_HERE	1	/* a path that does not exist here, see env.why */

static int not_here(struct env *e, const char *why)
{
	snprintf(e->why, sizeof(e->why), "%s", why);
	return NOT_HERE;
}

#define FAIL_UNLESS(cond) \
	do { \
		if (!(cond)) { \
			TH_LOG_PLAIN(#cond); \
			return errno ? -errno : -EIO; \
		} \
	} while (0)
#define TH_LOG_PLAIN(s)	fprintf(stderr, "# %s:%d: %s\n", __FILE__, __LINE__, s)

FIXTURE(end) {
	struct env e;
	const struct expect *want;
	bool new;
};

FIXTURE_VARIANT(end) {
	const char *name;
	int (*prepare)(struct env *e);
	int (*act)(struct env *e);
	int (*undo)(struct env *e);
	int (*when_read)(struct env *e);	/* further bits after a read */
	struct expect old, new;
	bool cpu_writes;	/* CPU in word 1 */
	size_t room;
};

/* ROW: the same on all kernels; ROW2: first on those before 6.15, then since */
#define BRACED(...)	{ __VA_ARGS__ }
#define ROW2(path, o, n, ...) \
	FIXTURE_VARIANT_ADD(end, path) { \
		.name = #path, .act = path, \
		.old = BRACED o, .new = BRACED n, __VA_ARGS__ \
	}
#define ROW(path, both, ...)	ROW2(path, both, both, __VA_ARGS__)
#define WITH(function)		.prepare = function
#define CPU_WRITES		.cpu_writes = true

FIXTURE_SETUP(end)
{
	struct env *e = &self->e;

	NEED(XMIRROR_CAP_EXCLUSIVE);
	e->file = -1;
	e->uffd = -1;
	self->new = xm_caps() & XMIRROR_CAP_EXCLUSIVE_LARGE;
	self->want = self->new ? &variant->new : &variant->old;
	ASSERT_EQ(0, xm_pin_cpu());
	ASSERT_EQ(0, pipe2(e->pipe, O_CLOEXEC));
	OPEN(e->fd, 0);
	OPEN(e->fd1, 1);
	e->p = xm_area(XM_PAGE, variant->room);
	ASSERT_NE(NULL, e->p);
	memset(e->p, 0x11, XM_PAGE);
}

FIXTURE_TEARDOWN(end)
{
	EXPECT_CLEAN(self->e.fd);
	EXPECT_CLEAN(self->e.fd1);
	close(self->e.fd);
	close(self->e.fd1);
}

static __u32 view(int fd, const void *p)
{
	return xm_page(fd, p).cpu & (FULL | O | XMIRROR_CPU_EXCLUSIVE |
				     XMIRROR_CPU_HOLE);
}

/* A difference between a row and the result */
static __u32 events_between(const struct xmirror_stats *a,
			    const struct xmirror_stats *b)
{
	__u32 seen = 0;
	int i;

	for (i = 0; i < XMIRROR_NR_EVENTS; i++) {
		if (b->inv[i] != a->inv[i])
			seen |= 1U << i;
	}
	return seen;
}

#define CELL(what, expected, seen) \
	TH_LOG("row %s, kernel %d.%d: %s: expected %#llx, seen %#llx", \
	       variant->name, xm_kver() >> 8, xm_kver() & 0xff, \
	       (what), (unsigned long long)(expected), \
	       (unsigned long long)(seen))
#define CHECK_CELL(what, expected, seen) \
	do { \
		__u64 cell_e = (expected), cell_s = (seen); \
		EXPECT_EQ(cell_e, cell_s) \
			CELL(what, cell_e, cell_s); \
	} while (0)

TEST_F(end, row)
{
	const struct expect *want = self->want;
	struct xmirror_stats before, after;
	struct env *e = &self->e;
	__u32 events, need;
	__u64 *p = e->p;
	bool stays;
	int err = 0;

	if (variant->prepare)
		err = variant->prepare(e);
	if (err == NOT_HERE)
		XM_SKIP(return, "%s", e->why);
	ASSERT_EQ(0, err);

	ASSERT_EQ(0, xm_exclusive(e->fd, p, XM_PAGE, NULL));
	ASSERT_EQ(0, xm_op(e->fd, XMIRROR_OP_XCHG, 8, p, DEV, NULL));
	ASSERT_TRUE(xm_is_exclusive(p));
	EXPECT_LEAF(e->fd, p, LEAF_EXCL);
	/* An exclusive page counts as before. */
	CHECK_CELL("kB of the exclusive page", XM_PAGE_KB, xm_smaps_kb(p, "Rss"));

	ASSERT_EQ(0, xm_stats(e->fd, &before));
	errno = 0;
	err = variant->act(e);
	ASSERT_EQ(0, xm_stats(e->fd, &after));
	if (err == NOT_HERE)
		XM_SKIP(return, "%s", e->why);
	ASSERT_EQ(0, err)
		CELL("result", 0, err);

	/* Events */
	events = events_between(&before, &after);
	need = want->events & ~EV_R;
	if (want->events & EV_R)
		need |= 1U << xm_facts()->revoke_event;
	if (want->after != EITHER) {
		CHECK_CELL("events", need, need ? events & need : events);
		if (need) {
			EXPECT_LE(1, after.inv_leaves - before.inv_leaves)
				CELL("leaves cleared", 1, 0);
		}
	}

	/* The entry and the leaf */
	stays = want->after == STAYS;
	if (want->after == EITHER)
		stays = xm_is_exclusive(p);
	CHECK_CELL("exclusive", stays, xm_is_exclusive(p));
	CHECK_CELL("leaf", stays && !events ? LEAF_EXCL : LEAF_NONE,
		   xm_page(e->fd, p).dev & LEAF_EXCL);
	if (want->after == GONE && want->pte != ANY)
		CHECK_CELL("CPU entry", want->pte, view(e->fd, p));
	CHECK_CELL("kB", (__u64)(long)want->kb, xm_smaps_kb(p, "Rss"));
	if (want->after == MOVED) {
		EXPECT_TRUE(xm_is_exclusive(e->q));
		EXPECT_LEAF(e->fd, e->q, LEAF_NONE);
		p = e->q;
	}
	EXPECT_CLEAN(e->fd);
	if (variant->undo)
		ASSERT_EQ(0, variant->undo(e));
	if (want->after == UNMAPPED) {
		CHECK_CELL("CPU entry", XMIRROR_CPU_HOLE, view(e->fd, p));
		EXPECT_EQ(-EFAULT, xm_add(e->fd, p, 1));
		return;
	}

	/* The data, and the entry after a read if it is still exclusive */
	CHECK_CELL("data", want->lost ? 0 : DEV, XM_LOAD(p));
	CHECK_CELL("CPU's data", want->lost ? 0 :
		   variant->cpu_writes ? CPU : FILLED, XM_LOAD(p + 1));
	CHECK_CELL("still exclusive", false, xm_is_exclusive(p));
	if (want->then != ANY)
		CHECK_CELL("CPU entry when read", want->then, view(e->fd, p));
	if (variant->when_read)
		CHECK_CELL("when read", 0, variant->when_read(e));
}

#endif
