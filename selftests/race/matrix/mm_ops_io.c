// SPDX-License-Identifier: GPL-2.0
/*
 * The mm's side of the race matrix, input and output: a disk reads and writes the
 * page by itself, by O_DIRECT and by io_uring, and a worker of io_uring copies from
 * a socket into it. See struct race_mmop.
 */
#include <fcntl.h>
#include <linux/io_uring.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "mm_ops.h"

#define SECTOR	(SCRATCH_WORD * 8)

/* The content of the page in its second sector, but for one word. */
static void fill_sector(__u64 *buf)
{
	int i;

	for (i = 0; i < SECTOR / 8; i++)
		buf[i] = RACE_FILL(SECTOR / 8 + i);
	buf[0] = RACE_MARK;
}

int scratch_prepare(struct race_env *e)
{
	__u64 *buf = xm_anon(XM_PAGE);
	const char *dir = getenv("XM_SCRATCH");
	char path[256];

	if (!dir)
		return race_not_here(e, "no disk: XM_SCRATCH is not set");
	if (!buf)
		return -ENOMEM;
	snprintf(path, sizeof(path), "%s/xmirror-matrix", dir);
	e->file = open(path, O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC, 0600);
	if (e->file < 0)
		return -errno;
	unlink(path);
	fill_sector(buf);
	return failed(pwrite(e->file, buf, SECTOR, 0));
}

/* The disk writes the second sector of the page. */
int direct_read(struct race_env *e)
{
	return failed(pread(e->file, (char *)e->p + SECTOR, SECTOR, 0));
}

int direct_write(struct race_env *e)
{
	return failed(pwrite(e->file, (char *)e->p + SECTOR, SECTOR, 0));
}

/*
 * io_uring, with one request at a time
 */

/**
 * struct uring - a ring that both sides are mapped of
 * @fd: its file
 * @sq_tail, @sq_mask, @sq_array: the queue of requests
 * @cq_head, @cq_tail, @cq_mask: the queue of results
 * @sqes: requests
 * @cqes: results
 */
static struct uring {
	int fd;
	__u32 *sq_tail;
	__u32 *sq_mask;
	__u32 *sq_array;
	__u32 *cq_head;
	__u32 *cq_tail;
	__u32 *cq_mask;
	struct io_uring_sqe *sqes;
	struct io_uring_cqe *cqes;
} ring;

static void *map_ring(size_t len, off_t what)
{
	return mmap(NULL, len, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_POPULATE, ring.fd, what);
}

static int open_ring(struct io_uring_params *p)
{
	size_t len;
	char *at;

	ring.fd = syscall(SYS_io_uring_setup, 4, p);
	if (ring.fd < 0)
		return -errno;
	if (!(p->features & IORING_FEAT_SINGLE_MMAP))
		return -EOPNOTSUPP;
	len = p->sq_off.array + p->sq_entries * sizeof(__u32);
	if (len < p->cq_off.cqes + p->cq_entries * sizeof(*ring.cqes))
		len = p->cq_off.cqes + p->cq_entries * sizeof(*ring.cqes);
	at = map_ring(len, IORING_OFF_SQ_RING);
	ring.sqes = map_ring(p->sq_entries * sizeof(*ring.sqes),
			     IORING_OFF_SQES);
	if (at == MAP_FAILED || ring.sqes == MAP_FAILED)
		return -ENOMEM;
	ring.sq_tail = (__u32 *)(at + p->sq_off.tail);
	ring.sq_mask = (__u32 *)(at + p->sq_off.ring_mask);
	ring.sq_array = (__u32 *)(at + p->sq_off.array);
	ring.cq_head = (__u32 *)(at + p->cq_off.head);
	ring.cq_tail = (__u32 *)(at + p->cq_off.tail);
	ring.cq_mask = (__u32 *)(at + p->cq_off.ring_mask);
	ring.cqes = (struct io_uring_cqe *)(at + p->cq_off.cqes);
	return 0;
}

static int ring_prepare(struct race_env *e)
{
	struct io_uring_params params = {};
	int err = open_ring(&params);

	if (ring.fd < 0)
		return race_not_here(e, "no CONFIG_IO_URING, or sysctl kernel.io_uring_disabled");
	return err;
}

int uring_prepare(struct race_env *e)
{
	int err = scratch_prepare(e);

	return err ? err : ring_prepare(e);
}

/* The sector is on its way already. */
int uring_recv_prepare(struct race_env *e)
{
	__u64 buf[SECTOR / 8];
	int socks[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, socks))
		return race_not_here(e, "no CONFIG_UNIX");
	fill_sector(buf);
	if (send(socks[1], buf, SECTOR, 0) != SECTOR)
		return -EIO;
	e->file = socks[0];
	return ring_prepare(e);
}

/* The request's result, and that of the ring if it cannot be had */
static int run_request(const struct io_uring_sqe *sqe)
{
	__u32 tail = *ring.sq_tail, i = tail & *ring.sq_mask;
	__u32 head = *ring.cq_head, nr = 1;
	int res;

	ring.sqes[i] = *sqe;
	ring.sq_array[i] = i;
	XM_STORE(ring.sq_tail, tail + 1);
	while (XM_LOAD(ring.cq_tail) == head) {
		res = syscall(SYS_io_uring_enter, ring.fd, nr, 1,
			      IORING_ENTER_GETEVENTS, NULL, 0);
		if (res < 0 && errno != EINTR)
			return -errno;
		nr = 0;
	}
	res = ring.cqes[head & *ring.cq_mask].res;
	XM_STORE(ring.cq_head, head + 1);
	return res;
}

static int read_sector(struct race_env *e, __u8 opcode, __u8 flags)
{
	struct io_uring_sqe sqe = {
		.opcode = opcode,
		.flags = flags,
		.fd = e->file,
		.addr = (uintptr_t)e->p + SECTOR,
		.len = SECTOR,
	};
	int res = run_request(&sqe);

	return res == SECTOR ? 0 : res < 0 ? res : -EIO;
}

int uring_read(struct race_env *e)
{
	return read_sector(e, IORING_OP_READ, 0);
}

/* It is a thread of the ring that touches the page. */
int uring_recv(struct race_env *e)
{
	return read_sector(e, IORING_OP_RECV, IOSQE_ASYNC);
}

/* The page becomes a buffer of the ring, pinned for long, and ceases to be one. */
int uring_fixed(struct race_env *e)
{
	struct iovec page = { e->p, XM_PAGE };
	int err;

	if (syscall(SYS_io_uring_register, ring.fd, IORING_REGISTER_BUFFERS,
		    &page, 1))
		return -errno;
	err = read_sector(e, IORING_OP_READ_FIXED, 0);
	if (syscall(SYS_io_uring_register, ring.fd, IORING_UNREGISTER_BUFFERS,
		    NULL, 0) && !err)
		err = -errno;
	return err;
}
