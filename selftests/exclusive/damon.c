// SPDX-License-Identifier: GPL-2.0
/*
 * DAMON looks for accesses to pages that the device has, exclusively or in its private
 * memory, and applies its actions to them: by page frame (paddr), where it finds the
 * mapping by the rmap, and by address (fvaddr), where it walks the page table.
 *
 * Each of its regions here is one page, so that each sample and each action is about
 * that page. Progress is what DAMON counts: asking it to update its counts waits for its
 * thread.
 */
#include <stdarg.h>

#include "moving.h"
#include "settings.h"
#include "uffd.h"

#define DAMON		"/sys/kernel/mm/damon/admin/kdamonds/"
#define CONTEXT		"0/contexts/0/"
#define SCHEME		CONTEXT "schemes/0/"
#define DAMON_STAT	"/sys/module/damon_stat/parameters/enabled"
#define ALL		(~0ULL)
/* So often DAMON is to try its action before the page is looked at. */
#define TRIES		5

#define KPF_IDLE	(1ULL << 25)

__attribute__((format(printf, 2, 3)))
static int damon_put(const char *file, const char *fmt, ...)
{
	char path[256], text[64];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	snprintf(path, sizeof(path), DAMON "%s", file);
	return xm_write_file(path, text);
}

static int damon_put_all(const char *file)
{
	char path[256];
	int err;

	snprintf(path, sizeof(path), SCHEME "access_pattern/%s/min", file);
	err = damon_put(path, "0");
	snprintf(path, sizeof(path), SCHEME "access_pattern/%s/max", file);
	/* Some are of 32 bits. */
	return err ?: damon_put(path, "%u", ~0U);
}

/* A count of the scheme, such as nr_tried, as of now; ~0 on failure */
static __u64 damon_count(const char *name)
{
	char path[256], text[32];
	int err;

	/* Busy while DAMON reads its settings. */
	do {
		err = damon_put("0/state", "update_schemes_stats");
	} while (err == -EBUSY);
	snprintf(path, sizeof(path), DAMON SCHEME "stats/%s", name);
	if (err || xm_read_line(path, text, sizeof(text)))
		return ALL;
	return strtoull(text, NULL, 10);
}

static void damon_end(void)
{
	damon_put("0/state", "off");
	damon_put("nr_kdamonds", "0");
}

/*
 * Have DAMON do @action to the one page at @start, by @ops: what it did not take, NULL
 * if it is at it.
 */
static const char *damon_start(const char *ops, const char *action, __u64 start,
			       int node)
{
	if (damon_put("nr_kdamonds", "1") || damon_put("0/contexts/nr_contexts", "1"))
		return "CONFIG_DAMON_SYSFS";
	if (damon_put(CONTEXT "operations", "%s", ops))
		return "CONFIG_DAMON_PADDR, CONFIG_DAMON_VADDR";
	if (damon_put(CONTEXT "schemes/nr_schemes", "1") ||
	    damon_put(SCHEME "action", "%s", action))
		return action;
	if (node >= 0 && damon_put(SCHEME "target_nid", "%d", node))
		return "target_nid";
	if (damon_put(CONTEXT "monitoring_attrs/intervals/sample_us", "1000") ||
	    damon_put(CONTEXT "monitoring_attrs/intervals/aggr_us", "4000") ||
	    damon_put(CONTEXT "targets/nr_targets", "1") ||
	    damon_put(CONTEXT "targets/0/pid_target", "%d", getpid()) ||
	    damon_put(CONTEXT "targets/0/regions/nr_regions", "1") ||
	    damon_put(CONTEXT "targets/0/regions/0/start", "%llu", start) ||
	    damon_put(CONTEXT "targets/0/regions/0/end", "%llu",
		      start + (__u64)XM_PAGE) ||
	    damon_put_all("sz") || damon_put_all("nr_accesses") ||
	    damon_put_all("age"))
		return "its settings";
	return damon_put("0/state", "on") ? "on" : NULL;
}

/* Another node with memory than that of the page at @p, which is present; or -1 */
static int other_node(void *p)
{
	int node, own = xm_node_of(p);
	char path[64];

	if (own < 0)
		return -1;
	for (node = 0; node < 8; node++) {
		snprintf(path, sizeof(path), "/sys/devices/system/node/node%d", node);
		if (node != own && !access(path, F_OK))
			return node;
	}
	return -1;
}

