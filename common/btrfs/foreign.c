/* SPDX-License-Identifier: MIT */
/* Signatures of anything but Btrfs. */
#include "common/btrfs/foreign.h"

#include <bsd/string.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/io.h"
#include "common/sys/blkid.h"

enum {
	BOOT_TABLE = 446, BOOT_TABLE_LEN = 64, /* where a boot sector has its four partitions */
	PROBED_HEAD = 128 << 10,               /* bytes of either end that are looked at */
	PROBED_TAIL = 512 << 10,
};

/* Whether what was found stands in [own, own_end). */
static bool is_within(blkid_probe pr, const char *key, uint64_t own, uint64_t own_end)
{
	const char *value;

	if (blkid_probe_lookup_value(pr, key, &value, NULL) < 0)
		return false;
	uint64_t at = strtoull(value, NULL, 10);
	return at >= own && at < own_end;
}

/* A boot loader's sector has the signature of a partition table, and no partition. */
static bool is_bare(int fd, const char *type)
{
	static const unsigned char none[BOOT_TABLE_LEN];
	unsigned char table[BOOT_TABLE_LEN];

	return strcmp(type, "dos") == 0 && gb_io_pread(fd, table, sizeof table, BOOT_TABLE) == sizeof table &&
	       memcmp(table, none, sizeof none) == 0;
}

/* "ext4 file system", "crypto_LUKS", "gpt partition table". */
static int describe(blkid_probe pr, char *name, size_t len)
{
	const char *value, *usage = NULL;

	if (blkid_probe_lookup_value(pr, "TYPE", &value, NULL) == 0) {
		if (strcmp(value, "btrfs") == 0)
			return 0;
		(void)blkid_probe_lookup_value(pr, "USAGE", &usage, NULL);
		(void)snprintf(name, len, "%s%s", value, !usage ? "" : strcmp(usage, "filesystem") == 0 ? " file system" :
			       strcmp(usage, "raid") == 0 ? " member" : strcmp(usage, "crypto") == 0 ? " encrypted volume" : "");
		return 1;
	}
	if (blkid_probe_lookup_value(pr, "PTTYPE", &value, NULL) == 0) {
		(void)snprintf(name, len, "%s partition table", value);
		return 1;
	}
	if (blkid_probe_numof_values(pr) > 0) {
		(void)strlcpy(name, "a signature", len);
		return 1;
	}
	return 0;
}

/* Whether it is a Btrfs's own after all. */
static bool is_own(blkid_probe pr, int fd, uint64_t own, uint64_t own_end)
{
	const char *type;

	if (own == own_end)
		return false;
	if (blkid_probe_has_value(pr, "TYPE"))
		return is_within(pr, "SBMAGIC_OFFSET", own, own_end);
	return is_within(pr, "PTMAGIC_OFFSET", own, own_end) ||
	       (blkid_probe_lookup_value(pr, "PTTYPE", &type, NULL) == 0 && is_bare(fd, type));
}

int gb_foreign_find(int fd, uint64_t size, uint64_t own, uint64_t own_end, char *name, size_t len)
{
	static char zfs_member[] = "zfs_member", *zfs[] = { zfs_member, NULL };
	gb_autoblkid blkid_probe pr = blkid_new_probe();
	int r;

	if (!pr)
		return -ENOMEM;
	/* libblkid reads some forty pieces of these two: two requests, and the pieces are there. */
	(void)posix_fadvise(fd, 0, PROBED_HEAD, POSIX_FADV_WILLNEED);
	if (size > PROBED_TAIL)
		(void)posix_fadvise(fd, (off_t)(size - PROBED_TAIL), PROBED_TAIL, POSIX_FADV_WILLNEED);
	errno = 0;
	if (blkid_probe_set_device(pr, fd, 0, (blkid_loff_t)size) < 0)
		return errno ? -errno : -EIO;
	if (blkid_probe_enable_superblocks(pr, 1) < 0 || blkid_probe_enable_partitions(pr, 1) < 0 ||
	    blkid_probe_set_superblocks_flags(pr, BLKID_SUBLKS_TYPE | BLKID_SUBLKS_USAGE | BLKID_SUBLKS_MAGIC |
					      BLKID_SUBLKS_BADCSUM) < 0 ||
	    blkid_probe_set_partitions_flags(pr, BLKID_PARTS_MAGIC) < 0)
		return -ENOMEM;
	/* ZFS's four labels of 256 KiB are most of what would be read, and none is written beside a Btrfs: the first one's
	 * list lies over the superblock at 64 KiB (vdev_phys_t of OpenZFS), and mkfs.btrfs(8) writes zeros over all of them. */
	if (own != own_end && blkid_probe_filter_superblocks_type(pr, BLKID_FLTR_NOTIN, zfs) < 0)
		return -ENOMEM;
	/* One result a call, until there are no more: not safeprobe, whose "ambivalent" names nothing. */
	while ((errno = 0, r = blkid_do_probe(pr)) == 0) {
		if (!is_own(pr, fd, own, own_end) && describe(pr, name, len) > 0)
			return 1;
	}
	return r < 0 ? (errno ? -errno : -EIO) : 0;
}
