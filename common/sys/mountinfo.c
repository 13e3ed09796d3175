/* SPDX-License-Identifier: MIT */
/* /proc/self/mountinfo. */
#include "common/sys/mountinfo.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/dir.h"
#include "common/base/io.h"
#include "common/base/parse.h"

/* 100,000 mounts take some 12 MB. */
enum { TABLE_MAX = 1 << 30, CHUNK = 1 << 16 };

void gb_mountinfo_unescape(char *text)
{
	char *out = strchr(text, '\\');

	if (!out)
		return;
	for (const char *in = out; *in;) {
		unsigned c = 0;

		if (*in == '\\' && in[1] >= '0' && in[1] <= '3' && in[2] >= '0' && in[2] <= '7' && in[3] >= '0' &&
		    in[3] <= '7')
			c = (unsigned)(in[1] - '0') << 6 | (unsigned)(in[2] - '0') << 3 | (unsigned)(in[3] - '0');
		if (c) { /* \000 stays as it is: a string cannot hold it */
			*out++ = (char)c;
			in += 4;
		} else {
			*out++ = *in++;
		}
	}
	*out = '\0';
}

/* The next field up to one blank; NULL at the end of the line. Fields may be empty: a source can be. */
static char *field(char **rest)
{
	char *start = *rest;

	if (!start)
		return NULL;
	char *end = strchr(start, ' ');
	if (end)
		*end++ = '\0';
	*rest = end;
	return start;
}

static bool number(const char *text, unsigned *ret_value)
{
	return gb_parse_u32(text, strlen(text), ret_value);
}

static int identity(const char *text, int *ret_id)
{
	unsigned value;

	if (!text || !number(text, &value) || value > INT_MAX)
		return -EINVAL;
	*ret_id = (int)value;
	return 0;
}

static void tag(const char *text, struct gb_mountinfo *row)
{
	static const struct { const char *name; size_t at; } tags[] = {
		{ "shared:", offsetof(struct gb_mountinfo, shared) },
		{ "master:", offsetof(struct gb_mountinfo, master) },
		{ "propagate_from:", offsetof(struct gb_mountinfo, from) },
	};

	if (strcmp(text, "unbindable") == 0)
		row->unbindable = true;
	for (size_t i = 0; i < GB_ARRAY_LEN(tags); i++) {
		size_t n = strlen(tags[i].name);
		unsigned value;

		if (strncmp(text, tags[i].name, n) == 0 && number(text + n, &value))
			*(unsigned *)((char *)row + tags[i].at) = value;
	}
}

int gb_mountinfo_parse(char *line, struct gb_mountinfo *ret_row)
{
	struct gb_mountinfo row = { 0 };
	char *rest = line, *device, *colon, *root, *target, *options, *optional, *type, *source;

	if (identity(field(&rest), &row.id) < 0 || identity(field(&rest), &row.parent) < 0)
		return -EINVAL;
	device = field(&rest);
	root = field(&rest);
	target = field(&rest);
	options = field(&rest);
	if (!options || !*root || !*target)
		return -EINVAL;
	colon = strchr(device, ':');
	if (!colon)
		return -EINVAL;
	*colon = '\0';
	if (!number(device, &row.major) || !number(colon + 1, &row.minor))
		return -EINVAL;
	while ((optional = field(&rest)) && strcmp(optional, "-") != 0)
		tag(optional, &row);
	type = field(&rest);
	source = field(&rest);
	if (!source || !*type)
		return -EINVAL;
	char *super = rest ? rest : source + strlen(source);

	size_t len = strlen(root), suffix = strlen("//deleted");
	if (len > suffix && strcmp(root + len - suffix, "//deleted") == 0)
		root[len - suffix] = '\0'; /* dentry_path(), fs/d_path.c */
	gb_mountinfo_unescape(root);
	gb_mountinfo_unescape(target);
	gb_mountinfo_unescape(options);
	gb_mountinfo_unescape(type);
	gb_mountinfo_unescape(source);
	gb_mountinfo_unescape(super);
	row.root = root;
	row.target = target;
	row.options = options;
	row.type = type;
	row.source = source;
	row.super = super;
	*ret_row = row;
	return 0;
}

