// SPDX-License-Identifier: GPL-2.0
/*
 * The race matrix: each device op against each mm op in each window.
 *
 * usage: race_matrix [--all] [--table] [--shard I/N] [-r CELL]... [-l]
 *
 * A cell is called DEVOP.MMOP.WINDOW, and a trailing part may be left out. Without
 * an option each pair is run in its most dangerous window; --all runs all cells, and
 * --shard only the I-th of each N of them. An unknown cell is an error, no cell in
 * this part a skip. The output is TAP, or with --table a table.
 */
#include <getopt.h>

#include "kselftest.h"
#include "matrix.h"

static const char * const verdicts[RACE_VERDICTS] = {
	[RACE_PASS] = "pass",
	[RACE_FAIL] = "FAIL",
	[RACE_UNREACHABLE] = "unreachable",
};

#define MAX_WANTED	128

static const char *wanted[MAX_WANTED];
static bool known[MAX_WANTED];
static unsigned int nr_wanted;
static bool all, as_table;
static unsigned int shard = 1, shards = 1;

/* Of those asked for by their full name any window will do. */
static bool is_wanted(const char *name, bool curated)
{
	bool yes = !nr_wanted && curated;
	unsigned int i;
	size_t n;

	for (i = 0; i < nr_wanted; i++) {
		n = strlen(wanted[i]);
		if (!strncmp(name, wanted[i], n) &&
		    (!name[n] || (name[n] == '.' && curated))) {
			known[i] = true;
			yes = true;
		}
	}
	return yes;
}

/* For each wanted cell */
static unsigned int for_each(void (*fn)(const char *name,
					const struct race_devop *d,
					const struct race_mmop *m,
					const struct race_window *w))
{
	const struct race_devop *d;
	const struct race_mmop *m;
	const struct race_window *w;
	unsigned int count = 0, nr = 0;
	char name[128];

	for (d = race_devops; d->name; d++) {
		for (m = race_mmops; m->name; m++) {
			for (w = d->windows; w->name; w++) {
				snprintf(name, sizeof(name), "%s.%s.%s",
					 d->name, m->name, w->name);
				if (!is_wanted(name, all ||
					       !strcmp(w->name,
						       race_worst(d, m))))
					continue;
				if (nr++ % shards != shard - 1)
					continue;
				count++;
				if (fn)
					fn(name, d, m, w);
			}
		}
	}
	return count;
}

static void list(const char *name, const struct race_devop *d,
		 const struct race_mmop *m, const struct race_window *w)
{
	(void)d;
	(void)m;
	(void)w;
	printf("%s\n", name);
}

static void test(const char *name, const struct race_devop *d,
		 const struct race_mmop *m, const struct race_window *w)
{
	struct race_result r = race(d->name, m->name, w->name);

	switch (r.verdict) {
	case RACE_PASS:
		ksft_test_result_pass("%s\n", name);
		break;
	case RACE_UNREACHABLE:
		ksft_test_result_skip("%s: unreachable: %s\n", name, r.why);
		break;
	default:
		ksft_print_msg("%s: %s\n", name, r.why);
		ksft_test_result_fail("%s\n", name);
	}
	fflush(stdout);
}

static void print_help(FILE *f)
{
	fputs("usage: race_matrix [option]...\n"
	      "Runs each device operation against each mm operation in each window.\n"
	      "A cell is DEVICE.MM.WINDOW; a trailing part may be left out. Without -r\n"
	      "or --all each pair runs in its most dangerous window.\n"
	      "\n"
	      "  -r CELL      run this one; may be given again\n"
	      "  -a, --all    run all windows\n"
	      "  -t, --table  print a table instead of TAP\n"
	      "  --shard I/N  only the I-th of each N cells\n"
	      "  -l           list the cells, run none\n"
	      "  --help       this text\n"
	      "\n"
	      "Exit status: 0 all cells passed or can't be reached, 1 one failed,\n"
	      "2 usage, 4 no device.\n", f);
}

static unsigned int counts[RACE_VERDICTS];

static void row(const char *name, const struct race_devop *d,
		const struct race_mmop *m, const struct race_window *w)
{
	struct race_result r = race(d->name, m->name, w->name);

	(void)name;
	counts[r.verdict]++;
	printf("%-10s %-20s %-17s %-13s %5u ms %s%s%s\n", d->name, m->name,
	       w->name, verdicts[r.verdict], r.ms, r.waited ? "waits" : "",
	       r.waited && r.why[0] ? ": " : "", r.why);
	fflush(stdout);
}

static int table(void)
{
	__u64 start = xm_now_ns();
	unsigned int cells;

	printf("%-10s %-20s %-17s %s\n", "device", "mm", "window", "verdict");
	cells = for_each(row);
	printf("# %u cells in %llu s\n", cells,
	       (unsigned long long)(xm_now_ns() - start) / 1000000000);
	printf("%u pass, %u fail, %u unreachable\n", counts[RACE_PASS],
	       counts[RACE_FAIL], counts[RACE_UNREACHABLE]);
	return counts[RACE_FAIL] || !counts[RACE_PASS];
}

/* 0, or 2 if a cell that was asked for does not exist. */
static int check_wanted(void)
{
	unsigned int i;

	for_each(NULL);
	for (i = 0; i < nr_wanted; i++) {
		if (known[i])
			continue;
		fprintf(stderr, "no such cell: %s\n", wanted[i]);
		return 2;
	}
	return 0;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "all", no_argument, NULL, 'a' },
		{ "table", no_argument, NULL, 't' },
		{ "shard", required_argument, NULL, 's' },
		{ "exit", no_argument, NULL, 'x' },
		{ "help", no_argument, NULL, 'h' },
		{}
	};
	bool only_list = false;
	unsigned int cells;
	int opt, err;

	while ((opt = getopt_long(argc, argv, "atr:l", options, NULL)) != -1) {
		switch (opt) {
		case 'x':	/* for vfork_exec */
			return 0;
		case 'a':
			all = true;
			break;
		case 's':
			if (sscanf(optarg, "%u/%u", &shard, &shards) != 2 ||
			    !shard || shard > shards)
				return 2;
			break;
		case 't':
			as_table = true;
			break;
		case 'r':
			if (nr_wanted == MAX_WANTED) {
				fprintf(stderr, "more than %d cells\n",
					MAX_WANTED);
				return 2;
			}
			wanted[nr_wanted++] = optarg;
			break;
		case 'l':
			only_list = true;
			break;
		case 'h':
			print_help(stdout);
			return 0;
		default:
			print_help(stderr);
			return 2;
		}
	}

	if (check_wanted())
		return 2;
	if (only_list) {
		for_each(list);
		return 0;
	}
	if (as_table) {
		err = race_init();
		if (err)
			printf("no device: %s\n", strerror(-err));
		return err ? 1 : table();
	}
	ksft_print_header();
	err = race_init();
	if (err && getenv("XM_GUEST"))
		ksft_exit_fail_msg("no device: %s\n", strerror(-err));
	if (err)
		ksft_exit_skip("no device: %s\n", strerror(-err));
	cells = for_each(NULL);
	if (!cells)
		ksft_exit_skip("no cell in this part\n");
	ksft_set_plan(cells);
	for_each(test);
	ksft_finished();
}
