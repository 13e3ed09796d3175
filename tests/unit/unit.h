/* SPDX-License-Identifier: MIT */
/* cmocka wants these before its own header. */
#ifndef GB_UNIT_H
#define GB_UNIT_H

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* How many descriptors this process has open, and as many more as looking takes: to be compared with itself. */
static inline size_t unit_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	size_t n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	(void)closedir(dir);
	return n;
}

/* The path of name in dir, which stays as it is for four calls. */
static inline const char *unit_path(const char *dir, const char *name)
{
	static char paths[4][128];
	static unsigned next;
	char *path = paths[next++ % 4];

	assert_in_range(snprintf(path, sizeof paths[0], "%s/%s", dir, name), 1, sizeof paths[0] - 1);
	return path;
}

#endif
