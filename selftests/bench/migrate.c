// SPDX-License-Identifier: GPL-2.0
/*
 * The costs of moving memory to the device and back.
 *
 * A round takes fresh memory and a fresh mirror through all of it: to the
 * device, read there twice, back by a call, to the device once more, and back
 * by the CPU's faults. The in-tree driver's call that moves memory to the device
 * copies it out then, too; there is none without that.
 */
#include "bench.h"
#include "floor.h"

/**
 * enum step - what is timed
 * @TO_DEVICE: migration to the device
 * @READ_FIRST: the device reads all of it, and has to find it first
 * @READ_AGAIN: the same once more
 * @TO_SYSTEM: migration back
 * @TOUCH: the CPU reads a byte of each page
 * @NR_STEPS: how many
 */
enum step { TO_DEVICE, READ_FIRST, READ_AGAIN, TO_SYSTEM, TOUCH, NR_STEPS };

enum migrate_line {
	LINE_TO_DEVICE_COPY,
	LINE_COPY,
	LINE_TO_DEVICE,
	LINE_TO_SYSTEM,
	LINE_TOUCH,
	NR_LINES
};

static const char * const line_names[NR_LINES] = {
	[LINE_TO_DEVICE_COPY] = "to the device + copy out",
	[LINE_COPY] = "copy out of device memory",
	[LINE_TO_DEVICE] = "to the device",
	[LINE_TO_SYSTEM] = "to system memory",
	[LINE_TOUCH] = "CPU touches every page",
};

/* A set of rounds: the figures, and why there may be none. */
struct series {
	double ns[NR_LINES][MAX_ROUNDS];
	double result[NR_LINES];
	double noise[NR_LINES];
	unsigned int n;
	int err;
};

static const size_t sizes[] = {
	XM_PAGE, 64UL << 10, 1UL << 20, XM_PMD, 16UL << 20, 64UL << 20,
	256UL << 20,
};

/* Rows in which xmirror was the slower one. */
static unsigned int slower;

static int our_move(int fd, char *addr, size_t len, __u32 flags)
{
	__u64 moved;
	int err = xm_migrate(fd, addr, len, flags, 0, &moved);

	if (!err && moved != len / XM_PAGE)
		err = -EIO;
	return err;
}

static int one_call(enum bench_driver driver, enum step step, int fd,
		    char *addr, size_t len, char *buf)
{
	switch (step) {
	case TO_DEVICE:
		return driver == OURS ? our_move(fd, addr, len, 0) :
		       intree_to_device(fd, addr, len, buf);
	case READ_FIRST:
		/* Has been done. */
		if (driver == INTREE)
			return 0;
		return xm_read(fd, addr, buf, len);
	case READ_AGAIN:
		return driver == OURS ? xm_read(fd, addr, buf, len) :
		       intree_read(fd, addr, len, buf);
	case TO_SYSTEM:
		return driver == OURS ?
		       our_move(fd, addr, len, XMIRROR_MIGRATE_TO_SYSTEM) :
		       intree_to_system(fd, addr, len, buf);
	default: /* TOUCH */
		return cpu_touch(fd, addr, len, buf);
	}
}

/* Look at some pages: is it all where the step should have brought it? */
static bool is_there(enum step step, char *mem, size_t area)
{
	bool present = step == TO_SYSTEM || step == TOUCH;
	size_t at;

	for (at = 0; at < area; at += XM_PMD) {
		if (xm_is_present(mem + at) != present ||
		    xm_is_present(mem + at + XM_PMD - XM_PAGE) != present)
			return false;
	}
	return true;
}

/* One step, for all of the area in pieces of @size; *@ns may be NULL. */
static int do_step(enum bench_driver driver, enum step step, int fd,
		   char *mem, size_t area, size_t size, char *buf, double *ns)
{
	__u64 start = xm_now_ns();
	int err = 0;
	size_t at;

	for (at = 0; at < area && !err; at += size)
		err = one_call(driver, step, fd, mem + at, size, buf + at);
	if (ns)
		*ns = (double)(xm_now_ns() - start) / (area / XM_PAGE);
	if (!err && !is_there(step, mem, area))
		err = -EIO;
	return err;
}

