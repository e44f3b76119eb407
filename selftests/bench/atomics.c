// SPDX-License-Identifier: GPL-2.0
/*
 * Throughput of device atomics, next to the same instruction of a CPU.
 */
#include "bench.h"

#define SWEEP_PAGES	64

/*
 * The location before is returned and looked at, so that this is the same
 * instruction as the device's.
 */
#define ADD_LOOP(type)							\
	do {								\
		for (i = 0; i < opt.atomics; i++) {				\
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
	return (double)(xm_now_ns() - start) / opt.atomics;
}

static double device_atomics(int fd, char *mem, unsigned int width,
			     unsigned int pages)
{
	struct xmirror_cmd cmd = xm_cmds(XMIRROR_OP_ADD, width, mem,
					 pages > 1 ? XM_PAGE : 0, opt.atomics, 1);
	__u64 start, fence, repeat = 1;
	struct xmirror_wait w;
	int err;

	if (pages > 1) {
		cmd.count = pages;
		repeat = opt.atomics / pages;
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
	for (i = 0; i <= opt.rounds && !err; i++) {
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
	d = median(dev, opt.rounds);
	c = median(cpu, opt.rounds);
	printf("%u bytes, %-21s %12.1f %12.1f %11.2f%%\n", width,
	       pages > 1 ? "another page each time" : "one location",
	       1000 / d, 1000 / c, 100 * c / d);
}

void run_atomics(void)
{
	printf("\nfetch-and-add by one thread, million per second\n");
	printf("%-30s %12s %12s %12s\n", "", "device", "CPU", "device/CPU");
	if (!(opt.caps & XMIRROR_CAP_EXCLUSIVE)) {
		printf("none: %s\n", xm_why());
		return;
	}
	print_atomics(8, 1);
	print_atomics(4, 1);
	print_atomics(2, 1);
	print_atomics(1, 1);
	print_atomics(8, SWEEP_PAGES);
}
