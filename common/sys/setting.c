/* SPDX-License-Identifier: MIT */
/* Settings. */
#include "common/sys/setting.h"

#include <bsd/string.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/io.h"
#include "common/sys/cmdline.h"

enum { FILE_MAX = 65536 };

static int from_file(const char *path, char *value, size_t size)
{
	gb_autobuf struct gb_buf text = { 0 };
	char *rest, *line;
	int r = gb_io_slurp(AT_FDCWD, path, FILE_MAX, &text);

	if (r < 0 || !text.data)
		return r < 0 && r != -ENOTDIR ? r : -ENOENT;
	for (line = strtok_r(text.data, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		line += strspn(line, " \t\r");
		size_t len = strlen(line);
		while (len && strchr(" \t\r", line[len - 1]))
			line[--len] = '\0';
		if (len && *line != '#')
			return len < size ? (int)strlcpy(value, line, size) : -ENAMETOOLONG;
	}
	return -ENOENT;
}

int gb_setting_get(const struct gb_setting *setting, char *value, size_t size, const char **ret_origin)
{
	gb_autobuf struct gb_buf text = { 0 };

	for (size_t i = 0; i < 4 && setting->environment[i]; i++) {
		const char *v = getenv(setting->environment[i]);
		if (v && *v) {
			if (ret_origin)
				*ret_origin = setting->environment[i];
			return strlen(v) < size ? (int)strlcpy(value, v, size) : -ENAMETOOLONG;
		}
	}
	if (setting->cmdline[0] && gb_cmdline_read(&text) == 0) {
		for (size_t i = 0; i < 4 && setting->cmdline[i]; i++) {
			int r = gb_cmdline_value(gb_buf_text(&text), setting->cmdline[i], value, size);
			if (r != -ENOENT) {
				if (ret_origin)
					*ret_origin = setting->cmdline[i];
				return r;
			}
		}
	}
	if (!setting->file)
		return -ENOENT;
	int r = from_file(setting->file, value, size);
	if (r != -ENOENT && ret_origin)
		*ret_origin = setting->file;
	return r;
}
