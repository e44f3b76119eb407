// SPDX-License-Identifier: GPL-2.0
/*
 * The costs of the mirror: faults, copies and exclusive pages. Each round has fresh
 * memory and a fresh mirror, and only the driver that is measured has the
 * memory mirrored, so that neither pays for the other's notifiers.
 */
#include "bench.h"
#include "floor.h"

typedef int (*call_fn)(int fd, char *addr, size_t len, char *buf);

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

/* The state that a round begins with. */
enum start { FRESH, POPULATED };

/* The least that the kernel does for a line, see floor.h. */
enum floor_kind { NO_FLOOR, FAULT_READ, FAULT_WRITE, BARE, JUST_COPY, TOUCH_BARE };

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
 * @prepare: called before, for the whole memory, not measured; by driver
 * @call: what is measured, NULL if the driver has no such call
 * @with, @less: earlier lines of what the in-tree driver has no call for: the
 *	same with a copy, and the copy alone; zero if there are none
 * @exclusive: needs exclusive entries
 * @floor: what the kernel does at least
 * @copies: and a copy; to the memory if @floor is FAULT_WRITE
 * @largest: largest size worth measuring, zero: all
 */
struct bench {
	const char *name;
	enum start start;
	call_fn prepare[NR_DRIVERS];
	call_fn call[NR_DRIVERS];
	enum line with, less;
	bool exclusive;
	enum floor_kind floor;
	bool copies;
	size_t largest;
};

