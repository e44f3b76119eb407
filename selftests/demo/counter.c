// SPDX-License-Identifier: GPL-2.0
/*
 * The demo: its counters, and how often each has been incremented.
 */
#include <time.h>

#include "demo.h"

#define SLOT	192	/* bytes from one counter of a page to the next */

__u64 draw(__u64 *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state * 0x2545f4914f6cdd1dULL >> 16;
}

void pause_us(unsigned int us)
{
	struct timespec t = { .tv_nsec = us * 1000L };

	nanosleep(&t, NULL);
}

unsigned int width_of(unsigned int counter)
{
	return 1U << counter % WIDTHS;
}

__u64 mask_of(unsigned int counter)
{
	return ~0ULL >> (64 - 8 * width_of(counter));
}

char *page_of(unsigned int page)
{
	return map + (2 * page + 1) * XM_PAGE;
}

char *address_of(unsigned int counter)
{
	unsigned int width = counter % WIDTHS;

	return page_of(counter / WIDTHS) + 64 + width * SLOT;
}

int counter_at(__u64 addr)
{
	__u64 offset = addr - (uintptr_t)map;

	if (offset / XM_PAGE % 2 == 0)
		return -1;
	return offset / XM_PAGE / 2 * WIDTHS +
	       (offset % XM_PAGE - 64) / SLOT;
}

__u64 value_of(unsigned int counter)
{
	void *p = address_of(counter);

	switch (width_of(counter)) {
	case 1:
		return XM_LOAD((__u8 *)p);
	case 2:
		return XM_LOAD((__u16 *)p);
	case 4:
		return XM_LOAD((__u32 *)p);
	default:
		return XM_LOAD((__u64 *)p);
	}
}

void add_to(unsigned int counter, __u64 n)
{
	void *p = address_of(counter);

	switch (width_of(counter)) {
	case 1:
		XM_ADD((__u8 *)p, n);
		break;
	case 2:
		XM_ADD((__u16 *)p, n);
		break;
	case 4:
		XM_ADD((__u32 *)p, n);
		break;
	default:
		XM_ADD((__u64 *)p, n);
	}
}

static bool cas(unsigned int counter, __u64 from, __u64 to)
{
	void *p = address_of(counter);
	__u8 from8 = from;
	__u16 from16 = from;
	__u32 from32 = from;

	switch (width_of(counter)) {
	case 1:
		return __atomic_compare_exchange_n((__u8 *)p, &from8, to, false,
						   __ATOMIC_SEQ_CST,
						   __ATOMIC_SEQ_CST);
	case 2:
		return __atomic_compare_exchange_n((__u16 *)p, &from16, to,
						   false, __ATOMIC_SEQ_CST,
						   __ATOMIC_SEQ_CST);
	case 4:
		return __atomic_compare_exchange_n((__u32 *)p, &from32, to,
						   false, __ATOMIC_SEQ_CST,
						   __ATOMIC_SEQ_CST);
	default:
		return __atomic_compare_exchange_n((__u64 *)p, &from, to, false,
						   __ATOMIC_SEQ_CST,
						   __ATOMIC_SEQ_CST);
	}
}

void cas_increment(unsigned int counter)
{
	__u64 old;

	do {
		old = value_of(counter);
	} while (!cas(counter, old, old + 1));
}

/* One writer, so that a load and a store will do. */
void bump(__u64 *p, __u64 n)
{
	XM_STORE(p, XM_LOAD(p) + n);
}

__u64 total_of(bool engines)
{
	__u64 sum = 0;
	unsigned int i;

	for (i = 0; i < nr_workers; i++) {
		if (worker[i].engine == engines)
			sum += XM_LOAD(worker[i].total);
	}
	return sum;
}

__u64 low_of(unsigned int counter)
{
	__u64 sum = 0;
	unsigned int i;

	for (i = 0; i < nr_workers; i++)
		sum += XM_LOAD(&worker[i].done[counter]);
	return sum;
}

__u64 high_of(unsigned int counter)
{
	__u64 sum = 0;
	unsigned int i;

	for (i = 0; i < nr_workers; i++) {
		const struct worker *w = &worker[i];

		if (w->engine)
			sum += XM_LOAD(&w->sent[counter]);
		else
			sum += XM_LOAD(&w->done[counter]) + 1;
	}
	return sum;
}
