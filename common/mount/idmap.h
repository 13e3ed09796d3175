/* SPDX-License-Identifier: MIT */
/* Mounts whose owners are mapped (mount_setattr(2), MOUNT_ATTR_IDMAP), and binds of what a descriptor stands for. */
#ifndef GB_MOUNT_IDMAP_H
#define GB_MOUNT_IDMAP_H

#include <stdint.h>

#include "common/base/err.h"

/* A user namespace in which uids and gids 0 to count - 1 are base and so on outside: a descriptor of it, or -errno. ret_net
 * (may be NULL) gets one of a new network namespace that belongs to it. */
int gb_mount_userns(uint32_t base, uint32_t count, int *ret_net);

enum {
	GB_TREE_NODEV = 1, GB_TREE_NOSUID = 2, GB_TREE_RDONLY = 4, GB_TREE_NOEXEC = 8,
	GB_TREE_RECURSIVE = 16,
};

/* Attaches a private copy of the mount that fd (O_PATH will do) is on, with fd at its root, at target. userns (-1: none):
 * who is 0 on disk is that namespace's 0 to whoever looks through the mount. 0 or -errno (-EINVAL: the file system
 * cannot map owners). */
int gb_mount_tree(int fd, int userns, unsigned flags, const char *target);
/* The same copy, attached nowhere: a descriptor, with which it goes, or -errno. */
int gb_mount_tree_open(int fd, int userns, unsigned flags);

/* All mounts of this (mount namespace) stop to propagate: 0 or -errno. */
int gb_mount_private(void);

#endif
