// SPDX-License-Identifier: GPL-2.0
/*
 * The random numbers of a step, which are the step, and those of steps that are made
 * again.
 */
#include "fuzz.h"

/* splitmix64 */
__u64 fresh(struct thread *t)
{
	__u64 z = t->rng += 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

__u64 rnd(struct thread *t)
{
	__u64 z = t->taken < t->given ? t->tape[t->taken] : fresh(t);

	if (t->taken < TAPE)
		t->tape[t->taken++] = z;
	return z;
}

unsigned int below(struct thread *t, unsigned int n)
{
	return (rnd(t) >> 32) % n;
}

bool one_in(struct thread *t, unsigned int n)
{
	return !below(t, n);
}

__u64 odd_value(struct thread *t)
{
	static const __u64 values[] = {
		0, 1, 2, 3, 7, 8, 0x7f, 0x80, XM_PAGE - 1, XM_PAGE,
		XM_PAGE + 1,
		0x7fffffff, 0x80000000, 0xffffffff, 0x100000000,
		0x7ffffffff000, 0x7fffffffffff, 0x800000000000,
		0x7fffffffffffffff, 0x8000000000000000, 0xfffffffffffff000,
		0xffffffffffffffff, 0xffff800000000000,
	};

	return one_in(t, 3) ? rnd(t) : values[below(t, ARRAY_SIZE(values))];
}

/* Every fourth step is much like one that has found something. */
void choose(struct thread *t)
{
	__u64 nr = XM_LOAD(&totals->nr_kept);

	t->taken = 0;
	t->given = 0;
	if (!nr || fresh(t) % 4)
		return;
	memcpy(t->tape, totals->kept[fresh(t) % (nr < KEPT ? nr : KEPT)],
	       sizeof(t->tape));
	if (fresh(t) % 2) {
		t->given = TAPE;
		t->tape[fresh(t) % 16] = fresh(t);
	} else {
		t->given = 1 + fresh(t) % 16;
	}
}

/*
 * The newest replace the oldest. A reader of one that is being written has a mixture
 * of two, which is as good.
 */
void keep(struct thread *t, unsigned int places)
{
	__u64 nr = XM_ADD(&totals->nr_kept, 1);

	XM_ADD(&totals->places, places);
	memcpy(totals->kept[nr % KEPT], t->tape, sizeof(t->tape));
}
