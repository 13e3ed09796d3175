/* SPDX-License-Identifier: MIT */
/* Block devices. */
#include "common/sys/blockdev.h"

#include <bsd/string.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/dir.h"
#include "common/base/io.h"
#include "common/sys/mountinfo.h"

int gb_blockdev_open(const char *path, struct gb_blockdev *ret_device, struct gb_err *err)
{
	struct gb_blockdev d = { .fd = -1 };
	struct stat st;
	int read_only = 0;

	if (strlcpy(d.path, path, sizeof d.path) >= sizeof d.path)
		return gb_err_sys(err, ENAMETOOLONG, "%s", path);
	if (stat(path, &st) < 0)
		return gb_err_sys(err, errno, "%s", path);
	bool known = S_ISBLK(st.st_mode) || S_ISREG(st.st_mode); /* to open another may do something */
	gb_autoclose int fd = known ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
	if (known && (fd < 0 || fstat(fd, &st) < 0))
		return gb_err_sys(err, errno, "%s", path);
	if (S_ISREG(st.st_mode)) {
		d.file = true;
		d.size = (uint64_t)st.st_size;
		d.dev = st.st_dev;
		d.ino = st.st_ino;
		d.read_only = access(path, W_OK) < 0;
	} else if (S_ISBLK(st.st_mode)) {
		d.rdev = st.st_rdev;
		if (ioctl(fd, BLKGETSIZE64, &d.size) < 0)
			return gb_err_sys(err, errno, "%s: size", path);
		/* A loop device without a file, a drive without a medium: it is there and yet is not. */
		if (d.size == 0)
			return gb_err_sys(err, ENOMEDIUM, "%s", path);
		if (ioctl(fd, BLKROGET, &read_only) < 0)
			return gb_err_sys(err, errno, "%s: read-only flag", path);
		d.read_only = read_only;
	} else {
		return gb_err_set(err, ENOTBLK, "%s: neither a block device nor a regular file", path);
	}
	d.fd = gb_take_fd(&fd);
	*ret_device = d;
	return 0;
}

void gb_blockdev_close(struct gb_blockdev *device)
{
	gb_close_fd(&device->fd);
	device->fd = -1;
}

/* Again through /proc: the same device, whatever the path leads to by now; by path where there is no /proc. */
static int reopen(const struct gb_blockdev *device, int flags)
{
	struct gb_io_path self;
	int fd = open(gb_io_path(device->fd, &self), flags | O_CLOEXEC);

	return fd < 0 && errno == ENOENT ? open(device->path, flags | O_CLOEXEC) : fd;
}

/* ---- loop devices ---- */

/* Of which file a loop device (or a partition of one) is: false where it is none, or has none. lo_device is the kernel's
 * dev_t, new_encode_dev() of it: what stat(2) gives. */
static bool loop_of(int fd, struct loop_info64 *ret_info)
{
	return ioctl(fd, LOOP_GET_STATUS64, ret_info) == 0;
}

static bool loop_is_whole(const struct loop_info64 *info, dev_t dev, ino_t ino)
{
	return info->lo_inode == ino && info->lo_device == dev && info->lo_offset == 0 && info->lo_sizelimit == 0;
}

/* The next loop device that has a file, opened: 1, 0 at the end, or -errno. */
static int loop_next(DIR *dir, char path[320], int *ret_fd, struct loop_info64 *ret_info)
{
	const struct dirent *e;
	int r;

	while ((r = gb_dir_next(dir, &e)) > 0) {
		char sys[320];

		if (strncmp(e->d_name, "loop", 4) != 0)
			continue;
		(void)snprintf(sys, sizeof sys, "/sys/block/%s/loop", e->d_name);
		if (access(sys, F_OK) < 0)
			continue;
		(void)snprintf(path, 320, "/dev/%s", e->d_name);
		gb_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
		if (fd < 0 || !loop_of(fd, ret_info))
			continue;
		*ret_fd = gb_take_fd(&fd);
		return 1;
	}
	return r;
}

