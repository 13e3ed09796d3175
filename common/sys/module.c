/* SPDX-License-Identifier: MIT */
/* Kernel modules. */
#include "common/sys/module.h"

#include <bsd/string.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/io.h"
#include "common/sys/cmdline.h"

enum { TABLE_MAX = 16 << 20, COMPRESSED_FILE = 4 /* MODULE_INIT_COMPRESSED_FILE, Linux 5.17 */ };

void gb_module_close(struct gb_modules *modules)
{
	gb_buf_free(&modules->dep);
	gb_buf_free(&modules->alias);
	gb_buf_free(&modules->builtin);
	gb_buf_free(&modules->cmdline);
}

int gb_module_open(struct gb_modules *modules, const char *folder, struct gb_err *err)
{
	static const char *const names[] = { "modules.dep", "modules.alias", "modules.builtin" };
	struct gb_buf *tables[] = { &modules->dep, &modules->alias, &modules->builtin };
	char path[PATH_MAX];

	if (strlcpy(modules->folder, folder, sizeof modules->folder) >= sizeof modules->folder)
		return gb_err_sys(err, ENAMETOOLONG, "%s", folder);
	for (size_t i = 0; i < GB_ARRAY_LEN(names); i++) {
		(void)snprintf(path, sizeof path, "%s/%s", folder, names[i]);
		int r = gb_io_slurp(AT_FDCWD, path, TABLE_MAX, tables[i]);
		if (r < 0 && (i == 0 || r != -ENOENT))
			return gb_err_sys(err, -r, "%s", path);
	}
	(void)gb_cmdline_read(&modules->cmdline); /* without one there are no parameters */
	return 0;
}

/* '-' and '_' are one in a module's name. */
static bool same(const char *a, size_t len, const char *name)
{
	for (size_t i = 0; i < len; i++) {
		char x = a[i] == '-' ? '_' : a[i], y = name[i] == '-' ? '_' : name[i];
		if (!name[i] || x != y)
			return false;
	}
	return name[len] == '\0';
}

/* Whether a path like kernel/fs/btrfs/btrfs.ko.xz is of this module. */
static bool is_of(const char *path, size_t len, const char *name)
{
	const char *base = memrchr(path, '/', len);

	base = base ? base + 1 : path;
	size_t n = (size_t)(path + len - base);
	const char *dot = memmem(base, n, ".ko", 3);
	return dot && same(base, (size_t)(dot - base), name);
}

/* A module's line in modules.dep: the paths, its own first, in one string that blanks separate. False: none. */
static bool find(const char *dep, const char *name, struct gb_buf *ret_paths)
{
	for (const char *line = dep; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		size_t len = strcspn(line, ":\n");

		if (line[len] != ':' || !is_of(line, len, name))
			continue;
		(void)gb_buf_add(ret_paths, line, len);
		line += len + 1;
		(void)gb_buf_add(ret_paths, line, strcspn(line, "\n"));
		return true;
	}
	return false;
}

bool gb_module_is_builtin(const char *builtin, const char *name)
{
	for (const char *line = builtin; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		if (is_of(line, strcspn(line, "\n"), name))
			return true;
	}
	return false;
}

void gb_module_params(const char *cmdline, const char *name, struct gb_buf *ret_params)
{
	const char *key, *value;
	char word[1024];
	size_t pos = 0;

	while (gb_cmdline_next(cmdline, &pos, word, sizeof word, &key, &value)) {
		size_t len = strcspn(key, ".");
		if (!key[len] || !key[len + 1] || !same(key, len, name))
			continue;
		bool blank = value && strpbrk(value, " \t");
		(void)gb_buf_fmt(ret_params, "%s%s%s%s%s%s", ret_params->len ? " " : "", key + len + 1, value ? "=" : "",
				 blank ? "\"" : "", value ? value : "", blank ? "\"" : "");
	}
}

static int real_init(const char *path, const char *params)
{
	size_t len = strlen(path);
	gb_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	int flags = len > 3 && strcmp(path + len - 3, ".ko") == 0 ? 0 : COMPRESSED_FILE;
	return syscall(SYS_finit_module, fd, params, flags) < 0 ? -errno : 0;
}

/* To look costs nothing; to load a second time, the kernel reads the file first. */
static bool is_live(const char *name)
{
	char path[128], state[16];

	(void)snprintf(path, sizeof path, "/sys/module/%s/initstate", name);
	return gb_io_line(AT_FDCWD, path, state, sizeof state) == 0 && strcmp(state, "live") == 0;
}

