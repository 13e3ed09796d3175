/* SPDX-License-Identifier: MIT */
/* Ownership by scope: what is declared gb_auto* is released when its block ends. */
#ifndef GB_BASE_CLEANUP_H
#define GB_BASE_CLEANUP_H

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Each releaser keeps errno, so that `return -errno` works across the end of a scope. */
static inline void gb_close_fd(int *fd)
{
	if (*fd >= 0) {
		int saved = errno;
		(void)close(*fd);
		errno = saved;
	}
}

static inline void gb_free_ptr(void *ptr)
{
	free(*(void **)ptr);
}

static inline void gb_close_file(FILE **file)
{
	if (*file) {
		int saved = errno;
		(void)fclose(*file);
		errno = saved;
	}
}

static inline void gb_close_dir(DIR **dir)
{
	if (*dir) {
		int saved = errno;
		(void)closedir(*dir);
		errno = saved;
	}
}

#define gb_cleanup(fn) __attribute__((cleanup(fn)))
#define gb_autoclose gb_cleanup(gb_close_fd)
#define gb_autofree gb_cleanup(gb_free_ptr)
#define gb_autofclose gb_cleanup(gb_close_file)
#define gb_autoclosedir gb_cleanup(gb_close_dir)

/* Moves a descriptor out of a gb_autoclose variable: the caller of this owns it now. */
static inline int gb_take_fd(int *fd)
{
	int taken = *fd;
	*fd = -1;
	return taken;
}

/* The same for memory. */
#define gb_take_ptr(ptr) ({ __typeof__(ptr) gb_taken_ = (ptr); (ptr) = NULL; gb_taken_; })

#define GB_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

#endif
