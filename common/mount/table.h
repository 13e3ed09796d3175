/* SPDX-License-Identifier: MIT */
/* Tables in fstab(5)'s format. Pure. */
#ifndef GB_MOUNT_TABLE_H
#define GB_MOUNT_TABLE_H

#include <stddef.h>

#include "common/base/buf.h"
#include "common/base/err.h"

/* More lines, or a longer one, than any table has. */
enum { GB_MOUNT_TABLE_LINES = 4096, GB_MOUNT_TABLE_BYTES = 1 << 20 };

struct gb_mount_entry {
	const char *source, *target, *type, *options; /* unescaped; they point into the table's text */
	unsigned line;                                /* counted from 1 */
	const char *origin;                           /* the file, or whatever the caller names it by */
	const char *bad;                              /* why the line is none; the fields are then NULL */
};

/* Start with {0}. */
struct gb_mount_table {
	struct gb_mount_entry *entries;
	size_t count;
	size_t bad; /* entries with a bad line among them */
	char **texts;
	size_t text_count;
};

void gb_mount_table_free(struct gb_mount_table *table);
#define gb_automounttable __attribute__((cleanup(gb_mount_table_free)))

/* Adds the lines of text. A bad line becomes an entry that says so: the good ones count all the same. 0, -E2BIG or
 * -ENOMEM. origin must outlive the table. */
int gb_mount_table_parse(struct gb_mount_table *table, const char *text, size_t len, const char *origin,
			 struct gb_err *err);

/* The same from a file. */
int gb_mount_table_read(struct gb_mount_table *table, const char *file, struct gb_err *err);

/* "TAG:TARGET[:OPTIONS]", the value of guestbox.share= on the kernel command line, as an entry of type virtiofs. */
int gb_mount_table_share(struct gb_mount_table *table, const char *value, struct gb_err *err);

/* Puts each entry behind those whose target is above its own; the order is kept otherwise. */
void gb_mount_table_order(struct gb_mount_table *table);

/* The first entry with this target, else with this source (mount(8)), or NULL. */
const struct gb_mount_entry *gb_mount_table_find(const struct gb_mount_table *table, const char *path);

#endif