FIXTURE(damon) {
	int fd;
	int node;	/* to migrate to */
	__u64 *p;	/* and behind it a page that is left alone */
};

enum { STAYS, SWAPPED, MOVED };

/**
 * @ops: how DAMON gets at the page
 * @action: what it does there
 * @end: what becomes of an exclusive page
 */
FIXTURE_VARIANT(damon) {
	const char *ops;
	const char *action;
	int end;
};

#define DAMON_DOES(how, what, what_end) \
	FIXTURE_VARIANT_ADD(damon, how##_##what) { \
		.ops = #how, .action = #what, .end = (what_end), \
	}

DAMON_DOES(paddr, stat, STAYS);
DAMON_DOES(paddr, lru_prio, STAYS);
DAMON_DOES(paddr, lru_deprio, STAYS);
DAMON_DOES(paddr, pageout, SWAPPED);
DAMON_DOES(paddr, migrate_hot, MOVED);
DAMON_DOES(paddr, migrate_cold, MOVED);
DAMON_DOES(fvaddr, stat, STAYS);
DAMON_DOES(fvaddr, willneed, STAYS);
DAMON_DOES(fvaddr, cold, STAYS);
DAMON_DOES(fvaddr, pageout, STAYS);
DAMON_DOES(fvaddr, migrate_hot, STAYS);
DAMON_DOES(fvaddr, migrate_cold, STAYS);

FIXTURE_SETUP(damon)
{
	self->fd = -1;
	self->node = -1;
	NEED(XMIRROR_CAP_EXCLUSIVE);
	if (access(DAMON, F_OK))
		XM_SKIP(return, "no CONFIG_DAMON_SYSFS");
	OPEN(self->fd, 0);
	/* Runs from the boot on, and then alone. */
	if (!access(DAMON_STAT, F_OK)) {
		ASSERT_EQ(0, xm_setting(DAMON_STAT, "N"));
	}
	ASSERT_EQ(0, xm_pin_cpu());
	/* No other mapping merges with it. */
	self->p = xm_area(2 * XM_PAGE, 0);
	ASSERT_NE(NULL, self->p);
	*self->p = 5;
	self->p[XM_WORDS] = 7;
	if (!strncmp(variant->action, "migrate", 7)) {
		self->node = other_node(self->p);
		if (self->node < 0)
			XM_SKIP(return, "no other node");
	}
}

FIXTURE_TEARDOWN(damon)
{
	if (self->fd < 0)
		return;
	damon_end();
	EXPECT_CLEAN(self->fd);
	close(self->fd);
}

static bool by_frame(const FIXTURE_VARIANT(damon) *variant)
{
	return !strcmp(variant->ops, "paddr");
}

/* Start DAMON on the page, or skip where it has no such action. */
#define DAMON_START(frame) \
	do { \
		__u64 start_at = by_frame(variant) ? (frame) * XM_PAGE : \
				 (uintptr_t)self->p; \
		const char *start_why = damon_start(variant->ops, variant->action, \
						    start_at, self->node); \
		ASSERT_TRUE(!start_why || strcmp(start_why, "on")); \
		if (start_why) \
			XM_SKIP(return, "DAMON does not take: %s", start_why); \
	} while (0)

/* Wait until @done, which may use how often DAMON has tried, tried. */
#define WAIT_FOR_DAMON(done) \
	do { \
		__u64 wait_start = xm_now_ns(), tried; \
		do { \
			ASSERT_FALSE(xm_expired(wait_start, XM_LONG)); \
			tried = damon_count("nr_tried"); \
			ASSERT_NE(ALL, tried); \
		} while (!(done)); \
	} while (0)

/* Skip where an exclusive page does not come to the end of the variant. */
#define NEED_END() \
	do { \
		if (variant->end == STAYS) \
			break; \
		NEED_EXCLUSIVE_MOVES(); \
		NEED_RECLAIM(); \
		if (variant->end == SWAPPED && xm_meminfo_kb("SwapTotal") <= 0) \
			XM_SKIP(return, "no swap"); \
	} while (0)

