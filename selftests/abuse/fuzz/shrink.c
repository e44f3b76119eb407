// SPDX-License-Identifier: GPL-2.0
/*
 * The steps of a process up to where something went wrong, one after the other in one
 * thread, and the shortest list of them that does it again.
 */
#include <fcntl.h>
#include <sys/wait.h>

#include "fuzz.h"
#include "proc.h"
#include "shrink.h"

#define MOST	2000U		/* runs to find the shortest */
#define LAST	8U		/* steps of the log that are shown otherwise */

enum wrong { WRONG_ERRNO = 1, WRONG_COUNT, WRONG_VERIFY };

/* Shared with the process that runs the steps */
struct replay {
	const __u64 *steps;
	unsigned int nr;
	unsigned int seen;	/* steps begun */
	enum wrong wrong;	/* at the last of them */
	int err;
	__u64 count;
	int fd;
	int status;		/* with which the process ended */
	char why[160];
	int foreign;
	int foreign_memory;
};

static void open_file(struct thread *t, struct replay *r, const __u64 *step)
{
	switch (step[FD]) {
	case FD_FOREIGN:
		t->fd[FD_FOREIGN] = r->foreign;
		break;
	case FD_FOREIGN_MEMORY:
		t->fd[FD_FOREIGN_MEMORY] = r->foreign_memory;
		break;
	case FD_HMM:
		t->fd[FD_HMM] = open("/dev/hmm_dmirror0", O_RDWR | O_CLOEXEC);
		break;
	default:
		run_step(t, step);
	}
}

static bool holds(struct thread *t, struct replay *r, const __u64 *step)
{
	char text[128] = "";
	int fd;

	if (r->err) {
		r->wrong = WRONG_ERRNO;
		snprintf(r->why, sizeof(r->why), "%s answers %d (%s)",
			 kinds[step[WHAT]].name, r->err, strerror(r->err));
		return false;
	}
	if ((step[WHAT] == STEP_COUNT && step[CHECK]) || r->seen == r->nr) {
		r->count = t->count;
		if (!count_is_right(t)) {
			r->wrong = WRONG_COUNT;
			snprintf(r->why, sizeof(r->why), "a count is lost");
			return false;
		}
	}
	for (fd = 0; fd <= FD_OWN; fd++) {
		if (t->fd[fd] < 0 || fd == FD_FOREIGN ||
		    fd == FD_FOREIGN_MEMORY ||
		    !xm_violations(t->fd[fd], text, sizeof(text)))
			continue;
		r->wrong = WRONG_VERIFY;
		r->fd = fd;
		snprintf(r->why, sizeof(r->why), "VERIFY: %s", text);
		return false;
	}
	return true;
}

static int replay(struct child *c, void *arg)
{
	struct replay *r = arg;
	static struct thread t;
	unsigned int i;

	(void)c;
	silent = true;
	CHILD_CHECK(!prepare());
	for (i = 0; i < NR_FDS; i++)
		t.fd[i] = -1;
	t.counter = xm_anon(XM_PAGE);
	CHILD_CHECK(t.counter);
	for (i = 0; i < r->nr; i++) {
		const __u64 *step = r->steps + i * COLUMNS;

		r->seen++;
		if (step[WHAT] == STEP_OPEN)
			open_file(&t, r, step);
		else
			r->err = run_step(&t, step);
		if (!holds(&t, r, step))
			return 0;
	}
	return 0;
}

static void run(struct replay *r, const __u64 *steps, unsigned int nr)
{
	struct child c;

	r->steps = steps;
	r->nr = nr;
	r->seen = 0;
	r->wrong = 0;
	r->err = 0;
	r->status = 0;
	replug();
	if (child_start(&c, replay, r))
		return;
	close(c.sock);
	if (waitpid(c.pid, &r->status, 0) == c.pid && r->status)
		snprintf(r->why, sizeof(r->why), "ended with status %#x",
			 r->status);
}

/*
 * Something else that goes wrong is no success: a lower number may be an error that
 * the steps themselves ask for.
 */
static unsigned int fails(const __u64 *steps, unsigned int nr, void *arg)
{
	struct replay *r = arg, was = *r;

	if (shrink_tainted())
		return 0;
	run(r, steps, nr);
	if (!was.seen)
		was = *r;
	if (!(r->wrong || r->status) || r->wrong != was.wrong ||
	    r->err != was.err || r->status != was.status) {
		*r = was;
		return 0;
	}
	return r->seen;
}

