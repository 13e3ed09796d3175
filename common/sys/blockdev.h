/* SPDX-License-Identifier: MIT */
/* Block devices, and regular files that stand for one through a loop device. */
#ifndef GB_SYS_BLOCKDEV_H
#define GB_SYS_BLOCKDEV_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/base/err.h"

struct gb_blockdev {
	int fd;         /* read-only */
	bool file;      /* a regular file */
	bool read_only; /* cannot be written at all */
	uint64_t size;
	dev_t rdev; /* of a block device */
	dev_t dev;  /* of a file: where it is */
	ino_t ino;
	char path[256];
};

/* Opens it read-only. 0, -ENOENT, -ENXIO or -ENOMEDIUM when it may come yet (a block device of no size is -ENOMEDIUM),
 * -ENOTBLK for what is neither a block device nor a regular file, or -errno. */
int gb_blockdev_open(const char *path, struct gb_blockdev *ret_device, struct gb_err *err);
void gb_blockdev_close(struct gb_blockdev *device);
#define gb_autoblockdev __attribute__((cleanup(gb_blockdev_close)))

/* Locks, to be given back by gb_blockdev_unlock(). Start with {0}. */
enum { GB_BLOCKDEV_LOCKS = 16 };
struct gb_blockdev_locks {
	int fd[GB_BLOCKDEV_LOCKS];
	unsigned len;
};

/*
 * Waits for the exclusive locks on what the device is, by whatever name it is known, and keeps them until they are given
 * back:
 * - of a loop device first those of the file (or device) that it is of, if that can be reached by the name that the kernel
 *   has for it: two names or hard links of a file are one inode;
 * - that of the node: one of open file descriptions (fcntl(2)), which a device that is written to takes; one that cannot be
 *   written takes flock(2)'s. mkfs.btrfs takes flock(2)'s by itself: it must not wait for us;
 * - that of the device by its number, in /sys (flock(2)): a lock on a node is that inode's, and a folder of another's has
 *   other inodes;
 * - of a file then those of the loop device that stands for it, whose run may not have reached the file.
 * What lies below always comes first, so that no two runs wait for each other. 0 or -errno, with what was taken in `locks`.
 */
int gb_blockdev_lock(const struct gb_blockdev *device, struct gb_blockdev_locks *locks, struct gb_err *err);
void gb_blockdev_unlock(struct gb_blockdev_locks *locks);

/* Whether someone has it open for himself alone (a mount, a RAID, a mapping), or a loop device of the same file: 1, 0 or
 * -errno. */
int gb_blockdev_busy(const struct gb_blockdev *device);

/* How many devices stand on one: mappings, RAIDs. */
unsigned gb_blockdev_holders(unsigned major, unsigned minor);

/* The loop device that already stands for all of a regular file, its path in `path`: 1, 0 or -errno. */
int gb_blockdev_loop_find(const struct gb_blockdev *file, char *path, size_t size);

/* Whether the block device of this path is the device, or stands for all of the file that it is. */
bool gb_blockdev_is(const struct gb_blockdev *device, const char *path);

/* The paths of a text like /proc/swaps, one a call; the kernel's escapes are undone in place. Pure. *pos starts at 0. NULL at
 * the end. */
char *gb_blockdev_swap_next(char *text, size_t *pos);

#endif
