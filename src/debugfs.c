// SPDX-License-Identifier: GPL-2.0
/*
 * Counters by name: /sys/kernel/debug/xmirror/ID/stats, a line "NAME VALUE" for
 * each of enum xm_stat. ID is what trace events call the mirror.
 *
 * debugfs_remove() waits for readers, so it comes before the mirror is freed; later
 * reads of an open file get -EIO.
 */

#include <linux/debugfs.h>
#include <linux/seq_file.h>
#include "mirror.h"

static struct dentry *xm_debugfs_root;

static int xm_stats_show(struct seq_file *s, void *unused)
{
	struct xmirror *m = s->private;
	unsigned int i;

	for (i = 0; i < XM_NR_STATS; i++)
		seq_printf(s, "%s %llu\n", xmirror_stat_name(i),
			   xmirror_stat(m, i));
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(xm_stats);

/* It is for people: a mirror works without. */
void xm_debugfs_add(struct xmirror *m)
{
	char name[24];

	snprintf(name, sizeof(name), "%llu", m->id);
	m->debugfs = debugfs_create_dir(name, xm_debugfs_root);
	debugfs_create_file("stats", 0400, m->debugfs, m, &xm_stats_fops);
}

void xm_debugfs_remove(struct xmirror *m)
{
	debugfs_remove(m->debugfs);
}

void xm_debugfs_init(void)
{
	xm_debugfs_root = debugfs_create_dir("xmirror", NULL);
}

void xm_debugfs_exit(void)
{
	debugfs_remove(xm_debugfs_root);
}
