// SPDX-License-Identifier: GPL-2.0
/*
 * Fault injection, see fail_nth.h.
 */
#include <fcntl.h>

#include "fail_nth.h"
#include "settings.h"
#include "xm.h"

static const char * const knobs[][2] = {
	{ "failslab/probability", "0" },
	{ "failslab/verbose", "0" },
	{ "failslab/task-filter", "N" },
	{ "failslab/ignore-gfp-wait", "N" },
	{ "fail_page_alloc/probability", "0" },
	{ "fail_page_alloc/verbose", "0" },
	{ "fail_page_alloc/task-filter", "N" },
	{ "fail_page_alloc/ignore-gfp-wait", "N" },
	{ "fail_page_alloc/ignore-gfp-highmem", "N" },
	{ "fail_page_alloc/min-order", "0" },
};

/* xm_setting() of a file in the debugfs, "failslab/probability" */
static int fail_setting(const char *name, const char *value)
{
	char path[96];

	snprintf(path, sizeof(path), "/sys/kernel/debug/%s", name);
	return xm_setting(path, value);
}

int fail_nth_open(void)
{
	int fd = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC), err;
	size_t i;

	if (fd < 0)
		return -errno;
	for (i = 0; i < sizeof(knobs) / sizeof(*knobs); i++) {
		err = fail_setting(knobs[i][0], knobs[i][1]);
		if (err) {
			close(fd);
			return err;
		}
	}
	return fd;
}

int fail_nth_arm(int nth, unsigned int n)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%u", n);

	return pwrite(nth, text, len, 0) == len ? 0 : -EIO;
}

int fail_nth_end(int nth)
{
	char left[16] = "";
	ssize_t n = pread(nth, left, sizeof(left) - 1, 0);

	if (pwrite(nth, "0", 1, 0) != 1 || n <= 0)
		return -EIO;
	/* The rest of the count, 0 if it was reached */
	return !atoi(left);
}
