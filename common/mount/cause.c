/* SPDX-License-Identifier: MIT */
/* Causes of failed mount calls. */
#include "common/mount/cause.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/base/cleanup.h"
#include "common/base/dir.h"
#include "common/mount/busy.h"
#include "common/mount/offer.h"
#include "common/mount/why.h"
#include "common/sys/mountinfo.h"

static bool is_dir(const char *path)
{
	struct stat st;

	return path && stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* The row of the mount that path is on; rows of table. */
static const struct gb_mountinfo *row_at(const struct gb_mountinfo_table *table, const char *path)
{
	int id = gb_mountinfo_id_at(AT_FDCWD, path, 0);

	return id < 0 ? NULL : gb_mountinfo_by_id(table, id);
}

static bool path_within(const char *path, const char *dir)
{
	char a[PATH_MAX], b[PATH_MAX];

	return realpath(path, a) && realpath(dir, b) && gb_dir_within(a, b);
}

/* "x is not the root of a mount", with the mount that it is on. */
static bool why_no_root(const char *path, struct gb_buf *why)
{
	gb_automountinfo struct gb_mountinfo_table table = { 0 };
	int root = gb_mountinfo_is_root(AT_FDCWD, path, 0);

	if (root == 1)
		return false;
	if (root < 0) {
		(void)gb_buf_fmt(why, "%s: %s", path, strerror(-root));
		return true;
	}
	(void)gb_buf_fmt(why, "%s is not a mount point", path);
	if (gb_mountinfo_read(NULL, &table) == 0) {
		const struct gb_mountinfo *row = row_at(&table, path);
		if (row)
			(void)gb_buf_fmt(why, " (it lies on the mount at %s)", row->target);
	}
	return true;
}

/* A mount that has to be private first: `path` is `how`, on the one at `mount`. */
static void why_shared(const char *path, const char *how, const char *mount, struct gb_buf *why)
{
	(void)gb_buf_fmt(why, "the mount that %s is %s (%s) is shared: make it private first (arcmount propagate private %s)", path,
			 how, mount, mount);
}

static void why_elsewhere(const char *source, struct gb_buf *why)
{
	(void)gb_buf_fmt(why, "source %s is on a mount of another mount namespace", source);
}

static void why_bind(const struct gb_mount_step *step, int code, struct gb_buf *why)
{
	struct stat st;

	if (stat(step->source, &st) < 0) {
		(void)gb_buf_fmt(why, "source %s: %s", step->source, strerror(errno));
	} else if (code == EINVAL) {
		gb_automountinfo struct gb_mountinfo_table table = { 0 };
		const struct gb_mountinfo *row = gb_mountinfo_read(NULL, &table) == 0 ? row_at(&table, step->source) : NULL;

		if (row && row->unbindable)
			(void)gb_buf_fmt(why, "source %s is on an unbindable mount (%s)", step->source, row->target);
		else if (!row)
			why_elsewhere(step->source, why);
		else
			(void)gb_buf_fmt(why, "mounts below %s cannot be left behind (they are locked together): bind recursively",
					 step->source);
	}
}

static void why_move(const struct gb_mount_step *step, int code, struct gb_buf *why)
{
	gb_automountinfo struct gb_mountinfo_table table = { 0 };
	struct stat st;

	if (stat(step->source, &st) < 0) {
		(void)gb_buf_fmt(why, "source %s: %s", step->source, strerror(errno));
		return;
	}
	if (gb_mount_why_target(step->target, S_ISDIR(st.st_mode), why))
		return;
	if (code == ELOOP || path_within(step->target, step->source)) {
		(void)gb_buf_fmt(why, "target %s lies inside the source %s", step->target, step->source);
		return;
	}
	if (code != EINVAL || why_no_root(step->source, why) || gb_mountinfo_read(NULL, &table) < 0)
		return;
	const struct gb_mountinfo *row = row_at(&table, step->source), *to = row_at(&table, step->target);
	const struct gb_mountinfo *parent = row ? gb_mountinfo_by_id(&table, row->parent) : NULL;
	if (!row)
		why_elsewhere(step->source, why);
	else if (parent && parent->shared)
		why_shared(step->source, "mounted on", parent->target, why);
	else if (to && to->shared && row->unbindable)
		(void)gb_buf_fmt(why, "%s is unbindable, and target %s is on a shared mount", step->source, step->target);
}

static void why_propagate(const struct gb_mount_call *call, int code, struct gb_buf *why)
{
	unsigned long kinds = call->flags & GB_MOUNT_PROPAGATIONS;

	if (kinds & (kinds - 1))
		(void)gb_buf_str(why, "more than one of shared, private, slave and unbindable");
	else if (call->flags & ~(GB_MOUNT_PROPAGATIONS | MS_REC | MS_SILENT))
		(void)gb_buf_str(why, "a change of propagation goes with no other flag");
	else if (code == EINVAL || code == ENOENT || code == ENOTDIR)
		(void)why_no_root(call->b, why);
}

static void why_remount(const struct gb_mount_step *step, int code, struct gb_buf *why)
{
	switch (code) {
	case EINVAL:
	case ENOENT:
	case ENOTDIR:
		if (!why_no_root(step->target, why) && step->data && *step->data)
			(void)gb_buf_fmt(why, "the file system refuses one of the options: %s", step->data);
		break;
	case EBUSY: {
		gb_autobuf struct gb_buf holders = { 0 };

		(void)gb_buf_str(why, "it is in use");
		if (step->set & MS_RDONLY)
			(void)gb_buf_str(why, ": a file may be open for writing");
		if (gb_mount_holders(step->target, &holders) > 0)
			(void)gb_buf_fmt(why, " (%s)", holders.data);
		break;
	}
	case EROFS:
	case EACCES:
		(void)gb_buf_str(why, "the source is write-protected");
		break;
	case EPERM:
		(void)gb_buf_str(why, "an option is locked by the mount namespace that this mount came from");
		break;
	}
}

int gb_mount_cause(const struct gb_mount_step *step, const struct gb_mount_call *call, int code, const char *log,
		   struct gb_err *err)
{
	gb_autobuf struct gb_buf why = { 0 };
	char what[2 * PATH_MAX + 64];

	if (!err)
		return -code;
	log = log ? log : "";
	if (code == EPERM && !gb_mount_allowed()) {
		(void)gb_buf_str(&why, GB_MOUNT_NOT_ALLOWED);
	} else if (call->id == GB_CALL_FSCONFIG && code != EINVAL && strcmp(step->type ? step->type : "", "overlay") == 0) {
		gb_mount_why_overlay(step, code, &why);
	} else if (call->id == GB_CALL_FSCONFIG && strcmp(call->a, "source") != 0) {
		bool unknown = code == EINVAL && (!*log || strcasestr(log, "unknown parameter"));
		(void)gb_buf_fmt(&why, "option %s%s%s%s", call->a, call->b ? "=" : "", call->b ? call->b : "",
				 unknown ? ": the file system does not know it" : code == EINVAL ? ": refused" : "");
		if (code != EINVAL)
			(void)gb_buf_fmt(&why, ": %s", strerror(code));
	} else if (step->what == GB_MOUNT_NEW && call->id != GB_CALL_ATTACH) {
		code = gb_mount_why_new(step, call, code, log, &why);
		if (!why.len && call->id == GB_CALL_MOUNT)
			(void)gb_mount_why_target(step->target, true, &why);
	} else if (step->what == GB_MOUNT_NEW) {
		(void)gb_mount_why_target(step->target, true, &why);
	} else if (step->what == GB_MOUNT_TREE && call->id == GB_CALL_OPEN_TREE) {
		why_bind(step, code, &why);
	} else if (step->what == GB_MOUNT_TREE) {
		struct stat st;
		if (stat(step->source, &st) < 0 || !gb_mount_why_target(step->target, is_dir(step->source), &why))
			why_bind(step, code, &why);
	} else if (step->what == GB_MOUNT_MOVE_TREE) {
		why_move(step, code, &why);
	} else if (step->what == GB_MOUNT_PROPAGATE) {
		why_propagate(call, code, &why);
	} else {
		why_remount(step, code, &why);
	}
	gb_mount_step_text(step, what, sizeof what);
	if (!why.len)
		(void)gb_buf_str(&why, strerror(code));
	if (*log && !strstr(gb_buf_text(&why), log))
		(void)gb_buf_fmt(&why, " (kernel: %s)", log);
	return gb_err_set(err, code, "cannot %s: %s", what, gb_buf_text(&why));
}

int gb_mount_undo_cause(const char *target, int flags, int code, struct gb_err *err)
{
	const int known = MNT_FORCE | MNT_DETACH | MNT_EXPIRE | UMOUNT_NOFOLLOW;
	gb_autobuf struct gb_buf why = { 0 };
	struct stat st;

	if (!err)
		return -code;
	switch (code) {
	case EPERM:
		(void)gb_buf_str(&why, gb_mount_allowed() ? strerror(code) : GB_MOUNT_NOT_ALLOWED);
		break;
	case EAGAIN:
		(void)gb_buf_str(&why, "marked; the next umount --expire unmounts it, unless it is used before");
		break;
	case EINVAL:
		if (flags & ~known)
			(void)gb_buf_fmt(&why, "umount2 does not know the flag 0x%x", (unsigned)(flags & ~known));
		else if (flags & MNT_EXPIRE && flags & (MNT_FORCE | MNT_DETACH))
			(void)gb_buf_fmt(&why, "expire goes with neither force nor lazy");
		else if (flags & UMOUNT_NOFOLLOW && lstat(target, &st) == 0 && S_ISLNK(st.st_mode))
			(void)gb_buf_str(&why, "it is a symbolic link, which was not to be followed");
		else if (!why_no_root(target, &why))
			(void)gb_buf_str(&why, "it is locked: it came from the mount namespace above this one, or is its root");
		break;
	case EBUSY: {
		gb_autobuf struct gb_buf holders = { 0 };
		int n = gb_mount_holders(target, &holders);

		(void)gb_buf_fmt(&why, "busy: %s", n > 0 ? holders.data : "its holders cannot be seen from here");
		break;
	}
	}
	if (!why.len)
		(void)gb_buf_str(&why, strerror(code));
	return gb_err_set(err, code, "cannot unmount %s: %s", target, gb_buf_text(&why));
}

static void why_pivot(const char *new_root, const char *put_old, int code, struct gb_buf *why)
{
	const char *both[] = { new_root, put_old };
	gb_automountinfo struct gb_mountinfo_table table = { 0 };

	for (size_t i = 0; i < 2; i++) {
		struct stat st;

		if (stat(both[i], &st) < 0) {
			(void)gb_buf_fmt(why, "%s: %s", both[i], strerror(errno));
			return;
		}
		if (!S_ISDIR(st.st_mode)) {
			(void)gb_buf_fmt(why, "%s is not a directory", both[i]);
			return;
		}
	}
	if (code == EPERM) {
		(void)gb_buf_str(why, gb_mount_allowed() ? strerror(code) : GB_MOUNT_NOT_ALLOWED);
		return;
	}
	if (gb_mountinfo_read(NULL, &table) < 0)
		return;
	const struct gb_mountinfo *root = row_at(&table, "/"), *new = row_at(&table, new_root), *old = row_at(&table, put_old);
	const struct gb_mountinfo *root_parent = root ? gb_mountinfo_by_id(&table, root->parent) : NULL;
	const struct gb_mountinfo *new_parent = new ? gb_mountinfo_by_id(&table, new->parent) : NULL;

	if (gb_mountinfo_is_root(AT_FDCWD, "/", 0) != 1)
		(void)gb_buf_str(why, "the root of this process is not a mount point (it is in a chroot)");
	else if (root && strcmp(root->type, "rootfs") == 0)
		(void)gb_buf_str(why, "the root is the initramfs, which cannot be moved away: use switch-root");
	else if (root && new && root->id == new->id && gb_mountinfo_is_root(AT_FDCWD, new_root, 0) == 1)
		(void)gb_buf_fmt(why, "%s is the root already", new_root);
	else if (gb_mountinfo_is_root(AT_FDCWD, new_root, 0) != 1)
		(void)why_no_root(new_root, why);
	else if (!path_within(put_old, new_root))
		(void)gb_buf_fmt(why, "%s is neither %s nor a directory below it", put_old, new_root);
	else if (root && old && old->id == root->id)
		(void)gb_buf_fmt(why, "%s is on the current root", put_old);
	else if (root_parent && root_parent->shared)
		(void)gb_buf_str(why, "the mount below the current root is shared: make it private first "
				      "(arcmount propagate -R private /)");
	else if (new_parent && new_parent->shared)
		why_shared(new_root, "mounted on", new_parent->target, why);
	else if (old && old->shared)
		why_shared(put_old, "on", old->target, why);
	else if (root && !root_parent && code == EINVAL)
		(void)gb_buf_str(why, "the root is the initramfs (it has no mount below it), which cannot be moved away: "
				      "use switch-root");
}

int gb_mount_pivot_cause(const char *new_root, const char *put_old, int code, struct gb_err *err)
{
	gb_autobuf struct gb_buf why = { 0 };

	if (!err)
		return -code;
	why_pivot(new_root, put_old, code, &why);
	if (!why.len)
		(void)gb_buf_str(&why, strerror(code));
	return gb_err_set(err, code, "cannot make %s the root with the old one at %s: %s", new_root, put_old,
			  gb_buf_text(&why));
}
