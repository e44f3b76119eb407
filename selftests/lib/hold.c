// SPDX-License-Identifier: GPL-2.0
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#ifdef __x86_64__
#include <cpuid.h>
#endif

#include "hold.h"

/* --- the functions -------------------------------------------------------- */

#define TRACEFS		"/sys/kernel/tracing"
/* What can be traced, by name; with addresses since Linux 6.5 */
#define NAMES		TRACEFS "/available_filter_functions"
#define FUNCTIONS	NAMES "_addrs"
/* The addresses before that */
#define SYMBOLS		"/proc/kallsyms"

/*
 * Of mm/, from its first files to its last, as the Makefile there has them. None that
 * is cold or never returns: the linker puts these elsewhere.
 */
static const char * const anchors[] = {
	"folio_unlock",
	"filemap_fault", "generic_file_read_iter", "mempool_alloc",
	"mempool_alloc_noprof", "shrink_folio_list", "handle_mm_fault",
	"try_to_unmap", "migrate_pages", "make_device_exclusive",
	"hmm_range_fault", "memremap_pages", "migrate_vma_setup",
	"ksm_might_need_to_copy", "collapse_pte_mapped_thp",
	"madvise_collapse", "memory_failure",
	"mfill_atomic_copy",
	"__x64_sys_memfd_secret", "get_ioremap_prot", "ioremap_page_range",
	"mseal", "folio_mark_accessed", "__mmu_notifier_register",
	"mmu_interval_notifier_insert", "process_vm_rw", "swapin_readahead",
};

static struct hold_function *functions;
static unsigned int nr_functions, room;

/* The name is not copied yet. */
static int add(__u64 address, char *name)
{
	struct hold_function *more;

	if (nr_functions == room) {
		room = room ? 2 * room : 4000;
		more = realloc(functions, room * sizeof(*functions));
		if (!more)
			return -ENOMEM;
		functions = more;
	}
	functions[nr_functions].address = address;
	functions[nr_functions++].name = name;
	return 0;
}

static int by_address(const void *a, const void *b)
{
	const struct hold_function *f = a, *g = b;

	return f->address < g->address ? -1 : f->address > g->address;
}

static int by_name(const void *a, const void *b)
{
	const struct hold_function *f = a, *g = b;
	int order = strcmp(f->name, g->name);

	return order ? order : by_address(a, b);
}

static bool is_anchor(const char *name)
{
	unsigned int i;

	for (i = 0; i < sizeof(anchors) / sizeof(*anchors); i++) {
		if (!strcmp(name, anchors[i]))
			return true;
	}
	return false;
}

/* All of a file without a size, as a string */
static char *read_all(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t size = 0, max = 32 << 20;
	char *text = malloc(max);
	ssize_t n = -1;

	while (fd >= 0 && text && size < max - 1) {
		n = read(fd, text + size, max - 1 - size);
		if (n <= 0)
			break;
		size += n;
	}
	if (fd >= 0)
		close(fd);
	if (n || !text) {
		free(text);
		return NULL;
	}
	text[size] = 0;
	return text;
}

/* The next line's, if it is of the kernel itself, else @name is NULL. */
static char *next_function(char *at, __u64 *address, char **name)
{
	char *end = strchr(at, '\n');

	if (!end)
		return NULL;
	*end = 0;
	*address = strtoull(at, name, 16);
	/* ADDRESS NAME or ADDRESS T NAME, and the name of a module in brackets */
	if (**name == ' ' && (*name)[1] && (*name)[2] == ' ')
		*name += 2;
	*name = **name == ' ' && !strpbrk(++*name, " \t") ? *name : NULL;
	return end + 1;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char * const *)a, *(char * const *)b);
}

/* The lines of a text, in the order of the alphabet: how many, or a negative errno */
static int sort_lines(char *text, char ***lines)
{
	int nr = 0, max = 0;
	char *line, **more;

	*lines = NULL;
	for (line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
		if (nr == max) {
			max = max ? 2 * max : 65536;
			more = realloc(*lines, max * sizeof(*more));
			if (!more)
				return -ENOMEM;
			*lines = more;
		}
		(*lines)[nr++] = line;
	}
	qsort(*lines, nr, sizeof(**lines), compare_names);
	return nr;
}