static bool add_one(int fd, __u64 *p, __u64 *adds)
{
	bool ok = !xm_add(fd, p, 1);

	*adds += ok;
	return ok;
}

/* covers: B.damon */
TEST_F(damon, exclusive_page)
{
	struct xmirror_stats before, after;
	__u64 pfn = xm_pfn(self->p), adds = 0;

	NEED_END();
	ASSERT_EQ(0, xm_exclusive(self->fd, self->p, XM_PAGE, NULL));
	ASSERT_EQ(0, xm_add(self->fd, self->p, 1));
	ASSERT_EQ(pfn, xm_pfn(self->p));
	ASSERT_EQ(0, xm_stats(self->fd, &before));
	/* By its frame DAMON knows what is on the LRU lists only. */
	ASSERT_EQ(0, xm_drain());
	ASSERT_NE(0, xm_kpageflags(pfn) & XM_KPF_LRU);
	DAMON_START(pfn);
	if (variant->end == STAYS) {
		/* The device works on it all the time, and does not lose it. */
		WAIT_FOR_DAMON(!add_one(self->fd, self->p, &adds) || tried >= TRIES);
		EXPECT_LE(1, adds);
		EXPECT_TRUE(xm_is_exclusive(self->p));
		EXPECT_LEAF(self->fd, self->p, LEAF_EXCL);
		ASSERT_EQ(0, xm_stats(self->fd, &after));
		EXPECT_EQ(before.excl_lost, after.excl_lost);
		EXPECT_EQ(before.excl_made, after.excl_made);
	} else {
		WAIT_FOR_DAMON(tried && !xm_is_exclusive(self->p));
		EXPECT_LEAF(self->fd, self->p, LEAF_NONE);
	}
	if (variant->end == SWAPPED) {
		EXPECT_TRUE(xm_is_swapped(self->p));
	}
	if (variant->end == MOVED) {
		EXPECT_EQ(self->node, xm_node_of(self->p));
	}
	/* It was found by its frame, which no action on the LRU lists tells. */
	if (by_frame(variant) && variant->end == STAYS &&
	    !strcmp(variant->action, "stat")) {
		EXPECT_NE(0, xm_kpageflags(pfn) & KPF_IDLE);
	}
	/* What is being written to swap does not count. */
	if (by_frame(variant) && variant->end != SWAPPED &&
	    strcmp(variant->action, "stat")) {
		EXPECT_LE(1, damon_count("nr_applied"));
	}
	damon_end();
	EXPECT_EQ(0, xm_add(self->fd, self->p, 1));
	EXPECT_EQ(5 + 1 + adds + 1, XM_LOAD(self->p));
}

/* DAMON alone does something to the page, which is exclusive, until that has its end. */
#define RUN_DAMON() \
	do { \
		__u64 run_pfn = xm_pfn(self->p); \
		ASSERT_TRUE(xm_is_exclusive(self->p)); \
		ASSERT_EQ(0, xm_drain()); \
		ASSERT_NE(0, xm_kpageflags(run_pfn) & XM_KPF_LRU); \
		DAMON_START(run_pfn); \
		WAIT_FOR_DAMON(variant->end == STAYS ? tried >= TRIES : \
			       tried && !xm_is_exclusive(self->p)); \
		damon_end(); \
		ASSERT_EQ(variant->end == STAYS, xm_is_exclusive(self->p)); \
		ASSERT_EQ(variant->end == SWAPPED, xm_is_swapped(self->p)); \
		ASSERT_EQ(variant->end == MOVED, xm_is_present(self->p)); \
	} while (0)

