/* SPDX-License-Identifier: MIT */
/* The file systems that a machine needs before it has any of its own. */
#ifndef GB_MOUNT_PSEUDO_H
#define GB_MOUNT_PSEUDO_H

#include "common/base/err.h"

/* Mounts /proc, /sys, /dev, /dev/pts, /dev/shm, /run, /tmp and cgroup2, each unless it is mounted already, and makes the
 * links of /dev. root is put in front of every path ("" for the machine's own). report is called for what fails, and the
 * rest is gone on with. The number of failures. */
int gb_mount_pseudo(const char *root, void (*report)(const char *text));

#endif