static int do_steps(enum bench_driver driver, int fd, char *mem, size_t area,
		    size_t size, char *buf, double ns[NR_STEPS])
{
	enum step step;
	int err = 0;

	for (step = 0; step < NR_STEPS && !err; step++) {
		if (step == TOUCH)
			err = do_step(driver, TO_DEVICE, fd, mem, area, size,
				      buf, NULL);
		if (!err)
			err = do_step(driver, step, fd, mem, area, size, buf,
				      &ns[step]);
	}
	return err;
}

static int one_round(enum bench_driver driver, size_t size, bool huge, char *buf,
		     double ns[NR_STEPS])
{
	size_t area = size < MIN_AREA ? MIN_AREA : size;
	char *mem = huge ? huge_memory(area) : xm_anon_aligned(area, XM_PMD);
	int err = -errno, fd;

	if (!mem)
		return err;
	memset(mem, 1, area);
	fd = open_driver(driver);
	err = fd;
	if (fd >= 0) {
		err = do_steps(driver, fd, mem, area, size, buf, ns);
		/* First, or closing has to bring back what is there. */
		munmap(mem, area);
		close(fd);
	} else {
		munmap(mem, area);
	}
	return err;
}

static void add_round(enum bench_driver driver, struct series *s,
		      const double ns[NR_STEPS])
{
	unsigned int n = s->n++;

	s->ns[LINE_COPY][n] = ns[READ_AGAIN];
	s->ns[LINE_TO_SYSTEM][n] = ns[TO_SYSTEM];
	s->ns[LINE_TOUCH][n] = ns[TOUCH];
	if (driver == OURS) {
		s->ns[LINE_TO_DEVICE][n] = ns[TO_DEVICE];
		s->ns[LINE_TO_DEVICE_COPY][n] = ns[TO_DEVICE] + ns[READ_FIRST];
	} else {
		s->ns[LINE_TO_DEVICE][n] = ns[TO_DEVICE] - ns[READ_AGAIN];
		s->ns[LINE_TO_DEVICE_COPY][n] = ns[TO_DEVICE];
	}
}

static void finish_series(struct series *s)
{
	enum migrate_line line;

	for (line = 0; line < NR_LINES; line++) {
		s->result[line] = NAN;
		s->noise[line] = NAN;
		if (s->err || !s->n)
			continue;
		s->result[line] = median(s->ns[line], s->n);
		s->noise[line] = spread(s->ns[line], s->n);
		/* A difference that the noise has eaten. */
		if (s->result[line] <= 0)
			s->result[line] = INFINITY;
	}
}

static void print_speed(const struct series *s, enum migrate_line line,
			const char *mark)
{
	double ns = s->result[line];

	if (s->err)
		printf(" %11s%d %6s", "error ", -s->err, "-");
	else
		print_ns(ns, mark);
	if (s->err)
		return;
	if (isfinite(ns))
		printf(" %6.2f", XM_PAGE / ns);
	else
		printf(" %6s", "-");
}

static void print_line(enum migrate_line line, size_t size, bool huge,
		       const struct series s[NR_DRIVERS], double floor)
{
	double ours = s[OURS].result[line], theirs = s[INTREE].result[line];
	double noise = fmax(s[OURS].noise[line], s[INTREE].noise[line]);

	printf("%-26s %7s %5s", line_names[line], size_name(size),
	       huge ? "huge" : "small");
	print_speed(&s[OURS], line, "");
	print_speed(&s[INTREE], line, line == LINE_TO_DEVICE ? "~" : "");
	print_ratio(theirs, ours);
	if (isnan(noise))
		printf(" %7s", "-");
	else
		print_noise(noise);
	print_floor(ours, floor, size);
	printf("\n");
	if (isfinite(theirs) && isfinite(ours) && theirs < ours)
		slower++;
}

/* Small pieces of huge pages move as small pages. */
static int floor_step(enum migrate_line line, int fd, char *mem, size_t len,
		      bool huge, char *buf, double *ns)
{
	bool whole = huge && len >= XM_PMD;

	switch (line) {
	case LINE_TO_DEVICE:
		return floor_move(fd, mem, len, whole, false, ns);
	case LINE_COPY:
		return floor_copy(mem, len, buf, false, ns);
	default: /* LINE_TO_SYSTEM */
		return floor_move(fd, mem, len, whole, true, ns);
	}
}

