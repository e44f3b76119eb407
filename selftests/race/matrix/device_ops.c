// SPDX-License-Identifier: GPL-2.0
/*
 * The device's side of the race matrix: see struct race_devop.
 *
 * The page is mapped for the device before the race, so that there is a leaf to
 * lose, unless it is what the op is about to do; and there is a notifier.
 */
#include <fcntl.h>
#include <sys/wait.h>

#include "pagemap.h"
#include "private.h"
#include "raw.h"
#include "resident.h"

/* All of a huge page, else the page */
static void *what(struct race_env *e, size_t *len)
{
	*len = e->huge ? e->len : XM_PAGE;
	return e->huge ? (void *)e->area : e->p;
}

static int map_for(struct race_env *e, int fd)
{
	size_t len;
	void *p = what(e, &len);

	return xm_fault(fd, p, len, 0, NULL);
}

static int map(struct race_env *e)
{
	return map_for(e, e->fd);
}

/* A notifier, but no leaf of the page; one to read it allows to write, too. */
static int map_neighbour(struct race_env *e)
{
	return xm_fault(e->fd, e->area, XM_PAGE, 0, NULL);
}

static int make_exclusive(struct race_env *e)
{
	int err = xm_exclusive(e->fd, e->p, XM_PAGE, NULL);

	if (err == -EOPNOTSUPP && race_is_too_large(e))
		return race_not_here(e, "exclusive pages of large folios: Linux 6.15");
	return err;
}

static int migrate(struct race_env *e, int fd, __u32 flags, __u32 peer)
{
	size_t len;
	void *p = what(e, &len);

	return xm_migrate(fd, p, len, flags, peer, &e->pages_moved);
}

static int put_on(struct race_env *e, int fd)
{
	int err = migrate(e, fd, 0, 0);

	if (err)
		return err;
	if (!e->pages_moved)
		return race_not_here(e, "the page does not migrate to the device");
	return map_for(e, fd);
}

static int put_on_device(struct race_env *e)
{
	return put_on(e, e->fd);
}

/* Would this device map it, it would come back. */
static int put_on_peer(struct race_env *e)
{
	int err = put_on(e, e->fd1);

	return err ? err : map_neighbour(e);
}

static int put_on_other_mirror(struct race_env *e)
{
	int err;

	e->fd2 = xm_open(0);
	err = e->fd2 < 0 ? e->fd2 : put_on(e, e->fd2);
	return err ? err : map(e);
}

static int read_word(struct race_env *e)
{
	return xm_read(e->fd, e->p, &e->seen, 8);
}

static int store_word(struct race_env *e)
{
	__u64 value = RACE_STORED;

	return xm_write(e->fd, e->p + 1, &value, 8);
}

static int exclusive(struct race_env *e)
{
	return xm_exclusive(e->fd, e->p, XM_PAGE, NULL);
}

#define ADDS	4

/* One command each, so that a list is stopped between two. */
static int add(struct race_env *e)
{
	struct xmirror_cmd cmds[ADDS];
	__u64 fence;
	int i, err;

	for (i = 0; i < ADDS; i++)
		cmds[i] = xm_cmd(XMIRROR_OP_ADD, 8, e->p, 1);
	err = xm_submit(e->fd, 0, cmds, ADDS, 1, &fence);
	return err ? err : xm_wait(e->fd, fence, XM_LONG, NULL);
}

/* The device cannot fault there: it has all of it, or waits. */
static int add_resident(struct race_env *e)
{
	size_t len;
	void *p = what(e, &len);

	return resident_add(e->fd, p, len, XMIRROR_RESIDENT_WRITE);
}

static int add_resident_and_count(struct race_env *e)
{
	int err = add_resident(e);

	return err ? err : add(e);
}

/*
 * The restore has ended, with all of it or with an error, and the queues run. From here
 * on the device faults again.
 */
static int end_resident(struct race_env *e)
{
	struct xmirror_resident r;
	struct xmirror_page page;
	size_t len;
	void *p = what(e, &len);
	int err = resident_settled(e->fd, p, &r);

	/* If what was to be held could not be mapped, it is not held. */
	if (err == -ENOENT && e->devop->act == add_resident_and_count)
		return 0;
	if (err)
		return err;
	page = xm_page(e->fd, e->p);
	if (r.state == XMIRROR_RESIDENT_MAPPED &&
	    !(page.dev & XMIRROR_PTE_WRITE))
		return -ENODATA;
	if (r.state != XMIRROR_RESIDENT_MAPPED && !r.error)
		return -ENODATA;
	return resident_remove(e->fd, p, len);
}

