/* SPDX-License-Identifier: MIT */
/* Inode flags (ioctl_iflags(2)), the NOCOW flag above all. */
#ifndef GB_SYS_FSFLAGS_H
#define GB_SYS_FSFLAGS_H

#include <stdbool.h>

/* The flags of an open file or directory: 0, -EOPNOTSUPP when its file system has none, or -errno. */
int gb_fsflags_get(int fd, unsigned *ret_flags);

/* Sets all of them: 0, -EOPNOTSUPP or -errno. What the kernel left out without a word shows when they are read back. */
int gb_fsflags_set(int fd, unsigned flags);

/* Sets or clears FS_NOCOW_FL and reads it back. Setting takes the flags of compression away: they exclude
 * each other. 1 when it changed, 0 when it stood like that, -EOPNOTSUPP when the file system has no such flag,
 * -EBUSY when the kernel let the call pass and changed nothing (Btrfs does so for a file that is not empty), -errno. */
int gb_fsflags_nocow(int fd, bool on);

#endif
