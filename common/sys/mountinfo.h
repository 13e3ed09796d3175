/* SPDX-License-Identifier: MIT */
/* /proc/self/mountinfo: what is mounted where, with stacked and hidden mounts told apart. */
#ifndef GB_SYS_MOUNTINFO_H
#define GB_SYS_MOUNTINFO_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/buf.h"

/* One mount (proc_pid_mountinfo(5)). Strings are unescaped; they point into the line that was parsed. */
struct gb_mountinfo {
	int id, parent;
	unsigned major, minor;
	const char *root;    /* the part of the file system that is the mount's root, without "//deleted" */
	const char *target;  /* the mount point, seen from the process's root */
	const char *options; /* of this mount: "rw,nosuid,relatime" */
	const char *type;
	const char *source;  /* may be "" */
	const char *super;   /* of the file system: "rw,dax=always" */
	unsigned shared, master, from; /* peer groups; 0: none */
	bool unbindable;
};

/* The longest line that is read; the kernel's own are at most some pages. */
#define GB_MOUNTINFO_LINE_MAX ((size_t)1 << 20)

/* Parses one line in place (without its newline). Pure. 0 or -EINVAL. */
int gb_mountinfo_parse(char *line, struct gb_mountinfo *ret_row);

/* Undoes the kernel's octal escapes (mangle(), fs/seq_file.c) in place. Pure. fstab(5) has the same. */
void gb_mountinfo_unescape(char *text);

/* Calls fn for each mount of a file (NULL: /proc/self/mountinfo), one line in memory at a time. A fn that returns
 * non-zero ends the pass, and that is the result. Lines that are no mountinfo are passed over. 0 or -errno. */
typedef int gb_mountinfo_fn(const struct gb_mountinfo *row, void *arg);
int gb_mountinfo_foreach(const char *file, gb_mountinfo_fn *fn, void *arg);

/* All mounts at once. Start with {0}. */
struct gb_mountinfo_table {
	struct gb_mountinfo *rows;
	size_t count, bad; /* bad: lines that are no mountinfo */
	size_t *by_parent, *by_id; /* indexes of rows, sorted */
	struct gb_buf text;
};

/* Reads a file (NULL: /proc/self/mountinfo): 0 or -errno. */
int gb_mountinfo_read(const char *file, struct gb_mountinfo_table *table);
/* The same from text that the table owns from here on, in failure as well. Pure. 0 or -ENOMEM. */
int gb_mountinfo_table_of(struct gb_buf *text, struct gb_mountinfo_table *table);
void gb_mountinfo_free(struct gb_mountinfo_table *table);
#define gb_automountinfo __attribute__((cleanup(gb_mountinfo_free)))

/* The mount that a walk to path (absolute, no symbolic links, no "..") ends on: of several at one place the topmost,
 * and never one that a later mount hides. Pure, and linear in the number of mounts. NULL: none. */
const struct gb_mountinfo *gb_mountinfo_holder(const struct gb_mountinfo_table *table, const char *path);

/* The same if path is that mount's root, else NULL: the mount *at* path. */
const struct gb_mountinfo *gb_mountinfo_top(const struct gb_mountinfo_table *table, const char *path);

/* The mount with this number, or NULL. */
const struct gb_mountinfo *gb_mountinfo_by_id(const struct gb_mountinfo_table *table, int id);

/* Whether mount `row` hangs below mount `id` (or is it), by parents. Pure. */
bool gb_mountinfo_below(const struct gb_mountinfo_table *table, const struct gb_mountinfo *row, int id);

/* Asks the kernel (statx(2), else /proc/self/fdinfo), and no server that may be gone. flags: 0 or AT_SYMLINK_NOFOLLOW. The
 * id of the mount that path is on, or -errno. */
int gb_mountinfo_id_at(int dirfd, const char *path, int flags);

/* 1 if path is the root of a mount, 0 if not, or -errno (-ENOENT: it is not there). */
int gb_mountinfo_is_root(int dirfd, const char *path, int flags);

/* Whether a comma list has the word, or word=VALUE; *ret_value (may be NULL) points behind the "=" or is NULL, and
 * ends at a comma or the end. Pure. */
bool gb_mountinfo_has(const char *list, const char *word, const char **ret_value);

#endif
