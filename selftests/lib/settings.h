/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Settings of the machine that a test changes, such as files in /sys. The old value
 * is restored after the test however it ends, also by abort() or SIGKILL: the
 * process that starts the tests restores it before it starts the next one, and when
 * it ends.
 */
#ifndef XM_SETTINGS_H
#define XM_SETTINGS_H

#include <stddef.h>

/**
 * xm_setting: write @value to the file @path. The old value is restored after the
 * test, or when the program ends if no test has called this. 0 or a negative errno.
 */
int xm_setting(const char *path, const char *value);
/**
 * xm_read_setting: what it is now; of a choice, "always [madvise] never", the value in
 * brackets. 0 or a negative errno.
 */
int xm_read_setting(const char *path, char *value, size_t room);
/** xm_settings_restore: restore the test's settings now, the last change first. */
void xm_settings_restore(void);

#endif /* XM_SETTINGS_H */
