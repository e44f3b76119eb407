// SPDX-License-Identifier: GPL-2.0
/*
 * A memory error in private memory, as a machine check would report it: the driver says
 * that it cannot be mended, and nobody loses the page.
 */
#include "klog.h"
#include "test.h"

FIXTURE(error) {
	int fd;
	__u64 *p;
	__u64 pfn;
	__u64 free;	/* pages of the device, before it has this one */
	struct klog log;
};

FIXTURE_SETUP(error)
{
	__u64 moved;

	self->fd = -1;
	NEED(XMIRROR_CAP_PRIVATE);
	/* Finding 8 */
	if (xm_kver() <= XM_KVER(6, 1))
		XM_SKIP(return, "Linux 6.1 dies of unloading the module after it");
	if (access(XM_HARD_OFFLINE, F_OK))
		XM_SKIP(return, "no CONFIG_MEMORY_FAILURE");
	OPEN(self->fd, 0);
	ASSERT_EQ(0, klog_open(&self->log));
	self->free = xm_devmem_free(self->fd);
	self->p = xm_anon(XM_PAGE);
	ASSERT_NE(NULL, self->p);
	*self->p = 5;
	ASSERT_EQ(0, xm_migrate(self->fd, self->p, XM_PAGE, 0, 0, &moved));
	ASSERT_EQ(1, moved);
	self->pfn = xm_private_pfn(self->fd, self->p);
	ASSERT_NE(0, self->pfn);
}

FIXTURE_TEARDOWN(error)
{
	if (self->fd < 0)
		return;
	EXPECT_CLEAN(self->fd);
	klog_close(&self->log);
	close(self->fd);
}

#define TOLD	"recovery action for dax page: Failed"

TEST_F(error, page_in_use_stays)
{
	EXPECT_EQ(-EIO, xm_memory_error(self->pfn));
	EXPECT_TRUE(klog_has(&self->log, TOLD));
	EXPECT_EQ(self->pfn, xm_private_pfn(self->fd, self->p));
	EXPECT_EQ(5, XM_LOAD(self->p));
}

TEST_F(error, free_page)
{
	ASSERT_EQ(0, madvise(self->p, XM_PAGE, MADV_DONTNEED));
	ASSERT_EQ(self->free, xm_devmem_free(self->fd));
	EXPECT_EQ(-EIO, xm_memory_error(self->pfn));
	EXPECT_TRUE(klog_has(&self->log, TOLD));
}

TEST_HARNESS_MAIN
