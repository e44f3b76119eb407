// SPDX-License-Identifier: GPL-2.0
/*
 * A block of memory goes offline while the device has its pages exclusively: offlining
 * moves them elsewhere, and nothing is lost.
 *
 * The block is one that can be taken offline, and comes back in ZONE_MOVABLE, where the
 * kernel looks first for the pages of a process. After the test it is as it was.
 */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>

#include "moving.h"

#define MEMORY	"/sys/devices/system/memory"
#define PAGES	16
#define LEN	(PAGES * XM_PAGE)
/* Entries of /proc/kpageflags that are read at once */
#define CHUNK	1024UL

/* Pages of a block, 0 without CONFIG_MEMORY_HOTPLUG */
static __u64 block_pages(void)
{
	char text[32];

	xm_read_line(MEMORY "/block_size_bytes", text, sizeof(text));
	return strtoull(text, NULL, 16) / XM_PAGE;
}

static int set_state(int block, const char *state)
{
	char path[64];

	snprintf(path, sizeof(path), MEMORY "/memory%d/state", block);
	return xm_write_file(path, state);
}

static bool is_state(int block, const char *state)
{
	char path[64], text[32];

	snprintf(path, sizeof(path), MEMORY "/memory%d/state", block);
	xm_read_line(path, text, sizeof(text));
	return !strcmp(text, state);
}

/*
 * Offlining tries until it is done or a signal comes. 0, -EBUSY where the block has
 * pages that do not move, -ETIMEDOUT after XM_LONG.
 */
static int take_offline(int block)
{
	struct timespec limit = { .tv_sec = XM_LONG / 1000 };
	int status, late;
	sigset_t ended;
	pid_t pid;

	sigemptyset(&ended);
	sigaddset(&ended, SIGCHLD);
	sigprocmask(SIG_BLOCK, &ended, NULL);
	pid = fork();
	if (pid < 0)
		return -errno;
	if (!pid)
		_exit(-set_state(block, "offline"));
	late = sigtimedwait(&ended, NULL, &limit) < 0;
	if (late)
		kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	if (late)
		return -ETIMEDOUT;
	return WIFEXITED(status) ? -WEXITSTATUS(status) : -EINTR;
}

/*
 * Are all pages of a block free, or on a list of reclaim? The kernel dumps a page that
 * does not move to its log.
 */
static bool is_movable(int block)
{
	const __u64 kinds = XM_KPF_LRU | XM_KPF_BUDDY;
	__u64 flags[CHUNK], n, pos = block * block_pages(), left = block_pages();
	int fd = open("/proc/kpageflags", O_RDONLY | O_CLOEXEC);
	ssize_t got;

	while (fd >= 0 && left) {
		n = left < CHUNK ? left : CHUNK;
		got = pread(fd, flags, n * 8, pos * 8);
		if (got != (ssize_t)n * 8)
			break;
		for (; n && flags[n - 1] & kinds; n--)
			continue;
		if (n)
			break;
		pos += got / 8;
		left -= got / 8;
	}
	if (fd >= 0)
		close(fd);
	return !left;
}

/* The last block that can be taken offline, in ZONE_MOVABLE, or -1 */
static int find_block(void)
{
	int block, last = -1, number;
	struct dirent *d;
	DIR *dir = opendir(MEMORY);

	if (!dir)
		return -1;
	while ((d = readdir(dir))) {
		if (sscanf(d->d_name, "memory%d", &number) == 1 && number > last)
			last = number;
	}
	closedir(dir);
	for (block = last; block > 0; block--) {
		if (!is_state(block, "online") || !is_movable(block) ||
		    take_offline(block))
			continue;
		if (!set_state(block, "online_movable"))
			return block;
		set_state(block, "online");
	}
	return -1;
}

FIXTURE(offline) {
	int fd;
	int block;
	__u64 *p;
};

FIXTURE_SETUP(offline)
{
	self->fd = -1;
	self->block = -1;
	NEED_EXCLUSIVE_MOVES();
	if (!block_pages())
		XM_SKIP(return, "no CONFIG_MEMORY_HOTPLUG");
	OPEN(self->fd, 0);
	self->block = find_block();
	if (self->block < 0)
		XM_SKIP(return, "no block of memory can be taken offline");
	self->p = xm_anon(LEN);
	ASSERT_NE(NULL, self->p);
	/* take_offline() forks, which would end what is exclusive. */
	ASSERT_EQ(0, madvise(self->p, LEN, MADV_DONTFORK));
}

FIXTURE_TEARDOWN(offline)
{
	if (self->block >= 0) {
		/* ZONE_MOVABLE keeps it otherwise. */
		if (!is_state(self->block, "offline"))
			take_offline(self->block);
		set_state(self->block, "online");
	}
	if (self->fd >= 0)
		close(self->fd);
}

static size_t in_block(const __u64 *p, int block)
{
	size_t i, n = 0;

	for (i = 0; i < PAGES; i++)
		n += xm_pfn(&p[i * XM_WORDS]) / block_pages() == (__u64)block;
	return n;
}

/* Have the pages of the test in the block, whichever node that is on. */
static size_t fill_from(__u64 *p, int block)
{
	for (int cpu = 0; (cpu = xm_pin_from(cpu)) >= 0; cpu++) {
		madvise(p, LEN, MADV_DONTNEED);
		xm_fill_pages(p, PAGES);
		if (in_block(p, block) == PAGES)
			break;
	}
	return in_block(p, block);
}

/* covers: B.offline */
TEST_F(offline, exclusive_pages_move)
{
	size_t i;

	ASSERT_EQ(PAGES, fill_from(self->p, self->block));
	ASSERT_EQ(0, xm_exclusive(self->fd, self->p, LEN, NULL));
	for (i = 0; i < PAGES; i++) {
		ASSERT_EQ(0, xm_add(self->fd, &self->p[i * XM_WORDS], 1));
	}
	ASSERT_EQ(PAGES, xm_count_exclusive(self->p, LEN));
	ASSERT_EQ(0, take_offline(self->block));
	EXPECT_EQ(0, in_block(self->p, self->block));
	EXPECT_EQ(0, xm_count_exclusive(self->p, LEN));
	for (i = 0; i < PAGES; i++) {
		EXPECT_LEAF(self->fd, &self->p[i * XM_WORDS], LEAF_NONE);
		EXPECT_EQ(0, xm_add(self->fd, &self->p[i * XM_WORDS], 1));
		EXPECT_EQ(xm_page_value(i) + 2, XM_LOAD(&self->p[i * XM_WORDS]));
	}
	EXPECT_CLEAN(self->fd);
}

/* covers: B.offline */
TEST_F(offline, device_counts_go_on)
{
	__u64 fence;

	ASSERT_EQ(PAGES, fill_from(self->p, self->block));
	DEVICE_COUNTS(self->fd, self->p, PAGES, &fence);
	EXPECT_EQ(0, take_offline(self->block));
	EXPECT_EQ(0, in_block(self->p, self->block));
	EXPECT_COUNTED(self->fd, self->p, PAGES, fence);
	EXPECT_CLEAN(self->fd);
}

TEST_HARNESS_MAIN
