/* SPDX-License-Identifier: MIT */
/* Block devices. */
#include "common/sys/blockdev.h"

#include <bsd/string.h>
#include <errno.h>
#include <fcntl.h>
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

int gb_blockdev_lock(const struct gb_blockdev *device, bool *ret_waited, struct gb_err *err)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	gb_autoclose int fd = device->read_only ? -1 : reopen(device, O_RDWR | O_NONBLOCK);
	bool waited = false, plain = fd < 0;
	int r;

	if (plain)
		fd = reopen(device, O_RDONLY | O_NONBLOCK);
	if (fd < 0)
		return gb_err_sys(err, errno, "%s", device->path);
	r = plain ? flock(fd, LOCK_EX | LOCK_NB) : fcntl(fd, F_OFD_SETLK, &lock);
	if (r < 0 && (errno == EAGAIN || errno == EACCES)) {
		waited = true;
		do
			r = plain ? flock(fd, LOCK_EX) : fcntl(fd, F_OFD_SETLKW, &lock);
		while (r < 0 && errno == EINTR);
	}
	if (r < 0)
		return gb_err_sys(err, errno, "%s: lock", device->path);
	if (ret_waited)
		*ret_waited = waited;
	return gb_take_fd(&fd);
}

int gb_blockdev_lock_number(const struct gb_blockdev *device, bool *ret_waited, struct gb_err *err)
{
	char path[64];
	int r;

	if (device->file)
		return -ENOENT;
	(void)snprintf(path, sizeof path, "/sys/dev/block/%u:%u/dev", major(device->rdev), minor(device->rdev));
	gb_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return gb_err_sys(err, errno, "%s", path);
	r = flock(fd, LOCK_EX | LOCK_NB);
	*ret_waited = r < 0 && errno == EWOULDBLOCK;
	while (r < 0 && (errno == EWOULDBLOCK || errno == EINTR))
		r = flock(fd, LOCK_EX);
	return r < 0 ? gb_err_sys(err, errno, "%s: lock of %s", device->path, path) : gb_take_fd(&fd);
}

int gb_blockdev_busy(const struct gb_blockdev *device)
{
	if (device->file)
		return 0;
	gb_autoclose int fd = reopen(device, O_RDONLY | O_EXCL | O_NONBLOCK);
	if (fd >= 0)
		return 0;
	return errno == EBUSY ? 1 : -errno;
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

int gb_blockdev_loop_find(const struct gb_blockdev *file, char *path, size_t size)
{
	gb_autoclosedir DIR *dir = opendir("/sys/block");
	const struct dirent *e;
	int r;

	if (!dir)
		return -errno;
	while ((r = gb_dir_next(dir, &e)) > 0) {
		char sys[320], dev[320];
		struct loop_info64 info;

		if (strncmp(e->d_name, "loop", 4) != 0)
			continue;
		(void)snprintf(sys, sizeof sys, "/sys/block/%s/loop", e->d_name);
		if (access(sys, F_OK) < 0)
			continue;
		(void)snprintf(dev, sizeof dev, "/dev/%s", e->d_name);
		gb_autoclose int fd = open(dev, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
		if (fd < 0 || ioctl(fd, LOOP_GET_STATUS64, &info) < 0)
			continue;
		/* lo_device is the kernel's dev_t, new_encode_dev() of it: what stat(2) gives for small numbers. */
		if (info.lo_inode == file->ino && info.lo_device == file->dev && info.lo_offset == 0 &&
		    info.lo_sizelimit == 0)
			return strlcpy(path, dev, size) < size ? 1 : -ENAMETOOLONG;
	}
	return r;
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
