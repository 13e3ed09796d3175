/* SPDX-License-Identifier: MIT */
/* The ioctls of a mounted Btrfs that we use (btrfs-ioctl(2)). */
#ifndef GB_BTRFS_IOCTL_H
#define GB_BTRFS_IOCTL_H

#include <stdbool.h>
#include <stdint.h>

/* A subvolume below the directory dirfd: 0 or -errno. */
int gb_btrfs_subvol_create(int dirfd, const char *name);

/* 1 if `name` there is a subvolume, 0 if it is something else, -ENOENT or -errno. */
int gb_btrfs_subvol_is(int dirfd, const char *name);

/* A snapshot of the subvolume that source is (its root open), as a subvolume below dirfd: 0 or -errno. */
int gb_btrfs_snapshot(int dirfd, const char *name, int source, bool read_only);

/* Deletes the subvolume `name` below dirfd and those inside it: 0 or -errno (-ENOENT). */
int gb_btrfs_subvol_delete(int dirfd, const char *name);

/* Grows device `devid` of the file system to the whole of its block device: 0 or -errno. */
int gb_btrfs_grow(int fd, uint64_t devid);

struct gb_btrfs_device {
	uint64_t devid, total, used; /* bytes of it the file system has, and has given to chunks */
	char path[1024];             /* "" when it is missing */
};
/* One device of the file system that fd is on: 0, or -errno (-ENODEV: none has this number). */
int gb_btrfs_device(int fd, uint64_t devid, struct gb_btrfs_device *ret_device);

/* Ids of devices: how many there are, and the highest: 0 or -errno. */
int gb_btrfs_devices(int fd, uint64_t *ret_count, uint64_t *ret_max);

/* Chunks of one kind and profile, in bytes of the file system (each counts `copies` times on disk). */
struct gb_btrfs_space {
	uint64_t flags, total, used;
	unsigned copies;
};
enum { GB_BTRFS_SPACES = 32 };
/* Writes at most `max` rows: how many, or -errno. */
int gb_btrfs_spaces(int fd, struct gb_btrfs_space *rows, unsigned max);

/* The room that is held back for the file system's own needs; it stands in no other sum. 0 or -errno. */
int gb_btrfs_reserve(int fd, uint64_t *ret_size, uint64_t *ret_used);

/* BTRFS_BLOCK_GROUP_ of a row. */
enum { GB_BTRFS_DATA = 1, GB_BTRFS_SYSTEM = 2, GB_BTRFS_METADATA = 4 };

#endif
