/* SPDX-License-Identifier: MIT */
/* arcmount umount. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "applets/arcmount/arcmount.h"
#include "common/base/cleanup.h"
#include "common/base/log.h"
#include "common/mount/apply.h"
#include "common/mount/loop.h"
#include "common/mount/options.h"
#include "common/mount/tag.h"
#include "common/sys/mountinfo.h"

enum { OPT_EXPIRE = GB_OPT_LONG, OPT_NO_FOLLOW, OPT_DRY_RUN };

const struct gb_opt arcmount_umount_opts[] = {
	GB_OPT('f', "force", "", "abort what a server (FUSE, virtiofs, NFS) does not answer"),
	GB_OPT('l', "lazy", "", "out of the tree at once, in use or not"),
	GB_OPT(OPT_EXPIRE, "expire", "", "mark an idle mount; unmount one that is marked and was not used since"),
	GB_OPT(OPT_NO_FOLLOW, "no-follow", "", "do not follow a symbolic link at the end of the path"),
	GB_OPT('R', "recursive", "", "with all mounts below, the lowest first"),
	GB_OPT('d', "detach-loop", "", "release the loop device, too (those of -o loop go by themselves)"),
	GB_OPT('r', "read-only", "", "if it is busy, make it read-only instead"),
	GB_OPT('a', "all", "", "all mounts but the root and the kernel's own, the last first"),
	GB_OPT('t', "types", "TYPES", "with -a: only these types; with \"no\" in front none of them"),
	GB_OPT('O', "test-opts", "OPTIONS", "with -a: only mounts that have these options"),
	GB_OPT('q', "quiet", "", "no word about what is not mounted"),
	GB_OPT('n', "no-mtab", "", "accepted: there is no mtab to write"),
	ARCMOUNT_INTERNAL,
	ARCMOUNT_DRY_RUN(OPT_DRY_RUN),
	ARCMOUNT_VERBOSE,
	{ 0 },
};

struct job {
	int flags;
	bool recursive, detach, read_only, quiet, dry_run, verbose;
};

static void print_call(const char *target, int flags)
{
	static const struct { int flag; const char *name; } names[] = {
		{ MNT_FORCE, "MNT_FORCE" }, { MNT_DETACH, "MNT_DETACH" }, { MNT_EXPIRE, "MNT_EXPIRE" },
		{ UMOUNT_NOFOLLOW, "UMOUNT_NOFOLLOW" },
	};
	const char *between = "";

	printf("umount2(\"%s\", ", target);
	for (size_t i = 0; i < GB_ARRAY_LEN(names); i++) {
		if (flags & names[i].flag) {
			printf("%s%s", between, names[i].name);
			between = "|";
		}
	}
	puts(*between ? ")" : "0)");
}

/* One mount, whose source is known (for -d). */
static int one(const struct job *job, const char *target, const char *source, struct gb_err *err)
{
	if (job->dry_run) {
		print_call(target, job->flags);
		return 0;
	}
	int r = gb_mount_undo(target, job->flags, err);
	if (r == -EBUSY && job->read_only) {
		struct gb_err again = { 0 };
		struct arcmount_job ro = { .target = target, .options = "ro", .flags = MS_REMOUNT };

		if (arcmount_do(&ro, &again) == 0) {
			gb_complain(err->msg);
			gb_log(GB_LOG_NOTICE, "%s is read-only now", target);
			*err = (struct gb_err){ 0 };
			return 0;
		}
		return r;
	}
	if (r < 0)
		return r;
	if (job->verbose)
		printf("unmounted %s\n", target);
	if (job->detach && source && gb_mount_loop_is(source))
		r = gb_mount_loop_detach(source, err);
	return r;
}

