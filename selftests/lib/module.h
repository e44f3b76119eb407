/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Unloading the modules and loading them again, for tests of that, and for tests
 * that need a device with other parameters.
 */
#ifndef LIBMODULE_H
#define LIBMODULE_H

#include <stdbool.h>

#define MODULES_WHY \
	"no loaded modules with xmirror.ko and xmirror_test.ko in /lib/modules"

/* Negative errnos */
int module_load(const char *name, const char *params);
int module_unload(const char *name);
/** module_unload_soon: also if the kernel has not closed the last file yet. */
int module_unload_soon(const char *name);
bool module_loaded(const char *name);

/**
 * struct modules - how the modules were loaded
 * @params: of xmirror
 * @test_params: of xmirror_test
 * @out: modules_out() has begun to take them out
 */
struct modules {
	char params[512];
	char test_params[512];
	bool out;
};

/** modules_at_hand: they are loaded and can be loaded again. */
bool modules_at_hand(void);
/** modules_out: take both out. */
int modules_out(struct modules *was);
/**
 * modules_with: load them with other parameters of xmirror_test. If that fails they are
 * as they were: the teardown of a fixture does not run after its setup has failed.
 */
int modules_with(struct modules *was, const char *test_params);
/** modules_back: load them as they were, whatever is loaded now. */
int modules_back(const struct modules *was);

#endif
