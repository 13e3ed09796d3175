/* SPDX-License-Identifier: MIT */
/* Folders: their entries, and what lies below them. */
#ifndef GB_BASE_DIR_H
#define GB_BASE_DIR_H

#include <dirent.h>
#include <stdbool.h>

/* "." or "..". */
bool gb_dir_dots(const char *name);

/* Whether an absolute path is dir or lies below it, by whole components; slashes at dir's end do not count. Pure. */
bool gb_dir_within(const char *path, const char *dir);

/* The folder `name` below dirfd, no link (O_NOFOLLOW). NULL with errno. To be closed with closedir(3): gb_autoclosedir. */
DIR *gb_dir_open(int dirfd, const char *name);

/* The folder that fd is, for what opens it in another way; fd is the DIR's from then on, and closed when there is none.
 * A negative fd has failed already, with errno. */
DIR *gb_dir_take(int fd);

/* The next entry but "." and ".."; it is the DIR's, until the next call. 1; 0 at the end; -errno of readdir(3), so that what
 * could not be read is not taken for the end. Nothing else calls readdir(3). */
int gb_dir_next(DIR *dir, const struct dirent **ret_entry);

#endif
