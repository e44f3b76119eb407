// SPDX-License-Identifier: GPL-2.0
/*
 * Baseline numbers of xmirror, next to the kernel's own test driver (test_hmm)
 * in the same boot where that is loaded. Each figure is the median of several
 * rounds; each round has fresh memory and a fresh mirror, and only the driver
 * that is measured has the memory mirrored, so that neither pays for the
 * other's notifiers.
 */
#include <fcntl.h>
#include <getopt.h>
#include <math.h>
#include <sys/ioctl.h>

#include "lib.h"

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#define MAX_ROUNDS	101
#define MAX_TABLE_BYTES	10	/* of device page table per mapped page */
/* Small sizes are done so often that a round works on that many bytes. */
#define MIN_AREA	(2UL << 20)

/*
 * The memory starts at a multiple of 2 MiB, and the buffer must not: the same
 * pages of both would fight for the same entries of caches and TLBs. QEMU's
 * emulated TLB makes such a memcpy() ten times slower.
 */
#define BUF_SHIFT	(37 * XM_PAGE)

#define EXIT_WRONG	1
#define EXIT_USAGE	2
#define EXIT_SKIP	4

static unsigned int rounds = 5;
static size_t max_size = 64UL << 20;
static __u64 atomics = 4000000;
static __u64 caps;
static bool intree;
static bool failed;

/*
 * What the in-tree driver's calls take. All of them have this one struct: the
 * range, the buffer that the driver copies to or from, and two counts that it
 * answers with.
 */
struct intree_arg {
	__u64 addr;
	__u64 buffer;
	__u64 pages;
	__u64 pages_done;
	__u64 fault_rounds;
};

#define INTREE_NODE		"/dev/hmm_dmirror0"
#define INTREE_READ		_IOWR('H', 0, struct intree_arg)
#define INTREE_WRITE		_IOWR('H', 1, struct intree_arg)
#define INTREE_EXCLUSIVE	_IOWR('H', 5, struct intree_arg)

/* Drivers */

typedef int (*call_fn)(int fd, char *addr, size_t len, char *buf);

static int intree_call(int fd, unsigned long nr, char *addr, size_t len,
		       char *buf)
{
	struct intree_arg arg = {
		.addr = (uintptr_t)addr,
		.buffer = (uintptr_t)buf,
		.pages = len / XM_PAGE,
	};
	int err;

	do {
		err = xm_ioctl(fd, nr, &arg);
	} while (err == -EINTR);
	if (!err && arg.pages_done != arg.pages)
		err = -EIO;
	return err;
}

static int intree_read(int fd, char *addr, size_t len, char *buf)
{
	return intree_call(fd, INTREE_READ, addr, len, buf);
}

static int intree_write(int fd, char *addr, size_t len, char *buf)
{
	return intree_call(fd, INTREE_WRITE, addr, len, buf);
}

static int intree_exclusive(int fd, char *addr, size_t len, char *buf)
{
	return intree_call(fd, INTREE_EXCLUSIVE, addr, len, buf);
}

static int our_fault_read(int fd, char *addr, size_t len, char *buf)
{
	(void)buf;
	return xm_fault(fd, addr, len, 0, NULL);
}

static int our_fault_write(int fd, char *addr, size_t len, char *buf)
{
	(void)buf;
	return xm_fault(fd, addr, len, XMIRROR_FAULT_WRITE, NULL);
}

static int our_read(int fd, char *addr, size_t len, char *buf)
{
	return xm_read(fd, addr, buf, len);
}

static int our_write(int fd, char *addr, size_t len, char *buf)
{
	return xm_write(fd, addr, buf, len);
}

static int our_exclusive(int fd, char *addr, size_t len, char *buf)
{
	(void)buf;
	return xm_exclusive(fd, addr, len, NULL);
}

static int our_exclusive_read(int fd, char *addr, size_t len, char *buf)
{
	int err = xm_exclusive(fd, addr, len, NULL);

	return err ? err : xm_read(fd, addr, buf, len);
}

static int cpu_touch(int fd, char *addr, size_t len, char *buf)
{
	size_t i;

	(void)fd;
	(void)buf;
	for (i = 0; i < len; i += XM_PAGE)
		(void)XM_LOAD(addr + i);
	return 0;
}

