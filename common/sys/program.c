/* SPDX-License-Identifier: MIT */
/* Where programs are. */
#include "common/sys/program.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const char *gb_program_path(void)
{
	const char *path = getenv("PATH");

	return path && *path ? path : GB_PROGRAM_PATH;
}

bool gb_program_find(const char *folders, const char *name, char *path, size_t size)
{
	for (const char *p = folders; p && *p; p += strcspn(p, ":"), p += *p == ':') {
		struct stat st;
		int n = *p == '/' ? snprintf(path, size, "%.*s/%s", (int)strcspn(p, ":"), p, name) : -1;
		if (n > 0 && (size_t)n < size && stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0)
			return true;
	}
	return false;
}
