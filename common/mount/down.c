/* SPDX-License-Identifier: MIT */
/* Taking file systems down. */
#include "common/mount/down.h"

#include <errno.h>
#include <stddef.h>
#include <sys/mount.h>

int gb_mount_down(const char *target, bool force)
{
	return umount2(target, UMOUNT_NOFOLLOW | (force ? MNT_FORCE : 0)) < 0 ? -errno : 0;
}

int gb_mount_readonly(const char *target)
{
	return mount(NULL, target, NULL, MS_REMOUNT | MS_RDONLY, NULL) < 0 ? -errno : 0;
}
