// SPDX-License-Identifier: GPL-2.0
/*
 * The demo: CPU threads and device engines that increment counters.
 */
#include "demo.h"

#define JOB_CMDS	32
#define HOP_OPS		512	/* locations of a job that goes from page to page */

struct job {
	struct xmirror_cmd cmds[JOB_CMDS];
	unsigned int nr;
	__u64 pass;		/* locations of one run of the list */
	__u64 repeat;
	__u64 fence;		/* 0: not queued */
	__u64 start;
};

/* CPU threads */

void *run_cpu(void *arg)
{
	struct worker *w = arg;

	while (!XM_LOAD(&stop)) {
		unsigned int counter = draw(&w->random) % nr_counters;
		unsigned int burst = 1U << draw(&w->random) % 11;
		bool cas = draw(&w->random) % 4 == 0;

		while (burst--) {
			if (cas)
				cas_increment(counter);
			else
				add_to(counter, 1);
			bump(&w->done[counter], 1);
			bump(w->total, 1);
		}
	}
	return NULL;
}

/* Device engines */

void name_worker(const struct worker *w, char *text, size_t room)
{
	if (w->engine)
		snprintf(text, room, "engine %u of xmirror%u", w->number,
			 w->device);
	else
		snprintf(text, room, "CPU thread %u", w->number);
}

static void push(struct job *j, struct xmirror_cmd cmd)
{
	j->cmds[j->nr++] = cmd;
	j->pass += cmd.count;
}

/* Stay on a counter for a while, then go to another. */
static void make_dwell(struct worker *w, struct job *j)
{
	while (j->nr < 8) {
		unsigned int counter = draw(&w->random) % nr_counters;
		unsigned int most = 1 + draw(&w->random) % opt.burst;

		push(j, xm_cmds(XMIRROR_OP_ADD, width_of(counter),
				address_of(counter), 0,
				1 + draw(&w->random) % most, 1));
	}
}

/* The counters of one width on all pages, upwards or downwards. */
static void make_sweep(struct worker *w, struct job *j)
{
	while (j->nr < 4) {
		bool down = draw(&w->random) % 2;
		unsigned int counter = draw(&w->random) % WIDTHS;
		__s64 stride = 2 * XM_PAGE;

		if (down)
			counter += (opt.pages - 1) * WIDTHS;
		push(j, xm_cmds(XMIRROR_OP_ADD, width_of(counter),
				address_of(counter), down ? -stride : stride,
				opt.pages, 1));
	}
}

/* From counter to counter, and to the scratch pages between. */
static void make_hop(struct worker *w, struct job *j)
{
	static const enum xmirror_op ops[] = {
		XMIRROR_OP_LOAD, XMIRROR_OP_STORE, XMIRROR_OP_XCHG,
	};

	while (j->nr < JOB_CMDS) {
		unsigned int counter = draw(&w->random) % nr_counters;
		unsigned int op = draw(&w->random) % 12;

		if (op < ARRAY_SIZE(ops)) {
			char *scratch = map + draw(&w->random) %
					(opt.pages + 1) * 2 * XM_PAGE;

			push(j, xm_cmds(ops[op], 8, scratch, 8, 4,
					op ? counter : 0));
		} else {
			push(j, xm_cmds(XMIRROR_OP_ADD, width_of(counter),
					address_of(counter), 0,
					1 + draw(&w->random) % 4, 1));
		}
	}
}

static void make_job(struct worker *w, struct job *j)
{
	__u64 ops = HOP_OPS;

	j->nr = 0;
	j->pass = 0;
	switch (draw(&w->random) % 3) {
	case 0:
		make_dwell(w, j);
		ops = 2 * opt.burst;
		break;
	case 1:
		make_sweep(w, j);
		break;
	default:
		make_hop(w, j);
	}
	j->repeat = j->pass < ops ? ops / j->pass : 1;
}

/**
 * tally: add what the first @ops locations of @j have incremented to @to, by
 * counter; returns the number of increments.
 */
