// SPDX-License-Identifier: GPL-2.0
/*
 * The main job of xmirror, to look at: CPU threads and device engines increment
 * the same counters with real atomics, while a third party forks, mprotects,
 * COWs, madvises and moves the pages under them. Not one increment may be lost,
 * made twice, or seen by a forked child.
 *
 * Exit status: 0 every counter is exact, 1 something is wrong, 2 bad arguments,
 * 4 this kernel or machine cannot do it.
 */
#include <getopt.h>
#include <signal.h>
#include <time.h>

#include "demo.h"

#define MAX_PAGES	1024

struct demo_options opt = {
	.seconds = 10, .pages = 8, .threads = 2, .burst = 2048,
};

int device[MAX_DEVICES];
char *map;
unsigned int map_pages;
unsigned int nr_counters;
struct worker worker[MAX_WORKERS];
unsigned int nr_workers;
bool stop;

static struct xmirror_info info;

/* The thread that watches */

/** enough: all have made the increments asked for; complains if one stands. */
static bool enough(void)
{
	bool all = true;
	unsigned int i;

	for (i = 0; i < nr_workers; i++) {
		struct worker *w = &worker[i];
		__u64 total = XM_LOAD(w->total);
		char name[40];

		if (total < opt.increments)
			all = false;
		if (total != w->seen) {
			w->seen = total;
			w->seen_at = xm_now_ns();
		} else if (xm_expired(w->seen_at, STALL_MS)) {
			name_worker(w, name, sizeof(name));
			complain("%s stands still at %llu increments", name,
				 total);
			w->seen_at = xm_now_ns();
		}
	}
	return all;
}

static void watch(void)
{
	__u64 start = xm_now_ns(), next = start;
	unsigned int lines = 0;

	while (!XM_LOAD(&stop)) {
		struct timespec t;
		__u64 now;

		next += 1000000000;
		now = xm_now_ns();
		if (next > now) {
			t.tv_sec = (next - now) / 1000000000;
			t.tv_nsec = (next - now) % 1000000000;
			nanosleep(&t, NULL);
		}
		if (lines++ % 20 == 0)
			print_head();
		print_line(start);
		verify();
		if (enough() && xm_expired(start, opt.seconds * 1000))
			XM_STORE(&stop, true);
	}
}

static void on_signal(int sig)
{
	(void)sig;
	XM_STORE(&stop, true);
}

/* The beginning */

static void print_help(FILE *f)
{
	fprintf(f,
		"usage: demo [option]...\n"
		"  --seconds N     run that long (%u)\n"
		"  --increments N  and until each thread and engine has made so many\n"
		"  --burst N       longest stay of an engine on a counter (%u)\n"
		"  --seed N        of the random numbers (by the time)\n"
		"  --pages N       pages with counters, four on each (%u)\n"
		"  --threads N     CPU threads (%u)\n"
		"  --engines N     engines of each device (all)\n"
		"  --devices N     devices to use, from /dev/xmirror0 (2 if there)\n",
		opt.seconds, opt.burst, opt.pages, opt.threads);
}