int gb_mountinfo_foreach(const char *file, gb_mountinfo_fn *fn, void *arg)
{
	gb_autoclose int fd = open(file ? file : "/proc/self/mountinfo", O_RDONLY | O_CLOEXEC | O_NOCTTY);
	gb_autobuf struct gb_buf buf = { 0 };
	size_t seen = 0; /* bytes of buf that hold no newline */
	bool skip = false, end = false;

	if (fd < 0)
		return -errno;
	while (!end) {
		int r = gb_buf_room(&buf, CHUNK);
		if (r < 0)
			return r;
		ssize_t n = read(fd, buf.data + buf.len, CHUNK);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		buf.len += (size_t)n;
		if (n == 0) {
			end = true;
			if (buf.len == 0)
				break;
			buf.data[buf.len++] = '\n';
		}
		size_t start = 0;
		for (char *nl; (nl = memchr(buf.data + seen, '\n', buf.len - seen)); seen = start) {
			struct gb_mountinfo row;

			*nl = '\0';
			/* A NUL inside a line would hide its end; the kernel never writes one. */
			if (!skip && gb_mountinfo_parse(buf.data + start, &row) == 0) {
				r = fn(&row, arg);
				if (r != 0)
					return r;
			}
			skip = false;
			start = (size_t)(nl - buf.data) + 1;
		}
		gb_buf_eat(&buf, start);
		if (buf.len > GB_MOUNTINFO_LINE_MAX) {
			skip = true;
			buf.len = 0;
		}
		seen = buf.len;
	}
	return 0;
}

/* qsort(3) has no argument for the rows; qsort_r(3) is glibc's and musl's. */
static int cmp_parent(const void *a, const void *b, void *rows)
{
	const struct gb_mountinfo *r = rows;
	size_t x = *(const size_t *)a, y = *(const size_t *)b;

	if (r[x].parent != r[y].parent)
		return r[x].parent < r[y].parent ? -1 : 1;
	return x < y ? -1 : x > y;
}

static int cmp_id(const void *a, const void *b, void *rows)
{
	const struct gb_mountinfo *r = rows;
	size_t x = *(const size_t *)a, y = *(const size_t *)b;

	if (r[x].id != r[y].id)
		return r[x].id < r[y].id ? -1 : 1;
	return x < y ? -1 : x > y;
}

int gb_mountinfo_table_of(struct gb_buf *text, struct gb_mountinfo_table *table)
{
	size_t lines = 1, n = 0, bad = 0;
	char *end, *line;

	*table = (struct gb_mountinfo_table){ .text = *text };
	*text = (struct gb_buf){ 0 };
	if (gb_buf_room(&table->text, 0) < 0)
		return -ENOMEM;
	line = table->text.data;
	end = line + table->text.len;
	for (const char *p = line; (p = memchr(p, '\n', (size_t)(end - p))); p++)
		lines++;
	table->rows = reallocarray(NULL, lines, sizeof *table->rows);
	table->by_parent = reallocarray(NULL, lines, sizeof *table->by_parent);
	table->by_id = reallocarray(NULL, lines, sizeof *table->by_id);
	if (!table->rows || !table->by_parent || !table->by_id) {
		gb_mountinfo_free(table);
		return -ENOMEM;
	}
	while (line < end) {
		char *nl = memchr(line, '\n', (size_t)(end - line));
		char *next = nl ? nl + 1 : end;

		if (nl)
			*nl = '\0';
		if (gb_mountinfo_parse(line, &table->rows[n]) == 0)
			n++;
		else
			bad++;
		line = next;
	}
	table->count = n;
	table->bad = bad;
	for (size_t i = 0; i < n; i++)
		table->by_parent[i] = table->by_id[i] = i;
	qsort_r(table->by_parent, n, sizeof *table->by_parent, cmp_parent, table->rows);
	qsort_r(table->by_id, n, sizeof *table->by_id, cmp_id, table->rows);
	return 0;
}

int gb_mountinfo_read(const char *file, struct gb_mountinfo_table *table)
{
	gb_autobuf struct gb_buf text = { 0 };
	int r = gb_io_slurp(AT_FDCWD, file ? file : "/proc/self/mountinfo", TABLE_MAX, &text);

	*table = (struct gb_mountinfo_table){ 0 };
	return r < 0 ? r : gb_mountinfo_table_of(&text, table);
}

void gb_mountinfo_free(struct gb_mountinfo_table *table)
{
	free(table->rows);
	free(table->by_parent);
	free(table->by_id);
	gb_buf_free(&table->text);
	*table = (struct gb_mountinfo_table){ 0 };
}

const struct gb_mountinfo *gb_mountinfo_by_id(const struct gb_mountinfo_table *table, int id)
{
	size_t lo = 0, hi = table->count;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (table->rows[table->by_id[mid]].id < id)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo < table->count && table->rows[table->by_id[lo]].id == id)
		return &table->rows[table->by_id[lo]];
	return NULL;
}