static int load_file(struct gb_modules *modules, const char *path, const char *name, struct gb_err *err)
{
	gb_autobuf struct gb_buf params = { 0 };
	char full[PATH_MAX];

	if (snprintf(full, sizeof full, "%s/%s", modules->folder, path) >= (int)sizeof full)
		return gb_err_sys(err, ENAMETOOLONG, "%s", path);
	if (!modules->init && is_live(name))
		return 0;
	gb_module_params(gb_buf_text(&modules->cmdline), name, &params);
	if (params.failed)
		return gb_err_sys(err, ENOMEM, "%s", name);
	if (modules->loaded)
		modules->loaded(name, 1);
	int r = modules->init ? modules->init(full, gb_buf_text(&params)) : real_init(full, gb_buf_text(&params));
	if (r == -EEXIST)
		r = 0;
	if (modules->loaded)
		modules->loaded(name, r);
	return r < 0 ? gb_err_sys(err, -r, "%s: %s", name, full) : 0;
}

static void name_of(const char *path, char name[64])
{
	const char *base = strrchr(path, '/');

	base = base ? base + 1 : path;
	const char *dot = strstr(base, ".ko");
	size_t len = dot ? (size_t)(dot - base) : strlen(base);
	(void)strlcpy(name, base, len + 1 < 64 ? len + 1 : 64);
	for (char *p = name; *p; p++)
		*p = *p == '-' ? '_' : *p;
}

int gb_module_load(struct gb_modules *modules, const char *name, struct gb_err *err)
{
	gb_autobuf struct gb_buf paths = { 0 };
	char word[64];

	if (!find(gb_buf_text(&modules->dep), name, &paths)) {
		if (gb_module_is_builtin(gb_buf_text(&modules->builtin), name))
			return 0;
		return gb_err_set(err, ENOENT, "%s: no such module below %s", name, modules->folder);
	}
	if (paths.failed)
		return gb_err_sys(err, ENOMEM, "%s", name);
	/* Whom it needs stands behind it, the farthest last: from the end to the beginning. */
	for (char *end = paths.data + paths.len; end > paths.data;) {
		char *at = end;
		while (at > paths.data && at[-1] != ' ')
			at--;
		*end = '\0';
		end = at > paths.data ? at - 1 : at;
		if (!*at)
			continue;
		name_of(at, word);
		int r = load_file(modules, at, word, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Behind what c matches of a pattern, NULL when it does not. What depmod(8) writes is fnmatch(3)'s language of bytes; the
 * C library's reads characters, and brings their tables along. */
static const char *match_one(const char *p, const char *end, char c)
{
	if (p == end)
		return NULL;
	if (*p == '[') {
		const char *at = p + 1;
		bool inverted = at < end && (*at == '!' || *at == '^'), in = false;

		at += inverted;
		for (const char *first = at; at < end && (*at != ']' || at == first); at++) {
			char from = *at, to = from;

			if (end - at > 2 && at[1] == '-' && at[2] != ']')
				to = *(at += 2);
			in |= c >= from && c <= to;
		}
		if (at < end)
			return in != inverted ? at + 1 : NULL;
		/* not closed: a bracket like any letter */
	}
	if (*p == '\\' && end - p > 1)
		p++;
	else if (*p == '?')
		return p + 1;
	return *p == c ? p + 1 : NULL;
}

static bool matches(const char *p, const char *end, const char *text)
{
	const char *star = NULL, *from = NULL, *next;

	while (*text) {
		if (p < end && *p == '*') {
			star = ++p;
			from = text;
		} else if ((next = match_one(p, end, *text))) {
			p = next;
			text++;
		} else if (star) { /* the last star takes one more */
			p = star;
			text = ++from;
		} else {
			return false;
		}
	}
	while (p < end && *p == '*')
		p++;
	return p == end;
}

const char *gb_module_match(const struct gb_modules *modules, const char *modalias, size_t *pos, char name[64])
{
	const char *text = gb_buf_text(&modules->alias);

	while (text[*pos]) {
		const char *line = text + *pos;
		size_t len = strcspn(line, "\n");

		*pos += len + (line[len] == '\n');
		if (strncmp(line, "alias ", 6) != 0)
			continue;
		size_t n = strcspn(line + 6, " \n");
		if (line[6 + n] != ' ')
			continue;
		const char *module = line + 6 + n + 1;
		size_t m = strcspn(module, " \n");
		if (m == 0 || m >= 64 || !matches(line + 6, line + 6 + n, modalias))
			continue;
		memcpy(name, module, m);
		name[m] = '\0';
		return name;
	}
	return NULL;
}
