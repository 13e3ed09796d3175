/* SPDX-License-Identifier: MIT */
/* Signatures of anything but Btrfs. */
#include "common/btrfs/foreign.h"

#include <bsd/string.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/sys/blkid.h"

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

int gb_foreign_find(int fd, uint64_t size, char *name, size_t len)
{
	gb_autoblkid blkid_probe pr = blkid_new_probe();
	int r;

	if (!pr)
		return -ENOMEM;
	errno = 0;
	if (blkid_probe_set_device(pr, fd, 0, (blkid_loff_t)size) < 0)
		return errno ? -errno : -EIO;
	if (blkid_probe_enable_superblocks(pr, 1) < 0 || blkid_probe_enable_partitions(pr, 1) < 0 ||
	    blkid_probe_set_superblocks_flags(pr, BLKID_SUBLKS_TYPE | BLKID_SUBLKS_USAGE | BLKID_SUBLKS_MAGIC |
					      BLKID_SUBLKS_BADCSUM) < 0 ||
	    blkid_probe_set_partitions_flags(pr, BLKID_PARTS_MAGIC) < 0)
		return -ENOMEM;
	/* One result a call, until there are no more: not safeprobe, whose "ambivalent" names nothing. */
	while ((errno = 0, r = blkid_do_probe(pr)) == 0) {
		if (describe(pr, name, len) > 0)
			return 1;
	}
	return r < 0 ? (errno ? -errno : -EIO) : 0;
}
