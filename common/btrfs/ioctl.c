/* SPDX-License-Identifier: MIT */
/* The ioctls of a mounted Btrfs. */
#include "common/btrfs/ioctl.h"

#include <bsd/string.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/btrfs.h>
#include <linux/btrfs_tree.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "common/base/cleanup.h"
#include "common/base/dir.h"

_Static_assert(sizeof(struct btrfs_ioctl_vol_args) == 4096, "struct btrfs_ioctl_vol_args");
_Static_assert(BTRFS_IOC_RESIZE == 0x50009403, "BTRFS_IOC_RESIZE");
_Static_assert(sizeof(struct btrfs_ioctl_vol_args_v2) == 4096, "struct btrfs_ioctl_vol_args_v2");
_Static_assert(BTRFS_IOC_SNAP_CREATE_V2 == 0x50009417, "BTRFS_IOC_SNAP_CREATE_V2");
_Static_assert(BTRFS_IOC_SNAP_DESTROY == 0x5000940f, "BTRFS_IOC_SNAP_DESTROY");
_Static_assert(BTRFS_IOC_SUBVOL_CREATE == 0x5000940e, "BTRFS_IOC_SUBVOL_CREATE");
_Static_assert(sizeof(struct btrfs_ioctl_dev_info_args) == 4096, "struct btrfs_ioctl_dev_info_args");
_Static_assert(sizeof(struct btrfs_ioctl_fs_info_args) == 1024, "struct btrfs_ioctl_fs_info_args");
_Static_assert(GB_BTRFS_DATA == BTRFS_BLOCK_GROUP_DATA && GB_BTRFS_SYSTEM == BTRFS_BLOCK_GROUP_SYSTEM &&
	       GB_BTRFS_METADATA == BTRFS_BLOCK_GROUP_METADATA, "block group types");

enum { DELETE_DEPTH = 200 }; /* of directories, each of which is an open descriptor */

int gb_btrfs_subvol_create(int dirfd, const char *name)
{
	struct btrfs_ioctl_vol_args args = { 0 };

	if (strlcpy(args.name, name, sizeof args.name) >= sizeof args.name)
		return -ENAMETOOLONG;
	return ioctl(dirfd, BTRFS_IOC_SUBVOL_CREATE, &args) < 0 ? -errno : 0;
}

int gb_btrfs_subvol_is(int dirfd, const char *name)
{
	struct stat st;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	return S_ISDIR(st.st_mode) && st.st_ino == BTRFS_FIRST_FREE_OBJECTID;
}

int gb_btrfs_snapshot(int dirfd, const char *name, int source, bool read_only)
{
	struct btrfs_ioctl_vol_args_v2 args = { .fd = source, .flags = read_only ? BTRFS_SUBVOL_RDONLY : 0 };

	if (strlcpy(args.name, name, sizeof args.name) >= sizeof args.name)
		return -ENAMETOOLONG;
	return ioctl(dirfd, BTRFS_IOC_SNAP_CREATE_V2, &args) < 0 ? -errno : 0;
}

/* Deletes all subvolumes below the folder. They may stand anywhere: the kernel refuses to delete
 * a subvolume that has others inside. */
static int delete_below(int parent, const char *name, int depth)
{
	gb_autoclosedir DIR *dir = gb_dir_open(parent, name);
	const struct dirent *entry;
	struct stat st;
	int r = 0;

	if (!dir)
		return -errno;
	int fd = dirfd(dir);
	while (r == 0 && (r = gb_dir_next(dir, &entry)) > 0) {
		r = 0;
		if (fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(st.st_mode))
			continue;
		if (st.st_ino == BTRFS_FIRST_FREE_OBJECTID)
			r = gb_btrfs_subvol_delete(fd, entry->d_name);
		else
			r = depth == 0 ? -ELOOP : delete_below(fd, entry->d_name, depth - 1);
	}
	return r;
}

