/* SPDX-License-Identifier: MIT */
/* Emptying a folder. */
#ifndef GB_SYS_RMTREE_H
#define GB_SYS_RMTREE_H

#include <stdint.h>

#include "common/base/buf.h"

/* Removes all that is in the folder, but not the folder. Never follows a link, and never goes into another mount, be it
 * of the same file system: what is mounted there is somebody's data. Goes on past errors; the first few are appended to
 * problems, "PATH: reason" each with "; " between. How many things could not be removed, or -errno when the folder could
 * not be opened (-ENOENT is left to the caller).
 *
 * Three more remove trees, each by a rule that would be wrong here: common/sandbox/store.c (a subvolume goes whole),
 * common/sandbox/cgroup.c (folders alone: the files go with them) and common/mount/root.c (an initramfs, as far as it goes). */
int64_t gb_rmtree_inside(const char *path, struct gb_buf *problems);

#endif
