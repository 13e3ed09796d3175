/* SPDX-License-Identifier: MIT */
/* cmocka wants these before its own header. */
#ifndef GB_UNIT_H
#define GB_UNIT_H

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
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

#endif