static int release(struct race_env *e)
{
	return xm_release(e->fd, e->p, XM_PAGE, NULL);
}

static int to_device(struct race_env *e)
{
	return migrate(e, e->fd, 0, 0);
}

/* Nothing is there, but a notifier; the migration puts zeroes there. */
static int make_empty(struct race_env *e)
{
	int err = map_neighbour(e);
	size_t len;
	void *p = what(e, &len);

	return err ? err : madvise(p, len, MADV_DONTNEED) ? -errno : 0;
}

static int to_system(struct race_env *e)
{
	return migrate(e, e->fd, XMIRROR_MIGRATE_TO_SYSTEM, 0);
}

static int from_peer(struct race_env *e)
{
	return migrate(e, e->fd, XMIRROR_MIGRATE_FROM_PEER, 1);
}

static int touch(struct race_env *e)
{
	e->seen = XM_LOAD(e->p);
	return 0;
}

/* With a mirror its device memory goes. */
static int evict(struct race_env *e)
{
	int fd = e->fd2;

	e->fd2 = -1;
	return close(fd) ? -errno : 0;
}

static int unplug(struct race_env *e)
{
	struct xmirror_unplug u = {
		.size = sizeof(u),
		.timeout_ms = XM_LONG / 2,
	};

	return xm_ioctl(e->fd, XMIRROR_IOC_UNPLUG, &u);
}

/* --- ops of the mm, beside another one ------------------------------------ */

static int write_by_cpu(struct race_env *e)
{
	XM_ADD(e->p, 1);
	return 0;
}

/* What is a fault of a device is another error of madvise(). */
static int page_out(struct race_env *e)
{
	if (!madvise(e->p, XM_PAGE, MADV_PAGEOUT))
		return 0;
	/* A VMA that is locked is left alone: can_madv_lru_vma() in mm/madvise.c. */
	if (errno == EINVAL && !strcmp(e->mmop->name, "mlock_page"))
		return 0;
	return errno == ENOMEM ? -EFAULT : -errno;
}

static int reap(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid)
		return -errno;
	return status ? -EUCLEAN : 0;
}

/*
 * fork() fails while an exclusive page is locked by a task that does not have mmap_lock:
 * finding 3. When that lets it go, it works.
 */
static int fork_only(struct race_env *e)
{
	pid_t pid = fork();
	int err = errno;

	if (pid < 0 && err == ENOMEM && e->mmop->flags & RACE_LOCKS &&
	    xm_is_exclusive(e->p)) {
		if (raw_page(e->fd, e->p).folio & XMIRROR_FOLIO_LOCKED)
			return 0;
		pid = fork();
		err = errno;
	}
	if (!pid)
		_exit(0);
	return pid < 0 ? -err : reap(pid);
}

/*
 * The same by a child that stays until the race is over: where it has a huge page, its end
 * would meet the page on its way back, which is finding 42.
 */
static int until_the_end[2];
static pid_t staying;

static int share_private(struct race_env *e)
{
	int err = put_on_device(e);

	if (!err && e->huge && pipe2(until_the_end, O_CLOEXEC))
		err = -errno;
	return err;
}

static int fork_staying(struct race_env *e)
{
	char c;

	if (!e->huge)
		return fork_only(e);
	staying = fork();
	if (!staying) {
		close(until_the_end[1]);
		_exit(read(until_the_end[0], &c, 1));
	}
	return staying < 0 ? -errno : 0;
}

static int end_child(struct race_env *e)
{
	(void)e;
	if (!staying)
		return 0;
	close(until_the_end[1]);
	return reap(staying);
}

/* Write-protected by userfaultfd, and not any more: whoever waits for it goes on */
static int wp_on_off(struct race_env *e)
{
	int err = xm_uffd_wp(e->uffd, e->p, XM_PAGE, true);

	if (!err)
		err = xm_uffd_wp(e->uffd, e->p, XM_PAGE, false);
	/* The registration is not there any more. */
	return err == -ENOENT ? 0 : err;
}