int gb_blockdev_loop_find(const struct gb_blockdev *file, char *path, size_t size)
{
	gb_autoclosedir DIR *dir = opendir("/sys/block");
	struct loop_info64 info;
	char name[320];
	int fd, r;

	if (!dir)
		return -errno;
	while ((r = loop_next(dir, name, &fd, &info)) > 0) {
		(void)close(fd);
		if (loop_is_whole(&info, file->dev, file->ino))
			return strlcpy(path, name, size) < size ? 1 : -ENAMETOOLONG;
	}
	return r;
}

bool gb_blockdev_is(const struct gb_blockdev *device, const char *path)
{
	struct loop_info64 info;
	struct stat st;

	if (stat(path, &st) < 0 || !S_ISBLK(st.st_mode))
		return false;
	if (!device->file)
		return st.st_rdev == device->rdev;
	gb_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	return fd >= 0 && loop_of(fd, &info) && loop_is_whole(&info, device->dev, device->ino);
}

/* ---- locks ---- */

static int keep(struct gb_blockdev_locks *locks, int fd, int r)
{
	if (r < 0)
		(void)close(fd);
	else
		locks->fd[locks->len++] = fd;
	return r;
}

static int lock_node(const struct gb_blockdev *device, struct gb_blockdev_locks *locks, struct gb_err *err)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int fd = device->read_only ? -1 : reopen(device, O_RDWR | O_NONBLOCK);
	bool plain = fd < 0;
	int r;

	if (plain)
		fd = reopen(device, O_RDONLY | O_NONBLOCK);
	if (fd < 0)
		return gb_err_sys(err, errno, "%s", device->path);
	do
		r = plain ? flock(fd, LOCK_EX) : fcntl(fd, F_OFD_SETLKW, &lock);
	while (r < 0 && errno == EINTR);
	return keep(locks, fd, r < 0 ? gb_err_sys(err, errno, "%s: lock", device->path) : 0);
}

static int lock_number(const struct gb_blockdev *device, struct gb_blockdev_locks *locks, struct gb_err *err)
{
	char path[64];
	int r;

	(void)snprintf(path, sizeof path, "/sys/dev/block/%u:%u/dev", major(device->rdev), minor(device->rdev));
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : gb_err_sys(err, errno, "%s", path);
	do
		r = flock(fd, LOCK_EX);
	while (r < 0 && errno == EINTR);
	return keep(locks, fd, r < 0 ? gb_err_sys(err, errno, "%s: lock of %s", device->path, path) : 0);
}

/* What a loop device is of, by the name that /sys has: a name of another mount namespace, of a file that is gone, or of
 * another file by now leads to nothing. */
static int open_below(const struct gb_blockdev *loop, struct gb_blockdev *ret_below)
{
	static const char *const places[] = { "loop", "../loop" }; /* of the device, of a partition's */
	char path[64], name[PATH_MAX];
	struct loop_info64 info;
	struct gb_io_path self;
	struct stat st;
	int r = -ENOENT;

	if (!loop_of(loop->fd, &info))
		return -ENOENT;
	for (size_t i = 0; r < 0 && i < GB_ARRAY_LEN(places); i++) {
		(void)snprintf(path, sizeof path, "/sys/dev/block/%u:%u/%s/backing_file", major(loop->rdev), minor(loop->rdev), places[i]);
		r = gb_io_line(AT_FDCWD, path, name, sizeof name);
	}
	gb_autoclose int fd = r < 0 ? -1 : open(name, O_PATH | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0 || st.st_dev != info.lo_device || st.st_ino != info.lo_inode)
		return -ENOENT;
	r = gb_blockdev_open(gb_io_path(fd, &self), ret_below, NULL);
	if (r == 0)
		(void)strlcpy(ret_below->path, name, sizeof ret_below->path);
	return r;
}