/* A mount and all below it: children stand behind their parents in the list, so it is taken from its end. */
static int tree(const struct job *job, const struct gb_mountinfo_table *table, int id, struct gb_err *err)
{
	gb_autofree int *list = reallocarray(NULL, table->count + 1, sizeof *list);
	size_t n = 0;

	if (!list)
		return gb_err_sys(err, ENOMEM, "mounts");
	list[n++] = id;
	for (size_t i = 0; i < n; i++) {
		size_t lo = 0, hi = table->count;

		while (lo < hi) {
			size_t mid = lo + (hi - lo) / 2;
			if (table->rows[table->by_parent[mid]].parent < list[i])
				lo = mid + 1;
			else
				hi = mid;
		}
		for (; lo < table->count && table->rows[table->by_parent[lo]].parent == list[i] && n <= table->count; lo++) {
			int child = table->rows[table->by_parent[lo]].id;
			if (child != list[i])
				list[n++] = child;
		}
	}
	int r = 0;
	while (r == 0 && n > 0) {
		const struct gb_mountinfo *row = gb_mountinfo_by_id(table, list[--n]);
		if (row)
			r = one(job, row->target, row->source, err);
	}
	return r;
}

/* The last mount of a device, or of an image behind a loop device. */
static const struct gb_mountinfo *by_source(const struct gb_mountinfo_table *table, const char *name)
{
	struct stat st;
	bool there = stat(name, &st) == 0;

	for (size_t i = table->count; i > 0; i--) {
		const struct gb_mountinfo *row = &table->rows[i - 1];

		if (strcmp(row->source, name) == 0)
			return row;
		if (there && S_ISBLK(st.st_mode) && major(st.st_rdev) == row->major && minor(st.st_rdev) == row->minor)
			return row;
		if (there && S_ISREG(st.st_mode) && strncmp(row->source, "/dev/loop", 9) == 0 &&
		    gb_mount_loop_has(row->source + 5, &st))
			return row;
	}
	return NULL;
}

static int operand(const struct job *job, const char *name, struct gb_err *err)
{
	gb_automountinfo struct gb_mountinfo_table table = { 0 };
	const struct gb_mountinfo *row = NULL;
	char device[PATH_MAX];
	struct stat st;

	/* LABEL=, UUID= and the like, as in umount(8); a path of that name goes first. */
	if (strchr(name, '=') && lstat(name, &st) < 0) {
		int r = gb_mount_tag_resolve(name, device, sizeof device, err);
		if (r < 0)
			return r;
		name = device;
	}
	/* The plain case asks nothing first: a mount with MNT_EXPIRE's mark would lose it, and a server that is gone answers
	 * umount2(2) alone. */
	if (!job->recursive && !job->detach) {
		int r = one(job, name, NULL, err);
		struct gb_err first = *err;

		if ((r != -EINVAL && r != -ENOENT && r != -ENOTDIR) || gb_mountinfo_read(NULL, &table) < 0)
			return r;
		row = by_source(&table, name);
		return row ? one(job, row->target, row->source, err) : (*err = first, r);
	}
	int follow = job->flags & UMOUNT_NOFOLLOW ? AT_SYMLINK_NOFOLLOW : 0;
	int root = gb_mountinfo_is_root(AT_FDCWD, name, follow);
	int r = gb_mountinfo_read(NULL, &table);
	if (r < 0)
		return gb_err_sys(err, -r, "/proc/self/mountinfo");
	if (root == 1)
		row = gb_mountinfo_by_id(&table, gb_mountinfo_id_at(AT_FDCWD, name, follow));
	else if (!follow)
		row = by_source(&table, name);
	if (row && job->recursive)
		return tree(job, &table, row->id, err);
	if (row)
		return one(job, root == 1 ? name : row->target, row->source, err);
	return one(job, name, NULL, err);
}

static int everything(const struct gb_cmd *cmd, const struct job *job, const char *types, const char *options,
		      struct gb_err *err)
{
	gb_automountinfo struct gb_mountinfo_table table = { 0 };
	/* Without -t: what the kernel shows about itself stays, as in umount(8). */
	const char *wanted = types ? types : "noproc,devtmpfs,devpts,sysfs,cgroup,cgroup2,securityfs,debugfs,tracefs,"
					     "rpc_pipefs,nfsd,rootfs";
	size_t done = 0, failed = 0;
	int r = gb_mountinfo_read(NULL, &table);

