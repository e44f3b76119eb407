// SPDX-License-Identifier: GPL-2.0
#include "windows.h"

/* There are never more windows than in the first of them. */
#define MAX_CALLS	16384

void *own_memory(size_t size)
{
	const size_t more = 4 << 20;
	static char *next, *end;

	size = (size + 15) & ~15UL;
	if (size > (size_t)(end - next)) {
		end = mmap(NULL, size + more, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (end == MAP_FAILED || madvise(end, size + more, MADV_DONTFORK)) {
			puts("Bail out! no memory");
			exit(1);
		}
		next = end;
		end += size + more;
	}
	next += size;
	return next - size;
}

/* --- from recorded calls -------------------------------------------------- */

/* How often a function was called */
struct count {
	const struct hold_function *function;
	unsigned int calls;
};

static struct xmirror_call *calls;

static int shared_room(void)
{
	if (calls)
		return 0;
	calls = mmap(NULL, MAX_CALLS * sizeof(*calls), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (calls == MAP_FAILED)
		calls = NULL;
	return calls ? 0 : -ENOMEM;
}

/* Functions in the order of their first calls; returns how many, or -ENOMEM. */
static int count_calls(struct count **counts, unsigned int nr_calls)
{
	const struct hold_function *all;
	unsigned int i, nr, n = 0, *at;

	all = hold_functions(&nr);
	*counts = calloc(nr + 1, sizeof(**counts));
	at = calloc(nr + 1, sizeof(*at));
	if (!*counts || !at)
		return -ENOMEM;
	for (i = 0; i < nr_calls; i++) {
		const struct hold_function *f = hold_at(calls[i].ip);

		if (!f)
			continue;
		if (!at[f - all]) {
			(*counts)[n].function = f;
			at[f - all] = ++n;
		}
		(*counts)[at[f - all] - 1].calls++;
	}
	free(at);
	return n;
}

struct race_result side_run(const struct side *s, int fd, const struct window *w,
			    struct xmirror_call *to, unsigned int room)
{
	struct race_hold h = {
		.fd = fd, .mm = s->mm, .huge = s->huge,
		.calls = to, .room = room,
	};
	unsigned int i;

	for (i = 0; w && i < XMIRROR_HOLDS && w->at[i].function; i++)
		h.stops[i] = (struct race_stop){
			w->at[i].function->address, w->at[i].hit,
			w->at[i].flags,
		};
	return race_held(s->devop->name, s->mmop->name, &h);
}

static unsigned int nr_recorded(const struct race_result *r)
{
	return r->calls < 0 ? 0 : r->calls < MAX_CALLS ? r->calls : MAX_CALLS;
}

/* Record one run. Returns the number of functions, 0 with the reason, -ENOMEM. */
static int record(struct side *s, int fd, struct count **counts)
{
	struct race_result r = side_run(s, fd, NULL, calls, MAX_CALLS);

	*counts = NULL;
	if (r.verdict != RACE_PASS) {
		s->failed = r.verdict == RACE_FAIL;
		snprintf(s->why, sizeof(s->why), "%s", r.why);
		return 0;
	}
	if (r.calls <= 0) {
		snprintf(s->why, sizeof(s->why),
			 "it calls nothing in mm/ itself");
		return 0;
	}
	s->calls = r.calls;
	return count_calls(counts, nr_recorded(&r));
}

static unsigned int calls_of(const struct count *c, int nr,
			     const struct hold_function *f)
{
	for (; nr--; c++) {
		if (c->function == f)
			return c->calls;
	}
	return 0;
}

/* Whether this call in the last run that was recorded was one that may not sleep */
static bool spins(const struct place *p, unsigned int nr)
{
	unsigned int i, hit = 0;

	for (i = 0; i < nr; i++) {
		if (hold_at(calls[i].ip) == p->function && hit++ == p->hit)
			return calls[i].context;
	}
	return false;
}

static void add_window(struct side *s, const struct count *c, __u32 hit,
		       __u32 flags, unsigned int in_other)
{
	struct place *p = &s->windows[s->nr].at[0];

	if (hit >= in_other) {
		s->unsteady++;
		return;
	}
	*p = (struct place){ .function = c->function, .hit = hit, .flags = flags };
	p->spins = spins(p, s->calls < MAX_CALLS ? s->calls : MAX_CALLS);
	s->nr++;
}

int side_find_windows(struct side *s, int fd)
{
	struct count *first, *second = NULL;
	unsigned int other, last;
	int n, m = 0, i;

	if (shared_room())
		return -ENOMEM;
	n = record(s, fd, &first);
	if (n > 0)
		m = record(s, fd, &second);
	if (n > 0 && m > 0)
		s->windows = calloc(4 * n, sizeof(*s->windows));
	for (i = 0; i < n && s->windows; i++) {
		const struct count *c = &first[i];

		other = calls_of(second, m, c->function);
		add_window(s, c, 0, 0, other);
		add_window(s, c, 0, XMIRROR_HOLD_RETURN, other);
		if (c->calls > 1)
			add_window(s, c, 1, 0, other);
		/* The last one that both runs had, unless that is the second. */
		last = c->calls < other ? c->calls : other;
		if (last > 2)
			add_window(s, c, last - 1, 0, other);
	}
	s->functions = n > 0 ? n : 0;
	s->found = s->nr;
	free(first);
	free(second);
	return n < 0 || m < 0 || (n && m && !s->windows) ? -ENOMEM : 0;
}

void side_keep(struct side *s, unsigned int most)
{
	unsigned int i, nr = most && most < s->nr ? most : s->nr;
	struct window *kept = own_memory(nr * sizeof(*kept));

	for (i = 0; i < nr; i++)
		kept[i] = s->windows[i * s->nr / nr];
	free(s->windows);
	s->windows = kept;
	s->nr = nr;
}

/* --- two stops ------------------------------------------------------------ */

/*
 * Functions that look at something, take a lock, and look again; in some order of the
 * way from the system call to the page.
 */
static const char * const rereads[] = {
	"lock_vma_under_rcu",		/* the VMA's sequence */
	"lock_mm_and_find_vma",
	"mmu_interval_read_begin",	/* the interval's sequence, by the driver */
	"__pte_offset_map_lock",	/* the PMD */
	"pte_offset_map_lock",
	"do_swap_page",			/* the PTE, after the folio lock */
	"do_wp_page",
	"wp_page_copy",
	"do_huge_pmd_wp_page",
	"do_huge_pmd_device_private",
	"__folio_lock_or_retry",
	"folio_lock_anon_vma_read",	/* the folio's mapping */
	"page_vma_mapped_walk",		/* what it has found without a lock */
	"folio_walk_start",
	"split_huge_pmd_locked",
	"migrate_vma_insert_page",
	"filemap_get_entry",		/* the folio's index */
	"shrink_folio_list",
	"swap_cache_get_folio",
};

static bool reads_again(const struct hold_function *f)
{
	unsigned int i;

	for (i = 0; i < sizeof(rereads) / sizeof(*rereads); i++) {
		if (!strcmp(f->name, rereads[i]))
			return true;
	}
	return false;
}

/* All that the other side did until it ended, or the first went on */
static __u64 what_it_did(const struct race_result *r)
{
	unsigned int i, n = nr_recorded(r);
	__u64 sum = r->other;

	if (r->other != RACE_RAN && r->before < n)
		n = r->before;
	for (i = 0; i < n; i++)
		sum = (sum ^ calls[i].ip) * 0x100000001b3ULL;
	return sum;
}

static int add_stop(struct side *s, unsigned int *room, const struct place *first,
		    const struct place *second)
{
	struct window *more;

	if (first->spins && second->spins) {
		s->stops.spin++;
		return 0;
	}
	if (s->nr == *room) {
		*room = *room ? 2 * *room : 64;
		more = realloc(s->windows, *room * sizeof(*more));
		if (!more)
			return -ENOMEM;
		s->windows = more;
	}
	s->windows[s->nr++] = (struct window){ { *first, *second } };
	return 0;
}

/* The second stops for one window of the first side: see holds.md. */
static int add_stops(struct side *s, unsigned int *room, const struct place *first,
		     const struct race_result *r)
{
	unsigned int nr = nr_recorded(r);
	struct count *counts;
	int i, k, err = 0, n;

	n = count_calls(&counts, nr);
	for (i = 0; i < n && !err; i++) {
		__u32 hits[] = { 0, 1, counts[i].calls - 1 };
		unsigned int of = counts[i].calls < 3 ? counts[i].calls : 3;
		bool again = reads_again(counts[i].function);
		struct place p = { .function = counts[i].function };

		if (r->other == RACE_RAN && !again)
			continue;
		for (k = 0; k < (int)of && !err; k++) {
			p.hit = hits[k];
			p.spins = spins(&p, nr);
			err = add_stop(s, room, first, &p);
		}
		/* Elsewhere the next call is as good. */
		p.hit = 0;
		p.flags = XMIRROR_HOLD_RETURN;
		if (again && !err)
			err = add_stop(s, room, first, &p);
	}
	free(counts);
	return n < 0 ? n : err;
}

static bool has_any(const struct race_result *r)
{
	unsigned int i;

	if (r->other != RACE_RAN)
		return nr_recorded(r);
	for (i = 0; i < nr_recorded(r); i++) {
		const struct hold_function *f = hold_at(calls[i].ip);

		if (f && reads_again(f))
			return true;
	}
	return false;
}

/* It is a cell with one stop, but nobody else is going to say so. */
static void stop_failed(struct side *s, const struct window *w,
			const struct race_result *r)
{
	char name[SIDE_NAME];

	cell_name(s, w, name);
	s->failed = true;
	s->nr = 0;
	snprintf(s->why, sizeof(s->why), "%.120s: %.110s", name, r->why);
}

int side_find_stops(struct side *s, int fd)
{
	struct window *one = s->windows;
	unsigned int i, nr = s->nr, room = 0;
	__u64 before = 0, now;
	int err = shared_room();

	s->windows = NULL;
	s->nr = 0;
	for (i = 0; i < nr && !err; i++) {
		struct race_result r = side_run(s, fd, &one[i], calls, MAX_CALLS);

		if (r.verdict == RACE_FAIL) {
			stop_failed(s, &one[i], &r);
			break;
		}
		if (r.verdict != RACE_PASS || r.other == RACE_UNREACHED)
			continue;
		now = what_it_did(&r);
		if (now == before)
			s->stops.alike++;
		else if (!has_any(&r))
			s->stops.unread++;
		else
			err = add_stops(s, &room, &one[i].at[0], &r);
		before = now;
	}
	return err;
}

/* --- names ---------------------------------------------------------------- */

static void window_name(const struct window *w, char *text, size_t room)
{
	size_t n = 0;
	int i;

	for (i = 0; i < XMIRROR_HOLDS && w->at[i].function && n < room; i++) {
		const struct place *p = &w->at[i];

		n += snprintf(text + n, room - n, "%c%s#%u%s", i ? '+' : '@',
			      p->function->name, p->hit + 1,
			      p->flags & XMIRROR_HOLD_RETURN ? ":return" : "");
	}
}

static void name_it(const struct side *s, const char *window, char *name)
{
	snprintf(name, SIDE_NAME, "%s%s%s.%s%s", s->huge ? "huge:" : "",
		 s->devop->name, s->mm ? "" : window, s->mmop->name,
		 s->mm ? window : "");
}

void side_name(const struct side *s, char *name)
{
	name_it(s, s->stops.wanted ? "@+" : "@", name);
}

void cell_name(const struct side *s, const struct window *w, char *name)
{
	char text[192];

	window_name(w, text, sizeof(text));
	name_it(s, text, name);
}

static bool parse_place(char *text, struct place *p)
{
	char *hit = strchr(text, '#');
	char *end;

	if (!hit)
		return !*text;
	*hit++ = 0;
	p->function = hold_named(text);
	p->hit = strtoul(hit, &end, 10) - 1;
	if (!strcmp(end, ":return"))
		p->flags = XMIRROR_HOLD_RETURN;
	return p->function && end != hit;
}

static bool parse_window(char *text, struct window *w, bool *stops)
{
	char *other = strchr(text, '+');

	if (other)
		*other++ = 0;
	*stops = other && !*other;
	return parse_place(text, &w->at[0]) &&
	       (!other || parse_place(other, &w->at[1])) &&
	       (w->at[0].function || !w->at[1].function);
}

bool cell_parse(const char *name, struct side *s, struct window *w)
{
	char text[SIDE_NAME], *dot, *at;

	memset(s, 0, sizeof(*s));
	memset(w, 0, sizeof(*w));
	snprintf(text, sizeof(text), "%s", name);
	s->huge = !strncmp(text, "huge:", 5);
	if (s->huge)
		memmove(text, text + 5, strlen(text + 5) + 1);
	/* Names of functions may have dots, those of ops have none. */
	at = strchr(text, '@');
	dot = strchr(text, '.');
	if (!dot)
		return false;
	s->mm = !at || dot < at;
	if (!s->mm)
		dot = strrchr(text, '.');
	*dot++ = 0;
	if (at)
		*at++ = 0;
	for (s->devop = race_devops; s->devop->name; s->devop++) {
		if (!strcmp(s->devop->name, text))
			break;
	}
	for (s->mmop = race_mmops; s->mmop->name; s->mmop++) {
		if (!strcmp(s->mmop->name, dot))
			break;
	}
	return s->devop->name && s->mmop->name &&
	       (!at || parse_window(at, w, &s->stops.wanted));
}