/* Keeps those of mm/, which is found by the way, and of @names if there are some. */
static int read_functions(char *text, char **names, int nr_names)
{
	__u64 address, low = ~0ULL, high = 0;
	unsigned int i, n = 0;
	char *at = text, *name;
	int err = 0;

	while (!err && (at = next_function(at, &address, &name))) {
		/* Discarded weak functions have a place in the list, too. */
		if (!name || !strncmp(name, "__ftrace_invalid", 16))
			continue;
		if (names && !bsearch(&name, names, nr_names, sizeof(*names),
				      compare_names))
			continue;
		if (is_anchor(name)) {
			low = address < low ? address : low;
			high = address > high ? address : high;
		}
		err = add(address, name);
	}
	for (i = 0; i < nr_functions && !err; i++) {
		if (functions[i].address < low || functions[i].address > high)
			continue;
		functions[n] = functions[i];
		functions[n].name = strdup(functions[i].name);
		err = functions[n++].name ? 0 : -ENOMEM;
	}
	nr_functions = n;
	if (err || !n)
		return err ? err : -ENOENT;
	/* The others were twenty times as many. */
	functions = realloc(functions, n * sizeof(*functions));
	return functions ? 0 : -ENOMEM;
}

static int keep_traceable(void)
{
	char *text, *list, **names = NULL;
	int err = -ENOENT;

	if (access(NAMES, R_OK) && mount("tracefs", TRACEFS, "tracefs", 0, NULL))
		return -ENOENT;
	text = read_all(FUNCTIONS);
	if (text) {
		err = read_functions(text, NULL, 0);
		free(text);
		return err;
	}
	text = read_all(SYMBOLS);
	list = read_all(NAMES);
	if (text && list)
		err = sort_lines(list, &names);
	if (err > 0)
		err = read_functions(text, names, err);
	free(names);
	free(list);
	free(text);
	return err;
}

/* Which of them is at an address, or a few bytes before it? -1 if none. */
static int find_at(__u64 ip)
{
	unsigned int low = 0, high = nr_functions, mid;

	while (low < high) {
		mid = (low + high) / 2;
		if (functions[mid].address <= ip)
			low = mid + 1;
		else
			high = mid;
	}
	return low && ip - functions[low - 1].address < 16 ? (int)low - 1 : -1;
}

/* They are in the order of their names. */
static int tell_apart(void)
{
	unsigned int i, same = 1;
	char *name;

	for (i = nr_functions; i-- > 1; ) {
		same = 1;
		while (i >= same && !strcmp(functions[i - same].name,
					    functions[i].name))
			same++;
		if (same == 1)
			continue;
		if (asprintf(&name, "%s~%u", functions[i].name, same) < 0)
			return -ENOMEM;
		free(functions[i].name);
		functions[i].name = name;
	}
	return 0;
}

int hold_load(void)
{
	int err;

	if (functions)
		return 0;
	err = keep_traceable();
	qsort(functions, nr_functions, sizeof(*functions), by_name);
	if (!err)
		err = tell_apart();
	qsort(functions, nr_functions, sizeof(*functions), by_address);
	return err;
}

const struct hold_function *hold_functions(unsigned int *nr)
{
	*nr = nr_functions;
	return functions;
}

const struct hold_function *hold_at(__u64 ip)
{
	int i = find_at(ip);

	return i < 0 ? NULL : &functions[i];
}

const struct hold_function *hold_named(const char *name)
{
	unsigned int i;

	for (i = 0; i < nr_functions; i++) {
		if (!strcmp(functions[i].name, name))
			return &functions[i];
	}
	return NULL;
}

/* --- the calls ------------------------------------------------------------ */

