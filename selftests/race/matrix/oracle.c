// SPDX-License-Identifier: GPL-2.0
/*
 * The conditions after a race: the results of both sides, data, page tables,
 * accounting, and that the device can go on. See matrix.h.
 *
 * The data tells whether anything was lost or done twice, and does not trust the
 * module: the counter is the sum of what both sides added, a page that the mm op
 * throws away is a new one as a whole, and no other word changes.
 */
#include "private.h"
#include "raw.h"

int race_check_errors(const struct race_env *e, int dev, int mm)
{
	unsigned int flags = e->mmop->flags;
	bool gone = flags & RACE_MAY_FAULT || (e->huge && flags & RACE_PART);
	bool may = !dev || (dev == -EFAULT && gone) ||
		   (dev == (e->devop->cpu ? -EFAULT : -EPERM) &&
		    (flags & RACE_MAY_PERM)) ||
		   (dev == -EOPNOTSUPP && race_is_too_large(e));

	CHECK(may, "the device op failed: %d", dev);
	/* access_remote_vm() does not let go of mmap_lock for a userfaultfd. */
	may = flags & RACE_MAY_FAIL ||
	      (mm == -EIO && flags & RACE_NO_WAIT && e->devop->protects);
	CHECK(!mm || may, "the mm op failed: %d", mm);
	return 0;
}

static int check_result(struct race_env *e, int dev, int mm)
{
	if (race_check_errors(e, dev, mm))
		return -1;
	if (e->devop->moves && !strcmp(e->mmop->name, "nothing"))
		CHECK(e->huge || e->pages_moved == 1, "%llu pages migrated",
		      (unsigned long long)e->pages_moved);
	return 0;
}

int race_check_leaf(struct race_env *e)
{
	struct xmirror_page page;

	if (e->fd < 0)
		return 0;
	page = xm_page(e->fd, e->p);
	if (!(page.dev & XMIRROR_PTE_VALID) || (page.dev & XMIRROR_PTE_LOCAL))
		return 0;
	CHECK(page.dev_pfn == xm_pfn(e->p), "leaf of %#llx, pagemap says %#llx",
	      (unsigned long long)page.dev_pfn,
	      (unsigned long long)xm_pfn(e->p));
	if (page.dev & XMIRROR_PTE_EXCLUSIVE)
		CHECK(xm_is_exclusive(e->p), "exclusive leaf, pagemap %#llx",
		      (unsigned long long)xm_pagemap(e->p));
	return 0;
}

/* The device sees the same as the CPU, by VERIFY and by pagemap. */
static int check_views(struct race_env *e)
{
	int fds[] = { e->fd, e->fd1, e->fd2 }, i;
	char text[128] = "";
	long n;

	for (i = 0; i < 3; i++) {
		if (fds[i] < 0)
			continue;
		n = xm_violations(fds[i], text, sizeof(text));
		CHECK(!n, "VERIFY: %ld: %s", n, text);
	}
	return race_check_leaf(e);
}

/* What userfaultfd has protected stays so, whatever the page has become meanwhile. */
static int check_protection(struct race_env *e, int mm)
{
	if (!(e->mmop->flags & RACE_PROTECTS) || mm || e->devop->empty)
		return 0;
	CHECK(xm_pagemap(e->p) & XM_PM_UFFD_WP, "not write-protected: pagemap %#llx",
	      (unsigned long long)xm_pagemap(e->p));
	return 0;
}

/*
 * Whoever brings a private page back has to try again if somebody else has a reference
 * to it. Those that wait for the page have none since Linux 6.15 (do_swap_page()).
 */
static int check_tries(struct race_env *e)
{
	struct xmirror_stats s;
	__u64 tries;

	if (!e->devop->once || e->huge || xm_kver() < XM_KVER(6, 15))
		return 0;
	CHECK(!xm_stats(e->fd, &s), "no counters");
	tries = s.inv[XM_EV_MIGRATE] - e->migrations;
	CHECK(tries < 2, "the page came back in %llu tries", (unsigned long long)tries);
	return 0;
}

/**
 * struct legal - what the page may hold now
 * @start: the counter before the race
 * @low, @high: bounds of the increments that took place
 * @kept: it may be the old page
 * @lost: it may be a new one
 */
