/* SPDX-License-Identifier: MIT */
/* initfs: mounts a folder as it is, with one more file at its root: the virtual init. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "applets/applet.h"
#include "common/base/buf.h"
#include "common/base/dir.h"
#include "common/base/parse.h"
#include "common/initfs/initfs.h"

enum {
	OPT_INIT = GB_OPT_LONG, OPT_NAME, OPT_MODE, OPT_OWNER, OPT_MTIME, OPT_NO_INJECT, OPT_HIDE_REAL, OPT_FAIL_REAL,
	OPT_DIR, OPT_READONLY, OPT_CACHE, OPT_TIMEOUT, OPT_WRITEBACK, OPT_PASSTHROUGH, OPT_NO_SPLICE, OPT_NO_HANDLES,
	OPT_THREADS, OPT_FDS, OPT_FORCE, OPT_READY_FD, OPT_PIDFILE,
};

static const struct gb_opt opts[] = {
	GB_OPT(OPT_INIT, "init", "FILE", "bytes of the virtual file; \"self\" is this program [self]"),
	GB_OPT(OPT_FORCE, "force", "", "take a FILE that a bare kernel could not run"),
	GB_OPT(OPT_NAME, "name", "NAME", "its name at the root [init.krun]"),
	GB_OPT(OPT_MODE, "mode", "OCTAL", "its permission bits [0755]"),
	GB_OPT(OPT_OWNER, "owner", "UID:GID", "its owner [0:0]"),
	GB_OPT(OPT_MTIME, "mtime", "SECONDS", "its times [SOURCE_DATE_EPOCH, or those of FILE]"),
	GB_OPT(OPT_NO_INJECT, "no-inject", "", "no virtual file: SOURCE as it is"),
	GB_OPT(OPT_HIDE_REAL, "hide-real", "", "hide what SOURCE itself has under that name (the default)"),
	GB_OPT(OPT_FAIL_REAL, "fail-real", "", "refuse a SOURCE that has that name"),
	GB_OPT(OPT_DIR, "dir", "NAME", "an empty virtual folder at the root where SOURCE has none; may be repeated"),
	GB_OPT(OPT_READONLY, "readonly", "", "change nothing in SOURCE, whatever the mount options say"),
	GB_OPT(OPT_CACHE, "cache", "HOW", "how long the kernel keeps names and data: never, auto, always [auto]"),
	GB_OPT(OPT_TIMEOUT, "timeout", "S", "how long it keeps names and attributes, in seconds [0, 1, 86400 by --cache]"),
	GB_OPT(OPT_WRITEBACK, "writeback", "", "let the kernel collect small writes"),
	GB_OPT(OPT_PASSTHROUGH, "passthrough", "HOW", "file data without this process: auto, on (fail without), off [auto]"),
	GB_OPT(OPT_NO_SPLICE, "no-splice", "", "copy file data instead of moving pages"),
	GB_OPT(OPT_NO_HANDLES, "no-handles", "", "keep a descriptor for each known file instead of its file handle"),
	GB_OPT(OPT_THREADS, "threads", "N", "worker threads [4]"),
	GB_OPT(OPT_FDS, "descriptors", "N", "descriptors that may stay open for known files [1024]"),
	GB_OPT('o', "options", "OPTIONS", "mount options: ro, noatime, allow_other, suid, dev and the like"),
	GB_OPT('f', "foreground", "", "stay in the foreground"),
	GB_OPT(OPT_READY_FD, "ready-fd", "N", "write a byte to this descriptor once mounted"),
	GB_OPT(OPT_PIDFILE, "pidfile", "FILE", "holds the process's number while it serves"),
	{ 0 },
};

static int choice(const char *text, const char *what, const char *const *words, struct gb_err *err)
{
	for (int i = 0; words[i]; i++) {
		if (strcmp(text, words[i]) == 0)
			return i;
	}
	return gb_err_set(err, GB_E_USAGE, "%s \"%s\": not %s, %s or %s", what, text, words[0], words[1], words[2]);
}

static int check_name(const char *name, const char *what, struct gb_err *err)
{
	if (!*name || gb_dir_dots(name) || strchr(name, '/') || strlen(name) > NAME_MAX)
		return gb_err_set(err, GB_E_USAGE, "%s \"%s\": not one name of at most %d bytes", what, name, NAME_MAX);
	return 0;
}

static int parse_mode(const char *text, mode_t *ret_mode, struct gb_err *err)
{
	char *end;
	unsigned long mode = strtoul(text, &end, 8);

	if (*text < '0' || *text > '7' || *end || mode > 0777)
		return gb_err_set(err, GB_E_USAGE, "mode \"%s\": not octal permission bits (0 to 0777)", text);
	*ret_mode = (mode_t)mode;
	return 0;
}

static int parse_owner(char *text, uid_t *ret_uid, gid_t *ret_gid, struct gb_err *err)
{
	char *colon = strchr(text, ':');
	long long uid, gid;
	int r;

	if (!colon)
		return gb_err_set(err, GB_E_USAGE, "owner \"%s\": not UID:GID", text);
	*colon = '\0';
	r = gb_parse_number(text, "owner's UID", 0, UINT_MAX - 1, &uid, err);
	if (r == 0)
		r = gb_parse_number(colon + 1, "owner's GID", 0, UINT_MAX - 1, &gid, err);
	*colon = ':';
	if (r < 0)
		return r;
	*ret_uid = (uid_t)uid;
	*ret_gid = (gid_t)gid;
	return 0;
}

static int number(const char *text, const char *what, long long min, long long max, unsigned *ret, struct gb_err *err)
{
	long long value;
	int r = gb_parse_number(text, what, min, max, &value, err);

	if (r == 0)
		*ret = (unsigned)value;
	return r;
}

/* The first of two of one name stays. */
static int add_dir(struct gb_initfs_config *c, const char *name, struct gb_err *err)
{
	int r = check_name(name, "dir", err);

	if (r == 0 && c->dir_count == GB_INITFS_DIRS)
		r = gb_err_set(err, GB_E_USAGE, "--dir: more than %d", GB_INITFS_DIRS);
	for (unsigned i = 0; r == 0 && i < c->dir_count; i++) {
		if (strcmp(c->dirs[i], name) == 0)
			return 0;
	}
	if (r == 0)
		c->dirs[c->dir_count++] = name;
	return r;
}

