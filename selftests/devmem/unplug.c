// SPDX-License-Identifier: GPL-2.0
/*
 * Locked memory in the device. mlock() keeps pages in per-CPU batches for a while,
 * with a reference each; a page of the device that nobody maps any more is not free
 * before. Unplugging the device empties them.
 */
#include "memory.h"
#include "test.h"

#define PAGES	12UL		/* fewer than a batch has room for */
#define LEN	(PAGES * XM_PAGE)
#define WORDS	(XM_PAGE / 8)

static int unmap_there(struct worker *w)
{
	int cpu = xm_pin_from(w->arg);

	return cpu < 0 ? cpu : work_munmap(w);
}

/*
 * The batch is that of another CPU than the one that takes the memory out of use.
 * covers: R2
 */
TEST(unplug_after_munmap_of_locked_memory)
{
	struct xmirror_unplug u = { .size = sizeof(u), .timeout_ms = 5000 };
	struct worker w = { .fn = unmap_there, .len = LEN };
	__u64 free_at_start, moved, *p;
	int fd, cpu = xm_pin_from(1);
	size_t i;

	NEED(XMIRROR_CAP_PRIVATE);
	if (cpu < 0)
		XM_SKIP(return, "one CPU only");
	ASSERT_EQ(0, xm_pin_cpu());
	OPEN(fd, 0);
	free_at_start = xm_devmem_free(fd);
	p = xm_anon(LEN);
	ASSERT_NE(NULL, p);
	for (i = 0; i < PAGES; i++)
		p[i * WORDS] = i + 1;
	ASSERT_EQ(0, mlock(p, LEN));
	ASSERT_EQ(0, xm_drain());
	ASSERT_EQ(0, xm_migrate(fd, p, LEN, 0, 0, &moved));
	ASSERT_EQ(PAGES, moved);
	w.addr = p;
	w.arg = cpu;
	ASSERT_EQ(0, worker_start(&w));
	ASSERT_EQ(0, worker_join(&w));
	/* A batch has some of them, or there is nothing to wait for. */
	if (xm_kver() < XM_KVER(7, 0) && xm_devmem_free(fd) == free_at_start)
		XM_SKIP(close(fd); return, "no batch keeps them on Linux 6.x");
	ASSERT_NE(free_at_start, xm_devmem_free(fd));
	EXPECT_EQ(0, xm_ioctl(fd, XMIRROR_IOC_UNPLUG, &u));
	EXPECT_EQ(0, u.left) {
		TH_LOG("%llu pages that nobody maps are held",
		       (unsigned long long)u.left);
	}
	u = (struct xmirror_unplug){
		.size = sizeof(u),
		.flags = XMIRROR_UNPLUG_REPLUG,
	};
	EXPECT_EQ(0, xm_ioctl(fd, XMIRROR_IOC_UNPLUG, &u));
	EXPECT_EQ(free_at_start, xm_devmem_free(fd));
	close(fd);
}

TEST_HARNESS_MAIN
