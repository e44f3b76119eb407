// SPDX-License-Identifier: GPL-2.0
/*
 * Calls that make sense, mostly, in an order that doesn't: several processes
 * with several threads each call every ioctl with arguments near what is valid,
 * and map, unmap, protect, page out and fork under that.
 *
 * Nothing here writes outside of the area that is fuzzed: who would do so to the
 * program's own memory could not tell what it found.
 *
 * usage: abuse_fuzz [--calls N] [--seed S] [--threads T] [--procs P] [--blind]
 *
 * The conditions: no error that the interface doesn't know, VERIFY clean on
 * every mirror at the end, and each thread's own counter, which nothing but its
 * own device atomics change, right to the last one. Besides, the kernel's
 * checkers look on. The seed and T, P repeat what each thread does, though not
 * how the threads interleave.
 *
 * Where the kernel has CONFIG_KCOV, a step that ran something in it that none had
 * run before is kept, by the random numbers that it was made from. Now and then
 * one of the kept is made again: the same up to some number, or but for one. Then
 * what a thread does also depends on what the others have found; with --blind on
 * the seed alone.
 *
 * Where /dev/hmm_dmirror0 is not the kernel's own test_hmm, its calls are in the
 * mix. (test_hmm has bugs that this would find each time.)
 *
 * The random numbers are in random.c, what is made of them in call.c and
 * mm.c: steps, lists of which can be run again. If something does not hold, shrink.c
 * looks for the shortest list that does it in one thread, and print.c prints that as
 * a test program. Here are the processes, their threads, and what must hold.
 *
 * A kernel that has crashed or reported a bug cannot be asked again in the same
 * guest. Each process says now and then how many calls there were: with the next such
 * number as --calls, --seed and --blind, the way there is shorter.
 */
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "fuzz.h"
#include "proc.h"
#include "shrink.h"
#include "vram.h"

#define MAX_THREADS	16
#define MAX_PROCS	8
/* Steps of a process until it says how many calls there were: a crash says nothing. */
#define SAY		1024

struct totals *totals;
bool hmm_abi;
bool silent;
__u64 seed;

char *area;
struct log *log_of_process;
int event = -1;
int memfd = -1;

static __u64 calls = 12000;
static unsigned int threads = 3, procs = 2;
static bool blind;
static int foreign = -1;
static int foreign_memory = -1;

static void make_count(struct thread *t, __u64 *step)
{
	bool there = xm_caps() & XMIRROR_CAP_PRIVATE;

	step[WHAT] = STEP_COUNT;
	step[BY] = 1 + below(t, 9);
	if (one_in(t, 3) && there)
		step[MIGRATE] = 1 + one_in(t, 2);
	step[BY_CPU] = one_in(t, 4) || !(xm_caps() & XMIRROR_CAP_EXCLUSIVE);
	step[CHECK] = one_in(t, 8);
}

bool count_is_right(struct thread *t)
{
	__u64 seen = XM_LOAD(t->counter);

	if (seen == t->count)
		return true;
	if (!silent)
		dprintf(1, "# a counter is %llu instead of %llu\n", seen,
			t->count);
	XM_ADD(&totals->bad_count, 1);
	return false;
}

static void run_count(struct thread *t, const __u64 *step)
{
	if (step[MIGRATE])
		xm_migrate(t->fd[FD_OWN], t->counter, XM_PAGE,
			   step[MIGRATE] - 1, 0, NULL);
	if (step[BY_CPU]) {
		XM_ADD(t->counter, step[BY]);
		t->count += step[BY];
	} else if (!xm_add(t->fd[FD_OWN], t->counter, step[BY])) {
		t->count += step[BY];
	}
	XM_ADD(&totals->adds, 1);
}

int run_step(struct thread *t, const __u64 *step)
{
	int err;

	switch (step[WHAT]) {
	case STEP_OPEN:
		if (t->fd[step[FD]] >= 0)
			close(t->fd[step[FD]]);
		t->fd[step[FD]] = xm_open(step[DEVICE]);
		return 0;
	case STEP_COUNT:
		run_count(t, step);
		return 0;
	default:
		if (step[WHAT] >= KINDS) {
			run_mm_op(t, step);
			return 0;
		}
	}
	err = run_call(t, step);
	if (is_known(err))
		return 0;
	XM_ADD(&totals->bad_errno, 1);
	if (!silent)
		dprintf(1, "# %s: error %d (%s)\n", kinds[step[WHAT]].name,
			err, strerror(err));
	return err;
}

