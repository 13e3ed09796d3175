/* SPDX-License-Identifier: MIT */
/* Who keeps a mount busy. */
#ifndef GB_MOUNT_BUSY_H
#define GB_MOUNT_BUSY_H

#include "common/base/buf.h"

/* Appends the holders of the mount at target, separated by "; ": processes by pid, command and path (root, working
 * directory, program, open and mapped files), mounts on top of it, loop devices and swap files inside. At most eight of
 * them, then how many more. Returns their number, 0 when none can be seen, or -errno. */
int gb_mount_holders(const char *target, struct gb_buf *text);

#endif
