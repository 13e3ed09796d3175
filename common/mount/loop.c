/* SPDX-License-Identifier: MIT */
/* Loop devices (loop(4)). */
#include "common/mount/loop.h"

#include <bsd/string.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/loop.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/dir.h"
#include "common/base/io.h"
#include "common/sys/mountinfo.h"

#ifndef LOOP_CONFIGURE /* Linux 5.8 */
#error "linux/loop.h of Linux 5.8 or later is needed"
#endif

enum { LOOP_MAJOR_NUMBER = 7, TRIES = 64, STEP_US = 10000, LEAVES_MS = 1000 };

bool gb_mount_loop_is(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISBLK(st.st_mode) && major(st.st_rdev) == LOOP_MAJOR_NUMBER;
}

bool gb_mount_loop_has(const char *name, const struct stat *file)
{
	char path[320], text[PATH_MAX];
	struct loop_info64 info;
	struct stat st;

	(void)snprintf(path, sizeof path, "/sys/block/%s/loop/backing_file", name);
	if (access(path, F_OK) < 0)
		return false;
	(void)snprintf(path, sizeof path, "/dev/%s", name);
	gb_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd >= 0 && ioctl(fd, LOOP_GET_STATUS64, &info) == 0)
		return info.lo_device == file->st_dev && info.lo_inode == file->st_ino;
	/* The path is the next best: it may be a removed name's, or of another mount namespace. */
	(void)snprintf(path, sizeof path, "/sys/block/%s/loop/backing_file", name);
	return gb_io_line(AT_FDCWD, path, text, sizeof text) == 0 && stat(text, &st) == 0 && st.st_dev == file->st_dev &&
	       st.st_ino == file->st_ino;
}

/* A number of /sys/block/NAME/loop; 0 when it is not there. */
static uint64_t number_of(int dir, const char *name, const char *file)
{
	char path[320], text[32];

	(void)snprintf(path, sizeof path, "%s/loop/%s", name, file);
	return gb_io_line(dir, path, text, sizeof text) < 0 ? 0 : strtoull(text, NULL, 10);
}

/* Whether two parts of a file have a byte in common; a size of 0 goes to the end. */
static bool overlap(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size)
{
	return (!a_size || b < a + a_size || a + a_size < a) && (!b_size || a < b + b_size || b + b_size < b);
}

/* The loop device but `own` that has the file already: 1 with its name, 0 for none, -errno where that cannot be told. */
static int in_use(const struct stat *file, const struct gb_mount_loop *loop, const char *own, char *device, size_t size)
{
	gb_autoclosedir DIR *dir = opendir("/sys/block");
	const struct dirent *entry;
	int r = 0;

	while (dir && (r = gb_dir_next(dir, &entry)) > 0) {
		if (strncmp(entry->d_name, "loop", 4) != 0 || (own && strcmp(entry->d_name, own) == 0) ||
		    !gb_mount_loop_has(entry->d_name, file))
			continue;
		if (overlap(number_of(dirfd(dir), entry->d_name, "offset"), number_of(dirfd(dir), entry->d_name, "sizelimit"),
			    loop->offset, loop->size)) {
			(void)snprintf(device, size, "/dev/%s", entry->d_name);
			return 1;
		}
	}
	return r;
}

static int is_of(const struct gb_mountinfo *row, void *arg)
{
	return strcmp(row->source, arg) == 0;
}

/* Whether it goes away by itself and nothing is mounted from it any more: whoever still looks at it (udev does, at each
 * change) has it open for a moment (lo_release(), drivers/block/loop.c). */
static bool leaves(char *device)
{
	gb_autoclose int dir = open("/sys/block", O_PATH | O_CLOEXEC);

	return dir >= 0 && number_of(dir, device + strlen("/dev/"), "autoclear") && gb_mountinfo_foreach(NULL, is_of, device) == 0;
}

/* The same before one is set up: a device that leaves is waited for. */
static int in_use_still(const struct stat *file, const struct gb_mount_loop *loop, char *device, size_t size)
{
	int used = 0;

	for (int i = 0; i < LEAVES_MS * 1000 / STEP_US; i++) {
		used = in_use(file, loop, NULL, device, size);
		if (used <= 0 || !leaves(device))
			break;
		(void)usleep(STEP_US);
	}
	return used;
}

