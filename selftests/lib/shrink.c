// SPDX-License-Identifier: GPL-2.0
/*
 * The shortest part of a random program that still goes wrong, see shrink.h.
 */
#include <stdlib.h>
#include <string.h>

#include "shrink.h"
#include "xm.h"

/* Bits of /proc/sys/kernel/tainted: bad page, died, warned, locked up */
#define TAINTS	(1UL << 5 | 1UL << 7 | 1UL << 9 | 1UL << 14)

/* Take @steps if they go wrong, up to where they do. */
static bool take(struct shrink *s, const __u64 *steps, unsigned int nr)
{
	unsigned int at;

	if (!nr || s->runs >= s->most)
		return false;
	s->runs++;
	at = s->fails(steps, nr, s->arg);
	if (!at)
		return false;
	if (at < nr)
		nr = at;
	memcpy(s->steps, steps, nr * s->width * sizeof(*steps));
	s->nr = nr;
	return true;
}

/* All but @n steps from @first on */
static bool without(struct shrink *s, __u64 *room, unsigned int first,
		    unsigned int n)
{
	memcpy(room, s->steps, first * s->width * sizeof(*room));
	memcpy(room + first * s->width, s->steps + (first + n) * s->width,
	       (s->nr - first - n) * s->width * sizeof(*room));
	return take(s, room, s->nr - n);
}

/* From the end on: what comes late needs what comes early. */
static bool remove_parts(struct shrink *s, __u64 *room, unsigned int most)
{
	unsigned int end, n;
	bool ret = false;

	for (end = s->nr; end; end -= n) {
		if (end > s->nr)
			end = s->nr;
		n = end < most ? end : most;
		ret |= without(s, room, end - n, n);
	}
	return ret;
}

static bool remove_steps(struct shrink *s, __u64 *room)
{
	bool ret = false, more;
	unsigned int n;

	for (n = s->nr / 2; n > 1; n /= 2)
		ret |= remove_parts(s, room, n);
	do {
		more = remove_parts(s, room, 1);
		ret |= more;
	} while (more);
	return ret;
}

/* Number @col of each step that has the same there, or of step @only, becomes @to. */
static bool replace(struct shrink *s, __u64 *room, unsigned int col, __u64 from,
		    __u64 to, unsigned int only)
{
	unsigned int i;

	memcpy(room, s->steps, s->nr * s->width * sizeof(*room));
	for (i = 0; i < s->nr; i++) {
		if (room[i * s->width + col] == from &&
		    (only == s->nr || only == i))
			room[i * s->width + col] = to;
	}
	return take(s, room, s->nr);
}

static bool lower(struct shrink *s, __u64 *room, unsigned int i,
		  unsigned int col, bool all)
{
	__u64 *now = &s->steps[i * s->width + col], high = *now >> 32 << 32;
	__u64 start = *now, low, mid;

	if (!*now)
		return false;
	if (replace(s, room, col, *now, 0, all ? s->nr : i) ||
	    (high && high != *now &&
	     replace(s, room, col, *now, high, all ? s->nr : i)))
		return true;
	/* @low does not go wrong, *now does. */
	for (low = high; i < s->nr && *now > low + 1;) {
		mid = low + (*now - low) / 2;
		if (!replace(s, room, col, *now, mid, all ? s->nr : i))
			low = mid;
	}
	return *now != start;
}

/* Those of several steps first, which then stay the same. */
static bool lower_numbers(struct shrink *s, __u64 *room)
{
	unsigned int i, col, pass;
	bool ret = false;

	for (pass = 0; pass < 1 + (s->nr > 1); pass++) {
		for (col = 1; col < s->width; col++) {
			for (i = 0; i < s->nr; i++)
				ret |= lower(s, room, i, col, !pass);
		}
	}
	return ret;
}

bool shrink(struct shrink *s)
{
	__u64 *room = malloc(s->nr * s->width * sizeof(*room));
	bool ret;

	if (!room)
		return false;
	memcpy(room, s->steps, s->nr * s->width * sizeof(*room));
	ret = take(s, room, s->nr);
	if (ret) {
		remove_steps(s, room);
		while (lower_numbers(s, room) && remove_steps(s, room))
			;
	}
	free(room);
	return ret;
}

void shrink_print(FILE *f, const char *why, const char *declarations,
		  const char *steps)
{
	static const struct {
		const char *use, *header;
	} needs[] = {
		{ "O_RDWR", "<fcntl.h>" },
		{ "EFD_", "<sys/eventfd.h>" },
		{ "getrandom(", "<sys/random.h>" },
		{ "load_run(", "\"load.h\"" },
	};
	unsigned int i;

	fputs("# Put it into selftests/ROOM/NAME.c, then make check TESTS=ROOM_NAME\n", f);
	fputs("---- 8< ---- a test program begins\n", f);
	fprintf(f, "// %s: GPL-2.0\n", "SPDX-License-Identifier");
	fprintf(f, "/* %s */\n", why);
	for (i = 0; i < sizeof(needs) / sizeof(*needs); i++) {
		if (strstr(steps, needs[i].use) ||
		    strstr(declarations, needs[i].use))
			fprintf(f, "#include %s\n", needs[i].header);
	}
	fputs("#include \"test.h\"\n\nTEST(shrunk)\n{\n", f);
	fprintf(f, "%s\n%s}\n\nTEST_HARNESS_MAIN\n", declarations, steps);
	fputs("---- >8 ---- and ends\n", f);
	fflush(f);
}

bool shrink_tainted(void)
{
	static unsigned long first;
	static bool known;
	unsigned long now;
	char text[32];

	xm_read_line("/proc/sys/kernel/tainted", text, sizeof(text));
	now = strtoul(text, NULL, 10);
	if (!known)
		first = now;
	known = true;
	return now & ~first & TAINTS;
}
