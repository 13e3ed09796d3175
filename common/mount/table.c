/* SPDX-License-Identifier: MIT */
/* fstab(5). */
#include "common/mount/table.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/base/dir.h"
#include "common/base/io.h"
#include "common/mount/options.h"
#include "common/sys/mountinfo.h"

void gb_mount_table_free(struct gb_mount_table *table)
{
	for (size_t i = 0; i < table->text_count; i++)
		free(table->texts[i]);
	free(table->texts);
	free(table->entries);
	*table = (struct gb_mount_table){ 0 };
}

static char *keep(struct gb_mount_table *table, const char *text, size_t len)
{
	char **grown = reallocarray(table->texts, table->text_count + 1, sizeof *grown);

	if (!grown)
		return NULL;
	table->texts = grown;
	char *kept = malloc(len + 1);
	if (!kept)
		return NULL;
	memcpy(kept, text, len);
	kept[len] = '\0';
	table->texts[table->text_count++] = kept;
	return kept;
}

static int add(struct gb_mount_table *table, const struct gb_mount_entry *entry, struct gb_err *err)
{
	if (table->count >= GB_MOUNT_TABLE_LINES)
		return gb_err_set(err, E2BIG, "%s: more than %d lines", entry->origin, GB_MOUNT_TABLE_LINES);
	struct gb_mount_entry *grown = reallocarray(table->entries, table->count + 1, sizeof *grown);
	if (!grown)
		return gb_err_sys(err, ENOMEM, "%s", entry->origin);
	table->entries = grown;
	table->entries[table->count++] = *entry;
	table->bad += entry->bad != NULL;
	return 0;
}

static bool number(const char *text)
{
	return strspn(text, "0123456789") == strlen(text);
}

static const char *check(const struct gb_mount_entry *e)
{
	if (strlen(e->source) >= PATH_MAX || strlen(e->target) >= PATH_MAX)
		return "a path is too long";
	if (e->target[0] != '/' && strcmp(e->type, "swap") != 0 && strcmp(e->target, "none") != 0)
		return "the target is no absolute path";
	gb_automountoptions struct gb_mount_options options = { 0 };
	if (gb_mount_options_add(&options, e->options, NULL) < 0)
		return "an option is wrong";
	return NULL;
}

static void parse_line(char *line, struct gb_mount_entry *entry)
{
	char *fields[7] = { 0 }, *rest = line;
	size_t n = 0;

	while (n < 7) {
		rest += strspn(rest, " \t");
		if (!*rest || *rest == '#')
			break;
		fields[n++] = rest;
		rest += strcspn(rest, " \t");
		if (*rest)
			*rest++ = '\0';
	}
	if (n < 3) {
		entry->bad = n == 1 ? "only one field (source, target, type, options)"
				    : "only two fields (source, target, type, options)";
		return;
	}
	if (n == 7) {
		entry->bad = "more than six fields (a blank in a path is written \\040)";
		return;
	}
	if ((fields[4] && !number(fields[4])) || (fields[5] && !number(fields[5]))) {
		entry->bad = "the fifth and sixth fields are numbers (a blank in a path is written \\040)";
		return;
	}
	for (size_t i = 0; i < 4; i++) {
		if (fields[i])
			gb_mountinfo_unescape(fields[i]);
	}
	entry->source = fields[0];
	entry->target = fields[1];
	entry->type = fields[2];
	entry->options = fields[3] ? fields[3] : "defaults";
	entry->bad = check(entry);
	if (entry->bad)
		entry->source = entry->target = entry->type = entry->options = NULL;
}

int gb_mount_table_parse(struct gb_mount_table *table, const char *text, size_t len, const char *origin,
			 struct gb_err *err)
{
	if (len > GB_MOUNT_TABLE_BYTES)
		return gb_err_set(err, E2BIG, "%s: longer than %d bytes", origin, GB_MOUNT_TABLE_BYTES);
	char *line = keep(table, text, len), *end;
	if (!line)
		return gb_err_sys(err, ENOMEM, "%s", origin);
	end = line + len;
	for (unsigned n = 1; line < end; n++) {
		char *nl = memchr(line, '\n', (size_t)(end - line)), *stop = nl ? nl : end;
		struct gb_mount_entry entry = { .line = n, .origin = origin };

		*stop = '\0';
		size_t length = strlen(line);
		if (length < (size_t)(stop - line))
			entry.bad = "a NUL byte";
		else if (length && line[length - 1] == '\r')
			line[length - 1] = '\0';
		const char *first = line + strspn(line, " \t");
		if (!entry.bad && *first && *first != '#')
			parse_line(line, &entry);
		if (entry.source || entry.bad) {
			int r = add(table, &entry, err);
			if (r < 0)
				return r;
		}
		line = stop + 1;
	}
	return 0;
}

int gb_mount_table_read(struct gb_mount_table *table, const char *file, struct gb_err *err)
{
	gb_autobuf struct gb_buf text = { 0 };
	int r = gb_io_slurp(AT_FDCWD, file, GB_MOUNT_TABLE_BYTES, &text);

	if (r < 0)
		return gb_err_sys(err, -r, "%s", file);
	return gb_mount_table_parse(table, gb_buf_text(&text), text.len, file, err);
}

int gb_mount_table_share(struct gb_mount_table *table, const char *value, struct gb_err *err)
{
	struct gb_mount_entry entry = { .type = "virtiofs", .options = "defaults", .origin = "guestbox.share" };
	char *own = keep(table, value, strlen(value));

	if (!own)
		return gb_err_sys(err, ENOMEM, "guestbox.share");
	char *target = strchr(own, ':'), *options = target ? strchr(target + 1, ':') : NULL;
	if (target)
		*target++ = '\0';
	if (options)
		*options++ = '\0';
	entry.source = own;
	entry.target = target;
	if (options && *options)
		entry.options = options;
	if (!target || !*own || !*target)
		entry.bad = "not TAG:TARGET[:OPTIONS]";
	else
		entry.bad = check(&entry);
	if (entry.bad)
		entry.source = entry.target = entry.type = entry.options = NULL;
	return add(table, &entry, err);
}

static bool same_path(const char *a, const char *b)
{
	size_t m = strlen(a), n = strlen(b);

	while (m > 1 && a[m - 1] == '/')
		m--;
	while (n > 1 && b[n - 1] == '/')
		n--;
	return m == n && memcmp(a, b, n) == 0;
}

void gb_mount_table_order(struct gb_mount_table *table)
{
	/* Each in turn moves in front of the first that lies below it. */
	for (size_t i = 1; i < table->count; i++) {
		struct gb_mount_entry entry = table->entries[i];
		size_t to = i;

		for (size_t k = 0; entry.target && k < i; k++) {
			const char *target = table->entries[k].target;
			if (target && gb_dir_within(target, entry.target) && !same_path(target, entry.target)) {
				to = k;
				break;
			}
		}
		memmove(&table->entries[to + 1], &table->entries[to], (i - to) * sizeof entry);
		table->entries[to] = entry;
	}
}

const struct gb_mount_entry *gb_mount_table_find(const struct gb_mount_table *table, const char *path)
{
	for (size_t i = 0; i < table->count; i++) {
		const struct gb_mount_entry *e = &table->entries[i];
		if (e->target && same_path(e->target, path))
			return e;
	}
	for (size_t i = 0; i < table->count; i++) {
		const struct gb_mount_entry *e = &table->entries[i];
		if (e->source && same_path(e->source, path))
			return e;
	}
	return NULL;
}
