/* SPDX-License-Identifier: MIT */
/* Users and groups: passwd(5), group(5). */
#include "common/sandbox/user.h"

#include <bsd/string.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/io.h"
#include "common/base/parse.h"

enum { FILE_MAX_BYTES = 1 << 20 };

struct field {
	const char *at;
	size_t len;
};

/* Splits the line at *text, which moves to the next: how many fields there are, up to max; -1: no line is left. */
static int next_line(const char **text, struct field *fields, int max)
{
	const char *p = *text;
	int n = 0;

	if (!*p)
		return -1;
	for (;;) {
		size_t len = strcspn(p, ":\n");
		if (n < max)
			fields[n++] = (struct field){ p, len };
		p += len;
		if (*p != ':')
			break;
		p++;
	}
	*text = *p ? p + 1 : p;
	return n;
}

static bool is(const struct field *field, const char *text, size_t len)
{
	return field->len == len && memcmp(field->at, text, len) == 0;
}

static bool number(const char *text, size_t len, uint32_t *ret)
{
	return gb_parse_u32(text, len, ret) && *ret < GB_SANDBOX_IDS;
}

static void take_home(const struct field *field, struct gb_sandbox_user *user)
{
	if (field->len && field->len < sizeof user->home && field->at[0] == '/') {
		memcpy(user->home, field->at, field->len);
		user->home[field->len] = '\0';
	}
}

int gb_sandbox_user_find(const char *text, const char *passwd, const char *group, struct gb_sandbox_user *ret_user,
			 struct gb_err *err)
{
	struct gb_sandbox_user user = { 0 };
	struct field f[7];
	const char *colon = strchr(text, ':');
	size_t name_len = colon ? (size_t)(colon - text) : strlen(text);
	struct field name = { "0", 1 };
	uint32_t id;
	int n;

	if (name_len)
		name = (struct field){ text, name_len };
	bool numeric = number(name.at, name.len, &user.uid), found = false;
	if (numeric && user.uid == 0)
		(void)strlcpy(user.home, "/root", sizeof user.home);
	for (const char *p = passwd; !found && (n = next_line(&p, f, 7)) >= 0;) {
		uint32_t uid, gid;
		if (n < 4 || !number(f[2].at, f[2].len, &uid) || !number(f[3].at, f[3].len, &gid))
			continue;
		if (numeric ? uid != user.uid : !is(&f[0], name.at, name.len))
			continue;
		found = true;
		user.uid = uid;
		user.gid = gid;
		name = f[0];
		if (n > 5)
			take_home(&f[5], &user);
	}
	if (!found && !numeric)
		return gb_err_set(err, ENOENT, "user \"%.*s\": not in the sandbox's /etc/passwd", (int)name.len, name.at);
	if (colon) {
		const char *g = colon + 1;
		bool known = number(g, strlen(g), &user.gid);
		for (const char *p = group; !known && (n = next_line(&p, f, 4)) >= 0;)
			known = n >= 3 && is(&f[0], g, strlen(g)) && number(f[2].at, f[2].len, &user.gid);
		if (!known)
			return gb_err_set(err, ENOENT, "group \"%s\": not in the sandbox's /etc/group", g);
		*ret_user = user;
		return 0;
	}
	/* The groups that list him (initgroups(3)). */
	for (const char *p = group; found && (n = next_line(&p, f, 4)) >= 0;) {
		if (n < 4 || !number(f[2].at, f[2].len, &id) || id == user.gid)
			continue;
		for (size_t at = 0; at < f[3].len;) {
			const char *member = f[3].at + at;
			size_t len = 0;
			while (at + len < f[3].len && member[len] != ',')
				len++;
			if (len == name.len && memcmp(member, name.at, len) == 0 && user.groups_len < GB_SANDBOX_GROUPS) {
				user.groups[user.groups_len++] = id;
				break;
			}
			at += len + 1;
		}
	}
	*ret_user = user;
	return 0;
}

/* A regular file of the sandbox, "" when there is none. */
static int slurp(int rootfd, const char *path, struct gb_buf *buf)
{
	struct gb_io_path self;
	struct stat st;

	gb_autoclose int fd = gb_io_openat2(rootfd, path, O_PATH, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
	if (fd < 0)
		return fd == -ENOENT || fd == -ENOTDIR ? 0 : fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	int r = gb_io_slurp(AT_FDCWD, gb_io_path(fd, &self), FILE_MAX_BYTES, buf);
	return r < 0 ? r : memchr(gb_buf_text(buf), '\0', buf->len) ? -EINVAL : 0;
}

int gb_sandbox_user_at(int rootfd, const char *text, struct gb_sandbox_user *ret_user, struct gb_err *err)
{
	gb_autobuf struct gb_buf passwd = { 0 }, group = { 0 };

	/* Root's own entry says nothing that is not known. */
	if (*text && strcmp(text, "0") != 0 && strcmp(text, "root") != 0) {
		int r = slurp(rootfd, "etc/passwd", &passwd);
		if (r < 0)
			return gb_err_sys(err, -r, "the sandbox's /etc/passwd");
		r = slurp(rootfd, "etc/group", &group);
		if (r < 0)
			return gb_err_sys(err, -r, "the sandbox's /etc/group");
	} else {
		text = "0";
	}
	return gb_sandbox_user_find(text, gb_buf_text(&passwd), gb_buf_text(&group), ret_user, err);
}

/* 0: it can be run; -EACCES: it is there and cannot; -ENOENT: it is not there. */
static int try_program(int rootfd, const char *path)
{
	struct stat st;

	gb_autoclose int fd = gb_io_openat2(rootfd, path, O_PATH, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
	if (fd < 0)
		return fd == -ENOENT || fd == -ENOTDIR ? -ENOENT : fd == -ELOOP || fd == -EAGAIN ? 0 : -EACCES;
	if (fstat(fd, &st) < 0)
		return 0;
	return S_ISREG(st.st_mode) && st.st_mode & 0111 ? 0 : -EACCES;
}

int gb_sandbox_program_check(int rootfd, const struct gb_sandbox_process *process, struct gb_err *err)
{
	const char *name = process->args[0], *folder = gb_sandbox_folder(process), *path = gb_sandbox_variable(process, "PATH");
	char full[4096];
	int r = -ENOENT;

	if (strcmp(folder, "/") != 0) {
		gb_autoclose int fd = gb_io_openat2(rootfd, folder, O_PATH | O_DIRECTORY, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
		if (fd == -ENOENT || fd == -ENOTDIR)
			return gb_err_sys(err, -fd, "working_dir \"%s\"", folder);
	}
	if (strchr(name, '/')) {
		(void)snprintf(full, sizeof full, "%s/%s", *name == '/' ? "" : folder, name);
		r = try_program(rootfd, full);
	}
	for (const char *p = strchr(name, '/') ? "" : path; *p && r != 0;) {
		int n = (int)strcspn(p, ":");
		if (n) {
			(void)snprintf(full, sizeof full, "%.*s/%s", n, p, name);
			int t = try_program(rootfd, full);
			r = t == -ENOENT ? r : t;
		}
		p += n + (p[n] == ':');
	}
	if (r == -EACCES)
		return gb_err_set(err, EACCES, "command \"%s\": not a program that can be run", name);
	if (r == -ENOENT)
		return gb_err_set(err, ENOENT, "command \"%s\": not found in the sandbox", name);
	return 0;
}