/* What was written stays soft-dirty, and nothing else becomes so. */
/* covers: B.damon, F.soft_dirty */
TEST_F(damon, exclusive_page_is_soft_dirty)
{
	NEED_END();
	if (!xm_has_soft_dirty())
		XM_SKIP(return, "no CONFIG_MEM_SOFT_DIRTY");
	ASSERT_EQ(0, xm_write_file("/proc/self/clear_refs", "4"));
	ASSERT_FALSE(xm_is_marked(self->p, XM_PM_SOFT_DIRTY));
	*self->p = 6;
	ASSERT_EQ(0, xm_exclusive(self->fd, self->p, XM_PAGE, NULL));
	ASSERT_TRUE(xm_is_marked(self->p, XM_PM_SOFT_DIRTY));
	RUN_DAMON();
	EXPECT_TRUE(xm_is_marked(self->p, XM_PM_SOFT_DIRTY));
	EXPECT_FALSE(xm_is_marked(self->p + XM_WORDS, XM_PM_SOFT_DIRTY));
	EXPECT_EQ(6, XM_LOAD(self->p));
	EXPECT_TRUE(xm_is_marked(self->p, XM_PM_SOFT_DIRTY));
}

/* covers: B.damon, F.carry */
TEST_F(damon, exclusive_page_is_write_protected)
{
	int uffd = xm_uffd(UFFD_FEATURE_PAGEFAULT_FLAG_WP);

	if (uffd < 0)
		XM_SKIP(return, "no CONFIG_USERFAULTFD");
	NEED_END();
	ASSERT_EQ(0, xm_uffd_register(uffd, self->p, XM_PAGE,
				      UFFDIO_REGISTER_MODE_WP));
	ASSERT_EQ(0, xm_exclusive(self->fd, self->p, XM_PAGE, NULL));
	ASSERT_EQ(0, xm_uffd_wp(uffd, self->p, XM_PAGE, true));
	ASSERT_TRUE(xm_is_marked(self->p, XM_PM_UFFD_WP));
	RUN_DAMON();
	EXPECT_TRUE(xm_is_marked(self->p, XM_PM_UFFD_WP));
	EXPECT_EQ(-EFAULT, xm_add(self->fd, self->p, 1));
	EXPECT_TRUE(xm_is_marked(self->p, XM_PM_UFFD_WP));
	ASSERT_EQ(0, xm_uffd_wp(uffd, self->p, XM_PAGE, false));
	EXPECT_EQ(0, xm_add(self->fd, self->p, 1));
	EXPECT_EQ(6, XM_LOAD(self->p));
	close(uffd);
}

/* DAMON does not see private memory, and leaves it alone. */
/* covers: B.damon */
TEST_F(damon, private_page)
{
	__u64 moved = 0, pfn;

	NEED(XMIRROR_CAP_PRIVATE);
	ASSERT_EQ(0, xm_migrate(self->fd, self->p, XM_PAGE, 0, 0, &moved));
	ASSERT_EQ(1, moved);
	pfn = xm_private_pfn(self->fd, self->p);
	ASSERT_NE(0, pfn);
	DAMON_START(pfn);
	WAIT_FOR_DAMON(tried >= TRIES);
	EXPECT_TRUE(xm_is_private(self->fd, self->p));
	EXPECT_EQ(pfn, xm_private_pfn(self->fd, self->p));
	if (by_frame(variant)) {
		EXPECT_EQ(0, damon_count("nr_applied"));
	}
	damon_end();
	EXPECT_EQ(0, xm_add(self->fd, self->p, 1));
	EXPECT_EQ(6, XM_LOAD(self->p));
}

/* The same of a page inside a huge one */
/* covers: B.damon */
TEST_F(damon, page_of_a_private_huge_page)
{
	char *thp = xm_thp(self->fd, 0x55);
	__u64 pfn;

	NEED(XMIRROR_CAP_PRIVATE_LARGE);
	if (!thp)
		XM_SKIP(return, "%s", xm_why_no_thp());
	MIGRATE_HUGE(self->fd, thp);
	self->p = (__u64 *)thp + 5 * XM_WORDS;
	pfn = xm_private_pfn(self->fd, self->p);
	ASSERT_NE(0, pfn);
	DAMON_START(pfn);
	WAIT_FOR_DAMON(tried >= TRIES);
	EXPECT_EQ(0, damon_count("sz_ops_filter_passed"));
	damon_end();
	EXPECT_EQ(XM_HUGE_PRIVATE,
		  xm_page(self->fd, self->p).cpu & XM_HUGE_PRIVATE);
	EXPECT_EQ(pfn, xm_private_pfn(self->fd, self->p));
}

TEST_HARNESS_MAIN
