// SPDX-License-Identifier: GPL-2.0
/* Taking the modules out and bringing them back. */
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/syscall.h>

#include "xm.h"
#include "module.h"

#define MODULES	"/lib/modules/"

int module_unload(const char *name)
{
	return syscall(SYS_delete_module, name, O_NONBLOCK) ? -errno : 0;
}

int module_unload_soon(const char *name)
{
	__u64 start = xm_now_ns();
	int err;

	/* The kernel may drop the last reference to a file in a work queue. */
	while ((err = module_unload(name)) == -EAGAIN &&
	       !xm_expired(start, XM_LONG))
		sched_yield();
	return err;
}

int module_load(const char *name, const char *params)
{
	char path[64];
	int fd, err;

	snprintf(path, sizeof(path), MODULES "%s.ko", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	err = syscall(SYS_finit_module, fd, params, 0) ? -errno : 0;
	close(fd);
	return err;
}

bool module_loaded(const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/module/%s/holders", name);
	return !access(path, F_OK);
}

/* The present parameters, in the form for loading the module */
static void save_params(const char *name, char *to, size_t room)
{
	char path[320], value[128];
	struct dirent *entry;
	size_t used = 0;
	DIR *dir;
	int n;

	*to = 0;
	snprintf(path, sizeof(path), "/sys/module/%s/parameters", name);
	dir = opendir(path);
	while (dir && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/sys/module/%s/parameters/%s",
			 name, entry->d_name);
		if (xm_read_line(path, value, sizeof(value)) || !value[0] ||
		    !strcmp(value, "(null)"))
			continue;
		n = snprintf(to + used, room - used, "%s=%s ", entry->d_name,
			     value);
		if (n < 0 || (size_t)n >= room - used)
			break;
		used += n;
	}
	if (dir)
		closedir(dir);
}

bool modules_at_hand(void)
{
	return module_loaded("xmirror_test") &&
	       !access(MODULES "xmirror.ko", R_OK) &&
	       !access(MODULES "xmirror_test.ko", R_OK);
}

int modules_out(struct modules *was)
{
	int err;

	save_params("xmirror", was->params, sizeof(was->params));
	save_params("xmirror_test", was->test_params, sizeof(was->test_params));
	err = module_unload_soon("xmirror_test");
	if (err)
		return err;
	was->out = true;
	return module_unload("xmirror");
}

int modules_with(struct modules *was, const char *test_params)
{
	int err = modules_out(was);

	if (!err)
		err = module_load("xmirror", was->params);
	if (!err)
		err = module_load("xmirror_test", test_params);
	if (err)
		modules_back(was);
	return err;
}

int modules_back(const struct modules *was)
{
	int err = 0, fd;

	if (!was->out)
		return 0;
	module_unload_soon("xmirror_test");
	if (!module_loaded("xmirror"))
		err = module_load("xmirror", was->params);
	if (!err)
		err = module_load("xmirror_test", was->test_params);
	if (err)
		return err;
	fd = xm_open(0);
	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}
