// SPDX-License-Identifier: GPL-2.0
/*
 * The model: what a step expects, and the line of C that it leaves.
 */
#include <stdarg.h>

#include "model.h"

void code(struct model *m, const char *fmt, ...)
{
	struct line *line = &m->r->log[m->r->lines++ % LINES];
	va_list args;

	line->step = m->step;
	va_start(args, fmt);
	vsnprintf(line->text, sizeof(line->text), fmt, args);
	va_end(args);
}

int wrong(struct model *m, const char *fmt, ...)
{
	va_list args;

	m->r->bad = m->step ? m->step : 1;
	va_start(args, fmt);
	vsnprintf(m->r->text, sizeof(m->r->text), fmt, args);
	va_end(args);
	return 1;
}

int same(struct model *m, const char *what, long expected, long seen)
{
	if (expected == seen)
		return 0;
	return wrong(m, "%s: expected %#lx, seen %#lx", what, expected, seen);
}

const char *name_of(int err)
{
	switch (err) {
	case 0:
		return "0";
	case -EFAULT:
		return "-EFAULT";
	default:
		return "-EPERM";
	}
}

struct range range_of(struct model *m)
{
	struct range r;

	r.i = m->now[PAGE];
	r.n = 1 + m->now[N];
	if (r.i + r.n > PAGES)
		r.n = PAGES - r.i;
	r.p = m->area[r.i];
	r.len = r.n * XM_PAGE;
	return r;
}

bool one_in(struct model *m, unsigned int n)
{
	return m->now[HOW] % n == n - 1;
}

unsigned int first_bad(struct model *m, struct range r, bool write, int *err)
{
	unsigned int k;

	*err = 0;
	for (k = 0; k < r.n; k++) {
		switch (m->page[r.i + k].right) {
		case NOT_MAPPED:
			*err = -EFAULT;
			return k;
		case READ:
			if (!write)
				continue;
			*err = -EPERM;
			return k;
		default:
			continue;
		}
	}
	return k;
}

int same_page(struct model *m, const char *what, unsigned int i, const __u64 *buf,
	      const char *name)
{
	const __u64 *word = m->page[i].word;
	unsigned int w;

	for (w = 0; w < XM_WORDS; w++) {
		if (buf[w] == word[w])
			continue;
		code(m, "EXPECT_EQ(%#llx, %s%u]);", word[w], name, w);
		return wrong(m, "%s sees %#llx instead of %#llx in page %u", what,
			     buf[w], word[w], i);
	}
	return 0;
}