static __u64 tally(const struct job *j, __u64 ops, __u64 *to)
{
	__u64 full = ops / j->pass;
	__u64 rest = ops % j->pass;
	__u64 sum = 0;
	unsigned int i, k;

	for (i = 0; i < j->nr; i++) {
		const struct xmirror_cmd *cmd = &j->cmds[i];
		__u64 part = rest < cmd->count ? rest : cmd->count;

		rest -= part;
		if (cmd->op != XMIRROR_OP_ADD)
			continue;
		sum += full * cmd->count + part;
		if (!cmd->stride) {
			bump(&to[counter_at(cmd->addr)],
			     full * cmd->count + part);
			continue;
		}
		for (k = 0; k < cmd->count; k++)
			bump(&to[counter_at(cmd->addr + k * cmd->stride)],
			     full + (k < part));
	}
	return sum;
}

/** command_after: index of the command that comes after @ops locations. */
static unsigned int command_after(const struct job *j, __u64 ops)
{
	__u64 rest = ops % j->pass;
	unsigned int i = 0;

	while (rest >= j->cmds[i].count)
		rest -= j->cmds[i++].count;
	return i;
}

static void take_result(struct worker *w, const struct job *j,
			const struct xmirror_wait *res)
{
	__u64 want = j->pass * j->repeat;
	char name[40];

	name_worker(w, name, sizeof(name));
	if (res->ops > want) {
		complain("%s: a job of %llu operations did %llu", name,
			 want, res->ops);
		return;
	}
	bump(w->total, tally(j, res->ops, w->done));
	if (!res->status) {
		if (res->ops != want || res->cmd != j->nr)
			complain("%s: a job of %llu operations ended after %llu",
				 name, want, res->ops);
		return;
	}
	if (res->status != -ECANCELED &&
	    (res->ops == want || res->cmd != command_after(j, res->ops)))
		complain("%s: a job failed in command %u, but after %llu of %llu operations",
			 name, res->cmd, res->ops, want);
	/* Too much interference is no error; anything else is. */
	if (res->status == -EBUSY || res->status == -ENOMEM)
		w->gave_up++;
	else
		complain("%s: a job failed after %llu of %llu operations: %s",
			 name, res->ops, want, strerror(-res->status));
}

static void finish(struct worker *w, struct job *j)
{
	struct xmirror_wait res;
	char name[40];
	int err;

	do {
		err = xm_wait(w->fd, j->fence, 1000, &res);
	} while (err == -EINTR || (err == -ETIMEDOUT &&
				   !xm_expired(j->start, STALL_MS)));
	name_worker(w, name, sizeof(name));
	if (err == -ETIMEDOUT) {
		complain("%s: a job of %llu operations is not done after %u s",
			 name, j->pass * j->repeat, STALL_MS / 1000);
		err = xm_cancel(w->fd, j->fence, &res);
	}
	j->fence = 0;
	if (err)
		complain("%s: WAIT: %s", name, strerror(-err));
	else
		take_result(w, j, &res);
}

void *run_engine(void *arg)
{
	struct worker *w = arg;
	struct job jobs[2] = {};
	unsigned int i = 0;
	int err;

	while (!XM_LOAD(&stop)) {
		struct job *j = &jobs[i++ % 2];

		if (j->fence)
			finish(w, j);
		make_job(w, j);
		tally(j, j->pass * j->repeat, w->sent);
		j->start = xm_now_ns();
		err = xm_submit(w->fd, w->number, j->cmds, j->nr, j->repeat,
				&j->fence);
		if (err) {
			j->fence = 0;
			complain("engine %u of xmirror%u: SUBMIT: %s",
				 w->number, w->device, strerror(-err));
		}
	}
	for (; i && (jobs[0].fence || jobs[1].fence); i++) {
		if (jobs[i % 2].fence)
			finish(w, &jobs[i % 2]);
	}
	return NULL;
}
