/* SPDX-License-Identifier: MIT */
/* Holders of a mount. */
#include "common/mount/busy.h"

#include <bsd/string.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/dir.h"
#include "common/base/io.h"
#include "common/sys/blockdev.h"
#include "common/sys/mountinfo.h"

enum { SHOWN = 8, FILES_MAX = 65536 };

struct search {
	int id;
	struct gb_buf *text;
	int found;
};

static void say(struct search *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void say(struct search *s, const char *fmt, ...)
{
	char line[PATH_MAX + 256];
	va_list ap;

	if (s->found++ >= SHOWN)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(line, sizeof line, fmt, ap);
	va_end(ap);
	(void)gb_buf_fmt(s->text, "%s%s", s->text->len ? "; " : "", line);
}

/* Whether the link of /proc leads to a file on the mount; its path. */
static bool on_mount(const struct search *s, int dirfd, const char *name, char *path, size_t size)
{
	if (gb_mountinfo_id_at(dirfd, name, 0) != s->id)
		return false;
	ssize_t n = readlinkat(dirfd, name, path, size - 1);
	path[n < 0 ? 0 : n] = '\0';
	return true;
}

static bool in_folder(const struct search *s, int proc, const char *folder, char *path, size_t size)
{
	gb_autoclosedir DIR *dir = gb_dir_open(proc, folder);
	const struct dirent *entry;

	for (int i = 0; dir && i < FILES_MAX && gb_dir_next(dir, &entry) > 0; i++) {
		if (on_mount(s, dirfd(dir), entry->d_name, path, size))
			return true;
	}
	return false;
}

static void one_process(struct search *s, int procs, const char *pid)
{
	gb_autoclose int proc = openat(procs, pid, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	static const struct { const char *link, *what; } links[] = {
		{ "root", "root directory" }, { "cwd", "working directory" }, { "exe", "program" },
	};
	char path[PATH_MAX], comm[64];
	const char *what = NULL;

	if (proc < 0)
		return;
	for (size_t i = 0; !what && i < GB_ARRAY_LEN(links); i++) {
		if (on_mount(s, proc, links[i].link, path, sizeof path))
			what = links[i].what;
	}
	if (!what && in_folder(s, proc, "fd", path, sizeof path))
		what = "open file";
	if (!what && in_folder(s, proc, "map_files", path, sizeof path))
		what = "mapped file";
	if (!what)
		return;
	if (gb_io_line(proc, "comm", comm, sizeof comm) < 0)
		(void)strlcpy(comm, "?", sizeof comm);
	say(s, "pid %s (%s): %s %s", pid, comm, what, path);
}

static void loops(struct search *s)
{
	gb_autoclosedir DIR *dir = opendir("/sys/block");
	const struct dirent *entry;

	while (dir && gb_dir_next(dir, &entry) > 0) {
		char path[320], file[PATH_MAX];

		if (strncmp(entry->d_name, "loop", 4) != 0)
			continue;
		(void)snprintf(path, sizeof path, "%s/loop/backing_file", entry->d_name);
		if (gb_io_line(dirfd(dir), path, file, sizeof file) == 0 &&
		    gb_mountinfo_id_at(AT_FDCWD, file, AT_SYMLINK_NOFOLLOW) == s->id)
			say(s, "loop device /dev/%s: its file %s", entry->d_name, file);
	}
}

static void swaps(struct search *s)
{
	gb_autobuf struct gb_buf text = { 0 };
	size_t pos = 0;

	if (gb_io_slurp(AT_FDCWD, "/proc/swaps", 1 << 20, &text) < 0)
		return;
	for (const char *path; (path = gb_blockdev_swap_next(text.data, &pos));) {
		if (gb_mountinfo_id_at(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW) == s->id)
			say(s, "swap file %s", path);
	}
}

int gb_mount_holders(const char *target, struct gb_buf *text)
{
	gb_automountinfo struct gb_mountinfo_table table = { 0 };
	gb_autoclosedir DIR *procs = NULL;
	struct search s = { .text = text };
	const struct dirent *entry;

	s.id = gb_mountinfo_id_at(AT_FDCWD, target, 0);
	if (s.id < 0)
		return s.id;
	int r = gb_mountinfo_read(NULL, &table);
	if (r < 0)
		return r;
	for (size_t i = 0; i < table.count; i++) {
		const struct gb_mountinfo *row = &table.rows[i];

		if (row->parent == s.id && row->id != s.id)
			say(&s, "mounted on it: %s (%s)", row->target, row->type);
	}
	procs = opendir("/proc");
	while (procs && gb_dir_next(procs, &entry) > 0) {
		/* This very process may stand there, but ends in a moment. */
		if (isdigit((unsigned char)entry->d_name[0]) && atoi(entry->d_name) != (int)getpid())
			one_process(&s, dirfd(procs), entry->d_name);
	}
	loops(&s);
	swaps(&s);
	if (s.found > SHOWN)
		(void)gb_buf_fmt(text, "; and %d more", s.found - SHOWN);
	return s.found;
}