struct legal {
	__u64 start;
	__u64 low;
	__u64 high;
	bool kept;
	bool lost;
};

static struct legal legal(const struct race_env *e, int dev, int mm)
{
	bool lost = e->mmop->data == RACE_ZERO || e->mmop->data == RACE_EITHER;
	struct legal l = {
		.start = race_start(e),
		.kept = e->mmop->data != RACE_ZERO || mm,
		.lost = lost && (!mm || e->mmop->flags & RACE_MAY_FAIL),
	};

	l.high = e->devop->adds + (mm ? 0 : e->mmop->adds);
	l.low = dev ? l.high - e->devop->adds : l.high;
	return l;
}

static int check_counter(const struct legal *l, __u64 value)
{
	if (l->kept && value >= l->start + l->low &&
	    value <= l->start + l->high)
		return 0;
	/* How much came after the loss is not known. */
	if (l->lost && value <= l->high)
		return 0;
	FAIL("the counter is %llu, not %s%llu to %llu",
	     (unsigned long long)value,
	     l->lost ? "a part of or " : "",
	     (unsigned long long)l->start + l->low,
	     (unsigned long long)l->start + l->high);
}

/* All words but the counter; the page is the old one, or a new one. */
static int check_words(struct race_env *e, const __u64 *p, bool old,
		       int dev, int mm)
{
	__u64 want, value;
	unsigned int i;

	for (i = 1; i < RACE_WORDS; i++) {
		want = old ? RACE_FILL(i) : 0;
		value = XM_LOAD(p + i);
		if (i == 1 && e->devop->stores &&
		    (value == RACE_STORED || !dev)) {
			/* On a new page it may have been stored before. */
			if (value == RACE_STORED || (!old && !value))
				continue;
			FAIL("the device's store is lost");
		}
		if (i && i == e->mmop->word && !mm)
			want = RACE_MARK;
		/* Of a file */
		if (e->devop->empty && e->mmop->word && value == RACE_FILL(i))
			continue;
		CHECK(value == want, "word %u is %#llx, not %#llx", i,
		      (unsigned long long)value, (unsigned long long)want);
	}
	return 0;
}

/* The page is at q now, and what came later may be in a new one at p. */
static int check_moved(struct race_env *e, int dev, int mm)
{
	struct legal l = legal(e, dev, mm);
	__u64 sum = XM_LOAD(e->q), left = 0;
	bool stored = XM_LOAD(e->q + 1) == RACE_STORED;

	if (e->left) {
		left = XM_LOAD(e->p);
		stored |= XM_LOAD(e->p + 1) == RACE_STORED;
	}
	CHECK(sum >= l.start, "the counter that moved is %llu",
	      (unsigned long long)sum);
	CHECK(!e->devop->stores || dev || stored, "the device's store is lost");
	CHECK(XM_LOAD(e->q + 300) == (e->devop->empty ? 0 : RACE_FILL(300)),
	      "the page did not move");
	return check_counter(&l, sum + left);
}

static int check_data(struct race_env *e, int dev, int mm)
{
	struct legal l = legal(e, dev, mm);
	__u64 value;

	if (e->devop->reads && !dev)
		CHECK((e->seen >= l.start && e->seen <= l.start + l.high) ||
		      (!e->seen && e->mmop->data != RACE_KEPT),
		      "the device read %llu", (unsigned long long)e->seen);
	if (e->mm_moved)
		return check_moved(e, dev, mm);
	if (e->gone)
		return 0;
	value = XM_LOAD(e->p);
	if (check_counter(&l, value))
		return -1;
	return check_words(e, e->p, value >= RACE_START && !e->devop->empty, dev, mm);
}

/* Nobody has looked at the neighbour. */
static int check_neighbour(struct race_env *e)
{
	__u64 value = XM_LOAD((__u64 *)e->area);
	__u64 want = e->devop->empty && e->huge ? 0 : 3;

	CHECK(value == want, "the neighbour is %llu", (unsigned long long)value);
	return 0;
}

