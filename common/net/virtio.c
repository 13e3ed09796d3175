/* SPDX-License-Identifier: MIT */
/* Virtio-serial ports by name. */
#include "common/net/virtio.h"

#include <bsd/string.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/base/dir.h"
#include "common/base/io.h"

enum { NAME_BYTES = 4096 }; /* a sysfs attribute is a page at most */

int gb_virtio_find(const char *ports, const char *name, char *ret_device, size_t size)
{
	gb_autoclosedir DIR *dir = opendir(ports);
	const struct dirent *entry;
	int r;

	if (!dir)
		return -errno;
	while ((r = gb_dir_next(dir, &entry)) > 0) {
		char path[PATH_MAX], text[NAME_BYTES];

		if (entry->d_name[0] == '.')
			continue;
		(void)snprintf(path, sizeof path, "%s/name", entry->d_name);
		/* A port without a name has no such file. */
		if (gb_io_line(dirfd(dir), path, text, sizeof text) < 0 || strcmp(text, name) != 0)
			continue;
		return strlcpy(ret_device, entry->d_name, size) < size ? 0 : -ENAMETOOLONG;
	}
	return r < 0 ? r : -ENOENT;
}

int gb_virtio_open(const char *name, struct gb_err *err)
{
	char device[NAME_MAX + 1], path[PATH_MAX];
	int r = gb_virtio_find(GB_VIRTIO_PORTS, name, device, sizeof device);

	if (r == -ENOENT)
		return gb_err_set(err, ENOENT, "virtio:%s: no virtio-serial port of that name", name);
	if (r < 0)
		return gb_err_sys(err, -r, "virtio:%s: %s", name, GB_VIRTIO_PORTS);
	(void)snprintf(path, sizeof path, "/dev/%s", device);
	int fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return gb_err_sys(err, errno, "virtio:%s: %s", name, path);
	return fd;
}
