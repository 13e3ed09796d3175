/* SPDX-License-Identifier: MIT */
/* Where programs are. */
#ifndef GB_SYS_PROGRAM_H
#define GB_SYS_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>

/* Where programs usually are: PATH where there is none, here and in a sandbox. */
#define GB_PROGRAM_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* $PATH, or that when it is not set. */
const char *gb_program_path(void);

/* The first of the folders (as in PATH; relative ones do not count) that has the program: whether there is one. */
bool gb_program_find(const char *folders, const char *name, char *path, size_t size);

#endif
