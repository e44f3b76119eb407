// SPDX-License-Identifier: GPL-2.0
/*
 * The third axis of the race matrix: one side is held at a function of mm/ that it
 * calls on its way, on an unmodified kernel, while the other runs.
 *
 * A cell is called DEVOP.MMOP@FUNCTION#CALL if the mm op is held, and
 * DEVOP@FUNCTION#CALL.MMOP if the device op is, with :return behind the number if
 * it is where the function returns, and with huge: in front if the page is a part of
 * a huge one. The names of a pair or of a side (DEVOP.MMOP, DEVOP.MMOP@,
 * DEVOP@.MMOP) stand for all of their windows. Which these are is found by
 * recording the calls of a run in which nobody is held.
 *
 * With +FUNCTION#CALL behind that the other side is held, too, at its own place, and
 * the one that was held first goes on meanwhile. A + alone stands for all such
 * schedules of a side, of a window, or if it is all of the name, of all sides.
 *
 * Without an option it is some windows of each pair of the list below. --all runs
 * all pairs with all windows, small and huge; --shard 2/5 the second fifth of the
 * sides; -n that many windows of each side, at equal distances.
 *
 * A window that was found when recording and is not reached later is a skip: not every
 * run goes the same way. The last tests count these.
 */
#include <getopt.h>

#include "klog.h"
#include "kselftest.h"
#include "windows.h"

/* How many windows of a side make check has time for, and with two stops */
#define CHECK_WINDOWS	5
#define CHECK_STOPS	3

static const char * const others[RACE_OTHERS] = {
	[RACE_UNREACHED] = "not reached",
	[RACE_RAN] = "ran",
	[RACE_WAITED] = "waited",
	[RACE_LATE] = "late",
};

/* Of both sides, if there are two names */
static const char * const chosen[] = {
	"exclusive.fork_child@", "exclusive@.madv_dontneed",
	"exclusive.unmap@", "exclusive@.cpu_add", "exclusive.madv_pageout@",
	"write.mprotect_read@", "write@.fork_child", "atomic.fork_child@",
	"to_device.fork_child@", "to_device@.cpu_add", "to_device.unmap@",
	"to_system@.cpu_add", "cpu_return@.cpu_add", "cpu_return@.unmap",
	"excl_read@.cpu_add", "excl_fork@.madv_pageout",
	"excl_read.uffd_wp@", "first_mirror@.unmap",
	"huge:exclusive.fork_child@", "huge:to_device@.madv_dontneed",
	"huge:cpu_return@.fork_child",
	"excl_wp@.madv_dontneed", "private_wp@.madv_dontneed",
	"exclusive@+.cpu_add", "to_device.fork_child@+",
};

#define MAX_WANTED	128
#define MAX_SIDES	65536

static const char *wanted[MAX_WANTED];
static unsigned int nr_wanted, nr_sides;
static struct side *sides;
static unsigned int most = CHECK_WINDOWS, part = 1, parts = 1, times = 1;
static bool all, only_list, only_count;
static int fd;
static unsigned int counts[RACE_OTHERS], stops[RACE_OTHERS];
static unsigned int looked, failed, nr_cells, nr_windows;
static unsigned int nr_stops, nr_first, nr_alike, nr_unread, nr_spin;

static void add_side(const struct side *s)
{
	if (!sides)
		sides = own_memory(MAX_SIDES * sizeof(*sides));
	if (nr_sides == MAX_SIDES)
		ksft_exit_fail_msg("more than %d sides\n", MAX_SIDES);
	sides[nr_sides++] = *s;
}

static void add_all(bool stops)
{
	struct side s = { .stops.wanted = stops };

	for (s.devop = race_devops; s.devop->name; s.devop++) {
		for (s.mmop = race_mmops; s.mmop->name; s.mmop++) {
			int i;

			for (i = 0; i < 4; i++) {
				s.mm = i & 1;
				s.huge = i & 2;
				add_side(&s);
			}
		}
	}
}

