/* SPDX-License-Identifier: MIT */
/* nocow: sets, clears and shows the flag that turns copy-on-write off, and rewrites files to have it. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "applets/applet.h"
#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "common/base/io.h"
#include "common/base/log.h"
#include "common/base/vis.h"
#include "common/btrfs/layout.h"
#include "common/btrfs/nocow.h"
#include "common/sys/walk.h"

enum { OPT_CREATE = GB_OPT_LONG, OPT_IF_SUPPORTED, OPT_CLEAR, OPT_QUERY, OPT_METADATA, OPT_CONVERT, OPT_LAYOUT, OPT_NULL };

static const struct gb_opt opts[] = {
	GB_OPT(OPT_CREATE, "create", "", "make the directories that are missing"),
	GB_OPT('R', "recursive", "", "everything below, too, without following links"),
	GB_OPT(OPT_IF_SUPPORTED, "if-supported", "", "pass over what is on a file system without the flag"),
	GB_OPT(OPT_CLEAR, "clear", "", "clear the flag instead of setting it"),
	GB_OPT(OPT_QUERY, "query", "", "print +C or -C, a line a path"),
	GB_OPT(OPT_NULL, "null", "", "with --query: names as they are, and NUL in place of a newline"),
	GB_OPT(OPT_METADATA, "metadata", "", "set it on the metadata directories of volumes, made if missing"),
	GB_OPT(OPT_CONVERT, "convert", "", "rewrite files that are not empty, so that they have it"),
	GB_OPT(OPT_LAYOUT, "layout", "FILE", "the layout that names the metadata directories"),
	{ 0 },
};

enum mode { SET, CLEAR, QUERY, METADATA, CONVERT };

struct job {
	enum mode mode;
	bool create, recursive, if_supported, null;
	struct gb_layout layout;
};

/* Whether an error is the missing flag, and that is no error here. */
static bool passed(const struct job *job, int r)
{
	return r == -EOPNOTSUPP && job->if_supported;
}

/* What a set or cleared flag does not reach. */
static void warn(const char *path, const struct gb_nocow_tally *tally, bool on)
{
	if (tally->kept)
		gb_log(GB_LOG_WARNING, "%s: %" PRIu64 " non-empty file%s below %s copy-on-write (%s)%s", path,
		       tally->kept, tally->kept == 1 ? "" : "s", on ? "keep" : "stay without", tally->first,
		       on ? "; nocow --convert -R rewrites them" : "");
}

static int set(const struct job *job, const char *path, bool on, struct gb_err *err)
{
	struct gb_nocow_tally tally = { 0 };
	struct gb_err beside;
	int r = 0;

	if (job->create && (r = gb_io_mkdirs(path)) < 0 && r != -ENOTDIR)
		return gb_err_sys(err, -r, "%s", path);
	if (!job->recursive) {
		r = gb_nocow_set(path, on, err);
		/* The look below is for the warning's sake: nothing that goes wrong in it undoes what was done. */
		if (r > 0 && gb_nocow_tree(path, on, false, &tally, &beside) == 0)
			warn(path, &tally, on);
	} else {
		r = gb_nocow_tree(path, on, true, &tally, err);
		warn(path, &tally, on);
	}
	return r < 0 ? r : 0;
}

