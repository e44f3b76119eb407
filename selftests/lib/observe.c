// SPDX-License-Identifier: GPL-2.0
/* Mirrors as debugfs has them, see observe.h. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "observe.h"

unsigned long long xm_newest_mirror(void)
{
	unsigned long long id, max = 0;
	struct dirent *entry;
	DIR *dir = opendir(XM_DEBUGFS);

	while (dir && (entry = readdir(dir))) {
		id = strtoull(entry->d_name, NULL, 10);
		max = id > max ? id : max;
	}
	if (dir)
		closedir(dir);
	return max;
}

void xm_stats_path(char *path, size_t room, unsigned long long id)
{
	snprintf(path, room, XM_DEBUGFS "/%llu/stats", id);
}

unsigned long long xm_mirror_counter(unsigned long long id, const char *name)
{
	unsigned long long value, n = ~0ULL;
	char path[64], key[64];
	FILE *f;

	xm_stats_path(path, sizeof(path), id);
	f = fopen(path, "re");
	while (f && fscanf(f, "%63s %llu", key, &value) == 2)
		if (!strcmp(key, name))
			n = value;
	if (f)
		fclose(f);
	return n;
}
