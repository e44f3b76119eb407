// SPDX-License-Identifier: GPL-2.0
#include "windows.h"

/* There are never more windows than in the first of them. */
#define MAX_CALLS	16384

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

/* Record one run. Returns the number of functions, 0 with the reason, -ENOMEM. */
static int record(struct side *s, int fd, struct count **counts)
{
	struct race_hold h = {
		.fd = fd, .mm = s->mm, .huge = s->huge,
		.calls = calls, .room = MAX_CALLS,
	};
	struct race_result r = race_held(s->devop->name, s->mmop->name, &h);

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
	return count_calls(counts, r.calls < MAX_CALLS ? r.calls : MAX_CALLS);
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

static void add_window(struct side *s, const struct count *c, __u32 hit,
		       __u32 flags, unsigned int in_other)
{
	if (hit >= in_other) {
		s->unsteady++;
		return;
	}
	s->windows[s->nr++] = (struct window){ c->function, hit, flags };
}

int side_find_windows(struct side *s, int fd)
{
	struct count *first, *second = NULL;
	unsigned int other;
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
		if (c->calls > 2)
			add_window(s, c, (c->calls < other ? c->calls : other) - 1,
				   0, other);
	}
	free(first);
	free(second);
	return n < 0 || m < 0 || (n && m && !s->windows) ? -ENOMEM : 0;
}

/* --- names ---------------------------------------------------------------- */

static void window_name(const struct window *w, char *text, size_t room)
{
	snprintf(text, room, "@%s#%u%s", w->function->name, w->hit + 1,
		 w->flags & XMIRROR_HOLD_RETURN ? ":return" : "");
}

static void name_it(const struct side *s, const char *window, char *name)
{
	snprintf(name, SIDE_NAME, "%s%s%s.%s%s", s->huge ? "huge:" : "",
		 s->devop->name, s->mm ? "" : window, s->mmop->name,
		 s->mm ? window : "");
}

void side_name(const struct side *s, char *name)
{
	name_it(s, "@", name);
}

void cell_name(const struct side *s, const struct window *w, char *name)
{
	char text[96];

	window_name(w, text, sizeof(text));
	name_it(s, text, name);
}

static bool parse_window(char *text, struct window *w)
{
	char *hit = strchr(text, '#');
	char *end;

	if (!hit)
		return !*text;
	*hit++ = 0;
	w->function = hold_named(text);
	w->hit = strtoul(hit, &end, 10) - 1;
	if (!strcmp(end, ":return"))
		w->flags = XMIRROR_HOLD_RETURN;
	return w->function && end != hit;
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
	return s->devop->name && s->mmop->name && (!at || parse_window(at, w));
}
