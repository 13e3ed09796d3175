/* SPDX-License-Identifier: MIT */
/* Taking file systems down at the end of a machine. */
#ifndef GB_MOUNT_DOWN_H
#define GB_MOUNT_DOWN_H

#include <stdbool.h>

/* umount2(2) of the top mount at target, never through a symbolic link. force aborts the requests of a server that does
 * not answer (MNT_FORCE: FUSE, virtiofs, NFS, 9p). May block for as long as the disk or the server does. 0 or -errno. */
int gb_mount_down(const char *target, bool force);

/* Makes the file system (not just this mount of it) read-only, which writes back all that it holds: 0 or -errno. */
int gb_mount_readonly(const char *target);

#endif
