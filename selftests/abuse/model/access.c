// SPDX-License-Identifier: GPL-2.0
/*
 * Steps of the CPU and of the devices: words, bytes and ranges.
 */
#include "model.h"
#include "pagemap.h"

/* Accesses of one word */

int cpu_load(struct model *m)
{
	unsigned int i = m->now[PAGE], w = m->now[WORD];
	struct page *pg = &m->page[i];
	__u64 v = 0;
	int err;

	if (pg->right == NOT_MAPPED || one_in(m, 8)) {
		err = pg->right == NOT_MAPPED ? -EFAULT : 0;
		code(m, "EXPECT_EQ(%s, xm_peek(&p[%u][%u], &got));",
		     name_of(err), i, w);
		if (!err)
			code(m, "EXPECT_EQ(%#llx, got);", pg->word[w]);
		if (same(m, "readv", err, xm_peek(&m->area[i][w], &v)))
			return 1;
		return err ? 0 : same(m, "readv", pg->word[w], v);
	}
	code(m, "EXPECT_EQ(%#llx, XM_LOAD(&p[%u][%u]));", pg->word[w], i, w);
	return same(m, "CPU load", pg->word[w], XM_LOAD(&m->area[i][w]));
}

int cpu_store(struct model *m)
{
	unsigned int i = m->now[PAGE], w = m->now[WORD];
	struct page *pg = &m->page[i];
	__u64 v = m->now[VALUE];
	int err = 0;

	if (pg->right != READ_WRITE || one_in(m, 8)) {
		err = pg->right != READ_WRITE ? -EFAULT : 0;
		code(m, "EXPECT_EQ(%s, xm_poke(&p[%u][%u], %#llx));",
		     name_of(err), i, w, v);
		if (same(m, "writev", err, xm_poke(&m->area[i][w], v)))
			return 1;
	} else {
		code(m, "XM_STORE(&p[%u][%u], %#llx);", i, w, v);
		XM_STORE(&m->area[i][w], v);
	}
	if (!err)
		pg->word[w] = v;
	return 0;
}

int cpu_add(struct model *m)
{
	unsigned int i = m->now[PAGE], w = m->now[WORD];
	struct page *pg = &m->page[i];
	__u64 v = m->now[VALUE];

	if (pg->right != READ_WRITE)
		return 0;
	code(m, "EXPECT_EQ(%#llx, XM_ADD(&p[%u][%u], %#llx));", pg->word[w], i,
	     w, v);
	if (same(m, "CPU add", pg->word[w], XM_ADD(&m->area[i][w], v)))
		return 1;
	pg->word[w] += v;
	return 0;
}

static int dev_op(struct model *m, enum xmirror_op op, const char *name)
{
	unsigned int i = m->now[PAGE], w = m->now[WORD], d = m->now[DEV];
	struct range r = { .i = i, .n = 1 };
	struct page *pg = &m->page[i];
	__u64 v = m->now[VALUE], got = 0;
	bool has_result = op != XMIRROR_OP_STORE;
	int err;

	first_bad(m, r, op != XMIRROR_OP_LOAD, &err);
	code(m, "EXPECT_EQ(%s, xm_op(fd[%u], XMIRROR_OP_%s, 8, &p[%u][%u], %#llx, %s));",
	     name_of(err), d, name, i, w, v, has_result ? "&got" : "NULL");
	if (has_result && !err)
		code(m, "EXPECT_EQ(%#llx, got);", pg->word[w]);
	if (same(m, name, err, xm_op(m->fd[d], op, 8, &m->area[i][w], v, &got)))
		return 1;
	if (err)
		return 0;
	if (has_result && same(m, name, pg->word[w], got))
		return 1;
	if (op == XMIRROR_OP_STORE || op == XMIRROR_OP_XCHG)
		pg->word[w] = v;
	if (op == XMIRROR_OP_ADD)
		pg->word[w] += v;
	return 0;
}

int dev_load(struct model *m)
{
	return dev_op(m, XMIRROR_OP_LOAD, "LOAD");
}

int dev_store(struct model *m)
{
	return dev_op(m, XMIRROR_OP_STORE, "STORE");
}

int dev_add(struct model *m)
{
	return dev_op(m, XMIRROR_OP_ADD, "ADD");
}

int dev_xchg(struct model *m)
{
	return dev_op(m, XMIRROR_OP_XCHG, "XCHG");
}

/* One word of each page of a range; what comes before a bad page is done. */
int dev_add_pages(struct model *m)
{
	struct range r = range_of(m);
	unsigned int w = m->now[WORD], d = m->now[DEV], k, good;
	struct xmirror_cmd cmd = xm_cmds(XMIRROR_OP_ADD, 8, &m->area[r.i][w],
					 XM_PAGE, r.n, 3);
	__u64 done;
	int err;

	good = first_bad(m, r, true, &err);
	code(m, "cmd = xm_cmds(XMIRROR_OP_ADD, 8, &p[%u][%u], XM_PAGE, %u, 3);",
	     r.i, w, r.n);
	code(m, "EXPECT_EQ(%s, xm_run_ops(fd[%u], &cmd, &got));", name_of(err),
	     d);
	code(m, "EXPECT_EQ(%u, got);", good);
	if (same(m, "job", err, xm_run_ops(m->fd[d], &cmd, &done)) ||
	    same(m, "locations", good, done))
		return 1;
	for (k = 0; k < good; k++)
		m->page[r.i + k].word[w] += 3;
	return 0;
}

/* Bytes */

