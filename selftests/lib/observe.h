/* SPDX-License-Identifier: GPL-2.0 */
/* Mirrors as debugfs has them, each by its id. */
#ifndef XM_OBSERVE_H
#define XM_OBSERVE_H

#include <stddef.h>

#define XM_DEBUGFS	"/sys/kernel/debug/xmirror"

/** xm_newest_mirror: the largest id: that of the mirror made last, 0 if there is none */
unsigned long long xm_newest_mirror(void);
/** xm_stats_path: the file of its counters */
void xm_stats_path(char *path, size_t room, unsigned long long id);
/** xm_mirror_counter: a counter by its name, ~0 if there is none */
unsigned long long xm_mirror_counter(unsigned long long id, const char *name);

#endif /* XM_OBSERVE_H */
