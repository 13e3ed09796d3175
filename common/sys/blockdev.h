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

/* Waits for the exclusive lock on it and keeps it until the descriptor is closed; *ret_waited (may be NULL) tells
 * whether somebody else had it. The lock is one of open file descriptions (fcntl(2)), which a device that is written to
 * takes; one that cannot be written takes flock(2)'s. mkfs.btrfs takes flock(2)'s by itself: it must not wait for us.
 * Returns the descriptor or -errno. */
int gb_blockdev_lock(const struct gb_blockdev *device, bool *ret_waited, struct gb_err *err);

/* The same for a block device by its number, whatever node of it was opened: a lock on a node is that inode's, and a folder
 * of another's has other inodes. Taken after that one. The descriptor (of a file in /sys: flock(2)), -ENOENT where there is
 * none, or -errno. */
int gb_blockdev_lock_number(const struct gb_blockdev *device, bool *ret_waited, struct gb_err *err);

/* Whether someone has it open for himself alone (a mount, a RAID, a mapping): 1, 0 or -errno. */
int gb_blockdev_busy(const struct gb_blockdev *device);

/* How many devices stand on one: mappings, RAIDs. */
unsigned gb_blockdev_holders(unsigned major, unsigned minor);

/* The loop device that already stands for all of a regular file, its path in `path`: 1, 0 or -errno. */
int gb_blockdev_loop_find(const struct gb_blockdev *file, char *path, size_t size);

/* The paths of a text like /proc/swaps, one a call; the kernel's escapes are undone in place. Pure. *pos starts at 0. NULL at
 * the end. */
char *gb_blockdev_swap_next(char *text, size_t *pos);

#endif
