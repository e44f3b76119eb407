/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The ioctls of /dev/hmm_dmirrorN: the kernel's own header. It is in no package of
 * headers, so it comes from the source tree that has the harness, see
 * selftests/Makefile.
 */
#ifndef XM_DMIRROR_H
#define XM_DMIRROR_H

#if !__has_include(<lib/test_hmm_uapi.h>)
#error "KSELFTEST is not in a kernel source tree with lib/test_hmm_uapi.h: say KSOURCE=tree"
#endif
#include <lib/test_hmm_uapi.h>

/* Linux 7.3 has it; programs may be built with the header of an older one. */
#ifndef HMM_DMIRROR_READ_UNLOCKED
#define HMM_DMIRROR_READ_UNLOCKED _IOWR('H', 9, struct hmm_dmirror_cmd)
#endif

#endif
