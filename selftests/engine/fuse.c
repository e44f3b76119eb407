// SPDX-License-Identifier: GPL-2.0
/*
 * A file whose server does not answer, or says that the file cannot be read: an engine,
 * or a call, waits inside a fault for as long as the server takes, and no longer.
 *
 * The server is this program. It knows one file, and tells when the kernel wants to
 * read it, which is when somebody waits for its page.
 */
#include <fcntl.h>
#include <poll.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include <linux/fuse.h>

#include "hold.h"
#include "test.h"

#define FILE_ID		2
#define FILE_SIZE	XM_64K
#define PAGES		8UL
#define SIZE		(PAGES * XM_PAGE)

/**
 * struct server - of a file system of its own
 * @fd: /dev/fuse
 * @dir: where it is mounted
 * @fails: READ requests are answered, by EIO
 * @gives: READ requests are answered, by zeroes
 * @asked: READ requests so far
 */
struct server {
	int fd;
	char dir[32];
	bool fails;
	bool gives;
	unsigned int asked;
};

static void reply(struct server *s, __u64 unique, int err, void *data, size_t len)
{
	struct fuse_out_header out = {
		.len = sizeof(out) + len,
		.error = err,
		.unique = unique,
	};
	struct iovec iov[2] = { { &out, sizeof(out) }, { data, len } };

	/* It is gone, then. */
	if (writev(s->fd, iov, len ? 2 : 1) < 0)
		return;
}

static struct fuse_attr attr_of(__u64 id)
{
	bool file = id == FILE_ID;

	return (struct fuse_attr){
		.ino = id,
		.mode = file ? S_IFREG | 0600 : S_IFDIR | 0700,
		.size = file ? FILE_SIZE : 0,
		.nlink = 1,
		.blksize = XM_PAGE,
	};
}

static void serve(struct server *s, const struct fuse_in_header *in)
{
	/* Read ahead, so that whoever faults waits for the page, not for the answer. */
	struct fuse_init_out init = {
		.major = FUSE_KERNEL_VERSION,
		.minor = 31,
		.max_readahead = FILE_SIZE,
		.flags = FUSE_ASYNC_READ,
		.max_write = XM_PAGE,
	};
	struct fuse_entry_out entry = {
		.nodeid = FILE_ID,
		.entry_valid = 3600,
		.attr_valid = 3600,
		.attr = attr_of(FILE_ID),
	};
	struct fuse_attr_out attr = {
		.attr_valid = 3600,
		.attr = attr_of(in->nodeid),
	};
	const struct fuse_read_in *read = (const void *)(in + 1);
	static char zeroes[FILE_SIZE];
	struct fuse_open_out open = {};

	switch (in->opcode) {
	case FUSE_INIT:
		return reply(s, in->unique, 0, &init, sizeof(init));
	case FUSE_LOOKUP:
		return reply(s, in->unique, 0, &entry, sizeof(entry));
	case FUSE_GETATTR:
		return reply(s, in->unique, 0, &attr, sizeof(attr));
	case FUSE_OPEN:
		return reply(s, in->unique, 0, &open, sizeof(open));
	case FUSE_READ:
		XM_ADD(&s->asked, 1);
		if (XM_LOAD(&s->gives))
			reply(s, in->unique, 0, zeroes,
			      read->size < FILE_SIZE ? read->size : FILE_SIZE);
		else if (s->fails)
			reply(s, in->unique, -EIO, NULL, 0);
		return;
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT:
		return;
	default:
		return reply(s, in->unique, -EOPNOTSUPP, NULL, 0);
	}
}

static void *serve_all(void *arg)
{
	static char buf[XM_64K + XM_PAGE];
	struct server *s = arg;

	/* ENODEV ends it. */
	while (read(s->fd, buf, sizeof(buf)) > 0)
		serve(s, (void *)buf);
	return NULL;
}

/* -ENOENT: no FUSE here */
static int server_start(struct server *s)
{
	pthread_t thread;
	char options[64];

	s->fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (s->fd < 0)
		return -errno;
	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0",
		 s->fd);
	if (mount("xmirror", s->dir, "fuse", MS_NOSUID | MS_NODEV, options))
		return -errno;
	return -pthread_create(&thread, NULL, serve_all, s);
}

