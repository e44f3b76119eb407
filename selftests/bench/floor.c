// SPDX-License-Identifier: GPL-2.0
/*
 * Floors: what the kernel's own functions take for the same pages, with no driver
 * between them and the caller, see floor.h.
 */
#include "bench.h"
#include "floor.h"
#include "raw.h"

/* As much as a raw call can take, and as xmirror does in one piece. */
#define MAX_CALL	XM_PMD

static unsigned int over, rows;

size_t floor_area(size_t size)
{
	return size < MIN_AREA ? MIN_AREA : size < MAX_CALL ? size : MAX_CALL;
}

size_t floor_call(size_t size)
{
	return size < MAX_CALL ? size : MAX_CALL;
}

int floor_fault(int fd, char *addr, size_t len, bool write, double *ns)
{
	struct xmirror_raw_hmm r = {
		.default_flags = XMIRROR_HMM_VALID |
				 (write ? XMIRROR_HMM_WRITE : 0),
	};
	struct xmirror_raw_pfn *pfns = calloc(len / XM_PAGE, sizeof(*pfns));
	int err = -ENOMEM;

	if (pfns)
		err = raw_hmm(fd, addr, len / XM_PAGE, &r, pfns);
	free(pfns);
	*ns += r.ns;
	return err;
}

int floor_exclusive(int fd, char *addr, size_t len, double *ns)
{
	struct xmirror_range r = {
		.size = sizeof(r),
		.flags = XMIRROR_EXCLUSIVE_BARE,
		.addr = (uintptr_t)addr,
		.length = len,
	};
	__u64 start = xm_now_ns();
	int err = xm_ioctl(fd, XMIRROR_IOC_EXCLUSIVE, &r);

	*ns += xm_now_ns() - start;
	return err;
}

int floor_move(int fd, char *addr, size_t len, bool huge, bool back, double *ns)
{
	size_t nr = len / XM_PAGE, step = huge ? XM_PMD_PAGES : 1, i;
	struct xmirror_raw_migrate r = {
		.flags = (back ? XMIRROR_RAW_SELECT_PRIVATE :
				 XMIRROR_RAW_SELECT_SYSTEM) |
			 (huge ? XMIRROR_RAW_SELECT_COMPOUND : 0),
		.owner = XMIRROR_RAW_POOL,
	};
	struct xmirror_raw_move *moves = calloc(nr, sizeof(*moves));
	int err;

	if (!moves)
		return -ENOMEM;
	for (i = 0; i < nr; i += step)
		moves[i].dst = huge ? (back ? XMIRROR_RAW_SYSTEM_LARGE :
					      XMIRROR_RAW_PRIVATE_LARGE) :
				      (back ? XMIRROR_RAW_SYSTEM :
					      XMIRROR_RAW_PRIVATE);
	err = raw_migrate(fd, addr, nr, &r, moves);
	for (i = 0; i < nr && !err; i += step)
		if (!moves[i].dst_pfn || !(moves[i].pages & XMIRROR_RAW_MIGRATE))
			err = -EIO;
	free(moves);
	*ns += r.ns;
	return err;
}

int floor_copy(char *addr, size_t len, char *buf, bool write, double *ns)
{
	__u64 start = xm_now_ns();
	size_t i;

	for (i = 0; i < len; i += XM_PAGE)
		memcpy(write ? addr + i : buf + i, write ? buf + i : addr + i,
		       XM_PAGE);
	*ns += xm_now_ns() - start;
	return 0;
}

void print_floor(double ours, double floor, size_t size)
{
	if (isnan(floor))
		printf(" %12s", "n/a");
	else
		print_ns(floor, "");
	print_ratio(ours, floor);
	if (size < XM_64K || !isfinite(ours) || !isfinite(floor))
		return;
	rows++;
	if (ours > 1.15 * floor)
		over++;
}

void print_over(void)
{
	printf("rows of 64 KiB and more: %u, over 1.15 times their floor: %u\n",
	       rows, over);
	rows = 0;
	over = 0;
}
