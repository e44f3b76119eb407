// SPDX-License-Identifier: GPL-2.0
/*
 * Helpers for programs that use /dev/xmirrorN, see xm.h.
 */
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/utsname.h>
#include <time.h>

#include "xm.h"

__attribute__((constructor))
static void check_page_size(void)
{
	long page = sysconf(_SC_PAGESIZE);

	if (page == (long)XM_PAGE)
		return;
	printf("Bail out! built for pages of %lu bytes, not %ld: make PAGE_SIZE=%ld\n",
	       XM_PAGE, page, page);
	fflush(stdout);
	_exit(1);
}

int xm_open(unsigned int n)
{
	char path[32];
	int fd;

	snprintf(path, sizeof(path), "/dev/xmirror%u", n);
	fd = open(path, O_RDWR | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int xm_ioctl(int fd, unsigned long nr, void *arg)
{
	return ioctl(fd, nr, arg) < 0 ? -errno : 0;
}

int xm_info(int fd, struct xmirror_info *info)
{
	memset(info, 0, sizeof(*info));
	info->size = sizeof(*info);
	return xm_ioctl(fd, XMIRROR_IOC_INFO, info);
}

const struct xmirror_info *xm_facts(void)
{
	static struct xmirror_info facts;
	struct xmirror_info info;
	int fd;

	if (facts.size)
		return &facts;
	fd = xm_open(0);
	if (fd < 0)
		return NULL;
	if (!xm_info(fd, &info))
		facts = info;
	close(fd);
	return facts.size ? &facts : NULL;
}

__u64 xm_caps(void)
{
	const struct xmirror_info *facts = xm_facts();

	return facts ? facts->caps : 0;
}

__u64 xm_events(const struct xmirror_stats *s)
{
	__u64 sum = 0;
	int i;

	for (i = 0; i < XMIRROR_NR_EVENTS; i++)
		sum += s->inv[i];
	return sum;
}

const char *xm_why_not(__u64 caps)
{
	static char why[sizeof(((struct xmirror_info *)0)->why)];
	const struct xmirror_info *facts = xm_facts();
	const char *line;
	size_t n, len = 0;
	__u64 bit, lacks;

	if (!facts)
		return "/dev/xmirror0 cannot be asked";
	line = facts->why;
	for (lacks = facts->lacks; lacks && *line; lacks &= ~bit) {
		bit = lacks & -lacks;
		n = strcspn(line, "\n");
		if (bit & caps) {
			if (len)
				why[len++] = ';';
			memcpy(why + len, line, n);
			len += n;
		}
		line += n + (line[n] == '\n');
	}
	why[len] = 0;
	return why;
}

const char *xm_why(void)
{
	return xm_why_not(~0ULL);
}

int xm_set(int fd, __u32 param, __u64 value, __u64 *old)
{
	struct xmirror_set set = {
		.size = sizeof(set),
		.param = param,
		.value = value,
	};
	int err = xm_ioctl(fd, XMIRROR_IOC_SET, &set);

	if (old)
		*old = set.value;
	return err;
}

static int xm_range(int fd, unsigned long nr, const void *addr, size_t len,
		    __u32 flags, __u64 *done)
{
	struct xmirror_range r = {
		.size = sizeof(r),
		.flags = flags,
		.addr = (uintptr_t)addr,
		.length = len,
	};
	int err = xm_ioctl(fd, nr, &r);

	if (done)
		*done = r.done;
	return err;
}

int xm_fault(int fd, const void *addr, size_t len, __u32 flags, __u64 *done)
{
	return xm_range(fd, XMIRROR_IOC_FAULT, addr, len, flags, done);
}

int xm_exclusive(int fd, const void *addr, size_t len, __u64 *done)
{
	return xm_range(fd, XMIRROR_IOC_EXCLUSIVE, addr, len, 0, done);
}

int xm_release(int fd, const void *addr, size_t len, __u64 *done)
{
	return xm_range(fd, XMIRROR_IOC_RELEASE, addr, len, 0, done);
}

int xm_migrate(int fd, const void *addr, size_t len, __u32 flags, __u32 peer,
	       __u64 *moved)
{
	struct xmirror_migrate m = {
		.size = sizeof(m),
		.flags = flags,
		.addr = (uintptr_t)addr,
		.length = len,
		.peer = peer,
	};
	int err = xm_ioctl(fd, XMIRROR_IOC_MIGRATE, &m);

	if (moved)
		*moved = m.moved;
	return err;
}

int xm_prefer(int fd, const void *addr, size_t len, __u32 where)
{
	struct xmirror_prefer p = {
		.size = sizeof(p),
		.addr = (uintptr_t)addr,
		.length = len,
		.where = where,
		.node = where == XMIRROR_PREFER_SYSTEM ? -1 : 0,
	};

	return xm_ioctl(fd, XMIRROR_IOC_PREFER, &p);
}

int xm_rw(int fd, const void *addr, void *buf, size_t len, __u32 flags,
	  __u64 *done)
{
	struct xmirror_rw rw = {
		.size = sizeof(rw),
		.flags = flags,
		.addr = (uintptr_t)addr,
		.length = len,
		.buf = (uintptr_t)buf,
	};
	int err = xm_ioctl(fd, XMIRROR_IOC_RW, &rw);

	if (done)
		*done = rw.done;
	return err;
}

int xm_read(int fd, const void *addr, void *buf, size_t len)
{
	return xm_rw(fd, addr, buf, len, 0, NULL);
}

int xm_write(int fd, void *addr, const void *buf, size_t len)
{
	return xm_rw(fd, addr, (void *)buf, len, XMIRROR_RW_WRITE, NULL);
}

struct xmirror_cmd xm_cmd(enum xmirror_op op, unsigned int width,
			  const volatile void *addr, __u64 operand)
{
	return xm_cmds(op, width, addr, 0, 1, operand);
}

struct xmirror_cmd xm_cmds(enum xmirror_op op, unsigned int width,
			   const volatile void *addr, __s64 stride,
			   __u32 count, __u64 operand)
{
	struct xmirror_cmd cmd = {
		.op = op,
		.width = width,
		.count = count,
		.addr = (uintptr_t)addr,
		.stride = stride,
		.operand = operand,
	};

	return cmd;
}

int xm_submit(int fd, unsigned int engine, const struct xmirror_cmd *cmds,
	      unsigned int n, __u64 repeat, __u64 *fence)
{
	struct xmirror_submit submit = {
		.size = sizeof(submit),
		.engine = engine,
		.nr_cmds = n,
		.cmds = (uintptr_t)cmds,
		.repeat = repeat,
	};
	int err = xm_ioctl(fd, XMIRROR_IOC_SUBMIT, &submit);

	if (fence)
		*fence = submit.fence;
	return err;
}

static int wait_flags(int fd, __u64 fence, __u32 flags, __u32 timeout_ms,
		      __u64 *results, __u32 nr, struct xmirror_wait *w)
{
	struct xmirror_wait own = {};
	int err;

	if (!w)
		w = &own;
	memset(w, 0, sizeof(*w));
	w->size = sizeof(*w);
	w->flags = flags;
	w->fence = fence;
	w->timeout_ms = timeout_ms;
	w->results = (uintptr_t)results;
	w->nr_results = nr;
	err = xm_ioctl(fd, XMIRROR_IOC_WAIT, w);
	if (!err && w == &own)
		err = own.status;
	return err;
}

int xm_wait(int fd, __u64 fence, __u32 timeout_ms, struct xmirror_wait *w)
{
	return wait_flags(fd, fence, 0, timeout_ms, NULL, 0, w);
}

int xm_wait_results(int fd, __u64 fence, __u32 timeout_ms, __u64 *results,
		    __u32 nr, struct xmirror_wait *w)
{
	return wait_flags(fd, fence, 0, timeout_ms, results, nr, w);
}

int xm_cancel(int fd, __u64 fence, struct xmirror_wait *w)
{
	return wait_flags(fd, fence, XMIRROR_WAIT_CANCEL, XM_LONG, NULL, 0, w);
}

int xm_run_on(int fd, unsigned int engine, const struct xmirror_cmd *cmd,
	      __u64 *result)
{
	struct xmirror_wait w;
	__u64 fence, res = 0;
	int err;

	err = xm_submit(fd, engine, cmd, 1, 1, &fence);
	if (err)
		return err;
	err = xm_wait_results(fd, fence, XM_LONG, &res, 1, &w);
	if (result)
		*result = res;
	return err ? err : w.status;
}

int xm_run_ops(int fd, const struct xmirror_cmd *cmd, __u64 *ops)
{
	struct xmirror_wait w = {};
	__u64 fence;
	int err;

	err = xm_submit(fd, 0, cmd, 1, 1, &fence);
	if (!err)
		err = xm_wait(fd, fence, XM_LONG, &w);
	*ops = w.ops;
	return err ? err : w.status;
}

int xm_run(int fd, const struct xmirror_cmd *cmd, __u64 *result)
{
	return xm_run_on(fd, 0, cmd, result);
}

int xm_op(int fd, enum xmirror_op op, unsigned int width,
	  const volatile void *addr, __u64 operand, __u64 *result)
{
	struct xmirror_cmd cmd = xm_cmd(op, width, addr, operand);

	return xm_run(fd, &cmd, result);
}

int xm_add(int fd, volatile void *addr, __u64 n)
{
	return xm_op(fd, XMIRROR_OP_ADD, 8, addr, n, NULL);
}

int xm_snapshot(int fd, const void *addr, size_t len,
		struct xmirror_page *pages)
{
	struct xmirror_snapshot s = {
		.size = sizeof(s),
		.addr = (uintptr_t)addr,
		.length = len,
		.pages = (uintptr_t)pages,
	};
	int err = xm_ioctl(fd, XMIRROR_IOC_SNAPSHOT, &s);

	if (!err && s.done != len)
		return -EIO;
	return err;
}

struct xmirror_page xm_page(int fd, const volatile void *addr)
{
	struct xmirror_page page = {};
	void *start = (void *)((uintptr_t)addr & ~(XM_PAGE - 1));

	if (xm_snapshot(fd, start, XM_PAGE, &page))
		memset(&page, 0, sizeof(page));
	return page;
}

int xm_verify(int fd, struct xmirror_verify *v)
{
	memset(v, 0, sizeof(*v));
	v->size = sizeof(*v);
	return xm_ioctl(fd, XMIRROR_IOC_VERIFY, v);
}

long xm_violations(int fd, char *text, size_t room)
{
	static const char * const kinds[] = {
		[XMIRROR_V_NONE] = "nothing",
		[XMIRROR_V_PFN] = "another page than the CPU's",
		[XMIRROR_V_ABSENT] = "the CPU maps nothing",
		[XMIRROR_V_WRITE] = "writable, the mapping is not",
		[XMIRROR_V_EXCLUSIVE] = "exclusive, the CPU entry is not",
		[XMIRROR_V_BITS] = "contradicting bits",
	};
	struct xmirror_verify v;
	const char *kind = "unknown";
	int err = xm_verify(fd, &v);

	if (err)
		return err;
	if (v.first_kind <= XMIRROR_V_BITS)
		kind = kinds[v.first_kind];
	if (text)
		snprintf(text, room, "%llu of %llu leaves, first at %#llx: %s",
			 (unsigned long long)v.violations,
			 (unsigned long long)v.checked,
			 (unsigned long long)v.first_addr, kind);
	return v.violations;
}

int xm_stats(int fd, struct xmirror_stats *s)
{
	memset(s, 0, sizeof(*s));
	s->size = sizeof(*s);
	return xm_ioctl(fd, XMIRROR_IOC_STATS, s);
}

struct xmirror_stats xm_stats_of(int fd)
{
	struct xmirror_stats s;

	if (xm_stats(fd, &s))
		memset(&s, 0, sizeof(s));
	return s;
}

int xm_sync_arm_full(int fd, struct xmirror_sync *s)
{
	s->size = sizeof(*s);
	s->cmd = XMIRROR_SYNC_ARM;
	return xm_ioctl(fd, XMIRROR_IOC_SYNC, s);
}

/* @event: from one on, zero for all */
static int arm(int fd, enum xmirror_point point, __u32 event, const void *addr,
	       size_t len, __u32 *id)
{
	struct xmirror_sync s = {
		.action = XMIRROR_SYNC_PAUSE,
		.point = point,
		.event = event,
		.addr = (uintptr_t)addr,
		.length = len,
		.timeout_ms = XM_LONG,
	};
	int err = xm_sync_arm_full(fd, &s);

	*id = s.id;
	return err;
}

int xm_sync_arm(int fd, enum xmirror_point point, const void *addr, size_t len,
		__u32 *id)
{
	return arm(fd, point, 0, addr, len, id);
}

int xm_sync_arm_event(int fd, enum xmirror_point point, enum xm_event event,
		      const void *addr, size_t len, __u32 *id)
{
	return arm(fd, point, event + 1, addr, len, id);
}

int xm_sync_reached(int fd, __u32 id, __u32 timeout_ms)
{
	struct xmirror_sync s = {
		.size = sizeof(s),
		.cmd = XMIRROR_SYNC_REACHED,
		.id = id,
		.timeout_ms = timeout_ms,
	};

	return xm_ioctl(fd, XMIRROR_IOC_SYNC, &s);
}

int xm_sync_resume(int fd, __u32 id, __u32 *timed_out)
{
	struct xmirror_sync s = {
		.size = sizeof(s),
		.cmd = XMIRROR_SYNC_RESUME,
		.id = id,
	};
	int err = xm_ioctl(fd, XMIRROR_IOC_SYNC, &s);

	if (timed_out)
		*timed_out = s.timed_out;
	else if (!err && s.timed_out)
		err = -ETIMEDOUT;
	return err;
}

int xm_inject(int fd, enum xmirror_inject_what what, __u64 skip, __u64 times,
	      __u32 error)
{
	struct xmirror_inject inj = {
		.size = sizeof(inj),
		.what = what,
		.error = error,
		.skip = skip,
		.times = times,
		.delay_ms = what == XMIRROR_INJECT_NOTIFIER ? XM_LONG : 0,
	};

	return xm_ioctl(fd, XMIRROR_IOC_INJECT, &inj);
}

int xm_inject_end(int fd, enum xmirror_inject_what what, __u64 *hits,
		  __u64 *injected)
{
	struct xmirror_inject inj = { .size = sizeof(inj), .what = what };
	int err = xm_ioctl(fd, XMIRROR_IOC_INJECT, &inj);

	if (hits)
		*hits = inj.hits;
	if (injected)
		*injected = inj.injected;
	return err;
}

int xm_kver(void)
{
	struct utsname u;
	int a = 0, b = 0;

	uname(&u);
	if (sscanf(u.release, "%d.%d", &a, &b) != 2)
		return 0;
	return XM_KVER(a, b);
}

__u64 xm_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

bool xm_expired(__u64 start_ns, unsigned int ms)
{
	return xm_now_ns() - start_ns > ms * 1000000ULL;
}

__u64 xm_number(const char *program, const char *text, __u64 low, __u64 high)
{
	char *end;
	__u64 n;

	errno = 0;
	n = strtoull(text, &end, 0);
	if (errno || end == text || *end || *text == '-' || n < low || n > high) {
		fprintf(stderr, "%s: %s is not a number from %llu to %llu\n", program,
			text, low, high);
		exit(XM_USAGE);
	}
	return n;
}

int xm_write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int err = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		err = -errno;
	close(fd);
	return err;
}

bool xm_symbol(const char *name, const char *module, __u64 *address)
{
	FILE *f = fopen("/proc/kallsyms", "re");
	unsigned long long at = 0;
	bool found = false;

	while (f && !found) {
		char line[512], its_name[256], its_module[64] = "";

		if (!fgets(line, sizeof(line), f))
			break;
		found = sscanf(line, "%llx %*c %255s %63s", &at, its_name,
			       its_module) >= 2 &&
			!strcmp(name, its_name) && !strcmp(module, its_module);
	}
	if (f)
		fclose(f);
	if (found && address)
		*address = at;
	return found;
}

int xm_read_line(const char *path, char *line, size_t room)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	*line = 0;
	if (fd < 0)
		return -errno;
	n = read(fd, line, room - 1);
	n = n < 0 ? -errno : n;
	close(fd);
	if (n < 0)
		return n;
	line[n] = 0;
	line[strcspn(line, "\n")] = 0;
	return 0;
}

long xm_read_number(const char *path)
{
	char text[32];

	return xm_read_line(path, text, sizeof(text)) ? -1 : atol(text);
}