static int configure(int fd, int file, const struct gb_mount_loop *loop, bool read_only)
{
	struct loop_config config = { .fd = (uint32_t)file };

	config.info.lo_offset = loop->offset;
	config.info.lo_sizelimit = loop->size;
	config.info.lo_flags = LO_FLAGS_AUTOCLEAR | (read_only ? LO_FLAGS_READ_ONLY : 0);
	(void)strlcpy((char *)config.info.lo_file_name, loop->file, sizeof config.info.lo_file_name);
	if (ioctl(fd, LOOP_CONFIGURE, &config) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOTTY && errno != ENOSYS)
		return -errno;
	/* Before 5.8, in two steps. */
	if (ioctl(fd, LOOP_SET_FD, file) < 0)
		return -errno;
	for (int i = 0; i < TRIES; i++) {
		if (ioctl(fd, LOOP_SET_STATUS64, &config.info) == 0)
			return 0;
		if (errno != EAGAIN)
			break;
		(void)usleep(STEP_US);
	}
	int saved = errno;
	(void)ioctl(fd, LOOP_CLR_FD, 0);
	return -saved;
}

int gb_mount_loop_attach(const struct gb_mount_loop *loop, char *device, size_t size, bool *ret_read_only,
			 struct gb_err *err)
{
	bool read_only = loop->read_only;
	struct gb_io_path path;
	const char *name = loop->fd ? gb_io_path(loop->fd, &path) : loop->file;
	gb_autoclose int file = open(name, (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	char other[300];

	if (file < 0 && !read_only && (errno == EROFS || errno == EACCES || errno == ETXTBSY)) {
		read_only = true;
		file = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	}
	if (file < 0)
		return gb_err_sys(err, errno, "cannot set up a loop device for %s", loop->file);
	if (fstat(file, &st) < 0)
		return gb_err_sys(err, errno, "cannot set up a loop device for %s", loop->file);
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return gb_err_set(err, EINVAL, "cannot set up a loop device for %s: neither a regular file nor a block device",
				  loop->file);
	int used = read_only ? 0 : in_use_still(&st, loop, other, sizeof other);
	gb_autoclose int control = -1;
	for (int i = 0; used == 0 && i < TRIES; i++) {
		if (loop->device && *loop->device) {
			(void)strlcpy(device, loop->device, size);
		} else {
			if (control < 0)
				control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
			int n = control < 0 ? -1 : ioctl(control, LOOP_CTL_GET_FREE);
			if (n < 0)
				return gb_err_sys(err, errno, "cannot set up a loop device for %s: /dev/loop-control", loop->file);
			(void)snprintf(device, size, "/dev/loop%d", n);
		}
		gb_autoclose int fd = open(device, (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC);
		if (fd < 0 && errno == ENOENT && !(loop->device && *loop->device)) {
			/* The node comes a moment after the device where devtmpfs does not make it. */
			if (mknod(device, S_IFBLK | 0600, makedev(LOOP_MAJOR_NUMBER, (unsigned)atoi(device + 9))) == 0 ||
			    errno == EEXIST)
				fd = open(device, (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC);
		}
		if (fd < 0)
			return gb_err_sys(err, errno, "cannot set up a loop device for %s: %s", loop->file, device);
		int r = configure(fd, file, loop, read_only);
		if (r == 0) {
			/* Of two at once each has looked before the other was done: who sees the other now takes his back. */
			const char *slash = strrchr(device, '/');
			used = read_only ? 0 : in_use(&st, loop, slash ? slash + 1 : device, other, sizeof other);
			if (used == 0) {
				*ret_read_only = read_only;
				return gb_take_fd(&fd);
			}
			(void)ioctl(fd, LOOP_CLR_FD, 0);
			break;
		}
		if (r != -EBUSY || (loop->device && *loop->device)) /* EBUSY: somebody else was faster */
			return gb_err_sys(err, -r, "cannot set up the loop device %s for %s", device, loop->file);
	}
	if (used < 0)
		return gb_err_sys(err, -used, "cannot set up a loop device for %s: /sys/block", loop->file);
	if (used > 0)
		return gb_err_set(err, EBUSY, "cannot set up a loop device for %s: %s has it already", loop->file, other);
	return gb_err_sys(err, EBUSY, "cannot set up a loop device for %s", loop->file);
}

int gb_mount_loop_detach(const char *device, struct gb_err *err)
{
	gb_autoclose int fd = open(device, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	/* While somebody has it open the kernel puts it off until the last close: loop_clr_fd(), drivers/block/loop.c. */
	if ((fd < 0 || ioctl(fd, LOOP_CLR_FD, 0) < 0) && errno != ENXIO && errno != ENOENT)
		return gb_err_sys(err, errno, "cannot release the loop device %s", device);
	return 0;
}
