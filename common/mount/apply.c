/* SPDX-License-Identifier: MIT */
/* The mount system calls. */
#include "common/mount/apply.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/io.h"
#include "common/base/mono.h"
#include "common/mount/cause.h"
#include "common/mount/dax.h"
#include "common/sys/mountinfo.h"
#include "common/sys/timeline.h"

#ifndef AT_RECURSIVE
#define AT_RECURSIVE 0x8000
#endif
#ifndef MOVE_MOUNT_F_SYMLINKS
#define MOVE_MOUNT_F_SYMLINKS 0x1
#define MOVE_MOUNT_F_EMPTY_PATH 0x4
#define MOVE_MOUNT_T_SYMLINKS 0x10
#endif

/* A failure of an early step leaves nothing: these close with the run. */
struct run {
	const struct gb_mount_step *step;
	int fs;   /* fsopen(2) or fspick(2) */
	int tree; /* fsmount(2) or open_tree(2) */
	bool missing; /* the step has to be done over with mount(2) */
	bool made;    /* the target, which a failure takes away again */
	struct gb_buf log;
	struct gb_err *err;
};

/* Whether an errno says that the call itself is not to be had: not in this kernel, not for this file system, or (as
 * older container sandboxes answer for calls they do not know) EPERM to root. */
static bool not_there(int code, enum gb_mount_callid id)
{
	return code == ENOSYS || code == EOPNOTSUPP ||
	       (code == EPERM && (id == GB_CALL_FSOPEN || id == GB_CALL_OPEN_TREE || id == GB_CALL_FSPICK));
}

