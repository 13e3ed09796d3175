/* SPDX-License-Identifier: MIT */
/* libblkid. */
#include "common/mount/tag.h"

#include <bsd/string.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "common/base/io.h"
#include "common/sys/blkid.h"
#include "common/sys/blockdev.h"

static bool is_tag(const char *source)
{
	static const char *const names[] = { "LABEL=", "UUID=", "PARTLABEL=", "PARTUUID=" };

	for (size_t i = 0; i < GB_ARRAY_LEN(names); i++) {
		if (strncmp(source, names[i], strlen(names[i])) == 0)
			return true;
	}
	return false;
}

/* What is on the device bears the tag, or its entry in the partition table does. */
static bool bears(const char *device, const char *tag, const char *value)
{
	bool of_table = strncmp(tag, "PART", 4) == 0, number = strstr(tag, "UUID");
	const char *key = !of_table ? tag : number ? "PART_ENTRY_UUID" : "PART_ENTRY_NAME", *found;
	gb_autoclose int fd = open(device, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	gb_autoblkid blkid_probe probe = fd < 0 ? NULL : blkid_new_probe();

	/* A UUID is a number, however its letters are written: libblkid has FAT's in capitals, the others small. */
	return probe && blkid_probe_set_device(probe, fd, 0, 0) == 0 && blkid_probe_enable_superblocks(probe, 1) == 0 &&
	       blkid_probe_set_superblocks_flags(probe, BLKID_SUBLKS_LABEL | BLKID_SUBLKS_UUID | BLKID_SUBLKS_TYPE) == 0 &&
	       blkid_probe_enable_partitions(probe, 1) == 0 &&
	       blkid_probe_set_partitions_flags(probe, BLKID_PARTS_ENTRY_DETAILS) == 0 && blkid_do_safeprobe(probe) == 0 &&
	       blkid_probe_lookup_value(probe, key, &found, NULL) == 0 &&
	       (number ? strcasecmp(found, value) : strcmp(found, value)) == 0;
}

/* The disk's own superblock, where it has partitions, is what was there before them. */
static bool has_partitions(const char *disk, const char *table)
{
	size_t n = strlen(disk);
	const char *mark = isdigit((unsigned char)disk[n - 1]) ? "p" : "";

	for (const char *p = table; (p = strstr(p, disk)); p += n) {
		const char *rest = p + n;

		if (p > table && p[-1] == ' ' && strncmp(rest, mark, strlen(mark)) == 0 &&
		    isdigit((unsigned char)rest[strlen(mark)]))
			return true;
	}
	return false;
}

/* The name that a device of /proc/partitions goes by in /dev, and how much it is to be preferred: a mapping to the disks
 * below it, which look alike, and the uppermost mapping to the others. 0: it has no node. */
static int node_of(const char *name, unsigned maj, unsigned min, char *device, size_t size)
{
	char path[64], mapping[256];
	int rank = strncmp(name, "md", 2) == 0 ? 2 : 1;

	(void)snprintf(path, sizeof path, "/sys/dev/block/%u:%u/dm/name", maj, min);
	bool is_mapping = gb_io_line(AT_FDCWD, path, mapping, sizeof mapping) == 0;
	if (is_mapping)
		rank = gb_blockdev_holders(maj, min) == 0 ? 4 : 3;
	for (int mapped = is_mapping; mapped >= 0; mapped--) {
		struct stat st;
		int n = mapped ? snprintf(device, size, "/dev/mapper/%s", mapping) : snprintf(device, size, "/dev/%s", name);

		if (n > 0 && (size_t)n < size && stat(device, &st) == 0 && S_ISBLK(st.st_mode) && st.st_rdev == makedev(maj, min))
			return rank;
	}
	return 0;
}

/* 0, -ENODEV or -errno. */
static int find(const char *tag, const char *value, char *ret_device, size_t size)
{
	gb_autobuf struct gb_buf table = { 0 };
	int best = 0, r = gb_io_slurp(AT_FDCWD, "/proc/partitions", 1 << 20, &table);

	if (r < 0)
		return r;
	for (const char *line = gb_buf_text(&table); line; line = strchr(line, '\n')) {
		unsigned maj, min;
		unsigned long long blocks;
		char name[64], device[512];

		line += *line == '\n';
		if (sscanf(line, "%u %u %llu %63s", &maj, &min, &blocks, name) != 4 || blocks <= 1 || /* an extended partition */
		    has_partitions(name, table.data))
			continue;
		int rank = node_of(name, maj, min, device, sizeof device);
		if (rank <= best || !bears(device, tag, value))
			continue;
		if (strlcpy(ret_device, device, size) >= size)
			return -ENAMETOOLONG;
		best = rank;
	}
	return best ? 0 : -ENODEV;
}

int gb_mount_tag_resolve(const char *source, char *device, size_t size, struct gb_err *err)
{
	char text[1024];

	if (!is_tag(source)) {
		if (strlcpy(device, source, size) >= size)
			return gb_err_sys(err, ENAMETOOLONG, "%s", source);
		return 0;
	}
	if (strlcpy(text, source, sizeof text) >= sizeof text)
		return gb_err_sys(err, ENAMETOOLONG, "%s", source);
	/* LABEL="a b" is written with quotes in fstab(5). */
	char *value = text + strcspn(text, "=") + 1;
	size_t n = strlen(value);
	if (n >= 2 && value[0] == '"' && value[n - 1] == '"') {
		memmove(value, value + 1, n - 2);
		value[n - 2] = '\0';
	}
	value[-1] = '\0';
	/* Devices are looked at anew: no cache file of another boot is believed, nor a link that udev made. */
	int r = find(text, value, device, size);
	return r == -ENODEV ? gb_err_set(err, ENODEV, "%s: no device has this %s", source, text)
	       : r < 0	    ? gb_err_sys(err, -r, "%s", source) : 0;
}

int gb_mount_tag_type(const char *device, char *type, size_t size, struct gb_err *err)
{
	gb_autoclose int fd = open(device, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	const char *value = NULL;

	if (fd < 0)
		return gb_err_sys(err, errno, "source %s", device);
	struct stat st;
	if (fstat(fd, &st) < 0 || (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode)))
		return gb_err_set(err, ENOTBLK, "source %s is no block device and no disk image; a type (-t) is needed", device);
	gb_autoblkid blkid_probe probe = blkid_new_probe();
	if (!probe)
		return gb_err_sys(err, ENOMEM, "%s", device);
	if (blkid_probe_set_device(probe, fd, 0, 0) < 0 || blkid_probe_enable_superblocks(probe, 1) < 0 ||
	    blkid_probe_set_superblocks_flags(probe, BLKID_SUBLKS_TYPE) < 0)
		return gb_err_sys(err, EIO, "source %s", device);
	int r = blkid_do_safeprobe(probe);
	if (r == -2)
		return gb_err_set(err, EBADMSG, "source %s has traces of more than one file system; say which (-t)", device);
	if (r != 0 || blkid_probe_lookup_value(probe, "TYPE", &value, NULL) != 0)
		return gb_err_set(err, ENODATA, "source %s holds no file system that is known here", device);
	(void)strlcpy(type, value, size);
	return 0;
}
