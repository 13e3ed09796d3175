/* SPDX-License-Identifier: MIT */
/* arcmount list, is-mounted. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "applets/arcmount/arcmount.h"
#include "common/base/cleanup.h"
#include "common/base/json.h"
#include "common/base/vis.h"
#include "common/mount/options.h"
#include "common/sys/mountinfo.h"

enum { OPT_JSON = GB_OPT_LONG, OPT_FROM };

const struct gb_opt arcmount_list_opts[] = {
	GB_OPT(OPT_JSON, "json", "", "one JSON value instead of lines"),
	GB_OPT(OPT_FROM, "from", "FILE", "another mountinfo file, such as /proc/PID/mountinfo"),
	{ 0 },
};

struct listing {
	struct gb_json json;
	bool as_json;
	int id;             /* only this mount; -1: all */
	const char *target; /* only mounts at this place (with --from, where no path can be asked); NULL: all */
	size_t shown;
};

static const char *propagation(const struct gb_mountinfo *row, char *text, size_t size)
{
	if (row->unbindable)
		return "unbindable";
	if (!row->shared && !row->master)
		return "private";
	(void)snprintf(text, size, "%s%s%s", row->shared ? "shared" : "", row->shared && row->master ? "," : "",
		       row->master ? "slave" : "");
	return text;
}

/* "always", "inode", "never", "none" where the super options tell; NULL where they never would. */
static const char *dax(const struct gb_mountinfo *row, char *text, size_t size)
{
	static const char *const able[] = { "virtiofs", "ext4", "xfs", "erofs", "ext2" };
	const char *value = NULL;

	if (gb_mountinfo_has(row->super, "dax", &value)) {
		(void)snprintf(text, size, "%.*s", value ? (int)strcspn(value, ",") : 6, value ? value : "always");
		return text;
	}
	for (size_t i = 0; i < GB_ARRAY_LEN(able); i++) {
		if (strcmp(row->type, able[i]) == 0)
			return "none";
	}
	return NULL;
}

/* A tab and a newline part the fields and the lines: they, and all that a terminal would obey, are encoded. */
static void field(const char *text, char end)
{
	gb_vis_write(stdout, text);
	(void)putchar(end);
}

static int show(const struct gb_mountinfo *row, void *arg)
{
	struct listing *l = arg;
	char spread[32], mode[32];

	if ((l->id >= 0 && row->id != l->id) || (l->target && strcmp(row->target, l->target) != 0))
		return 0;
	l->shown++;
	const char *p = propagation(row, spread, sizeof spread), *d = dax(row, mode, sizeof mode);
	if (!l->as_json) {
		field(row->target, '\t');
		field(row->source, '\t');
		field(row->type, '\t');
		field(row->options, '\t');
		field(row->super, '\t');
		printf("%s\t%d\t%d\t%s\n", p, row->id, row->parent, d ? d : "-");
		return 0;
	}
	gb_json_open(&l->json, NULL, '{');
	gb_json_str(&l->json, "target", row->target);
	gb_json_str(&l->json, "source", row->source);
	gb_json_str(&l->json, "type", row->type);
	gb_json_str(&l->json, "options", row->options);
	gb_json_str(&l->json, "super", row->super);
	gb_json_str(&l->json, "root", row->root);
	gb_json_str(&l->json, "propagation", p);
	gb_json_int(&l->json, "id", row->id);
	gb_json_int(&l->json, "parent", row->parent);
	if (d)
		gb_json_str(&l->json, "dax", d);
	gb_json_close(&l->json, '}');
	return 0;
}

/* As mount(8) has it: the words of the mount, then those of its file system, and "ro" in front if either is so. */
static int show_mounted(const struct gb_mountinfo *row, void *arg)
{
	const char *types = arg, *lists[] = { row->options, row->super };
	bool read_only = false;

	if (types && !gb_mount_type_match(row->type, types))
		return 0;
	for (size_t i = 0; i < GB_ARRAY_LEN(lists); i++) {
		size_t n = strcspn(lists[i], ",");

		if (n != 2 || (memcmp(lists[i], "ro", 2) != 0 && memcmp(lists[i], "rw", 2) != 0))
			continue;
		read_only = read_only || lists[i][1] == 'o';
		lists[i] += n + (lists[i][n] == ',');
	}
	gb_vis_write(stdout, row->source);
	(void)fputs(" on ", stdout);
	gb_vis_write(stdout, row->target);
	(void)fputs(" type ", stdout);
	gb_vis_write(stdout, row->type);
	(void)fputs(read_only ? " (ro" : " (rw", stdout);
	for (size_t i = 0; i < GB_ARRAY_LEN(lists); i++) {
		if (*lists[i]) {
			(void)putchar(',');
			gb_vis_write(stdout, lists[i]);
		}
	}
	(void)puts(")");
	return 0;
}

int arcmount_mounted(const char *types, struct gb_err *err)
{
	int r = gb_mountinfo_foreach(NULL, show_mounted, (void *)(uintptr_t)types);

	return r < 0 ? gb_err_sys(err, -r, "/proc/self/mountinfo") : 0;
}

int arcmount_list(struct gb_cmd *cmd, struct gb_err *err)
{
	struct listing l = { .id = -1 };
	const char *file = NULL;
	struct gb_optscan scan;
	int key, r;

	gb_opt_start(&scan, arcmount_list_opts, cmd->argc, cmd->argv, 0);
	while ((key = gb_opt_next(&scan, err)) > 0) {
		switch (key) {
		case OPT_JSON: l.as_json = true; break;
		case OPT_FROM: file = scan.arg; break;
		}
	}
	if (key < 0)
		return key;
	r = gb_opt_operands(&scan, 0, 1, NULL, err);
	if (r < 0)
		return r;
	const char *target = scan.index < scan.argc ? scan.argv[scan.index] : NULL;
	if (target && file) {
		l.target = target;
	} else if (target) {
		r = gb_mountinfo_is_root(AT_FDCWD, target, 0);
		if (r < 0)
			return gb_err_sys(err, -r, "%s", target);
		if (r == 0)
			return gb_err_set(err, EINVAL, "%s: not a mount point", target);
		l.id = gb_mountinfo_id_at(AT_FDCWD, target, 0);
		if (l.id < 0)
			return gb_err_sys(err, -l.id, "%s", target);
	}
	if (l.as_json)
		gb_json_open(&l.json, NULL, '[');
	r = gb_mountinfo_foreach(file, show, &l);
	if (r < 0) {
		gb_buf_free(&l.json.buf);
		return gb_err_sys(err, -r, "%s", file ? file : "/proc/self/mountinfo");
	}
	if (l.as_json) {
		gb_json_close(&l.json, ']');
		r = gb_json_print(&l.json, err);
		if (r < 0)
			return r;
	}
	if (target && !l.shown)
		return gb_err_set(err, EINVAL, "%s: not a mount point", target);
	return 0;
}

int arcmount_is_mounted(struct gb_cmd *cmd, struct gb_err *err)
{
	struct gb_optscan scan;
	int key, r;

	gb_opt_start(&scan, NULL, cmd->argc, cmd->argv, 0);
	while ((key = gb_opt_next(&scan, err)) > 0)
		;
	if (key < 0)
		return key;
	r = gb_opt_operands(&scan, 1, 1, "target", err);
	if (r < 0)
		return r;
	r = gb_mountinfo_is_root(AT_FDCWD, scan.argv[scan.index], 0);
	if (r < 0 && r != -ENOENT && r != -ENOTDIR)
		return gb_err_sys(err, -r, "%s", scan.argv[scan.index]);
	return r == 1 ? 0 : 1;
}