/* The files that a process has from the start, and what the log has of it */
static unsigned int list_of(const struct log *log, __u64 (*list)[COLUMNS])
{
	static const int files[] = {
		0, 1, 2, FD_FOREIGN, FD_FOREIGN_MEMORY, FD_OWN, FD_HMM
	};
	__u64 at = log->bad > LOG ? log->bad - LOG : 0;
	unsigned int n;

	for (n = 0; n < ARRAY_SIZE(files) - !hmm_abi; n++) {
		list[n][WHAT] = STEP_OPEN;
		list[n][FD] = files[n];
		list[n][DEVICE] = files[n] == 1 ||
				  files[n] == FD_FOREIGN_MEMORY;
	}
	for (; at < log->bad; at++)
		memcpy(list[n++], log->step[at % LOG], sizeof(list[0]));
	return n;
}

static void print_program(const struct replay *r, const char *why)
{
	static const struct {
		const char *use, *text;
	} has[] = {
		{ ")p", "\tchar *p = (char *)(1UL << 40);\n" },
		{ "p + ", "\tchar *p = (char *)(1UL << 40);\n" },
		{ "(counter", "\t__u64 *counter = xm_anon(XM_PAGE);\n" },
		{ "counter, ", "\t__u64 *counter = xm_anon(XM_PAGE);\n" },
		{ "(__u64)buf", "\tstatic char buf[4 * XM_PAGE];\n" },
		{ "(__u64)pages", "\tstatic struct xmirror_page pages[64];\n" },
		{ "cmds[", "\tstatic struct xmirror_cmd cmds[256];\n" },
		{ "memfd", "\tint memfd = memfd_create(\"fuzz\", 0);\n" },
		{ "event,", "\tint event = eventfd(0, EFD_NONBLOCK);\n" },
		{ "status", "\tint status;\n" },
	};
	char declarations[1024] = "", *steps;
	size_t len;
	FILE *f = open_memstream(&steps, &len);
	unsigned int i;

	if (!f)
		return;
	for (i = 0; i < r->nr; i++)
		print_step(f, r->steps + i * COLUMNS,
			   i == r->nr - 1 ? r->err : 0);
	if (r->wrong == WRONG_COUNT)
		fprintf(f, "\tEXPECT_EQ(%llu, XM_LOAD(counter));\n", r->count);
	if (r->wrong == WRONG_VERIFY)
		fprintf(f, "\tEXPECT_CLEAN(fd[%d]);\n", r->fd);
	fclose(f);
	for (i = 0; i < ARRAY_SIZE(has); i++) {
		if (strstr(steps, has[i].use) &&
		    !strstr(declarations, has[i].text))
			strcat(declarations, has[i].text);
	}
	strcat(declarations, "\tint fd[] = { -1, -1, -1, -1, -1, -1, -1, -1 };\n\n");
	if (strstr(declarations, "char *p"))
		strcat(declarations, "\tASSERT_EQ(0, xm_anon_at(p, 64 * XM_PAGE));\n");
	if (strstr(declarations, "memfd"))
		strcat(declarations, "\tASSERT_EQ(0, ftruncate(memfd, 64 * XM_PAGE));\n");
	strcat(declarations, "\tXM_NEED_DEVICE(return);\n");
	shrink_print(stdout, why, declarations, steps);
	free(steps);
}

void shrink_log(const struct log *log, int foreign, int foreign_memory)
{
	__u64 (*list)[COLUMNS] = calloc(LOG + NR_FDS, sizeof(*list)), at;
	struct replay *r = xm_shared(sizeof(*r));
	struct shrink s = {
		.steps = (__u64 *)list, .width = COLUMNS, .fails = fails,
		.arg = r, .most = MOST,
	};
	char why[sizeof(r->why) + 64];
	unsigned int nr;

	if (!list || !r)
		return;
	r->foreign = foreign;
	r->foreign_memory = foreign_memory;
	ksft_print_msg("wrong after %llu steps of a process\n", log->bad);
	nr = list_of(log, list);
	s.nr = nr;
	if (!shrink_tainted() && shrink(&s) && fails(s.steps, s.nr, r)) {
		ksft_print_msg("%u steps of %u, found in %u runs\n", s.nr, nr,
			       s.runs);
		snprintf(why, sizeof(why), "--seed %#llx: %s", seed, r->why);
		print_program(r, why);
		return;
	}
	ksft_print_msg("not shrunk: %s; the last steps are\n", shrink_tainted() ?
		       "the kernel has reported a bug" :
		       "one thread does not do it");
	for (at = log->bad > LAST ? log->bad - LAST : 0; at < log->bad; at++)
		print_step(stdout, log->step[at % LOG], 0);
}
