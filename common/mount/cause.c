/* SPDX-License-Identifier: MIT */
/* Causes of failed mount calls. */
#include "common/mount/cause.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/io.h"
#include "common/mount/apply.h"
#include "common/mount/busy.h"
#include "common/sys/mountinfo.h"

bool gb_mount_allowed(void)
{
	gb_autobuf struct gb_buf text = { 0 };
	const char *at;

	if (gb_io_slurp(AT_FDCWD, "/proc/self/status", 1 << 16, &text) < 0 || !(at = strstr(text.data, "\nCapEff:")))
		return geteuid() == 0;
	return strtoull(at + strlen("\nCapEff:"), NULL, 16) >> 21 & 1; /* CAP_SYS_ADMIN, capabilities(7) */
}

bool gb_mount_type_known(const char *type)
{
	gb_autobuf struct gb_buf text = { 0 };
	char *rest = NULL;

	if (gb_io_slurp(AT_FDCWD, "/proc/filesystems", 1 << 20, &text) < 0 || !text.data)
		return false;
	for (char *line = strtok_r(text.data, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		const char *tab = strchr(line, '\t');

		if (tab && strcmp(tab + 1, type) == 0)
			return true;
	}
	return false;
}

static void add_tag(struct gb_buf *tags, const char *tag)
{
	size_t n = strlen(tag);

	for (const char *p = gb_buf_text(tags); (p = strstr(p, tag)); p += n) {
		if ((p == tags->data || p[-1] == ' ') && (p[n] == ',' || p[n] == '\0'))
			return;
	}
	(void)gb_buf_fmt(tags, "%s%s", tags->len ? ", " : "", tag);
}

static int used_tag(const struct gb_mountinfo *row, void *arg)
{
	if (strcmp(row->type, "virtiofs") == 0)
		add_tag(arg, row->source);
	return 0;
}

int gb_mount_virtiofs_tags(struct gb_buf *tags, bool *ret_all)
{
	gb_autoclosedir DIR *dir = opendir("/sys/fs/virtiofs");
	struct dirent *entry;
	int count = 0;

	*ret_all = dir != NULL;
	while (dir && (entry = readdir(dir))) {
		gb_autobuf struct gb_buf tag = { 0 };
		char path[300];

		if (entry->d_name[0] == '.')
			continue;
		(void)snprintf(path, sizeof path, "%s/tag", entry->d_name);
		if (gb_io_slurp(dirfd(dir), path, 4096, &tag) < 0 || !tag.len)
			continue;
		tag.data[strcspn(tag.data, "\n")] = '\0';
		add_tag(tags, tag.data);
		count++;
	}
	if (dir)
		return count;
	/* An older kernel keeps the tags to itself: what is mounted, and how many devices there are. */
	(void)gb_mountinfo_foreach(NULL, used_tag, tags);
	dir = opendir("/sys/bus/virtio/drivers/virtiofs");
	while (dir && (entry = readdir(dir)))
		count += strncmp(entry->d_name, "virtio", 6) == 0;
	return count;
}

/* Where the device or image is mounted already, "" if nowhere. */
struct mounted_at {
	unsigned major, minor;
	char target[512];
};

static int same_device(const struct gb_mountinfo *row, void *arg)
{
	struct mounted_at *m = arg;

	if (row->major != m->major || row->minor != m->minor)
		return 0;
	(void)snprintf(m->target, sizeof m->target, "%s", row->target);
	return 1;
}

static void device_users(const char *source, struct gb_buf *why)
{
	struct mounted_at m = { 0 };
	struct stat st;

	if (stat(source, &st) < 0 || !S_ISBLK(st.st_mode))
		return;
	m.major = major(st.st_rdev);
	m.minor = minor(st.st_rdev);
	if (gb_mountinfo_foreach(NULL, same_device, &m) > 0) {
		(void)gb_buf_fmt(why, "; it is mounted on %s", m.target);
		return;
	}
	char path[64];
	gb_autoclosedir DIR *dir = NULL;
	struct dirent *entry;
	(void)snprintf(path, sizeof path, "/sys/dev/block/%u:%u/holders", m.major, m.minor);
	dir = opendir(path);
	while (dir && (entry = readdir(dir))) {
		if (entry->d_name[0] != '.')
			(void)gb_buf_fmt(why, "; held by /dev/%s", entry->d_name);
	}
}

static const char *kind_of(const struct stat *st)
{
	return S_ISREG(st->st_mode) ? "a regular file" : S_ISDIR(st->st_mode) ? "a directory"
	       : S_ISCHR(st->st_mode) ? "a character device" : S_ISBLK(st->st_mode) ? "a block device" : "no file or device";
}

static void why_source(const char *source, struct gb_buf *why)
{
	struct stat st;

	if (stat(source, &st) < 0) {
		(void)gb_buf_fmt(why, "source %s: %s", source, strerror(errno));
	} else if (!S_ISBLK(st.st_mode)) {
		(void)gb_buf_fmt(why, "source %s is %s, not a block device", source, kind_of(&st));
		if (S_ISREG(st.st_mode))
			(void)gb_buf_str(why, " (-o loop mounts a disk image)");
		else if (S_ISDIR(st.st_mode))
			(void)gb_buf_str(why, " (-o bind shows it at a second place)");
	}
}

/* Whether the target can carry a mount of a source of this kind; says why not. */
static bool why_target(const char *target, bool source_is_dir, struct gb_buf *why)
{
	struct stat st;

	if (stat(target, &st) < 0) {
		int code = errno;
		if (code == ENOENT && lstat(target, &st) == 0)
			(void)gb_buf_fmt(why, "target %s is a symbolic link that leads nowhere", target);
		else
			(void)gb_buf_fmt(why, "target %s: %s", target, code == ENOENT ? "no such directory (-m makes it)"
									       : strerror(code));
		return true;
	}
	if (source_is_dir && !S_ISDIR(st.st_mode)) {
		(void)gb_buf_fmt(why, "target %s is %s, and a directory can only be mounted on a directory", target, kind_of(&st));
		return true;
	}
	if (!source_is_dir && S_ISDIR(st.st_mode)) {
		(void)gb_buf_fmt(why, "target %s is a directory, and the source is not", target);
		return true;
	}
	return false;
}

/* Returns the code that says it best: ENODEV for a tag that is not there. */
static int why_tag(const struct gb_mount_step *step, int code, const char *log, struct gb_buf *why)
{
	gb_autobuf struct gb_buf tags = { 0 };
	bool all = false, dax = step->data && gb_mountinfo_has(step->data, "dax", NULL);
	int devices = gb_mount_virtiofs_tags(&tags, &all);
	bool offered = false;

	if (!gb_mount_type_known("virtiofs")) {
		(void)gb_buf_str(why, "this kernel does not know virtiofs (module virtiofs)");
		return ENODEV;
	}
	for (size_t i = 0; tags.data && i < tags.len;) {
		size_t n = strcspn(tags.data + i, ",");
		offered = offered || (strlen(step->source) == n && strncmp(tags.data + i, step->source, n) == 0);
		i += n + 2;
	}
	if (!offered && !all) /* the kernel does not list its tags: one without options tells */
		offered = gb_mount_try("virtiofs", step->source, NULL, NULL) == 0;
	if (offered && dax)
		(void)gb_buf_fmt(why, "DAX: the device of virtiofs tag \"%s\" has no DAX window", step->source);
	else if (offered)
		(void)gb_buf_fmt(why, "virtiofs refused an option: %s", *log ? log : step->data ? step->data : "");
	else if (all)
		(void)gb_buf_fmt(why, "virtiofs tag \"%s\" is not offered by the host (offered: %s)", step->source,
				 tags.len ? tags.data : "none");
	else
		(void)gb_buf_fmt(why, "virtiofs tag \"%s\" is not offered by the host (%d virtiofs device%s%s%s)",
				 step->source, devices, devices == 1 ? "" : "s", tags.len ? "; mounted: " : "",
				 gb_buf_text(&tags));
	return offered ? code : ENODEV;
}

static bool missing_dir(const char *path, size_t len, const char *word, struct gb_buf *why)
{
	char name[PATH_MAX];
	struct stat st;
	size_t n = 0;

	for (size_t i = 0; i < len && n + 1 < sizeof name; i++) {
		if (path[i] == '\\' && i + 1 < len)
			i++;
		name[n++] = path[i];
	}
	name[n] = '\0';
	if (n == 0)
		return false;
	if (stat(name, &st) < 0)
		(void)gb_buf_fmt(why, "%s %s: %s", word, name, strerror(errno));
	else if (!S_ISDIR(st.st_mode))
		(void)gb_buf_fmt(why, "%s %s is %s, not a directory", word, name, kind_of(&st));
	else
		return false;
	return true;
}

/* Words of an overlay that are folders: which one is not there, or does not go with another. */
static void why_overlay(const struct gb_mount_step *step, int code, struct gb_buf *why)
{
	size_t pos = 0, n;
	const char *w, *dirs[2] = { NULL, NULL };
	size_t lens[2] = { 0, 0 }, lowers = 0;

	if (gb_mount_overlay_check(step->data, NULL) < 0) {
		struct gb_err err = { 0 };
		(void)gb_mount_overlay_check(step->data, &err);
		(void)gb_buf_str(why, err.msg);
		return;
	}
	while ((w = gb_mount_word(step->data, &pos, &n))) {
		static const char *const names[] = { "upperdir=", "workdir=" };

		for (size_t i = 0; i < 2; i++) {
			size_t k = strlen(names[i]);
			if (n > k && memcmp(w, names[i], k) == 0) {
				dirs[i] = w + k;
				lens[i] = n - k;
				if (missing_dir(dirs[i], lens[i], i ? "workdir" : "upperdir", why))
					return;
			}
		}
		if (n > 9 && memcmp(w, "lowerdir=", 9) == 0) {
			for (size_t from = 9, to; from < n; from = to + 1) {
				for (to = from; to < n && w[to] != ':'; to++)
					to += w[to] == '\\' && to + 1 < n;
				lowers += to > from;
				if (to > from && missing_dir(w + from, to - from, "lowerdir", why))
					return;
			}
		}
	}
	if (dirs[0] && dirs[1]) {
		char upper[PATH_MAX], work[PATH_MAX], real_upper[PATH_MAX], real_work[PATH_MAX];
		struct stat a, b;

		(void)snprintf(upper, sizeof upper, "%.*s", (int)lens[0], dirs[0]);
		(void)snprintf(work, sizeof work, "%.*s", (int)lens[1], dirs[1]);
		if (stat(upper, &a) == 0 && stat(work, &b) == 0) {
			size_t u, k;
			if (gb_mountinfo_id_at(AT_FDCWD, upper, 0) != gb_mountinfo_id_at(AT_FDCWD, work, 0)) {
				(void)gb_buf_fmt(why, "workdir %s and upperdir %s are not on one mount", work, upper);
				return;
			}
			if (realpath(upper, real_upper) && realpath(work, real_work)) {
				u = strlen(real_upper);
				k = strlen(real_work);
				if ((strncmp(real_upper, real_work, k) == 0 && (real_upper[k] == '/' || !real_upper[k])) ||
				    (strncmp(real_work, real_upper, u) == 0 && real_work[u] == '/')) {
					(void)gb_buf_fmt(why, "workdir %s and upperdir %s lie one in the other", work, upper);
					return;
				}
			}
		}
	}
	if (code == EBUSY)
		(void)gb_buf_str(why, "upperdir or workdir is in use by another overlay");
	else if (code == ELOOP)
		(void)gb_buf_str(why, "the layers lie one in the other");
	else if (code == EROFS && dirs[0])
		(void)gb_buf_fmt(why, "upperdir %.*s is on a read-only mount", (int)lens[0], dirs[0]);
	else if (code == EINVAL && !dirs[0] && lowers < 2)
		(void)gb_buf_str(why, "Linux wants two lower folders where there is no upperdir (a bind with ro does for one)");
	else if (code == EINVAL && dirs[0])
		(void)gb_buf_fmt(why, "the file system of upperdir %.*s cannot be an upper layer (it needs extended attributes and "
				 "file types), or a word is refused: %s", (int)lens[0], dirs[0], step->data);
}

static int why_new(const struct gb_mount_step *step, const struct gb_mount_call *call, int code, const char *log, struct gb_buf *why)
{
	bool device_type = false;
	gb_autobuf struct gb_buf text = { 0 };
	char line[128];

	if (code == EPERM && !gb_mount_allowed()) {
		(void)gb_buf_str(why, "needs root (CAP_SYS_ADMIN)");
		return code;
	}
	if (code == ENODEV && !gb_mount_type_known(step->type)) {
		(void)gb_buf_fmt(why, "this kernel does not know the file system type \"%s\" (not in /proc/filesystems, and no "
				 "module fs-%s was found)", step->type, step->type);
		return code;
	}
	if (strcmp(step->type, "virtiofs") == 0 && (code == EINVAL || code == ENOENT || code == ENODEV)) {
		return why_tag(step, code, log, why);
	}
	if (strcmp(step->type, "overlay") == 0) {
		why_overlay(step, code, why);
		if (why->len)
			return code;
	}
	(void)snprintf(line, sizeof line, "\t%s\n", step->type);
	if (gb_io_slurp(AT_FDCWD, "/proc/filesystems", 1 << 20, &text) == 0 && text.data) {
		const char *at = strstr(text.data, line);
		device_type = at && (at == text.data || at[-1] == '\n');
	}
	if (device_type) {
		why_source(step->source, why);
		if (why->len)
			return code;
		switch (code) {
		case EBUSY:
			if (call->id == GB_CALL_MOUNT && gb_mountinfo_is_root(AT_FDCWD, step->target, 0) == 1) {
				(void)gb_buf_str(why, "it is mounted there already");
				return code;
			}
			(void)gb_buf_fmt(why, "%s is in use", step->source);
			device_users(step->source, why);
			return code;
		case EINVAL:
			if (!*log)
				(void)gb_buf_fmt(why, "%s holds no %s file system, or one of the options is refused: %s",
						 step->source, step->type, step->data && *step->data ? step->data : "(none)");
			return code;
		case EUCLEAN:
			(void)gb_buf_fmt(why, "the %s file system on %s is damaged (fsck)", step->type, step->source);
			return code;
		case ENXIO:
		case ENOMEDIUM:
			(void)gb_buf_fmt(why, "%s has no medium or size (an unused loop device?)", step->source);
			return code;
		case EROFS:
		case EACCES:
			(void)gb_buf_fmt(why, "%s is write-protected (-o ro)", step->source);
			return code;
		}
	}
	if (code == EINVAL && !*log && step->data && *step->data)
		(void)gb_buf_fmt(why, "%s refused one of its options: %s", step->type, step->data);
	return code;
}

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

	if (!realpath(path, a) || !realpath(dir, b))
		return false;
	size_t n = strlen(b);
	return (n == 1) || (strncmp(a, b, n) == 0 && (a[n] == '\0' || a[n] == '/'));
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
			(void)gb_buf_fmt(why, "source %s is on a mount of another mount namespace", step->source);
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
	if (why_target(step->target, S_ISDIR(st.st_mode), why))
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
		(void)gb_buf_fmt(why, "source %s is on a mount of another mount namespace", step->source);
	else if (parent && parent->shared)
		(void)gb_buf_fmt(why, "the mount that %s is mounted on (%s) is shared: make it private first "
				 "(arcmount propagate private %s)", step->source, parent->target, parent->target);
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
		(void)gb_buf_str(&why, "needs root (CAP_SYS_ADMIN)");
	} else if (call->id == GB_CALL_FSCONFIG && code != EINVAL && strcmp(step->type ? step->type : "", "overlay") == 0) {
		why_overlay(step, code, &why);
	} else if (call->id == GB_CALL_FSCONFIG && strcmp(call->a, "source") != 0) {
		bool unknown = code == EINVAL && (!*log || strcasestr(log, "unknown parameter"));
		(void)gb_buf_fmt(&why, "option %s%s%s%s", call->a, call->b ? "=" : "", call->b ? call->b : "",
				 unknown ? ": the file system does not know it" : code == EINVAL ? ": refused" : "");
		if (code != EINVAL)
			(void)gb_buf_fmt(&why, ": %s", strerror(code));
	} else if (step->what == GB_MOUNT_NEW && call->id != GB_CALL_ATTACH) {
		code = why_new(step, call, code, log, &why);
		if (!why.len && call->id == GB_CALL_MOUNT)
			(void)why_target(step->target, true, &why);
	} else if (step->what == GB_MOUNT_NEW) {
		(void)why_target(step->target, true, &why);
	} else if (step->what == GB_MOUNT_TREE && call->id == GB_CALL_OPEN_TREE) {
		why_bind(step, code, &why);
	} else if (step->what == GB_MOUNT_TREE) {
		struct stat st;
		if (stat(step->source, &st) < 0 || !why_target(step->target, is_dir(step->source), &why))
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
	if (*log && !strstr(why.data, log))
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
		(void)gb_buf_str(&why, gb_mount_allowed() ? strerror(code) : "needs root (CAP_SYS_ADMIN)");
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
		(void)gb_buf_str(why, gb_mount_allowed() ? strerror(code) : "needs root (CAP_SYS_ADMIN)");
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
		(void)gb_buf_fmt(why, "the mount that %s is mounted on (%s) is shared: make it private first "
				 "(arcmount propagate private %s)", new_root, new_parent->target, new_parent->target);
	else if (old && old->shared)
		(void)gb_buf_fmt(why, "the mount that %s is on (%s) is shared: make it private first "
				 "(arcmount propagate private %s)", put_old, old->target, old->target);
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
