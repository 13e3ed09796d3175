/* SPDX-License-Identifier: MIT */
/* Folders. */
#include "common/base/dir.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "common/base/cleanup.h"

bool gb_dir_dots(const char *name)
{
	return name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
}

bool gb_dir_within(const char *path, const char *dir)
{
	size_t len = strlen(dir);

	while (len && dir[len - 1] == '/')
		len--;
	return strncmp(path, dir, len) == 0 && (path[len] == '/' || path[len] == '\0');
}

DIR *gb_dir_open(int dirfd, const char *name)
{
	return gb_dir_take(openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
}

DIR *gb_dir_take(int fd)
{
	gb_autoclose int own = fd;
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (dir)
		own = -1;
	return dir;
}

int gb_dir_next(DIR *dir, const struct dirent **ret_entry)
{
	const struct dirent *entry;

	do {
		errno = 0;
		entry = readdir(dir);
	} while (entry && gb_dir_dots(entry->d_name));
	if (!entry)
		return -errno;
	*ret_entry = entry;
	return 1;
}