static int cpu_dirty(int fd, char *addr, size_t len, char *buf)
{
	size_t i;

	(void)fd;
	(void)buf;
	for (i = 0; i < len; i += XM_PAGE)
		XM_STORE(addr + i, 1);
	return 0;
}

static int cpu_populate(int fd, char *addr, size_t len, char *buf)
{
	(void)fd;
	(void)buf;
	return madvise(addr, len, MADV_POPULATE_WRITE) ? -errno : 0;
}

static int cpu_copy(int fd, char *addr, size_t len, char *buf)
{
	size_t i;

	(void)fd;
	for (i = 0; i < len; i += XM_PAGE)
		memcpy(addr + i, buf + i, XM_PAGE);
	return 0;
}

/* What a round begins with. */
enum start { FRESH, POPULATED };

enum line {
	READ_COPY_FRESH, READ_COPY_POPULATED, READ_COPY,
	READ_FRESH, READ_POPULATED,
	WRITE_COPY_FRESH, WRITE_COPY_POPULATED, WRITE_COPY,
	WRITE_FRESH, WRITE_POPULATED,
	EXCLUSIVE_COPY, EXCLUSIVE, FAULT_BACK,
	NR_LINES
};

/**
 * struct bench - a line of the table
 * @name: what is measured
 * @start: the memory's state before
 * @prepare: called before, for the whole memory, not measured; [0] is ours, [1]
 *	the in-tree driver's
 * @call: what is measured, NULL if the driver has no such call
 * @with, @less: earlier lines of what the in-tree driver has no call for: the
 *	same with a copy, and the copy alone; zero if there are none
 * @exclusive: needs exclusive entries
 * @floor: the bare kernel call can be measured, see kernel_floor()
 * @largest: largest size worth measuring, zero: all
 */
struct bench {
	const char *name;
	enum start start;
	call_fn prepare[2];
	call_fn call[2];
	enum line with, less;
	bool exclusive;
	bool floor;
	size_t largest;
};

static const struct bench benches[NR_LINES] = {
	[READ_COPY_FRESH] = {
		.name = "read fault + copy, fresh",
		.start = FRESH,
		.call = { our_read, intree_read },
	},
	[READ_COPY_POPULATED] = {
		.name = "read fault + copy, populated",
		.start = POPULATED,
		.call = { our_read, intree_read },
	},
	[READ_COPY] = {
		.name = "read of mapped, copy only",
		.start = POPULATED,
		.prepare = { our_read, intree_read },
		.call = { our_read, intree_read },
	},
	[READ_FRESH] = {
		.name = "read fault, fresh",
		.start = FRESH,
		.call = { our_fault_read, NULL },
		.with = READ_COPY_FRESH,
		.less = READ_COPY,
	},
	[READ_POPULATED] = {
		.name = "read fault, populated",
		.start = POPULATED,
		.call = { our_fault_read, NULL },
		.with = READ_COPY_POPULATED,
		.less = READ_COPY,
	},
	[WRITE_COPY_FRESH] = {
		.name = "write fault + copy, fresh",
		.start = FRESH,
		.call = { our_write, intree_write },
	},
	[WRITE_COPY_POPULATED] = {
		.name = "write fault + copy, populated",
		.start = POPULATED,
		.call = { our_write, intree_write },
	},
	[WRITE_COPY] = {
		.name = "write of mapped, copy only",
		.start = POPULATED,
		.prepare = { our_write, intree_write },
		.call = { our_write, intree_write },
	},
	[WRITE_FRESH] = {
		.name = "write fault, fresh",
		.start = FRESH,
		.call = { our_fault_write, NULL },
		.with = WRITE_COPY_FRESH,
		.less = WRITE_COPY,
	},
	[WRITE_POPULATED] = {
		.name = "write fault, populated",
		.start = POPULATED,
		.call = { our_fault_write, NULL },
		.with = WRITE_COPY_POPULATED,
		.less = WRITE_COPY,
	},
	[EXCLUSIVE_COPY] = {
		.name = "make exclusive + copy out",
		.start = POPULATED,
		.call = { our_exclusive_read, intree_exclusive },
		.exclusive = true,
	},
	[EXCLUSIVE] = {
		.name = "make exclusive",
		.start = POPULATED,
		.call = { our_exclusive, NULL },
		.with = EXCLUSIVE_COPY,
		.less = READ_COPY,
		.exclusive = true,
		.floor = true,
	},
	[FAULT_BACK] = {
		.name = "CPU fault-back of exclusive",
		.start = POPULATED,
		.prepare = { our_exclusive, intree_exclusive },
		.call = { cpu_touch, cpu_touch },
		.exclusive = true,
		.largest = 16UL << 20,
	},
};