static int lock_from(const struct gb_blockdev *device, unsigned depth, struct gb_blockdev_locks *locks, struct gb_err *err)
{
	gb_autoblockdev struct gb_blockdev below = { .fd = -1 };
	int r = 0;

	if (!device->file && depth && open_below(device, &below) == 0) {
		/* A file system without locks has none for a run by the file's name either: that one fails. */
		r = lock_from(&below, depth - 1, locks, err);
		if (r == -EOPNOTSUPP || r == -ENOSYS || r == -EINVAL || r == -ENOLCK)
			r = 0;
	}
	if (r == 0)
		r = lock_node(device, locks, err);
	if (r == 0 && !device->file)
		r = lock_number(device, locks, err);
	return r;
}

int gb_blockdev_lock(const struct gb_blockdev *device, struct gb_blockdev_locks *locks, struct gb_err *err)
{
	enum { DEPTH = 4 }; /* of loop devices on loop devices; two locks each, and those of a file */
	gb_autoblockdev struct gb_blockdev loop = { .fd = -1 };
	char path[320];

	_Static_assert(2 * (DEPTH + 1) + 2 <= GB_BLOCKDEV_LOCKS, "locks");
	int r = lock_from(device, DEPTH, locks, err);
	if (r == 0 && device->file && gb_blockdev_loop_find(device, path, sizeof path) > 0 && gb_blockdev_open(path, &loop, NULL) == 0)
		r = lock_from(&loop, 0, locks, err);
	return r;
}

void gb_blockdev_unlock(struct gb_blockdev_locks *locks)
{
	while (locks->len)
		(void)close(locks->fd[--locks->len]);
}

/* ---- who uses it ---- */

/* -errno but for EBUSY, which is 1. */
static int claimed(int fd)
{
	if (fd < 0)
		return errno == EBUSY ? 1 : -errno;
	(void)close(fd);
	return 0;
}

int gb_blockdev_busy(const struct gb_blockdev *device)
{
	gb_autoclosedir DIR *dir = NULL;
	struct loop_info64 ours, info;
	char path[320];
	int fd, r = device->file ? 0 : claimed(reopen(device, O_RDONLY | O_EXCL | O_NONBLOCK));

	if (r != 0)
		return r;
	if (device->file)
		ours = (struct loop_info64){ .lo_device = device->dev, .lo_inode = device->ino };
	else if (!loop_of(device->fd, &ours))
		return 0;
	/* The same bytes have other names: each loop device of the file, whichever part of it that has. */
	dir = opendir("/sys/block");
	if (!dir)
		return -errno;
	while ((r = loop_next(dir, path, &fd, &info)) > 0) {
		(void)close(fd);
		if (info.lo_inode != ours.lo_inode || info.lo_device != ours.lo_device)
			continue;
		r = claimed(open(path, O_RDONLY | O_EXCL | O_CLOEXEC | O_NONBLOCK));
		if (r != 0 && r != -ENXIO && r != -ENOENT)
			return r;
	}
	return r;
}

unsigned gb_blockdev_holders(unsigned major, unsigned minor)
{
	char path[64];
	unsigned n = 0;

	(void)snprintf(path, sizeof path, "/sys/dev/block/%u:%u/holders", major, minor);
	gb_autoclosedir DIR *dir = opendir(path);
	for (const struct dirent *e; dir && gb_dir_next(dir, &e) > 0;)
		n += e->d_name[0] != '.';
	return n;
}

char *gb_blockdev_swap_next(char *text, size_t *pos)
{
	/* "Filename Type Size Used Priority", then a line each (proc_pid_mountinfo(5)'s escapes; mm/swapfile.c). */
	for (;;) {
		char *line = text + *pos, *end = strchrnul(line, '\n');

		if (!*line)
			return NULL;
		*pos = (size_t)(end - text) + (*end == '\n');
		line[strcspn(line, " \t\n")] = '\0';
		if (line[0] != '/')
			continue;
		gb_mountinfo_unescape(line);
		return line;
	}
}