/* A cell by its full name has just that window, or none yet. */
static int add_named(const char *name)
{
	struct window *w = own_memory(sizeof(*w));
	struct side s;

	if (!strcmp(name, "+")) {
		add_all(true);
		return 0;
	}
	if (!cell_parse(name, &s, w))
		return -ENOENT;
	if (w->at[0].function) {
		s.windows = w;
		s.nr = 1;
	}
	add_side(&s);
	if (!strchr(name, '@')) {
		s.mm = false;
		add_side(&s);
	}
	return 0;
}

static void keep_part(void)
{
	unsigned int i, n = 0;

	for (i = 0; i < nr_sides; i++) {
		if (i % parts == part - 1)
			sides[n++] = sides[i];
	}
	nr_sides = n;
}

static int attach(void)
{
	const struct hold_function *f;
	unsigned int nr, i, taken = 0;
	__u64 start = xm_now_ns();
	__u64 *addresses;
	int err;

	f = hold_functions(&nr);
	addresses = calloc(nr, sizeof(*addresses));
	if (!addresses)
		return -ENOMEM;
	for (i = 0; i < nr; i++)
		addresses[i] = f[i].address;
	err = hold_attach(fd, addresses, nr, &taken);
	free(addresses);
	if (!err && !taken)
		err = -ENOENT;
	ksft_print_msg("%u functions of mm/, %u of them can be held; %llu ms\n",
		       nr, taken,
		       (unsigned long long)(xm_now_ns() - start) / 1000000);
	return err;
}

static bool same_place(const struct place *a, const struct place *b)
{
	return a->function == b->function && a->hit == b->hit &&
	       a->flags == b->flags;
}

/* The second stops of the windows that there are, or that are named */
static int find_stops(struct side *s)
{
	unsigned int first = 0, i;
	int err;

	if (!s->stops.wanted || s->why[0])
		return 0;
	err = side_find_stops(s, fd);
	for (i = 0; i < s->nr; i++)
		first += !i || !same_place(&s->windows[i].at[0],
					   &s->windows[i - 1].at[0]);
	if (!s->nr && !s->failed)
		snprintf(s->why, sizeof(s->why),
			 "no second stop: the other side neither waits nor reads again");
	nr_stops += s->nr;
	nr_first += first;
	nr_alike += s->stops.alike;
	nr_unread += s->stops.unread;
	nr_spin += s->stops.spin;
	side_keep(s, most ? CHECK_STOPS : 0);
	return err;
}

static void count(const struct side *s)
{
	char name[SIDE_NAME];

	side_name(s, name);
	ksft_print_msg("%7u %9u %7u %8u %5u  %s%s%s\n", s->calls,
		       s->functions, s->found, s->unsteady, s->nr, name,
		       s->why[0] ? ": " : "", s->why);
	fflush(stdout);
}

static int find_windows(void)
{
	unsigned int i, unsteady = 0;
	__u64 start = xm_now_ns();
	int err = 0;

	if (only_count)
		ksft_print_msg("  calls functions windows unsteady cells  side\n");
	for (i = 0; i < nr_sides && !err; i++) {
		struct side *s = &sides[i];

		if (!s->nr) {
			err = side_find_windows(s, fd);
			nr_windows += s->nr;
			unsteady += s->unsteady;
			side_keep(s, most);
		}
		if (!err)
			err = find_stops(s);
		nr_cells += s->why[0] ? 1 : s->nr * times;
		if (only_count)
			count(s);
	}
	ksft_print_msg("%u sides, %u windows, %u that not every run has, %u cells; %llu ms\n",
		       nr_sides, nr_windows, unsteady, nr_cells,
		       (unsigned long long)(xm_now_ns() - start) / 1000000);
	if (nr_stops) {
		ksft_print_msg("%u schedules with two stops from %u windows\n",
			       nr_stops, nr_first);
		ksft_print_msg("left out: %u windows like the one before, %u with no other stop\n",
			       nr_alike, nr_unread);
		ksft_print_msg("left out: %u schedules in which both would spin\n",
			       nr_spin);
	}
	return err;
}