static int metadata(const struct job *job, const char *mount, struct gb_err *err)
{
	gb_autoclose int top = open(mount, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (top < 0)
		return gb_err_sys(err, errno, "%s", mount);
	/* A mount that the layout knows has its own directories; any other one all that the layout names. */
	const struct gb_subvol *known = NULL;
	for (size_t i = 0; i < job->layout.subvol_len; i++) {
		if (strcmp(job->layout.subvol[i].target, mount) == 0)
			known = &job->layout.subvol[i];
	}
	for (size_t i = 0; i < job->layout.subvol_len; i++) {
		const struct gb_subvol *sv = &job->layout.subvol[i];

		if (known && sv != known)
			continue;
		for (size_t k = 0; k < sv->nocow_len; k++) {
			gb_autobuf struct gb_buf path = { 0 };
			struct gb_nocow_tally tally = { 0 };

			if (gb_buf_fmt(&path, "%s/%s", mount, sv->nocow[k]) < 0)
				return gb_err_sys(err, ENOMEM, "%s/%s", mount, sv->nocow[k]);
			int r = gb_nocow_folder(top, sv->nocow[k], path.data, &tally, err);
			if (r < 0 && !passed(job, r))
				return r;
			warn(path.data, &tally, true);
		}
	}
	return 0;
}

static int query_one(const struct job *job, const char *path, bool name, struct gb_err *err)
{
	int r = gb_nocow_query(path, err);

	if (passed(job, r))
		return 0;
	if (r < 0)
		return r;
	(void)fputs(r ? "+C" : "-C", stdout);
	if (name) {
		(void)putchar(' ');
		if (job->null)
			(void)fputs(path, stdout);
		else
			gb_vis_write(stdout, path);
	}
	(void)putchar(job->null ? '\0' : '\n');
	return 0;
}

struct each {
	const struct job *job;
	struct gb_err *err; /* the last one's */
	int failed;
	bool other; /* something that was not refused */
};

/* A refusal says that nothing was changed, of all that was asked for. */
static int settle(int failed, bool other, struct gb_err *err)
{
	if (failed != -GB_E_REFUSED || !other)
		return failed;
	err->code = EBUSY;
	return -EBUSY;
}

static int visit(void *arg, const struct gb_walk_entry *e, struct gb_err *err)
{
	struct each *each = arg;
	const struct job *job = each->job;
	struct gb_err one = { 0 };
	int r = 0;

	(void)err;
	if (e->error)
		r = gb_err_sys(&one, e->error, "%s", e->path);
	else if (job->mode == QUERY && (S_ISREG(e->st->st_mode) || S_ISDIR(e->st->st_mode)))
		r = query_one(job, e->path, true, &one);
	else if (job->mode == CONVERT && S_ISREG(e->st->st_mode))
		r = gb_nocow_convert(e->path, &one);
	else
		return 0;
	each->other = each->other || r != -GB_E_REFUSED;
	if (r >= 0 || passed(job, r))
		return 0;
	if (each->failed < 0)
		gb_log(GB_LOG_ERR, "%s", each->err->msg);
	*each->err = one;
	each->failed = r;
	return 0;
}

/* Query and conversion, one path at a time: errors of one do not hold up the others below it. */
static int each(const struct job *job, const char *path, struct gb_err *err)
{
	struct each each = { .job = job, .err = err };
	struct gb_err walk = { 0 };

	if (!job->recursive)
		return job->mode == QUERY ? query_one(job, path, false, err) : gb_nocow_convert(path, err);
	int r = gb_walk(path, visit, &each, &walk);
	if (r < 0) { /* the walk itself could not go on */
		if (each.failed < 0)
			gb_log(GB_LOG_ERR, "%s", err->msg);
		*err = walk;
		return r;
	}
	return settle(each.failed, each.other, err);
}

static int one(const struct job *job, const char *path, struct gb_err *err)
{
	int r = 0;

	switch (job->mode) {
	case SET: r = set(job, path, true, err); break;
	case CLEAR: r = set(job, path, false, err); break;
	case METADATA: r = metadata(job, path, err); break;
	case QUERY:
	case CONVERT: r = each(job, path, err); break;
	}
	return passed(job, r) ? 0 : r;
}

static int choose(struct job *job, enum mode mode, struct gb_err *err)
{
	if (job->mode != SET && job->mode != mode)
		return gb_err_set(err, GB_E_USAGE, "--clear, --query, --metadata and --convert exclude each other");
	job->mode = mode;
	return 0;
}

static int run(struct gb_cmd *cmd, struct gb_err *err)
{
	struct job job = { 0 };
	const char *layout = NULL;
	struct gb_optscan scan;
	int key, r = 0;

	gb_opt_start(&scan, opts, cmd->argc, cmd->argv, 0);
	while (r == 0 && (key = gb_opt_next(&scan, err)) != 0) {
		switch (key) {
		case OPT_CREATE: job.create = true; break;
		case 'R': job.recursive = true; break;
		case OPT_IF_SUPPORTED: job.if_supported = true; break;
		case OPT_CLEAR: r = choose(&job, CLEAR, err); break;
		case OPT_QUERY: r = choose(&job, QUERY, err); break;
		case OPT_METADATA: r = choose(&job, METADATA, err); break;
		case OPT_CONVERT: r = choose(&job, CONVERT, err); break;
		case OPT_NULL: job.null = true; break;
		case OPT_LAYOUT: layout = scan.arg; break;
		default: return key;
		}
	}
	if (r < 0)
		return r;
	if (job.create && job.mode != SET)
		return gb_err_set(err, GB_E_USAGE, "--create goes with setting the flag only");
	if (job.mode == METADATA && job.recursive)
		return gb_err_set(err, GB_E_USAGE, "--metadata and -R exclude each other");
	if (job.null && job.mode != QUERY)
		return gb_err_set(err, GB_E_USAGE, "--null goes with --query only");
	if (layout && job.mode != METADATA)
		return gb_err_set(err, GB_E_USAGE, "--layout goes with --metadata only");
	r = gb_opt_operands(&scan, 1, -1, job.mode == METADATA ? "mount" : "path", err);
	if (r < 0)
		return r;
	gb_autolayout struct gb_layout loaded = { 0 };
	if (job.mode == METADATA) {
		r = gb_layout_load(layout, &loaded, err);
		if (r < 0)
			return r;
		job.layout = loaded;
	}
	/* One path that fails does not keep the others from being done; the last error is the one that main() prints. */
	int failed = 0;
	bool other = false;
	for (int i = scan.index; i < scan.argc; i++) {
		struct gb_err now = { 0 };

		r = one(&job, scan.argv[i], &now);
		other = other || r != -GB_E_REFUSED;
		if (r >= 0)
			continue;
		if (failed < 0)
			gb_log(GB_LOG_ERR, "%s", err->msg);
		*err = now;
		failed = r;
	}
	if (fflush(stdout) != 0)
		return gb_err_sys(err, errno, "standard output");
	return settle(failed, other, err);
}

const struct gb_applet gb_applet_nocow = {
	.name = "nocow",
	.summary = "turn copy-on-write off for files and directories",
	.synopsis = "[--create] [-R] [--if-supported] PATH...\n"
		    "--clear [-R] [--if-supported] PATH...\n"
		    "--query [-R] [--null] [--if-supported] PATH...\n"
		    "--metadata [--layout=FILE] [--if-supported] MOUNT...\n"
		    "--convert [-R] [--if-supported] FILE...",
	.opts = opts,
	.run = run,
};