static int floor_steps(int fd, char *mem, size_t area, size_t call, bool huge,
		       char *buf, double ns[NR_LINES])
{
	static const enum migrate_line steps[] = {
		LINE_COPY, LINE_TO_DEVICE, LINE_TO_SYSTEM, LINE_TO_DEVICE,
	};
	__u64 start;
	size_t at, i;
	int err = 0;

	for (i = 0; i < ARRAY_SIZE(steps) && !err; i++) {
		ns[steps[i]] = 0;
		for (at = 0; at < area && !err; at += call)
			err = floor_step(steps[i], fd, mem + at, call, huge,
					 buf, &ns[steps[i]]);
	}
	start = xm_now_ns();
	if (!err)
		cpu_touch(fd, mem, area, buf);
	ns[LINE_TOUCH] = xm_now_ns() - start;
	ns[LINE_TO_DEVICE_COPY] = ns[LINE_TO_DEVICE] + ns[LINE_COPY];
	return err;
}

static int floor_round(size_t size, bool huge, char *buf, double ns[NR_LINES])
{
	size_t area = floor_area(huge && size < XM_PMD ? XM_PMD : size);
	char *mem = huge ? huge_memory(area) : xm_anon_aligned(area, XM_PMD);
	int err = mem ? 0 : -errno, fd = xm_open(0);
	unsigned int line;

	if (fd < 0)
		err = fd;
	if (!err) {
		memset(mem, 1, area);
		err = floor_steps(fd, mem, area, floor_call(size), huge, buf, ns);
	}
	for (line = 0; line < NR_LINES; line++)
		ns[line] /= area / XM_PAGE;
	if (mem)
		munmap(mem, area);
	if (fd >= 0)
		close(fd);
	return err;
}

/* Medians, NAN for what cannot be measured. */
static void run_floor(size_t size, bool huge, char *buf, double result[NR_LINES])
{
	double all[NR_LINES][MAX_ROUNDS], ns[NR_LINES] = {};
	unsigned int i, line, n = rounds_for(size);

	for (line = 0; line < NR_LINES; line++)
		result[line] = NAN;
	for (i = 0; i <= n; i++) {
		int err = floor_round(size, huge, buf, ns);

		if (err) {
			if (err != -EOPNOTSUPP)
				complain("floor of a migration", size, err);
			return;
		}
		for (line = 0; i && line < NR_LINES; line++)
			all[line][i - 1] = ns[line];
	}
	for (line = 0; line < NR_LINES; line++)
		result[line] = median(all[line], n);
}

static void run_size(size_t size, bool huge, char *buf,
		     struct series s[NR_DRIVERS])
{
	unsigned int i, n = rounds_for(size);
	double ns[NR_STEPS];
	enum bench_driver driver;

	memset(s, 0, NR_DRIVERS * sizeof(*s));
	/* The drivers take turns; the first turn is a warm-up. */
	for (i = 0; i <= n; i++) {
		for (driver = 0; driver < NR_DRIVERS; driver++) {
			if (s[driver].err || (driver == INTREE && !opt.intree))
				continue;
			s[driver].err = one_round(driver, size, huge, buf, ns);
			if (i && !s[driver].err)
				add_round(driver, &s[driver], ns);
		}
	}
	for (driver = 0; driver < NR_DRIVERS; driver++)
		finish_series(&s[driver]);
	if (s[OURS].err)
		complain(huge ? "migration of huge pages" : "migration", size,
			 s[OURS].err);
}

/* Single faults of the CPU, as opposed to what they cost per page. */

/**
 * struct single - a kind of fault on device memory
 * @name: what is faulted on, and what comes back with xmirror's default
 * @moved: bytes that are moved to the device in one call
 * @stride: bytes from one fault to the next
 * @huge: in huge pages
 */
struct single {
	const char *name;
	size_t moved;
	size_t stride;
	bool huge;
};

static const struct single singles[] = {
	{
		.name = "a page, its neighbours not in device memory",
		.moved = XM_PAGE,
		.stride = 64UL << 10,
	}, {
		.name = "a page, its neighbours, too",
		.moved = 64UL << 10,
		.stride = 64UL << 10,
	}, {
		.name = "a huge page",
		.moved = XM_PMD,
		.stride = XM_PMD,
		.huge = true,
	},
};