static void run_cell(const struct side *s, const struct window *w)
{
	struct race_result r = side_run(s, fd, w, NULL, 0);
	unsigned int *n = w->at[1].function ? stops : counts;
	char name[SIDE_NAME];

	cell_name(s, w, name);
	if (r.verdict == RACE_FAIL) {
		failed++;
		ksft_print_msg("%s: %s: %s\n", name, others[r.other], r.why);
		ksft_test_result_fail("%s\n", name);
	} else if (r.verdict == RACE_UNREACHABLE) {
		n[RACE_UNREACHED]++;
		ksft_test_result_skip("%s: %s\n", name, r.why);
	} else if (r.other == RACE_UNREACHED) {
		n[r.other]++;
		ksft_test_result_skip("%s: not reached\n", name);
	} else {
		n[r.other]++;
		looked += r.looked;
		ksft_print_msg("%s: %s, %u ms\n", name, others[r.other], r.ms);
		ksft_test_result_pass("%s\n", name);
	}
	fflush(stdout);
}

static void run_side(const struct side *s)
{
	char name[SIDE_NAME];
	unsigned int i;

	side_name(s, name);
	if (s->failed) {
		failed++;
		ksft_print_msg("%s: %s%s\n", name,
			       s->found ? "" : "nobody held: ", s->why);
		ksft_test_result_fail("%s\n", name);
	} else if (s->why[0]) {
		ksft_test_result_skip("%s: %s\n", name, s->why);
	}
	for (i = 0; i < s->nr * times; i++)
		run_cell(s, &s->windows[i / times]);
}

/* One part of many may have nothing but sides that this kernel lacks. */
static void judge_all(bool well, const char *what)
{
	if (parts > 1 && !nr_windows)
		ksft_test_result_skip("%s: this part has none\n", what);
	else
		ksft_test_result(well, "%s\n", what);
}

/* That the windows were there, and something happened in them */
static void judge(void)
{
	unsigned int n = 0, two = 0, share, i;

	for (i = 0; i < RACE_OTHERS; i++) {
		n += counts[i];
		two += stops[i];
	}
	ksft_print_msg("%u windows, %u not reached; VERIFY in %u\n",
		       n, counts[RACE_UNREACHED], looked);
	ksft_print_msg("the other side ran in %u, waited in %u, was late in %u\n",
		       counts[RACE_RAN], counts[RACE_WAITED],
		       counts[RACE_LATE]);
	if (two) {
		ksft_print_msg("%u schedules with two stops, %u not reached\n",
			       two, stops[RACE_UNREACHED]);
		ksft_print_msg("the first side ran in %u, waited in %u, was late in %u\n",
			       stops[RACE_RAN], stops[RACE_WAITED],
			       stops[RACE_LATE]);
	}
	if (nr_wanted)
		return;
	judge_all(nr_windows, "windows are found");
	judge_all(n && counts[RACE_UNREACHED] * 10 <= n,
		  "nine of ten windows are reached");
	/* Those that need nothing of the device mostly wait for mmap_lock. */
	share = xm_caps() & XMIRROR_CAP_EXCLUSIVE ? 3 : 10;
	judge_all(n && counts[RACE_RAN] * share >= n,
		  "other sides run to their ends");
}

static void print_help(FILE *f)
{
	fputs("usage: race_holds [option]...\n"
	      "Holds one side of a race at a function of the kernel while the other runs.\n"
	      "A cell is [huge:]DEVICE.MM@FUNCTION#CALL[:return] if the mm operation is\n"
	      "held, [huge:]DEVICE@FUNCTION#CALL[:return].MM if the device's is. With\n"
	      "+FUNCTION#CALL[:return] behind that the other one is held there, too, while\n"
	      "the first goes on; a + alone is for all of these.\n"
	      "\n"
	      "  -r CELL      run this one, or all of a side (DEVICE.MM@, DEVICE@.MM)\n"
	      "               or a pair (DEVICE.MM); may be given again\n"
	      "  -a, --all    run all windows of all pairs\n"
	      "  --shard I/N  run one of N parts\n"
	      "  -n NUMBER    run at most so many windows of a side; 0 for all\n"
	      "  --times N    run each cell N times\n"
	      "  -c           count functions, windows and cells by pair, run none\n"
	      "  -l           list the cells, run none\n"
	      "  --help       this text\n"
	      "\n"
	      "Exit status: 0 all is well, 1 a cell failed, 2 usage, 4 no device.\n", f);
}

