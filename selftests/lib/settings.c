// SPDX-License-Identifier: GPL-2.0
/*
 * Settings that are restored, see settings.h. The old values are kept in memory
 * that the program shares with its tests, which are its children.
 */
#include <pthread.h>

#include "settings.h"
#include "xm.h"

#define MAX_SAVED	64

struct saved {
	char path[128];
	char value[96];
};

static struct stack {
	unsigned int n;
	unsigned int of_program;
	struct saved saved[MAX_SAVED];
} *stack;

static pid_t owner;

static void restore_after_test(void)
{
	if (getpid() == owner)
		xm_settings_restore();
}

__attribute__((constructor))
static void settings_init(void)
{
	stack = mmap(NULL, sizeof(*stack), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (stack == MAP_FAILED)
		abort();
	owner = getpid();
	pthread_atfork(restore_after_test, NULL, NULL);
}

__attribute__((destructor))
static void settings_exit(void)
{
	if (getpid() != owner)
		return;
	stack->of_program = 0;
	xm_settings_restore();
}

int xm_read_setting(const char *path, char *value, size_t room)
{
	int err = xm_read_line(path, value, room);
	char *from = strchr(value, '['), *to = from ? strchr(from, ']') : NULL;

	if (to) {
		*to = 0;
		memmove(value, from + 1, to - from);
	}
	return err;
}

int xm_setting(const char *path, const char *value)
{
	struct saved *s = &stack->saved[stack->n];
	int err;

	if (stack->n == MAX_SAVED || strlen(path) >= sizeof(s->path))
		return -ENOSPC;
	err = xm_read_setting(path, s->value, sizeof(s->value));
	if (err)
		return err;
	memcpy(s->path, path, strlen(path) + 1);
	stack->n++;
	if (getpid() == owner)
		stack->of_program = stack->n;
	return xm_write_file(path, value);
}

void xm_settings_restore(void)
{
	struct saved *s;

	while (stack->n > stack->of_program) {
		s = &stack->saved[--stack->n];
		xm_write_file(s->path, s->value);
	}
}
