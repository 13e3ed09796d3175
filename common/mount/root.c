/* SPDX-License-Identifier: MIT */
/* pivot_root and switch_root. */
#include "common/mount/root.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/dir.h"
#include "common/mount/apply.h"
#include "common/mount/cause.h"
#include "common/sys/mountinfo.h"

#define RAMFS_MAGIC 0x858458f6
#define TMPFS_MAGIC 0x01021994

static const char *const carried[] = { "/dev", "/proc", "/sys", "/run" };

int gb_mount_pivot(const char *new_root, const char *put_old, struct gb_err *err)
{
	int r = gb_mount_raw_pivot(new_root, put_old);

	return r < 0 ? gb_mount_pivot_cause(new_root, put_old, -r, err) : 0;
}

int gb_mount_switch_text(struct gb_buf *buf, const char *new_root, const char *init)
{
	for (size_t i = 0; i < GB_ARRAY_LEN(carried); i++)
		(void)gb_buf_fmt(buf, "mount(\"%s\", \"%s%s\", NULL, MS_MOVE, NULL)\n", carried[i], new_root, carried[i]);
	return gb_buf_fmt(buf, "chdir(\"%s\")\nmount(\".\", \"/\", NULL, MS_MOVE, NULL)\nchroot(\".\")\nexecv(\"%s\")\n",
			  new_root, init);
}

/* Removes all of the initramfs that is on its own device: mounts in it, the new root among them, are left alone. */
static void empty(DIR *opened, dev_t device)
{
	gb_autoclosedir DIR *dir = opened;
	const struct dirent *entry;

	while (dir && gb_dir_next(dir, &entry) > 0) {
		int fd = dirfd(dir);
		struct stat st;

		if (fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_dev != device)
			continue;
		if (S_ISDIR(st.st_mode)) {
			empty(gb_dir_open(fd, entry->d_name), device);
			(void)unlinkat(fd, entry->d_name, AT_REMOVEDIR);
		} else {
			(void)unlinkat(fd, entry->d_name, 0);
		}
	}
}

/* Whether a path is below what moves over with the root, so that it is to be looked for where it is now. */
static bool is_carried(const char *path)
{
	for (size_t i = 0; i < GB_ARRAY_LEN(carried); i++) {
		size_t len = strlen(carried[i]);
		if (strncmp(path, carried[i], len) == 0 && path[len] == '/')
			return gb_mountinfo_is_root(AT_FDCWD, carried[i], AT_SYMLINK_NOFOLLOW) == 1;
	}
	return false;
}

int gb_mount_switch(const char *new_root, const char *init, struct gb_err *err)
{
	char path[PATH_MAX];
	struct stat root, new, st;
	struct statfs fs;
	gb_autoclose int old = -1;

	if (stat(new_root, &new) < 0)
		return gb_err_sys(err, errno, "new root %s", new_root);
	if (!S_ISDIR(new.st_mode))
		return gb_err_sys(err, ENOTDIR, "new root %s", new_root);
	if (stat("/", &root) < 0 || statfs("/", &fs) < 0)
		return gb_err_sys(err, errno, "/");
	int r = gb_mountinfo_is_root(AT_FDCWD, new_root, 0);
	if (r <= 0)
		return gb_err_set(err, r < 0 ? -r : EINVAL, "new root %s: not a mount point (bind it to itself first: arcmount bind "
				  "%s %s)", new_root, new_root, new_root);
	if (root.st_dev == new.st_dev && root.st_ino == new.st_ino)
		return gb_err_set(err, EINVAL, "new root %s is the root already", new_root);
	/* What removes the old root's files must be sure that they are an initramfs's. */
	if (getpid() != 1)
		return gb_err_set(err, EPERM, "switch-root is for PID 1, which this is not (pid %d): exec it from /init",
				  (int)getpid());
	if ((unsigned long)fs.f_type != RAMFS_MAGIC && (unsigned long)fs.f_type != TMPFS_MAGIC)
		return gb_err_set(err, EINVAL, "/ is no initramfs (neither ramfs nor tmpfs): use pivot-root");
	if (root.st_dev == new.st_dev)
		return gb_err_set(err, EINVAL, "new root %s: part of the initramfs, whose files go away (copy it to a file system of its "
				  "own)", new_root);
	if (snprintf(path, sizeof path, "%s%s%s", is_carried(init) ? "" : new_root, *init == '/' ? "" : "/", init) >= (int)sizeof path)
		return gb_err_sys(err, ENAMETOOLONG, "%s", init);
	/* Symbolic links in it may be absolute, which counts only from inside: what cannot be told is left to execv(3). */
	if (lstat(path, &st) < 0)
		return gb_err_sys(err, errno, "init %s in the new root", init);
	if (S_ISDIR(st.st_mode) || (S_ISREG(st.st_mode) && !(st.st_mode & 0111)))
		return gb_err_set(err, EACCES, "init %s in the new root is no program", init);

	old = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (old < 0)
		return gb_err_sys(err, errno, "/");
	for (size_t i = 0; i < GB_ARRAY_LEN(carried); i++) {
		if (gb_mountinfo_is_root(AT_FDCWD, carried[i], AT_SYMLINK_NOFOLLOW) != 1)
			continue;
		(void)snprintf(path, sizeof path, "%s%s", new_root, carried[i]);
		r = gb_mountinfo_is_root(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW) == 1
		    ? -EBUSY : gb_mount_raw(carried[i], path, NULL, MS_MOVE, NULL);
		if (r < 0) /* the new root has no such folder, or its own: this one is not needed any more */
			(void)gb_mount_raw_undo(carried[i], MNT_DETACH);
	}
	if (chdir(new_root) < 0)
		return gb_err_sys(err, errno, "new root %s", new_root);
	r = gb_mount_raw(".", "/", NULL, MS_MOVE, NULL);
	if (r < 0)
		return gb_err_sys(err, -r, "cannot move %s to /", new_root);
	if (chroot(".") < 0 || chdir("/") < 0)
		return gb_err_sys(err, errno, "cannot change the root to %s", new_root);
	empty(gb_dir_take(gb_take_fd(&old)), root.st_dev);
	return 0;
}