static int register_wp(struct race_env *e)
{
	if (e->uffd >= 0)
		return race_not_here(e, "both sides have a userfaultfd");
	e->uffd = xm_uffd(UFFD_FEATURE_PAGEFAULT_FLAG_WP);
	if (e->uffd < 0)
		return race_not_here(e, "userfaultfd cannot write-protect here");
	/* All of it: some mm ops want one mapping. */
	return xm_uffd_register(e->uffd, e->area, e->len, UFFDIO_REGISTER_MODE_WP);
}

static int register_exclusive(struct race_env *e)
{
	int err = make_exclusive(e);

	return err ? err : register_wp(e);
}

static int register_private(struct race_env *e)
{
	int err = put_on_device(e);

	return err ? err : register_wp(e);
}

/* Nobody else in the process has one. */
static int no_mirror(struct race_env *e)
{
	close(e->fd);
	close(e->fd1);
	e->fd = -1;
	e->fd1 = -1;
	return 0;
}

static int first_mirror(struct race_env *e)
{
	int fd = xm_open(0), err;

	if (fd < 0)
		return fd;
	err = map_for(e, fd);
	e->fd = fd;
	return err;
}

#define AT(n, pt)	{ .name = n, .point = XMIRROR_PT_##pt }
#define MM_WINDOWS	{ .name = "mm_inv_enter", \
			  .point = XMIRROR_PT_INV_ENTER, .mm = true }, \
			{ .name = "mm_inv_exit", \
			  .point = XMIRROR_PT_INV_EXIT, .mm = true }
#define DEV_WINDOWS	AT("dev_inv_enter", INV_ENTER), \
			AT("dev_inv_exit", INV_EXIT)
#define FAULT_WINDOWS	AT("fault_begin", FAULT_BEGIN), \
			AT("fault_walked", FAULT_WALKED), \
			AT("fault_done", FAULT_DONE)
#define RESIDENT_WINDOWS	{ .name = "mm_queues_stopped", \
			  .point = XMIRROR_PT_QUEUES_STOPPED, .mm = true }
#define MIGRATE_WINDOWS	AT("migrate_begin", MIGRATE_BEGIN), \
			AT("migrate_unmapped", MIGRATE_UNMAPPED), \
			AT("migrate_copied", MIGRATE_COPIED), \
			AT("migrate_moved", MIGRATE_MOVED)
#define EVICT_WINDOWS	AT("evict_begin", EVICT_BEGIN), \
			AT("evict_unmapped", EVICT_UNMAPPED), \
			AT("evict_copied", EVICT_COPIED)

