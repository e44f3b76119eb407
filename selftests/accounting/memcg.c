// SPDX-License-Identifier: GPL-2.0
/*
 * The charge of a process and its rss, after each way that a page can take: to the
 * device, back, to another device, to the pool of raw calls, by fork, unmap, exit,
 * and when the control group is removed before its pages. A page of the device's
 * memory is charged like one of the system's, once, to the group that it was
 * charged to before.
 *
 * The kernel keeps its counters per CPU in batches of pages, and they are read
 * without those parts: so many pages move that one lost page in eight is seen. The
 * end is exact: no page is charged to the group around it then.
 */
#include "group.h"
#include "raw.h"
#include "test.h"

#define PAGES	2048UL
#define LEN	(PAGES * XM_PAGE)
#define WORDS	(XM_PAGE / 8)
#define SLACK	(LEN / 8)

struct way {
	int (*go)(struct way *w);
	struct group g;
	int fd;
	int peer;
	__u64 *p;
	long bytes;		/* the charge that is expected in the end */
	bool not_mapped;	/* the kernel counts these pages as not mapped */
};

static bool is_about(long is, long should)
{
	return is >= should - (long)SLACK && is <= should + (long)SLACK;
}

static bool about(const char *what, long is, long should)
{
	if (is_about(is, should))
		return true;
	dprintf(2, "# %s: %ld KiB, not %ld\n", what, is / 1024, should / 1024);
	return false;
}

/*
 * memory.stat is read without what the CPUs have counted since the last flush, and what is
 * counted beside one may wait for the next, which is two seconds later
 * (mem_cgroup_css_rstat_flush() in mm/memcontrol.c).
 */
static long anon_soon(const struct way *w, long should)
{
	__u64 start = xm_now_ns();
	long is;

	do {
		is = group_stat(&w->g, "anon");
	} while (!is_about(is, should) && !xm_expired(start, XM_LONG));
	return is;
}

/* @bytes are charged and resident. */
static bool charged(struct way *w, long bytes, long rss)
{
	bool ok = about("memory.current", group_current(&w->g), bytes);
	long anon = w->not_mapped ? 0 : bytes;

	ok &= about("memory.stat anon", anon_soon(w, anon), anon);
	/* smaps walks the page table. */
	return about("rss", xm_smaps_kb(w->p, "Rss") * 1024, rss) && ok;
}

static int there(struct way *w)
{
	__u64 moved;

	xm_fill_pages(w->p, PAGES);
	CHILD_CHECK(charged(w, LEN, LEN));
	CHILD_CHECK(!xm_migrate(w->fd, w->p, LEN, 0, 0, &moved));
	CHILD_CHECK(moved == PAGES);
	CHILD_CHECK(charged(w, LEN, LEN));
	return 0;
}

static int to_device(struct way *w)
{
	w->bytes = LEN;
	return there(w);
}

static int back_by_touch(struct way *w)
{
	w->bytes = LEN;
	CHILD_CHECK(!there(w));
	CHILD_CHECK(!xm_wrong_pages(w->p, PAGES));
	CHILD_CHECK(xm_is_present(w->p));
	return 0;
}

static int back_by_call(struct way *w)
{
	__u64 moved;

	w->bytes = LEN;
	CHILD_CHECK(!there(w));
	CHILD_CHECK(!xm_migrate(w->fd, w->p, LEN, XMIRROR_MIGRATE_TO_SYSTEM, 0,
				&moved));
	CHILD_CHECK(moved == PAGES);
	return 0;
}

static int to_another_device(struct way *w)
{
	__u64 moved;

	w->bytes = LEN;
	CHILD_CHECK(!there(w));
	CHILD_CHECK(!xm_migrate(w->peer, w->p, LEN, XMIRROR_MIGRATE_FROM_PEER,
				0, &moved));
	CHILD_CHECK(moved == PAGES);
	return 0;
}

static int empty_to_device(struct way *w)
{
	__u64 moved;

	w->bytes = LEN;
	CHILD_CHECK(!xm_migrate(w->fd, w->p, LEN, 0, 0, &moved));
	CHILD_CHECK(moved == PAGES);
	return 0;
}