/* The CPU alone, for orientation. */
static const struct bench cpu_benches[] = {
	{
		.name = "CPU write of fresh memory",
		.start = FRESH,
		.call = { cpu_dirty },
		.largest = 16UL << 20,
	}, {
		.name = "MADV_POPULATE_WRITE, fresh",
		.start = FRESH,
		.call = { cpu_populate },
		.largest = 16UL << 20,
	}, {
		.name = "memcpy() of a page",
		.start = POPULATED,
		.call = { cpu_copy },
		.largest = 16UL << 20,
	},
};

static const size_t sizes[] = {
	XM_PAGE, 64UL << 10, 1UL << 20, 16UL << 20, 64UL << 20,
};

/* Medians in ns per page, of [1] the in-tree driver; NAN: not measured. */
static double results[NR_LINES][ARRAY_SIZE(sizes)][2];

/* Figures */

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double median(double *values, unsigned int n)
{
	qsort(values, n, sizeof(*values), by_value);
	return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

/** spread: how far apart the middle half of the sorted @values is, in percent. */
static double spread(const double *values, unsigned int n)
{
	return 100 * (values[n - 1 - n / 4] - values[n / 4]) / values[n / 2];
}

static const char *size_name(size_t size)
{
	static char text[32];

	if (size >= 1UL << 20)
		snprintf(text, sizeof(text), "%zu MiB", size >> 20);
	else
		snprintf(text, sizeof(text), "%zu KiB", size >> 10);
	return text;
}

static void print_ns(double ns, const char *mark)
{
	char text[32];

	if (isnan(ns))
		snprintf(text, sizeof(text), "none");
	else if (isinf(ns))
		snprintf(text, sizeof(text), "%s?", mark);
	else
		snprintf(text, sizeof(text), "%s%.*f", mark, ns < 100, ns);
	printf(" %12s", text);
}

static void print_noise(double noise)
{
	printf(" %6.0f%%", noise);
}

static void print_ratio(double over, double under)
{
	if (!isfinite(over) || !isfinite(under))
		printf(" %8s", "-");
	else
		printf(" %7.2fx", over / under);
}

static void complain(const char *what, size_t size, int err)
{
	printf("FAILED: %s, %s: %s\n", what, size_name(size), strerror(-err));
	failed = true;
}

/* Rounds */

static int open_driver(int driver)
{
	int fd;

	if (!driver)
		return xm_open(0);
	fd = open(INTREE_NODE, O_RDWR | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int start_round(const struct bench *b, int driver, int fd, char *mem,
		       size_t area, char *buf)
{
	if (b->start == POPULATED)
		memset(mem, 1, area);
	return b->prepare[driver] ? b->prepare[driver](fd, mem, area, buf) : 0;
}

/** round_ns: ns per page of one round, or NAN after a complaint. */
static double round_ns(const struct bench *b, int driver, size_t size,
		       char *buf)
{
	size_t area = size < MIN_AREA ? MIN_AREA : size, at;
	char *mem = xm_anon_aligned(area, XM_2M);
	int fd = open_driver(driver), err = fd;
	__u64 start, ns = 0;

	if (!mem)
		err = -ENOMEM;
	if (err >= 0)
		err = start_round(b, driver, fd, mem, area, buf);
	if (!err) {
		start = xm_now_ns();
		for (at = 0; at < area && !err; at += size)
			err = b->call[driver](fd, mem + at, size, buf + at);
		ns = xm_now_ns() - start;
	}
	if (fd >= 0)
		close(fd);
	if (mem)
		munmap(mem, area);
	if (err) {
		complain(b->name, size, err);
		return NAN;
	}
	return (double)ns / (area / XM_PAGE);
}

static int bare_exclusive(int fd, char *addr, size_t len, char *buf)
{
	struct xmirror_range r = {
		.size = sizeof(r),
		.flags = XMIRROR_EXCLUSIVE_BARE,
		.addr = (__u64)(uintptr_t)addr,
		.length = len,
	};

	(void)buf;
	return xm_ioctl(fd, XMIRROR_IOC_EXCLUSIVE, &r);
}

/**
 * kernel_floor: ns per page of the bare kernel call that makes a page
 * exclusive, without a device page table.
 */
static double kernel_floor(size_t size, char *buf)
{
	static const struct bench bare = {
		.name = "bare kernel call",
		.start = POPULATED,
		.call = { bare_exclusive },
	};
	double ns[MAX_ROUNDS];
	unsigned int i;

	if (!(caps & XMIRROR_CAP_EXCLUSIVE))
		return NAN;
	for (i = 0; i < rounds; i++) {
		ns[i] = round_ns(&bare, 0, size, buf);
		if (isnan(ns[i]))
			return NAN;
	}
	return median(ns, rounds);
}

static bool has(const struct bench *b, int driver)
{
	if (!b->call[driver] || (driver && !intree))
		return false;
	return driver || !b->exclusive || caps & XMIRROR_CAP_EXCLUSIVE;
}

/**
 * measure: medians of @b for both drivers, NAN where there is none; returns the
 * larger spread.
 */
static double measure(const struct bench *b, size_t size, char *buf,
		      double result[2])
{
	double noise = 0, s;
	double ns[2][MAX_ROUNDS];
	unsigned int i;
	int driver;

	for (driver = 0; driver < 2; driver++)
		result[driver] = NAN;
	/* The drivers take turns; the first turn is a warm-up. */
	for (i = 0; i <= rounds; i++) {
		for (driver = 0; driver < 2; driver++) {
			double t;

			if (!has(b, driver))
				continue;
			t = round_ns(b, driver, size, buf);
			if (isnan(t))
				return NAN;
			if (i)
				ns[driver][i - 1] = t;
		}
	}
	for (driver = 0; driver < 2; driver++) {
		if (!has(b, driver))
			continue;
		result[driver] = median(ns[driver], rounds);
		s = spread(ns[driver], rounds);
		noise = s > noise ? s : noise;
	}
	return noise;
}

static bool wanted(const struct bench *b, size_t size)
{
	return size <= max_size && (!b->largest || size <= b->largest);
}

static void print_row(enum line line, unsigned int k, char *buf)
{
	const struct bench *b = &benches[line];
	double *ns = results[line][k], theirs, floor, noise;
	const char *mark = "";

	noise = measure(b, sizes[k], buf, ns);
	theirs = ns[1];
	if (!b->call[1] && b->less) {
		theirs = results[b->with][k][1] - results[b->less][k][1];
		mark = "~";
		/* Too noisy to tell. */
		if (theirs <= 0)
			theirs = INFINITY;
	}
	printf("%-30s %7s", b->name, size_name(sizes[k]));
	print_ns(ns[0], "");
	print_ns(theirs, mark);
	print_ratio(theirs, ns[0]);
	print_noise(noise);
	if (b->floor) {
		floor = kernel_floor(sizes[k], buf);
		if (isnan(floor))
			printf(" %12s", "n/a");
		else
			print_ns(floor, "");
		print_ratio(ns[0], floor);
	}
	printf("\n");
	fflush(stdout);
}

static void run_benches(char *buf)
{
	unsigned int line, k;

	printf("\nns per 4 KiB page; ratio: in-tree / xmirror; spread of half of the rounds\n");
	printf("%-30s %7s %12s %12s %8s %7s %12s %8s\n", "operation", "size",
	       "xmirror", "in-tree", "ratio", "spread", "kernel floor",
	       "over it");
	for (line = 0; line < NR_LINES; line++) {
		for (k = 0; k < ARRAY_SIZE(sizes); k++) {
			if (wanted(&benches[line], sizes[k]))
				print_row(line, k, buf);
		}
	}
	if (intree)
		printf("~: there is no such call, it is the one with the copy less the copy\n");
	else
		printf("none: the in-tree driver is not loaded (no %s)\n",
		       INTREE_NODE);
}

static void run_cpu_benches(char *buf)
{
	double ns[2], noise;
	unsigned int i, k;

	printf("\nthe CPU alone, for orientation: ns per 4 KiB page\n");
	for (i = 0; i < ARRAY_SIZE(cpu_benches); i++) {
		const struct bench *b = &cpu_benches[i];

		for (k = 0; k < ARRAY_SIZE(sizes); k++) {
			if (!wanted(b, sizes[k]))
				continue;
			noise = measure(b, sizes[k], buf, ns);
			printf("%-30s %7s", b->name, size_name(sizes[k]));
			print_ns(ns[0], "");
			printf(" %12s %8s", "", "");
			print_noise(noise);
			printf("\n");
		}
	}
}

/* Atomics */

#define SWEEP_PAGES	64

/*
 * The location before is returned and looked at, so that this is the same
 * instruction as the device's.
 */
#define ADD_LOOP(type)							\
	do {								\
		for (i = 0; i < atomics; i++) {				\
			type *p = (type *)(mem + (i & (pages - 1)) * XM_PAGE);	\
			type old = XM_ADD(p, 1);			\
									\
			__asm__ __volatile__("" : : "r" (old));		\
		}							\
	} while (0)

static double cpu_atomics(char *mem, unsigned int width, unsigned int pages)
{
	__u64 start = xm_now_ns(), i;

	switch (width) {
	case 1:
		ADD_LOOP(__u8);
		break;
	case 2:
		ADD_LOOP(__u16);
		break;
	case 4:
		ADD_LOOP(__u32);
		break;
	default:
		ADD_LOOP(__u64);
	}
	return (double)(xm_now_ns() - start) / atomics;
}

static double device_atomics(int fd, char *mem, unsigned int width,
			     unsigned int pages)
{
	struct xmirror_cmd cmd = xm_cmds(XMIRROR_OP_ADD, width, mem,
					 pages > 1 ? XM_PAGE : 0, atomics, 1);
	__u64 start, fence, repeat = 1;
	struct xmirror_wait w;
	int err;

	if (pages > 1) {
		cmd.count = pages;
		repeat = atomics / pages;
	}
	err = xm_exclusive(fd, mem, pages * XM_PAGE, NULL);
	start = xm_now_ns();
	if (!err)
		err = xm_submit(fd, 0, &cmd, 1, repeat, &fence);
	if (!err)
		err = xm_wait(fd, fence, XM_FOREVER, &w);
	if (!err)
		err = w.status;
	if (err) {
		complain("device atomics", pages * XM_PAGE, err);
		return NAN;
	}
	return (double)(xm_now_ns() - start) / w.ops;
}

static void print_atomics(unsigned int width, unsigned int pages)
{
	double dev[MAX_ROUNDS], cpu[MAX_ROUNDS], d, c;
	char *mem = xm_anon(pages * XM_PAGE);
	int fd = xm_open(0), err = 0;
	unsigned int i;

	if (!mem || fd < 0) {
		complain("device atomics", pages * XM_PAGE,
			 mem ? fd : -ENOMEM);
		return;
	}
	for (i = 0; i <= rounds && !err; i++) {
		d = device_atomics(fd, mem, width, pages);
		c = cpu_atomics(mem, width, pages);
		err = isnan(d);
		if (i) {
			dev[i - 1] = d;
			cpu[i - 1] = c;
		}
	}
	close(fd);
	munmap(mem, pages * XM_PAGE);
	if (err)
		return;
	d = median(dev, rounds);
	c = median(cpu, rounds);
	printf("%u bytes, %-21s %12.1f %12.1f %11.2f%%\n", width,
	       pages > 1 ? "another page each time" : "one location",
	       1000 / d, 1000 / c, 100 * c / d);
}

static void run_atomics(void)
{
	printf("\nfetch-and-add by one thread, million per second\n");
	printf("%-30s %12s %12s %12s\n", "", "device", "CPU", "device/CPU");
	if (!(caps & XMIRROR_CAP_EXCLUSIVE)) {
		printf("none: %s\n", xm_why());
		return;
	}
	print_atomics(8, 1);
	print_atomics(4, 1);
	print_atomics(2, 1);
	print_atomics(1, 1);
	print_atomics(8, SWEEP_PAGES);
}

/* Page table size */

static void run_table(void)
{
	unsigned int k;

	printf("\nbytes of device page table per mapped page\n");
	for (k = 0; k < ARRAY_SIZE(sizes); k++) {
		struct xmirror_stats st;
		double bytes;
		int fd, err;
		char *mem;

		if (sizes[k] > max_size)
			continue;
		mem = xm_anon_aligned(sizes[k], XM_2M);
		fd = xm_open(0);
		err = mem ? fd : -ENOMEM;
		if (err >= 0)
			err = xm_fault(fd, mem, sizes[k], XMIRROR_FAULT_WRITE,
				       NULL);
		if (!err)
			err = xm_stats(fd, &st);
		if (fd >= 0)
			close(fd);
		if (mem)
			munmap(mem, sizes[k]);
		if (err) {
			complain("page table", sizes[k], err);
			continue;
		}
		bytes = (double)st.table_bytes / (sizes[k] / XM_PAGE);
		printf("%-30s %12.2f\n", size_name(sizes[k]), bytes);
		if (sizes[k] >= 16UL << 20 && bytes > MAX_TABLE_BYTES) {
			printf("FAILED: more than %d bytes\n",
			       MAX_TABLE_BYTES);
			failed = true;
		}
	}
}

/* The beginning */

static void print_help(FILE *f)
{
	fprintf(f,
		"usage: bench [option]...\n"
		"  --rounds N       rounds of which the median is taken (%u)\n"
		"  --max-size MIB   largest range (%zu)\n"
		"  --quick          3 rounds, up to 1 MiB\n",
		rounds, max_size >> 20);
}

static unsigned long parse(const char *text, unsigned long low,
			   unsigned long high)
{
	char *end;
	unsigned long n;

	errno = 0;
	n = strtoul(text, &end, 0);
	if (errno || end == text || *end || *text == '-' || n < low ||
	    n > high) {
		fprintf(stderr, "bench: %s is not a number from %lu to %lu\n",
			text, low, high);
		exit(EXIT_USAGE);
	}
	return n;
}

static void get_options(int argc, char **argv)
{
	static const struct option options[] = {
		{ "rounds", required_argument, NULL, 'r' },
		{ "max-size", required_argument, NULL, 'm' },
		{ "quick", no_argument, NULL, 'q' },
		{ "help", no_argument, NULL, 'h' },
		{}
	};
	int o;

	while ((o = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (o) {
		case 'r':
			rounds = parse(optarg, 1, MAX_ROUNDS);
			break;
		case 'm':
			max_size = parse(optarg, 1, 64) << 20;
			break;
		case 'q':
			rounds = 3;
			max_size = 1UL << 20;
			atomics = 1000000;
			break;
		case 'h':
			print_help(stdout);
			exit(0);
		default:
			print_help(stderr);
			exit(EXIT_USAGE);
		}
	}
	if (optind < argc) {
		print_help(stderr);
		exit(EXIT_USAGE);
	}
}

/** fit: choose sizes that fit: memory, buffer, and the drivers' own copies. */
static void fit(void)
{
	long kb = xm_meminfo_kb("MemAvailable");

	while (max_size > 1UL << 20 && kb >= 0 &&
	       (unsigned long)kb < 5 * (max_size >> 10)) {
		max_size /= 4;
		printf("not enough memory, the largest size is now %s\n",
		       size_name(max_size));
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
	caps = info->caps;
	fd = open_driver(1);
	intree = fd >= 0;
	if (intree)
		close(fd);
	fit();
	room = (max_size < MIN_AREA ? MIN_AREA : max_size) + BUF_SHIFT;
	buf = xm_anon(room);
	if (!buf) {
		printf("xmirror: no benchmark, out of memory\n");
		return EXIT_SKIP;
	}
	memset(buf, 2, room);
	buf += BUF_SHIFT;
	printf("xmirror bench: medians of %u rounds, each with fresh memory and a fresh mirror\n",
	       rounds);
	if (!intree)
		printf("in-tree driver not loaded\n");
	run_benches(buf);
	run_cpu_benches(buf);
	run_atomics();
	run_table();
	printf("\nxmirror: the benchmark is complete%s\n",
	       failed ? ", WITH FAILURES" : "");
	return failed ? EXIT_WRONG : 0;
}