/* The kernel's words of an fsopen context: each read(2) gives one, with its level in front ("e tmpfs: Bad value"). */
static void read_log(int fs, struct gb_buf *log)
{
	char line[1024];

	for (int i = 0; i < 16; i++) {
		ssize_t n = read(fs, line, sizeof line - 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		while (n > 0 && line[n - 1] == '\n')
			n--;
		line[n] = '\0';
		if (n > 2 && line[0] != 'i')
			(void)gb_buf_fmt(log, "%s%s", log->len ? "; " : "", line + 2);
	}
}

int gb_mount_raw(const char *source, const char *target, const char *type, unsigned long flags, const char *data)
{
	return mount(source, target, type, flags, data) < 0 ? -errno : 0;
}

int gb_mount_raw_undo(const char *target, int flags)
{
	return umount2(target, flags) < 0 ? -errno : 0;
}

int gb_mount_raw_pivot(const char *new_root, const char *put_old)
{
	return syscall(SYS_pivot_root, new_root, put_old) < 0 ? -errno : 0;
}

/* mount(2) clears what it is not told: the flags that are there, with the change applied. */
static int remount_one(const char *target, const char *options, unsigned long set, unsigned long clear)
{
	unsigned long flags = gb_mount_flags_of(options) & GB_MOUNT_ATTRS;

	if (set & GB_MOUNT_ATIMES)
		flags &= ~GB_MOUNT_ATIMES;
	flags = (flags & ~clear) | set;
	/* Without any of the three a remount keeps what there is (do_mount(), fs/namespace.c). */
	if (clear & GB_MOUNT_ATIMES && !(flags & GB_MOUNT_ATIMES))
		flags |= MS_RELATIME;
	return gb_mount_raw(NULL, target, NULL, MS_REMOUNT | MS_BIND | flags, NULL);
}

/* mount_setattr(2) by mount(2): one mount, or, with mountinfo's help, all below that a path can reach. */
static int remount_attrs(const char *target, unsigned long set, unsigned long clear, bool recursive)
{
	gb_automountinfo struct gb_mountinfo_table table = { 0 };
	int id = gb_mountinfo_id_at(AT_FDCWD, target, 0), root = gb_mountinfo_is_root(AT_FDCWD, target, 0);

	if (id < 0 || root < 0)
		return id < 0 ? id : root;
	if (!root)
		return -EINVAL;
	int r = gb_mountinfo_read(NULL, &table);
	if (r < 0)
		return r;
	const struct gb_mountinfo *top = gb_mountinfo_by_id(&table, id);
	if (!top)
		return -EINVAL;
	r = remount_one(target, top->options, set, clear);
	for (size_t i = 0; recursive && r == 0 && i < table.count; i++) {
		const struct gb_mountinfo *row = &table.rows[i];

		if (row != top && gb_mountinfo_below(&table, row, id) && gb_mountinfo_top(&table, row->target) == row)
			r = remount_one(row->target, row->options, set, clear);
	}
	return r;
}

/* The MS_ flags of a step that a mount_setattr(2) call of it stands for. */
static int attrs_by_mount(const struct gb_mount_step *step, const char *target)
{
	const bool recursive = step->rec_set | step->rec_clear;
	int r = recursive ? remount_attrs(target, step->rec_set, step->rec_clear, true) : 0;
	unsigned long set = step->set & ~step->rec_set & GB_MOUNT_ATTRS;
	unsigned long clear = step->clear & ~step->rec_clear & GB_MOUNT_ATTRS;
	if (r == 0 && (set | clear || (step->what == GB_MOUNT_SETATTR && !recursive)))
		r = remount_attrs(target, set, clear, false);
	return r;
}

/* Remounts the file system with mount(2), which sets the flags of file system and mount alike: those of the mount are
 * passed as they are, so that "remount,ro" of one mount changes no nosuid. */
static int reconfigure_by_mount(const struct gb_mount_step *step)
{
	gb_automountinfo struct gb_mountinfo_table table = { 0 };
	int id = gb_mountinfo_id_at(AT_FDCWD, step->target, 0), r = gb_mountinfo_read(NULL, &table);

	if (id < 0 || r < 0)
		return id < 0 ? id : r;
	const struct gb_mountinfo *row = gb_mountinfo_by_id(&table, id);
	if (!row || gb_mountinfo_is_root(AT_FDCWD, step->target, 0) != 1)
		return -EINVAL;
	unsigned long super = ((gb_mount_flags_of(row->super) & GB_MOUNT_SUPERS) & ~step->clear) | step->set;
	unsigned long attrs = gb_mount_flags_of(row->options) & GB_MOUNT_ATTRS;
	r = gb_mount_raw(row->source, step->target, row->type, MS_REMOUNT | super | (attrs & ~(unsigned long)MS_RDONLY),
			 step->data);
	if (r == 0 && attrs & ~super & MS_RDONLY && !(step->clear & MS_RDONLY))
		r = gb_mount_raw(NULL, step->target, NULL, MS_REMOUNT | MS_BIND | attrs, NULL);
	return r;
}

/* mkdir -p, with this mode for the last one if it was not there. */
static int make_folder(const char *path, mode_t mode, struct gb_err *err)
{
	struct stat st;
	bool there = stat(path, &st) == 0;
	/* A file may be the target of a bind. */
	int r = there && !S_ISDIR(st.st_mode) ? 0 : gb_io_mkdirs(path);

	if (r == 0 && !there && chmod(path, mode) < 0)
		r = -errno;
	return r < 0 ? gb_err_sys(err, -r, "cannot make the directory %s", path) : 0;
}

/* The whole step, the old way. */
static int by_mount(const struct gb_mount_step *step, struct gb_err *err)
{
	struct gb_mount_call call = { .id = GB_CALL_MOUNT, .a = step->source, .b = step->target, .c = step->type,
				      .d = step->data };
	bool made = step->mkdir && access(step->target, F_OK) < 0;
	int r = step->mkdir ? make_folder(step->target, step->mode, err) : 0;

	if (r < 0)
		return r;
	switch (step->what) {
	case GB_MOUNT_NEW:
		call.flags = step->set;
		r = gb_mount_raw(step->source, step->target, step->type, step->set, step->data);
		break;
	case GB_MOUNT_TREE:
		call.flags = MS_BIND | (step->recursive ? MS_REC : 0);
		r = gb_mount_raw(step->source, step->target, NULL, call.flags, NULL);
		if (r < 0)
			break;
		r = attrs_by_mount(step, step->target);
		if (r < 0) { /* a copy that is not what was asked for is none */
			call.flags |= MS_REMOUNT;
			(void)gb_mount_raw_undo(step->target, MNT_DETACH);
		}
		break;
	case GB_MOUNT_MOVE_TREE:
		call.flags = MS_MOVE;
		r = gb_mount_raw(step->source, step->target, NULL, MS_MOVE, NULL);
		break;
	case GB_MOUNT_RECONFIGURE:
		call.flags = MS_REMOUNT | step->set;
		r = reconfigure_by_mount(step);
		break;
	case GB_MOUNT_SETATTR:
		call.flags = MS_REMOUNT | MS_BIND;
		r = attrs_by_mount(step, step->target);
		break;
	default:
		r = -EINVAL;
	}
	if (r == 0)
		return 0;
	r = gb_mount_cause(step, &call, -r, NULL, err);
	if (made)
		(void)rmdir(step->target);
	return r;
}

/* mount(2) refuses a file system on top of itself (do_add_mount(), fs/namespace.c); move_mount(2) would pile it up. */
static bool there_already(int tree, const char *target)
{
	struct statx there, ours;

	return statx(AT_FDCWD, target, AT_NO_AUTOMOUNT, STATX_TYPE, &there) == 0 &&
	       there.stx_attributes & STATX_ATTR_MOUNT_ROOT && statx(tree, "", AT_EMPTY_PATH, STATX_TYPE, &ours) == 0 &&
	       there.stx_dev_major == ours.stx_dev_major && there.stx_dev_minor == ours.stx_dev_minor;
}

static int setattr(int dirfd, const char *path, unsigned flags, const struct gb_mount_call *call)
{
	struct mount_attr attr = { .attr_set = call->set, .attr_clr = call->clear };

	if (call->flags & MS_REC)
		flags |= AT_RECURSIVE;
	return mount_setattr(dirfd, path, flags, &attr, sizeof attr);
}

/* One system call. 0, or -errno with err set; -ENOSYS with run->missing when mount(2) has to do it. */
static int make_call(const struct gb_mount_call *call, void *arg)
{
	struct run *run = arg;
	int r = 0;

	switch (call->id) {
	case GB_CALL_MKDIR:
		run->made = access(call->a, F_OK) < 0;
		return make_folder(call->a, (mode_t)call->flags, run->err);
	case GB_CALL_FSOPEN:
		r = run->fs = fsopen(call->a, FSOPEN_CLOEXEC);
		break;
	case GB_CALL_FSPICK:
		r = run->fs = fspick(AT_FDCWD, call->a, FSPICK_CLOEXEC);
		break;
	case GB_CALL_FSCONFIG:
		r = fsconfig(run->fs, call->b ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG, call->a, call->b, 0);
		break;
	case GB_CALL_CREATE:
		r = fsconfig(run->fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0);
		break;
	case GB_CALL_RECONFIGURE:
		r = fsconfig(run->fs, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0);
		break;
	case GB_CALL_FSMOUNT:
		r = run->tree = fsmount(run->fs, FSMOUNT_CLOEXEC, (unsigned)call->set);
		break;
	case GB_CALL_OPEN_TREE:
		r = run->tree = open_tree(AT_FDCWD, call->a, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC |
					  (call->flags & MS_REC ? AT_RECURSIVE : 0));
		break;
	case GB_CALL_SETATTR_TREE:
		r = setattr(run->tree, "", AT_EMPTY_PATH, call);
		break;
	case GB_CALL_SETATTR_PATH:
		r = setattr(AT_FDCWD, call->a, 0, call);
		break;
	case GB_CALL_ATTACH:
		if (run->step->what == GB_MOUNT_NEW && there_already(run->tree, call->a))
			return gb_err_set(run->err, EBUSY, "cannot mount %s on %s: it is mounted there already", run->step->source,
					  call->a);
		r = move_mount(run->tree, "", AT_FDCWD, call->a, MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_SYMLINKS);
		break;
	case GB_CALL_MOVE:
		r = move_mount(AT_FDCWD, call->a, AT_FDCWD, call->b, MOVE_MOUNT_F_SYMLINKS | MOVE_MOUNT_T_SYMLINKS);
		break;
	case GB_CALL_MOUNT:
		if (run->step->what == GB_MOUNT_PROPAGATE) {
			r = mount(NULL, call->b, NULL, call->flags, NULL);
			break;
		}
		run->missing = true; /* what only mount(2) can do */
		return -ENOSYS;
	}
	if (r >= 0)
		return 0;
	int code = errno;
	if (not_there(code, call->id) && run->step->what != GB_MOUNT_PROPAGATE) {
		run->missing = true;
		return -code;
	}
	if (run->fs >= 0)
		read_log(run->fs, &run->log);
	return gb_mount_cause(run->step, call, code, gb_buf_text(&run->log), run->err);
}

static int apply_once(const struct gb_mount_step *step, struct gb_err *err)
{
	struct run run = { .step = step, .fs = -1, .tree = -1, .err = err };
	int r = gb_mount_calls(step, make_call, &run);

	if (run.tree >= 0)
		(void)close(run.tree);
	if (run.fs >= 0)
		(void)close(run.fs);
	gb_buf_free(&run.log);
	if (r < 0 && run.made)
		(void)rmdir(step->target);
	return r < 0 && run.missing ? by_mount(step, err) : r;
}

static int apply_step(const struct gb_mount_step *step, struct gb_mount_outcome *outcome, struct gb_err *err)
{
	int r = apply_once(step, err);

	/* A write-protected source is mounted read-only, as mount(8) does, unless "rw" was asked for. */
	if (step->what == GB_MOUNT_NEW && (r == -EROFS || r == -EACCES) && !((step->set | step->clear) & MS_RDONLY)) {
		struct gb_mount_step ro = *step;
		struct gb_err again = { 0 };
		struct stat st;

		if (stat(step->source, &st) < 0 || !S_ISBLK(st.st_mode))
			return r;
		ro.set |= MS_RDONLY;
		if (apply_once(&ro, &again) == 0) {
			outcome->read_only = true;
			if (err)
				*err = (struct gb_err){ 0 };
			return 0;
		}
	}
	return r;
}

enum { WORTH_NS = 1000000 };

int gb_mount_apply(const struct gb_mount_plan *plan, struct gb_mount_outcome *outcome, struct gb_err *err)
{
	struct gb_mount_outcome own = { 0 };
	int r = 0;

	for (size_t i = 0; r == 0 && i < plan->count; i++) {
		uint64_t begun = gb_mono_ns();
		r = apply_step(&plan->steps[i], outcome ? outcome : &own, err);
		/* The kernel's time, and its devices': told apart from ours where there is something to tell. */
		if (gb_mono_ns() - begun >= WORTH_NS) {
			char text[64];
			(void)snprintf(text, sizeof text, "mount %s", plan->steps[i].target ? plan->steps[i].target : "");
			gb_timeline_mark("kernel", text, begun);
		}
	}
	return r;
}

int gb_mount_do(const struct gb_mount_request *request, struct gb_err *err)
{
	gb_automountoptions struct gb_mount_options options = { 0 };
	gb_automountplan struct gb_mount_plan plan = { 0 };
	int r = gb_mount_options_add(&options, request->options, err);

	if (r < 0)
		return err && request->target ? gb_err_wrap(err, "%s", request->target) : r;
	if (options.dax_require)
		return gb_mount_dax_require(request, err);
	r = gb_mount_plan_parsed(&plan, request, &options, err);
	return r < 0 ? r : gb_mount_apply(&plan, NULL, err);
}

int gb_mount_try(const char *type, const char *source, const char *data, struct gb_buf *log)
{
	gb_autoclose int fs = fsopen(type, FSOPEN_CLOEXEC);
	size_t pos = 0, n;
	const char *w;

	if (fs < 0)
		return -errno;
	int r = fsconfig(fs, FSCONFIG_SET_STRING, "source", source, 0);
	while (r == 0 && data && (w = gb_mount_word(data, &pos, &n))) {
		char word[2 * GB_MOUNT_VALUE_MAX];

		if (n >= sizeof word)
			return -EINVAL;
		memcpy(word, w, n);
		word[n] = '\0';
		char *eq = strchr(word, '=');
		if (eq)
			*eq++ = '\0';
		r = fsconfig(fs, eq ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG, word, eq, 0);
	}
	if (r == 0)
		r = fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0);
	int code = r < 0 ? errno : 0;
	if (code && log)
		read_log(fs, log);
	return -code;
}
