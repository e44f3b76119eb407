// SPDX-License-Identifier: GPL-2.0
/*
 * Baseline numbers of xmirror, next to the kernel's own test driver (test_hmm)
 * in the same boot where that is loaded. Each figure is the median of several
 * rounds.
 */
#include <getopt.h>

#include "bench.h"
#include "settings.h"

/*
 * The memory starts at a multiple of 2 MiB, and the buffer must not: the same
 * pages of both would fight for the same entries of caches and TLBs. QEMU's
 * emulated TLB makes such a memcpy() ten times slower.
 */
#define BUF_SHIFT	(37 * XM_PAGE)

#define EXIT_WRONG	1
#define EXIT_SKIP	4

struct bench_options opt = {
	.rounds = 5,
	.max_size = 64UL << 20,
	.max_migrate = 256UL << 20,
	.atomics = 4000000,
};

static struct table {
	const char *name;
	void (*with_buf)(char *buf);
	void (*alone)(void);
	bool chosen;
} tables[] = {
	{ "mirror", .with_buf = run_mirror },
	{ "cpu", .with_buf = run_cpu },
	{ "atomics", .alone = run_atomics },
	{ "migrate", .with_buf = run_migrate },
	{ "granule", .alone = run_granule },
	{ "fork", .alone = run_fork },
	{ "cow", .alone = run_cow },
};

/* Some tables were chosen, instead of all. */
static bool choice;

static void print_help(FILE *f)
{
	size_t i;

	fprintf(f,
		"usage: bench [option]...\n"
		"  --rounds N       rounds of which the median is taken (%u)\n"
		"  --max-size MIB   largest range (%zu, %zu for migration)\n"
		"  --quick          3 rounds, up to 2 MiB\n"
		"  --only TABLE     one of these, may be repeated:",
		opt.rounds, opt.max_size >> 20, opt.max_migrate >> 20);
	for (i = 0; i < ARRAY_SIZE(tables); i++)
		fprintf(f, " %s", tables[i].name);
	fprintf(f, "\n");
}

/* Largest range; huge pages need 2 MiB. */
static void limit(size_t size)
{
	if (size < opt.max_size)
		opt.max_size = size;
	if (size < XM_2M)
		size = XM_2M;
	if (size < opt.max_migrate)
		opt.max_migrate = size & ~(XM_2M - 1);
}

static void choose(const char *name)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(tables); i++) {
		if (!strcmp(name, tables[i].name)) {
			tables[i].chosen = true;
			choice = true;
			return;
		}
	}
	fprintf(stderr, "bench: there is no table %s\n", name);
	exit(XM_USAGE);
}

static void get_options(int argc, char **argv)
{
	static const struct option options[] = {
		{ "rounds", required_argument, NULL, 'r' },
		{ "max-size", required_argument, NULL, 'm' },
		{ "quick", no_argument, NULL, 'q' },
		{ "only", required_argument, NULL, 'o' },
		{ "help", no_argument, NULL, 'h' },
		{}
	};
	int o;

	while ((o = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (o) {
		case 'r':
			opt.rounds = xm_number("bench", optarg, 1, MAX_ROUNDS);
			break;
		case 'm':
			limit(xm_number("bench", optarg, 1, 256) << 20);
			break;
		case 'q':
			opt.rounds = 3;
			limit(2UL << 20);
			opt.atomics = 1000000;
			break;
		case 'o':
			choose(optarg);
			break;
		case 'h':
			print_help(stdout);
			exit(0);
		default:
			print_help(stderr);
			exit(XM_USAGE);
		}
	}
	if (optind < argc) {
		print_help(stderr);
		exit(XM_USAGE);
	}
}

/**
 * fit: choose sizes that fit: memory, buffer, the device's memory, and the
 * drivers' own copies.
 */
static void fit(void)
{
	long kb = xm_meminfo_kb("MemAvailable");

	while (opt.max_migrate > XM_2M && kb >= 0 &&
	       (unsigned long)kb < 5 * (opt.max_migrate >> 10)) {
		limit(opt.max_migrate / 4);
		printf("not enough memory, the largest size is now %s\n",
		       size_name(opt.max_migrate));
	}
}

static void run_tables(char *buf)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(tables); i++) {
		if (choice && !tables[i].chosen)
			continue;
		if (tables[i].alone)
			tables[i].alone();
		else
			tables[i].with_buf(buf);
	}
}

int main(int argc, char **argv)
{
	const struct xmirror_info *info;
	size_t room;
	char *buf;
	int fd;

	setvbuf(stdout, NULL, _IOLBF, 0);
	get_options(argc, argv);
	info = xm_facts();
	if (!info) {
		printf("xmirror: no benchmark, no /dev/xmirror0 (is xmirror_test loaded?)\n");
		return EXIT_SKIP;
	}
	opt.caps = info->caps;
	fd = open_driver(INTREE);
	opt.intree = fd >= 0;
	if (opt.intree)
		close(fd);
	fit();
	room = (opt.max_migrate > opt.max_size ? opt.max_migrate :
		opt.max_size) + BUF_SHIFT;
	buf = xm_anon(room);
	if (!buf) {
		printf("xmirror: no benchmark, out of memory\n");
		return EXIT_SKIP;
	}
	memset(buf, 2, room);
	buf += BUF_SHIFT;
	/* khugepaged has pages of huge mappings for a moment, and then they do not move. */
	xm_setting("/sys/kernel/mm/transparent_hugepage/khugepaged/pages_to_scan",
		   "1");
	printf("xmirror bench: medians of %u rounds, of %u from %s on\n",
	       opt.rounds, rounds_for(LONG_AREA), size_name(LONG_AREA));
	if (!opt.intree)
		printf("in-tree driver not loaded\n");
	run_tables(buf);
	printf("\nxmirror: the benchmark is complete%s\n",
	       opt.failed ? ", WITH FAILURES" : "");
	return opt.failed ? EXIT_WRONG : 0;
}