static bool is_qemu(void)
{
#ifdef __x86_64__
	unsigned int max, who[4] = {};

	__cpuid(0x40000000, max, who[0], who[1], who[2]);
	return !strcmp((char *)who, "TCGTCGTCGTCG");
#else
	return false;
#endif
}

/* Off: those that are on, by a bit each. On: these again. */
static void other_cpus(__u64 *cpus, bool on)
{
	cpu_set_t set;
	char path[64];
	int i;

	if (!is_qemu() || sched_getaffinity(0, sizeof(set), &set))
		return;
	for (i = 1; i < 64; i++) {
		snprintf(path, sizeof(path),
			 "/sys/devices/system/cpu/cpu%d/online", i);
		if (on && *cpus & 1ULL << i)
			xm_write_file(path, "1");
		else if (!on && CPU_ISSET(i, &set) && !xm_write_file(path, "0"))
			*cpus |= 1ULL << i;
	}
}

int hold_attach(int fd, const __u64 *f, unsigned int nr, unsigned int *taken)
{
	struct xmirror_hold h = {
		.size = sizeof(h), .cmd = XMIRROR_HOLD_FUNCTIONS,
		.array = (uintptr_t)f, .nr = nr,
	};
	__u64 cpus = 0;
	int err;

	other_cpus(&cpus, false);
	err = xm_ioctl(fd, XMIRROR_IOC_HOLD, &h);
	other_cpus(&cpus, true);
	if (taken)
		*taken = h.nr;
	return err;
}

int hold_record(int fd, unsigned int slot, pid_t tid, unsigned int nr)
{
	struct xmirror_hold h = {
		.size = sizeof(h), .cmd = XMIRROR_HOLD_RECORD,
		.slot = slot, .tid = tid, .nr = nr,
	};

	return xm_ioctl(fd, XMIRROR_IOC_HOLD, &h);
}

int hold_calls(int fd, unsigned int slot, struct xmirror_call *calls,
	       unsigned int nr)
{
	struct xmirror_hold h = {
		.size = sizeof(h), .cmd = XMIRROR_HOLD_CALLS,
		.slot = slot, .array = (uintptr_t)calls, .nr = nr,
	};
	int err = xm_ioctl(fd, XMIRROR_IOC_HOLD, &h);

	return err ? err : (int)h.nr;
}

int hold_arm(int fd, unsigned int slot, pid_t tid, __u64 function, __u32 hit,
	     __u32 flags)
{
	struct xmirror_hold h = {
		.size = sizeof(h), .cmd = XMIRROR_HOLD_ARM,
		.slot = slot, .flags = flags,
		.tid = tid, .function = function, .hit = hit,
		.sleep_ms = HOLD_SLEEP_MS, .spin_ms = HOLD_SPIN_MS,
	};

	return xm_ioctl(fd, XMIRROR_IOC_HOLD, &h);
}

int hold_reached(int fd, unsigned int slot, __u32 timeout_ms, __u32 *state)
{
	struct xmirror_hold h = {
		.size = sizeof(h), .cmd = XMIRROR_HOLD_REACHED,
		.slot = slot, .timeout_ms = timeout_ms,
	};
	int err = xm_ioctl(fd, XMIRROR_IOC_HOLD, &h);

	if (state)
		*state = h.state;
	return err;
}

unsigned int hold_recorded(int fd, unsigned int slot)
{
	struct xmirror_hold h = {
		.size = sizeof(h), .cmd = XMIRROR_HOLD_REACHED,
		.slot = slot,
	};

	xm_ioctl(fd, XMIRROR_IOC_HOLD, &h);
	return h.nr;
}

__u32 hold_state(int fd, unsigned int slot)
{
	__u32 state = 0;

	hold_reached(fd, slot, 0, &state);
	return state;
}

int hold_release(int fd, unsigned int slot, struct xmirror_hold *how)
{
	struct xmirror_hold h = {
		.size = sizeof(h), .cmd = XMIRROR_HOLD_RELEASE,
		.slot = slot,
	};
	int err = xm_ioctl(fd, XMIRROR_IOC_HOLD, &h);

	if (how)
		*how = h;
	return err;
}
