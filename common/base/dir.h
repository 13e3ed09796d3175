/* SPDX-License-Identifier: MIT */
/* The entries of folders. */
#ifndef GB_BASE_DIR_H
#define GB_BASE_DIR_H

#include <dirent.h>
#include <stdbool.h>

/* "." or "..". */
bool gb_dir_dots(const char *name);

/* The folder `name` below dirfd, no link (O_NOFOLLOW). NULL with errno. To be closed with closedir(3): gb_autoclosedir. */
DIR *gb_dir_open(int dirfd, const char *name);

/* The folder that fd is, for what opens it in another way; fd is the DIR's from then on, and closed when there is none.
 * A negative fd has failed already, with errno. */
DIR *gb_dir_take(int fd);

/* The next entry but "." and ".."; NULL with errno 0 at the end, else with what readdir(3) met. */
const struct dirent *gb_dir_next(DIR *dir);

#endif
