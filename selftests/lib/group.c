// SPDX-License-Identifier: GPL-2.0
/*
 * Memory control groups, see group.h.
 */
#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>

#include "group.h"
#include "memory.h"
#include "pagemap.h"

#define ROOT	"/sys/fs/cgroup"

/* The number behind @field, or the first one without it. */
static long number(const char *path, const char *field)
{
	char line[256];
	size_t len = field ? strlen(field) : 0;
	long n = -ENOENT;
	FILE *f = fopen(path, "re");

	if (!f)
		return -errno;
	while (n < 0 && fgets(line, sizeof(line), f))
		if (!len || (!strncmp(line, field, len) && line[len] == ' '))
			n = atol(line + len);
	fclose(f);
	return n;
}

static long file_number(const struct group *g, const char *file,
			const char *field)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", g->path, file);
	return number(path, field);
}

static int make(struct group *g, const char *parent, const char *name)
{
	g->path[0] = 0;
	if (access(ROOT "/cgroup.subtree_control", W_OK))
		return -ENOENT;
	if (xm_cgroup(g->home, sizeof(g->home)))
		return -ENOENT;
	snprintf(g->path, sizeof(g->path), "%s/xm-%s-%d", parent, name, getpid());
	if (mkdir(g->path, 0755)) {
		g->path[0] = 0;
		return -errno;
	}
	if (group_current(g) < 0) {
		rmdir(g->path);
		g->path[0] = 0;
		return -ENOENT;
	}
	return 0;
}

int group_make(struct group *g, const char *name)
{
	return make(g, ROOT, name);
}

static int put(const char *path, const char *file, const char *text)
{
	char to[320];

	snprintf(to, sizeof(to), "%s/%s", path, file);
	return xm_write_file(to, text);
}

int group_enter(const struct group *g)
{
	return put(g->path, "cgroup.procs", "0");
}

int group_leave(const struct group *g)
{
	return put(g->home, "cgroup.procs", "0");
}

long group_current(const struct group *g)
{
	return file_number(g, "memory.current", NULL);
}

long group_stat(const struct group *g, const char *field)
{
	return file_number(g, "memory.stat", field);
}

long group_event(const struct group *g, const char *field)
{
	return file_number(g, "memory.events", field);
}

int group_limit(const struct group *g, const char *bytes)
{
	return put(g->path, "memory.max", bytes);
}

int group_no_swap(const struct group *g)
{
	int err = put(g->path, "memory.swap.max", "0");

	return err == -ENOENT ? 0 : err;
}

int group_freeze(const struct group *g, bool on)
{
	__u64 start = xm_now_ns();
	int err = put(g->path, "cgroup.freeze", on ? "1" : "0");

	while (!err && file_number(g, "cgroup.events", "frozen") != on) {
		if (xm_expired(start, XM_LONG))
			err = -ETIMEDOUT;
		sched_yield();
	}
	return err;
}

int group_remove(struct group *g)
{
	__u64 start = xm_now_ns();

	/* A process that has just ended may still be in it. */
	while (rmdir(g->path)) {
		if (errno != EBUSY || xm_expired(start, XM_LONG))
			return -errno;
		sched_yield();
	}
	g->path[0] = 0;
	return 0;
}

int group_end(struct group *g)
{
	if (!g->path[0])
		return 0;
	put(g->path, "cgroup.kill", "1");
	return group_remove(g);
}

int group_make_below(struct group *g, const struct group *all, const char *name)
{
	int err = put(all->path, "cgroup.subtree_control", "+memory");

	return err ? err : make(g, all->path, name);
}

long group_left(const struct group *all)
{
	__u64 start = xm_now_ns();
	long left;

	group_no_swap(all);
	do {
		/* Pages in batches of a CPU are charged, too. */
		xm_drain();
		/* Without what each CPU has charged ahead: memory_high_write() */
		put(all->path, "memory.high", "0");
		/* The kernel's own objects may stay, such as names in its caches. */
		left = group_current(all) - group_stat(all, "kernel");
	} while (left && !xm_expired(start, XM_LONG));
	return left;
}
