// SPDX-License-Identifier: GPL-2.0
/*
 * The savings by larger pieces: device faults and page table bytes over huge pages,
 * and CPU faults on the device's mappable memory.
 *
 * That they save as many faults and bytes as they should is no matter of luck,
 * and checked; the same is asserted by mirror/granule.c and vram/map.c.
 */
#include "bench.h"
#include "vram.h"

#define MAX_TABLE_BYTES	10	/* of device page table per mapped page */

static const size_t sizes[] = {
	XM_PAGE, 64UL << 10, 1UL << 20, 16UL << 20, 64UL << 20,
};

static const __u64 granules[] = { XM_PAGE, XM_64K, XM_2M };

#define NR_GRANULES	ARRAY_SIZE(granules)

/* The costs of a granule; the counts are the same in all rounds. */
struct cost {
	double ns;
	double noise;
	__u64 faults;
	__u64 bytes;
};

/* At least @factor times as many of it with 4 KiB as with the largest. */
static void check(const char *what, __u64 small, __u64 large, __u64 factor)
{
	if (large * factor <= small)
		return;
	printf("FAILED: %s with the largest granule: %llu, more than 1/%llu of %llu\n",
	       what, (unsigned long long)large, (unsigned long long)factor,
	       (unsigned long long)small);
	opt.failed = true;
}

/* The device reads a word of each page. */
static int device_touch(__u64 granule, char *mem, size_t len, double *ns,
			struct cost *c)
{
	struct xmirror_cmd cmd = xm_cmds(XMIRROR_OP_LOAD, 8, mem, XM_PAGE,
					 len / XM_PAGE, 0);
	struct xmirror_stats st;
	int fd = xm_open(0), err;
	__u64 start;

	if (fd < 0)
		return fd;
	err = xm_set(fd, XMIRROR_SET_GRANULE, granule, NULL);
	start = xm_now_ns();
	if (!err)
		err = xm_run(fd, &cmd, NULL);
	*ns = xm_now_ns() - start;
	if (!err)
		err = xm_stats(fd, &st);
	close(fd);
	if (!err) {
		c->faults = st.device_faults;
		c->bytes = st.table_bytes;
	}
	return err;
}

/* The CPU writes to a word of each page of VRAM that has been in use before. */
static int vram_time(__u64 granule, size_t len, double *ns, struct cost *c)
{
	int fd = xm_open(0), err;
	__u64 start, before;
	char *p;

	if (fd < 0)
		return fd;
	err = xm_set(fd, XMIRROR_SET_VRAM_GRANULE, granule, NULL);
	p = err ? NULL : vram_map_huge(fd, len, 0);
	if (p) {
		/* The first use clears it, up to 2 MiB at a time. */
		vram_touch(p, len, granule);
		munmap(p, len);
		p = vram_map_huge(fd, len, 0);
	}
	if (!err && !p)
		err = -errno;
	if (!err) {
		before = vram_faults(fd);
		start = xm_now_ns();
		vram_touch(p, len, granule);
		*ns = xm_now_ns() - start;
		c->faults = vram_faults(fd) - before;
		if (vram_wrong(p, len, granule))
			err = -EIO;
		munmap(p, len);
	}
	close(fd);
	return err;
}

/* All rounds with one granule; of VRAM if @mem is NULL. */
static int measure(__u64 granule, char *mem, size_t len, struct cost *c)
{
	unsigned int i, n = rounds_for(len);
	double ns[MAX_ROUNDS], t = 0;
	int err;

	for (i = 0; i <= n; i++) {
		err = mem ? device_touch(granule, mem, len, &t, c) :
			    vram_time(granule, len, &t, c);
		if (err)
			return err;
		if (i)
			ns[i - 1] = t;
	}
	c->ns = median(ns, n);
	c->noise = spread(ns, n);
	return 0;
}

static void run_device(void)
{
	struct cost c[NR_GRANULES] = {};
	size_t len = opt.max_migrate;
	char *mem = huge_memory(len);
	unsigned int i;
	int err;

	printf("\nthe device reads a word of each page of %s in huge pages\n",
	       size_name(len));
	if (!mem) {
		complain("huge pages", len, -errno);
		return;
	}
	printf("%-12s %12s %12s %12s %16s %7s\n", "granule", "ms", "faster",
	       "faults", "table bytes/GiB", "spread");
	for (i = 0; i < NR_GRANULES; i++) {
		err = measure(granules[i], mem, len, &c[i]);
		if (err) {
			complain("device faults", granules[i], err);
			goto out;
		}
		printf("%-12s %12.2f", size_name(granules[i]), c[i].ns / 1e6);
		printf(" %11.1fx %12llu %16.0f", c[0].ns / c[i].ns,
		       (unsigned long long)c[i].faults,
		       c[i].bytes * ((double)(1UL << 30) / len));
		print_noise(c[i].noise);
		printf("\n");
	}
	check("device faults", c[0].faults, c[NR_GRANULES - 1].faults, 256);
	/* The smallest page table there is covers 64 MiB. */
	if (len >= 64UL << 20)
		check("page table bytes", c[0].bytes, c[NR_GRANULES - 1].bytes,
		      400);
out:
	munmap(mem, len);
}

static void run_vram(void)
{
	bool huge = opt.caps & XMIRROR_CAP_VRAM_HUGE;
	struct cost c[NR_GRANULES] = {};
	struct xmirror_vram v = {};
	int fd = xm_open(0), err;
	unsigned int i;
	size_t len;

	if (fd >= 0) {
		v = vram_query(fd);
		close(fd);
	}
	len = v.bytes < opt.max_migrate ? v.bytes : opt.max_migrate;
	printf("\nthe CPU writes to a word of each page of %s of mapped VRAM\n",
	       size_name(len));
	if (!len) {
		printf("none: the device has no VRAM\n");
		return;
	}
	printf("%-12s %12s %12s %12s %7s\n", "granule", "ms", "faster",
	       "faults", "spread");
	for (i = 0; i < NR_GRANULES; i++) {
		err = measure(granules[i], NULL, len, &c[i]);
		if (err) {
			complain("VRAM", granules[i], err);
			return;
		}
		printf("%-12s %12.2f", size_name(granules[i]), c[i].ns / 1e6);
		printf(" %11.1fx %12llu", c[0].ns / c[i].ns,
		       (unsigned long long)c[i].faults);
		print_noise(c[i].noise);
		printf("\n");
	}
	if (!huge)
		printf("no entries of 2 MiB: %s\n", xm_why());
	check("VRAM faults", c[0].faults, c[NR_GRANULES - 1].faults,
	      huge ? 256 : 16);
}

static void run_table(void)
{
	unsigned int k;

	printf("\nbytes of device page table per mapped page, without huge pages\n");
	for (k = 0; k < ARRAY_SIZE(sizes); k++) {
		struct xmirror_stats st;
		double bytes;
		int fd, err;
		char *mem;

		if (sizes[k] > opt.max_size)
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
			opt.failed = true;
		}
	}
}

void run_granule(void)
{
	run_table();
	run_device();
	run_vram();
}