static int parse_ready_fd(const char *text, int *ret_fd, struct gb_err *err)
{
	long long value;
	int r = gb_parse_number(text, "ready-fd", 0, INT_MAX, &value, err);

	if (r < 0)
		return r;
	if (fcntl((int)value, F_SETFD, FD_CLOEXEC) < 0)
		return gb_err_sys(err, errno, "--ready-fd %s", text);
	*ret_fd = (int)value;
	return 0;
}

static int take(struct gb_initfs_config *c, struct gb_buf *options, const struct gb_optscan *scan, int key,
		struct gb_err *err)
{
	static const char *const caches[] = { "never", "auto", "always", NULL };
	static const char *const passes[] = { "auto", "on", "off", NULL };
	char *arg = scan->arg;
	long long value;
	uint64_t ms;
	int r = 0;

	switch (key) {
	case OPT_INIT: c->init = strcmp(arg, "self") == 0 ? NULL : arg; break;
	case OPT_FORCE: c->force = true; break;
	case OPT_NAME:
		c->name = arg;
		r = check_name(arg, "name", err);
		break;
	case OPT_MODE: r = parse_mode(arg, &c->mode, err); break;
	case OPT_OWNER: r = parse_owner(arg, &c->uid, &c->gid, err); break;
	case OPT_MTIME:
		r = gb_parse_number(arg, "mtime", 0, INT64_MAX, &value, err);
		if (r == 0)
			c->mtime = value;
		break;
	case OPT_NO_INJECT: c->inject = false; break;
	case OPT_HIDE_REAL: c->fail_real = false; break;
	case OPT_FAIL_REAL: c->fail_real = true; break;
	case OPT_DIR: r = add_dir(c, arg, err); break;
	case OPT_READONLY: c->readonly = true; break;
	case OPT_CACHE:
		r = choice(arg, "cache", caches, err);
		if (r >= 0)
			c->cache = (enum gb_initfs_cache)r;
		break;
	case OPT_TIMEOUT:
		r = gb_parse_seconds(arg, "timeout", 1000ULL * 86400 * 36500, &ms, err);
		if (r == 0)
			c->timeout = (double)ms / 1000;
		break;
	case OPT_WRITEBACK: c->writeback = true; break;
	case OPT_PASSTHROUGH:
		r = choice(arg, "passthrough", passes, err);
		if (r >= 0)
			c->passthrough = (enum gb_initfs_passthrough)r;
		break;
	case OPT_NO_SPLICE: c->splice = false; break;
	case OPT_NO_HANDLES: c->handles = false; break;
	case OPT_THREADS: r = number(arg, "threads", 1, GB_INITFS_THREADS, &c->threads, err); break;
	case OPT_FDS: r = number(arg, "descriptors", 1, GB_INITFS_FDS, &c->fds, err); break;
	case 'o':
		if (gb_buf_fmt(options, "%s%s", options->len ? "," : "", arg) < 0)
			r = gb_err_sys(err, ENOMEM, "options");
		break;
	case 'f': c->foreground = true; break;
	case OPT_READY_FD: r = parse_ready_fd(arg, &c->ready_fd, err); break;
	case OPT_PIDFILE: c->pidfile = arg; break;
	}
	return r < 0 ? r : 0;
}

static int run(struct gb_cmd *cmd, struct gb_err *err)
{
	struct gb_initfs_config config = {
		.name = "init.krun", .mode = 0755, .mtime = -1, .timeout = -1, .inject = true, .splice = true, .handles = true,
		.cache = GB_INITFS_AUTO, .threads = 4, .fds = 1024, .ready_fd = -1,
	};
	gb_autobuf struct gb_buf options = { 0 };
	const char *epoch = getenv("SOURCE_DATE_EPOCH");
	struct gb_optscan scan;
	long long value;
	int key, r;

	gb_opt_start(&scan, opts, cmd->argc, cmd->argv, 0);
	while ((key = gb_opt_next(&scan, err)) > 0) {
		r = take(&config, &options, &scan, key, err);
		if (r < 0)
			return r;
	}
	if (key < 0)
		return key;
	if (config.writeback && config.passthrough == GB_INITFS_PASS_ON)
		return gb_err_set(err, GB_E_USAGE, "--writeback and --passthrough=on exclude each other");
	if (config.mtime < 0 && epoch && *epoch) {
		r = gb_parse_number(epoch, "SOURCE_DATE_EPOCH", 0, INT64_MAX, &value, err);
		if (r < 0)
			return r;
		config.mtime = value;
	}
	r = gb_opt_operands(&scan, 2, 2, scan.index < scan.argc ? "mount point" : "source", err);
	if (r < 0)
		return r;
	config.source = scan.argv[scan.index];
	config.mountpoint = scan.argv[scan.index + 1];
	config.options = options.len ? options.data : NULL;
	return gb_initfs_run(&config, err);
}

const struct gb_applet gb_applet_initfs = {
	.name = "initfs",
	.summary = "mount a folder with a virtual init at its root",
	.synopsis = "[OPTION...] SOURCE MOUNTPOINT",
	.opts = opts,
	.run = run,
};
