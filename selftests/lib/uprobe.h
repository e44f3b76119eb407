/* SPDX-License-Identifier: GPL-2.0 */
/* Code in a file, and a uprobe at its first byte. */
#ifndef XM_UPROBE_H
#define XM_UPROBE_H

/* What the code of XM_PROBED begins with, and what it begins with when probed */
#ifdef __aarch64__
#define XM_PROBED	{ 0x1f, 0x20, 0x03, 0xd5, 0xc0, 0x03, 0x5f, 0xd6 }
#define XM_BREAKPOINT	0xa0
#else
#define XM_PROBED	{ 0x90, 0xc3 }
#define XM_BREAKPOINT	0xcc
#endif

/**
 * xm_probed_file: a file of one page at @path that begins with XM_PROBED, a function
 * that does nothing, or a negative errno.
 */
int xm_probed_file(const char *path);
/**
 * xm_uprobe: a breakpoint at the first byte of @path in all mappings of the file that
 * are not writable; returns a file to close. The uprobe is one of the inode, and @path
 * is unlinked. -ENOENT without CONFIG_UPROBE_EVENTS.
 */
int xm_uprobe(const char *path);

#endif /* XM_UPROBE_H */