static void get_options(int argc, char **argv)
{
	static const struct option options[] = {
		{ "seconds", required_argument, NULL, 's' },
		{ "increments", required_argument, NULL, 'i' },
		{ "burst", required_argument, NULL, 'b' },
		{ "seed", required_argument, NULL, 'r' },
		{ "pages", required_argument, NULL, 'p' },
		{ "threads", required_argument, NULL, 't' },
		{ "engines", required_argument, NULL, 'e' },
		{ "devices", required_argument, NULL, 'd' },
		{ "help", no_argument, NULL, 'h' },
		{}
	};
	int o;

	opt.seed = xm_now_ns() ^ getpid();
	while ((o = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (o) {
		case 's':
			opt.seconds = xm_number("demo", optarg, 1, 1000000);
			break;
		case 'i':
			opt.increments = xm_number("demo", optarg, 0, 1ULL << 48);
			break;
		case 'b':
			opt.burst = xm_number("demo", optarg, 1, 1000000);
			break;
		case 'r':
			opt.seed = xm_number("demo", optarg, 0, ~0ULL);
			break;
		case 'p':
			opt.pages = xm_number("demo", optarg, 1, MAX_PAGES);
			break;
		case 't':
			opt.threads = xm_number("demo", optarg, 1, 64);
			break;
		case 'e':
			opt.engines = xm_number("demo", optarg, 1, 64);
			break;
		case 'd':
			opt.devices = xm_number("demo", optarg, 1, MAX_DEVICES);
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

static void skip(const char *why)
{
	printf("xmirror: the demo cannot run here: %s\n", why);
	exit(EXIT_SKIP);
}

static void open_devices(void)
{
	unsigned int want = opt.devices ? opt.devices : 2;
	char text[80];
	int fd;

	for (opt.devices = 0; opt.devices < want; opt.devices++) {
		fd = xm_open(opt.devices);
		if (fd < 0 && opt.devices && want == 2)
			break;
		if (fd < 0) {
			snprintf(text, sizeof(text), "/dev/xmirror%u: %s%s",
				 opt.devices, strerror(-fd), fd == -ENOENT ?
				 " (is xmirror_test loaded?)" : "");
			skip(text);
		}
		device[opt.devices] = fd;
	}
	fd = xm_info(device[0], &info);
	if (fd)
		skip(strerror(-fd));
	if (!(info.caps & XMIRROR_CAP_EXCLUSIVE))
		skip(xm_why());
	if (!opt.engines)
		opt.engines = info.engines;
	if (opt.engines > info.engines) {
		fprintf(stderr, "demo: a device has %u engines\n",
			info.engines);
		exit(XM_USAGE);
	}
	if (opt.threads + opt.engines * opt.devices > MAX_WORKERS) {
		fprintf(stderr, "demo: at most %u threads and engines\n",
			MAX_WORKERS);
		exit(XM_USAGE);
	}
}

static void set_up(void)
{
	unsigned int i, values;
	__u64 *shared;

	nr_counters = opt.pages * WIDTHS;
	nr_workers = opt.threads + opt.engines * opt.devices;
	map_pages = 2 * opt.pages + 1;
	map = xm_anon(map_pages * XM_PAGE);
	values = nr_workers * (1 + 2 * nr_counters);
	shared = xm_shared(values * sizeof(*shared));
	if (!map || !shared)
		skip("out of memory");
	memset(map, 0, map_pages * XM_PAGE);
	for (i = 0; i < nr_workers; i++) {
		struct worker *w = &worker[i];

		w->engine = i >= opt.threads;
		w->number = i;
		if (w->engine) {
			w->number = (i - opt.threads) % opt.engines;
			w->device = (i - opt.threads) / opt.engines;
			w->fd = device[w->device];
		}
		/* Never zero, or draw() would stay there. */
		w->random = (opt.seed + i) * 0x9e3779b97f4a7c15ULL | 1;
		w->total = shared;
		w->done = shared + 1;
		w->sent = w->done + nr_counters;
		shared = w->sent + nr_counters;
		w->seen_at = xm_now_ns();
	}
	if (!set_up_third())
		skip("out of memory");
}

int main(int argc, char **argv)
{
	struct sigaction act = { .sa_handler = on_signal };
	pthread_t third;
	unsigned int i;
	int err;

	setvbuf(stdout, NULL, _IOLBF, 0);
	get_options(argc, argv);
	open_devices();
	set_up();
	sigaction(SIGINT, &act, NULL);
	sigaction(SIGTERM, &act, NULL);
	printf("xmirror demo: seed %llu, %u CPU thread%s, %u device%s with %u engine%s, ",
	       opt.seed, opt.threads, plural(opt.threads), opt.devices,
	       plural(opt.devices), opt.engines, plural(opt.engines));
	printf("%u counters on %u page%s\n", nr_counters, opt.pages,
	       plural(opt.pages));
	if (info.revoke_event == XM_EV_CLEAR)
		printf("(this kernel reports a CPU access to an exclusive page as CLEAR)\n");
	if (info.lacks)
		printf("(this kernel lacks: %s)\n", xm_why());

	for (i = 0; i < nr_workers; i++) {
		err = pthread_create(&worker[i].thread, NULL,
				     worker[i].engine ? run_engine : run_cpu,
				     &worker[i]);
		if (err) {
			complain("pthread_create: %s", strerror(err));
			break;
		}
	}
	nr_workers = i;
	err = pthread_create(&third, NULL, run_third, NULL);
	if (err)
		complain("pthread_create: %s", strerror(err));
	watch();
	for (i = 0; i < nr_workers; i++)
		pthread_join(worker[i].thread, NULL);
	if (!err)
		pthread_join(third, NULL);
	return conclude();
}