static int large_to_device(struct way *w)
{
	__u64 moved;

	w->bytes = LEN;
	CHILD_CHECK(!madvise(w->p, LEN, MADV_HUGEPAGE));
	xm_fill_pages(w->p, PAGES);
	CHILD_CHECK(!xm_migrate(w->fd, w->p, LEN, 0, 0, &moved));
	CHILD_CHECK(moved == PAGES);
	return 0;
}

static int large_to_device_and_split(struct way *w)
{
	CHILD_CHECK(!large_to_device(w));
	CHILD_CHECK(!mprotect(w->p + 5 * WORDS, XM_PAGE, PROT_READ));
	/* One VMA again, with small entries. */
	CHILD_CHECK(!mprotect(w->p + 5 * WORDS, XM_PAGE,
			      PROT_READ | PROT_WRITE));
	CHILD_CHECK(!xm_wrong_pages(w->p, PAGES));
	return 0;
}

static int exclusive(struct way *w)
{
	w->bytes = LEN;
	xm_fill_pages(w->p, PAGES);
	CHILD_CHECK(!xm_exclusive(w->fd, w->p, LEN, NULL));
	CHILD_CHECK(xm_is_exclusive(w->p));
	/* Before Linux 6.15 an exclusive entry is no mapping, see mm/rmap.c. */
	w->not_mapped = xm_kver() < XM_KVER(6, 15);
	return 0;
}

static int to_the_pool(struct way *w)
{
	size_t i;

	w->bytes = LEN;
	xm_fill_pages(w->p, PAGES);
	for (i = 0; i < PAGES; i += XMIRROR_RAW_MAX_PAGES)
		CHILD_CHECK(raw_to(w->fd, w->p + i * WORDS,
				   XMIRROR_RAW_MAX_PAGES,
				   XMIRROR_RAW_PRIVATE) ==
			    XMIRROR_RAW_MAX_PAGES);
	return 0;
}

static int to_the_pool_and_back(struct way *w)
{
	CHILD_CHECK(!to_the_pool(w));
	CHILD_CHECK(raw_back(w->fd, w->p, PAGES) == (long)PAGES);
	CHILD_CHECK(!xm_wrong_pages(w->p, PAGES));
	return 0;
}

static int zapped_there(struct way *w)
{
	CHILD_CHECK(!there(w));
	CHILD_CHECK(!madvise(w->p, LEN, MADV_DONTNEED));
	return 0;
}

static int half_unmapped_there(struct way *w)
{
	w->bytes = LEN / 2;
	CHILD_CHECK(!there(w));
	CHILD_CHECK(!munmap(w->p, LEN / 2));
	w->p = (void *)w->p + LEN / 2;
	return 0;
}

static int child_writes(struct child *c, void *arg)
{
	struct way *w = arg;

	(void)c;
	xm_fill_pages(w->p, PAGES);
	CHILD_CHECK(about("two processes", group_current(&w->g), 2 * LEN));
	return 0;
}

/* A child that writes has its own pages; after its end all is as before. */
static int forked_there(struct way *w)
{
	struct child c;

	w->bytes = LEN;
	CHILD_CHECK(!there(w));
	CHILD_CHECK(!child_start(&c, child_writes, w));
	CHILD_CHECK(!child_end(&c));
	return 0;
}

FIXTURE(way) {
	struct way w;
	struct group all;	/* has that of @w in it */
	__u64 free_at_start;
	int fd;
	bool made;
};

FIXTURE_VARIANT(way) {
	int (*go)(struct way *w);
	__u64 cap;
};

#define WAY(name, needs) \
	FIXTURE_VARIANT_ADD(way, name) { \
		.go = name, \
		.cap = XMIRROR_CAP_PRIVATE | (needs), \
	}

WAY(to_device, 0);
WAY(back_by_touch, 0);
WAY(back_by_call, 0);
WAY(to_another_device, 0);
WAY(empty_to_device, 0);
WAY(large_to_device, XMIRROR_CAP_PRIVATE_LARGE);
WAY(large_to_device_and_split, XMIRROR_CAP_PRIVATE_LARGE);
WAY(exclusive, XMIRROR_CAP_EXCLUSIVE);
WAY(to_the_pool, 0);
WAY(to_the_pool_and_back, 0);
WAY(zapped_there, 0);
WAY(half_unmapped_there, 0);
WAY(forked_there, 0);

