/* SPDX-License-Identifier: MIT */
/* Unmounting, with what is cached written out, so that a failure of that is known: the kernel tells nobody. */
#include "common/mount/apply.h"

#include <bsd/string.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/dir.h"
#include "common/mount/cause.h"
#include "common/sys/mountinfo.h"

enum { LINKS = 40 }; /* as path_resolution(7) */

/* The mount at a path, found without a step onto it: a server that is gone would not answer that, and a mount with
 * MNT_EXPIRE's mark would lose it. NULL: none. */
static const struct gb_mountinfo *mount_at(const struct gb_mountinfo_table *table, const char *target, bool follow)
{
	char path[PATH_MAX], real[PATH_MAX], last[NAME_MAX + 1];

	if (strlcpy(path, target, sizeof path) >= sizeof path)
		return NULL;
	for (int links = 0; links < LINKS; links++) {
		size_t len = strlen(path);

		while (len > 1 && path[len - 1] == '/') {
			path[--len] = '\0';
			follow = true;
		}
		char *slash = strrchr(path, '/');
		if (strlcpy(last, slash ? slash + 1 : path, sizeof last) >= sizeof last)
			return NULL;
		if (!*last || gb_dir_dots(last)) /* nothing but itself leads there */
			return realpath(path, real) ? gb_mountinfo_top(table, real) : NULL;
		if (slash)
			slash[slash == path] = '\0';
		if (!realpath(slash ? path : ".", real))
			return NULL;
		len = strlen(real);
		len = len > 1 ? len : 0;
		if (snprintf(real + len, sizeof real - len, "/%s", last) >= (int)(sizeof real - len))
			return NULL;
		const struct gb_mountinfo *row = gb_mountinfo_top(table, real);
		if (row || !follow)
			return row;
		/* No mount point: it may be asked what it is. */
		char link[PATH_MAX];
		ssize_t n = readlink(real, link, sizeof link - 1);
		if (n < 0)
			return NULL;
		link[n] = '\0';
		real[len] = '\0';
		int all = link[0] == '/' ? snprintf(path, sizeof path, "%s", link) : snprintf(path, sizeof path, "%s/%s", real, link);
		if (all >= (int)sizeof path)
			return NULL;
	}
	return NULL;
}

/* Whether it is the last mount of a file system on a block device; *ret_device: that device, 0 where it cannot be told. */
static bool last_of_block(const struct gb_mountinfo_table *table, const struct gb_mountinfo *row, dev_t *ret_device)
{
	/* Btrfs has numbers of its own, which no device has. */
	const bool btrfs = strcmp(row->type, "btrfs") == 0;
	struct stat st;

	if (!row->major && !btrfs)
		return false;
	for (size_t i = 0; i < table->count; i++) {
		const struct gb_mountinfo *other = &table->rows[i];

		if (other->id != row->id && other->major == row->major && other->minor == row->minor)
			return false;
	}
	*ret_device = makedev(row->major, row->minor);
	if (btrfs)
		*ret_device = stat(row->source, &st) == 0 && S_ISBLK(st.st_mode) ? st.st_rdev : 0;
	return true;
}

static int open_root(const char *target, int flags)
{
	return open(target, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | (flags & UMOUNT_NOFOLLOW ? O_NOFOLLOW : 0));
}

/* 0, or the errno of what failed. */
static int sync_of(int fd)
{
	return syncfs(fd) < 0 && errno != ENOSYS && errno != EBADF ? errno : 0;
}

static int write_out(const char *target, int flags, struct gb_err *err)
{
	gb_autoclose int fd = open_root(target, flags);
	int code = fd < 0 ? 0 : sync_of(fd); /* what cannot be opened: umount2(2) will say what is wrong */

	return code ? gb_err_set(err, EIO, "cannot unmount %s: what is cached could not be written out: %s; it stays mounted",
				 target, strerror(code)) : 0;
}

/* A loop device, opened; -1: it is none. By the name in /sys: the links in /dev/block are udev's, which a small guest does
 * not have. */
static int open_loop(dev_t device)
{
	char path[64], link[PATH_MAX], node[PATH_MAX];
	struct stat st;

	(void)snprintf(path, sizeof path, "/sys/dev/block/%u:%u/loop", major(device), minor(device));
	if (access(path, F_OK) < 0)
		return -1;
	*strrchr(path, '/') = '\0';
	ssize_t n = readlink(path, link, sizeof link - 1);
	link[n < 0 ? 0 : n] = '\0';
	const char *slash = strrchr(link, '/');
	if (!slash || snprintf(node, sizeof node, "/dev%s", slash) >= (int)sizeof node)
		return -1;
	gb_autoclose int fd = open(node, O_RDONLY | O_CLOEXEC);
	return fd >= 0 && fstat(fd, &st) == 0 && S_ISBLK(st.st_mode) && st.st_rdev == device ? gb_take_fd(&fd) : -1;
}

int gb_mount_undo(const char *target, int flags, struct gb_err *err)
{
	gb_automountinfo struct gb_mountinfo_table table = { 0 };
	gb_autoclose int fs = -1, loop = -1;
	const struct gb_mountinfo *row = NULL;
	dev_t device = 0;
	int r = 0, code = 0;

	if (!target || !*target)
		return gb_err_set(err, EINVAL, "no target");
	/* MNT_FORCE is for what does not answer: nothing is waited for. What is no mount point umount2(2) itself will refuse. */
	const bool seen = !(flags & MNT_FORCE) && gb_mountinfo_read(NULL, &table) == 0;
	if (seen)
		row = mount_at(&table, target, !(flags & UMOUNT_NOFOLLOW));
	const bool block = row && last_of_block(&table, row, &device);
	if (block) /* opened before, so that fsync(2) reports what fails from here on (errseq) */
		loop = open_loop(device);
	if (block && flags & MNT_DETACH)
		fs = open_root(target, flags);
	else if ((block || !seen) && !(flags & (MNT_EXPIRE | MNT_DETACH | MNT_FORCE))) /* without /proc: whatever it is */
		r = write_out(target, flags, err);
	if (r < 0)
		return r;
	r = gb_mount_raw_undo(target, flags);
	/* It was idle, and has its mark: whoever looks takes it away, so it is written out now, and marked once more. */
	if (r == -EAGAIN && block && flags & MNT_EXPIRE) {
		r = write_out(target, flags, err);
		if (r < 0)
			return r;
		r = gb_mount_raw_undo(target, flags);
	}
	if (r < 0)
		return gb_mount_undo_cause(target, flags, -r, err);
	if (fs >= 0) /* out of the tree first, as it was asked for: this may take as long as the disk does */
		code = sync_of(fs);
	gb_close_fd(&fs);
	fs = -1;
	if (code)
		return gb_err_set(err, EIO, "%s: out of the tree, but what is cached could not be written out: %s", target,
				  strerror(code));
	if (loop >= 0 && fsync(loop) < 0 && errno != EROFS && errno != EINVAL && errno != ENXIO)
		return gb_err_set(err, EIO, "%s: unmounted, but its loop device could not be written out: %s", target,
				  strerror(errno));
	return 0;
}
