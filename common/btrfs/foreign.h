/* SPDX-License-Identifier: MIT */
/* Signatures of anything but Btrfs, by libblkid. */
#ifndef GB_BTRFS_FOREIGN_H
#define GB_BTRFS_FOREIGN_H

#include <stddef.h>
#include <stdint.h>

/* Looks at all file systems, RAID members, encrypted volumes and partition tables that libblkid knows, those with a bad
 * checksum included. What stands in [own, own_end) is a Btrfs's own: a file on it may look like anything, and a boot sector
 * that names no partition is none of somebody else's; no own part: 0, 0. Writes the first one's name: 1 found, 0 none, or
 * -errno (-EIO when a read failed). */
int gb_foreign_find(int fd, uint64_t size, uint64_t own, uint64_t own_end, char *name, size_t len);

#endif