#define SINGLE_AREA	(16UL << 20)

static int single_round(const struct single *f, enum bench_driver driver,
			char *buf, double *ns)
{
	char *mem = f->huge ? huge_memory(SINGLE_AREA) :
			      xm_anon_aligned(SINGLE_AREA, XM_PMD);
	int err = -errno, fd;
	__u64 start;
	size_t at;

	if (!mem)
		return err;
	memset(mem, 1, SINGLE_AREA);
	fd = open_driver(driver);
	err = fd < 0 ? fd : 0;
	for (at = 0; at < SINGLE_AREA && !err; at += f->stride)
		err = one_call(driver, TO_DEVICE, fd, mem + at, f->moved, buf);
	start = xm_now_ns();
	for (at = 0; at < SINGLE_AREA && !err; at += f->stride)
		(void)XM_LOAD(mem + at);
	*ns = (double)(xm_now_ns() - start) / (SINGLE_AREA / f->stride);
	munmap(mem, SINGLE_AREA);
	if (fd >= 0)
		close(fd);
	return err;
}

static void run_single(const struct single *f, char *buf)
{
	double result[NR_DRIVERS] = { NAN, NAN }, noise = 0, t = 0;
	double ns[NR_DRIVERS][MAX_ROUNDS];
	enum bench_driver driver;
	unsigned int i;
	int err;

	for (driver = 0; driver < NR_DRIVERS; driver++) {
		if (driver == INTREE && !opt.intree)
			continue;
		for (i = 0; i <= opt.rounds; i++) {
			err = single_round(f, driver, buf, &t);
			if (err) {
				complain(f->name, f->moved, err);
				return;
			}
			if (i)
				ns[driver][i - 1] = t;
		}
		result[driver] = median(ns[driver], opt.rounds);
		noise = fmax(noise, spread(ns[driver], opt.rounds));
	}
	printf("%-48s", f->name);
	print_ns(result[OURS], "");
	print_ns(result[INTREE], "");
	print_ratio(result[INTREE], result[OURS]);
	print_noise(noise);
	printf("\n");
}

static void run_singles(char *buf)
{
	size_t i;

	printf("\nns per CPU fault on device memory\n");
	printf("%-48s %12s %12s %8s %7s\n", "fault on", "xmirror", "in-tree",
	       "ratio", "spread");
	for (i = 0; i < ARRAY_SIZE(singles); i++)
		run_single(&singles[i], buf);
}

void run_migrate(char *buf)
{
	static struct series s[ARRAY_SIZE(sizes)][2][NR_DRIVERS];
	static double floor[ARRAY_SIZE(sizes)][2][NR_LINES];
	enum migrate_line line;
	unsigned int k;
	int huge;

	printf("\nmigration: ns per 4 KiB page and GB/s, of memory in small and in huge pages\n");
	if (!(opt.caps & XMIRROR_CAP_PRIVATE)) {
		printf("none: %s\n", xm_why());
		return;
	}
	for (k = 0; k < ARRAY_SIZE(sizes); k++) {
		for (huge = 0; huge < 2; huge++) {
			if (sizes[k] > opt.max_migrate)
				continue;
			printf("# %s, %s pages\n", size_name(sizes[k]),
			       huge ? "huge" : "small");
			run_size(sizes[k], huge, buf, s[k][huge]);
			run_floor(sizes[k], huge, buf, floor[k][huge]);
		}
	}
	printf("%-26s %7s %5s %12s %6s %12s %6s %8s %7s %12s %8s\n", "operation",
	       "size", "pages", "xmirror", "GB/s", "in-tree", "GB/s", "ratio",
	       "spread", "kernel floor", "over it");
	for (line = 0; line < NR_LINES; line++) {
		for (huge = 0; huge < 2; huge++) {
			for (k = 0; k < ARRAY_SIZE(sizes); k++) {
				if (sizes[k] <= opt.max_migrate)
					print_line(line, sizes[k], huge,
						   s[k][huge],
						   floor[k][huge][line]);
			}
		}
	}
	printf("~: there is no such call, it is the one with the copy less the copy\n");
	printf("rows in which xmirror is slower: %u\n", slower);
	print_over();
	run_singles(buf);
}
