// SPDX-License-Identifier: GPL-2.0
/*
 * Mappings of a device's own memory, see vram.h.
 */
#include "memory.h"
#include "settings.h"
#include "vram.h"

int vram_do(int fd, enum xmirror_vram_op op, __u64 offset, __u64 length,
	    struct xmirror_vram *v)
{
	struct xmirror_vram own;

	if (!v)
		v = &own;
	memset(v, 0, sizeof(*v));
	v->size = sizeof(*v);
	v->op = op;
	v->offset = offset;
	v->length = length;
	return xm_ioctl(fd, XMIRROR_IOC_VRAM, v);
}

struct xmirror_vram vram_query(int fd)
{
	struct xmirror_vram v;

	if (vram_do(fd, XMIRROR_VRAM_QUERY, 0, 0, &v))
		memset(&v, 0, sizeof(v));
	return v;
}

__u64 vram_refs(int fd)
{
	struct xmirror_vram v;

	/* A failure must not look like "none". */
	return vram_do(fd, XMIRROR_VRAM_QUERY, 0, 0, &v) ? ~0ULL : v.refs;
}

__u64 vram_faults(int fd)
{
	struct xmirror_vram v = vram_query(fd);

	return v.faults[XMIRROR_VRAM_4K] + v.faults[XMIRROR_VRAM_64K] +
	       v.faults[XMIRROR_VRAM_2M];
}

char *vram_map(int fd, size_t len, off_t offset, size_t shift)
{
	char *hole = xm_hole(len + shift + XM_2M);
	char *p;

	if (!hole)
		return NULL;
	p = hole + (-(uintptr_t)hole & (XM_2M - 1)) + shift;
	p = mmap(p, len, PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_FIXED_NOREPLACE, fd, offset);
	return p == MAP_FAILED ? NULL : p;
}

char *vram_map_huge(int fd, size_t len, off_t offset)
{
	char *p = vram_map(fd, len, offset, offset & (XM_2M - 1));

	/* EINVAL: a kernel without huge pages. */
	if (p && madvise(p, len, MADV_HUGEPAGE) && errno != EINVAL) {
		munmap(p, len);
		return NULL;
	}
	return p;
}

void vram_touch(char *p, size_t len, __u64 seed)
{
	for (size_t i = 0; i < len; i += XM_PAGE)
		XM_STORE((__u64 *)(p + i), seed + i / XM_PAGE);
}

size_t vram_wrong(const char *p, size_t len, __u64 seed)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i += XM_PAGE)
		n += XM_LOAD((__u64 *)(p + i)) != seed + i / XM_PAGE;
	return n;
}

const char *thp_mode(void)
{
	static char mode[64];

	xm_read_setting(THP_ENABLED, mode, sizeof(mode));
	return mode;
}
