/* SPDX-License-Identifier: MIT */
/* Another root: pivot_root(2), and the way out of an initramfs. */
#ifndef GB_MOUNT_ROOT_H
#define GB_MOUNT_ROOT_H

#include "common/base/buf.h"
#include "common/base/err.h"

/* pivot_root(2), with the condition that does not hold named in err. 0 or -errno. */
int gb_mount_pivot(const char *new_root, const char *put_old, struct gb_err *err);

/* Moves /dev, /proc, /sys and /run over, makes new_root the root of this process and mount namespace, and removes what
 * was in the initramfs to give its memory back (only when / is a ramfs or tmpfs). Leaves the working directory at the
 * new root; the caller then executes init. 0 or -errno; before the first move everything that can be is checked. */
int gb_mount_switch(const char *new_root, const char *init, struct gb_err *err);

/* The calls that the switch would make, a line each. Pure. */
int gb_mount_switch_text(struct gb_buf *buf, const char *new_root, const char *init);

#endif