static int options(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "all", no_argument, NULL, 'a' },
		{ "shard", required_argument, NULL, 'i' },
		{ "times", required_argument, NULL, 't' },
		{ "exit", no_argument, NULL, 'x' },
		{ "help", no_argument, NULL, 'h' },
		{}
	};
	int opt;

	while ((opt = getopt_long(argc, argv, "ai:n:r:clh", longs, NULL)) != -1) {
		switch (opt) {
		case 'x':	/* for vfork_exec */
			exit(0);
		case 'a':
			all = true;
			most = 0;
			break;
		case 'i':
			if (sscanf(optarg, "%u/%u", &part, &parts) != 2 ||
			    !part || part > parts)
				return -EINVAL;
			break;
		case 't':
			times = xm_number("race_holds", optarg, 1, 1 << 20);
			break;
		case 'n':
			most = xm_number("race_holds", optarg, 0, 1 << 20);
			break;
		case 'c':
			only_count = true;
			break;
		case 'l':
			only_list = true;
			break;
		case 'r':
			if (nr_wanted == MAX_WANTED)
				return -EINVAL;
			wanted[nr_wanted++] = optarg;
			most = 0;
			break;
		case 'h':
			print_help(stdout);
			exit(0);
		default:
			print_help(stderr);
			return -EINVAL;
		}
	}
	return 0;
}

static int choose(void)
{
	unsigned int i;

	if (!nr_wanted && all)
		add_all(false);
	for (i = 0; i < sizeof(chosen) / sizeof(*chosen); i++) {
		if (!nr_wanted && !all)
			add_named(chosen[i]);
	}
	for (i = 0; i < nr_wanted; i++) {
		if (add_named(wanted[i])) {
			fprintf(stderr, "there is no %s\n", wanted[i]);
			return -ENOENT;
		}
	}
	keep_part();
	return 0;
}

static void list(void)
{
	char name[SIDE_NAME];
	unsigned int i, k;

	for (i = 0; i < nr_sides; i++) {
		for (k = 0; k < sides[i].nr; k++) {
			cell_name(&sides[i], &sides[i].windows[k], name);
			ksft_print_msg("cell %s\n", name);
		}
	}
}

/* The first cell in which a huge page moves that fork() has shared has a report. */
static void expect(bool begin)
{
	if (!klog_has_shared_huge())
		return;
	if (begin)
		klog_expect("0-1", KLOG_SHARED_HUGE);
	else
		klog_expected();
}

int main(int argc, char **argv)
{
	unsigned int i;
	int err;

	if (options(argc, argv))
		return 2;
	ksft_print_header();
	/* From then on the log is looked at, where this is a line like a report. */
	expect(true);
	err = race_init();
	if (err && getenv("XM_GUEST"))
		ksft_exit_fail_msg("no device: %s\n", strerror(-err));
	if (err)
		ksft_exit_skip("no device: %s\n", strerror(-err));
	if (!(xm_caps() & XMIRROR_CAP_HOLD))
		ksft_exit_skip("%s\n", xm_why_not(XMIRROR_CAP_HOLD));
	fd = xm_open(0);
	err = fd < 0 ? fd : hold_load();
	if (err)
		ksft_exit_fail_msg("no functions: %s\n", strerror(-err));
	if (choose())
		return 2;
	if (!nr_sides)
		ksft_exit_skip("nothing in this part\n");
	err = attach();
	if (!err)
		err = find_windows();
	if (err)
		ksft_exit_fail_msg("no windows: %s\n", strerror(-err));
	if (only_list)
		list();
	if (only_count)
		wishes_print();
	if (only_list || only_count) {
		expect(false);
		return 0;
	}
	ksft_set_plan(nr_cells + (nr_wanted ? 0 : 3));
	for (i = 0; i < nr_sides; i++)
		run_side(&sides[i]);
	judge();
	expect(false);
	ksft_finished();
}