/* Device and CPU count on one word: none of them has lost its way to it. */
static int check_access(struct race_env *e, __u64 *p)
{
	__u64 was = XM_LOAD(p), value = 0;
	int err;

	if (xm_caps() & XMIRROR_CAP_EXCLUSIVE) {
		err = xm_add(e->fd, p, 1);
		if (err == -EOPNOTSUPP && race_is_too_large(e))
			XM_ADD(p, 1);
		else
			CHECK(!err, "the device cannot add: %d", err);
	} else {
		XM_ADD(p, 1);
	}
	err = xm_read(e->fd, p, &value, 8);
	CHECK(!err && value == was + 1, "the device reads %llu, not %llu: %d",
	      (unsigned long long)value, (unsigned long long)was + 1, err);
	CHECK(XM_ADD(p, 1) == was + 1, "the CPU does not see what was added");
	err = xm_write(e->fd, p + 1, &value, 8);
	CHECK(!err, "the device cannot write: %d", err);
	CHECK(XM_LOAD(p + 1) == value, "the CPU does not see what was written");
	CHECK(XM_LOAD(p) == was + 2, "the counter changed");
	if (!e->devop->adds && !e->devop->stores)
		return 0;
	/* The data that the device wrote outlives the page. */
	madvise(p, XM_PAGE, MADV_PAGEOUT);
	CHECK(XM_LOAD(p) == was + 2, "lost by reclaim");
	CHECK(XM_LOAD(p + 1) == value, "the store is lost by reclaim");
	return 0;
}

/* Neither side has kept a reference to the page, nor forgotten one. */
static int check_unheld(struct race_env *e, const __u64 *p)
{
	int refs = raw_held(e->fd, p);

	CHECK(refs >= 0, "there is no page: %d", refs);
	CHECK(!refs, "%d references to the page are left", refs);
	return 0;
}

static int check_page(struct race_env *e, __u64 *p)
{
	return check_access(e, p) || check_unheld(e, p) ? -1 : 0;
}

static int check_device(struct race_env *e)
{
	__u64 value;
	void *p;

	if (e->mm_moved && check_page(e, e->q))
		return -1;
	if (e->gone) {
		CHECK(xm_read(e->fd, e->p, &value, 8) == -EFAULT,
		      "the device can access what is not there");
		p = mmap(e->p, XM_PAGE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1,
			 0);
		CHECK(p == e->p, "cannot map a new page");
	}
	return check_page(e, e->p);
}

/*
 * Resident memory of the area, as smaps counts it, is what pagemap shows as
 * present. The mm's counters are checked by the kernel when it ends.
 */
static int check_rss(struct race_env *e)
{
	unsigned long start, end, at, kb = 0, want = 0;
	bool here = false;
	char line[512];
	FILE *f;

	XM_LOAD((__u64 *)e->area);
	XM_LOAD(e->p);
	f = fopen("/proc/self/smaps", "re");
	CHECK(f, "no smaps");
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2) {
			/* Nothing lies lower, so that is all. */
			if (start >= (uintptr_t)e->area + e->len)
				break;
			here = true;
			for (at = start; here && at < end; at += XM_PAGE)
				want += xm_is_present((void *)at) ? XM_PAGE >> 10 : 0;
		} else if (here && !strncmp(line, "Rss:", 4)) {
			kb += strtoul(line + 4, NULL, 10);
		}
	}
	fclose(f);
	CHECK(kb == want, "smaps counts %lu kB, pagemap %lu kB", kb, want);
	return 0;
}

int race_check(struct race_env *e, int dev, int mm)
{
	int err = 0;

	if (check_result(e, dev, mm) || check_tries(e) || check_views(e) ||
	    check_protection(e, mm))
		return -1;
	if (e->devop->end)
		err = e->devop->end(e);
	CHECK(!err, "ending the device op: %d", err);
	if (e->mmop->undo)
		err = e->mmop->undo(e);
	CHECK(!err, "undoing the mm op: %d", err);
	if (check_data(e, dev, mm) || check_neighbour(e) || check_device(e) ||
	    check_views(e))
		return -1;
	/* A huge page of entries takes long to read. */
	if (e->len < XM_PMD && check_rss(e))
		return -1;
	return 0;
}
