/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Memory control groups of the test's own. Functions return 0 or a negative errno.
 */
#ifndef XM_LIBGROUP_H
#define XM_LIBGROUP_H

#include "xm.h"

/**
 * struct group - a control group
 * @path: its directory, empty when it has been removed
 * @home: the directory of the group that the process was in
 */
struct group {
	char path[96];
	char home[300];
};

/** group_make: -ENOENT without cgroup2, or without its memory controller. */
int group_make(struct group *g, const char *name);
/** group_make_below: the same in @all, which has no process of its own. */
int group_make_below(struct group *g, const struct group *all, const char *name);
/** group_enter: the calling process from now on. */
int group_enter(const struct group *g);
/** group_leave: the calling process, to the group in which it has made this one. */
int group_leave(const struct group *g);
/** group_current: memory.current in bytes. */
long group_current(const struct group *g);
/** group_stat: a field of memory.stat in bytes, -ENOENT. */
long group_stat(const struct group *g, const char *field);
/** group_event: a number of memory.events, -ENOENT. */
long group_event(const struct group *g, const char *field);
/** group_limit: memory.max, such as "32M" or "max". */
int group_limit(const struct group *g, const char *bytes);
/** group_no_swap: what is in it is not swapped out, if the kernel swaps at all. */
int group_no_swap(const struct group *g);
/** group_freeze: who is in it stands still, or goes on, when this returns. */
int group_freeze(const struct group *g, bool on);
/** group_remove: the directory; nobody is in it. */
int group_remove(struct group *g);
/** group_end: at the end of a test: kill who is in it, and remove it if it is there. */
int group_end(struct group *g);
/**
 * group_left: wait until no page of a process is charged to @all and the groups that were
 * below it: the bytes that are, or 0. What a removed group is charged for goes to its
 * parent since Linux 7.
 */
long group_left(const struct group *all);

#endif