FIXTURE_SETUP(way)
{
	int err;

	self->fd = -1;
	NEED(variant->cap);
	if (variant->cap & XMIRROR_CAP_PRIVATE_LARGE && LEN < XM_PMD)
		XM_SKIP(return, "a huge page is larger than all that moves");
	err = group_make(&self->all, "all");
	if (!err)
		err = group_make_below(&self->w.g, &self->all, "acct");
	if (err)
		XM_SKIP(return, "no memory control groups: %s", strerror(-err));
	self->made = true;
	self->w.go = variant->go;
	OPEN(self->fd, 0);
	self->free_at_start = xm_devmem_free(self->fd);
}

FIXTURE_TEARDOWN(way)
{
	EXPECT_EQ(0, group_end(&self->w.g));
	EXPECT_EQ(0, group_end(&self->all));
	if (self->made) {
		EXPECT_EQ(self->free_at_start, xm_devmem_free(self->fd));
		close(self->fd);
	}
}

static int goes(struct child *c, void *arg)
{
	struct way *w = arg;

	/* The batches of one CPU: of many they are more than SLACK. */
	CHILD_CHECK(!xm_pin_cpu());
	CHILD_CHECK(!group_enter(&w->g));
	w->fd = xm_open(0);
	w->peer = xm_open(1);
	w->p = xm_anon_aligned(LEN, XM_PMD);
	CHILD_CHECK(w->fd >= 0 && w->peer >= 0 && w->p);
	CHILD_CHECK(!w->go(w));
	CHILD_CHECK(charged(w, w->bytes, w->bytes));
	CHILD_CHECK(!child_tell(c, 'd'));
	/* The end: exit, kill, or a move to another group */
	switch (child_hear(c)) {
	case 'x':
		return 0;
	case 'u':
		CHILD_CHECK(!munmap(w->p, w->bytes ? w->bytes : (long)LEN));
		CHILD_CHECK(about("unmapped", group_current(&w->g), 0));
		return 0;
	case 'l':
		CHILD_CHECK(!group_leave(&w->g));
		CHILD_CHECK(!child_tell(c, 'l'));
		return child_hear(c) != 'x';
	}
	return 1;
}

TEST_F(way, and_exit)
{
	struct child c;

	ASSERT_EQ(0, child_start(&c, goes, &self->w));
	ASSERT_EQ('d', child_hear(&c));
	ASSERT_EQ(0, child_tell(&c, 'x'));
	EXPECT_EQ(0, child_end(&c));
	EXPECT_TRUE(about("after exit", group_current(&self->w.g), 0));
	EXPECT_EQ(0, group_remove(&self->w.g));
	EXPECT_EQ(0, group_left(&self->all));
}

TEST_F(way, and_kill)
{
	struct child c;

	ASSERT_EQ(0, child_start(&c, goes, &self->w));
	ASSERT_EQ('d', child_hear(&c));
	ASSERT_EQ(0, kill(c.pid, SIGKILL));
	EXPECT_EQ(128 + SIGKILL, child_end(&c));
	EXPECT_TRUE(about("after kill", group_current(&self->w.g), 0));
	EXPECT_EQ(0, group_remove(&self->w.g));
	EXPECT_EQ(0, group_left(&self->all));
}

TEST_F(way, and_unmap)
{
	struct child c;

	ASSERT_EQ(0, child_start(&c, goes, &self->w));
	ASSERT_EQ('d', child_hear(&c));
	ASSERT_EQ(0, child_tell(&c, 'u'));
	EXPECT_EQ(0, child_end(&c));
	EXPECT_EQ(0, group_remove(&self->w.g));
	EXPECT_EQ(0, group_left(&self->all));
}

/* The group is removed before the pages; the process lives on. */
TEST_F(way, and_the_group_goes_first)
{
	struct child c;

	ASSERT_EQ(0, child_start(&c, goes, &self->w));
	ASSERT_EQ('d', child_hear(&c));
	ASSERT_EQ(0, child_tell(&c, 'l'));
	ASSERT_EQ('l', child_hear(&c));
	EXPECT_EQ(0, group_remove(&self->w.g));
	ASSERT_EQ(0, child_tell(&c, 'x'));
	EXPECT_EQ(0, child_end(&c));
	EXPECT_EQ(0, group_left(&self->all));
}

TEST_HARNESS_MAIN
