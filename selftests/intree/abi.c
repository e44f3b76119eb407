// SPDX-License-Identifier: GPL-2.0
/*
 * The modules have their own copy of the ioctls of /dev/hmm_dmirrorN, because they are
 * built with headers that do not have the kernel's: both are the same.
 */
#include <stddef.h>
#include "../../test_driver/dmirror_abi.h"
#include "dmirror.h"
#include "test.h"

#define EXPECT_SAME_FIELD(field) \
	do { \
		EXPECT_EQ(offsetof(struct hmm_dmirror_cmd, field), \
			  offsetof(struct xt_dmirror_cmd, field)); \
		EXPECT_EQ(sizeof(((struct hmm_dmirror_cmd *)0)->field), \
			  sizeof(((struct xt_dmirror_cmd *)0)->field)); \
	} while (0)

TEST(struct_is_the_kernels)
{
	EXPECT_EQ(sizeof(struct hmm_dmirror_cmd),
		  sizeof(struct xt_dmirror_cmd));
	EXPECT_SAME_FIELD(addr);
	EXPECT_SAME_FIELD(ptr);
	EXPECT_SAME_FIELD(npages);
	EXPECT_SAME_FIELD(cpages);
	EXPECT_SAME_FIELD(faults);
}

TEST(calls_are_the_kernels)
{
	EXPECT_EQ(HMM_DMIRROR_READ, XT_DMIRROR_READ);
	EXPECT_EQ(HMM_DMIRROR_WRITE, XT_DMIRROR_WRITE);
	EXPECT_EQ(HMM_DMIRROR_MIGRATE_TO_DEV, XT_DMIRROR_MIGRATE_TO_DEV);
	EXPECT_EQ(HMM_DMIRROR_MIGRATE_TO_SYS, XT_DMIRROR_MIGRATE_TO_SYS);
	EXPECT_EQ(HMM_DMIRROR_SNAPSHOT, XT_DMIRROR_SNAPSHOT);
	EXPECT_EQ(HMM_DMIRROR_EXCLUSIVE, XT_DMIRROR_EXCLUSIVE);
	EXPECT_EQ(HMM_DMIRROR_CHECK_EXCLUSIVE, XT_DMIRROR_CHECK_EXCLUSIVE);
	EXPECT_EQ(HMM_DMIRROR_RELEASE, XT_DMIRROR_RELEASE);
	EXPECT_EQ(HMM_DMIRROR_READ_UNLOCKED, XT_DMIRROR_READ_UNLOCKED);
	/* Not in the header of an older kernel */
#ifdef HMM_DMIRROR_FLAGS
	EXPECT_EQ(HMM_DMIRROR_FLAGS, XT_DMIRROR_FLAGS);
	EXPECT_EQ(HMM_DMIRROR_FLAG_FAIL_ALLOC, XT_DMIRROR_FAIL_ALLOC);
#endif
}

TEST(codes_of_a_snapshot_are_the_kernels)
{
	EXPECT_EQ(HMM_DMIRROR_PROT_ERROR, XT_SNAP_ERROR);
	EXPECT_EQ(HMM_DMIRROR_PROT_NONE, XT_SNAP_NONE);
	EXPECT_EQ(HMM_DMIRROR_PROT_READ, XT_SNAP_READ);
	EXPECT_EQ(HMM_DMIRROR_PROT_WRITE, XT_SNAP_WRITE);
	EXPECT_EQ(HMM_DMIRROR_PROT_PMD, XT_SNAP_PMD);
	EXPECT_EQ(HMM_DMIRROR_PROT_PUD, XT_SNAP_PUD);
	EXPECT_EQ(HMM_DMIRROR_PROT_ZERO, XT_SNAP_ZERO);
	EXPECT_EQ(HMM_DMIRROR_PROT_DEV_PRIVATE_LOCAL, XT_SNAP_PRIVATE);
	EXPECT_EQ(HMM_DMIRROR_PROT_DEV_COHERENT_LOCAL, XT_SNAP_COHERENT);
	EXPECT_EQ(HMM_DMIRROR_PROT_DEV_COHERENT_REMOTE,
		  XT_SNAP_COHERENT_REMOTE);
}

TEST_HARNESS_MAIN
