/* SPDX-License-Identifier: MIT */
/* Fuzz target: layout files. What is accepted leads nowhere but where it says. */
#include <stdlib.h>
#include <string.h>

#include "common/btrfs/layout.h"
#include "tests/fuzz/fuzz.h"

static void check_path(const char *path, int absolute)
{
	if ((path[0] == '/') != absolute || strstr(path, "//"))
		abort();
	for (const char *p = path + absolute; *p;) {
		size_t n = strcspn(p, "/");
		if (n == 0 || n > 255 || (n == 1 && p[0] == '.') || (n == 2 && memcmp(p, "..", 2) == 0))
			abort();
		p += n + (p[n] == '/');
	}
	if (!path[absolute] || path[strlen(path) - 1] == '/')
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	gb_autolayout struct gb_layout l = { 0 };
	struct gb_err err = { 0 };

	if (gb_layout_parse("file", (const char *)data, size, &l, &err) < 0) {
		if (!err.msg[0] || l.text)
			abort();
		return 0;
	}
	check_path(l.top, 1);
	if (l.subvol_len > GB_LAYOUT_SUBVOLS)
		abort();
	for (size_t i = 0; i < l.subvol_len; i++) {
		check_path(l.subvol[i].target, 1);
		check_path(l.subvol[i].name, 0);
		if (strchr(l.subvol[i].name, '/'))
			abort();
		for (const char *o = l.subvol[i].options; *o; o += strcspn(o, ","), o += *o == ',') {
			if (strncmp(o, "subvol=", 7) == 0 || strncmp(o, "subvolid=", 9) == 0)
				abort();
		}
		if (l.subvol[i].nocow_len > GB_LAYOUT_DIRS)
			abort();
		for (size_t k = 0; k < l.subvol[i].nocow_len; k++)
			check_path(l.subvol[i].nocow[k], 0);
	}
	return 0;
}
