// SPDX-License-Identifier: GPL-2.0
/*
 * samples/toy.c, a driver on xmirror.ko alone. When it is loaded, its device reads
 * and does an atomic on a page of the process that loads it, which the CPU then
 * sees; if one of them fails, loading fails.
 */
#include "module.h"
#include "test.h"

#define TOY	"xmirror_toy"

TEST(toy_driver_reads_and_adds)
{
	int err;

	if (!modules_at_hand())
		XM_SKIP(return, MODULES_WHY);
	err = module_load(TOY, "");
	if (err == -ENOENT)
		XM_SKIP(return, "no " TOY ".ko in /lib/modules");
	ASSERT_EQ(0, err);
	EXPECT_TRUE(module_loaded(TOY));
	EXPECT_EQ(0, module_unload_soon(TOY));
}

/* Beside the test devices, which mirror the same process */
TEST(toy_driver_beside_a_device)
{
	__u64 *p = xm_anon(XM_PAGE), word = 0;
	int fd, err;

	if (!modules_at_hand())
		XM_SKIP(return, MODULES_WHY);
	ASSERT_NE(NULL, p);
	*p = 7;
	OPEN(fd, 0);
	ASSERT_EQ(0, xm_read(fd, p, &word, sizeof(word)));
	err = module_load(TOY, "");
	if (err == -ENOENT)
		XM_SKIP(close(fd); return, "no " TOY ".ko in /lib/modules");
	ASSERT_EQ(0, err);
	ASSERT_EQ(0, xm_read(fd, p, &word, sizeof(word)));
	EXPECT_EQ(7, word);
	EXPECT_CLEAN(fd);
	EXPECT_EQ(0, module_unload_soon(TOY));
	close(fd);
}

TEST_HARNESS_MAIN