const struct race_devop race_devops[] = {
	{
		.name = "read", .setup = map_neighbour, .act = read_word,
		.reads = true,
		.worst = "fault_walked", .worst_locked = "fault_walked",
		.windows = { FAULT_WINDOWS, MM_WINDOWS },
	}, {
		.name = "write", .setup = map_neighbour, .act = store_word,
		.stores = true,
		.worst = "fault_walked", .worst_locked = "fault_walked",
		.windows = { FAULT_WINDOWS, MM_WINDOWS },
	}, {
		.name = "exclusive", .cap = XMIRROR_CAP_EXCLUSIVE,
		.setup = map, .act = exclusive,
		.worst = "excl_made", .worst_locked = "mm_inv_exit",
		.windows = {
			AT("excl_begin", EXCL_BEGIN), AT("inv_own", INV_OWN),
			AT("excl_made", EXCL_MADE),
			AT("excl_committed", EXCL_COMMITTED),
			AT("excl_done", EXCL_DONE), MM_WINDOWS,
		},
	}, {
		.name = "atomic", .cap = XMIRROR_CAP_EXCLUSIVE,
		.setup = make_exclusive, .act = add, .adds = ADDS,
		.worst = "access", .worst_locked = "access",
		.windows = { AT("access", ACCESS), MM_WINDOWS },
	}, {
		.name = "resident", .setup = add_resident, .act = add, .end = end_resident,
		.adds = ADDS,
		.worst = "access", .worst_locked = "mm_queues_stopped",
		.windows = {
			AT("access", ACCESS), RESIDENT_WINDOWS, MM_WINDOWS,
		},
	}, {
		.name = "resident_add", .setup = map_neighbour, .act = add_resident_and_count,
		.end = end_resident, .adds = ADDS,
		.worst = "restore_begin", .worst_locked = "fault_walked",
		.windows = {
			AT("restore_begin", RESTORE_BEGIN), FAULT_WINDOWS,
			AT("access", ACCESS), MM_WINDOWS,
		},
	}, {
		.name = "release", .cap = XMIRROR_CAP_EXCLUSIVE,
		.setup = make_exclusive, .act = release,
		.worst = "dev_inv_exit", .worst_locked = "release",
		.windows = { AT("release", RELEASE), DEV_WINDOWS, MM_WINDOWS },
	}, {
		.name = "to_device", .cap = XMIRROR_CAP_PRIVATE,
		.setup = map, .act = to_device, .moves = true,
		.worst = "migrate_copied", .worst_locked = "mm_inv_exit",
		.windows = { MIGRATE_WINDOWS, DEV_WINDOWS, MM_WINDOWS },
	}, {
		.name = "to_system", .cap = XMIRROR_CAP_PRIVATE,
		.setup = put_on_device, .act = to_system, .moves = true,
		.worst = "migrate_copied", .worst_locked = "mm_inv_exit",
		.windows = { MIGRATE_WINDOWS, DEV_WINDOWS, MM_WINDOWS },
	}, {
		.name = "cpu_return", .cap = XMIRROR_CAP_PRIVATE,
		.setup = put_on_device, .act = touch,
		.reads = true, .cpu = true, .once = true,
		.worst = "to_ram_copied", .worst_locked = "mm_inv_exit",
		.windows = {
			AT("to_ram_begin", TO_RAM_BEGIN),
			AT("to_ram_unmapped", TO_RAM_UNMAPPED),
			AT("to_ram_copied", TO_RAM_COPIED),
			AT("to_ram_moved", TO_RAM_MOVED),
			AT("to_ram_done", TO_RAM_DONE),
			DEV_WINDOWS, MM_WINDOWS,
		},
	}, {
		.name = "from_peer", .cap = XMIRROR_CAP_PRIVATE,
		.setup = put_on_peer, .act = from_peer, .moves = true,
		.worst = "migrate_copied", .worst_locked = "mm_inv_exit",
		.windows = { MIGRATE_WINDOWS, DEV_WINDOWS, MM_WINDOWS },
	}, {
		.name = "evict", .cap = XMIRROR_CAP_PRIVATE,
		.setup = put_on_other_mirror, .act = evict,
		.worst = "evict_copied", .worst_locked = "evict_copied",
		.windows = { EVICT_WINDOWS, DEV_WINDOWS, MM_WINDOWS },
	}, {
		.name = "unplug", .cap = XMIRROR_CAP_PRIVATE,
		.setup = put_on_device, .act = unplug,
		.worst = "evict_unmapped", .worst_locked = "evict_unmapped",
		.windows = {
			AT("unplug", UNPLUG), EVICT_WINDOWS, DEV_WINDOWS,
			MM_WINDOWS,
		},
	}, {
		.name = "populate", .cap = XMIRROR_CAP_PRIVATE,
		.setup = make_empty, .act = to_device, .moves = true,
		.empty = true,
	}, {
		.name = "excl_read", .cap = XMIRROR_CAP_EXCLUSIVE,
		.setup = make_exclusive, .act = touch, .reads = true,
		.cpu = true,
	}, {
		.name = "excl_write", .cap = XMIRROR_CAP_EXCLUSIVE,
		.setup = make_exclusive, .act = write_by_cpu, .adds = 1,
		.cpu = true,
	}, {
		.name = "excl_fork", .cap = XMIRROR_CAP_EXCLUSIVE,
		.setup = make_exclusive, .act = fork_only,
	}, {
		.name = "excl_pageout", .cap = XMIRROR_CAP_RECLAIM_EXCLUSIVE,
		.setup = make_exclusive, .act = page_out,
	}, {
		.name = "private_fork", .cap = XMIRROR_CAP_PRIVATE,
		.setup = share_private, .act = fork_staying, .end = end_child,
	}, {
		.name = "private_pageout", .cap = XMIRROR_CAP_PRIVATE,
		.setup = put_on_device, .act = page_out,
	}, {
		.name = "excl_wp", .cap = XMIRROR_CAP_EXCLUSIVE,
		.setup = register_exclusive, .act = wp_on_off, .protects = true,
	}, {
		.name = "private_wp", .cap = XMIRROR_CAP_PRIVATE,
		.setup = register_private, .act = wp_on_off, .protects = true,
	}, {
		.name = "first_mirror", .cap = XMIRROR_CAP_MIRROR,
		.setup = no_mirror, .act = first_mirror,
	},
	{}
};