/* The file, mapped; NULL */
static void *server_map(const struct server *s)
{
	char path[64];
	void *p;
	int fd;

	snprintf(path, sizeof(path), "%s/file", s->dir);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return NULL;
	p = mmap(NULL, FILE_SIZE, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	return p == MAP_FAILED ? NULL : p;
}

/* Each call that waits for the file gets an error, and the server ends. */
static void server_abort(struct server *s)
{
	umount2(s->dir, MNT_FORCE);
}

static bool was_asked(struct server *s, unsigned int times)
{
	__u64 start = xm_now_ns();

	while (XM_LOAD(&s->asked) < times) {
		if (xm_expired(start, XM_LONG))
			return false;
		sched_yield();
	}
	return true;
}

FIXTURE(fuse) {
	int fd;
	__u64 *w;
	struct server s;
	bool mounted;
};

FIXTURE_SETUP(fuse)
{
	self->fd = -1;
	snprintf(self->s.dir, sizeof(self->s.dir), "/tmp/xmirror-XXXXXX");
	if (access("/dev/fuse", R_OK | W_OK))
		XM_SKIP(return, "no /dev/fuse: CONFIG_FUSE_FS");
	ASSERT_NE(NULL, mkdtemp(self->s.dir));
	self->mounted = true;
	OPEN(self->fd, 0);
	self->w = xm_anon(XM_PAGE);
	ASSERT_NE(NULL, self->w);
	*self->w = 0;
}

FIXTURE_TEARDOWN(fuse)
{
	if (!self->mounted)
		return;
	/* The rest of it waits for nobody. */
	server_abort(&self->s);
	umount2(self->s.dir, MNT_DETACH);
	EXPECT_EQ(0, rmdir(self->s.dir));
	EXPECT_CLEAN(self->fd);
	close(self->fd);
}

/* No engine is stuck. */
#define EXPECT_ENGINES() \
	do { \
		struct xmirror_cmd engine_cmd; \
		unsigned int engine_i; \
		for (engine_i = 0; engine_i < xm_facts()->engines; engine_i++) { \
			engine_cmd = xm_cmd(XMIRROR_OP_STORE, 8, self->w, \
					    100 + engine_i); \
			EXPECT_EQ(0, xm_run_on(self->fd, engine_i, &engine_cmd, \
					       NULL)) { \
				TH_LOG("engine %u", engine_i); \
			} \
			EXPECT_EQ(100 + engine_i, *self->w); \
		} \
	} while (0)

/* Server and client in one process, whose last act would be to close /dev/fuse */
static int serves_itself(struct child *c, void *arg)
{
	struct server *s = arg;
	int fd = xm_open(0);
	__u64 *p, fence;
	struct xmirror_cmd cmd;

	CHILD_CHECK(fd >= 0);
	CHILD_CHECK(!server_start(s));
	p = server_map(s);
	CHILD_CHECK(p);
	cmd = xm_cmd(XMIRROR_OP_LOAD, 8, p, 0);
	CHILD_CHECK(!xm_submit(fd, 0, &cmd, 1, 1, &fence));
	CHILD_CHECK(was_asked(s, 1));
	CHILD_CHECK(xm_wait(fd, fence, 0, NULL) == -ETIMEDOUT);
	CHILD_CHECK(!child_tell(c, 'r'));
	child_hear(c);
	return 1;
}

/*
 * The kernel closes files in no order that helps: the device's may come first, while
 * its engine waits for the server that goes with the next.
 */
TEST_F(fuse, server_of_an_engine_s_page_can_be_killed)
{
	struct child c;

	ASSERT_EQ(0, child_start(&c, serves_itself, &self->s));
	ASSERT_EQ('r', child_hear(&c));
	ASSERT_EQ(0, kill(c.pid, SIGKILL));
	EXPECT_EQ(128 + SIGKILL, child_end(&c));
	EXPECT_ENGINES();
}

static int waits_for_itself(struct child *c, void *arg)
{
	struct worker w = { .fn = work_fault_read, .len = XM_PAGE };
	struct server *s = arg;

	w.fd = xm_open(0);
	CHILD_CHECK(w.fd >= 0);
	CHILD_CHECK(!server_start(s));
	w.addr = server_map(s);
	CHILD_CHECK(w.addr);
	CHILD_CHECK(!worker_start(&w));
	CHILD_CHECK(was_asked(s, 1));
	CHILD_CHECK(worker_blocked(&w, SYS_ioctl));
	CHILD_CHECK(!child_tell(c, 'r'));
	child_hear(c);
	return 1;
}

/* The same with a call: it can be killed. */
TEST_F(fuse, call_that_waits_for_its_own_server_can_be_killed)
{
	struct child c;

	if (xm_kver() < XM_KVER(7, 3))
		XM_SKIP(return, "no hmm_range_fault_unlocked_timeout(): Linux 7.3");
	ASSERT_EQ(0, child_start(&c, waits_for_itself, &self->s));
	ASSERT_EQ('r', child_hear(&c));
	ASSERT_EQ(0, kill(c.pid, SIGKILL));
	EXPECT_EQ(128 + SIGKILL, child_end(&c));
	EXPECT_ENGINES();
}

/* The kernel asks again before it gives up, and not as often as that. */
#define TOO_OFTEN	10

/*
 * Told: is asked too often ('o') and ends when the page is given, or the call ends by EFAULT
 * ('f') or otherwise ('e'). It is not killed: FUSE waits for a server that has the request,
 * and this one would be dead, with the file still open in the thread that waits.
 */
static int cannot_read(struct child *c, void *arg)
{
	struct worker w = { .fn = work_fault_read, .len = XM_PAGE };
	struct server *s = arg;

	w.fd = xm_open(0);
	s->fails = true;
	CHILD_CHECK(w.fd >= 0);
	CHILD_CHECK(!server_start(s));
	w.addr = server_map(s);
	CHILD_CHECK(w.addr);
	CHILD_CHECK(!worker_start(&w));
	while (!worker_ended(&w) && XM_LOAD(&s->asked) < TOO_OFTEN)
		sched_yield();
	if (!worker_ended(&w)) {
		XM_STORE(&s->gives, true);
		CHILD_CHECK(!worker_join(&w));
		return child_tell(c, 'o');
	}
	return child_tell(c, worker_join(&w) == -EFAULT ? 'f' : 'e');
}

/* Finding 30. */
TEST_F(fuse, page_that_cannot_be_read_fails_the_call)
{
	struct child c;
	int told;

	ASSERT_EQ(0, child_start(&c, cannot_read, &self->s));
	told = child_hear(&c);
	ASSERT_TRUE(told == 'o' || told == 'f');
	XM_XFAIL_IF(xm_kver() >= XM_KVER(7, 3), told == 'f',
		    "hmm_range_fault_unlocked_timeout() reads again and again");
	EXPECT_EQ(0, child_end(&c));
	EXPECT_ENGINES();
}

TEST_F(fuse, page_that_cannot_be_read_fails_the_job)
{
	struct xmirror_cmd cmd;
	__u64 *p;

	self->s.fails = true;
	ASSERT_EQ(0, server_start(&self->s));
	p = server_map(&self->s);
	ASSERT_NE(NULL, p);
	cmd = xm_cmd(XMIRROR_OP_LOAD, 8, p, 0);
	EXPECT_EQ(-EFAULT, xm_run(self->fd, &cmd, NULL));
	EXPECT_LE(1, XM_LOAD(&self->s.asked));
	EXPECT_ENGINES();
	munmap(p, FILE_SIZE);
}

static int leaves_its_engine(struct child *c, void *arg)
{
	__u64 moved, fence, *own = xm_anon(SIZE), *p = server_map(arg);
	struct xmirror_cmd cmd = xm_cmd(XMIRROR_OP_LOAD, 8, p, 0);
	int fd = xm_open(0);

	CHILD_CHECK(fd >= 0 && own && p);
	memset(own, 1, SIZE);
	CHILD_CHECK(!xm_migrate(fd, own, SIZE, 0, 0, &moved) && moved == PAGES);
	CHILD_CHECK(!xm_submit(fd, 0, &cmd, 1, 1, &fence));
	CHILD_CHECK(was_asked(arg, 1));
	CHILD_CHECK(!child_tell(c, 'r'));
	child_hear(c);
	return 1;
}

/*
 * An engine that is the last user of the address space of a process that has died is
 * not the one who frees it, which may take long: all users of the device wait for it.
 */
TEST_F(fuse, engine_frees_no_address_space)
{
	const struct hold_function *exit_mmap;
	pid_t engine = kthread_named("xmirror0/0");
	/* Shared, since the child waits until the server here was asked. */
	struct server *s = xm_shared(XM_PAGE);
	struct xmirror_call calls[16];
	__u64 free_at_start, start;
	unsigned int taken = 0;
	struct child c;
	int nr;

	NEED(XMIRROR_CAP_PRIVATE | XMIRROR_CAP_HOLD);
	ASSERT_NE(0, engine);
	ASSERT_EQ(0, hold_load());
	exit_mmap = hold_named("exit_mmap");
	ASSERT_NE(NULL, exit_mmap);
	ASSERT_EQ(0, hold_attach(self->fd, &exit_mmap->address, 1, &taken));
	ASSERT_EQ(1, taken);
	free_at_start = xm_devmem_free(self->fd);
	ASSERT_NE(NULL, s);
	*s = self->s;
	ASSERT_EQ(0, server_start(s));
	ASSERT_EQ(0, child_start(&c, leaves_its_engine, s));
	ASSERT_EQ('r', child_hear(&c));
	ASSERT_EQ(0, kill(c.pid, SIGKILL));
	ASSERT_EQ(128 + SIGKILL, child_end(&c));
	/* The process is gone, and its memory is there. */
	ASSERT_EQ(free_at_start - PAGES, xm_devmem_free(self->fd));
	ASSERT_EQ(0, hold_record(self->fd, 0, engine, ARRAY_SIZE(calls)));
	server_abort(s);
	start = xm_now_ns();
	while (xm_devmem_free(self->fd) != free_at_start) {
		ASSERT_FALSE(xm_expired(start, XM_LONG));
		sched_yield();
	}
	nr = hold_calls(self->fd, 0, calls, ARRAY_SIZE(calls));
	EXPECT_EQ(0, nr);
	EXPECT_ENGINES();
}

TEST_HARNESS_MAIN