/* The first in the log of the process is what counts. */
static void set_bad(__u64 at)
{
	__u64 none = 0;

	__atomic_compare_exchange_n(&log_of_process->bad, &none, at, false,
				    __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

static void say_calls(void)
{
	unsigned int i;
	__u64 sum = 0;

	for (i = 0; i < KINDS; i++)
		sum += XM_LOAD(&totals->calls[i]);
	dprintf(1, "# %llu calls so far\n", sum);
}

static void do_step(struct thread *t, const __u64 *step)
{
	__u64 at = XM_ADD(&log_of_process->nr, 1);

	memcpy(log_of_process->step[at % LOG], step, COLUMNS * sizeof(*step));
	if (at % SAY == SAY - 1)
		say_calls();
	if (run_step(t, step))
		set_bad(at + 1);
	if (step[WHAT] == STEP_COUNT && step[CHECK] && !count_is_right(t)) {
		set_bad(at + 1);
		t->count = XM_LOAD(t->counter);
	}
}

static void one_step(struct thread *t)
{
	__u64 step[COLUMNS] = {};

	switch (below(t, 8)) {
	case 0:
		make_mm_op(t, step);
		XM_ADD(&totals->mm_ops, 1);
		do_step(t, step);
		break;
	case 1:
		make_count(t, step);
		do_step(t, step);
		break;
	}
	memset(step, 0, sizeof(step));
	make_call(t, step);
	do_step(t, step);
}

static void *work(void *arg)
{
	struct thread *t = arg;
	unsigned int places;
	__u64 i;

	t->guided = !blind && !kcov_open(&t->kcov);
	t->taken = TAPE;
	for (i = 0; i < t->calls; i++) {
		if (!t->guided) {
			one_step(t);
			continue;
		}
		choose(t);
		kcov_begin(&t->kcov);
		one_step(t);
		places = kcov_end(&t->kcov, totals->seen);
		if (places)
			keep(t, places);
	}
	if (t->guided)
		kcov_close(&t->kcov);
	if (t->fd[FD_EXTRA] >= 0)
		close(t->fd[FD_EXTRA]);
	if (!count_is_right(t))
		set_bad(XM_LOAD(&log_of_process->nr));
	return NULL;
}

static long verify(int fd)
{
	char text[128] = "";
	long n = xm_violations(fd, text, sizeof(text));

	if (n)
		dprintf(1, "# VERIFY: %ld: %s\n", n, text);
	return n;
}

int prepare(void)
{
	area = (char *)AREA;
	CHILD_CHECK(!xm_anon_at(area, SIZE));
	memfd = memfd_create("fuzz", MFD_CLOEXEC);
	CHILD_CHECK(memfd >= 0 && !ftruncate(memfd, SIZE));
	event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	CHILD_CHECK(event >= 0);
	return 0;
}

/* A process: its exit status says whether it could do its work at all. */
static int process(struct child *c, void *arg)
{
	unsigned int i, k, number = *(unsigned int *)arg;
	static struct thread t[MAX_THREADS];
	int fds[NR_FDS];
	long bad = 0;

	(void)c;
	log_of_process += number;
	CHILD_CHECK(!prepare());
	for (i = 0; i < SHARED_FDS; i++) {
		fds[i] = xm_open(i % 2);
		CHILD_CHECK(fds[i] >= 0);
	}
	fds[FD_EXTRA] = -1;
	fds[FD_FOREIGN] = foreign;
	fds[FD_FOREIGN_MEMORY] = foreign_memory;
	fds[FD_HMM] = -1;
	if (hmm_abi) {
		fds[FD_HMM] = open("/dev/hmm_dmirror0", O_RDWR | O_CLOEXEC);
		CHILD_CHECK(fds[FD_HMM] >= 0);
	}
	for (i = 0; i < threads; i++) {
		t[i].rng = seed + ((__u64)number << 32) + ((__u64)i << 48);
		t[i].calls = calls / threads / procs +
			     (number * threads + i < calls % (threads * procs));
		for (k = 0; k < NR_FDS; k++)
			t[i].fd[k] = fds[k];
		t[i].fd[FD_OWN] = xm_open(i % 2);
		t[i].counter = xm_anon(XM_PAGE);
		CHILD_CHECK(t[i].fd[FD_OWN] >= 0 && t[i].counter);
	}
	for (i = 0; i < threads; i++)
		CHILD_CHECK(!pthread_create(&t[i].thread, NULL, work, &t[i]));
	for (i = 0; i < threads; i++)
		pthread_join(t[i].thread, NULL);
	for (i = 0; i < threads; i++)
		bad += !!verify(t[i].fd[FD_OWN]);
	for (i = 0; i < SHARED_FDS; i++)
		bad += !!verify(fds[i]);
	XM_ADD(&totals->violations, bad);
	if (bad)
		set_bad(XM_LOAD(&log_of_process->nr));
	return 0;
}

static void print_help(FILE *f)
{
	fputs("usage: abuse_fuzz [option]...\n"
	      "Calls every ioctl of the device with arguments near what is valid.\n"
	      "\n"
	      "  --calls N    how many calls, of all threads together\n"
	      "  --seed S     random numbers to repeat; printed by each run\n"
	      "  --threads T  threads of each process\n"
	      "  --procs P    processes\n"
	      "  --blind      do not prefer calls that reached new code (KCOV)\n"
	      "  --help       this text\n"
	      "\n"
	      "Exit status: 0 all is well, 1 something did not hold, 2 usage.\n",
	      f);
}

static void options(int argc, char **argv)
{
	static const struct option all[] = {
		{ "calls", required_argument, NULL, 'c' },
		{ "seed", required_argument, NULL, 's' },
		{ "threads", required_argument, NULL, 't' },
		{ "procs", required_argument, NULL, 'p' },
		{ "blind", no_argument, NULL, 'b' },
		{ "help", no_argument, NULL, 'h' },
		{}
	};
	int opt;

	getrandom(&seed, sizeof(seed), 0);
	while ((opt = getopt_long(argc, argv, "", all, NULL)) != -1) {
		switch (opt) {
		case 'c':
			calls = xm_number("abuse_fuzz", optarg, 0, ~0ULL);
			break;
		case 's':
			seed = xm_number("abuse_fuzz", optarg, 0, ~0ULL);
			break;
		case 't':
			threads = xm_number("abuse_fuzz", optarg, 0, ~0ULL);
			break;
		case 'p':
			procs = xm_number("abuse_fuzz", optarg, 0, ~0ULL);
			break;
		case 'b':
			blind = true;
			break;
		case 'h':
			print_help(stdout);
			exit(0);
		default:
			print_help(stderr);
			exit(2);
		}
	}
	if (!threads || threads > MAX_THREADS || !procs || procs > MAX_PROCS) {
		fprintf(stderr, "at most %d threads and %d processes\n",
			MAX_THREADS, MAX_PROCS);
		exit(2);
	}
}

/* VRAM stays write-protected, for whoever comes next, until it is written. */
static void unprotect(int fd)
{
	size_t at, piece = 2 * PAGES * XM_PAGE;
	struct xmirror_vram v;
	char *p;

	if (vram_do(fd, XMIRROR_VRAM_QUERY, 0, 0, &v) || !v.write_protected)
		return;
	p = mmap(NULL, v.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return;
	for (at = 0; at < v.bytes; at += XM_PAGE) {
		if (!(at % piece) &&
		    (vram_do(fd, XMIRROR_VRAM_QUERY, 0, 0, &v) ||
		     !v.write_protected))
			break;
		XM_STORE(p + at, 0);
	}
	munmap(p, v.bytes);
}

void replug(void)
{
	struct xmirror_unplug u = {
		.size = sizeof(u),
		.flags = XMIRROR_UNPLUG_REPLUG,
	};
	unsigned int i;
	int fd;

	for (i = 0; i < 2; i++) {
		fd = xm_open(i);
		if (fd >= 0) {
			ioctl(fd, XMIRROR_IOC_UNPLUG, &u);
			unprotect(fd);
			close(fd);
		}
	}
}

/*
 * Wait for the end of a process, and show that there is progress. No deadline
 * but the runner's: a million calls take long.
 */
static void watch(pid_t pid)
{
	struct pollfd p = {
		.fd = syscall(SYS_pidfd_open, pid, 0),
		.events = POLLIN,
	};

	while (p.fd >= 0 && !poll(&p, 1, 60000))
		say_calls();
	close(p.fd);
}

/* Whether a call that is not in the mix, or cannot do anything here, is meant. */
static bool is_spared(size_t i)
{
	__u64 need = 0;

	switch (kinds[i].nr) {
	case 0:
		return true;
	case XMIRROR_IOC_EXCLUSIVE:
		need = XMIRROR_CAP_EXCLUSIVE;
		break;
	case XMIRROR_IOC_MIGRATE:
	case XMIRROR_IOC_UNPLUG:
		need = XMIRROR_CAP_PRIVATE;
		break;
	}
	return (i == HMM && !hmm_abi) || (xm_caps() & need) != need;
}

/* In a run that is long enough, each call and each parameter is seen to work. */
static bool all_reached(void)
{
	bool ret = true;
	size_t i;

	for (i = 0; i < KINDS; i++) {
		if (totals->good[i] || is_spared(i))
			continue;
		ksft_print_msg("%s has never succeeded\n", kinds[i].name);
		ret = false;
	}
	for (i = XMIRROR_SET_TIMEOUT; i < PARAMS; i++) {
		if (totals->set[i])
			continue;
		ksft_print_msg("SET %zu has never succeeded\n", i);
		ret = false;
	}
	return ret;
}

int main(int argc, char **argv)
{
	unsigned int numbers[MAX_PROCS], i;
	struct child children[MAX_PROCS];
	__u64 sum = 0, start = xm_now_ns();
	struct log *logs;
	int status;

	options(argc, argv);
	ksft_print_header();
	ksft_set_plan(6);
	totals = xm_shared(sizeof(*totals));
	logs = xm_shared(procs * sizeof(*logs));
	log_of_process = logs;
	shrink_tainted();
	foreign = xm_open(0);
	foreign_memory = xm_open(1);
	if (!totals || !logs || foreign < 0 || foreign_memory < 0)
		ksft_exit_fail_msg("/dev/xmirror0 or 1: %s\n",
				   strerror(foreign < 0 ? -foreign : ENODEV));
	hmm_abi = !access("/dev/hmm_dmirror0", R_OK | W_OK) &&
		  access("/sys/module/test_hmm", F_OK);
	xm_facts();
	ksft_print_msg("--calls %llu --seed %#llx --threads %u --procs %u%s\n",
		       calls, seed, threads, procs,
		       hmm_abi ? ", with /dev/hmm_dmirror0" : "");
	for (i = 0; i < procs; i++) {
		numbers[i] = i;
		if (child_start(&children[i], process, &numbers[i]))
			ksft_exit_fail_msg("fork: %s\n", strerror(errno));
	}
	for (i = 0; i < procs; i++) {
		watch(children[i].pid);
		if (waitpid(children[i].pid, &status, 0) != children[i].pid ||
		    status) {
			ksft_print_msg("process %u ended with status %#x\n", i,
				       status);
			totals->failed++;
			logs[i].bad = logs[i].nr;
		}
	}
	replug();
	for (i = 0; i < KINDS; i++) {
		sum += totals->calls[i];
		ksft_print_msg("%-13s %8llu calls, %8llu succeeded\n",
			       kinds[i].name, totals->calls[i],
			       totals->good[i]);
	}
	ksft_print_msg("%llu calls, %llu mm operations, %llu counted in %llu ms\n",
		       sum, totals->mm_ops, totals->adds,
		       (xm_now_ns() - start) / 1000000);
	ksft_print_msg("%llu places reached, in %llu steps that were kept\n",
		       totals->places, totals->nr_kept);
	ksft_test_result(!totals->failed && sum >= calls, "all calls made\n");
	ksft_test_result(!totals->bad_errno, "errors are known\n");
	ksft_test_result(!totals->bad_count, "counters are right\n");
	ksft_test_result(!totals->violations, "VERIFY is clean\n");
	if (calls < 10000)
		ksft_test_result_skip("too few calls to reach everything\n");
	else
		ksft_test_result(all_reached(), "every call has worked\n");
	if (blind || access("/sys/kernel/debug/kcov", R_OK | W_OK))
		ksft_test_result_skip("not guided: CONFIG_KCOV\n");
	else
		ksft_test_result(totals->places, "guided by what is reached\n");
	for (i = 0; i < procs; i++) {
		if (logs[i].bad) {
			shrink_log(&logs[i], foreign, foreign_memory);
			break;
		}
	}
	ksft_finished();
}