int dev_write(struct model *m)
{
	unsigned int i = m->now[PAGE], d = m->now[DEV], k;
	struct range r = { .i = i, .n = 1 };
	__u64 buf[XM_WORDS], v = m->now[VALUE];
	int err;

	for (k = 0; k < XM_WORDS; k++)
		buf[k] = v * k;
	first_bad(m, r, true, &err);
	code(m, "for (k = 0; k < XM_WORDS; k++)");
	code(m, "\tbuf[k] = k * %#llx;", v);
	code(m, "EXPECT_EQ(%s, xm_write(fd[%u], p[%u], buf, XM_PAGE));",
	     name_of(err), d, i);
	if (same(m, "write", err,
		 xm_write(m->fd[d], m->area[i], buf, XM_PAGE)))
		return 1;
	if (!err)
		memcpy(m->page[i].word, buf, XM_PAGE);
	return 0;
}

int dev_read(struct model *m)
{
	struct range r = range_of(m);
	__u64 buf[4][XM_WORDS], done;
	unsigned int d = m->now[DEV], k, good;
	char name[32];
	int err;

	good = first_bad(m, r, false, &err);
	code(m, "EXPECT_EQ(%s, xm_rw(fd[%u], p[%u], buf, %u * XM_PAGE, 0, &got));",
	     name_of(err), d, r.i, r.n);
	code(m, "EXPECT_EQ(%u * XM_PAGE, got);", good);
	if (same(m, "read", err, xm_rw(m->fd[d], r.p, buf, r.len, 0, &done)) ||
	    same(m, "bytes read", good * XM_PAGE, done))
		return 1;
	for (k = 0; k < good; k++) {
		snprintf(name, sizeof(name), "buf[%u * XM_WORDS + ", k);
		if (same_page(m, "device", r.i + k, buf[k], k ? name : "buf["))
			return 1;
	}
	return 0;
}

/* Ranges */

int dev_fault(struct model *m)
{
	struct range r = range_of(m);
	bool write = one_in(m, 2);
	unsigned int d = m->now[DEV], good;
	__u64 done;
	int err;

	good = first_bad(m, r, write, &err);
	code(m, "EXPECT_EQ(%s, xm_fault(fd[%u], p[%u], %u * XM_PAGE, %s, &got));",
	     name_of(err), d, r.i, r.n, write ? "XMIRROR_FAULT_WRITE" : "0");
	/* The pages before a bad one may be done or not. */
	code(m, "EXPECT_%s(%u * XM_PAGE, got);", err ? "GE" : "EQ", good);
	if (same(m, "fault", err, xm_fault(m->fd[d], r.p, r.len, write ?
					   XMIRROR_FAULT_WRITE : 0, &done)))
		return 1;
	if (!err)
		return same(m, "bytes done", r.len, done);
	if (done > good * XM_PAGE)
		return wrong(m, "%llu bytes done past a bad page", done);
	return 0;
}

int dev_exclusive(struct model *m)
{
	struct range r = range_of(m);
	unsigned int d = m->now[DEV], good;
	__u64 done;
	int err;

	good = first_bad(m, r, true, &err);
	code(m, "EXPECT_EQ(%s, xm_exclusive(fd[%u], p[%u], %u * XM_PAGE, &got));",
	     name_of(err), d, r.i, r.n);
	code(m, "EXPECT_EQ(%u * XM_PAGE, got);", good);
	if (same(m, "exclusive", err,
		 xm_exclusive(m->fd[d], r.p, r.len, &done)))
		return 1;
	return same(m, "bytes exclusive", good * XM_PAGE, done);
}

int dev_release(struct model *m)
{
	struct range r = range_of(m);
	unsigned int d = m->now[DEV];
	__u64 done;

	code(m, "EXPECT_EQ(0, xm_release(fd[%u], p[%u], %u * XM_PAGE, &got));",
	     d, r.i, r.n);
	code(m, "EXPECT_EQ(%u * XM_PAGE, got);", r.n);
	if (same(m, "release", 0, xm_release(m->fd[d], r.p, r.len, &done)))
		return 1;
	return same(m, "bytes released", r.len, done);
}

/*
 * Linux 6.12 dies of migrating a page of the swap cache to a device, see
 * destructive/migrate_swapcache.c.
 */
static bool must_not_migrate(const struct range *r)
{
	unsigned int k;

	if (xm_kver() <= XM_KVER(6, 1) || xm_kver() >= XM_KVER(7, 3))
		return false;
	for (k = 0; k < r->n; k++) {
		__u64 pfn = xm_pfn((char *)r->p + k * XM_PAGE);

		if (pfn && (xm_kpageflags(pfn) & XM_KPF_SWAPCACHE))
			return true;
	}
	return false;
}

int dev_migrate(struct model *m)
{
	struct range r = range_of(m);
	bool back = one_in(m, 3);
	unsigned int d = m->now[DEV];
	int err;

	if (!m->devmem || must_not_migrate(&r))
		return 0;
	first_bad(m, r, false, &err);
	code(m, "EXPECT_EQ(%s, xm_migrate(fd[%u], p[%u], %u * XM_PAGE, %s, 0, NULL));",
	     name_of(err), d, r.i, r.n,
	     back ? "XMIRROR_MIGRATE_TO_SYSTEM" : "0");
	return same(m, "migrate", err,
		    xm_migrate(m->fd[d], r.p, r.len,
			       back ? XMIRROR_MIGRATE_TO_SYSTEM : 0, 0, NULL));
}