	if (r < 0)
		return gb_err_sys(err, -r, "/proc/self/mountinfo");
	for (size_t i = table.count; i > 0; i--) {
		const struct gb_mountinfo *row = &table.rows[i - 1];
		struct gb_err own = { 0 };

		if (strcmp(row->target, "/") == 0 || !gb_mount_type_match(row->type, wanted) ||
		    (options && !gb_mount_options_match(row->options, options)))
			continue;
		if (one(job, row->target, row->source, &own) < 0) {
			gb_complain(own.msg);
			failed++;
		} else {
			done++;
		}
	}
	if (!failed)
		return 0;
	if (!arcmount_bits(cmd))
		return 1;
	return done ? ARCMOUNT_SOME : ARCMOUNT_FAILED;
}

/* What can be unmounted is, whatever the others say. */
static int each_operand(const struct gb_cmd *cmd, const struct job *job, const struct gb_optscan *scan)
{
	size_t done = 0, failed = 0;

	for (int i = scan->index; i < scan->argc; i++) {
		struct gb_err err = { 0 };
		int r = operand(job, scan->argv[i], &err);

		if (r < 0 && !(job->quiet && (r == -EINVAL || r == -ENOENT)))
			gb_complain(err.msg);
		done += r == 0;
		failed += r < 0;
	}
	if (!failed)
		return 0;
	if (!arcmount_bits(cmd))
		return 1;
	return done ? ARCMOUNT_SOME : ARCMOUNT_FAILED;
}

int arcmount_umount(struct gb_cmd *cmd, struct gb_err *err)
{
	struct job job = { 0 };
	bool all = false;
	const char *types = NULL, *options = NULL;
	struct gb_optscan scan;
	int key;

	gb_opt_start(&scan, arcmount_umount_opts, cmd->argc, cmd->argv, 0);
	while ((key = gb_opt_next(&scan, err)) > 0) {
		switch (key) {
		case 'f': job.flags |= MNT_FORCE; break;
		case 'l': job.flags |= MNT_DETACH; break;
		case OPT_EXPIRE: job.flags |= MNT_EXPIRE; break;
		case OPT_NO_FOLLOW: job.flags |= UMOUNT_NOFOLLOW; break;
		case 'R': job.recursive = true; break;
		case 'd': job.detach = true; break;
		case 'r': job.read_only = true; break;
		case 'a': all = true; break;
		case 't': types = scan.arg; break;
		case 'O': options = scan.arg; break;
		case 'q': job.quiet = true; break;
		case OPT_DRY_RUN: job.dry_run = true; break;
		case 'v': job.verbose = true; break;
		}
	}
	if (key < 0)
		return key;
	if (job.flags & MNT_EXPIRE && job.flags & (MNT_FORCE | MNT_DETACH))
		return gb_err_set(err, GB_E_USAGE, "--expire goes with neither -f nor -l");
	if (all && job.recursive)
		return gb_err_set(err, GB_E_USAGE, "-a and -R exclude each other");
	if (!all && (types || options))
		return gb_err_set(err, GB_E_USAGE, "%s goes with -a", types ? "-t" : "-O");
	int r = gb_opt_operands(&scan, all ? 0 : 1, all ? 0 : -1, "target", err);
	if (r < 0)
		return r;
	if (all)
		return everything(cmd, &job, types, options, err);
	if (scan.argc - scan.index > 1)
		return each_operand(cmd, &job, &scan);
	r = operand(&job, scan.argv[scan.index], err);
	if (r < 0 && job.quiet && (r == -EINVAL || r == -ENOENT))
		return gb_err_set(err, GB_E_SILENT, "not mounted");
	return r;
}
