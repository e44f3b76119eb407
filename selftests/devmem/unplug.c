// SPDX-License-Identifier: GPL-2.0
/*
 * Memory of the device that is to go and that somebody holds: it goes as soon as it is
 * let go.
 *
 * mlock() keeps pages in per-CPU batches for a while, with a reference each; a page of
 * the device that nobody maps any more is not free before. Unplugging the device
 * empties them.
 */
#include <fcntl.h>
#include <sys/uio.h>

#include "dmirror.h"
#include "klog.h"
#include "memory.h"
#include "module.h"
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

/* The modules go, and come back whatever happens. */
FIXTURE(rmmod) {
	struct modules was;
	struct klog log;
	int pipe[2];
};

FIXTURE_SETUP(rmmod)
{
	if (!modules_at_hand())
		XM_SKIP(return, MODULES_WHY);
	ASSERT_EQ(0, pipe2(self->pipe, O_CLOEXEC));
	ASSERT_EQ(0, klog_open(&self->log));
}

FIXTURE_TEARDOWN(rmmod)
{
	if (self->pipe[0]) {
		close(self->pipe[0]);
		close(self->pipe[1]);
		klog_close(&self->log);
	}
	EXPECT_EQ(0, modules_back(&self->was));
}

#define COHERENT	"/dev/hmm_dmirror2"

/* A page of coherent memory that a pipe holds, too; no file of a device is open then. */
static void hold_coherent(struct __test_metadata *_metadata, int coherent,
			  __u64 *p, int pipe)
{
	struct iovec iov = { p, XM_PAGE };
	struct hmm_dmirror_cmd c = {
		.addr = (uintptr_t)p,
		.ptr = (uintptr_t)xm_anon(XM_PAGE),
		.npages = 1,
	};
	int fd;

	ASSERT_EQ(0, xm_ioctl(coherent, HMM_DMIRROR_MIGRATE_TO_DEV, &c));
	ASSERT_EQ(1, c.cpages);
	OPEN(fd, 0);
	ASSERT_NE(0, xm_page(fd, p).cpu & XMIRROR_CPU_COHERENT);
	ASSERT_EQ(XM_PAGE, vmsplice(pipe, &iov, 1, 0));
	/* Closing evicts what is the file's, as far as it can. */
	close(coherent);
	EXPECT_NE(0, xm_page(fd, p).cpu & XMIRROR_CPU_COHERENT);
	close(fd);
}

static int take_modules_out(struct worker *w)
{
	return modules_out(w->to);
}

#define HELD	"pages of device memory are still held"

/*
 * Nobody touches the page once the pipe has let go of it, and a touch of the CPU would
 * not bring coherent memory back: the module that goes has to ask again.
 */
TEST_F(rmmod, waits_for_a_page_in_a_pipe)
{
	struct worker w = { .fn = take_modules_out, .to = &self->was };
	__u64 start = xm_now_ns(), *p = xm_anon(XM_PAGE), buf[WORDS];
	int coherent = open(COHERENT, O_RDWR | O_CLOEXEC);

	if (coherent < 0)
		XM_SKIP(return, "no coherent memory: spm_addr_dev0 of xmirror_test");
	ASSERT_NE(NULL, p);
	*p = 0x5eed;
	hold_coherent(_metadata, coherent, p, self->pipe[1]);
	ASSERT_EQ(0, worker_start(&w));
	/* It says so when it has tried for a while, and then tries again. */
	while (!klog_has(&self->log, HELD) && !worker_ended(&w) &&
	       !xm_expired(start, XM_LONG))
		sched_yield();
	ASSERT_TRUE(klog_has(&self->log, HELD));
	ASSERT_FALSE(worker_ended(&w));
	ASSERT_EQ(XM_PAGE, read(self->pipe[0], buf, XM_PAGE));
	EXPECT_EQ(0x5eed, buf[0]);
	EXPECT_EQ(0, worker_join(&w));
	EXPECT_EQ(0x5eed, XM_LOAD(p));
	EXPECT_FALSE(module_loaded("xmirror"));
}

TEST_HARNESS_MAIN