int gb_btrfs_subvol_delete(int dirfd, const char *name)
{
	struct btrfs_ioctl_vol_args args = { 0 };

	if (strlcpy(args.name, name, sizeof args.name) >= sizeof args.name)
		return -ENAMETOOLONG;
	if (ioctl(dirfd, BTRFS_IOC_SNAP_DESTROY, &args) == 0)
		return 0;
	if (errno != ENOTEMPTY)
		return -errno;
	int r = delete_below(dirfd, name, DELETE_DEPTH);
	if (r == 0 && ioctl(dirfd, BTRFS_IOC_SNAP_DESTROY, &args) < 0)
		r = -errno;
	return r;
}

int gb_btrfs_grow(int fd, uint64_t devid)
{
	struct btrfs_ioctl_vol_args args = { 0 };

	(void)snprintf(args.name, sizeof args.name, "%" PRIu64 ":max", devid);
	return ioctl(fd, BTRFS_IOC_RESIZE, &args) < 0 ? -errno : 0;
}

int gb_btrfs_device(int fd, uint64_t devid, struct gb_btrfs_device *ret_device)
{
	struct btrfs_ioctl_dev_info_args args = { .devid = devid };

	if (ioctl(fd, BTRFS_IOC_DEV_INFO, &args) < 0)
		return -errno;
	ret_device->devid = args.devid;
	ret_device->total = args.total_bytes;
	ret_device->used = args.bytes_used;
	args.path[sizeof args.path - 1] = '\0';
	(void)strlcpy(ret_device->path, (const char *)args.path, sizeof ret_device->path);
	return 0;
}

int gb_btrfs_devices(int fd, uint64_t *ret_count, uint64_t *ret_max)
{
	struct btrfs_ioctl_fs_info_args args = { 0 };

	if (ioctl(fd, BTRFS_IOC_FS_INFO, &args) < 0)
		return -errno;
	*ret_count = args.num_devices;
	*ret_max = args.max_id;
	return 0;
}

/* On how many places each byte of a chunk of this profile stands. */
static unsigned copies_of(uint64_t flags)
{
	if (flags & (BTRFS_BLOCK_GROUP_DUP | BTRFS_BLOCK_GROUP_RAID1 | BTRFS_BLOCK_GROUP_RAID10))
		return 2;
	if (flags & BTRFS_BLOCK_GROUP_RAID1C3)
		return 3;
	return flags & BTRFS_BLOCK_GROUP_RAID1C4 ? 4 : 1;
}

static struct btrfs_ioctl_space_args *spaces(int fd, unsigned max)
{
	struct btrfs_ioctl_space_args *args = calloc(1, sizeof *args + max * sizeof args->spaces[0]);

	if (!args)
		return NULL;
	args->space_slots = max;
	if (ioctl(fd, BTRFS_IOC_SPACE_INFO, args) < 0) {
		int saved = errno;
		free(args);
		errno = saved;
		return NULL;
	}
	if (args->total_spaces > max)
		args->total_spaces = max;
	return args;
}

int gb_btrfs_spaces(int fd, struct gb_btrfs_space *rows, unsigned max)
{
	gb_autofree struct btrfs_ioctl_space_args *args = spaces(fd, max);
	int n = 0;

	if (!args)
		return -errno;
	for (uint64_t i = 0; i < args->total_spaces; i++) {
		if (args->spaces[i].flags & BTRFS_SPACE_INFO_GLOBAL_RSV)
			continue;
		rows[n++] = (struct gb_btrfs_space){ .flags = args->spaces[i].flags, .total = args->spaces[i].total_bytes,
						     .used = args->spaces[i].used_bytes,
						     .copies = copies_of(args->spaces[i].flags) };
	}
	return n;
}

int gb_btrfs_reserve(int fd, uint64_t *ret_size, uint64_t *ret_used)
{
	gb_autofree struct btrfs_ioctl_space_args *args = spaces(fd, GB_BTRFS_SPACES);

	if (!args)
		return -errno;
	*ret_size = *ret_used = 0;
	for (uint64_t i = 0; i < args->total_spaces; i++) {
		if (args->spaces[i].flags & BTRFS_SPACE_INFO_GLOBAL_RSV) {
			*ret_size = args->spaces[i].total_bytes;
			*ret_used = args->spaces[i].used_bytes;
		}
	}
	return 0;
}
