// SPDX-License-Identifier: GPL-2.0
/*
 * A race in a window of the kernel, with one stop or two, see matrix.h. It is what
 * process.c does at a sync point.
 */
#include "hold.h"
#include "private.h"

/* 0: reached; -ENOENT: the thread ended without; -ETIMEDOUT */
static int wait_for_hold(const struct race_hold *h, unsigned int slot,
			 struct worker *w)
{
	__u64 start = xm_now_ns();
	bool ended;
	int err;

	do {
		ended = worker_ended(w);
		err = hold_reached(h->fd, slot, ended ? 0 : 1, NULL);
		if (err != -ETIMEDOUT)
			return err;
	} while (!ended && !xm_expired(start, DEADLINE));
	return ended ? -ENOENT : -ETIMEDOUT;
}

/*
 * Look at what has to be true in the window, in a thread, since it may have to wait for
 * who is held. One that spins is not there for long enough.
 */
static int look(struct race_env *e, struct worker *looker, unsigned int slot)
{
	const struct race_hold *h = e->hold;

	if (!(hold_state(h->fd, slot) & XMIRROR_HELD_ASLEEP) || looker->arg)
		return 0;
	CHECK(!worker_start(looker), "no thread");
	looker->arg = true;
	if (race_watch(looker, h, slot) == RACE_RAN)
		race_cell->result.looked = true;
	else
		XM_STORE(&looker->stop, true);
	return 0;
}

/**
 * struct looks - who looks, at the beginning of the window and at its end
 * @begin: with @arg set if it was started
 * @end: the same
 */
struct looks {
	struct worker begin;
	struct worker end;
};

/*
 * Not while the mm op may have mmap_lock for writing: who waits for that would be in
 * line before the other side.
 */
static int look_first(struct race_env *e, struct looks *l)
{
	if (e->hold->mm && e->mmop->flags & RACE_WRITER)
		return 0;
	return look(e, &l->begin, 0);
}

static int in_hold(struct race_env *e, struct worker *second, struct looks *l)
{
	struct race_result *r = &race_cell->result;
	const struct race_hold *h = e->hold;

	if (look_first(e, l))
		return -1;
	CHECK(!worker_start(second), "no thread");
	r->other = race_watch(second, h, 0);
	r->waited = r->other != RACE_RAN;
	if (race_is_recorded(h, 1))
		r->before = hold_recorded(h->fd, 1);
	return r->other == RACE_RAN ? look(e, &l->end, 0) : 0;
}

/*
 * The first side is in its window: the other runs to its own, which it may only reach
 * when the first has let it, and is held while the first runs to its end.
 */
static int in_second(struct race_env *e, struct worker *first,
		     struct worker *second, struct looks *l)
{
	struct race_result *r = &race_cell->result;
	const struct race_hold *h = e->hold;
	int err;

	if (look_first(e, l))
		return -1;
	/* The other is going to have the other CPU, perhaps all of it. */
	if (hold_state(h->fd, 0) & XMIRROR_HELD_ASLEEP)
		xm_pin_from(CPU_HELD);
	CHECK(!worker_start(second), "no thread");
	race_watch(second, h, 0);
	err = hold_release(h->fd, 0, NULL);
	CHECK(!err, "release: %d", err);
	err = wait_for_hold(h, 1, second);
	if (err == -ETIMEDOUT)
		return race_stuck(second, first);
	if (!err) {
		r->other = race_watch(first, h, 1);
		if (r->other == RACE_RAN && look(e, &l->end, 1))
			return -1;
	}
	err = hold_release(h->fd, 1, NULL);
	CHECK(!err, "release: %d", err);
	return 0;
}

static int joined(struct worker *looker)
{
	/* Which has said why. */
	return looker->arg && worker_join(looker) ? -1 : 0;
}

static int held_race(struct race_env *e, struct worker *first,
		     struct worker *second, struct looks *l)
{
	const struct race_hold *h = e->hold;
	int err;

	CHECK(!worker_start(first), "no thread");
	err = wait_for_hold(h, 0, first);
	if (err == -ETIMEDOUT)
		return race_stuck(first, second);
	CHECK(!err || err == -ENOENT, "%s side was not seen in the window: %d",
	      h->mm ? "the mm's" : "the device's", err);
	race_cell->reached = !err;
	race_cell->ending = e->mmop->flags & RACE_ENDS;
	if (err)
		CHECK(!worker_start(second), "no thread");
	else if (h->stops[1].function ? in_second(e, first, second, l) :
					in_hold(e, second, l))
		return -1;
	err = hold_release(h->fd, 0, NULL);
	CHECK(!err, "release: %d", err);
	if (worker_join(first) == -ETIMEDOUT)
		return race_stuck(first, second);
	if (worker_join(second) == -ETIMEDOUT)
		return race_stuck(second, first);
	return joined(&l->begin) || joined(&l->end) ? -1 : 0;
}

/* All threads that are held, and all that was recorded */
static void end_holds(const struct race_hold *h)
{
	unsigned int slot;

	for (slot = 0; slot < XMIRROR_HOLDS; slot++) {
		hold_release(h->fd, slot, NULL);
		if (race_is_recorded(h, slot))
			race_cell->result.calls = hold_calls(h->fd, slot,
							     h->calls, h->room);
	}
}

void race_run_held(struct race_env *e)
{
	struct looks looks = {
		.begin = { .fn = race_look, .to = e },
		.end = { .fn = race_look, .to = e },
	};
	struct worker dev = {}, mm = {};
	int err;

	/* All threads begin there. */
	xm_pin_from(CPU_OTHERS);
	if (race_prepare(e, &dev, &mm))
		return;
	if (worker_prepare(&looks.begin) || worker_prepare(&looks.end)) {
		race_unreachable("no thread");
		return;
	}
	err = e->hold->mm ? held_race(e, &mm, &dev, &looks) :
			    held_race(e, &dev, &mm, &looks);
	end_holds(e->hold);
	if (!err && !race_check(e, dev.err, mm.err) && !race_check_taken(e))
		race_cell->result.verdict = RACE_PASS;
}