static const struct bench benches[NR_LINES] = {
	[READ_COPY_FRESH] = {
		.name = "read fault + copy, fresh",
		.start = FRESH,
		.call = { our_read, intree_read },
		.floor = FAULT_READ,
		.copies = true,
	},
	[READ_COPY_POPULATED] = {
		.name = "read fault + copy, populated",
		.start = POPULATED,
		.call = { our_read, intree_read },
		.floor = FAULT_READ,
		.copies = true,
	},
	[READ_COPY] = {
		.name = "read of mapped, copy only",
		.start = POPULATED,
		.prepare = { our_read, intree_read },
		.call = { our_read, intree_read },
		.floor = JUST_COPY,
		.copies = true,
	},
	[READ_FRESH] = {
		.name = "read fault, fresh",
		.start = FRESH,
		.call = { our_fault_read, NULL },
		.with = READ_COPY_FRESH,
		.less = READ_COPY,
		.floor = FAULT_READ,
	},
	[READ_POPULATED] = {
		.name = "read fault, populated",
		.start = POPULATED,
		.call = { our_fault_read, NULL },
		.with = READ_COPY_POPULATED,
		.less = READ_COPY,
		.floor = FAULT_READ,
	},
	[WRITE_COPY_FRESH] = {
		.name = "write fault + copy, fresh",
		.start = FRESH,
		.call = { our_write, intree_write },
		.floor = FAULT_WRITE,
		.copies = true,
	},
	[WRITE_COPY_POPULATED] = {
		.name = "write fault + copy, populated",
		.start = POPULATED,
		.call = { our_write, intree_write },
		.floor = FAULT_WRITE,
		.copies = true,
	},
	[WRITE_COPY] = {
		.name = "write of mapped, copy only",
		.start = POPULATED,
		.prepare = { our_write, intree_write },
		.call = { our_write, intree_write },
		.floor = JUST_COPY,
		.copies = true,
	},
	[WRITE_FRESH] = {
		.name = "write fault, fresh",
		.start = FRESH,
		.call = { our_fault_write, NULL },
		.with = WRITE_COPY_FRESH,
		.less = WRITE_COPY,
		.floor = FAULT_WRITE,
	},
	[WRITE_POPULATED] = {
		.name = "write fault, populated",
		.start = POPULATED,
		.call = { our_fault_write, NULL },
		.with = WRITE_COPY_POPULATED,
		.less = WRITE_COPY,
		.floor = FAULT_WRITE,
	},
	[EXCLUSIVE_COPY] = {
		.name = "make exclusive + copy out",
		.start = POPULATED,
		.call = { our_exclusive_read, intree_exclusive },
		.exclusive = true,
		.floor = BARE,
		.copies = true,
	},
	[EXCLUSIVE] = {
		.name = "make exclusive",
		.start = POPULATED,
		.call = { our_exclusive, NULL },
		.with = EXCLUSIVE_COPY,
		.less = READ_COPY,
		.exclusive = true,
		.floor = BARE,
	},
	[FAULT_BACK] = {
		.name = "CPU fault-back of exclusive",
		.start = POPULATED,
		.prepare = { our_exclusive, intree_exclusive },
		.call = { cpu_touch, cpu_touch },
		.exclusive = true,
		.largest = 16UL << 20,
		.floor = TOUCH_BARE,
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

/* Medians in ns per page, NAN: not measured. */
static double results[NR_LINES][ARRAY_SIZE(sizes)][NR_DRIVERS];

static int start_round(const struct bench *b, enum bench_driver driver, int fd,
		       char *mem, size_t area, char *buf)
{
	if (b->start == POPULATED)
		memset(mem, 1, area);
	return b->prepare[driver] ? b->prepare[driver](fd, mem, area, buf) : 0;
}

/** round_ns: ns per page of one round, or NAN after a complaint. */
static double round_ns(const struct bench *b, enum bench_driver driver,
		       size_t size, char *buf)
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

static int floor_piece(const struct bench *b, int fd, char *mem, size_t len,
		       char *buf, double *ns)
{
	bool write = b->floor == FAULT_WRITE;
	int err = 0;

	switch (b->floor) {
	case FAULT_READ:
	case FAULT_WRITE:
		err = floor_fault(fd, mem, len, write, ns);
		break;
	case BARE:
		err = floor_exclusive(fd, mem, len, ns);
		break;
	default:
		break;
	}
	return err || !b->copies ? err : floor_copy(mem, len, buf, write, ns);
}

static int floor_round(const struct bench *b, size_t size, char *buf, double *ns)
{
	size_t area = floor_area(size), call = floor_call(size), at;
	char *mem = xm_anon_aligned(area, XM_2M);
	int fd = xm_open(0), err = mem ? 0 : -ENOMEM;
	double before = 0;
	__u64 start;

	if (fd < 0)
		err = fd;
	if (!err && b->start == POPULATED)
		memset(mem, 1, area);
	if (!err && b->floor == TOUCH_BARE)
		err = floor_exclusive(fd, mem, area, &before);
	*ns = 0;
	start = xm_now_ns();
	for (at = 0; at < area && !err; at += call)
		err = b->floor == TOUCH_BARE ?
		      cpu_touch(fd, mem + at, call, buf + at) :
		      floor_piece(b, fd, mem + at, call, buf + at, ns);
	if (b->floor == TOUCH_BARE)
		*ns = xm_now_ns() - start;
	*ns /= area / XM_PAGE;
	if (fd >= 0)
		close(fd);
	if (mem)
		munmap(mem, area);
	return err;
}

/* Median in ns per page, NAN if it cannot be measured. */
static double kernel_floor(const struct bench *b, size_t size, char *buf)
{
	unsigned int rounds = rounds_for(size), i;
	double ns[MAX_ROUNDS + 1];
	int err;

	for (i = 0; i <= rounds; i++) {
		err = floor_round(b, size, buf, &ns[i]);
		if (err == -EOPNOTSUPP)
			return NAN;
		if (err) {
			complain(b->name, size, err);
			return NAN;
		}
	}
	/* The first was a warm-up. */
	return median(ns + 1, rounds);
}

static bool has(const struct bench *b, enum bench_driver driver)
{
	if (!b->call[driver] || (driver && !opt.intree))
		return false;
	return driver || !b->exclusive || opt.caps & XMIRROR_CAP_EXCLUSIVE;
}

/**
 * measure: medians of @b for both drivers, NAN where there is none; returns the
 * larger spread.
 */
static double measure(const struct bench *b, size_t size, char *buf,
		      double result[NR_DRIVERS])
{
	unsigned int rounds = rounds_for(size), i;
	double ns[NR_DRIVERS][MAX_ROUNDS];
	double noise = 0, s;
	enum bench_driver driver;

	for (driver = 0; driver < NR_DRIVERS; driver++)
		result[driver] = NAN;
	/* The drivers take turns; the first turn is a warm-up. */
	for (i = 0; i <= rounds; i++) {
		for (driver = 0; driver < NR_DRIVERS; driver++) {
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
	for (driver = 0; driver < NR_DRIVERS; driver++) {
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
	return size <= opt.max_size && (!b->largest || size <= b->largest);
}

static void print_row(enum line line, unsigned int k, char *buf)
{
	const struct bench *b = &benches[line];
	double *ns = results[line][k], theirs, noise;
	const char *mark = "";

	noise = measure(b, sizes[k], buf, ns);
	theirs = ns[INTREE];
	if (!b->call[INTREE] && b->less) {
		theirs = results[b->with][k][INTREE] -
			 results[b->less][k][INTREE];
		mark = "~";
		/* Too noisy to tell. */
		if (theirs <= 0)
			theirs = INFINITY;
	}
	printf("%-30s %7s", b->name, size_name(sizes[k]));
	print_ns(ns[OURS], "");
	print_ns(theirs, mark);
	print_ratio(theirs, ns[OURS]);
	print_noise(noise);
	if (b->floor && has(b, OURS))
		print_floor(ns[OURS], kernel_floor(b, sizes[k], buf), sizes[k]);
	printf("\n");
	fflush(stdout);
}

void run_mirror(char *buf)
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
	print_over();
	if (opt.intree)
		printf("~: there is no such call, it is the one with the copy less the copy\n");
	else
		printf("none: the in-tree driver is not loaded\n");
}

void run_cpu(char *buf)
{
	double ns[NR_DRIVERS], noise;
	unsigned int i, k;

	printf("\nthe CPU alone, for orientation: ns per 4 KiB page\n");
	for (i = 0; i < ARRAY_SIZE(cpu_benches); i++) {
		const struct bench *b = &cpu_benches[i];

		for (k = 0; k < ARRAY_SIZE(sizes); k++) {
			if (!wanted(b, sizes[k]))
				continue;
			noise = measure(b, sizes[k], buf, ns);
			printf("%-30s %7s", b->name, size_name(sizes[k]));
			print_ns(ns[OURS], "");
			printf(" %12s %8s", "", "");
			print_noise(noise);
			printf("\n");
		}
	}
}

