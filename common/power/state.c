/* SPDX-License-Identifier: MIT */
/* Swap, loop devices, device-mapper devices. */
#include "common/power/state.h"

#include <bsd/stdlib.h>
#include <bsd/string.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/dm-ioctl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/dir.h"
#include "common/base/io.h"
#include "common/sys/blockdev.h"

void gb_power_devices_free(struct gb_power_devices *devices)
{
	for (size_t i = 0; i < devices->count; i++) {
		free(devices->rows[i].name);
		free(devices->rows[i].file);
	}
	free(devices->rows);
	*devices = (struct gb_power_devices){ 0 };
}

static int add(struct gb_power_devices *devices, const struct gb_power_device *row, const char *name, const char *file)
{
	struct gb_power_device *more = reallocarray(devices->rows, devices->count + 1, sizeof *more);

	if (!more)
		return -ENOMEM;
	devices->rows = more;
	more[devices->count] = *row;
	more[devices->count].name = strdup(name);
	more[devices->count].file = strdup(file);
	devices->count++;
	return more[devices->count - 1].name && more[devices->count - 1].file ? 0 : -ENOMEM;
}

static int read_swaps(struct gb_power_devices *devices)
{
	gb_autobuf struct gb_buf buf = { 0 };
	size_t pos = 0;
	char *path;
	int r = 0;

	if (gb_io_slurp(AT_FDCWD, "/proc/swaps", 1 << 20, &buf) < 0 || !buf.len)
		return 0;
	while (r == 0 && (path = gb_blockdev_swap_next(buf.data, &pos)))
		r = add(devices, &(struct gb_power_device){ .kind = GB_POWER_IS_SWAP }, path, "");
	return r;
}

/* An attribute of /sys/block/NAME. */
static int attribute(int dir, const char *name, const char *file, char *text, size_t size)
{
	char path[512];
	int n = snprintf(path, sizeof path, "%s/%s", name, file);

	return n < 0 || (size_t)n >= sizeof path ? -ENAMETOOLONG : gb_io_line(dir, path, text, size);
}

static int read_block(struct gb_power_devices *devices)
{
	gb_autoclosedir DIR *dir = opendir("/sys/block");
	int r = 0;

	for (const struct dirent *e; r == 0 && dir && (r = gb_dir_next(dir, &e)) > 0;) {
		struct gb_power_device row = { 0 };
		char text[4200], name[300];

		r = 0;
		if (strncmp(e->d_name, "loop", 4) != 0 && strncmp(e->d_name, "dm-", 3) != 0)
			continue;
		if (attribute(dirfd(dir), e->d_name, "dev", text, sizeof text) < 0 ||
		    sscanf(text, "%u:%u", &row.major, &row.minor) != 2)
			continue;
		row.holders = gb_blockdev_holders(row.major, row.minor);
		if (e->d_name[0] == 'l') {
			row.kind = GB_POWER_IS_LOOP;
			if (attribute(dirfd(dir), e->d_name, "loop/backing_file", text, sizeof text) < 0)
				continue; /* free */
			(void)snprintf(name, sizeof name, "/dev/%s", e->d_name);
			r = add(devices, &row, name, text);
		} else if (attribute(dirfd(dir), e->d_name, "dm/name", text, sizeof text) == 0) {
			row.kind = GB_POWER_IS_DM;
			r = add(devices, &row, text, "");
		}
	}
	return r;
}

int gb_power_devices_read(struct gb_power_devices *devices)
{
	int r = read_swaps(devices);

	return r < 0 ? r : read_block(devices);
}

int gb_power_swap_off(const char *path)
{
	return swapoff(path) < 0 ? -errno : 0;
}

int gb_power_dm_remove(const char *name)
{
	struct dm_ioctl io = {
		.version = { DM_VERSION_MAJOR, 0, 0 },
		.data_size = sizeof io,
		.data_start = sizeof io,
	};

	if (strlcpy(io.name, name, sizeof io.name) >= sizeof io.name)
		return -ENAMETOOLONG;
	gb_autoclose int fd = open("/dev/mapper/control", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	return ioctl(fd, DM_DEV_REMOVE, &io) < 0 && errno != ENXIO ? -errno : 0;
}

int gb_power_disk_free(const char *device)
{
	/* A mounted file system claims its disk, in whatever mount namespace it is mounted; O_EXCL asks for the same
	 * claim (open(2): "EBUSY ... the block device is in use by the system"). */
	gb_autoclose int fd = open(device, O_RDONLY | O_EXCL | O_CLOEXEC | O_NONBLOCK);

	if (fd >= 0 || errno == ENOENT || errno == ENXIO || errno == ENODEV)
		return 0;
	return -errno;
}