static size_t first_child(const struct gb_mountinfo_table *table, int parent)
{
	size_t lo = 0, hi = table->count;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (table->rows[table->by_parent[mid]].parent < parent)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* Of two mounts on one parent a walk meets the one nearer to the root first. */
static const struct gb_mountinfo *nearer(const struct gb_mountinfo *best, const struct gb_mountinfo *row)
{
	return !best || strlen(row->target) < strlen(best->target) ? row : best;
}

const struct gb_mountinfo *gb_mountinfo_holder(const struct gb_mountinfo_table *table, const char *path)
{
	const struct gb_mountinfo *at = NULL;

	/* The start: what hangs on nothing that this process can see. */
	for (size_t i = 0; i < table->count; i++) {
		const struct gb_mountinfo *row = &table->rows[i];

		if (gb_dir_within(path, row->target) &&
		    (row->parent == row->id || !gb_mountinfo_by_id(table, row->parent)))
			at = nearer(at, row);
	}
	/* Each step goes to a child; a circle of parents, which the kernel never writes, ends after count steps. */
	for (size_t steps = 0; at && steps < table->count; steps++) {
		const struct gb_mountinfo *next = NULL;

		for (size_t i = first_child(table, at->id); i < table->count; i++) {
			const struct gb_mountinfo *row = &table->rows[table->by_parent[i]];

			if (row->parent != at->id)
				break;
			if (row->id != at->id && gb_dir_within(path, row->target) && gb_dir_within(row->target, at->target))
				next = nearer(next, row);
		}
		if (!next)
			break;
		at = next;
	}
	return at;
}

const struct gb_mountinfo *gb_mountinfo_top(const struct gb_mountinfo_table *table, const char *path)
{
	const struct gb_mountinfo *row = gb_mountinfo_holder(table, path);

	return row && strcmp(row->target, path) == 0 ? row : NULL;
}

bool gb_mountinfo_below(const struct gb_mountinfo_table *table, const struct gb_mountinfo *row, int id)
{
	for (size_t steps = 0; row && steps <= table->count; steps++) {
		if (row->id == id)
			return true;
		if (row->parent == row->id)
			return false;
		row = gb_mountinfo_by_id(table, row->parent);
	}
	return false;
}

static int id_of_fd(int fd)
{
	gb_autobuf struct gb_buf text = { 0 };
	char path[64];

	(void)snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
	int r = gb_io_slurp(AT_FDCWD, path, 1 << 20, &text);
	if (r < 0)
		return r;
	const char *at = strstr(gb_buf_text(&text), "mnt_id:");
	if (!at)
		return -ENOSYS;
	long id = strtol(at + strlen("mnt_id:"), NULL, 10);
	return id >= 0 && id <= INT_MAX ? (int)id : -ENOSYS;
}

/* glibc stands in for a missing statx(2), and calls AT_STATX_DONT_SYNC invalid. */
static bool no_statx(void)
{
	return errno == ENOSYS || errno == EINVAL;
}

int gb_mountinfo_id_at(int dirfd, const char *path, int flags)
{
	struct statx st = { 0 };
	int r = statx(dirfd, path, flags | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_MNT_ID, &st);

	if (r < 0 && !no_statx())
		return -errno;
	if (r == 0 && (st.stx_mask & STATX_MNT_ID) && st.stx_mnt_id <= INT_MAX)
		return (int)st.stx_mnt_id;
	/* Before 5.8. */
	gb_autoclose int fd = openat(dirfd, *path ? path : ".",
				     O_PATH | O_CLOEXEC | (flags & AT_SYMLINK_NOFOLLOW ? O_NOFOLLOW : 0));
	return fd < 0 ? -errno : id_of_fd(fd);
}

int gb_mountinfo_is_root(int dirfd, const char *path, int flags)
{
	struct statx st = { 0 };
	int r = statx(dirfd, path, flags | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC, STATX_TYPE, &st);

	if (r < 0 && !no_statx())
		return -errno;
	if (r == 0 && (st.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT))
		return !!(st.stx_attributes & STATX_ATTR_MOUNT_ROOT);
	/* Before 5.8: the topmost mount of mountinfo at the path that the kernel has resolved. */
	gb_autoclose int fd = openat(dirfd, path, O_PATH | O_CLOEXEC | (flags & AT_SYMLINK_NOFOLLOW ? O_NOFOLLOW : 0));
	if (fd < 0)
		return -errno;
	struct gb_io_path link;
	char full[PATH_MAX];
	ssize_t n = readlink(gb_io_path(fd, &link), full, sizeof full - 1);
	if (n < 0)
		return -errno;
	full[n] = '\0';
	gb_automountinfo struct gb_mountinfo_table table = { 0 };
	r = gb_mountinfo_read(NULL, &table);
	if (r < 0)
		return r;
	return gb_mountinfo_top(&table, full) != NULL;
}

bool gb_mountinfo_has(const char *list, const char *word, const char **ret_value)
{
	size_t n = strlen(word);

	for (const char *p = list; p && *p; p = strchr(p, ','), p = p ? p + 1 : NULL) {
		if (strncmp(p, word, n) != 0 || (p[n] && p[n] != ',' && p[n] != '='))
			continue;
		if (ret_value)
			*ret_value = p[n] == '=' ? p + n + 1 : NULL;
		return true;
	}
	return false;
}
