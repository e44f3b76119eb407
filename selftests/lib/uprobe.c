// SPDX-License-Identifier: GPL-2.0
/* uprobes, see uprobe.h. */
#include <fcntl.h>
#include <linux/perf_event.h>
#include <sys/syscall.h>

#include "uprobe.h"
#include "xm.h"

int xm_probed_file(const char *path)
{
	int file = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0700);
	__u8 code[XM_PAGE] = XM_PROBED;
	int err;

	if (file < 0)
		return -errno;
	if (write(file, code, XM_PAGE) == (ssize_t)XM_PAGE)
		return file;
	err = errno ? -errno : -EIO;
	close(file);
	return err;
}

static int probe(const char *path)
{
	struct perf_event_attr attr = { .size = sizeof(attr) };
	char text[16];
	int err, fd;

	err = xm_read_line("/sys/bus/event_source/devices/uprobe/type", text,
			   sizeof(text));
	if (err || !*text)
		return err ? err : -EIO;
	attr.type = atoi(text);
	attr.config1 = (uintptr_t)path;
	fd = syscall(SYS_perf_event_open, &attr, -1, 0, -1,
		     PERF_FLAG_FD_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int xm_uprobe(const char *path)
{
	int fd = probe(path);

	unlink(path);
	return fd;
}
